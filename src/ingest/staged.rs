//! Staged files: where a body lies between its first byte and the record that makes it visible.
//!
//! A staged file has a name that nobody else has, in a directory that is emptied at start. Its guard deletes it, wherever it
//! was moved to, unless `keep` took it away: an upload that fails, is refused or is left by its client leaves nothing. Where
//! the disk refuses even that, the file is tried again by `remove_left`.

use std::any::Any;
use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::base::crypt::DataKey;
use crate::base::crypt::chunks::{CHUNK, opened_len, sealed_range};
use crate::base::error::{Error, Result};
use crate::private;

/// Where bodies are staged, and how large one may be to stay in memory instead.
#[derive(Debug, Clone)]
pub struct Staging {
    dir: Arc<PathBuf>,
    pub memory_limit: usize,
    /// Files are synced before their body counts as received.
    pub synced: bool,
    /// The MD5 of each body is computed, whether its client sent one or not: what keeps it names it by that.
    pub with_md5: bool,
    left: Arc<Left>,
    room: Option<Room>,
    watcher: Option<Arc<dyn BodyWatcher>>,
    sealed: Option<Arc<DataKey>>,
}

/// Sees a body while it is staged. Dropped when nobody has the body any more.
pub trait BodyWatcher: Any + Debug + Send + Sync {
    /// Called for each stretch of bytes once, in order: it was appended, and the file at `path` has it and all before it. After a
    /// fault of the disk that is another file than before. Must not wait.
    fn appended(&self, path: &Path, bytes: &[u8]);
}

/// Asked before each piece of a body: an error refuses the rest of it.
#[derive(Clone)]
pub struct Room(pub Arc<dyn Fn() -> Result<()> + Send + Sync>);

impl std::fmt::Debug for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Room")
    }
}

/// Files that could not be removed.
#[derive(Debug, Default)]
struct Left(Mutex<Vec<PathBuf>>);

/// More than this many go at the next start.
const MAX_LEFT: usize = 10_000;

impl Left {
    fn remove(&self, path: PathBuf) {
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(error = %e, "a staged file could not be removed; it is tried again");
                let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                if left.len() < MAX_LEFT {
                    left.push(path);
                }
            }
            _ => {}
        }
    }
}

/// Distinguishes the files of this process; files of an earlier one are gone by then.
static NEXT: AtomicU64 = AtomicU64::new(0);

impl Staging {
    pub fn new(dir: PathBuf, memory_limit: usize) -> Self {
        Staging {
            dir: Arc::new(dir),
            memory_limit,
            synced: true,
            with_md5: true,
            left: Arc::default(),
            room: None,
            watcher: None,
            sealed: None,
        }
    }

    /// For bodies of which nothing is acknowledged before somebody else has them.
    pub fn not_synced(self) -> Self {
        Staging { synced: false, ..self }
    }

    /// For bodies that are named otherwise.
    pub fn without_md5(self) -> Self {
        Staging { with_md5: false, ..self }
    }

    /// For one body.
    pub fn watched_by(self, watcher: Arc<dyn BodyWatcher>) -> Self {
        Staging { watcher: Some(watcher), ..self }
    }

    pub fn watcher(&self) -> Option<&Arc<dyn BodyWatcher>> {
        self.watcher.as_ref()
    }

    /// For one body: its file is sealed under this key as it is written. What stays in memory is not.
    pub fn sealed_by(self, key: Arc<DataKey>) -> Self {
        Staging { sealed: Some(key), ..self }
    }

    pub fn sealed(&self) -> Option<&Arc<DataKey>> {
        self.sealed.as_ref()
    }

    /// Takes no file.
    pub fn refusing(self) -> Self {
        self.guarded_by(Room(Arc::new(|| Err(Error::internal("nothing can be staged")))))
    }

    pub fn guarded_by(self, room: Room) -> Self {
        Staging { room: Some(room), ..self }
    }

    pub fn require_room(&self) -> Result<()> {
        self.room.as_ref().map_or(Ok(()), |room| (room.0)())
    }

    /// A new empty file with a name of its own.
    pub fn create(&self) -> io::Result<StagedFile> {
        let path = self.dir.join(Self::next_name());
        let file = private::options().read(true).create_new(true).open(&path)?;
        Ok(StagedFile {
            path: Some(path),
            file,
            len: 0,
            left: self.left.clone(),
            watcher: self.watcher.clone(),
            sealed: self.sealed.clone(),
        })
    }

