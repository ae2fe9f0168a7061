//! Writes of objects: put, delete, ACL; copies are in `copying`. Each is a decision on the writer's thread, prepared outside of it.

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::spawn_blocking;

use crate::base::checksum::Checksum;
use crate::base::conditions::WriteConditions;
use crate::base::crypt::{DataKey, Place, Ring};
use crate::base::digest::VerifiedSha256;
use crate::base::encryption::Encryption;
use crate::base::error::{Error, Result};
use crate::base::etag::ETag;
use crate::base::fields::{Fields, Tag};
use crate::base::inspection::Inspection;
use crate::base::lock::Lock;
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::object::{Acl, ObjectHeaders, PartInfo};
use crate::base::object_ref::{ObjectRef, VersionSelector};
use crate::base::tags::Tags;
use crate::ingest::Content;
use crate::local::encrypt;
use crate::local::locks::{require_future, require_room_for};
use crate::local::placing::Placed;
use crate::local::rows::{BodyPlace, Manifest, ObjectHead, ObjectRow, ObjectTail, PartsRef, Table, key};
use crate::local::scope::Scope;
use crate::local::shared::Shared;
use crate::local::txn::Txn;
use crate::local::versions;
use crate::origin::{Dedup, Delete, Deleted, PutObject, Quota, Written};

/// A new version, all but where its bytes will be.
pub struct NewVersion {
    pub bucket: BucketName,
    pub key: ObjectKey,
    pub owner: TenantId,
    pub encryption: Option<Encryption>,
    /// Of the bytes that are brought in.
    pub data_key: Option<Arc<DataKey>>,
    pub acl: Acl,
    pub headers: ObjectHeaders,
    pub lock: Lock,
    pub tags: Tags,
    pub conditions: WriteConditions,
    pub quota: Quota,
    pub size: u64,
    pub etag: ETag,
    pub sha256: VerifiedSha256,
    pub checksum: Option<Checksum>,
    /// Of a copied multipart object.
    pub parts: Vec<PartInfo>,
    pub unknown: Fields,
}

impl NewVersion {
    fn scope(&self) -> Scope {
        Scope::new(&self.owner, encrypt::key_id(self.encryption.as_ref()))
    }

