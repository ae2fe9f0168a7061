//! An origin that is read through the cache. Writes and buckets are looked at, so that nobody is shown what was; the rest is the
//! origin's own.
//!
//! `Freshness::Current` always asks the origin, and what it answers is taken in. `Freshness::Cached` goes by the rules of `[cache]`,
//! and shows what is known while the origin can't be asked, for as long as these allow. A version that is asked for by its name has the
//! same bytes for good: their blocks are kept under that name, and what is known of it is shown at once by `Freshness::Cached`, however
//! old it is, while it is asked for again.
//! Invariants, as far as writes came through here: whoever asks after a write was answered sees it, on every door. Reads never go
//! back in time: once a version was shown, no older one is.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::base::digest::Sha256;
use crate::base::encryption::Encryption;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::lock::Retention;
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::object::{Acl, Bucket, BucketDocument, ListPage, ListQuery, SharedBucket, SharedObject};
use crate::base::object_ref::{ObjectName, ObjectRef, VersionId, VersionSelector};
use crate::base::range::ByteRange;
use crate::base::tags::Tags;
use crate::base::versions::{Marker, VersionsPage, VersionsQuery};
use crate::cache::flights::{Flight, Flights};
use crate::cache::known::Known;
use crate::cache::version::Version;
use crate::cache::{Cache, Giver, Source};
use crate::cluster::blocks::{Neighbours, Wanted};
use crate::cluster::seal::FromPeer;
use crate::origin::{
    Body, Buckets, CacheState, CompleteUpload, CopyObject, Delete, Deleted, Freshness, Origin, Pending, Prefetch, PutObject, Quota, ReadBy,
    Reads, Restore, Restored, Writes, Written,
};

/// How long the origin is waited for where something may be shown instead.
const PATIENCE: Duration = Duration::from_secs(3);
/// Buckets that are remembered for when the origin can't be asked.
const BUCKETS: u64 = 10_000;

#[cfg(test)]
mod tests;

pub struct ThroughCache {
    origin: Origin,
    cache: Cache,
    flights: Flights,
    /// The other nodes that keep blocks.
    neighbours: Option<Arc<Neighbours>>,
    /// As they were told of last, for as long as they may be shown without being asked for.
    buckets: moka::sync::Cache<BucketName, SharedBucket>,
}

/// Blocks come from the node that keeps them, and there from the origin.
struct Blocks {
    reads: Arc<dyn Reads>,
    /// None: no other node is asked.
    neighbours: Option<Arc<Neighbours>>,
}

impl Source for Blocks {
    fn open<'a>(&'a self, version: &'a Version, range: ByteRange) -> Pending<'a, Option<(Giver, Body)>> {
        Box::pin(async move {
            let of = version.object_ref();
            if let Some(keeper) = self.neighbours.as_ref().and_then(|all| all.keeper(of.bucket, of.key, range.start))
                && let Some(body) = keeper.ask(&wanted(version, range)).await
            {
                return Ok(Some((Giver::Peer, body)));
            }
            // The cache hashes and writes what comes.
            let opened = self.reads.open(of, &version.info, range, ReadBy::UserSpace).await?;
            Ok(opened.map(|body| (Giver::Upstream, body)))
        })
    }

    fn reach(&self, _: &Version, range: ByteRange) -> ByteRange {
        if self.neighbours.is_some() { Neighbours::within_stretch(range) } else { range }
    }
}

fn wanted(version: &Version, range: ByteRange) -> Wanted {
    let of = version.object_ref();
    Wanted {
        bucket: of.bucket.to_string(),
        key: of.key.as_str().to_owned(),
        version: of.version.id().map(VersionId::to_string),
        etag: version.info.etag.to_string(),
        size: version.info.size,
        start: range.start,
        end: range.end,
    }
}

impl ThroughCache {
    pub fn new(origin: Origin, cache: Cache, neighbours: Option<Arc<Neighbours>>) -> Self {
        let buckets = moka::sync::Cache::builder().max_capacity(BUCKETS).time_to_live(cache.freshness().if_error).build();
        ThroughCache { origin, cache, flights: Flights::default(), neighbours, buckets }
    }

