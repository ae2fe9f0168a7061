//! Requests that are small to send and were dear to answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::s3::attacks::gateway;
use crate::support::client::{Answer, Client, Request, Sign};
use crate::support::gateway::{acme, bravo};
use crate::support::{alone, raw};

const ALLOW: &str =
    r#"{"Effect":"Allow","Principal":"*","Action":["s3:GetObject","s3:DeleteObject"],"Resource":"arn:aws:s3:::acme-bucket/*"}"#;

fn put_policy(client: &mut Client, statements: &str) -> Answer {
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
    client.send(&Request::on("PUT", "acme-bucket", "").query("policy", "").body(text), Sign::Header(&acme()))
}

/// Denies what any of the patterns fits.
fn deny(patterns: &[String]) -> String {
    let listed: Vec<String> = patterns.iter().map(|p| format!(r#""arn:aws:s3:::acme-bucket/{p}""#)).collect();
    format!(r#"{{"Effect":"Deny","Principal":"*","Action":["s3:GetObject","s3:DeleteObject"],"Resource":[{}]}}"#, listed.join(","))
}

fn delete(keys: impl Iterator<Item = String>) -> Request {
    let keys: String = keys.map(|key| format!("<Object><Key>{key}</Key></Object>")).collect();
    Request::on("POST", "acme-bucket", "").query("delete", "").body(format!("<Delete>{keys}</Delete>")).content_md5()
}

#[test]
fn a_policy_whose_patterns_cost_too_much_is_refused_and_the_limit_named() {
    let (_gateway, mut client) = gateway();
    for (patterns, limit) in [
        (vec![format!("*{}b", "?".repeat(1000)); 10], "1024"),
        (vec![format!("*{}b*", "a".repeat(1000)); 10], "2048"),
        (vec!["*a*a*a*a*a*a*a*a*b".to_owned(); 200], "1024"),
    ] {
        let refused = put_policy(&mut client, &deny(&patterns));
        assert!(refused.text().contains(limit), "{}", refused.text());
        refused.refused(400, "MalformedPolicy");
    }
    let action = format!("s3:{}", "*?".repeat(1000));
    put_policy(&mut client, &ALLOW.replace("s3:DeleteObject", &action)).refused(400, "MalformedPolicy");
    put_policy(&mut client, &deny(&vec!["tenants/?/*".to_owned(); 300])).expect(204);
}

/// One anonymous batch under the dearest policy, of keys that are all refused: every other connection goes on, whichever worker has
/// it. The policy lets each key through all of its patterns before the last one denies it.
#[test]
fn a_long_batch_leaves_room_for_others() {
    let (gateway, mut client) = gateway();
    let mut patterns = vec!["*aab*".to_owned(); 500];
    patterns.push("a*".into());
    put_policy(&mut client, &format!("{ALLOW},{}", deny(&patterns))).expect(204);
    let batch = delete((0..1000).map(|n| format!("{}{n}", "a".repeat(1000))));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let others: Vec<_> = (0..8)
            .map(|_| {
                let (mut client, done) = (gateway.client(), &done);
                scope.spawn(move || {
                    let mut longest = Duration::ZERO;
                    while !done.load(Ordering::Relaxed) {
                        let asked = Instant::now();
                        client.send(&Request::new("GET", "/-/health"), Sign::No).expect(200);
                        longest = longest.max(asked.elapsed());
                    }
                    longest
                })
            })
            .collect();
        let began = Instant::now();
        let answer = client.send(&batch, Sign::No).expect(200);
        let took = began.elapsed();
        done.store(true, Ordering::Relaxed);
        assert_eq!(answer.text().matches("<Code>AccessDenied</Code>").count(), 1000);
        for other in others {
            let longest = other.join().unwrap();
            assert!(longest < took / 4, "a connection waited {longest:?} of the {took:?} that the batch took");
        }
    });
}

/// Only the head is sent: an answer that waited for the body would never come.
#[test]
fn who_may_not_send_a_document_is_refused_before_it_is_read() {
    let (_gateway, client) = gateway();
    let on = |method: &str, key: &str, sub: &str| Request::on(method, "acme-bucket", key).query(sub, "");
    let api = |name: &str| Request::new("POST", &format!("/-/v1/{name}"));
    for (request, also_of_bravo) in [
        (on("POST", "", "delete").header("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg=="), true),
        (on("PUT", "", "policy"), true),
        (on("PUT", "", "cors"), true),
        (on("PUT", "", "acl"), true),
        (on("PUT", "secret", "acl"), true),
        (on("POST", "secret", "restore"), true),
        (on("POST", "secret", "uploads").query("uploadId", "0123456789abcdef0123456789abcdef"), true),
        (Request::on("PUT", "new-bucket", ""), false),
        (api("purge"), false),
        (api("warm"), false),
        (api("presign"), false),
        (api("url"), false),
    ] {
        let mut request = request.payload_hash("UNSIGNED-PAYLOAD").header("content-length", "4000000").header("expect", "100-continue");
        request.unsigned.extend(["content-length".into(), "expect".into()]);
        request.query.retain(|(name, _)| name != "uploads");
        for who in [None, Some(bravo())].into_iter().take(if also_of_bravo { 2 } else { 1 }) {
            let sign = who.as_ref().map_or(Sign::No, Sign::Header);
            let (head, _) = request.head(&client.host, sign);
            let answer = raw::connect(client.address).send(head.as_bytes()).head();
            assert_eq!(answer.status, 403, "{} {} {:?}", request.method, request.path, request.query);
        }
    }
}

/// A right to delete a single key is enough to be heard, and a Deny of all keys is enough not to be.
#[test]
fn a_batch_is_heard_where_any_key_of_it_might_go() {
    let (_gateway, mut client) = gateway();
    let one = r#"{"Effect":"Allow","Principal":"*","Action":"s3:DeleteObject","Resource":"arn:aws:s3:::acme-bucket/tmp/*"}"#;
    let deny = |resource: &str, more: &str| {
        format!(r#"{{"Effect":"Deny","Principal":"*","Action":"s3:DeleteObject","Resource":"arn:aws:s3:::{resource}"{more}}}"#)
    };
    let only_by_tls = r#","Condition":{"Bool":{"aws:SecureTransport":"false"}}"#;
    let of_a_key = r#","Condition":{"StringLike":{"tidegate:Key":"tmp/*"}}"#;
    let of_a_client = one.replace("/tmp/*\"}", r#"/*","Condition":{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}}"#);
    for (statements, heard) in [
        (one.to_owned(), true),
        (one.replace("DeleteObject", "PutObject"), false),
        (of_a_client, false),
        (format!("{one},{}", deny("acme-bucket/tmp/a*", "")), true),
        (format!("{one},{}", deny("acme-bucket/*", "")), false),
        (format!("{one},{}", deny("acme-*", "")), false),
        (format!("{one},{}", deny("acme-bucket/*", only_by_tls)), false),
        (format!("{one},{}", deny("acme-bucket/*", of_a_key)), true),
    ] {
        put_policy(&mut client, &statements).expect(204);
        let answer = client.send(&delete(["secret".to_owned()].into_iter()), Sign::No);
        assert_eq!(answer.status, if heard { 200 } else { 403 }, "{statements}: {}", answer.text());
        assert!(answer.text().contains("<Code>AccessDenied</Code>"), "{statements}: {}", answer.text());
    }
    client.get(&acme(), "acme-bucket", "secret").expect(200);
}

/// Thirty-two at once, from one who may delete.
#[test]
fn documents_of_nothing_take_little_memory() {
    if !alone::is_alone("s3::attacks::cost::documents_of_nothing_take_little_memory") {
        return;
    }
    let (_gateway, client) = gateway();
    let document = format!("<Delete>{}</Delete>", "<a/>".repeat(1_000_000));
    let mut request = Request::on("POST", "acme-bucket", "").query("delete", "").body(document.clone()).content_md5();
    request.body = Vec::new();
    let mut request = request.payload_hash("UNSIGNED-PAYLOAD").header("content-length", &document.len().to_string());
    request.unsigned.push("content-length".into());
    let (head, _) = request.head(&client.host, Sign::Header(&acme()));
    let before = alone::anonymous_memory_kib();
    let done = AtomicBool::new(false);
    let highest = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut highest = 0;
            while !done.load(Ordering::Relaxed) {
                highest = highest.max(alone::anonymous_memory_kib());
                std::thread::sleep(Duration::from_millis(2));
            }
            highest
        });
        let senders: Vec<_> = (0..32)
            .map(|_| {
                scope.spawn(|| {
                    let mut connection = raw::connect(client.address);
                    // Who is told to slow down may see its connection go while it still sends.
                    let sent = connection.try_send(head.as_bytes()).and_then(|()| connection.try_send(document.as_bytes()));
                    connection.try_head().map_or_else(|_| if sent.is_ok() { 0 } else { 503 }, |head| head.status)
                })
            })
            .collect();
        let answers: Vec<_> = senders.into_iter().map(|sender| sender.join()).collect();
        done.store(true, Ordering::Relaxed);
        let answers: Vec<u16> = answers.into_iter().map(Result::unwrap).collect();
        assert!(answers.iter().all(|status| matches!(status, 400 | 503)), "{answers:?}");
        assert!(answers.iter().filter(|status| **status == 400).count() >= 4, "{answers:?}");
        watch.join().unwrap()
    });
    let taken = highest.saturating_sub(before) / 1024;
    println!("{taken} MiB");
    assert!(taken < 160, "{taken} MiB for 32 documents of 4 MB, and there is room for four");
}
