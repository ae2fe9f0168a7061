//! Warming: what will be asked for is read through the cache of this node beforehand, by a job.
//!
//! Invariant: who warms gets to see nothing: bytes go to the cache and nowhere else.

use std::future::poll_fn;

use serde::{Deserialize, Serialize};

use crate::auth::action::Action;
use crate::auth::grant::Grant;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{AccessKeyId, BucketName};
use crate::base::object::{ListPage, ListQuery, SharedObject};
use crate::base::object_ref::ObjectRef;
use crate::base::range::ByteRange;
use crate::cache::Cache;
use crate::ops::{Ops, object};
use crate::origin::{Body, ReadBy};
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

impl Ops {
    /// `keys` and `prefixes` (grants for the key `PREFIX*`) are of one bucket. `asked_by`: the access key of whoever asks.
    pub async fn warm(&self, keys: &[Grant], prefixes: &[Grant], asked_by: Option<AccessKeyId>) -> Result<JobId> {
        self.warmed_cache()?;
        let mut items = Vec::with_capacity(keys.len() + prefixes.len());
        let mut of = None;
        for grant in keys.iter().chain(prefixes) {
            let ObjectRef { bucket, key, .. } = object(grant, &[Action::Warm])?;
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
        let job = NewJob { items: keys.chain(prefixes).collect(), asked_by, ..NewJob::new(tenant.clone(), KIND, payload) };
        Ok(self.jobs.enqueue(job).await?.id)
    }

    fn warmed_cache(&self) -> Result<&Cache> {
        let text = "There is nothing to warm: this gateway keeps its objects itself.";
        self.layers.cache.as_ref().ok_or_else(|| Error::new(ErrorKind::InvalidRequest, text))
    }

    /// Bytes that a job may bring into the cache.
    pub fn room_to_warm(&self) -> Result<u64> {
        Ok(self.warmed_cache()?.room())
    }

    /// What is there under the prefix of a grant for the key `PREFIX*`, after `after`. For a job: who asked for that sees none of it.
    pub async fn list_to_warm(&self, grant: &Grant, after: String, max: usize) -> Result<ListPage> {
        let ObjectRef { bucket, key: pattern, .. } = object(grant, &[Action::Warm])?;
        let prefix = pattern.as_str().strip_suffix('*').ok_or_else(|| Error::internal("a prefix without its star"))?;
        self.origin.reads.list(bucket, &ListQuery { prefix: prefix.to_owned(), after, max, ..ListQuery::default() }).await
    }

    /// Every block of this version is in the cache afterwards, as far as there is room. `told` hears of each step, and of how many
    /// bytes had to be read for it. False: the version is gone.
    pub async fn warm_version(&self, grant: &Grant, info: &SharedObject, told: &(dyn Fn(u64) + Sync)) -> Result<bool> {
        let of = object(grant, &[Action::GetObject])?;
        let cache = self.warmed_cache()?;
        let version = cache.version(of, info);
        let mut start = 0;
        while start < info.size {
            let end = (start + STEP_BYTES.max(version.block_bytes)).min(info.size);
            let is_here = (start..end).step_by(version.block_bytes as usize).all(|offset| cache.has(&version, offset));
            if !is_here {
                let range = ByteRange { start, end };
                let Some(body) = self.origin.reads.open(of, info, range, ReadBy::UserSpace).await? else { return Ok(false) };
                drain(body).await?;
            }
            told(if is_here { 0 } else { end - start });
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
