//! Staged files: where a body lies between its first byte and the record that makes it visible.
//!
//! A staged file has a name that nobody else has, in a directory that is emptied at start. Its guard deletes it
//! unless `keep` took it away, so an upload that fails, is refused or is left by its client leaves nothing.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

/// Where bodies are staged, and how large one may be to stay in memory instead.
#[derive(Debug, Clone)]
pub struct Staging {
    dir: Arc<PathBuf>,
    pub memory_limit: usize,
}

/// Distinguishes the files of this process; files of an earlier one are gone by then.
static NEXT: AtomicU64 = AtomicU64::new(0);

impl Staging {
    pub fn new(dir: PathBuf, memory_limit: usize) -> Self {
        Staging { dir: Arc::new(dir), memory_limit }
    }

    /// A new empty file with a name of its own.
    pub fn create(&self) -> io::Result<StagedFile> {
        let name = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = self.dir.join(name);
        let file = OpenOptions::new().write(true).read(true).create_new(true).open(&path)?;
        Ok(StagedFile { path: Some(path), file, len: 0 })
    }
}

#[derive(Debug)]
pub struct StagedFile {
    /// None once somebody else owns the file.
    path: Option<PathBuf>,
    file: File,
    len: u64,
}

impl StagedFile {
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn file(&self) -> &File {
        &self.file
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

    /// Moves the file to its place; from then on the caller is responsible for it. The data must be synced
    /// already, and the caller syncs the directory.
    pub fn rename_to(&mut self, place: &Path) -> io::Result<()> {
        let Some(path) = &self.path else { return Err(io::Error::other("the staged file was moved already")) };
        std::fs::rename(path, place)?;
        self.path = None;
        Ok(())
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if let Some(path) = &self.path
            && let Err(e) = std::fs::remove_file(path)
        {
            tracing::warn!(error = %e, "a staged file could not be removed; it goes at the next start");
        }
    }
}

/// The bytes of a received body.
#[derive(Debug)]
pub enum Content {
    /// At most `Staging::memory_limit` bytes; not yet on disk.
    Memory(Bytes),
    /// Written and synced (`fdatasync`) in the staging directory.
    File(StagedFile),
}
