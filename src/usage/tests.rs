//! The ledger against a model, and usage as a whole over kills, compactions and disks that fail.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use proptest::prelude::*;

use super::count::{Class, OTHER, Way};
use super::ledger::{Caps, Ledger, Period};
use super::period::{DAY, HOUR, Month};
use super::report::{Asked, By};
use super::rows::Row;
use super::sheet::{Counted, Sheet};
use super::*;
use crate::base::usage::RunDays;
use crate::journal::op::parse_ops;
use crate::journal::{Fault, Step as DiskStep};

const START: u64 = 20_000 * DAY + 22 * HOUR;

fn place(n: u8) -> Place {
    Place { tenant: format!("t{}", n % 2), bucket: "media".into(), artifact: "image".into(), run: format!("r{n}") }
}

#[derive(Debug, Clone)]
enum Step {
    Count {
        place: u8,
        bytes: u64,
    },
    /// What is stored changes, and time passes.
    Store {
        place: u8,
        bytes: u64,
    },
    Wait {
        millis: u64,
    },
    Measure,
    Flush,
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..6u8, 0..1000u64).prop_map(|(place, bytes)| Step::Count { place, bytes }),
        3 => (0..3u8, 0..1_000_000u64).prop_map(|(place, bytes)| Step::Store { place, bytes }),
        4 => prop_oneof![0..2000u64, 0..HOUR, 0..3 * DAY].prop_map(|millis| Step::Wait { millis }),
        3 => Just(Step::Measure),
        4 => Just(Step::Flush),
        2 => Just(Step::Kill),
    ]
}

/// A disk, and what is to be on it.
struct Model {
    now: u64,
    ledger: Ledger,
    disk: BTreeMap<(u8, Vec<u8>), Vec<u8>>,
    /// What was counted, by row: what is on the disk, and what is not yet.
    kept: BTreeMap<(Period, Place), Counts>,
    waiting: Vec<((Period, Place), Counts)>,
    /// Of what is stored: bytes, since when, and byte-milliseconds before.
    meters: BTreeMap<Place, (u64, u64, u128)>,
    /// Of them, what was measured and flushed, and what was only measured.
    measured: BTreeMap<Place, u128>,
    waiting_measured: Option<BTreeMap<Place, u128>>,
}

const CAPS: Caps = Caps { hour: 4, day: 5 };

impl Model {
    fn at(&self) -> Timestamp {
        Timestamp::from_millis(self.now)
    }

    fn totals(&self) -> BTreeMap<Place, u128> {
        let total = |(bytes, since, before): &(u64, u64, u128)| before + u128::from(*bytes) * u128::from(self.now - since);
        self.meters.iter().map(|(place, meter)| (place.clone(), total(meter))).collect()
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Count { place: n, bytes } => {
                let counts = Counts::request(Class::Get, Way::S3, 1, bytes);
                self.ledger.count(self.at(), &place(n), &counts);
                for period in [Period::Hour(period::hour(self.at())), Period::Day(period::day(self.at()))] {
                    self.waiting.push(((period, place(n)), counts));
                }
            }
            Step::Store { place: n, bytes } => {
                let totals = self.totals();
                let place = Place { run: String::new(), ..place(n) };
                let before = totals.get(&place).copied().unwrap_or(0);
                self.meters.insert(place, (bytes, self.now, before));
            }
            Step::Wait { millis } => self.now += millis,
            Step::Measure => {
                let totals = self.totals();
                self.ledger.measure(self.at(), totals.clone().into_iter().collect());
                self.waiting_measured = Some(totals);
            }
            Step::Flush => {
                let batch = self.ledger.changes().unwrap();
                for op in parse_ops(&batch).unwrap() {
                    match op.value {
                        Some(value) => self.disk.insert((op.table, op.key.to_vec()), value.to_vec()),
                        None => self.disk.remove(&(op.table, op.key.to_vec())),
                    };
                }
                self.ledger.written(self.at());
                for (row, counts) in self.waiting.drain(..) {
                    self.kept.entry(row).or_default().add(&counts);
                }
                self.measured = self.waiting_measured.take().unwrap_or(std::mem::take(&mut self.measured));
            }
            Step::Kill => {
                let rows = self.rows();
                let measured = rows.iter().find_map(|row| if let Row::Measured(at) = row { Some(*at) } else { None });
                self.ledger = Ledger::new(CAPS, self.at(), measured);
                rows.into_iter().for_each(|row| self.ledger.load(row));
                self.waiting.clear();
                self.waiting_measured = None;
            }
        }
    }

    fn rows(&self) -> Vec<Row> {
        let row = |((table, key), value): (&(u8, Vec<u8>), &Vec<u8>)| {
            Row::parse(&crate::journal::OpRef { table: *table, key, value: Some(value) }).unwrap().unwrap()
        };
        self.disk.iter().map(row).collect()
    }

    /// By tenant and period nothing is lost or counted twice; by row nothing is made up, and what has no row is told as other.
    fn check(&self) {
        let (mut found, mut stored) = (BTreeMap::<(Period, String), Counts>::new(), BTreeMap::<Place, (u128, u128)>::new());
        let mut used = BTreeMap::<Period, usize>::new();
        for row in self.rows() {
            let (period, place, counts) = match row {
                Row::Hour(hour, place, counts) => (Period::Hour(hour), place, counts),
                Row::Day(day, place, counts) => (Period::Day(day), place, counts),
                _ => continue,
            };
            if counts.byte_millis > 0 {
                let (by_hour, by_day) = stored.entry(place.clone()).or_default();
                *if matches!(period, Period::Hour(_)) { by_hour } else { by_day } += counts.byte_millis;
            }
            let requests = Counts { byte_millis: 0, ..counts };
            if requests == Counts::default() {
                continue;
            }
            if place.run != OTHER {
                *used.entry(period).or_default() += 1;
                let kept = &self.kept[&(period, place.clone())];
                assert!(requests.all_requests() <= kept.all_requests(), "{place:?}");
            }
            found.entry((period, place.tenant)).or_default().add(&requests);
        }
        let mut expected = BTreeMap::<(Period, String), Counts>::new();
        for ((period, place), counts) in &self.kept {
            expected.entry((*period, place.tenant.clone())).or_default().add(counts);
        }
        assert_eq!(found, expected);
        assert!(used.iter().all(|(period, used)| *used <= if matches!(period, Period::Hour(_)) { CAPS.hour } else { CAPS.day }));
        for (place, total) in self.measured.iter().filter(|(_, total)| **total > 0) {
            assert_eq!(stored[place].1, *total, "{place:?} by day");
            assert!(stored[place].0 <= *total);
        }
    }
}

