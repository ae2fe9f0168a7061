//! Events that were given up: seen with their reason, brought again, forgotten.

use super::*;
use crate::support::webhook::Manner;

#[test]
fn what_is_given_up_is_seen_and_brought_again() {
    let receiver = Receiver::start();
    receiver.behave(Manner::Status(422));
    let rule = "[[event_rule]]\nname = \"all\"\nwebhook = \"pipeline\"\nevents = [\"s3:ObjectCreated:*\"]\n";
    let world = World::new(&(hook("pipeline", &receiver, "give_up = \"100ms\"\n") + rule));
    let running = world.serve();
    let mut client = Client::new(running.s3);
    client.make_bucket(&acme(), "media");
    for key in ["a", "b", "c"] {
        client.put(&acme(), "media", key, b"x").expect(200);
    }
    let counts = || {
        let listed = world.run(&running, &["events", "list", "--json"]);
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        let of = |name: &str| listed["webhooks"][0][name].as_u64().unwrap();
        (of("waiting"), of("dead"))
    };
    until("all three are dead", || counts() == (0, 3));
    let dead = world.run(&running, &["events", "dead"]);
    let mut lines: Vec<Vec<&str>> = dead.lines().map(|line| line.split_whitespace().collect()).collect();
    lines.sort_by_key(|line| line[4]);
    assert_eq!(lines.len(), 3, "{dead}");
    assert_eq!((lines[0][0], lines[0][3], lines[0][4]), ("pipeline", "s3:ObjectCreated:Put", "media/a"), "{dead}");
    assert!(dead.contains("it answered 422"), "{dead}");
    let ids: Vec<String> = receiver.calls().iter().map(|call| call.header("webhook-id").to_owned()).collect();

    receiver.behave(Manner::Status(200));
    assert_eq!(world.run(&running, &["events", "replay", "--webhook", "pipeline", lines[0][1]]).trim(), "1 events wait again");
    until("it is told of", || receiver.taken().len() == 1);
    let told = receiver.taken().remove(0);
    assert!(told.key() == "a" && ids.iter().any(|id| id == told.header("webhook-id")));
    until("two are left", || counts() == (0, 2));
    assert_eq!(world.run(&running, &["events", "forget", "--webhook", "pipeline", lines[1][1]]).trim(), "1 events are forgotten");
    assert_eq!(world.run(&running, &["events", "replay", "--webhook", "pipeline", "--all"]).trim(), "1 events wait again");
    until("the other is told of", || receiver.taken().iter().any(|call| call.key() == "c"));
    until("none is left", || counts() == (0, 0));
    assert!(receiver.taken().iter().all(|call| call.key() != "b"));
    assert!(running.stop().success());
}

/// They stand in the folder, and a start does not lose them.
#[test]
fn what_is_dead_is_there_after_a_restart() {
    let receiver = Receiver::start();
    receiver.behave(Manner::Status(500));
    let rule = "[[event_rule]]\nname = \"all\"\nwebhook = \"pipeline\"\nevents = [\"s3:ObjectCreated:*\"]\n";
    let world = World::new(&(hook("pipeline", &receiver, "give_up = \"50ms\"\n") + rule));
    let running = world.serve();
    let mut client = Client::new(running.s3);
    client.make_bucket(&acme(), "media");
    client.put(&acme(), "media", "k", b"x").expect(200);
    until("it is dead", || world.run(&running, &["events", "dead"]).lines().count() == 1);
    running.signal("KILL");
    drop(running);
    std::fs::remove_dir_all(world.place.path("data/queue/index")).unwrap();
    let running = world.serve();
    let dead = world.run(&running, &["events", "dead", "--json"]);
    let dead: serde_json::Value = serde_json::from_str(&dead).unwrap();
    assert_eq!(dead["event"]["event"]["object"]["key"], "k");
    assert!(running.stop().success());
}

/// Those that wait behind the one that is tried are given up with it: a webhook that is gone for good gathers nothing without end.
#[test]
fn what_waits_for_one_that_takes_nothing_is_given_up_together() {
    let receiver = Receiver::start();
    receiver.close();
    let rule = "[[event_rule]]\nname = \"all\"\nwebhook = \"pipeline\"\nevents = [\"s3:ObjectCreated:*\"]\n";
    let world = World::new(&(hook("pipeline", &receiver, "give_up = \"2s\"\nat_once = 1\n") + rule));
    let running = world.serve();
    let mut client = Client::new(running.s3);
    client.make_bucket(&acme(), "media");
    for n in 0..100 {
        client.put(&acme(), "media", "one-key", format!("{n}").as_bytes()).expect(200);
    }
    until("all are dead", || world.run(&running, &["events", "dead"]).lines().count() == 100);
    let back = Receiver::again_at(receiver.address);
    world.run(&running, &["events", "replay", "--webhook", "pipeline", "--all"]);
    until("all are told of", || back.taken().len() >= 100);
    let numbers: Vec<String> = back.taken().iter().map(|call| call.sequencer()).collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
    assert!(running.stop().success());
}
