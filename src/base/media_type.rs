//! Content types: what one says (`MediaType`), and one for bodies whose writer named none, by extension, then by the first bytes. Pure.

/// S3's own default.
pub const UNKNOWN: &str = "binary/octet-stream";

/// Bytes that `by_content` wants to see.
pub const SNIFF_BYTES: usize = 16;

/// A content type that every reader takes for the same one: `type/subtype`, then parameters, as RFC 9110 8.3.1 writes it.
/// Of what is not written so each browser makes something of its own: `text/html(x)` is a page to some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaType<'a> {
    pub kind: &'a [u8],
    pub subtype: &'a [u8],
    /// What follows them, with the semicolons.
    pub parameters: &'a [u8],
}

impl<'a> MediaType<'a> {
    /// Of one header value. None: it is not well formed.
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let text = trim_start(text);
        let text = text.get(..text.iter().rposition(|b| !matches!(b, b' ' | b'\t'))? + 1)?;
        let (kind, rest) = token(text)?;
        let (subtype, parameters) = token(rest.strip_prefix(b"/")?)?;
        let mut rest = parameters;
        while let Some(after) = trim_start(rest).strip_prefix(b";") {
            rest = trim_start(after);
            // An empty parameter is allowed.
            if matches!(rest.first(), None | Some(b';')) {
                continue;
            }
            let value = token(rest)?.1.strip_prefix(b"=")?;
            rest = if value.first() == Some(&b'"') { after_quoted(value)? } else { token(value)?.1 };
        }
        rest.is_empty().then_some(MediaType { kind, subtype, parameters })
    }
}

fn trim_start(text: &[u8]) -> &[u8] {
    let spaces = text.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    text.get(spaces..).unwrap_or_default()
}

/// A token that is not empty, and what follows it.
fn token(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|b| !IS_TOKEN[usize::from(*b)]).unwrap_or(text.len());
    (end > 0).then(|| text.split_at_checked(end))?
}

/// What follows the quoted string that `text` begins with.
fn after_quoted(text: &[u8]) -> Option<&[u8]> {
    let mut at = 1;
    loop {
        match *text.get(at)? {
            b'"' => return text.get(at + 1..),
            b'\\' => {
                at += 1;
                (!is_control(*text.get(at)?)).then_some(())?;
            }
            b if is_control(b) => return None,
            _ => {}
        }
        at += 1;
    }
}

fn is_control(b: u8) -> bool {
    b.is_ascii_control() && b != b'\t'
}

/// By byte: what tokens are made of (RFC 9110 5.6.2).
static IS_TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 256 {
        let marks = b"!#$%&'*+-.^_`|~";
        let mut i = 0;
        while i < marks.len() {
            table[marks[i] as usize] = true;
            i += 1;
        }
        table[b] = table[b] || (b < 128 && (b as u8).is_ascii_alphanumeric());
        b += 1;
    }
    table
};

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
    fn types_are_read_as_the_rfc_writes_them() {
        let parsed = |text: &'static str| MediaType::parse(text.as_bytes()).map(|m| (m.kind, m.subtype, m.parameters));
        let plain: (&[u8], &[u8], &[u8]) = (b"image", b"png", b"");
        for text in ["image/png", " image/png", "\timage/png \t"] {
            assert_eq!(parsed(text), Some(plain), "{text:?}");
        }
        for text in [
            "text/html;charset=utf-8",
            "text/html ; charset=utf-8;",
            "text/html;;a=b ;\tc=\"d; e, \\\" f\"",
            "text/html; a=\"\"",
            "text/html;a=\"\u{e9}\"",
            "x!/y~; z=0",
        ] {
            assert!(parsed(text).is_some(), "{text:?}");
        }
        for text in [
            "",
            " ",
            "text",
            "text/",
            "/html",
            "text/html charset=utf-8",
            "text/html(x)",
            "text/html\tx",
            "text /html",
            "text/ html",
            "text/html,text/plain",
            "text/html;a",
            "text/html;a=",
            "text/html;a =b",
            "text/html;a= b",
            "text/html;a=\"b",
            "text/html;a=\"b\\",
            "text/html;a=\"b\"c",
            "text/html;a=\"\u{1}\"",
            "text/html;=b",
            "text/h\u{e9}",
            "text/html\u{a0}",
            "\u{a0}text/html",
            "\"text/html\"",
            "text/html/x",
        ] {
            assert_eq!(parsed(text), None, "{text:?}");
        }
    }

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
