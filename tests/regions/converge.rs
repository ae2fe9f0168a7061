//! What is written gets to every replica: through outages of one, past changes that nobody told of, and only what is meant to.

use super::*;
use crate::support::fault_proxy::Fault;
use crate::support::raw;
use crate::upstream::early::{parts_upstream, wait_for};

fn write_at_random(client: &mut Client, bucket: &str, seed: &mut u64, count: usize) {
    for _ in 0..count {
        let key = format!("d{}/k {}+é", random(seed) % 3, random(seed) % 20);
        let n = random(seed);
        match n % 10 {
            0..=2 => drop(client.delete(&acme(), bucket, &key).expect(204)),
            3 => {
                // Its headers alone, where it is there.
                let source = format!("/{bucket}/{}", crate::support::signer::encode_path(&key));
                let copy = Request::on("PUT", bucket, &key).header("x-amz-copy-source", &source);
                let copy = copy.header("x-amz-metadata-directive", "REPLACE").header("x-amz-meta-n", &n.to_string());
                let answer = client.send(&copy, Sign::Header(&acme()));
                assert!(matches!(answer.status, 200 | 404), "{}", answer.text());
            }
            _ => {
                let body = vec![n as u8; (n % 200_000) as usize];
                let put = Request::on("PUT", bucket, &key).body(body).header("x-amz-meta-n", &n.to_string());
                let put = put.header("content-type", "model/gltf-binary").header("cache-control", "max-age=9");
                client.send(&put, Sign::Header(&acme())).expect(200);
            }
        }
    }
}

#[test]
fn a_region_that_goes_down_and_comes_back() {
    let (west, east) = (Region::start("west"), Region::start("east"));
    let world = World::new(None, &[(&west, ""), (&east, "")]);
    let mut running = world.serve();
    let mut client = Client::new(running.s3);
    client.make_bucket(&acme(), "media");
    let mut seed = 0x9e37_79b9_7f4a_7c15;
    for fault in [Fault::None, Fault::Refuse, Fault::Answer503, Fault::CutAfter(100)] {
        west.proxy.set(fault);
        write_at_random(&mut client, "media", &mut seed, 60);
        // The other one is not held up, nor are those who write.
        eventually(&running, "east follows", || same(&running, &east, "media"));
        if fault == Fault::Refuse {
            // What waits is not lost by a restart.
            assert!(running.stop().success());
            running = world.serve();
            client = Client::new(running.s3);
        }
    }
    west.proxy.set(Fault::None);
    eventually(&running, "west follows", || same(&running, &west, "media"));
    // An object of parts, and the bucket's own record: a gateway over the replica shows the same.
    let upload = client.create_upload(&acme(), "media", "parts");
    let whole = vec![7; 6 << 20];
    let parts: Vec<(u16, String)> = (1..)
        .zip(whole.chunks(5 << 20))
        .map(|(n, piece)| (n, client.upload_part(&acme(), "media", "parts", &upload, n, piece).expect(200).etag()))
        .collect();
    client.complete(&acme(), "media", "parts", &upload, &parts).expect(200);
    eventually(&running, "parts", || same(&running, &west, "media"));
    eventually(&running, "no lag is left", || match metric(&running, "tidegate_replica_lag_seconds{replica=\"west\"}") {
        0 => Ok(()),
        lag => Err(lag.to_string()),
    });
    assert!(metric(&running, "tidegate_replica_copied_total{replica=\"east\"}") > 20);
    // Emptied and removed, it goes there as well.
    for key in client.list(&acme(), "media", &[]).keys {
        client.delete(&acme(), "media", &key).expect(204);
    }
    client.send(&Request::new("DELETE", "/media"), Sign::Header(&acme())).expect(204);
    eventually(&running, "the bucket goes", || {
        let left = west.gateway.client().list(&gateway::operator(), "west", &[]).keys;
        let of_media: Vec<_> = left.iter().filter(|k| k.starts_with("media/") || k.ends_with("buckets/media")).collect();
        if of_media.is_empty() { Ok(()) } else { Err(format!("{of_media:?}")) }
    });
    assert!(running.stop().success());
}

