//! Brings all that only the old store has, read or not: then the old store can be given up.
//!
//! Walks both listings together, so what is here already costs nothing but its line; begun again, it goes on soon. Memory: a page
//! of each.

use serde::Serialize;
use tokio::task::JoinSet;

use crate::auth::grant::{GatewayGrant, OperatorGrant};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::object::{ListEntry, ListQuery};
use crate::ops::Ops;
use crate::ops::merged::{merged, shorter};
use crate::ops::shadow::{Brought, Shadows};
use crate::queue::{JobId, NewJob, Payload};

/// The kind of the job. Its payload is the bucket's name.
pub const BACKFILL: &str = "backfill";
pub const VERSION: u16 = 1;
const PAGE: usize = 1000;
const AT_ONCE: usize = 4;
/// What failed this often is told, and stays as it is until the job is begun again.
const ATTEMPTS: u32 = 5;

#[derive(Debug, Clone, Default, Serialize)]
pub struct Walked {
    /// That were not here: to be copied, or deleted.
    pub keys: u64,
    pub copied: u64,
    pub bytes: u64,
    pub failed: u64,
    /// Of the first that failed.
    pub fault: Option<String>,
}

impl Walked {
    fn add(&mut self, key: &ObjectKey, brought: &Result<Brought>) {
        self.keys += 1;
        match brought {
            Ok(Brought::Nothing) => {}
            Ok(Brought::Copied(bytes)) => {
                self.copied += 1;
                self.bytes += bytes;
            }
            Err(e) => {
                self.failed += 1;
                self.fault.get_or_insert_with(|| format!("{key}: {:?}: {}", e.kind(), e.message()));
            }
        }
    }
}

impl Shadows {
    /// None: the bucket has no old store. Err: one of both could not be listed.
    pub async fn bring_all(&self, _: &GatewayGrant, bucket: &BucketName, told: &(dyn Fn(&Walked) + Send + Sync)) -> Result<Option<Walked>> {
        let Some(shadow) = self.0.of(bucket) else { return Ok(None) };
        let (owner, mut walked) = (self.0.owner(shadow).await?, Walked::default());
        let mut query = ListQuery { max: PAGE, ..ListQuery::default() };
        loop {
            let here = self.0.origin.reads.list(bucket, &query).await?;
            let there = shadow.old.list(&owner, &query).await?;
            let end = shorter(here.next.as_deref(), there.next.as_deref()).map(str::to_owned);
            let mut copying = JoinSet::new();
            for (entry, from) in merged(here.entries, there.entries, end.as_deref()) {
                let ListEntry::Object(object) = entry else { continue };
                if from.here {
                    continue;
                }
                if copying.len() >= AT_ONCE {
                    note(&mut walked, copying.join_next().await, told)?;
                }
                let (inner, shadow, key) = (self.0.clone(), shadow.clone(), object.key);
                copying.spawn(async move { (inner.bring_slowly(&shadow, &key).await, key) });
            }
            while let Some(ended) = copying.join_next().await {
                note(&mut walked, Some(ended), told)?;
            }
            match end {
                Some(end) => query.after = end,
                None => return Ok(Some(walked)),
            }
        }
    }
}

type Ended = std::result::Result<(Result<Brought>, ObjectKey), tokio::task::JoinError>;

fn note(walked: &mut Walked, ended: Option<Ended>, told: &(dyn Fn(&Walked) + Send + Sync)) -> Result<()> {
    if let Some(ended) = ended {
        let (brought, key) = ended.map_err(Error::internal)?;
        walked.add(&key, &brought);
        told(walked);
    }
    Ok(())
}

impl Ops {
    /// The job that brings the rest of the bucket's old store.
    pub async fn backfill(&self, _: &OperatorGrant, bucket: &str) -> Result<JobId> {
        let bucket = BucketName::parse(bucket)?;
        if self.layers.shadows.as_ref().and_then(|s| s.0.of(&bucket)).is_none() {
            return Err(Error::new(ErrorKind::NotFound, "No [[shadow]] of the configuration has that name."));
        }
        let payload = Payload::of(VERSION, &bucket)?;
        let job = NewJob { max_attempts: ATTEMPTS, ..NewJob::new(TenantId::operator(), BACKFILL, payload) };
        Ok(self.jobs.enqueue(job).await?.id)
    }
}
