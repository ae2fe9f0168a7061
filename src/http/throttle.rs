//! Slows a body down to what its tenant may send or get in a second. It is never cut: whoever is over waits.
//!
//! One meter for all bodies of a tenant. A piece goes when those before it are paid for, so no more than a second's worth and one piece
//! for each body is ever ahead.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::time::Sleep;

use crate::auth::limits::ByteRate;

const SMALLEST_PIECE: usize = 16 * 1024;

pub struct Throttle {
    rate: Arc<ByteRate>,
    /// When the meter's clock began.
    started: Instant,
    waiting: Option<Pin<Box<Sleep>>>,
    /// What it owes is known.
    asked: bool,
    /// What was cut off a piece.
    rest: Bytes,
}

impl Throttle {
    /// `nanos`: what the meter's clock shows now.
    pub fn new(rate: Arc<ByteRate>, nanos: u64) -> Self {
        let now = Instant::now();
        let started = now.checked_sub(Duration::from_nanos(nanos)).unwrap_or(now);
        Throttle { rate, started, waiting: None, asked: false, rest: Bytes::new() }
    }

    /// Until the next piece may go.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.asked {
            self.asked = true;
            self.went(0);
        }
        if let Some(waiting) = &mut self.waiting {
            ready!(waiting.as_mut().poll(cx));
            self.waiting = None;
        }
        Poll::Ready(())
    }

    /// The part of `data` that goes at once, an eighth of a second's worth. The rest comes next (`rest`).
    pub fn cut(&mut self, mut data: Bytes) -> Bytes {
        let piece = usize::try_from(self.rate.per_second() / 8).unwrap_or(usize::MAX).max(SMALLEST_PIECE);
        if data.len() > piece {
            self.rest = data.split_off(piece);
        }
        self.went(data.len() as u64);
        data
    }

    pub fn rest(&mut self) -> Option<Bytes> {
        (!self.rest.is_empty()).then(|| std::mem::take(&mut self.rest))
    }

    pub fn left(&self) -> u64 {
        self.rest.len() as u64
    }

    pub fn went(&mut self, bytes: u64) {
        let wait = self.rate.took(self.started.elapsed().as_nanos() as u64, bytes);
        self.waiting = (!wait.is_zero()).then(|| Box::pin(tokio::time::sleep(wait)));
    }
}
