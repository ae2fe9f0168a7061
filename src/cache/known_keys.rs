//! What is known of keys: which version is there, or that there is none, and when that was so. In memory, bounded.
//!
//! What is known counts from the moment the origin was asked, not from its answer: that is when it can have been true last.
//! Invariants: an answer is taken in only if the key was not changed since the origin was asked, and if no later question was
//! answered first: an old answer never takes the place of a newer one.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use tokio::time::Instant;

use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::SharedObject;
use crate::base::object_ref::VersionId;
use crate::cache::known::{Key, Known, Lookup, weight};
use crate::cache::known_versions::KnownVersions;
use crate::cache::purge::IsMeant;
use crate::cache::settings::Freshness;
use crate::cache::version::{ObjectId, Version};

/// Some 50,000 keys. What has no room is asked for.
pub const MAX_BYTES: u64 = 32 << 20;
/// Keys share these: two keys in one stripe only cost each other a look at the origin now and then.
const STRIPES: usize = 1024;
/// After the origin could not be asked for a key, it is left alone for so long.
const QUIET: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
struct Entry {
    found: Option<SharedObject>,
    asked: Instant,
    /// Of the question, among all.
    order: u64,
    quiet_until: Option<Instant>,
    /// It was purged softly: to be asked for.
    soft: bool,
}

#[derive(Clone)]
struct Weigh;

impl Weighter<Key, Arc<Entry>> for Weigh {
    fn weight(&self, key: &Key, entry: &Arc<Entry>) -> u64 {
        weight(key, entry.found.as_ref())
    }
}

/// A question to the origin, from before it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    stripe: usize,
    pub epoch: u64,
    pub order: u64,
    asked: Instant,
}

pub struct KnownKeys {
    settings: Freshness,
    known: Cache<Key, Arc<Entry>, Weigh>,
    versions: KnownVersions,
    /// How often a key of the stripe was changed.
    stripes: Vec<Mutex<u64>>,
    stripe_hash: RandomState,
    order: AtomicU64,
}

impl KnownKeys {
    pub fn new(settings: &Freshness) -> Self {
        let items = (MAX_BYTES / 640) as usize;
        let options = OptionsBuilder::new().shards(8).estimated_items_capacity(items).weight_capacity(MAX_BYTES).build();
        let known = match options {
            Ok(options) => Cache::with_options(options, Weigh, DefaultHashBuilder::default(), Default::default()),
            Err(_) => Cache::with_weighter(items, MAX_BYTES, Weigh),
        };
        KnownKeys {
            settings: settings.clone(),
            known,
            versions: KnownVersions::default(),
            stripes: (0..STRIPES).map(|_| Mutex::new(0)).collect(),
            stripe_hash: RandomState::new(),
            order: AtomicU64::new(0),
        }
    }

    pub fn look(&self, bucket: &BucketName, key: &ObjectKey) -> Known {
        let Some(entry) = self.known.get(&Lookup(bucket.as_str(), key.as_str())) else { return Known::Nothing };
        let (now, of) = (Instant::now(), &self.settings);
        let age = now.saturating_duration_since(entry.asked);
        let Some(object) = &entry.found else {
            return if age <= of.negative { Known::Fresh(None) } else { Known::Nothing };
        };
        if age <= of.fresh && !entry.soft {
            return Known::Fresh(Some(object.clone()));
        }
        if entry.quiet_until.is_some_and(|until| now < until) && age <= of.if_error {
            return Known::Quiet(object.clone());
        }
        if age <= of.fresh + of.while_revalidate && !entry.soft {
            return Known::Stale(object.clone());
        }
        if age <= of.if_error { Known::Old(object.clone()) } else { Known::Nothing }
    }

    /// What may be said of a version that was asked for by its name: fresh or stale, and shown at once in either case.
    pub fn look_version(&self, bucket: &BucketName, key: &ObjectKey, id: &VersionId) -> Known {
        self.versions.look(bucket, key, id, self.settings.fresh)
    }

    /// What the origin answered when it was asked for a version by its name.
    pub fn learn_version(&self, ticket: Ticket, bucket: &BucketName, key: &ObjectKey, found: Option<SharedObject>) {
        let epoch = self.lock(ticket.stripe);
        match found {
            Some(object) if *epoch == ticket.epoch => self.versions.learn(bucket, key, object, ticket.asked),
            Some(_) => {}
            None => drop(self.versions.forget(bucket, key)),
        }
    }

    /// Nobody else asks for it at the same time.
    pub fn ask_again(&self, ticket: Ticket, bucket: &BucketName, key: &ObjectKey, object: &SharedObject) {
        self.learn_version(ticket, bucket, key, Some(object.clone()));
    }

