//! Where the messages of other nodes arrive, on the admin door. A node without peers has no such address.

use bytes::Bytes;
use http::Method;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::base::error::{Error, ErrorKind, Result};
use crate::cluster::message::MAX_BYTES;
use crate::http::body::Counted;
use crate::http::gateway::Gateway;
use crate::http::record::Record;
use crate::http::respond::{self, Answer};
use crate::net::request_body::RequestBody;

pub async fn told(gateway: &Gateway, record: &Record, parts: &Parts, body: RequestBody) -> Result<Answer> {
    let nothing = || Error::new(ErrorKind::NotFound, "This node has no peers: cluster.peers is empty.");
    let seals = gateway.seals.as_ref().ok_or_else(nothing)?;
    if parts.method != Method::POST {
        return Err(Error::new(ErrorKind::MethodNotAllowed, "Use POST here.").detail("AllowedMethods", "POST"));
    }
    let sealed = parts.headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or_default();
    // Nothing is read of a body whose head is not genuine.
    let opened = seals.open(sealed)?;
    let from = opened.message(&bounded(Counted { body, record, transfer: None, throttle: None }).await?)?;
    respond::json(&gateway.ops.told_by_peer(&from).await?)
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
