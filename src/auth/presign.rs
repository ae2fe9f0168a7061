//! Signing on our side: presigned URLs for people and tools, signed headers for the command line's own calls.
//!
//! Uses the same canonical form that verifies, and is checked in tests against the AWS SDK's signer.

use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::auth::Auth;
use crate::auth::canonical::{ALGORITHM, Part, Request, Rewrite, encode_plain, string_to_sign};
use crate::auth::identity::Caller;
use crate::auth::in_session::InSession;
use crate::auth::keys::{Secret, SigningKey};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::host::host_of;
use crate::base::limits::MAX_PRESIGN_SECONDS;
use crate::base::names::{AccessKeyId, BucketName, ObjectKey};
use crate::base::timestamp::Timestamp;

pub struct Credentials<'a> {
    pub access_key: &'a AccessKeyId,
    pub secret: &'a Secret,
    pub region: &'a str,
}

pub struct Presign<'a> {
    pub method: Method,
    /// `http://127.0.0.1:9000` or `https://s3.example.com`: scheme and host, no path.
    pub endpoint: &'a str,
    pub bucket: &'a BucketName,
    pub key: &'a ObjectKey,
    pub expires_seconds: u64,
    pub now: Timestamp,
    /// Further parameters, such as `response-content-disposition`: not yet encoded.
    pub query: &'a [(&'a str, &'a str)],
}

impl Auth {
    /// A presigned URL in the caller's name: by the key that it showed, or by its session's, whose token is a parameter then.
    pub fn presign_for(&self, caller: &Caller, request: &Presign<'_>) -> Result<String> {
        let Some(InSession { session, .. }) = &caller.session else {
            let access_key = caller.access_key.as_ref().ok_or_else(|| Error::internal("a link for a request without a key"))?;
            return self.presign(access_key, request);
        };
        let query: Vec<(&str, &str)> = request.query.iter().copied().chain([("X-Amz-Security-Token", &*session.token)]).collect();
        let credentials = Credentials { access_key: &session.key.id, secret: &session.key.secret, region: &self.settings.region };
        presign(&credentials, &Presign { query: &query, method: request.method.clone(), ..*request })
    }

    /// A presigned URL in the name of a key that this gateway knows.
    fn presign(&self, access_key: &AccessKeyId, request: &Presign<'_>) -> Result<String> {
        let directory = self.directory.load();
        let entry = super::sigv4::known_key(directory.key(access_key.as_str()), access_key.as_str(), request.now)?;
        presign(&Credentials { access_key, secret: &entry.key.secret, region: &self.settings.region }, request)
    }
}

pub fn presign(credentials: &Credentials<'_>, request: &Presign<'_>) -> Result<String> {
    if !(1..=MAX_PRESIGN_SECONDS).contains(&request.expires_seconds) {
        return Err(Error::new(ErrorKind::InvalidArgument, format!("The expiry must be 1 to {MAX_PRESIGN_SECONDS} seconds.")));
    }
    let endpoint = request.endpoint.trim_end_matches('/');
    let host = endpoint.split_once("://").map_or("", |(_, host)| host);
    let Some(host_value) = HeaderValue::from_str(host).ok().filter(|_| host_of(endpoint).is_some()) else {
        return Err(Error::new(ErrorKind::InvalidArgument, "The endpoint must be of the form https://host:port."));
    };
    let amz_date = request.now.amz_date();
    let scope = scope(&amz_date, credentials.region);
    let mut path = Vec::new();
    encode_plain(format!("/{}/{}", request.bucket, request.key).as_bytes(), Part::Path, &mut path);
    let path = text(path);
    let credential = format!("{}/{scope}", credentials.access_key);
    let expires = request.expires_seconds.to_string();
    let own = [
        ("X-Amz-Algorithm", ALGORITHM),
        ("X-Amz-Credential", &credential),
        ("X-Amz-Date", &amz_date),
        ("X-Amz-Expires", &expires),
        ("X-Amz-SignedHeaders", "host"),
    ];
    let mut query = Vec::new();
    for (name, value) in request.query.iter().chain(&own) {
        if !query.is_empty() {
            query.push(b'&');
        }
        encode_plain(name.as_bytes(), Part::Query, &mut query);
        query.push(b'=');
        encode_plain(value.as_bytes(), Part::Query, &mut query);
    }
    let query = text(query);
    let headers = HeaderMap::from_iter([(HOST, host_value)]);
    let signature = signature(
        credentials,
        &amz_date,
        &scope,
        &Request {
            method: request.method.as_str(),
            path: &path,
            query: Some(&query),
            headers: &headers,
            signed_headers: "host",
            payload_hash: "UNSIGNED-PAYLOAD",
        },
    );
    Ok(format!("{endpoint}{path}?{query}&X-Amz-Signature={signature}"))
}

/// The headers that sign a request of our own, beside Host, which the caller sends as `host`.
/// `path` and `query` are as they go over the wire; `payload_hash` is hex or `UNSIGNED-PAYLOAD`.
pub fn sign_headers(
    credentials: &Credentials<'_>,
    method: &Method,
    host: &str,
    path: &str,
    query: Option<&str>,
    payload_hash: &str,
    now: Timestamp,
) -> Result<[(HeaderName, HeaderValue); 3]> {
    let value = |s: &str| HeaderValue::from_str(s).map_err(|_| Error::new(ErrorKind::InvalidArgument, "Not a legal header value."));
    let amz_date = now.amz_date();
    let scope = scope(&amz_date, credentials.region);
    let date = (HeaderName::from_static("x-amz-date"), value(&amz_date)?);
    let hash = (HeaderName::from_static("x-amz-content-sha256"), value(payload_hash)?);
    let headers = HeaderMap::from_iter([(HOST, value(host)?), date.clone(), hash.clone()]);
    let signed_headers = "host;x-amz-content-sha256;x-amz-date";
    let request = Request { method: method.as_str(), path, query, headers: &headers, signed_headers, payload_hash };
    let signature = signature(credentials, &amz_date, &scope, &request);
    let authorization =
        format!("{ALGORITHM} Credential={}/{scope}, SignedHeaders={signed_headers}, Signature={signature}", credentials.access_key);
    Ok([(http::header::AUTHORIZATION, value(&authorization)?), date, hash])
}

fn scope(amz_date: &str, region: &str) -> String {
    format!("{}/{region}/s3/aws4_request", amz_date.get(..8).unwrap_or_default())
}

fn signature(credentials: &Credentials<'_>, amz_date: &str, scope: &str, request: &Request<'_>) -> String {
    let key = SigningKey::derive(credentials.secret, amz_date.get(..8).unwrap_or_default(), credentials.region);
    hex::encode(key.sign(string_to_sign(amz_date, scope, &request.canonical(&Rewrite::default())).as_bytes()))
}

/// Encoded text is ASCII.
fn text(encoded: Vec<u8>) -> String {
    String::from_utf8(encoded).unwrap_or_default()
}
