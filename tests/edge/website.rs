//! A bucket as a website: set over the S3 door, honoured on the site that shows it. Over both stores.

use super::*;

const WEBSITE: &str = "<WebsiteConfiguration><IndexDocument><Suffix>index.html</Suffix></IndexDocument>\
    <ErrorDocument><Key>errors/oops.html</Key></ErrorDocument><RoutingRules>\
    <RoutingRule><Condition><KeyPrefixEquals>old/</KeyPrefixEquals></Condition><Redirect><ReplaceKeyPrefixWith>new/</ReplaceKeyPrefixWith></Redirect></RoutingRule>\
    <RoutingRule><Condition><KeyPrefixEquals>app/</KeyPrefixEquals><HttpErrorCodeReturnedEquals>404</HttpErrorCodeReturnedEquals></Condition>\
    <Redirect><HostName>other.example</HostName><Protocol>https</Protocol><ReplaceKeyWith>a#!</ReplaceKeyWith><HttpRedirectCode>302</HttpRedirectCode></Redirect></RoutingRule>\
    </RoutingRules></WebsiteConfiguration>";

/// Everyone may read and list all but `secret/`.
const OPEN: &str = r#"{"Version":"2012-10-17","Statement":[
    {"Effect":"Allow","Principal":"*","Action":["s3:GetObject","s3:ListBucket"],"Resource":["arn:aws:s3:::web","arn:aws:s3:::web/*"]},
    {"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::web/secret/*"}]}"#;

fn worlds() -> [World; 2] {
    let setup = || {
        let mut setup = Setup::new();
        let web = BucketName::parse("web").ok();
        let site = |host: &str| Site { hosts: vec![host.into()], bucket: web.clone(), ..Site::default() };
        setup.doors.sites = Sites::new(vec![
            site("web.test"),
            Site { index: Some("index.html".into()), ..site("fixed.test") },
            Site { prefix: "new/".into(), ..site("part.test") },
            Site::default(),
        ]);
        setup
    };
    [setup().start(), setup().start_over(Gateway::start())].map(|gateway| {
        let (mut s3, edge) = (gateway.client(), Client::new(gateway.address(Door::Edge)));
        s3.make_bucket(&acme(), "web");
        s3.send(&Request::new("PUT", "/web").query("policy", "").body(OPEN), Sign::Header(&acme())).expect(204);
        for key in ["index.html", "errors/oops.html", "docs/index.html", "new/page", "old/kept", "secret/x"] {
            s3.put(&acme(), "web", key, key.as_bytes()).expect(200);
        }
        World { gateway, s3, edge }
    })
}

fn set(world: &mut World, document: &str) {
    world.s3.send(&Request::new("PUT", "/web").query("website", "").body(document), Sign::Header(&acme())).expect(200);
}

/// Status, and where it leads or what it shows.
fn seen(client: &mut Client, path: &str) -> (u16, String) {
    let answer = ask(client, "GET", path, &[]);
    (answer.status, answer.header("location").map_or_else(|| answer.text(), str::to_owned))
}

fn expect(client: &mut Client, pages: &[(&str, u16, &str)]) {
    for (path, status, shows) in pages {
        assert_eq!(seen(client, path), (*status, (*shows).to_owned()), "{path}");
    }
}

