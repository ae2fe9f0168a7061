//! The cache in front of a remote system of record: blocks of versions in memory and on disk, and what is known of keys.
//!
//! Not here: which origin it stands before (its `Source` is an argument), what a write is, who may read. Called by
//! `ops::through_cache` and nothing else.
//!
//! Invariants: a block belongs to exactly one version (bucket, key, owner, ETag, size) and is found under it alone; one request to
//! the upstream for a block however many wait for it; whatever fails here is a miss. All of it is derived: the folder may be deleted.
//! Limits: `Settings`. Memory: the memory tier, two blocks for each fetch, the index (`index::MAX_BLOCKS`), what is known of keys
//! (`known_keys::MAX_BYTES`) and of versions (`known_versions::MAX_BYTES`).

pub mod block_file;
pub mod blocks;
pub mod body;
pub mod disk;
pub mod fetch;
pub mod fill;
pub mod flights;
pub mod folder;
pub mod index;
pub mod known;
pub mod known_keys;
pub mod known_versions;
pub mod memory;
pub mod purge;
pub mod settings;
#[cfg(test)]
mod tests;
pub mod version;

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use quick_cache::sync::Cache as QuickCache;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::base::error::Result;
use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::SharedObject;
use crate::base::object_ref::ObjectRef;
use crate::base::range::ByteRange;
use crate::cache::body::CacheBody;
use crate::cache::disk::Disk;
use crate::cache::fill::{Fill, Interest};
use crate::cache::known_keys::KnownKeys;
use crate::cache::memory::Memory;
use crate::cache::settings::Settings;
use crate::cache::version::{BlockId, ObjectId, Version, VersionId};
use crate::origin::{Body, Pending, ReadBy};
use crate::telemetry::metrics::{CacheTier, Metrics};

/// Blocks up to this size are served from memory; larger ones by the kernel from their files.
pub const SMALL: u64 = 256 * 1024;
/// One request to the upstream, at most; as much is fetched ahead of a reader.
const RUN_BYTES: u64 = 8 << 20;
/// How long a miss waits for the look at what an earlier run left.
const SCAN_PATIENCE: Duration = Duration::from_secs(5);
/// Readers whose steps are remembered, to tell those who go on from those who jump.
const TRAILS: usize = 4096;

/// Where the bytes of versions come from.
pub trait Source: Send + Sync + 'static {
    /// `range` of exactly this version, from one place. None: it is not there any more.
    fn open<'a>(&'a self, version: &'a Version, range: ByteRange) -> Pending<'a, Option<(Giver, Body)>>;
    /// As much of the range as is to be had from one place: all of it, or its beginning.
    fn reach(&self, version: &Version, range: ByteRange) -> ByteRange;
}

/// Who gave bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Giver {
    Upstream,
    /// Another node, which keeps them: here they stay in memory, as long as they are asked for.
    Peer,
}

#[derive(Clone)]
pub struct Cache(Arc<Shared>);

pub struct Shared {
    settings: Settings,
    disk: Arc<Disk>,
    memory: Memory,
    known_keys: KnownKeys,
    filling: Mutex<HashMap<BlockId, Arc<Fill>>>,
    fetches: Arc<Semaphore>,
    trails: QuickCache<VersionId, Trail>,
}

/// Where the last reader of a version stopped.
#[derive(Clone)]
struct Trail {
    end: u64,
    /// Blocks that were fetched beyond the end.
    further: u32,
    /// They go on arriving until the next reader comes.
    _interests: Arc<Vec<Interest>>,
}

impl Cache {
    /// Looks at what an earlier run left on a thread of its own.
    pub fn start(settings: Settings) -> std::io::Result<Self> {
        let disk = Arc::new(Disk::new(&settings));
        if !disk.is_off() {
            let disk = disk.clone();
            std::thread::Builder::new().name("cache-scan".into()).spawn(move || disk.scan())?;
        }
        Ok(Cache(Arc::new(Shared {
            disk,
            memory: Memory::new(&settings),
            known_keys: KnownKeys::new(&settings.freshness),
            filling: Mutex::default(),
            fetches: Arc::new(Semaphore::new(settings.fetches.max(1))),
            trails: QuickCache::new(TRAILS),
            settings,
        })))
    }

    pub fn metrics(&self) -> &Metrics {
        self.0.metrics()
    }

    /// Bytes on disk.
    pub fn used(&self) -> u64 {
        self.0.disk.used()
    }

    /// Bytes that it can hold.
    pub fn room(&self) -> u64 {
        if self.0.disk.is_off() { self.0.settings.memory_bytes } else { self.0.settings.disk_bytes }
    }

    pub fn version(&self, of: ObjectRef<'_>, info: &SharedObject) -> Version {
        Version::new(of, info, self.0.settings.block_bytes)
    }

    /// `range`, which is inside the version, if all of it is in memory.
    pub fn open_hot(&self, version: &Version, range: ByteRange) -> Option<Bytes> {
        let number = version.number_at(range.start);
        let block = version.range_of(number);
        if range.end > block.end {
            return None;
        }
        let bytes = self.0.memory.get(&version.block(number))?;
        self.0.metrics().cache_hits.of(CacheTier::Memory).inc();
        Some(bytes.slice((range.start - block.start) as usize..(range.end - block.start) as usize))
    }

    /// Whether anything is known or kept of the key; also while it is not known what is kept.
    pub fn knows(&self, bucket: &BucketName, key: &ObjectKey) -> bool {
        !matches!(self.0.known_keys.look(bucket, key), known::Known::Nothing) || self.0.disk.may_keep(ObjectId::of(bucket, key))
    }

