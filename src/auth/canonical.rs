//! The canonical request of SigV4 as S3 makes it: what both sides hash. Pure.
//!
//! S3 differs from other services: the path is encoded once and never normalised (`//` and `..` stay).
//! Called by `sigv4` to verify and by `presign` to sign.

use http::HeaderMap;
use http::request::Parts;
use sha2::{Digest as _, Sha256};

use crate::base::host;

pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const HEX_UPPER: &[u8; 16] = b"0123456789ABCDEF";

/// Replacements in the canonical request. Empty for the plain check.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rewrite<'a> {
    pub host: Option<&'a str>,
    pub accept_encoding: Option<&'a str>,
    pub path: PathForm<'a>,
    pub payload_hash: Option<&'a str>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PathForm<'a> {
    /// Decoded and encoded again, by AWS's rules: what every SDK signs.
    #[default]
    Encoded,
    /// As it arrived: for clients that sign what they send, such as `(` unencoded.
    AsSent,
    /// As `Encoded`, after a prefix that a proxy took away.
    Prefixed(&'a str),
}

pub struct Request<'a> {
    pub method: &'a str,
    /// As sent, percent-encoded.
    pub path: &'a str,
    pub query: Option<&'a str>,
    pub headers: &'a HeaderMap,
    /// `;`-separated, lower case, in the signer's order.
    pub signed_headers: &'a str,
    pub payload_hash: &'a str,
}

impl<'a> Request<'a> {
    pub fn new(parts: &'a Parts, signed_headers: &'a str, payload_hash: &'a str) -> Self {
        Request {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query: parts.uri.query(),
            headers: &parts.headers,
            signed_headers,
            payload_hash,
        }
    }

    /// The Host that the client asked for: see `http::address`.
    pub fn host(&self) -> Option<&'a str> {
        host::text_of(self.headers)
    }

    pub fn canonical(&self, rewrite: &Rewrite<'_>) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        out.extend_from_slice(self.method.as_bytes());
        out.push(b'\n');
        match rewrite.path {
            PathForm::Encoded => encode_again(self.path.as_bytes(), Part::Path, &mut out),
            PathForm::AsSent => out.extend_from_slice(self.path.as_bytes()),
            PathForm::Prefixed(prefix) => {
                out.extend_from_slice(prefix.as_bytes());
                encode_again(self.path.as_bytes(), Part::Path, &mut out);
            }
        }
        out.push(b'\n');
        canonical_query(self.query.unwrap_or_default(), &mut out);
        out.push(b'\n');
        for name in self.signed_headers.split(';') {
            self.canonical_header(name, rewrite, &mut out);
        }
        out.push(b'\n');
        out.extend_from_slice(self.signed_headers.as_bytes());
        out.push(b'\n');
        out.extend_from_slice(rewrite.payload_hash.unwrap_or(self.payload_hash).as_bytes());
        out
    }

    fn canonical_header(&self, name: &str, rewrite: &Rewrite<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        match name {
            "host" => {
                if let Some(host) = rewrite.host.or_else(|| self.host()) {
                    fold_spaces(host.as_bytes(), out);
                }
            }
            "accept-encoding" if rewrite.accept_encoding.is_some() => {
                out.extend_from_slice(rewrite.accept_encoding.unwrap_or_default().as_bytes());
            }
            _ => {
                for (i, value) in self.headers.get_all(name).iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    fold_spaces(value.as_bytes(), out);
                }
            }
        }
        out.push(b'\n');
    }
}

/// `scope` is `date/region/s3/aws4_request`.
pub fn string_to_sign(amz_date: &str, scope: &str, canonical: &[u8]) -> String {
    let hash = hex::encode(Sha256::digest(canonical));
    let mut s = String::with_capacity(ALGORITHM.len() + amz_date.len() + scope.len() + hash.len() + 3);
    for (i, part) in [ALGORITHM, amz_date, scope, &hash].into_iter().enumerate() {
        if i > 0 {
            s.push('\n');
        }
        s.push_str(part);
    }
    s
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// `/` stays.
    Path,
    /// A name or value of the query: `+` is a space.
    Query,
}

