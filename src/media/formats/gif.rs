//! GIF (87a, 89a): its blocks from the screen to the trailer, with the frames and how long they show.

use crate::base::inspection::Fact;
use crate::media::bytes::{Cursor, Looked};
use crate::media::found::Found;

pub fn look(bytes: &[u8], found: &mut Found) -> Looked<()> {
    let mut at = Cursor::new(bytes, "a GIF block");
    at.skip(6)?;
    let (width, height) = (at.u16_le()?, at.u16_le()?);
    found.size(u32::from(width), u32::from(height));
    let flags = at.u8()?;
    at.skip(2)?;
    pass_colors(&mut at, flags)?;
    let (mut frames, mut hundredths) = (0u64, 0u64);
    loop {
        if at.is_empty() {
            return Err("it is cut short: there is no trailer".to_owned());
        }
        match at.u8()? {
            0x3b => break,
            0x21 if at.u8()? == 0xf9 => {
                let size = at.u8()?;
                let control = at.take(usize::from(size))?;
                hundredths += control.get(1..3).map_or(0, |d| u64::from(u16::from_le_bytes([d[0], d[1]])));
                pass_blocks(&mut at)?;
            }
            // Its label is taken.
            0x21 => pass_blocks(&mut at)?,
            0x2c => {
                frames += 1;
                at.skip(8)?;
                let flags = at.u8()?;
                pass_colors(&mut at, flags)?;
                at.skip(1)?;
                pass_blocks(&mut at)?;
            }
            other => return Err(format!("at byte {} there is a block of the kind {other:#x}, which there is not", at.at() - 1)),
        }
    }
    found.fact(Fact::Frames, frames);
    if frames > 1 {
        found.fact(Fact::DurationMs, hundredths * 10);
    }
    if frames == 0 {
        found.fault("it has no picture");
    }
    Ok(())
}

fn pass_colors(at: &mut Cursor<'_>, flags: u8) -> Looked<()> {
    if flags & 0x80 == 0 { Ok(()) } else { at.skip(3 << ((flags & 7) + 1)) }
}

fn pass_blocks(at: &mut Cursor<'_>) -> Looked<()> {
    loop {
        match at.u8()? {
            0 => return Ok(()),
            size => at.skip(u64::from(size))?,
        }
    }
}
