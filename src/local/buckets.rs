//! Buckets: made, changed, deleted. Reads come from memory (`Shared::buckets`).

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::MAX_BUCKETS_PER_TENANT;
use crate::base::names::{BucketName, TenantId};
use crate::base::object::{Acl, Bucket, BucketDocument, SharedBucket};
use crate::base::versions::Versioning;
use crate::local::rows::{Table, UploadRow, key};
use crate::local::shared::Shared;
use crate::local::stored;
use crate::local::txn::{Txn, Value, no_such_bucket};
use crate::local::uploads;

impl Shared {
    pub fn list_buckets(&self, owner: Option<&TenantId>, prefix: &str, after: &str, max: usize) -> Vec<SharedBucket> {
        let all = self.buckets.all();
        let start = if after >= prefix { std::ops::Bound::Excluded(after) } else { std::ops::Bound::Included(prefix) };
        all.range::<str, _>((start, std::ops::Bound::Unbounded))
            .map(|(_, bucket)| bucket)
            .take_while(|bucket| bucket.name.as_str().starts_with(prefix))
            .filter(|bucket| owner.is_none_or(|o| bucket.owner == *o))
            .take(max)
            .cloned()
            .collect()
    }

    pub async fn create_bucket(&self, mut bucket: Bucket) -> Result<SharedBucket> {
        // Buckets made in the same instant may pass together: the bound keeps memory small, exactness buys nothing.
        let owned = self.buckets.all().values().filter(|b| b.owner == bucket.owner).count();
        let create = move |txn: &mut Txn<'_>| {
            if let Some(there) = txn.bucket(&bucket.name)? {
                return Err(if there.owner == bucket.owner {
                    let text = "Your previous request to create the named bucket succeeded and you already own it.";
                    Error::new(ErrorKind::BucketAlreadyOwnedByYou, text)
                } else {
                    let text = "The requested bucket name is not available. Please select a different name and try again.";
                    Error::new(ErrorKind::BucketAlreadyExists, text)
                });
            }
            if owned >= MAX_BUCKETS_PER_TENANT {
                return Err(Error::new(ErrorKind::QuotaExceeded, "You have attempted to create more buckets than allowed."));
            }
            bucket.generation = txn.next_generation();
            txn.set_bucket(bucket.clone())?;
            Ok(SharedBucket::new(bucket))
        };
        self.queue.submit(create).await
    }

    /// Uploads in progress are aborted one by one first, so that no single batch grows with their number.
    pub async fn delete_bucket(&self, name: &BucketName) -> Result<()> {
        loop {
            let name = name.clone();
            let step = move |txn: &mut Txn<'_>| {
                txn.require_bucket(&name)?;
                let prefix = key::joined(name.as_str(), "");
                if !txn.rows_with_prefix(Table::Objects, &prefix, 1)?.is_empty() {
                    return Err(Error::new(ErrorKind::BucketNotEmpty, "The bucket you tried to delete is not empty."));
                }
                if !txn.rows_with_prefix(Table::Versions, &prefix, 1)?.is_empty() {
                    let text = "The bucket you tried to delete is not empty. You must delete all versions in the bucket.";
                    return Err(Error::new(ErrorKind::BucketNotEmpty, text));
                }
                if let Some((_, Value::Bytes(row))) = txn.rows_with_prefix(Table::Uploads, &prefix, 1)?.first() {
                    let row: UploadRow = stored::decode(row)?;
                    uploads::remove(txn, &row.upload)?;
                    return Ok(false);
                }
                txn.del_row(Table::Buckets, key::bucket(&name))?;
                Ok(true)
            };
            if self.queue.submit(step).await? {
                return Ok(());
            }
        }
    }

    pub async fn set_bucket_document(&self, name: &BucketName, document: BucketDocument, value: Option<Vec<u8>>) -> Result<()> {
        self.change_bucket(name, move |bucket| {
            let locks_were = bucket.documents.contains_key(&BucketDocument::ObjectLock);
            let versions_were = bucket.versioning() != Versioning::Never;
            match value {
                Some(value) => bucket.documents.insert(document, value),
                None => bucket.documents.remove(&document),
            };
            keeps_its_word(bucket, versions_were, locks_were)
        })
        .await
    }

    pub async fn set_bucket_acl(&self, name: &BucketName, acl: Acl) -> Result<()> {
        self.change_bucket(name, move |bucket| {
            bucket.acl = acl;
            Ok(())
        })
        .await
    }

    async fn change_bucket(&self, name: &BucketName, change: impl FnOnce(&mut Bucket) -> Result<()> + Send + 'static) -> Result<()> {
        let name = name.clone();
        let change = move |txn: &mut Txn<'_>| {
            let mut bucket = Bucket::clone(&*txn.bucket(&name)?.ok_or_else(no_such_bucket)?);
            change(&mut bucket)?;
            bucket.generation = txn.next_generation();
            txn.set_bucket(bucket)
        };
        self.queue.submit(change).await
    }
}

/// What was promised for good: versions that are kept are kept on, and a bucket that locks them keeps them all.
fn keeps_its_word(bucket: &Bucket, versions_were: bool, locks_were: bool) -> Result<()> {
    let locks = bucket.documents.contains_key(&BucketDocument::ObjectLock);
    let text = match bucket.versioning() {
        Versioning::Never if versions_were => "A bucket that kept versions keeps those that it has: versioning can only be suspended.",
        Versioning::Never | Versioning::Suspended if locks => {
            "Versioning must be 'Enabled' on a bucket with an Object Lock configuration, so the versioning state cannot be changed."
        }
        _ if locks_were && !locks => "Object Lock can't be turned off once it is on.",
        _ => return Ok(()),
    };
    Err(Error::new(ErrorKind::InvalidBucketState, text))
}
