//! AWS Signature Version 4, in the Authorization header and in the query of a presigned URL.
//!
//! Not here: the canonical form (`canonical`), what proxies rewrite (`candidates`), chunk signatures (`streaming`).
//! Invariants: comparison is in constant time; Host is signed; every `x-amz-*` header that means something is covered by the
//! signature, so nobody can add one to a URL that was given to them.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::{AUTHORIZATION, DATE};

use crate::auth::Auth;
use crate::auth::candidates::{self, Candidates};
use crate::auth::canonical::{ALGORITHM, Request, Rewrite, string_to_sign};
use crate::auth::directory::Entry;
use crate::auth::facts::{RequestFacts, each_once, query_pairs};
use crate::auth::identity::{Caller, Via};
use crate::auth::keys::{AccessKey, SigningKey};
use crate::auth::payload::{self, Payload};
use crate::auth::settings::Settings;
use crate::auth::streaming::{self, ChunkSigner, ChunkedForm};
use crate::base::digest::Sha256;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::header::{self, trim};
use crate::base::limits::{MAX_CLOCK_SKEW_SECONDS, MAX_PRESIGN_SECONDS};
use crate::base::timestamp::Timestamp;

/// More names than a request has headers.
const MAX_SIGNED_HEADERS: usize = 100;

/// Publishes by hash: the S3 door reads it.
pub const NAME_HEADER: &str = "x-tidegate-name";

/// Headers that change nothing, or whose value is in what is signed even when they are not in the list: the date and the
/// payload hash are; the others come from CDNs and browsers on the way.
const NEUTRAL_HEADERS: &[&str] = &["x-amz-date", "x-amz-content-sha256", "x-amz-cf-id", "x-amz-user-agent"];

/// Lists, which are read from all their lines: the Go SDK sends one for each item.
const LISTS: &[&str] = &["accept-encoding", "x-amz-object-attributes", "x-amz-optional-object-attributes"];

/// A signature and what it says of itself, before any of it is believed.
struct Claim<'a> {
    access_key: &'a str,
    /// `20130524`
    date: &'a str,
    region: &'a str,
    /// `20130524/us-east-1/s3/aws4_request`
    scope: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
    amz_date: &'a str,
    payload_hash: &'a str,
    via: Via,
}

