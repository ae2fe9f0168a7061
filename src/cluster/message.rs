//! A message: what is to be done, and with which keys, prefixes and tags. The same texts lie in the jobs that keep it.

use serde::{Deserialize, Serialize};

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{BucketName, ObjectKey};

/// Of a message. A thousand and more of the longest keys fit.
pub const MAX_BYTES: usize = 4 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// These keys were written: they are asked for before they are shown again.
    Changed,
    /// A purge: all that is known and kept of these goes.
    Forget,
    /// A soft purge.
    Soften,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    pub what: What,
    /// Texts of `Item`.
    pub items: Vec<String>,
}

/// What the receiver had.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    pub objects: u64,
    pub blocks: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    Key(BucketName, ObjectKey),
    Prefix(BucketName, String),
    Tag(String),
}

impl Item {
    pub fn key(bucket: &BucketName, key: &ObjectKey) -> String {
        format!("k{bucket}/{key}")
    }

    pub fn prefix(bucket: &BucketName, prefix: &str) -> String {
        format!("p{bucket}/{prefix}")
    }

    pub fn tag(tag: &str) -> String {
        format!("t{tag}")
    }

    pub fn parse(text: &str) -> Result<Self> {
        let unknown = || Error::new(ErrorKind::InvalidRequest, "A message of a peer names something that this program does not know.");
        let mut rest = text.chars();
        let kind = rest.next().ok_or_else(unknown)?;
        let within = || rest.as_str().split_once('/').ok_or_else(unknown);
        match kind {
            'k' => within().and_then(|(bucket, key)| Ok(Item::Key(BucketName::parse(bucket)?, ObjectKey::parse(key)?))),
            'p' => within().and_then(|(bucket, prefix)| Ok(Item::Prefix(BucketName::parse(bucket)?, prefix.to_owned()))),
            't' => Ok(Item::Tag(rest.as_str().to_owned())),
            _ => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_round_trip() {
        let (bucket, key) = (BucketName::parse("media").unwrap(), ObjectKey::parse("/a//b é").unwrap());
        assert_eq!(Item::parse(&Item::key(&bucket, &key)).unwrap(), Item::Key(bucket.clone(), key));
        assert_eq!(Item::parse(&Item::prefix(&bucket, "")).unwrap(), Item::Prefix(bucket.clone(), String::new()));
        assert_eq!(Item::parse(&Item::tag("r-acme-1/2")).unwrap(), Item::Tag("r-acme-1/2".into()));
        for text in ["", "k", "kmedia", "kmedia/", "k/x", "x", "éa/b", "pmedia"] {
            assert!(Item::parse(text).is_err(), "{text}");
        }
    }
}
