// S3's operations, as far as the page needs them: what is asked, and what of the answer is shown.

import { pathOf, s3, s3Xml } from "./http.js";
import { sha256 } from "./sigv4.js";
import { build } from "./xml.js";

/** @typedef {{ name: string, created: string }} Bucket */

/** @returns {Promise<Bucket[]>} */
export async function listBuckets() {
  const document = await s3Xml("/");
  return (document.one("Buckets")?.all("Bucket") ?? []).map((b) => ({ name: b.text("Name"), created: b.text("CreationDate") }));
}

export const makeBucket = (bucket, { lock = false } = {}) =>
  s3(pathOf(bucket), { method: "PUT", headers: lock ? { "x-amz-bucket-object-lock-enabled": "true" } : {} });
export const deleteBucket = (bucket) => s3(pathOf(bucket), { method: "DELETE" });

/**
 * One page of a folder: folders and objects in the order of their names.
 * @typedef {{ key: string, folder: boolean, size: number, modified: string, etag: string }} Entry
 * @param {string} bucket @param {{ prefix?: string, token?: string, delimiter?: string, max?: number, signal?: AbortSignal }} [options]
 * @returns {Promise<{ entries: Entry[], next: string | null }>}
 */
export async function listPage(bucket, { prefix = "", token, delimiter = "/", max = 1000, signal } = {}) {
  const query = { "list-type": 2, prefix, delimiter: delimiter || undefined, "max-keys": max, "encoding-type": "url", "continuation-token": token || undefined };
  const document = await s3Xml(pathOf(bucket), { query, signal });
  const folders = foldersOf(document);
  const objects = document.all("Contents").map((o) => ({
    key: decode(o.text("Key")), folder: false, size: Number(o.text("Size")), modified: o.text("LastModified"), etag: o.text("ETag"),
  }));
  // Each is sorted already; together they are in the order of the listing.
  // The object that stands for the folder itself is not in it.
  const entries = merge(folders, objects).filter((entry) => !delimiter || entry.key !== prefix);
  return { entries, next: document.text("IsTruncated") === "true" ? document.text("NextContinuationToken") : null };
}

/** One page of what a folder had and has no more, and its folders, which may have such: where versions are kept.
 * @param {string} bucket @param {{ prefix?: string, token?: string, delimiter?: string, signal?: AbortSignal }} [options] */
export async function listDeleted(bucket, { prefix = "", token, delimiter = "/", signal } = {}) {
  const { versions, folders, next } = await listVersions(bucket, prefix, { ...(token ? JSON.parse(token) : {}), delimiter, max: 1000, signal });
  const gone = versions.filter((one) => one.latest && one.marker).map((one) => ({ key: one.key, folder: false, deleted: one.id, size: NaN, modified: one.modified, etag: one.id }));
  return { entries: merge(folders, gone), next: next && JSON.stringify(next) };
}

const foldersOf = (document) => document.all("CommonPrefixes").map((p) => ({ key: decode(p.text("Prefix")), folder: true, size: NaN, modified: "", etag: "" }));

const decode = (text) => decodeURIComponent(text.replace(/\+/g, " "));

function merge(a, b) {
  if (!a.length || !b.length) return a.length ? a : b;
  return [...a, ...b].sort((x, y) => (x.key < y.key ? -1 : x.key > y.key ? 1 : 0));
}

/** Pages of keys. By tokens, so that what can't be deleted is passed over. */
export async function* everythingBelow(bucket, prefix) {
  for (let token; ; ) {
    const page = await listPage(bucket, { prefix, token, delimiter: "", max: 1000 });
    if (page.entries.length) yield page.entries.map((entry) => entry.key);
    if (!page.next) return;
    token = page.next;
  }
}

/** Versions and delete markers whose key begins so, newest first for each key.
 * @param {string} bucket @param {string} prefix
 * @param {{ keyMarker?: string, versionMarker?: string, delimiter?: string, max?: number, signal?: AbortSignal }} [options] */
export async function listVersions(bucket, prefix, { keyMarker, versionMarker, delimiter, max = 200, signal } = {}) {
  const query = { versions: "", prefix, delimiter: delimiter || undefined, "max-keys": max, "encoding-type": "url", "key-marker": keyMarker, "version-id-marker": versionMarker };
  const document = await s3Xml(pathOf(bucket), { query, signal });
  const versions = document.children.filter((c) => c.name === "Version" || c.name === "DeleteMarker").map((v) => ({
    key: decode(v.text("Key")), id: v.text("VersionId"), latest: v.text("IsLatest") === "true", marker: v.name === "DeleteMarker",
    size: Number(v.text("Size") || NaN), modified: v.text("LastModified"), etag: v.text("ETag"),
  }));
  const more = document.text("IsTruncated") === "true";
  const next = more ? { keyMarker: decode(document.text("NextKeyMarker")), versionMarker: document.text("NextVersionIdMarker") || undefined } : null;
  return { versions, folders: foldersOf(document), next };
}

