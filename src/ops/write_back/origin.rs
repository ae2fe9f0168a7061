//! What write-back changes of an origin: reads look at what waits first, and writes are kept. What is not written back is handed through.

use std::path::Path;
use std::sync::Arc;

use crate::base::digest::Sha256;
use crate::base::encryption::Encryption;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::lock::Retention;
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::object::{Acl, Bucket, BucketDocument, ListPage, ListQuery, SharedBucket, SharedObject};
use crate::base::object_ref::ObjectRef;
use crate::base::range::ByteRange;
use crate::base::tags::Tags;
use crate::base::usage::{RunDays, RunDaysQuery, StoredPage, StoredQuery};
use crate::base::versions::{Marker, Versioning, VersionsPage, VersionsQuery};
use crate::ingest::Staging;
use crate::ops::write_back::entry::{Entry, is_ours};
use crate::ops::write_back::{Overlay, WriteBack};
use crate::origin::{
    Announced, Body, Buckets, CacheState, CompleteUpload, Control, CopyObject, Delete, Deleted, Freshness, Intake, Origin, Pending,
    Prefetch, PutObject, Quota, ReadBy, Reads, Restore, Restored, Usage, Writes, Written,
};

/// What of a snapshot is not yet upstream.
const SNAPSHOT: &str = "back";

impl Overlay {
    /// While the upstream can't be asked a bucket of this mode is what it last was.
    pub(super) async fn bucket(&self, name: &BucketName) -> Result<Option<SharedBucket>> {
        let found = self.upstream.buckets.bucket(name).await;
        if !self.is_back(name) {
            return found;
        }
        match &found {
            Ok(Some(bucket)) => {
                self.known().insert(name.clone(), bucket.clone());
            }
            Ok(None) => {
                self.known().remove(name);
            }
            Err(e) if e.is_away() => {
                if let Some(known) = self.known().get(name) {
                    return Ok(Some(known.clone()));
                }
            }
            Err(_) => {}
        }
        found
    }

    async fn stat(&self, of: ObjectRef<'_>, freshness: Freshness) -> Result<Option<SharedObject>> {
        match self.entry(of.bucket, of.key).await? {
            Some(entry) => Ok(entry.shown()),
            None => self.upstream.reads.stat(of, freshness).await,
        }
    }

    async fn open(&self, of: ObjectRef<'_>, object: &SharedObject, range: ByteRange, by: ReadBy) -> Result<Option<Body>> {
        if !is_ours(object) {
            return self.upstream.reads.open(of, object, range, by).await;
        }
        // Gone: it is upstream by now, where the caller will find it.
        self.local.open(of, object, range, by).await
    }

    async fn find_content(&self, owner: &TenantId, sha256: &Sha256) -> Result<Option<(BucketName, ObjectKey)>> {
        if self.waiting.any()
            && let Some(found) = self.local.find_content(owner, sha256).await?
        {
            return Ok(Some(found));
        }
        self.upstream.reads.find_content(owner, sha256).await
    }

    pub(super) async fn usage(&self, tenant: &TenantId) -> Result<Usage> {
        let (here, there) = (self.local.usage(tenant).await?, self.upstream.control.usage(tenant).await?);
        Ok(Usage { bytes: here.bytes + there.bytes, objects: here.objects + there.objects })
    }

    /// Deletes that wait are done first: what they delete would keep the bucket from going.
    async fn delete_bucket(self: &Arc<Self>, name: &BucketName) -> Result<()> {
        let not_empty = || Error::new(ErrorKind::BucketNotEmpty, "The bucket you tried to delete is not empty.");
        if self.waiting.in_bucket(name) {
            if self.has_objects(name, "").await? {
                return Err(not_empty());
            }
            let mut after = Some(String::new());
            while let Some(from) = after {
                let (deletes, next) = self.entries(name, "", from).await?;
                for delete in deletes {
                    self.settled(name, &delete.key).await?;
                }
                after = next;
            }
        }
        // Nothing is taken in for the bucket from here on: the overlay's store has none of that name.
        self.closing.lock().await.insert(name.clone());
        let deleted = match self.local.delete_bucket(name).await {
            Err(e) if e.kind() != ErrorKind::NoSuchBucket => Err(e),
            _ => self.upstream.buckets.delete_bucket(name).await,
        };
        self.closing.lock().await.remove(name);
        deleted
    }
}

impl WriteBack {
    /// What it stands over, with what it changes.
    pub fn origin(&self) -> Origin {
        let this = Arc::new(self.clone());
        Origin {
            buckets: this.clone(),
            reads: this.clone(),
            intake: this.clone(),
            writes: this.clone(),
            control: this,
            ..self.0.upstream.clone()
        }
    }
}