    /// What it stands over, with what it changes.
    pub fn origin(self: &Arc<Self>) -> Origin {
        Origin { buckets: self.clone(), reads: self.clone(), writes: self.clone(), ..self.origin.clone() }
    }

    /// What a peer wants that takes this node for its keeper. None: it is not there, or is another version by now.
    pub async fn give(&self, from: &FromPeer<Wanted>) -> Result<Option<Body>> {
        let wanted = from.message();
        let (bucket, key) = (BucketName::parse(&wanted.bucket)?, ObjectKey::parse(&wanted.key)?);
        let id = wanted.version.as_deref().map(VersionId::parse).transpose()?;
        let of = ObjectRef { bucket: &bucket, key: &key, version: id.as_ref().into(), unlock: None };
        let is_it = |found: &SharedObject| wanted.is_of(&found.etag, found.size) && !is_under_customers_key(found);
        // What is known here may be older than what the peer saw.
        let found = match self.stat(of, Freshness::Cached).await?.filter(is_it) {
            Some(found) => Some(found),
            None => self.stat(of, Freshness::Current).await?.filter(is_it),
        };
        let range = ByteRange { start: wanted.start, end: wanted.end };
        let Some(found) = found.filter(|found| range.start < range.end && range.end <= found.size) else { return Ok(None) };
        self.cache.metrics().cache_given.inc();
        let source = Blocks { reads: self.origin.reads.clone(), neighbours: None };
        self.cache.open_alone(self.cache.version(of, &found), range, ReadBy::UserSpace, Arc::new(source)).await
    }

    /// For purges.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    async fn current(&self, of: ObjectRef<'_>) -> Result<Option<SharedObject>> {
        let ObjectRef { bucket, key, .. } = of;
        let ticket = self.cache.known_keys().begin(bucket, key);
        let found = self.origin.reads.stat(of, Freshness::Current).await?;
        self.cache.learn(ticket, bucket, key, found.clone());
        Ok(found)
    }

    async fn cached(&self, bucket: &BucketName, key: &ObjectKey) -> Result<Option<SharedObject>> {
        let old = match self.cache.known_keys().look(bucket, key) {
            Known::Fresh(found) => return Ok(found),
            Known::Quiet(object) => return Ok(Some(object)),
            Known::Stale(object) => {
                self.ask(bucket, key);
                return Ok(Some(object));
            }
            Known::Old(object) => Some(object),
            Known::Nothing => None,
        };
        let flight = self.ask(bucket, key);
        if let Some(object) = old {
            return match timeout(PATIENCE, flight.landed()).await {
                Ok(Ok(found)) => Ok(found),
                Ok(Err(e)) if !e.is_away() => Err(e),
                // Unless a write came through here meanwhile.
                _ => match self.cache.known_keys().look(bucket, key) {
                    Known::Fresh(found) => Ok(found),
                    Known::Stale(now) | Known::Quiet(now) | Known::Old(now) if now == object => Ok(Some(object)),
                    Known::Stale(now) | Known::Quiet(now) | Known::Old(now) => Ok(Some(now)),
                    Known::Nothing => Err(unreachable()),
                },
            };
        }
        let ticket = self.cache.known_keys().begin(bucket, key);
        match flight.landed().await {
            Err(e) if e.is_away() => {
                let Some((object, since)) = self.cache.remembered(bucket, key).await else { return Err(e) };
                self.cache.known_keys().restore(ticket, bucket, key, object, since).map(Some).ok_or(e)
            }
            outcome => outcome,
        }
    }

    /// A version other than the current one, or by its name.
    async fn version(&self, of: ObjectRef<'_>, id: &VersionId, freshness: Freshness) -> Result<Option<SharedObject>> {
        let ObjectRef { bucket, key, .. } = of;
        let ticket = self.cache.known_keys().begin(bucket, key);
        // What is written next may take the place of the one that has no name.
        let is_kept = *id != VersionId::Null;
        if freshness == Freshness::Cached && is_kept {
            match self.cache.known_keys().look_version(bucket, key, id) {
                Known::Fresh(found) => return Ok(found),
                Known::Stale(object) => {
                    self.cache.known_keys().ask_again(ticket, bucket, key, &object);
                    let (reads, cache, name) = (self.origin.reads.clone(), self.cache.clone(), of.to_owned());
                    tokio::spawn(async move { ask_version(&*reads, &cache, name).await });
                    return Ok(Some(object));
                }
                Known::Quiet(_) | Known::Old(_) | Known::Nothing => {}
            }
        }
        let found = self.origin.reads.stat(of, Freshness::Current).await;
        match &found {
            Ok(found) if is_kept => self.cache.known_keys().learn_version(ticket, bucket, key, found.clone()),
            // It is there, under a key that was not brought.
            Err(e) if e.kind() == ErrorKind::InvalidRequest => {}
            Err(e) if is_kept && !e.is_away() => self.cache.known_keys().learn_version(ticket, bucket, key, None),
            Ok(_) | Err(_) => {}
        }
        found
    }

    /// One question at a time, on a task of its own: its answer is taken in also if nobody waits for it.
    fn ask(&self, bucket: &BucketName, key: &ObjectKey) -> Flight {
        let ticket = self.cache.known_keys().begin(bucket, key);
        self.flights.join(bucket, key, ticket, |ticket| {
            let (reads, cache, bucket, key) = (self.origin.reads.clone(), self.cache.clone(), bucket.clone(), key.clone());
            async move {
                let asked = reads.stat(ObjectRef::current(&bucket, &key), Freshness::Current).await;
                match &asked {
                    Ok(found) => cache.learn(ticket, &bucket, &key, found.clone()),
                    Err(e) if e.is_away() => cache.known_keys().quieten(ticket, &bucket, &key),
                    // The bucket is gone, or so.
                    Err(_) => cache.outdate(&bucket, &key),
                }
                asked
            }
        })
    }

    /// Runs a write. Whatever becomes of it, from its end on nobody is told here of what was there before.
    async fn changing<T>(&self, bucket: &BucketName, key: &ObjectKey, write: impl Future<Output = Result<T>>) -> Result<T> {
        let changed = Changed { through: self, bucket, key, settled: false };
        let answer = write.await;
        changed.settle().await;
        answer
    }
}

