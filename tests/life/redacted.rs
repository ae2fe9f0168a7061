//! A secret in every place where a client can put one, on every door: then everything that was written is searched for it.

use std::net::SocketAddr;

use crate::support::binary::{Place, Running};
use crate::support::client::{Client, Request, Sign};
use crate::support::gateway::files_under;
use crate::support::raw::connect;
use crate::support::signer::Key;

/// Each use is told apart by its number.
const SECRET: &str = "tHeSecretOf";

fn acme() -> Key {
    Key::new("AKACME", "acme-secret-1")
}

/// Targets with a secret in them, where `{S}` stands.
const TARGETS: &[&str] = &[
    "/media/k?X-Amz-Signature={S}",
    "/media/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKACME%2F20260101%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20260101T000000Z\
     &X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature={S}",
    "/media/k?AWSAccessKeyId=AKACME&Expires=4000000000&Signature={S}",
    "/media/k?Expires=4000000000&Key-Pair-Id=K1&Signature={S}",
    "/media/k?X-Amz-Security-Token={S}",
    "/media/k?x-amz-SECURITY-token={S}&a=b",
    "/media/k?%58-Amz-Signature={S}",
    "/media/k?%2558-Amz%252dSignature={S}",
    "/media/k?%53ignature={S}",
    "/media/k?Signatur%65%3d{S}",
    "/media/k?url=https%3A%2F%2Fhost%2Fk%3FX-Amz-Signature%3D{S}%26a%3Db",
    "/media/k?url=https%3A%2F%2Fhost%2F_t%2F{S}%2Fk",
    "/media/k?prefix=a&X-Amz-Signature={S}&acl",
    "/media?list-type=2&Signature={S}",
    "/?X-Amz-Signature={S}",
    "/UPPER/k?X-Amz-Signature={S}",
    "/%ff?X-Amz-Signature={S}",
    "/media/%zz/_t/{S}/x",
    "/_t/{S}/media/k",
    "/_t/{S}",
    "/%5ft/{S}/media/k",
    "/%5F%74%2F{S}%2Fmedia/k",
    "//_t//{S}//media/k",
    "/_t/./{S}/media/k",
    "/_T/{S}/k",
    "/media/_t/{S}/k",
    "/_open/{S}/media/k",
    "/%5fopen/{S}/media/k",
    "/-/v1/jobs?X-Amz-Signature={S}",
    "/-/v1/_t/{S}",
    "/-/unknown/_t/{S}/x?Signature={S}",
    "/metrics?Signature={S}",
    "/v1/_t/{S}?X-Amz-Security-Token={S}",
];

const HEADERS: &[&str] = &[
    "Authorization: AWS4-HMAC-SHA256 Credential=AKACME/20260101/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature={S}",
    "Authorization: AWS AKACME:{S}",
    "Authorization: Bearer {S}",
    "Authorization: {S}",
    "X-Amz-Security-Token: {S}",
    "Cookie: CloudFront-Policy=e30_; CloudFront-Key-Pair-Id=K1; CloudFront-Signature={S}",
    "Cookie: session={S}",
    "X-Origin-Secret: {S}",
    "Referer: https://any.host/_t/{S}/page.html",
    "Referer: https://any.host/%5Ft/{S}/page.html?a=b",
    "Referer: https://any.host/k?X-Amz-Signature={S}",
    "Referer: https://any.host/?u=https%3a%2f%2fh%2f%3fSignature%3d{S}",
    "User-Agent: player (https://h/_t/{S}/x; X-Amz-Signature={S})",
    "X-Amz-Cf-Id: Signature={S}",
    "Origin: https://h/_t/{S}",
    "Range: Signature={S}",
    "X-Forwarded-For: Signature={S}",
    "X-Amz-Copy-Source: /media/_t/{S}/k?Signature={S}",
    "If-None-Match: \"Signature={S}\"",
    "Expect: Signature={S}",
];

/// Heads that are refused before any door sees them.
const BROKEN: &[&str] = &[
    "GET /_t/{S}/k?X-Amz-Signature={S} HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "GET /_t/{S}/k HTTP/9.9\r\nHost: a\r\n\r\n",
    "GET /_t/{S}/k?Signature={S} HTTP/1.1\r\nAuthorization : {S}\r\nHost: a\r\n\r\n",
    "BREW /_t/{S}/k?Signature={S} HTTP/1.1\r\nHost: a\r\n\r\n",
    "TRACE /_t/{S}/k HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET http://other/_t/{S}/k?Signature={S} HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /_t/{S}/k HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
    "_t/{S}/ /_t/{S}/k HTTP/1.1\r\n\r\n",
];

struct Sent {
    count: usize,
    answers: Vec<String>,
}

impl Sent {
    fn numbered(&mut self, text: &str) -> String {
        self.count += 1;
        text.replace("{S}", &format!("{SECRET}{}", self.count))
    }

