//! What may happen to a job and what then becomes of it: every change of state is decided here, on the writer's thread.
//!
//!     waiting -> running -> done
//!        ^  \        \-> waiting (again, later) | dead (with its reason)
//!        |   \-> cancelled <- running
//!        \--- retry --- dead, cancelled
//!
//! A job that recurs waits again where another has ended.
//!
//! Invariants: a command that answers an error has changed nothing. What an attempt reports counts only while that very
//! attempt is the running one. An ended job never runs again unless somebody asks for it (`retry`).

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::timestamp::Timestamp;
use crate::queue::job::{Job, JobId, MAX_ITEM_BYTES, MAX_ITEMS, MAX_RESULT_BYTES, NewJob, Outcome, State, no_such_job, shortened};
use crate::queue::lanes::{Lanes, Room};
use crate::queue::rows::{Table, key};
use crate::queue::txn::Txn;

/// Promotions and expiries in one command: keeps its batch small. What is left follows with the next.
const AT_ONCE: usize = 1000;

pub const DEADLINE_PASSED: &str = "its deadline passed before it was begun";
pub const PROCESS_ENDED: &str = "the process ended during the last attempt";

pub fn too_many_jobs() -> Error {
    let text = "Too many of the tenant's jobs, or of their items, wait already. Please try again when some of them have ended.";
    Error::new(ErrorKind::SlowDown, text)
}

/// One command's view of the queue.
pub struct Machine<'m, 'i> {
    pub txn: &'m mut Txn<'i>,
    pub lanes: &'m mut Lanes,
    pub now: Timestamp,
}

/// What became of a new job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enqueued {
    pub id: JobId,
    /// False: one with this idempotency key is known, or a gathering one took the items in.
    pub is_new: bool,
}

impl Machine<'_, '_> {
    /// Refused where the tenant's jobs that have not ended, and their items, would be more than `most`.
    pub fn enqueue(&mut self, new: NewJob, most: u64) -> Result<Enqueued> {
        new.check()?;
        if let Some(name) = &new.key
            && let Some(id) = self.id_at(Table::Keys, &key::named(&new.tenant, new.kind, name))?
        {
            return Ok(Enqueued { id, is_new: false });
        }
        if self.txn.load_of(&new.tenant)? + 1 + new.items.len() as u64 > most {
            return Err(too_many_jobs());
        }
        self.create(new, None).map(|id| Enqueued { id, is_new: true })
    }

    /// Adds the items to the job that gathers under `name` and has never been claimed, or makes one of `new` for what
    /// does not fit. With nothing to add nothing is written.
    pub fn gather(&mut self, name: &str, new: NewJob) -> Result<Enqueued> {
        new.check()?;
        let Some(id) = self.id_at(Table::Gathers, &key::named(&new.tenant, new.kind, name))? else {
            return self.create(new, Some(name.to_owned())).map(|id| Enqueued { id, is_new: true });
        };
        let old = self.known(&id)?;
        let mut job = old.clone();
        let mut rest = Vec::new();
        for item in new.items.iter() {
            if job.items >= MAX_ITEMS {
                rest.push(item.clone());
            } else if self.txn.add_item(&id, item)? {
                job.items += 1;
            }
        }
        if job.items >= MAX_ITEMS {
            job.gathers = None;
        }
        if job != old {
            self.put(Some(&old), &job)?;
        }
        match rest.is_empty() {
            true => Ok(Enqueued { id, is_new: false }),
            false => self.create(NewJob { items: rest, ..new }, Some(name.to_owned())).map(|id| Enqueued { id, is_new: true }),
        }
    }

    pub(super) fn create(&mut self, new: NewJob, gathers: Option<String>) -> Result<JobId> {
        let id = JobId::new(self.now)?;
        let mut items = 0;
        for item in &new.items {
            if item.len() <= MAX_ITEM_BYTES && self.txn.add_item(&id, item)? {
                items += 1;
            }
        }
        let job = Job {
            id,
            tenant: new.tenant,
            kind: new.kind.to_owned(),
            state: State::Waiting { due: new.due.filter(|due| *due > self.now) },
            created: self.now,
            priority: new.priority,
            deadline: new.deadline,
            key: new.key,
            gathers: gathers.filter(|_| items < MAX_ITEMS),
            items,
            attempts: 0,
            max_attempts: new.max_attempts.max(1),
            reason: None,
            result: None,
            asked_by: new.asked_by,
            recurs: new.recurs,
        };
        self.txn.set_payload(&id, &new.payload);
        self.put(None, &job)?;
        Ok(id)
    }

    /// Begins up to `max` attempts, in order of turn.
    pub fn claim(&mut self, max: usize, room: &Room<'_>) -> Result<Vec<Job>> {
        self.promote()?;
        let mut claimed = Vec::new();
        while claimed.len() < max {
            let Some(place) = self.lanes.next(self.txn, room)? else { break };
            let old = self.known(&key::trailing_id(&place)?)?;
            let mut job = old.clone();
            job.gathers = None;
            if job.deadline.is_some_and(|deadline| deadline < self.now) {
                job.state = State::Dead { at: self.now };
                job.reason = Some(DEADLINE_PASSED.to_owned());
                self.put(Some(&old), &job)?;
                continue;
            }
            job.state = State::Running { since: self.now };
            job.attempts += 1;
            self.put(Some(&old), &job)?;
            claimed.push(job);
        }
        Ok(claimed)
    }

