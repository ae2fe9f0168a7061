//! What a tenant may use, or what may happen in a bucket, and the meters that hold it to that.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::error::Result;
use crate::base::limited::{Limited, Scope};
use crate::base::names::BucketName;
use crate::origin::Quota;

/// Stored and shown by their names; what is not limited is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objects: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobs: Option<u32>,
    /// Of bodies. They are slowed down, never cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_in_per_second: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_out_per_second: Option<u64>,
    /// Bodies of objects and parts that arrive at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uploads: Option<u32>,
    /// Bytes that go out in a month of UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress_per_month: Option<u64>,
}

impl Limits {
    /// What is checked where a write is decided.
    pub fn quota(&self) -> Quota {
        Quota { bytes: self.bytes, objects: self.objects }
    }
}

/// The running meters of a tenant or of a bucket. They outlive reloads, or each one would hand out a fresh second.
#[derive(Debug)]
pub struct Meters {
    scope: Scope,
    rate: Option<Arc<RateLimiter>>,
    bytes_in: Option<Arc<ByteRate>>,
    bytes_out: Option<Arc<ByteRate>>,
    uploads: Option<Arc<Slots>>,
}

impl Meters {
    /// `before`: those that run under the limits of before.
    pub fn new(scope: Scope, limits: &Limits, before: Option<&Meters>) -> Self {
        let bytes = |per_second: Option<u64>, running: Option<&Arc<ByteRate>>| {
            per_second.map(|per_second| match running.filter(|r| r.per_second() == per_second.max(1)) {
                Some(running) => running.clone(),
                None => Arc::new(ByteRate::new(per_second)),
            })
        };
        let rate = limits.requests_per_second.map(|per_second| {
            let running = before.and_then(|b| b.rate.clone()).filter(|r| r.per_second() == per_second.max(1));
            running.unwrap_or_else(|| Arc::new(RateLimiter::new(per_second)))
        });
        let uploads = limits.uploads.map(|most| {
            let running = before.and_then(|b| b.uploads.clone()).filter(|slots| slots.most() == most);
            running.unwrap_or_else(|| Arc::new(Slots::new(most)))
        });
        Meters {
            scope,
            rate,
            bytes_in: bytes(limits.bytes_in_per_second, before.and_then(|b| b.bytes_in.as_ref())),
            bytes_out: bytes(limits.bytes_out_per_second, before.and_then(|b| b.bytes_out.as_ref())),
            uploads,
        }
    }

    /// One request of this second's.
    pub fn take_token(&self, now_nanos: u64) -> Result<()> {
        match &self.rate {
            Some(rate) if !rate.take(now_nanos) => Err(Limited::RequestsPerSecond.exceeded(self.scope)),
            _ => Ok(()),
        }
    }

    /// Room for one more body, for as long as the slot is held. None: as many as there are.
    pub fn take_slot(&self) -> Result<Option<Slot>> {
        let Some(slots) = &self.uploads else { return Ok(None) };
        slots.take().map(Some).ok_or_else(|| Limited::Uploads.exceeded(self.scope))
    }

    pub fn bytes_in(&self) -> Option<&Arc<ByteRate>> {
        self.bytes_in.as_ref()
    }

    pub fn bytes_out(&self) -> Option<&Arc<ByteRate>> {
        self.bytes_out.as_ref()
    }

    /// The most bodies that arrived at once since this was asked last.
    pub fn most_uploads(&self) -> Option<u32> {
        self.uploads.as_ref().map(|slots| slots.most_taken())
    }

    #[cfg(test)]
    pub fn rate(&self) -> Option<&Arc<RateLimiter>> {
        self.rate.as_ref()
    }
}

/// Of `[[bucket_limit]]`: limits of a bucket hold beside those of tenants.
#[derive(Debug, Default)]
pub struct BucketLimits(BTreeMap<BucketName, (Limits, Meters)>);

impl BucketLimits {
    pub fn new(limits: &BTreeMap<BucketName, Limits>) -> Self {
        let metered = |(name, limits): (&BucketName, &Limits)| (name.clone(), (limits.clone(), Meters::new(Scope::Bucket, limits, None)));
        BucketLimits(limits.iter().map(metered).collect())
    }

