//! What a call of the tenants' API brings along: its JSON body, and prefixes as policies name them.

use serde::de::DeserializeOwned;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::MAX_KEY_BYTES;
use crate::base::names::ObjectKey;
use crate::http::document;
use crate::http::exchange::Exchange;

/// All keys that begin so, as policies name them.
pub fn pattern(prefix: &str) -> Result<ObjectKey> {
    if prefix.len() >= MAX_KEY_BYTES {
        return Err(Error::new(ErrorKind::KeyTooLong, "The prefix is too long."));
    }
    ObjectKey::parse(&format!("{prefix}*"))
}

/// A small body as what the operation takes; a name that it does not know is a mistake.
pub async fn parse<T: DeserializeOwned>(exchange: &mut Exchange<'_>) -> Result<T> {
    read_json(&exchange.document().await?)
}

/// As `parse`, where a body that is empty says nothing.
pub async fn parse_or_default<T: DeserializeOwned + Default>(exchange: &mut Exchange<'_>) -> Result<T> {
    let document = exchange.document().await?;
    if document.is_empty() { Ok(T::default()) } else { read_json(&document) }
}

/// As `parse`, of a body that lists many keys.
pub async fn parse_large<T: DeserializeOwned + Send + 'static>(exchange: &mut Exchange<'_>) -> Result<T> {
    let document = exchange.large_document().await?;
    document::read(document, read_json).await
}

fn read_json<T: DeserializeOwned>(document: &[u8]) -> Result<T> {
    let mut json = serde_json::Deserializer::from_slice(document);
    let wrong = |e: serde_json::Error| Error::new(ErrorKind::InvalidRequest, format!("The body is not what this call takes: {e}"));
    let value = T::deserialize(&mut json).map_err(wrong)?;
    json.end().map_err(wrong)?;
    Ok(value)
}
