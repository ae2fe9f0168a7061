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
use crate::base::acl::{Acl, CannedAcl};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::TenantId;
use crate::base::object::{Bucket, Ownership};
use crate::origin::Quota;

#[derive(Debug, Clone)]
pub struct Becomes {
    owner: TenantId,
    bucket_owner: TenantId,
    quota: Quota,
    /// Under `bucket-owner-full-control`, where that makes a difference.
    given: Option<(TenantId, Quota)>,
    acls_disabled: bool,
    public_acls_blocked: bool,
}

impl Becomes {
    #[cfg(any(test, feature = "test-util"))]
    pub fn own(owner: &TenantId) -> Self {
        Becomes {
            owner: owner.clone(),
            bucket_owner: owner.clone(),
            quota: Quota::default(),
            given: None,
            acls_disabled: false,
            public_acls_blocked: false,
        }
    }

    /// Fails where the bucket takes no ACLs at all.
    pub fn require_acls(&self) -> Result<()> {
        if self.acls_disabled { Err(not_supported()) } else { Ok(()) }
    }

    /// The ACL of what is made, where the request asks for this one. Where ACLs do not count S3 takes no other than the one that gives
    /// the bucket's owner what it has anyway.
    pub fn asked(&self, acl: Option<Acl>) -> Result<Acl> {
        let Some(acl) = acl else { return Ok(Acl::default()) };
        if self.acls_disabled && !acl.gives_all_to(&self.bucket_owner) {
            return Err(not_supported());
        }
        let owner = self.under(&acl)?.0.clone();
        Ok(acl.in_short(&owner, &self.bucket_owner))
    }

    /// The owner of what is written under this ACL, and its limits. Fails where the bucket takes no such ACL.
    pub fn under(&self, acl: &Acl) -> Result<(&TenantId, Quota)> {
        if self.acls_disabled && *acl != CannedAcl::Private && !acl.gives_all_to(&self.bucket_owner) {
            return Err(not_supported());
        }
        if self.public_acls_blocked && acl.is_public() {
            let text = "Access Denied: the bucket's setting BlockPublicAcls takes no ACL that opens something to everyone.";
            return Err(Error::new(ErrorKind::AccessDenied, text));
        }
        Ok(match &self.given {
            Some((owner, quota)) if *acl == CannedAcl::BucketOwnerFullControl => (owner, *quota),
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
        let bucket_owner = bucket.owner.clone();
        Some(Becomes {
            quota: self.quota_of(&owner),
            owner,
            bucket_owner,
            given,
            acls_disabled: rules.acls_disabled(),
            public_acls_blocked,
        })
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
