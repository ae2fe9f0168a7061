//! Fetching from addresses elsewhere, by the real binary: sources that cut, lie, lead astray, and a kill in the middle.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::jobs::{acme, api, bravo, denied, json};
use crate::support::binary::{Place, Running};
use crate::support::client::{Client, Request, Sign};
use crate::support::standin::{Reply, StandIn};

/// A gateway that may fetch from 127.0.0.1, and from nowhere else inside.
pub fn place(more: &str) -> Place {
    let place = Place::new();
    place.write("gateway.toml", &format!("[fetch]\nallow = [\"127.0.0.1/32\"]\n{more}"));
    for key in [acme(), bravo()] {
        let id = key.access.strip_prefix("AK").unwrap().to_lowercase();
        let keys = format!("{{ access_key = \"{}\", secret = {{ value = \"{}\" }} }}", key.access, key.secret);
        let text = format!("id = \"{id}\"\npolicies = [\"tenant-default\"]\nkeys = [{keys}]\n");
        place.write(&format!("policies/tenants/{id}.toml"), &text);
    }
    place
}

fn begin(running: &Running, request: &Value) -> String {
    let answer = api(running, &acme(), "POST", "/-/v1/fetch", &[], &request.to_string()).expect(202);
    json(&answer)["job"].as_str().unwrap().to_owned()
}

pub fn ended(running: &Running, job: &str) -> Value {
    let begun = Instant::now();
    loop {
        let job = json(&api(running, &acme(), "GET", &format!("/-/v1/jobs/{job}"), &[("wait", "10s")], "").expect(200));
        if job["ended"].is_string() {
            return job;
        }
        assert!(begun.elapsed().as_secs() < 120, "{job:#}\n{}", running.log());
    }
}

/// Bytes that are nowhere alike.
fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn hash(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(bytes))
}

const PNG: &[u8] = b"\x89PNG\r\n\x1a\nnot much of a picture";

#[test]
fn what_a_source_gives_lands_whole() {
    let body = bytes(3_000_000);
    let given = body.clone();
    let stand_in = StandIn::start(move |ask| match ask.path.split('?').next().unwrap() {
        "/plain" => Reply::new(200, PNG).header("content-type", "image/png"),
        "/moved" => Reply::new(302, "").header("location", "/plain"),
        "/cut" => Reply { cut: Some(1_000_000), ..Reply::ranged(ask, &given, "\"v1\"") },
        "/busy" => Reply::new(503, "later").header("retry-after", "1"),
        _ => Reply::new(404, "nothing"),
    });
    let place = place("");
    let running = place.serve();
    let mut client = Client::new(running.s3);
    client.make_bucket(&acme(), "media");
    let plain = begin(&running, &json!({ "url": stand_in.url("/plain?secret=t0ken"), "bucket": "media", "key": "a" }));
    let moved = begin(&running, &json!({ "url": stand_in.url("/moved"), "bucket": "media", "key": "b.png", "content_type": "image/png" }));
    let cut = json!({
        "url": stand_in.url("/cut"), "bucket": "media", "key": "c.bin", "sha256": hash(&body), "bytes": body.len(),
        "idempotency_key": "once",
    });
    let whole = begin(&running, &cut);
    assert_eq!(begin(&running, &cut), whole, "the same one again is the same job");
    let done = ended(&running, &plain);
    assert_eq!((&done["state"], &done["result"]["content_type"]), (&"done".into(), &"image/png".into()), "{done:#}");
    assert_eq!(client.get(&acme(), "media", "a").expect(200).header("content-type"), Some("image/png"));
    assert_eq!(ended(&running, &moved)["result"]["bytes"], PNG.len());
    let done = ended(&running, &whole);
    assert_eq!(
        (&done["state"], &done["attempts"], &done["result"]["sha256"]),
        (&"done".into(), &1.into(), &hash(&body).into()),
        "{done:#}"
    );
    assert!(client.get(&acme(), "media", "c.bin").expect(200).body == body);
    let ranges: Vec<Option<usize>> = stand_in.asked().iter().filter(|ask| ask.path == "/cut").map(|ask| ask.from()).collect();
    assert_eq!(ranges, [None, Some(1_000_000), Some(2_000_000)]);
    assert!(stand_in.asked().iter().all(|ask| ask.method == "GET" && ask.header("accept-encoding") == Some("identity")));
    assert!(!running.log().contains("t0ken"), "{}", running.log());
    // A source that is busy is waited for, until its address expires.
    let expires = tidegate::base::timestamp::Timestamp::now().plus(Duration::from_secs(3)).iso8601();
    let busy = begin(&running, &json!({ "url": stand_in.url("/busy"), "bucket": "media", "key": "d", "expires": expires }));
    let dead = ended(&running, &busy);
    assert_eq!((&dead["state"], dead["attempts"].as_u64().unwrap() > 1), (&"dead".into(), true), "{dead:#}");
    assert!(running.stop().success());
}

