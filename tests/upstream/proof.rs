//! Large objects whose name is their hash: every node knows that it is true, and believes it of no other content.

use tidegate::telemetry::metrics::Door;

use crate::support::client::{Client, Request, Sign};
use crate::support::gateway::{Gateway, HOME, acme, operator};
use crate::support::signer::sha256_hex;
use crate::upstream::early::{both, noise, start_over};

const SIZE: usize = 11 << 20;

fn control(node: &Gateway, key: &str) -> String {
    let answer = Client::new(node.address(Door::Edge)).send(&Request::on("HEAD", "media", key), Sign::No).expect(200);
    answer.header("cache-control").unwrap_or_default().to_owned()
}

#[test]
fn a_large_hash_named_object_is_immutable_at_every_node() {
    let (below, gateway) = both();
    let other = start_over(&below, below.address(Door::S3));
    let body = noise(SIZE, 5);
    let publish = |node: &Gateway| {
        let request = Request::on("PUT", "media", "scene.glb").query("publish", "").header("x-amz-acl", "public-read");
        let answer = node.client().send(&request.body(body.clone()), Sign::Header(&acme())).expect(200);
        answer.header("x-tidegate-existed").map(str::to_owned)
    };
    let key = format!("scene-{}.glb", &sha256_hex(&body)[..32]);
    assert_eq!(publish(&gateway).as_deref(), Some("false"));
    for node in [&gateway, &other] {
        assert_eq!(control(node, &key), "public, max-age=31536000, immutable");
        assert_eq!(publish(node).as_deref(), Some("true"));
    }
    // By a plain name nothing is proven, and nothing is kept of it.
    let records = |below: &Gateway| below.client().list(&operator(), HOME, &[("prefix", ".tidegate/hashes/")]).keys.len();
    gateway.client().put(&acme(), "media", "plain.glb", &body).expect(200);
    assert_eq!(records(&below), 1);

    // Other bytes under the name, in parts as well.
    let lie = Request::on("PUT", "media", &key).header("x-amz-acl", "public-read").body(noise(SIZE, 6));
    other.client().send(&lie, Sign::Header(&acme())).expect(200);
    for node in [&gateway, &other] {
        assert!(!control(node, &key).contains("immutable"));
    }
    other.client().delete(&acme(), "media", &key).expect(204);
    assert_eq!(records(&below), 0);
}
