//! The index of what lifecycle rules may concern, by the time when they do: what is due is found without looking at what is not.
//!
//! `Table::Due`, derived: a row for each object, version and upload of a bucket with rules, at the time when the first of the rules lets it
//! go; and a mark for each bucket that is to be looked through, because its rules changed, or because rows of it were replayed. A row is
//! a hint: whoever finds it looks at what is there and decides anew. No row is a promise that nothing is due: each change of a row
//! derives its hint in the same batch, and a mark covers what the rules of before said.
//! Not here: what is due (`base::lifecycle`), and who carries it out (`ops::lifecycle`).
//!
//! Keys: eight bytes of milliseconds, then `bucket NUL key NUL` and what it is. At the time zero: `bucket NUL`, a mark. The value of a row
//! is a number that no other has, so that who has looked at a row takes away that one and no newer; of a mark, how far it came.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::base::error::{Error, Result};
use crate::base::lifecycle::evaluate::{Standing, Subject};
use crate::base::lifecycle::ready::{Lifecycles, Rules};
use crate::base::lifecycle::{Expiration, Rule};
use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::{Bucket, BucketDocument};
use crate::base::tags::Tags;
use crate::base::timestamp::Timestamp;
use crate::index::{Index, Walk};
use crate::local::open::Local;
use crate::local::rows::{ObjectRow, Table, UploadRow, VersionRow, key};
use crate::local::shared::Shared;
use crate::local::stored;
use crate::local::txn::{Txn, Value};
use crate::origin::{DueIndex, DueKey, DuePage, Pending};

/// What of a key a row is about. The last is of whoever looked at the key and wants to again.
const OBJECT: u8 = b'o';
const UPLOAD: u8 = b'u';
const VERSION: u8 = b'v';
const AGAIN: u8 = b'k';

/// The tables that a look through a bucket reads, in this order.
const LOOKED_THROUGH: [Table; 3] = [Table::Objects, Table::Uploads, Table::Versions];

// Rows

fn row_key(at: Timestamp, object: &[u8], what: u8, which: &[u8]) -> Vec<u8> {
    // The time zero is of marks.
    let at = at.millis().max(1).to_be_bytes();
    [&at, object, &[0, what], which].concat()
}

fn mark_key(bucket: &str) -> Vec<u8> {
    [&0u64.to_be_bytes()[..], bucket.as_bytes(), &[0]].concat()
}

/// Time, bucket and key of a row.
fn parse(row: &[u8]) -> Result<(Timestamp, BucketName, ObjectKey)> {
    let wrong = || Error::internal("a row of what is due can't be read");
    let (at, rest) = row.split_first_chunk::<8>().ok_or_else(wrong)?;
    let mut names = rest.splitn(3, |b| *b == 0);
    let mut name = || names.next().and_then(|name| std::str::from_utf8(name).ok()).ok_or_else(wrong);
    let (bucket, key) = (name()?, name()?);
    Ok((Timestamp::from_millis(u64::from_be_bytes(*at)), BucketName::parse(bucket)?, ObjectKey::parse(key)?))
}

/// The row that a row of another table asks for. None: no rule lets it go.
fn hint(table: Table, row: &[u8], value: &Value, rules: &Rules, lifecycles: &Lifecycles) -> Result<Option<Vec<u8>>> {
    let at = |key: &str, size: u64, tags: Option<&Tags>, standing: Standing| {
        rules.first_due(&Subject { key, size, tags, read: None, standing }, lifecycles.day).map(|due| due.at)
    };
    match (table, value) {
        (Table::Objects, Value::Object(object)) => {
            let (_, key) = key::split(row)?;
            let standing = Standing::Current { modified: object.head.modified };
            Ok(at(key, object.head.size, Some(&object.tail.tags), standing).map(|at| row_key(at, row, OBJECT, b"")))
        }
        (Table::Uploads, Value::Bytes(bytes)) => {
            let upload = stored::decode::<UploadRow>(bytes)?.upload;
            let due = at(upload.key.as_str(), 0, None, Standing::Upload { initiated: upload.initiated });
            Ok(due.map(|at| row_key(at, &key::object(&upload.bucket, &upload.key), UPLOAD, upload.id.as_str().as_bytes())))
        }
        (Table::Versions, Value::Version(version)) => {
            let (object, generation) = key::split_version(row)?;
            let (_, key) = key::split(object)?;
            let (_, size) = version.owner_and_size();
            let tags = version.object().map(|object| &object.tail.tags);
            let due = at(key, size, tags, standing_of(version));
            Ok(due.map(|at| row_key(at, object, VERSION, &generation.to_be_bytes())))
        }
        _ => Ok(None),
    }
}

/// As it may stand at the worst: how many newer ones there are, and whether anything stands under a marker, is looked at when it is due.
fn standing_of(version: &VersionRow) -> Standing {
    let modified = match version {
        VersionRow::Object(row) => row.head.modified,
        VersionRow::Marker(row) => row.modified,
    };
    match version.standing().noncurrent_since {
        Some(since) => Standing::Noncurrent { since, newer: u32::MAX },
        None => Standing::SoleMarker { modified },
    }
}

