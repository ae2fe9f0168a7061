//! `kill -9` at any moment of generated traffic, with the index gone now and then: what is stored is what a listing recounts, always;
//! what was used differs by a second a kill at most, and nothing is counted twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::support::stored::{self, Recount};
use crate::support::traffic::{Traffic, Writer};

const ROUNDS: u64 = 6;
const WRITERS: usize = 3;
/// What a kill may cost.
const LOST: Duration = Duration::from_secs(1);

fn counted(place: &Place, running: &Running) -> Recount {
    stored::counted(&usage_json(place, running, &["--stored", "--by", "type", "--tenant", "acme"]))
}

fn recount(running: &Running) -> Recount {
    stored::recount(running.s3, &operator(), &["media", "vault"])
}

#[test]
fn a_kill_costs_a_second_of_traffic_and_nothing_of_what_is_stored() {
    let place = place();
    let (mut at_least, mut at_least_bytes, mut at_most) = (0, 0, 0);
    for round in 0..ROUNDS {
        let mut running = place.serve();
        if round == 0 {
            let mut client = Client::new(running.s3);
            client.make_bucket(&acme(), "media");
            client.make_bucket(&acme(), "vault");
            let on = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
            let versioned = Request::new("PUT", "/vault").query("versioning", "").body(on).content_md5();
            client.send(&versioned, Sign::Header(&acme())).expect(200);
            at_most += 3;
        }
        // What the start found is what a listing finds.
        assert_eq!(counted(&place, &running), recount(&running), "round {round}");
        let (stop, counts) = (Arc::new(AtomicBool::new(false)), Arc::new(Traffic::default()));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (address, stop, counts) = (running.s3, stop.clone(), counts.clone());
                std::thread::spawn(move || {
                    let (seed, name) = (round * 7919 + writer as u64 + 1, format!("{writer}-"));
                    Writer { address, node: 0, key: acme(), seed, name, also: &[], traffic: &counts }.run(&stop);
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(1300 + 270 * round));
        let killed = Instant::now();
        running.signal("KILL");
        running.wait();
        stop.store(true, Ordering::SeqCst);
        writers.into_iter().for_each(|w| w.join().unwrap());
        let answered = counts.answered.lock().unwrap();
        let kept: Vec<_> = answered.iter().filter(|a| a.at + LOST < killed).collect();
        at_least += kept.len() as u64;
        at_least_bytes += kept.iter().map(|a| a.bytes).sum::<u64>();
        at_most += counts.sent.load(Ordering::SeqCst);
        if round % 3 == 1 {
            std::fs::remove_dir_all(place.path("data/index")).unwrap();
        }
        let running = place.serve();
        let total = usage_json(&place, &running, &["--tenant", "acme"])["total"].clone();
        let (requests, bytes) = (total["requests_total"].as_u64().unwrap(), total["bytes_out_total"].as_u64().unwrap());
        assert!((at_least..=at_most).contains(&requests), "round {round}: {at_least} <= {requests} <= {at_most}");
        assert!(bytes >= at_least_bytes, "round {round}: {bytes} of {at_least_bytes}");
        assert_eq!(counted(&place, &running), recount(&running), "round {round}, after the kill");
        // What was stored of types is all told of runs, and nothing else is.
        let report = usage_json(&place, &running, &["--tenant", "acme", "--by", "type,run"]);
        for line in report["lines"].as_array().unwrap() {
            let is_stored = line["byte_milliseconds"] != "0";
            assert!(!is_stored || (line["type"] == "") == (line["run"] == ""), "round {round}: {line}");
        }
        assert_ne!(line(&report, &[("type", "image"), ("run", "run-1")])["byte_milliseconds"], "0");
        assert!(running.stop().success());
    }
    assert!(at_least > 50, "{at_least}");
    let fsck = place.run(&["fsck"]);
    assert!(fsck.status.success(), "{fsck:?}");
}
