//! ACLs of buckets and objects: read as grants, set by a canned name, by headers that grant, or by a document.
//!
//! Not here: what a permission opens (`auth/acl`), and whether a bucket takes ACLs (`auth/ownership`). Called by the door, and by
//! every write that may say an ACL (`asked`). Invariant: a grantee is somebody who exists; what can't be told apart is refused.

use http::StatusCode;

use crate::auth::action::Action;
use crate::base::acl::{Acl, CannedAcl, Grantee, Grants, MAX_GRANTS, Permission};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::header::trim;
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::http::exchange::Exchange;
use crate::http::respond::{self, Answer};
use crate::http::xml::{Element, Writer};
use crate::origin::Freshness;

pub async fn get_bucket(exchange: &mut Exchange<'_>, name: &BucketName) -> Result<Answer> {
    exchange.on_bucket(Action::GetBucketAcl, name).await?;
    let bucket = exchange.gateway.ops.bucket_for_decision(name).await?;
    let bucket = exchange.existing(bucket, name)?;
    Ok(respond::xml(document(exchange, &bucket.acl.grants(&bucket.owner, &bucket.owner), &bucket.owner)))
}

pub async fn get_object(exchange: &mut Exchange<'_>, bucket: &BucketName, key: &ObjectKey) -> Result<Answer> {
    let (_, object) = exchange.readable(Action::GetObjectAcl, bucket, key).await?;
    let found = exchange.gateway.ops.bucket_for_decision(bucket).await?;
    let found = exchange.existing(found, bucket)?;
    Ok(respond::xml(document(exchange, &object.acl.grants(&object.owner, &found.owner), &object.owner)))
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
    exchange.gateway.ops.set_object_acl(&grant, acl, &object.headers).await?;
    Ok(respond::empty(StatusCode::OK))
}

// What is asked for

/// By header. None: the client asks for no ACL.
pub fn asked(exchange: &Exchange<'_>) -> Result<Option<Acl>> {
    let granted = granted(exchange)?;
    match exchange.header("x-amz-acl")? {
        None => Ok(granted.map(Acl::from)),
        Some(_) if granted.is_some() => {
            let text = "Specifying both Canned ACLs and Header Grants is not allowed";
            Err(Error::new(ErrorKind::InvalidRequest, text))
        }
        Some(name) => {
            let unknown = || Error::new(ErrorKind::InvalidArgument, "Unknown canned ACL.").detail("ArgumentName", "x-amz-acl");
            CannedAcl::parse(name).map(|canned| Some(canned.into())).ok_or_else(|| unknown().detail("ArgumentValue", name))
        }
    }
}

/// From headers, or from a body: never from one where the other says something too.
async fn wanted(exchange: &mut Exchange<'_>, owner: &TenantId, bucket_owner: &TenantId) -> Result<Acl> {
    let named = asked(exchange)?;
    let document = exchange.document().await?;
    let grants = match (named, document.is_empty()) {
        (Some(acl), true) => return Ok(acl.in_short(owner, bucket_owner)),
        (Some(_), false) => {
            let text = "This request does not support content: its headers say the ACL.";
            return Err(Error::new(ErrorKind::UnexpectedContent, text));
        }
        (None, true) => {
            let text = "Your request was missing a required header: x-amz-acl, x-amz-grant-*, or a document in its body";
            return Err(Error::new(ErrorKind::MissingSecurityHeader, text));
        }
        (None, false) => parse(&document, owner, |id| known(exchange, id))?,
    };
    Ok(Acl::from(grants).in_short(owner, bucket_owner))
}

fn known(exchange: &Exchange<'_>, tenant: &TenantId) -> bool {
    tenant.is_operator() || exchange.gateway.auth.tenant(tenant).is_some()
}