/// What is known goes on being shown while the origin can't be asked.
async fn ask_version(reads: &dyn Reads, cache: &Cache, name: ObjectName) {
    let (bucket, key) = (&name.bucket, &name.key);
    let ticket = cache.known_keys().begin(bucket, key);
    match reads.stat(name.object(), Freshness::Current).await {
        Ok(found) => cache.known_keys().learn_version(ticket, bucket, key, found),
        Err(e) if e.is_away() || e.kind() == ErrorKind::InvalidRequest => {}
        Err(_) => cache.known_keys().learn_version(ticket, bucket, key, None),
    }
}

/// Dropped before it is settled, the write was given up, and may have happened.
struct Changed<'a> {
    through: &'a ThroughCache,
    bucket: &'a BucketName,
    key: &'a ObjectKey,
    settled: bool,
}

impl Changed<'_> {
    async fn settle(mut self) {
        self.settled = true;
        self.through.cache.outdate_durably(self.bucket, self.key).await;
    }
}

impl Drop for Changed<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.through.cache.outdate(self.bucket, self.key);
        }
    }
}

fn is_under_customers_key(object: &SharedObject) -> bool {
    object.encryption.as_ref().is_some_and(Encryption::is_customers)
}

fn unreachable() -> Error {
    Error::new(ErrorKind::UpstreamUnavailable, "The storage behind this gateway can't be reached at the moment. Please try again.")
}

impl Buckets for ThroughCache {
    /// While the origin can't be asked, buckets are as they were, with their policies: cached content goes on being served.
    fn bucket<'a>(&'a self, name: &'a BucketName) -> Pending<'a, Option<SharedBucket>> {
        Box::pin(async move {
            match self.origin.buckets.bucket(name).await {
                Ok(Some(bucket)) => {
                    self.buckets.insert(name.clone(), bucket.clone());
                    Ok(Some(bucket))
                }
                Ok(None) => {
                    self.buckets.invalidate(name);
                    Ok(None)
                }
                Err(e) if e.is_away() => self.buckets.get(name).map(Some).ok_or(e),
                Err(e) => Err(e),
            }
        })
    }

    fn buckets<'a>(&'a self, owner: Option<&'a TenantId>, prefix: &'a str, after: &'a str, max: usize) -> Pending<'a, Vec<SharedBucket>> {
        self.origin.buckets.buckets(owner, prefix, after, max)
    }

