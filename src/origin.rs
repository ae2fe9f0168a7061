//! The system of record as the rest of the gateway sees it: the embedded store (`local/`) or any S3 (`upstream/`), and layers over it.
//!
//! An `Origin` has parts. A layer puts parts of its own in the place of those that it changes and keeps the others as they are, so
//! that a call goes right to whoever has something to do with it. No method of a part has a body of its own: who changes a part must
//! say what it does with each method of it.
//! Not here: who may do it (callers come through `ops`, which holds a Grant), HTTP, XML.
//! Invariants: a write is durable before its future resolves to Ok; a body belongs to exactly the version it was
//! opened for; preconditions are decided atomically with the write they guard.
//! Called by `ops` and by nothing above it.

mod body;
mod quota;

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use crate::base::checksum::{Checksum, ChecksumAlgorithm, ChecksumType};
use crate::base::conditions::WriteConditions;
use crate::base::digest::Sha256;
use crate::base::encryption::{CustomerKey, Encryption, KeyStates};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::etag::ETag;
use crate::base::inspection::Inspection;
use crate::base::lock::{Lock, Retention};
use crate::base::names::{BucketName, ObjectKey, TenantId, UploadId};
use crate::base::object::{
    Acl, Bucket, BucketDocument, ListPage, ListQuery, ObjectHeaders, SharedBucket, SharedObject, Upload, UploadedPart,
};
use crate::base::object_ref::{ObjectRef, VersionId};
use crate::base::range::ByteRange;
use crate::base::tags::Tags;
use crate::base::timestamp::Timestamp;
use crate::base::usage::{RunDays, RunDaysQuery, StoredPage, StoredQuery};
use crate::base::versions::{Marker, VersionsPage, VersionsQuery};
use crate::ingest::{Received, Staging};

pub use body::{Body, BodySource, ReadBy};
pub use quota::{Quota, Usage};

pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// A read that has been announced: see `Reads::prefetch`. It is kept until the body was opened.
pub type Prefetch = Box<dyn Send + Sync>;

/// How old the answer to "what is there" may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// As it is now: whatever is on the S3 door, and every decision about a write.
    Current,
    /// As a cache knows it, inside the bounds that it was set: reads on the edge door.
    Cached,
}

/// What a cache has of a version, for those who watch it work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheState {
    Hit,
    /// A hit, where what the key shows was not asked for a while.
    Stale,
    Miss,
}

/// How a write came to its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dedup {
    /// The same content was there already: no second copy is stored.
    Hit,
    Miss,
}

/// A PUT whose body is yet to arrive.
pub struct Announced<'a> {
    pub bucket: &'a BucketName,
    pub key: &'a ObjectKey,
    pub owner: &'a TenantId,
    pub acl: &'a Acl,
    /// The content type is empty where it is guessed when the body is there.
    pub headers: &'a ObjectHeaders,
    pub tags: &'a Tags,
    pub encryption: Option<&'a Encryption>,
    pub conditions: &'a WriteConditions,
    /// None: the client did not say.
    pub length: Option<u64>,
    /// The body has this hash, or is refused.
    pub sha256: Option<Sha256>,
    /// Which checksum of it will be kept.
    pub algorithm: Option<ChecksumAlgorithm>,
}

pub struct PutObject {
    pub bucket: BucketName,
    pub key: ObjectKey,
    pub owner: TenantId,
    pub acl: Acl,
    pub headers: ObjectHeaders,
    pub tags: Tags,
    /// With the key, where it is the client's.
    pub encryption: Option<Encryption>,
    pub lock: Lock,
    pub conditions: WriteConditions,
    pub received: Received,
}

