//! Bucket policies: what is stored is what came, checked and compiled before it is kept.

use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};

use crate::auth::action::Action;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::BucketName;
use crate::base::object::BucketDocument;
use crate::http::body::ResponseBody;
use crate::http::exchange::Exchange;
use crate::http::respond::{self, Answer};
use crate::http::xml::Writer;

pub async fn get(exchange: &mut Exchange<'_>, name: &BucketName) -> Result<Answer> {
    exchange.on_bucket(Action::GetBucketPolicy, name).await?;
    let policy = stored(exchange, name).await?;
    let mut answer = respond::empty(StatusCode::OK);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(policy.len()));
    *answer.body_mut() = ResponseBody::text(policy);
    Ok(answer)
}

pub async fn status(exchange: &mut Exchange<'_>, name: &BucketName) -> Result<Answer> {
    exchange.on_bucket(Action::GetBucketPolicyStatus, name).await?;
    let bucket = exchange.gateway.ops.bucket_for_decision(name).await?;
    let bucket = exchange.existing(bucket, name)?;
    let by_policy = match bucket.documents.get(&BucketDocument::Policy) {
        Some(policy) => exchange.gateway.auth.open_bucket_policy(name, policy)?.is_public(),
        None => false,
    };
    let by_acl = exchange.gateway.auth.public_acls_count(&bucket) && bucket.acl.is_public();
    let mut w = Writer::document("PolicyStatus");
    w.leaf("IsPublic", by_policy || by_acl);
    Ok(respond::xml(w.finish("PolicyStatus")))
}

pub async fn put(exchange: &mut Exchange<'_>, name: &BucketName) -> Result<Answer> {
    let grant = exchange.on_bucket(Action::PutBucketPolicy, name).await?;
    let policy = exchange.document().await?;
    let bucket = exchange.gateway.ops.bucket_for_decision(name).await?;
    let bucket = exchange.existing(bucket, name)?;
    exchange.gateway.auth.policy_to_set(&bucket, &policy)?;
    exchange.gateway.ops.set_bucket_policy(&grant, policy.to_vec()).await?;
    Ok(respond::empty(StatusCode::NO_CONTENT))
}

pub async fn delete(exchange: &mut Exchange<'_>, name: &BucketName) -> Result<Answer> {
    let grant = exchange.on_bucket(Action::DeleteBucketPolicy, name).await?;
    exchange.gateway.ops.delete_bucket_policy(&grant).await?;
    Ok(respond::empty(StatusCode::NO_CONTENT))
}

async fn stored(exchange: &Exchange<'_>, name: &BucketName) -> Result<Vec<u8>> {
    let bucket = exchange.gateway.ops.bucket_for_decision(name).await?;
    let policy = bucket.and_then(|b| b.documents.get(&BucketDocument::Policy).cloned());
    policy.ok_or_else(|| Error::new(ErrorKind::NoSuchBucketPolicy, "The bucket policy does not exist").detail("BucketName", name.as_str()))
}
