//! Reads: one version's information, and the bytes of it.
//!
//! Here of the current version, as a rule; of others: `exact`.
//! Hot: from memory, on the reactor. Cold: the index and the disk are asked on blocking threads.

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::spawn_blocking;

use crate::base::crypt::chunks::sealed_len;
use crate::base::crypt::{DataKey, Place, ring};
use crate::base::encryption::Encryption;
use crate::base::error::{Error, Result};
use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::{ObjectInfo, SharedObject};
use crate::base::object_ref::{ObjectRef, VersionSelector};
use crate::base::range::ByteRange;
use crate::files::open::unreadable;
use crate::files::{FileBody, SealedBody, SealedSpan, Span, sys};
use crate::index::Index;
use crate::local::hot::{Entry, Ticket};
use crate::local::rows::{BodyPlace, Held, Id, Manifest, ObjectRow, Table, key as row_key};
use crate::local::shared::Shared;
use crate::local::stored;
use crate::local::txn::no_such_bucket;
use crate::origin::{Body, ReadBy};

/// A version that keeps being replaced between its look-up and its opening: more tries than a busy key needs.
pub const TRIES: usize = 4;
/// Of smaller ones more fit into memory than files stay open.
const SENT_FROM_FILES: u64 = 256 * 1024;

impl Shared {
    pub async fn stat(self: &Arc<Self>, bucket: &BucketName, key: &ObjectKey) -> Result<Option<SharedObject>> {
        if let Some(entry) = self.hot.get(bucket, key) {
            return Ok(Some(entry.info.clone()));
        }
        if self.buckets.get(bucket.as_str()).is_none() {
            return Err(no_such_bucket());
        }
        Ok(self.entry(bucket, key).await?.map(|e| e.info.clone()))
    }

    pub fn open_hot(&self, bucket: &BucketName, key: &ObjectKey, object: &ObjectInfo, range: ByteRange, by: ReadBy) -> Option<Body> {
        let entry = self.hot.get(bucket, key).filter(|e| e.info.generation == object.generation)?;
        if let Some(body) = &entry.body {
            return slice(body, range).map(Body::Memory);
        }
        // What fits into memory is better served from there: `open` brings it in. What lies under a key is opened on other threads.
        if self.fits(&entry, by) || entry.held.is_some() {
            return None;
        }
        let spans = self.spans(&entry, range)?;
        let first = self.files.get(spans.first()?.id)?;
        Some(Body::Stream(Box::pin(FileBody::new(self.files.clone(), spans, Some(first), by == ReadBy::Kernel))))
    }

    pub async fn open(self: &Arc<Self>, of: ObjectRef<'_>, object: &ObjectInfo, range: ByteRange, by: ReadBy) -> Result<Option<Body>> {
        for _ in 0..TRIES {
            let ticket = self.hot.begin(of.bucket, of.key);
            let entry = match of.version {
                VersionSelector::Current => self.entry(of.bucket, of.key).await?.filter(|e| e.info.generation == object.generation),
                VersionSelector::Exact(_) => self.entry_of(of.bucket, of.key, object.generation).await?,
            };
            let Some(entry) = entry else { return Ok(None) };
            if range.end > entry.info.size {
                return Err(Error::internal("a range beyond the body"));
            }
            let key = match &entry.held {
                Some(_) => self.unlock(&entry, object.encryption.as_ref().and_then(Encryption::customer_key))?,
                None => None,
            };
            if let Some(body) = self.open_entry(of, &entry, key, ticket, range, by).await? {
                return Ok(Some(body));
            }
            // The record names a place that is gone: it was replaced, or its body was moved. Look again.
        }
        Err(unreadable(std::io::Error::other("a body's file is missing: run `tidegate fsck`")))
    }

    /// Whether its body is served from memory, once it is read again. What the kernel sends from a file of its own is not: that takes no
    /// copy at all.
    fn fits(&self, entry: &Entry, by: ReadBy) -> bool {
        let sent = by == ReadBy::Kernel && entry.held.is_none() && matches!(entry.place, BodyPlace::File { .. });
        entry.info.size <= self.hot.body_bytes && !(sent && entry.info.size >= SENT_FROM_FILES)
    }

