//! Requests and bytes by tenant, with a cap on how many tenants get a series of their own.
//!
//! Reads are lock-free (a map that is replaced as a whole when a new tenant shows up); past the cap tenants share `other`,
//! so that a scrape stays bounded however many tenants there are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::base::names::TenantId;

/// A thousand tenants are three thousand series: still a small scrape.
pub const MAX_TENANT_SERIES: usize = 1000;

type Labels = [(&'static str, String); 1];

/// One tenant's counters: the caller may keep them instead of asking again.
#[derive(Debug, Clone)]
pub struct TenantCounters {
    pub requests: Counter,
    pub bytes_in: Counter,
    pub bytes_out: Counter,
}

#[derive(Debug)]
pub struct Tenants {
    known: ArcSwap<HashMap<TenantId, Arc<TenantCounters>>>,
    /// Held only while a tenant is added.
    adding: Mutex<()>,
    other: Arc<TenantCounters>,
    families: [Family<Labels, Counter>; 3],
}

impl Tenants {
    pub fn register(registry: &mut Registry) -> Self {
        let families: [Family<Labels, Counter>; 3] = Default::default();
        let help = ["Requests by tenant", "Body bytes received by tenant", "Body bytes sent by tenant"];
        for ((family, name), help) in families.iter().zip(["tenant_requests", "tenant_bytes_in", "tenant_bytes_out"]).zip(help) {
            registry.register(name, help, family.clone());
        }
        let other = Arc::new(counters(&families, "other"));
        Tenants { known: ArcSwap::default(), adding: Mutex::new(()), other, families }
    }

    pub fn get(&self, tenant: &TenantId) -> Arc<TenantCounters> {
        let known = self.known.load();
        match known.get(tenant) {
            Some(found) => found.clone(),
            None if known.len() >= MAX_TENANT_SERIES => self.other.clone(),
            None => self.add(tenant),
        }
    }

    fn add(&self, tenant: &TenantId) -> Arc<TenantCounters> {
        let _one_at_a_time = self.adding.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let known = self.known.load();
        if let Some(found) = known.get(tenant) {
            return found.clone();
        }
        if known.len() >= MAX_TENANT_SERIES {
            return self.other.clone();
        }
        let made = Arc::new(counters(&self.families, tenant.as_str()));
        let mut next = HashMap::clone(&known);
        next.insert(tenant.clone(), made.clone());
        self.known.store(Arc::new(next));
        made
    }
}

fn counters(families: &[Family<Labels, Counter>; 3], tenant: &str) -> TenantCounters {
    let of = |family: &Family<Labels, Counter>| family.get_or_create_owned(&[("tenant", tenant.to_owned())]);
    let [requests, bytes_in, bytes_out] = families;
    TenantCounters { requests: of(requests), bytes_in: of(bytes_in), bytes_out: of(bytes_out) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_the_cap_tenants_share_one_series() {
        let mut registry = Registry::default();
        let tenants = Tenants::register(&mut registry);
        for i in 0..MAX_TENANT_SERIES + 20 {
            tenants.get(&TenantId::parse(&format!("t{i}")).unwrap()).requests.inc();
        }
        tenants.get(&TenantId::parse("t0").unwrap()).requests.inc();
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(text.contains("tenant_requests_total{tenant=\"other\"} 20"));
        assert!(text.contains("tenant_requests_total{tenant=\"t0\"} 2"));
        assert_eq!(text.matches("tenant_requests_total{").count(), MAX_TENANT_SERIES + 1);
    }
}
