//! `POST /-/v1/fetch`: a job brings what lies at an address elsewhere under a key.
//!
//! Decided for `tidegate:Fetch` here, and for `s3:PutObject` when the job begins: a tenant may be told early that it may not, and late that it
//! may not any more.

use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use crate::auth::Action;
use crate::base::digest::Sha256;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{BucketName, ObjectKey};
use crate::base::timestamp::Timestamp;
use crate::http::api::input::parse;
use crate::http::exchange::Exchange;
use crate::http::respond::{self, Answer};
use crate::ops::fetch::Asked;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    url: String,
    bucket: String,
    key: String,
    content_type: Option<String>,
    sha256: Option<String>,
    bytes: Option<u64>,
    expires: Option<String>,
    idempotency_key: Option<String>,
}

pub async fn fetch(exchange: &mut Exchange<'_>) -> Result<Answer> {
    let request: Request = parse(exchange).await?;
    let (bucket, key) = (BucketName::parse(&request.bucket)?, ObjectKey::parse(&request.key)?);
    let sha256 = understood(request.sha256, "sha256 is 64 digits of 0-9 a-f.", Sha256::from_hex)?;
    let expires = understood(request.expires, "expires is a time such as 2026-11-30T12:00:00Z.", Timestamp::parse_iso8601)?;
    exchange.on_object(Action::PutObject, &bucket, &key).await?;
    let grant = exchange.on_object(Action::Fetch, &bucket, &key).await?;
    let asked = Asked {
        url: request.url,
        content_type: request.content_type,
        sha256,
        bytes: request.bytes,
        expires,
        idempotency_key: request.idempotency_key,
        asked_by: exchange.caller.access_key.clone(),
    };
    let enqueued = exchange.gateway.ops.fetch(&grant, asked, exchange.now).await?;
    let mut answer = respond::json(&json!({ "job": enqueued.id.to_string(), "new": enqueued.is_new }))?;
    *answer.status_mut() = StatusCode::ACCEPTED;
    Ok(answer)
}

fn understood<T>(text: Option<String>, expected: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>> {
    text.map(|text| parse(&text).ok_or_else(|| Error::new(ErrorKind::InvalidArgument, expected))).transpose()
}
