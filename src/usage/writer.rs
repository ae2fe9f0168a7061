//! The one thread that keeps usage: adds what comes to the ledger, writes what changed, and lets go of what is too old.
//!
//! Each batch holds whole totals, so one that is read again, or whose answer was lost, says the same. While the disk takes no writes the
//! totals grow in memory and are written by the first batch that it takes.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::base::error::{Error, Result};
use crate::base::timestamp::Timestamp;
use crate::follow::input_of;
use crate::journal::Journal;
use crate::journal::compact::{self, Input};
use crate::journal::log::Snapshot;
use crate::journal::segment;
use crate::journal::sorted::Stamp;
use crate::telemetry::usage::Usage as Gauges;
use crate::usage::count::{Counts, Place};
use crate::usage::egress::Egress;
use crate::usage::ledger::Ledger;
use crate::usage::period;
use crate::usage::rows::{self, Row, Table};
use crate::usage::settings::Settings;

/// As for the queue: each byte is written at most twice more.
const SEGMENTS: usize = 4;

pub enum Message {
    Counted(Vec<(Place, Counts)>),
    Measured(Timestamp, Vec<(Place, u128)>),
    Flush(SyncSender<Result<()>>),
    /// A batch of its own, durable when it is answered.
    Keep(Vec<u8>, SyncSender<Result<()>>),
    /// All of the journal, as it is now.
    Input(SyncSender<(Input, Stamp)>),
    /// From the thread that compacts.
    Compacted(Result<Snapshot>),
    Stop,
}

/// What the thread works with.
pub struct Parts {
    pub settings: Settings,
    pub reading: Arc<Mutex<()>>,
    pub gauges: Gauges,
    pub egress: Arc<Egress>,
}

pub struct Writer {
    journal: Journal,
    messages: Receiver<Message>,
    back: SyncSender<Message>,
    settings: Settings,
    reading: Arc<Mutex<()>>,
    gauges: Gauges,
    egress: Arc<Egress>,
    ledger: Ledger,
    changed: bool,
    failing: bool,
    compacting: bool,
    /// What a new snapshot stands for, until nobody reads it any more: the snapshot before, and the last of the segments.
    superseded: Option<(Option<PathBuf>, u64)>,
}

impl Writer {
    pub fn open(journal: Journal, messages: Receiver<Message>, back: SyncSender<Message>, parts: Parts) -> Result<Writer> {
        let Parts { settings, reading, gauges, egress } = parts;
        let input = input_of(&journal);
        let mut measured = None;
        compact::merge(&input, &mut |op| {
            if op.table == Table::Measured as u8
                && let Some(Row::Measured(at)) = Row::parse(op)?
            {
                measured = Some(at);
            }
            Ok(())
        })?;
        let mut ledger = Ledger::new(settings.caps, (settings.clock.0)(), measured);
        compact::merge(&input, &mut |op| {
            let Some(row) = Row::parse(op)? else { return Ok(()) };
            if let Row::Day(day, place, counts) = &row {
                egress.add(*day, place, counts.all_bytes_out());
            }
            ledger.load(row);
            Ok(())
        })?;
        let (changed, failing, compacting) = (false, false, false);
        let superseded = None;
        Ok(Writer { journal, messages, back, settings, reading, gauges, egress, ledger, changed, failing, compacting, superseded })
    }

