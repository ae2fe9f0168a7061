"""boto3 with its default settings: versions, tags, locks and lifecycle rules of buckets. Run by suite.py.

Over a folder of a bucket upstream, versions and locks can't be turned on: then this checks that the refusal says what to do.
"""

import io
from datetime import datetime, timedelta, timezone

from boto3_client import client, here, refused
from checks import FOLDERS, Checks, body, same, true

checks = Checks(here.run)
s3 = client()
other = client(here.other_key, here.other_secret)
bucket, locked = here.bucket("versions"), here.bucket("locks")
MIB = 1 << 20


def read(key, **named):
    return s3.get_object(Bucket=bucket, Key=key, **named)["Body"].read()


def versions(key, where=bucket):
    """(id, is it the newest, is it a marker) of each version of the key, the newest first."""
    page = s3.list_object_versions(Bucket=where, Prefix=key)
    both = [(v, False) for v in page.get("Versions", [])] + [(m, True) for m in page.get("DeleteMarkers", [])]
    own = sorted(((v, marker) for v, marker in both if v["Key"] == key), key=lambda each: (each[0]["IsLatest"], each[0]["LastModified"]), reverse=True)
    return [(v["VersionId"], v["IsLatest"], marker) for v, marker in own]


def names_the_setting(answer):
    same(answer["ResponseMetadata"]["HTTPStatusCode"], 501, "status")
    true("upstream.buckets" in answer["Error"]["Message"], f"no word of upstream.buckets: {answer['Error']['Message']}")


s3.create_bucket(Bucket=bucket)


@checks("versioning: never, Enabled, or refused with what to set")
def _():
    same(s3.get_bucket_versioning(Bucket=bucket).get("Status"), None, "status of a new bucket")
    s3.put_object(Bucket=bucket, Key="before", Body=b"of before")
    asked = {"Bucket": bucket, "VersioningConfiguration": {"Status": "Enabled"}}
    if FOLDERS:
        return names_the_setting(refused("NotImplemented", s3.put_bucket_versioning, **asked))
    s3.put_bucket_versioning(**asked)
    same(s3.get_bucket_versioning(Bucket=bucket)["Status"], "Enabled", "status")
    same(versions("before"), [("null", True, False)], "an object of before")


