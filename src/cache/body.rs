//! A range of one version, read through the cache: block after block, each from where it is.
//!
//! It pulls. Only so much is fetched ahead of its reader, and that goes to the disk: so a slow reader costs what is in
//! its hands, however large the object.
//! Invariants: only bytes of the one version; exactly the range, or an error. A fault of the disk is a miss, and the rest of that
//! block is fetched.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use crate::base::error::{Error, Result};
use crate::base::mapped_file::MappedFile;
use crate::base::range::ByteRange;
use crate::cache::blocks::Hand;
use crate::cache::fill::{End, Fill, Given, Interest, again};
use crate::cache::version::Version;
use crate::cache::{Shared, Source};
use crate::files::{FileBody, Span};
use crate::origin::{BodySource, ReadBy};

/// Blocks in one file body.
const FILES: u32 = 8;
/// The first piece is read before its reader asks for it, and may have to wait for him: all of a small range, or enough to know
/// that there is something to be sent.
const WHOLE: u64 = 64 * 1024;
const FIRST: usize = 4 * 1024;
/// What can go wrong without a byte of progress, before it is given up.
const MAX_FAULTS: u32 = 8;

/// Why there is no next piece.
pub enum Stop {
    /// The version is no longer there.
    Gone,
    Failed(Error),
}

pub struct CacheBody {
    shared: Arc<Shared>,
    version: Arc<Version>,
    source: Arc<dyn Source>,
    by: ReadBy,
    /// What is still to be given.
    left: ByteRange,
    /// The last block that is wanted.
    last: u32,
    /// The last block that may be fetched: later, for a reader who may go on.
    until: u32,
    /// Polled before it was asked for.
    first: Option<Bytes>,
    now: Now,
    /// Runs that are being fetched ahead, with their last block.
    ahead: VecDeque<(u32, Interest)>,
    faults: u32,
    /// The most that a piece may cost.
    most: usize,
}

enum Now {
    Nothing,
    Files(Box<FileBody>),
    Fill { fill: Arc<Fill>, seat: Option<usize>, interest: Interest },
}

impl CacheBody {
    pub(super) fn new(
        shared: Arc<Shared>,
        version: Arc<Version>,
        source: Arc<dyn Source>,
        by: ReadBy,
        range: ByteRange,
        further: u32,
    ) -> Self {
        let last = version.number_at(range.end - 1);
        let until = last.saturating_add(further).min(version.number_at(version.info.size - 1));
        CacheBody {
            shared,
            version,
            source,
            by,
            left: range,
            last,
            until,
            first: None,
            now: Now::Nothing,
            ahead: VecDeque::new(),
            faults: 0,
            most: if range.end - range.start <= WHOLE { WHOLE as usize } else { FIRST },
        }
    }

    /// Waits for the first piece: from then on there is something to be sent. False: the version is gone.
    pub fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool>> {
        Poll::Ready(match ready!(self.poll_piece(cx)) {
            Ok(piece) => {
                self.first = piece;
                Ok(true)
            }
            Err(Stop::Gone) => Ok(false),
            Err(Stop::Failed(e)) => Err(e),
        })
    }

