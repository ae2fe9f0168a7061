//! The formats that are looked into: by what a content type or a name declares, and by what the bytes are.

use crate::base::listed::listed;

listed! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Format {
        Glb,
        Gltf,
        Png,
        Jpeg,
        WebP,
        Gif,
        Avif,
        Hdr,
        Exr,
        Ktx2,
        Mp3,
        Wav,
        Ogg,
        Flac,
        Mp4,
        WebM,
        Json,
    }
}

impl Format {
    pub const fn name(self) -> &'static str {
        match self {
            Format::Glb => "glb",
            Format::Gltf => "gltf",
            Format::Png => "png",
            Format::Jpeg => "jpeg",
            Format::WebP => "webp",
            Format::Gif => "gif",
            Format::Avif => "avif",
            Format::Hdr => "hdr",
            Format::Exr => "exr",
            Format::Ktx2 => "ktx2",
            Format::Mp3 => "mp3",
            Format::Wav => "wav",
            Format::Ogg => "ogg",
            Format::Flac => "flac",
            Format::Mp4 => "mp4",
            Format::WebM => "webm",
            Format::Json => "json",
        }
    }

    /// Content types that declare it, in lower case. The first is the one to use.
    const fn media_types(self) -> &'static [&'static str] {
        match self {
            Format::Glb => &["model/gltf-binary"],
            Format::Gltf => &["model/gltf+json"],
            Format::Png => &["image/png", "image/apng"],
            Format::Jpeg => &["image/jpeg", "image/jpg", "image/pjpeg"],
            Format::WebP => &["image/webp"],
            Format::Gif => &["image/gif"],
            Format::Avif => &["image/avif", "image/avif-sequence"],
            Format::Hdr => &["image/vnd.radiance", "image/x-hdr"],
            Format::Exr => &["image/x-exr", "image/aces"],
            Format::Ktx2 => &["image/ktx2"],
            Format::Mp3 => &["audio/mpeg", "audio/mp3"],
            Format::Wav => &["audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"],
            Format::Ogg => &["audio/ogg", "video/ogg", "application/ogg", "audio/opus"],
            Format::Flac => &["audio/flac", "audio/x-flac"],
            Format::Mp4 => &["video/mp4", "audio/mp4", "video/quicktime", "audio/x-m4a"],
            Format::WebM => &["video/webm", "audio/webm", "video/x-matroska", "audio/x-matroska"],
            Format::Json => &["application/json", "text/json"],
        }
    }

    const fn extensions(self) -> &'static [&'static str] {
        match self {
            Format::Glb => &["glb", "vrm"],
            Format::Gltf => &["gltf"],
            Format::Png => &["png", "apng"],
            Format::Jpeg => &["jpg", "jpeg"],
            Format::WebP => &["webp"],
            Format::Gif => &["gif"],
            Format::Avif => &["avif"],
            Format::Hdr => &["hdr"],
            Format::Exr => &["exr"],
            Format::Ktx2 => &["ktx2"],
            Format::Mp3 => &["mp3"],
            Format::Wav => &["wav"],
            Format::Ogg => &["ogg", "oga", "ogv", "opus"],
            Format::Flac => &["flac"],
            Format::Mp4 => &["mp4", "m4v", "m4a", "mov"],
            Format::WebM => &["webm", "mkv"],
            Format::Json => &["json"],
        }
    }

    pub const fn is_model(self) -> bool {
        matches!(self, Format::Glb | Format::Gltf)
    }

    pub fn media_type(self) -> &'static str {
        self.media_types().first().copied().unwrap_or_default()
    }

    /// What a content type declares, whatever its parameters.
    pub fn of_type(content_type: &str) -> Option<Self> {
        let name = content_type.split(';').next()?.trim_ascii().to_ascii_lowercase();
        Self::ALL.into_iter().find(|format| format.media_types().contains(&name.as_str()))
    }

    pub fn of_name(key: &str) -> Option<Self> {
        let (_, extension) = key.rsplit('/').next()?.rsplit_once('.')?;
        let extension = extension.to_ascii_lowercase();
        Self::ALL.into_iter().find(|format| format.extensions().contains(&extension.as_str()))
    }
}

/// What is declared of a file: the content type decides where it says something, or else the name. None: it is of no format that is
/// looked into.
pub fn declared(content_type: &str, key: &str) -> Option<Format> {
    Format::of_type(content_type).or_else(|| Format::of_name(key))
}

/// What bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Of(Format),
    /// Not one of ours, for people.
    Other(&'static str),
    Unknown,
}

/// So many bytes at the start tell.
const TEXT_LOOK: usize = 1024;

