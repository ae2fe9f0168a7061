//! KTX 2.0 files of Basis Universal textures: ETC1S under BasisLZ, and UASTC under Zstandard, as KHR_texture_basisu has them.
//!
//! One picture with its smaller levels; no arrays, cubes or volumes. All lengths are checked before anything is taken or unpacked.

use crate::media::bytes::{Cursor, Looked};

pub const MAGIC: [u8; 12] = *b"\xabKTX 20\xbb\r\n\x1a\n";
const MAX_SIDE: u32 = 16_384;
const MAX_LEVELS: u32 = 15;
const HEADER: usize = 80;
const INDEX: usize = 24;
const MODEL_ETC1S: u8 = 163;
const MODEL_UASTC: u8 = 166;
const LINEAR: u8 = 1;
const SRGB: u8 = 2;
/// KHR_DF_CHANNEL_UASTC_RGBA, and KHR_DF_CHANNEL_ETC1S_AAA.
const UASTC_RGBA: u8 = 3;
const ETC1S_AAA: u8 = 15;
const BASIS_LZ: u32 = 1;
const ZSTANDARD: u32 = 2;
/// The highest below zstd's "ultra" levels, which take more memory on both sides.
const ZSTD_LEVEL: i32 = 19;
const UASTC_BLOCK: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Level {
    pub width: u32,
    pub height: u32,
    /// UASTC: all four channels.
    pub colour: Vec<u8>,
    /// ETC1S with alpha alone.
    pub alpha: Vec<u8>,
}

impl Level {
    pub fn blocks(&self) -> (u32, u32) {
        (self.width.div_ceil(4), self.height.div_ceil(4))
    }
}

/// What all levels of an ETC1S texture share.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Codebooks {
    pub endpoint_count: u16,
    pub selector_count: u16,
    pub endpoints: Vec<u8>,
    pub selectors: Vec<u8>,
    pub tables: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Texture {
    pub srgb: bool,
    pub alpha: bool,
    /// None: UASTC.
    pub codebooks: Option<Codebooks>,
    /// From the largest on.
    pub levels: Vec<Level>,
}

fn length(bytes: &[u8]) -> Looked<u32> {
    u32::try_from(bytes.len()).map_err(|_| "it is too large for KTX 2.0".to_owned())
}

pub fn write(texture: &Texture) -> Looked<Vec<u8>> {
    let first = texture.levels.first().ok_or("it has no level")?;
    let mut levels = Vec::new();
    for level in &texture.levels {
        levels.push(match texture.codebooks {
            Some(_) => ([&level.colour[..], &level.alpha].concat(), 0),
            None => (zstd::bulk::compress(&level.colour, ZSTD_LEVEL).map_err(|e| e.to_string())?, level.colour.len() as u64),
        });
    }
    let (dfd, said) = (descriptor(texture), key_values());
    let global = texture.codebooks.as_ref().map_or(Ok(Vec::new()), |books| global(texture, books))?;
    let dfd_at = HEADER + INDEX * levels.len();
    let said_at = dfd_at + dfd.len();
    let global_at = (said_at + said.len()).next_multiple_of(8);
    let packing = if texture.codebooks.is_some() { BASIS_LZ } else { ZSTANDARD };
    let mut out = MAGIC.to_vec();
    for word in [0, 1, first.width, first.height, 0, 0, 1, levels.len() as u32, packing] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    for word in [dfd_at as u32, length(&dfd)?, said_at as u32, length(&said)?] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    let global_place = if global.is_empty() { [0, 0] } else { [global_at as u64, global.len() as u64] };
    out.extend(global_place.iter().flat_map(|n| n.to_le_bytes()));
    // The smallest level lies first.
    let mut index = vec![[0u64; 3]; levels.len()];
    let mut at = if global.is_empty() { said_at + said.len() } else { global_at + global.len() };
    for ((bytes, unpacked), place) in levels.iter().zip(&mut index).rev() {
        *place = [at as u64, bytes.len() as u64, *unpacked];
        at += bytes.len();
    }
    out.extend(index.iter().flatten().flat_map(|n| n.to_le_bytes()));
    out.extend_from_slice(&dfd);
    out.extend_from_slice(&said);
    if !global.is_empty() {
        out.resize(global_at, 0);
        out.extend_from_slice(&global);
    }
    levels.iter().rev().for_each(|(bytes, _)| out.extend_from_slice(bytes));
    Ok(out)
}