/** @typedef {{ version?: string, signal?: AbortSignal, headers?: Record<string, string> }} OfVersion */

/** What is known of an object: its headers. @param {string} bucket @param {string} key @param {OfVersion} [options] */
export async function head(bucket, key, { version, signal } = {}) {
  const response = await s3(pathOf(bucket, key), { method: "HEAD", query: { versionId: version }, signal });
  return response.headers;
}

/** Its first bytes. @param {string} bucket @param {string} key @param {number} count @param {OfVersion} [options] @returns {Promise<ArrayBuffer>} */
export async function firstBytes(bucket, key, count, { version, signal } = {}) {
  const response = await s3(pathOf(bucket, key), { query: { versionId: version }, headers: { range: `bytes=0-${count - 1}` }, signal });
  return response.arrayBuffer();
}

/** @param {string} bucket @param {string} key @param {OfVersion} [options] */
export const deleteObject = (bucket, key, { version } = {}) => s3(pathOf(bucket, key), { method: "DELETE", query: { versionId: version } });

/** Up to 1,000 at once. Returns those that could not be deleted. @param {{ key: string, version?: string }[]} objects */
export async function deleteObjects(bucket, objects) {
  const body = build(["Delete", [["Quiet", "true"], ...objects.map((o) => ["Object", [["Key", o.key], o.version ? ["VersionId", o.version] : null]])]]);
  const headers = { "content-type": "application/xml", "x-amz-checksum-sha256": await checksum(body) };
  const document = await s3Xml(pathOf(bucket), { method: "POST", query: { delete: "" }, headers, body });
  return document.all("Error").map((e) => ({ key: e.text("Key"), code: e.text("Code"), message: e.text("Message") }));
}

/** SHA-256 in the form of S3's checksum headers. */
async function checksum(body) {
  const hex = await sha256(body);
  return btoa(String.fromCharCode(...hex.match(/../g).map((byte) => parseInt(byte, 16))));
}

/** @param {string} bucket @param {string} key @param {{ bucket: string, key: string }} source @param {OfVersion} [options] */
export async function copy(bucket, key, source, { version, headers = {} } = {}) {
  const from = `${pathOf(source.bucket, source.key)}${version ? `?versionId=${version}` : ""}`;
  return s3(pathOf(bucket, key), { method: "PUT", headers: { ...headers, "x-amz-copy-source": from } });
}

// Settings of buckets and objects: a sub-resource each.

/** The text of a sub-resource; null where it was never set. */
export async function getSetting(path, name, { missing = [], query = {} } = {}) {
  try {
    return await (await s3(path, { query: { [name]: "", ...query } })).text();
  } catch (fault) {
    if (fault.status === 404 && (missing.length === 0 || missing.includes(fault.code))) return null;
    throw fault;
  }
}

export async function putSetting(path, name, body, { type = "application/xml", query = {}, headers = {} } = {}) {
  await s3(path, { method: "PUT", query: { [name]: "", ...query }, headers: { "content-type": type, "x-amz-checksum-sha256": await checksum(body), ...headers }, body });
}

export const deleteSetting = (path, name, { query = {} } = {}) => s3(path, { method: "DELETE", query: { [name]: "", ...query } });

/** Whether older versions may be there. */
export const keepsVersions = async (bucket) => (await s3Xml(pathOf(bucket), { query: { versioning: "" } })).text("Status") !== "";

// Tags

/** @returns {Promise<[string, string][]>} */
export async function getTags(path, query = {}) {
  const document = await s3Xml(path, { query: { tagging: "", ...query } }).catch((fault) => {
    if (fault.code === "NoSuchTagSet") return null;
    throw fault;
  });
  return (document?.one("TagSet")?.all("Tag") ?? []).map((tag) => [tag.text("Key"), tag.text("Value")]);
}

export const putTags = (path, tags, query = {}) =>
  tags.length
    ? putSetting(path, "tagging", build(["Tagging", [["TagSet", tags.map(([key, value]) => ["Tag", [["Key", key], ["Value", value]]])]]]), { query })
    : deleteSetting(path, "tagging", { query });
