//! A bucket's CORS: set, read and removed as a document, and its effect on every answer and preflight, as on S3.
//!
//! In two things it is kinder than S3: every answer of a bucket with rules varies by `Origin`, also where none came, so
//! that no cache hands a plain answer to a page that needs CORS; and CORP is on every answer.
//! Not here: the rules themselves (`rules`), and keeping them ready (`compiled`).

pub mod compiled;
pub mod rules;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::auth::action::Action;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::header;
use crate::base::names::BucketName;
use crate::base::object::BucketDocument;
use crate::http::edge::cors::CROSS_ORIGIN_RESOURCE_POLICY;
use crate::http::exchange::Exchange;
use crate::http::gateway::Gateway;
use crate::http::record::Record;
use crate::http::respond::{self, Answer, value};
use crate::http::s3::cors::rules::{Match, Rules};
use crate::http::s3::route::Resource;

/// Names in Access-Control-Request-Headers: more than any page sends, and each is held against all that rules allow.
const MAX_ASKED_HEADERS: usize = 100;
const VARIES: HeaderValue = HeaderValue::from_static("Origin, Access-Control-Request-Headers, Access-Control-Request-Method");

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
pub async fn apply(gateway: &Gateway, record: &Record, asked: Option<Asked>, headers: &mut HeaderMap) {
    headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    let Some(name) = record.resource().and_then(Resource::bucket) else { return };
    let bucket = match record.bucket() {
        Some(bucket) => bucket.clone(),
        // A request that was refused before anybody looked.
        None => match gateway.ops.bucket_for_decision(name).await {
            Ok(Some(bucket)) => bucket,
            Ok(None) | Err(_) => return,
        },
    };
    record.saw_bucket(bucket.clone());
    if !bucket.documents.contains_key(&BucketDocument::Cors) {
        return;
    }
    headers.append(VARY, VARIES);
    let Some(Asked { origin, method: Some(method) }) = asked else { return };
    let Some(rules) = compiled::of(&gateway.cors, &bucket) else { return };
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
            Some(bucket) => compiled::of(&gateway.cors, &bucket),
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