fn descriptor(texture: &Texture) -> Vec<u8> {
    let etc1s = texture.codebooks.is_some();
    let (model, transfer) = (if etc1s { MODEL_ETC1S } else { MODEL_UASTC }, if texture.srgb { SRGB } else { LINEAR });
    let two = etc1s && texture.alpha;
    let size: u8 = if two { 56 } else { 40 };
    let mut out = vec![size + 4, 0, 0, 0, 0, 0, 0, 0, 2, 0, size, 0];
    // Colours are those of BT.709; of what is no colour nothing is said.
    out.extend_from_slice(&[model, u8::from(texture.srgb), transfer, 0, 3, 3, 0, 0]);
    out.extend_from_slice(&[if etc1s { 8 } else { 16 }, if two { 8 } else { 0 }, 0, 0, 0, 0, 0, 0]);
    let mut sample = |offset: u8, bits: u8, channel: u8| {
        out.extend_from_slice(&[offset, 0, bits - 1, channel, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    };
    match (etc1s, texture.alpha) {
        (true, _) => sample(0, 64, 0),
        (false, alpha) => sample(0, 128, if alpha { UASTC_RGBA } else { 0 }),
    }
    if two {
        sample(64, 64, ETC1S_AAA);
    }
    out
}

fn key_values() -> Vec<u8> {
    let text = concat!("KTXwriter\0Tidegate ", env!("CARGO_PKG_VERSION"), "\0");
    let mut out = (text.len() as u32).to_le_bytes().to_vec();
    out.extend_from_slice(text.as_bytes());
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

fn global(texture: &Texture, books: &Codebooks) -> Looked<Vec<u8>> {
    let mut out = [books.endpoint_count.to_le_bytes(), books.selector_count.to_le_bytes()].concat();
    for part in [&books.endpoints[..], &books.selectors, &books.tables, &[]] {
        out.extend_from_slice(&length(part)?.to_le_bytes());
    }
    for level in &texture.levels {
        let colour = length(&level.colour)?;
        let alpha = length(&level.alpha)?;
        for word in [0, 0, colour, if alpha == 0 { 0 } else { colour }, alpha] {
            out.extend_from_slice(&word.to_le_bytes());
        }
    }
    [&books.endpoints, &books.selectors, &books.tables].iter().for_each(|part| out.extend_from_slice(part));
    Ok(out)
}

/// What the header and the description say.
struct Head {
    width: u32,
    height: u32,
    levels: u32,
    packing: u32,
    etc1s: bool,
    srgb: bool,
    alpha: bool,
    global: (u64, u64),
}

fn part(bytes: &[u8], at: u64, length: u64) -> Looked<&[u8]> {
    let range = usize::try_from(at).ok().zip(usize::try_from(length).ok()).and_then(|(at, length)| Some(at..at.checked_add(length)?));
    range.and_then(|range| bytes.get(range)).ok_or_else(|| "a part of its KTX 2.0 lies outside the file".to_owned())
}

fn head(bytes: &[u8]) -> Looked<Head> {
    let mut at = Cursor::new(bytes, "its KTX 2.0 header");
    if at.take(12)? != MAGIC {
        return Err("it is no KTX 2.0".to_owned());
    }
    let mut words = [0u32; 13];
    for word in &mut words {
        *word = at.u32_le()?;
    }
    let [format, _, width, height, depth, layers, faces, levels, packing, dfd_at, dfd_length, ..] = words;
    let global = (at.u64_le()?, at.u64_le()?);
    if format != 0 || depth != 0 || layers > 1 || faces != 1 {
        return Err("its KTX 2.0 is no flat Basis Universal texture".to_owned());
    }
    if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) || levels > MAX_LEVELS {
        return Err(format!("its KTX 2.0 has {width} x {height} pixels in {levels} levels: more than is drawn"));
    }
    let dfd = part(bytes, dfd_at.into(), dfd_length.into())?;
    let byte = |n: usize| dfd.get(n).copied().ok_or("its KTX 2.0 does not describe its format");
    let (model, transfer, channel) = (byte(12)?, byte(14)?, byte(31)? & 15);
    let (etc1s, alpha) = match (model, packing) {
        (MODEL_ETC1S, BASIS_LZ) => (true, dfd.len() >= 60),
        (MODEL_UASTC, 0 | ZSTANDARD) => (false, channel == UASTC_RGBA),
        _ => return Err(format!("its KTX 2.0 has the colour model {model} under scheme {packing}, which is not known here")),
    };
    Ok(Head { width, height, levels: levels.max(1), packing, etc1s, srgb: transfer == SRGB, alpha, global })
}

/// `most`: levels, from the largest on. Others are not looked at.
pub fn read(bytes: &[u8], most: usize) -> Looked<Texture> {
    let head = head(bytes)?;
    let mut at = Cursor::new(bytes.get(HEADER..).unwrap_or_default(), "the index of its levels");
    let mut texture = Texture { srgb: head.srgb, alpha: head.alpha, codebooks: None, levels: Vec::new() };
    let mut global = Cursor::new(part(bytes, head.global.0, head.global.1)?, "the global data of its levels");
    let (mut lengths, mut counts) = ([0u32; 3], (0, 0));
    if head.etc1s {
        counts = (global.u16_le()?, global.u16_le()?);
        for length in &mut lengths {
            *length = global.u32_le()?;
        }
        global.skip(4)?;
    }
    for n in 0..head.levels {
        let place = part(bytes, at.u64_le()?, at.u64_le()?)?;
        let unpacked = at.u64_le()?;
        let (width, height) = ((head.width >> n).max(1), (head.height >> n).max(1));
        let mut level = Level { width, height, colour: Vec::new(), alpha: Vec::new() };
        if head.etc1s {
            global.skip(4)?;
            let places = [global.u32_le()?, global.u32_le()?, global.u32_le()?, global.u32_le()?];
            let [colour_at, colour, alpha_at, alpha] = places.map(u64::from);
            level.colour = part(place, colour_at, colour)?.to_vec();
            if head.alpha {
                level.alpha = part(place, alpha_at, alpha)?.to_vec();
            }
        } else if (n as usize) < most {
            let blocks = level.blocks();
            let length = blocks.0 as usize * blocks.1 as usize * UASTC_BLOCK;
            if head.packing == ZSTANDARD && unpacked != length as u64 {
                return Err(format!("level {n} of its KTX 2.0 says that it is {unpacked} bytes unpacked, and has to be {length}"));
            }
            level.colour = match head.packing {
                ZSTANDARD => zstd::bulk::decompress(place, length).map_err(|e| format!("level {n} of its KTX 2.0: {e}"))?,
                _ => place.to_vec(),
            };
            if level.colour.len() != length {
                return Err(format!("level {n} of its KTX 2.0 has {} bytes, and has to have {length}", level.colour.len()));
            }
        }
        if (n as usize) < most {
            texture.levels.push(level);
        }
    }
    if head.etc1s {
        let mut take = |length: u32| global.take(length as usize).map(<[u8]>::to_vec);
        let [endpoints, selectors, tables] = lengths;
        texture.codebooks = Some(Codebooks {
            endpoint_count: counts.0,
            selector_count: counts.1,
            endpoints: take(endpoints)?,
            selectors: take(selectors)?,
            tables: take(tables)?,
        });
    }
    Ok(texture)
}
