"""boto3 with its default settings: what its users do, byte-compared. Run by suite.py, once over http, once over https."""

import base64
import hashlib
import http.client
import io
import json
import os
import re
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
import zlib
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from urllib.parse import urlsplit

import boto3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from botocore.signers import CloudFrontSigner

from boto3_client import client, here, refused
from checks import FOLDERS, ODD_KEYS, Checks, body, same, true

checks = Checks(here.run)
MIB = 1 << 20

s3 = client()
other = client(here.other_key, here.other_secret)
bucket = here.bucket("main")


def read(key, where=None, **named):
    return s3.get_object(Bucket=where or bucket, Key=key, **named)["Body"].read()


def open_url(url, method="GET", data=None, headers=None):
    """A presigned URL as a stranger uses it. Returns status, headers, body."""
    request = urllib.request.Request(url, method=method, data=data, headers=headers or {})
    context = ssl.create_default_context(cafile=here.ca) if here.ca else None
    try:
        with urllib.request.urlopen(request, context=context, timeout=60) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as fault:
        return fault.code, fault.headers, fault.read()


def md5(data):
    return hashlib.md5(data).hexdigest()


def multipart_etag(data, part):
    digests = [hashlib.md5(data[i : i + part]).digest() for i in range(0, len(data), part)]
    return f'"{hashlib.md5(b"".join(digests)).hexdigest()}-{len(digests)}"'


