//! When objects are read, for rules that let go what nobody reads (`unread_days`).
//!
//! A read costs one look into a set of hashes: the first of a key in a day is noted, and the rest of them change nothing. Once a second
//! what is new is kept by the store (`LastReads`). Called by the door for every answered read, by copies, and by the run that judges.
//! Not here: what a rule means (`base::lifecycle`), how it is kept (`local/last_reads`).
//!
//! Invariant: nothing goes too early. A read counts until the end of its day. What is not known counts as read when this began to be noted;
//! and it begins anew where it is not certain that all was noted: rules that were away, a day that nobody noted anything in (a
//! backup that was brought back, a program that knew no such rules), more reads at once than are remembered.
//! Limits: keys that wait (`MAX_WAITING`), hashes (`MAX_SEEN`). A process that is killed loses its last second.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::MissedTickBehavior;

use crate::base::error::{Error, Result};
use crate::base::lifecycle::ready::Lifecycles;
use crate::base::names::{BucketName, ObjectKey};
use crate::base::timestamp::Timestamp;
use crate::ops::Ops;
use crate::ops::lifecycle::SPACE;
use crate::origin::{LastReads, Origin, OwnSettings};

/// In the gateway's own settings: since when reads are noted, and until when they were.
const NOTED: &str = "reads-noted";
const KEEP_EVERY: Duration = Duration::from_secs(1);
/// A day has so many signs that reads are noted.
const SIGNS_A_DAY: u32 = 24;
const SHARDS: usize = 64;
/// Of one shard: 16 MiB in all.
const MAX_SEEN: usize = 16 * 1024;
const MAX_WAITING: usize = 200_000;
/// Rows that one step of forgetting reads.
const STEP: usize = 2000;

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct NotedSpan {
    /// Milliseconds, both.
    since: u64,
    until: u64,
}

type Reads = HashMap<(BucketName, ObjectKey), Timestamp>;

pub struct ReadLog {
    lifecycles: Arc<Lifecycles>,
    kept: Arc<dyn LastReads>,
    settings: Arc<dyn OwnSettings>,
    by: RandomState,
    seen: [Mutex<Seen>; SHARDS],
    waiting: Mutex<Waiting>,
    /// Held while something is kept.
    turn: tokio::sync::Mutex<()>,
}

/// What was noted of a day already, by hashes that nobody can foresee.
#[derive(Default)]
struct Seen {
    day: Timestamp,
    hashes: HashSet<u64>,
}

/// What is not durable yet.
struct Waiting {
    reads: Reads,
    since: Timestamp,
    /// There was no room for a read: nothing is certain any more.
    lost: bool,
}

impl ReadLog {
    /// None: no rule asks for reads, and what was known of them is forgotten.
    pub async fn start(origin: &Origin, lifecycles: &Arc<Lifecycles>, now: Timestamp) -> Result<Option<Arc<Self>>> {
        let stored = origin.settings.settings(SPACE).await?;
        let before = stored.iter().find(|(name, _)| name == NOTED).map(|(_, document)| document);
        if lifecycles.unread_days().is_none() {
            if let (Some(_), Some(kept)) = (before, &origin.last_reads) {
                forget(&**kept, Timestamp::from_millis(u64::MAX)).await?;
                origin.settings.set_setting(SPACE, NOTED, None).await?;
            }
            return Ok(None);
        }
        let kept = origin.last_reads.clone().ok_or_else(|| Error::internal("the store keeps nothing of reads, and rules ask for them"))?;
        // What can't be read says nothing.
        let before = before.and_then(|document| serde_json::from_slice::<NotedSpan>(document).ok());
        let day = lifecycles.day.length().as_millis() as u64;
        let since = before.filter(|span| now.millis() < span.until.saturating_add(day)).map_or(now, |s| Timestamp::from_millis(s.since));
        let waiting = Mutex::new(Waiting { reads: Reads::default(), since, lost: false });
        let (lifecycles, settings) = (lifecycles.clone(), origin.settings.clone());
        let seen = std::array::from_fn(|_| Mutex::default());
        let log = ReadLog { lifecycles, kept, settings, by: RandomState::new(), seen, waiting, turn: Default::default() };
        log.sign(now).await?;
        Ok(Some(Arc::new(log)))
    }

    pub fn note(&self, bucket: &BucketName, key: &ObjectKey, now: Timestamp) {
        let until = self.lifecycles.day.end_of(now);
        let hash = self.by.hash_one((bucket, key));
        let shard = self.seen.get(hash as usize % SHARDS);
        if shard.is_some_and(|shard| !locked(shard).is_new(hash, until)) || !self.lifecycles.asks_for_reads_of(bucket, key) {
            return;
        }
        let mut waiting = locked(&self.waiting);
        if waiting.reads.len() >= MAX_WAITING {
            waiting.lost = true;
        } else {
            waiting.reads.insert((bucket.clone(), key.clone()), until);
        }
    }

