//! Temporary credentials through the door: who gets them, what they open, and what is refused. SDKs' own providers are in tests/clients.

use serde_json::json;
use tidegate::http::xml::Element;

use crate::support::client::{Answer, Client, Request, Sign};
use crate::support::form::{Form, Version};
use crate::support::gateway::{Gateway, Setup, acme, bravo, operator};
use crate::support::identity_provider::IdentityProvider;
use crate::support::signer::{Key, encode};

const READ_ONLY: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject","s3:ListBucket"],"Resource":"*"}]}"#;
const ROLE: &str = "arn:aws:iam::acme:role/reader";

fn started(provider: Option<&IdentityProvider>) -> (Gateway, Client) {
    let mut setup = Setup::new();
    let mut role =
        "name = \"reader\"\ntenant = \"acme\"\npolicies = [\"read-only\"]\nmax_seconds = 7200\ntenants = [\"bravo\"]\n".to_owned();
    setup.files.push(("read-only.json".into(), READ_ONLY.into()));
    if let Some(provider) = provider {
        let issuer = provider.issuer();
        let text = format!("issuer = \"{issuer}\"\naudiences = [\"sts.amazonaws.com\"]\nlocal = true\n");
        setup.files.push(("identity-providers/here.toml".into(), text));
        let trust = format!("[[web_identity]]\nissuer = \"{issuer}\"\nclaims = {{ sub = \"repo:acme/*\" }}\n");
        role.push_str(&trust);
        let of_claim = format!("name = \"of-claim\"\ntenant_claim = \"tenant\"\npolicies = [\"tenant-default\"]\n{trust}");
        setup.files.push(("roles/of-claim.toml".into(), of_claim));
    }
    setup.files.push(("roles/reader.toml".into(), role));
    let gateway = setup.start();
    let mut client = gateway.client();
    client.make_bucket(&acme(), "media");
    client.put(&acme(), "media", "k", b"content").expect(200);
    (gateway, client)
}

fn ask(parameters: &[(&str, &str)]) -> Request {
    let body: Vec<String> = [("Version", "2011-06-15")].iter().chain(parameters).map(|(n, v)| format!("{n}={}", encode(v))).collect();
    let request = Request::new("POST", "/").header("content-type", "application/x-www-form-urlencoded; charset=utf-8").body(body.join("&"));
    Request { service: "sts", ..request }
}

fn sts(client: &mut Client, sign: Sign<'_>, parameters: &[(&str, &str)]) -> Answer {
    client.send(&ask(parameters), sign)
}

fn code(answer: &Answer) -> (u16, String) {
    let document = Element::parse(&answer.body, "ErrorResponse").unwrap_or_else(|e| panic!("{e}: {} {}", answer.status, answer.text()));
    (answer.status, document.child("Error").and_then(|e| e.text_of("Code")).unwrap_or_default().to_owned())
}

/// Key and token out of an answer.
fn session(answer: Answer, action: &str) -> (Key, String) {
    let document = answer.expect(200).xml(&format!("{action}Response"));
    let credentials = document.child(&format!("{action}Result")).and_then(|r| r.child("Credentials")).unwrap();
    let text = |name: &str| credentials.text_of(name).unwrap().to_owned();
    (Key::new(&text("AccessKeyId"), &text("SecretAccessKey")), text("SessionToken"))
}

pub fn with_token(request: Request, token: &str) -> Request {
    request.header("x-amz-security-token", token)
}

pub fn get_session_token(client: &mut Client, key: &Key) -> (Key, String) {
    session(sts(client, Sign::Header(key), &[("Action", "GetSessionToken"), ("DurationSeconds", "900")]), "GetSessionToken")
}

fn get(client: &mut Client, (key, token): &(Key, String)) -> Answer {
    client.send(&with_token(Request::on("GET", "media", "k"), token), Sign::Header(key))
}

fn put(client: &mut Client, (key, token): &(Key, String)) -> Answer {
    client.send(&with_token(Request::on("PUT", "media", "k").body("new"), token), Sign::Header(key))
}

