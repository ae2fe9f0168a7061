//! What is meant by a request: a bucket, a key in it, and which version of what is there.
//!
//! Borrowed, so that naming a thing costs a hot read nothing. Where no version is asked for it is the current one.

use super::error::{Error, ErrorKind, Result};
use super::names::{BucketName, ObjectKey};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectRef<'a> {
    pub bucket: &'a BucketName,
    pub key: &'a ObjectKey,
    pub version: VersionSelector,
}

impl<'a> ObjectRef<'a> {
    pub fn current(bucket: &'a BucketName, key: &'a ObjectKey) -> Self {
        ObjectRef { bucket, key, version: VersionSelector::Current }
    }
}

/// Which of a key's versions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum VersionSelector {
    #[default]
    Current,
    Exact(VersionId),
}

/// A version by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionId {
    /// What a key has in a bucket that keeps no versions: its only one, and so the current one.
    Null,
}

impl VersionId {
    /// As S3 writes it. None: no version of any bucket here has this name.
    pub fn parse(text: &str) -> Option<Self> {
        (text == "null").then_some(VersionId::Null)
    }

    pub const fn name(self) -> &'static str {
        match self {
            VersionId::Null => "null",
        }
    }
}

impl VersionSelector {
    /// `versionId` of a request, or of one key of a batch.
    pub fn parse(text: Option<&str>) -> Result<Self> {
        let Some(text) = text else { return Ok(VersionSelector::Current) };
        let unknown =
            || Error::new(ErrorKind::NoSuchVersion, "The specified version does not exist: buckets of this gateway are not versioned.");
        VersionId::parse(text).map(VersionSelector::Exact).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_versions() {
        assert_eq!(VersionSelector::parse(None).unwrap(), VersionSelector::Current);
        assert_eq!(VersionSelector::parse(Some("null")).unwrap(), VersionSelector::Exact(VersionId::Null));
        for text in ["", "NULL", "null ", "3"] {
            assert_eq!(VersionSelector::parse(Some(text)).unwrap_err().kind(), ErrorKind::NoSuchVersion, "{text:?}");
        }
        assert_eq!(VersionId::parse(VersionId::Null.name()), Some(VersionId::Null));
    }
}
