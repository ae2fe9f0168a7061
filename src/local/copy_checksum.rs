//! The checksum of a copy: its source's, or another one that was asked for, over the bytes as they lie here.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::base::checksum::{Checksum, ChecksumAlgorithm};
use crate::base::crypt::DataKey;
use crate::base::error::{Error, ErrorKind, Result};
use crate::ingest::hasher::ChecksumHasher;
use crate::local::hot::Entry;
use crate::local::rows::BodyPlace;
use crate::local::shared::Shared;

impl Shared {
    /// `asked` is always of the whole, as S3 does it: a copy was not put together of parts.
    pub async fn checksum_of_copy(
        self: &Arc<Self>,
        source: &Arc<Entry>,
        key: Option<Arc<DataKey>>,
        asked: Option<ChecksumAlgorithm>,
    ) -> Result<Option<Checksum>> {
        let its = source.info.checksum.clone();
        let Some(algorithm) = asked.filter(|a| its.as_ref().is_none_or(|c| c.algorithm != *a || c.parts > 0)) else { return Ok(its) };
        if let (ChecksumAlgorithm::Sha256, Some(sha256)) = (algorithm, &source.info.sha256) {
            return Ok(Checksum::new(algorithm, &sha256.digest().0));
        }
        let (shared, source) = (self.clone(), source.clone());
        spawn_blocking(move || shared.hashed(&source, key.as_ref(), algorithm)).await.map_err(Error::internal)?
    }

    /// Blocks.
    fn hashed(&self, entry: &Entry, key: Option<&Arc<DataKey>>, algorithm: ChecksumAlgorithm) -> Result<Option<Checksum>> {
        let mut hasher = ChecksumHasher::new(algorithm);
        match entry.place {
            BodyPlace::Empty => {}
            BodyPlace::Inline { .. } | BodyPlace::Pending(_) => {
                let changed =
                    || Error::new(ErrorKind::OperationAborted, "The copy source was changed while it was copied. Please try again.");
                hasher.update(&self.read_opened(entry, key)?.ok_or_else(changed)?);
            }
            BodyPlace::File { .. } | BodyPlace::Parts { .. } => self.read_through(entry, key, &mut |piece| {
                hasher.update(piece);
                Ok(())
            })?,
        }
        Ok(hasher.finish())
    }
}
