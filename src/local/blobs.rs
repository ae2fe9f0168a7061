//! Bringing a staged file to its final place, durably. Blocks; called on blocking threads.

use std::io;
use std::path::Path;

use crate::base::digest::VerifiedSha256;
use crate::base::error::Result;
use crate::ingest::writer::Writer;
use crate::ingest::{Content, StagedFile};
use crate::journal::log::disk_error;
use crate::local::layout::Layout;
use crate::local::placing::{Name, Placed};
use crate::local::rows::{DropKind, Id};
use crate::local::scope::Scope;
use crate::local::shared::Shared;

/// Names tried for one file before the client is told.
const TRIES: usize = 3;

impl Shared {
    pub fn place_blob(&self, scope: &Scope, sha256: &VerifiedSha256, file: StagedFile) -> Result<Placed> {
        self.place(scope, DropKind::Blob(*sha256), file)
    }

    pub fn place_part(&self, scope: &Scope, content: Content) -> Result<Placed> {
        let file = self.as_file(content)?;
        self.place(scope, DropKind::Part, file)
    }

    /// The file is synced already, so that a fault here costs no more than another name.
    fn place(&self, scope: &Scope, kind: DropKind, mut file: StagedFile) -> Result<Placed> {
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
        let folder = self.folders.open(&self.layout, &name.scope, name.id)?;
        let placed = Placed::begin(&self.layout, &self.orphans, &folder, name)?;
        let staged = file.path().to_path_buf();
        file.rename_to(placed.path()).inspect_err(|_| folder.make_again())?;
        if let Err(e) = folder.sync() {
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
    /// The notes of folders that numbers have left, where the fate of every file is known.
    pub fn close_folders(&self) {
        self.orphans.remove_old_notes();
        self.folders.close(|folder| {
            folder.dir != self.layout.folder(&folder.scope, self.ids.peek()) && !self.orphans.mentions(&self.layout, folder)
        });
    }

    /// At the end of the process: also that of the last run.
    pub fn close_all_folders(&self) {
        self.folders.close(|folder| !self.orphans.mentions(&self.layout, folder));
    }

    /// Afterwards the folder of that file may be empty, and nothing new comes into it where numbers have gone on.
    pub fn remove_folder_if_empty(&self, scope: &Scope, id: Id) {
        if self.layout.folder(scope, id) != self.layout.folder(scope, self.ids.peek()) {
            // As a rule it is not empty. A late writer finds it gone and takes a new number.
            let _ = std::fs::remove_dir(self.layout.folder(scope, id));
        }
    }
}

/// For fsck: what a file's name says it is. None: not one of ours.
pub fn parse_path(layout: &Layout, path: &Path) -> Option<(Scope, Option<crate::base::digest::Sha256>, Id)> {
    let relative = path.strip_prefix(layout.blobs()).ok()?;
    let mut parts = relative.components().map(|c| c.as_os_str().to_str());
    let scope = Scope::parse(parts.next()??).ok()?;
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
