//! What `auth` decides from: the bucket with its owner and policy, the object with its owner and ACL.
//! Called by the doors before there is a Grant; what it returns must not reach an answer unless a Grant follows.

use crate::base::error::Result;
use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::{SharedBucket, SharedObject};
use crate::ops::Ops;

impl Ops {
    pub async fn bucket_for_decision(&self, name: &BucketName) -> Result<Option<SharedBucket>> {
        self.origin.bucket(name).await
    }

    pub async fn object_for_decision(&self, bucket: &BucketName, key: &ObjectKey) -> Result<Option<SharedObject>> {
        match self.origin.stat_hot(bucket, key) {
            Some(object) => Ok(Some(object)),
            None => self.origin.stat(bucket, key).await,
        }
    }

    /// Whether the gateway can do its work; for the health doors.
    pub async fn ready(&self) -> Result<()> {
        self.origin.ready().await
    }
}
