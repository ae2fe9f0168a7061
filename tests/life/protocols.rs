//! HTTP/2 by prior knowledge, and its limits.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tidegate::net::settings::Settings;
use tokio::sync::mpsc;

use crate::support::net_server::{self, expected};
use crate::support::raw::connect;

async fn h2(address: std::net::SocketAddr) -> http2::SendRequest<Full<Bytes>> {
    let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(tcp)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn request(path: &str, body: &'static [u8]) -> Request<Full<Bytes>> {
    let method = if body.is_empty() { "GET" } else { "PUT" };
    Request::builder().method(method).uri(format!("http://t{path}")).body(Full::new(Bytes::from_static(body))).unwrap()
}

#[tokio::test]
async fn http2_by_prior_knowledge() {
    let server = net_server::start(Settings::default());
    let mut client = h2(server.address).await;
    // Read all at once: streams that wait would hold the window that they share.
    let answers = (0..10).map(|_| client.send_request(request("/bytes/3000000", b"")));
    let bodies: Vec<_> =
        answers.map(|a| tokio::spawn(async { a.await.unwrap().into_body().collect().await.unwrap().to_bytes() })).collect();
    for body in bodies {
        assert_eq!(body.await.unwrap(), expected(3_000_000));
    }
    let counted = client.send_request(request("/count", b"hello")).await.unwrap();
    assert_eq!(counted.into_body().collect().await.unwrap().to_bytes(), "5");
    let version = client.send_request(request("/secure", b"")).await.unwrap();
    assert_eq!(version.into_body().collect().await.unwrap().to_bytes(), "false HTTP/2.0");
}

#[tokio::test]
async fn a_broken_body_ends_one_stream_and_not_the_others() {
    let server = net_server::start(Settings::default());
    let mut client = h2(server.address).await;
    // The reset may overtake the head.
    if let Ok(broken) = client.send_request(request("/break/100000", b"")).await {
        assert!(broken.into_body().collect().await.is_err());
    }
    assert_eq!(client.send_request(request("/bytes/1", b"")).await.unwrap().status(), 200);
}

/// A body that the test sends piece by piece.
struct Upload(mpsc::Receiver<Bytes>);

impl Body for Upload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|p| Ok(Frame::data(p))))
    }
}

/// curl 7.88 forgets the answer when its stream is reset in the middle of its upload.
#[tokio::test]
async fn an_early_answer_resets_no_upload() {
    let server = net_server::start(Settings::default());
    let tcp = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let (mut client, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(tcp)).await.unwrap();
    tokio::spawn(connection);
    let (pieces, body) = mpsc::channel(1);
    let answer = client.send_request(Request::put("http://t/refuse").body(Upload(body)).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 403);
    answer.into_body().collect().await.unwrap();
    for _ in 0..20 {
        pieces.send(Bytes::from(vec![0; 100_000])).await.expect("the stream still takes what is sent");
    }
    // But not for ever.
    let all = async { while pieces.send(Bytes::from(vec![0; 100_000])).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(60), all).await.expect("an endless upload is reset");
}

#[tokio::test]
async fn streams_drain_with_a_goaway() {
    let mut server = net_server::start(Settings::default());
    let mut client = h2(server.address).await;
    let slow = client.send_request(request("/wait/1500", b""));
    let slow = tokio::spawn(slow);
    while !server.metrics.encode().contains("requests_active{door=\"s3\"} 1\n") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let draining = std::thread::spawn(move || server.drain(Duration::from_secs(60)));
    assert_eq!(slow.await.unwrap().unwrap().status(), 200);
    assert!(draining.join().unwrap().is_empty());
    assert!(client.ready().await.is_err(), "the connection is gone");
}

#[tokio::test]
async fn idle_http2_connections_are_closed() {
    let server = net_server::start(Settings { idle_timeout: Duration::from_secs(1), ..Settings::default() });
    let mut client = h2(server.address).await;
    assert_eq!(client.send_request(request("/bytes/1", b"")).await.unwrap().status(), 200);
    server.wait_for("connections{door=\"s3\"} 0");
    let closed = async {
        while client.ready().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), closed).await.unwrap();
}

#[tokio::test]
async fn http2_heads_have_a_limit() {
    let server = net_server::start(Settings::default());
    let mut client = h2(server.address).await;
    let long = Request::builder().uri("http://t/bytes/1").header("x-long", "x".repeat(40_000)).body(Full::new(Bytes::new())).unwrap();
    match client.send_request(long).await {
        Ok(answer) => assert_eq!(answer.status(), 431),
        Err(refused) => assert!(refused.is_user() || refused.to_string().contains("http2"), "{refused}"),
    }
}

#[test]
fn a_preface_in_pieces_is_still_a_preface() {
    let server = net_server::start(Settings::default());
    let mut client = connect(server.address);
    for piece in ["PRI", " * HTTP/2.0\r\n", "\r\nSM\r\n\r\n"] {
        client.send(piece);
        std::thread::sleep(Duration::from_millis(30));
    }
    // An empty SETTINGS frame; the server's own comes back: type 4 in the fourth byte.
    client.send([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    let mut frame = [0; 9];
    std::io::Read::read_exact(&mut client.stream, &mut frame).unwrap();
    assert_eq!(frame[3], 4);
}
