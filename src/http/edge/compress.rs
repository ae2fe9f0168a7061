//! Selective compression: which answers may be sent in another form, in which one, and what the answer then says.
//!
//! Not here: what a client takes (`http::negotiate`), how variants are made and kept (`variants`).
//! Invariants: every answer that could have been another one says `Vary: Accept-Encoding`; ranges are of the bytes that are
//! stored, unless the client has a part of a variant already and says which; a variant that is not there yet costs
//! nobody an answer, and no CDN keeps what is sent in its place for long.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue, VARY};

use crate::auth::policy::pattern::Pattern;
use crate::base::coding::Coding;
use crate::base::conditions::ETagMatch;
use crate::base::header::trim;
use crate::base::names::ObjectKey;
use crate::base::object::ObjectInfo;
use crate::http::edge::cache;
use crate::http::negotiate::Accepted;
use crate::http::ranges::Requested;
use crate::http::read::Read;
use crate::http::respond::Answer;
use crate::telemetry::metrics::Metrics;
use crate::variants::Lookup;
use crate::variants::codec::Change;

/// The size without compression. Loaders count decoded bytes, so for them Content-Length is not where the end is.
const FILE_SIZE: HeaderName = HeaderName::from_static("x-file-size");
const ACCEPT_ENCODING: HeaderValue = HeaderValue::from_static("Accept-Encoding");

/// Smaller bodies fit into a packet or two either way.
const MIN: u64 = 1024;

/// What a site compresses.
#[derive(Debug, Clone)]
pub struct Rules {
    pub types: Types,
    /// Smaller objects are sent as they are.
    pub min: u64,
    /// What was stored with a Content-Encoding is decoded for who does not take it.
    pub decode: bool,
}

#[derive(Debug, Clone)]
pub enum Types {
    None,
    /// What is text in some way, or numbers in a row.
    Usual,
    /// Patterns on the content type without parameters, in lower case.
    Listed(Vec<Pattern>),
}

impl Default for Rules {
    fn default() -> Self {
        Rules { types: Types::Usual, min: MIN, decode: true }
    }
}

impl Rules {
    pub fn off() -> Self {
        Rules { types: Types::None, min: MIN, decode: false }
    }

    fn covers(&self, content_type: &str, key: &ObjectKey) -> bool {
        match &self.types {
            Types::None => false,
            Types::Usual => is_usual(&cache::essence(content_type), key.as_str()),
            Types::Listed(patterns) => {
                let kind = cache::essence(content_type);
                patterns.iter().any(|p| p.matches(kind.as_str().into(), None))
            }
        }
    }
}

/// Media that is compressed in itself (GLB with Draco, KTX2, MP4, PNG, ZIP, EXR, WOFF2 …) is not here.
fn is_usual(kind: &str, key: &str) -> bool {
    if kind.starts_with("text/") || kind.ends_with("+json") || kind.ends_with("+xml") {
        return true;
    }
    match kind {
        "application/json"
        | "application/javascript"
        | "application/x-javascript"
        | "application/ecmascript"
        | "application/xml"
        | "application/wasm"
        | "application/yaml"
        | "application/toml"
        | "application/vnd.apple.mpegurl"
        | "application/x-mpegurl"
        | "application/gltf-buffer"
        | "application/vnd.ms-fontobject"
        | "font/ttf"
        | "font/otf"
        | "image/bmp"
        | "image/vnd.microsoft.icon"
        | "image/x-icon"
        | "image/vnd.radiance"
        | "model/obj"
        | "model/mtl"
        | "model/stl"
        | "model/vnd.usda" => true,
        // Bytes of some kind: by its name a glTF's buffer, a point cloud or a scene.
        "application/octet-stream" | "binary/octet-stream" => {
            let name = key.rsplit_once('.').map_or("", |(_, extension)| extension);
            ["bin", "ply", "fbx", "hdr", "obj", "stl", "gltf"].iter().any(|e| name.eq_ignore_ascii_case(e))
        }
        _ => false,
    }
}

/// What is to be sent, as far as the object and the request tell.
#[derive(Debug, PartialEq, Eq)]
pub struct Choice {
    /// Other clients may get other bytes.
    pub varies: bool,
    pub change: Option<Change>,
}

