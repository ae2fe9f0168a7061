//! The store's own key of encryption, which SSE-S3 uses: made at the first start, and kept among the settings, so sealed under the
//! operator's secret. A new version of it is one more setting; none is ever taken away, since old backups need it.
//!
//! Called by `open`, and by fsck for a folder that is not open.

use crate::base::crypt::ring::Versions;
use crate::base::crypt::{Ring, wrap};
use crate::base::encryption::KeyName;
use crate::base::error::{Error, ErrorKind, Result};
use crate::index::{Index, Walk};
use crate::local::rows::{Table, key};
use crate::local::sealed::Sealing;
use crate::local::stored;

/// The space of settings, and what a version's name begins with.
const SPACE: &str = "encryption";
const NAME: &str = "own.";

pub fn row_key(version: u32) -> Vec<u8> {
    key::joined(SPACE, &format!("{NAME}{version:010}"))
}

pub fn read(index: &Index, sealing: &Sealing) -> Result<Versions> {
    let (mut versions, prefix) = (Versions::default(), key::joined(SPACE, NAME));
    let strange = || Error::internal("the store's own encryption key can't be read from its settings");
    index.scan(Table::Settings, &prefix, &mut |row_key, row| {
        let Some(number) = row_key.strip_prefix(prefix.as_slice()) else { return Ok(Walk::Stop) };
        let number = std::str::from_utf8(number).ok().and_then(|n| n.parse().ok()).ok_or_else(strange)?;
        let secret = sealing.open(row_key, &stored::decode::<Vec<u8>>(row)?)?;
        versions.add(number, secret.try_into().map_err(|_| strange())?);
        Ok(Walk::Next)
    })?;
    Ok(versions)
}

/// Refuses to go on where something is encrypted with a key that is not there, unless told to.
pub fn require_all(index: &Index, ring: &Ring, allowed: bool) -> Result<()> {
    let mut missing = Vec::new();
    for (name, version, uses) in uses(index)? {
        let versions = versions_of(ring, &name);
        if !versions.is_some_and(|versions| versions.numbers().any(|n| n == version)) {
            missing.push(format!("version {version} of {name:?}, which {uses} objects and uploads need"));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let missing = missing.join("; ");
    if allowed {
        tracing::error!("keys of encryption are not there, and what needs them can't be read: {missing}");
        return Ok(());
    }
    let text = format!(
        "keys of encryption are not there: {missing}. Bring them back in [[encryption_key]]. An old version can go when the log says that \
         nothing needs it any more. encryption.allow_missing_keys = true starts without them"
    );
    Err(Error::new(ErrorKind::LocalUnavailable, text))
}

/// Of the key of this name; an empty one is the store's own.
pub fn versions_of<'r>(ring: &'r Ring, name: &str) -> Option<&'r Versions> {
    if name.is_empty() { Some(&ring.own) } else { Some(&ring.named.get(&KeyName::parse(name).ok()?)?.versions) }
}

/// Which versions of which keys are needed, and by how many rows. An empty name: the store's own.
pub fn uses(index: &Index) -> Result<Vec<(String, u32, u64)>> {
    let mut found = Vec::new();
    index.scan(Table::KeyUses, b"", &mut |row_key, row| {
        let (name, version) = key::parse_key_use(row_key)?;
        found.push((name.to_owned(), version, stored::decode::<u64>(row)?));
        Ok(Walk::Next)
    })?;
    Ok(found)
}

/// Another version of those that there are: its number, its secret, and its row.
pub fn another(versions: &Versions, sealing: &Sealing) -> Result<(u32, wrap::Secret, Vec<u8>)> {
    let number = versions.newest_number().unwrap_or(0).checked_add(1).ok_or_else(|| Error::internal("too many versions of a key"))?;
    let secret = wrap::Secret::new(wrap::random()?);
    let row = sealing.seal(&row_key(number), &*secret)?;
    Ok((number, secret, row))
}
