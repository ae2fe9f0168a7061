//! The purge outbox: what changes on a site with a CDN is purged there, gathered; who may purge what by hand.

use super::*;
use crate::support::invalidations::Fate;

#[test]
fn changes_are_gathered_into_one_invalidation() {
    let world = World::new("700ms");
    let running = world.serve();
    let mut client = Client::new(running.s3);
    client.make_bucket(&acme(), "media");
    for round in 0..5 {
        for n in 0..8 {
            client.put(&acme(), "media", &format!("public/run 1/{n}.glb"), format!("{round}").as_bytes()).expect(200);
        }
    }
    client.put(&acme(), "media", "private/x", b"x").expect(200);
    client.delete(&acme(), "media", "public/gone").expect(204);
    let upload = client.create_upload(&acme(), "media", "public/large");
    let etag = client.upload_part(&acme(), "media", "public/large", &upload, 1, b"part").expect(200).etag();
    client.complete(&acme(), "media", "public/large", &upload, &[(1, etag)]).expect(200);
    wait_until_idle(&running);
    let calls = world.cdn.calls();
    let mut items: Vec<String> = calls.iter().flat_map(|c| c.items.clone()).collect();
    items.sort();
    items.dedup();
    let mut expected: Vec<String> = (0..8).map(|n| format!("/run%201/{n}.glb")).chain(["/gone".into(), "/large".into()]).collect();
    expected.sort();
    assert_eq!(items, expected);
    // 43 changes; how many fit in 0.7 s is the machine's business, but not one call for each.
    assert!(calls.len() <= 10, "{calls:#?}");
    assert!(calls.iter().all(|c| c.distribution == DISTRIBUTION));
}

#[test]
fn a_cdn_in_trouble_is_told_until_it_listens() {
    let world = World::new("1ms");
    let running = world.serve();
    let mut client = Client::new(running.s3);
    client.make_bucket(&acme(), "media");
    world.cdn.then(&[Fate::Down, Fate::TakenAndDropped]);
    client.put(&acme(), "media", "public/a", b"1").expect(200);
    wait_until_idle(&running);
    let calls = world.cdn.calls();
    assert_eq!(calls.iter().map(|c| c.fate).collect::<Vec<_>>(), [Fate::Down, Fate::TakenAndDropped, Fate::Taken]);
    assert!(calls.windows(2).all(|w| w[0].reference == w[1].reference && w[0].items == w[1].items), "{calls:#?}");
    assert_eq!(world.cdn.made(), [["/a"]]);
}

#[test]
fn one_may_purge_what_one_may_write() {
    let world = World::new("1h");
    let running = world.serve();
    let mut client = Client::new(running.s3);
    client.make_bucket(&operator(), "media");
    let purge = |key: &Key, body: &str| api(&running, key, "POST", "/-/v1/purge", &[], body);
    // In a shared bucket a tenant's place is under its own id.
    denied(&purge(&acme(), r#"{"bucket": "media", "keys": ["public/acme/x"]}"#), 403, "AccessDenied");
    denied(&purge(&acme(), r#"{"bucket": "media", "prefix": ""}"#), 403, "AccessDenied");
    denied(&purge(&acme(), r#"{"bucket": "media", "prefix": "acm"}"#), 403, "AccessDenied");
    denied(&purge(&acme(), r#"{"bucket": "media", "keys": ["acme/x", "bravo/x"]}"#), 403, "AccessDenied");
    denied(&purge(&acme(), r#"{"tags": ["t-acme", "t-bravo"]}"#), 403, "AccessDenied");
    denied(&purge(&acme(), r#"{"tags": ["h-0011223344556677"]}"#), 403, "AccessDenied");
    denied(&purge(&acme(), r#"{"paths": ["/acme/*"]}"#), 403, "AccessDenied");
    // Its own, but no site shows it.
    denied(&purge(&acme(), r#"{"bucket": "media", "keys": ["acme/x"]}"#), 400, "InvalidRequest");
    for bad in [r#"{"keys": ["x"]}"#, r#"{"bucket": "media", "keys": [""]}"#, r#"{"tag": "x"}"#, "[", r#"{}"#, r#"{"tags": ["a,b"]}"#] {
        let answer = purge(&operator(), bad);
        assert_eq!(answer.status, 400, "{bad}: {}", answer.text());
    }
    denied(&purge(&operator(), r#"{"bucket": "nowhere", "keys": ["x"]}"#), 404, "NoSuchBucket");
    let anonymous = Client::new(running.s3).send(&Request::new("POST", "/-/v1/purge").body(r#"{"tags": ["t-acme"]}"#), Sign::No);
    denied(&anonymous, 403, "AccessDenied");
    assert!(world.cdn.calls().is_empty());

    purge(&acme(), r#"{"tags": ["t-acme", "r-acme-7"]}"#).expect(202);
    wait_until_idle(&running);
    purge(&operator(), r#"{"paths": ["/a b&c", "/run/*", "/*"], "tags": ["a-video"]}"#).expect(202);
    wait_until_idle(&running);
    let items: Vec<Vec<String>> = world.cdn.calls().into_iter().map(|c| c.items).collect();
    assert_eq!(items[0], ["#r-acme-7", "#t-acme"]);
    assert_eq!(items[1], ["#a-video", "/*", "/a%20b%26c", "/run/*"]);
}
