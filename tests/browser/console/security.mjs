// Names, metadata, tags and contents that are scripts: they are shown, and none runs.

import { S3, s3As, same } from "./stage.mjs";

const BUCKET = "alice-hostile";
const SCRIPT = "<img src=x onerror=\"globalThis.ran=1\"><script>globalThis.ran=1</script>";
const KEYS = [
  `${SCRIPT}.txt`, `"><svg onload=globalThis.ran=1>/inner ${SCRIPT}.html`, "javascript:globalThis.ran=1.txt", "'-globalThis.ran=1-'.svg", "a b?c=d#e&f%41;..%2f.txt",
];

export async function security(stage) {
  const alice = s3As("alice");
  await alice.send(new S3.CreateBucketCommand({ Bucket: BUCKET }));
  const page1 = `<!doctype html><script>globalThis.ran=1;parent.ran=1;top.ran=1</script><body onload="top.ran=1">${SCRIPT}`;
  const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8" onload="top.ran=1"><script>top.ran=1</script></svg>';
  for (const Key of KEYS) {
    const body = Key.endsWith("svg") ? svg : page1;
    const type = Key.endsWith("svg") ? "image/svg+xml" : Key.endsWith("html") ? "text/html" : "text/plain";
    await alice.send(new S3.PutObjectCommand({ Bucket: BUCKET, Key, Body: body, ContentType: type, Metadata: { evil: "<img src=x onerror=globalThis.ran=1>" }, CacheControl: "<b>no</b>" }));
    await alice.send(new S3.PutObjectTaggingCommand({ Bucket: BUCKET, Key, Tagging: { TagSet: [{ Key: "t", Value: "v" }] } }));
  }
  for (const [Key, ContentType] of [["page.pdf", "application/pdf"], ["page.png", "image/png"], ["page.mp4", "video/mp4"], ["page.xhtml", "application/xhtml+xml"]]) {
    await alice.send(new S3.PutObjectCommand({ Bucket: BUCKET, Key, Body: page1, ContentType }));
  }

  await stage.check("what is hostile is shown as text, and nothing of it runs", async () => {
    const page = await stage.signedIn("alice");
    const all = (await alice.send(new S3.ListObjectsV2Command({ Bucket: BUCKET }))).Contents.map((one) => one.Key);
    for (const key of all) {
      const prefix = key.slice(0, key.lastIndexOf("/") + 1);
      await page.goto(`${page.home}#/b/${BUCKET}?prefix=${encodeURIComponent(prefix)}&object=${encodeURIComponent(key)}`);
      await page.getByRole("tab", { name: "Preview" }).waitFor();
      await page.locator(".tab-panel :is(.preview, .preview-text, .empty)").first().waitFor();
      for (const tab of ["Details", "Versions", "Tags", "Share"]) {
        await page.getByRole("tab", { name: tab }).click();
        if (tab === "Details") same(await page.locator(".facts code").first().textContent(), key, "the key as it is");
      }
    }
    await page.goto(`${page.home}#/b/${BUCKET}`);
    await page.getByRole("rowgroup").getByRole("link").first().waitFor();
    await stage.shot(page, "hostile");
    for (const frame of page.frames()) same(await frame.evaluate(() => globalThis.ran ?? null).catch(() => null), null, `ran in ${frame.url()}`);
    await page.goto(`${page.home}#/jobs`);
    await page.getByText("inspect").first().waitFor();
    same(await page.evaluate(() => globalThis.ran ?? null), null, "ran");
    await stage.close(page);
  });

  await stage.check("the page lets in no markup and no script, even by its own hand", async () => {
    const page = await stage.signedIn("alice");
    const tried = await page.evaluate(async () => {
      const results = [];
      try { document.body.innerHTML = "<b>x</b>"; results.push("markup"); } catch (e) { results.push(e.name); }
      results.push(await new Promise((resolve) => { const script = document.createElement("script"); try { script.src = "data:text/javascript,globalThis.ran=1"; script.onload = () => resolve("script"); script.onerror = () => resolve("refused"); document.head.append(script); } catch (e) { resolve(e.name); } }));
      const image = new Image();
      results.push(await new Promise((resolve) => { image.onload = () => resolve("picture"); image.onerror = () => resolve("refused"); image.src = "http://localhost:1/x.png"; }));
      results.push(await fetch("http://localhost:1/").then(() => "request", () => "refused"));
      return results;
    });
    // The browser tells of each, some of them later: that is how a page's own breach would be found.
    await page.waitForFunction(() => ["img", "connect"].every((kind) => globalThis.breaches.some((one) => one.includes(kind))));
    await page.evaluate(() => { globalThis.breaches = []; });
    same(tried, ["TypeError", "TypeError", "refused", "refused"], "what was tried");
    page.faults.length = 0;
    await stage.close(page);
  });
}
