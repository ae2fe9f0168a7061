//! The encoder and the transcoder of Basis Universal, by way of its own file form, whose parts are those of KTX 2.0 byte for byte.
//!
//! They are C++ behind a C interface that takes no more than pointers. The encoder is given pixels whose number was counted. The
//! transcoder is given a file that is built here out of parts whose lengths were checked. Both work in the calling thread alone and print
//! nothing. They run in a worker, which is all that ends where C++ gives up.

#![allow(unsafe_code, reason = "a C interface: see above")]

use basis_universal::encoding::{ColorSpace, Compressor, CompressorParams};
use basis_universal::transcoding::{TranscodeParameters, Transcoder, TranscoderTextureFormat};
use basis_universal::{BasisTextureFormat, sys};

use crate::media::bytes::{Cursor, Looked};
use crate::media::ktx2::{Codebooks, Level, Texture};

/// As manifests name it.
pub const TOOL: &str = "basis-universal 0.3.1 (Basis Universal 1.16)";
/// Sides and pixels that are encoded.
pub const MAX_SIDE: u32 = 8192;
const MAX_PIXELS: usize = 16 << 20;
/// Of 255; 128 is the encoder's own default.
const ETC1S_QUALITY: u32 = 160;
/// cPackUASTCLevelFaster: a worker has minutes, and a model has many pictures.
const UASTC_LEVEL: i32 = 1;
const HEADER: usize = 77;
const SLICE: usize = 23;
const VERSION: u16 = 0x13;
const ALPHA_SLICE: u8 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    Etc1s,
    Uastc,
}

/// Of `width * height` RGBA pixels, with all smaller levels.
pub fn encode(width: u32, height: u32, rgba: &[u8], form: Form, srgb: bool) -> Looked<Texture> {
    let pixels = width as usize * height as usize;
    if width == 0 || height == 0 || width > MAX_SIDE || height > MAX_SIDE || pixels > MAX_PIXELS || rgba.len() != pixels * 4 {
        return Err(format!("{width} x {height} pixels are not encoded: sides up to {MAX_SIDE}, and {MAX_PIXELS} pixels are"));
    }
    let mut params = CompressorParams::new();
    let space = if srgb { ColorSpace::Srgb } else { ColorSpace::Linear };
    params.set_basis_format(if form == Form::Uastc { BasisTextureFormat::UASTC4x4 } else { BasisTextureFormat::ETC1S });
    params.set_etc1s_quality_level(ETC1S_QUALITY);
    params.set_color_space(space);
    params.set_mip_color_space(space);
    params.set_generate_mipmaps(true);
    params.set_print_status_to_stdout(false);
    params.source_image_mut(0).init(rgba, width, height, 4);
    let mut compressor = Compressor::new(1);
    // SAFETY: `params` holds a live pointer until its end, and the level is one that the encoder has.
    unsafe { sys::compressor_params_set_pack_uastc_flags(params.0, UASTC_LEVEL) };
    // SAFETY: `params` has one picture, whose pixels were counted above; `process` comes after `init`.
    let done = unsafe { compressor.init(&params) && compressor.process().is_ok() };
    if !done {
        return Err("the encoder gave up".to_owned());
    }
    parsed(compressor.basis_file(), srgb)
}

fn part(file: &[u8], at: u32, length: u32) -> Looked<Vec<u8>> {
    let end = at.checked_add(length).ok_or("the encoder's file can't be read")?;
    Ok(file.get(at as usize..end as usize).ok_or("the encoder's file can't be read")?.to_vec())
}

fn three(at: &mut Cursor<'_>) -> Looked<u32> {
    let [a, b, c] = at.array()?;
    Ok(u32::from_le_bytes([a, b, c, 0]))
}

