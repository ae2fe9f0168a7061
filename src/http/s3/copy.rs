//! CopyObject and UploadPartCopy. The source needs a grant of its own: the header that names it is only a wish.

use std::pin::pin;

use http::HeaderMap;

use crate::auth::action::Action;
use crate::auth::copy_source::{self, CopySource};
use crate::auth::grant::Grant;
use crate::base::conditions::{ReadConditions, Verdict};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::header::{invalid, text};
use crate::base::limits::MAX_PUT_BYTES;
use crate::base::media_type;
use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::SharedObject;
use crate::base::object_ref::{ObjectRef, VersionId};
use crate::base::range::{ByteRange, RangeSpec};
use crate::base::storable::SEALED;
use crate::base::tags::Tags;
use crate::http::body::ResponseBody;
use crate::http::exchange::Exchange;
use crate::http::ranges::{self, Requested};
use crate::http::respond::{self, Answer};
use crate::http::s3::objects::tell_dedup;
use crate::http::s3::{acl, encryption, lifecycle, lock, multipart, params, tagging, versions};
use crate::http::xml::Writer;
use crate::ingest::{Expect, receive};
use crate::ops::encryption::Asked;
use crate::ops::read::Shown;
use crate::ops::write::NewObject;
use crate::origin::ReadBy;

/// How often a copy begins anew because its source was replaced under it.
const ATTEMPTS: usize = 4;

struct Source {
    of: CopySource,
    conditions: ReadConditions,
}

impl Source {
    fn parse(exchange: &Exchange<'_>) -> Result<Self> {
        let headers = &exchange.parts.headers;
        let of = CopySource::of(headers)?.ok_or_else(copy_source::none)?;
        let conditions = ReadConditions {
            if_match: params::if_match(headers, "x-amz-copy-source-if-match")?,
            if_none_match: params::if_match(headers, "x-amz-copy-source-if-none-match")?,
            if_modified_since: params::date(headers, "x-amz-copy-source-if-modified-since")?,
            if_unmodified_since: params::date(headers, "x-amz-copy-source-if-unmodified-since")?,
        };
        Ok(Source { of, conditions })
    }

    /// The source as it is now, with the right to read it, if the conditions hold.
    async fn find(&self, exchange: &Exchange<'_>) -> Result<Found> {
        let key = encryption::brought(exchange, true);
        let of = ObjectRef { unlock: key.as_deref(), ..self.of.object() };
        let (grant, bucket, object) = exchange.readable_source(of).await.map_err(no_marker)?;
        let failed = match self.conditions.evaluate(&object) {
            Verdict::Proceed => {
                let version = versions::shown(&bucket, &object).cloned();
                return Ok(Found { grant, version, object: encryption::source(exchange, object)? });
            }
            Verdict::NotModified if self.conditions.if_none_match.is_some() => "x-amz-copy-source-If-None-Match",
            Verdict::NotModified => "x-amz-copy-source-If-Modified-Since",
            Verdict::Failed("If-Match") => "x-amz-copy-source-If-Match",
            Verdict::Failed(_) => "x-amz-copy-source-If-Unmodified-Since",
        };
        Err(Error::new(ErrorKind::PreconditionFailed, "At least one of the pre-conditions you specified did not hold")
            .detail("Condition", failed))
    }
}

struct Found {
    grant: Grant,
    object: SharedObject,
    /// As the answer names it.
    version: Option<VersionId>,
}

/// Nothing is in a delete marker that could be copied.
fn no_marker(error: Error) -> Error {
    if error.kind() != ErrorKind::MethodNotAllowed {
        return error;
    }
    Error::new(ErrorKind::InvalidRequest, "The source of a copy request may not specifically refer to a delete marker by version id.")
}

