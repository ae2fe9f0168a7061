//! The embedded store as an origin: each operation in one line, to where it is done.

use std::path::Path;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::base::digest::Sha256;
use crate::base::encryption::{Encryption, KeyStates};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::inspection::Inspection;
use crate::base::lock::Retention;
use crate::base::names::{BucketName, ObjectKey, TenantId, UploadId};
use crate::base::object::{Acl, Bucket, BucketDocument, ListPage, ListQuery, SharedBucket, SharedObject, Upload, UploadedPart};
use crate::base::object_ref::{ObjectRef, VersionSelector};
use crate::base::range::ByteRange;
use crate::base::tags::Tags;
use crate::base::usage::{RunDays, RunDaysQuery, StoredPage, StoredQuery};
use crate::base::versions::{Marker, VersionsPage, VersionsQuery};
use crate::index::{Index, Walk};
use crate::ingest::{Received, Staging};
use crate::local::layout::Layout;
use crate::local::open::{Local, STARTS};
use crate::local::rows::{HashRow, Table, key};
use crate::local::scope::{KeyId, Scope};
use crate::local::shared::Shared;
use crate::local::stored;
use crate::local::txn::no_such_bucket;
use crate::local::{backup, list, list_versions, usage};
use crate::origin::{
    Announced, Body, Buckets, CacheState, CompleteUpload, Control, CopyObject, Dedup, Delete, Deleted, EncryptionKeys, Freshness,
    Inspections, Intake, OwnSettings, Pending, Prefetch, PutObject, Quota, ReadBy, Reads, Restore, Restored, Uploads, UploadsPage,
    UploadsQuery, Usage, Writes, Written, not_archived,
};

impl Local {
    fn counted(&self, written: Written) -> Written {
        let metrics = &self.shared.settings.metrics;
        match written.dedup {
            Dedup::Hit => metrics.dedup_hits.inc(),
            Dedup::Miss => metrics.dedup_misses.inc(),
        };
        written
    }
}

impl Local {
    fn sealed_staging(&self, of: Option<&Encryption>) -> Staging {
        self.shared.staging_of(of).unwrap_or_else(|e| {
            // No random bytes: then nothing can be sealed later either.
            tracing::error!(error = %e, "a body could not be staged under a key");
            self.shared.staging.clone().refusing()
        })
    }
}

impl Buckets for Local {
    fn bucket<'a>(&'a self, name: &'a BucketName) -> Pending<'a, Option<SharedBucket>> {
        Box::pin(std::future::ready(Ok(self.shared.buckets.get(name.as_str()))))
    }

    fn bucket_hot(&self, name: &BucketName) -> Option<SharedBucket> {
        self.shared.buckets.get(name.as_str())
    }

    fn buckets<'a>(&'a self, owner: Option<&'a TenantId>, prefix: &'a str, after: &'a str, max: usize) -> Pending<'a, Vec<SharedBucket>> {
        Box::pin(std::future::ready(Ok(self.shared.list_buckets(owner, prefix, after, max))))
    }

    fn create_bucket(&self, bucket: Bucket) -> Pending<'_, SharedBucket> {
        Box::pin(self.shared.create_bucket(bucket))
    }

    fn delete_bucket<'a>(&'a self, name: &'a BucketName) -> Pending<'a, ()> {
        Box::pin(self.shared.delete_bucket(name))
    }

    fn set_bucket_document<'a>(&'a self, name: &'a BucketName, document: BucketDocument, value: Option<Vec<u8>>) -> Pending<'a, ()> {
        Box::pin(self.shared.set_bucket_document(name, document, value))
    }

    fn set_bucket_acl<'a>(&'a self, name: &'a BucketName, acl: Acl) -> Pending<'a, ()> {
        Box::pin(self.shared.set_bucket_acl(name, acl))
    }
}

/// The object says it itself, and it goes with its row.
impl Inspections for Local {
    fn set_inspection<'a>(&'a self, of: ObjectRef<'a>, object: &'a SharedObject, inspection: &'a Inspection) -> Pending<'a, bool> {
        Box::pin(self.shared.set_inspection(of, object.generation, inspection))
    }
}

impl Reads for Local {
    fn stat<'a>(&'a self, of: ObjectRef<'a>, _: Freshness) -> Pending<'a, Option<SharedObject>> {
        match of.version {
            VersionSelector::Current => Box::pin(self.shared.stat(of.bucket, of.key)),
            VersionSelector::Exact(id) => Box::pin(self.shared.stat_exact(of, id)),
        }
    }

