//! CORS on the S3 door, which is the bucket's own. The tables are those of ceph/s3-tests (test_cors_*), and what AWS adds.

use crate::support::client::{Answer, Client, Request, Sign};
use crate::support::gateway::{Gateway, Setup, acme, bravo};

fn rule(methods: &[&str], origins: &[&str], more: &str) -> String {
    let methods: String = methods.iter().map(|m| format!("<AllowedMethod>{m}</AllowedMethod>")).collect();
    let origins: String = origins.iter().map(|o| format!("<AllowedOrigin>{o}</AllowedOrigin>")).collect();
    format!("<CORSRule>{methods}{origins}{more}</CORSRule>")
}

fn document(rules: &[String]) -> String {
    format!("<CORSConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{}</CORSConfiguration>", rules.concat())
}

struct World {
    _gateway: Gateway,
    client: Client,
}

/// A public bucket, where new buckets have no rules of their own.
fn world(default_cors: bool) -> World {
    let mut setup = Setup::new();
    setup.doors.default_cors = default_cors;
    let gateway = setup.start();
    let mut client = gateway.client();
    client.send(&Request::new("PUT", "/web").header("x-amz-acl", "public-read"), Sign::Header(&acme())).expect(200);
    World { _gateway: gateway, client }
}

impl World {
    fn set(&mut self, rules: &[String]) -> Answer {
        self.client.send(&Request::new("PUT", "/web").query("cors", "").body(document(rules)), Sign::Header(&acme()))
    }

    fn stored(&mut self) -> Answer {
        self.client.send(&Request::new("GET", "/web").query("cors", ""), Sign::Header(&acme()))
    }

    /// Anonymous. Status, allowed origin, allowed methods.
    fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> (u16, Option<String>, Option<String>) {
        let answer = self.send(method, path, headers);
        let told = |name: &str| answer.header(name).map(str::to_owned);
        (answer.status, told("access-control-allow-origin"), told("access-control-allow-methods"))
    }

    fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let request = headers.iter().fold(Request::new(method, path), |r, (n, v)| r.header(n, v));
        let answer = self.client.send(&request, Sign::No);
        assert_eq!(answer.header("cross-origin-resource-policy"), Some("cross-origin"), "{method} {path} {headers:?}");
        answer
    }
}

fn told(status: u16, origin: &str, methods: &str) -> (u16, Option<String>, Option<String>) {
    let some = |s: &str| Some(s.to_owned()).filter(|s| !s.is_empty());
    (status, some(origin), some(methods))
}

#[test]
fn rules_come_back_and_go() {
    let mut world = world(false);
    world.stored().refused(404, "NoSuchCORSConfiguration");
    world.set(&[rule(&["GET", "PUT"], &["*.get", "*.put"], "<ID>one</ID><MaxAgeSeconds>30</MaxAgeSeconds>")]).expect(200);
    let found = world.stored().expect(200).xml("CORSConfiguration");
    let rule = found.child("CORSRule").unwrap();
    let all = |name: &str| rule.children.iter().filter(|c| c.name == name).map(|c| c.text.clone()).collect::<Vec<_>>();
    assert_eq!((all("AllowedMethod"), all("AllowedOrigin")), (vec!["GET".into(), "PUT".into()], vec!["*.get".into(), "*.put".into()]));
    assert_eq!((rule.text_of("ID"), rule.text_of("MaxAgeSeconds")), (Some("one"), Some("30")));
    let delete = Request::new("DELETE", "/web").query("cors", "");
    world.client.send(&delete, Sign::Header(&bravo())).refused(403, "AccessDenied");
    world.client.send(&delete, Sign::Header(&acme())).expect(204);
    world.stored().refused(404, "NoSuchCORSConfiguration");
}

