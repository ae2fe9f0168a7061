//! Reads of one version by its id or its generation, wherever it stands, and of delete markers. Blocking reads of the index.
//!
//! The current version has a way of its own (`reads`), with a cache. These ask the index each time.
//! A version moves between the two tables when the one after it comes or goes: who does not find it looks once more.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::base::error::{Error, Result};
use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::SharedObject;
use crate::base::object_ref::{ObjectRef, VersionId, VersionSelector, only_null};
use crate::base::tags::Tags;
use crate::base::versions::{Marker, Versioning};
use crate::index::{Index, Walk};
use crate::local::hot::Entry;
use crate::local::reads::{TRIES, entry_from, parts_missing};
use crate::local::rows::{ObjectRow, Table, VersionRow, generation_of, key};
use crate::local::shared::Shared;
use crate::local::stored;
use crate::local::txn::no_such_bucket;

/// As often as it can have moved meanwhile, and still be found.
const LOOKS: usize = 2;

impl Shared {
    /// None: there is no such version, or it is a delete marker.
    pub async fn stat_exact(self: &Arc<Self>, of: ObjectRef<'_>, id: &VersionId) -> Result<Option<SharedObject>> {
        if let Some(entry) = self.hot.get(of.bucket, of.key).filter(|e| e.info.version == *id) {
            return Ok(Some(entry.info.clone()));
        }
        let bucket = self.buckets.get(of.bucket.as_str()).ok_or_else(no_such_bucket)?;
        if bucket.versioning() == Versioning::Never {
            only_null(of)?;
        }
        let (shared, bucket, key, id) = (self.clone(), of.bucket.clone(), of.key.clone(), id.clone());
        let look = move || {
            let index = shared.index()?;
            for _ in 0..TRIES {
                let Some(VersionRow::Object(row)) = by_id(&index, &bucket, &key, &id)? else { return Ok(None) };
                if let Some(entry) = entry_from(&index, &bucket, &key, &row)? {
                    return Ok(Some(entry.info.clone()));
                }
            }
            Err(parts_missing())
        };
        spawn_blocking(look).await.map_err(Error::internal)?
    }

    /// A version by its generation, from memory where it is the current one.
    pub async fn entry_of(self: &Arc<Self>, bucket: &BucketName, key: &ObjectKey, generation: u64) -> Result<Option<Arc<Entry>>> {
        if let Some(entry) = self.entry(bucket, key).await?.filter(|e| e.info.generation == generation) {
            return Ok(Some(entry));
        }
        let (shared, bucket, key) = (self.clone(), bucket.clone(), key.clone());
        spawn_blocking(move || shared.load_version(&bucket, &key, generation)).await.map_err(Error::internal)?
    }

    /// Blocks.
    pub fn load_version(&self, bucket: &BucketName, key: &ObjectKey, generation: u64) -> Result<Option<Arc<Entry>>> {
        let index = self.index()?;
        for _ in 0..TRIES {
            let Some(row) = by_generation(&index, bucket, key, generation)? else { return Ok(None) };
            if let Some(entry) = entry_from(&index, bucket, key, &row)? {
                return Ok(Some(Arc::new(entry)));
            }
        }
        Err(parts_missing())
    }

    /// Read from the row: what is hot has only their number. None: that version is gone.
    pub async fn tags(self: &Arc<Self>, of: ObjectRef<'_>, generation: u64) -> Result<Option<Tags>> {
        let (shared, bucket, key) = (self.clone(), of.bucket.clone(), of.key.clone());
        let look = move || Ok(by_generation(&*shared.index()?, &bucket, &key, generation)?.map(|row| row.tail.tags.clone()));
        spawn_blocking(look).await.map_err(Error::internal)?
    }

    /// The delete marker that is meant: that of the id, or the one that hides the key.
    pub async fn marker(self: &Arc<Self>, of: ObjectRef<'_>) -> Result<Option<Marker>> {
        let bucket = self.buckets.get(of.bucket.as_str()).ok_or_else(no_such_bucket)?;
        if bucket.versioning() == Versioning::Never {
            return only_null(of).map(|()| None);
        }
        let (shared, name) = (self.clone(), of.to_owned());
        let look = move || {
            let index = shared.index()?;
            let row = match name.object().version {
                VersionSelector::Exact(id) => by_id(&index, &name.bucket, &name.key, id)?,
                VersionSelector::Current => newest(&index, &name.bucket, &name.key)?,
            };
            Ok(row.and_then(|row| row.marker().map(|marker| marker.marker())))
        };
        spawn_blocking(look).await.map_err(Error::internal)?
    }
}

fn by_generation(index: &Index, bucket: &BucketName, key: &ObjectKey, generation: u64) -> Result<Option<Arc<ObjectRow>>> {
    for _ in 0..LOOKS {
        if let Some(row) = current(index, bucket, key)?.filter(|row| row.tail.generation == generation) {
            return Ok(Some(Arc::new(row)));
        }
        if let Some(row) = index.get(Table::Versions, &key::version(bucket, key, generation))? {
            return Ok(stored::decode::<VersionRow>(&row)?.object().cloned());
        }
    }
    Ok(None)
}

fn by_id(index: &Index, bucket: &BucketName, key: &ObjectKey, id: &VersionId) -> Result<Option<VersionRow>> {
    for _ in 0..LOOKS {
        if let Some(row) = current(index, bucket, key)?.filter(|row| row.id() == *id) {
            return Ok(Some(VersionRow::Object(Arc::new(row))));
        }
        let generation = match id {
            VersionId::Null => null_generation(index, bucket, key)?,
            VersionId::Named(name) => generation_of(name),
        };
        let Some(generation) = generation else { continue };
        if let Some(row) = index.get(Table::Versions, &key::version(bucket, key, generation))? {
            return Ok(Some(stored::decode::<VersionRow>(&row)?).filter(|row| row.id() == *id));
        }
    }
    Ok(None)
}

pub fn current(index: &Index, bucket: &BucketName, key: &ObjectKey) -> Result<Option<ObjectRow>> {
    index.get(Table::Objects, &key::object(bucket, key))?.map(|row| stored::decode(&row)).transpose()
}

/// Of a null version that stands in `Versions`.
pub fn null_generation(index: &Index, bucket: &BucketName, key: &ObjectKey) -> Result<Option<u64>> {
    index.get(Table::NullVersions, &key::object(bucket, key))?.map(|row| stored::decode(&row)).transpose()
}

/// What the key shows: a version, or the marker that hides it.
pub fn newest(index: &Index, bucket: &BucketName, key: &ObjectKey) -> Result<Option<VersionRow>> {
    if let Some(row) = current(index, bucket, key)? {
        return Ok(Some(VersionRow::Object(Arc::new(row))));
    }
    let prefix = key::versions(bucket, key);
    let mut first = None;
    index.scan(Table::Versions, &prefix, &mut |row_key, row| {
        if row_key.starts_with(&prefix) {
            first = Some(stored::decode::<VersionRow>(row)?);
        }
        Ok(Walk::Stop)
    })?;
    Ok(first)
}
