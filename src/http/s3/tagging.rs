//! Tags of buckets and objects as documents: `?tagging`, read, set and removed.
//!
//! Not here: what a tag may be (`base::tags`), and the header `x-amz-tagging` (`params`).
//! Invariant: `parse` reads what `document` writes.

use http::StatusCode;

use crate::auth::action::Action;
use crate::auth::{Grant, TagsOf};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::{BucketDocument, SharedBucket, SharedObject};
use crate::base::object_ref::ObjectRef;
use crate::base::tags::{Tagged, Tags};
use crate::http::absence::not_on_a_marker;
use crate::http::exchange::Exchange;
use crate::http::respond::{self, Answer};
use crate::http::s3::get::{ATTEMPTS, replaced_too_often};
use crate::http::s3::versions;
use crate::http::xml::{Element, Writer};
use crate::origin::Freshness;

const ROOT: &str = "Tagging";
const SET: &str = "TagSet";

pub async fn get_bucket(exchange: &mut Exchange<'_>, name: &BucketName) -> Result<Answer> {
    exchange.on_bucket(Action::GetBucketTagging, name).await?;
    let bucket = exchange.gateway.ops.bucket_for_decision(name).await?;
    let stored = bucket.and_then(|b| b.documents.get(&BucketDocument::Tagging).cloned());
    let stored = stored.and_then(|d| String::from_utf8(d).ok());
    stored
        .map(respond::xml)
        .ok_or_else(|| Error::new(ErrorKind::NoSuchTagSet, "The TagSet does not exist").detail("BucketName", name.as_str()))
}

pub async fn put_bucket(exchange: &mut Exchange<'_>, name: &BucketName) -> Result<Answer> {
    let grant = exchange.on_bucket(Action::PutBucketTagging, name).await?;
    let tags = parse(&exchange.document().await?, Tagged::Bucket)?;
    exchange.gateway.ops.set_bucket_tags(&grant, of_bucket(&tags)).await?;
    Ok(respond::empty(StatusCode::NO_CONTENT))
}

pub async fn delete_bucket(exchange: &mut Exchange<'_>, name: &BucketName) -> Result<Answer> {
    let grant = exchange.on_bucket(Action::PutBucketTagging, name).await?;
    exchange.gateway.ops.set_bucket_tags(&grant, None).await?;
    Ok(respond::empty(StatusCode::NO_CONTENT))
}

/// What the request names, with the right to do it. Markers have no tags.
async fn granted(
    exchange: &Exchange<'_>,
    action: Action,
    bucket: &BucketName,
    key: &ObjectKey,
) -> Result<(SharedBucket, SharedObject, Grant)> {
    let (found, object) = exchange.look_up(bucket, key, Freshness::Current).await.map_err(not_on_a_marker)?;
    let grant = exchange.authorize_object(action, &found, exchange.named(bucket, key), Some(&object)).await?;
    Ok((found, object, grant))
}

fn answered(mut answer: Answer, found: &SharedBucket, object: &SharedObject) -> Answer {
    versions::tell_read(answer.headers_mut(), found, object);
    answer
}

pub async fn get_object(exchange: &mut Exchange<'_>, bucket: &BucketName, key: &ObjectKey) -> Result<Answer> {
    for _ in 0..ATTEMPTS {
        let (found, object, grant) = granted(exchange, Action::GetObjectTagging, bucket, key).await?;
        if let Some(tags) = exchange.gateway.ops.tags(&grant, &object).await? {
            return Ok(answered(respond::xml(document(&tags)), &found, &object));
        }
    }
    Err(replaced_too_often())
}

/// Who may give tags may depend on the tags, which stand in the body: it is read where that would help.
pub async fn put_object(exchange: &mut Exchange<'_>, bucket: &BucketName, key: &ObjectKey) -> Result<Answer> {
    const ACTION: Action = Action::PutObjectTagging;
    exchange.given_tags = None;
    if let Err(e) = granted(exchange, ACTION, bucket, key).await {
        let found = exchange.record.bucket().filter(|_| e.kind() == ErrorKind::AccessDenied);
        if !found.is_some_and(|found| exchange.lacks_tags(TagsOf::Given, ACTION, found, exchange.named(bucket, key))) {
            return Err(e);
        }
    }
    let tags = parse(&exchange.document().await?, Tagged::Object)?;
    exchange.given_tags = Some(tags.clone());
    let (found, object, grant) = granted(exchange, ACTION, bucket, key).await?;
    exchange.gateway.ops.set_tags(&grant, tags).await?;
    Ok(answered(respond::empty(StatusCode::OK), &found, &object))
}

