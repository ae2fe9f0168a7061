//! Bad days of the network and of the store upstream, call by call: what the client sees, and what is upstream afterwards.

use std::time::Duration;

use http::Method;
use tidegate::telemetry::metrics::Door;

use crate::support::client::{Answer, Client, Request, Sign, complete_document};
use crate::support::faulty_s3::{ALWAYS, Fault, FaultyS3};
use crate::support::gateway::{Gateway, HOME, Setup, acme, bravo, operator, over};
use crate::upstream::early::{parts_upstream, wait_for};

/// A gateway over another one, with a bucket `media` of acme's, and what stands between them.
struct Pair {
    above: Gateway,
    between: FaultyS3,
    below: Gateway,
}

impl Pair {
    fn start() -> Self {
        let below = Gateway::start();
        below.client().make_bucket(&operator(), HOME);
        let between = FaultyS3::start(below.address(Door::S3));
        let mut setup = Setup::new();
        setup.store.inline_limit = 64 * 1024;
        let settings = over(between.address, HOME);
        setup.upstream = Some(tidegate::upstream::Settings { part_bytes: 5 << 20, ..settings });
        let above = setup.start();
        above.client().make_bucket(&acme(), "media");
        Pair { above, between, below }
    }

    fn client(&self) -> Client {
        self.above.client()
    }

    /// What is upstream under the key, whoever wrote it.
    fn upstream(&self, key: &str) -> Option<Vec<u8>> {
        let got = self.below.client().get(&operator(), HOME, &format!("media/{key}"));
        (got.status == 200).then_some(got.body)
    }

    /// No object but these, and no upload that somebody would pay for.
    fn holds_only(&self, keys: &[&str]) {
        let mut below = self.below.client();
        let listed = below.list(&operator(), HOME, &[("prefix", "media/")]).keys;
        assert_eq!(listed, keys.iter().map(|k| format!("media/{k}")).collect::<Vec<_>>());
        let uploads = below.send(&Request::on("GET", HOME, "").query("uploads", ""), Sign::Header(&operator())).expect(200).text();
        assert!(!uploads.contains("<Upload>"), "{uploads}");
    }
}