    fn stat_hot(&self, of: ObjectRef<'_>, _: Freshness) -> Option<SharedObject> {
        let entry = self.shared.hot.get(of.bucket, of.key)?;
        let is_meant = of.version.id().is_none_or(|id| entry.info.version == *id);
        is_meant.then(|| entry.info.clone())
    }

    fn open<'a>(&'a self, of: ObjectRef<'a>, object: &'a SharedObject, range: ByteRange, by: ReadBy) -> Pending<'a, Option<Body>> {
        Box::pin(self.shared.open(of, object, range, by))
    }

    /// Nothing is far away.
    fn prefetch(&self, _: ObjectRef<'_>, _: ByteRange) -> Option<Prefetch> {
        None
    }

    fn open_hot(&self, of: ObjectRef<'_>, object: &SharedObject, range: ByteRange, by: ReadBy) -> Option<Body> {
        let body = self.shared.open_hot(of.bucket, of.key, object, range, by);
        let metrics = &self.shared.settings.metrics;
        if body.is_some() {
            metrics.hot_cache_hits.inc()
        } else {
            metrics.hot_cache_misses.inc()
        };
        body
    }

    /// They are known with the rest.
    fn with_parts<'a>(&'a self, _: ObjectRef<'a>, object: &'a SharedObject) -> Pending<'a, SharedObject> {
        Box::pin(std::future::ready(Ok(object.clone())))
    }

    fn tags<'a>(&'a self, of: ObjectRef<'a>, object: &'a SharedObject) -> Pending<'a, Option<Tags>> {
        Box::pin(self.shared.tags(of, object.generation))
    }

    fn list<'a>(&'a self, bucket: &'a BucketName, query: &'a ListQuery) -> Pending<'a, ListPage> {
        let (bucket, query) = (bucket.clone(), query.clone());
        Box::pin(self.shared.read_bucket(bucket, move |index, bucket| list::objects(index, bucket, &query)))
    }

    fn marker<'a>(&'a self, of: ObjectRef<'a>) -> Pending<'a, Option<Marker>> {
        Box::pin(self.shared.marker(of))
    }

    fn list_versions<'a>(&'a self, bucket: &'a BucketName, query: &'a VersionsQuery) -> Pending<'a, VersionsPage> {
        let (bucket, query) = (bucket.clone(), query.clone());
        Box::pin(self.shared.read_bucket(bucket, move |index, bucket| list_versions::page(index, bucket, &query)))
    }

    fn find_content<'a>(&'a self, owner: &'a TenantId, sha256: &'a Sha256) -> Pending<'a, Option<(BucketName, ObjectKey)>> {
        let row_key = key::hash(&Scope::new(owner, KeyId::None), sha256);
        Box::pin(self.shared.read(move |index| {
            let Some(row) = index.get(Table::Hashes, &row_key)? else { return Ok(None) };
            let row: HashRow = stored::decode(&row)?;
            let (bucket, key) = key::split(&row.newest)?;
            Ok(Some((BucketName::parse(bucket)?, ObjectKey::parse(key)?)))
        }))
    }

    fn cache_state(&self, _: ObjectRef<'_>, _: &SharedObject, _: u64) -> Option<CacheState> {
        None
    }
}

impl Intake for Local {
    /// Names mean nothing here.
    fn takes<'a>(&'a self, _: &'a BucketName, _: &'a ObjectKey, _: &'a Tags) -> Pending<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn staging(&self, _owner: &TenantId) -> Staging {
        self.shared.staging.clone()
    }

    fn staging_for(&self, put: &Announced<'_>) -> Staging {
        self.sealed_staging(put.encryption)
    }

    fn staging_under(&self, _: &TenantId, of: Option<&Encryption>) -> Staging {
        self.sealed_staging(of)
    }
}

