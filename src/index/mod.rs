//! The only user of sled: tables of keys and values that follow the journal. All of it can be deleted and is rebuilt.
//!
//! Not here: what the rows mean (`local` and `queue` know), when they are rebuilt (`follow`).
//! Called by those two: their writers apply, blocking threads read.
//!
//! Invariants: a batch and the position it brings the index to become visible together; sled is never asked whether
//! something is durable. sled is entered through `guarded` only: its errors and its panics are one error, "broken",
//! and the caller's cure is to set the folder aside and rebuild. A read that fails is remembered (`is_broken`): whoever can rebuild
//! need not be the one who read.

use std::fs::{File, TryLockError};
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::base::error::{Error, ErrorKind, Result};

#[derive(Debug, Clone)]
pub struct Settings {
    pub dir: PathBuf,
    /// sled's page cache. 64 MiB holds the inner nodes and the busy leaves of some million rows.
    pub cache_bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { dir: PathBuf::from("data/index"), cache_bytes: 64 * 1024 * 1024 }
    }
}

/// How far the index followed which log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    pub log: [u8; 16],
    pub segment: u64,
    pub offset: u64,
    pub next_sequence: u64,
}

/// Where a scan goes from a row.
pub enum Walk {
    Next,
    /// To the first key not below this one: skips what lies between without reading it.
    Seek(Vec<u8>),
    Stop,
}

/// See `Index::moment`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment(u64);

/// A row to be set, or deleted (None).
pub type Change = (u8, Vec<u8>, Option<Vec<u8>>);

/// What a scan calls for each row: its key in the table, and its value.
pub type Visit<'v> = dyn FnMut(&[u8], &[u8]) -> Result<Walk> + 'v;

pub struct Index {
    db: sled::Db,
    broken: AtomicBool,
    changes: AtomicU64,
}

/// The table of the index's own row. No other row is above it.
const OWN_TABLE: u8 = 0xff;
const APPLIED: &[u8] = &[OWN_TABLE, b'a'];
/// How long an index that was just closed may hold its lock.
const CLOSING_PATIENCE: Duration = Duration::from_secs(5);
/// Changes when the meaning of the rows changes: an index with another number is rebuilt.
const FORMAT: u8 = 3;

impl Index {
    /// Err: broken, or not one of ours. The caller quarantines and makes a new one.
    pub fn open(settings: &Settings) -> Result<Index> {
        wait_until_closed(&settings.dir);
        let db = guarded(|| {
            sled::Config::new()
                .path(&settings.dir)
                .cache_capacity(settings.cache_bytes)
                .mode(sled::Mode::HighThroughput)
                // Only bounds how much is replayed after a crash: the journal is what must be durable.
                .flush_every_ms(Some(1000))
                .open()
        })?;
        Ok(Index { db, broken: AtomicBool::new(false), changes: AtomicU64::new(0) })
    }

    /// None: new, half built, or of another format.
    pub fn applied(&self) -> Result<Option<Applied>> {
        let Some(row) = guarded(|| self.db.get(APPLIED))? else { return Ok(None) };
        Ok(parse_applied(&row))
    }