#[test]
fn a_tenants_own_session() {
    let (_gateway, mut client) = started(None);
    let own =
        session(sts(&mut client, Sign::Header(&acme()), &[("Action", "GetSessionToken"), ("DurationSeconds", "900")]), "GetSessionToken");
    get(&mut client, &own).expect(200);
    put(&mut client, &own).expect(200);
    let (key, token) = &own;
    // Presigned, and in a form of either version.
    let presigned = Request::on("GET", "media", "k").query("X-Amz-Security-Token", token);
    client.send(&presigned, Sign::Presigned(key)).expect(200);
    client.send(&Request::on("GET", "media", "k"), Sign::Presigned(key)).refused(403, "InvalidAccessKeyId");
    for version in [Version::V4, Version::V2] {
        let form = Form::new("media", "by/form", "x").field("x-amz-security-token", token).signed(key, version);
        client.send(&form.request(), Sign::No).expect(204);
        let without = Form::new("media", "by/form", "x").signed(key, version);
        client.send(&without.request(), Sign::No).refused(403, "InvalidAccessKeyId");
        let uncovered = Form::new("media", "by/form", "x").uncovered("x-amz-security-token", token).signed(key, version);
        client.send(&uncovered.request(), Sign::No).refused(403, "AccessDenied");
    }
    // Without its token, with another one, with a changed one.
    client.send(&Request::on("GET", "media", "k"), Sign::Header(key)).refused(403, "InvalidAccessKeyId");
    let other = session(sts(&mut client, Sign::Header(&acme()), &[("Action", "GetSessionToken")]), "GetSessionToken");
    get(&mut client, &(key.clone(), other.1)).refused(400, "InvalidToken");
    let changed = token.replace(&token[30..31], if &token[30..31] == "A" { "B" } else { "A" });
    get(&mut client, &(key.clone(), changed)).refused(400, "InvalidToken");
    client.send(&with_token(Request::on("GET", "media", "k"), token), Sign::Header(&acme())).refused(400, "InvalidToken");
    // It asks for no other one, and not for what is about its tenant as a whole.
    let next = with_token(ask(&[("Action", "GetSessionToken")]), token);
    assert_eq!(code(&client.send(&next, Sign::Header(key))), (403, "AccessDenied".into()));
    let api = with_token(Request::new("GET", "/-/v1/jobs"), token);
    assert_eq!(client.send(&api, Sign::Header(key)).status, 403);
    assert_eq!(code(&sts(&mut client, Sign::Header(&operator()), &[("Action", "GetSessionToken")])), (403, "AccessDenied".into()));
}

#[test]
fn a_role_opens_what_it_says_and_no_more() {
    let (_gateway, mut client) = started(None);
    let parameters = [("Action", "AssumeRole"), ("RoleArn", ROLE), ("RoleSessionName", "run-7")];
    // Bravo may nothing in acme's bucket but by the role.
    client.get(&bravo(), "media", "k").refused(403, "AccessDenied");
    let answer = sts(&mut client, Sign::Header(&bravo()), &parameters);
    assert!(answer.text().contains("<Arn>arn:aws:sts::acme:assumed-role/reader/run-7</Arn>"), "{}", answer.text());
    let role = session(answer, "AssumeRole");
    get(&mut client, &role).expect(200);
    put(&mut client, &role).refused(403, "AccessDenied");
    let identity = with_token(ask(&[("Action", "GetCallerIdentity")]), &role.1);
    let told = client.send(&identity, Sign::Header(&role.0)).expect(200).text();
    assert!(told.contains("<Account>acme</Account>") && told.contains("<UserId>reader:run-7</UserId>"), "{told}");
    // A policy of the session narrows it.
    let policy = READ_ONLY.replace("\"Resource\":\"*\"", "\"Resource\":\"arn:aws:s3:::media/other/*\"");
    let narrowed = session(sts(&mut client, Sign::Header(&bravo()), &[&parameters[..], &[("Policy", &policy)]].concat()), "AssumeRole");
    get(&mut client, &narrowed).refused(403, "AccessDenied");
    // Refusals.
    let mut refused = |key: &Key, change: &[(&str, &str)], expected: (u16, &str)| {
        let mut asked: Vec<(&str, &str)> = parameters.to_vec();
        for (name, value) in change {
            asked.retain(|(n, _)| n != name);
            asked.push((name, value));
        }
        let answer = sts(&mut client, Sign::Header(key), &asked);
        assert_eq!(code(&answer), (expected.0, expected.1.to_owned()), "{change:?} {}", answer.text());
    };
    refused(&acme(), &[], (403, "AccessDenied"));
    refused(&bravo(), &[("RoleArn", "arn:aws:iam::acme:role/none")], (403, "AccessDenied"));
    refused(&bravo(), &[("RoleArn", "reader")], (400, "ValidationError"));
    refused(&bravo(), &[("RoleSessionName", "a b")], (400, "ValidationError"));
    refused(&bravo(), &[("DurationSeconds", "899")], (400, "ValidationError"));
    refused(&bravo(), &[("DurationSeconds", "7201")], (400, "ValidationError"));
    refused(&bravo(), &[("Policy", "{}")], (400, "MalformedPolicyDocument"));
    refused(&bravo(), &[("PolicyArns.member.1.arn", "arn:aws:iam::aws:policy/X")], (400, "ValidationError"));
    refused(&bravo(), &[("Tags.member.1.Key", "a")], (400, "ValidationError"));
    refused(&bravo(), &[("Action", "AssumeRoleWithSAML")], (400, "InvalidAction"));
    refused(&bravo(), &[("Version", "2010-01-01")], (400, "ValidationError"));
    refused(&Key::new("AKBRAVO", "wrong"), &[], (403, "SignatureDoesNotMatch"));
    refused(&Key::new("AKNONE", "wrong"), &[], (403, "InvalidClientTokenId"));
    assert_eq!(code(&sts(&mut client, Sign::No, &parameters)), (403, "MissingAuthenticationToken".into()));
    // Signed for S3, it is no request to STS.
    let for_s3 = Request { service: "s3", ..ask(&parameters) };
    assert_eq!(code(&client.send(&for_s3, Sign::Header(&bravo()))), (400, "AuthorizationHeaderMalformed".into()));
    // The body is what was signed.
    let swapped = Request { payload_hash: Some("0".repeat(64)), ..ask(&parameters) };
    assert_eq!(code(&client.send(&swapped, Sign::Header(&bravo()))), (403, "SignatureDoesNotMatch".into()));
}

