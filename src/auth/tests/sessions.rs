//! Temporary credentials: what they open, and what ends them.

use http::Method;

use super::policies::bucket;
use super::*;
use crate::auth::keys::{Secret, SigningKey};
use crate::auth::session::{Temporary, Wanted};
use crate::auth::{Action, Target, TokenSecrets};
use crate::base::error::ErrorKind;
use crate::base::names::TenantId;

const READ_ONLY: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject","s3:ListBucket"],"Resource":"*"}]}"#;
const ROLE: &str =
    "name = \"reader\"\ntenant = \"acme\"\npolicies = [\"read-only\"]\nmax_seconds = 7200\ntenants = [\"acme\", \"rival\"]\n";

fn made() -> (tempfile::TempDir, Auth) {
    let dir = folder();
    write(dir.path(), "read-only.json", READ_ONLY);
    write(dir.path(), "roles/reader.toml", ROLE);
    let auth = auth_in(dir.path());
    auth.set_token_secrets(TokenSecrets::new().unwrap());
    (dir, auth)
}

fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).unwrap()
}

fn wanted(role: Option<&str>, policy: Option<&str>) -> Wanted {
    let by = AccessKeyId::parse("AKACME").ok();
    Wanted {
        tenant: tenant("acme"),
        role: role.map(Into::into),
        name: "run-7".into(),
        seconds: 3600,
        policy: policy.map(str::to_owned),
        by,
    }
}

fn begun(auth: &Auth, role: Option<&str>, policy: Option<&str>) -> Temporary {
    auth.begin_session(wanted(role, policy), NOW).unwrap()
}

/// A GET signed with temporary credentials, in the header.
fn signed(session: &Temporary, token: &str, now: Timestamp) -> Parts {
    let request = http::Request::get("/bucket/key").header("x-amz-security-token", token).header("x-amz-date", now.amz_date());
    let mut parts = super::sign(request, &["x-amz-security-token"]);
    let scope = format!("{}/us-east-1/s3/aws4_request", &now.amz_date()[..8]);
    let signed_headers = "host;x-amz-content-sha256;x-amz-date;x-amz-security-token";
    let canonical = crate::auth::canonical::Request::new(&parts, signed_headers, "UNSIGNED-PAYLOAD").canonical(&Default::default());
    let string = crate::auth::canonical::string_to_sign(&now.amz_date(), &scope, &canonical);
    let key = SigningKey::derive(&Secret::new(session.secret.expose()), &now.amz_date()[..8], "us-east-1");
    let signature = hex::encode(key.sign(string.as_bytes()));
    let access = &session.access_key;
    let header = format!("AWS4-HMAC-SHA256 Credential={access}/{scope}, SignedHeaders={signed_headers}, Signature={signature}");
    parts.headers.insert("authorization", header.parse().unwrap());
    parts
}

fn ask_at(auth: &Auth, session: &Temporary, token: &str, now: Timestamp) -> Result<Caller, ErrorKind> {
    let parts = signed(session, token, now);
    auth.authenticate(&RequestFacts { now, ..facts(&parts) }).map_err(|e| e.kind())
}

fn asks(auth: &Auth, session: &Temporary) -> Result<Caller, ErrorKind> {
    ask_at(auth, session, &session.token, NOW)
}

fn later(seconds: u64) -> Timestamp {
    Timestamp::from_secs(NOW.secs() + seconds)
}

fn may(auth: &Auth, caller: &Caller, action: Action, owner: &str) -> bool {
    let parts = parts(http::Request::get("/bucket/key"));
    let (bucket, key) = (bucket(owner), key("key"));
    let target = Target::Object { bucket: &bucket, key: &key, version: Default::default(), object: None };
    auth.authorize(caller, action, target, &facts(&parts)).is_ok()
}

#[test]
fn a_session_is_its_tenant() {
    let (_dir, auth) = made();
    let session = begun(&auth, None, None);
    let caller = asks(&auth, &session).unwrap();
    assert_eq!(caller.identity.id(), &tenant("acme"));
    assert!(may(&auth, &caller, Action::PutObject, "acme") && !may(&auth, &caller, Action::GetObject, "rival"));
    // Again, out of what is kept.
    assert!(asks(&auth, &session).is_ok());
    assert!(format!("{caller:?}").contains("session") && !format!("{caller:?}").contains(session.secret.expose()));
}

