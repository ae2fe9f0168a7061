//! Access control lists: who may do what with one bucket or one object, besides policies. S3's canned ones, and lists of grants.
//!
//! Not here: whether ACLs count at all and which actions a permission gives (`auth`), their XML and headers (`http/s3/acl`), how they
//! are stored (`stored`). Invariant: `Grants` are in order, each grantee once, and at most `MAX_GRANTS`; what a canned ACL says is kept
//! as that one.

use std::borrow::Cow;
use std::sync::Arc;

use super::listed::listed;
use super::names::TenantId;

/// S3's limit.
pub const MAX_GRANTS: usize = 100;

listed! {
    /// S3's canned ACLs.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub enum CannedAcl {
        #[default]
        Private,
        PublicRead,
        PublicReadWrite,
        AuthenticatedRead,
        BucketOwnerRead,
        BucketOwnerFullControl,
    }
}

impl CannedAcl {
    pub fn parse(s: &str) -> Option<Self> {
        Some(match s {
            "private" => Self::Private,
            "public-read" => Self::PublicRead,
            "public-read-write" => Self::PublicReadWrite,
            "authenticated-read" => Self::AuthenticatedRead,
            "bucket-owner-read" => Self::BucketOwnerRead,
            "bucket-owner-full-control" => Self::BucketOwnerFullControl,
            _ => return None,
        })
    }

    /// The grants that it stands for.
    fn grants(self, owner: &TenantId, bucket_owner: &TenantId) -> Grants {
        use Grantee::{AllUsers, AuthenticatedUsers};
        use Permission::{FullControl, Read, Write};
        let theirs = |permission| (Grantee::Tenant(bucket_owner.clone()), permission);
        let others = match self {
            Self::Private => vec![],
            Self::PublicRead => vec![(AllUsers, Read)],
            Self::PublicReadWrite => vec![(AllUsers, Read), (AllUsers, Write)],
            Self::AuthenticatedRead => vec![(AuthenticatedUsers, Read)],
            // Who is the owner has more.
            Self::BucketOwnerRead | Self::BucketOwnerFullControl if owner == bucket_owner => vec![],
            Self::BucketOwnerRead => vec![theirs(Read)],
            Self::BucketOwnerFullControl => vec![theirs(FullControl)],
        };
        let mut grants = Grants::default();
        let own = (Grantee::Tenant(owner.clone()), FullControl);
        others.into_iter().chain([own]).for_each(|(grantee, permission)| grants.add(grantee, permission));
        grants
    }
}

listed! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub enum Permission {
        Read,
        Write,
        ReadAcp,
        WriteAcp,
        FullControl,
    }
}

impl Permission {
    /// As ACL documents say it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "READ",
            Self::Write => "WRITE",
            Self::ReadAcp => "READ_ACP",
            Self::WriteAcp => "WRITE_ACP",
            Self::FullControl => "FULL_CONTROL",
        }
    }

    /// The header that gives it.
    pub const fn header(self) -> &'static str {
        match self {
            Self::Read => "x-amz-grant-read",
            Self::Write => "x-amz-grant-write",
            Self::ReadAcp => "x-amz-grant-read-acp",
            Self::WriteAcp => "x-amz-grant-write-acp",
            Self::FullControl => "x-amz-grant-full-control",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.name() == name)
    }
}

/// A set of them, as one byte of bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Permissions(u8);

impl Permissions {
    const fn bit(permission: Permission) -> u8 {
        1 << permission as u8
    }

    pub fn bits(self) -> u8 {
        self.0
    }

    /// None: a bit stands for nothing that is known.
    pub fn from_bits(bits: u8) -> Option<Self> {
        (bits >> Permission::ALL.len() == 0).then_some(Permissions(bits))
    }

    fn has(self, permission: Permission) -> bool {
        self.0 & Self::bit(permission) != 0
    }

    pub fn allow(self, permission: Permission) -> bool {
        self.has(permission) || self.has(Permission::FullControl)
    }

    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.into_iter().filter(move |p| self.has(*p))
    }
}

/// Whom a grant is for. Groups first, as S3 lists them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grantee {
    AllUsers,
    AuthenticatedUsers,
    LogDelivery,
    Tenant(TenantId),
}

const GROUPS: [(&str, Grantee); 3] = [
    ("http://acs.amazonaws.com/groups/global/AllUsers", Grantee::AllUsers),
    ("http://acs.amazonaws.com/groups/global/AuthenticatedUsers", Grantee::AuthenticatedUsers),
    ("http://acs.amazonaws.com/groups/s3/LogDelivery", Grantee::LogDelivery),
];

