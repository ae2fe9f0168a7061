//! What replicas change of an origin: reads fail over, and writes are refused while it is away.

use std::path::Path;
use std::sync::Arc;

use crate::base::digest::Sha256;
use crate::base::encryption::Encryption;
use crate::base::error::Result;
use crate::base::lock::Retention;
use crate::base::names::{BucketName, ObjectKey, TenantId, UploadId};
use crate::base::object::{Acl, Bucket, BucketDocument, Layer, ListPage, ListQuery, SharedBucket, SharedObject, Upload, UploadedPart};
use crate::base::object_ref::ObjectRef;
use crate::base::range::ByteRange;
use crate::base::tags::Tags;
use crate::base::usage::{RunDays, RunDaysQuery, StoredPage, StoredQuery};
use crate::base::versions::{Marker, VersionsPage, VersionsQuery};
use crate::ingest::{Received, Staging};
use crate::ops::replicas::{Inner, Replicas};
use crate::origin::{
    Announced, Body, Buckets, CacheState, CompleteUpload, Control, CopyObject, Delete, Deleted, Freshness, Intake, Origin, Pending,
    Prefetch, PutObject, Quota, ReadBy, Reads, Restore, Restored, Uploads, UploadsPage, UploadsQuery, Usage, Writes, Written,
};
use crate::upstream::place;

impl Inner {
    /// Carries out a write, unless the origin is known to be away.
    async fn writing<T>(self: &Arc<Self>, write: impl Future<Output = Result<T>>) -> Result<T> {
        self.require_origin()?;
        self.judged(write.await)
    }
}

impl Replicas {
    /// What it stands over, with what it changes.
    pub fn origin(&self) -> Origin {
        let this = Arc::new(self.clone());
        Origin {
            buckets: this.clone(),
            reads: this.clone(),
            intake: this.clone(),
            writes: this.clone(),
            uploads: this.clone(),
            control: this,
            settings: self.0.origin.settings.clone(),
            inspections: self.0.origin.inspections.clone(),
            due: self.0.origin.due.clone(),
            last_reads: self.0.origin.last_reads.clone(),
            encryption_keys: self.0.origin.encryption_keys.clone(),
            has_classes: self.0.origin.has_classes,
        }
    }
}

impl Buckets for Replicas {
    fn bucket<'a>(&'a self, name: &'a BucketName) -> Pending<'a, Option<SharedBucket>> {
        Box::pin(self.0.bucket(name))
    }

    fn buckets<'a>(&'a self, owner: Option<&'a TenantId>, prefix: &'a str, after: &'a str, max: usize) -> Pending<'a, Vec<SharedBucket>> {
        Box::pin(self.0.buckets(owner, prefix, after, max))
    }

    fn create_bucket(&self, bucket: Bucket) -> Pending<'_, SharedBucket> {
        Box::pin(self.0.writing(self.0.origin.buckets.create_bucket(bucket)))
    }

    fn delete_bucket<'a>(&'a self, name: &'a BucketName) -> Pending<'a, ()> {
        Box::pin(self.0.writing(self.0.origin.buckets.delete_bucket(name)))
    }

    fn set_bucket_document<'a>(&'a self, name: &'a BucketName, document: BucketDocument, value: Option<Vec<u8>>) -> Pending<'a, ()> {
        Box::pin(self.0.writing(self.0.origin.buckets.set_bucket_document(name, document, value)))
    }

    fn set_bucket_acl<'a>(&'a self, name: &'a BucketName, acl: Acl) -> Pending<'a, ()> {
        Box::pin(self.0.writing(self.0.origin.buckets.set_bucket_acl(name, acl)))
    }
}

impl Reads for Replicas {
    fn stat<'a>(&'a self, of: ObjectRef<'a>, freshness: Freshness) -> Pending<'a, Option<SharedObject>> {
        if of.version.is_named() {
            return self.0.origin.reads.stat(of, freshness);
        }
        Box::pin(self.0.stat(of, freshness))
    }

