//! What goes on beside requests and jobs: how far each replica is behind, and when its next repair scan is due.

use std::time::Duration;

use crate::base::error::Result;
use crate::base::names::TenantId;
use crate::base::timestamp::Timestamp;
use crate::ops::replicas::scan::{Mark, read_mark, write_mark};
use crate::ops::replicas::{Inner, Replicas, Target, VERSION};
use crate::queue::job::Phase;
use crate::queue::view::Filter;
use crate::queue::{JobId, NewJob, Payload};

/// The kind of the jobs that scan. Their payload is the replica's name.
pub const REPAIR: &str = "repair";
const LOOK: Duration = Duration::from_secs(5);

impl Replicas {
    /// Until it is dropped.
    pub async fn tend(self) {
        loop {
            for target in &self.0.targets {
                match self.0.lag(target).await {
                    Ok(lag) => target.gauges.set_lag(lag),
                    Err(e) => tracing::debug!(error = %e, "how far a replica is behind is not known"),
                }
                if let Err(e) = self.0.schedule(target).await {
                    tracing::warn!(replica = %target.name, error = %e, "a repair scan can't be scheduled; it is tried again");
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Inner {
    /// Age of the oldest job that has not ended.
    async fn lag(&self, target: &Target) -> Result<Duration> {
        let now = Timestamp::now();
        let mut lag = Duration::ZERO;
        for phase in [Phase::Waiting, Phase::Running] {
            let filter = Filter {
                tenant: Some(TenantId::operator()),
                phase: Some(phase),
                kind: Some(target.kind.to_owned()),
                max: 1,
                ..Filter::default()
            };
            if let Some(job) = self.queue.list(filter).await?.jobs.first() {
                lag = lag.max(now.since(job.created));
            }
        }
        Ok(lag)
    }

    async fn schedule(&self, target: &Target) -> Result<()> {
        let finished = read_mark(&self.mark_file(target)).finished;
        target.gauges.set_scanned(finished / 1000);
        if Timestamp::now().since(Timestamp::from_millis(finished)) < target.settings.scan {
            return Ok(());
        }
        // One for each time that a scan went through.
        self.enqueue_scan(target, Some(format!("{}-{finished}", target.name))).await.map(drop)
    }

    pub(super) async fn repair(&self, target: &Target) -> Result<JobId> {
        let file = self.mark_file(target);
        // From the beginning; when the last one went through stays as it was.
        write_mark(&file, &Mark { finished: read_mark(&file).finished, ..Mark::default() })?;
        self.enqueue_scan(target, None).await
    }

    async fn enqueue_scan(&self, target: &Target, key: Option<String>) -> Result<JobId> {
        let payload = Payload::of(VERSION, &target.settings.name)?;
        let job = NewJob { key, max_attempts: u32::MAX, ..NewJob::new(TenantId::operator(), REPAIR, payload) };
        Ok(self.queue.enqueue(job).await?.id)
    }
}
