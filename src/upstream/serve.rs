//! The upstream as an origin: each operation in one line, to where it is done.

use std::path::Path;
use std::sync::Arc;

use aws_sdk_s3::config::retry::RetryConfig;

use crate::base::digest::Sha256;
use crate::base::encryption::Encryption;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::inspection::Inspection;
use crate::base::lock::Retention;
use crate::base::names::{BucketName, ObjectKey, TenantId, UploadId};
use crate::base::object::{Acl, Bucket, BucketDocument, ListPage, ListQuery, SharedBucket, SharedObject, Upload, UploadedPart};
use crate::base::object_ref::{ObjectRef, VersionSelector};
use crate::base::range::ByteRange;
use crate::base::tags::Tags;
use crate::base::versions::{Marker, VersionsPage, VersionsQuery};
use crate::ingest::{Received, Staging};
use crate::origin::{
    Announced, Body, Buckets, CacheState, CompleteUpload, Control, CopyObject, Dedup, Delete, Deleted, Freshness, Inspections, Intake,
    OwnSettings, Pending, Prefetch, PutObject, Quota, ReadBy, Reads, Restore, Restored, Uploads, UploadsPage, UploadsQuery, Usage, Writes,
    Written,
};
use crate::upstream::fault;
use crate::upstream::open::{Inner, Upstream};
use crate::upstream::records::Over;

impl Buckets for Upstream {
    fn bucket<'a>(&'a self, name: &'a BucketName) -> Pending<'a, Option<SharedBucket>> {
        Box::pin(self.0.bucket(name))
    }

    fn buckets<'a>(&'a self, owner: Option<&'a TenantId>, prefix: &'a str, after: &'a str, max: usize) -> Pending<'a, Vec<SharedBucket>> {
        Box::pin(self.0.list_buckets(owner, prefix, after, max))
    }

    fn create_bucket(&self, bucket: Bucket) -> Pending<'_, SharedBucket> {
        Box::pin(self.0.create_bucket(bucket))
    }

    fn delete_bucket<'a>(&'a self, name: &'a BucketName) -> Pending<'a, ()> {
        Box::pin(self.0.delete_bucket(name))
    }

    fn set_bucket_document<'a>(&'a self, name: &'a BucketName, document: BucketDocument, value: Option<Vec<u8>>) -> Pending<'a, ()> {
        Box::pin(self.0.set_bucket_document(name, document, value))
    }

    fn set_bucket_acl<'a>(&'a self, name: &'a BucketName, acl: Acl) -> Pending<'a, ()> {
        Box::pin(self.0.set_bucket_acl(name, acl))
    }
}

impl Reads for Upstream {
    fn stat<'a>(&'a self, of: ObjectRef<'a>, _: Freshness) -> Pending<'a, Option<SharedObject>> {
        Box::pin(self.0.stat(of))
    }

    /// Nothing is known without asking: that is the cache's business.
    fn stat_hot(&self, _: ObjectRef<'_>, _: Freshness) -> Option<SharedObject> {
        None
    }

