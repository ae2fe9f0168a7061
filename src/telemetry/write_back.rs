//! What waits to be stored upstream.

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

#[derive(Debug, Clone, Default)]
pub struct WriteBack {
    entries: Gauge,
    bytes: Gauge,
}

impl WriteBack {
    pub fn register(registry: &mut Registry) -> Self {
        let gauges = WriteBack::default();
        registry.register("write_back_waiting", "Objects and deletes that wait to be stored upstream", gauges.entries.clone());
        registry.register_with_unit("write_back_waiting", "Bytes of them", Unit::Bytes, gauges.bytes.clone());
        gauges
    }

    pub fn set(&self, entries: u64, bytes: u64) {
        self.entries.set(i64::try_from(entries).unwrap_or(i64::MAX));
        self.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}