    /// None: the bucket has no limits of its own.
    pub fn of(&self, bucket: &BucketName) -> Option<&(Limits, Meters)> {
        if self.0.is_empty() { None } else { self.0.get(bucket) }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&BucketName, &Limits, &Meters)> {
        self.0.iter().map(|(name, (limits, meters))| (name, limits, meters))
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

/// The meter of bytes per second: whoever was given some waits until they were due. As `RateLimiter`, one second's worth may come at once.
#[derive(Debug)]
pub struct ByteRate {
    per_second: u64,
    /// When all that was given is paid back.
    paid_at_nanos: AtomicU64,
}

impl ByteRate {
    pub fn new(per_second: u64) -> Self {
        ByteRate { per_second: per_second.max(1), paid_at_nanos: AtomicU64::new(0) }
    }

    pub fn per_second(&self) -> u64 {
        self.per_second
    }

    /// So many went. 0: only asked. Answers how long the next have to wait.
    pub fn took(&self, now_nanos: u64, bytes: u64) -> Duration {
        let cost = u128::from(bytes) * u128::from(SECOND) / u128::from(self.per_second);
        let cost = u64::try_from(cost).unwrap_or(u64::MAX);
        let next = |paid_at: u64| paid_at.max(now_nanos).saturating_add(cost);
        let before = if cost == 0 {
            self.paid_at_nanos.load(Ordering::Relaxed)
        } else {
            // Always Ok: there is always a next time.
            self.paid_at_nanos.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |paid_at| Some(next(paid_at))).unwrap_or_default()
        };
        Duration::from_nanos(next(before).saturating_sub(now_nanos).saturating_sub(SECOND))
    }
}

/// How many may do something at once.
#[derive(Debug)]
pub struct Slots {
    most: u32,
    taken: AtomicU32,
    /// The most since somebody asked.
    high: AtomicU32,
}

/// Given back when it is dropped.
#[derive(Debug)]
pub struct Slot(Arc<Slots>);

impl Slots {
    pub fn new(most: u32) -> Self {
        Slots { most, taken: AtomicU32::new(0), high: AtomicU32::new(0) }
    }

    pub fn most(&self) -> u32 {
        self.most
    }

    /// None: all are taken.
    pub fn take(self: &Arc<Self>) -> Option<Slot> {
        let taken = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| (taken < self.most).then_some(taken + 1));
        let before = taken.ok()?;
        self.high.fetch_max(before + 1, Ordering::Relaxed);
        Some(Slot(self.clone()))
    }

    fn most_taken(&self) -> u32 {
        let now = self.taken.load(Ordering::Relaxed);
        self.high.swap(now, Ordering::Relaxed).max(now)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
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
    fn bytes_are_slowed_down_to_the_rate() {
        let rate = ByteRate::new(1000);
        let start = 5 * SECOND;
        assert_eq!(rate.took(start, 0), Duration::ZERO);
        assert_eq!(rate.took(start, 1000), Duration::ZERO, "a second's worth at once");
        assert_eq!(rate.took(start, 500), Duration::from_millis(500));
        assert_eq!(rate.took(start + SECOND / 2, 0), Duration::ZERO);
        assert_eq!(rate.took(start + SECOND / 2, 3000), Duration::from_secs(3));
        // Silence saves up one second.
        assert_eq!(rate.took(start + 60 * SECOND, 2000), Duration::from_secs(1));
        rate.took(u64::MAX, u64::MAX);
        ByteRate::new(0).took(0, u64::MAX);
    }

    #[test]
    fn never_more_slots_than_there_are() {
        let slots = Arc::new(Slots::new(10));
        let high = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        let Some(slot) = slots.take() else { continue };
                        high.fetch_max(slots.taken.load(Ordering::Relaxed), Ordering::Relaxed);
                        drop(slot);
                    }
                });
            }
        });
        assert!(high.into_inner() <= 10);
        let taken: Vec<_> = (0..20).filter_map(|_| slots.take()).collect();
        assert_eq!(taken.len(), 10);
        drop(taken);
        assert!(slots.take().is_some());
    }

    #[test]
    fn any_rate_is_legal() {
        for rate in [0, 1, 3, u32::MAX] {
            let limiter = RateLimiter::new(rate);
            assert!(limiter.take(0));
        }
    }
}
