//! An S3 that is only looked at: the old store that a bucket grew out of. Nothing here writes, so nothing is tried out there
//! either: conditions of reads are checked on each answer.
//!
//! Called by `ops::shadow`. What is there belongs, here, to who owns the gateway's bucket, and is private: who may read it is the
//! gateway's to say.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_s3::types::ServerSideEncryption;
use bytes::Bytes;

use crate::base::digest::Md5;
use crate::base::error::Result;
use crate::base::lock::Lock;
use crate::base::names::{ObjectKey, TenantId};
use crate::base::object::{CannedAcl, Layer, ListPage, ListQuery, ObjectInfo, SharedObject};
use crate::base::object_ref::VersionId;
use crate::base::range::ByteRange;
use crate::base::tags::Tags;
use crate::origin::Body;
use crate::upstream::body::{UpstreamBody, Version};
use crate::upstream::buckets::Made;
use crate::upstream::client::Access;
use crate::upstream::fault;
use crate::upstream::info;
use crate::upstream::open::Inner;
use crate::upstream::place::Place;
use crate::upstream::settings::Settings as UpstreamSettings;
use crate::upstream::tags::told_tags;

/// A HEAD does not tell a key that is not there from a bucket that is not. So the bucket is asked for, at most this often.
const BUCKET_SEEN: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Default)]
pub struct Settings {
    pub access: Access,
    pub bucket: String,
    /// Before each key there.
    pub prefix: String,
}

pub struct OldStore {
    inner: Arc<Inner>,
    place: Place,
    /// In the names of its versions, so that none of them is taken for one of another store.
    name: String,
    seen: Mutex<Option<Instant>>,
}

/// What the old store has under a key.
#[derive(Debug, Clone)]
pub struct OldObject {
    pub object: SharedObject,
    /// Of the body; None: the ETag is something else.
    pub md5: Option<Md5>,
    /// The ETag can't be computed from the bytes.
    pub is_opaque: bool,
}

impl OldStore {
    /// Asks nothing yet. `secret`: the operator's; where another gateway of the same secret wrote there, what it sealed opens.
    pub async fn new(settings: Settings, secret: &[u8]) -> Result<Self> {
        let Settings { access, bucket, prefix } = settings;
        let name = format!("shadow\n{}\n{bucket}", access.endpoint.as_deref().unwrap_or_default());
        let place = Place { bucket: bucket.as_str().into(), prefix: prefix.as_str().into() };
        let settings = UpstreamSettings { access, bucket, base_prefix: prefix, ..UpstreamSettings::default() };
        let inner = Arc::new(Inner::to_read(settings, secret).await?);
        Ok(OldStore { inner, place, name, seen: Mutex::default() })
    }

    /// `owner`: of the gateway's bucket.
    pub async fn stat(&self, key: &ObjectKey, owner: &TenantId) -> Result<Option<OldObject>> {
        // Too long for a key there: it can't be.
        let Ok(full) = self.place.key(key) else { return Ok(None) };
        if self.is_hidden(&full) {
            return Ok(None);
        }
        let Some(head) = self.inner.head(&self.place.bucket, &full).await? else {
            self.require_bucket().await?;
            return Ok(None);
        };
        self.saw();
        let info = self.inner.info(&self.place.bucket, &full, owner, &head)?;
        let by_kms = matches!(head.server_side_encryption(), Some(ServerSideEncryption::AwsKms | ServerSideEncryption::AwsKmsDsse));
        let is_opaque = by_kms || head.sse_customer_algorithm().is_some() || info.etag.md5().is_none();
        let md5 = info.etag.md5().copied().filter(|_| !is_opaque && info.etag.parts().is_none());
        let generation = self.generation(key, &info);
        // Its versions and locks are not brought here.
        let (version, lock) = (VersionId::Null, Lock::default());
        let object =
            ObjectInfo { generation, owner: owner.clone(), acl: CannedAcl::Private.into(), version, lock, layer: Layer::Old, ..info };
        Ok(Some(OldObject { object: Arc::new(object), md5, is_opaque }))
    }

    /// None: that version is not there any more.
    pub async fn open(&self, key: &ObjectKey, object: &SharedObject, range: ByteRange) -> Result<Option<Body>> {
        if range.start >= range.end {
            return Ok(Some(Body::Memory(Bytes::new())));
        }
        let full = self.place.key(key)?.into();
        let (inner, bucket) = (self.inner.clone(), self.place.bucket.clone());
        let version = Version { inner, bucket, key: full, named: None, etag: object.etag, size: object.size, unlock: None };
        let first = version.get(range).await?;
        Ok(first.map(|first| Body::Stream(Box::pin(UpstreamBody::new(version, range, first)))))
    }

    pub async fn with_parts(&self, key: &ObjectKey, object: &SharedObject) -> Result<SharedObject> {
        self.inner.parts_at(&self.place.bucket, &self.place.key(key)?, None, object).await
    }

    /// None where that store can't tell them, or not to us: then a copy has none.
    pub async fn tags(&self, key: &ObjectKey) -> Result<Tags> {
        let full = self.place.key(key)?;
        match self.inner.reader.get_object_tagging().bucket(&*self.place.bucket).key(full).send().await {
            Ok(told) => Ok(told_tags(&told)),
            Err(e) if fault::status(&e).is_some_and(|status| status < 500 && status != 429 || status == 501) => {
                tracing::debug!(error = %fault::of(e), %key, "the old store does not tell the tags of an object");
                Ok(Tags::default())
            }
            Err(e) => Err(fault::of(e)),
        }
    }

    pub async fn list(&self, owner: &TenantId, query: &ListQuery) -> Result<ListPage> {
        let page = self.inner.list_place(&self.place, owner, query, &Made::none()).await?;
        self.saw();
        Ok(page)
    }

    /// The state of a gateway that stood over it.
    fn is_hidden(&self, full: &str) -> bool {
        self.inner.map.hidden_folder(&self.place, full, |_| false).is_some()
    }

    fn generation(&self, key: &ObjectKey, object: &ObjectInfo) -> u64 {
        info::generation(&self.name, key.as_str(), &object.etag.to_string(), object.modified, None)
    }

    async fn require_bucket(&self) -> Result<()> {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.is_none_or(|at| at.elapsed() > BUCKET_SEEN) {
            self.inner.reader.head_bucket().bucket(&*self.place.bucket).send().await.map_err(fault::of)?;
            self.saw();
        }
        Ok(())
    }

    fn saw(&self) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}
