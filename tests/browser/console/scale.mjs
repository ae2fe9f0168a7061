// Large things: a list that scrolls, a large file, a small screen, the dark.

import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";

import { BUCKET, choose, open, sparse } from "./objects.mjs";
import { S3, s3As, same } from "./stage.mjs";

/** CONSOLE_KEYS=1000000 tests/run console: all of a million. */
const KEYS = Number(process.env.CONSOLE_KEYS ?? 20_000);
/** CONSOLE_UPLOAD=2000000000 tests/run console: what was said of 2 GB. */
const UPLOAD = Number(process.env.CONSOLE_UPLOAD ?? 320_000_000);

/** A long listing, answered in the place of the gateway: what is tested is the page. */
function listing(url) {
  const query = new URL(url).searchParams;
  const from = Number(query.get("continuation-token") ?? 0);
  const name = (n) => `object-${String(n).padStart(7, "0")}.bin`;
  const keys = Array.from({ length: Math.min(1000, KEYS - from) }, (_, n) => `<Contents><Key>${name(from + n)}</Key><LastModified>2026-11-30T00:00:00Z</LastModified><ETag>"x"</ETag><Size>${from + n}</Size></Contents>`);
  const next = from + 1000;
  return `<ListBucketResult><IsTruncated>${next < KEYS}</IsTruncated>${keys.join("")}${next < KEYS ? `<NextContinuationToken>${next}</NextContinuationToken>` : ""}</ListBucketResult>`;
}

/** Resident memory that no file is behind, of the largest tab. */
async function tabMemory(browser) {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  await session.detach();
  const of = ({ id }) => {
    try {
      return Number(/RssAnon:\s+(\d+)/.exec(readFileSync(`/proc/${id}/status`, "utf8"))?.[1] ?? 0) * 1024;
    } catch {
      return 0; // it has ended
    }
  };
  return Math.max(...processInfo.filter((one) => one.type === "renderer").map(of));
}

export async function lists(stage) {
  const alice = s3As("alice");

  await stage.check("a long list scrolls to its end and back, in little memory", async () => {
    const page = await stage.signedIn("alice");
    await page.route(/list-type=2/, (route) => route.fulfill({ contentType: "application/xml", body: listing(route.request().url()) }));
    await open(page);
    await page.getByRole("link", { name: "object-0000000.bin" }).waitFor();
    await page.evaluate(async (all) => {
      const list = document.querySelector(".scroller");
      const status = document.querySelector(".status");
      while (status.textContent !== `${all.toLocaleString("en")} items`) {
        list.scrollTop = list.scrollHeight;
        await new Promise((resolve) => setTimeout(resolve));
      }
      list.scrollTop = list.scrollHeight;
    }, KEYS);
    await page.getByRole("link", { name: `object-${String(KEYS - 1).padStart(7, "0")}.bin` }).waitFor();
    await stage.shot(page, "long-list");
    const rows = await page.locator(".rows .row").count();
    if (rows > 80) throw new Error(`${rows} rows are in the page`);
    await page.evaluate(() => { document.querySelector(".scroller").scrollTop = 0; });
    await page.getByRole("link", { name: "object-0000000.bin" }).waitFor();
    const heap = await page.evaluate(() => { globalThis.gc?.(); return performance.memory.usedJSHeapSize; });
    console.log(`     heap after ${KEYS} keys: ${(heap / 1e6).toFixed(0)} MB, ${rows} rows`);
    if (heap > 150e6) throw new Error(`${heap} bytes of heap`);
    await stage.close(page);
  });

  await stage.check("real pages of a real listing follow each other", async () => {
    const Bucket = "alice-many";
    await alice.send(new S3.CreateBucketCommand({ Bucket }));
    const keys = Array.from({ length: 1203 }, (_, n) => `k-${String(n).padStart(5, "0")}`);
    for (let at = 0; at < keys.length; at += 32) await Promise.all(keys.slice(at, at + 32).map((Key) => alice.send(new S3.PutObjectCommand({ Bucket, Key, Body: Key }))));
    const page = await stage.signedIn("alice");
    await page.goto(`${page.home}#/b/${Bucket}`);
    await page.getByText("1,000+ items").waitFor();
    await page.evaluate(() => { const list = document.querySelector(".scroller"); list.scrollTop = list.scrollHeight; });
    await page.getByText("1,203 items").waitFor();
    await page.evaluate(() => { const list = document.querySelector(".scroller"); list.scrollTop = list.scrollHeight; });
    await page.getByRole("link", { name: "k-01202" }).waitFor();
    await stage.close(page);
  });
}

export async function scale(stage) {
  const alice = s3As("alice");

  await stage.check("a large upload keeps the tab small", async () => {
    const path = join(stage.work, "large-upload.bin");
    const size = sparse(path, UPLOAD);
    const page = await stage.signedIn("alice");
    await open(page);
    const before = await tabMemory(stage.browser);
    await choose(page, path);
    let most = 0;
    const item = page.getByRole("region", { name: "Uploads" }).getByRole("listitem").first();
    for (let state = ""; state !== "done"; state = await item.getAttribute("class")) {
      if (state === "failed") throw new Error(await item.innerText());
      most = Math.max(most, await tabMemory(stage.browser));
      await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 100)));
    }
    console.log(`     upload of ${size / 1e6} MB: the tab had ${(most / 1e6).toFixed(0)} MB at most, ${(before / 1e6).toFixed(0)} MB before`);
    if (most > 300e6) throw new Error(`${most} bytes`);
    const { ContentLength } = await alice.send(new S3.HeadObjectCommand({ Bucket: BUCKET, Key: "large-upload.bin" }));
    same(ContentLength, size, "the whole");
    rmSync(path);
    await stage.close(page);
  });

  await stage.check("on a small screen and in the dark, by keyboard", async () => {
    for (const scheme of ["light", "dark"]) {
      const page = await stage.signedIn("alice", { width: 375, height: 740, scheme });
      await stage.shot(page, `small-buckets-${scheme}`);
      await stage.accessible(page);
      await open(page);
      await page.getByRole("link", { name: "corners.png" }).waitFor();
      await stage.shot(page, `small-browser-${scheme}`);
      await stage.accessible(page);
      await open(page, "", "corners.png");
      await page.waitForFunction(() => document.querySelector(".preview img")?.naturalWidth === 64);
      await stage.shot(page, `small-object-${scheme}`);
      await stage.accessible(page);
      for (const place of ["usage", "jobs", "activity", "settings/alice-settings?tab=lifecycle"]) {
        await page.goto(`${page.home}#/${place}`);
        await page.locator("h1").first().waitFor();
        await page.waitForFunction(() => !document.querySelector(".waiting-view"));
        const wide = await page.evaluate(() => document.documentElement.scrollWidth);
        if (wide > 375) throw new Error(`${place} is ${wide} px wide`);
        await stage.shot(page, `small-${place.split("/")[0]}-${scheme}`);
        await stage.accessible(page);
      }
      await stage.close(page);
    }
    const page = await stage.signedIn("alice", { scheme: "dark" });
    await open(page, "", "data.json");
    await page.getByText('"b": [').waitFor();
    await stage.shot(page, "dark-browser");
    await stage.accessible(page);
    await page.goto(`${page.home}#/buckets`);
    await page.getByRole("link", { name: BUCKET }).waitFor();
    await stage.shot(page, "dark-buckets");
    await page.keyboard.press("Tab");
    same(await page.evaluate(() => document.activeElement?.textContent), "Skip to content", "the first stop");
    await stage.close(page);
  });
}
