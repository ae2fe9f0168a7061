//! What a CDN's origin must do, line by line.

use crate::edge::{BODY, World, ask, values, world};
use crate::support::client::{Answer, Request, Sign};
use crate::support::gateway::acme;

const LIST: &str = "bytes=0-1, 4-6,30-";

/// Path, headers, and the status that follows.
type Kind = (&'static str, Vec<(&'static str, String)>, u16);

/// Every kind of answer of this door.
fn every_kind(etag: &str) -> Vec<Kind> {
    let with = |name, value: &str| vec![(name, value.to_owned())];
    vec![
        ("/media/public/a.glb", vec![], 200),
        ("/media/public/empty", vec![], 200),
        ("/media/public/page.html", vec![], 200),
        ("/media/public/a.glb", with("range", "bytes=3-7"), 206),
        ("/media/public/a.glb", with("range", LIST), 206),
        ("/media/public/a.glb", with("range", "bytes=99-"), 416),
        ("/media/public/empty", with("range", "bytes=0-"), 416),
        ("/media/public/a.glb", with("if-none-match", etag), 304),
        ("/media/public/a.glb", with("if-match", "\"0\""), 412),
        ("/media/known/nothing", vec![], 404),
        ("/media/public/nothing", vec![], 403),
        ("/media/private/a.glb", vec![], 403),
        ("/no-such-bucket/a", vec![], 404),
        ("/", vec![], 404),
    ]
}

fn prepared() -> (World, String) {
    let mut world = world();
    world.put("public/empty", b"", &[]);
    world.put("public/page.html", b"<p>", &[("content-type", "text/html")]);
    let etag = world.get("public/a.glb", &[]).header("etag").unwrap().to_owned();
    (world, etag)
}

