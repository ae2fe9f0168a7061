//! Every metric of the gateway, by name, in `Metrics::new`, but for families with a file of their own beside this one; and the handles through which the code counts.
//!
//! Handles are plain atomics found by enum or index: no lock, no hashing and no allocation on a request's path.
//! Series of requests appear when they are first used; the others are there from the start, at zero.
//! One instance per gateway (not per process), so that tests can run several.

use std::sync::OnceLock;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::events::Events;
use super::gauge::GaugeGuard;
use super::histogram::Latency;
use super::jobs::Jobs;
use super::lifecycle::Lifecycle;
use super::media::Media;
use super::peers::Peers;
use super::replicas::Replicas;
use super::shadows::Shadows;
use super::tenants::Tenants;
use super::usage::Usage;
use super::write_back::WriteBack;
use crate::base::coding::Coding;
use crate::base::error::Side;

/// A label with a fixed set of values, each with an index.
pub trait Label: Copy + 'static {
    const KEY: &'static str;
    const ALL: &'static [Self];
    fn name(self) -> &'static str;
    fn index(self) -> usize;
}

macro_rules! label {
    ($(#[$doc:meta])* $type:ident $key:literal { $($(#[$variant_doc:meta])* $variant:ident = $name:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $type { $($(#[$variant_doc])* $variant,)+ }

        impl Label for $type {
            const KEY: &'static str = $key;
            const ALL: &'static [Self] = &[$(Self::$variant,)+];

            fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            fn index(self) -> usize {
                self as usize
            }
        }
    };
}

label!(
    /// The front door a connection came in by.
    Door "door" {
        S3 = "s3",
        Edge = "edge",
        Admin = "admin",
    }
);

label!(
    /// Why `accept` failed for more than the one socket.
    AcceptError "reason" {
        /// The process or the system is out of file descriptors.
        Descriptors = "descriptors",
        Memory = "memory",
        Other = "other",
    }
);

label!(
    /// Why a connection was turned away.
    Shed "reason" {
        Connections = "connections",
        PerAddress = "per_address",
    }
);

label!(
    /// Whose patience ended, and with what.
    Timeout "reason" {
        Handshake = "tls_handshake",
        Header = "request_header",
        Idle = "idle",
        Body = "request_body",
        Write = "response_write",
        Drain = "drain_deadline",
    }
);

label!(
    /// Where the cache had a block.
    CacheTier "tier" {
        Memory = "memory",
        Disk = "disk",
    }
);

label!(
    Reload "what" {
        CallerSecrets = "caller_secrets",
        Certificates = "certificates",
        Policies = "policies",
    }
);

/// Of the bytes that are sent.
impl Label for Coding {
    const KEY: &'static str = "encoding";
    const ALL: &'static [Self] = &Coding::ALL;

    fn name(self) -> &'static str {
        Coding::name(self)
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// Whose fault an answer was.
impl Label for Side {
    const KEY: &'static str = "side";
    const ALL: &'static [Self] = &Side::ALL;

    fn name(self) -> &'static str {
        Side::name(self)
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// A counter for each value of a label.
#[derive(Debug)]
pub struct Counters<L: Label> {
    cells: Vec<Counter>,
    label: std::marker::PhantomData<fn(L)>,
}

impl<L: Label> Counters<L> {
    fn register(registry: &mut Registry, name: &'static str, help: &'static str) -> Self {
        let family = Family::<[(&'static str, &'static str); 1], Counter>::default();
        let cells = L::ALL.iter().map(|l| family.get_or_create_owned(&[(L::KEY, l.name())])).collect();
        registry.register(name, help, family);
        Counters { cells, label: std::marker::PhantomData }
    }

    pub fn of(&self, label: L) -> &Counter {
        &self.cells[label.index()]
    }
}

/// A gauge for each door.
#[derive(Debug)]
pub struct DoorGauges(Vec<Gauge>);

impl DoorGauges {
    fn register(registry: &mut Registry, name: &'static str, help: &'static str) -> Self {
        let family = Family::<[(&'static str, &'static str); 1], Gauge>::default();
        let cells = Door::ALL.iter().map(|d| family.get_or_create_owned(&[(Door::KEY, d.name())])).collect();
        registry.register(name, help, family);
        DoorGauges(cells)
    }

    pub fn of(&self, door: Door) -> &Gauge {
        &self.0[door.index()]
    }

    /// Counts one up now and down when the guard goes, whichever way that happens.
    pub fn enter(&self, door: Door) -> GaugeGuard {
        GaugeGuard::new(self.of(door))
    }
}

/// Room for the operations of all doors; an index beyond it shares the last cell.
const MAX_OPERATIONS: usize = 128;

/// Names an operation of a door: its position in the door's enum, and the name that goes into the label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    pub index: usize,
    pub name: &'static str,
}

/// What one finished request adds.
#[derive(Debug, Clone, Copy)]
pub struct Finished {
    pub door: Door,
    pub operation: Operation,
    pub status: u16,
    /// To the answer's head.
    pub first_byte: Duration,
    /// To the end of its body.
    pub total: Duration,
}

type OperationLabels = [(&'static str, &'static str); 2];
type RequestLabels = [(&'static str, &'static str); 3];

#[derive(Debug)]
pub struct Requests {
    cells: Vec<OnceLock<OperationCells>>,
    count: Family<RequestLabels, Counter>,
    total: Family<OperationLabels, Latency>,
    first_byte: Family<OperationLabels, Latency>,
}

#[derive(Debug)]
struct OperationCells {
    by_class: [Counter; 5],
    total: Latency,
    first_byte: Latency,
}

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

impl Requests {
    fn register(registry: &mut Registry) -> Self {
        let cells = (0..Door::ALL.len() * MAX_OPERATIONS).map(|_| OnceLock::new()).collect();
        let requests = Requests { cells, count: Family::default(), total: Family::default(), first_byte: Family::default() };
        registry.register("requests", "Requests answered, by door, operation and status class", requests.count.clone());
        registry.register_with_unit("request_duration", "Time to the end of the answer's body", Unit::Seconds, requests.total.clone());
        registry.register_with_unit("request_first_byte", "Time to the head of the answer", Unit::Seconds, requests.first_byte.clone());
        requests
    }

    pub fn finished(&self, f: Finished) {
        let index = f.door.index() * MAX_OPERATIONS + f.operation.index.min(MAX_OPERATIONS - 1);
        let cells = self.cells[index].get_or_init(|| self.make(f.door, f.operation.name));
        cells.by_class[(usize::from(f.status) / 100).clamp(1, 5) - 1].inc();
        cells.total.observe(f.total);
        cells.first_byte.observe(f.first_byte);
    }

    fn make(&self, door: Door, operation: &'static str) -> OperationCells {
        let labels = [("door", door.name()), ("operation", operation)];
        OperationCells {
            by_class: CLASSES.map(|c| self.count.get_or_create_owned(&[labels[0], labels[1], ("status", c)])),
            total: self.total.get_or_create_owned(&labels),
            first_byte: self.first_byte.get_or_create_owned(&labels),
        }
    }
}

pub struct Metrics {
    registry: Registry,
    pub requests: Requests,
    pub tenants: Tenants,
    /// Bytes on the wire inside TLS: heads and bodies.
    pub bytes_in: Counters<Door>,
    pub bytes_out: Counters<Door>,
    pub requests_active: DoorGauges,
    pub connections: DoorGauges,
    pub connections_accepted: Counters<Door>,
    pub accept_errors: Counters<AcceptError>,
    pub shed: Counters<Shed>,
    pub timeouts: Counters<Timeout>,
    pub handshake_failures: Counter,
    /// Answers whose body failed after the status line: the connection was broken.
    pub body_breaks: Counter,
    /// Requests still running when the drain deadline cut them.
    pub drain_cut: Counter,
    /// Answers that tell of an error.
    pub faults: Counters<Side>,
    refusals: Family<[(&'static str, &'static str); 1], Counter>,
    pub hot_cache_hits: Counter,
    pub hot_cache_misses: Counter,
    pub dedup_hits: Counter,
    pub dedup_misses: Counter,
    pub journal_syncs: Counter,
    /// Records that shared those syncs: records / syncs is the mean size of a group.
    pub journal_records: Counter,
    pub journal_sync_duration: Latency,
    pub journal_sync_failures: Counter,
    pub variants_made: Counters<Coding>,
    pub variants_served: Counters<Coding>,
    /// What bodies of variants were smaller than their originals.
    pub variants_saved_bytes: Counter,
    /// Not worth it, or impossible.
    pub variants_unfit: Counter,
    pub variants_evicted: Counter,
    pub variants_dropped: Counter,
    /// In files.
    pub variants_bytes: Gauge,
    /// Blocks that readers found.
    pub cache_hits: Counters<CacheTier>,
    /// Blocks that had to be fetched.
    pub cache_misses: Counter,
    /// Blocks that were on their way already.
    pub cache_joined: Counter,
    pub cache_fetches: Counter,
    pub cache_fetched_bytes: Counter,
    pub cache_resumes: Counter,
    /// Requests to peers that keep blocks.
    pub cache_peer_fetches: Counter,
    pub cache_peer_bytes: Counter,
    /// Requests of peers for blocks.
    pub cache_given: Counter,
    pub cache_evictions: Counter,
    /// Blocks whose files were damaged.
    pub cache_faults: Counter,
    pub cache_bytes: Gauge,
    pub access_log_dropped: Counter,
    pub audit_log_dropped: Counter,
    pub bucket_log_dropped: Counter,
    pub reloads: Counters<Reload>,
    pub reload_failures: Counters<Reload>,
    pub jobs: Jobs,
    pub write_back: WriteBack,
    pub replicas: Replicas,
    pub peers: Peers,
    pub shadows: Shadows,
    pub lifecycle: Lifecycle,
    pub media: Media,
    pub usage: Usage,
    pub events: Events,
}

impl Metrics {
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("tidegate");
        let r = &mut registry;
        Metrics {
            requests: Requests::register(r),
            tenants: Tenants::register(r),
            bytes_in: Counters::register(r, "bytes_in", "Bytes received (heads and bodies, inside TLS)"),
            bytes_out: Counters::register(r, "bytes_out", "Bytes sent (heads and bodies, inside TLS)"),
            requests_active: DoorGauges::register(r, "requests_active", "Requests that are being answered"),
            connections: DoorGauges::register(r, "connections", "Open connections"),
            connections_accepted: Counters::register(r, "connections_accepted", "Connections accepted and served"),
            accept_errors: Counters::register(r, "accept_errors", "accept() failures that made the listener pause"),
            shed: Counters::register(r, "connections_shed", "Connections turned away at a cap"),
            timeouts: Counters::register(r, "timeouts", "Connections or requests ended by a time-out"),
            handshake_failures: counter(r, "tls_handshake_failures", "TLS handshakes that failed"),
            body_breaks: counter(r, "body_breaks", "Answers broken off after the status line"),
            drain_cut: counter(r, "drain_cut", "Requests cut by the drain deadline"),
            faults: Counters::register(r, "faults", "Answers that tell of an error, by whose fault it is"),
            refusals: refusals(r),
            hot_cache_hits: counter(r, "hot_cache_hits", "Reads answered from memory"),
            hot_cache_misses: counter(r, "hot_cache_misses", "Reads that went to the store"),
            dedup_hits: counter(r, "dedup_hits", "Writes whose content was stored already"),
            dedup_misses: counter(r, "dedup_misses", "Writes that stored new content"),
            journal_syncs: counter(r, "journal_syncs", "fsyncs of the journal"),
            journal_records: counter(r, "journal_records", "Records made durable by them"),
            journal_sync_duration: {
                let latency = Latency::default();
                r.register_with_unit("journal_sync_duration", "Time of one fsync of the journal", Unit::Seconds, latency.clone());
                latency
            },
            journal_sync_failures: counter(r, "journal_sync_failures", "fsyncs of the journal that failed"),
            variants_made: Counters::register(r, "variants_made", "Compressed and decoded variants made"),
            variants_served: Counters::register(r, "variants_served", "Answers whose body was a variant"),
            variants_saved_bytes: counter(r, "variants_saved_bytes", "Bytes that answers were smaller for being compressed"),
            variants_unfit: counter(r, "variants_unfit", "Variants found not worth making, or impossible to make"),
            variants_evicted: counter(r, "variants_evicted", "Variants deleted to keep their folder inside its limit"),
            variants_dropped: counter(r, "variants_dropped", "Variants not made because too many were waiting"),
            variants_bytes: gauge(r, "variants_bytes", "Disk space of the kept variants"),
            cache_hits: Counters::register(r, "cache_hits", "Blocks of the cache that readers found"),
            cache_misses: counter(r, "cache_misses", "Blocks that were not in the cache"),
            cache_joined: counter(r, "cache_joined", "Blocks that were being fetched already when a reader came"),
            cache_fetches: counter(r, "cache_fetches", "Requests to the upstream for blocks"),
            cache_fetched_bytes: counter(r, "cache_fetched_bytes", "Bytes of blocks received from the upstream"),
            cache_resumes: counter(r, "cache_resumes", "Bodies from the upstream that broke and were asked for again"),
            cache_peer_fetches: counter(r, "cache_peer_fetches", "Requests for blocks that another node answered"),
            cache_peer_bytes: counter(r, "cache_peer_bytes", "Bytes of blocks received from other nodes"),
            cache_given: counter(r, "cache_given", "Requests for blocks by other nodes that were answered"),
            cache_evictions: counter(r, "cache_evictions", "Blocks deleted to keep the cache inside its limit"),
            cache_faults: counter(r, "cache_faults", "Blocks whose files were of no use"),
            cache_bytes: gauge(r, "cache_bytes", "Disk space of the cached blocks"),
            access_log_dropped: counter(r, "access_log_dropped", "Access log lines dropped because the disk was too slow"),
            audit_log_dropped: counter(r, "audit_log_dropped", "Audit log lines dropped because the disk was too slow or the log full"),
            bucket_log_dropped: counter(r, "bucket_log_dropped", "Lines of buckets' logs dropped because the disk was too slow or full"),
            reloads: Counters::register(r, "reloads", "Certificates, policies, or secrets of sites' callers and webhooks reloaded"),
            reload_failures: Counters::register(r, "reload_failures", "Reloads refused because something in them was wrong"),
            jobs: Jobs::register(r),
            write_back: WriteBack::register(r),
            replicas: Replicas::register(r),
            peers: Peers::register(r),
            shadows: Shadows::register(r),
            lifecycle: Lifecycle::register(r),
            media: Media::register(r),
            usage: Usage::register(r),
            events: Events::register(r),
            registry,
        }
    }

    /// A request was refused; `code` is one of the fixed S3 error codes.
    pub fn refused(&self, code: &'static str) {
        self.refusals.get_or_create(&[("code", code)]).inc();
    }

    /// Everything that was registered, with its name and unit, as its `Debug` has it: a scrape leaves out families without a series.
    #[cfg(test)]
    pub fn registered(&self) -> String {
        format!("{:?}", self.registry)
    }

    /// The text that Prometheus scrapes (OpenMetrics 1.0).
    pub fn encode(&self) -> String {
        let mut text = String::with_capacity(64 * 1024);
        // Fails only if writing to a String does.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

/// What it counted is for `encode`; a `Debug` of settings that carry it stays readable.
impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn gauge(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::default();
    registry.register(name, help, gauge.clone());
    gauge
}

fn refusals(r: &mut Registry) -> Family<[(&'static str, &'static str); 1], Counter> {
    let family = Family::default();
    r.register("refusals", "Requests refused by identity or policy, by S3 error code", Family::clone(&family));
    family
}

fn counter(registry: &mut Registry, name: &'static str, help: &'static str) -> Counter {
    let counter = Counter::default();
    registry.register(name, help, counter.clone());
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_show_in_the_text() {
        let m = Metrics::new();
        let operation = Operation { index: 7, name: "GetObject" };
        let finished = Finished { door: Door::S3, operation, status: 206, first_byte: Duration::ZERO, total: Duration::from_millis(3) };
        m.requests.finished(finished);
        m.requests.finished(Finished { status: 999, operation: Operation { index: 100_000, name: "Odd" }, ..finished });
        m.shed.of(Shed::Connections).inc();
        m.refused("AccessDenied");
        m.faults.of(Side::Here).inc();
        let guard = m.connections.enter(Door::Edge);
        let text = m.encode();
        for line in [
            "tidegate_requests_total{door=\"s3\",operation=\"GetObject\",status=\"2xx\"} 1",
            "tidegate_requests_total{door=\"s3\",operation=\"Odd\",status=\"5xx\"} 1",
            "tidegate_request_duration_seconds_count{door=\"s3\",operation=\"GetObject\"} 1",
            "tidegate_connections_shed_total{reason=\"connections\"} 1",
            "tidegate_refusals_total{code=\"AccessDenied\"} 1",
            "tidegate_faults_total{side=\"here\"} 1",
            "tidegate_faults_total{side=\"upstream\"} 0",
            "tidegate_connections{door=\"edge\"} 1",
        ] {
            assert!(text.contains(line), "{line} not in\n{text}");
        }
        drop(guard);
        assert!(m.encode().contains("tidegate_connections{door=\"edge\"} 0"));
    }

    #[test]
    fn every_label_has_its_cell() {
        fn check<L: Label>() {
            assert!(L::ALL.iter().enumerate().all(|(i, l)| l.index() == i));
        }
        check::<Door>();
        check::<AcceptError>();
        check::<Shed>();
        check::<Timeout>();
        check::<CacheTier>();
        check::<Reload>();
        check::<Coding>();
        check::<Side>();
    }
}
