//! A run by the store's index of what is due: a page of keys, each judged, and their rows taken away.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use sha2::{Digest, Sha256};
use tokio::task::JoinSet;

use crate::base::error::{Error, Result};
use crate::base::timestamp::Timestamp;
use crate::ops::lifecycle::judge::Ruled;
use crate::ops::lifecycle::{AT_ONCE, Run, SPACE, Told};
use crate::origin::{DueIndex, DueKey};

const PAGE: usize = 1000;
/// Rows that one step of a look through a marked bucket reads.
const STEP: usize = 2000;
/// The rules of gateway.toml that the index was made by, as a hash.
const CONFIGURED: &str = "configured";
/// Keys that a dry run remembers, so that one with several rows counts once. Beyond, it may count some twice.
const MAX_REMEMBERED: usize = 1_000_000;

impl Run {
    pub(super) async fn by_index(&self, index: &dyn DueIndex, told: Told<'_>) -> Result<()> {
        self.take_up_configuration(index).await?;
        while index.look_through(STEP).await? {
            self.tell(told);
        }
        let mut seen = Seen::default();
        let mut after = Vec::new();
        loop {
            let page = index.due(self.how.now, &after, PAGE).await?;
            let (more, last) = (page.more, page.last);
            let keys: Vec<DueKey> = page.keys.into_iter().filter(|key| !self.how.dry_run || seen.is_new(key)).collect();
            self.tally().report.looked_at += keys.len() as u64;
            let looked = self.look_at_all(keys).await;
            if !self.how.dry_run && !looked.is_empty() {
                index.looked_at(looked).await?;
            }
            self.tell(told);
            if !more {
                return Ok(());
            }
            after = last;
        }
    }

    /// Other rules in gateway.toml, or another length of a day, and every bucket is looked through.
    async fn take_up_configuration(&self, index: &dyn DueIndex) -> Result<()> {
        let lifecycles = self.ops.lifecycles();
        let now = hex::encode(Sha256::digest(format!("{:?} {:?}", lifecycles.day, lifecycles.configured())));
        let settings = &self.ops.origin.settings;
        let stored = settings.settings(SPACE).await?;
        let before = stored.iter().find(|(name, _)| name == CONFIGURED).map(|(_, hash)| hash.as_slice());
        if before == Some(now.as_bytes()) {
            return Ok(());
        }
        index.mark_all().await?;
        settings.set_setting(SPACE, CONFIGURED, Some(now.into_bytes())).await
    }

    /// Those that were judged, each with when it is to be looked at again. The others keep their rows.
    async fn look_at_all(&self, keys: Vec<DueKey>) -> Vec<(DueKey, Option<Timestamp>)> {
        let (mut looked, mut running) = (Vec::with_capacity(keys.len()), JoinSet::new());
        let mut keys = keys.into_iter();
        loop {
            while running.len() < AT_ONCE
                && let Some(key) = keys.next()
            {
                let run = self.clone();
                running.spawn(async move { (run.look_at(&key).await, key) });
            }
            match running.join_next().await {
                None => return looked,
                Some(Ok((Ok(again), key))) => looked.push((key, again)),
                Some(Ok((Err(e), key))) => self.fault(&key, &e),
                Some(Err(e)) => self.tally().fault(e.to_string()),
            }
        }
    }

    fn fault(&self, key: &DueKey, e: &Error) {
        tracing::warn!(bucket = %key.bucket, key = %key.key, error = %e, "a key that is due could not be looked at");
        self.tally().fault(format!("{}: {:?}: {}", key.bucket, e.kind(), e.message()));
    }

    async fn look_at(&self, key: &DueKey) -> Result<Option<Timestamp>> {
        let Some(bucket) = self.ops.origin.buckets.bucket(&key.bucket).await? else { return Ok(None) };
        match Ruled::of(&self.ops, bucket) {
            Some(ruled) => self.judge_key(&ruled, &key.key).await,
            None => Ok(None),
        }
    }
}

/// Keys by a hash: two that share one and are both due are counted as one, which a dry run may.
#[derive(Default)]
struct Seen {
    hashes: HashSet<u64>,
    by: RandomState,
}

impl Seen {
    fn is_new(&mut self, key: &DueKey) -> bool {
        self.hashes.len() >= MAX_REMEMBERED || self.hashes.insert(self.by.hash_one((&key.bucket, &key.key)))
    }
}