impl Auth {
    /// `authorization` begins with the algorithm.
    pub(super) fn authenticate_header(&self, facts: &RequestFacts<'_>, authorization: &str) -> Result<Caller> {
        if facts.parts.headers.contains_key("x-amz-security-token") {
            return Err(no_session_tokens());
        }
        if facts.parts.headers.get_all(AUTHORIZATION).iter().nth(1).is_some() {
            return Err(header_malformed("there is more than one".into()));
        }
        let fields = HeaderFields::parse(authorization)?;
        let (amz_date, signed) = request_date(&facts.parts.headers)?;
        let credential = Credential::parse(fields.credential).ok_or_else(|| {
            header_malformed("the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".".into())
        })?;
        credential.check(&amz_date, &self.settings, header_malformed)?;
        check_skew(signed, &amz_date, facts.now)?;
        let payload_hash = header::one(&facts.parts.headers, "x-amz-content-sha256")?
            .ok_or_else(|| Error::new(ErrorKind::InvalidRequest, "Missing required header for this request: x-amz-content-sha256"))?;
        self.verify(
            facts,
            &Claim {
                access_key: credential.access_key,
                date: credential.date,
                region: credential.region,
                scope: credential.scope,
                signed_headers: fields.signed_headers,
                signature: fields.signature,
                amz_date: &amz_date,
                payload_hash,
                via: Via::Header { signed },
            },
        )
    }

    pub(super) fn authenticate_query(&self, facts: &RequestFacts<'_>) -> Result<Caller> {
        let fields = QueryFields::parse(facts.parts.uri.query().unwrap_or_default())?;
        if fields.has_token || facts.parts.headers.contains_key("x-amz-security-token") {
            return Err(no_session_tokens());
        }
        let (signed, expires) = fields.validity(facts.now)?;
        let credential = Credential::of_query(&fields.credential, &fields.date, &self.settings)?;
        let header = facts.header("x-amz-content-sha256")?;
        let payload_hash = match (header, &fields.content_sha256) {
            (Some(value), _) if is_signed(&fields.signed_headers, "x-amz-content-sha256") => value,
            (_, Some(value)) => value,
            _ => payload::UNSIGNED,
        };
        self.verify(
            facts,
            &Claim {
                access_key: credential.access_key,
                date: credential.date,
                region: credential.region,
                scope: credential.scope,
                signed_headers: &fields.signed_headers,
                signature: &fields.signature,
                amz_date: &fields.date,
                payload_hash,
                via: Via::Query { signed, expires },
            },
        )
    }

    fn verify(&self, facts: &RequestFacts<'_>, claim: &Claim<'_>) -> Result<Caller> {
        check_signed_headers(claim.signed_headers, &facts.parts.headers)?;
        let directory = self.directory.load();
        let entry = known_key(directory.key(claim.access_key), claim.access_key, facts.now)?;
        let (signing_key, fresh) = entry.key.signing_key(claim.date, claim.region);
        let request = Request::new(facts.parts, claim.signed_headers, claim.payload_hash);
        let matched = self.match_signature(facts, claim, &request, &signing_key, &entry.key)?;
        each_once(facts.parts.uri.query().unwrap_or_default())?;
        if fresh {
            entry.key.remember(claim.date, claim.region, &signing_key);
        }
        let payload = payload(matched.payload_hash.unwrap_or(claim.payload_hash), Some((claim, signing_key)))?;
        Ok(Caller {
            identity: entry.identity.clone(),
            access_key: Some(entry.key.id.clone()),
            via: claim.via,
            payload,
            reach: None,
            signed_for: matched.host,
        })
    }

    /// The form of the request under which the signature is genuine: nearly always as it arrived.
    fn match_signature<'f>(
        &self,
        facts: &RequestFacts<'f>,
        claim: &Claim<'_>,
        request: &Request<'_>,
        signing_key: &SigningKey,
        key: &AccessKey,
    ) -> Result<Matched<'f>> {
        let genuine = |rewrite: &Rewrite<'_>| {
            let canonical = request.canonical(rewrite);
            signing_key.verify(string_to_sign(claim.amz_date, claim.scope, &canonical).as_bytes(), claim.signature)
        };
        let plain = request.canonical(&Rewrite::default());
        let plain_string = string_to_sign(claim.amz_date, claim.scope, &plain);
        if signing_key.verify(plain_string.as_bytes(), claim.signature) {
            return Ok(Matched::default());
        }
        // A presigned URL whose signer put the hash into what it signed, though not the header into the list.
        let header_hash = facts.header("x-amz-content-sha256")?.filter(|v| claim.via.is_presigned() && *v != claim.payload_hash);
        if header_hash.is_some() && genuine(&Rewrite { payload_hash: header_hash, ..Rewrite::default() }) {
            return Ok(Matched { payload_hash: header_hash, host: None });
        }
        let candidates = Candidates::new(&self.settings, facts, request);
        if let Some(rewrite) = candidates.rewrites().iter().find(|r| genuine(r)) {
            return Ok(Matched { payload_hash: None, host: rewrite.host.map(Box::from) });
        }
        let advice = candidates::advice(facts, request, genuine);
        Err(mismatch(key, claim, advice, &plain, plain_string))
    }
}

#[derive(Default)]
struct Matched<'a> {
    payload_hash: Option<&'a str>,
    host: Option<Box<str>>,
}

struct HeaderFields<'a> {
    credential: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

impl<'a> HeaderFields<'a> {
    fn parse(authorization: &'a str) -> Result<Self> {
        let rest = authorization.strip_prefix(ALGORITHM).unwrap_or(authorization);
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for field in rest.split(',') {
            let Some((name, value)) = trim(field).split_once('=') else {
                return Err(header_malformed("a field is not of the form name=value.".into()));
            };
            let slot = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                _ => continue,
            };
            if slot.replace(value).is_some() {
                return Err(header_malformed(format!("{name} is there twice.")));
            }
        }
        match (credential, signed_headers, signature) {
            (Some(credential), Some(signed_headers), Some(signature)) => Ok(HeaderFields { credential, signed_headers, signature }),
            _ => Err(header_malformed("Credential, SignedHeaders and Signature are needed.".into())),
        }
    }
}

struct QueryFields<'a> {
    credential: Cow<'a, str>,
    signed_headers: Cow<'a, str>,
    signature: Cow<'a, str>,
    date: Cow<'a, str>,
    expires: Cow<'a, str>,
    content_sha256: Option<Cow<'a, str>>,
    has_token: bool,
}