pub struct CopyObject {
    pub source_bucket: BucketName,
    pub source_key: ObjectKey,
    /// As it was asked for. None: the current version.
    pub source_version: Option<VersionId>,
    /// The version that the caller looked at and was granted: if it is no longer there, the copy fails and is decided anew.
    pub source: SharedObject,
    pub bucket: BucketName,
    pub key: ObjectKey,
    pub owner: TenantId,
    pub acl: Acl,
    pub headers: ObjectHeaders,
    /// All that the copy will have, those of the source too where they are copied.
    pub tags: Tags,
    /// As the source's is no matter: with the key, where it is the client's.
    pub encryption: Option<Encryption>,
    /// A copy has none of its source.
    pub lock: Lock,
    /// The checksum that it gets, over its bytes. None: its source's.
    pub checksum: Option<ChecksumAlgorithm>,
    pub conditions: WriteConditions,
}

/// What a delete depends on.
#[derive(Debug, Clone, Default)]
pub struct Delete {
    pub conditions: WriteConditions,
    /// The caller may delete what GOVERNANCE retains, and wants to.
    pub bypass: bool,
}

impl From<WriteConditions> for Delete {
    fn from(conditions: WriteConditions) -> Self {
        Delete { conditions, bypass: false }
    }
}

pub struct CompletedPart {
    pub number: u16,
    /// None: what the client sent can't be the ETag of any part.
    pub etag: Option<ETag>,
    /// As the client repeated it in the request; checked against the part's own.
    pub checksum: Option<Checksum>,
}

pub struct CompleteUpload {
    pub bucket: BucketName,
    pub key: ObjectKey,
    pub upload: UploadId,
    pub parts: Vec<CompletedPart>,
    pub conditions: WriteConditions,
    /// `x-amz-checksum-*` of the whole, and `x-amz-checksum-type`, where the client sent them.
    pub checksum: Option<Checksum>,
    pub checksum_type: Option<ChecksumType>,
    /// `x-amz-mp-object-size`.
    pub size: Option<u64>,
    /// For an upload that was begun without a retention of its own: the bucket's, which counts from now.
    pub default_retention: Option<Retention>,
    /// That the parts were encrypted with, where it is the client's.
    pub customer_key: Option<Arc<CustomerKey>>,
}

/// What is asked of an archive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restore {
    /// None: for good, where the archive brings it back for good.
    pub days: Option<u32>,
    /// How fast, by S3's names. None: as it does it as a rule.
    pub tier: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restored {
    Begun,
    /// It was back already, and stays for longer.
    Prolonged,
}

/// What a put, a copy or a completed upload made.
#[derive(Debug)]
pub struct Written {
    pub object: SharedObject,
    pub dedup: Dedup,
}

/// What a delete did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deleted {
    /// Whether there was anything under the key. None: the store did not say.
    pub existed: Option<bool>,
    /// The version that is gone, or the delete marker that was made. None: nothing that has an id.
    pub version: Option<VersionId>,
    /// It is, or was, a delete marker.
    pub marker: bool,
}

impl Deleted {
    /// Where no versions are kept.
    pub const SOMETHING: Self = Deleted { existed: Some(true), version: None, marker: false };
    pub const NOTHING: Self = Deleted { existed: Some(false), version: None, marker: false };
    pub const UNKNOWN: Self = Deleted { existed: None, version: None, marker: false };
}

#[derive(Debug, Clone, Default)]
pub struct UploadsQuery {
    pub prefix: String,
    pub delimiter: String,
    pub key_marker: String,
    /// Only with a key marker: uploads of that very key after this id.
    pub upload_marker: String,
    pub max: usize,
}

#[derive(Debug, Clone, Default)]
pub struct UploadsPage {
    pub uploads: Vec<Upload>,
    pub common_prefixes: Vec<String>,
    /// Key and upload id (empty after a common prefix) of the last entry, where more follow.
    pub next: Option<(String, String)>,
}

