//! Reads: HEAD says which version there is, GET with If-Match gives bytes of exactly that one. A first read asks both at once: see
//! `prefetch`.

use std::sync::Arc;

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::ChecksumMode;
use bytes::Bytes;

use crate::base::error::Result;
use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::SharedObject;
use crate::base::range::ByteRange;
use crate::base::storable::SEALED;
use crate::origin::Body;
use crate::upstream::body::{UpstreamBody, Version};
use crate::upstream::buckets::no_such_bucket;
use crate::upstream::fault;
use crate::upstream::open::Inner;

/// A gateway wrote it.
fn is_ours(head: &HeadObjectOutput) -> bool {
    head.metadata().is_some_and(|metadata| metadata.contains_key(SEALED))
}

impl Inner {
    pub async fn stat(&self, bucket: &BucketName, key: &ObjectKey) -> Result<Option<SharedObject>> {
        let owner = self.bucket(bucket).await?.ok_or_else(no_such_bucket)?.owner.clone();
        let place = self.place(bucket).await?;
        // Too long for a key upstream: it can't be there.
        let Ok(full) = place.key(key) else { return Ok(None) };
        if self.hidden_folder(&place, &full).await?.is_some() {
            return Ok(None);
        }
        let Some(head) = self.head(&place.bucket, &full).await? else { return Ok(None) };
        let mut info = self.info(&place.bucket, &full, &owner, &head)?;
        if info.sha256.is_none() && info.etag.parts().is_some() && is_ours(&head) {
            info.sha256 = self.proven(&place.bucket, &full, &info).await;
        }
        if let Some(sha256) = &info.sha256 {
            self.contents.remember(&info.owner, sha256, bucket, key, info.etag);
        }
        Ok(Some(Arc::new(info)))
    }

    pub async fn head(&self, bucket: &str, key: &str) -> Result<Option<HeadObjectOutput>> {
        match self.reader.head_object().bucket(bucket).key(key).checksum_mode(ChecksumMode::Enabled).send().await {
            Ok(head) => Ok(Some(head)),
            Err(e) if fault::is_no_such_key(&e) => Ok(None),
            Err(e) => Err(fault::of(e)),
        }
    }

    pub async fn open(
        self: &Arc<Self>,
        bucket: &BucketName,
        key: &ObjectKey,
        object: &SharedObject,
        range: ByteRange,
    ) -> Result<Option<Body>> {
        if range.start >= range.end {
            return Ok(Some(Body::Memory(Bytes::new())));
        }
        let place = self.place(bucket).await?;
        let full = place.key(key)?;
        if self.hidden_folder(&place, &full).await?.is_some() {
            return Ok(None);
        }
        let version = Version { inner: self.clone(), bucket: place.bucket, key: full.into(), etag: object.etag, size: object.size };
        let prefetched = self.prefetched(bucket, key, object.size, range).await;
        let first = match prefetched.and_then(|got| version.taken_from(got, range)) {
            Some(first) => Some(first),
            None => version.get(range).await?,
        };
        Ok(first.map(|first| Body::Stream(Box::pin(UpstreamBody::new(version, range, first)))))
    }
}
