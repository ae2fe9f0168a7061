//! The buckets in which something was made: elsewhere a write costs nothing, and no job looks for results.
//!
//! A setting of the gateway for each, written before the first manifest of a bucket counts, and never taken away. Other nodes in front of
//! the same S3 learn of it within `FRESH`.

use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::base::error::Result;
use crate::base::names::BucketName;
use crate::origin::Origin;

const SPACE: &str = "renditions";
const FRESH: Duration = Duration::from_secs(60);

pub struct Noted {
    origin: Origin,
    /// Other nodes note buckets, too.
    is_shared: bool,
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    buckets: HashSet<BucketName>,
    /// None: nobody did yet.
    looked: Option<Instant>,
}

impl Noted {
    pub fn new(origin: Origin, is_shared: bool) -> Self {
        Noted { origin, is_shared, known: RwLock::default() }
    }

    pub async fn load(&self) -> Result<()> {
        let at = Instant::now();
        let stored = self.origin.settings.settings(SPACE).await?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.buckets.extend(stored.iter().filter_map(|(name, _)| BucketName::parse(name).ok()));
        known.looked = Some(at);
        Ok(())
    }

    /// As far as it is known without asking anybody.
    pub fn may_hold(&self, bucket: &BucketName) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.looked.is_none() || known.buckets.contains(bucket)
    }

    /// Where nobody can be asked it may hold some.
    pub async fn holds(&self, bucket: &BucketName) -> bool {
        let is_fresh = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            known.buckets.contains(bucket) || known.looked.is_some_and(|at| !self.is_shared || at.elapsed() < FRESH)
        };
        if !is_fresh && let Err(e) = self.load().await {
            tracing::debug!(error = %e, "nobody can tell which buckets have renditions");
            return true;
        }
        self.may_hold(bucket)
    }

    pub async fn note(&self, bucket: &BucketName) -> Result<()> {
        if self.is_noted(bucket) {
            return Ok(());
        }
        self.origin.settings.set_setting(SPACE, bucket.as_str(), Some(b"1".to_vec())).await?;
        self.known.write().unwrap_or_else(PoisonError::into_inner).buckets.insert(bucket.clone());
        Ok(())
    }

    pub fn is_noted(&self, bucket: &BucketName) -> bool {
        self.known.read().unwrap_or_else(PoisonError::into_inner).buckets.contains(bucket)
    }
}
