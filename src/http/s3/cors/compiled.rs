//! Buckets' CORS rules, ready for use.
//!
//! Invariant: a document is read once for each state of its bucket, never for each request.

use std::sync::{Arc, LazyLock};

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::base::names::BucketName;
use crate::base::object::{Bucket, BucketDocument};
use crate::base::timestamp::Timestamp;
use crate::http::s3::cors::rules::Rules;

/// Text of the rules kept compiled.
const CACHED_BYTES: u64 = 4 * 1024 * 1024;
/// Buckets expected to be in use at once; only sizes the table.
const EXPECTED_BUCKETS: usize = 1024;

/// What a new bucket starts with: every page may read, as far as its policy lets anyone, and see what loaders look at.
const DEFAULT_RULES: &str = "<CORSConfiguration><CORSRule><AllowedHeader>*</AllowedHeader><AllowedMethod>GET</AllowedMethod>\
    <AllowedMethod>HEAD</AllowedMethod><AllowedOrigin>*</AllowedOrigin><ExposeHeader>Accept-Ranges</ExposeHeader>\
    <ExposeHeader>Content-Encoding</ExposeHeader><ExposeHeader>Content-Length</ExposeHeader><ExposeHeader>Content-Range</ExposeHeader>\
    <ExposeHeader>Date</ExposeHeader><ExposeHeader>ETag</ExposeHeader><ExposeHeader>x-amz-checksum-crc32</ExposeHeader>\
    <ExposeHeader>x-amz-checksum-crc32c</ExposeHeader><ExposeHeader>x-amz-checksum-crc64nvme</ExposeHeader>\
    <ExposeHeader>x-amz-checksum-sha1</ExposeHeader><ExposeHeader>x-amz-checksum-sha256</ExposeHeader>\
    <ExposeHeader>x-amz-request-id</ExposeHeader><MaxAgeSeconds>3600</MaxAgeSeconds></CORSRule></CORSConfiguration>";

static DEFAULT: LazyLock<(String, Option<Arc<Rules>>)> = LazyLock::new(|| match Rules::parse(DEFAULT_RULES.as_bytes()) {
    Ok(rules) => (rules.document(), Some(Arc::new(rules))),
    // Shown not to happen by a test.
    Err(_) => (String::new(), None),
});

pub fn default_document() -> &'static [u8] {
    DEFAULT.0.as_bytes()
}

/// The rules of buckets, read once for each state of a bucket.
pub struct Compiled(Cache<BucketName, Arc<Entry>, ByBytes>);

struct Entry {
    state: (u64, Timestamp),
    bytes: u64,
    /// None: what is stored can't be read, perhaps because a newer version wrote it. Then no page is let in.
    rules: Option<Arc<Rules>>,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<BucketName, Arc<Entry>> for ByBytes {
    fn weight(&self, _: &BucketName, entry: &Arc<Entry>) -> u64 {
        entry.bytes
    }
}

impl Default for Compiled {
    fn default() -> Self {
        Compiled(Cache::with_weighter(EXPECTED_BUCKETS, CACHED_BYTES, ByBytes))
    }
}

impl Compiled {
    /// None: the bucket has no rules.
    pub fn of(&self, bucket: &Bucket) -> Option<Arc<Rules>> {
        let document = bucket.documents.get(&BucketDocument::Cors)?;
        if document == default_document() {
            return DEFAULT.1.clone();
        }
        let state = (bucket.generation, bucket.created);
        if let Some(entry) = self.0.get(&bucket.name).filter(|e| e.state == state) {
            return entry.rules.clone();
        }
        let rules = Rules::parse(document)
            .inspect_err(
                |error| tracing::error!(bucket = %bucket.name, %error, "the stored CORS rules can't be read: no page may read the bucket"),
            )
            .ok()
            .map(Arc::new);
        let entry = Entry { state, bytes: document.len() as u64 + 256, rules: rules.clone() };
        self.0.insert(bucket.name.clone(), Arc::new(entry));
        rules
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    #[test]
    fn the_default_lets_every_page_read() {
        let rules = DEFAULT.1.as_ref().unwrap();
        assert!(rules.find(b"https://a.test", &Method::GET, ["range", "x-anything"].into_iter()).unwrap().any_origin);
        assert!(rules.find(b"null", &Method::HEAD, std::iter::empty()).is_some());
        assert!(rules.find(b"https://a.test", &Method::PUT, std::iter::empty()).is_none());
        assert_eq!(Rules::parse(default_document()).unwrap(), **rules);
    }
}
