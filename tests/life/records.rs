//! What a request leaves behind: its line of the access log, and the metrics of its tenant, exact to the byte, through every door.

use std::collections::HashMap;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidegate::telemetry::log::Format;
use tidegate::telemetry::metrics::Door;

use crate::support::client::{Answer, Client, Request, Sign, complete_document};
use crate::support::gateway::{Gateway, Setup, acme, bravo};
use crate::support::raw::{self, connect};

/// A gateway with a log, and what its tenants sent and got so far.
struct Watched {
    gateway: Gateway,
    requests: HashMap<&'static str, u64>,
    bytes_in: HashMap<&'static str, u64>,
    bytes_out: HashMap<&'static str, u64>,
}

impl Watched {
    fn start() -> Self {
        let mut setup = Setup::new();
        setup.access_log = Some(Format::Json);
        Watched { gateway: setup.start(), requests: HashMap::new(), bytes_in: HashMap::new(), bytes_out: HashMap::new() }
    }

    fn count(&mut self, tenant: &'static str, bytes_in: usize, bytes_out: usize) {
        *self.requests.entry(tenant).or_default() += 1;
        *self.bytes_in.entry(tenant).or_default() += bytes_in as u64;
        *self.bytes_out.entry(tenant).or_default() += bytes_out as u64;
    }