    /// None: the place is gone.
    async fn open_entry(
        self: &Arc<Self>,
        of: ObjectRef<'_>,
        entry: &Arc<Entry>,
        key: Option<Arc<DataKey>>,
        ticket: Ticket,
        range: ByteRange,
        by: ReadBy,
    ) -> Result<Option<Body>> {
        if let Some(body) = &entry.body {
            return Ok(slice(body, range).map(Body::Memory));
        }
        let small = self.fits(entry, by);
        // The cache holds what keys show, and nothing else of them.
        let customers = entry.info.encryption.as_ref().is_some_and(Encryption::is_customers);
        let keep = small && !customers && of.version == VersionSelector::Current && entry.read_again();
        match entry.place {
            // Whoever asks for nothing asks whether he has the key.
            _ if range.start == range.end => return Ok(Some(Body::Memory(Bytes::new()))),
            BodyPlace::Empty => return Ok(Some(Body::Memory(Bytes::new()))),
            BodyPlace::Pending(_) => return Err(Error::internal("a body that has no place yet")),
            BodyPlace::Inline { .. } => {}
            BodyPlace::File { .. } if keep => {}
            BodyPlace::File { .. } | BodyPlace::Parts { .. } => return self.stream(entry, key, range, by).await,
        }
        let (shared, cold) = (self.clone(), entry.clone());
        let read = spawn_blocking(move || shared.read_opened(&cold, key.as_ref())).await.map_err(Error::internal)??;
        let Some(body) = read else { return Ok(None) };
        if keep {
            self.hot.finish(ticket, of.bucket, of.key, Arc::new(entry.with_body(body.clone())));
        }
        Ok(slice(&body, range).map(Body::Memory))
    }

    /// The version the index knows now, from memory if it is there.
    pub async fn entry(self: &Arc<Self>, bucket: &BucketName, key: &ObjectKey) -> Result<Option<Arc<Entry>>> {
        if let Some(entry) = self.hot.get(bucket, key) {
            return Ok(Some(entry));
        }
        let (shared, bucket, key) = (self.clone(), bucket.clone(), key.clone());
        spawn_blocking(move || shared.load_entry(&bucket, &key)).await.map_err(Error::internal)?
    }

    /// Blocks.
    pub fn load_entry(&self, bucket: &BucketName, key: &ObjectKey) -> Result<Option<Arc<Entry>>> {
        let index = self.index()?;
        let at = row_key::object(bucket, key);
        for _ in 0..TRIES {
            let ticket = self.hot.begin(bucket, key);
            let Some(bytes) = index.get(Table::Objects, &at)? else { return Ok(None) };
            let Some(entry) = entry_from(&index, bucket, key, &stored::decode(&bytes)?)? else { continue };
            let entry = Arc::new(entry);
            self.hot.finish(ticket, bucket, key, entry.clone());
            return Ok(Some(entry));
        }
        Err(parts_missing())
    }

    /// All bytes of a body that is one piece, as they lie there. Blocks. None: the place is gone.
    pub fn read_whole(&self, entry: &Entry) -> Result<Option<Bytes>> {
        let info = &entry.info;
        match entry.place {
            BodyPlace::Inline { segment, offset, len, crc } => self.segments.read(segment, offset, len, crc),
            BodyPlace::File { id } => {
                let Some(sha256) = &info.sha256 else { return Err(Error::internal("a file without a name")) };
                let path = self.layout.blob(&entry.scope, sha256, id);
                let len = if entry.held.is_some() { sealed_len(info.size) } else { info.size };
                let Some(open) = self.files.open(id, &path, len)? else { return Ok(None) };
                sys::read_exact(&open.file, len as usize, 0).map(Some).map_err(unreadable)
            }
            BodyPlace::Empty | BodyPlace::Parts { .. } | BodyPlace::Pending(_) => Err(Error::internal("a body that is not one piece")),
        }
    }

    async fn stream(self: &Arc<Self>, entry: &Arc<Entry>, key: Option<Arc<DataKey>>, range: ByteRange, by: ReadBy) -> Result<Option<Body>> {
        if let Some(key) = key {
            return self.stream_sealed(entry, key, range).await;
        }
        let spans = self.spans(entry, range).ok_or_else(|| Error::internal("a body without its parts"))?;
        let Some(span) = spans.first().cloned() else { return Ok(Some(Body::Memory(Bytes::new()))) };
        let first = match self.files.get(span.id) {
            Some(open) => open,
            None => {
                let files = self.files.clone();
                let opened = spawn_blocking(move || files.open(span.id, &span.path, span.file_len)).await.map_err(Error::internal)??;
                let Some(open) = opened else { return Ok(None) };
                open
            }
        };
        Ok(Some(Body::Stream(Box::pin(FileBody::new(self.files.clone(), spans, Some(first), by == ReadBy::Kernel)))))
    }

