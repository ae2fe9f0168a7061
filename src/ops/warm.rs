//! Warming: what will be asked for is read through the cache of this node beforehand, by a job.
//!
//! Invariant: who warms gets to see nothing: bytes go to the cache and nowhere else.

use std::future::poll_fn;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::auth::action::Action;
use crate::auth::grant::Grant;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::SharedObject;
use crate::base::range::ByteRange;
use crate::cache::Cache;
use crate::ops::{Ops, object};
use crate::origin::{Body, Freshness, Origin, ReadBy};
use crate::queue::{JobId, NewJob, Payload};

pub const KIND: &str = "warm";
pub const VERSION: u16 = 1;
/// Read at once: a request of the cache to the upstream.
const STEP_BYTES: u64 = 8 << 20;

/// Of a job. Its items are keys, with a `k` before each, and prefixes, with a `p`.
#[derive(Serialize, Deserialize)]
pub struct Document {
    pub bucket: BucketName,
}

/// What became of one key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Warmed {
    /// Of the object. None: there is none.
    pub size: Option<u64>,
    /// That had to be read.
    pub read: u64,
}

/// Reads through the cache, for jobs.
pub struct Warmer {
    pub origin: Arc<dyn Origin>,
    pub cache: Cache,
}

impl Ops {
    /// `keys` and `prefixes` (grants for the key `PREFIX*`) are of one bucket.
    pub async fn warm(&self, keys: &[Grant], prefixes: &[Grant]) -> Result<JobId> {
        if self.cache.is_none() {
            let text = "There is nothing to warm: this gateway keeps its objects itself.";
            return Err(Error::new(ErrorKind::InvalidRequest, text));
        }
        let mut items = Vec::with_capacity(keys.len() + prefixes.len());
        let mut of = None;
        for grant in keys.iter().chain(prefixes) {
            let (bucket, key) = object(grant, &[Action::Warm])?;
            if of.get_or_insert((grant.tenant(), bucket)).1 != bucket {
                return Err(Error::internal("a job for two buckets"));
            }
            items.push(key);
        }
        let (tenant, bucket) = of.ok_or_else(|| Error::new(ErrorKind::InvalidRequest, "Name keys or prefixes."))?;
        let (keys, patterns) = items.split_at(keys.len());
        let keys = keys.iter().map(|key| format!("k{key}"));
        let prefixes = patterns.iter().map(|pattern| format!("p{}", pattern.as_str().strip_suffix('*').unwrap_or(pattern.as_str())));
        let payload = Payload::of(VERSION, &Document { bucket: bucket.clone() })?;
        let job = NewJob { items: keys.chain(prefixes).collect(), ..NewJob::new(tenant.clone(), KIND, payload) };
        Ok(self.jobs.enqueue(job).await?.id)
    }
}

impl Warmer {
    /// Every block of what the key is now is in the cache afterwards, as far as there is room. `told` hears of each step.
    pub async fn object(&self, bucket: &BucketName, key: &ObjectKey, told: &(dyn Fn() + Sync)) -> Result<Warmed> {
        let mut read = 0;
        // It may be replaced while it is read, and then the new one is wanted. A key that changes all the time is left alone.
        for _ in 0..3 {
            let Some(info) = self.origin.stat(bucket, key, Freshness::Current).await? else { return Ok(Warmed { size: None, read }) };
            if self.version(bucket, key, &info, &mut read, told).await? {
                return Ok(Warmed { size: Some(info.size), read });
            }
        }
        Ok(Warmed { size: None, read })
    }

    /// False: this version is gone.
    async fn version(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        info: &SharedObject,
        read: &mut u64,
        told: &(dyn Fn() + Sync),
    ) -> Result<bool> {
        let version = self.cache.version(bucket, key, info);
        let mut start = 0;
        while start < info.size {
            let end = (start + STEP_BYTES.max(version.block_bytes)).min(info.size);
            let is_here = (start..end).step_by(version.block_bytes as usize).all(|offset| self.cache.has(&version, offset));
            if !is_here {
                let range = ByteRange { start, end };
                let Some(body) = self.origin.open(bucket, key, info, range, ReadBy::UserSpace).await? else { return Ok(false) };
                drain(body).await?;
                *read += end - start;
            }
            told();
            start = end;
        }
        Ok(true)
    }
}

async fn drain(body: Body) -> Result<()> {
    let Body::Stream(mut source) = body else { return Ok(()) };
    while let Some(piece) = poll_fn(|cx| source.as_mut().poll_next(cx)).await {
        piece?;
    }
    Ok(())
}
