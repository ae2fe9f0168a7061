//! What follows from a write: every write of the gateway is carried out here, and whoever must hear of it is a `Follower`.
//!
//! 1. The change is on record before its write begins, where a follower must hear of it whatever happens.
//! 2. The write runs to its end, also if its client goes away.
//! 3. Each follower does what must be done before the answer, and names the jobs and letters that do the rest at their own pace.
//! 4. One command takes the record away and makes these. Then the write is answered.
//!
//! Invariants: a change that may have happened is followed, though the process ends anywhere in between: the next start finds
//! its record, and followers are told that nobody knows what became of it. Its jobs are made once.
//! Not here: the records (`queue::changes`), the followers (`jobs::purge`, `jobs::peers`, `ops::replicas`, `ops::events`). Built by `app`.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::auth::grant::Grant;
use crate::base::error::{Error, Result, Side};
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::object::{Layer, SharedBucket, SharedObject};
use crate::net::drain::Tracker;
use crate::ops::Ops;
use crate::ops::deed::{Act, Deed, Made};
use crate::ops::keyed::{Held, Keyed};
use crate::origin::{Deleted, Pending, Written};
use crate::queue::{ChangeId, Following, Payload, Queue};

const VERSION: u16 = 1;
/// What follows from a change could not be recorded (a full disk): until it is tried again.
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// In whose name it is made.
    pub tenant: TenantId,
    pub bucket: BucketName,
    /// None: the bucket itself.
    pub key: Option<ObjectKey>,
    pub what: What,
    /// What is told of it to the outside. Absent: nothing, or it was told before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deed: Option<Deed>,
    /// The bucket as the writer saw it. Not on record.
    #[serde(skip)]
    pub seen: Option<SharedBucket>,
}

/// How a change ended.
#[derive(Debug, Clone)]
pub struct Ended {
    pub became: Became,
    pub made: Made,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// Of an object.
    Content,
    /// Who may read it: an ACL, or a bucket's policy.
    Rights,
    /// The tags of an object. What a policy opens by them is never an answer that a shared cache may keep.
    Tags,
    /// A bucket is made, deleted, or has another document that is about no rights.
    Bucket,
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Became {
    Stored,
    /// This node shows it; it waits to be stored upstream, which will be a change of its own.
    KeptHere,
    /// It was refused.
    Nothing,
    /// It failed, or the process ended: it may have happened.
    Unknown,
}

/// What a write answers says what became of it.
pub trait Outcome {
    fn became(&self) -> Became;

    fn made(&self) -> Made {
        Made::Nothing
    }
}

impl Outcome for () {
    fn became(&self) -> Became {
        Became::Stored
    }
}

/// Also for a delete that still waits to be stored upstream: followers then look there once for nothing, which does no harm.
impl Outcome for Deleted {
    fn became(&self) -> Became {
        Became::Stored
    }

    fn made(&self) -> Made {
        Made::Gone(self.clone())
    }
}

impl Outcome for SharedBucket {
    fn became(&self) -> Became {
        Became::Stored
    }
}

impl Outcome for SharedObject {
    fn became(&self) -> Became {
        match self.layer {
            Layer::WriteBack => Became::KeptHere,
            Layer::Store | Layer::Replica(_) | Layer::Old => Became::Stored,
        }
    }

    fn made(&self) -> Made {
        Made::Object(self.clone())
    }
}

impl Outcome for Written {
    fn became(&self) -> Became {
        self.object.became()
    }

    fn made(&self) -> Made {
        self.object.made()
    }
}

/// Hears of every change of an object or a bucket that `ops` makes. Not of uploads before they are completed, of restores, and of copies
/// from old stores, which change nothing that is shown. What is written back comes twice: `KeptHere`, then `Stored`.
pub trait Follower: Send + Sync + 'static {
    fn concerns(&self, change: &Change) -> bool;

    /// Whether it must hear of a change also where the process ends before it could. That costs each write a record.
    fn must_hear(&self, change: &Change) -> bool;

    /// Whether it must hear of the changes of a key in the order in which they are made: one then waits for the other.
    fn in_order(&self) -> bool {
        false
    }

    /// Asked before the write. Err: it is refused.
    fn require_room(&self, tenant: &TenantId) -> Result<()>;

    /// Does what must be done before the write is answered. The rest is left to the jobs. Never told of what became nothing.
    fn follow<'a>(&'a self, change: &'a Change, ended: &'a Ended) -> Pending<'a, Vec<Following>>;
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Changes(Arc<Inner>);

struct Inner {
    followers: Vec<Arc<dyn Follower>>,
    queue: Queue,
    /// The stop waits for what it tracks.
    tracker: Tracker,
    /// Keys whose changes are followed in order.
    keys: Keyed,
}

impl Changes {
    pub fn new(followers: Vec<Arc<dyn Follower>>, queue: Queue, tracker: Tracker) -> Self {
        Changes(Arc::new(Inner { followers, queue, tracker, keys: Keyed::default() }))
    }

