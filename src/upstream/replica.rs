//! What a replica is asked for besides what any upstream is: copies that carry which version of the origin they are.
//!
//! Called by `ops::replicas`. A replica's bucket is one that a gateway can stand over: a folder for each bucket of the origin,
//! with its record, and plain objects in it. Which version a copy is rides in its sealed metadata: nobody else can say it.

use std::sync::Arc;

use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::object::{Bucket, SharedObject};
use crate::base::storable::SEALED;
use crate::base::tags::Tags;
use crate::origin::{Pending, PutObject, Quota, Written};
use crate::upstream::Upstream;
use crate::upstream::known::SourceVersion;

/// What the replica has under a key.
#[derive(Debug, Clone)]
pub struct Copied {
    /// With the ETag that it has there.
    pub object: SharedObject,
    /// None: it was put there by somebody else.
    pub source: Option<SourceVersion>,
}

impl Upstream {
    pub fn stat_copy<'a>(&'a self, bucket: &'a BucketName, key: &'a ObjectKey) -> Pending<'a, Option<Copied>> {
        Box::pin(async move {
            let place = self.0.place(bucket).await?;
            let Ok(full) = place.key(key) else { return Ok(None) };
            let Some(head) = self.0.head(&place.bucket, &full).await? else { return Ok(None) };
            // Whose it is stands in what is sealed, or it is no copy of ours.
            let object = self.0.info(&place.bucket, &full, &TenantId::operator(), &head)?;
            let sealed = head.metadata().and_then(|m| m.get(SEALED));
            let known = sealed.and_then(|sealed| self.0.known(&place.bucket, &full, object.size, sealed));
            Ok(Some(Copied { object: Arc::new(object), source: known.and_then(|k| k.source) }))
        })
    }

    /// Without tags, where that S3 keeps none.
    pub fn put_copy(&self, mut put: PutObject, source: SourceVersion) -> Pending<'_, Written> {
        if !self.0.abilities().tags {
            put.tags = Tags::default();
        }
        Box::pin(self.0.put_as(put, Quota::default(), Some(source)))
    }

    pub fn keeps_tags(&self) -> bool {
        self.0.abilities().tags
    }

    pub fn copy_bucket<'a>(&'a self, source: &'a Bucket) -> Pending<'a, ()> {
        Box::pin(self.0.copy_bucket(source))
    }
}
