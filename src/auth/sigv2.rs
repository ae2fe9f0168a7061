//! AWS Signature Version 2 in the query of a presigned URL, as boto3 and aws-cli still make them by default. Never in a header.
//!
//! It covers less than SigV4, so it opens less: GET, HEAD and PUT of objects, and no parameter that it does not cover.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::Method;
use sha1::Sha1;
use subtle::ConstantTimeEq as _;

use crate::auth::Auth;
use crate::auth::canonical::{Part, encode_again};
use crate::auth::facts::{RequestFacts, query_pairs};
use crate::auth::identity::{Caller, Via};
use crate::auth::keys::Secret;
use crate::auth::settings::Settings;
use crate::auth::sigv4::{NAME_HEADER, expired, known_key, unsigned_payload};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::timestamp::Timestamp;

/// Parameters that name another thing than the object, and are in the string to sign.
const COVERED: &[&str] = &[
    "partNumber",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "uploadId",
    "versionId",
];
/// Parameters that make another operation of the request. Some are covered by SigV2, some are not: none is wanted here.
const REFUSED: &[&str] = &[
    "accelerate",
    "acl",
    "analytics",
    "append",
    "attributes",
    "cors",
    "defaultObjectAcl",
    "delete",
    "encryption",
    "intelligent-tiering",
    "inventory",
    "legal-hold",
    "lifecycle",
    "location",
    "logging",
    "metadataTable",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "policy",
    "policyStatus",
    "publish",
    "publicAccessBlock",
    "renameObject",
    "replication",
    "requestPayment",
    "restore",
    "retention",
    "select",
    "session",
    "tagging",
    "torrent",
    "uploads",
    "versioning",
    "versions",
    "website",
];
/// Added by CDNs and browsers on the way; they change nothing.
const NEUTRAL_HEADERS: &[&str] = &["x-amz-cf-id", "x-amz-user-agent"];

impl Auth {
    pub(super) fn authenticate_sigv2(&self, facts: &RequestFacts<'_>) -> Result<Caller> {
        if !self.settings.sigv2_presigned {
            return Err(Error::new(
                ErrorKind::InvalidRequest,
                "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
            ));
        }
        let fields = Fields::parse(facts.parts.uri.query().unwrap_or_default())?;
        check_operation(facts, &self.settings)?;
        let seconds = fields.expires.parse::<u64>().map_err(|_| {
            Error::new(ErrorKind::AccessDenied, "Invalid date (should be seconds since epoch)").detail("Expires", fields.expires.clone())
        })?;
        let expires = Timestamp::from_secs(seconds);
        if facts.now > expires {
            return Err(expired(expires, facts.now));
        }
        let directory = self.directory.load();
        let entry = known_key(directory.key(&fields.access_key), &fields.access_key, facts.now)?;
        let given = STANDARD.decode(fields.signature.as_bytes()).unwrap_or_default();
        let message = Message::new(facts, &self.settings, &fields.expires);
        // The path as sent is what SDKs sign; a proxy may have written its encoding in another way.
        let genuine = [PathAs::Sent, PathAs::Canonical]
            .into_iter()
            .any(|path| sign(&entry.key.secret, &message.string_to_sign(path)).ct_eq(&given).into());
        if !genuine {
            return Err(Error::new(
                ErrorKind::SignatureDoesNotMatch,
                "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
            )
            .detail("AWSAccessKeyId", entry.key.id.as_str())
            .detail("StringToSign", String::from_utf8_lossy(&message.string_to_sign(PathAs::Sent)))
            .detail("SignatureProvided", fields.signature.clone()));
        }
        Ok(Caller {
            identity: entry.identity.clone(),
            access_key: Some(entry.key.id.clone()),
            via: Via::SigV2Query { expires },
            payload: unsigned_payload(facts)?,
            reach: None,
            signed_for: None,
        })
    }
}

pub(super) fn sign(secret: &Secret, string_to_sign: &[u8]) -> [u8; 20] {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.expose().as_bytes()).expect("HMAC takes a key of any length");
    mac.update(string_to_sign);
    mac.finalize().into_bytes().into()
}

struct Fields<'a> {
    access_key: Cow<'a, str>,
    expires: Cow<'a, str>,
    signature: Cow<'a, str>,
}

