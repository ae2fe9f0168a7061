//! The attack table of EVIDENCE-CORE.md section 1, and its relatives: what was tried against another server and got through.
//! (The body attacks are in `chunks`.)

use http::Method;

use super::*;
use crate::base::error::ErrorKind;

fn refusal(parts: &Parts) -> (ErrorKind, String) {
    let e = ask(&auth(), parts).unwrap_err();
    let not_signed = e.details().iter().find(|(n, _)| *n == "HeadersNotSigned").map(|(_, v)| v.clone()).unwrap_or_default();
    (e.kind(), not_signed)
}

#[test]
fn a_presigned_put_takes_no_unsigned_amz_header() {
    let url = presigned(Method::PUT, "k", &[]);
    for (name, value) in [
        ("x-amz-copy-source", "/other-tenant/secret"),
        ("x-amz-copy-source-range", "bytes=0-9"),
        ("x-amz-acl", "public-read"),
        ("x-amz-grant-read", "uri=http://acs.amazonaws.com/groups/global/AllUsers"),
        ("x-amz-meta-owner", "mallory"),
        ("x-amz-tagging", "a=b"),
        ("x-amz-website-redirect-location", "https://evil.example"),
        ("x-amz-metadata-directive", "REPLACE"),
        ("x-amz-storage-class", "GLACIER"),
        ("x-amz-trailer", "x-amz-checksum-crc32"),
        ("x-amz-decoded-content-length", "5"),
        ("x-amz-unheard-of", "1"),
    ] {
        let request = parts(http::Request::put(&url).header("host", HOST).header(name, value));
        assert_eq!(refusal(&request), (ErrorKind::AccessDenied, name.to_owned()), "{name}");
    }
}

#[test]
fn nor_does_a_request_signed_in_its_header() {
    let signed = sign(http::Request::put("/b/k").header("x-amz-acl", "public-read").header("x-amz-copy-source", "/a/b"), &[]);
    assert_eq!(refusal(&signed), (ErrorKind::AccessDenied, "x-amz-acl, x-amz-copy-source".to_owned()));
    let covered = sign(http::Request::put("/b/k").header("x-amz-acl", "public-read"), &["x-amz-acl"]);
    assert!(ask(&auth(), &covered).is_ok());
    // A second value for a signed header changes what was signed.
    let mut doubled = covered.clone();
    doubled.headers.append("x-amz-acl", "private".parse().unwrap());
    assert_eq!(refusal(&doubled).0, ErrorKind::InvalidArgument);
}

#[test]
fn what_cdns_and_browsers_add_changes_nothing() {
    let url = presigned(Method::GET, "k", &[]);
    let request = http::Request::get(&url)
        .header("host", HOST)
        .header("x-amz-cf-id", "abc")
        .header("x-amz-user-agent", "aws-sdk-js/3")
        .header("x-amz-date", "20130524T000000Z")
        .header("x-amzn-trace-id", "Root=1");
    assert!(ask(&auth(), &parts(request)).is_ok());
}

#[test]
fn an_unsigned_header_can_not_contradict_a_hoisted_parameter() {
    let url = presigned(Method::PUT, "k", &[("x-amz-acl", "private")]);
    let plain = parts(http::Request::put(&url).header("host", HOST));
    let caller = ask(&auth(), &plain).unwrap();
    assert!(caller.via.is_presigned());
    let more = parts(http::Request::put(&url).header("host", HOST).header("x-amz-acl", "public-read"));
    assert_eq!(refusal(&more), (ErrorKind::AccessDenied, "x-amz-acl".into()));
}

#[test]
fn host_must_be_signed() {
    let mut signed = sign(http::Request::get("/b/k"), &[]);
    let header = signed.headers["authorization"].to_str().unwrap().replace("SignedHeaders=host;", "SignedHeaders=");
    signed.headers.insert("authorization", header.parse().unwrap());
    assert_eq!(refusal(&signed), (ErrorKind::AccessDenied, "host".into()));
}