#[test]
fn origins() {
    let mut world = world(false);
    let get = |origin| rule(&["GET"], &[origin], "");
    world.set(&[get("*suffix"), get("start*end"), get("prefix*"), rule(&["PUT"], &["*.put"], "")]).expect(200);
    let origin = |o| vec![("origin", o)];
    let preflight = |o, m| vec![("origin", o), ("access-control-request-method", m)];
    let (none, bucket, object) = (told(200, "", ""), "/web", "/web/bar");
    for (method, path, headers, expected) in [
        ("GET", bucket, vec![], none.clone()),
        ("GET", bucket, origin("foo.suffix"), told(200, "foo.suffix", "GET")),
        ("GET", bucket, origin("foo.bar"), none.clone()),
        ("GET", bucket, origin("foo.suffix.get"), none.clone()),
        ("GET", bucket, origin("startend"), told(200, "startend", "GET")),
        ("GET", bucket, origin("start1end"), told(200, "start1end", "GET")),
        ("GET", bucket, origin("start12end"), told(200, "start12end", "GET")),
        ("GET", bucket, origin("0start12end"), none.clone()),
        ("GET", bucket, origin("prefix"), told(200, "prefix", "GET")),
        ("GET", bucket, origin("prefix.suffix"), told(200, "prefix.suffix", "GET")),
        ("GET", bucket, origin("bla.prefix"), none),
        ("GET", object, origin("foo.suffix"), told(404, "foo.suffix", "GET")),
        ("PUT", object, preflight("foo.suffix", "GET"), told(403, "foo.suffix", "GET")),
        ("PUT", object, preflight("foo.suffix", "PUT"), told(403, "", "")),
        ("PUT", object, preflight("foo.suffix", "DELETE"), told(403, "", "")),
        ("PUT", object, origin("foo.suffix"), told(403, "", "")),
        ("PUT", object, origin("foo.put"), told(403, "foo.put", "PUT")),
        ("OPTIONS", bucket, vec![], told(400, "", "")),
        ("OPTIONS", bucket, origin("foo.suffix"), told(400, "", "")),
        ("OPTIONS", bucket, origin("bla"), told(400, "", "")),
        ("OPTIONS", object, preflight("foo.suffix", "GET"), told(200, "foo.suffix", "GET")),
        ("OPTIONS", bucket, preflight("foo.bar", "GET"), told(403, "", "")),
        ("OPTIONS", bucket, preflight("foo.suffix.get", "GET"), told(403, "", "")),
        ("OPTIONS", bucket, preflight("startend", "GET"), told(200, "startend", "GET")),
        ("OPTIONS", bucket, preflight("start12end", "GET"), told(200, "start12end", "GET")),
        ("OPTIONS", bucket, preflight("0start12end", "GET"), told(403, "", "")),
        ("OPTIONS", bucket, preflight("prefix", "GET"), told(200, "prefix", "GET")),
        ("OPTIONS", bucket, preflight("bla.prefix", "GET"), told(403, "", "")),
        ("OPTIONS", bucket, preflight("foo.put", "GET"), told(403, "", "")),
        ("OPTIONS", bucket, preflight("foo.put", "PUT"), told(200, "foo.put", "PUT")),
    ] {
        assert_eq!(world.ask(method, path, &headers), expected, "{method} {path} {headers:?}");
    }
}

#[test]
fn a_preflight_is_told_all_and_nothing_else() {
    let mut world = world(false);
    let more = "<AllowedHeader>x-amz-*</AllowedHeader><AllowedHeader>Range</AllowedHeader><ExposeHeader>ETag</ExposeHeader>\
                <ExposeHeader>x-amz-meta-a</ExposeHeader><MaxAgeSeconds>3000</MaxAgeSeconds>";
    world.set(&[rule(&["GET", "HEAD"], &["https://a.test"], more), rule(&["DELETE"], &["*"], "")]).expect(200);
    let ask = |origin: &'static str, method: &'static str, headers: &'static str| {
        vec![("origin", origin), ("access-control-request-method", method), ("access-control-request-headers", headers)]
    };
    let answer = world.send("OPTIONS", "/web/k", &ask("https://a.test", "GET", "Range, X-Amz-Date,x-amz-meta-Q")).expect(200);
    for (name, expected) in [
        ("access-control-allow-origin", "https://a.test"),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-methods", "GET, HEAD"),
        ("access-control-allow-headers", "range, x-amz-date, x-amz-meta-q"),
        ("access-control-expose-headers", "ETag, x-amz-meta-a"),
        ("access-control-max-age", "3000"),
        ("vary", "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"),
    ] {
        assert_eq!(answer.header(name), Some(expected), "{name}");
    }
    // Anyone: no origin is named, and no credentials count.
    let anyone = world.send("OPTIONS", "/web/k", &ask("https://a.test", "DELETE", "")).expect(200);
    assert_eq!((anyone.header("access-control-allow-origin"), anyone.header("access-control-allow-credentials")), (Some("*"), None));
    for refused in [ask("https://a.test", "GET", "x-other"), ask("https://A.test", "GET", "range"), ask("https://a.test", "PUT", "range")] {
        let answer = world.send("OPTIONS", "/web/k", &refused).refused(403, "AccessForbidden");
        let error = answer.xml("Error");
        assert!(error.text_of("Message").unwrap().starts_with("CORSResponse: This CORS request is not allowed."), "{}", answer.text());
        assert_eq!(error.text_of("ResourceType"), Some("OBJECT"));
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    world.send("OPTIONS", "/web/k", &ask("https://a.test", "TRACE", "")).refused(400, "BadRequest");
    world.send("OPTIONS", "/no-such-bucket/k", &ask("https://a.test", "GET", "")).refused(404, "NoSuchBucket");
}