    /// What comes back, if anything does.
    fn send(&mut self, to: SocketAddr, head: &str) {
        let head = self.numbered(head);
        let mut raw = connect(to);
        let _ = raw.try_send(&head);
        let _ = raw.stream.shutdown(std::net::Shutdown::Write);
        self.answers.push(String::from_utf8_lossy(&raw.rest()).into_owned());
    }
}

fn run(format: &str) {
    let place = Place::new();
    place.write(
        "gateway.toml",
        &format!(
            "[log]\nlevel = \"trace\"\nformat = \"{format}\"\naccess_file = \"access.log\"\naccess_format = \"{format}\"\n[store]\nreserve = \"0B\"\n\
             [cdn]\nendpoint = \"http://127.0.0.1:1\"\n\
             [[site]]\ncdn = {{ kind = \"cloudfront\", distribution = \"E2EXAMPLE1AB2C\" }}\n\
             [[site]]\nhost = \"open.test\"\ntoken_path = \"/_open/\"\n"
        ),
    );
    place.write(
        "policies/tenants/acme.toml",
        "id = \"acme\"\npolicies = [\"tenant-default\"]\nkeys = [{ access_key = \"AKACME\", secret = { value = \"acme-secret-1\" } }]\n",
    );
    let mut command = place.command(&["serve"]);
    command.env("AWS_ACCESS_KEY_ID", "AKCDN").env("AWS_SECRET_ACCESS_KEY", "cdn-secret").env("AWS_EC2_METADATA_DISABLED", "true");
    let running = place.serve_by(command);
    let mut s3 = Client::new(running.s3);
    s3.make_bucket(&acme(), "media");
    s3.put(&acme(), "media", "k", b"x").expect(200);
    let mut sent = Sent { count: 0, answers: Vec::new() };
    for door in [running.s3, running.edge, running.admin] {
        for target in TARGETS {
            for (method, host) in [("GET", "s3.test"), ("PUT", "s3.test"), ("GET", "open.test")] {
                sent.send(door, &format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"));
            }
        }
        for header in HEADERS {
            for target in ["/media/k", "/media/absent", "/metrics", "/-/v1/jobs"] {
                sent.send(door, &format!("GET {target} HTTP/1.1\r\nHost: s3.test\r\n{header}\r\nConnection: close\r\n\r\n"));
            }
        }
        for head in BROKEN {
            sent.send(door, head);
        }
    }
    let jobs = purge_a_link(&running, &mut sent);
    let (_, metrics) = connect(running.admin).exchange(format!("GET /metrics HTTP/1.1\r\nHost: {}\r\n\r\n", running.admin));
    assert!(running.stop().success());

    let mut wrong = Vec::new();
    let mut search = |place: &str, text: &str| {
        wrong.extend(text.match_indices(SECRET).take(3).map(|(at, _)| {
            let from = (at.saturating_sub(160)..=at).find(|n| text.is_char_boundary(*n)).unwrap_or(at);
            format!("{place}: {}", text[from..].chars().take(200).collect::<String>())
        }));
    };
    for answer in &sent.answers {
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        // A signature that does not match is shown to who sent it, as S3 does, in a document that nothing keeps.
        let (before, after) = body.split_once("<SignatureProvided>").unwrap_or((body, ""));
        assert!(after.is_empty() || head.contains("no-store"), "{head}");
        search("answer", &format!("{before}{}", after.split_once("</SignatureProvided>").map_or("", |(_, rest)| rest)));
    }
    search("jobs", &jobs);
    search("metrics", &String::from_utf8_lossy(&metrics));
    let log = std::fs::read_to_string(place.path("access.log")).unwrap();
    assert!(log.lines().count() > 300 && log.contains("REDACTED"), "{} lines", log.lines().count());
    for file in files_under(&place.path("data")).into_iter().chain([place.path("access.log"), place.path("log")]) {
        search(&file.display().to_string(), &String::from_utf8_lossy(&std::fs::read(&file).unwrap()));
    }
    assert!(wrong.is_empty(), "{} found: {:#?}", wrong.len(), wrong.iter().take(30).collect::<Vec<_>>());
}

/// A tenant that pastes viewers' links; what the jobs of it show.
fn purge_a_link(running: &Running, sent: &mut Sent) -> String {
    let body = sent.numbered("{\"paths\": [\"/_t/{S}/media/k\", \"/media/k?X-Amz-Signature={S}\"]}");
    let mut s3 = Client::new(running.s3);
    let answer = s3.send(&Request::new("POST", "/-/v1/purge").body(body), Sign::Header(&acme())).expect(202);
    let jobs = s3.send(&Request::new("GET", "/-/v1/jobs"), Sign::Header(&acme())).expect(200);
    answer.text() + &jobs.text()
}

#[test]
fn nothing_that_is_written_opens_anything() {
    run("text");
}

#[test]
fn nothing_that_is_written_opens_anything_as_json() {
    run("json");
}
