//! Multipart uploads. An upload id is worth nothing without a grant for the very bucket and key it was made for.
//!
//! Whose the parts and the object are was decided when the upload was begun, whoever sends them and completes it: so it is that
//! owner's quota that they must stay inside.

use std::sync::Arc;

use crate::auth::Auth;
use crate::auth::action::Action;
use crate::auth::grant::Grant;
use crate::base::checksum::{Checksum, ChecksumAlgorithm, ChecksumType};
use crate::base::conditions::WriteConditions;
use crate::base::encryption::CustomerKey;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::UploadId;
use crate::base::object::{Upload, UploadedPart};
use crate::base::object_ref::ObjectRef;
use crate::base::timestamp::Timestamp;
use crate::ingest::Received;
use crate::ops::changes::What;
use crate::ops::deed::Act;
use crate::ops::transfers::End;
use crate::ops::write::{GrantedLock, NewObject};
use crate::ops::{Ops, object};
use crate::origin::{CompleteUpload, CompletedPart, Quota, Written};

/// What the client says of the whole when it completes.
pub struct Completion {
    pub parts: Vec<CompletedPart>,
    pub conditions: WriteConditions,
    pub checksum: Option<Checksum>,
    pub checksum_type: Option<ChecksumType>,
    pub size: Option<u64>,
    /// The client's, where it brought one.
    pub customer_key: Option<Arc<CustomerKey>>,
}

impl Ops {
    pub async fn create_upload(
        &self,
        grant: &Grant,
        new: NewObject,
        checksum: Option<(ChecksumAlgorithm, ChecksumType)>,
    ) -> Result<Upload> {
        let of @ ObjectRef { bucket, key, .. } = object(grant, &[Action::PutObject])?;
        let NewObject { acl, headers, tags, lock, encryption } = new;
        let (owner, _) = grant.becomes(&acl)?;
        self.require_storable(grant, &headers, &tags, &acl).await?;
        self.require_whole(of, &headers)?;
        let lock = self.lock_of_new(of, &lock, None).await?;
        let initiated = Timestamp::now();
        let upload = Upload {
            id: new_upload_id(initiated)?,
            bucket: bucket.clone(),
            key: key.clone(),
            owner: owner.clone(),
            initiated,
            acl,
            headers: self.kept_headers(headers),
            checksum,
            lock,
            tags,
            encryption,
            initiator: (owner != grant.tenant()).then(|| grant.tenant().clone()),
        };
        let upload = self.origin.uploads.create_upload(upload).await?;
        // A client's key is kept no longer than its request.
        let upload = Upload { encryption: upload.encryption.map(|of| of.without_key()), ..upload };
        self.transfers.begin_multipart(&upload);
        Ok(upload)
    }

    pub async fn upload(&self, grant: &Grant, id: &UploadId) -> Result<Upload> {
        let ObjectRef { bucket, key, .. } = object(grant, &[Action::PutObject, Action::ListMultipartUploadParts])?;
        self.origin.uploads.upload(bucket, key, id).await
    }

    pub async fn put_part(&self, grant: &Grant, auth: &Auth, upload: &Upload, number: u16, received: Received) -> Result<UploadedPart> {
        object(grant, &[Action::PutObject])?;
        let put = self.origin.uploads.put_part(upload, number, received, auth.quota_of(&upload.owner)).await;
        put.inspect_err(|e| self.note_limit(e, Some(&upload.owner), Some(&upload.bucket)))
    }

    pub async fn list_parts(&self, grant: &Grant, upload: &Upload, after: u16, max: usize) -> Result<(Vec<UploadedPart>, bool)> {
        object(grant, &[Action::ListMultipartUploadParts])?;
        self.origin.uploads.parts(upload, after, max).await
    }

    pub async fn complete_upload(&self, grant: &Grant, auth: &Auth, id: UploadId, completion: Completion) -> Result<Written> {
        let of @ ObjectRef { bucket, key, .. } = object(grant, &[Action::PutObject])?;
        let default_retention = self.lock_of_new(of, &GrantedLock::default(), Some(Timestamp::now())).await?.retention;
        let upload = match self.origin.uploads.upload(bucket, key, &id).await {
            Ok(upload) => Some(upload),
            // Completed before, or never there: nothing will be written. No other upload ever gets this id.
            Err(e) if e.kind() == ErrorKind::NoSuchUpload => None,
            Err(e) => return Err(e),
        };
        let quota = upload.as_ref().map_or_else(Quota::default, |upload| auth.quota_of(&upload.owner));
        let Completion { parts, conditions, checksum, checksum_type, size, customer_key } = completion;
        let (bucket, key) = (bucket.clone(), key.clone());
        let complete =
            CompleteUpload { bucket, key, upload: id, parts, conditions, checksum, checksum_type, size, default_retention, customer_key };
        let writes = self.origin.writes.clone();
        let written =
            self.told(grant, What::Content, Act::CompleteUpload, async move { writes.complete_upload(complete, quota).await }).await;
        let owner = upload.as_ref().map(|upload| &upload.owner);
        let written = written.inspect_err(|e| self.note_limit(e, owner, grant.bucket()))?;
        if let Some(upload) = upload {
            self.transfers.end_multipart(&upload, End::Taken(written.object.clone()));
        }
        Ok(written)
    }

    pub async fn abort_upload(&self, grant: &Grant, id: &UploadId) -> Result<()> {
        let ObjectRef { bucket, key, .. } = object(grant, &[Action::AbortMultipartUpload])?;
        let upload = self.origin.uploads.upload(bucket, key, id).await;
        self.origin.uploads.abort_upload(bucket, key, id).await?;
        if let Ok(upload) = upload {
            self.transfers.end_multipart(&upload, End::Aborted);
        }
        Ok(())
    }
}

/// When it was begun, so that uploads of one key are listed in that order, and 32 random characters, which can't be guessed.
pub(super) fn new_upload_id(initiated: Timestamp) -> Result<UploadId> {
    let mut random = [0u8; 16];
    getrandom::fill(&mut random).map_err(|e| Error::internal(e.to_string()))?;
    UploadId::parse(&format!("{:012x}{}", initiated.millis(), hex::encode(random)))
}
