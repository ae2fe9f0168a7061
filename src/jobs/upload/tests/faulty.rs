//! An upstream that can be away, lose answers, refuse, or take a write that comes late.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::base::digest::Sha256;
use crate::base::encryption::Encryption;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::lock::Retention;
use crate::base::names::{BucketName, ObjectKey, TenantId, UploadId};
use crate::base::object::{Acl, Bucket, BucketDocument, ListPage, ListQuery, SharedBucket, SharedObject, Upload, UploadedPart};
use crate::base::object_ref::ObjectRef;
use crate::base::range::ByteRange;
use crate::base::tags::Tags;
use crate::base::versions::{Marker, VersionsPage, VersionsQuery};
use crate::ingest::{Received, Staging};
use crate::local::Local;
use crate::origin::{
    Announced, Body, Buckets, CacheState, CompleteUpload, Control, CopyObject, Delete, Deleted, Freshness, Intake, OwnSettings, Pending,
    Prefetch, PutObject, Quota, ReadBy, Reads, Restore, Restored, Uploads, UploadsPage, UploadsQuery, Usage, Writes, Written,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Fine,
    /// Nothing reaches it.
    Away,
    /// Writes are done, and their answers lost.
    Forgetful,
    /// Puts are answered as failed, and done when `land` says so.
    Late,
    /// Writes are refused for good.
    Refusing,
    /// Each call is one of the first three.
    Moody,
}

pub struct Faulty {
    pub inner: Arc<Local>,
    mode: Mutex<Mode>,
    late: Mutex<Vec<PutObject>>,
    calls: AtomicU64,
    pub puts: AtomicU64,
}

impl Faulty {
    pub fn new(inner: Arc<Local>) -> Arc<Self> {
        let (mode, late) = (Mutex::new(Mode::Fine), Mutex::default());
        Arc::new(Faulty { inner, mode, late, calls: AtomicU64::new(0), puts: AtomicU64::new(0) })
    }

    pub fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    pub fn mode(&self) -> Mode {
        match *self.mode.lock().unwrap() {
            Mode::Moody => match self.calls.fetch_add(1, Ordering::SeqCst).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60 {
                0..3 => Mode::Away,
                3..6 => Mode::Forgetful,
                _ => Mode::Fine,
            },
            mode => mode,
        }
    }

    /// Puts that lost their way arrive.
    pub async fn land(&self) {
        let late = std::mem::take(&mut *self.late.lock().unwrap());
        for put in late {
            let _ = self.inner.put(put, Quota::default()).await;
        }
    }

    async fn write<T>(&self, write: impl Future<Output = Result<T>>) -> Result<T> {
        match self.mode() {
            Mode::Away | Mode::Late => Err(away()),
            Mode::Refusing => Err(Error::new(ErrorKind::AccessDenied, "Access Denied")),
            Mode::Forgetful => match write.await {
                Ok(_) => Err(away()),
                refused => refused,
            },
            Mode::Fine | Mode::Moody => write.await,
        }
    }

    async fn read<T>(&self, read: impl Future<Output = Result<T>>) -> Result<T> {
        if self.mode() == Mode::Away { Err(away()) } else { read.await }
    }

    async fn put_here(&self, put: PutObject) -> Result<Written> {
        self.puts.fetch_add(1, Ordering::SeqCst);
        if self.mode() == Mode::Late {
            self.late.lock().unwrap().push(put);
            return Err(away());
        }
        self.write(self.inner.put(put, Quota::default())).await
    }

    /// A put that comes later than a later delete would be taken: nobody could tell it from a new one.
    pub fn lose_late(&self, key: &str) {
        self.late.lock().unwrap().retain(|put| put.key.as_str() != key);
    }
}

pub fn away() -> Error {
    Error::new(ErrorKind::UpstreamUnavailable, "The upstream can't be reached.")
}

impl crate::origin::Inspections for Faulty {}

impl Buckets for Faulty {
    fn bucket<'a>(&'a self, name: &'a BucketName) -> Pending<'a, Option<SharedBucket>> {
        Box::pin(self.read(self.inner.bucket(name)))
    }

