//! What follows from a write: every write of the gateway is carried out here, and whoever must hear of it is a `Follower`.
//!
//! 1. The change is on record before its write begins, where a follower must hear of it whatever happens.
//! 2. The write runs to its end, also if its client goes away.
//! 3. Each follower does what must be done before the answer, and names the jobs that do the rest at their own pace.
//! 4. One command takes the record away and makes these jobs. Then the write is answered.
//!
//! Invariants: a change that may have happened is followed, though the process ends anywhere in between: the next start finds
//! its record, and followers are told that nobody knows what became of it. Its jobs are made once.
//! Not here: the records (`queue::changes`), the followers (`jobs::purge`, `jobs::peers`, `ops::replicas`). Built by `app`.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::auth::grant::Grant;
use crate::base::error::{Error, Result, Side};
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::object::{Layer, SharedBucket, SharedObject};
use crate::net::drain::Tracker;
use crate::ops::Ops;
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
}

impl Outcome for Written {
    fn became(&self) -> Became {
        self.object.became()
    }
}

/// Hears of every change of an object or a bucket that `ops` makes. Not of uploads before they are completed, of restores, and of copies
/// from old stores, which change nothing that is shown. What is written back comes twice: `KeptHere`, then `Stored`.
pub trait Follower: Send + Sync + 'static {
    fn concerns(&self, change: &Change) -> bool;

    /// Whether it must hear of a change also where the process ends before it could. That costs each write a record.
    fn must_hear(&self) -> bool;

    /// Asked before the write. Err: it is refused.
    fn require_room(&self, tenant: &TenantId) -> Result<()>;

    /// Does what must be done before the write is answered. The rest is left to the jobs. Never told of what became nothing.
    fn follow<'a>(&'a self, change: &'a Change, became: Became) -> Pending<'a, Vec<Following>>;
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Changes(Arc<Inner>);

struct Inner {
    followers: Vec<Arc<dyn Follower>>,
    queue: Queue,
    /// The stop waits for what it tracks.
    tracker: Tracker,
}

impl Changes {
    pub fn new(followers: Vec<Arc<dyn Follower>>, queue: Queue, tracker: Tracker) -> Self {
        Changes(Arc::new(Inner { followers, queue, tracker }))
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
        let must_hear = concerned.iter().any(|follower| follower.must_hear());
        let inner = self.0.clone();
        let followed = self.0.tracker.spawn(async move {
            let record = if must_hear { Some(inner.record(&change).await?) } else { None };
            let answer = write.await;
            let became = match &answer {
                Ok(done) => done.became(),
                Err(e) if e.side() != Side::Caller => Became::Unknown,
                Err(_) => Became::Nothing,
            };
            inner.end(record, change, became).await;
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
            tokio::spawn(async move { inner.end(Some(id), change, Became::Unknown).await });
        }
        Ok(())
    }
}

impl Inner {
    async fn record(&self, change: &Change) -> Result<ChangeId> {
        self.queue.begin_change(Payload::of(VERSION, change)?).await
    }

    /// Where what follows can't be recorded now, it is as soon as it can be: the change stays on record until then.
    async fn end(self: Arc<Self>, record: Option<ChangeId>, change: Change, became: Became) {
        let Err(e) = self.follow(record, &change, became).await else { return };
        if record.is_none() {
            // Only followers that need not hear of it.
            tracing::error!(error = %e, "what follows from a change can't be recorded; it is left out");
            return;
        }
        tracing::error!(error = %e, "what follows from a change can't be recorded; it is tried again");
        tokio::spawn(async move {
            while self.follow(record, &change, became).await.is_err() {
                tokio::time::sleep(AGAIN).await;
            }
        });
    }

