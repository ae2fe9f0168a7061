//! Bucket policies as texts: what is refused and with which place, and which ones are public.

use super::*;
use crate::base::error::ErrorKind;

#[test]
fn malformed_bucket_policies_are_refused_with_their_place() {
    let auth = auth();
    let compile = |text: &str| {
        auth.compile_bucket_policy(&bucket_name("bucket"), text.as_bytes()).map(|p| p.statements.len()).map_err(|e| {
            assert_eq!(e.kind(), ErrorKind::MalformedPolicy);
            e.message().to_owned()
        })
    };
    let statement = |s: &str| compile(&format!(r#"{{"Version":"2012-10-17","Statement":[{{{s}}}]}}"#));
    let good = r#""Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*""#;
    assert_eq!(statement(good), Ok(1));
    for (change, expected) in [
        (good.replace(r#""Principal":"*","#, ""), "Statement[0]: Missing required field Principal"),
        (good.replace(r#""Action":"s3:GetObject","#, ""), "Statement[0]: Missing required field Action"),
        (good.replace("s3:GetObject", "s3:GetObjekt"), "Statement[0].Action[0]: Policy has invalid action"),
        (good.replace("s3:GetObject", "s3:ListBucket"), "Statement[0]: Action does not apply to any resource(s) in statement"),
        (good.replace("bucket/*", "other/*"), "Statement[0].Resource[0]: Policy has invalid resource"),
        (good.replace("bucket/*", "bucket2"), "Statement[0].Resource[0]: Policy has invalid resource"),
        (good.replace("arn:aws:s3:::bucket/*", "bucket/*"), "Statement[0].Resource[0]: Policy has invalid resource"),
        (good.replace("Allow", "allow"), "Statement[0].Effect: "),
        (good.replace(r#""*""#, r#"{"Service":"x"}"#), "Statement[0].Principal.Service: "),
        (
            format!(r#"{good},"Condition":{{"StringEquals":{{"aws:PrincipalTag/a":"b"}}}}"#),
            "Statement[0].Condition.StringEquals.aws:PrincipalTag/a: ",
        ),
        (format!(r#"{good},"Sid":5"#), "Statement[0].Sid: "),
        (format!(r#"{good},"Oops":5"#), "Statement[0].Oops: "),
    ] {
        let e = statement(&change).unwrap_err();
        assert!(e.starts_with(expected), "{e:?} for {change}");
    }
    for (text, expected) in [
        ("", "This policy contains invalid Json"),
        ("[]", "Policies must be valid JSON"),
        ("{}", "Missing required field Statement"),
        (r#"{"Statement":[]}"#, "Statement: "),
        (r#"{"Version":"2011-01-01","Statement":[]}"#, "Version: "),
        (&format!("{{\"Id\":\"{}\"}}", "x".repeat(21_000)), "The policy is larger than"),
        (
            r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::bucket/${tenant}/*"}}"#,
            "Version: variables need",
        ),
    ] {
        let e = compile(text).unwrap_err();
        assert!(e.starts_with(expected), "{e:?} for {text:.60}");
    }
    // Wildcards that can stand for this bucket are its own business.
    for resource in
        ["*", "arn:aws:s3:::*", "arn:aws:s3:::buck*", "arn:aws:s3:::bucket*", "arn:aws:s3:::*/*", "arn:aws:s3:::bucket/${tenant}/*"]
    {
        assert_eq!(statement(&good.replace("arn:aws:s3:::bucket/*", resource)), Ok(1), "{resource}");
    }
}

#[test]
fn which_policies_are_public() {
    let auth = auth();
    let public = |statement: &str| {
        let text = format!(r#"{{"Version":"2012-10-17","Statement":[{{{statement}}}]}}"#);
        auth.compile_bucket_policy(&bucket_name("bucket"), text.as_bytes()).unwrap().is_public()
    };
    let rest = r#""Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*""#;
    assert!(public(&format!(r#""Effect":"Allow","Principal":"*",{rest}"#)));
    assert!(!public(&format!(r#""Effect":"Deny","Principal":"*",{rest}"#)));
    assert!(!public(&format!(r#""Effect":"Allow","Principal":{{"AWS":"acme"}},{rest}"#)));
    let narrowed = |c: &str| public(&format!(r#""Effect":"Allow","Principal":"*",{rest},"Condition":{{{c}}}"#));
    assert!(!narrowed(r#""IpAddress":{"aws:SourceIp":"10.0.0.0/8"}"#));
    assert!(narrowed(r#""IpAddress":{"aws:SourceIp":"0.0.0.0/0"}"#));
    assert!(narrowed(r#""StringLike":{"aws:Referer":"https://a.example/*"}"#));
    assert!(narrowed(r#""NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}"#));
    assert!(!narrowed(r#""StringEquals":{"aws:userid":"acme"}"#));
    assert!(narrowed(r#""StringLike":{"aws:userid":"*"}"#));
    assert!(!narrowed(r#""Bool":{"tidegate:ProvenCdn":"true"}"#) && narrowed(r#""Bool":{"tidegate:ProvenCdn":"false"}"#));
    assert!(narrowed(r#""StringEqualsIfExists":{"aws:userid":"acme"}"#) && narrowed(r#""Bool":{"aws:SecureTransport":"true"}"#));
}

/// As S3 says it. What was set before this was looked at still counts.
#[test]
fn a_condition_that_no_action_knows_is_refused() {
    let auth = auth();
    let policy = |action: &str, condition: &str| {
        format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":"*","Action":{action},
            "Resource":["arn:aws:s3:::bucket","arn:aws:s3:::bucket/*"],"Condition":{{"StringLike":{{"{condition}":"x"}}}}}}]}}"#
        )
    };
    for (action, condition) in [
        (r#""s3:GetObject""#, "s3:prefix"),
        (r#"["s3:GetObject","s3:PutObject"]"#, "s3:delimiter"),
        (r#""s3:ListBucket""#, "s3:x-amz-acl"),
        (r#""s3:GetObject""#, "s3:x-amz-storage-class"),
        (r#""s3:ListBucket""#, "s3:ExistingObjectTag/a"),
        (r#""s3:DeleteObject""#, "s3:RequestObjectTag/a"),
    ] {
        let text = policy(action, condition);
        let e = auth.compile_bucket_policy(&bucket_name("bucket"), text.as_bytes()).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::MalformedPolicy, "{action} {condition}");
        assert!(e.message().contains("Conditions do not apply to combination of actions and resources"), "{}", e.message());
        auth.open_bucket_policy(&bucket_name("bucket"), text.as_bytes()).unwrap();
    }
    for (action, condition) in [
        (r#"["s3:GetObject","s3:ListBucket"]"#, "s3:prefix"),
        (r#""s3:*""#, "s3:x-amz-acl"),
        (r#""s3:GetObject""#, "aws:Referer"),
        (r#""s3:GetObject""#, "s3:ExistingObjectTag/a"),
        (r#""s3:PutObject""#, "s3:x-amz-grant-full-control"),
    ] {
        auth.compile_bucket_policy(&bucket_name("bucket"), policy(action, condition).as_bytes()).unwrap();
    }
}
