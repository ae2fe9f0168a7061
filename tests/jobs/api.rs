//! `/-/v1/jobs`: whose jobs are seen by whom, waiting, events, cancel and retry.

use super::*;
use crate::support::invalidations::Fate;
use crate::support::raw::connect;

fn purge(running: &Running, key: &Key, body: &str) -> String {
    let answer = api(running, key, "POST", "/-/v1/purge", &[], body).expect(202);
    json(&answer)["jobs"][0].as_str().unwrap().to_owned()
}

#[test]
fn tenants_see_their_own_jobs() {
    let world = World::new("50ms");
    let running = world.serve();
    Client::new(running.s3).make_bucket(&acme(), "media");
    let id = purge(&running, &acme(), r#"{"bucket": "media", "keys": ["public/a", "public/a", "public/b c"]}"#);
    let path = format!("/-/v1/jobs/{id}");
    let job = json(&api(&running, &acme(), "GET", &path, &[("wait", "15s")], "").expect(200));
    assert_eq!(job["state"], "done", "{job}");
    assert_eq!((&job["tenant"], &job["kind"], &job["attempts"], &job["items"]), (&"acme".into(), &"purge".into(), &1.into(), &2.into()));
    assert_eq!(job["result"]["items"], 2);
    assert_eq!(job["payload"]["distribution"], DISTRIBUTION);
    assert_eq!(world.cdn.made(), [["/a", "/b%20c"]]);
    // Another tenant's job does not exist; the operator sees all of them.
    denied(&api(&running, &bravo(), "GET", &path, &[], ""), 404, "NotFound");
    denied(&api(&running, &bravo(), "GET", &format!("{path}/events"), &[], ""), 404, "NotFound");
    denied(&api(&running, &bravo(), "POST", &format!("{path}/retry"), &[], ""), 404, "NotFound");
    assert!(jobs(&running, &bravo(), &[]).is_empty());
    assert!(jobs(&running, &bravo(), &[("tenant", "acme")]).is_empty());
    assert_eq!(jobs(&running, &acme(), &[]).len(), 1);
    assert_eq!(jobs(&running, &operator(), &[("tenant", "acme"), ("kind", "purge"), ("state", "done")]).len(), 1);
    assert!(jobs(&running, &operator(), &[("kind", "other")]).is_empty());
    // Without an identity there is nothing to see.
    let anonymous = Client::new(running.s3).send(&Request::new("GET", "/-/v1/jobs"), Sign::No);
    denied(&anonymous, 403, "AccessDenied");
    denied(&api(&running, &acme(), "GET", "/-/v1/jobs", &[("state", "asleep")], ""), 400, "InvalidArgument");
    denied(&api(&running, &acme(), "GET", "/-/v1/jobs", &[("after", "00")], ""), 400, "InvalidArgument");
    denied(&api(&running, &acme(), "DELETE", &path, &[], ""), 405, "MethodNotAllowed");
    denied(&api(&running, &acme(), "POST", &format!("{path}/cancel"), &[], ""), 409, "OperationAborted");
    let (_, metrics) = connect(running.admin).exchange("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let metrics = String::from_utf8(metrics).unwrap();
    assert!(metrics.contains("tidegate_job_attempts_total{kind=\"purge\",outcome=\"done\"} 1"), "{metrics}");
    assert!(running.stop().success());
}

#[test]
fn pages_go_on_where_they_ended() {
    let world = World::new("1m");
    let running = world.serve();
    Client::new(running.s3).make_bucket(&acme(), "media");
    let mut made: Vec<String> =
        (0..7).map(|n| purge(&running, &acme(), &format!(r#"{{"bucket": "media", "keys": ["public/{n}"]}}"#))).collect();
    wait_until_idle(&running);
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let query = [("max", "3"), ("after", after.as_str())];
        let page = json(&api(&running, &acme(), "GET", "/-/v1/jobs", &query, "").expect(200));
        found.extend(page["jobs"].as_array().unwrap().iter().map(|j| j["id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    made.sort();
    found.sort();
    assert_eq!(found, made);
}

#[test]
fn a_job_is_watched_given_up_and_begun_anew() {
    let world = World::new("50ms");
    let running = world.serve();
    Client::new(running.s3).make_bucket(&acme(), "media");
    world.cdn.then(&[Fate::TooMany, Fate::Unknown]);
    let id = purge(&running, &acme(), r#"{"bucket": "media", "prefix": "public/run/"}"#);
    let path = format!("/-/v1/jobs/{id}");
    // The stream ends with the job.
    let (head, _) = Request::new("GET", &format!("{path}/events")).head(&running.s3.to_string(), Sign::Header(&acme()));
    let mut stream = connect(running.s3);
    stream.send(head);
    let head = stream.head();
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
    let events = String::from_utf8(stream.body(&head)).unwrap();
    let states: Vec<Value> =
        events.split("data: ").skip(1).map(|e| serde_json::from_str(e.split("\n\n").next().unwrap()).unwrap()).collect();
    let last = states.last().unwrap();
    assert_eq!((&last["state"], &last["attempts"]), (&"dead".into(), &2.into()), "{events}");
    assert_eq!(last["reason"], "CloudFront answered NoSuchDistribution: of the stand-in");
    assert!(states.iter().any(|s| s["state"] == "waiting" && s["reason"].as_str().is_some_and(|r| r.contains("TooMany"))), "{events}");
    // By hand, it succeeds.
    let again = json(&api(&running, &acme(), "POST", &format!("{path}/retry"), &[], "").expect(200));
    assert_eq!(again["attempts"], 0);
    let done = json(&api(&running, &acme(), "GET", &path, &[("wait", "15")], "").expect(200));
    assert_eq!(done["state"], "done", "{done}");
    assert_eq!(world.cdn.made(), [["/run/*"]]);
    assert_eq!(world.cdn.contradictions(), 0);
    denied(&api(&running, &acme(), "POST", &format!("{path}/retry"), &[], ""), 409, "OperationAborted");
}

#[test]
fn a_cancelled_job_is_never_sent_and_a_stop_lets_waiters_go() {
    let world = World::new("1h");
    let mut running = world.serve();
    let mut client = Client::new(running.s3);
    client.make_bucket(&acme(), "media");
    client.put(&acme(), "media", "public/a", b"1").expect(200);
    let waiting = jobs(&running, &acme(), &[("state", "waiting")]);
    let path = format!("/-/v1/jobs/{}", waiting[0]["id"].as_str().unwrap());
    assert!(waiting[0]["due"].is_string());
    let cancelled = json(&api(&running, &acme(), "POST", &format!("{path}/cancel"), &[], "").expect(200));
    assert_eq!(cancelled["state"], "cancelled");
    // The next change begins another; whoever waits for it hears of the stop.
    client.put(&acme(), "media", "public/a", b"2").expect(200);
    let open = jobs(&running, &acme(), &[("state", "waiting")]);
    let open = format!("/-/v1/jobs/{}", open[0]["id"].as_str().unwrap());
    let address = running.s3;
    let waiter =
        std::thread::spawn(move || Client::new(address).send(&Request::new("GET", &open).query("wait", "50s"), Sign::Header(&acme())));
    std::thread::sleep(Duration::from_millis(300));
    running.signal("TERM");
    assert_eq!(json(&waiter.join().unwrap().expect(200))["state"], "waiting");
    assert!(running.wait().success());
    assert!(world.cdn.calls().is_empty());
}
