//! A bucket's website configuration: set, read and removed. The S3 door does no more with it; sites of the edge door honour it
//! (`http/edge/website`).

pub mod rules;

use http::StatusCode;

use crate::auth::action::Action;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::BucketName;
use crate::base::object::BucketDocument;
use crate::http::exchange::Exchange;
use crate::http::respond::{self, Answer};
use crate::http::s3::website::rules::Website;

pub async fn get(exchange: &mut Exchange<'_>, name: &BucketName) -> Result<Answer> {
    exchange.on_bucket(Action::GetBucketWebsite, name).await?;
    let stored = exchange.stored_document(name, BucketDocument::Website).await?;
    let none = || Error::new(ErrorKind::NoSuchWebsite, "The specified bucket does not have a website configuration");
    stored.map(respond::xml).ok_or_else(|| none().detail("BucketName", name.as_str()))
}

pub async fn put(exchange: &mut Exchange<'_>, name: &BucketName) -> Result<Answer> {
    let grant = exchange.on_bucket(Action::PutBucketWebsite, name).await?;
    let website = Website::parse(&exchange.document().await?)?;
    exchange.gateway.ops.set_bucket_website(&grant, Some(website.document().into_bytes())).await?;
    Ok(respond::empty(StatusCode::OK))
}

pub async fn delete(exchange: &mut Exchange<'_>, name: &BucketName) -> Result<Answer> {
    let grant = exchange.on_bucket(Action::DeleteBucketWebsite, name).await?;
    exchange.gateway.ops.set_bucket_website(&grant, None).await?;
    Ok(respond::empty(StatusCode::NO_CONTENT))
}
