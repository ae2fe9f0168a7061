//! Answers a read of one version: conditions, range, headers, body. Shared by the doors, which decided who may.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use crate::auth::grant::Grant;
use crate::base::checksum::{Checksum, ChecksumType};
use crate::base::conditions::{ETagMatch, ReadConditions, Verdict};
use crate::base::encryption::{Encryption, needs_customer_key};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::header::text;
use crate::base::object::ObjectInfo;
use crate::base::range::{ByteRange, RangeSpec};
use crate::base::timestamp::Timestamp;
use crate::http::body::ResponseBody;
use crate::http::media;
use crate::http::ranges::{self, Requested};
use crate::http::respond::{Answer, value};
use crate::ops::Ops;
use crate::ops::read::Shown;
use crate::origin::ReadBy;

/// Who answers because the origin can't be asked.
pub const REPLICA: HeaderName = HeaderName::from_static("x-tidegate-replica");

/// What of an object is asked for, beside which one.
pub struct Read {
    pub head: bool,
    pub conditions: ReadConditions,
    pub range: Requested,
    pub if_range: Option<IfRange>,
    /// `partNumber`: one part of a multipart object, in place of a range.
    pub part: Option<u16>,
    /// `x-amz-checksum-mode: ENABLED`
    pub checksums: bool,
    pub by: ReadBy,
}

pub enum IfRange {
    Tag(ETagMatch),
    Date(Timestamp),
}

impl IfRange {
    fn parse(value: &str) -> Self {
        match Timestamp::parse_http_date(value) {
            Some(date) => IfRange::Date(date),
            // RFC 9110 13.1.5: weak tags never match here.
            None if value.starts_with("W/") => IfRange::never(),
            None => IfRange::Tag(ETagMatch::parse(value)),
        }
    }

    pub fn never() -> Self {
        IfRange::Tag(ETagMatch::OneOf(Vec::new()))
    }
}

impl Read {
    pub fn from_headers(headers: &HeaderMap, head: bool, by: ReadBy) -> Self {
        Read {
            head,
            conditions: conditions(headers),
            // One that can't be read means nothing (RFC 9110 14.2): all of the object is a right answer to it.
            range: text(headers, &header::RANGE).ok().flatten().map_or(Requested::Whole, ranges::parse),
            if_range: match text(headers, &header::IF_RANGE) {
                Ok(None) => None,
                Ok(Some(v)) => Some(IfRange::parse(v)),
                Err(_) => Some(IfRange::never()),
            },
            part: None,
            checksums: false,
            by,
        }
    }

    /// Where the body that is asked for begins, as far as that can be told before it is looked at closely.
    pub fn first_byte(&self, object: &ObjectInfo) -> u64 {
        match &self.range {
            Requested::Single(spec) => spec.resolve(object.size).map_or(0, |range| range.start),
            Requested::Whole | Requested::Several(_) => 0,
        }
    }

    /// The bytes that will be sent of any version that the key may show, as far as that is certain before it is known.
    pub fn certain(&self) -> Option<ByteRange> {
        let plain = !self.head && self.conditions.is_empty() && self.if_range.is_none() && self.part.is_none();
        let (start, end) = match &self.range {
            Requested::Whole => (0, u64::MAX),
            Requested::Single(RangeSpec::From(start)) => (*start, u64::MAX),
            Requested::Single(RangeSpec::FromTo(start, last)) => (*start, last.saturating_add(1)),
            Requested::Single(RangeSpec::Suffix(_)) | Requested::Several(_) => return None,
        };
        (plain && start < end).then_some(ByteRange { start, end })
    }

    /// Whether the version is the one that the client has a part of already, as far as it says.
    pub fn may_be_partial(&self, object: &ObjectInfo) -> bool {
        match &self.if_range {
            None => true,
            Some(IfRange::Tag(tag)) => tag.matches(&object.etag),
            Some(IfRange::Date(date)) => object.modified.secs() == date.secs(),
        }
    }
}

