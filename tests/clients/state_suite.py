"""The requests of Terraform's S3 backend with `use_lockfile`, in its order and as its SDK for Go writes them: what such a backend
needs of an S3 (the program itself is not run). Run by suite.py.
"""

import base64
import hashlib
import http.client
import json
import ssl
import threading
import uuid
import zlib
from urllib.parse import quote, urlencode, urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from boto3_client import client, here
from checks import FOLDERS, Checks, same, true

checks = Checks(here.run)
s3 = client()
bucket = here.bucket("state")
STATE, LOCK = "env/prod/network.tfstate", "env/prod/network.tfstate.tflock"
CHECKSUMS = {
    "CRC32": lambda data: base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode(),
    "SHA256": lambda data: base64.b64encode(hashlib.sha256(data).digest()).decode(),
}


def ask(method, key="", headers=None, data=b"", query=None, trailer=None):
    """One request, signed, over a connection of its own. Returns status, headers, body."""
    headers = {"amz-sdk-invocation-id": str(uuid.uuid4()), "amz-sdk-request": "attempt=1; max=5", "Accept-Encoding": "identity", **(headers or {})}
    path = f"/{bucket}/{quote(key)}" if key else f"/{bucket}"
    request = AWSRequest(method, f"{here.endpoint}{path}?{urlencode(query or {})}", data=data, headers=headers)
    if trailer:
        request.context["checksum"] = {"request_algorithm": {"in": "trailer"}}
    S3SigV4Auth(Credentials(here.key, here.secret), "s3", "us-east-1").add_auth(request)
    where = urlsplit(here.endpoint)
    if here.secure:
        connection = http.client.HTTPSConnection(where.netloc, timeout=60, context=ssl.create_default_context(cafile=here.ca))
    else:
        connection = http.client.HTTPConnection(where.netloc, timeout=60)
    try:
        connection.request(method, f"{path}?{urlencode(query or {})}", body=data if method == "PUT" else None, headers=dict(request.headers))
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def put(key, data, algorithm, **more):
    """As the SDK sends a body that it can rewind: over TLS in chunks with the checksum behind them, else the checksum in a header."""
    value, name = CHECKSUMS[algorithm](data), f"x-amz-checksum-{algorithm.lower()}"
    headers = {"Content-Type": "application/json", "x-amz-sdk-checksum-algorithm": algorithm, **more}
    query = {"x-id": "PutObject"}
    if not here.secure:
        return ask("PUT", key, {**headers, name: value}, data, query)
    headers.update({"Content-Encoding": "aws-chunked", "x-amz-decoded-content-length": str(len(data)), "x-amz-trailer": name})
    chunks = b"%x\r\n%b\r\n0\r\n%b:%b\r\n\r\n" % (len(data), data, name.encode(), value.encode())
    return ask("PUT", key, headers, chunks, query, trailer=name)


def get(key):
    return ask("GET", key, {"Range": "bytes=0-5242879", "x-amz-checksum-mode": "ENABLED"}, query={"x-id": "GetObject"})


def head(key):
    return ask("HEAD", key)[0]


def take_lock(who, algorithm="SHA256"):
    info = json.dumps({"ID": who, "Operation": "OperationTypeApply", "Info": "", "Who": f"{who}@host", "Version": "1.13.0", "Path": f"{bucket}/{STATE}"})
    return put(LOCK, info.encode(), algorithm, **{"If-None-Match": "*"})


def lock_holder():
    status, _, content = get(LOCK)
    same(status, 206, "GET of the lock")
    return json.loads(content)["ID"]


def let_go(who):
    same(lock_holder(), who, "who holds the lock")
    return ask("DELETE", LOCK, query={"x-id": "DeleteObject"})


def code(content):
    return content.decode().split("<Code>")[1].split("</Code>")[0]


s3.create_bucket(Bucket=bucket)
if not FOLDERS:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})  # what its manual asks for


