//! The background thread: passes over the journal, hashes of multipart objects, answers of completed uploads that expire.
//!
//! One piece of work at a time. Its cost is bounded: a pass that took a second is not repeated for twenty.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::base::error::Result;
use crate::index::Walk;
use crate::local::gc::Collector;
use crate::local::rows::{CompletedRow, Table};
use crate::local::shared::Shared;
use crate::local::stored;
use crate::local::usage::{self, StaleRuns};

/// Time between passes is at least this many times the last one's: upkeep takes 5 % of a core at most.
const REST: u32 = 20;
const EXPIRY_INTERVAL: Duration = Duration::from_secs(600);
/// Rows that one command deletes: keeps its batch small.
const EXPIRE_AT_ONCE: usize = 1000;
/// Remembered completions. More (170 a second for a day) and the oldest ids are forgotten early.
const MAX_COMPLETED: usize = 1_000_000;

/// Wakes the thread before its time, and tells it to stop.
#[derive(Default)]
pub struct Signal {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    wake: bool,
    stop: bool,
}

impl Signal {
    pub fn wake(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).wake = true;
        self.changed.notify_all();
    }

    pub fn stop(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).stop = true;
        self.changed.notify_all();
    }

    pub fn stopped(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).stop
    }

    /// False: stop.
    fn wait(&self, at_most: Duration) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(state, at_most, |s| !s.wake && !s.stop);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.wake = false;
        !state.stop
    }
}

pub fn run(shared: Arc<Shared>) {
    let mut passes = Collector::default();
    let (mut next_pass, mut next_expiry) = (Instant::now(), Instant::now());
    log("measuring of runs", shared.measure_runs());
    // At once: a restart may have left hashes to be computed.
    loop {
        // Whoever finds it broken has it rebuilt, but the first who does may have been the last who asked; and a rebuild may fail.
        if shared.index().is_err() {
            shared.queue.report_broken();
        }
        let done = shared.hash_multipart();
        log("a multipart object's hash", done);
        log("wrapping data keys anew", shared.rewrap_if_due());
        if Instant::now() >= next_expiry {
            log("expiry of completed uploads", shared.expire_completed());
            log("expiry of meters", shared.forget_runs());
            next_expiry = Instant::now() + EXPIRY_INTERVAL;
        }
        if Instant::now() >= next_pass {
            let started = Instant::now();
            log("a pass over the journal", passes.run_if_due(&shared).map(drop));
            next_pass = Instant::now() + shared.settings.upkeep_interval.max(started.elapsed() * REST);
        }
        if !shared.signal.wait(shared.settings.upkeep_interval) {
            return;
        }
    }
}

fn log(what: &'static str, result: Result<()>) {
    // Nothing waits for this work; it is tried again in its time.
    if let Err(e) = result {
        tracing::warn!(error = %e, what, "background work of the store failed");
    }
}

impl Shared {
    /// Runs of before there were meters of runs, and of an older program, are measured from now on.
    fn measure_runs(&self) -> Result<()> {
        let mut from = Some(b"\x01".to_vec());
        while let Some(start) = from.filter(|_| !self.signal.stopped()) {
            let StaleRuns { runs, next } = usage::stale_runs(&*self.index()?, &start)?;
            if !runs.is_empty() {
                self.queue.submit_blocking(move |txn| usage::turn_runs(txn, &runs))?;
            }
            from = next;
        }
        Ok(())
    }

    /// For how long what was stored of runs that are long gone.
    fn forget_runs(&self) -> Result<()> {
        let forget = usage::forgotten_runs(&*self.index()?, self.clock.now())?;
        if forget.is_empty() {
            return Ok(());
        }
        self.queue.submit_blocking(move |txn| forget.into_iter().try_for_each(|row_key| txn.del_row(Table::Meta, row_key)))
    }

    fn expire_completed(&self) -> Result<()> {
        let now = self.clock.now();
        let (mut old, mut count) = (Vec::new(), 0usize);
        self.index()?.scan(Table::Completed, b"", &mut |k, v| {
            count += 1;
            let row: CompletedRow = stored::decode(v)?;
            if count > MAX_COMPLETED || now.since(row.at) >= self.settings.completed_kept {
                old.push(k.to_vec());
            }
            Ok(Walk::Next)
        })?;
        for some in old.chunks(EXPIRE_AT_ONCE) {
            let some = some.to_vec();
            self.queue.submit_blocking(move |txn| some.into_iter().try_for_each(|k| txn.del_row(Table::Completed, k)))?;
        }
        Ok(())
    }
}
