//! GetObject, HeadObject, GetObjectAttributes.

use http::StatusCode;
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, EXPIRES, HeaderName, HeaderValue, LAST_MODIFIED,
    RANGE,
};

use crate::auth::{Action, Grant};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::header;
use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::{ObjectInfo, SharedBucket, SharedObject};
use crate::base::object_ref::ObjectRef;
use crate::http::exchange::Exchange;
use crate::http::read::{self, Read};
use crate::http::respond::{self, Answer, value};
use crate::http::s3::{encryption, lifecycle, multipart, params, versions};
use crate::http::xml::Writer;
use crate::ops::read::Shown;
use crate::origin::Freshness;

/// How often a read begins anew because its object was replaced under it, before it is told to come again.
pub const ATTEMPTS: usize = 4;

const CHECKSUM_MODE: HeaderName = HeaderName::from_static("x-amz-checksum-mode");

/// The `response-*` parameters and the headers that they set.
const OVERRIDES: [(&str, HeaderName); 6] = [
    ("response-cache-control", CACHE_CONTROL),
    ("response-content-disposition", CONTENT_DISPOSITION),
    ("response-content-encoding", CONTENT_ENCODING),
    ("response-content-language", CONTENT_LANGUAGE),
    ("response-content-type", CONTENT_TYPE),
    ("response-expires", EXPIRES),
];

pub async fn read(exchange: &mut Exchange<'_>, bucket: &BucketName, key: &ObjectKey, head: bool) -> Result<Answer> {
    let wanted = wanted(exchange, head)?;
    exchange.unlock = encryption::brought(exchange, false);
    for _ in 0..ATTEMPTS {
        let (found, mut object, _prefetch) = exchange.look_up_to_read(bucket, key, Freshness::Current, wanted.certain()).await?;
        let grant = exchange.authorize_object(Action::GetObject, &found, exchange.named(bucket, key), Some(&object)).await?;
        if !wanted.head {
            exchange.gateway.require_egress(&object.owner, bucket)?;
        }
        let Some(unlocked) = encryption::unlocked(exchange, &grant, object).await? else { continue };
        object = unlocked;
        if let Some(variant) = exchange.query.value("variant") {
            match Box::pin(rendition(exchange, &grant, &object, variant, &wanted)).await? {
                Some(answer) => {
                    exchange.record.saw_bucket(found);
                    exchange.record.saw_object(object);
                    return Ok(answer);
                }
                None => continue,
            }
        }
        if exchange.gateway.ops.asks_for_inspections() {
            object = Box::pin(exchange.gateway.ops.with_inspection(exchange.named(bucket, key), object, wanted.head)).await;
        }
        if wanted.part.is_some() {
            object = exchange.gateway.ops.with_parts(&grant, &object).await?;
        }
        let Some(answer) = read::answer(&exchange.gateway.ops, &grant, Shown::stored(&object), &wanted).await? else { continue };
        let answer = told(exchange, &found, exchange.named(bucket, key), &object, answer)?;
        let has_tags = object.tag_count.is_some_and(|count| count > 0);
        let answer = if has_tags || exchange.gateway.ops.lifecycles().may_concern(&found) {
            // In a box: it is no part of what a hot read is.
            Box::pin(looked_up(exchange, &found, exchange.named(bucket, key), &object, answer)).await
        } else {
            answer
        };
        exchange.record.saw_bucket(found);
        exchange.record.saw_object(object);
        return Ok(answer);
    }
    Err(replaced_too_often())
}

/// A result that was made of the object. None: it was replaced.
async fn rendition(exchange: &Exchange<'_>, grant: &Grant, object: &SharedObject, variant: &str, wanted: &Read) -> Result<Option<Answer>> {
    let ops = &exchange.gateway.ops;
    let found = ops.rendition(grant, object, variant, Freshness::Current).await?;
    let Some(mut answer) = read::answer(ops, grant, found.shown(), wanted).await? else { return Ok(None) };
    apply_overrides(exchange, &mut answer)?;
    encryption::tell(answer.headers_mut(), found.shown().info.encryption.as_ref());
    Ok(Some(answer))
}

/// The answer with what else is known of the object.
fn told(exchange: &Exchange<'_>, found: &SharedBucket, of: ObjectRef<'_>, object: &SharedObject, mut answer: Answer) -> Result<Answer> {
    apply_overrides(exchange, &mut answer)?;
    if object.encryption.is_some() {
        encryption::tell(answer.headers_mut(), object.encryption.as_ref());
    }
    versions::tell_read(answer.headers_mut(), found, object);
    exchange.tell_lock(answer.headers_mut(), found, of, object);
    Ok(answer)
}

/// The answer with what has to be looked up for it: when the object expires, and how many tags it has, for who may read those.
async fn looked_up(exchange: &Exchange<'_>, found: &SharedBucket, of: ObjectRef<'_>, object: &SharedObject, mut answer: Answer) -> Answer {
    if exchange.gateway.ops.lifecycles().may_concern(found) {
        lifecycle::tell(exchange, found, of, object, answer.headers_mut()).await;
    }
    if let Some(count) = object.tag_count.filter(|count| *count > 0)
        && exchange.authorize_object(Action::GetObjectTagging, found, of, Some(object)).await.is_ok()
    {
        answer.headers_mut().insert("x-amz-tagging-count", HeaderValue::from(count));
    }
    answer
}

