//! What an answer sends out of a file goes to a plain socket from the file itself: the kernel hands its pages on and copies none.
//!
//! hyper knows bytes alone. So a body notes the mapped file that its pieces are slices of, and the wire looks whether what it is
//! given to write lies in one of them. Where it does not, it writes as ever.
//!
//! Invariants: a noted file keeps its map until everything was written, so no other bytes have its addresses. A file that is shorter
//! than its map breaks the connection.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use rustix::net::{SendAncillaryBuffer, SendFlags};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::base::mapped_file::MappedFile;

/// Less is copied sooner than it is handed on.
const LEAST: usize = 32 * 1024;
/// hyper keeps a piece or two that are not yet written. Slices of an older file are written as any others.
const FILES: usize = 4;

/// The files that pieces of one connection's answers lie in.
#[derive(Debug, Default)]
pub struct SendingFrom(RefCell<Vec<MappedFile>>);

/// What of some slices lies in a file.
pub struct InFile {
    /// So many slices go before it.
    before: usize,
    file: MappedFile,
    offset: u64,
    len: usize,
}

impl SendingFrom {
    pub fn note(&self, file: MappedFile) {
        let mut files = self.0.borrow_mut();
        if files.last().is_none_or(|last| !last.is(&file)) {
            if files.len() == FILES {
                files.remove(0);
            }
            files.push(file);
        }
    }

    /// Everything was written.
    pub fn forget(&self) {
        self.0.borrow_mut().clear();
    }

    /// The first slice that lies in a file and is large enough.
    pub fn find(&self, slices: &[IoSlice<'_>]) -> Option<InFile> {
        let files = self.0.borrow();
        if files.is_empty() {
            return None;
        }
        slices.iter().enumerate().filter(|(_, slice)| slice.len() >= LEAST).find_map(|(before, slice)| {
            files.iter().find_map(|file| Some(InFile { before, offset: file.offset(slice)?, len: slice.len(), file: file.clone() }))
        })
    }
}

/// Sends what goes before, and of the file as much as the socket takes.
pub fn poll_send(tcp: &TcpStream, cx: &mut Context<'_>, slices: &[IoSlice<'_>], found: &InFile) -> Poll<io::Result<usize>> {
    let before = slices.get(..found.before).unwrap_or_default();
    let head: usize = before.iter().map(|slice| slice.len()).sum();
    if head > 0 {
        // The file's first bytes go into the same packet.
        let sent = ready!(poll_io(tcp, cx, || {
            Ok(rustix::net::sendmsg(tcp, before, &mut SendAncillaryBuffer::default(), SendFlags::MORE | SendFlags::NOSIGNAL)?)
        }))?;
        if sent < head {
            return Poll::Ready(Ok(sent));
        }
    }
    let sent = poll_io(tcp, cx, || {
        let mut offset = found.offset;
        match rustix::fs::sendfile(tcp, &found.file, Some(&mut offset), found.len)? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a body's file is shorter than it was")),
            sent => Ok(sent),
        }
    });
    match sent {
        Poll::Ready(sent) => Poll::Ready(Ok(head + sent?)),
        Poll::Pending if head > 0 => Poll::Ready(Ok(head)),
        Poll::Pending => Poll::Pending,
    }
}

/// Tries until the socket takes something.
fn poll_io(tcp: &TcpStream, cx: &mut Context<'_>, mut send: impl FnMut() -> io::Result<usize>) -> Poll<io::Result<usize>> {
    loop {
        ready!(tcp.poll_write_ready(cx))?;
        match tcp.try_io(Interest::WRITABLE, &mut send) {
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            sent => return Poll::Ready(sent),
        }
    }
}
