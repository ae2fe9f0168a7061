//! What is signed for one site opens no other, whatever names a request has for its host.

use std::path::Path;

use serde_json::{Value, json};
use tidegate::base::names::BucketName;
use tidegate::http::edge::site::{Site, Sites};
use tidegate::telemetry::metrics::Door;

use crate::support::client::{Client, Request, Sign};
use crate::support::gateway::{Gateway, Setup, acme};
use crate::support::signer;
use crate::support::wire::Wire;

const KEYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/auth/tests/keys");

/// Sites for two folders of one bucket, and the shipped one; an object `x` in each folder, and a bucket whose name is in a path.
fn gateway() -> Gateway {
    let mut setup = Setup::new();
    let site = |host: &str| Site {
        hosts: vec![host.into()],
        bucket: BucketName::parse("media").ok(),
        prefix: format!("{}/", &host[..1]),
        ..Site::default()
    };
    setup.doors.sites = Sites::new(vec![site("a.test"), Site { url: Some("http://cdn.test".into()), ..site("b.test") }, Site::default()]);
    setup.auth.public_hosts = vec!["a.test".into(), "cdn.test".into()];
    setup.auth.domains = vec!["s3.test".into()];
    setup.auth.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let mut gateway = setup.start();
    let policies = gateway.policies();
    gateway.restart(|_| write_keys(&policies));
    let mut client = gateway.client();
    client.make_bucket(&acme(), "media");
    for name in ["x", "a/x", "b/x"] {
        client.put(&acme(), "media", name, format!("object {name}").as_bytes()).expect(200);
    }
    gateway
}

fn write_keys(policies: &Path) {
    let dir = policies.join("cdn-keys");
    std::fs::create_dir_all(&dir).unwrap();
    let text = format!("id = \"KACME\"\ntenant = \"acme\"\nprivate_key = {{ file = \"{KEYS}/rsa.key\" }}\n");
    std::fs::write(dir.join("k.toml"), text).unwrap();
}

/// A link that the gateway makes, as it would be asked for.
fn link(gateway: &Gateway, form: &str, key: &str, base: &str) -> Wire {
    let document = json!({ "bucket": "media", "key": key, "form": form, "base": base }).to_string();
    let answer = gateway.client().send(&Request::new("POST", "/-/v1/presign").body(document), Sign::Header(&acme())).expect(200);
    let said: Value = serde_json::from_slice(&answer.body).unwrap();
    let url = said["url"].as_str().unwrap();
    let (host, target) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut wire = Wire::new(&Request::new("GET", "/"), host, Sign::No);
    wire.target = format!("/{target}");
    wire
}

#[test]
fn a_link_to_one_site_opens_no_other() {
    let gateway = gateway();
    let address = gateway.address(Door::Edge);
    let links = [
        ("SigV4", Wire::new(&Request::new("GET", "/x"), "a.test", Sign::Presigned(&acme()))),
        ("header", Wire::new(&Request::new("GET", "/x"), "a.test", Sign::Header(&acme()))),
        ("cloudfront", link(&gateway, "cloudfront", "a/x", "http://a.test")),
        ("path-token", link(&gateway, "path-token", "a/x", "http://a.test")),
    ];
    for (what, wire) in &links {
        for (authority, hosts) in [(None, &["a.test"][..]), (Some("a.test"), &["a.test"]), (Some("A.test"), &["a.test:80"])] {
            if hosts == ["a.test:80"] && *what != "path-token" {
                continue;
            }
            assert_eq!(wire.named(authority, hosts).over_http1(address).expect(200).body, b"object a/x", "{what}");
        }
        assert_eq!(wire.named(Some("a.test"), &[]).over_http2(address).expect(200).body, b"object a/x", "{what}");
        for (authority, hosts) in [(Some("b.test"), &["a.test"][..]), (Some("a.test"), &["b.test"])] {
            assert_eq!(wire.named(authority, hosts).over_http1(address).status, 400, "{what}");
            assert_eq!(wire.named(authority, hosts).over_http2(address).status, 400, "{what}");
        }
        // `a.test` is a public name, and a proxy that is believed tells it: still the site of the Host is another one.
        let mut told = wire.clone();
        told.headers.push(("x-forwarded-host".into(), "a.test".into()));
        for host in ["b.test", "origin", "cdn.test"] {
            let answer = told.named(None, &[host]).over_http1(address);
            assert!(matches!(answer.status, 403 | 404), "{what} {host}: {} {}", answer.status, answer.text());
        }
    }
}

#[test]
fn the_name_that_browsers_know_a_site_by_is_that_sites() {
    let gateway = gateway();
    let address = gateway.address(Door::Edge);
    for wire in [
        Wire::new(&Request::new("GET", "/x"), "cdn.test", Sign::Presigned(&acme())),
        link(&gateway, "cloudfront", "b/x", "http://cdn.test"),
    ] {
        assert_eq!(wire.named(None, &["b.test"]).over_http1(address).expect(200).body, b"object b/x");
        for host in ["a.test", "origin"] {
            let answer = wire.named(None, &[host]).over_http1(address);
            assert!(matches!(answer.status, 403 | 404), "{host}: {} {}", answer.status, answer.text());
        }
    }
}

/// SigV2 signs no host: what it names it names in S3's way.
#[test]
fn a_sigv2_link_opens_what_it_opens_on_the_s3_door() {
    let gateway = gateway();
    let address = gateway.address(Door::Edge);
    let link = |path: &str, resource: &str| {
        let mut request = Request::new("GET", path);
        request.query.extend(signer::sigv2(&acme(), "GET", "", "", resource));
        Wire::new(&request, "origin", Sign::No)
    };
    let by_path = link("/media/a/x", "/media/a/x");
    assert_eq!(by_path.over_http1(address).expect(200).body, b"object a/x");
    for host in ["a.test", "b.test"] {
        by_path.named(None, &[host]).over_http1(address).refused(403, "AccessDenied");
        link("/x", "/x/x").named(None, &[host]).over_http1(address).refused(403, "AccessDenied");
    }
}

/// On the S3 door such a host names a bucket; the shipped site reads the path alone.
#[test]
fn a_host_that_names_a_bucket_names_it_here() {
    let gateway = gateway();
    gateway.client().make_bucket(&acme(), "priv");
    let address = gateway.address(Door::Edge);
    for sign in [Sign::Presigned(&acme()), Sign::Header(&acme())] {
        let wire = Wire::new(&Request::new("GET", "/media/x"), "priv.s3.test", sign);
        let answer = wire.over_http1(address);
        assert_eq!((answer.status, &*answer.code()), (403, "AccessDenied"), "{}", answer.text());
    }
    let mut edge = Client::new(address);
    edge.send(&Request::new("GET", "/media/x"), Sign::Presigned(&acme())).expect(200);
}
