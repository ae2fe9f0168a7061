//! A body that is a range of one sealed file, or of several in a row: its chunks are read and opened on blocking threads, a few at a
//! time. A range costs the chunks that it touches.
//!
//! Not here: whose key it is (`local` unwraps it). Called by `local`. Invariant: no byte of a chunk is handed out that did not open.
//! Limits: two pieces of four chunks in memory, one that is sent and one that is read ahead; where less is allowed, one chunk.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::task::{JoinHandle, spawn_blocking};

use super::body::Span;
use super::open::{Files, OpenFile, unreadable};
use super::sys;
use crate::base::crypt::chunks::{CHUNK, sealed_len, sealed_range};
use crate::base::crypt::ring;
use crate::base::crypt::{DataKey, PartKey};
use crate::base::error::{Error, Result};

/// Opened at once: as much as a plain body reads into one buffer.
const PIECE: u64 = 4 * CHUNK as u64;

/// A range of one sealed file.
#[derive(Clone)]
pub struct SealedSpan {
    /// Its range is of the body, its length of the file.
    pub span: Span,
    /// Of the whole body.
    pub size: u64,
    key: SpanKey,
}

#[derive(Clone)]
enum SpanKey {
    Own(Arc<DataKey>),
    /// Of a part, which is taken out as it is read: there may be 10,000 of them.
    Part {
        under: Arc<DataKey>,
        number: u16,
        key: PartKey,
    },
}

impl SealedSpan {
    /// `span`: as it would be if the body was not sealed.
    pub fn new(span: Span, key: Arc<DataKey>) -> Self {
        Self::under(span, SpanKey::Own(key))
    }

    /// `under`: the key of the object, which that of its part is wrapped under.
    pub fn of_part(span: Span, under: Arc<DataKey>, number: u16, key: PartKey) -> Self {
        Self::under(span, SpanKey::Part { under, number, key })
    }

    fn under(span: Span, key: SpanKey) -> Self {
        let size = span.file_len;
        SealedSpan { span: Span { file_len: sealed_len(size), ..span }, size, key }
    }

    fn key(&self) -> Result<Arc<DataKey>> {
        match &self.key {
            SpanKey::Own(key) => Ok(key.clone()),
            SpanKey::Part { under, number, key } => match key.unwrap(under, *number, self.span.id) {
                Some(key) => Ok(Arc::new(key)),
                None => Err(ring::unreadable(&format!("the key of part {number}"))),
            },
        }
    }

    /// Opens the range of the body. Blocks. None: the file is gone.
    pub fn read(&self, files: &Files, range: &Range<u64>) -> Result<Option<Bytes>> {
        let Span { id, path, file_len, .. } = &self.span;
        let Some(open) = files.open(*id, path, *file_len)? else { return Ok(None) };
        self.read_open(&open, range).map(Some)
    }

    fn read_open(&self, open: &OpenFile, range: &Range<u64>) -> Result<Bytes> {
        let lies = sealed_range(self.size, range);
        let sealed = sys::read_exact(&open.file, (lies.end - lies.start) as usize, lies.start).map_err(unreadable)?;
        let (first, mut out) = (range.start / CHUNK as u64, Vec::new());
        let opened = self.key()?.open(self.size, first, &sealed, &mut out);
        opened.ok_or_else(|| ring::unreadable(&format!("file {:016x}, in the chunks from {first} on,", self.span.id)))?;
        let from = (range.start - first * CHUNK as u64) as usize;
        Ok(Bytes::from(out).slice(from..from + (range.end - range.start) as usize))
    }
}

pub struct SealedBody {
    files: Arc<Files>,
    spans: std::vec::IntoIter<SealedSpan>,
    /// The span that is being read, with what is left of it.
    current: Option<SealedSpan>,
    reading: Option<(JoinHandle<Result<Option<Bytes>>>, usize)>,
    /// The most that a piece may hold.
    piece: u64,
    remaining: u64,
    failed: bool,
}

impl SealedBody {
    pub fn new(files: Arc<Files>, spans: Vec<SealedSpan>) -> Self {
        let remaining = spans.iter().map(|s| s.span.range.end - s.span.range.start).sum();
        SealedBody { files, spans: spans.into_iter(), current: None, reading: None, piece: PIECE, remaining, failed: false }
    }

    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Bounds the pieces that are read from now on, to whole chunks.
    pub fn at_most(&mut self, bytes: usize) {
        self.piece = (bytes as u64 / CHUNK as u64 * CHUNK as u64).clamp(CHUNK as u64, PIECE);
    }

    /// Memory for what is being read.
    pub fn at_hand(&self) -> usize {
        self.reading.as_ref().map_or(0, |(_, len)| *len)
    }

    pub fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        if self.failed {
            return Poll::Ready(Some(Err(Error::internal("the body failed before"))));
        }
        if self.reading.is_none() {
            self.read_on();
        }
        let Some((task, _)) = &mut self.reading else { return Poll::Ready(None) };
        let read = ready!(Pin::new(task).poll(cx)).map_err(Error::internal).flatten();
        self.reading = None;
        match read.and_then(|piece| piece.ok_or_else(|| unreadable(std::io::ErrorKind::NotFound.into()))) {
            Ok(piece) => {
                self.remaining -= piece.len() as u64;
                // While this one is sent.
                if self.piece == PIECE {
                    self.read_on();
                }
                Poll::Ready(Some(Ok(piece)))
            }
            Err(e) => {
                self.failed = true;
                Poll::Ready(Some(Err(e)))
            }
        }
    }

    /// Begins with the next piece, where there is one.
    fn read_on(&mut self) {
        while self.current.as_ref().is_none_or(|span| span.span.range.is_empty()) {
            match self.spans.next() {
                Some(span) => self.current = Some(span),
                None => return,
            }
        }
        let Some(current) = &mut self.current else { return };
        let start = current.span.range.start;
        // From the second on pieces begin with a chunk.
        let end = (start / CHUNK as u64 * CHUNK as u64 + self.piece).min(current.span.range.end);
        current.span.range.start = end;
        let (files, span) = (self.files.clone(), current.clone());
        self.reading = Some((spawn_blocking(move || span.read(&files, &(start..end))), (end - start) as usize));
    }
}
