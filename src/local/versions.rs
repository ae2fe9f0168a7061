//! The versions of a key: what becomes of them when another is written, and when one is deleted. Inside a batch.
//!
//! The newest version stands in `Objects`, unless it is a delete marker; all others, and all markers, stand in `Versions`. Order is by
//! generation, never by time. A bucket that never kept versions has null versions only, one for each key, all of them in `Objects`.
//! Called by the commands that write (`objects`, `complete`, `rehash`, `locks`) and by the collection, which moves bodies.
//!
//! Invariants: where a key has no row in `Objects`, its first row in `Versions` is a marker or there is none; a key has one null version
//! at most; no version that is locked goes.

use std::sync::Arc;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::Bucket;
use crate::base::object_ref::{ObjectRef, VersionId, VersionSelector, no_such_version};
use crate::base::versions::Versioning;
use crate::local::locks::require_unlocked;
use crate::local::rows::{MarkerRow, ObjectRow, Standing, Table, VersionRow, generation_of, key};
use crate::local::txn::{Txn, no_such_key};
use crate::origin::Deleted;

/// Where a version stands.
enum Found {
    InObjects(Arc<ObjectRow>),
    InVersions(VersionRow),
}

impl Found {
    fn row(self) -> VersionRow {
        match self {
            Found::InObjects(row) => VersionRow::Object(row),
            Found::InVersions(row) => row,
        }
    }
}

fn find(txn: &Txn<'_>, bucket: &BucketName, key: &ObjectKey, id: &VersionId) -> Result<Option<Found>> {
    if let Some(row) = txn.object(bucket, key)?.filter(|row| row.id() == *id) {
        return Ok(Some(Found::InObjects(row)));
    }
    let row = match id {
        VersionId::Null => txn.null_version(bucket, key)?,
        VersionId::Named(name) => match generation_of(name) {
            Some(generation) => txn.version(bucket, key, generation)?.filter(|row| row.id() == *id),
            None => None,
        },
    };
    Ok(row.map(Found::InVersions))
}

pub fn is_there(txn: &Txn<'_>, bucket: &BucketName, key: &ObjectKey, id: &VersionId) -> Result<bool> {
    Ok(find(txn, bucket, key, id)?.is_some())
}

/// A version by its generation, wherever it stands now.
pub fn of_generation(txn: &Txn<'_>, bucket: &BucketName, key: &ObjectKey, generation: u64) -> Result<Option<Arc<ObjectRow>>> {
    match txn.object(bucket, key)?.filter(|row| row.tail.generation == generation) {
        Some(row) => Ok(Some(row)),
        None => Ok(txn.version(bucket, key, generation)?.and_then(|row| row.object().cloned())),
    }
}

/// The version that is meant, to change what is said of it.
pub fn require(txn: &Txn<'_>, of: ObjectRef<'_>) -> Result<Arc<ObjectRow>> {
    let VersionSelector::Exact(id) = of.version else { return txn.object(of.bucket, of.key)?.ok_or_else(no_such_key) };
    match find(txn, of.bucket, of.key, id)?.map(Found::row) {
        Some(VersionRow::Object(row)) => Ok(row),
        Some(VersionRow::Marker(_)) => Err(Error::new(
            ErrorKind::MethodNotAllowed,
            "The specified method is not allowed against this resource: it is a delete marker.",
        )),
        None => Err(no_such_version(of)),
    }
}

/// Puts a changed row where the version stands. It must be there.
pub fn rewrite(txn: &mut Txn<'_>, bucket: &BucketName, key: &ObjectKey, row: Arc<ObjectRow>) -> Result<()> {
    match txn.object(bucket, key)?.filter(|there| there.tail.generation == row.tail.generation) {
        Some(_) => txn.set_object(bucket, key, row),
        None => txn.set_version(bucket, key, VersionRow::Object(row)),
    }
}

/// What a new version will take the place of, so that it goes: None where that is kept, or where there is none.
pub fn replaced(txn: &Txn<'_>, bucket: &Bucket, key: &ObjectKey, current: Option<&Arc<ObjectRow>>) -> Result<Option<Arc<ObjectRow>>> {
    let null = current.filter(|row| !row.tail.standing.named);
    match bucket.versioning() {
        Versioning::Enabled => Ok(None),
        Versioning::Never => Ok(null.cloned()),
        Versioning::Suspended if null.is_some() => Ok(null.cloned()),
        Versioning::Suspended => Ok(txn.null_version(&bucket.name, key)?.and_then(|row| row.object().cloned())),
    }
}

/// How a version stands that is written into the bucket now.
pub fn standing(bucket: &Bucket) -> Standing {
    Standing { named: bucket.versioning() == Versioning::Enabled, noncurrent_since: None }
}

