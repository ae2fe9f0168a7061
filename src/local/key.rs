//! Keys of rows. Names hold no NUL, so it ends them.
//!
//! Called as `rows::key` by whoever reads and writes rows. Parsing a key never panics: a journal may hold any bytes.

use crate::base::crypt::Envelope;
use crate::base::digest::Sha256;
use crate::base::encryption::Encryption;
use crate::base::error::{Error, Result};
use crate::base::names::{BucketName, ObjectKey};
use crate::local::rows::Id;
use crate::local::scope::Scope;

pub fn joined(first: &str, second: &str) -> Vec<u8> {
    let mut k = Vec::with_capacity(first.len() + 1 + second.len());
    k.extend_from_slice(first.as_bytes());
    k.push(0);
    k.extend_from_slice(second.as_bytes());
    k
}

pub fn bucket(name: &BucketName) -> Vec<u8> {
    name.as_str().as_bytes().to_vec()
}

pub fn object(bucket: &BucketName, key: &ObjectKey) -> Vec<u8> {
    joined(bucket.as_str(), key.as_str())
}

/// What the rows of `Versions` of one key begin with.
pub fn versions(bucket: &BucketName, key: &ObjectKey) -> Vec<u8> {
    let mut k = object(bucket, key);
    k.push(0);
    k
}

/// By bucket and key, then from the newest to the oldest.
pub fn version(bucket: &BucketName, key: &ObjectKey, generation: u64) -> Vec<u8> {
    let mut k = versions(bucket, key);
    k.extend_from_slice(&(!generation).to_be_bytes());
    k
}

/// The bytes of a version's generation in its key, with the NUL before them.
const GENERATION: usize = 9;

/// Of a row of `Versions`: the row key that its object has in `Objects`, and its generation.
pub fn split_version(row_key: &[u8]) -> Result<(&[u8], u64)> {
    let wrong = || Error::internal("a version's row has no generation in its key");
    let at = row_key.len().checked_sub(GENERATION).ok_or_else(wrong)?;
    let (object, generation) = row_key.split_at(at);
    let (nul, generation) = generation.split_first().ok_or_else(wrong)?;
    let generation = generation.try_into().map(u64::from_be_bytes).map_err(|_| wrong())?;
    if *nul == 0 { Ok((object, !generation)) } else { Err(wrong()) }
}

/// By bucket and key, then by id, which begins with the time: the order of ListMultipartUploads.
pub fn upload(bucket: &BucketName, key: &ObjectKey, id: &str) -> Vec<u8> {
    let mut k = object(bucket, key);
    k.push(0);
    k.extend_from_slice(id.as_bytes());
    k
}

pub fn part(upload: &str, number: u16) -> Vec<u8> {
    let mut k = joined(upload, "");
    k.extend_from_slice(&number.to_be_bytes());
    k
}

pub fn id(id: Id) -> Vec<u8> {
    id.to_be_bytes().to_vec()
}

pub fn parse_id(key: &[u8]) -> Result<Id> {
    key.try_into().map(u64::from_be_bytes).map_err(|_| Error::internal("a row's key is no number"))
}

pub fn hash(scope: &Scope, sha256: &Sha256) -> Vec<u8> {
    let mut k = joined(&scope.to_string(), "");
    k.extend_from_slice(&sha256.0);
    k
}

/// Of the version of a named key, or of the store's own, that an envelope needs. None: it needs a customer's.
pub fn key_use(envelope: &Envelope) -> Option<Vec<u8>> {
    let name = match &envelope.of {
        Encryption::S3 => "",
        Encryption::Kms(kms) => kms.key.as_str(),
        Encryption::Customer(_) => return None,
    };
    let mut k = joined(name, "");
    k.extend_from_slice(&envelope.version.to_be_bytes());
    Some(k)
}

/// The key's name, which is empty for the store's own, and the version.
pub fn parse_key_use(row_key: &[u8]) -> Result<(&str, u32)> {
    let wrong = || Error::internal("a row's key names no key of encryption");
    let (name, version) = row_key.split_at_checked(row_key.len().saturating_sub(4)).ok_or_else(wrong)?;
    let name = std::str::from_utf8(name).ok().and_then(|name| name.strip_suffix('\0')).ok_or_else(wrong)?;
    Ok((name, version.try_into().map(u32::from_be_bytes).map_err(|_| wrong())?))
}

/// Bucket and key of a row key of `Objects`.
pub fn names(object: &[u8]) -> Result<(BucketName, ObjectKey)> {
    let (bucket, key) = split(object)?;
    Ok((BucketName::parse(bucket)?, ObjectKey::parse(key)?))
}

/// The two names of a key made by `joined`.
pub fn split(key: &[u8]) -> Result<(&str, &str)> {
    let at = key.iter().position(|b| *b == 0).ok_or_else(|| Error::internal("a row's key has no second part"))?;
    let (first, second) = key.split_at(at);
    let text = |b| std::str::from_utf8(b).map_err(Error::internal);
    Ok((text(first)?, text(second.get(1..).unwrap_or_default())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_lie_from_the_newest_to_the_oldest_between_their_key_and_the_next() {
        let (bucket, name) = (BucketName::parse("media").unwrap(), ObjectKey::parse("k").unwrap());
        let next = ObjectKey::parse("k\u{1}").unwrap();
        let rows = [u64::MAX, 256, 255, 0].map(|generation| version(&bucket, &name, generation));
        assert!(rows.is_sorted() && rows[3] < version(&bucket, &next, u64::MAX));
        assert_eq!(split_version(&rows[1]).unwrap(), (object(&bucket, &name).as_slice(), 256));
        assert!(split_version(b"media").is_err() && split_version(b"media\0kkkkkkkkkkk").is_err());
    }
}
