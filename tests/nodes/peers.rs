//! What came through one node is shown by all of them, at once or as soon as they can be reached; and only nodes are believed.

use tidegate::cluster::seal::Seals;

use super::*;
use crate::support::fault_proxy::Fault;

/// Nobody would ask again by himself while the test runs.
const LONG: &str = "[cache]\nfresh = \"1h\"\nnegative = \"1h\"\n";

#[test]
fn a_write_is_shown_by_every_node() {
    let world = World::new(3, LONG);
    world.put(0, "a", "one");
    for n in 0..3 {
        world.keep(n, "a", "one");
        world.shown(n, "b").expect(404);
    }
    world.put(1, "a", "two");
    world.put(2, "b", "new");
    // At once; but a peer that took too long to listen, on a busy machine, is told by a job soon after.
    let at_once_or_owed = |what: &str, is_shown: &dyn Fn(usize) -> bool| {
        for n in 0..3 {
            if !is_shown(n) {
                assert!((0..3).any(|n| !world.jobs(n, "peer").is_empty()), "{what}: node {n} was not told, and nobody owes it that");
                until(what, || is_shown(n));
            }
        }
    };
    let both = |n| (world.shown(n, "a").text(), world.shown(n, "b").text()) == ("two".into(), "new".into());
    at_once_or_owed("what was written last is shown", &both);
    world.client(0).delete(&operator(), MEDIA, "a").expect(204);
    at_once_or_owed("what was deleted is gone", &|n| world.shown(n, "a").status == 404);
}

#[test]
fn a_peer_that_is_away_is_told_when_it_is_back() {
    let mut world = World::new(2, LONG);
    for key in ["a", "b"] {
        world.put(0, key, "one");
        world.keep(1, key, "one");
    }
    world.nodes[1].proxy.set(Fault::Silent);
    world.put(0, "a", "two");
    world.put(0, "b", "two");
    // Of its own accord it would not ask.
    assert_eq!((world.shown(0, "a").text(), world.shown(1, "a").text()), ("two".into(), "one".into()));
    // What is owed survives.
    world.kill(0);
    world.start(0);
    world.nodes[1].proxy.set(Fault::Answer503);
    world.put(0, "a", "three");
    let gauge = |up: u8| format!("tidegate_peer_up{{peer=\"http://{}\"}} {up}\n", world.nodes[1].proxy.address);
    let metrics = || Client::new(world.node(0).admin).send(&Request::new("GET", "/metrics"), Sign::No).expect(200).text();
    assert!(metrics().contains(&gauge(0)));
    world.nodes[1].proxy.set(Fault::None);
    until("the peer is told", || world.shown(1, "a").text() == "three" && world.shown(1, "b").text() == "two");
    until("the jobs are done", || world.jobs(0, "peer").iter().all(|job| job["state"] == "done"));
    assert!(!world.jobs(0, "peer").is_empty());
    assert!(metrics().contains(&gauge(1)));
}

