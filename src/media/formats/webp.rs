//! WebP: RIFF chunks, and the header of the bitstream where there is no VP8X chunk.

use crate::base::inspection::Fact;
use crate::media::bytes::{Cursor, Looked};
use crate::media::found::Found;

pub fn look(bytes: &[u8], found: &mut Found) -> Looked<()> {
    let mut at = Cursor::new(bytes, "a WebP chunk");
    at.skip(4)?;
    let told = u64::from(at.u32_le()?);
    at.skip(4)?;
    if told + 8 > bytes.len() as u64 {
        return Err(format!("it is cut short: it says {} bytes and has {}", told + 8, bytes.len()));
    }
    if told + 8 < bytes.len() as u64 {
        found.flag(format!("{} bytes stand behind its end", bytes.len() as u64 - told - 8));
    }
    let inside = bytes.get(12..(told as usize + 8)).ok_or("its length is under that of a header")?;
    let mut at = Cursor::new(inside, "a WebP chunk");
    let (mut has_picture, mut frames, mut duration, mut extended) = (false, 0u64, 0u64, false);
    while !at.is_empty() {
        let name = at.take(4)?;
        let size = at.u32_le()?;
        let data = at.take(size as usize)?;
        if size % 2 == 1 && !at.is_empty() {
            at.skip(1)?;
        }
        match name {
            b"VP8X" => {
                extended = true;
                let mut at = Cursor::new(data, "VP8X");
                at.skip(4)?;
                let (width, height) = (u24(&mut at)? + 1, u24(&mut at)? + 1);
                found.size(width, height);
            }
            b"ANMF" => {
                let mut at = Cursor::new(data, "ANMF");
                at.skip(12)?;
                frames += 1;
                duration += u64::from(u24(&mut at)?);
                has_picture = true;
            }
            b"VP8 " | b"VP8L" => {
                let (width, height) = if name == b"VP8 " { lossy(data)? } else { lossless(data)? };
                if !extended {
                    found.size(width, height);
                }
                has_picture = true;
            }
            _ => {}
        }
    }
    if frames > 0 {
        found.fact(Fact::Frames, frames);
        found.fact(Fact::DurationMs, duration);
    }
    if has_picture { Ok(()) } else { Err("it has no picture".to_owned()) }
}

fn u24(at: &mut Cursor<'_>) -> Looked<u32> {
    let [a, b, c] = at.array()?;
    Ok(u32::from_le_bytes([a, b, c, 0]))
}

fn lossy(data: &[u8]) -> Looked<(u32, u32)> {
    let mut at = Cursor::new(data, "its VP8 frame");
    let tag = u24(&mut at)?;
    if tag & 1 != 0 || at.take(3)? != b"\x9d\x01\x2a" {
        return Err("its VP8 data does not begin with a whole frame".to_owned());
    }
    Ok((u32::from(at.u16_le()? & 0x3fff), u32::from(at.u16_le()? & 0x3fff)))
}

fn lossless(data: &[u8]) -> Looked<(u32, u32)> {
    let mut at = Cursor::new(data, "its VP8L frame");
    if at.u8()? != 0x2f {
        return Err("its VP8L data has not its sign".to_owned());
    }
    let bits = at.u32_le()?;
    Ok(((bits & 0x3fff) + 1, ((bits >> 14) & 0x3fff) + 1))
}
