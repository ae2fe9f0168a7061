//! How much waits to be stored upstream: bytes against the limit, and entries of each bucket, so that reads of a bucket of
//! which nothing waits cost nothing.
//!
//! Invariant: an entry is counted before it can be seen and until after it is gone.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::BucketName;
use crate::telemetry::write_back::WriteBack as Gauges;

/// What an entry takes besides its bytes: its rows, and its job. Counts against the limit, so that empty ones are bounded too.
const ENTRY_BYTES: u64 = 1024;

pub struct Waiting {
    limit: u64,
    gauges: Gauges,
    /// Of all buckets. Read on each request: cores must not fight for a lock where nothing waits.
    entries: AtomicU64,
    sums: Mutex<Sums>,
}

#[derive(Default)]
struct Sums {
    bytes: u64,
    entries: HashMap<BucketName, u64>,
}

/// An entry that is about to be made. Uncounted again unless it is `kept`.
pub struct Charge<'w> {
    waiting: &'w Waiting,
    bucket: BucketName,
    size: u64,
    kept: bool,
}

impl Waiting {
    pub fn new(limit: u64, gauges: Gauges) -> Self {
        Waiting { limit, gauges, entries: AtomicU64::new(0), sums: Mutex::default() }
    }

    pub fn in_bucket(&self, bucket: &BucketName) -> bool {
        self.any() && self.sums().entries.contains_key(bucket)
    }

    pub fn any(&self) -> bool {
        self.entries.load(Ordering::Acquire) > 0
    }

    /// Entries, and their bytes.
    pub fn sum(&self) -> (u64, u64) {
        let sums = self.sums();
        let entries = self.entries.load(Ordering::Acquire);
        (entries, sums.bytes.saturating_sub(entries * ENTRY_BYTES))
    }

    /// Room for an entry of this size where one of `replaced` bytes will go. Fails with SlowDown where there is none.
    pub fn charge(&self, bucket: &BucketName, size: u64, replaced: Option<u64>) -> Result<Charge<'_>> {
        let mut sums = self.sums();
        let freed = replaced.map_or(0, |size| size + ENTRY_BYTES);
        if sums.bytes.saturating_sub(freed).saturating_add(size + ENTRY_BYTES) > self.limit {
            let text = "As much as may wait here (back.limit) is waiting to be stored upstream. Please reduce your request rate.";
            return Err(Error::new(ErrorKind::UpstreamSlowDown, text));
        }
        self.add(&mut sums, bucket, size);
        Ok(Charge { waiting: self, bucket: bucket.clone(), size, kept: false })
    }

    /// At start: what was kept before, whatever the limit is now.
    pub fn found(&self, bucket: &BucketName, size: u64) {
        self.add(&mut self.sums(), bucket, size);
    }

    pub fn gone(&self, bucket: &BucketName, size: u64) {
        let mut sums = self.sums();
        sums.bytes = sums.bytes.saturating_sub(size + ENTRY_BYTES);
        if let Some(count) = sums.entries.get_mut(bucket) {
            *count -= 1;
            self.entries.fetch_sub(1, Ordering::AcqRel);
            if *count == 0 {
                sums.entries.remove(bucket);
            }
        }
        self.show(&sums);
    }

    fn add(&self, sums: &mut Sums, bucket: &BucketName, size: u64) {
        sums.bytes += size + ENTRY_BYTES;
        *sums.entries.entry(bucket.clone()).or_default() += 1;
        self.entries.fetch_add(1, Ordering::AcqRel);
        self.show(sums);
    }

    fn show(&self, sums: &Sums) {
        let entries = self.entries.load(Ordering::Acquire);
        self.gauges.set(entries, sums.bytes.saturating_sub(entries * ENTRY_BYTES));
    }

    fn sums(&self) -> MutexGuard<'_, Sums> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Charge<'_> {
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Charge<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.waiting.gone(&self.bucket, self.size);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_frees_what_is_replaced() {
        let waiting = Waiting::new(10_000 + 2 * ENTRY_BYTES, Gauges::default());
        let bucket = BucketName::parse("media").unwrap();
        waiting.charge(&bucket, 6000, None).unwrap().keep();
        assert_eq!(waiting.charge(&bucket, 4001, None).err().map(|e| e.kind()), Some(ErrorKind::UpstreamSlowDown));
        drop(waiting.charge(&bucket, 4000, None).unwrap());
        assert_eq!(waiting.sum(), (1, 6000));
        waiting.charge(&bucket, 10_000, Some(6000)).unwrap().keep();
        waiting.gone(&bucket, 6000);
        assert_eq!(waiting.sum(), (1, 10_000));
        assert!(waiting.in_bucket(&bucket) && waiting.any());
        waiting.gone(&bucket, 10_000);
        assert!(!waiting.in_bucket(&bucket) && !waiting.any());
    }
}
