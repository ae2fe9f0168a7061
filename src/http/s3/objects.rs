//! PutObject, DeleteObject, DeleteObjects.

use http::StatusCode;
use http::header::{self, HeaderName, HeaderValue};

use crate::auth::{Action, Grant};
use crate::base::checksum::ChecksumAlgorithm;
use crate::base::conditions::{ETagMatch, WriteConditions};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::{MAX_DELETE_KEYS, MAX_PUT_BYTES};
use crate::base::media_type;
use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::{ObjectInfo, SharedBucket};
use crate::base::timestamp::Timestamp;
use crate::http::pace::Pace;
use crate::http::respond::{self, Answer, code_and_status, value};
use crate::http::s3::exchange::Exchange;
use crate::http::s3::params;
use crate::http::xml::{Element, Writer};
use crate::ingest::{Content, Received};
use crate::origin::{Dedup, Written};

pub async fn put(exchange: &mut Exchange<'_>, bucket: &BucketName, key: &ObjectKey) -> Result<Answer> {
    let headers = &exchange.parts.headers;
    let mut stored = params::object_headers(headers)?;
    let acl = params::acl(headers)?;
    let conditions = params::write_conditions(headers)?;
    // S3 keeps a CRC64NVME where the client chose nothing.
    let expect = params::expect(headers, MAX_PUT_BYTES, Some(ChecksumAlgorithm::Crc64Nvme))?;
    let grant = exchange.on_object(Action::PutObject, bucket, key).await?;
    let (received, running) = exchange.receive_object(&grant, expect, acl, &stored, &conditions).await?;
    if stored.content_type.is_empty() {
        stored.content_type = media_type::guess(key.as_str(), &first_bytes(&received)).to_owned();
    }
    let written = exchange.gateway.ops.put(&grant, acl, stored, conditions, received).await?;
    running.taken(&written.object);
    let mut answer = respond::empty(StatusCode::OK);
    written_headers(answer.headers_mut(), &written.object);
    tell_dedup(answer.headers_mut(), &grant, &written);
    Ok(answer)
}

/// Only its owner may know what there was already.
pub fn tell_dedup(headers: &mut http::HeaderMap, grant: &Grant, written: &Written) {
    if written.object.owner == *grant.tenant() || grant.tenant().is_operator() {
        let dedup = if written.dedup == Dedup::Hit { "hit" } else { "miss" };
        headers.insert("x-tidegate-dedup", HeaderValue::from_static(dedup));
    }
}

/// ETag and checksum of what was written.
pub fn written_headers(headers: &mut http::HeaderMap, object: &ObjectInfo) {
    if let Some(v) = value(&object.etag.quoted()) {
        headers.insert(header::ETAG, v);
    }
    crate::http::read::checksum_headers(headers, object);
}

pub fn first_bytes(received: &Received) -> Vec<u8> {
    match &received.content {
        Content::Memory(bytes) => bytes.get(..media_type::SNIFF_BYTES.min(bytes.len())).unwrap_or_default().to_vec(),
        Content::File(file) => {
            use std::os::unix::fs::FileExt;
            let mut first = vec![0; media_type::SNIFF_BYTES];
            // Just written: these bytes are in memory. If they can't be had, the name decides alone.
            let n = file.file().read_at(&mut first, 0).unwrap_or(0);
            first.truncate(n);
            first
        }
    }
}

pub async fn delete(exchange: &mut Exchange<'_>, bucket: &BucketName, key: &ObjectKey) -> Result<Answer> {
    let conditions = params::write_conditions(&exchange.parts.headers)?;
    let grant = exchange.on_object(Action::DeleteObject, bucket, key).await?;
    exchange.gateway.ops.delete(&grant, conditions).await?;
    Ok(respond::empty(StatusCode::NO_CONTENT))
}

/// One key of a DeleteObjects request.
struct Wanted {
    key: String,
    version: Option<String>,
    conditions: WriteConditions,
}

pub async fn delete_many(exchange: &mut Exchange<'_>, bucket: &BucketName) -> Result<Answer> {
    let found = exchange.gateway.ops.bucket_for_decision(bucket).await?;
    let found = exchange.existing(found, bucket)?;
    let promised = ["content-md5", "x-amz-trailer"].into_iter().chain(ChecksumAlgorithm::ALL.map(|a| a.header()));
    if !promised.into_iter().any(|name| exchange.parts.headers.contains_key(HeaderName::from_static(name))) && !exchange.has_payload_hash()
    {
        return Err(Error::new(ErrorKind::InvalidRequest, "Missing required header for this request: Content-MD5 OR x-amz-checksum-*"));
    }
    let document = exchange.document().await?;
    let root = Element::parse(&document, "Delete")?;
    let quiet = root.text_of("Quiet").is_some_and(|q| q.eq_ignore_ascii_case("true"));
    let wanted: Vec<Wanted> = root.children.iter().filter(|c| c.name == "Object").map(wanted).collect::<Result<_>>()?;
    if wanted.is_empty() || wanted.len() > MAX_DELETE_KEYS {
        return Err(Error::new(
            ErrorKind::MalformedXml,
            "The XML you provided was not well-formed or did not validate against our published schema: 1 to 1000 objects are allowed.",
        ));
    }
    let mut w = Writer::document("DeleteResult");
    let mut pace = Pace::begin();
    for wanted in wanted {
        pace.next().await;
        match delete_one(exchange, &found, &wanted).await {
            Ok(()) if quiet => {}
            Ok(()) => {
                w.open("Deleted").leaf("Key", &wanted.key).leaf_if("VersionId", wanted.version.as_deref()).close("Deleted");
            }
            Err(e) => {
                let (code, _) = code_and_status(e.kind());
                w.open("Error").leaf("Key", &wanted.key).leaf_if("VersionId", wanted.version.as_deref());
                w.leaf("Code", code).leaf("Message", e.message()).close("Error");
            }
        }
    }
    Ok(respond::xml(w.finish("DeleteResult")))
}

fn wanted(element: &Element) -> Result<Wanted> {
    // The key's own spaces belong to it.
    let key = element.child("Key").map(|k| k.text.clone()).filter(|k| !k.is_empty());
    let key = key.ok_or_else(|| {
        Error::new(
            ErrorKind::MalformedXml,
            "The XML you provided was not well-formed or did not validate against our published schema: an Object has no Key.",
        )
    })?;
    let conditions = WriteConditions {
        if_none_match: None,
        if_match: element.text_of("ETag").map(ETagMatch::parse),
        if_match_size: element.text_of("Size").and_then(|s| s.parse().ok()),
        if_match_modified: element
            .text_of("LastModifiedTime")
            .and_then(|t| Timestamp::parse_iso8601(t).or_else(|| Timestamp::parse_http_date(t))),
    };
    Ok(Wanted { key, version: element.text_of("VersionId").filter(|v| !v.is_empty()).map(str::to_owned), conditions })
}

/// Each key is decided for itself: a batch gives no more rights than its single deletes would.
async fn delete_one(exchange: &Exchange<'_>, bucket: &SharedBucket, wanted: &Wanted) -> Result<()> {
    let key = ObjectKey::parse(&wanted.key)?;
    let grant = exchange.authorize_object(Action::DeleteObject, bucket, &key, None)?;
    if wanted.version.as_deref().is_some_and(|v| v != "null") {
        return Err(Error::new(ErrorKind::NoSuchVersion, "The specified version does not exist."));
    }
    exchange.gateway.ops.delete(&grant, wanted.conditions.clone()).await.map(|_| ())
}
