//! Who may read an answer from another origin: CORS, CORP and Timing-Allow-Origin of a site.
//!
//! An answer for everyone says so always, also where no `Origin` came: a CDN that kept an answer to a plain `<img>` would
//! otherwise hand it, without CORS, to the loader that comes after. Where origins are named, every answer varies by `Origin`.
//! Invariants: the same headers on 200, 206, 304, refusals and preflights; nothing here looks at the store.

use http::HeaderMap;
use http::StatusCode;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL, HeaderName, HeaderValue, VARY,
};

use crate::http::respond::{self, Answer};

pub const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const TIMING_ALLOW_ORIGIN: HeaderName = HeaderName::from_static("timing-allow-origin");

const ANYONE: HeaderValue = HeaderValue::from_static("*");
const TRUE: HeaderValue = HeaderValue::from_static("true");
const VARY_ORIGIN: HeaderValue = HeaderValue::from_static("Origin");
pub const METHODS: &str = "GET, HEAD, OPTIONS";

/// What a loader wants to see beyond the safelisted headers: ranges, validators, true sizes, hashes, and what to quote
/// in a report.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "Accept-Ranges, Content-Encoding, Content-Length, Content-Range, Date, ETag, X-File-Size, x-amz-checksum-crc32, \
     x-amz-checksum-crc32c, x-amz-checksum-crc64nvme, x-amz-checksum-sha1, x-amz-checksum-sha256, x-amz-checksum-type, \
     x-amz-mp-parts-count, x-amz-request-id",
);

/// What a reader may send. `*` covers the rest, but never Authorization and never where credentials count.
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, Cache-Control, Content-Type, If-Match, If-Modified-Since, If-None-Match, If-Range, If-Unmodified-Since, \
     Pragma, Range, X-Requested-With, x-amz-checksum-mode, x-amz-content-sha256, x-amz-date, x-amz-expected-bucket-owner, \
     x-amz-security-token, x-amz-user-agent, *",
);

/// A day: browsers keep preflights for two hours to a day at most, whatever they are told.
const PREFLIGHT_SECONDS: HeaderValue = HeaderValue::from_static("86400");
const PREFLIGHT_CACHE_CONTROL: HeaderValue = HeaderValue::from_static("public, max-age=86400");

/// Which pages may read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Cors {
    #[default]
    Anyone,
    Named {
        origins: Vec<OriginPattern>,
        /// Cookies and other credentials may come along.
        credentials: bool,
    },
}

/// `https://app.example.com`, or `https://*.example.com` for every name below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginPattern {
    before: String,
    /// After the `*`.
    after: Option<String>,
}

impl OriginPattern {
    /// Err: what was expected.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str =
            "an origin such as \"https://app.example.com\", with a port where it is not the usual one, or \"https://*.example.com\"";
        let text = text.to_ascii_lowercase();
        let Some((scheme, host)) = text.split_once("://") else { return Err(EXPECTED) };
        let fits = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b':' | b'[' | b']');
        let (any_below, name) = host.strip_prefix("*.").map_or((false, host), |name| (true, name));
        // Every origin of a whole top-level domain is nobody's wish.
        if !matches!(scheme, "https" | "http") || name.is_empty() || !name.bytes().all(fits) || (any_below && !name.contains('.')) {
            return Err(EXPECTED);
        }
        Ok(match any_below {
            false => OriginPattern { before: text, after: None },
            true => OriginPattern { before: format!("{scheme}://"), after: Some(format!(".{name}")) },
        })
    }

    fn matches(&self, origin: &[u8]) -> bool {
        match &self.after {
            None => origin.eq_ignore_ascii_case(self.before.as_bytes()),
            Some(after) => {
                let Some((before, rest)) = origin.split_at_checked(self.before.len()) else { return false };
                let Some(name) = rest.len().checked_sub(after.len()).and_then(|at| rest.split_at_checked(at)) else { return false };
                let below = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-');
                before.eq_ignore_ascii_case(self.before.as_bytes())
                    && name.1.eq_ignore_ascii_case(after.as_bytes())
                    && !name.0.is_empty()
                    && name.0.iter().all(below)
            }
        }
    }
}

impl Cors {
    /// On every answer, whatever became of the request.
    pub fn apply(&self, headers: &mut HeaderMap, origin: Option<HeaderValue>) {
        headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
        match self {
            Cors::Anyone => {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANYONE);
                headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
                headers.insert(TIMING_ALLOW_ORIGIN, ANYONE);
            }
            Cors::Named { origins, credentials } => {
                headers.append(VARY, VARY_ORIGIN);
                let Some(origin) = origin.filter(|o| origins.iter().any(|p| p.matches(o.as_bytes()))) else { return };
                headers.insert(TIMING_ALLOW_ORIGIN, origin.clone());
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
                headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
                if *credentials {
                    headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
                }
            }
        }
    }
}

/// The answer to OPTIONS: the same for every path, method and header, so that a CDN may keep one. What is not in it the
/// browser refuses by itself. `apply` follows.
pub fn preflight() -> Answer {
    let mut answer = respond::empty(StatusCode::NO_CONTENT);
    let headers = answer.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static(METHODS));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
    headers.insert(ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS);
    headers.insert(CACHE_CONTROL, PREFLIGHT_CACHE_CONTROL);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_taken_literally() {
        let fits = |pattern: &str, origin: &str| OriginPattern::parse(pattern).unwrap().matches(origin.as_bytes());
        assert!(fits("https://app.test", "https://app.test"));
        assert!(fits("https://App.test", "https://app.TEST"));
        assert!(fits("https://app.test:8443", "https://app.test:8443"));
        assert!(fits("https://*.app.test", "https://a.b.app.test"));
        for other in
            ["http://app.test", "https://app.test:8443", "https://app.test.evil", "https://evil-app.test", "https://app.test/", "null", ""]
        {
            assert!(!fits("https://app.test", other), "{other}");
        }
        for other in
            ["https://app.test", "https://.app.test", "https://evil.test/.app.test", "https://evil:1.app.test", "https://a@b.app.test"]
        {
            assert!(!fits("https://*.app.test", other), "{other}");
        }
        for bad in [
            "",
            "*",
            "app.test",
            "https://",
            "https://a/b",
            "https://*",
            "https://*.test",
            "ftp://a.test",
            "https://a.*.test",
            "null",
            "https://a b",
        ] {
            assert!(OriginPattern::parse(bad).is_err(), "{bad}");
        }
    }
}
