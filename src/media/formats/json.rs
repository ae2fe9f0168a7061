//! JSON: one value, and nothing behind it.

use crate::media::bytes::Looked;

pub fn look(bytes: &[u8]) -> Looked<()> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match serde_json::from_slice::<serde::de::IgnoredAny>(bytes) {
        Ok(_) => Ok(()),
        Err(e) => Err(format!("it is no JSON: {e}")),
    }
}
