//! One request, many forms: random requests are sent in origin-form and absolute-form of HTTP/1.1 and over HTTP/2 with the host in
//! each of its places, and must be answered alike in all of them: the same identity, operation, bucket and key in the access log,
//! the same status, headers and body; or be refused by all. Where two hosts are named, they are refused.
//!
//! `TIDEGATE_FORMS_SEED=… TIDEGATE_FORMS_CASES=…` repeat a run, or make a longer one.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;
use tidegate::base::names::BucketName;
use tidegate::http::edge::site::{Site, Sites};
use tidegate::telemetry::log::Format;
use tidegate::telemetry::metrics::Door;

use crate::s3::model::Random;
use crate::support::client::{Answer, Request, Sign};
use crate::support::gateway::{Gateway, Setup, acme, bravo};
use crate::support::signer;
use crate::support::wire::Wire;

const CASES: u64 = 250;
const POLICY: &str = r#"{"Version":"2012-10-17","Statement":[
    {"Effect":"Allow","Principal":"*","Action":["s3:GetObject","s3:ListBucket"],"Resource":["arn:aws:s3:::media","arn:aws:s3:::media/a/*"]}]}"#;

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Two buckets with the same keys and other bodies; a site for a part of one of them, and the shipped one.
fn gateway() -> Gateway {
    let mut setup = Setup::new();
    setup.access_log = Some(Format::Json);
    setup.auth.domains = vec!["s3.test".into()];
    setup.auth.public_hosts = vec!["assets.test".into()];
    setup.auth.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    setup.doors.admin_hosts = vec!["s3.test".into()];
    let site = Site { hosts: vec!["a.test".into()], bucket: BucketName::parse("media").ok(), prefix: "a/".into(), ..Site::default() };
    setup.doors.sites = Sites::new(vec![site, Site::default()]);
    let gateway = setup.start();
    let mut client = gateway.client();
    for (bucket, key) in [("media", acme()), ("films", bravo())] {
        client.make_bucket(&key, bucket);
        for name in ["x", "a/x", "a b", "media/x", "films/x", "written"] {
            client.put(&key, bucket, name, format!("{name} in {bucket}").as_bytes()).expect(200);
        }
    }
    client.send(&Request::new("PUT", "/media").query("policy", "").body(POLICY), Sign::Header(&acme())).expect(204);
    gateway
}

#[derive(Debug)]
struct Case {
    door: Door,
    host: String,
    /// As it goes over the wire, but for the places of the host.
    wire: Wire,
}

