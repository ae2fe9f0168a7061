//! A latency histogram without a lock: prometheus-client's own takes one for each observation, on every core's hot path.
//!
//! An observation is two relaxed atomic adds. A scrape may see an observation's bucket before its sum; both are
//! monotonic, which is all that rates need.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// Upper bounds in microseconds: from a hit in memory to a large upload. Finer steps where answers are expected to be.
const BOUNDS_MICROS: [u64; 16] =
    [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000, 15_000_000, 60_000_000];
const BUCKETS: usize = BOUNDS_MICROS.len() + 1;

#[derive(Debug, Clone, Default)]
pub struct Latency(Arc<Cells>);

#[derive(Debug, Default)]
struct Cells {
    buckets: [AtomicU64; BUCKETS],
    sum_micros: AtomicU64,
}

impl Latency {
    pub fn observe(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_MICROS.iter().position(|&bound| micros <= bound).unwrap_or(BUCKETS - 1);
        self.0.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.0.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }

    pub fn count(&self) -> u64 {
        self.0.buckets.iter().map(|b| b.load(Ordering::Relaxed)).sum()
    }
}

impl TypedMetric for Latency {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Latency {
    fn encode(&self, mut encoder: MetricEncoder) -> Result<(), std::fmt::Error> {
        let bounds = BOUNDS_MICROS.iter().map(|&micros| micros as f64 / 1e6).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(&self.0.buckets).map(|(bound, n)| (bound, n.load(Ordering::Relaxed))).collect();
        let count = buckets.iter().map(|(_, n)| n).sum();
        let sum = self.0.sum_micros.load(Ordering::Relaxed) as f64 / 1e6;
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::registry::Registry;

    #[test]
    fn encodes_cumulative_buckets() {
        let latency = Latency::default();
        for micros in [50, 100, 101, 3_000, 100_000_000] {
            latency.observe(Duration::from_micros(micros));
        }
        assert_eq!(latency.count(), 5);
        let mut registry = Registry::default();
        registry.register("t", "help", latency);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in
            ["t_count 5", "t_bucket{le=\"0.0001\"} 2", "t_bucket{le=\"0.00025\"} 3", "t_bucket{le=\"0.005\"} 4", "t_bucket{le=\"+Inf\"} 5"]
        {
            assert!(text.contains(line), "{line} not in\n{text}");
        }
    }
}
