//! `upstream.buckets = "own"`: a bucket that a client makes is a bucket of its own upstream.

use http::Method;
use tidegate::telemetry::metrics::Door;
use tidegate::upstream::settings::{BucketsAre, Settings};

use crate::support::client::{Request, Sign};
use crate::support::faulty_s3::{Fault, FaultyS3};
use crate::support::gateway::{Gateway, HOME, Setup, acme, bravo, operator, over};
use crate::upstream::early::wait_for;

pub fn own(settings: Settings) -> Settings {
    Settings { buckets: BucketsAre::Own, bucket_prefix: "tg-".into(), ..settings }
}

/// A gateway over another one, whose buckets are its own there.
pub fn start_own() -> Gateway {
    let below = Gateway::start();
    below.client().make_bucket(&operator(), HOME);
    let mut setup = Setup::new();
    setup.upstream = Some(own(over(below.address(Door::S3), HOME)));
    setup.start().standing_over(below)
}

fn make(bucket: &str) -> Request {
    Request::on("PUT", bucket, "")
}

fn delete(bucket: &str) -> Request {
    Request::on("DELETE", bucket, "")
}

#[test]
fn a_bucket_of_its_own_has_its_objects_and_nothing_else() {
    let gateway = start_own();
    let (mut client, mut below) = (gateway.client(), gateway.below().client());
    client.send(&make("media"), Sign::Header(&acme())).expect(200);
    client.send(&make("media"), Sign::Header(&bravo())).expect(409);
    client.put(&acme(), "media", "home/x", b"a key as any other").expect(200);
    client.put(&acme(), "media", "media/k", b"whole").expect(200);
    assert_eq!(below.get(&operator(), "tg-media", "media/k").expect(200).body, b"whole");
    assert_eq!(client.list(&acme(), "media", &[]).keys, ["home/x", "media/k"]);
    assert!(client.list(&operator(), HOME, &[]).keys.is_empty());
    // By part, and by copy between it and a bucket that the configuration names.
    let copy = Request::on("PUT", "media", "copied").header("x-amz-copy-source", &format!("{HOME}/from"));
    client.put(&operator(), HOME, "from", b"home's").expect(200);
    client.send(&copy, Sign::Header(&operator())).expect(200);
    assert_eq!(below.get(&operator(), "tg-media", "copied").expect(200).body, b"home's");
    client.send(&delete("media"), Sign::Header(&acme())).expect(409);
    for key in ["home/x", "media/k", "copied"] {
        client.send(&Request::on("DELETE", "media", key), Sign::Header(&operator())).expect(204);
    }
    client.send(&delete("media"), Sign::Header(&acme())).expect(204);
    below.get(&operator(), "tg-media", "k").expect(404);
    client.get(&acme(), "media", "k").expect(404);
    client.send(&make("media"), Sign::Header(&bravo())).expect(200);
}

#[test]
fn a_name_that_is_taken_upstream_is_taken() {
    let gateway = start_own();
    let (mut client, mut below) = (gateway.client(), gateway.below().client());
    below.make_bucket(&operator(), "tg-theirs");
    below.put(&operator(), "tg-theirs", "secret", b"nobody's business").expect(200);
    for _ in 0..2 {
        let refused = client.send(&make("theirs"), Sign::Header(&acme())).expect(409).text();
        assert!(refused.contains("<Code>BucketAlreadyExists</Code>"), "{refused}");
    }
    client.get(&acme(), "theirs", "secret").expect(404);
    // Home has a folder of that name, which the bucket would hide.
    client.put(&operator(), HOME, "shown/k", b"in home").expect(200);
    client.send(&make("shown"), Sign::Header(&operator())).expect(409);
    assert_eq!(client.get(&operator(), HOME, "shown/k").expect(200).body, b"in home");
    let long = "l".repeat(61);
    let refused = client.send(&make(&long), Sign::Header(&acme())).expect(400).text();
    assert!(refused.contains("InvalidBucketName") && refused.contains("tg-"), "{refused}");
}

#[test]
fn buckets_from_before_stay_folders_and_every_node_agrees() {
    let first = Gateway::start_over_another();
    let mut client = first.client();
    client.send(&make("before"), Sign::Header(&acme())).expect(200);
    client.put(&acme(), "before", "k", b"in a folder").expect(200);
    let mut setup = Setup::new();
    setup.upstream = Some(own(over(first.below().address(Door::S3), HOME)));
    let second = setup.start();
    let mut other = second.client();
    assert_eq!(other.get(&acme(), "before", "k").expect(200).body, b"in a folder");
    other.put(&acme(), "before", "k2", b"there too").expect(200);
    other.send(&make("after"), Sign::Header(&acme())).expect(200);
    other.put(&acme(), "after", "k", b"in a bucket").expect(200);
    // The node that would make folders finds what is.
    assert_eq!(client.get(&acme(), "after", "k").expect(200).body, b"in a bucket");
    client.send(&make("after"), Sign::Header(&bravo())).expect(409);
    let mut below = first.below().client();
    assert_eq!(below.get(&operator(), "tg-after", "k").expect(200).body, b"in a bucket");
    assert_eq!(below.get(&operator(), HOME, "before/k2").expect(200).body, b"there too");
    wait_for("it lists both", || {
        let listed = client.send(&Request::new("GET", "/"), Sign::Header(&acme())).expect(200).text();
        listed.contains("<Name>before</Name>") && listed.contains("<Name>after</Name>")
    });
}

#[test]
fn a_node_that_ended_in_the_middle_leaves_what_can_be_put_right() {
    let below = Gateway::start();
    below.client().make_bucket(&operator(), HOME);
    let between = FaultyS3::start(below.address(Door::S3));
    let mut setup = Setup::new();
    setup.upstream = Some(own(over(between.address, HOME)));
    let gateway = setup.start();
    let mut client = gateway.client();
    // What is refused upstream leaves nothing.
    between.plan(Method::PUT, "/tg-media", 1, Fault::Answer(400, "InvalidBucketName"));
    client.send(&make("media"), Sign::Header(&acme())).expect(400);
    client.send(&make("media"), Sign::Header(&bravo())).expect(200);
    // As if only the record had been made.
    below.client().send(&delete("tg-media"), Sign::Header(&operator())).expect(204);
    client.send(&make("media"), Sign::Header(&acme())).expect(409);
    client.send(&make("media"), Sign::Header(&bravo())).expect(200);
    client.put(&bravo(), "media", "k", b"put right").expect(200);
    client.send(&Request::on("DELETE", "media", "k"), Sign::Header(&bravo())).expect(204);
    below.client().send(&delete("tg-media"), Sign::Header(&operator())).expect(204);
    client.send(&delete("media"), Sign::Header(&bravo())).expect(204);
    client.send(&make("media"), Sign::Header(&acme())).expect(200);
}
