//! A document as gzip, made piece by piece as it is sent.

use std::io::Cursor;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_compression::Level;
use async_compression::tokio::bufread::GzipEncoder;
use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};

use crate::base::error::{Error, Result};

/// What one poll compresses to, at most: other requests of the worker wait for no more than that.
pub const PIECE: usize = 8 * 1024;
/// What the encoder holds beside the document.
const STATE: usize = 256 * 1024;

pub struct Coded {
    encoder: GzipEncoder<Cursor<Bytes>>,
    piece: Box<[u8]>,
    ended: bool,
}

impl Coded {
    pub fn new(document: Bytes) -> Self {
        let encoder = GzipEncoder::with_quality(Cursor::new(document), Level::Fastest);
        Coded { encoder, piece: vec![0; PIECE].into(), ended: false }
    }

    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let mut piece = ReadBuf::new(&mut self.piece);
        match Pin::new(&mut self.encoder).poll_read(cx, &mut piece) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(e)) => Poll::Ready(Some(Err(Error::internal(e)))),
            Poll::Ready(Ok(())) if piece.filled().is_empty() => {
                self.ended = true;
                Poll::Ready(None)
            }
            Poll::Ready(Ok(())) => Poll::Ready(Some(Ok(Bytes::copy_from_slice(piece.filled())))),
        }
    }

    pub fn has_ended(&self) -> bool {
        self.ended
    }

    pub fn at_hand(&self) -> usize {
        STATE + self.piece.len() + self.encoder.get_ref().get_ref().len()
    }
}
