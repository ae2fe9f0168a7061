//! Artifacts as MCP's resources: `tidegate://bucket/key`; and what is read of an object for a model: small text in place, a link to all else.

use std::future::poll_fn;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::auth::query::decode;
use crate::auth::{Action, Grant};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::header;
use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::SharedObject;
use crate::base::range::ByteRange;
use crate::http::api::presign;
use crate::http::exchange::Exchange;
use crate::http::mcp::fault::Fault;
use crate::ops::read::Shown;
use crate::origin::{Body, ReadBy};

const SCHEME: &str = "tidegate://";
/// What goes through a model's context at once.
pub const MAX_INLINE: u64 = 64 * 1024;
/// As base64, that is a third longer.
const MAX_BLOB: u64 = 48 * 1024;
/// Of a link in an answer: somebody follows it now.
const LINK_SECONDS: u64 = 300;

pub fn templates() -> Value {
    json!({ "resourceTemplates": [{
        "uriTemplate": "tidegate://{bucket}/{+key}",
        "name": "artifact",
        "title": "An artifact by bucket and key",
        "description": "Its text where it is small text, base64 where it is small. What is larger is read by read_artifact, in pieces or by a URL.",
    }] })
}

pub async fn read(exchange: &Exchange<'_>, parameters: &Value) -> Result<Value, Fault> {
    let uri = parameters["uri"].as_str().ok_or_else(|| Fault::parameters("uri is missing."))?;
    let named = uri.strip_prefix(SCHEME).and_then(|rest| rest.split_once('/')).filter(|(_, key)| !key.is_empty());
    let (bucket, key) = named.ok_or_else(|| Fault::parameters("A resource is called tidegate://BUCKET/KEY."))?;
    let (bucket, key) = (BucketName::parse(bucket)?, ObjectKey::parse(&decode(key)?)?);
    let (grant, object) = exchange.readable(Action::GetObject, &bucket, &key).await?;
    let is_text = is_text(&object.headers.content_type);
    if object.size > if is_text { MAX_INLINE } else { MAX_BLOB } {
        let text = format!("It has {} bytes: read_artifact reads text in pieces and gives a URL for all else.", object.size);
        return Err(Fault::parameters(text));
    }
    let bytes = piece(exchange, &grant, &object, 0, object.size).await?;
    let content = match String::from_utf8(bytes) {
        Ok(text) if is_text => json!({ "uri": uri, "mimeType": object.headers.content_type, "text": text }),
        Ok(text) => json!({ "uri": uri, "mimeType": object.headers.content_type, "blob": STANDARD.encode(text) }),
        Err(e) => json!({ "uri": uri, "mimeType": object.headers.content_type, "blob": STANDARD.encode(e.as_bytes()) }),
    };
    Ok(json!({ "contents": [content] }))
}

/// Bytes of the object, fewer where it ends.
pub async fn piece(exchange: &Exchange<'_>, grant: &Grant, object: &SharedObject, start: u64, length: u64) -> Result<Vec<u8>> {
    let end = start.saturating_add(length).min(object.size);
    if start >= end {
        return Ok(Vec::new());
    }
    if let Some(bucket) = grant.bucket() {
        exchange.gateway.require_egress(&object.owner, bucket)?;
    }
    let range = ByteRange { start, end };
    let body = exchange.gateway.ops.open(grant, Shown::stored(object), range, ReadBy::UserSpace).await?;
    let replaced = || Error::new(ErrorKind::OperationAborted, "The object was replaced while it was read. Please try again.");
    match body.ok_or_else(replaced)? {
        Body::Memory(bytes) => Ok(bytes.to_vec()),
        Body::Stream(mut source) => {
            let mut all = Vec::new();
            while let Some(bytes) = poll_fn(|cx| source.as_mut().poll_next(cx)).await {
                all.extend_from_slice(&bytes?);
            }
            Ok(all)
        }
    }
}

/// Where all of it can be read for a short time, as content of an answer.
pub async fn link(exchange: &Exchange<'_>, bucket: &BucketName, key: &ObjectKey, object: &SharedObject) -> Result<Value> {
    let link = presign::fitting(exchange, &presign::Request::to_read(bucket, key, Some(LINK_SECONDS))).await?;
    let name = key.as_str().rsplit('/').next().unwrap_or_default();
    Ok(json!({
        "type": "resource_link", "uri": link.url, "name": name, "mimeType": object.headers.content_type, "size": object.size,
        "description": link.expires.map_or_else(|| "public".to_owned(), |until| format!("until {until}")),
    }))
}

pub fn is_text(content_type: &str) -> bool {
    let kind = header::trim(content_type.split(';').next().unwrap_or_default()).to_ascii_lowercase();
    const TEXT: [&str; 8] = [
        "application/json",
        "application/javascript",
        "application/xml",
        "application/yaml",
        "application/toml",
        "application/sql",
        "application/x-sh",
        "image/svg+xml",
    ];
    kind.starts_with("text/") || kind.ends_with("+json") || kind.ends_with("+xml") || TEXT.contains(&kind.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_model_reads() {
        for text in ["text/plain; charset=utf-8", "application/json", "model/gltf+json", "image/svg+xml", "TEXT/CSS"] {
            assert!(is_text(text), "{text}");
        }
        for other in ["", "model/gltf-binary", "image/png", "application/octet-stream"] {
            assert!(!is_text(other), "{other}");
        }
    }
}
