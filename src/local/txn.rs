//! One batch of the journal in the making: what each command decided, on top of what the index says.
//!
//! Commands run one after the other on the writer's thread and see each other's rows. A command that fails leaves
//! nothing. The derived rows (content by hash, references, usage, null versions) follow each change, and in a replay too: see `derive`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;

use crate::base::digest::VerifiedSha256;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::lifecycle::ready::Lifecycles;
use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::{Bucket, SharedBucket};
use crate::base::timestamp::Timestamp;
use crate::index::{Change, Index, Walk};
use crate::journal::{ContentAt, OpRef};
use crate::local::clock::{LAST_TIME, Times};
use crate::local::ids::Ids;
use crate::local::rows::{BodyPlace, DropKind, DropRow, HashRow, Id, Manifest, ObjectRow, Table, VersionRow, key};
use crate::local::scope::Scope;
use crate::local::stored::{self, Row};
use crate::origin::Quota;

#[derive(Debug, Clone)]
pub enum Value {
    Object(Arc<ObjectRow>),
    Version(VersionRow),
    Hash(HashRow),
    Bucket(SharedBucket),
    Bytes(Vec<u8>),
}

pub type RowKey = (Table, Vec<u8>);

pub struct Txn<'a> {
    index: &'a Index,
    ids: &'a Ids,
    rows: HashMap<RowKey, Option<Value>>,
    /// Of the rows of `Versions` that were changed, the keys in order. It may hold some whose change was undone.
    versions: BTreeSet<Vec<u8>>,
    contents: Vec<Bytes>,
    content_bytes: usize,
    /// What `rows` held before, since the last savepoint.
    undo: Vec<(RowKey, Option<Option<Value>>)>,
    first_generation: u64,
    changes: u64,
    times: Times,
    /// In a replay the log already holds what a change led to.
    replay: bool,
    /// None: what is due is found by a look through the bucket.
    due_by: Option<DueBy<'a>>,
    bucket_limits: Option<&'a BTreeMap<String, Quota>>,
}

/// What hints of what is due are derived by. Buckets as they were before the batch: a change of rules leaves a mark, which covers the
/// rest of the batch.
#[derive(Clone)]
pub struct DueBy<'a> {
    pub buckets: Arc<BTreeMap<String, SharedBucket>>,
    pub lifecycles: &'a Lifecycles,
}

/// Generations that one batch can give out.
pub const GENERATIONS_PER_BATCH: u64 = 1 << 20;

impl<'a> Txn<'a> {
    pub fn new(index: &'a Index, ids: &'a Ids, sequence: u64, times: Times) -> Self {
        Self::of(index, ids, sequence, times, false)
    }

    /// For rows that are in the log already.
    pub fn replaying(index: &'a Index, ids: &'a Ids) -> Self {
        Self::of(index, ids, 0, Times::PAST, true)
    }

    fn of(index: &'a Index, ids: &'a Ids, sequence: u64, times: Times, replay: bool) -> Self {
        Txn {
            index,
            ids,
            rows: HashMap::new(),
            versions: BTreeSet::new(),
            contents: Vec::new(),
            content_bytes: 0,
            undo: Vec::new(),
            first_generation: sequence.saturating_mul(GENERATIONS_PER_BATCH),
            changes: 0,
            times,
            replay,
            due_by: None,
            bucket_limits: None,
        }
    }

    /// What is due of each change is derived by these rules.
    pub fn with_due(self, due_by: DueBy<'a>) -> Self {
        Txn { due_by: Some(due_by), ..self }
    }

    /// No bucket grows past these.
    pub fn with_bucket_limits(self, limits: &'a BTreeMap<String, Quota>) -> Self {
        Txn { bucket_limits: Some(limits), ..self }
    }

    /// What the bucket may hold; None: as much as there is room for.
    pub fn bucket_limit(&self, bucket: &BucketName) -> Option<Quota> {
        self.bucket_limits?.get(bucket.as_str()).copied()
    }

