//! Numbers for files and manifests, each used once in the life of a data folder.
//!
//! The high bits count the starts of the store (kept in the journal before the first number is given out), the low
//! bits count within one: no number needs to be kept when it is given out.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::local::rows::Id;

const BITS_PER_START: u32 = 40;

pub struct Ids(AtomicU64);

impl Ids {
    pub fn new(starts: u64) -> Self {
        Ids(AtomicU64::new(starts << BITS_PER_START))
    }

    /// The number that will be given out next.
    pub fn peek(&self) -> Id {
        self.0.load(Ordering::Relaxed)
    }

    pub fn next(&self) -> Id {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}
