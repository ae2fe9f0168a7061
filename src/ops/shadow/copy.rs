//! Copies from the old store: each verified by what the old store says of the object, and put only where nothing is.
//!
//! An object of parts is cut as it was, so that its ETag stays. A copy that fails is begun again by the next read.
//! Bounds: so many copies at once, so many waiting; memory as any upload.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, watch};

use crate::base::checksum::{Checksum, ChecksumAlgorithm, ChecksumType};
use crate::base::conditions::WriteConditions;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::etag::ETag;
use crate::base::limits::{MAX_PUT_BYTES, MIN_PART_BYTES};
use crate::base::lock::Lock;
use crate::base::names::{BucketName, ObjectKey, UploadId};
use crate::base::object::{CannedAcl, ObjectHeaders, SharedObject, Upload};
use crate::base::object_ref::ObjectRef;
use crate::base::range::ByteRange;
use crate::base::tags::Tags;
use crate::base::timestamp::Timestamp;
use crate::ingest::md5::Md5Hasher;
use crate::ingest::{Expect, Received, receive};
use crate::ops::multipart::new_upload_id;
use crate::ops::reading::Reading;
use crate::ops::shadow::{Inner, Shadow, Shown};
use crate::origin::{CompleteUpload, CompletedPart, Freshness, PutObject, Quota, UploadsQuery, Written};
use crate::upstream::old::OldObject;

/// They share the line with readers.
const AT_ONCE: usize = 4;
const WAITING: usize = 1000;
/// S3's limit.
const MAX_PARTS: u64 = 10_000;
/// Of an object that must go in parts, and of which it is not known in which it was.
const PART_BYTES: u64 = 64 * 1024 * 1024;
/// Before the ids of uploads that are copies, where the origin leaves them their ids.
const UPLOAD: &str = "backfill-";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Brought {
    /// There was nothing to copy, or somebody was faster.
    Nothing,
    /// With so many bytes.
    Copied(u64),
}

type Name = (BucketName, ObjectKey);

/// Those that run or wait. Slots are taken before turns: who waits for one holds up nobody who has one.
pub struct Copies {
    names: Mutex<HashSet<Name>>,
    /// In the background.
    slots: Semaphore,
    /// While a client waits.
    asked: Semaphore,
    /// The origin decides no conditions of writes: a copy might undo what a client wrote, so there are none.
    impossible: AtomicBool,
    closed: watch::Sender<bool>,
}

impl Default for Copies {
    fn default() -> Self {
        let slots = || Semaphore::new(AT_ONCE);
        let (names, impossible, closed) = (Mutex::default(), AtomicBool::new(false), watch::Sender::new(false));
        Copies { names, slots: slots(), asked: slots(), impossible, closed }
    }
}

impl Copies {
    pub fn close(&self) {
        self.closed.send_replace(true);
    }

    fn names(&self) -> MutexGuard<'_, HashSet<Name>> {
        // Each change is one call on the set: a panic leaves it whole.
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name leaves the set however its task ends.
struct Entered(Arc<Inner>, Name);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.copies.names().remove(&self.1);
    }
}

/// How an object goes over in parts.
struct Cut {
    sizes: Vec<u64>,
    /// As it was, so that ETag and composite checksum must come out the same.
    as_it_was: bool,
}

impl Inner {
    /// In the background, unless that is under way already.
    pub(super) fn copy_later(self: &Arc<Self>, shadow: &Arc<Shadow>, key: &ObjectKey) {
        if self.copies.impossible.load(Ordering::Acquire) {
            return;
        }
        let name = (shadow.bucket.clone(), key.clone());
        {
            let mut names = self.copies.names();
            if names.contains(&name) {
                return;
            }
            if names.len() >= WAITING {
                shadow.old.gauges.skipped.inc();
                return;
            }
            names.insert(name.clone());
        }
        let (entered, shadow, key) = (Entered(self.clone(), name), shadow.clone(), key.clone());
        tokio::spawn(async move {
            let inner = &entered.0;
            let mut closed = inner.copies.closed.subscribe();
            let copying = async {
                if let Err(e) = inner.bring_slowly(&shadow, &key).await {
                    tracing::warn!(bucket = %shadow.bucket, %key, error = %e, "a copy from the old store failed; the next read begins it again");
                }
            };
            tokio::select! {
                () = copying => {}
                _ = closed.wait_for(|closed| *closed) => {}
            }
        });
    }

