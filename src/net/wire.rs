//! The bytes of a connection: TCP or TLS, counted, with what hyper can't do itself.
//!
//! - The bytes that were read to tell the protocols apart come first.
//! - `100 Continue` for a request without a body: hyper sends one only where a body follows, and some clients then wait.
//! - A close that lets the peer read the answer while it is still sending (RFC 9112 section 9.6).
//! - A look at the peer while its request is answered: hyper does not read then. One that has closed its sending side may wait
//!   for its answer; one that reset the connection is gone, and its work with it.
//! - A broken answer ends with a reset, so that a body without a length can't look whole.
//!
//! Writes are vectored on both forms: hyper then hands over body slices as they are, without copying them together.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::connection::Connection;
use super::room::Room;
use super::send_file::poll_send;
use super::settings::MAX_LINGER_BYTES;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The first read takes a whole ordinary request, so that telling the protocols apart costs no extra read.
const FIRST_READ_BYTES: usize = 4096;

pub enum Stream {
    Plain(TcpStream),
    // Boxed: a TLS session is a kilobyte and more.
    Tls(Box<TlsStream<TcpStream>>),
}

pub struct Wire {
    stream: Stream,
    connection: Rc<Connection>,
    /// Read already, not yet handed on.
    first: Bytes,
    /// The rest of an interim answer that is being written.
    interim: &'static [u8],
    write_closed: bool,
    lingered: u64,
}

impl Wire {
    pub fn new(stream: Stream, connection: Rc<Connection>) -> Self {
        Wire { stream, connection, first: Bytes::new(), interim: &[], write_closed: false, lingered: 0 }
    }

    /// Reads until it is clear whether the peer starts with HTTP/2's preface ("prior knowledge"). True: it does.
    /// Else until an ordinary first head is whole: what serves a request takes ten times the memory of what waits for one.
    pub async fn starts_with_http2(&mut self) -> io::Result<bool> {
        let mut start = BytesMut::with_capacity(FIRST_READ_BYTES);
        let mut ended = false;
        loop {
            let seen = start.len().min(H2_PREFACE.len());
            let may_be_preface = start[..seen] == H2_PREFACE[..seen];
            let http2 = may_be_preface && seen == H2_PREFACE.len();
            if http2 || ended || (!may_be_preface && !is_half_a_head(&start)) {
                self.first = start.freeze();
                return Ok(http2);
            }
            let (connection, mut reading) = (&self.connection, pin!(self.stream.read_buf(&mut start)));
            let read = poll_fn(|cx| {
                connection.register(cx.waker());
                match reading.as_mut().poll(cx) {
                    // Whoever serves it knows how it ends in good order.
                    Poll::Pending if connection.is_close_asked() => Poll::Ready(Ok(0)),
                    polled => polled,
                }
            });
            let n = read.await?;
            match n {
                0 => ended = true,
                n => self.connection.on_read(n),
            }
        }
    }

    fn tcp(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(tls) => tls.get_ref().0,
        }
    }

    /// Asks nothing of the system: what epoll told is remembered with the socket.
    fn watch_peer(&self, cx: &mut Context<'_>) -> io::Result<()> {
        if !self.connection.must_watch_peer() || self.tcp().poll_read_ready(cx).is_pending() {
            return Ok(());
        }
        let told = pin!(self.tcp().ready(Interest::READABLE | Interest::WRITABLE));
        if let Poll::Ready(told) = told.poll(&mut Context::from_waker(Waker::noop())) {
            let told = told?;
            if told.is_write_closed() {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            if told.is_read_closed() {
                self.connection.peer_closed_its_side();
            }
        }
        Ok(())
    }

    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.connection.take_continue() {
            self.interim = CONTINUE;
        }
        while !self.interim.is_empty() {
            let n = ready!(self.stream.poll_write(&self.connection, cx, &[io::IoSlice::new(self.interim)]))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.interim = &self.interim[n..];
        }
        Poll::Ready(Ok(()))
    }

    /// Reads and drops what the peer still sends, from the socket itself: what is inside TLS no longer matters.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.linger();
        let tcp = match &mut self.stream {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(tls) => tls.get_mut().0,
        };
        let mut scratch = [std::mem::MaybeUninit::uninit(); 16 * 1024];
        while self.lingered < MAX_LINGER_BYTES {
            let mut dropped = ReadBuf::uninit(&mut scratch);
            match ready!(Pin::new(&mut *tcp).poll_read(cx, &mut dropped)) {
                Ok(()) if !dropped.filled().is_empty() => self.lingered += dropped.filled().len() as u64,
                // The peer closed too, or reset: either way it is done.
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// A request's head that goes on, and fits. What does not look like one, or has lines that end otherwise, is hyper's to refuse.
fn is_half_a_head(start: &[u8]) -> bool {
    start.first().is_some_and(u8::is_ascii_uppercase)
        && start.len() < FIRST_READ_BYTES
        && start.iter().enumerate().all(|(at, byte)| match byte {
            b'\n' => start[..at].ends_with(b"\r"),
            byte => *byte >= b' ' || matches!(byte, b'\r' | b'\t'),
        })
        && !start.windows(4).any(|end| end == b"\r\n\r\n")
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_read(cx, buf),
        }
    }
}

