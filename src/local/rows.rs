//! The rows of the store: which tables there are, and what a row of each holds. How it is written: `stored`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::checksum::Checksum;
use crate::base::crypt::{Envelope, PartKey, Place};
use crate::base::digest::{Sha256, VerifiedSha256};
use crate::base::error::{Error, Result};
use crate::base::etag::ETag;
use crate::base::fields::{Fields, Unknown};
use crate::base::inspection::Inspection;
use crate::base::listed::listed;
use crate::base::lock::Lock;
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::object::{Acl, Layer, ObjectHeaders, ObjectInfo, PartInfo, Upload, UploadedPart};
use crate::base::object_ref::VersionId;
use crate::base::tags::Tags;
use crate::base::timestamp::Timestamp;
use crate::base::versions::Marker;
use crate::local::scope::{KeyId, Scope};

pub use crate::local::key;

listed! {
    /// The tables of the store. Every place that decides what lives matches all of them, so a new one does not compile until each
    /// such place says what it means there: `Seen::row` (what may go), `backup`, `fsck`, `Txn::put` (what is derived).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    #[repr(u8)]
    pub enum Table {
        /// The store's own: counts of starts.
        Meta = 0x01,
        Buckets = 0x02,
        /// The newest version of each key, where that is no delete marker: what reads and listings of objects look at.
        Objects = 0x03,
        Uploads = 0x04,
        Parts = 0x05,
        /// The parts of multipart objects: too long for the object's own row, which listings read.
        Manifests = 0x06,
        /// Uploads that were completed a while ago, and what they became.
        Completed = 0x07,
        Settings = 0x08,
        /// Files and manifests that nothing seems to refer to any more.
        Drops = 0x09,
        /// Multipart objects whose SHA-256 is not known yet.
        Rehash = 0x0a,
        /// All versions that are not in `Objects`, and all delete markers. Where a key has no row in `Objects`, its first row here
        /// is a marker, or there is none.
        Versions = 0x0b,
        /// Content by its hash inside a scope.
        Hashes = 0x80,
        /// How many objects refer to a manifest.
        ManifestRefs = 0x81,
        Usage = 0x82,
        /// Which row of `Versions` is the key's null version, by its generation.
        NullVersions = 0x83,
        /// What lifecycle rules may concern, by time: see `due`.
        Due = 0x84,
        /// How many rows need a version of a key of encryption.
        KeyUses = 0x85,
    }
}

impl Table {
    /// The table that a record names. One that is not known was written by a newer version, and may keep content alive: nothing
    /// is decided past it.
    pub fn of(code: u8) -> Result<Table> {
        Table::ALL.into_iter().find(|t| *t as u8 == code).ok_or_else(|| {
            Error::internal(format!("the journal has rows of table {code:#04x}, which this program does not know: start a newer tidegate"))
        })
    }

    /// Truth goes to the journal. The others follow from it and live in the index alone.
    pub const fn is_truth(self) -> bool {
        match self {
            Table::Meta
            | Table::Buckets
            | Table::Objects
            | Table::Uploads
            | Table::Parts
            | Table::Manifests
            | Table::Completed
            | Table::Settings
            | Table::Drops
            | Table::Rehash
            | Table::Versions => true,
            Table::Hashes | Table::ManifestRefs | Table::Usage | Table::NullVersions | Table::Due | Table::KeyUses => false,
        }
    }
}

impl From<Table> for u8 {
    fn from(table: Table) -> u8 {
        table as u8
    }
}

/// A number that names one file or manifest and is never used again, so that what was decided about an old file
/// can't hit a new one.
pub type Id = u64;

/// Where the bytes of an object are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BodyPlace {
    Empty,
    /// In a journal segment, with its CRC-32C.
    Inline {
        segment: u64,
        offset: u64,
        len: u32,
        crc: u32,
    },
    /// A file of its own, named by its SHA-256 and this number.
    File {
        id: Id,
    },
    /// The files of a manifest, in order.
    Parts {
        manifest: Id,
    },
    /// Body number n of the batch being made: known once the batch is written.
    #[serde(skip)]
    Pending(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartsRef {
    pub manifest: Id,
    pub count: u16,
}

/// What listings need, first in the row so that they decode nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectHead {
    pub size: u64,
    pub etag: ETag,
    pub modified: Timestamp,
    pub owner: TenantId,
    pub checksum: Option<Checksum>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectTail {
    pub generation: u64,
    pub standing: Standing,
    pub key: KeyId,
    /// The key of the bytes. None: they are as they came.
    pub envelope: Option<Envelope>,
    pub acl: Acl,
    pub headers: ObjectHeaders,
    pub lock: Lock,
    pub tags: Tags,
    pub sha256: Option<VerifiedSha256>,
    pub place: BodyPlace,
    /// The parts as `partNumber` shows them; the bytes may have moved elsewhere.
    pub parts: Option<PartsRef>,
    pub inspection: Option<Arc<Inspection>>,
    pub unknown: Fields,
}

/// How a version stands among those of its key. What is written where no versions are kept: the default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// It has an id of its own. Else it is the null version, of which a key has one at most.
    pub named: bool,
    /// Since when it is not the newest any more.
    pub noncurrent_since: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectRow {
    pub head: ObjectHead,
    pub tail: ObjectTail,
}

/// Where a key was deleted and its versions were kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkerRow {
    pub generation: u64,
    pub modified: Timestamp,
    pub owner: TenantId,
    pub standing: Standing,
    pub unknown: Fields,
}

