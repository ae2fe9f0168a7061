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
use crate::base::object::{ObjectInfo, SharedBucket, SharedObject};
use crate::base::object_ref::{ObjectRef, VersionId};
use crate::base::timestamp::Timestamp;
use crate::http::document;
use crate::http::exchange::Exchange;
use crate::http::pace::Pace;
use crate::http::respond::{self, Answer, code_and_status, value};
use crate::http::s3::{acl, encryption, lifecycle, lock, params, versions};
use crate::http::xml::{Reader, Writer};
use crate::ops::write::NewObject;
use crate::origin::{Dedup, Delete, Deleted, Written};

pub async fn put(exchange: &mut Exchange<'_>, bucket: &BucketName, key: &ObjectKey) -> Result<Answer> {
    // S3 keeps a CRC64NVME where the client chose nothing.
    let (answer, _) = put_with(exchange, bucket, key, ChecksumAlgorithm::Crc64Nvme).await?;
    Ok(answer)
}

/// `compute`: the checksum that is kept where the client sent none.
pub async fn put_with(
    exchange: &mut Exchange<'_>,
    bucket: &BucketName,
    key: &ObjectKey,
    compute: ChecksumAlgorithm,
) -> Result<(Answer, SharedObject)> {
    exchange.lock = lock::asked(&exchange.parts.headers, exchange.now)?;
    let headers = &exchange.parts.headers;
    let (stored, acl, tags) = (params::object_headers(headers)?, acl::asked(exchange)?, params::tags(headers)?);
    let conditions = params::write_conditions(headers)?;
    let expect = params::expect(headers, MAX_PUT_BYTES, Some(compute))?;
    let grant = exchange.on_new_object(bucket, key, &tags).await?;
    let (acl, lock) = (grant.acl_asked(acl)?, exchange.granted_lock(bucket, key)?);
    let encryption = exchange.gateway.ops.encryption_of_new(&grant, encryption::asked(exchange)?).await?;
    let mut new = NewObject { acl, headers: stored, tags, lock, encryption };
    exchange.require_sum(&expect, exchange.lock.lock(), "Put Object")?;
    let (received, running) = exchange.receive_object(&grant, expect, &new, &conditions).await?;
    if new.headers.content_type.is_empty() {
        new.headers.content_type = media_type::guess(key.as_str(), &received.first_bytes(media_type::SNIFF_BYTES)).to_owned();
    }
    let (tags, encrypted) = (Some(new.tags.clone()), new.encryption.clone());
    let written = exchange.gateway.ops.put(&grant, new, conditions, received).await?;
    running.taken(&written.object);
    exchange.record.saw_object(written.object.clone());
    let mut answer = respond::empty(StatusCode::OK);
    written_headers(answer.headers_mut(), &written.object);
    encryption::tell_made(answer.headers_mut(), encrypted.as_ref(), written.object.encryption.as_ref());
    tell_dedup(answer.headers_mut(), &grant, &written);
    lifecycle::tell_written(exchange, ObjectRef::current(bucket, key), &written.object, tags, answer.headers_mut()).await;
    Ok((answer, written.object))
}

/// Only its owner may know what there was already.
pub fn tell_dedup(headers: &mut http::HeaderMap, grant: &Grant, written: &Written) {
    if written.object.owner == *grant.tenant() || grant.tenant().is_operator() {
        let dedup = if written.dedup == Dedup::Hit { "hit" } else { "miss" };
        headers.insert("x-tidegate-dedup", HeaderValue::from_static(dedup));
    }
}

/// ETag, version and checksum of what was written.
pub fn written_headers(headers: &mut http::HeaderMap, object: &ObjectInfo) {
    if let Some(v) = value(&object.etag.quoted()) {
        headers.insert(header::ETAG, v);
    }
    versions::tell_written(headers, object);
    crate::http::read::checksum_headers(headers, object);
}

pub async fn delete(exchange: &mut Exchange<'_>, bucket: &BucketName, key: &ObjectKey) -> Result<Answer> {
    let conditions = params::write_conditions(&exchange.parts.headers)?;
    let grant = exchange.on_object(Action::DeleteObject, bucket, key).await?;
    let found = exchange.record.bucket().ok_or_else(|| Error::internal("a delete before its bucket was found"))?;
    let bypass = exchange.bypasses(found, exchange.named(bucket, key))?;
    let deleted = exchange.gateway.ops.delete(&grant, Delete { conditions, bypass }).await?;
    let mut answer = respond::empty(StatusCode::NO_CONTENT);
    versions::tell_deleted(answer.headers_mut(), exchange.version.as_ref(), &deleted);
    Ok(answer)
}

/// A batch of 1,000 with all that an Object may hold has 6,001.
const MAX_DELETE_ELEMENTS: usize = 10_000;

/// One key of a DeleteObjects request.
struct Wanted {
    key: String,
    /// As it was written: one that can be none is wrong of its key alone.
    version: Option<String>,
    conditions: WriteConditions,
}

