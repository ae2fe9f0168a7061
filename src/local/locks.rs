//! Object lock: what keeps a version from going, and what may change that. Inside a batch.
//!
//! Judged by the store's clock for locks (`clock`), which nobody can hurry. A delete marker is never locked.
//! https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::lock::{Lock, Retention, RetentionMode};
use crate::base::object::{Bucket, BucketDocument};
use crate::base::timestamp::Timestamp;
use crate::local::rows::ObjectRow;
use crate::local::txn::Txn;
use crate::origin::no_lock_configuration;

/// What a version is written with must be something that its bucket can hold.
pub fn require_room_for(bucket: &Bucket, lock: Lock) -> Result<()> {
    if lock == Lock::default() || has_lock(bucket) { Ok(()) } else { Err(no_lock_configuration()) }
}

pub fn has_lock(bucket: &Bucket) -> bool {
    bucket.documents.contains_key(&BucketDocument::ObjectLock)
}

/// `bypass`: whoever asks may delete what GOVERNANCE retains, and wants to.
pub fn require_unlocked(txn: &Txn<'_>, row: &ObjectRow, bypass: bool) -> Result<()> {
    let Lock { retention, legal_hold } = row.tail.lock;
    let retained = active(retention, txn.judged()).is_some_and(|r| r.mode == RetentionMode::Compliance || !bypass);
    if legal_hold || retained { Err(is_locked()) } else { Ok(()) }
}

/// Of a retention that has ended nothing is left.
fn active(retention: Option<Retention>, judged: Timestamp) -> Option<Retention> {
    retention.filter(|r| r.until > judged)
}

pub fn is_locked() -> Error {
    Error::new(ErrorKind::AccessDenied, "Access Denied because object protected by object lock.")
}

/// COMPLIANCE is only ever prolonged. GOVERNANCE is prolonged, or becomes whatever else is wanted by who may bypass it.
pub fn may_change(old: Option<Retention>, new: Option<Retention>, bypass: bool, judged: Timestamp) -> bool {
    let Some(old) = active(old, judged) else { return true };
    let prolongs = new.is_some_and(|new| new.mode == old.mode && new.until >= old.until);
    prolongs || (old.mode == RetentionMode::Governance && bypass)
}

/// What has ended before it begins keeps nothing.
pub fn require_future(retention: Option<Retention>, judged: Timestamp) -> Result<()> {
    match retention {
        Some(r) if r.until <= judged => Err(Error::new(ErrorKind::InvalidArgument, "The retain until date must be in the future!")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retention(mode: RetentionMode, until: u64) -> Option<Retention> {
        Some(Retention { mode, until: Timestamp::from_secs(until) })
    }

    #[test]
    fn what_may_be_changed_of_a_retention() {
        use RetentionMode::{Compliance, Governance};
        let now = Timestamp::from_secs(100);
        let cases = [
            // old, new, without bypass, with bypass
            (None, retention(Governance, 200), true, true),
            (retention(Governance, 200), retention(Governance, 200), true, true),
            (retention(Governance, 200), retention(Governance, 300), true, true),
            (retention(Governance, 200), retention(Governance, 150), false, true),
            (retention(Governance, 200), retention(Compliance, 300), false, true),
            (retention(Governance, 200), None, false, true),
            (retention(Compliance, 200), retention(Compliance, 300), true, true),
            (retention(Compliance, 200), retention(Compliance, 199), false, false),
            (retention(Compliance, 200), retention(Governance, 300), false, false),
            (retention(Compliance, 200), None, false, false),
            // Ended.
            (retention(Compliance, 100), None, true, true),
            (retention(Compliance, 99), retention(Governance, 101), true, true),
            (retention(Governance, 100), None, true, true),
        ];
        for (old, new, without, with) in cases {
            assert_eq!((may_change(old, new, false, now), may_change(old, new, true, now)), (without, with), "{old:?} to {new:?}");
        }
        assert!(require_future(retention(Compliance, 100), now).is_err());
        require_future(retention(Compliance, 101), now).unwrap();
    }
}