fn send(world: &mut World, method: &str, path: &str, headers: &[(&'static str, String)]) -> Answer {
    let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
    ask(&mut world.edge, method, path, &headers)
}

#[test]
fn always_a_length_and_never_chunks() {
    let (mut world, etag) = prepared();
    for (path, headers, status) in every_kind(&etag) {
        for method in ["GET", "HEAD"] {
            let answer = send(&mut world, method, path, &headers).expect(status);
            assert_eq!(answer.header("transfer-encoding"), None, "{path} {headers:?}");
            let length = answer.header("content-length").map(|l| l.parse::<usize>().unwrap());
            match (status, method) {
                (304, _) => {}
                (_, "HEAD") => assert!(length.is_some(), "{path} {headers:?}"),
                _ => assert_eq!(length, Some(answer.body.len()), "{path} {headers:?}"),
            }
        }
    }
}

#[test]
fn head_says_what_get_says() {
    let (mut world, etag) = prepared();
    for (path, headers, status) in every_kind(&etag) {
        let mut seen = |method| {
            let answer = send(&mut world, method, path, &headers).expect(status);
            let own = |n: &str| matches!(n, "date" | "x-amz-request-id");
            let mut told: Vec<_> = answer.headers.iter().filter(|(n, _)| !own(n)).cloned().collect();
            // A boundary is never the same twice.
            told.iter_mut()
                .filter(|(_, v)| v.starts_with("multipart/"))
                .for_each(|(_, v)| v.truncate("multipart/byteranges; boundary=".len()));
            told.sort();
            told
        };
        assert_eq!(seen("HEAD"), seen("GET"), "{path} {headers:?}");
    }
}

#[test]
fn validators_and_dates() {
    let (mut world, _) = prepared();
    let answer = world.get("public/a.glb", &[]).expect(200);
    let etag = answer.header("etag").unwrap().to_owned();
    assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() > 2, "strong and quoted: {etag}");
    let date = |name: &str| httpdate::parse_http_date(answer.header(name).unwrap()).unwrap();
    assert!(date("last-modified") <= date("date"));
    assert_eq!(answer.header("accept-ranges"), Some("bytes"));
    assert_eq!(answer.header("age"), None, "an origin's own answer has no age");
    assert_eq!(answer.header("x-file-size"), Some("36"));
    // The same bytes, the same tag: on other answers, after another write.
    let range = world.get("public/a.glb", &[("range", "bytes=0-0")]).expect(206);
    assert_eq!((range.header("etag"), range.header("content-range")), (Some(&*etag), Some("bytes 0-0/36")));
    world.put("public/a.glb", BODY, &[]);
    assert_eq!(world.get("public/a.glb", &[]).header("etag"), Some(&*etag));
}

#[test]
fn a_304_renews_everything() {
    let mut world = world();
    let expires = "Wed, 21 Oct 2065 07:28:00 GMT";
    world.put("public/x", BODY, &[("expires", expires), ("cache-control", "public, max-age=77")]);
    for (host, origin) in [("any", None), ("named.test", Some("https://app.test"))] {
        let mut client = world.host(host);
        let path = if host == "any" { "/media/public/x" } else { "/public/x" };
        let origin: Vec<(&str, &str)> = origin.map(|o| ("origin", o)).into_iter().collect();
        let full = ask(&mut client, "GET", path, &origin).expect(200);
        let etag = full.header("etag").unwrap().to_owned();
        let again = ask(&mut client, "GET", path, &[origin.clone(), vec![("if-none-match", &etag)]].concat()).expect(304);
        for name in [
            "etag",
            "last-modified",
            "cache-control",
            "expires",
            "vary",
            "access-control-allow-origin",
            "access-control-expose-headers",
            "timing-allow-origin",
            "cross-origin-resource-policy",
        ] {
            assert_eq!(values(&again, name), values(&full, name), "{name} on {host}");
        }
        assert_eq!(again.header("expires"), Some(expires));
        assert!(again.header("date").is_some());
    }
}

#[test]
fn nothing_varies_but_what_must() {
    let (mut world, etag) = prepared();
    for (path, headers, status) in every_kind(&etag) {
        let answer = send(&mut world, "GET", path, &headers).expect(status);
        let vary = values(&answer, "vary");
        assert!(vary.is_empty() || vary == ["Accept-Encoding"], "{path} {headers:?}: {vary:?}");
    }
}

/// CloudFront's limits: a URL of 8,192 bytes, a head of 20,480.
#[test]
fn long_addresses() {
    let mut world = world();
    let long = Request::on("GET", "media", "private/a.glb").query("x", &"y".repeat(7500));
    assert_eq!(world.edge.send(&long, Sign::Presigned(&acme())).expect(200).body, BODY);
    let padded = Request::on("GET", "media", "public/a.glb").header("x-padding", &"y".repeat(20_000));
    world.edge.send(&padded, Sign::No).expect(200);
}

#[test]
fn only_reads() {
    let mut world = world();
    for method in ["PUT", "POST", "DELETE", "PATCH", "TRACE", "PROPFIND"] {
        let answer = world.edge.send(&Request::on(method, "media", "public/a.glb"), Sign::Header(&acme())).expect(405);
        assert_eq!(answer.header("allow"), Some("GET, HEAD, OPTIONS"), "{method}");
        assert_eq!(answer.header("cache-control"), Some("private, no-store"));
    }
    assert_eq!(world.get("public/a.glb", &[]).expect(200).body, BODY);
}

#[test]
fn an_index_stands_for_its_folder() {
    let mut world = world();
    world.put("public/game/index.html", b"play", &[("content-type", "text/html")]);
    world.put("public/index.html", b"home", &[("content-type", "text/html")]);
    let mut client = world.host("cdn.test");
    assert_eq!(ask(&mut client, "GET", "/game/", &[]).expect(200).body, b"play");
    assert_eq!(ask(&mut client, "GET", "/", &[]).expect(200).body, b"home");
    assert_eq!(ask(&mut client, "GET", "/game", &[]).status, 403);
}

#[test]
fn the_size_under_compression_is_not_guessed() {
    let mut world = world();
    world.put("public/z", b"not really gzip", &[("content-encoding", "gzip")]);
    let answer = world.get("public/z", &[("accept-encoding", "gzip")]).expect(200);
    assert_eq!((answer.header("content-encoding"), answer.header("x-file-size")), (Some("gzip"), None));
}