#[test]
fn a_purge_reaches_every_node_with_exact_counts() {
    let world = World::new(2, LONG);
    let keys = ["acme/run1/image/a", "acme/run1/image/b", "acme/run2/image/c", "other/x"];
    for key in keys {
        world.put(0, key, "text");
        (0..2).for_each(|n| world.keep(n, key, "text"));
    }
    let purge = |document: &str| json(&world.api(0, "POST", "/-/v1/purge", &[], document).expect(202));
    let peer = format!("http://{}", world.nodes[1].proxy.address);
    let both = |objects: u64, blocks: u64| {
        serde_json::json!({ "jobs": [], "cached": { "objects": objects, "blocks": blocks },
            "peers": [{ "peer": peer, "objects": objects, "blocks": blocks }] })
    };
    assert_eq!(purge(r#"{"bucket": "media", "prefix": "acme/", "soft": true}"#), both(3, 0));
    assert_eq!(purge(r#"{"tenant": "acme", "run": "run1"}"#), both(2, 2));
    assert_eq!(purge(r#"{"tenant": "acme", "run": "run1"}"#), both(0, 0));
    assert_eq!(purge(r#"{"tags": ["A-Image"]}"#), both(1, 1));
    assert_eq!(purge(r#"{"bucket": "media", "keys": ["other/x"]}"#), both(1, 1));
    // It is not there: a job goes on.
    world.keep(1, "other/x", "text");
    world.nodes[1].proxy.set(Fault::Refuse);
    let told = purge(r#"{"bucket": "media", "prefix": ""}"#);
    let job = told["peers"][0]["job"].as_str().unwrap_or_else(|| panic!("{told}")).to_owned();
    world.nodes[1].proxy.set(Fault::None);
    until("the purge is done", || json(&world.api(0, "GET", &format!("/-/v1/jobs/{job}"), &[], ""))["state"] == "done");
    let done = json(&world.api(0, "GET", &format!("/-/v1/jobs/{job}"), &[], ""));
    assert_eq!(done["result"], serde_json::json!({ "peer": peer, "objects": 1, "blocks": 1 }));
}

/// A tenant hears that another node is yet to be told, never where it is.
#[test]
fn tenants_are_not_shown_where_nodes_are() {
    let world = World::new(2, LONG);
    let acme = Key::new("AKACME", "acme-secret-1");
    world.nodes[0].place.write(
        "policies/tenants/acme.toml",
        "id = \"acme\"\npolicies = [\"tenant-default\"]\n\
         keys = [{ access_key = \"AKACME\", secret = { value = \"acme-secret-1\" } }]\n",
    );
    until("the tenant is known", || world.client(0).send(&Request::new("GET", "/"), Sign::Header(&acme)).status == 200);
    world.client(0).make_bucket(&acme, "acme-media");
    let ask =
        |key: &Key, method: &str, path: &str, body: &str| world.client(0).send(&Request::new(method, path).body(body), Sign::Header(key));
    let (peer, port) = (&world.nodes[1].proxy, world.nodes[1].proxy.address.port().to_string());
    let hidden = |answer: Answer| {
        let text = answer.text();
        assert!(!text.contains("127.0.0.1") && !text.contains(&port), "{text}");
        json(&answer)
    };
    let purge = |key: &Key| ask(key, "POST", "/-/v1/purge", r#"{"bucket": "acme-media", "keys": ["a"]}"#).expect(202);
    assert_eq!(hidden(purge(&acme))["peers"], serde_json::json!([{ "objects": 0, "blocks": 0 }]));
    peer.set(Fault::Refuse);
    let job = hidden(purge(&acme))["peers"][0]["job"].as_str().unwrap().to_owned();
    let path = format!("/-/v1/jobs/{job}");
    until("it was tried", || json(&ask(&operator(), "GET", &path, ""))["reason"].is_string());
    let shown = hidden(ask(&acme, "GET", &path, "").expect(200));
    assert_eq!((&shown["kind"], &shown["payload"]["what"]), (&"peer".into(), &"forget".into()), "{shown}");
    assert!(shown["reason"].is_string(), "{shown}");
    hidden(ask(&acme, "GET", "/-/v1/jobs", "").expect(200));
    hidden(ask(&acme, "POST", &format!("{path}/cancel"), "").expect(200));
    hidden(ask(&acme, "POST", &format!("{path}/retry"), "").expect(200));
    // Whoever operates it may see it.
    assert!(ask(&operator(), "GET", &path, "").expect(200).text().contains(&port));
    peer.set(Fault::None);
    until("it is done", || json(&ask(&operator(), "GET", &path, ""))["state"] == "done");
    let shown = hidden(ask(&acme, "GET", &path, "").expect(200));
    assert_eq!(shown["result"], serde_json::json!({ "objects": 0, "blocks": 0 }));
    let events = ask(&acme, "GET", &format!("{path}/events"), "").expect(200).text();
    assert!(events.contains("event: job") && !events.contains(&port), "{events}");
    assert!(ask(&operator(), "GET", &path, "").text().contains(&port));
}

#[test]
fn only_nodes_are_believed() {
    let world = World::new(2, LONG);
    world.put(0, "a", "one");
    world.keep(0, "a", "one");
    let body = r#"{"what":"forget","items":["kmedia/a"]}"#;
    let tell = |sealed: &str, body: &str| {
        let request = Request::new("POST", "/-/admin/v1/peer").header("authorization", sealed).body(body);
        Client::new(world.node(0).admin).send(&request, Sign::No)
    };
    let (ours, other) = (Seals::new(binary::SECRET.as_bytes()).unwrap(), Seals::new(b"other").unwrap());
    tell("", body).refused(403, "AccessDenied");
    tell(&other.seal(body.as_bytes()), body).refused(403, "AccessDenied");
    tell(&ours.seal(body.as_bytes()), &body.replace("/a", "/b")).refused(403, "AccessDenied");
    // The operator's own signature is another thing.
    let request = Request::new("POST", "/-/admin/v1/peer").body(body);
    Client::new(world.node(0).admin).send(&request, Sign::Header(&operator())).refused(403, "AccessDenied");
    let large = "x".repeat(5 << 20);
    tell(&ours.seal(large.as_bytes()), &large).refused(400, "EntityTooLarge");
    tell(&ours.seal(b"{}"), "{}").refused(400, "InvalidRequest");
    let odd = r#"{"what":"forget","items":["xmedia/a"]}"#;
    tell(&ours.seal(odd.as_bytes()), odd).refused(400, "InvalidRequest");
    assert_eq!(world.shown(0, "a").expect(200).header("x-cache"), Some("HIT"));
    let sealed = ours.seal(body.as_bytes());
    assert_eq!(json(&tell(&sealed, body).expect(200)), serde_json::json!({ "objects": 1, "blocks": 1 }));
    tell(&sealed, body).refused(403, "AccessDenied");
    // A node that is alone believes nobody.
    let alone = Place::new();
    let running = alone.serve();
    let request = Request::new("POST", "/-/admin/v1/peer").header("authorization", &ours.seal(body.as_bytes())).body(body);
    Client::new(running.admin).send(&request, Sign::No).refused(404, "NotFound");
}