    fn open<'a>(&'a self, of: ObjectRef<'a>, object: &'a SharedObject, range: ByteRange, _: ReadBy) -> Pending<'a, Option<Body>> {
        Box::pin(self.0.open(of, object, range))
    }

    fn prefetch(&self, of: ObjectRef<'_>, range: ByteRange) -> Option<Prefetch> {
        match of.version {
            VersionSelector::Current if of.unlock.is_none() => self.0.prefetch(of.bucket, of.key, range),
            VersionSelector::Current | VersionSelector::Exact(_) => None,
        }
    }

    fn open_hot(&self, _: ObjectRef<'_>, _: &SharedObject, _: ByteRange, _: ReadBy) -> Option<Body> {
        None
    }

    fn with_parts<'a>(&'a self, of: ObjectRef<'a>, object: &'a SharedObject) -> Pending<'a, SharedObject> {
        Box::pin(self.0.with_parts(of, object))
    }

    fn tags<'a>(&'a self, of: ObjectRef<'a>, object: &'a SharedObject) -> Pending<'a, Option<Tags>> {
        Box::pin(self.0.tags(of, object))
    }

    /// As far as this node knows.
    fn find_content<'a>(&'a self, owner: &'a TenantId, sha256: &'a Sha256) -> Pending<'a, Option<(BucketName, ObjectKey)>> {
        Box::pin(std::future::ready(Ok(self.0.contents.find(owner, sha256))))
    }

    fn list<'a>(&'a self, bucket: &'a BucketName, query: &'a ListQuery) -> Pending<'a, ListPage> {
        Box::pin(self.0.list(bucket, query))
    }

    fn marker<'a>(&'a self, of: ObjectRef<'a>) -> Pending<'a, Option<Marker>> {
        Box::pin(self.0.marker(of))
    }

    fn list_versions<'a>(&'a self, bucket: &'a BucketName, query: &'a VersionsQuery) -> Pending<'a, VersionsPage> {
        Box::pin(self.0.list_versions(bucket, query))
    }

    fn cache_state(&self, _: ObjectRef<'_>, _: &SharedObject, _: u64) -> Option<CacheState> {
        None
    }
}

impl Inspections for Upstream {
    fn inspection<'a>(&'a self, of: ObjectRef<'a>, object: &'a SharedObject) -> Pending<'a, Option<Arc<Inspection>>> {
        Box::pin(self.0.inspection(of, object))
    }

    fn set_inspection<'a>(&'a self, of: ObjectRef<'a>, object: &'a SharedObject, inspection: &'a Inspection) -> Pending<'a, bool> {
        Box::pin(self.0.set_inspection(of, object, inspection))
    }

    fn forget_inspection<'a>(&'a self, of: ObjectRef<'a>) -> Pending<'a, ()> {
        Box::pin(self.0.forget_inspection(of))
    }
}

impl Intake for Upstream {
    fn takes<'a>(&'a self, bucket: &'a BucketName, key: &'a ObjectKey, tags: &'a Tags) -> Pending<'a, ()> {
        Box::pin(async move {
            self.0.tagging(tags)?;
            self.0.writable(bucket, key).await.map(drop)
        })
    }

    fn staging(&self, _: &TenantId) -> Staging {
        self.0.staging.clone()
    }

    fn staging_for(&self, put: &Announced<'_>) -> Staging {
        self.0.staging_for(put)
    }

    fn staging_under(&self, owner: &TenantId, _: Option<&Encryption>) -> Staging {
        self.staging(owner)
    }
}

impl Writes for Upstream {
    fn put(&self, put: PutObject, quota: Quota) -> Pending<'_, Written> {
        Box::pin(self.0.put(put, quota))
    }

    fn copy(&self, copy: CopyObject, quota: Quota) -> Pending<'_, Written> {
        Box::pin(self.0.copy(copy, quota))
    }

    fn delete<'a>(&'a self, of: ObjectRef<'a>, delete: Delete) -> Pending<'a, Deleted> {
        Box::pin(self.0.delete(of, delete))
    }

    fn set_object_acl<'a>(&'a self, of: ObjectRef<'a>, acl: Acl) -> Pending<'a, ()> {
        Box::pin(self.0.set_object_acl(of, acl))
    }

    fn set_tags<'a>(&'a self, of: ObjectRef<'a>, tags: Tags) -> Pending<'a, ()> {
        Box::pin(async move { self.0.set_tags(of, &tags).await })
    }

    fn set_retention<'a>(&'a self, of: ObjectRef<'a>, retention: Option<Retention>, bypass: bool) -> Pending<'a, ()> {
        Box::pin(self.0.set_retention(of, retention, bypass))
    }

    fn set_legal_hold<'a>(&'a self, of: ObjectRef<'a>, on: bool) -> Pending<'a, ()> {
        Box::pin(self.0.set_legal_hold(of, on))
    }

    fn restore<'a>(&'a self, of: ObjectRef<'a>, wanted: Restore) -> Pending<'a, Restored> {
        Box::pin(self.0.restore(of, wanted))
    }

    fn complete_upload(&self, complete: CompleteUpload, quota: Quota) -> Pending<'_, Written> {
        Box::pin(async move { Ok(Written { object: self.0.complete_upload(complete, quota).await?, dedup: Dedup::Miss }) })
    }
}

