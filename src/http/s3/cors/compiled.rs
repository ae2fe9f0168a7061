//! The CORS rules of buckets, ready for use, and those that a new bucket starts with.

use std::sync::{Arc, LazyLock};

use crate::base::object::{Bucket, BucketDocument};
use crate::http::s3::cors::rules::Rules;
use crate::ops::compiled::Compiled;

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

/// None: the bucket has no rules, or such as can't be read. Then no page is let in.
pub fn of(compiled: &Compiled<Rules>, bucket: &Bucket) -> Option<Arc<Rules>> {
    let document = bucket.documents.get(&BucketDocument::Cors)?;
    if document == default_document() {
        return DEFAULT.1.clone();
    }
    compiled.of(bucket, document, Rules::parse)
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
