"""aws-cli with its default settings: the high-level `aws s3` commands and a few of `aws s3api`. Run by suite.py."""

import json
import os
import ssl
import time
import urllib.request

from checks import FOLDERS, ODD_KEYS, Checks, body, command, place, same, true

here = place()
checks = Checks(here.run)
bucket = here.bucket("main")
MIB = 1 << 20

# A home of its own: no settings of the machine's user take part.
home = here.work / "home"
home.mkdir()
os.environ.update(
    HOME=str(home), AWS_ACCESS_KEY_ID=here.key, AWS_SECRET_ACCESS_KEY=here.secret, AWS_DEFAULT_REGION="us-east-1",
    AWS_ENDPOINT_URL=here.endpoint, AWS_EC2_METADATA_DISABLED="true", AWS_PAGER="",
)
if here.ca:
    os.environ["AWS_CA_BUNDLE"] = here.ca


def aws(*arguments, **named):
    return command(os.environ["AWS_PROGRAM"], *arguments, **named)


def api(*arguments, **named):
    out = aws("s3api", *arguments, "--output", "json", **named)
    return json.loads(out) if out.strip() else {}


def file(name, data):
    path = here.work / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@checks("mb and ls")
def _():
    aws("s3", "mb", f"s3://{bucket}")
    true(bucket in aws("s3", "ls").decode(), "the bucket is not listed")


@checks("cp up and down: 0 B, 1 B, 4 KiB, 20 MiB (multipart by default)")
def _():
    for size in (0, 1, 4096, 20 * MIB):
        data = body("cli", size)
        aws("s3", "cp", file("up", data), f"s3://{bucket}/size/{size}", "--quiet")
        aws("s3", "cp", f"s3://{bucket}/size/{size}", here.work / "down", "--quiet")
        true((here.work / "down").read_bytes() == data, f"{size} bytes differ")


@checks("cp from a pipe and to a pipe, small and multipart")
def _():
    for size in (11, 9 * MIB):
        data = body("pipe", size)
        aws("s3", "cp", "-", f"s3://{bucket}/pipe", stdin=data)
        true(aws("s3", "cp", f"s3://{bucket}/pipe", "-") == data, f"{size} bytes differ")


@checks("cp of odd keys")
def _():
    for n, key in enumerate(k for k in ODD_KEYS if not k.endswith("/")):
        data = body(key, 500)
        aws("s3", "cp", file(f"odd{n}", data), f"s3://{bucket}/odd/{key}", "--quiet")
        same(aws("s3", "cp", f"s3://{bucket}/odd/{key}", "-"), data, key)
    aws("s3", "rm", f"s3://{bucket}/odd/", "--recursive", "--quiet")


@checks("cp guesses the type, takes headers and metadata")
def _():
    aws("s3", "cp", file("page.html", b"<p>"), f"s3://{bucket}/page.html", "--quiet", "--cache-control", "max-age=5", "--metadata", "a=1,b=two")
    head = api("head-object", "--bucket", bucket, "--key", "page.html")
    same((head["ContentType"], head["CacheControl"], head["Metadata"]), ("text/html", "max-age=5", {"a": "1", "b": "two"}), "head")


@checks("cp and mv between keys, small and multipart")
def _():
    data = body("cli", 20 * MIB)
    aws("s3", "cp", f"s3://{bucket}/size/{20 * MIB}", f"s3://{bucket}/copied", "--quiet")
    true(aws("s3", "cp", f"s3://{bucket}/copied", "-") == data, "the copy differs")
    aws("s3", "mv", f"s3://{bucket}/page.html", f"s3://{bucket}/moved.html", "--quiet")
    same(aws("s3", "cp", f"s3://{bucket}/moved.html", "-"), b"<p>", "moved")
    same(api("head-object", "--bucket", bucket, "--key", "moved.html")["Metadata"], {"a": "1", "b": "two"}, "metadata moves along")
    true("404" in aws("s3api", "head-object", "--bucket", bucket, "--key", "page.html", fails=True), "the old key is still there")


