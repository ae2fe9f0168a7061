//! PNG (W3C, third edition): every chunk by its length and its checksum, from IHDR to IEND.

use crc_fast::{CrcAlgorithm, checksum};

use crate::base::inspection::Fact;
use crate::media::bytes::{Cursor, Looked, four};
use crate::media::found::Found;

pub fn look(bytes: &[u8], found: &mut Found) -> Looked<()> {
    let mut at = Cursor::new(bytes, "a PNG chunk");
    at.skip(8)?;
    let (mut has_data, mut first) = (false, true);
    loop {
        if at.is_empty() {
            return Err("it is cut short: there is no IEND chunk".to_owned());
        }
        let length = at.u32_be()?;
        let whole = at.rest();
        let name = at.take(4)?;
        let data = at.take(length as usize)?;
        let covered = whole.get(..4 + data.len()).unwrap_or_default();
        let told = at.u32_be()?;
        if checksum(CrcAlgorithm::Crc32IsoHdlc, covered) != u64::from(told) {
            let text = format!("the checksum of its {} chunk is wrong", four(name));
            // Upper case: nothing can be shown without it.
            if name[0].is_ascii_uppercase() { found.fault(text) } else { found.flag(text) }
        }
        if first && name != b"IHDR" {
            return Err(format!("it begins with a {} chunk in the place of IHDR", four(name)));
        }
        first = false;
        match name {
            b"IHDR" => header(data, found)?,
            b"acTL" => found.fact(Fact::Frames, Cursor::new(data, "acTL").u32_be()?),
            b"IDAT" => has_data = true,
            b"IEND" => break,
            _ => {}
        }
    }
    if !has_data {
        found.fault("it has no picture: there is no IDAT chunk");
    }
    if !at.is_empty() {
        found.flag(format!("{} bytes stand behind its end", at.left()));
    }
    Ok(())
}

fn header(data: &[u8], found: &mut Found) -> Looked<()> {
    let mut at = Cursor::new(data, "IHDR");
    let (width, height) = (at.u32_be()?, at.u32_be()?);
    let (depth, color) = (at.u8()?, at.u8()?);
    found.size(width, height);
    found.fact(Fact::BitsPerSample, depth);
    let channels: u8 = match color {
        0 | 3 => 1,
        2 => 3,
        4 => 2,
        6 => 4,
        other => return Err(format!("its IHDR has the color type {other}, which there is not")),
    };
    found.fact(Fact::Channels, channels);
    if !matches!(depth, 1 | 2 | 4 | 8 | 16) {
        return Err(format!("its IHDR has {depth} bits to a sample"));
    }
    if width > i32::MAX as u32 || height > i32::MAX as u32 {
        return Err("its IHDR has a side that PNG does not allow".to_owned());
    }
    Ok(())
}
