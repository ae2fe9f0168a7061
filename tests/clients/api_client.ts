// The tenants' API by a client that is generated from its OpenAPI document: `api.d.ts` beside this file is made of it by openapi-typescript. Compiled
// and run by agents_suite.py; says "done".

import { createHash, createHmac } from "node:crypto";
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

const endpoint = process.env.AWS_ENDPOINT_URL_S3!;
const bucket = process.env.ARTIFACTS_BUCKET!;

const hash = (data: string | Buffer) => createHash("sha256").update(data).digest("hex");
const hmac = (key: string | Buffer, data: string) => createHmac("sha256", key).update(data).digest();

/** Signature Version 4, as every S3 client makes it. */
async function signed(request: Request): Promise<Response> {
  const url = new URL(request.url);
  const body = Buffer.from(await request.arrayBuffer());
  const date = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
  const scope = `${date.slice(0, 8)}/us-east-1/s3/aws4_request`;
  const query = [...url.searchParams].map(([n, v]) => `${encodeURIComponent(n)}=${encodeURIComponent(v)}`).sort().join("&");
  const canonical = ["host;x-amz-content-sha256;x-amz-date", hash(body)];
  const lines = [request.method, url.pathname, query, `host:${url.host}`, `x-amz-content-sha256:${hash(body)}`, `x-amz-date:${date}`, "", ...canonical];
  const toSign = ["AWS4-HMAC-SHA256", date, scope, hash(lines.join("\n"))].join("\n");
  const key = ["us-east-1", "s3", "aws4_request"].reduce((k, part) => hmac(k, part), hmac(`AWS4${process.env.AWS_SECRET_ACCESS_KEY}`, date.slice(0, 8)));
  const signature = hmac(key, toSign).toString("hex");
  const headers = new Headers(request.headers);
  headers.set("x-amz-date", date);
  headers.set("x-amz-content-sha256", hash(body));
  headers.set("authorization", `AWS4-HMAC-SHA256 Credential=${process.env.AWS_ACCESS_KEY_ID}/${scope}, SignedHeaders=${canonical[0]}, Signature=${signature}`);
  return fetch(url, { method: request.method, headers, body: body.length > 0 ? body : undefined });
}

function must<T>(answer: { data?: T; error?: components["schemas"]["Error"] }): T {
  if (answer.data === undefined) throw new Error(JSON.stringify(answer.error));
  return answer.data;
}

const api = createClient<paths>({ baseUrl: `${endpoint}/-/v1`, fetch: signed });
const made = must(await api.POST("/artifacts", { body: { bucket, run: "ts", type: "shader", filename: "a.glsl", text: "void main() {}" } }));
if (!("uri" in made)) throw new Error("an upload was not asked for");
const artifact = must(await api.GET("/artifacts/{bucket}/{key}", { params: { path: { bucket, key: made.key }, query: { wait: "1s" } } }));
if (!("ready" in artifact) || artifact.sha256 !== made.sha256) throw new Error(JSON.stringify(artifact));
const page = must(await api.GET("/artifacts", { params: { query: { bucket, run: "ts" } } }));
const run = must(await api.GET("/runs/{bucket}/{tenant}/{run}", { params: { path: { bucket, tenant: "alice", run: "ts" } } }));
if (page.artifacts.length !== 1 || run.total.artifacts !== 1) throw new Error(JSON.stringify({ page, run }));
const refused = await api.GET("/artifacts", { params: { query: { bucket: "bob-media" } } });
if (refused.error?.code !== "AccessDenied") throw new Error(JSON.stringify(refused));
console.log("done");
