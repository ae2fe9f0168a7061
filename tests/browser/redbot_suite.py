"""REDbot, an independent checker of HTTP, on what the edge door shows: caching, validation, ranges, negotiation. Run by suite.py.

It makes its own further requests (a range of the body, both conditions, with and without Accept-Encoding) and judges the answers. Every note
of level BAD or WARN is a failure, but for those that ACCEPTED names with a reason, and so is a good note that should be there and is not.
"""

import hashlib
import json
import os
import sys
import urllib.parse
from configparser import ConfigParser
from dataclasses import dataclass
from importlib.metadata import version

import boto3
import thor
from httplint.note import levels
from redbot.resource import HttpResource

# The notes below BAD that are right as they are. A BAD one has no excuse.
ACCEPTED = {
    "STORE_PUBLIC_UNNECESSARY": "`public` also lets a shared cache keep the answer to a request that carried credentials: anyone may read it",
    "CC_CONFLICTING": "`private, no-store` on refusals: `private` is for the caches that do not know the other",
}
# What must have been found on every object that is shown.
PROVEN = {"DATE_CORRECT", "CL_CORRECT", "STORE_STORABLE", "FRESHNESS_FRESH", "INM_304", "IMS_304", "CONTENT_TYPE_OPTIONS", "CORP_CROSS_ORIGIN"}

CHECK_SECONDS = 60  # they take a second together; this is where a hang becomes a failure
edge = os.environ["TEST_EDGE"]
bucket = "redbot-media"


def main():
    failed = 0
    print(f"REDbot {version('redbot')}, httplint {version('httplint')}", flush=True)
    for name, resource, expected in lint(list(upload())):
        faults = judge(resource, expected)
        failed += bool(faults)
        print(f"FAIL redbot: {name}: {'; '.join(faults)}" if faults else f"ok   redbot: {name}", flush=True)
    sys.exit(1 if failed else 0)


def upload():
    """What is checked: a name, the path, whether it is shown, and for how long a cache may keep it, as REDbot says it."""
    s3 = boto3.client(
        "s3", endpoint_url=os.environ["TEST_ENDPOINT"], region_name="us-east-1",
        aws_access_key_id=os.environ["TEST_KEY"], aws_secret_access_key=os.environ["TEST_SECRET"],
    )
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/public/*"}],
    }))
    glb = b"glTF" + bytes(n * 31 & 255 for n in range(50_000))
    script = b"".join(b"export const value%d = %d;\n" % (n, n * n) for n in range(2_000))
    page = b"<!doctype html><html lang=en><title>A game</title><p>" + b"Once upon a time. " * 200
    digest = hashlib.sha256(glb).hexdigest()
    binary, text = "model/gltf-binary", "text/javascript"
    objects = [
        ("a GLB", "public/model.glb", glb, binary, "60 seconds"),
        ("a GLB named by its hash", f"public/model-{digest[:20]}.glb", glb, binary, "12 months"),
        ("a GLB named by another's hash", f"public/{digest}.bin", glb[1:], binary, "60 seconds"),
        ("a script", "public/app.js", script, text, "60 seconds"),
        ("a script named by its hash", f"public/{hashlib.sha256(script).hexdigest()}.js", script, text, "12 months"),
        ("a page", "public/index.html", page, "text/html; charset=utf-8", "60 seconds"),
        ("an empty object", "public/empty.bin", b"", "application/octet-stream", "60 seconds"),
        ("a name with letters of many kinds", "public/größe & 日本+(1).glb", glb, binary, "60 seconds"),
        ("what is private", "private/model.glb", glb, binary, None),
    ]
    for name, key, body, content_type, fresh in objects:
        s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType=content_type)
        yield name, urllib.parse.quote(key), Expected(fresh, ranges=bool(body))
    yield "what is not there", "public/absent.glb", Expected(None, ranges=False)


@dataclass(frozen=True)
class Expected:
    fresh: str | None  # None: refused, and kept by nobody
    ranges: bool


def lint(asked):
    """All of them in one run of its event loop, which can't be started twice."""
    config = ConfigParser()
    config.read_dict({"redbot": {"enable_local_access": "True"}})
    open_checks = set()

    def check(path):
        resource = HttpResource(config["redbot"])
        resource.set_request(f"{edge}/{bucket}/{path}")
        open_checks.add(path)

        @thor.events.on(resource)
        def check_done():
            open_checks.discard(path)
            if not open_checks:
                thor.stop()

        return resource

    judged = [(name, check(path), expected) for name, path, expected in asked]
    for _, resource, _ in judged:
        resource.check()
    thor.schedule(CHECK_SECONDS, thor.stop)
    thor.run()
    return judged


def judge(resource, expected):
    response = resource.response
    if not resource.check_done or resource.fetch_error or not response.complete:
        return [f"no whole answer: {resource.fetch_error!r}"]
    notes = {type(note).__name__: note for parent in response.notes for note in [parent, *parent.subnotes]}
    faults = [f"{note.level.name}: {name}: {note.summary}" for name, note in notes.items()
              if note.level is levels.BAD or note.level is levels.WARN and name not in ACCEPTED]
    refused = expected.fresh is None
    if (response.status_code in (403, 404)) != refused or not refused and response.status_code != 200:
        faults.append(f"status {response.status_code}")
    wanted = {"DATE_CORRECT", "CL_CORRECT", "STORE_NO_STORE"} if refused else PROVEN | ({"RANGE_CORRECT"} if expected.ranges else set())
    if missing := wanted - notes.keys():
        faults.append(f"not found: {', '.join(sorted(missing))} (found: {', '.join(sorted(notes))})")
    if "FRESHNESS_FRESH" in notes and (lifetime := str(notes["FRESHNESS_FRESH"].vars["freshness_lifetime"])) != expected.fresh:
        faults.append(f"fresh for {lifetime}, want {expected.fresh}")
    return faults


if __name__ == "__main__":
    main()
