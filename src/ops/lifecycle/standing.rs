//! What each version of a key is to it, told from a listing that goes from the newest to the oldest. Pure.

use crate::base::lifecycle::evaluate::Standing;
use crate::base::names::ObjectKey;
use crate::base::object_ref::VersionId;
use crate::base::timestamp::Timestamp;
use crate::base::versions::VersionEntry;

/// A version or a marker, and how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    pub key: ObjectKey,
    pub id: VersionId,
    pub size: u64,
    pub modified: Timestamp,
    pub is_marker: bool,
    /// None: S3's STANDARD.
    pub class: Option<String>,
    pub standing: Standing,
}

/// Takes entries in the order of a listing and gives them back with their standing, one entry later: whether a marker stands alone is
/// told by what comes after it. Memory: one entry, however many versions a key has.
#[derive(Debug, Default)]
pub struct Standings {
    waiting: Option<Version>,
    /// Of the key that `waiting` is of: how many noncurrent ones came before it.
    noncurrent: u32,
}

impl Standings {
    /// A common prefix is none, and is passed over.
    pub fn next(&mut self, entry: VersionEntry) -> Option<Version> {
        let (key, id, size, modified, class, is_marker, latest) = match entry {
            VersionEntry::Version(v) => {
                let object = v.object;
                (object.key, v.version, object.size, object.modified, object.storage_class, false, v.latest)
            }
            VersionEntry::Marker(m) => (m.key, m.marker.version, 0, m.marker.modified, None, true, m.latest),
            VersionEntry::CommonPrefix(_) => return None,
        };
        let newer = self.waiting.take().map(|newer| self.settled(newer, Some(&key)));
        let before = newer.as_ref().filter(|newer| newer.key == key);
        let standing = match before {
            Some(newer) => {
                let standing = Standing::Noncurrent { since: newer.modified, newer: self.noncurrent };
                self.noncurrent = self.noncurrent.saturating_add(1);
                standing
            }
            // The page began inside of the key: what was before is not known, and so it is rather too young than too old.
            None if !latest => Standing::Noncurrent { since: Timestamp::now(), newer: 0 },
            None => {
                self.noncurrent = 0;
                if is_marker { Standing::SoleMarker { modified } } else { Standing::Current { modified } }
            }
        };
        self.waiting = Some(Version { key, id, size, modified, is_marker, class, standing });
        newer
    }

    /// The last one, when there are no more.
    pub fn end(&mut self) -> Option<Version> {
        self.waiting.take().map(|last| self.settled(last, None))
    }

    fn settled(&self, version: Version, next: Option<&ObjectKey>) -> Version {
        match version.standing {
            Standing::SoleMarker { .. } if next == Some(&version.key) => Version { standing: Standing::CoveringMarker, ..version },
            _ => version,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::names::TenantId;
    use crate::base::object::ListedObject;
    use crate::base::versions::{ListedMarker, ListedVersion, Marker};

    fn version(key: &str, at: u64, latest: bool) -> VersionEntry {
        let (key, modified, owner) = (ObjectKey::parse(key).unwrap(), Timestamp::from_secs(at), TenantId::operator());
        let object = ListedObject { key, size: 5, etag: None, modified, owner, checksum: None, storage_class: None };
        VersionEntry::Version(ListedVersion { object, version: VersionId::Null, latest })
    }

    fn marker(key: &str, at: u64, latest: bool) -> VersionEntry {
        let marker = Marker { version: VersionId::Null, modified: Timestamp::from_secs(at), owner: TenantId::operator() };
        VersionEntry::Marker(ListedMarker { key: ObjectKey::parse(key).unwrap(), marker, latest })
    }

    #[test]
    fn each_version_stands_as_its_newer_ones_say() {
        let listing = [
            version("a", 9, true),
            version("a", 7, false),
            marker("a", 5, false),
            marker("b", 8, true),
            version("b", 2, false),
            marker("c", 4, true),
            version("d", 1, true),
        ];
        let mut standings = Standings::default();
        let mut told: Vec<Version> = listing.into_iter().filter_map(|entry| standings.next(entry)).collect();
        told.extend(standings.end());
        let at = Timestamp::from_secs;
        let expected = [
            ("a", Standing::Current { modified: at(9) }),
            ("a", Standing::Noncurrent { since: at(9), newer: 0 }),
            ("a", Standing::Noncurrent { since: at(7), newer: 1 }),
            ("b", Standing::CoveringMarker),
            ("b", Standing::Noncurrent { since: at(8), newer: 0 }),
            ("c", Standing::SoleMarker { modified: at(4) }),
            ("d", Standing::Current { modified: at(1) }),
        ];
        let told: Vec<(&str, Standing)> = told.iter().map(|v| (v.key.as_str(), v.standing)).collect();
        assert_eq!(told, expected);
        assert_eq!(standings.end(), None);
    }
}
