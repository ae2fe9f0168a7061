//! Request headers of S3 writes as values: what is stored with an object, what the body was promised to be,
//! under which conditions, with which ACL. Each fault names the header.

use http::HeaderMap;
use http::header::{self, HeaderName};

use crate::base::checksum::{Checksum, ChecksumAlgorithm};
use crate::base::conditions::{ETagMatch, WriteConditions};
use crate::base::digest::Md5;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::header::{invalid, one, stored, stored_list, text, trim};
use crate::base::object::{ObjectHeaders, Ownership};
use crate::base::tags::{TAGGING, Tags};
use crate::base::timestamp::Timestamp;
use crate::ingest::Expect;

const STORAGE_CLASSES: &[&str] = &[
    "STANDARD",
    "REDUCED_REDUNDANCY",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER",
    "DEEP_ARCHIVE",
    "OUTPOSTS",
    "GLACIER_IR",
    "SNOW",
    "EXPRESS_ONEZONE",
];

/// What is stored with an object. The content type is empty where the client sent none. Whether it fits is `ops`' to say.
pub fn object_headers(headers: &HeaderMap) -> Result<ObjectHeaders> {
    let class = text(headers, "x-amz-storage-class")?;
    if let Some(class) = class.filter(|class| !STORAGE_CLASSES.contains(class)) {
        return Err(Error::new(ErrorKind::InvalidStorageClass, "The storage class you specified is not valid.")
            .detail("StorageClassRequested", class));
    }
    let owned = |name: HeaderName| stored(headers, &name).map(|t| t.map(str::to_owned));
    let mut stored = ObjectHeaders {
        content_type: owned(header::CONTENT_TYPE)?.unwrap_or_default(),
        cache_control: stored_list(headers, &header::CACHE_CONTROL)?,
        content_disposition: owned(header::CONTENT_DISPOSITION)?,
        content_encoding: stored_list(headers, &header::CONTENT_ENCODING)?.and_then(without_transfer_coding),
        content_language: stored_list(headers, &header::CONTENT_LANGUAGE)?,
        expires: owned(header::EXPIRES)?,
        website_redirect: text(headers, "x-amz-website-redirect-location")?.map(redirect).transpose()?,
        storage_class: class.map(str::to_owned),
        ..ObjectHeaders::default()
    };
    for (name, value) in headers {
        let Some(meta) = name.as_str().strip_prefix("x-amz-meta-") else { continue };
        let entry: &mut Vec<u8> = stored.user.entry(meta.to_owned()).or_default();
        // The same name twice is one value with a comma, as S3 stores it.
        if !entry.is_empty() {
            entry.push(b',');
        }
        entry.extend_from_slice(value.as_bytes());
    }
    Ok(stored)
}

/// What `x-amz-tagging` gives to an object. None are given without it.
pub fn tags(headers: &HeaderMap) -> Result<Tags> {
    text(headers, TAGGING)?.map_or_else(|| Ok(Tags::default()), Tags::parse)
}

fn redirect(location: &str) -> Result<String> {
    if ["/", "http://", "https://"].iter().any(|start| location.starts_with(start)) {
        return Ok(location.to_owned());
    }
    let text = "The website redirect location must have a prefix of 'http://' or 'https://' or '/'.";
    Err(Error::new(ErrorKind::InvalidRedirectLocation, text))
}

/// `aws-chunked` says how the body travels, not what it is. The rest stays as it was written.
fn without_transfer_coding(encoding: String) -> Option<String> {
    let is_transfer = |c: &str| trim(c).eq_ignore_ascii_case("aws-chunked");
    if !encoding.split(',').any(is_transfer) {
        return Some(encoding);
    }
    let kept: Vec<&str> = encoding.split(',').filter(|c| !is_transfer(c)).map(trim).collect();
    (!kept.is_empty()).then(|| kept.join(", "))
}