fn case(random: &mut Random, gateway: &Gateway) -> Case {
    let door = random.pick(&[Door::S3, Door::S3, Door::S3, Door::Edge, Door::Edge, Door::Admin]);
    let address = gateway.address(door).to_string();
    let hosts =
        [&*address, "media.s3.test", "films.s3.test", "MEDIA.s3.test:80", "s3.test", "a.test", "A.test:9080", "assets.test", "evil.test"];
    // Every other one is well-formed, so that much is answered.
    let tame = random.below(2) == 0;
    let host = if tame { address.clone() } else { random.pick(&hosts).to_owned() };
    let mut path = String::new();
    for _ in 0..random.below(4) {
        path.push('/');
        path.push_str(
            random.pick(&["media", "films", "x", "a", "a%20b", "%78", "", "..", "a%2Fx", "written", "a+b", "%ff", "-", "_t", "metrics"]),
        );
    }
    if tame {
        path = random.pick(&["/media/x", "/media/a/x", "/films/x", "/media/a%20b", "/films/none", "/media", "/", "/metrics"]).to_owned();
    } else if path.is_empty() {
        path.push('/');
    }
    // Most requests are not written to what others read.
    let method = random.pick(&["GET", "GET", "GET", "GET", "GET", "HEAD", "PUT", "OPTIONS", "DELETE", "POST", "PATCH"]);
    if matches!(method, "PUT" | "DELETE" | "POST") {
        path = random.pick(&["/media/written", "/films/written"]).to_owned();
    }
    let mut request = Request::new(method, &path);
    if method == "PUT" {
        request = request.body("written").header("content-type", random.pick(&["text/plain", "text/html; charset=utf-8"]));
    }
    for _ in 0..random.below(if tame { 2 } else { 4 }) {
        let (name, value) = random.pick(&[
            ("list-type", "2"),
            ("prefix", "a/"),
            ("delimiter", "/"),
            ("acl", ""),
            ("location", ""),
            ("versionId", "null"),
            ("uploads", ""),
            ("x-id", "GetObject"),
            ("response-content-type", "text/plain"),
            ("response-content-type", "text/html"),
            ("x-amz-meta-a", "b c"),
            ("X-Amz-Meta-A", "d"),
            ("a", "1+2 &="),
        ]);
        request = request.query(name, value);
    }
    for _ in 0..random.below(if tame { 2 } else { 4 }) {
        let (name, value) = random.pick(&[
            ("range", "bytes=0-1"),
            ("if-none-match", "\"x\""),
            ("x-amz-meta-a", "from a header"),
            ("x-forwarded-host", "assets.test"),
            ("x-forwarded-host", "films.s3.test"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-for", "192.0.2.9"),
            ("origin", "https://app.test"),
            ("accept-encoding", "br"),
            ("x-amz-expected-bucket-owner", "acme"),
        ]);
        if !tame && random.below(3) == 0 {
            request.unsigned.push(name.into());
        }
        request = request.header(name, value);
    }
    if !tame && random.below(6) == 0 {
        request.signed_host = Some(random.pick(&["assets.test", "films.assets.test", "media.s3.test", "a.test"]).to_owned());
    }
    let key = random.pick(&[0, 1]);
    let key = if key == 0 { acme() } else { bravo() };
    let sign = match random.below(5) {
        0 => Sign::No,
        1 | 2 => Sign::Header(&key),
        3 => Sign::Presigned(&key),
        _ => {
            let bucket = host.to_ascii_lowercase().split_once(".s3.test").map(|(b, _)| format!("/{b}")).unwrap_or_default();
            let content_type = request.headers.iter().find(|(n, _)| n == "content-type").map_or("", |(_, v)| v.as_str()).to_owned();
            request.query.extend(signer::sigv2(&key, method, &content_type, "", &format!("{bucket}{path}")));
            Sign::No
        }
    };
    Case { door, wire: Wire::new(&request, &host, sign), host }
}

/// What an answer says, but for what differs between any two.
fn said(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    const OWN: [&str; 9] = [
        "x-tidegate-dedup",
        "date",
        "x-amz-request-id",
        "x-amz-id-2",
        "connection",
        "transfer-encoding",
        "last-modified",
        "etag",
        "content-length",
    ];
    let mut headers = answer.headers.clone();
    headers.retain(|(n, _)| !OWN.contains(&&*n.to_ascii_lowercase()));
    for (name, value) in &mut headers {
        name.make_ascii_lowercase();
        // A link has a second less to live.
        if let Some((control, age)) = value.split_once("max-age=") {
            *value = format!("{control}{}", age.trim_start_matches(|c: char| c.is_ascii_digit()));
        }
    }
    headers.sort();
    let mut text = answer.text();
    for element in ["RequestId", "HostId", "LastModified", "UploadId", "ServerTime"] {
        while let Some((before, rest)) = text.split_once(&format!("<{element}>")) {
            let after = rest.split_once(&format!("</{element}>")).map_or("", |(_, after)| after);
            text = format!("{before}{after}");
        }
    }
    // Counters are of the moment.
    let text = if text.contains("tidegate_requests") { "metrics".to_owned() } else { text };
    (answer.status, headers, text)
}

/// What the access log tells of a request: who, what and where.
fn noted(entry: &Value) -> Value {
    let names = [
        "requester",
        "operation",
        "bucket",
        "key",
        "method",
        "uri",
        "status",
        "error_code",
        "signature_version",
        "authentication",
        "remote_ip",
    ];
    names.iter().map(|name| ((*name).to_owned(), entry[*name].clone())).collect::<serde_json::Map<_, _>>().into()
}

fn entries(gateway: &Gateway, wanted: usize) -> HashMap<String, Value> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let text = std::fs::read_to_string(gateway.access_log()).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let entries: HashMap<String, Value> = whole
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .map(|entry| (entry["request_id"].as_str().unwrap().to_owned(), entry))
            .collect();
        if entries.len() >= wanted {
            return entries;
        }
        assert!(Instant::now() < deadline, "{} of {wanted} requests are in the log", entries.len());
        std::thread::sleep(Duration::from_millis(20));
    }
}