impl Writes for Local {
    fn put(&self, put: PutObject, quota: Quota) -> Pending<'_, Written> {
        Box::pin(async move { Ok(self.counted(self.shared.put(put, quota).await?)) })
    }

    fn copy(&self, copy: CopyObject, quota: Quota) -> Pending<'_, Written> {
        Box::pin(async move { Ok(self.counted(self.shared.copy(copy, quota).await?)) })
    }

    fn delete<'a>(&'a self, of: ObjectRef<'a>, delete: Delete) -> Pending<'a, Deleted> {
        Box::pin(self.shared.delete(of, delete))
    }

    fn set_object_acl<'a>(&'a self, of: ObjectRef<'a>, acl: Acl) -> Pending<'a, ()> {
        Box::pin(self.shared.set_object_acl(of, acl))
    }

    fn set_tags<'a>(&'a self, of: ObjectRef<'a>, tags: Tags) -> Pending<'a, ()> {
        Box::pin(self.shared.set_tags(of, tags))
    }

    fn set_retention<'a>(&'a self, of: ObjectRef<'a>, retention: Option<Retention>, bypass: bool) -> Pending<'a, ()> {
        Box::pin(self.shared.set_retention(of, retention, bypass))
    }

    fn set_legal_hold<'a>(&'a self, of: ObjectRef<'a>, on: bool) -> Pending<'a, ()> {
        Box::pin(self.shared.set_legal_hold(of, on))
    }

    /// Nothing that is kept here is archived.
    fn restore<'a>(&'a self, of: ObjectRef<'a>, _: Restore) -> Pending<'a, Restored> {
        Box::pin(async move {
            match self.stat(of, Freshness::Current).await? {
                Some(_) => Err(not_archived()),
                None => Err(Error::new(ErrorKind::NoSuchKey, "The specified key does not exist.")),
            }
        })
    }

    fn complete_upload(&self, complete: CompleteUpload, quota: Quota) -> Pending<'_, Written> {
        Box::pin(async move { Ok(Written { object: self.shared.complete_upload(complete, quota).await?, dedup: Dedup::Miss }) })
    }
}

impl Uploads for Local {
    fn create_upload(&self, upload: Upload) -> Pending<'_, Upload> {
        Box::pin(self.shared.create_upload(upload))
    }

    fn upload<'a>(&'a self, bucket: &'a BucketName, key: &'a ObjectKey, upload: &'a UploadId) -> Pending<'a, Upload> {
        Box::pin(self.shared.upload(bucket, key, upload))
    }

    fn put_part<'a>(&'a self, upload: &'a Upload, number: u16, received: Received, quota: Quota) -> Pending<'a, UploadedPart> {
        Box::pin(self.shared.put_part(upload, number, received, quota))
    }

    fn parts<'a>(&'a self, upload: &'a Upload, after: u16, max: usize) -> Pending<'a, (Vec<UploadedPart>, bool)> {
        Box::pin(self.shared.parts(upload, after, max))
    }

    fn abort_upload<'a>(&'a self, bucket: &'a BucketName, key: &'a ObjectKey, upload: &'a UploadId) -> Pending<'a, ()> {
        Box::pin(self.shared.abort_upload(bucket, key, upload))
    }

    fn uploads<'a>(&'a self, bucket: &'a BucketName, query: &'a UploadsQuery) -> Pending<'a, UploadsPage> {
        let (bucket, query) = (bucket.clone(), query.clone());
        Box::pin(self.shared.read_bucket(bucket, move |index, bucket| list::uploads(index, bucket, &query)))
    }
}

impl OwnSettings for Local {
    fn settings<'a>(&'a self, space: &'a str) -> Pending<'a, Vec<(String, Vec<u8>)>> {
        let prefix = key::joined(space, "");
        let sealing = self.shared.settings.sealing.clone();
        // A start needs them, and the first to read is who finds the index broken.
        Box::pin(self.shared.read_after_rebuild(move |index| {
            let mut found = Vec::new();
            index.scan(Table::Settings, &prefix, &mut |k, v| {
                let Some(name) = k.strip_prefix(prefix.as_slice()) else { return Ok(Walk::Stop) };
                found.push((String::from_utf8_lossy(name).into_owned(), sealing.open(k, &stored::decode::<Vec<u8>>(v)?)?));
                Ok(Walk::Next)
            })?;
            Ok(found)
        }))
    }

    fn set_setting<'a>(&'a self, space: &'a str, name: &'a str, value: Option<Vec<u8>>) -> Pending<'a, ()> {
        let row_key = key::joined(space, name);
        let sealing = self.shared.settings.sealing.clone();
        Box::pin(self.shared.queue.submit(move |txn| match &value {
            Some(value) => {
                let sealed = sealing.seal(&row_key, value)?;
                txn.set_row(Table::Settings, row_key, &sealed)
            }
            None => txn.del_row(Table::Settings, row_key),
        }))
    }

    fn add_setting<'a>(&'a self, space: &'a str, name: &'a str, value: Vec<u8>) -> Pending<'a, bool> {
        let row_key = key::joined(space, name);
        let sealing = self.shared.settings.sealing.clone();
        Box::pin(self.shared.queue.submit(move |txn| {
            if txn.get_row::<Vec<u8>>(Table::Settings, &row_key)?.is_some() {
                return Ok(false);
            }
            let sealed = sealing.seal(&row_key, &value)?;
            txn.set_row(Table::Settings, row_key, &sealed).map(|()| true)
        }))
    }
}

