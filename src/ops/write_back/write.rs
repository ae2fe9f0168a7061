//! Writes that are answered when they are durable here. Each runs in a task of its own: once begun, an entry gets its job, also
//! where the client goes away between the two.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::base::conditions::WriteConditions;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::object::{Bucket, CannedAcl, SharedObject};
use crate::base::object_ref::{ObjectRef, VersionSelector};
use crate::base::usage::Load;
use crate::ops::keyed::Held;
use crate::ops::tally::allow::Admitted;
use crate::ops::tally::flows::Room;
use crate::ops::write_back::entry::{Entry, delete_of, is_ours, shown};
use crate::ops::write_back::{Overlay, WriteBack};
use crate::origin::{Buckets, CopyObject, Dedup, Delete, Deleted, Freshness, PutObject, Quota, Writes, Written};
use crate::upstream::counting::{Change, Share};

impl Overlay {
    pub(super) async fn put(self: &Arc<Self>, put: PutObject, quota: Quota) -> Result<Written> {
        if !self.keeps(&put.bucket).await? {
            let _settled = self.settled_if_waiting(&put.bucket, &put.key).await?;
            return self.upstream.writes.put(put, quota).await;
        }
        if put.encryption.is_some() {
            let text = "This bucket is answered before its objects are upstream (back.buckets), which encrypts them: what asks for an \
                        encryption of its own can't wait here.";
            return Err(Error::new(ErrorKind::NotImplemented, text));
        }
        let overlay = self.clone();
        let kept = tokio::spawn(async move {
            let _lock = overlay.locks.lock(&put.bucket, &put.key).await;
            let old = overlay.entry(&put.bucket, &put.key).await?;
            overlay.check(&put.conditions, &put.bucket, &put.key, old.as_ref()).await?;
            let _room = overlay.admit(&put, quota, old.as_ref()).await?;
            overlay.keep(put, old).await
        });
        kept.await.map_err(Error::internal)?
    }

    pub(super) async fn delete(self: &Arc<Self>, of: ObjectRef<'_>, delete: Delete) -> Result<Deleted> {
        // What waits has no versions yet.
        if of.version != VersionSelector::Current || !self.keeps(of.bucket).await? {
            let _settled = self.settled_if_waiting(of.bucket, of.key).await?;
            return self.upstream.writes.delete(of, delete).await;
        }
        let (overlay, bucket, key, conditions) = (self.clone(), of.bucket.clone(), of.key.clone(), delete.conditions);
        let kept = tokio::spawn(async move {
            let _lock = overlay.locks.lock(&bucket, &key).await;
            let old = overlay.entry(&bucket, &key).await?;
            let owner = match &old {
                Some(Entry::Delete(_)) => return Ok(Deleted::NOTHING),
                Some(Entry::Object(row)) => Some(row.clone()),
                None => match overlay.upstream.reads.stat(ObjectRef::current(&bucket, &key), Freshness::Current).await {
                    // Also under If-Match: the delete whose answer was lost is repeated, and it did what was asked.
                    Ok(None) => return Ok(Deleted::NOTHING),
                    Ok(found) => found,
                    // What there is will be deleted when it can be.
                    Err(e) if e.is_away() && conditions.is_empty() => None,
                    Err(e) => return Err(e),
                },
            };
            conditions.check(owner.as_deref())?;
            let deleted = if owner.is_some() { Deleted::SOMETHING } else { Deleted::UNKNOWN };
            let owner = owner.map_or_else(TenantId::operator, |object| object.owner.clone());
            overlay.keep(delete_of(&bucket, &key, owner), old).await.map(|_| deleted)
        });
        kept.await.map_err(Error::internal)?
    }

    pub(super) async fn copy(self: &Arc<Self>, copy: CopyObject, quota: Quota) -> Result<Written> {
        let source = self.entry(&copy.source_bucket, &copy.source_key).await?;
        match source {
            Some(Entry::Object(row)) if is_ours(&copy.source) && row.generation == copy.source.generation => {
                self.copy_waiting(copy, row, quota).await
            }
            None if !is_ours(&copy.source) => {
                let _settled = self.settled_if_waiting(&copy.bucket, &copy.key).await?;
                self.upstream.writes.copy(copy, quota).await
            }
            _ => Err(source_changed()),
        }
    }

    /// Of a source that is not yet upstream: its bytes are shared.
    async fn copy_waiting(self: &Arc<Self>, copy: CopyObject, source: SharedObject, quota: Quota) -> Result<Written> {
        let mut received =
            self.local.hand_on(&copy.source_bucket, &copy.source_key, source.generation).await?.ok_or_else(source_changed)?;
        if let Some(algorithm) = copy.checksum {
            received.checksum = received.checksum_of(algorithm).await?;
        }
        let CopyObject { bucket, key, owner, acl, headers, tags, encryption, lock, conditions, .. } = copy;
        let put = PutObject { bucket, key, owner, acl, headers, tags, encryption, lock, conditions, received };
        let written = self.put(put, quota).await?;
        Ok(Written { dedup: Dedup::Hit, ..written })
    }

