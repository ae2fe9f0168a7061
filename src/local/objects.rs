//! Writes of objects: put, copy, delete, ACL. Each is a decision on the writer's thread, prepared outside of it.

use std::sync::Arc;

use bytes::Bytes;
use sha2::Digest as _;
use tokio::task::spawn_blocking;

use crate::base::checksum::Checksum;
use crate::base::conditions::WriteConditions;
use crate::base::digest::{Sha256, VerifiedSha256};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::etag::ETag;
use crate::base::fields::Fields;
use crate::base::lock::Lock;
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::object::{Acl, ObjectHeaders, PartInfo};
use crate::base::object_ref::{ObjectRef, VersionSelector};
use crate::base::range::ByteRange;
use crate::base::tags::Tags;
use crate::files::sys;
use crate::ingest::Content;
use crate::ingest::writer::Writer;
use crate::local::hot::Entry;
use crate::local::locks::{require_future, require_room_for};
use crate::local::placing::Placed;
use crate::local::rows::{BodyPlace, Manifest, ObjectHead, ObjectRow, ObjectTail, PartsRef, RehashRow, Table, key};
use crate::local::scope::{KeyId, Scope};
use crate::local::shared::Shared;
use crate::local::txn::Txn;
use crate::local::versions;
use crate::origin::{CopyObject, Dedup, Delete, Deleted, PutObject, Quota, Written};

/// A new version, all but where its bytes will be.
struct NewVersion {
    bucket: BucketName,
    key: ObjectKey,
    owner: TenantId,
    of_key: KeyId,
    acl: Acl,
    headers: ObjectHeaders,
    lock: Lock,
    tags: Tags,
    conditions: WriteConditions,
    quota: Quota,
    size: u64,
    etag: ETag,
    sha256: VerifiedSha256,
    checksum: Option<Checksum>,
    /// Of a copied multipart object.
    parts: Vec<PartInfo>,
    unknown: Fields,
}

impl NewVersion {
    fn scope(&self) -> Scope {
        Scope::new(&self.owner, self.of_key)
    }
}

/// What the version's bytes are brought in as.
enum Bring {
    Nothing,
    Inline(Bytes),
    File(Placed),
    /// The content is believed to be here already.
    Expected,
}

enum Decided {
    Written(Written, Bring),
    /// The expected content is not here (any more).
    Gone,
}

impl Shared {
    /// `of_key`: what the bytes are encrypted with.
    pub async fn put(self: &Arc<Self>, put: PutObject, of_key: KeyId, quota: Quota) -> Result<Written> {
        self.health.require_room(&self.layout, self.settings.reserve_bytes)?;
        let PutObject { bucket, key, owner, acl, headers, tags, lock, conditions, received } = put;
        let etag = ETag::single(received.named_md5()?);
        let version = NewVersion {
            bucket,
            key,
            owner,
            of_key,
            acl,
            headers,
            lock,
            tags,
            conditions,
            quota,
            size: received.size,
            etag,
            sha256: received.sha256,
            checksum: received.checksum,
            parts: Vec::new(),
            unknown: Fields::default(),
        };
        self.write(version, received.content).await
    }

    async fn write(self: &Arc<Self>, version: NewVersion, content: Content) -> Result<Written> {
        let version = Arc::new(version);
        let file = match content {
            _ if version.size == 0 => return self.decide(&version, Bring::Nothing).await?.written(),
            Content::Memory(bytes) if bytes.len() <= self.settings.inline_limit => {
                return self.decide(&version, Bring::Inline(bytes)).await?.written();
            }
            Content::Memory(bytes) => {
                let shared = self.clone();
                spawn_blocking(move || shared.as_file(Content::Memory(bytes))).await.map_err(Error::internal)??
            }
            Content::File(file) => file,
        };
        if self.is_known(&version).await?
            && let Decided::Written(written, _) = self.decide(&version, Bring::Expected).await?
        {
            drop_blocking(file);
            return Ok(written);
        }
        let (shared, v) = (self.clone(), version.clone());
        let placed = spawn_blocking(move || shared.place_blob(&v.scope(), &v.sha256, file)).await.map_err(Error::internal)??;
        self.decide(&version, Bring::File(placed)).await?.written()
    }

