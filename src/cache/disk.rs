//! The disk tier: the index, the folder and the open files, kept in step.
//!
//! Invariants: the files together never take more than the limit: what has to go is gone before the next file is begun. A file
//! that an earlier run left is read through before its first use. Any fault is a miss, and the file goes.
//! What it calls `blocking` waits for the disk: call it on a blocking thread.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{io, thread};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::SharedObject;
use crate::cache::SMALL;
use crate::cache::block_file::{self, FileSpan};
use crate::cache::folder::Folder;
use crate::cache::index::{Confirmed, Entry, Index, Room};
use crate::cache::purge::IsMeant;
use crate::cache::settings::Settings;
use crate::cache::version::{BlockId, ObjectId, Version, VersionId};
use crate::files::{Files, Span};

/// That a version still is the object's is written to its file so often, at most.
const CONFIRM_AGAIN_SECONDS: u64 = 60;
/// How often room that others make is waited for, a millisecond each time.
const WAITS: usize = 100;

pub struct Disk {
    settings: Settings,
    folder: Folder,
    pub files: Arc<Files>,
    index: Mutex<Index>,
    next_file: AtomicU64,
    scanned: AtomicBool,
    scan_ended: Notify,
    /// It is said once that the disk is full, and again when it has not been for a while.
    full: AtomicBool,
}

impl Disk {
    pub fn new(settings: &Settings) -> Self {
        Disk {
            folder: Folder::new(settings.dir.clone()),
            files: Arc::new(Files::new(&settings.files)),
            index: Mutex::new(Index::new(settings.disk_bytes)),
            next_file: AtomicU64::new(1),
            scanned: AtomicBool::new(settings.disk_bytes == 0),
            scan_ended: Notify::new(),
            full: AtomicBool::new(false),
            settings: settings.clone(),
        }
    }

