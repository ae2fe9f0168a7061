//! Files of media that were looked into, and how that ended.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::{Registry, Unit};

type Labels = [(&'static str, &'static str); 1];

#[derive(Debug, Clone, Default)]
pub struct Media {
    files: Family<Labels, Counter>,
    bytes: Counter,
    /// Files that could not be had, and workers that could not be started.
    pub of_us: Counter,
    renditions: Family<Labels, Counter>,
    saved: Counter,
    seconds: Counter<f64, AtomicU64>,
}

impl Media {
    pub fn register(r: &mut Registry) -> Self {
        let all = Media::default();
        r.register("media_inspections", "Files of media that were looked into, by the verdict", all.files.clone());
        r.register_with_unit("media_inspected", "What was looked into", Unit::Bytes, all.bytes.clone());
        r.register("media_failures", "Inspections that found no worker, or no content: they are tried again", all.of_us.clone());
        r.register("media_renditions", "Results of optimisation, by what became of them", all.renditions.clone());
        r.register_with_unit("media_saved", "What the smallest form of each model has less than the model", Unit::Bytes, all.saved.clone());
        r.register_with_unit("media_optimize", "Time in which workers made results", Unit::Seconds, all.seconds.clone());
        all
    }

    pub fn rendered(&self, outcome: &'static str, count: u64) {
        self.renditions.get_or_create(&[("outcome", outcome)]).inc_by(count);
    }

    pub fn saved(&self, bytes: u64) {
        self.saved.inc_by(bytes);
    }

    pub fn worked(&self, time: Duration) {
        self.seconds.inc_by(time.as_secs_f64());
    }

    pub fn looked_at(&self, verdict: &'static str, bytes: u64) {
        self.files.get_or_create(&[("verdict", verdict)]).inc();
        self.bytes.inc_by(bytes);
    }
}
