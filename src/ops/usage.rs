//! What was used and what is stored, for whoever may know: a tenant its own, the operator all of it. And the reading of the store's
//! meters, from time to time.
//!
//! Not here: counting (`usage`, `local/usage`), HTTP. What is stored over a remote S3 is counted and measured by `tally`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::MissedTickBehavior;

use crate::auth::action::Action;
use crate::auth::grant::{Grant, OperatorGrant};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::TenantId;
use crate::base::timestamp::Timestamp;
use crate::base::usage::{RunDays, RunDaysQuery, Stored, StoredBy, StoredPage, StoredQuery};
use crate::ops::shared_usage::{SHARE_EVERY, SharedUsage};
use crate::ops::tally::recount;
use crate::ops::{Ops, wrong_grant};
use crate::queue::view::View;
use crate::queue::{JobId, NewJob, Payload};
use crate::telemetry::usage::Usage as Gauges;
use crate::usage::Usage;
use crate::usage::count::Place;
use crate::usage::report::{Beside, By, Query, Report};

/// A bucket has ten meters at most.
const MAX_METERS: usize = 1_000_000;
/// Of one report: runs, or days of runs. What is more counts as one run of its place.
const MAX_RUN_DAYS: usize = 50_000;

impl Ops {
    /// A tenant sees its own, whatever it asks for.
    pub async fn usage(&self, grant: &Grant, query: Query) -> Result<Report> {
        let tenant = seen(grant, query.tenant)?;
        self.read_usage(Query { tenant, ..query }).await
    }

    pub async fn usage_of_all(&self, _: &OperatorGrant, query: Query) -> Result<Report> {
        // What was stored up to now is in it.
        self.measure().await?;
        self.read_usage(query).await
    }

    /// By which months and days are told apart.
    pub fn usage_clock(&self) -> Timestamp {
        self.usage.as_ref().map_or_else(Timestamp::now, Usage::now)
    }

    async fn read_usage(&self, query: Query) -> Result<Report> {
        let usage = self.usage.clone().ok_or_else(not_kept)?;
        // Whoever asks again and again waits for his turn, and holds no thread meanwhile.
        let turn = usage.clone();
        let _turn = turn.turn().await?;
        let beside = match &self.shared_usage {
            Some(shared) => self.told_by_others(shared, &query).await?,
            None if query.wants_runs() => Beside { runs: self.days_of_runs(&query).await?, ..Beside::default() },
            None => Beside::default(),
        };
        spawn_blocking(move || usage.report(&query, beside)).await.map_err(Error::internal)?
    }

    async fn told_by_others(&self, shared: &SharedUsage, query: &Query) -> Result<Beside> {
        let today = match &self.layers.tally {
            Some(tally) => tally.today().await?,
            None => None,
        };
        let (name, record) = today.unzip();
        let mut others = shared.of_others(query.month, name).await?;
        others.extend(record);
        Ok(Beside { others, ..Beside::default() })
    }

    /// Up to the reading that the other lines are of, made for it.
    async fn days_of_runs(&self, query: &Query) -> Result<Vec<RunDays>> {
        let Some(at) = self.measure().await? else { return Ok(Vec::new()) };
        let (days, by_day) = (query.days(), query.by.contains(&By::Day));
        self.origin.control.run_days(RunDaysQuery { tenant: query.tenant.clone(), days, by_day, at, max: MAX_RUN_DAYS }).await
    }

    pub async fn stored(&self, grant: &Grant, tenant: Option<TenantId>, by: StoredBy, max: usize) -> Result<StoredPage> {
        let tenant = seen(grant, tenant)?;
        self.read_stored(StoredQuery { tenant, by, max }).await
    }

    pub async fn stored_by_all(&self, _: &OperatorGrant, tenant: Option<TenantId>, by: StoredBy, max: usize) -> Result<StoredPage> {
        self.read_stored(StoredQuery { tenant, by, max }).await
    }

    async fn read_stored(&self, query: StoredQuery) -> Result<StoredPage> {
        self.origin.control.stored(query).await?.ok_or_else(|| {
            Error::new(
                ErrorKind::NotImplemented,
                "What is stored over a remote S3 is not counted here: usage.count_upstream is off. Requests and bytes are counted.",
            )
        })
    }

