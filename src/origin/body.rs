//! The bytes of a version, as they are handed on: at hand, or in pieces.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::base::error::Result;
use crate::base::mapped_file::MappedFile;
use crate::files::{FileBody, SealedBody};

/// The bytes of (a range of) one version.
pub enum Body {
    /// All of it, at hand.
    Memory(Bytes),
    Stream(Pin<Box<dyn BodySource>>),
}

/// A body in pieces. `Err` after the first piece means the connection must be broken: the rest can't be had.
/// A source that ends has delivered exactly `remaining()` bytes as it stood at the start.
pub trait BodySource: Send {
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>>;
    fn remaining(&self) -> u64;

    /// The next piece is to cost no more memory than this. What is at hand already may be handed out as it is.
    fn at_most(self: Pin<&mut Self>, _bytes: usize) {}

    /// Memory that it holds for itself: read and not asked for yet, or being read.
    fn at_hand(&self) -> usize {
        0
    }

    /// The file that the piece which came last is a slice of. None: it costs memory.
    fn mapped(&self) -> Option<MappedFile> {
        None
    }
}

impl BodySource for FileBody {
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        FileBody::poll_next(self, cx)
    }

    fn remaining(&self) -> u64 {
        FileBody::remaining(self)
    }

    fn at_most(self: Pin<&mut Self>, bytes: usize) {
        FileBody::at_most(self.get_mut(), bytes);
    }

    fn at_hand(&self) -> usize {
        FileBody::at_hand(self)
    }

    fn mapped(&self) -> Option<MappedFile> {
        FileBody::mapped(self)
    }
}

impl BodySource for SealedBody {
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        SealedBody::poll_next(self, cx)
    }

    fn remaining(&self) -> u64 {
        SealedBody::remaining(self)
    }

    fn at_most(self: Pin<&mut Self>, bytes: usize) {
        SealedBody::at_most(self.get_mut(), bytes);
    }

    fn at_hand(&self) -> usize {
        SealedBody::at_hand(self)
    }
}

/// Who will touch the bytes. A mapped page may fault (a disk error is then SIGBUS in user space, but a plain
/// error inside a system call): mapped slices go only to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadBy {
    /// Plain TCP: bytes are only handed to `writev`.
    Kernel,
    /// TLS, compression, copying, hashing.
    UserSpace,
}