def reflected_crc(data, polynomial, bits):
    mask = (1 << bits) - 1
    table = []
    for n in range(256):
        for _ in range(8):
            n = (n >> 1) ^ polynomial if n & 1 else n >> 1
        table.append(n)
    crc = mask
    for byte in data:
        crc = (crc >> 8) ^ table[(crc ^ byte) & 255]
    return base64.b64encode((crc ^ mask).to_bytes(bits // 8, "big")).decode()


CHECKSUMS = {
    "CRC32": lambda d: base64.b64encode(zlib.crc32(d).to_bytes(4, "big")).decode(),
    "CRC32C": lambda d: reflected_crc(d, 0x82F63B78, 32),
    "CRC64NVME": lambda d: reflected_crc(d, 0x9A6C9329AC4BC9B5, 64),
    "SHA1": lambda d: base64.b64encode(hashlib.sha1(d).digest()).decode(),
    "SHA256": lambda d: base64.b64encode(hashlib.sha256(d).digest()).decode(),
}


# ---- buckets

@checks("make, find and locate a bucket")
def _():
    s3.create_bucket(Bucket=bucket)
    s3.head_bucket(Bucket=bucket)
    true(bucket in [b["Name"] for b in s3.list_buckets()["Buckets"]], "the bucket is not in the list")
    same(s3.get_bucket_location(Bucket=bucket).get("LocationConstraint"), None, "us-east-1 has no constraint")


@checks("a bucket name that is taken, or no name at all")
def _():
    refused("BucketAlreadyExists", other.create_bucket, Bucket=bucket)
    refused(("NoSuchBucket", "404"), s3.head_bucket, Bucket=here.bucket("absent"))
    refused("NoSuchBucket", s3.list_objects_v2, Bucket=here.bucket("absent"))
    refused("InvalidBucketName", s3.create_bucket, Bucket="ab.-c")


# ---- small and medium objects

@checks("put, head and get: 0 B, 1 B, 4 KiB, 1 MiB, 7.9 MiB")
def _():
    for size in (0, 1, 4096, MIB, 7_900_000):
        data = body("size", size)
        put = s3.put_object(Bucket=bucket, Key=f"size/{size}", Body=data)
        same(put["ETag"], f'"{md5(data)}"', "ETag of the put")
        head = s3.head_object(Bucket=bucket, Key=f"size/{size}")
        same((head["ContentLength"], head["ETag"]), (size, put["ETag"]), "head")
        got = s3.get_object(Bucket=bucket, Key=f"size/{size}")
        same(got["Body"].read(), data, f"{size} bytes")
        same(got["ContentType"], "binary/octet-stream", "type of a body without one")


@checks("empty and full bodies in turn on one connection (Expect: 100-continue)")
def _():
    for turn in range(6):
        for size in (0, 5, 0, 70_000):
            data = body(turn, size)
            s3.put_object(Bucket=bucket, Key="turn", Body=io.BytesIO(data))
            same(read("turn"), data, f"turn {turn}")


@checks("overwrite: the reader sees the new version, whole")
def _():
    for size in (100, 200_000, 3, 0, 70_000):
        s3.put_object(Bucket=bucket, Key="over", Body=body("over", size))
        same(read("over"), body("over", size), f"{size} bytes")


@checks("ranges: first byte, middle, suffix, open end, over the end, beyond the end")
def _():
    data = body("ranges", 100_000)
    s3.put_object(Bucket=bucket, Key="ranges", Body=data)
    for asked, want, said in (
        ("bytes=0-0", data[:1], "bytes 0-0/100000"),
        ("bytes=5-9", data[5:10], "bytes 5-9/100000"),
        ("bytes=-10", data[-10:], "bytes 99990-99999/100000"),
        ("bytes=99000-", data[99000:], "bytes 99000-99999/100000"),
        ("bytes=10-999999", data[10:], "bytes 10-99999/100000"),
        ("bytes=-999999", data, "bytes 0-99999/100000"),
    ):
        got = s3.get_object(Bucket=bucket, Key="ranges", Range=asked)
        same((got["ContentRange"], got["Body"].read()), (said, want), asked)
        same(got["ResponseMetadata"]["HTTPStatusCode"], 206, "status")
    refused("InvalidRange", s3.get_object, Bucket=bucket, Key="ranges", Range="bytes=100000-")
    same(s3.head_object(Bucket=bucket, Key="ranges", Range="bytes=0-4")["ResponseMetadata"]["HTTPStatusCode"], 206, "HEAD with a range")


@checks("odd keys: put, get, head, list, copy, delete")
def _():
    where = here.bucket("odd")
    s3.create_bucket(Bucket=where)
    longest = "ü" * 500 + "x" * (24 if not FOLDERS else 23 - len(where))  # 1,024 bytes of UTF-8, upstream with the bucket's name before
    copy_of = lambda key: f"copy/{key}".removesuffix("x" * 5)
    for key in [*ODD_KEYS, longest]:
        data = body(key, 300)
        s3.put_object(Bucket=where, Key=key, Body=data)
        same(read(key, where), data, key)
        same(s3.head_object(Bucket=where, Key=key)["ContentLength"], 300, key)
        s3.copy_object(Bucket=where, Key=copy_of(key), CopySource={"Bucket": where, "Key": key})
        same(read(copy_of(key), where), data, f"copy of {key}")
    listed = [o["Key"] for o in s3.list_objects_v2(Bucket=where)["Contents"]]
    want = sorted([*ODD_KEYS, longest, *map(copy_of, [*ODD_KEYS, longest])], key=lambda k: k.encode())
    same(listed, want, "listing in UTF-8 byte order")
    for key in listed:
        s3.delete_object(Bucket=where, Key=key)
    same(s3.list_objects_v2(Bucket=where)["KeyCount"], 0, "keys left")
    s3.delete_bucket(Bucket=where)
    refused("KeyTooLongError", s3.put_object, Bucket=bucket, Key="k" * 1025, Body=b"")


@checks("headers that are stored: metadata, types, caching, dates")
def _():
    expires = datetime(2031, 3, 4, 5, 6, 7, tzinfo=timezone.utc)
    s3.put_object(
        Bucket=bucket, Key="meta", Body=b"x", ContentType="model/gltf-binary", CacheControl="public, max-age=60",
        ContentDisposition='attachment; filename="a b.glb"', ContentEncoding="gzip", ContentLanguage="de", Expires=expires,
        Metadata={"Run": "42", "with-dash": "two  words", "empty": ""},
    )
    for got in (s3.head_object(Bucket=bucket, Key="meta"), s3.get_object(Bucket=bucket, Key="meta")):
        same(got["ContentType"], "model/gltf-binary", "type")
        same(got["CacheControl"], "public, max-age=60", "cache control")
        same(got["ContentDisposition"], 'attachment; filename="a b.glb"', "disposition")
        same(got["ContentEncoding"], "gzip", "encoding, without aws-chunked")
        same(got["ContentLanguage"], "de", "language")
        same(got["ExpiresString"], "Tue, 04 Mar 2031 05:06:07 GMT", "expires")
        same(got["Metadata"]["run"], "42", "metadata")
        same(re.sub(" +", " ", got["Metadata"]["with-dash"]), "two words", "metadata with spaces")
        true(abs(datetime.now(timezone.utc) - got["LastModified"]) < timedelta(minutes=10), "last modified is not now")


@checks("the metadata limit: of S3's 2 KB some is the gateway's")
def _():
    s3.put_object(Bucket=bucket, Key="meta-limit", Body=b"", Metadata={"a": "v" * 1650})
    refused("MetadataTooLarge", s3.put_object, Bucket=bucket, Key="meta-limit", Body=b"", Metadata={"a": "v" * 2100})


# ---- listing

@checks("listing: 1,205 keys by pages, prefix, delimiter, start-after, both versions")
def _():
    where = here.bucket("list")
    s3.create_bucket(Bucket=where)
    keys = sorted([f"a/{n:04}" for n in range(1100)] + [f"b/{n % 7}/{n}" for n in range(100)] + [f"top{n}" for n in range(5)])
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda k: s3.put_object(Bucket=where, Key=k, Body=k.encode()), keys))
    pages = list(s3.get_paginator("list_objects_v2").paginate(Bucket=where))
    same([p["KeyCount"] for p in pages], [1000, 205], "pages")
    same([o["Key"] for p in pages for o in p["Contents"]], keys, "keys")
    one = pages[0]["Contents"][0]
    same((one["Size"], one["ETag"], one["StorageClass"]), (6, f'"{md5(b"a/0000")}"', "STANDARD"), "an entry")
    pages = list(s3.get_paginator("list_objects").paginate(Bucket=where, PaginationConfig={"PageSize": 100}))
    same([o["Key"] for p in pages for o in p["Contents"]], keys, "keys by version 1 in pages of 100")
    pages = list(s3.get_paginator("list_objects_v2").paginate(Bucket=where, Delimiter="/", PaginationConfig={"PageSize": 3}))
    same([c["Prefix"] for p in pages for c in p.get("CommonPrefixes", [])], ["a/", "b/"], "common prefixes")
    same([o["Key"] for p in pages for o in p.get("Contents", [])], [f"top{n}" for n in range(5)], "keys beside them")
    inner = s3.list_objects_v2(Bucket=where, Prefix="b/", Delimiter="/")
    same([c["Prefix"] for c in inner["CommonPrefixes"]], [f"b/{n}/" for n in range(7)], "prefixes inside b/")
    after = s3.list_objects_v2(Bucket=where, StartAfter="top2")
    same([o["Key"] for o in after["Contents"]], ["top3", "top4"], "after top2")
    none = s3.list_objects_v2(Bucket=where, MaxKeys=0)
    same((none["KeyCount"], none["IsTruncated"]), (0, False), "max-keys 0")
    refused("BucketNotEmpty", s3.delete_bucket, Bucket=where)
    gone = s3.delete_objects(Bucket=where, Delete={"Objects": [{"Key": k} for k in keys[:1000]]})
    same(len(gone["Deleted"]), 1000, "deleted in one batch")
    quiet = s3.delete_objects(Bucket=where, Delete={"Objects": [{"Key": k} for k in keys[1000:]] + [{"Key": "absent"}], "Quiet": True})
    true("Deleted" not in quiet and "Errors" not in quiet, f"quiet: {quiet.keys()}")
    same(s3.list_objects_v2(Bucket=where)["KeyCount"], 0, "keys left")
    s3.delete_bucket(Bucket=where)


