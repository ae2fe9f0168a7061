//! Writes of whole objects. A write is answered when the upstream has it; what it is given is a plain object at its own key.

use std::sync::Arc;

use aws_sdk_s3::config::http::HttpRequest;
use aws_sdk_s3::operation::copy_object::builders::CopyObjectFluentBuilder;
use aws_sdk_s3::primitives::{ByteStream, Length};
use aws_sdk_s3::types::{ChecksumAlgorithm as UpstreamAlgorithm, MetadataDirective};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::base::checksum::{Checksum, ChecksumAlgorithm};
use crate::base::conditions::WriteConditions;
use crate::base::digest::VerifiedSha256;
use crate::base::encryption::{AES256, CustomerKey, Encryption};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::etag::ETag;
use crate::base::limits::MAX_PUT_BYTES;
use crate::base::lock::Lock;
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::object::{Acl, Layer, ObjectHeaders, ObjectInfo, SharedObject};
use crate::base::object_ref::{ObjectRef, VersionId, VersionSelector};
use crate::base::storable::SEALED;
use crate::base::tags::Tags;
use crate::base::timestamp::Timestamp;
use crate::base::versions::Versioning;
use crate::ingest::{Content, Received};
use crate::origin::{CopyObject, Dedup, PutObject, Quota, Written};
use crate::upstream::ahead::Ahead;
use crate::upstream::client;
use crate::upstream::conditions::{self, Held, LOOKS};
use crate::upstream::counting::Watch;
use crate::upstream::fault;
use crate::upstream::info::{self, seal_place, with_checksum, with_headers, with_keeping, with_lock};
use crate::upstream::known::{Known, SourceVersion};
use crate::upstream::open::Inner;
use crate::upstream::place::Place;
use crate::upstream::sse::told;

/// Read from a staged file at once.
const BUFFER: usize = 256 * 1024;
/// In a copy source.
pub const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// A PUT that is about to be sent, as often as it takes.
pub struct Sending {
    pub place: Place,
    pub key: String,
    pub headers: ObjectHeaders,
    pub tags: Tags,
    pub encryption: Option<Encryption>,
    pub known: Known,
    pub lock: Lock,
    pub sealed: String,
    pub received: Received,
}

/// What the upstream calls that which was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    pub etag: ETag,
    pub version: VersionId,
    /// As the answer tells it. None: it does not.
    pub encryption: Option<Encryption>,
}

impl Made {
    pub fn of(etag: Option<&str>, version: Option<&str>) -> Result<Self> {
        Ok(Made { etag: info::etag(etag)?, version: info::version(version), encryption: None })
    }
}

impl Inner {
    /// Where a write of the key goes.
    pub async fn writable(&self, bucket: &BucketName, key: &ObjectKey) -> Result<(Place, String)> {
        let place = self.place(bucket).await?;
        let full = place.key(key)?;
        if let Some(folder) = self.hidden_folder(&place, &full).await? {
            let shown = folder.strip_prefix(&*place.prefix).unwrap_or(folder);
            let text = format!("Keys that begin with {shown:?} are not part of this bucket: that folder belongs to something else.");
            return Err(Error::new(ErrorKind::InvalidRequest, text));
        }
        Ok((place, full))
    }

    pub async fn put(self: &Arc<Self>, put: PutObject, quota: Quota) -> Result<Written> {
        self.put_as(put, quota, None).await
    }