@checks("sync up, again (nothing to do), a change, --delete, and down")
def _():
    tree = here.work / "tree"
    for n in range(40):
        # Of an hour ago: the CLI compares with LastModified, which has whole seconds.
        os.utime(file(f"tree/d{n % 4}/f {n}+ü.bin", body(n, 100 * n)), (time.time() - 3600,) * 2)
    up = ("s3", "sync", tree, f"s3://{bucket}/tree", "--no-progress")
    same(aws(*up).decode().count("upload:"), 40, "uploads")
    same(aws(*up), b"", "a second sync has nothing to do")
    file("tree/d0/f 0+ü.bin", b"changed size")
    next(tree.glob("d1/*")).unlink()
    out = aws(*up, "--delete").decode()
    same((out.count("upload:"), out.count("delete:")), (1, 1), "uploads and deletes")
    back = here.work / "back"
    aws("s3", "sync", f"s3://{bucket}/tree", back, "--quiet")
    files = {p.relative_to(tree): p.read_bytes() for p in tree.rglob("*") if p.is_file()}
    same({p.relative_to(back): p.read_bytes() for p in back.rglob("*") if p.is_file()} == files, True, "the trees are equal")


@checks("ls: prefix, recursive, summary")
def _():
    same(aws("s3", "ls", f"s3://{bucket}/tree/").decode().split(), [w for n in range(4) for w in ("PRE", f"d{n}/")], "ls")
    true("Total Objects: 39" in aws("s3", "ls", f"s3://{bucket}/tree", "--recursive", "--summarize").decode(), "summary")


@checks("presign (default signature), fetched by a stranger")
def _():
    url = aws("s3", "presign", f"s3://{bucket}/moved.html").decode().strip()
    with urllib.request.urlopen(url, context=ssl.create_default_context(cafile=here.ca) if here.ca else None) as answer:
        same(answer.read(), b"<p>", "body")


@checks("s3api: range, conditional put, checksum, listing by pages")
def _():
    part = here.work / "part"
    api("get-object", "--bucket", bucket, "--key", f"size/{20 * MIB}", "--range", "bytes=8388600-8388620", part)
    same(part.read_bytes(), body("cli", 20 * MIB)[8388600:8388621], "range")
    put = ("put-object", "--bucket", bucket, "--key", "once", "--body", file("once", b"once"))
    api(*put, "--if-none-match", "*", "--checksum-algorithm", "SHA256")
    true("PreconditionFailed" in aws("s3api", *put, "--if-none-match", "*", fails=True), "want PreconditionFailed")
    true("ChecksumSHA256" in api("head-object", "--bucket", bucket, "--key", "once", "--checksum-mode", "ENABLED"), "no checksum")
    same(len(api("list-objects-v2", "--bucket", bucket, "--prefix", "tree/", "--page-size", "7")["Contents"]), 39, "keys")


@checks("versions: two by their ids, a marker of `aws s3 rm`, restored")
def _():
    at = here.bucket("versions")
    api("create-bucket", "--bucket", at)
    enable = ("put-bucket-versioning", "--bucket", at, "--versioning-configuration", "Status=Enabled")
    if FOLDERS:
        true("upstream.buckets" in aws("s3api", *enable, fails=True), "no word of upstream.buckets")
        return api("delete-bucket", "--bucket", at)
    api(*enable)
    same(api("get-bucket-versioning", "--bucket", at), {"Status": "Enabled"}, "status")
    for text in (b"one", b"two"):
        aws("s3", "cp", "-", f"s3://{at}/k", stdin=text)
    listed = api("list-object-versions", "--bucket", at)["Versions"]
    same([v["IsLatest"] for v in listed], [True, False], "listing")
    old = listed[1]["VersionId"]
    api("get-object", "--bucket", at, "--key", "k", "--version-id", old, here.work / "old")
    same((here.work / "old").read_bytes(), b"one", "the old one")
    aws("s3", "rm", f"s3://{at}/k", "--quiet")
    true("404" in aws("s3", "cp", f"s3://{at}/k", "-", fails=True), "want 404")
    (marker,) = api("list-object-versions", "--bucket", at)["DeleteMarkers"]
    api("delete-object", "--bucket", at, "--key", "k", "--version-id", marker["VersionId"])
    same(aws("s3", "cp", f"s3://{at}/k", "-"), b"two", "restored")
    true("BucketNotEmpty" in aws("s3api", "delete-bucket", "--bucket", at, fails=True), "want BucketNotEmpty")
    for version in listed:
        api("delete-object", "--bucket", at, "--key", "k", "--version-id", version["VersionId"])
    api("delete-bucket", "--bucket", at)