/// What of the object is asked for, in headers and query.
pub fn wanted(exchange: &Exchange<'_>, head: bool) -> Result<Read> {
    let mut wanted = Read::from_headers(&exchange.parts.headers, head, exchange.reads_by());
    wanted.part = exchange.query.value("partNumber").map(|_| multipart::part_number(exchange)).transpose()?;
    wanted.checksums = match exchange.header(&CHECKSUM_MODE)? {
        None => false,
        Some(mode) if mode.eq_ignore_ascii_case("ENABLED") => true,
        Some(_) => return Err(header::invalid(CHECKSUM_MODE.as_str(), "The mode can only be ENABLED.")),
    };
    if wanted.part.is_some() && exchange.parts.headers.contains_key(RANGE) {
        return Err(Error::new(ErrorKind::InvalidRequest, "Cannot specify both Range header and partNumber query parameter"));
    }
    Ok(wanted)
}

pub fn replaced_too_often() -> Error {
    Error::new(ErrorKind::SlowDown, "The object is being replaced faster than it can be read. Please try again.")
}

pub fn apply_overrides(exchange: &Exchange<'_>, answer: &mut Answer) -> Result<()> {
    if exchange.query.is_empty() {
        return Ok(());
    }
    for (parameter, name) in &OVERRIDES {
        let Some(text) = exchange.query.get(parameter) else { continue };
        if exchange.is_anonymous() || exchange.caller.via.only_reads() {
            return Err(Error::new(
                ErrorKind::InvalidRequest,
                // A wildcard, a cookie or a path token covers no query: who was given one must not choose what a browser runs.
                "Request specific response headers cannot be used for anonymous GET requests, nor with a CloudFront signature or path token.",
            ));
        }
        let Some(v) = value(text) else {
            return Err(Error::new(ErrorKind::InvalidArgument, "The value can't stand in a header.").detail("ArgumentName", *parameter));
        };
        // It has no body to describe, but what keeps its type apart depends on it: see `Visit::close`.
        if answer.status() != StatusCode::NOT_MODIFIED || *name == CONTENT_TYPE {
            answer.headers_mut().insert(name.clone(), v);
        }
    }
    Ok(())
}

pub async fn attributes(exchange: &mut Exchange<'_>, bucket: &BucketName, key: &ObjectKey) -> Result<Answer> {
    // Some SDKs send a line for each.
    let wanted = header::members(&exchange.parts.headers, "x-amz-object-attributes")?;
    const KNOWN: [&str; 5] = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"];
    if wanted.is_empty() {
        let text = "The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty";
        return Err(Error::new(ErrorKind::InvalidRequest, text));
    }
    if wanted.iter().any(|a| !KNOWN.contains(a)) {
        return Err(
            Error::new(ErrorKind::InvalidArgument, "Invalid attribute name specified.").detail("ArgumentName", "x-amz-object-attributes")
        );
    }
    exchange.unlock = encryption::brought(exchange, false);
    exchange.readable(Action::GetObject, bucket, key).await?;
    let (grant, object) = exchange.readable(Action::GetObjectAttributes, bucket, key).await?;
    let mut object = encryption::unlocked(exchange, &grant, object).await?.ok_or_else(replaced_too_often)?;
    let mut w = Writer::document("GetObjectAttributesResponse");
    if wanted.contains(&"ETag") {
        w.leaf("ETag", object.etag);
    }
    if wanted.contains(&"Checksum")
        && let Some(checksum) = &object.checksum
    {
        w.open("Checksum").leaf(checksum.algorithm.element(), checksum);
        w.leaf("ChecksumType", checksum.kind().name()).close("Checksum");
    }
    if wanted.contains(&"ObjectParts") {
        object = exchange.gateway.ops.with_parts(&grant, &object).await?;
    }
    if wanted.contains(&"ObjectParts") && !object.parts.is_empty() {
        object_parts(exchange, &object, &mut w)?;
    }
    if wanted.contains(&"StorageClass") {
        w.leaf("StorageClass", object.headers.storage_class.as_deref().unwrap_or("STANDARD"));
    }
    if wanted.contains(&"ObjectSize") {
        w.leaf("ObjectSize", object.size);
    }
    let mut answer = respond::xml(w.finish("GetObjectAttributesResponse"));
    if let Some(v) = value(&object.modified.http_date()) {
        answer.headers_mut().insert(LAST_MODIFIED, v);
    }
    if let Some(found) = exchange.record.bucket() {
        versions::tell_read(answer.headers_mut(), found, &object);
    }
    Ok(answer)
}

fn object_parts(exchange: &Exchange<'_>, object: &ObjectInfo, w: &mut Writer) -> Result<()> {
    let number = |name| params::number(&exchange.parts.headers, name);
    let max = number("x-amz-max-parts")?.unwrap_or(1000).min(1000) as usize;
    let marker = number("x-amz-part-number-marker")?.unwrap_or(0);
    let after: Vec<_> = object.parts.iter().filter(|p| u64::from(p.number) > marker).collect();
    let page = after.get(..max.min(after.len())).unwrap_or_default();
    w.open("ObjectParts").leaf("PartsCount", object.parts.len());
    w.leaf("PartNumberMarker", marker).leaf("NextPartNumberMarker", page.last().map_or(0, |p| p.number));
    w.leaf("MaxParts", max).leaf("IsTruncated", page.len() < after.len());
    // S3 lists the parts only where they carry checksums of their own.
    for (part, checksum) in page.iter().filter_map(|p| Some((p, p.checksum_beside(object)?))) {
        w.open("Part").leaf("PartNumber", part.number).leaf("Size", part.size);
        w.leaf(checksum.algorithm.element(), checksum).close("Part");
    }
    w.close("ObjectParts");
    Ok(())
}
