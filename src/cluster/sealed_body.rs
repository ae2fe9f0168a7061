//! The bytes that answer a peer, sealed on their way: they are a tenant's, and the messages' connections are not encrypted.
//!
//! In chunks under a key that only the two nodes can make, for this answer alone (`Seals::answer_key`): whoever else sends, changes, cuts or
//! repeats a byte is found out before it is read.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use hyper::body::Incoming;

use crate::base::crypt::DataKey;
use crate::base::crypt::chunks::{CHUNK, ChunkSealer, TAG_BYTES, chunks, sealed_len};
use crate::base::error::{Error, ErrorKind, Result};
use crate::origin::{Body, BodySource};

/// What is sent for a body.
pub fn seal(body: Body, key: DataKey) -> Result<Body> {
    let key = Arc::new(key);
    match body {
        Body::Memory(bytes) => key.seal_all(&bytes).map(|sealed| Body::Memory(sealed.into())),
        Body::Stream(source) => {
            let left = sealed_len(source.remaining());
            Ok(Body::Stream(Box::pin(Sealing { source, sealer: ChunkSealer::new(key), sealed: VecDeque::new(), left, has_ended: false })))
        }
    }
}

struct Sealing {
    source: Pin<Box<dyn BodySource>>,
    sealer: ChunkSealer,
    /// Chunks that are to be sent.
    sealed: VecDeque<Bytes>,
    left: u64,
    has_ended: bool,
}

impl BodySource for Sealing {
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let this = &mut *self;
        loop {
            if let Some(chunk) = this.sealed.pop_front() {
                this.left -= chunk.len() as u64;
                return Poll::Ready(Some(Ok(chunk)));
            }
            if this.has_ended {
                return Poll::Ready(None);
            }
            let piece = ready!(this.source.as_mut().poll_next(cx)).transpose()?;
            let mut keep = |chunk: &[u8]| {
                this.sealed.push_back(Bytes::copy_from_slice(chunk));
                Ok(())
            };
            match piece {
                Some(piece) => this.sealer.push(&piece, &mut keep)?,
                None => {
                    this.has_ended = true;
                    this.sealer.finish(&mut keep)?;
                }
            }
        }
    }

    fn remaining(&self) -> u64 {
        self.left
    }

    fn at_hand(&self) -> usize {
        self.source.at_hand() + CHUNK
    }
}

/// What is received of a body of `size` bytes.
pub struct Opening {
    from: Incoming,
    key: DataKey,
    size: u64,
    /// The chunk that comes next.
    number: u64,
    /// Of it, what is here.
    sealed: BytesMut,
}

impl Opening {
    pub fn new(from: Incoming, key: DataKey, size: u64) -> Self {
        Opening { from, key, size, number: 0, sealed: BytesMut::new() }
    }

    /// The next chunk's text. None: that was all, and nothing came behind it.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let left = self.size.saturating_sub(self.number * CHUNK as u64);
        let whole = if left == 0 { 0 } else { left.min(CHUNK as u64) as usize + TAG_BYTES };
        while self.sealed.len() < whole || whole == 0 {
            match ready!(Pin::new(&mut self.from).poll_frame(cx)) {
                Some(Ok(frame)) => self.sealed.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data)),
                Some(Err(e)) => return Poll::Ready(Some(Err(broken(e.to_string())))),
                None if whole == 0 && self.sealed.is_empty() => return Poll::Ready(None),
                None => return Poll::Ready(Some(Err(broken("it ended early".into())))),
            }
            if whole == 0 && !self.sealed.is_empty() {
                return Poll::Ready(Some(Err(broken("it is longer than it should be".into()))));
            }
        }
        let chunk = self.sealed.split_to(whole);
        let mut text = Vec::with_capacity(whole);
        if self.key.open(self.size, self.number, &chunk, &mut text).is_none() {
            return Poll::Ready(Some(Err(broken("its seal is wrong".into()))));
        }
        self.number += 1;
        Poll::Ready(Some(Ok(text.into())))
    }

    pub fn remaining(&self) -> u64 {
        self.size.saturating_sub(self.number * CHUNK as u64)
    }

    pub fn has_ended(&self) -> bool {
        self.number == chunks(self.size)
    }

    pub fn at_hand(&self) -> usize {
        self.sealed.capacity()
    }
}

fn broken(cause: String) -> Error {
    Error::new(ErrorKind::BadGateway, "Another node of the gateway broke off. Please try again.").caused_by(cause)
}
