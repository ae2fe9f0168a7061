//! A host in two places, and a host that is none: what is signed for one bucket opens no other.

use tidegate::telemetry::metrics::Door;

use crate::support::client::{Request, Sign};
use crate::support::gateway::{Gateway, Setup, acme, operator};
use crate::support::raw;
use crate::support::signer;
use crate::support::wire::Wire;

const PUBLIC: &str = "pubb.s3.test";
const PRIVATE: &str = "priv.s3.test";

/// Two buckets of acme's with an object `x` each, also by virtual host.
fn gateway() -> Gateway {
    let mut setup = Setup::new();
    setup.auth.domains = vec!["s3.test".into()];
    setup.auth.public_hosts = vec!["assets.test".into(), "one.assets.test".into()];
    setup.auth.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let gateway = setup.start();
    let mut client = gateway.client();
    for bucket in ["pubb", "priv"] {
        client.make_bucket(&acme(), bucket);
        client.put(&acme(), bucket, "x", bucket.as_bytes()).expect(200);
    }
    gateway
}

fn body_of(gateway: &Gateway, bucket: &str) -> Vec<u8> {
    gateway.client().get(&acme(), bucket, "x").expect(200).body
}

/// GET and PUT of `x` in the bucket that `host` names, signed in every form.
fn signed_for(host: &str, bucket: &str) -> Vec<(String, Wire)> {
    let key = acme();
    let mut all = Vec::new();
    for method in ["GET", "PUT"] {
        let request = Request::new(method, "/x").body(if method == "PUT" { &b"overwritten"[..] } else { b"" });
        let mut sigv2 = request.clone();
        sigv2.query.extend(signer::sigv2(&key, method, "", "", &format!("/{bucket}/x")));
        all.push((format!("{method} header"), Wire::new(&request, host, Sign::Header(&key))));
        all.push((format!("{method} presigned"), Wire::new(&request, host, Sign::Presigned(&key))));
        all.push((format!("{method} SigV2"), Wire::new(&sigv2, host, Sign::No)));
    }
    all
}

#[test]
fn a_link_to_one_bucket_opens_no_other() {
    let gateway = gateway();
    let address = gateway.address(Door::S3);
    for (what, wire) in signed_for(PUBLIC, "pubb") {
        for (authority, hosts) in [
            (Some(PRIVATE), &[PUBLIC][..]),
            (Some(PUBLIC), &[PRIVATE]),
            (Some(PRIVATE), &[PUBLIC, PRIVATE]),
            (None, &[PRIVATE, PUBLIC]),
            (None, &[PUBLIC, PRIVATE]),
            (Some("user@pubb.s3.test"), &[PRIVATE]),
        ] {
            let confused = wire.named(authority, hosts);
            let answer = confused.over_http1(address);
            assert_eq!((answer.status, answer.body.is_empty()), (400, false), "{what} {authority:?} {hosts:?}: {}", answer.text());
            assert!(!answer.text().contains("priv"), "{what}");
            let answer = confused.over_http2(address);
            assert!(matches!(answer.status, 0 | 400), "{what} {authority:?} {hosts:?}: {} {}", answer.status, answer.text());
        }
        // Where only one host is named, that is the one that was signed for.
        let elsewhere = wire.named(Some(PRIVATE), &[]);
        assert_eq!(elsewhere.over_http2(address).status, 403, "{what}");
        assert_eq!(elsewhere.named(None, &[PRIVATE]).over_http1(address).status, 403, "{what}");
    }
    assert_eq!((body_of(&gateway, "priv"), body_of(&gateway, "pubb")), (b"priv".to_vec(), b"pubb".to_vec()));
}

#[test]
fn one_host_in_every_form() {
    let gateway = gateway();
    let address = gateway.address(Door::S3);
    for (what, wire) in signed_for(PUBLIC, "pubb") {
        for (authority, hosts) in [(None, &[PUBLIC][..]), (Some(PUBLIC), &[PUBLIC]), (Some("PUBB.s3.test:80"), &[PUBLIC])] {
            assert_eq!(wire.named(authority, hosts).over_http1(address).status, 200, "{what} {authority:?} {hosts:?}");
            assert_eq!(wire.named(authority, hosts).over_http2(address).status, 200, "{what} {authority:?} {hosts:?}");
        }
        assert_eq!(wire.named(Some(PUBLIC), &[]).over_http2(address).status, 200, "{what}");
    }
    assert_eq!((body_of(&gateway, "priv"), body_of(&gateway, "pubb")), (b"priv".to_vec(), b"overwritten".to_vec()));
}

