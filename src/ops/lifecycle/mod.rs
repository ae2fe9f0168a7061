//! Carries out the lifecycle of buckets: finds what is due, looks at it, and lets it go, or says what would.
//!
//! On a store that keeps an index of what is due (`origin::DueIndex`) a run costs what is due; on others it lists the buckets that have
//! rules. Either way a thing is judged by what is there at that moment (`judge`), and goes only as the very version that was judged.
//! Not here: what a rule means (`base::lifecycle`), when it is done (`jobs::lifecycle`), who hears of a delete (`ops::changes`).
//!
//! Invariants: memory holds a page; a run that was cut off left nothing half done, and the next one goes on; what can't be judged
//! (rules that can't be read, a replica that does not answer) stays.

mod by_index;
mod by_listing;
mod judge;
mod moves;
pub mod reads;
pub mod report;
mod standing;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::auth::grant::{GatewayGrant, OperatorGrant};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::lifecycle::Rule;
use crate::base::names::TenantId;
use crate::base::timestamp::Timestamp;
use crate::base::versions::Versioning;
use crate::ops::Ops;
use crate::queue::view::View;
use crate::queue::{JobId, NewJob, Payload};
pub use moves::Unkept;
use report::{Report, Tally};

/// The kind of the job.
pub const KIND: &str = "lifecycle";
pub const VERSION: u16 = 1;
/// Where what is known of runs is kept, in the gateway's own settings.
const SPACE: &str = "lifecycle";
const LAST_RUN: &str = "last-run";
const LAST_DRY_RUN: &str = "last-dry-run";
/// Things of one page that are judged at once: writes of one time share a sync.
const AT_ONCE: usize = 32;
/// Of a page.
const BUCKETS: usize = 1000;

/// The payload of the job.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Document {
    pub dry_run: bool,
}

/// How a run goes about it.
#[derive(Debug, Clone, Copy)]
pub struct How {
    /// Only say what would go.
    pub dry_run: bool,
    /// What is due by then.
    pub now: Timestamp,
}

/// Told now and then: how many keys were looked at, and how many things went.
pub type Told<'t> = &'t (dyn Fn(u64, u64) + Send + Sync);

/// A run under way. Cheap to clone.
#[derive(Clone)]
struct Run {
    ops: Ops,
    how: How,
    tally: Arc<Mutex<Tally>>,
}

impl Run {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, told: Told<'_>) {
        let (looked_at, gone) = {
            let tally = self.tally();
            (tally.report.looked_at, tally.report.total.all())
        };
        told(looked_at, gone);
    }

    /// What of the buckets' rules is not carried out: those that can't be read, and those that move objects.
    async fn take_stock(&self) -> Result<()> {
        let (lifecycles, mut after) = (self.ops.lifecycles(), String::new());
        loop {
            let buckets = self.ops.origin.buckets.buckets(None, "", &after, BUCKETS).await?;
            for bucket in &buckets {
                if let Some(e) = lifecycles.fault(bucket) {
                    tracing::error!(bucket = %bucket.name, error = %e, "the bucket's lifecycle can't be read: none of its rules is carried out");
                    self.tally().fault(format!("{}: its rules can't be read: {}", bucket.name, e.message()));
                }
                let moved = self.ops.origin.has_classes && bucket.versioning() != Versioning::Enabled;
                let left_out = |rule: &Rule| !moved && !rule.transitions.is_empty() || !rule.noncurrent_transitions.is_empty();
                let moves = |rule: &&Rule| rule.enabled && left_out(rule);
                let left_out = lifecycles.of(bucket).map_or(0, |rules| rules.iter().filter(moves).count() as u64);
                self.tally().report.transitions_left_out += left_out;
            }
            match buckets.last() {
                Some(last) if buckets.len() >= BUCKETS => after = last.name.to_string(),
                _ => return Ok(()),
            }
        }
    }

    /// Until a thing that stays for now is looked at again.
    fn tomorrow(&self) -> Timestamp {
        self.how.now.plus(self.ops.lifecycles().day.length())
    }
}

impl Ops {
    /// Goes through all that is due. Err: it could not go on; what went is told by the next run that ends.
    pub async fn run_lifecycle(&self, _: &GatewayGrant, how: How, told: Told<'_>) -> Result<Report> {
        let tally = Arc::new(Mutex::new(Tally::begin(how.dry_run, Timestamp::now())));
        let run = Run { ops: self.clone(), how, tally };
        run.take_stock().await?;
        match &self.origin.due {
            Some(index) => run.by_index(&**index, told).await?,
            None => run.by_listing(told).await?,
        }
        let report = std::mem::take(&mut *run.tally()).finish(true, Timestamp::now());
        let name = if how.dry_run { LAST_DRY_RUN } else { LAST_RUN };
        let document = serde_json::to_vec(&report).map_err(Error::internal)?;
        self.origin.settings.set_setting(SPACE, name, Some(document)).await?;
        Ok(report)
    }

    /// None: there was none yet.
    pub async fn last_lifecycle(&self, _: &OperatorGrant, dry_run: bool) -> Result<Option<Report>> {
        let wanted = if dry_run { LAST_DRY_RUN } else { LAST_RUN };
        let stored = self.origin.settings.settings(SPACE).await?;
        let document = stored.iter().find(|(name, _)| name == wanted).map(|(_, document)| document);
        document.map(|document| serde_json::from_slice(document)).transpose().map_err(Error::internal)
    }

    /// A run as soon as there is room for it: the job that does it.
    pub async fn begin_lifecycle(&self, _: &OperatorGrant, dry_run: bool) -> Result<JobId> {
        let job = NewJob { max_attempts: 3, ..NewJob::new(TenantId::operator(), KIND, Payload::of(VERSION, &Document { dry_run })?) };
        Ok(self.jobs.enqueue(job).await?.id)
    }

    /// That job, as soon as it has ended or `patience` has.
    pub async fn wait_for_lifecycle(&self, _: &OperatorGrant, id: JobId, patience: Duration) -> Result<View> {
        let view = self.jobs.wait(id, patience).await?.filter(|view| view.job.kind == KIND);
        view.ok_or_else(|| Error::new(ErrorKind::NotFound, "There is no run of the lifecycle with that id."))
    }
}

#[cfg(test)]
mod tests;
