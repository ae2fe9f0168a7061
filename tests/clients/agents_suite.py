"""What agents and skill handlers use: MCP by two independent clients (PyPI `mcp`, npm `@modelcontextprotocol/sdk`) over HTTP and over stdio, the
examples of docs/skills.md, each as it stands there, and the OpenAPI document: valid, true of the answers, and good for a generated client. Against a gateway of its own. Called by tests/run:

    python agents_suite.py [--binary PATH]

Ends with status 1 where a check failed.
"""

import argparse
import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

import boto3
import gateway
from checks import Checks, same
import httpx2
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

HERE = Path(__file__).resolve().parent
BUCKET = "alice-media"
TOOLS = {"write_artifact", "read_artifact", "list_artifacts", "presign_upload", "presign", "optimize", "generate", "job_status", "usage"}

checks = Checks("agents")


def check(name, body):
    checks(name)(body)


def bearer(endpoint):
    """As docs/mcp.md says: temporary credentials, joined."""
    key, secret = gateway.TENANTS["alice"]
    sts = boto3.client("sts", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id=key, aws_secret_access_key=secret)
    given = sts.get_session_token(DurationSeconds=900)["Credentials"]
    return ".".join(given[name] for name in ("AccessKeyId", "SecretAccessKey", "SessionToken"))


async def drive(client, run):
    """What an agent does, by the Python client."""
    assert {tool.name for tool in (await client.list_tools()).tools} >= TOOLS
    written = await client.call_tool("write_artifact", {"bucket": BUCKET, "run": run, "type": "shader", "filename": "wave.glsl", "text": "void main() {}"})
    assert not written.is_error, written
    key = written.structured_content["key"]
    read = await client.call_tool("read_artifact", {"bucket": BUCKET, "key": key})
    same(read.content[0].text, "void main() {}")
    upload = await client.call_tool("presign_upload", {"bucket": BUCKET, "run": run, "type": "image", "filename": "dot.png"})
    sent = upload.structured_content["upload"]
    async with httpx2.AsyncClient() as http:
        answer = await http.put(sent["url"], content=b"\x89PNG\r\n\x1a\n", headers=sent["headers"])
        same(answer.status_code, 200)
        link = (await client.call_tool("read_artifact", {"bucket": BUCKET, "key": answer.headers["x-tidegate-key"]})).content[1]
        same((link.type, (await http.get(str(link.uri))).content), ("resource_link", b"\x89PNG\r\n\x1a\n"))
    listed = await client.call_tool("list_artifacts", {"bucket": BUCKET, "run": run})
    same(sorted(one["type"] for one in listed.structured_content["artifacts"]), ["image", "shader"])
    templates = (await client.list_resource_templates()).resource_templates
    same(templates[0].uri_template, "tidegate://{bucket}/{+key}")
    same((await client.read_resource(f"tidegate://{BUCKET}/{key}")).contents[0].text, "void main() {}")
    refused = await client.call_tool("read_artifact", {"bucket": "bob-media", "key": "x"})
    assert refused.is_error and "AccessDenied" in refused.content[0].text, refused


def python_over_http(endpoint):
    async def session():
        headers = {"Authorization": f"Bearer {bearer(endpoint)}"}
        async with httpx2.AsyncClient(headers=headers) as http, Client(streamable_http_client(f"{endpoint}/-/mcp", http_client=http)) as client:
            await drive(client, "py-http")
    asyncio.run(session())


def own_key(endpoint):
    key, secret = gateway.TENANTS["alice"]
    return {"AWS_ENDPOINT_URL_S3": endpoint, "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_REGION": "us-east-1"}


def python_over_stdio(endpoint, binary):
    async def session():
        async with Client(StdioServerParameters(command=str(binary), args=["mcp"], env=own_key(endpoint))) as client:
            await drive(client, "py-stdio")
    asyncio.run(session())


