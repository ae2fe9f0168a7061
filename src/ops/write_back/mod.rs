//! Write-back: an origin over another one, for buckets whose writes are answered as soon as they are durable here. A store of
//! its own holds what is not yet upstream; for each of its entries there is a durable job that carries it up.
//!
//! - An entry is an object or the mark of a delete (`entry`). Reads look there first (`origin`, `merge`).
//! - A write is decided against what this node shows, kept, and its job enqueued; then it is answered (`write`).
//! - One turn at a time brings a key's entry upstream, and takes the entry away only if it is still that version (`carry`).
//! - Of a bucket that keeps versions nothing is written back: an entry that waits has no name yet, and its writer is told one.
//! - Multipart uploads, ACLs and copies of what is upstream already are done there, after what waits for their key.
//!
//! Invariants: what was acknowledged is here or upstream at any moment. Of one key upstream ends with the last version that was
//! acknowledged here. Whoever takes both a key's turn and its lock takes the turn first.
//! Not here: the job's kind (`jobs::upload`), who may do what. Built by `app::stack`, where the origin is remote.

mod carry;
mod entry;
mod merge;
mod origin;
mod status;
mod waiting;
mod write;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::error::{ErrorKind, Result};
use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::{ListEntry, ListQuery, ListedObject, SharedBucket};
use crate::base::object_ref::ObjectRef;
use crate::base::versions::Versioning;
use crate::local::Local;
use crate::ops::keyed::Keyed;
use crate::ops::tally::Tally;
use crate::origin::{Buckets, Freshness, Origin, Reads};
use crate::queue::{JobId, NewJob, Payload, Queue};
use crate::telemetry::write_back::WriteBack as Gauges;

pub use carry::{Carried, is_for_good};
pub use status::Left;

use entry::{Entry, is_listed_delete};
use waiting::Waiting;

/// The kind of the jobs that carry entries up.
pub const KIND: &str = "upload";
pub const VERSION: u16 = 1;
const PAGE: usize = 1000;

/// What a job is to carry. It carries what is there by then, which may be newer.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Document {
    pub bucket: BucketName,
    pub key: ObjectKey,
    /// Names the version in the overlay's store.
    pub generation: u64,
    pub size: u64,
    pub etag: String,
    pub sha256: Option<String>,
    pub delete: bool,
}

#[derive(Debug, Clone)]
pub struct Settings {
    /// Whose writes are written back.
    pub buckets: Vec<BucketName>,
    /// Bytes that may wait, of all buckets.
    pub limit: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { buckets: Vec::new(), limit: 10 * 1024 * 1024 * 1024 }
    }
}

/// Whether the writes of a bucket are written back.
pub type Mode = Arc<dyn Fn(&BucketName) -> bool + Send + Sync>;

/// The overlay as an origin. Cheap to clone.
#[derive(Clone)]
pub struct WriteBack(Arc<Overlay>);

struct Overlay {
    local: Arc<Local>,
    upstream: Origin,
    queue: Queue,
    mode: Mode,
    waiting: Waiting,
    /// None: nobody counts what is stored upstream.
    tally: Option<Tally>,
    /// Held by whoever brings a key's entry upstream.
    turns: Keyed,
    /// Held by whoever decides about a key's entry.
    locks: Keyed,
    /// Buckets of this mode as the upstream last told of them: for when it can't be asked.
    known: Mutex<HashMap<BucketName, SharedBucket>>,
    /// Buckets that are being deleted: none of them is made here meanwhile.
    closing: tokio::sync::Mutex<HashSet<BucketName>>,
    /// Held for writing by a snapshot, which must not miss what goes from here to there meanwhile.
    forgetting: tokio::sync::RwLock<()>,
    /// A job could not be enqueued: entries are looked through at the next occasion.
    missed: AtomicBool,
}

impl WriteBack {
    /// Counts what is there. `take_up` must follow, so that all of it has its job.
    pub async fn open(
        local: Arc<Local>,
        (upstream, tally): (Origin, Option<Tally>),
        queue: Queue,
        mode: Mode,
        limit: u64,
        gauges: Gauges,
    ) -> Result<WriteBack> {
        let overlay = Overlay {
            local,
            upstream,
            queue,
            mode,
            waiting: Waiting::new(limit, gauges),
            tally,
            turns: Keyed::default(),
            locks: Keyed::default(),
            known: Mutex::default(),
            closing: tokio::sync::Mutex::default(),
            forgetting: tokio::sync::RwLock::default(),
            missed: AtomicBool::new(false),
        };
        for bucket in overlay.buckets_here().await? {
            let mut after = Some(String::new());
            while let Some(from) = after {
                let (entries, next) = overlay.entries(&bucket, "", from).await?;
                for listed in &entries {
                    overlay.waiting.found(&bucket, listed.size);
                    if let Some(entry) = overlay.entry(&bucket, &listed.key).await?.filter(|_| overlay.tally.is_some()) {
                        overlay.waits(&bucket, &entry);
                    }
                }
                after = next;
            }
        }
        Ok(WriteBack(Arc::new(overlay)))
    }

