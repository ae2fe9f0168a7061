//! Moving in while serving: an origin whose buckets may each continue a bucket of another S3, its old store.
//!
//! - A key that the origin does not have is looked up there, shown as it is there, and copied in the background (`copy`).
//! - A delete of what the old store has is a mark, which hides the key there (`marks`). The old store is never written to.
//! - A listing is both in order, without what is marked (`merge`).
//! - Conditions of writes are decided against what is shown (`write`).
//!
//! Invariants: what the origin has hides what the old store has under the key. A copy is put only where the origin has nothing
//! and nothing is marked, so a write or delete always wins. That the old store can't be asked is a 503, never a 404.
//! A mark is durable before its delete is answered. Whoever takes both a key's turn and its lock takes the turn first.
//! Not here: what carries over all that nobody reads (`jobs::backfill`). Built by `app::stack`, right over the store, under the cache.

mod backfill;
mod copy;
mod marks;
mod merge;
mod old;
mod origin;
mod write;

use std::sync::Arc;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::object::SharedObject;
use crate::base::object_ref::ObjectRef;
use crate::ops::keyed::Keyed;
use crate::origin::{Freshness, Origin};
use crate::telemetry::shadows::Shadows as Gauges;
use crate::upstream::old::{OldObject, OldStore, Settings as OldSettings};

pub use backfill::{BACKFILL, VERSION as BACKFILL_VERSION, Walked};
pub use copy::Brought;

use copy::Copies;
use marks::bucket_of_marks;
use old::Old;

/// Where a bucket's old store is.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The gateway's.
    pub bucket: BucketName,
    pub old: OldSettings,
}

/// The origin with the old stores of its buckets. Cheap to clone.
#[derive(Clone)]
pub struct Shadows(Arc<Inner>);

struct Inner {
    origin: Origin,
    /// Few.
    all: Vec<Arc<Shadow>>,
    /// Held by whoever copies a key.
    turns: Keyed,
    /// Held by whoever decides whether a key is there.
    locks: Keyed,
    copies: Copies,
}

/// A bucket that has an old store.
struct Shadow {
    bucket: BucketName,
    /// The bucket of its marks.
    marks: BucketName,
    old: Old,
}

/// What is shown under a key.
enum Shown {
    Nothing,
    Own(SharedObject),
    Old(OldObject),
}

impl Shadows {
    /// `secret`: the operator's. Makes the buckets of marks, and asks the old stores nothing.
    pub async fn open(origin: Origin, settings: Vec<Settings>, secret: &[u8], gauges: &Gauges) -> Result<Self> {
        let mut all = Vec::with_capacity(settings.len());
        for Settings { bucket, old } in settings {
            let marks = bucket_of_marks(&bucket)?;
            marks::ensure(&*origin.buckets, &marks).await?;
            if origin.buckets.bucket(&bucket).await?.is_none() {
                tracing::warn!(%bucket, "the bucket of a [[shadow]] does not exist yet: its old store is shown when somebody makes it");
            }
            let old = Old::new(OldStore::new(old, secret).await?, bucket.as_str(), gauges.of(bucket.as_str()));
            all.push(Arc::new(Shadow { bucket, marks, old }));
        }
        let (turns, locks, copies) = Default::default();
        Ok(Shadows(Arc::new(Inner { origin, all, turns, locks, copies })))
    }

    /// Ends what is being copied. The next read begins it again.
    pub fn close(&self) {
        self.0.copies.close();
    }
}

impl Inner {
    fn of(&self, bucket: &BucketName) -> Option<&Arc<Shadow>> {
        self.all.iter().find(|s| s.bucket == *bucket)
    }

    /// Names that are nobody's business.
    fn is_hidden(&self, bucket: &BucketName) -> bool {
        self.all.iter().any(|s| s.marks == *bucket)
    }

    async fn owner(&self, shadow: &Shadow) -> Result<TenantId> {
        let bucket = self.origin.buckets.bucket(&shadow.bucket).await?;
        bucket.map(|b| b.owner.clone()).ok_or_else(|| Error::new(ErrorKind::NoSuchBucket, "The specified bucket does not exist."))
    }

    async fn look(&self, shadow: &Shadow, key: &ObjectKey, freshness: Freshness) -> Result<Shown> {
        if let Some(own) = self.origin.reads.stat(ObjectRef::current(&shadow.bucket, key), freshness).await? {
            return Ok(Shown::Own(own));
        }
        let owner = self.owner(shadow).await?;
        // After the origin: a delete marks the key before it deletes.
        let (marked, found) = tokio::join!(self.is_marked(shadow, key), shadow.old.stat(key, &owner));
        if marked? {
            return Ok(Shown::Nothing);
        }
        Ok(found?.map_or(Shown::Nothing, Shown::Old))
    }
}
