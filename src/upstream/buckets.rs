//! The buckets of the gateway: configured ones, and those that clients made, which are a record and a folder each, or a record and a
//! bucket of their own upstream (`own_buckets`). The records of all of them lie in home: one of a name, whatever it stands for.
//!
//! What other nodes change is seen here within `FRESH`; a bucket that is not known is looked for at once, but not more than
//! `LOOKS_IN_VAIN` times in that time. While the upstream can't be reached, what was known last counts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use quick_cache::sync::Cache;
use sha2::{Digest as _, Sha256};

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{BucketName, TenantId};
use crate::base::object::{Acl, Bucket, BucketDocument, CannedAcl, SharedBucket, UnknownOfBucket};
use crate::upstream::open::Inner;
use crate::upstream::place::Place;
use crate::upstream::records::{Over, READ_AT_ONCE, Record};
use crate::upstream::stored;

pub const FOLDER: &str = "buckets/";
/// Before the name of a configured bucket: such a record holds its documents, and is no bucket by itself.
const OF_CONFIGURED: char = '@';
/// How long a change on another node may go unseen.
pub const FRESH: Duration = Duration::from_secs(2);
/// How long a request waits for news while there is something older to go by.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// How often in `FRESH` a name is looked for that is not there. Who looks whether there is a bucket, makes it by another node and
/// uses it by this one finds it; who asks for it a thousand times does not ask the upstream as often.
const LOOKS_IN_VAIN: u32 = 8;
/// Records kept in memory.
const KEPT: usize = 10_000;
/// Changes of one bucket by several nodes that meet: each tries again on what the other left.
const ATTEMPTS: u32 = 12;
/// Waits before another try grow from this, half of each by chance, so that those who met once don't meet again.
const FIRST_WAIT: Duration = Duration::from_millis(10);
const LONGEST_WAIT: Duration = Duration::from_millis(500);
/// Changes by this node go one after the other: of a bucket, and of those that share its turn.
const TURNS: usize = 16;

pub struct Buckets {
    table: ArcSwapOption<Table>,
    looking: tokio::sync::Mutex<()>,
    records: Cache<String, Found>,
    /// What was looked for and not found: how often. Forgotten after `FRESH`, and when this node makes it.
    pub absent: moka::sync::Cache<String, Arc<AtomicU32>>,
    turns: [tokio::sync::Mutex<()>; TURNS],
    /// Counts our own changes: a listing that began before one must not undo it.
    changes: AtomicU64,
}

/// What is recorded of a bucket.
#[derive(Clone)]
pub struct Found {
    /// Of the record.
    pub etag: String,
    pub bucket: SharedBucket,
    /// The bucket upstream that it is by itself. None: a folder in home, or what the configuration says.
    pub own: Option<Arc<str>>,
}

/// The buckets that clients made, each a folder in home.
pub struct Made(Option<Arc<Table>>);

impl Made {
    /// Of a place that no gateway stands over.
    pub fn none() -> Self {
        Made(None)
    }

    pub fn has(&self, name: &BucketName) -> bool {
        self.0.as_ref().is_some_and(|table| table.names.contains_key(name.as_str()))
    }

    /// Whether the name of one begins so.
    pub fn begins(&self, start: &str) -> bool {
        let next = self.0.as_ref().and_then(|table| table.names.range(start.to_owned()..).next());
        next.is_some_and(|(name, _)| name.starts_with(start))
    }
}

/// Which records there are, with their ETags.
#[derive(Clone)]
struct Table {
    at: Instant,
    names: BTreeMap<String, String>,
}

impl Default for Buckets {
    fn default() -> Self {
        Buckets {
            table: ArcSwapOption::empty(),
            looking: Default::default(),
            records: Cache::new(KEPT),
            absent: moka::sync::Cache::builder().max_capacity(KEPT as u64).time_to_live(FRESH).build(),
            turns: Default::default(),
            changes: AtomicU64::new(0),
        }
    }
}

