//! Who may read across origins: the same on every kind of answer, with and without an Origin.

use crate::edge::{World, ask, values, world};
use crate::support::client::Answer;

/// Method, path below the bucket, header, and the status that follows.
type Kind = (&'static str, &'static str, Option<(&'static str, &'static str)>, u16);

const KINDS: [Kind; 10] = [
    ("GET", "public/a.glb", None, 200),
    ("HEAD", "public/a.glb", None, 200),
    ("GET", "public/a.glb", Some(("range", "bytes=0-1")), 206),
    ("GET", "public/a.glb", Some(("range", "bytes=0-1,3-4")), 206),
    ("GET", "public/a.glb", Some(("if-none-match", "*")), 304),
    ("GET", "public/a.glb", Some(("if-match", "\"x\"")), 412),
    ("GET", "public/a.glb", Some(("range", "bytes=99-")), 416),
    ("GET", "private/a.glb", None, 403),
    ("GET", "known/nothing", None, 404),
    ("POST", "public/a.glb", None, 405),
];

const FOREIGN: [&str; 9] = [
    "https://evil.test",
    "http://app.test",
    "https://app.test:8443",
    "https://app.test.evil.test",
    "https://evilapp.test",
    "https://play.test",
    "https://evil.test/.play.test",
    "null",
    "",
];

fn check(world: &World, host: &str, origin: Option<&str>, mut with: impl FnMut(&str, &Answer)) {
    let mut client = world.host(host);
    let base = if host == "any" { "/media/" } else { "/" };
    for (method, path, extra, status) in KINDS {
        let headers: Vec<(&str, &str)> = origin.map(|o| ("origin", o)).into_iter().chain(extra).collect();
        let answer = ask(&mut client, method, &format!("{base}{path}"), &headers).expect(status);
        let at = format!("{host} {method} {path} {headers:?}");
        assert_eq!(values(&answer, "cross-origin-resource-policy"), ["cross-origin"], "{at}");
        assert_eq!(values(&answer, "x-content-type-options"), ["nosniff"], "{at}");
        with(&at, &answer);
    }
}

#[test]
fn for_everyone_the_same_always() {
    let world = world();
    for origin in [None, Some("https://app.test"), Some("null"), Some("https://evil.test")] {
        check(&world, "any", origin, |at, answer| {
            assert_eq!(values(answer, "access-control-allow-origin"), ["*"], "{at}");
            assert_eq!(values(answer, "timing-allow-origin"), ["*"], "{at}");
            let exposed = answer.header("access-control-expose-headers").unwrap();
            for name in [
                "Content-Range",
                "Content-Length",
                "ETag",
                "Accept-Ranges",
                "X-File-Size",
                "Content-Encoding",
                "x-amz-checksum-sha256",
                "x-amz-request-id",
            ] {
                assert!(exposed.split(", ").any(|e| e == name), "{name} in {exposed}");
            }
            assert!(answer.header("access-control-allow-credentials").is_none() && answer.header("vary").is_none(), "{at}");
        });
    }
}

#[test]
fn named_origins_are_echoed_and_everything_varies() {
    let world = world();
    for (host, credentials) in [("named.test", None), ("credentials.test", Some("true"))] {
        for origin in ["https://app.test", "https://a.play.test", "https://a.b.play.test"] {
            check(&world, host, Some(origin), |at, answer| {
                assert_eq!(values(answer, "access-control-allow-origin"), [origin], "{at}");
                assert_eq!(values(answer, "timing-allow-origin"), [origin], "{at}");
                assert_eq!(answer.header("access-control-allow-credentials"), credentials, "{at}");
                assert!(answer.header("access-control-expose-headers").is_some(), "{at}");
                assert_eq!(values(answer, "vary"), ["Origin"], "{at}");
            });
        }
        for origin in FOREIGN.into_iter().map(Some).chain([None]) {
            check(&world, host, origin, |at, answer| {
                let told = answer.headers.iter().find(|(n, _)| n.starts_with("access-control-") || n == "timing-allow-origin");
                assert!(told.is_none(), "{at}: {told:?}");
                assert_eq!(values(answer, "vary"), ["Origin"], "{at}");
            });
        }
    }
}