/// `x-amz-object-ownership` of a new bucket.
pub fn ownership(headers: &HeaderMap) -> Result<Option<Ownership>> {
    let parsed = |name: &str| {
        Ownership::parse(name).ok_or_else(|| {
            Error::new(ErrorKind::InvalidArgument, "Unknown object ownership.").detail("ArgumentName", "x-amz-object-ownership")
        })
    };
    text(headers, "x-amz-object-ownership")?.map(parsed).transpose()
}

/// What the client promised of a body: length, Content-MD5, checksum. `compute`: the checksum to keep if it promised none.
pub fn expect(headers: &HeaderMap, max: u64, compute: Option<ChecksumAlgorithm>) -> Result<Expect> {
    let md5 = body_md5(headers)?;
    let checksum = checksum(headers)?;
    if let Some(of_parts) = checksum.as_ref().filter(|c| c.parts > 0) {
        return Err(malformed(of_parts.algorithm));
    }
    let trailer = match text(headers, "x-amz-trailer")? {
        None => None,
        Some(name) => Some(trailer_algorithm(name)?),
    };
    if checksum.is_some() && trailer.is_some() {
        return Err(Error::new(ErrorKind::InvalidRequest, "Expecting a single x-amz-checksum- header or trailer, found both."));
    }
    if let Some(name) = text(headers, "x-amz-sdk-checksum-algorithm")? {
        let named = algorithm(name)?;
        let promised = checksum.as_ref().map(|c| c.algorithm).or(trailer);
        match promised {
            None => {
                return Err(Error::new(
                    ErrorKind::InvalidRequest,
                    "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.",
                ));
            }
            Some(other) if other != named => {
                return Err(Error::new(ErrorKind::InvalidRequest, "Value for x-amz-sdk-checksum-algorithm header is invalid."));
            }
            Some(_) => {}
        }
    }
    Ok(Expect { length: None, max, md5, sha256: None, checksum, trailer, compute })
}

/// Content-MD5. An empty one is wrong, not absent.
pub fn body_md5(headers: &HeaderMap) -> Result<Option<Md5>> {
    one(headers, "content-md5")?.map(content_md5).transpose()
}

pub fn content_md5(value: &str) -> Result<Md5> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(value).ok().and_then(|b| <[u8; 16]>::try_from(b).ok());
    bytes
        .map(Md5)
        .ok_or_else(|| Error::new(ErrorKind::InvalidDigest, "The Content-MD5 you specified is not valid.").detail("Content-MD5", value))
}

pub fn algorithm(name: &str) -> Result<ChecksumAlgorithm> {
    ChecksumAlgorithm::parse(name).ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidRequest,
            format!(
                "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [{}]",
                ChecksumAlgorithm::NAMES
            ),
        )
    })
}

/// The checksum that a copy is to get.
pub fn copy_checksum(headers: &HeaderMap) -> Result<Option<ChecksumAlgorithm>> {
    text(headers, "x-amz-checksum-algorithm")?.map(algorithm).transpose()
}

fn trailer_algorithm(name: &str) -> Result<ChecksumAlgorithm> {
    ChecksumAlgorithm::ALL.into_iter().find(|a| a.header().eq_ignore_ascii_case(name)).ok_or_else(|| {
        let text = format!(
            "The value specified in the x-amz-trailer header is not supported: it names one x-amz-checksum- header of {}.",
            ChecksumAlgorithm::NAMES
        );
        Error::new(ErrorKind::InvalidRequest, text).detail("ArgumentValue", name)
    })
}

/// The one `x-amz-checksum-<algorithm>` header.
pub fn checksum(headers: &HeaderMap) -> Result<Option<Checksum>> {
    let mut found = None;
    for algorithm in ChecksumAlgorithm::ALL {
        let Some(value) = text(headers, algorithm.header())? else { continue };
        if found.is_some() {
            return Err(Error::new(
                ErrorKind::InvalidRequest,
                "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
            ));
        }
        found = Some(Checksum::parse(algorithm, value).ok_or_else(|| malformed(algorithm))?);
    }
    Ok(found)
}

/// Not even the value of another body, which would be BadDigest.
fn malformed(algorithm: ChecksumAlgorithm) -> Error {
    Error::new(ErrorKind::InvalidRequest, format!("Value for {} header is invalid.", algorithm.header()))
}

