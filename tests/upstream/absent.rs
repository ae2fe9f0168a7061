//! A bucket that is not there: how often the upstream is asked for it, and how soon it is seen once it is made.

use std::time::{Duration, Instant};

use http::Method;
use tidegate::telemetry::metrics::Door;

use crate::support::client::{Request, Sign};
use crate::support::faulty_s3::FaultyS3;
use crate::support::gateway::{Gateway, HOME, Setup, acme, bravo, operator, over};

/// A node over the bucket `HOME` of `below`, and what stands between them.
fn node(below: &Gateway) -> (Gateway, FaultyS3) {
    let between = FaultyS3::start(below.address(Door::S3));
    let mut setup = Setup::new();
    setup.upstream = Some(over(between.address, HOME));
    (setup.start(), between)
}

fn below() -> Gateway {
    let below = Gateway::start();
    below.client().make_bucket(&operator(), HOME);
    below
}

#[test]
fn the_upstream_is_not_asked_again_and_again_for_a_bucket_that_is_not_there() {
    let below = below();
    let (gateway, between) = node(&below);
    let mut client = gateway.client();
    client.make_bucket(&acme(), "there");
    between.heal();
    let began = Instant::now();
    for n in 0..100 {
        client.send(&Request::on("GET", "nowhere", &format!("k{n}")), Sign::No).refused(404, "NoSuchBucket");
        client.send(&Request::on("PUT", "nowhere", "k").body("x"), Sign::Header(&acme())).refused(404, "NoSuchBucket");
    }
    // Eight for each time that the memory lasts.
    let most = 8 * (1 + began.elapsed().as_secs() as usize / 2);
    let asked = between.seen(Method::GET, "nowhere") + between.seen(Method::HEAD, "nowhere");
    assert!((1..=most).contains(&asked), "{asked} requests upstream for 200");
    client.put(&acme(), "there", "k", b"x").expect(200);

    // Who makes it here has it at once.
    for n in 0..20 {
        let name = format!("soon-{n}");
        for _ in 0..5 {
            client.get(&acme(), &name, "k").refused(404, "NoSuchBucket");
        }
        client.make_bucket(&acme(), &name);
        client.put(&acme(), &name, "k", b"x").expect(200);
        client.get(&acme(), &name, "k").expect(200);
    }
    client.send(&Request::on("DELETE", "there", "k"), Sign::Header(&acme())).expect(204);
    client.send(&Request::on("DELETE", "there", ""), Sign::Header(&acme())).expect(204);
    client.get(&acme(), "there", "k").refused(404, "NoSuchBucket");
    client.make_bucket(&acme(), "there");
    client.put(&acme(), "there", "k", b"x").expect(200);
}

#[test]
fn what_another_node_makes_is_seen_within_the_bound() {
    let below = below();
    let (one, _first) = node(&below);
    let (two, _second) = node(&below);
    let (mut one, mut two) = (one.client(), two.client());
    // Not asked for before: at once.
    two.make_bucket(&acme(), "fresh");
    one.put(&acme(), "fresh", "k", b"x").expect(200);
    // Missed here a moment ago.
    for _ in 0..20 {
        one.get(&acme(), "late", "k").refused(404, "NoSuchBucket");
    }
    two.make_bucket(&acme(), "late");
    let made = Instant::now();
    while one.send(&Request::on("HEAD", "late", ""), Sign::Header(&acme())).status != 200 {
        assert!(made.elapsed() < Duration::from_secs(5), "it is never seen");
        std::thread::sleep(Duration::from_millis(20));
    }
    one.put(&acme(), "late", "k", b"x").expect(200);
    // Who wants to make what another node made is told so, whatever was remembered.
    for _ in 0..20 {
        one.get(&acme(), "taken", "k").refused(404, "NoSuchBucket");
    }
    two.make_bucket(&bravo(), "taken");
    one.send(&Request::on("PUT", "taken", ""), Sign::Header(&acme())).refused(409, "BucketAlreadyExists");
    one.send(&Request::on("HEAD", "taken", ""), Sign::Header(&bravo())).expect(200);
}
