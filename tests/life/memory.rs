//! What clients that don't read may cost: counted by what is asked of the bodies, not by what the system says of memory.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use tidegate::net::room::{FLOOR, SHARE};
use tidegate::net::settings::Settings;
use tidegate::net::tls::Tls;

use crate::support::net_server::{self, NetServer, expected};
use crate::support::raw::{connect, get};

const STREAMS: usize = 50;
const LARGE: u64 = 8 * 1024 * 1024;

type Session = (h2::client::SendRequest<Bytes>, h2::client::Connection<tokio::net::TcpStream, Bytes>);

async fn session(address: SocketAddr, window: u32) -> Session {
    let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(window).initial_connection_window_size(64 << 20).handshake(tcp).await.unwrap()
}

fn request(path: &str) -> Request<()> {
    Request::get(format!("http://t{path}")).body(()).unwrap()
}

async fn read(mut body: h2::RecvStream) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        body.flow_control().release_capacity(piece.len()).unwrap();
        all.extend_from_slice(&piece);
    }
    all
}

#[tokio::test]
async fn nothing_is_read_for_a_stream_whose_window_is_shut() {
    let server = net_server::start(Settings { workers: 1, ..Settings::default() });
    let (mut client, mut connection) = session(server.address, 0).await;
    let (open, opened) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        tokio::select! {
            ended = &mut connection => return ended.unwrap(),
            _ = opened => {}
        }
        connection.set_initial_window_size(1 << 20).unwrap();
        connection.await.unwrap();
    });
    let mut bodies = Vec::new();
    for _ in 0..STREAMS {
        client = client.ready().await.unwrap();
        let answer = client.send_request(request("/watched/300000"), true).unwrap().0;
        bodies.push(answer.await.unwrap().into_body());
    }
    assert_eq!(server.pulled.load(Ordering::Relaxed), 0);
    // And they are not forgotten.
    open.send(()).unwrap();
    for body in bodies {
        assert_eq!(read(body).await, expected(300_000));
    }
    assert_eq!(server.pulled.load(Ordering::Relaxed), STREAMS as u64 * 300_000);
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Asks for large bodies on many streams, with windows as wide as they go, and reads none of it.
fn greedy(address: SocketAddr) -> TcpStream {
    let mut tcp = TcpStream::connect(address).unwrap();
    tcp.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    tcp.write_all(&frame(4, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff])).unwrap();
    tcp.write_all(&frame(8, 0, 0, &(0x7fff_ffff - 65_535u32).to_be_bytes())).unwrap();
    let path = format!("/watched/{LARGE}");
    for stream in 0..STREAMS as u32 {
        // GET, http, the path and the host, from the static table.
        let mut head = vec![0x82, 0x86, 0x04, path.len() as u8];
        head.extend(path.as_bytes());
        head.extend([0x01, 1, b't']);
        tcp.write_all(&frame(1, 5, 2 * stream + 1, &head)).unwrap();
    }
    tcp
}

/// Bytes that were taken from bodies and not yet by the system, when nothing moves any more.
fn held(server: &NetServer) -> u64 {
    let sent = || {
        let text = server.metrics.encode();
        let line = text.lines().find(|l| l.starts_with("tidegate_bytes_out_total{door=\"s3\"")).expect("bytes_out");
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let (start, mut last, mut same) = (Instant::now(), (0, 0), 0);
    loop {
        let now = (server.pulled.load(Ordering::Relaxed), sent());
        same = if now == last && now.0 > 0 { same + 1 } else { 0 };
        last = now;
        // Longer than the worker's tick, at which it counts what was sent.
        if same == 50 {
            return now.0.saturating_sub(now.1);
        }
        assert!(start.elapsed() < Duration::from_secs(60), "it never rests");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_connection_holds_its_share_however_many_streams_it_has() {
    let server = net_server::start(Settings { workers: 1, ..Settings::default() });
    let clients: Vec<_> = (0..8).map(|_| greedy(server.address)).collect();
    let held = held(&server);
    assert!(held <= 8 * SHARE as u64, "{held} bytes");
    assert!(held > 0);
    drop(clients);
    server.wait_for("connections{door=\"s3\"} 0");
}

#[test]
fn all_connections_hold_the_budget_and_readers_are_served() {
    let budget = 2 * SHARE as u64;
    let server = net_server::start(Settings { workers: 1, memory: budget, ..Settings::default() });
    let clients: Vec<_> = (0..16).map(|_| greedy(server.address)).collect();
    let slow: Vec<_> = (0..16)
        .map(|_| {
            let mut client = connect(server.address);
            client.send(get(&format!("/watched/{LARGE}")));
            client
        })
        .collect();
    let held = held(&server);
    assert!(held <= budget + 32 * FLOOR as u64, "{held} bytes");
    let mut reader = connect(server.address);
    assert_eq!(reader.exchange(get("/watched/3000000")).1, expected(3_000_000));
    drop((clients, slow));
}

#[tokio::test]
async fn without_any_memory_everyone_is_served_in_small_pieces() {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["s3.test".to_owned()]).unwrap();
    std::fs::write(dir.path().join("default.crt"), made.cert.pem()).unwrap();
    std::fs::write(dir.path().join("default.key"), made.signing_key.serialize_pem()).unwrap();
    let tls = Arc::new(Tls::load(dir.path()).unwrap());
    let server = net_server::start_with(Settings { memory: 0, ..Settings::default() }, Some(tls));
    let (client, connection) = session(server.address, 1 << 20).await;
    tokio::spawn(connection);
    let bodies = (0..STREAMS).map(|_| {
        let mut client = client.clone();
        tokio::spawn(async move {
            client = client.ready().await.unwrap();
            let answer = client.send_request(request("/watched/300000"), true).unwrap().0.await.unwrap();
            read(answer.into_body()).await
        })
    });
    for body in bodies.collect::<Vec<_>>() {
        assert_eq!(body.await.unwrap(), expected(300_000));
    }
    let address = server.tls_address.unwrap();
    let over_tls = std::thread::spawn(move || {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let session = rustls::ClientConnection::new(Arc::new(config), "s3.test".try_into().unwrap()).unwrap();
        let mut stream = rustls::StreamOwned::new(session, TcpStream::connect(address).unwrap());
        stream.write_all(b"GET /watched/3000000 HTTP/1.1\r\nHost: s3.test\r\nConnection: close\r\n\r\n").unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        all
    });
    let all = over_tls.join().unwrap();
    assert!(all.ends_with(&expected(3_000_000)));
}

#[tokio::test]
async fn streams_that_are_never_read_are_cut() {
    let server = net_server::start(Settings { write_timeout: Duration::from_secs(1), ..Settings::default() });
    let (mut client, connection) = session(server.address, 0).await;
    let ended = tokio::spawn(connection);
    let answer = client.send_request(request("/watched/300000"), true).unwrap().0;
    let _body = answer.await.unwrap().into_body();
    tokio::time::timeout(Duration::from_secs(30), ended).await.expect("the connection is cut").unwrap().ok();
    server.wait_for("timeouts_total{reason=\"response_write\"} 1");
}

#[test]
fn a_few_bytes_of_a_body_keep_no_buffer() {
    let server = net_server::start(Settings::default());
    let answer = connect(server.address).exchange("PUT /sharing HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(answer.1, b"0");
}
