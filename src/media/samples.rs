//! The smallest whole file of each format, and files that are made to break their reader. For tests.

use crc_fast::{CrcAlgorithm, checksum};

use crate::media::format::Format;
use crate::media::glb;

pub fn of(format: Format) -> Vec<u8> {
    match format {
        Format::Glb => triangle(),
        Format::Gltf => GLTF.as_bytes().to_vec(),
        Format::Png => png(2, 3, &[("IDAT", b"\x78\x9c\x63\0\0\0\x01\0\x01")]),
        Format::Jpeg => jpeg(),
        Format::WebP => webp(),
        Format::Gif => b"GIF89a\x02\0\x03\0\0\0\0\x2c\0\0\0\0\x02\0\x03\0\0\x02\x02\x44\x01\0\x3b".to_vec(),
        Format::Avif => avif(),
        Format::Hdr => [&b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 3 +X 2\n"[..], &[9; 24]].concat(),
        Format::Exr => exr(),
        Format::Ktx2 => ktx2(4, 4, 16),
        Format::Mp3 => mp3(4),
        Format::Wav => wav(),
        Format::Ogg => ogg(),
        Format::Flac => flac(),
        Format::Mp4 => mp4(),
        Format::WebM => webm(),
        Format::Json => b"{\"a\": [1, 2, {}]}".to_vec(),
    }
}

pub const GLTF: &str = r#"{"asset":{"version":"2.0"},"scene":0,"scenes":[{"nodes":[0]}],"nodes":[{"mesh":0}],
    "meshes":[{"primitives":[{"attributes":{"POSITION":1},"indices":0}]}],
    "buffers":[{"byteLength":44}],"bufferViews":[{"buffer":0,"byteLength":6},{"buffer":0,"byteOffset":8,"byteLength":36}],
    "accessors":[{"bufferView":0,"componentType":5123,"count":3,"type":"SCALAR"},
    {"bufferView":1,"componentType":5126,"count":3,"type":"VEC3","min":[0,0,0],"max":[1,1,0]}]}"#;

/// What `GLTF` lies in.
pub fn buffer() -> Vec<u8> {
    let mut bin = vec![0, 0, 1, 0, 2, 0, 0, 0];
    for n in [0f32, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0] {
        bin.extend_from_slice(&n.to_le_bytes());
    }
    bin
}

pub fn triangle() -> Vec<u8> {
    glb::write(GLTF, &buffer()).unwrap_or_default()
}

/// The triangle with something else in its document.
pub fn triangle_with(from: &str, to: &str) -> Vec<u8> {
    assert!(GLTF.contains(from), "{from}");
    glb::write(&GLTF.replacen(from, to, 1), &buffer()).unwrap_or_default()
}

pub fn png(width: u32, height: u32, chunks: &[(&str, &[u8])]) -> Vec<u8> {
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    header.extend_from_slice(&[8, 6, 0, 0, 0]);
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, data) in std::iter::once(("IHDR", &header[..])).chain(chunks.iter().copied()).chain([("IEND", &b""[..])]) {
        out.extend_from_slice(&(data.len() as u32).to_be_bytes());
        let covered = [name.as_bytes(), data].concat();
        out.extend_from_slice(&covered);
        out.extend_from_slice(&(checksum(CrcAlgorithm::Crc32IsoHdlc, &covered) as u32).to_be_bytes());
    }
    out
}

