//! Publish by hash: `PUT prefix/name.ext?publish` stores under `prefix/name-<sha256>.ext`, a name that means this content and no
//! other, so that every cache may keep it for ever. The same content again stores nothing.
//!
//! Not here: taking in a body, what a write is (`objects`). Invariants: the right is decided before the body is taken in, for a
//! name of the form that it will have, and again for the name itself; what another tenant put there is not "there already".

use http::StatusCode;
use http::header::{self, HeaderName, HeaderValue};

use crate::auth::Grant;
use crate::base::checksum::ChecksumAlgorithm;
use crate::base::conditions::WriteConditions;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::MAX_PUT_BYTES;
use crate::base::lock::Lock;
use crate::base::media_type;
use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::SharedObject;
use crate::base::object_ref::ObjectRef;
use crate::http::exchange::Exchange;
use crate::http::respond::{self, Answer, value};
use crate::http::s3::acl;
use crate::http::s3::encryption;
use crate::http::s3::objects::written_headers;
use crate::http::s3::{params, route};
use crate::http::site::OnSite;
use crate::ingest::Received;
use crate::ops::write::{GrantedLock, NewObject};
use crate::origin::Freshness;

/// Digits of the SHA-256 in a name: nobody can make two contents that share 32.
pub const DIGITS: usize = 32;

/// What lies under the name of its content now.
pub struct Published {
    pub grant: Grant,
    pub object: SharedObject,
    /// It was there already.
    pub existed: bool,
}

pub async fn put(exchange: &mut Exchange<'_>, bucket: &BucketName, asked: &ObjectKey) -> Result<Answer> {
    let published = take_in(exchange, bucket, asked).await?;
    Ok(answer(exchange, &published))
}

/// The body of the request.
pub async fn take_in(exchange: &mut Exchange<'_>, bucket: &BucketName, asked: &ObjectKey) -> Result<Published> {
    let headers = &exchange.parts.headers;
    refuse_what_does_not_fit(exchange)?;
    let (stored, acl, tags) = (params::object_headers(headers)?, acl::asked(exchange)?, params::tags(headers)?);
    let expect = params::expect(headers, MAX_PUT_BYTES, Some(ChecksumAlgorithm::Crc64Nvme))?;
    let such_a_name = named(asked, &"0".repeat(DIGITS))?;
    let provisional = exchange.on_new_object(bucket, &such_a_name, &tags).await?;
    let acl = provisional.acl_asked(acl)?;
    let encryption = exchange.gateway.ops.encryption_of_new(&provisional, encryption::asked(exchange)?).await?;
    let new = NewObject { acl, headers: stored, tags, lock: GrantedLock::default(), encryption };
    // Whether there is room is seen when it is known whether it is there already.
    exchange.gateway.ops.require_storable(&provisional, &new.headers, &new.tags, &new.acl).await?;
    exchange.require_sum(&expect, Lock::default(), "Put Object")?;
    let staging = exchange.gateway.ops.staging_encrypted(&provisional, &new);
    let received = exchange.receive(expect, &staging).await?;
    keep(exchange, bucket, asked, new, received).await
}

/// What has arrived.
pub async fn keep(
    exchange: &mut Exchange<'_>,
    bucket: &BucketName,
    asked: &ObjectKey,
    mut new: NewObject,
    received: Received,
) -> Result<Published> {
    let digits = received.sha256.digest().hex();
    let key = named(asked, digits.get(..DIGITS).unwrap_or_default())?;
    let grant = exchange.on_new_object(bucket, &key, &new.tags).await?;
    let there = exchange.gateway.ops.object_for_decision(ObjectRef::current(bucket, &key), Freshness::Current).await?;
    let (owner, _) = grant.becomes(&new.acl)?;
    let same = |o: &&SharedObject| o.owner == *owner && o.sha256 == Some(received.sha256);
    if let Some(object) = there.as_ref().filter(same) {
        return Ok(Published { object: object.clone(), grant, existed: true });
    }
    // What was looked at is what may be replaced: two who publish the same at once write it once.
    let conditions = WriteConditions::only_over(there.as_ref().map(|other| other.etag));
    if new.headers.content_type.is_empty() {
        new.headers.content_type = media_type::guess(asked.as_str(), &received.first_bytes(media_type::SNIFF_BYTES)).to_owned();
    }
    let sha256 = received.sha256;
    match exchange.gateway.ops.put(&grant, new, conditions, received).await {
        Ok(written) => Ok(Published { object: written.object, grant, existed: false }),
        Err(e) if e.kind() == ErrorKind::PreconditionFailed => {
            let now = exchange.gateway.ops.object_for_decision(ObjectRef::current(bucket, &key), Freshness::Current).await?;
            match now.filter(|o| o.owner == *owner && o.sha256 == Some(sha256)) {
                Some(object) => Ok(Published { object, grant, existed: true }),
                None => Err(Error::new(ErrorKind::OperationAborted, "The name is being written by somebody else. Please try again.")),
            }
        }
        Err(e) => Err(e),
    }
}