impl Buckets for WriteBack {
    fn bucket<'a>(&'a self, name: &'a BucketName) -> Pending<'a, Option<SharedBucket>> {
        Box::pin(self.0.bucket(name))
    }

    fn buckets<'a>(&'a self, owner: Option<&'a TenantId>, prefix: &'a str, after: &'a str, max: usize) -> Pending<'a, Vec<SharedBucket>> {
        self.0.upstream.buckets.buckets(owner, prefix, after, max)
    }

    fn create_bucket(&self, bucket: Bucket) -> Pending<'_, SharedBucket> {
        self.0.upstream.buckets.create_bucket(bucket)
    }

    fn delete_bucket<'a>(&'a self, name: &'a BucketName) -> Pending<'a, ()> {
        Box::pin(self.0.delete_bucket(name))
    }

    fn set_bucket_document<'a>(&'a self, name: &'a BucketName, document: BucketDocument, value: Option<Vec<u8>>) -> Pending<'a, ()> {
        self.0.upstream.buckets.set_bucket_document(name, document, value)
    }

    fn set_bucket_acl<'a>(&'a self, name: &'a BucketName, acl: Acl) -> Pending<'a, ()> {
        self.0.upstream.buckets.set_bucket_acl(name, acl)
    }
}

impl Reads for WriteBack {
    fn stat<'a>(&'a self, of: ObjectRef<'a>, freshness: Freshness) -> Pending<'a, Option<SharedObject>> {
        if of.version.is_named() {
            return self.0.upstream.reads.stat(of, freshness);
        }
        Box::pin(self.0.stat(of, freshness))
    }

    fn stat_hot(&self, of: ObjectRef<'_>, freshness: Freshness) -> Option<SharedObject> {
        if of.version.is_named() {
            return self.0.upstream.reads.stat_hot(of, freshness);
        }
        if !self.0.waiting.in_bucket(of.bucket) {
            return self.0.upstream.reads.stat_hot(of, freshness);
        }
        // What is not hot may wait all the same.
        self.0.local.stat_hot(of, freshness).and_then(|row| Entry::of_row(row).shown())
    }

    fn open<'a>(&'a self, of: ObjectRef<'a>, object: &'a SharedObject, range: ByteRange, by: ReadBy) -> Pending<'a, Option<Body>> {
        Box::pin(self.0.open(of, object, range, by))
    }

    fn prefetch(&self, of: ObjectRef<'_>, range: ByteRange) -> Option<Prefetch> {
        self.0.upstream.reads.prefetch(of, range)
    }

    fn open_hot(&self, of: ObjectRef<'_>, object: &SharedObject, range: ByteRange, by: ReadBy) -> Option<Body> {
        match is_ours(object) {
            true => self.0.local.open_hot(of, object, range, by),
            false => self.0.upstream.reads.open_hot(of, object, range, by),
        }
    }

    fn cache_state(&self, of: ObjectRef<'_>, object: &SharedObject, offset: u64) -> Option<CacheState> {
        match is_ours(object) {
            true => None, // from the store of what waits, not from the cache
            false => self.0.upstream.reads.cache_state(of, object, offset),
        }
    }

    fn tags<'a>(&'a self, of: ObjectRef<'a>, object: &'a SharedObject) -> Pending<'a, Option<Tags>> {
        match is_ours(object) {
            true => self.0.local.tags(of, object),
            false => self.0.upstream.reads.tags(of, object),
        }
    }

    fn find_content<'a>(&'a self, owner: &'a TenantId, sha256: &'a Sha256) -> Pending<'a, Option<(BucketName, ObjectKey)>> {
        Box::pin(self.0.find_content(owner, sha256))
    }

    fn list<'a>(&'a self, bucket: &'a BucketName, query: &'a ListQuery) -> Pending<'a, ListPage> {
        Box::pin(self.0.list(bucket, query))
    }

    fn marker<'a>(&'a self, of: ObjectRef<'a>) -> Pending<'a, Option<Marker>> {
        self.0.upstream.reads.marker(of)
    }

    fn list_versions<'a>(&'a self, bucket: &'a BucketName, query: &'a VersionsQuery) -> Pending<'a, VersionsPage> {
        Box::pin(async move {
            let keeps = self.0.bucket(bucket).await?.is_some_and(|b| b.versioning() != Versioning::Never);
            if keeps || !self.0.waiting.in_bucket(bucket) {
                return self.0.upstream.reads.list_versions(bucket, query).await;
            }
            self.0.list(bucket, &query.of_objects()).await.map(VersionsPage::from)
        })
    }

    fn with_parts<'a>(&'a self, of: ObjectRef<'a>, object: &'a SharedObject) -> Pending<'a, SharedObject> {
        match is_ours(object) {
            // Nothing that waits has parts.
            true => Box::pin(std::future::ready(Ok(object.clone()))),
            false => self.0.upstream.reads.with_parts(of, object),
        }
    }
}

