//! Deletes: of what a key shows, where the upstream puts a marker before it if it keeps versions, or of one version for good.
//!
//! Whether a version may go is the upstream's to say, which holds its locks.

use std::sync::Arc;

use crate::base::conditions::WriteConditions;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::TenantId;
use crate::base::object::Bucket;
use crate::base::object_ref::{ObjectRef, VersionId, VersionSelector, invalid};
use crate::base::usage::Load;
use crate::base::versions::Versioning;
use crate::origin::{Delete, Deleted, Quota};
use crate::upstream::conditions::{Held, LOOKS};
use crate::upstream::counting::{Change, Counter, Seen, Share, Ticket, replaced};
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
        let deleting = Deleting { of, bucket: &bucket, place: &place, full: &full };
        match (of.version, self.counter()) {
            (VersionSelector::Current, _) => self.delete_current(&deleting, &delete.conditions).await,
            (VersionSelector::Exact(version), None) => self.delete_version(&place, &full, version, &delete).await,
            (VersionSelector::Exact(version), Some(counter)) => self.delete_counted(counter, &deleting, version, &delete).await,
        }
    }

    async fn delete_current(&self, deleting: &Deleting<'_>, conditions: &WriteConditions) -> Result<Deleted> {
        let Deleting { place, full: key, .. } = *deleting;
        let versioning = deleting.bucket.versioning();
        for _ in 0..LOOKS {
            let Some((held, ticket)) = self.held_delete(deleting, conditions).await? else { return Ok(Deleted::NOTHING) };
            let delete = self.client.delete_object().bucket(&*place.bucket).key(key).set_if_match(held.if_match.clone());
            match delete.send().await {
                Ok(done) => {
                    ticket.end(Ok(()))?;
                    let marker = done.delete_marker() == Some(true);
                    if !marker {
                        self.forget_proof(&place.bucket, key).await;
                    }
                    // S3 tells no difference between what it deleted and what was not there.
                    let existed = if held.looked { Some(true) } else { None };
                    let version = (versioning != Versioning::Never).then(|| done.version_id().map(|id| info::version(Some(id)))).flatten();
                    return Ok(Deleted { existed, version, marker: marker && versioning != Versioning::Never });
                }
                Err(e) if held.is_any() && fault::is_precondition_failed(&e) => drop(ticket.end::<()>(Err(fault::of(e)))),
                // Deleted by somebody else, or by a first try whose answer was lost: the look that follows a recount tells.
                Err(e) if fault::is_no_such_key(&e) => return Ok(Deleted::NOTHING),
                Err(e) => return ticket.end(Err(fault::of(e))),
            }
        }
        Err(busy())
    }

    /// What is shown before and after it tells what else the key loses, or gets back.
    async fn delete_counted(
        &self,
        counter: &Arc<dyn Counter>,
        deleting: &Deleting<'_>,
        version: &VersionId,
        delete: &Delete,
    ) -> Result<Deleted> {
        let Deleting { of, bucket, place, full } = *deleting;
        let turn = counter.turn(of.bucket, of.key).await?;
        let before = self.shown_owner(deleting).await?;
        let goes = match self.look_at(&place.bucket, full, VersionSelector::Exact(version)).await {
            Ok(Looked::Object(head)) => {
                let object = self.info(&place.bucket, full, &bucket.owner, &head)?;
                Some(Share { owner: object.owner, load: Load { bytes: object.size, versions: 1, ..Load::default() } })
            }
            Ok(Looked::Marker { .. }) => Some(Share { owner: bucket.owner.clone(), load: Load { markers: 1, ..Load::default() } }),
            Ok(Looked::Nothing | Looked::NoName) => None,
            Err(e) if e.kind() == ErrorKind::InvalidRequest => None,
            Err(e) => return Err(e),
        };
        let is_sure = goes.is_some();
        let mut change = Change { bucket: of.bucket.clone(), key: of.key.clone(), comes: None, goes, is_sure };
        let ticket = Ticket::expect(counter, change.clone(), Quota::default(), turn).await?;
        let deleted = match self.delete_version(place, full, version, delete).await {
            Ok(deleted) => deleted,
            failed => return ticket.end(failed),
        };
        match (before, self.shown_owner(deleting).await) {
            (Some(owner), Ok(None)) => match &mut change.goes {
                Some(goes) if goes.owner == owner => goes.load.objects = 1,
                _ => change.is_sure = false,
            },
            (None, Ok(Some(owner))) => {
                change.comes = Some(Share { owner, load: Load { objects: 1, ..Load::default() } });
            }
            (_, Err(_)) => change.is_sure = false,
            _ => {}
        }
        ticket.done_as(change);
        Ok(deleted)
    }

    /// Of the object that the key shows.
    async fn shown_owner(&self, deleting: &Deleting<'_>) -> Result<Option<TenantId>> {
        let Deleting { bucket, place, full, .. } = *deleting;
        match self.head(&place.bucket, full).await {
            Ok(None) => Ok(None),
            Ok(Some(head)) => Ok(Some(self.info(&place.bucket, full, &bucket.owner, &head)?.owner)),
            // It is there, and tells nothing.
            Err(e) if e.kind() == ErrorKind::InvalidRequest => Ok(Some(bucket.owner.clone())),
            Err(e) => Err(e),
        }
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

    /// Always looked at, where there is a condition or where it is counted, so that what was deleted is what it was about. None: there
    /// is nothing to delete. That is no failure, also under a condition: the delete whose answer was lost is repeated, and it did what
    /// was asked.
    async fn held_delete(&self, deleting: &Deleting<'_>, conditions: &WriteConditions) -> Result<Option<(Held, Ticket)>> {
        let Deleting { of, bucket, place, full } = *deleting;
        if conditions.is_empty() && self.counter().is_none() {
            return Ok(Some((Held::default(), Ticket::none())));
        }
        let is_conditional = self.abilities().conditional_deletes;
        if !is_conditional && !conditions.is_empty() {
            let text = "The storage behind this gateway does not decide conditions of deletes, so the gateway takes none.";
            return Err(Error::new(ErrorKind::NotImplemented, text));
        }
        let turn = match self.counter() {
            Some(counter) => Some((counter, counter.turn(of.bucket, of.key).await?)),
            None => None,
        };
        let seen = match self.head(&place.bucket, full).await {
            Ok(None) => Seen::Nothing,
            Ok(Some(head)) => Seen::Object(Box::new(self.info(&place.bucket, full, &bucket.owner, &head)?)),
            Err(e) if e.kind() == ErrorKind::InvalidRequest && conditions.is_empty() => Seen::Unknown,
            Err(e) => return Err(e),
        };
        let versioning = bucket.versioning();
        if matches!(seen, Seen::Nothing) && (versioning == Versioning::Never || !conditions.is_empty()) {
            return Ok(None);
        }
        conditions.check(seen.object())?;
        let held = match seen.object().filter(|_| is_conditional) {
            Some(object) => Held::to(Some(object)),
            None => Held { looked: seen.object().is_some(), ..Held::default() },
        };
        let Some((counter, turn)) = turn else { return Ok(Some((held, Ticket::none()))) };
        let (goes, is_sure) = replaced(&seen, versioning);
        let marker = Share { owner: bucket.owner.clone(), load: Load { markers: 1, ..Load::default() } };
        let comes = (versioning != Versioning::Never).then_some(marker);
        let change = Change { bucket: of.bucket.clone(), key: of.key.clone(), comes, goes, is_sure };
        Ok(Some((held, Ticket::expect(counter, change, Quota::default(), turn).await?)))
    }
}

/// What is deleted, and where it lies.
#[derive(Clone, Copy)]
struct Deleting<'d> {
    of: ObjectRef<'d>,
    bucket: &'d Bucket,
    place: &'d Place,
    full: &'d str,
}