/// Of two gateways over one bucket one scans; and its operator sees when it did, and when it will again.
#[test]
fn scans_recur_on_one_node() {
    let (home, west) = (Region::start("home"), Region::start("west"));
    let worlds = [0; 2].map(|_| World::new(Some(home.proxy.address), &[(&west, "scan = \"1h\"")]));
    let nodes = worlds.each_ref().map(World::serve);
    let scans = |node: &Running| {
        let request = Request::new("GET", "/-/v1/jobs").query("kind", "repair");
        let answer = Client::new(node.s3).send(&request, Sign::Header(&root())).expect(200);
        let jobs: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        let jobs = jobs["jobs"].as_array().unwrap().clone();
        assert_eq!(jobs.len(), 1, "{jobs:?}");
        jobs[0].clone()
    };
    eventually(&nodes[0], "one has scanned and the other leaves it", || {
        let shown = nodes.each_ref().map(scans);
        let is_done = shown.each_ref().map(|job| job["recurring"]["done"].is_string());
        let waits = shown.iter().all(|job| job["state"] == "waiting" && job["due"].is_string());
        if waits && is_done.iter().filter(|done| **done).count() == 1 { Ok(()) } else { Err(format!("{shown:?}")) }
    });
    for job in nodes.each_ref().map(scans) {
        let recurring = &job["recurring"];
        assert_eq!((recurring["name"].as_str(), recurring["every_seconds"].as_u64()), (Some("repair-west"), Some(3600)), "{job}");
    }
    let lease = home.gateway.client().list(&gateway::operator(), "home", &[("prefix", ".tidegate/leases/")]).keys;
    assert_eq!(lease, [".tidegate/leases/repair-west"]);
    for node in nodes {
        assert!(node.stop().success());
    }
}

#[test]
fn a_scan_finds_what_nobody_told_of() {
    let (home, west) = (Region::start("home"), Region::start("west"));
    let direct = gateway::operator();
    let mut theirs = home.gateway.client();
    theirs.put(&direct, "home", "before", b"from before the gateway").expect(200);
    let world = World::new(Some(home.proxy.address), &[(&west, "")]);
    let running = world.serve();
    let mut client = Client::new(running.s3);
    for n in 0..30 {
        client.put(&root(), "home", &format!("k{n}"), format!("{n}").as_bytes()).expect(200);
    }
    eventually(&running, "all is there, what was there before too", || same(&running, &west, "home"));
    assert!(west.keys("home").contains(&"before".to_owned()));

    // Behind the gateway's back, here and there.
    theirs.put(&direct, "home", "k1", b"written directly").expect(200);
    theirs.put(&direct, "home", "new", b"new").expect(200);
    theirs.delete(&direct, "home", "k2").expect(204);
    let mut over_there = west.gateway.client();
    over_there.delete(&direct, "west", "home/k3").expect(204);
    over_there.put(&direct, "west", "home/k4", b"spoilt").expect(200);
    over_there.put(&direct, "west", "home/stray", b"stray").expect(200);
    assert!(same(&running, &west, "home").is_err());
    repair(&running, "west");
    eventually(&running, "what differs is mended", || same(&running, &west, "home"));
    assert_eq!(west.keys("home").len(), 31);
    // Nothing is left to be found.
    let found = metric(&running, "tidegate_replica_found_total{replica=\"west\"}");
    assert!(found >= 6, "{found}");
    repair(&running, "west");
    assert_eq!(metric(&running, "tidegate_replica_found_total{replica=\"west\"}"), found);

    // A bucket that lists nothing is a mistake of somebody's, not a reason to delete the copies.
    for key in theirs.list(&direct, "home", &[]).keys.iter().filter(|k| !k.starts_with(".tidegate/")) {
        theirs.delete(&direct, "home", key).expect(204);
    }
    repair(&running, "west");
    assert_eq!(west.keys("home").len(), 31);
    assert!(running.log().contains("nothing is deleted by that"));
    assert!(running.stop().success());
}

