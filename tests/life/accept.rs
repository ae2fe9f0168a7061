//! Accepting: a full descriptor table, and the caps on connections.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use tidegate::net::settings::Settings;

use crate::support::net_server;
use crate::support::raw::{connect, get};

/// The server half of `a_full_descriptor_table_is_survived`: run by it in a process with few descriptors.
#[test]
#[ignore = "run by a_full_descriptor_table_is_survived"]
fn serves_with_few_descriptors() {
    // The cap must not step in: this is about accept() failing.
    let server = net_server::start(Settings { workers: 1, max_connections: 10_000, ..Settings::default() });
    println!("address {}", server.address);
    std::io::stdout().flush().unwrap();
    let mut until_closed = String::new();
    std::io::stdin().read_line(&mut until_closed).unwrap();
}

#[test]
fn a_full_descriptor_table_is_survived() {
    let this = std::env::current_exe().unwrap();
    let mut child = Command::new("sh")
        .args(["-c", "ulimit -n 64; exec \"$0\" --exact --ignored --nocapture life::accept::serves_with_few_descriptors"])
        .arg(this)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // The harness prints "test … ... " before it, on the same line.
    let address: SocketAddr =
        lines.find_map(|l| l.unwrap().split_once("address ").map(|(_, a)| a.parse().unwrap())).expect("the child's address");

    let mut first = connect(address);
    assert_eq!(first.exchange(get("/bytes/1")).0.status, 200);
    let crowd: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(address).unwrap()).collect();
    loop {
        let text = String::from_utf8(first.exchange(get("/metrics")).1).unwrap();
        if !text.contains("accept_errors_total{reason=\"descriptors\"} 0\n") {
            break;
        }
    }
    drop(crowd);
    assert_eq!(connect(address).exchange(get("/bytes/1")).0.status, 200, "it accepts again");
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn past_the_cap_a_client_is_told_to_come_again() {
    let server = net_server::start(Settings { max_connections: 2, ..Settings::default() });
    let mut first = connect(server.address);
    let mut second = connect(server.address);
    assert_eq!(first.exchange(get("/bytes/1")).0.status, 200);
    assert_eq!(second.exchange(get("/bytes/1")).0.status, 200);
    let mut third = connect(server.address);
    let (head, _) = third.exchange(get("/bytes/1"));
    assert_eq!(head.status, 503);
    assert_eq!(head.header("retry-after"), Some("1"));
    assert!(third.closed().unwrap());
    server.wait_for("connections_shed_total{reason=\"connections\"} 1");
    drop(first);
    server.wait_for("connections{door=\"s3\"} 1");
    assert_eq!(connect(server.address).exchange(get("/bytes/1")).0.status, 200);
}

#[test]
fn the_cap_of_one_address() {
    let server = net_server::start(Settings { max_connections_per_address: 1, ..Settings::default() });
    let mut first = connect(server.address);
    assert_eq!(first.exchange(get("/bytes/1")).0.status, 200);
    assert_eq!(connect(server.address).exchange(get("/bytes/1")).0.status, 503);
    server.wait_for("connections_shed_total{reason=\"per_address\"} 1");
}