    fn buckets<'a>(&'a self, owner: Option<&'a TenantId>, prefix: &'a str, after: &'a str, max: usize) -> Pending<'a, Vec<SharedBucket>> {
        Box::pin(self.read(self.inner.buckets(owner, prefix, after, max)))
    }

    fn create_bucket(&self, bucket: Bucket) -> Pending<'_, SharedBucket> {
        Box::pin(self.write(self.inner.create_bucket(bucket)))
    }

    fn delete_bucket<'a>(&'a self, name: &'a BucketName) -> Pending<'a, ()> {
        Box::pin(self.write(self.inner.delete_bucket(name)))
    }

    fn set_bucket_document<'a>(&'a self, name: &'a BucketName, document: BucketDocument, value: Option<Vec<u8>>) -> Pending<'a, ()> {
        Box::pin(self.write(self.inner.set_bucket_document(name, document, value)))
    }

    fn set_bucket_acl<'a>(&'a self, name: &'a BucketName, acl: Acl) -> Pending<'a, ()> {
        Box::pin(self.write(self.inner.set_bucket_acl(name, acl)))
    }
}

impl Reads for Faulty {
    fn stat<'a>(&'a self, of: ObjectRef<'a>, freshness: Freshness) -> Pending<'a, Option<SharedObject>> {
        Box::pin(self.read(self.inner.stat(of, freshness)))
    }

    fn stat_hot(&self, _: ObjectRef<'_>, _: Freshness) -> Option<SharedObject> {
        None
    }

    fn open<'a>(&'a self, of: ObjectRef<'a>, object: &'a SharedObject, range: ByteRange, by: ReadBy) -> Pending<'a, Option<Body>> {
        Box::pin(self.read(self.inner.open(of, object, range, by)))
    }

    fn prefetch(&self, _: ObjectRef<'_>, _: ByteRange) -> Option<Prefetch> {
        None
    }

    fn open_hot(&self, _: ObjectRef<'_>, _: &SharedObject, _: ByteRange, _: ReadBy) -> Option<Body> {
        None
    }

    fn tags<'a>(&'a self, of: ObjectRef<'a>, object: &'a SharedObject) -> Pending<'a, Option<Tags>> {
        Box::pin(self.read(self.inner.tags(of, object)))
    }

    fn find_content<'a>(&'a self, owner: &'a TenantId, sha256: &'a Sha256) -> Pending<'a, Option<(BucketName, ObjectKey)>> {
        Box::pin(self.read(self.inner.find_content(owner, sha256)))
    }

    fn list<'a>(&'a self, bucket: &'a BucketName, query: &'a ListQuery) -> Pending<'a, ListPage> {
        Box::pin(self.read(self.inner.list(bucket, query)))
    }

    fn marker<'a>(&'a self, of: ObjectRef<'a>) -> Pending<'a, Option<Marker>> {
        Box::pin(self.read(self.inner.marker(of)))
    }

    fn list_versions<'a>(&'a self, bucket: &'a BucketName, query: &'a VersionsQuery) -> Pending<'a, VersionsPage> {
        Box::pin(self.read(self.inner.list_versions(bucket, query)))
    }

    fn cache_state(&self, of: ObjectRef<'_>, object: &SharedObject, offset: u64) -> Option<CacheState> {
        self.inner.cache_state(of, object, offset)
    }

    fn with_parts<'a>(&'a self, of: ObjectRef<'a>, object: &'a SharedObject) -> Pending<'a, SharedObject> {
        Box::pin(self.read(self.inner.with_parts(of, object)))
    }
}

impl Intake for Faulty {
    fn takes<'a>(&'a self, bucket: &'a BucketName, key: &'a ObjectKey, tags: &'a Tags) -> Pending<'a, ()> {
        self.inner.takes(bucket, key, tags)
    }

    fn staging(&self, owner: &TenantId) -> Staging {
        self.inner.staging(owner)
    }

    fn staging_for(&self, put: &Announced<'_>) -> Staging {
        self.inner.staging_for(put)
    }

    fn staging_under(&self, owner: &TenantId, of: Option<&Encryption>) -> Staging {
        self.inner.staging_under(owner, of)
    }
}

impl Writes for Faulty {
    fn restore<'a>(&'a self, of: ObjectRef<'a>, wanted: Restore) -> Pending<'a, Restored> {
        self.inner.restore(of, wanted)
    }

