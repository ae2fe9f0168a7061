//! Where the messages of other nodes arrive, on the admin door. A node without peers has no such address.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Method};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use crate::base::crypt::wrap::random;
use crate::base::error::{Error, ErrorKind, Result};
use crate::cluster::blocks::ANSWER;
use crate::cluster::message::MAX_BYTES;
use crate::cluster::seal::{FromPeer, Seals};
use crate::cluster::sealed_body;
use crate::http::body::Counted;
use crate::http::gateway::Gateway;
use crate::http::record::Record;
use crate::http::respond::{self, Answer};
use crate::net::request_body::RequestBody;

pub async fn told(gateway: &Gateway, record: &Record, parts: &Parts, body: RequestBody) -> Result<Answer> {
    let from = heard(gateway, record, parts, body).await?;
    respond::json(&gateway.ops.told_by_peer(&from).await?)
}

/// Blocks of the cache, sealed for whoever asked.
pub async fn give(gateway: &Gateway, record: &Record, parts: &Parts, body: RequestBody) -> Result<Answer> {
    let from = heard(gateway, record, parts, body).await?;
    let body = gateway.ops.give_to_peer(&from).await?;
    let (seals, answer) = (seals(gateway)?, random()?);
    let sealed = sealed_body::seal(body, seals.answer_key(authorization(parts), answer)?)?;
    let mut response = Answer::new(sealed.into());
    response.headers_mut().insert(ANSWER, HeaderValue::try_from(hex::encode(answer)).map_err(Error::internal)?);
    let length = response.body().len();
    response.headers_mut().insert(CONTENT_LENGTH, length.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    Ok(response)
}

/// Nothing is read of a body whose head is not genuine.
async fn heard<T: DeserializeOwned>(gateway: &Gateway, record: &Record, parts: &Parts, body: RequestBody) -> Result<FromPeer<T>> {
    let seals = seals(gateway)?;
    if parts.method != Method::POST {
        return Err(Error::new(ErrorKind::MethodNotAllowed, "Use POST here.").detail("AllowedMethods", "POST"));
    }
    let opened = seals.open(authorization(parts))?;
    opened.message(&bounded(Counted { body, record, transfer: None, throttle: None }).await?)
}

fn seals(gateway: &Gateway) -> Result<&Seals> {
    let nothing = || Error::new(ErrorKind::NotFound, "This node has no peers: cluster.peers is empty.");
    gateway.seals.as_deref().ok_or_else(nothing)
}

fn authorization(parts: &Parts) -> &str {
    parts.headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or_default()
}

async fn bounded(body: Counted<'_>) -> Result<Bytes> {
    match Limited::new(body, MAX_BYTES).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(e) if e.is::<LengthLimitError>() => Err(Error::new(ErrorKind::EntityTooLarge, "The message is too large.")),
        Err(e) => Err(match e.downcast::<Error>() {
            Ok(e) => *e,
            Err(e) => Error::new(ErrorKind::IncompleteBody, "The message could not be read.").caused_by(e),
        }),
    }
}