impl Grantee {
    /// None: it is no group.
    pub fn uri(&self) -> Option<&'static str> {
        GROUPS.iter().find(|(_, group)| group == self).map(|(uri, _)| *uri)
    }

    pub fn group(uri: &str) -> Option<Self> {
        GROUPS.iter().find(|(u, _)| *u == uri).map(|(_, group)| group.clone())
    }

    /// As S3 counts it: whoever has an account is a stranger too.
    pub fn is_public(&self) -> bool {
        matches!(self, Self::AllUsers | Self::AuthenticatedUsers)
    }

    /// None is the anonymous caller.
    fn includes(&self, caller: Option<&TenantId>) -> bool {
        match self {
            Self::AllUsers => true,
            Self::AuthenticatedUsers => caller.is_some(),
            // No logs are delivered here.
            Self::LogDelivery => false,
            Self::Tenant(tenant) => caller == Some(tenant),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grants(Vec<(Grantee, Permissions)>);

impl Grants {
    /// None: more than S3 takes.
    pub fn of(list: impl IntoIterator<Item = (Grantee, Permission)>) -> Option<Self> {
        let mut grants = Grants::default();
        for (n, (grantee, permission)) in list.into_iter().enumerate() {
            if n == MAX_GRANTS {
                return None;
            }
            grants.add(grantee, permission);
        }
        Some(grants)
    }

    /// As they were stored. None: not such as are made here.
    pub fn of_sets(list: Vec<(Grantee, Permissions)>) -> Option<Self> {
        let in_order = list.windows(2).all(|pair| pair.first().map(|p| &p.0) < pair.get(1).map(|p| &p.0));
        in_order.then_some(Grants(list))
    }

    fn add(&mut self, grantee: Grantee, permission: Permission) {
        let bit = Permissions::bit(permission);
        match self.0.binary_search_by(|(g, _)| g.cmp(&grantee)) {
            Ok(at) => self.0.get_mut(at).into_iter().for_each(|(_, permissions)| permissions.0 |= bit),
            Err(at) => self.0.insert(at, (grantee, Permissions(bit))),
        }
    }

    pub fn sets(&self) -> &[(Grantee, Permissions)] {
        &self.0
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Grantee, Permission)> {
        self.0.iter().flat_map(|(grantee, permissions)| permissions.iter().map(move |p| (grantee, p)))
    }

    fn is_public(&self) -> bool {
        self.0.iter().any(|(grantee, _)| grantee.is_public())
    }

    fn allow(&self, permission: Permission, caller: Option<&TenantId>, public_counts: bool) -> bool {
        let counts = |grantee: &Grantee| public_counts || !grantee.is_public();
        self.0.iter().any(|(grantee, permissions)| permissions.allow(permission) && counts(grantee) && grantee.includes(caller))
    }
}

/// Cheap to clone: most are canned, and lists are shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acl {
    Canned(CannedAcl),
    Grants(Arc<Grants>),
}

impl Default for Acl {
    fn default() -> Self {
        Acl::Canned(CannedAcl::Private)
    }
}

impl From<CannedAcl> for Acl {
    fn from(canned: CannedAcl) -> Self {
        Acl::Canned(canned)
    }
}

impl From<Grants> for Acl {
    fn from(grants: Grants) -> Self {
        Acl::Grants(Arc::new(grants))
    }
}

impl PartialEq<CannedAcl> for Acl {
    fn eq(&self, other: &CannedAcl) -> bool {
        *self == Acl::Canned(*other)
    }
}

impl Acl {
    /// As the canned ACL that says the same of what belongs to `owner`, where there is one.
    pub fn in_short(self, owner: &TenantId, bucket_owner: &TenantId) -> Self {
        let Acl::Grants(grants) = &self else { return self };
        match CannedAcl::ALL.into_iter().find(|canned| canned.grants(owner, bucket_owner) == **grants) {
            Some(canned) => Acl::Canned(canned),
            None => self,
        }
    }

    /// All that it says of what belongs to `owner`.
    pub fn grants(&self, owner: &TenantId, bucket_owner: &TenantId) -> Cow<'_, Grants> {
        match self {
            Acl::Canned(canned) => Cow::Owned(canned.grants(owner, bucket_owner)),
            Acl::Grants(grants) => Cow::Borrowed(grants),
        }
    }

    /// Does it open something to everyone, or to everyone who is known?
    pub fn is_public(&self) -> bool {
        match self {
            Acl::Canned(canned) => matches!(canned, CannedAcl::PublicRead | CannedAcl::PublicReadWrite | CannedAcl::AuthenticatedRead),
            Acl::Grants(grants) => grants.is_public(),
        }
    }

    /// Does it give the permission to a caller who owns nothing here? `public_counts`: what is for everyone counts.
    pub fn opens(&self, permission: Permission, caller: Option<&TenantId>, public_counts: bool) -> bool {
        match self {
            Acl::Canned(CannedAcl::PublicRead) => public_counts && permission == Permission::Read,
            Acl::Canned(CannedAcl::PublicReadWrite) => public_counts && matches!(permission, Permission::Read | Permission::Write),
            Acl::Canned(CannedAcl::AuthenticatedRead) => public_counts && permission == Permission::Read && caller.is_some(),
            // The bucket's owner has its bucket's objects anyway.
            Acl::Canned(CannedAcl::Private | CannedAcl::BucketOwnerRead | CannedAcl::BucketOwnerFullControl) => false,
            Acl::Grants(grants) => grants.allow(permission, caller, public_counts),
        }
    }

    /// Is it the bucket owner's full control, and nothing else?
    pub fn gives_all_to(&self, bucket_owner: &TenantId) -> bool {
        match self {
            Acl::Canned(canned) => *canned == CannedAcl::BucketOwnerFullControl,
            Acl::Grants(grants) => {
                matches!(grants.sets(), [(Grantee::Tenant(t), p)] if t == bucket_owner && p.has(Permission::FullControl))
            }
        }
    }

    /// What it takes at most behind a stored form, besides the number that each form has.
    pub fn stored_bytes(&self) -> usize {
        match self {
            Acl::Canned(_) => 0,
            Acl::Grants(grants) => {
                let sets = grants.sets().iter().map(|(grantee, _)| match grantee {
                    Grantee::Tenant(tenant) => 3 + tenant.as_str().len(),
                    Grantee::AllUsers | Grantee::AuthenticatedUsers | Grantee::LogDelivery => 2,
                });
                sets.sum::<usize>() + 32
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(id: &str) -> TenantId {
        TenantId::parse(id).unwrap()
    }

    #[test]
    fn a_canned_acl_is_what_its_grants_say() {
        let (owner, other) = (tenant("acme"), tenant("bravo"));
        for canned in CannedAcl::ALL {
            let acl = Acl::from(canned);
            assert_eq!(Acl::from(acl.grants(&owner, &other).into_owned()).in_short(&owner, &other), acl);
            // Read back, what is given to the owner itself is no more than it has.
            let own = Acl::from(acl.grants(&owner, &owner).into_owned()).in_short(&owner, &owner);
            assert_eq!(own.grants(&owner, &owner), acl.grants(&owner, &owner));
            for permission in Permission::ALL {
                let listed = Acl::from(acl.grants(&owner, &other).into_owned());
                for caller in [None, Some(&tenant("small"))] {
                    assert_eq!(listed.opens(permission, caller, true), acl.opens(permission, caller, true), "{canned:?} {permission:?}");
                    assert!(!listed.opens(permission, caller, false));
                }
            }
        }
    }

    #[test]
    fn grants_are_in_order_and_bounded() {
        let bravo = || Grantee::Tenant(tenant("bravo"));
        let list = [(bravo(), Permission::WriteAcp), (Grantee::AllUsers, Permission::Read), (bravo(), Permission::Read)];
        let grants = Grants::of(list.clone()).unwrap();
        let read: Vec<_> = grants.iter().map(|(g, p)| (g.clone(), p)).collect();
        assert_eq!(read, [list[1].clone(), list[2].clone(), list[0].clone()]);
        assert_eq!(Grants::of_sets(grants.sets().to_vec()), Some(grants.clone()));
        assert_eq!(Grants::of_sets(grants.sets().iter().rev().cloned().collect()), None);
        let many = |n: usize| (0..n).map(|i| (Grantee::Tenant(tenant(&format!("t{i}"))), Permission::Read));
        assert!(Grants::of(many(MAX_GRANTS)).is_some() && Grants::of(many(MAX_GRANTS + 1)).is_none());
        let acl = Acl::from(grants);
        let opens = |permission, who: Option<&str>, public| acl.opens(permission, who.map(tenant).as_ref(), public);
        assert!(opens(Permission::Read, None, true) && !opens(Permission::Read, None, false));
        assert!(opens(Permission::Read, Some("bravo"), false) && opens(Permission::WriteAcp, Some("bravo"), false));
        assert!(!opens(Permission::Write, Some("bravo"), true) && !opens(Permission::WriteAcp, Some("small"), true));
    }
}
