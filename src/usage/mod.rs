//! What tenants use, kept for bills: requests and bytes by tenant, bucket, artifact type and run; and how much they stored for how long.
//!
//! Workers count on sheets of their own (`sheet`) and hand them on four times a second. One thread (`writer`) adds them to the rows of
//! the hour and of the day (`ledger`) and writes the rows that changed, with their whole totals, to a journal of its own: a row that is
//! read twice says the same. What is stored is measured by the store itself; here its meters are read from time to time.
//! Not here: who pays for a request (`http/usage`), what is stored (`local/usage`), what may be asked (`ops/usage`).
//!
//! Invariants: what was flushed stays and is counted once. A process that is killed loses what came in its last second.
//! Limits: rows of an hour and of a day (`Settings`); beyond them a tenant's requests go to one row that says so.

pub mod count;
pub mod egress;
pub mod ledger;
pub mod period;
pub mod prices;
pub mod report;
pub mod rows;
pub mod settings;
pub mod sheet;
pub mod show;
pub mod writer;

pub use settings::{Clock, Settings};

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::timestamp::Timestamp;
use crate::journal::compact::{self, Input};
use crate::journal::sorted::Stamp;
use crate::journal::{self, Journal};
use crate::private;
use crate::telemetry::usage::Usage as Gauges;
use count::{Counts, Place};
use egress::Egress;
use period::Month;
use report::{Beside, Query, Report};
use rows::Row;
use writer::{Message, Writer};

/// Sheets that wait for the thread.
const WAITING: usize = 256;

/// Cheap to clone.
#[derive(Clone)]
pub struct Usage(Arc<Inner>);

struct Inner {
    inlet: SyncSender<Message>,
    settings: Settings,
    /// Held while the journal's files are read, or taken away.
    reading: Arc<Mutex<()>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    gauges: Gauges,
    egress: Arc<Egress>,
    /// What jobs spent while the thread was behind. They are few.
    late: Mutex<Vec<(Place, Counts)>>,
    /// One report at a time.
    turn: tokio::sync::Semaphore,
}

impl Usage {
    /// Blocks: it reads the journal through.
    pub fn open(settings: Settings, gauges: Gauges) -> Result<Usage> {
        private::make_dir(&settings.dir).map_err(Error::internal)?;
        let journal =
            journal::Settings { dir: settings.dir.join("journal"), segment_bytes: settings.segment_bytes, fault: settings.fault.clone() };
        let (journal, _) = Journal::open(journal)?;
        let (inlet, messages) = sync_channel(WAITING);
        let (reading, turn) = (Arc::new(Mutex::new(())), tokio::sync::Semaphore::new(1));
        let egress = Arc::new(Egress::new((settings.clock.0)(), settings.limited_buckets.clone()));
        let parts = writer::Parts { settings: settings.clone(), reading: reading.clone(), gauges: gauges.clone(), egress: egress.clone() };
        let writer = Writer::open(journal, messages, inlet.clone(), parts)?;
        let writer = std::thread::Builder::new().name("usage-writer".into()).spawn(move || writer.run()).map_err(Error::internal)?;
        Ok(Usage(Arc::new(Inner {
            inlet,
            settings,
            reading,
            writer: Mutex::new(Some(writer)),
            gauges,
            egress,
            late: Mutex::default(),
            turn,
        })))
    }

    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// By its own clock, which tests may hurry.
    pub fn now(&self) -> Timestamp {
        (self.0.settings.clock.0)()
    }

    /// Takes what was counted. False, and nothing is taken: the thread is behind; the counts wait where they are.
    pub fn take(&self, counted: Vec<(Place, Counts)>) -> Result<(), Vec<(Place, Counts)>> {
        self.0.inlet.try_send(Message::Counted(counted)).map_err(|e| {
            self.0.gauges.behind.inc();
            match e {
                TrySendError::Full(Message::Counted(counted)) | TrySendError::Disconnected(Message::Counted(counted)) => counted,
                TrySendError::Full(_) | TrySendError::Disconnected(_) => Vec::new(),
            }
        })
    }

    /// An attempt of a tenant's job took so long.
    pub fn worked(&self, tenant: &str, time: Duration) {
        let counts = Counts { job_millis: time.as_millis() as u64, ..Counts::default() };
        let mut late = self.0.late.lock().unwrap_or_else(PoisonError::into_inner);
        late.push((Place { tenant: tenant.to_owned(), ..Place::default() }, counts));
        if let Err(not_taken) = self.take(std::mem::take(&mut *late)) {
            *late = not_taken;
        }
    }