impl Uploads for Upstream {
    fn create_upload(&self, upload: Upload) -> Pending<'_, Upload> {
        Box::pin(self.0.create_upload(upload))
    }

    fn upload<'a>(&'a self, bucket: &'a BucketName, key: &'a ObjectKey, upload: &'a UploadId) -> Pending<'a, Upload> {
        Box::pin(self.0.upload(bucket, key, upload))
    }

    fn put_part<'a>(&'a self, upload: &'a Upload, number: u16, received: Received, _: Quota) -> Pending<'a, UploadedPart> {
        Box::pin(self.0.put_part(upload, number, received))
    }

    fn parts<'a>(&'a self, upload: &'a Upload, after: u16, max: usize) -> Pending<'a, (Vec<UploadedPart>, bool)> {
        Box::pin(self.0.parts(upload, after, max))
    }

    fn abort_upload<'a>(&'a self, bucket: &'a BucketName, key: &'a ObjectKey, upload: &'a UploadId) -> Pending<'a, ()> {
        Box::pin(self.0.abort_upload(bucket, key, upload))
    }

    fn uploads<'a>(&'a self, bucket: &'a BucketName, query: &'a UploadsQuery) -> Pending<'a, UploadsPage> {
        Box::pin(self.0.list_uploads(bucket, query))
    }
}

impl OwnSettings for Upstream {
    fn settings<'a>(&'a self, space: &'a str) -> Pending<'a, Vec<(String, Vec<u8>)>> {
        Box::pin(async move { self.0.records(&format!("settings/{space}/")).await })
    }

    fn set_setting<'a>(&'a self, space: &'a str, name: &'a str, value: Option<Vec<u8>>) -> Pending<'a, ()> {
        let path = format!("settings/{space}/{name}");
        Box::pin(async move {
            match value {
                Some(value) => self.0.put_record(&path, &value, Over::Anything).await.map(drop),
                None => self.0.delete_record(&path).await,
            }
        })
    }

    fn add_setting<'a>(&'a self, space: &'a str, name: &'a str, value: Vec<u8>) -> Pending<'a, bool> {
        let path = format!("settings/{space}/{name}");
        Box::pin(async move {
            match self.0.put_record(&path, &value, Over::Nothing).await {
                Ok(_) => Ok(true),
                Err(e) if e.kind() == ErrorKind::PreconditionFailed => Ok(false),
                Err(e) => Err(e),
            }
        })
    }
}

impl Control for Upstream {
    fn snapshot<'a>(&'a self, _: &'a Path, _: Pending<'a, ()>) -> Pending<'a, ()> {
        let text = "What is stored is in the bucket upstream: copy that (versioning, replication, `tidegate export`).";
        Box::pin(std::future::ready(Err(Error::new(ErrorKind::NotImplemented, text))))
    }

    /// Not counted here: see `counting`.
    fn usage<'a>(&'a self, _: &'a TenantId) -> Pending<'a, Usage> {
        Box::pin(std::future::ready(Ok(Usage::default())))
    }

    fn ready(&self) -> Pending<'_, ()> {
        Box::pin(self.0.ready())
    }
}

impl Inner {
    /// One try: a health check that waits for retries tells nothing.
    async fn ready(&self) -> Result<()> {
        self.staging.require_room()?;
        let once = aws_sdk_s3::config::Builder::new().retry_config(RetryConfig::disabled());
        let head = self.client.head_bucket().bucket(self.map.home()).customize().config_override(once);
        head.send().await.map(drop).map_err(fault::of)
    }
}
