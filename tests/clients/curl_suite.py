"""curl as an anonymous reader under a bucket policy, and curl's own SigV4. The policy is set with boto3. Run by suite.py."""

import json
import os

import boto3

from checks import Checks, body, command, place, same, true

here = place()
checks = Checks(here.run)
bucket = here.bucket("main")
data = body("curl", 50_000)
s3 = boto3.client("s3", endpoint_url=here.endpoint, aws_access_key_id=here.key, aws_secret_access_key=here.secret, region_name="us-east-1")


def curl(*arguments, path="public/model.glb", **named):
    trust = ("--cacert", here.ca) if here.ca else ()
    return command("curl", "--silent", "--show-error", *trust, *arguments, f"{here.endpoint}/{bucket}/{path}", **named)


def status(*arguments, **named):
    return int(curl("--output", here.work / "out", "--write-out", "%{http_code}", *arguments, **named))


@checks("deny by default: anonymous reads, lists and writes")
def _():
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="public/model.glb", Body=data, ContentType="model/gltf-binary")
    s3.put_object(Bucket=bucket, Key="private/model.glb", Body=data)
    same([status(), status(path=""), status("--upload-file", "-", path="new", stdin=b"x"), status("-X", "DELETE")], [403] * 4, "statuses")


@checks("a bucket policy opens a prefix to anyone: GET, HEAD, ranges, revalidation")
def _():
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/public/*"}],
    }))
    same(curl(), data, "body")
    head = curl("--head").decode().lower()
    true("content-length: 50000" in head and "content-type: model/gltf-binary" in head and " 200" in head, head)
    same(curl("--range", "100-199"), data[100:200], "range")
    same(curl("--range", "-7"), data[-7:], "suffix")
    same(status("--range", "60000-"), 416, "beyond the end")
    etag = s3.head_object(Bucket=bucket, Key="public/model.glb")["ETag"]
    same(status("--header", f"If-None-Match: {etag}"), 304, "revalidated")
    same(curl("--http2"), data, "body over HTTP/2 or its upgrade")
    if not here.secure:
        same(curl("--http2-prior-knowledge"), data, "body over HTTP/2 without TLS")


@checks("and nothing else: other keys, missing keys, lists, writes; errors are never kept by a cache")
def _():
    same([status(path="private/model.glb"), status(path="public/absent"), status(path=""), status("-X", "DELETE")], [403] * 4, "statuses")
    same(status("--upload-file", "-", path="public/new", stdin=b"x"), 403, "PUT")
    true("no-store" in curl("--head", path="private/model.glb").decode().lower(), "no-store")


@checks("the edge door shows the same to anyone, and only reads")
def _():
    edge = os.environ.get("TEST_EDGE")
    if not edge:
        return
    url = f"{edge}/{bucket}/public/model.glb"
    asked = lambda *arguments: command("curl", "--silent", "--output", here.work / "out", "--write-out", "%{http_code}", *arguments).decode()
    same(command("curl", "--silent", url), data, "body")
    same(command("curl", "--silent", "--range", "5-9", url), data[5:10], "range")
    same(asked("--head", url), "200", "HEAD")
    same(asked("--request", "DELETE", url), "405", "DELETE")
    same(asked("--upload-file", here.work / "out", url), "405", "PUT")
    true(asked(f"{edge}/{bucket}/private/model.glb") in ("403", "404"), "a private key is not shown")
    same(curl(), data, "still there")


@checks("the edge door compresses what curl can unpack")
def _():
    edge = os.environ.get("TEST_EDGE")
    if not edge:
        return
    text = b"".join(b"v %d %d\n" % (n * n % 977, n % 89) for n in range(20_000))
    s3.put_object(Bucket=bucket, Key="public/mesh.obj", Body=text)
    url = f"{edge}/{bucket}/public/mesh.obj"
    for coding in ("br", "zstd", "gzip"):
        packed = command("curl", "--silent", "--header", f"Accept-Encoding: {coding}", url)
        true(len(packed) < len(text) / 2, f"{coding}: {len(packed)} bytes")
        # --compressed unpacks whatever the answer says it is, with the libraries of the codings' own authors.
        same(command("curl", "--silent", "--compressed", "--header", f"Accept-Encoding: {coding}", url), text, coding)
    same(command("curl", "--silent", url), text, "without asking")


@checks("HTTP versions: 1.0, 1.1 with Connection: close")
def _():
    same(curl("--http1.0"), data, "1.0")
    same(curl("--http1.1", "--header", "Connection: close"), data, "1.1")


@checks("the policy is gone: closed again")
def _():
    s3.delete_bucket_policy(Bucket=bucket)
    same(status(), 403, "status")


@checks("a public-read ACL opens one object")
def _():
    s3.put_object(Bucket=bucket, Key="acl", Body=b"open", ACL="public-read")
    same(curl(path="acl"), b"open", "body")
    s3.put_object_acl(Bucket=bucket, Key="acl", ACL="private")
    same(status(path="acl"), 403, "status")


@checks("curl --aws-sigv4: PUT, GET, DELETE")
def _():
    # S3 asks for this header, and curl leaves it to its caller.
    sign = ("--aws-sigv4", "aws:amz:us-east-1:s3", "--user", f"{here.key}:{here.secret}", "--header", "x-amz-content-sha256: UNSIGNED-PAYLOAD")
    small = here.work / "small"
    small.write_bytes(data)
    for key in ("signed/a", "signed/b-c~d_e.f"):
        same(status(*sign, "--upload-file", small, path=key), 200, "PUT")
        same(curl(*sign, path=key), data, "GET")
        same(status(*sign, "-X", "DELETE", path=key), 204, "DELETE")
    same(status(*sign, "--user", f"{here.key}:wrong"), 403, "wrong secret")


@checks("the gateway's own health answers without a key")
def _():
    trust = ("--cacert", here.ca) if here.ca else ()
    for path in ("health", "ready"):
        same(command("curl", "--silent", "--output", here.work / "out", "--write-out", "%{http_code}", *trust, f"{here.endpoint}/-/{path}"), b"200", path)


@checks("clean up")
def _():
    boto3.resource("s3", endpoint_url=here.endpoint, aws_access_key_id=here.key, aws_secret_access_key=here.secret, region_name="us-east-1").Bucket(bucket).objects.all().delete()
    s3.delete_bucket(Bucket=bucket)


checks.finish()