/// Makes `row` the newest version of the key, as the bucket keeps versions.
pub fn make_current(txn: &mut Txn<'_>, bucket: &Bucket, key: &ObjectKey, row: Arc<ObjectRow>) -> Result<()> {
    let null = make_way(txn, bucket, key)?;
    txn.set_object(&bucket.name, key, row)?;
    // After its successor, so that content which both share is never let go.
    null.map_or(Ok(()), |null| forget(txn, bucket, key, &null))
}

/// Deletes what the key shows: it goes, or a delete marker is put before it.
pub fn delete_current(txn: &mut Txn<'_>, bucket: &Bucket, key: &ObjectKey) -> Result<Deleted> {
    let current = txn.object(&bucket.name, key)?;
    let existed = Some(current.is_some());
    if bucket.versioning() == Versioning::Never {
        let Some(current) = current else { return Ok(Deleted::NOTHING) };
        require_unlocked(txn, &current, false)?;
        txn.del_row(Table::Objects, key::object(&bucket.name, key))?;
        return Ok(Deleted::SOMETHING);
    }
    let null = make_way(txn, bucket, key)?;
    if current.is_some() {
        txn.del_row(Table::Objects, key::object(&bucket.name, key))?;
    }
    let marker = MarkerRow {
        generation: txn.next_generation(),
        modified: txn.now(),
        owner: bucket.owner.clone(),
        standing: standing(bucket),
        unknown: Default::default(),
    };
    let version = Some(marker.id());
    txn.set_version(&bucket.name, key, VersionRow::Marker(marker))?;
    null.map_or(Ok(()), |null| forget(txn, bucket, key, &null))?;
    Ok(Deleted { existed, version, marker: true })
}

/// What the key shows is about to have a successor: it is kept as a noncurrent version, unless that takes its place. Answers the null
/// version in `Versions` whose place the successor takes.
fn make_way(txn: &mut Txn<'_>, bucket: &Bucket, key: &ObjectKey) -> Result<Option<VersionRow>> {
    let (name, versioning) = (&bucket.name, bucket.versioning());
    let goes = |row: &VersionRow| versioning != Versioning::Enabled && !row.standing().named;
    let current = match txn.object(name, key)? {
        Some(row) => Some(VersionRow::Object(row)),
        None if versioning == Versioning::Never => None,
        None => txn.newest_version(name, key, None)?,
    };
    let null = if versioning == Versioning::Suspended { txn.null_version(name, key)? } else { None };
    for row in [current.as_ref().filter(|row| goes(row)), null.as_ref()].into_iter().flatten() {
        row.object().map_or(Ok(()), |row| require_unlocked(txn, row, false))?;
    }
    if let Some(row) = current.filter(|row| !goes(row)) {
        txn.set_version(name, key, row.noncurrent_since(Some(txn.now())))?;
    }
    Ok(null)
}

fn forget(txn: &mut Txn<'_>, bucket: &Bucket, key: &ObjectKey, row: &VersionRow) -> Result<()> {
    txn.del_row(Table::Versions, key::version(&bucket.name, key, row.generation()))
}

/// Deletes exactly that version or marker. If it was the newest, the one before it is shown again.
pub fn delete_exact(txn: &mut Txn<'_>, bucket: &Bucket, key: &ObjectKey, id: &VersionId, bypass: bool) -> Result<Deleted> {
    let gone = |existed, marker| Deleted { existed: Some(existed), version: Some(id.clone()), marker };
    match find(txn, &bucket.name, key, id)? {
        None => Ok(gone(false, false)),
        Some(Found::InObjects(row)) => {
            require_unlocked(txn, &row, bypass)?;
            show_the_next(txn, bucket, key, row.tail.generation, true)?;
            Ok(gone(true, false))
        }
        Some(Found::InVersions(row)) => {
            row.object().map_or(Ok(()), |row| require_unlocked(txn, row, bypass))?;
            let was_newest = row.standing().noncurrent_since.is_none();
            forget(txn, bucket, key, &row)?;
            if was_newest {
                show_the_next(txn, bucket, key, row.generation(), false)?;
            }
            Ok(gone(true, row.marker().is_some()))
        }
    }
}

/// The newest version, of that generation, went; or it goes now, where it stands in `Objects`.
fn show_the_next(txn: &mut Txn<'_>, bucket: &Bucket, key: &ObjectKey, newest: u64, in_objects: bool) -> Result<()> {
    let next = txn.newest_version(&bucket.name, key, Some(newest))?.map(|row| row.noncurrent_since(None));
    match next {
        Some(VersionRow::Object(row)) => {
            txn.set_object(&bucket.name, key, row.clone())?;
            return forget(txn, bucket, key, &VersionRow::Object(row));
        }
        Some(marker @ VersionRow::Marker(_)) => txn.set_version(&bucket.name, key, marker)?,
        None => {}
    }
    if in_objects { txn.del_row(Table::Objects, key::object(&bucket.name, key)) } else { Ok(()) }
}