/// Dates that can't be read are ignored, as RFC 9110 13.1.3 and 13.1.4 demand.
pub fn conditions(headers: &HeaderMap) -> ReadConditions {
    let date = |name: HeaderName| text(headers, &name).ok().flatten().and_then(Timestamp::parse_http_date);
    ReadConditions {
        if_match: tags(headers, header::IF_MATCH, ETagMatch::parse_strong),
        if_none_match: tags(headers, header::IF_NONE_MATCH, ETagMatch::parse),
        if_modified_since: date(header::IF_MODIFIED_SINCE),
        if_unmodified_since: date(header::IF_UNMODIFIED_SINCE),
    }
}

/// Lines of a list are one list. A line that can't be read holds no tag of ours; that the header is there counts.
fn tags(headers: &HeaderMap, name: HeaderName, parse: fn(&str) -> ETagMatch) -> Option<ETagMatch> {
    let mut lines = headers.get_all(name).iter().map(|v| v.to_str().unwrap_or_default());
    let first = lines.next()?;
    let others: Vec<&str> = lines.collect();
    if others.is_empty() {
        return Some(parse(first));
    }
    Some(parse(&std::iter::once(first).chain(others).collect::<Vec<_>>().join(",")))
}

/// None: what is shown was replaced before its bytes were at hand; look again.
pub async fn answer(ops: &Ops, grant: &Grant, shown: Shown<'_>, read: &Read) -> Result<Option<Answer>> {
    let object = shown.info;
    // Whose door has no way to bring a key, or who brought none.
    if matches!(object.encryption, Some(Encryption::Customer(None))) {
        return Err(needs_customer_key());
    }
    if !read.conditions.is_empty() {
        match read.conditions.evaluate(object) {
            Verdict::Proceed => {}
            Verdict::NotModified => return Ok(Some(not_modified(object))),
            Verdict::Failed(condition) => {
                return Err(Error::new(ErrorKind::PreconditionFailed, "At least one of the pre-conditions you specified did not hold")
                    .detail("Condition", condition));
            }
        }
    }
    let range = selected(object, read)?;
    let whole = ByteRange { start: 0, end: object.size };
    let body = if read.head || object.size == 0 {
        ResponseBody::Empty
    } else {
        match ops.open(grant, shown, range.unwrap_or(whole), read.by).await? {
            Some(body) => body.into(),
            None => return Ok(None),
        }
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.reserve(16);
    object_headers(headers, object);
    match range {
        None => {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(object.size));
        }
        Some(range) => {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(range.len()));
            if let Some(v) = value(&range.content_range(object.size)) {
                headers.insert(header::CONTENT_RANGE, v);
            }
        }
    }
    // A checksum is of a whole: of the object, or of the part that was asked for.
    if read.checksums {
        match read.part.filter(|_| !object.parts.is_empty()) {
            Some(number) => part_checksum_headers(headers, object, number),
            None if range.is_none() || read.part.is_some() => checksum_headers(headers, object),
            None => {}
        }
    }
    if read.part.is_some() && !object.parts.is_empty() {
        headers.insert("x-amz-mp-parts-count", HeaderValue::from(object.parts.len()));
    }
    if range.is_some() || (read.part.is_some() && object.size == 0) {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(Some(response))
}

/// The bytes to send; None: all of them, as a 200.
fn selected(object: &ObjectInfo, read: &Read) -> Result<Option<ByteRange>> {
    if let Some(number) = read.part {
        return part_range(object, number);
    }
    let spec = match &read.range {
        Requested::Single(spec) => *spec,
        Requested::Whole | Requested::Several(_) => return Ok(None),
    };
    if !read.may_be_partial(object) {
        return Ok(None);
    }
    match spec.resolve(object.size) {
        Some(range) => Ok(Some(range)),
        None => Err(Error::new(ErrorKind::InvalidRange, "The requested range is not satisfiable")
            .detail("ActualObjectSize", object.size.to_string())),
    }
}

