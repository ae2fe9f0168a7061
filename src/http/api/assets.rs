//! What is known of a file: what it is declared to be, and what was found in it.
//!
//! Whoever may read the object may read this. Where nothing was looked into yet, a job is asked for, and may be waited for.

use std::time::Duration;

use serde_json::json;

use crate::auth::action::Action;
use crate::auth::query::decode;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{BucketName, ObjectKey};
use crate::base::object_ref::ObjectRef;
use crate::http::api::jobs::seconds;
use crate::http::exchange::Exchange;
use crate::http::respond::{self, Answer};
use crate::ops::media::is_media;
use crate::origin::Freshness;

pub async fn get(exchange: &Exchange<'_>, path: &str) -> Result<Answer> {
    let named = path.split_once('/').filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty());
    let (bucket, key) =
        named.ok_or_else(|| Error::new(ErrorKind::InvalidArgument, "An asset is asked for as /-/v1/assets/<bucket>/<key>."))?;
    let (bucket, key) = (BucketName::parse(bucket)?, ObjectKey::parse(&decode(key)?)?);
    let patience = exchange.query.value("wait").map_or(Ok(Duration::ZERO), seconds)?;
    let (ops, of) = (&exchange.gateway.ops, ObjectRef::current(&bucket, &key));
    let (found, object, _) = exchange.look_up_to_read(&bucket, &key, Freshness::Current, None).await?;
    let grant = exchange.authorize_object(Action::GetObject, &found, of, Some(&object)).await?;
    let mut object = ops.with_inspection(of, object, true).await;
    let mut job = ops.ask_for_inspection(&grant, &object).await?;
    if let Some(id) = job.filter(|_| !patience.is_zero()) {
        ops.wait_for_inspection(id, patience).await?;
        if let Some(now) = ops.object_for_decision(of, Freshness::Current).await? {
            object = ops.with_inspection(of, now, true).await;
        }
        job = job.filter(|_| object.inspection.is_none());
    }
    respond::json(&json!({
        "bucket": bucket.as_str(),
        "key": key.as_str(),
        "version_id": object.version.as_str(),
        "etag": object.etag.quoted(),
        "size": object.size,
        "content_type": object.headers.content_type,
        "last_modified": object.modified.iso8601(),
        "is_media": is_media(&object, &key),
        "inspection": object.inspection.as_ref().map(|found| found.as_json()),
        "job": job.map(|id| id.to_string()),
    }))
}
