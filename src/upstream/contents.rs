//! Content that is upstream already is copied there instead of sent again.
//!
//! What this node wrote or saw is remembered by tenant and SHA-256, so many of the last ones: a hint, and a miss costs an upload.
//! Invariants: a body is spared only when its own bytes were hashed here; the upstream itself confirms, in one step with the copy,
//! that the object to copy still has the ETag that it had with this content; a tenant's content is copied from its own objects.

use std::sync::Arc;

use quick_cache::sync::Cache;

use crate::base::checksum::Checksum;
use crate::base::conditions::WriteConditions;
use crate::base::digest::{Sha256, VerifiedSha256};
use crate::base::error::Result;
use crate::base::etag::ETag;
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::object::ObjectInfo;
use crate::ingest::Content;
use crate::upstream::counting::Watch;
use crate::upstream::open::Inner;
use crate::upstream::write::{CopySource, Copying, Made, Sending, written};

/// Some 15 MB.
const REMEMBERED: usize = 50_000;

pub struct Contents(Cache<(TenantId, Sha256), Arc<KnownCopy>>);

struct KnownCopy {
    bucket: BucketName,
    key: ObjectKey,
    etag: ETag,
}

impl Default for Contents {
    fn default() -> Self {
        Contents(Cache::new(REMEMBERED))
    }
}

impl Contents {
    pub fn remember(&self, owner: &TenantId, sha256: &VerifiedSha256, bucket: &BucketName, key: &ObjectKey, etag: ETag) {
        let place = KnownCopy { bucket: bucket.clone(), key: key.clone(), etag };
        self.0.insert((owner.clone(), *sha256.digest()), Arc::new(place));
    }

    pub fn find(&self, owner: &TenantId, sha256: &Sha256) -> Option<(BucketName, ObjectKey)> {
        self.get(owner, sha256).map(|place| (place.bucket.clone(), place.key.clone()))
    }

    fn get(&self, owner: &TenantId, sha256: &Sha256) -> Option<Arc<KnownCopy>> {
        self.0.get(&(owner.clone(), *sha256))
    }
}

impl Inner {
    /// Whether a body with this hash may need no upload.
    pub fn may_copy(&self, owner: &TenantId, sha256: &Sha256, conditions: &WriteConditions) -> bool {
        // A copy's own conditions are not everywhere decided as those of a PUT are.
        let plain = conditions.is_empty();
        plain && self.abilities().conditional_copies && self.contents.get(owner, sha256).is_some()
    }

    /// None: the body must be sent.
    pub async fn put_by_copy(&self, sending: &Sending, watch: &Watch<'_>) -> Option<ObjectInfo> {
        let (owner, sha256) = (&sending.known.owner, sending.received.sha256);
        // Sending what fits memory costs no more than copying it.
        if matches!(sending.received.content, Content::Memory(_)) || !self.may_copy(owner, sha256.digest(), watch.conditions) {
            return None;
        }
        let there = self.contents.get(owner, sha256.digest())?;
        match self.copy_content(sending, watch, &there).await {
            Ok(copied) => copied,
            Err(e) => {
                tracing::debug!(error = %e, "content that was upstream once is sent again");
                self.contents.0.remove(&(owner.clone(), *sha256.digest()));
                None
            }
        }
    }

    async fn copy_content(&self, sending: &Sending, watch: &Watch<'_>, there: &KnownCopy) -> Result<Option<ObjectInfo>> {
        let place = self.place(&there.bucket).await?;
        let key = place.key(&there.key)?;
        if self.hidden_folder(&place, &key).await?.is_some() {
            return Ok(None);
        }
        let (known, received) = (sending.known.clone(), &sending.received);
        let sha256 = Some(received.sha256);
        let copying = Copying {
            source: CopySource { place, key, version: None },
            object: Arc::new(written(there.etag, received.size, &known, sending.headers.clone(), sha256, received.checksum.clone())),
            to: (sending.place.clone(), sending.key.clone()),
            headers: sending.headers.clone(),
            tags: Some(sending.tags.clone()),
            lock: sending.lock,
            encryption: sending.encryption.clone(),
            known,
            checksum: None,
        };
        let (held, ticket) = self.watched(watch).await?;
        let copied = ticket.end(self.copy_once(&copying, &held).await)?;
        // A copy has its source's checksum: where the client chose another, only the body itself gets it.
        let differs = |(its, ours): (&Checksum, &Checksum)| its.algorithm != ours.algorithm || its.parts == 0 && its != ours;
        if copied.size != received.size || copied.checksum.as_ref().zip(received.checksum.as_ref()).is_some_and(differs) {
            return Ok(None);
        }
        Ok(Some(sending.info(Made { etag: copied.etag, version: copied.version, encryption: copied.encryption })))
    }
}
