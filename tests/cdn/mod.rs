//! The gateway as the origin of a CDN: who may ask, what the answers carry, and that a CDN's cache stays right under faults.

mod callers;
mod cloudfront;
mod faults;
mod mutual_tls;

use std::io;
use std::net::SocketAddr;

use crate::support::raw::{Head, connect};

/// One request by a viewer or a CDN, over a connection of its own; an error where the answer does not come whole.
fn ask(address: SocketAddr, target: &str, headers: &[(&str, &str)]) -> io::Result<(Head, Vec<u8>)> {
    let mut request = format!("GET {target} HTTP/1.1\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        request.push_str("Host: cdn.test\r\n");
    }
    headers.iter().for_each(|(name, value)| request.push_str(&format!("{name}: {value}\r\n")));
    let mut connection = connect(address);
    connection.try_send(request + "\r\n")?;
    let head = connection.try_head()?;
    let body = match head.status {
        204 | 304 => Vec::new(),
        _ => connection.try_body(&head)?,
    };
    Ok((head, body))
}
