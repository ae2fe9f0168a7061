//! Writes of whole objects: put, copy, delete. What they depend on (preconditions, quota, existence of the bucket)
//! is decided by the origin, atomically with the write.

use crate::auth::action::Action;
use crate::auth::grant::Grant;
use crate::base::bucket_lock::BucketLock;
use crate::base::checksum::ChecksumAlgorithm;
use crate::base::conditions::WriteConditions;
use crate::base::encryption::Encryption;
use crate::base::error::{Error, Result};
use crate::base::lock::{Lock, LockAsked, Retention};
use crate::base::object::{Acl, ObjectHeaders, SharedObject, Upload};
use crate::base::object_ref::ObjectRef;
use crate::base::storable;
use crate::base::tags::Tags;
use crate::base::timestamp::Timestamp;
use crate::ingest::{Expect, Received, Staging};
use crate::ops::changes::What;
use crate::ops::deed::Act;
use crate::ops::{Ops, object};
use crate::origin::{Announced, CopyObject, Delete, Deleted, PutObject, Restore, Restored, Written, no_lock_configuration};

/// What the writer of a new version asks to be locked, each with the right to do it.
#[derive(Debug, Clone, Default)]
pub struct GrantedLock {
    pub retention: Option<(Grant, Retention)>,
    pub legal_hold: Option<(Grant, bool)>,
}

impl GrantedLock {
    /// For what is made under `of`.
    fn asked(&self, of: ObjectRef<'_>) -> Result<LockAsked> {
        let check = |grant: &Grant, action| match object(grant, &[action])? {
            granted if granted == of => Ok(()),
            _ => Err(Error::internal("a lock was granted for another object than the one that is made")),
        };
        if let Some((grant, _)) = &self.retention {
            check(grant, Action::PutObjectRetention)?;
        }
        if let Some((grant, _)) = &self.legal_hold {
            check(grant, Action::PutObjectLegalHold)?;
        }
        Ok(LockAsked { retention: self.retention.as_ref().map(|(_, r)| *r), legal_hold: self.legal_hold.as_ref().map(|(_, on)| *on) })
    }
}

/// What is said of an object that is about to be made, beside its bytes.
#[derive(Debug, Clone, Default)]
pub struct NewObject {
    pub acl: Acl,
    pub headers: ObjectHeaders,
    pub tags: Tags,
    pub lock: GrantedLock,
    /// As `Ops::encryption_of_new` says.
    pub encryption: Option<Encryption>,
}

impl Ops {
    /// As the store keeps it: where it has no classes, none is told of.
    pub(super) fn kept_headers(&self, headers: ObjectHeaders) -> ObjectHeaders {
        if self.origin.has_classes { headers } else { ObjectHeaders { storage_class: None, ..headers } }
    }

    /// The lock of what is made under `of`: as its writer asks, or else as the bucket keeps what is new. An upload is not made before
    /// it is completed.
    pub(super) async fn lock_of_new(&self, of: ObjectRef<'_>, granted: &GrantedLock, from: Option<Timestamp>) -> Result<Lock> {
        let asked = granted.asked(of)?;
        match self.origin.buckets.bucket(of.bucket).await?.map(|bucket| bucket.object_lock()).transpose()?.flatten() {
            None if asked == LockAsked::default() => Ok(Lock::default()),
            None => Err(no_lock_configuration()),
            Some(BucketLock { default }) => {
                let by_default = default.zip(from).map(|(default, from)| default.from(from));
                Ok(Lock { retention: asked.retention.or(by_default), ..asked.lock() })
            }
        }
    }

    /// Where a body is staged of which no more is known than what it will be encrypted with.
    pub fn staging_encrypted(&self, grant: &Grant, new: &NewObject) -> Staging {
        self.origin.intake.staging_under(grant.tenant(), new.encryption.as_ref())
    }

    /// Where a part of the upload is staged.
    pub fn staging_for_part(&self, upload: &Upload) -> Staging {
        self.origin.intake.staging_under(&upload.owner, upload.encryption.as_ref())
    }

    /// Where the grant's tenant may stage a body.
    pub fn staging(&self, grant: &Grant) -> Staging {
        self.origin.intake.staging(grant.tenant())
    }

    /// Where the body of a PUT is staged, of which so much is known: if it can be kept.
    pub async fn staging_for(&self, grant: &Grant, new: &NewObject, conditions: &WriteConditions, expect: &Expect) -> Result<Staging> {
        let ObjectRef { bucket, key, .. } = object(grant, &[Action::PutObject])?;
        let (length, sha256, algorithm) = (expect.length, expect.declared_sha256(), expect.algorithm());
        let (owner, _) = grant.becomes(&new.acl)?;
        self.require_storable(grant, &new.headers, &new.tags, &new.acl).await?;
        self.require_room(grant, &new.acl, length).await?;
        let NewObject { acl, headers, tags, lock: _, encryption } = new;
        let encryption = encryption.as_ref();
        let put = Announced { bucket, key, owner, acl, headers, tags, encryption, conditions, length, sha256, algorithm };
        Ok(self.origin.intake.staging_for(&put))
    }

