//! Writes of whole objects: put, copy, delete. What they depend on (preconditions, quota, existence of the bucket)
//! is decided by the origin, atomically with the write.

use crate::auth::action::Action;
use crate::auth::grant::Grant;
use crate::base::conditions::WriteConditions;
use crate::base::error::Result;
use crate::base::lock::Lock;
use crate::base::object::{CannedAcl, ObjectHeaders, SharedObject};
use crate::base::object_ref::ObjectRef;
use crate::ingest::{Expect, Received, Staging};
use crate::ops::changes::What;
use crate::ops::{Ops, object};
use crate::origin::{Announced, CopyObject, Delete, Deleted, PutObject, Restore, Restored, Written};

impl Ops {
    /// Where the grant's tenant may stage a body.
    pub fn staging(&self, grant: &Grant) -> Staging {
        self.origin.intake.staging(grant.tenant())
    }

    /// Where the body of a PUT is staged, of which so much is known: if it can be kept.
    pub async fn staging_for(
        &self,
        grant: &Grant,
        acl: CannedAcl,
        headers: &ObjectHeaders,
        conditions: &WriteConditions,
        expect: &Expect,
    ) -> Result<Staging> {
        let ObjectRef { bucket, key, .. } = object(grant, &[Action::PutObject])?;
        let (length, sha256, algorithm) = (expect.length, expect.declared_sha256(), expect.algorithm());
        let (owner, _) = grant.becomes(acl)?;
        self.require_storable(grant, headers).await?;
        self.require_room(grant, acl, length).await?;
        Ok(self.origin.intake.staging_for(&Announced { bucket, key, owner, acl, headers, conditions, length, sha256, algorithm }))
    }

    pub async fn put(
        &self,
        grant: &Grant,
        acl: CannedAcl,
        headers: ObjectHeaders,
        conditions: WriteConditions,
        received: Received,
    ) -> Result<Written> {
        let ObjectRef { bucket, key, .. } = object(grant, &[Action::PutObject])?;
        let (owner, quota) = grant.becomes(acl)?;
        self.require_storable(grant, &headers).await?;
        let (bucket, key, owner) = (bucket.clone(), key.clone(), owner.clone());
        let put = PutObject { bucket, key, owner, acl, headers, lock: Lock::default(), conditions, received };
        let writes = self.origin.writes.clone();
        self.change(grant, What::Content, async move { writes.put(put, quota).await }).await
    }

    /// `source_grant` is the right to read what is copied.
    pub async fn copy(
        &self,
        grant: &Grant,
        source_grant: &Grant,
        source: SharedObject,
        acl: CannedAcl,
        headers: ObjectHeaders,
        conditions: WriteConditions,
    ) -> Result<Written> {
        let ObjectRef { bucket, key, .. } = object(grant, &[Action::PutObject])?;
        let from = object(source_grant, &[Action::GetObject])?.to_owned();
        let (owner, quota) = grant.becomes(acl)?;
        self.require_storable(grant, &headers).await?;
        self.require_room(grant, acl, Some(source.size)).await?;
        let copy = CopyObject {
            source_bucket: from.bucket,
            source_key: from.key,
            source_version: from.version,
            source,
            bucket: bucket.clone(),
            key: key.clone(),
            owner: owner.clone(),
            acl,
            headers,
            lock: Lock::default(),
            conditions,
        };
        let writes = self.origin.writes.clone();
        self.change(grant, What::Content, async move { writes.copy(copy, quota).await }).await
    }

    pub async fn restore(&self, grant: &Grant, wanted: Restore) -> Result<Restored> {
        let of = object(grant, &[Action::RestoreObject])?;
        self.origin.writes.restore(of, wanted).await
    }

    /// Deleting what is not there succeeds, as on S3.
    pub async fn delete(&self, grant: &Grant, delete: Delete) -> Result<Deleted> {
        let of = object(grant, &[Action::DeleteObject])?.to_owned();
        let writes = self.origin.writes.clone();
        self.change(grant, What::Content, async move { writes.delete(of.object(), delete).await }).await
    }

    pub async fn set_object_acl(&self, grant: &Grant, acl: CannedAcl) -> Result<()> {
        let of = object(grant, &[Action::PutObjectAcl])?.to_owned();
        grant.becomes(acl)?;
        let writes = self.origin.writes.clone();
        self.change(grant, What::Rights, async move { writes.set_object_acl(of.object(), acl).await }).await
    }
}
