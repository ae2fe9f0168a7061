//! How the index of the queue follows its journal: what an operation is in rows, and what a rebuild adds up on its way.

use std::collections::BTreeMap;
use std::path::Path;

use crate::base::error::Result;
use crate::base::names::TenantId;
use crate::follow::{self, Replay};
use crate::index::{self, Applied, Index};
use crate::journal::OpRef;
use crate::journal::compact::{self, Input};
use crate::journal::log::Recovered;
use crate::queue::job::Job;
use crate::queue::letter::{self, Boxed};
use crate::queue::rows::{self, Counts, Table, derive};
use crate::queue::txn::Txn;

pub fn settings(dir: &Path, cache_bytes: u64) -> index::Settings {
    index::Settings { dir: dir.join("index"), cache_bytes }
}

pub fn open(settings: &index::Settings, input: &Input, recovered: &Recovered, end: &Applied) -> Result<Index> {
    let catch_up = |index: &Index, applied: &Applied| {
        let mut replay = Replaying { index, txn: Txn::new(index) };
        follow::catch_up(input, recovered, applied, end, &mut replay)
    };
    follow::open("the job queue", settings, recovered, catch_up, |index| fill(index, input, end))
}

/// A new index from the journal alone. What was there is set aside.
pub fn rebuild(settings: &index::Settings, input: &Input, end: &Applied) -> Result<Index> {
    follow::rebuild(settings, |index| fill(index, input, end))
}

struct Replaying<'i> {
    index: &'i Index,
    txn: Txn<'i>,
}

impl Replay for Replaying<'_> {
    fn op(&mut self, op: &OpRef<'_>) -> Result<()> {
        self.txn.replay(op)
    }

    fn rows(&self) -> usize {
        self.txn.weight().0
    }

    fn apply(&mut self, reached: &Applied) -> Result<()> {
        let txn = std::mem::replace(&mut self.txn, Txn::new(self.index));
        self.index.apply(&txn.into_changes().0, reached)
    }
}

fn fill(index: Index, input: &Input, end: &Applied) -> Result<Index> {
    let mut sums = Sums::default();
    compact::merge(input, &mut |op| load(&index, op, &mut sums))?;
    for (kind, counts) in sums.counts {
        index.load(Table::Counts, kind.as_bytes(), Some(&counts.encode()?))?;
    }
    for (tenant, load) in sums.loads {
        index.load(Table::Loads, tenant.as_str().as_bytes(), rows::encode_load(load).as_deref())?;
    }
    for (name, counts) in sums.boxes {
        index.load(Table::Boxes, name.as_bytes(), counts.encode().as_deref())?;
    }
    // Last: a rebuild that is cut off is not taken for whole.
    index.apply(&[], end)?;
    index.flush()?;
    Ok(index)
}

/// What a rebuild adds up on its way: as many as there are kinds, tenants and boxes.
#[derive(Default)]
struct Sums {
    counts: BTreeMap<String, Counts>,
    loads: BTreeMap<TenantId, u64>,
    boxes: BTreeMap<String, Boxed>,
}

fn load(index: &Index, op: &OpRef<'_>, sums: &mut Sums) -> Result<()> {
    index.load(op.table, op.key, op.value)?;
    let table = Table::of(op.table)?;
    match table {
        Table::Jobs => op.value.map_or(Ok(()), |row| load_job(index, &rows::decode_job(row)?, sums)),
        // Nothing follows from them.
        Table::Payloads | Table::Items | Table::Changes | Table::Numbers => Ok(()),
        Table::Letters | Table::DeadLetters => {
            if op.value.is_some() {
                sums.boxes.entry(letter::box_of(op.key)?.to_owned()).or_default().add(table, 1);
            }
            Ok(())
        }
        Table::Ready | Table::Due | Table::Keys | Table::Gathers | Table::Phases => Err(table.misplaced()),
        Table::Ended | Table::Counts | Table::Loads | Table::Boxes => Err(table.misplaced()),
    }
}

/// What follows from a job.
fn load_job(index: &Index, job: &Job, sums: &mut Sums) -> Result<()> {
    let mut changes = Vec::new();
    derive(None, Some(job), &mut |change| changes.push(change));
    for (table, key, value) in changes {
        index.load(table, &key, value.as_deref())?;
    }
    let load = rows::load(Some(job));
    sums.counts.entry(job.kind.clone()).or_default().add(job.state.phase());
    *sums.loads.entry(job.tenant.clone()).or_default() += load;
    Ok(())
}
