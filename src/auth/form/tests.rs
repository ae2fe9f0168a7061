//! What a policy of a form holds its fields to, and who is believed to have signed it.

use proptest::prelude::*;

use super::*;
use crate::auth::Settings;
use crate::auth::keys::{Secret, SigningKey};
use crate::auth::tests::{NOW, SECRET, auth, auth_with, bucket_name};

const BUCKET: &str = "bucket";

fn encoded(policy: &str) -> String {
    STANDARD.encode(policy)
}

fn policy(conditions: &str) -> String {
    encoded(&format!(r#"{{"expiration":"2013-05-24T01:00:00Z","conditions":[{conditions}]}}"#))
}

fn fields(pairs: &[(&str, &str)]) -> Fields {
    Fields::new(pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(), "dir/name.txt").unwrap()
}

/// The text of the refusal, or how long the file may be.
fn held(conditions: &str, pairs: &[(&str, &str)]) -> Result<Option<Range>, String> {
    let parsed = Policy::parse(&policy(conditions)).unwrap_or_else(|e| panic!("{e}"));
    parsed.check(&fields(pairs), &bucket_name(BUCKET), NOW).map_err(|e| {
        assert_eq!(e.kind(), ErrorKind::AccessDenied);
        e.message().strip_prefix("Invalid according to Policy: ").unwrap().to_owned()
    })
}

#[test]
fn conditions() {
    let failed = |condition: &str| Err(format!("Policy Condition failed: {condition}"));
    let extra = |field: &str| Err(format!("Extra input fields: {field}"));
    let here = r#"{"bucket":"bucket"},"#;
    for (conditions, pairs, expected) in [
        (r#"{"key":"k"}"#, &[("key", "k")][..], Ok(None)),
        (r#"["eq","$Key","k"]"#, &[("KEY", "k")], Ok(None)),
        (r#"["eq","$key","K"]"#, &[("key", "k")], failed(r#"["eq", "$key", "K"]"#)),
        (r#"{"Key":"x"}"#, &[("key", "k")], failed(r#"["eq", "$Key", "x"]"#)),
        (r#"["StArTs-WiTh","$key","user/"]"#, &[("key", "user/a")], Ok(None)),
        (r#"["starts-with","$key","user/"]"#, &[("key", "other/user/")], failed(r#"["starts-with", "$key", "user/"]"#)),
        (r#"["eq","key","k"]"#, &[("key", "k")], failed(r#"["eq", "key", "k"]"#)),
        // A field that is not there is empty.
        (r#"{"key":"k"},["starts-with","$acl",""]"#, &[("key", "k")], Ok(None)),
        (r#"{"key":"k"},["eq","$acl",""]"#, &[("key", "k")], Ok(None)),
        (r#"{"key":"k"},{"acl":"private"}"#, &[("key", "k")], failed(r#"["eq", "$acl", "private"]"#)),
        // All of a list of types.
        (r#"["starts-with","$Content-Type","image/"]"#, &[("content-type", "image/png, image/gif")], Ok(None)),
        (
            r#"["starts-with","$Content-Type","image/"]"#,
            &[("content-type", "image/png,text/html")],
            failed(r#"["starts-with", "$Content-Type", "image/"]"#),
        ),
        // What has one value begins with nothing.
        (
            r#"["starts-with","$success_action_status",""]"#,
            &[("success_action_status", "201")],
            failed(r#"["starts-with", "$success_action_status", ""]"#),
        ),
        (r#"["starts-with","$x-amz-meta-a",""]"#, &[("x-amz-meta-a", "anything")], Ok(None)),
        // With the name of the file in its place.
        (r#"["eq","$key","up/name.txt"]"#, &[("key", "up/${filename}")], Ok(None)),
        (r#"["eq","$key","up/${filename}"]"#, &[("key", "up/${filename}")], failed(r#"["eq", "$key", "up/${filename}"]"#)),
        (r#"["starts-with","$key","\$foo"]"#, &[("key", "$foo.txt")], Ok(None)),
        (r#"["starts-with","$key","\\$foo"]"#, &[("key", "\\$foo.txt")], Ok(None)),
        (r#"{"key":"k"}"#, &[("key", "k"), ("Expires", "0")], extra("expires")),
        (
            r#"{"key":"k"}"#,
            &[("key", "k"), ("X-Ignore-Me", "1"), ("x-ignore-me", "2"), ("file", ""), ("Policy", ""), ("x-amz-signature", "")],
            Ok(None),
        ),
        (r#"{"key":"k"}"#, &[("key", "k"), ("bucket", "another")], Ok(None)),
        (r#"{"key":"k"}"#, &[("key", "k"), ("x-amz-date", "")], extra("x-amz-date")),
        ("", &[("key", "k")], extra("key")),
        (
            r#"{"key":"k"},["content-length-range",1,10],["Content-Length-Range","5","20"]"#,
            &[("key", "k")],
            Ok(Some(Range { min: 5, max: 10 })),
        ),
    ] {
        assert_eq!(held(format!("{here}{conditions}").trim_end_matches(','), pairs), expected, "{conditions}");
    }
    assert_eq!(held(r#"{"key":"k"}"#, &[("key", "k"), ("bucket", BUCKET)]), extra("bucket"), "it would open every bucket");
    assert_eq!(held(r#"{"bucket":"b"},{"key":"k"}"#, &[("key", "k"), ("bucket", "b")]), failed(r#"["eq", "$bucket", "b"]"#));
}

#[test]
fn documents_that_are_no_policy() {
    let kind = |text: &str| Policy::parse(&encoded(text)).map(drop).map_err(|e| (e.kind(), e.message().to_owned()));
    let whole = |conditions: &str| format!(r#"{{"expiration":"2013-05-24T01:00:00Z","conditions":{conditions}}}"#);
    assert_eq!(kind(&whole("[]")), Ok(()));
    let list = |one: &str| whole(&format!("[{one}]"));
    for (text, why) in [
        ("x".to_owned(), "Invalid JSON."),
        ("[]".to_owned(), "Invalid JSON."),
        (list(r#"{"a":"1","a":"1"}"#), "Invalid JSON."),
        (r#"{"conditions":[]}"#.to_owned(), "Policy missing expiration."),
        (r#"{"expiration":"2013-05-24T01:00:00Z"}"#.to_owned(), "Policy missing conditions."),
        (r#"{"EXPIRATION":"2013-05-24T01:00:00Z","conditions":[]}"#.to_owned(), "Unexpected: 'EXPIRATION'"),
        (r#"{"expiration":1,"conditions":[]}"#.to_owned(), "Invalid 'expiration' value: must be a String."),
        (whole("[]").replace("T01", " 01"), "Invalid 'expiration' value: '2013-05-24 01:00:00Z'"),
        (whole("[]").replace('Z', "+00:00"), "Invalid 'expiration' value: '2013-05-24T01:00:00+00:00'"),
        (whole("{}"), "Invalid 'conditions' value: must be a List."),
        (list("{}"), "Invalid Simple-Condition: Simple-Conditions must have exactly one property specified."),
        (list(r#"{"a":"1","b":"2"}"#), "Invalid Simple-Condition: Simple-Conditions must have exactly one property specified."),
        (list(r#"{"a":1}"#), "Invalid Simple-Condition: value must be a string."),
        (list("1"), "Invalid condition test: must be a List or Object."),
        (list("[]"), "Invalid Condition: missing operation identifier."),
        (list(r#"["eq","$key"]"#), "Invalid eq: wrong number of arguments."),
        (list(r#"["eq","$key",1]"#), "Invalid eq: its arguments must be strings."),
        (list(r#"["ends-with","$key","x"]"#), "Invalid Condition: unknown operation 'ends-with'."),
        (list(r#"["content-length-range",1]"#), "Invalid content-length-range: wrong number of arguments."),
        (list(r#"["content-length-range",-1,0]"#), "Invalid content-length-range: a length is a whole number of bytes."),
        (list(r#"["content-length-range",0,1.5]"#), "Invalid content-length-range: a length is a whole number of bytes."),
        (list(r#"["content-length-range","","x"]"#), "Invalid content-length-range: a length is a whole number of bytes."),
    ] {
        assert_eq!(kind(&text), Err((ErrorKind::InvalidPolicyDocument, format!("Invalid Policy: {why}"))), "{text}");
    }
    assert!(Policy::parse("{}").is_err());
    assert!(Policy::parse(&format!("{}\r\n", encoded(&whole("[]")))).is_ok(), "of lines");
}

const SCOPE: &str = "20130524/us-east-1/s3/aws4_request";

fn sigv4(conditions: &str, change: &[(&str, Option<&str>)]) -> Vec<(String, String)> {
    let signed = format!(
        r#"{{"bucket":"bucket"}},{{"key":"k"}},{{"x-amz-algorithm":"AWS4-HMAC-SHA256"}},["starts-with","$x-ignore",""],
           {{"x-amz-credential":"AKACME/{SCOPE}"}},{{"x-amz-date":"20130524T000000Z"}}{conditions}"#
    );
    let policy = policy(&signed);
    let signature = hex::encode(SigningKey::derive(&Secret::new(SECRET), "20130524", "us-east-1").sign(policy.as_bytes()));
    let mut all: Vec<(String, String)> = [
        ("key", "k".to_owned()),
        ("policy", policy),
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA256".to_owned()),
        ("X-Amz-Credential", format!("AKACME/{SCOPE}")),
        ("X-Amz-Date", "20130524T000000Z".to_owned()),
        ("X-Amz-Signature", signature),
    ]
    .map(|(n, v)| (n.to_owned(), v))
    .to_vec();
    for (name, value) in change {
        all.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        all.extend(value.map(|v| ((*name).to_owned(), v.to_owned())));
    }
    all
}

fn sigv2(policy: &str, change: &[(&str, Option<&str>)]) -> Vec<(String, String)> {
    let signature = STANDARD.encode(sigv2::sign(&Secret::new(SECRET), policy.as_bytes()));
    let all = [("key", "k"), ("policy", policy), ("AWSAccessKeyId", "AKACME"), ("signature", &signature)];
    let mut all: Vec<(String, String)> = all.map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec();
    for (name, value) in change {
        all.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        all.extend(value.map(|v| ((*name).to_owned(), v.to_owned())));
    }
    all
}

fn ask(auth: &Auth, form: Vec<(String, String)>) -> Result<Granted, ErrorKind> {
    auth.authenticate_form(&Fields::new(form, "").unwrap(), &bucket_name(BUCKET), NOW).map_err(|e| e.kind())
}

#[test]
fn who_signed_it() {
    let auth = auth();
    let granted = ask(&auth, sigv4(r#",["content-length-range",1,2]"#, &[])).unwrap();
    assert_eq!(granted.caller.identity.id().as_str(), "acme");
    assert_eq!(granted.length, Some(Range { min: 1, max: 2 }));
    let expires = Timestamp::parse_iso8601("2013-05-24T01:00:00Z").unwrap();
    assert_eq!(granted.caller.via, Via::Form { signed: NOW, expires });
    for (change, kind) in [
        (("policy", None), ErrorKind::InvalidArgument),
        (("x-amz-signature", None), ErrorKind::InvalidArgument),
        (("x-amz-algorithm", None), ErrorKind::InvalidArgument),
        (("x-amz-credential", None), ErrorKind::InvalidArgument),
        (("x-amz-date", None), ErrorKind::InvalidArgument),
        (("x-amz-signature", Some("00")), ErrorKind::SignatureDoesNotMatch),
        (("x-amz-algorithm", Some("AWS4-HMAC-SHA1")), ErrorKind::AuthorizationQueryParametersError),
        (("x-amz-algorithm", Some("AWS4-ECDSA-P256-SHA256")), ErrorKind::NotImplemented),
        (("x-amz-date", Some("20130525T000000Z")), ErrorKind::AuthorizationQueryParametersError),
        (("x-amz-date", Some("2013-05-24")), ErrorKind::AuthorizationQueryParametersError),
        (("x-amz-credential", Some("AKACME/20130524/us-east-1/sts/aws4_request")), ErrorKind::AuthorizationQueryParametersError),
        (("x-amz-credential", Some("AKNONE/20130524/us-east-1/s3/aws4_request")), ErrorKind::InvalidAccessKeyId),
        (("x-amz-credential", Some("AKRIVAL/20130524/us-east-1/s3/aws4_request")), ErrorKind::SignatureDoesNotMatch),
        (("x-amz-credential", Some("AKACME/20130524/eu-west-1/s3/aws4_request")), ErrorKind::SignatureDoesNotMatch),
        (("x-amz-security-token", Some("x")), ErrorKind::InvalidToken),
        (("awsaccesskeyid", Some("AKACME")), ErrorKind::InvalidArgument),
        (("policy", Some(&policy(r#"["starts-with","$key",""]"#))), ErrorKind::SignatureDoesNotMatch),
        (("key", Some("another")), ErrorKind::AccessDenied),
    ] {
        assert_eq!(ask(&auth, sigv4("", &[change])).map(|g| g.length), Err(kind), "{change:?}");
    }
}

#[test]
fn signature_version_2() {
    let auth = auth();
    let conditions = r#"{"bucket":"bucket"},{"key":"k"}"#;
    let granted = ask(&auth, sigv2(&policy(conditions), &[])).unwrap();
    assert_eq!(granted.caller.identity.id().as_str(), "acme");
    for (change, kind) in [
        (("policy", None), ErrorKind::InvalidArgument),
        (("signature", None), ErrorKind::InvalidArgument),
        (("awsaccesskeyid", None), ErrorKind::InvalidArgument),
        (("awsaccesskeyid", Some("AKNONE")), ErrorKind::InvalidAccessKeyId),
        (("awsaccesskeyid", Some("AKRIVAL")), ErrorKind::SignatureDoesNotMatch),
        (("signature", Some("")), ErrorKind::SignatureDoesNotMatch),
        (("x-amz-security-token", Some("x")), ErrorKind::InvalidToken),
    ] {
        assert_eq!(ask(&auth, sigv2(&policy(conditions), &[change])).map(|g| g.length), Err(kind), "{change:?}");
    }
    let off = auth_with(Settings { sigv2_presigned: false, ..Settings::default() });
    assert_eq!(ask(&off, sigv2(&policy(conditions), &[])).map(|g| g.length), Err(ErrorKind::InvalidRequest));
    let late = encoded(&format!(r#"{{"expiration":"2013-05-24T00:00:00Z","conditions":[{conditions}]}}"#));
    assert_eq!(ask(&auth, sigv2(&late, &[])).map(|g| g.length), Err(ErrorKind::AccessDenied), "it has expired");
    // What is no policy is only told to whom signed it.
    assert_eq!(ask(&auth, sigv2("e30=", &[])).map(|g| g.length), Err(ErrorKind::InvalidPolicyDocument));
    assert_eq!(ask(&auth, sigv2("e30=", &[("signature", Some("x"))])).map(|g| g.length), Err(ErrorKind::SignatureDoesNotMatch));
}

#[test]
fn no_signature() {
    let auth = auth();
    let form = |pairs: &[(&str, &str)]| pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    assert!(ask(&auth, form(&[("key", "k"), ("anything", "goes")])).unwrap().caller.identity.is_anonymous());
    assert_eq!(ask(&auth, form(&[("key", "k"), ("policy", "e30=")])).map(|g| g.length), Err(ErrorKind::AccessDenied));
    let twice = Fields::new(form(&[("acl", "private"), ("ACL", "public-read")]), "");
    assert_eq!(twice.map(drop).map_err(|e| e.kind()), Err(ErrorKind::InvalidArgument));
}

proptest! {
    /// Whatever a form holds beside what its policy speaks of is refused, and so is each value that a condition does not have.
    #[test]
    fn nothing_slips_past(
        names in prop::collection::btree_set("(x-amz-meta-|acl|content-|[a-z])[a-z]{0,3}", 1..6),
        spoken in prop::collection::vec(any::<bool>(), 6),
        prefix in prop::collection::vec(any::<bool>(), 6),
        value in "[a-c]{0,3}",
        wanted in "[a-c]{0,3}",
    ) {
        let names: Vec<String> = names.into_iter().filter(|n| n != "bucket" && n != "content-type").collect();
        let conditions: Vec<String> = names.iter().enumerate().filter(|(i, _)| spoken[*i]).map(|(i, name)| {
            format!(r#"["{}","${name}","{wanted}"]"#, if prefix[i] { "starts-with" } else { "eq" })
        }).chain([r#"{"bucket":"bucket"}"#.to_owned()]).collect();
        let pairs: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), value.as_str())).collect();
        let all_spoken_of = (0..names.len()).all(|i| spoken[i]);
        let all_hold = (0..names.len()).all(|i| !spoken[i] || if prefix[i] { value.starts_with(&wanted) } else { value == wanted });
        prop_assert_eq!(held(&conditions.join(","), &pairs).is_ok(), all_spoken_of && all_hold);
    }

    #[test]
    fn no_document_makes_it_panic(text in ".{0,80}", json in r#"[\[\]{}:,"$a-z0-9\\ ]{0,60}"#) {
        for text in [text, json] {
            let _ = Policy::parse(&text);
            let _ = Policy::parse(&encoded(&text));
        }
    }
}
