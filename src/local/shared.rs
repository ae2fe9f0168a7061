//! What the store's threads and its readers share: the index at hand, the buckets in memory, caches, the queue.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::base::crypt::Ring;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::object::{Bucket, SharedBucket};
use crate::files::Files;
use crate::index::{self, Index, Walk};
use crate::ingest::Staging;
use crate::local::clock::Clock;
use crate::local::folders::Folders;
use crate::local::hot::Hot;
use crate::local::ids::Ids;
use crate::local::inline::Segments;
use crate::local::layout::{self, Layout};
use crate::local::placing::Orphans;
use crate::local::rows::{BodyPlace, Id, Manifest, ObjectRow, PartRow, Table, VersionRow};
use crate::local::settings::Settings;
use crate::local::stored;
use crate::local::txn::{Txn, Value};
use crate::local::upkeep::Signal;
use crate::local::writer::Queue;

pub struct Shared {
    pub settings: Settings,
    pub layout: Layout,
    /// None: broken, and being rebuilt.
    pub index: ArcSwapOption<Index>,
    pub buckets: Buckets,
    pub hot: Hot,
    pub files: Arc<Files>,
    pub segments: Segments,
    pub ids: Ids,
    pub clock: Clock,
    /// The keys that bodies' keys are wrapped under.
    pub ring: ArcSwap<Ring>,
    pub queue: Queue,
    pub references: References,
    pub health: Arc<Health>,
    pub folders: Folders,
    pub orphans: Arc<Orphans>,
    pub staging: Staging,
    pub signal: Signal,
    /// Held while files must not go: by a pass that decides about them, by a backup that links them.
    pub hold: Mutex<()>,
    /// Held by a rebuild of the index, which reads all of the journal, and by a pass for the moment in which parts of it go. Not
    /// `hold`: a backup may take hours, and without an index nothing is served.
    pub journal_read: Mutex<()>,
    pub rebuilds: Rebuilds,
    pub rewrap: Rewrap,
}

impl Shared {
    pub fn index(&self) -> Result<Arc<Index>> {
        match self.index.load_full() {
            Some(index) if !index.is_broken() => Ok(index),
            Some(_) => {
                // Without a write nobody else would find it.
                self.queue.report_broken();
                Err(index::broken("the index could not be read"))
            }
            None => Err(index::broken("the index is not there")),
        }
    }

    /// Waits for a rebuild where the index is broken. Err: the rebuild failed, or the store closed. Not for requests of clients, of
    /// which many would wait; blocks.
    pub fn index_after_rebuild(&self) -> Result<Arc<Index>> {
        let seen = self.rebuilds.ended();
        self.index().or_else(|broken| {
            self.queue.report_broken();
            if self.queue.is_closed() {
                return Err(broken);
            }
            self.rebuilds.wait_for_another(seen);
            self.index()
        })
    }
}

/// How far the wrapping of data keys under newer versions is, and when it is worth beginning again.
#[derive(Default)]
pub struct Rewrap {
    pub running: AtomicBool,
    pub unreadable: AtomicU64,
    rests_until: Mutex<Option<Instant>>,
    /// One rotation at a time.
    pub rotating: Mutex<()>,
}

impl Rewrap {
    pub fn rests(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.rests_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many rebuilds of the index came to an end, well or not. The end of the writer, after which none is begun, counts as one.
#[derive(Default)]
pub struct Rebuilds {
    ended: Mutex<u64>,
    changed: Condvar,
}

impl Rebuilds {
    pub fn one_ended(&self) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.changed.notify_all();
    }

    fn ended(&self) -> u64 {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for_another(&self, seen: u64) {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_while(ended, |ended| *ended == seen));
    }
}

/// All buckets, in memory: every request asks for one. Bounded by tenants x MAX_BUCKETS_PER_TENANT.
#[derive(Default)]
pub struct Buckets(ArcSwap<BTreeMap<String, SharedBucket>>);

impl Buckets {
    pub fn get(&self, name: &str) -> Option<SharedBucket> {
        self.0.load().get(name).cloned()
    }

    pub fn all(&self) -> Arc<BTreeMap<String, SharedBucket>> {
        self.0.load_full()
    }

    /// By the writer only.
    pub fn change(&self, changes: Vec<(Vec<u8>, Option<SharedBucket>)>) {
        if changes.is_empty() {
            return;
        }
        let mut all = BTreeMap::clone(&self.0.load());
        for (name, bucket) in changes {
            let name = String::from_utf8_lossy(&name).into_owned();
            match bucket {
                Some(bucket) => all.insert(name, bucket),
                None => all.remove(&name),
            };
        }
        self.0.store(Arc::new(all));
    }