fn parsed(file: &[u8], srgb: bool) -> Looked<Texture> {
    let mut at = Cursor::new(file, "the encoder's file");
    at.skip(14)?;
    let slices = three(&mut at)?;
    at.skip(3)?;
    let (uastc, flags) = (at.u8()? == 1, at.u16_le()?);
    at.skip(16)?;
    let (endpoint_count, endpoints) = (at.u16_le()?, (at.u32_le()?, three(&mut at)?));
    let (selector_count, selectors) = (at.u16_le()?, (at.u32_le()?, three(&mut at)?));
    let (tables, slices_at) = ((at.u32_le()?, at.u32_le()?), at.u32_le()?);
    let mut texture = Texture { srgb, alpha: flags & 4 != 0, codebooks: None, levels: Vec::new() };
    if !uastc {
        let [endpoints, selectors, tables] = [endpoints, selectors, tables].map(|(at, length)| part(file, at, length));
        let (endpoints, selectors, tables) = (endpoints?, selectors?, tables?);
        texture.codebooks = Some(Codebooks { endpoint_count, selector_count, endpoints, selectors, tables });
    }
    let mut at = Cursor::new(file.get(slices_at as usize..).unwrap_or_default(), "the encoder's file");
    for _ in 0..slices {
        at.skip(4)?;
        let (flags, width, height) = (at.u8()?, at.u16_le()?, at.u16_le()?);
        at.skip(4)?;
        let bytes = part(file, at.u32_le()?, at.u32_le()?)?;
        at.skip(2)?;
        match texture.levels.last_mut() {
            Some(level) if !uastc && flags & ALPHA_SLICE != 0 => level.alpha = bytes,
            _ => texture.levels.push(Level { width: width.into(), height: height.into(), colour: bytes, alpha: Vec::new() }),
        }
    }
    Ok(texture)
}

/// The largest level as RGBA pixels.
pub fn decode(texture: &Texture) -> Looked<Vec<u8>> {
    let level = texture.levels.first().ok_or("it has no level")?;
    let file = file_of(texture, level)?;
    let wrong = || "its texture can't be decoded".to_owned();
    let mut transcoder = Transcoder::new();
    if !transcoder.validate_file_checksums(&file, false) {
        return Err(wrong());
    }
    transcoder.prepare_transcoding(&file).map_err(|()| wrong())?;
    let pixels = transcoder.transcode_image_level(&file, TranscoderTextureFormat::RGBA32, TranscodeParameters::default());
    transcoder.end_transcoding();
    let pixels = pixels.map_err(|_| wrong())?;
    if pixels.len() != level.width as usize * level.height as usize * 4 { Err(wrong()) } else { Ok(pixels) }
}

/// A file of one level.
fn file_of(texture: &Texture, level: &Level) -> Looked<Vec<u8>> {
    let none = Codebooks::default();
    let (etc1s, books) = (texture.codebooks.is_some(), texture.codebooks.as_ref().unwrap_or(&none));
    let two = etc1s && texture.alpha;
    let slices: &[(&[u8], u8)] = match two {
        true => &[(&level.colour, 0), (&level.alpha, ALPHA_SLICE)],
        false => &[(&level.colour, if texture.alpha { ALPHA_SLICE } else { 0 })],
    };
    let (mut places, mut body) = (Vec::new(), Vec::new());
    let first = HEADER + SLICE * slices.len();
    for bytes in [&books.endpoints[..], &books.selectors, &books.tables].into_iter().chain(slices.iter().map(|s| s.0)) {
        let (Ok(at), Ok(length)) = (u32::try_from(first + body.len()), u32::try_from(bytes.len())) else {
            return Err("its texture is too large".to_owned());
        };
        places.push((at.to_le_bytes(), length.to_le_bytes()));
        body.extend_from_slice(bytes);
    }
    let [endpoints, selectors, tables, slice_places @ ..] = &places[..] else { return Err("it has no level".to_owned()) };
    if books.endpoints.len().max(books.selectors.len()) >= 1 << 24 {
        return Err("its codebooks are too large".to_owned());
    }
    let mut index = Vec::new();
    let side = |n: u32| u16::try_from(n).map(u16::to_le_bytes).map_err(|_| "its texture is too large".to_owned());
    let blocks = level.blocks();
    for ((_, flags), (at, length)) in slices.iter().zip(slice_places) {
        index.extend_from_slice(&[0, 0, 0, 0, *flags]);
        for n in [level.width, level.height, blocks.0, blocks.1] {
            index.extend_from_slice(&side(n)?);
        }
        index.extend_from_slice(&[&at[..], length, &[0, 0]].concat());
    }
    let flags = u16::from(etc1s) | if texture.alpha { 4 } else { 0 } | if texture.srgb { 16 } else { 0 };
    let mut rest = u32::try_from(index.len() + body.len()).map_err(|e| e.to_string())?.to_le_bytes().to_vec();
    rest.extend_from_slice(&crc16(&[&index[..], &body].concat()).to_le_bytes());
    rest.extend_from_slice(&[slices.len() as u8, 0, 0, 1, 0, 0, u8::from(!etc1s)]);
    rest.extend_from_slice(&flags.to_le_bytes());
    rest.extend_from_slice(&[0; 16]);
    for ((at, length), count) in [(endpoints, books.endpoint_count), (selectors, books.selector_count)] {
        rest.extend_from_slice(&count.to_le_bytes());
        rest.extend_from_slice(at);
        rest.extend_from_slice(&length[..3]);
    }
    rest.extend_from_slice(&[&tables.0[..], &tables.1, &(HEADER as u32).to_le_bytes(), &[0; 8]].concat());
    let mut out = b"sB".to_vec();
    out.extend_from_slice(&[VERSION.to_le_bytes(), (HEADER as u16).to_le_bytes(), crc16(&rest).to_le_bytes()].concat());
    out.extend_from_slice(&[rest, index, body].concat());
    Ok(out)
}

