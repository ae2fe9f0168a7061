//! `Expect: 100-continue`: at once when the body is wanted, also for an empty one, and a refusal instead of it.

use tidegate::net::settings::Settings;

use crate::support::net_server;
use crate::support::raw::{connect, get};

fn put(path: &str, length: usize) -> String {
    format!("PUT {path} HTTP/1.1\r\nHost: t\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n")
}

#[test]
fn a_body_is_asked_for() {
    let server = net_server::start(Settings::default());
    let mut client = connect(server.address);
    for _ in 0..2 {
        client.send(put("/count", 5));
        assert_eq!(client.head().status, 100);
        let (head, body) = client.exchange("hello");
        assert_eq!((head.status, &body[..]), (200, &b"5"[..]));
    }
}

#[test]
fn an_empty_body_too() {
    let server = net_server::start(Settings::default());
    let mut client = connect(server.address);
    for _ in 0..3 {
        client.send(put("/count", 0));
        assert_eq!(client.head().status, 100);
        let head = client.head();
        assert_eq!((head.status, &client.body(&head)[..]), (200, &b"0"[..]));
        // Then a body that is not empty, on the same connection.
        client.send(put("/count", 3));
        assert_eq!(client.head().status, 100);
        assert_eq!(client.exchange("abc").1, b"3");
    }
    assert_eq!(client.exchange(get("/bytes/1")).0.status, 200, "and no 100 where none was asked for");
}

#[test]
fn a_refusal_comes_instead_and_ends_the_connection() {
    let server = net_server::start(Settings::default());
    let mut client = connect(server.address);
    client.send(put("/refuse", 5));
    let head = client.head();
    assert_eq!((head.status, head.header("connection")), (403, Some("close")));
    assert!(client.closed().unwrap());

    let mut client = connect(server.address);
    client.send(put("/refuse", 0));
    let head = client.head();
    assert_eq!((head.status, head.header("connection")), (403, None), "nothing is unread");
    assert_eq!(client.exchange(get("/bytes/1")).0.status, 200);
}

#[test]
fn http_1_0_knows_no_interim_answers() {
    let server = net_server::start(Settings::default());
    let mut client = connect(server.address);
    client.send("PUT /count HTTP/1.0\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.head().status, 200);
}

#[test]
fn a_pipelining_client_gets_its_answers_whole() {
    let server = net_server::start(Settings::default());
    let mut client = connect(server.address);
    // The first answer fills the socket while the second request is read.
    client.send(get("/bytes/5000000") + &put("/count", 0));
    let head = client.head();
    assert_eq!(client.body(&head), net_server::expected(5_000_000));
    let mut head = client.head();
    if head.status == 100 {
        head = client.head();
    }
    assert_eq!((head.status, &client.body(&head)[..]), (200, &b"0"[..]));
}
