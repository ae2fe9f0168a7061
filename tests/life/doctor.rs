//! `tidegate doctor` by the gateways that it is for: one that is well, and those in front of which or in which something is wrong. Each
//! fault is found by what is told of it, and nothing else is.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Output;

use serde_json::Value;

use super::tls::authority;
use crate::support::binary::{self, Place, Running};
use crate::support::client::{Client, Request, Sign};
use crate::support::signer::Key;

struct Told {
    status: i32,
    findings: Vec<Value>,
}

impl Told {
    fn of(output: &Output) -> Self {
        let said = String::from_utf8_lossy(&output.stdout);
        let document: Value =
            serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e}: {said:?} {}", String::from_utf8_lossy(&output.stderr)));
        Told { status: output.status.code().unwrap(), findings: document["findings"].as_array().unwrap().clone() }
    }

    fn of_state(&self, state: &str) -> Vec<String> {
        let said = |f: &Value| {
            format!("{}: {} -> {}", f["check"].as_str().unwrap(), f["what"].as_str().unwrap(), f["todo"].as_str().unwrap_or(""))
        };
        self.findings.iter().filter(|f| f["state"] == state).map(said).collect()
    }

    /// Of this check there is one of this state, and it says so.
    fn says(&self, state: &str, check: &str, words: &[&str]) {
        let found = self.of_state(state);
        let is_it = |said: &&String| said.starts_with(check) && words.iter().all(|word| said.contains(word));
        assert!(found.iter().any(|said| is_it(&said)), "{check} {words:?} is not among {found:#?}; all: {:#?}", self.findings);
    }

    fn only_bad(&self, check: &str, words: &[&str]) {
        self.says("bad", check, words);
        assert_eq!(self.of_state("bad").len(), 1, "{:#?}", self.of_state("bad"));
        assert_eq!(self.status, 1);
    }
}

/// By the addresses of what runs, and `more`.
fn ask(place: &Place, serving: &Running, more: &[&str], variables: &[(&str, &str)]) -> Told {
    let mut command = place.command(&[&["doctor", "--json"], more].concat());
    for (name, address) in
        [("TIDEGATE_LISTEN", serving.s3), ("TIDEGATE_EDGE_LISTEN", serving.edge), ("TIDEGATE_ADMIN_LISTEN", serving.admin)]
    {
        command.env(name, address.to_string());
    }
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
        command.env_remove(name);
    }
    Told::of(&command.envs(variables.iter().copied()).output().unwrap())
}

#[test]
fn a_healthy_gateway_is_well_and_nothing_is_left() {
    let place = Place::new();
    let serving = place.serve();
    let told = ask(&place, &serving, &[], &[]);
    assert_eq!((told.of_state("bad"), told.status), (vec![], 0));
    for (check, words) in [
        ("ready", "is ready"),
        ("dns", "is an address"),
        ("clock", "is right"),
        ("s3", "ranges are answered"),
        ("s3", "conditions hold"),
        ("s3", "it is listed"),
        ("links", "a changed one opens nothing"),
        ("cors", "may read"),
        ("edge", "a link (path-token) opens it"),
        ("edge", "isolated pages may show it"),
        ("edge", "text is compressed"),
        ("edge", "it opens nothing else"),
        ("admin", "counts nothing that should not be"),
        ("files", "the gateway may open"),
    ] {
        // A small limit of the machine is a warning.
        let few_files = check == "files" && told.of_state("warning").iter().any(|said| said.starts_with("files"));
        let state = if few_files { "warning" } else { "good" };
        told.says(state, check, &[words]);
    }
    let operator = Key::new(binary::ACCESS, binary::SECRET);
    let mut client = Client::new(serving.s3);
    let buckets = client.send(&Request::new("GET", "/"), Sign::Header(&operator)).expect(200).text();
    assert!(!buckets.contains("tidegate-doctor"), "{buckets}");
    // In a bucket that is there, and for a healthcheck.
    client.make_bucket(&operator, "media");
    let told = ask(&place, &serving, &["--bucket", "media", "--only", "s3,links"], &[]);
    assert_eq!((told.of_state("bad"), told.status), (vec![], 0));
    assert!(client.list(&operator, "media", &[]).keys.is_empty());
    let mut quiet = place.command(&["doctor", "--only", "ready", "--quiet"]);
    let output = quiet.env("TIDEGATE_LISTEN", serving.s3.to_string()).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0));
}