pub async fn delete_many(exchange: &mut Exchange<'_>, bucket: &BucketName) -> Result<Answer> {
    let found = exchange.gateway.ops.bucket_for_decision(bucket).await?;
    let found = exchange.existing(found, bucket)?;
    exchange.may_with_some_key(Action::DeleteObject, &found)?;
    let promised = ["content-md5", "x-amz-trailer"].into_iter().chain(ChecksumAlgorithm::ALL.map(|a| a.header()));
    if !promised.into_iter().any(|name| exchange.parts.headers.contains_key(HeaderName::from_static(name))) && !exchange.has_payload_hash()
    {
        return Err(Error::new(ErrorKind::InvalidRequest, "Missing required header for this request: Content-MD5 OR x-amz-checksum-*"));
    }
    let document = exchange.large_document().await?;
    let Batch { quiet, wanted } = document::read(document, batch).await?;
    let mut w = Writer::document("DeleteResult");
    let mut pace = Pace::begin();
    for wanted in wanted {
        pace.next().await;
        match delete_one(exchange, &found, &wanted).await {
            Ok(_) if quiet => {}
            Ok(deleted) => {
                w.open("Deleted").leaf("Key", &wanted.key).leaf_if("VersionId", wanted.version.as_ref());
                if deleted.marker {
                    w.leaf("DeleteMarker", true).leaf_if("DeleteMarkerVersionId", deleted.version);
                }
                w.close("Deleted");
            }
            Err(e) => {
                let (code, _) = code_and_status(e.kind());
                w.open("Error").leaf("Key", &wanted.key).leaf_if("VersionId", wanted.version.as_ref());
                w.leaf("Code", code).leaf("Message", e.message()).close("Error");
            }
        }
    }
    Ok(respond::xml(w.finish("DeleteResult")))
}

struct Batch {
    quiet: bool,
    wanted: Vec<Wanted>,
}

fn batch(document: &[u8]) -> Result<Batch> {
    Reader::read(document, "Delete", MAX_DELETE_ELEMENTS, |reader| {
        let (mut quiet, mut wanted) = (None, Vec::new());
        reader.each(|name, reader| {
            match name {
                "Quiet" if quiet.is_none() => quiet = Some(reader.text()?.trim_ascii().eq_ignore_ascii_case("true")),
                "Object" if wanted.len() == MAX_DELETE_KEYS => return Err(invalid_batch("1 to 1000 objects are allowed")),
                "Object" => wanted.push(wanted_object(reader)?),
                _ => {}
            }
            Ok(())
        })?;
        if wanted.is_empty() {
            return Err(invalid_batch("1 to 1000 objects are allowed"));
        }
        Ok(Batch { quiet: quiet.unwrap_or(false), wanted })
    })
}

fn wanted_object(reader: &mut Reader<'_>) -> Result<Wanted> {
    let [mut key, mut version, mut etag, mut size, mut modified] = [const { None::<String> }; 5];
    reader.each(|name, reader| {
        let of = match name {
            "Key" => &mut key,
            "VersionId" => &mut version,
            "ETag" => &mut etag,
            "Size" => &mut size,
            "LastModifiedTime" => &mut modified,
            _ => return Ok(()),
        };
        // The first of a name counts.
        if of.is_none() {
            *of = Some(reader.text()?);
        }
        Ok(())
    })?;
    // The key's own spaces belong to it.
    let key = key.filter(|k| !k.is_empty()).ok_or_else(|| invalid_batch("an Object has no Key"))?;
    let date = |t: &str| Timestamp::parse_iso8601(t).or_else(|| Timestamp::parse_http_date(t));
    let conditions = WriteConditions {
        if_none_match: None,
        if_match: understood(etag, "ETag of an Object can't be read", ETagMatch::parse_one)?,
        if_match_size: understood(size, "Size of an Object can't be read", |s| s.parse().ok())?,
        if_match_modified: understood(modified, "LastModifiedTime of an Object can't be read", date)?,
    };
    let version = version.as_deref().map(str::trim_ascii).filter(|v| !v.is_empty());
    Ok(Wanted { key, version: version.map(str::to_owned), conditions })
}

fn invalid_batch(why: &str) -> Error {
    let text = format!("The XML you provided was not well-formed or did not validate against our published schema: {why}.");
    Error::new(ErrorKind::MalformedXml, text)
}

/// What the client conditions a delete on is never left out.
fn understood<T>(text: Option<String>, why: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>> {
    text.map(|t| parse(t.trim_ascii()).ok_or_else(|| invalid_batch(why))).transpose()
}

/// Each key is decided for itself: a batch gives no more rights than its single deletes would.
async fn delete_one(exchange: &Exchange<'_>, bucket: &SharedBucket, wanted: &Wanted) -> Result<Deleted> {
    let key = ObjectKey::parse(&wanted.key)?;
    let version = wanted.version.as_deref().map(VersionId::parse).transpose()?;
    let of = ObjectRef { bucket: &bucket.name, key: &key, version: version.as_ref().into(), unlock: None };
    let grant = exchange.authorize_object(Action::DeleteObject, bucket, of, None).await?;
    // Clients say it with every batch, also where nothing can be locked.
    let bypass = bucket.object_lock()?.is_some() && exchange.bypasses(bucket, of)?;
    exchange.gateway.ops.delete(&grant, Delete { conditions: wanted.conditions.clone(), bypass }).await
}
