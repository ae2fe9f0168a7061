//! Pictures as the renderer samples them: decoded, in linear light where they are colours, with smaller levels for what is far away.
//!
//! Limits: `MAX_PIXELS` of one picture; decoders are told so before they allocate.

use std::io::Cursor;

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::linear::{V2, V4};
use crate::media::bytes::Looked;
use crate::media::{basis, ktx2};

const MAX_PIXELS: usize = 32 << 20;
const MAX_SIDE: usize = 16_384;

/// Four bytes a pixel, as they are in the file: colours are not linear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pixels {
    pub width: usize,
    pub height: usize,
    pub rgba: Vec<u8>,
}

impl Pixels {
    pub fn decode(bytes: &[u8]) -> Looked<Self> {
        match bytes {
            [0x89, b'P', b'N', b'G', ..] => png(bytes),
            [0xff, 0xd8, ..] => jpeg(bytes),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => webp(bytes),
            _ if bytes.starts_with(&ktx2::MAGIC) => of_texture(bytes),
            _ => Err("it is neither PNG, JPEG, WebP nor KTX 2.0".to_owned()),
        }
    }

    fn of(width: usize, height: usize, channels: usize, samples: &[u8]) -> Looked<Self> {
        check(width, height)?;
        let mut rgba = Vec::with_capacity(width * height * 4);
        for pixel in samples.chunks_exact(channels.max(1)) {
            rgba.extend_from_slice(&match *pixel {
                [grey] => [grey, grey, grey, 255],
                [grey, alpha] => [grey, grey, grey, alpha],
                [r, g, b] => [r, g, b, 255],
                [r, g, b, a, ..] => [r, g, b, a],
                [] => [0; 4],
            });
        }
        if rgba.len() != width * height * 4 {
            return Err("it has another number of pixels than it says".to_owned());
        }
        Ok(Pixels { width, height, rgba })
    }

    pub fn to_png(&self) -> Looked<Vec<u8>> {
        let mut out = Vec::new();
        let size = |n: usize| u32::try_from(n).map_err(|e| e.to_string());
        let mut encoder = png::Encoder::new(&mut out, size(self.width)?, size(self.height)?);
        encoder.set_color(png::ColorType::Rgba);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_source_srgb(png::SrgbRenderingIntent::Perceptual);
        let mut writer = encoder.write_header().map_err(|e| e.to_string())?;
        writer.write_image_data(&self.rgba).map_err(|e| e.to_string())?;
        writer.finish().map_err(|e| e.to_string())?;
        Ok(out)
    }

    /// Without loss.
    pub fn to_webp(&self) -> Looked<Vec<u8>> {
        let mut out = Vec::new();
        let size = |n: usize| u32::try_from(n).map_err(|e| e.to_string());
        let encoder = image_webp::WebPEncoder::new(&mut out);
        let encoded = encoder.encode(&self.rgba, size(self.width)?, size(self.height)?, image_webp::ColorType::Rgba8);
        encoded.map_err(|e| e.to_string())?;
        Ok(out)
    }
}

fn check(width: usize, height: usize) -> Looked<()> {
    if width == 0 || height == 0 || width > MAX_SIDE || height > MAX_SIDE || width * height > MAX_PIXELS {
        return Err(format!("it has {width} x {height} pixels: more than {MAX_PIXELS} are not drawn"));
    }
    Ok(())
}

fn png(bytes: &[u8]) -> Looked<Pixels> {
    let wrong = |e: png::DecodingError| format!("its PNG can't be read: {e}");
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), png::Limits { bytes: MAX_PIXELS * 8 });
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
    let header = decoder.read_header_info().map_err(wrong)?;
    let (width, height) = (header.width as usize, header.height as usize);
    check(width, height)?;
    let mut reader = decoder.read_info().map_err(wrong)?;
    let size = reader.output_buffer_size().ok_or("its PNG is too large")?;
    let mut samples = vec![0; size];
    let frame = reader.next_frame(&mut samples).map_err(wrong)?;
    Pixels::of(width, height, frame.color_type.samples(), samples.get(..frame.buffer_size()).unwrap_or_default())
}

