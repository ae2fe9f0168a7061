//! CloudFront's signatures: those of its own signers open what they were made for, and nothing else opens anything.

use http::Method;
use http::request::Parts;
use proptest::prelude::*;

use super::url_keys::{OTHER_PRIVATE, RSA_PRIVATE, RSA_PUBLIC, auth_with_keys, folder_with_keys};
use super::{NOW, auth_in, bucket_name, facts, key, operator, parts, presigned};
use crate::auth::cloudfront::mint::Wanted;
use crate::auth::cloudfront::statement::Statement;
use crate::auth::url_key::{Hash, UrlKey};
use crate::auth::{Action, Auth, Caller, Carrier, Identity, Reading, Settings, Target, Via};
use crate::base::error::{ErrorKind, Result};
use crate::base::object::{Bucket, CannedAcl};
use crate::base::object_ref::{ObjectRef, VersionId, VersionSelector};
use crate::base::timestamp::Timestamp;

const CDN: &str = "cdn.example.com";
const PATH: &str = "/media/acme/a%20b.glb";
const END: u64 = NOW.secs() + 3600;

fn get(host: &str, target: &str) -> http::request::Builder {
    http::Request::builder().method(Method::GET).uri(target).header("host", host)
}

fn read(auth: &Auth, parts: &Parts) -> Result<Caller> {
    auth.authenticate_reader(&facts(parts), Reading::default())
}

/// Path and query of a URL on the CDN.
fn target(url: &str) -> &str {
    url.split_once(CDN).unwrap().1
}

fn raw_sign(pem: &str, hash: Hash, text: &str) -> String {
    use base64::Engine as _;
    let signature = UrlKey::from_private_pem(pem).unwrap().sign(hash, text.as_bytes()).unwrap();
    url_safe(&base64::engine::general_purpose::STANDARD.encode(signature))
}

fn url_safe(base64: &str) -> String {
    base64.replace('+', "-").replace('=', "_").replace('/', "~")
}

