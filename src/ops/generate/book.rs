//! The book of what is spent on providers: an entry for each request that costs, written before it is sent.
//!
//! An entry is whole each time it is written, under a key of its own, so that it counts once however often it is read; the rows are in the
//! journal of usage. In memory: the entries of jobs that have not ended well, and what each tenant spent in the last months.
//! Invariants: no request is sent without its entry; an entry whose request was sent and whose answer was lost says so until somebody decides.

use std::collections::{BTreeMap, HashMap};
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
/// Months whose sums are kept. Two, because a request may end in the month after its own, and a clock may go back over the border.
const MONTHS: usize = 2;

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
    /// By the first day of the month that an entry was made in.
    spent: BTreeMap<u32, HashMap<TenantId, u64>>,
}

impl Book {
    /// Blocks: it reads what was written.
    pub fn open(usage: Usage) -> Result<Book> {
        let mut inner = Inner::default();
        usage.spent(0..u32::MAX, &mut |row| {
            let entry: Entry = serde_json::from_slice(row).map_err(Error::internal)?;
            inner.count(&entry, None);
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
        inner.count(&entry, before.as_ref());
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
    fn spent_in(&self, tenant: &TenantId, at: Timestamp) -> u64 {
        self.spent.get(&month_of(period::day(at))).and_then(|spent| spent.get(tenant)).copied().unwrap_or(0)
    }

    /// An entry belongs to the month that it was made in.
    fn count(&mut self, entry: &Entry, before: Option<&Entry>) {
        let spent = self.spent.entry(month_of(entry.day())).or_default().entry(entry.tenant.clone()).or_default();
        *spent = spent.saturating_sub(before.map_or(0, Entry::cost)).saturating_add(entry.cost());
        if self.spent.len() > MONTHS {
            self.spent.pop_first();
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

/// The month of a day, by its first day.
fn month_of(day: u32) -> u32 {
    Month::of_day(day).first_day()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;
    use crate::telemetry::usage::Usage as Gauges;
    use crate::usage::settings::Settings;

    /// 2026-11-30, 22:00.
    const EVENING: u64 = 1_796_076_000;

    fn usage(dir: &TempDir) -> Usage {
        Usage::open(Settings { dir: dir.path().join("usage"), ..Settings::default() }, Gauges::default()).unwrap()
    }

    fn entry(job: u32, tenant: u8, hours: u64, estimated: u64) -> Entry {
        Entry {
            job: format!("job-{job}"),
            number: 0,
            tenant: TenantId::parse(&format!("t{tenant}")).unwrap(),
            run: "r".into(),
            provider: "maker".into(),
            kind: MediaKind::Image,
            model: "m".into(),
            step: "make".into(),
            at: Timestamp::from_secs(EVENING + hours * 3600),
            state: State::Intent,
            estimated,
            billed: None,
            values: Values::default(),
            reason: None,
            is_last: false,
        }
    }

    #[derive(Debug, Clone)]
    enum Deed {
        Begin {
            tenant: u8,
            hours: u64,
            estimated: u64,
        },
        /// One that was begun before.
        Set {
            which: usize,
            state: usize,
            billed: Option<u64>,
        },
        Restart,
    }

    fn deeds() -> impl Strategy<Value = Vec<Deed>> {
        let begin = (0u8..2, 0u64..5, 0u64..40).prop_map(|(tenant, hours, estimated)| Deed::Begin { tenant, hours, estimated });
        let set = (any::<usize>(), 0usize..6, prop::option::of(0u64..60));
        let set = set.prop_map(|(which, state, billed)| Deed::Set { which, state, billed });
        prop::collection::vec(prop_oneof![4 => begin, 4 => set, 1 => Just(Deed::Restart)], 1..40)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        /// Beside a list of all entries, over the end of a month and over restarts: nothing begins that is expected to go over the
        /// budget, and what is left is exactly what the entries of that month leave.
        #[test]
        fn a_budget_is_what_the_entries_leave_of_it(deeds in deeds()) {
            const BUDGET: u64 = 100;
            let states = [State::Intent, State::Running, State::Done, State::Failed, State::Unknown, State::Void];
            let dir = tempfile::tempdir().unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let mut kept = usage(&dir);
            let mut book = Book::open(kept.clone()).unwrap();
            let mut all: Vec<Entry> = Vec::new();
            for (n, deed) in deeds.into_iter().enumerate() {
                match deed {
                    Deed::Begin { tenant, hours, estimated } => {
                        let entry = entry(n as u32, tenant, hours, estimated);
                        let same = |e: &&Entry| e.tenant == entry.tenant && month_of(e.day()) == month_of(entry.day());
                        let spent: u64 = all.iter().filter(same).map(Entry::cost).sum();
                        let left = BUDGET.saturating_sub(spent);
                        let expected = if estimated > left { Err(left) } else { Ok(()) };
                        prop_assert_eq!(runtime.block_on(book.begin(entry.clone(), Some(BUDGET))).unwrap(), expected);
                        if expected.is_ok() {
                            all.push(entry);
                        }
                    }
                    Deed::Set { which, state, billed } if !all.is_empty() => {
                        let n = which % all.len();
                        (all[n].state, all[n].billed) = (states[state], billed);
                        runtime.block_on(book.set(all[n].clone())).unwrap();
                    }
                    Deed::Set { .. } => {}
                    Deed::Restart => {
                        kept.close();
                        kept = usage(&dir);
                        book = Book::open(kept.clone()).unwrap();
                    }
                }
                let mut held: Vec<_> = all.iter().filter(|e| e.state == State::Unknown).map(|e| e.job.clone()).collect();
                let mut told: Vec<_> = book.unknown(None).into_iter().map(|e| e.job).collect();
                held.sort();
                told.sort();
                prop_assert_eq!(told, held);
            }
        }
    }
}
