//! Canned ACLs of buckets and objects: read as the grants they stand for, set by header. Grants one by one (an
//! AccessControlPolicy body that is not one of the canned ones) are not implemented: policies say more, and better.

use http::StatusCode;

use crate::auth::action::Action;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::object::CannedAcl;
use crate::http::exchange::Exchange;
use crate::http::respond::{self, Answer};
use crate::http::s3::params;
use crate::http::xml::{Element, Writer};
use crate::origin::Freshness;

const ALL_USERS: &str = "http://acs.amazonaws.com/groups/global/AllUsers";
const AUTHENTICATED_USERS: &str = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers";

pub async fn get_bucket(exchange: &mut Exchange<'_>, name: &BucketName) -> Result<Answer> {
    exchange.on_bucket(Action::GetBucketAcl, name).await?;
    let bucket = exchange.gateway.ops.bucket_for_decision(name).await?;
    let bucket = exchange.existing(bucket, name)?;
    Ok(respond::xml(document(exchange, bucket.acl, &bucket.owner, &bucket.owner)))
}

pub async fn get_object(exchange: &mut Exchange<'_>, bucket: &BucketName, key: &ObjectKey) -> Result<Answer> {
    let (_, object) = exchange.readable(Action::GetObjectAcl, bucket, key).await?;
    let found = exchange.gateway.ops.bucket_for_decision(bucket).await?;
    let found = exchange.existing(found, bucket)?;
    Ok(respond::xml(document(exchange, object.acl, &object.owner, &found.owner)))
}

pub async fn put_bucket(exchange: &mut Exchange<'_>, name: &BucketName) -> Result<Answer> {
    let grant = exchange.on_bucket(Action::PutBucketAcl, name).await?;
    grant.require_acls()?;
    let bucket = exchange.gateway.ops.bucket_for_decision(name).await?;
    let bucket = exchange.existing(bucket, name)?;
    let acl = wanted(exchange, &bucket.owner, &bucket.owner).await?;
    exchange.gateway.ops.set_bucket_acl(&grant, acl).await?;
    Ok(respond::empty(StatusCode::OK))
}

pub async fn put_object(exchange: &mut Exchange<'_>, bucket: &BucketName, key: &ObjectKey) -> Result<Answer> {
    let grant = exchange.on_object(Action::PutObjectAcl, bucket, key).await?;
    grant.require_acls()?;
    let (found, object) = exchange.look_up(bucket, key, Freshness::Current).await?;
    let acl = wanted(exchange, &object.owner, &found.owner).await?;
    exchange.gateway.ops.set_object_acl(&grant, acl).await?;
    Ok(respond::empty(StatusCode::OK))
}

/// From the header, or from a body that says the same as a canned ACL: never from one where the other says something too.
async fn wanted(exchange: &mut Exchange<'_>, owner: &TenantId, bucket_owner: &TenantId) -> Result<CannedAcl> {
    let named = params::acl(&exchange.parts.headers)?;
    let document = exchange.document().await?;
    if let Some(acl) = named {
        return match document.is_empty() {
            true => Ok(acl),
            false => Err(Error::new(ErrorKind::UnexpectedContent, "This request does not support content: x-amz-acl says it all.")),
        };
    }
    if document.is_empty() {
        return Err(Error::new(ErrorKind::MissingSecurityHeader, "Your request was missing a required header: x-amz-acl"));
    }
    let root = Element::parse(&document, "AccessControlPolicy")?;
    canned(&root, owner, bucket_owner)
}

fn canned(root: &Element, owner: &TenantId, bucket_owner: &TenantId) -> Result<CannedAcl> {
    let malformed = || {
        let text = "The XML you provided was not well-formed or did not validate against our published schema";
        Error::new(ErrorKind::MalformedAcl, text)
    };
    if root.child("Owner").and_then(|o| o.text_of("ID")).ok_or_else(malformed)? != owner.as_str() {
        return Err(Error::new(ErrorKind::AccessDenied, "Access Denied"));
    }
    let (mut owners, mut others): (usize, Vec<(&str, &str)>) = (0, Vec::new());
    for grant in &root.child("AccessControlList").ok_or_else(malformed)?.children {
        let grantee = grant.child("Grantee").filter(|_| grant.name == "Grant").ok_or_else(malformed)?;
        let permission = grant.text_of("Permission").ok_or_else(malformed)?;
        match (grantee.text_of("ID"), grantee.text_of("URI"), grantee.text_of("EmailAddress")) {
            (Some(id), None, None) if id == owner.as_str() && permission == "FULL_CONTROL" => owners += 1,
            (Some(who), None, None) | (None, Some(who), None) | (None, None, Some(who)) => others.push((who, permission)),
            _ => return Err(malformed()),
        }
    }
    others.sort_unstable();
    let to_bucket_owner = |who: &str| who == bucket_owner.as_str();
    // Without its owner's full control it is none of the canned ones.
    match others.as_slice() {
        [] if owners == 1 => Ok(CannedAcl::Private),
        [(ALL_USERS, "READ")] if owners == 1 => Ok(CannedAcl::PublicRead),
        [(ALL_USERS, "READ"), (ALL_USERS, "WRITE")] if owners == 1 => Ok(CannedAcl::PublicReadWrite),
        [(AUTHENTICATED_USERS, "READ")] if owners == 1 => Ok(CannedAcl::AuthenticatedRead),
        [(who, "READ")] if owners == 1 && to_bucket_owner(who) => Ok(CannedAcl::BucketOwnerRead),
        [(who, "FULL_CONTROL")] if owners == 1 && to_bucket_owner(who) => Ok(CannedAcl::BucketOwnerFullControl),
        _ => Err(Error::new(
            ErrorKind::NotImplemented,
            "Only grants that a canned ACL stands for are implemented; write a bucket policy instead.",
        )),
    }
}

fn document(exchange: &Exchange<'_>, acl: CannedAcl, owner: &TenantId, bucket_owner: &TenantId) -> String {
    let mut w = Writer::document("AccessControlPolicy");
    exchange.owner(&mut w, "Owner", owner);
    w.open("AccessControlList");
    // Groups first, then users, as S3 lists them.
    match acl {
        CannedAcl::Private | CannedAcl::BucketOwnerRead | CannedAcl::BucketOwnerFullControl => {}
        CannedAcl::PublicRead => group_grant(&mut w, ALL_USERS, "READ"),
        CannedAcl::PublicReadWrite => {
            group_grant(&mut w, ALL_USERS, "READ");
            group_grant(&mut w, ALL_USERS, "WRITE");
        }
        CannedAcl::AuthenticatedRead => group_grant(&mut w, AUTHENTICATED_USERS, "READ"),
    }
    user_grant(exchange, &mut w, owner, "FULL_CONTROL");
    match acl {
        CannedAcl::BucketOwnerRead if owner != bucket_owner => user_grant(exchange, &mut w, bucket_owner, "READ"),
        CannedAcl::BucketOwnerFullControl if owner != bucket_owner => user_grant(exchange, &mut w, bucket_owner, "FULL_CONTROL"),
        _ => {}
    }
    w.close("AccessControlList");
    w.finish("AccessControlPolicy")
}

fn user_grant(exchange: &Exchange<'_>, w: &mut Writer, user: &TenantId, permission: &str) {
    w.open("Grant");
    exchange.grantee(w, user);
    w.leaf("Permission", permission).close("Grant");
}

fn group_grant(w: &mut Writer, uri: &str, permission: &str) {
    w.open("Grant").open_typed("Grantee", "Group").leaf("URI", uri).close("Grantee").leaf("Permission", permission).close("Grant");
}