    /// Behind those that wait already.
    pub(super) async fn bring_slowly(&self, shadow: &Shadow, key: &ObjectKey) -> Result<Brought> {
        let _slot = self.copies.slots.acquire().await.map_err(Error::internal)?;
        self.bring(shadow, key).await
    }

    /// For somebody who waits for it.
    pub(super) async fn bring_now(&self, shadow: &Shadow, key: &ObjectKey) -> Result<Brought> {
        let Shown::Old(_) = self.look(shadow, key, Freshness::Current).await? else { return Ok(Brought::Nothing) };
        let _slot = self.copies.asked.acquire().await.map_err(Error::internal)?;
        self.bring(shadow, key).await
    }

    /// The key is the gateway's own from here on, if it was shown at all.
    async fn bring(&self, shadow: &Shadow, key: &ObjectKey) -> Result<Brought> {
        let _turn = self.turns.lock(&shadow.bucket, key).await;
        let Shown::Old(found) = self.look(shadow, key, Freshness::Current).await? else { return Ok(Brought::Nothing) };
        let brought = match self.cut(shadow, key, &found).await {
            Ok(None) => self.copy_whole(shadow, key, &found).await,
            Ok(Some(cut)) => self.copy_in_parts(shadow, key, &found, cut).await,
            Err(e) => Err(e),
        };
        match &brought {
            Ok(Brought::Copied(bytes)) => {
                shadow.old.gauges.copied.inc();
                shadow.old.gauges.copied_bytes.inc_by(*bytes);
            }
            Ok(Brought::Nothing) => {}
            Err(e) => {
                shadow.old.gauges.failures.inc();
                if e.kind() == ErrorKind::NotImplemented && !self.copies.impossible.swap(true, Ordering::AcqRel) {
                    tracing::warn!(error = %e, "nothing is copied from old stores: the store below decides no conditions of writes");
                }
            }
        }
        brought
    }

    /// None: in one piece.
    async fn cut(&self, shadow: &Shadow, key: &ObjectKey, found: &OldObject) -> Result<Option<Cut>> {
        let object = &found.object;
        if object.etag.parts().is_some() && object.size > 0 {
            match shadow.old.with_parts(key, object).await {
                Ok(object) => {
                    let sizes: Vec<u64> = object.parts.iter().map(|p| p.size).collect();
                    let but_last = sizes.split_last().map(|(_, rest)| rest).unwrap_or_default();
                    if but_last.iter().all(|size| *size >= MIN_PART_BYTES) {
                        return Ok(Some(Cut { sizes, as_it_was: true }));
                    }
                }
                Err(e) if e.kind() == ErrorKind::NotImplemented => {}
                Err(e) => return Err(e),
            }
        }
        if object.size <= MAX_PUT_BYTES {
            return Ok(None);
        }
        let part = object.size.div_ceil(MAX_PARTS).max(PART_BYTES);
        let sizes = (0..object.size.div_ceil(part)).map(|n| part.min(object.size - n * part)).collect();
        Ok(Some(Cut { sizes, as_it_was: false }))
    }

