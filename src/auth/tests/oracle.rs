//! The AWS SDK's own signer against our verifier: whatever it signs, we accept; and our own signing agrees with it.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4::SigningParams;
use proptest::prelude::*;

use super::{HOST, NOW, SECRET, ask, auth, presigned};
use crate::auth::Auth;
use crate::auth::canonical::{Part, encode_plain};
use crate::auth::identity::Caller;
use crate::auth::payload::Payload;
use crate::base::error::Result;

fn signer_settings(location: SignatureLocation) -> SigningSettings {
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    settings.signature_location = location;
    if location == SignatureLocation::QueryParams {
        settings.expires_in = Some(Duration::from_secs(3600));
        settings.payload_checksum_kind = PayloadChecksumKind::NoHeader;
    }
    settings
}

fn sdk_signed(
    method: &str,
    path_and_query: &str,
    headers: &[(String, String)],
    body: SignableBody<'_>,
    location: SignatureLocation,
) -> http::Request<()> {
    let identity = Credentials::new("AKACME", SECRET, None, None, "test").into();
    let time: SystemTime = NOW.to_system();
    let params = SigningParams::builder()
        .identity(&identity)
        .region("eu-central-1")
        .name("s3")
        .time(time)
        .settings(signer_settings(location))
        .build()
        .unwrap()
        .into();
    let uri = format!("http://{HOST}{path_and_query}");
    let pairs = || headers.iter().map(|(n, v)| (n.as_str(), v.as_str()));
    let signable = SignableRequest::new(method, uri.as_str(), pairs(), body).unwrap();
    let (instructions, _) = sign(signable, &params).unwrap().into_parts();
    let mut request = http::Request::builder().method(method).uri(&uri).body(()).unwrap();
    for (n, v) in pairs() {
        request.headers_mut().append(http::HeaderName::try_from(n).unwrap(), v.parse().unwrap());
    }
    instructions.apply_to_request_http1x(&mut request);
    // As it comes in over HTTP/1.1.
    let target = request.uri().path_and_query().unwrap().as_str().to_owned();
    *request.uri_mut() = target.parse().unwrap();
    request.headers_mut().insert("host", HOST.parse().unwrap());
    request
}

fn verify(request: http::Request<()>) -> Result<Caller> {
    static AUTH: LazyLock<Auth> = LazyLock::new(auth);
    ask(&AUTH, &request.into_parts().0)
}

fn encoded(key: &str) -> String {
    let mut out = Vec::new();
    encode_plain(key.as_bytes(), Part::Path, &mut out);
    String::from_utf8(out).unwrap()
}

/// Keys with everything that was ever encoded wrongly.
fn keys() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("/".to_owned()),
        Just("//".to_owned()),
        Just("..".to_owned()),
        Just(".".to_owned()),
        Just("+".to_owned()),
        Just("%".to_owned()),
        Just("%2F".to_owned()),
        Just("()'!*".to_owned()),
        Just(" ".to_owned()),
        Just("~:@&=$,;?#".to_owned()),
        Just("\u{1f600}\u{e9}".to_owned()),
        "[a-zA-Z0-9_.-]{1,12}",
        "\\PC{1,4}",
    ];
    proptest::collection::vec(piece, 1..12).prop_map(|p| p.concat())
}

/// Each name once: which of two counts is no part of what is signed, so they are refused.
fn queries() -> impl Strategy<Value = Vec<(String, String)>> {
    let name = prop_oneof![Just("prefix".to_owned()), Just("uploads".to_owned()), "[a-z-]{1,8}", "\\PC{1,3}"];
    let value = prop_oneof![Just(String::new()), "[ -~]{0,12}", "\\PC{0,6}"];
    proptest::collection::vec((name, value), 0..5).prop_map(|mut pairs: Vec<(String, String)>| {
        let mut seen = std::collections::BTreeSet::new();
        pairs.retain(|(name, _)| seen.insert(name.to_ascii_lowercase()));
        pairs
    })
}

fn headers() -> impl Strategy<Value = Vec<(String, String)>> {
    let name =
        prop_oneof![Just("x-amz-meta-a".to_owned()), Just("content-type".to_owned()), Just("range".to_owned()), "x-amz-meta-[a-z]{1,6}"];
    let value = "[!-~]{1,8}( {1,3}[!-~]{1,8}){0,2}";
    proptest::collection::btree_map(name, value, 0..4).prop_map(|m| m.into_iter().collect())
}

