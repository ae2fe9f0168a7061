//! Background work by kind: how deep the queue is, how old its oldest job, what runs, how attempts ended.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::gauge::GaugeGuard;
use super::histogram::Latency;

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// How many jobs of a kind are in each state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Depth {
    pub kind: &'static str,
    pub states: [(&'static str, u64); 5],
}

#[derive(Debug)]
pub struct Jobs {
    depth: Family<Labels<2>, Gauge>,
    oldest: Gauge,
    running: Family<Labels<1>, Gauge>,
    attempts: Family<Labels<2>, Counter>,
    duration: Family<Labels<1>, Latency>,
}

impl Jobs {
    pub fn register(registry: &mut Registry) -> Self {
        let jobs = Jobs {
            depth: Family::default(),
            oldest: Gauge::default(),
            running: Family::default(),
            attempts: Family::default(),
            duration: Family::default(),
        };
        registry.register("jobs", "Jobs by kind and state", jobs.depth.clone());
        registry.register_with_unit("job_oldest", "Age of the oldest job that waits", Unit::Seconds, jobs.oldest.clone());
        registry.register("jobs_running", "Attempts that run", jobs.running.clone());
        registry.register("job_attempts", "Attempts that ended, by kind and outcome", jobs.attempts.clone());
        registry.register_with_unit("job_duration", "Time of one attempt", Unit::Seconds, jobs.duration.clone());
        jobs
    }

    pub fn set_depths(&self, depths: &[Depth], oldest: Duration) {
        for depth in depths {
            for (state, count) in depth.states {
                self.depth.get_or_create(&[("kind", depth.kind), ("state", state)]).set(i64::try_from(count).unwrap_or(i64::MAX));
            }
        }
        self.oldest.set(i64::try_from(oldest.as_secs()).unwrap_or(i64::MAX));
    }

    /// Counted as running until the guard goes.
    pub fn begin(&self, kind: &'static str) -> GaugeGuard {
        GaugeGuard::new(&self.running.get_or_create_owned(&[("kind", kind)]))
    }

    pub fn ended(&self, kind: &'static str, outcome: &'static str, after: Duration) {
        self.attempts.get_or_create(&[("kind", kind), ("outcome", outcome)]).inc();
        self.duration.get_or_create(&[("kind", kind)]).observe(after);
    }
}