# ---- copy and delete

@checks("copy: metadata kept or replaced, onto itself, under conditions, from a missing key")
def _():
    s3.put_object(Bucket=bucket, Key="from", Body=b"source", ContentType="text/x-a", Metadata={"m": "1"})
    etag = f'"{md5(b"source")}"'
    source = {"Bucket": bucket, "Key": "from"}
    same(s3.copy_object(Bucket=bucket, Key="to", CopySource=source)["CopyObjectResult"]["ETag"], etag, "ETag")
    got = s3.get_object(Bucket=bucket, Key="to")
    same((got["Body"].read(), got["ContentType"], got["Metadata"]), (b"source", "text/x-a", {"m": "1"}), "copy")
    s3.copy_object(Bucket=bucket, Key="to", CopySource=source, MetadataDirective="REPLACE", ContentType="text/x-b", Metadata={"n": "2"})
    got = s3.head_object(Bucket=bucket, Key="to")
    same((got["ContentType"], got["Metadata"]), ("text/x-b", {"n": "2"}), "replaced")
    refused("InvalidRequest", s3.copy_object, Bucket=bucket, Key="from", CopySource=source)
    s3.copy_object(Bucket=bucket, Key="from", CopySource=source, MetadataDirective="REPLACE", Metadata={"self": "yes"})
    same(s3.head_object(Bucket=bucket, Key="from")["Metadata"], {"self": "yes"}, "copied onto itself")
    refused("PreconditionFailed", s3.copy_object, Bucket=bucket, Key="to", CopySource=source, CopySourceIfMatch='"00000000000000000000000000000000"')
    refused("PreconditionFailed", s3.copy_object, Bucket=bucket, Key="to", CopySource=source, CopySourceIfNoneMatch=etag)
    refused("NoSuchKey", s3.copy_object, Bucket=bucket, Key="to", CopySource={"Bucket": bucket, "Key": "absent"})


@checks("delete: the key is gone, twice is fine, its copy stays")
def _():
    s3.delete_object(Bucket=bucket, Key="from")
    s3.delete_object(Bucket=bucket, Key="from")
    refused("NoSuchKey", s3.get_object, Bucket=bucket, Key="from")
    refused("404", s3.head_object, Bucket=bucket, Key="from")
    same(read("to"), b"source", "the copy of what was deleted")


# ---- multipart

big = body("big", 20 * MIB)


