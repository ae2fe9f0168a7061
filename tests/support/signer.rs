//! SigV4 by hand, from AWS's description and without the gateway's own code, so that the two can disagree. Signs what no
//! SDK would: wrong hosts, headers left out of the list, old dates, aws-chunked bodies with any chunk spoiled.

use base64::Engine as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest as _, Sha256};

const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const IN_PATH: &AsciiSet = &UNRESERVED.remove(b'/');

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub access: String,
    pub secret: String,
}

impl Key {
    pub fn new(access: &str, secret: &str) -> Self {
        Key { access: access.into(), secret: secret.into() }
    }
}

pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

/// As `encode`, with slashes left alone.
pub fn encode_path(text: &str) -> String {
    utf8_percent_encode(text, IN_PATH).to_string()
}

pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text);
    mac.finalize().into_bytes().into()
}

/// What is signed of a request.
pub struct ToSign<'a> {
    pub method: &'a str,
    /// As it goes over the wire.
    pub path: &'a str,
    /// Decoded.
    pub query: &'a [(String, String)],
    /// Names in lower case; `host` is one of them.
    pub headers: &'a [(String, String)],
    pub payload_hash: &'a str,
}

/// The second of the signature; `20261121T050246Z`.
#[derive(Clone)]
pub struct Scope {
    pub amz_date: String,
    pub region: String,
    pub service: &'static str,
}

impl Scope {
    /// `offset`: seconds from now.
    pub fn at(offset: i64) -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
        let at = time::OffsetDateTime::from_unix_timestamp(now + offset).unwrap();
        let form = time::macros::format_description!("[year][month][day]T[hour][minute][second]Z");
        Scope { amz_date: at.format(&form).unwrap(), region: "us-east-1".into(), service: "s3" }
    }

    pub fn text(&self) -> String {
        format!("{}/{}/{}/aws4_request", &self.amz_date[..8], self.region, self.service)
    }

    fn signing_key(&self, secret: &str) -> [u8; 32] {
        let date = hmac(format!("AWS4{secret}").as_bytes(), &self.amz_date.as_bytes()[..8]);
        hmac(&hmac(&hmac(&date, self.region.as_bytes()), self.service.as_bytes()), b"aws4_request")
    }
}

impl Scope {
    /// The policy of a form.
    pub fn sign(&self, key: &Key, policy: &str) -> String {
        hex::encode(hmac(&self.signing_key(&key.secret), policy.as_bytes()))
    }
}

/// The same in Signature Version 2.
pub fn sigv2_of(key: &Key, policy: &str) -> String {
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(key.secret.as_bytes()).unwrap();
    mac.update(policy.as_bytes());
    base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes())
}

pub fn query_string(pairs: &[(String, String)]) -> String {
    pairs.iter().map(|(n, v)| format!("{}={}", encode(n), encode(v))).collect::<Vec<_>>().join("&")
}

pub fn signature(key: &Key, scope: &Scope, to_sign: &ToSign<'_>) -> String {
    let mut pairs: Vec<(String, String)> = to_sign.query.iter().map(|(n, v)| (encode(n), encode(v))).collect();
    pairs.sort();
    let query = pairs.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join("&");
    let mut headers = to_sign.headers.to_vec();
    headers.sort();
    let lines: String = headers
        .iter()
        .map(|(n, v)| format!("{n}:{}\n", v.split([' ', '\t']).filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" ")))
        .collect();
    let names = signed_names(to_sign.headers);
    let canonical = format!("{}\n{}\n{query}\n{lines}\n{names}\n{}", to_sign.method, to_sign.path, to_sign.payload_hash);
    let text = format!("AWS4-HMAC-SHA256\n{}\n{}\n{}", scope.amz_date, scope.text(), sha256_hex(canonical.as_bytes()));
    hex::encode(hmac(&scope.signing_key(&key.secret), text.as_bytes()))
}

pub fn signed_names(headers: &[(String, String)]) -> String {
    let mut names: Vec<&str> = headers.iter().map(|(n, _)| n.as_str()).collect();
    names.sort_unstable();
    names.join(";")
}

/// SigV2 in the query: what is appended to it. `amz` are the lines of `x-amz-*`, `resource` is the path with what SigV2 covers of
/// the query, after the bucket of a virtual host.
pub fn sigv2(key: &Key, method: &str, content_type: &str, amz: &str, resource: &str) -> [(String, String); 3] {
    let expires = 4_000_000_000u64;
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(key.secret.as_bytes()).unwrap();
    mac.update(format!("{method}\n\n{content_type}\n{expires}\n{amz}{resource}").as_bytes());
    let signature = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
    [("AWSAccessKeyId", key.access.clone()), ("Expires", expires.to_string()), ("Signature", signature)].map(|(n, v)| (n.to_owned(), v))
}

/// The chunks of a STREAMING-AWS4-HMAC-SHA256-PAYLOAD body, each ready to go over the wire; the final empty one is the last.
/// `seed` is the signature of the request.
pub fn signed_chunks(key: &Key, scope: &Scope, seed: &str, pieces: &[&[u8]]) -> Vec<Vec<u8>> {
    let signing = scope.signing_key(&key.secret);
    let empty = sha256_hex(b"");
    let mut previous = seed.to_owned();
    let mut chunks = Vec::new();
    for piece in pieces.iter().copied().chain([&b""[..]]) {
        let text = format!("AWS4-HMAC-SHA256-PAYLOAD\n{}\n{}\n{previous}\n{empty}\n{}", scope.amz_date, scope.text(), sha256_hex(piece));
        previous = hex::encode(hmac(&signing, text.as_bytes()));
        let mut chunk = format!("{:x};chunk-signature={previous}\r\n", piece.len()).into_bytes();
        chunk.extend_from_slice(piece);
        chunk.extend_from_slice(b"\r\n");
        chunks.push(chunk);
    }
    chunks
}

/// The same for chunks without signatures, ended by `trailers`.
pub fn unsigned_chunks(pieces: &[&[u8]], trailers: &[(&str, &str)]) -> Vec<u8> {
    let mut body = Vec::new();
    for piece in pieces {
        body.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        body.extend_from_slice(piece);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"0\r\n");
    for (name, value) in trailers {
        body.extend_from_slice(format!("{name}:{value}\r\n").as_bytes());
    }
    body.extend_from_slice(b"\r\n");
    body
}