pub async fn object(exchange: &mut Exchange<'_>, bucket: &BucketName, key: &ObjectKey) -> Result<Answer> {
    exchange.lock = lock::asked(&exchange.parts.headers, exchange.now)?;
    let headers = &exchange.parts.headers;
    let source = Source::parse(exchange)?;
    let replace = replaces(headers, "x-amz-metadata-directive")?;
    let given = replaces(headers, "x-amz-tagging-directive")?.then(|| params::tags(headers)).transpose()?;
    let algorithm = params::copy_checksum(headers)?;
    let acl = acl::asked(exchange)?;
    let conditions = params::write_conditions(headers)?;
    let fresh = params::object_headers(headers)?;
    let of_class = text(headers, "x-amz-storage-class")?.is_some();
    let grant = exchange.on_new_object(bucket, key, given.as_ref().unwrap_or(&Tags::default())).await?;
    let acl = grant.acl_asked(acl)?;
    let lock = exchange.granted_lock(bucket, key)?;
    let encryption = exchange.gateway.ops.encryption_of_new(&grant, encryption::asked(exchange)?).await?;
    // An older version is brought back by a copy.
    let onto_itself = source.of.bucket == *bucket && source.of.key == *key && source.of.version.is_none();
    if onto_itself && !replace && fresh.website_redirect.is_none() && !of_class && encryption::asked(exchange)? == Asked::Nothing {
        return Err(Error::new(
            ErrorKind::InvalidRequest,
            "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.",
        ));
    }
    for _ in 0..ATTEMPTS {
        let Found { grant: source_grant, object: found, version: source_version } = source.find(exchange).await?;
        if found.size > MAX_PUT_BYTES {
            return Err(Error::new(
                ErrorKind::InvalidRequest,
                "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120",
            ));
        }
        let mut stored = if replace { fresh.clone() } else { found.headers.clone() };
        if !replace {
            // It speaks of the key that it was sealed for.
            stored.user.remove(SEALED);
        }
        if stored.content_type.is_empty() {
            stored.content_type = media_type::guess(key.as_str(), &[]).to_owned();
        }
        // S3 copies metadata, not where a website sends its visitors, nor the class that the source lies in.
        (stored.website_redirect, stored.storage_class) = (fresh.website_redirect.clone(), fresh.storage_class.clone());
        let mut known = None;
        let copied = match tags(exchange, given.as_ref(), &source, &found, bucket, key).await {
            Ok(tags) => {
                known = Some(tags.clone());
                let (acl, lock, encryption) = (acl.clone(), lock.clone(), encryption.clone());
                let new = NewObject { acl, headers: stored, tags, lock, encryption };
                exchange.gateway.ops.copy(&grant, &source_grant, found, new, conditions.clone(), algorithm).await
            }
            Err(e) => Err(e),
        };
        let written = match copied {
            // The version that was granted is gone: look again, decide again.
            Err(e) if e.kind() == ErrorKind::OperationAborted => continue,
            other => other?,
        };
        exchange.record.saw_object(written.object.clone());
        let mut w = Writer::document("CopyObjectResult");
        result(&mut w, &written.object);
        let mut answer = respond::xml(w.finish("CopyObjectResult"));
        encryption::tell_made(answer.headers_mut(), encryption.as_ref(), written.object.encryption.as_ref());
        tell_dedup(answer.headers_mut(), &grant, &written);
        lifecycle::tell_written(exchange, ObjectRef::current(bucket, key), &written.object, known, answer.headers_mut()).await;
        versions::tell_written(answer.headers_mut(), &written.object);
        versions::tell_source(answer.headers_mut(), source_version.as_ref());
        return Ok(answer);
    }
    Err(replaced())
}

/// COPY, which is the default, or REPLACE.
fn replaces(headers: &HeaderMap, name: &'static str) -> Result<bool> {
    match text(headers, name)? {
        None | Some("COPY") => Ok(false),
        Some("REPLACE") => Ok(true),
        Some(_) => Err(invalid(name, "The directive can only be COPY or REPLACE.")),
    }
}

/// Those that are given; or those of the source, with the rights to read them there and to give them here.
async fn tags(
    exchange: &mut Exchange<'_>,
    given: Option<&Tags>,
    source: &Source,
    found: &SharedObject,
    bucket: &BucketName,
    key: &ObjectKey,
) -> Result<Tags> {
    if let Some(given) = given {
        return Ok(given.clone());
    }
    let tags = tagging::of_source(exchange, source.of.object(), found).await?;
    if !tags.is_empty() {
        exchange.given_tags = Some(tags.clone());
        exchange.on_object(Action::PutObjectTagging, bucket, key).await?;
    }
    Ok(tags)
}

