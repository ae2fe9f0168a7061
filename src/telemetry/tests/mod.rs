//! What is written from the list of metrics: `docs/metrics.md`, the dashboard and the alerts in `deploy/monitoring`. A test holds
//! that they are as the list is; with TIDEGATE_WRITE_SHIPPED set it writes them anew.
//!
//! Only tests need this: no part of it is in the program.

mod alerts;
mod dashboard;
mod list;
mod page;

use std::path::Path;

use list::{Kind, list, samples, unknown};

fn check(file: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("TIDEGATE_WRITE_SHIPPED").is_some() {
        std::fs::write(&path, wanted).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == wanted,
        "{file} is not as the list of metrics is: TIDEGATE_WRITE_SHIPPED=1 cargo test --locked --all-features --lib telemetry::tests"
    );
}

#[test]
fn the_list_has_every_kind() {
    let list = list();
    assert!(list.len() > 100, "{}", list.len());
    for (name, kind) in [
        ("tidegate_requests", Kind::Counter),
        ("tidegate_request_duration_seconds", Kind::Histogram),
        // Families that have no series before they are used.
        ("tidegate_replica_lag_seconds", Kind::Gauge),
        ("tidegate_shadow_copied_bytes", Kind::Counter),
    ] {
        assert!(list.iter().any(|metric| metric.name == name && metric.kind == kind && !metric.help.is_empty()), "{name}");
    }
    assert_eq!(unknown("rate(tidegate_requests_total[5m]) / tidegate_made_up", &samples(&list)), ["tidegate_made_up"]);
}

#[test]
fn the_page_is_as_the_list() {
    check("docs/metrics.md", &page::text(&list()));
}

#[test]
fn the_dashboard_is_as_the_list() {
    check("deploy/monitoring/dashboard.json", &dashboard::text(&list()));
}

#[test]
fn the_alerts_are_as_the_list() {
    check("deploy/monitoring/alerts.yaml", &alerts::text(&list()));
}