    /// `source`: the version of the origin that a replica's copy is.
    pub async fn put_as(self: &Arc<Self>, put: PutObject, quota: Quota, source: Option<SourceVersion>) -> Result<Written> {
        self.tagging(&put.tags)?;
        self.require_sendable(put.encryption.as_ref())?;
        let (place, key) = self.writable(&put.bucket, &put.key).await?;
        let received = put.received;
        let known = Known {
            sha256: Some(received.sha256),
            md5: received.md5,
            checksum: received.checksum.clone(),
            source,
            ..Known::new(put.owner, put.acl, &put.headers)
        };
        let sealed = self.sealed(&known, &seal_place(&place.bucket, &key, Some(received.size)))?;
        let PutObject { headers, tags, encryption, .. } = put;
        let sending = Sending { place, key, headers, tags, encryption, known, lock: put.lock, sealed, received };
        let watch = Watch {
            bucket: &put.bucket,
            key: &put.key,
            place: &sending.place,
            full: &sending.key,
            owner: &sending.known.owner,
            size: Some(sending.received.size),
            unlock: sending.unlock(),
            conditions: &put.conditions,
            quota,
            sealed: None,
            is_conditional: self.abilities().conditional_writes,
        };
        let ahead = Ahead::of(&sending.received);
        let copied = match ahead {
            None if sending.is_under_customers_key() => None,
            None => self.put_by_copy(&sending, &watch).await,
            Some(_) => None,
        };
        let (object, dedup) = match copied {
            Some(copied) => (copied, Dedup::Hit),
            None if sending.received.size > self.settings.multipart_threshold => {
                let object = sending.info(self.put_in_parts(&sending, &watch, ahead).await?);
                self.prove(&sending.place.bucket, &sending.key, &object).await;
                (object, Dedup::Miss)
            }
            None => (sending.info(self.put_whole(&sending, &watch).await?), Dedup::Miss),
        };
        if !sending.is_under_customers_key() {
            self.contents.remember(&object.owner, &sending.received.sha256, &put.bucket, &put.key, object.etag);
        }
        Ok(Written { object: Arc::new(object), dedup })
    }

    async fn put_whole(&self, sending: &Sending, watch: &Watch<'_>) -> Result<Made> {
        for _ in 0..LOOKS {
            let (held, ticket) = self.watched(watch).await?;
            match ticket.end(self.put_once(sending, &held).await) {
                Err(e) if held.is_outdated(&e) => continue,
                other => return other,
            }
        }
        Err(busy())
    }

    async fn put_once(&self, sending: &Sending, held: &Held) -> Result<Made> {
        let body = match &sending.received.content {
            Content::Memory(bytes) => ByteStream::from(bytes.clone()),
            Content::File(file) => part_of_file(file.path(), 0, file.len()).await?,
        };
        let put = self.client.put_object().bucket(&*sending.place.bucket).key(&sending.key).body(body);
        let put = with_headers!(put, &sending.headers).set_metadata(Some(info::metadata(&sending.headers, &sending.sealed)));
        let put = with_keeping!(put, &self.settings, &sending.headers, sending.encryption.as_ref())
            .set_if_match(held.if_match.clone())
            .set_if_none_match(held.if_none_match.clone());
        let put = put.set_tagging(self.tagging(&sending.tags)?);
        let put = match sending.received.checksum.as_ref().filter(|c| self.takes(c.algorithm)) {
            Some(checksum) => with_checksum!(put, checksum),
            None => put.set_content_md5(sending.received.md5.map(|md5| STANDARD.encode(md5.0))),
        };
        let put = with_lock!(put, &sending.lock);
        let raw = info::raw_headers(&sending.headers);
        // The checksum vouches for the bytes; a signature over them would hash them all again.
        let put = put.customize().config_override(client::sending(sending.received.size));
        let put = put.disable_payload_signing().mutate_request(move |r| insert_raw(r, &raw));
        match put.send().await {
            Ok(put) => Ok(Made { encryption: told!(&put), ..Made::of(put.e_tag(), put.version_id())? }),
            Err(e) if fault::is_no_such_key(&e) && held.if_match.is_some() => Err(conditions::no_such_key()),
            Err(e) if held.is_any() && (fault::is_precondition_failed(&e) || fault::is_conflict(&e)) => {
                let conflict = fault::is_conflict(&e);
                match self.was_it_this(&sending.place, &sending.key, &sending.sealed, sending.unlock()).await? {
                    Some(made) => Ok(made),
                    None if conflict => Err(fault::of(e)),
                    None => Err(conditions::failed(held)),
                }
            }
            Err(e) => Err(fault::of_lock(e)),
        }
    }

    /// A first try whose answer was lost makes the condition of the second one fail. No two seals are alike.
    pub async fn was_it_this(&self, place: &Place, key: &str, sealed: &str, unlock: Option<&CustomerKey>) -> Result<Option<Made>> {
        let looked = self.look_at_under(&place.bucket, key, VersionSelector::Current, unlock).await?;
        let Some(head) = looked.object() else { return Ok(None) };
        let there = head.metadata().and_then(|m| m.get(SEALED));
        if there.is_some_and(|there| there == sealed) { Made::of(head.e_tag(), head.version_id()).map(Some) } else { Ok(None) }
    }