#[test]
fn a_replica_gets_what_it_is_meant_to() {
    let west = Region::start("west");
    let world = World::new(None, &[(&west, "only = [\"media\", \"logs/2026/\"]\nprefix = \"copies/\"")]);
    let running = world.serve();
    let mut client = Client::new(running.s3);
    for bucket in ["media", "logs", "private"] {
        client.make_bucket(&acme(), bucket);
        for key in ["2025/a", "2026/a"] {
            client.put(&acme(), bucket, key, b"x").expect(200);
        }
    }
    let wanted = ["copies/logs/2026/a", "copies/media/2025/a", "copies/media/2026/a"];
    eventually(&running, "only that", || {
        let keys = west.gateway.client().list(&gateway::operator(), "west", &[("prefix", "copies/")]).keys;
        let objects: Vec<&str> = keys.iter().map(String::as_str).filter(|k| !k.contains(".tidegate/")).collect();
        if objects == wanted { Ok(()) } else { Err(format!("{keys:?}")) }
    });
    repair(&running, "west");
    assert_eq!(metric(&running, "tidegate_replica_lag_seconds{replica=\"west\"}"), 0);
    let body = "{\"replica\": \"nowhere\"}";
    let request = Request::new("POST", "/-/admin/v1/repair").body(body);
    Client::new(running.admin).send(&request, Sign::Header(&root())).expect(404);
    Client::new(running.admin).send(&request, Sign::Header(&acme())).expect(403);
    assert!(running.stop().success());
}

/// As without replicas: a large body goes up while it arrives.
#[test]
fn a_large_body_is_upstream_before_it_ended_and_at_the_replica_after() {
    let (home, west) = (Region::start("home"), Region::start("west"));
    let world = World::new(Some(home.proxy.address), &[(&west, "")]);
    let running = world.serve();
    let mut client = Client::new(running.s3);
    client.make_bucket(&acme(), "media");
    let body: Vec<u8> = (0..17u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let request = Request::on("PUT", "media", "slow").header("content-length", &body.len().to_string()).payload_hash("UNSIGNED-PAYLOAD");
    let mut connection = raw::connect(running.s3);
    connection.send(request.head(&client.host, Sign::Header(&acme())).0);
    connection.send(&body[..12 << 20]);
    wait_for("parts are upstream", || parts_upstream(&home.gateway).is_some_and(|parts| !parts.is_empty()));
    let (head, _) = connection.exchange(&body[12 << 20..]);
    assert_eq!(head.status, 200);
    assert!(client.get(&acme(), "media", "slow").expect(200).body == body);
    eventually(&running, "it is replicated", || same(&running, &west, "media"));
}

/// A replica has what is shown, also where that is an older version again.
#[test]
fn what_is_shown_after_a_version_was_deleted_is_brought() {
    let west = Region::start("west");
    let world = World::new(None, &[(&west, "")]);
    let running = world.serve();
    let mut client = Client::new(running.s3);
    client.make_bucket(&acme(), "media");
    client.send(&crate::upstream::versions::versioning("media", "Enabled"), Sign::Header(&acme())).expect(200);
    let mut put = |body: &[u8]| client.put(&acme(), "media", "k", body).expect(200).header("x-amz-version-id").unwrap().to_owned();
    let (_, two) = (put(b"one"), put(b"two"));
    let there = |body: &[u8]| west.get("media", "k").body == body;
    wait_for("the newest is brought", || there(b"two"));
    let delete = |id: &str| Request::on("DELETE", "media", "k").query("versionId", id);
    client.send(&delete(&two), Sign::Header(&acme())).expect(204);
    wait_for("the one before is brought", || there(b"one"));
    let marker = client.delete(&acme(), "media", "k").expect(204).header("x-amz-version-id").unwrap().to_owned();
    wait_for("what is hidden is deleted", || west.get("media", "k").status == 404);
    client.send(&delete(&marker), Sign::Header(&acme())).expect(204);
    wait_for("and brought again", || there(b"one"));
    assert!(running.stop().success());
}
