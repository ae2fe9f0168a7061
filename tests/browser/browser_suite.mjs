// A player on another site, isolated by COEP, in a real Chromium: three.js loads everything from the edge door. Run by suite.py.
//
// What is shown is read back from the GPU and compared with the colours that `assets.mjs` put in. The browser's own log of its requests
// (preflights, what its cache answered) comes over the DevTools protocol. Screenshots stay in TEST_SHOTS.

import { createHash, createHmac } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

import * as assets from "./assets.mjs";
import { cases, page as anyPage } from "./types.mjs";

const { BROWSER_MODULES: modules, CHROMIUM_PROGRAM: executablePath, TEST_EDGE: edge, TEST_ENDPOINT: endpoint, TEST_PLAYER: origin, TEST_PLAYER_BESIDE: beside } = process.env;
const { TEST_NAMED_EDGE: namedEdge, TEST_OPEN_EDGE: openEdge, TEST_SHOTS: shots, TEST_WORK: work } = process.env;
const { chromium } = createRequire(`${modules}/package.json`)("playwright-core");
const loadClient = createRequire(`${process.env.JS_MODULES}/package.json`);
const { S3Client, CreateBucketCommand, GetObjectCommand, PutBucketPolicyCommand, PutObjectCommand } = loadClient("@aws-sdk/client-s3");
const { getSignedUrl } = loadClient("@aws-sdk/s3-request-presigner");
const { SignatureV4 } = loadClient("@smithy/signature-v4");
const CHROMIUM_FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-quic",
  "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const PLAIN = 2; // of 255: what rounding may do to a colour
const BLOCKS = 12; // what Basis may do to it
const HOUR = "public, max-age=3600";

let failed = 0;
async function check(name, body) {
  try {
    await body();
    console.log(`ok   browser: ${name}`);
  } catch (fault) {
    failed += 1;
    const at = /browser_suite\.mjs:(\d+)/.exec(fault.stack ?? "")?.[1];
    console.log(`FAIL browser: ${name}: ${String(fault.message).replace(/\s+/g, " ").slice(0, 800)} (browser_suite.mjs:${at})`);
  }
}

function same(got, want, what) {
  const [a, b] = [got, want].map((value) => JSON.stringify(value));
  if (a === b) return;
  const fault = new Error(`${what}: got ${a?.slice(0, 300)}, want ${b?.slice(0, 300)}`);
  Error.captureStackTrace(fault, same); // the line that is told is the caller's
  throw fault;
}

const sha256 = (data) => createHash("sha256").update(data).digest("hex");

// ---- what the tenants put there

const tenant = (accessKeyId, secretAccessKey, at = endpoint) => new S3Client({ endpoint: at, region: "us-east-1", forcePathStyle: true, credentials: { accessKeyId, secretAccessKey } });
const alice = tenant(process.env.TEST_KEY, process.env.TEST_SECRET);
const bob = tenant(process.env.TEST_OTHER_KEY, process.env.TEST_OTHER_SECRET);
const TYPES = {
  bin: "application/octet-stream", css: "text/css", exr: "image/x-exr", glb: "model/gltf-binary", gltf: "model/gltf+json", hdr: "image/vnd.radiance", html: "text/html; charset=utf-8",
  js: "text/javascript", json: "application/json", ktx2: "image/ktx2", mjs: "text/javascript", png: "image/png", svg: "image/svg+xml", wasm: "application/wasm", wav: "audio/wav",
};
const stored = new Map();

async function put(s3, Bucket, Key, Body, more = {}) {
  await s3.send(new PutObjectCommand({ Bucket, Key, Body, ContentType: TYPES[Key.split(".").at(-1)], ...more }));
  const url = `${edge}/${Bucket}/${Key.split("/").map(encodeURIComponent).join("/")}`;
  stored.set(url, Body);
  return url;
}

/** A bucket that anyone may read below public/. */
async function open(s3, Bucket) {
  await s3.send(new CreateBucketCommand({ Bucket }));
  const Statement = [{ Effect: "Allow", Principal: "*", Action: "s3:GetObject", Resource: `arn:aws:s3:::${Bucket}/public/*` }];
  await s3.send(new PutBucketPolicyCommand({ Bucket, Policy: JSON.stringify({ Version: "2012-10-17", Statement }) }));
}

const MEDIA = "alice-media";
const three = (path) => readFileSync(join(modules, "node_modules/three", path));
const publish = (key, body, more) => put(alice, MEDIA, `public/${key}`, body, more);
/** Under a name that holds the content's hash. */
const publishByHash = (name, body) => publish(name.replace(".", `-${sha256(body).slice(0, 20)}.`), body);

