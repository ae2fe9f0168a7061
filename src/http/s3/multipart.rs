//! Multipart uploads: create, parts, complete, abort, and the two listings.

use http::StatusCode;
use http::header::{self, HeaderName, HeaderValue};

use crate::auth::action::Action;
use crate::base::checksum::{Checksum, ChecksumAlgorithm, ChecksumType};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::etag::ETag;
use crate::base::header::text;
use crate::base::limits::{MAX_PARTS, MAX_PUT_BYTES, MAX_XML_BYTES};
use crate::base::media_type;
use crate::base::names::{BucketName, ObjectKey, UploadId, no_such_upload};
use crate::base::object::Upload;
use crate::base::object_ref::ObjectRef;
use crate::http::document;
use crate::http::exchange::Exchange;
use crate::http::query::encode_listed;
use crate::http::respond::{self, Answer, value};
use crate::http::s3::acl;
use crate::http::s3::list::is_encoded;
use crate::http::s3::{encryption, lifecycle, lock, params, versions};
use crate::http::xml::{Reader, Writer};
use crate::ingest::Expect;
use crate::ops::multipart::Completion;
use crate::ops::write::NewObject;
use crate::origin::{CompletedPart, UploadsQuery};

/// S3's page of ListParts and ListMultipartUploads.
const MAX_PAGE: usize = 1000;

/// 10,000 parts with number, ETag and each checksum.
const MAX_COMPLETE_ELEMENTS: usize = 100_000;

pub fn upload_id(exchange: &Exchange<'_>) -> Result<UploadId> {
    exchange.query.value("uploadId").ok_or_else(no_such_upload).and_then(UploadId::parse)
}

pub fn part_number(exchange: &Exchange<'_>) -> Result<u16> {
    let number = exchange.query.value("partNumber").and_then(|n| n.parse::<u16>().ok());
    number.filter(|n| (1..=MAX_PARTS).contains(n)).ok_or_else(|| {
        Error::new(ErrorKind::InvalidArgument, "Part number must be an integer between 1 and 10000, inclusive")
            .detail("ArgumentName", "partNumber")
    })
}

/// The checksum that every part of the upload gets.
pub fn part_algorithm(upload: &Upload) -> ChecksumAlgorithm {
    upload.checksum.map_or(ChecksumAlgorithm::Crc64Nvme, |(algorithm, _)| algorithm)
}

/// A part of an upload that announced a checksum has that one.
pub fn require_announced(upload: &Upload, of_part: Option<ChecksumAlgorithm>) -> Result<()> {
    match (upload.checksum, of_part) {
        (Some((announced, _)), Some(other)) if other != announced => {
            let (expected, actual) = (announced.name().to_lowercase(), other.name().to_lowercase());
            let text = format!("Checksum Type mismatch occurred, expected checksum Type: {expected}, actual checksum Type: {actual}");
            Err(Error::new(ErrorKind::InvalidRequest, text))
        }
        _ => Ok(()),
    }
}

pub async fn create(exchange: &mut Exchange<'_>, bucket: &BucketName, key: &ObjectKey) -> Result<Answer> {
    exchange.lock = lock::asked(&exchange.parts.headers, exchange.now)?;
    let headers = &exchange.parts.headers;
    let mut stored = params::object_headers(headers)?;
    if stored.content_type.is_empty() {
        stored.content_type = media_type::guess(key.as_str(), &[]).to_owned();
    }
    let (acl, tags) = (acl::asked(exchange)?, params::tags(headers)?);
    let checksum = announced_checksum(exchange)?;
    let grant = exchange.on_new_object(bucket, key, &tags).await?;
    let (acl, lock) = (grant.acl_asked(acl)?, exchange.granted_lock(bucket, key)?);
    let encryption = exchange.gateway.ops.encryption_of_new(&grant, encryption::asked(exchange)?).await?;
    let encrypted = encryption.clone();
    let new = NewObject { acl, headers: stored, tags, lock, encryption };
    let upload = exchange.gateway.ops.create_upload(&grant, new, checksum).await?;
    let mut w = Writer::document("InitiateMultipartUploadResult");
    w.leaf("Bucket", bucket).leaf("Key", key).leaf("UploadId", &upload.id);
    let mut answer = respond::xml(w.finish("InitiateMultipartUploadResult"));
    encryption::tell_made(answer.headers_mut(), encrypted.as_ref(), upload.encryption.as_ref());
    if let Some((algorithm, kind)) = checksum {
        answer.headers_mut().insert("x-amz-checksum-algorithm", HeaderValue::from_static(algorithm.name()));
        answer.headers_mut().insert("x-amz-checksum-type", HeaderValue::from_static(kind.name()));
    }
    Ok(answer)
}

