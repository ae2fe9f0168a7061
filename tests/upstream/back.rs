//! Write-back over a real S3: what waits here and what is there are told apart, whatever their versions are called.

use http::Method;
use tidegate::telemetry::metrics::Door;

use crate::support::binary::{ACCESS, Running, SECRET};
use crate::support::client::{Client, Request, Sign};
use crate::support::faulty_s3::{ALWAYS, Fault, FaultyS3};
use crate::support::gateway::{Gateway, HOME, operator};
use crate::support::signer::Key;
use crate::upstream::early::wait_for;
use crate::upstream::nodes::node;
use crate::upstream::versions::{listed, versioning};

/// A version's number is a hash: of so many, some have any bit set.
const MANY: usize = 24;

fn me() -> Key {
    Key::new(ACCESS, SECRET)
}

fn body(name: &str, n: usize) -> Vec<u8> {
    format!("{name} {n} ").repeat(20_000).into_bytes()
}

fn put(client: &mut Client, name: &str, n: usize, what: &str) -> String {
    client.put(&me(), HOME, &format!("{name}-{n}"), &body(what, n)).expect(200).etag()
}

/// By every way to read: whole, a range, the head.
fn reads(running: &Running, name: &str, what: &str) {
    let mut client = Client::new(running.s3);
    for n in 0..MANY {
        let (key, body) = (format!("{name}-{n}"), body(what, n));
        let whole = client.get(&me(), HOME, &key).expect(200);
        assert!(whole.body == body, "{key}");
        let range = client.send(&Request::on("GET", HOME, &key).header("range", "bytes=5-1004"), Sign::Header(&me())).expect(206);
        assert!(range.body == body[5..1005] && range.etag() == whole.etag(), "{key}");
        let head = client.send(&Request::on("HEAD", HOME, &key).query("partNumber", "1"), Sign::Header(&me()));
        assert!(matches!(head.status, 200 | 206) && head.etag() == whole.etag(), "{key}");
    }
}

fn holds(below: &Gateway, name: &str, what: &str) -> bool {
    let mut client = below.client();
    (0..MANY).all(|n| client.get(&operator(), HOME, &format!("{name}-{n}")).body == body(what, n))
}

#[test]
fn what_waits_and_what_is_stored_are_told_apart() {
    let below = Gateway::start();
    let mut theirs = below.client();
    theirs.make_bucket(&operator(), HOME);
    for n in 0..MANY {
        theirs.put(&operator(), HOME, &format!("old-{n}"), &body("old", n)).expect(200);
    }
    let between = FaultyS3::start(below.address(Door::S3));
    let (place, mut command) = node(between.address);
    command.env("TIDEGATE_BACK_BUCKETS", HOME).env("TIDEGATE_CACHE_FRESH", "1ms");
    let running = place.serve_by(command);
    let mut client = Client::new(running.s3);
    reads(&running, "old", "old");
    // From here on what is new waits.
    between.plan(Method::PUT, "/new-", ALWAYS, Fault::Answer(503, "SlowDown"));
    let etags: Vec<String> = (0..MANY).map(|n| put(&mut client, "new", n, "new")).collect();
    reads(&running, "new", "new");
    reads(&running, "old", "old");
    assert!(!holds(&below, "new", "new"));
    for n in 0..MANY {
        let copy = Request::on("PUT", HOME, &format!("copy-{n}")).header("x-amz-copy-source", &format!("{HOME}/old-{n}"));
        client.send(&copy, Sign::Header(&me())).expect(200);
        let copy = Request::on("PUT", HOME, &format!("again-{n}")).header("x-amz-copy-source", &format!("{HOME}/new-{n}"));
        client.send(&copy, Sign::Header(&me())).expect(200);
    }
    reads(&running, "copy", "old");
    reads(&running, "again", "new");

    between.heal();
    wait_for("all is stored", || holds(&below, "new", "new") && holds(&below, "copy", "old") && holds(&below, "again", "new"));
    reads(&running, "new", "new");
    for (n, etag) in etags.iter().enumerate() {
        let over = |etag: &str| Request::on("PUT", HOME, &format!("new-{n}")).header("if-match", etag).body(body("over", n));
        client.send(&over("\"00000000000000000000000000000000\""), Sign::Header(&me())).refused(412, "PreconditionFailed");
        client.send(&over(&format!("\"{etag}\"")), Sign::Header(&me())).expect(200);
        client.delete(&me(), HOME, &format!("old-{n}")).expect(204);
        client.get(&me(), HOME, &format!("old-{n}")).refused(404, "NoSuchKey");
    }
    reads(&running, "new", "over");
    wait_for("and again", || holds(&below, "new", "over"));
    reads(&running, "new", "over");
    let left = || below.client().list(&operator(), HOME, &[("prefix", "old-")]).keys.len();
    wait_for("deletes too", || left() == 0);
    assert!(running.stop().success());
}

/// A write that waits has no id that its writer could be told.
#[test]
fn a_bucket_that_keeps_versions_is_not_written_back() {
    let below = Gateway::start();
    let mut theirs = below.client();
    theirs.make_bucket(&operator(), HOME);
    let (place, mut command) = node(below.address(Door::S3));
    command.env("TIDEGATE_BACK_BUCKETS", HOME);
    let running = place.serve_by(command);
    let mut client = Client::new(running.s3);
    assert_eq!(client.put(&me(), HOME, "k", b"waits").expect(200).header("x-amz-version-id"), None);
    client.send(&versioning(HOME, "Enabled"), Sign::Header(&me())).expect(200);
    let mut id = None;
    wait_for("what is written has an id", || {
        id = client.put(&me(), HOME, "k", b"through").expect(200).header("x-amz-version-id").map(str::to_owned);
        id.is_some()
    });
    let of = |method: &str, id: &str| Request::on(method, HOME, "k").query("versionId", id);
    let id = id.unwrap();
    // It is there when it is answered, and what waited came before it.
    assert_eq!(theirs.send(&of("GET", &id), Sign::Header(&operator())).expect(200).body, b"through");
    let all = listed(&mut theirs, &operator(), HOME, "1000");
    let (_, before, ..) = all.iter().filter(|(key, ..)| key == "k").nth(1).unwrap();
    assert_eq!(client.send(&of("GET", before), Sign::Header(&me())).expect(200).body, b"waits");
    let marker = client.delete(&me(), HOME, "k").expect(204);
    assert_eq!(marker.header("x-amz-delete-marker"), Some("true"));
    client.get(&me(), HOME, "k").refused(404, "NoSuchKey");
    let marker = marker.header("x-amz-version-id").unwrap().to_owned();
    client.send(&of("DELETE", &marker), Sign::Header(&me())).expect(204);
    assert_eq!(client.get(&me(), HOME, "k").expect(200).body, b"through");
    assert!(running.stop().success());
}
