//! Old stores that buckets grew out of: what is still read from there, and what was copied.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

type Labels = [(&'static str, String); 1];

#[derive(Debug, Clone, Default)]
pub struct Shadows {
    up: Family<Labels, Gauge>,
    reads: Family<Labels, Counter>,
    copied: Family<Labels, Counter>,
    copied_bytes: Family<Labels, Counter>,
    failures: Family<Labels, Counter>,
    skipped: Family<Labels, Counter>,
}

/// Those of one bucket.
#[derive(Debug, Clone)]
pub struct Shadow {
    pub up: Gauge,
    /// Answers about keys that only the old store has.
    pub reads: Counter,
    pub copied: Counter,
    pub copied_bytes: Counter,
    pub failures: Counter,
    /// Copies that were left to a later read because too many wait.
    pub skipped: Counter,
}

impl Shadows {
    pub fn register(r: &mut Registry) -> Self {
        let all = Shadows::default();
        r.register("shadow_up", "1: the old store answered what it was last asked", all.up.clone());
        r.register("shadow_reads", "Answers about keys that only the old store has", all.reads.clone());
        r.register("shadow_copied", "Objects copied from the old store", all.copied.clone());
        r.register_with_unit("shadow_copied", "Bytes of them", Unit::Bytes, all.copied_bytes.clone());
        r.register("shadow_failures", "Copies from the old store that failed", all.failures.clone());
        r.register("shadow_skipped", "Copies left to a later read because too many wait", all.skipped.clone());
        all
    }

    pub fn of(&self, bucket: &str) -> Shadow {
        let labels = [("bucket", bucket.to_owned())];
        Shadow {
            up: self.up.get_or_create_owned(&labels),
            reads: self.reads.get_or_create_owned(&labels),
            copied: self.copied.get_or_create_owned(&labels),
            copied_bytes: self.copied_bytes.get_or_create_owned(&labels),
            failures: self.failures.get_or_create_owned(&labels),
            skipped: self.skipped.get_or_create_owned(&labels),
        }
    }
}
