//! The purge outbox: what changed on a site with a CDN is told to the CDN, however often that takes.
//!
//! One job is one invalidation of one distribution; its items are the paths, wildcards and tags. Changes gather in the job
//! that waits for its time, which costs one write for each new path and none for a path that is there already.
//! Begun again after a crash it is the same call: the job's id is its CallerReference, and its items were fixed when it was
//! first claimed, so CloudFront answers the invalidation that it made the first time.
//! What a write brings about is the gateway's own work. What a tenant asked for is done in its name: it may have lost the right.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::auth::{Action, Auth, Target};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{AccessKeyId, BucketName, ObjectKey, TenantId};
use crate::base::timestamp::Timestamp;
use crate::cdn::paths::Items;
use crate::cdn::{CloudFront, Distribution, Map, Refused};
use crate::jobs::{asker, refused};
use crate::ops::Ops;
use crate::ops::cdn::{Cdn, Wanted};
use crate::ops::changes::{Change, Ended, Follower, What};
use crate::ops::renditions::source_of_manifest;
use crate::origin::Pending;
use crate::queue::job::MAX_ITEMS;
use crate::queue::kind::{Backoff, Work};
use crate::queue::{Attempt, Fault, Following, JobId, Kind, NewJob, Payload, Queue};

pub const KIND: &str = "purge";
const VERSION: u16 = 1;
/// With the waits of `backoff` that is a day of a CDN that can't be reached.
const ATTEMPTS: u32 = 100;

#[derive(Serialize, Deserialize)]
struct Document {
    distribution: String,
    /// Where a tenant asked. Absent: it follows from a write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    asked: Option<Asked>,
}

/// What the right to purge is decided on again. Paths and tags don't tell the keys that they stand for.
#[derive(Clone, Serialize, Deserialize)]
struct Asked {
    buckets: BTreeSet<BucketName>,
    tags: bool,
}

impl Asked {
    fn of(wanted: &Wanted) -> Self {
        let keys = wanted.keys.iter().map(|(bucket, _)| bucket.clone());
        let prefixes = wanted.prefixes.iter().map(|(bucket, _)| bucket.clone());
        Asked { buckets: keys.chain(prefixes).collect(), tags: !wanted.tags.is_empty() }
    }
}

/// The way in: what `ops` tells of changes, and what tenants ask for.
pub struct Outbox {
    map: Map,
    queue: Queue,
}

impl Outbox {
    pub fn new(map: Map, queue: Queue) -> Self {
        Outbox { map, queue }
    }

    fn job(tenant: &TenantId, distribution: &Distribution, asked: Option<Asked>, items: Vec<String>) -> Result<NewJob> {
        let payload = Payload::of(VERSION, &Document { distribution: distribution.id.clone(), asked })?;
        Ok(NewJob { items, max_attempts: ATTEMPTS, ..NewJob::new(tenant.clone(), KIND, payload) })
    }
}

impl Cdn for Outbox {
    fn purge<'a>(&'a self, tenant: &'a TenantId, asked_by: Option<AccessKeyId>, wanted: Wanted) -> Pending<'a, Vec<JobId>> {
        Box::pin(async move {
            let mut items = Items::new();
            wanted.keys.iter().for_each(|(bucket, key)| self.map.key(bucket.as_str(), key.as_str(), &mut items));
            wanted.prefixes.iter().for_each(|(bucket, prefix)| self.map.prefix(bucket.as_str(), prefix, &mut items));
            wanted.tags.iter().for_each(|tag| self.map.tag(tag, &mut items));
            if items.is_empty() {
                return Err(Error::new(ErrorKind::InvalidRequest, "There is nothing to purge: no site with a CDN shows any of this."));
            }
            let asked = Asked::of(&wanted);
            let mut jobs = Vec::new();
            for (distribution, items) in items.into_values() {
                for some in items.chunks(MAX_ITEMS as usize) {
                    let job = Self::job(tenant, &distribution, Some(asked.clone()), some.to_vec())?;
                    jobs.push(self.queue.enqueue(NewJob { asked_by: asked_by.clone(), ..job }).await?.id);
                }
            }
            Ok(jobs)
        })
    }
}