/// What the `x-amz-grant-*` headers say: `id="…", uri="…"`. None: there are none.
fn granted(exchange: &Exchange<'_>) -> Result<Option<Grants>> {
    let mut list = Vec::new();
    for permission in Permission::ALL {
        let Some(text) = exchange.header(permission.header())? else { continue };
        for one in text.split(',').map(trim).filter(|one| !one.is_empty()) {
            let wrong = || invalid("Argument format not recognized").detail("ArgumentName", permission.header());
            let (kind, value) = one.split_once('=').ok_or_else(wrong)?;
            let value = trim(value).trim_matches('"');
            let grantee = match trim(kind) {
                kind if kind.eq_ignore_ascii_case("id") => user(value, |id| known(exchange, id)),
                kind if kind.eq_ignore_ascii_case("uri") => group(value),
                kind if kind.eq_ignore_ascii_case("emailAddress") => Err(unresolvable(value)),
                _ => Err(wrong().detail("ArgumentValue", one)),
            };
            list.push((grantee?, permission));
        }
    }
    if list.is_empty() { Ok(None) } else { grants_of(list).map(Some) }
}

fn grants_of(list: Vec<(Grantee, Permission)>) -> Result<Grants> {
    Grants::of(list).ok_or_else(|| malformed(&format!("An ACL has at most {MAX_GRANTS} grants.")))
}

fn user(id: &str, known: impl Fn(&TenantId) -> bool) -> Result<Grantee> {
    let tenant = TenantId::parse(id).ok().filter(known);
    tenant.map(Grantee::Tenant).ok_or_else(|| invalid("Invalid id").detail("ArgumentName", "CanonicalUser/ID").detail("ArgumentValue", id))
}

fn group(uri: &str) -> Result<Grantee> {
    Grantee::group(uri).ok_or_else(|| invalid("Invalid group uri").detail("ArgumentName", "Group/URI").detail("ArgumentValue", uri))
}

fn unresolvable(email: &str) -> Error {
    let text = "No account here is known by an email address: grant to a canonical user id, or to a group.";
    Error::new(ErrorKind::UnresolvableGrantByEmailAddress, text).detail("EmailAddress", email)
}

fn invalid(text: &'static str) -> Error {
    Error::new(ErrorKind::InvalidArgument, text)
}

fn malformed(why: &str) -> Error {
    let text = format!("The XML you provided was not well-formed or did not validate against our published schema: {why}");
    Error::new(ErrorKind::MalformedAcl, text)
}

// The document

fn parse(document: &[u8], owner: &TenantId, known: impl Fn(&TenantId) -> bool) -> Result<Grants> {
    let root = Element::parse(document, "AccessControlPolicy")?;
    let named = root.child("Owner").and_then(|o| o.text_of("ID")).ok_or_else(|| malformed("It names no Owner."))?;
    if named != owner.as_str() {
        return Err(Error::new(ErrorKind::AccessDenied, "Access Denied"));
    }
    let listed = root.child("AccessControlList").ok_or_else(|| malformed("It has no AccessControlList."))?;
    let mut list = Vec::new();
    for grant in &listed.children {
        // It has its own, whether or not it is still a tenant.
        list.push(one(grant, |id| id == owner || known(id))?);
    }
    grants_of(list)
}

/// What a bucket says of the log objects that are made of its requests.
pub fn target_grants(exchange: &Exchange<'_>, listed: &Element) -> Result<Grants> {
    let of_logs = |grant: &Element| {
        let (grantee, permission) = one(grant, |id| known(exchange, id))?;
        match permission {
            Permission::Read | Permission::Write | Permission::FullControl => Ok((grantee, permission)),
            Permission::ReadAcp | Permission::WriteAcp => Err(malformed("A Permission of TargetGrants is READ, WRITE or FULL_CONTROL.")),
        }
    };
    grants_of(listed.children.iter().map(of_logs).collect::<Result<_>>()?)
}

/// One `Grant`.
fn one(grant: &Element, known: impl Fn(&TenantId) -> bool) -> Result<(Grantee, Permission)> {
    let grantee = grant.child("Grantee").filter(|_| grant.name == "Grant").ok_or_else(|| malformed("A Grant has a Grantee."))?;
    let permission = grant.text_of("Permission").and_then(Permission::parse);
    let permission = permission.ok_or_else(|| malformed("A Permission is READ, WRITE, READ_ACP, WRITE_ACP or FULL_CONTROL."))?;
    let grantee = match (grantee.text_of("ID"), grantee.text_of("URI"), grantee.text_of("EmailAddress")) {
        (Some(id), None, None) => user(id, known)?,
        (None, Some(uri), None) => group(uri)?,
        (None, None, Some(email)) => return Err(unresolvable(email)),
        _ => return Err(malformed("A Grantee has an ID or a URI.")),
    };
    Ok((grantee, permission))
}