    /// Whether the same content may be here, and may be used.
    fn may_be_shared(&self) -> bool {
        self.size > 0 && !self.encryption.as_ref().is_some_and(Encryption::is_customers)
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
    pub async fn put(self: &Arc<Self>, put: PutObject, quota: Quota) -> Result<Written> {
        self.health.require_room(&self.layout, self.settings.reserve_bytes)?;
        let PutObject { bucket, key, owner, acl, headers, tags, encryption, lock, conditions, received } = put;
        encrypt::require_key(encryption.as_ref())?;
        let etag = encrypt::etag(encryption.as_ref(), received.named_md5()?)?;
        let version = NewVersion {
            bucket,
            key,
            owner,
            encryption,
            data_key: None,
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

    pub async fn write(self: &Arc<Self>, version: NewVersion, content: Content) -> Result<Written> {
        let encrypted = version.encryption.is_some();
        let (content, data_key) = match content {
            Content::Memory(_) if !encrypted => (content, None),
            content => {
                let shared = self.clone();
                spawn_blocking(move || shared.brought_under(content, encrypted)).await.map_err(Error::internal)??
            }
        };
        let version = Arc::new(NewVersion { data_key, ..version });
        let file = match content {
            _ if version.size == 0 => return self.decide(&version, Bring::Nothing).await?.written(),
            Content::Memory(bytes) if version.size <= self.settings.inline_limit as u64 => {
                return self.decide(&version, Bring::Inline(bytes)).await?.written();
            }
            Content::Memory(bytes) => {
                let shared = self.clone();
                spawn_blocking(move || shared.as_file(Content::Memory(bytes))).await.map_err(Error::internal)??
            }
            Content::File(file) => file,
        };
        if version.may_be_shared()
            && self.is_known(&version).await?
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
        let (version, ring) = (version.clone(), self.ring.load_full());
        let decided = self.queue.submit(move |txn| decide(txn, &ring, &version, bring)).await?;
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

    /// False: that version is not there any more. The version stays what it is, and so does its generation.
    pub async fn set_inspection(&self, of: ObjectRef<'_>, generation: u64, inspection: &Inspection) -> Result<bool> {
        let (of, inspection) = (of.to_owned(), Arc::new(inspection.clone()));
        let set = move |txn: &mut Txn<'_>| {
            let found = txn.object(&of.bucket, &of.key)?.filter(|row| row.tail.generation == generation);
            let Some(found) = found else { return Ok(false) };
            let mut row = ObjectRow::clone(&found);
            row.tail.inspection = Some(inspection);
            // Of a newer program, which this takes the place of.
            row.tail.unknown.take(Tag::INSPECTION);
            versions::rewrite(txn, &of.bucket, &of.key, Arc::new(row)).map(|()| true)
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
}

impl Decided {
    fn written(self) -> Result<Written> {
        match self {
            Decided::Written(written, _) => Ok(written),
            Decided::Gone => Err(Error::internal("content was expected that nobody spoke of")),
        }
    }
}

fn decide(txn: &mut Txn<'_>, ring: &Ring, version: &NewVersion, mut bring: Bring) -> Result<Decided> {
    let bucket = txn.require_bucket(&version.bucket)?;
    require_room_for(&bucket, version.lock)?;
    require_future(version.lock.retention, txn.judged())?;
    let current = txn.object(&version.bucket, &version.key)?;
    check(&version.conditions, current.as_deref())?;
    let replaced = versions::replaced(txn, &bucket, &version.key, current.as_ref())?;
    check_quota(txn, &version.bucket, &version.owner, &version.quota, version.size, replaced.as_deref())?;
    let of = version.encryption.as_ref();
    let known = if version.may_be_shared() { txn.content(&version.scope(), &version.sha256)? } else { None };
    let known = known.and_then(|content| encrypt::known(ring, of, content));
    let brought = |place| (place, version.data_key.clone(), Dedup::Miss);
    let (place, data_key, dedup) = match (known, &mut bring) {
        (Some((place, data_key)), _) => (place, data_key, Dedup::Hit),
        (None, Bring::Expected) => return Ok(Decided::Gone),
        (None, Bring::Nothing) => brought(BodyPlace::Empty),
        (None, Bring::Inline(bytes)) => brought(txn.add_content(std::mem::take(bytes))?),
        (None, Bring::File(placed)) => {
            placed.handed_over();
            brought(BodyPlace::File { id: placed.id() })
        }
    };
    let generation = txn.next_generation();
    let at = Place::of_version(&version.bucket, &version.key, generation, version.size);
    let envelope = encrypt::envelope(ring, of, data_key.as_deref(), &at)?;
    let mut parts = None;
    if !version.parts.is_empty() {
        let manifest = txn.new_id();
        txn.set_row(Table::Manifests, key::id(manifest), &Manifest { parts: version.parts.clone(), ..Manifest::default() })?;
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
            generation,
            standing: versions::standing(&bucket),
            key: encrypt::key_id(of),
            envelope,
            acl: version.acl.clone(),
            headers: version.headers.clone(),
            lock: version.lock,
            tags: version.tags.clone(),
            sha256: Some(version.sha256),
            place,
            parts,
            inspection: None,
            unknown: version.unknown.clone(),
        },
    });
    versions::make_current(txn, &bucket, &version.key, row.clone())?;
    let object = Arc::new(row.info(version.parts.clone()));
    Ok(Decided::Written(Written { object, dedup }, bring))
}

pub fn check(conditions: &WriteConditions, current: Option<&ObjectRow>) -> Result<()> {
    if conditions.is_empty() {
        return Ok(());
    }
    conditions.check(current.map(|row| row.info(Vec::new())).as_ref())
}

pub fn check_quota(
    txn: &Txn<'_>,
    bucket: &BucketName,
    owner: &TenantId,
    quota: &Quota,
    size: u64,
    replaced: Option<&ObjectRow>,
) -> Result<()> {
    let more = |replaced: Option<&ObjectRow>| i128::from(size) - replaced.map_or(0, |row| i128::from(row.head.size));
    txn.check_bucket_limit(bucket, more(replaced), i128::from(replaced.is_none()))?;
    let replaced = replaced.filter(|row| row.head.owner == *owner);
    txn.check_quota(owner, quota, more(replaced), if replaced.is_some() { 0 } else { 1 })
}

/// Removing a file can take the disk a while; the reactor does not wait for it.
pub fn drop_blocking<T: Send + 'static>(what: T) {
    spawn_blocking(move || drop(what));
}