fn refuse_what_does_not_fit(exchange: &Exchange<'_>) -> Result<()> {
    let headers = &exchange.parts.headers;
    let invalid = |text: &'static str| Err(Error::new(ErrorKind::InvalidRequest, text));
    if let Some(form) = headers.get(route::PUBLISH).filter(|v| !v.as_bytes().eq_ignore_ascii_case(b"hash")) {
        let shown = String::from_utf8_lossy(form.as_bytes()).into_owned();
        let e = Error::new(ErrorKind::InvalidArgument, "x-tidegate-name must be \"hash\".");
        return Err(e.detail("ArgumentName", route::PUBLISH).detail("ArgumentValue", shown));
    }
    if headers.contains_key("x-amz-copy-source") || exchange.query.has("uploadId") {
        return invalid("Only a whole object is published by hash: no copy, and no part of an upload.");
    }
    if !params::write_conditions(headers)?.is_empty() {
        return invalid("Publishing by hash takes no conditions: what is there already with the same content stays.");
    }
    Ok(())
}

pub fn name_of(published: &Published, asked: &ObjectKey) -> ObjectKey {
    published.grant.key().unwrap_or(asked).clone()
}

/// `prefix/name-<digits>.ext`
pub fn named(asked: &ObjectKey, digits: &str) -> Result<ObjectKey> {
    let (folder, file) = match asked.as_str().rfind('/') {
        Some(at) => asked.as_str().split_at(at + 1),
        None => ("", asked.as_str()),
    };
    if file.is_empty() {
        return Err(Error::new(ErrorKind::InvalidArgument, "Publishing by hash needs a file name: the key ends with a slash."));
    }
    let (name, extension) = match file.rfind('.') {
        None | Some(0) => (file, ""),
        Some(at) => file.split_at(at),
    };
    ObjectKey::parse(&format!("{folder}{name}-{digits}{extension}"))
}

fn answer(exchange: &Exchange<'_>, published: &Published) -> Answer {
    let Published { grant, object, existed } = published;
    exchange.record.saw_object(object.clone());
    let mut answer = respond::empty(StatusCode::OK);
    let headers = answer.headers_mut();
    written_headers(headers, object);
    encryption::tell(headers, object.encryption.as_ref());
    let (Some(bucket), Some(key)) = (grant.bucket(), grant.key()) else { return answer };
    let mut put = |name: HeaderName, text: &str| {
        if let Some(v) = value(text) {
            headers.insert(name, v);
        }
    };
    put(HeaderName::from_static("x-tidegate-key"), key.as_str());
    put(header::LOCATION, &OnSite::on_s3_door(bucket, key));
    if let Some(place) = exchange.gateway.settings.place_of(bucket, key)
        && let Some(base) = &place.base
    {
        put(HeaderName::from_static("x-tidegate-url"), &format!("{base}{}", place.path));
    }
    headers.insert("x-tidegate-existed", HeaderValue::from_static(if *existed { "true" } else { "false" }));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let of = |key: &str| named(&ObjectKey::parse(key).unwrap(), "0123").map(|k| k.as_str().to_owned());
        for (key, expected) in [
            ("a/b/model.glb", "a/b/model-0123.glb"),
            ("app.min.js", "app.min-0123.js"),
            ("a.b/README", "a.b/README-0123"),
            (".htaccess", ".htaccess-0123"),
            ("a/.x", "a/.x-0123"),
            ("x.", "x-0123."),
        ] {
            assert_eq!(of(key).unwrap(), expected);
        }
        assert!(of("a/").is_err() && of(&"k".repeat(1020)).is_err());
    }
}