impl Intake for WriteBack {
    /// Where the upstream can't be asked, its answer is left to the job.
    fn takes<'a>(&'a self, bucket: &'a BucketName, key: &'a ObjectKey, tags: &'a Tags) -> Pending<'a, ()> {
        Box::pin(async move {
            match self.0.upstream.intake.takes(bucket, key, tags).await {
                Err(e) if e.is_away() => Ok(()),
                taken => taken,
            }
        })
    }

    fn staging(&self, owner: &TenantId) -> Staging {
        self.0.upstream.intake.staging(owner)
    }

    /// What is kept here goes up later, and must be safe on the disk before.
    fn staging_for(&self, put: &Announced<'_>) -> Staging {
        match self.0.keeps_as_known(put.bucket) {
            true => self.0.upstream.intake.staging(put.owner),
            false => self.0.upstream.intake.staging_for(put),
        }
    }

    fn staging_under(&self, owner: &TenantId, of: Option<&Encryption>) -> Staging {
        self.0.upstream.intake.staging_under(owner, of)
    }
}

impl Writes for WriteBack {
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
        Box::pin(async move {
            let _settled = self.0.settled_if_waiting(of.bucket, of.key).await?;
            self.0.upstream.writes.set_object_acl(of, acl).await
        })
    }

    fn set_tags<'a>(&'a self, of: ObjectRef<'a>, tags: Tags) -> Pending<'a, ()> {
        Box::pin(async move {
            let _settled = self.0.settled_if_waiting(of.bucket, of.key).await?;
            self.0.upstream.writes.set_tags(of, tags).await
        })
    }

    fn set_retention<'a>(&'a self, of: ObjectRef<'a>, retention: Option<Retention>, bypass: bool) -> Pending<'a, ()> {
        Box::pin(async move {
            let _settled = self.0.settled_if_waiting(of.bucket, of.key).await?;
            self.0.upstream.writes.set_retention(of, retention, bypass).await
        })
    }

    fn set_legal_hold<'a>(&'a self, of: ObjectRef<'a>, on: bool) -> Pending<'a, ()> {
        Box::pin(async move {
            let _settled = self.0.settled_if_waiting(of.bucket, of.key).await?;
            self.0.upstream.writes.set_legal_hold(of, on).await
        })
    }

    fn restore<'a>(&'a self, of: ObjectRef<'a>, wanted: Restore) -> Pending<'a, Restored> {
        Box::pin(async move {
            let _settled = self.0.settled_if_waiting(of.bucket, of.key).await?;
            self.0.upstream.writes.restore(of, wanted).await
        })
    }

    fn complete_upload(&self, complete: CompleteUpload, quota: Quota) -> Pending<'_, Written> {
        Box::pin(async move {
            let _settled = self.0.settled_if_waiting(&complete.bucket, &complete.key).await?;
            self.0.upstream.writes.complete_upload(complete, quota).await
        })
    }
}

impl Control for WriteBack {
    fn snapshot<'a>(&'a self, directory: &'a Path, rest: Pending<'a, ()>) -> Pending<'a, ()> {
        Box::pin(async move {
            let _nothing_goes = self.0.forgetting.write().await;
            let rest = async move {
                let waiting = directory.join(SNAPSHOT);
                self.0.local.snapshot(&waiting, Box::pin(std::future::ready(Ok(())))).await?;
                rest.await
            };
            self.0.upstream.control.snapshot(directory, Box::pin(rest)).await
        })
    }

    fn usage<'a>(&'a self, tenant: &'a TenantId) -> Pending<'a, Usage> {
        Box::pin(self.0.usage(tenant))
    }

    /// What waits here is counted where it goes.
    fn usage_of_bucket<'a>(&'a self, bucket: &'a BucketName) -> Pending<'a, Option<Usage>> {
        self.0.upstream.control.usage_of_bucket(bucket)
    }

    /// The same.
    fn stored(&self, query: StoredQuery) -> Pending<'_, Option<StoredPage>> {
        self.0.upstream.control.stored(query)
    }

    fn run_days(&self, query: RunDaysQuery) -> Pending<'_, Vec<RunDays>> {
        self.0.upstream.control.run_days(query)
    }

    fn ready(&self) -> Pending<'_, ()> {
        Box::pin(async move {
            self.0.local.ready().await?;
            self.0.upstream.control.ready().await
        })
    }
}