    /// Where something may wait for the key, an operation that is done upstream comes after it.
    pub(super) async fn settled_if_waiting(self: &Arc<Self>, bucket: &BucketName, key: &ObjectKey) -> Result<Option<(Held, Held)>> {
        if self.is_back(bucket) || self.waiting.in_bucket(bucket) { self.settled(bucket, key).await.map(Some) } else { Ok(None) }
    }

    async fn check(&self, conditions: &WriteConditions, bucket: &BucketName, key: &ObjectKey, old: Option<&Entry>) -> Result<()> {
        if conditions.is_empty() {
            return Ok(());
        }
        let current = match old {
            Some(Entry::Delete(_)) => None,
            Some(Entry::Object(row)) => Some(row.clone()),
            None => self.upstream.reads.stat(ObjectRef::current(bucket, key), Freshness::Current).await?,
        };
        conditions.check(current.as_deref())
    }

    /// Room for it, until it waits.
    async fn admit(&self, put: &PutObject, quota: Quota, old: Option<&Entry>) -> Result<Option<Admitted>> {
        let Some(tally) = &self.tally else {
            self.check_quota(&put.owner, quota, put.received.size, old).await?;
            return Ok(None);
        };
        let share = |owner: &TenantId, size| Share { owner: owner.clone(), load: Load::object(size) };
        let comes = Some(share(&put.owner, put.received.size));
        let goes = old.map(|old| share(&old.row().owner, old.row().size));
        let change = Change { bucket: put.bucket.clone(), key: put.key.clone(), comes, goes, is_sure: true };
        tally.admit(&change, quota).await.map(Some)
    }

    pub(super) fn waits(&self, bucket: &BucketName, entry: &Entry) {
        if let Some(tally) = &self.tally {
            tally.waits(&entry.row().owner, bucket, room_of(entry));
        }
    }

    pub(super) fn waits_no_more(&self, bucket: &BucketName, entry: &Entry) {
        if let Some(tally) = &self.tally {
            tally.waits(&entry.row().owner, bucket, Room::default().minus(room_of(entry)));
        }
    }

    /// By what is here and upstream together. What replaces an object upstream counts twice until it is stored.
    async fn check_quota(&self, owner: &TenantId, quota: Quota, size: u64, old: Option<&Entry>) -> Result<()> {
        if !quota.is_some() {
            return Ok(());
        }
        let replaced = old.map(Entry::row).filter(|row| row.owner == *owner);
        let (bytes, objects) = replaced.map_or((0, 0), |row| (row.size, 1));
        quota.check(self.usage(owner).await?, i128::from(size) - i128::from(bytes), 1 - objects)
    }

    /// Under the key's lock: makes the entry, and its job.
    async fn keep(self: &Arc<Self>, put: PutObject, old: Option<Entry>) -> Result<Written> {
        let (bucket, key) = (put.bucket.clone(), put.key.clone());
        let charge = self.waiting.charge(&bucket, put.received.size, old.as_ref().map(|old| old.row().size))?;
        self.ensure_bucket(&bucket).await?;
        // Decided already, against more than this store knows.
        let put = PutObject { conditions: WriteConditions::default(), ..put };
        let written = self.local.put(put, Quota::default()).await?;
        charge.keep();
        let entry = Entry::of_row(written.object.clone());
        self.waits(&bucket, &entry);
        if let Some(old) = old {
            self.waiting.gone(&bucket, old.row().size);
            self.waits_no_more(&bucket, &old);
        }
        self.enqueue(&bucket, &key, &entry).await?;
        if self.missed.load(Ordering::Acquire) {
            // The queue takes jobs again.
            let back = WriteBack(self.clone());
            tokio::spawn(async move { back.take_up().await });
        }
        Ok(Written { object: shown(&written.object), ..written })
    }

    /// The overlay's store knows a bucket by its name alone.
    async fn ensure_bucket(&self, name: &BucketName) -> Result<()> {
        if self.local.bucket(name).await?.is_some() {
            return Ok(());
        }
        let closing = self.closing.lock().await;
        let there = if closing.contains(name) { None } else { self.bucket(name).await? };
        let Some(there) = there else {
            return Err(Error::new(ErrorKind::NoSuchBucket, "The specified bucket does not exist").detail("BucketName", name.as_str()));
        };
        let bucket = Bucket {
            name: name.clone(),
            owner: TenantId::operator(),
            created: there.created,
            acl: CannedAcl::Private.into(),
            documents: Default::default(),
            generation: 0,
            unknown: Default::default(),
        };
        match self.local.create_bucket(bucket).await {
            Err(e) if e.kind() != ErrorKind::BucketAlreadyOwnedByYou => Err(e),
            _ => Ok(()),
        }
    }
}

/// A delete that waits takes none: what it deletes is counted where it is.
fn room_of(entry: &Entry) -> Room {
    Room { bytes: i64::try_from(entry.row().size).unwrap_or(i64::MAX), objects: i64::from(!entry.is_delete()) }
}

fn source_changed() -> Error {
    Error::new(ErrorKind::OperationAborted, "The copy source was changed while it was copied. Please try again.")
}