async function upload() {
  await open(alice, MEDIA);
  await open(bob, "bob-media");
  const url = {
    glb: await publish("models/square.glb", assets.glb(1)),
    large: await publish("models/large.glb", assets.glb(128)),
    ranged: await publish("models/ranged.glb", assets.glb(129)),
    draco: await publish("models/draco.glb", await assets.draco(64)),
    png: await publish("textures/corners.png", assets.png(64)),
    etc1s: await publish("textures/etc1s.ktx2", await assets.ktx2(64, false)),
    uastc: await publish("textures/uastc.ktx2", await assets.ktx2(64, true)),
    hdr: await publish("light/studio.hdr", assets.hdr(128)),
    exr: await publish("light/studio.exr", assets.exr(64)),
    sound: await publish("sound/silence.wav", assets.wav()),
    private: await put(alice, MEDIA, "private/square.glb", assets.glb(1)),
    absent: `${edge}/${MEDIA}/public/absent.glb`,
    // The decoders come from the gateway as well: no other host takes part.
    dracoJs: await publishByHash("libs/draco_wasm_wrapper.js", three("examples/jsm/libs/draco/gltf/draco_wasm_wrapper.js")),
    dracoWasm: await publishByHash("libs/draco_decoder.wasm", three("examples/jsm/libs/draco/gltf/draco_decoder.wasm")),
    module: await publishByHash("libs/answer.mjs", Buffer.from("export const answer = 42;\n")),
  };
  for (const name of ["basis_transcoder.js", "basis_transcoder.wasm"]) {
    url.basis = await publish(`libs/basis-r187/${name}`, three(`examples/jsm/libs/basis/${name}`), { CacheControl: "public, max-age=31536000, immutable" });
  }
  url.basis = url.basis.replace(/[^/]*$/, "");
  for (const [name, body] of Object.entries(assets.separate(16))) {
    await publish(`scene/${name}`, body);
    await put(alice, MEDIA, `private/scene/${name}`, body);
  }
  url.scene = `${edge}/${MEDIA}/public/scene/scene.gltf`;
  for (const [name, body] of Object.entries(assets.separate(32))) await publish(`compressed/${name}`, body);
  url.compressedScene = `${edge}/${MEDIA}/public/compressed/scene.gltf`;
  url.compressedHdr = await publish("compressed/studio.hdr", assets.hdr(512));
  url.privateScene = `${edge}/${MEDIA}/private/scene/scene.gltf`;
  for (const name of ["fetch", "texture", "elsewhere"]) url[`poisoned-${name}`] = await publish(`poisoned/${name}.png`, Buffer.concat([assets.png(64), Buffer.from(name)]), { CacheControl: HOUR });
  url["poisoned-glb"] = await publish("poisoned/model.glb", assets.glb(4), { CacheControl: HOUR });
  url["poisoned-script"] = await publish("poisoned/script.js", Buffer.from("globalThis.poisoned = true;\n"), { CacheControl: HOUR });
  url.mixed = await publish("poisoned/mixed.bin", Buffer.from(Uint8Array.from({ length: 300_000 }, (_, n) => (n * 7) ^ (n >> 8))), { CacheControl: HOUR });

  // A game: a page with modules, data and a model of its own.
  const page = (name) => readFileSync(new URL(`bundle/${name}`, import.meta.url));
  const bundle = { "index.html": page("index.html"), "game.mjs": page("game.mjs"), "level.json": Buffer.from('{"name":"harbour"}'), "square.glb": assets.glb(8) };
  for (const name of ["build/three.module.js", "build/three.core.js", "examples/jsm/loaders/GLTFLoader.js", "examples/jsm/utils/BufferGeometryUtils.js", "examples/jsm/utils/SkeletonUtils.js"]) {
    bundle[`three/${name}`] = three(name);
  }
  for (const [name, body] of Object.entries(bundle)) {
    await publish(`game/${name}`, body);
    await put(alice, MEDIA, `private/game/${name}`, body);
  }
  url.game = `${edge}/${MEDIA}/public/game/index.html`;
  url.neighbour = await put(bob, "bob-media", "public/page/index.html", Buffer.from("<!doctype html><title>Bob's page</title><p id=secret>what Bob's players see</p>"));
  url.svg = await publish("drawing.svg", Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><rect width="8" height="8" fill="red"/><script>globalThis.ran = true</script></svg>'));
  return url;
}

// ---- the browser

rmSync(shots, { recursive: true, force: true });
mkdirSync(shots, { recursive: true });
const url = await upload();
const context = await chromium.launchPersistentContext(mkdtempSync(join(work, "chromium-")), { executablePath, args: CHROMIUM_FLAGS, viewport: { width: 640, height: 560 } });
const page = await context.newPage();
const complaints = [];
page.on("console", (message) => { if (["error", "warning"].includes(message.type())) complaints.push(message.text()); });
page.on("pageerror", (fault) => complaints.push(String(fault)));

/** Every request that the browser made, in order: also preflights, and whether its own cache answered. */
const requests = [];
const devtools = await context.newCDPSession(page);
const byId = (id) => requests.findLast((r) => r.id === id) ?? {};
devtools.on("Network.requestWillBeSent", ({ requestId, request, type }) => requests.push({ id: requestId, url: request.url, method: request.method, type }));
devtools.on("Network.requestServedFromCache", ({ requestId }) => { byId(requestId).cached = true; });
devtools.on("Network.responseReceived", ({ requestId, response }) => Object.assign(byId(requestId), { status: response.status, headers: response.headers }, response.fromDiskCache ? { cached: true } : {}));
await devtools.send("Network.enable");

const player = (name, ...given) => page.evaluate(([name, given]) => window.player[name](...given), [name, given]);
const see = (address, options) => player("see", address, options);
const requestsFor = (address) => requests.filter((r) => r.url === address);
const overTheWire = (address) => requestsFor(address).filter((r) => !r.cached).map((r) => `${r.method} ${r.status}`);

const lowerCase = (headers = {}) => Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));

