//! Copies: inside a scope a row of its own for the same bytes, and nothing else; across scopes, or where a client's key has to do with
//! it, the bytes.
//!
//! Called by `serve`. `read_through` is here for all who read a body in files from end to end.

use std::sync::Arc;

use bytes::Bytes;
use sha2::Digest as _;
use tokio::task::spawn_blocking;

use crate::base::checksum::Checksum;
use crate::base::crypt::{DataKey, Place, Ring};
use crate::base::digest::{Md5, Sha256, VerifiedSha256};
use crate::base::encryption::Encryption;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::range::ByteRange;
use crate::files::sys;
use crate::ingest::Content;
use crate::ingest::md5::Md5Hasher;
use crate::ingest::writer::Writer;
use crate::local::encrypt;
use crate::local::hot::Entry;
use crate::local::locks::{require_future, require_room_for};
use crate::local::objects::{NewVersion, check, check_quota};
use crate::local::rows::{BodyPlace, ObjectHead, ObjectRow, ObjectTail, RehashRow, Table, key};
use crate::local::scope::Scope;
use crate::local::shared::Shared;
use crate::local::txn::Txn;
use crate::local::versions;
use crate::origin::{CopyObject, Dedup, Quota, Written};

/// Read at once: whole chunks.
const PIECE: u64 = 1024 * 1024;

impl Shared {
    pub async fn copy(self: &Arc<Self>, copy: CopyObject, quota: Quota) -> Result<Written> {
        self.health.require_room(&self.layout, self.settings.reserve_bytes)?;
        let source = &copy.source;
        let entry = self.entry_of(&copy.source_bucket, &copy.source_key, source.generation).await?.ok_or_else(source_changed)?;
        let unlocked = self.unlock(&entry, source.encryption.as_ref().and_then(Encryption::customer_key))?;
        encrypt::require_key(copy.encryption.as_ref())?;
        let checksum = self.checksum_of_copy(&entry, unlocked.clone(), copy.checksum).await?;
        let customers = copy.encryption.as_ref().is_some_and(Encryption::is_customers);
        if !customers && entry.scope == Scope::new(&copy.owner, encrypt::key_id(copy.encryption.as_ref())) {
            let ring = self.ring.load_full();
            return self.queue.submit(move |txn| copy_inside(txn, &ring, &copy, checksum, &quota)).await;
        }
        let (shared, of) = (self.clone(), copy.encryption.clone());
        let copied = spawn_blocking(move || shared.copy_bytes(&entry, unlocked.as_ref(), of.as_ref()));
        let (content, sha256, md5) = copied.await.map_err(Error::internal)??;
        if source.sha256.is_some_and(|s| s != sha256) {
            return Err(Error::internal("the source of a copy is damaged: its hash does not hold"));
        }
        let (from, to) = (source.encryption.as_ref(), copy.encryption.as_ref());
        let etag = match Encryption::shows_md5(from) && Encryption::shows_md5(to) || !source.parts.is_empty() {
            true => source.etag,
            false => encrypt::etag(to, md5)?,
        };
        let version = NewVersion {
            size: source.size,
            etag,
            sha256,
            checksum,
            parts: source.parts.clone(),
            unknown: source.unknown.fields.of_copy(),
            bucket: copy.bucket,
            key: copy.key,
            owner: copy.owner,
            encryption: copy.encryption,
            data_key: None,
            acl: copy.acl,
            headers: copy.headers,
            lock: copy.lock,
            tags: copy.tags,
            conditions: copy.conditions,
            quota,
        };
        self.write(version, content).await
    }

