//! The index of the queue: opened and brought to where the journal ends, by what it missed or from nothing.

use std::collections::BTreeMap;
use std::path::Path;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::TenantId;
use crate::index::{self, Applied, Index};
use crate::journal::compact::{self, Input};
use crate::journal::log::Recovered;
use crate::journal::op::parse_ops;
use crate::journal::segment::{self, Contents};
use crate::journal::{Journal, OpRef};
use crate::queue::rows::{self, Counts, derive, table};
use crate::queue::txn::Txn;

/// Rows that a replay gathers before they are applied.
const CHUNK_ROWS: usize = 10_000;

pub fn settings(dir: &Path, cache_bytes: u64) -> index::Settings {
    index::Settings { dir: dir.join("index"), cache_bytes }
}

pub fn input_of(journal: &Journal) -> Input {
    Input {
        dir: journal.dir().to_path_buf(),
        log: journal.log_id(),
        snapshot: journal.snapshot().map(|s| s.path.clone()),
        segments: journal.segments(),
    }
}

pub fn end_of(journal: &Journal) -> Applied {
    let end = journal.end();
    Applied { log: journal.log_id(), segment: end.segment, offset: end.offset, next_sequence: journal.next_sequence() }
}

pub fn open(settings: &index::Settings, input: &Input, recovered: &Recovered, end: &Applied) -> Result<Index> {
    match Index::open(settings).and_then(|index| index.applied().map(|a| (index, a))) {
        Ok((index, Some(applied))) if applied.log == recovered.log => {
            if applied.next_sequence > recovered.next_sequence {
                return Err(Error::new(
                    ErrorKind::InternalError,
                    "the queue's journal ends before what its index already followed: accepted jobs are missing from its last segment. \
                     Run `tidegate fsck`, or restore the data folder from a snapshot",
                ));
            }
            if applied.next_sequence == recovered.next_sequence {
                return Ok(index);
            }
            match catch_up(&index, input, recovered, &applied, end) {
                Ok(true) => return Ok(index),
                Ok(false) => tracing::info!("the queue's index is behind its journal's snapshot and is rebuilt"),
                Err(e) => tracing::warn!(error = %e, "the queue's index could not follow its journal and is rebuilt"),
            }
        }
        Ok((index, None)) if index.is_empty()? => return fill(index, input, end),
        Ok(_) => tracing::info!("there is no index of the queue's journal: it is built"),
        Err(e) => tracing::warn!(error = %e, "the queue's index can't be opened; it is set aside and rebuilt"),
    }
    rebuild(settings, input, end)
}

/// False: what the index missed is no longer in segments.
fn catch_up(index: &Index, input: &Input, recovered: &Recovered, applied: &Applied, end: &Applied) -> Result<bool> {
    let at_snapshot = recovered.snapshot.as_ref().is_some_and(|s| s.stamp.next_sequence == applied.next_sequence);
    if !at_snapshot && !input.segments.iter().any(|s| s.number == applied.segment) {
        return Ok(false);
    }
    let mut txn = Txn::new(index);
    for sealed in input.segments.iter().filter(|s| s.number >= applied.segment) {
        let from = if sealed.number == applied.segment { applied.offset } else { segment::first_batch() };
        segment::walk(&input.dir, &input.log, *sealed, from, Contents::Skip, &mut |batch, ops| {
            for op in parse_ops(ops).ok_or_else(|| Error::internal("a journal batch holds something that is no operation"))? {
                txn.replay(&op)?;
            }
            if txn.weight().0 >= CHUNK_ROWS {
                let reached =
                    Applied { segment: sealed.number, offset: batch.offset + batch.total_len(), next_sequence: batch.sequence + 1, ..*end };
                index.apply(&std::mem::replace(&mut txn, Txn::new(index)).into_changes().0, &reached)?;
            }
            Ok(())
        })?;
    }
    index.apply(&txn.into_changes().0, end)?;
    Ok(true)
}

/// A new index from the journal alone. What was there is set aside.
pub fn rebuild(settings: &index::Settings, input: &Input, end: &Applied) -> Result<Index> {
    index::quarantine(&settings.dir)?;
    fill(Index::open(settings)?, input, end)
}

fn fill(index: Index, input: &Input, end: &Applied) -> Result<Index> {
    let mut sums = Sums::default();
    compact::merge(input, &mut |op| load(&index, op, &mut sums))?;
    for (kind, counts) in sums.counts {
        index.load(table::COUNTS, kind.as_bytes(), Some(&counts.encode()?))?;
    }
    for (tenant, load) in sums.loads {
        index.load(table::LOADS, tenant.as_str().as_bytes(), rows::encode_load(load).as_deref())?;
    }
    // Last: a rebuild that is cut off is not taken for whole.
    index.apply(&[], end)?;
    index.flush()?;
    Ok(index)
}

/// What a rebuild adds up on its way: as many as there are kinds and tenants.
#[derive(Default)]
struct Sums {
    counts: BTreeMap<String, Counts>,
    loads: BTreeMap<TenantId, u64>,
}

fn load(index: &Index, op: &OpRef<'_>, sums: &mut Sums) -> Result<()> {
    index.load(op.table, op.key, op.value)?;
    let (table::JOBS, Some(row)) = (op.table, op.value) else { return Ok(()) };
    let job = rows::decode_job(row)?;
    let mut changes = Vec::new();
    derive(None, Some(&job), &mut |change| changes.push(change));
    for (table, key, value) in changes {
        index.load(table, &key, value.as_deref())?;
    }
    let load = rows::load(Some(&job));
    sums.counts.entry(job.kind).or_default().add(job.state.phase());
    *sums.loads.entry(job.tenant).or_default() += load;
    Ok(())
}