let shot = 0;
async function picture(name, of = page) {
  shot += 1;
  await of.screenshot({ path: join(shots, `${String(shot).padStart(2, "0")}-${name}.png`) });
}

function coloured({ corners }, want, tolerance) {
  const far = corners.flat().some((value, n) => Math.abs(value - want.flat()[n]) > tolerance);
  if (far) throw new Error(`pixels: got ${JSON.stringify(corners)}, want ${JSON.stringify(want)} within ${tolerance}`);
}

/** Every event of a loader's progress makes sense, and the last one says 100 %, of the bytes that the script was given. */
function complete({ events }, address) {
  const size = stored.get(address).length;
  if (!events.length) throw new Error("no progress event");
  for (const { loaded, total, lengthComputable } of events) {
    if (!lengthComputable || total !== size || loaded > total) throw new Error(`progress ${loaded} of ${total}, of ${size} bytes (computable: ${lengthComputable})`);
  }
  same(events.at(-1).loaded, size, "the last event's bytes");
}

await page.goto(origin);
await page.waitForFunction(() => window.player);

await check("the player is isolated, on another site than the edge", async () => {
  same(await page.evaluate(() => [crossOriginIsolated, typeof SharedArrayBuffer, location.hostname]), [true, "function", "localhost"], "isolated");
});

// ---- what three.js shows

const draco = () => ({ js: url.dracoJs, wasm: url.dracoWasm });
const SHOWN = [
  ["GLB", "gltf", "glb", {}, assets.COLOURS, PLAIN],
  ["GLB of 700 kB", "gltf", "large", {}, assets.COLOURS, PLAIN],
  ["GLB with Draco, decoder from the edge", "gltf", "draco", { draco: draco() }, assets.COLOURS, PLAIN],
  ["glTF in several files", "gltf", "scene", {}, assets.COLOURS, PLAIN],
  ["KTX2 texture, ETC1S, transcoder from the edge", "ktx2", "etc1s", { basis: url.basis }, assets.COLOURS, BLOCKS],
  ["KTX2 texture, UASTC", "ktx2", "uastc", { basis: url.basis }, assets.COLOURS, BLOCKS],
  ["HDR light", "hdr", "hdr", { exposure: assets.EXPOSURE }, assets.shown, PLAIN],
  ["EXR light", "exr", "exr", { exposure: assets.EXPOSURE }, assets.shown, PLAIN],
];
for (const [name, kind, what, options, colours, tolerance] of SHOWN) {
  await check(`${name}: its pixels, and progress that ends at exactly 100 %`, async () => {
    const result = await player("show", name, kind, url[what], options);
    await picture(what);
    coloured(result, colours, tolerance);
    complete(result, url[what]);
  });
}

await check("PNG as a texture", async () => {
  const result = await player("show", "PNG", "texture", url.png);
  await picture("png");
  coloured(result, assets.COLOURS, PLAIN);
});

