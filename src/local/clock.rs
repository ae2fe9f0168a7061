//! The store's time: when something was written, and what a lock is judged by. They differ where the machine's clock jumps.
//!
//! What was written never seems older than what was written before it: the last time is in the journal with each batch, and time goes
//! on from there. What a lock is judged by can't be hurried: it advances no faster than the machine ran since the start, whatever
//! its clock is set to, and it never goes back. How long the machine was off between two starts nobody but its clock can say, so a start
//! takes the clock's word. Called by the writer for each batch, and by upkeep.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::base::timestamp::Timestamp;

/// What a batch is written at, and what locks are judged by in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    pub now: Timestamp,
    pub judged: Timestamp,
}

impl Times {
    /// Of rows that were written before, of which nothing is judged.
    pub const PAST: Times = Times { now: Timestamp::from_millis(0), judged: Timestamp::from_millis(0) };
}

/// What the machine's clocks show: the time of day, and how long it ran since some moment.
#[derive(Clone)]
pub struct Source(pub Arc<dyn Fn() -> (Timestamp, Duration) + Send + Sync>);

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Source")
    }
}

impl Default for Source {
    fn default() -> Self {
        let begun = Instant::now();
        Source(Arc::new(move || (Timestamp::now(), begun.elapsed())))
    }
}

/// The row of `Meta` that holds the time of the last batch, in milliseconds.
pub const LAST_TIME: &[u8] = b"time";

pub struct Clock {
    source: Source,
    hands: Mutex<Hands>,
}

impl Clock {
    /// `last`: the last time in the journal.
    pub fn new(source: Source, last: Timestamp) -> Self {
        let (day, ran) = (source.0)();
        let hands = Hands { last: last.max(day), judged: day, start: (day, ran) };
        Clock { source, hands: Mutex::new(hands) }
    }

    pub fn times(&self) -> Times {
        let (day, ran) = (self.source.0)();
        self.hands.lock().unwrap_or_else(PoisonError::into_inner).move_to(day, ran)
    }

    pub fn now(&self) -> Timestamp {
        self.times().now
    }
}

/// Where the clock stands.
struct Hands {
    last: Timestamp,
    judged: Timestamp,
    /// What the machine's clocks showed at the start.
    start: (Timestamp, Duration),
}

impl Hands {
    fn move_to(&mut self, day: Timestamp, ran: Duration) -> Times {
        let (start, ran_then) = self.start;
        let at_most = start.plus(ran.saturating_sub(ran_then));
        self.last = self.last.max(day);
        self.judged = self.judged.max(day.min(at_most));
        Times { now: self.last, judged: self.judged }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;

    fn started(last: u64, day: u64) -> Hands {
        let day = Timestamp::from_secs(day);
        Hands { last: day.max(Timestamp::from_secs(last)), judged: day, start: (day, Duration::from_secs(7)) }
    }

    /// Both times in seconds, `ran` seconds after the start, where the machine's clock shows `day`.
    fn moved(hands: &mut Hands, day: u64, ran: u64) -> (u64, u64) {
        let times = hands.move_to(Timestamp::from_secs(day), Duration::from_secs(7 + ran));
        (times.now.secs(), times.judged.secs())
    }

    #[test]
    fn a_sound_clock_is_followed() {
        let mut hands = started(500, 1000);
        assert_eq!(moved(&mut hands, 1000, 0), (1000, 1000));
        assert_eq!(moved(&mut hands, 1000 + HOUR, HOUR), (1000 + HOUR, 1000 + HOUR));
    }

    #[test]
    fn a_jump_forward_unlocks_nothing_before_its_time() {
        let mut hands = started(0, 1000);
        assert_eq!(moved(&mut hands, 1000 + 1000 * HOUR, 60), (1000 + 1000 * HOUR, 1060));
        // Set right again: what is written stays in order, and locks end when they should.
        assert_eq!(moved(&mut hands, 1120, 120), (1000 + 1000 * HOUR, 1120));
        assert_eq!(moved(&mut hands, 1000 + HOUR, HOUR).1, 1000 + HOUR);
    }

    #[test]
    fn a_jump_back_neither_unlocks_nor_undoes() {
        let mut hands = started(0, 1000);
        assert_eq!(moved(&mut hands, 1000 + HOUR, HOUR), (1000 + HOUR, 1000 + HOUR));
        assert_eq!(moved(&mut hands, 10, 2 * HOUR), (1000 + HOUR, 1000 + HOUR), "neither goes back");
    }

    #[test]
    fn what_was_written_before_the_start_is_older_and_its_time_judges_nothing() {
        // The journal was written while the clock was far ahead.
        let mut hands = started(1000 * HOUR, 1000);
        assert_eq!(moved(&mut hands, 1060, 60), (1000 * HOUR, 1060));
    }

    #[test]
    fn a_clock_of_given_sources_goes_on_from_the_journal() {
        let clock = Clock::new(Source(Arc::new(|| (Timestamp::from_secs(5), Duration::ZERO))), Timestamp::from_secs(9));
        assert_eq!(clock.times(), Times { now: Timestamp::from_secs(9), judged: Timestamp::from_secs(5) });
        let clock = Clock::new(Source::default(), Timestamp::from_millis(0));
        assert!(clock.now() <= clock.now());
    }
}