#[test]
fn what_is_wrong_in_the_gateway_is_found() {
    // Nothing runs.
    let place = Place::new();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = place.command(&["doctor", "--json", "--only", "ready,clock,s3"]);
    let told = Told::of(&command.env("TIDEGATE_LISTEN", free.to_string()).output().unwrap());
    told.only_bad("ready", &["does not answer", "listens there"]);

    // The disk is full, as far as the configuration lets it be; pages of one origin alone may read.
    place.write("gateway.toml", "[store]\nreserve = \"100TiB\"\n");
    let serving = place.serve();
    let told = ask(&place, &serving, &["--only", "s3,disk,ready"], &[]);
    told.says("bad", "disk", &["writes are refused below 100TiB"]);
    told.says("bad", "s3", &["InsufficientStorage", "store.reserve"]);
    assert!(serving.stop().success());

    place.write("gateway.toml", "[[site]]\nhost = \"\"\ncors = { origins = [\"https://one.example.com\"] }\ncompress = false\n");
    let serving = place.serve();
    let told = ask(&place, &serving, &["--only", "edge"], &[]);
    told.says("bad", "edge", &["pages of https://app.example.com may not read it", "cors of the [[site]]"]);
    told.says("warning", "edge", &["uncompressed"]);
    let told = ask(&place, &serving, &["--only", "edge", "--origin", "https://one.example.com"], &[]);
    assert_eq!(told.of_state("bad"), Vec::<String>::new());

    // Another's key.
    let key = [("AWS_ACCESS_KEY_ID", binary::ACCESS), ("AWS_SECRET_ACCESS_KEY", "not-the-secret")];
    ask(&place, &serving, &["--only", "s3,ready"], &key).only_bad("s3", &["SignatureDoesNotMatch", "s3.public_hosts"]);
    let key = [("AWS_ACCESS_KEY_ID", "NOBODY"), ("AWS_SECRET_ACCESS_KEY", "not-the-secret")];
    ask(&place, &serving, &["--only", "s3,ready"], &key).only_bad("s3", &["InvalidAccessKeyId"]);
    // The name of another machine.
    let told = ask(&place, &serving, &["--only", "admin,dns", "--s3", "http://no-such-host.invalid:9000"], &[]);
    told.says("bad", "dns", &["no-such-host.invalid leads nowhere"]);
}

/// Something in front that does one thing wrong.
#[derive(Clone, Copy)]
enum Careless {
    OldDate,
    RewritesHost,
    TakesRangeAway,
    TakesConditionsAway,
    TakesCorsAway,
    TakesVaryAway,
    AnswersAll,
}

#[test]
fn what_is_wrong_in_front_is_found() {
    let place = Place::new();
    let serving = place.serve();
    let by = |careless, door: &str, target: SocketAddr, only: &str| {
        let front = format!("http://{}", stand_before(target, careless));
        ask(&place, &serving, &["--only", only, door, &front], &[])
    };
    by(Careless::OldDate, "--s3", serving.s3, "clock").only_bad("clock", &["signatures are refused", "NTP"]);
    by(Careless::RewritesHost, "--s3", serving.s3, "s3").only_bad("s3", &["SignatureDoesNotMatch", "s3.public_hosts"]);
    by(Careless::TakesRangeAway, "--s3", serving.s3, "s3").only_bad("s3", &["a range is answered with 200"]);
    by(Careless::TakesRangeAway, "--edge", serving.edge, "edge").only_bad("edge", &["a range is answered with 200"]);
    by(Careless::TakesConditionsAway, "--edge", serving.edge, "edge")
        .only_bad("edge", &["If-None-Match with its ETag is answered with 200"]);
    by(Careless::TakesVaryAway, "--edge", serving.edge, "edge").only_bad("edge", &["Vary does not name Accept-Encoding"]);
    let told = by(Careless::TakesCorsAway, "--edge", serving.edge, "edge");
    told.says("bad", "edge", &["may not read it"]);
    told.says("bad", "edge", &["a preflight is answered"]);
    assert_eq!(told.of_state("bad").len(), 2);
    // A page for everything, as a portal of some network shows it.
    by(Careless::AnswersAll, "--edge", serving.edge, "edge").only_bad("edge", &["a link (path-token)", "200"]);
}