proptest! {
    #[test]
    fn what_was_flushed_is_counted_once(steps in proptest::collection::vec(step(), 1..120)) {
        let (now, ledger) = (START, Ledger::new(CAPS, Timestamp::from_millis(START), None));
        let mut model = Model {
            now, ledger, disk: BTreeMap::new(), kept: BTreeMap::new(), waiting: Vec::new(), meters: BTreeMap::new(),
            measured: BTreeMap::new(), waiting_measured: None,
        };
        model.apply(Step::Measure);
        model.apply(Step::Flush);
        for step in steps {
            model.apply(step);
            model.check();
        }
    }
}

#[test]
fn time_that_goes_back_loses_nothing() {
    let at = |millis| Timestamp::from_millis(millis);
    let mut ledger = Ledger::new(Caps::default(), at(START), None);
    let one = Counts::request(Class::Put, Way::S3, 5, 0);
    ledger.count(at(START), &place(0), &one);
    ledger.written(at(START + 5 * HOUR));
    ledger.count(at(START), &place(0), &one);
    let batch = ledger.changes().unwrap();
    let rows: Vec<_> = parse_ops(&batch).unwrap().iter().map(|op| Row::parse(op).unwrap().unwrap()).collect();
    let late = at(START + 5 * HOUR);
    assert!(rows.contains(&Row::Hour(period::hour(late), place(0), one)) && rows.contains(&Row::Day(period::day(late), place(0), one)));
}

struct Folder {
    root: tempfile::TempDir,
    clock: Arc<AtomicU64>,
    failing: Arc<AtomicBool>,
}

impl Folder {
    fn new() -> Self {
        Folder { root: tempfile::tempdir().unwrap(), clock: Arc::new(AtomicU64::new(START)), failing: Arc::default() }
    }

    fn settings(&self) -> Settings {
        let (clock, failing) = (self.clock.clone(), self.failing.clone());
        let fault = move |step| match step {
            DiskStep::Write if failing.load(Ordering::SeqCst) => Err(std::io::Error::other("a test wants it")),
            _ => Ok(()),
        };
        Settings {
            dir: self.root.path().join("usage"),
            segment_bytes: 4096,
            clock: Clock(Arc::new(move || Timestamp::from_millis(clock.load(Ordering::SeqCst)))),
            fault: Some(Fault(Arc::new(fault))),
            prices: prices::Prices {
                currency: "EUR".into(),
                bytes_out: ["0.09".parse().unwrap(), "0.05".parse().unwrap(), "0.01".parse().unwrap()],
                stored: "0.023".parse().unwrap(),
                ..prices::Prices::default()
            },
            ..Settings::default()
        }
    }

