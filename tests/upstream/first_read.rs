//! The first read of a key asks upstream for what is there and for its bytes at once.

use std::time::Duration;

use http::Method;
use tidegate::telemetry::metrics::Door;

use crate::support::client::{Client, Request, Sign};
use crate::support::faulty_s3::{ALWAYS, Fault, FaultyS3};
use crate::support::gateway::{Gateway, HOME, Setup, acme, bravo, operator, over};
use crate::upstream::early::wait_for;

const KEY: &str = "media/k";

/// A gateway over another one, which can be watched; `k` of acme's was written behind its back.
struct Pair {
    above: Gateway,
    between: FaultyS3,
    below: Gateway,
}

impl Pair {
    fn start(body: &[u8]) -> Self {
        let below = Gateway::start();
        below.client().make_bucket(&operator(), HOME);
        let between = FaultyS3::start(below.address(Door::S3));
        let mut setup = Setup::new();
        setup.upstream = Some(over(between.address, HOME));
        let above = setup.start();
        above.client().make_bucket(&acme(), "media");
        let pair = Pair { above, between, below };
        pair.write(body);
        pair
    }

    fn client(&self) -> Client {
        self.above.client()
    }

    fn write(&self, body: &[u8]) {
        self.below.client().put(&operator(), HOME, KEY, body).expect(200);
    }

    /// HEADs and GETs of the key since the last time.
    fn asked(&self) -> (usize, usize) {
        let seen = (self.between.seen(Method::HEAD, KEY), self.between.seen(Method::GET, KEY));
        self.between.heal();
        seen
    }
}

#[test]
fn one_of_each_and_both_at_once() {
    let body: Vec<u8> = (0..1_500_000u32).map(|i| (i >> 7) as u8).collect();
    let pair = Pair::start(&body);
    let mut client = pair.client();
    pair.asked();
    assert!(client.get(&acme(), "media", "k").expect(200).body == body);
    assert_eq!(pair.asked(), (1, 1));
    let ranged = Request::on("GET", "media", "k").header("range", "bytes=1400000-1400099");
    assert!(client.send(&ranged, Sign::Header(&acme())).expect(206).body == body[1_400_000..1_400_100]);
    assert_eq!(pair.asked(), (1, 1));
    let open = Request::on("GET", "media", "k").header("range", "bytes=1499990-");
    assert!(client.send(&open, Sign::Header(&acme())).expect(206).body == body[1_499_990..]);
    assert_eq!(pair.asked(), (1, 1));
    // What is there can't be told: the bytes, if they were asked for before that was known, are not sent.
    pair.between.plan(Method::HEAD, KEY, ALWAYS, Fault::Answer(403, "AccessDenied"));
    assert!(client.get(&acme(), "media", "k").status >= 500);
    assert!(pair.asked().1 <= 1);
    assert!(client.get(&acme(), "media", "k").expect(200).body == body, "nothing is left of it");
}

#[test]
fn bytes_that_nobody_may_have_or_needs_are_not_asked_for() {
    let pair = Pair::start(b"body");
    let mut client = pair.client();
    let etag = client.get(&acme(), "media", "k").expect(200).etag();
    pair.asked();
    client.get(&bravo(), "media", "k").expect(403);
    client.send(&Request::on("GET", "media", "k"), Sign::No).expect(403);
    client.send(&Request::on("GET", "media", "k").header("if-none-match", &etag), Sign::Header(&acme())).expect(304);
    client.send(&Request::on("HEAD", "media", "k"), Sign::Header(&acme())).expect(200);
    let (heads, gets) = pair.asked();
    assert!(heads >= 2 && gets == 0, "{heads} HEADs, {gets} GETs");
    // Nothing, and nothing at all.
    client.get(&acme(), "media", "kk").expect(404);
    pair.write(b"");
    assert_eq!(client.get(&acme(), "media", "k").expect(200).body, b"");
}

#[test]
fn a_version_that_was_replaced_meanwhile_is_not_sent_under_the_name_of_the_next() {
    let pair = Pair::start(&[b'a'; 300_000]);
    pair.asked();
    pair.between.plan(Method::HEAD, KEY, 1, Fault::Delay(Duration::from_secs(1)));
    let mut client = pair.client();
    std::thread::scope(|threads| {
        let reading = threads.spawn(move || client.get(&acme(), "media", "k").expect(200));
        wait_for("the bytes are asked for", || pair.between.seen(Method::GET, KEY) == 1);
        std::thread::sleep(Duration::from_millis(300));
        pair.write(&[b'b'; 200_000]);
        let got = reading.join().unwrap();
        // Whichever of the two it is: all of it, and nothing else.
        assert!(got.body == [b'b'; 200_000] || got.body == [b'a'; 300_000], "{} bytes", got.body.len());
    });
    assert!(pair.client().get(&acme(), "media", "k").expect(200).body == [b'b'; 200_000]);
}