    pub fn due_by(&self) -> Option<DueBy<'a>> {
        self.due_by.clone()
    }

    pub fn is_replay(&self) -> bool {
        self.replay
    }

    pub fn now(&self) -> Timestamp {
        self.times.now
    }

    /// What locks are judged by.
    pub fn judged(&self) -> Timestamp {
        self.times.judged
    }

    /// A number that no other version in this store has: the batch's place in the log, and the change's in the batch.
    pub fn next_generation(&mut self) -> u64 {
        self.changes += 1;
        self.first_generation + self.changes
    }

    pub fn new_id(&self) -> Id {
        self.ids.next()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How much there is to write: the writer stops collecting at a bound.
    pub fn weight(&self) -> (usize, usize) {
        (self.rows.len(), self.content_bytes)
    }

    // Commands

    /// Runs one command: all of its changes, or none.
    pub fn run<T>(&mut self, command: impl FnOnce(&mut Txn<'a>) -> Result<T>) -> Result<T> {
        self.undo.clear();
        let (contents, content_bytes) = (self.contents.len(), self.content_bytes);
        let result = command(self);
        if result.is_err() {
            while let Some((key, before)) = self.undo.pop() {
                match before {
                    Some(value) => self.rows.insert(key, value),
                    None => self.rows.remove(&key),
                };
            }
            self.contents.truncate(contents);
            self.content_bytes = content_bytes;
        }
        result
    }

    /// A small body that is written with this batch.
    pub fn add_content(&mut self, content: Bytes) -> Result<BodyPlace> {
        let slot = u32::try_from(self.contents.len()).map_err(Error::internal)?;
        self.content_bytes += content.len();
        self.contents.push(content);
        Ok(BodyPlace::Pending(slot))
    }

    // Rows

    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Value>> {
        // The tuple key needs an owned key to look up; an empty map needs no look-up.
        if !self.rows.is_empty()
            && let Some(value) = self.rows.get(&(table, key.to_vec()))
        {
            return Ok(value.clone());
        }
        let Some(bytes) = self.index.get(table, key)? else { return Ok(None) };
        Self::decode(table, &bytes).map(Some)
    }

    fn decode(table: Table, bytes: &[u8]) -> Result<Value> {
        Ok(match table {
            Table::Objects => Value::Object(Arc::new(stored::decode::<ObjectRow>(bytes)?)),
            Table::Versions => Value::Version(stored::decode(bytes)?),
            Table::Hashes => Value::Hash(stored::decode(bytes)?),
            Table::Buckets => Value::Bucket(Arc::new(stored::decode(bytes)?)),
            _ => Value::Bytes(bytes.to_vec()),
        })
    }

    /// Sets a row and what is derived from it.
    fn put(&mut self, table: Table, key: Vec<u8>, value: Option<Value>) -> Result<()> {
        match table {
            Table::Objects => {
                let before = self.get(table, &key)?;
                self.derive_object(&key, before.as_ref(), value.as_ref())?;
                self.derive_due(table, &key, before.as_ref(), value.as_ref())?;
            }
            Table::Versions => {
                let before = self.get(table, &key)?;
                self.derive_version(&key, before.as_ref(), value.as_ref())?;
                self.derive_due(table, &key, before.as_ref(), value.as_ref())?;
            }
            Table::Parts => {
                let before = self.get(table, &key)?;
                self.derive_part(before.as_ref(), value.as_ref())?;
            }
            Table::Uploads => {
                let before = self.get(table, &key)?;
                self.derive_upload(before.as_ref(), value.as_ref())?;
                self.derive_due(table, &key, before.as_ref(), value.as_ref())?;
            }
            Table::Buckets => {
                if let Some(Value::Bucket(bucket)) = &value {
                    let before = self.bucket(&bucket.name)?;
                    self.derive_due_of_bucket(before.as_deref(), bucket);
                }
            }
            // Nothing follows from them.
            Table::Meta | Table::Manifests | Table::Completed | Table::Settings | Table::Drops | Table::Rehash => {}
            // They follow themselves.
            Table::Hashes | Table::ManifestRefs | Table::Usage | Table::NullVersions | Table::Due | Table::KeyUses => {}
        }
        self.put_plain(table, key, value);
        Ok(())
    }

    /// The row alone: what is derived, or what nothing is derived from.
    pub fn put_plain(&mut self, table: Table, key: Vec<u8>, value: Option<Value>) {
        if table == Table::Versions {
            self.versions.insert(key.clone());
        }
        let row_key = (table, key);
        let before = self.rows.insert(row_key.clone(), value);
        self.undo.push((row_key, before));
    }

    pub fn get_row<T: Row>(&self, table: Table, key: &[u8]) -> Result<Option<T>> {
        match self.get(table, key)? {
            None => Ok(None),
            Some(Value::Bytes(bytes)) => stored::decode(&bytes).map(Some),
            Some(_) => Err(Error::internal("a row of another kind")),
        }
    }

    pub fn set_row<T: Row>(&mut self, table: Table, key: Vec<u8>, row: &T) -> Result<()> {
        let value = Value::Bytes(stored::encode(row)?);
        self.put(table, key, Some(value))
    }

    pub fn del_row(&mut self, table: Table, key: Vec<u8>) -> Result<()> {
        self.put(table, key, None)
    }

    pub fn object(&self, bucket: &BucketName, key: &ObjectKey) -> Result<Option<Arc<ObjectRow>>> {
        match self.get(Table::Objects, &key::object(bucket, key))? {
            None => Ok(None),
            Some(Value::Object(row)) => Ok(Some(row)),
            Some(_) => Err(Error::internal("a row of another kind")),
        }
    }

    pub fn set_object(&mut self, bucket: &BucketName, key: &ObjectKey, row: Arc<ObjectRow>) -> Result<()> {
        self.put(Table::Objects, key::object(bucket, key), Some(Value::Object(row)))
    }

    /// A row of `Versions`.
    pub fn version(&self, bucket: &BucketName, key: &ObjectKey, generation: u64) -> Result<Option<VersionRow>> {
        self.get(Table::Versions, &key::version(bucket, key, generation))?.map(version_of).transpose()
    }

    pub fn set_version(&mut self, bucket: &BucketName, key: &ObjectKey, row: VersionRow) -> Result<()> {
        self.put(Table::Versions, key::version(bucket, key, row.generation()), Some(Value::Version(row)))
    }

    /// The first row of the key in `Versions`, as this batch sees it. `below`: none from that generation on is there any more, so nobody
    /// walks past what the batch took away, one by one.
    pub fn newest_version(&self, bucket: &BucketName, key: &ObjectKey, below: Option<u64>) -> Result<Option<VersionRow>> {
        let prefix = key::versions(bucket, key);
        let from = below.map_or_else(|| prefix.clone(), |generation| key::version(bucket, key, generation));
        let of_key = |k: &Vec<u8>| k.starts_with(&prefix);
        let here = |k: &Vec<u8>| self.rows.get(&(Table::Versions, k.clone()));
        let ours = self.versions.range(from.clone()..).take_while(|k| of_key(k)).find_map(|k| Some((k, here(k)?.clone()?)));
        let mut theirs = None;
        self.index.scan(Table::Versions, &from, &mut |k, v| {
            if !k.starts_with(&prefix) {
                return Ok(Walk::Stop);
            }
            // One that this batch changed is among ours, or is gone.
            let k = k.to_vec();
            if self.versions.contains(&k) && here(&k).is_some() {
                return Ok(Walk::Next);
            }
            theirs = Some((k, Self::decode(Table::Versions, v)?));
            Ok(Walk::Stop)
        })?;
        let newest = match (ours, theirs) {
            (Some((k, value)), Some((other, _))) if *k < other => Some(value),
            (_, Some((_, value))) | (Some((_, value)), None) => Some(value),
            (None, None) => None,
        };
        newest.map(version_of).transpose()
    }

    /// The key's null version, where it is a row of `Versions`.
    pub fn null_version(&self, bucket: &BucketName, key: &ObjectKey) -> Result<Option<VersionRow>> {
        let generation: Option<u64> = self.get_row(Table::NullVersions, &key::object(bucket, key))?;
        generation.map_or(Ok(None), |generation| self.version(bucket, key, generation))
    }

    pub fn bucket(&self, name: &BucketName) -> Result<Option<SharedBucket>> {
        match self.get(Table::Buckets, &key::bucket(name))? {
            None => Ok(None),
            Some(Value::Bucket(bucket)) => Ok(Some(bucket)),
            Some(_) => Err(Error::internal("a row of another kind")),
        }
    }

    pub fn require_bucket(&self, name: &BucketName) -> Result<SharedBucket> {
        self.bucket(name)?.ok_or_else(no_such_bucket)
    }

    pub fn set_bucket(&mut self, bucket: Bucket) -> Result<()> {
        self.put(Table::Buckets, key::bucket(&bucket.name), Some(Value::Bucket(Arc::new(bucket))))
    }

    /// A row of `Due`, as it is.
    pub fn due_row(&self, row: &[u8]) -> Result<Option<Vec<u8>>> {
        match self.get(Table::Due, row)? {
            None => Ok(None),
            Some(Value::Bytes(bytes)) => Ok(Some(bytes)),
            Some(_) => Err(Error::internal("a row of another kind")),
        }
    }

    pub fn content(&self, scope: &Scope, sha256: &VerifiedSha256) -> Result<Option<HashRow>> {
        match self.get(Table::Hashes, &key::hash(scope, sha256.digest()))? {
            None => Ok(None),
            Some(Value::Hash(row)) => Ok(Some(row)),
            Some(_) => Err(Error::internal("a row of another kind")),
        }
    }

    pub fn set_content(&mut self, scope: &Scope, sha256: &VerifiedSha256, row: Option<HashRow>) {
        self.put_plain(Table::Hashes, key::hash(scope, sha256.digest()), row.map(Value::Hash));
    }

    pub fn manifest(&self, id: Id) -> Result<Option<Manifest>> {
        self.get_row(Table::Manifests, &key::id(id))
    }

    /// The rows of a table whose key starts with `prefix`, as this batch sees them: at most `max`, and in order.
    pub fn rows_with_prefix(&self, table: Table, prefix: &[u8], max: usize) -> Result<Vec<(Vec<u8>, Value)>> {
        let mut found = std::collections::BTreeMap::new();
        let ours: Vec<_> = self.rows.iter().filter(|((t, k), _)| *t == table && k.starts_with(prefix)).collect();
        // Rows that this batch deleted may hide as many of the index's.
        let enough = max.saturating_add(ours.len());
        self.index.scan(table, prefix, &mut |k, v| {
            if !k.starts_with(prefix) || found.len() >= enough {
                return Ok(Walk::Stop);
            }
            found.insert(k.to_vec(), Self::decode(table, v)?);
            Ok(Walk::Next)
        })?;
        for ((_, k), value) in ours {
            match value {
                Some(v) => found.insert(k.clone(), v.clone()),
                None => found.remove(k),
            };
        }
        Ok(found.into_iter().take(max).collect())
    }

    /// Notes that nothing seems to refer to this any more. The proof comes later, from the log alone.
    pub fn drop_later(&mut self, scope: &Scope, kind: DropKind, id: Id) -> Result<()> {
        if self.replay {
            return Ok(());
        }
        let row = DropRow { scope: scope.clone(), kind, since: self.now() };
        self.set_row(Table::Drops, key::id(id), &row)
    }

    // The end

    /// A row from the log, as it is.
    pub fn replay_op(&mut self, op: &OpRef<'_>) -> Result<()> {
        let table = Table::of(op.table)?;
        let value = op.value.map(|v| Self::decode(table, v)).transpose()?;
        self.undo.clear();
        self.put(table, op.key.to_vec(), value)
    }

    /// The rows of a table apart from the rest.
    pub fn split(mut self, table: Table) -> (Txn<'a>, Txn<'a>) {
        let mut apart = Self::of(self.index, self.ids, 0, self.times, self.replay);
        apart.rows = self.rows.extract_if(|(t, _), _| *t == table).collect();
        (self, apart)
    }

    pub fn contents(&self) -> &[Bytes] {
        &self.contents
    }

    pub fn touched(&self) -> impl Iterator<Item = (Table, &[u8], Option<&Value>)> {
        self.rows.iter().map(|((t, k), v)| (*t, k.as_slice(), v.as_ref()))
    }

    /// The next start goes on from this batch's time.
    pub fn keep_time(&mut self) -> Result<()> {
        let time = stored::encode(&self.now().millis())?;
        self.put_plain(Table::Meta, LAST_TIME.to_vec(), Some(Value::Bytes(time)));
        Ok(())
    }

    /// The operations for the journal, the bodies being at `places`.
    pub fn encode_ops(&self, places: &[ContentAt]) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        for ((table, key), value) in self.rows.iter().filter(|((t, _), _)| t.is_truth()) {
            let value = value.as_ref().map(|v| encode_value(v, places)).transpose()?;
            if !(OpRef { table: (*table).into(), key, value: value.as_deref() }).encode(&mut out) {
                return Err(Error::internal("a row is too long for the journal"));
            }
        }
        Ok(out)
    }

    /// All changed rows, derived ones too, for the index.
    pub fn into_changes(self, places: &[ContentAt]) -> Result<Vec<Change>> {
        self.rows
            .into_iter()
            .map(|((table, key), value)| Ok((table.into(), key, value.map(|v| encode_value(&v, places)).transpose()?)))
            .collect()
    }
}

