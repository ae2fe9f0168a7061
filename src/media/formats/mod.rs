//! One file for each family of formats: what is there by the format's own rules, and what is wrong with it.
//!
//! Each takes all of the bytes and says what it finds. Err: so broken that there is no reading on.

mod bmff;
mod ebml;
mod gif;
mod gltf;
mod jpeg;
mod json;
mod ktx2;
mod mp3;
mod ogg;
mod openexr;
pub(super) mod picture;
mod png;
mod radiance;
mod sound;
mod webp;

use crate::media::bytes::Looked;
use crate::media::format::Format;
use crate::media::found::Found;

pub fn look(format: Format, bytes: &[u8], found: &mut Found) -> Looked<()> {
    match format {
        Format::Glb => gltf::glb(bytes, found),
        Format::Gltf => gltf::gltf(bytes, found),
        Format::Png => png::look(bytes, found),
        Format::Jpeg => jpeg::look(bytes, found),
        Format::WebP => webp::look(bytes, found),
        Format::Gif => gif::look(bytes, found),
        Format::Avif => bmff::avif(bytes, found),
        Format::Hdr => radiance::look(bytes, found),
        Format::Exr => openexr::look(bytes, found),
        Format::Ktx2 => ktx2::look(bytes, found),
        Format::Mp3 => mp3::look(bytes, found),
        Format::Wav => sound::wav(bytes, found),
        Format::Ogg => ogg::look(bytes, found),
        Format::Flac => sound::flac(bytes, found),
        Format::Mp4 => bmff::mp4(bytes, found),
        Format::WebM => ebml::look(bytes, found),
        Format::Json => json::look(bytes),
    }
}