@checks("upload_fileobj and download_fileobj of 20 MiB (multipart by default)")
def _():
    s3.upload_fileobj(io.BytesIO(big), bucket, "big", ExtraArgs={"ContentType": "video/mp4", "Metadata": {"k": "v"}})
    head = s3.head_object(Bucket=bucket, Key="big")
    same((head["ContentLength"], head["ETag"]), (len(big), multipart_etag(big, 8 * MIB)), "size and ETag")
    same((head["ContentType"], head["Metadata"]), ("video/mp4", {"k": "v"}), "headers given at its start")
    got = io.BytesIO()
    s3.download_fileobj(bucket, "big", got)
    true(got.getvalue() == big, "the bytes differ")
    true(read("big") == big, "the bytes differ in one get")


@checks("ranges over the borders of parts, and single parts")
def _():
    for first, last in ((8 * MIB - 1, 8 * MIB), (8 * MIB, 16 * MIB - 1), (MIB, 19 * MIB), (20 * MIB - 1, 20 * MIB - 1)):
        true(read("big", Range=f"bytes={first}-{last}") == big[first : last + 1], f"bytes {first}-{last} differ")
    part = s3.get_object(Bucket=bucket, Key="big", PartNumber=3)
    true(part["Body"].read() == big[16 * MIB :], "part 3 differs")
    same(part["PartsCount"], 3, "parts")
    same(s3.head_object(Bucket=bucket, Key="big", PartNumber=1)["ContentLength"], 8 * MIB, "length of part 1")


@checks("managed copy of 20 MiB (UploadPartCopy)")
def _():
    s3.copy({"Bucket": bucket, "Key": "big"}, bucket, "big-copy")
    true(read("big-copy") == big, "the bytes differ")


@checks("upload of a stream that can't seek and has no length")
def _():
    out, into = os.pipe()
    data = big[: 9 * MIB + 17]

    def feed():
        with os.fdopen(into, "wb") as pipe:
            pipe.write(data)

    thread = threading.Thread(target=feed)
    thread.start()
    with os.fdopen(out, "rb") as pipe:
        s3.upload_fileobj(pipe, bucket, "stream")
    thread.join()
    true(read("stream") == data, "the bytes differ")


@checks("multipart by hand: any order, a part twice, list, complete, complete again")
def _():
    start = s3.create_multipart_upload(Bucket=bucket, Key="hand", ContentType="image/ktx2")
    at = {"Bucket": bucket, "Key": "hand", "UploadId": start["UploadId"]}
    five = body("five", 5 * MIB)
    last = s3.upload_part(**at, PartNumber=9, Body=b"the end")["ETag"]
    s3.upload_part(**at, PartNumber=2, Body=b"overwritten")
    first = s3.upload_part(**at, PartNumber=2, Body=five)["ETag"]
    parts = s3.list_parts(**at)["Parts"]
    same([(p["PartNumber"], p["Size"], p["ETag"]) for p in parts], [(2, 5 * MIB, first), (9, 7, last)], "parts")
    true(start["UploadId"] in [u["UploadId"] for u in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]], "the upload is not listed")
    refused("NoSuchKey", s3.get_object, Bucket=bucket, Key="hand")
    plan = {"Parts": [{"PartNumber": 2, "ETag": first}, {"PartNumber": 9, "ETag": last}]}
    done = s3.complete_multipart_upload(**at, MultipartUpload=plan)
    again = s3.complete_multipart_upload(**at, MultipartUpload=plan)
    same(again["ETag"], done["ETag"], "complete is idempotent")
    got = s3.get_object(Bucket=bucket, Key="hand")
    true(got["Body"].read() == five + b"the end", "the bytes differ")
    same(got["ContentType"], "image/ktx2", "type")
    same(s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []), [], "uploads left")


