//! One version, marker or upload: whether it is due as it is now, what keeps it all the same, and its end.
//!
//! Invariants: what goes is the very version that was looked at: a noncurrent one by its id, the current one under conditions that no
//! other version meets. Nothing bypasses a lock.

use crate::base::conditions::{ETagMatch, WriteConditions};
use crate::base::error::{ErrorKind, Result};
use crate::base::lifecycle::evaluate::{Due, Standing, Subject};
use crate::base::lifecycle::ready::Rules;
use crate::base::names::ObjectKey;
use crate::base::object::{Layer, ObjectInfo, SharedBucket, Upload};
use crate::base::object_ref::{ObjectName, ObjectRef, VersionId};
use crate::base::tags::Tags;
use crate::base::timestamp::Timestamp;
use crate::base::versions::{Versioning, VersionsQuery};
use crate::ops::Ops;
use crate::ops::changes::{Change, What};
use crate::ops::deed::{Act, Deed};
use crate::ops::lifecycle::Run;
use crate::ops::lifecycle::report::Gone;
use crate::ops::lifecycle::standing::{Standings, Version};
use crate::ops::transfers::End;
use crate::origin::{Delete, Freshness, UploadsQuery};

/// Versions and uploads of a key that are read at once.
const PAGE: usize = 1000;
/// How often a key is looked at again because something of it went: a marker stands alone when the last version is gone.
const ROUNDS: usize = 3;

/// A bucket with the rules that hold in it.
#[derive(Clone)]
pub struct Ruled {
    pub bucket: SharedBucket,
    pub(super) rules: Rules,
    pub(super) asks_for_tags: bool,
    asks_for_reads: bool,
    /// Some rule aborts uploads.
    pub aborts: bool,
}

impl Ruled {
    /// None: it has none, or they can't be read.
    pub fn of(ops: &Ops, bucket: SharedBucket) -> Option<Self> {
        let rules = ops.lifecycles().of(&bucket)?;
        let (asks_for_tags, asks_for_reads) = (rules.ask_for_tags(), rules.ask_for_reads());
        let aborts = rules.iter().any(|rule| rule.enabled && rule.abort_uploads.is_some());
        Some(Ruled { bucket, rules, asks_for_tags, asks_for_reads, aborts })
    }

    fn keeps_versions(&self) -> bool {
        self.bucket.versioning() != Versioning::Never
    }
}

/// What became of a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judged {
    /// Or would be, in a dry run.
    Gone,
    /// Until then, at least. None: no rule lets it go as it is.
    Stays(Option<Timestamp>),
}

impl Run {
    /// All of a key: when it is to be looked at again, where its rows in the index do not tell.
    pub(super) async fn judge_key(&self, ruled: &Ruled, key: &ObjectKey) -> Result<Option<Timestamp>> {
        for _ in 0..ROUNDS {
            let (again, went) = match ruled.keeps_versions() {
                true => self.judge_versions(ruled, key).await?,
                false => (self.judge_only_version(ruled, key).await?, false),
            };
            if self.how.dry_run || !went {
                let uploads = self.judge_uploads(ruled, key).await?;
                return Ok(earlier(again, uploads));
            }
        }
        Ok(Some(self.how.now))
    }

    async fn judge_only_version(&self, ruled: &Ruled, key: &ObjectKey) -> Result<Option<Timestamp>> {
        let of = ObjectRef::current(&ruled.bucket.name, key);
        let Some(object) = self.ops.origin.reads.stat(of, Freshness::Current).await? else { return Ok(None) };
        let version = Version {
            key: key.clone(),
            id: VersionId::Null,
            size: object.size,
            modified: object.modified,
            is_marker: false,
            class: object.headers.storage_class.clone(),
            standing: Standing::Current { modified: object.modified },
        };
        match self.judge(ruled, &version).await? {
            Judged::Gone => Ok(None),
            Judged::Stays(again) => Ok(again),
        }
    }

    /// And whether any of them went.
    async fn judge_versions(&self, ruled: &Ruled, key: &ObjectKey) -> Result<(Option<Timestamp>, bool)> {
        let mut query = VersionsQuery { prefix: key.to_string(), max: PAGE, ..VersionsQuery::default() };
        let (mut standings, mut again, mut went) = (Standings::default(), None, false);
        loop {
            let page = self.ops.origin.reads.list_versions(&ruled.bucket.name, &query).await?;
            let mut versions: Vec<Version> = page.entries.into_iter().filter_map(|entry| standings.next(entry)).collect();
            let is_over = page.next.as_ref().is_none_or(|(next, _)| next != key.as_str());
            if is_over {
                versions.extend(standings.end());
            }
            for version in versions.iter().filter(|version| version.key == *key) {
                match self.judge(ruled, version).await? {
                    Judged::Gone => went = true,
                    Judged::Stays(at) => again = earlier(again, at),
                }
            }
            match page.next {
                Some((next, version)) if !is_over => (query.key_marker, query.version_marker) = (next, version),
                _ => return Ok((again, went)),
            }
        }
    }

