// AWS SDK for JavaScript v3 with its default settings: commands, lib-storage, the presigner. Run by suite.py.
//
// NODE_PATH does not work for modules, so the packages are loaded from the folder named by JS_MODULES.

import { createHash, randomBytes } from "node:crypto";
import dns from "node:dns";
import { createRequire } from "node:module";
import { Readable } from "node:stream";

const load = createRequire(`${process.env.JS_MODULES}/package.json`);
const {
  S3Client, CopyObjectCommand, CreateBucketCommand, CreateMultipartUploadCommand, AbortMultipartUploadCommand, DeleteBucketCommand,
  DeleteObjectCommand, DeleteObjectsCommand, GetObjectAttributesCommand, GetObjectCommand, HeadObjectCommand, ListMultipartUploadsCommand,
  ListObjectsV2Command, PutObjectCommand, UploadPartCommand, CompleteMultipartUploadCommand, ListBucketsCommand, paginateListObjectsV2,
  DeleteBucketLifecycleCommand, GetBucketLifecycleConfigurationCommand, GetBucketVersioningCommand, GetObjectLockConfigurationCommand,
  GetObjectRetentionCommand, GetObjectTaggingCommand, ListObjectVersionsCommand, PutBucketLifecycleConfigurationCommand,
  PutBucketVersioningCommand, PutObjectLegalHoldCommand, PutObjectRetentionCommand, PutObjectTaggingCommand,
} = load("@aws-sdk/client-s3");
const { Upload } = load("@aws-sdk/lib-storage");
const { getSignedUrl } = load("@aws-sdk/s3-request-presigner");

const { TEST_RUN: run, TEST_ENDPOINT: endpoint, TEST_DOMAIN: domain } = process.env;
const named = (name) => `${run.replace("/", "-")}-${name}`;
const bucket = named("main");
const FOLDERS = process.env.TEST_OVER === "s3"; // a bucket is a folder upstream, where only the bucket upstream keeps versions
const MiB = 1 << 20;
const ODD_KEYS = ["a+b c", "per%cent %41%2F", "double//slash", "dots/../up", "./dot", "quote'()!*", "and&eq=?#hash;semi,comma:colon@at$dollar",
  "brackets[]{}|\\^`\"<>", "ünï/cödé/日本語/🎈", "trailing/", " lead and trail "];

function client(settings = {}) {
  return new S3Client({
    endpoint, region: "us-east-1", credentials: { accessKeyId: process.env.TEST_KEY, secretAccessKey: process.env.TEST_SECRET }, ...settings,
  });
}
const s3 = client();
const other = client({ credentials: { accessKeyId: process.env.TEST_OTHER_KEY, secretAccessKey: process.env.TEST_OTHER_SECRET } });

let failed = 0;
async function check(name, body) {
  try {
    await body();
    console.log(`ok   ${run}: ${name}`);
  } catch (fault) {
    failed += 1;
    const at = /js_suite\.mjs:(\d+)/.exec(fault.stack ?? "")?.[1];
    console.log(`FAIL ${run}: ${name}: ${fault.name}: ${String(fault.message).replace(/\s+/g, " ").slice(0, 600)} (js_suite.mjs:${at})`);
  }
}

function same(got, want, what) {
  const [a, b] = [got, want].map((v) => (Buffer.isBuffer(v) ? `${v.length} bytes, ${createHash("md5").update(v).digest("hex")}` : JSON.stringify(v)));
  if (a !== b) throw new Error(`${what}: got ${a?.slice(0, 200)}, want ${b?.slice(0, 200)}`);
}

async function refused(code, client, command) {
  try {
    await client.send(command);
  } catch (fault) {
    if (![code].flat().includes(fault.name)) throw new Error(`want ${code}, got ${fault.name}: ${fault.message}`);
    return fault;
  }
  throw new Error(`succeeded, want ${code}`);
}

