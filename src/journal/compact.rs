//! Merges a snapshot and the segments after it into the live rows, in order, in bounded memory.
//!
//! Reads the log only, never the index: what comes out is the truth. Called by the background thread (a new snapshot,
//! the proof of what is still referenced), by a rebuild of the index, and by fsck.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};
use std::sync::atomic::{self, AtomicU64};

use crate::base::error::{Error, Result};
use crate::journal::format::LogId;
use crate::journal::log::{Snapshot, sync_dir};
use crate::journal::op::{Op, OpRef, parse_ops};
use crate::journal::segment::{self, Contents, Sealed};
use crate::journal::sorted::{Reader, Stamp, Writer};

/// Operations held in memory before they are spilled as a sorted run: as much as one segment can hold.
const RUN_BYTES: usize = 64 * 1024 * 1024;
/// Names of runs: a compaction, a copy and a rebuild may merge the same log side by side.
static RUNS: AtomicU64 = AtomicU64::new(0);
/// What an operation costs in memory beside its bytes.
const OP_OVERHEAD: usize = 96;

/// The part of the log that is merged.
#[derive(Debug, Clone)]
pub struct Input {
    pub dir: PathBuf,
    pub log: LogId,
    pub snapshot: Option<PathBuf>,
    pub segments: Vec<Sealed>,
}