    /// Until when the object may have been read.
    async fn last(&self, bucket: &BucketName, key: &ObjectKey) -> Result<Timestamp> {
        let kept = self.kept.last_read(bucket, key).await?;
        // Only then: what waits is taken away when it is kept, and never before.
        let waiting = locked(&self.waiting);
        if waiting.lost {
            return Ok(Timestamp::now());
        }
        let waits = waiting.reads.get(&(bucket.clone(), key.clone())).copied();
        Ok(waiting.since.max(kept.unwrap_or_default()).max(waits.unwrap_or_default()))
    }

    /// What was noted is durable then.
    pub async fn keep(&self, now: Timestamp) -> Result<()> {
        let _turn = self.turn.lock().await;
        let (lost, reads) = {
            let waiting = locked(&self.waiting);
            let reads: Vec<_> = waiting.reads.iter().map(|((bucket, key), until)| (bucket.clone(), key.clone(), *until)).collect();
            (waiting.lost, reads)
        };
        if lost {
            tracing::warn!("more objects were read at once than could be noted: rules with unread_days count from now");
            self.begin_anew(now).await?;
        }
        if reads.is_empty() {
            return Ok(());
        }
        self.kept.keep_reads(reads.clone()).await?;
        let mut waiting = locked(&self.waiting);
        for (bucket, key, until) in reads {
            let of = (bucket, key);
            if waiting.reads.get(&of) == Some(&until) {
                waiting.reads.remove(&of);
            }
        }
        Ok(())
    }

    /// What was noted is durable, and that it was all up to now.
    pub async fn end(&self, now: Timestamp) -> Result<()> {
        self.keep(now).await?;
        self.sign(now).await
    }

    async fn begin_anew(&self, now: Timestamp) -> Result<()> {
        locked(&self.waiting).since = now;
        self.sign(now).await?;
        locked(&self.waiting).lost = false;
        Ok(())
    }

    /// Reads are noted up to now.
    async fn sign(&self, now: Timestamp) -> Result<()> {
        let span = NotedSpan { since: locked(&self.waiting).since.millis(), until: now.millis() };
        let document = serde_json::to_vec(&span).map_err(Error::internal)?;
        self.settings.set_setting(SPACE, NOTED, Some(document)).await
    }

    /// What was read so long ago that every rule would let it go is as if it was never read.
    async fn forget_old(&self, now: Timestamp) -> Result<()> {
        let days = self.lifecycles.unread_days().unwrap_or_default();
        let kept = self.lifecycles.day.length().saturating_mul(days.saturating_add(1)).as_millis() as u64;
        forget(&*self.kept, Timestamp::from_millis(now.millis().saturating_sub(kept))).await
    }

    /// Runs until it is aborted.
    pub async fn run(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(KEEP_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let day = self.lifecycles.day;
        let (mut signed, mut today) = (Timestamp::now(), Timestamp::default());
        loop {
            ticks.tick().await;
            let now = Timestamp::now();
            let kept = async {
                self.keep(now).await?;
                if now >= signed.plus(day.length() / SIGNS_A_DAY) {
                    self.sign(now).await?;
                    signed = now;
                }
                if day.end_of(now) != today {
                    self.forget_old(now).await?;
                    today = day.end_of(now);
                }
                Ok::<_, Error>(())
            };
            if let Err(e) = kept.await {
                tracing::warn!(error = %e, "what was read could not be noted durably; it is tried again");
            }
        }
    }
}

async fn forget(kept: &dyn LastReads, before: Timestamp) -> Result<()> {
    let mut after = Vec::new();
    while let Some(next) = kept.forget_reads(before, &after, STEP).await? {
        after = next;
    }
    Ok(())
}

impl Seen {
    fn is_new(&mut self, hash: u64, day: Timestamp) -> bool {
        if self.day != day || self.hashes.len() >= MAX_SEEN {
            self.hashes.clear();
            self.day = day;
        }
        self.hashes.insert(hash)
    }
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ops {
    pub fn with_read_log(self, read_log: Option<Arc<ReadLog>>) -> Self {
        Ops { read_log, ..self }
    }

    /// Somebody read the object: costs nothing where no rule asks for it.
    pub fn note_read(&self, bucket: &BucketName, key: &ObjectKey) {
        if let Some(log) = &self.read_log {
            log.note(bucket, key, Timestamp::now());
        }
    }

    /// For a rule that asks for it: what is not noted is read all the time.
    pub(super) async fn last_read(&self, bucket: &BucketName, key: &ObjectKey) -> Result<Timestamp> {
        match &self.read_log {
            Some(log) => log.last(bucket, key).await,
            None => Ok(Timestamp::now()),
        }
    }

    /// Before the end: a start in a while need not begin anew.
    pub async fn end_of_reads(&self) -> Result<()> {
        let Some(log) = &self.read_log else { return Ok(()) };
        log.end(Timestamp::now()).await
    }
}