/// What holds the objects: the embedded store, an S3, or a layer over one. Cheap to clone.
#[derive(Clone)]
pub struct Origin {
    pub buckets: Arc<dyn Buckets>,
    pub reads: Arc<dyn Reads>,
    pub intake: Arc<dyn Intake>,
    pub writes: Arc<dyn Writes>,
    pub uploads: Arc<dyn Uploads>,
    pub settings: Arc<dyn OwnSettings>,
    pub control: Arc<dyn Control>,
    pub inspections: Arc<dyn Inspections>,
    /// None: the store keeps no index of what lifecycle rules may concern; who wants to know lists.
    pub due: Option<Arc<dyn DueIndex>>,
    /// None: the store keeps nothing of when objects were read.
    pub last_reads: Option<Arc<dyn LastReads>>,
    /// None: the store encrypts with keys of somebody else.
    pub encryption_keys: Option<Arc<dyn EncryptionKeys>>,
    /// Objects lie in storage classes, as their writers ask.
    pub has_classes: bool,
}

impl Origin {
    /// A store, which is all parts in one.
    pub fn of<S: Buckets + Reads + Intake + Writes + Uploads + OwnSettings + Inspections + Control>(store: Arc<S>) -> Self {
        Origin {
            buckets: store.clone(),
            reads: store.clone(),
            intake: store.clone(),
            writes: store.clone(),
            uploads: store.clone(),
            settings: store.clone(),
            inspections: store.clone(),
            control: store,
            due: None,
            last_reads: None,
            encryption_keys: None,
            has_classes: false,
        }
    }
}

/// A key that lifecycle rules may concern by now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueKey {
    pub bucket: BucketName,
    pub key: ObjectKey,
    /// What the index has of it, and in which state.
    pub rows: Vec<(Vec<u8>, Vec<u8>)>,
}

#[derive(Debug, Clone, Default)]
pub struct DuePage {
    pub keys: Vec<DueKey>,
    /// Where the next page begins, as `after`.
    pub last: Vec<u8>,
    pub more: bool,
}

/// A store's index of what is due, by time: hints, which whoever finds one looks into.
pub trait DueIndex: Send + Sync + 'static {
    /// In order of time, of at most `max` rows. `after`: the last row of the page before; empty: from the beginning.
    fn due<'a>(&'a self, by: Timestamp, after: &'a [u8], max: usize) -> Pending<'a, DuePage>;
    /// These were looked at, and each is to be looked at again then. What was written since they were found keeps its hint.
    fn looked_at(&self, keys: Vec<(DueKey, Option<Timestamp>)>) -> Pending<'_, ()>;
    /// The rules of all buckets may be others now.
    fn mark_all(&self) -> Pending<'_, ()>;
    /// Reads on in a bucket whose rules changed, at most so many rows. False: there is none.
    fn look_through(&self, max: usize) -> Pending<'_, bool>;
}

/// When objects were read last, kept for lifecycle rules that ask for it: see `ops::lifecycle::reads`.
pub trait LastReads: Send + Sync + 'static {
    /// Each may have been read until then. Durable when it is answered.
    fn keep_reads(&self, reads: Vec<(BucketName, ObjectKey, Timestamp)>) -> Pending<'_, ()>;
    /// None: nothing is known.
    fn last_read<'a>(&'a self, bucket: &'a BucketName, key: &'a ObjectKey) -> Pending<'a, Option<Timestamp>>;
    /// Forgets what was not read since `before`, among `max` rows from `after` on. Answers where to go on; None: that was all.
    fn forget_reads<'a>(&'a self, before: Timestamp, after: &'a [u8], max: usize) -> Pending<'a, Option<Vec<u8>>>;
}

/// The keys that a store encrypts with.
pub trait EncryptionKeys: Send + Sync + 'static {
    fn key_states(&self) -> Pending<'_, KeyStates>;
    /// Gives the store's own key a version, which wraps from now on; answers its number. What lies under older ones follows.
    fn rotate_own(&self) -> Pending<'_, u32>;
}

