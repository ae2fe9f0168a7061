//! One object that is to lie in a colder storage class: a copy of it onto itself, made by the store, with all that it has.
//!
//! Only where the store has classes, and where it keeps no versions: there a copy would be another version beside the first. What the copy
//! is made of is the very object that was judged (its ETag). S3 counts its days anew from then on, and so do the rules.
//! A store that takes the class and keeps it not is asked once: see `Unkept`.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::lifecycle::evaluate::{Standing, Subject};
use crate::base::lifecycle::transitions::{Lies, Move};
use crate::base::limits::MAX_PUT_BYTES;
use crate::base::names::BucketName;
use crate::base::object::{Layer, ObjectHeaders, SharedObject};
use crate::base::object_ref::{ObjectName, VersionId};
use crate::base::tags::Tags;
use crate::base::versions::Versioning;
use crate::ops::changes::{Change, What};
use crate::ops::deed::{Act, Deed};
use crate::ops::lifecycle::Run;
use crate::ops::lifecycle::judge::{Judged, Ruled};
use crate::ops::lifecycle::report::Gone;
use crate::ops::lifecycle::standing::Version;
use crate::origin::{CopyObject, Freshness, Quota};

/// Classes that the store keeps nothing in, as far as that was found: nothing is copied there again before the next start.
#[derive(Debug, Clone, Default)]
pub struct Unkept(Arc<Mutex<HashSet<(BucketName, &'static str)>>>);

impl Unkept {
    fn is(&self, bucket: &BucketName, class: &'static str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&(bucket.clone(), class))
    }

    fn found(&self, bucket: &BucketName, class: &'static str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert((bucket.clone(), class));
    }
}

impl Run {
    fn due_move<'r>(&self, ruled: &'r Ruled, version: &Version, tags: Option<&Tags>) -> Option<Move<'r>> {
        let moves = self.ops.origin.has_classes && ruled.bucket.versioning() != Versioning::Enabled && version.id == VersionId::Null;
        let subject = Subject { key: version.key.as_str(), size: version.size, tags, read: None, standing: version.standing };
        if !moves || !matches!(version.standing, Standing::Current { .. }) {
            return None;
        }
        let due = ruled.rules.due_move(&subject, Lies::of(version.class.as_deref()), self.ops.lifecycles().day, self.how.now)?;
        (!self.ops.unkept_classes.is(&ruled.bucket.name, due.class.name())).then_some(due)
    }

    pub(super) fn may_move(&self, ruled: &Ruled, version: &Version) -> bool {
        self.due_move(ruled, version, None).is_some()
    }

    /// What stays where it lies is looked at again by the next run.
    pub(super) async fn judge_move(&self, ruled: &Ruled, version: &Version) -> Result<Judged> {
        let of = self.named(ruled, version, false);
        let object = match self.ops.origin.reads.stat(of.object(), Freshness::Current).await? {
            Some(object) if object.modified.secs() == version.modified.secs() && object.size == version.size => object,
            _ => return self.changed(),
        };
        let tags = match object.tag_count {
            Some(0) => Some(Tags::default()),
            _ => self.ops.origin.reads.tags(of.object(), &object).await?,
        };
        let Some(tags) = tags else { return self.changed() };
        let as_it_is = Version { class: object.headers.storage_class.clone(), ..version.clone() };
        let Some(due) = self.due_move(ruled, &as_it_is, Some(&tags)) else { return Ok(Judged::Stays(None)) };
        let is_archived = matches!(Lies::of(object.headers.storage_class.as_deref()), Lies::In(class) if class.is_archive());
        if is_archived || object.size > MAX_PUT_BYTES {
            return self.unmovable();
        }
        if object.layer == Layer::WriteBack || !self.is_replicated(&of, &object).await {
            self.tally().report.held.on_its_way += 1;
            return Ok(Judged::Stays(None));
        }
        if !self.how.dry_run {
            match self.copy_to(ruled, &of, &object, tags, due.class.name()).await {
                Ok(true) => {}
                Ok(false) => return Err(self.not_kept(ruled, due)),
                Err(e) => match e.kind() {
                    ErrorKind::PreconditionFailed | ErrorKind::OperationAborted | ErrorKind::NoSuchKey | ErrorKind::NoSuchBucket => {
                        return self.changed();
                    }
                    ErrorKind::InvalidObjectState => return self.unmovable(),
                    ErrorKind::InvalidStorageClass | ErrorKind::NotImplemented => return Err(self.not_kept(ruled, due).caused_by(e)),
                    _ => return Err(e),
                },
            }
        }
        self.tally().gone(&ruled.bucket.name, &due.rule.id, &version.key, Gone::Moved { bytes: object.size });
        Ok(Judged::Stays(None))
    }

    /// False: the store took it, and the object lies where it lay.
    async fn copy_to(&self, ruled: &Ruled, of: &ObjectName, object: &SharedObject, tags: Tags, class: &'static str) -> Result<bool> {
        let copy = CopyObject {
            source_bucket: of.bucket.clone(),
            source_key: of.key.clone(),
            source_version: None,
            source: object.clone(),
            bucket: of.bucket.clone(),
            key: of.key.clone(),
            owner: object.owner.clone(),
            acl: object.acl.clone(),
            headers: ObjectHeaders { storage_class: Some(class.to_owned()), ..object.headers.clone() },
            tags,
            encryption: object.encryption.clone(),
            lock: object.lock,
            checksum: None,
            conditions: Default::default(),
        };
        let tenant = ruled.bucket.owner.clone();
        let change = || Change {
            tenant,
            bucket: of.bucket.clone(),
            key: Some(of.key.clone()),
            what: What::Content,
            deed: Some(Deed::own(Act::Transition, None)),
            seen: Some(ruled.bucket.clone()),
        };
        let writes = self.ops.origin.writes.clone();
        // It holds nothing more than before.
        let copying = async move { writes.copy(copy, Quota::default()).await };
        let written = self.ops.changes.carry_out(change, copying).await?;
        Ok(written.object.headers.storage_class.as_deref() == Some(class))
    }

    fn unmovable(&self) -> Result<Judged> {
        self.tally().report.held.unmovable += 1;
        Ok(Judged::Stays(None))
    }

    fn not_kept(&self, ruled: &Ruled, due: Move<'_>) -> Error {
        let (bucket, class) = (&ruled.bucket.name, due.class.name());
        self.ops.unkept_classes.found(bucket, class);
        let text = format!("The storage behind this gateway keeps nothing in {class}: nothing is moved there before the next start.");
        Error::new(ErrorKind::NotImplemented, text)
    }
}
