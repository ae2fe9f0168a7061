"""rclone with its default settings for `provider = Other`: copy, check, sync, cat, rcat. Run by suite.py."""

import os
import ssl
import urllib.request

from checks import FOLDERS, ODD_KEYS, Checks, body, command, place, same, true

here = place()
checks = Checks(here.run)
bucket = here.bucket("main")
MIB = 1 << 20

settings = here.work / "rclone.conf"
settings.write_text("".join(
    f"[{name}]\ntype = s3\nprovider = Other\naccess_key_id = {key}\nsecret_access_key = {secret}\nendpoint = {here.endpoint}\nregion = us-east-1\n\n"
    for name, key, secret in (("gate", here.key, here.secret), ("wrong", here.key, "wrong"), ("other", here.other_key, here.other_secret))
))


def rclone(*arguments, **named):
    trust = ("--ca-cert", here.ca) if here.ca else ()
    # A refusal is to be seen at once, not after ten tries; what must succeed must do so at the first.
    return command(os.environ["RCLONE_PROGRAM"], "--config", settings, *trust, "--retries", "1", "--low-level-retries", "1", *arguments, **named)


def told(*arguments):
    """What rclone says that it does."""
    log = here.work / "log"
    log.unlink(missing_ok=True)
    rclone(*arguments, "--log-file", log)
    return log.read_text() if log.exists() else ""


def tree(root):
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


source = here.work / "source"
for n in range(60):
    path = source / f"dir {n % 5}+ü" / f"{n}.bin"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body(n, 211 * n))
(source / "empty").write_bytes(b"")


@checks("mkdir and lsd")
def _():
    rclone("mkdir", f"gate:{bucket}")
    true(bucket in rclone("lsd", "gate:").decode(), "the bucket is not listed")


@checks("copy up, check by hash and by download, copy down")
def _():
    rclone("copy", source, f"gate:{bucket}/tree")
    rclone("check", source, f"gate:{bucket}/tree")
    rclone("check", "--download", source, f"gate:{bucket}/tree")
    rclone("copy", f"gate:{bucket}/tree", here.work / "back")
    true(tree(here.work / "back") == tree(source), "the trees differ")


@checks("sync: nothing to do, a change, a delete, times are kept")
def _():
    up = ("sync", source, f"gate:{bucket}/tree", "--stats-one-line", "--stats", "0", "-v")
    quiet = told(*up)
    true("Copied" not in quiet and "Deleted" not in quiet, f"a second sync did something: {quiet[-300:]}")
    (source / "empty").write_bytes(b"no longer")
    (source / "dir 1+ü" / "1.bin").unlink()
    log = told(*up)
    same((log.count("Copied ("), log.count(": Deleted")), (1, 1), "copied and deleted")
    rclone("check", source, f"gate:{bucket}/tree")


@checks("multipart: 210 MiB is above the default cutoff of 200 MiB")
def _():
    path = here.work / "large"
    path.write_bytes(body("large", 21 * MIB) * 10)
    rclone("copyto", path, f"gate:{bucket}/large")
    rclone("check", "--download", here.work, f"gate:{bucket}", "--include", "/large", "--one-way")
    rclone("check", here.work, f"gate:{bucket}", "--include", "/large", "--one-way")
    path.unlink()


@checks("rcat and cat: streams of unknown length, small and multipart; ranges")
def _():
    for size in (0, 12, 11 * MIB):
        data = body("rcat", size)
        rclone("rcat", f"gate:{bucket}/rcat", stdin=data)
        true(rclone("cat", f"gate:{bucket}/rcat") == data, f"{size} bytes differ")
    same(rclone("cat", "--offset", "1000", "--count", "77", f"gate:{bucket}/rcat"), data[1000:1077], "a range")
    same(rclone("cat", "--tail", "10", f"gate:{bucket}/rcat"), data[-10:], "the tail")


@checks("odd keys by copyto, cat and lsf")
def _():
    # rclone itself rewrites "//", "." and ".." in names: those are not the server's to keep.
    keys = [k for k in ODD_KEYS if not k.endswith("/") and "//" not in k and "./" not in k]
    for key in keys:
        rclone("rcat", f"gate:{bucket}/odd/{key}", stdin=key.encode())
        same(rclone("cat", f"gate:{bucket}/odd/{key}"), key.encode(), key)
    listed = sorted(rclone("lsf", "-R", "--files-only", f"gate:{bucket}/odd").decode().splitlines())
    same(listed, sorted(keys), "listing")