fn announced_checksum(exchange: &Exchange<'_>) -> Result<Option<(ChecksumAlgorithm, ChecksumType)>> {
    let headers = &exchange.parts.headers;
    let kind = match text(headers, "x-amz-checksum-type")? {
        None => None,
        Some(name) => Some(checksum_type(name)?),
    };
    let Some(name) = text(headers, "x-amz-checksum-algorithm")? else {
        return match kind {
            None => Ok(None),
            Some(_) => Err(Error::new(
                ErrorKind::InvalidRequest,
                "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.",
            )),
        };
    };
    let algorithm = params::algorithm(name)?;
    let kind = kind.unwrap_or(algorithm.default_type());
    if !algorithm.allows(kind) {
        return Err(Error::new(
            ErrorKind::InvalidRequest,
            format!("The {} checksum type cannot be used with the {} checksum algorithm.", kind.name(), algorithm.name().to_lowercase()),
        ));
    }
    Ok(Some((algorithm, kind)))
}

fn checksum_type(name: &str) -> Result<ChecksumType> {
    ChecksumType::parse(name).ok_or_else(|| Error::new(ErrorKind::InvalidRequest, "Value for x-amz-checksum-type header is invalid."))
}

pub async fn upload_part(exchange: &mut Exchange<'_>, bucket: &BucketName, key: &ObjectKey) -> Result<Answer> {
    let number = part_number(exchange)?;
    let grant = exchange.on_object(Action::PutObject, bucket, key).await?;
    let mut upload = exchange.gateway.ops.upload(&grant, &upload_id(exchange)?).await?;
    encryption::of_part(exchange, &mut upload)?;
    let algorithm = part_algorithm(&upload);
    let expect = params::expect(&exchange.parts.headers, MAX_PUT_BYTES, Some(algorithm))?;
    let promised = expect.checksum.as_ref().map(|c| c.algorithm).or(expect.trailer);
    require_announced(&upload, promised)?;
    exchange.require_sum(&expect, upload.lock, "Put Part")?;
    let length = exchange.declared_length()?;
    exchange.gateway.ops.require_room_for_part(&exchange.gateway.auth, &upload, number, length).await?;
    let received = exchange.receive(expect, &exchange.gateway.ops.staging_for_part(&upload)).await?;
    let part = exchange.gateway.ops.put_part(&grant, &exchange.gateway.auth, &upload, number, received).await?;
    exchange.record.saw_part(part.size);
    let mut answer = respond::empty(StatusCode::OK);
    encryption::tell(answer.headers_mut(), upload.encryption.as_ref());
    if let Some(v) = value(&part.etag.quoted()) {
        answer.headers_mut().insert(header::ETAG, v);
    }
    if let Some(checksum) = &part.checksum
        && let Some(v) = value(&checksum.to_string())
    {
        answer.headers_mut().insert(HeaderName::from_static(checksum.algorithm.header()), v);
    }
    Ok(answer)
}

