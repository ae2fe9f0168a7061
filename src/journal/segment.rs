//! Segment files: their names, walking their batches, finding where the last one's log ends.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::base::error::{Error, ErrorKind, Result};
use crate::journal::format::{
    BATCH_HEADER, BatchHeader, FORMAT, HeaderFault, LogId, SEGMENT_HEADER, SegmentHeader, chained, proves_durable,
};

/// A segment that is never written again, and how far it is part of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealed {
    pub number: u64,
    pub valid_len: u64,
}

/// What a scan of the last segment found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    pub valid_len: u64,
    pub chain: u32,
    /// The sequence number that follows the last batch.
    pub next_sequence: u64,
    /// Bytes behind `valid_len`: a batch that was never acknowledged.
    pub cut: u64,
}

/// Whether the bodies are read and proven too, or only skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    Skip,
    Prove,
}

pub fn file_name(number: u64) -> String {
    format!("{number:016x}.seg")
}

/// Where the batches of every segment begin.
pub const fn first_batch() -> u64 {
    SEGMENT_HEADER as u64
}

pub fn parse_name(name: &str, extension: &str) -> Option<u64> {
    let hex = name.strip_suffix(extension)?;
    if hex.len() != 16 {
        return None;
    }
    u64::from_str_radix(hex, 16).ok()
}

pub fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(file_name(number))
}

/// The error for damage that recovery must not paper over. Shown to the operator at start and by fsck.
pub fn damage(number: u64, offset: u64, what: &str) -> Error {
    Error::new(
        ErrorKind::InternalError,
        format!(
            "journal segment {} is damaged at offset {offset}: {what}. Acknowledged writes may be affected: \
             run `tidegate fsck`, or restore the data folder from a snapshot",
            file_name(number)
        ),
    )
}

pub fn newer_format(what: &str, found: u32) -> Error {
    Error::new(
        ErrorKind::InternalError,
        format!("the {what} has format {found}, this program reads up to {FORMAT}: start a newer tidegate on this data folder"),
    )
}

/// None: the file has no header of ours.
pub fn read_header(file: &mut File) -> Result<Option<SegmentHeader>> {
    let mut bytes = [0; SEGMENT_HEADER];
    file.seek(SeekFrom::Start(0)).map_err(Error::internal)?;
    match file.read_exact(&mut bytes) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(e) => return Err(Error::internal(e)),
    }
    match SegmentHeader::parse(&bytes) {
        Ok(h) => Ok(Some(h)),
        Err(HeaderFault::Invalid) => Ok(None),
        Err(HeaderFault::Newer(n)) => Err(newer_format("journal", n)),
    }
}

/// Calls `each` with every batch of `from..sealed.valid_len`, in order, and returns the chain over them.
/// Any fault in there is damage: all of it was durable.
pub fn walk(
    dir: &Path,
    log: &LogId,
    sealed: Sealed,
    from: u64,
    contents: Contents,
    each: &mut dyn FnMut(&BatchHeader, &[u8]) -> Result<()>,
) -> Result<u32> {
    let number = sealed.number;
    let open = || -> io::Result<io::BufReader<File>> {
        let mut file = File::open(path(dir, number))?;
        file.seek(SeekFrom::Start(from))?;
        Ok(io::BufReader::with_capacity(256 * 1024, file))
    };
    let mut reader = open().map_err(|e| damage(number, from, "it can't be opened").caused_by(e))?;
    let (mut chain, mut at, mut section) = (0, from, Vec::new());
    while at < sealed.valid_len {
        let short = |e: io::Error| damage(number, at, "it ends too early or can't be read").caused_by(e);
        let mut head = [0; BATCH_HEADER];
        reader.read_exact(&mut head).map_err(short)?;
        let Some(batch) = BatchHeader::parse(&head, log, number, at).filter(|b| at + b.total_len() <= sealed.valid_len) else {
            return Err(damage(number, at, "no valid batch starts here"));
        };
        match contents {
            Contents::Skip => reader.seek_relative(i64::from(batch.content_len)).map_err(short)?,
            Contents::Prove => {
                section.resize(batch.content_len as usize, 0);
                reader.read_exact(&mut section).map_err(short)?;
                if !batch.content_holds(&section) {
                    return Err(damage(number, at, "the checksum of the bodies does not hold"));
                }
            }
        }
        section.resize(batch.ops_len as usize, 0);
        reader.read_exact(&mut section).map_err(short)?;
        if !batch.ops_hold(&section) {
            return Err(damage(number, at, "the checksum of the operations does not hold"));
        }
        let used = BATCH_HEADER as u64 + u64::from(batch.content_len) + u64::from(batch.ops_len);
        reader.seek_relative((batch.total_len() - used) as i64).map_err(short)?;
        each(&batch, &section)?;
        chain = chained(chain, &batch);
        at += batch.total_len();
    }
    Ok(chain)
}