/// Buckets, and what is attached to them.
pub trait Buckets: Send + Sync + 'static {
    fn bucket<'a>(&'a self, name: &'a BucketName) -> Pending<'a, Option<SharedBucket>>;
    /// The same, if it is known without waiting: the way of a hot read. None: ask `bucket`.
    fn bucket_hot(&self, _name: &BucketName) -> Option<SharedBucket> {
        None
    }
    /// All buckets, by name, from `after` on: at most `max`.
    fn buckets<'a>(&'a self, owner: Option<&'a TenantId>, prefix: &'a str, after: &'a str, max: usize) -> Pending<'a, Vec<SharedBucket>>;
    /// Fails with BucketAlreadyExists / BucketAlreadyOwnedByYou.
    fn create_bucket(&self, bucket: Bucket) -> Pending<'_, SharedBucket>;
    /// Fails with NoSuchBucket / BucketNotEmpty. Uploads in progress are aborted.
    fn delete_bucket<'a>(&'a self, name: &'a BucketName) -> Pending<'a, ()>;
    fn set_bucket_document<'a>(&'a self, name: &'a BucketName, document: BucketDocument, value: Option<Vec<u8>>) -> Pending<'a, ()>;
    fn set_bucket_acl<'a>(&'a self, name: &'a BucketName, acl: Acl) -> Pending<'a, ()>;
}

/// Which version a key shows, the bytes of exactly that version, and listings.
pub trait Reads: Send + Sync + 'static {
    /// The version that is meant; None: there is none, or it is a delete marker. Fails with NoSuchBucket where the bucket is gone.
    fn stat<'a>(&'a self, of: ObjectRef<'a>, freshness: Freshness) -> Pending<'a, Option<SharedObject>>;
    /// The same, if it is known without waiting: the way of a hot read. None: ask `stat`.
    fn stat_hot(&self, of: ObjectRef<'_>, freshness: Freshness) -> Option<SharedObject>;
    /// `range` of exactly the version `object`. None: that version was replaced or deleted meanwhile; stat again.
    fn open<'a>(&'a self, of: ObjectRef<'a>, object: &'a SharedObject, range: ByteRange, by: ReadBy) -> Pending<'a, Option<Body>>;
    /// `stat` and `open` of this are about to follow, for a reader who may read whatever the key shows. An origin that is far away may
    /// ask for the bytes together with what there is; what `open` did not take goes with the answer. None: nothing is gained by that.
    fn prefetch(&self, of: ObjectRef<'_>, range: ByteRange) -> Option<Prefetch>;
    /// As `open`, where all of it is in memory already. None: ask `open`.
    fn open_hot(&self, of: ObjectRef<'_>, object: &SharedObject, range: ByteRange, by: ReadBy) -> Option<Body>;
    /// The same version with its parts, where `stat` left them out because they cost a question of their own.
    fn with_parts<'a>(&'a self, of: ObjectRef<'a>, object: &'a SharedObject) -> Pending<'a, SharedObject>;
    /// The tags of exactly the version `object`. None: that version was replaced or deleted meanwhile; stat again.
    fn tags<'a>(&'a self, of: ObjectRef<'a>, object: &'a SharedObject) -> Pending<'a, Option<Tags>>;
    /// What a cache has of the version's bytes from `offset` on. None: there is no cache, all is at hand.
    fn cache_state(&self, of: ObjectRef<'_>, object: &SharedObject, offset: u64) -> Option<CacheState>;
    /// The key that content of the owner was last written under, as far as that is known; it may have gone since.
    fn find_content<'a>(&'a self, owner: &'a TenantId, sha256: &'a Sha256) -> Pending<'a, Option<(BucketName, ObjectKey)>>;
    fn list<'a>(&'a self, bucket: &'a BucketName, query: &'a ListQuery) -> Pending<'a, ListPage>;
    /// The delete marker that is meant, where `stat` found nothing.
    fn marker<'a>(&'a self, of: ObjectRef<'a>) -> Pending<'a, Option<Marker>>;
    fn list_versions<'a>(&'a self, bucket: &'a BucketName, query: &'a VersionsQuery) -> Pending<'a, VersionsPage>;
}

