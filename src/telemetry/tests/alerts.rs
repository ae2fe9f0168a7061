//! `deploy/monitoring/alerts.yaml`: what somebody should look at, and what he can do then.

use std::fmt::Write as _;

use super::list::{Metric, samples, unknown};

pub struct Alert {
    pub name: &'static str,
    pub severity: &'static str,
    expression: &'static str,
    /// How long it must hold.
    lasts: &'static str,
    pub summary: &'static str,
    pub action: &'static str,
}

pub const ALERTS: &[Alert] = &[
    Alert {
        name: "TidegateDown",
        severity: "critical",
        expression: "up{job=~\"tidegate.*\"} == 0",
        lasts: "1m",
        summary: "The admin door of a node answers nothing",
        action: "Look whether the process runs and what its log says last; `tidegate doctor` on that machine",
    },
    Alert {
        name: "TidegateErrors",
        severity: "critical",
        expression: "sum by (instance, door) (rate(tidegate_requests_total{status=\"5xx\"}[5m])) / sum by (instance, door) (rate(tidegate_requests_total[5m])) > 0.02",
        lasts: "5m",
        summary: "More than 2 % of a door's answers are 5xx",
        action: "tidegate_faults_total tells whose fault it is, the log has each failure with its request's id",
    },
    Alert {
        name: "TidegateFaultsHere",
        severity: "warning",
        expression: "sum by (instance) (rate(tidegate_faults_total{side=\"here\"}[5m])) > 0",
        lasts: "5m",
        summary: "This machine fails requests: its disk is full, slow or broken, or an index is rebuilt",
        action: "Look at free space and at the kernel's log; `/-/ready` says what is missing",
    },
    Alert {
        name: "TidegateFaultsOfTheProgram",
        severity: "warning",
        expression: "increase(tidegate_faults_total{side=\"us\"}[15m]) > 0",
        lasts: "0m",
        summary: "A fault of the program",
        action: "Report it with the lines of the log that have `side=us`",
    },
    Alert {
        name: "TidegateUpstreamFaults",
        severity: "warning",
        expression: "sum by (instance) (rate(tidegate_faults_total{side=\"upstream\"}[5m])) > 0.1",
        lasts: "5m",
        summary: "The S3 below fails requests",
        action: "Look at that S3, and whether its keys still hold; readers are shown what is cached meanwhile",
    },
    Alert {
        name: "TidegateSlow",
        severity: "warning",
        expression: "histogram_quantile(0.99, sum by (instance, door, le) (rate(tidegate_request_first_byte_seconds_bucket{operation=\"GetObject\"}[10m]))) > 1",
        lasts: "10m",
        summary: "One read of a hundred waits a second for its first byte",
        action: "Look at the hit ratio, the disk and the upstream; then at connections and CPU",
    },
    Alert {
        name: "TidegateJournalFails",
        severity: "critical",
        expression: "increase(tidegate_journal_sync_failures_total[5m]) > 0",
        lasts: "0m",
        summary: "The journal can't be synced: writes are refused",
        action: "The disk fails. Look at the kernel's log, and be ready to restore (docs/operating.md)",
    },
    Alert {
        name: "TidegateJournalSlow",
        severity: "warning",
        expression: "histogram_quantile(0.99, sum by (instance, le) (rate(tidegate_journal_sync_duration_seconds_bucket[10m]))) > 0.25",
        lasts: "15m",
        summary: "One sync of a hundred takes a quarter of a second: so do writes",
        action: "`tidegate doctor` measures the disk; look what else writes to it",
    },
    Alert {
        name: "TidegateOutOfDescriptors",
        severity: "critical",
        expression: "increase(tidegate_accept_errors_total{reason=\"descriptors\"}[5m]) > 0",
        lasts: "0m",
        summary: "No file descriptor is left for connections",
        action: "Raise LimitNOFILE (systemd) or the container's ulimit",
    },
    Alert {
        name: "TidegateConnectionsShed",
        severity: "warning",
        expression: "increase(tidegate_connections_shed_total[5m]) > 0",
        lasts: "10m",
        summary: "Connections are turned away at a cap",
        action: "Raise limits.connections or limits.connections_per_address, or look who opens so many",
    },
    Alert {
        name: "TidegateReloadRefused",
        severity: "warning",
        expression: "increase(tidegate_reload_failures_total[15m]) > 0",
        lasts: "0m",
        summary: "Changed certificates, policies or secrets were refused: those before count",
        action: "`tidegate check` names what is wrong in them",
    },
    Alert {
        name: "TidegateAuditLost",
        severity: "warning",
        expression: "increase(tidegate_audit_log_dropped_total[15m]) > 0",
        lasts: "0m",
        summary: "Lines of the audit log were lost",
        action: "Give the disk room, or raise log.audit_size",
    },
    Alert {
        name: "TidegateLogLost",
        severity: "info",
        expression: "increase(tidegate_access_log_dropped_total[15m]) > 0 or increase(tidegate_bucket_log_dropped_total[15m]) > 0",
        lasts: "0m",
        summary: "Lines of the access log, or of buckets' logs, were lost",
        action: "Give the disk room; look at its speed",
    },
    Alert {
        name: "TidegateUsageNotWritten",
        severity: "warning",
        expression: "increase(tidegate_usage_write_failures_total[15m]) > 0",
        lasts: "15m",
        summary: "Usage waits in memory because it can't be written",
        action: "Give the disk room before the process is stopped: what waits is lost by a kill",
    },
    Alert {
        name: "TidegateJobsWait",
        severity: "warning",
        expression: "tidegate_job_oldest_seconds > 900",
        lasts: "15m",
        summary: "A job has waited for a quarter of an hour",
        action: "tidegate_jobs shows which kind; raise jobs.workers, or look why attempts fail",
    },
    Alert {
        name: "TidegateJobsDead",
        severity: "warning",
        expression: "increase(tidegate_job_attempts_total{outcome=\"dead\"}[15m]) > 0",
        lasts: "0m",
        summary: "A job was given up",
        action: "The log says why; the console's Jobs, or /-/v1/jobs, begin it again",
    },
    Alert {
        name: "TidegateEventsWait",
        severity: "warning",
        expression: "tidegate_event_oldest_seconds > 600",
        lasts: "5m",
        summary: "An event has waited ten minutes for its webhook",
        action: "Look at the webhook; `tidegate events list` says how it answers",
    },
    Alert {
        name: "TidegateEventsDead",
        severity: "warning",
        expression: "tidegate_event_letters{state=\"dead\"} > 0",
        lasts: "0m",
        summary: "Events were given up",
        action: "`tidegate events list`, then replay or forget them",
    },
    Alert {
        name: "TidegateOriginAway",
        severity: "critical",
        expression: "tidegate_origin_up == 0",
        lasts: "1m",
        summary: "The origin can't be asked: reads go to replicas, writes are refused",
        action: "Look at the S3 below; nothing is to be done here, it is taken up again by itself",
    },
    Alert {
        name: "TidegateReplicaAway",
        severity: "warning",
        expression: "tidegate_replica_up == 0",
        lasts: "5m",
        summary: "A replica takes nothing",
        action: "Look at its S3 and its keys; changes wait",
    },
    Alert {
        name: "TidegateReplicaBehind",
        severity: "warning",
        expression: "tidegate_replica_lag_seconds > 300",
        lasts: "10m",
        summary: "A replica lacks changes that are five minutes old",
        action: "tidegate_replica_failures_total tells of keys that fail; `tidegate repair NAME` compares all",
    },
    Alert {
        name: "TidegatePeerAway",
        severity: "warning",
        expression: "tidegate_peer_up == 0",
        lasts: "5m",
        summary: "Another node can't be told of changes: it may show what was, for a minute",
        action: "Look at that node, and whether its admin door can be reached from here",
    },
    Alert {
        name: "TidegateOldStoreAway",
        severity: "warning",
        expression: "tidegate_shadow_up == 0",
        lasts: "5m",
        summary: "An old store can't be asked: what only it has is 503",
        action: "Look at that S3 and its keys",
    },
    Alert {
        name: "TidegateWriteBackWaits",
        severity: "warning",
        expression: "tidegate_write_back_waiting > 0 and delta(tidegate_write_back_waiting[15m]) >= 0",
        lasts: "30m",
        summary: "What waits to be stored upstream does not grow less",
        action: "Look at the S3 below; at back.limit further writes are refused. `tidegate sync --retry`",
    },
    Alert {
        name: "TidegateCacheDamaged",
        severity: "warning",
        expression: "increase(tidegate_cache_faults_total[1h]) > 0",
        lasts: "0m",
        summary: "Blocks of the cache were of no use; they were fetched again",
        action: "Look at the disk under cache.dir",
    },
];

pub fn text(list: &[Metric]) -> String {
    let known = samples(list);
    let mut out = String::from(
        "# Written from the list of metrics by src/telemetry/tests: change it there. docs/metrics.md says the same as a table.\ngroups:\n  - name: tidegate\n    rules:\n",
    );
    for alert in ALERTS {
        assert_eq!(unknown(alert.expression, &known), Vec::<String>::new(), "{}: nobody registers these", alert.name);
        // JSON's texts are YAML's.
        let quoted = |text: &str| serde_json::to_string(text).unwrap();
        let _ = write!(
            out,
            "      - alert: {}\n        expr: {}\n        for: {}\n        labels:\n          severity: {}\n        annotations:\n          summary: {}\n          action: {}\n",
            alert.name,
            quoted(alert.expression),
            alert.lasts,
            alert.severity,
            quoted(alert.summary),
            quoted(alert.action),
        );
    }
    out
}
