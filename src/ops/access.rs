//! What `auth` decides from: the bucket with its owner and policy, the object with its owner and ACL, an upload's initiator.
//! Called by the doors before there is a Grant; what it returns must not reach an answer unless a Grant follows.

use crate::base::digest::Sha256;
use crate::base::error::{ErrorKind, Result};
use crate::base::names::{BucketName, ObjectKey, TenantId, UploadId};
use crate::base::object::{SharedBucket, SharedObject, Upload};
use crate::base::object_ref::ObjectRef;
use crate::base::tags::Tags;
use crate::base::versions::Marker;
use crate::ops::Ops;
use crate::origin::Freshness;

impl Ops {
    pub async fn bucket_for_decision(&self, name: &BucketName) -> Result<Option<SharedBucket>> {
        match self.origin.buckets.bucket_hot(name) {
            Some(bucket) => Ok(Some(bucket)),
            None => self.origin.buckets.bucket(name).await,
        }
    }

    /// None also where the version that is named never was: who may know that is decided with the rest.
    pub async fn object_for_decision(&self, of: ObjectRef<'_>, freshness: Freshness) -> Result<Option<SharedObject>> {
        match self.look(of, freshness).await {
            Err(e) if e.kind() == ErrorKind::NoSuchVersion => Ok(None),
            looked => looked,
        }
    }

    /// The delete marker that is meant, where no object was found.
    pub async fn marker_for_decision(&self, of: ObjectRef<'_>) -> Result<Option<Marker>> {
        match self.origin.reads.marker(of).await {
            Err(e) if e.kind() == ErrorKind::NoSuchVersion => Ok(None),
            asked => asked,
        }
    }

    /// The same, where it is known without waiting.
    pub fn hot_object_for_decision(&self, of: ObjectRef<'_>, freshness: Freshness) -> Option<SharedObject> {
        self.origin.reads.stat_hot(of, freshness)
    }

    /// For policies that look at them. None: the version was replaced meanwhile.
    pub async fn tags_for_decision(&self, of: ObjectRef<'_>, object: &SharedObject) -> Result<Option<Tags>> {
        self.origin.reads.tags(of, object).await
    }

    /// Where the tenant has an object of this content. A hint: look whether it is still so.
    pub async fn content_for_decision(&self, tenant: &TenantId, sha256: &Sha256) -> Result<Option<(BucketName, ObjectKey)>> {
        self.origin.reads.find_content(tenant, sha256).await
    }

    pub async fn upload_for_decision(&self, bucket: &BucketName, key: &ObjectKey, id: &UploadId) -> Result<Option<Upload>> {
        match self.origin.uploads.upload(bucket, key, id).await {
            Ok(upload) => Ok(Some(upload)),
            Err(e) if e.kind() == ErrorKind::NoSuchUpload => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Whether the gateway can do its work; for the health doors.
    pub async fn ready(&self) -> Result<()> {
        self.origin.control.ready().await
    }
}
