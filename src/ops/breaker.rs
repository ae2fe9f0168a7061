//! A circuit breaker. After some failures in a short time a store far away is not asked any more, but by one probe at a time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::base::error::{Error, ErrorKind, Side};

/// One alone may be the network's, and so may be those of a day.
const FAILURES: u32 = 3;
const TOGETHER: Duration = Duration::from_secs(30);
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Whether the failure counts towards leaving the one who was asked alone. Whoever asks for patience is there, a full disk still
/// reads, and a fault of this program says nothing of the others: these are `Error::is_away`, and do not count.
pub fn is_silent(e: &Error) -> bool {
    match e.side() {
        Side::Here | Side::Upstream => !matches!(e.kind(), ErrorKind::UpstreamSlowDown | ErrorKind::StorageFull),
        Side::Caller | Side::Us => false,
    }
}

#[derive(Debug, Default)]
pub struct Breaker {
    /// Read on each request, without the lock.
    open: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// The first of them.
    since: Option<Instant>,
    /// While it is open: when the next one may ask, and how long the one after waits.
    next: Option<(Instant, Duration)>,
    /// Somebody was let through.
    probing: bool,
}

impl Breaker {
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// None: ask. Where the breaker is open, that is for one caller each time; the others are told how long to leave it.
    pub fn leave_alone(&self) -> Option<Duration> {
        if !self.is_open() {
            return None;
        }
        let mut state = self.state();
        let (at, wait) = state.next?;
        let now = Instant::now();
        if now < at {
            return Some(at - now);
        }
        state.next = Some((now + wait, wait));
        state.probing = true;
        None
    }

    /// True: it was open until now.
    pub fn well(&self) -> bool {
        let mut state = self.state();
        *state = State::default();
        self.open.swap(false, Ordering::AcqRel)
    }

    /// True: it opened by this.
    pub fn failed(&self) -> bool {
        let mut state = self.state();
        if state.since.is_none_or(|since| since.elapsed() > TOGETHER) && state.next.is_none() {
            (state.failures, state.since) = (0, Some(Instant::now()));
        }
        state.failures = state.failures.saturating_add(1);
        if state.failures < FAILURES {
            return false;
        }
        // Twice as long after each probe that failed, however many were under way when it opened.
        let wait = match state.next {
            Some((at, _)) if Instant::now() < at && !state.probing => return false,
            Some((_, wait)) => (wait * 2).min(LONGEST_WAIT),
            None => FIRST_WAIT,
        };
        state.probing = false;
        state.next = Some((Instant::now() + wait, wait));
        !self.open.swap(true, Ordering::AcqRel)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is one assignment: a panic leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_patience_is_there() {
        use ErrorKind::*;
        for (kind, silent) in [
            (BadGateway, true),
            (GatewayTimeout, true),
            (UpstreamUnavailable, true),
            (LocalUnavailable, true),
            (UpstreamSlowDown, false),
            (StorageFull, false),
            (InternalError, false),
            (SlowDown, false),
            (NoSuchKey, false),
        ] {
            assert_eq!(is_silent(&Error::new(kind, "")), silent, "{kind:?}");
        }
    }

    #[test]
    fn opens_after_some_and_lets_one_through() {
        let breaker = Breaker::default();
        assert!(!breaker.failed() && !breaker.failed());
        assert!(!breaker.well() && !breaker.is_open());
        let opened: Vec<bool> = (0..5).map(|_| breaker.failed()).collect();
        assert_eq!(opened, [false, false, true, false, false]);
        // Those under way when it opened made it no longer.
        assert!(breaker.leave_alone().is_some_and(|wait| wait <= FIRST_WAIT));
        breaker.state().next = Some((Instant::now(), FIRST_WAIT));
        assert_eq!(breaker.leave_alone(), None);
        assert!(breaker.leave_alone().is_some(), "one at a time");
        breaker.failed();
        assert!(breaker.leave_alone().is_some_and(|wait| wait > FIRST_WAIT));
        assert!(breaker.well() && !breaker.well());
        assert_eq!(breaker.leave_alone(), None);
    }
}
