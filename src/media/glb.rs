//! The container of a binary glTF: a header, a chunk of JSON, and perhaps one of bytes.

use crate::media::bytes::{Cursor, Looked};

const JSON: u32 = 0x4e4f_534a;
const BIN: u32 = 0x004e_4942;

#[derive(Debug)]
pub struct Glb<'a> {
    pub json: &'a [u8],
    pub bin: Option<&'a [u8]>,
    /// Behind the length that the header says.
    pub behind: usize,
}

impl<'a> Glb<'a> {
    pub fn parse(bytes: &'a [u8]) -> Looked<Self> {
        let mut at = Cursor::new(bytes, "the GLB header");
        at.skip(4)?;
        let (version, told) = (at.u32_le()?, at.u32_le()?);
        if version != 2 {
            return Err(format!("its container has version {version}, and 2 is the one that is read"));
        }
        let inside = bytes.get(..told as usize).ok_or_else(|| format!("it is cut short: it says {told} bytes and has {}", bytes.len()))?;
        let mut at = Cursor::new(inside, "a GLB chunk");
        at.skip(12)?;
        let (length, kind) = (at.u32_le()?, at.u32_le()?);
        if kind != JSON {
            return Err("its first chunk is not JSON".to_owned());
        }
        let json = at.take(length as usize)?;
        let mut bin = None;
        while !at.is_empty() {
            let (length, kind) = (at.u32_le()?, at.u32_le()?);
            let chunk = at.take(length as usize)?;
            if kind == BIN && bin.is_none() {
                bin = Some(chunk);
            }
        }
        Ok(Glb { json, bin, behind: bytes.len() - inside.len() })
    }
}

/// None: larger than the container can say.
pub fn write(json: &str, bin: &[u8]) -> Option<Vec<u8>> {
    let padded = |length: usize| length.div_ceil(4) * 4;
    let bin_bytes = if bin.is_empty() { 0 } else { 8 + padded(bin.len()) };
    let total = 12 + 8 + padded(json.len()) + bin_bytes;
    let size = |n: usize| u32::try_from(n).ok().map(u32::to_le_bytes);
    let mut out = Vec::with_capacity(total);
    out.extend_from_slice(b"glTF\x02\0\0\0");
    out.extend_from_slice(&size(total)?);
    out.extend_from_slice(&size(padded(json.len()))?);
    out.extend_from_slice(&JSON.to_le_bytes());
    out.extend_from_slice(json.as_bytes());
    out.resize(20 + padded(json.len()), b' ');
    if !bin.is_empty() {
        out.extend_from_slice(&size(padded(bin.len()))?);
        out.extend_from_slice(&BIN.to_le_bytes());
        out.extend_from_slice(bin);
        out.resize(total, 0);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for (json, bin) in [("{}", &b""[..]), ("{\"a\":1}", b"12345"), ("{\"ab\":1}", b"1234")] {
            let bytes = write(json, bin).unwrap();
            let read = Glb::parse(&bytes).unwrap();
            assert_eq!(read.json.trim_ascii_end(), json.as_bytes());
            assert!(read.bin.unwrap_or_default().starts_with(bin) && bytes.len().is_multiple_of(4) && read.behind == 0);
            for end in 0..bytes.len() {
                assert!(Glb::parse(&bytes[..end]).is_err(), "{end}");
            }
        }
    }
}