    async fn copy_whole(&self, shadow: &Shadow, key: &ObjectKey, found: &OldObject) -> Result<Brought> {
        let object = &found.object;
        // A checksum of the whole decides, else the ETag where it is the MD5.
        let checksum = object.checksum.clone().filter(|c| c.parts == 0);
        let md5 = found.md5.filter(|_| checksum.is_none());
        let compute = Some(ChecksumAlgorithm::Crc64Nvme).filter(|_| checksum.is_none());
        let expect = Expect { length: Some(object.size), max: object.size, md5, checksum, compute, ..Expect::default() };
        let received = self.received(shadow, key, object, ByteRange { start: 0, end: object.size }, &expect).await?;
        let put = PutObject {
            bucket: shadow.bucket.clone(),
            key: key.clone(),
            owner: object.owner.clone(),
            acl: CannedAcl::Private.into(),
            headers: headers_of(object),
            tags: self.tags_of(shadow, key, object).await?,
            encryption: None,
            lock: Lock::default(),
            conditions: WriteConditions::absent(),
            received,
        };
        self.put_where_nothing_is(shadow, key, self.origin.writes.put(put, Quota::default())).await
    }

    async fn copy_in_parts(&self, shadow: &Shadow, key: &ObjectKey, found: &OldObject, cut: Cut) -> Result<Brought> {
        let object = &found.object;
        let checksum = object.checksum.clone().filter(|c| match c.kind() {
            ChecksumType::FullObject => c.algorithm.allows(ChecksumType::FullObject),
            ChecksumType::Composite => cut.as_it_was,
        });
        self.abort_left(shadow, key).await;
        let initiated = Timestamp::now();
        let upload = Upload {
            id: UploadId::parse(&format!("{UPLOAD}{}", new_upload_id(initiated)?))?,
            bucket: shadow.bucket.clone(),
            key: key.clone(),
            owner: object.owner.clone(),
            initiated,
            acl: CannedAcl::Private.into(),
            headers: headers_of(object),
            lock: Lock::default(),
            tags: self.tags_of(shadow, key, object).await?,
            encryption: None,
            checksum: checksum.as_ref().map(|c| (c.algorithm, c.kind())),
            initiator: None,
        };
        let (upload, checksum) = match self.origin.uploads.create_upload(upload.clone()).await {
            // The store below keeps no such checksum of parts.
            Err(e) if e.kind() == ErrorKind::NotImplemented && checksum.is_some() => {
                (self.origin.uploads.create_upload(Upload { checksum: None, ..upload }).await?, None)
            }
            created => (created?, checksum),
        };
        let brought = self.copy_parts(shadow, key, found, &cut, &upload, checksum).await;
        if !matches!(brought, Ok(Brought::Copied(_)))
            && let Err(e) = self.origin.uploads.abort_upload(&upload.bucket, &upload.key, &upload.id).await
        {
            tracing::debug!(error = %e, "the upload of a copy that was given up stays");
        }
        brought
    }

    /// What a copy of the key left that ended with the process.
    async fn abort_left(&self, shadow: &Shadow, key: &ObjectKey) {
        let query = UploadsQuery { prefix: key.to_string(), max: 100, ..UploadsQuery::default() };
        // An origin that can't list them makes ids of its own, too.
        let Ok(page) = self.origin.uploads.uploads(&shadow.bucket, &query).await else { return };
        for left in page.uploads.iter().filter(|u| u.key == *key && u.id.as_str().starts_with(UPLOAD)) {
            if let Err(e) = self.origin.uploads.abort_upload(&left.bucket, key, &left.id).await {
                tracing::debug!(error = %e, "an upload that a copy left stays");
            }
        }
    }

