//! The limits of a tenant: bytes and objects hold under racing writers and over restarts, and its rate is its own.

use crate::s3::races::{WRITERS, body, together};
use crate::support::client::{Answer, Request, Sign};
use crate::support::gateway::{Gateway, Setup, acme};
use crate::support::signer::Key;

fn limited(limits: &str) -> (Gateway, Key) {
    let mut setup = Setup::new();
    setup.tenant("small", limits, &[("AKSMALL", "small-secret", "")]);
    (setup.start(), Key::new("AKSMALL", "small-secret"))
}

#[test]
fn racing_writers_stay_inside_the_tenants_bytes() {
    let (gateway, small) = limited("bytes = 1000000");
    let mut client = gateway.client();
    client.make_bucket(&small, "limited");
    let answers = together(&gateway, WRITERS, |n, client| {
        (0..5).map(|i| client.put(&small, "limited", &format!("{n}-{i}"), &body(n * 10 + i, 100_000))).collect::<Vec<_>>()
    });
    let answers: Vec<Answer> = answers.into_iter().flatten().collect();
    assert_eq!(answers.iter().filter(|a| a.status == 200).count(), 10, "ten fit");
    assert!(answers.iter().all(|a| a.status == 200 || (a.status, &*a.code()) == (403, "QuotaExceeded")));
    assert_eq!(client.list(&small, "limited", &[]).keys.len(), 10, "what was refused is not there");
    // Not even one byte, nor a part, nor a copy; replacing with less and deleting make room.
    client.put(&small, "limited", "one", b"1").refused(403, "QuotaExceeded");
    let keys = client.list(&small, "limited", &[]).keys;
    let copy = Request::on("PUT", "limited", "copy").header("x-amz-copy-source", &format!("/limited/{}", keys[0]));
    client.send(&copy, Sign::Header(&small)).refused(403, "QuotaExceeded");
    let upload = client.create_upload(&small, "limited", "parts");
    client.upload_part(&small, "limited", "parts", &upload, 1, b"1").refused(403, "QuotaExceeded");
    client.put(&small, "limited", &keys[0], &[1; 99_999]).expect(200);
    client.put(&small, "limited", "one", b"1").expect(200);
    client.delete(&small, "limited", "one").expect(204);
    client.delete(&small, "limited", &keys[1]).expect(204);
    client.put(&small, "limited", "again", &[2; 100_001]).expect(200);
}

#[test]
fn racing_parts_stay_inside_the_tenants_bytes() {
    let (gateway, small) = limited("bytes = 500000");
    let mut client = gateway.client();
    client.make_bucket(&small, "limited");
    let upload = client.create_upload(&small, "limited", "key");
    let answers = together(&gateway, WRITERS, |n, client| {
        client.upload_part(&small, "limited", "key", &upload, n as u16 + 1, &body(n, 100_000)).status
    });
    assert_eq!(answers.iter().filter(|s| **s == 200).count(), 5, "{answers:?}");
    // A part again in place of itself takes no more room.
    let there = answers.iter().position(|s| *s == 200).unwrap() as u16 + 1;
    let etag = client.upload_part(&small, "limited", "key", &upload, there, &body(99, 100_000)).expect(200).etag();
    client.complete(&small, "limited", "key", &upload, &[(there, etag)]).expect(200);
    // The parts that were not chosen are no longer paid for.
    client.put(&small, "limited", "more", &body(1, 400_000)).expect(200);
    client.put(&small, "limited", "too much", b"x").refused(403, "QuotaExceeded");
}