def versioned():
    """What only a bucket that keeps versions can do."""

    @checks("two versions: each by its id, in one listing, the newest first")
    def _():
        one = s3.put_object(Bucket=bucket, Key="k", Body=b"one", Metadata={"n": "1"})["VersionId"]
        two = s3.put_object(Bucket=bucket, Key="k", Body=b"two")["VersionId"]
        same((read("k"), read("k", VersionId=one), read("k", VersionId=two)), (b"two", b"one", b"two"), "bodies")
        same(s3.head_object(Bucket=bucket, Key="k", VersionId=one)["Metadata"], {"n": "1"}, "metadata of the first")
        same(read("k", VersionId=one, Range="bytes=1-1"), b"n", "a range of the first")
        page = s3.list_object_versions(Bucket=bucket, Prefix="k")
        same([(v["VersionId"], v["IsLatest"], v["Size"]) for v in page["Versions"]], [(two, True, 3), (one, False, 3)], "listing")
        small = s3.list_object_versions(Bucket=bucket, Prefix="k", MaxKeys=1)
        same((small["NextKeyMarker"], small["NextVersionIdMarker"], small["IsTruncated"]), ("k", two, True), "a page of one")
        rest = s3.list_object_versions(Bucket=bucket, Prefix="k", KeyMarker="k", VersionIdMarker=two)
        same([v["VersionId"] for v in rest["Versions"]], [one], "the page after it")
        refused("NoSuchVersion", s3.get_object, Bucket=bucket, Key="another", VersionId=one)
        refused("InvalidArgument", s3.get_object, Bucket=bucket, Key="k", VersionId="no id")

    @checks("a delete makes a marker; to delete the marker is to restore")
    def _():
        put = s3.put_object(Bucket=bucket, Key="d", Body=b"kept")["VersionId"]
        gone = s3.delete_object(Bucket=bucket, Key="d")
        same(gone["DeleteMarker"], True, "DeleteMarker")
        absent = refused("NoSuchKey", s3.get_object, Bucket=bucket, Key="d")
        same(absent["ResponseMetadata"]["HTTPHeaders"].get("x-amz-delete-marker"), "true", "x-amz-delete-marker")
        refused("MethodNotAllowed", s3.get_object, Bucket=bucket, Key="d", VersionId=gone["VersionId"])
        same(versions("d"), [(gone["VersionId"], True, True), (put, False, False)], "versions")
        true("d" not in [o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]], "a hidden key is listed")
        same(read("d", VersionId=put), b"kept", "the version under the marker")
        unhidden = s3.delete_object(Bucket=bucket, Key="d", VersionId=gone["VersionId"])
        same((unhidden["DeleteMarker"], unhidden["VersionId"]), (True, gone["VersionId"]), "the marker's delete")
        same((read("d"), versions("d")), (b"kept", [(put, True, False)]), "restored")

    @checks("a copy of an old version is a new one; parts make a version; a batch names versions")
    def _():
        old = s3.put_object(Bucket=bucket, Key="c", Body=b"old")["VersionId"]
        s3.put_object(Bucket=bucket, Key="c", Body=b"new")
        copied = s3.copy_object(Bucket=bucket, Key="c", CopySource={"Bucket": bucket, "Key": "c", "VersionId": old})
        same((copied["CopySourceVersionId"], read("c")), (old, b"old"), "copied back")
        data = body("parts", 9 * MIB)
        s3.upload_fileobj(io.BytesIO(data), bucket, "c")
        true(read("c") == data, "the parts differ")
        same(len(versions("c")), 4, "versions")
        same(read("c", VersionId=copied["VersionId"]), b"old", "under the parts")
        named = [{"Key": "c", "VersionId": v} for v, newest, _ in versions("c") if not newest]
        deleted = s3.delete_objects(Bucket=bucket, Delete={"Objects": named})
        same((len(deleted["Deleted"]), deleted.get("Errors", [])), (3, []), "batch")
        same(len(versions("c")), 1, "left")

    @checks("conditions are about the newest version; a marker is nothing")
    def _():
        etag = s3.put_object(Bucket=bucket, Key="cond", Body=b"1", IfNoneMatch="*")["ETag"]
        refused("PreconditionFailed", s3.put_object, Bucket=bucket, Key="cond", Body=b"2", IfNoneMatch="*")
        refused("PreconditionFailed", s3.put_object, Bucket=bucket, Key="cond", Body=b"2", IfNoneMatch=etag)
        s3.put_object(Bucket=bucket, Key="cond", Body=b"2", IfMatch=etag)
        s3.put_object(Bucket=bucket, Key="cond", Body=b"3", IfNoneMatch=etag)
        s3.delete_object(Bucket=bucket, Key="cond")
        s3.put_object(Bucket=bucket, Key="cond", Body=b"4", IfNoneMatch="*")

    @checks("Suspended: the null version is written over, the others stay")
    def _():
        kept = s3.put_object(Bucket=bucket, Key="s", Body=b"kept")["VersionId"]
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
        for text in (b"null one", b"null two"):
            s3.put_object(Bucket=bucket, Key="s", Body=text)
        same(versions("s"), [("null", True, False), (kept, False, False)], "versions")
        same((read("s", VersionId="null"), read("s", VersionId=kept)), (b"null two", b"kept"), "bodies")
        s3.delete_object(Bucket=bucket, Key="s")
        same(versions("s"), [("null", True, True), (kept, False, False)], "a marker takes the null version's place")
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


if not FOLDERS:
    versioned()


@checks("tags: put with an object, read, counted, replaced, removed")
def _():
    s3.put_object(Bucket=bucket, Key="t", Body=b"x", Tagging="class=a&team=film%20%2B%20tv")
    want = [{"Key": "class", "Value": "a"}, {"Key": "team", "Value": "film + tv"}]
    same(s3.get_object_tagging(Bucket=bucket, Key="t")["TagSet"], want, "tags")
    same(s3.get_object(Bucket=bucket, Key="t").get("TagCount"), 2, "TagCount")
    s3.put_object_tagging(Bucket=bucket, Key="t", Tagging={"TagSet": [{"Key": "ünï", "Value": ""}]})
    same(s3.get_object_tagging(Bucket=bucket, Key="t")["TagSet"], [{"Key": "ünï", "Value": ""}], "replaced")
    s3.delete_object_tagging(Bucket=bucket, Key="t")
    same(s3.get_object_tagging(Bucket=bucket, Key="t")["TagSet"], [], "removed")
    many = {"TagSet": [{"Key": str(n), "Value": ""} for n in range(11)]}
    refused("BadRequest", s3.put_object_tagging, Bucket=bucket, Key="t", Tagging=many)
    refused("InvalidTag", s3.put_object_tagging, Bucket=bucket, Key="t", Tagging={"TagSet": [{"Key": "a" * 129, "Value": ""}]})
    refused("AccessDenied", other.get_object_tagging, Bucket=bucket, Key="t")