    /// The line of the request with this id, once it is written.
    fn line(&self, id: &str) -> Value {
        let start = Instant::now();
        loop {
            let text = std::fs::read_to_string(self.gateway.access_log()).unwrap_or_default();
            let line = text.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok()).find(|l| l["request_id"] == id);
            if let Some(line) = line {
                return line;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "no line of {id} in\n{text}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends it as `tenant`; all that `expected` names must be in its line, and what it names not must be there only where it says so.
    #[track_caller]
    fn ask(&mut self, tenant: &'static str, door: Door, request: Request, expected: Value) -> Answer {
        let key = if tenant == "bravo" { bravo() } else { acme() };
        let sign = if tenant == "anonymous" { Sign::No } else { Sign::Header(&key) };
        let answer = Client::new(self.gateway.address(door)).send(&request, sign);
        let taken = expected["taken"].as_u64().unwrap_or(request.body.len() as u64) as usize;
        self.count(tenant, taken, answer.body.len());
        self.check(&answer, answer.body.len(), tenant, &expected);
        answer
    }

    #[track_caller]
    fn check(&self, answer: &Answer, bytes_sent: usize, tenant: &str, expected: &Value) {
        let line = self.line(answer.header("x-amz-request-id").unwrap());
        let requester = if tenant == "anonymous" { Value::Null } else { json!(tenant) };
        let all = [("status", json!(answer.status)), ("bytes_sent", json!(bytes_sent)), ("requester", requester)];
        for (name, value) in all {
            assert_eq!(line[name], value, "{name} in {line}");
        }
        for name in ["operation", "bucket_owner", "bucket", "key", "object_size", "version_id", "error_code"] {
            assert_eq!(line[name], expected[name], "{name} in {line}, of which is expected {expected}");
        }
    }

    /// Waits until the metrics say what was counted here.
    fn compare(&self) {
        let mut wanted = Vec::new();
        for (metric, of) in [("requests", &self.requests), ("bytes_in", &self.bytes_in), ("bytes_out", &self.bytes_out)] {
            wanted.extend(of.iter().map(|(tenant, n)| format!("tidegate_tenant_{metric}_total{{tenant=\"{tenant}\"}} {n}\n")));
        }
        self.wait_for(&wanted);
    }

    fn wait_for(&self, lines: &[String]) {
        let start = Instant::now();
        loop {
            let text = Client::new(self.gateway.address(Door::Admin)).send(&Request::new("GET", "/metrics"), Sign::No).expect(200).text();
            let missing: Vec<_> = lines.iter().filter(|line| !text.contains(line.as_str())).collect();
            if missing.is_empty() {
                return;
            }
            let shown: Vec<_> = text.lines().filter(|l| l.contains("_tenant_") || l.contains("requests_total")).collect();
            assert!(start.elapsed() < Duration::from_secs(20), "{missing:#?} not in {shown:#?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn on(method: &str, key: &str) -> Request {
    Request::on(method, "media", key)
}

/// A line of an object of acme's bucket.
fn object(operation: &str, key: &str, more: Value) -> Value {
    let mut line = json!({ "operation": operation, "bucket_owner": "acme", "bucket": "media", "key": key });
    line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    line
}

fn bucket(operation: &str) -> Value {
    json!({ "operation": operation, "bucket_owner": "acme", "bucket": "media" })
}

#[test]
fn every_kind_of_request_says_what_it_was() {
    let mut w = Watched::start();
    w.ask("acme", Door::S3, Request::new("PUT", "/media"), bucket("REST.PUT.BUCKET")).expect(200);
    let key = "acme/a b.bin";
    let body = vec![7; 100_000];
    let size = json!({ "object_size": 100_000 });
    w.ask("acme", Door::S3, on("PUT", key).body(body.clone()), object("REST.PUT.OBJECT", key, size.clone())).expect(200);

    for door in [Door::S3, Door::Edge] {
        let whole = w.ask("acme", door, on("GET", key), object("REST.GET.OBJECT", key, size.clone())).expect(200);
        assert_eq!(whole.body, body);
        let part = on("GET", key).header("range", "bytes=10-29");
        assert_eq!(w.ask("acme", door, part, object("REST.GET.OBJECT", key, size.clone())).expect(206).body.len(), 20);
        w.ask("acme", door, on("HEAD", key), object("REST.HEAD.OBJECT", key, size.clone())).expect(200);
        let known = on("GET", key).header("if-none-match", "*");
        w.ask("acme", door, known, object("REST.GET.OBJECT", key, size.clone())).expect(304);
    }
    // The version is that of the request: without one there is none.
    let named = on("GET", key).query("versionId", "null");
    let line = object("REST.GET.OBJECT", key, json!({ "object_size": 100_000, "version_id": "null" }));
    w.ask("acme", Door::S3, named, line).expect(200);

    let listed = w.ask("acme", Door::S3, Request::new("GET", "/media").query("list-type", "2"), bucket("REST.GET.BUCKET")).expect(200);
    assert!(!listed.body.is_empty());
    let copy = on("PUT", "acme/copy").header("x-amz-copy-source", "/media/acme/a%20b.bin");
    w.ask("acme", Door::S3, copy, object("REST.COPY.OBJECT", "acme/copy", size.clone())).expect(200);
    w.ask("acme", Door::S3, on("GET", key).query("acl", ""), object("REST.GET.ACL", key, size)).expect(200);
    w.ask("acme", Door::S3, on("DELETE", key), object("REST.DELETE.OBJECT", key, json!({}))).expect(204);
    w.ask("acme", Door::S3, Request::new("GET", "/"), json!({ "operation": "REST.GET.SERVICE" })).expect(200);
    w.compare();
}

#[test]
fn uploads_in_parts() {
    let mut w = Watched::start();
    w.ask("acme", Door::S3, Request::new("PUT", "/media"), bucket("REST.PUT.BUCKET")).expect(200);
    let key = "acme/big";
    let created = w.ask("acme", Door::S3, on("POST", key).query("uploads", ""), object("REST.POST.UPLOADS", key, json!({}))).expect(200);
    let upload = created.xml("InitiateMultipartUploadResult").text_of("UploadId").unwrap().to_owned();
    let (first, last) = (vec![1; 5 * 1024 * 1024], vec![2; 300]);
    let mut parts = Vec::new();
    for (number, body) in [(1, &first), (2, &last)] {
        let request = on("PUT", key).query("partNumber", &number.to_string()).query("uploadId", &upload).body(body.clone());
        let line = object("REST.PUT.PART", key, json!({ "object_size": body.len() }));
        parts.push((number, w.ask("acme", Door::S3, request, line).expect(200).etag()));
    }
    let request = on("POST", key).query("uploadId", &upload).body(complete_document(&parts));
    let whole = first.len() + last.len();
    w.ask("acme", Door::S3, request, object("REST.POST.UPLOAD", key, json!({ "object_size": whole }))).expect(200);
    w.ask("acme", Door::S3, on("HEAD", key), object("REST.HEAD.OBJECT", key, json!({ "object_size": whole }))).expect(200);
    w.compare();
}

#[test]
fn refusals_say_whose_bucket_it_is() {
    let mut w = Watched::start();
    w.ask("acme", Door::S3, Request::new("PUT", "/media"), bucket("REST.PUT.BUCKET")).expect(200);
    w.ask("acme", Door::S3, on("PUT", "acme/a").body("abc"), object("REST.PUT.OBJECT", "acme/a", json!({ "object_size": 3 }))).expect(200);
    let denied = |operation: &str, taken: usize| object(operation, "acme/a", json!({ "error_code": "AccessDenied", "taken": taken }));
    for door in [Door::S3, Door::Edge] {
        w.ask("bravo", door, on("GET", "acme/a"), denied("REST.GET.OBJECT", 0)).refused(403, "AccessDenied");
        w.ask("anonymous", door, on("GET", "acme/a"), denied("REST.GET.OBJECT", 0)).refused(403, "AccessDenied");
        let missing = object("REST.GET.OBJECT", "acme/none", json!({ "error_code": "NoSuchKey" }));
        w.ask("acme", door, on("GET", "acme/none"), missing).refused(404, "NoSuchKey");
        let nowhere = json!({ "operation": "REST.GET.OBJECT", "bucket": "nowhere", "key": "k", "error_code": "NoSuchBucket" });
        w.ask("acme", door, Request::on("GET", "nowhere", "k"), nowhere).refused(404, "NoSuchBucket");
    }
    // What is refused is not taken in.
    w.ask("bravo", Door::S3, on("PUT", "acme/a").body("not wanted"), denied("REST.PUT.OBJECT", 0)).refused(403, "AccessDenied");
    let wrong = on("PUT", "acme/a").body("abc").payload_hash(&"0".repeat(64));
    let line = object("REST.PUT.OBJECT", "acme/a", json!({ "error_code": "XAmzContentSHA256Mismatch" }));
    w.ask("acme", Door::S3, wrong, line).refused(400, "XAmzContentSHA256Mismatch");
    w.compare();
}

#[test]
fn an_upload_that_is_broken_off_counts_what_came() {
    let mut w = Watched::start();
    w.ask("acme", Door::S3, Request::new("PUT", "/media"), bucket("REST.PUT.BUCKET")).expect(200);
    let address = w.gateway.address(Door::S3);
    let (head, _) = on("PUT", "acme/half").body(vec![1; 100_000]).head(&address.to_string(), Sign::Header(&acme()));
    let mut client = connect(address);
    client.send(head.as_bytes()).send(vec![1; 40_000]);
    client.stream.shutdown(Shutdown::Write).unwrap();
    let raw::Head { status, headers } = client.head();
    let body = client.rest();
    let answer = Answer { status, headers, body };
    assert_eq!((answer.status, &*answer.code()), (400, "IncompleteBody"));
    w.count("acme", 40_000, answer.body.len());
    let line = object("REST.PUT.OBJECT", "acme/half", json!({ "error_code": "IncompleteBody" }));
    w.check(&answer, answer.body.len(), "acme", &line);
    w.compare();
}

#[test]
fn requests_of_the_operator_are_counted_by_operation() {
    let w = Watched::start();
    let mut client = Client::new(w.gateway.address(Door::Admin));
    let operator = crate::support::gateway::operator();
    client.send(&Request::new("GET", "/-/health"), Sign::No).expect(200);
    client.send(&Request::new("GET", "/-/admin/v1/keys"), Sign::Header(&operator)).expect(200);
    client.send(&Request::new("GET", "/-/admin/v1/keys"), Sign::No);
    client.send(&Request::new("POST", "/-/admin/v1/nothing"), Sign::Header(&operator));
    w.wait_for(
        &[("Health", "2xx", 1), ("ListKeys", "2xx", 1), ("ListKeys", "4xx", 1), ("unrouted", "4xx", 1)]
            .map(|(name, class, n)| format!("tidegate_requests_total{{door=\"admin\",operation=\"{name}\",status=\"{class}\"}} {n}\n")),
    );
}