    pub fn load(&self, index: &Index) -> Result<()> {
        let mut all = BTreeMap::new();
        index.scan(Table::Buckets, b"", &mut |_, value| {
            let bucket = stored::decode::<Bucket>(value)?;
            all.insert(bucket.name.as_str().to_owned(), Arc::new(bucket));
            Ok(Walk::Next)
        })?;
        self.0.store(Arc::new(all));
        Ok(())
    }
}

/// What was referred to since a proof of unreferenced things began. Empty and idle otherwise.
#[derive(Default)]
pub struct References(Mutex<Option<Seen>>);

#[derive(Default)]
pub struct Seen {
    pub ids: HashSet<Id>,
    pub segments: HashSet<u64>,
}

impl Seen {
    /// Notes what a row of the truth refers to.
    pub fn row(&mut self, table: Table, value: &[u8]) -> Result<()> {
        match table {
            Table::Objects => self.object(&stored::decode::<ObjectRow>(value)?),
            Table::Versions => self.version(&stored::decode(value)?),
            Table::Manifests => self.ids.extend(stored::decode::<Manifest>(value)?.files.iter().map(|f| f.id)),
            Table::Parts => {
                self.ids.insert(stored::decode::<PartRow>(value)?.file);
            }
            // They hold no bytes: those of an upload are its parts', those of a completed one its object's.
            Table::Meta | Table::Buckets | Table::Uploads | Table::Completed | Table::Settings => {}
            // A candidate is no reference, and the hash of an object is asked for as long as the object is there.
            Table::Drops | Table::Rehash => {}
            // They point to what an object refers to, or to a row.
            Table::Hashes | Table::ManifestRefs | Table::Usage | Table::NullVersions | Table::Due | Table::KeyUses => {}
        }
        Ok(())
    }

    pub fn object(&mut self, row: &ObjectRow) {
        self.ids.extend(row.manifests());
        match row.tail.place {
            BodyPlace::File { id } => {
                self.ids.insert(id);
            }
            BodyPlace::Inline { segment, .. } => {
                self.segments.insert(segment);
            }
            BodyPlace::Empty | BodyPlace::Parts { .. } | BodyPlace::Pending(_) => {}
        }
    }

    fn version(&mut self, row: &VersionRow) {
        // A marker has no bytes.
        row.object().into_iter().for_each(|row| self.object(row));
    }

    pub fn txn(&mut self, txn: &Txn<'_>) -> Result<()> {
        for (table, _, value) in txn.touched() {
            match value {
                Some(Value::Object(row)) => self.object(row),
                Some(Value::Version(row)) => self.version(row),
                Some(Value::Bytes(bytes)) => self.row(table, bytes)?,
                Some(Value::Bucket(_) | Value::Hash(_)) | None => {}
            }
        }
        Ok(())
    }
}

impl References {
    pub fn watch(&self) {
        *self.lock() = Some(Seen::default());
    }

    pub fn unwatch(&self) {
        *self.lock() = None;
    }

    /// What was seen so far. An error where nobody watches: then nothing is proven.
    pub fn with<T>(&self, look: impl FnOnce(&Seen) -> T) -> Result<T> {
        self.lock().as_ref().map(look).ok_or_else(|| Error::internal("a pass that nobody watches"))
    }

    pub fn note(&self, txn: &Txn<'_>) -> Result<()> {
        match &mut *self.lock() {
            Some(seen) => seen.txn(txn),
            None => Ok(()),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// More than a second's writes.
const NEARLY_FULL: u64 = 4 * 1024 * 1024 * 1024;

/// Whether the disk takes writes, and has room.
pub struct Health {
    last_write_failed: AtomicBool,
    /// Milliseconds after `started` when the free space was asked for last, plus one; and the answer.
    asked: AtomicU64,
    free: AtomicU64,
    started: Instant,
}

impl Health {
    pub fn new() -> Self {
        Health {
            last_write_failed: AtomicBool::new(false),
            asked: AtomicU64::new(0),
            free: AtomicU64::new(u64::MAX),
            started: Instant::now(),
        }
    }

    pub fn wrote(&self, ok: bool) {
        self.last_write_failed.store(!ok, Ordering::Relaxed);
    }

    pub fn last_write_failed(&self) -> bool {
        self.last_write_failed.load(Ordering::Relaxed)
    }

    /// Refuses what would take the room that deletes need. Asks the disk once a second, and each time where it is nearly full.
    pub fn require_room(&self, layout: &Layout, reserve: u64) -> Result<()> {
        let now = self.started.elapsed().as_millis() as u64 + 1;
        let asked = self.asked.load(Ordering::Relaxed);
        let near = self.free.load(Ordering::Relaxed) < reserve.saturating_add(NEARLY_FULL);
        let due = asked == 0 || near || now.saturating_sub(asked) >= 1000;
        if due && self.asked.compare_exchange(asked, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            // Where the disk can't even be asked, the write itself will tell.
            self.free.store(layout::free_bytes(layout.root()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        if self.free.load(Ordering::Relaxed) < reserve {
            return Err(Error::new(ErrorKind::StorageFull, "The storage is full. Deleting still works."));
        }
        Ok(())
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}
