//! `docs/metrics.md`: every metric, and every alert with what to do.

use std::fmt::Write as _;

use super::alerts;
use super::list::Metric;

pub fn text(list: &[Metric]) -> String {
    let mut out = String::from(HEAD);
    for metric in list {
        let _ = writeln!(out, "| `{}` | {} | {} |", metric.samples()[0], metric.kind.name(), metric.help);
    }
    out.push_str(ALERTS);
    for alert in alerts::ALERTS {
        let _ = writeln!(out, "| {} | {} | {} | {} |", alert.name, alert.severity, alert.summary, alert.action);
    }
    out
}

const HEAD: &str = "\
# Metrics and alerts

The admin door shows all of these under `/metrics` (OpenMetrics 1.0). `deploy/monitoring` has a dashboard for Grafana that shows every one of
them, alerts for Prometheus, and the configuration of both. This page, the dashboard and the alerts are written from the list of metrics
in the source (`TIDEGATE_WRITE_SHIPPED=1 cargo test --locked --all-features --lib telemetry::tests`), and a test holds that they are as it is.

Tenants beyond a thousand share the series `other`. Where a family has no series, nothing of its kind has happened since the start. Histograms are
named here by their buckets; `_sum` and `_count` are there too.

| sample | kind | what it tells |
|---|---|---|
";

const ALERTS: &str = "
## Alerts

| alert | severity | what is wrong | what to do |
|---|---|---|---|
";