/// Writes `raw` as AWS encodes it, whatever the client encoded of it.
pub fn encode_again(raw: &[u8], part: Part, out: &mut Vec<u8>) {
    let mut rest = raw;
    while let Some((&c, tail)) = rest.split_first() {
        rest = tail;
        let byte = match (c, tail) {
            (b'%', [a, b, after @ ..]) => match (hex_digit(*a), hex_digit(*b)) {
                (Some(a), Some(b)) => {
                    rest = after;
                    a << 4 | b
                }
                _ => c,
            },
            (b'+', _) if part == Part::Query => b' ',
            _ => c,
        };
        encode_byte(byte, part, out);
    }
}

/// Writes plain bytes (not percent-encoded) as AWS encodes them.
pub fn encode_plain(plain: &[u8], part: Part, out: &mut Vec<u8>) {
    for &byte in plain {
        encode_byte(byte, part, out);
    }
}

fn encode_byte(byte: u8, part: Part, out: &mut Vec<u8>) {
    let stays = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') || (byte == b'/' && part == Part::Path);
    if stays {
        out.push(byte);
    } else {
        out.extend_from_slice(&[b'%', HEX_UPPER[usize::from(byte >> 4)], HEX_UPPER[usize::from(byte & 15)]]);
    }
}

fn hex_digit(c: u8) -> Option<u8> {
    char::from(c).to_digit(16).map(|d| d as u8)
}

/// Sorted by encoded name, then value; `X-Amz-Signature` itself is left out.
fn canonical_query(query: &str, out: &mut Vec<u8>) {
    if query.is_empty() {
        return;
    }
    let mut text = Vec::with_capacity(query.len() + 32);
    // (start, end of name, end of value)
    let mut pairs: Vec<(usize, usize, usize)> = Vec::with_capacity(8);
    for pair in query.split('&').filter(|p| !p.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let start = text.len();
        encode_again(name.as_bytes(), Part::Query, &mut text);
        if text[start..] == *b"X-Amz-Signature" {
            text.truncate(start);
            continue;
        }
        let middle = text.len();
        encode_again(value.as_bytes(), Part::Query, &mut text);
        pairs.push((start, middle, text.len()));
    }
    pairs.sort_by(|a, b| (&text[a.0..a.1], &text[a.1..a.2]).cmp(&(&text[b.0..b.1], &text[b.1..b.2])));
    for (i, (start, middle, end)) in pairs.into_iter().enumerate() {
        if i > 0 {
            out.push(b'&');
        }
        out.extend_from_slice(&text[start..middle]);
        out.push(b'=');
        out.extend_from_slice(&text[middle..end]);
    }
}

/// Outer spaces go, inner runs of spaces become one.
fn fold_spaces(value: &[u8], out: &mut Vec<u8>) {
    let mut space = false;
    for &c in value.trim_ascii() {
        if c == b' ' && space {
            continue;
        }
        space = c == b' ';
        out.push(c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(s: &str) -> String {
        let mut out = Vec::new();
        encode_again(s.as_bytes(), Part::Path, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn query(s: &str) -> String {
        let mut out = Vec::new();
        canonical_query(s, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn paths_are_encoded_once_and_never_normalised() {
        for (sent, canonical) in [
            ("/", "/"),
            ("/a//b/../c/.", "/a//b/../c/."),
            ("/a%2fb", "/a/b"),
            ("/a+b", "/a%2Bb"),
            ("/a%20b", "/a%20b"),
            ("/(x)!*'", "/%28x%29%21%2A%27"),
            ("/%7Euser~", "/~user~"),
            ("/100%", "/100%25"),
            ("/%zz", "/%25zz"),
            ("/\u{1234}", "/%E1%88%B4"),
        ] {
            assert_eq!(path(sent), canonical, "{sent}");
        }
    }

    #[test]
    fn queries_are_sorted_by_name_and_then_value() {
        for (sent, canonical) in [
            ("", ""),
            ("uploads", "uploads="),
            ("b=2&a=1", "a=1&b=2"),
            ("a=2&a=1", "a=1&a=2"),
            // Whole pairs would sort the other way: '-' is before '='.
            ("a-b=1&a=2", "a=2&a-b=1"),
            ("p=a+b&q=%2B", "p=a%20b&q=%2B"),
            ("&&x=/&", "x=%2F"),
            ("X-Amz-Signature=00&a=1", "a=1"),
        ] {
            assert_eq!(query(sent), canonical, "{sent}");
        }
    }

    #[test]
    fn header_values_are_trimmed_and_folded() {
        let mut out = Vec::new();
        fold_spaces(b"  a   b  c ", &mut out);
        assert_eq!(out, b"a b c");
    }
}