    pub async fn copy(self: &Arc<Self>, copy: CopyObject, quota: Quota) -> Result<Written> {
        let from =
            ObjectRef { bucket: &copy.source_bucket, key: &copy.source_key, version: copy.source_version.as_ref().into(), unlock: None };
        self.require_sendable(copy.encryption.as_ref())?;
        self.require_sendable(copy.source.encryption.as_ref())?;
        let version = self.meant(from).await?.1.version.id().cloned();
        let source_place = self.place(&copy.source_bucket).await?;
        let source_key = source_place.key(&copy.source_key)?;
        if self.hidden_folder(&source_place, &source_key).await?.is_some() {
            return Err(source_replaced());
        }
        let (place, key) = self.writable(&copy.bucket, &copy.key).await?;
        let is_same = (&source_place, &source_key) == (&place, &key);
        let unknown = if is_same { copy.source.unknown.clone() } else { copy.source.unknown.of_copy() };
        let known = Known { unknown, ..known_of_copy(&copy.source, copy.owner.clone(), copy.acl.clone(), &copy.headers) };
        let (known, checksum) = self.with_checksum_of_copy(&copy, known).await?;
        let CopyObject { source: object, headers, tags, lock, conditions, encryption, bucket, key: name, .. } = copy;
        let source = CopySource { place: source_place, key: source_key, version };
        let copying = Copying { source, known, checksum, object, to: (place, key), headers, lock, tags: Some(tags), encryption };
        let watch = copying.watch(&bucket, &name, &conditions, quota, self.abilities().conditional_writes);
        for _ in 0..LOOKS {
            let (held, ticket) = self.watched(&watch).await?;
            match ticket.end(self.copy_once(&copying, &held).await) {
                Err(e) if held.is_outdated(&e) => continue,
                other => return other.map(|object| Written { object: Arc::new(object), dedup: Dedup::Hit }),
            }
        }
        Err(busy())
    }

    pub async fn copy_once(&self, copying: &Copying, held: &Held) -> Result<ObjectInfo> {
        let Copying { source, object, to: (place, key), known, .. } = copying;
        if object.size > MAX_PUT_BYTES {
            let text = "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120";
            return Err(Error::new(ErrorKind::InvalidRequest, text));
        }
        let sealed = self.sealed(known, &seal_place(&place.bucket, key, Some(object.size)))?;
        let request = self.client.copy_object().bucket(&*place.bucket).key(key).copy_source(source.header());
        let request = request.copy_source_if_match(object.etag.quoted()).metadata_directive(MetadataDirective::Replace);
        let request = with_headers!(request, &copying.headers).set_metadata(Some(info::metadata(&copying.headers, &sealed)));
        let request = with_keeping!(request, &self.settings, &copying.headers, copying.encryption.as_ref());
        let request = copying.with_source_key(request);
        let request = request.set_if_match(held.if_match.clone()).set_if_none_match(held.if_none_match.clone());
        let request = request.set_checksum_algorithm(copying.checksum.map(|a| UpstreamAlgorithm::from(a.name())));
        let (directive, tagging) = self.tagging_of_copy(copying)?;
        let request = request.set_tagging_directive(directive).set_tagging(tagging);
        let request = with_lock!(request, &copying.lock);
        let raw = info::raw_headers(&copying.headers);
        let done = request.customize().mutate_request(move |r| insert_raw(r, &raw)).send().await;
        let done = match done {
            Ok(done) => done,
            Err(e) if fault::is_no_such_version(&e) || fault::is_precondition_failed(&e) => {
                // Which of the two was it?
                let Some(made) = self.was_it_this(place, key, &sealed, copying.unlock()).await? else {
                    let of = VersionSelector::from(source.version.as_ref());
                    let there = self.look_at_under(&source.place.bucket, &source.key, of, copying.source_unlock()).await?.object();
                    let same = there.and_then(|h| h.e_tag().and_then(ETag::of_upstream)) == Some(object.etag);
                    return Err(if same && held.is_any() { conditions::failed(held) } else { source_replaced() });
                };
                return self.copied(copying, None, made.version).await;
            }
            Err(e) => return Err(fault::of_lock(e)),
        };
        let etag = done.copy_object_result().and_then(|r| r.e_tag()).and_then(ETag::of_upstream);
        self.copied(copying, etag, info::version(done.version_id())).await
    }