fn target(key: &str, query: &[(String, String)]) -> String {
    let encode = |s: &str| {
        let mut out = Vec::new();
        encode_plain(s.as_bytes(), Part::Query, &mut out);
        String::from_utf8(out).unwrap()
    };
    let pairs: Vec<String> = query.iter().map(|(n, v)| format!("{}={}", encode(n), encode(v))).collect();
    let path = format!("/bucket/{}", encoded(key));
    if pairs.is_empty() { path } else { format!("{path}?{}", pairs.join("&")) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn header_form(key in keys(), query in queries(), headers in headers(), put in any::<bool>()) {
        let method = if put { "PUT" } else { "GET" };
        let request = sdk_signed(method, &target(&key, &query), &headers, SignableBody::Bytes(b"body"), SignatureLocation::Headers);
        let caller = verify(request);
        prop_assert!(matches!(&caller, Ok(c) if matches!(c.payload, Payload::Sha256(_))), "{caller:?}");
    }

    #[test]
    fn query_form(key in keys(), query in queries(), headers in headers()) {
        let request = sdk_signed("GET", &target(&key, &query), &headers, SignableBody::UnsignedPayload, SignatureLocation::QueryParams);
        let caller = verify(request);
        prop_assert!(caller.is_ok(), "{caller:?}");
    }

    /// Any other path, query or method than the signed one is refused.
    #[test]
    fn changes_are_found(key in keys(), other in keys(), query in queries()) {
        prop_assume!(key != other);
        let signed = sdk_signed("GET", &target(&key, &query), &[], SignableBody::UnsignedPayload, SignatureLocation::Headers);
        let mut moved = signed.clone();
        *moved.uri_mut() = target(&other, &query).parse().unwrap();
        prop_assert!(verify(moved).is_err());
        let mut added = signed.clone();
        let uri = signed.uri().to_string();
        *added.uri_mut() = format!("{uri}{}extra=1", if uri.contains('?') { '&' } else { '?' }).parse().unwrap();
        prop_assert!(verify(added).is_err());
        let mut deleted = signed;
        *deleted.method_mut() = http::Method::DELETE;
        prop_assert!(verify(deleted).is_err());
    }
}

#[test]
fn a_key_of_1024_bytes() {
    let key = "\u{1f600}+% ".repeat(146) + "ab";
    assert_eq!(key.len(), 1024);
    let request = sdk_signed("GET", &target(&key, &[]), &[], SignableBody::UnsignedPayload, SignatureLocation::Headers);
    assert!(verify(request).is_ok());
}

#[test]
fn our_own_signing_agrees() {
    // Ours is verified by ours in `forms`; here the SDK's signature for the same request is the very same.
    let own = presigned(http::Method::GET, "a b/+(c)", &[]);
    let credential_scope = "X-Amz-Credential=AKACME%2F20130524%2Fus-east-1%2Fs3%2Faws4_request";
    assert!(own.contains(credential_scope), "{own}");
    let identity = Credentials::new("AKACME", SECRET, None, None, "test").into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("s3")
        .time(NOW.to_system())
        .settings(signer_settings(SignatureLocation::QueryParams))
        .build()
        .unwrap()
        .into();
    let uri = format!("http://{HOST}/bucket/{}", encoded("a b/+(c)"));
    let signable = SignableRequest::new("GET", &uri, std::iter::empty(), SignableBody::UnsignedPayload).unwrap();
    let signature = sign(signable, &params).unwrap().into_parts().1;
    assert!(own.ends_with(&format!("X-Amz-Signature={signature}")), "{own}\n{signature}");
}

#[test]
fn headers_signed_for_our_own_calls() {
    let access_key = crate::base::names::AccessKeyId::parse("AKACME").unwrap();
    let secret = crate::auth::keys::Secret::new(SECRET);
    let credentials = crate::auth::presign::Credentials { access_key: &access_key, secret: &secret, region: "us-east-1" };
    let signed = crate::auth::presign::sign_headers(
        &credentials,
        &http::Method::POST,
        HOST,
        "/-/admin/v1/keys",
        Some("x=1"),
        "UNSIGNED-PAYLOAD",
        NOW,
    );
    let mut request = http::Request::post("/-/admin/v1/keys?x=1").header("host", HOST).body(()).unwrap();
    request.headers_mut().extend(signed.unwrap());
    assert_eq!(verify(request).unwrap().identity.id().as_str(), "acme");
}
