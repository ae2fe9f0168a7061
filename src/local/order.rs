//! What must hold between the versions of a key, proven as a walk over the log passes them (see `versions`). For fsck.
//!
//! Where a key has no row in `Objects`, its first row in `Versions` is a marker; all that is in `Versions` is older than what is in
//! `Objects`; only the newest is not noncurrent; a key has one null version at most. The derived row of that is compared too.

use crate::base::error::Result;
use crate::index::{Index, Walk};
use crate::local::rows::{ObjectRow, Table, VersionRow, key};
use crate::local::stored;

/// Rows come in order: what is remembered is of the key that was met last.
#[derive(Default)]
pub struct Order {
    object: Vec<u8>,
    has_null: bool,
    nulls: u64,
    differences: u64,
}

impl Order {
    /// The next row of `Versions`. Some: what can't be.
    pub fn next(&mut self, index: &Index, row_key: &[u8], row: &VersionRow) -> Result<Option<String>> {
        let (object, generation) = key::split_version(row_key)?;
        let (bucket, name) = key::split(object)?;
        let fault = |text: &str| Ok(Some(format!("{bucket}/{name}: {text}")));
        let is_first = self.object != object;
        let shown: Option<ObjectRow> = index.get(Table::Objects, object)?.map(|row| stored::decode(&row)).transpose()?;
        if is_first {
            self.object = object.to_vec();
            self.has_null = shown.as_ref().is_some_and(|row| !row.tail.standing.named);
        }
        if !row.standing().named {
            self.nulls += 1;
            let derived: Option<u64> = index.get(Table::NullVersions, object)?.map(|row| stored::decode(&row)).transpose()?;
            self.differences += u64::from(derived != Some(generation));
            if std::mem::replace(&mut self.has_null, true) {
                return fault("it has two null versions");
            }
        }
        if row.generation() != generation {
            return fault("a version lies at another's place");
        }
        if shown.as_ref().is_some_and(|row| row.tail.generation <= generation) {
            return fault("a version that is kept is newer than what is shown");
        }
        let is_newest = is_first && shown.is_none();
        if is_newest && row.marker().is_none() {
            return fault("its newest version is hidden, and no delete marker hides it");
        }
        if is_newest == row.standing().noncurrent_since.is_some() {
            return fault("a version does not say since when it is not the newest");
        }
        Ok(None)
    }

    /// Rows of the index that differ from what was met.
    pub fn differences(&self, index: &Index) -> Result<u64> {
        let mut rows = 0;
        index.scan(Table::NullVersions, b"", &mut |_, _| {
            rows += 1;
            Ok(Walk::Next)
        })?;
        Ok(self.differences + self.nulls.abs_diff(rows))
    }
}
