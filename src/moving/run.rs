//! One run: how much goes on at once, what came of it, and who is told.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use super::fault::{Fault, Result};
use super::progress::{Progress, Summary};

/// Objects that are looked at at once, for each slot: most of them wait, and a large one at the front holds up none.
const WINDOW: usize = 4;
/// So many failures without one success between them, and the other side is taken for gone.
const HOPELESS: u64 = 50;

pub struct Run {
    pub jobs: usize,
    pub dry_run: bool,
    pub progress: Progress,
    slots: Arc<Semaphore>,
    tally: Tally,
}

#[derive(Default)]
struct Tally {
    moved: AtomicU64,
    bytes: AtomicU64,
    same: AtomicU64,
    unproven: AtomicU64,
    deleted: AtomicU64,
    failed: AtomicU64,
    failed_in_a_row: AtomicU64,
}

/// What became of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Moved(u64),
    Same,
    Unproven,
    Deleted,
}

impl Run {
    pub fn new(jobs: usize, dry_run: bool, progress: Progress) -> Arc<Self> {
        let jobs = jobs.max(1);
        Arc::new(Run { jobs, dry_run, progress, slots: Arc::new(Semaphore::new(jobs)), tally: Tally::default() })
    }

    /// One piece in memory, or one file that is being read.
    pub async fn slot(&self) -> Result<OwnedSemaphorePermit> {
        self.slots.clone().acquire_owned().await.map_err(|_| Fault::new("the run has ended"))
    }

    /// For what could wait: None where none is free. Who waits for one must hold none, and must need no other's to go on.
    pub fn free_slot(&self) -> Option<OwnedSemaphorePermit> {
        self.slots.clone().try_acquire_owned().ok()
    }

    pub fn count(&self, name: &str, outcome: Outcome) {
        let t = &self.tally;
        t.failed_in_a_row.store(0, Ordering::Relaxed);
        let add = |counter: &AtomicU64, n: u64| counter.fetch_add(n, Ordering::Relaxed);
        match outcome {
            Outcome::Moved(bytes) => {
                add(&t.moved, 1);
                add(&t.bytes, bytes);
            }
            Outcome::Same => {
                add(&t.same, 1);
            }
            Outcome::Unproven => {
                add(&t.unproven, 1);
            }
            Outcome::Deleted => {
                add(&t.deleted, 1);
            }
        }
        if self.dry_run {
            match outcome {
                Outcome::Moved(bytes) => self.progress.tell(&format!("would move {name} ({bytes} bytes)")),
                Outcome::Deleted => self.progress.tell(&format!("would delete {name}")),
                Outcome::Same | Outcome::Unproven => {}
            }
        }
        self.progress.step(self.summary());
    }

    pub fn fail(&self, name: &str, fault: &Fault) {
        self.tally.failed.fetch_add(1, Ordering::Relaxed);
        self.tally.failed_in_a_row.fetch_add(1, Ordering::Relaxed);
        self.progress.say(&format!("{name}: {fault}"));
        self.progress.step(self.summary());
    }

    /// What can't be moved whoever is at the other side.
    pub fn refuse(&self, name: &str, reason: &str) {
        self.tally.failed.fetch_add(1, Ordering::Relaxed);
        self.progress.say(&format!("{name}: {reason}"));
    }

    /// Called between objects.
    pub fn check_hope(&self) -> Result<()> {
        match self.tally.failed_in_a_row.load(Ordering::Relaxed) {
            n if n >= HOPELESS => Err(Fault::new(format!("the last {n} all failed: given up"))),
            _ => Ok(()),
        }
    }

    pub fn summary(&self) -> Summary {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let t = &self.tally;
        Summary {
            moved: get(&t.moved),
            bytes: get(&t.bytes),
            same: get(&t.same),
            unproven: get(&t.unproven),
            deleted: get(&t.deleted),
            failed: get(&t.failed),
        }
    }

    /// For the objects of this run, in their order.
    pub fn line<T: Send + 'static>(&self) -> Ordered<T> {
        Ordered::new(self.jobs * WINDOW)
    }
}

/// Tasks that run at once, whose answers are taken in the order of their start. Dropped, it ends them.
pub struct Ordered<T> {
    limit: usize,
    tasks: VecDeque<Task<T>>,
}

struct Task<T>(JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<T: Send + 'static> Ordered<T> {
    pub fn new(limit: usize) -> Self {
        Ordered { limit: limit.max(1), tasks: VecDeque::new() }
    }

    pub fn has_room(&self) -> bool {
        self.tasks.len() < self.limit
    }

    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Starts it; where there was no room, answers with the first one, once that has ended.
    pub async fn push(&mut self, task: impl Future<Output = T> + Send + 'static) -> Result<Option<T>> {
        let first = if self.has_room() { None } else { self.next().await? };
        self.tasks.push_back(Task(tokio::spawn(task)));
        Ok(first)
    }

    pub async fn next(&mut self) -> Result<Option<T>> {
        let Some(task) = self.tasks.front_mut() else { return Ok(None) };
        let ended = (&mut task.0).await;
        self.tasks.pop_front();
        ended.map(Some).map_err(|e| Fault::new(format!("a task ended badly: {e}")))
    }
}

/// Work that would hold up everything else.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Fault::new(format!("a thread ended badly: {e}")))
}
