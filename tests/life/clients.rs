//! Clients that are slow, that leave, or that send too much.

use std::io::Read;
use std::time::Duration;

use tidegate::net::settings::Settings;

use crate::support::net_server;
use crate::support::raw::{connect, get};

fn impatient() -> Settings {
    let second = Duration::from_secs(1);
    Settings { header_timeout: second, idle_timeout: second, body_timeout: second, write_timeout: second, ..Settings::default() }
}

#[test]
fn slow_headers_are_cut() {
    let server = net_server::start(impatient());
    let mut silent = connect(server.address);
    let mut dribbling = connect(server.address);
    for byte in "GET /bytes/1 HTTP/1.1\r\nHost: t\r\nX: ".bytes().chain(std::iter::repeat(b'x')) {
        if dribbling.try_send([byte]).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(silent.closed().unwrap_or(true));
    server.wait_for("timeouts_total{reason=\"request_header\"} 2");
    server.wait_for("connections{door=\"s3\"} 0");
}

#[test]
fn idle_connections_are_closed_in_good_order() {
    let server = net_server::start(impatient());
    let mut client = connect(server.address);
    assert_eq!(client.exchange(get("/bytes/1")).0.status, 200);
    assert!(client.closed().unwrap());
    server.wait_for("timeouts_total{reason=\"idle\"} 1");
    server.wait_for("connections{door=\"s3\"} 0");
}

#[test]
fn a_slow_answer_is_no_reason_to_cut() {
    let server = net_server::start(impatient());
    let (head, body) = connect(server.address).exchange(get("/wait/3000"));
    assert_eq!((head.status, &body[..]), (200, &b"waited"[..]));
}

#[test]
fn a_body_without_progress_is_a_request_timeout() {
    let server = net_server::start(impatient());
    let mut client = connect(server.address);
    let (head, body) = client.exchange("PUT /count HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\nabc");
    assert_eq!((head.status, &body[..]), (400, &b"RequestTimeout"[..]));
    assert_eq!(head.header("connection"), Some("close"));
    assert!(client.closed().unwrap());
    server.wait_for("timeouts_total{reason=\"request_body\"} 1");
}

#[test]
fn a_reader_that_takes_nothing_is_cut() {
    let server = net_server::start(impatient());
    let mut client = connect(server.address);
    client.send(get("/bytes/50000000"));
    let head = client.head();
    server.wait_for("timeouts_total{reason=\"response_write\"} 1");
    server.wait_for("requests_active{door=\"s3\"} 0");
    server.wait_for("connections{door=\"s3\"} 0");
    assert!(client.try_body(&head).is_err());
}

#[test]
fn clients_that_leave_take_their_gauges_with_them() {
    // That the waiting one has left, and not only closed its side, is known when its time to take something is over.
    let server = net_server::start(impatient());
    let mut downloading = connect(server.address);
    downloading.send(get("/bytes/100000000"));
    downloading.head();
    let mut uploading = connect(server.address);
    uploading.send("PUT /count HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000\r\n\r\nabc");
    let mut waiting = connect(server.address);
    waiting.send(get("/wait/600000"));
    server.wait_for("requests_active{door=\"s3\"} 3");
    drop((downloading, uploading, waiting));
    server.wait_for("requests_active{door=\"s3\"} 0");
    server.wait_for("connections{door=\"s3\"} 0");
}

#[test]
fn an_upload_that_ends_early_is_incomplete() {
    let server = net_server::start(Settings::default());
    let mut client = connect(server.address);
    client.send("PUT /count HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n");
    let head = client.head();
    assert_eq!(client.body(&head), b"IncompleteBody");
}

#[test]
fn a_failed_body_never_ends_like_a_whole_one() {
    let server = net_server::start(Settings::default());
    let mut client = connect(server.address);
    client.send(get("/break/20000000"));
    let head = client.head();
    assert_eq!(head.header("content-length"), Some("20000001"));
    client.try_body(&head).unwrap_err();

    let mut chunked = connect(server.address);
    chunked.send(get("/break-unsized/20000000"));
    let head = chunked.head();
    chunked.try_body(&head).unwrap_err();

    // HTTP/1.0 without a length: the end of the stream is the end of the body, so the stream must not end well.
    let mut old = connect(server.address);
    old.send("GET /break-unsized/20000000 HTTP/1.0\r\n\r\n");
    old.head();
    let mut rest = Vec::new();
    let end = old.stream.read_to_end(&mut rest);
    assert!(end.is_err(), "ended cleanly after {} bytes", rest.len());
    server.wait_for("body_breaks_total 3");
}

#[test]
fn an_early_refusal_is_seen_and_not_lost_in_a_reset() {
    let server = net_server::start(Settings::default());
    let mut client = connect(server.address);
    client.send("PUT /refuse HTTP/1.1\r\nHost: t\r\nContent-Length: 3000000\r\n\r\n");
    // The client sends all of its body before it looks.
    let _ = client.try_send(vec![b'x'; 3_000_000]);
    let head = client.head();
    assert_eq!(head.status, 403);
    assert_eq!(head.header("connection"), Some("close"));
    assert!(client.closed().unwrap());
}

#[test]
fn a_refused_small_body_keeps_the_connection() {
    let server = net_server::start(Settings::default());
    let mut client = connect(server.address);
    let (head, _) = client.exchange("PUT /refuse HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!((head.status, head.header("connection")), (403, None));
    assert_eq!(client.exchange(get("/bytes/1")).0.status, 200);
}

#[test]
fn heads_and_addresses_have_a_limit() {
    let server = net_server::start(Settings::default());
    let mut client = connect(server.address);
    client.send(format!("GET / HTTP/1.1\r\nHost: t\r\nX-Long: {}\r\n\r\n", "x".repeat(40_000)));
    assert_eq!(client.head().status, 431);
    assert_eq!(client.exchange(get("/bytes/1")).0.status, 200);

    // Far over it hyper does not even look at it.
    let mut client = connect(server.address);
    client.send(format!("GET / HTTP/1.1\r\nHost: t\r\nX-Long: {}\r\n\r\n", "x".repeat(90_000)));
    assert_eq!(client.head().status, 431);
    assert!(client.closed().unwrap());

    let mut client = connect(server.address);
    let many: String = (0..200).map(|i| format!("X-{i}: x\r\n")).collect();
    client.send(format!("GET / HTTP/1.1\r\nHost: t\r\n{many}\r\n"));
    assert_eq!(client.head().status, 431);

    let mut client = connect(server.address);
    let (head, _) = client.exchange(get(&format!("/{}", "x".repeat(20_000))));
    assert_eq!(head.status, 414);
    assert_eq!(client.exchange(get("/bytes/1")).0.status, 200);

    let mut client = connect(server.address);
    client.send("NOT HTTP\r\n\r\n");
    assert_eq!(client.head().status, 400);
}