    fn put(&self, put: PutObject, _: Quota) -> Pending<'_, Written> {
        Box::pin(self.put_here(put))
    }

    fn copy(&self, copy: CopyObject, quota: Quota) -> Pending<'_, Written> {
        Box::pin(self.write(self.inner.copy(copy, quota)))
    }

    fn delete<'a>(&'a self, of: ObjectRef<'a>, delete: Delete) -> Pending<'a, Deleted> {
        Box::pin(self.write(self.inner.delete(of, delete)))
    }

    fn set_object_acl<'a>(&'a self, of: ObjectRef<'a>, acl: Acl) -> Pending<'a, ()> {
        Box::pin(self.write(self.inner.set_object_acl(of, acl)))
    }

    fn set_tags<'a>(&'a self, of: ObjectRef<'a>, tags: Tags) -> Pending<'a, ()> {
        Box::pin(self.write(self.inner.set_tags(of, tags)))
    }

    fn set_retention<'a>(&'a self, of: ObjectRef<'a>, retention: Option<Retention>, bypass: bool) -> Pending<'a, ()> {
        Box::pin(self.write(self.inner.set_retention(of, retention, bypass)))
    }

    fn set_legal_hold<'a>(&'a self, of: ObjectRef<'a>, on: bool) -> Pending<'a, ()> {
        Box::pin(self.write(self.inner.set_legal_hold(of, on)))
    }

    fn complete_upload(&self, complete: CompleteUpload, quota: Quota) -> Pending<'_, Written> {
        Box::pin(self.write(self.inner.complete_upload(complete, quota)))
    }
}

impl Uploads for Faulty {
    fn create_upload(&self, upload: Upload) -> Pending<'_, Upload> {
        Box::pin(self.write(self.inner.create_upload(upload)))
    }

    fn upload<'a>(&'a self, bucket: &'a BucketName, key: &'a ObjectKey, upload: &'a UploadId) -> Pending<'a, Upload> {
        Box::pin(self.read(self.inner.upload(bucket, key, upload)))
    }

    fn put_part<'a>(&'a self, upload: &'a Upload, number: u16, received: Received, quota: Quota) -> Pending<'a, UploadedPart> {
        Box::pin(self.write(self.inner.put_part(upload, number, received, quota)))
    }

    fn parts<'a>(&'a self, upload: &'a Upload, after: u16, max: usize) -> Pending<'a, (Vec<UploadedPart>, bool)> {
        Box::pin(self.read(self.inner.parts(upload, after, max)))
    }

    fn abort_upload<'a>(&'a self, bucket: &'a BucketName, key: &'a ObjectKey, upload: &'a UploadId) -> Pending<'a, ()> {
        Box::pin(self.write(self.inner.abort_upload(bucket, key, upload)))
    }

    fn uploads<'a>(&'a self, bucket: &'a BucketName, query: &'a UploadsQuery) -> Pending<'a, UploadsPage> {
        Box::pin(self.read(self.inner.uploads(bucket, query)))
    }
}

impl OwnSettings for Faulty {
    fn settings<'a>(&'a self, space: &'a str) -> Pending<'a, Vec<(String, Vec<u8>)>> {
        Box::pin(self.read(self.inner.settings(space)))
    }

    fn set_setting<'a>(&'a self, space: &'a str, name: &'a str, value: Option<Vec<u8>>) -> Pending<'a, ()> {
        Box::pin(self.write(self.inner.set_setting(space, name, value)))
    }

    fn add_setting<'a>(&'a self, space: &'a str, name: &'a str, value: Vec<u8>) -> Pending<'a, bool> {
        Box::pin(self.write(self.inner.add_setting(space, name, value)))
    }
}

impl Control for Faulty {
    fn snapshot<'a>(&'a self, directory: &'a Path, rest: Pending<'a, ()>) -> Pending<'a, ()> {
        self.inner.snapshot(directory, rest)
    }

    fn usage<'a>(&'a self, tenant: &'a TenantId) -> Pending<'a, Usage> {
        Box::pin(self.read(self.inner.usage(tenant)))
    }

    fn ready(&self) -> Pending<'_, ()> {
        Box::pin(self.read(self.inner.ready()))
    }
}