/// What comes before a write: whether the key can be kept, and where the body is staged.
pub trait Intake: Send + Sync + 'static {
    /// Whether the key can be kept in the bucket with such tags, here and wherever else it will be brought: what is acknowledged must
    /// not be refused later.
    fn takes<'a>(&'a self, bucket: &'a BucketName, key: &'a ObjectKey, tags: &'a Tags) -> Pending<'a, ()>;
    /// Where a body of the tenant is staged while it arrives.
    fn staging(&self, owner: &TenantId) -> Staging;
    /// The same for the body of a PUT, so that an origin can begin with it before it is whole. The body need not be followed by `put`.
    fn staging_for(&self, put: &Announced<'_>) -> Staging;
    /// The same for another body, such as a part, of which is known what it will be encrypted with.
    fn staging_under(&self, owner: &TenantId, of: Option<&Encryption>) -> Staging;
}

/// All that changes what a key shows. Preconditions and quotas are decided in one step with the write.
pub trait Writes: Send + Sync + 'static {
    fn put(&self, put: PutObject, quota: Quota) -> Pending<'_, Written>;
    fn copy(&self, copy: CopyObject, quota: Quota) -> Pending<'_, Written>;
    /// Deleting what is not there succeeds, unless a condition asked for it.
    /// Of a version: that very one. Of the current one: as the bucket keeps versions, it goes or a marker is put before it.
    fn delete<'a>(&'a self, of: ObjectRef<'a>, delete: Delete) -> Pending<'a, Deleted>;
    fn set_object_acl<'a>(&'a self, of: ObjectRef<'a>, acl: Acl) -> Pending<'a, ()>;
    /// In place of those that it has. The version stays what it is, with its ETag and its time.
    fn set_tags<'a>(&'a self, of: ObjectRef<'a>, tags: Tags) -> Pending<'a, ()>;
    /// None ends it. What it may not change is refused with AccessDenied; `bypass` as in `Delete`.
    fn set_retention<'a>(&'a self, of: ObjectRef<'a>, retention: Option<Retention>, bypass: bool) -> Pending<'a, ()>;
    fn set_legal_hold<'a>(&'a self, of: ObjectRef<'a>, on: bool) -> Pending<'a, ()>;
    /// Makes an archived object readable again for a while. Fails with InvalidObjectState where it is not archived.
    fn restore<'a>(&'a self, of: ObjectRef<'a>, wanted: Restore) -> Pending<'a, Restored>;
    /// Idempotent for a while: the same request again answers the same object.
    fn complete_upload(&self, complete: CompleteUpload, quota: Quota) -> Pending<'_, Written>;
}

/// Multipart uploads, until they are completed.
pub trait Uploads: Send + Sync + 'static {
    /// As it was begun: an origin may give it an id of its own.
    fn create_upload(&self, upload: Upload) -> Pending<'_, Upload>;
    /// Fails with NoSuchUpload where `upload` is not one of this bucket and key.
    fn upload<'a>(&'a self, bucket: &'a BucketName, key: &'a ObjectKey, upload: &'a UploadId) -> Pending<'a, Upload>;
    fn put_part<'a>(&'a self, upload: &'a Upload, number: u16, received: Received, quota: Quota) -> Pending<'a, UploadedPart>;
    /// In order of number, after `after`: at most `max`, and whether more follow.
    fn parts<'a>(&'a self, upload: &'a Upload, after: u16, max: usize) -> Pending<'a, (Vec<UploadedPart>, bool)>;
    fn abort_upload<'a>(&'a self, bucket: &'a BucketName, key: &'a ObjectKey, upload: &'a UploadId) -> Pending<'a, ()>;
    fn uploads<'a>(&'a self, bucket: &'a BucketName, query: &'a UploadsQuery) -> Pending<'a, UploadsPage>;
}