impl<'a> Fields<'a> {
    fn parse(query: &'a str) -> Result<Self> {
        let error = |text| Err(Error::new(ErrorKind::AccessDenied, text));
        let mut values: [Option<Cow<'a, str>>; 3] = Default::default();
        for (name, value) in query_pairs(query) {
            let slot = match &*name {
                "AWSAccessKeyId" => &mut values[0],
                "Expires" => &mut values[1],
                "Signature" => &mut values[2],
                "x-amz-security-token" => {
                    return Err(Error::new(
                        ErrorKind::InvalidToken,
                        "This service issues no session tokens. Use an access key without one.",
                    ));
                }
                _ => continue,
            };
            if slot.replace(value).is_some() {
                return error("A parameter of the signature is there more than once.");
            }
        }
        match values {
            [Some(access_key), Some(expires), Some(signature)] => Ok(Fields { access_key, expires, signature }),
            _ => error("Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters"),
        }
    }
}

fn check_operation(facts: &RequestFacts<'_>, settings: &Settings) -> Result<()> {
    let refused = |text| Err(Error::new(ErrorKind::AccessDenied, text));
    const NARROW: &str = "Signature Version 2 opens GET, HEAD and PUT of objects only. Please use AWS4-HMAC-SHA256.";
    if !matches!(facts.parts.method, Method::GET | Method::HEAD | Method::PUT) {
        return refused(NARROW);
    }
    let path = facts.parts.uri.path().trim_start_matches('/');
    let in_host = settings.bucket_in_host(&facts.parts.headers).is_some();
    let names_object = if in_host { !path.is_empty() } else { path.split_once('/').is_some_and(|(_, key)| !key.is_empty()) };
    if !names_object {
        return refused(NARROW);
    }
    let query = facts.parts.uri.query().unwrap_or_default();
    if query_pairs(query).any(|(n, _)| REFUSED.contains(&&*n)) || facts.parts.headers.contains_key(NAME_HEADER) {
        return refused(NARROW);
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum PathAs {
    Sent,
    Canonical,
}

/// The lines of the string to sign, but for the path.
struct Message<'a> {
    head: Vec<u8>,
    bucket: Option<&'a str>,
    path: &'a str,
    resource_query: String,
}

impl<'a> Message<'a> {
    fn new(facts: &RequestFacts<'a>, settings: &Settings, expires: &str) -> Self {
        let query = facts.parts.uri.query().unwrap_or_default();
        // boto puts headers that it signed into the query, in lower case.
        let hoisted = |name: &str| query_pairs(query).find(|(n, _)| n == name).map(|(_, v)| v.into_owned().into_bytes());
        let header = |name: &str| facts.parts.headers.get(name).map(|v| v.as_bytes().to_vec());
        let mut head = Vec::with_capacity(256);
        head.extend_from_slice(facts.parts.method.as_str().as_bytes());
        for name in ["content-md5", "content-type"] {
            head.push(b'\n');
            head.extend(header(name).or_else(|| hoisted(name)).unwrap_or_default());
        }
        head.push(b'\n');
        head.extend_from_slice(expires.as_bytes());
        head.push(b'\n');
        for (name, value) in amz_headers(facts, query) {
            head.extend_from_slice(name.as_bytes());
            head.push(b':');
            head.extend_from_slice(&value);
            head.push(b'\n');
        }
        Message {
            head,
            bucket: settings.bucket_in_host(&facts.parts.headers),
            path: facts.parts.uri.path(),
            resource_query: resource_query(query),
        }
    }

    fn string_to_sign(&self, path: PathAs) -> Vec<u8> {
        let mut out = self.head.clone();
        if let Some(bucket) = self.bucket {
            out.push(b'/');
            out.extend_from_slice(bucket.as_bytes());
        }
        match path {
            PathAs::Sent => out.extend_from_slice(self.path.as_bytes()),
            PathAs::Canonical => encode_again(self.path.as_bytes(), Part::Path, &mut out),
        }
        out.extend_from_slice(self.resource_query.as_bytes());
        out
    }
}

/// All `x-amz-*`, sorted, values of one name joined: as headers, or hoisted into the query.
fn amz_headers(facts: &RequestFacts<'_>, query: &str) -> BTreeMap<String, Vec<u8>> {
    let mut all: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut add = |name: String, value: &[u8]| {
        let joined = all.entry(name).or_default();
        if !joined.is_empty() {
            joined.push(b',');
        }
        joined.extend_from_slice(value.trim_ascii());
    };
    for (name, value) in &facts.parts.headers {
        if name.as_str().starts_with("x-amz-") && !NEUTRAL_HEADERS.contains(&name.as_str()) {
            add(name.as_str().to_owned(), value.as_bytes());
        }
    }
    for (name, value) in query_pairs(query) {
        let name = name.to_ascii_lowercase();
        if name.starts_with("x-amz-") {
            add(name, value.as_bytes());
        }
    }
    all
}

/// `?versionId=…`: the covered parameters, sorted, their values decoded.
fn resource_query(query: &str) -> String {
    let mut pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = query_pairs(query).filter(|(n, _)| COVERED.contains(&&**n)).collect();
    pairs.sort();
    let mut out = String::new();
    for (i, (name, value)) in pairs.iter().enumerate() {
        out.push(if i == 0 { '?' } else { '&' });
        out.push_str(name);
        if !value.is_empty() {
            out.push('=');
            out.push_str(value);
        }
    }
    out
}
