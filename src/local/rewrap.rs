//! After a key of encryption has got a newer version: the data keys that lie under older ones are wrapped anew, in the background,
//! while the store serves. No body is touched. What is new is under the newest version already.
//!
//! Called by the upkeep, so that it begins by itself at the start that brought the version, and goes on after a restart. How many rows
//! need which version is known at any time (`Table::KeyUses`); when an old one is needed by none, the log says that it can go.

use std::sync::Arc;

use crate::base::crypt::Place;
use crate::base::error::Result;
use crate::index::Walk;
use crate::local::encrypt;
use crate::local::own_key;
use crate::local::rows::{ObjectRow, Table, UploadRow, VersionRow, key};
use crate::local::shared::Shared;
use crate::local::stored;
use crate::local::txn::Txn;
use crate::local::versions;

/// Rows changed in one command, and looked at for it: writers wait for no more than this.
const AT_ONCE: usize = 64;
const LOOKED_AT: usize = 10_000;

impl Shared {
    pub fn rewrap(&self) -> Result<()> {
        let stale = self.stale_versions()?;
        if stale.is_empty() {
            return Ok(());
        }
        tracing::info!(
            rows = stale.iter().map(|(_, _, rows)| rows).sum::<u64>(),
            "data keys are wrapped anew: their keys have newer versions"
        );
        for table in [Table::Objects, Table::Versions, Table::Uploads] {
            let mut from = Some(Vec::new());
            while let Some(start) = from {
                if self.signal.stopped() {
                    return Ok(());
                }
                from = self.rewrap_some(table, &start)?;
            }
        }
        let left = self.stale_versions()?;
        for (name, version, _) in stale.iter().filter(|(name, version, _)| !left.iter().any(|(n, v, _)| (n, v) == (name, version))) {
            let key = if name.is_empty() { "the store's own".to_owned() } else { format!("{name:?}") };
            tracing::info!(key, version, "nothing needs this version of the encryption key any more, but backups of before");
        }
        Ok(())
    }

    /// Which versions are in use though there are newer ones, as far as they are there.
    fn stale_versions(&self) -> Result<Vec<(String, u32, u64)>> {
        let ring = self.ring.load();
        let mut uses = own_key::uses(&*self.index()?)?;
        uses.retain(|(name, version, _)| {
            let versions = own_key::versions_of(&ring, name);
            versions.is_some_and(|v| v.numbers().any(|n| n == *version) && v.newest_number().is_some_and(|newest| newest > *version))
        });
        Ok(uses)
    }

    /// Where to go on. None: that was all.
    fn rewrap_some(&self, table: Table, from: &[u8]) -> Result<Option<Vec<u8>>> {
        let ring = self.ring.load_full();
        let (mut found, mut looked_at, mut next) = (Vec::new(), 0, None);
        self.index()?.scan(table, from, &mut |row_key, row| {
            if found.len() >= AT_ONCE || looked_at >= LOOKED_AT {
                next = Some(row_key.to_vec());
                return Ok(Walk::Stop);
            }
            looked_at += 1;
            let envelope = match table {
                Table::Objects => stored::decode::<ObjectRow>(row)?.tail.envelope,
                Table::Versions => stored::decode::<VersionRow>(row)?.object().and_then(|row| row.tail.envelope.clone()),
                _ => stored::decode::<UploadRow>(row)?.envelope,
            };
            if envelope.is_some_and(|envelope| ring.is_stale(&envelope) && ring.lacks(&envelope).is_none()) {
                found.push(row_key.to_vec());
            }
            Ok(Walk::Next)
        })?;
        if !found.is_empty() {
            self.queue.submit_blocking(move |txn| found.iter().try_for_each(|row_key| rewrap(txn, &ring, table, row_key)))?;
        }
        Ok(next)
    }
}

/// The row may have changed since, or have gone.
fn rewrap(txn: &mut Txn<'_>, ring: &crate::base::crypt::Ring, table: Table, row_key: &[u8]) -> Result<()> {
    if table == Table::Uploads {
        let Some(mut row) = txn.get_row::<UploadRow>(table, row_key)? else { return Ok(()) };
        let Some(key) = encrypt::upload_key(ring, &row, None)? else { return Ok(()) };
        let place = Place::of_upload(&row.upload.bucket, &row.upload.key, &row.upload.id);
        row.envelope = encrypt::envelope(ring, row.upload.encryption.as_ref(), Some(&key), &place)?;
        return txn.set_row(table, row_key.to_vec(), &row);
    }
    let (object, generation) = match table {
        Table::Versions => key::split_version(row_key).map(|(object, generation)| (object, Some(generation)))?,
        _ => (row_key, None),
    };
    let (bucket, name) = key::names(object)?;
    let row = match generation {
        Some(generation) => versions::of_generation(txn, &bucket, &name, generation)?,
        None => txn.object(&bucket, &name)?,
    };
    let Some(row) = row else { return Ok(()) };
    let Some(envelope) = row.tail.envelope.as_ref().filter(|envelope| ring.is_stale(envelope)) else { return Ok(()) };
    let place = Place::of_version(&bucket, &name, row.tail.generation, row.head.size);
    let key = ring.unwrap(envelope, &place, None)?;
    let anew = ring.wrap(&envelope.of, &key, &place)?;
    let mut row = ObjectRow::clone(&row);
    row.tail.envelope = Some(anew);
    versions::rewrite(txn, &bucket, &name, Arc::new(row))
}