fn document(exchange: &Exchange<'_>, grants: &Grants, owner: &TenantId) -> String {
    let mut w = Writer::document("AccessControlPolicy");
    exchange.owner(&mut w, "Owner", owner);
    list(&mut w, "AccessControlList", grants, |w, tenant| exchange.grantee(w, tenant));
    w.finish("AccessControlPolicy")
}

/// Inside an element of this name.
pub fn list(w: &mut Writer, name: &'static str, grants: &Grants, user: impl Fn(&mut Writer, &TenantId)) {
    w.open(name);
    for (grantee, permission) in grants.iter() {
        w.open("Grant");
        match grantee {
            Grantee::Tenant(tenant) => user(w, tenant),
            group => {
                w.open_typed("Grantee", "Group").leaf_if("URI", group.uri()).close("Grantee");
            }
        }
        w.leaf("Permission", permission.name()).close("Grant");
    }
    w.close(name);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tenant(n: u8) -> TenantId {
        TenantId::parse(&format!("tenant-{n}")).unwrap()
    }

    fn written(grants: &Grants, owner: &TenantId) -> String {
        let mut w = Writer::document("AccessControlPolicy");
        w.open("Owner").leaf("ID", owner).close("Owner");
        list(&mut w, "AccessControlList", grants, |w, tenant| {
            w.open_typed("Grantee", "CanonicalUser").leaf("ID", tenant).close("Grantee");
        });
        w.finish("AccessControlPolicy")
    }

    fn grantee() -> impl Strategy<Value = Grantee> {
        prop_oneof![
            Just(Grantee::AllUsers),
            Just(Grantee::AuthenticatedUsers),
            Just(Grantee::LogDelivery),
            any::<u8>().prop_map(|n| Grantee::Tenant(tenant(n))),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(of in prop::collection::vec((grantee(), prop::sample::select(Permission::ALL.to_vec())), 0..40)) {
            let (grants, owner) = (Grants::of(of).unwrap(), tenant(0));
            let read = parse(written(&grants, &owner).as_bytes(), &owner, |_| true).unwrap();
            prop_assert_eq!(&read, &grants);
            let short = Acl::from(read).in_short(&owner, &tenant(1));
            prop_assert_eq!(&*short.grants(&owner, &tenant(1)), &grants);
        }
    }

    #[test]
    fn what_can_not_be_told_is_refused() {
        let (owner, other) = (tenant(0), tenant(1));
        let of = |grants: &str| {
            let text = format!("<AccessControlPolicy><Owner><ID>{owner}</ID></Owner>{grants}</AccessControlPolicy>");
            parse(text.as_bytes(), &owner, |t| *t == other).map(|g| g.sets().len()).map_err(|e| e.kind())
        };
        let grant = |who: &str, permission: &str| {
            format!("<AccessControlList><Grant><Grantee>{who}</Grantee><Permission>{permission}</Permission></Grant></AccessControlList>")
        };
        assert_eq!(of("<AccessControlList/>"), Ok(0));
        assert_eq!(of(&grant(&format!("<ID>{other}</ID>"), "READ")), Ok(1));
        assert_eq!(of(&grant(&format!("<ID>{owner}</ID>"), "READ")), Ok(1));
        for (bad, kind) in [
            (String::new(), ErrorKind::MalformedAcl),
            (grant("", "READ"), ErrorKind::MalformedAcl),
            (grant("<ID>tenant-1</ID><URI>x</URI>", "READ"), ErrorKind::MalformedAcl),
            (grant("<ID>tenant-1</ID>", "EVERYTHING"), ErrorKind::MalformedAcl),
            (grant("<ID>tenant-9</ID>", "READ"), ErrorKind::InvalidArgument),
            (grant("<URI>http://example.com/</URI>", "READ"), ErrorKind::InvalidArgument),
            (grant("<EmailAddress>a@example.com</EmailAddress>", "READ"), ErrorKind::UnresolvableGrantByEmailAddress),
        ] {
            assert_eq!(of(&bad), Err(kind), "{bad}");
        }
        assert_eq!(parse(written(&Grants::default(), &owner).as_bytes(), &other, |_| true).unwrap_err().kind(), ErrorKind::AccessDenied);
    }
}
