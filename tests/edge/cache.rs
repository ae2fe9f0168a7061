//! Who may keep what, for how long.

use crate::edge::{BODY, World, ask, hash_name, world};
use crate::support::client::{Answer, Request, Sign};
use crate::support::gateway::{acme, operator};

const IMMUTABLE: &str = "public, max-age=31536000, immutable";
const DEFAULT: &str = "public, max-age=60, stale-while-revalidate=60, stale-if-error=86400";

fn control(answer: &Answer) -> &str {
    answer.header("cache-control").unwrap_or_default()
}

/// By a presigned URL that is good for so long.
fn presigned(world: &mut World, key: &str, seconds: u64, query: &[(&str, &str)]) -> Answer {
    let request = query.iter().fold(Request::on("GET", "media", key), |r, (n, v)| r.query(n, v));
    world.edge.send(&Request { expires: seconds, ..request }, Sign::Presigned(&acme()))
}

fn max_age(answer: &Answer) -> u64 {
    let text = control(answer);
    text.strip_prefix("private, max-age=").unwrap_or_else(|| panic!("{text}")).parse().unwrap()
}

#[test]
fn a_true_hash_in_the_name_is_for_ever() {
    let mut world = world();
    let (short, full) = (hash_name(BODY, 16), hash_name(BODY, 64));
    for key in [format!("public/app-{short}.js"), format!("public/app.{short}.min.js"), format!("public/{full}.glb")] {
        world.put(&key, BODY, &[]);
        assert_eq!(control(&world.get(&key, &[]).expect(200)), IMMUTABLE, "{key}");
        assert_eq!(control(&world.get(&key, &[("range", "bytes=0-1")]).expect(206)), IMMUTABLE, "{key}");
        // Other content under the same name: the name lies now, and is not believed.
        world.put(&key, b"other", &[]);
        assert_eq!(control(&world.get(&key, &[]).expect(200)), DEFAULT, "{key}");
    }
    let private = format!("private/app-{short}.js");
    world.put(&private, BODY, &[]);
    let left = max_age(&presigned(&mut world, &private, 300, &[]).expect(200));
    assert!((290..=300).contains(&left), "{left}");
}

#[test]
fn the_wish_comes_from_the_object_then_its_name_then_rules() {
    let mut world = world();
    let hashed = format!("known/bundle/{}.html", hash_name(BODY, 32));
    for (key, headers, expected) in [
        ("known/bundle/x.html", vec![("cache-control", "max-age=5"), ("content-type", "text/html")], "max-age=5"),
        (&*hashed, vec![], IMMUTABLE),
        (&*hashed, vec![("cache-control", "no-store")], "no-store"),
        ("known/bundle/x.html", vec![("content-type", "image/png")], "no-cache"),
        ("known/pic", vec![("content-type", "image/PNG")], "public, max-age=600"),
        ("known/run/model_3d/x.glb", vec![], "public, max-age=7200"),
        ("known/run/video/x.glb", vec![], DEFAULT),
    ] {
        world.put(key, BODY, &headers);
        let answer = ask(&mut world.host("rules.test"), "GET", &format!("/{key}"), &[]).expect(200);
        assert_eq!(control(&answer), expected, "{key} {headers:?}");
    }
    // An Expires of the writer's own stands for itself.
    world.put("public/e", BODY, &[("expires", "Wed, 21 Oct 2065 07:28:00 GMT")]);
    assert_eq!(world.get("public/e", &[]).header("cache-control"), None);
}

#[test]
fn what_a_signature_opens_is_private_while_it_lasts() {
    let mut world = world();
    world.put(
        "private/long",
        BODY,
        &[("cache-control", "public, max-age=31536000, s-maxage=9, immutable"), ("expires", "Wed, 21 Oct 2065 07:28:00 GMT")],
    );
    let answer = presigned(&mut world, "private/long", 120, &[]).expect(200);
    assert!((110..=120).contains(&max_age(&answer)), "{}", control(&answer));
    assert_eq!(answer.header("expires"), None);
    assert_eq!(max_age(&presigned(&mut world, "private/a.glb", 3000, &[]).expect(200)), 60);
    // Neither the URL's own wish nor a condition makes it public.
    let asked = presigned(&mut world, "private/a.glb", 100, &[("response-cache-control", "public, s-maxage=99, max-age=99")]).expect(200);
    assert!((90..=99).contains(&max_age(&asked)));
    let etag = asked.header("etag").unwrap().to_owned();
    let again = Request::on("GET", "media", "private/long").header("if-none-match", &etag);
    let again = world.edge.send(&again, Sign::Presigned(&acme())).expect(304);
    assert!(control(&again).starts_with("private, "), "{}", control(&again));
    // A signature in a header says nothing of how long.
    let by_header = world.edge.send(&Request::on("GET", "media", "private/a.glb"), Sign::Header(&acme())).expect(200);
    assert_eq!(control(&by_header), "private, no-cache");
    let by_operator = world.edge.send(&Request::on("GET", "media", "private/long"), Sign::Header(&operator())).expect(200);
    assert_eq!(control(&by_operator), "private, no-cache");
}

