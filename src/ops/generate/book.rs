//! The book of what is spent on providers: an entry for each request that costs, written before it is sent.
//!
//! An entry is whole each time it is written, under a key of its own, so that it counts once however often it is read; the rows are in the
//! journal of usage. In memory: the entries of jobs that have not ended well, and what each tenant spent this month.
//! Invariants: no request is sent without its entry; an entry whose request was sent and whose answer was lost says so until somebody decides.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use crate::base::error::{Error, Result};
use crate::base::names::TenantId;
use crate::base::timestamp::Timestamp;
use crate::queue::JobId;
use crate::usage::Usage;
use crate::usage::period::{self, Month};
use crate::vault::kind::MediaKind;
use crate::vault::template::Values;

/// Jobs that were given up and may be begun anew stay in memory up to this number.
const MAX_JOBS: usize = 10_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is about to be sent, or was.
    Intent,
    /// The provider took it.
    Running,
    /// What was made of it is here.
    Done,
    Failed,
    /// It was sent, and nobody knows whether it was taken: somebody is to decide.
    Unknown,
    /// It was decided to send another in its place; or it surely did not arrive.
    Void,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    pub job: String,
    /// Among those of the job.
    pub number: u32,
    pub tenant: TenantId,
    pub run: String,
    pub provider: String,
    pub kind: MediaKind,
    pub model: String,
    pub step: String,
    pub at: Timestamp,
    pub state: State,
    /// Millionths of a dollar.
    pub estimated: u64,
    /// What the provider said, or what is surely so.
    pub billed: Option<u64>,
    /// What is needed to ask how it goes.
    pub values: Values,
    pub reason: Option<String>,
    /// The job has what it wanted.
    pub is_last: bool,
}

impl Entry {
    /// What it costs, as far as it is known.
    pub fn cost(&self) -> u64 {
        match (self.billed, self.state) {
            (Some(billed), _) => billed,
            (None, State::Failed | State::Void) => 0,
            (None, State::Intent | State::Running | State::Done | State::Unknown) => self.estimated,
        }
    }

    fn day(&self) -> u32 {
        period::day(self.at)
    }

    fn key(&self) -> Vec<u8> {
        [self.day().to_be_bytes().as_slice(), self.job.as_bytes(), &self.number.to_be_bytes()].concat()
    }
}

pub struct Book {
    usage: Usage,
    inner: Mutex<Inner>,
    /// One entry is written after the other: what is spent and what is written are one.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Inner {
    jobs: HashMap<String, Vec<Entry>>,
    month: Option<Month>,
    spent: HashMap<TenantId, u64>,
}

impl Book {
    /// Blocks: it reads what was written.
    pub fn open(usage: Usage, now: Timestamp) -> Result<Book> {
        let mut inner = Inner::default();
        usage.spent(0..u32::MAX, &mut |row| {
            let entry: Entry = serde_json::from_slice(row).map_err(Error::internal)?;
            inner.count(&entry, None, now);
            inner.jobs.entry(entry.job.clone()).or_default().push(entry);
            Ok(())
        })?;
        inner.jobs.retain(|_, entries| !entries.iter().any(|entry| entry.is_last));
        inner.jobs.values_mut().for_each(|entries| entries.sort_by_key(|entry| entry.number));
        inner.prune();
        Ok(Book { usage, inner: Mutex::new(inner), turn: tokio::sync::Mutex::default() })
    }

    pub fn of(&self, job: &JobId) -> Vec<Entry> {
        self.lock().jobs.get(&job.to_string()).cloned().unwrap_or_default()
    }

    /// A new entry, if what it is expected to cost is within the budget of its tenant's month. Err inside: how much is left of that.
    pub async fn begin(&self, entry: Entry, budget: Option<u64>) -> Result<std::result::Result<(), u64>> {
        let _turn = self.turn.lock().await;
        if let Some(budget) = budget {
            let left = budget.saturating_sub(self.lock().spent_in(&entry.tenant, entry.at));
            if entry.estimated > left {
                return Ok(Err(left));
            }
        }
        self.write(entry).await.map(Ok)
    }

    /// An entry as it is now.
    pub async fn set(&self, entry: Entry) -> Result<()> {
        let _turn = self.turn.lock().await;
        self.write(entry).await
    }

    async fn write(&self, entry: Entry) -> Result<()> {
        let (key, value, usage) = (entry.key(), serde_json::to_vec(&entry).map_err(Error::internal)?, self.usage.clone());
        spawn_blocking(move || usage.keep_spent(&key, &value)).await.map_err(Error::internal)??;
        let mut inner = self.lock();
        let before = inner.jobs.get(&entry.job).and_then(|all| all.iter().find(|e| e.number == entry.number)).cloned();
        inner.count(&entry, before.as_ref(), Timestamp::now());
        if entry.is_last {
            inner.jobs.remove(&entry.job);
            return Ok(());
        }
        let entries = inner.jobs.entry(entry.job.clone()).or_default();
        match entries.iter_mut().find(|e| e.number == entry.number) {
            Some(old) => *old = entry,
            None => entries.push(entry),
        }
        inner.prune();
        Ok(())
    }

    /// Those whose fate nobody knows. `tenant` None: of all.
    pub fn unknown(&self, tenant: Option<&TenantId>) -> Vec<Entry> {
        let inner = self.lock();
        let all = inner.jobs.values().flatten().filter(|entry| entry.state == State::Unknown);
        all.filter(|entry| tenant.is_none_or(|tenant| entry.tenant == *tenant)).cloned().collect()
    }

    /// Every entry of these days, in order. Blocks.
    pub fn read(&self, days: std::ops::Range<u32>, each: &mut dyn FnMut(&Entry)) -> Result<()> {
        self.usage.spent(days, &mut |row| {
            each(&serde_json::from_slice(row).map_err(Error::internal)?);
            Ok(())
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn spent_in(&mut self, tenant: &TenantId, at: Timestamp) -> u64 {
        self.turn_to(Month::of_day(period::day(at)));
        self.spent.get(tenant).copied().unwrap_or(0)
    }

    fn turn_to(&mut self, month: Month) {
        if self.month != Some(month) {
            self.spent.clear();
            self.month = Some(month);
        }
    }

    /// An entry belongs to the month that it was made in.
    fn count(&mut self, entry: &Entry, before: Option<&Entry>, now: Timestamp) {
        self.turn_to(Month::of_day(period::day(now)));
        if self.month == Some(Month::of_day(entry.day())) {
            let spent = self.spent.entry(entry.tenant.clone()).or_default();
            *spent = spent.saturating_sub(before.map_or(0, Entry::cost)).saturating_add(entry.cost());
        }
    }

    /// The oldest go that nobody waits for.
    fn prune(&mut self) {
        if self.jobs.len() <= MAX_JOBS {
            return;
        }
        let ended = |entry: &Entry| matches!(entry.state, State::Failed | State::Void | State::Done);
        let mut old: Vec<(Timestamp, String)> =
            self.jobs.iter().filter(|(_, all)| all.iter().all(ended)).map(|(job, all)| (all[0].at, job.clone())).collect();
        old.sort();
        old.truncate(self.jobs.len().saturating_sub(MAX_JOBS * 9 / 10));
        for (_, job) in old {
            self.jobs.remove(&job);
        }
    }
}
