//! Authorization headers and signed queries: any text is refused or anonymous, in bounded time; none is let in as a tenant.
#![no_main]
use std::net::IpAddr;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tidegate::auth::query::Query;
use tidegate::auth::{Auth, OperatorKey, RequestFacts, Settings, TagFacts};
use tidegate::base::timestamp::Timestamp;

static AUTH: LazyLock<Auth> = LazyLock::new(|| {
    let dir = std::env::temp_dir().join(format!("tidegate-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder");
    let operator = OperatorKey::from_strings("AKROOT", "secret-of-the-operator");
    let settings = Settings {
        public_hosts: vec!["a.example".into()],
        domains: vec!["d.example".into()],
        path_prefix: Some("/s3".into()),
        ..Settings::default()
    };
    let auth = Auth::new(settings, dir.clone(), operator.expect("a key")).expect("an empty folder");
    let _ = std::fs::remove_dir(dir);
    auth
});

/// Room for what the fuzzer need not guess.
const SCOPE: &str = "AKROOT/20130524/us-east-1/s3/aws4_request";

fuzz_target!(|input: (u8, &str, &str, &str)| {
    let (form, target, text, hash) = input;
    let mut request = http::Request::builder()
        .method(if form & 1 == 0 { "GET" } else { "PUT" })
        .header("host", "b.d.example")
        .header("x-amz-date", "20130524T000000Z");
    let uri = match form >> 1 & 3 {
        0 => format!("/{target}"),
        1 => format!(
            "/{target}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={SCOPE}&X-Amz-Date=20130524T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders={text}&X-Amz-Signature={hash}"
        ),
        2 => format!("/{target}?AWSAccessKeyId=AKROOT&Expires=9999999999&Signature={text}"),
        _ => format!("/{target}?{text}"),
    };
    request = request.uri(uri).header("x-amz-content-sha256", hash);
    if form & 8 != 0 {
        request = request.header("authorization", format!("AWS4-HMAC-SHA256 Credential={SCOPE},SignedHeaders={text},Signature={hash}"));
    } else if form & 16 != 0 {
        request = request.header("authorization", text);
    }
    let Ok(request) = request.body(()) else { return };
    let (parts, ()) = request.into_parts();
    let Ok(query) = Query::parse(parts.uri.query()) else { return };
    let facts = RequestFacts {
        parts: &parts,
        query: &query,
        peer: IpAddr::from([10, 0, 0, 1]),
        secure: false,
        now: Timestamp::from_secs(1_369_353_600),
        tags: TagFacts::default(),
        lock: Default::default(),
    };
    if let Ok(caller) = AUTH.authenticate(&facts) {
        assert!(caller.identity.is_anonymous(), "a forged signature was taken");
    }
});
