//! The listing of uploads in progress, without what is hidden from those who look at a bucket.
//!
//! As in `list`: the upstream groups before anything is hidden, so a common prefix that ends inside the name of a hidden folder takes
//! a look. A page's marker is the last name that the caller may see.

use aws_sdk_s3::operation::list_multipart_uploads::ListMultipartUploadsOutput;
use aws_sdk_s3::types::EncodingType;

use crate::base::error::{ErrorKind, Result};
use crate::base::lock::Lock;
use crate::base::names::{BucketName, ObjectKey, TenantId, UploadId};
use crate::base::object::{CannedAcl, ObjectHeaders, Upload};
use crate::base::tags::Tags;
use crate::origin::{UploadsPage, UploadsQuery};
use crate::upstream::buckets::{Made, no_such_bucket};
use crate::upstream::fault;
use crate::upstream::info;
use crate::upstream::multipart::{public_id, upstream_id};
use crate::upstream::open::Inner;
use crate::upstream::place::Place;

/// S3's page.
const MAX_UPLOADS_PAGE: usize = 1000;

impl Inner {
    /// Uploads of one key in the order in which they were begun, as S3 has it: here inside a page, since some list by id.
    pub async fn list_uploads(&self, bucket: &BucketName, query: &UploadsQuery) -> Result<UploadsPage> {
        let mut page = self.uploads_as_listed(bucket, query).await?;
        page.uploads.sort_by(|a, b| (&a.key, a.initiated).cmp(&(&b.key, b.initiated)));
        Ok(page)
    }

    /// A page ends where the upstream's does.
    async fn uploads_as_listed(&self, bucket: &BucketName, query: &UploadsQuery) -> Result<UploadsPage> {
        let owner = self.bucket(bucket).await?.ok_or_else(no_such_bucket)?.owner.clone();
        let place = self.place(bucket).await?;
        let made = self.made().await?;
        let mut page = UploadsPage::default();
        if query.max == 0 {
            return Ok(page);
        }
        let mut marker = Some(&query.key_marker).filter(|m| !m.is_empty()).map(|m| format!("{}{m}", place.prefix));
        let mut upload_marker =
            UploadId::parse(&query.upload_marker).ok().and_then(|id| upstream_id(&id).ok()).filter(|_| marker.is_some());
        loop {
            let left = query.max.min(MAX_UPLOADS_PAGE).saturating_sub(page.uploads.len() + page.common_prefixes.len());
            let list = self.client.list_multipart_uploads().bucket(&*place.bucket).prefix(format!("{}{}", place.prefix, query.prefix));
            let list = list
                .set_delimiter(Some(query.delimiter.clone()).filter(|d| !d.is_empty()))
                .set_key_marker(marker.take())
                .set_upload_id_marker(upload_marker.take())
                .max_uploads(i32::try_from(left).unwrap_or(1000))
                .encoding_type(EncodingType::Url);
            let got = list.send().await.map_err(fault::of)?;
            self.take_uploads(bucket, &place, &owner, &made, &got, &mut page).await?;
            if got.is_truncated() != Some(true) {
                return Ok(page);
            }
            let Some(next) = got.next_key_marker().map(|m| self.listed_name(got.encoding_type(), m)) else { return Ok(page) };
            let id = got.next_upload_id_marker().filter(|i| !i.is_empty());
            let hidden = match self.map.hidden_folder(&place, &next, |name| made.has(name)) {
                Some(folder) => Some(folder.to_owned()),
                // A common prefix that stands for what is hidden.
                None if id.is_none() && self.map.begins_hidden(&place, &next, |start| made.begins(start)) => Some(next.clone()),
                None => None,
            };
            match hidden {
                None => {
                    let id = id.map(public_id).transpose()?;
                    let key = next.strip_prefix(&*place.prefix).map(str::to_owned);
                    page.next = key.map(|key| (key, id.map(|i| i.to_string()).unwrap_or_default()));
                    return Ok(page);
                }
                // Its name must not be told: where the page goes on is said by what is on it.
                Some(_) if page.uploads.len() + page.common_prefixes.len() >= query.max.min(MAX_UPLOADS_PAGE) => {
                    page.next = last_of(&page);
                    return Ok(page);
                }
                Some(folder) => marker = Some(format!("{folder}{}", char::MAX)),
            }
        }
    }

    async fn take_uploads(
        &self,
        bucket: &BucketName,
        place: &Place,
        owner: &TenantId,
        made: &Made,
        got: &ListMultipartUploadsOutput,
        page: &mut UploadsPage,
    ) -> Result<()> {
        let decoded = |name: &str| self.listed_name(got.encoding_type(), name);
        let is_hidden = |full: &str| self.map.hidden_folder(place, full, |name| made.has(name)).is_some();
        for upload in got.uploads() {
            let (Some(full), Some(id)) = (upload.key().map(decoded), upload.upload_id()) else { continue };
            let Some(key) = full.strip_prefix(&*place.prefix).and_then(|k| ObjectKey::parse(k).ok()) else { continue };
            if is_hidden(&full) {
                continue;
            }
            let id = public_id(id)?;
            let recorded = match self.recorded_upload(bucket, &key, &id).await {
                Ok(recorded) => Some(recorded.upload.clone()),
                Err(e) if e.kind() == ErrorKind::NoSuchUpload => None,
                Err(e) => return Err(e),
            };
            // One that was begun beside the gateway: the bucket owner's.
            page.uploads.push(recorded.unwrap_or_else(|| Upload {
                id,
                bucket: bucket.clone(),
                key,
                owner: owner.clone(),
                initiated: info::timestamp(upload.initiated()),
                acl: CannedAcl::Private.into(),
                headers: ObjectHeaders::default(),
                lock: Lock::default(),
                tags: Tags::default(),
                encryption: None,
                checksum: None,
                initiator: None,
            }));
        }
        for full in got.common_prefixes().iter().filter_map(|c| c.prefix()).map(decoded) {
            let Some(common) = full.strip_prefix(&*place.prefix) else { continue };
            if is_hidden(&full) {
                continue;
            }
            if self.map.begins_hidden(place, &full, |start| made.begins(start)) {
                let below = UploadsQuery { prefix: common.to_owned(), max: 1, ..UploadsQuery::default() };
                if Box::pin(self.uploads_as_listed(bucket, &below)).await?.uploads.is_empty() {
                    continue;
                }
            }
            page.common_prefixes.push(common.to_owned());
        }
        Ok(())
    }
}

/// Where a page ends, by what is on it.
fn last_of(page: &UploadsPage) -> Option<(String, String)> {
    let upload = page.uploads.last().map(|u| (u.key.as_str().to_owned(), u.id.to_string()));
    let common = page.common_prefixes.last().map(|common| (common.clone(), String::new()));
    upload.max(common)
}
