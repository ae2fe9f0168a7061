//! A bucket's CORS: set, read and removed as a document, and its effect on every answer and preflight, as on S3.
//!
//! In two things it is kinder than S3: every answer of a bucket with rules varies by `Origin`, also where none came, so
//! that no cache hands a plain answer to a page that needs CORS; and CORP is on every answer.
//! Invariants: XML is read when it is set and once for each state of a bucket, never for each request.

pub mod rules;

use std::sync::{Arc, LazyLock};

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::auth::action::Action;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::header;
use crate::base::names::BucketName;
use crate::base::object::{Bucket, BucketDocument};
use crate::base::timestamp::Timestamp;
use crate::http::edge::cors::CROSS_ORIGIN_RESOURCE_POLICY;
use crate::http::gateway::Gateway;
use crate::http::respond::{self, Answer, value};
use crate::http::s3::cors::rules::{Match, Rules};
use crate::http::s3::exchange::Exchange;
use crate::http::s3::route::Resource;

/// Names in Access-Control-Request-Headers: more than any page sends, and each is held against all that rules allow.
const MAX_ASKED_HEADERS: usize = 100;
/// Text of the rules kept compiled.
const CACHED_BYTES: u64 = 4 * 1024 * 1024;
/// Buckets expected to be in use at once; only sizes the table.
const EXPECTED_BUCKETS: usize = 1024;

const VARIES: HeaderValue = HeaderValue::from_static("Origin, Access-Control-Request-Headers, Access-Control-Request-Method");

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

// The document

pub async fn get(exchange: &mut Exchange<'_>, name: &BucketName) -> Result<Answer> {
    exchange.on_bucket(Action::GetBucketCORS, name).await?;
    let bucket = exchange.gateway.ops.bucket_for_decision(name).await?;
    let stored = bucket.and_then(|b| b.documents.get(&BucketDocument::Cors).cloned());
    let stored = stored.and_then(|d| String::from_utf8(d).ok()).ok_or_else(|| {
        Error::new(ErrorKind::NoSuchCorsConfiguration, "The CORS configuration does not exist").detail("BucketName", name.as_str())
    })?;
    Ok(respond::xml(stored))
}

pub async fn put(exchange: &mut Exchange<'_>, name: &BucketName) -> Result<Answer> {
    let grant = exchange.on_bucket(Action::PutBucketCORS, name).await?;
    let rules = Rules::parse(&exchange.document().await?)?;
    exchange.gateway.ops.set_bucket_cors(&grant, Some(rules.document().into_bytes())).await?;
    Ok(respond::empty(StatusCode::OK))
}

pub async fn delete(exchange: &mut Exchange<'_>, name: &BucketName) -> Result<Answer> {
    let grant = exchange.on_bucket(Action::PutBucketCORS, name).await?;
    exchange.gateway.ops.set_bucket_cors(&grant, None).await?;
    Ok(respond::empty(StatusCode::NO_CONTENT))
}

// Its effect

/// What a request from a page says of itself.
pub struct Asked {
    origin: HeaderValue,
    method: Option<Method>,
}

impl Asked {
    /// None: no page asks.
    pub fn of(parts: &Parts) -> Option<Self> {
        let origin = parts.headers.get(ORIGIN)?.clone();
        let method = match parts.headers.get(ACCESS_CONTROL_REQUEST_METHOD) {
            Some(requested) => rules::method(requested.as_bytes()),
            None => Some(parts.method.clone()),
        };
        Some(Asked { origin, method })
    }
}

/// On every answer, whatever became of the request.
pub async fn apply(gateway: &Gateway, bucket: Option<&BucketName>, asked: Option<Asked>, headers: &mut HeaderMap) {
    headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    let Some(name) = bucket else { return };
    let Ok(Some(bucket)) = gateway.ops.bucket_for_decision(name).await else { return };
    if !bucket.documents.contains_key(&BucketDocument::Cors) {
        return;
    }
    headers.append(VARY, VARIES);
    let Some(Asked { origin, method: Some(method) }) = asked else { return };
    let Some(rules) = gateway.cors.of(&bucket) else { return };
    if let Some(found) = rules.find(origin.as_bytes(), &method, std::iter::empty()) {
        allow(headers, &found, origin);
    }
}

/// The answer to OPTIONS. Nobody is asked who they are: browsers send no credentials with it.
pub async fn preflight(gateway: &Gateway, resource: &Resource, parts: &Parts) -> Result<Answer> {
    let bad = |text: String| Err(Error::new(ErrorKind::BadRequest, text));
    let Some(origin) = parts.headers.get(ORIGIN) else {
        return bad("Insufficient information. Origin request header needed.".into());
    };
    let requested = parts.headers.get(ACCESS_CONTROL_REQUEST_METHOD);
    let Some(method) = requested.and_then(|m| rules::method(m.as_bytes())) else {
        let shown = requested.map_or("null".into(), |m| String::from_utf8_lossy(m.as_bytes()).chars().take(40).collect::<String>());
        return bad(format!("Invalid Access-Control-Request-Method: {shown}"));
    };
    let refused = |text: &'static str| {
        let kind = if matches!(resource, Resource::Object(..)) { "OBJECT" } else { "BUCKET" };
        Error::new(ErrorKind::CorsForbidden, text).detail("Method", method.as_str()).detail("ResourceType", kind)
    };
    let rules = match resource.bucket() {
        None => None,
        Some(name) => match gateway.ops.bucket_for_decision(name).await? {
            Some(bucket) => gateway.cors.of(&bucket),
            None => {
                return Err(Error::new(ErrorKind::NoSuchBucket, "The specified bucket does not exist").detail("BucketName", name.as_str()));
            }
        },
    };
    let Some(rules) = rules else { return Err(refused("CORSResponse: CORS is not enabled for this bucket.")) };

    let names = header::members(&parts.headers, &ACCESS_CONTROL_REQUEST_HEADERS)?;
    if names.len() > MAX_ASKED_HEADERS {
        return bad(format!("Access-Control-Request-Headers names more than {MAX_ASKED_HEADERS} headers."));
    }
    let Some(found) = rules.find(origin.as_bytes(), &method, names.iter().copied()) else {
        return Err(refused(
            "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request method / Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the resource's CORS spec.",
        ));
    };
    let mut answer = respond::empty(StatusCode::OK);
    if let Some(v) = value(&names.join(", ").to_ascii_lowercase()).filter(|v| !v.is_empty()) {
        answer.headers_mut().insert(ACCESS_CONTROL_ALLOW_HEADERS, v);
    }
    allow(answer.headers_mut(), &found, origin.clone());
    answer.headers_mut().insert(VARY, VARIES);
    Ok(answer)
}

fn allow(headers: &mut HeaderMap, found: &Match<'_>, origin: HeaderValue) {
    if found.any_origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    } else {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, found.rule.methods_value.clone());
    if let Some(exposed) = &found.rule.exposed_value {
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
    }
    if let Some(seconds) = &found.rule.max_age_value {
        headers.insert(ACCESS_CONTROL_MAX_AGE, seconds.clone());
    }
}

// Ready for use

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
