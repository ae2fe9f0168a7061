//! A signature used for another request, another time, another host; credentials that are none.

use crate::s3::attacks::gateway;
use crate::support::client::{Request, Sign};
use crate::support::gateway::acme;
use crate::support::signer::Key;

#[test]
fn a_signature_fits_no_other_request() {
    let (_gateway, mut client) = gateway();
    let get = Request::on("GET", "acme-bucket", "secret");
    for presigned in [false, true] {
        let key = acme();
        let sign = if presigned { Sign::Presigned(&key) } else { Sign::Header(&key) };
        let (head, _) = get.head(&client.host, sign);
        client.send_as_is("GET", head.as_bytes()).expect(200);
        let replays = [
            ("host", head.replace(&format!("host: {}", client.host), "host: s3.example.com")),
            ("port", head.replace(&format!("host: {}", client.host), "host: 127.0.0.1:1")),
            ("method", head.replacen("GET", "DELETE", 1)),
            ("path", head.replacen("/acme-bucket/secret", "/acme-bucket/secret2", 1)),
            ("bucket", head.replacen("/acme-bucket/secret", "/bravo-bucket/secret", 1)),
            ("double slash", head.replacen("/acme-bucket/secret", "//acme-bucket/secret", 1)),
            ("query", head.replacen("/acme-bucket/secret", "/acme-bucket/secret?acl", 1).replacen("?acl?", "?acl&", 1)),
            ("access key", head.replace("AKACME", "AKBRAVO")),
        ];
        for (what, replay) in replays {
            assert_ne!(replay, head);
            let method = if what == "method" { "DELETE" } else { "GET" };
            let answer = client.send_as_is(method, replay.as_bytes());
            assert!(matches!(answer.status, 400 | 403), "{what} {presigned}: {} {}", answer.status, answer.text());
            assert!(!answer.text().contains("acme's secret"));
        }
    }
    // A forged host list does not help: the host in X-Forwarded-Host is believed from nobody here.
    let mut forwarded = get.clone().header("x-forwarded-host", "s3.example.com");
    forwarded.unsigned.push("x-forwarded-host".into());
    forwarded.signed_host = Some("s3.example.com".into());
    client.send(&forwarded, Sign::Header(&acme())).refused(403, "SignatureDoesNotMatch");
    assert_eq!(client.get(&acme(), "acme-bucket", "secret").expect(200).body, b"acme's secret");
}

#[test]
fn time_is_part_of_a_signature() {
    let (_gateway, mut client) = gateway();
    let get = || Request::on("GET", "acme-bucket", "secret");
    for clock in [-14 * 60, 14 * 60] {
        client.send(&get().clock(clock), Sign::Header(&acme())).expect(200);
    }
    for clock in [-16 * 60, 16 * 60, -86_400 * 400] {
        client.send(&get().clock(clock), Sign::Header(&acme())).refused(403, "RequestTimeTooSkewed");
    }
    let presigned = |clock: i64, expires: u64| Request { expires, ..get().clock(clock) };
    client.send(&presigned(-3000, 3600), Sign::Presigned(&acme())).expect(200);
    client.send(&presigned(-3700, 3600), Sign::Presigned(&acme())).refused(403, "AccessDenied");
    client.send(&presigned(16 * 60, 3600), Sign::Presigned(&acme())).refused(403, "AccessDenied");
    client.send(&presigned(0, 0), Sign::Presigned(&acme())).refused(400, "AuthorizationQueryParametersError");
    for expires in [604_801, u64::MAX] {
        client.send(&presigned(0, expires), Sign::Presigned(&acme())).refused(400, "AuthorizationQueryParametersError");
    }
    // Longer than signed.
    let (head, _) = presigned(-3700, 3600).head(&client.host, Sign::Presigned(&acme()));
    let longer = head.replace("X-Amz-Expires=3600", "X-Amz-Expires=7200");
    client.send_as_is("GET", longer.as_bytes()).refused(403, "SignatureDoesNotMatch");
    let twice = head.replace("X-Amz-Expires=3600", "X-Amz-Expires=3600&X-Amz-Expires=7200");
    client.send_as_is("GET", twice.as_bytes()).refused(400, "AuthorizationQueryParametersError");
}

#[test]
fn broken_credentials_never_become_anonymous() {
    let (_gateway, mut client) = gateway();
    let policy = r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::acme-bucket/*"},"Version":"2012-10-17"}"#;
    client.send(&Request::new("PUT", "/acme-bucket").query("policy", "").body(policy), Sign::Header(&acme())).expect(204);
    let get = || Request::on("GET", "acme-bucket", "secret");
    client.send(&get(), Sign::No).expect(200);
    client.send(&get(), Sign::Header(&Key::new("AKACME", "wrong"))).refused(403, "SignatureDoesNotMatch");
    client.send(&get(), Sign::Header(&Key::new("AKNOBODY", "wrong"))).refused(403, "InvalidAccessKeyId");
    for authorization in ["", " ", "Basic YTpi", "AWS AKACME:AAAA", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 Credential=", "\u{e9}"] {
        let answer = client.send(&get().header("authorization", authorization), Sign::No);
        assert!(matches!(answer.status, 400 | 403), "{authorization:?}: {}", answer.status);
    }
    for (name, value) in [("X-Amz-Signature", "0"), ("X-Amz-Credential", "x"), ("AWSAccessKeyId", "AKACME"), ("Signature", "x")] {
        let answer = client.send(&get().query(name, value), Sign::No);
        assert!(matches!(answer.status, 400 | 403), "{name}: {}", answer.status);
    }
    let (head, _) = get().head(&client.host, Sign::Presigned(&acme()));
    let both = head.replace("\r\n\r\n", "\r\nauthorization: AWS4-HMAC-SHA256 x\r\n\r\n");
    client.send_as_is("GET", both.as_bytes()).refused(400, "InvalidArgument");
}
