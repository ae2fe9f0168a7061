//! What keeps tenants' content apart in a browser that shows it under one host name: no guessing of types, and whatever could
//! run a script gets an origin of its own, so that one tenant's page reads nothing of another's.
//!
//! The sandbox is the rule. Free of it are types that browsers only show, and those that pages load: an allow-list, because what
//! browsers take for a page is a longer list than anyone knows. A type that is not well formed means something else to each of
//! them, so on the edge door it is not repeated: the object is stored as it was sent and shown as bytes.
//! Called by both doors with every answer. Not here: who may read, and from which page (`edge::cors`).
//! Invariants: the answer's last Content-Type decides, after overrides; a 304 says what the 200 says, since browsers take its
//! headers for those of what they keep.

use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, StatusCode};

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::media_type::MediaType;

/// A game bundle runs, plays, opens its shop and takes input, but `allow-same-origin` is not there: its origin is opaque.
const SANDBOX: HeaderValue = HeaderValue::from_static(
    "sandbox allow-scripts allow-forms allow-modals allow-downloads allow-pointer-lock allow-orientation-lock allow-presentation \
     allow-popups allow-popups-to-escape-sandbox allow-top-navigation-by-user-activation",
);
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

const CROSS_ORIGIN_EMBEDDER_POLICY: HeaderName = HeaderName::from_static("cross-origin-embedder-policy");
/// Browsers send it with the script of a service worker, and with nothing else.
const SERVICE_WORKER: HeaderName = HeaderName::from_static("service-worker");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Showing {
    Free,
    Apart,
    /// Apart, and under no type of its own.
    AsBytes,
}

/// On the edge door. `embeddable`: what is apart may be framed by pages that have `Cross-Origin-Embedder-Policy`.
pub fn apply(headers: &mut HeaderMap, status: StatusCode, sandbox: bool, embeddable: bool) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
    let showing = match headers.get(CONTENT_TYPE) {
        Some(kind) => showing(kind.as_bytes()),
        None if status == StatusCode::NO_CONTENT => return,
        None => Showing::AsBytes,
    };
    if showing == Showing::Free {
        return;
    }
    if sandbox {
        headers.insert(CONTENT_SECURITY_POLICY, SANDBOX);
        if showing == Showing::AsBytes {
            headers.insert(CONTENT_TYPE, BYTES);
        }
    }
    // A page that has this policy frames only pages that have it too.
    if embeddable {
        headers.insert(CROSS_ORIGIN_EMBEDDER_POLICY, HeaderValue::from_static("require-corp"));
    }
}

/// The type that one part of an answer with several says, by the type of the object.
pub fn of_part(content_type: &str) -> &str {
    if showing(content_type.as_bytes()) == Showing::AsBytes { "application/octet-stream" } else { content_type }
}