    fn create_bucket(&self, bucket: Bucket) -> Pending<'_, SharedBucket> {
        self.origin.buckets.create_bucket(bucket)
    }

    fn delete_bucket<'a>(&'a self, name: &'a BucketName) -> Pending<'a, ()> {
        Box::pin(async move {
            let answer = self.origin.buckets.delete_bucket(name).await;
            self.buckets.invalidate(name);
            self.cache.forget_known(name);
            answer
        })
    }

    fn set_bucket_document<'a>(&'a self, name: &'a BucketName, document: BucketDocument, value: Option<Vec<u8>>) -> Pending<'a, ()> {
        Box::pin(async move {
            let answer = self.origin.buckets.set_bucket_document(name, document, value).await;
            self.buckets.invalidate(name);
            answer
        })
    }

    fn set_bucket_acl<'a>(&'a self, name: &'a BucketName, acl: Acl) -> Pending<'a, ()> {
        Box::pin(async move {
            let answer = self.origin.buckets.set_bucket_acl(name, acl).await;
            self.buckets.invalidate(name);
            answer
        })
    }
}

impl Reads for ThroughCache {
    fn stat<'a>(&'a self, of: ObjectRef<'a>, freshness: Freshness) -> Pending<'a, Option<SharedObject>> {
        // What lies under a client's key is known to nobody else.
        if of.unlock.is_some() {
            return self.origin.reads.stat(of, Freshness::Current);
        }
        if let VersionSelector::Exact(id) = of.version {
            return Box::pin(self.version(of, id, freshness));
        }
        match freshness {
            Freshness::Current => Box::pin(self.current(of)),
            Freshness::Cached => Box::pin(self.cached(of.bucket, of.key)),
        }
    }

    fn stat_hot(&self, of: ObjectRef<'_>, freshness: Freshness) -> Option<SharedObject> {
        if let VersionSelector::Exact(id) = of.version {
            return match self.cache.known_keys().look_version(of.bucket, of.key, id) {
                Known::Fresh(found) if freshness == Freshness::Cached => found,
                _ => None,
            };
        }
        match freshness {
            // What the origin knows without waiting is what it would answer.
            Freshness::Current => self.origin.reads.stat_hot(of, freshness),
            Freshness::Cached => match self.cache.known_keys().look(of.bucket, of.key) {
                Known::Fresh(found) => found,
                _ => None,
            },
        }
    }

    fn open<'a>(&'a self, of: ObjectRef<'a>, object: &'a SharedObject, range: ByteRange, by: ReadBy) -> Pending<'a, Option<Body>> {
        // Nor are its bytes kept here.
        if is_under_customers_key(object) {
            return self.origin.reads.open(of, object, range, by);
        }
        Box::pin(async move {
            let version = self.cache.version(of, object);
            let source = Blocks { reads: self.origin.reads.clone(), neighbours: self.neighbours.clone() };
            let opened = self.cache.open(version, range, by, Arc::new(source)).await?;
            if opened.is_none() {
                self.cache.outdate(of.bucket, of.key);
            }
            Ok(opened)
        })
    }

    fn prefetch(&self, of: ObjectRef<'_>, range: ByteRange) -> Option<Prefetch> {
        // Of a version by its name the origin is asked one after the other: it may be here.
        if of.version != VersionSelector::Current || of.unlock.is_some() || self.cache.knows(of.bucket, of.key) {
            return None;
        }
        // Who keeps it fetches it, and once for all who ask meanwhile.
        if self.neighbours.is_some() {
            return None;
        }
        self.origin.reads.prefetch(of, self.cache.first_fetch(range))
    }

    fn open_hot(&self, of: ObjectRef<'_>, object: &SharedObject, range: ByteRange, _: ReadBy) -> Option<Body> {
        if is_under_customers_key(object) {
            return None;
        }
        self.cache.open_hot(&self.cache.version(of, object), range).map(Body::Memory)
    }

    fn cache_state(&self, of: ObjectRef<'_>, object: &SharedObject, offset: u64) -> Option<CacheState> {
        if is_under_customers_key(object) {
            return Some(CacheState::Miss);
        }
        if object.size > 0 && !self.cache.has(&self.cache.version(of, object), offset) {
            return Some(CacheState::Miss);
        }
        if of.version != VersionSelector::Current {
            return Some(CacheState::Hit);
        }
        match self.cache.known_keys().look(of.bucket, of.key) {
            Known::Stale(_) | Known::Quiet(_) | Known::Old(_) => Some(CacheState::Stale),
            Known::Fresh(_) | Known::Nothing => Some(CacheState::Hit),
        }
    }

    fn with_parts<'a>(&'a self, of: ObjectRef<'a>, object: &'a SharedObject) -> Pending<'a, SharedObject> {
        self.origin.reads.with_parts(of, object)
    }

    fn tags<'a>(&'a self, of: ObjectRef<'a>, object: &'a SharedObject) -> Pending<'a, Option<Tags>> {
        self.origin.reads.tags(of, object)
    }

    fn find_content<'a>(&'a self, owner: &'a TenantId, sha256: &'a Sha256) -> Pending<'a, Option<(BucketName, ObjectKey)>> {
        self.origin.reads.find_content(owner, sha256)
    }

    fn list<'a>(&'a self, bucket: &'a BucketName, query: &'a ListQuery) -> Pending<'a, ListPage> {
        self.origin.reads.list(bucket, query)
    }

    fn marker<'a>(&'a self, of: ObjectRef<'a>) -> Pending<'a, Option<Marker>> {
        self.origin.reads.marker(of)
    }

    fn list_versions<'a>(&'a self, bucket: &'a BucketName, query: &'a VersionsQuery) -> Pending<'a, VersionsPage> {
        self.origin.reads.list_versions(bucket, query)
    }
}

