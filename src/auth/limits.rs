//! What a tenant may use, and the meter for its requests per second.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::origin::Quota;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    pub bytes: Option<u64>,
    pub objects: Option<u64>,
    pub requests_per_second: Option<u32>,
    pub jobs: Option<u32>,
}

impl Limits {
    /// What is checked where a write is decided.
    pub fn quota(&self) -> Quota {
        Quota { bytes: self.bytes, objects: self.objects }
    }
}

/// A token bucket as one number (GCRA): the time at which it would be full again. One second's worth may come at once.
#[derive(Debug)]
pub struct RateLimiter {
    per_second: u32,
    interval_nanos: u64,
    full_at_nanos: AtomicU64,
}

const SECOND: u64 = 1_000_000_000;

impl RateLimiter {
    pub fn new(per_second: u32) -> Self {
        let per_second = per_second.max(1);
        RateLimiter { per_second, interval_nanos: SECOND / u64::from(per_second), full_at_nanos: AtomicU64::new(0) }
    }

    pub fn per_second(&self) -> u32 {
        self.per_second
    }

    /// `now_nanos` is of a clock that only goes forward. False: too many.
    pub fn take(&self, now_nanos: u64) -> bool {
        let taken = self.full_at_nanos.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
            let next = full_at.max(now_nanos) + self.interval_nanos;
            (next <= now_nanos + SECOND).then_some(next)
        });
        taken.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_second_at_once_then_a_steady_rate() {
        let limiter = RateLimiter::new(10);
        let start = 5 * SECOND;
        assert_eq!((0..100).filter(|_| limiter.take(start)).count(), 10);
        assert!(!limiter.take(start + SECOND / 10 - 1));
        assert!(limiter.take(start + SECOND / 10));
        assert!(!limiter.take(start + SECOND / 10));
        // Two seconds of silence save up one second, not two.
        assert_eq!((0..100).filter(|_| limiter.take(start + 3 * SECOND)).count(), 10);
    }

    #[test]
    fn any_rate_is_legal() {
        for rate in [0, 1, 3, u32::MAX] {
            let limiter = RateLimiter::new(rate);
            assert!(limiter.take(0));
        }
    }
}
