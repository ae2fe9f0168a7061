//! `/-/v1/artifacts`: what was generated, by run and type, or on the shelf of a session, project or template.
//!
//! An artifact is an object under a key of the layout (`base::layout`), and nothing beside it: what is written by S3 is one too, and lists read the bucket.
//! In a run it gets the name of its content, which never changes. On a shelf it keeps the name that it was given: a document that lives, written again
//! under conditions, with versions where its bucket keeps them.
//! Files: where it lies (`place`), making one (`create`), looking at one (`show`), lists and runs (`list`).
//! Invariants: every object is decided for itself, by the same policies as on S3; what is listed is what `s3:ListBucket` shows.

pub mod create;
pub mod list;
mod place;
pub mod show;

pub use create::{Batch, Create};
pub use list::Asked;

use http::StatusCode;
use serde::Serialize;

use crate::base::checksum::ChecksumAlgorithm;
use crate::base::error::Result;
use crate::http::api::assets::named;
use crate::http::api::input::parse_large;
use crate::http::exchange::Exchange;
use crate::http::respond::{self, Answer};
use crate::http::s3::route::Resource;
use crate::http::s3::{objects, publish};

/// Behind the name of the collection, where many are made at once.
pub const BATCH: &str = "artifacts:batch";

pub async fn list(exchange: &mut Exchange<'_>) -> Result<Answer> {
    let asked = Asked::of_query(&exchange.query)?;
    respond::json(&list::page(exchange, &asked).await?)
}

/// `path`: `<bucket>/<tenant>`, or `<bucket>/<tenant>/<run>`.
pub async fn runs(exchange: &mut Exchange<'_>, path: &str) -> Result<Answer> {
    respond::json(&list::runs(exchange, path).await?)
}

pub async fn get(exchange: &mut Exchange<'_>, path: &str) -> Result<Answer> {
    let (bucket, key) = named(path)?;
    if exchange.query.value("versions").is_some_and(|asked| asked == "true") {
        return respond::json(&list::versions(exchange, &bucket, &key).await?);
    }
    let asked = show::Asked::of_query(&exchange.query)?;
    respond::json(&show::one(exchange, &bucket, &key, asked).await?)
}

pub async fn create(exchange: &mut Exchange<'_>) -> Result<Answer> {
    let wanted: Create = parse_large(exchange).await?;
    created(&create::one(exchange, wanted).await?)
}

pub async fn create_batch(exchange: &mut Exchange<'_>) -> Result<Answer> {
    let batch: Batch = parse_large(exchange).await?;
    respond::json(&create::batch(exchange, batch).await?)
}

/// The body of the request, as it is.
pub async fn put(exchange: &mut Exchange<'_>, path: &str) -> Result<Answer> {
    let (bucket, asked) = named(path)?;
    let is_of_run = place::is_of_run(&asked)?;
    exchange.record.names(Resource::Object(bucket.clone(), asked.clone()));
    let (key, object, existed) = if is_of_run {
        let published = publish::take_in(exchange, &bucket, &asked).await?;
        (publish::name_of(&published, &asked), published.object, published.existed)
    } else {
        let (_, object) = objects::put_with(exchange, &bucket, &asked, ChecksumAlgorithm::Crc64Nvme).await?;
        (asked, object, false)
    };
    created(&show::written(exchange, &bucket, &key, &object, existed).await?)
}

pub async fn delete(exchange: &mut Exchange<'_>, path: &str) -> Result<Answer> {
    let (bucket, key) = named(path)?;
    exchange.record.names(Resource::Object(bucket.clone(), key.clone()));
    objects::delete(exchange, &bucket, &key).await
}

fn created(document: &impl Serialize) -> Result<Answer> {
    let mut answer = respond::json(document)?;
    *answer.status_mut() = StatusCode::CREATED;
    Ok(answer)
}
