// Uploads: a queue of files, each in one request or in parts. Whatever the file's size, only the parts on their way are in memory.
//
// Each part is hashed and signed before it is sent. A part that fails is sent again with growing waits. What was begun is noted in this
// browser: the same file dropped on the same key goes on where it was.

import { Refused, pathOf, readRefusal, s3, s3Xml } from "./http.js";
import { prefix, session, wayToS3 } from "./session.js";
import { queryText, sha256, sign } from "./sigv4.js";
import { typeOf } from "./types.js";
import { build } from "./xml.js";

const MB = 1024 * 1024;
const SINGLE = 16 * MB;
const SMALLEST_PART = 8 * MB;
const MOST_PARTS = 10_000;
const FILES_AT_ONCE = 2;
const PARTS_AT_ONCE = 3;
const ATTEMPTS = 6;
const NOTES = "tidegate-uploads";

/**
 * @typedef {{ id: number, file: File, bucket: string, key: string, size: number, sent: number, rate: number,
 *   state: "waiting" | "running" | "done" | "failed" | "cancelled", reason: string, resumed: boolean }} Upload
 */

/** @type {Upload[]} */
export const uploads = [];
const listeners = new Set();
const controls = new Map();
let count = 0;

/** @param {() => void} listener */
export function onUploads(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

const tell = () => listeners.forEach((listener) => listener());

/** @param {File} file */
export function upload(file, bucket, key) {
  uploads.unshift({ id: (count += 1), file, bucket, key, size: file.size, sent: 0, rate: 0, state: "waiting", reason: "", resumed: false });
  next();
}

export function cancel(id) {
  const one = uploads.find((u) => u.id === id);
  if (!one || one.state === "done") return;
  one.state = "cancelled";
  controls.get(id)?.abort();
  next();
}

export function retry(id) {
  const one = uploads.find((u) => u.id === id);
  if (!one) return;
  Object.assign(one, { state: "waiting", reason: "", sent: 0 });
  next();
}

export function clearEnded() {
  for (let at = uploads.length - 1; at >= 0; at -= 1) if (uploads[at].state !== "running" && uploads[at].state !== "waiting") uploads.splice(at, 1);
  tell();
}

function next() {
  tell();
  const running = uploads.filter((u) => u.state === "running").length;
  const waiting = uploads.filter((u) => u.state === "waiting").reverse();
  for (const one of waiting.slice(0, Math.max(0, FILES_AT_ONCE - running))) run(one);
}

async function run(one) {
  const control = new AbortController();
  controls.set(one.id, control);
  one.state = "running";
  try {
    await (one.size <= SINGLE ? whole(one, control.signal) : inParts(one, control.signal));
    one.state = "done";
    one.sent = one.size;
  } catch (fault) {
    if (one.state === "running") {
      control.abort();
      one.state = "failed";
      one.reason = fault.code ? `${fault.code}: ${fault.message}` : String(fault.message ?? fault);
    }
  }
  controls.delete(one.id);
  one.rate = 0;
  next();
}

async function whole(one, signal) {
  const meter = meterOf(one, 0);
  await put(pathOf(one.bucket, one.key), {}, one.file, { "content-type": typeOf(one.file.name, one.file.type) }, meter(), signal);
}

async function inParts(one, signal) {
  const partSize = Math.max(SMALLEST_PART, Math.ceil(one.size / MOST_PARTS / MB) * MB);
  const path = pathOf(one.bucket, one.key);
  const note = `${one.bucket}/${one.key}/${one.size}/${one.file.lastModified}/${partSize}`;
  const { id, parts } = (await begunBefore(path, note)) ?? { id: await begin(path, one), parts: new Map() };
  remember(note, id);
  const numbers = Array.from({ length: Math.ceil(one.size / partSize) }, (_, n) => n + 1).filter((n) => !parts.has(n));
  const sizeOf = (n) => Math.min(partSize, one.size - (n - 1) * partSize);
  one.resumed = parts.size > 0;
  const meter = meterOf(one, [...parts.keys()].reduce((sum, n) => sum + sizeOf(n), 0));
  const worker = async () => {
    for (let n = numbers.shift(); n !== undefined && !signal.aborted; n = numbers.shift()) {
      const blob = one.file.slice((n - 1) * partSize, (n - 1) * partSize + sizeOf(n));
      parts.set(n, await put(path, { partNumber: n, uploadId: id }, blob, {}, meter(), signal));
    }
  };
  await Promise.all(Array.from({ length: PARTS_AT_ONCE }, worker));
  if (signal.aborted) throw new DOMException("cancelled", "AbortError");
  const list = [...parts].sort(([a], [b]) => a - b).map(([n, etag]) => ["Part", [["PartNumber", n], ["ETag", etag]]]);
  const answer = await s3Xml(path, { method: "POST", query: { uploadId: id }, body: build(["CompleteMultipartUpload", list]), headers: { "content-type": "application/xml" }, signal });
  // S3 may answer 200 before it knows, and say so in the document.
  if (answer.name === "Error") throw new Refused(500, answer.text("Code"), answer.text("Message"), "");
  forget(note);
}

async function begin(path, one) {
  const answer = await s3Xml(path, { method: "POST", query: { uploads: "" }, headers: { "content-type": typeOf(one.file.name, one.file.type) } });
  return answer.text("UploadId");
}

/** Adds up what all requests of a file have sent, and how fast. */
function meterOf(one, already) {
  let done = already;
  let last = { at: performance.now(), sent: already };
  const under = new Map();
  return () => {
    const own = {};
    return (bytes, ended) => {
      if (ended) {
        done += bytes;
        under.delete(own);
      } else under.set(own, bytes);
      one.sent = Math.min(one.size, done + [...under.values()].reduce((a, b) => a + b, 0));
      const now = performance.now();
      if (now - last.at > 400) {
        const rate = ((one.sent - last.sent) / (now - last.at)) * 1000;
        one.rate = one.rate ? one.rate * 0.7 + rate * 0.3 : rate;
        last = { at: now, sent: one.sent };
        tell();
      }
    };
  };
}

/** Sends one body until it is taken; returns its ETag. */
async function put(path, query, blob, headers, progress, signal) {
  const hash = await sha256(await blob.arrayBuffer());
  for (let attempt = 1; ; attempt += 1) {
    try {
      const etag = await send(path, query, blob, headers, hash, progress, signal);
      progress(blob.size, true);
      return etag;
    } catch (fault) {
      progress(0, false);
      const isForGood = fault.status >= 400 && fault.status < 500 && fault.code !== "RequestTimeout";
      if (signal.aborted || isForGood || attempt === ATTEMPTS) throw fault;
      await new Promise((resolve) => setTimeout(resolve, 300 * 2 ** attempt * (0.5 + Math.random())));
      // Cancelled meanwhile: nothing more of it is sent.
      signal.throwIfAborted();
    }
  }
}

/** By XMLHttpRequest: fetch does not tell how far a body is. The browser reads the file as it sends. */
async function send(path, query, blob, headers, hash, progress, signal) {
  const { key, secret, region } = /** @type {import("./session.js").Session} */ (session());
  const signed = await sign({ method: "PUT", host: location.host, path: prefix + path, query, headers, hash, key, secret, region });
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const search = queryText(query);
    request.open("PUT", `${prefix}${wayToS3}${path}${search ? `?${search}` : ""}`);
    for (const [name, value] of Object.entries(signed)) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => progress(event.loaded, false);
    request.onload = () => {
      if (request.status === 200) resolve(request.getResponseHeader("etag"));
      else reject(readRefusal(request.status, request.statusText, request.responseText, request.getResponseHeader("x-amz-request-id") ?? ""));
    };
    request.onerror = () => reject(new Refused(0, "Unreachable", "The connection broke.", ""));
    request.onabort = () => reject(new DOMException("cancelled", "AbortError"));
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(blob);
  });
}

