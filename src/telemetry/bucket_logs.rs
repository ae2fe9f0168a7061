//! Lines of the access log on their way into a bucket: gathered in files of the data folder, a bucket's own for each day.
//!
//! Not here: which buckets want it (`http/account`), what brings a file that is full or old enough (`jobs/deliver_log`).
//! Written by a thread of its own through a bounded queue, as the access log is. Lines are durable a second after their answer has
//! ended: a crash loses that second. Files that a dead process left open are brought by the next start.
//! Limits: files that are open at once, and bytes of all files; what does not fit is dropped and counted.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::access_log::{Entry, line};
use super::log::Format;
use super::metrics::Metrics;
use crate::base::names::BucketName;
use crate::base::timestamp::Timestamp;
use crate::private;

const QUEUE: usize = 8192;
const SYNC: Duration = Duration::from_secs(1);
/// One delivery: small enough to be in memory.
const MAX_FILE_BYTES: u64 = 8 * 1024 * 1024;
const MAX_OPEN: usize = 128;
/// Of all files: a target that takes nothing must not fill the disk.
const MAX_BYTES: u64 = 1024 * 1024 * 1024;
const DAY_SECONDS: u64 = 24 * 3600;
const OPEN: &str = "open";
const READY: &str = "log";

#[derive(Debug, Clone)]
pub struct Settings {
    pub dir: PathBuf,
    /// A file is brought when it is this old.
    pub every: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { dir: "data/bucket-logs".into(), every: Duration::from_secs(300) }
    }
}

/// The sending end.
#[derive(Debug, Clone)]
pub struct BucketLogs {
    queue: SyncSender<(BucketName, Box<Entry>)>,
    pub wanted: Wanted,
    metrics: Arc<Metrics>,
}

/// Whether some bucket wants its log: then each request is noted as its line needs it.
#[derive(Debug, Clone)]
pub struct Wanted(Arc<AtomicBool>);

impl Wanted {
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// From now on.
    pub fn set(&self) {
        if !self.get() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// A file that is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spooled {
    pub bucket: BucketName,
    /// When the first of its requests came: all are of that day.
    pub first: Timestamp,
    pub unique: String,
}

/// Keeps the writing thread; `finish` waits until all lines that were sent are in files. Drop every `BucketLogs` first.
#[derive(Debug)]
pub struct Writer(JoinHandle<()>);

impl Writer {
    pub fn finish(self) {
        if self.0.join().is_err() {
            tracing::error!("the thread of buckets' logs had panicked");
        }
    }
}

impl Spooled {
    pub fn file_name(&self) -> String {
        self.named(READY)
    }

    fn named(&self, extension: &str) -> String {
        format!("{}.{}.{}.{extension}", self.bucket, self.first.secs(), self.unique)
    }

    /// None: it is no such file's.
    pub fn parse(file_name: &str) -> Option<Self> {
        Self::with_extension(file_name, READY)
    }

    fn with_extension(file_name: &str, extension: &str) -> Option<Self> {
        let mut parts = file_name.strip_suffix(extension)?.strip_suffix('.')?.rsplitn(3, '.');
        let (unique, first, bucket) = (parts.next()?, parts.next()?, parts.next()?);
        let unique = Some(unique).filter(|u| u.len() == 16 && u.bytes().all(|c| c.is_ascii_hexdigit()))?.to_owned();
        Some(Spooled { bucket: BucketName::parse(bucket).ok()?, first: Timestamp::from_secs(first.parse().ok()?), unique })
    }

    fn day(&self) -> u64 {
        self.first.secs() / DAY_SECONDS
    }
}

/// The names of all that are complete.
pub fn ready(dir: &Path) -> io::Result<Vec<String>> {
    let names = std::fs::read_dir(dir)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.filter(|name| Spooled::parse(name).is_some()).collect())
}