@checks("tags: copied, replaced by a copy, of an upload in parts, of a bucket")
def _():
    s3.put_object(Bucket=bucket, Key="from", Body=b"x", Tagging="a=1")
    source = {"Bucket": bucket, "Key": "from"}
    s3.copy_object(Bucket=bucket, Key="kept", CopySource=source)
    s3.copy_object(Bucket=bucket, Key="other", CopySource=source, TaggingDirective="REPLACE", Tagging="b=2")
    s3.upload_fileobj(io.BytesIO(body("tagged", 9 * MIB)), bucket, "large", ExtraArgs={"Tagging": "c=3"})
    for key, want in (("kept", ("a", "1")), ("other", ("b", "2")), ("large", ("c", "3"))):
        same([(t["Key"], t["Value"]) for t in s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]], [want], key)
    refused("NoSuchTagSet", s3.get_bucket_tagging, Bucket=bucket)
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "cost", "Value": "42"}]})
    same(s3.get_bucket_tagging(Bucket=bucket)["TagSet"], [{"Key": "cost", "Value": "42"}], "of the bucket")
    s3.delete_bucket_tagging(Bucket=bucket)


@checks("lifecycle: put, told as it was, seen on an object, refused where malformed, removed")
def _():
    refused("NoSuchLifecycleConfiguration", s3.get_bucket_lifecycle_configuration, Bucket=bucket)
    rules = [
        {"ID": "drafts", "Filter": {"Prefix": "drafts/"}, "Status": "Enabled", "Expiration": {"Days": 30}},
        {"ID": "tagged", "Filter": {"And": {"Prefix": "x/", "Tags": [{"Key": "keep", "Value": "no"}], "ObjectSizeGreaterThan": 10}}, "Status": "Enabled",
         "Expiration": {"Days": 7}, "NoncurrentVersionExpiration": {"NoncurrentDays": 3, "NewerNoncurrentVersions": 2}},
        {"ID": "uploads", "Filter": {"Prefix": ""}, "Status": "Enabled", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 2}},
    ]
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})
    told = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    same(sorted(told, key=lambda rule: rule["ID"]), sorted(rules, key=lambda rule: rule["ID"]), "rules")
    true('rule-id="drafts"' in s3.put_object(Bucket=bucket, Key="drafts/a", Body=b"x").get("Expiration", ""), "a PUT tells no expiry")
    s3.put_object(Bucket=bucket, Key="x/tagged", Body=b"x" * 11, Tagging="keep=no")
    s3.put_object(Bucket=bucket, Key="x/untagged", Body=b"x" * 11)
    true('rule-id="tagged"' in s3.head_object(Bucket=bucket, Key="x/tagged").get("Expiration", ""), "the tagged object tells no expiry")
    same(s3.head_object(Bucket=bucket, Key="x/untagged").get("Expiration"), None, "expiry of the untagged object")
    wrong = [{"ID": "a", "Filter": {"Prefix": ""}, "Status": "Enabled", "Expiration": {"Days": 0}}]
    refused("InvalidArgument", s3.put_bucket_lifecycle_configuration, Bucket=bucket, LifecycleConfiguration={"Rules": wrong})
    s3.delete_bucket_lifecycle(Bucket=bucket)
    refused("NoSuchLifecycleConfiguration", s3.get_bucket_lifecycle_configuration, Bucket=bucket)


@checks("object lock: a bucket with it, or refused with what to set")
def _():
    refused("ObjectLockConfigurationNotFoundError", s3.get_object_lock_configuration, Bucket=bucket)
    asked = {"Bucket": locked, "ObjectLockEnabledForBucket": True}
    if FOLDERS:
        names_the_setting(refused("NotImplemented", s3.create_bucket, **asked))
        return refused(("NoSuchBucket", "404"), s3.head_bucket, Bucket=locked)
    s3.create_bucket(**asked)
    same(s3.get_bucket_versioning(Bucket=locked)["Status"], "Enabled", "a lock needs versions")
    same(s3.get_object_lock_configuration(Bucket=locked)["ObjectLockConfiguration"], {"ObjectLockEnabled": "Enabled"}, "configuration")
    refused("InvalidBucketState", s3.put_bucket_versioning, Bucket=locked, VersioningConfiguration={"Status": "Suspended"})


