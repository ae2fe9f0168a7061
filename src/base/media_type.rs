//! Content types for bodies whose writer named none: by extension, then by the first bytes. Pure.

/// S3's own default.
pub const UNKNOWN: &str = "binary/octet-stream";

/// Bytes that `by_content` wants to see.
pub const SNIFF_BYTES: usize = 16;

pub fn guess(key: &str, first_bytes: &[u8]) -> &'static str {
    by_extension(key).or_else(|| by_content(first_bytes)).unwrap_or(UNKNOWN)
}

pub fn by_extension(key: &str) -> Option<&'static str> {
    let name = key.rsplit('/').next().unwrap_or(key);
    let (_, extension) = name.rsplit_once('.')?;
    Some(match extension.to_ascii_lowercase().as_str() {
        // 3D and what goes with it
        "glb" => "model/gltf-binary",
        "gltf" => "model/gltf+json",
        "ktx2" => "image/ktx2",
        "ktx" => "image/ktx",
        "hdr" => "image/vnd.radiance",
        "exr" => "image/x-exr",
        "usdz" => "model/vnd.usdz+zip",
        "obj" => "model/obj",
        "mtl" => "model/mtl",
        "stl" => "model/stl",
        "basis" | "drc" | "bin" | "splat" | "ply" | "fbx" => "application/octet-stream",
        "glsl" | "vert" | "frag" | "wgsl" => "text/plain; charset=utf-8",
        // Images
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "gif" => "image/gif",
        "svg" => "image/svg+xml",
        "ico" => "image/vnd.microsoft.icon",
        "bmp" => "image/bmp",
        "tif" | "tiff" => "image/tiff",
        // Video and audio
        "mp4" | "m4v" => "video/mp4",
        "webm" => "video/webm",
        "mov" => "video/quicktime",
        "mkv" => "video/x-matroska",
        "m3u8" => "application/vnd.apple.mpegurl",
        "mpd" => "application/dash+xml",
        "ts" => "video/mp2t",
        "m4s" => "video/iso.segment",
        "mp3" => "audio/mpeg",
        "m4a" => "audio/mp4",
        "aac" => "audio/aac",
        "ogg" | "oga" | "opus" => "audio/ogg",
        "wav" => "audio/wav",
        "flac" => "audio/flac",
        // The web
        "html" | "htm" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "wasm" => "application/wasm",
        "xml" => "application/xml",
        "txt" => "text/plain; charset=utf-8",
        "csv" => "text/csv; charset=utf-8",
        "md" => "text/markdown; charset=utf-8",
        "pdf" => "application/pdf",
        "zip" => "application/zip",
        "gz" | "tgz" => "application/gzip",
        "tar" => "application/x-tar",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "ttf" => "font/ttf",
        "otf" => "font/otf",
        _ => return None,
    })
}

pub fn by_content(b: &[u8]) -> Option<&'static str> {
    const MAGIC: &[(&[u8], &str)] = &[
        (b"glTF", "model/gltf-binary"),
        (b"\xabKTX 20\xbb\r\n\x1a\n", "image/ktx2"),
        (b"\xabKTX 11\xbb\r\n\x1a\n", "image/ktx"),
        (b"#?RADIANCE", "image/vnd.radiance"),
        (b"#?RGBE", "image/vnd.radiance"),
        (b"\x76\x2f\x31\x01", "image/x-exr"),
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"GIF87a", "image/gif"),
        (b"GIF89a", "image/gif"),
        (b"ID3", "audio/mpeg"),
        (b"OggS", "audio/ogg"),
        (b"fLaC", "audio/flac"),
        (b"\x1aE\xdf\xa3", "video/webm"),
        (b"%PDF-", "application/pdf"),
        (b"PK\x03\x04", "application/zip"),
        (b"\x1f\x8b", "application/gzip"),
        (b"\0asm", "application/wasm"),
        (b"wOFF", "font/woff"),
        (b"wOF2", "font/woff2"),
        (b"DRACO", "application/octet-stream"),
    ];
    let riff = |form: &[u8]| b.starts_with(b"RIFF") && b.get(8..12) == Some(form);
    if let Some((_, media_type)) = MAGIC.iter().find(|(magic, _)| b.starts_with(magic)) {
        return Some(media_type);
    }
    if riff(b"WEBP") {
        return Some("image/webp");
    }
    if riff(b"WAVE") {
        return Some("audio/wav");
    }
    match (b.get(4..8)?, b.get(8..12)?) {
        (b"ftyp", b"avif" | b"avis") => Some("image/avif"),
        (b"ftyp", b"qt  ") => Some("video/quicktime"),
        (b"ftyp", b"M4A ") => Some("audio/mp4"),
        (b"ftyp", _) => Some("video/mp4"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses() {
        assert_eq!(guess("a/b/Model.GLB", b""), "model/gltf-binary");
        assert_eq!(guess("a.b/noextension", b"glTF\x02\0\0\0"), "model/gltf-binary");
        assert_eq!(guess("x", b"RIFF\0\0\0\0WEBPVP8 "), "image/webp");
        assert_eq!(guess("x", b"\0\0\0\x20ftypisom"), "video/mp4");
        assert_eq!(guess("x.unknown", b"hello"), UNKNOWN);
        assert_eq!(guess("", b""), UNKNOWN);
    }
}
