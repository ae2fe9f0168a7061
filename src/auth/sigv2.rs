//! AWS Signature Version 2 in the query of a presigned URL, as boto3 and aws-cli still make them by default. Never in a header.
//!
//! It covers less than SigV4, so it opens less: GET, HEAD and PUT of objects, and no parameter that it does not cover. Its string
//! to sign is lines and values put together as they are, so what could be read in two ways is refused: control characters, a
//! header that is there twice (as header and parameter, too, where they differ), a value that looks like a further parameter.
//! Invariant: two requests that mean different things never share a string to sign.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, Method};
use sha1::Sha1;
use subtle::ConstantTimeEq as _;

use crate::auth::Auth;
use crate::auth::canonical::{Part, encode_again};
use crate::auth::facts::{RequestFacts, each_once, query_pairs};
use crate::auth::identity::{Caller, Via};
use crate::auth::keys::Secret;
use crate::auth::settings::Settings;
use crate::auth::sigv4::{NAME_HEADER, unsigned_payload};
use crate::auth::sigv4_parts::expired;
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
    "abac",
    "annotation",
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
    "max-parts",
    "metadataConfiguration",
    "metadataTable",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "part-number-marker",
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
    "variant",
    "versioning",
    "versions",
    "website",
];
/// Added by CDNs and browsers on the way; they change nothing.
const NEUTRAL_HEADERS: &[&str] = &["x-amz-cf-id", "x-amz-user-agent"];

impl Auth {
    pub(super) fn authenticate_sigv2(&self, facts: &RequestFacts<'_>) -> Result<Caller> {
        if !self.settings.sigv2_presigned {
            return Err(switched_off());
        }
        let query = facts.parts.uri.query().unwrap_or_default();
        let fields = Fields::parse(query)?;
        check_operation(facts, &self.settings)?;
        check_parameters(query)?;
        let seconds = fields.expires.parse::<u64>().map_err(|_| {
            Error::new(ErrorKind::AccessDenied, "Invalid date (should be seconds since epoch)").detail("Expires", fields.expires.clone())
        })?;
        let expires = Timestamp::from_secs(seconds);
        if facts.now > expires {
            return Err(expired(expires, facts.now));
        }
        let directory = self.directory.load();
        let signer = self.signer(&directory, &fields.access_key, fields.token.as_deref(), facts.now)?;
        let given = STANDARD.decode(fields.signature.as_bytes()).unwrap_or_default();
        let message = Message::new(facts, &self.settings, &fields.expires)?;
        // The path as sent is what SDKs sign; a proxy may have written its encoding in another way.
        let genuine = [PathAs::Sent, PathAs::Canonical]
            .into_iter()
            .any(|path| sign(&signer.key.secret, &message.string_to_sign(path)).ct_eq(&given).into());
        if !genuine {
            return Err(Error::new(
                ErrorKind::SignatureDoesNotMatch,
                "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
            )
            .detail("AWSAccessKeyId", signer.key.id.as_str())
            .detail("StringToSign", String::from_utf8_lossy(&message.string_to_sign(PathAs::Sent)))
            .detail("SignatureProvided", fields.signature.clone()));
        }
        Ok(Caller {
            access_key: Some(signer.key.id.clone()),
            identity: signer.identity,
            session: signer.session,
            via: Via::SigV2Query { expires },
            payload: unsigned_payload(facts)?,
            reach: None,
            signed_for: None,
        })
    }
}

pub(super) fn switched_off() -> Error {
    let text = "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.";
    Error::new(ErrorKind::InvalidRequest, text)
}

pub(super) fn sign(secret: &Secret, string_to_sign: &[u8]) -> [u8; 20] {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.expose().as_bytes()).expect("HMAC takes a key of any length");
    mac.update(string_to_sign);
    mac.finalize().into_bytes().into()
}

struct Fields<'a> {
    access_key: Cow<'a, str>,
    expires: Cow<'a, str>,
    signature: Cow<'a, str>,
    /// Covered like every parameter of that kind.
    token: Option<Cow<'a, str>>,
}

