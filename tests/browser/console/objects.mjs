// Objects: upload, find, look at, share, versions, tags, delete.

import { createHash, randomBytes } from "node:crypto";
import { readFileSync, statSync, truncateSync, writeFileSync, rmSync } from "node:fs";
import { join } from "node:path";

import * as assets from "../assets.mjs";
import { DOORS, S3, s3As, same } from "./stage.mjs";

const BUCKET = "alice-media";
const sha256 = (data) => createHash("sha256").update(data).digest("hex");

/** Drops files on the page as a person would. */
async function drop(page, files) {
  const transfer = await page.evaluateHandle((list) => {
    const data = new DataTransfer();
    for (const { name, text, type } of list) data.items.add(new File([text], name, { type }));
    return data;
  }, files);
  await page.dispatchEvent("body", "dragenter", { dataTransfer: transfer });
  await page.dispatchEvent("body", "drop", { dataTransfer: transfer });
}

async function choose(page, ...paths) {
  const chooser = page.waitForEvent("filechooser");
  await page.getByRole("button", { name: "Upload" }).first().click();
  await (await chooser).setFiles(paths);
}

const open = (page, prefix = "", object = "") => page.goto(`${page.home}#/b/${BUCKET}?prefix=${encodeURIComponent(prefix)}${object ? `&object=${encodeURIComponent(prefix + object)}` : ""}`);
const row = (page, name) => page.getByRole("row").filter({ has: page.getByRole("link", { name, exact: true }) });

