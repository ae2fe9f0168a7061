//! What one node has in memory of the tally.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::ops::tally::flows::{Room, Scope, State};
use crate::ops::tally::stored::{Base, NodeRecord};

#[derive(Default)]
pub struct Books {
    pub state: State,
    pub ceilings: HashMap<Scope, Ceiling>,
    /// The recount that told last of what was unsure here.
    pub settled: u32,
    /// When this node heard the others last.
    pub heard: Option<Instant>,
    /// When it read what they told.
    pub looked: Option<Instant>,
}

impl Books {
    /// What a recount found of this node's is in its count from now on, and no longer in what is used here: the room that it took is the
    /// count's too. False: that was done before.
    pub fn settle_by(&mut self, base: &Base) -> bool {
        if base.round <= self.settled {
            return false;
        }
        self.settled = base.round;
        self.state.settled_by(base.round, |spot| base.has(spot));
        let state = &self.state;
        self.ceilings.iter_mut().for_each(|(scope, ceiling)| ceiling.room = ceiling.room.by(state.used(scope), i64::min));
        true
    }
}

/// Up to where this node may write under a limit: see `allow`.
#[derive(Debug, Clone, Copy)]
pub struct Ceiling {
    pub room: Room,
    /// What was used at the last telling.
    pub used: Room,
}

#[derive(Debug, Default)]
pub struct Told {
    /// As it was written last.
    pub record: Option<NodeRecord>,
}

pub fn lock(books: &Mutex<Books>) -> MutexGuard<'_, Books> {
    // Each change is whole before anything can panic.
    books.lock().unwrap_or_else(PoisonError::into_inner)
}
