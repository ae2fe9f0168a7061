//! Cache tags on an answer: words by which a CDN can later be told to forget it (CloudFront: CacheTagConfig).
//!
//! Not here: the words (`base::cache_tags`), the purge; it makes them with the same functions.
//! Invariant: only a proven CDN gets them: they name tenants and content.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::callers::ProvenCdn;
use crate::base::cache_tags;
use crate::base::names::ObjectKey;
use crate::base::object::ObjectInfo;

/// Puts the tags of `object` on an answer. `header` is the distribution's CacheTagConfig.HeaderName.
pub fn put(headers: &mut HeaderMap, header: &HeaderName, _: ProvenCdn, key: &ObjectKey, object: &ObjectInfo) {
    if let Ok(value) = HeaderValue::try_from(cache_tags::of(key, object).join(",")) {
        headers.insert(header.clone(), value);
    }
}
