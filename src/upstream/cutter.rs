//! Cuts a body into the parts that it goes up in, and hashes each: over the bytes as they come, not as they are read back.
//!
//! Called while a body arrives (`ahead`), and for one that lies whole in its file (`parts`).

use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::Digest as _;
use tokio::sync::mpsc::UnboundedSender;

use crate::base::checksum::{Checksum, ChecksumAlgorithm};
use crate::base::digest::{Md5, Sha256};
use crate::base::error::{Error, Result};
use crate::ingest::hasher::ChecksumHasher;
use crate::ingest::md5::Md5Hasher;

/// Read at once from a file.
const READ: usize = 256 * 1024;

pub enum Told {
    Part(FilePart),
    /// That was all of the body.
    End,
}

/// A part as it lies in a file.
pub struct FilePart {
    pub path: PathBuf,
    pub offset: u64,
    pub length: u64,
    pub number: i32,
    pub checksum: Option<Checksum>,
    /// Where no checksum is taken upstream.
    pub md5: Option<Md5>,
}

/// Cuts a body into parts and hashes each, as its bytes come.
pub struct Cutter {
    part_bytes: u64,
    algorithm: Option<ChecksumAlgorithm>,
    offset: u64,
    length: u64,
    number: i32,
    checksum: Option<ChecksumHasher>,
    md5: Option<Md5Hasher>,
}

impl Cutter {
    pub fn new(part_bytes: u64, algorithm: Option<ChecksumAlgorithm>) -> Self {
        let mut cutter = Cutter { part_bytes, algorithm, offset: 0, length: 0, number: 1, checksum: None, md5: None };
        cutter.renew();
        cutter
    }

    fn renew(&mut self) {
        self.checksum = self.algorithm.map(ChecksumHasher::new);
        self.md5 = self.algorithm.is_none().then(Md5Hasher::new);
    }

    /// Bytes so far.
    pub fn total(&self) -> u64 {
        self.offset + self.length
    }

    /// The parts that these bytes made whole; they are in the file already.
    pub fn push(&mut self, path: &Path, mut bytes: &[u8]) -> Vec<FilePart> {
        let mut whole = Vec::new();
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min((self.part_bytes - self.length) as usize));
            if let Some(checksum) = &mut self.checksum {
                checksum.update(now);
            }
            if let Some(md5) = &mut self.md5 {
                md5.update(now);
            }
            self.length += now.len() as u64;
            if self.length == self.part_bytes {
                whole.extend(self.rest(path));
            }
            bytes = later;
        }
        whole
    }

    /// What is left behind the last whole part.
    pub fn rest(&mut self, path: &Path) -> Option<FilePart> {
        if self.length == 0 {
            return None;
        }
        let part = FilePart {
            path: path.to_owned(),
            offset: self.offset,
            length: self.length,
            number: self.number,
            checksum: self.checksum.take().and_then(ChecksumHasher::finish),
            md5: self.md5.take().map(Md5Hasher::finish),
        };
        self.offset += self.length;
        self.length = 0;
        self.number += 1;
        self.renew();
        Some(part)
    }
}

/// Tells of all parts of a file, if it still has the hash that its body had. Blocks.
pub fn cut_file(path: &Path, mut cutter: Cutter, tell: &UnboundedSender<Told>, sha256: &Sha256) -> Result<()> {
    let mut file = std::fs::File::open(path).map_err(Error::storage)?;
    let (mut buffer, mut hash) = (vec![0; READ], sha2::Sha256::new());
    loop {
        let n = file.read(&mut buffer).map_err(Error::storage)?;
        let piece = buffer.get(..n).unwrap_or_default();
        if piece.is_empty() {
            break;
        }
        hash.update(piece);
        cutter.push(path, piece).into_iter().for_each(|part| _ = tell.send(Told::Part(part)));
    }
    if hash.finalize()[..] != sha256.0 {
        return Err(Error::storage(std::io::Error::other("a staged file reads differently than it was written")));
    }
    cutter.rest(path).into_iter().for_each(|part| _ = tell.send(Told::Part(part)));
    let _ = tell.send(Told::End);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_whole_and_their_sums_are_their_own() {
        let body: Vec<u8> = (0..1000u32).map(|i| (i * 7) as u8).collect();
        let path = Path::new("body");
        for algorithm in [Some(ChecksumAlgorithm::Crc64Nvme), None] {
            for (size, step) in [(0, 1), (99, 99), (100, 1), (101, 7), (1000, 1000), (950, 333)] {
                let mut cutter = Cutter::new(100, algorithm);
                let mut parts: Vec<FilePart> = body[..size].chunks(step).flat_map(|piece| cutter.push(path, piece)).collect();
                assert_eq!(parts.len(), size / 100);
                assert_eq!(cutter.total(), size as u64);
                parts.extend(cutter.rest(path));
                assert!(cutter.rest(path).is_none());
                for (part, bytes) in parts.iter().zip(body[..size].chunks(100)) {
                    assert_eq!(part.offset, (part.number as u64 - 1) * 100);
                    assert_eq!(part.length, bytes.len() as u64);
                    let whole = ChecksumHasher::digest(ChecksumAlgorithm::Crc64Nvme, bytes);
                    match algorithm {
                        Some(_) => assert_eq!((&part.checksum, part.md5), (&whole, None)),
                        None => assert_eq!((&part.checksum, part.md5), (&None, Some(Md5Hasher::digest(bytes)))),
                    }
                }
                assert_eq!(parts.len(), size.div_ceil(100));
            }
        }
    }

    #[test]
    fn a_file_that_reads_differently_is_not_sent_whole() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [1; 250]).unwrap();
        let tell = |sha256: Sha256| {
            let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
            let cut = cut_file(file.path(), Cutter::new(100, None), &tell, &sha256);
            drop(tell);
            let mut ended = false;
            while let Ok(next) = told.try_recv() {
                ended |= matches!(next, Told::End);
            }
            (cut.is_ok(), ended)
        };
        assert_eq!(tell(Sha256(sha2::Sha256::digest([1; 250]).into())), (true, true));
        assert_eq!(tell(Sha256(sha2::Sha256::digest([2; 250]).into())), (false, false));
    }
}