#[test]
fn a_claimed_body_hash_is_what_was_signed() {
    let mut signed = sign(http::Request::put("/b/k").header("x-amz-content-sha256", "ab".repeat(32)), &[]);
    for other in ["UNSIGNED-PAYLOAD".to_owned(), "cd".repeat(32), "STREAMING-UNSIGNED-PAYLOAD-TRAILER".into()] {
        signed.headers.insert("x-amz-content-sha256", other.parse().unwrap());
        assert_eq!(refusal(&signed).0, ErrorKind::SignatureDoesNotMatch, "{other}");
    }
}

#[test]
fn line_feeds_move_no_lines() {
    // A query whose parts hold line feeds, so as to shift what the string to sign means.
    for to in ["us-east-1%0A", "us%0Aeast-1"] {
        let url = presigned(Method::GET, "k", &[]).replacen("us-east-1", to, 1);
        assert_eq!(refusal(&parts(http::Request::get(&url).header("host", HOST))).0, ErrorKind::AuthorizationQueryParametersError);
    }
    let url = presigned(Method::GET, "k", &[]).replacen("SignedHeaders=host", "SignedHeaders=host%0A%0A", 1);
    assert!(ask(&auth(), &parts(http::Request::get(&url).header("host", HOST))).is_err());
}

mod sigv2 {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::auth::identity::Via;
    use crate::auth::keys::Secret;
    use crate::auth::payload::Payload;

    const EXPIRES: u64 = NOW.secs() + 3600;

    fn url(string_to_sign: &str, path_and_query: &str) -> String {
        let signature = STANDARD.encode(crate::auth::sigv2::sign(&Secret::new(SECRET), string_to_sign.as_bytes()));
        let encoded: String = signature.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        let separator = if path_and_query.contains('?') { '&' } else { '?' };
        format!("{path_and_query}{separator}AWSAccessKeyId=AKACME&Expires={EXPIRES}&Signature={encoded}")
    }

    fn request(method: &str, url: &str, headers: &[(&str, &str)]) -> Parts {
        let request = http::Request::builder().method(method).uri(url).header("host", HOST);
        parts(headers.iter().fold(request, |r, (n, v)| r.header(*n, *v)))
    }

    #[test]
    fn as_boto3_presigns() {
        let auth = auth();
        let get = url(&format!("GET\n\n\n{EXPIRES}\n/bucket/a%20b.txt"), "/bucket/a%20b.txt");
        let caller = ask(&auth, &request("GET", &get, &[])).unwrap();
        assert_eq!(caller.identity.id().as_str(), "acme");
        assert_eq!(caller.via, Via::SigV2Query { expires: Timestamp::from_secs(EXPIRES) });
        assert!(matches!(caller.payload, Payload::Unsigned));
        // Browsers' and CDNs' additions, and parameters that mean nothing.
        assert!(ask(&auth, &request("GET", &format!("{get}&v=1"), &[("x-amz-cf-id", "1")])).is_ok());
        let typed = url(
            &format!("GET\n\n\n{EXPIRES}\n/bucket/k?response-content-type=text/plain&versionId=7"),
            "/bucket/k?versionId=7&response-content-type=text%2Fplain",
        );
        assert!(ask(&auth, &request("GET", &typed, &[])).is_ok());
        let put = url(&format!("PUT\n\ntext/plain\n{EXPIRES}\nx-amz-acl:private\n/bucket/k"), "/bucket/k");
        assert!(ask(&auth, &request("PUT", &put, &[("content-type", "text/plain"), ("x-amz-acl", "private")])).is_ok());
        // boto hoists what it signed.
        assert!(ask(&auth, &request("PUT", &format!("{put}&content-type=text%2Fplain&x-amz-acl=private"), &[])).is_ok());
    }

