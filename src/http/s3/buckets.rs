//! Buckets: list, create, head, delete, location.

use std::collections::BTreeMap;

use http::StatusCode;
use http::header::HeaderValue;

use crate::auth::action::Action;
use crate::base::bucket_encryption::BucketEncryption;
use crate::base::bucket_lock::BucketLock;
use crate::base::encryption::Encryption;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::BucketName;
use crate::base::object::{Bucket, BucketDocument, Ownership};
use crate::base::tags::{Tagged, Tags};
use crate::base::versions::Versioning;
use crate::http::exchange::Exchange;
use crate::http::respond::{self, Answer, value};
use crate::http::s3::cors::compiled;
use crate::http::s3::region;
use crate::http::s3::tagging;
use crate::http::s3::{acl, lock, ownership, params};
use crate::http::xml::{Element, Writer};

/// S3's page of ListBuckets where the client sets none: all there can be.
const MAX_LISTED_BUCKETS: usize = 10_000;

pub async fn list(exchange: &mut Exchange<'_>) -> Result<Answer> {
    let grant = exchange.authorize_service(Action::ListAllMyBuckets)?;
    let paged = exchange.query.number::<usize>("max-buckets")?;
    let max = match paged {
        Some(n) if !(1..=MAX_LISTED_BUCKETS).contains(&n) => {
            return Err(
                Error::new(ErrorKind::InvalidArgument, "max-buckets must be between 1 and 10000").detail("ArgumentName", "max-buckets")
            );
        }
        Some(n) => n,
        None => MAX_LISTED_BUCKETS,
    };
    let prefix = exchange.query.get("prefix").unwrap_or_default();
    let after = exchange.query.get("continuation-token").unwrap_or_default();
    let mut buckets = exchange.gateway.ops.list_buckets(&grant, prefix, after, max + 1).await?;
    let more = buckets.len() > max;
    buckets.truncate(max);
    let mut w = Writer::document("ListAllMyBucketsResult");
    exchange.owner(&mut w, "Owner", exchange.caller.identity.id());
    w.open("Buckets");
    for bucket in &buckets {
        w.open("Bucket").leaf("Name", &bucket.name).leaf("CreationDate", bucket.created.iso8601());
        w.leaf("BucketRegion", exchange.region()).close("Bucket");
    }
    w.close("Buckets");
    if more && let Some(last) = buckets.last() {
        w.leaf("ContinuationToken", &last.name);
    }
    if !prefix.is_empty() {
        w.leaf("Prefix", prefix);
    }
    Ok(respond::xml(w.finish("ListAllMyBucketsResult")))
}

pub async fn create(exchange: &mut Exchange<'_>, name: &BucketName) -> Result<Answer> {
    let owner = exchange.caller.identity.id().clone();
    let acl = acl::asked(exchange)?.unwrap_or_default().in_short(&owner, &owner);
    let asked_ownership = params::ownership(&exchange.parts.headers)?;
    let ownership = asked_ownership.or_else(|| ownership_of_new(exchange));
    if let Some(ownership) = ownership {
        ownership::require_fits(ownership, &acl, &owner)?;
    }
    let grant = exchange.authorize_new_bucket(Action::CreateBucket, name)?;
    let document = exchange.document().await?;
    let mut documents = BTreeMap::new();
    if lock::is_asked_of_new_bucket(&exchange.parts.headers)? {
        exchange.authorize_new_bucket(Action::PutBucketVersioning, name)?;
        exchange.authorize_new_bucket(Action::PutBucketObjectLockConfiguration, name)?;
        // What is locked is a version.
        documents.extend(Versioning::Enabled.name().map(|state| (BucketDocument::Versioning, state.as_bytes().to_vec())));
        documents.insert(BucketDocument::ObjectLock, BucketLock::default().document().into_bytes());
    }
    let asked = Asked::parse(exchange, &document)?;
    if let Some(region) = asked.region {
        documents.insert(BucketDocument::Location, region.into_bytes());
    }
    if let Some(tags) = tagging::of_bucket(&asked.tags) {
        exchange.authorize_new_bucket(Action::PutBucketTagging, name)?;
        documents.insert(BucketDocument::Tagging, tags);
    }
    if asked_ownership.is_some() {
        exchange.authorize_new_bucket(Action::PutBucketOwnershipControls, name)?;
    }
    if let Some(ownership) = ownership {
        documents.insert(BucketDocument::Ownership, ownership::document(ownership).into_bytes());
    }
    if exchange.gateway.settings.default_cors {
        documents.insert(BucketDocument::Cors, compiled::default_document().to_vec());
    }
    if exchange.gateway.settings.encryption.new_buckets && exchange.gateway.ops.encrypts() {
        let set = BucketEncryption { default: Some(Encryption::S3), blocks_customer_keys: None };
        documents.insert(BucketDocument::Encryption, set.document().into_bytes());
    }
    // Of what the request says nothing it wishes nothing; a lock it can't get later.
    let wished = [(BucketDocument::Ownership, asked_ownership.is_some()), (BucketDocument::Tagging, true)];
    let wished: Vec<_> = wished.into_iter().filter(|(_, is)| *is).filter_map(|(d, _)| Some((d, documents.get(&d)?.clone()))).collect();
    let locked = documents.contains_key(&BucketDocument::ObjectLock);
    let is_as_asked = |there: &Bucket| {
        there.acl == acl
            && there.documents.contains_key(&BucketDocument::ObjectLock) == locked
            && wished.iter().all(|(d, text)| there.documents.get(d) == Some(text))
    };
    match exchange.gateway.ops.create_bucket(&grant, acl.clone(), documents).await {
        // In us-east-1, and only there, S3 lets the owner create a bucket again, as it is.
        Err(e) if e.kind() == ErrorKind::BucketAlreadyOwnedByYou && exchange.region() == "us-east-1" => {
            let there = exchange.gateway.ops.bucket_for_decision(name).await?;
            if there.is_some_and(|b| !is_as_asked(&b)) {
                return Err(Error::new(
                    ErrorKind::BucketAlreadyExists,
                    "The bucket exists already, with another ACL, ownership or other tags: they are changed with PutBucketAcl and PutBucketTagging.",
                ));
            }
        }
        created => exchange.record.saw_bucket(created?),
    }
    let mut answer = respond::empty(StatusCode::OK);
    if let Some(v) = value(&format!("/{name}")) {
        answer.headers_mut().insert(http::header::LOCATION, v);
    }
    Ok(answer)
}

