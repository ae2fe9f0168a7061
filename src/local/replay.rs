//! Brings the index to where the journal ends: by what it missed, or from nothing.

use crate::base::error::{Error, ErrorKind, Result};
use crate::index::{self, Applied, Index};
use crate::journal::compact::{self, Input};
use crate::journal::log::Recovered;
use crate::journal::segment::{self, Contents};
use crate::journal::{Journal, op::parse_ops};
use crate::local::ids::Ids;
use crate::local::rows::table;
use crate::local::txn::Txn;

/// Rows gathered before they go to sled: enough to sort them, some twenty megabytes at most.
const CHUNK_ROWS: usize = 10_000;
/// A rebuild keeps rows of content by hash back until there are this many. Their keys are random: the more go together,
/// the fewer times sled rewrites the same leaf. They are small, 150 bytes each.
const KEPT_HASHES: usize = 200_000;

pub fn input_of(journal: &Journal) -> Input {
    Input {
        dir: journal.dir().to_path_buf(),
        log: journal.log_id(),
        snapshot: journal.snapshot().map(|s| s.path.clone()),
        segments: journal.segments(),
    }
}

/// The position of an index that has followed all of the journal.
pub fn end_of(journal: &Journal) -> Applied {
    let end = journal.end();
    Applied { log: journal.log_id(), segment: end.segment, offset: end.offset, next_sequence: journal.next_sequence() }
}

/// Opens the index and brings it to the end of the log: as it is, by replay, or by a rebuild.
pub fn open(settings: &index::Settings, ids: &Ids, input: &Input, recovered: &Recovered, end: &Applied) -> Result<Index> {
    match Index::open(settings).and_then(|index| index.applied().map(|a| (index, a))) {
        Ok((index, Some(applied))) if applied.log == recovered.log => {
            if applied.next_sequence > recovered.next_sequence {
                return Err(Error::new(
                    ErrorKind::InternalError,
                    "the journal ends before what the index already followed: acknowledged writes are missing from its last segment. \
                     Run `tidegate fsck`, or restore the data folder from a snapshot",
                ));
            }
            if applied.next_sequence == recovered.next_sequence {
                return Ok(index);
            }
            match catch_up(&index, ids, input, recovered, &applied, end) {
                Ok(true) => return Ok(index),
                Ok(false) => tracing::info!("the index is behind the journal's snapshot and is rebuilt"),
                Err(e) => tracing::warn!(error = %e, "the index could not follow the journal and is rebuilt"),
            }
        }
        // The first start, or the folder was deleted: there is nothing to set aside.
        Ok((index, None)) if index.is_empty()? => return fill(index, ids, input, end),
        Ok(_) => tracing::info!("there is no index of this journal: it is built"),
        Err(e) => tracing::warn!(error = %e, "the index can't be opened; it is set aside and rebuilt"),
    }
    rebuild(settings, ids, input, end)
}

/// False: what the index missed is no longer in segments.
fn catch_up(index: &Index, ids: &Ids, input: &Input, recovered: &Recovered, applied: &Applied, end: &Applied) -> Result<bool> {
    let at_snapshot = recovered.snapshot.as_ref().is_some_and(|s| s.stamp.next_sequence == applied.next_sequence);
    let reachable = at_snapshot || input.segments.iter().any(|s| s.number == applied.segment);
    if !reachable {
        return Ok(false);
    }
    let mut replay = Replay::new(index, ids);
    for sealed in input.segments.iter().filter(|s| s.number >= applied.segment) {
        let from = if sealed.number == applied.segment { applied.offset } else { segment::first_batch() };
        segment::walk(&input.dir, &input.log, *sealed, from, Contents::Skip, &mut |batch, ops| {
            for op in parse_ops(ops).ok_or_else(|| Error::internal("a journal batch holds something that is no operation"))? {
                replay.txn.replay_op(&op)?;
            }
            let reached =
                Applied { segment: sealed.number, offset: batch.offset + batch.total_len(), next_sequence: batch.sequence + 1, ..*end };
            replay.flush_if_full(&reached)
        })?;
    }
    replay.flush(end)?;
    Ok(true)
}

/// A new index from the log alone. What was there is set aside.
pub fn rebuild(settings: &index::Settings, ids: &Ids, input: &Input, end: &Applied) -> Result<Index> {
    index::quarantine(&settings.dir)?;
    fill(Index::open(settings)?, ids, input, end)
}

fn fill(index: Index, ids: &Ids, input: &Input, end: &Applied) -> Result<Index> {
    let mut replay = Replay::new(&index, ids);
    // A rebuild that is cut off is not taken for whole: its position is written last.
    compact::merge(input, &mut |op| {
        replay.txn.replay_op(op)?;
        replay.load_if_full()
    })?;
    replay.finish(end)?;
    index.flush()?;
    Ok(index)
}

struct Replay<'i> {
    index: &'i Index,
    ids: &'i Ids,
    txn: Txn<'i>,
    /// Rows of content that were kept back.
    kept: usize,
}

impl<'i> Replay<'i> {
    fn new(index: &'i Index, ids: &'i Ids) -> Self {
        Replay { index, ids, txn: Txn::new(index, ids, 0, true), kept: 0 }
    }

    fn flush_if_full(&mut self, reached: &Applied) -> Result<()> {
        if self.txn.weight().0 < CHUNK_ROWS { Ok(()) } else { self.flush(reached) }
    }

    /// As `flush_if_full`, where no position is at stake: rows of content may wait.
    fn load_if_full(&mut self) -> Result<()> {
        if self.txn.weight().0 < self.kept + CHUNK_ROWS {
            return Ok(());
        }
        let full = std::mem::replace(&mut self.txn, Txn::new(self.index, self.ids, 0, true));
        let (full, hashes) = full.split(table::HASHES);
        self.load(full)?;
        self.kept = hashes.weight().0;
        if self.kept < KEPT_HASHES {
            self.txn = hashes;
            return Ok(());
        }
        self.kept = 0;
        self.load(hashes)
    }

    /// Row by row: sled keeps what a batch replaced until all of it is applied, and that is a page for each row.
    fn load(&self, txn: Txn<'_>) -> Result<()> {
        let mut changes = txn.into_changes(&[])?;
        changes.sort_unstable_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        changes.iter().try_for_each(|(table, key, value)| self.index.load(*table, key, value.as_deref()))
    }

    fn finish(mut self, end: &Applied) -> Result<()> {
        let rest = std::mem::replace(&mut self.txn, Txn::new(self.index, self.ids, 0, true));
        self.load(rest)?;
        self.index.apply(&[], end)
    }

    fn flush(&mut self, reached: &Applied) -> Result<()> {
        let txn = std::mem::replace(&mut self.txn, Txn::new(self.index, self.ids, 0, true));
        self.apply(txn, reached)
    }

    fn apply(&self, txn: Txn<'_>, reached: &Applied) -> Result<()> {
        let mut changes = txn.into_changes(&[])?;
        changes.sort_unstable_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        self.index.apply(&changes, reached)
    }
}
