//! Carries out what the lifecycle of buckets says, see `ops::lifecycle`: again and again, for all nodes over a bucket once; and when the
//! operator asks. Done again after a crash, what is gone already is not there to be found.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::time::interval;

use crate::auth::grant::GatewayGrant;
use crate::base::error::{Error, Result};
use crate::base::timestamp::Timestamp;
use crate::ops::Ops;
use crate::ops::lifecycle::report::Report;
use crate::ops::lifecycle::{Document, How, KIND, VERSION};
use crate::queue::kind::Work;
use crate::queue::{Attempt, Fault, Kind, Payload, Recurring};
use crate::telemetry::lifecycle::{Lifecycle as Gauges, Run as Counted};

const SIGN_OF_LIFE: Duration = Duration::from_secs(20);
/// A node that has just started has better things to do.
const FIRST: Duration = Duration::from_secs(120);

pub struct Lifecycle {
    pub ops: Ops,
    pub grant: GatewayGrant,
    pub gauges: Gauges,
}

pub fn recurring(every: Duration) -> Result<Recurring> {
    let payload = Payload::of(VERSION, &Document { dry_run: false })?;
    Ok(Recurring { name: KIND.into(), kind: KIND, payload, every, first: FIRST.min(every) })
}

impl Kind for Lifecycle {
    fn name(&self) -> &'static str {
        KIND
    }

    /// One after the other: a dry run beside a run would tell of what is going.
    fn at_once(&self) -> u32 {
        1
    }

    fn patience(&self) -> Duration {
        SIGN_OF_LIFE * 3
    }

    fn run<'a>(&'a self, attempt: &'a Attempt) -> Work<'a> {
        Box::pin(async move {
            let Document { dry_run } = attempt.document(VERSION)?;
            let (looked_at, gone) = (AtomicU64::new(0), AtomicU64::new(0));
            let told = |keys, things| {
                looked_at.store(keys, Ordering::Relaxed);
                gone.store(things, Ordering::Relaxed);
            };
            let running = self.ops.run_lifecycle(&self.grant, How { dry_run, now: Timestamp::now() }, &told);
            tokio::pin!(running);
            let mut life = interval(SIGN_OF_LIFE);
            loop {
                tokio::select! {
                    ended = &mut running => return self.ended(dry_run, ended),
                    _ = life.tick() => attempt.progress(looked_at.load(Ordering::Relaxed), 0, format!("keys looked at; {} things went", gone.load(Ordering::Relaxed))),
                }
            }
        })
    }
}

impl Lifecycle {
    /// The whole report is kept elsewhere: a job's result is short.
    fn ended(&self, dry_run: bool, ended: Result<Report, Error>) -> Result<Option<serde_json::Value>, Fault> {
        match ended {
            Ok(report) => {
                if !dry_run {
                    self.gauges.ran(&counted(&report));
                }
                Ok(Some(json!({ "looked_at": report.looked_at, "total": report.total, "held": report.held, "failed": report.failed })))
            }
            Err(e) => {
                self.gauges.failed.inc();
                Err(Fault::retry(format!("{:?}: {}", e.kind(), e.message())))
            }
        }
    }
}

fn counted(report: &Report) -> Counted {
    let total = report.total;
    Counted {
        objects: total.objects,
        hidden: total.hidden,
        versions: total.versions,
        markers: total.markers,
        uploads: total.uploads,
        bytes: total.bytes,
        moved: total.moved,
        held: report.held.all(),
        failed: report.failed,
        looked_at: report.looked_at,
        finished: Timestamp::now().secs(),
    }
}