    pub fn run(mut self) {
        let mut flush_at = None;
        loop {
            let message = match flush_at {
                None => self.messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => self.messages.recv_timeout(Instant::saturating_duration_since(&at, Instant::now())),
            };
            match message {
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(message) => self.hear(message),
                Err(RecvTimeoutError::Timeout) => drop(self.flush()),
            }
            // A message may come just before the time, again and again.
            if flush_at.is_some_and(|at| at <= Instant::now()) && self.changed {
                drop(self.flush());
            }
            flush_at = match flush_at {
                _ if !self.changed => None,
                Some(at) if at > Instant::now() => Some(at),
                _ => Some(Instant::now() + self.settings.flush),
            };
        }
        if self.flush().is_err() {
            tracing::error!("the last of the usage could not be written");
        }
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Counted(counted) => {
                let now = (self.settings.clock.0)();
                for (place, counts) in &counted {
                    self.ledger.count(now, place, counts);
                    self.egress.add(period::day(now), place, counts.all_bytes_out());
                    self.gauges.counted(&place.tenant, counts.all_requests(), counts.bytes_in, counts.all_bytes_out());
                }
                self.changed |= !counted.is_empty();
                self.gauges.shared.inc_by(std::mem::take(&mut self.ledger.shared));
                self.gauges.rows.set(self.ledger.rows() as i64);
            }
            Message::Measured(at, meters) => {
                self.ledger.measure(at, meters);
                self.changed = true;
            }
            Message::Flush(answer) => drop(answer.send(self.flush())),
            Message::Keep(batch, answer) => drop(answer.send(self.keep(&batch))),
            Message::Input(answer) => drop(answer.send((input_of(&self.journal), self.stamp()))),
            Message::Compacted(snapshot) => self.compacted(snapshot),
            Message::Stop => {}
        }
    }

    fn keep(&mut self, batch: &[u8]) -> Result<()> {
        self.journal.append(&[], &mut |_| Ok(batch.to_vec())).inspect_err(|_| {
            self.gauges.failures.inc();
        })?;
        self.remove_superseded();
        self.compact_if_long((self.settings.clock.0)());
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let now = (self.settings.clock.0)();
        let batch = self.ledger.changes()?;
        if !batch.is_empty()
            && let Err(e) = self.journal.append(&[], &mut |_| Ok(batch.clone()))
        {
            self.gauges.failures.inc();
            // Once for each spell of trouble.
            if !std::mem::replace(&mut self.failing, true) {
                tracing::error!(error = %e, "usage can't be written; it is counted in memory until it can");
            }
            return Err(e);
        }
        (self.changed, self.failing) = (false, false);
        self.ledger.written(now);
        self.gauges.rows.set(self.ledger.rows() as i64);
        self.remove_superseded();
        self.compact_if_long(now);
        Ok(())
    }

    fn compact_if_long(&mut self, now: Timestamp) {
        let live = self.journal.snapshot().map_or(0, |s| s.bytes);
        let sealed = self.journal.sealed();
        if self.compacting
            || self.superseded.is_some()
            || sealed.len() < SEGMENTS
            || sealed.iter().map(|s| s.valid_len).sum::<u64>() < live / 2
        {
            return;
        }
        self.journal.roll();
        let stamp = self.stamp();
        let (input, back, kept) = (input_of(&self.journal), self.back.clone(), Kept::at(now, &self.settings));
        let compact = move || {
            let snapshot = compact::write_kept(&input, stamp, &mut |op| Ok(kept.keeps(rows::period_of(op))));
            // An error says that it stops: the next start compacts.
            let _ = back.send(Message::Compacted(snapshot));
        };
        self.compacting = std::thread::Builder::new().name("usage-compact".into()).spawn(compact).is_ok();
    }

    /// Of all there is now.
    fn stamp(&self) -> Stamp {
        Stamp { log: self.journal.log_id(), upto: self.journal.end().segment, next_sequence: self.journal.next_sequence() }
    }

    fn compacted(&mut self, snapshot: Result<Snapshot>) {
        self.compacting = false;
        let old = self.journal.snapshot().map(|s| s.path.clone());
        match snapshot {
            Ok(snapshot) => {
                self.superseded = Some((old, snapshot.stamp.upto));
                self.journal.install(snapshot);
                self.remove_superseded();
            }
            Err(e) => tracing::warn!(error = %e, "the journal of usage could not be made shorter; it is tried again"),
        }
    }

    /// Whoever reads asks this thread for what there is: it never waits for him.
    fn remove_superseded(&mut self) {
        let reading = self.reading.clone();
        let Ok(_nobody_reads) = reading.try_lock() else { return };
        let Some((old, upto)) = self.superseded.take() else { return };
        if let Err(e) = remove(old, self.journal.dir(), upto) {
            tracing::warn!(error = %e, "files of usage that are not needed any more stay: the next start removes them");
        }
    }
}

/// What the snapshot stands for.
fn remove(old: Option<PathBuf>, dir: &std::path::Path, upto: u64) -> Result<()> {
    old.map_or(Ok(()), std::fs::remove_file).map_err(Error::storage)?;
    for entry in std::fs::read_dir(dir).map_err(Error::storage)? {
        let entry = entry.map_err(Error::storage)?;
        let number = segment::parse_name(&entry.file_name().to_string_lossy(), ".seg");
        if number.is_some_and(|number| number <= upto) {
            std::fs::remove_file(entry.path()).map_err(Error::storage)?;
        }
    }
    Ok(())
}

/// How far back rows are kept.
#[derive(Debug, Clone, Copy)]
pub struct Kept {
    hour: u32,
    day: u32,
}

impl Kept {
    pub fn at(now: Timestamp, settings: &Settings) -> Self {
        let back = |by: std::time::Duration| Timestamp::from_millis(now.millis().saturating_sub(by.as_millis() as u64));
        Kept { hour: period::hour(back(settings.keep_hours)), day: period::day(back(settings.keep_days)) }
    }

    pub fn keeps(self, period: Option<(Table, u32)>) -> bool {
        match period {
            Some((Table::Hours, hour)) => hour >= self.hour,
            Some((Table::Days | Table::Spent, day)) => day >= self.day,
            _ => true,
        }
    }
}