    async fn follow(&self, record: Option<ChangeId>, change: &Change, became: Became) -> Result<()> {
        let mut jobs = Vec::new();
        if became != Became::Nothing {
            for follower in self.followers.iter().filter(|f| f.concerns(change)) {
                jobs.extend(follower.follow(change, became).await?);
            }
        }
        match record {
            Some(id) => self.queue.end_change(id, jobs).await,
            None if jobs.is_empty() => Ok(()),
            None => self.queue.gather_all(jobs).await,
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
        let bucket = grant.bucket().ok_or_else(|| Error::internal("a write of no bucket"))?;
        let change = || Change { tenant: grant.tenant().clone(), bucket: bucket.clone(), key: grant.key().cloned(), what };
        self.changes.carry_out(change, write).await
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::sync::oneshot;

    use super::*;
    use crate::base::error::ErrorKind;
    use crate::queue::view::Filter;
    use crate::queue::{NewJob, Settings};

    #[derive(Default)]
    struct Heard {
        changes: Mutex<Vec<(String, Became)>>,
        fails: AtomicBool,
        full: AtomicBool,
    }

    impl Follower for Heard {
        fn concerns(&self, change: &Change) -> bool {
            change.key.is_some()
        }

        fn must_hear(&self) -> bool {
            true
        }

        fn require_room(&self, _: &TenantId) -> Result<()> {
            if self.full.load(Ordering::SeqCst) { Err(Error::new(ErrorKind::SlowDown, "full")) } else { Ok(()) }
        }

        fn follow<'a>(&'a self, change: &'a Change, became: Became) -> Pending<'a, Vec<Following>> {
            Box::pin(async move {
                if self.fails.load(Ordering::SeqCst) {
                    return Err(Error::internal("not now"));
                }
                let item = change.key.as_ref().unwrap().to_string();
                self.changes.lock().unwrap().push((item.clone(), became));
                let job = NewJob { items: vec![item], ..NewJob::new(change.tenant.clone(), "follow", Payload::default()) };
                Ok(vec![Following { gathers_under: "all".into(), job }])
            })
        }
    }

    struct Bench {
        heard: Arc<Heard>,
        queue: Queue,
        tracker: Tracker,
        changes: Changes,
    }

    impl Bench {
        fn open(dir: &Path) -> Self {
            let queue = Queue::open(Settings { dir: dir.join("queue"), ..Settings::default() }).unwrap();
            let (heard, tracker) = (Arc::new(Heard::default()), Tracker::default());
            let changes = Changes::new(vec![heard.clone()], queue.clone(), tracker.clone());
            Bench { heard, queue, tracker, changes }
        }

        async fn carry_out(&self, key: &str, write: impl Future<Output = Result<()>> + Send + 'static) -> Result<()> {
            self.changes.carry_out(|| change(key), write).await
        }

        fn heard(&self) -> Vec<(String, Became)> {
            self.heard.changes.lock().unwrap().clone()
        }

        async fn items_of_jobs(&self) -> u32 {
            self.queue.list(Filter { max: 10, ..Filter::default() }).await.unwrap().jobs.iter().map(|job| job.items).sum()
        }

        async fn is_settled(&self) -> bool {
            self.queue.open_changes().await.unwrap().is_empty()
        }
    }

    fn change(key: &str) -> Change {
        Change {
            tenant: TenantId::parse("acme").unwrap(),
            bucket: BucketName::parse("media").unwrap(),
            key: Some(ObjectKey::parse(key).unwrap()),
            what: What::Content,
        }
    }

    #[tokio::test]
    async fn who_follows_hears_what_became_of_a_write_before_it_is_answered() {
        let dir = tempfile::tempdir().unwrap();
        let bench = Bench::open(dir.path());
        bench.carry_out("done", async { Ok(()) }).await.unwrap();
        bench.carry_out("refused", async { Err(Error::new(ErrorKind::PreconditionFailed, "no")) }).await.unwrap_err();
        bench.carry_out("failed", async { Err(Error::new(ErrorKind::GatewayTimeout, "?")) }).await.unwrap_err();
        assert_eq!(bench.heard(), [("done".into(), Became::Stored), ("failed".into(), Became::Unknown)]);
        assert_eq!(bench.items_of_jobs().await, 2);
        assert!(bench.is_settled().await);
    }

    #[tokio::test]
    async fn where_a_follower_has_no_room_nothing_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let bench = Bench::open(dir.path());
        bench.heard.full.store(true, Ordering::SeqCst);
        let write = async { panic!("written") };
        assert_eq!(bench.carry_out("k", write).await.unwrap_err().kind(), ErrorKind::SlowDown);
        assert!(bench.is_settled().await);
    }

    #[tokio::test]
    async fn the_stop_waits_for_a_write_whose_client_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let bench = Bench::open(dir.path());
        let (go, gone) = oneshot::channel::<()>();
        tokio::select! {
            biased;
            _ = bench.carry_out("k", async { gone.await.map_err(Error::internal) }) => panic!("answered before it was written"),
            () = tokio::task::yield_now() => {}
        }
        assert_eq!(bench.tracker.running(), 1);
        go.send(()).unwrap();
        bench.tracker.idle().await;
        assert_eq!(bench.heard(), [("k".into(), Became::Stored)]);
    }

    #[tokio::test]
    async fn a_write_that_the_process_did_not_survive_is_followed_at_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let bench = Bench::open(dir.path());
        let (begun, has_begun) = oneshot::channel::<()>();
        let write = async move {
            begun.send(()).unwrap();
            std::future::pending().await
        };
        tokio::select! {
            _ = bench.carry_out("k", write) => unreachable!(),
            told = has_begun => told.unwrap(),
        }
        bench.queue.close();
        let next = Bench::open(dir.path());
        assert!(!next.is_settled().await);
        next.changes.take_up().await.unwrap();
        while !next.is_settled().await {
            tokio::task::yield_now().await;
        }
        assert_eq!(next.heard(), [("k".into(), Became::Unknown)]);
        assert_eq!(next.items_of_jobs().await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_can_not_be_recorded_now_is_recorded_later() {
        let dir = tempfile::tempdir().unwrap();
        let bench = Bench::open(dir.path());
        bench.heard.fails.store(true, Ordering::SeqCst);
        bench.carry_out("k", async { Ok(()) }).await.unwrap();
        assert!(!bench.is_settled().await);
        bench.heard.fails.store(false, Ordering::SeqCst);
        while !bench.is_settled().await {
            tokio::time::sleep(AGAIN).await;
        }
        assert_eq!(bench.heard(), [("k".into(), Became::Stored)]);
    }

    #[tokio::test]
    async fn a_record_that_cant_be_read_keeps_no_other_change_from_being_followed() {
        let dir = tempfile::tempdir().unwrap();
        let bench = Bench::open(dir.path());
        bench.queue.begin_change(Payload { version: VERSION, document: b"{".to_vec() }).await.unwrap();
        bench.queue.begin_change(Payload::of(VERSION, &change("k")).unwrap()).await.unwrap();
        bench.changes.take_up().await.unwrap();
        while bench.heard().is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(bench.heard(), [("k".into(), Became::Unknown)]);
    }
}
