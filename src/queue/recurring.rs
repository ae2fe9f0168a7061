//! Work that comes again by itself: a name, a kind, and how often. It is a job that never ends: when it was done it waits for its
//! next time, and keeps its last result.
//!
//! On one node the job alone decides: it is durable, runs once at a time, and one whose time passed while the process was down runs once.
//! Where several nodes share a bucket each has such a job, and runs it only under the lease of its name (`lease`).
//! Not here: upkeep of what one node has to itself (its queue, its cache, its settings), which is no job but a timer beside it.

use std::collections::HashSet;
use std::time::Duration;

use crate::base::error::Result;
use crate::base::names::TenantId;
use crate::base::timestamp::Timestamp;
use crate::index::{Index, Walk};
use crate::queue::job::{Job, JobId, NewJob, Payload, Phase, RECURRING, Recurs, State};
use crate::queue::machine::Machine;
use crate::queue::rows::{Table, key};
use crate::queue::{Queue, rows};

#[derive(Debug, Clone)]
pub struct Recurring {
    /// Also of its lease. Never changed.
    pub name: String,
    pub kind: &'static str,
    pub payload: Payload,
    /// From the end of one run to the begin of the next.
    pub every: Duration,
    /// Until the first run, where there was none yet.
    pub first: Duration,
}

impl Queue {
    /// All that recurs here from now on; what did before and is not named any more is forgotten. With nothing new, nothing is written.
    pub async fn set_recurring(&self, all: Vec<Recurring>) -> Result<()> {
        let named: HashSet<String> = all.iter().map(|r| r.name.clone()).collect();
        let known = self.read(known).await?;
        let gone: Vec<JobId> = known.into_iter().filter(|(name, _)| !named.contains(name)).map(|(_, id)| id).collect();
        let set = move |machine: &mut Machine<'_, '_>| {
            gone.iter().try_for_each(|id| machine.forget_recurring(id))?;
            all.iter().try_for_each(|recurring| machine.recur(recurring))
        };
        self.inlet.submit(set).await
    }
}

/// The names and ids of those that were set before. The operator has few jobs with a key.
fn known(index: &Index) -> Result<Vec<(String, JobId)>> {
    let operator = TenantId::operator();
    let all = [operator.as_str().as_bytes(), b"\0"].concat();
    let mut found = Vec::new();
    index.scan(Table::Keys, &all, &mut |row, id| {
        if !row.starts_with(&all) {
            return Ok(Walk::Stop);
        }
        let name = key::split_lane(row).and_then(|(_, _, name)| std::str::from_utf8(name).ok()?.strip_prefix(RECURRING));
        if let (Some(name), Some(id)) = (name, JobId::from_bytes(id)) {
            found.push((name.to_owned(), id));
        }
        Ok(Walk::Next)
    })?;
    Ok(found)
}

impl Machine<'_, '_> {
    fn recur(&mut self, recurring: &Recurring) -> Result<()> {
        let Recurring { name, kind, payload, every, first } = recurring;
        let name = format!("{RECURRING}{name}");
        let recurs = |done| Some(Recurs { every: *every, done });
        let Some(id) = self.id_at(Table::Keys, &key::named(&TenantId::operator(), kind, &name))? else {
            let new = NewJob {
                key: Some(name),
                due: Some(self.now.plus(*first)),
                max_attempts: u32::MAX,
                recurs: recurs(None),
                ..NewJob::new(TenantId::operator(), kind, payload.clone())
            };
            return self.create(new, None).map(drop);
        };
        let old = self.known(&id)?;
        let done = old.recurs.as_ref().map_or_else(|| old.state.ended(), |recurs| recurs.done);
        let is_same = old.recurs == recurs(done) && !old.state.phase().has_ended();
        if !is_same {
            // Another interval, or an older program had it and let it end.
            let due = done.unwrap_or(self.now).plus(*every);
            let (state, attempts) = match old.state {
                State::Running { .. } => (old.state, old.attempts),
                _ => (self.waiting_until(due), 0),
            };
            let job = Job { state, attempts, recurs: recurs(done), ..old.clone() };
            self.put(Some(&old), &job)?;
        }
        let stored = rows::encode_payload(payload);
        if self.txn.get(Table::Payloads, id.bytes())?.as_ref() != Some(&stored) {
            self.txn.set_payload(&id, payload);
        }
        Ok(())
    }

    fn forget_recurring(&mut self, id: &JobId) -> Result<()> {
        let job = self.known(id)?;
        self.txn.remove(&job)?;
        self.lanes.changed(Some(&job), None);
        Ok(())
    }

    /// A job that has ended, as it is written: one that recurs waits for its next time instead.
    pub(super) fn or_again(&self, job: Job) -> Job {
        let Some(recurs) = job.recurs.clone() else { return job };
        let done = if job.state.phase() == Phase::Done { Some(self.now) } else { recurs.done };
        let state = self.waiting_until(self.now.plus(recurs.every));
        Job { state, attempts: 0, recurs: Some(Recurs { done, ..recurs }), ..job }
    }

    pub(super) fn waiting_until(&self, due: Timestamp) -> State {
        State::Waiting { due: Some(due).filter(|due| *due > self.now) }
    }
}
