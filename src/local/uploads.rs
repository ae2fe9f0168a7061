//! Multipart uploads up to their completion: created, filled with parts, listed, aborted. See `complete` for the end.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::base::crypt::{DataKey, PartKey, Place};
use crate::base::digest::Md5;
use crate::base::encryption::Encryption;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::etag::ETag;
use crate::base::limits::MAX_PARTS;
use crate::base::names::{BucketName, ObjectKey, UploadId, no_such_upload};
use crate::base::object::{Upload, UploadedPart};
use crate::index::Walk;
use crate::ingest::Received;
use crate::local::encrypt;
use crate::local::locks::require_room_for;
use crate::local::objects::drop_blocking;
use crate::local::rows::{DropKind, PartRow, Table, UploadRow, key};
use crate::local::shared::Shared;
use crate::local::stored;
use crate::local::txn::{Txn, Value, no_such_bucket};
use crate::origin::Quota;

impl Shared {
    pub async fn create_upload(&self, upload: Upload) -> Result<Upload> {
        encrypt::require_key(upload.encryption.as_ref())?;
        let envelope = match &upload.encryption {
            Some(of) => {
                let place = Place::of_upload(&upload.bucket, &upload.key, &upload.id);
                Some(self.ring.load().wrap(of, &DataKey::new()?, &place)?)
            }
            None => None,
        };
        let key = encrypt::key_id(upload.encryption.as_ref());
        let create = move |txn: &mut Txn<'_>| {
            let bucket = txn.require_bucket(&upload.bucket)?;
            // The object may be long in coming; what is asked for it must be possible now.
            require_room_for(&bucket, upload.lock)?;
            let row_key = key::upload(&upload.bucket, &upload.key, upload.id.as_str());
            let row = UploadRow { upload, key, envelope };
            txn.set_row(Table::Uploads, row_key, &row)?;
            Ok(row.upload)
        };
        self.queue.submit(create).await
    }

    pub async fn upload(self: &Arc<Self>, bucket: &BucketName, key: &ObjectKey, id: &UploadId) -> Result<Upload> {
        if self.buckets.get(bucket.as_str()).is_none() {
            return Err(no_such_bucket());
        }
        let (shared, row_key) = (self.clone(), key::upload(bucket, key, id.as_str()));
        let row = spawn_blocking(move || shared.upload_row(&row_key)).await.map_err(Error::internal)??;
        Ok(row.upload)
    }

    /// Blocks.
    fn upload_row(&self, row_key: &[u8]) -> Result<UploadRow> {
        self.index()?.get(Table::Uploads, row_key)?.map(|b| stored::decode(&b)).transpose()?.ok_or_else(no_such_upload)
    }

    pub async fn put_part(self: &Arc<Self>, upload: &Upload, number: u16, received: Received, quota: Quota) -> Result<UploadedPart> {
        self.health.require_room(&self.layout, self.settings.reserve_bytes)?;
        check_part(upload, number, &received)?;
        let of = upload.encryption.as_ref();
        let (md5, customer) = (received.named_md5()?, of.and_then(Encryption::customer_key).cloned());
        let (shows_md5, sha256) = (Encryption::shows_md5(of), received.sha256);
        let Received { size, checksum, content, .. } = received;
        let upload_key = key::upload(&upload.bucket, &upload.key, upload.id.as_str());
        let (shared, row_key) = (self.clone(), upload_key.clone());
        let place = move || {
            let row = shared.upload_row(&row_key)?;
            let (scope, under) = (row.scope(), shared.unlock_upload(&row, customer.as_ref())?);
            let (content, data_key) = shared.brought_under(content, under.is_some())?;
            let placed = shared.place_part(&scope, content)?;
            // A part that is sent again has the ETag that it had.
            let etag = match &under {
                Some(under) if !shows_md5 => Md5(under.tag_of(sha256.digest())?),
                _ => md5,
            };
            let part_key = match (under, data_key) {
                (Some(under), Some(data_key)) => Some(PartKey::wrap(&under, number, placed.id(), &data_key)?),
                _ => None,
            };
            Ok((placed, scope.key, part_key, ETag::single(etag)))
        };
        let (mut placed, of_key, part_key, etag) = spawn_blocking(place).await.map_err(Error::internal)??;
        let upload = upload.clone();
        let put = move |txn: &mut Txn<'_>| {
            let there: Option<UploadRow> = txn.get_row(Table::Uploads, &upload_key)?;
            if there.is_none() {
                return Err(no_such_upload());
            }
            let row_key = key::part(upload.id.as_str(), number);
            let old: Option<PartRow> = txn.get_row(Table::Parts, &row_key)?;
            let replaced = old.as_ref().map_or(0, |o| i128::from(o.part.size));
            txn.check_quota(&upload.owner, &quota, i128::from(size) - replaced, 0)?;
            if let Some(old) = old {
                txn.drop_later(&old.scope(), DropKind::Part, old.file)?;
            }
            let part = UploadedPart { number, size, etag, modified: txn.now(), checksum };
            txn.set_row(
                Table::Parts,
                row_key,
                &PartRow { part: part.clone(), owner: upload.owner.clone(), key: of_key, file: placed.id(), part_key },
            )?;
            placed.handed_over();
            Ok((part, placed))
        };
        let (part, placed) = self.queue.submit(put).await?;
        placed.settled().into_iter().for_each(drop_blocking);
        Ok(part)
    }

    pub async fn parts(self: &Arc<Self>, upload: &Upload, after: u16, max: usize) -> Result<(Vec<UploadedPart>, bool)> {
        let Some(first) = after.checked_add(1) else { return Ok((Vec::new(), false)) };
        let (shared, id) = (self.clone(), upload.id.clone());
        let read = move || {
            let prefix = key::joined(id.as_str(), "");
            let (mut parts, mut more) = (Vec::new(), false);
            shared.index()?.scan(Table::Parts, &key::part(id.as_str(), first), &mut |k, v| {
                if !k.starts_with(&prefix) {
                    return Ok(Walk::Stop);
                }
                if parts.len() >= max {
                    more = true;
                    return Ok(Walk::Stop);
                }
                parts.push(stored::decode::<PartRow>(v)?.part);
                Ok(Walk::Next)
            })?;
            Ok((parts, more))
        };
        spawn_blocking(read).await.map_err(Error::internal)?
    }

    pub async fn abort_upload(&self, bucket: &BucketName, key: &ObjectKey, id: &UploadId) -> Result<()> {
        let row_key = key::upload(bucket, key, id.as_str());
        let bucket = bucket.clone();
        let abort = move |txn: &mut Txn<'_>| {
            txn.require_bucket(&bucket)?;
            let row: UploadRow = txn.get_row(Table::Uploads, &row_key)?.ok_or_else(no_such_upload)?;
            remove(txn, &row.upload)
        };
        self.queue.submit(abort).await
    }
}

