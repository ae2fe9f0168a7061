//! Bringing a key's entry upstream. Every write there is conditioned on what was there when it was looked: an earlier attempt
//! that was given up, and whose request comes late, can't undo a later one. (Where upstream then has the very ETag it had
//! before, or nothing again, a request that is late by more than the wait between two attempts could.)

use std::sync::Arc;

use crate::auth::grant::GatewayGrant;
use crate::base::conditions::WriteConditions;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::SharedObject;
use crate::base::object_ref::ObjectRef;
use crate::ops::keyed::Held;
use crate::ops::write_back::entry::{Entry, is_there, only_over};
use crate::ops::write_back::{Overlay, WriteBack};
use crate::origin::{Delete, Freshness, PutObject, Quota, Reads, Writes};

/// How often the key is looked at anew because somebody else wrote it upstream meanwhile.
const TRIES: usize = 4;

/// What became of the version that a job was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Carried {
    /// The object as it is upstream now; None: the delete is done there.
    Stored(Option<SharedObject>),
    /// It is not here any more: it was stored by another's turn.
    Before,
    /// A newer version of the key waits, which has its own job.
    Superseded,
}

/// What no other attempt would change. Named one by one: a job that waits in vain is seen, one that was given up is not brought.
pub fn is_for_good(e: &Error) -> bool {
    use ErrorKind::*;
    matches!(
        e.kind(),
        AccessDenied
            | BadDigest
            | BadRequest
            | EntityTooLarge
            | EntityTooSmall
            | InvalidArgument
            | InvalidBucketName
            | InvalidDigest
            | InvalidRequest
            | InvalidStorageClass
            | InvalidUri
            | KeyTooLong
            | MetadataTooLarge
            | MethodNotAllowed
            | NoSuchBucket
            | NotImplemented
            | QuotaExceeded
    )
}

impl WriteBack {
    /// The right to bring the key's entry upstream: one has it at a time.
    pub async fn turn(&self, bucket: &BucketName, key: &ObjectKey) -> Held {
        self.0.turns.lock(bucket, key).await
    }

    /// Of a version that is not the current one any more there is nothing to carry. None: it is.
    pub async fn is_settled(&self, bucket: &BucketName, key: &ObjectKey, generation: u64) -> Result<Option<Carried>> {
        Ok(match self.0.entry(bucket, key).await? {
            None => Some(Carried::Before),
            Some(entry) if entry.row().generation != generation => Some(Carried::Superseded),
            Some(_) => None,
        })
    }

    /// Brings this version upstream, and forgets it here: it was acknowledged, whatever its writer may do by now.
    pub async fn carry(&self, _: &GatewayGrant, turn: &Held, bucket: &BucketName, key: &ObjectKey, generation: u64) -> Result<Carried> {
        let overlay = &self.0;
        let Some(entry) = overlay.entry(bucket, key).await? else { return Ok(Carried::Before) };
        if entry.row().generation != generation {
            return Ok(Carried::Superseded);
        }
        let Some(stored) = overlay.bring(turn, bucket, key, &entry).await? else { return Ok(Carried::Superseded) };
        let lock = overlay.locks.lock(bucket, key).await;
        overlay.forget(&lock, bucket, key, &entry).await?;
        Ok(Carried::Stored(stored))
    }
}

impl Overlay {
    /// The key for an operation that is done upstream: nothing of it waits here while both are held.
    pub(super) async fn settled(self: &Arc<Self>, bucket: &BucketName, key: &ObjectKey) -> Result<(Held, Held)> {
        let turn = self.turns.lock(bucket, key).await;
        let lock = self.locks.lock(bucket, key).await;
        if let Some(entry) = self.entry(bucket, key).await? {
            // Under the lock nobody replaces it.
            let brought = self.bring(&turn, bucket, key, &entry).await?;
            brought.ok_or_else(|| Error::internal("what waits for a key is gone under its lock"))?;
            self.forget(&lock, bucket, key, &entry).await?;
        }
        Ok((turn, lock))
    }

    /// None: the entry was replaced before it could be read.
    async fn bring(&self, _: &Held, bucket: &BucketName, key: &ObjectKey, entry: &Entry) -> Result<Option<Option<SharedObject>>> {
        let mut conditioned = true;
        for _ in 0..TRIES {
            let before = self.upstream.reads.stat(ObjectRef::current(bucket, key), Freshness::Current).await?;
            if is_there(before.as_deref(), entry) && self.has_its_tags(bucket, key, before.as_ref(), entry).await? {
                return Ok(Some(before));
            }
            let conditions = if conditioned { only_over(before.as_deref()) } else { WriteConditions::default() };
            let done = match entry {
                Entry::Delete(_) => self.upstream.writes.delete(ObjectRef::current(bucket, key), conditions.into()).await.map(|_| None),
                Entry::Object(row) => {
                    let Some(tags) = self.local.tags(ObjectRef::current(bucket, key), row).await? else { return Ok(None) };
                    let Some(received) = self.local.hand_on(bucket, key, row.generation).await? else { return Ok(None) };
                    let put = PutObject {
                        bucket: bucket.clone(),
                        key: key.clone(),
                        owner: row.owner.clone(),
                        acl: row.acl.clone(),
                        headers: row.headers.clone(),
                        tags,
                        encryption: None,
                        lock: row.lock,
                        conditions,
                        received,
                    };
                    // Decided when the write was taken in.
                    self.upstream.writes.put(put, Quota::DECIDED).await.map(|written| Some(written.object))
                }
            };
            match done {
                // Somebody else wrote the key, or an attempt whose answer was lost did.
                Err(e) if matches!(e.kind(), ErrorKind::PreconditionFailed | ErrorKind::NoSuchKey) && conditioned => {}
                // An upstream that knows no conditions: what it has is replaced as it is.
                Err(e) if e.kind() == ErrorKind::NotImplemented && conditioned => conditioned = false,
                other => return other.map(Some),
            }
        }
        Err(Error::new(ErrorKind::OperationAborted, "The key is changed upstream faster than it can be written."))
    }

    /// Of a key whose object is upstream already.
    async fn has_its_tags(&self, bucket: &BucketName, key: &ObjectKey, there: Option<&SharedObject>, entry: &Entry) -> Result<bool> {
        let (Some(there), Entry::Object(row)) = (there, entry) else { return Ok(true) };
        if row.tag_count == Some(0) && there.tag_count == Some(0) {
            return Ok(true);
        }
        let of = ObjectRef::current(bucket, key);
        Ok(self.local.tags(of, row).await? == self.upstream.reads.tags(of, there).await?)
    }

    /// Takes the entry away, if it is still that version.
    async fn forget(&self, _: &Held, bucket: &BucketName, key: &ObjectKey, entry: &Entry) -> Result<()> {
        let _no_snapshot = self.forgetting.read().await;
        let current = self.entry(bucket, key).await?;
        if current.is_some_and(|c| c.row().generation == entry.row().generation) {
            self.local.delete(ObjectRef::current(bucket, key), Delete::default()).await?;
            self.waiting.gone(bucket, entry.row().size);
            self.waits_no_more(bucket, entry);
        }
        Ok(())
    }
}
