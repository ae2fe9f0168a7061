//! How fsck proves bodies that lie under keys: they are opened, and what is in them is hashed.
//!
//! What lies under a customer's key can't be opened without him: of that the size alone is proven. A key that is not there is told once,
//! with how many need it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use sha2::Digest as _;

use crate::base::crypt::chunks::{SEALED_CHUNK, sealed_len};
use crate::base::crypt::{DataKey, Envelope, PartKey, Place, Ring};
use crate::base::digest::Sha256;
use crate::base::error::Result;
use crate::index::Index;
use crate::local::own_key;
use crate::local::rows::{Held, ObjectRow, key};
use crate::local::settings::Settings;

/// Read at once.
const PIECE: usize = 16 * SEALED_CHUNK;

pub struct Keys {
    ring: Ring,
    /// What is not there, and how many need it.
    pub missing: BTreeMap<String, u64>,
}

/// How a body can be read.
#[derive(Clone)]
pub enum Opens {
    AsItLies,
    With(Arc<DataKey>),
    /// Its key is not here, or is a customer's.
    Not,
    /// Its row is not one that its key was wrapped for.
    Wrong,
}

impl Keys {
    pub fn of(index: &Index, settings: &Settings) -> Self {
        let own = own_key::read(index, &settings.sealing).unwrap_or_else(|e| {
            tracing::warn!(error = %e, "the store's own encryption key can't be read: what lies under it is not opened");
            Default::default()
        });
        Keys { ring: Ring { own, named: settings.encryption_keys.clone() }, missing: BTreeMap::new() }
    }

    /// `row_key`: that of its object in `Objects`.
    pub fn held(row_key: &[u8], row: &ObjectRow) -> Result<Option<Held>> {
        let Some(envelope) = row.tail.envelope.clone() else { return Ok(None) };
        let (bucket, name) = key::names(row_key)?;
        Ok(Some(Held { envelope, place: Place::of_version(&bucket, &name, row.tail.generation, row.head.size) }))
    }

    /// Notes a key that is not there.
    pub fn look_for(&mut self, envelope: Option<&Envelope>) {
        if let Some(missing) = envelope.and_then(|envelope| self.ring.lacks(envelope)) {
            *self.missing.entry(missing).or_default() += 1;
        }
    }

    pub fn opens(&self, held: Option<&Held>) -> Opens {
        match held {
            None => Opens::AsItLies,
            Some(Held { envelope, .. }) if envelope.of.is_customers() || self.ring.lacks(envelope).is_some() => Opens::Not,
            Some(Held { envelope, place }) => match self.ring.unwrap(envelope, place, None) {
                Ok(key) => Opens::With(Arc::new(key)),
                Err(_) => Opens::Wrong,
            },
        }
    }
}

impl Opens {
    pub fn part(&self, number: u16, file: u64, part_key: Option<&PartKey>) -> Opens {
        match (self, part_key) {
            (Opens::With(under), Some(part_key)) => match part_key.unwrap(under, number, file) {
                Some(key) => Opens::With(Arc::new(key)),
                None => Opens::Wrong,
            },
            (Opens::With(_), None) => Opens::Wrong,
            (other, _) => other.clone(),
        }
    }
}

/// How long the file of a body is.
pub fn stored_len(size: u64, encrypted: bool) -> u64 {
    if encrypted { sealed_len(size) } else { size }
}

/// None: it can't be known, since it can't be opened.
pub fn digest(bytes: &[u8], size: u64, opens: &Opens) -> Option<Option<Sha256>> {
    let hash = |bytes: &[u8]| Some(Sha256(sha2::Sha256::digest(bytes).into()));
    match opens {
        Opens::AsItLies => Some(hash(bytes)),
        Opens::With(key) => Some(key.open_all(size, bytes).and_then(|text| hash(&text))),
        Opens::Wrong => Some(None),
        Opens::Not => None,
    }
}

/// Adds what is in the file. Ok(false): it can't be known. Err: it can't be read, or is not what was written.
pub fn hash_into(path: &Path, size: u64, opens: &Opens, hash: &mut sha2::Sha256, read: &mut u64) -> std::io::Result<bool> {
    let key = match opens {
        Opens::AsItLies => None,
        Opens::With(key) => Some(key),
        Opens::Wrong => return Err(std::io::Error::other("the key of a body is not one of its row")),
        Opens::Not => return Ok(false),
    };
    let (mut file, mut buffer, mut first, mut text) = (File::open(path)?, vec![0; PIECE], 0, Vec::new());
    loop {
        let mut filled = 0;
        while filled < PIECE {
            match file.read(buffer.get_mut(filled..).unwrap_or_default())? {
                0 => break,
                n => filled += n,
            }
        }
        let Some(piece) = buffer.get(..filled).filter(|p| !p.is_empty()) else { return Ok(true) };
        *read += filled as u64;
        match key {
            None => hash.update(piece),
            Some(key) => {
                text.clear();
                key.open(size, first, piece, &mut text).ok_or_else(|| std::io::Error::other("a chunk does not open"))?;
                first += piece.len().div_ceil(SEALED_CHUNK) as u64;
                hash.update(&text);
            }
        }
    }
}
