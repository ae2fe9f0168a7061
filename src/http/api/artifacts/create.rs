//! Making artifacts: from text or base64 in the call, or by a URL that the caller's client sends the bytes to.
//!
//! What is larger than a document comes as the body of a PUT (`artifacts::put`), or by such a URL.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::auth::presign::Presign;
use crate::base::checksum::ChecksumAlgorithm;
use crate::base::conditions::{ETagMatch, WriteConditions};
use crate::base::digest::Sha256;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::MAX_PRESIGN_SECONDS;
use crate::base::media_type;
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::object::ObjectHeaders;
use crate::base::tags::{Tagged, Tags};
use crate::base::timestamp::Timestamp;
use crate::http::api::artifacts::place::{Named, invalid, is_of_run};
use crate::http::api::artifacts::show;
use crate::http::api::presign;
use crate::http::exchange::Exchange;
use crate::http::pace::Pace;
use crate::http::respond::code_and_status;
use crate::http::s3::publish::{self, DIGITS, Published};
use crate::ingest::{Expect, receive};
use crate::ops::encryption::Asked;
use crate::ops::reading::Reading;
use crate::ops::write::{GrantedLock, NewObject};
use crate::origin::Body;
use crate::telemetry::audit::Kind;

/// More is another request.
pub const MAX_BATCH: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Create {
    pub bucket: BucketName,
    pub tenant: Option<TenantId>,
    pub run: Option<String>,
    #[serde(rename = "type")]
    pub artifact_type: Option<String>,
    pub session: Option<String>,
    pub project: Option<String>,
    pub template: Option<String>,
    pub filename: String,
    /// None: by name and first bytes.
    pub content_type: Option<String>,
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// One of these three says where the bytes are.
    pub text: Option<String>,
    pub base64: Option<String>,
    pub upload: Option<Upload>,
    /// On a shelf: only over the version of this ETag; `*`: over any.
    pub if_match: Option<String>,
    /// On a shelf: `*`, only where there is none yet.
    pub if_none_match: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upload {
    /// Seconds.
    pub expires: Option<u64>,
    /// In hex. The store holds the bytes against it, and the key is known before they are there.
    pub sha256: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    pub artifacts: Vec<Create>,
}

/// What is said of one, checked.
struct Wanted {
    bucket: BucketName,
    /// With the name that was given to it.
    asked: ObjectKey,
    by_hash: bool,
    headers: ObjectHeaders,
    tags: Tags,
    conditions: WriteConditions,
}

pub async fn one(exchange: &mut Exchange<'_>, create: Create) -> Result<Value> {
    let wanted = wanted(exchange, &create)?;
    let bytes = match (create.text, create.base64, create.upload) {
        (Some(text), None, None) => Bytes::from(text),
        (None, Some(text), None) => {
            let wrong = |_| invalid("base64", "It is not base64 with the usual alphabet and padding.".to_owned());
            STANDARD.decode(text.as_bytes()).map(Bytes::from).map_err(wrong)?
        }
        (None, None, Some(upload)) => return by_upload(exchange, wanted, &upload).await,
        _ => return Err(Error::new(ErrorKind::InvalidArgument, "One of text, base64 and upload says where the bytes are.")),
    };
    let (bucket, asked) = (wanted.bucket.clone(), wanted.asked.clone());
    let published = store(exchange, wanted, bytes).await?;
    let key = publish::name_of(&published, &asked);
    show::written(exchange, &bucket, &key, &published.object, published.existed).await
}

/// Each for itself: what is refused is told in its place, and the others are made.
pub async fn batch(exchange: &mut Exchange<'_>, batch: Batch) -> Result<Value> {
    if batch.artifacts.is_empty() || batch.artifacts.len() > MAX_BATCH {
        return Err(Error::new(ErrorKind::InvalidRequest, format!("A batch has 1 to {MAX_BATCH} artifacts.")));
    }
    let (mut results, mut failed, mut pace) = (Vec::with_capacity(batch.artifacts.len()), 0, Pace::begin());
    for create in batch.artifacts {
        pace.next().await;
        results.push(match one(exchange, create).await {
            Ok(artifact) => json!({ "status": 201, "artifact": artifact }),
            Err(e) => {
                failed += 1;
                let (code, status) = code_and_status(e.kind());
                json!({ "status": status, "error": { "code": code, "message": e.message() } })
            }
        });
    }
    Ok(json!({ "artifacts": results, "failed": failed }))
}

fn wanted(exchange: &Exchange<'_>, create: &Create) -> Result<Wanted> {
    let named = Named {
        tenant: create.tenant.clone(),
        run: create.run.clone(),
        artifact_type: create.artifact_type.clone(),
        session: create.session.clone(),
        project: create.project.clone(),
        template: create.template.clone(),
    };
    let asked = named.key(exchange.caller.identity.id(), &create.filename)?;
    let by_hash = is_of_run(&asked)?;
    let conditions = WriteConditions {
        if_match: condition("if_match", create.if_match.as_deref())?,
        if_none_match: condition("if_none_match", create.if_none_match.as_deref())?,
        ..WriteConditions::default()
    };
    if by_hash && !conditions.is_empty() {
        return Err(Error::new(ErrorKind::InvalidRequest, "What is named by its content is written once: it takes no conditions."));
    }
    let mut headers = ObjectHeaders { content_type: create.content_type.clone().unwrap_or_default(), ..ObjectHeaders::default() };
    if HeaderValue::from_str(&headers.content_type).is_err() || !headers.content_type.is_ascii() {
        return Err(invalid("content_type", "It can't stand in a header.".to_owned()));
    }
    for (name, value) in &create.metadata {
        let name = name.to_ascii_lowercase();
        if HeaderName::try_from(format!("x-amz-meta-{name}")).is_err() || HeaderValue::from_str(value).is_err() || !value.is_ascii() {
            return Err(invalid("metadata", format!("{name:?} and its value can't stand in a header.")));
        }
        headers.user.insert(name, value.clone().into_bytes());
    }
    let tags = Tags::new(create.tags.clone().into_iter().collect(), Tagged::Object)?;
    Ok(Wanted { bucket: create.bucket.clone(), asked, by_hash, headers, tags, conditions })
}

fn condition(name: &str, text: Option<&str>) -> Result<Option<ETagMatch>> {
    let wrong = || invalid(name, "It is one ETag, or *.".to_owned());
    text.map(|text| ETagMatch::parse_one(text).ok_or_else(wrong)).transpose()
}

async fn store(exchange: &mut Exchange<'_>, wanted: Wanted, bytes: Bytes) -> Result<Published> {
    let Wanted { bucket, asked, by_hash, headers, tags, conditions } = wanted;
    let provisional = if by_hash { publish::named(&asked, &"0".repeat(DIGITS))? } else { asked.clone() };
    let grant = exchange.on_new_object(&bucket, &provisional, &tags).await?;
    let ops = &exchange.gateway.ops;
    let (acl, encryption) = (grant.acl_asked(None)?, ops.encryption_of_new(&grant, Asked::Nothing).await?);
    let mut new = NewObject { acl, headers, tags, lock: GrantedLock::default(), encryption };
    ops.require_storable(&grant, &new.headers, &new.tags, &new.acl).await?;
    let length = bytes.len() as u64;
    let expect = Expect { length: Some(length), max: length, compute: Some(ChecksumAlgorithm::Crc64Nvme), ..Expect::default() };
    let staging = ops.staging_encrypted(&grant, &new);
    let received = receive(pin!(Reading(Body::Memory(bytes))), None, &expect, &staging).await?;
    if by_hash {
        return publish::keep(exchange, &bucket, &asked, new, received).await;
    }
    if new.headers.content_type.is_empty() {
        new.headers.content_type = media_type::guess(asked.as_str(), &received.first_bytes(media_type::SNIFF_BYTES)).to_owned();
    }
    let written = ops.put(&grant, new, conditions, received).await?;
    Ok(Published { grant, object: written.object, existed: false })
}

/// A presigned PUT, with what must be sent with it.
async fn by_upload(exchange: &mut Exchange<'_>, wanted: Wanted, upload: &Upload) -> Result<Value> {
    presign::require_own(exchange)?;
    let Wanted { bucket, asked, by_hash, headers, tags, conditions } = wanted;
    if !conditions.is_empty() {
        return Err(Error::new(ErrorKind::InvalidRequest, "An upload takes no conditions: send the content in the call, or by PUT."));
    }
    let unreadable = || invalid("upload", "sha256 is 64 digits of 0-9 a-f.".to_owned());
    let sha256 = upload.sha256.as_deref().map(|hex| Sha256::from_hex(hex).ok_or_else(unreadable)).transpose()?;
    let name_of = |digits: &str| publish::named(&asked, digits.get(..DIGITS).unwrap_or_default());
    let key = match (by_hash, &sha256) {
        (false, _) => Some(asked.clone()),
        (true, Some(sha256)) => Some(name_of(&sha256.hex())?),
        (true, None) => None,
    };
    let provisional = key.clone().map_or_else(|| name_of(&"0".repeat(DIGITS)), Ok)?;
    let grant = exchange.on_new_object(&bucket, &provisional, &tags).await?;
    exchange.gateway.ops.require_storable(&grant, &headers, &tags, &grant.acl_asked(None)?).await?;

    let mut query: Vec<(String, String)> = Vec::new();
    if key.is_none() {
        query.push(("publish".to_owned(), String::new()));
    }
    query.extend(sha256.map(|sha256| (ChecksumAlgorithm::Sha256.header().to_owned(), STANDARD.encode(sha256.0))));
    query.extend(headers.user.iter().map(|(name, value)| (format!("x-amz-meta-{name}"), String::from_utf8_lossy(value).into_owned())));
    if !tags.is_empty() {
        query.push(("x-amz-tagging".to_owned(), tags.query()));
    }
    let query: Vec<(&str, &str)> = query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let wished = upload.expires.unwrap_or(exchange.gateway.settings.presign_expires.as_secs());
    if !(1..=MAX_PRESIGN_SECONDS).contains(&wished) {
        return Err(invalid("upload", format!("expires is 1 to {MAX_PRESIGN_SECONDS} seconds.")));
    }
    let seconds = presign::within_session(exchange, wished);
    let (endpoint, now) = (exchange.base_url(), exchange.now);
    let key_sent = key.as_ref().unwrap_or(&asked);
    let request =
        Presign { method: Method::PUT, endpoint: &endpoint, bucket: &bucket, key: key_sent, expires_seconds: seconds, now, query: &query };
    let url = exchange.gateway.auth.presign_for(exchange.caller, &request)?;
    exchange.record.audit_as(Kind::Presign, || format!("PUT of {bucket}/{key_sent}, for {seconds} s"));
    let content_type = if headers.content_type.is_empty() { media_type::guess(asked.as_str(), &[]) } else { &headers.content_type };
    Ok(json!({
        "bucket": bucket.as_str(),
        // None: it is known with the bytes, and told in the header of the answer to them.
        "key": key.as_ref().map(ObjectKey::as_str),
        "upload": {
            "method": "PUT",
            "url": url,
            "headers": { "content-type": content_type },
            "expires": Timestamp::from_secs(now.secs()).plus(Duration::from_secs(seconds)).iso8601(),
            "key_header": key.is_none().then_some("x-tidegate-key"),
        },
    }))
}
