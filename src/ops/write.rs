//! Writes of whole objects: put, copy, delete. What they depend on (preconditions, quota, existence of the bucket)
//! is decided by the origin, atomically with the write.

use crate::auth::action::Action;
use crate::auth::grant::Grant;
use crate::base::conditions::WriteConditions;
use crate::base::error::Result;
use crate::base::object::{CannedAcl, ObjectHeaders, SharedObject};
use crate::ingest::{Received, Staging};
use crate::ops::{Ops, object};
use crate::origin::{CopyObject, PutObject, Written};

impl Ops {
    /// Where the grant's tenant may stage a body.
    pub fn staging(&self, grant: &Grant) -> Staging {
        self.origin.staging(grant.tenant())
    }

    pub async fn put(
        &self,
        grant: &Grant,
        acl: CannedAcl,
        headers: ObjectHeaders,
        conditions: WriteConditions,
        received: Received,
    ) -> Result<Written> {
        let (bucket, key) = object(grant, &[Action::PutObject])?;
        let put = PutObject { bucket: bucket.clone(), key: key.clone(), owner: grant.tenant().clone(), acl, headers, conditions, received };
        self.origin.put(put, grant.quota()).await
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
        let (bucket, key) = object(grant, &[Action::PutObject])?;
        let (source_bucket, source_key) = object(source_grant, &[Action::GetObject])?;
        let copy = CopyObject {
            source_bucket: source_bucket.clone(),
            source_key: source_key.clone(),
            source,
            bucket: bucket.clone(),
            key: key.clone(),
            owner: grant.tenant().clone(),
            acl,
            headers,
            conditions,
        };
        self.origin.copy(copy, grant.quota()).await
    }

    /// True: something was deleted. Deleting what is not there succeeds, as on S3.
    pub async fn delete(&self, grant: &Grant, conditions: WriteConditions) -> Result<bool> {
        let (bucket, key) = object(grant, &[Action::DeleteObject])?;
        self.origin.delete(bucket, key, conditions).await
    }

    pub async fn set_object_acl(&self, grant: &Grant, acl: CannedAcl) -> Result<()> {
        let (bucket, key) = object(grant, &[Action::PutObjectAcl])?;
        self.origin.set_object_acl(bucket, key, acl).await
    }
}
