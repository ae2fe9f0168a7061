//! Accepts connections for one worker and listener, and never stops because of an error.
//!
//! Errors of the one socket (the peer left already, the network failed) are passed over. All others (no descriptors, no
//! memory) would repeat at once: they are counted, and the listener pauses. At the drain what the kernel has queued is
//! still taken: closing the listener would reset it.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::drain::Phase;
use super::refusal;
use crate::telemetry::metrics::{AcceptError, Door};

const PAUSE: Duration = Duration::from_millis(100);

/// Runs until the drain starts; then takes what is queued, and closes the listener.
pub async fn accept_all(
    listener: TcpListener,
    mut phase: watch::Receiver<Phase>,
    on_connection: impl Fn(TcpStream, SocketAddr),
    on_error: impl Fn(AcceptError, &io::Error),
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = phase.wait_for(|p| *p != Phase::Serving) => break,
        };
        match accepted {
            Ok((tcp, address)) => on_connection(tcp, address),
            Err(e) => {
                if let Some(kind) = classify(&e) {
                    on_error(kind, &e);
                    // Cut short by the drain, which the next round sees.
                    let _ = tokio::time::timeout(PAUSE, phase.wait_for(|p| *p != Phase::Serving)).await;
                }
            }
        }
    }
    while let Poll::Ready(Ok((tcp, address))) = poll_fn(|cx| Poll::Ready(listener.poll_accept(cx))).await {
        on_connection(tcp, address);
    }
}

/// None: only this socket is concerned (`accept` also reports errors that were pending on the new socket: accept(2)).
fn classify(e: &io::Error) -> Option<AcceptError> {
    match e.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE) => Some(AcceptError::Descriptors),
        Some(libc::ENOBUFS | libc::ENOMEM) => Some(AcceptError::Memory),
        Some(
            libc::ECONNABORTED
            | libc::ECONNRESET
            | libc::ECONNREFUSED
            | libc::EINTR
            | libc::EPROTO
            | libc::ENOPROTOOPT
            | libc::EOPNOTSUPP
            | libc::ENETDOWN
            | libc::ENETUNREACH
            | libc::EHOSTDOWN
            | libc::EHOSTUNREACH
            | libc::ENONET
            | libc::EPERM
            | libc::ETIMEDOUT,
        ) => None,
        _ => Some(AcceptError::Other),
    }
}

/// Connections that are being told at the same time, per worker: past it they are closed at once.
const MAX_REFUSING: usize = 64;
/// How long such a peer may take to send its request and take the answer.
const REFUSING: Duration = Duration::from_secs(1);

/// Tells a peer past the caps to come again. Its request is read first: closing with unread bytes resets the connection
/// and the answer with it.
pub fn refuse(mut tcp: TcpStream, door: Door, tls: bool, refusing: &Rc<()>) {
    if tls || Rc::strong_count(refusing) > MAX_REFUSING {
        return;
    }
    let place = refusing.clone();
    tokio::task::spawn_local(async move {
        let _place = place;
        let told = tokio::time::timeout(REFUSING, async {
            let mut scratch = [0; 4096];
            let _ = tcp.read(&mut scratch).await?;
            tcp.write_all(refusal::come_again(door).as_bytes()).await?;
            tcp.shutdown().await?;
            while tcp.read(&mut scratch).await? > 0 {}
            io::Result::Ok(())
        });
        if let Ok(Err(e)) = told.await {
            tracing::trace!(error = %e, "a connection past the cap left before it was told");
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_one_socket_do_not_pause_the_listener() {
        let of = |code| classify(&io::Error::from_raw_os_error(code));
        assert_eq!(of(libc::EMFILE), Some(AcceptError::Descriptors));
        assert_eq!(of(libc::ENFILE), Some(AcceptError::Descriptors));
        assert_eq!(of(libc::ENOMEM), Some(AcceptError::Memory));
        assert_eq!(of(libc::EINVAL), Some(AcceptError::Other));
        assert_eq!(of(libc::ECONNABORTED), None);
        assert_eq!(of(libc::EPROTO), None);
    }
}