    /// What the copy is now. Looked at, since an upstream that ignores the condition on the source may have copied another.
    async fn copied(&self, copying: &Copying, etag: Option<ETag>, version: VersionId) -> Result<ObjectInfo> {
        let (place, key) = &copying.to;
        let known = copying.known.clone();
        let of = if version == VersionId::Null { VersionSelector::Current } else { VersionSelector::Exact(&version) };
        let looked = self.look_at_under(&place.bucket, key, of, copying.unlock()).await?;
        let Some(head) = looked.object() else { return Err(source_replaced()) };
        let mut info = self.info(&place.bucket, key, &known.owner, &head)?;
        if let Some(etag) = etag.filter(|e| *e != info.etag) {
            // Written over meanwhile: what is answered is what was written.
            info = ObjectInfo { etag, version, headers: copying.headers.clone(), owner: known.owner, acl: known.acl, ..info };
            info.checksum = known.checksum;
        } else if info.size != copying.object.size {
            return Err(source_replaced());
        }
        Ok(info)
    }

    /// A copy of the object onto itself, with another ACL in its seal. Where versions are kept that would be a new version, and the one
    /// that was meant would go on under its name with its old ACL.
    pub async fn set_object_acl(&self, of: ObjectRef<'_>, acl: Acl) -> Result<()> {
        let (bucket, of) = self.meant(of).await?;
        for _ in 0..LOOKS {
            let Some(object) = self.stat(of).await? else { return Err(conditions::no_such_key()) };
            if object.acl == acl {
                return Ok(());
            }
            if bucket.versioning() == Versioning::Enabled || object.version != VersionId::Null {
                let text = "Where the bucket upstream keeps versions, the ACL of a version stays as it was written. Give rights by a \
                            bucket policy, or write the object again with x-amz-acl.";
                return Err(Error::new(ErrorKind::NotImplemented, text));
            }
            let (place, full) = self.writable(of.bucket, of.key).await?;
            let copying = Copying {
                source: CopySource { place: place.clone(), key: full.clone(), version: None },
                known: Known {
                    unknown: object.unknown.clone(),
                    ..known_of_copy(&object, object.owner.clone(), acl.clone(), &object.headers)
                },
                headers: object.headers.clone(),
                checksum: None,
                tags: None,
                lock: object.lock,
                encryption: object.encryption.clone(),
                object,
                to: (place, full),
            };
            let nothing = WriteConditions::default();
            let watch = copying.watch(of.bucket, of.key, &nothing, Quota::default(), self.abilities().conditional_writes);
            let (held, ticket) = self.watched(&watch).await?;
            match ticket.end(self.copy_once(&copying, &held).await) {
                Err(e) if e.kind() == ErrorKind::OperationAborted || held.is_outdated(&e) => continue,
                other => return other.map(drop),
            }
        }
        Err(busy())
    }
}

pub struct CopySource {
    pub place: Place,
    pub key: String,
    /// None: the current one.
    pub version: Option<VersionId>,
}

impl CopySource {
    pub fn header(&self) -> String {
        let path = utf8_percent_encode(&format!("{}/{}", self.place.bucket, self.key), PATH).to_string();
        match &self.version {
            Some(id) => format!("{path}?versionId={}", utf8_percent_encode(id.as_str(), PATH)),
            None => path,
        }
    }
}

pub struct Copying {
    pub source: CopySource,
    pub object: SharedObject,
    pub to: (Place, String),
    pub headers: ObjectHeaders,
    /// None: those of the source, whatever they are.
    pub tags: Option<Tags>,
    pub lock: Lock,
    pub encryption: Option<Encryption>,
    pub known: Known,
    /// Which the upstream is to compute of it. None: the source's stays, or `known` has one.
    pub checksum: Option<ChecksumAlgorithm>,
}