impl<'a> QueryFields<'a> {
    fn parse(query: &'a str) -> Result<Self> {
        const NAMES: [&str; 8] = [
            "X-Amz-Algorithm",
            "X-Amz-Credential",
            "X-Amz-Signature",
            "X-Amz-Date",
            "X-Amz-SignedHeaders",
            "X-Amz-Expires",
            "X-Amz-Content-Sha256",
            "X-Amz-Security-Token",
        ];
        let mut values: [Option<Cow<'a, str>>; 8] = Default::default();
        for (name, value) in query_pairs(query) {
            let Some((i, known)) = NAMES.iter().enumerate().find(|(_, n)| **n == name) else { continue };
            if values[i].replace(value).is_some() {
                return Err(query_error(format!("{known} is there more than once.")));
            }
        }
        let [algorithm, credential, signature, date, signed_headers, expires, content_sha256, token] = values;
        match algorithm.as_deref() {
            Some(ALGORITHM) => {}
            Some("AWS4-ECDSA-P256-SHA256") => return Err(no_sigv4a()),
            Some(_) => return Err(query_error("X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"".into())),
            None => return Err(missing_parameters()),
        }
        match (credential, signature, date, signed_headers, expires) {
            (Some(credential), Some(signature), Some(date), Some(signed_headers), Some(expires)) => {
                Ok(QueryFields { credential, signed_headers, signature, date, expires, content_sha256, has_token: token.is_some() })
            }
            _ => Err(missing_parameters()),
        }
    }

    /// When it was signed and when it ends; an error where `now` is not in between.
    fn validity(&self, now: Timestamp) -> Result<(Timestamp, Timestamp)> {
        let signed = Timestamp::parse_amz_date(&self.date)
            .ok_or_else(|| query_error("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"".into()))?;
        let seconds = match self.expires.parse::<i64>() {
            Err(_) => return Err(query_error("X-Amz-Expires should be a number".into())),
            Ok(n) if n < 0 => return Err(query_error("X-Amz-Expires must be non-negative".into())),
            Ok(0) => return Err(query_error("X-Amz-Expires must be at least 1 second".into())),
            Ok(n) if n as u64 > MAX_PRESIGN_SECONDS => {
                return Err(query_error(format!(
                    "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than {MAX_PRESIGN_SECONDS} seconds"
                )));
            }
            Ok(n) => n as u64,
        };
        let expires = Timestamp::from_secs(signed.secs() + seconds);
        if signed.secs() > now.secs() + MAX_CLOCK_SKEW_SECONDS {
            return Err(Error::new(ErrorKind::AccessDenied, "Request is not valid yet")
                .detail("X-Amz-Date", self.date.clone())
                .detail("ServerTime", now.iso8601()));
        }
        if now > expires {
            return Err(expired(expires, now).detail("X-Amz-Expires", seconds.to_string()));
        }
        Ok((signed, expires))
    }
}

pub(super) struct Credential<'a> {
    pub access_key: &'a str,
    pub date: &'a str,
    pub region: &'a str,
    service: &'a str,
    scope: &'a str,
}

impl<'a> Credential<'a> {
    fn parse(credential: &'a str) -> Option<Self> {
        let (access_key, scope) = credential.split_once('/')?;
        let mut fields = scope.split('/');
        let (date, region, service, end) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let date_is_legal = date.len() == 8 && date.bytes().all(|c| c.is_ascii_digit());
        // A line feed here would move the lines of the string to sign.
        let region_is_legal = !region.is_empty() && region.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'));
        let legal = !access_key.is_empty() && date_is_legal && region_is_legal && end == "aws4_request" && fields.next().is_none();
        legal.then_some(Credential { access_key, date, region, service, scope })
    }

    /// One that stands in a parameter, or in a field of a form.
    pub fn of_query(credential: &'a str, amz_date: &str, settings: &Settings) -> Result<Self> {
        let error = |text| query_error(format!("Error parsing the X-Amz-Credential parameter; {text}"));
        let parsed = Self::parse(credential)
            .ok_or_else(|| error("the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".".into()))?;
        parsed.check(amz_date, settings, error)?;
        Ok(parsed)
    }

    fn check(&self, amz_date: &str, settings: &Settings, error: impl Fn(String) -> Error) -> Result<()> {
        if self.service != "s3" {
            return Err(error(format!("incorrect service \"{}\". This endpoint belongs to \"s3\".", printable(self.service))));
        }
        if settings.strict_region && self.region != settings.region {
            let text = format!("the region '{}' is wrong; expecting '{}'", self.region, settings.region);
            return Err(error(text).detail("Region", settings.region.clone()));
        }
        if !amz_date.starts_with(self.date) {
            return Err(error(format!(
                "Invalid credential date \"{}\". This date is not the same as X-Amz-Date: \"{}\".",
                self.date,
                printable(amz_date.get(..8).unwrap_or_default())
            )));
        }
        Ok(())
    }
}

/// Only what can be in a credential; the rest would be quoted back into an XML document.
pub(super) fn printable(s: &str) -> String {
    s.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')).take(64).collect()
}

/// `x-amz-date`, or `Date` where there is none, in the form that is signed.
fn request_date(headers: &HeaderMap) -> Result<(Cow<'_, str>, Timestamp)> {
    let date = match header::one(headers, "x-amz-date")? {
        Some(s) => Timestamp::parse_amz_date(s).map(|t| (Cow::Borrowed(s), t)),
        None => header::text(headers, &DATE)?.and_then(|s| match Timestamp::parse_amz_date(s) {
            Some(t) => Some((Cow::Borrowed(s), t)),
            None => Timestamp::parse_http_date(s).map(|t| (Cow::Owned(t.amz_date()), t)),
        }),
    };
    date.ok_or_else(|| Error::new(ErrorKind::AccessDenied, "AWS authentication requires a valid Date or x-amz-date header"))
}

fn check_skew(signed: Timestamp, amz_date: &str, now: Timestamp) -> Result<()> {
    if signed.secs().abs_diff(now.secs()) <= MAX_CLOCK_SKEW_SECONDS {
        return Ok(());
    }
    Err(Error::new(ErrorKind::RequestTimeTooSkewed, "The difference between the request time and the current time is too large.")
        .detail("RequestTime", amz_date)
        .detail("ServerTime", now.iso8601())
        .detail("MaxAllowedSkewMilliseconds", (MAX_CLOCK_SKEW_SECONDS * 1000).to_string()))
}

pub(super) fn expired(expires: Timestamp, now: Timestamp) -> Error {
    Error::new(ErrorKind::AccessDenied, "Request has expired").detail("Expires", expires.iso8601()).detail("ServerTime", now.iso8601())
}

pub(super) fn known_key<'d>(entry: Option<&'d Entry>, access_key: &str, now: Timestamp) -> Result<&'d Entry> {
    let refused = |text| Error::new(ErrorKind::InvalidAccessKeyId, text).detail("AWSAccessKeyId", printable(access_key));
    let entry = entry.ok_or_else(|| refused("The AWS Access Key Id you provided does not exist in our records."))?;
    match entry.key.refusal(now) {
        Some(text) => Err(refused(text)),
        None => Ok(entry),
    }
}

fn is_signed(signed_headers: &str, name: &str) -> bool {
    signed_headers.split(';').any(|s| s == name)
}

/// Of S3's headers, and the one of our own that changes what a request does.
fn has_meaning(name: &str) -> bool {
    name.starts_with("x-amz-") || name == NAME_HEADER
}

pub(super) fn check_signed_headers(signed_headers: &str, headers: &HeaderMap) -> Result<()> {
    let legal = signed_headers
        .split(';')
        .all(|n| !n.is_empty() && n.bytes().all(|c| c.is_ascii_graphic() && !c.is_ascii_uppercase() && !matches!(c, b':' | b',' | b'"')));
    if !legal || signed_headers.split(';').count() > MAX_SIGNED_HEADERS {
        return Err(header_malformed("SignedHeaders must be names in lower case, separated by ';'.".into()));
    }
    let mut unsigned: Vec<&str> = if is_signed(signed_headers, "host") { Vec::new() } else { vec!["host"] };
    unsigned.extend(
        headers.keys().map(|n| n.as_str()).filter(|n| has_meaning(n) && !NEUTRAL_HEADERS.contains(n) && !is_signed(signed_headers, n)),
    );
    if unsigned.is_empty() {
        return signed_headers.split(';').try_for_each(|name| check_value(name, headers));
    }
    Err(Error::new(ErrorKind::AccessDenied, "There were headers present in the request which were not signed")
        .detail("HeadersNotSigned", unsigned.join(", ")))
}

/// The canonical request joins the values of one name by commas, writes an absent header as an empty one, and makes one space of
/// several. Where requests that differ so would mean different things, only one of them is taken.
fn check_value(name: &str, headers: &HeaderMap) -> Result<()> {
    let mut values = headers.get_all(name).iter();
    let ambiguous =
        |text: &str| Err(Error::new(ErrorKind::InvalidArgument, format!("The signed header {name} {text}")).detail("ArgumentName", name));
    match (values.next(), values.next()) {
        (_, Some(_)) if !LISTS.contains(&name) => ambiguous("is there more than once: send its values in one line."),
        (None, None) if has_meaning(name) => ambiguous("is not there."),
        (Some(value), None)
            if has_meaning(name) && !name.starts_with("x-amz-meta-") && value.as_bytes().windows(2).any(|two| two == b"  ") =>
        {
            ambiguous("has several spaces in a row: encode them.")
        }
        _ => Ok(()),
    }
}

/// What a payload hash says of the body. `signed`: the claim that covers it, and its key; None for requests without one.
fn payload(hash: &str, signed: Option<(&Claim<'_>, SigningKey)>) -> Result<Payload> {
    let signer = |form: &str| match signed {
        Some((claim, key)) => Ok(ChunkSigner::new(key, claim.amz_date, claim.scope, claim.signature)),
        None => Err(Error::new(ErrorKind::InvalidRequest, format!("{form} needs a signed request."))),
    };
    match hash {
        payload::UNSIGNED => Ok(Payload::Unsigned),
        streaming::UNSIGNED_TRAILER => Ok(Payload::Streaming(ChunkedForm::unsigned_trailer())),
        streaming::SIGNED => Ok(Payload::Streaming(ChunkedForm { signer: Some(signer(hash)?), trailer: false })),
        streaming::SIGNED_TRAILER => Ok(Payload::Streaming(ChunkedForm { signer: Some(signer(hash)?), trailer: true })),
        _ if hash.starts_with("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD") => Err(no_sigv4a()),
        _ => Sha256::from_hex(hash).map(Payload::Sha256).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidArgument,
                "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, STREAMING-UNSIGNED-PAYLOAD-TRAILER or a valid sha256 value.",
            )
            .detail("ArgumentName", "x-amz-content-sha256")
        }),
    }
}

/// The body of a request whose signature, if any, says nothing of it.
pub(super) fn unsigned_payload(facts: &RequestFacts<'_>) -> Result<Payload> {
    if let Some(hash) = facts.header("x-amz-content-sha256")? {
        return payload(hash, None);
    }
    // SDKs without credentials send a trailer, too, but not the header that says so.
    let codings = header::members(&facts.parts.headers, "content-encoding")?;
    if codings.iter().any(|c| c.eq_ignore_ascii_case("aws-chunked")) && facts.parts.headers.contains_key("x-amz-trailer") {
        return Ok(Payload::Streaming(ChunkedForm::unsigned_trailer()));
    }
    Ok(Payload::Unsigned)
}

fn mismatch(key: &AccessKey, claim: &Claim<'_>, advice: Option<String>, canonical: &[u8], string_to_sign: String) -> Error {
    let bytes = |b: &[u8]| b.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" ");
    let mut text =
        String::from("The request signature we calculated does not match the signature you provided. Check your key and signing method.");
    if let Some(advice) = advice {
        text.push(' ');
        text.push_str(&advice);
    }
    let string_bytes = bytes(string_to_sign.as_bytes());
    Error::new(ErrorKind::SignatureDoesNotMatch, text)
        .detail("AWSAccessKeyId", key.id.as_str())
        .detail("StringToSign", string_to_sign)
        .detail("SignatureProvided", printable(claim.signature))
        .detail("StringToSignBytes", string_bytes)
        .detail("CanonicalRequest", String::from_utf8_lossy(canonical))
        .detail("CanonicalRequestBytes", bytes(canonical))
}

fn header_malformed(text: String) -> Error {
    Error::new(ErrorKind::AuthorizationHeaderMalformed, format!("The authorization header is malformed; {text}"))
}

pub(super) fn query_error(text: String) -> Error {
    Error::new(ErrorKind::AuthorizationQueryParametersError, text)
}

fn missing_parameters() -> Error {
    query_error("Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.".into())
}

pub(super) fn no_sigv4a() -> Error {
    Error::new(
        ErrorKind::NotImplemented,
        "SigV4A (AWS4-ECDSA-P256-SHA256) is not supported. Sign with AWS4-HMAC-SHA256; any region is accepted.",
    )
}

pub(super) fn no_session_tokens() -> Error {
    Error::new(
        ErrorKind::InvalidToken,
        "The provided token is malformed or otherwise invalid: this service issues no session tokens. Use an access key without one.",
    )
}
