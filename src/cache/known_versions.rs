//! What is known of versions that were asked for by their names. In memory, bounded.
//!
//! Such a version never has other bytes. It may be deleted, and its ACL, tags and lock may change; whatever comes through here, or through
//! a peer, makes all that is known of the key's versions forgotten. For what others do beside the gateway it is asked for again now and
//! then, while it goes on being shown: nobody waits for that.
//! Not here: `null`, which is no name, since what is written next may take its place.
//! Called by `known_keys`, under the lock of the key's stripe.

use std::sync::Arc;
use std::time::Duration;

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tokio::time::Instant;

use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::{ObjectInfo, SharedObject};
use crate::base::object_ref::VersionId;
use crate::cache::known::{Key, Known, Lookup, weight};

/// A quarter of what may be known of keys.
pub const MAX_BYTES: u64 = 8 << 20;
/// Of one key; those that were asked for before go.
const OF_A_KEY: usize = 16;

#[derive(Clone)]
struct Entry {
    object: SharedObject,
    asked: Instant,
}

#[derive(Clone)]
struct Weigh;

impl Weighter<Key, Arc<Vec<Entry>>> for Weigh {
    fn weight(&self, key: &Key, entries: &Arc<Vec<Entry>>) -> u64 {
        entries.iter().map(|entry| weight(key, Some(&entry.object))).sum()
    }
}

pub struct KnownVersions(Cache<Key, Arc<Vec<Entry>>, Weigh>);

impl Default for KnownVersions {
    fn default() -> Self {
        KnownVersions(Cache::with_weighter((MAX_BYTES / 640) as usize, MAX_BYTES, Weigh))
    }
}

impl KnownVersions {
    pub fn look(&self, bucket: &BucketName, key: &ObjectKey, id: &VersionId, fresh: Duration) -> Known {
        let Some(entries) = self.0.get(&Lookup(bucket.as_str(), key.as_str())) else { return Known::Nothing };
        match entries.iter().find(|entry| entry.object.version == *id) {
            Some(entry) if entry.asked.elapsed() <= fresh => Known::Fresh(Some(entry.object.clone())),
            Some(entry) => Known::Stale(entry.object.clone()),
            None => Known::Nothing,
        }
    }

    /// `asked`: when that was so.
    pub fn learn(&self, bucket: &BucketName, key: &ObjectKey, object: SharedObject, asked: Instant) {
        let known = self.0.peek(&Lookup(bucket.as_str(), key.as_str()));
        let others = known.iter().flat_map(|known| known.iter()).filter(|entry| entry.object.version != object.version);
        let mut entries: Vec<Entry> = others.cloned().collect();
        if entries.len() >= OF_A_KEY {
            entries.remove(0);
        }
        entries.push(Entry { object, asked });
        self.0.insert((bucket.clone(), key.clone()), Arc::new(entries));
    }

    /// All versions of the key. True: one was known.
    pub fn forget(&self, bucket: &BucketName, key: &ObjectKey) -> bool {
        self.0.remove(&Lookup(bucket.as_str(), key.as_str())).is_some()
    }

    /// The keys of which a version is meant.
    pub fn keys(&self, meant: &dyn Fn(&BucketName, &ObjectKey, &ObjectInfo) -> bool) -> Vec<Key> {
        let of_a_version = |((bucket, key), entries): &(Key, Arc<Vec<Entry>>)| entries.iter().any(|e| meant(bucket, key, &e.object));
        self.0.iter().filter(of_a_version).map(|(key, _)| key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::tests::{bucket, info, key};
    use tokio::time::advance;

    const FRESH: Duration = Duration::from_secs(5);

    fn id(name: usize) -> VersionId {
        VersionId::parse(&format!("v{name}")).unwrap()
    }

    fn version(name: usize) -> SharedObject {
        Arc::new(ObjectInfo { version: id(name), ..ObjectInfo::clone(&info(b"same bytes")) })
    }

    #[tokio::test(start_paused = true)]
    async fn each_version_is_known_by_its_name_and_all_of_a_key_are_forgotten_together() {
        let (known, b, k) = (KnownVersions::default(), bucket(), key("k"));
        for name in [1, 2] {
            known.learn(&b, &k, version(name), Instant::now());
        }
        known.learn(&b, &key("other"), version(1), Instant::now());
        assert_eq!(known.look(&b, &k, &id(1), FRESH), Known::Fresh(Some(version(1))));
        assert_eq!(known.look(&b, &k, &id(3), FRESH), Known::Nothing);
        advance(Duration::from_secs(3600)).await;
        assert_eq!(known.look(&b, &k, &id(2), FRESH), Known::Stale(version(2)), "shown however old it is");
        assert_eq!(known.keys(&|_, key, _| key.as_str() == "k"), [(b.clone(), k.clone())]);
        assert!(known.forget(&b, &k) && !known.forget(&b, &k));
        assert_eq!(known.look(&b, &k, &id(2), FRESH), Known::Nothing);
        assert_eq!(known.look(&b, &key("other"), &id(1), FRESH), Known::Stale(version(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_key_so_many_are_known_at_most() {
        let (known, b, k) = (KnownVersions::default(), bucket(), key("k"));
        for name in 0..=OF_A_KEY {
            known.learn(&b, &k, version(name), Instant::now());
        }
        assert_eq!(known.look(&b, &k, &id(0), FRESH), Known::Nothing);
        assert_eq!(known.look(&b, &k, &id(1), FRESH), Known::Fresh(Some(version(1))));
    }
}
