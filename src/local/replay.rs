//! How the index of the store follows its journal: what an operation is in rows, and in which order a rebuild writes them.

use crate::base::error::Result;
use crate::follow::{self, CHUNK_ROWS};
use crate::index::{self, Applied, Index};
use crate::journal::OpRef;
use crate::journal::compact::{self, Input};
use crate::journal::log::Recovered;
use crate::local::ids::Ids;
use crate::local::rows::Table;
use crate::local::txn::Txn;

/// A rebuild keeps rows of content by hash back until there are this many. Their keys are random: the more go together,
/// the fewer times sled rewrites the same leaf. They are small, 150 bytes each.
const KEPT_HASHES: usize = 200_000;

pub fn open(settings: &index::Settings, ids: &Ids, input: &Input, recovered: &Recovered, end: &Applied) -> Result<Index> {
    let catch_up = |index: &Index, applied: &Applied| follow::catch_up(input, recovered, applied, end, &mut Replay::new(index, ids));
    follow::open("the store", settings, recovered, catch_up, |index| fill(index, ids, input, end))
}

/// A new index from the log alone. What was there is set aside.
pub fn rebuild(settings: &index::Settings, ids: &Ids, input: &Input, end: &Applied) -> Result<Index> {
    follow::rebuild(settings, |index| fill(index, ids, input, end))
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
        Replay { index, ids, txn: Txn::replaying(index, ids), kept: 0 }
    }

    /// Where no position is at stake rows of content may wait.
    fn load_if_full(&mut self) -> Result<()> {
        if self.txn.weight().0 < self.kept + CHUNK_ROWS {
            return Ok(());
        }
        let full = std::mem::replace(&mut self.txn, Txn::replaying(self.index, self.ids));
        let (full, hashes) = full.split(Table::Hashes);
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
        let rest = std::mem::replace(&mut self.txn, Txn::replaying(self.index, self.ids));
        self.load(rest)?;
        self.index.apply(&[], end)
    }
}

impl follow::Replay for Replay<'_> {
    fn op(&mut self, op: &OpRef<'_>) -> Result<()> {
        self.txn.replay_op(op)
    }

    fn rows(&self) -> usize {
        self.txn.weight().0
    }

    fn apply(&mut self, reached: &Applied) -> Result<()> {
        let txn = std::mem::replace(&mut self.txn, Txn::replaying(self.index, self.ids));
        let mut changes = txn.into_changes(&[])?;
        changes.sort_unstable_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        self.index.apply(&changes, reached)
    }
}