impl BucketLogs {
    pub fn start(settings: &Settings, metrics: Arc<Metrics>) -> io::Result<(BucketLogs, Writer)> {
        private::make_dir(&settings.dir)?;
        let left = close_what_was_left(&settings.dir)?;
        let (queue, lines) = sync_channel(QUEUE);
        let spool = Spool { settings: settings.clone(), open: HashMap::new(), full: false, failing: false, metrics: metrics.clone() };
        let thread = std::thread::Builder::new().name("bucket-logs".into()).spawn(move || spool.run(&lines))?;
        // What is left to bring belongs to a bucket that wants its log.
        Ok((BucketLogs { queue, wanted: Wanted(Arc::new(AtomicBool::new(left))), metrics }, Writer(thread)))
    }

    pub fn send(&self, bucket: BucketName, entry: Box<Entry>) {
        match self.queue.try_send((bucket, entry)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.metrics.bucket_log_dropped.inc();
            }
        }
    }
}

/// True: there are files to bring.
fn close_what_was_left(dir: &Path) -> io::Result<bool> {
    let mut any = false;
    for entry in std::fs::read_dir(dir)? {
        let Ok(name) = entry?.file_name().into_string() else { continue };
        any |= Spooled::parse(&name).is_some();
        if let Some(file) = Spooled::with_extension(&name, OPEN) {
            std::fs::rename(dir.join(&name), dir.join(file.file_name()))?;
            any = true;
        }
    }
    Ok(any)
}

struct Open {
    spooled: Spooled,
    file: File,
    bytes: u64,
    begun: Instant,
    /// Not yet in the file.
    lines: String,
    count: u64,
    written_since_sync: bool,
}

struct Spool {
    settings: Settings,
    open: HashMap<BucketName, Open>,
    /// All files together have no room for more.
    full: bool,
    failing: bool,
    metrics: Arc<Metrics>,
}