impl Buckets {
    /// None: one of `TURNS` there always is.
    fn turn(&self, file: &str) -> Option<&tokio::sync::Mutex<()>> {
        let sum = file.bytes().fold(0usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
        self.turns.get(sum % TURNS)
    }
}

async fn wait_before(attempt: u32) -> Result<()> {
    let mut random = [0u8; 1];
    getrandom::fill(&mut random).map_err(|e| Error::internal(e.to_string()))?;
    let most = FIRST_WAIT.saturating_mul(1 << attempt.min(8)).min(LONGEST_WAIT);
    tokio::time::sleep(most / 2 + most / 2 * u32::from(random[0]) / 255).await;
    Ok(())
}

impl Inner {
    async fn table(&self) -> Result<Arc<Table>> {
        let known = self.buckets.table.load_full();
        match known {
            Some(table) if table.at.elapsed() < FRESH => Ok(table),
            Some(old) => match tokio::time::timeout(PATIENCE, self.look(Some(&old))).await {
                Ok(Ok(table)) => Ok(table),
                failed => {
                    if let Ok(Err(e)) = failed {
                        tracing::warn!(error = %e, "the buckets upstream can't be listed: what was known last counts");
                    }
                    // The next one to ask is `FRESH` later.
                    self.buckets.table.compare_and_swap(&old, Some(Arc::new(Table { at: Instant::now(), names: old.names.clone() })));
                    Ok(old)
                }
            },
            None => self.look(None).await,
        }
    }

    async fn look(&self, old: Option<&Arc<Table>>) -> Result<Arc<Table>> {
        let _alone = self.buckets.looking.lock().await;
        if let Some(now) = self.buckets.table.load_full()
            && old.is_none_or(|old| !Arc::ptr_eq(old, &now))
        {
            return Ok(now);
        }
        loop {
            let before = self.buckets.changes.load(Ordering::SeqCst);
            let at = Instant::now();
            let names = self.record_names(FOLDER).await?.into_iter().collect();
            let table = Arc::new(Table { at, names });
            if self.buckets.changes.load(Ordering::SeqCst) == before {
                self.buckets.table.store(Some(table.clone()));
                return Ok(table);
            }
        }
    }

    /// After a change of our own.
    pub fn remember(&self, name: &str, record: Option<Found>) {
        self.buckets.changes.fetch_add(1, Ordering::SeqCst);
        self.buckets.table.rcu(|table| {
            table.as_ref().map(|table| {
                let mut table = Table::clone(table);
                match &record {
                    Some(found) => table.names.insert(name.to_owned(), found.etag.clone()),
                    None => table.names.remove(name),
                };
                Arc::new(table)
            })
        });
        self.buckets.absent.invalidate(name);
        match record {
            Some(record) => self.buckets.records.insert(name.to_owned(), record),
            None => drop(self.buckets.records.remove(name)),
        }
    }

    fn record_name(&self, name: &BucketName) -> String {
        if self.map.find(name).is_some() { format!("{OF_CONFIGURED}{name}") } else { name.to_string() }
    }

    pub async fn recorded(&self, name: &BucketName) -> Result<Option<Found>> {
        let file = self.record_name(name);
        let listed = self.table().await?.names.get(&file).cloned();
        let known = self.buckets.records.get(&file);
        if let (Some(etag), Some(known)) = (&listed, known)
            && *etag == known.etag
        {
            return Ok(Some(known));
        }
        if listed.is_none() && self.map.find(name).is_some() {
            return Ok(None);
        }
        let in_vain = self.buckets.absent.get(&file).map_or(0, |times| times.load(Ordering::Relaxed));
        if listed.is_none() && in_vain >= LOOKS_IN_VAIN {
            return Ok(None);
        }
        // Not listed: another node may just have made it.
        let before = self.buckets.changes.load(Ordering::SeqCst);
        let Some(record) = self.record(&format!("{FOLDER}{file}")).await? else {
            self.buckets.absent.get_with(file.clone(), Default::default).fetch_add(1, Ordering::Relaxed);
            // This node may have made it while it was looked for.
            if self.buckets.changes.load(Ordering::SeqCst) != before {
                self.buckets.absent.invalidate(&file);
            }
            return Ok(None);
        };
        let found = self.decoded(name, record)?;
        self.buckets.records.insert(file, found.clone());
        Ok(Some(found))
    }

