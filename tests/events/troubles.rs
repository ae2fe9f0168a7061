//! Receivers that are down, slow, lying and malicious: nothing is lost, writes and other webhooks are not held up, and nobody is led anywhere.

use super::*;
use crate::support::webhook::Manner;

const RULES: &str = "[[event_rule]]\nname = \"to-bad\"\nwebhook = \"bad\"\nevents = [\"s3:ObjectCreated:*\"]\n\
                     [[event_rule]]\nname = \"to-good\"\nwebhook = \"good\"\nevents = [\"s3:ObjectCreated:*\"]\n";

fn world(bad: &Receiver, good: &Receiver, more: &str) -> World {
    World::new(&(hook("bad", bad, more) + &hook("good", good, "") + RULES))
}

#[test]
fn one_that_is_down_is_told_when_it_is_back_and_holds_up_nobody() {
    let (bad, good) = (Receiver::start(), Receiver::start());
    let world = world(&bad, &good, "timeout = \"1s\"\n");
    bad.close();
    let running = world.serve();
    let mut client = Client::new(running.s3);
    client.make_bucket(&acme(), "media");
    let begun = Instant::now();
    for n in 0..200 {
        client.put(&acme(), "media", &format!("k{}", n % 20), format!("{n}").as_bytes()).expect(200);
    }
    assert!(begun.elapsed() < Duration::from_secs(50), "writes wait for nobody");
    until("the other one is told of all", || good.taken().len() >= 200);
    let listed = world.run(&running, &["events", "list"]);
    assert!(listed.lines().any(|line| line.starts_with("bad ") && line.contains(" 200 ")), "{listed}");
    let back = Receiver::again_at(bad.address);
    until("it is told of all", || back.taken().len() >= 200);
    in_order(&back, 20, 10);
    in_order(&good, 20, 10);
    assert!(running.log().contains("the webhook takes no events now"), "{}", running.log());
    assert!(running.stop().success());
}

/// Of each key all, in order.
fn in_order(receiver: &Receiver, keys: usize, of_each: usize) {
    let taken = receiver.taken();
    for key in 0..keys {
        let key = format!("k{key}");
        let numbers: Vec<String> = taken.iter().filter(|call| call.key() == key).map(|call| call.sequencer()).collect();
        let mut distinct = numbers.clone();
        distinct.dedup();
        assert!(distinct.len() == of_each && numbers.is_sorted(), "{key}: {numbers:?}");
    }
}

#[test]
fn each_kind_of_bad_answer_is_none_and_leads_nowhere() {
    let (bad, good, inside) = (Receiver::start(), Receiver::start(), Receiver::start());
    let world = world(&bad, &good, "timeout = \"300ms\"\n");
    let running = world.serve();
    let mut client = Client::new(running.s3);
    client.make_bucket(&acme(), "media");
    let manners = [
        Manner::Redirects(inside.url()),
        Manner::Silent,
        Manner::Hangs,
        Manner::Garbage,
        Manner::EndlessHead,
        Manner::Endless(500),
        Manner::Status(404),
        Manner::Status(301),
        Manner::Status(199),
    ];
    for (n, manner) in manners.into_iter().enumerate() {
        bad.behave(manner.clone());
        let before = bad.calls().len();
        client.put(&acme(), "media", &format!("bad-{n}"), b"x").expect(200);
        until(&format!("it was called while it is {manner:?}"), || bad.calls().len() > before);
        until("the other one is told", || good.taken().iter().any(|call| call.key() == format!("bad-{n}")));
    }
    assert!(bad.taken().is_empty() && inside.calls().is_empty());
    // A yes with a body that has no end is a yes.
    bad.behave(Manner::Endless(200));
    until("a yes counts, whatever follows it", || !bad.taken().is_empty());
    bad.behave(Manner::Status(204));
    until("all are told of in the end", || {
        let mut keys: Vec<String> = bad.taken().iter().map(|call| call.key()).collect();
        keys.sort();
        keys.dedup();
        keys.len() == 9
    });
    let log = running.log();
    assert!(!log.contains("t0ken"), "{log}");
    assert!(running.stop().success());
}

#[test]
fn a_private_address_is_asked_for_only_where_the_operator_says_so() {
    let receiver = Receiver::start();
    let place = Place::new();
    place.write("gateway.toml", &hook("a", &receiver, "").replace("local = true", ""));
    let output = place.run(&["check"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains("webhook[0].url: expected an address that begins with https://"), "{text}");
    // By https it is found out when it is asked for.
    let table = hook("a", &receiver, "").replace("local = true", "").replace("http://", "https://");
    let world = World::new(&(table + "[[event_rule]]\nname = \"all\"\nwebhook = \"a\"\nevents = [\"*\"]\n"));
    let mut command = world.place.command(&["serve"]);
    command.env("HOOK_SECRET", HOOK_SECRET).env("TIDEGATE_LOG_LEVEL", "info,tidegate=debug");
    let running = world.place.serve_by(command);
    let mut client = Client::new(running.s3);
    client.make_bucket(&acme(), "media");
    client.put(&acme(), "media", "k", b"x").expect(200);
    running.wait_for_log("which is no public address");
    assert!(receiver.calls().is_empty());
    assert!(running.stop().success());
}

#[test]
fn one_that_is_slow_holds_up_its_own_events_alone() {
    let (bad, good) = (Receiver::start(), Receiver::start());
    let world = world(&bad, &good, "timeout = \"10s\"\nat_once = 2\n");
    bad.behave(Manner::Slow(Duration::from_millis(200)));
    let running = world.serve();
    let mut client = Client::new(running.s3);
    client.make_bucket(&acme(), "media");
    for n in 0..40 {
        client.put(&acme(), "media", &format!("k{}", n % 4), b"x").expect(200);
    }
    until("the other one is told of all", || good.taken().len() >= 40);
    assert!(bad.taken().len() < 40);
    until("it is told of all", || bad.taken().len() >= 40);
    in_order(&bad, 4, 10);
    assert!(running.stop().success());
}

#[test]
fn one_that_is_moody_is_told_of_all_in_the_end() {
    let (bad, good) = (Receiver::start(), Receiver::start());
    let world = world(&bad, &good, "");
    bad.behave(Manner::Moody(7));
    let running = world.serve();
    let mut client = Client::new(running.s3);
    client.make_bucket(&acme(), "media");
    for n in 0..20 {
        client.put(&acme(), "media", &format!("k{}", n % 10), b"x").expect(200);
    }
    until("some were taken", || bad.taken().len() >= 3);
    bad.behave(Manner::Status(200));
    until("all are told of", || {
        let mut ids: Vec<String> = bad.taken().iter().map(|call| call.header("webhook-id").to_owned()).collect();
        ids.sort();
        ids.dedup();
        ids.len() == 20
    });
    in_order(&bad, 10, 2);
    assert!(running.stop().success());
}