/// As the transcoder counts it.
fn crc16(bytes: &[u8]) -> u16 {
    !bytes.iter().fold(!0u16, |crc, byte| {
        let q = u16::from(*byte) ^ (crc >> 8);
        let k = (q >> 4) ^ q;
        (((crc << 8) ^ k) ^ (k << 5)) ^ (k << 12)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::inspection::Verdict;
    use crate::media::inspect::{Declared, inspect};
    use crate::media::ktx2::{read, write};

    fn picture(side: u32, alpha: bool) -> Vec<u8> {
        let pixel = |n: u32| [(n % side * 255 / side) as u8, (n / side * 255 / side) as u8, 90, if alpha { (n % 256) as u8 } else { 255 }];
        (0..side * side).flat_map(pixel).collect()
    }

    #[test]
    fn what_is_encoded_can_be_inspected_read_and_decoded() {
        for (form, srgb, alpha) in
            [(Form::Etc1s, true, false), (Form::Etc1s, true, true), (Form::Uastc, false, false), (Form::Uastc, true, true)]
        {
            let rgba = picture(64, alpha);
            let texture = encode(64, 64, &rgba, form, srgb).unwrap();
            assert_eq!((texture.alpha, texture.codebooks.is_some(), texture.levels.len()), (alpha, form == Form::Etc1s, 7));
            let file = write(&texture).unwrap();
            assert_eq!(file, write(&encode(64, 64, &rgba, form, srgb).unwrap()).unwrap(), "the same bytes each time");
            let found = inspect(&file, &Declared { content_type: "image/ktx2", name: "a.ktx2" });
            assert!(found.verdict != Verdict::Refused, "{found:?}");
            assert_eq!(read(&file, 20).unwrap(), texture);
            let pixels = decode(&read(&file, 1).unwrap()).unwrap();
            let wrong: f64 = pixels.iter().zip(&rgba).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
            let psnr = 10.0 * (255.0 * 255.0 * rgba.len() as f64 / wrong.max(1.0)).log10();
            assert!(psnr > if alpha { 20.0 } else { 30.0 }, "{form:?} {alpha}: {psnr}");
            // Cut or turned anywhere: a reason or pixels, and no panic.
            for n in 0..file.len() {
                assert!(read(&file[..n], 20).is_err(), "{n}");
            }
            for n in (0..file.len()).step_by(file.len() / 60 + 1) {
                let mut turned = file.clone();
                turned[n] ^= 0x5a;
                let _ = read(&turned, 1).and_then(|texture| decode(&texture));
            }
        }
        assert!(encode(9000, 4, &[0; 144_000], Form::Etc1s, true).is_err() && encode(8, 8, &[0; 8], Form::Uastc, true).is_err());
    }
}
