//! Deletes: of what a key shows, where the upstream puts a marker before it if it keeps versions, or of one version for good.
//!
//! Whether a version may go is the upstream's to say, which holds its locks.

use crate::base::conditions::WriteConditions;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::TenantId;
use crate::base::object_ref::{ObjectRef, VersionId, VersionSelector, invalid};
use crate::base::versions::Versioning;
use crate::origin::{Delete, Deleted};
use crate::upstream::conditions::{Held, LOOKS};
use crate::upstream::fault;
use crate::upstream::info;
use crate::upstream::open::Inner;
use crate::upstream::place::Place;
use crate::upstream::read::Looked;
use crate::upstream::write::busy;

impl Inner {
    pub async fn delete(&self, of: ObjectRef<'_>, delete: Delete) -> Result<Deleted> {
        let (bucket, of) = self.meant(of).await?;
        let nothing = || Deleted { version: of.version.id().cloned(), ..Deleted::NOTHING };
        let place = self.place(of.bucket).await?;
        let Ok(full) = place.key(of.key) else { return Ok(nothing()) };
        if self.hidden_folder(&place, &full).await?.is_some() {
            return Ok(nothing());
        }
        match of.version {
            VersionSelector::Current => self.delete_current(&place, &full, &delete.conditions, bucket.versioning()).await,
            VersionSelector::Exact(version) => self.delete_version(&place, &full, version, &delete).await,
        }
    }

    async fn delete_current(&self, place: &Place, key: &str, conditions: &WriteConditions, versioning: Versioning) -> Result<Deleted> {
        for _ in 0..LOOKS {
            let Some(held) = self.held_delete(conditions, place, key).await? else { return Ok(Deleted::NOTHING) };
            let delete = self.client.delete_object().bucket(&*place.bucket).key(key).set_if_match(held.if_match.clone());
            match delete.send().await {
                Ok(done) => {
                    let marker = done.delete_marker() == Some(true);
                    if !marker {
                        self.forget_proof(&place.bucket, key).await;
                    }
                    // S3 tells no difference between what it deleted and what was not there.
                    let existed = if held.looked { Some(true) } else { None };
                    let version = (versioning != Versioning::Never).then(|| done.version_id().map(|id| info::version(Some(id)))).flatten();
                    return Ok(Deleted { existed, version, marker: marker && versioning != Versioning::Never });
                }
                Err(e) if held.is_any() && fault::is_precondition_failed(&e) => continue,
                Err(e) if fault::is_no_such_key(&e) => return Ok(Deleted::NOTHING),
                Err(e) => return Err(fault::of(e)),
            }
        }
        Err(busy())
    }

    /// A version never changes, so that conditions are decided by a look at it.
    async fn delete_version(&self, place: &Place, key: &str, version: &VersionId, delete: &Delete) -> Result<Deleted> {
        if !delete.conditions.is_empty() {
            let head = self.look_at(&place.bucket, key, VersionSelector::Exact(version)).await?.object();
            let there = head.map(|head| self.info(&place.bucket, key, &TenantId::operator(), &head)).transpose()?;
            delete.conditions.check(there.as_ref())?;
        }
        let request = self.client.delete_object().bucket(&*place.bucket).key(key).version_id(version.as_str());
        let request = request.set_bypass_governance_retention(delete.bypass.then_some(true));
        match request.send().await {
            Ok(done) => {
                self.forget_proof(&place.bucket, key).await;
                Ok(Deleted { existed: None, version: Some(version.clone()), marker: done.delete_marker() == Some(true) })
            }
            Err(e) if fault::is_no_such_version(&e) => Ok(Deleted { version: Some(version.clone()), ..Deleted::NOTHING }),
            Err(e) if fault::status(&e) == Some(400) && matches!(fault::code(&e), Some("InvalidArgument" | "NoSuchVersion")) => {
                Err(invalid(version.as_str()).caused_by(fault::of(e)))
            }
            // Whose fault is it? The upstream refuses whom it does not know with the same word.
            Err(e) if fault::status(&e) == Some(403) => match self.look_at(&place.bucket, key, VersionSelector::Exact(version)).await? {
                Looked::Object(head) if info::lock(&head) != Default::default() => Err(fault::is_locked().caused_by(fault::of(e))),
                _ => Err(fault::of(e)),
            },
            Err(e) => Err(fault::of(e)),
        }
    }

    /// Always looked at, so that what was deleted is what the condition was about. None: there is nothing to delete. That is no
    /// failure, also under a condition: the delete whose answer was lost is repeated, and it did what was asked.
    async fn held_delete(&self, conditions: &WriteConditions, place: &Place, key: &str) -> Result<Option<Held>> {
        if conditions.is_empty() {
            return Ok(Some(Held::default()));
        }
        if !self.abilities().conditional_deletes {
            let text = "The storage behind this gateway does not decide conditions of deletes, so the gateway takes none.";
            return Err(Error::new(ErrorKind::NotImplemented, text));
        }
        let Some(head) = self.head(&place.bucket, key).await? else { return Ok(None) };
        let current = self.info(&place.bucket, key, &TenantId::operator(), &head)?;
        conditions.check(Some(&current))?;
        Ok(Some(Held { if_match: Some(current.etag.quoted()), if_none_match: None, looked: true }))
    }
}
