//! A key's versions as listings show them, and the markers that hide a key.

use super::names::{ObjectKey, TenantId};
use super::object::{Bucket, BucketDocument, ListEntry, ListPage, ListQuery, ListedObject};
use super::object_ref::VersionId;
use super::timestamp::Timestamp;

/// Whether a bucket keeps what is replaced or deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Versioning {
    /// It was never turned on.
    #[default]
    Never,
    Enabled,
    /// What is written now has no id of its own; what was kept stays.
    Suspended,
}

impl Versioning {
    /// S3's word. None for a bucket where it was never turned on.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Versioning::Never => None,
            Versioning::Enabled => Some("Enabled"),
            Versioning::Suspended => Some("Suspended"),
        }
    }
}

impl Bucket {
    pub fn versioning(&self) -> Versioning {
        match self.documents.get(&BucketDocument::Versioning).map(Vec::as_slice) {
            None => Versioning::Never,
            Some(b"Suspended") => Versioning::Suspended,
            // Whatever else it says was never to stop the keeping.
            Some(_) => Versioning::Enabled,
        }
    }
}

/// A delete marker: the version that stands where a key was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    pub version: VersionId,
    pub modified: Timestamp,
    pub owner: TenantId,
}

#[derive(Debug, Clone)]
pub struct ListedVersion {
    pub object: ListedObject,
    pub version: VersionId,
    pub latest: bool,
}

#[derive(Debug, Clone)]
pub struct ListedMarker {
    pub key: ObjectKey,
    pub marker: Marker,
    pub latest: bool,
}

#[derive(Debug, Clone)]
pub enum VersionEntry {
    Version(ListedVersion),
    Marker(ListedMarker),
    CommonPrefix(String),
}

/// Keys in UTF-8 byte order, the versions of a key from the newest to the oldest.
#[derive(Debug, Clone, Default)]
pub struct VersionsQuery {
    pub prefix: String,
    /// Empty: none.
    pub delimiter: String,
    /// Entries after this key, or after one of its versions. A common prefix that is a prefix of it, or equal, is not repeated.
    pub key_marker: String,
    /// Only with a key marker: versions of that very key after this one, and the keys behind it.
    pub version_marker: Option<VersionId>,
    pub max: usize,
}

#[derive(Debug, Clone, Default)]
pub struct VersionsPage {
    pub entries: Vec<VersionEntry>,
    /// Key and version (none after a common prefix) of the last entry, where more follow.
    pub next: Option<(String, Option<VersionId>)>,
}

impl VersionsQuery {
    /// Where each object is its only version.
    pub fn of_objects(&self) -> ListQuery {
        let VersionsQuery { prefix, delimiter, key_marker, version_marker: _, max } = self.clone();
        ListQuery { prefix, delimiter, after: key_marker, max }
    }
}

/// Each object is its only version, and the latest.
impl From<ListPage> for VersionsPage {
    fn from(page: ListPage) -> Self {
        let next = page.next.map(|name| match page.entries.last() {
            Some(ListEntry::CommonPrefix(_)) | None => (name, None),
            Some(ListEntry::Object(_)) => (name, Some(VersionId::Null)),
        });
        let entry = |entry| match entry {
            ListEntry::Object(object) => VersionEntry::Version(ListedVersion { object, version: VersionId::Null, latest: true }),
            ListEntry::CommonPrefix(prefix) => VersionEntry::CommonPrefix(prefix),
        };
        VersionsPage { entries: page.entries.into_iter().map(entry).collect(), next }
    }
}
