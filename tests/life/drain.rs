//! Stopping: bodies in flight arrive whole, and what outlasts the deadline is cut and named.

use std::net::TcpStream;
use std::time::Duration;

use tidegate::net::settings::Settings;

use crate::support::net_server::{self, expected};
use crate::support::raw::{connect, get};

const LONG: Duration = Duration::from_secs(60);

#[test]
fn bodies_in_flight_arrive_whole() {
    let mut server = net_server::start(Settings::default());
    let address = server.address;
    let mut idle = connect(address);
    assert_eq!(idle.exchange(get("/bytes/1")).0.status, 200);
    let mut clients: Vec<_> = (0..20)
        .map(|_| {
            let mut client = connect(address);
            client.send(get("/bytes/10000000"));
            let head = client.head();
            (client, head)
        })
        .collect();
    let mut uploading = connect(address);
    uploading.send("PUT /count HTTP/1.1\r\nHost: t\r\nContent-Length: 6\r\n\r\nabc");
    server.wait_for("requests_active{door=\"s3\"} 21");
    let draining = std::thread::spawn(move || server.drain(LONG));
    assert!(idle.closed().unwrap(), "an idle connection is closed at once");
    // From here on the listeners are closed or closing.
    while TcpStream::connect(address).is_ok() {
        std::thread::sleep(Duration::from_millis(10));
    }
    for (client, head) in &mut clients {
        assert_eq!(client.body(head), expected(10_000_000));
        assert!(client.closed().unwrap());
    }
    let (head, body) = uploading.exchange("def");
    assert_eq!((head.status, &body[..]), (200, &b"6"[..]));
    assert_eq!(head.header("connection"), Some("close"));
    assert_eq!(draining.join().unwrap(), Vec::<String>::new());
}

#[test]
fn the_deadline_cuts_and_says_what() {
    let mut server = net_server::start(Settings::default());
    let mut client = connect(server.address);
    client.send(get("/wait/600000?X-Amz-Signature=secret"));
    server.wait_for("requests_active{door=\"s3\"} 1");
    let cut = server.drain(Duration::from_millis(300));
    assert_eq!(cut.len(), 1);
    assert!(cut[0].starts_with("GET /wait/600000 from 127.0.0.1:"), "{cut:?}");
    assert!(client.try_head().is_err());
    server.wait_for("drain_cut_total 1");
    server.wait_for("requests_active{door=\"s3\"} 0");
    server.wait_for("connections{door=\"s3\"} 0");
}

#[test]
fn work_that_outlives_its_client_is_waited_for() {
    let mut server = net_server::start(Settings::default());
    assert_eq!(connect(server.address).exchange(get("/track/800")).0.status, 200);
    assert_eq!(server.tracker.running(), 1);
    assert!(server.drain(LONG).is_empty());
    assert_eq!(server.tracker.running(), 0);
}

#[test]
fn a_request_that_was_under_way_is_answered() {
    let mut server = net_server::start(Settings::default());
    let mut fresh = connect(server.address);
    server.wait_for("connections{door=\"s3\"} 1");
    let draining = std::thread::spawn(move || server.drain(LONG));
    let (head, _) = fresh.exchange(get("/bytes/1"));
    assert_eq!(head.status, 200);
    assert!(fresh.closed().unwrap());
    assert!(draining.join().unwrap().is_empty());
}
