//! Path tokens: what is minted opens what it says, and no other bytes open anything.

use proptest::prelude::*;

use super::{NOW, auth, bucket_name, facts, key, parts};
use crate::auth::{Auth, Caller, PathToken, Reading, TokenSecrets, Via, Within};
use crate::base::error::{ErrorKind, Result};
use crate::base::names::TenantId;
use crate::base::network::Network;
use crate::base::timestamp::Timestamp;

fn auth_with_secrets() -> Auth {
    let auth = auth();
    auth.set_token_secrets(TokenSecrets::new().unwrap());
    auth
}

fn token(tenant: &str, within: Within) -> PathToken {
    PathToken { tenant: TenantId::parse(tenant).unwrap(), within, expires: Timestamp::from_secs(NOW.secs() + 60), source: None }
}

fn acme() -> PathToken {
    token("acme", Within::Prefix("media/acme/model/".into()))
}

fn read(auth: &Auth, text: &str) -> Result<Caller> {
    let parts = parts(http::Request::get("/media/acme/model/a.bin").header("host", "h"));
    auth.authenticate_reader(&facts(&parts), Reading { path_token: Some(text), ..Reading::default() })
}

#[test]
fn opens_its_prefix_and_no_further() {
    let auth = auth_with_secrets();
    let text = auth.mint_path_token(&acme()).unwrap();
    let caller = read(&auth, &text).unwrap();
    assert_eq!((caller.identity.id().as_str(), caller.via), ("acme", Via::PathToken { expires: acme().expires }));
    let holds = |caller: &Caller, bucket: &str, object: &str| caller.reach.as_ref().unwrap().holds(&bucket_name(bucket), &key(object));
    assert!(holds(&caller, "media", "acme/model/a.bin") && holds(&caller, "media", "acme/model/../../x"), "keys have no dots");
    for (bucket, object) in [("media", "acme/model"), ("media", "acme/model2/a"), ("media", "acme/x"), ("media2", "acme/model/a")] {
        assert!(!holds(&caller, bucket, object), "{bucket}/{object}");
    }
    let exact = read(&auth, &auth.mint_path_token(&token("acme", Within::Exactly("media/a".into()))).unwrap()).unwrap();
    assert!(holds(&exact, "media", "a") && !holds(&exact, "media", "a/") && !holds(&exact, "media", "ab"));
}

#[test]
fn expired_and_invalid_are_told_apart_and_nothing_else() {
    let auth = auth_with_secrets();
    let refusal = |token: &PathToken| {
        let e = read(&auth, &auth.mint_path_token(token).unwrap()).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::AccessDenied);
        e.message().to_owned()
    };
    assert_eq!(refusal(&PathToken { expires: NOW, ..acme() }), "The path token has expired.");
    assert_eq!(refusal(&token("nobody", acme().within)), "The path token is not valid.");
    let elsewhere = PathToken { source: Some("198.51.100.0/24".parse().unwrap()), ..acme() };
    assert!(refusal(&elsewhere).contains("address"));
    for source in ["192.0.2.0/24", "192.0.2.1/32", "0.0.0.0/0"] {
        let here = PathToken { source: Some(source.parse().unwrap()), ..acme() };
        assert!(read(&auth, &auth.mint_path_token(&here).unwrap()).is_ok());
    }
    for text in ["", "a", "AAAA", "....", &"A".repeat(100), &"A".repeat(1_000_000), "\u{e9}"] {
        assert_eq!(read(&auth, text).unwrap_err().message(), "The path token is not valid.");
    }
    // One that another gateway made.
    let foreign = auth_with_secrets().mint_path_token(&acme()).unwrap();
    assert_eq!(read(&auth, &foreign).unwrap_err().message(), "The path token is not valid.");
}

