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
use crate::auth::facts::{RequestFacts, each_once};
use crate::auth::identity::{Caller, Via};
use crate::auth::keys::{AccessKey, SigningKey};
use crate::auth::payload::{self, Payload};
use crate::auth::sigv4_parts::{Credential, HeaderFields, QueryFields, header_malformed, no_sigv4a, printable, query_error};
use crate::auth::streaming::{self, ChunkSigner, ChunkedForm};
use crate::base::digest::Sha256;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::header::{self, trim};
use crate::base::limits::MAX_CLOCK_SKEW_SECONDS;
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
    /// Beside the key of a session.
    token: Option<&'a str>,
    asked: Asked<'a>,
    via: Via,
}

/// Which service a request is signed for.
#[derive(Debug, Clone, Copy)]
enum Asked<'a> {
    S3,
    /// With the hash of the body, which no header says.
    Sts(&'a str),
}

impl Asked<'_> {
    fn service(self) -> &'static str {
        match self {
            Asked::S3 => S3,
            Asked::Sts(_) => "sts",
        }
    }
}

const S3: &str = "s3";
const TOKEN: &str = "x-amz-security-token";

impl Auth {
    /// `authorization` begins with the algorithm.
    pub(super) fn authenticate_header(&self, facts: &RequestFacts<'_>, authorization: &str) -> Result<Caller> {
        self.by_header(facts, authorization, Asked::S3)
    }

    pub(super) fn authenticate_query(&self, facts: &RequestFacts<'_>) -> Result<Caller> {
        self.by_query(facts, Asked::S3)
    }

    /// Of a request to STS: by its header or its query, of Version 4. `body`: its hash in hex.
    pub fn authenticate_for_sts(&self, facts: &RequestFacts<'_>, body: &str) -> Result<Caller> {
        match facts.parts.headers.get(AUTHORIZATION).map(|value| trim(value.to_str().unwrap_or_default())) {
            None => self.by_query(facts, Asked::Sts(body)),
            Some(header) if header.starts_with(ALGORITHM) => self.by_header(facts, header, Asked::Sts(body)),
            Some(_) => Err(header_malformed("AWS4-HMAC-SHA256 is needed.".into())),
        }
    }

    fn by_header(&self, facts: &RequestFacts<'_>, authorization: &str, asked: Asked<'_>) -> Result<Caller> {
        if facts.parts.headers.get_all(AUTHORIZATION).iter().nth(1).is_some() {
            return Err(header_malformed("there is more than one".into()));
        }
        let fields = HeaderFields::parse(authorization)?;
        let (amz_date, signed) = request_date(&facts.parts.headers)?;
        let credential = Credential::parse(fields.credential).ok_or_else(|| {
            header_malformed("the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".".into())
        })?;
        credential.check(&amz_date, &self.settings, asked.service(), header_malformed)?;
        check_skew(signed, &amz_date, facts.now)?;
        let payload_hash = match asked {
            Asked::Sts(body) => body,
            Asked::S3 => header::one(&facts.parts.headers, "x-amz-content-sha256")?
                .ok_or_else(|| Error::new(ErrorKind::InvalidRequest, "Missing required header for this request: x-amz-content-sha256"))?,
        };
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
                token: facts.header(TOKEN)?,
                asked,
                via: Via::Header { signed },
            },
        )
    }

    fn by_query(&self, facts: &RequestFacts<'_>, asked: Asked<'_>) -> Result<Caller> {
        let fields = QueryFields::parse(facts.parts.uri.query().unwrap_or_default())?;
        if facts.parts.headers.contains_key(TOKEN) {
            return Err(query_error("X-Amz-Security-Token stands in the query of a presigned URL, not in a header.".into()));
        }
        let (signed, expires) = fields.validity(facts.now)?;
        let credential = Credential::of_query(&fields.credential, &fields.date, &self.settings, asked.service())?;
        let header = facts.header("x-amz-content-sha256")?;
        let payload_hash = match (header, &fields.content_sha256) {
            _ if let Asked::Sts(body) = asked => body,
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
                token: fields.token.as_deref(),
                asked,
                via: Via::Query { signed, expires },
            },
        )
    }

    fn verify(&self, facts: &RequestFacts<'_>, claim: &Claim<'_>) -> Result<Caller> {
        check_signed_headers(claim.signed_headers, &facts.parts.headers)?;
        let directory = self.directory.load();
        let signer = self.signer(&directory, claim.access_key, claim.token, facts.now)?;
        let (signing_key, fresh) = match claim.asked {
            Asked::S3 => signer.key.signing_key(claim.date, claim.region),
            Asked::Sts(_) => (SigningKey::derive_for(&signer.key.secret, claim.date, claim.region, claim.asked.service()), false),
        };
        let request = Request::new(facts.parts, claim.signed_headers, claim.payload_hash);
        let matched = self.match_signature(facts, claim, &request, &signing_key, &signer.key)?;
        each_once(facts.parts.uri.query().unwrap_or_default())?;
        if fresh {
            signer.key.remember(claim.date, claim.region, &signing_key);
        }
        let payload = payload(matched.payload_hash.unwrap_or(claim.payload_hash), Some((claim, signing_key)))?;
        Ok(Caller {
            access_key: Some(signer.key.id.clone()),
            identity: signer.identity,
            session: signer.session,
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