const at = (Key, more = {}) => ({ Bucket: bucket, Key, ...more });
const bytesOf = async (answer) => Buffer.from(await answer.Body.transformToByteArray());
const read = async (key, more) => bytesOf(await s3.send(new GetObjectCommand(at(key, more))));
const crc32 = (data) => {
  let crc = ~0;
  for (const byte of data) {
    crc ^= byte;
    for (let n = 0; n < 8; n++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  const out = Buffer.alloc(4);
  out.writeUInt32BE(~crc >>> 0);
  return out.toString("base64");
};

await check("make a bucket and list it", async () => {
  await s3.send(new CreateBucketCommand({ Bucket: bucket }));
  const { Buckets } = await s3.send(new ListBucketsCommand({}));
  same(Buckets.some((b) => b.Name === bucket), true, "listed");
});

await check("put and get: 0 B, 1 B, 4 KiB, 1 MiB, 6 MiB (checksums by default)", async () => {
  for (const size of [0, 1, 4096, MiB, 6 * MiB]) {
    const data = randomBytes(size);
    const put = await s3.send(new PutObjectCommand(at(`size/${size}`, { Body: data })));
    same(put.ETag, `"${createHash("md5").update(data).digest("hex")}"`, "ETag");
    if (size < MiB) same(put.ChecksumCRC32, crc32(data), "CRC32 of the put");
    same(await read(`size/${size}`), data, "body");
  }
});

await check("put of a stream with a known length, as text, and of a web stream's bytes", async () => {
  const data = randomBytes(300_000);
  await s3.send(new PutObjectCommand(at("stream", { Body: Readable.from([data.subarray(0, 100_000), data.subarray(100_000)]), ContentLength: data.length })));
  same(await read("stream"), data, "body");
  await s3.send(new PutObjectCommand(at("text", { Body: "grüße", ContentType: "text/plain; charset=utf-8" })));
  same((await read("text")).toString(), "grüße", "text");
});

await check("all five checksum algorithms, validated again on get", async () => {
  const data = randomBytes(70_000);
  for (const name of ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"]) {
    const put = await s3.send(new PutObjectCommand(at("sum", { Body: data, ChecksumAlgorithm: name })));
    same(typeof put[`Checksum${name}`], "string", name);
    const got = await s3.send(new GetObjectCommand(at("sum")));
    same(got[`Checksum${name}`], put[`Checksum${name}`], `${name} on get`);
    same(await bytesOf(got), data, "body");
  }
  await refused(["BadDigest", "InvalidRequest"], s3, new PutObjectCommand(at("sum", { Body: data, ChecksumSHA256: Buffer.alloc(32).toString("base64") })));
});

await check("lib-storage Upload: 20 MiB from memory, from a stream of unknown length, and small", async () => {
  const data = randomBytes(20 * MiB);
  for (const Body of [data, Readable.from((function* () { for (let n = 0; n < data.length; n += 777_777) yield data.subarray(n, n + 777_777); })())]) {
    await new Upload({ client: s3, params: at("big", { Body, ContentType: "video/mp4", Metadata: { a: "b" } }) }).done();
    same(await read("big"), data, "body");
  }
  same((await s3.send(new HeadObjectCommand(at("big")))).Metadata, { a: "b" }, "metadata");
  same(await read("big", { Range: "bytes=5242870-5242890" }), data.subarray(5242870, 5242891), "a range over a part's border");
  same((await s3.send(new GetObjectCommand(at("big", { PartNumber: 2 })))).PartsCount, 4, "parts");
  await new Upload({ client: s3, params: at("small", { Body: Readable.from([Buffer.from("tiny")]) }) }).done();
  same((await read("small")).toString(), "tiny", "small");
});

await check("multipart by hand with SHA256, and abort", async () => {
  const parts = [randomBytes(5 * MiB), randomBytes(10)];
  const { UploadId } = await s3.send(new CreateMultipartUploadCommand(at("hand", { ChecksumAlgorithm: "SHA256" })));
  const Parts = [];
  for (const [n, Body] of parts.entries()) {
    const sent = await s3.send(new UploadPartCommand(at("hand", { UploadId, PartNumber: n + 1, Body, ChecksumAlgorithm: "SHA256" })));
    Parts.push({ PartNumber: n + 1, ETag: sent.ETag, ChecksumSHA256: sent.ChecksumSHA256 });
  }
  const done = await s3.send(new CompleteMultipartUploadCommand(at("hand", { UploadId, MultipartUpload: { Parts } })));
  same(done.ChecksumSHA256.endsWith("-2"), true, "composite");
  same(await read("hand"), Buffer.concat(parts), "body");
  const seen = await s3.send(new GetObjectAttributesCommand(at("hand", { ObjectAttributes: ["ObjectSize", "ObjectParts"] })));
  same([seen.ObjectSize, seen.ObjectParts.TotalPartsCount], [5 * MiB + 10, 2], "attributes");
  const left = await s3.send(new CreateMultipartUploadCommand(at("left")));
  await s3.send(new AbortMultipartUploadCommand(at("left", { UploadId: left.UploadId })));
  same((await s3.send(new ListMultipartUploadsCommand({ Bucket: bucket }))).Uploads ?? [], [], "uploads left");
});

await check("ranges, and one beyond the end", async () => {
  const data = randomBytes(10_000);
  await s3.send(new PutObjectCommand(at("range", { Body: data })));
  same(await read("range", { Range: "bytes=-5" }), data.subarray(-5), "suffix");
  same(await read("range", { Range: "bytes=10-19" }), data.subarray(10, 20), "middle");
  await refused("InvalidRange", s3, new GetObjectCommand(at("range", { Range: "bytes=10000-" })));
});

await check("odd keys: put, get, copy, list, delete in a batch", async () => {
  for (const key of ODD_KEYS) {
    await s3.send(new PutObjectCommand(at(`odd/${key}`, { Body: key })));
    same((await read(`odd/${key}`)).toString(), key, key);
    await s3.send(new CopyObjectCommand(at(`odd/copy/${key}`, { CopySource: `${bucket}/${encodeURIComponent(`odd/${key}`)}` })));
    same((await read(`odd/copy/${key}`)).toString(), key, `copy of ${key}`);
  }
  const listed = (await s3.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: "odd/" }))).Contents.map((o) => o.Key);
  const want = ODD_KEYS.flatMap((k) => [`odd/${k}`, `odd/copy/${k}`]).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  same(listed, want, "listing");
  const gone = await s3.send(new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects: listed.map((Key) => ({ Key })) } }));
  same([gone.Deleted.length, gone.Errors ?? []], [listed.length, []], "deleted");
});