    async fn stream_sealed(self: &Arc<Self>, entry: &Arc<Entry>, key: Arc<DataKey>, range: ByteRange) -> Result<Option<Body>> {
        let spans = self.sealed_spans(entry, &key, range)?;
        let Some(Span { id, path, file_len, .. }) = spans.first().map(|s| s.span.clone()) else {
            return Ok(Some(Body::Memory(Bytes::new())));
        };
        if self.files.get(id).is_none() {
            let files = self.files.clone();
            let opened = spawn_blocking(move || files.open(id, &path, file_len)).await.map_err(Error::internal)??;
            if opened.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(Body::Stream(Box::pin(SealedBody::new(self.files.clone(), spans)))))
    }

    /// As `spans`, with the keys of the files. `key` is the entry's own.
    pub fn sealed_spans(&self, entry: &Entry, key: &Arc<DataKey>, range: ByteRange) -> Result<Vec<SealedSpan>> {
        let spans = self.spans(entry, range).ok_or_else(|| Error::internal("a body that is not in files"))?;
        let Some(manifest) = &entry.manifest else {
            return Ok(spans.into_iter().map(|span| SealedSpan::new(span, key.clone())).collect());
        };
        let Manifest { parts, files, keys } = &**manifest;
        let in_order = parts.windows(2).all(|two| matches!(two, [a, b] if a.number < b.number));
        let whole = files.iter().map(|f| f.size).sum::<u64>() == entry.info.size;
        if !in_order || !whole || files.len() != keys.len() || files.len() != parts.len() {
            return Err(ring::unreadable("the parts of an object's data key"));
        }
        let mut spans = spans.into_iter().peekable();
        let mut sealed = Vec::new();
        for ((part, file), part_key) in parts.iter().zip(files).zip(keys) {
            if let Some(span) = spans.next_if(|span| span.id == file.id) {
                sealed.push(SealedSpan::of_part(span, key.clone(), part.number, part_key.clone()));
            }
        }
        Ok(sealed)
    }

    /// The ranges of files that make up the range of the body. None: it is not in files.
    pub fn spans(&self, entry: &Entry, range: ByteRange) -> Option<Vec<Span>> {
        let info = &entry.info;
        match entry.place {
            BodyPlace::File { id } => {
                let path = self.layout.blob(&entry.scope, info.sha256.as_ref()?, id);
                Some(vec![Span { id, path, file_len: info.size, range: range.start..range.end }])
            }
            BodyPlace::Parts { .. } => {
                let mut spans = Vec::new();
                let mut at = 0;
                for file in &entry.manifest.as_ref()?.files {
                    let (start, end) = (range.start.max(at), range.end.min(at + file.size));
                    if start < end {
                        let path = self.layout.part(&entry.scope, file.id);
                        spans.push(Span { id: file.id, path, file_len: file.size, range: start - at..end - at });
                    }
                    at += file.size;
                }
                Some(spans)
            }
            BodyPlace::Empty | BodyPlace::Inline { .. } | BodyPlace::Pending(_) => None,
        }
    }
}

/// None: a manifest that the row names is gone. The row was replaced meanwhile.
pub fn entry_from(index: &Index, bucket: &BucketName, key: &ObjectKey, row: &ObjectRow) -> Result<Option<Entry>> {
    let manifest = |id: Id| index.get(Table::Manifests, &row_key::id(id))?.map(|b| stored::decode::<Manifest>(&b)).transpose();
    let (mut parts, mut content) = (Vec::new(), None);
    if let Some(p) = row.tail.parts {
        let Some(m) = manifest(p.manifest)? else { return Ok(None) };
        parts = m.parts.clone();
        content = Some((p.manifest, m));
    }
    if let BodyPlace::Parts { manifest: id } = row.tail.place
        && content.as_ref().is_none_or(|(have, _)| *have != id)
    {
        let Some(m) = manifest(id)? else { return Ok(None) };
        content = Some((id, m));
    }
    let manifest = content.filter(|_| matches!(row.tail.place, BodyPlace::Parts { .. })).map(|(_, m)| Arc::new(m));
    let place = || Place::of_version(bucket, key, row.tail.generation, row.head.size);
    let held = row.tail.envelope.clone().map(|envelope| Held { envelope, place: place() });
    Ok(Some(Entry::new(Arc::new(row.info(parts)), row.scope(), row.tail.place, held, manifest)))
}

pub fn parts_missing() -> Error {
    Error::internal("an object's parts are missing: run `tidegate fsck`")
}

fn slice(body: &Bytes, range: ByteRange) -> Option<Bytes> {
    let (start, end) = (usize::try_from(range.start).ok()?, usize::try_from(range.end).ok()?);
    (start <= end && end <= body.len()).then(|| body.slice(start..end))
}
