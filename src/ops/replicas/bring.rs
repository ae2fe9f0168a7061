//! Brings what is at the origin now to a replica: one key, or a bucket's record. In which order changes are looked at plays no
//! part, and doing it again does no harm.
//!
//! What is written there is conditioned on what was there when it was looked, where that S3 decides conditions; and when it is
//! written, the origin is looked at once more: of two who bring a key at the same time, the later one sees what is current.

use bytes::Bytes;

use crate::base::conditions::WriteConditions;
use crate::base::encryption::{Encryption, needs_customer_key};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::lock::Lock;
use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::{ObjectHeaders, ObjectInfo, SharedObject};
use crate::base::object_ref::ObjectRef;
use crate::base::range::ByteRange;
use crate::base::tags::Tags;
use crate::ingest::receive::{Expect, receive};
use crate::ops::reading::Reading;
use crate::ops::replicas::target::Target;
use crate::ops::replicas::{Inner, Replicas};
use crate::origin::{Body, Buckets, Freshness, Intake, PutObject, ReadBy, Reads, Writes};
use crate::upstream::Upstream;
use crate::upstream::known::SourceVersion;
use crate::upstream::replica::Copied;

/// How often a key is looked at anew because it changed meanwhile.
const TRIES: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Brought {
    /// There was nothing to do.
    Same,
    /// With so many bytes.
    Copied(u64),
    Deleted,
}

/// Why it is not there yet.
#[derive(Debug)]
pub enum Trouble {
    Origin(Error),
    Target(Error),
    /// It changes faster than it can be copied.
    Changing,
}

enum Step {
    Done(Brought),
    /// Somebody else changed it here or there.
    Again,
}

impl Replicas {
    /// Whether each replica that gets the key has this version. One that does not answer may not have it.
    pub async fn have(&self, bucket: &BucketName, key: &ObjectKey, object: &ObjectInfo) -> bool {
        for target in self.0.targets.iter().filter(|target| target.covers(bucket, Some(key))) {
            let there = match target.upstream().await {
                Ok(upstream) => upstream.stat_copy(bucket, key).await.ok().flatten(),
                Err(_) => None,
            };
            if !there.is_some_and(|there| is_copy(object, &there)) {
                return false;
            }
        }
        true
    }
}

impl Inner {
    pub async fn bring(&self, target: &Target, bucket: &BucketName, key: &ObjectKey) -> Result<Brought, Trouble> {
        let mut brought = Brought::Same;
        for _ in 0..TRIES {
            let source = self.current(bucket, key).await?;
            let upstream = target.upstream().await.map_err(Trouble::Target)?;
            let there = match upstream.stat_copy(bucket, key).await {
                Err(e) if e.kind() == ErrorKind::NoSuchBucket => None,
                found => found.map_err(Trouble::Target)?,
            };
            let step = match (&source, &there) {
                (None, None) => return Ok(brought),
                (Some(source), Some(there)) if is_copy(source, there) => match self.bring_tags(upstream, bucket, key, source, there).await?
                {
                    Step::Done(Brought::Same) => return Ok(brought),
                    step => step,
                },
                (None, Some(there)) => remove(upstream, bucket, key, there).await?,
                (Some(source), there) => self.copy(upstream, bucket, key, source, there.as_ref()).await?,
            };
            let Step::Done(done) = step else { continue };
            brought = done;
            let now = self.current(bucket, key).await?;
            if now.as_deref().map(SourceVersion::of) == source.as_deref().map(SourceVersion::of) {
                return Ok(brought);
            }
        }
        Err(Trouble::Changing)
    }

    /// The bucket's record; of a bucket that is gone, as soon as it is empty there.
    pub async fn bring_bucket(&self, target: &Target, bucket: &BucketName) -> Result<Brought, Trouble> {
        for _ in 0..TRIES {
            let source = self.origin.buckets.bucket(bucket).await.map_err(Trouble::Origin)?;
            let upstream = target.upstream().await.map_err(Trouble::Target)?;
            let brought = match &source {
                Some(source) => upstream.copy_bucket(source).await.map(|()| Brought::Same),
                None => match upstream.delete_bucket(bucket).await {
                    Err(e) if e.kind() == ErrorKind::NoSuchBucket => Ok(Brought::Same),
                    deleted => deleted.map(|()| Brought::Deleted),
                },
            };
            let brought = brought.map_err(Trouble::Target)?;
            let now = self.origin.buckets.bucket(bucket).await.map_err(Trouble::Origin)?;
            if now.map(|b| b.generation) == source.map(|b| b.generation) {
                return Ok(brought);
            }
        }
        Err(Trouble::Changing)
    }

    async fn current(&self, bucket: &BucketName, key: &ObjectKey) -> Result<Option<SharedObject>, Trouble> {
        match self.origin.reads.stat(ObjectRef::current(bucket, key), Freshness::Current).await {
            Err(e) if e.kind() == ErrorKind::NoSuchBucket => Ok(None),
            found => found.map_err(Trouble::Origin),
        }
    }

    /// None: the version is not there any more.
    async fn source_tags(&self, bucket: &BucketName, key: &ObjectKey, source: &SharedObject) -> Result<Option<Tags>, Trouble> {
        if source.tag_count == Some(0) {
            return Ok(Some(Tags::default()));
        }
        self.origin.reads.tags(ObjectRef::current(bucket, key), source).await.map_err(Trouble::Origin)
    }