    /// Whether the key was known to be this version, when it was last asked for.
    pub fn shows(&self, version: &Version) -> bool {
        let entry = self.known.peek(&Lookup(version.bucket.as_str(), version.key.as_str()));
        let same = |o: &SharedObject| {
            o.version == version.info.version && o.etag == version.info.etag && o.size == version.info.size && o.owner == version.info.owner
        };
        entry.is_some_and(|e| e.found.as_ref().is_some_and(same))
    }

    /// Before the origin is asked.
    pub fn begin(&self, bucket: &BucketName, key: &ObjectKey) -> Ticket {
        let stripe = self.stripe(bucket, key);
        let order = self.order.fetch_add(1, Ordering::Relaxed) + 1;
        Ticket { stripe, epoch: *self.lock(stripe), order, asked: Instant::now() }
    }

    /// What the origin answered. False: that is old news.
    pub fn learn(&self, ticket: Ticket, bucket: &BucketName, key: &ObjectKey, found: Option<SharedObject>) -> bool {
        let entry = Entry { found, asked: ticket.asked, order: ticket.order, quiet_until: None, soft: false };
        let epoch = self.lock(ticket.stripe);
        let newer = self.known.peek(&Lookup(bucket.as_str(), key.as_str())).is_some_and(|e| e.order > ticket.order);
        if *epoch != ticket.epoch || newer {
            return false;
        }
        self.known.insert((bucket.clone(), key.clone()), Arc::new(entry));
        true
    }

    /// The origin can't be asked; this is what was known at `since`. None: too long ago.
    pub fn restore(
        &self,
        ticket: Ticket,
        bucket: &BucketName,
        key: &ObjectKey,
        object: SharedObject,
        since: SystemTime,
    ) -> Option<SharedObject> {
        // A clock that was set back makes nothing younger than it is: then it is of now.
        let age = SystemTime::now().duration_since(since).unwrap_or_default();
        if age > self.settings.if_error {
            return None;
        }
        let asked = Instant::now().checked_sub(age)?;
        let entry = Entry { found: Some(object.clone()), asked, order: 0, quiet_until: Some(Instant::now() + QUIET), soft: false };
        let epoch = self.lock(ticket.stripe);
        if *epoch == ticket.epoch && self.known.peek(&Lookup(bucket.as_str(), key.as_str())).is_none() {
            self.known.insert((bucket.clone(), key.clone()), Arc::new(entry));
        }
        Some(object)
    }

    /// The origin could not be asked for the key.
    pub fn quieten(&self, ticket: Ticket, bucket: &BucketName, key: &ObjectKey) {
        let epoch = self.lock(ticket.stripe);
        if let Some(entry) = self.known.peek(&Lookup(bucket.as_str(), key.as_str())).filter(|_| *epoch == ticket.epoch) {
            let quiet = Entry { quiet_until: Some(Instant::now() + QUIET), ..Entry::clone(&entry) };
            self.known.insert((bucket.clone(), key.clone()), Arc::new(quiet));
        }
    }

    /// The key was changed, or may have been; what was asked before counts no more. True: something was known of it.
    pub fn forget(&self, bucket: &BucketName, key: &ObjectKey) -> bool {
        let mut epoch = self.lock(self.stripe(bucket, key));
        *epoch += 1;
        let version = self.versions.forget(bucket, key);
        self.known.remove(&Lookup(bucket.as_str(), key.as_str())).is_some_and(|(_, e)| e.found.is_some()) || version
    }

    /// The same for all keys that are meant. Those of which something was known.
    pub fn forget_all(&self, meant: &IsMeant<'_>) -> HashSet<ObjectId> {
        let mut known = HashSet::new();
        for (bucket, key) in self.keys(meant) {
            if self.forget(&bucket, &key) {
                known.insert(ObjectId::of(&bucket, &key));
            }
        }
        // Also of those that are being asked for.
        (0..STRIPES).for_each(|stripe| *self.lock(stripe) += 1);
        known
    }

    /// All keys that are meant are asked for before they are shown again, if the origin can be asked. Those that are known.
    pub fn soften(&self, meant: &IsMeant<'_>) -> HashSet<ObjectId> {
        let mut known = HashSet::new();
        for (bucket, key) in self.keys(meant) {
            let mut epoch = self.lock(self.stripe(&bucket, &key));
            *epoch += 1;
            self.versions.forget(&bucket, &key);
            let Some(entry) = self.known.peek(&Lookup(bucket.as_str(), key.as_str())) else { continue };
            if entry.found.is_none() {
                self.known.remove(&Lookup(bucket.as_str(), key.as_str()));
                continue;
            }
            known.insert(ObjectId::of(&bucket, &key));
            self.known.insert((bucket, key), Arc::new(Entry { soft: true, quiet_until: None, ..Entry::clone(&entry) }));
        }
        known
    }

