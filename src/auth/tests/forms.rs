//! The forms of identity, and what is answered where one is wrong.

use http::Method;

use super::*;
use crate::auth::StoredKey;
use crate::auth::identity::{Identity, Via};
use crate::auth::made::Made;
use crate::auth::payload::Payload;
use crate::base::error::{Error, ErrorKind};

fn kind_of(auth: &Auth, parts: &Parts) -> ErrorKind {
    ask(auth, parts).unwrap_err().kind()
}

fn detail<'e>(error: &'e Error, name: &str) -> &'e str {
    error.details().iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str()).unwrap_or_else(|| panic!("no {name} in {error}"))
}

fn at(auth: &Auth, parts: &Parts, seconds: i64) -> Result<Caller> {
    let now = Timestamp::from_secs(NOW.secs().checked_add_signed(seconds).unwrap());
    auth.authenticate(&RequestFacts { now, ..facts(parts) })
}

fn get(path: &str) -> http::request::Builder {
    http::Request::get(path)
}

#[test]
fn nothing_said_is_anonymous() {
    let auth = auth();
    for path in ["/", "/b/k", "/b?list-type=2&prefix=X-Amz-", "/b/k?x-amz-signature=1"] {
        let caller = ask(&auth, &parts(get(path))).unwrap();
        assert!(caller.identity.is_anonymous() && caller.via == Via::Anonymous && caller.access_key.is_none(), "{path}");
    }
}

#[test]
fn a_header_signature_names_its_tenant() {
    let auth = auth();
    let caller = ask(&auth, &sign(get("/bucket/a%20b+c"), &[])).unwrap();
    assert_eq!(caller.identity.id().as_str(), "acme");
    assert_eq!(caller.access_key.unwrap().as_str(), "AKACME");
    assert!(matches!(caller.payload, Payload::Unsigned));
    // From the cache, too.
    assert!(ask(&auth, &sign(get("/bucket/x"), &[])).is_ok());
}

#[test]
fn clocks_may_differ_by_a_quarter_of_an_hour() {
    let auth = auth();
    let signed = sign(get("/b/k"), &[]);
    assert!(at(&auth, &signed, 900).is_ok() && at(&auth, &signed, -900).is_ok());
    for seconds in [901, -901, 86_400 * 365] {
        let e = at(&auth, &signed, seconds).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::RequestTimeTooSkewed);
        assert_eq!(detail(&e, "RequestTime"), "20130524T000000Z");
        assert_eq!(detail(&e, "MaxAllowedSkewMilliseconds"), "900000");
        assert!(detail(&e, "ServerTime").ends_with('Z'));
    }
}

#[test]
fn date_stands_in_for_x_amz_date() {
    let auth = auth();
    let mut signed = sign(get("/b/k").header("date", NOW.http_date()), &[]);
    // Signed with the date in the string to sign; the header itself need not be in the list.
    let list = "host;x-amz-content-sha256";
    signed.headers.remove("x-amz-date");
    let canonical = crate::auth::canonical::Request::new(&signed, list, "UNSIGNED-PAYLOAD").canonical(&Default::default());
    let scope = "20130524/us-east-1/s3/aws4_request";
    let string = crate::auth::canonical::string_to_sign("20130524T000000Z", scope, &canonical);
    let signing = crate::auth::keys::SigningKey::derive(&crate::auth::keys::Secret::new(SECRET), "20130524", "us-east-1");
    let header = format!(
        "AWS4-HMAC-SHA256 Credential=AKACME/{scope}, SignedHeaders={list}, Signature={}",
        hex::encode(signing.sign(string.as_bytes()))
    );
    signed.headers.insert("authorization", header.parse().unwrap());
    assert!(ask(&auth, &signed).is_ok());
    signed.headers.remove("date");
    assert_eq!(kind_of(&auth, &signed), ErrorKind::AccessDenied);
    for bad in ["", "Bad Date", "19500707T215304Z"] {
        signed.headers.insert("x-amz-date", bad.parse().unwrap());
        assert_eq!(kind_of(&auth, &signed), ErrorKind::AccessDenied, "{bad}");
    }
}

