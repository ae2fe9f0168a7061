//! `POST /-/v1/warm`: a job reads objects into the cache of this node before they are asked for.
//!
//! A tenant may warm what it may read: each key is decided for `tidegate:Warm` and for `s3:GetObject`, a prefix as the key `PREFIX*`.

use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use crate::auth::Action;
use crate::auth::grant::Grant;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{BucketName, ObjectKey};
use crate::http::api::input::{parse_large, pattern};
use crate::http::exchange::Exchange;
use crate::http::pace::Pace;
use crate::http::respond::{self, Answer};

/// More is another request.
const MAX_NAMED: usize = 3000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    bucket: String,
    #[serde(default)]
    keys: Vec<String>,
    #[serde(default)]
    prefixes: Vec<String>,
}

pub async fn warm(exchange: &mut Exchange<'_>) -> Result<Answer> {
    let request: Request = parse_large(exchange).await?;
    if request.keys.len() + request.prefixes.len() > MAX_NAMED {
        return Err(Error::new(ErrorKind::InvalidRequest, format!("At most {MAX_NAMED} keys and prefixes fit in one request.")));
    }
    let bucket = BucketName::parse(&request.bucket)?;
    let mut keys = Vec::with_capacity(request.keys.len());
    let mut pace = Pace::begin();
    for key in &request.keys {
        pace.next().await;
        keys.push(grant(exchange, &bucket, &ObjectKey::parse(key)?).await?);
    }
    let mut prefixes = Vec::with_capacity(request.prefixes.len());
    for prefix in &request.prefixes {
        pace.next().await;
        prefixes.push(grant(exchange, &bucket, &pattern(prefix)?).await?);
    }
    let job = exchange.gateway.ops.warm(&keys, &prefixes, exchange.caller.access_key.clone()).await?;
    let mut answer = respond::json(&json!({ "job": job.to_string() }))?;
    *answer.status_mut() = StatusCode::ACCEPTED;
    Ok(answer)
}

async fn grant(exchange: &Exchange<'_>, bucket: &BucketName, key: &ObjectKey) -> Result<Grant> {
    exchange.on_object(Action::GetObject, bucket, key).await?;
    exchange.on_object(Action::Warm, bucket, key).await
}