    async fn is_known(self: &Arc<Self>, version: &Arc<NewVersion>) -> Result<bool> {
        let (shared, v) = (self.clone(), version.clone());
        let row = spawn_blocking(move || shared.index()?.get(Table::Hashes, &key::hash(&v.scope(), v.sha256.digest())));
        Ok(row.await.map_err(Error::internal)??.is_some())
    }

    async fn decide(self: &Arc<Self>, version: &Arc<NewVersion>, bring: Bring) -> Result<Decided> {
        let version = version.clone();
        let decided = self.queue.submit(move |txn| decide(txn, &version, bring)).await?;
        Ok(match decided {
            // A file that was there already is removed here and not on the writer's thread.
            Decided::Written(written, bring) => {
                if let Bring::File(placed) = bring {
                    placed.settled().into_iter().for_each(drop_blocking);
                }
                Decided::Written(written, Bring::Nothing)
            }
            Decided::Gone => Decided::Gone,
        })
    }

    pub async fn delete(&self, of: ObjectRef<'_>, delete: Delete) -> Result<Deleted> {
        let of = of.to_owned();
        let delete = move |txn: &mut Txn<'_>| {
            let bucket = txn.require_bucket(&of.bucket)?;
            let Delete { conditions, bypass } = delete;
            let there = match of.object().version {
                VersionSelector::Current => txn.object(&of.bucket, &of.key)?.is_some(),
                VersionSelector::Exact(id) => versions::is_there(txn, &of.bucket, &of.key, id)?,
            };
            if !conditions.is_empty() {
                // Where there is nothing the delete whose answer was lost is repeated, and it did what was asked.
                if !there {
                    return Ok(Deleted::NOTHING);
                }
                // Of the current version, whichever is to be deleted.
                check(&conditions, txn.object(&of.bucket, &of.key)?.as_deref())?;
            }
            match of.object().version {
                VersionSelector::Current => versions::delete_current(txn, &bucket, &of.key),
                VersionSelector::Exact(id) => versions::delete_exact(txn, &bucket, &of.key, id, bypass),
            }
        };
        self.queue.submit(delete).await
    }

    pub async fn set_object_acl(&self, of: ObjectRef<'_>, acl: Acl) -> Result<()> {
        let of = of.to_owned();
        let set = move |txn: &mut Txn<'_>| {
            txn.require_bucket(&of.bucket)?;
            let mut row = ObjectRow::clone(&*versions::require(txn, of.object())?);
            row.tail.acl = acl;
            versions::rewrite(txn, &of.bucket, &of.key, Arc::new(row))
        };
        self.queue.submit(set).await
    }

    /// The version stays what it is, and so does its generation.
    pub async fn set_tags(&self, of: ObjectRef<'_>, tags: Tags) -> Result<()> {
        let of = of.to_owned();
        let set = move |txn: &mut Txn<'_>| {
            txn.require_bucket(&of.bucket)?;
            let mut row = ObjectRow::clone(&*versions::require(txn, of.object())?);
            row.tail.tags = tags;
            versions::rewrite(txn, &of.bucket, &of.key, Arc::new(row))
        };
        self.queue.submit(set).await
    }

    /// `of_key`: what the copy is encrypted with.
    pub async fn copy(self: &Arc<Self>, copy: CopyObject, of_key: KeyId, quota: Quota) -> Result<Written> {
        self.health.require_room(&self.layout, self.settings.reserve_bytes)?;
        let source = &copy.source;
        let entry = self.entry_of(&copy.source_bucket, &copy.source_key, source.generation).await?.ok_or_else(source_changed)?;
        let checksum = self.checksum_of_copy(&entry, copy.checksum).await?;
        if entry.scope == Scope::new(&copy.owner, of_key) {
            return self.queue.submit(move |txn| copy_inside(txn, &copy, checksum, &quota)).await;
        }
        let shared = self.clone();
        let (content, sha256) = spawn_blocking(move || shared.copy_bytes(&entry)).await.map_err(Error::internal)??;
        if source.sha256.is_some_and(|s| s != sha256) {
            return Err(Error::internal("the source of a copy is damaged: its hash does not hold"));
        }
        let version = NewVersion {
            size: source.size,
            etag: source.etag,
            sha256,
            checksum,
            parts: source.parts.clone(),
            unknown: source.unknown.fields.of_copy(),
            bucket: copy.bucket,
            key: copy.key,
            owner: copy.owner,
            of_key,
            acl: copy.acl,
            headers: copy.headers,
            lock: copy.lock,
            tags: copy.tags,
            conditions: copy.conditions,
            quota,
        };
        self.write(version, content).await
    }

    /// The bytes of another scope's object, copied and hashed. Blocks.
    fn copy_bytes(&self, entry: &Entry) -> Result<(Content, VerifiedSha256)> {
        if !matches!(entry.place, BodyPlace::File { .. } | BodyPlace::Parts { .. }) {
            let bytes = match entry.place {
                BodyPlace::Empty => Bytes::new(),
                _ => self.read_whole(entry)?.ok_or_else(source_changed)?,
            };
            let sha256 = Sha256(sha2::Sha256::digest(&bytes).into());
            return Ok((Content::Memory(bytes), VerifiedSha256::proven(sha256)));
        }
        let mut writer = Writer::begin(self.staging.clone(), None)?;
        self.read_through(entry, &mut |piece| writer.write(piece))?;
        let (sha256, _, file) = writer.finish()?;
        Ok((Content::File(file), VerifiedSha256::proven(sha256)))
    }

    /// Calls `each` with all bytes of a body in files, in order. Blocks.
    pub fn read_through(&self, entry: &Entry, each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        const PIECE: u64 = 1024 * 1024;
        let all = ByteRange { start: 0, end: entry.info.size };
        let spans = self.spans(entry, all).ok_or_else(|| Error::internal("a body that is not in files"))?;
        for span in spans {
            let open = self.files.open(span.id, &span.path, span.file_len)?.ok_or_else(source_changed)?;
            let mut at = span.range.start;
            while at < span.range.end {
                let len = (span.range.end - at).min(PIECE);
                let piece = sys::read_exact(&open.file, len as usize, at).map_err(crate::files::open::unreadable)?;
                each(&piece)?;
                at += len;
            }
        }
        Ok(())
    }
}