impl Stream {
    fn poll_write(&mut self, connection: &Connection, cx: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self {
            Stream::Plain(tcp) if let Some(found) = connection.sending_from.find(slices) => poll_send(tcp, cx, slices, &found),
            // Of one slice, the rest of a body as a rule, tokio knows from a short write that the socket is full; of several it would
            // ask the system once more.
            Stream::Plain(tcp) => match slices {
                [one] => Pin::new(tcp).poll_write(cx, one),
                _ => Pin::new(tcp).poll_write_vectored(cx, slices),
            },
            Stream::Tls(tls) => poll_encrypt(tls, &connection.room, cx, slices),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_shutdown(cx),
        }
    }
}

/// Encrypts what there is room for, and only when the socket has taken what was encrypted before.
fn poll_encrypt(tls: &mut TlsStream<TcpStream>, room: &Room, cx: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
    if tls.get_ref().1.wants_write() {
        ready!(Pin::new(&mut *tls).poll_flush(cx))?;
        room.set_encrypted(0);
    }
    let most = room.encryptable();
    let first = slices.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| &**slice);
    let n = if slices.iter().map(|slice| slice.len()).sum::<usize>() <= most {
        ready!(Pin::new(&mut *tls).poll_write_vectored(cx, slices))?
    } else {
        ready!(Pin::new(&mut *tls).poll_write(cx, first.get(..most).unwrap_or(first)))?
    };
    room.set_encrypted(if tls.get_ref().1.wants_write() { n } else { 0 });
    Poll::Ready(Ok(n))
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let wire = &mut *self;
        if wire.first.has_remaining() {
            let n = wire.first.len().min(buf.remaining());
            let first = wire.first.split_to(n);
            wire.connection.on_handed_over(&first);
            buf.put_slice(&first);
            if wire.first.is_empty() {
                wire.first = Bytes::new();
            }
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut wire.stream).poll_read(cx, buf))?;
        let n = buf.filled().len() - before;
        if n > 0 {
            wire.connection.on_read(n);
            wire.connection.on_handed_over(buf.filled().get(before..).unwrap_or_default());
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wire = &mut *self;
        wire.connection.before_write();
        ready!(wire.poll_interim(cx))?;
        let n = ready!(wire.stream.poll_write(&wire.connection, cx, &[io::IoSlice::new(bytes)]))?;
        wire.connection.on_written(n);
        Poll::Ready(Ok(n))
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let wire = &mut *self;
        wire.connection.before_write();
        ready!(wire.poll_interim(cx))?;
        let n = ready!(wire.stream.poll_write(&wire.connection, cx, slices))?;
        wire.connection.on_written(n);
        Poll::Ready(Ok(n))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = &mut *self;
        ready!(wire.stream.poll_flush(cx))?;
        wire.connection.on_flushed();
        wire.connection.room.set_encrypted(0);
        Poll::Ready(wire.watch_peer(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = &mut *self;
        if !wire.write_closed {
            ready!(wire.stream.poll_shutdown(cx))?;
            wire.write_closed = true;
        }
        if wire.connection.must_linger() { wire.poll_linger(cx) } else { Poll::Ready(Ok(())) }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.connection.is_broken()
            && let Err(e) = self.tcp().set_zero_linger()
        {
            tracing::debug!(error = %e, "a broken connection could not be reset; it is closed instead");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_looks_like_a_head_is_waited_for() {
        for half in ["G", "GET", "GET / HTTP/1.1\r\nHost: t", "GET / HTTP/1.1\r\nHost: t\r\n", "PUT /x HTTP/1.1\r"] {
            assert!(is_half_a_head(half.as_bytes()), "{half:?}");
        }
        for other in ["", "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\nHost: t\n", "\r\nGET /", "get", "\x16\x03\x01", "GET /\0"] {
            assert!(!is_half_a_head(other.as_bytes()), "{other:?}");
        }
        assert!(!is_half_a_head(&[b'G'; FIRST_READ_BYTES]));
    }
}
