//! Keys of encryption as an operator handles them, of the real binary: rotation under load and kills, a key that is lost, one that may not go.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::s3::encryption::{KEY_ID, SSE};
use crate::support::binary::{ACCESS, Place, Running, SECRET};
use crate::support::client::{Client, Request, Sign};
use crate::support::gateway::files_under;
use crate::support::raw::connect;
use crate::support::signer::Key;

const ROUNDS: usize = 4;
const WRITERS: usize = 4;
const READERS: usize = 2;
/// Objects that lie there before: what a rotation has to do is not done at once.
const OBJECTS: usize = 300;
const NEEDLE: &[u8] = b"PLAINTEXT-THAT-NOBODY-MAY-FIND";

fn operator() -> Key {
    Key::new(ACCESS, SECRET)
}

/// A version's secret is 32 of these.
fn byte(version: u32) -> u8 {
    0xa0 + version as u8
}

/// With these versions of the named key `media`; none: without the key.
fn configure(place: &Place, versions: &[u32], more: &str) {
    let version = |n: &u32| format!("{{ number = {n}, secret = {{ file = \"media-{n}\" }} }}");
    versions.iter().for_each(|n| place.write(&format!("media-{n}"), &format!("{:02x}", byte(*n)).repeat(32)));
    let listed: Vec<_> = versions.iter().map(version).collect();
    let key = if versions.is_empty() {
        String::new()
    } else {
        format!("[[encryption_key]]\nname = \"media\"\nversions = [{}]\n", listed.join(", "))
    };
    place.write("gateway.toml", &format!("{more}[store]\nupkeep_interval = \"1s\"\n{key}"));
}