impl<'a> Fields<'a> {
    fn parse(query: &'a str) -> Result<Self> {
        let error = |text| Err(Error::new(ErrorKind::AccessDenied, text));
        let mut values: [Option<Cow<'a, str>>; 4] = Default::default();
        for (name, value) in query_pairs(query) {
            let slot = match &*name {
                "AWSAccessKeyId" => &mut values[0],
                "Expires" => &mut values[1],
                "Signature" => &mut values[2],
                "x-amz-security-token" => &mut values[3],
                _ => continue,
            };
            if slot.replace(value).is_some() {
                return error("A parameter of the signature is there more than once.");
            }
        }
        match values {
            [Some(access_key), Some(expires), Some(signature), token] => Ok(Fields { access_key, expires, signature, token }),
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
pub(super) enum PathAs {
    Sent,
    Canonical,
}

/// The lines of the string to sign, but for the path.
pub(super) struct Message<'a> {
    head: Vec<u8>,
    bucket: Option<&'a str>,
    path: &'a str,
    resource_query: String,
}

impl<'a> Message<'a> {
    pub(super) fn new(facts: &RequestFacts<'a>, settings: &Settings, expires: &str) -> Result<Self> {
        let query = facts.parts.uri.query().unwrap_or_default();
        let mut headers = signed_headers(&facts.parts.headers, query)?;
        let mut head = Vec::with_capacity(256);
        head.extend_from_slice(facts.parts.method.as_str().as_bytes());
        for name in ["content-md5", "content-type"] {
            head.push(b'\n');
            head.extend(headers.remove(name).unwrap_or_default());
        }
        head.push(b'\n');
        head.extend_from_slice(expires.as_bytes());
        head.push(b'\n');
        for (name, value) in headers {
            head.extend_from_slice(name.as_bytes());
            head.push(b':');
            head.extend_from_slice(&value);
            head.push(b'\n');
        }
        Ok(Message {
            head,
            bucket: settings.bucket_in_host(&facts.parts.headers),
            path: facts.parts.uri.path(),
            resource_query: resource_query(query),
        })
    }

    pub(super) fn string_to_sign(&self, path: PathAs) -> Vec<u8> {
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

/// The headers that SigV2 signs, and in a URL the parameters that stand for them: boto hoists what it signed. In lower case.
pub(super) fn signs_header(name: &str) -> bool {
    name.starts_with("x-amz-") || matches!(name, "content-type" | "content-md5")
}

type Signed = BTreeMap<String, Vec<u8>>;

/// They and their values, sorted; each of them once. A client may send a header beside the parameter that stands for it, as long as
/// both say the same.
fn signed_headers(headers: &HeaderMap, query: &str) -> Result<Signed> {
    let (mut sent, mut hoisted) = (Signed::new(), Signed::new());
    for (name, value) in headers {
        if signs_header(name.as_str()) && !NEUTRAL_HEADERS.contains(&name.as_str()) {
            add_once(&mut sent, name.as_str(), value.as_bytes())?;
        }
    }
    for (name, value) in query_pairs(query) {
        let name = name.to_ascii_lowercase();
        if signs_header(&name) {
            if HeaderName::try_from(name.as_str()).is_err() {
                return Err(ambiguous("A parameter that stands for a header has no header's name.".into()));
            }
            add_once(&mut hoisted, &name, value.as_bytes())?;
        }
    }
    for (name, value) in hoisted {
        if sent.get(&name).is_some_and(|sent| *sent != value) {
            let text = format!("The header {name} and the parameter that stands for it differ: the URL was signed for the parameter.");
            return Err(Error::new(ErrorKind::SignatureDoesNotMatch, text));
        }
        sent.insert(name, value);
    }
    Ok(sent)
}

fn add_once(all: &mut Signed, name: &str, value: &[u8]) -> Result<()> {
    let value = value.trim_ascii();
    // The lines of these two are there without them.
    if value.is_empty() && !name.starts_with("x-amz-") {
        return Err(ambiguous(format!("{name} is empty.")));
    }
    match all.insert(name.to_owned(), value.to_vec()) {
        None => Ok(()),
        Some(_) => Err(ambiguous(format!("{name} is there more than once."))),
    }
}

/// Nothing in the query moves a line of the string to sign, or is both one parameter and two.
pub(super) fn check_parameters(query: &str) -> Result<()> {
    each_once(query)?;
    for (name, value) in query_pairs(query) {
        if name.chars().chain(value.chars()).any(char::is_control) {
            return Err(ambiguous("A parameter holds control characters.".into()));
        }
        let looks_like_more = |(at, _): (usize, &str)| {
            let behind = value.get(at + 1..).unwrap_or_default();
            COVERED.iter().any(|covered| behind.strip_prefix(covered).is_some_and(|rest| rest.is_empty() || rest.starts_with(['=', '&'])))
        };
        if COVERED.contains(&&*name) && value.match_indices('&').any(looks_like_more) {
            return Err(ambiguous(format!("The value of {name} looks like a further parameter.")));
        }
    }
    Ok(())
}

fn ambiguous(text: String) -> Error {
    Error::new(
        ErrorKind::InvalidArgument,
        format!("{text} Signature Version 2 would cover other requests too. Please use AWS4-HMAC-SHA256."),
    )
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