await check("a large GLB in ranges of 100,000 bytes, without a preflight", async () => {
  const result = await player("showRanged", "GLB by ranges", url.ranged, 100_000);
  await picture("ranged");
  coloured(result, assets.COLOURS, PLAIN);
  const size = stored.get(url.ranged).length;
  same([result.size, result.pieces], [size, Math.ceil(size / 100_000)], "size and pieces");
  same(new Set(overTheWire(url.ranged)).size, 1, `kinds of requests: ${new Set(overTheWire(url.ranged))}`);
});

await check("decoders: hash-named ones are kept for a year, types are right, streaming compilation and modules work", async () => {
  const answer = await see(url.dracoWasm);
  same([answer.status, answer.headers["cache-control"], answer.headers["content-type"]], [200, "public, max-age=31536000, immutable", "application/wasm"], "wasm");
  const [compiled, imported] = await page.evaluate(async ([wasm, module]) => [
    await WebAssembly.compileStreaming(fetch(wasm)) instanceof WebAssembly.Module, (await import(module)).answer,
  ], [url.dracoWasm, url.module]);
  same([compiled, imported], [true, 42], "compiled, imported");
});

// ---- compressed

/** Asks without the browser's cache until a variant is there: small bodies have one at once, large ones when the background made it. */
async function untilCompressed(address) {
  // What makes it gives way to whoever asks.
  for (let n = 0; n < 120; n++) {
    const { headers } = await see(address, { cache: "no-store" });
    if (headers["content-encoding"]) return headers;
    await new Promise((next) => setTimeout(next, 500));
  }
  throw new Error(`no variant of ${address}`);
}

const COMPRESSED = [
  ["a small glTF", "gltf", "compressedScene", {}, assets.COLOURS],
  ["HDR light of 1 MiB", "hdr", "compressedHdr", { exposure: assets.EXPOSURE }, assets.shown],
];
for (const [name, kind, what, options, colours] of COMPRESSED) {
  await check(`compressed: ${name}: its pixels, progress that ends at exactly 100 %, ranges of what it is`, async () => {
    const address = url[what];
    const body = stored.get(address);
    const { "content-encoding": coding, "content-length": length, etag, "x-file-size": size } = await untilCompressed(address);
    same([["br", "zstd", "gzip"].includes(coding), size], [true, String(body.length)], `coding ${coding} and X-File-Size`);
    const result = await player("show", `${name}, compressed`, kind, address, options);
    await picture(`compressed-${kind}`);
    coloured(result, colours, PLAIN);
    complete(result, address);
    const timing = (await player("timings", address)).at(-1);
    same([timing.encodedBodySize, timing.decodedBodySize, Number(length) < body.length], [Number(length), body.length, true], "sizes on the wire and after it");
    const part = await see(address, { headers: { range: "bytes=-100" }, cache: "no-store" });
    same([part.status, part.headers["content-encoding"], part.sha256], [206, undefined, sha256(body.subarray(-100))], "a range");
    if (part.headers.etag === etag) throw new Error(`one ETag for two representations: ${etag}`);
  });
}

// ---- CORS, CORP, TAO

await check("elements without CORS load under require-corp: image, script, sound by ranges", async () => {
  same((await player("element", "img", { src: url.png })).width, 64, "image");
  await player("element", "script", { src: url["poisoned-script"] });
  same((await player("element", "audio", { src: url.sound, preload: "metadata" })).duration, 1, "sound");
});

await check("a script sees the headers it needs, on GET and HEAD", async () => {
  const body = stored.get(url.large);
  for (const method of ["GET", "HEAD"]) {
    const { headers, status, sha256: sum } = await see(url.large, { method, cache: "no-store" });
    same([status, headers["accept-ranges"], headers["x-file-size"], headers["content-length"], headers["content-type"]],
      [200, "bytes", String(body.length), String(body.length), "model/gltf-binary"], method);
    if (!/^"[^"]+"$/.test(headers.etag)) throw new Error(`${method}: ETag ${headers.etag}`);
    if (method === "GET") same(sum, sha256(body), "body");
  }
  const part = await see(url.large, { headers: { range: "bytes=-10" }, cache: "no-store" });
  same([part.status, part.headers["content-range"], part.headers["content-length"], part.sha256],
    [206, `bytes ${body.length - 10}-${body.length - 1}/${body.length}`, "10", sha256(body.subarray(-10))], "the last ten bytes");
});

await check("timings can be seen", async () => {
  const address = `${url.glb}?timed`;
  const { size } = await see(address);
  const [timing] = await player("timings", address);
  same([timing.requestStart > 0, timing.responseStart > 0, timing.encodedBodySize, timing.decodedBodySize], [true, true, size, size], JSON.stringify(timing));
});