fn run(place: &Place, running: &Running, arguments: &[&str]) -> String {
    let output = place.command(arguments).env("TIDEGATE_ADMIN_LISTEN", running.admin.to_string()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn keys(place: &Place, running: &Running) -> Value {
    serde_json::from_str(&run(place, running, &["encryption", "keys", "--json"])).unwrap()
}

/// The versions of the key that something needs.
fn needed(keys: &Value, name: Option<&str>) -> Vec<u64> {
    let key = keys["keys"].as_array().unwrap().iter().find(|key| key["name"].as_str() == name).unwrap();
    let versions = key["versions"].as_array().unwrap().iter();
    versions.filter(|version| version["needed_by"] != 0).map(|version| version["number"].as_u64().unwrap()).collect()
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn put(key: &str, body: Vec<u8>) -> Request {
    let request = Request::on("PUT", "media", key).body(body);
    match key.starts_with("named") {
        true => request.header(SSE, "aws:kms").header(KEY_ID, "media"),
        false => request.header(SSE, "AES256"),
    }
}

fn body_of(n: usize) -> Vec<u8> {
    let text = [NEEDLE, format!(" {n} ").as_bytes()].concat();
    text.iter().copied().cycle().take(100 + n % 7 * 30_000).collect()
}

/// What was acknowledged, by key.
type Acknowledged = Arc<Mutex<HashMap<String, usize>>>;

/// Until the gateway is gone. A key that a request was under way for when it went has one of two bodies.
fn write(address: std::net::SocketAddr, writer: usize, stop: &AtomicBool, acknowledged: &Acknowledged, under_way: &Acknowledged) {
    let mut connection = connect(address);
    for n in 0.. {
        let key = format!("{}-{writer}-{}", if n % 2 == 0 { "named" } else { "own" }, n % 10);
        let seed = writer * 1000 + n;
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let request = put(&key, body_of(seed));
        let (head, _) = request.head(&address.to_string(), Sign::Header(&operator()));
        under_way.lock().unwrap().insert(key.clone(), seed);
        if connection.try_send([head.as_bytes(), &request.body].concat()).is_err() {
            return;
        }
        let Ok(head) = connection.try_head() else { return };
        assert_eq!(head.status, 200, "{head:?}");
        if connection.try_body(&head).is_err() {
            return;
        }
        acknowledged.lock().unwrap().insert(key.clone(), seed);
        under_way.lock().unwrap().remove(&key);
    }
}

/// Old objects, whose keys are wrapped anew meanwhile, are whole at every moment.
fn read(address: std::net::SocketAddr, reader: usize, stop: &AtomicBool) {
    let mut connection = connect(address);
    for n in (reader * 37).. {
        let n = n % OBJECTS;
        let (head, _) = Request::on("GET", "media", &old(n)).head(&address.to_string(), Sign::Header(&operator()));
        if stop.load(Ordering::SeqCst) || connection.try_send(head.as_bytes()).is_err() {
            return;
        }
        let Ok(head) = connection.try_head() else { return };
        assert_eq!(head.status, 200, "{head:?}");
        let Ok(body) = connection.try_body(&head) else { return };
        assert!(body == body_of(n), "{}", old(n));
    }
}

fn old(n: usize) -> String {
    format!("{}-old-{n}", if n.is_multiple_of(3) { "named" } else { "own" })
}

#[test]
fn keys_are_rotated_under_load_and_kills() {
    let place = Place::new();
    configure(&place, &[1], "");
    let (acknowledged, under_way) = (Acknowledged::default(), Acknowledged::default());
    let mut running = place.serve();
    let mut client = Client::new(running.s3);
    client.make_bucket(&operator(), "media");
    for n in 0..OBJECTS {
        client.send(&put(&old(n), body_of(n)), Sign::Header(&operator())).expect(200);
    }
    for round in 0..ROUNDS {
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for writer in 0..WRITERS {
            let (address, stop, acknowledged, under_way) = (running.s3, stop.clone(), acknowledged.clone(), under_way.clone());
            threads.push(std::thread::spawn(move || write(address, writer, &stop, &acknowledged, &under_way)));
        }
        for reader in 0..READERS {
            let (address, stop) = (running.s3, stop.clone());
            threads.push(std::thread::spawn(move || read(address, reader, &stop)));
        }
        let said = run(&place, &running, &["encryption", "rotate"]);
        assert_eq!(said, format!("the store's own key has version {}\n", round + 2));
        if round > 0 {
            // In the middle of the wrapping, or right after it.
            let version = round as u64 + 2;
            until("something is wrapped anew", || needed(&keys(&place, &running), None).contains(&version));
        }
        running.signal("KILL");
        running.wait();
        stop.store(true, Ordering::SeqCst);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        // The named key gets a version too.
        configure(&place, &(1..round as u32 + 3).collect::<Vec<_>>(), "");
        if round == 2 {
            std::fs::remove_dir_all(place.path("data/index")).unwrap();
        }
        running = place.serve();
    }
    until("all is wrapped anew", || keys(&place, &running)["rewrap"]["left"] == 0);
    let newest = ROUNDS as u64 + 1;
    let seen = keys(&place, &running);
    assert_eq!((needed(&seen, None), needed(&seen, Some("media"))), (vec![newest], vec![newest]));
    let said = run(&place, &running, &["encryption", "rotate", "--wait"]);
    assert!(said.ends_with("nothing needs an older version of a key\n"), "{said}");
    assert_eq!(needed(&keys(&place, &running), None), [newest + 1]);
    // Only the newest is left of the named key: nothing is lost.
    assert!(running.stop().success());
    configure(&place, &[newest as u32], "");
    assert!(place.run(&["check"]).status.success());
    let running = place.serve();
    let mut client = Client::new(running.s3);
    let mut whole = |key: &str| client.send(&Request::on("GET", "media", key), Sign::Header(&operator())).expect(200).body;
    (0..OBJECTS).for_each(|n| assert!(whole(&old(n)) == body_of(n), "{}", old(n)));
    for (key, seed) in acknowledged.lock().unwrap().iter() {
        let (body, later) = (whole(key), under_way.lock().unwrap().get(key).copied());
        assert!(body == body_of(*seed) || later.is_some_and(|seed| body == body_of(seed)), "{key}");
    }
    assert!(running.stop().success());
    let fsck = place.run(&["fsck", "--verify"]);
    assert!(fsck.status.success(), "{fsck:?}");
    // Nothing of it all is in the clear on the disk, and no key is.
    let secrets: Vec<Vec<u8>> = (1..=newest as u32).map(|n| vec![byte(n); 32]).collect();
    for file in files_under(&place.path("data")) {
        let bytes = std::fs::read(&file).unwrap();
        for needle in secrets.iter().map(Vec::as_slice).chain([NEEDLE]) {
            assert!(!bytes.windows(needle.len()).any(|w| w == needle), "{}", file.display());
        }
    }
}

#[test]
fn a_key_that_is_needed_may_not_go_and_a_lost_one_breaks_nothing_else() {
    let place = Place::new();
    configure(&place, &[1], "");
    let mut running = place.serve();
    let mut client = Client::new(running.s3);
    client.make_bucket(&operator(), "media");
    client.send(&put("named", body_of(1)), Sign::Header(&operator())).expect(200);
    client.send(&put("own", body_of(2)), Sign::Header(&operator())).expect(200);
    // It is told while the gateway serves, before anybody restarts it; and after a kill.
    let refused = |why: &str| {
        let checked = place.run(&["check"]);
        let text = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert!(!checked.status.success() && text.contains(why), "{checked:?}");
    };
    let version = "version 1 of the encryption key \"media\" is not there, and something stored needs it";
    configure(&place, &[2], "");
    refused(version);
    running.signal("KILL");
    running.wait();
    configure(&place, &[], "");
    refused(version);
    // A start says the same, and opens no port.
    let started = place.run(&["serve"]);
    let text = String::from_utf8_lossy(&started.stderr).into_owned();
    assert!(!started.status.success() && started.stdout.is_empty(), "{started:?}");
    assert!(text.contains("version 1 of \"media\", which 1 objects and uploads need"), "{text}");
    // Who does without it loses what lies under it, and nothing else.
    configure(&place, &[], "encryption.allow_missing_keys = true\n");
    let warned = place.run(&["check"]);
    assert!(warned.status.success() && String::from_utf8_lossy(&warned.stdout).contains(version), "{warned:?}");
    let running = place.serve();
    let mut client = Client::new(running.s3);
    client.send(&Request::on("GET", "media", "named"), Sign::Header(&operator())).refused(400, "KMS.DisabledException");
    assert!(client.send(&Request::on("GET", "media", "own"), Sign::Header(&operator())).expect(200).body == body_of(2));
    let said = run(&place, &running, &["encryption", "rotate", "--wait"]);
    assert!(said.ends_with("nothing needs an older version of a key\n"), "{said}");
    let shown = run(&place, &running, &["encryption", "keys"]);
    assert!(shown.lines().any(|line| line.starts_with("media") && line.ends_with("MISSING")), "{shown}");
    // It is needed no more once the object is gone, and may stay away.
    client.send(&Request::on("DELETE", "media", "named"), Sign::Header(&operator())).expect(204);
    configure(&place, &[], "");
    assert!(place.run(&["check"]).status.success());
    assert!(running.stop().success());
    assert!(place.serve().stop().success());
}