    /// Enqueues a job for every entry that has none: a process may have ended between the two. Their number.
    pub async fn take_up(&self) -> Result<u64> {
        self.0.missed.store(false, Ordering::Release);
        let taken = self.0.take_up().await;
        match &taken {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "writes that were kept without a job are stored upstream now"),
            Err(_) => self.0.missed.store(true, Ordering::Release),
        }
        taken
    }

    pub fn close(&self) {
        self.0.local.close();
    }
}

impl Overlay {
    fn is_back(&self, bucket: &BucketName) -> bool {
        (self.mode)(bucket)
    }

    /// Whether a write to the bucket is kept here. Where the upstream can't be asked: as the bucket last was.
    async fn keeps(&self, bucket: &BucketName) -> Result<bool> {
        Ok(self.is_back(bucket) && self.bucket(bucket).await?.is_none_or(|b| b.versioning() == Versioning::Never))
    }

    /// The same, as far as it is known without asking.
    fn keeps_as_known(&self, bucket: &BucketName) -> bool {
        self.is_back(bucket) && self.known().get(bucket).is_none_or(|b| b.versioning() == Versioning::Never)
    }

    async fn entry(&self, bucket: &BucketName, key: &ObjectKey) -> Result<Option<Entry>> {
        if !self.waiting.in_bucket(bucket) {
            return Ok(None);
        }
        match self.local.stat(ObjectRef::current(bucket, key), Freshness::Current).await {
            Err(e) if e.kind() == ErrorKind::NoSuchBucket => Ok(None),
            found => Ok(found?.map(Entry::of_row)),
        }
    }

    async fn take_up(&self) -> Result<u64> {
        let mut taken = 0;
        for bucket in self.buckets_here().await? {
            let mut after = Some(String::new());
            while let Some(from) = after {
                let (entries, next) = self.entries(&bucket, "", from).await?;
                for key in entries.iter().map(|entry| &entry.key) {
                    if let Some(entry) = self.entry(&bucket, key).await? {
                        taken += u64::from(self.enqueue(&bucket, key, &entry).await?.1);
                    }
                }
                after = next;
            }
        }
        Ok(taken)
    }

    /// The job of this version, made where there is none. True: it is new.
    async fn enqueue(&self, bucket: &BucketName, key: &ObjectKey, entry: &Entry) -> Result<(JobId, bool)> {
        let row = entry.row();
        let document = Document {
            bucket: bucket.clone(),
            key: key.clone(),
            generation: row.generation,
            size: row.size,
            etag: row.etag.to_string(),
            sha256: row.sha256.map(|s| s.digest().hex()),
            delete: entry.is_delete(),
        };
        // A store that was removed numbers its versions anew: the time tells them apart.
        let name = format!("{}-{}-{}", row.generation, row.modified.millis(), row.etag);
        let new = NewJob {
            key: Some(name),
            // An upstream that is away for days is waited for.
            max_attempts: u32::MAX,
            ..NewJob::new(row.owner.clone(), KIND, Payload::of(VERSION, &document)?)
        };
        let enqueued = self.queue.enqueue(new).await.inspect_err(|_| self.missed.store(true, Ordering::Release))?;
        Ok((enqueued.id, enqueued.is_new))
    }

    async fn buckets_here(&self) -> Result<Vec<BucketName>> {
        Ok(self.local.buckets(None, "", "", usize::MAX).await?.iter().map(|b| b.name.clone()).collect())
    }

    /// Entries of a bucket under a prefix, deletes too, in order of key after `after`; and where the next page begins.
    async fn entries(&self, bucket: &BucketName, prefix: &str, after: String) -> Result<(Vec<ListedObject>, Option<String>)> {
        let query = ListQuery { prefix: prefix.to_owned(), after, max: PAGE, ..ListQuery::default() };
        let page = self.local.list(bucket, &query).await?;
        let objects = page.entries.into_iter().filter_map(|entry| match entry {
            ListEntry::Object(object) => Some(object),
            ListEntry::CommonPrefix(_) => None,
        });
        Ok((objects.collect(), page.next))
    }

    /// A bucket of which only deletes wait, or nothing, has no objects here.
    async fn has_objects(&self, bucket: &BucketName, prefix: &str) -> Result<bool> {
        let mut after = Some(String::new());
        while let Some(from) = after {
            let (entries, next) = self.entries(bucket, prefix, from).await?;
            if entries.iter().any(|entry| !is_listed_delete(entry)) {
                return Ok(true);
            }
            after = next;
        }
        Ok(false)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<BucketName, SharedBucket>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
