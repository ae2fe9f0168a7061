//! `kill -9` of the gateway while writes and deliveries run and the receiver is in a mood: each change that was acknowledged is told of at least
//! once, and of each key in order.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::*;
use crate::support::raw::connect;
use crate::support::webhook::Manner;

const ROUNDS: usize = 5;
const WRITERS: usize = 4;
const KEYS: usize = 6;

/// ETags that were acknowledged, by key, in the order of the acknowledgements. A delete is an empty one.
type Acknowledged = Arc<Mutex<HashMap<String, Vec<String>>>>;

/// Writes to keys of its own until the gateway is gone.
fn write(address: std::net::SocketAddr, writer: usize, round: usize, stop: &AtomicBool, acknowledged: &Acknowledged) {
    let mut connection = connect(address);
    for n in 0.. {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let key = format!("w{writer}-{}", n % KEYS);
        let deletes = n % 11 == 10;
        let request = Request::on(if deletes { "DELETE" } else { "PUT" }, "media", &key).body(format!("{round} {writer} {n}"));
        let (head, _) = request.head(&address.to_string(), Sign::Header(&acme()));
        if connection.try_send([head.as_bytes(), &request.body].concat()).is_err() {
            return;
        }
        let Ok(head) = connection.try_head() else { return };
        assert!(matches!(head.status, 200 | 204), "{head:?}");
        if head.status == 200 && connection.try_body(&head).is_err() {
            return;
        }
        let etag = head.header("etag").unwrap_or_default().trim_matches('"').to_owned();
        acknowledged.lock().unwrap().entry(key).or_default().push(etag);
    }
}

#[test]
fn every_change_is_told_of_at_least_once_and_in_order() {
    let receiver = Receiver::start();
    let world = World::new(&hook("pipeline", &receiver, "timeout = \"500ms\"\n"));
    let acknowledged = Acknowledged::default();
    for round in 0..ROUNDS {
        receiver.behave([Manner::Status(200), Manner::Moody(3), Manner::Status(503), Manner::Moody(2), Manner::Silent][round].clone());
        let mut running = world.serve();
        if round == 0 {
            let mut client = Client::new(running.s3);
            client.make_bucket(&acme(), "media");
            configure(&mut client, "media", configuration("pipeline", &["s3:ObjectCreated:*", "s3:ObjectRemoved:*"], "")).expect(200);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (address, stop, acknowledged) = (running.s3, stop.clone(), acknowledged.clone());
                std::thread::spawn(move || write(address, writer, round, &stop, &acknowledged))
            })
            .collect();
        let wanted = acknowledged.lock().unwrap().values().map(Vec::len).sum::<usize>() + 60 + 17 * round;
        until("enough was written", || acknowledged.lock().unwrap().values().map(Vec::len).sum::<usize>() >= wanted);
        running.signal("KILL");
        running.wait();
        stop.store(true, Ordering::SeqCst);
        writers.into_iter().for_each(|w| w.join().unwrap());
        if round % 2 == 1 {
            std::fs::remove_dir_all(world.place.path("data/queue/index")).unwrap();
        }
    }
    receiver.behave(Manner::Status(200));
    let running = world.serve();
    let nothing_waits = || {
        let listed = world.run(&running, &["events", "list", "--json"]);
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        listed["webhooks"][0]["waiting"] == 0 && listed["webhooks"][0]["dead"] == 0
    };
    until("nothing waits any more", nothing_waits);
    let taken = receiver.taken();
    let acknowledged = acknowledged.lock().unwrap();
    assert!(acknowledged.len() == WRITERS * KEYS);
    for (key, wanted) in acknowledged.iter() {
        let told: Vec<_> = taken.iter().filter(|call| call.key() == *key).collect();
        assert!(told.windows(2).all(|two| two[0].sequencer() <= two[1].sequencer()), "{key} is told of out of order");
        let mut etags = told.iter().map(|call| call.record()["s3"]["object"]["eTag"].as_str().unwrap_or_default().to_owned());
        // As a part of what was told, in this order: what was not acknowledged may stand between, and what was told twice.
        for (n, etag) in wanted.iter().enumerate() {
            assert!(etags.any(|told| told == *etag), "{key}: change {n} of {} was never told of, or too early", wanted.len());
        }
        // The same number is the same event.
        let mut ids: HashMap<String, String> = HashMap::new();
        for call in &told {
            let id = ids.entry(call.sequencer()).or_insert_with(|| call.header("webhook-id").to_owned());
            assert_eq!(id, call.header("webhook-id"));
        }
    }
    assert!(running.stop().success());
    let fsck = world.place.run(&["fsck"]);
    assert!(fsck.status.success(), "{fsck:?}");
}
