// AWS Signature Version 4, in headers and in addresses, by WebCrypto. Pure: it is told the time, and sends nothing.

const text = new TextEncoder();
export const EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
export const UNSIGNED = "UNSIGNED-PAYLOAD";

const hex = (buffer) => Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** @param {string | BufferSource} data */
export async function sha256(data) {
  return hex(await crypto.subtle.digest("SHA-256", typeof data === "string" ? text.encode(data) : data));
}

async function hmac(key, data) {
  const imported = await crypto.subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return crypto.subtle.sign("HMAC", imported, text.encode(data));
}

/** RFC 3986: everything but unreserved characters. */
export const encode = (value) => encodeURIComponent(value).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);

/** A key as it stands in a path. */
export const encodePath = (key) => key.split("/").map(encode).join("/");

/** Parameters in the order of signatures. @param {Record<string, string | number | undefined>} query */
export function queryText(query) {
  const pairs = Object.entries(query).filter(([, value]) => value !== undefined).map(([name, value]) => [encode(name), encode(String(value))]);
  pairs.sort(([a, x], [b, y]) => (a < b ? -1 : a > b ? 1 : x < y ? -1 : 1));
  return pairs.map(([name, value]) => `${name}=${value}`).join("&");
}

const amzDate = (now) => now.toISOString().replace(/[-:]|\.\d{3}/g, "");

/** Keys of a day, so that a request costs one HMAC. */
const keys = new Map();

async function signingKey(secret, day, region, service) {
  const name = `${day}/${region}/${service}/${secret}`;
  if (!keys.has(name)) {
    keys.clear();
    /** @type {BufferSource} */
    let key = text.encode(`AWS4${secret}`);
    for (const part of [day, region, service, "aws4_request"]) key = await hmac(key, part);
    keys.set(name, key);
  }
  return keys.get(name);
}

async function signature(request, date, scope, secret, region, service) {
  const canonical = await sha256(request);
  const toSign = `AWS4-HMAC-SHA256\n${date}\n${scope}\n${canonical}`;
  return hex(await hmac(await signingKey(secret, date.slice(0, 8), region, service), toSign));
}

/**
 * The headers that sign a request, beside those given (in lower case). `path` is encoded already.
 * @param {{ method: string, host: string, path: string, query?: Record<string, any>, headers?: Record<string, string>, hash?: string,
 *   key: string, secret: string, region?: string, service?: string, now?: Date }} request
 */
export async function sign({ method, host, path, query = {}, headers = {}, hash = EMPTY, key, secret, region = "us-east-1", service = "s3", now = new Date() }) {
  const date = amzDate(now);
  const scope = `${date.slice(0, 8)}/${region}/${service}/aws4_request`;
  const all = { ...headers, host, "x-amz-content-sha256": hash, "x-amz-date": date };
  const names = Object.keys(all).sort();
  const canonical = [method, path, queryText(query), ...names.map((name) => `${name}:${String(all[name]).trim().replace(/ +/g, " ")}`), "", names.join(";"), hash].join("\n");
  const signed = await signature(canonical, date, scope, secret, region, service);
  const { host: _, ...sent } = all;
  return { ...sent, authorization: `AWS4-HMAC-SHA256 Credential=${key}/${scope}, SignedHeaders=${names.join(";")}, Signature=${signed}` };
}

/** The query of an address that anyone may open until it expires. */
export async function presign({ method = "GET", host, path, query = {}, expires = 3600, key, secret, region = "us-east-1", now = new Date() }) {
  const date = amzDate(now);
  const scope = `${date.slice(0, 8)}/${region}/s3/aws4_request`;
  const all = {
    ...query, "X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Credential": `${key}/${scope}`, "X-Amz-Date": date,
    "X-Amz-Expires": String(expires), "X-Amz-SignedHeaders": "host",
  };
  const canonical = [method, path, queryText(all), `host:${host}`, "", "host", UNSIGNED].join("\n");
  return `${queryText(all)}&X-Amz-Signature=${await signature(canonical, date, scope, secret, region, "s3")}`;
}
