//! KTX 2.0: header, index, and that each level lies inside the file.

use crate::base::inspection::Fact;
use crate::media::bytes::{Cursor, Looked};
use crate::media::found::Found;

/// What a level may be after it was unpacked: more is a bomb.
const MAX_UNPACKED: u64 = 1 << 30;

pub fn look(bytes: &[u8], found: &mut Found) -> Looked<()> {
    let mut at = Cursor::new(bytes, "its header");
    at.skip(12)?;
    let (format, _type_size) = (at.u32_le()?, at.u32_le()?);
    let (width, height, depth, layers, faces, levels) =
        (at.u32_le()?, at.u32_le()?, at.u32_le()?, at.u32_le()?, at.u32_le()?, at.u32_le()?);
    let packing = at.u32_le()?;
    found.size(width, height.max(1));
    found.fact(Fact::Faces, faces);
    found.fact(Fact::Levels, levels.max(1));
    if depth > 0 {
        found.fact(Fact::Depth, depth);
    }
    if layers > 0 {
        found.fact(Fact::Layers, layers);
    }
    match packing {
        0 if format == 0 => found.name("UASTC"),
        0 => {}
        1 => found.name("BasisLZ"),
        2 => found.name("Zstandard"),
        3 => found.name("ZLIB"),
        other => found.flag(format!("its levels are packed by scheme {other}, which is not known here")),
    }
    if !matches!(faces, 1 | 6) {
        return Err(format!("it has {faces} faces: a texture has one, a cube six"));
    }
    let most = 32 - width.max(height).max(depth).leading_zeros();
    if levels > most.max(1) {
        return Err(format!("it has {levels} levels, and sides of its length have {most} at most"));
    }
    let whole = bytes.len() as u64;
    for what in ["description of its format", "key-value data"] {
        let (offset, length) = (u64::from(at.u32_le()?), u64::from(at.u32_le()?));
        inside(what, offset, length, whole)?;
    }
    let (offset, length) = (at.u64_le()?, at.u64_le()?);
    inside("global data of its levels", offset, length, whole)?;
    let mut unpacked = 0u64;
    for level in 0..levels.max(1) {
        let (offset, length, real) = (at.u64_le()?, at.u64_le()?, at.u64_le()?);
        inside(&format!("level {level}"), offset, length, whole)?;
        if length == 0 {
            found.fault(format!("level {level} is empty"));
        }
        unpacked = unpacked.saturating_add(real);
    }
    if unpacked > MAX_UNPACKED {
        found.fault(format!("its levels say that they are {unpacked} bytes unpacked: more than {MAX_UNPACKED}"));
    }
    Ok(())
}

fn inside(what: &str, offset: u64, length: u64, whole: u64) -> Looked<()> {
    match offset.checked_add(length) {
        Some(end) if end <= whole || length == 0 => Ok(()),
        _ => Err(format!("the {what} is said to be {length} bytes at {offset}, and the file has {whole}")),
    }
}
