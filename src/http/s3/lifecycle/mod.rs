//! A bucket's lifecycle: set, read and removed as a document; and `x-amz-expiration`, which tells of an object when it goes.
//!
//! Not here: the document's XML (`document`), what a rule means (`base::lifecycle`), and who carries it out (`jobs::lifecycle`).

pub mod document;

use http::header::HeaderValue;
use http::{HeaderMap, StatusCode};

use crate::auth::action::Action;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::header::text;
use crate::base::lifecycle::day::Day;
use crate::base::lifecycle::evaluate::{Standing, Subject};
use crate::base::lifecycle::{Configuration, TransitionMinimum};
use crate::base::names::BucketName;
use crate::base::object::{Bucket, BucketDocument, SharedObject};
use crate::base::object_ref::{ObjectRef, VersionSelector};
use crate::base::tags::Tags;
use crate::http::document as documents;
use crate::http::exchange::Exchange;
use crate::http::query::encode_listed;
use crate::http::respond::{self, Answer, value};

const MINIMUM: &str = "x-amz-transition-default-minimum-object-size";
const EXPIRATION: &str = "x-amz-expiration";

// The document

pub async fn get(exchange: &mut Exchange<'_>, name: &BucketName) -> Result<Answer> {
    exchange.on_bucket(Action::GetLifecycleConfiguration, name).await?;
    let bucket = exchange.gateway.ops.bucket_for_decision(name).await?;
    let stored = bucket.and_then(|b| b.documents.get(&BucketDocument::Lifecycle).cloned()).ok_or_else(|| {
        let text = "The lifecycle configuration does not exist";
        Error::new(ErrorKind::NoSuchLifecycleConfiguration, text).detail("BucketName", name.as_str())
    })?;
    let configuration = Configuration::decode(&stored)?;
    Ok(with_minimum(respond::xml(document::write(&configuration)), configuration.minimum))
}

pub async fn put(exchange: &mut Exchange<'_>, name: &BucketName) -> Result<Answer> {
    let grant = exchange.on_bucket(Action::PutLifecycleConfiguration, name).await?;
    let minimum = match text(&exchange.parts.headers, MINIMUM)? {
        None => TransitionMinimum::default(),
        Some(named) => TransitionMinimum::parse(named).ok_or_else(|| {
            let text = "The smallest size of objects that change their class is all_storage_classes_128K or varies_by_storage_class.";
            Error::new(ErrorKind::InvalidRequest, text).detail("Header", MINIMUM)
        })?,
    };
    let received = exchange.large_document().await?;
    let rules = documents::read(received, document::read).await?;
    let configuration = Configuration { rules, minimum };
    configuration.check()?;
    exchange.gateway.ops.set_bucket_lifecycle(&grant, Some(configuration.encode()?)).await?;
    Ok(with_minimum(respond::empty(StatusCode::OK), minimum))
}

pub async fn delete(exchange: &mut Exchange<'_>, name: &BucketName) -> Result<Answer> {
    let grant = exchange.on_bucket(Action::PutLifecycleConfiguration, name).await?;
    exchange.gateway.ops.set_bucket_lifecycle(&grant, None).await?;
    Ok(respond::empty(StatusCode::NO_CONTENT))
}

fn with_minimum(mut answer: Answer, minimum: TransitionMinimum) -> Answer {
    answer.headers_mut().insert(MINIMUM, HeaderValue::from_static(minimum.name()));
    answer
}

// Its effect

/// What was just written, with these tags where that is known: its bucket is looked up again, at no cost where nothing expires.
pub async fn tell_written(exchange: &Exchange<'_>, of: ObjectRef<'_>, object: &SharedObject, tags: Option<Tags>, headers: &mut HeaderMap) {
    // The write is done: it is not for the want of a header that it fails.
    if let Ok(Some(bucket)) = exchange.gateway.ops.bucket_for_decision(of.bucket).await {
        tell_tagged(exchange, &bucket, of, object, tags, headers).await;
    }
}

/// When the current version goes, and by which rule. Days are those of the calendar, also where tests make those of the job short.
pub async fn tell(exchange: &Exchange<'_>, bucket: &Bucket, of: ObjectRef<'_>, object: &SharedObject, headers: &mut HeaderMap) {
    tell_tagged(exchange, bucket, of, object, None, headers).await;
}

async fn tell_tagged(
    exchange: &Exchange<'_>,
    bucket: &Bucket,
    of: ObjectRef<'_>,
    object: &SharedObject,
    tags: Option<Tags>,
    headers: &mut HeaderMap,
) {
    let Some(rules) = exchange.gateway.ops.lifecycles().of(bucket) else { return };
    if of.version != VersionSelector::Current {
        return;
    }
    let ops = &exchange.gateway.ops;
    let tags = match tags {
        Some(tags) => Ok(Some(tags)),
        None if rules.ask_for_tags() && object.tag_count != Some(0) => ops.tags_for_decision(of, object).await,
        None => Ok(Some(Tags::default())),
    };
    // What can't be told is left out: the object is served all the same.
    let Ok(Some(tags)) = tags else { return };
    let standing = Standing::Current { modified: object.modified };
    let subject = Subject { key: of.key.as_str(), size: object.size, tags: Some(&tags), read: None, standing };
    let Some(due) = rules.foreseen(&subject, Day::Calendar) else { return };
    let text = format!("expiry-date=\"{}\", rule-id=\"{}\"", due.at.http_date(), encode_listed(&due.rule.id));
    if let Some(text) = value(&text) {
        headers.insert(EXPIRATION, text);
    }
}
