//! A block on its way in: what has arrived so far, and who waits for more.
//!
//! Readers share the pieces as they came, without a copy. When the block is kept (on disk or in memory) its pieces are let go of, and
//! readers go on from there: a slow reader holds no more than the piece in its hands.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};

use crate::base::error::{Error, ErrorKind};

/// Smaller pieces are joined: a trickling upstream must not make a million of them.
const SMALL_PIECE: usize = 4096;

/// Those who want blocks of one run. When nobody is left, its fetch ends with the block at hand.
#[derive(Default)]
pub struct Audience(AtomicUsize);

impl Audience {
    pub fn is_gone(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }
}

/// One of them.
pub struct Interest(Arc<Audience>);

impl Interest {
    pub fn new(audience: &Arc<Audience>) -> Self {
        audience.0.fetch_add(1, Ordering::AcqRel);
        Interest(audience.clone())
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Why there will be no more.
#[derive(Debug, Clone)]
pub enum End {
    /// It is kept: look there.
    Kept,
    /// Nobody wanted it any more: ask again.
    Abandoned,
    /// The upstream has another version now, or none.
    Gone,
    Failed(Arc<Error>),
}

/// What a reader is given.
pub enum Given {
    Piece(Bytes),
    End(End),
}

pub struct Fill {
    pub number: u32,
    /// The last block of its run.
    pub last: u32,
    pub audience: Arc<Audience>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Each with where it ends, counted from the block's start.
    pieces: Vec<(usize, Bytes)>,
    end: Option<End>,
    /// By reader.
    waiting: Vec<Option<Waker>>,
}

impl Fill {
    pub fn new(number: u32, last: u32, audience: &Arc<Audience>) -> Arc<Self> {
        Arc::new(Fill { number, last, audience: audience.clone(), state: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // The one who fills

    pub fn push(&self, piece: Bytes) {
        let mut state = self.lock();
        let end = state.pieces.last().map_or(0, |(end, _)| *end) + piece.len();
        match state.pieces.last_mut() {
            Some((last_end, last)) if last.len() < SMALL_PIECE && piece.len() < SMALL_PIECE => {
                let mut joined = BytesMut::with_capacity(last.len() + piece.len());
                joined.extend_from_slice(last);
                joined.extend_from_slice(&piece);
                (*last_end, *last) = (end, joined.freeze());
            }
            _ => state.pieces.push((end, piece)),
        }
        state.wake()(state);
    }

    pub fn arrived(&self) -> usize {
        self.lock().pieces.last().map_or(0, |(end, _)| *end)
    }

    pub fn pieces(&self) -> Vec<Bytes> {
        self.lock().pieces.iter().map(|(_, piece)| piece.clone()).collect()
    }

    /// The first end counts.
    pub fn finish(&self, end: End) {
        let mut state = self.lock();
        if state.end.is_none() {
            state.end = Some(end);
            state.pieces = Vec::new();
        }
        state.wake()(state);
    }

    // Those who read

    /// The bytes from `offset` on, as far as they came in one piece. `seat` is the reader's own.
    pub fn poll(&self, offset: usize, seat: &mut Option<usize>, cx: &mut Context<'_>) -> Poll<Given> {
        let mut state = self.lock();
        if let Some(end) = &state.end {
            return Poll::Ready(Given::End(end.clone()));
        }
        let at = state.pieces.partition_point(|(end, _)| *end <= offset);
        if let Some((end, piece)) = state.pieces.get(at) {
            let start = end - piece.len();
            return Poll::Ready(Given::Piece(piece.slice(offset.saturating_sub(start)..)));
        }
        let waker = Some(cx.waker().clone());
        match seat.and_then(|s| state.waiting.get_mut(s)) {
            Some(taken) => *taken = waker,
            None => {
                *seat = Some(state.waiting.len());
                state.waiting.push(waker);
            }
        }
        Poll::Pending
    }
}

impl State {
    /// Wakes all who wait, when the lock is no longer held.
    fn wake(&mut self) -> impl FnOnce(MutexGuard<'_, State>) + use<> {
        let wakers: Vec<Waker> = self.waiting.iter_mut().filter_map(Option::take).collect();
        move |guard| {
            drop(guard);
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

/// The same error for one more reader.
pub fn again(error: &Arc<Error>) -> Error {
    Error::new(error.kind(), error.message().to_owned()).caused_by(error.to_string())
}

pub fn interrupted() -> Error {
    Error::new(ErrorKind::LocalUnavailable, "The object can't be read at the moment. Please try again.").caused_by("its fetch was cut off")
}