fn check_part(upload: &Upload, number: u16, received: &Received) -> Result<()> {
    if number == 0 || number > MAX_PARTS {
        return Err(Error::new(ErrorKind::InvalidArgument, "Part number must be an integer between 1 and 10000, inclusive."));
    }
    if let (Some((expected, _)), Some(checksum)) = (&upload.checksum, &received.checksum)
        && *expected != checksum.algorithm
    {
        let (expected, actual) = (expected.name().to_lowercase(), checksum.algorithm.name().to_lowercase());
        let text = format!("Checksum Type mismatch occurred, expected checksum Type: {expected}, actual checksum Type: {actual}");
        return Err(Error::new(ErrorKind::InvalidRequest, text));
    }
    Ok(())
}

/// All parts of an upload, by number.
pub fn all_parts(txn: &Txn<'_>, id: &UploadId) -> Result<Vec<PartRow>> {
    let rows = txn.rows_with_prefix(Table::Parts, &key::joined(id.as_str(), ""), usize::from(MAX_PARTS) + 1)?;
    rows.into_iter()
        .map(|(_, value)| match value {
            Value::Bytes(bytes) => stored::decode(&bytes),
            _ => Err(Error::internal("a row of another kind")),
        })
        .collect()
}

/// The upload and its parts go; the files later.
pub fn remove(txn: &mut Txn<'_>, upload: &Upload) -> Result<()> {
    for row in all_parts(txn, &upload.id)? {
        txn.del_row(Table::Parts, key::part(upload.id.as_str(), row.part.number))?;
        txn.drop_later(&row.scope(), DropKind::Part, row.file)?;
    }
    txn.del_row(Table::Uploads, key::upload(&upload.bucket, &upload.key, upload.id.as_str()))
}