    async fn copy_parts(
        &self,
        shadow: &Shadow,
        key: &ObjectKey,
        found: &OldObject,
        cut: &Cut,
        upload: &Upload,
        checksum: Option<Checksum>,
    ) -> Result<Brought> {
        let object = &found.object;
        let compute = Some(checksum.as_ref().map_or(ChecksumAlgorithm::Crc64Nvme, |c| c.algorithm));
        let (mut parts, mut md5s, mut start) = (Vec::with_capacity(cut.sizes.len()), Md5Hasher::new(), 0);
        for (number, size) in (1u16..).zip(&cut.sizes) {
            let range = ByteRange { start, end: start + size };
            let expect = Expect { length: Some(*size), max: *size, compute, ..Expect::default() };
            let received = self.received(shadow, key, object, range, &expect).await?;
            md5s.update(&received.named_md5()?.0);
            let part = self.origin.uploads.put_part(upload, number, received, Quota::default()).await?;
            parts.push(CompletedPart { number, etag: Some(part.etag), checksum: part.checksum });
            start = range.end;
        }
        let etag = ETag::multipart(md5s.finish(), u16::try_from(parts.len()).unwrap_or(u16::MAX));
        if cut.as_it_was && checksum.is_none() && !found.is_opaque && etag != object.etag {
            return Err(Error::new(ErrorKind::BadGateway, "What came from the old store is not what its ETag says."));
        }
        let complete = CompleteUpload {
            bucket: shadow.bucket.clone(),
            key: key.clone(),
            upload: upload.id.clone(),
            parts,
            conditions: WriteConditions::absent(),
            checksum_type: checksum.as_ref().map(Checksum::kind),
            checksum,
            size: Some(object.size),
            default_retention: None,
            customer_key: None,
        };
        self.put_where_nothing_is(shadow, key, self.origin.writes.complete_upload(complete, Quota::default())).await
    }

    /// A range of that version of the old store, taken in and verified.
    async fn received(
        &self,
        shadow: &Shadow,
        key: &ObjectKey,
        object: &SharedObject,
        range: ByteRange,
        expect: &Expect,
    ) -> Result<Received> {
        let body = shadow.old.open(key, object, range).await?;
        let body =
            body.ok_or_else(|| Error::new(ErrorKind::OperationAborted, "The object was replaced in the old store. Please try again."))?;
        let (body, mut staging) = (std::pin::pin!(Reading(body)), self.origin.intake.staging(&object.owner));
        // What the parts' ETag is made of.
        staging.with_md5 = true;
        receive(body, None, expect, &staging).await
    }

    /// Where the origin keeps no tags a copy has none.
    async fn tags_of(&self, shadow: &Shadow, key: &ObjectKey, object: &SharedObject) -> Result<Tags> {
        if object.tag_count == Some(0) {
            return Ok(Tags::default());
        }
        let tags = shadow.old.tags(key).await?;
        match self.origin.intake.takes(&shadow.bucket, key, &tags).await {
            Err(e) if e.kind() == ErrorKind::NotImplemented => Ok(Tags::default()),
            taken => taken.map(|()| tags),
        }
    }

    /// The last step of a copy. While the key is locked no delete marks it here; one that does so on another node meanwhile takes
    /// the copy away again.
    async fn put_where_nothing_is(
        &self,
        shadow: &Shadow,
        key: &ObjectKey,
        write: impl Future<Output = Result<Written>>,
    ) -> Result<Brought> {
        let _lock = self.locks.lock(&shadow.bucket, key).await;
        if self.is_marked(shadow, key).await? {
            return Ok(Brought::Nothing);
        }
        let object = match write.await {
            // Somebody wrote the key: that is what counts.
            Err(e) if e.kind() == ErrorKind::PreconditionFailed => return Ok(Brought::Nothing),
            written => written?.object,
        };
        if self.is_marked(shadow, key).await? {
            let this = WriteConditions::only_over(Some(object.etag));
            self.origin.writes.delete(ObjectRef::current(&shadow.bucket, key), this.into()).await?;
            return Ok(Brought::Nothing);
        }
        Ok(Brought::Copied(object.size))
    }
}

/// Its storage class says how the old store keeps it.
fn headers_of(object: &SharedObject) -> ObjectHeaders {
    ObjectHeaders { storage_class: None, ..object.headers.clone() }
}
