//! Small bodies that lie in journal segments: reading one back, proven by its checksum.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use quick_cache::sync::Cache;

use crate::base::error::{Error, ErrorKind, Result};
use crate::files::open::unreadable;
use crate::files::sys;
use crate::journal::format::crc32c;
use crate::journal::segment;

/// Descriptors kept open. A segment is 64 MiB: these cover 8 GiB of small bodies before one is opened twice.
const OPEN_SEGMENTS: usize = 128;

pub struct Segments {
    dir: PathBuf,
    open: Cache<u64, Arc<File>>,
}

impl Segments {
    pub fn new(dir: PathBuf) -> Self {
        Segments { dir, open: Cache::new(OPEN_SEGMENTS) }
    }

    /// Blocks. None: the segment is gone, so the record that named this place was replaced meanwhile.
    pub fn read(&self, number: u64, offset: u64, len: u32, crc: u32) -> Result<Option<Bytes>> {
        let file = match self.open.get(&number) {
            Some(f) => f,
            None => match File::open(segment::path(&self.dir, number)) {
                Ok(f) => {
                    let f = Arc::new(f);
                    self.open.insert(number, f.clone());
                    f
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(e) => return Err(unreadable(e)),
            },
        };
        let bytes = sys::read_exact(&file, len as usize, offset).map_err(unreadable)?;
        if crc32c(&bytes) != crc {
            let e = Error::new(ErrorKind::InternalError, "We encountered an internal error. Please try again.");
            return Err(e.caused_by(format!("a body in journal segment {number:016x} at {offset} is damaged")));
        }
        Ok(Some(bytes))
    }

    /// Lets go of a segment that was unlinked.
    pub fn forget(&self, number: u64) {
        self.open.remove(&number);
    }
}
