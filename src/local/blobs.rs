//! Bringing a staged file to its final place, durably. Blocks; called on blocking threads.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

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

/// Folders known to be durable, so that they are made and synced in their parent once. Forgotten when there are this many.
const KNOWN_FOLDERS: usize = 10_000;
/// Names tried for one file before the client is told.
const TRIES: usize = 3;

#[derive(Default)]
pub struct Folders(Mutex<HashMap<PathBuf, Arc<Folder>>>);

/// A folder that new files are moved into. Writers come at the same time: one sync does for all who wait.
#[derive(Default)]
struct Folder {
    /// The sync that begins next.
    next: Mutex<Arc<Round>>,
    turn: Mutex<()>,
}

/// How one sync went. Err: the system's error number.
type Round = OnceLock<Result<(), Option<i32>>>;

impl Folders {
    /// The folder, made and durable, as are those above it up to `root`.
    fn open(&self, root: &Path, dir: &Path) -> io::Result<Arc<Folder>> {
        if let Some(known) = lock(&self.0).get(dir) {
            return Ok(known.clone());
        }
        let Some(parent) = dir.parent() else { return Err(io::Error::other("a folder outside of the store")) };
        if parent != root {
            self.open(root, parent)?;
        }
        make_dir(dir)?;
        sync_dir(parent)?;
        let mut known = lock(&self.0);
        if known.len() >= KNOWN_FOLDERS {
            known.clear();
        }
        Ok(known.entry(dir.to_path_buf()).or_default().clone())
    }

    /// It may be gone: it is looked at again.
    fn forget(&self, dir: &Path) {
        lock(&self.0).remove(dir);
    }
}

impl Folder {
    /// What was moved into the folder before is durable.
    fn sync(&self, dir: &Path) -> io::Result<()> {
        let round = lock(&self.next).clone();
        let _turn = lock(&self.turn);
        // Set: whoever had the turn before began after us, and did it for us too.
        let done = *round.get_or_init(|| {
            *lock(&self.next) = Arc::default();
            sync_dir(dir).map_err(|e| e.raw_os_error())
        });
        done.map_err(|code| code.map_or_else(|| io::Error::other("the folder could not be synced"), io::Error::from_raw_os_error))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is one assignment or one call on the map: a panic leaves it whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
        let folder = self.folders.open(&self.layout.blobs(), &dir)?;
        file.rename_to(placed.path()).inspect_err(|_| self.folders.forget(&dir))?;
        if let Err(e) = folder.sync(&dir) {
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

impl Shared {
    /// Afterwards the folder of that file may be empty, and nothing new comes into it where numbers have gone on.
    pub fn remove_folder_if_empty(&self, scope: &TenantId, id: Id) {
        if self.layout.folder(scope, id) != self.layout.folder(scope, self.ids.peek()) {
            // As a rule it is not empty. A late writer finds it gone and takes a new number.
            let _ = std::fs::remove_dir(self.layout.folder(scope, id));
        }
    }
}

/// For fsck: what a file's name says it is. None: not one of ours.
pub fn parse_path(layout: &Layout, path: &Path) -> Option<(TenantId, Option<crate::base::digest::Sha256>, Id)> {
    let relative = path.strip_prefix(layout.blobs()).ok()?;
    let mut parts = relative.components().map(|c| c.as_os_str().to_str());
    let scope = TenantId::parse(parts.next()??).ok()?;
    let name = relative.file_name()?.to_str()?;
    if relative.components().count() != 3 {
        return None;
    }
    let id = |hex: &str| if hex.len() == 16 { u64::from_str_radix(hex, 16).ok() } else { None };
    match name.split_once('.') {
        Some((sha, hex)) => Some((scope, Some(crate::base::digest::Sha256::from_hex(sha)?), id(hex)?)),
        None => Some((scope, None, id(name)?)),
    }
}
