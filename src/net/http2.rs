//! An HTTP/2 connection: its streams, its pulse, and its end. Framing, windows and HPACK are the h2 crate's.
//!
//! It is driven here, and not by hyper, because hyper takes a piece from each answer before it knows whether the peer has opened the
//! stream's window: a client that opens a hundred streams and reads none then holds a hundred pieces. See `stream`.
//! What bounds a peer: streams at once, windows for what it sends, sizes of heads (with CONTINUATION frames), streams that it resets
//! and frames that it makes us answer (h2 counts them, and ends the connection), `Room` for what we send, and `Patience` for the rest.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as Task, Poll, ready};
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::time::{Instant, Sleep};

use super::answer::Context;
use super::connection::Connection;
use super::service::Service;
use super::stream;
use super::wire::Wire;

/// A peer that vanished without a word while a request runs is found by a ping, sent so often and answered in such a time.
const PING_EVERY: Duration = Duration::from_secs(30);
const PONG_WITHIN: Duration = Duration::from_secs(20);

/// Until it ends, in good order once the worker wants that.
pub async fn serve<S: Service>(context: Rc<Context<S>>, connection: Rc<Connection>, wire: Wire) -> io::Result<()> {
    let mut session = context.http2.handshake(wire).await.map_err(io::Error::other)?;
    let mut pulse = session.ping_pong().map(Pulse::new);
    let mut closing = false;
    poll_fn(|cx| {
        connection.register(cx.waker());
        if !closing && connection.is_close_asked() {
            closing = true;
            session.graceful_shutdown();
        }
        if let Some(pulse) = &mut pulse
            && pulse.poll_lost(&connection, cx).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        while let Some(accepted) = ready!(session.poll_accept(cx)) {
            let (request, reply) = accepted.map_err(io::Error::other)?;
            tokio::task::spawn_local(stream::serve(context.clone(), connection.clone(), request, reply));
        }
        Poll::Ready(Ok(()))
    })
    .await
}

/// Asks a peer whether it is still there, while a request runs. At other times the idle time-out is enough, which a ping would put off.
struct Pulse {
    pings: PingPong,
    /// The next ping, or the end of patience with this one.
    at: Pin<Box<Sleep>>,
    waiting: bool,
}

impl Pulse {
    fn new(pings: PingPong) -> Self {
        Pulse { pings, at: Box::pin(tokio::time::sleep(PING_EVERY)), waiting: false }
    }

    /// Ready: it does not answer.
    fn poll_lost(&mut self, connection: &Connection, cx: &mut Task<'_>) -> Poll<()> {
        loop {
            // An error is the connection's own, which tells it better.
            if self.waiting && self.pings.poll_pong(cx).is_ready() {
                self.waiting = false;
                self.at.as_mut().reset(Instant::now() + PING_EVERY);
            }
            ready!(self.at.as_mut().poll(cx));
            if self.waiting {
                return Poll::Ready(());
            }
            self.waiting = connection.requests() > 0 && self.pings.send_ping(Ping::opaque()).is_ok();
            self.at.as_mut().reset(Instant::now() + if self.waiting { PONG_WITHIN } else { PING_EVERY });
        }
    }
}