    fn next_name() -> String {
        format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// A second name for a finished file on the same file system, under the same guard. No byte is copied.
    pub fn link(&self, existing: &Path) -> io::Result<StagedFile> {
        let path = self.dir.join(Self::next_name());
        std::fs::hard_link(existing, &path)?;
        let mut staged =
            StagedFile { file: File::open(&path)?, path: Some(path), len: 0, left: self.left.clone(), watcher: None, sealed: None };
        staged.len = staged.file.metadata()?.len();
        Ok(staged)
    }

    /// Tries again to remove what could not be removed before. Called now and then.
    pub fn remove_left(&self) {
        let left = std::mem::take(&mut *self.left.0.lock().unwrap_or_else(PoisonError::into_inner));
        left.into_iter().for_each(|path| self.left.remove(path));
    }
}

#[derive(Debug)]
pub struct StagedFile {
    /// None once somebody else owns the file.
    path: Option<PathBuf>,
    file: File,
    len: u64,
    left: Arc<Left>,
    watcher: Option<Arc<dyn BodyWatcher>>,
    /// What the bytes in the file are sealed under.
    sealed: Option<Arc<DataKey>>,
}

/// The body of a staged file as it came, sealed or not.
pub struct StagedBody {
    file: File,
    len: u64,
    sealed: Option<Arc<DataKey>>,
}

impl StagedBody {
    pub fn len(&self) -> u64 {
        if self.sealed.is_some() { opened_len(self.len) } else { self.len }
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// At most `len` bytes from `at` on: fewer at the end. Blocks.
    pub fn read(&self, at: u64, len: usize) -> io::Result<Vec<u8>> {
        use std::os::unix::fs::FileExt;
        let range = at..self.len().min(at.saturating_add(len as u64));
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let Some(key) = &self.sealed else {
            let mut bytes = vec![0; (range.end - at) as usize];
            self.file.read_exact_at(&mut bytes, at)?;
            return Ok(bytes);
        };
        let lies = sealed_range(self.len(), &range);
        let mut sealed = vec![0; (lies.end - lies.start) as usize];
        self.file.read_exact_at(&mut sealed, lies.start)?;
        let (first, mut bytes) = (at / CHUNK as u64, Vec::new());
        key.open(self.len(), first, &sealed, &mut bytes).ok_or_else(|| io::Error::other("a staged file is not what was written"))?;
        bytes.drain(..(at - first * CHUNK as u64) as usize);
        bytes.truncate((range.end - at) as usize);
        Ok(bytes)
    }
}

impl StagedFile {
    /// Who saw the body arrive, to go on with it.
    pub fn watcher(&self) -> Option<&Arc<dyn BodyWatcher>> {
        self.watcher.as_ref()
    }

    /// Of the file: a sealed body is shorter.
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn file(&self) -> &File {
        &self.file
    }

    pub fn sealed(&self) -> Option<&Arc<DataKey>> {
        self.sealed.as_ref()
    }

    pub fn body(&self) -> io::Result<StagedBody> {
        Ok(StagedBody { file: self.file.try_clone()?, len: self.len, sealed: self.sealed.clone() })
    }

    pub fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new(""))
    }

    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        use std::os::unix::fs::FileExt;
        self.file.write_all_at(bytes, self.len)?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Moves the file, and stays its guard. The data must be synced already, and the caller syncs the directory.
    pub fn rename_to(&mut self, place: &Path) -> io::Result<()> {
        let Some(path) = &mut self.path else { return Err(io::Error::other("the staged file is somebody else's already")) };
        std::fs::rename(&*path, place)?;
        *path = place.to_path_buf();
        Ok(())
    }

    /// From here on the caller is responsible for the file.
    pub fn keep(mut self) {
        self.path = None;
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            self.left.remove(path);
        }
    }
}

/// The bytes of a received body.
#[derive(Debug)]
pub enum Content {
    /// At most `Staging::memory_limit` bytes; not yet on disk.
    Memory(Bytes),
    /// Written in the staging directory; synced (`fdatasync`) if its `Staging` says so.
    File(StagedFile),
}
