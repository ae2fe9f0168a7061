//! Bringing a staged file to its final place, durably. Blocks; called on blocking threads.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::base::digest::VerifiedSha256;
use crate::base::error::Result;
use crate::base::names::TenantId;
use crate::ingest::writer::Writer;
use crate::ingest::{Content, StagedFile};
use crate::journal::log::{disk_error, sync_dir};
use crate::local::layout::{Layout, make_dir};
use crate::local::placing::{Name, Placed};
use crate::local::rows::{DropKind, Id};
use crate::local::shared::Shared;

/// Folders known to be durable, so that they are synced once. Forgotten when there are this many: 20 MB of names.
const KNOWN_DIRS: usize = 100_000;
/// Names tried for one file before the client is told.
const TRIES: usize = 3;

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

    /// It may be gone: it is looked at again.
    fn forget(&self, dir: &Path) {
        self.lock().remove(dir);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<PathBuf>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    pub fn place_blob(&self, scope: &TenantId, sha256: &VerifiedSha256, file: StagedFile) -> Result<Placed> {
        self.place(scope, DropKind::Blob(*sha256), file)
    }

    pub fn place_part(&self, scope: &TenantId, content: Content) -> Result<Placed> {
        let file = self.as_file(content)?;
        self.place(scope, DropKind::Part, file)
    }

    /// The file is synced already, so that a fault here costs no more than another name.
    fn place(&self, scope: &TenantId, kind: DropKind, mut file: StagedFile) -> Result<Placed> {
        let mut failures = 0;
        loop {
            let name = Name { scope: scope.clone(), kind, id: self.ids.next() };
            match self.try_place(name, &mut file) {
                Ok(placed) => {
                    file.keep();
                    return Ok(placed);
                }
                Err(e) => {
                    failures += 1;
                    tracing::warn!(error = %e, failures, "bringing a file in place failed");
                    if failures >= TRIES {
                        return Err(disk_error(e));
                    }
                }
            }
        }
    }

    fn try_place(&self, name: Name, file: &mut StagedFile) -> io::Result<Placed> {
        let placed = Placed::begin(&self.layout, &self.limbo, name)?;
        let dir = placed.path().parent().map(Path::to_path_buf).unwrap_or_default();
        let staged = file.path().to_path_buf();
        let moved = self.known_dirs.ensure(&self.layout.blobs(), &dir).and_then(|()| file.rename_to(placed.path()));
        moved.inspect_err(|_| self.known_dirs.forget(&dir))?;
        if let Err(e) = sync_dir(&dir) {
            // A name whose folder could not be synced is never trusted, whatever the next sync says.
            file.rename_to(&staged)?;
            return Err(e);
        }
        Ok(placed)
    }

    /// A body that came in memory but must be a file.
    pub fn as_file(&self, content: Content) -> Result<StagedFile> {
        match content {
            Content::File(file) => Ok(file),
            Content::Memory(bytes) => {
                let mut writer = Writer::begin(self.staging.clone(), None)?;
                writer.write(&bytes)?;
                Ok(writer.finish()?.2)
            }
        }
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