#[test]
fn a_wrong_signature_shows_what_was_expected() {
    let mut signed = sign(get("/bucket/k"), &[]);
    signed.uri = "/bucket/other".parse().unwrap();
    let e = ask(&auth(), &signed).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::SignatureDoesNotMatch);
    assert_eq!(detail(&e, "AWSAccessKeyId"), "AKACME");
    assert!(detail(&e, "StringToSign").starts_with("AWS4-HMAC-SHA256\n20130524T000000Z\n20130524/us-east-1/s3/aws4_request\n"));
    assert!(detail(&e, "CanonicalRequest").starts_with("GET\n/bucket/other\n\nhost:s3.example.com\n"));
    assert!(detail(&e, "StringToSignBytes").starts_with("41 57 53 34"));
    assert!(detail(&e, "CanonicalRequestBytes").starts_with("47 45 54"));
    assert_eq!(detail(&e, "SignatureProvided").len(), 64);
    assert!(!format!("{e:?}").contains(SECRET));
}

#[test]
fn unknown_disabled_and_expired_keys() {
    let auth = auth();
    let mut signed = sign(get("/b/k"), &[]);
    let unknown = signed.headers["authorization"].to_str().unwrap().replace("AKACME", "AKNOBODY");
    signed.headers.insert("authorization", unknown.parse().unwrap());
    assert_eq!(kind_of(&auth, &signed), ErrorKind::InvalidAccessKeyId);

    let mut made = StoredKey {
        access_key: AccessKeyId::parse("AKNOBODY").unwrap(),
        secret: "x".into(),
        tenant: crate::base::names::TenantId::parse("acme").unwrap(),
        enabled: false,
        created: NOW,
        expires: None,
    };
    auth.add_key(made.clone()).unwrap();
    let e = ask(&auth, &signed).unwrap_err();
    assert!(e.kind() == ErrorKind::InvalidAccessKeyId && e.message().contains("disabled"));
    (made.enabled, made.expires) = (true, Some(NOW));
    auth.add_key(made.clone()).unwrap();
    assert!(ask(&auth, &signed).unwrap_err().message().contains("expired"));
    // With the right secret it opens, and a changed secret leaves no signing key behind.
    (made.expires, made.secret) = (None, SECRET.into());
    auth.add_key(made.clone()).unwrap();
    let own = sign(get("/b/k"), &[]);
    let swap = own.headers["authorization"].to_str().unwrap().replace("AKACME", "AKNOBODY");
    let mut own = own;
    own.headers.insert("authorization", swap.parse().unwrap());
    assert!(ask(&auth, &own).is_ok());
    made.secret = "changed".into();
    auth.add_key(made.clone()).unwrap();
    assert_eq!(kind_of(&auth, &own), ErrorKind::SignatureDoesNotMatch);
    assert!(auth.remove_key(&made.access_key) && !auth.remove_key(&made.access_key));
    assert_eq!(kind_of(&auth, &own), ErrorKind::InvalidAccessKeyId);
}