/// Conditions of PutObject, CopyObject (destination), CompleteMultipartUpload and DeleteObject.
pub fn write_conditions(headers: &HeaderMap) -> Result<WriteConditions> {
    let name = header::IF_NONE_MATCH.as_str();
    let wrong = || invalid(name, "ETags are needed, with commas between them and at most 100, or *.");
    // S3 itself knows `*` only. Ceph and others take tags, and policies that demand the header mean `*` (`auth::policy::key`).
    let if_none_match = one(headers, name)?.map(|v| ETagMatch::parse_list(v).ok_or_else(wrong)).transpose()?;
    Ok(WriteConditions {
        if_none_match,
        if_match: if_match(headers, header::IF_MATCH.as_str())?,
        if_match_size: number(headers, "x-amz-if-match-size")?,
        if_match_modified: date(headers, "x-amz-if-match-last-modified-time")?,
    })
}

/// `*` or one ETag, or InvalidArgument.
pub fn if_match(headers: &HeaderMap, name: &'static str) -> Result<Option<ETagMatch>> {
    let wrong = || invalid(name, "A single ETag is needed, or *.");
    one(headers, name)?.map(|v| ETagMatch::parse_one(v).ok_or_else(wrong)).transpose()
}

/// Digits, or InvalidArgument.
pub fn number(headers: &HeaderMap, name: &'static str) -> Result<Option<u64>> {
    let wrong = || invalid(name, "Not a number.");
    let digits = |v: &str| v.bytes().all(|c| c.is_ascii_digit()).then(|| v.parse().ok()).flatten();
    text(headers, name)?.map(|v| digits(v).ok_or_else(wrong)).transpose()
}

/// A date in either form that S3 writes, or InvalidArgument.
pub fn date(headers: &HeaderMap, name: &'static str) -> Result<Option<Timestamp>> {
    let wrong = || invalid(name, "Not a date such as Sun, 06 Nov 1994 08:49:37 GMT.");
    text(headers, name)?.map(|v| Timestamp::parse_http_date(v).or_else(|| Timestamp::parse_iso8601(v)).ok_or_else(wrong)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (HeaderName::from_static(n), http::HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn stores_what_belongs_to_the_object() {
        let stored =
            object_headers(&headers(&[("content-encoding", "aws-chunked, gzip"), ("x-amz-meta-a", "1"), ("x-amz-unknown", "2")])).unwrap();
        assert_eq!(stored.content_encoding.as_deref(), Some("gzip"));
        assert_eq!(stored.user.get("a").map(Vec::as_slice), Some(&b"1"[..]));
        assert_eq!(stored.user.len(), 1);
        assert_eq!(object_headers(&headers(&[("content-encoding", "aws-chunked")])).unwrap().content_encoding, None);
    }

    #[test]
    fn promises_of_a_body() {
        let e = |pairs: &[(&'static str, &'static str)]| expect(&headers(pairs), 1, None).map_err(|e| e.kind());
        assert!(e(&[("x-amz-checksum-crc32", "AAAAAA==")]).unwrap().checksum.is_some());
        assert_eq!(e(&[("x-amz-trailer", "x-amz-checksum-crc32c")]).unwrap().trailer, Some(ChecksumAlgorithm::Crc32c));
        assert_eq!(e(&[("x-amz-checksum-crc32", "AAAA")]).unwrap_err(), ErrorKind::InvalidRequest);
        assert_eq!(e(&[("x-amz-checksum-crc32", "AAAAAA==-2")]).unwrap_err(), ErrorKind::InvalidRequest, "of parts");
        assert_eq!(
            e(&[("x-amz-checksum-crc32", "AAAAAA=="), ("x-amz-checksum-crc32c", "AAAAAA==")]).unwrap_err(),
            ErrorKind::InvalidRequest
        );
        assert_eq!(e(&[("x-amz-sdk-checksum-algorithm", "CRC32")]).unwrap_err(), ErrorKind::InvalidRequest);
        assert_eq!(e(&[("content-md5", "x")]).unwrap_err(), ErrorKind::InvalidDigest);
    }
}