#[test]
fn a_role_and_a_policy_narrow_it() {
    let (_dir, auth) = made();
    let of = |role, policy: Option<&str>| asks(&auth, &begun(&auth, role, policy)).unwrap();
    let by_role = of(Some("reader"), None);
    assert!(may(&auth, &by_role, Action::GetObject, "acme") && !may(&auth, &by_role, Action::PutObject, "acme"));
    let writes = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:PutObject","Resource":"arn:aws:s3:::bucket/*"}]}"#;
    let by_policy = of(None, Some(writes));
    assert!(!may(&auth, &by_policy, Action::GetObject, "acme") && may(&auth, &by_policy, Action::PutObject, "acme"));
    let both = of(Some("reader"), Some(writes));
    assert!(!may(&auth, &both, Action::GetObject, "acme") && !may(&auth, &both, Action::PutObject, "acme"));
    // What others open to its tenant opens no more to it.
    let everything = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#;
    assert!(!may(&auth, &of(None, Some(everything)), Action::GetObject, "rival"));
    for bad in
        ["", "{}", "x", r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"*"}]}"#]
    {
        assert_eq!(
            auth.begin_session(wanted(None, Some(bad)), NOW).map(drop).map_err(|e| e.kind()),
            Err(ErrorKind::MalformedPolicy),
            "{bad}"
        );
    }
    let long = format!("{everything}{}", " ".repeat(2048));
    assert_eq!(auth.begin_session(wanted(None, Some(&long)), NOW).map(drop).map_err(|e| e.kind()), Err(ErrorKind::PackedPolicyTooLarge));
}

#[test]
fn what_is_no_token_of_ours() {
    let (_dir, auth) = made();
    let (session, other) = (begun(&auth, None, None), begun(&auth, None, None));
    let invalid = |token: &str| assert_eq!(ask_at(&auth, &session, token, NOW).map(drop), Err(ErrorKind::InvalidToken), "{token}");
    // That of another key, cut, and changed in each place.
    invalid(&other.token);
    invalid("x");
    invalid(&session.token[..session.token.len() - 2]);
    for at in 0..session.token.len() {
        let mut changed = session.token.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        // The last digit's low bits say nothing.
        if at + 1 < session.token.len() {
            invalid(&changed);
        }
    }
    // Without it the key is unknown, and a key that lasts has none.
    let mut parts = signed(&session, &session.token, NOW);
    parts.headers.remove("x-amz-security-token");
    assert_eq!(ask(&auth, &parts).unwrap_err().kind(), ErrorKind::InvalidArgument);
    let lasting = super::sign(http::Request::get("/bucket/key").header("x-amz-security-token", &*session.token), &["x-amz-security-token"]);
    assert_eq!(ask(&auth, &lasting).unwrap_err().kind(), ErrorKind::InvalidToken);
    // Not signed: somebody put it there.
    let unsigned = super::sign(http::Request::get("/bucket/key").header("x-amz-security-token", &*session.token), &[]);
    assert_eq!(ask(&auth, &unsigned).unwrap_err().kind(), ErrorKind::AccessDenied);
    // Another store's secret.
    auth.set_token_secrets(TokenSecrets::new().unwrap());
    assert_eq!(asks(&auth, &session).map(drop), Err(ErrorKind::InvalidToken));
}

#[test]
fn what_ends_a_session() {
    let (dir, auth) = made();
    let session = begun(&auth, None, None);
    assert!(ask_at(&auth, &session, &session.token, later(3599)).is_ok());
    assert_eq!(ask_at(&auth, &session, &session.token, later(3600)).map(drop), Err(ErrorKind::ExpiredToken));
    // Two changes of the shared secret.
    let rotated = auth.token_secrets().unwrap().rotated().unwrap();
    auth.set_token_secrets(rotated.clone());
    assert!(asks(&auth, &session).is_ok());
    auth.set_token_secrets(rotated.rotated().unwrap());
    assert_eq!(asks(&auth, &session).map(drop), Err(ErrorKind::InvalidToken));
    let (session, role) = (begun(&auth, None, None), begun(&auth, Some("reader"), None));
    // The role is gone.
    std::fs::remove_file(dir.path().join("roles/reader.toml")).unwrap();
    auth.reload().unwrap();
    assert_eq!(asks(&auth, &role).map(drop), Err(ErrorKind::InvalidToken));
    assert!(asks(&auth, &session).is_ok());
    // Revoked, by the tenant's file.
    let file = |more: &str, key: &str| write(dir.path(), "tenants/acme.toml", &format!("{more}{}", tenant_file("acme", key, SECRET)));
    file("tokens_valid_after = 2013-05-24T00:00:01Z\n", "AKACME");
    auth.reload().unwrap();
    assert_eq!(asks(&auth, &session).map(drop), Err(ErrorKind::ExpiredToken));
    file("tokens_valid_after = \"2013-05-24T00:00:00Z\"\n", "AKACME");
    auth.reload().unwrap();
    assert!(asks(&auth, &session).is_ok());
    // The key that asked for it was taken away.
    file("", "AKACME2");
    auth.reload().unwrap();
    assert_eq!(asks(&auth, &session).map(drop), Err(ErrorKind::InvalidToken));
}

#[test]
fn files_of_roles() {
    let faults = |role: &str, provider: &str| {
        let dir = folder();
        write(dir.path(), "read-only.json", READ_ONLY);
        write(dir.path(), "roles/a.toml", role);
        if !provider.is_empty() {
            write(dir.path(), "identity-providers/a.toml", provider);
        }
        match Auth::new(Settings::default(), dir.path().to_owned(), operator()) {
            Ok(_) => String::new(),
            Err(faults) => faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        }
    };
    let provider = "issuer = \"https://a.test\"\naudiences = [\"sts.amazonaws.com\"]\n";
    let web = "[[web_identity]]\nissuer = \"https://a.test\"\nclaims = { sub = \"repo:acme/*\", env = [\"a\", \"b\"] }\n";
    assert_eq!(faults(ROLE, ""), "");
    assert_eq!(faults(&format!("{ROLE}{web}"), provider), "");
    assert_eq!(faults(&format!("name = \"any\"\ntenant_claim = \"tenant\"\n{web}"), provider), "");
    for (role, provider, fault) in [
        ("tenant = \"acme\"\n", "", "name: a name of"),
        ("name = \"a\"\n", "", "tenant: either tenant"),
        ("name = \"a\"\ntenant = \"operator\"\n", "", "tenant: the id of a tenant"),
        ("name = \"a\"\ntenant = \"nobody\"\n", "", "no usable tenant nobody"),
        (&ROLE.replace("7200", "60"), "", "max_seconds: 900 to 43200"),
        (&ROLE.replace("read-only", "none"), "", "policies[0]: there is no usable policy"),
        (&format!("{ROLE}{web}"), "", "has the issuer https://a.test"),
        (&format!("{ROLE}[[web_identity]]\nissuer = \"https://a.test\"\n"), provider, "which of the issuer's tokens?"),
        (&format!("{ROLE}other = 1\n"), "", "other: not known here"),
        (ROLE, "issuer = \"http://a.test\"\naudiences = [\"x\"]\n", "issuer: an address that begins with https://"),
        (ROLE, "issuer = \"https://a.test\"\n", "audiences: for whom tokens are"),
        ("name = \"a\"\ntenant_claim = \"t\"\ntenants = [\"acme\"]\n", "", "taken by tokens alone"),
    ] {
        assert!(faults(role, provider).contains(fault), "{fault}: {}", faults(role, provider));
    }
    assert_eq!(faults(ROLE, "issuer = \"http://127.0.0.1:1\"\naudiences = [\"x\"]\nlocal = true\n"), "");
}

#[test]
fn a_presigned_url_has_its_token_in_the_query() {
    let (_dir, auth) = made();
    let session = begun(&auth, None, None);
    let date = NOW.amz_date();
    let scope = format!("{}/us-east-1/s3/aws4_request", &date[..8]);
    let query = |token: &str| {
        format!(
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}%2F{}&X-Amz-Date={date}&X-Amz-Expires=300&X-Amz-Security-Token={token}&X-Amz-SignedHeaders=host",
            session.access_key,
            scope.replace('/', "%2F"),
        )
    };
    let request =
        |query: &str| parts(http::Request::builder().method(Method::GET).uri(format!("/bucket/key?{query}")).header("host", HOST));
    let of = request(&query(&session.token));
    let canonical = crate::auth::canonical::Request::new(&of, "host", "UNSIGNED-PAYLOAD").canonical(&Default::default());
    let string = crate::auth::canonical::string_to_sign(&date, &scope, &canonical);
    let signature = hex::encode(SigningKey::derive(&session.secret, &date[..8], "us-east-1").sign(string.as_bytes()));
    let good = request(&format!("{}&X-Amz-Signature={signature}", query(&session.token)));
    assert!(ask(&auth, &good).unwrap().session.is_some());
    let other = begun(&auth, None, None);
    let bad = request(&format!("{}&X-Amz-Signature={signature}", query(&other.token)));
    assert_eq!(ask(&auth, &bad).unwrap_err().kind(), ErrorKind::InvalidToken);
    let mut both = good;
    both.headers.insert("x-amz-security-token", session.token.parse().unwrap());
    assert_eq!(ask(&auth, &both).unwrap_err().kind(), ErrorKind::AuthorizationQueryParametersError);
}