#[test]
fn only_what_everyone_may_read_is_public() {
    let mut world = world();
    // Everyone may, and who signed gets the same.
    assert_eq!(control(&presigned(&mut world, "public/a.glb", 300, &[]).expect(200)), DEFAULT);
    // But not what the signature changed.
    let changed = presigned(&mut world, "public/a.glb", 300, &[("response-content-type", "text/plain")]).expect(200);
    assert_eq!(max_age(&changed), 60);
    // Anonymous may here, by its address: a cache would show it to others.
    let near = world.get("near/a.glb", &[]).expect(200);
    assert_eq!(control(&near), "private, no-cache");
    // With a condition in the policy, what has none of it is still everyone's.
    assert_eq!(control(&world.get("public/a.glb", &[]).expect(200)), DEFAULT);
    world.put("near/meta", BODY, &[("cache-control", "public, max-age=9999, s-maxage=9999")]);
    assert_eq!(control(&world.get("near/meta", &[]).expect(200)), "private, no-cache");
}

#[test]
fn a_deny_that_depends_on_the_request_is_not_for_everyone() {
    let mut world = world();
    let deny = |condition: &str| {
        format!(
            r#"{{"Version":"2012-10-17","Statement":[
            {{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::media/*"}},
            {{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::media/*","Condition":{condition}}}]}}"#
        )
    };
    for (condition, expected) in [
        (r#"{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}"#, "private, no-cache"),
        (r#"{"DateGreaterThan":{"aws:CurrentTime":"2065-01-01T00:00:00Z"}}"#, "private, no-cache"),
        (r#"{"StringLike":{"aws:Referer":"https://evil.test/*"}}"#, "private, no-cache"),
        // About the way, not about who may know.
        (r#"{"Bool":{"aws:SecureTransport":"true"}}"#, DEFAULT),
    ] {
        let put = Request::new("PUT", "/media").query("policy", "").body(deny(condition));
        world.s3.send(&put, Sign::Header(&acme())).expect(204);
        assert_eq!(control(&world.get("public/a.glb", &[]).expect(200)), expected, "{condition}");
    }
}

#[test]
fn a_cdn_that_verifies_may_keep_it() {
    let mut world = world();
    world.put("public/s", BODY, &[("cache-control", "public, max-age=9")]);
    let policy = Request::new("DELETE", "/media").query("policy", "");
    world.s3.send(&policy, Sign::Header(&acme())).expect(204);
    let mut client = world.host("cdn.test");
    let signed = client.send(&Request::new("GET", "/s"), Sign::Presigned(&acme()));
    assert_eq!(control(&signed.expect(200)), "public, max-age=9");
    // Who shows nothing still gets nothing.
    assert_eq!(control(&ask(&mut client, "GET", "/s", &[]).expect(403)), "private, no-store");
}

#[test]
fn refusals() {
    let mut world = world();
    let absent = "public, max-age=0, s-maxage=10";
    assert_eq!(control(&world.get("known/nothing", &[]).expect(404)), absent);
    // Acme may know, everyone may not.
    let missing = world.edge.send(&Request::on("GET", "media", "private/nothing"), Sign::Presigned(&acme())).expect(404);
    assert_eq!(control(&missing), "private, no-store");
    for (key, headers, status) in [
        ("private/nothing", vec![], 403),
        ("public/nothing", vec![], 403),
        ("public/a.glb", vec![("range", "bytes=99-")], 416),
        ("public/a.glb", vec![("if-match", "\"x\"")], 412),
    ] {
        assert_eq!(control(&world.get(key, &headers).expect(status)), "private, no-store", "{key} {headers:?}");
    }
    let unsatisfiable = world.get("public/a.glb", &[("range", "bytes=99-")]).expect(416);
    assert_eq!(unsatisfiable.header("content-range"), Some("bytes */36"));
    assert_eq!(control(&ask(&mut world.edge, "GET", "/no-such-bucket/x", &[]).expect(404)), "private, no-store");
}
