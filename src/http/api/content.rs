//! "Have it": an object of the caller's tenant with this content, so that a client need not send what is there already.
//!
//! Invariant: what another tenant has, or what the caller may not read, is as if it were not there.

use http::Method;
use http::header::{HeaderName, HeaderValue};
use serde::Serialize;

use crate::auth::Action;
use crate::base::digest::Sha256;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::object_ref::ObjectRef;
use crate::http::body::ResponseBody;
use crate::http::exchange::Exchange;
use crate::http::respond::{self, Answer, value};
use crate::origin::Freshness;

#[derive(Serialize)]
struct FoundContent<'a> {
    bucket: &'a str,
    key: &'a str,
    size: u64,
    etag: String,
    sha256: String,
}

pub async fn find(exchange: &Exchange<'_>, sha256: &Sha256) -> Result<Answer> {
    let unknown = || Error::new(ErrorKind::NotFound, "No object of yours is known to have this content.");
    let ops = &exchange.gateway.ops;
    let tenant = exchange.caller.identity.id();
    let (bucket, key) = ops.content_for_decision(tenant, sha256).await?.ok_or_else(unknown)?;
    // The record is a hint, and may be behind.
    let found = ops.bucket_for_decision(&bucket).await?.ok_or_else(unknown)?;
    let object = ops.object_for_decision(ObjectRef::current(&bucket, &key), Freshness::Current).await?;
    let same = |o: &crate::base::object::SharedObject| o.owner == *tenant && o.sha256.is_some_and(|s| s.digest() == sha256);
    let object = object.filter(same).ok_or_else(unknown)?;
    exchange.authorize_object(Action::GetObject, &found, ObjectRef::current(&bucket, &key), Some(&object)).await.map_err(|_| unknown())?;
    let document =
        FoundContent { bucket: bucket.as_str(), key: key.as_str(), size: object.size, etag: object.etag.quoted(), sha256: sha256.hex() };
    let mut answer = respond::json(&document)?;
    for (name, text) in [("x-tidegate-bucket", bucket.as_str()), ("x-tidegate-key", key.as_str())] {
        answer.headers_mut().insert(HeaderName::from_static(name), value(text).unwrap_or(HeaderValue::from_static("")));
    }
    if exchange.parts.method == Method::HEAD {
        *answer.body_mut() = ResponseBody::Empty;
    }
    Ok(answer)
}