/// On the S3 door, where buckets share a host name (path style). Types stay as they were stored, as on S3.
pub fn apply_shared(headers: &mut HeaderMap) {
    let Some(kind) = headers.get(CONTENT_TYPE) else { return };
    // A page of the gateway's own brings its policy; what was stored never does.
    if showing(kind.as_bytes()) != Showing::Free && !headers.contains_key(CONTENT_SECURITY_POLICY) {
        headers.insert(CONTENT_SECURITY_POLICY, SANDBOX);
        headers.insert(X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
    }
}

/// A service worker would answer in place of this gateway for everything below its path, whoever put it there.
pub fn refuse_service_worker(headers: &HeaderMap) -> Result<()> {
    if !headers.contains_key(SERVICE_WORKER) {
        return Ok(());
    }
    let text = "Service workers are not served from here: several writers share this address. The operator can give a site of its own \
                to whom he trusts, with sandbox = false.";
    Err(Error::new(ErrorKind::AccessDenied, text))
}

fn showing(content_type: &[u8]) -> Showing {
    if is_usual(content_type) { Showing::Free } else { read(content_type) }
}

/// What nearly every hot object has, as `media_type` and SDKs write it: known without being read.
fn is_usual(content_type: &[u8]) -> bool {
    matches!(
        content_type,
        b"model/gltf-binary"
            | b"model/gltf+json"
            | b"application/octet-stream"
            | b"binary/octet-stream"
            | b"application/json"
            | b"application/wasm"
            | b"application/vnd.apple.mpegurl"
            | b"image/png"
            | b"image/jpeg"
            | b"image/webp"
            | b"image/avif"
            | b"image/gif"
            | b"image/ktx2"
            | b"image/vnd.radiance"
            | b"image/x-exr"
            | b"video/mp4"
            | b"video/webm"
            | b"video/mp2t"
            | b"video/iso.segment"
            | b"audio/mpeg"
            | b"audio/mp4"
            | b"audio/ogg"
            | b"audio/wav"
            | b"font/woff2"
            | b"text/plain"
            | b"text/css"
            | b"text/javascript"
            | b"text/plain; charset=utf-8"
            | b"text/css; charset=utf-8"
            | b"text/javascript; charset=utf-8"
    )
}

fn read(content_type: &[u8]) -> Showing {
    let Some(media) = MediaType::parse(content_type) else { return Showing::AsBytes };
    let is = |text: &[u8], name: &str| text.eq_ignore_ascii_case(name.as_bytes());
    let listed = |names: &[&str]| names.iter().any(|name| is(media.subtype, name));
    // Well formed, but not as anyone writes a type: readers that split or quote in their own way could see another one.
    let usual = media.subtype.iter().all(|b| b.is_ascii_alphanumeric() || b".-+_".contains(b))
        && media.parameters.iter().all(|b| b.is_ascii_alphanumeric() || b" \t;=\".,-+_/:".contains(b));
    let free = match media.kind {
        kind if is(kind, "image") || is(kind, "audio") || is(kind, "video") || is(kind, "font") || is(kind, "model") => {
            !is_markup(media.subtype)
        }
        kind if is(kind, "application") => listed(APPLICATION) || ends_with(media.subtype, b"+json"),
        kind if is(kind, "text") => listed(TEXT),
        kind if is(kind, "binary") => is(media.subtype, "octet-stream"),
        // Their parts name types of their own, which no header of ours speaks of. Our own parts are `multirange`'s.
        kind if is(kind, "multipart") && !is(media.subtype, "byteranges") || is(kind, "message") => return Showing::AsBytes,
        _ => false,
    };
    if free && usual { Showing::Free } else { Showing::Apart }
}

/// SVG, and pictures or models that are XML: they hold scripts.
fn is_markup(subtype: &[u8]) -> bool {
    subtype.windows(3).any(|w| w.eq_ignore_ascii_case(b"xml") || w.eq_ignore_ascii_case(b"svg") || w.eq_ignore_ascii_case(b"htm"))
}

fn ends_with(text: &[u8], end: &[u8]) -> bool {
    text.len() >= end.len() && text.get(text.len() - end.len()..).is_some_and(|t| t.eq_ignore_ascii_case(end))
}

/// Scripts are text to whoever opens them, and a worker under a sandbox would not start. A PDF's own scripts reach only its
/// viewer, which in some browsers does not open what is sandboxed.
const APPLICATION: &[&str] = &[
    "octet-stream",
    "json",
    "javascript",
    "wasm",
    "gltf-buffer",
    "x-javascript",
    "ecmascript",
    "x-ecmascript",
    "vnd.apple.mpegurl",
    "x-mpegurl",
    "pdf",
    "zip",
    "gzip",
    "x-gzip",
    "x-tar",
    "zstd",
    "yaml",
    "toml",
    "vnd.ms-fontobject",
    "font-woff",
    "x-font-ttf",
    "x-font-otf",
    "mp4",
    "ogg",
];

const TEXT: &[&str] = &[
    "javascript",
    "plain",
    "css",
    "csv",
    "vtt",
    "markdown",
    "ecmascript",
    "x-javascript",
    "x-ecmascript",
    "jscript",
    "livescript",
    "javascript1.0",
    "javascript1.1",
    "javascript1.2",
    "javascript1.3",
    "javascript1.4",
    "javascript1.5",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::media_type;
    use proptest::prelude::*;

    fn applied(kind: &str, sandbox: bool, embeddable: bool) -> HeaderMap {
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_bytes(kind.as_bytes()).unwrap())]);
        apply(&mut headers, StatusCode::OK, sandbox, embeddable);
        assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff");
        headers
    }

    #[test]
    fn each_switch_counts_for_what_is_apart_alone() {
        let of = |kind, sandbox, embeddable| {
            let headers = applied(kind, sandbox, embeddable);
            (headers.contains_key(CONTENT_SECURITY_POLICY), headers.get(CROSS_ORIGIN_EMBEDDER_POLICY).cloned())
        };
        let require = Some(HeaderValue::from_static("require-corp"));
        assert_eq!(of("text/html", true, true), (true, require.clone()));
        assert_eq!(of("text/html", false, true), (false, require));
        assert_eq!(of("text/html", true, false), (true, None));
        assert_eq!(of("text/javascript", true, true), (false, None));
        // A site that gives it up shows what is stored.
        assert_eq!(applied("text/html(x)", false, false)[CONTENT_TYPE], "text/html(x)");
    }

    #[test]
    fn an_answer_without_a_type_is_bytes() {
        let mut headers = HeaderMap::new();
        apply(&mut headers, StatusCode::OK, true, false);
        assert_eq!((&headers[CONTENT_TYPE], &headers[CONTENT_SECURITY_POLICY]), (&BYTES, &SANDBOX));
        let mut headers = HeaderMap::new();
        apply(&mut headers, StatusCode::NO_CONTENT, true, false);
        assert!(!headers.contains_key(CONTENT_TYPE) && !headers.contains_key(CONTENT_SECURITY_POLICY));
    }

    #[test]
    fn what_pages_load_is_free() {
        for name in [
            "a.glb",
            "a.gltf",
            "a.ktx2",
            "a.ktx",
            "a.hdr",
            "a.exr",
            "a.usdz",
            "a.obj",
            "a.mtl",
            "a.stl",
            "a.bin",
            "a.glsl",
            "a.png",
            "a.jpg",
            "a.webp",
            "a.avif",
            "a.gif",
            "a.ico",
            "a.bmp",
            "a.tif",
            "a.mp4",
            "a.webm",
            "a.mov",
            "a.mkv",
            "a.m3u8",
            "a.ts",
            "a.m4s",
            "a.mp3",
            "a.m4a",
            "a.aac",
            "a.ogg",
            "a.wav",
            "a.flac",
            "a.js",
            "a.css",
            "a.json",
            "a.wasm",
            "a.txt",
            "a.csv",
            "a.md",
            "a.pdf",
            "a.zip",
            "a.gz",
            "a.tar",
            "a.woff",
            "a.woff2",
            "a.ttf",
            "a.otf",
            "a.unknown",
        ] {
            let kind = media_type::guess(name, b"");
            assert_eq!(showing(kind.as_bytes()), Showing::Free, "{kind}");
            // The short way is no other way.
            assert_eq!(read(kind.as_bytes()), Showing::Free, "{kind}");
        }
        for kind in [
            "application/manifest+json",
            "Application/JavaScript; charset=\"utf-8\"",
            "video/mp4; codecs=\"avc1.42E01E, mp4a.40.2\"",
            " image/png ",
            "text/plain;charset=UTF-8;",
        ] {
            assert_eq!(showing(kind.as_bytes()), Showing::Free, "{kind}");
        }
    }

    #[test]
    fn what_may_run_scripts_is_apart_and_what_is_not_understood_is_bytes() {
        for kind in [
            "text/html",
            "TEXT/HTML; charset=utf-8",
            " text/html",
            "image/svg+xml",
            "IMAGE/SVG+XML",
            "image/svg",
            "model/x3d+xml",
            "application/xhtml+xml;x=y",
            "text/xml",
            "text/xsl",
            "application/xml",
            "application/atom+xml",
            "application/x-shockwave-flash",
            "text/cache-manifest",
            "x/html",
            "text/unheard-of",
            "image/*",
            "*/*",
            "multipart/byteranges; boundary=x",
            "image/png; a='b",
            "image/png; a=\"b\\\"c\"",
        ] {
            assert_eq!(showing(kind.as_bytes()), Showing::Apart, "{kind}");
        }
        for kind in [
            "",
            "text/html charset=utf-8",
            "text/html(x)",
            "text/html\tx",
            "image/svg+xml(",
            "application/xhtml+xml x",
            "text/plain, text/html",
            "image/png, text/html",
            "multipart/x-mixed-replace; boundary=x",
            "multipart/related; boundary=x",
            "message/rfc822",
        ] {
            let headers = applied(kind, true, false);
            assert_eq!((&headers[CONTENT_TYPE], &headers[CONTENT_SECURITY_POLICY]), (&BYTES, &SANDBOX), "{kind}");
        }
    }

    /// The first type that a careless reader finds: up to anything that is no letter of a type.
    fn careless(text: &str) -> Vec<String> {
        let cut = |c: char| !(c.is_ascii_alphanumeric() || "/+.-".contains(c));
        text.split(cut).map(str::to_ascii_lowercase).filter(|t| t.contains('/')).collect()
    }

    proptest! {
        #[test]
        fn the_short_way_says_what_the_long_one_says(kind in "(image|model|text|application|x)/(png|html|plain|octet-stream|svg\\+xml)(; charset=utf-8)?") {
            prop_assert_eq!(showing(kind.as_bytes()), read(kind.as_bytes()));
        }

        /// Whatever stands around the name of a page's type, nothing that could be read as that type is free.
        #[test]
        fn no_page_is_free(
            before in "([a-z/;,=\"'( \\t\\\\]{0,8}|image/png|image/png;a=|image/png; a=\"x\",)",
            page in prop::sample::select(vec!["text/html", "image/svg+xml", "application/xhtml+xml", "text/xml", "application/xml", "text/xsl"]),
            after in "[a-z/;,=\"'() \\t\\\\<\u{a0}\u{e9}]{0,8}",
        ) {
            let text = format!("{before}{page}{after}");
            let quoted = text.contains('"') && MediaType::parse(text.as_bytes()).is_some();
            let first = careless(&text).into_iter().next();
            if showing(text.as_bytes()) == Showing::Free {
                prop_assert!(quoted || first.as_deref() != Some(page), "{}", text);
            }
        }

        #[test]
        fn what_is_free_is_well_formed(text in "[ -~\\t\u{80}-\u{ff}]{0,40}") {
            if showing(text.as_bytes()) == Showing::Free {
                prop_assert!(MediaType::parse(text.as_bytes()).is_some());
            }
        }
    }
}
