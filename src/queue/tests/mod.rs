//! The queue against a plain model, its limits and its fairness, and what the runner makes of attempts that go wrong.

mod bulk;
mod changes;
mod golden;
mod letters;
mod model;
mod order;
mod recurring;
mod running;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::base::names::TenantId;
use crate::base::timestamp::Timestamp;
use crate::queue::shared::Clock;
use crate::queue::{Job, JobId, NewJob, Outcome, Payload, Queue, Settings};

/// A folder and a clock that is moved by hand.
struct Bench {
    dir: tempfile::TempDir,
    clock: Arc<AtomicU64>,
}

const START: u64 = 1_800_000_000_000;

impl Bench {
    fn new() -> Self {
        Bench { dir: tempfile::tempdir().unwrap(), clock: Arc::new(AtomicU64::new(START)) }
    }

    fn settings(&self) -> Settings {
        let clock = self.clock.clone();
        Settings {
            dir: self.dir.path().join("queue"),
            index_cache_bytes: 1024 * 1024,
            segment_bytes: 2048,
            kept: Duration::from_secs(60),
            kept_jobs: 1000,
            most_waiting: u64::MAX,
            reserve_bytes: 0,
            clock: Clock(Arc::new(move || Timestamp::from_millis(clock.load(Ordering::SeqCst)))),
            fault: None,
        }
    }

    fn open(&self) -> Queue {
        Queue::open(self.settings()).unwrap()
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.clock.load(Ordering::SeqCst))
    }

    fn pass(&self, time: Duration) {
        self.clock.fetch_add(time.as_millis() as u64, Ordering::SeqCst);
    }
}

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

fn job(of: &str, kind: &'static str) -> NewJob {
    NewJob::new(tenant(of), kind, Payload { version: 1, document: b"{}".to_vec() })
}

async fn claim(queue: &Queue, max: usize) -> Vec<Job> {
    queue.claim(max, |_| u32::MAX, |_| u32::MAX, |_| u32::MAX).await.unwrap().0
}

async fn add(queue: &Queue, new: NewJob) -> JobId {
    let added = queue.enqueue(new).await.unwrap();
    assert!(added.is_new);
    added.id
}

async fn finish(queue: &Queue, job: &Job, outcome: Outcome) {
    queue.finish(job.id, job.attempts, outcome).await.unwrap();
}
