// Uploads of a real Chromium from a page on another origin: forms and parts that boto3 signed. Run by suite.py.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const { BROWSER_MODULES: modules, CHROMIUM_PROGRAM: executablePath, TEST_ENDPOINT: endpoint, TEST_PLAYER: origin, TEST_PYTHON: python, TEST_WORK: work } = process.env;
const { chromium } = createRequire(`${modules}/package.json`)("playwright-core");
const { S3Client, CreateBucketCommand, GetObjectCommand, HeadObjectCommand, PutBucketCorsCommand } = createRequire(`${process.env.JS_MODULES}/package.json`)("@aws-sdk/client-s3");

let failed = 0;
async function check(name, body) {
  try {
    await body();
    console.log(`ok   uploads: ${name}`);
  } catch (fault) {
    failed += 1;
    const at = /uploads_suite\.mjs:(\d+)/.exec(fault.stack ?? "")?.[1];
    console.log(`FAIL uploads: ${name}: ${String(fault.message).replace(/\s+/g, " ").slice(0, 800)} (uploads_suite.mjs:${at})`);
  }
}

function same(got, want, what) {
  const [a, b] = [got, want].map((value) => JSON.stringify(value));
  if (a !== b) throw new Error(`${what}: got ${a?.slice(0, 300)}, want ${b?.slice(0, 300)}`);
}

const Bucket = "alice-uploads";
const s3 = new S3Client({ endpoint, region: "us-east-1", forcePathStyle: true, credentials: { accessKeyId: process.env.TEST_KEY, secretAccessKey: process.env.TEST_SECRET } });
await s3.send(new CreateBucketCommand({ Bucket }));
const rule = { AllowedOrigins: [origin], AllowedMethods: ["POST", "PUT"], AllowedHeaders: ["*"], ExposeHeaders: ["ETag", "Location"] };
await s3.send(new PutBucketCorsCommand({ Bucket, CORSConfiguration: { CORSRules: [rule] } }));

/** What the tenant's own server says to the page. */
const server = (args, signature = "s3v4") => JSON.parse(execFileSync(python, [new URL("presigned.py", import.meta.url).pathname, ...args], { env: { ...process.env, TEST_SIGNATURE: signature } }));
const form = (Key, Fields = {}, Conditions = [], signature = "s3v4") =>
  server(["form", JSON.stringify({ Bucket, Key, Fields, Conditions: [...Object.entries(Fields).map(([name, value]) => ({ [name]: value })), ...Conditions] })], signature);

const sha256 = (data) => createHash("sha256").update(data).digest("hex");
const bytes = (size) => Buffer.from(Uint8Array.from({ length: size }, (_, n) => (n * 7) ^ (n >> 8)));
async function stored(Key) {
  const object = await s3.send(new GetObjectCommand({ Bucket, Key }));
  return { ...object, sha256: sha256(await object.Body.transformToByteArray()) };
}

