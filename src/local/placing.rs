//! Files that are at their final place before a record speaks of them, so that none of them stays for good without one.
//!
//! `Placed` is the guard of such a file. One that nobody wants any more goes at once. Where it is not known whether a record
//! speaks of it (the disk failed, or whoever waited is gone), the pass is asked, which reads the journal for it. After a crash
//! that is so for every file of the folders that were written to (`folders`).
//!
//! Called by `blobs` (makes them), by writes (say what became of them), by the pass and at start (`Orphans`).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::digest::VerifiedSha256;
use crate::base::error::{Error, Result};
use crate::local::blobs::parse_path;
use crate::local::folders::{Folder, remove_note};
use crate::local::layout::Layout;
use crate::local::rows::{DropKind, Id};
use crate::local::scope::Scope;

/// Which file it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    pub scope: Scope,
    pub kind: DropKind,
    pub id: Id,
}

impl Name {
    /// None: none of ours.
    fn of_file(layout: &Layout, path: &Path) -> Option<Name> {
        let (scope, sha256, id) = parse_path(layout, path)?;
        // Proven when the file was placed; here it only finds the file again.
        let kind = sha256.map_or(DropKind::Part, |sha256| DropKind::Blob(VerifiedSha256::proven(sha256)));
        Some(Name { scope, kind, id })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// No record speaks of the file, and none will.
    Unrecorded,
    /// A record was about to: only the journal can tell.
    Unknown,
    Recorded,
}

/// The guard of a file at its final place.
#[derive(Debug)]
pub struct Placed {
    name: Name,
    path: PathBuf,
    fate: Fate,
    orphans: Arc<Orphans>,
    /// Let go of last: see `Folders::close`.
    _folder: Arc<Folder>,
}

impl Placed {
    /// The file may be moved to `path` from here on.
    pub fn begin(layout: &Layout, orphans: &Arc<Orphans>, folder: &Arc<Folder>, name: Name) -> io::Result<Placed> {
        let Some(path) = layout.dropped(&name.scope, name.kind, name.id) else { return Err(io::Error::other("a manifest is no file")) };
        Ok(Placed { name, path, fate: Fate::Unrecorded, orphans: orphans.clone(), _folder: folder.clone() })
    }

    pub fn id(&self) -> Id {
        self.name.id
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A record is about to refer to the file.
    pub fn handed_over(&mut self) {
        self.fate = Fate::Unknown;
    }

    /// What was decided about the file is durable. Some: nobody wants it; to be dropped where the disk may be waited for.
    pub fn settled(mut self) -> Option<Placed> {
        if self.fate == Fate::Unrecorded {
            return Some(self);
        }
        self.fate = Fate::Recorded;
        None
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        match self.fate {
            Fate::Unknown => self.orphans.add(self.name.clone()),
            Fate::Recorded => {}
            Fate::Unrecorded => match std::fs::remove_file(&self.path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(error = %e, "a file that was not needed could not be removed; it is tried again");
                    self.orphans.add(self.name.clone());
                }
                _ => {}
            },
        }
    }
}

/// Files whose fate only the journal can tell. The next pass asks it.
#[derive(Debug)]
pub struct Orphans {
    names: Mutex<Vec<Name>>,
    /// Notes of an earlier process.
    old_notes: Mutex<Vec<PathBuf>>,
    /// There were more names than fit: no note goes before the next start.
    full: AtomicBool,
}

/// 20 MB of names. More wait for the next start.
const MAX_LIMBO: usize = 100_000;

impl Orphans {
    /// What the last process left. The folder's lock is held, so none of it is still being worked on.
    pub fn open(layout: &Layout) -> Result<Arc<Orphans>> {
        let orphans = Orphans { names: Mutex::default(), old_notes: Mutex::default(), full: AtomicBool::new(false) };
        for note in std::fs::read_dir(layout.placing()).map_err(Error::internal)? {
            let note = note.map_err(Error::internal)?;
            let Some(folder) = note.file_name().to_str().and_then(|name| layout.noted(name)) else {
                tracing::warn!(file = ?note.file_name(), "a file in placing/ that is none of ours");
                continue;
            };
            match std::fs::read_dir(folder) {
                // Nothing was left in it.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                files => {
                    for file in files.map_err(Error::internal)? {
                        // What is none of ours is fsck's to tell.
                        Name::of_file(layout, &file.map_err(Error::internal)?.path()).into_iter().for_each(|name| orphans.add(name));
                    }
                }
            }
            lock(&orphans.old_notes).push(note.path());
        }
        Ok(Arc::new(orphans))
    }

    pub fn add(&self, name: Name) {
        let mut names = lock(&self.names);
        match names.len() < MAX_LIMBO {
            true => names.push(name),
            false => self.full.store(true, Ordering::Relaxed),
        }
    }

    pub fn take(&self) -> Vec<Name> {
        std::mem::take(&mut *lock(&self.names))
    }

    /// Whether a file of the folder is among them.
    pub fn mentions(&self, layout: &Layout, folder: &Folder) -> bool {
        self.full.load(Ordering::Relaxed)
            || lock(&self.names).iter().any(|name| name.scope == folder.scope && layout.folder(&name.scope, name.id) == folder.dir)
    }

    /// To be called when the names that were there at the start are in the journal as candidates.
    pub fn remove_old_notes(&self) {
        if !self.full.load(Ordering::Relaxed) {
            lock(&self.old_notes).retain(|note| !remove_note(note));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is one call on a list: a panic leaves it whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
