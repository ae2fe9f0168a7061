//! Writes a body into a staged file, hashing as it goes; a fault of the disk is met with a new file, up to three in all.
//!
//! Called by `receive`, and by the store for bytes that it brings into a file itself. Blocks: lives on blocking threads only.

use std::io;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use sha2::Digest as _;

use crate::base::checksum::{Checksum, ChecksumAlgorithm};
use crate::base::crypt::ChunkSealer;
use crate::base::crypt::chunks::SEALED_CHUNK;
use crate::base::digest::Sha256;
use crate::base::error::{Error, Result};
use crate::ingest::hasher::ChecksumHasher;
use crate::ingest::{StagedFile, Staging};

/// New files tried for one body before the client is told.
const TRIES: u8 = 3;
/// Copied at once into the next file.
const COPY_BYTES: usize = 512 * 1024;
/// It is asked that often whether there is room for more.
const ASK_BYTES: usize = 1024 * 1024;

/// Owns the staged file and the hashes that go with its bytes.
pub struct Writer {
    staging: Staging,
    file: StagedFile,
    sha256: sha2::Sha256,
    checksum: Option<ChecksumHasher>,
    /// None: the file has the bytes as they came.
    sealer: Option<ChunkSealer>,
    failures: u8,
    /// Bytes written since it was asked whether there is room.
    unasked: usize,
}

impl Writer {
    /// `algorithm`: of a checksum to compute beside the SHA-256.
    pub fn begin(staging: Staging, algorithm: Option<ChecksumAlgorithm>) -> Result<Self> {
        staging.require_room()?;
        let mut failures = 0;
        let file = loop {
            match staging.create() {
                Ok(file) => break file,
                Err(fault) => count(&mut failures, fault)?,
            }
        };
        let (checksum, sealer) = (algorithm.map(ChecksumHasher::new), staging.sealed().cloned().map(ChunkSealer::new));
        Ok(Writer { staging, file, sha256: sha2::Sha256::new(), checksum, sealer, failures, unasked: 0 })
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if self.unasked >= ASK_BYTES {
            // A body as large as what is left must not take the room that deletes need.
            self.staging.require_room()?;
            self.unasked = 0;
        }
        self.unasked += bytes.len();
        self.with_sealer(|sealer, append| match sealer {
            Some(sealer) => sealer.push(bytes, append),
            None => append(bytes),
        })?;
        if let Some(watcher) = self.staging.watcher() {
            watcher.appended(self.file.path(), bytes);
        }
        self.sha256.update(bytes);
        if let Some(c) = &mut self.checksum {
            c.update(bytes);
        }
        Ok(())
    }

    /// `f` is given how to append to the file, past faults of the disk.
    fn with_sealer(&mut self, f: impl FnOnce(Option<&mut ChunkSealer>, &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()>) -> Result<()> {
        let mut sealer = self.sealer.take();
        let done = f(sealer.as_mut(), &mut |bytes| {
            while let Err(fault) = self.file.append(bytes) {
                self.renew(fault)?;
            }
            Ok(())
        });
        self.sealer = sealer;
        done
    }

    pub fn write_all(mut self, piece: &[Bytes]) -> Result<Self> {
        piece.iter().try_for_each(|bytes| self.write(bytes))?;
        Ok(self)
    }

    /// The file is synced, where the staging asks for it.
    pub fn finish(mut self) -> Result<(Sha256, Option<Checksum>, StagedFile)> {
        self.with_sealer(|sealer, append| sealer.map_or(Ok(()), |sealer| sealer.finish(append)))?;
        while self.staging.synced
            && let Err(fault) = self.file.file().sync_data()
        {
            // Never a second fsync on this descriptor: the kernel may have dropped the pages and say all is well.
            self.renew(fault)?;
        }
        let sha256 = Sha256(self.sha256.finalize().into());
        Ok((sha256, self.checksum.and_then(ChecksumHasher::finish), self.file))
    }

    /// Goes on in a new file after a fault.
    fn renew(&mut self, mut fault: io::Error) -> Result<()> {
        loop {
            count(&mut self.failures, fault)?;
            match self.copied() {
                Ok(file) => {
                    self.file = file;
                    return Ok(());
                }
                Err(e) => fault = e,
            }
        }
    }

    /// What was written so far, in a new file, proven by its hash, or by its seals.
    fn copied(&self) -> io::Result<StagedFile> {
        if let Some(key) = self.staging.sealed() {
            let mut file = self.staging.create()?;
            let mut number = 0;
            while file.len() < self.file.len() {
                let mut chunk = vec![0; SEALED_CHUNK.min((self.file.len() - file.len()) as usize)];
                self.file.file().read_exact_at(&mut chunk, file.len())?;
                if !key.is_chunk(number, &chunk) {
                    return Err(io::Error::other("a staged file read back differently than it was written"));
                }
                file.append(&chunk)?;
                number += 1;
            }
            return Ok(file);
        }
        let mut file = self.staging.create()?;
        let mut hash = sha2::Sha256::new();
        let mut buffer = vec![0; COPY_BYTES];
        let mut at = 0;
        while at < self.file.len() {
            let want = buffer.len().min((self.file.len() - at) as usize);
            self.file.file().read_exact_at(&mut buffer[..want], at)?;
            hash.update(&buffer[..want]);
            file.append(&buffer[..want])?;
            at += want as u64;
        }
        if hash.finalize() != self.sha256.clone().finalize() {
            return Err(io::Error::other("a staged file read back differently than it was written"));
        }
        Ok(file)
    }
}

/// Err: that was the last try.
fn count(failures: &mut u8, fault: io::Error) -> Result<()> {
    *failures += 1;
    tracing::warn!(error = %fault, failures = *failures, "writing a staged file failed");
    if *failures >= TRIES { Err(Error::storage(fault)) } else { Ok(()) }
}
