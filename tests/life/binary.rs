//! The binary as scripts and operators meet it: start, line, commands, reload, stop.

use std::process::Output;

use crate::support::binary::{Place, Running};
use crate::support::raw::{Raw, connect};

fn out(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output, status: i32) -> String {
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A request line's target for what `tidegate presign` printed.
fn presigned(place: &Place, running: &Running, method: &str, object: &str) -> String {
    let endpoint = format!("http://{}", running.s3);
    let url = out(&place.run(&["presign", "--method", method, "--endpoint", &endpoint, object]));
    url.trim().strip_prefix(&endpoint).unwrap().to_owned()
}

fn send(running: &Running, method: &str, target: &str, body: &str) -> (u16, String) {
    let mut client: Raw = connect(running.s3);
    let request = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n{body}", running.s3, body.len());
    let (head, body) = client.exchange(request);
    (head.status, String::from_utf8(body).unwrap())
}

#[test]
fn starts_serves_and_stops() {
    let place = Place::new();
    let running = place.serve();
    assert_eq!(send(&running, "GET", "/-/health", "").0, 200);
    assert_eq!(send(&running, "GET", "/-/ready", "").0, 200);
    assert_eq!(connect(running.edge).exchange("GET /-/x HTTP/1.1\r\nHost: t\r\n\r\n").0.status, 404);
    let (head, metrics) = connect(running.admin).exchange("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(head.status, 200);
    assert!(String::from_utf8(metrics).unwrap().contains("tidegate_connections_accepted_total{door=\"s3\"}"));
    assert!(running.stop().success());
}

#[test]
fn a_second_one_on_the_same_store_is_refused() {
    let place = Place::new();
    let running = place.serve();
    let second = err(&place.run(&["serve"]), 1);
    assert!(second.lines().last().unwrap().starts_with("tidegate: "), "{second}");
    assert!(running.stop().success());
}

#[test]
fn every_fault_is_told_and_nothing_is_opened() {
    let place = Place::new();
    place.write("gateway.toml", "[s3]\nlistn = 1\n[limits]\nworkers = \"x\"\n");
    for command in [&["serve"][..], &["check"]] {
        let text = err(&place.run(command), 64);
        assert!(text.contains("gateway.toml:2: s3.listn: there is no such key; did you mean s3.listen?"), "{text}");
        assert!(text.contains("gateway.toml:4: limits.workers: expected"), "{text}");
    }
    assert!(!place.path("data").exists());

    place.write("gateway.toml", "[s3]\ntls_listen = \"127.0.0.1:0\"\n");
    std::fs::create_dir(place.path("certs")).unwrap();
    place.write("policies/tenants/a.toml", "id = 7\n");
    place.write("policies/broken.json", "{");
    let text = err(&place.run(&["check"]), 64);
    for part in ["certs: no certificate found", "a.toml", "broken.json"] {
        assert!(text.contains(part), "{part} not in {text}");
    }
    assert!(!place.path("data").exists());
    assert_eq!(place.run(&["serve", "--config", "other.toml"]).status.code(), Some(64));
    assert_eq!(place.run(&["sevre"]).status.code(), Some(64));
}

#[test]
fn check_says_what_is_good() {
    let place = Place::new();
    place.write("policies/tenants/acme.toml", "id = \"acme\"\npolicies = [\"tenant-default\"]\n");
    assert!(out(&place.run(&["check"])).contains("1 tenants, 0 keys in files, 1 policies"));
}

#[test]
fn keys_are_made_beside_a_running_gateway_and_without_one() {
    let place = Place::new();
    place.write("policies/tenants/acme.toml", "id = \"acme\"\npolicies = [\"tenant-default\"]\n");
    let running = place.serve();
    let admin = running.admin.to_string();
    let beside = |arguments: &[&str]| place.command(arguments).env("TIDEGATE_ADMIN_LISTEN", &admin).output().unwrap();
    let made = out(&beside(&["key", "make", "acme"]));
    assert!(made.contains("AWS_SECRET_ACCESS_KEY="), "{made}");
    let access = made.lines().next().unwrap().strip_prefix("AWS_ACCESS_KEY_ID=").unwrap().to_owned();
    assert!(err(&beside(&["key", "make", "nobody"]), 1).contains("policies/tenants/nobody.toml"));
    assert!(out(&beside(&["key", "disable", &access])).contains("is disabled"));
    assert!(running.stop().success());

    // The store is free now: the command starts a gateway of its own, and finds what the first one kept.
    let listed = out(&place.run(&["key", "list"]));
    assert!(listed.contains(&access) && listed.contains("disabled"), "{listed}");
    out(&place.run(&["key", "remove", &access]));
    assert!(!out(&place.run(&["key", "list"])).contains(&access));
    assert!(err(&place.run(&["key", "remove", &access]), 1).contains("No key of that id"));
    assert_eq!(place.run(&["key", "disable", "a/../b"]).status.code(), Some(64));
}

#[test]
fn presigned_urls_of_the_command_line_work() {
    let place = Place::new();
    let running = place.serve();
    // The bucket, by the operator's signature over the path of an object: S3 has no presigned CreateBucket here.
    let made = out(&place.command(&["key", "list", "--json"]).env("TIDEGATE_ADMIN_LISTEN", running.admin.to_string()).output().unwrap());
    assert_eq!(made.trim(), "[]");
    let target = presigned(&place, &running, "PUT", "s3://nowhere/a.txt");
    let (status, body) = send(&running, "PUT", &target, "hello");
    assert_eq!(status, 404, "{body}");
    assert!(body.contains("NoSuchBucket"), "{body}");
    let (status, body) = send(&running, "PUT", &target.replace("a.txt", "b.txt"), "hello");
    assert_eq!(status, 403, "{body}");
    assert!(err(&place.run(&["presign", "s3://UPPER/x"]), 1).contains("bucket"));
    assert_eq!(place.run(&["presign", "nonsense"]).status.code(), Some(64));
    assert!(running.stop().success());
}

#[test]
fn without_a_store_there_is_no_key_to_sign_with() {
    let place = Place::new();
    let mut command = place.command(&["presign", "s3://bucket/key"]);
    command.env_remove("TIDEGATE_ROOT_ACCESS_KEY").env_remove("TIDEGATE_ROOT_SECRET_KEY");
    assert!(err(&command.output().unwrap(), 1).contains("there is no operator's key"));
    assert!(!place.path("data").exists());
}

#[test]
fn the_operators_key_is_made_once_and_not_shown_to_a_log() {
    let place = Place::new();
    let serve = || {
        let mut command = place.command(&["serve"]);
        command.env_remove("TIDEGATE_ROOT_ACCESS_KEY").env_remove("TIDEGATE_ROOT_SECRET_KEY");
        place.serve_by(command)
    };
    assert!(serve().stop().success());
    let key = std::fs::read_to_string(place.path("data/operator.key")).unwrap();
    let secret = key.lines().find_map(|l| l.strip_prefix("secret_key = \"")).unwrap().trim_end_matches('"');
    let again = serve();
    assert!(!again.log().contains(secret));
    assert!(again.log().contains("the operator's key was made"));
    assert!(again.stop().success());
    assert_eq!(std::fs::read_to_string(place.path("data/operator.key")).unwrap(), key);
}

#[test]
fn policies_are_taken_up_while_serving() {
    let place = Place::new();
    let running = place.serve();
    place.write("policies/tenants/acme.toml", "id = \"acme\"\npolicies = [\"tenant-default\"]\n");
    running.wait_for_log("policies reloaded");
    place.write("policies/tenants/acme.toml", "id = \"acme\"\npolicies = [\"missing\"]\n");
    running.wait_for_log("what was loaded before stays");
    running.signal("HUP");
    let made = place.command(&["key", "make", "acme"]).env("TIDEGATE_ADMIN_LISTEN", running.admin.to_string()).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    assert!(running.stop().success());
}

#[test]
fn a_second_signal_cuts_the_drain() {
    let place = Place::new();
    let mut running = place.serve();
    let target = presigned(&place, &running, "PUT", "s3://bucket/key");
    let mut client = connect(running.s3);
    // A head in the making keeps a connection busy without any bucket.
    client.send(format!("PUT {target} HTTP/1.1\r\nHost: {}\r\n", running.s3));
    std::thread::sleep(std::time::Duration::from_millis(300));
    running.signal("TERM");
    running.wait_for_log("stopping");
    running.signal("INT");
    assert!(running.wait().success());
    assert!(running.log().contains("cutting what still runs"));
    assert!(client.try_head().is_err());
}

#[test]
fn the_access_log_holds_every_request_at_the_end() {
    let place = Place::new();
    place.write("gateway.toml", "[log]\naccess_file = \"access.log\"\n");
    let running = place.serve();
    for n in 0..20 {
        send(&running, "GET", &format!("/no-such-bucket/{n}?X-Amz-Signature=secret"), "");
    }
    assert!(running.stop().success());
    let log = std::fs::read_to_string(place.path("access.log")).unwrap();
    assert_eq!(log.lines().count(), 20, "{log}");
    assert!(!log.contains("=secret"));
}

#[test]
fn tls_addresses_are_served_and_told() {
    let place = Place::new();
    place.write("gateway.toml", "[s3]\ntls_listen = \"127.0.0.1:0\"\n");
    let key = rcgen::generate_simple_self_signed(vec!["s3.test".to_owned()]).unwrap();
    std::fs::create_dir(place.path("certs")).unwrap();
    place.write("certs/default.crt", &key.cert.pem());
    place.write("certs/default.key", &key.signing_key.serialize_pem());
    let running = place.serve();
    // A new pair is taken up without a signal; a bad one is named and changes nothing.
    place.write("certs/default.crt", "nonsense");
    running.wait_for_log("certs/default.crt");
    running.wait_for_log("what was loaded before stays");
    place.write("certs/default.crt", &key.cert.pem());
    running.signal("HUP");
    running.wait_for_log("certificates reloaded");
    assert!(running.stop().success());
}