@checks("multipart refusals: small part, wrong ETag, wrong order, unknown upload, abort")
def _():
    at = {"Bucket": bucket, "Key": "bad"}
    at["UploadId"] = s3.create_multipart_upload(**at)["UploadId"]
    one, two = (s3.upload_part(**at, PartNumber=n, Body=b"small")["ETag"] for n in (1, 2))
    refused("EntityTooSmall", s3.complete_multipart_upload, **at, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": one}, {"PartNumber": 2, "ETag": two}]})
    refused("InvalidPart", s3.complete_multipart_upload, **at, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": '"00000000000000000000000000000000"'}]})
    refused("InvalidPart", s3.complete_multipart_upload, **at, MultipartUpload={"Parts": [{"PartNumber": 3, "ETag": one}]})
    refused("InvalidPartOrder", s3.complete_multipart_upload, **at, MultipartUpload={"Parts": [{"PartNumber": 2, "ETag": two}, {"PartNumber": 1, "ETag": one}]})
    s3.abort_multipart_upload(**at)
    refused("NoSuchUpload", s3.upload_part, **at, PartNumber=1, Body=b"x")
    refused("NoSuchUpload", s3.list_parts, **at)
    refused("NoSuchKey", s3.get_object, Bucket=bucket, Key="bad")


@checks("UploadPartCopy of a range; If-None-Match on complete")
def _():
    at = {"Bucket": bucket, "Key": "pieced"}
    at["UploadId"] = s3.create_multipart_upload(**at)["UploadId"]
    source = {"Bucket": bucket, "Key": "big"}
    one = s3.upload_part_copy(**at, PartNumber=1, CopySource=source, CopySourceRange=f"bytes=100-{5 * MIB + 199}")["CopyPartResult"]["ETag"]
    two = s3.upload_part(**at, PartNumber=2, Body=b"tail")["ETag"]
    plan = {"Parts": [{"PartNumber": 1, "ETag": one}, {"PartNumber": 2, "ETag": two}]}
    s3.complete_multipart_upload(**at, MultipartUpload=plan, IfNoneMatch="*")
    true(read("pieced") == big[100 : 5 * MIB + 200] + b"tail", "the bytes differ")
    at["UploadId"] = s3.create_multipart_upload(Bucket=bucket, Key="pieced")["UploadId"]
    one = s3.upload_part(**at, PartNumber=1, Body=b"new")["ETag"]
    refused("PreconditionFailed", s3.complete_multipart_upload, **at, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": one}]}, IfNoneMatch="*")
    s3.abort_multipart_upload(**at)


# ---- conditions

@checks("conditional reads: If-Match, If-None-Match, If-(Un)Modified-Since")
def _():
    etag = s3.put_object(Bucket=bucket, Key="cond", Body=b"v1")["ETag"]
    past, future = datetime.now(timezone.utc) - timedelta(days=1), datetime.now(timezone.utc) + timedelta(days=1)
    at = {"Bucket": bucket, "Key": "cond"}
    s3.get_object(**at, IfMatch=etag)
    refused("PreconditionFailed", s3.get_object, **at, IfMatch='"no"')
    refused("304", s3.get_object, **at, IfNoneMatch=etag)
    refused("304", s3.head_object, **at, IfNoneMatch=etag)
    s3.get_object(**at, IfModifiedSince=past)
    refused("304", s3.get_object, **at, IfModifiedSince=datetime.now(timezone.utc) + timedelta(seconds=1))
    s3.get_object(**at, IfUnmodifiedSince=future)
    refused("PreconditionFailed", s3.get_object, **at, IfUnmodifiedSince=past)


@checks("conditional writes: If-None-Match and If-Match, one winner of a race")
def _():
    at = {"Bucket": bucket, "Key": "cond"}
    etag = s3.put_object(**at, Body=b"v1")["ETag"]
    refused("PreconditionFailed", s3.put_object, **at, Body=b"v2", IfNoneMatch="*")
    refused("PreconditionFailed", s3.put_object, **at, Body=b"v2", IfMatch='"no"')
    refused(("NoSuchKey", "PreconditionFailed"), s3.put_object, Bucket=bucket, Key="cond-absent", Body=b"v2", IfMatch=etag)
    s3.put_object(**at, Body=b"v2", IfMatch=etag)
    refused("PreconditionFailed", s3.put_object, **at, Body=b"v3", IfMatch=etag)
    same(read("cond"), b"v2", "body")

    def race(n):
        try:
            s3.put_object(Bucket=bucket, Key="race", Body=str(n).encode(), IfNoneMatch="*")
            return n
        except ClientError as fault:
            true(fault.response["Error"]["Code"] in ("PreconditionFailed", "ConditionalRequestConflict"), str(fault))

    with ThreadPoolExecutor(8) as pool:
        winners = [n for n in pool.map(race, range(16)) if n is not None]
    same(len(winners), 1, "winners")
    same(read("race"), str(winners[0]).encode(), "the winner's body")


# ---- checksums

@checks("checksums: all five algorithms stored and returned, wrong ones refused")
def _():
    data = body("sum", 5000)
    for name, compute in CHECKSUMS.items():
        at = {"Bucket": bucket, "Key": f"sum/{name}"}
        value = {f"Checksum{name}": compute(data)}
        same(s3.put_object(**at, Body=data, **value)[f"Checksum{name}"], compute(data), f"{name} of the put")
        head = s3.head_object(**at, ChecksumMode="ENABLED")
        same((head[f"Checksum{name}"], head["ChecksumType"]), (compute(data), "FULL_OBJECT"), f"{name} of head")
        same(read(at["Key"]), data, "body (validated by boto3 where it can)")
        refused(("BadDigest", "InvalidRequest"), s3.put_object, **at, Body=data, **{f"Checksum{name}": compute(b"other")})
        same(read(at["Key"]), data, "body after a refused put")
    for name in ("CRC32", "SHA1", "SHA256"):  # the ones that boto3 computes itself without its C library, as trailer over https
        s3.put_object(Bucket=bucket, Key="sum/own", Body=io.BytesIO(data), ChecksumAlgorithm=name)
        same(s3.head_object(Bucket=bucket, Key="sum/own", ChecksumMode="ENABLED")[f"Checksum{name}"], CHECKSUMS[name](data), f"own {name}")


@checks("the default checksum of a put is CRC32, and Content-MD5 is checked")
def _():
    s3.put_object(Bucket=bucket, Key="sum/default", Body=b"abc")
    same(s3.head_object(Bucket=bucket, Key="sum/default", ChecksumMode="ENABLED")["ChecksumCRC32"], CHECKSUMS["CRC32"](b"abc"), "CRC32")
    right, wrong = (base64.b64encode(hashlib.md5(d).digest()).decode() for d in (b"abc", b"abd"))
    s3.put_object(Bucket=bucket, Key="sum/md5", Body=b"abc", ContentMD5=right)
    refused("BadDigest", s3.put_object, Bucket=bucket, Key="sum/md5", Body=b"abc", ContentMD5=wrong)
    refused("InvalidDigest", s3.put_object, Bucket=bucket, Key="sum/md5", Body=b"abc", ContentMD5="bm90IGFuIG1kNQ==")


@checks("multipart checksums: SHA256 composite, CRC64NVME full object, attributes")
def _():
    halves = [body("half", 5 * MIB), body("rest", 1000)]
    at = {"Bucket": bucket, "Key": "sum/composite"}
    at["UploadId"] = s3.create_multipart_upload(**at, ChecksumAlgorithm="SHA256")["UploadId"]
    parts = []
    for number, half in enumerate(halves, 1):
        sent = s3.upload_part(**at, PartNumber=number, Body=half, ChecksumAlgorithm="SHA256")
        same(sent["ChecksumSHA256"], CHECKSUMS["SHA256"](half), "checksum of a part")
        parts.append({"PartNumber": number, "ETag": sent["ETag"], "ChecksumSHA256": sent["ChecksumSHA256"]})
    done = s3.complete_multipart_upload(**at, MultipartUpload={"Parts": parts})
    want = CHECKSUMS["SHA256"](b"".join(hashlib.sha256(h).digest() for h in halves)) + "-2"
    same((done["ChecksumSHA256"], done["ChecksumType"]), (want, "COMPOSITE"), "composite")
    asked = s3.get_object_attributes(Bucket=bucket, Key="sum/composite", ObjectAttributes=["ETag", "Checksum", "ObjectParts", "ObjectSize", "StorageClass"])
    same(asked["ObjectSize"], 5 * MIB + 1000, "size")
    same(asked["ETag"], done["ETag"].strip('"'), "ETag")
    same(asked["Checksum"]["ChecksumType"], "COMPOSITE", "type")
    same((asked["ObjectParts"]["TotalPartsCount"], [p["Size"] for p in asked["ObjectParts"]["Parts"]]), (2, [5 * MIB, 1000]), "parts")
    true(read("sum/composite") == b"".join(halves), "the bytes differ")

    at = {"Bucket": bucket, "Key": "sum/full"}
    small = [body("tiny", 1000)]
    whole = CHECKSUMS["CRC64NVME"](b"".join(small))
    at["UploadId"] = s3.create_multipart_upload(**at, ChecksumAlgorithm="CRC64NVME", ChecksumType="FULL_OBJECT")["UploadId"]
    sent = s3.upload_part(**at, PartNumber=1, Body=small[0], ChecksumCRC64NVME=whole)
    plan = {"Parts": [{"PartNumber": 1, "ETag": sent["ETag"]}]}
    refused(("BadDigest", "InvalidRequest"), s3.complete_multipart_upload, **at, MultipartUpload=plan, ChecksumCRC64NVME=CHECKSUMS["CRC64NVME"](b"no"), ChecksumType="FULL_OBJECT")
    done = s3.complete_multipart_upload(**at, MultipartUpload=plan, ChecksumCRC64NVME=whole, ChecksumType="FULL_OBJECT")
    same((done["ChecksumCRC64NVME"], done["ChecksumType"]), (whole, "FULL_OBJECT"), "full object")


# ---- presigned

def presigned_checks(s3, form):
    @checks(f"presigned GET and HEAD, {form}")
    def _():
        data = body("signed", 3000)
        for key in ("signed", *ODD_KEYS):
            s3.put_object(Bucket=bucket, Key=key, Body=data)
            url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key})
            same(open_url(url)[::2], (200, data), f"GET of {key!r}")
        same(open_url(url, headers={"Range": "bytes=10-19"})[::2], (206, data[10:20]), "GET of a range")
        url = s3.generate_presigned_url("head_object", Params={"Bucket": bucket, "Key": "signed"})
        status, headers, got = open_url(url, method="HEAD")
        same((status, headers["Content-Length"], got), (200, "3000", b""), "HEAD")

    @checks(f"presigned GET with response overrides, {form}")
    def _():
        s3.put_object(Bucket=bucket, Key="signed", Body=b"x")
        asked = {"Bucket": bucket, "Key": "signed", "ResponseContentType": "text/plain", "ResponseContentDisposition": 'attachment; filename="e.txt"'}
        url = s3.generate_presigned_url("get_object", Params=asked)
        status, headers, _ = open_url(url)
        same((status, headers["Content-Type"], headers["Content-Disposition"]), (200, "text/plain", 'attachment; filename="e.txt"'), "answer")

    @checks(f"presigned PUT, plain and with a signed type, {form}")
    def _():
        # Python's urllib adds a Content-Type of its own, which the older form signs: so a client that sends only what it is told.
        url = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "signed-put"})
        same(bare_put(url, b"by url", {}), 200, "PUT")
        same(read("signed-put"), b"by url", "body")
        url = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "signed-put", "ContentType": "image/png"})
        same(bare_put(url, b"png", {"Content-Type": "image/png"}), 200, "PUT with its type")
        same(s3.head_object(Bucket=bucket, Key="signed-put")["ContentType"], "image/png", "type")
        same(bare_put(url, b"gif", {"Content-Type": "image/gif"}), 403, "PUT with another type")

    @checks(f"presigned refusals: expired, tampered, for another method or key, {form}")
    def _():
        url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "signed"}, ExpiresIn=1)
        time.sleep(2.5)  # past its second, and past the rounding of both clocks
        status, _, text = open_url(url)
        same((status, b"Request has expired" in text), (403, True), f"expired: {text[:300]}")
        url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "signed"})
        status, _, text = open_url(url.replace("/signed?", "/signed-put?"))
        same((status, b"SignatureDoesNotMatch" in text), (403, True), f"another key: {text[:200]}")
        same(bare_put(url, b"no", {}), 403, "PUT with a URL for GET")
        same(bare_put(s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "signed"}), b"no", {"x-amz-acl": "public-read"}), 403, "an unsigned x-amz-acl")
        same(bare_put(s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "signed"}), None, {"x-amz-copy-source": f"/{bucket}/to"}), 403, "an unsigned copy source")


