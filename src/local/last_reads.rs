//! When objects were read last: rows of `Meta`, since what is not noted can't be found again.
//!
//! A row holds the end of the day that its object was read in, so a key costs one write a day, however often it is read. A row of a key
//! that is gone harms nothing; what is too old to matter is forgotten. Called by `ops::lifecycle::reads` alone.

use tokio::task::spawn_blocking;

use crate::base::error::{Error, Result};
use crate::base::names::{BucketName, ObjectKey};
use crate::base::timestamp::Timestamp;
use crate::index::Walk;
use crate::local::open::Local;
use crate::local::rows::{Table, key};
use crate::local::shared::Shared;
use crate::local::stored;
use crate::local::txn::Txn;
use crate::origin::{LastReads, Pending};

/// What keys of these rows begin with in `Meta`; then `bucket NUL key`.
const READ: &[u8] = b"read\0";

/// Their row keys, and where to go on.
type OldReads = (Vec<Vec<u8>>, Option<Vec<u8>>);

fn row_key(bucket: &BucketName, key: &ObjectKey) -> Vec<u8> {
    [READ, &key::object(bucket, key)].concat()
}

impl Shared {
    fn last_read(&self, row_key: &[u8]) -> Result<Option<Timestamp>> {
        let row = self.index()?.get(Table::Meta, row_key)?;
        row.map(|row| Ok(Timestamp::from_millis(stored::decode::<u64>(&row)?))).transpose()
    }

    /// Rows of before `before` among the next `max`, and where the walk ended. Blocks.
    fn old_reads(&self, before: Timestamp, after: &[u8], max: usize) -> Result<OldReads> {
        let from = if after.is_empty() { READ.to_vec() } else { [after, &[0]].concat() };
        let (mut old, mut last, mut read) = (Vec::new(), None, 0);
        self.index()?.scan(Table::Meta, &from, &mut |row_key, row| {
            if !row_key.starts_with(READ) {
                last = None;
                return Ok(Walk::Stop);
            }
            if read == max {
                return Ok(Walk::Stop);
            }
            read += 1;
            last = Some(row_key.to_vec());
            if stored::decode::<u64>(row)? < before.millis() {
                old.push(row_key.to_vec());
            }
            Ok(Walk::Next)
        })?;
        Ok((old, last.filter(|_| read == max)))
    }
}

impl LastReads for Local {
    fn keep_reads(&self, reads: Vec<(BucketName, ObjectKey, Timestamp)>) -> Pending<'_, ()> {
        let keep = move |txn: &mut Txn<'_>| {
            for (bucket, key, until) in &reads {
                let row_key = row_key(bucket, key);
                let before: Option<u64> = txn.get_row(Table::Meta, &row_key)?;
                if before.is_none_or(|before| before < until.millis()) {
                    txn.set_row(Table::Meta, row_key, &until.millis())?;
                }
            }
            Ok(())
        };
        Box::pin(self.shared.queue.submit(keep))
    }

    fn last_read<'a>(&'a self, bucket: &'a BucketName, key: &'a ObjectKey) -> Pending<'a, Option<Timestamp>> {
        let (shared, row_key) = (self.shared.clone(), row_key(bucket, key));
        Box::pin(async move { spawn_blocking(move || shared.last_read(&row_key)).await.map_err(Error::internal)? })
    }

    fn forget_reads<'a>(&'a self, before: Timestamp, after: &'a [u8], max: usize) -> Pending<'a, Option<Vec<u8>>> {
        let (shared, after) = (self.shared.clone(), after.to_vec());
        Box::pin(async move {
            let walking = shared.clone();
            let (old, next) = spawn_blocking(move || walking.old_reads(before, &after, max)).await.map_err(Error::internal)??;
            if old.is_empty() {
                return Ok(next);
            }
            let forget = move |txn: &mut Txn<'_>| {
                for row_key in old {
                    // It may have been read meanwhile.
                    if txn.get_row::<u64>(Table::Meta, &row_key)?.is_some_and(|until| until < before.millis()) {
                        txn.del_row(Table::Meta, row_key)?;
                    }
                }
                Ok(())
            };
            shared.queue.submit(forget).await?;
            Ok(next)
        })
    }
}
