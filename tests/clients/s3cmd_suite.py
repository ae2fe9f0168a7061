"""s3cmd with the settings its `--configure` writes: put, get, sync, list, ACL words, sign. Run by suite.py."""

import os
import ssl
import urllib.error
import urllib.request

from checks import FOLDERS, ODD_KEYS, Checks, body, command, place, same, true

here = place()
checks = Checks(here.run)
bucket = here.bucket("main")
MIB = 1 << 20

authority = here.endpoint.split("://")[1]


def settings(name, key, secret):
    path = here.work / name
    path.write_text(
        f"[default]\naccess_key = {key}\nsecret_key = {secret}\nhost_base = {authority}\nhost_bucket = {authority}\n"
        f"use_https = {here.secure}\nsignurl_use_https = {here.secure}\nca_certs_file = {here.ca}\n"
    )
    return path


mine = settings("mine", here.key, here.secret)
wrong = settings("wrong", here.key, "wrong")
other = settings("other", here.other_key, here.other_secret)


def s3cmd(*arguments, config=mine, **named):
    return command(os.environ["S3CMD_PROGRAM"], "-c", config, "--no-progress", *arguments, **named)


def file(name, data):
    path = here.work / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def got(key):
    path = here.work / "down"
    s3cmd("get", "--force", f"s3://{bucket}/{key}", path)
    return path.read_bytes()


def signed(key):
    return s3cmd("signurl", f"s3://{bucket}/{key}", "+600").decode().strip()


def open_url(url):
    return urllib.request.urlopen(url, context=ssl.create_default_context(cafile=here.ca) if here.ca else None)


@checks("mb and ls")
def _():
    s3cmd("mb", f"s3://{bucket}")
    true(bucket in s3cmd("ls").decode(), "the bucket is not listed")


@checks("put and get: 0 B, 1 B, 4 KiB, 20 MiB (multipart by default above 15 MB)")
def _():
    for size in (0, 1, 4096, 20 * MIB):
        data = body("s3cmd", size)
        s3cmd("put", file("up", data), f"s3://{bucket}/size/{size}")
        true(got(f"size/{size}") == data, f"{size} bytes differ")


@checks("put from a pipe, get to a pipe")
def _():
    data = body("pipe", 16 * MIB)
    s3cmd("put", "-", f"s3://{bucket}/pipe", stdin=data)
    true(got("pipe") == data, "the bytes differ")


@checks("odd keys: put, get, listed as they are")
def _():
    keys = [k for k in ODD_KEYS if not k.endswith("/") and k.strip() == k]
    for n, key in enumerate(keys):
        s3cmd("put", file(f"odd{n}", key.encode()), f"s3://{bucket}/odd/{key}")
        same(got(f"odd/{key}"), key.encode(), key)
    listed = s3cmd("ls", "-r", f"s3://{bucket}/odd/").decode()
    for key in keys:
        true(f"s3://{bucket}/odd/{key}\n" in listed, f"{key} is not listed")


@checks("metadata, type, and cp, mv on the server, modify")
def _():
    s3cmd("put", "--mime-type=model/gltf-binary", "--add-header=x-amz-meta-run:42", "--add-header=Cache-Control:max-age=9", file("glb", b"glTF"), f"s3://{bucket}/m.glb")
    info = s3cmd("info", f"s3://{bucket}/m.glb").decode()
    true("model/gltf-binary" in info and "x-amz-meta-run:" in info, info)
    s3cmd("cp", f"s3://{bucket}/m.glb", f"s3://{bucket}/n.glb")
    s3cmd("mv", f"s3://{bucket}/n.glb", f"s3://{bucket}/o.glb")
    same(got("o.glb"), b"glTF", "moved")
    s3cmd("modify", "--add-header=Cache-Control:no-store", f"s3://{bucket}/o.glb")
    same(open_url(signed("o.glb")).headers["Cache-Control"], "no-store", "modified header")


@checks("sync up, again, with --delete-removed, and down")
def _():
    for n in range(30):
        file(f"tree/d{n % 3}/f {n}+ü.bin", body(n, 100 * n + 1))
    tree = here.work / "tree"
    up = ("sync", f"{tree}/", f"s3://{bucket}/tree/")
    same(s3cmd(*up).decode().count("upload:"), 30, "uploads")
    same(s3cmd(*up).decode().count("upload:"), 0, "uploads of a second sync")
    next(tree.glob("d1/*")).unlink()
    file("tree/d2/new", b"new")
    out = s3cmd(*up, "--delete-removed").decode()
    same((out.count("upload:"), out.count("delete:")), (1, 1), "uploads and deletes")
    back = here.work / "back"
    back.mkdir()
    s3cmd("sync", f"s3://{bucket}/tree/", f"{back}/")
    files = {p.relative_to(tree): p.read_bytes() for p in tree.rglob("*") if p.is_file()}
    true({p.relative_to(back): p.read_bytes() for p in back.rglob("*") if p.is_file()} == files, "the trees differ")