/// Settings of the gateway itself, such as keys made by `tidegate key`: small documents by space and name.
pub trait OwnSettings: Send + Sync + 'static {
    fn settings<'a>(&'a self, space: &'a str) -> Pending<'a, Vec<(String, Vec<u8>)>>;
    fn set_setting<'a>(&'a self, space: &'a str, name: &'a str, value: Option<Vec<u8>>) -> Pending<'a, ()>;
    /// Where there is none of that name yet. False: there is one, and it stays.
    fn add_setting<'a>(&'a self, space: &'a str, name: &'a str, value: Vec<u8>) -> Pending<'a, bool>;
}

/// What was found in the bytes of versions, kept beside them and gone with them. As it stands here: by a store that keeps none of it.
pub trait Inspections: Send + Sync + 'static {
    /// Of exactly this version, where the object itself does not say it.
    fn inspection<'a>(&'a self, of: ObjectRef<'a>, object: &'a SharedObject) -> Pending<'a, Option<Arc<Inspection>>> {
        let _ = (of, object);
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Of the version that the key shows. False: it shows another one by now.
    fn set_inspection<'a>(&'a self, of: ObjectRef<'a>, object: &'a SharedObject, inspection: &'a Inspection) -> Pending<'a, bool> {
        let _ = (of, object, inspection);
        Box::pin(std::future::ready(Ok(false)))
    }

    /// The key shows nothing any more.
    fn forget_inspection<'a>(&'a self, of: ObjectRef<'a>) -> Pending<'a, ()> {
        let _ = of;
        Box::pin(std::future::ready(Ok(())))
    }
}

/// The origin as a whole.
pub trait Control: Send + Sync + 'static {
    /// A consistent copy of all that is stored, made while serving, into an empty directory. Then `rest` adds what others keep
    /// beside it; only when that is done too does the copy count as whole.
    fn snapshot<'a>(&'a self, directory: &'a Path, rest: Pending<'a, ()>) -> Pending<'a, ()>;
    fn usage<'a>(&'a self, tenant: &'a TenantId) -> Pending<'a, Usage>;
    /// Of all tenants in the bucket. None: it is not counted with each write.
    fn usage_of_bucket<'a>(&'a self, bucket: &'a BucketName) -> Pending<'a, Option<Usage>> {
        let _ = bucket;
        Box::pin(std::future::ready(Ok(None)))
    }
    /// What is stored, by place. None: it is not counted with each write.
    fn stored(&self, query: StoredQuery) -> Pending<'_, Option<StoredPage>> {
        drop(query);
        Box::pin(async { Ok(None) })
    }
    /// How long how much of each run was stored, by day: where the history of what is stored does not tell it by itself.
    fn run_days(&self, query: RunDaysQuery) -> Pending<'_, Vec<RunDays>> {
        drop(query);
        Box::pin(async { Ok(Vec::new()) })
    }
    /// Ok: reads and writes can be served now. Err says what is wrong (disk, index, upstream).
    fn ready(&self) -> Pending<'_, ()>;
}

/// CompleteMultipartUpload says a checksum of a part that is not of the algorithm of the part's own.
pub fn other_checksum(number: u16, algorithm: ChecksumAlgorithm) -> Error {
    let text = format!("The {} you specified for part {number} did not match what we received.", algorithm.name().to_lowercase());
    Error::new(ErrorKind::BadDigest, text).detail("PartNumber", number.to_string())
}

pub fn not_archived() -> Error {
    Error::new(ErrorKind::InvalidObjectState, "Restore is not allowed for the object's current storage class")
}

/// Where a lock is asked for that nothing can hold.
pub fn no_lock_configuration() -> Error {
    Error::new(ErrorKind::InvalidRequest, "Bucket is missing Object Lock Configuration")
}
