//! The parts of a CloudFront signature as they come: in the query of a URL, or in cookies. Pure, nothing is believed yet.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::COOKIE;

use super::statement::MAX_STATEMENT_BYTES;
use crate::auth::facts::query_pairs;
use crate::auth::url_key::Hash;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::header::trim;

pub const PARAMETERS: [&str; 5] = ["Expires", "Policy", "Signature", "Key-Pair-Id", "Hash-Algorithm"];
pub const COOKIES: [&str; 5] =
    ["CloudFront-Expires", "CloudFront-Policy", "CloudFront-Signature", "CloudFront-Key-Pair-Id", "CloudFront-Hash-Algorithm"];
/// An RSA signature of 4096 bits, in base64, with room.
const MAX_SIGNATURE_CHARS: usize = 1024;
const MAX_KEY_PAIR_CHARS: usize = 128;

#[derive(Debug)]
pub struct Fields<'a> {
    pub key_pair: Cow<'a, str>,
    pub hash: Hash,
    pub signature: Vec<u8>,
    pub limit: Limit,
}

#[derive(Debug)]
pub enum Limit {
    /// Until this second of the epoch.
    Canned(u64),
    /// The policy's text.
    Custom(Vec<u8>),
}

/// Any sign of a signature, so that a broken one is refused and not taken for none. `Expires` alone is not: other things
/// are called so.
pub fn has_query_form(name: &str) -> bool {
    matches!(name, "Policy" | "Signature" | "Key-Pair-Id")
}

pub fn from_query(query: &str) -> Result<Fields<'_>> {
    let mut values: [Option<Cow<'_, str>>; 5] = Default::default();
    for (name, value) in query_pairs(query) {
        let Some(slot) = PARAMETERS.iter().position(|p| *p == name).and_then(|i| values.get_mut(i)) else { continue };
        if slot.replace(value).is_some() {
            return Err(refused("A parameter of the signature is there more than once."));
        }
    }
    fields(values)
}

/// None: no sign of a signature. Of cookies with one name the first counts: browsers send that of the longest path first.
pub fn from_cookies(headers: &HeaderMap) -> Option<Result<Fields<'_>>> {
    let mut values: [Option<Cow<'_, str>>; 5] = Default::default();
    for header in headers.get_all(COOKIE) {
        for pair in header.to_str().unwrap_or_default().split(';') {
            let Some((name, value)) = trim(pair).split_once('=') else { continue };
            if let Some(slot) = COOKIES.iter().position(|c| *c == name).and_then(|i| values.get_mut(i)) {
                slot.get_or_insert(Cow::Borrowed(value.trim_matches('"')));
            }
        }
    }
    // Of a canned and a custom set at once the custom one counts, and its signature tells whether it was meant.
    if values[1].is_some() {
        values[0] = None;
    }
    values[2].is_some().then(|| fields(values))
}

fn fields(values: [Option<Cow<'_, str>>; 5]) -> Result<Fields<'_>> {
    let [expires, policy, signature, key_pair, hash] = values;
    let key_pair = key_pair.filter(|k| !k.is_empty()).ok_or_else(|| refused("Missing Key-Pair-Id query parameter or cookie value."))?;
    let signature = signature.ok_or_else(|| refused("Missing Signature query parameter or cookie value."))?;
    if key_pair.len() > MAX_KEY_PAIR_CHARS || signature.len() > MAX_SIGNATURE_CHARS {
        return Err(refused("The signature is longer than one can be."));
    }
    let limit = match (expires, policy) {
        (Some(expires), None) => Limit::Canned(seconds(&expires).ok_or_else(|| refused("Expires must be seconds since the epoch."))?),
        (None, Some(policy)) => {
            if policy.len() > MAX_STATEMENT_BYTES * 4 / 3 + 4 {
                return Err(refused(format!("The policy is longer than {MAX_STATEMENT_BYTES} bytes.")));
            }
            Limit::Custom(from_url_safe(&policy).ok_or_else(|| refused("Policy is not in CloudFront's base64."))?)
        }
        _ => return Err(refused("Either Expires or Policy is needed.")),
    };
    let hash = match hash.as_deref() {
        None | Some("SHA1") => Hash::Sha1,
        Some("SHA256") => Hash::Sha256,
        Some(_) => return Err(refused("Hash-Algorithm must be SHA1 or SHA256.")),
    };
    let signature = from_url_safe(&signature).ok_or_else(|| refused("Signature is not in CloudFront's base64."))?;
    Ok(Fields { key_pair, hash, signature, limit })
}

/// Digits only, as the signer wrote them: the canned policy is put together from the number.
fn seconds(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    (canonical && text.len() <= 12 && text.bytes().all(|c| c.is_ascii_digit())).then(|| text.parse().ok())?
}

/// CloudFront's own alphabet: `-_~` for `+=/`.
pub fn to_url_safe(bytes: &[u8]) -> String {
    let swap = |c| match c {
        '+' => '-',
        '=' => '_',
        '/' => '~',
        c => c,
    };
    STANDARD.encode(bytes).chars().map(swap).collect()
}

fn from_url_safe(text: &str) -> Option<Vec<u8>> {
    let swap = |c| match c {
        b'-' => Some(b'+'),
        b'_' => Some(b'='),
        b'~' => Some(b'/'),
        b'+' | b'=' | b'/' => None,
        c => Some(c),
    };
    STANDARD.decode(text.bytes().map(swap).collect::<Option<Vec<u8>>>()?).ok()
}

pub(super) fn refused(text: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::AccessDenied, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_of_cloudfront() {
        for bytes in [&b""[..], b"a", b"ab", b"abc", &[0xfb, 0xff, 0xfe, 0x3e]] {
            let text = to_url_safe(bytes);
            assert!(!text.contains(['+', '=', '/']), "{text}");
            assert_eq!(from_url_safe(&text).as_deref(), Some(bytes));
        }
        for bad in ["YQ", "YQ_", "YQ==", "Y", "YR__", "YQ__YQ__", "Y Q_", "a+bc"] {
            assert_eq!(from_url_safe(bad), None, "{bad}");
        }
    }

    #[test]
    fn times_are_digits() {
        assert_eq!(seconds("1767290400"), Some(1_767_290_400));
        for bad in ["", "01", "+1", "-1", "1.0", "1e9", " 1", "1767290400000"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }
}