pub async fn complete(exchange: &mut Exchange<'_>, bucket: &BucketName, key: &ObjectKey) -> Result<Answer> {
    let headers = &exchange.parts.headers;
    let conditions = params::write_conditions(headers)?;
    let checksum = params::checksum(headers)?;
    let checksum_type = text(headers, "x-amz-checksum-type")?.map(checksum_type).transpose()?;
    let size = params::number(headers, "x-amz-mp-object-size")?;
    let md5 = params::body_md5(headers)?;
    let customer_key = encryption::of_completion(exchange)?;
    let id = upload_id(exchange)?;
    let grant = exchange.on_object(Action::PutObject, bucket, key).await?;
    // The checksum headers of this request speak of the object, not of the document.
    let document = exchange.receive_document(Expect { max: MAX_XML_BYTES as u64, md5, ..Expect::default() }).await?;
    let parts = document::read(document, completed_parts).await?;
    let held = customer_key.clone();
    let completion = Completion { parts, conditions, checksum, checksum_type, size, customer_key };
    let object = exchange.gateway.ops.complete_upload(&grant, &exchange.gateway.auth, id, completion).await?.object;
    exchange.record.saw_object(object.clone());
    let mut w = Writer::document("CompleteMultipartUploadResult");
    w.leaf("Location", format!("{}/{bucket}/{}", exchange.base_url(), encode_listed(key.as_str())));
    w.leaf("Bucket", bucket).leaf("Key", key).leaf("ETag", object.etag.quoted());
    if let Some(checksum) = &object.checksum {
        w.leaf(checksum.algorithm.element(), checksum).leaf("ChecksumType", checksum.kind().name());
    }
    let mut answer = respond::xml(w.finish("CompleteMultipartUploadResult"));
    encryption::tell_completed(answer.headers_mut(), object.encryption.as_ref(), held);
    lifecycle::tell_written(exchange, ObjectRef::current(bucket, key), &object, None, answer.headers_mut()).await;
    versions::tell_written(answer.headers_mut(), &object);
    Ok(answer)
}

fn completed_parts(document: &[u8]) -> Result<Vec<CompletedPart>> {
    let malformed = || {
        Error::new(
            ErrorKind::MalformedXml,
            "The XML you provided was not well-formed or did not validate against our published schema: each Part has a PartNumber and an ETag.",
        )
    };
    Reader::read(document, "CompleteMultipartUpload", MAX_COMPLETE_ELEMENTS, |reader| {
        let (mut listed, mut parts): (usize, Vec<CompletedPart>) = (0, Vec::new());
        reader.each(|name, reader| {
            if name != "Part" {
                return Ok(());
            }
            listed += 1;
            let part = completed_part(reader)?.filter(|_| listed <= usize::from(MAX_PARTS)).ok_or_else(malformed)?;
            // A client that sent a part twice may list it twice: the last upload of it is the one that there is.
            match parts.last_mut() {
                Some(last) if last.number == part.number => *last = part,
                _ => parts.push(part),
            }
            Ok(())
        })?;
        if parts.is_empty() { Err(malformed()) } else { Ok(parts) }
    })
}

/// None: an element is missing.
fn completed_part(reader: &mut Reader<'_>) -> Result<Option<CompletedPart>> {
    let (mut number, mut etag) = (None, None);
    let mut checksums = ChecksumAlgorithm::ALL.map(|_| None);
    reader.each(|name, reader| {
        let of = match name {
            "PartNumber" => &mut number,
            "ETag" => &mut etag,
            other => match ChecksumAlgorithm::ALL.iter().zip(&mut checksums).find(|(a, _)| a.element() == other) {
                Some((_, of)) => of,
                None => return Ok(()),
            },
        };
        // The first of a name counts.
        if of.is_none() {
            *of = Some(reader.text()?);
        }
        Ok(())
    })?;
    let (Some(number), Some(etag)) = (number.and_then(|n| n.trim_ascii().parse::<u16>().ok()), etag) else { return Ok(None) };
    let mut checksum = None;
    for (algorithm, text) in ChecksumAlgorithm::ALL.into_iter().zip(&checksums) {
        if let Some(text) = text.as_deref().map(str::trim_ascii).filter(|t| !t.is_empty()) {
            // A part has one: of two that are said, at least one is not its own.
            let said = Checksum::parse(algorithm, text).filter(|_| checksum.is_none());
            checksum = Some(said.ok_or_else(|| invalid_part(number))?);
        }
    }
    Ok(Some(CompletedPart { number, etag: ETag::parse(etag.trim_ascii()), checksum }))
}

fn invalid_part(number: u16) -> Error {
    Error::new(ErrorKind::InvalidPart, "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.")
        .detail("PartNumber", number.to_string())
}

pub async fn abort(exchange: &mut Exchange<'_>, bucket: &BucketName, key: &ObjectKey) -> Result<Answer> {
    let id = upload_id(exchange);
    let grant = exchange.on_upload(Action::AbortMultipartUpload, bucket, key, id.as_ref().ok()).await?;
    let id = id?;
    exchange.gateway.ops.abort_upload(&grant, &id).await?;
    Ok(respond::empty(StatusCode::NO_CONTENT))
}