#[test]
fn preflights_are_cheap_and_can_be_kept() {
    let mut world = world();
    // Whatever is asked for, whether or not it is there.
    for path in ["/media/public/a.glb", "/media/private/a.glb", "/no-such-bucket/x", "/", "/%00"] {
        for method in ["GET", "PUT", "x"] {
            let headers = [
                ("origin", "https://app.test"),
                ("access-control-request-method", method),
                ("access-control-request-headers", "range,if-range"),
            ];
            let answer = ask(&mut world.edge, "OPTIONS", path, &headers).expect(204);
            assert_eq!(values(&answer, "access-control-allow-origin"), ["*"]);
            assert_eq!(answer.header("access-control-allow-methods"), Some("GET, HEAD, OPTIONS"));
            assert_eq!(answer.header("access-control-max-age"), Some("86400"));
            assert_eq!(answer.header("cache-control"), Some("public, max-age=86400"));
            let allowed = answer.header("access-control-allow-headers").unwrap();
            for name in ["Range", "If-Range", "If-None-Match", "If-Modified-Since", "Authorization", "x-amz-content-sha256"] {
                assert!(allowed.split(", ").any(|h| h == name), "{name} in {allowed}");
            }
            assert!(answer.body.is_empty() && answer.header("vary").is_none());
        }
    }
    for (origin, echoed) in [("https://app.test", vec!["https://app.test"]), ("https://evil.test", vec![])] {
        let mut client = world.host("credentials.test");
        let answer = ask(&mut client, "OPTIONS", "/x", &[("origin", origin), ("access-control-request-method", "GET")]).expect(204);
        assert_eq!(values(&answer, "access-control-allow-origin"), echoed);
        assert_eq!(values(&answer, "vary"), ["Origin"]);
    }
    // Without an Origin it is a question about the address.
    let plain = ask(&mut world.edge, "OPTIONS", "/media/public/a.glb", &[]).expect(204);
    assert_eq!(plain.header("allow"), Some("GET, HEAD, OPTIONS"));
}

#[test]
fn a_host_without_a_site_says_so_to_pages() {
    let mut setup = crate::support::gateway::Setup::new();
    setup.doors.sites = tidegate::http::edge::site::Sites::new(vec![]);
    let gateway = setup.start();
    let mut client = crate::support::client::Client::new(gateway.address(tidegate::telemetry::metrics::Door::Edge));
    let answer = ask(&mut client, "GET", "/media/public/a.glb", &[]).refused(404, "NotFound");
    assert_eq!(values(&answer, "access-control-allow-origin"), ["*"]);
    assert_eq!(answer.header("cache-control"), Some("private, no-store"));
}

#[test]
fn documents_run_in_an_origin_of_their_own() {
    let mut world = world();
    for (name, kind) in [
        ("page.html", "text/html; charset=utf-8"),
        ("pic.svg", "image/svg+xml"),
        ("x.xhtml", "application/xhtml+xml"),
        ("x.xml", "text/xml"),
    ] {
        world.put(&format!("public/{name}"), b"<p/>", &[("content-type", kind)]);
        let answer = world.get(&format!("public/{name}"), &[]).expect(200);
        let policy = answer.header("content-security-policy").unwrap();
        let words: Vec<&str> = policy.split(' ').collect();
        assert!(words.starts_with(&["sandbox", "allow-scripts"]) && !words.contains(&"allow-same-origin"), "{name}: {policy}");
        // The site that opts out.
        let free = ask(&mut world.host("credentials.test"), "GET", &format!("/public/{name}"), &[]).expect(200);
        assert_eq!(free.header("content-security-policy"), None);
    }
    // A worker's script would not start under a sandbox.
    for (name, kind) in [("w.js", "text/javascript"), ("a.glb", "model/gltf-binary"), ("d.wasm", "application/wasm"), ("x", "text/plain")] {
        world.put(&format!("public/{name}"), b"x", &[("content-type", kind)]);
        assert_eq!(world.get(&format!("public/{name}"), &[]).expect(200).header("content-security-policy"), None, "{name}");
    }
}
