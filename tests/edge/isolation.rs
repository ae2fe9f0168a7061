//! What a browser is told so that a tenant's page never gets the origin that it is shown under, on both doors that show objects.
//! What browsers make of it is seen in tests/browser.

use crate::edge::{BODY, World, ask, world};
use crate::support::client::{Answer, Client, Request, Sign};
use crate::support::gateway::{Setup, acme};
use tidegate::telemetry::metrics::Door;

/// Types that browsers run as pages, and containers of pages.
const PAGES: [&str; 9] = [
    "text/html",
    "TEXT/HTML",
    "image/svg+xml",
    "application/xhtml+xml",
    "text/xml",
    "application/xml",
    "text/xsl",
    "multipart/x-mixed-replace; boundary=x",
    "message/rfc822",
];
/// Written after a type, and before it.
const AFTER: [&str; 22] = [
    "",
    ";",
    ";charset=utf-8",
    "; a=\"b\"",
    ";x",
    " charset=utf-8",
    "\tx",
    "(x)",
    "(",
    ")",
    ",text/plain",
    ", image/png",
    "\"",
    ";\"",
    ";a=\"",
    "<",
    "\u{e9}",
    "\u{a0}",
    "/x",
    ";a=b c",
    ";;;",
    " ; =",
];
const BEFORE: [&str; 5] = ["", " ", "image/png,", "\"", "image/png "];

fn kinds() -> Vec<String> {
    let mut kinds = Vec::new();
    for page in PAGES {
        kinds.extend(AFTER.iter().map(|after| format!("{page}{after}")));
        kinds.extend(BEFORE.iter().map(|before| format!("{before}{page}")));
    }
    kinds
}

fn is_apart(answer: &Answer) -> bool {
    let policy = answer.header("content-security-policy").unwrap_or_default();
    policy.starts_with("sandbox ") && !policy.contains("same-origin") && answer.header("x-content-type-options") == Some("nosniff")
}

/// RFC 9110 tokens, and nothing that a reader could take apart in its own way.
fn is_plain(kind: &str) -> bool {
    kind.split(';').next().unwrap().trim().bytes().all(|b| b.is_ascii_alphanumeric() || b"/+.-".contains(&b))
}

/// Stored under `public/t`, as far as it can be sent at all.
fn store(world: &mut World, kind: &str) -> bool {
    let put = Request::on("PUT", "media", "public/t").body(BODY).unsigned_header("content-type", kind);
    world.s3.send(&put, Sign::Header(&acme())).status == 200
}

#[test]
fn no_type_gives_a_page_the_sites_origin() {
    let mut world = world();
    for kind in kinds() {
        // Signed, the tenant chooses another type for each link.
        let link = Request::on("GET", "media", "private/a.glb").query("response-content-type", &kind);
        let answer = world.edge.send(&link, Sign::Presigned(&acme())).expect(200);
        assert!(is_apart(&answer), "{kind:?} by a link: {:?}", answer.headers);
        assert!(is_plain(answer.header("content-type").unwrap()), "{kind:?}: {:?}", answer.headers);
        if !store(&mut world, &kind) {
            world.s3 = world.gateway.client();
            continue;
        }
        let etag = format!("\"{}\"", world.get("public/t", &[]).expect(200).etag());
        for (method, headers, status) in [
            ("GET", vec![], 200),
            ("HEAD", vec![], 200),
            ("GET", vec![("range", "bytes=0-3")], 206),
            ("GET", vec![("range", "bytes=0-3,6-9")], 206),
            // A browser takes these headers for those of what it keeps.
            ("GET", vec![("if-none-match", etag.as_str())], 304),
            ("GET", vec![("accept-encoding", "br")], 200),
        ] {
            let answer = ask(&mut world.edge, method, "/media/public/t", &headers).expect(status);
            assert!(is_apart(&answer), "{kind:?} {method} {headers:?}: {:?}", answer.headers);
            let shown = answer.header("content-type");
            assert!(if status == 304 { shown.is_none() } else { shown.is_some_and(is_plain) }, "{kind:?} {method} {headers:?}: {shown:?}");
        }
        // It is stored as it was sent, and the S3 door says so to whoever signs.
        let there = world.s3.send(&Request::on("HEAD", "media", "public/t"), Sign::Header(&acme())).expect(200);
        assert_eq!(there.header("content-type").map(str::trim), Some(kind.trim()));
        assert_eq!(there.header("content-security-policy"), None);
        // Under one host name with the other buckets it is apart too.
        let mut anyone = world.gateway.client();
        let answer = ask(&mut anyone, "GET", "/media/public/t", &[]).expect(200);
        assert!(is_apart(&answer), "{kind:?} on the S3 door: {:?}", answer.headers);
        let answer = ask(&mut anyone, "GET", "/media/public/t", &[("if-none-match", &etag)]).expect(304);
        assert!(is_apart(&answer) && answer.header("content-type").is_none(), "{kind:?} on the S3 door: {:?}", answer.headers);
    }
}