    pub async fn put(&self, grant: &Grant, new: NewObject, conditions: WriteConditions, received: Received) -> Result<Written> {
        let of @ ObjectRef { bucket, key, .. } = object(grant, &[Action::PutObject])?;
        let NewObject { acl, headers, tags, lock, encryption } = new;
        let (owner, quota) = grant.becomes(&acl)?;
        self.require_storable(grant, &headers, &tags, &acl).await?;
        let lock = self.lock_of_new(of, &lock, Some(Timestamp::now())).await?;
        let passed = self.require_passed(of, &headers, encryption.as_ref(), &received).await?;
        let (bucket, key, owner) = (bucket.clone(), key.clone(), owner.clone());
        let headers = self.kept_headers(headers);
        let paying = owner.clone();
        let put = PutObject { bucket, key, owner, acl, headers, tags, encryption, lock, conditions, received };
        let writes = self.origin.writes.clone();
        let act = if grant.asked().is_some_and(|asked| asked.by_form) { Act::Post } else { Act::Put };
        let written = self.told(grant, What::Content, act, async move { writes.put(put, quota).await }).await;
        let written = written.inspect_err(|e| self.note_limit(e, Some(&paying), grant.bucket()))?;
        Ok(Written { object: self.keep_passed(of, &written.object, passed).await, ..written })
    }

    /// `source_grant` is the right to read what is copied; `checksum` is what the copy gets in place of its source's.
    pub async fn copy(
        &self,
        grant: &Grant,
        source_grant: &Grant,
        source: SharedObject,
        new: NewObject,
        conditions: WriteConditions,
        checksum: Option<ChecksumAlgorithm>,
    ) -> Result<Written> {
        let of @ ObjectRef { bucket, key, .. } = object(grant, &[Action::PutObject])?;
        let NewObject { acl, headers, tags, lock, encryption } = new;
        let from = object(source_grant, &[Action::GetObject])?.to_owned();
        self.require_whole(of, &headers)?;
        self.note_read(&from.bucket, &from.key);
        let (owner, quota) = grant.becomes(&acl)?;
        self.require_storable(grant, &headers, &tags, &acl).await?;
        self.require_room(grant, &acl, Some(source.size)).await?;
        let lock = self.lock_of_new(of, &lock, Some(Timestamp::now())).await?;
        let copy = CopyObject {
            source_bucket: from.bucket,
            source_key: from.key,
            source_version: from.version,
            source,
            bucket: bucket.clone(),
            key: key.clone(),
            owner: owner.clone(),
            acl,
            headers: self.kept_headers(headers),
            tags,
            encryption,
            lock,
            checksum,
            conditions,
        };
        let writes = self.origin.writes.clone();
        let written = self.told(grant, What::Content, Act::Copy, async move { writes.copy(copy, quota).await }).await;
        written.inspect_err(|e| self.note_limit(e, Some(owner), grant.bucket()))
    }

    pub async fn restore(&self, grant: &Grant, wanted: Restore) -> Result<Restored> {
        let of = object(grant, &[Action::RestoreObject])?;
        self.origin.writes.restore(of, wanted).await
    }

    /// Deleting what is not there succeeds, as on S3.
    pub async fn delete(&self, grant: &Grant, delete: Delete) -> Result<Deleted> {
        let of = object(grant, &[Action::DeleteObject])?.to_owned();
        let writes = self.origin.writes.clone();
        self.told(grant, What::Content, Act::Delete, async move { writes.delete(of.object(), delete).await }).await
    }

    /// `bypass`: the grant's tenant may shorten what GOVERNANCE retains, and wants to.
    pub async fn set_retention(&self, grant: &Grant, retention: Option<Retention>, bypass: bool) -> Result<()> {
        let of = object(grant, &[Action::PutObjectRetention])?;
        self.origin.writes.set_retention(of, retention, bypass).await
    }

    pub async fn set_legal_hold(&self, grant: &Grant, on: bool) -> Result<()> {
        let of = object(grant, &[Action::PutObjectLegalHold])?;
        self.origin.writes.set_legal_hold(of, on).await
    }

    /// `headers`: of the object, which the ACL must have room beside.
    pub async fn set_object_acl(&self, grant: &Grant, acl: Acl, headers: &ObjectHeaders) -> Result<()> {
        let of = object(grant, &[Action::PutObjectAcl])?;
        grant.becomes(&acl)?;
        // A canned one takes none.
        if acl.stored_bytes() > 0 {
            storable::check(of.key, headers, &acl, self.writers)?;
        }
        let of = of.to_owned();
        let writes = self.origin.writes.clone();
        self.told(grant, What::Rights, Act::PutAcl, async move { writes.set_object_acl(of.object(), acl).await }).await
    }

    /// None are given by taking all away.
    pub async fn set_tags(&self, grant: &Grant, tags: Tags) -> Result<()> {
        let of = object(grant, &[Action::PutObjectTagging, Action::DeleteObjectTagging])?.to_owned();
        let writes = self.origin.writes.clone();
        let act = if tags.is_empty() { Act::DeleteTags } else { Act::PutTags };
        self.told(grant, What::Tags, act, async move { writes.set_tags(of.object(), tags).await }).await
    }
}