#[test]
fn regions_services_and_scopes() {
    let auth = auth();
    let with = |from: &str, to: &str| {
        let mut signed = sign(get("/b/k"), &[]);
        let header = signed.headers["authorization"].to_str().unwrap().replacen(from, to, 1);
        signed.headers.insert("authorization", header.parse().unwrap());
        signed
    };
    // Any region may be signed for; this one's signature is then wrong, nothing else.
    assert_eq!(kind_of(&auth, &with("us-east-1", "auto")), ErrorKind::SignatureDoesNotMatch);
    for (from, to) in [
        ("/s3/", "/sqs/"),
        ("/20130524/", "/20130525/"),
        ("/20130524/", "/2013/"),
        ("aws4_request", "aws5_request"),
        ("AKACME/", ""),
        ("us-east-1", "us east"),
        ("SignedHeaders=host", "SignedHeaders=Host"),
        ("SignedHeaders=", "SignedHeaders=;"),
        ("Signature=", "Signatur="),
        ("Credential=", "Credential"),
        (", Signature=", ", Signature=00, Signature="),
    ] {
        assert_eq!(kind_of(&auth, &with(from, to)), ErrorKind::AuthorizationHeaderMalformed, "{from} -> {to}");
    }
    let strict = auth_with(Settings { strict_region: true, region: "eu-west-1".into(), ..Settings::default() });
    let e = ask(&strict, &sign(get("/b/k"), &[])).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::AuthorizationHeaderMalformed);
    assert_eq!(detail(&e, "Region"), "eu-west-1");
}

#[test]
fn other_ways_are_refused_in_clear_words() {
    let auth = auth();
    let with = |header: &str| parts(get("/b/k").header("authorization", header));
    for (header, kind) in [
        ("", ErrorKind::AccessDenied),
        ("AWS HAHAHA", ErrorKind::InvalidArgument),
        ("AWS AKACME:c2lnbmF0dXJl", ErrorKind::InvalidRequest),
        ("Basic YTpi", ErrorKind::InvalidArgument),
        ("Bearer x", ErrorKind::InvalidArgument),
        ("AWS4-ECDSA-P256-SHA256 Credential=x", ErrorKind::NotImplemented),
        ("AWS4-HMAC-SHA256", ErrorKind::AuthorizationHeaderMalformed),
        ("AWS4-HMAC-SHA256 x", ErrorKind::AuthorizationHeaderMalformed),
    ] {
        assert_eq!(kind_of(&auth, &with(header)), kind, "{header:?}");
    }
    let token = sign(get("/b/k").header("x-amz-security-token", "t"), &["x-amz-security-token"]);
    assert_eq!(kind_of(&auth, &token), ErrorKind::InvalidToken);
    let url = presigned(Method::GET, "k", &[("X-Amz-Security-Token", "t")]);
    assert_eq!(kind_of(&auth, &parts(get(&url).header("host", HOST))), ErrorKind::InvalidToken);
    // Header and query at once.
    let url = presigned(Method::GET, "k", &[]);
    assert_eq!(kind_of(&auth, &sign(get(&url), &[])), ErrorKind::InvalidArgument);
    let mut two = sign(get("/b/k"), &[]);
    let again = two.headers["authorization"].clone();
    two.headers.append("authorization", again);
    assert_eq!(kind_of(&auth, &two), ErrorKind::AuthorizationHeaderMalformed);
}

#[test]
fn payloads() {
    let auth = auth();
    let payload = |hash: &str| ask(&auth, &sign(http::Request::put("/b/k").header("x-amz-content-sha256", hash), &[])).map(|c| c.payload);
    let hash = "ab".repeat(32);
    assert!(matches!(payload("UNSIGNED-PAYLOAD"), Ok(Payload::Unsigned)));
    assert!(matches!(payload(&hash), Ok(Payload::Sha256(h)) if h.hex() == hash));
    for (form, signed, trailer) in [
        ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", true, false),
        ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", true, true),
        ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", false, true),
    ] {
        let Ok(Payload::Streaming(f)) = payload(form) else { panic!("{form}") };
        assert_eq!((f.is_signed(), f.has_trailer()), (signed, trailer), "{form}");
    }
    assert_eq!(payload("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD").unwrap_err().kind(), ErrorKind::NotImplemented);
    for bad in ["", "abc", "unsigned-payload", "STREAMING-PAYLOAD"] {
        assert_eq!(payload(bad).unwrap_err().kind(), ErrorKind::InvalidArgument, "{bad}");
    }
    let mut missing = sign(http::Request::put("/b/k"), &[]);
    missing.headers.remove("x-amz-content-sha256");
    assert_eq!(kind_of(&auth, &missing), ErrorKind::InvalidRequest);
}