/// What a CreateBucketConfiguration asks for.
#[derive(Default)]
struct Asked {
    region: Option<String>,
    tags: Tags,
}

impl Asked {
    /// What else it may hold is refused: a bucket without it would not be what was asked for.
    fn parse(exchange: &Exchange<'_>, document: &[u8]) -> Result<Self> {
        if document.is_empty() {
            return Ok(Asked::default());
        }
        let root = Element::parse(document, "CreateBucketConfiguration")?;
        let mut tags = Tags::default();
        for child in &root.children {
            match child.name.as_str() {
                "LocationConstraint" => {}
                "Tags" => tags = tagging::of_elements(child, Tagged::Bucket)?,
                "Location" | "Bucket" if child.children.is_empty() => {}
                "Location" | "Bucket" => {
                    let text = "Directory buckets are not implemented by this gateway.";
                    return Err(Error::new(ErrorKind::NotImplemented, text));
                }
                _ => {
                    let text = "The XML you provided was not well-formed or did not validate against our published schema";
                    return Err(Error::new(ErrorKind::MalformedXml, text));
                }
            }
        }
        Ok(Asked { region: region::asked(exchange, &root)?, tags })
    }
}

/// Where its maker says nothing. The operator's buckets are shared: there each tenant's objects are its own, which none of S3's
/// three says.
fn ownership_of_new(exchange: &Exchange<'_>) -> Option<Ownership> {
    let set = exchange.gateway.settings.object_ownership;
    set.filter(|_| !exchange.caller.identity.id().is_operator())
}

pub async fn head(exchange: &mut Exchange<'_>, name: &BucketName) -> Result<Answer> {
    exchange.on_bucket(Action::ListBucket, name).await?;
    let mut answer = respond::empty(StatusCode::OK);
    if let Some(v) = value(exchange.region()) {
        answer.headers_mut().insert("x-amz-bucket-region", v);
    }
    answer.headers_mut().insert("x-amz-access-point-alias", HeaderValue::from_static("false"));
    Ok(answer)
}

pub async fn delete(exchange: &mut Exchange<'_>, name: &BucketName) -> Result<Answer> {
    let grant = exchange.on_bucket(Action::DeleteBucket, name).await?;
    exchange.gateway.ops.delete_bucket(&grant).await?;
    Ok(respond::empty(StatusCode::NO_CONTENT))
}

pub async fn location(exchange: &mut Exchange<'_>, name: &BucketName) -> Result<Answer> {
    exchange.on_bucket(Action::GetBucketLocation, name).await?;
    let bucket = exchange.gateway.ops.bucket_for_decision(name).await?;
    let asked = bucket.and_then(|b| b.documents.get(&BucketDocument::Location).and_then(|l| String::from_utf8(l.clone()).ok()));
    // The one document whose root holds the text itself; us-east-1 by default is written as nothing.
    let region = exchange.region();
    let text = asked.unwrap_or_else(|| if region == "us-east-1" { String::new() } else { region.to_owned() });
    let mut w = Writer::document("LocationConstraint");
    w.text(&text);
    Ok(respond::xml(w.finish("LocationConstraint")))
}
