//! What the keeping of usage counts: what was taken in, by who pays, and how it stands with the disk.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::tenants::MAX_TENANT_SERIES;

type Labels = [(&'static str, String); 1];

#[derive(Debug, Clone, Default)]
pub struct Usage {
    requests: Family<Labels, Counter>,
    bytes_in: Family<Labels, Counter>,
    bytes_out: Family<Labels, Counter>,
    stored: Family<Labels, Gauge>,
    objects: Family<Labels, Gauge>,
    /// Those that have series of their own.
    known: Arc<Mutex<HashSet<String>>>,
    pub rows: Gauge,
    /// Requests that went to a row that many share.
    pub shared: Counter,
    /// Sheets that had to wait.
    pub behind: Counter,
    pub failures: Counter,
}

impl Usage {
    pub fn register(r: &mut Registry) -> Self {
        let all = Usage::default();
        r.register("usage_requests", "Requests by the tenant who pays for them", all.requests.clone());
        r.register("usage_bytes_in", "Body bytes received, by the tenant who pays for them", all.bytes_in.clone());
        r.register("usage_bytes_out", "Body bytes sent, by the tenant who pays for them", all.bytes_out.clone());
        r.register("usage_stored_bytes", "Stored by the tenant when it was measured last", all.stored.clone());
        r.register("usage_stored_versions", "The same: versions of objects", all.objects.clone());
        r.register("usage_rows", "Rows of usage in memory", all.rows.clone());
        r.register("usage_shared_requests", "Requests that found no row of their own any more", all.shared.clone());
        r.register("usage_behind", "Times that a worker's counts had to wait for the thread that keeps usage", all.behind.clone());
        r.register("usage_write_failures", "Batches of usage that could not be written, and were tried again", all.failures.clone());
        all
    }

    pub fn counted(&self, tenant: &str, requests: u64, bytes_in: u64, bytes_out: u64) {
        let labels = [("tenant", self.series(tenant))];
        self.requests.get_or_create(&labels).inc_by(requests);
        self.bytes_in.get_or_create(&labels).inc_by(bytes_in);
        self.bytes_out.get_or_create(&labels).inc_by(bytes_out);
    }

    /// Under which name a tenant is shown.
    pub fn series(&self, tenant: &str) -> String {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = known.contains(tenant) || (known.len() < MAX_TENANT_SERIES && known.insert(tenant.to_owned()));
        if is_known { tenant.to_owned() } else { "other".to_owned() }
    }

    /// Bytes and versions, by series: all there are.
    pub fn stored(&self, sums: &BTreeMap<String, (u64, u64)>) {
        // What is not there any more shows nothing.
        for family in [&self.stored, &self.objects] {
            family.clear();
        }
        for (series, (bytes, versions)) in sums {
            let labels = [("tenant", series.clone())];
            self.stored.get_or_create(&labels).set(i64::try_from(*bytes).unwrap_or(i64::MAX));
            self.objects.get_or_create(&labels).set(i64::try_from(*versions).unwrap_or(i64::MAX));
        }
    }
}