fn random(len: usize) -> Vec<u8> {
    (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn is_our_trouble(answer: &Answer) {
    assert!(matches!(answer.status, 502..=504), "{} {}", answer.status, answer.text());
    // The upstream's, not this machine's.
    assert_eq!(answer.header("retry-after"), Some("5"), "{:?}", answer.headers);
}

#[test]
fn reads_that_break_are_resumed() {
    let pair = Pair::start();
    let mut client = pair.client();
    let body = random(3_000_000);
    client.put(&acme(), "media", "k", &body).expect(200);
    let faults = [
        Fault::CutAnswer(0),
        Fault::CutAnswer(1_000_001),
        Fault::Shorter(7),
        Fault::Answer(500, "InternalError"),
        Fault::Answer(503, "SlowDown"),
        Fault::LoseAnswer,
        Fault::Delay(Duration::from_millis(300)),
    ];
    for fault in faults {
        pair.between.heal();
        pair.between.plan(Method::GET, "media/k", 1, fault);
        pair.between.plan(Method::HEAD, "media/k", 1, fault);
        let got = client.get(&acme(), "media", "k").expect(200);
        assert!(got.body == body, "{fault:?}");
    }
    // Three times in one body, and of a range.
    pair.between.heal();
    pair.between.plan(Method::GET, "media/k", 3, Fault::CutAnswer(300_000));
    let ranged = Request::on("GET", "media", "k").header("range", "bytes=1000000-2499999");
    assert!(client.send(&ranged, Sign::Header(&acme())).expect(206).body == body[1_000_000..2_500_000]);
    assert_eq!(pair.between.seen(Method::GET, "media/k"), 4);
    // Other bytes than were asked for are not sent on.
    pair.between.heal();
    pair.between.plan(Method::GET, "media/k", 1, Fault::WrongRange);
    assert!(client.send(&ranged, Sign::Header(&acme())).expect(206).body == body[1_000_000..2_500_000]);
    pair.between.plan(Method::GET, "media/k", ALWAYS, Fault::WrongRange);
    is_our_trouble(&client.send(&ranged, Sign::Header(&acme())));
}

/// The object is replaced while a broken read is about to be resumed: the client's connection ends, and it never gets other bytes.
#[test]
fn a_read_is_never_resumed_in_another_version() {
    let pair = Pair::start();
    let mut client = pair.client();
    let body = vec![b'a'; 2_000_000];
    client.put(&acme(), "media", "k", &body).expect(200);
    pair.between.plan(Method::GET, "media/k", 1, Fault::Stall(500_000));
    let request = Request::on("GET", "media", "k");
    let (head, _) = request.head(&client.host, Sign::Header(&acme()));
    let mut connection = crate::support::raw::connect(pair.above.address(Door::S3));
    connection.send(head.as_bytes());
    let head = connection.head();
    assert_eq!((head.status, head.header("content-length")), (200, Some("2000000")));
    client.put(&acme(), "media", "k", &vec![b'b'; 2_000_000]).expect(200);
    // The stand is given up after a while; there is nothing left to go on with.
    let got = connection.rest();
    assert!(got.len() < 2_000_000 && got.iter().all(|b| *b == b'a'), "{} bytes", got.len());
    assert!(pair.between.seen(Method::GET, "media/k") >= 2);
    assert!(client.get(&acme(), "media", "k").expect(200).body.iter().all(|b| *b == b'b'));
}

#[test]
fn a_read_that_stands_still_is_resumed() {
    let pair = Pair::start();
    let mut client = pair.client();
    let body = random(2_000_000);
    client.put(&acme(), "media", "k", &body).expect(200);
    pair.between.plan(Method::GET, "media/k", 1, Fault::Stall(500_000));
    assert!(client.get(&acme(), "media", "k").expect(200).body == body);
    assert_eq!(pair.between.seen(Method::GET, "media/k"), 2);
}

#[test]
fn writes_are_tried_again() {
    let pair = Pair::start();
    let mut client = pair.client();
    let faults = [
        Fault::CutRequest(0),
        Fault::CutRequest(30_000),
        Fault::LoseAnswer,
        Fault::Answer(500, "InternalError"),
        Fault::Answer(503, "SlowDown"),
    ];
    for (i, fault) in faults.into_iter().enumerate() {
        pair.between.heal();
        pair.between.plan(Method::PUT, "media/k", 1, fault);
        let body = random(100_000 + i);
        let put = client.put(&acme(), "media", "k", &body).expect(200);
        assert_eq!(pair.between.seen(Method::PUT, "media/k"), 2, "{fault:?}");
        assert!(pair.upstream("k").unwrap() == body && client.get(&acme(), "media", "k").expect(200).etag() == put.etag());
        pair.between.plan(Method::PUT, "media/copy", 1, fault);
        let copy = Request::on("PUT", "media", "copy").header("x-amz-copy-source", "media/k");
        client.send(&copy, Sign::Header(&acme())).expect(200);
        assert!(pair.upstream("copy").unwrap() == body);
        pair.between.plan(Method::DELETE, "media/copy", 1, fault);
        client.delete(&acme(), "media", "copy").expect(204);
        pair.holds_only(&["k"]);
    }
}

/// The store did it, the gateway did not hear of it and asks again: the client must not be told that somebody else was first.
#[test]
fn a_condition_is_not_failed_by_ones_own_write() {
    let pair = Pair::start();
    let mut client = pair.client();
    let put = |name: &str, value: &str, body: &[u8]| Request::on("PUT", "media", "k").header(name, value).body(body);
    pair.between.plan(Method::PUT, "media/k", 1, Fault::LoseAnswer);
    let first = client.send(&put("if-none-match", "*", b"first"), Sign::Header(&acme())).expect(200).etag();
    pair.between.plan(Method::PUT, "media/k", 1, Fault::LoseAnswer);
    client.send(&put("if-match", &first, b"second"), Sign::Header(&acme())).expect(200);
    client.send(&put("if-match", &first, b"third"), Sign::Header(&acme())).refused(412, "PreconditionFailed");
    client.send(&put("if-none-match", "*", b"first"), Sign::Header(&acme())).refused(412, "PreconditionFailed");
    assert_eq!(pair.upstream("k").unwrap(), b"second");
    // A body that goes up in parts, and one that the client sends in parts.
    let body = random(17 << 20);
    pair.between.plan(Method::POST, "media/large?uploadId", 1, Fault::LoseAnswer);
    let large = Request::on("PUT", "media", "large").header("if-none-match", "*").body(body.clone());
    client.send(&large, Sign::Header(&acme())).expect(200);
    client.send(&large, Sign::Header(&acme())).refused(412, "PreconditionFailed");
    assert!(pair.upstream("large").unwrap() == body);
    let upload = client.create_upload(&acme(), "media", "parts");
    let part = client.upload_part(&acme(), "media", "parts", &upload, 1, b"part").expect(200).etag();
    pair.between.plan(Method::POST, "media/parts?uploadId", 1, Fault::LoseAnswer);
    let complete = Request::on("POST", "media", "parts").query("uploadId", &upload).header("if-none-match", "*");
    client.send(&complete.body(complete_document(&[(1, part)])), Sign::Header(&acme())).expect(200);
    // The gateway's own records too.
    pair.between.plan(Method::PUT, ".tidegate/buckets/other", 1, Fault::LoseAnswer);
    client.make_bucket(&acme(), "other");
    pair.between.plan(Method::DELETE, "media/k", 1, Fault::LoseAnswer);
    client.send(&Request::on("DELETE", "media", "k").header("if-match", "*"), Sign::Header(&acme())).expect(204);
    pair.holds_only(&["large", "parts"]);
}

#[test]
fn uploads_in_parts_end_whole_or_not_at_all() {
    let pair = Pair::start();
    let mut client = pair.client();
    let body = random(18 << 20);
    pair.between.plan(Method::PUT, "partNumber=2", 1, Fault::CutRequest(1_000_000));
    pair.between.plan(Method::PUT, "partNumber=3", 2, Fault::Answer(503, "SlowDown"));
    pair.between.plan(Method::PUT, "partNumber=4", 1, Fault::LoseAnswer);
    pair.between.plan(Method::POST, "uploads", 1, Fault::Answer(500, "InternalError"));
    pair.between.plan(Method::POST, "uploadId", 1, Fault::Answer(500, "InternalError"));
    client.put(&acme(), "media", "k", &body).expect(200);
    assert!(pair.upstream("k").unwrap() == body);
    pair.holds_only(&["k"]);
    // One part is refused for good. Of another body: what is upstream already would be copied there.
    let body = body.iter().map(|b| b ^ 1).collect::<Vec<u8>>();
    pair.between.heal();
    pair.between.plan(Method::PUT, "partNumber=3", ALWAYS, Fault::Answer(400, "BadDigest"));
    is_our_trouble(&client.put(&acme(), "media", "l", &body));
    pair.holds_only(&["k"]);
    // The client goes away in the middle of its body.
    pair.between.heal();
    let request = Request::on("PUT", "media", "l").header("content-length", &body.len().to_string()).payload_hash("UNSIGNED-PAYLOAD");
    let (head, _) = request.head(&client.host, Sign::Header(&acme()));
    let mut connection = crate::support::raw::connect(pair.above.address(Door::S3));
    connection.send(head.as_bytes());
    connection.send(&body[..17 << 20]);
    wait_for("it goes up", || parts_upstream(&pair.below).is_some());
    drop(connection);
    wait_for("it is aborted", || parts_upstream(&pair.below).is_none());
    client.get(&acme(), "media", "l").refused(404, "NoSuchKey");
    pair.holds_only(&["k"]);
}

/// What does not pass is told as our trouble, whatever was asked for, and nothing is left of it upstream.
#[test]
fn trouble_that_stays_is_503_and_never_a_refusal() {
    let pair = Pair::start();
    pair.client().put(&acme(), "media", "k", b"kept").expect(200);
    let upload = pair.client().create_upload(&acme(), "media", "u");
    for method in [Method::GET, Method::HEAD, Method::PUT, Method::POST, Method::DELETE] {
        pair.between.plan(method.clone(), "media", ALWAYS, Fault::Answer(503, "SlowDown"));
    }
    let requests = [
        Request::on("GET", "media", "k"),
        Request::on("PUT", "media", "new").body(b"x"),
        Request::on("PUT", "media", "k").header("if-none-match", "*").body(b"x"),
        Request::on("DELETE", "media", "k"),
        Request::on("PUT", "media", "copy").header("x-amz-copy-source", "media/k"),
        Request::on("GET", "media", "").query("list-type", "2"),
        Request::on("POST", "media", "u2").query("uploads", ""),
        Request::on("PUT", "media", "u").query("uploadId", &upload).query("partNumber", "1").body(b"x"),
        Request::on("POST", "media", "u").query("uploadId", &upload).body(complete_document(&[(1, "0".repeat(32))])),
        Request::on("POST", "media", "").query("delete", "").body("<Delete><Object><Key>k</Key></Object></Delete>").content_md5(),
    ];
    // At once: each is tried for a while.
    std::thread::scope(|scope| {
        for request in &requests {
            scope.spawn(|| {
                let answer = pair.client().send(request, Sign::Header(&acme()));
                if request.query.iter().any(|(name, _)| name == "delete") {
                    let text = answer.expect(200).text();
                    assert!(text.contains("<Code>SlowDown</Code>"), "{text}");
                } else {
                    is_our_trouble(&answer);
                }
            });
        }
    });
    assert!(pair.between.seen(Method::DELETE, "media/k") > 3, "it was tried again");
    pair.between.heal();
    assert_eq!(pair.client().get(&acme(), "media", "k").expect(200).body, b"kept");
    let abort = Request::on("DELETE", "media", "u").query("uploadId", &upload);
    pair.client().send(&abort, Sign::Header(&acme())).expect(204);
    pair.holds_only(&["k"]);
}

/// Ours are the credentials and the clock: a client can do nothing about them, and a CDN must not keep the answer.
#[test]
fn credentials_that_are_refused_are_our_trouble() {
    let pair = Pair::start();
    let mut client = pair.client();
    client.put(&acme(), "media", "k", b"kept").expect(200);
    for (status, code, reason) in [
        (400, "ExpiredToken", "have expired"),
        (403, "InvalidAccessKeyId", "does not take the gateway's credentials"),
        (403, "RequestTimeTooSkewed", "clocks"),
        (403, "AccessDenied", "does not take the gateway's credentials"),
    ] {
        pair.between.heal();
        for method in [Method::PUT, Method::GET, Method::HEAD, Method::DELETE] {
            pair.between.plan(method, "media/", ALWAYS, Fault::Answer(status, code));
        }
        let put = client.put(&acme(), "media", "new", b"x").expect(503);
        is_our_trouble(&put);
        assert!(put.text().contains(reason) && put.code() == "ServiceUnavailable", "{}", put.text());
        is_our_trouble(&client.delete(&acme(), "media", "k"));
        is_our_trouble(&client.get(&acme(), "media", "k"));
    }
    pair.between.heal();
    assert_eq!(client.get(&acme(), "media", "k").expect(200).body, b"kept");
    pair.holds_only(&["k"]);
}

/// An archive answers for itself: that it must be asked first, and what it says when it is.
#[test]
fn archived_objects_are_restored() {
    let pair = Pair::start();
    let mut client = pair.client();
    client.put(&acme(), "media", "k", b"old").expect(200);
    let restore = Request::on("POST", "media", "k").query("restore", "");
    let restore =
        restore.body("<RestoreRequest><Days>2</Days><GlacierJobParameters><Tier>Bulk</Tier></GlacierJobParameters></RestoreRequest>");
    // The store below has no archive.
    client.send(&restore, Sign::Header(&acme())).refused(403, "InvalidObjectState");
    pair.between.plan(Method::HEAD, "media/k", ALWAYS, Fault::Archived("ongoing-request=\"true\""));
    pair.between.plan(Method::GET, "media/k", ALWAYS, Fault::Answer(403, "InvalidObjectState"));
    client.get(&acme(), "media", "k").refused(403, "InvalidObjectState");
    let copy = Request::on("PUT", "media", "copy").header("x-amz-copy-source", "media/k");
    pair.between.plan(Method::PUT, "media/copy", 1, Fault::Answer(403, "InvalidObjectState"));
    client.send(&copy, Sign::Header(&acme())).refused(403, "InvalidObjectState");
    let head = client.send(&Request::on("HEAD", "media", "k"), Sign::Header(&acme())).expect(200);
    let said = (head.header("x-amz-storage-class"), head.header("x-amz-restore"));
    assert_eq!(said, (Some("GLACIER"), Some("ongoing-request=\"true\"")));
    pair.between.plan(Method::POST, "media/k?restore", 1, Fault::Answer(202, ""));
    client.send(&restore, Sign::Header(&acme())).expect(202);
    let asked = pair.between.documents().pop().unwrap();
    assert!(asked.contains("<Days>2</Days>") && asked.contains("<Tier>Bulk</Tier>"), "{asked}");
    pair.between.plan(Method::POST, "media/k?restore", 1, Fault::Answer(409, "RestoreAlreadyInProgress"));
    client.send(&restore, Sign::Header(&acme())).refused(409, "RestoreAlreadyInProgress");
    client.send(&restore, Sign::Header(&bravo())).refused(403, "AccessDenied");
}

/// A store that takes its time answers a large body late because it arrived late: that is no reason to send it once more.
#[test]
fn a_large_body_has_longer_than_a_small_request() {
    let pair = Pair::start();
    let large = random(2 << 20);
    let upload = pair.client().create_upload(&acme(), "media", "parts");
    // Longer than a small request waits for its answer.
    for part in ["small", "large", "media/parts"] {
        pair.between.plan(Method::PUT, part, 1, Fault::Delay(Duration::from_secs(23)));
    }
    let part = std::thread::scope(|scope| {
        scope.spawn(|| pair.client().put(&acme(), "media", "small", b"small").expect(200));
        scope.spawn(|| pair.client().put(&acme(), "media", "large", &large).expect(200));
        scope.spawn(|| pair.client().upload_part(&acme(), "media", "parts", &upload, 1, &large).expect(200).etag()).join().unwrap()
    });
    assert_eq!(["small", "large", "media/parts"].map(|part| pair.between.seen(Method::PUT, part)), [2, 1, 1]);
    pair.client().complete(&acme(), "media", "parts", &upload, &[(1, part)]).expect(200);
    assert!(pair.upstream("large").unwrap() == large && pair.upstream("parts").unwrap() == large);
    assert_eq!(pair.upstream("small").unwrap(), b"small");
}