    pub fn is_off(&self) -> bool {
        self.settings.disk_bytes == 0
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn used(&self) -> u64 {
        self.lock().used()
    }

    // The start

    pub fn is_scanned(&self) -> bool {
        self.scanned.load(Ordering::Acquire)
    }

    /// Until what an earlier run left is known; `patience` at most.
    pub async fn scanned(&self, patience: Duration) {
        let ended = self.scan_ended.notified();
        if !self.is_scanned() {
            let _ = tokio::time::timeout(patience, ended).await;
        }
    }

    /// Blocking: what an earlier run left is found.
    pub fn scan(&self) {
        let mut found = Vec::new();
        let result = self.folder.scan(&mut |id, len, seconds| {
            found.push((id, len, seconds));
            if found.len() >= 1024 {
                self.take_in(&mut found);
            }
        });
        self.take_in(&mut found);
        if let Err(e) = result {
            tracing::warn!(error = %e, dir = %self.settings.dir.display(), "the folder of the cache can't be read");
        }
        let surplus = self.lock().surplus();
        self.delete(&surplus);
        self.note_use();
        self.scanned.store(true, Ordering::Release);
        self.scan_ended.notify_waiters();
    }

    fn take_in(&self, found: &mut Vec<(BlockId, u64, u64)>) {
        let mut index = self.lock();
        for (id, len, seconds) in found.drain(..) {
            index.found(id, self.next_file.fetch_add(1, Ordering::Relaxed), len);
            if seconds > index.confirmed(id.object).map_or(0, |c| c.seconds) {
                index.confirm(id.object, Confirmed { version: id.version, seconds });
            }
        }
    }

    // Reading

    /// A block that is proven and too large for memory. It counts as read.
    pub fn span(&self, version: &Version, number: u32) -> Option<Span> {
        let id = version.block(number);
        let entry = self.lock().read(&id)?;
        let place = entry.place.filter(|p| p.len > SMALL)?;
        let start = u64::from(place.start);
        Some(Span { id: entry.file, path: self.folder.path(&id), file_len: entry.file_len, range: start..start + place.len })
    }

    /// Whether `span` would find it.
    pub fn has_span(&self, version: &Version, number: u32) -> bool {
        self.lock().get(&version.block(number)).and_then(|e| e.place).is_some_and(|p| p.len > SMALL)
    }

    pub fn has(&self, version: &Version, number: u32) -> bool {
        self.lock().get(&version.block(number)).is_some()
    }

    /// Whether there is any block of the object, or it is not known yet what there is.
    pub fn may_keep(&self, object: ObjectId) -> bool {
        !self.is_off() && (!self.is_scanned() || self.lock().has_any(object))
    }

    /// Blocking: proves a block that an earlier run left. Ok(None): it is there, and too large for memory. Err: it is not there.
    pub fn prove(&self, version: &Version, number: u32, small: u64) -> io::Result<Option<Bytes>> {
        let id = version.block(number);
        let Some(entry) = self.lock().read(&id) else { return Err(io::ErrorKind::NotFound.into()) };
        match block_file::prove(&self.folder.path(&id), version, number, small) {
            Ok((place, bytes)) => {
                self.lock().prove(&id, entry.file, place);
                Ok(bytes)
            }
            Err(e) => {
                if e.kind() != io::ErrorKind::NotFound {
                    self.settings.metrics.cache_faults.inc();
                    tracing::warn!(error = %e, "a block of the cache is of no use and will be fetched anew");
                }
                self.remove(&id);
                Err(e)
            }
        }
    }

    /// Blocking: what was known of the object that the blocks of `bucket` and `key` are of, and when it was last so.
    pub fn remembered(&self, bucket: &BucketName, key: &ObjectKey) -> Option<(SharedObject, SystemTime)> {
        let object = ObjectId::of(bucket, key);
        let (confirmed, blocks) = {
            let index = self.lock();
            (index.confirmed(object)?, index.blocks_of(object))
        };
        let (id, _) = blocks.iter().find(|(id, _)| id.version == confirmed.version)?;
        match block_file::told(&self.folder.path(id)) {
            Ok((b, k, Some(info))) if b == *bucket && k == *key => {
                Some((Arc::new(info), UNIX_EPOCH + Duration::from_secs(confirmed.seconds)))
            }
            Ok(_) => None,
            Err(_) => {
                self.remove(id);
                None
            }
        }
    }

    // Writing

    /// Blocking: keeps a block, whose version is `current` as far as is known. Err: it could not be kept.
    pub fn keep(&self, version: &Version, number: u32, chunks: &[Bytes], current: bool) -> io::Result<()> {
        if self.is_off() || !self.is_scanned() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let prelude = block_file::prelude(version, number, chunks)?;
        let len: usize = chunks.iter().map(Bytes::len).sum();
        let file_len = (prelude.len() + len) as u64;
        self.take_room(file_len)?;
        let (id, file) = (version.block(number), self.next_file.fetch_add(1, Ordering::Relaxed));
        let made = self.folder.begin(file, file_len, self.settings.reserve_bytes).and_then(|(mut to, path)| {
            let written = block_file::write(&mut to, &prelude, chunks).and_then(|()| self.folder.name(&path, &id));
            written.inspect_err(|_| self.folder.discard(&path))
        });
        match made {
            Ok(_) => {
                let place = FileSpan { start: prelude.len() as u32, len: len as u64 };
                let mut index = self.lock();
                let replaced = index.put(id, file, file_len, Some(place));
                if current && index.confirmed(id.object).is_none_or(|c| c.version != id.version) {
                    index.confirm(id.object, Confirmed { version: id.version, seconds: now_seconds() });
                }
                drop(index);
                replaced.into_iter().for_each(|before| self.files.forget(before.file));
                if !current {
                    self.folder.set_confirmed(&id, 0);
                }
                self.full.store(false, Ordering::Relaxed);
                self.note_use();
                Ok(())
            }
            Err(e) => {
                self.lock().give_back(file_len);
                if !self.full.swap(true, Ordering::Relaxed) {
                    tracing::warn!(error = %e, dir = %self.settings.dir.display(), "blocks can't be kept on disk for now");
                }
                Err(e)
            }
        }
    }

    fn take_room(&self, file_len: u64) -> io::Result<()> {
        for _ in 0..WAITS {
            let room = self.lock().take_room(file_len);
            match room {
                Room::Taken => return Ok(()),
                Room::After(victims) => {
                    self.settings.metrics.cache_evictions.inc_by(victims.len() as u64);
                    self.delete(&victims);
                }
                Room::Later => thread::sleep(Duration::from_millis(1)),
                Room::None => break,
            }
        }
        Err(io::ErrorKind::QuotaExceeded.into())
    }

    /// From now on it is not found. Its file is to be deleted.
    pub fn take_out(&self, id: &BlockId) -> Option<Entry> {
        self.lock().remove(id)
    }

    /// Blocking.
    pub fn remove(&self, id: &BlockId) {
        if let Some(entry) = self.take_out(id) {
            self.delete(&[(*id, entry)]);
        }
    }

    /// Blocking: files that are not in the index any more.
    pub fn delete(&self, victims: &[(BlockId, Entry)]) {
        for (id, entry) in victims {
            self.folder.remove(id);
            self.files.forget(entry.file);
        }
        self.lock().gone(victims);
        self.note_use();
    }

    // Which version

    /// The object is this version as of now. Does not wait: what has to be written is left to a blocking thread.
    pub fn confirm(self: &Arc<Self>, version: &Version) {
        let confirmed = Confirmed { version: version.id(), seconds: now_seconds() };
        let mut index = self.lock();
        let before = index.confirmed(version.object());
        let known = before.is_some_and(|b| b.version == confirmed.version && b.seconds + CONFIRM_AGAIN_SECONDS > confirmed.seconds);
        if known {
            return;
        }
        index.confirm(version.object(), confirmed);
        drop(index);
        let (disk, object, kept) = (self.clone(), version.object(), version.id());
        tokio::task::spawn_blocking(move || {
            let blocks = disk.lock().blocks_of(object);
            if let Some((id, _)) = blocks.iter().find(|(id, _)| id.version == kept) {
                disk.folder.set_confirmed(id, confirmed.seconds);
            }
            blocks.iter().filter(|(id, _)| id.version != kept).for_each(|(id, _)| disk.folder.set_confirmed(id, 0));
        });
    }

    /// The object was changed, or nobody knows: from now on no version of it is remembered. True: there is something to be
    /// written, see `write_outdated`.
    pub fn outdate(&self, object: ObjectId) -> bool {
        self.lock().outdate(object).is_some() || !self.is_scanned()
    }

    /// Blocking: as `outdate`, so that a restart knows it too.
    pub fn write_outdated(&self, object: ObjectId) {
        self.wait_for_scan();
        self.outdate(object);
        let blocks = self.lock().blocks_of(object);
        blocks.iter().for_each(|(id, _)| self.folder.set_confirmed(id, 0));
    }

    /// Blocking.
    pub fn blocks_of(&self, object: ObjectId) -> Vec<BlockId> {
        self.wait_for_scan();
        self.lock().blocks_of(object).into_iter().map(|(id, _)| id).collect()
    }

    /// Blocking: every version is looked at. Blocks of those that are meant.
    pub fn visit(&self, meant: &IsMeant<'_>) -> Vec<BlockId> {
        self.wait_for_scan();
        let all = self.lock().all();
        let mut found = Vec::new();
        let mut last: Option<(ObjectId, VersionId, bool)> = None;
        for (id, _) in all {
            let is_meant = match last {
                Some((object, version, is_meant)) if (object, version) == (id.object, id.version) => is_meant,
                _ => match block_file::told(&self.folder.path(&id)) {
                    Ok((bucket, key, info)) => meant(&bucket, &key, info.as_ref()),
                    // What can't be read may be meant.
                    Err(_) => {
                        self.remove(&id);
                        continue;
                    }
                },
            };
            last = Some((id.object, id.version, is_meant));
            if is_meant {
                found.push(id);
            }
        }
        found
    }

    /// It lasts seconds, and what it would find later was meant too.
    fn wait_for_scan(&self) {
        while !self.is_scanned() {
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn note_use(&self) {
        self.settings.metrics.cache_bytes.set(i64::try_from(self.used()).unwrap_or(i64::MAX));
    }
}

fn now_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}
