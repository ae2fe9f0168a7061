//! The data folder: what lies where, the lock that keeps a second process out, and the format it was made with.
//!
//!   FORMAT                        the version of this layout
//!   lock                          held while a process uses the folder
//!   journal/                      truth: segments and snapshots
//!   blobs/<scope>/<run>/<sha256>.<id>   truth: bodies
//!   blobs/<scope>/<run>/<id>      truth: parts
//!   staging/                      bodies on their way in; emptied at start
//!   placing/<scope>.<folder>         notes of folders that may have files without a record; looked into at start
//!   needed-keys.json              derived: which named keys of encryption are needed
//!   index/                        derived
//!
//! A file's name ends in a number that is used once: the name of a file that is being dropped can't come back. Numbers that
//! follow each other share a folder, a run: those who write at the same time write into one folder, and share its sync.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use crate::base::digest::VerifiedSha256;
use crate::base::error::{Error, ErrorKind, Result};
use crate::journal::log::sync_dir;
use crate::local::rows::{DropKind, Id};
use crate::local::scope::Scope;
use crate::local::upgrade;
use crate::private::{self, make_dir};

/// 1 had bodies in `ab/cd/` after their hash, and parts in `p/`.
const FORMAT: u32 = 2;
/// The numbers of a run: as many files as one folder holds well.
const RUN_BITS: u32 = 12;