await check("several ranges: one preflight for many requests; with If-Range too, which browsers keep out of their caches", async () => {
  const body = stored.get(url.large);
  const etag = (await see(url.large, { method: "HEAD" })).headers.etag;
  const wanted = [[0, 9], [100, 149], [700_000, 700_009]];
  const range = `bytes=${wanted.map((pair) => pair.join("-"))}`;
  const parts = async (headers) => {
    const answer = await see(url.large, { headers });
    same(answer.status, 206, `status (${answer.blocked})`);
    const boundary = /^multipart\/byteranges; boundary="?([^"]+)"?$/.exec(answer.headers["content-type"])?.[1];
    if (!boundary) throw new Error(`type ${answer.headers["content-type"]}`);
    same(Buffer.from(answer.base64, "base64").toString("latin1").split(`--${boundary}`).slice(1, -1).map((part) => {
      const [head, ...rest] = part.split("\r\n\r\n");
      return [/content-range: (.*)/i.exec(head)?.[1].trim(), rest.join("\r\n\r\n").replace(/\r\n$/, "")];
    }), wanted.map(([from, to]) => [`bytes ${from}-${to}/${body.length}`, body.subarray(from, to + 1).toString("latin1")]), "parts");
  };
  const before = overTheWire(url.large).length;
  await parts({ range });
  await parts({ range });
  same(overTheWire(url.large).slice(before).sort(), ["GET 206", "GET 206", "OPTIONS 204"], "requests");
  // Without it they are kept for five seconds, too short to tell from a day here. Chromium takes two hours at most.
  const preflight = requestsFor(url.large).findLast((r) => r.method === "OPTIONS");
  if (!(lowerCase(preflight.headers)["access-control-max-age"] >= 7200)) throw new Error(`preflight: ${JSON.stringify(preflight.headers)}`);
  await parts({ range, "if-range": etag });
  same((await see(url.large, { headers: { range, "if-range": '"another"' } })).status, 200, "If-Range with another ETag");
});

await check("a script's own revalidation is answered 304, and it may see that", async () => {
  const { headers } = await see(url.glb);
  const answer = await see(url.glb, { headers: { "if-none-match": headers.etag }, cache: "no-store" });
  same([answer.status, answer.headers?.etag], [304, headers.etag], `status and ETag (${answer.blocked})`);
});

await check("refusals can be read, and are not kept", async () => {
  for (const address of [url.private, `${edge}/${MEDIA}/private/absent`, url.absent, `${edge}/no-such-bucket/x`]) {
    const answer = await see(address);
    if (![403, 404].includes(answer.status)) throw new Error(`${address}: got ${answer.status ?? answer.blocked}`);
    if (address.includes("/private/")) same([answer.status, answer.headers["cache-control"]?.includes("no-store")], [403, true], `${address}: status and no-store`);
  }
  const missing = await player("show", "absent", "gltf", url.absent).catch((fault) => String(fault));
  if (!/responded with 40[34]/.test(missing)) throw new Error(`three.js says: ${JSON.stringify(missing)}`);
});

// ---- a site that names who may read, with credentials

/** The same object, as the site shows it that lets only the player in. */
const named = (address) => address.replace(edge, namedEdge);

await check("a site that names the player: credentials pass there, and nowhere else", async () => {
  const answer = await see(named(url.glb), { credentials: "include" });
  same([answer.status, answer.sha256], [200, sha256(stored.get(url.glb))], `with credentials (${answer.blocked})`);
  same(typeof (await see(url.glb, { credentials: "include" })).blocked, "string", "credentials for the site of everyone");
  const ranges = await see(named(url.glb), { credentials: "include", headers: { range: "bytes=0-3,8-11" } });
  same([ranges.status, ranges.headers?.["content-type"].split(";")[0]], [206, "multipart/byteranges"], `after a preflight (${ranges.blocked})`);
});

await check("a site that names the player: glTF in several files, with credentials", async () => {
  const result = await player("show", "glTF in several files, with credentials", "gltf", named(url.scene), { withCredentials: true });
  await picture("credentials");
  coloured(result, assets.COLOURS, PLAIN);
  complete(result, url.scene);
});

await check("a site that names the player: no-cors first does no harm, and a page of another origin sees nothing", async () => {
  const address = named(url["poisoned-elsewhere"]);
  const stranger = await context.newPage();
  try {
    await stranger.goto(origin.replace("localhost", "127.0.0.1"));
    await stranger.waitForFunction(() => window.player);
    same(typeof (await stranger.evaluate((address) => window.player.see(address), address)).blocked, "string", "a stranger's fetch");
  } finally {
    await stranger.close();
  }
  await player("element", "img", { src: address });
  const answer = await see(address);
  same([answer.status, answer.type, answer.sha256], [200, "cors", sha256(stored.get(url["poisoned-elsewhere"]))], `the player's (${answer.blocked})`);
  coloured(await player("show", "texture after <img>, from a site that names origins", "texture", address), assets.COLOURS, PLAIN);
});

