//! Events of changes: what was done, and what it made.
//!
//! What nobody knows the end of (the process ended, the store did not answer) is looked up: where the key shows what the change would have
//! made, the change is told of. It may have been another that made it: then that is told twice.

use std::time::Duration;

use crate::base::error::Result;
use crate::base::names::TenantId;
use crate::base::notification::Notification;
use crate::base::object::{ObjectInfo, SharedBucket};
use crate::base::object_ref::{ObjectRef, VersionId};
use crate::base::versions::Versioning;
use crate::ops::changes::{Became, Change, Ended, Follower};
use crate::ops::deed::{Act, Deed, Made};
use crate::ops::events::message::{Event, Object};
use crate::ops::events::{Events, Inner};
use crate::origin::{Freshness, Pending};
use crate::queue::Following;

/// Clocks of ours and of the store may be so far apart. What is older than the change by more was there before it.
const APART: Duration = Duration::from_secs(900);

/// What a change turned out to have made. `marker`: a delete marker.
struct Fact {
    object: Object,
    marker: bool,
}

impl Follower for Events {
    fn concerns(&self, change: &Change) -> bool {
        let Some(deed) = &change.deed else { return false };
        match &change.seen {
            Some(bucket) => self.0.is_wanted(bucket, change, deed) || self.0.hub.is_watched(&bucket.owner),
            // It is looked up when it is known what became of the change.
            None => true,
        }
    }

    /// Who watches now misses what a process did not live to show.
    fn must_hear(&self, change: &Change) -> bool {
        match (&change.seen, &change.deed) {
            (Some(bucket), Some(deed)) => self.0.is_wanted(bucket, change, deed),
            _ => !self.0.settings.webhooks.is_empty(),
        }
    }

    fn in_order(&self) -> bool {
        true
    }

    /// A webhook that is not read from keeps nobody from writing.
    fn require_room(&self, _: &TenantId) -> Result<()> {
        Ok(())
    }

    fn follow<'a>(&'a self, change: &'a Change, ended: &'a Ended) -> Pending<'a, Vec<Following>> {
        Box::pin(async move { self.0.follow(change, ended).await })
    }
}

impl Inner {
    /// Whether some webhook may have to be told of it.
    fn is_wanted(&self, bucket: &SharedBucket, change: &Change, deed: &Deed) -> bool {
        let (kinds, Some(key)) = (deed.act.kinds(), &change.key) else { return false };
        if self.settings.webhooks.is_empty() {
            return false;
        }
        let by_rule = || self.settings.rules.iter().any(|rule| rule.may_let(kinds, Some(&bucket.name), Some(key.as_str())));
        let of_bucket = || {
            let lets = |one: &Notification| one.kinds.meets(kinds) && one.lets_key(key.as_str());
            self.notifications(bucket).is_some_and(|all| all.0.iter().any(lets))
        };
        by_rule() || of_bucket()
    }

    async fn follow(&self, change: &Change, ended: &Ended) -> Result<Vec<Following>> {
        let (Some(deed), Some(key)) = (&change.deed, &change.key) else { return Ok(Vec::new()) };
        let bucket = match &change.seen {
            Some(bucket) => bucket.clone(),
            None => match self.origin.buckets.bucket(&change.bucket).await? {
                Some(bucket) => bucket,
                None => return Ok(Vec::new()),
            },
        };
        let Some(Fact { object, marker }) = self.fact(&bucket, change, deed, ended).await? else { return Ok(Vec::new()) };
        let kind = deed.act.kind(marker);
        let chosen = self.chosen(kind, &bucket.owner, Some(&bucket), Some(&bucket.name), Some(key.as_str()));
        if chosen.is_empty() && !self.hub.is_watched(&bucket.owner) {
            return Ok(Vec::new());
        }
        let (sequence, id) = self.next();
        let event = Event {
            id,
            kind,
            at: deed.at,
            sequence,
            region: self.settings.region.clone(),
            tenant: bucket.owner.clone(),
            by: deed.request.is_some().then(|| change.tenant.clone()),
            address: deed.address.map(|address| address.to_string()),
            request: deed.request.clone(),
            configuration: None,
            bucket: Some(bucket.name.to_string()),
            object: Some(object),
            data: None,
        };
        self.tell(event, chosen)
    }

    /// None: nothing happened.
    async fn fact(&self, bucket: &SharedBucket, change: &Change, deed: &Deed, ended: &Ended) -> Result<Option<Fact>> {
        let Some(key) = &change.key else { return Ok(None) };
        let of = ObjectRef::current(&bucket.name, key);
        let bare = |version| Fact { object: Object { key: key.to_string(), version, ..Object::default() }, marker: false };
        match (&ended.made, ended.became) {
            (Made::Object(object), _) => Ok(Some(made(bucket, key.as_str(), object))),
            (Made::Gone(gone), _) => {
                if gone.existed == Some(false) && gone.version.is_none() {
                    return Ok(None);
                }
                // Where a version was named, that very one is gone, also if it was a marker.
                let marker = gone.marker && deed.version.is_none();
                let version = gone.version.as_ref().map(ToString::to_string).or_else(|| deed.version.clone());
                Ok(Some(Fact { marker, ..bare(version.filter(|_| bucket.versioning() != Versioning::Never)) }))
            }
            (Made::Nothing, became) => {
                let version = deed.version.as_deref().map(VersionId::parse).transpose()?;
                let of = ObjectRef { version: version.as_ref().into(), ..of };
                let there = self.origin.reads.stat(of, Freshness::Current).await?;
                match (deed.act, there) {
                    (Act::Delete | Act::Expire, None) => {
                        let marker = if version.is_none() { self.origin.reads.marker(of).await? } else { None };
                        let named = marker.as_ref().map(|marker| marker.version.to_string()).or_else(|| deed.version.clone());
                        Ok(Some(Fact { marker: marker.is_some(), ..bare(named) }))
                    }
                    (Act::Delete | Act::Expire, Some(_)) => Ok(None),
                    (_, Some(object)) => {
                        let is_older = object.modified.plus(APART) < deed.at;
                        let changes_content = matches!(deed.act, Act::Put | Act::Post | Act::Copy | Act::CompleteUpload | Act::Transition);
                        let unmade = became == Became::Unknown && changes_content && is_older;
                        Ok((!unmade).then(|| made(bucket, key.as_str(), &object)))
                    }
                    // It went meanwhile, which is told by who did that.
                    (_, None) => Ok(None),
                }
            }
        }
    }
}

fn made(bucket: &SharedBucket, key: &str, object: &ObjectInfo) -> Fact {
    let version = (bucket.versioning() != Versioning::Never).then(|| object.version.to_string());
    let object = Object { key: key.to_owned(), size: Some(object.size), etag: Some(object.etag.to_string()), version };
    Fact { object, marker: false }
}
