//! After a key of encryption has got a newer version: the data keys that lie under older ones are wrapped anew, in the background,
//! while the store serves. No body is touched. What is new is under the newest version already.
//!
//! Called by the upkeep, so that it begins by itself at the start that brought the version, and goes on after a restart. How many rows
//! need which version is known at any time (`Table::KeyUses`); when an old one is needed by none, the log says that it can go.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use crate::base::crypt::{Place, Ring};
use crate::base::encryption::{KeyName, KeyState, KeyStates, KeyVersion};
use crate::base::error::{Error, ErrorKind, Result};
use crate::index::Walk;
use crate::local::encrypt;
use crate::local::own_key;
use crate::local::rows::{ObjectRow, Table, UploadRow, VersionRow, key};
use crate::local::shared::{Rewrap, Shared};
use crate::local::stored;
use crate::local::txn::Txn;
use crate::local::versions;

/// Rows changed in one command, and looked at for it: writers wait for no more than this.
const AT_ONCE: usize = 64;
const LOOKED_AT: usize = 10_000;
/// Where all that is left is damaged, looking at every row again would find the same.
const REST: Duration = Duration::from_secs(3600);
/// More versions of the store's own key than this are a script gone wild.
const MAX_OWN_VERSIONS: u32 = 10_000;

impl Shared {
    /// The store's own key gets another version. Its row is durable before anything is wrapped under it. Blocks.
    pub fn rotate_own(&self) -> Result<u32> {
        let _alone = self.rewrap.rotating.lock().unwrap_or_else(PoisonError::into_inner);
        let ring = self.ring.load_full();
        if ring.own.newest_number().is_some_and(|newest| newest >= MAX_OWN_VERSIONS) {
            let text = "The store's own encryption key has as many versions as it can have.";
            return Err(Error::new(ErrorKind::InvalidRequest, text));
        }
        let (number, secret, row) = own_key::another(&ring.own, &self.settings.sealing)?;
        self.queue.submit_blocking(move |txn| txn.set_row(Table::Settings, own_key::row_key(number), &row))?;
        let mut rotated = Ring::clone(&ring);
        rotated.own.add(number, *secret);
        self.ring.store(Arc::new(rotated));
        *self.rewrap.rests() = None;
        tracing::info!(version = number, "the store's own encryption key has a new version");
        self.signal.wake();
        Ok(number)
    }

    /// All keys that are there or needed, with how many rows need which version.
    pub fn key_states(&self) -> Result<KeyStates> {
        let ring = self.ring.load();
        let there = |versions: &crate::base::crypt::ring::Versions| versions.numbers().map(|n| (n, (true, 0))).collect();
        let named = ring.named.iter().map(|(name, key)| (name.as_str().to_owned(), there(&key.versions)));
        let mut all: BTreeMap<String, BTreeMap<u32, (bool, u64)>> = named.chain([(String::new(), there(&ring.own))]).collect();
        for (name, version, uses) in own_key::uses(&*self.index()?)? {
            all.entry(name).or_default().entry(version).or_default().1 = uses;
        }
        let state = |(name, versions): (String, BTreeMap<u32, (bool, u64)>)| -> Result<KeyState> {
            let name = if name.is_empty() { None } else { Some(KeyName::parse(&name)?) };
            let version = |(number, (is_there, needed_by))| KeyVersion { number, is_there, needed_by };
            Ok(KeyState { name, versions: versions.into_iter().map(version).collect() })
        };
        let Rewrap { running, unreadable, .. } = &self.rewrap;
        Ok(KeyStates {
            keys: all.into_iter().map(state).collect::<Result<_>>()?,
            is_wrapping: running.load(Ordering::SeqCst),
            unreadable: unreadable.load(Ordering::SeqCst),
        })
    }

    /// By the upkeep.
    pub fn rewrap_if_due(&self) -> Result<()> {
        if self.rewrap.rests().is_some_and(|until| Instant::now() < until) {
            return Ok(());
        }
        let done = self.rewrap();
        self.rewrap.running.store(false, Ordering::SeqCst);
        done
    }

    fn rewrap(&self) -> Result<()> {
        let stale = self.stale_versions()?;
        let (mut wrapped, mut unreadable) = (0, 0);
        if stale.is_empty() {
            self.rewrap.unreadable.store(0, Ordering::SeqCst);
            return Ok(());
        }
        self.rewrap.running.store(true, Ordering::SeqCst);
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
                let some = self.rewrap_some(table, &start)?;
                (wrapped, unreadable, from) = (wrapped + some.wrapped, unreadable + some.unreadable, some.next);
            }
        }
        self.rewrap.unreadable.store(unreadable, Ordering::SeqCst);
        if wrapped == 0 && unreadable > 0 {
            tracing::error!(unreadable, "data keys do not open and can't be wrapped anew; run `tidegate fsck --verify`");
            *self.rewrap.rests() = Some(Instant::now() + REST);
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

    fn rewrap_some(&self, table: Table, from: &[u8]) -> Result<Piece> {
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
        if found.is_empty() {
            return Ok(Piece { next, wrapped: 0, unreadable: 0 });
        }
        self.queue.submit_blocking(move |txn| {
            let (mut wrapped, mut unreadable) = (0, 0);
            for row_key in &found {
                match rewrap(txn, &ring, table, row_key) {
                    Ok(()) => wrapped += 1,
                    // What is damaged stays as it is, and holds up nothing.
                    Err(e) if e.kind() == ErrorKind::InternalError => {
                        tracing::error!(row = ?String::from_utf8_lossy(row_key), error = %e, "a data key could not be wrapped anew");
                        unreadable += 1;
                    }
                    Err(e) => return Err(e),
                }
            }
            Ok(Piece { next, wrapped, unreadable })
        })
    }
}

/// A piece of a table.
struct Piece {
    /// Where to go on. None: that was all.
    next: Option<Vec<u8>>,
    wrapped: u64,
    unreadable: u64,
}

/// The row may have changed since, or have gone.
fn rewrap(txn: &mut Txn<'_>, ring: &Ring, table: Table, row_key: &[u8]) -> Result<()> {
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
