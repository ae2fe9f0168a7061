//! Sorted files of operations: snapshots (one live value per key), and the runs that a compaction spills.
//!
//! Header, blocks of operations in order of (table, key), each with its length and checksum, footer with the counts.
//! A file without a sound footer was not finished. Written once, synced, then renamed into place by the caller.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::base::error::{Error, ErrorKind, Result};
use crate::journal::format::{FORMAT, LogId, crc32c};
use crate::journal::op::{Op, OpRef, parse_op};
use crate::journal::segment::newer_format;
use crate::private;

const MAGIC: [u8; 8] = *b"TGATESNP";
const HEADER: usize = 48;
const FOOTER: usize = 32;
const FOOTER_MARK: u32 = u32::MAX;
/// Large enough that its checksum is noise, small enough to hold many at once in a merge.
const BLOCK: usize = 64 * 1024;
/// A block is `BLOCK` plus one operation, whose value is at most a section of a batch.
const MAX_BLOCK: u32 = 80 * 1024 * 1024;

/// What a snapshot stands for: the log up to and with segment `upto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    pub log: LogId,
    pub upto: u64,
    pub next_sequence: u64,
}

pub struct Writer {
    out: BufWriter<File>,
    block: Vec<u8>,
    entries: u64,
    chain: u32,
    bytes: u64,
}

impl Writer {
    pub fn create(path: &Path, stamp: &Stamp) -> io::Result<Self> {
        let mut out = BufWriter::with_capacity(256 * 1024, private::create(path)?);
        let mut head = [0; HEADER];
        head[..8].copy_from_slice(&MAGIC);
        head[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        head[16..32].copy_from_slice(&stamp.log);
        head[32..40].copy_from_slice(&stamp.upto.to_le_bytes());
        head[40..48].copy_from_slice(&stamp.next_sequence.to_le_bytes());
        let crc = crc32c(&head[16..]);
        head[12..16].copy_from_slice(&crc.to_le_bytes());
        out.write_all(&head)?;
        Ok(Writer { out, block: Vec::with_capacity(BLOCK + 4096), entries: 0, chain: 0, bytes: HEADER as u64 })
    }

    /// Operations must come in order.
    pub fn push(&mut self, op: &OpRef<'_>) -> io::Result<()> {
        if !op.encode(&mut self.block) {
            return Err(io::Error::other("an operation is too long"));
        }
        self.entries += 1;
        if self.block.len() >= BLOCK { self.flush_block() } else { Ok(()) }
    }

    fn flush_block(&mut self) -> io::Result<()> {
        let crc = crc32c(&self.block);
        let len = u32::try_from(self.block.len()).ok().filter(|l| *l <= MAX_BLOCK).ok_or(io::Error::other("a block is too long"))?;
        self.out.write_all(&len.to_le_bytes())?;
        self.out.write_all(&crc.to_le_bytes())?;
        self.out.write_all(&self.block)?;
        self.chain = next_chain(self.chain, crc);
        self.bytes += 8 + u64::from(len);
        self.block.clear();
        Ok(())
    }

    /// Ends the file and makes it durable. Returns its length.
    pub fn finish(mut self) -> io::Result<u64> {
        if !self.block.is_empty() {
            self.flush_block()?;
        }
        let mut foot = [0; FOOTER];
        foot[..4].copy_from_slice(&FOOTER_MARK.to_le_bytes());
        foot[8..16].copy_from_slice(&self.entries.to_le_bytes());
        foot[16..24].copy_from_slice(&self.bytes.to_le_bytes());
        foot[24..28].copy_from_slice(&self.chain.to_le_bytes());
        let crc = crc32c(&foot[8..]);
        foot[4..8].copy_from_slice(&crc.to_le_bytes());
        self.out.write_all(&foot)?;
        let file = self.out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok(self.bytes + FOOTER as u64)
    }
}

fn next_chain(chain: u32, crc: u32) -> u32 {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&chain.to_le_bytes());
    bytes[4..].copy_from_slice(&crc.to_le_bytes());
    crc32c(&bytes)
}

/// Reads a sorted file from its beginning, proving each block, and at the end that none is missing.
pub struct Reader {
    input: BufReader<File>,
    stamp: Stamp,
    block: Vec<u8>,
    at: usize,
    entries: u64,
    chain: u32,
    done: bool,
}

fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::InternalError, format!("a journal snapshot is damaged: {what}. Run `tidegate fsck`, or restore from a backup"))
}

impl Reader {
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::internal)?;
        let mut input = BufReader::with_capacity(256 * 1024, file);
        let mut head = [0; HEADER];
        input.read_exact(&mut head).map_err(|e| damaged("its header").caused_by(e))?;
        let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        if head[..8] != MAGIC {
            return Err(damaged("its header"));
        }
        if word(8) > FORMAT {
            return Err(newer_format("journal snapshot", word(8)));
        }
        if word(12) != crc32c(&head[16..]) {
            return Err(damaged("its header"));
        }
        let mut log = [0; 16];
        log.copy_from_slice(&head[16..32]);
        let stamp = Stamp { log, upto: long(32), next_sequence: long(40) };
        Ok(Reader { input, stamp, block: Vec::new(), at: 0, entries: 0, chain: 0, done: false })
    }

    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Whether the file was finished, without reading all of it. Leaves the reader at its beginning.
    pub fn check_footer(&mut self) -> Result<u64> {
        let missing = |e: io::Error| damaged("its end is missing").caused_by(e);
        self.input.seek(SeekFrom::End(-(FOOTER as i64))).map_err(missing)?;
        let mut foot = [0; FOOTER];
        self.input.read_exact(&mut foot).map_err(missing)?;
        let at = self.input.stream_position().map_err(missing)?;
        let (entries, bytes, _) = parse_footer(&foot).ok_or_else(|| damaged("its end is missing"))?;
        if bytes + FOOTER as u64 != at {
            return Err(damaged("its length"));
        }
        self.input.seek(SeekFrom::Start(HEADER as u64)).map_err(missing)?;
        Ok(entries)
    }

    /// The next operation. It borrows the reader's block.
    pub fn read(&mut self) -> Result<Option<OpRef<'_>>> {
        if self.at >= self.block.len() && !self.next_block()? {
            return Ok(None);
        }
        let rest = self.block.get(self.at..).unwrap_or_default();
        let (op, after) = parse_op(rest).ok_or_else(|| damaged("an entry"))?;
        self.at += rest.len() - after.len();
        self.entries += 1;
        Ok(Some(op))
    }

    pub fn read_owned(&mut self) -> Result<Option<Op>> {
        Ok(self.read()?.map(OpRef::into_owned))
    }

    fn next_block(&mut self) -> Result<bool> {
        if self.done {
            return Ok(false);
        }
        let cut = |e: io::Error| damaged("it ends too early").caused_by(e);
        let mut head = [0; 8];
        self.input.read_exact(&mut head).map_err(cut)?;
        let [l0, l1, l2, l3, c0, c1, c2, c3] = head;
        let (len, crc) = (u32::from_le_bytes([l0, l1, l2, l3]), u32::from_le_bytes([c0, c1, c2, c3]));
        if len == FOOTER_MARK {
            let mut foot = [0; FOOTER];
            foot[..8].copy_from_slice(&head);
            self.input.read_exact(&mut foot[8..]).map_err(cut)?;
            let sound = parse_footer(&foot).is_some_and(|(entries, _, chain)| entries == self.entries && chain == self.chain);
            self.done = true;
            return if sound { Ok(false) } else { Err(damaged("entries are missing")) };
        }
        if len > MAX_BLOCK || len == 0 {
            return Err(damaged("the length of a block"));
        }
        self.block.resize(len as usize, 0);
        self.input.read_exact(&mut self.block).map_err(cut)?;
        if crc32c(&self.block) != crc {
            return Err(damaged("the checksum of a block"));
        }
        self.chain = next_chain(self.chain, crc);
        self.at = 0;
        Ok(true)
    }
}

/// Entries, bytes before the footer, chain.
fn parse_footer(foot: &[u8; FOOTER]) -> Option<(u64, u64, u32)> {
    let word = |at: usize| u32::from_le_bytes([foot[at], foot[at + 1], foot[at + 2], foot[at + 3]]);
    let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
    (word(0) == FOOTER_MARK && word(4) == crc32c(&foot[8..])).then(|| (long(8), long(16), word(24)))
}