@checks("copy and move on the server; the type is stored")
def _():
    rclone("copyto", f"gate:{bucket}/tree/empty", f"gate:{bucket}/page.html")
    rclone("moveto", f"gate:{bucket}/page.html", f"gate:{bucket}/moved.html")
    same(rclone("cat", f"gate:{bucket}/moved.html"), b"no longer", "moved")
    same(rclone("lsf", f"gate:{bucket}", "--files-only").decode().split(), ["large", "moved.html", "rcat"], "keys")


@checks("link: a presigned URL, fetched by a stranger")
def _():
    url = rclone("link", f"gate:{bucket}/moved.html", "--expire", "1h").decode().strip()
    with urllib.request.urlopen(url, context=ssl.create_default_context(cafile=here.ca) if here.ca else None) as answer:
        same(answer.read(), b"no longer", "body")


@checks("size, delete by filter")
def _():
    true('"count":63' in rclone("size", "--json", f"gate:{bucket}", "--exclude", "/odd/**").decode().replace(" ", ""), "count")
    rclone("delete", f"gate:{bucket}", "--include", "/tree/dir 2*/**")
    same(rclone("lsf", f"gate:{bucket}/tree/dir 2+ü"), b"", "deleted")


@checks("versions: turned on, shown by --s3-versions, read, hidden by a delete, cleaned up")
def _():
    at = f"gate:{here.bucket('versions')}"
    rclone("mkdir", at)
    if FOLDERS:
        true("upstream.buckets" in rclone("backend", "versioning", at, "Enabled", fails=True), "no word of upstream.buckets")
        return rclone("rmdir", at)
    same(rclone("backend", "versioning", at).strip(b'" \n'), b"Unversioned", "of a new bucket")
    same(rclone("backend", "versioning", at, "Enabled").strip(b'" \n'), b"Enabled", "turned on")
    for text in (b"one", b"the second"):
        rclone("rcat", f"{at}/a.txt", stdin=text)

    def shown(*arguments):
        return sorted(rclone("lsf", "--files-only", *arguments, at).decode().splitlines(), key=len)

    same(shown(), ["a.txt"], "without versions")
    now, old = shown("--s3-versions")
    true(now == "a.txt" and old.startswith("a-v20") and old.endswith(".txt"), f"versions: {now}, {old}")
    same((rclone("cat", f"{at}/a.txt"), rclone("cat", "--s3-versions", f"{at}/{old}")), (b"the second", b"one"), "bodies")
    rclone("deletefile", f"{at}/a.txt")
    same((shown(), len(shown("--s3-versions"))), ([], 2), "hidden by a marker")
    same(rclone("cat", "--s3-versions", f"{at}/{old}"), b"one", "under the marker")
    rclone("backend", "cleanup-hidden", at)
    same(shown("--s3-versions"), [], "cleaned up")
    rclone("purge", at)


@checks("metadata and tags: what is set on upload is there, and copied on the server")
def _():
    rclone("copyto", source / "empty", f"gate:{bucket}/meta", "--metadata", "--metadata-set", "cache-control=max-age=7", "--header-upload", "x-amz-tagging: a=1&b=2")
    rclone("copyto", f"gate:{bucket}/meta", f"gate:{bucket}/meta2", "--metadata")
    true('"cache-control":"max-age=7"' in rclone("lsjson", "--metadata", f"gate:{bucket}/meta2").decode(), "metadata of the copy")
    rclone("delete", f"gate:{bucket}", "--include", "/meta*")


@checks("refusals: wrong secret, another tenant, no such bucket, a full bucket")
def _():
    true("SignatureDoesNotMatch" in rclone("lsf", f"wrong:{bucket}", fails=True), "want SignatureDoesNotMatch")
    true("AccessDenied" in rclone("lsf", f"other:{bucket}", fails=True), "want AccessDenied")
    true("not found" in rclone("lsf", f"gate:{bucket}-absent", fails=True), "want not found")
    true("BucketNotEmpty" in rclone("rmdir", f"gate:{bucket}", fails=True), "want BucketNotEmpty")


@checks("purge")
def _():
    rclone("purge", f"gate:{bucket}")
    true(bucket not in rclone("lsd", "gate:").decode(), "the bucket is still listed")


checks.finish()
