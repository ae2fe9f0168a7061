//! What goes to the origin of a viewer's request, and to the viewer of the origin's answer.

use std::net::IpAddr;

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue};

use super::Settings;

/// Ranges are asked for in pieces of this size.
const PIECE: u64 = 64 * 1024;

/// A range that is asked of the origin: from, and up to where (exclusive); None: to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Asked {
    pub start: u64,
    pub end: Option<u64>,
}

/// The one range that a viewer wants; anything else is answered with all of the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    From(u64, Option<u64>),
    Last(u64),
}

impl Wanted {
    pub fn parse(headers: &HeaderMap) -> Option<Self> {
        let spec = headers.get(header::RANGE)?.to_str().ok()?.strip_prefix("bytes=")?;
        let (start, end) = spec.split_once('-')?;
        match (start.parse(), end) {
            (Err(_), end) if start.is_empty() => Some(Wanted::Last(end.parse().ok()?)),
            (Ok(start), "") => Some(Wanted::From(start, None)),
            (Ok(start), end) => Some(Wanted::From(start, Some(end.parse::<u64>().ok()?.checked_add(1)?))),
            _ => None,
        }
    }

    /// Whole pieces around it. None: the whole object, which is what serves a suffix.
    pub fn enlarged(self) -> Option<Asked> {
        match self {
            Wanted::From(start, end) => Some(Asked { start: start / PIECE * PIECE, end: end.map(|e| e.div_ceil(PIECE) * PIECE) }),
            Wanted::Last(_) => None,
        }
    }

    /// In an object of `total` bytes; None: none of it.
    pub fn resolve(self, total: u64) -> Option<(u64, u64)> {
        let (start, end) = match self {
            Wanted::From(start, end) => (start, end.unwrap_or(total).min(total)),
            Wanted::Last(n) => (total.saturating_sub(n), total),
        };
        (start < end).then_some((start, end))
    }
}

/// Accept-Encoding in the form that CloudFront sends it.
pub fn encodings(viewer: &HeaderMap) -> Option<&'static str> {
    let accepted = viewer.get(header::ACCEPT_ENCODING).and_then(|v| v.to_str().ok()).unwrap_or_default().to_ascii_lowercase();
    let takes = |name: &str| {
        accepted.split(',').any(|part| {
            let mut words = part.split(';').map(str::trim);
            words.next() == Some(name) && !words.any(|w| w == "q=0" || w == "q=0.0")
        })
    };
    match (takes("br"), takes("gzip")) {
        (true, true) => Some("br,gzip"),
        (true, false) => Some("br"),
        (false, true) => Some("gzip"),
        (false, false) => None,
    }
}

/// Of the viewer's headers only what a preflight asks for goes on; Authorization, Cookie, Origin, User-Agent and the rest stay here.
pub fn to_origin(settings: &Settings, viewer: &HeaderMap, address: IpAddr, encodings: Option<&'static str>, id: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, HeaderValue::from_str(&settings.origin_name).unwrap());
    headers.insert(header::USER_AGENT, HeaderValue::from_static("Amazon CloudFront"));
    headers.insert(header::VIA, HeaderValue::from_static("1.1 d111111abcdef8.cloudfront.net (CloudFront)"));
    let forwarded = match viewer.get("x-forwarded-for").and_then(|v| v.to_str().ok()) {
        Some(before) => format!("{before}, {address}"),
        None => address.to_string(),
    };
    headers.insert("x-forwarded-for", HeaderValue::from_str(&forwarded).unwrap());
    headers.insert("x-amz-cf-id", HeaderValue::from_str(&format!("standin-{id:040}==")).unwrap());
    if let Some(encodings) = encodings {
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(encodings));
    }
    for name in ["access-control-request-method", "access-control-request-headers"] {
        if let Some(value) = viewer.get(name) {
            headers.insert(name, value.clone());
        }
    }
    for (name, value) in &settings.custom_headers {
        headers.insert(*name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

const HOP_BY_HOP: [HeaderName; 6] =
    [header::CONNECTION, header::TRANSFER_ENCODING, header::TE, header::TRAILER, header::UPGRADE, HeaderName::from_static("keep-alive")];

/// What is kept of an answer's head.
pub fn from_origin(headers: &HeaderMap) -> HeaderMap {
    let mut kept = headers.clone();
    for name in &HOP_BY_HOP {
        kept.remove(name);
    }
    let by_encoding = headers
        .get_all(header::VARY)
        .iter()
        .flat_map(|v| v.to_str().unwrap_or_default().split(','))
        .any(|name| name.trim().eq_ignore_ascii_case("accept-encoding"));
    kept.remove(header::VARY);
    if by_encoding {
        kept.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    // An ETag without quotes is dropped.
    let legal = kept
        .get(header::ETAG)
        .and_then(|v| v.to_str().ok())
        .is_some_and(|t| t.trim_start_matches("W/").starts_with('"') && t.ends_with('"'));
    if !legal {
        kept.remove(header::ETAG);
    }
    kept
}

#[test]
fn ranges_grow_and_encodings_shrink() {
    let headers = |name: HeaderName, value: &str| HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())]);
    let wanted = |value: &str| Wanted::parse(&headers(header::RANGE, value));
    assert_eq!(wanted("bytes=70000-70001").unwrap().enlarged(), Some(Asked { start: PIECE, end: Some(2 * PIECE) }));
    assert_eq!(wanted("bytes=1-").unwrap().enlarged(), Some(Asked { start: 0, end: None }));
    assert_eq!(wanted("bytes=-5").unwrap().resolve(3), Some((0, 3)));
    assert_eq!(wanted("bytes=5-9").unwrap().resolve(5), None);
    assert_eq!(wanted("bytes=1-2,4-5"), None);
    let sent = |value: &str| encodings(&headers(header::ACCEPT_ENCODING, value));
    assert_eq!(sent("zstd, gzip, deflate, br;q=0.5"), Some("br,gzip"));
    assert_eq!(sent("zstd, br;q=0, gzip"), Some("gzip"));
    assert_eq!(sent("*"), None);
}