@checks("Terraform's backend: init finds no workspaces and no state")
def _():
    status, _, content = ask("GET", query={"list-type": "2", "max-keys": "1000", "prefix": "env:/"})
    same((status, b"<KeyCount>0</KeyCount>" in content), (200, True), "workspaces")
    same((head(STATE), head(LOCK)), (404, 404), "state and lock")


@checks("Terraform's backend: one locks, a second is refused and reads who holds it, the first writes and lets go")
def _():
    status, answer, content = take_lock("first")
    same(status, 200, f"lock: {content[:300]}")
    same(len(answer["ETag"]), 34, "ETag")
    status, _, content = take_lock("second")
    same((status, code(content)), (412, "PreconditionFailed"), "a second lock")
    same(lock_holder(), "first", "who holds it")
    same(head(STATE), 404, "state before")
    state = json.dumps({"version": 4, "serial": 1, "resources": ["ü" * 20_000]}, ensure_ascii=False).encode()
    status, _, content = put(STATE, state, "SHA256")
    same(status, 200, f"state: {content[:300]}")
    status, answer, content = get(STATE)
    same((status, content == state), (206, True), "state")
    same(ask("HEAD", STATE, {"x-amz-checksum-mode": "ENABLED"})[1].get("x-amz-checksum-sha256"), CHECKSUMS["SHA256"](state), "its checksum")
    true(answer.get("Content-Encoding") in (None, ""), "the transfer's coding is not the object's")
    same(let_go("first")[0], 204, "unlock")
    same(head(LOCK), 404, "the lock")


@checks("Terraform's backend: after an unlock the next one locks, also over markers of locks before; CRC32, as the SDK chooses by itself")
def _():
    for turn in range(3):
        status, _, content = take_lock(f"turn {turn}", "CRC32")
        same(status, 200, f"lock {turn}: {content[:300]}")
        status, _, content = put(STATE, b'{"serial":%d}' % turn, "CRC32")
        same(status, 200, f"state {turn}: {content[:300]}")
        same(let_go(f"turn {turn}")[0], 204, "unlock")
    same(get(STATE)[2], b'{"serial":2}', "state")
    if not FOLDERS:
        same(len(s3.list_object_versions(Bucket=bucket, Prefix=STATE)["Versions"]), 4 + 4, "versions of state and lock")


@checks("Terraform's backend: of many that lock at once one wins, and no lock is written over")
def _():
    answers, start = {}, threading.Barrier(8)

    def race(who):
        start.wait()
        answers[who] = take_lock(who)[::2]

    threads = [threading.Thread(target=race, args=(f"racer {n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [who for who, (status, _) in answers.items() if status == 200]
    same(len(winners), 1, "winners")
    for who, (status, content) in answers.items():
        true(who in winners or (status, code(content)) in ((412, "PreconditionFailed"), (409, "ConditionalRequestConflict")), f"{who}: {status} {content[:200]}")
    same(lock_holder(), winners[0], "who holds it")
    same(let_go(winners[0])[0], 204, "unlock")


@checks("Terraform's backend: a lock that came damaged is not taken")
def _():
    name = "x-amz-checksum-crc32"
    status, _, content = ask("PUT", LOCK, {"If-None-Match": "*", name: "AAAAAA=="}, b"{}", {"x-id": "PutObject"})
    same((status, code(content)), (400, "BadDigest"), "a wrong checksum")
    status, _, content = ask("PUT", LOCK, {"If-None-Match": "*", "Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}, b"{}", {"x-id": "PutObject"})
    same((status, code(content)), (400, "BadDigest"), "a wrong MD5")
    same(head(LOCK), 404, "the lock")


@checks("Terraform's backend: the bucket goes when all versions went")
def _():
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        listed = [{"Key": v["Key"], "VersionId": v["VersionId"]} for v in page.get("Versions", []) + page.get("DeleteMarkers", [])]
        same(s3.delete_objects(Bucket=bucket, Delete={"Objects": listed}).get("Errors", []), [], "errors")
    s3.delete_bucket(Bucket=bucket)


checks.finish()
