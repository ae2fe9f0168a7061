//! `kill -9` of the real binary while writes and purges run, again and again: no accepted job is lost, what ended is not done
//! again, and a call that is repeated is the same call.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::*;
use crate::support::raw::connect;

const ROUNDS: usize = 6;
const WRITERS: usize = 3;

/// When a write of the path was sent that was acknowledged later: the latest of them.
type Acknowledged = Arc<Mutex<HashMap<String, Instant>>>;

/// Writes until the gateway is gone.
fn write(address: std::net::SocketAddr, writer: usize, stop: &AtomicBool, acknowledged: &Acknowledged) {
    let mut connection = connect(address);
    for n in 0.. {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let name = format!("public/{writer}/{}", n % 40);
        let request = Request::on(if n % 9 == 8 { "DELETE" } else { "PUT" }, "media", &name).body(format!("{n}"));
        let (head, _) = request.head(&address.to_string(), Sign::Header(&acme()));
        let sent = Instant::now();
        if connection.try_send([head.as_bytes(), &request.body].concat()).is_err() {
            return;
        }
        let Ok(head) = connection.try_head() else { return };
        assert!(matches!(head.status, 200 | 204), "{head:?}");
        if head.status == 200 && connection.try_body(&head).is_err() {
            return;
        }
        acknowledged.lock().unwrap().insert(format!("/{writer}/{}", n % 40), sent);
    }
}

#[test]
fn what_was_accepted_is_done_and_what_ended_is_not_done_again() {
    let world = World::new("40ms");
    world.cdn.trouble(5);
    let acknowledged = Acknowledged::default();
    for round in 0..ROUNDS {
        let mut running = world.serve();
        if round == 0 {
            Client::new(running.s3).make_bucket(&acme(), "media");
        }
        let stop = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (address, stop, acknowledged) = (running.s3, stop.clone(), acknowledged.clone());
                std::thread::spawn(move || write(address, writer, &stop, &acknowledged))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(150 + 130 * round as u64));
        // Round by round the index is there, or not.
        running.signal("KILL");
        running.wait();
        stop.store(true, Ordering::SeqCst);
        writers.into_iter().for_each(|w| w.join().unwrap());
        if round % 3 == 1 {
            std::fs::remove_dir_all(world.place.path("data/queue/index")).unwrap();
        }
    }
    world.cdn.trouble(0);
    let running = world.serve();
    wait_until_idle(&running);
    assert!(jobs(&running, &operator(), &[("state", "dead")]).is_empty());

    let calls = world.cdn.calls();
    let taken = |c: &&crate::support::invalidations::Call| {
        matches!(c.fate, crate::support::invalidations::Fate::Taken | crate::support::invalidations::Fate::TakenAndDropped)
    };
    let acknowledged = acknowledged.lock().unwrap();
    assert!(acknowledged.len() > 20);
    for (path, sent) in acknowledged.iter() {
        assert!(calls.iter().filter(taken).any(|c| c.at > *sent && c.items.contains(path)), "{path} was never purged after its last write");
    }
    // Every job is done, once; CloudFront tells a repeated call by its reference, and the call was the same.
    assert_eq!(world.cdn.contradictions(), 0);
    let mut answered: HashMap<&str, usize> = HashMap::new();
    for call in calls.iter().filter(|c| c.fate == crate::support::invalidations::Fate::Taken) {
        *answered.entry(&call.reference).or_default() += 1;
    }
    // Answered twice: the process was killed between the answer and its record. That can hit the calls of a moment only.
    let twice = answered.values().filter(|n| **n > 1).count();
    assert!(twice <= ROUNDS * 4 && answered.values().all(|n| *n <= 2), "{answered:?}");
    // Another start begins nothing again.
    let before = world.cdn.calls().len();
    assert!(running.stop().success());
    let running = world.serve();
    wait_until_idle(&running);
    assert_eq!(world.cdn.calls().len(), before);
    assert!(running.stop().success());
    let fsck = world.place.run(&["fsck"]);
    assert!(fsck.status.success(), "{fsck:?}");
    // The one that recurs waits for its next time.
    assert!(String::from_utf8_lossy(&fsck.stdout).contains(" jobs, 1 of them not ended"), "{fsck:?}");
}
