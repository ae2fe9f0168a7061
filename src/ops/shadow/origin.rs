//! `Origin` for an origin of which some buckets have an old store: buckets without one are handed through.

use std::path::Path;

use crate::base::conditions::WriteConditions;
use crate::base::digest::Sha256;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{BucketName, ObjectKey, TenantId, UploadId};
use crate::base::object::{
    Bucket, BucketDocument, CannedAcl, Layer, ListPage, ListQuery, SharedBucket, SharedObject, Upload, UploadedPart,
};
use crate::base::range::ByteRange;
use crate::ingest::{Received, Staging};
use crate::ops::shadow::{Inner, Shadows, Shown};
use crate::origin::{
    Announced, Body, CacheState, CompleteUpload, CopyObject, Deleted, Freshness, Origin, Pending, Prefetch, PutObject, Quota, ReadBy,
    Restore, Restored, UploadsPage, UploadsQuery, Usage, Written,
};

impl Inner {
    /// As the origin's, without the buckets of marks.
    async fn buckets(&self, owner: Option<&TenantId>, prefix: &str, after: &str, max: usize) -> Result<Vec<SharedBucket>> {
        let asked = max.saturating_add(self.all.len());
        let mut found = self.origin.buckets(owner, prefix, after, asked).await?;
        found.retain(|b| !self.is_hidden(&b.name));
        found.truncate(max);
        Ok(found)
    }

    async fn with_parts(&self, bucket: &BucketName, key: &ObjectKey, object: &SharedObject) -> Result<SharedObject> {
        match self.of(bucket).filter(|_| object.layer == Layer::Old) {
            Some(shadow) => shadow.old.with_parts(key, object).await,
            None => self.origin.with_parts(bucket, key, object).await,
        }
    }
}

impl Origin for Shadows {
    fn bucket<'a>(&'a self, name: &'a BucketName) -> Pending<'a, Option<SharedBucket>> {
        if self.0.is_hidden(name) {
            return Box::pin(std::future::ready(Ok(None)));
        }
        self.0.origin.bucket(name)
    }

    fn buckets<'a>(&'a self, owner: Option<&'a TenantId>, prefix: &'a str, after: &'a str, max: usize) -> Pending<'a, Vec<SharedBucket>> {
        Box::pin(self.0.buckets(owner, prefix, after, max))
    }

