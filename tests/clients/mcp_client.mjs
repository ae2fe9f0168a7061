// The TypeScript SDK of MCP against a gateway: over HTTP where TEST_MCP_URL is set, else over stdio. Run by agents_suite.py; says "done".

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const load = createRequire(`${process.env.JS_MODULES}/package.json`);
const sdk = (path) => import(pathToFileURL(load.resolve(`@modelcontextprotocol/sdk/${path}`)));
const { Client } = await sdk("client/index.js");
const { StreamableHTTPClientTransport } = await sdk("client/streamableHttp.js");
const { StdioClientTransport } = await sdk("client/stdio.js");

const { TEST_MCP_URL: url, TEST_MCP_COMMAND: command, TEST_BEARER: bearer, TEST_BUCKET: bucket } = process.env;
const run = url ? "js-http" : "js-stdio";
const transport = url
  ? new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers: { Authorization: `Bearer ${bearer}` } } })
  : new StdioClientTransport({ command, args: ["mcp"], env: { ...process.env } });
const client = new Client({ name: "agents-suite", version: "1.0.0" });
await client.connect(transport);

const use = (name, given) => client.callTool({ name, arguments: { bucket, ...given } });
assert.equal(client.getServerVersion().name, "tidegate");
const { tools } = await client.listTools();
assert.ok(tools.some((tool) => tool.name === "write_artifact"));
const written = await use("write_artifact", { run, type: "shader", filename: "wave.glsl", text: "void main() {}" });
assert.ok(!written.isError, JSON.stringify(written));
const { key, uri } = written.structuredContent;
assert.equal(await (await fetch(uri)).text(), "void main() {}");
assert.equal((await use("read_artifact", { key })).content[0].text, "void main() {}");
const { upload } = (await use("presign_upload", { session: run, filename: "dot.bin" })).structuredContent;
assert.equal((await fetch(upload.url, { method: upload.method, headers: upload.headers, body: Buffer.from([0, 1, 2]) })).status, 200);
const [, link] = (await use("read_artifact", { key: `sessions/${run}/dot.bin` })).content;
assert.equal(link.type, "resource_link");
assert.deepEqual([...new Uint8Array(await (await fetch(link.uri)).arrayBuffer())], [0, 1, 2]);
assert.equal((await use("list_artifacts", { run })).structuredContent.artifacts.length, 1);
assert.equal((await client.readResource({ uri: `tidegate://${bucket}/${key}` })).contents[0].text, "void main() {}");
assert.equal((await client.listResourceTemplates()).resourceTemplates.length, 1);
const refused = await client.callTool({ name: "presign", arguments: { bucket: "bob-media", key: "x" } });
assert.ok(refused.isError && refused.content[0].text.startsWith("AccessDenied"));
await assert.rejects(use("no_such_tool", {}));
await client.close();
console.log("done");