#[test]
fn a_name_that_signatures_are_tried_with_moves_nothing() {
    let gateway = gateway();
    let address = gateway.address(Door::S3);
    // Signed for the bucket `one` of `assets.test`, or in path style for the name `one.assets.test`: the operator says the latter.
    let by_path = Wire::new(&Request::new("GET", "/pubb/x"), "one.assets.test", Sign::Presigned(&acme()));
    assert_eq!(by_path.named(None, &["origin"]).over_http1(address).expect(200).body, b"pubb");
    for host in ["one.s3.test", "priv.s3.test"] {
        assert_eq!(by_path.named(None, &[host]).over_http1(address).status, 403, "{host}");
    }
    // A virtual host keeps its bucket, also where a proxy that is believed tells another.
    let mut virtual_host = Wire::new(&Request::new("GET", "/x"), "pubb.assets.test:8443", Sign::Presigned(&acme()));
    virtual_host.headers.push(("x-forwarded-host".into(), "pubb.assets.test:8443".into()));
    assert_eq!(virtual_host.named(None, &[PUBLIC]).over_http1(address).expect(200).body, b"pubb");
    for host in [PRIVATE, "s3.test", "assets.test", "origin"] {
        let answer = virtual_host.named(None, &[host]).over_http1(address);
        assert!(matches!(answer.status, 400 | 403) && !answer.text().contains("pubb<"), "{host}: {} {}", answer.status, answer.text());
    }
}

#[test]
fn what_names_no_host_is_refused() {
    let gateway = gateway();
    for door in [Door::S3, Door::Edge, Door::Admin] {
        let status = |text: &str| raw::connect(gateway.address(door)).exchange(text).0.status;
        for head in [
            "GET /pubb/x HTTP/1.1\r\n",
            "GET /pubb/x HTTP/1.1\r\nhost:\r\n",
            "GET /pubb/x HTTP/1.1\r\nhost: a b\r\n",
            "GET /pubb/x HTTP/1.1\r\nhost: user@a.test\r\n",
            "GET /pubb/x HTTP/1.1\r\nhost: a.test/path\r\n",
            "GET /pubb/x HTTP/1.1\r\nhost: a.test:80x\r\n",
            "GET /pubb/x HTTP/1.1\r\nhost: a.test, b.test\r\n",
            "GET /pubb/x HTTP/1.1\r\nhost: a.test\r\nhost: a.test\r\n",
            "GET http://user@a.test/pubb/x HTTP/1.1\r\nhost: a.test\r\n",
            "GET ftp://a.test/pubb/x HTTP/1.1\r\nhost: a.test\r\n",
            "GET a.test HTTP/1.1\r\nhost: a.test\r\n",
            "CONNECT a.test:443 HTTP/1.1\r\nhost: a.test:443\r\n",
            "OPTIONS * HTTP/1.1\r\nhost: a.test\r\n",
            "GET http:///pubb/x HTTP/1.1\r\nhost: a.test\r\n",
        ] {
            assert_eq!(status(&format!("{head}connection: close\r\n\r\n")), 400, "{door:?} {head:?}");
        }
    }
    // The oldest protocol has no Host.
    let (head, _) = raw::connect(gateway.address(Door::S3)).exchange("GET /-/health HTTP/1.0\r\n\r\n");
    assert_eq!(head.status, 200);
}

/// A page of another name, which was made to point here, reads nothing of the operator's.
#[test]
fn the_admin_door_is_known_by_few_names() {
    let mut setup = Setup::new();
    setup.doors.admin_hosts = vec!["metrics.internal".into()];
    let gateway = setup.start();
    // What anyone on this network may read is no more for such a page, on the way that the console takes to the S3 door.
    let policy = r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::open/*"},"Version":"2012-10-17"}"#;
    let mut client = gateway.client();
    client.make_bucket(&acme(), "open");
    client.put(&acme(), "open", "x", b"open").expect(200);
    client.send(&Request::new("PUT", "/open").query("policy", "").body(policy), Sign::Header(&acme())).expect(204);
    let address = gateway.address(Door::Admin);
    let status = |path: &str, host: &str| {
        let wire = Wire::new(&Request::new("GET", path), host, Sign::No);
        let answers = [
            wire.over_http1(address),
            wire.named(Some(host), &[host]).over_http1(address),
            wire.named(Some(host), &[]).over_http2(address),
        ];
        assert!(answers.iter().all(|a| a.status == answers[0].status), "{host}: {answers:?}");
        (answers[0].status, answers[0].text())
    };
    for path in ["/metrics", "/-/health", "/-/ready", "/-/s3/-/health", "/-/s3/open/x"] {
        for host in [&*address.to_string(), "127.0.0.1", "10.9.8.7:9001", "[::1]:9001", "localhost:9001", "Metrics.Internal:1"] {
            assert_eq!(status(path, host).0, 200, "{path} {host}");
        }
        for host in ["evil.test", "evil.test:9001", "127.0.0.1.evil.test", "x.localhost", "2130706433"] {
            let (status, text) = status(path, host);
            assert!(status == 403 && text.contains("admin.hosts") && !text.contains("tidegate_"), "{path} {host}: {status} {text}");
        }
    }
    let keys = Request::new("GET", "/-/admin/v1/keys");
    let signed = |host: &str| Wire::new(&keys, host, Sign::Header(&operator())).over_http1(address).status;
    assert_eq!((signed("127.0.0.1"), signed("evil.test")), (200, 403));
    // Who does not say how it calls this door is no browser.
    assert_eq!(raw::connect(address).exchange("GET /metrics HTTP/1.0\r\n\r\n").0.status, 200);
    // Peers call a node as they like, and show a seal for it.
    let peer = Wire::new(&Request::new("POST", "/-/admin/v1/peer"), "node-2.internal:9001", Sign::No).over_http1(address);
    assert!(!peer.text().contains("admin.hosts"), "{}", peer.text());
}
