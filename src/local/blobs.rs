//! Bringing a staged file to its final place, durably. Blocks; called on blocking threads.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use crate::base::digest::VerifiedSha256;
use crate::base::error::Result;
use crate::base::names::TenantId;
use crate::ingest::{Content, StagedFile, Staging};
use crate::journal::log::{disk_error, sync_dir};
use crate::local::layout::{Layout, make_dir};
use crate::local::rows::Id;
use crate::local::shared::Shared;

/// Folders known to be durable, so that they are synced once. Forgotten when there are this many: 20 MB of names.
const KNOWN_DIRS: usize = 100_000;

/// A file at its final place that no record speaks of yet. Removed unless it is kept.
#[derive(Debug)]
pub struct Placed {
    pub id: Id,
    path: PathBuf,
    kept: bool,
}

impl Placed {
    /// A record is about to refer to it: from here on only the journal decides about the file.
    pub fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        if !self.kept
            && let Err(e) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(error = %e, "a file that was not needed could not be removed; fsck will");
        }
    }
}

#[derive(Default)]
pub struct KnownDirs(Mutex<HashSet<PathBuf>>);

impl KnownDirs {
    /// Makes the folder and those above it, up to `root`, each durable in its parent.
    fn ensure(&self, root: &Path, dir: &Path) -> io::Result<()> {
        if dir == root || self.lock().contains(dir) {
            return Ok(());
        }
        let Some(parent) = dir.parent() else { return Err(io::Error::other("a folder outside of the store")) };
        self.ensure(root, parent)?;
        make_dir(dir)?;
        sync_dir(parent)?;
        let mut known = self.lock();
        if known.len() >= KNOWN_DIRS {
            known.clear();
        }
        known.insert(dir.to_path_buf());
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<PathBuf>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    pub fn place_blob(&self, scope: &TenantId, sha256: &VerifiedSha256, file: &mut StagedFile) -> Result<Placed> {
        let id = self.ids.next();
        self.place(id, self.layout.blob(scope, sha256, id), file)
    }

    pub fn place_part(&self, scope: &TenantId, content: Content) -> Result<Placed> {
        let mut file = self.as_file(content)?;
        let id = self.ids.next();
        self.place(id, self.layout.part(scope, id), &mut file)
    }

    fn place(&self, id: Id, path: PathBuf, file: &mut StagedFile) -> Result<Placed> {
        let dir = path.parent().map(Path::to_path_buf).unwrap_or_default();
        let root = self.layout.blobs();
        let moved = self.known_dirs.ensure(&root, &dir).and_then(|()| file.rename_to(&path));
        moved.map_err(disk_error)?;
        let placed = Placed { id, path, kept: false };
        sync_dir(&dir).map_err(disk_error)?;
        Ok(placed)
    }

    /// A body that came in memory but must be a file.
    pub fn as_file(&self, content: Content) -> Result<StagedFile> {
        match content {
            Content::File(file) => Ok(file),
            Content::Memory(bytes) => self.stage(&bytes).map_err(disk_error),
        }
    }

    fn stage(&self, bytes: &Bytes) -> io::Result<StagedFile> {
        let mut file = self.staging().create()?;
        file.append(bytes)?;
        file.file().sync_data()?;
        Ok(file)
    }

    pub fn staging(&self) -> Staging {
        Staging::new(self.layout.staging(), self.settings.inline_limit)
    }
}

/// For fsck: what a file's name says it is. None: not one of ours.
pub fn parse_path(layout: &Layout, path: &Path) -> Option<(TenantId, Option<crate::base::digest::Sha256>, Id)> {
    let relative = path.strip_prefix(layout.blobs()).ok()?;
    let mut parts = relative.components().map(|c| c.as_os_str().to_str());
    let scope = TenantId::parse(parts.next()??).ok()?;
    let name = relative.file_name()?.to_str()?;
    if relative.components().count() != 4 {
        return None;
    }
    let id = |hex: &str| if hex.len() == 16 { u64::from_str_radix(hex, 16).ok() } else { None };
    match name.split_once('.') {
        Some((sha, hex)) => Some((scope, Some(crate::base::digest::Sha256::from_hex(sha)?), id(hex)?)),
        None => Some((scope, None, id(name)?)),
    }
}
