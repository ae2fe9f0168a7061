//! Files of media that were looked into, and how that ended.

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
}

impl Media {
    pub fn register(r: &mut Registry) -> Self {
        let all = Media::default();
        r.register("media_inspections", "Files of media that were looked into, by the verdict", all.files.clone());
        r.register_with_unit("media_inspected", "What was looked into", Unit::Bytes, all.bytes.clone());
        r.register("media_failures", "Inspections that found no worker, or no content: they are tried again", all.of_us.clone());
        all
    }

    pub fn looked_at(&self, verdict: &'static str, bytes: u64) {
        self.files.get_or_create(&[("verdict", verdict)]).inc();
        self.bytes.inc_by(bytes);
    }
}
