//! What old stores change of an origin. Buckets without one are handed through.

use std::sync::Arc;

use crate::base::digest::Sha256;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::lock::Retention;
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::object::{Acl, Bucket, BucketDocument, Layer, ListPage, ListQuery, SharedBucket, SharedObject};
use crate::base::object_ref::ObjectRef;
use crate::base::range::ByteRange;
use crate::base::tags::Tags;
use crate::base::versions::{Marker, VersionsPage, VersionsQuery};
use crate::ops::shadow::{Inner, Shadows, Shown};
use crate::origin::{
    Body, Buckets, CacheState, CompleteUpload, CopyObject, Delete, Deleted, Freshness, Origin, Pending, Prefetch, PutObject, Quota, ReadBy,
    Reads, Restore, Restored, Writes, Written,
};

impl Inner {
    /// As the origin's, without the buckets of marks.
    async fn buckets(&self, owner: Option<&TenantId>, prefix: &str, after: &str, max: usize) -> Result<Vec<SharedBucket>> {
        let asked = max.saturating_add(self.all.len());
        let mut found = self.origin.buckets.buckets(owner, prefix, after, asked).await?;
        found.retain(|b| !self.is_hidden(&b.name));
        found.truncate(max);
        Ok(found)
    }

    /// A bucket that continues another keeps no versions: what the other has would be none of them, and a copy of it would be a version
    /// that nobody wrote.
    fn require_no_versions(&self, name: &BucketName, documents: &[BucketDocument]) -> Result<()> {
        let wanted = documents.iter().any(|d| matches!(d, BucketDocument::Versioning | BucketDocument::ObjectLock));
        if wanted && self.of(name).is_some() {
            let text = "This bucket continues one of an old store ([[shadow]] in the gateway's configuration), and keeps no versions until \
                        everything is brought over and that is taken out.";
            return Err(Error::new(ErrorKind::NotImplemented, text));
        }
        Ok(())
    }

    async fn with_parts(&self, of: ObjectRef<'_>, object: &SharedObject) -> Result<SharedObject> {
        match self.of(of.bucket).filter(|_| object.layer == Layer::Old) {
            Some(shadow) => shadow.old.with_parts(of.key, object).await,
            None => self.origin.reads.with_parts(of, object).await,
        }
    }
}

impl Shadows {
    /// What it stands over, with what it changes.
    pub fn origin(&self) -> Origin {
        let this = Arc::new(self.clone());
        Origin { buckets: this.clone(), reads: this.clone(), writes: this, ..self.0.origin.clone() }
    }
}

impl Buckets for Shadows {
    fn bucket<'a>(&'a self, name: &'a BucketName) -> Pending<'a, Option<SharedBucket>> {
        if self.0.is_hidden(name) {
            return Box::pin(std::future::ready(Ok(None)));
        }
        self.0.origin.buckets.bucket(name)
    }

    fn bucket_hot(&self, name: &BucketName) -> Option<SharedBucket> {
        if self.0.is_hidden(name) { None } else { self.0.origin.buckets.bucket_hot(name) }
    }

    fn buckets<'a>(&'a self, owner: Option<&'a TenantId>, prefix: &'a str, after: &'a str, max: usize) -> Pending<'a, Vec<SharedBucket>> {
        Box::pin(self.0.buckets(owner, prefix, after, max))
    }

    fn create_bucket(&self, bucket: Bucket) -> Pending<'_, SharedBucket> {
        if self.0.is_hidden(&bucket.name) {
            let text = "The requested bucket name is not available. Please select a different name and try again.";
            return Box::pin(std::future::ready(Err(Error::new(ErrorKind::BucketAlreadyExists, text))));
        }
        let documents: Vec<BucketDocument> = bucket.documents.keys().copied().collect();
        if let Err(e) = self.0.require_no_versions(&bucket.name, &documents) {
            return Box::pin(std::future::ready(Err(e)));
        }
        self.0.origin.buckets.create_bucket(bucket)
    }

    fn delete_bucket<'a>(&'a self, name: &'a BucketName) -> Pending<'a, ()> {
        Box::pin(self.0.delete_bucket(name))
    }

    fn set_bucket_document<'a>(&'a self, name: &'a BucketName, document: BucketDocument, value: Option<Vec<u8>>) -> Pending<'a, ()> {
        if let Err(e) = self.0.require_no_versions(name, &[document]) {
            return Box::pin(std::future::ready(Err(e)));
        }
        self.0.origin.buckets.set_bucket_document(name, document, value)
    }

    fn set_bucket_acl<'a>(&'a self, name: &'a BucketName, acl: Acl) -> Pending<'a, ()> {
        self.0.origin.buckets.set_bucket_acl(name, acl)
    }
}

