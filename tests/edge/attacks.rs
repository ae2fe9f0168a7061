//! What a stranger, or a tenant who means harm, may try on the edge door.

use crate::edge::{BODY, ask, hash_name, raw_status, world};
use crate::support::client::{Request, Sign};
use crate::support::gateway::acme;
use crate::support::raw;
use tidegate::telemetry::metrics::Door;

const IMMUTABLE: &str = "public, max-age=31536000, immutable";

#[test]
fn no_path_leads_out_of_a_prefix() {
    let mut world = world();
    world.put("secret.txt", b"the secret", &[]);
    world.put("public/here", b"here", &[]);
    for path in [
        "/../secret.txt",
        "/..%2fsecret.txt",
        "/%2e%2e/secret.txt",
        "/%2e%2e%2fsecret.txt",
        "/x/../../secret.txt",
        "/..%5csecret.txt",
        "/..\\secret.txt",
        "/%252e%252e%252fsecret.txt",
        "/%c0%ae%c0%ae/secret.txt",
        "/..;/secret.txt",
        "//../secret.txt",
        "/here/../../secret.txt",
        "/secret.txt",
        "//media/secret.txt",
        "/%00/../secret.txt",
        "/here%00",
        "/here%2f..%2fsecret.txt",
    ] {
        let (status, body) = raw_status(&world, &format!("GET {path} HTTP/1.1\r\nHost: cdn.test\r\n\r\n"));
        assert!((400..500).contains(&status), "{path}: {status}");
        assert!(!String::from_utf8_lossy(&body).contains("the secret"), "{path}");
    }
    assert_eq!(ask(&mut world.host("cdn.test"), "GET", "/here", &[]).expect(200).body, b"here");
}

#[test]
fn a_key_with_line_ends_writes_no_headers() {
    let mut world = world();
    let key = "public/a\r\nset-cookie: x=1\r\n\r\n<script>";
    world.put(key, BODY, &[]);
    for method in ["GET", "HEAD"] {
        let there = world.edge.send(&Request::on(method, "media", key), Sign::No).expect(200);
        assert_eq!(there.header("set-cookie"), None);
    }
    let absent = world.edge.send(&Request::on("GET", "media", "known/\r\nset-cookie: x=1\r\n\r\n<script>"), Sign::No).expect(404);
    assert!(absent.header("set-cookie").is_none() && !absent.text().contains("<script>"), "{}", absent.text());
}

#[test]
fn metadata_writes_no_headers_of_the_door() {
    let mut world = world();
    // Names that can't be anything but metadata, values that end no line.
    world.put("public/m", BODY, &[("x-amz-meta-access-control-allow-origin", "https://evil.test"), ("x-amz-meta-a", "b, c: d")]);
    let answer = world.get("public/m", &[]).expect(200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("x-amz-meta-a"), Some("b, c: d"));
    for bad in ["a\rb", "a\nb: c", "a\0b"] {
        let put = Request::on("PUT", "media", "public/bad").header("x-amz-meta-a", bad);
        let answer = world.s3.send(&put, Sign::Header(&acme()));
        assert!(matches!(answer.status, 400 | 403), "{bad:?}: {}", answer.status);
        world.s3 = world.gateway.client();
    }
    for parameter in ["response-content-type", "response-cache-control", "response-content-disposition"] {
        let get = Request::on("GET", "media", "private/a.glb").query(parameter, "a\r\nset-cookie: x=1");
        let answer = world.edge.send(&get, Sign::Presigned(&acme())).refused(400, "InvalidArgument");
        assert_eq!(answer.header("set-cookie"), None);
    }
}

#[test]
fn a_host_is_only_what_it_says() {
    let world = world();
    let (status, body) = raw_status(&world, "GET /a.glb HTTP/1.1\r\nHost: cdn.test\r\n\r\n");
    assert_eq!((status, &*body), (200, BODY));
    // Names that look like a site's, or that a proxy's header claims, get the site for any host, which has no such path.
    for host in
        ["cdn.test.evil.test", "xcdn.test", "cdn.test/", "evil.test\r\nX-Forwarded-Host: cdn.test", "evil.test\r\nForwarded: host=cdn.test"]
    {
        let mut raw = raw::connect(world.gateway.address(Door::Edge));
        let (head, _) = raw.exchange(format!("GET /a.glb HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert!(matches!(head.status, 400 | 404), "{host}: {}", head.status);
    }
    // The address in the request line counts, and not the header beside it (RFC 9112 3.2.2).
    let (status, _) = raw_status(&world, "GET http://evil.test/a.glb HTTP/1.1\r\nHost: cdn.test\r\n\r\n");
    assert_ne!(status, 200);
    // Two of them: a proxy might go by the other one (RFC 9112 3.2).
    for door in [Door::Edge, Door::S3] {
        let mut raw = raw::connect(world.gateway.address(door));
        let (head, _) = raw.exchange("GET /a.glb HTTP/1.1\r\nHost: cdn.test\r\nHost: evil.test\r\n\r\n");
        assert_eq!(head.status, 400);
    }
}

/// What is kept for a year must be what its name says.
#[test]
fn a_false_hash_is_not_believed() {
    let mut world = world();
    let other = hash_name(b"other", 64);
    for key in [format!("public/{other}.glb"), format!("public/app-{}.js", &other[..16])] {
        world.put(&key, BODY, &[("x-amz-meta-sha256", &other)]);
        assert_ne!(world.get(&key, &[]).header("cache-control"), Some(IMMUTABLE), "{key}");
    }
}

#[test]
fn many_ranges_cost_no_more_than_the_object() {
    let mut world = world();
    world.put("public/big", &vec![b'x'; 300_000], &[]);
    for list in [
        vec!["0-"; 2000].join(","),
        vec!["0-299999"; 16].join(","),
        (0..1000).map(|n| format!("{n}-{n}")).collect::<Vec<_>>().join(","),
        vec!["-1"; 17].join(","),
    ] {
        for method in ["GET", "HEAD"] {
            let answer = ask(&mut world.edge, method, "/media/public/big", &[("range", &format!("bytes={list}"))]).expect(200);
            assert_eq!(answer.header("content-length"), Some("300000"));
        }
    }
}

/// A stranger's Origin changes nothing that another one's cache could be given.
#[test]
fn no_origin_poisons_a_cache() {
    let mut world = world();
    let shown = |a: crate::support::client::Answer| {
        let own = |n: &str| matches!(n, "date" | "x-amz-request-id");
        (a.status, a.headers.into_iter().filter(|(n, _)| !own(n)).collect::<Vec<_>>(), a.body)
    };
    let plain = shown(world.get("public/a.glb", &[]));
    for headers in [
        vec![("origin", "https://evil.test")],
        vec![("sec-fetch-mode", "no-cors"), ("sec-fetch-site", "cross-site")],
        vec![("x-forwarded-host", "evil.test"), ("x-forwarded-proto", "http"), ("x-original-url", "/private/a.glb")],
        vec![("cookie", "a=b"), ("x-http-method-override", "DELETE"), ("accept", "text/html")],
    ] {
        assert_eq!(shown(world.get("public/a.glb", &headers)), plain, "{headers:?}");
    }
}