const context = await chromium.launchPersistentContext(mkdtempSync(join(work, "chromium-")), { executablePath, args: ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"] });
const page = await context.newPage();
await page.goto(origin);

/** In the page: sends what a form holds and the file, by a script. */
const send = (of, { url, fields }, size, name) => of.evaluate(async ([url, fields, size, name]) => {
  const data = new FormData();
  for (const [field, value] of Object.entries(fields)) data.append(field, value);
  data.append("file", new File([Uint8Array.from({ length: size }, (_, n) => (n * 7) ^ (n >> 8))], name));
  try {
    const answer = await fetch(url, { method: "POST", body: data });
    return { status: answer.status, etag: answer.headers.get("etag"), location: answer.headers.get("location"), text: await answer.text() };
  } catch (fault) {
    return { blocked: String(fault) };
  }
}, [url, fields, size, name]);

for (const signature of ["s3v4", "s3"]) {
  await check(`a script posts a form of boto3 (${signature}) and reads the ETag`, async () => {
    const fields = { acl: "private", "Content-Type": "image/png", success_action_status: "201", "x-amz-meta-run": "7" };
    const answer = await send(page, form(`up/${signature}/\${filename}`, fields, [["content-length-range", 1, 3_000_000], ["starts-with", "$key", "up/"]], signature), 2_500_000, "Zürich 1.png");
    same([answer.status, answer.blocked], [201, undefined], "status");
    const object = await stored(`up/${signature}/Zürich 1.png`);
    same([object.sha256, object.ETag, object.ContentType, object.Metadata], [sha256(bytes(2_500_000)), answer.etag, "image/png", { run: "7" }], "the object");
    same(answer.text.includes(`<Key>up/${signature}/Zürich 1.png</Key>`), true, answer.text);
  });
}

await check("a form without a script sends the browser on, with what was stored", async () => {
  const next = `${origin}/index.html?posted=1`;
  const { url, fields } = form("plain/${filename}", { success_action_redirect: next }, [["starts-with", "$key", "plain/"]]);
  await page.evaluate(([url, fields]) => {
    const element = Object.assign(document.createElement("form"), { action: url, method: "post", enctype: "multipart/form-data" });
    for (const [name, value] of Object.entries(fields)) element.append(Object.assign(document.createElement("input"), { type: "hidden", name, value }));
    const files = new DataTransfer();
    files.items.add(new File(["by a form"], "note.txt"));
    const file = Object.assign(document.createElement("input"), { type: "file", name: "file" });
    file.files = files.files;
    element.append(file, Object.assign(document.createElement("input"), { type: "submit", name: "submit", value: "Upload" }));
    document.body.append(element);
    element.querySelector("[type=submit]").click();
  }, [url, fields]);
  await page.waitForURL(/posted=1/);
  const said = new URL(page.url()).searchParams;
  const object = await stored("plain/note.txt");
  same([said.get("bucket"), said.get("key"), said.get("etag")], [Bucket, "plain/note.txt", object.ETag], "what the page is told");
  same(object.sha256, sha256("by a form"), "the object");
});

await check("a refusal is read by the page, and nothing is stored", async () => {
  const answer = await send(page, form("large", {}, [["content-length-range", 0, 1000]]), 1001, "x");
  same([answer.status, /<Code>(\w+)<\/Code>/.exec(answer.text ?? "")?.[1]], [400, "EntityTooLarge"], JSON.stringify(answer));
  const other = form("one");
  other.fields.key = "another";
  same((await send(page, other, 10, "x")).status, 403, "another key");
  const missing = await s3.send(new HeadObjectCommand({ Bucket, Key: "another" })).catch((fault) => fault.$metadata.httpStatusCode);
  same(missing, 404, "another key is stored");
});

await check("parts by presigned URLs of boto3, their ETags read across origins", async () => {
  const { upload, urls } = server(["parts", Bucket, "parts/film.mp4", "2"]);
  const etags = await page.evaluate(async (urls) => Promise.all(urls.map(async (url, n) => {
    const body = Uint8Array.from({ length: n ? 1000 : 5 * 1024 * 1024 }, (_, at) => (at * 7) ^ (at >> 8));
    const answer = await fetch(url, { method: "PUT", body });
    return answer.ok ? answer.headers.get("etag") : `status ${answer.status}`;
  })), urls);
  const { etag } = server(["complete", Bucket, "parts/film.mp4", upload, JSON.stringify(etags)]);
  const object = await stored("parts/film.mp4");
  same([object.ETag, object.sha256], [etag, sha256(Buffer.concat([bytes(5 * 1024 * 1024), bytes(1000)]))], "the object");
});

await check("a page that the rules do not name reads nothing", async () => {
  const stranger = await context.newPage();
  await stranger.goto(origin.replace("localhost", "127.0.0.1"));
  same(typeof (await send(stranger, form("stranger"), 10, "x")).blocked, "string", "a form's answer");
  const { urls } = server(["parts", Bucket, "parts/stranger", "1"]);
  const put = await stranger.evaluate((url) => fetch(url, { method: "PUT", body: "x" }).then((answer) => answer.status, (fault) => String(fault)), urls[0]);
  same(typeof put, "string", "a part's answer");
});

await context.close();
process.exit(failed ? 1 : 0);
