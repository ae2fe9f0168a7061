//! Names that came from outside, valid by construction: buckets, keys, tenants, access keys, upload ids.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::{Error, ErrorKind, Result};
use super::limits::MAX_KEY_BYTES;

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(s: String) -> Result<Self> {
                Self::parse(&s)
            }
        }

        impl std::str::FromStr for $name {
            type Err = Error;
            fn from_str(s: &str) -> Result<Self> {
                Self::parse(s)
            }
        }

        impl From<$name> for String {
            fn from(n: $name) -> String {
                n.0.to_string()
            }
        }
    };
}

name_type!(
    /// S3's rules for general purpose buckets: 3 to 63 of `a-z 0-9 . -`, no address, no `..`.
    BucketName
);
name_type!(
    /// 1 to 1,024 bytes of UTF-8, byte for byte as the client named it: `//`, `..` and `%` have no meaning here.
    ObjectKey
);
name_type!(
    /// A tenant, which is also its canonical user id: 1 to 64 of `A-Z a-z 0-9 - _`.
    TenantId
);
name_type!(
    /// The public half of a key pair: 3 to 128 of `A-Z a-z 0-9 - _ .`.
    AccessKeyId
);
name_type!(
    /// A multipart upload. Made by this gateway, or by the store behind it; opaque to clients.
    UploadId
);

impl BucketName {
    pub fn parse(s: &str) -> Result<Self> {
        let b = s.as_bytes();
        let edge = |c: Option<&u8>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        let valid = (3..=63).contains(&b.len())
            && b.iter().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'.' | b'-'))
            && edge(b.first())
            && edge(b.last())
            && !b.windows(2).any(|pair| matches!(pair, b".." | b".-" | b"-."))
            && s.parse::<std::net::Ipv4Addr>().is_err();
        if valid {
            Ok(Self(s.into()))
        } else {
            Err(Error::new(ErrorKind::InvalidBucketName, "The specified bucket is not valid: 3 to 63 characters of a-z, 0-9, '.' and '-', starting and ending with a letter or digit.").detail("BucketName", s.chars().take(80).collect::<String>()))
        }
    }
}

impl ObjectKey {
    pub fn parse(s: &str) -> Result<Self> {
        if s.len() > MAX_KEY_BYTES {
            return Err(Error::new(ErrorKind::KeyTooLong, "Your key is too long: at most 1024 bytes of UTF-8.")
                .detail("Size", s.len().to_string())
                .detail("MaxSizeAllowed", MAX_KEY_BYTES.to_string()));
        }
        if s.is_empty() {
            return Err(Error::new(ErrorKind::InvalidArgument, "The object key must not be empty."));
        }
        // NUL ends a key in the index rows, and XML has no way to write it.
        if s.contains('\0') {
            return Err(Error::new(ErrorKind::InvalidArgument, "The object key must not contain a NUL character."));
        }
        Ok(Self(s.into()))
    }
}

impl TenantId {
    pub fn parse(s: &str) -> Result<Self> {
        if Self::is_legal(s) {
            Ok(Self(s.into()))
        } else {
            Err(Error::new(ErrorKind::InvalidArgument, "A tenant id is 1 to 64 characters of A-Z, a-z, 0-9, '-' and '_'."))
        }
    }

    pub fn is_legal(s: &str) -> bool {
        (1..=64).contains(&s.len()) && s.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_'))
    }

    /// The owner of the gateway: everything is allowed to it.
    pub fn operator() -> Self {
        Self("operator".into())
    }

    /// Who writes where a policy lets anyone write.
    pub fn anonymous() -> Self {
        Self("anonymous".into())
    }

    pub fn is_operator(&self) -> bool {
        &*self.0 == "operator"
    }
}

impl AccessKeyId {
    pub fn parse(s: &str) -> Result<Self> {
        let valid = (3..=128).contains(&s.len()) && s.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'));
        if valid { Ok(Self(s.into())) } else { Err(Error::new(ErrorKind::InvalidAccessKeyId, "The access key id is not well formed.")) }
    }
}

impl UploadId {
    pub fn parse(s: &str) -> Result<Self> {
        let valid = (1..=1024).contains(&s.len()) && s.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.' | b'~'));
        if valid { Ok(Self(s.into())) } else { Err(no_such_upload()) }
    }
}

pub fn no_such_upload() -> Error {
    Error::new(
        ErrorKind::NoSuchUpload,
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_names() {
        for ok in ["abc", "a.b.c", "my-bucket-1", "123", &"a".repeat(63)] {
            assert!(BucketName::parse(ok).is_ok(), "{ok}");
        }
        for bad in ["", "ab", "-", "Abc", "a..b", "-abc", "abc-", "a_b", "192.168.1.1", "a.-b", &"a".repeat(64), "abc/", "a\u{e9}c"] {
            assert!(BucketName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys() {
        assert!(ObjectKey::parse("../..//a%2F+ \u{1f600}").is_ok());
        assert!(ObjectKey::parse(&"a".repeat(1024)).is_ok());
        assert!(ObjectKey::parse(&"a".repeat(1025)).is_err());
        assert!(ObjectKey::parse("").is_err());
        assert!(ObjectKey::parse("a\0b").is_err());
    }
}