fn part_range(object: &ObjectInfo, number: u16) -> Result<Option<ByteRange>> {
    if object.parts.is_empty() && number == 1 {
        return Ok((object.size > 0).then_some(ByteRange { start: 0, end: object.size }));
    }
    let mut start = 0;
    for (i, part) in object.parts.iter().enumerate() {
        // Counted from 1 without gaps, whatever numbers the upload used.
        if i + 1 == usize::from(number) {
            return Ok((part.size > 0).then_some(ByteRange { start, end: start + part.size }));
        }
        start += part.size;
    }
    Err(Error::new(ErrorKind::InvalidPartNumber, "The requested partnumber is not satisfiable")
        .detail("PartNumberRequested", number.to_string())
        .detail("ActualPartCount", object.parts.len().max(1).to_string()))
}

fn not_modified(object: &ObjectInfo) -> Answer {
    let mut response = Response::new(ResponseBody::Empty);
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    let headers = response.headers_mut();
    object_headers(headers, object);
    // It describes a body that is not sent. So does the type, which the door takes away when it was seen: `Visit::close`.
    headers.remove(header::CONTENT_ENCODING);
    response
}

/// The headers of the object itself, the same for 200, 206, 304 and HEAD.
fn object_headers(headers: &mut HeaderMap, object: &ObjectInfo) {
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let mut put = |name: HeaderName, text: Option<&str>| {
        if let Some(v) = text.and_then(value) {
            headers.insert(name, v);
        }
    };
    let stored = &object.headers;
    put(header::ETAG, Some(&object.etag.quoted()));
    put(header::LAST_MODIFIED, Some(&object.modified.http_date()));
    put(header::CONTENT_TYPE, Some(&stored.content_type));
    put(header::CACHE_CONTROL, stored.cache_control.as_deref());
    put(header::CONTENT_DISPOSITION, stored.content_disposition.as_deref());
    put(header::CONTENT_ENCODING, stored.content_encoding.as_deref());
    put(header::CONTENT_LANGUAGE, stored.content_language.as_deref());
    put(header::EXPIRES, stored.expires.as_deref());
    if stored.website_redirect.is_some() {
        put(HeaderName::from_static("x-amz-website-redirect-location"), stored.website_redirect.as_deref());
    }
    put(HeaderName::from_static("x-amz-storage-class"), stored.storage_class.as_deref());
    put(HeaderName::from_static("x-amz-restore"), object.restore.as_deref());
    put(REPLICA, object.layer.replica());
    if let Some(found) = &object.inspection {
        media::tell(headers, found);
    }
    for (name, text) in &stored.user {
        if let (Ok(name), Some(v)) = (HeaderName::try_from(format!("x-amz-meta-{name}")), HeaderValue::from_bytes(text).ok()) {
            headers.insert(name, v);
        }
    }
}

pub fn checksum_headers(headers: &mut HeaderMap, object: &ObjectInfo) {
    if let Some(checksum) = &object.checksum {
        put_checksum(headers, checksum, checksum.kind());
    }
}

fn part_checksum_headers(headers: &mut HeaderMap, object: &ObjectInfo, number: u16) {
    let part = usize::from(number).checked_sub(1).and_then(|i| object.parts.get(i));
    if let (Some(checksum), Some(whole)) = (part.and_then(|p| p.checksum_beside(object)), &object.checksum) {
        put_checksum(headers, checksum, whole.kind());
    }
}

fn put_checksum(headers: &mut HeaderMap, checksum: &Checksum, kind: ChecksumType) {
    if let Some(v) = value(&checksum.to_string()) {
        headers.insert(HeaderName::from_static(checksum.algorithm.header()), v);
    }
    headers.insert("x-amz-checksum-type", HeaderValue::from_static(kind.name()));
}
