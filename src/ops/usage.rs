//! What was used and what is stored, for whoever may know: a tenant its own, the operator all of it. And the reading of the store's
//! meters, from time to time.
//!
//! Not here: counting (`usage`, `local/usage`), HTTP. Where the store does not count what it holds (a remote S3), nothing is measured.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tokio::task::spawn_blocking;
use tokio::time::MissedTickBehavior;

use crate::auth::action::Action;
use crate::auth::grant::{Grant, OperatorGrant};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::TenantId;
use crate::base::timestamp::Timestamp;
use crate::base::usage::{Stored, StoredBy, StoredPage, StoredQuery};
use crate::ops::shared_usage::{SHARE_EVERY, SharedUsage};
use crate::ops::{Ops, wrong_grant};
use crate::telemetry::usage::Usage as Gauges;
use crate::usage::Usage;
use crate::usage::count::Place;
use crate::usage::report::{Query, Report};

/// A bucket has ten meters at most.
const MAX_METERS: usize = 1_000_000;

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

    async fn read_usage(&self, query: Query) -> Result<Report> {
        let usage = self.usage.clone().ok_or_else(not_kept)?;
        // Whoever asks again and again waits for his turn, and holds no thread meanwhile.
        let turn = usage.clone();
        let _turn = turn.turn().await?;
        let others = match &self.shared_usage {
            Some(shared) => shared.of_others(query.month).await?,
            None => Vec::new(),
        };
        spawn_blocking(move || usage.report(&query, &others)).await.map_err(Error::internal)?
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
                "Over a remote S3 the gateway does not count what is stored. Requests and bytes are counted.",
            )
        })
    }

    /// Reads the meters of the store now.
    pub async fn measure(&self) -> Result<()> {
        let Some(usage) = self.usage.clone() else { return Ok(()) };
        let query = StoredQuery { tenant: None, by: StoredBy::Type, max: MAX_METERS };
        let Some(page) = self.origin.control.stored(query).await? else { return Ok(()) };
        if page.more {
            return Err(Error::internal("there are too many meters to be read"));
        }
        let meters = page.places.into_iter().map(|stored| (place(&stored), stored.byte_millis)).collect();
        spawn_blocking(move || usage.measured(page.at, meters)).await.map_err(Error::internal)
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
            if let Err(e) = shared.share(Timestamp::now()).await {
                tracing::warn!(error = %e, "the other nodes can't be told what was used here; it is tried again");
            }
        }
    }

    /// What is counted here is told before the end.
    pub async fn end_of_usage(&self) -> Result<()> {
        self.measure().await?;
        match &self.shared_usage {
            Some(shared) => shared.share(Timestamp::now()).await,
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
