//! `Origin` for an origin with replicas: reads fail over, writes record what they are about to change, the rest is handed through.

use std::path::Path;
use std::sync::Arc;

use crate::base::conditions::WriteConditions;
use crate::base::digest::Sha256;
use crate::base::error::{Error, Result};
use crate::base::names::{BucketName, ObjectKey, TenantId, UploadId};
use crate::base::object::{
    Bucket, BucketDocument, CannedAcl, Layer, ListPage, ListQuery, SharedBucket, SharedObject, Upload, UploadedPart,
};
use crate::base::range::ByteRange;
use crate::ingest::{Received, Staging};
use crate::ops::replicas::{Inner, Replicas};
use crate::origin::{
    Announced, Body, CacheState, CompleteUpload, CopyObject, Deleted, Freshness, Origin, Pending, Prefetch, PutObject, Quota, ReadBy,
    Restore, Restored, UploadsPage, UploadsQuery, Usage, Written,
};
use crate::upstream::place;

impl Inner {
    /// Carries out a write once it is recorded what it is about to change. Begun, it runs to its end, also where its client
    /// goes away: until then the key counts as being written.
    async fn writing<T: Send + 'static>(
        self: &Arc<Self>,
        bucket: BucketName,
        key: Option<ObjectKey>,
        write: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.require_origin()?;
        if !self.is_replicated(&bucket, key.as_ref()) {
            return self.judged(write.await);
        }
        let inner = self.clone();
        let written = tokio::spawn(async move {
            let _under_way = inner.under_way.enter(&bucket, key.as_ref());
            inner.intend(&bucket, key.as_ref()).await?;
            inner.judged(write.await)
        });
        written.await.map_err(Error::internal)?
    }
}

impl Origin for Replicas {
    fn bucket<'a>(&'a self, name: &'a BucketName) -> Pending<'a, Option<SharedBucket>> {
        Box::pin(self.0.bucket(name))
    }

    fn buckets<'a>(&'a self, owner: Option<&'a TenantId>, prefix: &'a str, after: &'a str, max: usize) -> Pending<'a, Vec<SharedBucket>> {
        Box::pin(self.0.buckets(owner, prefix, after, max))
    }

