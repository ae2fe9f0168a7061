//! What the lifecycle of buckets let go, and when it last went through.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

type Labels = [(&'static str, &'static str); 1];

#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    gone: Family<Labels, Counter>,
    bytes: Counter,
    moved: Counter,
    held: Counter,
    looked_at: Counter,
    /// Runs that could not go on, and things that could not be let go.
    pub failed: Counter,
    finished: Gauge,
}

/// One that went through.
#[derive(Debug, Clone, Copy, Default)]
pub struct Run {
    pub objects: u64,
    pub hidden: u64,
    pub versions: u64,
    pub markers: u64,
    pub uploads: u64,
    pub bytes: u64,
    pub moved: u64,
    pub held: u64,
    pub failed: u64,
    pub looked_at: u64,
    pub finished: u64,
}

impl Lifecycle {
    pub fn register(r: &mut Registry) -> Self {
        let all = Lifecycle::default();
        r.register("lifecycle_gone", "What lifecycle rules let go, by what it was", all.gone.clone());
        r.register_with_unit("lifecycle_freed", "Of what is gone for good", Unit::Bytes, all.bytes.clone());
        r.register("lifecycle_moved", "Objects that were moved to a colder storage class", all.moved.clone());
        r.register(
            "lifecycle_held",
            "Things that were due and stayed: locked, on their way to a replica, read not long ago, changed meanwhile, or not to be moved",
            all.held.clone(),
        );
        r.register("lifecycle_looked_at", "Keys that were looked at to find what is due", all.looked_at.clone());
        r.register("lifecycle_failures", "Things that could not be let go, and runs that could not go on", all.failed.clone());
        r.register_with_unit("lifecycle_finished", "When a run last went through, as Unix time", Unit::Seconds, all.finished.clone());
        all
    }

    pub fn ran(&self, run: &Run) {
        let kinds =
            [("object", run.objects), ("hidden", run.hidden), ("version", run.versions), ("marker", run.markers), ("upload", run.uploads)];
        for (kind, count) in kinds {
            self.gone.get_or_create(&[("what", kind)]).inc_by(count);
        }
        self.bytes.inc_by(run.bytes);
        self.moved.inc_by(run.moved);
        self.held.inc_by(run.held);
        self.looked_at.inc_by(run.looked_at);
        self.failed.inc_by(run.failed);
        self.finished.set(i64::try_from(run.finished).unwrap_or(i64::MAX));
    }
}