    fn decoded(&self, name: &BucketName, record: Record) -> Result<Found> {
        let (mut bucket, own) = stored::read_bucket(&record.text)?;
        if bucket.name != *name {
            return Err(Error::internal(format!("the record of the bucket {name} is of another bucket")));
        }
        if let Some(configured) = self.map.find(name) {
            bucket.owner = configured.owner.clone();
        }
        bucket.generation = generation(&record.etag);
        Ok(Found { etag: record.etag, bucket: Arc::new(bucket), own: own.map(Arc::from) })
    }

    pub async fn bucket(&self, name: &BucketName) -> Result<Option<SharedBucket>> {
        let found = self.recorded(name).await?;
        let upstream = match (self.map.find(name), found.as_ref().and_then(|found| found.own.as_deref())) {
            (Some(configured), _) => &*configured.place.bucket,
            (None, Some(own)) => own,
            (None, None) => self.map.home(),
        };
        match found.as_ref().map(|found| found.bucket.clone()).or_else(|| self.unchanged(name)) {
            Some(recorded) => self.with_keeping(recorded, upstream).await.map(Some),
            None => Ok(None),
        }
    }

    /// A configured bucket of which nothing is recorded.
    fn unchanged(&self, name: &BucketName) -> Option<SharedBucket> {
        let configured = self.map.find(name)?;
        Some(Arc::new(Bucket {
            name: name.clone(),
            owner: configured.owner.clone(),
            created: self.since,
            acl: CannedAcl::Private.into(),
            documents: BTreeMap::new(),
            generation: 0,
            unknown: UnknownOfBucket::default(),
        }))
    }

    /// Where the objects of the bucket are. Fails with NoSuchBucket.
    pub async fn place(&self, name: &BucketName) -> Result<Place> {
        match self.map.find(name) {
            Some(configured) => Ok(configured.place.clone()),
            None => match self.recorded(name).await? {
                Some(Found { own: Some(own), .. }) => Ok(Place { bucket: own, prefix: "".into() }),
                Some(Found { own: None, .. }) => Ok(self.map.folder(name)),
                None => Err(no_such_bucket()),
            },
        }
    }