#[test]
fn every_answer_has_them() {
    let mut world = world(false);
    world.set(&[rule(&["GET", "HEAD"], &["https://a.test"], "<ExposeHeader>ETag</ExposeHeader>")]).expect(200);
    let put = Request::on("PUT", "web", "k").header("x-amz-acl", "public-read").body("0123456789");
    world.client.send(&put, Sign::Header(&acme())).expect(200);
    for (method, headers, status) in [
        ("GET", vec![], 200),
        ("HEAD", vec![], 200),
        ("GET", vec![("range", "bytes=0-1")], 206),
        ("GET", vec![("if-none-match", "*")], 304),
        ("GET", vec![("if-match", "\"x\"")], 412),
        ("GET", vec![("range", "bytes=99-")], 416),
        ("GET", vec![("authorization", "AWS4-HMAC-SHA256 nonsense")], 400),
    ] {
        let from_page: Vec<_> = headers.iter().copied().chain([("origin", "https://a.test")]).collect();
        let answer = world.send(method, "/web/k", &from_page).expect(status);
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://a.test"), "{headers:?}");
        assert_eq!(answer.header("access-control-expose-headers"), Some("ETag"), "{headers:?}");
        // A cache must not hand to a page what it got without an Origin.
        let plain = world.send(method, "/web/k", &headers).expect(status);
        assert_eq!(plain.header("vary"), answer.header("vary"));
        assert!(plain.header("vary").unwrap().starts_with("Origin,") && plain.header("access-control-allow-origin").is_none());
    }
}

#[test]
fn new_buckets_let_pages_read() {
    let mut world = world(true);
    let found = world.stored().expect(200).xml("CORSConfiguration");
    assert_eq!(found.child("CORSRule").unwrap().text_of("AllowedOrigin"), Some("*"));
    assert_eq!(world.ask("GET", "/web", &[("origin", "https://any.test")]), told(200, "*", "GET, HEAD"));
    let preflight = [("origin", "null"), ("access-control-request-method", "GET"), ("access-control-request-headers", "range, if-range")];
    assert_eq!(world.ask("OPTIONS", "/web/k", &preflight), told(200, "*", "GET, HEAD"));
    // Not more than reading, and not past the policy.
    assert_eq!(world.ask("PUT", "/web/k", &[("origin", "https://any.test")]), told(403, "", ""));
    assert_eq!(world.ask("GET", "/web/k", &[("origin", "https://any.test")]).0, 404);
    // Removed is removed.
    world.client.send(&Request::new("DELETE", "/web").query("cors", ""), Sign::Header(&acme())).expect(204);
    world.stored().refused(404, "NoSuchCORSConfiguration");
    assert_eq!(world.ask("GET", "/web", &[("origin", "https://any.test")]), told(200, "", ""));
    let refused = world.send("OPTIONS", "/web/k", &preflight).refused(403, "AccessForbidden");
    assert!(refused.text().contains("CORSResponse: CORS is not enabled for this bucket."));
}

#[test]
fn limits() {
    let mut world = world(true);
    let before = world.stored().text();
    world.set(&vec![rule(&["GET"], &["*"], ""); 101]).refused(400, "InvalidRequest");
    world.set(&[]).refused(400, "MalformedXML");
    world.set(&[rule(&["PATCH"], &["*"], "")]).refused(400, "InvalidRequest");
    world.set(&[rule(&["GET"], &["a*b*"], "")]).refused(400, "InvalidRequest");
    world.set(&[rule(&["GET"], &["*"], "<ExposeHeader>a&#13;&#10;set-cookie: x</ExposeHeader>")]).refused(400, "InvalidRequest");
    let long = format!("https://{}.test", "a".repeat(70_000));
    world.set(&[rule(&["GET"], &[&long], "")]).refused(400, "MalformedXML");
    assert_eq!(world.stored().text(), before);
    world.set(&vec![rule(&["GET"], &["*"], ""); 100]).expect(200);
}

#[test]
fn presigned_urls_are_preflighted_like_others() {
    let mut world = world(false);
    world.set(&[rule(&["GET", "PUT"], &["example"], "")]).expect(200);
    for method in ["GET", "PUT"] {
        let (head, _) = Request::on(method, "web", "foo").head(&world.client.host.clone(), Sign::Presigned(&acme()));
        let target = head.split(' ').nth(1).unwrap().to_owned();
        assert_eq!(world.ask("OPTIONS", &target, &[]).0, 400);
        let answer = world.ask("OPTIONS", &target, &[("origin", "example"), ("access-control-request-method", method)]);
        assert_eq!(answer, told(200, "example", "GET, PUT"));
    }
}
