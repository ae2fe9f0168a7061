//! The list of metrics: what a scrape of a gateway names that has done a bit of everything.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::names::TenantId;
use crate::telemetry::jobs::Depth;
use crate::telemetry::lifecycle::Run;
use crate::telemetry::metrics::{Door, Finished, Metrics, Operation};

/// A family, as a scrape names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metric {
    /// Without the suffixes that its samples have.
    pub name: String,
    pub kind: Kind,
    pub help: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

impl Metric {
    /// The names of its samples.
    pub fn samples(&self) -> Vec<String> {
        let with = |suffixes: &[&str]| suffixes.iter().map(|suffix| format!("{}{suffix}", self.name)).collect();
        match self.kind {
            Kind::Counter => with(&["_total"]),
            Kind::Gauge => with(&[""]),
            Kind::Histogram => with(&["_bucket", "_sum", "_count"]),
        }
    }
}

/// All that `Metrics` registers.
pub fn list() -> Vec<Metric> {
    let metrics = Metrics::new();
    use_each(&metrics);
    let text = metrics.encode();
    let mut all = Vec::new();
    let mut help = "";
    for line in text.lines() {
        if let Some((_, said)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            help = said.trim_end_matches('.');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let kind = match kind {
                "counter" => Kind::Counter,
                "gauge" => Kind::Gauge,
                "histogram" => Kind::Histogram,
                other => panic!("{name} is a {other}: say here what its samples are called"),
            };
            all.push(Metric { name: name.to_owned(), kind, help: help.to_owned() });
        }
    }
    for name in registered(&metrics) {
        assert!(all.iter().any(|metric: &Metric| metric.name == name), "{name} has no series: let `use_each` make one");
    }
    all
}

/// The names under which something was registered.
fn registered(metrics: &Metrics) -> Vec<String> {
    let debug = metrics.registered();
    let heads = debug.split("Descriptor { name: \"").skip(1);
    heads
        .map(|head| {
            let (name, rest) = head.split_once('"').unwrap();
            let unit = rest.split_once("unit: ").unwrap().1;
            let unit =
                unit.strip_prefix("Some(").and_then(|unit| unit.split_once(')')).map(|(unit, _)| format!("_{}", unit.to_lowercase()));
            format!("tidegate_{name}{}", unit.unwrap_or_default())
        })
        .collect()
}

/// A family without a series is in no scrape.
fn use_each(m: &Metrics) {
    let operation = Operation { index: 0, name: "GetObject" };
    let took = Duration::ZERO;
    m.requests.finished(Finished { door: Door::S3, operation, status: 200, first_byte: took, total: took });
    m.refused("AccessDenied");
    m.tenants.get(&TenantId::parse("acme").unwrap());
    m.jobs.set_depths(&[Depth { kind: "purge", states: [("waiting", 0); 5] }], took);
    drop(m.jobs.begin("purge"));
    m.jobs.ended("purge", "done", took);
    m.replicas.of("west");
    m.peers.of("http://10.0.0.2:9001".to_owned());
    m.shadows.of("media");
    m.lifecycle.ran(&Run::default());
    m.media.looked_at("good", 0);
    m.media.rendered("kept", 0);
    m.usage.counted("acme", 0, 0, 0);
    m.usage.stored(&BTreeMap::from([("acme".to_owned(), (0, 0))]));
    m.events.set_letters("pipeline", 0, 0, took);
    m.events.delivered("pipeline", "told", took);
}

/// Of an expression's metrics, those that nobody registers.
pub fn unknown(expression: &str, known: &[String]) -> Vec<String> {
    expression
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with("tidegate_") && !known.iter().any(|name| name == word))
        .map(str::to_owned)
        .collect()
}

pub fn samples(list: &[Metric]) -> Vec<String> {
    list.iter().flat_map(Metric::samples).collect()
}
