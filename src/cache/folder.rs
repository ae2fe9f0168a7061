//! The folder of blocks: `cache/ab/<object>-<version>-<number>`, and what is being written in `cache/.making/`.
//!
//! All of it is derived and may be deleted at any time. A file's time of change is when its version was last confirmed to be the
//! object's; 0: it was replaced. Only names and times here: what is in a file says `block_file`. All of it blocks.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::cache::version::{BlockId, ObjectId, VersionId};
use crate::files::sys;
use crate::private::{self, make_dir};

const MAKING: &str = ".making";

pub struct Folder {
    root: PathBuf,
}

impl Folder {
    pub fn new(root: PathBuf) -> Self {
        Folder { root }
    }

    pub fn path(&self, id: &BlockId) -> PathBuf {
        let object = hex::encode(id.object.0);
        let mut path = self.root.join(object.get(..2).unwrap_or_default());
        path.push(format!("{object}-{}-{:x}", hex::encode(id.version.0), id.number));
        path
    }

    /// A file without a name of its own yet. Fails where the disk would have less than `reserve` left.
    pub fn begin(&self, number: u64, expected: u64, reserve: u64) -> io::Result<(File, PathBuf)> {
        let making = self.root.join(MAKING);
        make_dir(&making)?;
        let path = making.join(number.to_string());
        let file = private::create(&path)?;
        if sys::free_bytes(file.as_raw_fd())? < reserve.saturating_add(expected) {
            let _ = fs::remove_file(&path);
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok((file, path))
    }

    /// It is complete.
    pub fn name(&self, made: &Path, id: &BlockId) -> io::Result<PathBuf> {
        let path = self.path(id);
        if let Some(parent) = path.parent() {
            make_dir(parent)?;
        }
        fs::rename(made, &path)?;
        Ok(path)
    }

    pub fn discard(&self, made: &Path) {
        let _ = fs::remove_file(made);
    }

    pub fn remove(&self, id: &BlockId) {
        match fs::remove_file(self.path(id)) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => tracing::warn!(error = %e, "a block of the cache can't be deleted"),
        }
    }

    /// When the block's version was last known to be its object's. A block that is gone is none.
    pub fn set_confirmed(&self, id: &BlockId, seconds: u64) {
        let time = UNIX_EPOCH + Duration::from_secs(seconds);
        let _ = File::options().write(true).open(self.path(id)).and_then(|f| f.set_modified(time));
    }

    /// What an earlier run left: each block with its length and when it was confirmed. What is of no use goes.
    pub fn scan(&self, see: &mut dyn FnMut(BlockId, u64, u64)) -> io::Result<()> {
        make_dir(&self.root)?;
        let _ = fs::remove_dir_all(self.root.join(MAKING));
        for dir in fs::read_dir(&self.root)?.flatten() {
            for file in fs::read_dir(dir.path()).into_iter().flatten().flatten() {
                let Ok(metadata) = file.metadata() else { continue };
                let id = file.file_name().to_str().and_then(parse);
                match id.filter(|id| self.path(id) == file.path()) {
                    Some(id) => see(id, metadata.len(), metadata.modified().map_or(0, seconds)),
                    None => drop(fs::remove_file(file.path())),
                }
            }
        }
        Ok(())
    }
}

/// Since the epoch, and not after now: a clock may have been set back.
fn seconds(time: SystemTime) -> u64 {
    let seconds = |t: SystemTime| t.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    seconds(time).min(seconds(SystemTime::now()))
}

fn parse(name: &str) -> Option<BlockId> {
    let mut parts = name.split('-');
    let (object, version, number) = (parts.next()?, parts.next()?, parts.next()?);
    let mut id = BlockId { object: ObjectId([0; 8]), version: VersionId([0; 16]), number: u32::from_str_radix(number, 16).ok()? };
    hex::decode_to_slice(object, &mut id.object.0).ok()?;
    hex::decode_to_slice(version, &mut id.version.0).ok()?;
    parts.next().is_none().then_some(id)
}