#[test]
fn anonymous_payloads() {
    let auth = auth();
    let payload = |headers: &[(&str, &str)]| {
        let request = headers.iter().fold(http::Request::put("/b/k"), |r, (n, v)| r.header(*n, *v));
        ask(&auth, &parts(request)).map(|c| c.payload)
    };
    assert!(matches!(payload(&[]), Ok(Payload::Unsigned)));
    assert!(matches!(payload(&[("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")]), Ok(Payload::Streaming(_))));
    // boto3 without credentials.
    let boto = [("content-encoding", "gzip, aws-chunked"), ("x-amz-trailer", "x-amz-checksum-crc32")];
    assert!(matches!(payload(&boto), Ok(Payload::Streaming(f)) if f.has_trailer() && !f.is_signed()));
    assert!(payload(&[("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")]).is_err());
}

#[test]
fn presigned_urls_open_for_their_time_only() {
    let auth = auth();
    let url = presigned(Method::GET, "dir/a b+c", &[("response-content-type", "text/plain; charset=utf-8")]);
    let signed = parts(get(&url).header("host", HOST));
    let caller = ask(&auth, &signed).unwrap();
    assert_eq!(caller.identity.id().as_str(), "acme");
    assert!(at(&auth, &signed, 3600).is_ok() && at(&auth, &signed, -900).is_ok());
    let e = at(&auth, &signed, 3601).unwrap_err();
    assert_eq!((e.kind(), e.message()), (ErrorKind::AccessDenied, "Request has expired"));
    assert_eq!(detail(&e, "X-Amz-Expires"), "3600");
    assert_eq!(detail(&e, "Expires"), "2013-05-24T01:00:00.000Z");
    assert_eq!(detail(&e, "ServerTime"), "2013-05-24T01:00:01.000Z");
    assert_eq!(at(&auth, &signed, -901).unwrap_err().kind(), ErrorKind::AccessDenied);
    // A URL for GET is no URL for HEAD or DELETE.
    for method in [Method::HEAD, Method::PUT, Method::DELETE] {
        let other = parts(http::Request::builder().method(method).uri(&url).header("host", HOST));
        assert_eq!(kind_of(&auth, &other), ErrorKind::SignatureDoesNotMatch);
    }
}

#[test]
fn presigned_parameters_are_checked() {
    let auth = auth();
    let url = presigned(Method::GET, "k", &[]);
    for (from, to) in [
        ("X-Amz-Expires=3600", "X-Amz-Expires=x"),
        ("X-Amz-Expires=3600", "X-Amz-Expire=3600"),
        ("X-Amz-Date=20130524T000000Z", "X-Amz-Date=2013-05-24"),
        ("X-Amz-Algorithm=AWS4-HMAC-SHA256", "X-Amz-Algorithm=AWS4"),
        ("X-Amz-Algorithm=AWS4-HMAC-SHA256&", ""),
        ("X-Amz-Signature=", "X-Amz-Signatur="),
        ("AKACME%2F", ""),
        ("%2Fs3%2F", "%2Fsqs%2F"),
        ("%2F20130524%2F", "%2F20130523%2F"),
        ("?", "?X-Amz-Signature=00&"),
        ("?", "?X-Amz-Expires=10&"),
        ("?", "?X%2DAmz-Expires=10&"),
    ] {
        let bad = url.replacen(from, to, 1);
        assert_ne!(bad, url);
        assert_eq!(kind_of(&auth, &parts(get(&bad).header("host", HOST))), ErrorKind::AuthorizationQueryParametersError, "{from} -> {to}");
    }
    for expires in ["0", "-7", "604801"] {
        let bad = url.replacen("X-Amz-Expires=3600", &format!("X-Amz-Expires={expires}"), 1);
        assert_eq!(kind_of(&auth, &parts(get(&bad).header("host", HOST))), ErrorKind::AuthorizationQueryParametersError, "{expires}");
    }
    let sigv4a = url.replacen("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256", 1);
    assert_eq!(kind_of(&auth, &parts(get(&sigv4a).header("host", HOST))), ErrorKind::NotImplemented);
    // Any other change breaks the signature: nothing of the query is free.
    for (from, to) in [("X-Amz-Expires=3600", "X-Amz-Expires=3601"), ("?", "?v=1&"), ("/k?", "/other?"), ("AKACME", "AKRIVAL")] {
        let bad = url.replacen(from, to, 1);
        assert_eq!(kind_of(&auth, &parts(get(&bad).header("host", HOST))), ErrorKind::SignatureDoesNotMatch, "{from} -> {to}");
    }
}