#[test]
fn sources_that_lie_or_change_are_found_out() {
    let (first, second) = (bytes(400_000), bytes(500_000));
    let (lies, changed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let given = (first.clone(), second.clone());
    let stand_in = StandIn::start(move |ask| match ask.path.as_str() {
        // Announces more than it gives, and names no version; the third time it is well.
        "/lying" if lies.fetch_add(1, Ordering::SeqCst) < 1 => Reply { announced: Some(500_000), ..Reply::new(200, given.0.clone()) },
        "/lying" => Reply::new(200, given.0.clone()),
        "/changing" => match changed.fetch_add(1, Ordering::SeqCst) {
            0 => Reply { cut: Some(100_000), ..Reply::ranged(ask, &given.0, "\"v1\"") },
            _ => Reply::ranged(ask, &given.1, "\"v2\""),
        },
        "/page" => Reply::new(200, "<!doctype html><title>Sign in</title>").header("content-type", "image/png"),
        "/picture" => Reply::new(200, PNG),
        "/empty" => Reply::new(200, ""),
        "/large" => Reply { cut: Some(10), ..Reply::new(200, vec![7; 2_000_000]) },
        _ => Reply::new(410, "gone"),
    });
    let place = place("max_size = \"1MiB\"\n");
    let running = place.serve();
    let mut client = Client::new(running.s3);
    client.make_bucket(&acme(), "media");
    let of = |path: &str, more: Value| {
        let mut request = json!({ "url": stand_in.url(path), "bucket": "media", "key": path[1..] });
        more.as_object().unwrap().iter().for_each(|(name, value)| request[name] = value.clone());
        begin(&running, &request)
    };
    let good = [of("/lying", json!({})), of("/changing", json!({}))];
    let bad = [
        (of("/page", json!({ "content_type": "image/png" })), "a page or a document"),
        (of("/picture", json!({ "content_type": "model/gltf-binary" })), "gave image/png, not model/gltf-binary"),
        (of("/picture", json!({ "sha256": hash(b"another") })), "gave bytes with the SHA-256"),
        (of("/picture", json!({ "bytes": 5 })), "bytes, not 5"),
        (of("/empty", json!({ "content_type": "video/mp4" })), "gave no bytes"),
        (of("/large", json!({})), "more than 1048576 bytes"),
        (of("/gone", json!({})), "answered 410"),
    ];
    for (job, body) in good.iter().zip([&first, &second]) {
        let done = ended(&running, job);
        assert_eq!((&done["state"], &done["result"]["sha256"]), (&"done".into(), &hash(body).into()), "{done:#}");
        assert_eq!(done["attempts"], 2);
    }
    for (job, reason) in bad {
        let dead = ended(&running, &job);
        assert!(dead["state"] == "dead" && dead["reason"].as_str().unwrap().contains(reason), "{reason}: {dead:#}");
    }
    for key in ["page", "picture", "empty", "large", "gone"] {
        client.get(&acme(), "media", key).expect(404);
    }
}

#[test]
fn nobody_is_led_inside() {
    let port = Arc::new(AtomicUsize::new(0));
    let own = port.clone();
    let stand_in = StandIn::start(move |ask| {
        let port = own.load(Ordering::SeqCst);
        let to = |host: &str| Reply::new(302, "").header("location", &format!("http://{host}:{port}/secret"));
        match ask.path.as_str() {
            "/secret" => Reply::new(200, "the inside"),
            "/circle" => Reply::new(307, "").header("location", "circle"),
            "/file" => Reply::new(302, "").header("location", "file:///etc/passwd"),
            host => to(&host[1..]),
        }
    });
    port.store(stand_in.address.port().into(), Ordering::SeqCst);
    let place = place("");
    let running = place.serve();
    Client::new(running.s3).make_bucket(&acme(), "media");
    let inside = [
        "127.0.0.2",
        "169.254.169.254",
        "[::1]",
        "[::ffff:127.0.0.2]",
        "[64:ff9b::7f00:2]",
        "[2002:7f00:2::]",
        "10.0.0.1",
        "100.64.0.1",
        "0.0.0.0",
    ];
    let mut jobs: Vec<(String, &str)> = inside
        .iter()
        .flat_map(|host| [stand_in.url(&format!("/{host}")), format!("http://{host}:{}/secret", stand_in.address.port())])
        .map(|url| (begin(&running, &json!({ "url": url, "bucket": "media", "key": "x" })), "no public address"))
        .collect();
    jobs.push((begin(&running, &json!({ "url": stand_in.url("/circle"), "bucket": "media", "key": "x" })), "leads on more than"));
    jobs.push((begin(&running, &json!({ "url": stand_in.url("/file"), "bucket": "media", "key": "x" })), "no address"));
    for (job, reason) in jobs {
        let dead = ended(&running, &job);
        assert!(dead["state"] == "dead" && dead["reason"].as_str().unwrap().contains(reason), "{dead:#}");
    }
    assert!(!stand_in.asked().iter().any(|ask| ask.path == "/secret"));
}

#[test]
fn what_is_refused_at_once() {
    let place = place("");
    let running = place.serve();
    Client::new(running.s3).make_bucket(&acme(), "media");
    let of = |more: Value| {
        let mut request = json!({ "url": "https://files.example.com/a", "bucket": "media", "key": "x" });
        more.as_object().unwrap().iter().for_each(|(name, value)| request[name] = value.clone());
        request.to_string()
    };
    for (more, status, code) in [
        (json!({ "url": "ftp://files.example.com/a" }), 400, "InvalidRequest"),
        (json!({ "url": "https://user:word@files.example.com/a" }), 400, "InvalidRequest"),
        (json!({ "url": "https://files.example.com/a?Expires=1" }), 400, "InvalidRequest"),
        (json!({ "expires": "soon" }), 400, "InvalidArgument"),
        (json!({ "sha256": "abc" }), 400, "InvalidArgument"),
        (json!({ "content_type": "picture" }), 400, "InvalidRequest"),
        (json!({ "bytes": 1_u64 << 40 }), 400, "InvalidRequest"),
        (json!({ "bucket": "nowhere" }), 404, "NoSuchBucket"),
        (json!({ "colour": "red" }), 400, "InvalidRequest"),
    ] {
        denied(&api(&running, &acme(), "POST", "/-/v1/fetch", &[], &of(more)), status, code);
    }
    denied(&api(&running, &bravo(), "POST", "/-/v1/fetch", &[], &of(json!({}))), 403, "AccessDenied");
    let anonymous = Client::new(running.s3).send(&Request::new("POST", "/-/v1/fetch").body(of(json!({}))), Sign::No);
    denied(&anonymous, 403, "AccessDenied");
}

#[test]
fn a_kill_in_the_middle_loses_nothing() {
    let body = bytes(4_000_000);
    let given = body.clone();
    let pause = Arc::new(AtomicUsize::new(40));
    let paused = pause.clone();
    let stand_in = StandIn::start(move |ask| {
        let pause = Duration::from_millis(paused.load(Ordering::SeqCst) as u64);
        Reply { pause, ..Reply::ranged(ask, &given, "\"v1\"") }
    });
    let place = place("");
    let mut running = place.serve();
    Client::new(running.s3).make_bucket(&acme(), "media");
    let request = json!({ "url": stand_in.url("/slow"), "bucket": "media", "key": "slow.bin", "sha256": hash(&body) });
    let job = begin(&running, &request);
    for round in 1..=2 {
        let begun = Instant::now();
        while stand_in.asked().len() < round {
            assert!(begun.elapsed().as_secs() < 60, "{}", running.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        running.signal("KILL");
        running.wait();
        running = place.serve();
        Client::new(running.s3).get(&acme(), "media", "slow.bin").expect(404);
    }
    pause.store(0, Ordering::SeqCst);
    let done = ended(&running, &job);
    assert_eq!(done["state"], "done", "{done:#}");
    assert!(Client::new(running.s3).get(&acme(), "media", "slow.bin").expect(200).body == body);
    assert!(running.stop().success());
}