    /// To a copy that is there: tags change while a version stays.
    async fn bring_tags(
        &self,
        upstream: &Upstream,
        bucket: &BucketName,
        key: &ObjectKey,
        source: &SharedObject,
        there: &Copied,
    ) -> Result<Step, Trouble> {
        let none = source.tag_count == Some(0) && there.object.tag_count == Some(0);
        if none || !upstream.keeps_tags() {
            return Ok(Step::Done(Brought::Same));
        }
        let of = ObjectRef::current(bucket, key);
        let Some(tags) = self.source_tags(bucket, key, source).await? else { return Ok(Step::Again) };
        let has = upstream.tags(of, &there.object).await.map_err(Trouble::Target)?;
        if has.as_ref() == Some(&tags) {
            return Ok(Step::Done(Brought::Same));
        }
        match upstream.set_tags(of, tags).await {
            Ok(()) => Ok(Step::Done(Brought::Copied(0))),
            Err(e) => again(e),
        }
    }

    async fn copy(
        &self,
        upstream: &Upstream,
        bucket: &BucketName,
        key: &ObjectKey,
        source: &SharedObject,
        there: Option<&Copied>,
    ) -> Result<Step, Trouble> {
        if source.encryption.as_ref().is_some_and(Encryption::is_customers) {
            return Err(Trouble::Origin(needs_customer_key()));
        }
        if upstream.bucket(bucket).await.map_err(Trouble::Target)?.is_none() {
            let Some(record) = self.origin.buckets.bucket(bucket).await.map_err(Trouble::Origin)? else { return Ok(Step::Again) };
            upstream.copy_bucket(&record).await.map_err(Trouble::Target)?;
        }
        let Some(tags) = self.source_tags(bucket, key, source).await? else { return Ok(Step::Again) };
        for conditions in [only_over(there), WriteConditions::default()] {
            let whole = ByteRange { start: 0, end: source.size };
            let opened = match source.size {
                0 => Ok(Some(Body::Memory(Bytes::new()))),
                _ => self.origin.reads.open(ObjectRef::current(bucket, key), source, whole, ReadBy::UserSpace).await,
            };
            let Some(body) = opened.map_err(Trouble::Origin)? else { return Ok(Step::Again) };
            let expect = Expect {
                length: Some(source.size),
                max: source.size,
                sha256: source.sha256.map(|s| *s.digest()),
                checksum: source.checksum.clone().filter(|c| c.parts == 0),
                ..Expect::default()
            };
            let body = std::pin::pin!(Reading(body));
            let received = receive(body, None, &expect, &upstream.staging(&source.owner)).await.map_err(Trouble::Origin)?;
            let put = PutObject {
                bucket: bucket.clone(),
                key: key.clone(),
                owner: source.owner.clone(),
                acl: source.acl.clone(),
                headers: source.headers.clone(),
                tags: tags.clone(),
                encryption: None,
                lock: Lock::default(),
                conditions,
                received,
            };
            match upstream.put_copy(put, SourceVersion::of(source)).await {
                Ok(_) => return Ok(Step::Done(Brought::Copied(source.size))),
                // That S3 decides no conditions: what it has is replaced as it is.
                Err(e) if e.kind() == ErrorKind::NotImplemented => {}
                Err(e) => return again(e),
            }
        }
        Err(Trouble::Target(Error::new(ErrorKind::NotImplemented, "The replica takes no objects of this kind.")))
    }
}

async fn remove(upstream: &Upstream, bucket: &BucketName, key: &ObjectKey, there: &Copied) -> Result<Step, Trouble> {
    for conditions in [only_over(Some(there)), WriteConditions::default()] {
        match upstream.delete(ObjectRef::current(bucket, key), conditions.into()).await {
            Ok(_) => return Ok(Step::Done(Brought::Deleted)),
            Err(e) if e.kind() == ErrorKind::NotImplemented => {}
            Err(e) => return again(e),
        }
    }
    Err(Trouble::Target(Error::new(ErrorKind::NotImplemented, "The replica deletes no objects.")))
}

/// Somebody else was faster there.
fn again(e: Error) -> Result<Step, Trouble> {
    match e.kind() {
        ErrorKind::PreconditionFailed | ErrorKind::NoSuchKey | ErrorKind::OperationAborted => Ok(Step::Again),
        _ => Err(Trouble::Target(e)),
    }
}

fn only_over(there: Option<&Copied>) -> WriteConditions {
    WriteConditions::only_over(there.map(|there| there.object.etag))
}

/// Two versions of one second can have the same name at an S3 that tells no milliseconds: what they carry counts too.
fn is_copy(source: &ObjectInfo, there: &Copied) -> bool {
    let same_class = |headers: &ObjectHeaders| ObjectHeaders { storage_class: None, ..headers.clone() };
    let copy = &there.object;
    there.source == Some(SourceVersion::of(source))
        && (copy.size, &copy.acl, &copy.owner) == (source.size, &source.acl, &source.owner)
        && same_class(&copy.headers) == same_class(&source.headers)
}
