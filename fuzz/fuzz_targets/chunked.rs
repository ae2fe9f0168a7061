//! aws-chunked bodies: however a body is split, the result is the same, no more comes out than was announced, nothing panics.
#![no_main]
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tidegate::ingest::chunked::Decoder;

fn decode(body: &[u8], trailer: bool, length: u64, piece: usize) -> Option<(Vec<u8>, Vec<(String, String)>)> {
    let mut decoder = Decoder::new(None, trailer, length);
    let mut payload = Vec::new();
    for part in body.chunks(piece.max(1)) {
        let mut input = Bytes::copy_from_slice(part);
        while let Some(slice) = decoder.push(&mut input).ok()? {
            payload.extend_from_slice(&slice);
        }
    }
    let trailers = decoder.finish().ok()?;
    assert_eq!(payload.len() as u64, length);
    Some((payload, trailers))
}

fuzz_target!(|input: (&[u8], bool, u16, u8)| {
    let (body, trailer, length, piece) = input;
    let whole = decode(body, trailer, length.into(), body.len());
    assert_eq!(whole, decode(body, trailer, length.into(), piece.into()));
});