    fn stat_hot(&self, of: ObjectRef<'_>, freshness: Freshness) -> Option<SharedObject> {
        self.0.origin.reads.stat_hot(of, freshness)
    }

    fn open<'a>(&'a self, of: ObjectRef<'a>, object: &'a SharedObject, range: ByteRange, by: ReadBy) -> Pending<'a, Option<Body>> {
        Box::pin(self.0.open(of, object, range, by))
    }

    fn prefetch(&self, of: ObjectRef<'_>, range: ByteRange) -> Option<Prefetch> {
        if self.0.breaker.is_open() { None } else { self.0.origin.reads.prefetch(of, range) }
    }

    fn open_hot(&self, of: ObjectRef<'_>, object: &SharedObject, range: ByteRange, by: ReadBy) -> Option<Body> {
        self.0.origin.reads.open_hot(of, object, range, by)
    }

    fn with_parts<'a>(&'a self, of: ObjectRef<'a>, object: &'a SharedObject) -> Pending<'a, SharedObject> {
        self.0.origin.reads.with_parts(of, object)
    }

    fn cache_state(&self, of: ObjectRef<'_>, object: &SharedObject, offset: u64) -> Option<CacheState> {
        match object.layer {
            Layer::Replica(_) => Some(CacheState::Stale),
            Layer::Store | Layer::WriteBack | Layer::Old => self.0.origin.reads.cache_state(of, object, offset),
        }
    }

    fn tags<'a>(&'a self, of: ObjectRef<'a>, object: &'a SharedObject) -> Pending<'a, Option<Tags>> {
        Box::pin(self.0.tags(of, object))
    }

    fn find_content<'a>(&'a self, owner: &'a TenantId, sha256: &'a Sha256) -> Pending<'a, Option<(BucketName, ObjectKey)>> {
        self.0.origin.reads.find_content(owner, sha256)
    }

    fn list<'a>(&'a self, bucket: &'a BucketName, query: &'a ListQuery) -> Pending<'a, ListPage> {
        Box::pin(self.0.list(bucket, query))
    }

    fn marker<'a>(&'a self, of: ObjectRef<'a>) -> Pending<'a, Option<Marker>> {
        self.0.origin.reads.marker(of)
    }

    fn list_versions<'a>(&'a self, bucket: &'a BucketName, query: &'a VersionsQuery) -> Pending<'a, VersionsPage> {
        self.0.origin.reads.list_versions(bucket, query)
    }
}

impl Intake for Replicas {
    fn takes<'a>(&'a self, bucket: &'a BucketName, key: &'a ObjectKey, tags: &'a Tags) -> Pending<'a, ()> {
        Box::pin(async move {
            for target in self.0.targets.iter().filter(|t| t.covers(bucket, Some(key))) {
                place::takes_copy(&target.settings.upstream, bucket, key)?;
            }
            self.0.origin.intake.takes(bucket, key, tags).await
        })
    }

    fn staging(&self, owner: &TenantId) -> Staging {
        self.0.origin.intake.staging(owner)
    }

    fn staging_for(&self, put: &Announced<'_>) -> Staging {
        self.0.origin.intake.staging_for(put)
    }

    fn staging_under(&self, owner: &TenantId, of: Option<&Encryption>) -> Staging {
        self.0.origin.intake.staging_under(owner, of)
    }
}