export async function objects(stage) {
  const alice = s3As("alice");
  await alice.send(new S3.CreateBucketCommand({ Bucket: BUCKET }));
  await alice.send(new S3.PutBucketVersioningCommand({ Bucket: BUCKET, VersioningConfiguration: { Status: "Enabled" } }));
  const read = async (Key) => Buffer.from(await (await alice.send(new S3.GetObjectCommand({ Bucket: BUCKET, Key }))).Body.transformToByteArray());

  await stage.check("upload by drag and drop and by the chooser: bytes and types are right", async () => {
    const page = await stage.signedIn("alice");
    await open(page);
    await page.getByText("This bucket is empty").waitFor();
    await drop(page, [{ name: "notes.txt", text: "hello tide\n", type: "text/plain" }, { name: "data.json", text: '{"b":[1,2],"a":"x"}', type: "" }, { name: "Größe & 100%+.md", text: "# names\n", type: "" }]);
    await row(page, "Größe & 100%+.md").waitFor();
    const files = { "corners.png": assets.png(64), "square.glb": assets.glb(1), "silence.wav": assets.wav() };
    for (const [name, body] of Object.entries(files)) writeFileSync(join(stage.work, name), body);
    await choose(page, ...Object.keys(files).map((name) => join(stage.work, name)));
    await row(page, "square.glb").waitFor();
    await stage.shot(page, "browser");
    await stage.accessible(page);
    same((await read("notes.txt")).toString(), "hello tide\n", "dropped text");
    same(sha256(await read("square.glb")), sha256(files["square.glb"]), "chosen model");
    const head = await alice.send(new S3.HeadObjectCommand({ Bucket: BUCKET, Key: "square.glb" }));
    same(head.ContentType, "model/gltf-binary", "the type of a model");
    same((await read("Größe & 100%+.md")).toString(), "# names\n", "a name that must be encoded");
    await stage.close(page);
  });

  await stage.check("a multipart upload goes on where it was, part by part", async () => {
    const path = join(stage.work, "large.bin");
    const body = randomBytes(41 * 1024 * 1024);
    writeFileSync(path, body);
    const page = await stage.signedIn("alice");
    await open(page);
    let [parts, taken] = [0, 0];
    // The connection breaks at the fourth part, and stays broken.
    await page.route(/partNumber=[4-9]/, (route) => route.abort());
    page.on("request", (request) => { if (/partNumber=/.test(request.url())) parts += 1; });
    page.on("requestfinished", (request) => { if (/partNumber=/.test(request.url())) taken += 1; });
    await choose(page, path);
    const item = page.getByRole("region", { name: "Uploads" }).getByRole("listitem").filter({ hasText: "large.bin" });
    while (taken < 3) await page.waitForEvent("requestfinished");
    await stage.shot(page, "uploading");
    await item.getByRole("button", { name: "Cancel large.bin" }).click();
    await page.unrouteAll({ behavior: "ignoreErrors" });
    parts = 0;
    await item.getByRole("button", { name: "Try large.bin again" }).click();
    await item.getByText("done, resumed").waitFor({ timeout: 30_000 });
    same(parts, 3, "parts that were sent again");
    same(sha256(await read("large.bin")), sha256(body), "the whole");
    const { ETag } = await alice.send(new S3.HeadObjectCommand({ Bucket: BUCKET, Key: "large.bin" }));
    same(/-6"$/.test(ETag), true, "six parts");
    rmSync(path);
    await stage.close(page);
  });

  await stage.check("folders, the beginning of a name, all levels, arrow keys", async () => {
    for (const key of ["runs/a/one.txt", "runs/a/two.txt", "runs/b/three.txt", "runs/readme.md"]) await alice.send(new S3.PutObjectCommand({ Bucket: BUCKET, Key: key, Body: key }));
    const page = await stage.signedIn("alice");
    await open(page);
    await page.getByRole("link", { name: "runs", exact: true }).click();
    await row(page, "readme.md").waitFor();
    same(await page.getByRole("rowgroup").getByRole("link").allInnerTexts(), ["a", "b", "readme.md"], "a folder");
    await page.keyboard.press("/");
    await page.keyboard.type("re");
    await row(page, "a").waitFor({ state: "detached" });
    same(await page.getByRole("rowgroup").getByRole("link").allInnerTexts(), ["readme.md"], "names that begin with re");
    await page.getByRole("searchbox").fill("");
    await page.getByLabel("All levels").check();
    await row(page, "a/one.txt").waitFor();
    await page.getByRole("link", { name: "a/one.txt" }).focus();
    await page.keyboard.press("ArrowDown");
    same(await page.evaluate(() => document.activeElement?.textContent), "a/two.txt", "down");
    await page.keyboard.press("Space");
    await page.getByText("1 chosen").waitFor();
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "two.txt" }).waitFor();
    await page.getByText("runs/a/two.txt").first().waitFor();
    await page.keyboard.press("Escape");
    await stage.close(page);
  });

  await stage.check("previews: picture, sound, text, JSON, and what was found in a model", async () => {
    const page = await stage.signedIn("alice");
    await open(page, "", "corners.png");
    await page.waitForFunction(() => document.querySelector(".preview img")?.naturalWidth === 64);
    await stage.shot(page, "preview-picture");
    await open(page, "", "silence.wav");
    await page.waitForFunction(() => document.querySelector("audio")?.duration > 0);
    await open(page, "", "data.json");
    await page.getByText('"b": [').waitFor();
    await stage.shot(page, "preview-json");
    await open(page, "", "square.glb");
    await page.getByRole("tab", { name: "Details" }).click();
    await page.getByText("passed").waitFor();
    await page.getByText("Triangles", { exact: true }).waitFor();
    await stage.shot(page, "model-details");
    await stage.accessible(page);
    await stage.close(page);
  });

  await stage.check("download, and links that open without a key", async () => {
    const page = await stage.signedIn("alice");
    await open(page, "", "notes.txt");
    const begun = page.waitForEvent("download");
    await page.getByRole("button", { name: "Download" }).click();
    const file = await begun;
    same([file.suggestedFilename(), readFileSync(await file.path()).toString()], ["notes.txt", "hello tide\n"], "the download");
    await page.getByRole("tab", { name: "Share" }).click();
    await page.getByRole("button", { name: "Make link" }).click();
    const url = await page.locator(".made output").innerText();
    const answer = await fetch(url);
    same([answer.status, await answer.text()], [200, "hello tide\n"], "a presigned link");
    await page.locator(".made").getByRole("button", { name: "Copy" }).click();
    await page.getByText("The link is copied").waitFor();
    same(await page.evaluate(() => navigator.clipboard.readText()), url, "the clipboard");
    await stage.shot(page, "share");
    await stage.accessible(page);
    await page.getByLabel("Form").selectOption("path-token");
    await page.getByLabel("Base").fill(process.env.TEST_EDGE);
    await page.getByRole("button", { name: "Make link" }).click();
    await page.locator(".made output", { hasText: "/_t/" }).waitFor();
    same(await (await fetch(await page.locator(".made output").innerText())).text(), "hello tide\n", "a path token");
    await page.getByLabel("Form").selectOption("cloudfront");
    await page.getByRole("button", { name: "Make link" }).click();
    await page.locator(".made output", { hasText: "Key-Pair-Id=" }).waitFor();
    same(await (await fetch(await page.locator(".made output").innerText())).text(), "hello tide\n", "CloudFront's URL");
    await stage.close(page);
  });

  await stage.check("versions: restore, delete and undelete", async () => {
    await alice.send(new S3.PutObjectCommand({ Bucket: BUCKET, Key: "notes.txt", Body: "second\n" }));
    const page = await stage.signedIn("alice");
    await open(page, "", "notes.txt");
    await page.getByRole("tab", { name: "Versions" }).click();
    await page.getByRole("button", { name: "Restore" }).click();
    await page.getByText("a copy of it is the current version").waitFor();
    same((await read("notes.txt")).toString(), "hello tide\n", "restored");
    await page.locator(".versions li").nth(2).waitFor();
    await stage.shot(page, "versions");
    await stage.accessible(page);
    await page.getByRole("complementary").getByRole("button", { name: "More", exact: true }).click();
    await page.getByRole("menuitem", { name: "Delete…" }).click();
    await page.getByRole("button", { name: "Delete", exact: true }).click();
    await row(page, "notes.txt").waitFor({ state: "detached" });
    await open(page, "", "notes.txt");
    await page.getByText("It is not there now").waitFor();
    await page.getByRole("button", { name: "Undelete" }).click();
    await page.getByText("It is back").waitFor();
    same((await read("notes.txt")).toString(), "hello tide\n", "undeleted");
    await stage.close(page);
  });

  await stage.check("tags", async () => {
    const page = await stage.signedIn("alice");
    await open(page, "", "data.json");
    await page.getByRole("tab", { name: "Tags" }).click();
    await page.getByLabel("Name of the tag").fill("kind");
    await page.getByLabel("Value of the tag").fill("draft: a+b / c@d");
    await page.getByRole("button", { name: "Save tags" }).click();
    await page.getByText("Tags are saved").waitFor();
    const { TagSet } = await alice.send(new S3.GetObjectTaggingCommand({ Bucket: BUCKET, Key: "data.json" }));
    same(TagSet, [{ Key: "kind", Value: "draft: a+b / c@d" }], "stored tags");
    await page.reload();
    await page.getByRole("tab", { name: "Tags" }).click();
    same(await page.getByLabel("Value of the tag").inputValue(), "draft: a+b / c@d", "shown tags");
    await stage.close(page);
  });

  await stage.check("choosing many and deleting them, folders with all below", async () => {
    const page = await stage.signedIn("alice");
    await open(page, "runs/");
    await page.getByLabel("Choose a", { exact: true }).check();
    await page.getByLabel("Choose readme.md").check();
    await page.getByText("2 chosen").waitFor();
    await stage.shot(page, "chosen");
    await page.getByRole("button", { name: "Delete…" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete", exact: true }).click();
    await page.getByText("3 deleted", { exact: true }).waitFor();
    await row(page, "readme.md").waitFor({ state: "detached" });
    const { Contents } = await alice.send(new S3.ListObjectsV2Command({ Bucket: BUCKET, Prefix: "runs/" }));
    same(Contents.map((one) => one.Key), ["runs/b/three.txt"], "what is left");
    await stage.close(page);
  });
}

/** A file of that many bytes that takes no room on the disk. */
export function sparse(path, bytes) {
  writeFileSync(path, "");
  truncateSync(path, bytes);
  return statSync(path).size;
}

export { BUCKET, choose, open, row, DOORS };