impl Spool {
    fn run(mut self, lines: &Receiver<(BucketName, Box<Entry>)>) {
        let mut synced = Instant::now();
        loop {
            match lines.recv_timeout(SYNC) {
                Ok((bucket, entry)) => self.add(bucket, *entry),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if synced.elapsed() >= SYNC {
                synced = Instant::now();
                self.tend(false);
            }
        }
        self.tend(true);
    }

    fn add(&mut self, bucket: BucketName, entry: Entry) {
        if self.full {
            self.metrics.bucket_log_dropped.inc();
            return;
        }
        let (time, day) = (entry.time, entry.time.secs() / DAY_SECONDS);
        if self.open.get(&bucket).is_some_and(|open| open.spooled.day() != day || open.bytes >= MAX_FILE_BYTES) {
            self.close(&bucket);
        }
        if !self.open.contains_key(&bucket) {
            if self.open.len() >= MAX_OPEN
                && let Some(oldest) = self.open.iter().min_by_key(|(_, open)| open.begun).map(|(name, _)| name.clone())
            {
                self.close(&oldest);
            }
            match self.begin(bucket.clone(), time) {
                Ok(open) => drop(self.open.insert(bucket.clone(), open)),
                Err(e) => return self.failed(1, &e),
            }
        }
        if let Some(open) = self.open.get_mut(&bucket) {
            let before = open.lines.len();
            line(&mut open.lines, entry, Format::Text);
            open.bytes += (open.lines.len() - before) as u64;
            open.count += 1;
        }
    }

    fn begin(&self, bucket: BucketName, first: Timestamp) -> io::Result<Open> {
        let mut unique = [0; 8];
        getrandom::fill(&mut unique).map_err(io::Error::other)?;
        let spooled = Spooled { bucket, first, unique: hex::encode_upper(unique) };
        let file = private::create_new(&self.settings.dir.join(spooled.named(OPEN)))?;
        Ok(Open { spooled, file, bytes: 0, begun: Instant::now(), lines: String::new(), count: 0, written_since_sync: false })
    }

    /// Makes durable what came, and closes what is old enough; with `all`, everything.
    fn tend(&mut self, all: bool) {
        let mut over = Vec::new();
        let mut lost: Option<(u64, io::Error)> = None;
        for (bucket, open) in &mut self.open {
            // After a failed sync nobody knows what is in the file: it is closed, and another one begun.
            if let Err(e) = open.sync() {
                let count = std::mem::take(&mut open.count);
                lost = Some((count + lost.map_or(0, |(n, _)| n), e));
                over.push(bucket.clone());
            } else if all || open.begun.elapsed() >= self.settings.every {
                over.push(bucket.clone());
            }
        }
        match lost {
            Some((count, e)) => self.failed(count, &e),
            None => self.failing = false,
        }
        over.iter().for_each(|bucket| self.close(bucket));
        self.full = bytes_in(&self.settings.dir).is_ok_and(|bytes| bytes >= MAX_BYTES);
    }

    fn close(&mut self, bucket: &BucketName) {
        let Some(mut open) = self.open.remove(bucket) else { return };
        let synced = open.sync();
        let dir = &self.settings.dir;
        let renamed = std::fs::rename(dir.join(open.spooled.named(OPEN)), dir.join(open.spooled.file_name()));
        if let Err(e) = synced.and(renamed) {
            self.failed(open.count, &e);
        }
    }

    /// Told once for each spell of trouble.
    fn failed(&mut self, lines: u64, e: &io::Error) {
        self.metrics.bucket_log_dropped.inc_by(lines);
        if !std::mem::replace(&mut self.failing, true) {
            tracing::error!(error = %e, "the logs of buckets can't be written; lines are dropped");
        }
    }
}

impl Open {
    fn sync(&mut self) -> io::Result<()> {
        if !self.lines.is_empty() {
            let written = self.file.write_all(self.lines.as_bytes());
            self.lines.clear();
            self.written_since_sync = true;
            written?;
        }
        if std::mem::take(&mut self.written_since_sync) {
            self.file.sync_data()?;
        }
        self.count = 0;
        Ok(())
    }
}

fn bytes_in(dir: &Path) -> io::Result<u64> {
    std::fs::read_dir(dir)?.map(|entry| Ok(entry?.metadata().map_or(0, |m| m.len()))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(dir: &Path) -> (BucketLogs, Writer) {
        let settings = Settings { dir: dir.to_owned(), every: Duration::from_secs(3600) };
        BucketLogs::start(&settings, Arc::new(Metrics::new())).unwrap()
    }

    fn bucket(name: &str) -> BucketName {
        BucketName::parse(name).unwrap()
    }

    #[test]
    fn each_bucket_and_day_has_a_file_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let (logs, writer) = start(dir.path());
        for (name, days) in [("media", 0), ("a.b", 0), ("media", 0), ("media", 1)] {
            let mut entry = Entry::example();
            entry.time = Timestamp::from_secs(entry.time.secs() + days * DAY_SECONDS);
            logs.send(bucket(name), Box::new(entry));
        }
        drop(logs);
        writer.finish();
        let mut found: Vec<_> = ready(dir.path())
            .unwrap()
            .iter()
            .map(|name| {
                let file = Spooled::parse(name).unwrap();
                assert_eq!(file.file_name(), *name);
                let lines = std::fs::read_to_string(dir.path().join(name)).unwrap().lines().count();
                (file.bucket.to_string(), file.day(), lines)
            })
            .collect();
        found.sort();
        let day = Entry::example().time.secs() / DAY_SECONDS;
        assert_eq!(found, [("a.b".into(), day, 1), ("media".into(), day, 2), ("media".into(), day + 1, 1)]);
    }

    #[test]
    fn what_a_dead_process_left_is_brought() {
        let dir = tempfile::tempdir().unwrap();
        let left = Spooled { bucket: bucket("media"), first: Timestamp::from_secs(5), unique: "00112233AABBCCDD".into() };
        std::fs::write(dir.path().join(left.named(OPEN)), "a line\n").unwrap();
        std::fs::write(dir.path().join("something else"), "").unwrap();
        let (logs, writer) = start(dir.path());
        assert!(logs.wanted.get());
        assert_eq!(ready(dir.path()).unwrap(), [left.file_name()]);
        drop(logs);
        writer.finish();
    }

    #[test]
    fn names_of_other_files_are_no_logs() {
        for name in ["media.5.0011.log", "media.x.00112233AABBCCDD.log", ".5.00112233AABBCCDD.log", "../x.5.00112233AABBCCDD.log", "a.log"]
        {
            assert_eq!(Spooled::parse(name), None, "{name}");
        }
    }
}
