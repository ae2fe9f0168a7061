//! What is kept, under which key, and for how long.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, ETAG};
use http::{HeaderMap, StatusCode};

use super::ERROR_TTL;
use super::headers::Asked;

/// "Use origin cache headers": nothing is kept of which the origin says nothing.
const DEFAULT_TTL: u64 = 0;
const MAX_TTL: u64 = 31_536_000;
pub const TAG_HEADER: &str = "cache-tag";

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    pub path: String,
    pub query: Option<String>,
    /// As it is sent to the origin.
    pub encodings: Option<&'static str>,
    /// The range that was asked of the origin; None: the whole object.
    pub range: Option<Asked>,
}

#[derive(Debug, Clone)]
pub struct Entry {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// When the origin last said so, and by its how-manieth answer.
    pub confirmed: u64,
    pub answer: u64,
    pub fresh_until: u64,
    /// The origin answered (and not CloudFront for it).
    pub from_origin: bool,
}

impl Entry {
    pub fn is_fresh(&self, now: u64) -> bool {
        now < self.fresh_until
    }

    pub fn etag(&self) -> Option<&str> {
        self.headers.get(ETAG)?.to_str().ok()
    }
}

/// For how many seconds an answer is kept; None: not at all. 0: kept, and asked about before each use.
pub fn ttl(status: StatusCode, headers: &HeaderMap) -> Option<u64> {
    let control = headers.get_all(CACHE_CONTROL).iter().filter_map(|v| v.to_str().ok()).collect::<Vec<_>>().join(",").to_ascii_lowercase();
    let directive = |name: &str| control.split(',').map(str::trim).any(|d| d == name || d.starts_with(&format!("{name}=")));
    let seconds = |name: &str| -> Option<u64> {
        control.split(',').map(str::trim).find_map(|d| d.strip_prefix(name)?.strip_prefix('=')?.trim_matches('"').parse().ok())
    };
    let told = seconds("s-maxage").or_else(|| seconds("max-age"));
    match status.as_u16() {
        200 | 206 => {
            if directive("no-store") || directive("private") {
                return None;
            }
            let ttl = if directive("no-cache") { 0 } else { told.unwrap_or(DEFAULT_TTL) };
            Some(ttl.min(MAX_TTL))
        }
        // Kept for the error time whatever the origin says.
        404 | 414 | 500 | 501 | 502 | 503 | 504 => Some(told.unwrap_or(0).max(ERROR_TTL)),
        301 | 302 | 307 | 308 | 400 | 403 | 405 | 412 | 415 => told.filter(|_| !directive("no-store") && !directive("private")),
        _ => None,
    }
}

pub fn tags(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers.get(TAG_HEADER).and_then(|v| v.to_str().ok()).unwrap_or_default().split(',').map(str::trim).filter(|t| !t.is_empty()).take(50)
}

#[test]
fn times_as_cloudfront_documents_them() {
    let ttl_of = |status: u16, control: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, control.parse().unwrap());
        ttl(StatusCode::from_u16(status).unwrap(), &headers)
    };
    assert_eq!(ttl_of(200, "public, max-age=60"), Some(60));
    assert_eq!(ttl_of(200, "max-age=60, s-maxage=5"), Some(5));
    assert_eq!(ttl_of(200, "no-cache, max-age=60"), Some(0));
    assert_eq!(ttl_of(200, "private, max-age=60"), None);
    assert_eq!(ttl_of(404, "private, no-store"), Some(ERROR_TTL));
    assert_eq!(ttl_of(503, "private, no-store"), Some(ERROR_TTL));
    assert_eq!(ttl_of(404, "s-maxage=60"), Some(60));
    assert_eq!(ttl_of(403, "private, no-store"), None);
    assert_eq!(ttl_of(403, "max-age=9"), Some(9));
}