/// Whether a change of one version can make another one of its key due: a noncurrent one that is one too many now, or a marker that
/// nothing stands under any more.
fn concerns_others(rules: &Rules, came: bool) -> bool {
    let counts = |rule: &Rule| rule.noncurrent.is_some_and(|noncurrent| noncurrent.keep.is_some());
    let markers =
        |rule: &Rule| matches!(rule.expiration, Some(Expiration::SoleMarkers(true) | Expiration::When(_) | Expiration::Unread(_)));
    rules.iter().any(|rule| rule.enabled && if came { counts(rule) } else { markers(rule) })
}

fn bucket_of(row: &[u8]) -> Option<&str> {
    std::str::from_utf8(row.split(|b| *b == 0).next()?).ok()
}

impl Txn<'_> {
    /// After a change of a row of `Objects`, `Versions` or `Uploads`. In a replay the rules of then are not known, and the bucket is marked.
    pub fn derive_due(&mut self, table: Table, row: &[u8], before: Option<&Value>, after: Option<&Value>) -> Result<()> {
        let Some(name) = bucket_of(row) else { return Ok(()) };
        let Some(by) = self.due_by() else {
            self.mark_if_replayed(name);
            return Ok(());
        };
        let Some(bucket) = by.buckets.get(name) else { return Ok(()) };
        let Some(rules) = by.lifecycles.of(bucket) else { return Ok(()) };
        let of = |value: Option<&Value>| value.map_or(Ok(None), |value| hint(table, row, value, &rules, by.lifecycles));
        let (gone, new) = (of(before)?, of(after)?);
        if gone != new
            && let Some(gone) = gone
        {
            self.put_plain(Table::Due, gone, None);
        }
        if let Some(new) = new {
            self.put_due(new)?;
        }
        if table == Table::Versions && before.is_some() != after.is_some() && concerns_others(&rules, after.is_some()) {
            let (object, _) = key::split_version(row)?;
            self.put_due(row_key(self.now(), object, AGAIN, b""))?;
        }
        Ok(())
    }

    fn put_due(&mut self, row: Vec<u8>) -> Result<()> {
        let number = self.next_generation().to_be_bytes().to_vec();
        self.put_plain(Table::Due, row, Some(Value::Bytes(number)));
        Ok(())
    }

    /// After a change of a bucket.
    pub fn derive_due_of_bucket(&mut self, before: Option<&Bucket>, after: &Bucket) {
        let said = |bucket: &Bucket| {
            let document = |d| bucket.documents.get(&d).cloned();
            (document(BucketDocument::Lifecycle), document(BucketDocument::Versioning))
        };
        if before.map(said) != Some(said(after)) {
            self.mark_due(after.name.as_str());
        }
    }

    fn mark_if_replayed(&mut self, bucket: &str) {
        if self.is_replay() {
            self.mark_due(bucket);
        }
    }

    /// All of the bucket is to be looked through, from its beginning.
    fn mark_due(&mut self, bucket: &str) {
        self.put_plain(Table::Due, mark_key(bucket), Some(Value::Bytes(Vec::new())));
    }
}

// Looking through buckets that are marked

/// A bucket that is looked through, and how far that is: the place in `LOOKED_THROUGH`, and the last row that was read.
struct Mark {
    row: Vec<u8>,
    value: Vec<u8>,
}

/// The hints of what was read, and the mark's value for what is left. None: nothing is.
type ReadOn = (Vec<Vec<u8>>, Option<Vec<u8>>);

impl Mark {
    fn first(index: &Index) -> Result<Option<Self>> {
        let mut found = None;
        index.scan(Table::Due, b"", &mut |row, value| {
            if row.starts_with(&0u64.to_be_bytes()) {
                found = Some(Mark { row: row.to_vec(), value: value.to_vec() });
            }
            Ok(Walk::Stop)
        })?;
        Ok(found)
    }

    fn bucket(&self) -> &str {
        self.row.get(8..).and_then(bucket_of).unwrap_or_default()
    }

    /// Reads on for at most `max` rows.
    fn read_on(&self, index: &Index, rules: &Rules, lifecycles: &Lifecycles, max: usize) -> Result<ReadOn> {
        let (place, after) = self.value.split_first().map_or((0, &b""[..]), |(place, after)| (usize::from(*place), after));
        let Some(table) = LOOKED_THROUGH.get(place).copied() else { return Ok((Vec::new(), None)) };
        let all = key::joined(self.bucket(), "");
        let from = if after.is_empty() { all.clone() } else { [after, &[0]].concat() };
        let (mut hints, mut last, mut read) = (Vec::new(), None, 0);
        index.scan(table, &from, &mut |row, value| {
            if !row.starts_with(&all) {
                last = None;
                return Ok(Walk::Stop);
            }
            if read == max {
                return Ok(Walk::Stop);
            }
            read += 1;
            last = Some(row.to_vec());
            let value = match table {
                Table::Objects => Value::Object(Arc::new(stored::decode::<ObjectRow>(value)?)),
                Table::Versions => Value::Version(stored::decode::<VersionRow>(value)?),
                _ => Value::Bytes(value.to_vec()),
            };
            hints.extend(hint(table, row, &value, rules, lifecycles)?);
            Ok(Walk::Next)
        })?;
        let next_table = (place + 1 < LOOKED_THROUGH.len()).then(|| vec![place as u8 + 1]);
        let next = match last.filter(|_| read == max) {
            Some(last) => Some([vec![place as u8], last].concat()),
            None => next_table,
        };
        Ok((hints, next))
    }
}

