//! What is acknowledged can be kept wherever it is brought: the same answer on the embedded store, over S3, with write-back and with
//! replicas, at the door and before the body.

use http::Method;
use tidegate::http::gateway;
use tidegate::telemetry::metrics::Door;

use crate::regions::{self, Region, World};
use crate::support::client::{Answer, Client, Request, Sign};
use crate::support::faulty_s3::{ALWAYS, Fault, FaultyS3};
use crate::support::gateway::{Gateway, HOME, Setup, acme, operator};
use crate::support::signer::Key;
use crate::upstream::nodes::node;

/// No other gateway stands over it.
fn alone() -> Gateway {
    let mut setup = Setup::new();
    setup.doors = gateway::Settings::default();
    setup.start()
}

/// All ways to give a key metadata.
fn writes(bucket: &str, key: &str) -> [Request; 4] {
    let copy = Request::on("PUT", bucket, key).header("x-amz-copy-source", &format!("/{bucket}/source"));
    [
        Request::on("PUT", bucket, key).body("x"),
        Request::on("PUT", bucket, key).query("publish", "").body("x"),
        copy.header("x-amz-metadata-directive", "REPLACE"),
        Request::on("POST", bucket, key).query("uploads", ""),
    ]
}

fn refused(client: &mut Client, by: &Key, request: &Request, code: &str) {
    let answer = client.send(request, Sign::Header(by));
    assert_eq!((answer.status, &*answer.code()), (400, code), "{request:?}: {}", answer.text());
}

/// What no store takes; and what is just small enough.
fn same_answers(client: &mut Client, by: &Key, bucket: &str) {
    client.put(by, bucket, "source", b"source").expect(200);
    for key in [".tidegate/k", ".tidegate/seal", "x/../.tidegate/k", "./.tidegate/k", "//.tidegate/k", ".tidegate/./k"] {
        for write in writes(bucket, key) {
            refused(client, by, &write, "InvalidRequest");
        }
    }
    for write in writes(bucket, "k") {
        for value in ["", "forged"] {
            refused(client, by, &write.clone().header("x-amz-meta-tidegate", value), "InvalidArgument");
            // In any case and encoding of a presigned URL.
            for name in ["X-Amz-Meta-Tidegate", "x-amz-meta-tidegate"] {
                let hoisted = write.clone().query(name, value);
                let answer = client.send(&hoisted, Sign::Presigned(by));
                assert_eq!((answer.status, &*answer.code()), (400, "InvalidArgument"), "{hoisted:?}: {}", answer.text());
            }
        }
        refused(client, by, &write.clone().header("x-amz-meta-a", &"v".repeat(1750)), "MetadataTooLarge");
        refused(client, by, &write.clone().header("x-amz-meta-a", &"\u{e9}".repeat(650)), "MetadataTooLarge");
        refused(client, by, &write.clone().header("content-disposition", &"d".repeat(2048)), "MetadataTooLarge");
        let fits = write.header("x-amz-meta-a", &"v".repeat(1640)).header("content-disposition", &"d".repeat(1900));
        client.send(&fits, Sign::Header(by)).expect(200);
    }
    let keys = client.list(by, bucket, &[]).keys;
    assert!(keys.iter().all(|k| !k.contains("tidegate")), "{keys:?}");
}

#[test]
fn every_store_takes_the_same() {
    for gateway in [alone(), Gateway::start_over_another()] {
        let mut client = gateway.client();
        client.make_bucket(&acme(), "media");
        same_answers(&mut client, &acme(), "media");
    }
}

#[test]
fn what_waits_for_its_upload_will_be_taken_there() {
    let below = Gateway::start();
    below.client().make_bucket(&operator(), HOME);
    let between = FaultyS3::start(below.address(Door::S3));
    let (place, mut command) = node(between.address);
    command.env("TIDEGATE_BACK_BUCKETS", "media");
    let running = place.serve_by(command);
    let (mut client, me) = (Client::new(running.s3), regions::root());
    client.make_bucket(&me, "media");
    between.plan(Method::PUT, "/media/", ALWAYS, Fault::Answer(503, "SlowDown"));
    same_answers(&mut client, &me, "media");
    // `media/` stands before it there.
    refused(&mut client, &me, &Request::on("PUT", "media", &"k".repeat(1019)).body("x"), "KeyTooLongError");
    refused(&mut client, &me, &Request::on("PUT", "media", "../other/k").body("x"), "InvalidRequest");
    client.put(&me, "media", &"k".repeat(1018), b"x").expect(200);
    between.heal();
    let mut theirs = below.client();
    let there = |theirs: &mut Client, key: &str| theirs.get(&operator(), HOME, &format!("media/{key}")).status == 200;
    regions::eventually(&running, "all that was acknowledged is there", || {
        match ["k", "source", &"k".repeat(1018)].iter().find(|key| !there(&mut theirs, key)) {
            None => Ok(()),
            Some(key) => Err(format!("{key} is not")),
        }
    });
}

#[test]
fn what_is_acknowledged_reaches_the_replicas() {
    let west = Region::start("west");
    let world = World::new(None, &[(&west, "")]);
    let running = world.serve();
    let (mut client, me) = (Client::new(running.s3), regions::root());
    client.make_bucket(&me, "media");
    same_answers(&mut client, &me, "media");
    refused(&mut client, &me, &Request::on("PUT", "media", &"k".repeat(1019)).body("x"), "KeyTooLongError");
    refused(&mut client, &me, &Request::on("PUT", "media", "../other/k").body("x"), "InvalidRequest");
    client.put(&me, "media", &"k".repeat(1018), b"x").expect(200);
    client.put(&me, "media", "a/../b", b"x").expect(200);
    regions::eventually(&running, "all of it is in the region", || regions::same(&running, &west, "media"));
}

/// An upstream that takes keys for paths must not be led out of the bucket's folder, to read or to write.
#[test]
fn no_key_leads_out_of_its_bucket_over_s3() {
    let gateway = Gateway::start_over_another();
    let mut client = gateway.client();
    client.make_bucket(&acme(), "media");
    let mut below = gateway.below().client();
    let get = |client: &mut Client, key: &str| -> Answer { client.get(&acme(), "media", key) };
    for key in ["../other/k", "../../x", "a/../../other/k", "../.tidegate/seal", "..", "a/../.."] {
        below.put(&operator(), HOME, &format!("media/{key}"), b"another's").expect(200);
        get(&mut client, key).refused(404, "NoSuchKey");
        client.put(&acme(), "media", key, b"x").refused(400, "InvalidRequest");
        client.delete(&acme(), "media", key).expect(204);
    }
    assert!(client.list(&acme(), "media", &[]).keys.is_empty());
    for key in ["a/../b", "a//b", "./a", "a/.", "/a"] {
        client.put(&acme(), "media", key, key.as_bytes()).expect(200);
        assert_eq!(get(&mut client, key).expect(200).body, key.as_bytes());
    }
}
