//! What the gateway knows of an object, a bucket, an upload: plain values that every layer shares.

use std::collections::BTreeMap;
use std::sync::Arc;

pub use super::acl::{Acl, CannedAcl};
use super::checksum::{Checksum, ChecksumAlgorithm, ChecksumType};
use super::digest::VerifiedSha256;
use super::encryption::Encryption;
use super::etag::ETag;
use super::fields::{Fields, Unknown};
use super::inspection::Inspection;
use super::listed::listed;
use super::lock::Lock;
use super::names::{BucketName, ObjectKey, TenantId, UploadId};
use super::object_ref::VersionId;
use super::tags::Tags;
use super::timestamp::Timestamp;

/// The headers that are stored with an object and come back with it. Values are as the client sent them,
/// already known to be legal header values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectHeaders {
    pub content_type: String,
    pub cache_control: Option<String>,
    pub content_disposition: Option<String>,
    /// Without `aws-chunked`, which belongs to the transfer.
    pub content_encoding: Option<String>,
    pub content_language: Option<String>,
    pub expires: Option<String>,
    pub website_redirect: Option<String>,
    /// Only ever `STANDARD` on the embedded store; kept so that a client reads back what it wrote.
    pub storage_class: Option<String>,
    /// `x-amz-meta-*` without the prefix, names in lower case, values as the bytes that came (ASCII, UTF-8 or not).
    pub user: BTreeMap<String, Vec<u8>>,
}

listed! {
    /// Whose the objects are that others write into a bucket, and whether ACLs count there. S3's three.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Ownership {
        /// All are the bucket owner's; ACLs do not count.
        BucketOwnerEnforced,
        /// The bucket owner's where the writer gives it full control, by ACL.
        BucketOwnerPreferred,
        ObjectWriter,
    }
}

impl Ownership {
    pub fn parse(s: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|o| o.name() == s)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::BucketOwnerEnforced => "BucketOwnerEnforced",
            Self::BucketOwnerPreferred => "BucketOwnerPreferred",
            Self::ObjectWriter => "ObjectWriter",
        }
    }
}

/// One part of a multipart object, as `partNumber` reads and GetObjectAttributes need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartInfo {
    pub number: u16,
    pub size: u64,
    pub checksum: Option<Checksum>,
}

impl PartInfo {
    /// Where the object's own is of the same algorithm: a copy that was given another one has none of its parts.
    pub fn checksum_beside(&self, object: &ObjectInfo) -> Option<&Checksum> {
        self.checksum.as_ref().filter(|its| object.checksum.as_ref().is_some_and(|whole| whole.algorithm == its.algorithm))
    }
}

/// One version of an object: immutable, shared between requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    pub size: u64,
    pub etag: ETag,
    pub modified: Timestamp,
    /// Names this version and no other, in this store: the position of its record. Pins reads.
    pub generation: u64,
    /// Whose object it is: pays for it, and its content is shared with nobody else's.
    pub owner: TenantId,
    pub acl: Acl,
    pub headers: ObjectHeaders,
    /// None for a moment after a multipart upload was completed, until it was read through.
    pub sha256: Option<VerifiedSha256>,
    pub checksum: Option<Checksum>,
    /// Empty for a single PUT.
    pub parts: Vec<PartInfo>,
    /// `x-amz-restore` of an archived object, as the archive says it.
    pub restore: Option<String>,
    pub version: VersionId,
    pub lock: Lock,
    /// How many tags it has. None: the store does not say; the tags themselves are asked for (`Reads::tags`).
    pub tag_count: Option<u16>,
    /// With the client's key, where it brought one.
    pub encryption: Option<Encryption>,
    /// What was found in its bytes, where they are of a media type and were looked into.
    pub inspection: Option<Arc<Inspection>>,
    pub unknown: Unknown,
    /// Where it was found. Never in a record: the way to a version is no part of it.
    pub layer: Layer,
}