/// A row of `Versions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionRow {
    Object(Arc<ObjectRow>),
    Marker(MarkerRow),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartFile {
    pub id: Id,
    pub size: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    pub parts: Vec<PartInfo>,
    /// Empty where the bytes moved to one file.
    pub files: Vec<PartFile>,
    /// Of each file its key, under the object's. Empty where the bytes are as they came.
    pub keys: Vec<PartKey>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartRow {
    pub part: UploadedPart,
    pub owner: TenantId,
    pub key: KeyId,
    pub file: Id,
    /// Under the upload's.
    pub part_key: Option<PartKey>,
}

impl PartRow {
    pub fn scope(&self) -> Scope {
        Scope::new(&self.owner, self.key)
    }
}

/// An upload, and what its parts and its object are encrypted with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadRow {
    pub upload: Upload,
    pub key: KeyId,
    /// The key that those of its parts lie under, and that the object will have.
    pub envelope: Option<Envelope>,
}

impl UploadRow {
    pub fn scope(&self) -> Scope {
        Scope::new(&self.upload.owner, self.key)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompletedRow {
    pub bucket: BucketName,
    pub key: ObjectKey,
    pub generation: u64,
    pub named: bool,
    pub at: Timestamp,
    /// Of the request, so that only the same one is answered from here.
    pub request: Sha256,
    /// What it became, for the answer: the object itself may have been replaced since. None in rows of before it was kept.
    pub head: Option<ObjectHead>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DropKind {
    Blob(VerifiedSha256),
    Part,
    Manifest,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropRow {
    pub scope: Scope,
    pub kind: DropKind,
    pub since: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RehashRow {
    pub bucket: BucketName,
    pub key: ObjectKey,
}

/// Derived: `refs` is how many objects are at `place`. A hint that starts the proof of whether a file may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashRow {
    pub place: BodyPlace,
    pub refs: u64,
    /// The key of the bytes as a row of theirs has it: who brings the same content takes it out, and gives it a place of its own.
    pub held: Option<Held>,
    /// The row key of the object that was the last to come here, which may have gone since. One name costs a write nothing,
    /// where a row for each name would cost one more row.
    pub newest: Box<[u8]>,
}

/// An envelope with what it is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub envelope: Envelope,
    pub place: Place,
}

/// Derived: what is stored in one place: of a tenant, in a bucket, of an artifact type, of a run. See `usage`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRow {
    /// With what parts of uploads take.
    pub bytes: u64,
    /// All versions and delete markers: what a quota counts.
    pub objects: u64,
    /// Of them, those that their keys show.
    pub newest: u64,
    pub markers: u64,
    /// Of `bytes`, those of parts of uploads that are not complete.
    pub uploading: u64,
    /// Of `bytes`, those that lie on the disk already for another version of the tenant. Only in the tenant's own row.
    pub shared: u64,
}

/// How much was stored for how long, up to a moment: what bills are made of. In `Meta`, since what is gone can't be counted again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeterRow {
    /// Milliseconds.
    pub at: u64,
    /// Bytes times milliseconds until then.
    pub byte_millis: u128,
    /// From then on.
    pub bytes: u64,
}

impl ObjectRow {
    /// Inside what its content is shared.
    pub fn scope(&self) -> Scope {
        Scope::new(&self.head.owner, self.tail.key)
    }

    pub fn id(&self) -> VersionId {
        version_id(self.tail.standing, self.head.modified, self.tail.generation)
    }

    /// The hash that others find its content by. What lies under a customer's key is nobody else's, and not his own twice.
    pub fn shared_hash(&self) -> Option<&VerifiedSha256> {
        let customers = self.tail.envelope.as_ref().is_some_and(|envelope| envelope.of.is_customers());
        self.tail.sha256.as_ref().filter(|_| !customers && self.tail.place != BodyPlace::Empty)
    }