    /// Carries out a write that makes this change. Begun, it runs to its end.
    pub async fn carry_out<T: Outcome + Send + 'static>(
        &self,
        change: impl FnOnce() -> Change,
        write: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        if self.0.followers.is_empty() {
            return write.await;
        }
        let change = change();
        let concerned: Vec<_> = self.0.followers.iter().filter(|f| f.concerns(&change)).collect();
        if concerned.is_empty() {
            return write.await;
        }
        // Afterwards it would be too late to refuse.
        concerned.iter().try_for_each(|follower| follower.require_room(&change.tenant))?;
        let must_hear = concerned.iter().any(|follower| follower.must_hear(&change));
        let in_order = concerned.iter().any(|follower| follower.in_order());
        let inner = self.0.clone();
        let followed = self.0.tracker.spawn(async move {
            let record = if must_hear { Some(inner.record(&change).await?) } else { None };
            let turn = inner.turn(&change, in_order).await;
            let answer = write.await;
            let ended = match &answer {
                Ok(done) => Ended { became: done.became(), made: done.made() },
                Err(e) if e.side() != Side::Caller => Ended::UNKNOWN,
                Err(_) => Ended { became: Became::Nothing, made: Made::Nothing },
            };
            inner.end(record, change, ended, turn).await;
            answer
        });
        followed.await.map_err(Error::internal)?
    }

    /// What an earlier process left without an end. To be called at the start, before the first write.
    pub async fn take_up(&self) -> Result<()> {
        let open = self.0.queue.open_changes().await?;
        if !open.is_empty() {
            tracing::info!(count = open.len(), "changes were being made when the process ended: whoever follows them looks at them now");
        }
        for (id, payload) in open {
            if payload.version != VERSION {
                tracing::warn!(version = payload.version, "a change was recorded by another version of tidegate; it is left for that one");
                continue;
            }
            let change = match serde_json::from_slice::<Change>(&payload.document) {
                Ok(change) => change,
                Err(e) => {
                    tracing::error!(error = %e, "the record of a change can't be read; it is left as it is, and nobody follows that change");
                    continue;
                }
            };
            let inner = self.0.clone();
            tokio::spawn(async move {
                let turn = inner.turn(&change, true).await;
                inner.end(Some(id), change, Ended::UNKNOWN, turn).await;
            });
        }
        Ok(())
    }
}

impl Ended {
    const UNKNOWN: Self = Ended { became: Became::Unknown, made: Made::Nothing };
}

impl Inner {
    /// None: nobody minds the order.
    async fn turn(&self, change: &Change, in_order: bool) -> Option<Held> {
        match &change.key {
            Some(key) if in_order => Some(self.keys.lock(&change.bucket, key).await),
            _ => None,
        }
    }

    async fn record(&self, change: &Change) -> Result<ChangeId> {
        self.queue.begin_change(Payload::of(VERSION, change)?).await
    }

    /// Where what follows can't be recorded now, it is as soon as it can be: the change stays on record until then.
    async fn end(self: Arc<Self>, record: Option<ChangeId>, change: Change, ended: Ended, turn: Option<Held>) {
        let Err(e) = self.follow(record, &change, &ended).await else { return };
        if record.is_none() {
            // Only followers that need not hear of it.
            tracing::error!(error = %e, "what follows from a change can't be recorded; it is left out");
            return;
        }
        tracing::error!(error = %e, "what follows from a change can't be recorded; it is tried again");
        tokio::spawn(async move {
            let _turn = turn;
            while self.follow(record, &change, &ended).await.is_err() {
                tokio::time::sleep(AGAIN).await;
            }
        });
    }

    async fn follow(&self, record: Option<ChangeId>, change: &Change, ended: &Ended) -> Result<()> {
        let mut all = Vec::new();
        if ended.became != Became::Nothing {
            for follower in self.followers.iter().filter(|f| f.concerns(change)) {
                all.extend(follower.follow(change, ended).await?);
            }
        }
        match record {
            Some(id) => self.queue.end_change(id, all).await,
            None if all.is_empty() => Ok(()),
            None => self.queue.gather_all(all).await,
        }
    }
}

impl Ops {
    pub fn with_changes(self, changes: Changes) -> Self {
        Ops { changes, ..self }
    }

    /// Carries out a write of the grant's key, or of its bucket.
    pub(super) async fn change<T: Outcome + Send + 'static>(
        &self,
        grant: &Grant,
        what: What,
        write: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.carry_out(grant, what, None, write).await
    }

    /// The same, of which the outside is told.
    pub(super) async fn told<T: Outcome + Send + 'static>(
        &self,
        grant: &Grant,
        what: What,
        act: Act,
        write: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.carry_out(grant, what, Some(act), write).await
    }

    async fn carry_out<T: Outcome + Send + 'static>(
        &self,
        grant: &Grant,
        what: What,
        act: Option<Act>,
        write: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let bucket = grant.bucket().ok_or_else(|| Error::internal("a write of no bucket"))?;
        let change = || Change {
            tenant: grant.tenant().clone(),
            bucket: bucket.clone(),
            key: grant.key().cloned(),
            what,
            deed: act.map(|act| Deed::of(act, grant)),
            seen: grant.asked().map(|asked| asked.bucket.clone()),
        };
        self.changes.carry_out(change, write).await
    }
}

#[cfg(test)]
mod tests;
