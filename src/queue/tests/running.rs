//! The runner: attempts that end well, fail, panic, hang, are cancelled, and a stop in the middle of them.

use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use tokio::sync::Semaphore;

use super::*;
use crate::queue::kind::{Attempt, Backoff, Fault, Kind, Work};
use crate::queue::runner::{self, Limits, Runner};
use crate::queue::{Phase, shared::Progress, view::View};
use crate::telemetry::metrics::Metrics;

/// Does what the first item of a job says.
pub struct Actor {
    name: &'static str,
    begun: Mutex<Vec<JobId>>,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
    go: Semaphore,
    patience: Duration,
}

impl Actor {
    pub fn new(name: &'static str, patience: Duration) -> Arc<Self> {
        Arc::new(Actor {
            name,
            begun: Mutex::default(),
            at_once: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
            go: Semaphore::new(0),
            patience,
        })
    }

    /// Attempts that run.
    pub fn inside(&self) -> usize {
        self.at_once.load(Ordering::SeqCst)
    }

    pub fn begun(&self, id: JobId) -> usize {
        self.begun.lock().unwrap().iter().filter(|b| **b == id).count()
    }
}

struct Inside<'a>(&'a AtomicUsize);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Kind for Actor {
    fn name(&self) -> &'static str {
        self.name
    }

    fn patience(&self) -> Duration {
        self.patience
    }

    fn backoff(&self) -> Backoff {
        Backoff { first: Duration::from_millis(2), most: Duration::from_millis(10) }
    }

    fn run<'a>(&'a self, attempt: &'a Attempt) -> Work<'a> {
        Box::pin(async move {
            self.begun.lock().unwrap().push(attempt.job.id);
            let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
            self.most_at_once.fetch_max(now, Ordering::SeqCst);
            let _inside = Inside(&self.at_once);
            let _: serde_json::Value = attempt.document(1)?;
            // One that recurs has no items: its kind says what it does.
            match attempt.items.first().map(String::as_str).unwrap_or(self.name) {
                "panic" => panic!("as the test asked"),
                "fail" if attempt.job.attempts < 3 => Err(Fault::retry("not yet")),
                "broken" => Err(Fault::dead("can't be mended")),
                "hang" => std::future::pending().await,
                "wait" => {
                    attempt.progress(1, 2, "half way");
                    self.go.acquire().await.unwrap().forget();
                    Ok(None)
                }
                _ => Ok(Some(serde_json::json!({ "attempt": attempt.job.attempts }))),
            }
        })
    }
}

pub fn limits(workers: usize, per_tenant: u32, per_kind: u32) -> Limits {
    Limits {
        settings: runner::Settings { workers, per_tenant, per_kind },
        of_tenant: Arc::new(|_| None),
        spent: Arc::new(|_, _| {}),
        follows: Arc::new(|_| Vec::new()),
    }
}

fn start(queue: &Queue, actor: &Arc<Actor>, limits: Limits) -> Runner {
    Runner::start(queue.clone(), vec![actor.clone()], limits, None, Arc::new(Metrics::new())).unwrap()
}

/// With the real clock: the runner waits by it.
fn open(bench: &Bench) -> Queue {
    Queue::open(Settings { clock: Settings::default().clock, ..bench.settings() }).unwrap()
}

fn that(of: &str, what: &str) -> NewJob {
    NewJob { items: vec![what.to_owned()], max_attempts: 4, ..job(of, "act") }
}

async fn ended(queue: &Queue, id: JobId) -> View {
    let view = queue.wait(id, Duration::from_secs(60)).await.unwrap().unwrap();
    assert!(view.job.state.phase().has_ended(), "{view:?}");
    view
}