/// Which layer under the doors has the bytes of a version. Versions of two layers may have the same number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Layer {
    /// The store itself.
    #[default]
    Store,
    /// What is acknowledged and not yet stored upstream.
    WriteBack,
    /// The replica of this name, because the store can't be asked.
    Replica(Arc<str>),
    /// The old store that the bucket grew out of.
    Old,
}

impl Layer {
    /// The name of the replica.
    pub fn replica(&self) -> Option<&str> {
        match self {
            Layer::Replica(name) => Some(name),
            Layer::Store | Layer::WriteBack | Layer::Old => None,
        }
    }
}

listed! {
    /// A document attached to a bucket. What is not in this list is not implemented.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub enum BucketDocument {
        /// The location constraint it was created with, where there was one.
        Location,
        Policy,
        Cors,
        Ownership,
        PublicAccessBlock,
        Versioning,
        Tagging,
        Lifecycle,
        ObjectLock,
        Website,
        Encryption,
        Logging,
        Notification,
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    pub name: BucketName,
    pub owner: TenantId,
    pub created: Timestamp,
    pub acl: Acl,
    pub documents: BTreeMap<BucketDocument, Vec<u8>>,
    /// Changes whenever anything of the bucket changes: lets callers cache what they compiled from it.
    pub generation: u64,
    pub unknown: UnknownOfBucket,
}

/// What a newer program wrote of a bucket and this one does not know: kept, and written back with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnknownOfBucket {
    /// By number.
    pub documents: BTreeMap<u32, Vec<u8>>,
    pub fields: Fields,
}

/// One row of a listing.
#[derive(Debug, Clone)]
pub struct ListedObject {
    pub key: ObjectKey,
    pub size: u64,
    /// None: some stores leave it out of listings.
    pub etag: Option<ETag>,
    pub modified: Timestamp,
    pub owner: TenantId,
    pub checksum: Option<(ChecksumAlgorithm, ChecksumType)>,
    /// None: S3's STANDARD.
    pub storage_class: Option<String>,
}

#[derive(Debug, Clone)]
pub enum ListEntry {
    Object(ListedObject),
    CommonPrefix(String),
}

/// Everything is in UTF-8 byte order.
#[derive(Debug, Clone, Default)]
pub struct ListQuery {
    pub prefix: String,
    /// Empty: none.
    pub delimiter: String,
    /// Entries strictly after this key. With a delimiter, a common prefix that is a prefix of it, or equal, is not repeated.
    pub after: String,
    pub max: usize,
}

#[derive(Debug, Clone, Default)]
pub struct ListPage {
    pub entries: Vec<ListEntry>,
    /// Where the next page starts (as `after`); None: this was the last.
    pub next: Option<String>,
    /// The replica that shows it, because the store can't be asked.
    pub replica: Option<Arc<str>>,
}

/// An upload in progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    pub id: UploadId,
    pub bucket: BucketName,
    pub key: ObjectKey,
    /// Whose the parts are, and whose the object will be.
    pub owner: TenantId,
    pub initiated: Timestamp,
    pub acl: Acl,
    pub headers: ObjectHeaders,
    /// What the client announced in CreateMultipartUpload.
    pub checksum: Option<(ChecksumAlgorithm, ChecksumType)>,
    /// Of the object that it will be.
    pub lock: Lock,
    /// That the object will have.
    pub tags: Tags,
    /// Of its parts and of the object, with the client's key where it brought one.
    pub encryption: Option<Encryption>,
    /// Who began it, where that is not the owner. Each store keeps it behind the rest, where older rows end.
    pub initiator: Option<TenantId>,
}

impl Upload {
    pub fn initiator(&self) -> &TenantId {
        self.initiator.as_ref().unwrap_or(&self.owner)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadedPart {
    pub number: u16,
    pub size: u64,
    pub etag: ETag,
    pub modified: Timestamp,
    pub checksum: Option<Checksum>,
}

pub type SharedBucket = Arc<Bucket>;
pub type SharedObject = Arc<ObjectInfo>;
