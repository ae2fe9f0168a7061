//! Canned ACLs of buckets and objects: read as the grants they stand for, set by header. Grants one by one (an
//! AccessControlPolicy body that is not one of the canned ones) are not implemented: policies say more, and better.

use http::StatusCode;

use crate::auth::action::Action;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::object::CannedAcl;
use crate::http::respond::{self, Answer};
use crate::http::s3::exchange::Exchange;
use crate::http::s3::params;
use crate::http::xml::{Element, Writer};

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
    let acl = wanted(exchange).await?;
    exchange.gateway.ops.set_bucket_acl(&grant, acl).await?;
    Ok(respond::empty(StatusCode::OK))
}

pub async fn put_object(exchange: &mut Exchange<'_>, bucket: &BucketName, key: &ObjectKey) -> Result<Answer> {
    let grant = exchange.on_object(Action::PutObjectAcl, bucket, key).await?;
    let acl = wanted(exchange).await?;
    exchange.gateway.ops.set_object_acl(&grant, acl).await?;
    Ok(respond::empty(StatusCode::OK))
}

/// From the header, or from a body that says the same as a canned ACL.
async fn wanted(exchange: &mut Exchange<'_>) -> Result<CannedAcl> {
    params::refuse_unimplemented(&exchange.parts.headers)?;
    if params::text(&exchange.parts.headers, "x-amz-acl").is_some() {
        return params::acl(&exchange.parts.headers);
    }
    let document = exchange.document().await?;
    if document.is_empty() {
        return Err(Error::new(ErrorKind::MissingSecurityHeader, "Your request was missing a required header: x-amz-acl"));
    }
    let root = Element::parse(&document, "AccessControlPolicy")?;
    canned(&root).ok_or_else(|| {
        Error::new(ErrorKind::NotImplemented, "Only grants that a canned ACL stands for are implemented; write a bucket policy instead.")
    })
}

fn canned(root: &Element) -> Option<CannedAcl> {
    let owner = root.child("Owner")?.text_of("ID")?;
    let mut others: Vec<(&str, &str)> = Vec::new();
    for grant in root.child("AccessControlList")?.children.iter().filter(|c| c.name == "Grant") {
        let (grantee, permission) = (grant.child("Grantee")?, grant.text_of("Permission")?);
        match (grantee.text_of("ID"), grantee.text_of("URI")) {
            (Some(id), _) if id == owner && permission == "FULL_CONTROL" => {}
            (_, Some(uri)) => others.push((uri, permission)),
            _ => return None,
        }
    }
    others.sort_unstable();
    match others.as_slice() {
        [] => Some(CannedAcl::Private),
        [(ALL_USERS, "READ")] => Some(CannedAcl::PublicRead),
        [(ALL_USERS, "READ"), (ALL_USERS, "WRITE")] => Some(CannedAcl::PublicReadWrite),
        [(AUTHENTICATED_USERS, "READ")] => Some(CannedAcl::AuthenticatedRead),
        _ => None,
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
