//! The stand-in itself: it does what CloudFront does, also what is bad, so that the tests that use it can fail.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::ask;
use crate::support::client::{Request, Sign};
use crate::support::cloudfront::{Behaviour, Clock, CloudFront, ERROR_TTL, Fallback, Query, Settings};
use crate::support::fault_proxy::{Fault, FaultProxy};
use crate::support::gateway::{Gateway, acme};

fn settings(origin: SocketAddr) -> Settings {
    let everything = Behaviour { path: "/".into(), query: Query::Dropped, fails_over: false };
    Settings {
        origin,
        origin_name: "origin.test".into(),
        custom_headers: Vec::new(),
        behaviours: vec![everything],
        fallback: None,
        response_timeout: Duration::from_millis(300),
    }
}

struct Set {
    gateway: Gateway,
    proxy: FaultProxy,
    clock: Clock,
    cdn: CloudFront,
}

/// With `/media/k` public and fresh for ten seconds.
fn set(change: impl FnOnce(&mut Settings)) -> Set {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    client.make_bucket(&acme(), "media");
    put(&gateway, b"first");
    let proxy = FaultProxy::start(gateway.address(tidegate::telemetry::metrics::Door::Edge));
    let mut settings = settings(proxy.address);
    change(&mut settings);
    let clock = Clock::default();
    Set { cdn: CloudFront::start(settings, clock.clone()), gateway, proxy, clock }
}

fn put(gateway: &Gateway, body: &[u8]) {
    let request = Request::on("PUT", "media", "k").header("x-amz-acl", "public-read").header("cache-control", "max-age=10").body(body);
    gateway.client().send(&request, Sign::Header(&acme())).expect(200);
}

fn seen(cdn: &CloudFront, target: &str) -> (u16, String, Vec<u8>) {
    let (head, body) = ask(cdn.address, target, &[]).unwrap();
    (head.status, head.header("x-cache").unwrap_or_default().replace(" from cloudfront", ""), body)
}

#[test]
fn keeps_revalidates_and_serves_stale() {
    let set = set(|_| {});
    let look = || seen(&set.cdn, "/media/k");
    assert_eq!(look(), (200, "Miss".into(), b"first".into()));
    put(&set.gateway, b"second");
    assert_eq!(look(), (200, "Hit".into(), b"first".into()), "fresh for ten seconds");
    set.clock.advance(10);
    assert_eq!(look(), (200, "Miss".into(), b"second".into()));
    set.clock.advance(10);
    assert_eq!(look(), (200, "RefreshHit".into(), b"second".into()), "a 304");
    set.clock.advance(10);
    for fault in [Fault::Refuse, Fault::Silent, Fault::Answer503] {
        set.proxy.set(fault);
        assert_eq!(look(), (200, "Error".into(), b"second".into()), "{fault:?}: stale");
    }
    set.proxy.set(Fault::None);
    assert_eq!(look().1, "RefreshHit");
    assert_eq!(set.cdn.take_violations(), [""; 0]);
}

#[test]
fn errors_are_kept_for_the_error_time() {
    let set = set(|_| {});
    set.proxy.set(Fault::Answer503);
    assert_eq!(seen(&set.cdn, "/media/k").0, 503);
    set.proxy.set(Fault::None);
    assert_eq!(seen(&set.cdn, "/media/k").0, 503);
    set.clock.advance(ERROR_TTL);
    assert_eq!(seen(&set.cdn, "/media/k").0, 200);
}

#[test]
fn one_request_fetches_for_all_who_wait() {
    let set = set(|_| {});
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(seen(&set.cdn, "/media/k").2, b"first"));
        }
    });
    assert_eq!(set.cdn.origin_requests(), 1);
}

#[test]
fn ranges_are_enlarged_and_served_exactly() {
    let set = set(|_| {});
    let body: Vec<u8> = (0..200_000u32).map(|i| (i % 251) as u8).collect();
    put(&set.gateway, &body);
    for (range, expected) in [("bytes=70000-70009", 70_000..70_010), ("bytes=100-", 100..200_000), ("bytes=-7", 199_993..200_000)] {
        let (head, part) = ask(set.cdn.address, "/media/k", &[("Range", range)]).unwrap();
        assert_eq!(head.status, 206, "{range}");
        assert_eq!(head.header("content-range").unwrap(), format!("bytes {}-{}/200000", expected.start, expected.end - 1));
        assert_eq!(part, body[expected], "{range}");
    }
    assert!(set.cdn.entries().iter().any(|(_, e)| e.status == 206 && e.body.len() == 65_536), "whole pieces were asked for");
    assert_eq!(set.cdn.take_violations(), [""; 0]);
}

#[test]
fn only_the_group_fails_over() {
    let fallback: Fallback = Arc::new(|path| Some(Bytes::from(format!("copy of {path}"))));
    let set = set(|s| {
        s.fallback = Some(fallback);
        s.behaviours.insert(0, Behaviour { path: "/media/k".into(), query: Query::Dropped, fails_over: true });
    });
    set.proxy.set(Fault::Answer503);
    assert_eq!(seen(&set.cdn, "/media/k"), (200, "Failover".into(), b"copy of /media/k".into()));
    assert_eq!(seen(&set.cdn, "/media/other").0, 503);
    set.proxy.set(Fault::None);
    assert_eq!(seen(&set.cdn, "/media/k2").0, 403, "an answer, not a fault");
}

/// An origin as one should not be.
fn origin_that_says(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let _ = client.read(&mut [0; 4096]);
        let _ = client.write_all(answer.as_bytes());
    });
    address
}

#[test]
fn a_body_that_was_cut_is_kept_where_nothing_told_its_length() {
    let bad = origin_that_says("HTTP/1.1 200 OK\r\nETag: \"e\"\r\nAccept-Ranges: bytes\r\nCache-Control: max-age=60\r\n\r\nhalf of");
    let cdn = CloudFront::start(settings(bad), Clock::default());
    assert_eq!(seen(&cdn, "/k"), (200, "Miss".into(), b"half of".into()));
    assert_eq!(seen(&cdn, "/k"), (200, "Hit".into(), b"half of".into()), "and stays");
    assert!(cdn.take_violations()[0].contains("no Content-Length"));

    let good = origin_that_says(
        "HTTP/1.1 200 OK\r\nETag: \"e\"\r\nAccept-Ranges: bytes\r\nContent-Length: 99\r\nCache-Control: max-age=60\r\n\r\nhalf of",
    );
    let cdn = CloudFront::start(settings(good), Clock::default());
    assert!(ask(cdn.address, "/k", &[]).is_err(), "the viewer's connection breaks too");
    assert!(cdn.entries().is_empty());
}

#[test]
fn bad_answers_are_named() {
    for (answer, word) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nAccept-Ranges: bytes\r\n\r\nx", "no ETag"),
        ("HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: /x\r\n\r\n", "a redirect"),
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "a refusal that may be kept"),
        ("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\nCache-Control: no-store\r\n\r\n", "no Retry-After"),
        ("HTTP/1.1 304 Not Modified\r\nETag: \"e\"\r\n\r\n", "nobody asked"),
    ] {
        let cdn = CloudFront::start(settings(origin_that_says(answer)), Clock::default());
        let _ = ask(cdn.address, "/k", &[]);
        let named = cdn.take_violations();
        assert!(named.iter().any(|v| v.contains(word)), "{word}: {named:?}");
    }
}
