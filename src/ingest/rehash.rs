//! Another checksum of a body that has arrived already. What was hashed anyway is not hashed again.
//!
//! Called by origins, for a part whose upload wants another one than its client sent, and for copies. Blocks on no reactor.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use tokio::task::spawn_blocking;

use crate::base::checksum::{Checksum, ChecksumAlgorithm};
use crate::base::error::{Error, Result};
use crate::ingest::hasher::ChecksumHasher;
use crate::ingest::{Content, Received};

/// Read at once from a file.
const READ: usize = 256 * 1024;

impl Received {
    /// The body's checksum of this algorithm, whichever it came with.
    pub async fn checksum_of(&self, algorithm: ChecksumAlgorithm) -> Result<Option<Checksum>> {
        if let Some(its) = self.checksum.as_ref().filter(|c| c.algorithm == algorithm && c.parts == 0) {
            return Ok(Some(its.clone()));
        }
        match (algorithm, self.md5) {
            (ChecksumAlgorithm::Sha256, _) => return Ok(Checksum::new(algorithm, &self.sha256.digest().0)),
            (ChecksumAlgorithm::Md5, Some(md5)) => return Ok(Checksum::new(algorithm, &md5.0)),
            _ => {}
        }
        match &self.content {
            Content::Memory(bytes) => {
                let bytes = bytes.clone();
                spawn_blocking(move || ChecksumHasher::digest(algorithm, &bytes)).await.map_err(Error::internal)
            }
            Content::File(staged) => {
                let (file, len) = (staged.file().try_clone().map_err(Error::storage)?, staged.len());
                spawn_blocking(move || of_file(&file, len, algorithm)).await.map_err(Error::internal)?
            }
        }
    }
}

fn of_file(file: &File, len: u64, algorithm: ChecksumAlgorithm) -> Result<Option<Checksum>> {
    let (mut buffer, mut hasher, mut at) = (vec![0; READ], ChecksumHasher::new(algorithm), 0);
    while at < len {
        let wanted = usize::try_from(len - at).unwrap_or(READ).min(READ);
        let piece = buffer.get_mut(..wanted).unwrap_or_default();
        file.read_exact_at(piece, at).map_err(Error::storage)?;
        hasher.update(piece);
        at += wanted as u64;
    }
    Ok(hasher.finish())
}