    /// The bytes of another scope's object, copied and hashed, to lie as the copy will. Blocks.
    fn copy_bytes(&self, entry: &Entry, key: Option<&Arc<DataKey>>, to: Option<&Encryption>) -> Result<(Content, VerifiedSha256, Md5)> {
        if !matches!(entry.place, BodyPlace::File { .. } | BodyPlace::Parts { .. }) {
            let bytes = match entry.place {
                BodyPlace::Empty => Bytes::new(),
                _ => self.read_opened(entry, key)?.ok_or_else(source_changed)?,
            };
            let (sha256, md5) = (Sha256(sha2::Sha256::digest(&bytes).into()), Md5Hasher::digest(&bytes));
            return Ok((Content::Memory(bytes), VerifiedSha256::proven(sha256), md5));
        }
        let (mut writer, mut md5) = (Writer::begin(self.staging_of(to)?, None)?, Md5Hasher::new());
        self.read_through(entry, key, &mut |piece| {
            md5.update(piece);
            writer.write(piece)
        })?;
        let (sha256, _, file) = writer.finish()?;
        Ok((Content::File(file), VerifiedSha256::proven(sha256), md5.finish()))
    }

    /// Calls `each` with all bytes of a body in files, in order, as they came. Blocks.
    pub fn read_through(&self, entry: &Entry, key: Option<&Arc<DataKey>>, each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let all = ByteRange { start: 0, end: entry.info.size };
        if let Some(key) = key {
            for span in self.sealed_spans(entry, key, all)? {
                let range = span.span.range.clone();
                for at in (range.start..range.end).step_by(PIECE as usize) {
                    let piece = span.read(&self.files, &(at..range.end.min(at + PIECE)))?.ok_or_else(source_changed)?;
                    each(&piece)?;
                }
            }
            return Ok(());
        }
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

/// Inside a scope no byte is copied: the new version is at the same place.
fn copy_inside(txn: &mut Txn<'_>, ring: &Ring, copy: &CopyObject, checksum: Option<Checksum>, quota: &Quota) -> Result<Written> {
    let bucket = txn.require_bucket(&copy.bucket)?;
    require_room_for(&bucket, copy.lock)?;
    require_future(copy.lock.retention, txn.judged())?;
    let source = versions::of_generation(txn, &copy.source_bucket, &copy.source_key, copy.source.generation)?.ok_or_else(source_changed)?;
    let current = txn.object(&copy.bucket, &copy.key)?;
    check(&copy.conditions, current.as_deref())?;
    let replaced = versions::replaced(txn, &bucket, &copy.key, current.as_ref())?;
    check_quota(txn, &copy.bucket, &copy.owner, quota, source.head.size, replaced.as_deref())?;
    let in_place = (&copy.source_bucket, &copy.source_key) == (&copy.bucket, &copy.key)
        && replaced.is_some_and(|row| row.tail.generation == source.tail.generation);
    // Named one by one: whether a copy has it too must be said of each.
    let ObjectHead { size, etag, modified: _, owner, checksum: _ } = source.head.clone();
    let ObjectTail {
        generation: old,
        standing: _,
        key,
        envelope,
        acl: _,
        headers: _,
        lock: _,
        tags: _,
        sha256,
        place,
        parts,
        inspection: _,
        unknown,
    } = source.tail.clone();
    let data_key = match &envelope {
        Some(envelope) => Some(ring.unwrap(envelope, &Place::of_version(&copy.source_bucket, &copy.source_key, old, size), None)?),
        None => None,
    };
    let generation = txn.next_generation();
    let at = Place::of_version(&copy.bucket, &copy.key, generation, size);
    let row = ObjectRow {
        head: ObjectHead { size, etag, modified: txn.now(), owner, checksum },
        tail: ObjectTail {
            generation,
            standing: versions::standing(&bucket),
            key,
            envelope: encrypt::envelope(ring, copy.encryption.as_ref(), data_key.as_ref(), &at)?,
            acl: copy.acl.clone(),
            headers: copy.headers.clone(),
            lock: copy.lock,
            tags: copy.tags.clone(),
            sha256,
            place,
            parts,
            inspection: None,
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

fn source_changed() -> Error {
    Error::new(ErrorKind::OperationAborted, "The copy source was changed while it was copied. Please try again.")
}
