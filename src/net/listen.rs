//! Listening sockets: one for each worker and address, sharing the port (SO_REUSEPORT), so that the kernel spreads connections.
//!
//! Where the system has no SO_REUSEPORT the workers share one socket instead; that works and costs some wake-ups.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use crate::telemetry::metrics::Door;

/// How bytes travel on an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Plain,
    Tls,
    /// TLS where the client must show a certificate too. On addresses of its own, never asked for in passing: CloudFront
    /// drops a request whose origin asks for a certificate that it was not told to have.
    MutualTls,
}

impl Transport {
    pub fn is_secure(self) -> bool {
        self != Transport::Plain
    }
}

/// What to listen on.
#[derive(Debug, Clone)]
pub struct Address {
    pub door: Door,
    /// Port 0: the system picks one.
    pub address: SocketAddr,
    pub transport: Transport,
}

/// One address, bound for every worker.
#[derive(Debug)]
pub struct Bound {
    pub door: Door,
    /// With the port that was picked.
    pub address: SocketAddr,
    pub transport: Transport,
    pub(super) sockets: Vec<TcpListener>,
}

pub fn bind(wanted: &Address, workers: usize, backlog: u32) -> io::Result<Bound> {
    let workers = workers.max(1);
    // SO_REUSEPORT lets a second gateway share the port in silence: one plain bind tells whether the port is taken.
    if wanted.address.port() != 0 {
        drop(socket(wanted.address, false)?);
    }
    let (first, shared) = match socket(wanted.address, true) {
        Ok(first) => (first, true),
        Err(e) => {
            tracing::debug!(error = %e, "no SO_REUSEPORT: the workers share one listening socket");
            (socket(wanted.address, false)?, false)
        }
    };
    let first = listen(first, backlog)?;
    let address = first.local_addr()?;
    let mut sockets = vec![first];
    for _ in 1..workers {
        sockets.push(if shared { listen(socket(address, true)?, backlog)? } else { sockets[0].try_clone()? });
    }
    Ok(Bound { door: wanted.door, address, transport: wanted.transport, sockets })
}

fn socket(address: SocketAddr, reuse_port: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the last run's closed connections.
    socket.set_reuse_address(true)?;
    if reuse_port {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        // `[::]` serves IPv4 too, whatever the system's default is.
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn listen(socket: Socket, backlog: u32) -> io::Result<TcpListener> {
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_a_port_and_strangers_do_not() {
        let any = Address { door: Door::S3, address: "127.0.0.1:0".parse().unwrap(), transport: Transport::Plain };
        let bound = bind(&any, 3, 16).unwrap();
        assert_eq!(bound.sockets.len(), 3);
        assert_ne!(bound.address.port(), 0);
        assert!(bound.sockets.iter().all(|s| s.local_addr().unwrap() == bound.address));
        let again = bind(&Address { address: bound.address, ..any }, 3, 16);
        assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