    fn create_bucket(&self, bucket: Bucket) -> Pending<'_, SharedBucket> {
        if self.0.is_hidden(&bucket.name) {
            let text = "The requested bucket name is not available. Please select a different name and try again.";
            return Box::pin(std::future::ready(Err(Error::new(ErrorKind::BucketAlreadyExists, text))));
        }
        self.0.origin.create_bucket(bucket)
    }

    fn delete_bucket<'a>(&'a self, name: &'a BucketName) -> Pending<'a, ()> {
        Box::pin(self.0.delete_bucket(name))
    }

    fn set_bucket_document<'a>(&'a self, name: &'a BucketName, document: BucketDocument, value: Option<Vec<u8>>) -> Pending<'a, ()> {
        self.0.origin.set_bucket_document(name, document, value)
    }

    fn set_bucket_acl<'a>(&'a self, name: &'a BucketName, acl: CannedAcl) -> Pending<'a, ()> {
        self.0.origin.set_bucket_acl(name, acl)
    }

    /// What only the old store has is copied as soon as somebody looks at it.
    fn stat<'a>(&'a self, bucket: &'a BucketName, key: &'a ObjectKey, freshness: Freshness) -> Pending<'a, Option<SharedObject>> {
        let Some(shadow) = self.0.of(bucket) else { return self.0.origin.stat(bucket, key, freshness) };
        Box::pin(async move {
            match self.0.look(shadow, key, freshness).await? {
                Shown::Nothing => Ok(None),
                Shown::Own(own) => Ok(Some(own)),
                Shown::Old(found) => {
                    shadow.old.gauges.reads.inc();
                    self.0.copy_later(shadow, key);
                    Ok(Some(found.object))
                }
            }
        })
    }

    /// What is hot is the origin's own.
    fn stat_hot(&self, bucket: &BucketName, key: &ObjectKey, freshness: Freshness) -> Option<SharedObject> {
        self.0.origin.stat_hot(bucket, key, freshness)
    }

    fn open<'a>(
        &'a self,
        bucket: &'a BucketName,
        key: &'a ObjectKey,
        object: &'a SharedObject,
        range: ByteRange,
        by: ReadBy,
    ) -> Pending<'a, Option<Body>> {
        match self.0.of(bucket).filter(|_| object.layer == Layer::Old) {
            // Also where it was copied meanwhile: a body begun there is of that version all the same.
            Some(shadow) => Box::pin(shadow.old.open(key, object, range)),
            None => self.0.origin.open(bucket, key, object, range, by),
        }
    }

    fn prefetch(&self, bucket: &BucketName, key: &ObjectKey, range: ByteRange) -> Option<Prefetch> {
        self.0.origin.prefetch(bucket, key, range)
    }

    fn open_hot(&self, bucket: &BucketName, key: &ObjectKey, object: &SharedObject, range: ByteRange, by: ReadBy) -> Option<Body> {
        self.0.origin.open_hot(bucket, key, object, range, by)
    }

    fn with_parts<'a>(&'a self, bucket: &'a BucketName, key: &'a ObjectKey, object: &'a SharedObject) -> Pending<'a, SharedObject> {
        Box::pin(self.0.with_parts(bucket, key, object))
    }

    fn cache_state(&self, bucket: &BucketName, key: &ObjectKey, object: &SharedObject, offset: u64) -> Option<CacheState> {
        self.0.origin.cache_state(bucket, key, object, offset)
    }

    fn find_content<'a>(&'a self, owner: &'a TenantId, sha256: &'a Sha256) -> Pending<'a, Option<(BucketName, ObjectKey)>> {
        self.0.origin.find_content(owner, sha256)
    }

    fn list<'a>(&'a self, bucket: &'a BucketName, query: &'a ListQuery) -> Pending<'a, ListPage> {
        match self.0.of(bucket) {
            Some(shadow) => Box::pin(self.0.list(shadow, query)),
            None => self.0.origin.list(bucket, query),
        }
    }

    fn takes<'a>(&'a self, bucket: &'a BucketName, key: &'a ObjectKey) -> Pending<'a, ()> {
        self.0.origin.takes(bucket, key)
    }

    fn staging(&self, owner: &TenantId) -> Staging {
        self.0.origin.staging(owner)
    }

    fn staging_for(&self, put: &Announced<'_>) -> Staging {
        self.0.origin.staging_for(put)
    }

    fn put(&self, put: PutObject, quota: Quota) -> Pending<'_, Written> {
        Box::pin(self.0.put(put, quota))
    }

    fn copy(&self, copy: CopyObject, quota: Quota) -> Pending<'_, Written> {
        Box::pin(self.0.copy(copy, quota))
    }

    fn delete<'a>(&'a self, bucket: &'a BucketName, key: &'a ObjectKey, conditions: WriteConditions) -> Pending<'a, Deleted> {
        Box::pin(self.0.delete(bucket, key, conditions))
    }

    fn set_object_acl<'a>(&'a self, bucket: &'a BucketName, key: &'a ObjectKey, acl: CannedAcl) -> Pending<'a, ()> {
        Box::pin(async move {
            self.0.bring_if_old(bucket, key).await?;
            self.0.origin.set_object_acl(bucket, key, acl).await
        })
    }

    /// What is archived in the old store can't be brought here before it is restored there.
    fn restore<'a>(&'a self, bucket: &'a BucketName, key: &'a ObjectKey, wanted: Restore) -> Pending<'a, Restored> {
        Box::pin(async move {
            self.0.bring_if_old(bucket, key).await?;
            self.0.origin.restore(bucket, key, wanted).await
        })
    }

    fn create_upload(&self, upload: Upload) -> Pending<'_, Upload> {
        self.0.origin.create_upload(upload)
    }

    fn upload<'a>(&'a self, bucket: &'a BucketName, key: &'a ObjectKey, upload: &'a UploadId) -> Pending<'a, Upload> {
        self.0.origin.upload(bucket, key, upload)
    }

    fn put_part<'a>(&'a self, upload: &'a Upload, number: u16, received: Received, quota: Quota) -> Pending<'a, UploadedPart> {
        self.0.origin.put_part(upload, number, received, quota)
    }

    fn parts<'a>(&'a self, upload: &'a Upload, after: u16, max: usize) -> Pending<'a, (Vec<UploadedPart>, bool)> {
        self.0.origin.parts(upload, after, max)
    }

    fn complete_upload(&self, complete: CompleteUpload, quota: Quota) -> Pending<'_, Written> {
        Box::pin(self.0.complete_upload(complete, quota))
    }

    fn abort_upload<'a>(&'a self, bucket: &'a BucketName, key: &'a ObjectKey, upload: &'a UploadId) -> Pending<'a, ()> {
        self.0.origin.abort_upload(bucket, key, upload)
    }

    fn uploads<'a>(&'a self, bucket: &'a BucketName, query: &'a UploadsQuery) -> Pending<'a, UploadsPage> {
        self.0.origin.uploads(bucket, query)
    }

    fn settings<'a>(&'a self, space: &'a str) -> Pending<'a, Vec<(String, Vec<u8>)>> {
        self.0.origin.settings(space)
    }

    fn add_setting<'a>(&'a self, space: &'a str, name: &'a str, value: Vec<u8>) -> Pending<'a, bool> {
        self.0.origin.add_setting(space, name, value)
    }

    fn set_setting<'a>(&'a self, space: &'a str, name: &'a str, value: Option<Vec<u8>>) -> Pending<'a, ()> {
        self.0.origin.set_setting(space, name, value)
    }

    fn snapshot<'a>(&'a self, directory: &'a Path, rest: Pending<'a, ()>) -> Pending<'a, ()> {
        self.0.origin.snapshot(directory, rest)
    }

    fn usage<'a>(&'a self, tenant: &'a TenantId) -> Pending<'a, Usage> {
        self.0.origin.usage(tenant)
    }

    /// An old store that is away keeps nothing from being served that is here.
    fn ready(&self) -> Pending<'_, ()> {
        self.0.origin.ready()
    }
}
