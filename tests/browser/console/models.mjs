// Models and pictures that the viewer draws: alone, two beside each other, and what is there without the viewer.

import * as assets from "../assets.mjs";
import { S3, s3As, same } from "./stage.mjs";

const BUCKET = "alice-models";

export async function models(stage) {
  const alice = s3As("alice");
  await alice.send(new S3.CreateBucketCommand({ Bucket: BUCKET }));
  const put = (Key, Body, ContentType) => alice.send(new S3.PutObjectCommand({ Bucket: BUCKET, Key, Body, ContentType }));
  await put("draco.glb", await assets.draco(32), "model/gltf-binary");
  await put("grid.glb", assets.glb(16), "model/gltf-binary");
  await put("light.hdr", assets.hdr(64), "image/vnd.radiance");
  await put("light.exr", assets.exr(64), "image/x-exr");
  await put("texture.ktx2", await assets.ktx2(64, false), "image/ktx2");
  const visit = async (key) => {
    const page = await stage.signedIn("alice");
    await page.goto(`${page.home}#/b/${BUCKET}?object=${key}`);
    return page;
  };
  // Without a GPU it takes its time.
  const drawn = (page) => page.locator("iframe.model[data-shown=yes]").waitFor({ timeout: 90_000 });
  const frameOf = (page) => page.frames().find((one) => one.url().endsWith("/viewer/"));

  if (!process.env.TEST_VIEWER) {
    await stage.check("without the viewer a model says how to get it", async () => {
      const page = await visit("grid.glb");
      await page.getByText("console/viewer/build.sh").waitFor();
      await stage.close(page);
    });
    return;
  }

  await stage.check("a model is drawn in a frame without an origin, its Draco unpacked", async () => {
    const page = await visit("draco.glb");
    await drawn(page);
    await page.getByText("2,048 triangles · 1 mesh").waitFor();
    await stage.shot(page, "model");
    same(await frameOf(page).evaluate(() => [self.origin, (() => { try { return sessionStorage.length; } catch (e) { return e.name; } })()]), ["null", "SecurityError"], "the frame's origin");
    await stage.close(page);
  });

  await stage.check("smaller forms are made, seen in the list, and compared", async () => {
    const page = await visit("grid.glb");
    await page.getByRole("tab", { name: "Variants" }).click();
    await page.getByText("No variants yet").waitFor();
    await page.getByRole("button", { name: "Make smaller…" }).click();
    await stage.shot(page, "make-smaller");
    await stage.accessible(page);
    await page.getByRole("button", { name: "Make them" }).click();
    await page.getByText("The variants are made").waitFor({ timeout: 300_000 }); // the worker gives way to everybody
    await page.getByRole("link", { name: "draco", exact: true }).waitFor();
    await page.getByText(/% less/).first().waitFor();
    await page.waitForFunction(() => document.querySelector('[data-key="grid.glb"] .thumbnail > img:only-child')?.naturalWidth > 0);
    await stage.shot(page, "variants");
    await stage.accessible(page);
    await page.getByRole("button", { name: "Compare…" }).click();
    await drawn(page);
    const edge = () => frameOf(page).evaluate(() => { const one = document.getElementById("edge"); return one.hidden ? "none" : one.style.left; });
    same(await edge(), "50%", "the edge between them");
    await page.getByLabel("Where the edge between them is").focus();
    await page.keyboard.press("ArrowRight");
    for (let left = await edge(); left === "50%"; left = await edge());
    same(await edge(), "51%", "moved by keyboard");
    same(await page.getByRole("region", { name: "What each costs" }).getByRole("row", { name: /Triangles/ }).getByRole("cell").allInnerTexts(), ["512", "512"], "triangles of both");
    await stage.shot(page, "compare");
    await page.getByLabel("How").selectOption("beside");
    await stage.shot(page, "compare-beside");
    await stage.accessible(page);
    await page.getByRole("button", { name: "Close" }).last().click();
    await stage.close(page);
  });

  await stage.check("HDR, EXR and KTX2 are drawn, with an exposure", async () => {
    const page = await visit("light.hdr");
    for (const key of ["texture.ktx2", "light.exr", "light.hdr"]) {
      await page.goto(`${page.home}#/b/${BUCKET}?object=${key}`);
      await page.getByRole("heading", { name: key }).waitFor();
      await drawn(page);
      await page.getByText("64 × 64 pixels").waitFor();
      if (key !== "texture.ktx2") {
        // Some of it is brighter than a screen, where colours end in white.
        const bright = await frameOf(page).evaluate(brightness);
        await page.getByLabel("Exposure, in stops").fill("-3");
        for (let now = bright; now >= bright; now = await frameOf(page).evaluate(brightness));
      }
      same(await frameOf(page).evaluate(strongest), ["red", "green", "blue", "yellow"], `the corners of ${key}`);
    }
    await stage.shot(page, "hdr");
    await stage.accessible(page);
    await stage.close(page);
  });
}

/** Which colours the quadrants have. Runs in the viewer's frame. */
function strongest() {
  const view = document.getElementById("view");
  const context = Object.assign(document.createElement("canvas"), { width: view.width, height: view.height }).getContext("2d");
  context.drawImage(view, 0, 0);
  const side = Math.min(view.width, view.height) / 4;
  return [[-1, -1], [1, -1], [-1, 1], [1, 1]].map(([x, y]) => {
    const [r, g, b] = context.getImageData(view.width / 2 + x * side, view.height / 2 + y * side, 1, 1).data;
    if (r > b * 1.3 && g > b * 1.3) return "yellow";
    return r > g && r > b ? "red" : g > b ? "green" : "blue";
  });
}

/** The sum of a pixel's colours. Runs in the viewer's frame. */
function brightness() {
  const view = document.getElementById("view");
  const context = Object.assign(document.createElement("canvas"), { width: view.width, height: view.height }).getContext("2d");
  context.drawImage(view, 0, 0);
  const [r, g, b] = context.getImageData(view.width / 2 - 20, view.height / 2 - 20, 1, 1).data;
  return r + g + b;
}