impl Reads for Shadows {
    /// What only the old store has is copied as soon as somebody looks at it.
    fn stat<'a>(&'a self, of: ObjectRef<'a>, freshness: Freshness) -> Pending<'a, Option<SharedObject>> {
        if of.version.is_named() {
            return self.0.origin.reads.stat(of, freshness);
        }
        let Some(shadow) = self.0.of(of.bucket) else { return self.0.origin.reads.stat(of, freshness) };
        Box::pin(async move {
            match self.0.look(shadow, of.key, freshness).await? {
                Shown::Nothing => Ok(None),
                Shown::Own(own) => Ok(Some(own)),
                Shown::Old(found) => {
                    shadow.old.gauges.reads.inc();
                    self.0.copy_later(shadow, of.key);
                    Ok(Some(found.object))
                }
            }
        })
    }

    /// What is hot is the origin's own.
    fn stat_hot(&self, of: ObjectRef<'_>, freshness: Freshness) -> Option<SharedObject> {
        self.0.origin.reads.stat_hot(of, freshness)
    }

    fn open<'a>(&'a self, of: ObjectRef<'a>, object: &'a SharedObject, range: ByteRange, by: ReadBy) -> Pending<'a, Option<Body>> {
        match self.0.of(of.bucket).filter(|_| object.layer == Layer::Old) {
            // Also where it was copied meanwhile: a body begun there is of that version all the same.
            Some(shadow) => Box::pin(shadow.old.open(of.key, object, range)),
            None => self.0.origin.reads.open(of, object, range, by),
        }
    }

    fn prefetch(&self, of: ObjectRef<'_>, range: ByteRange) -> Option<Prefetch> {
        self.0.origin.reads.prefetch(of, range)
    }

    fn open_hot(&self, of: ObjectRef<'_>, object: &SharedObject, range: ByteRange, by: ReadBy) -> Option<Body> {
        self.0.origin.reads.open_hot(of, object, range, by)
    }

    fn with_parts<'a>(&'a self, of: ObjectRef<'a>, object: &'a SharedObject) -> Pending<'a, SharedObject> {
        Box::pin(self.0.with_parts(of, object))
    }

    fn cache_state(&self, of: ObjectRef<'_>, object: &SharedObject, offset: u64) -> Option<CacheState> {
        self.0.origin.reads.cache_state(of, object, offset)
    }

    fn tags<'a>(&'a self, of: ObjectRef<'a>, object: &'a SharedObject) -> Pending<'a, Option<Tags>> {
        match self.0.of(of.bucket).filter(|_| object.layer == Layer::Old) {
            Some(shadow) => Box::pin(async move { shadow.old.tags(of.key).await.map(Some) }),
            None => self.0.origin.reads.tags(of, object),
        }
    }

    fn find_content<'a>(&'a self, owner: &'a TenantId, sha256: &'a Sha256) -> Pending<'a, Option<(BucketName, ObjectKey)>> {
        self.0.origin.reads.find_content(owner, sha256)
    }

    fn list<'a>(&'a self, bucket: &'a BucketName, query: &'a ListQuery) -> Pending<'a, ListPage> {
        match self.0.of(bucket) {
            Some(shadow) => Box::pin(self.0.list(shadow, query)),
            None => self.0.origin.reads.list(bucket, query),
        }
    }

    fn marker<'a>(&'a self, of: ObjectRef<'a>) -> Pending<'a, Option<Marker>> {
        self.0.origin.reads.marker(of)
    }

    fn list_versions<'a>(&'a self, bucket: &'a BucketName, query: &'a VersionsQuery) -> Pending<'a, VersionsPage> {
        match self.0.of(bucket) {
            Some(shadow) => Box::pin(async move { self.0.list(shadow, &query.of_objects()).await.map(VersionsPage::from) }),
            None => self.0.origin.reads.list_versions(bucket, query),
        }
    }
}

impl Writes for Shadows {
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
            self.0.bring_if_old(of.bucket, of.key).await?;
            self.0.origin.writes.set_object_acl(of, acl).await
        })
    }

    fn set_tags<'a>(&'a self, of: ObjectRef<'a>, tags: Tags) -> Pending<'a, ()> {
        Box::pin(async move {
            self.0.bring_if_old(of.bucket, of.key).await?;
            self.0.origin.writes.set_tags(of, tags).await
        })
    }

    fn set_retention<'a>(&'a self, of: ObjectRef<'a>, retention: Option<Retention>, bypass: bool) -> Pending<'a, ()> {
        Box::pin(async move {
            self.0.bring_if_old(of.bucket, of.key).await?;
            self.0.origin.writes.set_retention(of, retention, bypass).await
        })
    }

    fn set_legal_hold<'a>(&'a self, of: ObjectRef<'a>, on: bool) -> Pending<'a, ()> {
        Box::pin(async move {
            self.0.bring_if_old(of.bucket, of.key).await?;
            self.0.origin.writes.set_legal_hold(of, on).await
        })
    }

    /// What is archived in the old store can't be brought here before it is restored there.
    fn restore<'a>(&'a self, of: ObjectRef<'a>, wanted: Restore) -> Pending<'a, Restored> {
        Box::pin(async move {
            self.0.bring_if_old(of.bucket, of.key).await?;
            self.0.origin.writes.restore(of, wanted).await
        })
    }

    fn complete_upload(&self, complete: CompleteUpload, quota: Quota) -> Pending<'_, Written> {
        Box::pin(self.0.complete_upload(complete, quota))
    }
}