// ---- the browser's cache

/** `first` loads without CORS, `then` with it: the second is answered by the cache, and works. */
async function poisoned(address, first, then) {
  await first(address);
  same(overTheWire(address).map((line) => line.split(" ")[0]), ["GET"], "first request");
  await then(address);
  same(overTheWire(address).length, 1, `requests over the wire: ${overTheWire(address)}`);
  same(requestsFor(address).at(-1).cached, true, "answered by the browser's cache");
}

await check("poisoned by no-cors first: <img>, then fetch", () => poisoned(url["poisoned-fetch"],
  (src) => player("element", "img", { src }),
  async (address) => {
    const answer = await see(address);
    same([answer.status, answer.type, answer.sha256], [200, "cors", sha256(stored.get(address))], `fetch (${answer.blocked})`);
  }));

await check("poisoned by no-cors first: <img>, then a texture", () => poisoned(url["poisoned-texture"],
  (src) => player("element", "img", { src }),
  async (address) => coloured(await player("show", "texture after <img>", "texture", address), assets.COLOURS, PLAIN)));

await check("poisoned by no-cors first: an opaque fetch, then GLTFLoader", () => poisoned(url["poisoned-glb"],
  (address) => see(address, { mode: "no-cors" }),
  async (address) => {
    const result = await player("show", "GLB after an opaque fetch", "gltf", address);
    await picture("poisoned");
    coloured(result, assets.COLOURS, PLAIN);
    complete(result, address);
  }));

await check("ranges and the whole share the browser's cache", async () => {
  const body = stored.get(url.mixed);
  const range = (from, to, options) => see(url.mixed, { headers: { range: `bytes=${from}-${to}` }, ...options });
  same((await range(0, 99_999)).sha256, sha256(body.subarray(0, 100_000)), "a first range");
  same((await see(url.mixed)).sha256, sha256(body), "the whole, from what is there and what is not");
  // Whether it asks again is the browser's affair; that the bytes fit together is ours.
  same((await range(250_000, 260_000)).sha256, sha256(body.subarray(250_000, 260_001)), "a range of it");
  same((await see(url.mixed, { cache: "no-cache" })).sha256, sha256(body), "revalidated");
});

// ---- what is private

class Sha256 {
  constructor(secret) { this.hash = secret ? createHmac("sha256", secret) : createHash("sha256"); }
  update(data) { this.hash.update(data); }
  async digest() { return new Uint8Array(this.hash.digest()); }
}

/** A link of the gateway's own making, as a tenant's application asks for one. */
async function link(s3, wanted) {
  const { hostname, port, host } = new URL(endpoint);
  const signer = new SignatureV4({ credentials: s3.config.credentials, region: "us-east-1", service: "s3", sha256: Sha256 });
  const body = JSON.stringify({ bucket: MEDIA, ...wanted });
  const { headers } = await signer.sign({ method: "POST", protocol: "http:", hostname, port: Number(port), path: "/-/v1/presign", query: {}, headers: { host, "content-type": "application/json" }, body });
  const answer = await fetch(`${endpoint}/-/v1/presign`, { method: "POST", headers, body });
  return { status: answer.status, ...await answer.json() };
}

/** Kept by the viewer's browser at most, however it was opened. */
const closed = (headers) => {
  if (!/^private\b/.test(headers["cache-control"] ?? "")) throw new Error(`Cache-Control: ${headers["cache-control"]}`);
};

await check("private glTF in several files: refused without a link, and another tenant gets none", async () => {
  const refused = await player("show", "refused", "gltf", url.privateScene).catch((fault) => String(fault));
  if (!/responded with 403/.test(refused)) throw new Error(`three.js says: ${JSON.stringify(refused)}`);
  for (const form of ["path-token", "cookie"]) same((await link(bob, { key: "private/scene/scene.gltf", form, base: edge })).status, 403, form);
});

