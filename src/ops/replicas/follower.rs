//! What was changed is brought to each replica by jobs.
//!
//! Changes of a bucket gather in one job until it is begun, a key once. A change for which the queue has no more room goes without
//! a job: the repair scan finds it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::error::{ErrorKind, Result};
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::timestamp::Timestamp;
use crate::ops::changes::{Became, Change, Ended, Follower};
use crate::ops::replicas::{Inner, Replicas, Target, VERSION};
use crate::origin::Pending;
use crate::queue::{Following, NewJob, Payload};

/// Gathered for so long: what is written at one time goes in one job.
const GATHER: Duration = Duration::from_millis(300);
/// Of a replica that does not answer: one job in a while is enough.
const GATHER_WHILE_DOWN: Duration = Duration::from_secs(30);
/// In place of a key: the bucket's own record.
pub const BUCKET_ITSELF: &str = "";

/// The payload; the keys are the job's items.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Document {
    pub bucket: BucketName,
}

impl Follower for Replicas {
    fn concerns(&self, change: &Change) -> bool {
        self.0.targets.iter().any(|t| t.covers(&change.bucket, change.key.as_ref()))
    }

    fn must_hear(&self, _: &Change) -> bool {
        true
    }

    fn require_room(&self, _: &TenantId) -> Result<()> {
        Ok(())
    }

    fn follow<'a>(&'a self, change: &'a Change, ended: &'a Ended) -> Pending<'a, Vec<Following>> {
        Box::pin(async move { if ended.became == Became::KeptHere { Ok(Vec::new()) } else { self.0.jobs_for(change) } })
    }
}

impl Inner {
    fn jobs_for(&self, change: &Change) -> Result<Vec<Following>> {
        let Change { bucket, key, .. } = change;
        let item = key.as_ref().map_or(BUCKET_ITSELF, ObjectKey::as_str);
        let has_room = !self.queue.require_room(&TenantId::operator()).is_err_and(|e| e.kind() == ErrorKind::SlowDown);
        let mut jobs = Vec::new();
        for target in self.targets.iter().filter(|t| t.covers(bucket, key.as_ref())) {
            if has_room {
                let job = job(target, bucket, vec![item.to_owned()])?;
                jobs.push(Following::Job { gathers_under: bucket.to_string(), job });
            } else {
                target.gauges.skipped.inc();
            }
        }
        Ok(jobs)
    }

    /// For what a scan found.
    pub(super) async fn gather(&self, target: &Target, bucket: &BucketName, keys: Vec<String>) -> Result<()> {
        self.queue.gather(bucket.to_string(), job(target, bucket, keys)?).await.map(drop)
    }
}

/// In the operator's name: a replica is nothing that a tenant knows of, and takes no room of its jobs.
fn job(target: &Target, bucket: &BucketName, items: Vec<String>) -> Result<NewJob> {
    let wait = if target.breaker.is_open() { GATHER_WHILE_DOWN } else { GATHER };
    Ok(NewJob {
        items,
        due: Some(Timestamp::now().plus(wait)),
        // A replica that is away for days is waited for.
        max_attempts: u32::MAX,
        ..NewJob::new(TenantId::operator(), target.kind, Payload::of(VERSION, &Document { bucket: bucket.clone() })?)
    })
}

impl Replicas {
    /// An item of such a job.
    pub fn key_of(item: &str) -> Option<Option<ObjectKey>> {
        if item == BUCKET_ITSELF { Some(None) } else { ObjectKey::parse(item).ok().map(Some) }
    }
}