fn jpeg(bytes: &[u8]) -> Looked<Pixels> {
    let options = DecoderOptions::default().set_max_width(MAX_SIDE).set_max_height(MAX_SIDE).jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(Cursor::new(bytes), options);
    let wrong = |e| format!("its JPEG can't be read: {e:?}");
    decoder.decode_headers().map_err(wrong)?;
    let (width, height) = decoder.dimensions().ok_or("its JPEG says no size")?;
    check(width, height)?;
    Pixels::of(width, height, 3, &decoder.decode().map_err(wrong)?)
}

fn webp(bytes: &[u8]) -> Looked<Pixels> {
    let wrong = |e| format!("its WebP can't be read: {e}");
    let mut decoder = image_webp::WebPDecoder::new(Cursor::new(bytes)).map_err(wrong)?;
    let (width, height) = decoder.dimensions();
    check(width as usize, height as usize)?;
    let mut samples = vec![0; decoder.output_buffer_size().ok_or("its WebP is too large")?];
    decoder.read_image(&mut samples).map_err(wrong)?;
    Pixels::of(width as usize, height as usize, if decoder.has_alpha() { 4 } else { 3 }, &samples)
}

/// Its largest level: smaller ones are made here, as of every picture.
fn of_texture(bytes: &[u8]) -> Looked<Pixels> {
    let texture = ktx2::read(bytes, 1)?;
    let level = texture.levels.first().ok_or("its KTX 2.0 has no level")?;
    let (width, height) = (level.width as usize, level.height as usize);
    check(width, height)?;
    Pixels::of(width, height, 4, &basis::decode(&texture)?)
}

/// What the numbers of a picture are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Meaning {
    Colour,
    Data,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrap {
    Repeat,
    Mirror,
    Clamp,
}

/// From the largest level to one pixel.
#[derive(Debug)]
pub struct Texture(Vec<Level>);

#[derive(Debug)]
struct Level {
    width: usize,
    height: usize,
    pixels: Vec<[f32; 4]>,
}

impl Texture {
    pub fn new(pixels: &Pixels, meaning: Meaning) -> Self {
        let light = light_of_bytes();
        let read = |p: &[u8]| -> V4 {
            let of = |n: usize| p.get(n).map_or(0.0, |b| f32::from(*b) / 255.0);
            let colour = |n: usize| p.get(n).and_then(|b| light.get(usize::from(*b))).copied().unwrap_or_default();
            match meaning {
                Meaning::Colour => [colour(0), colour(1), colour(2), of(3)],
                Meaning::Data => [of(0), of(1), of(2), of(3)],
            }
        };
        let first = Level { width: pixels.width, height: pixels.height, pixels: pixels.rgba.chunks_exact(4).map(read).collect() };
        let mut levels = vec![first];
        while let Some(next) = levels.last().and_then(Level::smaller) {
            levels.push(next);
        }
        Texture(levels)
    }

    /// Texels of the largest level.
    pub fn texels(&self) -> f32 {
        self.0.first().map_or(1.0, |l| (l.width * l.height) as f32)
    }

    /// `level`: how often the picture is halved, between two levels a mixture.
    pub fn sample(&self, at: V2, wrap: [Wrap; 2], level: f32) -> V4 {
        let level = level.clamp(0.0, (self.0.len() - 1) as f32);
        let (near, part) = (level as usize, level.fract());
        let Some(first) = self.0.get(near) else { return [1.0; 4] };
        let a = first.sample(at, wrap);
        match self.0.get(near + 1).filter(|_| part > 0.0) {
            None => a,
            Some(second) => {
                let b = second.sample(at, wrap);
                std::array::from_fn(|n| a[n] + (b[n] - a[n]) * part)
            }
        }
    }
}