/// `altered`: the request itself says what the answer's headers are, or another form of the object would lie in the clear.
pub fn choose(rules: &Rules, headers: &HeaderMap, key: &ObjectKey, object: &ObjectInfo, read: &Read, altered: bool) -> Choice {
    let as_is = |varies| Choice { varies, change: None };
    // RFC 9110 7.7 means proxies by it; a writer that sets it means everyone.
    let fixed = object.headers.cache_control.as_deref().is_some_and(|c| c.to_ascii_lowercase().contains("no-transform"));
    if fixed || altered {
        return as_is(false);
    }
    let stored = trim(object.headers.content_encoding.as_deref().unwrap_or_default());
    let change = if stored.is_empty() || stored.eq_ignore_ascii_case(Coding::Identity.name()) {
        if !rules.covers(&object.headers.content_type, key) {
            return as_is(false);
        }
        match Accepted::of(headers).choose() {
            Coding::Identity => return as_is(true),
            _ if object.size < rules.min => return as_is(true),
            coding => Change::Encode(coding),
        }
    } else {
        match Coding::parse(stored).filter(|_| rules.decode) {
            // Several codings, or one that nobody knows: the writer's own business.
            None => return as_is(false),
            Some(coding) if Accepted::of(headers).takes(coding) => return as_is(true),
            Some(coding) => Change::Decode(coding),
        }
    };
    Choice { varies: true, change: (!names_stored(object, read)).then_some(change) }
}

/// The client has, or wants a part of, the bytes that are stored.
fn names_stored(object: &ObjectInfo, read: &Read) -> bool {
    let ranged = read.part.is_some() || (read.range != Requested::Whole && read.may_be_partial(object));
    let matched = read.conditions.if_match.as_ref().is_some_and(|m| matches!(m, ETagMatch::OneOf(_)) && m.matches(&object.etag));
    ranged || matched
}

/// After `cache::apply`: what the answer says of how it came to its bytes.
pub fn finish(answer: &mut Answer, choice: &Choice, found: &Lookup, object: &ObjectInfo) {
    let headers = answer.headers_mut();
    if choice.varies {
        headers.append(VARY, ACCEPT_ENCODING);
    }
    if choice.change.is_some() && matches!(found, Lookup::NotYet) {
        cache::shorten(headers);
    }
    let plain = match (found, choice.change) {
        (Lookup::Ready(variant), Some(Change::Decode(_))) => Some(variant.size),
        _ if object.headers.content_encoding.is_none() => Some(object.size),
        _ => None,
    };
    if let Some(size) = plain {
        headers.insert(FILE_SIZE, HeaderValue::from(size));
    }
}

/// Counts a body that is sent.
pub fn count(metrics: &Metrics, answer: &Answer, found: &Lookup, object: &ObjectInfo) {
    let Lookup::Ready(variant) = found else { return };
    if answer.body().is_empty() {
        return;
    }
    metrics.variants_served.of(variant.form.coding).inc();
    if variant.form.coding != Coding::Identity && answer.body().len() == variant.size {
        metrics.variants_saved_bytes.inc_by(object.size.saturating_sub(variant.size));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::media_type;

    #[test]
    fn what_gains_is_compressed_and_what_is_compressed_is_not() {
        let covered = |name: &str| {
            let key = ObjectKey::parse(name).unwrap();
            Rules::default().covers(media_type::by_extension(name).unwrap_or(media_type::UNKNOWN), &key)
        };
        for name in [
            "a.gltf", "a.bin", "a.glsl", "a.vert", "a.wgsl", "a.html", "a.css", "a.js", "a.mjs", "a.json", "a.map", "a.svg", "a.xml",
            "a.txt", "a.csv", "a.md", "a.wasm", "a.hdr", "a.obj", "a.mtl", "a.stl", "a.ttf", "a.mpd", "a.m3u8", "a.ply", "A.BIN",
        ] {
            assert!(covered(name), "{name}");
        }
        for name in [
            "a.glb",
            "a.ktx2",
            "a.mp4",
            "a.webm",
            "a.mp3",
            "a.png",
            "a.jpg",
            "a.webp",
            "a.avif",
            "a.gif",
            "a.zip",
            "a.gz",
            "a.exr",
            "a.woff",
            "a.woff2",
            "a.drc",
            "a.basis",
            "a.usdz",
            "a.pdf",
            "a",
            "a.unknown",
            "a.wav",
        ] {
            assert!(!covered(name), "{name}");
        }
        assert!(Rules::default().covers("Text/HTML ; charset=x", &ObjectKey::parse("x").unwrap()));
        assert!(!Rules::off().covers("text/html", &ObjectKey::parse("x").unwrap()));
    }
}