    /// What of `keys` (in full) is not to be seen from `place`: the folder that it stands under.
    pub async fn hidden_folder<'k>(&self, place: &Place, key: &'k str) -> Result<Option<&'k str>> {
        // Known without asking, for everything in a folder or in another bucket.
        if self.map.hidden_folder(place, key, |_| true).is_none() {
            return Ok(None);
        }
        let table = self.table().await?;
        Ok(self.map.hidden_folder(place, key, |name| table.names.contains_key(name.as_str())))
    }

    /// The buckets that are folders in home.
    pub async fn made(&self) -> Result<Made> {
        Ok(Made(Some(self.table().await?)))
    }

    pub async fn list_buckets(
        self: &Arc<Self>,
        owner: Option<&TenantId>,
        prefix: &str,
        after: &str,
        max: usize,
    ) -> Result<Vec<SharedBucket>> {
        let table = self.table().await?;
        let made = table.names.keys().filter(|n| !n.starts_with(OF_CONFIGURED)).filter_map(|n| BucketName::parse(n).ok());
        let mut names: Vec<BucketName> = made.chain(self.map.configured().iter().map(|c| c.name.clone())).collect();
        names.sort();
        names.dedup();
        names.retain(|n| n.as_str().starts_with(prefix) && n.as_str() > after);
        let mut found: Vec<SharedBucket> = Vec::new();
        for some in names.chunks(READ_AT_ONCE) {
            let mut reads = tokio::task::JoinSet::new();
            for name in some {
                let (inner, name) = (self.clone(), name.clone());
                reads.spawn(async move { inner.bucket(&name).await });
            }
            while let Some(read) = reads.join_next().await {
                found.extend(read.map_err(Error::internal)??.filter(|b| owner.is_none_or(|o| b.owner == *o)));
            }
            if found.len() >= max {
                break;
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found.truncate(max);
        Ok(found)
    }

    pub async fn set_bucket_document(&self, name: &BucketName, document: BucketDocument, value: Option<Vec<u8>>) -> Result<()> {
        if document == BucketDocument::Versioning {
            return self.set_versioning(name, value.as_deref()).await;
        }
        if document == BucketDocument::ObjectLock {
            return self.set_lock(name, value.as_deref()).await;
        }
        if document == BucketDocument::Encryption {
            return self.set_encryption(name, value.as_deref()).await;
        }
        self.change_bucket(name, |bucket| {
            match &value {
                Some(value) => bucket.documents.insert(document, value.clone()),
                None => bucket.documents.remove(&document),
            };
        })
        .await
    }

    pub async fn set_bucket_acl(&self, name: &BucketName, acl: Acl) -> Result<()> {
        self.change_bucket(name, |bucket| bucket.acl = acl.clone()).await
    }

    /// Makes the bucket what the origin's is, whatever was recorded of it. For replicas.
    pub async fn copy_bucket(&self, source: &Bucket) -> Result<()> {
        let same = |there: &Bucket| {
            (&there.owner, &there.acl, there.created, &there.documents, &there.unknown)
                == (&source.owner, &source.acl, source.created, &source.documents, &source.unknown)
        };
        if self.recorded(&source.name).await?.is_some_and(|there| same(&there.bucket)) {
            return Ok(());
        }
        let text = stored::write_bucket(source, None)?;
        let etag = self.put_record(&format!("{FOLDER}{}", source.name), &text, Over::Anything).await?;
        let bucket = Arc::new(Bucket { generation: generation(&etag), ..source.clone() });
        self.remember(source.name.as_str(), Some(Found { etag, bucket, own: None }));
        Ok(())
    }

    async fn change_bucket(&self, name: &BucketName, change: impl Fn(&mut Bucket)) -> Result<()> {
        let file = self.record_name(name);
        let path = format!("{FOLDER}{file}");
        let _turn = match self.buckets.turn(&file) {
            Some(turn) => Some(turn.lock().await),
            None => None,
        };
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                wait_before(attempt).await?;
            }
            // From the record itself: what is remembered may be older than what another node wrote.
            let (over, mut bucket, own) = match self.record(&path).await? {
                Some(record) => {
                    let Found { etag, bucket, own } = self.decoded(name, record)?;
                    (Over::This(etag), Bucket::clone(&bucket), own)
                }
                None => (Over::Nothing, Bucket::clone(&*self.unchanged(name).ok_or_else(no_such_bucket)?), None),
            };
            change(&mut bucket);
            let text = stored::write_bucket(&bucket, own.as_deref())?;
            match self.put_record(&path, &text, over).await {
                Ok(etag) => {
                    let bucket = Arc::new(Bucket { generation: generation(&etag), ..bucket });
                    self.remember(&file, Some(Found { etag, bucket, own }));
                    return Ok(());
                }
                Err(e) if e.kind() == ErrorKind::PreconditionFailed => continue,
                Err(e) => return Err(e),
            }
        }
        Err(Error::new(ErrorKind::OperationAborted, "A conflicting conditional operation is in progress on this bucket. Please try again."))
    }
}

/// Every seal is another, and so is every ETag.
pub fn generation(etag: &str) -> u64 {
    let digest = Sha256::digest(etag.as_bytes());
    digest.iter().take(8).fold(0, |n, b| n << 8 | u64::from(*b)).max(1)
}

pub fn no_such_bucket() -> Error {
    Error::new(ErrorKind::NoSuchBucket, "The specified bucket does not exist.")
}
