//! Writes to a bucket with an old store. What only the old store has is there, as far as conditions are concerned; it is hidden by
//! what is written, and by the mark of a delete.

use crate::base::conditions::WriteConditions;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::{Layer, ListQuery};
use crate::base::object_ref::{ObjectRef, VersionSelector};
use crate::ops::keyed::Held;
use crate::ops::shadow::{Inner, Shown};
use crate::origin::{CompleteUpload, CopyObject, Delete, Deleted, Freshness, PutObject, Quota, Written};

impl Inner {
    pub(super) async fn put(&self, mut put: PutObject, quota: Quota) -> Result<Written> {
        let _held = self.decide(&put.bucket, &put.key, &mut put.conditions).await?;
        self.origin.writes.put(put, quota).await
    }

    pub(super) async fn copy(&self, mut copy: CopyObject, quota: Quota) -> Result<Written> {
        if let Some(shadow) = self.of(&copy.source_bucket).filter(|_| copy.source.layer == Layer::Old) {
            self.bring_now(shadow, &copy.source_key).await?;
            // The origin's own from now on: whoever asked looks again.
            return Err(Error::new(ErrorKind::OperationAborted, "The copy source was brought from the old store. Please try again."));
        }
        let _held = self.decide(&copy.bucket, &copy.key, &mut copy.conditions).await?;
        self.origin.writes.copy(copy, quota).await
    }

    pub(super) async fn complete_upload(&self, mut complete: CompleteUpload, quota: Quota) -> Result<Written> {
        let _held = self.decide(&complete.bucket, &complete.key, &mut complete.conditions).await?;
        self.origin.writes.complete_upload(complete, quota).await
    }

    /// Conditions that are about what only the old store has are decided here; for the origin they become that it still has
    /// nothing, which it decides in one step with the write. Until the write is done no copy comes between.
    async fn decide(&self, bucket: &BucketName, key: &ObjectKey, conditions: &mut WriteConditions) -> Result<Option<Held>> {
        let Some(shadow) = self.of(bucket).filter(|_| !conditions.is_empty()) else { return Ok(None) };
        let lock = self.locks.lock(bucket, key).await;
        if let Shown::Old(found) = self.look(shadow, key, Freshness::Current).await? {
            conditions.check(Some(&found.object))?;
            *conditions = WriteConditions::absent();
        }
        Ok(Some(lock))
    }

    /// The mark comes first: were it the other way round, what the old store has would be shown in between, and after a crash.
    /// A mark too many does no harm, since it hides nothing that the origin has.
    pub(super) async fn delete(&self, of: ObjectRef<'_>, delete: Delete) -> Result<Deleted> {
        // A version is one of the origin's own.
        let shadow = self.of(of.bucket).filter(|_| of.version == VersionSelector::Current);
        let Some(shadow) = shadow else { return self.origin.writes.delete(of, delete).await };
        let _lock = self.locks.lock(of.bucket, of.key).await;
        let own = self.origin.reads.stat(of, Freshness::Current).await?;
        if self.is_marked(shadow, of.key).await? {
            return self.origin.writes.delete(of, delete).await;
        }
        let deleted = match shadow.old.stat(of.key, &self.owner(shadow).await?).await {
            Ok(None) => return self.origin.writes.delete(of, delete).await,
            Ok(Some(found)) if own.is_none() => {
                delete.conditions.check(Some(&found.object))?;
                Deleted::SOMETHING
            }
            Err(e) if own.is_none() && !delete.conditions.is_empty() => return Err(e),
            // Away: it may have the key.
            Err(_) if own.is_none() => Deleted::UNKNOWN,
            Ok(Some(_)) | Err(_) => Deleted::SOMETHING,
        };
        self.mark(shadow, of.key).await?;
        // Also where there was nothing: another node may have copied it since.
        self.origin.writes.delete(of, delete).await.map(|_| deleted)
    }

    /// For what the origin does with objects of its own only.
    pub(super) async fn bring_if_old(&self, bucket: &BucketName, key: &ObjectKey) -> Result<()> {
        let Some(shadow) = self.of(bucket) else { return Ok(()) };
        self.bring_now(shadow, key).await.map(drop)
    }

    /// Marks stay: a bucket that is made again by that name does not show again what was deleted.
    pub(super) async fn delete_bucket(&self, name: &BucketName) -> Result<()> {
        if let Some(shadow) = self.of(name) {
            let page = self.list(shadow, &ListQuery { max: 1, ..ListQuery::default() }).await?;
            if !page.entries.is_empty() {
                return Err(Error::new(ErrorKind::BucketNotEmpty, "The bucket you tried to delete is not empty."));
            }
        }
        self.origin.buckets.delete_bucket(name).await
    }
}