@checks("du, and ls with a prefix")
def _():
    true(s3cmd("du", f"s3://{bucket}/tree/").decode().split()[1] == "30", "objects")
    same(s3cmd("ls", f"s3://{bucket}/tree/").decode().split(), [w for n in range(3) for w in ("DIR", f"s3://{bucket}/tree/d{n}/")], "ls")


@checks("setacl --acl-public and back")
def _():
    s3cmd("setacl", "--acl-public", f"s3://{bucket}/m.glb")
    same(open_url(f"{here.endpoint}/{bucket}/m.glb").read(), b"glTF", "read by anyone")
    s3cmd("setacl", "--acl-private", f"s3://{bucket}/m.glb")
    try:
        open_url(f"{here.endpoint}/{bucket}/m.glb")
    except urllib.error.HTTPError as fault:
        same(fault.code, 403, "status")
    else:
        raise AssertionError("still public")


@checks("signurl (SigV2 query), fetched by a stranger")
def _():
    same(open_url(signed("m.glb")).read(), b"glTF", "body")


@checks("no multipart upload is left behind")
def _():
    same(s3cmd("multipart", f"s3://{bucket}").decode().splitlines()[2:], [], "uploads")


@checks("setpolicy and delpolicy")
def _():
    policy = file("policy.json", b'{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::%s/m.glb"}]}' % bucket.encode())
    s3cmd("setpolicy", policy, f"s3://{bucket}")
    true("s3:GetObject" in s3cmd("info", f"s3://{bucket}").decode(), "policy")
    s3cmd("delpolicy", f"s3://{bucket}")


@checks("settagging, gettagging and deltagging, of an object and of the bucket")
def _():
    for target in (f"s3://{bucket}/m.glb", f"s3://{bucket}"):
        s3cmd("settagging", target, "a=1&b=two")
        same([line.split() for line in s3cmd("gettagging", target).decode().splitlines()[-2:]], [["a:", "1"], ["b:", "two"]], target)
        s3cmd("deltagging", target)
    true("two" not in s3cmd("gettagging", f"s3://{bucket}/m.glb").decode(), "the object still has its tags")
    true("NoSuchTagSet" in s3cmd("gettagging", f"s3://{bucket}", fails=True), "want NoSuchTagSet")


@checks("setlifecycle, getlifecycle, expire and dellifecycle")
def _():
    rule = b"<Rule><ID>drafts</ID><Filter><Prefix>drafts/</Prefix></Filter><Status>Enabled</Status><Expiration><Days>30</Days></Expiration></Rule>"
    s3cmd("setlifecycle", file("rules.xml", b"<LifecycleConfiguration>%b</LifecycleConfiguration>" % rule), f"s3://{bucket}")
    true("drafts/" in s3cmd("getlifecycle", f"s3://{bucket}").decode(), "the rule is not told")
    s3cmd("expire", "--expiry-days=9", "--expiry-prefix=tmp/", f"s3://{bucket}")
    true("tmp/" in s3cmd("getlifecycle", f"s3://{bucket}").decode(), "the rule of `expire` is not told")
    s3cmd("dellifecycle", f"s3://{bucket}")


@checks("setversioning: a delete hides, and the bucket is not empty; setobjectretention and setobjectlegalhold where nothing is locked")
def _():
    at = f"s3://{here.bucket('versions')}"
    s3cmd("mb", at)
    true("InvalidRequest" in s3cmd("setobjectlegalhold", "ON", f"s3://{bucket}/m.glb", fails=True), "want InvalidRequest")
    true("InvalidRequest" in s3cmd("setobjectretention", "GOVERNANCE", "2050-01-01T00:00:00Z", f"s3://{bucket}/m.glb", fails=True), "want InvalidRequest")
    if FOLDERS:
        true("upstream.buckets" in s3cmd("setversioning", at, "enable", fails=True), "no word of upstream.buckets")
        return s3cmd("rb", at)
    s3cmd("setversioning", at, "enable")
    for text in (b"one", b"two"):
        s3cmd("put", file("version", text), f"{at}/k")
    s3cmd("del", f"{at}/k")
    same(s3cmd("ls", at), b"", "listing")
    true("BucketNotEmpty" in s3cmd("rb", at, fails=True), "want BucketNotEmpty")


@checks("refusals: no such key, wrong secret, another tenant, a full bucket")
def _():
    true("does not exist" in s3cmd("get", "--force", f"s3://{bucket}/absent", here.work / "x", fails=True), "want 'does not exist'")
    true("SignatureDoesNotMatch" in s3cmd("ls", f"s3://{bucket}", config=wrong, fails=True), "want SignatureDoesNotMatch")
    true("AccessDenied" in s3cmd("ls", f"s3://{bucket}", config=other, fails=True), "want AccessDenied")
    true("BucketNotEmpty" in s3cmd("rb", f"s3://{bucket}", fails=True), "want BucketNotEmpty")


@checks("rb --recursive --force")
def _():
    s3cmd("rb", "--recursive", "--force", f"s3://{bucket}")
    true(bucket not in s3cmd("ls").decode(), "the bucket is still listed")


checks.finish()