type Sent = (&'static str, Answer);

fn in_every_form(case: &Case, address: SocketAddr) -> Vec<Sent> {
    let Case { host, wire, .. } = case;
    let of = |authority: Option<&str>, hosts: &[&str]| wire.named(authority, hosts);
    vec![
        ("origin-form", of(None, &[host]).over_http1(address)),
        ("absolute-form", of(Some(host), &[host]).over_http1(address)),
        ("absolute-form, other case", of(Some(&host.to_ascii_uppercase()), &[host]).over_http1(address)),
        (":authority", of(Some(host), &[]).over_http2(address)),
        (":authority and host", of(Some(host), &[host]).over_http2(address)),
        ("host over HTTP/2", of(None, &[host]).over_http2(address)),
    ]
}

#[test]
fn every_form_of_a_request_means_the_same() {
    let seed = from_environment("TIDEGATE_FORMS_SEED").unwrap_or_else(|| std::process::id().into());
    let cases = from_environment("TIDEGATE_FORMS_CASES").unwrap_or(CASES);
    println!("TIDEGATE_FORMS_SEED={seed} TIDEGATE_FORMS_CASES={cases}");
    let gateway = gateway();
    let before = entries(&gateway, 0).len();
    let mut random = Random(seed);
    let mut all: Vec<(Case, Vec<Sent>)> = Vec::new();
    let (mut statuses, mut sent) = (HashMap::<u16, u32>::new(), 0);
    for _ in 0..cases {
        let case = case(&mut random, &gateway);
        let address = gateway.address(case.door);
        let answers = in_every_form(&case, address);
        let (_, first) = &answers[0];
        for (form, answer) in &answers {
            assert_eq!(said(answer), said(first), "seed {seed}, {form}: {case:?}");
        }
        *statuses.entry(first.status).or_default() += 1;
        // With the host of another in one of the two places.
        let others = ["films.s3.test", "media.s3.test:81", "b.test"];
        let other = random.pick(&others.map(|o| if o.eq_ignore_ascii_case(&case.host) { "b.test" } else { o }));
        for (authority, hosts) in [(other, [&*case.host]), (&*case.host, [other])] {
            let confused = case.wire.named(Some(authority), &hosts);
            let (one, two) = (confused.over_http1(address), confused.over_http2(address));
            assert_eq!((one.status, two.status), (400, 400), "seed {seed}, {authority} and {hosts:?}: {case:?}");
            sent += 2;
        }
        sent += answers.len();
        all.push((case, answers));
    }
    let log = entries(&gateway, before + sent);
    for (case, answers) in &all {
        let noted_of = |answer: &Answer| noted(&log[answer.header("x-amz-request-id").unwrap()]);
        for (form, answer) in answers {
            assert_eq!(noted_of(answer), noted_of(&answers[0].1), "seed {seed}, {form}: {case:?}");
        }
    }
    // Not all of them were refused for one reason.
    assert!(cases < 100 || [200, 400, 403, 404].iter().all(|s| statuses.get(s).is_some_and(|n| *n > 3)), "seed {seed}: {statuses:?}");
}