impl Follower for Outbox {
    /// Whether anybody but this gateway may hold a copy of what was changed.
    fn concerns(&self, change: &Change) -> bool {
        !matches!(change.what, What::Bucket | What::Tags)
            && self.map.shows(change.bucket.as_str(), change.key.as_ref().map(ObjectKey::as_str))
    }

    fn must_hear(&self, _: &Change) -> bool {
        true
    }

    fn require_room(&self, tenant: &TenantId) -> Result<()> {
        self.queue.require_room(tenant)
    }

    /// Also where this node alone shows the change yet: it is asked as any other.
    fn follow<'a>(&'a self, change: &'a Change, _: &'a Ended) -> Pending<'a, Vec<Following>> {
        Box::pin(async move {
            let mut items = Items::new();
            match &change.key {
                Some(key) => {
                    self.map.key(change.bucket.as_str(), key.as_str(), &mut items);
                    if let Some(source) = source_of_manifest(key.as_str()) {
                        self.map.variants(change.bucket.as_str(), source, &mut items);
                    }
                }
                None => self.map.prefix(change.bucket.as_str(), "", &mut items),
            }
            let jobs = items.into_values().map(|(distribution, items)| {
                let due = Some(Timestamp::now().plus(distribution.delay));
                let job = NewJob { due, ..Self::job(&change.tenant, &distribution, None, items)? };
                Ok(Following::Job { gathers_under: distribution.id, job })
            });
            jobs.collect()
        })
    }
}

/// The work itself.
pub struct Purge {
    pub client: Arc<CloudFront>,
    pub ops: Ops,
    pub auth: Arc<Auth>,
}

impl Purge {
    /// Whether the tenant who asked may still ask for it.
    async fn decide(&self, attempt: &Attempt, asked: &Asked) -> Result<(), Fault> {
        let asker = asker(&self.auth, &attempt.job)?;
        for name in &asked.buckets {
            // What is left of a bucket that is gone is nobody's.
            let found = self.ops.bucket_for_decision(name).await.map_err(|e| Fault::retry(format!("{:?}: {}", e.kind(), e.message())))?;
            let Some(bucket) = found else { continue };
            for action in [Action::PutObject, Action::Purge] {
                self.auth.may_job_with_some_key(&asker, action, &bucket).map_err(refused)?;
            }
        }
        if asked.tags {
            self.auth.grant_for_job(&asker, Action::PurgeTags, Target::Service).map_err(refused)?;
        }
        Ok(())
    }
}

impl Kind for Purge {
    fn name(&self) -> &'static str {
        KIND
    }

    /// CloudFront works on 3,000 paths and 15 wildcards of a distribution at a time: more calls at once are only refused.
    fn at_once(&self) -> u32 {
        4
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(90)
    }

    fn backoff(&self) -> Backoff {
        Backoff { first: Duration::from_secs(2), most: Duration::from_secs(900) }
    }

    fn run<'a>(&'a self, attempt: &'a Attempt) -> Work<'a> {
        Box::pin(async move {
            let document: Document = attempt.document(VERSION)?;
            if let Some(asked) = &document.asked {
                self.decide(attempt, asked).await?;
            }
            let reference = format!("tidegate-{}", attempt.job.id);
            match self.client.invalidate(&document.distribution, &reference, &attempt.items).await {
                Ok(made) => Ok(Some(serde_json::json!({ "invalidation": made.id, "status": made.status, "items": attempt.items.len() }))),
                Err(Refused::ForNow { text, after }) => Err(Fault::Retry { reason: text, after }),
                Err(Refused::ForGood { text }) => Err(Fault::dead(text)),
            }
        })
    }
}