pub async fn list_parts(exchange: &mut Exchange<'_>, bucket: &BucketName, key: &ObjectKey) -> Result<Answer> {
    let id = upload_id(exchange);
    let grant = exchange.on_upload(Action::ListMultipartUploadParts, bucket, key, id.as_ref().ok()).await?;
    let id = id?;
    let after = exchange.query.number::<u16>("part-number-marker")?.unwrap_or(0);
    let max = exchange.query.number::<usize>("max-parts")?.unwrap_or(MAX_PAGE).min(MAX_PAGE);
    let upload = exchange.gateway.ops.upload(&grant, &id).await?;
    let (parts, more) = exchange.gateway.ops.list_parts(&grant, &upload, after, max).await?;
    let mut w = Writer::document("ListPartsResult");
    w.leaf("Bucket", bucket).leaf("Key", key).leaf("UploadId", &upload.id);
    exchange.owner(&mut w, "Initiator", upload.initiator());
    exchange.owner(&mut w, "Owner", &upload.owner);
    w.leaf("StorageClass", class_of(&upload)).leaf("PartNumberMarker", after);
    w.leaf("NextPartNumberMarker", parts.last().map_or(after, |p| p.number)).leaf("MaxParts", max).leaf("IsTruncated", more);
    if let Some((algorithm, kind)) = upload.checksum {
        w.leaf("ChecksumAlgorithm", algorithm.name()).leaf("ChecksumType", kind.name());
    }
    for part in &parts {
        w.open("Part").leaf("PartNumber", part.number).leaf("LastModified", part.modified.iso8601());
        w.leaf("ETag", part.etag.quoted()).leaf("Size", part.size);
        if let Some(checksum) = &part.checksum {
            w.leaf(checksum.algorithm.element(), checksum);
        }
        w.close("Part");
    }
    Ok(exchange.coded(respond::xml(w.finish("ListPartsResult"))))
}

fn class_of(upload: &Upload) -> &str {
    upload.headers.storage_class.as_deref().unwrap_or("STANDARD")
}

pub async fn list_uploads(exchange: &mut Exchange<'_>, bucket: &BucketName) -> Result<Answer> {
    let grant = exchange.on_bucket(Action::ListBucketMultipartUploads, bucket).await?;
    let text = |name: &str| exchange.query.get(name).unwrap_or_default().to_owned();
    let max = exchange.query.number::<usize>("max-uploads")?.unwrap_or(MAX_PAGE).min(MAX_PAGE);
    let query = UploadsQuery {
        prefix: text("prefix"),
        delimiter: text("delimiter"),
        key_marker: text("key-marker"),
        upload_marker: text("upload-id-marker"),
        max,
    };
    let encoded = is_encoded(&exchange.query)?;
    let name = |key: &str| if encoded { encode_listed(key) } else { key.to_owned() };
    let page = exchange.gateway.ops.list_uploads(&grant, &query).await?;
    let mut w = Writer::document("ListMultipartUploadsResult");
    w.leaf("Bucket", bucket).leaf("KeyMarker", name(&query.key_marker)).leaf("UploadIdMarker", &query.upload_marker);
    if let Some((key, upload)) = &page.next {
        w.leaf("NextKeyMarker", name(key)).leaf("NextUploadIdMarker", upload);
    }
    w.leaf("Prefix", name(&query.prefix));
    if !query.delimiter.is_empty() {
        w.leaf("Delimiter", name(&query.delimiter));
    }
    if encoded {
        w.leaf("EncodingType", "url");
    }
    w.leaf("MaxUploads", max).leaf("IsTruncated", page.next.is_some());
    for upload in &page.uploads {
        w.open("Upload").leaf("Key", name(upload.key.as_str())).leaf("UploadId", &upload.id);
        exchange.owner(&mut w, "Initiator", upload.initiator());
        exchange.owner(&mut w, "Owner", &upload.owner);
        w.leaf("StorageClass", class_of(upload)).leaf("Initiated", upload.initiated.iso8601());
        if let Some((algorithm, kind)) = upload.checksum {
            w.leaf("ChecksumAlgorithm", algorithm.name()).leaf("ChecksumType", kind.name());
        }
        w.close("Upload");
    }
    for prefix in &page.common_prefixes {
        w.open("CommonPrefixes").leaf("Prefix", name(prefix)).close("CommonPrefixes");
    }
    Ok(exchange.coded(respond::xml(w.finish("ListMultipartUploadsResult"))))
}
