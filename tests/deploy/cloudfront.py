#!/usr/bin/env python3
"""The CloudFront templates keep their promises: what is private has no failover, the bucket gives away the public prefix alone, a 403
or 404 never fails over. Both templates are read into one form (templates.py) and judged by the same rules; then each rule is shown to
find the fault that it is there for. cfn-lint checks the CloudFormation schema; `terraform fmt` the syntax, where there is a terraform.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import templates

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "cloudfront"
PUBLIC = {"/<PublicPrefix>/*", "/<public_prefix>/*"}
GRANTED = {"<FallbackBucket.Arn>/<PublicPrefix>/*", "<aws_s3_bucket.fallback.arn>/<public_prefix>/*"}
SOURCES = {
    "arn:<AWS::Partition>:cloudfront::<AWS::AccountId>:distribution/<Distribution>",
    "<aws_cloudfront_distribution.this.arn>",
}


def judge(template, idle_timeout):
    """Everything that is wrong with a template."""
    faults = []

    def check(holds, fault):
        if not holds:
            faults.append(fault)

    buckets = {name for name, origin in template["origins"].items() if origin["bucket"]}
    for behaviour in template["behaviours"]:
        path, target = behaviour["path"], behaviour["target"]
        reached = set(template["groups"].get(target, {"members": [target]})["members"])
        if path in PUBLIC:
            check(not behaviour["signed"], f"{path}: public, and asks for a signature")
        else:
            check(behaviour["signed"], f"{path}: private, and asks for no signature")
            check(target not in template["groups"], f"{path}: private, and has a failover")
            check(not reached & buckets, f"{path}: private, and can be answered by a bucket")
        check(behaviour["methods"] == ["GET", "HEAD", "OPTIONS"], f"{path}: the edge door only reads")
        cache_key = ("none", "none", ("whitelist", ["versionId"]))
        check(behaviour["cache_key"] == cache_key, f"{path}: the cache key is not the path, the version and the encoding")
        check(behaviour["encodings"] == (True, True), f"{path}: br and gzip are not both asked for")
        check(behaviour["min_ttl"] == 0, f"{path}: with a minimum above 0 CloudFront keeps what is no-store")
        check(behaviour["default_ttl"] == 0, f"{path}: what the gateway says nothing about is kept")
    check(any(b["path"] in PUBLIC for b in template["behaviours"]), "there is no public behaviour")

    for name, group in template["groups"].items():
        check(set(group["codes"]) == {500, 502, 503, 504}, f"{name}: fails over on {group['codes']}")
        check(group["members"][0] not in buckets, f"{name}: asks the bucket first")

    check(len(template["grants"]) == 1, "the bucket's policy should be one statement")
    for grant in template["grants"]:
        check(grant["effect"] == "Allow" and grant["principal"] == {"Service": "cloudfront.amazonaws.com"}, f"granted to {grant['principal']}")
        check(grant["actions"] == ["s3:GetObject"], f"grants {grant['actions']}")
        check(len(grant["resources"]) == 1 and set(grant["resources"]) <= GRANTED, f"grants on {grant['resources']}")
        check(len(grant["sources"]) == 1 and set(grant["sources"]) <= SOURCES, "granted to every distribution of everybody")
    check(all(block == [True] * 4 for block in template["blocks"]) and template["blocks"], "the bucket does not block public access")

    for name, origin in template["origins"].items():
        if origin["bucket"]:
            check(origin["signs"], f"{name}: asked without a signature")
            continue
        check(len(origin["proofs"]) == 2, f"{name}: {origin['proofs']} are the ways to prove the caller; expected a header and a certificate")
        check(origin["protocol"] == "https-only" and origin["tls"] == ["TLSv1.2"], f"{name}: not TLS 1.2 always")
        check(origin["keepalive"] < idle_timeout, f"{name}: the gateway would close idle connections first")
        check(30 <= origin["read_timeout"] <= 120, f"{name}: a cold read may take longer")

    check(template["overrides"] == [False], "a response headers policy overrides what the origin sent")
    tag = template["tag_header"]
    check(all(tag in removed for removed in template["removed_headers"]), "cache tags reach viewers")
    return faults


def idle_timeout():
    text = (ROOT / "gateway.toml").read_text()
    return int(re.search(r'^idle_timeout = "(\d+)s"', text, re.M).group(1))


# What must be found, for each rule: what is changed in the text, and a word of the fault.
SPOILED = {
    "cloudformation": [
        ("TargetOriginId: gateway\n", "TargetOriginId: gateway-then-fallback\n", "private, and has a failover"),
        ("TargetOriginId: gateway\n", "TargetOriginId: fallback\n", "can be answered by a bucket"),
        ("          TrustedKeyGroups: [!Ref SigningKeys]\n", "", "asks for no signature"),
        ("Items: [500, 502, 503, 504]", "Items: [403, 500, 502, 503, 504]", "fails over on"),
        ("Items: [500, 502, 503, 504]", "Items: [404, 500, 502, 503, 504]", "fails over on"),
        ("${FallbackBucket.Arn}/${PublicPrefix}/*", "${FallbackBucket.Arn}/*", "grants on"),
        ("Action: s3:GetObject", "Action: [s3:GetObject, s3:ListBucket]", "grants ["),
        ("AWS:SourceArn:", "AWS:SourceAccount:", "every distribution"),
        ("OriginKeepaliveTimeout: 60", "OriginKeepaliveTimeout: 90", "close idle connections first"),
        ("Value: cross-origin, Override: false", "Value: cross-origin, Override: true", "overrides"),
        ("        MinTTL: 0", "        MinTTL: 60", "no-store"),
    ],
    "terraform": [
        ('target_origin_id           = "gateway"', 'target_origin_id           = "gateway-then-fallback"', "private, and has a failover"),
        ("    trusted_key_groups         = [aws_cloudfront_key_group.signing.id]\n", "", "asks for no signature"),
        ("status_codes = [500, 502, 503, 504]", "status_codes = [403, 500, 502, 503, 504]", "fails over on"),
        ("status_codes = [500, 502, 503, 504]", "status_codes = [404, 500, 502, 503, 504]", "fails over on"),
        ("${aws_s3_bucket.fallback.arn}/${var.public_prefix}/*", "${aws_s3_bucket.fallback.arn}/*", "grants on"),
        ('actions   = ["s3:GetObject"]', 'actions   = ["s3:*"]', "grants ["),
        ('test     = "StringEquals"', 'test     = "StringLike"', "every distribution"),
        ("origin_keepalive_timeout = 60", "origin_keepalive_timeout = 90", "close idle connections first"),
        ('override = false', 'override = true', "overrides"),
    ],
}


def main():
    readers = {
        "cloudformation": ((FOLDER / "cloudfront.yaml").read_text(), templates.read_cloudformation),
        "terraform": (
            "\n".join(p.read_text() for p in sorted((FOLDER / "terraform").glob("*.tf"))),
            lambda text: templates.read_terraform([text]),
        ),
    }
    idle, failures = idle_timeout(), []
    for name, (text, read) in readers.items():
        failures += [f"{name}: {fault}" for fault in judge(read(text), idle)]
        for old, new, expected in SPOILED[name]:
            if old not in text:
                failures.append(f"{name}: nothing to spoil: {old!r}")
            elif not any(expected in fault for fault in judge(read(text.replace(old, new, 1)), idle)):
                failures.append(f"{name}: not found: {expected!r} after {new!r}")
    alike = {name: {k: v for k, v in read(text).items() if k in ("groups", "origins", "blocks")} for name, (text, read) in readers.items()}
    for origin in (o for t in alike.values() for o in t["origins"].values()):
        origin["proofs"] = len(origin["proofs"])
    if alike["cloudformation"] != alike["terraform"]:
        failures.append(f"the templates differ: {alike}")
    failures += run("cfn-lint", [str(Path(sys.executable).parent / "cfn-lint"), str(FOLDER / "cloudfront.yaml")])
    if terraform := shutil.which("terraform") or shutil.which("tofu"):
        failures += run("terraform fmt", [terraform, "fmt", "-check", "-diff", str(FOLDER / "terraform")])
    else:
        print("deploy: note: there is no terraform here; its files were parsed and judged, not formatted")
    for failure in failures:
        print(f"FAIL deploy: {failure}")
    print(f"deploy: {len(readers)} templates, {sum(map(len, SPOILED.values()))} spoiled ones, {len(failures)} failures")
    return 1 if failures else 0


def run(name, command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True)
    return [] if done.returncode == 0 else [f"{name}: {done.stdout.strip()}"]


if __name__ == "__main__":
    sys.exit(main())