impl Decided {
    fn written(self) -> Result<Written> {
        match self {
            Decided::Written(written, _) => Ok(written),
            Decided::Gone => Err(Error::internal("content was expected that nobody spoke of")),
        }
    }
}

fn decide(txn: &mut Txn<'_>, version: &NewVersion, mut bring: Bring) -> Result<Decided> {
    let bucket = txn.require_bucket(&version.bucket)?;
    require_room_for(&bucket, version.lock)?;
    require_future(version.lock.retention, txn.judged())?;
    let current = txn.object(&version.bucket, &version.key)?;
    check(&version.conditions, current.as_deref())?;
    let replaced = versions::replaced(txn, &bucket, &version.key, current.as_ref())?;
    check_quota(txn, &version.owner, &version.quota, version.size, replaced.as_deref())?;
    let known = if version.size == 0 { None } else { txn.content(&version.scope(), &version.sha256)? };
    let (place, dedup) = match (known, &mut bring) {
        (Some(content), _) => (content.place, Dedup::Hit),
        (None, Bring::Expected) => return Ok(Decided::Gone),
        (None, Bring::Nothing) => (BodyPlace::Empty, Dedup::Miss),
        (None, Bring::Inline(bytes)) => (txn.add_content(std::mem::take(bytes))?, Dedup::Miss),
        (None, Bring::File(placed)) => {
            placed.handed_over();
            (BodyPlace::File { id: placed.id() }, Dedup::Miss)
        }
    };
    let mut parts = None;
    if !version.parts.is_empty() {
        let manifest = txn.new_id();
        txn.set_row(Table::Manifests, key::id(manifest), &Manifest { parts: version.parts.clone(), files: Vec::new() })?;
        parts = Some(PartsRef { manifest, count: version.parts.len() as u16 });
    }
    let row = Arc::new(ObjectRow {
        head: ObjectHead {
            size: version.size,
            etag: version.etag,
            modified: txn.now(),
            owner: version.owner.clone(),
            checksum: version.checksum.clone(),
        },
        tail: ObjectTail {
            generation: txn.next_generation(),
            standing: versions::standing(&bucket),
            key: version.of_key,
            acl: version.acl.clone(),
            headers: version.headers.clone(),
            lock: version.lock,
            tags: version.tags.clone(),
            sha256: Some(version.sha256),
            place,
            parts,
            unknown: version.unknown.clone(),
        },
    });
    versions::make_current(txn, &bucket, &version.key, row.clone())?;
    let object = Arc::new(row.info(version.parts.clone()));
    Ok(Decided::Written(Written { object, dedup }, bring))
}

