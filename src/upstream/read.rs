//! Reads: HEAD says which version there is, GET with If-Match gives bytes of exactly that one. A first read asks both at once: see
//! `prefetch`. A version that is named is asked for by its name, which is the upstream's own.

use std::sync::Arc;

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::{ChecksumMode, EncodingType};
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use bytes::Bytes;

use crate::base::encryption::{CustomerKey, Encryption, needs_customer_key, not_applicable};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::object::{SharedBucket, SharedObject};
use crate::base::object_ref::{ObjectRef, VersionId, VersionSelector, invalid, no_such_version, only_null};
use crate::base::range::ByteRange;
use crate::base::storable::SEALED;
use crate::base::timestamp::Timestamp;
use crate::base::versions::{Marker, Versioning};
use crate::origin::Body;
use crate::upstream::body::{UpstreamBody, Version};
use crate::upstream::buckets::no_such_bucket;
use crate::upstream::fault;
use crate::upstream::info;
use crate::upstream::open::Inner;
use crate::upstream::sse::with_key;

/// What the upstream says of a key, or of a version of it.
pub enum Looked {
    Object(Box<HeadObjectOutput>),
    /// A delete marker.
    Marker {
        version: VersionId,
        modified: Timestamp,
    },
    Nothing,
    /// What was asked for can't be the name of a version there.
    NoName,
}

impl Looked {
    pub fn object(self) -> Option<HeadObjectOutput> {
        match self {
            Looked::Object(head) => Some(*head),
            Looked::Marker { .. } | Looked::Nothing | Looked::NoName => None,
        }
    }
}

/// A gateway wrote it.
fn is_ours(head: &HeadObjectOutput) -> bool {
    head.metadata().is_some_and(|metadata| metadata.contains_key(SEALED))
}