#[test]
fn who_one_is_also_by_a_presigned_get() {
    let (_gateway, mut client) = started(None);
    let request = Request::new("GET", "/").query("Action", "GetCallerIdentity").query("Version", "2011-06-15");
    let request = Request { service: "sts", ..request };
    for sign in [Sign::Presigned(&acme()), Sign::Header(&acme())] {
        let told = client.send(&request, sign).expect(200).text();
        assert!(told.contains("<Arn>arn:aws:iam:::user/acme</Arn>") && told.contains("<Account>acme</Account>"), "{told}");
    }
    // Still S3's.
    client.send(&Request::new("GET", "/"), Sign::Header(&acme())).expect(200);
    client.send(&Request::new("POST", "/"), Sign::Header(&acme())).refused(405, "MethodNotAllowed");
}

#[test]
fn a_token_of_another_provider() {
    let provider = IdentityProvider::start();
    let (_gateway, mut client) = started(Some(&provider));
    let mut asked = |token: &str, role: &str| {
        let role = format!("arn:aws:iam::acme:role/{role}");
        let parameters =
            [("Action", "AssumeRoleWithWebIdentity"), ("RoleArn", &*role), ("RoleSessionName", "ci"), ("WebIdentityToken", token)];
        sts(&mut client, Sign::No, &parameters)
    };
    let good = provider.claims(json!({}));
    let mut sessions = Vec::new();
    for (algorithm, key) in [("RS256", "rsa"), ("ES256", "ec")] {
        let answer = asked(&provider.token(algorithm, key, &good), "reader");
        assert!(answer.text().contains("<SubjectFromWebIdentityToken>repo:acme/site</SubjectFromWebIdentityToken>"), "{}", answer.text());
        sessions.push(session(answer, "AssumeRoleWithWebIdentity"));
    }
    let of = |more| provider.token("RS256", "rsa", &provider.claims(more));
    let by_claim =
        session(asked(&of(json!({ "tenant": "acme", "aud": ["x", "sts.amazonaws.com"] })), "of-claim"), "AssumeRoleWithWebIdentity");
    let now = provider.claims(json!({}))["iat"].as_u64().unwrap();
    let none = provider.token("none", "rsa", &good);
    let (head, rest) = none.split_once('.').unwrap();
    let unsigned = format!("{head}.{}.", rest.trim_end_matches('.'));
    let genuine = of(json!({}));
    let (signed, signature) = genuine.rsplit_once('.').unwrap();
    let (head, _) = signed.split_once('.').unwrap();
    let other_claims = provider.token("RS256", "rsa", &provider.claims(json!({ "sub": "repo:acme/other" })));
    let mixed = format!("{head}.{}.{signature}", other_claims.split('.').nth(1).unwrap());
    let stranger = IdentityProvider::start();
    for (token, role, expected) in [
        (of(json!({ "exp": now - 100 })), "reader", (400, "ExpiredTokenException")),
        (of(json!({ "nbf": now + 600 })), "reader", (400, "InvalidIdentityToken")),
        (of(json!({ "aud": "another" })), "reader", (400, "InvalidIdentityToken")),
        (of(json!({ "exp": null })), "reader", (400, "InvalidIdentityToken")),
        (of(json!({ "iss": "https://accounts.example.com" })), "reader", (400, "InvalidIdentityToken")),
        (of(json!({ "sub": "repo:bravo/site" })), "reader", (403, "AccessDenied")),
        (of(json!({})), "none", (403, "AccessDenied")),
        (of(json!({ "tenant": "nobody" })), "of-claim", (403, "AccessDenied")),
        (of(json!({ "tenant": "operator" })), "of-claim", (403, "AccessDenied")),
        (of(json!({})), "of-claim", (403, "AccessDenied")),
        (unsigned, "reader", (400, "InvalidIdentityToken")),
        (mixed, "reader", (400, "InvalidIdentityToken")),
        // A key of one kind checks no signature of the other, and another provider's key is none.
        (provider.token("ES256", "rsa", &good), "reader", (400, "InvalidIdentityToken")),
        (provider.token("RS256", "secret", &good), "reader", (400, "InvalidIdentityToken")),
        (stranger.token("RS256", "rsa", &good), "reader", (400, "InvalidIdentityToken")),
        ("x.y".into(), "reader", (400, "InvalidIdentityToken")),
        ("a".repeat(20_001), "reader", (400, "InvalidIdentityToken")),
    ] {
        let answer = asked(&token, role);
        assert_eq!(code(&answer), (expected.0, expected.1.to_owned()), "{token} {}", answer.text());
    }
    // Discovery and keys, once; a key that is not known brings no more requests within half a minute.
    assert_eq!((provider.asked(), stranger.asked()), (2, 0));
    for session in &sessions {
        get(&mut client, session).expect(200);
        put(&mut client, session).refused(403, "AccessDenied");
    }
    put(&mut client, &by_claim).expect(200);
}

