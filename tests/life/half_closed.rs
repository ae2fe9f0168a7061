//! Clients that close their sending side after the last byte of a request: answered like all others, and cut when they are gone.

use std::net::Shutdown;
use std::time::Duration;

use rustls::version::{TLS12, TLS13};
use tidegate::net::settings::Settings;
use tidegate::net::tls::Tls;
use tidegate::telemetry::metrics::Door;

use crate::life::tls::{authority, dial};
use crate::support::client::{Client, Request, Sign};
use crate::support::gateway::{Gateway, acme};
use crate::support::net_server::{self, expected};
use crate::support::raw::{Head, connect, get};

fn put(path: &str, length: usize) -> Vec<u8> {
    let head = format!("PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), &vec![b'x'; length]].concat()
}

/// What the client gets that sends this and closes its side; the connection must end in good order behind it.
fn answered(address: std::net::SocketAddr, request: impl AsRef<[u8]>) -> (Head, Vec<u8>) {
    let mut client = connect(address);
    client.send(request);
    client.stream.shutdown(Shutdown::Write).unwrap();
    let head = client.head();
    let body = client.body(&head);
    assert!(client.closed().unwrap(), "the server closes its side too");
    (head, body)
}

#[test]
fn requests_are_answered() {
    let server = net_server::start(Settings::default());
    let of = |request: Vec<u8>| {
        let (head, body) = answered(server.address, request);
        assert_eq!(head.status, 200);
        body
    };
    assert_eq!(of(get("/wait/300").into()), b"waited");
    assert_eq!(of(get("/bytes/20000000").into()), expected(20_000_000));
    assert_eq!(of(put("/count", 5_000_000)), b"5000000");
    assert_eq!(of(b"PUT /count HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".into()), b"3");
    server.wait_for("connections{door=\"s3\"} 0");
}

#[test]
fn requests_that_came_together_are_all_answered() {
    let server = net_server::start(Settings::default());
    let mut client = connect(server.address);
    client.send([get("/wait/200"), get("/wait/100")].concat());
    client.stream.shutdown(Shutdown::Write).unwrap();
    for _ in 0..2 {
        let head = client.head();
        assert_eq!(client.body(&head), b"waited");
    }
    assert!(client.closed().unwrap());
}

#[test]
fn under_tls_too() {
    let (dir, ca) = (tempfile::tempdir().unwrap(), authority());
    ca.issue(dir.path(), "default", &["s3.test"]);
    let server = net_server::start_with(Settings::default(), Some(std::sync::Arc::new(Tls::load(dir.path()).unwrap())));
    for version in [&TLS12, &TLS13] {
        // As TLS says good-bye, and as one that leaves that out.
        for notify in [true, false] {
            for (request, body) in [
                (get("/wait/300").into_bytes(), b"waited".to_vec()),
                (put("/count", 100_000), b"100000".to_vec()),
                (get("/bytes/9000000").into_bytes(), expected(9_000_000)),
            ] {
                let mut client = dial(&ca.client(&[version], &["http/1.1"]), server.tls_address.unwrap(), "s3.test");
                client.send(request);
                if notify {
                    client.stream.conn.send_close_notify();
                    client.stream.conn.write_tls(&mut client.stream.sock).unwrap();
                }
                client.stream.sock.shutdown(Shutdown::Write).unwrap();
                let head = client.head();
                assert_eq!((head.status, client.body(&head) == body), (200, true), "{version:?} {notify}");
            }
        }
    }
    server.wait_for("connections{door=\"s3\"} 0");
}

#[test]
fn a_body_that_is_not_whole_is_refused() {
    let server = net_server::start(Settings::default());
    let mut cut = put("/count", 100_000);
    cut.truncate(50_000);
    let (head, body) = answered(server.address, cut);
    assert_eq!((head.status, &*body), (400, &b"IncompleteBody"[..]));
}

#[test]
fn both_doors_answer() {
    let gateway = Gateway::start();
    gateway.client().send(&Request::on("PUT", "media", ""), Sign::Header(&acme())).expect(200);
    let ask = |door: Door, request: Request| {
        let address = gateway.address(door);
        let (head, _) = request.head(&address.to_string(), Sign::Header(&acme()));
        let (head, body) = answered(address, [head.as_bytes(), &request.body].concat());
        assert_eq!(head.status, 200, "{door:?} {}", String::from_utf8_lossy(&body));
        body
    };
    // As large as one that is kept as a file of its own.
    let content = expected(3_000_000);
    ask(Door::S3, Request::on("PUT", "media", "acme/a.bin").body(content.clone()));
    assert_eq!(ask(Door::S3, Request::on("GET", "media", "acme/a.bin")), content);
    assert_eq!(ask(Door::Edge, Request::on("GET", "media", "acme/a.bin")), content);
    Client::new(gateway.address(Door::S3)).send(&Request::on("HEAD", "media", "acme/a.bin"), Sign::Header(&acme())).expect(200);
}

#[test]
fn who_is_gone_is_not_worked_for() {
    let second = Duration::from_secs(1);
    let server = net_server::start(Settings { write_timeout: second, ..Settings::default() });
    // One that takes nothing more of its answer, and one that can't be told from one that waits for it.
    let mut deaf = connect(server.address);
    deaf.send(get("/bytes/50000000"));
    deaf.stream.shutdown(Shutdown::Write).unwrap();
    deaf.head();
    let mut gone = connect(server.address);
    gone.send(get("/wait/600000"));
    server.wait_for("requests_active{door=\"s3\"} 2");
    drop(gone);
    server.wait_for("timeouts_total{reason=\"response_write\"} 2");
    server.wait_for("requests_active{door=\"s3\"} 0");
    server.wait_for("connections{door=\"s3\"} 0");
    drop(deaf);
}

#[test]
fn who_breaks_off_is_not_worked_for() {
    let server = net_server::start(Settings::default());
    let mut waiting = connect(server.address);
    waiting.send(get("/wait/600000"));
    let mut downloading = connect(server.address);
    downloading.send(get("/bytes/100000000"));
    downloading.stream.shutdown(Shutdown::Write).unwrap();
    downloading.head();
    server.wait_for("requests_active{door=\"s3\"} 2");
    // A reset, as by a process that ends with bytes unread.
    socket2::SockRef::from(&waiting.stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop((waiting, downloading));
    server.wait_for("requests_active{door=\"s3\"} 0");
    server.wait_for("connections{door=\"s3\"} 0");
    server.wait_for("timeouts_total{reason=\"response_write\"} 0");
}
