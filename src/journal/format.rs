//! The bytes of a segment: its header, and batches. Pure: every function takes any bytes (fuzzed) and knows no file.
//!
//! Segment: an 80 byte header, then batches, each on an 8 byte boundary.
//! Batch: a 48 byte header, the bodies, the operations, zeros up to the boundary.
//! Every checksum is seeded with the log's random identity: bytes of another log, or a batch that a client hid inside a
//! body, are not taken for ours.

use crc_fast::{CrcAlgorithm, Digest};

/// What this program writes, and the newest it reads.
pub const FORMAT: u32 = 1;
pub const SEGMENT_HEADER: usize = 80;
pub const BATCH_HEADER: usize = 48;
pub const ALIGN: u64 = 8;
/// The most bytes of bodies, or of operations, in one batch. The writer stops collecting far below; this bounds what
/// a damaged length can make a reader allocate.
pub const MAX_SECTION: u32 = 64 * 1024 * 1024;

const SEGMENT_MAGIC: [u8; 8] = *b"TGATESEG";
const BATCH_MAGIC: u32 = u32::from_le_bytes(*b"TGB1");

/// Random, made with the log: tells its bytes from those of any other.
pub type LogId = [u8; 16];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    pub log: LogId,
    pub number: u64,
    pub first_sequence: u64,
    /// None for the first segment of a log.
    pub previous: Option<Previous>,
}

/// How far the segment before is valid, and the checksum over the headers of its batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Previous {
    pub number: u64,
    pub valid_len: u64,
    pub chain: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    pub sequence: u64,
    /// Where this batch lies in its segment.
    pub offset: u64,
    /// Everything below this offset was durable before this batch was written.
    pub durable: u64,
    pub content_len: u32,
    pub ops_len: u32,
    pub content_crc: u32,
    pub ops_crc: u32,
    /// Of this header; links it into the chain of its segment.
    pub crc: u32,
}

#[derive(Debug, PartialEq, Eq)]
pub enum HeaderFault {
    /// Not a header of ours, or not whole.
    Invalid,
    /// Written by a newer program.
    Newer(u32),
}

pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

fn seeded_crc(log: &LogId, segment: u64, bytes: &[u8]) -> u32 {
    let mut d = Digest::new(CrcAlgorithm::Crc32Iscsi);
    d.update(log);
    d.update(&segment.to_le_bytes());
    d.update(bytes);
    d.finalize() as u32
}

/// The chain after a batch: it changes if any batch is changed, lost or out of order.
pub fn chained(chain: u32, batch: &BatchHeader) -> u32 {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&chain.to_le_bytes());
    bytes[4..].copy_from_slice(&batch.crc.to_le_bytes());
    crc32c(&bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)
}

impl SegmentHeader {
    pub fn encode(&self) -> [u8; SEGMENT_HEADER] {
        let mut out = [0; SEGMENT_HEADER];
        let previous = self.previous.unwrap_or(Previous { number: 0, valid_len: 0, chain: 0 });
        out[..8].copy_from_slice(&SEGMENT_MAGIC);
        out[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        // 12..16: the checksum, below
        out[16..32].copy_from_slice(&self.log);
        out[32..40].copy_from_slice(&self.number.to_le_bytes());
        out[40..48].copy_from_slice(&self.first_sequence.to_le_bytes());
        out[48..56].copy_from_slice(&previous.number.to_le_bytes());
        out[56..64].copy_from_slice(&previous.valid_len.to_le_bytes());
        out[64..68].copy_from_slice(&previous.chain.to_le_bytes());
        let crc = crc32c(&out[16..]);
        out[12..16].copy_from_slice(&crc.to_le_bytes());
        out
    }

    pub fn parse(bytes: &[u8]) -> Result<Self, HeaderFault> {
        Self::fields(bytes).unwrap_or(Err(HeaderFault::Invalid))
    }

    fn fields(bytes: &[u8]) -> Option<Result<Self, HeaderFault>> {
        let bytes = bytes.get(..SEGMENT_HEADER)?;
        if bytes.get(..8)? != SEGMENT_MAGIC {
            return None;
        }
        let format = u32_at(bytes, 8)?;
        if format > FORMAT {
            return Some(Err(HeaderFault::Newer(format)));
        }
        if format == 0 || u32_at(bytes, 12)? != crc32c(bytes.get(16..)?) {
            return None;
        }
        let previous = Previous { number: u64_at(bytes, 48)?, valid_len: u64_at(bytes, 56)?, chain: u32_at(bytes, 64)? };
        Some(Ok(SegmentHeader {
            log: bytes.get(16..32)?.try_into().ok()?,
            number: u64_at(bytes, 32)?,
            first_sequence: u64_at(bytes, 40)?,
            previous: (previous.number > 0).then_some(previous),
        }))
    }
}

impl BatchHeader {
    /// From the start of this batch to the start of the next.
    pub fn total_len(&self) -> u64 {
        (BATCH_HEADER as u64 + u64::from(self.content_len) + u64::from(self.ops_len)).next_multiple_of(ALIGN)
    }

