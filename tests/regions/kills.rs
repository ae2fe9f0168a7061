//! `kill -9` while writes run: what was acknowledged gets to the replica, also where the process ended between a write and
//! the next look at what it had recorded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

const ROUNDS: u64 = 6;
const WRITERS: usize = 3;

/// Writes until the gateway is gone.
fn write(address: SocketAddr, writer: usize, round: u64, stop: &AtomicBool) {
    let mut connection = connect(address);
    for n in 0.. {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let key = format!("{writer}/{}", n % 25);
        let request = Request::on(if n % 7 == 6 { "DELETE" } else { "PUT" }, "media", &key).body(format!("{round} {n}"));
        let (head, _) = request.head(&address.to_string(), Sign::Header(&acme()));
        if connection.try_send([head.as_bytes(), &request.body].concat()).is_err() {
            return;
        }
        let Ok(head) = connection.try_head() else { return };
        assert!(matches!(head.status, 200 | 204), "{head:?}");
        if head.status == 200 && connection.try_body(&head).is_err() {
            return;
        }
    }
}

#[test]
fn what_was_acknowledged_gets_there() {
    let west = Region::start("west");
    // No scan helps.
    let world = World::new(None, &[(&west, "scan = \"365d\"")]);
    let first = world.serve();
    Client::new(first.s3).make_bucket(&acme(), "media");
    // The one that finds nothing, at the very start.
    eventually(&first, "the first scan", || match metric(&first, "tidegate_replica_scanned_seconds{replica=\"west\"}") {
        0 => Err("is not through".into()),
        _ => Ok(()),
    });
    assert!(first.stop().success());
    for round in 0..ROUNDS {
        let mut running = world.serve();
        let stop = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (address, stop) = (running.s3, stop.clone());
                std::thread::spawn(move || write(address, writer, round, &stop))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(250 + 170 * round));
        running.signal("KILL");
        running.wait();
        stop.store(true, Ordering::SeqCst);
        writers.into_iter().for_each(|w| w.join().unwrap());
    }
    let running = world.serve();
    eventually(&running, "west has it all", || same(&running, &west, "media"));
    assert!(west.keys("media").len() > 20);
    assert_eq!(metric(&running, "tidegate_replica_found_total{replica=\"west\"}"), 0);
    assert!(running.stop().success());
}