/// Inside a scope no byte is copied: the new version is at the same place.
fn copy_inside(txn: &mut Txn<'_>, copy: &CopyObject, checksum: Option<Checksum>, quota: &Quota) -> Result<Written> {
    let bucket = txn.require_bucket(&copy.bucket)?;
    require_room_for(&bucket, copy.lock)?;
    require_future(copy.lock.retention, txn.judged())?;
    let source = versions::of_generation(txn, &copy.source_bucket, &copy.source_key, copy.source.generation)?.ok_or_else(source_changed)?;
    let current = txn.object(&copy.bucket, &copy.key)?;
    check(&copy.conditions, current.as_deref())?;
    let replaced = versions::replaced(txn, &bucket, &copy.key, current.as_ref())?;
    check_quota(txn, &copy.owner, quota, source.head.size, replaced.as_deref())?;
    let in_place = (&copy.source_bucket, &copy.source_key) == (&copy.bucket, &copy.key)
        && replaced.is_some_and(|row| row.tail.generation == source.tail.generation);
    // Named one by one: whether a copy has it too must be said of each.
    let ObjectHead { size, etag, modified: _, owner, checksum: _ } = source.head.clone();
    let ObjectTail { generation: _, standing: _, key, acl: _, headers: _, lock: _, tags: _, sha256, place, parts, unknown } =
        source.tail.clone();
    let row = ObjectRow {
        head: ObjectHead { size, etag, modified: txn.now(), owner, checksum },
        tail: ObjectTail {
            generation: txn.next_generation(),
            standing: versions::standing(&bucket),
            key,
            acl: copy.acl.clone(),
            headers: copy.headers.clone(),
            lock: copy.lock,
            tags: copy.tags.clone(),
            sha256,
            place,
            parts,
            unknown: if in_place { unknown } else { unknown.of_copy() },
        },
    };
    if row.tail.sha256.is_none() {
        let todo = RehashRow { bucket: copy.bucket.clone(), key: copy.key.clone() };
        txn.set_row(Table::Rehash, key::id(row.tail.generation), &todo)?;
    }
    let object = Arc::new(row.info(copy.source.parts.clone()));
    versions::make_current(txn, &bucket, &copy.key, Arc::new(row))?;
    Ok(Written { object, dedup: Dedup::Hit })
}

pub fn check(conditions: &WriteConditions, current: Option<&ObjectRow>) -> Result<()> {
    if conditions.is_empty() {
        return Ok(());
    }
    conditions.check(current.map(|row| row.info(Vec::new())).as_ref())
}

fn check_quota(txn: &Txn<'_>, owner: &TenantId, quota: &Quota, size: u64, replaced: Option<&ObjectRow>) -> Result<()> {
    let replaced = replaced.filter(|row| row.head.owner == *owner);
    let bytes = i128::from(size) - replaced.map_or(0, |row| i128::from(row.head.size));
    txn.check_quota(owner, quota, bytes, if replaced.is_some() { 0 } else { 1 })
}

fn source_changed() -> Error {
    Error::new(ErrorKind::OperationAborted, "The copy source was changed while it was copied. Please try again.")
}

/// Removing a file can take the disk a while; the reactor does not wait for it.
pub fn drop_blocking<T: Send + 'static>(what: T) {
    spawn_blocking(move || drop(what));
}