    /// Jobs whose time has come join their line.
    fn promote(&mut self) -> Result<()> {
        for _ in 0..AT_ONCE {
            let Some((due, ready)) = self.txn.first(Table::Due, b"")? else { return Ok(()) };
            if key::time(&due)? > self.now {
                return Ok(());
            }
            if let Some((tenant, kind, rank)) = key::split_lane(&ready) {
                self.lanes.ready(tenant, kind, rank.to_vec());
            }
            self.txn.set((Table::Due, due, None));
            self.txn.set((Table::Ready, ready, Some(Vec::new())));
        }
        Ok(())
    }

    /// When the next job's time comes. None: no job waits for a time.
    pub fn next_due(&self) -> Result<Option<Timestamp>> {
        self.txn.first(Table::Due, b"")?.map(|(due, _)| key::time(&due)).transpose()
    }

    /// The end of an attempt. Refused where that attempt is not the running one (any more).
    pub fn finish(&mut self, id: &JobId, attempt: u32, outcome: Outcome) -> Result<Job> {
        let old = self.known(id)?;
        if !matches!(old.state, State::Running { .. }) || old.attempts != attempt {
            return Err(Error::new(ErrorKind::OperationAborted, "The attempt is not the job's current one."));
        }
        let mut job = old.clone();
        match outcome {
            Outcome::Done(result) => {
                if result.as_ref().is_some_and(|r| r.len() > MAX_RESULT_BYTES) {
                    return Err(Error::internal("a job's result is too large"));
                }
                job.state = State::Done { at: self.now };
                (job.reason, job.result) = (None, result);
                // A list of thousands, of no use any more.
                self.txn.clear_items(id)?;
            }
            Outcome::Retry { reason, after } if job.attempts < job.max_attempts => {
                job.state = self.waiting_until(self.now.plus(after));
                job.reason = Some(shortened(reason));
            }
            Outcome::Retry { reason, .. } | Outcome::Dead { reason } => {
                job.state = State::Dead { at: self.now };
                job.reason = Some(shortened(reason));
            }
            Outcome::HandedBack => {
                job.state = State::Waiting { due: None };
                job.attempts -= 1;
            }
            Outcome::NotNow { after } => {
                job.state = self.waiting_until(self.now.plus(after));
                job.attempts -= 1;
            }
        }
        if job.state.phase().has_ended() {
            job = self.or_again(job);
        }
        self.put(Some(&old), &job)?;
        Ok(job)
    }

    pub fn cancel(&mut self, id: &JobId) -> Result<Job> {
        let old = self.known(id)?;
        if old.state.phase().has_ended() {
            return Err(Error::new(ErrorKind::OperationAborted, format!("The job has ended: it is {}.", old.state.phase().name())));
        }
        let job = self.or_again(Job { state: State::Cancelled { at: self.now }, gathers: None, ..old.clone() });
        self.put(Some(&old), &job)?;
        Ok(job)
    }

    /// A job that was given up or cancelled begins anew, with all its attempts before it.
    pub fn retry(&mut self, id: &JobId) -> Result<Job> {
        let old = self.known(id)?;
        let job = match old.state {
            // Its deadline has passed, or will have: asked for by hand it has none.
            State::Dead { .. } | State::Cancelled { .. } => {
                Job { state: State::Waiting { due: None }, attempts: 0, deadline: None, ..old.clone() }
            }
            State::Waiting { .. } | State::Running { .. } | State::Done { .. } => {
                let message = format!("Only dead and cancelled jobs can be retried; this one is {}.", old.state.phase().name());
                return Err(Error::new(ErrorKind::OperationAborted, message));
            }
        };
        self.put(Some(&old), &job)?;
        Ok(job)
    }

    /// At start: no attempt of an earlier process still runs.
    pub fn recover(&mut self, id: &JobId) -> Result<()> {
        let old = self.known(id)?;
        if !matches!(old.state, State::Running { .. }) {
            return Ok(());
        }
        // The attempt counts: a job that ends the process must not do so for ever.
        let state = if old.attempts < old.max_attempts { State::Waiting { due: None } } else { State::Dead { at: self.now } };
        self.put(Some(&old), &Job { state, reason: Some(PROCESS_ENDED.to_owned()), ..old.clone() })
    }

    /// Forgets jobs that ended before `before`, and the oldest beyond `keep`. True: there may be more of them.
    pub fn expire(&mut self, before: Timestamp, ended: u64, keep: u64) -> Result<bool> {
        let mut surplus = ended.saturating_sub(keep);
        for _ in 0..AT_ONCE {
            let Some((row, _)) = self.txn.first(Table::Ended, b"")? else { return Ok(false) };
            if key::time(&row)? >= before && surplus == 0 {
                return Ok(false);
            }
            surplus = surplus.saturating_sub(1);
            let job = self.known(&key::trailing_id(&row)?)?;
            self.txn.remove(&job)?;
            self.lanes.changed(Some(&job), None);
            if self.txn.weight().0 > 20 * AT_ONCE {
                break;
            }
        }
        Ok(true)
    }

    pub(super) fn put(&mut self, old: Option<&Job>, new: &Job) -> Result<()> {
        self.txn.put(old, new)?;
        self.lanes.changed(old, Some(new));
        Ok(())
    }

    pub(super) fn known(&self, id: &JobId) -> Result<Job> {
        self.txn.job(id)?.ok_or_else(no_such_job)
    }

    pub(super) fn id_at(&self, table: Table, key: &[u8]) -> Result<Option<JobId>> {
        Ok(self.txn.get(table, key)?.and_then(|id| JobId::from_bytes(&id)))
    }
}