#[test]
fn the_payload_hash_of_a_presigned_url() {
    let auth = auth();
    let hash = "cd".repeat(32);
    // The JS SDK puts it into the query.
    let url = presigned(Method::PUT, "k", &[("x-amz-checksum-crc32", "AAAAAA=="), ("x-id", "PutObject")]);
    let request = |url: &str| http::Request::put(url).header("host", HOST);
    assert!(matches!(ask(&auth, &parts(request(&url))).unwrap().payload, Payload::Unsigned));
    // A client that sends the header beside a URL that does not speak of it.
    let with_header = parts(request(&url).header("x-amz-content-sha256", &hash));
    assert!(matches!(ask(&auth, &with_header).unwrap().payload, Payload::Unsigned));
}

#[test]
fn made_keys_need_a_tenant_and_an_id_of_their_own() {
    let auth = auth();
    let key = |id: &str, tenant: &str| StoredKey {
        access_key: AccessKeyId::parse(id).unwrap(),
        secret: "s".into(),
        tenant: crate::base::names::TenantId::parse(tenant).unwrap(),
        enabled: true,
        created: NOW,
        expires: None,
    };
    assert!(auth.add_key(key("AKNEW", "nobody")).unwrap_err().message().contains("nobody.toml"));
    assert!(auth.add_key(key("AKACME", "rival")).is_err());
    assert!(auth.add_key(key("AKIAIOSFODNN7EXAMPLE", "acme")).is_err());
    auth.add_key(key("AKNEW", "acme")).unwrap();
    auth.add_key(key("AKOPS", "operator")).unwrap();
    assert_eq!(auth.made_keys().len(), 2);
    // At start a key whose tenant's file is gone opens nothing, and is told.
    auth.set_made(Made::new(vec![key("AKNEW", "gone")], Vec::new())).unwrap();
    assert!(auth.summary().warnings.iter().any(|w| w.contains("open nothing")));
}

#[test]
fn the_rate_of_a_tenant_is_metered() {
    let dir = folder();
    write(dir.path(), "tenants/acme.toml", &(tenant_file("acme", "AKACME", SECRET) + "limits = { requests_per_second = 2 }\n"));
    let auth = Auth::new(Settings::default(), dir.path().to_owned(), operator()).unwrap();
    let caller = ask(&auth, &sign(get("/b/k"), &[])).unwrap();
    assert!(auth.take_token(&caller).is_ok());
    assert_eq!((0..50).find_map(|_| auth.take_token(&caller).err()).unwrap().kind(), ErrorKind::SlowDown);
    // A reload is no way to a fresh allowance: the meter is the same one.
    auth.reload().unwrap();
    let again = ask(&auth, &sign(get("/b/k"), &[])).unwrap();
    let meter = |c: &Caller| match &c.identity {
        Identity::Tenant(t) => t.meters.rate().unwrap().clone(),
        _ => panic!("not a tenant"),
    };
    assert!(std::sync::Arc::ptr_eq(&meter(&caller), &meter(&again)));
    assert!((0..50).all(|_| auth.take_token(&Caller::anonymous()).is_ok()));
}
