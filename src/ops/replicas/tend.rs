//! Repair scans, which recur and can be asked for; and, beside requests and jobs, how far this node's changes are behind on each replica.

use std::time::Duration;

use crate::base::error::Result;
use crate::base::names::TenantId;
use crate::base::timestamp::Timestamp;
use crate::ops::replicas::scan::{Mark, read_mark, write_mark};
use crate::ops::replicas::{Inner, Replicas, Target, VERSION};
use crate::queue::job::Phase;
use crate::queue::view::Filter;
use crate::queue::{JobId, NewJob, Payload, Recurring};

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
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// A scan of each replica: of all nodes over the bucket one does it, for what all of them changed.
    pub fn recurring(&self) -> Result<Vec<Recurring>> {
        let each = self.0.targets.iter().map(|target| {
            let finished = Timestamp::from_millis(read_mark(&self.0.mark_file(target)).finished);
            target.gauges.set_scanned(finished.secs());
            Ok(Recurring {
                name: format!("{REPAIR}-{}", target.name),
                kind: REPAIR,
                payload: Payload::of(VERSION, &target.settings.name)?,
                every: target.settings.scan,
                // From before scans were jobs that recur.
                first: target.settings.scan.saturating_sub(Timestamp::now().since(finished)),
            })
        });
        each.collect()
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

    pub(super) async fn repair(&self, target: &Target) -> Result<JobId> {
        let file = self.mark_file(target);
        // From the beginning; when the last one went through stays as it was.
        write_mark(&file, &Mark { finished: read_mark(&file).finished, ..Mark::default() })?;
        let payload = Payload::of(VERSION, &target.settings.name)?;
        let job = NewJob { max_attempts: u32::MAX, ..NewJob::new(TenantId::operator(), REPAIR, payload) };
        Ok(self.queue.enqueue(job).await?.id)
    }
}