@checks("tags: put, read, copied, of the bucket; lifecycle rules as they were")
def _():
    k = ("--bucket", bucket, "--key", "tagged")
    api("put-object", *k, "--body", file("tagged", b"x"), "--tagging", "a=1&b=2%203")
    want = [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2 3"}]
    same(api("get-object-tagging", *k)["TagSet"], want, "tags")
    aws("s3", "cp", f"s3://{bucket}/tagged", f"s3://{bucket}/tagged2", "--quiet")
    same(api("get-object-tagging", "--bucket", bucket, "--key", "tagged2")["TagSet"], want, "of the copy")
    api("put-object-tagging", *k, "--tagging", '{"TagSet":[{"Key":"c","Value":""}]}')
    same(api("get-object-tagging", *k)["TagSet"], [{"Key": "c", "Value": ""}], "replaced")
    api("put-bucket-tagging", "--bucket", bucket, "--tagging", "TagSet=[{Key=cost,Value=42}]")
    same(api("get-bucket-tagging", "--bucket", bucket)["TagSet"], [{"Key": "cost", "Value": "42"}], "of the bucket")
    rules = {"Rules": [{"ID": "drafts", "Filter": {"Prefix": "drafts/"}, "Status": "Enabled", "Expiration": {"Days": 30}}]}
    api("put-bucket-lifecycle-configuration", "--bucket", bucket, "--lifecycle-configuration", json.dumps(rules))
    same(api("get-bucket-lifecycle-configuration", "--bucket", bucket)["Rules"], rules["Rules"], "rules")
    api("delete-bucket-lifecycle", "--bucket", bucket)


@checks("object lock: a bucket with it, retention, a refused delete, a bypass, a legal hold")
def _():
    at = here.bucket("locks")
    create = ("create-bucket", "--bucket", at, "--object-lock-enabled-for-bucket")
    if FOLDERS:
        return true("upstream.buckets" in aws("s3api", *create, fails=True), "no word of upstream.buckets")
    api(*create)
    k = ("--bucket", at, "--key", "k")
    version = api("put-object", *k, "--body", file("locked", b"x"))["VersionId"]
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    api("put-object-retention", *k, "--retention", f"Mode=GOVERNANCE,RetainUntilDate={until}")
    same(api("get-object-retention", *k)["Retention"]["Mode"], "GOVERNANCE", "retention")
    delete = ("delete-object", *k, "--version-id", version)
    true("AccessDenied" in aws("s3api", *delete, fails=True), "want AccessDenied")
    api("put-object-legal-hold", *k, "--legal-hold", "Status=ON")
    true("AccessDenied" in aws("s3api", *delete, "--bypass-governance-retention", fails=True), "want AccessDenied")
    api("put-object-legal-hold", *k, "--legal-hold", "Status=OFF")
    api(*delete, "--bypass-governance-retention")
    api("delete-bucket", "--bucket", at)


@checks("refusals: no such key, wrong secret, another tenant, a full bucket")
def _():
    true("404" in aws("s3", "cp", f"s3://{bucket}/absent", "-", fails=True), "want 404")
    true("SignatureDoesNotMatch" in aws("s3", "ls", f"s3://{bucket}", fails=True, env={"AWS_SECRET_ACCESS_KEY": "wrong"}), "want SignatureDoesNotMatch")
    other = {"AWS_ACCESS_KEY_ID": here.other_key, "AWS_SECRET_ACCESS_KEY": here.other_secret}
    true("AccessDenied" in aws("s3", "ls", f"s3://{bucket}", fails=True, env=other), "want AccessDenied")
    true("BucketNotEmpty" in aws("s3", "rb", f"s3://{bucket}", fails=True), "want BucketNotEmpty")


@checks("rb --force")
def _():
    aws("s3", "rb", f"s3://{bucket}", "--force")
    true(bucket not in aws("s3", "ls").decode(), "the bucket is still listed")


checks.finish()
