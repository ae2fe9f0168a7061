//! Nodes that keep blocks for each other: each is fetched once for all of them and lies on one disk; a node that is lost costs its share.

use std::net::SocketAddr;

use super::*;
use crate::support::fault_proxy::Fault;

const SHARED: &str = "this = \"HERE\"\nshare_cache = true\n";
const MIB: usize = 1 << 20;

fn content(seed: usize, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|n| (n * 31 + n / 4096 + seed) as u8).collect()
}

fn metric(admin: SocketAddr, name: &str) -> u64 {
    let text = Client::new(admin).send(&Request::new("GET", "/metrics"), Sign::No).expect(200).text();
    let of = |line: &str| {
        line.strip_prefix(name).filter(|rest| rest.starts_with([' ', '{'])).and_then(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok())
    };
    text.lines().filter_map(of).sum::<f64>() as u64
}

impl World {
    fn write(&self, key: &str, body: &[u8]) {
        self.client(0).put(&operator(), MEDIA, key, body).expect(200);
    }

    /// Over the nodes that run.
    fn sum(&self, name: &str) -> u64 {
        self.nodes.iter().filter_map(|node| node.running.as_ref()).map(|running| metric(running.admin, name)).sum()
    }

    /// Reads of what these tests wrote.
    fn fetched_upstream(&self) -> usize {
        let log = std::fs::read_to_string(self.below.path("access.log")).unwrap();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["operation"] == "REST.GET.OBJECT" && line["key"].as_str().is_some_and(|k| k.starts_with("media/"))).count()
    }

    fn kept(&self) -> Vec<u64> {
        self.nodes.iter().filter_map(|node| node.running.as_ref()).map(|running| metric(running.admin, "tidegate_cache_bytes")).collect()
    }
}

#[test]
fn a_thousand_readers_of_five_nodes_cost_one_fetch_for_a_stretch() {
    let world = World::new(5, SHARED);
    let body = content(1, 20 * MIB);
    world.write("large", &body);
    for small in 0..20 {
        world.write(&format!("small/{small}"), &content(small, 3000));
    }
    std::thread::scope(|scope| {
        for reader in 0..50 {
            let (world, body) = (&world, &body);
            scope.spawn(move || {
                let node = reader % 5;
                let mut edge = Client::new(world.node(node).edge);
                for round in 0..20 {
                    let (key, wanted) = match round {
                        0 => ("large".to_owned(), body.clone()),
                        n => (format!("small/{n}"), content(n, 3000)),
                    };
                    assert!(edge.send(&Request::on("GET", MEDIA, &key), Sign::No).expect(200).body == wanted, "{key} of node {node}");
                }
            });
        }
    });
    // Three stretches, and 19 small objects.
    assert_eq!(world.sum("tidegate_cache_fetches_total"), 3 + 19);
    until("the upstream's log has it", || world.fetched_upstream() == 3 + 19);
    assert!(world.sum("tidegate_cache_peer_fetches_total") > 0);
    // No two disks hold the same.
    until("all is kept", || world.kept().iter().sum::<u64>() >= body.len() as u64);
    let kept = world.kept();
    assert!(kept.iter().sum::<u64>() < body.len() as u64 * 5 / 4, "{kept:?}");
    // A part of it, from the middle of a stretch into the next.
    for node in 0..5 {
        let range = Request::on("GET", MEDIA, "large").header("range", "bytes=7340032-9437183");
        let answer = Client::new(world.node(node).edge).send(&range, Sign::No).expect(206);
        assert!(answer.body == body[7 * MIB..9 * MIB]);
    }
    assert_eq!(world.sum("tidegate_cache_fetches_total"), 3 + 19);
}

#[test]
fn what_a_peer_fails_to_give_comes_from_the_upstream() {
    let world = World::new(3, SHARED);
    let bodies: Vec<_> = (0..8).map(|n| content(n, 300_000 + n * 7919)).collect();
    for (n, body) in bodies.iter().enumerate() {
        world.write(&format!("{n}"), body);
    }
    for fault in [Fault::CutAfter(100_000), Fault::CutAfter(150), Fault::Answer503, Fault::Silent, Fault::Refuse] {
        (1..3).for_each(|node| world.nodes[node].proxy.set(fault));
        for (n, body) in bodies.iter().enumerate() {
            assert!(world.shown(0, &format!("{n}")).expect(200).body == *body, "{fault:?} {n}");
        }
        (1..3).for_each(|node| world.nodes[node].proxy.set(Fault::None));
        // So that the next fault meets a node that has nothing, and peers that are asked.
        let fetched = || world.sum("tidegate_cache_peer_fetches_total");
        let before = fetched();
        until("peers are asked again", || {
            world.api(0, "POST", "/-/v1/purge", &[], r#"{"bucket": "media", "prefix": ""}"#).expect(202);
            (0..8).for_each(|n| assert!(world.shown(0, &format!("{n}")).expect(200).body == bodies[n]));
            fetched() > before
        });
        world.api(0, "POST", "/-/v1/purge", &[], r#"{"bucket": "media", "prefix": ""}"#).expect(202);
    }
}

#[test]
fn a_node_that_is_lost_costs_its_share() {
    let mut world = World::new(4, SHARED);
    let bodies: Vec<_> = (0..40).map(|n| content(n, 5000)).collect();
    for (n, body) in bodies.iter().enumerate() {
        world.write(&format!("{n}"), body);
    }
    let read_all = |world: &World, node: usize| {
        for (n, body) in bodies.iter().enumerate() {
            assert!(world.shown(node, &format!("{n}")).expect(200).body == *body);
        }
    };
    read_all(&world, 0);
    assert_eq!(world.sum("tidegate_cache_fetches_total"), 40);
    let share = metric(world.node(3).admin, "tidegate_cache_fetches_total");
    assert!((1..40).contains(&share), "{share}");
    world.kill(3);
    let before = world.sum("tidegate_cache_fetches_total");
    // A node that has none of it asks those that have: only what was lost is fetched again.
    read_all(&world, 1);
    let again = world.sum("tidegate_cache_fetches_total") - before;
    assert!(again <= share, "{again} of {share}");
    world.start(3);
    read_all(&world, 2);
}

#[test]
fn only_nodes_are_given_blocks() {
    let world = World::new(2, SHARED);
    world.write("secret", b"of a tenant");
    let wanted = r#"{"bucket":"media","key":"secret","version":null,"etag":"x","size":11,"start":0,"end":11}"#;
    let ask = Request::new("POST", "/-/admin/v1/peer/blocks").body(wanted);
    let admin = Client::new(world.node(0).admin).send(&ask, Sign::No);
    assert_eq!(admin.status, 403, "{}", admin.text());
    assert_eq!(Client::new(world.node(0).admin).send(&ask, Sign::Header(&operator())).status, 403);
    assert_eq!(Client::new(world.upstream.admin).send(&ask, Sign::No).status, 404, "it has no peers");
}