    fn open(&self) -> Usage {
        Usage::open(self.settings(), Gauges::default()).unwrap()
    }

    fn ask(&self, usage: &Usage, by: &str) -> Report {
        let asked = Asked { by: Some(by.into()), ..Asked::default() };
        self.ask_with(usage, &asked, &[])
    }

    fn ask_with(&self, usage: &Usage, asked: &Asked, others: &[Vec<u8>]) -> Report {
        self.ask_beside(usage, asked, Beside { others: others.to_vec(), ..Beside::default() })
    }

    fn ask_beside(&self, usage: &Usage, asked: &Asked, beside: Beside) -> Report {
        usage.report(&asked.query(Timestamp::from_millis(self.clock.load(Ordering::SeqCst))).unwrap(), beside).unwrap()
    }
}

fn count(usage: &Usage, n: u8, bytes: u64) {
    while usage.take(vec![(place(n), Counts::request(Class::Get, Way::S3, 0, bytes))]).is_err() {
        std::thread::yield_now();
    }
}

#[test]
fn what_was_flushed_is_there_after_a_restart_and_a_kill_and_a_disk_that_failed() {
    let folder = Folder::new();
    let usage = folder.open();
    count(&usage, 1, 100);
    usage.flush().unwrap();
    // A kill: the folder as it is, while another process has it open.
    let killed = Folder { root: tempfile::tempdir().unwrap(), ..Folder::new() };
    let (from, to) = (folder.settings().dir.join("journal"), killed.settings().dir.join("journal"));
    std::fs::create_dir_all(&to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
    folder.failing.store(true, Ordering::SeqCst);
    count(&usage, 1, 10);
    assert!(usage.flush().is_err());
    folder.failing.store(false, Ordering::SeqCst);
    count(&usage, 2, 1);
    usage.close();
    assert!(usage.take(vec![(place(1), Counts::default())]).is_err());
    for (folder, bytes) in [(&folder, 111), (&killed, 100)] {
        let usage = folder.open();
        let total = folder.ask(&usage, "tenant,run").total;
        assert_eq!(total.counts.all_bytes_out(), bytes);
        count(&usage, 1, 1000);
        assert_eq!(folder.ask(&usage, "tenant").total.counts.all_bytes_out(), bytes + 1000);
        usage.close();
    }
}

#[test]
fn the_journal_stays_short_and_hours_are_forgotten_before_days() {
    let folder = Folder::new();
    let usage = folder.open();
    let mut sum = 0;
    for n in 0..400u64 {
        count(&usage, (n % 200) as u8, n);
        sum += n;
        usage.flush().unwrap();
    }
    let bytes = || {
        let files = std::fs::read_dir(folder.settings().dir.join("journal")).unwrap();
        files.map(|f| f.unwrap().metadata().map_or(0, |m| m.len())).sum::<u64>()
    };
    // Compaction runs beside: it comes to rest.
    let until = std::time::Instant::now() + Duration::from_secs(20);
    while bytes() > 150_000 && std::time::Instant::now() < until {
        usage.flush().unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(bytes() <= 150_000, "{}", bytes());
    for by in ["tenant", "day,bucket,type,run", "hour", "run"] {
        let report = folder.ask(&usage, by);
        assert_eq!(report.total.counts.all_bytes_out(), sum, "{by}");
        let mut of_lines = Counts::default();
        report.lines.iter().for_each(|line| of_lines.add(&line.counts));
        assert_eq!(of_lines, report.total.counts);
        let costs = report.lines.iter().filter_map(|line| line.cost).fold(prices::Money::default(), prices::Money::plus);
        assert_eq!(Some(costs), report.total.cost);
    }
    folder.clock.fetch_add(8 * DAY, Ordering::SeqCst);
    assert_eq!(folder.ask(&usage, "hour").total.counts, Counts::default());
    assert_eq!(folder.ask(&usage, "day").total.counts.all_bytes_out(), sum);
    usage.close();
}

#[test]
fn storage_is_metered_over_nights_that_the_gateway_was_off() {
    let folder = Folder::new();
    let (usage, meter) = (folder.open(), Place { run: String::new(), ..place(1) });
    let measure = |usage: &Usage, total: u128| {
        usage.measured(Timestamp::from_millis(folder.clock.load(Ordering::SeqCst)), vec![(meter.clone(), total)]);
    };
    measure(&usage, 0);
    usage.close();
    // 22:00 on the first day to 10:00 on the third: 1000 bytes all the time.
    folder.clock.fetch_add(36 * HOUR, Ordering::SeqCst);
    let usage = folder.open();
    measure(&usage, 1000 * u128::from(36 * HOUR));
    let report = folder.ask(&usage, "day");
    let hours: Vec<u128> = report.lines.iter().map(|line| line.counts.byte_millis / 1000 / u128::from(HOUR)).collect();
    assert_eq!(hours, [2, 24, 10]);
    assert_eq!(folder.ask(&usage, "hour").lines.len(), 36);
    usage.close();
}

#[test]
fn a_copy_is_a_folder_that_goes_on() {
    let (folder, copied) = (Folder::new(), Folder::new());
    let usage = folder.open();
    (0..100).for_each(|n| count(&usage, n, 10));
    usage.worked("t1", Duration::from_millis(1500));
    usage.backup(&copied.settings().dir).unwrap();
    count(&usage, 1, 1);
    let copy = copied.open();
    assert_eq!(copied.ask(&copy, "tenant").total.counts.all_bytes_out(), 1000);
    count(&copy, 1, 10);
    copy.close();
    let total = copied.ask(&copied.open(), "run").total.counts;
    assert_eq!((total.all_bytes_out(), total.job_millis), (1010, 1500));
    assert_eq!(folder.ask(&usage, "tenant").total.counts.all_bytes_out(), 1001);
    usage.close();
}

#[test]
fn what_nodes_tell_each_other_adds_up() {
    let (east, west) = (Folder::new(), Folder::new());
    let (here, there) = (east.open(), west.open());
    (0..50).for_each(|n| count(&here, n, 10));
    (0..7000u32).for_each(|n| {
        let place = Place { run: format!("{n:0>100}"), ..place(1) };
        while there.take(vec![(place.clone(), Counts::request(Class::Put, Way::S3, 1, 0))]).is_err() {
            std::thread::yield_now();
        }
    });
    let day = period::day(Timestamp::from_millis(START));
    let told = there.days_since(day).unwrap();
    assert_eq!(told.iter().map(|(day, number, _)| (*day, *number)).collect::<Vec<_>>(), [(day, 0), (day, 1)]);
    assert!(there.days_since(day + 1).unwrap().is_empty());
    let records: Vec<_> = told.into_iter().map(|(_, _, record)| record).collect();
    let report = east.ask_with(&here, &Asked { by: Some("tenant,run".into()), ..Asked::default() }, &records);
    assert_eq!((report.total.counts.all_bytes_out(), report.total.counts.bytes_in), (500, 7000));
    assert_eq!(report.total.counts.all_requests(), 7050);
    here.close();
    there.close();
}

#[test]
fn tables_are_safe_to_open() {
    let folder = Folder::new();
    let usage = folder.open();
    let run = |run: &str| Place { run: run.into(), ..place(1) };
    for name in ["=1+1", "a,\"b\"", "@x"] {
        usage.take(vec![(run(name), Counts::request(Class::Put, Way::Cdn, 7, 1_000_000))]).unwrap();
    }
    let report = folder.ask(&usage, "run");
    let csv = show::csv(&report);
    assert!(
        csv.starts_with("run,requests_put,") && csv.contains("\r\n'=1+1,1,") && csv.contains("\"a,\"\"b\"\"\",1,") && csv.contains("'@x,")
    );
    let json = show::json(&report);
    assert_eq!((&json["total"]["requests"]["put"], &json["lines"][0]["run"]), (&3.into(), &"=1+1".into()));
    assert_eq!(json["total"]["cost"], "0.00003");
    usage.close();
}

#[test]
fn a_sheet_has_a_row_for_each_place_and_one_for_the_rest() {
    let folder = Folder::new();
    let usage = folder.open();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()).unwrap();
    runtime.block_on(async {
        let sheet: Rc<Sheet> = Sheet::start(usage.clone());
        let runs: Vec<String> = (0..5000).map(|n| format!("run {n}")).collect();
        for _ in 0..2 {
            for run in &runs {
                let (tenant, bucket, artifact) = ("acme", "media", "image");
                sheet.count(&Counted { tenant, bucket, artifact, run, class: Class::Get, way: Way::Edge, bytes_in: 0, bytes_out: 2 });
            }
        }
        drop(sheet);
    });
    let report = folder.ask(&usage, "tenant,run");
    assert_eq!((report.total.counts.all_requests(), report.total.counts.all_bytes_out()), (10_000, 20_000));
    let other: Vec<_> = report.lines.iter().filter(|line| line.names[1] == OTHER).collect();
    assert_eq!((report.lines.len(), other.len(), other[0].counts.all_requests()), (4097, 1, 2 * (5000 - 4096)));
    usage.close();
}

#[test]
fn questions_that_make_no_sense_are_told_so() {
    let now = Timestamp::from_millis(START);
    let asked = |month: &str, day: &str, by: &str| {
        let text = |s: &str| Some(s.to_owned()).filter(|s| !s.is_empty());
        Asked { month: text(month), day: text(day), by: text(by), ..Asked::default() }.query(now)
    };
    let query = asked("", "2026-11-29", "run,tenant,run").unwrap();
    assert_eq!((query.month, query.by), (Month::parse("2026-11").unwrap(), vec![By::Tenant, By::Run]));
    for (month, day, by) in [("2026-13", "", ""), ("2026-10", "2026-11-29", ""), ("", "", "colour"), ("", "yesterday", "")] {
        assert!(asked(month, day, by).is_err(), "{month} {day} {by}");
    }
}

/// Each row as it lies in a journal of version 1: never changed.
#[test]
fn rows_are_read_and_written_as_they_lie_there() {
    let counts = Counts { requests: [1, 2, 3, 4, 300], bytes_in: 5, bytes_out: [6, 7, 1 << 40], job_millis: 8, byte_millis: 1 << 70 };
    let rows = [
        Row::Hour(480_022, place(1), counts),
        Row::Day(20_001, Place { tenant: "acme".into(), ..Place::default() }, Counts::default()),
        Row::Meter(place(3), u128::from(u64::MAX) + 1),
        Row::Measured(Timestamp::from_millis(START)),
    ];
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/usage/rows.hex");
    let mut bytes = Vec::new();
    rows.iter().for_each(|row| row.encode(&mut bytes).unwrap());
    if std::env::var_os("TIDEGATE_WRITE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, hex::encode(&bytes) + "\n").unwrap();
    }
    let golden = hex::decode(std::fs::read_to_string(&path).unwrap().trim_end()).unwrap();
    assert_eq!(bytes, golden);
    let read: Vec<_> = parse_ops(&golden).unwrap().iter().map(|op| Row::parse(op).unwrap().unwrap()).collect();
    assert_eq!(read, rows);
    let wrong = Mutex::new(golden.clone()).into_inner().unwrap();
    for n in 0..wrong.len() {
        // No byte of it makes a panic.
        let mut bytes = wrong.clone();
        bytes[n] ^= 0x55;
        parse_ops(&bytes).into_iter().flatten().for_each(|op| drop(Row::parse(&op)));
    }
}

#[test]
fn what_was_stored_of_runs_is_taken_from_what_is_told_of_none() {
    let folder = Folder::new();
    let usage = folder.open();
    let all = Place { run: String::new(), ..place(0) };
    usage.measured(usage.now(), vec![(all.clone(), 0)]);
    folder.clock.fetch_add(1000, Ordering::SeqCst);
    usage.measured(usage.now(), vec![(all, 100)]);
    count(&usage, 0, 5);
    let today = period::day(usage.now());
    let stored = |run: Option<&str>, byte_millis| RunDays {
        tenant: "t0".into(),
        bucket: "media".into(),
        artifact: "image".into(),
        run: run.map(str::to_owned),
        day: Some(today),
        byte_millis,
    };
    let asked = |by: &str| Asked { by: Some(by.into()), ..Asked::default() };
    let shown = |runs| {
        let report = folder.ask_beside(&usage, &asked("day,run"), Beside { runs, ..Beside::default() });
        assert_eq!((report.total.counts.byte_millis, report.total.counts.all_requests()), (100, 1));
        let line = |line: report::Line| (line.names[1].clone(), line.counts.byte_millis);
        report.lines.into_iter().map(line).collect::<Vec<_>>()
    };
    let line = |run: &str, byte_millis| (run.to_owned(), byte_millis);
    assert_eq!(shown(Vec::new()), [line("", 100), line("r0", 0)]);
    let runs = vec![stored(Some("r0"), 30), stored(Some("r1"), 10), stored(None, 5)];
    assert_eq!(shown(runs), [line("", 55), line(OTHER, 5), line("r0", 30), line("r1", 10)]);
    // Never more than there was.
    assert_eq!(shown(vec![stored(Some("r0"), 70), stored(Some("r1"), 70)]), [line("r0", 70), line("r1", 30)]);
    let total = folder.ask(&usage, "tenant").lines;
    assert_eq!((total.len(), total[0].counts.byte_millis), (1, 100));
}