    fn create_bucket(&self, bucket: Bucket) -> Pending<'_, SharedBucket> {
        let (origin, name) = (self.0.origin.clone(), bucket.name.clone());
        Box::pin(self.0.writing(name, None, async move { origin.create_bucket(bucket).await }))
    }

    fn delete_bucket<'a>(&'a self, name: &'a BucketName) -> Pending<'a, ()> {
        let (origin, gone) = (self.0.origin.clone(), name.clone());
        Box::pin(self.0.writing(name.clone(), None, async move { origin.delete_bucket(&gone).await }))
    }

    fn set_bucket_document<'a>(&'a self, name: &'a BucketName, document: BucketDocument, value: Option<Vec<u8>>) -> Pending<'a, ()> {
        let (origin, of) = (self.0.origin.clone(), name.clone());
        Box::pin(self.0.writing(name.clone(), None, async move { origin.set_bucket_document(&of, document, value).await }))
    }

    fn set_bucket_acl<'a>(&'a self, name: &'a BucketName, acl: CannedAcl) -> Pending<'a, ()> {
        let (origin, of) = (self.0.origin.clone(), name.clone());
        Box::pin(self.0.writing(name.clone(), None, async move { origin.set_bucket_acl(&of, acl).await }))
    }

    fn stat<'a>(&'a self, bucket: &'a BucketName, key: &'a ObjectKey, freshness: Freshness) -> Pending<'a, Option<SharedObject>> {
        Box::pin(self.0.stat(bucket, key, freshness))
    }

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
        Box::pin(self.0.open(bucket, key, object, range, by))
    }

    fn prefetch(&self, bucket: &BucketName, key: &ObjectKey, range: ByteRange) -> Option<Prefetch> {
        if self.0.breaker.is_open() { None } else { self.0.origin.prefetch(bucket, key, range) }
    }

    fn open_hot(&self, bucket: &BucketName, key: &ObjectKey, object: &SharedObject, range: ByteRange, by: ReadBy) -> Option<Body> {
        self.0.origin.open_hot(bucket, key, object, range, by)
    }

    fn with_parts<'a>(&'a self, bucket: &'a BucketName, key: &'a ObjectKey, object: &'a SharedObject) -> Pending<'a, SharedObject> {
        self.0.origin.with_parts(bucket, key, object)
    }

    fn cache_state(&self, bucket: &BucketName, key: &ObjectKey, object: &SharedObject, offset: u64) -> Option<CacheState> {
        match object.layer {
            Layer::Replica(_) => Some(CacheState::Stale),
            Layer::Store | Layer::WriteBack | Layer::Old => self.0.origin.cache_state(bucket, key, object, offset),
        }
    }

    fn find_content<'a>(&'a self, owner: &'a TenantId, sha256: &'a Sha256) -> Pending<'a, Option<(BucketName, ObjectKey)>> {
        self.0.origin.find_content(owner, sha256)
    }

    fn list<'a>(&'a self, bucket: &'a BucketName, query: &'a ListQuery) -> Pending<'a, ListPage> {
        Box::pin(self.0.list(bucket, query))
    }

    fn takes<'a>(&'a self, bucket: &'a BucketName, key: &'a ObjectKey) -> Pending<'a, ()> {
        Box::pin(async move {
            for target in self.0.targets.iter().filter(|t| t.covers(bucket, Some(key))) {
                place::takes_copy(&target.settings.upstream, bucket, key)?;
            }
            self.0.origin.takes(bucket, key).await
        })
    }

    fn staging(&self, owner: &TenantId) -> Staging {
        self.0.origin.staging(owner)
    }

    fn staging_for(&self, put: &Announced<'_>) -> Staging {
        self.0.origin.staging_for(put)
    }

    fn put(&self, put: PutObject, quota: Quota) -> Pending<'_, Written> {
        let (origin, bucket, key) = (self.0.origin.clone(), put.bucket.clone(), put.key.clone());
        Box::pin(self.0.writing(bucket, Some(key), async move { origin.put(put, quota).await }))
    }

    fn copy(&self, copy: CopyObject, quota: Quota) -> Pending<'_, Written> {
        let (origin, bucket, key) = (self.0.origin.clone(), copy.bucket.clone(), copy.key.clone());
        Box::pin(self.0.writing(bucket, Some(key), async move { origin.copy(copy, quota).await }))
    }

    fn delete<'a>(&'a self, bucket: &'a BucketName, key: &'a ObjectKey, conditions: WriteConditions) -> Pending<'a, Deleted> {
        let (origin, of, gone) = (self.0.origin.clone(), bucket.clone(), key.clone());
        let write = async move { origin.delete(&of, &gone, conditions).await };
        Box::pin(self.0.writing(bucket.clone(), Some(key.clone()), write))
    }

    fn set_object_acl<'a>(&'a self, bucket: &'a BucketName, key: &'a ObjectKey, acl: CannedAcl) -> Pending<'a, ()> {
        let (origin, of, changed) = (self.0.origin.clone(), bucket.clone(), key.clone());
        let write = async move { origin.set_object_acl(&of, &changed, acl).await };
        Box::pin(self.0.writing(bucket.clone(), Some(key.clone()), write))
    }

    fn create_upload(&self, upload: Upload) -> Pending<'_, Upload> {
        Box::pin(async move {
            self.0.require_origin()?;
            self.0.origin.create_upload(upload).await
        })
    }

    fn upload<'a>(&'a self, bucket: &'a BucketName, key: &'a ObjectKey, upload: &'a UploadId) -> Pending<'a, Upload> {
        self.0.origin.upload(bucket, key, upload)
    }

    fn put_part<'a>(&'a self, upload: &'a Upload, number: u16, received: Received, quota: Quota) -> Pending<'a, UploadedPart> {
        Box::pin(async move {
            self.0.require_origin()?;
            self.0.origin.put_part(upload, number, received, quota).await
        })
    }

    fn parts<'a>(&'a self, upload: &'a Upload, after: u16, max: usize) -> Pending<'a, (Vec<UploadedPart>, bool)> {
        self.0.origin.parts(upload, after, max)
    }

    fn complete_upload(&self, complete: CompleteUpload, quota: Quota) -> Pending<'_, Written> {
        let (origin, bucket, key) = (self.0.origin.clone(), complete.bucket.clone(), complete.key.clone());
        Box::pin(self.0.writing(bucket, Some(key), async move { origin.complete_upload(complete, quota).await }))
    }

    fn abort_upload<'a>(&'a self, bucket: &'a BucketName, key: &'a ObjectKey, upload: &'a UploadId) -> Pending<'a, ()> {
        self.0.origin.abort_upload(bucket, key, upload)
    }

    fn uploads<'a>(&'a self, bucket: &'a BucketName, query: &'a UploadsQuery) -> Pending<'a, UploadsPage> {
        self.0.origin.uploads(bucket, query)
    }

    /// Changes nothing that a replica has.
    fn restore<'a>(&'a self, bucket: &'a BucketName, key: &'a ObjectKey, wanted: Restore) -> Pending<'a, Restored> {
        self.0.origin.restore(bucket, key, wanted)
    }

    fn add_setting<'a>(&'a self, space: &'a str, name: &'a str, value: Vec<u8>) -> Pending<'a, bool> {
        self.0.origin.add_setting(space, name, value)
    }

    fn settings<'a>(&'a self, space: &'a str) -> Pending<'a, Vec<(String, Vec<u8>)>> {
        self.0.origin.settings(space)
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

    fn ready(&self) -> Pending<'_, ()> {
        Box::pin(async move {
            match self.0.origin.ready().await {
                // Reads are answered.
                Err(_) if self.has_failed_over() => Ok(()),
                ready => ready,
            }
        })
    }
}
