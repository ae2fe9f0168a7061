//! What the parts of the queue share: the index, who watches which job, and what is told of jobs that run.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use serde::Serialize;
use tokio::sync::{Notify, watch};

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::timestamp::Timestamp;
use crate::index::{self, Index};
use crate::journal;
use crate::queue::job::JobId;
use crate::queue::replay;
use crate::queue::txn::Touched;

/// Jobs that are watched at once: long polls and event streams. More are told to come again.
const MAX_WATCHED: usize = 10_000;

#[derive(Clone)]
pub struct Clock(pub Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

#[derive(Debug, Clone)]
pub struct Settings {
    /// The queue's own folder.
    pub dir: PathBuf,
    pub segment_bytes: u64,
    /// The index is read by rank and by id: its inner nodes and the head of each line are what is hot.
    pub index_cache_bytes: u64,
    /// How long an ended job is remembered, and how many of them.
    pub kept: std::time::Duration,
    pub kept_jobs: u64,
    /// Of one tenant: jobs that have not ended, and their items. Bounds what it can make of the disk and the index.
    pub most_waiting: u64,
    /// No job is taken in when the disk has less left.
    pub reserve_bytes: u64,
    pub clock: Clock,
    pub fault: Option<journal::Fault>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            dir: PathBuf::from("data/queue"),
            // A record is a few hundred bytes: a segment holds some ten thousand changes.
            segment_bytes: 8 * 1024 * 1024,
            index_cache_bytes: 16 * 1024 * 1024,
            kept: std::time::Duration::from_secs(7 * 24 * 3600),
            kept_jobs: 100_000,
            most_waiting: 1_000_000,
            reserve_bytes: 0,
            clock: Clock(Arc::new(Timestamp::now)),
            fault: None,
        }
    }
}

impl Settings {
    pub fn journal(&self) -> journal::Settings {
        journal::Settings { dir: self.dir.join("journal"), segment_bytes: self.segment_bytes, fault: self.fault.clone() }
    }

    pub fn index(&self) -> index::Settings {
        replay::settings(&self.dir, self.index_cache_bytes)
    }
}

/// How far a running attempt says it is. In memory: a new attempt begins anew.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Progress {
    pub done: u64,
    /// 0: not known.
    pub total: u64,
    pub note: String,
}

/// A running attempt, as the others see it.
#[derive(Debug)]
pub struct Live {
    pub attempt: u32,
    pub progress: watch::Sender<Option<Progress>>,
    /// Told when the job is no longer this attempt's: cancelled, as a rule.
    pub revoked: Notify,
}

pub struct Shared {
    pub settings: Settings,
    /// None while it is rebuilt.
    pub index: ArcSwapOption<Index>,
    /// Woken with each batch: there may be something to claim.
    pub work: Notify,
    /// Held by a compaction and by a copy: files that one needs must not go by the other.
    pub compacting: tokio::sync::Mutex<()>,
    live: Mutex<HashMap<JobId, Arc<Live>>>,
    watched: Mutex<HashMap<JobId, watch::Sender<()>>>,
    /// Woken when a letter comes. One for each box that is emptied here.
    boxes: Mutex<HashMap<String, Arc<Notify>>>,
    /// True: whoever waits for a job should not do so any longer.
    pub stopping: watch::Sender<bool>,
}

impl Shared {
    pub fn new(settings: Settings, index: Index) -> Self {
        Shared {
            settings,
            index: ArcSwapOption::from_pointee(index),
            work: Notify::new(),
            compacting: tokio::sync::Mutex::new(()),
            live: Mutex::default(),
            watched: Mutex::default(),
            boxes: Mutex::default(),
            stopping: watch::channel(false).0,
        }
    }

    pub fn now(&self) -> Timestamp {
        (self.settings.clock.0)()
    }

    pub fn index(&self) -> Result<Arc<Index>> {
        // Where it is broken, the next command finds that too, and has it rebuilt: runners ask for work all the time.
        let index = self.index.load_full().filter(|index| !index.is_broken());
        index.ok_or_else(|| Error::new(ErrorKind::LocalUnavailable, "The queue is being rebuilt. Please try again."))
    }

    /// A durable batch is visible.
    pub fn changed(&self, touched: &Touched) {
        if !touched.boxes.is_empty() {
            let boxes = lock(&self.boxes);
            touched.boxes.iter().filter_map(|name| boxes.get(name)).for_each(|waits| waits.notify_one());
        }
        let mut watched = lock(&self.watched);
        for id in &touched.jobs {
            // Nobody there any more: the entry goes with the last watcher's job.
            if watched.get(id).is_some_and(|w| w.send(()).is_err()) {
                watched.remove(id);
            }
        }
        drop(watched);
        self.work.notify_one();
    }

    pub fn watch(&self, id: JobId) -> Result<watch::Receiver<()>> {
        let mut watched = lock(&self.watched);
        if let Some(sender) = watched.get(&id) {
            return Ok(sender.subscribe());
        }
        if watched.len() >= MAX_WATCHED {
            watched.retain(|_, sender| sender.receiver_count() > 0);
        }
        if watched.len() >= MAX_WATCHED {
            return Err(Error::new(ErrorKind::SlowDown, "Too many jobs are being watched. Please try again later."));
        }
        Ok(watched.entry(id).or_insert_with(|| watch::channel(()).0).subscribe())
    }

    /// For whoever empties that box.
    pub fn watch_box(&self, name: &str) -> Arc<Notify> {
        lock(&self.boxes).entry(name.to_owned()).or_default().clone()
    }

    pub fn begin(&self, id: JobId, attempt: u32) -> Arc<Live> {
        let live = Arc::new(Live { attempt, progress: watch::channel(None).0, revoked: Notify::new() });
        lock(&self.live).insert(id, live.clone());
        live
    }

    pub fn end(&self, id: &JobId) {
        lock(&self.live).remove(id);
    }

    pub fn live(&self, id: &JobId) -> Option<Arc<Live>> {
        lock(&self.live).get(id).cloned()
    }
}

/// Waits for a word that is said once.
pub async fn became_true(word: &mut watch::Receiver<bool>) {
    // An error: whoever would have said it is gone, and nothing more will happen here.
    let _ = word.wait_for(|said| *said).await;
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is one call on the map: a panic leaves it whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
