//! Buckets whose requests are logged to a bucket, in the real binary: each line is brought once, also those that a killed process left.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::support::binary::{ACCESS, Place, Running, SECRET};
use crate::support::client::{Client, Request, Sign};
use crate::support::signer::Key;

const POLICY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"logging.s3.amazonaws.com"},
    "Action":"s3:PutObject","Resource":"arn:aws:s3:::logs/log/*","Condition":{"ArnLike":{"aws:SourceArn":"arn:aws:s3:::media"}}}]}"#;
const LOGGING: &str = "<BucketLoggingStatus><LoggingEnabled><TargetBucket>logs</TargetBucket><TargetPrefix>log/</TargetPrefix>\
                       </LoggingEnabled></BucketLoggingStatus>";

fn serve(place: &Place, every: &str) -> (Running, Client) {
    let mut command = place.command(&["serve"]);
    command.env("TIDEGATE_LOG_BUCKET_EVERY", every);
    let running = place.serve_by(command);
    let client = Client::new(running.s3);
    (running, client)
}

fn send(client: &mut Client, request: &Request) -> crate::support::client::Answer {
    client.send(request, Sign::Header(&Key::new(ACCESS, SECRET)))
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// How often each key's PUT is told of in the logs that have come.
fn told(client: &mut Client) -> BTreeMap<String, usize> {
    let listed = send(client, &Request::new("GET", "/logs")).expect(200).xml("ListBucketResult");
    let mut told = BTreeMap::new();
    for log in listed.children.iter().filter(|c| c.name == "Contents") {
        let text = send(client, &Request::on("GET", "logs", log.text_of("Key").unwrap())).expect(200).text();
        for line in text.lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            assert_eq!(fields[1], "media", "{line}");
            if fields[7] == "REST.PUT.OBJECT" {
                *told.entry(fields[8].to_owned()).or_default() += 1;
            }
        }
    }
    told
}

#[test]
fn each_line_is_brought_once_though_the_process_is_killed() {
    let place = Place::new();
    let (running, mut client) = serve(&place, "1h");
    for bucket in ["media", "logs", "other"] {
        send(&mut client, &Request::new("PUT", &format!("/{bucket}"))).expect(200);
    }
    send(&mut client, &Request::new("PUT", "/logs").query("policy", "").body(POLICY)).expect(204);
    send(&mut client, &Request::new("PUT", "/media").query("logging", "").body(LOGGING)).expect(200);
    for n in 0..20 {
        send(&mut client, &Request::on("PUT", "media", &format!("key-{n}")).body("x")).expect(200);
        send(&mut client, &Request::on("PUT", "other", &format!("other-{n}")).body("x")).expect(200);
    }
    // They are durable, and wait for more.
    let spooled = || {
        let files = std::fs::read_dir(place.path("data/bucket-logs")).unwrap();
        files.map(|f| std::fs::read_to_string(f.unwrap().path()).unwrap_or_default().matches("REST.PUT.OBJECT").count()).sum::<usize>()
    };
    until("all lines are in a file", || spooled() == 20);
    running.signal("KILL");
    drop(running);
    let (running, mut client) = serve(&place, "1s");
    let wanted = |from: usize, to: usize| (from..to).map(|n| (format!("key-{n}"), 1)).collect::<BTreeMap<_, _>>();
    until("the lines of the killed process came", || told(&mut client) == wanted(0, 20));
    for n in 20..40 {
        send(&mut client, &Request::on("PUT", "media", &format!("key-{n}")).body("x")).expect(200);
    }
    until("all lines came", || told(&mut client) == wanted(0, 40));
    until("no file is left", || spooled() == 0);
    drop(running);
}

#[test]
fn who_is_granted_logs_reads_them() {
    let place = Place::new();
    let (running, mut client) = serve(&place, "1s");
    for bucket in ["media", "logs"] {
        send(&mut client, &Request::new("PUT", &format!("/{bucket}")).header("x-amz-object-ownership", "ObjectWriter")).expect(200);
    }
    send(&mut client, &Request::new("PUT", "/logs").query("policy", "").body(POLICY)).expect(204);
    // Else a public grant would be refused, or count for nothing.
    send(&mut client, &Request::new("DELETE", "/logs").query("publicAccessBlock", "")).expect(204);
    let grant = "<TargetGrants><Grant><Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"Group\">\
                 <URI>http://acs.amazonaws.com/groups/global/AllUsers</URI></Grantee><Permission>READ</Permission></Grant></TargetGrants>";
    let logging = LOGGING.replace("</LoggingEnabled>", &format!("{grant}</LoggingEnabled>"));
    send(&mut client, &Request::new("PUT", "/media").query("logging", "").body(logging)).expect(200);
    send(&mut client, &Request::on("PUT", "media", "key").body("x")).expect(200);
    let mut key = String::new();
    until("a log came", || {
        let listed = send(&mut client, &Request::new("GET", "/logs")).expect(200).xml("ListBucketResult");
        key = listed.children.iter().find_map(|c| c.text_of("Key").map(str::to_owned)).unwrap_or_default();
        !key.is_empty()
    });
    let log = Request::on("GET", "logs", &key);
    assert!(client.send(&log, Sign::No).expect(200).text().contains("media"));
    assert!(running.stop().success());
}