def with_locks():
    """What only a bucket with object lock can do. All that it locks is let go by bypass or by its time, so that the bucket can be deleted."""
    soon = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(hours=1)

    def put(key, **named):
        return s3.put_object(Bucket=locked, Key=key, Body=b"locked", ChecksumAlgorithm="SHA256", **named)["VersionId"]

    def delete(key, version, **named):
        return s3.delete_object(Bucket=locked, Key=key, VersionId=version, **named)

    @checks("retention: GOVERNANCE refuses, is seen, gives way to a bypass alone")
    def _():
        version = put("g", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=soon)
        same(s3.get_object_retention(Bucket=locked, Key="g")["Retention"], {"Mode": "GOVERNANCE", "RetainUntilDate": soon}, "retention")
        same(s3.head_object(Bucket=locked, Key="g")["ObjectLockMode"], "GOVERNANCE", "of a HEAD")
        refused("AccessDenied", delete, "g", version)
        marker = s3.delete_object(Bucket=locked, Key="g")["VersionId"]
        delete("g", marker)
        shorter = {"Mode": "GOVERNANCE", "RetainUntilDate": soon - timedelta(minutes=30)}
        refused("AccessDenied", s3.put_object_retention, Bucket=locked, Key="g", Retention=shorter)
        s3.put_object_retention(Bucket=locked, Key="g", Retention=shorter, BypassGovernanceRetention=True)
        s3.put_object_retention(Bucket=locked, Key="g", Retention={"Mode": "GOVERNANCE", "RetainUntilDate": soon})
        delete("g", version, BypassGovernanceRetention=True)
        same(versions("g", locked), [], "versions left")

    @checks("legal hold: no bypass helps until it is lifted")
    def _():
        version = put("h", ObjectLockLegalHoldStatus="ON")
        refused("AccessDenied", delete, "h", version)
        refused("AccessDenied", delete, "h", version, BypassGovernanceRetention=True)
        s3.put_object_legal_hold(Bucket=locked, Key="h", LegalHold={"Status": "OFF"})
        same(s3.get_object_legal_hold(Bucket=locked, Key="h")["LegalHold"]["Status"], "OFF", "hold")
        delete("h", version)

    @checks("a batch tells what is locked; the default retention of the bucket; COMPLIANCE is not shortened")
    def _():
        rule = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}}
        s3.put_object_lock_configuration(Bucket=locked, ObjectLockConfiguration=rule)
        same(s3.get_object_lock_configuration(Bucket=locked)["ObjectLockConfiguration"], rule, "configuration")
        version = put("b")
        same(s3.get_object_retention(Bucket=locked, Key="b")["Retention"]["Mode"], "GOVERNANCE", "by default")
        named = {"Objects": [{"Key": "b", "VersionId": version}]}
        same([e["Code"] for e in s3.delete_objects(Bucket=locked, Delete=named)["Errors"]], ["AccessDenied"], "batch")
        same(s3.delete_objects(Bucket=locked, Delete=named, BypassGovernanceRetention=True).get("Errors", []), [], "batch with a bypass")
        until = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(seconds=5)
        version = put("c", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=until)
        refused("AccessDenied", delete, "c", version, BypassGovernanceRetention=True)
        earlier = {"Mode": "COMPLIANCE", "RetainUntilDate": until - timedelta(seconds=2)}
        refused("AccessDenied", s3.put_object_retention, Bucket=locked, Key="c", Retention=earlier, BypassGovernanceRetention=True)
        refused("InvalidRequest", s3.put_object_retention, Bucket=bucket, Key="t", Retention=earlier)


if not FOLDERS:
    with_locks()


@checks("a bucket with versions can't be deleted; without them it can")
def _():
    refused("BucketNotEmpty", s3.delete_bucket, Bucket=bucket)
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        listed = [{"Key": v["Key"], "VersionId": v["VersionId"]} for v in page.get("Versions", []) + page.get("DeleteMarkers", [])]
        if listed:
            same(s3.delete_objects(Bucket=bucket, Delete={"Objects": listed}).get("Errors", []), [], "errors")
    s3.delete_bucket(Bucket=bucket)


checks.finish()
