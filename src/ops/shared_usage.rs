//! Usage of several nodes over one bucket: each keeps its own, tells the others by records in the bucket, and reports what all of
//! them used.
//!
//! A record holds whole totals of one node's day, so it may be written again and again. Hours are not shared. A node that is lost has told
//! all but its last minute.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use crate::base::error::{Error, Result};
use crate::base::timestamp::Timestamp;
use crate::ops::shared_upkeep::SharedUpkeep;
use crate::usage::Usage;
use crate::usage::period::{self, Month};
use crate::usage::report::egress;

pub const SHARE_EVERY: Duration = Duration::from_secs(60);
/// A start tells once more what the process before may not have told.
const FIRST_DAYS: u32 = 35;

/// Cheap to clone.
#[derive(Clone)]
pub struct SharedUsage(Arc<Inner>);

struct Inner {
    bucket: SharedUpkeep,
    node: String,
    usage: Usage,
    told: Mutex<Told>,
    heard: Mutex<Heard>,
}

/// Records of others of this month: their ETag, and what went out by them, by tenant.
type Heard = HashMap<String, (String, HashMap<String, u64>)>;

#[derive(Default)]
struct Told {
    /// None: nothing yet.
    until: Option<u32>,
    /// Hashes of records as they were written last.
    records: HashMap<String, u64>,
}

impl SharedUsage {
    pub fn new(bucket: SharedUpkeep, node: String, usage: Usage) -> Self {
        SharedUsage(Arc::new(Inner { bucket, node, usage, told: Mutex::default(), heard: Mutex::default() }))
    }

    /// Tells the others what this node used, where that has changed.
    pub async fn share(&self, now: Timestamp) -> Result<()> {
        let inner = &self.0;
        let mut told = inner.told.lock().await;
        let today = period::day(now);
        let since = told.until.map_or(today.saturating_sub(FIRST_DAYS), |until| until.min(today).saturating_sub(1));
        let usage = inner.usage.clone();
        let days = spawn_blocking(move || usage.days_since(since)).await.map_err(Error::internal)??;
        for (day, number, record) in days {
            let name = format!("{day:05}-{}-{number:03}", inner.node);
            let mut hasher = DefaultHasher::new();
            record.hash(&mut hasher);
            if told.records.get(&name) == Some(&hasher.finish()) {
                continue;
            }
            inner.bucket.put_usage(&Month::of_day(day).to_string(), &name, &record).await?;
            told.records.insert(name, hasher.finish());
        }
        told.records.retain(|name, _| name.as_str() >= format!("{since:05}").as_str());
        told.until = Some(today);
        Ok(())
    }

    /// What the other nodes sent this month, as they told it: limits of egress are held against that too.
    pub async fn hear(&self, now: Timestamp) -> Result<()> {
        let inner = &self.0;
        let mut heard = inner.heard.lock().await;
        let month = Month::of_day(period::day(now));
        let own = format!("-{}-", inner.node);
        let mut all = HashMap::new();
        for (name, etag) in inner.bucket.usage_names(&month.to_string()).await? {
            if name.contains(&own) {
                continue;
            }
            let known = heard.remove(&name).filter(|(of, _)| *of == etag && !etag.is_empty());
            let sums = match known {
                Some((_, sums)) => sums,
                None => match inner.bucket.usage_record(&month.to_string(), &name).await? {
                    Some(record) => egress(&record)?,
                    None => continue,
                },
            };
            all.insert(name, (etag, sums));
        }
        let mut sums: HashMap<String, u64> = HashMap::new();
        for (tenant, bytes) in all.values().flat_map(|(_, sums)| sums) {
            *sums.entry(tenant.clone()).or_default() += bytes;
        }
        inner.usage.set_egress_elsewhere(month, sums);
        *heard = all;
        Ok(())
    }

    /// What the other nodes told of a month, but for one record.
    pub async fn of_others(&self, month: Month, but: Option<String>) -> Result<Vec<Vec<u8>>> {
        let own = format!("-{}-", self.0.node);
        self.0.bucket.usage(&month.to_string(), move |name| !name.contains(&own) && but.as_deref() != Some(name)).await
    }
}