    async fn judge_uploads(&self, ruled: &Ruled, key: &ObjectKey) -> Result<Option<Timestamp>> {
        let mut again = None;
        if !ruled.aborts {
            return Ok(again);
        }
        let mut query = UploadsQuery { prefix: key.to_string(), max: PAGE, ..UploadsQuery::default() };
        loop {
            let page = self.ops.origin.uploads.uploads(&ruled.bucket.name, &query).await?;
            for upload in page.uploads.iter().filter(|upload| upload.key == *key) {
                if let Judged::Stays(at) = self.judge_upload(ruled, upload).await? {
                    again = earlier(again, at);
                }
            }
            match page.next {
                Some((next, upload)) if next == key.as_str() => (query.key_marker, query.upload_marker) = (next, upload),
                _ => return Ok(again),
            }
        }
    }

    // One thing

    fn due<'r>(&self, ruled: &'r Ruled, version: &Version, tags: Option<&Tags>, read: Option<Timestamp>) -> Option<Due<'r>> {
        let subject = Subject { key: version.key.as_str(), size: version.size, tags, read, standing: version.standing };
        ruled.rules.first_due(&subject, self.ops.lifecycles().day)
    }

    pub(super) fn may_be_due(&self, ruled: &Ruled, version: &Version) -> bool {
        self.due(ruled, version, None, None).is_some_and(|due| due.at <= self.how.now) || self.may_move(ruled, version)
    }

    pub(super) async fn judge(&self, ruled: &Ruled, version: &Version) -> Result<Judged> {
        match self.judge_end(ruled, version).await? {
            Judged::Stays(_) if self.may_move(ruled, version) => self.judge_move(ruled, version).await,
            judged => Ok(judged),
        }
    }

    async fn judge_end(&self, ruled: &Ruled, version: &Version) -> Result<Judged> {
        let Some(due) = self.due(ruled, version, None, None) else { return Ok(Judged::Stays(None)) };
        if due.at > self.how.now {
            return Ok(Judged::Stays(Some(due.at)));
        }
        if version.is_marker {
            let gone = if matches!(version.standing, Standing::SoleMarker { .. }) { Gone::Marker } else { Gone::Version { bytes: 0 } };
            let of = self.named(ruled, version, true);
            return self.let_go(ruled, &due.rule.id, of, Delete::default(), gone).await;
        }
        let is_current = matches!(version.standing, Standing::Current { .. });
        let of = self.named(ruled, version, !is_current);
        let object = match self.ops.origin.reads.stat(of.object(), Freshness::Current).await? {
            Some(object) if object.modified.secs() == version.modified.secs() && object.size == version.size => object,
            // It was replaced, or has gone.
            _ => return self.changed(),
        };
        let tags = match ruled.asks_for_tags && object.tag_count != Some(0) {
            true => self.ops.origin.reads.tags(of.object(), &object).await?,
            false => Some(Tags::default()),
        };
        let Some(tags) = tags else { return self.changed() };
        let read = match ruled.asks_for_reads && is_current {
            true => Some(self.ops.last_read(&ruled.bucket.name, &version.key).await?),
            false => None,
        };
        let due = match self.due(ruled, version, Some(&tags), read) {
            Some(due) if due.at <= self.how.now => due,
            other => {
                // It would go, had nobody read it.
                let was_read = read.is_some() && self.due(ruled, version, Some(&tags), None).is_some_and(|due| due.at <= self.how.now);
                self.tally().report.held.read += u64::from(was_read);
                return Ok(Judged::Stays(other.map(|due| due.at)));
            }
        };
        let gone = gone(ruled.bucket.versioning(), is_current, &object);
        if let Some(until) = self.held(&of, &object, is_current, gone).await {
            return Ok(Judged::Stays(Some(until)));
        }
        let delete = if is_current { only(&object).into() } else { Delete::default() };
        self.let_go(ruled, &due.rule.id, of, delete, gone).await
    }

    pub(super) fn named(&self, ruled: &Ruled, version: &Version, exact: bool) -> ObjectName {
        ObjectName { bucket: ruled.bucket.name.clone(), key: version.key.clone(), version: exact.then(|| version.id.clone()) }
    }

    /// Until when something keeps what is due. None: nothing does.
    async fn held(&self, of: &ObjectName, object: &ObjectInfo, is_current: bool, gone: Gone) -> Option<Timestamp> {
        // Under a marker it stays whole.
        if gone != Gone::Hidden {
            let now = self.how.now.max(Timestamp::now());
            let retained = object.lock.retention.map(|retention| retention.until).filter(|until| *until > now);
            if object.lock.legal_hold || retained.is_some() {
                self.tally().report.held.locked += 1;
                return Some(retained.map_or(self.tomorrow(), |until| until.max(self.tomorrow())));
            }
        }
        if is_current && (object.layer == Layer::WriteBack || !self.is_replicated(of, object).await) {
            self.tally().report.held.on_its_way += 1;
            return Some(self.tomorrow());
        }
        None
    }

    pub(super) async fn is_replicated(&self, of: &ObjectName, object: &ObjectInfo) -> bool {
        match &self.ops.layers.replicas {
            Some(replicas) => replicas.have(&of.bucket, &of.key, object).await,
            None => true,
        }
    }

    async fn let_go(&self, ruled: &Ruled, rule: &str, of: ObjectName, delete: Delete, gone: Gone) -> Result<Judged> {
        let (bucket, key) = (of.bucket.clone(), of.key.clone());
        if !self.how.dry_run {
            let change = || Change {
                tenant: ruled.bucket.owner.clone(),
                bucket: of.bucket.clone(),
                key: Some(of.key.clone()),
                what: What::Content,
                deed: Some(Deed::own(Act::Expire, of.version.as_ref().map(ToString::to_string))),
                seen: Some(ruled.bucket.clone()),
            };
            let (writes, named) = (self.ops.origin.writes.clone(), of.clone());
            let deleting = async move { writes.delete(named.object(), delete).await };
            match self.ops.changes.carry_out(change, deleting).await {
                Ok(deleted) if deleted.existed == Some(false) => return self.changed(),
                Ok(_) => {}
                Err(e) => match e.kind() {
                    ErrorKind::PreconditionFailed | ErrorKind::NoSuchKey | ErrorKind::NoSuchVersion | ErrorKind::NoSuchBucket => {
                        return self.changed();
                    }
                    // A lock that was set meanwhile, or that this gateway does not see.
                    ErrorKind::AccessDenied => {
                        self.tally().report.held.locked += 1;
                        return Ok(Judged::Stays(Some(self.tomorrow())));
                    }
                    _ => return Err(e),
                },
            }
        }
        self.tally().gone(&bucket, rule, &key, gone);
        Ok(Judged::Gone)
    }

    /// Whoever changed it made it what it is now, and the index knows.
    pub(super) fn changed(&self) -> Result<Judged> {
        self.tally().report.held.changed += 1;
        Ok(Judged::Stays(None))
    }

    pub(super) async fn judge_upload(&self, ruled: &Ruled, upload: &Upload) -> Result<Judged> {
        let standing = Standing::Upload { initiated: upload.initiated };
        let subject = Subject { key: upload.key.as_str(), size: 0, tags: None, read: None, standing };
        let Some(due) = ruled.rules.first_due(&subject, self.ops.lifecycles().day) else { return Ok(Judged::Stays(None)) };
        if due.at > self.how.now {
            return Ok(Judged::Stays(Some(due.at)));
        }
        if !self.how.dry_run {
            match self.ops.origin.uploads.abort_upload(&upload.bucket, &upload.key, &upload.id).await {
                Ok(()) => self.ops.transfers.end_multipart(upload, End::Aborted),
                Err(e) if matches!(e.kind(), ErrorKind::NoSuchUpload | ErrorKind::NoSuchBucket) => return self.changed(),
                Err(e) => return Err(e),
            }
        }
        self.tally().gone(&upload.bucket, &due.rule.id, &upload.key, Gone::Upload);
        Ok(Judged::Gone)
    }
}

fn gone(versioning: Versioning, is_current: bool, object: &ObjectInfo) -> Gone {
    let bytes = object.size;
    match (versioning, is_current) {
        (_, false) => Gone::Version { bytes },
        (Versioning::Never, true) => Gone::Object { bytes },
        (Versioning::Enabled, true) => Gone::Hidden,
        // The marker is the null version, and takes the place of the one before.
        (Versioning::Suspended, true) if object.version == VersionId::Null => Gone::Object { bytes },
        (Versioning::Suspended, true) => Gone::Hidden,
    }
}

/// No other version of the key meets these: what is due is old, and what replaces it is made now.
fn only(object: &ObjectInfo) -> WriteConditions {
    WriteConditions {
        if_match: Some(ETagMatch::OneOf(vec![object.etag])),
        if_match_size: Some(object.size),
        if_match_modified: Some(object.modified),
        ..WriteConditions::default()
    }
}

fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