    /// Something that should be there could not be read.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    fn read<T>(&self, f: impl FnOnce() -> sled::Result<T>) -> Result<T> {
        guarded(f).inspect_err(|_| self.broken.store(true, Ordering::Release))
    }

    /// As if a page could not be read.
    #[cfg(test)]
    pub fn fail_a_read(&self) {
        let _ = self.read(|| Err::<(), _>(sled::Error::ReportableBug("a test wants it".into())));
    }

    pub fn get(&self, table: impl Into<u8>, key: &[u8]) -> Result<Option<sled::IVec>> {
        let row_key = row_key(table.into(), key);
        self.read(|| self.db.get(&row_key))
    }

    /// Calls `each` with the rows of the table from `from` on, in order, for as long as it likes.
    pub fn scan(&self, table: impl Into<u8>, from: &[u8], each: &mut Visit<'_>) -> Result<()> {
        let table = table.into();
        let mut start = row_key(table, from);
        'seek: loop {
            let mut rows = self.read(|| Ok(self.db.range::<&[u8], _>((Bound::Included(start.as_slice()), Bound::Unbounded))))?;
            while let Some((key, value)) = self.read(|| rows.next().transpose())? {
                let Some(key) = key.strip_prefix(&[table]) else { return Ok(()) };
                match each(key, &value)? {
                    Walk::Next => {}
                    Walk::Stop => return Ok(()),
                    Walk::Seek(to) => {
                        start = row_key(table, &to);
                        continue 'seek;
                    }
                }
            }
            return Ok(());
        }
    }

    /// The rows of the table from `from` on, one at a time: for who walks two tables together.
    pub fn rows(&self, table: impl Into<u8>, from: &[u8]) -> Result<Rows<'_>> {
        let table = table.into();
        let mut rows = Rows { index: self, table, range: None, next: None };
        rows.seek(from)?;
        Ok(rows)
    }

    /// Applies the changes and the position at once.
    pub fn apply(&self, changes: &[Change], applied: &Applied) -> Result<()> {
        let mut batch = sled::Batch::default();
        for (table, key, value) in changes {
            match value {
                Some(value) => batch.insert(row_key(*table, key), value.as_slice()),
                None => batch.remove(row_key(*table, key)),
            }
        }
        batch.insert(APPLIED, encode_applied(applied).as_slice());
        self.changes.fetch_add(1, Ordering::AcqRel);
        let applied = guarded(|| self.db.apply_batch(batch));
        self.changes.fetch_add(1, Ordering::AcqRel);
        applied
    }

    /// Where the changes stand, for who reads more than one row and must know whether they are of one moment.
    pub fn moment(&self) -> Moment {
        Moment(self.changes.load(Ordering::Acquire))
    }

    pub fn is_still(&self, moment: &Moment) -> bool {
        // Odd: a change was in progress.
        moment.0.is_multiple_of(2) && self.moment() == *moment
    }

    /// One row of a rebuild: no position is written, so a rebuild that is cut off is not taken for whole.
    pub fn load(&self, table: impl Into<u8>, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        let row_key = row_key(table.into(), key);
        guarded(|| match value {
            Some(value) => self.db.insert(row_key, value),
            None => self.db.remove(row_key),
        })
        .map(drop)
    }

    pub fn flush(&self) -> Result<()> {
        guarded(|| self.db.flush()).map(drop)
    }

    pub fn is_empty(&self) -> Result<bool> {
        guarded_ok(|| self.db.is_empty())
    }
}

/// A walk over one table that stands at a row.
pub struct Rows<'i> {
    index: &'i Index,
    table: u8,
    range: Option<sled::Iter>,
    next: Option<(sled::IVec, sled::IVec)>,
}

impl Rows<'_> {
    /// The row it stands at, by its key in the table, with its value. None: there are no more.
    pub fn at(&self) -> Option<(&[u8], &[u8])> {
        let (row_key, value) = self.next.as_ref()?;
        Some((row_key.get(1..)?, value))
    }

    pub fn step(&mut self) -> Result<()> {
        let (index, table) = (self.index, self.table);
        let row = match &mut self.range {
            Some(range) => index.read(|| range.next().transpose())?,
            None => None,
        };
        self.next = row.filter(|(row_key, _)| row_key.first() == Some(&table));
        Ok(())
    }

    /// Goes to the first row that is not below `to`, if it stands before it.
    pub fn seek_forward(&mut self, to: &[u8]) -> Result<()> {
        if self.at().is_some_and(|(row_key, _)| row_key < to) { self.seek(to) } else { Ok(()) }
    }

    fn seek(&mut self, to: &[u8]) -> Result<()> {
        let start = row_key(self.table, to);
        let range = self.index.read(|| Ok(self.index.db.range::<&[u8], _>((Bound::Included(start.as_slice()), Bound::Unbounded))))?;
        self.range = Some(range);
        self.step()
    }
}