// What was begun, by file and key: only ids of uploads, which open nothing without a key.

const notes = () => JSON.parse(localStorage.getItem(NOTES) ?? "{}");
const keep = (all) => localStorage.setItem(NOTES, JSON.stringify(Object.fromEntries(Object.entries(all).slice(-100))));
const remember = (note, id) => keep({ ...notes(), [note]: id });
const forget = (note) => keep(Object.fromEntries(Object.entries(notes()).filter(([name]) => name !== note)));

async function begunBefore(path, note) {
  const id = notes()[note];
  if (!id) return null;
  const parts = new Map();
  try {
    for (let marker = 0; marker !== null; ) {
      const page = await s3Xml(path, { query: { uploadId: id, "part-number-marker": marker || undefined } });
      page.all("Part").forEach((part) => parts.set(Number(part.text("PartNumber")), part.text("ETag")));
      marker = page.text("IsTruncated") === "true" ? Number(page.text("NextPartNumberMarker")) : null;
    }
    return { id, parts };
  } catch (fault) {
    if (fault.status !== 404) throw fault;
    forget(note);
    return null;
  }
}

/** Tells the gateway to let go of the parts of an upload that is not wanted any more. */
export async function abandon(one) {
  const begun = Object.entries(notes()).find(([note]) => note.startsWith(`${one.bucket}/${one.key}/${one.size}/`));
  if (!begun) return;
  forget(begun[0]);
  await s3(pathOf(one.bucket, one.key), { method: "DELETE", query: { uploadId: begun[1] } }).catch(() => {});
}