fn jpeg() -> Vec<u8> {
    let frame = b"\xff\xc0\0\x0b\x08\0\x03\0\x02\x01\x01\x11\0";
    [&b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0"[..], frame, b"\xff\xda\0\x08\x01\x01\0\0\x3f\0\x55\xff\0\x12\xff\xd9"]
        .concat()
}

fn webp() -> Vec<u8> {
    let bits: u32 = 1 | 2 << 14;
    let data = [&[0x2f][..], &bits.to_le_bytes(), &[0]].concat();
    let chunk = [&b"VP8L"[..], &(data.len() as u32).to_le_bytes(), &data].concat();
    [&b"RIFF"[..], &(4 + chunk.len() as u32).to_le_bytes(), b"WEBP", &chunk].concat()
}

fn part(name: &str, body: &[u8]) -> Vec<u8> {
    [&(8 + body.len() as u32).to_be_bytes()[..], name.as_bytes(), body].concat()
}

fn avif() -> Vec<u8> {
    let size = part("ispe", &[&[0; 4][..], &2u32.to_be_bytes(), &3u32.to_be_bytes()].concat());
    let properties = part("iprp", &part("ipco", &[size, part("pixi", &[0, 0, 0, 0, 3, 8, 8, 8])].concat()));
    let meta = part("meta", &[&[0; 4][..], &properties].concat());
    [part("ftyp", b"avif\0\0\0\0avifmif1"), meta, part("mdat", &[1; 8])].concat()
}

fn mp4() -> Vec<u8> {
    let header = part("mvhd", &[&[0; 12][..], &1000u32.to_be_bytes(), &2500u32.to_be_bytes(), &[0; 80]].concat());
    let mut description = vec![0; 78];
    description[24..28].copy_from_slice(&[0, 64, 0, 32]);
    let described = part("stsd", &[&[0, 0, 0, 0, 0, 0, 0, 1][..], &part("avc1", &description)].concat());
    let media = [part("hdlr", &[&[0; 8][..], b"vide", &[0; 13]].concat()), part("minf", &part("stbl", &described))].concat();
    let track = part("trak", &part("mdia", &media));
    [part("ftyp", b"isom\0\0\x02\0isom"), part("moov", &[header, track].concat()), part("mdat", &[7; 16])].concat()
}

fn exr() -> Vec<u8> {
    let attribute = |name: &str, kind: &str, value: &[u8]| {
        [name.as_bytes(), b"\0", kind.as_bytes(), b"\0", &(value.len() as u32).to_le_bytes(), value].concat()
    };
    let window: Vec<u8> = [0i32, 0, 1, 2].iter().flat_map(|n| n.to_le_bytes()).collect();
    let channel = [&b"R\0"[..], &[0; 16], b"\0"].concat();
    [
        b"\x76\x2f\x31\x01\x02\0\0\0".to_vec(),
        attribute("channels", "chlist", &channel),
        attribute("compression", "compression", &[0]),
        attribute("dataWindow", "box2i", &window),
        b"\0".to_vec(),
        vec![1; 32],
    ]
    .concat()
}

/// `unpacked`: what its level says that it is.
pub fn ktx2(width: u32, height: u32, unpacked: u64) -> Vec<u8> {
    let mut out = b"\xabKTX 20\xbb\r\n\x1a\n".to_vec();
    for n in [37u32, 1, width, height, 0, 0, 1, 1, if unpacked == 64 { 0 } else { 2 }] {
        out.extend_from_slice(&n.to_le_bytes());
    }
    for n in [104u32, 4, 0, 0] {
        out.extend_from_slice(&n.to_le_bytes());
    }
    for n in [0u64, 0, 108, 16, unpacked] {
        out.extend_from_slice(&n.to_le_bytes());
    }
    out.resize(108 + 16, 3);
    out
}

pub fn mp3(frames: usize) -> Vec<u8> {
    // MPEG 1, layer III, 128 kbit/s, 44,100 Hz: 417 bytes.
    let frame = [&[0xff, 0xfb, 0x90, 0x00][..], &[0; 413]].concat();
    frame.repeat(frames)
}

fn wav() -> Vec<u8> {
    let format = b"\x01\0\x02\0\x44\xac\0\0\x10\xb1\x02\0\x04\0\x10\0";
    let data = vec![0; 17_640];
    let body = [&b"WAVEfmt \x10\0\0\0"[..], format, b"data", &(data.len() as u32).to_le_bytes(), &data].concat();
    [&b"RIFF"[..], &(body.len() as u32).to_le_bytes(), &body].concat()
}

fn page(flags: u8, granule: u64, packet: &[u8]) -> Vec<u8> {
    [&b"OggS\0"[..], &[flags], &granule.to_le_bytes(), &7u32.to_le_bytes(), &[0; 8], &[1, packet.len() as u8], packet].concat()
}

fn ogg() -> Vec<u8> {
    [page(2, 0, b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0"), page(0, 0, b"OpusTags"), page(4, 48_312, &[1; 20])].concat()
}

fn flac() -> Vec<u8> {
    let packed: u64 = 48_000 << 44 | 1 << 41 | 15 << 36 | 96_000;
    let info = [&[0; 10][..], &packed.to_be_bytes(), &[0; 16]].concat();
    [&b"fLaC\x80\0\0\x22"[..], &info, b"\xff\xf8\x69\x08"].concat()
}

fn element(id: &[u8], body: &[u8]) -> Vec<u8> {
    [id, &[0x40 | (body.len() >> 8) as u8, body.len() as u8], body].concat()
}

fn webm() -> Vec<u8> {
    let header = element(b"\x1a\x45\xdf\xa3", &element(b"\x42\x82", b"webm"));
    let info = element(b"\x15\x49\xa9\x66", &element(b"\x44\x89", &1500f64.to_be_bytes()));
    let video = element(b"\xe0", &[element(b"\xb0", &[64]), element(b"\xba", &[32])].concat());
    let tracks = element(b"\x16\x54\xae\x6b", &element(b"\xae", &[element(b"\x86", b"V_VP9"), video].concat()));
    let cluster = element(b"\x1f\x43\xb6\x75", &[0; 16]);
    [header, element(b"\x18\x53\x80\x67", &[info, tracks, cluster].concat())].concat()
}
