//! Who pays for what, and that every way to ask says the same.

use std::time::{Duration, Instant};

use super::*;

fn sum(text: &str, name: &str) -> u64 {
    let lines = text.lines().filter(|line| line.starts_with(&format!("tidegate_{name}_total{{")));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

fn metrics(running: &Running) -> String {
    Client::new(running.admin).send(&Request::new("GET", "/metrics"), Sign::No).expect(200).text()
}

#[test]
fn every_request_is_paid_for_once_and_all_sums_agree() {
    let place = place();
    let running = place.serve();
    let mut client = Client::new(running.s3);
    client.make_bucket(&acme(), "media");
    for n in 0..5 {
        client.put(&acme(), "media", &format!("acme/run-1/image/{n}.png"), &[b'x'; 1000]).expect(200);
    }
    client.put(&acme(), "media", "plain.txt", b"plain").expect(200);
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::media/*"}]}"#;
    client.send(&Request::new("PUT", "/media").query("policy", "").body(policy), Sign::Header(&acme())).expect(204);
    // Read by its owner, by another tenant, by anybody, at the edge; listed, and asked for in vain.
    client.get(&acme(), "media", "acme/run-1/image/0.png").expect(200);
    client.get(&bravo(), "media", "acme/run-1/image/1.png").expect(200);
    client.send(&Request::on("GET", "media", "acme/run-1/image/2.png"), Sign::No).expect(200);
    Client::new(running.edge).send(&Request::on("GET", "media", "acme/run-1/image/3.png"), Sign::No).expect(200);
    client.list(&acme(), "media", &[]);
    client.send(&Request::on("PUT", "media", "acme/run-1/image/9.png").body("no"), Sign::No).expect(403);
    client.send(&Request::on("GET", "no-such-bucket-at-all", "a/b"), Sign::Header(&bravo())).expect(404);
    client.delete(&acme(), "media", "acme/run-1/image/4.png").expect(204);

    // What was counted is on its way for less than a second.
    let begun = Instant::now();
    let report = loop {
        let report = usage_json(&place, &running, &["--by", "tenant,bucket,type,run"]);
        if report["total"]["requests_total"] == 16 {
            break report;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{report:#}");
        std::thread::sleep(Duration::from_millis(50));
    };
    let image = line(&report, &[("tenant", "acme"), ("bucket", "media"), ("type", "image"), ("run", "run-1")]);
    assert_eq!((&image["requests"]["put"], &image["requests"]["get"], &image["requests"]["delete"]), (&5.into(), &4.into(), &1.into()));
    assert_eq!((&image["bytes_out"]["s3"], &image["bytes_out"]["edge"], &image["bytes_in"]), (&3000.into(), &1000.into(), &5000.into()));
    let plain = line(&report, &[("tenant", "acme"), ("bucket", "media"), ("run", "")]);
    // The bucket, its policy, and the object.
    assert_eq!((&plain["requests"]["list"], &plain["requests"]["put"], &plain["type"]), (&1.into(), &3.into(), &"".into()));
    // Who was refused pays nothing, and makes nobody pay.
    assert_eq!(line(&report, &[("tenant", "anonymous")])["requests"]["put"], 1);
    let stranger = line(&report, &[("tenant", "bravo")]);
    assert_eq!((&stranger["bucket"], &stranger["requests"]["get"]), (&"".into(), &1.into()));

    // The CSV, by day and by hour, the access log and the metrics.
    let total = &report["total"];
    for by in ["tenant,bucket,type,run", "day", "hour,run"] {
        let csv = usage(&place, &running, &["--by", by, "--format", "csv"]);
        let (head, lines) = csv.split_once("\r\n").unwrap();
        let column = |name: &str| {
            let at = head.split(',').position(|h| h == name).unwrap();
            lines.lines().map(|line| line.split(',').nth(at).unwrap().parse::<u64>().unwrap()).sum::<u64>()
        };
        assert_eq!(column("requests_get"), total["requests"]["get"], "{by}");
        assert_eq!(column("bytes_in"), total["bytes_in"], "{by}");
        assert_eq!(column("bytes_out_s3") + column("bytes_out_edge") + column("bytes_out_cdn"), total["bytes_out_total"], "{by}");
    }
    let shown = metrics(&running);
    assert_eq!(sum(&shown, "usage_requests"), 16);
    assert_eq!(sum(&shown, "usage_bytes_in"), total["bytes_in"]);
    assert_eq!(sum(&shown, "usage_bytes_out"), total["bytes_out_total"]);
    let log = std::fs::read_to_string(place.path("access.log")).unwrap();
    let logged: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let logged: Vec<_> = logged.iter().filter(|line| !line["operation"].as_str().unwrap().starts_with("ADMIN.")).collect();
    assert_eq!(logged.len(), 16);
    assert_eq!(logged.iter().map(|line| line["bytes_sent"].as_u64().unwrap()).sum::<u64>(), total["bytes_out_total"]);
    assert_ne!(total["cost"], "0");
    assert!(usage(&place, &running, &["--by", "tenant"]).contains("costs in USD"));
    assert!(running.stop().success());
}

#[test]
fn a_tenant_sees_its_own_and_what_was_used_outlives_it() {
    let place = place();
    let running = place.serve();
    let mut client = Client::new(running.s3);
    for (key, bucket) in [(acme(), "media"), (bravo(), "other")] {
        client.make_bucket(&key, bucket);
        client.put(&key, bucket, "x/r/video/1", &[b'x'; 70_000]).expect(200);
        client.put(&key, bucket, "x/r/video/2", &[b'x'; 70_000]).expect(200);
    }
    let upload = client.create_upload(&acme(), "media", "big");
    client.upload_part(&acme(), "media", "big", &upload, 1, &[b'y'; 1234]).expect(200);
    // Whoever it asks for.
    let stored = api(&running, &acme(), "/-/v1/usage/stored", &[("tenant", "bravo"), ("by", "tenant")]).expect(200);
    let stored: Value = serde_json::from_slice(&stored.body).unwrap();
    let all = stored["places"].as_array().unwrap();
    assert_eq!((all.len(), &all[0]["tenant"], &all[0]["bytes"]), (1, &"acme".into(), &(140_000 + 1234).into()));
    assert_eq!(
        (&all[0]["physical_bytes"], &all[0]["objects"], &all[0]["uploading_bytes"]),
        (&(70_000 + 1234).into(), &2.into(), &1234.into())
    );
    let runs = api(&running, &bravo(), "/-/v1/usage/stored", &[("by", "run")]).expect(200);
    let runs: Value = serde_json::from_slice(&runs.body).unwrap();
    let run = &runs["places"][0];
    assert_eq!(
        (&run["bucket"], &run["type"], &run["run"], &run["bytes"]),
        (&"other".into(), &"video".into(), &"r".into(), &140_000.into())
    );
    let begun = Instant::now();
    loop {
        let report = api(&running, &acme(), "/-/v1/usage", &[("tenant", "bravo"), ("by", "tenant")]).expect(200);
        let report: Value = serde_json::from_slice(&report.body).unwrap();
        let lines = report["lines"].as_array().unwrap();
        assert!(lines.iter().all(|line| line["tenant"] == "acme"), "{report:#}");
        if report["total"]["bytes_in"] == 140_000 + 1234 {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{report:#}");
        std::thread::sleep(Duration::from_millis(50));
    }
    let csv = api(&running, &acme(), "/-/v1/usage", &[("by", "day"), ("format", "csv")]).expect(200);
    assert!(csv.header("content-type").unwrap().starts_with("text/csv") && csv.text().starts_with("day,requests_put"));
    Client::new(running.s3).send(&Request::new("GET", "/-/v1/usage"), Sign::No).expect(403);
    for (name, value) in [("by", "colour"), ("month", "now"), ("format", "pdf")] {
        api(&running, &acme(), "/-/v1/usage", &[(name, value)]).expect(400);
    }
    assert!(running.stop().success());
    std::fs::remove_file(place.path("policies/tenants/bravo.toml")).unwrap();
    let running = place.serve();
    let report = usage_json(&place, &running, &["--tenant", "bravo"]);
    assert_eq!(report["total"]["bytes_in"], 140_000);
    // What it stores is measured as ever.
    std::thread::sleep(Duration::from_millis(20));
    let later = usage_json(&place, &running, &["--tenant", "bravo"]);
    let millis = |report: &Value| report["total"]["byte_milliseconds"].as_str().unwrap().parse::<u128>().unwrap();
    assert!(millis(&later) >= millis(&report) + 20 * 140_000, "{later:#}");
    assert!(running.stop().success());
}
