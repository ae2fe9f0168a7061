//! Names of what is kept: a version of an object, and its blocks.
//!
//! Invariant: two versions that may differ in a byte never share a `VersionId`: it is a hash of whose object it is, bucket, key,
//! ETag, size, and of how it is cut into blocks; in a bucket that keeps versions, also of the name that the version has there.

use sha2::{Digest as _, Sha256};

use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::SharedObject;
use crate::base::object_ref::{self, ObjectRef};
use crate::base::range::ByteRange;

/// A bucket and key, whatever is there. A collision costs a purge too much, and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub [u8; 8]);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionId(pub [u8; 16]);

/// In this order the blocks of a version stand side by side, and so do the versions of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockId {
    pub object: ObjectId,
    pub version: VersionId,
    pub number: u32,
}

/// One version of an object, cut into blocks.
#[derive(Debug)]
pub struct Version {
    pub bucket: BucketName,
    pub key: ObjectKey,
    /// By which it was asked for. None: the current one.
    asked: Option<object_ref::VersionId>,
    pub info: SharedObject,
    pub block_bytes: u64,
    object: ObjectId,
    id: VersionId,
}

impl ObjectId {
    pub fn of(bucket: &BucketName, key: &ObjectKey) -> Self {
        ObjectId(digest(&[bucket.as_str().as_bytes(), key.as_str().as_bytes()]))
    }
}

impl Version {
    pub fn new(of: ObjectRef<'_>, info: &SharedObject, block_bytes: u64) -> Self {
        let ObjectRef { bucket, key, version: asked, .. } = of;
        let etag = info.etag.to_string();
        let (owner, size, cut) = (info.owner.as_str().as_bytes(), info.size.to_le_bytes(), block_bytes.to_le_bytes());
        let fields = [owner, bucket.as_str().as_bytes(), key.as_str().as_bytes(), etag.as_bytes(), &size, &cut];
        let id = VersionId(match &info.version {
            object_ref::VersionId::Null => digest(&fields),
            // Two of the same bytes may differ in all that is said of them.
            object_ref::VersionId::Named(name) => digest(&[&fields[..], &[name.as_bytes()]].concat()),
        });
        Version {
            bucket: bucket.clone(),
            key: key.clone(),
            asked: asked.id().cloned(),
            info: info.clone(),
            block_bytes,
            object: ObjectId::of(bucket, key),
            id,
        }
    }

    /// As the origin is asked for it.
    pub fn object_ref(&self) -> ObjectRef<'_> {
        ObjectRef { bucket: &self.bucket, key: &self.key, version: self.asked.as_ref().into(), unlock: None }
    }

    pub fn object(&self) -> ObjectId {
        self.object
    }

    pub fn id(&self) -> VersionId {
        self.id
    }

    pub fn block(&self, number: u32) -> BlockId {
        BlockId { object: self.object, version: self.id, number }
    }

    /// That of the byte at `offset`.
    pub fn number_at(&self, offset: u64) -> u32 {
        // S3's largest object is 5 TB, and a block has 64 KiB at least.
        u32::try_from(offset / self.block_bytes).unwrap_or(u32::MAX)
    }

    /// The bytes of a block; the last one is shorter.
    pub fn range_of(&self, number: u32) -> ByteRange {
        let start = u64::from(number) * self.block_bytes;
        ByteRange { start: start.min(self.info.size), end: (start + self.block_bytes).min(self.info.size) }
    }
}

/// Of the fields one after the other, each with its length before it.
fn digest<const N: usize>(fields: &[&[u8]]) -> [u8; N] {
    let mut hasher = Sha256::new();
    for field in fields {
        hasher.update((field.len() as u64).to_le_bytes());
        hasher.update(field);
    }
    let all: [u8; 32] = hasher.finalize().into();
    let mut out = [0; N];
    out.iter_mut().zip(all).for_each(|(to, byte)| *to = byte);
    out
}
