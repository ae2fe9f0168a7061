//! Followers hear of every change that may have happened, whatever becomes of the process.

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

    fn must_hear(&self, _: &Change) -> bool {
        true
    }

    fn require_room(&self, _: &TenantId) -> Result<()> {
        if self.full.load(Ordering::SeqCst) { Err(Error::new(ErrorKind::SlowDown, "full")) } else { Ok(()) }
    }

    fn follow<'a>(&'a self, change: &'a Change, ended: &'a Ended) -> Pending<'a, Vec<Following>> {
        Box::pin(async move {
            if self.fails.load(Ordering::SeqCst) {
                return Err(Error::internal("not now"));
            }
            let item = change.key.as_ref().unwrap().to_string();
            self.changes.lock().unwrap().push((item.clone(), ended.became));
            let job = NewJob { items: vec![item], ..NewJob::new(change.tenant.clone(), "follow", Payload::default()) };
            Ok(vec![Following::Job { gathers_under: "all".into(), job }])
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
        deed: None,
        seen: None,
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
