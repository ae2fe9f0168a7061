//! A log that a thread of its own writes to a file, through a bounded queue: a request never waits for the disk. What does not
//! fit is dropped and counted.
//!
//! Not here: what the lines say (`access_log`, `audit`), where they go (`rotating_file`, `daily_files`).

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use prometheus_client::metrics::counter::Counter;

use super::metrics::Metrics;

/// About 8 MB of lines at worst: rides out a disk that stalls for a moment.
const QUEUE: usize = 8192;
/// Lines that are gathered into one write.
const BATCH_BYTES: usize = 256 * 1024;

/// Where lines go.
pub trait Append: Send + 'static {
    fn append(&mut self, lines: &[u8]) -> io::Result<()>;
}

/// What a log is called, and what counts its lines that are lost.
#[derive(Debug, Clone, Copy)]
pub struct Kept {
    pub name: &'static str,
    pub dropped: fn(&Metrics) -> &Counter,
}

/// The sending end, one for each worker.
#[derive(Debug)]
pub struct LineLog<T> {
    queue: SyncSender<Box<T>>,
    kept: Kept,
    metrics: Arc<Metrics>,
}

impl<T> Clone for LineLog<T> {
    fn clone(&self) -> Self {
        LineLog { queue: self.queue.clone(), kept: self.kept, metrics: self.metrics.clone() }
    }
}

/// Keeps the writing thread; `finish` waits until all lines that were sent are written. Drop every `LineLog` first.
#[derive(Debug)]
pub struct Writer(Kept, JoinHandle<()>);

impl<T: Send + 'static> LineLog<T> {
    pub fn start(
        kept: Kept,
        file: impl Append,
        line: impl Fn(&mut String, T) + Send + 'static,
        metrics: Arc<Metrics>,
    ) -> io::Result<(Self, Writer)> {
        let (queue, entries) = sync_channel(QUEUE);
        let counted = metrics.clone();
        let thread = std::thread::Builder::new().name(kept.name.into()).spawn(move || write_all(kept, entries, file, line, &counted))?;
        Ok((LineLog { queue, kept, metrics }, Writer(kept, thread)))
    }

    pub fn send(&self, entry: Box<T>) {
        if self.queue.try_send(entry).is_err() {
            (self.kept.dropped)(&self.metrics).inc();
        }
    }
}

impl Writer {
    pub fn finish(self) {
        if self.1.join().is_err() {
            tracing::error!("the thread of the {} had panicked", self.0.name);
        }
    }
}

fn write_all<T>(kept: Kept, entries: Receiver<Box<T>>, mut file: impl Append, line: impl Fn(&mut String, T), metrics: &Metrics) {
    let mut lines = String::with_capacity(BATCH_BYTES);
    let mut failing = false;
    while let Ok(first) = entries.recv() {
        lines.clear();
        line(&mut lines, *first);
        let mut count = 1;
        while lines.len() < BATCH_BYTES
            && let Ok(next) = entries.try_recv()
        {
            line(&mut lines, *next);
            count += 1;
        }
        match file.append(lines.as_bytes()) {
            Ok(()) => failing = false,
            Err(e) => {
                (kept.dropped)(metrics).inc_by(count);
                // Once for each spell of trouble: the log must not drown in it.
                if !std::mem::replace(&mut failing, true) {
                    tracing::error!(error = %e, "the {} can't be written; lines are dropped", kept.name);
                }
            }
        }
    }
}
