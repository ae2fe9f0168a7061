//! What a write is about to change, recorded for each replica before the write begins.
//!
//! Intents of a bucket gather in one job until it is begun, a key once: a key that is written again and again costs one record.
//! A write that has more to do than the queue may hold goes on without: the repair scan finds what it changed.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::timestamp::Timestamp;
use crate::ops::replicas::{Inner, Replicas, Target, VERSION};
use crate::queue::{NewJob, Payload};

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

impl Inner {
    pub(super) fn is_replicated(&self, bucket: &BucketName, key: Option<&ObjectKey>) -> bool {
        self.targets.iter().any(|t| t.covers(bucket, key))
    }

    /// Ok: it is durable that the key, or the bucket's record, will be looked at for every replica that gets it.
    pub(super) async fn intend(&self, bucket: &BucketName, key: Option<&ObjectKey>) -> Result<()> {
        let item = key.map_or(BUCKET_ITSELF, ObjectKey::as_str);
        let mut recording = JoinSet::new();
        for target in self.targets.iter().filter(|t| t.covers(bucket, key)) {
            if self.queue.require_room(&TenantId::operator()).is_err_and(|e| e.kind() == ErrorKind::SlowDown) {
                target.gauges.skipped.inc();
                continue;
            }
            let (queue, name, job) = (self.queue.clone(), bucket.to_string(), intent(target, bucket, vec![item.to_owned()])?);
            recording.spawn(async move { queue.gather(name, job).await });
        }
        while let Some(recorded) = recording.join_next().await {
            recorded.map_err(Error::internal)??;
        }
        Ok(())
    }

    /// What a scan found.
    pub(super) async fn intend_all(&self, target: &Target, bucket: &BucketName, keys: Vec<String>) -> Result<()> {
        self.queue.gather(bucket.to_string(), intent(target, bucket, keys)?).await.map(drop)
    }
}

/// In the operator's name: a replica is nothing that a tenant knows of, and takes no room of its jobs.
fn intent(target: &Target, bucket: &BucketName, items: Vec<String>) -> Result<NewJob> {
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
