//! A store far away: a `Local` that can be counted, broken and held up.

use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;

use super::collect;
use super::*;

/// A store far away.
pub struct Far {
    pub local: Arc<Local>,
    pub stats: AtomicU64,
    pub opens: AtomicU64,
    /// Announced reads.
    pub prefetched: Mutex<Vec<ByteRange>>,
    pub down: AtomicBool,
    /// Of each answer, in milliseconds.
    pub slow: AtomicU64,
    /// Bodies break in their middle.
    pub breaking: AtomicBool,
}

impl Far {
    async fn reach(&self, count: &AtomicU64) -> Result<()> {
        count.fetch_add(1, Ordering::SeqCst);
        match self.slow.load(Ordering::SeqCst) {
            0 => {}
            ms => tokio::time::sleep(Duration::from_millis(ms)).await,
        }
        if self.down.load(Ordering::SeqCst) { Err(Error::new(ErrorKind::BadGateway, "down")) } else { Ok(()) }
    }
}

struct Breaking(Bytes);

impl BodySource for Breaking {
    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        Poll::Ready(Some(match self.0.is_empty() {
            true => Err(Error::new(ErrorKind::BadGateway, "broke")),
            false => Ok(std::mem::take(&mut self.0)),
        }))
    }

    fn remaining(&self) -> u64 {
        self.0.len() as u64
    }
}

macro_rules! elsewhere {
    ($(fn $name:ident $(<$a:lifetime>)? ($($arg:ident: $type:ty),*) -> $answer:ty;)*) => {
        $(fn $name<'a>(&'a self, $($arg: $type),*) -> Pending<'a, $answer> { self.local.$name($($arg),*) })*
    };
}

impl crate::origin::Inspections for Far {}

impl Buckets for Far {
    fn bucket<'a>(&'a self, name: &'a BucketName) -> Pending<'a, Option<SharedBucket>> {
        Box::pin(async move {
            self.reach(&AtomicU64::new(0)).await?;
            self.local.bucket(name).await
        })
    }

    elsewhere! {
        fn buckets(owner: Option<&'a TenantId>, prefix: &'a str, after: &'a str, max: usize) -> Vec<SharedBucket>;
        fn create_bucket(bucket: Bucket) -> SharedBucket;
        fn delete_bucket(name: &'a BucketName) -> ();
        fn set_bucket_document(name: &'a BucketName, document: BucketDocument, value: Option<Vec<u8>>) -> ();
        fn set_bucket_acl(name: &'a BucketName, acl: Acl) -> ();
    }
}

impl Reads for Far {
    fn stat<'a>(&'a self, of: ObjectRef<'a>, freshness: Freshness) -> Pending<'a, Option<SharedObject>> {
        Box::pin(async move {
            self.reach(&self.stats).await?;
            let found = self.local.stat(of, freshness).await;
            // On the way back, too.
            tokio::task::yield_now().await;
            found
        })
    }

    fn stat_hot(&self, _: ObjectRef<'_>, _: Freshness) -> Option<SharedObject> {
        None
    }

    fn open<'a>(&'a self, of: ObjectRef<'a>, object: &'a SharedObject, range: ByteRange, by: ReadBy) -> Pending<'a, Option<Body>> {
        Box::pin(async move {
            self.reach(&self.opens).await?;
            let now = self.local.stat(of, Freshness::Current).await?;
            // As `If-Match` does it.
            if now.is_none_or(|now| now.etag != object.etag) {
                return Ok(None);
            }
            let opened = self.local.open(of, object, range, by).await?;
            let Some(body) = opened.filter(|_| self.breaking.load(Ordering::SeqCst)) else {
                return self.local.open(of, object, range, by).await;
            };
            let bytes = collect(body).await?;
            Ok(Some(Body::Stream(Box::pin(Breaking(bytes[..bytes.len() / 2].to_vec().into())))))
        })
    }

    fn prefetch(&self, _: ObjectRef<'_>, range: ByteRange) -> Option<Prefetch> {
        self.prefetched.lock().unwrap().push(range);
        None
    }

    fn open_hot(&self, _: ObjectRef<'_>, _: &SharedObject, _: ByteRange, _: ReadBy) -> Option<Body> {
        None
    }

    fn cache_state(&self, of: ObjectRef<'_>, object: &SharedObject, offset: u64) -> Option<CacheState> {
        self.local.cache_state(of, object, offset)
    }

    elsewhere! {
        fn tags(of: ObjectRef<'a>, object: &'a SharedObject) -> Option<Tags>;
        fn with_parts(of: ObjectRef<'a>, object: &'a SharedObject) -> SharedObject;
        fn find_content(owner: &'a TenantId, sha256: &'a Sha256) -> Option<(BucketName, ObjectKey)>;
        fn list(bucket: &'a BucketName, query: &'a ListQuery) -> ListPage;
        fn marker(of: ObjectRef<'a>) -> Option<Marker>;
        fn list_versions(bucket: &'a BucketName, query: &'a VersionsQuery) -> VersionsPage;
    }
}

impl Intake for Far {
    fn staging(&self, owner: &TenantId) -> Staging {
        self.local.staging(owner)
    }

    fn staging_for(&self, put: &Announced<'_>) -> Staging {
        self.local.staging_for(put)
    }

    fn staging_under(&self, owner: &TenantId, of: Option<&Encryption>) -> Staging {
        self.local.staging_under(owner, of)
    }

    elsewhere! {
        fn takes(bucket: &'a BucketName, key: &'a ObjectKey, tags: &'a Tags) -> ();
    }
}

impl Writes for Far {
    elsewhere! {
        fn put(put: PutObject, quota: Quota) -> Written;
        fn copy(copy: CopyObject, quota: Quota) -> Written;
        fn delete(of: ObjectRef<'a>, delete: Delete) -> Deleted;
        fn set_object_acl(of: ObjectRef<'a>, acl: Acl) -> ();
        fn set_tags(of: ObjectRef<'a>, tags: Tags) -> ();
        fn set_retention(of: ObjectRef<'a>, retention: Option<Retention>, bypass: bool) -> ();
        fn set_legal_hold(of: ObjectRef<'a>, on: bool) -> ();
        fn restore(of: ObjectRef<'a>, wanted: Restore) -> Restored;
        fn complete_upload(complete: CompleteUpload, quota: Quota) -> Written;
    }
}

impl Uploads for Far {
    elsewhere! {
        fn create_upload(upload: Upload) -> Upload;
        fn upload(bucket: &'a BucketName, key: &'a ObjectKey, upload: &'a UploadId) -> Upload;
        fn put_part(upload: &'a Upload, number: u16, received: Received, quota: Quota) -> UploadedPart;
        fn parts(upload: &'a Upload, after: u16, max: usize) -> (Vec<UploadedPart>, bool);
        fn abort_upload(bucket: &'a BucketName, key: &'a ObjectKey, upload: &'a UploadId) -> ();
        fn uploads(bucket: &'a BucketName, query: &'a UploadsQuery) -> UploadsPage;
    }
}

impl OwnSettings for Far {
    elsewhere! {
        fn settings(space: &'a str) -> Vec<(String, Vec<u8>)>;
        fn set_setting(space: &'a str, name: &'a str, value: Option<Vec<u8>>) -> ();
        fn add_setting(space: &'a str, name: &'a str, value: Vec<u8>) -> bool;
    }
}

impl Control for Far {
    elsewhere! {
        fn snapshot(directory: &'a Path, rest: Pending<'a, ()>) -> ();
        fn usage(tenant: &'a TenantId) -> Usage;
        fn ready() -> ();
    }
}
