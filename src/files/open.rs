//! Files that are open, and mapped: a bounded cache by number, so that a hot file is opened and mapped once.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use quick_cache::sync::Cache;

use crate::base::error::{Error, ErrorKind, Result};
use crate::files::sys::Map;

#[derive(Debug, Clone)]
pub struct Settings {
    /// Each is a descriptor and at most one map: well below the usual limits of 1,024 and 65,530.
    pub open_files: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { open_files: 512 }
    }
}

/// A sealed file. Stays readable when its name is gone.
pub struct OpenFile {
    pub file: File,
    pub len: u64,
    map: OnceLock<Option<Map>>,
}

impl OpenFile {
    /// None: it can't be mapped (address space, limits); read it instead.
    pub fn map(&self) -> Option<&Map> {
        self.map.get_or_init(|| if self.len == 0 { None } else { Map::new(&self.file).ok() }).as_ref()
    }
}

impl AsFd for OpenFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

pub struct Files {
    open: Cache<u64, Arc<OpenFile>>,
}

impl Files {
    pub fn new(settings: &Settings) -> Self {
        Files { open: Cache::new(settings.open_files.max(1)) }
    }

    /// The file with this number, if it is open.
    pub fn get(&self, id: u64) -> Option<Arc<OpenFile>> {
        self.open.get(&id)
    }

    /// Opens the file, whose length must be what the record says. Blocks. None: no file has this name.
    pub fn open(&self, id: u64, path: &Path, len: u64) -> Result<Option<Arc<OpenFile>>> {
        if let Some(open) = self.get(id) {
            return Ok(Some(open));
        }
        let file = match File::open(path) {
            Ok(f) => f,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(unreadable(e)),
        };
        let found = file.metadata().map_err(unreadable)?.len();
        if found != len {
            return Err(unreadable(io::Error::other(format!(
                "a body's file has {found} bytes, its record says {len}: run `tidegate fsck`"
            ))));
        }
        let open = Arc::new(OpenFile { file, len, map: OnceLock::new() });
        self.open.insert(id, open.clone());
        Ok(Some(open))
    }

    /// Lets go of a file that was unlinked, so that its space is freed.
    pub fn forget(&self, id: u64) {
        self.open.remove(&id);
    }
}

/// The disk would not give what it should have.
pub fn unreadable(e: io::Error) -> Error {
    Error::new(ErrorKind::LocalUnavailable, "The object can't be read at the moment. Please try again.").caused_by(e)
}
