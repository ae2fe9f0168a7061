//! Changes that are being decided, on top of the index: what one batch of the writer reads and writes, and what a replay
//! applies. Nothing of it is visible to others until the batch is durable.
//!
//! Invariant: a row of truth and the rows that follow from it change together (`put`, `remove`).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::base::error::{Error, Result};
use crate::base::names::TenantId;
use crate::index::{self, Index, Walk};
use crate::journal::OpRef;
use crate::queue::job::{Job, JobId, Payload};
use crate::queue::letter::{self, Boxed};
use crate::queue::rows::{self, Change, Counts, Table, derive, key};

type Row = (Table, Vec<u8>);

pub struct Txn<'i> {
    index: &'i Index,
    rows: BTreeMap<Row, Option<Vec<u8>>>,
    bytes: usize,
    /// For those who watch them.
    touched: Touched,
}

/// What changed.
#[derive(Debug, Default)]
pub struct Touched {
    pub jobs: Vec<JobId>,
    /// Where letters were posted.
    pub boxes: BTreeSet<String>,
}

impl<'i> Txn<'i> {
    pub fn new(index: &'i Index) -> Self {
        Txn { index, rows: BTreeMap::new(), bytes: 0, touched: Touched::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Rows and bytes so far.
    pub fn weight(&self) -> (usize, usize) {
        (self.rows.len(), self.bytes)
    }

    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        match self.rows.get(&(table, key.to_vec())) {
            Some(row) => Ok(row.clone()),
            None => Ok(self.index.get(table, key)?.map(|row| row.to_vec())),
        }
    }

    pub fn set(&mut self, (table, key, value): Change) {
        self.bytes += key.len() + value.as_ref().map_or(0, Vec::len);
        self.rows.insert((table, key), value);
    }

    /// The first row of the table whose key begins with `prefix`.
    pub fn first(&self, table: Table, prefix: &[u8]) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        let mut stored = None;
        self.index.scan(table, prefix, &mut |k, v| {
            if !k.starts_with(prefix) {
                return Ok(Walk::Stop);
            }
            if self.rows.contains_key(&(table, k.to_vec())) {
                return Ok(Walk::Next);
            }
            stored = Some((k.to_vec(), v.to_vec()));
            Ok(Walk::Stop)
        })?;
        let from = Bound::Included((table, prefix.to_vec()));
        let own = self.rows.range((from, Bound::Unbounded)).take_while(|((t, k), _)| *t == table && k.starts_with(prefix));
        let own = own.filter_map(|((_, k), v)| v.as_ref().map(|v| (k, v))).next();
        Ok(match (stored, own) {
            (Some(stored), Some((k, _))) if stored.0 < *k => Some(stored),
            (stored, None) => stored,
            (_, Some((k, v))) => Some((k.clone(), v.clone())),
        })
    }

    /// The items of a job, in order.
    pub fn items(&self, id: &JobId) -> Result<Vec<String>> {
        let mut items = BTreeMap::new();
        self.index.scan(Table::Items, id.bytes(), &mut |k, _| {
            let Some(item) = k.strip_prefix(id.bytes()) else { return Ok(Walk::Stop) };
            items.insert(item.to_vec(), true);
            Ok(Walk::Next)
        })?;
        let from = Bound::Included((Table::Items, id.bytes().to_vec()));
        for ((t, k), v) in self.rows.range((from, Bound::Unbounded)) {
            let Some(item) = k.strip_prefix(id.bytes()).filter(|_| *t == Table::Items) else { break };
            items.insert(item.to_vec(), v.is_some());
        }
        let there = items.into_iter().filter(|(_, there)| *there).map(|(item, _)| String::from_utf8(item).map_err(Error::internal));
        there.collect()
    }

    pub fn job(&self, id: &JobId) -> Result<Option<Job>> {
        self.get(Table::Jobs, id.bytes())?.map(|row| rows::decode_job(&row)).transpose()
    }

    /// The job with its new record; `old` is what `job` answered.
    pub fn put(&mut self, old: Option<&Job>, new: &Job) -> Result<()> {
        self.set((Table::Jobs, new.id.bytes().to_vec(), Some(rows::encode_job(new)?)));
        self.follow(old, Some(new))
    }

    pub fn set_payload(&mut self, id: &JobId, payload: &Payload) {
        self.set((Table::Payloads, id.bytes().to_vec(), Some(rows::encode_payload(payload))));
    }

    /// False: it was there.
    pub fn add_item(&mut self, id: &JobId, item: &str) -> Result<bool> {
        let row = key::item(id, item);
        let is_new = self.get(Table::Items, &row)?.is_none();
        if is_new {
            self.set((Table::Items, row, Some(Vec::new())));
        }
        Ok(is_new)
    }

    pub fn clear_items(&mut self, id: &JobId) -> Result<()> {
        for item in self.items(id)? {
            self.set((Table::Items, key::item(id, &item), None));
        }
        Ok(())
    }