async fn running(queue: &Queue, id: JobId) -> Progress {
    loop {
        if let Some(progress) = queue.get(id).await.unwrap().unwrap().progress {
            return progress;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn every_end_of_an_attempt_is_recorded() {
    let bench = Bench::new();
    let queue = open(&bench);
    let actor = Actor::new("act", Duration::from_millis(200));
    let _runner = start(&queue, &actor, limits(4, 0, 0));
    let mut ids = Vec::new();
    for what in ["", "fail", "panic", "broken", "hang"] {
        ids.push(add(&queue, that("t", what)).await);
    }
    let mut seen = Vec::new();
    for id in &ids {
        let job = ended(&queue, *id).await.job;
        seen.push((job.state.phase(), job.attempts, job.reason.unwrap_or_default(), job.result.unwrap_or_default()));
    }
    assert_eq!(seen[0], (Phase::Done, 1, String::new(), "{\"attempt\":1}".to_owned()));
    assert_eq!(seen[1], (Phase::Done, 3, String::new(), "{\"attempt\":3}".to_owned()));
    assert_eq!(seen[2], (Phase::Dead, 4, "it panicked: as the test asked".to_owned(), String::new()));
    assert_eq!(seen[3], (Phase::Dead, 1, "can't be mended".to_owned(), String::new()));
    assert_eq!((seen[4].0, seen[4].1), (Phase::Dead, 4));
    assert!(seen[4].2.starts_with("it showed no sign of life"), "{}", seen[4].2);
    // And it works on.
    let last = add(&queue, that("t", "")).await;
    assert_eq!(ended(&queue, last).await.job.state.phase(), Phase::Done);
}

#[tokio::test]
async fn no_more_at_once_than_allowed() {
    for (workers, per_tenant, per_kind, expected) in [(3, 0, 0, 3), (8, 2, 0, 4), (8, 0, 1, 1)] {
        let bench = Bench::new();
        let queue = open(&bench);
        let actor = Actor::new("act", Duration::from_secs(60));
        let _runner = start(&queue, &actor, limits(workers, per_tenant, per_kind));
        let mut ids = Vec::new();
        for n in 0..24 {
            ids.push(add(&queue, that(["a", "b"][n % 2], "wait")).await);
        }
        while actor.at_once.load(Ordering::SeqCst) < expected {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        actor.go.add_permits(24);
        for id in ids {
            assert_eq!(ended(&queue, id).await.job.state.phase(), Phase::Done);
        }
        assert_eq!(actor.most_at_once.load(Ordering::SeqCst), expected);
    }
}

#[tokio::test]
async fn a_cancelled_job_stops_and_can_be_begun_anew() {
    let bench = Bench::new();
    let queue = open(&bench);
    let actor = Actor::new("act", Duration::from_secs(60));
    let _runner = start(&queue, &actor, limits(1, 0, 0));
    let id = add(&queue, that("t", "wait")).await;
    let progress = running(&queue, id).await;
    assert_eq!(progress, Progress { done: 1, total: 2, note: "half way".into() });
    queue.cancel(id).await.unwrap();
    while actor.at_once.load(Ordering::SeqCst) > 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(queue.cancel(id).await.is_err());
    assert_eq!(ended(&queue, id).await.job.state.phase(), Phase::Cancelled);
    // The only worker is free, and the job keeps its items.
    queue.retry(id).await.unwrap();
    actor.go.add_permits(1);
    assert_eq!(ended(&queue, id).await.job.state.phase(), Phase::Done);
    assert_eq!(actor.begun(id), 2);
}

#[tokio::test]
async fn a_stop_waits_and_hands_back_the_rest() {
    let bench = Bench::new();
    let queue = open(&bench);
    let actor = Actor::new("act", Duration::from_secs(60));
    let runner = start(&queue, &actor, limits(2, 0, 0));
    let (quick, slow) = (add(&queue, that("t", "wait")).await, add(&queue, that("t", "hang")).await);
    running(&queue, quick).await;
    while actor.begun(slow) == 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    // Both workers are taken, so it waits.
    let waiting = add(&queue, that("t", "")).await;
    let (begins, begun) = tokio::sync::oneshot::channel();
    let stopping = tokio::task::spawn_blocking(move || {
        let _ = begins.send(());
        runner.drain(Duration::from_secs(1))
    });
    begun.await.unwrap();
    // The stop has to be heard before a worker is free.
    tokio::time::sleep(Duration::from_millis(200)).await;
    actor.go.add_permits(1);
    assert_eq!(stopping.await.unwrap(), 1);
    let state = async |id| queue.get(id).await.unwrap().unwrap().job;
    assert_eq!(state(quick).await.state.phase(), Phase::Done);
    let slow = state(slow).await;
    assert_eq!((slow.state.phase(), slow.attempts), (Phase::Waiting, 0), "handed back, and its attempt does not count");
    assert_eq!(state(waiting).await.state.phase(), Phase::Waiting, "nothing was begun during the stop");
    // The next process does what is left, and nothing twice.
    queue.close();
    let queue = open(&bench);
    let _runner = start(&queue, &actor, limits(2, 0, 0));
    assert_eq!(ended(&queue, waiting).await.job.state.phase(), Phase::Done);
    assert_eq!(actor.begun(quick), 1);
}
