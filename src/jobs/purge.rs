//! The purge outbox: what changed on a site with a CDN is told to the CDN, however often that takes.
//!
//! One job is one invalidation of one distribution; its items are the paths, wildcards and tags. Changes gather in the job
//! that waits for its time, which costs one write for each new path and none for a path that is there already.
//! Begun again after a crash it is the same call: the job's id is its CallerReference, and its items were fixed when it was
//! first claimed, so CloudFront answers the invalidation that it made the first time.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::timestamp::Timestamp;
use crate::cdn::paths::Items;
use crate::cdn::{CloudFront, Distribution, Map, Refused};
use crate::ops::cdn::{Cdn, Wanted};
use crate::origin::Pending;
use crate::queue::job::MAX_ITEMS;
use crate::queue::kind::{Backoff, Work};
use crate::queue::{Attempt, Fault, JobId, Kind, NewJob, Payload, Queue};

pub const KIND: &str = "purge";
const VERSION: u16 = 1;
/// With the waits of `backoff` that is a day of a CDN that can't be reached.
const ATTEMPTS: u32 = 100;

#[derive(Serialize, Deserialize)]
struct Document {
    distribution: String,
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

    fn job(tenant: &TenantId, distribution: &Distribution, items: Vec<String>) -> Result<NewJob> {
        let payload = Payload::of(VERSION, &Document { distribution: distribution.id.clone() })?;
        Ok(NewJob { items, max_attempts: ATTEMPTS, ..NewJob::new(tenant.clone(), KIND, payload) })
    }
}

impl Cdn for Outbox {
    fn shows(&self, bucket: &BucketName, key: Option<&ObjectKey>) -> bool {
        self.map.shows(bucket.as_str(), key.map(ObjectKey::as_str))
    }

    fn require_room(&self, tenant: &TenantId) -> Result<()> {
        self.queue.require_room(tenant)
    }

    fn changed<'a>(&'a self, tenant: &'a TenantId, bucket: &'a BucketName, key: Option<&'a ObjectKey>) -> Pending<'a, ()> {
        Box::pin(async move {
            let mut items = Items::new();
            match key {
                Some(key) => self.map.key(bucket.as_str(), key.as_str(), &mut items),
                None => self.map.prefix(bucket.as_str(), "", &mut items),
            }
            for (distribution, items) in items.into_values() {
                let due = Timestamp::now().plus(distribution.delay);
                let job = NewJob { due: Some(due), ..Self::job(tenant, &distribution, items)? };
                self.queue.gather(distribution.id, job).await?;
            }
            Ok(())
        })
    }

    fn purge<'a>(&'a self, tenant: &'a TenantId, wanted: Wanted) -> Pending<'a, Vec<JobId>> {
        Box::pin(async move {
            let mut items = Items::new();
            wanted.keys.iter().for_each(|(bucket, key)| self.map.key(bucket.as_str(), key.as_str(), &mut items));
            wanted.prefixes.iter().for_each(|(bucket, prefix)| self.map.prefix(bucket.as_str(), prefix, &mut items));
            wanted.tags.iter().for_each(|tag| self.map.tag(tag, &mut items));
            if items.is_empty() {
                return Err(Error::new(ErrorKind::InvalidRequest, "There is nothing to purge: no site with a CDN shows any of this."));
            }
            let mut jobs = Vec::new();
            for (distribution, items) in items.into_values() {
                for some in items.chunks(MAX_ITEMS as usize) {
                    jobs.push(self.queue.enqueue(Self::job(tenant, &distribution, some.to_vec())?).await?.id);
                }
            }
            Ok(jobs)
        })
    }
}

/// The work itself.
pub struct Purge(pub Arc<CloudFront>);

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
            let reference = format!("tidegate-{}", attempt.job.id);
            match self.0.invalidate(&document.distribution, &reference, &attempt.items).await {
                Ok(made) => Ok(Some(serde_json::json!({ "invalidation": made.id, "status": made.status, "items": attempt.items.len() }))),
                Err(Refused::ForNow { text, after }) => Err(Fault::Retry { reason: text, after }),
                Err(Refused::ForGood { text }) => Err(Fault::dead(text)),
            }
        })
    }
}