    /// What the meters of the store show at `at`: byte-milliseconds by place. Blocks.
    pub fn measured(&self, at: Timestamp, meters: Vec<(Place, u128)>) {
        // An error says that it stops: the next start reads them again.
        let _ = self.0.inlet.send(Message::Measured(at, meters));
    }

    /// All that came before is durable, or its error. Blocks.
    pub fn flush(&self) -> Result<()> {
        let (sender, answer) = sync_channel(1);
        self.0.inlet.send(Message::Flush(sender)).map_err(|_| closed())?;
        answer.recv().map_err(|_| closed())?
    }

    /// Rows of the tally, in order. Blocks.
    pub fn tally(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let _reading = self.0.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rows = Vec::new();
        compact::merge(&self.input()?.0, &mut |op| {
            if let Some(Row::Tally(key, value)) = Row::parse(op)? {
                rows.push((key, value));
            }
            Ok(())
        })?;
        Ok(rows)
    }

    /// Changes rows of the tally, in one batch; durable when it is answered. Blocks.
    pub fn keep_tally(&self, changes: &[(Vec<u8>, Option<Vec<u8>>)]) -> Result<()> {
        let (sender, answer) = sync_channel(1);
        self.0.inlet.send(Message::Keep(rows::tally(changes)?, sender)).map_err(|_| closed())?;
        answer.recv().map_err(|_| closed())?
    }

    /// What was spent on providers in these days, as `keep_spent` was given it. Blocks.
    pub fn spent(&self, days: std::ops::Range<u32>, each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let _reading = self.0.reading.lock().unwrap_or_else(PoisonError::into_inner);
        compact::merge(&self.input()?.0, &mut |op| match Row::parse(op)? {
            Some(Row::Spent(_, value)) if rows::period_of(op).is_some_and(|(_, day)| days.contains(&day)) => each(&value),
            _ => Ok(()),
        })
    }

    /// `key` begins with the day. Durable when it is answered. Blocks.
    pub fn keep_spent(&self, key: &[u8], value: &[u8]) -> Result<()> {
        let (sender, answer) = sync_channel(1);
        self.0.inlet.send(Message::Keep(rows::spent(key, value)?, sender)).map_err(|_| closed())?;
        answer.recv().map_err(|_| closed())?
    }

    /// What went out of the tenant's this month, with what other nodes told of theirs.
    pub fn egress(&self, tenant: &str) -> u64 {
        self.0.egress.of(tenant, self.now())
    }

    /// The same of a bucket that has a limit of it.
    pub fn egress_of_bucket(&self, bucket: &str) -> u64 {
        self.0.egress.of_bucket(bucket, self.now())
    }

    /// What other nodes told of that month, by tenant.
    pub fn set_egress_elsewhere(&self, month: Month, sums: HashMap<String, u64>) {
        self.0.egress.set_elsewhere(month, sums);
    }

    /// To be held by whoever asks for a report.
    pub async fn turn(&self) -> Result<tokio::sync::SemaphorePermit<'_>> {
        self.0.turn.acquire().await.map_err(Error::internal)
    }

    /// Of what came before. Blocks.
    pub fn report(&self, query: &Query, beside: Beside) -> Result<Report> {
        self.flush()?;
        let _reading = self.0.reading.lock().unwrap_or_else(PoisonError::into_inner);
        report::read(&self.input()?.0, beside, query, self.now(), &self.0.settings)
    }

    /// The rows of that day and those after: the day, the number of the record among the day's, and the record. Blocks.
    pub fn days_since(&self, since: u32) -> Result<Vec<(u32, usize, Vec<u8>)>> {
        self.flush()?;
        let _reading = self.0.reading.lock().unwrap_or_else(PoisonError::into_inner);
        report::days(&self.input()?.0, since)
    }

    /// All that came before, as the folder of a journal. Blocks.
    pub fn backup(&self, target: &Path) -> Result<()> {
        self.flush()?;
        let _reading = self.0.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let (input, stamp) = self.input()?;
        let dir = target.join("journal");
        private::make_dir(&dir).map_err(Error::storage)?;
        compact::write_copy(&input, stamp, &dir).map(drop)
    }

    fn input(&self) -> Result<(Input, Stamp)> {
        let (sender, answer) = sync_channel(1);
        self.0.inlet.send(Message::Input(sender)).map_err(|_| closed())?;
        answer.recv().map_err(|_| closed())
    }

    /// Writes what came before, and ends. Blocks.
    pub fn close(&self) {
        let writer = self.0.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let _ = self.0.inlet.send(Message::Stop);
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the thread that keeps usage had panicked");
        }
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::LocalUnavailable, "Usage can't be read at the moment. Please try again.")
}