#[test]
fn two_secrets_live() {
    let auth = auth_with_secrets();
    let first = auth.mint_path_token(&acme()).unwrap();
    auth.set_token_secrets(auth.token_secrets().unwrap().rotated().unwrap());
    let second = auth.mint_path_token(&acme()).unwrap();
    assert!(first != second && read(&auth, &first).is_ok() && read(&auth, &second).is_ok());
    auth.set_token_secrets(auth.token_secrets().unwrap().rotated().unwrap());
    assert!(read(&auth, &first).is_err() && read(&auth, &second).is_ok());
    for _ in 0..300 {
        auth.set_token_secrets(auth.token_secrets().unwrap().rotated().unwrap());
        assert!(read(&auth, &first).is_err(), "numbers come again, secrets do not");
    }
    let stored = serde_json::to_string(&auth.token_secrets().unwrap()).unwrap();
    assert!(serde_json::from_str::<TokenSecrets>(&stored).is_ok());
    assert!(!format!("{:?}", auth.token_secrets()).contains(&stored[30..60]));
}

#[test]
fn one_credential_at_a_time() {
    let auth = auth_with_secrets();
    let text = auth.mint_path_token(&acme()).unwrap();
    let reading = Reading { path_token: Some(&text), ..Reading::default() };
    for request in [
        http::Request::get("/x?Signature=a&Key-Pair-Id=K&Expires=1"),
        http::Request::get("/x?X-Amz-Signature=a"),
        http::Request::get("/x").header("authorization", "AWS4-HMAC-SHA256 x"),
    ] {
        assert_eq!(auth.authenticate_reader(&facts(&parts(request)), reading).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
    let with_cookies = http::Request::get("/x").header("cookie", "CloudFront-Signature=x");
    assert!(auth.authenticate_reader(&facts(&parts(with_cookies)), reading).is_ok(), "cookies come along by themselves");
}

#[test]
fn the_longest_names_fit() {
    let auth = auth_with_secrets();
    let longest = |prefix: usize| PathToken {
        source: Some("2001:db8::/32".parse().unwrap()),
        ..token(&"t".repeat(64), Within::Prefix(format!("{}/{}", "b".repeat(63), "k".repeat(prefix))))
    };
    assert!(auth.mint_path_token(&longest(1024)).is_ok());
    assert!(auth.mint_path_token(&longest(2000)).is_err());
}

proptest! {
    #[test]
    fn what_is_minted_is_read_and_one_changed_character_is_not(
        tenant in "acme|rival|operator",
        place in "[a-z]{3,10}/\\PC{0,40}",
        exact in any::<bool>(),
        life in 1u64..10_000_000,
        v6 in any::<bool>(),
        bits in proptest::option::of(0u8..=32),
        spoil in any::<proptest::sample::Index>(),
        to in "[A-Za-z0-9_-]",
    ) {
        let auth = auth_with_secrets();
        let address = if v6 { "::ffff:c000:201".parse::<std::net::IpAddr>().unwrap() } else { [192, 0, 2, 1].into() };
        let minted = PathToken {
            tenant: TenantId::parse(&tenant).unwrap(),
            within: if exact { Within::Exactly(place) } else { Within::Prefix(place) },
            expires: Timestamp::from_secs(NOW.secs() + life),
            source: bits.map(|b| Network::new(address, if v6 { b + 96 } else { b }).unwrap()),
        };
        let text = auth.mint_path_token(&minted).unwrap();
        let caller = read(&auth, &text).unwrap();
        prop_assert_eq!(caller.identity.id(), &minted.tenant);
        prop_assert_eq!(caller.via.expires(), Some(minted.expires));
        prop_assert_eq!(&**caller.reach.as_ref().unwrap(), &crate::auth::Reach::new(vec![minted.within.clone()]));
        let at = spoil.index(text.len());
        let mut spoiled = text.clone();
        spoiled.replace_range(at..=at, &to);
        prop_assert_eq!(read(&auth, &spoiled).is_ok(), spoiled == text);
        prop_assert!(read(&auth, &text[..text.len() - 1]).is_err());
        let longer = format!("{text}A");
        prop_assert!(read(&auth, &longer).is_err());
    }
}
