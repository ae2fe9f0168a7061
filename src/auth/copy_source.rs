//! `x-amz-copy-source`, read once into what it names: the copy and the conditions of policies go by this one.
//!
//! As S3 reads it: all of it is percent-decoded and `+` is a space (a plus is `%2B`); a slash may stand in front; `?versionId=`
//! begins the version where it stands undecoded, an encoded one belongs to the key.

use http::HeaderMap;

use crate::auth::query::decode_form;
use crate::base::error::{Error, Result};
use crate::base::header;
use crate::base::names::{BucketName, ObjectKey};
use crate::base::object_ref::{ObjectRef, VersionId};

pub const COPY_SOURCE: &str = "x-amz-copy-source";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopySource {
    pub bucket: BucketName,
    pub key: ObjectKey,
    /// None: the current one.
    pub version: Option<VersionId>,
}

impl CopySource {
    pub fn of(headers: &HeaderMap) -> Result<Option<Self>> {
        header::text(headers, COPY_SOURCE)?.map(Self::parse).transpose()
    }

    pub fn parse(raw: &str) -> Result<Self> {
        let (path, version) = match raw.split_once("?versionId=") {
            Some((path, version)) => (path, Some(decode_form(version)?)),
            None => (raw, None),
        };
        let version = version.as_deref().map(VersionId::parse).transpose()?;
        let decoded = decode_form(path)?;
        let (bucket, key) = without_slash(&decoded).split_once('/').filter(|(_, key)| !key.is_empty()).ok_or_else(none)?;
        Ok(CopySource { bucket: BucketName::parse(bucket)?, key: ObjectKey::parse(key)?, version })
    }

    pub fn object(&self) -> ObjectRef<'_> {
        ObjectRef { bucket: &self.bucket, key: &self.key, version: self.version.as_ref().into(), unlock: None }
    }

    /// As conditions see it: `bucket/key`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.bucket, self.key)
    }
}

/// Policies may write a copy source with a slash in front or without.
pub fn without_slash(name: &str) -> &str {
    name.strip_prefix('/').unwrap_or(name)
}

/// The header names nothing.
pub fn none() -> Error {
    header::invalid(COPY_SOURCE, "Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::ErrorKind;
    use proptest::prelude::*;

    fn name(raw: &str) -> Result<String, ErrorKind> {
        CopySource::parse(raw).map(|s| s.name()).map_err(|e| e.kind())
    }

    #[test]
    fn as_s3_reads_it() {
        for (raw, expected) in [
            ("abc/k", "abc/k"),
            ("/abc/k", "abc/k"),
            ("%2Fabc%2Fk", "abc/k"),
            ("abc//k", "abc//k"),
            ("//abc/k", ""),
            ("abc/a+b", "abc/a b"),
            ("abc/a%2Bb", "abc/a+b"),
            ("abc/%C3%A9", "abc/\u{e9}"),
            ("abc/%2525", "abc/%25"),
            ("abc/k?versionId=null", "abc/k"),
            ("abc/k?versionId=%6Eull", "abc/k"),
            ("abc/k%3FversionId=7", "abc/k?versionId=7"),
            ("abc/k?x=1", "abc/k?x=1"),
        ] {
            assert_eq!(name(raw).unwrap_or_default(), expected, "{raw}");
        }
        for (raw, kind) in [
            ("", ErrorKind::InvalidArgument),
            ("/", ErrorKind::InvalidArgument),
            ("abc", ErrorKind::InvalidArgument),
            ("abc/", ErrorKind::InvalidArgument),
            ("abc/%ff", ErrorKind::InvalidUri),
            ("abc/k?versionId=", ErrorKind::InvalidArgument),
            ("abc/k?versionId=a%20b", ErrorKind::InvalidArgument),
        ] {
            assert_eq!(name(raw), Err(kind), "{raw}");
        }
    }

    #[test]
    fn which_version_it_names() {
        let version = |raw: &str| CopySource::parse(raw).unwrap().version;
        assert_eq!(version("abc/k"), None);
        assert_eq!(version("abc/k?versionId=%6Eull"), Some(VersionId::Null));
        assert_eq!(version("abc/k%3FversionId=null"), None);
    }

    proptest! {
        /// However a client spells a name, it is that name.
        #[test]
        fn every_spelling_of_a_name_is_that_name(key in "[a-c +%?/\u{e9}]{1,12}", choices in prop::collection::vec(0u8..3, 64), slash: bool, version: bool) {
            let plain = format!("src-bucket/{key}");
            let mut raw = String::new();
            for (byte, choice) in format!("{}{plain}", if slash { "/" } else { "" }).bytes().zip(choices.iter().cycle()) {
                match (byte, choice) {
                    (b' ', 0) => raw.push('+'),
                    // Only what stands for itself.
                    (b' ' | b'a'..=b'z' | b'-' | b'/', 1) => raw.push(char::from(byte)),
                    (_, 2) => raw.push_str(&format!("%{byte:02x}")),
                    _ => raw.push_str(&format!("%{byte:02X}")),
                }
            }
            if version {
                raw.push_str("?versionId=null");
            }
            match CopySource::parse(&raw) {
                Ok(source) => prop_assert_eq!(source.name(), plain, "{}", raw),
                Err(e) => prop_assert!(false, "{raw}: {e}"),
            }
        }
    }
}
