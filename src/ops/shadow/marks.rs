//! Marks of deletes: keys that the old store has and that are not shown any more.
//!
//! They lie in the origin itself, so that every node over it sees them: each is an empty object of that key, in a bucket that is
//! hidden as long as the configuration names the old store. It is the operator's, and may be deleted when that is over.

use bytes::Bytes;
use sha2::Digest as _;

use crate::base::checksum::ChecksumAlgorithm;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::lock::Lock;
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::object::{Bucket, CannedAcl, ObjectHeaders};
use crate::base::object_ref::ObjectRef;
use crate::base::tags::Tags;
use crate::base::timestamp::Timestamp;
use crate::ingest::{Expect, receive};
use crate::ops::reading::Reading;
use crate::ops::shadow::{Inner, Shadow};
use crate::origin::{Body, Buckets, Freshness, PutObject, Quota};

/// Of a hash: no two buckets have the same.
const DIGITS: usize = 32;

/// The bucket that holds the marks of `bucket`.
pub fn bucket_of_marks(bucket: &BucketName) -> Result<BucketName> {
    let digest = hex::encode(sha2::Sha256::digest(bucket.as_str().as_bytes()));
    BucketName::parse(&format!("tidegate-deleted-{}", &digest[..DIGITS]))
}

/// Makes it, where it is not there.
pub async fn ensure(buckets: &dyn Buckets, marks: &BucketName) -> Result<()> {
    let operator = TenantId::operator();
    let taken = || Error::new(ErrorKind::BucketAlreadyExists, format!("the bucket {marks}, which is for marks of deletes, is a tenant's"));
    match buckets.bucket(marks).await? {
        Some(there) if there.owner == operator => return Ok(()),
        Some(_) => return Err(taken()),
        None => {}
    }
    let bucket = Bucket {
        name: marks.clone(),
        owner: operator,
        created: Timestamp::now(),
        acl: CannedAcl::Private.into(),
        documents: Default::default(),
        generation: 0,
        unknown: Default::default(),
    };
    match buckets.create_bucket(bucket).await {
        // Another node was first.
        Err(e) if e.kind() == ErrorKind::BucketAlreadyOwnedByYou => Ok(()),
        Err(e) if e.kind() == ErrorKind::BucketAlreadyExists => Err(taken()),
        made => made.map(drop),
    }
}

impl Inner {
    pub(super) async fn is_marked(&self, shadow: &Shadow, key: &ObjectKey) -> Result<bool> {
        match self.origin.reads.stat(ObjectRef::current(&shadow.marks, key), Freshness::Current).await {
            // Without them what was deleted would be back.
            Err(e) if e.kind() == ErrorKind::NoSuchBucket => {
                Err(Error::new(ErrorKind::LocalUnavailable, "What was deleted can't be told at the moment. Please try again.").caused_by(e))
            }
            found => Ok(found?.is_some()),
        }
    }

    /// Ok: it is durable.
    pub(super) async fn mark(&self, shadow: &Shadow, key: &ObjectKey) -> Result<()> {
        let owner = TenantId::operator();
        let expect = Expect { length: Some(0), compute: Some(ChecksumAlgorithm::Crc64Nvme), ..Expect::default() };
        let body = std::pin::pin!(Reading(Body::Memory(Bytes::new())));
        let received = receive(body, None, &expect, &self.origin.intake.staging(&owner)).await?;
        let put = PutObject {
            bucket: shadow.marks.clone(),
            key: key.clone(),
            owner,
            acl: CannedAcl::Private.into(),
            headers: ObjectHeaders::default(),
            tags: Tags::default(),
            encryption: None,
            lock: Lock::default(),
            conditions: Default::default(),
            received,
        };
        self.origin.writes.put(put, Quota::default()).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bucket_has_one_of_its_own() {
        let of = |name: &str| bucket_of_marks(&BucketName::parse(name).unwrap()).unwrap();
        assert!(of("media").as_str().starts_with("tidegate-deleted-") && of("media") != of("media2"));
        assert_eq!(of(&"a".repeat(63)), of(&"a".repeat(63)));
    }
}
