//! Whose a new object becomes, and inside whose limits it must stay: decided with the right to write it.
//!
//! An object's owner pays for it, and its content is shared inside the owner's scope alone: so this one answer decides all three.
//! What lands in a tenant's bucket is that tenant's, whoever sends it, unless the bucket's ownership says that it is its writer's.
//! The operator's buckets are shared: there each tenant's objects are its own. Nobody can bill a stranger, so what anonymous
//! callers write is always the bucket owner's.
//! Called by `authorize`, which puts the answer into the grant.

use crate::auth::Auth;
use crate::auth::action::Action;
use crate::auth::identity::Identity;
use crate::auth::target::Target;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::TenantId;
use crate::base::object::{Bucket, CannedAcl, Ownership};
use crate::origin::Quota;

#[derive(Debug, Clone)]
pub struct Becomes {
    owner: TenantId,
    quota: Quota,
    /// Under `bucket-owner-full-control`, where that makes a difference.
    given: Option<(TenantId, Quota)>,
    acls_disabled: bool,
    public_acls_blocked: bool,
}

impl Becomes {
    #[cfg(any(test, feature = "test-util"))]
    pub fn own(owner: &TenantId) -> Self {
        Becomes { owner: owner.clone(), quota: Quota::default(), given: None, acls_disabled: false, public_acls_blocked: false }
    }

    /// Fails where the bucket takes no ACLs at all.
    pub fn require_acls(&self) -> Result<()> {
        if self.acls_disabled { Err(not_supported()) } else { Ok(()) }
    }

    /// The ACL of what is made, where the request asks for this one. S3 takes no other there than the one that gives the bucket's
    /// owner what it has anyway.
    pub fn asked(&self, acl: Option<CannedAcl>) -> Result<CannedAcl> {
        match acl {
            None => Ok(CannedAcl::Private),
            Some(acl) if self.acls_disabled && acl != CannedAcl::BucketOwnerFullControl => Err(not_supported()),
            Some(acl) => self.under(acl).map(|_| acl),
        }
    }

    /// The owner of what is written under this ACL, and its limits. Fails where the bucket takes no such ACL.
    pub fn under(&self, acl: CannedAcl) -> Result<(&TenantId, Quota)> {
        if self.acls_disabled && !matches!(acl, CannedAcl::Private | CannedAcl::BucketOwnerFullControl) {
            return Err(not_supported());
        }
        if self.public_acls_blocked && acl.is_public() {
            let text = "Access Denied: the bucket's setting BlockPublicAcls takes no ACL that opens something to everyone.";
            return Err(Error::new(ErrorKind::AccessDenied, text));
        }
        Ok(match &self.given {
            Some((owner, quota)) if acl == CannedAcl::BucketOwnerFullControl => (owner, *quota),
            _ => (&self.owner, self.quota),
        })
    }
}

impl Auth {
    /// None: nothing is made by the action, and no ACL set.
    pub(super) fn becomes(&self, action: Action, target: Target<'_>, identity: &Identity) -> Option<Becomes> {
        if !matches!(action, Action::PutObject | Action::PutObjectAcl | Action::PutObjectVersionAcl | Action::PutBucketAcl) {
            return None;
        }
        let (Target::Bucket(bucket) | Target::Object { bucket, .. } | Target::Upload { bucket, .. }) = target else { return None };
        let rules = self.rules.of(bucket);
        let ownership = rules.ownership;
        let owner = owner_of_new(identity, bucket, ownership).clone();
        let differs = ownership == Some(Ownership::BucketOwnerPreferred) && owner != bucket.owner;
        let given = differs.then(|| (bucket.owner.clone(), self.quota_of(&bucket.owner)));
        let public_acls_blocked = rules.public_access.block_public_acls;
        Some(Becomes { quota: self.quota_of(&owner), owner, given, acls_disabled: rules.acls_disabled(), public_acls_blocked })
    }
}

fn not_supported() -> Error {
    Error::new(ErrorKind::AccessControlListNotSupported, "The bucket does not allow ACLs")
}

fn owner_of_new<'a>(writer: &'a Identity, bucket: &'a Bucket, ownership: Option<Ownership>) -> &'a TenantId {
    match ownership {
        _ if writer.is_anonymous() => &bucket.owner,
        Some(Ownership::BucketOwnerEnforced) => &bucket.owner,
        Some(Ownership::BucketOwnerPreferred | Ownership::ObjectWriter) => writer.id(),
        None if bucket.owner.is_operator() => writer.id(),
        None => &bucket.owner,
    }
}