#[test]
fn parts_of_a_malformed_type_are_bytes() {
    let mut world = world();
    assert!(store(&mut world, "text/html(x)"));
    let answer = world.get("public/t", &[("range", "bytes=0-3,6-9")]).expect(206);
    assert!(
        !answer.text().contains("text/html") && answer.text().contains("Content-Type: application/octet-stream\r\n"),
        "{}",
        answer.text()
    );
    // A type that the link chooses is not put where the boundary is told.
    let link = Request::on("GET", "media", "private/a.glb").query("response-content-type", "image/png").header("range", "bytes=0-3,6-9");
    let answer = world.edge.send(&link, Sign::Presigned(&acme())).expect(200);
    assert_eq!((answer.header("content-type"), &*answer.body), (Some("image/png"), BODY));
}

/// Error documents are XML and repeat the path.
#[test]
fn error_documents_are_apart() {
    let mut world = world();
    let path = "/media/known/%3Chtml%20xmlns=%22http://www.w3.org/1999/xhtml%22%3E%3Cscript%3E";
    for mut client in [Client::new(world.gateway.address(Door::Edge)), world.gateway.client()] {
        let answer = ask(&mut client, "GET", path, &[]).expect(404);
        assert!(is_apart(&answer) && !answer.text().contains("<html"), "{}", answer.text());
    }
    assert!(is_apart(&ask(&mut world.edge, "PUT", "/media/x", &[]).expect(405)));
}

/// What pages load is free: a worker's script would not start under a sandbox.
#[test]
fn what_pages_load_is_free() {
    let mut world = world();
    for kind in
        ["text/javascript; charset=utf-8", "application/wasm", "image/png", "model/gltf-binary", "application/json", "application/pdf"]
    {
        assert!(store(&mut world, kind));
        let etag = format!("\"{}\"", world.get("public/t", &[]).etag());
        for (door, headers, status) in
            [(Door::Edge, vec![], 200), (Door::Edge, vec![("if-none-match", etag.as_str())], 304), (Door::S3, vec![], 200)]
        {
            let answer = ask(&mut Client::new(world.gateway.address(door)), "GET", "/media/public/t", &headers).expect(status);
            assert_eq!(answer.header("content-security-policy"), None, "{kind}");
            assert_eq!(answer.header("content-type"), (status == 200).then_some(kind));
        }
    }
}

/// Whoever could register one would answer in place of the gateway for everything below its path.
#[test]
fn service_workers_are_refused_where_writers_share_an_address() {
    let mut world = world();
    assert!(store(&mut world, "text/javascript"));
    let asked = [("service-worker", "script")];
    assert_eq!(world.get("public/t", &asked).code(), "AccessDenied");
    assert_eq!(ask(&mut world.gateway.client(), "GET", "/media/public/t", &asked).code(), "AccessDenied");
    // The site that opts out has one writer.
    ask(&mut world.host("credentials.test"), "GET", "/public/t", &asked).expect(200);
}

/// A bucket in the host's name has an origin of its own, as on S3.
#[test]
fn a_bucket_with_a_host_of_its_own_shows_its_pages() {
    let mut setup = Setup::new();
    setup.auth.domains = vec!["s3.test".into()];
    let gateway = setup.start();
    let mut s3 = gateway.client();
    s3.make_bucket(&acme(), "media");
    let put = Request::on("PUT", "media", "t").body(BODY).header("content-type", "text/html");
    s3.send(&put, Sign::Header(&acme())).expect(200);
    s3.host = "media.s3.test".into();
    let answer = s3.send(&Request::new("GET", "/t"), Sign::Presigned(&acme())).expect(200);
    assert_eq!((answer.header("content-type"), answer.header("content-security-policy")), (Some("text/html"), None));
    s3.host = "s3.test".into();
    assert!(is_apart(&s3.send(&Request::on("GET", "media", "t"), Sign::Presigned(&acme())).expect(200)));
}