fn encode_value(value: &Value, places: &[ContentAt]) -> Result<Vec<u8>> {
    match value {
        Value::Bytes(bytes) => Ok(bytes.clone()),
        Value::Bucket(bucket) => stored::encode(&**bucket),
        Value::Hash(row) => stored::encode(&HashRow { place: settle(row.place, places)?, ..row.clone() }),
        Value::Object(row) => match settled(row, places)? {
            None => stored::encode(&**row),
            Some(row) => stored::encode(&row),
        },
        Value::Version(version) => match version.object().map(|row| settled(row, places)).transpose()?.flatten() {
            None => stored::encode(version),
            Some(row) => stored::encode(&VersionRow::Object(Arc::new(row))),
        },
    }
}

/// The row with the place of its body. None: it says so already.
fn settled(row: &ObjectRow, places: &[ContentAt]) -> Result<Option<ObjectRow>> {
    let place = settle(row.tail.place, places)?;
    if place == row.tail.place {
        return Ok(None);
    }
    let mut row = row.clone();
    row.tail.place = place;
    Ok(Some(row))
}

fn version_of(value: Value) -> Result<VersionRow> {
    match value {
        Value::Version(row) => Ok(row),
        _ => Err(Error::internal("a row of another kind")),
    }
}

fn settle(place: BodyPlace, places: &[ContentAt]) -> Result<BodyPlace> {
    let BodyPlace::Pending(slot) = place else { return Ok(place) };
    let at = places.get(slot as usize).ok_or_else(|| Error::internal("a body has no place"))?;
    Ok(BodyPlace::Inline { segment: at.segment, offset: at.offset, len: at.len, crc: at.crc })
}

pub fn no_such_bucket() -> Error {
    Error::new(ErrorKind::NoSuchBucket, "The specified bucket does not exist.")
}

pub fn no_such_key() -> Error {
    Error::new(ErrorKind::NoSuchKey, "The specified key does not exist.")
}
