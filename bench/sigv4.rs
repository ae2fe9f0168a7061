//! What it costs to know who is calling. `cargo bench --bench sigv4`
//!
//! Of interest: `anonymous` (every public read), `header` and `presigned` with the signing key at hand, and `forged`: the most
//! work that a stranger can make us do, with everything configured that makes candidates.

#![allow(clippy::expect_used, clippy::panic, clippy::unreachable, clippy::unwrap_used, reason = "a bench that panics has failed")]

use std::hint::black_box;
use std::net::IpAddr;

use criterion::{Criterion, criterion_group, criterion_main};
use http::request::Parts;
use tidegate::auth::keys::Secret;
use tidegate::auth::presign::{Credentials, Presign, presign, sign_headers};
use tidegate::auth::query::Query;
use tidegate::auth::{Auth, OperatorKey, RequestFacts, Settings, TagFacts};
use tidegate::base::names::{AccessKeyId, BucketName, ObjectKey};
use tidegate::base::timestamp::Timestamp;

const HOST: &str = "s3.example.com";
const PATH: &str = "/bucket/tenant/run-42/texture/albedo%20map.ktx2";
const NOW: Timestamp = Timestamp::from_secs(1_369_353_600);

fn parts(request: http::request::Builder) -> Parts {
    request.body(()).expect("a legal request").into_parts().0
}

/// Read with every request, as the doors do.
fn query(parts: &Parts) -> Query {
    Query::parse(parts.uri.query()).expect("legal")
}

fn facts<'a>(parts: &'a Parts, query: &'a Query) -> RequestFacts<'a> {
    RequestFacts {
        parts,
        query,
        peer: IpAddr::from([192, 0, 2, 1]),
        secure: false,
        now: NOW,
        tags: TagFacts::default(),
        lock: Default::default(),
    }
}

fn bench(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a folder");
    let operator = OperatorKey::from_strings("AKROOT", "root-secret-key").expect("a key");
    let auth = |settings| Auth::new(settings, dir.path().to_owned(), operator.clone()).expect("an empty folder has no faults");
    let plain = auth(Settings::default());
    let access_key = AccessKeyId::parse("AKROOT").expect("a name");
    let secret = Secret::new("root-secret-key");
    let credentials = Credentials { access_key: &access_key, secret: &secret, region: "us-east-1" };

    // As a browser asks.
    let anonymous = parts(
        ["accept", "accept-encoding", "accept-language", "referer", "origin", "user-agent", "if-none-match"]
            .iter()
            .fold(http::Request::get(PATH).header("host", HOST), |r, name| r.header(*name, "some value of a usual length")),
    );
    c.bench_function("sigv4/anonymous", |b| b.iter(|| plain.authenticate(black_box(&facts(&anonymous, &query(&anonymous))))));

    let mut header =
        parts(http::Request::get(PATH).header("host", HOST).header("user-agent", "aws-sdk").header("amz-sdk-invocation-id", "x"));
    let signed = sign_headers(&credentials, &http::Method::GET, HOST, PATH, None, "UNSIGNED-PAYLOAD", NOW).expect("signed");
    header.headers.extend(signed);
    c.bench_function("sigv4/header", |b| b.iter(|| plain.authenticate(black_box(&facts(&header, &query(&header)))).expect("genuine")));

    let (bucket, key) = (BucketName::parse("bucket").expect("a name"), ObjectKey::parse("tenant/run-42/a b.glb").expect("a key"));
    let wanted = Presign {
        method: http::Method::GET,
        endpoint: "http://s3.example.com",
        bucket: &bucket,
        key: &key,
        expires_seconds: 600,
        now: NOW,
        query: &[],
    };
    let url = presign(&credentials, &wanted).expect("signed");
    let presigned = parts(http::Request::get(url.split_once(HOST).map_or("", |(_, rest)| rest)).header("host", HOST));
    c.bench_function("sigv4/presigned", |b| {
        b.iter(|| plain.authenticate(black_box(&facts(&presigned, &query(&presigned)))).expect("genuine"))
    });

    let most = auth(Settings {
        public_hosts: (0..8).map(|i| format!("h{i}.example.com")).collect(),
        path_prefix: Some("/s3".into()),
        ..Settings::default()
    });
    let mut forged = header.clone();
    let authorization = forged.headers["authorization"].to_str().expect("text").replace("SignedHeaders=", "SignedHeaders=accept-encoding;");
    forged.headers.insert("authorization", authorization.parse().expect("a value"));
    c.bench_function("sigv4/forged", |b| b.iter(|| most.authenticate(black_box(&facts(&forged, &query(&forged)))).expect_err("forged")));
}

criterion_group!(benches, bench);
criterion_main!(benches);