impl Shared {
    /// One step. False: no bucket is marked any more. Blocks.
    fn look_through(&self, max: usize) -> Result<bool> {
        let index = self.index()?;
        let Some(mark) = Mark::first(&index)? else { return Ok(false) };
        let lifecycles = &self.settings.lifecycles;
        let rules = self.buckets.get(mark.bucket()).and_then(|bucket| lifecycles.of(&bucket));
        let (hints, next) = match rules {
            Some(rules) => mark.read_on(&index, &rules, lifecycles, max)?,
            None => (Vec::new(), None),
        };
        self.queue.submit_blocking(move |txn| {
            hints.into_iter().try_for_each(|row| txn.put_due(row))?;
            // Marked again meanwhile: from the beginning, by the rules of now.
            if txn.due_row(&mark.row)? == Some(mark.value) {
                txn.put_plain(Table::Due, mark.row, next.map(Value::Bytes));
            }
            Ok(())
        })?;
        Ok(true)
    }

    fn due(&self, by: Timestamp, after: &[u8], max: usize) -> Result<DuePage> {
        let from = if after.is_empty() { 1u64.to_be_bytes().to_vec() } else { [after, &[0]].concat() };
        let (mut page, mut rows) = (DuePage::default(), 0);
        // A key stands once on a page, whatever hints there are of it: those of a page are judged side by side.
        let mut places = HashMap::new();
        self.index()?.scan(Table::Due, &from, &mut |row, value| {
            let (at, bucket, key) = parse(row)?;
            if at > by {
                return Ok(Walk::Stop);
            }
            if rows == max {
                page.more = true;
                return Ok(Walk::Stop);
            }
            rows += 1;
            page.last = row.to_vec();
            let of_row = (row.to_vec(), value.to_vec());
            let place = *places.entry((bucket.clone(), key.clone())).or_insert(page.keys.len());
            match page.keys.get_mut(place) {
                Some(known) => known.rows.push(of_row),
                None => page.keys.push(DueKey { bucket, key, rows: vec![of_row] }),
            }
            Ok(Walk::Next)
        })?;
        Ok(page)
    }
}

impl DueIndex for Local {
    fn due<'a>(&'a self, by: Timestamp, after: &'a [u8], max: usize) -> Pending<'a, DuePage> {
        let (shared, after) = (self.shared.clone(), after.to_vec());
        Box::pin(async move { spawn_blocking(move || shared.due(by, &after, max)).await.map_err(Error::internal)? })
    }

    fn looked_at(&self, keys: Vec<(DueKey, Option<Timestamp>)>) -> Pending<'_, ()> {
        let look = move |txn: &mut Txn<'_>| {
            for (DueKey { bucket, key, rows }, again) in keys {
                for (row, value) in rows {
                    if txn.due_row(&row)? == Some(value) {
                        txn.put_plain(Table::Due, row, None);
                    }
                }
                if let Some(at) = again {
                    txn.put_due(row_key(at, &key::object(&bucket, &key), AGAIN, b""))?;
                }
            }
            Ok(())
        };
        Box::pin(self.shared.queue.submit(look))
    }

    fn mark_all(&self) -> Pending<'_, ()> {
        let names: Vec<String> = self.shared.buckets.all().keys().cloned().collect();
        Box::pin(self.shared.queue.submit(move |txn| {
            names.iter().for_each(|name| txn.mark_due(name));
            Ok(())
        }))
    }

    fn look_through(&self, max: usize) -> Pending<'_, bool> {
        let shared = self.shared.clone();
        Box::pin(async move { spawn_blocking(move || shared.look_through(max)).await.map_err(Error::internal)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_order_of_time_and_marks_come_first() {
        let (bucket, key) = (BucketName::parse("media").unwrap(), ObjectKey::parse("a/b").unwrap());
        let row = |ms| row_key(Timestamp::from_millis(ms), &key::object(&bucket, &key), UPLOAD, b"id");
        assert!(mark_key("zzz") < row(0) && row(0) < row(2) && row(255) < row(256));
        assert_eq!(parse(&row(7)).unwrap(), (Timestamp::from_millis(7), bucket.clone(), key.clone()));
        assert_eq!(bucket_of(&mark_key("media")[8..]), Some("media"));
        assert!(parse(b"short").is_err());
    }
}