    fn keys(&self, meant: &IsMeant<'_>) -> Vec<Key> {
        let mut keys: Vec<Key> = self.known.iter().filter(|((b, k), e)| meant(b, k, e.found.as_deref())).map(|(key, _)| key).collect();
        keys.extend(self.versions.keys(&|b, k, o| meant(b, k, Some(o))));
        keys
    }

    fn stripe(&self, bucket: &BucketName, key: &ObjectKey) -> usize {
        (self.stripe_hash.hash_one(Lookup(bucket.as_str(), key.as_str())) % STRIPES as u64) as usize
    }

    fn lock(&self, stripe: usize) -> MutexGuard<'_, u64> {
        // `stripe` comes from `Self::stripe` alone.
        self.stripes[stripe % STRIPES].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::tests::{bucket, info, key};
    use tokio::time::advance;

    fn stats() -> KnownKeys {
        let secs = Duration::from_secs;
        KnownKeys::new(&Freshness { fresh: secs(5), while_revalidate: secs(10), if_error: secs(100), negative: secs(2) })
    }

    #[tokio::test(start_paused = true)]
    async fn ages() {
        let (stats, b, k, object) = (stats(), bucket(), key("k"), info(b"1"));
        assert_eq!(stats.look(&b, &k), Known::Nothing);
        let ticket = stats.begin(&b, &k);
        // The answer takes its time, and what it says ages meanwhile.
        advance(Duration::from_secs(3)).await;
        assert!(stats.learn(ticket, &b, &k, Some(object.clone())));
        assert_eq!(stats.look(&b, &k), Known::Fresh(Some(object.clone())));
        advance(Duration::from_secs(3)).await;
        assert_eq!(stats.look(&b, &k), Known::Stale(object.clone()));
        stats.quieten(stats.begin(&b, &k), &b, &k);
        assert_eq!(stats.look(&b, &k), Known::Quiet(object.clone()));
        advance(Duration::from_secs(10)).await;
        assert_eq!(stats.look(&b, &k), Known::Old(object.clone()));
        advance(Duration::from_secs(85)).await;
        assert_eq!(stats.look(&b, &k), Known::Nothing);
        assert!(stats.learn(stats.begin(&b, &k), &b, &k, None));
        assert_eq!(stats.look(&b, &k), Known::Fresh(None));
        advance(Duration::from_secs(3)).await;
        assert_eq!(stats.look(&b, &k), Known::Nothing);
    }

    #[tokio::test(start_paused = true)]
    async fn old_news_is_not_taken_in() {
        let (stats, b, k, one, two) = (stats(), bucket(), key("k"), info(b"1"), info(b"22"));
        let (first, second) = (stats.begin(&b, &k), stats.begin(&b, &k));
        assert!(stats.learn(second, &b, &k, Some(two.clone())));
        assert!(!stats.learn(first, &b, &k, Some(one.clone())));
        assert_eq!(stats.look(&b, &k), Known::Fresh(Some(two)));
        let before = stats.begin(&b, &k);
        assert!(stats.forget(&b, &k));
        assert!(!stats.learn(before, &b, &k, Some(one.clone())));
        assert_eq!(stats.restore(before, &b, &k, one.clone(), SystemTime::now()), Some(one.clone()));
        assert_eq!(stats.look(&b, &k), Known::Nothing, "restored for the one who asked, and not kept");
        let now = stats.begin(&b, &k);
        assert!(stats.restore(now, &b, &k, one.clone(), SystemTime::now() - Duration::from_secs(101)).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn soft_purges_count_what_is_known() {
        let (stats, b) = (stats(), bucket());
        for name in ["a/1", "a/2", "b/1"] {
            let ticket = stats.begin(&b, &key(name));
            assert!(stats.learn(ticket, &b, &key(name), Some(info(b"x"))));
        }
        assert!(stats.learn(stats.begin(&b, &key("a/none")), &b, &key("a/none"), None));
        assert_eq!(stats.soften(&|_, k, _| k.as_str().starts_with("a/")).len(), 2);
        assert!(matches!(stats.look(&b, &key("a/1")), Known::Old(_)));
        assert!(matches!(stats.look(&b, &key("b/1")), Known::Fresh(Some(_))));
        assert_eq!(stats.look(&b, &key("a/none")), Known::Nothing);
        assert_eq!(stats.forget_all(&|_, k, _| k.as_str().starts_with("a/")).len(), 2);
        assert_eq!(stats.look(&b, &key("a/1")), Known::Nothing);
    }
}
