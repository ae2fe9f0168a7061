//! ACLs: the access that comes with a bucket or an object itself. S3's permissions READ, WRITE, READ_ACP and WRITE_ACP as actions.
//!
//! Not here: whether ACLs count at all (settings, object ownership, public access block): `authorize` asks only then.

use crate::auth::action::{Action, ActionSet};
use crate::base::acl::{Acl, Permission};
use crate::base::names::TenantId;
use crate::base::object::{Bucket, ObjectInfo};

// As on S3. To look into an upload, or to end it, is its initiator's right and the bucket owner's: WRITE does not give it.
const ON_BUCKET: [(Permission, ActionSet); 4] = [
    (Permission::Read, ActionSet::of(&[Action::ListBucket, Action::ListBucketVersions, Action::ListBucketMultipartUploads])),
    (Permission::Write, ActionSet::of(&[Action::PutObject, Action::DeleteObject])),
    (Permission::ReadAcp, ActionSet::of(&[Action::GetBucketAcl])),
    (Permission::WriteAcp, ActionSet::of(&[Action::PutBucketAcl])),
];
const ON_OBJECT: [(Permission, ActionSet); 3] = [
    (Permission::Read, ActionSet::of(&[Action::GetObject, Action::GetObjectVersion, Action::GetObjectTorrent])),
    (Permission::ReadAcp, ActionSet::of(&[Action::GetObjectAcl, Action::GetObjectVersionAcl])),
    (Permission::WriteAcp, ActionSet::of(&[Action::PutObjectAcl, Action::PutObjectVersionAcl])),
];
/// What the writer of an object may do with it in a bucket that is not its own.
const OBJECT_OWNER: ActionSet = ActionSet::of(&[
    Action::GetObject,
    Action::GetObjectVersion,
    Action::GetObjectAttributes,
    Action::GetObjectVersionAttributes,
    Action::GetObjectTorrent,
    Action::GetObjectAcl,
    Action::GetObjectVersionAcl,
    Action::PutObjectAcl,
    Action::PutObjectVersionAcl,
]);
/// And does, whatever its ACL says.
const OBJECT_OWNER_ALWAYS: ActionSet =
    ActionSet::of(&[Action::GetObjectAcl, Action::GetObjectVersionAcl, Action::PutObjectAcl, Action::PutObjectVersionAcl]);

/// To anyone, to anyone who is known, or to this one. `public_counts`: what is for everyone counts.
pub fn opens(action: Action, caller: Option<&TenantId>, bucket: &Bucket, object: Option<&ObjectInfo>, public_counts: bool) -> bool {
    let given = |acl: &Acl, table: &[(Permission, ActionSet)]| {
        let permission = table.iter().find(|(_, actions)| actions.contains(action)).map(|(permission, _)| *permission);
        permission.is_some_and(|p| acl.opens(p, caller, public_counts))
    };
    given(&bucket.acl, &ON_BUCKET) || object.is_some_and(|o| given(&o.acl, &ON_OBJECT))
}

pub fn object_owner_may(action: Action, caller: Option<&TenantId>, object: Option<&ObjectInfo>) -> bool {
    let (Some(caller), Some(object)) = (caller, object) else { return false };
    // Every canned ACL gives it all; a list says itself what.
    let may = match &object.acl {
        Acl::Canned(_) => OBJECT_OWNER,
        Acl::Grants(_) => OBJECT_OWNER_ALWAYS,
    };
    object.owner == *caller && may.contains(action)
}