fn result(w: &mut Writer, object: &SharedObject) {
    w.leaf("LastModified", object.modified.iso8601()).leaf("ETag", object.etag.quoted());
    if let Some(checksum) = &object.checksum {
        w.leaf(checksum.algorithm.element(), checksum).leaf("ChecksumType", checksum.kind().name());
    }
}

fn replaced() -> Error {
    Error::new(ErrorKind::SlowDown, "The copy source is being replaced faster than it can be read. Please try again.")
}

/// Reads the range of the source and takes it in like any other part.
pub async fn part(exchange: &mut Exchange<'_>, bucket: &BucketName, key: &ObjectKey) -> Result<Answer> {
    let source = Source::parse(exchange)?;
    let number = multipart::part_number(exchange)?;
    let grant = exchange.on_object(Action::PutObject, bucket, key).await?;
    let mut upload = exchange.gateway.ops.upload(&grant, &multipart::upload_id(exchange)?).await?;
    encryption::of_part(exchange, &mut upload)?;
    let asked = params::copy_checksum(&exchange.parts.headers)?;
    multipart::require_announced(&upload, asked)?;
    let algorithm = asked.unwrap_or_else(|| multipart::part_algorithm(&upload));
    for _ in 0..ATTEMPTS {
        let Found { grant: source_grant, object: found, version: source_version } = source.find(exchange).await?;
        let range = part_range(text(&exchange.parts.headers, "x-amz-copy-source-range")?, found.size)?;
        let size = range.map_or(0, |range| range.end - range.start);
        exchange.gateway.ops.require_room_for_part(&exchange.gateway.auth, &upload, number, Some(size)).await?;
        let mut body = match range {
            None => ResponseBody::Empty,
            Some(range) => match exchange.gateway.ops.open(&source_grant, Shown::stored(&found), range, ReadBy::UserSpace).await? {
                Some(body) => body.into(),
                None => continue,
            },
        };
        let expect = Expect { length: Some(body.len()), max: MAX_PUT_BYTES, compute: Some(algorithm), ..Expect::default() };
        let received = receive(pin!(&mut body), None, &expect, &exchange.gateway.ops.staging_for_part(&upload)).await?;
        let part = exchange.gateway.ops.put_part(&grant, &exchange.gateway.auth, &upload, number, received).await?;
        exchange.record.saw_part(part.size);
        let mut w = Writer::document("CopyPartResult");
        w.leaf("LastModified", part.modified.iso8601()).leaf("ETag", part.etag.quoted());
        if let Some(checksum) = &part.checksum {
            w.leaf(checksum.algorithm.element(), checksum);
        }
        let mut answer = respond::xml(w.finish("CopyPartResult"));
        encryption::tell(answer.headers_mut(), upload.encryption.as_ref());
        versions::tell_source(answer.headers_mut(), source_version.as_ref());
        return Ok(answer);
    }
    Err(replaced())
}

/// `bytes=first-last`, inside the source. None: the source is empty and all of it was asked for.
fn part_range(header: Option<&str>, size: u64) -> Result<Option<ByteRange>> {
    let Some(header) = header else { return Ok((size > 0).then_some(ByteRange { start: 0, end: size })) };
    let invalid = |why: &'static str| {
        Error::new(ErrorKind::InvalidArgument, why).detail("ArgumentName", "x-amz-copy-source-range").detail("ArgumentValue", header)
    };
    match ranges::parse(header) {
        Requested::Single(RangeSpec::FromTo(first, last)) if last < size => Ok(Some(ByteRange { start: first, end: last + 1 })),
        Requested::Single(RangeSpec::FromTo(..)) => {
            Err(Error::new(ErrorKind::InvalidRange, "The requested range is not satisfiable").detail("ActualObjectSize", size.to_string()))
        }
        _ => Err(invalid(
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy",
        )),
    }
}
