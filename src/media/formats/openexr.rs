//! OpenEXR: the header of each part, and whether there is room for its table of offsets.

use crate::base::inspection::Fact;
use crate::media::bytes::{Cursor, Looked};
use crate::media::found::Found;

const MAX_NAME: usize = 255;
const MAX_PARTS: usize = 256;
const MAX_ATTRIBUTES: usize = 1024;
const MULTIPART: u32 = 0x1000;

#[derive(Default)]
struct Part {
    window: Option<[i32; 4]>,
    channels: u64,
    has_compression: bool,
}

pub fn look(bytes: &[u8], found: &mut Found) -> Looked<()> {
    let mut at = Cursor::new(bytes, "its header");
    at.skip(4)?;
    let version = at.u32_le()?;
    if version & 0xff != 2 {
        return Err(format!("its version is {}, and 2 is the only one", version & 0xff));
    }
    let (mut parts, mut channels) = (0u32, 0);
    while let Some(part) = header(&mut at)? {
        parts += 1;
        if parts as usize > MAX_PARTS {
            return Err(format!("it has more than {MAX_PARTS} parts"));
        }
        let [left, top, right, bottom] = part.window.ok_or("its header has no dataWindow")?;
        let side = |from: i32, to: i32| u32::try_from(i64::from(to) - i64::from(from) + 1).ok().filter(|n| *n > 0);
        let sides = side(left, right).zip(side(top, bottom));
        let (width, height) = sides.ok_or_else(|| format!("its dataWindow is ({left}, {top}) to ({right}, {bottom})"))?;
        if parts == 1 {
            found.size(width, height);
        }
        channels += part.channels;
        if part.channels == 0 || !part.has_compression {
            return Err("its header has no channels, or no compression".to_owned());
        }
        if version & MULTIPART == 0 {
            break;
        }
    }
    if parts == 0 {
        return Err("it has no part".to_owned());
    }
    found.fact(Fact::Channels, channels);
    if parts > 1 {
        found.fact(Fact::Layers, parts);
    }
    // An offset at least, and something that it leads to.
    if at.left() < 16 { Err("it is cut short behind its header".to_owned()) } else { Ok(()) }
}

/// None: the last one was before this.
fn header(at: &mut Cursor<'_>) -> Looked<Option<Part>> {
    let mut part = Part::default();
    for n in 0..MAX_ATTRIBUTES {
        let name = at.text_to_zero(MAX_NAME)?;
        if name.is_empty() {
            return Ok((n > 0).then_some(part));
        }
        at.text_to_zero(MAX_NAME)?;
        let size = u32::try_from(at.i32_le()?).map_err(|_| "an attribute of its header has a length under zero")?;
        let value = at.take(size as usize)?;
        match name {
            b"dataWindow" => {
                let mut at = Cursor::new(value, "its dataWindow");
                part.window = Some([at.i32_le()?, at.i32_le()?, at.i32_le()?, at.i32_le()?]);
            }
            b"channels" => {
                let mut at = Cursor::new(value, "its list of channels");
                while !at.text_to_zero(MAX_NAME)?.is_empty() {
                    at.skip(16)?;
                    part.channels += 1;
                }
            }
            b"compression" => part.has_compression = true,
            _ => {}
        }
    }
    Err("its header has no end".to_owned())
}
