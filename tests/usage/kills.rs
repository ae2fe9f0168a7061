//! `kill -9` at any moment of generated traffic, with the index gone now and then: what is stored is what a listing recounts, always;
//! what was used differs by a second a kill at most, and nothing is counted twice.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tidegate::http::xml::Element;

use super::*;
use crate::support::raw::connect;

const ROUNDS: u64 = 6;
const WRITERS: usize = 3;
/// What a kill may cost.
const LOST: Duration = Duration::from_secs(1);

/// When each request ended that was answered, and the bytes of its answer; and how many were sent.
#[derive(Default)]
struct Traffic {
    answered: Mutex<Vec<(Instant, u64)>>,
    sent: std::sync::atomic::AtomicU64,
}

fn traffic(address: std::net::SocketAddr, writer: usize, seed: u64, stop: &AtomicBool, traffic: &Traffic) {
    let mut connection = connect(address);
    let mut state = seed * 7919 + writer as u64 + 1;
    let mut random = |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    while !stop.load(Ordering::SeqCst) {
        let artifact = ["image", "video", "none"][random(3) as usize];
        let name = format!("acme/run-{}/{artifact}/{writer}-{}", random(4), random(6));
        let bucket = ["media", "vault"][random(2) as usize];
        let request = match random(10) {
            0..5 => Request::on("PUT", bucket, &name).body(vec![b'x'; random(3000) as usize + if random(4) == 0 { 70_000 } else { 0 }]),
            5..8 => Request::on("GET", bucket, &name),
            8 => Request::on("DELETE", bucket, &name),
            _ => Request::on("PUT", bucket, &format!("{name}-copy")).header("x-amz-copy-source", &format!("/{bucket}/{name}")),
        };
        let (head, _) = request.head(&address.to_string(), Sign::Header(&acme()));
        traffic.sent.fetch_add(1, Ordering::SeqCst);
        if connection.try_send([head.as_bytes(), &request.body].concat()).is_err() {
            return;
        }
        let Ok(head) = connection.try_head() else { return };
        assert!(matches!(head.status, 200 | 204 | 404), "{head:?}");
        let mut bytes = 0;
        if head.status != 204 {
            let Ok(body) = connection.try_body(&head) else { return };
            bytes = body.len() as u64;
        }
        traffic.answered.lock().unwrap().push((Instant::now(), bytes));
    }
}

type Recount = BTreeMap<(String, String), (u64, u64, u64, u64)>;

/// Bytes, objects, versions and markers by bucket and artifact type, by listings alone.
fn recount(running: &Running) -> Recount {
    let mut found = Recount::new();
    for bucket in ["media", "vault"] {
        let mut next: Option<(String, String)> = None;
        loop {
            let mut request = Request::new("GET", &format!("/{bucket}")).query("versions", "");
            if let Some((key, version)) = &next {
                request = request.query("key-marker", key).query("version-id-marker", version);
            }
            let page = Client::new(running.s3).send(&request, Sign::Header(&operator())).expect(200).xml("ListVersionsResult");
            page.children.iter().for_each(|entry| add(&mut found, bucket, entry));
            let text = |name: &str| page.text_of(name).map(str::to_owned);
            next = text("NextKeyMarker").zip(text("NextVersionIdMarker"));
            if next.is_none() {
                assert_eq!(page.text_of("IsTruncated"), Some("false"));
                break;
            }
        }
    }
    found
}

fn add(found: &mut Recount, bucket: &str, entry: &Element) {
    let Some(key) = entry.text_of("Key") else { return };
    let artifact = key.split('/').nth(2).filter(|a| *a != "none").unwrap_or_default();
    let (bytes, objects, versions, markers) = found.entry((bucket.into(), artifact.into())).or_default();
    if &*entry.name == "DeleteMarker" {
        *markers += 1;
        return;
    }
    *bytes += entry.text_of("Size").unwrap().parse::<u64>().unwrap();
    *versions += 1;
    *objects += u64::from(entry.text_of("IsLatest") == Some("true"));
}

fn counted(place: &Place, running: &Running) -> Recount {
    let stored = usage_json(place, running, &["--stored", "--by", "type", "--tenant", "acme"]);
    let of = |place: &Value| {
        let number = |name: &str| place[name].as_u64().unwrap();
        let text = |name: &str| place[name].as_str().unwrap_or_default().to_owned();
        ((text("bucket"), text("type")), (number("bytes"), number("objects"), number("versions"), number("delete_markers")))
    };
    stored["places"].as_array().unwrap().iter().map(of).filter(|(_, counts)| *counts != (0, 0, 0, 0)).collect()
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
                std::thread::spawn(move || traffic(address, writer, round, &stop, &counts))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(1300 + 270 * round));
        let killed = Instant::now();
        running.signal("KILL");
        running.wait();
        stop.store(true, Ordering::SeqCst);
        writers.into_iter().for_each(|w| w.join().unwrap());
        let answered = counts.answered.lock().unwrap();
        let kept: Vec<_> = answered.iter().filter(|(at, _)| *at + LOST < killed).collect();
        at_least += kept.len() as u64;
        at_least_bytes += kept.iter().map(|(_, bytes)| bytes).sum::<u64>();
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
        assert!(running.stop().success());
    }
    assert!(at_least > 50, "{at_least}");
    let fsck = place.run(&["fsck"]);
    assert!(fsck.status.success(), "{fsck:?}");
}