    /// What would be fetched first, of an object of any size, for a reader of this.
    pub fn first_fetch(&self, range: ByteRange) -> ByteRange {
        let block = self.0.settings.block_bytes;
        let start = range.start / block * block;
        let longest = start.saturating_add(u64::from(self.0.run_blocks()) * block);
        ByteRange { start, end: range.end.div_ceil(block).saturating_mul(block).min(longest) }
    }

    /// Whether the byte at `offset` is here and need not be fetched.
    pub fn has(&self, version: &Version, offset: u64) -> bool {
        let number = version.number_at(offset);
        self.0.memory.has(&version.block(number)) || self.0.disk.has(version, number)
    }

    /// `range`, which is not empty and inside the version; fetched from `source` where it is not here. None: the version is gone.
    pub async fn open(&self, version: Version, range: ByteRange, by: ReadBy, source: Arc<dyn Source>) -> Result<Option<Body>> {
        if let Some(bytes) = self.open_hot(&version, range) {
            return Ok(Some(Body::Memory(bytes)));
        }
        let further = self.0.step(&version, range);
        self.open_further(version, range, further, by, source).await
    }

    /// The same, and no block beyond it, however its reader goes on.
    pub async fn open_alone(&self, version: Version, range: ByteRange, by: ReadBy, source: Arc<dyn Source>) -> Result<Option<Body>> {
        self.open_further(version, range, 0, by, source).await
    }

    async fn open_further(
        &self,
        version: Version,
        range: ByteRange,
        further: u32,
        by: ReadBy,
        source: Arc<dyn Source>,
    ) -> Result<Option<Body>> {
        if !self.0.disk.is_scanned() {
            self.0.disk.scanned(SCAN_PATIENCE).await;
        }
        let mut body = CacheBody::new(self.0.clone(), Arc::new(version), source, by, range, further);
        if !poll_fn(|cx| body.poll_first(cx)).await? {
            return Ok(None);
        }
        Ok(Some(match body.whole() {
            Some(bytes) => Body::Memory(bytes),
            None => Body::Stream(Box::pin(body)),
        }))
    }

    pub fn freshness(&self) -> &settings::Freshness {
        &self.0.settings.freshness
    }

    pub fn known_keys(&self) -> &KnownKeys {
        &self.0.known_keys
    }

    /// What blocks tell of a key that is not known otherwise, and since when that is so.
    pub async fn remembered(&self, bucket: &BucketName, key: &ObjectKey) -> Option<(SharedObject, std::time::SystemTime)> {
        self.0.disk.scanned(SCAN_PATIENCE).await;
        let (disk, bucket, key) = (self.0.disk.clone(), bucket.clone(), key.clone());
        spawn_blocking(move || disk.remembered(&bucket, &key)).await.ok().flatten()
    }

    /// This is what the key is now; see `KnownKeys::learn`.
    pub fn learn(&self, ticket: known_keys::Ticket, bucket: &BucketName, key: &ObjectKey, found: Option<SharedObject>) {
        if !self.0.known_keys.learn(ticket, bucket, key, found.clone()) {
            return;
        }
        match found {
            Some(info) => self.0.disk.confirm(&self.version(ObjectRef::current(bucket, key), &info)),
            None => self.outdate(bucket, key),
        }
    }

    /// The key was changed, or may have been: from now on it is asked for. Its old blocks stay for those who are reading them.
    /// Does not wait for the disk; `outdate_durably` does.
    pub fn outdate(&self, bucket: &BucketName, key: &ObjectKey) {
        drop(self.outdated(bucket, key));
    }

    /// The same, until a restart would know it too.
    pub async fn outdate_durably(&self, bucket: &BucketName, key: &ObjectKey) {
        if let Some(writing) = self.outdated(bucket, key) {
            let _ = writing.await;
        }
    }

    /// The same of many keys. All of them are asked for from now on, before the disk is waited for.
    pub async fn outdate_all_durably(&self, keys: &[(BucketName, ObjectKey)]) {
        let writing: Vec<_> = keys.iter().filter_map(|(bucket, key)| self.outdated(bucket, key)).collect();
        for written in writing {
            let _ = written.await;
        }
    }

    fn outdated(&self, bucket: &BucketName, key: &ObjectKey) -> Option<tokio::task::JoinHandle<()>> {
        self.0.known_keys.forget(bucket, key);
        let (disk, object) = (self.0.disk.clone(), ObjectId::of(bucket, key));
        disk.outdate(object).then(|| spawn_blocking(move || disk.write_outdated(object)))
    }
}

impl Shared {
    fn metrics(&self) -> &Metrics {
        &self.settings.metrics
    }

    fn filling(&self) -> MutexGuard<'_, HashMap<BlockId, Arc<Fill>>> {
        self.filling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run_blocks(&self) -> u32 {
        u32::try_from(RUN_BYTES / self.settings.block_bytes).unwrap_or(1).max(1)
    }

    /// Notes where a reader begins and ends. How many blocks beyond its end are worth fetching: none for a reader who jumps, more
    /// and more for one who goes on where he stopped.
    fn step(&self, version: &Version, range: ByteRange) -> u32 {
        if range.end == version.info.size && range.start == 0 {
            return 0;
        }
        let id = version.id();
        let further = match self.trails.get(&id) {
            Some(trail) if trail.end == range.start => (trail.further * 2).clamp(1, self.run_blocks()),
            _ => 0,
        };
        self.trails.insert(id, Trail { end: range.end, further, _interests: Arc::default() });
        further
    }

    /// The reader who was to stop at `end` did so.
    fn linger(&self, version: &Version, end: u64, interests: Vec<Interest>) {
        if let Some(trail) = self.trails.get(&version.id()).filter(|t| t.end == end && t.further > 0) {
            self.trails.insert(version.id(), Trail { _interests: Arc::new(interests), ..trail });
        }
    }
}