/// Sessions are the tenant's: its limits and its usage.
#[test]
fn a_session_has_its_tenants_limits_and_is_logged_as_it() {
    let mut setup = Setup::new();
    setup.tenant("small", "bytes = 10", &[("AKSMALL", "small-secret", "")]);
    let gateway = setup.start();
    let mut client = gateway.client();
    let small = Key::new("AKSMALL", "small-secret");
    client.make_bucket(&small, "tiny");
    let (key, token) = session(sts(&mut client, Sign::Header(&small), &[("Action", "GetSessionToken")]), "GetSessionToken");
    let put = |body: &str| with_token(Request::on("PUT", "tiny", "k").body(body), &token);
    client.send(&put("12345678901"), Sign::Header(&key)).refused(403, "QuotaExceeded");
    client.send(&put("1234567890"), Sign::Header(&key)).expect(200);
    let listed = client.send(&Request::new("GET", "/tiny").query("list-type", "2").query("fetch-owner", "true"), Sign::Header(&small));
    assert!(listed.text().contains("<ID>small</ID>"), "{}", listed.text());
}

#[test]
fn a_session_ends_when_its_tenant_says_so_and_lasts_over_a_restart() {
    let (mut gateway, mut client) = started(None);
    let own = session(sts(&mut client, Sign::Header(&acme()), &[("Action", "GetSessionToken")]), "GetSessionToken");
    gateway.restart(|_| {});
    let mut client = gateway.client();
    get(&mut client, &own).expect(200);
    let file = gateway.policies().join("tenants/acme.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    gateway.restart(|_| std::fs::write(&file, format!("tokens_valid_after = \"2999-01-01T00:00:00Z\"\n{text}")).unwrap());
    let mut client = gateway.client();
    get(&mut client, &own).refused(400, "ExpiredToken");
    client.get(&acme(), "media", "k").expect(200);
}
