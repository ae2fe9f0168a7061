//! The checksum of a copy, where another one than its source's was asked for: the upstream's to compute, where it can. Where it
//! can't, the source is read and hashed here, and the seal of the copy holds what was found.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;
use sha2::Digest as _;
use tokio::task::spawn_blocking;

use crate::base::checksum::{Checksum, ChecksumAlgorithm};
use crate::base::digest::{Md5, Sha256, VerifiedSha256};
use crate::base::error::{Error, Result};
use crate::base::object_ref::ObjectRef;
use crate::base::range::ByteRange;
use crate::ingest::hasher::ChecksumHasher;
use crate::ingest::md5::Md5Hasher;
use crate::origin::{Body, BodySource, CopyObject};
use crate::upstream::known::Known;
use crate::upstream::open::Inner;
use crate::upstream::write::source_replaced;

/// Hashed at once, off the reactor.
const PIECE: usize = 512 * 1024;

/// What is made of all bytes of a body.
struct Hashes {
    checksum: ChecksumHasher,
    md5: Md5Hasher,
    sha256: sha2::Sha256,
}

struct Digests {
    checksum: Option<Checksum>,
    md5: Md5,
    sha256: VerifiedSha256,
}

impl Inner {
    /// `known` of the copy, and the algorithm that the upstream is to compute.
    pub async fn with_checksum_of_copy(self: &Arc<Self>, copy: &CopyObject, known: Known) -> Result<(Known, Option<ChecksumAlgorithm>)> {
        let Some(algorithm) = copy.checksum else { return Ok((known, None)) };
        if copy.source.checksum.as_ref().is_some_and(|its| its.algorithm == algorithm && its.parts == 0) {
            return Ok((known, None));
        }
        if self.abilities().copied_checksums && self.takes(algorithm) {
            return Ok((Known { checksum: None, ..known }, Some(algorithm)));
        }
        let Digests { checksum, md5, sha256 } = self.hashed(copy, algorithm).await?;
        Ok((Known { checksum, md5: Some(md5), sha256: Some(sha256), ..known }, None))
    }

    async fn hashed(self: &Arc<Self>, copy: &CopyObject, algorithm: ChecksumAlgorithm) -> Result<Digests> {
        let whole = ByteRange { start: 0, end: copy.source.size };
        let from =
            ObjectRef { bucket: &copy.source_bucket, key: &copy.source_key, version: copy.source_version.as_ref().into(), unlock: None };
        let body = self.open(from, &copy.source, whole).await?.ok_or_else(source_replaced)?;
        let hashes = Hashes { checksum: ChecksumHasher::new(algorithm), md5: Md5Hasher::new(), sha256: sha2::Sha256::new() };
        let hashes = match body {
            Body::Memory(bytes) => hashes.with(vec![bytes]).await?,
            Body::Stream(mut stream) => {
                let (mut hashes, mut pieces, mut gathered) = (hashes, Vec::new(), 0);
                while let Some(piece) = poll_fn(|cx| BodySource::poll_next(stream.as_mut(), cx)).await {
                    let piece = piece?;
                    gathered += piece.len();
                    pieces.push(piece);
                    if gathered >= PIECE {
                        hashes = hashes.with(std::mem::take(&mut pieces)).await?;
                        gathered = 0;
                    }
                }
                hashes.with(pieces).await?
            }
        };
        let sha256 = VerifiedSha256::proven(Sha256(hashes.sha256.finalize().into()));
        Ok(Digests { checksum: hashes.checksum.finish(), md5: hashes.md5.finish(), sha256 })
    }
}

impl Hashes {
    async fn with(mut self, pieces: Vec<Bytes>) -> Result<Self> {
        let hashed = spawn_blocking(move || {
            for piece in &pieces {
                self.checksum.update(piece);
                self.md5.update(piece);
                self.sha256.update(piece);
            }
            self
        });
        hashed.await.map_err(Error::internal)
    }
}