    /// All of it, where it came as one piece.
    pub fn whole(&mut self) -> Option<Bytes> {
        if self.left.start == self.left.end { self.first.take() } else { None }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Stop>> {
        while self.left.start < self.left.end {
            let given = match &mut self.now {
                Now::Nothing => {
                    if let Some(bytes) = self.next_block()? {
                        return Poll::Ready(Ok(Some(bytes)));
                    }
                    continue;
                }
                Now::Files(body) => match ready!(Pin::new(&mut **body).poll_next(cx)) {
                    Some(Ok(piece)) => Ok(piece),
                    None => {
                        self.now = Now::Nothing;
                        continue;
                    }
                    Some(Err(e)) => Err(Some(e)),
                },
                Now::Fill { fill, seat, .. } => {
                    let offset = (self.left.start - self.version.range_of(fill.number).start) as usize;
                    match ready!(fill.poll(offset, seat, cx)) {
                        Given::Piece(piece) => Ok(piece),
                        Given::End(End::Kept | End::Abandoned) => Err(None),
                        Given::End(End::Gone) => return Poll::Ready(Err(Stop::Gone)),
                        Given::End(End::Failed(e)) => return Poll::Ready(Err(Stop::Failed(again(&e)))),
                    }
                }
            };
            match given {
                Ok(piece) => return Poll::Ready(Ok(Some(self.take(piece)))),
                Err(fault) => self.look_again(fault)?,
            }
        }
        Poll::Ready(Ok(None))
    }

    /// The piece, cut to what is wanted of it.
    fn take(&mut self, mut piece: Bytes) -> Bytes {
        let wanted = usize::try_from(self.left.end - self.left.start).unwrap_or(usize::MAX);
        piece.truncate(wanted);
        self.left.start += piece.len() as u64;
        self.faults = 0;
        if let Now::Fill { fill, .. } = &self.now
            && (self.left.start >= self.version.range_of(fill.number).end || self.left.start == self.left.end)
        {
            self.leave_fill();
        }
        piece
    }

    /// Its run is wanted until its last block was read.
    fn leave_fill(&mut self) {
        if let Now::Fill { fill, interest, .. } = std::mem::replace(&mut self.now, Now::Nothing)
            && fill.last > fill.number
            && !self.ahead.iter().any(|(last, _)| *last >= fill.last)
        {
            self.ahead.push_back((fill.last, interest));
        }
    }

    /// The block at hand ended early: it is kept elsewhere by now, or its file is of no use.
    fn look_again(&mut self, fault: Option<Error>) -> Result<(), Stop> {
        self.leave_fill();
        self.now = Now::Nothing;
        self.faults += 1;
        if let Some(e) = fault {
            let number = self.version.number_at(self.left.start);
            tracing::warn!(error = %e, "a block of the cache can't be read and is fetched anew");
            self.shared.drop_block(&self.version, number);
        }
        if self.faults > MAX_FAULTS {
            return Err(Stop::Failed(Error::internal("a block was neither kept nor fetched")));
        }
        Ok(())
    }

    /// Finds out where the next block is. Some: here.
    fn next_block(&mut self) -> Result<Option<Bytes>, Stop> {
        let number = self.version.number_at(self.left.start);
        while self.ahead.front().is_some_and(|(last, _)| *last < number) {
            self.ahead.pop_front();
        }
        match self.shared.look(&self.version, number, self.until, &self.source) {
            Hand::Memory(bytes) => {
                let start = (self.left.start - self.version.range_of(number).start) as usize;
                self.fetch_ahead(number);
                return Ok(Some(self.take(bytes.slice(start.min(bytes.len())..))));
            }
            Hand::Disk(span) => {
                self.fetch_ahead(number);
                self.now = self.files(number, span);
            }
            Hand::Filling(fill, interest) => {
                self.fetch_ahead(number);
                self.now = Now::Fill { fill, seat: None, interest };
            }
        }
        Ok(None)
    }

    /// This block and those behind it that are in files, too.
    fn files(&self, number: u32, first: Span) -> Now {
        let start_of = |n: u32| self.version.range_of(n);
        let mut spans = vec![first];
        let last = self.version.number_at(self.left.end - 1);
        for next in number + 1..=last.min(number.saturating_add(FILES - 1)) {
            match self.shared.span(&self.version, next) {
                Some(span) => spans.push(span),
                None => break,
            }
        }
        let end = start_of(number + spans.len() as u32 - 1).end;
        if let Some(span) = spans.first_mut() {
            span.range.start += self.left.start - start_of(number).start;
        }
        if let Some(span) = spans.last_mut() {
            span.range.end -= end - end.min(self.left.end);
        }
        let files = self.shared.disk.files.clone();
        let open = spans.first().and_then(|s| files.get(s.id));
        let mut body = FileBody::new(files, spans, open, self.by == ReadBy::Kernel);
        body.at_most(self.most);
        Now::Files(Box::new(body))
    }

    /// While a block is read, those behind it are fetched: not each for itself, but in runs that are worth a request.
    fn fetch_ahead(&mut self, number: u32) {
        let window = self.shared.run_blocks();
        let horizon = self.until.min(number.saturating_add(window));
        let Some(from) = (number + 1..=horizon).find(|n| !self.shared.is_at_hand(&self.version, *n)) else { return };
        let enough = match from > self.last {
            false => horizon - from + 1 >= window.div_ceil(2) || horizon >= self.last,
            // Not a block at each step of a reader who may go on.
            true => horizon - from + 1 >= (self.until - self.last).div_ceil(2),
        };
        if enough {
            let until = self.until.min(from.saturating_add(window - 1));
            if let Some((last, interest)) = self.shared.start_ahead(&self.version, from, until, &self.source) {
                self.ahead.push_back((last, interest));
            }
        }
    }
}

/// Who stopped where he was to stop may go on there soon.
impl Drop for CacheBody {
    fn drop(&mut self) {
        if self.left.start == self.left.end && !self.ahead.is_empty() {
            let interests = self.ahead.drain(..).map(|(_, interest)| interest).collect();
            self.shared.linger(&self.version, self.left.end, interests);
        }
    }
}

impl BodySource for CacheBody {
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        if let Some(piece) = self.first.take() {
            return Poll::Ready(Some(Ok(piece)));
        }
        Poll::Ready(match ready!(self.poll_piece(cx)) {
            Ok(piece) => piece.map(Ok),
            Err(Stop::Failed(e)) => Some(Err(e)),
            Err(Stop::Gone) => Some(Err(Error::internal("the version was replaced before all of it was read"))),
        })
    }

    fn remaining(&self) -> u64 {
        self.first.as_ref().map_or(0, |f| f.len() as u64) + self.left.end - self.left.start
    }

    fn at_most(mut self: Pin<&mut Self>, bytes: usize) {
        self.most = bytes;
        if let Now::Files(body) = &mut self.now {
            body.at_most(bytes);
        }
    }

    fn at_hand(&self) -> usize {
        // What the cache has too costs nothing more.
        let first = self.first.as_ref().filter(|f| f.is_unique()).map_or(0, Bytes::len);
        first + if let Now::Files(body) = &self.now { body.at_hand() } else { 0 }
    }

    fn mapped(&self) -> Option<MappedFile> {
        if let Now::Files(body) = &self.now { body.mapped() } else { None }
    }
}
