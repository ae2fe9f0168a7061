//! Canned ACLs: the access that comes with a bucket or an object itself. S3's grants READ, WRITE and FULL_CONTROL as actions.
//!
//! Not here: whether ACLs count at all (settings, object ownership, public access block): `authorize` asks only then.

use crate::auth::action::{Action, ActionSet};
use crate::base::names::TenantId;
use crate::base::object::{Bucket, CannedAcl, ObjectInfo};

// As on S3. To look into an upload, or to end it, is its initiator's right and the bucket owner's: WRITE does not give it.
const BUCKET_READ: ActionSet = ActionSet::of(&[Action::ListBucket, Action::ListBucketVersions, Action::ListBucketMultipartUploads]);
const BUCKET_WRITE: ActionSet = ActionSet::of(&[Action::PutObject, Action::DeleteObject]);
const OBJECT_READ: ActionSet = ActionSet::of(&[Action::GetObject, Action::GetObjectVersion, Action::GetObjectTorrent]);
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

/// To anyone, or to anyone who is known.
pub fn opens(action: Action, caller: Option<&TenantId>, bucket: &Bucket, object: Option<&ObjectInfo>) -> bool {
    let (read, write) = audience(bucket.acl, caller);
    let by_bucket = (read && BUCKET_READ.contains(action)) || (write && BUCKET_WRITE.contains(action));
    by_bucket || object.is_some_and(|o| audience(o.acl, caller).0 && OBJECT_READ.contains(action))
}

pub fn object_owner_may(action: Action, caller: Option<&TenantId>, object: Option<&ObjectInfo>) -> bool {
    match (caller, object) {
        (Some(caller), Some(object)) => object.owner == *caller && OBJECT_OWNER.contains(action),
        _ => false,
    }
}

/// Does the ACL let the caller read, write, though it owns nothing here?
fn audience(acl: CannedAcl, caller: Option<&TenantId>) -> (bool, bool) {
    match acl {
        // The bucket's owner has its bucket's objects anyway.
        CannedAcl::Private | CannedAcl::BucketOwnerRead | CannedAcl::BucketOwnerFullControl => (false, false),
        CannedAcl::PublicRead => (true, false),
        CannedAcl::PublicReadWrite => (true, true),
        CannedAcl::AuthenticatedRead => (caller.is_some(), false),
    }
}