impl EncryptionKeys for Local {
    fn key_states(&self) -> Pending<'_, KeyStates> {
        let shared = self.shared.clone();
        Box::pin(async move { spawn_blocking(move || shared.key_states()).await.map_err(Error::internal)? })
    }

    fn rotate_own(&self) -> Pending<'_, u32> {
        let shared = self.shared.clone();
        Box::pin(async move { spawn_blocking(move || shared.rotate_own()).await.map_err(Error::internal)? })
    }
}

impl Control for Local {
    fn snapshot<'a>(&'a self, directory: &'a Path, rest: Pending<'a, ()>) -> Pending<'a, ()> {
        let (shared, copy) = (self.shared.clone(), Layout::new(directory.to_path_buf()));
        Box::pin(async move {
            let target = copy.clone();
            let made = spawn_blocking(move || shared.backup(&target)).await.map_err(Error::internal)??;
            rest.await?;
            spawn_blocking(move || backup::seal(&copy)).await.map_err(Error::internal)??;
            tracing::info!(files = made.files, segments = made.segments, copied_bytes = made.copied_bytes, "a snapshot was made");
            Ok(())
        })
    }

    fn usage<'a>(&'a self, tenant: &'a TenantId) -> Pending<'a, Usage> {
        let place = tenant.as_str().as_bytes().to_vec();
        Box::pin(self.shared.read(move |index| usage::at(index, &place)))
    }

    fn usage_of_bucket<'a>(&'a self, bucket: &'a BucketName) -> Pending<'a, Option<Usage>> {
        let place = usage::bucket_place(bucket.as_str());
        Box::pin(async move { self.shared.read(move |index| usage::at(index, &place)).await.map(Some) })
    }

    fn stored(&self, query: StoredQuery) -> Pending<'_, Option<StoredPage>> {
        let now = self.shared.clock.now();
        Box::pin(async move { self.shared.read(move |index| usage::stored(index, &query, now)).await.map(Some) })
    }

    fn run_days(&self, query: RunDaysQuery) -> Pending<'_, Vec<RunDays>> {
        Box::pin(self.shared.read(move |index| usage::run_days(index, &query)))
    }

    fn ready(&self) -> Pending<'_, ()> {
        Box::pin(self.shared.ready())
    }
}

impl Shared {
    /// Asks the index on a blocking thread.
    async fn read<T: Send + 'static>(self: &Arc<Self>, ask: impl FnOnce(&Index) -> Result<T> + Send + 'static) -> Result<T> {
        let shared = self.clone();
        spawn_blocking(move || ask(&*shared.index()?)).await.map_err(Error::internal)?
    }

    /// As `read`, where it is better to wait than to be told to come again.
    async fn read_after_rebuild<T: Send + 'static>(self: &Arc<Self>, ask: impl Fn(&Index) -> Result<T> + Send + 'static) -> Result<T> {
        let shared = self.clone();
        let read = move || {
            let index = shared.index_after_rebuild()?;
            match ask(&index) {
                Err(_) if index.is_broken() => ask(&*shared.index_after_rebuild()?),
                told => told,
            }
        };
        spawn_blocking(read).await.map_err(Error::internal)?
    }

    async fn read_bucket<T: Send + 'static>(
        self: &Arc<Self>,
        bucket: BucketName,
        ask: impl FnOnce(&Index, &BucketName) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        if self.buckets.get(bucket.as_str()).is_none() {
            return Err(no_such_bucket());
        }
        self.read(move |index| ask(index, &bucket)).await
    }

    async fn ready(&self) -> Result<()> {
        if self.index.load().is_none() {
            return Err(Error::new(ErrorKind::LocalUnavailable, "the index is being rebuilt"));
        }
        self.health.require_room(&self.layout, self.settings.reserve_bytes)?;
        if self.health.last_write_failed() {
            // Nobody may be writing: a write of ours finds out whether the disk is back.
            let probe = |txn: &mut crate::local::txn::Txn<'_>| {
                let starts: u64 = txn.get_row(Table::Meta, STARTS)?.unwrap_or_default();
                txn.set_row(Table::Meta, STARTS.to_vec(), &starts)
            };
            self.queue.submit(probe).await?;
        }
        Ok(())
    }
}