pub async fn delete_object(exchange: &mut Exchange<'_>, bucket: &BucketName, key: &ObjectKey) -> Result<Answer> {
    let (found, object, grant) = granted(exchange, Action::DeleteObjectTagging, bucket, key).await?;
    exchange.gateway.ops.set_tags(&grant, Tags::default()).await?;
    Ok(answered(respond::empty(StatusCode::NO_CONTENT), &found, &object))
}

/// The tags that a copy takes along, with the right to read them there.
pub async fn of_source(exchange: &Exchange<'_>, of: ObjectRef<'_>, object: &SharedObject) -> Result<Tags> {
    if object.tag_count == Some(0) {
        return Ok(Tags::default());
    }
    let replaced = || Error::new(ErrorKind::OperationAborted, "The copy source was replaced while it was copied. Please try again.");
    let tags = exchange.gateway.ops.tags_for_decision(of, object).await?.ok_or_else(replaced)?;
    if !tags.is_empty() {
        let bucket = exchange.gateway.ops.bucket_for_decision(of.bucket).await?.ok_or_else(replaced)?;
        exchange.authorize_object(Action::GetObjectTagging, &bucket, of, Some(object)).await?;
    }
    Ok(tags)
}

/// As a bucket keeps them. None: it has none.
pub fn of_bucket(tags: &Tags) -> Option<Vec<u8>> {
    (!tags.is_empty()).then(|| document(tags).into_bytes())
}

pub fn parse(bytes: &[u8], of: Tagged) -> Result<Tags> {
    let root = Element::parse(bytes, ROOT)?;
    match root.children.as_slice() {
        [set] if set.name == SET => of_elements(set, of),
        _ => Err(malformed()),
    }
}

/// The `Tag` elements inside of another.
pub fn of_elements(set: &Element, of: Tagged) -> Result<Tags> {
    Tags::new(set.children.iter().map(pair).collect::<Result<_>>()?, of)
}

/// Spaces around a key or a value belong to it.
fn pair(tag: &Element) -> Result<(String, String)> {
    let text = |name: &str| tag.child(name).map(|e| e.text.clone());
    match (text("Key"), text("Value")) {
        (Some(key), Some(value)) if tag.name == "Tag" && tag.children.len() == 2 => Ok((key, value)),
        _ => Err(malformed()),
    }
}

fn document(tags: &Tags) -> String {
    let mut w = Writer::document(ROOT);
    w.open(SET);
    for (key, value) in tags.iter() {
        w.open("Tag").leaf("Key", key).leaf("Value", value).close("Tag");
    }
    w.close(SET);
    w.finish(ROOT)
}

fn malformed() -> Error {
    Error::new(ErrorKind::MalformedXml, "The XML you provided was not well-formed or did not validate against our published schema")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kind(inner: &str) -> std::result::Result<String, ErrorKind> {
        let parsed = parse(format!("<Tagging>{inner}</Tagging>").as_bytes(), Tagged::Object);
        parsed.map(|tags| tags.query()).map_err(|e| e.kind())
    }

    #[test]
    fn what_clients_send() {
        let tag = |key: &str, value: &str| format!("<Tag><Key>{key}</Key><Value>{value}</Value></Tag>");
        let set = |inner: &str| kind(&format!("<TagSet>{inner}</TagSet>"));
        assert_eq!(set("").as_deref(), Ok(""));
        assert_eq!(set(&format!("\n {}\n {}", tag("b", ""), tag("a", "x=y "))).as_deref(), Ok("a=x%3Dy%20&b="));
        assert_eq!(set("<Tag><Value>1</Value><Key>a</Key></Tag>").as_deref(), Ok("a=1"));
        for bad in ["<Tag><Key>a</Key></Tag>", "<Tag><Value>a</Value></Tag>", "<Other/>", "<Tag><Key>a</Key><Key>b</Key><Value/></Tag>"] {
            assert_eq!(set(bad), Err(ErrorKind::MalformedXml), "{bad}");
        }
        assert_eq!(kind(""), Err(ErrorKind::MalformedXml));
        assert_eq!(kind("<TagSet/><TagSet/>"), Err(ErrorKind::MalformedXml));
        assert_eq!(set(&(tag("a", "1") + &tag("a", "2"))), Err(ErrorKind::InvalidTag));
        assert_eq!(set(&(0..11).map(|n| tag(&n.to_string(), "")).collect::<String>()), Err(ErrorKind::BadRequest));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(pairs in prop::collection::btree_map("[a-zé0-9 _.:/=+@-]{1,12}", "[a-zé0-9 _.:/=+@-]{0,12}", 0..10)) {
            let Ok(tags) = Tags::new(pairs.into_iter().collect(), Tagged::Bucket) else { return Ok(()) };
            prop_assert_eq!(parse(document(&tags).as_bytes(), Tagged::Bucket).unwrap(), tags);
        }
    }
}
