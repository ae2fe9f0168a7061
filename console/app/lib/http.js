// Signed requests to the two doors, and what went wrong with them in words.

import { parse } from "./xml.js";
import { endpoint, prefix, session, wayToS3 } from "./session.js";
import { encode, encodePath, presign, queryText, sha256, sign } from "./sigv4.js";

/** What the gateway said: S3's code and text. */
export class Refused extends Error {
  constructor(status, code, message, requestId) {
    super(message);
    this.status = status;
    this.code = code;
    this.requestId = requestId;
  }
}

/** Which requests the page waits for, so that a view that is left lets go of them. */
export const isAborted = (fault) => fault?.name === "AbortError";

async function refusal(response) {
  const text = response.bodyUsed ? "" : await response.text().catch(() => "");
  const id = response.headers.get("x-amz-request-id") ?? "";
  return readRefusal(response.status, response.statusText, text, id);
}

/** @param {number} status @param {string} statusText @param {string} text @param {string} id */
export function readRefusal(status, statusText, text, id) {
  try {
    if (text.trimStart().startsWith("{")) {
      const document = JSON.parse(text);
      return new Refused(status, document.code ?? String(status), document.message ?? statusText, id);
    }
    const document = parse(text);
    const error = document.name === "Error" ? document : document.one("Error");
    if (error) return new Refused(status, error.text("Code") || String(status), error.text("Message") || statusText, id);
  } catch {
    // Not one of our documents: a proxy's page, or nothing.
  }
  const words = { 403: "The key may not do this.", 404: "There is nothing here.", 503: "The gateway is busy." };
  return new Refused(status, String(status), words[status] || statusText || `The answer was ${status}.`, id);
}

/**
 * @typedef {{ method?: string, query?: Record<string, any>, headers?: Record<string, string>, body?: any, hash?: string, signal?: AbortSignal,
 *   service?: string, as?: import("./session.js").Session }} Options
 */

/** A signed request; throws `Refused` unless the answer is good. `path` is encoded; `way` is what the door takes off it.
 * @param {string} way @param {string} path @param {Options} [options] */
async function send(way, path, { method = "GET", query = {}, headers = {}, body, hash, signal, service = "s3", as = session() } = {}) {
  if (!as) throw new Refused(401, "SignedOut", "Sign in again.", "");
  const payload = hash ?? (body === undefined ? undefined : await sha256(body));
  const signed = await sign({
    // A colon, as in :optimize, stands as it is on the way and is encoded in what is signed.
    method, host: location.host, path: prefix + path.replaceAll(":", "%3A"), query, headers, hash: payload, key: as.key, secret: as.secret, region: as.region, service,
  });
  const search = queryText(query);
  let response;
  try {
    response = await fetch(`${prefix}${way}${path}${search ? `?${search}` : ""}`, { method, headers: signed, body, signal, cache: "no-store", redirect: "error" });
  } catch (fault) {
    if (isAborted(fault)) throw fault;
    throw new Refused(0, "Unreachable", "The gateway can't be reached. Is it running?", "");
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

/** To the S3 door. @param {string} path @param {Options} [options] */
export const s3 = (path, options) => send(wayToS3, path, options);
/** To the door that shows this page. @param {string} path @param {Options} [options] */
export const own = (path, options) => send("", path, options);

/** @param {string} path @param {Options} [options] */
export const s3Xml = async (path, options) => parse(await (await s3(path, options)).text());

const json = async (response) => (response.status === 204 ? null : response.json());
/** The tenants' API. @param {string} path @param {Options & { json?: any }} [options] */
export const api = async (path, { json: document, ...options } = {}) => json(await s3(`/-/v1/${path}`, withJson(document, options)));
/** The operator's API. @param {string} path @param {Options & { json?: any }} [options] */
export const admin = async (path, { json: document, ...options } = {}) => json(await own(`/-/admin/v1/${path}`, withJson(document, options)));

function withJson(document, options) {
  if (document === undefined) return options;
  return { method: "POST", ...options, headers: { "content-type": "application/json" }, body: JSON.stringify(document) };
}

/** The path of a bucket, or of a key in it. */
export const pathOf = (bucket, key) => (key === undefined ? `/${encode(bucket)}` : `/${encode(bucket)}/${encodePath(key)}`);

/** An address of this page's own origin, for what the browser loads by itself. */
export async function address(path, query = {}, expires = 3600) {
  const { key, secret, region } = /** @type {import("./session.js").Session} */ (session());
  return `${prefix}${wayToS3}${path}?${await presign({ host: location.host, path: prefix + path, query, expires, key, secret, region })}`;
}

/** An address for others, of the S3 door as they know it. */
export async function link(path, { method = "GET", query = {}, expires = 3600 } = {}) {
  const { key, secret, region } = /** @type {import("./session.js").Session} */ (session());
  const base = new URL(endpoint() ?? `${location.origin}${prefix}`);
  const before = base.pathname.replace(/\/$/, "");
  const way = endpoint() === null ? wayToS3 : "";
  const full = before + path;
  return `${base.origin}${before}${way}${path}?${await presign({ method, host: base.host, path: full, query, expires, key, secret, region })}`;
}