/// Finds where the log ends in its last segment, proving every byte before. An invalid batch is the unacknowledged
/// tail, unless a later one says that it was durable: then it is damage.
pub fn scan_tail(dir: &Path, header: &SegmentHeader) -> Result<Tail> {
    let number = header.number;
    let mut file = File::open(path(dir, number)).map_err(Error::internal)?;
    let len = file.metadata().map_err(Error::internal)?.len();
    let mut tail = Tail { valid_len: SEGMENT_HEADER as u64, chain: 0, next_sequence: header.first_sequence, cut: 0 };
    file.seek(SeekFrom::Start(tail.valid_len)).map_err(Error::internal)?;
    let mut reader = io::BufReader::with_capacity(256 * 1024, file);
    let mut bytes = Vec::new();
    while let Some(batch) = next_whole_batch(&mut reader, &header.log, number, tail.valid_len, len, &mut bytes)? {
        if batch.sequence != tail.next_sequence {
            return Err(damage(number, tail.valid_len, "a batch is missing before it"));
        }
        tail.valid_len += batch.total_len();
        tail.chain = chained(tail.chain, &batch);
        tail.next_sequence += 1;
    }
    tail.cut = len.saturating_sub(tail.valid_len);
    if tail.cut > 0 && later_batch_proves(&mut reader, &header.log, number, tail.valid_len, len)? {
        return Err(damage(number, tail.valid_len, "this batch was durable, a later one says so"));
    }
    Ok(tail)
}

/// None: what starts at `at` is not a whole, proven batch.
fn next_whole_batch(
    reader: &mut io::BufReader<File>,
    log: &LogId,
    number: u64,
    at: u64,
    file_len: u64,
    bytes: &mut Vec<u8>,
) -> Result<Option<BatchHeader>> {
    let mut head = [0; BATCH_HEADER];
    if at + BATCH_HEADER as u64 > file_len {
        return Ok(None);
    }
    reader.read_exact(&mut head).map_err(Error::internal)?;
    let Some(batch) = BatchHeader::parse(&head, log, number, at) else { return Ok(None) };
    // The padding was written with the batch: a file that ends before it was torn.
    if at + batch.total_len() > file_len {
        return Ok(None);
    }
    bytes.resize((batch.total_len() - BATCH_HEADER as u64) as usize, 0);
    reader.read_exact(bytes).map_err(Error::internal)?;
    let (content, rest) = bytes.split_at_checked(batch.content_len as usize).unwrap_or_default();
    let ops = rest.get(..batch.ops_len as usize).unwrap_or_default();
    Ok((batch.content_holds(content) && batch.ops_hold(ops)).then_some(batch))
}

/// Looks behind an invalid batch, in windows that overlap by a header.
fn later_batch_proves(reader: &mut io::BufReader<File>, log: &LogId, number: u64, invalid_at: u64, file_len: u64) -> Result<bool> {
    const WINDOW: u64 = 4 * 1024 * 1024;
    let mut at = invalid_at;
    let mut window = Vec::new();
    while at < file_len {
        window.resize((file_len - at).min(WINDOW + BATCH_HEADER as u64) as usize, 0);
        reader.seek(SeekFrom::Start(at)).map_err(Error::internal)?;
        reader.read_exact(&mut window).map_err(Error::internal)?;
        if proves_durable(&window, log, number, at, invalid_at) {
            return Ok(true);
        }
        at += WINDOW;
    }
    Ok(false)
}