await check("listing by pages, with a delimiter", async () => {
  for (let n = 0; n < 25; n++) await s3.send(new PutObjectCommand(at(`pages/${n % 3}/${n}`, { Body: "x" })));
  let keys = 0;
  for await (const page of paginateListObjectsV2({ client: s3, pageSize: 7 }, { Bucket: bucket, Prefix: "pages/" })) keys += page.Contents.length;
  same(keys, 25, "keys");
  const cut = await s3.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: "pages/", Delimiter: "/" }));
  same(cut.CommonPrefixes.map((p) => p.Prefix), ["pages/0/", "pages/1/", "pages/2/"], "prefixes");
});

await check("headers that are stored", async () => {
  const Expires = new Date("2031-03-04T05:06:07Z");
  await s3.send(new PutObjectCommand(at("meta", { Body: "x", ContentType: "model/gltf-binary", CacheControl: "max-age=1", ContentEncoding: "br", Expires, Metadata: { run: "7" } })));
  const head = await s3.send(new HeadObjectCommand(at("meta")));
  same([head.ContentType, head.CacheControl, head.ContentEncoding, head.ExpiresString, head.Metadata],
    ["model/gltf-binary", "max-age=1", "br", "Tue, 04 Mar 2031 05:06:07 GMT", { run: "7" }], "head");
});

await check("conditional put and get", async () => {
  const { ETag } = await s3.send(new PutObjectCommand(at("cond", { Body: "1", IfNoneMatch: "*" })));
  await refused("PreconditionFailed", s3, new PutObjectCommand(at("cond", { Body: "2", IfNoneMatch: "*" })));
  await s3.send(new PutObjectCommand(at("cond", { Body: "2", IfMatch: ETag })));
  await refused("PreconditionFailed", s3, new PutObjectCommand(at("cond", { Body: "3", IfMatch: ETag })));
  const fault = await refused(["304", "NotModified", "Unknown", "UnknownError"], s3, new GetObjectCommand(at("cond", { IfNoneMatch: (await s3.send(new HeadObjectCommand(at("cond")))).ETag })));
  same(fault.$metadata.httpStatusCode, 304, "status");
});

// fetch() takes no CA argument: the CA comes by NODE_EXTRA_CA_CERTS. It resolves "./" and "../" in URLs before it sends them, as browsers do.
await check("presigned GET, of odd keys too, with an override", async () => {
  for (const key of ["text", ...ODD_KEYS.filter((k) => !k.includes("./"))]) {
    await s3.send(new PutObjectCommand(at(key, { Body: "by url" })));
    const answer = await fetch(await getSignedUrl(s3, new GetObjectCommand(at(key, { ResponseContentType: "text/x-y" }))));
    same([answer.status, answer.headers.get("content-type"), await answer.text()], [200, "text/x-y", "by url"], key);
  }
});

