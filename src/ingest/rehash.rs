//! Another checksum of a body that has arrived already. What was hashed anyway is not hashed again.
//!
//! Called by origins, for a part whose upload wants another one than its client sent, and for copies. Blocks on no reactor.

use tokio::task::spawn_blocking;

use crate::base::checksum::{Checksum, ChecksumAlgorithm};
use crate::base::error::{Error, Result};
use crate::ingest::hasher::ChecksumHasher;
use crate::ingest::{Content, Received, StagedBody};

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
                let body = staged.body().map_err(Error::storage)?;
                spawn_blocking(move || of_body(&body, algorithm)).await.map_err(Error::internal)?
            }
        }
    }
}

fn of_body(body: &StagedBody, algorithm: ChecksumAlgorithm) -> Result<Option<Checksum>> {
    let (mut hasher, mut at) = (ChecksumHasher::new(algorithm), 0);
    while at < body.len() {
        let piece = body.read(at, READ).map_err(Error::storage)?;
        hasher.update(&piece);
        at += piece.len() as u64;
    }
    Ok(hasher.finish())
}