fn canned_text(url: &str, end: u64) -> String {
    format!(r#"{{"Statement":[{{"Resource":"{url}","Condition":{{"DateLessThan":{{"AWS:EpochTime":{end}}}}}}}]}}"#)
}

/// A canned URL of KRSA's for this URL.
fn canned(url: &str, end: u64) -> String {
    let signature = raw_sign(RSA_PRIVATE, Hash::Sha1, &canned_text(url, end));
    let glue = if url.contains('?') { '&' } else { '?' };
    format!("{url}{glue}Expires={end}&Signature={signature}&Key-Pair-Id=KRSA")
}

/// The query of a custom policy, signed by KRSA.
fn custom(policy: &str) -> String {
    use base64::Engine as _;
    let encoded = url_safe(&base64::engine::general_purpose::STANDARD.encode(policy));
    format!("Policy={encoded}&Signature={}&Key-Pair-Id=KRSA", raw_sign(RSA_PRIVATE, Hash::Sha1, policy))
}

#[test]
fn what_cloudfronts_signers_made_is_taken() {
    let auth = auth_with_keys();
    let mut seen = [0, 0, 0];
    for line in include_str!("keys/vectors.txt").lines().filter(|l| !l.starts_with('#')) {
        let (form, value) = line.split_once(' ').unwrap();
        let (carrier, request) = match form {
            "js-cookies" => (Carrier::Cookie, get(CDN, PATH).header("cookie", value)),
            _ => (Carrier::Query, get(CDN, target(value))),
        };
        let caller = read(&auth, &parts(request)).unwrap_or_else(|e| panic!("{line}: {e}"));
        assert_eq!(caller.identity.id().as_str(), "acme");
        assert!(matches!(caller.via, Via::CloudFront { carrier: by, .. } if by == carrier), "{:?}", caller.via);
        assert_eq!(caller.via.expires(), Some(Timestamp::from_secs(END)));
        seen[["boto", "js", "js-cookies"].iter().position(|f| *f == form).unwrap()] += 1;
        // The very same on the S3 door: a stranger, or refused, never acme.
        let on_s3 = auth.authenticate(&facts(&parts(match form {
            "js-cookies" => get(CDN, PATH).header("cookie", value),
            _ => get(CDN, target(value)),
        })));
        assert!(on_s3.is_err() || on_s3.unwrap().identity.is_anonymous(), "{line}");
    }
    assert!(seen.iter().all(|n| *n >= 4), "{seen:?}");
}

#[test]
fn nothing_else_opens_anything() {
    let auth = auth_with_keys();
    let url = format!("http://{CDN}{PATH}");
    let good = canned(&url, END);
    let with = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replacen(from, to, 1)
    };
    assert!(read(&auth, &parts(get(CDN, target(&good)))).is_ok());
    let signature = good.split("Signature=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let until = format!(r#""Condition":{{"DateLessThan":{{"AWS:EpochTime":{END}}}}}"#);
    let policy = |resource: &str| format!(r#"{{"Statement":[{{"Resource":"{resource}",{until}}}]}}"#);
    let on = |query: String| format!("{url}?{query}");
    let other_policy = custom(&policy("http://cdn.example.com/other/*"));
    let swapped = custom(&policy("*"));
    let swapped_policy = swapped.split('&').next().unwrap();
    let big = custom(&format!(r#"{{"Statement":[{{"Resource":"{}*",{until}}}]}}"#, "a".repeat(10_000)));
    let cases: Vec<(&str, String, &str)> = vec![
        ("expired", canned(&url, NOW.secs() - 1), "expired"),
        ("expires this second", canned(&url, NOW.secs()), "expired"),
        ("longer than signed", with(&format!("Expires={END}"), &format!("Expires={}", END + 1)), "does not match"),
        ("a leading zero", with("Expires=", "Expires=0"), "seconds since"),
        ("no number", with("Expires=", "Expires=x"), "seconds since"),
        ("an unknown key pair", with("KRSA", "KNONE"), "Unknown"),
        ("another's key pair", with("KRSA", "KRIVAL"), "does not match"),
        ("the other algorithm's key", with("KRSA", "KEC"), "does not match"),
        ("the other hash", format!("{good}&Hash-Algorithm=SHA256"), "does not match"),
        ("an unknown hash", format!("{good}&Hash-Algorithm=none"), "SHA1 or SHA256"),
        ("no hash", format!("{good}&Hash-Algorithm="), "SHA1 or SHA256"),
        ("another path", with("a%20b", "a%20c"), "does not match"),
        ("the same path otherwise encoded", with("a%20b", "%61%20b"), "does not match"),
        ("a parameter more", with("?Expires", "?x=1&Expires"), "does not match"),
        ("a truncated signature", with(&signature, &signature[..signature.len() - 4]), "does not match"),
        ("half a base64 group", with(&signature, &signature[..signature.len() - 1]), "base64"),
        ("base64 of the other alphabet", with(&signature, &format!("{}%2B{}", &signature[..8], &signature[9..])), "base64"),
        ("an empty signature", with(&signature, ""), "does not match"),
        ("a huge signature", with(&signature, &"A".repeat(4096)), "longer"),
        ("a signature twice", format!("{good}&Signature={signature}"), "more than once"),
        ("two ends", format!("{good}&Expires={END}"), "more than once"),
        ("two ends, one in disguise", format!("{good}&Expire%73={END}"), "more than once"),
        ("no signature", with(&format!("Signature={signature}&"), ""), "Missing Signature"),
        ("no key pair", with("&Key-Pair-Id=KRSA", ""), "Missing Key-Pair-Id"),
        ("no end", with(&format!("Expires={END}&"), ""), "Either"),
        ("policy and end", format!("{good}&{swapped_policy}"), "Either"),
        ("a policy for another URL", on(other_policy.clone()), "another URL"),
        (
            "a policy under another's signature",
            on(other_policy.replacen(other_policy.split('&').next().unwrap(), swapped_policy, 1)),
            "does not match",
        ),
        ("a policy of 10 KB", on(big), "longer than"),
        ("a policy that is no JSON", on(custom("Statement")), "malformed"),
        ("a policy for two", on(custom(&policy("*").replace("]}", &format!(",{{{until}}}]}}")))), "malformed"),
        ("a wildcard host that is not this", on(custom(&policy("http://*.example.org/*"))), "another URL"),
        ("a wildcard that ends elsewhere", on(custom(&policy("http://cdn.example.com/*.gltf"))), "another URL"),
        ("another scheme", on(custom(&policy("https://cdn.example.com/*"))), "another URL"),
        (
            "not yet",
            on(custom(&format!(
                r#"{{"Statement":[{{"Condition":{{"DateLessThan":{{"AWS:EpochTime":{END}}},"DateGreaterThan":{{"AWS:EpochTime":{}}}}}}}]}}"#,
                END - 1
            ))),
            "not valid yet",
        ),
        (
            "another address",
            on(custom(&format!(
                r#"{{"Statement":[{{"Condition":{{"DateLessThan":{{"AWS:EpochTime":{END}}},"IpAddress":{{"AWS:SourceIp":"198.51.100.0/24"}}}}}}]}}"#
            ))),
            "address",
        ),
    ];
    for (what, url, text) in cases {
        match read(&auth, &parts(get(CDN, target(&url)))) {
            Ok(caller) => panic!("{what}: opened for {:?}", caller.identity),
            Err(e) => assert!(e.kind() == ErrorKind::AccessDenied && e.message().contains(text), "{what}: {e}"),
        }
    }
}

#[test]
fn the_host_is_part_of_what_is_signed() {
    let auth = auth_with_keys();
    let url = format!("http://{CDN}{PATH}");
    let good = canned(&url, END);
    let refused =
        |request: http::request::Builder, reading: Reading<'_>| auth.authenticate_reader(&facts(&parts(request)), reading).is_err();
    assert!(refused(get("other.example.com", target(&good)), Reading::default()));
    assert!(refused(http::Request::get(target(&good)), Reading::default()), "no Host at all");
    assert!(!refused(get("CDN.example.com", target(&good)), Reading::default()), "host names have no case");
    // The name that the site is known by stands in for the one that a CDN asked with, and no other.
    let behind = Reading { known_as: Some("http://cdn.example.com"), ..Reading::default() };
    assert!(!refused(get("origin.internal:9080", target(&good)), behind));
    let elsewhere = Reading { known_as: Some("http://cdn.example.org"), ..Reading::default() };
    assert!(refused(get("origin.internal:9080", target(&good)), elsewhere));
    // A name of another site is none to sign for, whoever tells it.
    let other_site = Reading { is_site: &|host| !host.has_name(CDN), ..behind };
    assert!(refused(get("origin.internal:9080", target(&good)), other_site));
    let settings = Settings { trusted_proxies: vec!["192.0.2.0/24".parse().unwrap()], ..Settings::default() };
    let through_proxy = |reading: Reading<'_>| {
        let auth = Auth::new(settings.clone(), folder_with_keys().path().to_owned(), operator()).unwrap();
        let request = parts(get("origin.internal", target(&good)).header("x-forwarded-host", CDN));
        auth.authenticate_reader(&facts(&request), reading).is_err()
    };
    assert!(!through_proxy(Reading::default()) && through_proxy(Reading { is_site: &|host| !host.has_name(CDN), ..Reading::default() }));
    // Nobody moves the path by what he calls the host.
    let wide = custom(&format!(
        r#"{{"Statement":[{{"Resource":"http://{CDN}/public/*","Condition":{{"DateLessThan":{{"AWS:EpochTime":{END}}}}}}}]}}"#
    ));
    assert!(!refused(get(CDN, &format!("/public/x?{wide}")), Reading::default()));
    for host in ["cdn.example.com/public", "cdn.example.com/public/x?", "cdn.example.com#", "x@cdn.example.com"] {
        assert!(refused(get(host, &format!("/secret/x?{wide}")), Reading::default()), "{host}");
    }
    assert!(refused(get(CDN, &format!("/secret/x?{wide}")).header("x-forwarded-host", CDN), Reading::default()));
}

#[test]
fn of_two_credentials_none_is_guessed() {
    let auth = auth_with_keys();
    let good = canned(&format!("http://{CDN}{PATH}"), END);
    let query = good.split_once('?').unwrap().1.to_owned();
    let s3 = presigned(Method::GET, "k", &[]);
    for target in [format!("{s3}&{query}"), format!("{PATH}?{query}&AWSAccessKeyId=AKACME")] {
        assert_eq!(read(&auth, &parts(get(CDN, &target))).unwrap_err().kind(), ErrorKind::InvalidArgument, "{target}");
    }
    let with_header = get(CDN, target(&good)).header("authorization", "AWS4-HMAC-SHA256 x");
    assert_eq!(read(&auth, &parts(with_header)).unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn cookies_open_what_they_are_for_and_else_leave_a_stranger() {
    let auth = auth_with_keys();
    let url = format!("http://{CDN}{PATH}");
    let as_cookies = |signed: &str| {
        let query = signed.split_once('?').map_or(signed, |(_, q)| q);
        query.split('&').map(|p| format!("CloudFront-{p}")).collect::<Vec<_>>().join("; ")
    };
    let who = |request: http::request::Builder| read(&auth, &parts(request)).map(|c| c.identity.id().as_str().to_owned());
    let cookies = as_cookies(&canned(&url, END));
    assert_eq!(who(get(CDN, PATH).header("cookie", format!("a=b; {cookies}; c"))).unwrap(), "acme");
    assert_eq!(who(get(CDN, "/media/acme/other").header("cookie", &cookies)).unwrap(), "anonymous");
    assert_eq!(who(get(CDN, &format!("{PATH}?x=1")).header("cookie", &cookies)).unwrap(), "anonymous");
    let expired = as_cookies(&canned(&url, NOW.secs() - 5));
    assert_eq!(who(get(CDN, PATH).header("cookie", &expired)).unwrap(), "anonymous");
    // One header each, as HTTP/2 has them; the first set, of the longest path, counts.
    let mut request = get(CDN, PATH);
    for pair in cookies.split("; ").chain(expired.split("; ")) {
        request = request.header("cookie", pair);
    }
    assert_eq!(who(request).unwrap(), "acme");
    // A signed URL counts before cookies, also where it is a bad one.
    let bad = canned(&url, END).replace("KRSA", "KNONE");
    assert!(who(get(CDN, target(&bad)).header("cookie", &cookies)).is_err());
    // So does a signature of S3's.
    let s3 = http::Request::get(presigned(Method::GET, "k", &[])).header("host", super::HOST).header("cookie", &expired);
    assert!(matches!(read(&auth, &parts(s3)).unwrap().via, Via::Query { .. }));
}

fn bucket(name: &str, owner: &str) -> Bucket {
    let owner = crate::base::names::TenantId::parse(owner).unwrap();
    Bucket {
        name: bucket_name(name),
        owner,
        created: NOW,
        acl: CannedAcl::Private.into(),
        documents: Default::default(),
        generation: 1,
        unknown: Default::default(),
    }
}

#[test]
fn a_signature_reaches_as_far_as_its_tenant_and_its_key_and_only_reads() {
    let auth = auth_with_keys();
    let signed_by = |id: &str, pem: &str| {
        let text = canned_text(&format!("http://{CDN}{PATH}"), END);
        let query = format!("Expires={END}&Signature={}&Key-Pair-Id={id}", raw_sign(pem, Hash::Sha1, &text));
        read(&auth, &parts(get(CDN, &format!("{PATH}?{query}")))).unwrap()
    };
    let rsa = signed_by("KRSA", RSA_PRIVATE);
    let ec = signed_by("KEC", super::url_keys::EC_PRIVATE);
    let top = signed_by("KTOP", OTHER_PRIVATE);
    let request = parts(get(CDN, PATH));
    let may = |caller: &Caller, action: Action, bucket: &Bucket, object: &str| {
        let (key, context) = (key(object), facts(&request));
        let may = auth
            .authorize(caller, action, Target::Object { bucket, key: &key, version: VersionSelector::Current, object: None }, &context)
            .is_ok();
        if !may && action == Action::GetObject {
            assert!(!auth.may_know_absence(caller, bucket, ObjectRef::current(&bucket.name, &key), &context), "{object}");
        }
        may
    };
    let (own, media, rivals) = (bucket("own", "acme"), bucket("media", "operator"), bucket("rivals", "rival"));
    assert!(may(&rsa, Action::GetObject, &own, "x") && may(&rsa, Action::GetObject, &media, "acme/x"));
    assert!(!may(&rsa, Action::GetObject, &media, "rival/x") && !may(&rsa, Action::GetObject, &rivals, "acme/x"));
    assert!(may(&ec, Action::GetObject, &media, "acme/x"));
    assert!(!may(&ec, Action::GetObject, &own, "acme/x") && !may(&ec, Action::GetObject, &media, "acme2/x"));
    assert!(may(&top, Action::GetObject, &media, "top/x"));
    assert!(!may(&top, Action::GetObject, &media, "acme/x") && !may(&top, Action::GetObject, &rivals, "top/x"));
    // Of a version there is more to say: see below.
    for action in Action::ALL.iter().filter(|a| !matches!(a, Action::GetObject | Action::GetObjectVersion)) {
        assert!(!may(&rsa, *action, &own, "x") && !may(&top, *action, &media, "top/x"), "{action}");
    }
    let service = Target::Service;
    assert!(auth.authorize(&rsa, Action::ListAllMyBuckets, service, &facts(&request)).is_err());
    assert!(auth.operator(&top).is_err());
}

/// Who signs for a folder, or for whatever is under a key, does not sign for all that ever was there.
#[test]
fn a_version_is_read_by_who_was_given_its_url() {
    let auth = auth_with_keys();
    let one = format!("http://{CDN}{PATH}?versionId=null");
    let folder = format!("http://{CDN}/*");
    let query = |policy: &str| format!("{PATH}?versionId=null&{}", custom(policy));
    let callers =
        [(target(&canned(&one, END)).to_owned(), true), (query(&canned_text(&one, END)), true), (query(&canned_text(&folder, END)), false)];
    let (own, key) = (bucket("own", "acme"), key("x"));
    for (url, reads_versions) in callers {
        let request = parts(get(CDN, &url));
        let caller = read(&auth, &request).unwrap();
        let may = |version| {
            let target = Target::Object { bucket: &own, key: &key, version, object: None };
            auth.authorize(&caller, Action::GetObject, target, &facts(&request)).map(|grant| grant.action()).ok()
        };
        assert_eq!(may(VersionSelector::Current), Some(Action::GetObject));
        let expected = reads_versions.then_some(Action::GetObjectVersion);
        assert_eq!(may(VersionSelector::Exact(&VersionId::Null)), expected, "{url}");
    }
    assert!(!Via::PathToken { expires: NOW }.covers_versions() && Via::Anonymous.covers_versions());
}

fn identity(auth: &Auth, tenant: &str) -> Identity {
    Identity::Tenant(auth.tenant(&crate::base::names::TenantId::parse(tenant).unwrap()).unwrap())
}

#[test]
fn a_key_mints_for_its_own_tenant_only() {
    let auth = auth_with_keys();
    let statement = Statement { resource: Some("http://h/x".into()), expires: NOW, starts: None, source: None };
    let sign = |identity: &Identity, bucket: &str, object: &str| {
        let wanted = Wanted { bucket: &bucket_name(bucket), key: &key(object), statement: &statement, hash: Hash::Sha256 };
        auth.sign_cloudfront(identity, &wanted).map(|s| s.on_url("http://h/x")).map_err(|e| e.message().to_owned())
    };
    assert!(sign(&identity(&auth, "acme"), "media", "acme/x").unwrap().contains("Key-Pair-Id=KEC"));
    assert!(sign(&identity(&auth, "acme"), "own", "x").unwrap().contains("Key-Pair-Id=KRSA"), "KEC does not reach there");
    assert!(sign(&identity(&auth, "rival"), "media", "rival/x").unwrap().contains("Key-Pair-Id=KRIVAL"));
    assert!(sign(&Identity::Operator, "media", "top/x").unwrap().contains("Key-Pair-Id=KTOP"));
    assert!(sign(&Identity::Operator, "media", "acme/x").unwrap_err().contains("cdn-keys"));
    assert!(sign(&Identity::Anonymous, "media", "acme/x").is_err());
    // The public half alone verifies and can't sign.
    let dir = folder_with_keys();
    super::write(
        dir.path(),
        "cdn-keys/krsa.toml",
        &format!("id = \"KRSA\"\ntenant = \"acme\"\npublic_key = {{ value = '''{RSA_PUBLIC}''' }}\n"),
    );
    let auth = auth_in(dir.path());
    let wanted = Wanted { bucket: &bucket_name("own"), key: &key("x"), statement: &statement, hash: Hash::Sha1 };
    assert!(auth.sign_cloudfront(&identity(&auth, "acme"), &wanted).is_err());
    assert!(read(&auth, &parts(get(CDN, target(&canned(&format!("http://{CDN}{PATH}"), END))))).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is minted opens exactly its URL, as URL and as cookies; one changed byte of it opens nothing.
    #[test]
    fn what_is_minted_verifies(
        path in "(/[a-zA-Z0-9._~%()!'-]{1,12}){1,4}",
        query in proptest::option::of("[a-z]{1,4}=[a-zA-Z0-9%._-]{0,8}(&[a-z]{1,3}=[0-9]{1,3})?"),
        life in 1u64..1_000_000,
        starts in proptest::option::of(1u64..1_000_000),
        bits in proptest::option::of(0u8..=32),
        wild in any::<bool>(),
        sha256 in any::<bool>(),
        ec in any::<bool>(),
        spoil in any::<proptest::sample::Index>(),
    ) {
        let auth = auth_with_keys();
        let target = query.map_or(path.clone(), |q| format!("{path}?{q}"));
        let url = format!("http://{CDN}{target}");
        let statement = Statement {
            resource: Some(if wild { format!("http://{CDN}/*") } else { url.clone() }),
            expires: Timestamp::from_secs(NOW.secs() + life),
            starts: starts.map(|s| Timestamp::from_secs(NOW.secs() - s)),
            source: bits.map(|b| crate::base::network::Network::new([192, 0, 2, 1].into(), b).unwrap()),
        };
        let object = if ec { ("media", "acme/x") } else { ("own", "x") };
        let wanted = Wanted {
            bucket: &bucket_name(object.0),
            key: &key(object.1),
            statement: &statement,
            hash: if sha256 { Hash::Sha256 } else { Hash::Sha1 },
        };
        let signed = auth.sign_cloudfront(&identity(&auth, "acme"), &wanted).unwrap();
        let in_url = signed.on_url(&url);
        let caller = read(&auth, &parts(get(CDN, &in_url[url.len() - target.len()..]))).unwrap();
        prop_assert_eq!(caller.via.expires(), Some(statement.expires));
        let cookies = signed.cookies().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join("; ");
        let caller = read(&auth, &parts(get(CDN, &target).header("cookie", cookies))).unwrap();
        prop_assert_eq!(caller.identity.id().as_str(), "acme");

        // Not the unsigned URL where a wildcard covers it anyhow.
        let from = if wild { url.len() + 1 } else { url.len() - target.len() + 1 };
        let at = from + spoil.index(in_url.len() - from);
        let mut bytes = in_url.into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let spoiled = String::from_utf8(bytes).unwrap();
        if let Ok(uri) = spoiled[url.len() - target.len()..].parse::<http::Uri>() {
            let opened = read(&auth, &parts(get(CDN, &uri.to_string())));
            prop_assert!(opened.map_or(true, |c| c.identity.is_anonymous()), "{}", spoiled);
        }
    }
}
