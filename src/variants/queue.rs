//! The queue of variants to make: bounded, and fair between the owners of the originals.
//!
//! The owner for whom the fewest bytes were worked through comes next, so that one who asks for a thousand large texts waits for
//! himself. Where the queue is full, who has less in it than another takes the place of that one's last: nothing is lost by it,
//! since the next reader asks again.
//! Limit: what is being made is not interrupted: somebody else's one original is waited for.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::base::names::TenantId;
use crate::base::object::SharedObject;
use crate::variants::key::{Key, Original};

/// Each is a few hundred bytes; more than this is hours of work, and what is still wanted then is asked for again.
pub const MAX_WAITING: usize = 1024;

/// A variant to make, in the name of the reader who was allowed to have the original.
pub struct Job {
    pub key: Key,
    pub of: SharedObject,
    pub original: Arc<dyn Original>,
}

#[derive(Default)]
pub struct Queue {
    inner: Mutex<Inner>,
    wake: Condvar,
}

#[derive(Default)]
struct Inner {
    /// Of each owner who has something waiting, or was served more than others are now.
    lanes: HashMap<TenantId, Lane>,
    waiting: usize,
    /// Waiting, or being worked on.
    taken: HashSet<Key>,
    /// The work of the lane that was served last: where one that comes anew begins, so that nobody saves up turns.
    reached: u64,
    stopped: bool,
}

#[derive(Default)]
struct Lane {
    jobs: VecDeque<Job>,
    /// Bytes worked through in its name.
    work: u64,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// False: there are too many. One that is there already stays.
    pub fn push(&self, job: Job) -> bool {
        let mut inner = self.lock();
        if inner.stopped || inner.taken.contains(&job.key) {
            return true;
        }
        if inner.waiting >= MAX_WAITING && !inner.make_room(&job.of.owner) {
            return false;
        }
        inner.taken.insert(job.key.clone());
        inner.waiting += 1;
        let reached = inner.reached;
        let lane = inner.lanes.entry(job.of.owner.clone()).or_default();
        if lane.jobs.is_empty() {
            lane.work = lane.work.max(reached);
        }
        lane.jobs.push_back(job);
        self.wake.notify_one();
        true
    }

    /// False: somebody is at it.
    pub fn begin(&self, key: &Key) -> bool {
        self.lock().taken.insert(key.clone())
    }

    pub fn end(&self, key: &Key) {
        self.lock().taken.remove(key);
    }

    /// Waits for one. None: it was stopped.
    pub fn next(&self) -> Option<Job> {
        let mut inner = self.lock();
        loop {
            if inner.stopped {
                return None;
            }
            if let Some(job) = inner.take() {
                return Some(job);
            }
            inner = self.wake.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What waits is dropped; what runs ends with its next piece.
    pub fn stop(&self) {
        let mut inner = self.lock();
        inner.stopped = true;
        inner.lanes.clear();
        inner.waiting = 0;
        self.wake.notify_all();
    }

    pub fn is_stopped(&self) -> bool {
        self.lock().stopped
    }
}

impl Inner {
    fn take(&mut self) -> Option<Job> {
        let lane = self.lanes.values_mut().filter(|lane| !lane.jobs.is_empty()).min_by_key(|lane| lane.work)?;
        let job = lane.jobs.pop_front()?;
        let reached = lane.work;
        lane.work += job.of.size;
        self.reached = reached;
        self.lanes.retain(|_, lane| !lane.jobs.is_empty() || lane.work > reached);
        self.waiting -= 1;
        Some(job)
    }

    /// Takes the last of whoever has most. False: that is `owner` itself, or it has as many.
    fn make_room(&mut self, owner: &TenantId) -> bool {
        let own = self.lanes.get(owner).map_or(0, |lane| lane.jobs.len());
        let Some(longest) = self.lanes.values_mut().max_by_key(|lane| lane.jobs.len()).filter(|lane| lane.jobs.len() > own + 1) else {
            return false;
        };
        let Some(job) = longest.jobs.pop_back() else { return false };
        self.taken.remove(&job.key);
        self.waiting -= 1;
        true
    }
}