    #[test]
    fn opens_nothing_else() {
        let auth = auth();
        let refused = |method: &str, url: &str, headers: &[(&str, &str)]| ask(&auth, &request(method, url, headers)).unwrap_err().kind();
        let get = url(&format!("GET\n\n\n{EXPIRES}\n/bucket/k"), "/bucket/k");
        let put = url(&format!("PUT\n\n\n{EXPIRES}\n/bucket/k"), "/bucket/k");
        for (name, value) in [("x-amz-copy-source", "/other/secret"), ("x-amz-acl", "public-read"), ("x-amz-meta-a", "b")] {
            assert_eq!(refused("PUT", &put, &[(name, value)]), ErrorKind::SignatureDoesNotMatch, "{name}");
            assert_eq!(refused("PUT", &format!("{put}&{name}={value}"), &[]), ErrorKind::SignatureDoesNotMatch, "{name}");
        }
        assert_eq!(refused("PUT", &put, &[("content-type", "text/html")]), ErrorKind::SignatureDoesNotMatch);
        for parameter in ["versionId=1", "response-content-type=text/html", "uploadId=x&partNumber=1"] {
            assert_eq!(refused("GET", &format!("{get}&{parameter}"), &[]), ErrorKind::SignatureDoesNotMatch, "{parameter}");
        }
        for parameter in ["acl", "tagging", "retention", "legal-hold", "attributes", "torrent", "uploads", "restore", "%61cl"] {
            assert_eq!(refused("GET", &format!("{get}&{parameter}"), &[]), ErrorKind::AccessDenied, "{parameter}");
        }
        // Signed by the owner, but not for an object, or for another method.
        for (method, path) in
            [("GET", "/bucket"), ("GET", "/bucket/"), ("GET", "/"), ("PUT", "/bucket"), ("DELETE", "/bucket/k"), ("POST", "/bucket/k")]
        {
            let signed = url(&format!("{method}\n\n\n{EXPIRES}\n{path}"), path);
            assert_eq!(refused(method, &signed, &[]), ErrorKind::AccessDenied, "{method} {path}");
        }
        assert_eq!(refused("HEAD", &get, &[]), ErrorKind::SignatureDoesNotMatch);
        for (from, to, kind) in [
            ("AKACME", "AKNOBODY", ErrorKind::InvalidAccessKeyId),
            ("AKACME", "AKRIVAL", ErrorKind::SignatureDoesNotMatch),
            ("Signature=", "Signature=A", ErrorKind::SignatureDoesNotMatch),
            ("Signature=", "Sig=", ErrorKind::AccessDenied),
            ("Expires=", "Expires=9", ErrorKind::SignatureDoesNotMatch),
            ("Expires=", "Expires=x", ErrorKind::AccessDenied),
            ("?", "?Expires=9999999999&", ErrorKind::AccessDenied),
        ] {
            assert_eq!(refused("GET", &get.replacen(from, to, 1), &[]), kind, "{from} -> {to}");
        }
        let asked = request("GET", &get, &[]);
        let late = RequestFacts { now: Timestamp::from_secs(EXPIRES + 1), ..facts(&asked) };
        assert_eq!(auth.authenticate(&late).unwrap_err().message(), "Request has expired");
    }

    #[test]
    fn can_be_switched_off() {
        let off = auth_with(Settings { sigv2_presigned: false, ..Settings::default() });
        let get = url(&format!("GET\n\n\n{EXPIRES}\n/bucket/k"), "/bucket/k");
        assert_eq!(ask(&off, &request("GET", &get, &[])).unwrap_err().kind(), ErrorKind::InvalidRequest);
    }

    #[test]
    fn a_virtual_host_is_part_of_the_resource() {
        let auth = auth_with(Settings { domains: vec![HOST.into()], ..Settings::default() });
        let get = url(&format!("GET\n\n\n{EXPIRES}\n/bucket/k"), "/k");
        let ask_at = |host: &str| ask(&auth, &parts(http::Request::get(&get).header("host", host)));
        assert!(ask_at("bucket.s3.example.com").is_ok());
        assert!(ask_at("other.s3.example.com").is_err());
    }
}