    /// Fills in `crc` and returns the bytes.
    pub fn encode(&mut self, log: &LogId, segment: u64) -> [u8; BATCH_HEADER] {
        let mut out = [0; BATCH_HEADER];
        out[..4].copy_from_slice(&BATCH_MAGIC.to_le_bytes());
        out[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        out[16..24].copy_from_slice(&self.offset.to_le_bytes());
        out[24..32].copy_from_slice(&self.durable.to_le_bytes());
        out[32..36].copy_from_slice(&self.content_len.to_le_bytes());
        out[36..40].copy_from_slice(&self.ops_len.to_le_bytes());
        out[40..44].copy_from_slice(&self.content_crc.to_le_bytes());
        out[44..48].copy_from_slice(&self.ops_crc.to_le_bytes());
        self.crc = seeded_crc(log, segment, &out[8..]);
        out[4..8].copy_from_slice(&self.crc.to_le_bytes());
        out
    }

    /// The header at `offset` of the segment; `bytes` start there. None: there is none.
    pub fn parse(bytes: &[u8], log: &LogId, segment: u64, offset: u64) -> Option<Self> {
        let bytes = bytes.get(..BATCH_HEADER)?;
        if u32_at(bytes, 0)? != BATCH_MAGIC {
            return None;
        }
        let header = BatchHeader {
            crc: u32_at(bytes, 4)?,
            sequence: u64_at(bytes, 8)?,
            offset: u64_at(bytes, 16)?,
            durable: u64_at(bytes, 24)?,
            content_len: u32_at(bytes, 32)?,
            ops_len: u32_at(bytes, 36)?,
            content_crc: u32_at(bytes, 40)?,
            ops_crc: u32_at(bytes, 44)?,
        };
        let sound = header.offset == offset
            && header.durable <= offset
            && header.content_len <= MAX_SECTION
            && header.ops_len <= MAX_SECTION
            && header.crc == seeded_crc(log, segment, bytes.get(8..)?);
        sound.then_some(header)
    }

    pub fn content_holds(&self, content: &[u8]) -> bool {
        content.len() as u64 == u64::from(self.content_len) && crc32c(content) == self.content_crc
    }

    pub fn ops_hold(&self, ops: &[u8]) -> bool {
        ops.len() as u64 == u64::from(self.ops_len) && crc32c(ops) == self.ops_crc
    }
}

/// A whole batch at `offset`: its header, bodies and operations, all proven. None: not a batch, or damaged.
pub fn parse_batch<'a>(bytes: &'a [u8], log: &LogId, segment: u64, offset: u64) -> Option<(BatchHeader, &'a [u8], &'a [u8])> {
    let header = BatchHeader::parse(bytes, log, segment, offset)?;
    let content_end = BATCH_HEADER + header.content_len as usize;
    let content = bytes.get(BATCH_HEADER..content_end)?;
    let ops = bytes.get(content_end..content_end + header.ops_len as usize)?;
    (header.content_holds(content) && header.ops_hold(ops)).then_some((header, content, ops))
}

/// Whether a sound batch lies anywhere in `bytes` (which start at `offset`) that was written after everything below
/// `beyond` was durable: the proof that damage at `beyond` hit acknowledged data.
pub fn proves_durable(bytes: &[u8], log: &LogId, segment: u64, offset: u64, beyond: u64) -> bool {
    let first = offset.next_multiple_of(ALIGN) - offset;
    (first..bytes.len() as u64).step_by(ALIGN as usize).any(|at| {
        let rest = bytes.get(at as usize..).unwrap_or_default();
        BatchHeader::parse(rest, log, segment, offset + at).is_some_and(|h| h.durable > beyond)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LOG: LogId = [7; 16];

    #[test]
    fn headers_round_trip_and_know_their_place() {
        let h = SegmentHeader { log: LOG, number: 3, first_sequence: 9, previous: Some(Previous { number: 2, valid_len: 800, chain: 5 }) };
        let mut bytes = h.encode();
        assert_eq!(SegmentHeader::parse(&bytes), Ok(h));
        bytes[8] = 2;
        assert_eq!(SegmentHeader::parse(&bytes), Err(HeaderFault::Newer(2)));
        let mut b = BatchHeader { sequence: 1, offset: 80, durable: 80, content_len: 0, ops_len: 0, content_crc: 0, ops_crc: 0, crc: 0 };
        let bytes = b.encode(&LOG, 3);
        assert_eq!(BatchHeader::parse(&bytes, &LOG, 3, 80), Some(b));
        assert_eq!(BatchHeader::parse(&bytes, &LOG, 3, 88), None);
        assert_eq!(BatchHeader::parse(&bytes, &LOG, 4, 80), None);
        assert_eq!(BatchHeader::parse(&bytes, &[8; 16], 3, 80), None);
    }

    proptest! {
        #[test]
        fn a_changed_bit_is_seen(bit in 0..(SEGMENT_HEADER * 8)) {
            let h = SegmentHeader { log: LOG, number: 3, first_sequence: 9, previous: None };
            let mut bytes = h.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(SegmentHeader::parse(&bytes).is_err());
        }

        #[test]
        fn any_bytes_are_safe(bytes in any::<Vec<u8>>(), offset in any::<u32>()) {
            let _ = SegmentHeader::parse(&bytes);
            let _ = parse_batch(&bytes, &LOG, 1, u64::from(offset));
            let _ = proves_durable(&bytes, &LOG, 1, u64::from(offset), 0);
        }
    }
}