/// It was read whole, and refused then.
#[test]
fn a_body_that_does_not_fit_is_not_asked_for() {
    let (gateway, small) = limited("bytes = 1000, objects = 2");
    let mut client = gateway.client();
    client.make_bucket(&small, "limited");
    client.put(&small, "limited", "there", &[1; 600]).expect(200);
    let upload = client.create_upload(&small, "limited", "parts");
    let part = |n: &str| Request::on("PUT", "limited", "parts").query("partNumber", n).query("uploadId", &upload);
    client.send(&part("1").body(vec![1; 100]), Sign::Header(&small)).expect(200);
    let decoded = |request: Request| {
        let request = request.header("x-amz-decoded-content-length", "301").payload_hash("STREAMING-UNSIGNED-PAYLOAD-TRAILER");
        request.header("content-length", "400")
    };
    let plain = |request: Request, length: &str| request.payload_hash("UNSIGNED-PAYLOAD").header("content-length", length);
    let put = |key: &str| Request::on("PUT", "limited", key);
    let (address, host) = (client.address, client.host.clone());
    let answer = |request: Request| {
        let request = request.header("expect", "100-continue");
        let mut connection = crate::support::raw::connect(address);
        connection.send(request.head(&host, Sign::Header(&small)).0);
        connection.head().status
    };
    for request in [
        plain(put("new"), "301"),
        decoded(put("new")),
        plain(put("there"), "901"),
        plain(part("2"), "301"),
        decoded(part("2")),
        plain(part("1"), "401"),
    ] {
        assert_eq!(answer(request.clone()), 403, "{request:?}");
    }
    // What replaces something needs room for the rest of it alone.
    for request in [plain(put("new"), "300"), plain(put("there"), "900"), plain(part("2"), "300"), plain(part("1"), "400")] {
        assert_eq!(answer(request.clone()), 100, "{request:?}");
    }
    client.put(&small, "limited", "second", b"2").expect(200);
    assert_eq!(answer(plain(put("third"), "1")), 403, "no more objects");
    assert_eq!(answer(plain(put("second"), "2")), 100);
}

#[test]
fn racing_writers_stay_inside_the_tenants_objects() {
    let (gateway, small) = limited("objects = 7");
    let mut client = gateway.client();
    client.make_bucket(&small, "limited");
    let answers = together(&gateway, WRITERS, |n, client| {
        (0..3).map(|i| client.put(&small, "limited", &format!("{n}-{i}"), b"x").status).collect::<Vec<_>>()
    });
    assert_eq!(answers.concat().iter().filter(|s| **s == 200).count(), 7, "{answers:?}");
    let keys = client.list(&small, "limited", &[]).keys;
    assert_eq!(keys.len(), 7);
    client.put(&small, "limited", &keys[0], b"over").expect(200);
    client.put(&small, "limited", "new", b"x").refused(403, "QuotaExceeded");
    client.delete(&small, "limited", &keys[0]).expect(204);
    client.put(&small, "limited", "new", b"x").expect(200);
}

#[test]
fn limits_hold_after_a_restart() {
    let (mut gateway, small) = limited("bytes = 1000, objects = 10");
    let mut client = gateway.client();
    client.make_bucket(&small, "limited");
    client.put(&small, "limited", "a", &[1; 900]).expect(200);
    for without_index in [false, true] {
        gateway.restart(|data| {
            if without_index {
                std::fs::remove_dir_all(data.join("index")).unwrap();
            }
        });
        let mut client = gateway.client();
        client.put(&small, "limited", "b", &[2; 101]).refused(403, "QuotaExceeded");
        client.put(&small, "limited", "c", &[2; 100]).expect(200);
        client.delete(&small, "limited", "c").expect(204);
    }
}

#[test]
fn a_tenants_rate_is_its_own() {
    let (gateway, small) = limited("requests_per_second = 5");
    let mut client = gateway.client();
    client.make_bucket(&acme(), "acme-bucket");
    let answers: Vec<Answer> = (0..60).map(|_| client.send(&Request::new("GET", "/"), Sign::Header(&small))).collect();
    let refused: Vec<&Answer> = answers.iter().filter(|a| a.status != 200).collect();
    // However slow the machine: the first are let through, and sixty at once are too many unless it takes eleven seconds.
    assert!(answers[..5].iter().all(|a| a.status == 200));
    assert!(!refused.is_empty());
    for answer in refused {
        assert_eq!((answer.status, &*answer.code()), (503, "SlowDown"));
        assert!(answer.header("retry-after").is_some());
    }
    // Nobody else pays for it; and a stranger who only knows the access key can't use it up.
    client.send(&Request::new("HEAD", "/acme-bucket"), Sign::Header(&acme())).expect(200);
    let forged = client.send(&Request::new("GET", "/"), Sign::Header(&Key::new("AKSMALL", "wrong-secret")));
    assert_eq!((forged.status, &*forged.code()), (403, "SignatureDoesNotMatch"));
}