#[test]
fn pages_redirects_and_errors() {
    for mut world in worlds() {
        let mut site = world.host("web.test");
        assert_eq!(
            [ask(&mut site, "GET", "/", &[]).status, ask(&mut site, "GET", "/docs/", &[]).status],
            [404, 404],
            "it is no website yet"
        );
        set(&mut world, WEBSITE);
        let redirect =
            Request::on("PUT", "web", "moved").header("x-amz-website-redirect-location", "https://elsewhere.example/?a=b").body("x");
        world.s3.send(&redirect, Sign::Header(&acme())).expect(200);
        expect(
            &mut site,
            &[
                ("/", 200, "index.html"),
                ("/index.html", 200, "index.html"),
                ("/docs/", 200, "docs/index.html"),
                ("/docs", 302, "/docs/"),
                ("/new/page", 200, "new/page"),
                // Whether or not there is something.
                ("/old/page", 301, "/new/page"),
                ("/old/kept", 301, "/new/kept"),
                ("/app/x", 302, "https://other.example/a#!"),
                ("/moved", 301, "https://elsewhere.example/?a=b"),
                ("/missing", 404, "errors/oops.html"),
                ("/missing/", 404, "errors/oops.html"),
                ("/secret/x", 403, "errors/oops.html"),
                // What a stranger writes into a path leads nowhere else.
                ("/old//evil.example", 301, "/new//evil.example"),
                ("/old/a%0d%0aSet-Cookie:%20b", 301, "/new/a%0D%0ASet-Cookie%3A%20b"),
            ],
        );
        let missing = ask(&mut site, "GET", "/missing", &[("range", "bytes=0-1"), ("if-none-match", "*")]);
        assert_eq!((missing.status, missing.text()), (404, "errors/oops.html".into()), "conditions are of what was asked for");
        assert!(missing.header("etag").is_none() && missing.header("content-length") == Some("16"));
        assert!(missing.header("cache-control").unwrap().contains("s-maxage=10"));
        assert!(ask(&mut site, "GET", "/secret/x", &[]).header("cache-control").unwrap().contains("no-store"));
        assert_eq!(ask(&mut site, "HEAD", "/missing", &[]).status, 404);
        // On a site of a part of the bucket, by path, and on the S3 door an object is an object.
        assert_eq!(seen(&mut world.host("part.test"), "/page"), (200, "new/page".into()));
        assert_eq!(ask(&mut world.host("part.test"), "GET", "/", &[]).status, 404);
        assert_eq!(seen(&mut world.host("any.test"), "/web/old/kept"), (200, "old/kept".into()));
        world.s3.get(&acme(), "web", "old/kept").expect(200);
        assert_eq!(world.s3.get(&acme(), "web", "moved").expect(200).body, b"x");
        assert_eq!(seen(&mut world.host("fixed.test"), "/docs/"), (200, "docs/index.html".into()));

        let told = world.s3.send(&Request::new("GET", "/web").query("website", ""), Sign::Header(&acme())).expect(200).text();
        set(&mut world, &told);
        world.s3.send(&Request::new("DELETE", "/web").query("website", ""), Sign::Header(&acme())).expect(204);
        assert_eq!(ask(&mut site, "GET", "/", &[]).status, 404);
        assert_eq!(seen(&mut site, "/moved"), (200, "x".into()));
    }
}

#[test]
fn all_requests_elsewhere_and_no_path_is_a_host() {
    for mut world in worlds() {
        let mut site = world.host("web.test");
        set(
            &mut world,
            "<WebsiteConfiguration><RedirectAllRequestsTo><HostName>www.example</HostName><Protocol>https</Protocol></RedirectAllRequestsTo></WebsiteConfiguration>",
        );
        expect(
            &mut site,
            &[
                ("/", 301, "https://www.example/"),
                ("/index.html", 301, "https://www.example/index.html"),
                ("/a/b", 301, "https://www.example/a/b"),
            ],
        );
        let rule = "<RoutingRule><Redirect><ReplaceKeyPrefixWith></ReplaceKeyPrefixWith></Redirect></RoutingRule>";
        set(
            &mut world,
            &format!(
                "<WebsiteConfiguration><IndexDocument><Suffix>i</Suffix></IndexDocument><RoutingRules>{rule}</RoutingRules></WebsiteConfiguration>"
            ),
        );
        expect(&mut site, &[("//evil.example/x", 301, "/%2Fevil.example/x"), ("/%2f%2fevil.example", 301, "/%2F/evil.example")]);
        for bad in [
            "<WebsiteConfiguration/>",
            "<WebsiteConfiguration><RedirectAllRequestsTo><HostName>a@b</HostName></RedirectAllRequestsTo></WebsiteConfiguration>",
        ] {
            let put = Request::new("PUT", "/web").query("website", "").body(bad);
            world.s3.send(&put, Sign::Header(&acme())).refused(400, "InvalidArgument");
        }
        let get = Request::new("GET", "/web").query("website", "");
        world.s3.send(&get, Sign::No).refused(403, "AccessDenied");
    }
}
