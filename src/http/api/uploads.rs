//! How uploads are doing: one by its id, or what goes on with a key; waiting for its end, if asked to.
//!
//! An id is a request's (`x-amz-request-id` of a PUT), a multipart upload's, or that of a job which carries what was written back
//! upstream. By id a tenant sees its own. By key whoever may read the key sees what becomes of it. A multipart upload that another
//! node began is found by id, bucket and key together.

use std::time::Duration;

use crate::auth::action::Action;
use crate::auth::query::decode;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{BucketName, ObjectKey, UploadId};
use crate::base::object_ref::ObjectRef;
use crate::http::api::jobs::seconds;
use crate::http::exchange::Exchange;
use crate::http::respond::{self, Answer};
use crate::http::site::OnSite;
use crate::ops::upload_status::{Status, no_such_upload};
use crate::origin::Freshness;

pub async fn by_id(exchange: &Exchange<'_>, id: &str) -> Result<Answer> {
    let grant = &exchange.authorize_service(Action::GetUpload)?;
    let id = decode(id)?;
    let ops = &exchange.gateway.ops;
    match ops.upload_status(grant, &id, patience(exchange)?).await {
        Err(e) if e.kind() == ErrorKind::NotFound && exchange.query.has("key") => {}
        status => return answer(exchange, &status?),
    }
    let (bucket, key) = named(exchange)?;
    let id = UploadId::parse(&id).map_err(|_| no_such_upload())?;
    let grant = exchange.on_upload(Action::ListMultipartUploadParts, &bucket, &key, Some(&id)).await?;
    answer(exchange, &ops.multipart_status(&grant, &id).await?.ok_or_else(no_such_upload)?)
}

pub async fn by_key(exchange: &Exchange<'_>) -> Result<Answer> {
    exchange.authorize_service(Action::GetUpload)?;
    let (bucket, key) = named(exchange)?;
    let ops = &exchange.gateway.ops;
    let found = exchange.existing(ops.bucket_for_decision(&bucket).await?, &bucket)?;
    let object = ops.object_for_decision(ObjectRef::current(&bucket, &key), Freshness::Current).await?;
    let grant = exchange.authorize_object(Action::GetObject, &found, ObjectRef::current(&bucket, &key), object.as_ref()).await?;
    answer(exchange, &ops.upload_status_of_key(&grant, patience(exchange)?).await?)
}

fn patience(exchange: &Exchange<'_>) -> Result<Duration> {
    exchange.query.value("wait").map_or(Ok(Duration::ZERO), seconds)
}

fn named(exchange: &Exchange<'_>) -> Result<(BucketName, ObjectKey)> {
    match (exchange.query.value("bucket"), exchange.query.value("key")) {
        (Some(bucket), Some(key)) => Ok((BucketName::parse(bucket)?, ObjectKey::parse(key)?)),
        _ => Err(Error::new(ErrorKind::InvalidArgument, "An upload is asked for by its id, or by bucket and key.")),
    }
}

fn answer(exchange: &Exchange<'_>, status: &Status) -> Result<Answer> {
    let mut document = serde_json::to_value(status).map_err(Error::internal)?;
    if status.is_readable() {
        let place = exchange.gateway.settings.place_of(&status.bucket, &status.key);
        document["url"] = match place.and_then(|place| place.base.map(|base| format!("{base}{}", place.path))) {
            Some(url) => url.into(),
            None => format!("{}{}", exchange.base_url(), OnSite::on_s3_door(&status.bucket, &status.key)).into(),
        };
    }
    respond::json(&document)
}
