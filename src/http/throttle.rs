//! Slows a body down to what its tenant may send or get in a second, and its bucket. It is never cut: whoever is over waits.
//!
//! One meter for all bodies of a tenant, or of a bucket. A piece goes when those before it are paid for at each of its meters, so no more
//! than a second's worth and one piece for each body is ever ahead.

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
    /// One or two.
    rates: Vec<Arc<ByteRate>>,
    /// When the meter's clock began.
    started: Instant,
    waiting: Option<Pin<Box<Sleep>>>,
    /// What it owes is known.
    asked: bool,
    /// What was cut off a piece.
    rest: Bytes,
}

impl Throttle {
    /// `nanos`: what the meters' clock shows now. None: nothing slows it down.
    pub fn new(rates: impl Iterator<Item = Arc<ByteRate>>, nanos: impl FnOnce() -> u64) -> Option<Self> {
        let rates: Vec<_> = rates.collect();
        if rates.is_empty() {
            return None;
        }
        let now = Instant::now();
        let started = now.checked_sub(Duration::from_nanos(nanos())).unwrap_or(now);
        Some(Throttle { rates, started, waiting: None, asked: false, rest: Bytes::new() })
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
        let slowest = self.rates.iter().map(|rate| rate.per_second()).min().unwrap_or(u64::MAX);
        let piece = usize::try_from(slowest / 8).unwrap_or(usize::MAX).max(SMALLEST_PIECE);
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
        let now = self.started.elapsed().as_nanos() as u64;
        let wait = self.rates.iter().map(|rate| rate.took(now, bytes)).max().unwrap_or_default();
        self.waiting = (!wait.is_zero()).then(|| Box::pin(tokio::time::sleep(wait)));
    }
}