    /// The manifests this row refers to, each once.
    pub fn manifests(&self) -> impl Iterator<Item = Id> + use<> {
        let content = match self.tail.place {
            BodyPlace::Parts { manifest } => Some(manifest),
            _ => None,
        };
        let parts = self.tail.parts.map(|p| p.manifest).filter(|m| Some(*m) != content);
        content.into_iter().chain(parts)
    }

    pub fn info(&self, parts: Vec<PartInfo>) -> ObjectInfo {
        let (head, tail) = (&self.head, &self.tail);
        ObjectInfo {
            size: head.size,
            etag: head.etag,
            modified: head.modified,
            generation: tail.generation,
            owner: head.owner.clone(),
            acl: tail.acl.clone(),
            headers: tail.headers.clone(),
            sha256: tail.sha256,
            checksum: head.checksum.clone(),
            parts,
            restore: None,
            version: self.id(),
            lock: tail.lock,
            tag_count: Some(tail.tags.count()),
            encryption: tail.envelope.as_ref().map(|envelope| envelope.of.clone()),
            inspection: tail.inspection.clone(),
            unknown: Unknown { fields: tail.unknown.clone(), newer: None },
            layer: Layer::Store,
        }
    }
}

impl MarkerRow {
    pub fn id(&self) -> VersionId {
        version_id(self.standing, self.modified, self.generation)
    }

    pub fn marker(&self) -> Marker {
        Marker { version: self.id(), modified: self.modified, owner: self.owner.clone() }
    }
}

impl VersionRow {
    pub fn object(&self) -> Option<&Arc<ObjectRow>> {
        match self {
            VersionRow::Object(row) => Some(row),
            VersionRow::Marker(_) => None,
        }
    }

    pub fn marker(&self) -> Option<&MarkerRow> {
        match self {
            VersionRow::Object(_) => None,
            VersionRow::Marker(row) => Some(row),
        }
    }

    pub fn generation(&self) -> u64 {
        match self {
            VersionRow::Object(row) => row.tail.generation,
            VersionRow::Marker(row) => row.generation,
        }
    }

    pub fn standing(&self) -> Standing {
        match self {
            VersionRow::Object(row) => row.tail.standing,
            VersionRow::Marker(row) => row.standing,
        }
    }

    pub fn id(&self) -> VersionId {
        match self {
            VersionRow::Object(row) => row.id(),
            VersionRow::Marker(row) => row.id(),
        }
    }

    /// Whose it is, and how many bytes are counted for it.
    pub fn owner_and_size(&self) -> (&TenantId, u64) {
        match self {
            VersionRow::Object(row) => (&row.head.owner, row.head.size),
            VersionRow::Marker(row) => (&row.owner, 0),
        }
    }

    /// The same, having stopped being the newest at `since`; None: being the newest.
    pub fn noncurrent_since(&self, since: Option<Timestamp>) -> VersionRow {
        match self {
            VersionRow::Object(row) => {
                let mut row = ObjectRow::clone(row);
                row.tail.standing.noncurrent_since = since;
                VersionRow::Object(Arc::new(row))
            }
            VersionRow::Marker(row) => {
                let standing = Standing { noncurrent_since: since, ..row.standing };
                VersionRow::Marker(MarkerRow { standing, ..row.clone() })
            }
        }
    }
}

/// Made of what stands in the row, so that nothing more is stored: when it was written, in milliseconds, and its generation.
fn version_id(standing: Standing, modified: Timestamp, generation: u64) -> VersionId {
    if standing.named { VersionId::Named(format!("{:012x}{generation:016x}", modified.millis()).into()) } else { VersionId::Null }
}

/// The generation in the name of a version. None: no name that was given out here.
pub fn generation_of(name: &str) -> Option<u64> {
    let is_hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    let digits = name.get(12..).filter(|_| name.len() == 28 && name.bytes().all(is_hex))?;
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_a_newer_version_is_told_and_never_passed_over() {
        for table in Table::ALL {
            assert_eq!(Table::of(table.into()).unwrap(), table);
            assert_eq!(table.is_truth(), u8::from(table) < 0x80, "{table:?}: the journal holds those below 0x80");
        }
        assert!(Table::of(0x0c).unwrap_err().to_string().contains("newer tidegate"));
    }

    #[test]
    fn a_version_is_found_by_its_name() {
        let named = Standing { named: true, noncurrent_since: None };
        let id = version_id(named, Timestamp::from_millis(1_800_000_000_000), 77 << 20 | 3);
        assert_eq!((id.as_str().len(), generation_of(id.as_str())), (28, Some(77 << 20 | 3)));
        assert_eq!(version_id(Standing::default(), Timestamp::from_millis(1), 1), VersionId::Null);
        for other in ["", "null", &id.as_str()[1..], &format!("{id}0"), &id.as_str().to_uppercase(), &"\u{e9}".repeat(14)] {
            assert_eq!(generation_of(other), None, "{other}");
        }
    }
}