impl Inner {
    /// The bucket, and what of it is meant: where no versions are kept, each object is the one called `null`.
    pub async fn meant<'a>(&self, of: ObjectRef<'a>) -> Result<(SharedBucket, ObjectRef<'a>)> {
        let bucket = self.bucket(of.bucket).await?.ok_or_else(no_such_bucket)?;
        if bucket.versioning() != Versioning::Never {
            return Ok((bucket, of));
        }
        only_null(of)?;
        Ok((bucket, ObjectRef { version: VersionSelector::Current, ..of }))
    }

    pub async fn stat(&self, of: ObjectRef<'_>) -> Result<Option<SharedObject>> {
        let (described, of) = self.meant(of).await?;
        let ObjectRef { bucket, key, version, .. } = of;
        let place = self.place(bucket).await?;
        let nothing = || if version == VersionSelector::Current { Ok(None) } else { Err(no_such_version(of)) };
        // Too long for a key upstream: it can't be there.
        let Ok(full) = place.key(key) else { return nothing() };
        if self.hidden_folder(&place, &full).await?.is_some() {
            return nothing();
        }
        of.unlock.map_or(Ok(()), |key| self.require_key_sendable(key))?;
        let head = match self.look_at_under(&place.bucket, &full, version, of.unlock).await? {
            Looked::Object(head) => head,
            Looked::Marker { .. } => return Ok(None),
            Looked::Nothing => return nothing(),
            Looked::NoName => return Err(invalid(version.id().map_or("", VersionId::as_str))),
        };
        let mut info = self.info(&place.bucket, &full, &described.owner, &head)?;
        if described.versioning() == Versioning::Never {
            // Some give names and keep nothing.
            info.version = VersionId::Null;
        }
        if info.sha256.is_none() && info.etag.parts().is_some() && is_ours(&head) {
            info.sha256 = self.proven(&place.bucket, &full, &info).await;
        }
        let is_customers = info.encryption.as_ref().is_some_and(Encryption::is_customers);
        if let Some(sha256) = &info.sha256
            && version == VersionSelector::Current
            && !is_customers
        {
            self.contents.remember(&info.owner, sha256, bucket, key, info.etag);
        }
        Ok(Some(Arc::new(info)))
    }

    /// The current version. `bucket` and `key` upstream.
    pub async fn head(&self, bucket: &str, key: &str) -> Result<Option<HeadObjectOutput>> {
        self.look_at(bucket, key, VersionSelector::Current).await.map(Looked::object)
    }

    pub async fn look_at(&self, bucket: &str, key: &str, version: VersionSelector<'_>) -> Result<Looked> {
        self.look_at_under(bucket, key, version, None).await
    }

    /// `unlock`: the client's key, without which nothing is told of what lies under it.
    pub async fn look_at_under(
        &self,
        bucket: &str,
        key: &str,
        version: VersionSelector<'_>,
        unlock: Option<&CustomerKey>,
    ) -> Result<Looked> {
        let head = self.reader.head_object().bucket(bucket).key(key).checksum_mode(ChecksumMode::Enabled);
        let head = with_key!(head, unlock);
        let e = match head.set_version_id(version.id().map(VersionId::to_string)).send().await {
            // An upstream that knows of no versions may send what there is now.
            Ok(head) if version.is_named() && head.version_id() != version.id().map(VersionId::as_str) => return Ok(Looked::Nothing),
            Ok(head) => return Ok(Looked::Object(Box::new(head))),
            Err(e) => e,
        };
        match (fault::status(&e), unlock) {
            (Some(400), Some(_)) => return Err(not_applicable()),
            (Some(403), Some(_)) => return Err(Error::new(ErrorKind::AccessDenied, "Access Denied").caused_by(fault::of(e))),
            (Some(400), None) if self.wants_key(bucket, key, version).await => return Err(needs_customer_key()),
            _ => {}
        }
        let is_marker = fault::header(&e, "x-amz-delete-marker") == Some("true");
        let is_named = version != VersionSelector::Current;
        match fault::status(&e) {
            // 405: a marker that was named.
            Some(404 | 405) if is_marker || is_named && fault::status(&e) == Some(405) => {
                let named = version.id().cloned();
                let modified = fault::header(&e, "last-modified").and_then(|t| DateTime::from_str(t, Format::HttpDate).ok());
                Ok(Looked::Marker {
                    version: named.unwrap_or_else(|| info::version(fault::header(&e, "x-amz-version-id"))),
                    modified: info::timestamp(modified.as_ref()),
                })
            }
            _ if fault::is_no_such_version(&e) => Ok(Looked::Nothing),
            Some(400) if is_named => Ok(Looked::NoName),
            _ => Err(fault::of(e)),
        }
    }

    /// The delete marker that is meant.
    pub async fn marker(&self, of: ObjectRef<'_>) -> Result<Option<Marker>> {
        let (bucket, of) = self.meant(of).await?;
        let place = self.place(of.bucket).await?;
        let Ok(full) = place.key(of.key) else { return Ok(None) };
        if self.hidden_folder(&place, &full).await?.is_some() {
            return Ok(None);
        }
        let owner = bucket.owner.clone();
        // Not every store says in a 404 that there is a marker, and which one.
        if of.version == VersionSelector::Current
            && let Ok(latest) = self.latest_marker(&place.bucket, &full).await
        {
            return Ok(latest.map(|(version, modified)| Marker { version, modified, owner }));
        }
        Ok(match self.look_at(&place.bucket, &full, of.version).await? {
            Looked::Marker { version, modified } => Some(Marker { version, modified, owner }),
            Looked::Object(_) | Looked::Nothing | Looked::NoName => None,
        })
    }

    /// The key itself stands before all that begins with it, and its newest version before the others.
    async fn latest_marker(&self, bucket: &str, key: &str) -> Result<Option<(VersionId, Timestamp)>> {
        let list = self.reader.list_object_versions().bucket(bucket).prefix(key).max_keys(1).encoding_type(EncodingType::Url);
        let listed = list.send().await.map_err(fault::of)?;
        let is_it = |name: Option<&str>| name.is_some_and(|name| self.listed_name(listed.encoding_type(), name) == key);
        let marker = listed.delete_markers().iter().find(|marker| marker.is_latest() == Some(true) && is_it(marker.key()));
        Ok(marker.map(|marker| (info::version(marker.version_id()), info::timestamp(marker.last_modified()))))
    }

    pub async fn open(self: &Arc<Self>, of: ObjectRef<'_>, object: &SharedObject, range: ByteRange) -> Result<Option<Body>> {
        if range.start >= range.end {
            return Ok(Some(Body::Memory(Bytes::new())));
        }
        let of = if of.version == VersionSelector::Current { of } else { self.meant(of).await?.1 };
        let place = self.place(of.bucket).await?;
        let full = place.key(of.key)?;
        if self.hidden_folder(&place, &full).await?.is_some() {
            return Ok(None);
        }
        let named = of.version.id().cloned();
        let unlock = object.encryption.as_ref().and_then(Encryption::customer_key).cloned();
        let (bucket, key) = (place.bucket, full.into());
        let is_locked = unlock.is_some();
        let version = Version { inner: self.clone(), bucket, key, named, etag: object.etag, size: object.size, unlock };
        let prefetched = match of.version {
            // It was asked for without a key.
            _ if is_locked => None,
            VersionSelector::Current => self.prefetched(of.bucket, of.key, object.size, range).await,
            VersionSelector::Exact(_) => None,
        };
        let first = match prefetched.and_then(|got| version.taken_from(got, range)) {
            Some(first) => Some(first),
            None => version.get(range).await?,
        };
        Ok(first.map(|first| Body::Stream(Box::pin(UpstreamBody::new(version, range, first)))))
    }
}