    /// Reads the meters of the store now, where there are any.
    pub async fn measure(&self) -> Result<Option<Timestamp>> {
        let Some(usage) = self.usage.clone() else { return Ok(None) };
        if self.shared_usage.is_some() {
            // One node measures for all of them: see `tally::meter`.
            return Ok(None);
        }
        let query = StoredQuery { tenant: None, by: StoredBy::Type, max: MAX_METERS };
        let Some(page) = self.origin.control.stored(query).await? else { return Ok(None) };
        if page.more {
            return Err(Error::internal("there are too many meters to be read"));
        }
        let meters = page.places.into_iter().map(|stored| (place(&stored), stored.byte_millis)).collect();
        spawn_blocking(move || usage.measured(page.at, meters)).await.map_err(Error::internal)?;
        Ok(Some(page.at))
    }

    /// Reads them again and again; runs until it is aborted.
    pub async fn keep_measuring(self, gauges: Gauges) {
        let Some(every) = self.usage.as_ref().map(|usage| usage.settings().measure) else { return };
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let told = async {
                self.measure().await?;
                if let Some(tally) = &self.layers.tally {
                    tally.meter(self.usage_clock(), every / 2).await?;
                }
                self.tell_stored(&gauges).await
            };
            if let Err(e) = told.await {
                tracing::warn!(error = %e, "what is stored could not be measured; it is tried again");
            }
        }
    }

    async fn tell_stored(&self, gauges: &Gauges) -> Result<()> {
        let query = StoredQuery { tenant: None, by: StoredBy::Tenant, max: MAX_METERS };
        let Some(page) = self.origin.control.stored(query).await? else { return Ok(()) };
        let mut sums: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for stored in &page.places {
            let (bytes, versions) = sums.entry(gauges.series(stored.tenant.as_str())).or_default();
            *bytes += stored.amount.bytes;
            *versions += stored.amount.versions;
        }
        gauges.stored(&sums);
        Ok(())
    }

    /// A recount as soon as there is room for it: the job that does it.
    pub async fn begin_recount(&self, _: &OperatorGrant) -> Result<JobId> {
        if self.layers.tally.is_none() {
            let text = "Only what is stored over a remote S3 is counted anew, and only with usage.count_upstream.";
            return Err(Error::new(ErrorKind::NotImplemented, text));
        }
        let payload = Payload::of(recount::VERSION, &serde_json::json!({}))?;
        Ok(self.jobs.enqueue(NewJob { max_attempts: 5, ..NewJob::new(TenantId::operator(), recount::KIND, payload) }).await?.id)
    }

    /// That job, as soon as it has ended or `patience` has.
    pub async fn wait_for_recount(&self, _: &OperatorGrant, id: JobId, patience: Duration) -> Result<View> {
        let view = self.jobs.wait(id, patience).await?.filter(|view| view.job.kind == recount::KIND);
        view.ok_or_else(|| Error::new(ErrorKind::NotFound, "There is no recount with that id."))
    }

    /// As the folder of a gateway's usage.
    pub(super) async fn back_up_usage(&self, target: PathBuf) -> Result<()> {
        let Some(usage) = self.usage.clone() else { return Ok(()) };
        self.measure().await?;
        spawn_blocking(move || usage.backup(&target)).await.map_err(Error::internal)?
    }

    /// Tells other nodes what was used here, again and again; runs until it is aborted.
    pub async fn keep_sharing(self) {
        let Some(shared) = &self.shared_usage else { return };
        let mut ticks = tokio::time::interval(SHARE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now = self.usage_clock();
            let told = async {
                shared.share(now).await?;
                shared.hear(now).await
            };
            if let Err(e) = told.await {
                tracing::warn!(error = %e, "the other nodes can't be told what was used here; it is tried again");
            }
        }
    }

    /// What is counted here is told before the end.
    pub async fn end_of_usage(&self) -> Result<()> {
        self.measure().await?;
        if let Some(tally) = &self.layers.tally {
            tally.end().await?;
        }
        match &self.shared_usage {
            Some(shared) => shared.share(self.usage_clock()).await,
            None => Ok(()),
        }
    }

    pub fn with_usage(self, usage: Usage, shared: Option<SharedUsage>) -> Self {
        Ops { usage: Some(usage), shared_usage: shared, ..self }
    }
}

fn place(stored: &Stored) -> Place {
    let bucket = stored.bucket.as_ref().map(ToString::to_string).unwrap_or_default();
    Place { tenant: stored.tenant.to_string(), bucket, artifact: stored.artifact.clone(), run: stored.run.clone() }
}

fn seen(grant: &Grant, asked: Option<TenantId>) -> Result<Option<TenantId>> {
    if grant.action() != Action::GetUsage {
        return Err(wrong_grant(grant, Action::GetUsage));
    }
    Ok(if grant.tenant().is_operator() { asked } else { Some(grant.tenant().clone()) })
}

fn not_kept() -> Error {
    Error::new(ErrorKind::NotImplemented, "Usage is not kept here.")
}