await check("presigned PUT (with the presigner's dummy crc32), with hoisted headers, with a signed type", async () => {
  const plain = await getSignedUrl(s3, new PutObjectCommand(at("put")));
  same((await fetch(plain, { method: "PUT", body: "one" })).status, 200, `PUT ${plain}`);
  same((await read("put")).toString(), "one", "body");
  const hoisted = await getSignedUrl(s3, new PutObjectCommand(at("put", { Metadata: { run: "9" } })), { expiresIn: 60 });
  same((await fetch(hoisted, { method: "PUT", body: "two" })).status, 200, `PUT ${hoisted}`);
  same((await s3.send(new HeadObjectCommand(at("put")))).Metadata, { run: "9" }, "metadata hoisted into the URL");
  const typed = await getSignedUrl(s3, new PutObjectCommand(at("put", { ContentType: "image/png" })), { signableHeaders: new Set(["content-type"]) });
  same((await fetch(typed, { method: "PUT", body: "png", headers: { "content-type": "image/png" } })).status, 200, "PUT with its type");
  same((await fetch(typed, { method: "PUT", body: "gif", headers: { "content-type": "image/gif" } })).status, 403, "PUT with another type");
  same((await fetch(plain, { method: "PUT", body: "no", headers: { "x-amz-copy-source": `/${bucket}/text` } })).status, 403, "an unsigned copy source");
});

if (domain) {
  await check("virtual-host addressing", async () => {
    const lookup = dns.lookup;
    dns.lookup = (host, options, done) => (host.endsWith(domain) ? lookup("127.0.0.1", options, done) : lookup(host, options, done));
    try {
      const port = new URL(endpoint).port;
      const byName = client({ endpoint: `${new URL(endpoint).protocol}//${domain}:${port}` });
      for (const key of ODD_KEYS) {
        await byName.send(new PutObjectCommand(at(key, { Body: `host ${key}` })));
        same((await bytesOf(await byName.send(new GetObjectCommand(at(key))))).toString(), `host ${key}`, key);
        same((await read(key)).toString(), `host ${key}`, `${key} by path`);
      }
    } finally {
      dns.lookup = lookup;
    }
  });
}

async function namesTheSetting(command) {
  const fault = await refused("NotImplemented", s3, command);
  if (!fault.message.includes("upstream.buckets")) throw new Error(`no word of upstream.buckets: ${fault.message}`);
}

await check("versions: two by their ids, a marker, restored", async () => {
  const Bucket = named("versions");
  await s3.send(new CreateBucketCommand({ Bucket }));
  const enable = new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status: "Enabled" } });
  if (FOLDERS) {
    await namesTheSetting(enable);
    return s3.send(new DeleteBucketCommand({ Bucket }));
  }
  await s3.send(enable);
  same((await s3.send(new GetBucketVersioningCommand({ Bucket }))).Status, "Enabled", "status");
  const k = (more = {}) => ({ Bucket, Key: "k", ...more });
  const text = async (more) => (await s3.send(new GetObjectCommand(k(more)))).Body.transformToString();
  const one = (await s3.send(new PutObjectCommand(k({ Body: "one" })))).VersionId;
  const two = (await s3.send(new PutObjectCommand(k({ Body: "two" })))).VersionId;
  same([await text(), await text({ VersionId: one }), await text({ VersionId: two })], ["two", "one", "two"], "bodies");
  const listed = (await s3.send(new ListObjectVersionsCommand({ Bucket }))).Versions;
  same(listed.map((v) => [v.VersionId, v.IsLatest]), [[two, true], [one, false]], "listing");
  const marker = await s3.send(new DeleteObjectCommand(k()));
  same(marker.DeleteMarker, true, "DeleteMarker");
  await refused("NoSuchKey", s3, new GetObjectCommand(k()));
  await refused("MethodNotAllowed", s3, new GetObjectCommand(k({ VersionId: marker.VersionId })));
  await s3.send(new DeleteObjectCommand(k({ VersionId: marker.VersionId })));
  same(await text(), "two", "restored");
  await refused("BucketNotEmpty", s3, new DeleteBucketCommand({ Bucket }));
  const Objects = [one, two].map((VersionId) => ({ Key: "k", VersionId }));
  same((await s3.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects } }))).Errors ?? [], [], "batch");
  await s3.send(new DeleteBucketCommand({ Bucket }));
});

