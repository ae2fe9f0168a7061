//! Signatures that survive what proxies rewrite, and all those that must not.

use std::net::IpAddr;

use http::Method;

use super::*;
use crate::auth::candidates::{Candidates, MAX_CANDIDATES};
use crate::auth::canonical::Request;
use crate::base::error::{Error, ErrorKind};

const PUBLIC: &str = "assets.example.com";

fn settings() -> Settings {
    Settings {
        public_hosts: vec![PUBLIC.into()],
        trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
        domains: vec!["internal".into()],
        ..Settings::default()
    }
}

/// As signed by a client for `host`, with the headers given, all signed.
fn signed_for(host: &str, path: &str, headers: &[(&str, &str)]) -> Parts {
    let request = headers.iter().fold(http::Request::get(path).header("host", host), |r, (n, v)| r.header(*n, *v));
    sign(request, &headers.iter().map(|(n, _)| *n).collect::<Vec<_>>())
}

fn set(mut parts: Parts, name: &'static str, value: Option<&str>) -> Parts {
    match value {
        Some(v) => parts.headers.insert(name, v.parse().unwrap()),
        None => parts.headers.remove(name),
    };
    parts
}

fn path(mut parts: Parts, path: &str) -> Parts {
    parts.uri = path.parse().unwrap();
    parts
}

fn refusal(auth: &Auth, parts: &Parts) -> Error {
    ask(auth, parts).unwrap_err()
}

#[test]
fn host_rewritten_to_the_origins_name() {
    let auth = auth_with(settings());
    for signed in [PUBLIC, "assets.example.com:9000"] {
        let arrived = set(signed_for(signed, "/bucket/k", &[]), "host", Some("10.1.2.3:9000"));
        assert!(ask(&auth, &arrived).is_ok(), "{signed}");
    }
    // Presigned, too.
    let url = presigned(Method::GET, "k", &[]);
    let with_port = auth_with(Settings { public_hosts: vec![HOST.into()], ..settings() });
    assert!(ask(&with_port, &parts(http::Request::get(&url).header("host", "origin"))).is_ok());
    assert_eq!(refusal(&auth, &parts(http::Request::get(&url).header("host", "origin"))).kind(), ErrorKind::SignatureDoesNotMatch);
}

#[test]
fn foreign_hosts_never() {
    let auth = auth_with(settings());
    for foreign in
        ["evil.example.com", "s3.amazonaws.com", "assets.example.com.evil.org", "xassets.example.com", "bucket.assets.example.com"]
    {
        let arrived = set(signed_for(foreign, "/bucket/k", &[]), "host", Some("10.1.2.3"));
        assert_eq!(refusal(&auth, &arrived).kind(), ErrorKind::SignatureDoesNotMatch, "{foreign}");
        // Not even where the proxy says so.
        let forwarded = set(arrived, "x-forwarded-host", Some(foreign));
        let proxy = RequestFacts { peer: IpAddr::from([10, 0, 0, 1]), ..facts(&forwarded) };
        let e = auth.authenticate(&proxy).unwrap_err();
        assert!(e.kind() == ErrorKind::SignatureDoesNotMatch && e.message().contains("public_hosts"), "{e}");
    }
}

#[test]
fn the_port_a_trusted_proxy_tells() {
    let auth = auth_with(settings());
    let arrived = set(signed_for("assets.example.com:8443", "/bucket/k", &[]), "host", Some("origin"));
    let forwarded = set(arrived, "x-forwarded-host", Some("assets.example.com:8443"));
    assert!(auth.authenticate(&RequestFacts { peer: IpAddr::from([10, 0, 0, 1]), ..facts(&forwarded) }).is_ok());
    assert!(auth.authenticate(&facts(&forwarded)).is_err(), "from a stranger");
}

#[test]
fn a_host_keeps_its_bucket() {
    let auth = auth_with(settings());
    let signed = signed_for("one.assets.example.com", "/k", &[]);
    assert!(ask(&auth, &set(signed.clone(), "host", Some("one.internal"))).is_ok());
    // A signature for bucket `one` is none for `two`, nor for a path.
    assert!(ask(&auth, &set(signed.clone(), "host", Some("two.internal"))).is_err());
    assert!(ask(&auth, &set(signed, "host", Some("internal"))).is_err());
    let by_path = signed_for(PUBLIC, "/two/k", &[]);
    assert!(ask(&auth, &set(by_path, "host", Some("one.internal"))).is_err());
}

#[test]
fn accept_encoding_rewritten() {
    let auth = auth();
    // What Go's SDK and others sign, and what a CDN makes of it.
    for signed in ["identity", "gzip", "gzip, deflate", "gzip, deflate, br"] {
        for arrived in [Some("br,gzip"), Some("gzip"), Some("identity"), None] {
            let parts = set(signed_for(HOST, "/bucket/k", &[("accept-encoding", signed)]), "accept-encoding", arrived);
            assert!(ask(&auth, &parts).is_ok(), "{signed} -> {arrived:?}");
        }
    }
    let other = set(signed_for(HOST, "/bucket/k", &[("accept-encoding", "x-made-up")]), "accept-encoding", Some("gzip"));
    assert_eq!(refusal(&auth, &other).kind(), ErrorKind::SignatureDoesNotMatch);
    // Another header's change is no proxy's habit.
    let range = set(signed_for(HOST, "/bucket/k", &[("range", "bytes=0-1")]), "range", Some("bytes=0-9"));
    assert!(ask(&auth, &range).is_err());
}

