//! A week of generated traffic on three nodes over one S3, by a clock whose days last three seconds, with a node killed on each: what is stored
//! is what a listing recounts, traffic differs by a second a kill at most, what was stored for how long adds up day by day and run by run, and
//! every way to ask says the same.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use tidegate::base::timestamp::Timestamp;
use tidegate::usage::period::{self, Month};

use super::stored::{count_anew, listed, listed_runs, stored, stored_runs, tenant, world};
use super::*;
use crate::support::traffic::{Traffic, Writer};

const DAYS: u64 = 7;
/// Of the gateway's clock.
const SECONDS: u64 = 3;
/// What a kill may cost.
const LOST: Duration = Duration::from_secs(1);
const LOG: &str = "[log]\naccess_file = \"access.log\"\naccess_format = \"json\"\n";
/// When the gateway's clock began.
static BEGUN: LazyLock<Timestamp> = LazyLock::new(Timestamp::now);

struct Day {
    traffic: Arc<Traffic>,
    stop: Arc<AtomicBool>,
    writers: Vec<std::thread::JoinHandle<()>>,
}

impl Day {
    fn begin(world: &World, key: &Key, seed: u64) -> Self {
        let (traffic_of_day, stop) = (Arc::new(Traffic::default()), Arc::new(AtomicBool::new(false)));
        let writers = (0..6)
            .map(|writer| {
                let node = writer % 3;
                let (address, key, stop, counts) = (world.node(node).s3, key.clone(), stop.clone(), traffic_of_day.clone());
                std::thread::spawn(move || {
                    let (seed, name) = (seed * 7919 + writer as u64 + 1, String::new());
                    // On three nodes they get in each other's way.
                    Writer { address, node, key, seed, name, also: &[409, 503], traffic: &counts }.run(&stop);
                })
            })
            .collect();
        Day { traffic: traffic_of_day, stop, writers }
    }

    fn end(self) -> Arc<Traffic> {
        self.stop.store(true, Ordering::SeqCst);
        self.writers.into_iter().for_each(|w| w.join().unwrap());
        self.traffic
    }
}

/// The month that the clock began in, and the next: on a slow machine it gets there.
fn months() -> [String; 2] {
    let first = Month::of_day(period::day(*BEGUN));
    [first, Month::of_day(first.first_day() + first.days())].map(|month| month.to_string())
}

fn report(world: &World, n: usize, by: &str) -> Vec<Value> {
    let reports = months().into_iter().map(|month| {
        let query = [("tenant", "acme"), ("by", by), ("month", &*month)];
        json(&world.api(n, "GET", "/-/v1/usage", &query, "").expect(200))["lines"].as_array().unwrap().clone()
    });
    reports.flatten().collect()
}

fn sums(lines: &[Value]) -> (u64, u64) {
    let sum = |name: &str| lines.iter().map(|line| line[name].as_u64().unwrap()).sum();
    (sum("requests_total"), sum("bytes_out_total"))
}

fn total(world: &World, n: usize) -> (u64, u64) {
    sums(&report(world, n, "tenant"))
}

/// Each node counts what came in before this.
fn settled(world: &World) -> (u64, u64) {
    let mut before = (0, 0);
    until("all is counted and told", || {
        let sums: Vec<_> = (0..3).map(|n| of_node(world, n)).collect();
        let sum = sums.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let is_same = sum == before;
        before = sum;
        std::thread::sleep(Duration::from_millis(300));
        is_same
    });
    before
}

/// What one node itself counted: others tell nothing by hour.
fn of_node(world: &World, n: usize) -> (u64, u64) {
    sums(&report(world, n, "hour"))
}

/// Bytes times milliseconds, by what a line says.
fn stored_for(lines: &[Value], by: &str) -> BTreeMap<String, u128> {
    let mut sums: BTreeMap<String, u128> = BTreeMap::new();
    for line in lines {
        let sum = sums.entry(line[by].as_str().unwrap().to_owned()).or_default();
        *sum += line["byte_milliseconds"].as_str().unwrap().parse::<u128>().unwrap();
    }
    sums.retain(|_, byte_millis| *byte_millis > 0);
    sums
}

fn logged(world: &World) -> (u64, u64) {
    let mut sum = (0, 0);
    for node in &world.nodes {
        let text = std::fs::read_to_string(node.place.path("access.log")).unwrap();
        for line in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            if line["requester"].as_str().is_some_and(|requester| requester.contains("acme")) {
                sum = (sum.0 + 1, sum.1 + line["bytes_sent"].as_u64().unwrap());
            }
        }
    }
    sum
}

fn metric(world: &World, n: usize, name: &str) -> u64 {
    let text = Client::new(world.node(n).admin).send(&Request::new("GET", "/metrics"), Sign::No).expect(200).text();
    let start = format!("tidegate_{name}_total{{tenant=\"acme\"}}");
    text.lines().filter_map(|line| line.strip_prefix(&*start)?.trim().parse::<u64>().ok()).sum()
}