def bare_put(url, data, headers):
    where = urlsplit(url)
    if here.secure:
        connection = http.client.HTTPSConnection(where.netloc, timeout=60, context=ssl.create_default_context(cafile=here.ca))
    else:
        connection = http.client.HTTPConnection(where.netloc, timeout=60)
    connection.request("PUT", f"{where.path}?{where.query}", body=data, headers=headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


presigned_checks(s3, "SigV2")  # boto3's default for us-east-1
presigned_checks(client(signature_version="s3v4"), "SigV4")


# ---- addressing

@checks("virtual-host addressing")
def _():
    if not here.domain:
        return
    resolve = socket.getaddrinfo
    socket.getaddrinfo = lambda host, *rest, **named: resolve("127.0.0.1" if str(host).endswith(here.domain) else host, *rest, **named)
    try:
        by_name = client(endpoint=here.vhost_endpoint, s3={"addressing_style": "virtual"})
        for key in ODD_KEYS:
            by_name.put_object(Bucket=bucket, Key=key, Body=key.encode())
            same(by_name.get_object(Bucket=bucket, Key=key)["Body"].read(), key.encode(), key)
        same(read(ODD_KEYS[0]), ODD_KEYS[0].encode(), "by path")
        true(by_name.list_objects_v2(Bucket=bucket)["KeyCount"] > len(ODD_KEYS), "listing")
    finally:
        socket.getaddrinfo = resolve


# ---- who may

@checks("wrong secret, unknown key, no such key")
def _():
    refused("SignatureDoesNotMatch", client(secret="wrong").get_object, Bucket=bucket, Key="to")
    refused("SignatureDoesNotMatch", client(secret="wrong").put_object, Bucket=bucket, Key="to", Body=b"no")
    refused("InvalidAccessKeyId", client(key="AKNOBODY").get_object, Bucket=bucket, Key="to")
    refused("NoSuchKey", s3.get_object, Bucket=bucket, Key="absent")
    same(read("to"), b"source", "body")


@checks("another tenant may do nothing here, nor learn what is there")
def _():
    for code, call, named in (
        ("AccessDenied", other.get_object, {"Key": "to"}),
        ("AccessDenied", other.get_object, {"Key": "absent"}),
        ("403", other.head_object, {"Key": "to"}),
        ("403", other.head_bucket, {}),
        ("AccessDenied", other.put_object, {"Key": "to", "Body": b"no"}),
        ("AccessDenied", other.delete_object, {"Key": "to"}),
        ("AccessDenied", other.list_objects_v2, {}),
        ("AccessDenied", other.list_multipart_uploads, {}),
        ("AccessDenied", other.create_multipart_upload, {"Key": "x"}),
        ("AccessDenied", other.delete_bucket, {}),
        ("AccessDenied", other.get_bucket_policy, {}),
    ):
        refused(code, call, Bucket=bucket, **named)
    outcome = None
    try:
        outcome = other.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "to"}]})
    except ClientError as fault:
        same(fault.response["Error"]["Code"], "AccessDenied", "batch delete")
    if outcome:
        same([e["Code"] for e in outcome["Errors"]], ["AccessDenied"], "batch delete")
    theirs = here.bucket("theirs")
    other.create_bucket(Bucket=theirs)
    refused("AccessDenied", other.copy_object, Bucket=theirs, Key="stolen", CopySource={"Bucket": bucket, "Key": "to"})
    true(bucket not in [b["Name"] for b in other.list_buckets()["Buckets"]], "the list shows another tenant's bucket")
    other.delete_bucket(Bucket=theirs)
    same(read("to"), b"source", "body")


