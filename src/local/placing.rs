//! Files that are at their final place before a record speaks of them, so that none of them stays for good without one.
//!
//! Before a body is moved to its place, an empty note with its name is made in `placing/`; the note goes when the file's fate
//! is known. `Placed` is the guard of both. A file that nobody wants any more goes at once. Where it is not known whether a
//! record speaks of it (the disk failed, or whoever waited is gone), the pass is asked, which reads the journal for it. A
//! crash leaves the note, and the next start asks the pass.
//!
//! Called by `blobs` (makes them), by writes (say what became of them), by the pass and at start (`Limbo`).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::digest::{Sha256, VerifiedSha256};
use crate::base::error::{Error, Result};
use crate::base::names::TenantId;
use crate::local::layout::Layout;
use crate::local::rows::{DropKind, Id};

/// Which file it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    pub scope: TenantId,
    pub kind: DropKind,
    pub id: Id,
}

impl Name {
    /// As a note is called: a scope has no dots.
    fn note(&self) -> String {
        match self.kind {
            DropKind::Blob(sha256) => format!("{}.{}.{:016x}", self.scope, sha256.digest().hex(), self.id),
            DropKind::Part | DropKind::Manifest => format!("{}.{:016x}", self.scope, self.id),
        }
    }

    fn parse(note: &str) -> Option<Name> {
        let (front, id) = note.rsplit_once('.').filter(|(_, id)| id.len() == 16)?;
        let id = u64::from_str_radix(id, 16).ok()?;
        let (scope, kind) = match front.split_once('.') {
            // Proven when the file was placed; here it only finds the file again.
            Some((scope, sha256)) => (scope, DropKind::Blob(VerifiedSha256::proven(Sha256::from_hex(sha256)?))),
            None => (front, DropKind::Part),
        };
        Some(Name { scope: TenantId::parse(scope).ok()?, kind, id })
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
    limbo: Arc<Limbo>,
}

impl Placed {
    /// Makes the note; the file may be moved to `path` from here on.
    pub fn begin(layout: &Layout, limbo: &Arc<Limbo>, name: Name) -> io::Result<Placed> {
        let Some(path) = layout.dropped(&name.scope, name.kind, name.id) else { return Err(io::Error::other("a manifest is no file")) };
        std::fs::OpenOptions::new().write(true).create_new(true).open(limbo.dir.join(name.note()))?;
        Ok(Placed { name, path, fate: Fate::Unrecorded, limbo: limbo.clone() })
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

    /// What was decided about the file is durable.
    pub fn settled(&mut self) {
        if self.fate == Fate::Unknown {
            self.fate = Fate::Recorded;
        }
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        match self.fate {
            Fate::Unknown => self.limbo.add(self.name.clone()),
            Fate::Recorded => self.limbo.remove_note(&self.name),
            Fate::Unrecorded => match std::fs::remove_file(&self.path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(error = %e, "a file that was not needed could not be removed; it is tried again");
                    self.limbo.add(self.name.clone());
                }
                _ => self.limbo.remove_note(&self.name),
            },
        }
    }
}

/// Files whose fate only the journal can tell. The next pass asks it.
#[derive(Debug)]
pub struct Limbo {
    dir: PathBuf,
    names: Mutex<Vec<Name>>,
}

/// More than this many wait for the next start.
const MAX_LIMBO: usize = 10_000;

impl Limbo {
    /// What the last process left. The folder's lock is held, so none of it is still being worked on.
    pub fn open(layout: &Layout) -> Result<Arc<Limbo>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(layout.placing()).map_err(Error::internal)?.take(MAX_LIMBO) {
            let entry = entry.map_err(Error::internal)?;
            match entry.file_name().to_str().and_then(Name::parse) {
                Some(name) => names.push(name),
                None => tracing::warn!(file = ?entry.file_name(), "a file in placing/ that is none of ours"),
            }
        }
        Ok(Arc::new(Limbo { dir: layout.placing(), names: Mutex::new(names) }))
    }

    pub fn add(&self, name: Name) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() < MAX_LIMBO {
            names.push(name);
        }
    }

    pub fn take(&self) -> Vec<Name> {
        std::mem::take(&mut *self.names.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The file's fate is known, or the journal knows that it must be asked.
    pub fn remove_note(&self, name: &Name) {
        match std::fs::remove_file(self.dir.join(name.note())) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                tracing::debug!(error = %e, "the note of a placed file could not be removed; it is tried again");
                // The journal is asked once more, which does no harm.
                self.add(name.clone());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_names_its_file() {
        let sha256 = VerifiedSha256::proven(Sha256([7; 32]));
        for kind in [DropKind::Blob(sha256), DropKind::Part] {
            let name = Name { scope: TenantId::parse("a-b_C9").unwrap(), kind, id: 0x1_0000_0002 };
            assert_eq!(Name::parse(&name.note()), Some(name));
        }
        for other in ["", "x", ".0000000000000001", "a.1", "a.000000000000000g", "a.b.0000000000000001", "a..0000000000000001"] {
            assert_eq!(Name::parse(other), None, "{other}");
        }
    }
}