await check("private glTF in several files, by a path token that reaches no further", async () => {
  const { url: address, status } = await link(alice, { key: "private/scene/scene.gltf", form: "path-token", base: edge });
  same(status, 200, "presign");
  const result = await player("show", "private glTF by a path token", "gltf", address);
  await picture("path-token");
  coloured(result, assets.COLOURS, PLAIN);
  complete(result, url.privateScene);
  closed((await see(address)).headers);
  const scene = `/${MEDIA}/private/scene/scene.gltf`;
  for (const other of [`/${MEDIA}/private/square.glb`, `/${MEDIA}/private/game/index.html`, `/${MEDIA}/private/scene/../square.glb`]) {
    same((await see(address.replace(scene, other).replace("/../", "/%2e%2e/"))).status, 403, other);
  }
  same((await see(address.replace(/(_t\/.{8})(.)/, (_, head, c) => head + (c === "A" ? "B" : "A")))).status, 403, "a token that was changed");
});

await check("private glTF in several files, by cookies of the player's own site", async () => {
  const address = url.privateScene.replace(edge, namedEdge);
  const { cookies, status } = await link(alice, { key: "private/scene/scene.gltf", form: "cookie", base: namedEdge });
  same(status, 200, "presign");
  const tab = await context.newPage();
  try {
    await tab.goto(beside);
    await tab.waitForFunction(() => window.player);
    const show = () => tab.evaluate(([address]) => window.player.show("private glTF by cookies", "gltf", address, { withCredentials: true }), [address]);
    if (!/responded with 403/.test(await show().catch(String))) throw new Error("open without cookies");
    // As the application's own answer sets them for both hosts: Domain=media.localhost.
    await context.addCookies(Object.entries(cookies).map(([name, value]) => ({ name, value, domain: ".media.localhost", path: "/", sameSite: "Lax" })));
    const result = await show();
    await picture("cookie", tab);
    coloured(result, assets.COLOURS, PLAIN);
    complete(result, url.privateScene);
    const look = (options) => tab.evaluate(([address, options]) => window.player.see(address, options), [address, { cache: "no-store", ...options }]);
    closed((await look({ credentials: "include" })).headers);
    same((await look({ credentials: "omit" })).status, 403, "without credentials");
  } finally {
    await context.clearCookies();
    await tab.close();
  }
});

// ---- a tenant's own pages

const MAKES = { origin: "null", storage: "SecurityError", cookie: "SecurityError", level: "harbour", neighbour: "closed" };
const judged = ({ corners, ...report }) => {
  same(report, MAKES, "what the game found");
  coloured({ corners }, assets.COLOURS, PLAIN);
};
const ready = (frame) => frame.waitForFunction(() => globalThis.report, undefined, { timeout: 20_000 }).then((handle) => handle.jsonValue());

await check("an HTML bundle runs on its own: modules, data, WebGL; its origin is opaque, and another tenant's page is closed to it", async () => {
  const tab = await context.newPage();
  try {
    await tab.goto(`${url.game}?neighbour=${encodeURIComponent(url.neighbour)}`);
    const report = await ready(tab);
    await picture("bundle", tab);
    judged(report);
  } finally {
    await tab.close();
  }
});

await check("a private bundle by a path token: its relative URLs work, its origin is opaque", async () => {
  const { url: address } = await link(alice, { key: "private/game/index.html", form: "path-token", base: edge });
  const tab = await context.newPage();
  try {
    await tab.goto(`${address}?neighbour=${encodeURIComponent(url.neighbour)}`);
    const report = await ready(tab);
    await picture("private-bundle", tab);
    judged(report);
  } finally {
    await tab.close();
  }
});

await check("the same bundle in a frame of the isolated player", async () => {
  await player("clear", "a game in a frame");
  await page.evaluate((src) => {
    const frame = Object.assign(document.createElement("iframe"), { width: 300, height: 230, credentialless: true, src });
    document.getElementById("stage").append(frame);
  }, `${url.game}?neighbour=${encodeURIComponent(url.neighbour)}`);
  const frame = await waitFor(() => page.frames().find((f) => f.url().startsWith(url.game)), "the frame");
  const report = await ready(frame);
  await picture("framed-bundle");
  judged(report);
});

await check("an SVG that is opened as a page runs in an opaque origin too", async () => {
  const tab = await context.newPage();
  try {
    await tab.goto(url.svg);
    same(await tab.evaluate(() => [globalThis.ran, self.origin]), [true, "null"], "script ran, origin");
  } finally {
    await tab.close();
  }
});