impl Writes for Replicas {
    fn put(&self, put: PutObject, quota: Quota) -> Pending<'_, Written> {
        Box::pin(self.0.writing(self.0.origin.writes.put(put, quota)))
    }

    fn copy(&self, copy: CopyObject, quota: Quota) -> Pending<'_, Written> {
        Box::pin(self.0.writing(self.0.origin.writes.copy(copy, quota)))
    }

    fn delete<'a>(&'a self, of: ObjectRef<'a>, delete: Delete) -> Pending<'a, Deleted> {
        Box::pin(self.0.writing(self.0.origin.writes.delete(of, delete)))
    }

    fn set_object_acl<'a>(&'a self, of: ObjectRef<'a>, acl: Acl) -> Pending<'a, ()> {
        Box::pin(self.0.writing(self.0.origin.writes.set_object_acl(of, acl)))
    }

    fn set_tags<'a>(&'a self, of: ObjectRef<'a>, tags: Tags) -> Pending<'a, ()> {
        Box::pin(self.0.writing(self.0.origin.writes.set_tags(of, tags)))
    }

    fn set_retention<'a>(&'a self, of: ObjectRef<'a>, retention: Option<Retention>, bypass: bool) -> Pending<'a, ()> {
        Box::pin(self.0.writing(self.0.origin.writes.set_retention(of, retention, bypass)))
    }

    fn set_legal_hold<'a>(&'a self, of: ObjectRef<'a>, on: bool) -> Pending<'a, ()> {
        Box::pin(self.0.writing(self.0.origin.writes.set_legal_hold(of, on)))
    }

    fn complete_upload(&self, complete: CompleteUpload, quota: Quota) -> Pending<'_, Written> {
        Box::pin(self.0.writing(self.0.origin.writes.complete_upload(complete, quota)))
    }

    /// Changes nothing that a replica has.
    fn restore<'a>(&'a self, of: ObjectRef<'a>, wanted: Restore) -> Pending<'a, Restored> {
        self.0.origin.writes.restore(of, wanted)
    }
}

impl Uploads for Replicas {
    fn create_upload(&self, upload: Upload) -> Pending<'_, Upload> {
        Box::pin(async move {
            self.0.require_origin()?;
            self.0.origin.uploads.create_upload(upload).await
        })
    }

    fn upload<'a>(&'a self, bucket: &'a BucketName, key: &'a ObjectKey, upload: &'a UploadId) -> Pending<'a, Upload> {
        self.0.origin.uploads.upload(bucket, key, upload)
    }

    fn put_part<'a>(&'a self, upload: &'a Upload, number: u16, received: Received, quota: Quota) -> Pending<'a, UploadedPart> {
        Box::pin(async move {
            self.0.require_origin()?;
            self.0.origin.uploads.put_part(upload, number, received, quota).await
        })
    }

    fn parts<'a>(&'a self, upload: &'a Upload, after: u16, max: usize) -> Pending<'a, (Vec<UploadedPart>, bool)> {
        self.0.origin.uploads.parts(upload, after, max)
    }

    fn abort_upload<'a>(&'a self, bucket: &'a BucketName, key: &'a ObjectKey, upload: &'a UploadId) -> Pending<'a, ()> {
        self.0.origin.uploads.abort_upload(bucket, key, upload)
    }

    fn uploads<'a>(&'a self, bucket: &'a BucketName, query: &'a UploadsQuery) -> Pending<'a, UploadsPage> {
        self.0.origin.uploads.uploads(bucket, query)
    }
}

impl Control for Replicas {
    fn snapshot<'a>(&'a self, directory: &'a Path, rest: Pending<'a, ()>) -> Pending<'a, ()> {
        self.0.origin.control.snapshot(directory, rest)
    }

    fn usage<'a>(&'a self, tenant: &'a TenantId) -> Pending<'a, Usage> {
        self.0.origin.control.usage(tenant)
    }

    fn usage_of_bucket<'a>(&'a self, bucket: &'a BucketName) -> Pending<'a, Option<Usage>> {
        self.0.origin.control.usage_of_bucket(bucket)
    }

    fn stored(&self, query: StoredQuery) -> Pending<'_, Option<StoredPage>> {
        self.0.origin.control.stored(query)
    }

    fn run_days(&self, query: RunDaysQuery) -> Pending<'_, Vec<RunDays>> {
        self.0.origin.control.run_days(query)
    }

    fn ready(&self) -> Pending<'_, ()> {
        Box::pin(async move {
            match self.0.origin.control.ready().await {
                // Reads are answered.
                Err(_) if self.has_failed_over() => Ok(()),
                ready => ready,
            }
        })
    }
}