    /// Forgets the job and all that is its own.
    pub fn remove(&mut self, job: &Job) -> Result<()> {
        self.clear_items(&job.id)?;
        self.set((Table::Payloads, job.id.bytes().to_vec(), None));
        self.set((Table::Jobs, job.id.bytes().to_vec(), None));
        self.follow(Some(job), None)
    }

    fn follow(&mut self, old: Option<&Job>, new: Option<&Job>) -> Result<()> {
        let mut changes = Vec::new();
        derive(old, new, &mut |change| changes.push(change));
        changes.into_iter().for_each(|change| self.set(change));
        self.touched.jobs.extend(new.or(old).map(|job| job.id));
        self.recount_load(old, new)?;
        self.recount(old, new)
    }

    fn recount_load(&mut self, old: Option<&Job>, new: Option<&Job>) -> Result<()> {
        let (before, after) = (rows::load(old), rows::load(new));
        let Some(tenant) = new.or(old).map(|job| job.tenant.clone()).filter(|_| before != after) else { return Ok(()) };
        let load = self.load_of(&tenant)?.saturating_sub(before) + after;
        self.set((Table::Loads, tenant.as_str().as_bytes().to_vec(), rows::encode_load(load)));
        Ok(())
    }

    pub fn load_of(&self, tenant: &TenantId) -> Result<u64> {
        self.get(Table::Loads, tenant.as_str().as_bytes())?.map_or(Ok(0), |row| rows::decode_load(&row))
    }

    fn recount(&mut self, old: Option<&Job>, new: Option<&Job>) -> Result<()> {
        let Some(kind) = new.or(old).map(|job| job.kind.clone()) else { return Ok(()) };
        if old.map(|j| j.state.phase()) == new.map(|j| j.state.phase()) {
            return Ok(());
        }
        let mut counts = self.counts(&kind)?;
        if let Some(job) = old {
            counts.take(job.state.phase());
        }
        if let Some(job) = new {
            counts.add(job.state.phase());
        }
        self.set((Table::Counts, kind.into_bytes(), Some(counts.encode()?)));
        Ok(())
    }

    pub fn counts(&self, kind: &str) -> Result<Counts> {
        self.get(Table::Counts, kind.as_bytes())?.map_or(Ok(Counts::default()), |row| Counts::decode(&row))
    }

    /// One operation of the journal: the row of truth, and what follows from it.
    pub fn replay(&mut self, op: &OpRef<'_>) -> Result<()> {
        let table = Table::of(op.table)?;
        match table {
            Table::Jobs => {
                let id = JobId::from_bytes(op.key).ok_or_else(|| Error::internal("a row of the queue has no id"))?;
                let old = self.job(&id)?;
                let new = op.value.map(rows::decode_job).transpose()?;
                self.follow(old.as_ref(), new.as_ref())?;
            }
            // Nothing follows from them.
            Table::Payloads | Table::Items | Table::Changes | Table::Numbers => {}
            Table::Letters | Table::DeadLetters => return self.put_letter(table, op.key.to_vec(), op.value.map(<[u8]>::to_vec)),
            Table::Ready | Table::Due | Table::Keys | Table::Gathers | Table::Phases => return Err(table.misplaced()),
            Table::Ended | Table::Counts | Table::Loads | Table::Boxes => return Err(table.misplaced()),
        }
        self.set((table, op.key.to_vec(), op.value.map(<[u8]>::to_vec)));
        Ok(())
    }

    /// The rows of truth as the journal takes them.
    pub fn encode_ops(&self) -> Result<Vec<u8>> {
        let mut out = Vec::with_capacity(self.bytes + 64 * self.rows.len());
        for ((table, key), value) in self.rows.iter().filter(|((table, _), _)| table.is_truth()) {
            let op = OpRef { table: (*table).into(), key, value: value.as_deref() };
            if !op.encode(&mut out) {
                return Err(Error::internal("a row of the queue is too long for the journal"));
            }
        }
        Ok(out)
    }

    pub fn changes_truth(&self) -> bool {
        self.rows.keys().any(|(table, _)| table.is_truth())
    }

    /// A letter that is alive or dead, or goes; and how many are in its box.
    pub fn put_letter(&mut self, table: Table, key: Vec<u8>, value: Option<Vec<u8>>) -> Result<()> {
        let name = letter::box_of(&key)?.to_owned();
        let more = i64::from(value.is_some()) - i64::from(self.get(table, &key)?.is_some());
        if more != 0 {
            let mut counts = self.boxed(&name)?;
            counts.add(table, more);
            self.set((Table::Boxes, name.clone().into_bytes(), counts.encode()));
        }
        if table == Table::Letters && value.is_some() {
            self.touched.boxes.insert(name);
        }
        self.set((table, key, value));
        Ok(())
    }

    pub fn boxed(&self, name: &str) -> Result<Boxed> {
        self.get(Table::Boxes, name.as_bytes())?.map_or(Ok(Boxed::default()), |row| Boxed::decode(&row))
    }

    /// All rows, in order, and what changed.
    pub fn into_changes(self) -> (Vec<index::Change>, Touched) {
        let changes = self.rows.into_iter().map(|((table, key), value)| (table.into(), key, value)).collect();
        (changes, self.touched)
    }
}