#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    pub fn new(root: PathBuf) -> Self {
        Layout { root }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn journal(&self) -> PathBuf {
        self.root.join("journal")
    }

    pub fn index(&self) -> PathBuf {
        self.root.join("index")
    }

    pub fn staging(&self) -> PathBuf {
        self.root.join("staging")
    }

    pub fn placing(&self) -> PathBuf {
        self.root.join("placing")
    }

    pub fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    pub fn lock_file(&self) -> PathBuf {
        self.root.join("lock")
    }

    pub fn format_file(&self) -> PathBuf {
        self.root.join("FORMAT")
    }

    pub fn needed_keys(&self) -> PathBuf {
        self.root.join("needed-keys.json")
    }

    pub fn folder(&self, scope: &Scope, id: Id) -> PathBuf {
        self.blobs().join(scope.to_string()).join(format!("{:013x}", id >> RUN_BITS))
    }

    /// That the run of this number has files without a record, perhaps.
    pub fn note(&self, scope: &Scope, id: Id) -> PathBuf {
        self.placing().join(format!("{scope}.{:013x}", id >> RUN_BITS))
    }

    /// The folder that a note speaks of.
    pub fn noted(&self, note: &str) -> Option<PathBuf> {
        let (scope, run) = note.split_once('.')?;
        let is_run = run.len() == 13 && run.bytes().all(|b| b.is_ascii_hexdigit());
        Scope::parse(scope).ok().filter(|_| is_run).map(|scope| self.blobs().join(scope.to_string()).join(run))
    }

    pub fn blob(&self, scope: &Scope, sha256: &VerifiedSha256, id: Id) -> PathBuf {
        self.folder(scope, id).join(format!("{}.{id:016x}", sha256.digest().hex()))
    }

    pub fn part(&self, scope: &Scope, id: Id) -> PathBuf {
        self.folder(scope, id).join(format!("{id:016x}"))
    }

    /// None: not a file.
    pub fn dropped(&self, scope: &Scope, kind: DropKind, id: Id) -> Option<PathBuf> {
        match kind {
            DropKind::Blob(sha256) => Some(self.blob(scope, &sha256, id)),
            DropKind::Part => Some(self.part(scope, id)),
            DropKind::Manifest => None,
        }
    }

    /// Makes or checks the folder and takes its lock. What a crash left in staging is removed.
    pub fn open(&self) -> Result<Lock> {
        make_dir(&self.root).map_err(|e| unusable("the data folder can't be made", e))?;
        let lock = self.lock()?;
        let format = self.check_format()?;
        for dir in [self.journal(), self.blobs(), self.staging(), self.placing()] {
            make_dir(&dir).map_err(|e| unusable("the data folder can't be written", e))?;
        }
        for entry in std::fs::read_dir(self.staging()).map_err(Error::internal)? {
            std::fs::remove_file(entry.map_err(Error::internal)?.path()).map_err(Error::internal)?;
        }
        sync_dir(&self.root).map_err(Error::internal)?;
        if format < FORMAT {
            upgrade::to_numbered_folders(self).map_err(|e| unusable("the data folder can't be brought to its new format", e))?;
            write_format(&self.format_file()).map_err(|e| unusable("the data folder can't be written", e))?;
        }
        Ok(lock)
    }

    /// As `open`, for a folder that must be there, and without changing anything in it.
    pub fn open_existing(&self) -> Result<Lock> {
        if !self.format_file().exists() {
            return Err(Error::new(ErrorKind::InvalidArgument, "this is not a data folder of tidegate: it has no FORMAT file"));
        }
        let lock = self.lock()?;
        match self.check_format()? {
            FORMAT => Ok(lock),
            old => {
                let text = format!("the data folder has format {old}: start the gateway once, which brings it to format {FORMAT}");
                Err(Error::new(ErrorKind::InvalidArgument, text))
            }
        }
    }

    fn lock(&self) -> Result<Lock> {
        let file = private::options()
            .create(true)
            .truncate(false)
            .open(self.lock_file())
            .map_err(|e| unusable("the data folder's lock can't be opened", e))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(std::fs::TryLockError::WouldBlock) => Err(Error::new(
                ErrorKind::LocalUnavailable,
                "the data folder is in use by another tidegate process: stop it first, or use another folder",
            )),
            Err(std::fs::TryLockError::Error(e)) => Err(unusable("the data folder can't be locked", e)),
        }
    }

    /// Which format it has.
    fn check_format(&self) -> Result<u32> {
        let path = self.format_file();
        match File::open(&path) {
            Ok(file) => {
                let mut text = String::new();
                file.take(64).read_to_string(&mut text).map_err(Error::internal)?;
                match text.trim().strip_prefix("tidegate ").and_then(|v| v.parse::<u32>().ok()) {
                    Some(v @ 1..=FORMAT) => Ok(v),
                    Some(v) if v > FORMAT => Err(Error::new(
                        ErrorKind::InternalError,
                        format!("the data folder has format {v}, this program reads up to {FORMAT}: start a newer tidegate on it"),
                    )),
                    _ => Err(Error::new(ErrorKind::InternalError, "the data folder's FORMAT file is not one of tidegate's")),
                }
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                // The first start writes FORMAT before there is a journal, and a snapshot writes it when all else is there.
                if std::fs::read_dir(self.journal()).is_ok_and(|mut entries| entries.next().is_some()) {
                    let text = "the data folder holds a journal but no FORMAT file: it is a snapshot that was cut off. Make a new one";
                    return Err(Error::new(ErrorKind::InvalidArgument, text));
                }
                write_format(&path).map_err(|e| unusable("the data folder can't be written", e))?;
                Ok(FORMAT)
            }
            Err(e) => Err(unusable("the data folder can't be read", e)),
        }
    }
}

pub fn write_format(path: &Path) -> io::Result<()> {
    let unfinished = path.with_extension("tmp");
    let mut file = private::create(&unfinished)?;
    file.write_all(format!("tidegate {FORMAT}\n").as_bytes())?;
    file.sync_all()?;
    std::fs::rename(unfinished, path)
}

fn unusable(what: &'static str, e: io::Error) -> Error {
    Error::new(ErrorKind::LocalUnavailable, what).caused_by(e)
}

/// Held for as long as the folder is used; the kernel releases it with the process.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Free bytes for an ordinary user.
pub fn free_bytes(dir: &Path) -> io::Result<u64> {
    let file = File::open(dir)?;
    crate::files::sys::free_bytes(file.as_raw_fd())
}