impl Level {
    fn smaller(&self) -> Option<Level> {
        if self.width == 1 && self.height == 1 {
            return None;
        }
        let (width, height) = ((self.width / 2).max(1), (self.height / 2).max(1));
        let mut pixels = Vec::with_capacity(width * height);
        for y in 0..height {
            for x in 0..width {
                let mut sum = [0.0; 4];
                for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                    let from = self.at((2 * x + dx).min(self.width - 1), (2 * y + dy).min(self.height - 1));
                    sum.iter_mut().zip(from).for_each(|(s, f)| *s += f / 4.0);
                }
                pixels.push(sum);
            }
        }
        Some(Level { width, height, pixels })
    }

    fn at(&self, x: usize, y: usize) -> V4 {
        self.pixels.get(y * self.width + x).copied().unwrap_or([1.0; 4])
    }

    fn sample(&self, at: V2, wrap: [Wrap; 2]) -> V4 {
        let (x0, x1, fx) = neighbours(at[0], self.width, wrap[0]);
        let (y0, y1, fy) = neighbours(at[1], self.height, wrap[1]);
        let corners = [self.at(x0, y0), self.at(x1, y0), self.at(x0, y1), self.at(x1, y1)];
        std::array::from_fn(|n| {
            let [a, b, c, d] = corners.map(|corner| corner[n]);
            let (top, bottom) = (a + (b - a) * fx, c + (d - c) * fx);
            top + (bottom - top) * fy
        })
    }
}

/// The texels on both sides, and how near the second is.
fn neighbours(at: f32, size: usize, wrap: Wrap) -> (usize, usize, f32) {
    let at = if at.is_finite() { at.clamp(-1e6, 1e6) } else { 0.0 };
    let exact = at * size as f32 - 0.5;
    let first = exact.floor();
    let index = |n: i64| {
        let size = size as i64;
        let n = match wrap {
            Wrap::Repeat => n.rem_euclid(size),
            Wrap::Clamp => n.clamp(0, size - 1),
            Wrap::Mirror => {
                let n = n.rem_euclid(2 * size);
                if n < size { n } else { 2 * size - 1 - n }
            }
        };
        n as usize
    };
    (index(first as i64), index(first as i64 + 1), exact - first)
}

fn light_of_bytes() -> Vec<f32> {
    (0..=255u8).map(|b| to_light(f32::from(b) / 255.0)).collect()
}

/// sRGB to linear light.
pub fn to_light(value: f32) -> f32 {
    if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
}

/// Linear light to sRGB.
pub fn to_srgb(light: f32) -> f32 {
    let light = light.clamp(0.0, 1.0);
    if light <= 0.003_130_8 { light * 12.92 } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_png_comes_back_and_bombs_do_not_open() {
        let pixels = Pixels { width: 3, height: 2, rgba: (0..24).collect() };
        let bytes = pixels.to_png().unwrap();
        assert_eq!(Pixels::decode(&bytes).unwrap(), pixels);
        for end in 0..bytes.len() {
            // No panic; the last chunk may be missing.
            let _ = Pixels::decode(&bytes[..end]);
        }
        let mut bomb = Vec::new();
        png::Encoder::new(&mut bomb, 65_535, 65_535).write_header().unwrap().finish().ok();
        assert!(Pixels::decode(&bomb).unwrap_err().contains("65535 x 65535"));
        assert!(Pixels::decode(b"<html>").is_err());
    }

    #[test]
    fn between_texels_and_levels_is_a_mixture_and_edges_wrap() {
        let pixels = Pixels { width: 2, height: 1, rgba: vec![0, 0, 0, 255, 255, 255, 255, 255] };
        let texture = Texture::new(&pixels, Meaning::Data);
        let red = |x: f32, wrap, level| (texture.sample([x, 0.5], [wrap; 2], level)[0] * 100.0).round() / 100.0;
        assert_eq!([red(0.25, Wrap::Repeat, 0.0), red(0.5, Wrap::Repeat, 0.0), red(0.75, Wrap::Repeat, 0.0)], [0.0, 0.5, 1.0]);
        assert_eq!([red(0.0, Wrap::Clamp, 0.0), red(0.0, Wrap::Repeat, 0.0), red(1.25, Wrap::Mirror, 0.0)], [0.0, 0.5, 1.0]);
        assert_eq!([red(0.25, Wrap::Repeat, 1.0), red(0.25, Wrap::Repeat, 0.5)], [0.5, 0.25]);
        assert!(red(f32::NAN, Wrap::Repeat, f32::INFINITY).is_finite());
        assert!((to_srgb(to_light(0.3)) - 0.3).abs() < 1e-5);
    }
}
