//! What is asked of a write before its body is taken in: can it be stored at all, wherever it will be kept, and is there room for it?
//!
//! The origin decides about room once more, together with the write: here nobody is made to send what can't be kept.

use crate::auth::Auth;
use crate::auth::action::Action;
use crate::auth::grant::Grant;
use crate::base::error::Result;
use crate::base::names::TenantId;
use crate::base::object::{Acl, ObjectHeaders, Upload};
use crate::base::object_ref::ObjectRef;
use crate::base::storable;
use crate::base::tags::Tags;
use crate::ops::{Ops, object};
use crate::origin::{Freshness, Quota, Usage};

impl Ops {
    /// Whether the grant's key can be written with these headers, tags and this ACL.
    pub async fn require_storable(&self, grant: &Grant, headers: &ObjectHeaders, tags: &Tags, acl: &Acl) -> Result<()> {
        let ObjectRef { bucket, key, .. } = object(grant, &[Action::PutObject])?;
        storable::check(key, headers, acl, self.writers)?;
        self.origin.intake.takes(bucket, key, tags).await
    }

    /// Whether a body of this size may be sent. None: the client did not say, and the end is decided when it is there.
    pub async fn require_room(&self, grant: &Grant, acl: &Acl, size: Option<u64>) -> Result<()> {
        let ObjectRef { bucket, key, .. } = object(grant, &[Action::PutObject])?;
        let (owner, quota) = grant.becomes(acl)?;
        let Some((size, usage)) = self.limited(owner, quota, size).await? else { return Ok(()) };
        if quota.check(usage, i128::from(size), 1).is_ok() {
            return Ok(());
        }
        // What it replaces makes room for it.
        let there =
            self.origin.reads.stat(ObjectRef::current(bucket, key), Freshness::Current).await?.filter(|there| there.owner == *owner);
        let (bytes, objects) = there.map_or((0, 0), |there| (there.size, 1));
        let checked = quota.check(usage, i128::from(size) - i128::from(bytes), 1 - objects);
        checked.inspect_err(|e| self.note_limit(e, Some(owner), Some(bucket)))
    }

    /// The same for a part.
    pub async fn require_room_for_part(&self, auth: &Auth, upload: &Upload, number: u16, size: Option<u64>) -> Result<()> {
        let quota = auth.quota_of(&upload.owner);
        let Some((size, usage)) = self.limited(&upload.owner, quota, size).await? else { return Ok(()) };
        if quota.check(usage, i128::from(size), 0).is_ok() {
            return Ok(());
        }
        let (there, _) = self.origin.uploads.parts(upload, number.saturating_sub(1), 1).await?;
        let bytes = there.first().filter(|part| part.number == number).map_or(0, |part| part.size);
        let checked = quota.check(usage, i128::from(size) - i128::from(bytes), 0);
        checked.inspect_err(|e| self.note_limit(e, Some(&upload.owner), Some(&upload.bucket)))
    }

    /// None: there is nothing to stay inside.
    async fn limited(&self, owner: &TenantId, quota: Quota, size: Option<u64>) -> Result<Option<(u64, Usage)>> {
        match size.filter(|_| quota.is_some()) {
            Some(size) => Ok(Some((size, self.origin.control.usage(owner).await?))),
            None => Ok(None),
        }
    }
}
