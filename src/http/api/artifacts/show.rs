//! One artifact: what it is, where it can be read, what was found in it and made of it; waiting until all of that is known.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

use crate::auth::presign::Presign;
use crate::auth::query::Query;
use crate::base::error::Result;
use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::SharedObject;
use crate::http::api::artifacts::place::told;
use crate::http::api::assets::{self, Known};
use crate::http::api::jobs::seconds;
use crate::http::api::presign::{self, Link};
use crate::http::exchange::Exchange;
use crate::media::optimize::recipe::Step;
use crate::ops::media::is_media;
use crate::ops::renditions::Manifest;
use crate::queue::JobId;

/// What is asked of one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked {
    /// How long the answer may wait until it was looked into, and made smaller where a rule says so.
    pub patience: Duration,
    /// Seconds for which signed links work. None: as long as others do.
    pub expires: Option<u64>,
}

impl Asked {
    pub fn of_query(query: &Query) -> Result<Self> {
        let patience = query.value("wait").map_or(Ok(Duration::ZERO), seconds)?;
        Ok(Asked { patience, expires: query.number("expires")? })
    }
}

pub async fn one(exchange: &Exchange<'_>, bucket: &BucketName, key: &ObjectKey, asked: Asked) -> Result<Value> {
    let begun = Instant::now();
    let mut known = assets::known(exchange, bucket, key, asked.patience).await?;
    let mut making = optimizing(exchange, &known).await?;
    let left = asked.patience.saturating_sub(begun.elapsed());
    if let Some(job) = making.filter(|_| !left.is_zero()) {
        exchange.gateway.ops.wait_for_media_job(job, left).await?;
        known = assets::known(exchange, bucket, key, Duration::ZERO).await?;
        making = optimizing(exchange, &known).await?;
    }
    shown(exchange, bucket, key, &known, making, asked.expires).await
}

async fn optimizing(exchange: &Exchange<'_>, known: &Known) -> Result<Option<JobId>> {
    exchange.gateway.ops.optimization_of(&known.grant, &known.object).await
}

async fn shown(
    exchange: &Exchange<'_>,
    bucket: &BucketName,
    key: &ObjectKey,
    known: &Known,
    making: Option<JobId>,
    expires: Option<u64>,
) -> Result<Value> {
    let object = &known.object;
    let mut document = facts(bucket, key, object);
    let link = link(exchange, bucket, key, expires).await?;
    document["is_media"] = json!(is_media(object, key));
    document["inspection"] = json!(object.inspection.as_ref().map(|found| found.as_json()));
    document["jobs"] = json!({ "inspect": known.job.map(|id| id.to_string()), "optimize": making.map(|id| id.to_string()) });
    document["ready"] = json!(known.job.is_none() && making.is_none());
    document["variants"] = match &known.manifest {
        Some(manifest) => variants(exchange, bucket, key, manifest, link.as_ref())?,
        None => json!([]),
    };
    let poster = document["variants"].as_array().and_then(|all| all.iter().find(|v| v["variant"] == Step::Poster.name()).cloned());
    document["poster"] = json!(poster.map(|poster| poster["uri"].clone()));
    put_link(&mut document, link);
    Ok(document)
}

/// Of what was just written, by whoever may read it now as well.
pub async fn written(exchange: &Exchange<'_>, bucket: &BucketName, key: &ObjectKey, object: &SharedObject, existed: bool) -> Result<Value> {
    let mut document = facts(bucket, key, object);
    document["existed"] = json!(existed);
    // Who may write only has no link, and has written all the same.
    put_link(&mut document, link(exchange, bucket, key, None).await.ok().flatten());
    Ok(document)
}

/// What the object itself says.
fn facts(bucket: &BucketName, key: &ObjectKey, object: &SharedObject) -> Value {
    let user = object.headers.user.iter().map(|(name, value)| (name.clone(), json!(String::from_utf8_lossy(value))));
    let mut document = told(key.as_str());
    document["bucket"] = json!(bucket.as_str());
    document["key"] = json!(key.as_str());
    document["version_id"] = json!(object.version.as_str());
    document["etag"] = json!(object.etag.quoted());
    document["sha256"] = json!(object.sha256.map(|hash| hash.digest().hex()));
    document["size"] = json!(object.size);
    document["content_type"] = json!(object.headers.content_type);
    document["last_modified"] = json!(object.modified.iso8601());
    document["metadata"] = Value::Object(user.collect());
    document
}

/// The plain address where anyone may read it, a signed one otherwise. None: who came by a link makes no other.
pub async fn link(exchange: &Exchange<'_>, bucket: &BucketName, key: &ObjectKey, expires: Option<u64>) -> Result<Option<Link>> {
    if !exchange.caller.via.is_own() {
        return Ok(None);
    }
    presign::fitting(exchange, &presign::Request::to_read(bucket, key, expires)).await.map(Some)
}

pub fn put_link(document: &mut Value, link: Option<Link>) {
    document["public"] = json!(link.as_ref().is_some_and(|link| link.public));
    document["uri_expires"] = json!(link.as_ref().and_then(|link| link.expires.clone()));
    document["uri"] = json!(link.map(|link| link.url));
}

/// Each with its address as a variant of the object, which whoever may read that may read.
fn variants(exchange: &Exchange<'_>, bucket: &BucketName, key: &ObjectKey, manifest: &Manifest, link: Option<&Link>) -> Result<Value> {
    let mut all = assets::shown(key, manifest)?["sources"].take();
    let own = exchange.base_url();
    for variant in all.as_array_mut().into_iter().flatten() {
        let name = variant["variant"].as_str().unwrap_or_default().to_owned();
        let uri = match link {
            None => None,
            Some(link) if link.public => Some(format!("{}?variant={name}", link.url)),
            Some(_) => {
                let seconds = exchange.gateway.settings.presign_expires.as_secs();
                let request = Presign {
                    method: Method::GET,
                    endpoint: &own,
                    bucket,
                    key,
                    expires_seconds: presign::within_session(exchange, seconds),
                    now: exchange.now,
                    query: &[("variant", &name)],
                };
                Some(exchange.gateway.auth.presign_for(exchange.caller, &request)?)
            }
        };
        variant["uri"] = json!(uri);
    }
    Ok(all)
}