/// Sets a broken index aside, for whoever wants to look at it; the one before goes.
pub fn quarantine(dir: &Path) -> Result<()> {
    let aside = dir.with_extension("broken");
    if aside.exists() {
        std::fs::remove_dir_all(&aside).map_err(Error::internal)?;
    }
    if dir.exists() {
        std::fs::rename(dir, &aside).map_err(Error::internal)?;
    }
    Ok(())
}

/// sled's own threads may outlive an index that was closed, for some milliseconds, and hold the lock of its file. That is not a
/// broken index. Two processes never meet here: whoever owns the data folder has locked all of it.
fn wait_until_closed(dir: &Path) {
    let Ok(file) = File::open(dir.join("db")) else { return };
    let until = Instant::now() + CLOSING_PATIENCE;
    while matches!(file.try_lock(), Err(TryLockError::WouldBlock)) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn row_key(table: u8, key: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(1 + key.len());
    row.push(table);
    row.extend_from_slice(key);
    row
}

fn encode_applied(a: &Applied) -> [u8; 41] {
    let mut out = [0; 41];
    out[0] = FORMAT;
    out[1..17].copy_from_slice(&a.log);
    out[17..25].copy_from_slice(&a.segment.to_le_bytes());
    out[25..33].copy_from_slice(&a.offset.to_le_bytes());
    out[33..41].copy_from_slice(&a.next_sequence.to_le_bytes());
    out
}

fn parse_applied(row: &[u8]) -> Option<Applied> {
    let row: &[u8; 41] = row.try_into().ok()?;
    let long = |at: usize| row.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
    if row[0] != FORMAT {
        return None;
    }
    Some(Applied { log: row.get(1..17)?.try_into().ok()?, segment: long(17)?, offset: long(25)?, next_sequence: long(33)? })
}

/// The error of a broken index. Never "not found": what the index can't tell is still in the journal.
pub fn broken(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::LocalUnavailable, "The index is being rebuilt. Please try again.").caused_by(cause)
}

fn guarded<T>(f: impl FnOnce() -> sled::Result<T>) -> Result<T> {
    guarded_ok(f)?.map_err(broken)
}

fn guarded_ok<T>(f: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|panic| {
        let what = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        broken(what.unwrap_or_else(|| "the index panicked".to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(index: &Index, table: u8, from: &[u8]) -> Vec<Vec<u8>> {
        let mut keys = Vec::new();
        index
            .scan(table, from, &mut |k, _| {
                keys.push(k.to_vec());
                Ok(if k == b"b/1" { Walk::Seek(b"c".to_vec()) } else { Walk::Next })
            })
            .unwrap();
        keys
    }

    #[test]
    fn tables_are_apart_and_scans_seek() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings { dir: dir.path().join("index"), ..Settings::default() };
        let applied = Applied { log: [1; 16], segment: 2, offset: 3, next_sequence: 4 };
        let index = Index::open(&settings).unwrap();
        assert_eq!(index.applied().unwrap(), None);
        let set = |t: u8, k: &[u8]| (t, k.to_vec(), Some(b"v".to_vec()));
        index.apply(&[set(1, b"a"), set(1, b"b/1"), set(1, b"b/2"), set(1, b"c"), set(2, b"a")], &applied).unwrap();
        assert_eq!(rows(&index, 1, b""), [&b"a"[..], b"b/1", b"c"]);
        assert_eq!(rows(&index, 1, b"b/2"), [&b"b/2"[..], b"c"]);
        index.apply(&[(1, b"a".to_vec(), None)], &applied).unwrap();
        assert_eq!(index.get(1, b"a").unwrap(), None);
        assert!(index.get(2, b"a").unwrap().is_some());
        drop(index);
        for _ in 0..20 {
            assert_eq!(Index::open(&settings).unwrap().applied().unwrap(), Some(applied), "closed a moment ago");
        }
        quarantine(&settings.dir).unwrap();
        assert_eq!(Index::open(&settings).unwrap().applied().unwrap(), None);
        quarantine(&settings.dir).unwrap();
    }
}
