//! The SHA-256 of multipart objects, computed after they were completed: reads the object through, then records it.
//!
//! From then on equal content finds it; and if equal content was there before, the object moves to it and its own
//! files go. Unfinished work is a row of the journal, so it goes on after a restart.

use std::sync::Arc;

use sha2::Digest as _;

use crate::base::crypt::{Place, Ring};
use crate::base::digest::{Sha256, VerifiedSha256};
use crate::base::error::{Error, Result};
use crate::index::Walk;
use crate::local::encrypt;
use crate::local::hot::Entry;
use crate::local::rows::{BodyPlace, Id, Manifest, PartsRef, RehashRow, Table, key};
use crate::local::shared::Shared;
use crate::local::stored;
use crate::local::txn::Txn;
use crate::local::versions;

/// Read from the index at once; the rest follows in the next round.
const AT_ONCE: usize = 256;

impl Shared {
    /// One after the other, in the order they were completed. One that can't be read does not keep back the rest.
    pub fn hash_multipart(&self) -> Result<()> {
        let mut from = Vec::new();
        loop {
            let mut todo: Vec<(Vec<u8>, RehashRow)> = Vec::new();
            self.index()?.scan(Table::Rehash, &from, &mut |k, v| {
                todo.push((k.to_vec(), stored::decode(v)?));
                Ok(if todo.len() < AT_ONCE { Walk::Next } else { Walk::Stop })
            })?;
            let Some((last, _)) = todo.last() else { return Ok(()) };
            from = [last.as_slice(), &[0]].concat();
            for (row_key, row) in todo {
                if self.signal.stopped() {
                    return Ok(());
                }
                if let Err(e) = self.hash_one(key::parse_id(&row_key)?, row) {
                    tracing::warn!(error = %e, "a multipart object could not be hashed; it is tried again later");
                }
            }
        }
    }

    fn hash_one(&self, generation: Id, row: RehashRow) -> Result<()> {
        // It may have become a noncurrent version since.
        let entry = self.load_version(&row.bucket, &row.key, generation)?;
        let Some(entry) = entry.filter(|e| e.info.sha256.is_none()) else {
            return self.queue.submit_blocking(move |txn| txn.del_row(Table::Rehash, key::id(generation)));
        };
        let Some(sha256) = self.hash_of(&entry)? else { return Ok(()) };
        let ring = self.ring.load_full();
        self.queue.submit_blocking(move |txn| record(txn, &ring, generation, &row, sha256))
    }

    /// None: the store is stopping.
    fn hash_of(&self, entry: &Entry) -> Result<Option<VerifiedSha256>> {
        let (mut hash, mut stopped) = (sha2::Sha256::new(), false);
        let key = self.unlock(entry, None)?;
        let read = self.read_through(entry, key.as_ref(), &mut |piece| {
            hash.update(piece);
            stopped = self.signal.stopped();
            if stopped { Err(Error::internal("the store is stopping")) } else { Ok(()) }
        });
        if stopped {
            return Ok(None);
        }
        read?;
        Ok(Some(VerifiedSha256::proven(Sha256(hash.finalize().into()))))
    }
}

/// Only if the version that was read is still there.
fn record(txn: &mut Txn<'_>, ring: &Ring, generation: Id, todo: &RehashRow, sha256: VerifiedSha256) -> Result<()> {
    txn.del_row(Table::Rehash, key::id(generation))?;
    let Some(there) = versions::of_generation(txn, &todo.bucket, &todo.key, generation)? else { return Ok(()) };
    let mut row = (*there).clone();
    row.tail.sha256 = Some(sha256);
    let elsewhere = txn.content(&row.scope(), &sha256)?.filter(|c| c.place != row.tail.place);
    let of = row.tail.envelope.as_ref().map(|envelope| envelope.of.clone());
    let elsewhere = elsewhere.and_then(|content| encrypt::known(ring, of.as_ref(), content));
    if let (Some((place, key)), BodyPlace::Parts { manifest }) = (elsewhere, row.tail.place) {
        row.tail.place = place;
        let at = Place::of_version(&todo.bucket, &todo.key, generation, row.head.size);
        row.tail.envelope = encrypt::envelope(ring, of.as_ref(), key.as_deref(), &at)?;
        // The parts stay visible, but their files are the old manifest's and go with it.
        if let Some(parts) = row.tail.parts.filter(|p| p.manifest == manifest) {
            let old = txn.manifest(manifest)?.ok_or_else(|| Error::internal("an object's parts are missing: run `tidegate fsck`"))?;
            let id = txn.new_id();
            txn.set_row(Table::Manifests, key::id(id), &Manifest { parts: old.parts, ..Manifest::default() })?;
            row.tail.parts = Some(PartsRef { manifest: id, count: parts.count });
        }
    }
    versions::rewrite(txn, &todo.bucket, &todo.key, Arc::new(row))
}