/** What the scripts told that ran in frames of `addresses`, in a page of their own site. `last` is a page that runs in the end. */
async function ranInFrames(addresses, last) {
  const tab = await context.newPage();
  try {
    // Text has the site's origin and no script, so the frames around it are judged from there.
    await tab.goto(new URL(`/${MEDIA}/public/types/plain.txt`, addresses[0]).href);
    await tab.evaluate(() => { document.title = "the site"; globalThis.told = []; addEventListener("message", ({ data }) => told.push(data)); });
    for (let n = 0; n < addresses.length; n += 25) {
      const some = addresses.slice(n, n + 25);
      const over = (request) => some.includes(request.url());
      let open = some.length;
      const all = new Promise((done) => {
        const one = (request) => { if (over(request) && --open === 0) done(); };
        tab.on("requestfinished", one).on("requestfailed", one);
      });
      await tab.evaluate((some) => {
        for (const frame of document.querySelectorAll("iframe")) frame.remove();
        for (const src of some) document.body.append(Object.assign(document.createElement("iframe"), { src }));
      }, some);
      await Promise.race([all, new Promise((_, fail) => setTimeout(fail, 30_000, new Error(`${open} of ${some.length} frames did not load: ${some[0]} ...`)))]);
      await tab.evaluate((src) => document.body.append(Object.assign(document.createElement("iframe"), { src })), `${last}?${n}`);
      await tab.waitForFunction((n) => told.some(({ name }) => name.endsWith(`?${n}`)), n, { timeout: 20_000 });
    }
    return await tab.evaluate(() => told);
  } finally {
    await tab.close();
  }
}

/** A link to a stored object under a type of the link's own. */
const typed = (site, Key, ResponseContentType) => getSignedUrl(tenant(process.env.TEST_KEY, process.env.TEST_SECRET, site), new GetObjectCommand({ Bucket: MEDIA, Key, ResponseContentType }));

await check(`${cases.length} types, well formed and not: a script runs in an opaque origin or not at all, on both doors`, async () => {
  await publish("types/plain.txt", Buffer.from("plain"), { ContentType: "text/plain" });
  const last = await publish("types/last.html", Buffer.from(anyPage));
  const bodies = [...new Set(cases.map(([, body]) => body))];
  for (const [n, body] of bodies.entries()) await publish(`types/${n}`, Buffer.from(body), { ContentType: "binary/octet-stream" });
  const links = (site) => Promise.all(cases.map(([type, body]) => typed(site, `public/types/${bodies.indexOf(body)}`, type)));
  for (const site of [edge, endpoint]) {
    const told = await ranInFrames(await links(site), last.replace(edge, site));
    const loose = told.filter(({ origin, reach }) => origin !== "null" || reach !== "closed");
    same(loose.map(({ name, origin, reach }) => [new URL(name).searchParams.get("response-content-type"), origin, reach]), [], `${site}: scripts with the site's origin`);
    if (told.length < 20) throw new Error(`only ${told.length} scripts ran: pages do not work any more`);
  }
  // Where the operator gave it up they have that origin: the frames can see it.
  const told = await ranInFrames([await typed(openEdge, `public/types/${bodies.indexOf(anyPage)}`, "text/html(x)")], last.replace(edge, openEdge));
  same(told.map(({ origin, reach }) => [origin, reach]), [[openEdge, "the site"], [openEdge, "the site"]], "without a sandbox");
});

await check("what is stored under a malformed type runs nowhere, also from the browser's cache", async () => {
  const stored = await Promise.all(["text/html(x)", "text/html charset=utf-8", "image/svg+xml("].map((ContentType, n) => publish(`types/stored-${n}`, Buffer.from(anyPage), { ContentType })));
  const last = `${edge}/${MEDIA}/public/types/last.html`;
  for (const round of ["first", "again"]) {
    const told = await ranInFrames(stored, last);
    same(told.filter(({ name }) => stored.includes(name)), [], round);
  }
});

await check("a worker starts, a service worker does not", async () => {
  const script = await publish("types/worker.js", Buffer.from("postMessage('started')"));
  const tab = await context.newPage();
  try {
    await tab.goto(`${edge}/${MEDIA}/public/types/plain.txt`);
    same(await tab.evaluate((script) => new Promise((done) => { new Worker(script).onmessage = ({ data }) => done(data); }), script), "started", "worker");
    same(await tab.evaluate((script) => navigator.serviceWorker.register(script).then(() => "registered", ({ name }) => name), script), "TypeError", "service worker");
  } finally {
    await tab.close();
  }
});

async function waitFor(find, what) {
  for (let n = 0; n < 200; n++) {
    const found = find();
    if (found) return found;
    await new Promise((next) => setTimeout(next, 50));
  }
  throw new Error(`${what} did not come`);
}

await context.close();
if (failed) for (const line of new Set(complaints)) console.log(`     browser's console: ${line.replace(/\s+/g, " ").slice(0, 400)}`);
process.exit(failed ? 1 : 0);