#[test]
fn a_path_prefix_taken_away() {
    let auth = auth_with(Settings { path_prefix: Some("/s3".into()), ..settings() });
    let signed = path(signed_for(PUBLIC, "/s3/bucket/a%20b", &[]), "/bucket/a%20b");
    assert!(ask(&auth, &signed).is_ok());
    assert!(ask(&auth, &set(signed.clone(), "host", Some("origin"))).is_ok());
    // Only under the public name: elsewhere `/s3/…` is a key like any other.
    let direct = path(signed_for(HOST, "/s3/bucket/k", &[]), "/bucket/k");
    assert!(ask(&auth, &direct).is_err());
    let virtual_host = path(signed_for("one.internal", "/s3/k", &[]), "/k");
    assert!(ask(&auth, &virtual_host).is_err());
    let other = path(signed_for(PUBLIC, "/files/bucket/k", &[]), "/bucket/k");
    assert!(ask(&auth, &other).is_err());
}

#[test]
fn a_path_signed_as_sent() {
    let auth = auth();
    let mut signed = sign(http::Request::get("/bucket/(a)"), &[]);
    let list = "host;x-amz-content-sha256;x-amz-date";
    let request = Request::new(&signed, list, "UNSIGNED-PAYLOAD");
    let rewrite = crate::auth::canonical::Rewrite { path: crate::auth::canonical::PathForm::AsSent, ..Default::default() };
    let scope = "20130524/us-east-1/s3/aws4_request";
    let string = crate::auth::canonical::string_to_sign("20130524T000000Z", scope, &request.canonical(&rewrite));
    let key = crate::auth::keys::SigningKey::derive(&crate::auth::keys::Secret::new(SECRET), "20130524", "us-east-1");
    let header =
        format!("AWS4-HMAC-SHA256 Credential=AKACME/{scope}, SignedHeaders={list}, Signature={}", hex::encode(key.sign(string.as_bytes())));
    signed.headers.insert("authorization", header.parse().unwrap());
    assert!(ask(&auth, &signed).is_ok());
    assert!(ask(&auth, &path(signed, "/bucket/(b)")).is_err());
}

#[test]
fn both_at_once() {
    let auth = auth_with(Settings { path_prefix: Some("/s3".into()), ..settings() });
    let signed = signed_for(PUBLIC, "/s3/bucket/k", &[("accept-encoding", "identity")]);
    let arrived = set(set(path(signed, "/bucket/k"), "host", Some("origin")), "accept-encoding", None);
    assert!(ask(&auth, &arrived).is_ok());
}

#[test]
fn forged_signatures_never() {
    let auth = auth_with(Settings { path_prefix: Some("/s3".into()), ..settings() });
    let signed = signed_for(PUBLIC, "/bucket/k", &[("accept-encoding", "identity")]);
    for i in 0..64 {
        let header = signed.headers["authorization"].to_str().unwrap();
        let at = header.len() - 64 + i;
        let flipped = if header.as_bytes()[at] == b'0' { "1" } else { "0" };
        let forged = format!("{}{flipped}{}", &header[..at], &header[at + 1..]);
        assert!(ask(&auth, &set(signed.clone(), "authorization", Some(&forged))).is_err());
    }
    let rival = signed.headers["authorization"].to_str().unwrap().replace("AKACME", "AKRIVAL");
    assert!(ask(&auth, &set(signed, "authorization", Some(&rival))).is_err());
}

#[test]
fn candidates_are_bounded_and_distinct() {
    let most = Settings {
        public_hosts: (0..8).map(|i| format!("h{i}.example.com:844{i}")).collect(),
        path_prefix: Some("/s3".into()),
        ..settings()
    };
    let arrived = parts(http::Request::get("/b/(k)").header("host", "h0.example.com:9000").header("x-forwarded-host", "h1.example.com:1"));
    let arrived_facts = RequestFacts { peer: IpAddr::from([10, 0, 0, 1]), ..facts(&arrived) };
    let request = Request::new(&arrived, "accept-encoding;host", "UNSIGNED-PAYLOAD");
    let candidates = Candidates::new(&most, &arrived_facts, &request);
    let rewrites = candidates.rewrites();
    assert_eq!(rewrites.len(), MAX_CANDIDATES);
    for (i, a) in rewrites.iter().enumerate() {
        assert!(rewrites[i + 1..].iter().all(|b| a != b));
    }
    // Nothing configured and nothing signed that proxies touch: nothing to try.
    let plain = parts(http::Request::get("/b/k").header("host", HOST));
    let request = Request::new(&plain, "host", "UNSIGNED-PAYLOAD");
    assert!(Candidates::new(&Settings::default(), &facts(&plain), &request).rewrites().is_empty());
}

#[test]
fn a_refusal_names_the_likely_header() {
    let auth = auth_with(settings());
    let gone = set(signed_for(HOST, "/bucket/k", &[("expect", "100-continue")]), "expect", None);
    assert!(refusal(&auth, &gone).message().contains("removed by a proxy: expect"));
    let via = set(path(signed_for(HOST, "/bucket/k", &[]), "/bucket/j"), "via", Some("1.1 cdn"));
    assert!(refusal(&auth, &via).message().contains("came through a proxy"));
    let direct = path(signed_for(HOST, "/bucket/k", &[]), "/bucket/j");
    assert!(refusal(&auth, &direct).message().ends_with("Check your key and signing method."));
}