impl Writes for ThroughCache {
    fn put(&self, put: PutObject, quota: Quota) -> Pending<'_, Written> {
        let (bucket, key) = (put.bucket.clone(), put.key.clone());
        Box::pin(async move { self.changing(&bucket, &key, self.origin.writes.put(put, quota)).await })
    }

    fn copy(&self, copy: CopyObject, quota: Quota) -> Pending<'_, Written> {
        let (bucket, key) = (copy.bucket.clone(), copy.key.clone());
        Box::pin(async move { self.changing(&bucket, &key, self.origin.writes.copy(copy, quota)).await })
    }

    fn delete<'a>(&'a self, of: ObjectRef<'a>, delete: Delete) -> Pending<'a, Deleted> {
        Box::pin(self.changing(of.bucket, of.key, self.origin.writes.delete(of, delete)))
    }

    fn set_object_acl<'a>(&'a self, of: ObjectRef<'a>, acl: Acl) -> Pending<'a, ()> {
        Box::pin(self.changing(of.bucket, of.key, self.origin.writes.set_object_acl(of, acl)))
    }

    fn set_tags<'a>(&'a self, of: ObjectRef<'a>, tags: Tags) -> Pending<'a, ()> {
        Box::pin(self.changing(of.bucket, of.key, self.origin.writes.set_tags(of, tags)))
    }

    fn set_retention<'a>(&'a self, of: ObjectRef<'a>, retention: Option<Retention>, bypass: bool) -> Pending<'a, ()> {
        Box::pin(self.changing(of.bucket, of.key, self.origin.writes.set_retention(of, retention, bypass)))
    }

    fn set_legal_hold<'a>(&'a self, of: ObjectRef<'a>, on: bool) -> Pending<'a, ()> {
        Box::pin(self.changing(of.bucket, of.key, self.origin.writes.set_legal_hold(of, on)))
    }

    fn restore<'a>(&'a self, of: ObjectRef<'a>, wanted: Restore) -> Pending<'a, Restored> {
        match of.version {
            VersionSelector::Current => self.origin.writes.restore(of, wanted),
            // What is known of it tells whether it can be read.
            VersionSelector::Exact(_) => Box::pin(self.changing(of.bucket, of.key, self.origin.writes.restore(of, wanted))),
        }
    }

    fn complete_upload(&self, complete: CompleteUpload, quota: Quota) -> Pending<'_, Written> {
        let (bucket, key) = (complete.bucket.clone(), complete.key.clone());
        Box::pin(async move { self.changing(&bucket, &key, self.origin.writes.complete_upload(complete, quota)).await })
    }
}