#[test]
fn certificates_are_judged() {
    let place = Place::new();
    let authority = authority();
    std::fs::create_dir(place.path("certs")).unwrap();
    authority.issue(&place.path("certs"), "good", &["localhost"]);
    place.write("authority.pem", &authority.pem());
    place.write("gateway.toml", "[s3]\ntls_listen = \"127.0.0.1:0\"\n");
    let serving = place.serve();
    let address = serving.s3_tls.unwrap();
    let (by_name, by_address) = (format!("https://localhost:{}", address.port()), format!("https://{address}"));
    let told = |url: &str, more: &[&str]| ask(&place, &serving, &[&["--only", "tls,ready,s3", "--s3", url], more].concat(), &[]);
    let believed = ["--ca", "authority.pem"];
    let good = told(&by_name, &believed);
    good.says("good", "tls", &["is believed"]);
    assert_eq!(good.of_state("bad"), Vec::<String>::new());
    told(&by_name, &[]).says("bad", "tls", &["nobody that this machine believes", "--ca FILE"]);
    told(&by_address, &believed).says("bad", "tls", &["for another name"]);
    told(&format!("https://{}", serving.s3), &believed).says("bad", "tls", &["no TLS connection"]);
    assert!(serving.stop().success());

    for (days, state, words) in [(5, "warning", "days more"), (-1, "bad", "has ended")] {
        authority.issue_until(&place.path("certs"), "good", &["localhost"], days);
        let serving = place.serve();
        let url = format!("https://localhost:{}", serving.s3_tls.unwrap().port());
        ask(&place, &serving, &["--only", "tls", "--s3", &url, "--ca", "authority.pem"], &[]).says(state, "tls", &[words]);
    }
}

/// Passes one request a connection on to `target`. Ends with the test's process.
fn stand_before(target: SocketAddr, careless: Careless) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            std::thread::spawn(move || pass_on(stream, target, careless));
        }
    });
    address
}

fn pass_on(mut client: TcpStream, target: SocketAddr, careless: Careless) -> Option<()> {
    let (head, mut body) = read_head(&mut client)?;
    let length = field(&head, "content-length").map_or(0, |n| n.parse().unwrap());
    while body.len() < length {
        let mut more = [0; 16384];
        let n = client.read(&mut more).ok().filter(|n| *n > 0)?;
        body.extend_from_slice(&more[..n]);
    }
    if let Careless::AnswersAll = careless {
        return client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\nwelcome").ok();
    }
    let head = match careless {
        Careless::TakesRangeAway => without(&head, &["range"]),
        Careless::TakesConditionsAway => without(&head, &["if-none-match", "if-match"]),
        Careless::RewritesHost => without(&head, &["host"]) + "Host: inner.example.com\r\n",
        _ => head,
    };
    let mut server = TcpStream::connect(target).ok()?;
    server.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).ok()?;
    server.write_all(&body).ok()?;
    let (head, body) = read_head(&mut server)?;
    let head = match careless {
        Careless::OldDate => without(&head, &["date"]) + "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
        Careless::TakesCorsAway => without(&head, &["access-control-allow-origin"]),
        Careless::TakesVaryAway => without(&head, &["vary"]),
        _ => head,
    };
    client.write_all(format!("{head}\r\n").as_bytes()).ok()?;
    client.write_all(&body).ok()?;
    std::io::copy(&mut server, &mut client).ok().map(drop)
}

/// The head without its empty line, and what came of the body with it.
fn read_head(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut read = Vec::new();
    loop {
        let mut more = [0; 16384];
        let n = stream.read(&mut more).ok().filter(|n| *n > 0)?;
        read.extend_from_slice(&more[..n]);
        if let Some(end) = read.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8(read[..end + 2].to_vec()).ok()?;
            return Some((head, read.split_off(end + 4)));
        }
    }
}

fn field(head: &str, name: &str) -> Option<String> {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
}

fn without(head: &str, names: &[&str]) -> String {
    let stays = |line: &&str| !names.iter().any(|name| line.split_once(':').is_some_and(|(n, _)| n.eq_ignore_ascii_case(name)));
    head.lines().filter(stays).map(|line| format!("{line}\r\n")).collect()
}
