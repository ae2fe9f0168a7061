"""Reads the two CloudFront templates into one plain form, so that the same rules judge both.

A value that the template takes from a parameter is shown as "<name>".
"""

import re

import hcl2
import yaml


class CloudFormation(yaml.SafeLoader):
    """YAML with CloudFormation's short functions."""


def _function(loader, suffix, node):
    if isinstance(node, yaml.ScalarNode):
        return {suffix: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {suffix: loader.construct_sequence(node, deep=True)}
    return {suffix: loader.construct_mapping(node, deep=True)}


CloudFormation.add_multi_constructor("!", _function)


def read_cloudformation(text):
    resources = yaml.load(text, CloudFormation)["Resources"]
    of = lambda kind: {name: r["Properties"] for name, r in resources.items() if r["Type"] == kind}
    (distribution,) = of("AWS::CloudFront::Distribution").values()
    config = distribution["DistributionConfig"]
    caching = {name: p["CachePolicyConfig"] for name, p in of("AWS::CloudFront::CachePolicy").items()}

    def behaviour(b, pattern):
        policy = caching[plain(b["CachePolicyId"]).strip("<>")]
        key = policy["ParametersInCacheKeyAndForwardedToOrigin"]
        return {
            "path": pattern,
            "target": b["TargetOriginId"],
            "signed": bool(b.get("TrustedKeyGroups")),
            "methods": sorted(b["AllowedMethods"]),
            "encodings": (key["EnableAcceptEncodingBrotli"], key["EnableAcceptEncodingGzip"]),
            "cache_key": (
                key["CookiesConfig"]["CookieBehavior"],
                key["HeadersConfig"]["HeaderBehavior"],
                (key["QueryStringsConfig"]["QueryStringBehavior"], key["QueryStringsConfig"].get("QueryStrings")),
            ),
            "min_ttl": policy["MinTTL"],
            "default_ttl": policy["DefaultTTL"],
        }

    def origin(o):
        custom = o.get("CustomOriginConfig")
        return {
            "bucket": custom is None,
            "signs": "OriginAccessControlId" in o,
            "protocol": custom and custom["OriginProtocolPolicy"],
            "tls": custom and custom["OriginSSLProtocols"],
            "keepalive": custom and custom["OriginKeepaliveTimeout"],
            "read_timeout": custom and custom["OriginReadTimeout"],
            "proofs": [p for p in ("OriginCustomHeaders", "OriginMtlsConfig") if p in o or (custom and p in custom)],
        }

    def statement(s):
        return {
            "effect": s["Effect"],
            "principal": s["Principal"],
            "actions": listed(s["Action"]),
            "resources": [plain(r) for r in listed(s["Resource"])],
            "sources": [plain(v) for v in listed(s.get("Condition", {}).get("StringEquals", {}).get("AWS:SourceArn", []))],
        }

    default = behaviour(config["DefaultCacheBehavior"], "*")
    return {
        "origins": {o["Id"]: origin(o) for o in config["Origins"]},
        "groups": {
            g["Id"]: {
                "codes": g["FailoverCriteria"]["StatusCodes"]["Items"],
                "members": [m["OriginId"] for m in g["Members"]["Items"]],
            }
            for g in config["OriginGroups"]["Items"]
        },
        "behaviours": [default] + [behaviour(b, plain(b["PathPattern"])) for b in config["CacheBehaviors"]],
        "tag_header": plain(config["CacheTagConfig"]["HeaderName"]),
        "removed_headers": [
            [plain(i["Header"]) for i in p["ResponseHeadersPolicyConfig"].get("RemoveHeadersConfig", {}).get("Items", [])]
            for p in of("AWS::CloudFront::ResponseHeadersPolicy").values()
        ],
        "overrides": sorted(set(_overrides(list(of("AWS::CloudFront::ResponseHeadersPolicy").values())))),
        "grants": [statement(s) for p in of("AWS::S3::BucketPolicy").values() for s in p["PolicyDocument"]["Statement"]],
        "blocks": [list(b["PublicAccessBlockConfiguration"].values()) for b in of("AWS::S3::Bucket").values()],
    }


def terraform_query_strings(config):
    """How they take part in the cache key, and which of them."""
    (named,) = config.get("query_strings", [{"items": None}])
    return (plain(config["query_string_behavior"]), named["items"] and [plain(name) for name in named["items"]])


def read_terraform(texts):
    resources, data = {}, {}
    for text in texts:
        document = unquote(hcl2.loads(text))
        for kind, into in (("resource", resources), ("data", data)):
            for block in document.get(kind, []):
                for type_, named in block.items():
                    into.setdefault(type_, {}).update(named)
    of = lambda kind: resources.get(kind, {})
    (config,) = of("aws_cloudfront_distribution").values()

    def behaviour(b, pattern):
        policy = of("aws_cloudfront_cache_policy")[plain(b["cache_policy_id"]).strip("<>").split(".")[1]]
        key = policy["parameters_in_cache_key_and_forwarded_to_origin"][0]
        return {
            "path": pattern,
            "target": b["target_origin_id"],
            "signed": bool(b.get("trusted_key_groups")),
            "methods": sorted(b["allowed_methods"]),
            "encodings": (key["enable_accept_encoding_brotli"], key["enable_accept_encoding_gzip"]),
            "cache_key": (
                key["cookies_config"][0]["cookie_behavior"],
                key["headers_config"][0]["header_behavior"],
                terraform_query_strings(key["query_strings_config"][0]),
            ),
            "min_ttl": policy["min_ttl"],
            "default_ttl": policy["default_ttl"],
        }

    def origin(o):
        custom = o.get("custom_origin_config", [None])[0]
        dynamic = [name for d in o.get("dynamic", []) + (custom or {}).get("dynamic", []) for name in d]
        return {
            "bucket": custom is None,
            "signs": "origin_access_control_id" in o,
            "protocol": custom and custom["origin_protocol_policy"],
            "tls": custom and custom["origin_ssl_protocols"],
            "keepalive": custom and custom["origin_keepalive_timeout"],
            "read_timeout": custom and custom["origin_read_timeout"],
            "proofs": [p for p in ("custom_header", "origin_mtls_config") if p in dynamic],
        }

    def statement(s):
        conditions = [c for c in s.get("condition", []) if c["test"] == "StringEquals" and c["variable"] == "AWS:SourceArn"]
        return {
            "effect": s["effect"],
            "principal": {p["type"]: p["identifiers"][0] for p in s["principals"]},
            "actions": s["actions"],
            "resources": [plain(r) for r in s["resources"]],
            "sources": [plain(v) for c in conditions for v in c["values"]],
        }

    policies = list(of("aws_cloudfront_response_headers_policy").values())
    return {
        "origins": {o["origin_id"]: origin(o) for o in config["origin"]},
        "groups": {
            g["origin_id"]: {"codes": g["failover_criteria"][0]["status_codes"], "members": [m["origin_id"] for m in g["member"]]}
            for g in config["origin_group"]
        },
        "behaviours": [behaviour(config["default_cache_behavior"][0], "*")]
        + [behaviour(b, plain(b["path_pattern"])) for b in config["ordered_cache_behavior"]],
        "tag_header": plain(config["cache_tag_config"][0]["header_name"]),
        "removed_headers": [[plain(i["header"]) for r in p.get("remove_headers_config", []) for i in r["items"]] for p in policies],
        "overrides": sorted(set(_overrides(policies))),
        "grants": [statement(s) for p in data["aws_iam_policy_document"].values() for s in p["statement"]],
        "blocks": [
            [v for k, v in b.items() if k != "bucket"] for b in of("aws_s3_bucket_public_access_block").values()
        ],
    }


def _overrides(node):
    """Every Override and OriginOverride that there is."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name.lower() in ("override", "originoverride", "origin_override"):
                yield value
            else:
                yield from _overrides(value)
    elif isinstance(node, list):
        for item in node:
            yield from _overrides(item)


def listed(value):
    return value if isinstance(value, list) else [value]


def plain(value):
    """A text with each reference in it as <name>."""
    if isinstance(value, dict):
        (function, argument), = value.items()
        value = argument if function == "Sub" else "${" + (argument if isinstance(argument, str) else ".".join(argument)) + "}"
    return re.sub(r"\$\{(?:var\.)?([^}]+)\}", r"<\1>", value)


def unquote(node):
    """The parser keeps a text's quotes, and adds notes of its own."""
    if isinstance(node, dict):
        return {unquote(k): unquote(v) for k, v in node.items() if not k.startswith("__")}
    if isinstance(node, list):
        return [unquote(item) for item in node]
    if isinstance(node, str) and len(node) >= 2 and node[0] == node[-1] == '"':
        return node[1:-1].replace('\\"', '"')
    return node
