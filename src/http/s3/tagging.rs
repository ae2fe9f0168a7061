//! Tags of buckets and objects as documents: `?tagging`, read, set and removed.
//!
//! Not here: what a tag may be (`base::tags`), and the header `x-amz-tagging` (`params`).
//! Invariant: `parse` reads what `document` writes.

use http::StatusCode;

use crate::auth::action::Action;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::BucketName;
use crate::base::object::BucketDocument;
use crate::base::tags::{Tagged, Tags};
use crate::http::exchange::Exchange;
use crate::http::respond::{self, Answer};
use crate::http::xml::{Element, Writer};

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

/// As a bucket keeps them. None: it has none.
pub fn of_bucket(tags: &Tags) -> Option<Vec<u8>> {
    (!tags.is_empty()).then(|| document(tags).into_bytes())
}

fn parse(bytes: &[u8], of: Tagged) -> Result<Tags> {
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