def api(name, document):
    """A call of the tenants' own API, signed as any request."""
    request = AWSRequest("POST", f"{here.endpoint}/-/v1/{name}", data=json.dumps(document).encode(), headers={"Content-Type": "application/json"})
    S3SigV4Auth(Credentials(here.key, here.secret), "s3", "us-east-1").add_auth(request)
    status, _, answer = open_url(request.url, "POST", request.data, dict(request.headers))
    same(status, 200, f"{name}: {answer}")
    return json.loads(answer)


def openssl(*arguments, data=b""):
    return subprocess.run(["openssl", *arguments], input=data, check=True, capture_output=True).stdout


@checks("signed URLs: botocore's CloudFrontSigner opens here, and openssl verifies what is minted here")
def _():
    edge, key = os.environ.get("TEST_EDGE"), os.environ.get("TEST_URL_KEY")
    if not edge or not key:
        return
    s3.put_object(Bucket=bucket, Key="signed/a b.glb", Body=b"private")
    url = f"{edge}/{bucket}/signed/a%20b.glb"

    def asked(url):
        status, _, content = open_url(url)
        return content if status == 200 else status

    same(asked(url), 403, "without a signature")
    signer = CloudFrontSigner("KURL", lambda message: openssl("dgst", "-sha1", "-sign", key, data=message))
    hour = datetime.now(timezone.utc) + timedelta(hours=1)
    same(asked(signer.generate_presigned_url(url, date_less_than=hour)), b"private", "canned policy")
    same(asked(signer.generate_presigned_url(f"{url}?v=1", date_less_than=hour)), b"private", "with a query")
    policy = signer.build_policy(f"{edge}/{bucket}/signed/*", hour, ip_address="127.0.0.0/8")
    same(asked(signer.generate_presigned_url(url, policy=policy)), b"private", "custom policy")
    same(asked(signer.generate_presigned_url(url.replace("signed/", "other/"), policy=policy)), 403, "another key")
    past = datetime.now(timezone.utc) - timedelta(seconds=5)
    same(asked(signer.generate_presigned_url(url, date_less_than=past)), 403, "expired")

    public = here.work / "url.pem"
    public.write_bytes(openssl("pkey", "-in", key, "-pubout"))
    for digest in ("SHA1", "SHA256"):
        for more in ({}, {"prefix": "signed/", "source_ip": "127.0.0.1"}):
            link = api("presign", {"bucket": bucket, "key": "signed/a b.glb", "form": "cloudfront", "base": edge, "hash": digest, **more})
            same(asked(link["url"]), b"private", f"minted, {digest}")
            signed = dict(pair.split("=", 1) for pair in urlsplit(link["url"]).query.split("&"))
            plain = {name: base64.b64decode(value.translate(str.maketrans("-_~", "+=/"))) for name, value in signed.items() if name in ("Policy", "Signature")}
            canned = '{"Statement":[{"Resource":"%s","Condition":{"DateLessThan":{"AWS:EpochTime":%s}}}]}' % (url, signed.get("Expires"))
            (here.work / "signature").write_bytes(plain["Signature"])
            verified = openssl("dgst", f"-{digest.lower()}", "-verify", str(public), "-signature", str(here.work / "signature"),
                               data=plain.get("Policy", canned.encode()))
            same(verified.strip(), b"Verified OK", f"openssl, {digest}")
            same(signed.get("Hash-Algorithm", "SHA1"), digest, "the hash that is named")
    same(asked(api("presign", {"bucket": bucket, "key": "signed/a b.glb", "form": "path-token", "base": edge})["url"]), b"private", "path token")


@checks("empty and delete the bucket")
def _():
    refused("BucketNotEmpty", s3.delete_bucket, Bucket=bucket)
    everything = boto3.resource("s3", endpoint_url=here.endpoint, aws_access_key_id=here.key, aws_secret_access_key=here.secret, region_name="us-east-1")
    everything.Bucket(bucket).objects.all().delete()
    s3.delete_bucket(Bucket=bucket)
    refused(("NoSuchBucket", "404"), s3.head_bucket, Bucket=bucket)


checks.finish()
