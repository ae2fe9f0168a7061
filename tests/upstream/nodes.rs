//! Several nodes over one bucket: what is set on one holds on the others, without a restart.

use std::process::Command;
use std::time::{Duration, Instant};

use http::Method;
use tidegate::telemetry::metrics::Door;

use crate::support::binary::{ACCESS, Place, Running, SECRET};
use crate::support::client::{Client, Request, Sign};
use crate::support::faulty_s3::{Fault, FaultyS3};
use crate::support::gateway::{Gateway, HOME, operator};
use crate::support::signer::Key;

/// To be served over the bucket `HOME` of that S3.
pub fn node(endpoint: std::net::SocketAddr) -> (Place, Command) {
    let place = Place::new();
    place.write("policies/tenants/acme.toml", "id = \"acme\"\npolicies = [\"tenant-default\"]\n");
    let mut command = place.command(&["serve"]);
    command.envs([("S3_BUCKET", HOME), ("S3_ENDPOINT", &format!("http://{endpoint}")), ("AWS_REGION", "us-east-1")]);
    let key = operator();
    command.env("AWS_ACCESS_KEY_ID", key.access).env("AWS_SECRET_ACCESS_KEY", key.secret);
    (place, command)
}

fn run(place: &Place, running: &Running, arguments: &[&str]) -> String {
    let out = place.command(arguments).env("TIDEGATE_ADMIN_LISTEN", running.admin.to_string()).output().unwrap();
    assert!(out.status.success(), "{out:?}");
    String::from_utf8(out.stdout).unwrap()
}

#[track_caller]
fn within_seconds(what: impl Fn() -> bool) {
    let begun = Instant::now();
    while !what() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it never came about");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn keys_made_on_one_node_work_on_all() {
    let below = Gateway::start();
    below.client().make_bucket(&operator(), HOME);
    let (one, command) = node(below.address(Door::S3));
    let first = one.serve_by(command);
    let (two, command) = node(below.address(Door::S3));
    let second = two.serve_by(command);
    let made = run(&one, &first, &["key", "make", "acme"]);
    let value = |name: &str| made.lines().find_map(|l| l.strip_prefix(name)).unwrap().to_owned();
    let key = Key::new(&value("AWS_ACCESS_KEY_ID="), &value("AWS_SECRET_ACCESS_KEY="));
    let status = |running: &Running| Client::new(running.s3).send(&Request::new("GET", "/"), Sign::Header(&key)).status;
    assert_eq!(status(&first), 200);
    within_seconds(|| status(&second) == 200);
    // Switched off where it was not made.
    run(&two, &second, &["key", "disable", &key.access]);
    assert_eq!(status(&second), 403);
    within_seconds(|| status(&first) == 403);
    run(&one, &first, &["key", "remove", &key.access]);
    within_seconds(|| !run(&two, &second, &["key", "list"]).contains(&key.access));
    assert!(first.stop().success() && second.stop().success());
}

/// Both find that there is no secret yet, and make one: one of them is told that it is too late, and takes the other's.
#[test]
fn nodes_that_start_at_once_share_one_secret() {
    let below = Gateway::start();
    below.client().make_bucket(&operator(), HOME);
    let between = FaultyS3::start(below.address(Door::S3));
    between.plan(Method::PUT, "settings/secrets", 2, Fault::Delay(Duration::from_secs(3)));
    let (one, command) = node(between.address);
    let (two, other) = node(between.address);
    let (first, second) = std::thread::scope(|scope| {
        let second = scope.spawn(|| two.serve_by(other));
        (one.serve_by(command), second.join().unwrap())
    });
    assert_eq!(between.seen(Method::PUT, "settings/secrets"), 2, "both made one");
    let me = Key::new(ACCESS, SECRET);
    Client::new(first.s3).put(&me, HOME, "dir/k", b"private").expect(200);
    for (from, to) in [(&first, &second), (&second, &first)] {
        let wanted = format!(r#"{{"bucket": "{HOME}", "key": "dir/k", "form": "path-token", "base": "http://{}"}}"#, to.edge);
        let link = Client::new(from.s3).send(&Request::new("POST", "/-/v1/presign").body(wanted), Sign::Header(&me)).expect(200).text();
        let path = link.split(&to.edge.to_string()).nth(1).unwrap().split('"').next().unwrap().to_owned();
        assert_eq!(Client::new(to.edge).send(&Request::new("GET", &path), Sign::No).expect(200).body, b"private", "{link}");
    }
    assert!(first.stop().success() && second.stop().success());
}
