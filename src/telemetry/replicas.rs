//! Further regions: how far each replica is behind, what was brought there, and what was read from it.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

type Labels = [(&'static str, String); 1];

#[derive(Debug, Clone, Default)]
pub struct Replicas {
    lag: Family<Labels, Gauge>,
    up: Family<Labels, Gauge>,
    copied: Family<Labels, Counter>,
    copied_bytes: Family<Labels, Counter>,
    deleted: Family<Labels, Counter>,
    failures: Family<Labels, Counter>,
    skipped: Family<Labels, Counter>,
    found: Family<Labels, Counter>,
    scanned: Family<Labels, Gauge>,
    reads: Family<Labels, Counter>,
    origin_up: Gauge,
}

/// Those of one replica.
#[derive(Debug, Clone)]
pub struct Replica {
    lag: Gauge,
    pub up: Gauge,
    pub copied: Counter,
    pub copied_bytes: Counter,
    pub deleted: Counter,
    /// Keys that an attempt could not bring.
    pub failures: Counter,
    /// Intents that were left to the repair scan because too many wait.
    pub skipped: Counter,
    /// Keys that a repair scan found to differ.
    pub found: Counter,
    scanned: Gauge,
    /// Answers while the origin could not be asked.
    pub reads: Counter,
}

impl Replicas {
    pub fn register(registry: &mut Registry) -> Self {
        let all = Replicas::default();
        let r = registry;
        r.register_with_unit("replica_lag", "Age of the oldest change that a replica does not have", Unit::Seconds, all.lag.clone());
        r.register("replica_up", "1: the replica took or answered what it was last asked", all.up.clone());
        r.register("replica_copied", "Objects brought to a replica", all.copied.clone());
        r.register_with_unit("replica_copied", "Bytes of them", Unit::Bytes, all.copied_bytes.clone());
        r.register("replica_deleted", "Objects deleted at a replica", all.deleted.clone());
        r.register("replica_failures", "Keys that an attempt could not bring to a replica", all.failures.clone());
        r.register("replica_skipped", "Changes left to the repair scan because too many wait", all.skipped.clone());
        r.register("replica_found", "Keys that a repair scan found to differ", all.found.clone());
        r.register_with_unit("replica_scanned", "When a repair scan last went through, as Unix time", Unit::Seconds, all.scanned.clone());
        r.register("replica_reads", "Reads answered by a replica because the origin could not be asked", all.reads.clone());
        r.register("origin_up", "1: the origin is asked; 0: it can't be, and reads go to replicas", all.origin_up.clone());
        all.origin_up.set(1);
        all
    }

    pub fn of(&self, name: &str) -> Replica {
        let labels = [("replica", name.to_owned())];
        Replica {
            lag: self.lag.get_or_create_owned(&labels),
            up: self.up.get_or_create_owned(&labels),
            copied: self.copied.get_or_create_owned(&labels),
            copied_bytes: self.copied_bytes.get_or_create_owned(&labels),
            deleted: self.deleted.get_or_create_owned(&labels),
            failures: self.failures.get_or_create_owned(&labels),
            skipped: self.skipped.get_or_create_owned(&labels),
            found: self.found.get_or_create_owned(&labels),
            scanned: self.scanned.get_or_create_owned(&labels),
            reads: self.reads.get_or_create_owned(&labels),
        }
    }

    pub fn set_origin_up(&self, up: bool) {
        self.origin_up.set(i64::from(up));
    }
}

impl Replica {
    pub fn set_lag(&self, lag: Duration) {
        self.lag.set(i64::try_from(lag.as_secs()).unwrap_or(i64::MAX));
    }

    pub fn set_scanned(&self, seconds: u64) {
        self.scanned.set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }
}