pub fn detect(bytes: &[u8]) -> Kind {
    const MAGIC: &[(&[u8], Kind)] = &[
        (b"glTF", Kind::Of(Format::Glb)),
        (b"\x89PNG\r\n\x1a\n", Kind::Of(Format::Png)),
        (b"\xff\xd8\xff", Kind::Of(Format::Jpeg)),
        (b"GIF87a", Kind::Of(Format::Gif)),
        (b"GIF89a", Kind::Of(Format::Gif)),
        (b"#?RADIANCE", Kind::Of(Format::Hdr)),
        (b"#?RGBE", Kind::Of(Format::Hdr)),
        (b"\x76\x2f\x31\x01", Kind::Of(Format::Exr)),
        (b"\xabKTX 20\xbb\r\n\x1a\n", Kind::Of(Format::Ktx2)),
        (b"ID3", Kind::Of(Format::Mp3)),
        (b"OggS", Kind::Of(Format::Ogg)),
        (b"fLaC", Kind::Of(Format::Flac)),
        (b"\x1aE\xdf\xa3", Kind::Of(Format::WebM)),
        (b"\xabKTX 11\xbb\r\n\x1a\n", Kind::Other("a KTX 1 texture")),
        (b"PK\x03\x04", Kind::Other("a ZIP archive")),
        (b"\x1f\x8b", Kind::Other("gzip")),
        (b"\x28\xb5\x2f\xfd", Kind::Other("zstd")),
        (b"%PDF-", Kind::Other("a PDF")),
        (b"DRACO", Kind::Other("a bare Draco mesh")),
        (b"meshopt", Kind::Other("meshopt data")),
        (b"Kaydara FBX", Kind::Other("an FBX model")),
        (b"\x7fELF", Kind::Other("a program")),
        (b"MZ", Kind::Other("a program")),
        (b"BM", Kind::Other("a BMP picture")),
    ];
    if let Some((_, kind)) = MAGIC.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return *kind;
    }
    match (bytes.get(..4), bytes.get(8..12)) {
        (Some(b"RIFF"), Some(b"WEBP")) => return Kind::Of(Format::WebP),
        (Some(b"RIFF" | b"RF64"), Some(b"WAVE")) => return Kind::Of(Format::Wav),
        _ => {}
    }
    if bytes.get(4..8) == Some(b"ftyp") {
        return match bytes.get(8..12) {
            Some(b"avif" | b"avis") => Kind::Of(Format::Avif),
            // A brand of any image; what it is in earnest stands in the list behind it.
            Some(b"mif1" | b"msf1") if bytes.get(16..64).is_some_and(|list| list.chunks(4).any(|b| b == b"avif")) => Kind::Of(Format::Avif),
            Some(b"heic" | b"heix" | b"mif1" | b"msf1") => Kind::Other("a HEIC picture"),
            _ => Kind::Of(Format::Mp4),
        };
    }
    match bytes {
        [0xff, second, third, ..] if second & 0xe6 == 0xe2 && third & 0xf0 != 0xf0 => return Kind::Of(Format::Mp3),
        // AAC's frames have the same sign and no layer.
        [0xff, second, ..] if second & 0xf6 == 0xf0 => return Kind::Other("AAC audio"),
        _ => {}
    }
    text(bytes)
}

fn text(bytes: &[u8]) -> Kind {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let start = bytes[..bytes.len().min(TEXT_LOOK)].trim_ascii_start();
    let lower = start[..start.len().min(256)].to_ascii_lowercase();
    let begins = |word: &[u8]| lower.starts_with(word);
    let has = |word: &[u8]| lower.windows(word.len()).any(|w| w == word);
    if begins(b"<!doctype html") || begins(b"<html") || begins(b"<head") || begins(b"<body") || begins(b"<script") {
        return Kind::Other("an HTML page");
    }
    if begins(b"<?xml") || begins(b"<error") || begins(b"<!--") || begins(b"<svg") {
        return match () {
            () if has(b"<html") => Kind::Other("an HTML page"),
            () if has(b"<svg") => Kind::Other("an SVG picture"),
            () if has(b"<error") => Kind::Other("an XML error document"),
            () => Kind::Other("an XML document"),
        };
    }
    if matches!(start.first(), Some(b'{' | b'[')) {
        return Kind::Of(Format::Json);
    }
    if begins(b"version https://git-lfs") {
        return Kind::Other("a pointer of Git LFS, not the file it stands for");
    }
    if !bytes.is_empty() && start.iter().all(|b| *b >= 0x20 || matches!(b, b'\t' | b'\n' | b'\r')) && std::str::from_utf8(start).is_ok() {
        return Kind::Other("plain text");
    }
    Kind::Unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_declared() {
        assert_eq!(declared("model/gltf-binary", "a"), Some(Format::Glb));
        assert_eq!(declared("Image/PNG; x=y", "a.glb"), Some(Format::Png));
        assert_eq!(declared("application/octet-stream", "x/A.GLB"), Some(Format::Glb));
        assert_eq!(declared("", "a.b/c"), None);
        assert_eq!(declared("text/css", "a.css"), None);
        for format in Format::ALL {
            assert_eq!(Format::of_type(format.media_type()), Some(format));
            assert_eq!(Format::of_name(&format!("x.{}", format.extensions()[0])), Some(format));
        }
    }

    #[test]
    fn what_bytes_are() {
        for (bytes, kind) in [
            (&b"glTF\x02\0\0\0"[..], Kind::Of(Format::Glb)),
            (b"<!DOCTYPE html><title>502</title>", Kind::Other("an HTML page")),
            (b"\n  <HTML>", Kind::Other("an HTML page")),
            (b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>", Kind::Other("an XML error document")),
            (b"<?xml version=\"1.0\"?><!DOCTYPE html><html>", Kind::Other("an HTML page")),
            (b"  {\"asset\":{}}", Kind::Of(Format::Json)),
            (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf____________________________________", Kind::Of(Format::Avif)),
            (b"\0\0\0\x20ftypisom", Kind::Of(Format::Mp4)),
            (b"\xff\xfb\x90\x00", Kind::Of(Format::Mp3)),
            (b"\xff\xf1\x50\x80", Kind::Other("AAC audio")),
            (b"404 Not Found", Kind::Other("plain text")),
            (b"\0\0\0\0", Kind::Unknown),
            (b"", Kind::Unknown),
        ] {
            assert_eq!(detect(bytes), kind, "{bytes:?}");
        }
    }
}
