//! What is meant by a request: a bucket, a key in it, and which version of what is there.
//!
//! Borrowed, so that naming a thing costs a hot read nothing. Where no version is asked for it is the current one.

use std::sync::Arc;

use super::encryption::CustomerKey;
use super::error::{Error, ErrorKind, Result};
use super::names::{BucketName, ObjectKey};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectRef<'a> {
    pub bucket: &'a BucketName,
    pub key: &'a ObjectKey,
    pub version: VersionSelector<'a>,
    /// The client's key, where the request brings one: an S3 below tells nothing of an object under such a key without it.
    pub unlock: Option<&'a CustomerKey>,
}

impl<'a> ObjectRef<'a> {
    pub fn current(bucket: &'a BucketName, key: &'a ObjectKey) -> Self {
        ObjectRef { bucket, key, version: VersionSelector::Current, unlock: None }
    }
}

impl ObjectRef<'_> {
    pub fn to_owned(self) -> ObjectName {
        ObjectName { bucket: self.bucket.clone(), key: self.key.clone(), version: self.version.id().cloned() }
    }
}

/// What an `ObjectRef` names, for work that goes on without the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectName {
    pub bucket: BucketName,
    pub key: ObjectKey,
    /// None: the current one.
    pub version: Option<VersionId>,
}

impl ObjectName {
    pub fn object(&self) -> ObjectRef<'_> {
        ObjectRef { bucket: &self.bucket, key: &self.key, version: self.version.as_ref().into(), unlock: None }
    }
}

/// Which of a key's versions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum VersionSelector<'a> {
    #[default]
    Current,
    Exact(&'a VersionId),
}

impl<'a> VersionSelector<'a> {
    /// One of a bucket that keeps versions, and so not the one that the key is known by.
    pub fn is_named(self) -> bool {
        matches!(self, VersionSelector::Exact(VersionId::Named(_)))
    }

    /// To keep it longer than the request.
    pub fn id(self) -> Option<&'a VersionId> {
        match self {
            VersionSelector::Current => None,
            VersionSelector::Exact(id) => Some(id),
        }
    }
}

impl<'a> From<Option<&'a VersionId>> for VersionSelector<'a> {
    fn from(id: Option<&'a VersionId>) -> Self {
        id.map_or(VersionSelector::Current, VersionSelector::Exact)
    }
}

/// A version by its name. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VersionId {
    /// What was written while its bucket kept no versions: a key has one of them at most.
    #[default]
    Null,
    Named(Arc<str>),
}

/// As long as S3 lets one be.
const MAX_BYTES: usize = 1024;

impl VersionId {
    /// As S3 writes it.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "null" => Ok(VersionId::Null),
            // What is sent in a header must be able to stand in one.
            name if (1..=MAX_BYTES).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic()) => {
                Ok(VersionId::Named(name.into()))
            }
            _ => Err(invalid(text)),
        }
    }

    pub fn as_str(&self) -> &str {
        match self {
            VersionId::Null => "null",
            VersionId::Named(name) => name,
        }
    }
}

impl std::fmt::Display for VersionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No store can have given out such a name.
pub fn invalid(text: &str) -> Error {
    let error = Error::new(ErrorKind::InvalidArgument, "Invalid version id specified").detail("ArgumentName", "versionId");
    error.detail("ArgumentValue", text.chars().take(MAX_BYTES).collect::<String>())
}

/// The key has no version of this name.
pub fn no_such_version(of: ObjectRef<'_>) -> Error {
    let error = Error::new(ErrorKind::NoSuchVersion, "The specified version does not exist.").detail("Key", of.key.as_str());
    error.detail("VersionId", of.version.id().map_or("", VersionId::as_str).to_owned())
}

/// For a store that keeps no versions: each object is the one called `null`.
pub fn only_null(of: ObjectRef<'_>) -> Result<()> {
    match of.version {
        VersionSelector::Current | VersionSelector::Exact(VersionId::Null) => Ok(()),
        VersionSelector::Exact(VersionId::Named(_)) => Err(no_such_version(of)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_versions() {
        assert_eq!(VersionId::parse("null").unwrap(), VersionId::Null);
        let longest = "x".repeat(MAX_BYTES);
        for text in ["NULL", "3", "3/L4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY+MTRCxf3vjVBH40Nr8X8gdRQBpUMLUo", &longest] {
            assert_eq!(VersionId::parse(text).unwrap().as_str(), text);
        }
        for text in ["", "null ", "a b", "a\nb", "\u{e9}", &format!("{longest}x")] {
            assert_eq!(VersionId::parse(text).unwrap_err().kind(), ErrorKind::InvalidArgument, "{text:?}");
        }
        assert_eq!(VersionSelector::from(None), VersionSelector::Current);
        assert_eq!(VersionSelector::from(Some(&VersionId::Null)).id(), Some(&VersionId::Null));
    }
}
