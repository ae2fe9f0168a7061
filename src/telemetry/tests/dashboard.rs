//! `deploy/monitoring/dashboard.json` for Grafana: what an operator looks at first, and below it every metric there is, by subject.

use serde_json::{Value, json};

use super::list::{Kind, Metric, samples, unknown};

/// Title, unit, and each line: expression and legend. `$node` is what was chosen above.
type Panel = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const FIRST: &[(&str, &[Panel])] = &[
    (
        "Traffic",
        &[
            ("Requests", "reqps", &[("sum by (door) (rate(tidegate_requests_total{instance=~\"$node\"}[$__rate_interval]))", "{{door}}")]),
            (
                "Answers that tell of an error",
                "reqps",
                &[("sum by (side) (rate(tidegate_faults_total{instance=~\"$node\"}[$__rate_interval]))", "{{side}}")],
            ),
            (
                "Share of 5xx",
                "percentunit",
                &[(
                    "sum by (door) (rate(tidegate_requests_total{instance=~\"$node\",status=\"5xx\"}[$__rate_interval])) / sum by (door) (rate(tidegate_requests_total{instance=~\"$node\"}[$__rate_interval]))",
                    "{{door}}",
                )],
            ),
            (
                "Time to the first byte",
                "s",
                &[
                    (
                        "histogram_quantile(0.5, sum by (door, le) (rate(tidegate_request_first_byte_seconds_bucket{instance=~\"$node\"}[$__rate_interval])))",
                        "{{door}} half",
                    ),
                    (
                        "histogram_quantile(0.99, sum by (door, le) (rate(tidegate_request_first_byte_seconds_bucket{instance=~\"$node\"}[$__rate_interval])))",
                        "{{door}} 99 %",
                    ),
                ],
            ),
            (
                "Bytes",
                "Bps",
                &[
                    ("sum by (door) (rate(tidegate_bytes_out_total{instance=~\"$node\"}[$__rate_interval]))", "{{door}} out"),
                    ("-sum by (door) (rate(tidegate_bytes_in_total{instance=~\"$node\"}[$__rate_interval]))", "{{door}} in"),
                ],
            ),
            ("Connections", "short", &[("sum by (door) (tidegate_connections{instance=~\"$node\"})", "{{door}}")]),
        ],
    ),
    (
        "Reads and writes",
        &[
            (
                "Hits",
                "percentunit",
                &[
                    (
                        "sum(rate(tidegate_hot_cache_hits_total{instance=~\"$node\"}[$__rate_interval])) / (sum(rate(tidegate_hot_cache_hits_total{instance=~\"$node\"}[$__rate_interval])) + sum(rate(tidegate_hot_cache_misses_total{instance=~\"$node\"}[$__rate_interval])))",
                        "memory",
                    ),
                    (
                        "sum(rate(tidegate_cache_hits_total{instance=~\"$node\"}[$__rate_interval])) / (sum(rate(tidegate_cache_hits_total{instance=~\"$node\"}[$__rate_interval])) + sum(rate(tidegate_cache_misses_total{instance=~\"$node\"}[$__rate_interval])))",
                        "blocks over S3",
                    ),
                ],
            ),
            (
                "A sync of the journal",
                "s",
                &[
                    (
                        "histogram_quantile(0.5, sum by (le) (rate(tidegate_journal_sync_duration_seconds_bucket{instance=~\"$node\"}[$__rate_interval])))",
                        "half",
                    ),
                    (
                        "histogram_quantile(0.99, sum by (le) (rate(tidegate_journal_sync_duration_seconds_bucket{instance=~\"$node\"}[$__rate_interval])))",
                        "99 %",
                    ),
                ],
            ),
            (
                "Operations",
                "reqps",
                &[("topk(10, sum by (operation) (rate(tidegate_requests_total{instance=~\"$node\"}[$__rate_interval])))", "{{operation}}")],
            ),
        ],
    ),
    (
        "Tenants",
        &[
            (
                "Requests",
                "reqps",
                &[("topk(10, sum by (tenant) (rate(tidegate_usage_requests_total{instance=~\"$node\"}[$__rate_interval])))", "{{tenant}}")],
            ),
            (
                "Egress",
                "Bps",
                &[(
                    "topk(10, sum by (tenant) (rate(tidegate_usage_bytes_out_total{instance=~\"$node\"}[$__rate_interval])))",
                    "{{tenant}}",
                )],
            ),
            ("Stored", "bytes", &[("topk(10, max by (tenant) (tidegate_usage_stored_bytes{instance=~\"$node\"}))", "{{tenant}}")]),
        ],
    ),
    (
        "Background",
        &[
            (
                "Jobs that wait or run",
                "short",
                &[("sum by (kind, state) (tidegate_jobs{instance=~\"$node\",state=~\"waiting|running\"}) > 0", "{{kind}} {{state}}")],
            ),
            ("Age of the oldest job", "s", &[("max by (instance) (tidegate_job_oldest_seconds{instance=~\"$node\"})", "{{instance}}")]),
            ("Lag of replicas", "s", &[("max by (replica) (tidegate_replica_lag_seconds{instance=~\"$node\"})", "{{replica}}")]),
            (
                "Events that wait or are dead",
                "short",
                &[("sum by (webhook, state) (tidegate_event_letters{instance=~\"$node\"})", "{{webhook}} {{state}}")],
            ),
        ],
    ),
];

