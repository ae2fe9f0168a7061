//! The journal's bytes as a broken disk may hand them back: any are taken apart or refused, what was written is read back
//! as it was, and a changed byte is never taken for sound.
#![no_main]
use libfuzzer_sys::fuzz_target;
use tidegate::base::object::Bucket;
use tidegate::journal::format::{BatchHeader, SegmentHeader, crc32c, parse_batch, proves_durable};
use tidegate::journal::op::{OpRef, parse_ops};
use tidegate::local::rows::{ObjectRow, VersionRow};
use tidegate::local::stored::{decode, decode_head, encode};

const LOG: [u8; 16] = [7; 16];
const OFFSET: u64 = 4096;

fuzz_target!(|input: (&[u8], &[u8], u16, u8)| {
    let (a, b, at, flip) = input;
    // As found.
    let _ = SegmentHeader::parse(a);
    let _ = parse_batch(a, &LOG, 1, OFFSET);
    let _ = proves_durable(a, &LOG, 1, OFFSET, 0);
    let _ = decode_head(a);
    if let Ok(row) = decode::<ObjectRow>(a) {
        assert_eq!(decode::<ObjectRow>(&encode(&row).unwrap()).unwrap(), row);
    }
    if let Ok(row) = decode::<VersionRow>(a) {
        assert_eq!(decode::<VersionRow>(&encode(&row).unwrap()).unwrap(), row);
    }
    if let Ok(bucket) = decode::<Bucket>(a) {
        assert_eq!(decode::<Bucket>(&encode(&bucket).unwrap()).unwrap(), bucket);
    }
    if let Some(ops) = parse_ops(a) {
        let mut again = Vec::new();
        assert!(ops.iter().all(|op| op.encode(&mut again)));
        assert_eq!(again, a);
    }
    // As written, and then with one byte changed.
    let mut ops = Vec::new();
    if !(OpRef { table: flip, key: a, value: Some(b) }).encode(&mut ops) || !(OpRef { table: 1, key: b, value: None }).encode(&mut ops) {
        return;
    }
    let mut header = BatchHeader {
        sequence: u64::from(at),
        offset: OFFSET,
        durable: OFFSET,
        content_len: b.len() as u32,
        ops_len: ops.len() as u32,
        content_crc: crc32c(b),
        ops_crc: crc32c(&ops),
        crc: 0,
    };
    let mut bytes = header.encode(&LOG, 1).to_vec();
    bytes.extend_from_slice(b);
    bytes.extend_from_slice(&ops);
    let (found, content, found_ops) = parse_batch(&bytes, &LOG, 1, OFFSET).expect("what was written");
    assert_eq!((found, content, found_ops), (header, b, &ops[..]));
    let place = usize::from(at) % bytes.len();
    bytes[place] ^= flip;
    assert!(flip == 0 || parse_batch(&bytes, &LOG, 1, OFFSET).is_none(), "a changed byte at {place} was not seen");
});
