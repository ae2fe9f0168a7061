//! A client's key and what lies under it: on no node's disk, in no cache, and readable through any node.

use std::path::Path;

use super::*;
use crate::s3::encryption::{customer, with};
use crate::support::gateway::files_under;

const KEYS: &str = "[encryption]\ncustomer_keys_over_http = true\nblock_customer_keys = false\n";
const PATTERN: &[u8] = b"nobody but the client knows this";

fn holds(dir: &Path, wanted: &[u8]) -> bool {
    let files = files_under(dir).into_iter().filter_map(|path| std::fs::read(path).ok());
    files.into_iter().any(|bytes| bytes.windows(wanted.len()).any(|window| window == wanted))
}

#[test]
fn nothing_of_it_is_kept() {
    let world = World::new(2, KEYS);
    let (mine, body) = (customer(7, "x-amz-"), PATTERN.repeat(5000));
    let on = |method: &str, key: &str| Request::on(method, MEDIA, key);
    world.client(0).send(&with(on("PUT", "k").body(body.clone()), &mine), Sign::Header(&operator())).expect(200);
    for n in [0, 1, 0, 1] {
        let mut client = world.client(n);
        client.send(&on("GET", "k"), Sign::Header(&operator())).refused(400, "InvalidRequest");
        assert!(client.send(&with(on("GET", "k"), &mine), Sign::Header(&operator())).expect(200).body == body);
        let other = with(on("GET", "k"), &customer(8, "x-amz-"));
        assert_eq!(client.send(&other, Sign::Header(&operator())).status, 403);
        assert_ne!(world.shown(n, "k").status, 200);
    }
    // What anyone may have is kept, so that the search finds something where it should.
    world.client(0).put(&operator(), MEDIA, "open", &b"anyone may know this, all of it. ".repeat(5000)).expect(200);
    world.keep(0, "open", &"anyone may know this, all of it. ".repeat(5000));
    until("it is in the cache", || holds(&world.nodes[0].place.path("."), b"anyone may know this"));
    for node in &world.nodes {
        assert!(!holds(&node.place.path("."), PATTERN));
    }
    // One that replaces it is not hidden by what was known.
    world.put(1, "k", "plain");
    until("the other node hears of it", || {
        let got = world.client(0).send(&on("GET", "k"), Sign::Header(&operator()));
        got.status == 200 && got.body == b"plain"
    });
}