/// The rest, by how the names begin; what fits none is `Others`.
const SUBJECTS: &[(&str, &[&str])] = &[
    (
        "All of requests and connections",
        &["request", "bytes_", "connections", "accept", "timeouts", "tls_", "body_", "drain", "faults", "refusals", "tenant_"],
    ),
    ("All of the store and its caches", &["hot_cache", "dedup", "journal", "cache_", "variants", "write_back"]),
    ("All of jobs, events, media and lifecycle", &["job", "event", "media", "lifecycle"]),
    ("All of replicas, peers and old stores", &["replica", "origin", "peer", "shadow"]),
    ("All of usage and logs", &["usage", "access_log", "audit_log", "bucket_log", "reload"]),
];
const OTHERS: &str = "Others";

const WIDTH: usize = 24;
const PANELS_IN_A_ROW: usize = 3;
const HEIGHT: usize = 7;

pub fn text(list: &[Metric]) -> String {
    let known = samples(list);
    let mut board = Board::default();
    for (row, panels) in FIRST {
        board.row(row);
        for (title, unit, lines) in *panels {
            for (expression, _) in *lines {
                assert_eq!(unknown(expression, &known), Vec::<String>::new(), "{title}: nobody registers these");
            }
            board.panel(title, "", unit, lines.iter().map(|(e, l)| ((*e).to_owned(), (*l).to_owned())).collect());
        }
    }
    let subject = |metric: &Metric| {
        let name = metric.name.trim_start_matches("tidegate_");
        SUBJECTS.iter().find(|(_, begins)| begins.iter().any(|b| name.starts_with(b))).map_or(OTHERS, |(subject, _)| subject)
    };
    for name in SUBJECTS.iter().map(|(name, _)| *name).chain([OTHERS]) {
        let of_it: Vec<&Metric> = list.iter().filter(|metric| subject(metric) == name).collect();
        if !of_it.is_empty() {
            board.row(name);
        }
        for metric in of_it {
            let (unit, line) = generic(metric);
            board.panel(metric.name.trim_start_matches("tidegate_"), &metric.help, unit, vec![line]);
        }
    }
    let mut text = serde_json::to_string_pretty(&dashboard(board.panels)).unwrap();
    text.push('\n');
    text
}

/// How a metric is shown of which nobody said more.
fn generic(metric: &Metric) -> (&'static str, (String, String)) {
    let sample = &metric.samples()[0];
    match metric.kind {
        Kind::Counter => {
            let unit = if metric.name.contains("bytes") { "Bps" } else { "cps" };
            (unit, (format!("sum without (instance, job) (rate({sample}{{instance=~\"$node\"}}[$__rate_interval]))"), "__auto".into()))
        }
        Kind::Gauge => {
            let unit = match metric.name.rsplit('_').next() {
                Some("bytes") => "bytes",
                // Unix time.
                Some("seconds") if metric.help.contains("Unix") => "dateTimeAsIso",
                Some("seconds") => "s",
                _ => "short",
            };
            let factor = if unit == "dateTimeAsIso" { " * 1000" } else { "" };
            (unit, (format!("{sample}{{instance=~\"$node\"}}{factor}"), "__auto".into()))
        }
        Kind::Histogram => {
            let expression = format!("histogram_quantile(0.99, sum by (le) (rate({sample}{{instance=~\"$node\"}}[$__rate_interval])))");
            ("s", (expression, "99 %".into()))
        }
    }
}

#[derive(Default)]
struct Board {
    panels: Vec<Value>,
    /// Where the next panel goes.
    x: usize,
    y: usize,
}

impl Board {
    fn row(&mut self, title: &str) {
        if self.x > 0 {
            (self.x, self.y) = (0, self.y + HEIGHT);
        }
        self.panels.push(json!({
            "id": self.panels.len() + 1, "type": "row", "title": title, "collapsed": false, "panels": [],
            "gridPos": { "x": 0, "y": self.y, "w": WIDTH, "h": 1 },
        }));
        self.y += 1;
    }

    fn panel(&mut self, title: &str, help: &str, unit: &str, lines: Vec<(String, String)>) {
        let targets: Vec<Value> = lines
            .into_iter()
            .enumerate()
            .map(|(n, (expression, legend))| {
                let name = char::from(b'A' + u8::try_from(n).unwrap()).to_string();
                json!({ "refId": name, "datasource": source(), "expr": expression, "legendFormat": legend })
            })
            .collect();
        let width = WIDTH / PANELS_IN_A_ROW;
        self.panels.push(json!({
            "id": self.panels.len() + 1, "type": "timeseries", "title": title, "description": help, "datasource": source(),
            "gridPos": { "x": self.x, "y": self.y, "w": width, "h": HEIGHT },
            "fieldConfig": { "defaults": { "unit": unit, "custom": { "fillOpacity": 8, "showPoints": "never" } }, "overrides": [] },
            "options": { "legend": { "displayMode": "list", "placement": "bottom" }, "tooltip": { "mode": "multi", "sort": "desc" } },
            "targets": targets,
        }));
        self.x += width;
        if self.x >= WIDTH {
            (self.x, self.y) = (0, self.y + HEIGHT);
        }
    }
}

fn source() -> Value {
    json!({ "type": "prometheus", "uid": "${source}" })
}

fn dashboard(panels: Vec<Value>) -> Value {
    json!({
        "title": "Tidegate", "uid": "tidegate", "tags": ["tidegate"], "editable": true, "schemaVersion": 41, "version": 1,
        "refresh": "30s", "timezone": "browser", "time": { "from": "now-3h", "to": "now" },
        "templating": { "list": [
            { "name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus" },
            {
                "name": "node", "type": "query", "label": "Node", "datasource": source(), "query": "label_values(tidegate_connections, instance)",
                "definition": "label_values(tidegate_connections, instance)", "refresh": 2, "includeAll": true, "multi": true, "allValue": ".*",
                "current": { "text": "All", "value": "$__all" },
            },
        ] },
        "panels": panels,
    })
}