impl Copying {
    fn watch<'w>(
        &'w self,
        bucket: &'w BucketName,
        key: &'w ObjectKey,
        conditions: &'w WriteConditions,
        quota: Quota,
        is_conditional: bool,
    ) -> Watch<'w> {
        let (place, full) = &self.to;
        let (owner, size, unlock) = (&self.known.owner, Some(self.object.size), self.unlock());
        Watch { bucket, key, place, full, owner, size, unlock, conditions, quota, sealed: None, is_conditional }
    }

    fn unlock(&self) -> Option<&CustomerKey> {
        customer_key(self.encryption.as_ref())
    }

    fn source_unlock(&self) -> Option<&CustomerKey> {
        customer_key(self.object.encryption.as_ref())
    }

    fn with_source_key(&self, request: CopyObjectFluentBuilder) -> CopyObjectFluentBuilder {
        let (key, md5) = self.source_unlock().map(CustomerKey::in_base64).unzip();
        let algorithm = key.as_ref().map(|_| AES256.to_owned());
        let request = request.set_copy_source_sse_customer_algorithm(algorithm);
        request.set_copy_source_sse_customer_key(key).set_copy_source_sse_customer_key_md5(md5)
    }
}

fn customer_key(of: Option<&Encryption>) -> Option<&CustomerKey> {
    of.and_then(Encryption::customer_key).map(|key| &**key)
}

fn known_of_copy(source: &ObjectInfo, owner: TenantId, acl: Acl, headers: &ObjectHeaders) -> Known {
    Known {
        sha256: source.sha256,
        // Of one that went up in parts the MD5 is not known; its copy has another ETag.
        md5: source.sha256.and_then(|_| source.etag.md5().copied()),
        checksum: source.checksum.clone().filter(|c| c.parts == 0),
        ..Known::new(owner, acl, headers)
    }
}

impl Sending {
    pub fn unlock(&self) -> Option<&CustomerKey> {
        customer_key(self.encryption.as_ref())
    }

    fn is_under_customers_key(&self) -> bool {
        self.encryption.as_ref().is_some_and(Encryption::is_customers)
    }

    pub fn info(&self, made: Made) -> ObjectInfo {
        let (size, sha256, checksum) = (self.received.size, Some(self.received.sha256), self.received.checksum.clone());
        let written = written(made.etag, size, &self.known, self.headers.clone(), sha256, checksum);
        let encryption = made.encryption.or_else(|| self.encryption.as_ref().map(Encryption::without_key));
        ObjectInfo { version: made.version, lock: self.lock, tag_count: Some(self.tags.count()), encryption, ..written }
    }
}

/// As far as it is known without asking. A cache must not keep it: the upstream's own time of the version is not known here.
pub fn written(
    etag: ETag,
    size: u64,
    known: &Known,
    headers: ObjectHeaders,
    sha256: Option<VerifiedSha256>,
    checksum: Option<Checksum>,
) -> ObjectInfo {
    ObjectInfo {
        size,
        etag,
        modified: Timestamp::now(),
        generation: 0,
        owner: known.owner.clone(),
        acl: known.acl.clone(),
        headers,
        sha256,
        checksum,
        parts: Vec::new(),
        restore: None,
        version: VersionId::Null,
        lock: Lock::default(),
        tag_count: None,
        encryption: None,
        inspection: None,
        unknown: known.unknown.clone(),
        layer: Layer::Store,
    }
}

pub async fn part_of_file(path: &std::path::Path, offset: u64, length: u64) -> Result<ByteStream> {
    let stream = ByteStream::read_from().path(path).offset(offset).length(Length::Exact(length)).buffer_size(BUFFER).build().await;
    stream.map_err(|e| Error::storage(std::io::Error::other(e)))
}

pub fn insert_raw(request: &mut HttpRequest, raw: &[(&'static str, String)]) {
    for (name, value) in raw {
        if request.headers_mut().try_insert(*name, value.clone()).is_err() {
            tracing::debug!(name, "a header can't be sent upstream and is left out");
        }
    }
}

/// The trait's word for "look again, and decide anew".
pub fn source_replaced() -> Error {
    Error::new(ErrorKind::OperationAborted, "The copy source was replaced or deleted. Please try again.")
}

pub fn busy() -> Error {
    Error::new(ErrorKind::SlowDown, "The object is being replaced faster than it can be looked at. Please try again.")
}
