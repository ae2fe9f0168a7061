//! An index that follows a journal: opened and brought to where the journal ends, by what it missed or from nothing.
//!
//! Not here: what the rows mean. Whoever owns the two says how operations become rows (`Replay`), and how a new index is filled from
//! the whole journal. Called by `local` and `queue` when they start, and when an index failed.
//!
//! Invariants: the position of an index is written with the rows that bring it there, or after them. An index that
//! is ahead of its journal is an error, and is not rebuilt: the journal has lost what was acknowledged.

use crate::base::error::{Error, ErrorKind, Result};
use crate::index::{self, Applied, Index};
use crate::journal::compact::Input;
use crate::journal::log::Recovered;
use crate::journal::op::parse_ops;
use crate::journal::segment::{self, Contents};
use crate::journal::{Journal, OpRef};

/// Rows gathered before they go to sled: enough to sort them, some twenty megabytes at most.
pub const CHUNK_ROWS: usize = 10_000;

/// Operations that are gathered as rows, and applied to the index now and then.
pub trait Replay {
    fn op(&mut self, op: &OpRef<'_>) -> Result<()>;
    /// How many are gathered.
    fn rows(&self) -> usize;
    /// Applies them, together with how far they bring the index.
    fn apply(&mut self, reached: &Applied) -> Result<()>;
}

/// All of a journal, as it is now.
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

/// Opens the index and brings it to the end of the log: as it is, by `catch_up` from where it is (false: it can't), or by `fill`
/// from nothing. `whose` is for the operator.
pub fn open(
    whose: &str,
    settings: &index::Settings,
    recovered: &Recovered,
    catch_up: impl FnOnce(&Index, &Applied) -> Result<bool>,
    fill: impl FnOnce(Index) -> Result<Index>,
) -> Result<Index> {
    match Index::open(settings).and_then(|index| index.applied().map(|a| (index, a))) {
        Ok((index, Some(applied))) if applied.log == recovered.log => {
            if applied.next_sequence > recovered.next_sequence {
                let text = format!(
                    "the journal of {whose} ends before what its index already followed: acknowledged writes are missing from its last \
                     segment. Run `tidegate fsck`, or restore the data folder from a snapshot"
                );
                return Err(Error::new(ErrorKind::InternalError, text));
            }
            if applied.next_sequence == recovered.next_sequence {
                return Ok(index);
            }
            match catch_up(&index, &applied) {
                Ok(true) => return Ok(index),
                Ok(false) => tracing::info!("the index of {whose} is behind its journal's snapshot and is rebuilt"),
                Err(e) => tracing::warn!(error = %e, "the index of {whose} could not follow its journal and is rebuilt"),
            }
        }
        // The first start, or the folder was deleted: there is nothing to set aside.
        Ok((index, None)) if index.is_empty()? => return fill(index),
        Ok(_) => tracing::info!("there is no index of the journal of {whose}: it is built"),
        Err(e) => tracing::warn!(error = %e, "the index of {whose} can't be opened; it is set aside and rebuilt"),
    }
    rebuild(settings, fill)
}

/// Replays what came after `applied`. False: that is no longer in segments.
pub fn catch_up(input: &Input, recovered: &Recovered, applied: &Applied, end: &Applied, replay: &mut dyn Replay) -> Result<bool> {
    let at_snapshot = recovered.snapshot.as_ref().is_some_and(|s| s.stamp.next_sequence == applied.next_sequence);
    let reachable = at_snapshot || input.segments.iter().any(|s| s.number == applied.segment);
    if !reachable {
        return Ok(false);
    }
    for sealed in input.segments.iter().filter(|s| s.number >= applied.segment) {
        let from = if sealed.number == applied.segment { applied.offset } else { segment::first_batch() };
        segment::walk(&input.dir, &input.log, *sealed, from, Contents::Skip, &mut |batch, ops| {
            for op in parse_ops(ops).ok_or_else(|| Error::internal("a journal batch holds something that is no operation"))? {
                replay.op(&op)?;
            }
            if replay.rows() < CHUNK_ROWS {
                return Ok(());
            }
            replay.apply(&Applied {
                segment: sealed.number,
                offset: batch.offset + batch.total_len(),
                next_sequence: batch.sequence + 1,
                ..*end
            })
        })?;
    }
    replay.apply(end)?;
    Ok(true)
}

/// A new index from the log alone. What was there is set aside.
pub fn rebuild(settings: &index::Settings, fill: impl FnOnce(Index) -> Result<Index>) -> Result<Index> {
    index::quarantine(&settings.dir)?;
    fill(Index::open(settings)?)
}