#[test]
fn a_week_on_three_nodes_with_kills() {
    let seed = std::env::var("TIDEGATE_WEEK_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(u64::from(std::process::id()));
    println!("TIDEGATE_WEEK_SEED={seed}");
    // More of the settings of usage.
    let clock = format!("measure = \"1s\"\nkeep_hours = \"60d\"\nday = \"{SECONDS}@{}\"\n", BEGUN.secs());
    let mut world = world(3, &format!("{clock}{LOG}"));
    let key = tenant(&world, "");
    let (mut at_least, mut at_least_bytes, mut at_most) = (0, 0, 0);
    let before = settled(&world);
    for day in 0..DAYS {
        let running = Day::begin(&world, &key, seed + day);
        std::thread::sleep(Duration::from_millis(900 + 170 * ((seed + day) % 5)));
        let victim = ((seed / 3 + day) % 3) as usize;
        let killed = Instant::now();
        world.kill(victim);
        let counts = running.end();
        let answered = counts.answered.lock().unwrap();
        let kept: Vec<_> = answered.iter().filter(|a| a.node != victim || a.at + LOST < killed).collect();
        at_least += kept.len() as u64;
        at_least_bytes += kept.iter().map(|a| a.bytes).sum::<u64>();
        at_most += counts.sent.load(Ordering::SeqCst);
        world.start(victim);
        count_anew(&world, ((seed + day) % 3) as usize);
        let there = listed(&world);
        (0..3).for_each(|n| assert_eq!(stored(&world, n), there, "day {day}, node {n}"));
        // A node that has not yet heard of the recount still names others.
        (0..3).for_each(|n| until("each run is told", || stored_runs(&world, n) == listed_runs(&world)));
        let (requests, bytes) = settled(&world);
        let requests = requests - before.0;
        assert!((at_least..=at_most).contains(&requests), "day {day}: {at_least} <= {requests} <= {at_most}");
        assert!(bytes >= at_least_bytes, "day {day}: {bytes} of {at_least_bytes}");
    }
    assert!(at_least > 100, "{at_least}");
    // A day on which nobody is killed, of fresh processes: all sums are equal, and any node tells those of all.
    for n in 0..3 {
        assert!(world.nodes[n].running.take().unwrap().stop().success());
    }
    (0..3).for_each(|n| world.start(n));
    let (counted, in_logs) = (settled(&world), logged(&world));
    let running = Day::begin(&world, &key, seed + DAYS);
    std::thread::sleep(Duration::from_millis(1000));
    running.end();
    let (now, logs) = (settled(&world), logged(&world));
    let shown = |name| (0..3).map(|n| metric(&world, n, name)).sum::<u64>();
    let difference = |now: (u64, u64), before: (u64, u64)| (now.0 - before.0, now.1 - before.1);
    assert_eq!(difference(now, counted), (shown("usage_requests"), shown("usage_bytes_out")));
    assert_eq!(difference(now, counted), difference(logs, in_logs));
    assert_eq!(stored(&world, 1), listed(&world));
    for n in 0..3 {
        assert!(world.nodes[n].running.take().unwrap().stop().success());
    }
    world.start(1);
    until("what the others told is all of it", || total(&world, 1) == now);
    let csv = |month: &str| {
        let query = [("tenant", "acme"), ("by", "bucket,type"), ("format", "csv"), ("month", month)];
        world.api(1, "GET", "/-/v1/usage", &query, "").expect(200).text()
    };
    let csv = months().map(|month| csv(&month));
    let (head, _) = csv[0].split_once("\r\n").unwrap();
    let column = |part: &str| -> u64 {
        let at: Vec<usize> = head.split(',').enumerate().filter(|(_, h)| h.starts_with(part)).map(|(at, _)| at).collect();
        let numbers = |line: &str| -> u64 { at.iter().map(|n| line.split(',').nth(*n).unwrap().parse::<u64>().unwrap()).sum() };
        csv.iter().flat_map(|csv| csv.lines().skip(1)).map(numbers).sum()
    };
    assert_eq!((column("requests_"), column("bytes_out_")), now);
    check_days(&world);
}

/// What was stored on each of the days that are over is what its runs say.
fn check_days(world: &World) {
    until("days add up", || {
        let (days, runs) = (report(world, 1, "day"), report(world, 1, "day,run"));
        let (days, of_runs) = (stored_for(&days, "day"), stored_for(&runs, "day"));
        // The last are perhaps not yet told.
        let over = days.keys().rev().nth(2).cloned().unwrap_or_default();
        let until_then = |days: &BTreeMap<String, u128>| days.range(..=over.clone()).map(|(_, sum)| *sum).collect::<Vec<_>>();
        let names = stored_for(&runs, "run");
        let has_runs = ["run-0", "run-1", "run-2"].iter().all(|run| names.contains_key(*run));
        has_runs && days.len() as u64 >= DAYS && until_then(&days) == until_then(&of_runs)
    });
}