def told(command, env, folder):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(command, env={**kept, "NODE_NO_WARNINGS": "1", "AWS_EC2_METADATA_DISABLED": "true", **env}, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def examples():
    """The code blocks of docs/skills.md, by their file names."""
    page = (gateway.ROOT / "docs/skills.md").read_text()
    return {name: code for language, name, code in re.findall(r"```(\w+) (\S+)\n(.*?)```", page, re.S)}


def run_examples(endpoint, folder):
    blocks = examples()
    for name, code in blocks.items():
        (folder / name).write_text(code)
    env = {**own_key(endpoint), "ARTIFACTS_BUCKET": BUCKET, "HOME": str(folder)}

    def one(command, name):
        said = json.loads(told([*command, name], env, folder).strip().splitlines()[-1])
        assert said["uri"].startswith(endpoint) and said["read"] == said["wrote"], said

    typescript = [name for name in blocks if name.endswith(".ts")]
    check(f"docs/skills.md: {', '.join(typescript)} compile", lambda: compiled(typescript, env, folder))
    for name in blocks:
        if name.startswith("save") and name.endswith(".ts"):
            check(f"docs/skills.md: {name}", lambda name=name: one(["node"], name.replace(".ts", ".js")))
        elif name.startswith("save") and name.endswith(".py"):
            check(f"docs/skills.md: {name}", lambda name=name: one([sys.executable], name))


def signed(endpoint, method, path, document=None):
    """One call of /-/v1 by its status and document."""
    key, secret = gateway.TENANTS["alice"]
    body = json.dumps(document).encode() if document is not None else b""
    request = AWSRequest(method, f"{endpoint}/-/v1{path}", data=body, headers={"content-type": "application/json"})
    S3SigV4Auth(Credentials(key, secret), "s3", "us-east-1").add_auth(request)
    answer = httpx2.request(method, request.url, content=body, headers=dict(request.headers), timeout=60)
    return str(answer.status_code), answer.json() if answer.content else None


def answers_fit(endpoint, document):
    """Answers are what the document says of them."""
    def fits(method, path, template, operation_id, body=None):
        status, told = signed(endpoint, method, path, body)
        operation = document["paths"][template][method.lower()]
        same(operation["operationId"], operation_id)
        of = operation["responses"].get(status, document["components"]["responses"]["Error"])
        if "content" in of:
            schema = {**of["content"]["application/json"]["schema"], "components": document["components"]}
            OAS31Validator(schema).validate(told)
        return status, told

    create = {"bucket": BUCKET, "run": "fit", "type": "shader", "filename": "a.glsl", "text": "x"}
    status, made = fits("POST", "/artifacts", "/artifacts", "CreateArtifact", create)
    same(status, "201")
    at = f"/artifacts/{BUCKET}/{made['key']}"
    upload = {"bucket": BUCKET, "project": "p", "filename": "metadata.json", "upload": {}}
    calls = [
        ("POST", "/artifacts", "/artifacts", "CreateArtifact", "201", upload),
        ("POST", "/artifacts:batch", "/artifacts:batch", "CreateArtifacts", "200", {"artifacts": [create, upload, {**create, "type": "image", "filename": "/"}]}),
        ("GET", at + "?wait=1s", "/artifacts/{bucket}/{key}", "GetArtifact", "200", None),
        ("GET", at + "?versions=true", "/artifacts/{bucket}/{key}", "GetArtifact", "200", None),
        ("GET", f"/artifacts?bucket={BUCKET}&run=fit&uris=true", "/artifacts", "ListArtifacts", "200", None),
        ("GET", "/artifacts?bucket=bob-media", "/artifacts", "ListArtifacts", "403", None),
        ("GET", f"/runs/{BUCKET}/alice", "/runs/{bucket}/{tenant}", "ListRuns", "200", None),
        ("GET", f"/runs/{BUCKET}/alice/fit", "/runs/{bucket}/{tenant}/{run}", "GetRun", "200", None),
        ("GET", f"/assets/{BUCKET}/{made['key']}", "/assets/{bucket}/{key}", "GetAsset", "200", None),
        ("GET", f"/content/{made['sha256']}", "/content/{sha256}", "FindContent", "200", None),
        ("POST", "/presign", "/presign", "Presign", "200", {"bucket": BUCKET, "key": made["key"]}),
        ("POST", "/url", "/url", "Url", "200", {"bucket": BUCKET, "key": made["key"]}),
        ("GET", "/jobs", "/jobs", "ListJobs", "200", None),
        ("GET", "/jobs/" + "ab" * 16, "/jobs/{id}", "GetJob", "404", None),
        ("GET", f"/uploads?bucket={BUCKET}&key={quote(made['key'], safe='')}", "/uploads", "GetUploadOfKey", "200", None),
        ("GET", "/usage", "/usage", "GetUsage", "200", None),
        ("GET", "/usage/stored", "/usage/stored", "GetStored", "200", None),
        ("POST", "/purge", "/purge", "Purge", None, {"bucket": BUCKET, "keys": [made["key"]]}),
        ("DELETE", at, "/artifacts/{bucket}/{key}", "DeleteArtifact", "204", None),
    ]
    for method, path, template, operation_id, wanted, body in calls:
        try:
            status, told = fits(method, path, template, operation_id, body)
        except Exception as fault:
            raise AssertionError(f"{method} {path}: {fault}") from None
        assert wanted in (None, status), f"{method} {path}: {status} {told}"


def openapi(endpoint, folder):
    """The document, by a validator, and by a client that is made of it."""
    document = httpx2.get(f"{endpoint}/-/v1/openapi.json").json()
    check("openapi.json is a valid document of OpenAPI 3.1", lambda: validate(document))
    check("answers are what openapi.json says", lambda: answers_fit(endpoint, document))
    (folder / "openapi.json").write_text(json.dumps(document))
    shutil.copy(HERE / "api_client.ts", folder)
    env = {**own_key(endpoint), "ARTIFACTS_BUCKET": BUCKET}

    def client():
        told([str(folder / "node_modules/.bin/openapi-typescript"), "openapi.json", "-o", "api.d.ts"], env, folder)
        compiled(["api_client.ts"], env, folder)
        same(told(["node", "api_client.js"], env, folder).strip(), "done")

    check("a client generated from openapi.json compiles and works", client)


def compiled(names, env, folder):
    options = ["--strict", "--target", "es2022", "--module", "nodenext", "--moduleResolution", "nodenext", "--skipLibCheck", "--types", "node"]
    told([str(folder / "node_modules/.bin/tsc"), *options, *names], env, folder)


def main():
    parser = argparse.ArgumentParser(description="MCP by independent clients, and the examples for skill handlers.")
    parser.add_argument("--binary")
    binary = parser.parse_args().binary or gateway.find_binary()
    folder = Path(tempfile.mkdtemp(prefix="tidegate-agents-"))
    server = None
    try:
        server = gateway.Gateway(binary, gateway.write_settings(folder), folder / "gateway.log").wait_until_open()
        endpoint = f"http://127.0.0.1:{server.ports['s3']}"
        for tenant, (key, secret) in gateway.TENANTS.items():
            s3 = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id=key, aws_secret_access_key=secret)
            s3.create_bucket(Bucket=f"{tenant}-media")
        check("mcp (PyPI) over HTTP", lambda: python_over_http(endpoint))
        check("mcp (PyPI) over stdio", lambda: python_over_stdio(endpoint, binary))
        node = ["node", str(HERE / "mcp_client.mjs")]
        env = {"TEST_BUCKET": BUCKET, "JS_MODULES": os.environ["JS_MODULES"]}
        http = {**env, "TEST_MCP_URL": f"{endpoint}/-/mcp", "TEST_BEARER": bearer(endpoint)}
        check("@modelcontextprotocol/sdk over HTTP", lambda: same(told(node, http, folder).strip(), "done"))
        stdio = {**env, **own_key(endpoint), "TEST_MCP_COMMAND": str(binary)}
        check("@modelcontextprotocol/sdk over stdio", lambda: same(told(node, stdio, folder).strip(), "done"))
        (folder / "node_modules").symlink_to(Path(os.environ["JS_MODULES"]) / "node_modules")
        (folder / "package.json").write_text('{"type": "module"}')
        run_examples(endpoint, folder)
        openapi(endpoint, folder)
        if server.stop() != 0:
            raise SystemExit("the gateway did not end well")
    finally:
        if server and server.process.poll() is None:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    checks.finish()


if __name__ == "__main__":
    main()