await check("tags: put, read, copied, replaced; lifecycle rules as they were", async () => {
  await s3.send(new PutObjectCommand(at("tagged", { Body: "x", Tagging: "a=1&b=2%203" })));
  const tags = async (key) => (await s3.send(new GetObjectTaggingCommand(at(key)))).TagSet.map((t) => `${t.Key}=${t.Value}`);
  same(await tags("tagged"), ["a=1", "b=2 3"], "tags");
  same((await s3.send(new GetObjectCommand(at("tagged")))).TagCount, 2, "TagCount");
  await s3.send(new CopyObjectCommand(at("tagged2", { CopySource: `${bucket}/tagged` })));
  same(await tags("tagged2"), ["a=1", "b=2 3"], "of the copy");
  await s3.send(new PutObjectTaggingCommand(at("tagged", { Tagging: { TagSet: [{ Key: "ü", Value: "" }] } })));
  same(await tags("tagged"), ["ü="], "replaced");
  const Rules = [{ ID: "drafts", Filter: { Prefix: "drafts/" }, Status: "Enabled", Expiration: { Days: 30 } }];
  await s3.send(new PutBucketLifecycleConfigurationCommand({ Bucket: bucket, LifecycleConfiguration: { Rules } }));
  const told = (await s3.send(new GetBucketLifecycleConfigurationCommand({ Bucket: bucket }))).Rules;
  same(told.map((r) => [r.ID, r.Filter.Prefix, r.Status, r.Expiration.Days]), [["drafts", "drafts/", "Enabled", 30]], "rules");
  await s3.send(new DeleteBucketLifecycleCommand({ Bucket: bucket }));
});

await check("object lock: a bucket with it, retention, a refused delete, a bypass, a legal hold", async () => {
  const Bucket = named("locks");
  const create = new CreateBucketCommand({ Bucket, ObjectLockEnabledForBucket: true });
  if (FOLDERS) return namesTheSetting(create);
  await s3.send(create);
  same((await s3.send(new GetObjectLockConfigurationCommand({ Bucket }))).ObjectLockConfiguration.ObjectLockEnabled, "Enabled", "configuration");
  const k = (more = {}) => ({ Bucket, Key: "k", ...more });
  const { VersionId } = await s3.send(new PutObjectCommand(k({ Body: "x" })));
  const RetainUntilDate = new Date(Math.floor(Date.now() / 1000) * 1000 + 3_600_000);
  await s3.send(new PutObjectRetentionCommand(k({ Retention: { Mode: "GOVERNANCE", RetainUntilDate } })));
  same((await s3.send(new GetObjectRetentionCommand(k()))).Retention, { Mode: "GOVERNANCE", RetainUntilDate }, "retention");
  await refused("AccessDenied", s3, new DeleteObjectCommand(k({ VersionId })));
  await s3.send(new PutObjectLegalHoldCommand(k({ LegalHold: { Status: "ON" } })));
  await refused("AccessDenied", s3, new DeleteObjectCommand(k({ VersionId, BypassGovernanceRetention: true })));
  await s3.send(new PutObjectLegalHoldCommand(k({ LegalHold: { Status: "OFF" } })));
  await s3.send(new DeleteObjectCommand(k({ VersionId, BypassGovernanceRetention: true })));
  await s3.send(new DeleteBucketCommand({ Bucket }));
});

await check("refusals: no such key, wrong secret, unknown key, another tenant, a full bucket", async () => {
  await refused("NoSuchKey", s3, new GetObjectCommand(at("absent")));
  await refused("NotFound", s3, new HeadObjectCommand(at("absent")));
  const wrong = client({ credentials: { accessKeyId: process.env.TEST_KEY, secretAccessKey: "wrong" } });
  await refused("SignatureDoesNotMatch", wrong, new GetObjectCommand(at("text")));
  await refused("SignatureDoesNotMatch", wrong, new PutObjectCommand(at("text", { Body: "no" })));
  await refused("InvalidAccessKeyId", client({ credentials: { accessKeyId: "AKNOBODY", secretAccessKey: "x" } }), new GetObjectCommand(at("text")));
  await refused("AccessDenied", other, new GetObjectCommand(at("text")));
  await refused("AccessDenied", other, new PutObjectCommand(at("text", { Body: "no" })));
  await refused("AccessDenied", other, new ListObjectsV2Command({ Bucket: bucket }));
  await refused("AccessDenied", other, new CreateMultipartUploadCommand(at("x")));
  await refused("BucketNotEmpty", s3, new DeleteBucketCommand({ Bucket: bucket }));
  await refused("NoSuchBucket", s3, new ListObjectsV2Command({ Bucket: `${bucket}-absent` }));
});

await check("delete everything, and the bucket", async () => {
  for await (const page of paginateListObjectsV2({ client: s3 }, { Bucket: bucket })) {
    await s3.send(new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects: page.Contents.map(({ Key }) => ({ Key })), Quiet: true } }));
  }
  await s3.send(new DeleteObjectCommand(at("absent")));
  await s3.send(new DeleteBucketCommand({ Bucket: bucket }));
});

process.exit(failed ? 1 : 0);