/// Calls `each` with every live row, in order of (table, key).
pub fn merge(input: &Input, each: &mut dyn FnMut(&OpRef<'_>) -> Result<()>) -> Result<()> {
    merge_by_runs(input, RUN_BYTES, each)
}

pub(super) fn merge_by_runs(input: &Input, run_bytes: usize, each: &mut dyn FnMut(&OpRef<'_>) -> Result<()>) -> Result<()> {
    let mut spilled = Spilled(Vec::new());
    // Oldest first: where keys are equal the last source wins.
    let mut sources = Vec::new();
    if let Some(path) = &input.snapshot {
        sources.push(Source::open(path)?);
    }
    let mut run = Run::default();
    for sealed in &input.segments {
        let from = segment::first_batch();
        segment::walk(&input.dir, &input.log, *sealed, from, Contents::Skip, &mut |_, ops| {
            run.add(ops)?;
            if run.bytes > run_bytes {
                let path = input.dir.join(format!("run-{:04}.tmp", RUNS.fetch_add(1, atomic::Ordering::Relaxed)));
                spilled.0.push(path.clone());
                std::mem::take(&mut run).spill(&path, &input.log)?;
                sources.push(Source::open(&path)?);
            }
            Ok(())
        })?;
    }
    sources.push(Source::Memory(run.sorted().into_iter()));
    merge_sources(sources, each)
}

/// Writes the live rows as a snapshot that stands for the log up to `stamp.upto`. `each` sees every row as it passes.
pub fn write_snapshot(input: &Input, stamp: Stamp, each: &mut dyn FnMut(&OpRef<'_>) -> Result<()>) -> Result<Snapshot> {
    write_kept(input, stamp, &mut |op| each(op).map(|()| true))
}

/// As `write_snapshot`, without the rows that `keep` says are not needed any more.
pub fn write_kept(input: &Input, stamp: Stamp, keep: &mut dyn FnMut(&OpRef<'_>) -> Result<bool>) -> Result<Snapshot> {
    write_into(&input.dir, input, stamp, keep)
}

/// A snapshot of it in another folder, which becomes that of a journal.
pub fn write_copy(input: &Input, stamp: Stamp, dir: &Path) -> Result<Snapshot> {
    write_into(dir, input, stamp, &mut |_| Ok(true))
}

fn write_into(dir: &Path, input: &Input, stamp: Stamp, keep: &mut dyn FnMut(&OpRef<'_>) -> Result<bool>) -> Result<Snapshot> {
    let unfinished = dir.join(format!("{:016x}.snap.tmp", stamp.upto));
    let path = dir.join(format!("{:016x}.snap", stamp.upto));
    let _cleanup = Spilled(vec![unfinished.clone()]);
    let mut writer = Writer::create(&unfinished, &stamp).map_err(Error::internal)?;
    let mut entries = 0;
    merge(input, &mut |op| {
        if keep(op)? {
            entries += 1;
            writer.push(op).map_err(Error::internal)?;
        }
        Ok(())
    })?;
    let bytes = writer.finish().map_err(Error::internal)?;
    std::fs::rename(&unfinished, &path).map_err(Error::internal)?;
    sync_dir(dir).map_err(Error::internal)?;
    Ok(Snapshot { path, stamp, entries, bytes })
}

/// Temporary files, gone with the pass that made them (a crash leaves them to the next start).
struct Spilled(Vec<PathBuf>);

impl Drop for Spilled {
    fn drop(&mut self) {
        for path in &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}

#[derive(Default)]
struct Run {
    ops: Vec<Op>,
    bytes: usize,
}

impl Run {
    fn add(&mut self, ops: &[u8]) -> Result<()> {
        let ops = parse_ops(ops).ok_or_else(|| Error::internal("a journal batch holds something that is no operation"))?;
        for op in ops {
            self.bytes += op.encoded_len() + OP_OVERHEAD;
            self.ops.push(op.into_owned());
        }
        Ok(())
    }

    /// In order, the last operation of each key only.
    fn sorted(mut self) -> Vec<Op> {
        self.ops.sort_by(|a, b| order(&a.as_ref(), &b.as_ref()));
        self.ops.dedup_by(|later, earlier| {
            let same = order(&later.as_ref(), &earlier.as_ref()) == Ordering::Equal;
            if same {
                std::mem::swap(later, earlier);
            }
            same
        });
        self.ops
    }

    fn spill(self, path: &Path, log: &LogId) -> Result<()> {
        let mut writer = Writer::create(path, &Stamp { log: *log, upto: 0, next_sequence: 0 }).map_err(Error::internal)?;
        for op in self.sorted() {
            writer.push(&op.as_ref()).map_err(Error::internal)?;
        }
        writer.finish().map_err(Error::internal)?;
        Ok(())
    }
}

fn order(a: &OpRef<'_>, b: &OpRef<'_>) -> Ordering {
    a.table.cmp(&b.table).then_with(|| a.key.cmp(b.key))
}

enum Source {
    File(Box<Reader>),
    Memory(std::vec::IntoIter<Op>),
}

impl Source {
    fn open(path: &Path) -> Result<Self> {
        Ok(Source::File(Box::new(Reader::open(path)?)))
    }

    fn next(&mut self) -> Result<Option<Op>> {
        match self {
            Source::File(reader) => reader.read_owned(),
            Source::Memory(ops) => Ok(ops.next()),
        }
    }
}

fn merge_sources(mut sources: Vec<Source>, each: &mut dyn FnMut(&OpRef<'_>) -> Result<()>) -> Result<()> {
    let mut heads = Vec::with_capacity(sources.len());
    for source in &mut sources {
        heads.push(source.next()?);
    }
    loop {
        // A handful of sources: a scan is cheaper than a heap, and `<=` lets the newest of equal keys win.
        let mut least: Option<&Op> = None;
        for op in heads.iter().flatten() {
            if least.is_none_or(|l| order(&op.as_ref(), &l.as_ref()) != Ordering::Greater) {
                least = Some(op);
            }
        }
        let Some(least) = least.cloned() else { return Ok(()) };
        for (head, source) in heads.iter_mut().zip(&mut sources) {
            if head.as_ref().is_some_and(|op| order(&op.as_ref(), &least.as_ref()) == Ordering::Equal) {
                *head = source.next()?;
            }
        }
        let least = least.as_ref();
        if least.value.is_some() {
            each(&least)?;
        }
    }
}
