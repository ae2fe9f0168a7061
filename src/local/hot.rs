//! What is read again and again: objects' information and small bodies, in memory, bounded by bytes.
//!
//! Readers fill it from the index, the writer empties it: an entry is taken in only if no write of that key happened
//! since its row was read, so a stale one can't come in. The writer shuts a key out before the index changes and lets
//! it in again afterwards: what one reader has seen, the next one sees too.
//! A look-up copies no name and takes no lock of ours.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Equivalent, OptionsBuilder, Weighter};

use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::SharedObject;
use crate::local::rows::{BodyPlace, Held, Manifest};
use crate::local::scope::Scope;

#[derive(Debug, Clone)]
pub struct Settings {
    /// Of information and bodies together.
    pub bytes: u64,
    /// The largest body kept: an eighth of the cache's share of one shard, so that one body can't empty it.
    pub body_bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { bytes: 96 * 1024 * 1024, body_bytes: 1024 * 1024 }
    }
}

/// One version, as the index told it.
pub struct Entry {
    pub info: SharedObject,
    /// Where its files are.
    pub scope: Scope,
    pub place: BodyPlace,
    /// The key of its bytes, wrapped. None: they are as they came.
    pub held: Option<Held>,
    /// Where `place` is a manifest.
    pub manifest: Option<Arc<Manifest>>,
    pub body: Option<Bytes>,
    reads: AtomicU32,
}

impl Entry {
    pub fn new(info: SharedObject, scope: Scope, place: BodyPlace, held: Option<Held>, manifest: Option<Arc<Manifest>>) -> Self {
        Entry { info, scope, place, held, manifest, body: None, reads: AtomicU32::new(0) }
    }

    /// The same version with its body at hand.
    pub fn with_body(&self, body: Bytes) -> Self {
        Entry {
            info: self.info.clone(),
            scope: self.scope.clone(),
            place: self.place,
            held: self.held.clone(),
            manifest: self.manifest.clone(),
            body: Some(body),
            reads: AtomicU32::new(self.reads.load(Ordering::Relaxed)),
        }
    }

    /// True from the second read on: then the body is worth its memory.
    pub fn read_again(&self) -> bool {
        self.reads.fetch_add(1, Ordering::Relaxed) > 0
    }

    fn weight(&self) -> u64 {
        let headers = &self.info.headers;
        let user: usize = headers.user.iter().map(|(k, v)| k.len() + v.len() + 64).sum();
        let parts =
            self.info.parts.len() * 64 + self.manifest.as_ref().map_or(0, |m| m.parts.len() * 64 + m.files.len() * 16 + m.keys.len() * 128);
        let held = if self.held.is_some() { 512 } else { 0 };
        (512 + held + user + headers.content_type.len() + parts + self.body.as_ref().map_or(0, Bytes::len)) as u64
    }
}

type Key = (BucketName, ObjectKey);

#[derive(Hash)]
struct Lookup<'a>(&'a str, &'a str);

impl Equivalent<Key> for Lookup<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.0 == key.0.as_str() && self.1 == key.1.as_str()
    }
}

#[derive(Clone)]
struct Weigh;

impl Weighter<Key, Arc<Entry>> for Weigh {
    fn weight(&self, key: &Key, entry: &Arc<Entry>) -> u64 {
        (key.0.as_str().len() + key.1.as_str().len()) as u64 + entry.weight()
    }
}

/// Keys share these: two keys in one stripe only cost each other a cache entry now and then.
const STRIPES: usize = 1024;

pub struct Hot {
    cache: Cache<Key, Arc<Entry>, Weigh>,
    stripes: Vec<Mutex<u64>>,
    stripe_hash: RandomState,
    pub body_bytes: u64,
}

/// The state of a key's stripe before its row was read.
#[derive(Debug, Clone, Copy)]
pub struct Ticket {
    stripe: usize,
    state: u64,
}

impl Hot {
    pub fn new(settings: &Settings) -> Self {
        // Few shards, whatever the number of cores: each must have room for the largest body.
        let items = (settings.bytes / 1024).clamp(1024, 1_000_000) as usize;
        let options = OptionsBuilder::new().shards(8).estimated_items_capacity(items).weight_capacity(settings.bytes).build();
        let cache = match options {
            Ok(options) => Cache::with_options(options, Weigh, DefaultHashBuilder::default(), Default::default()),
            Err(_) => Cache::with_weighter(items, settings.bytes, Weigh),
        };
        Hot {
            cache,
            stripes: (0..STRIPES).map(|_| Mutex::new(0)).collect(),
            stripe_hash: RandomState::new(),
            body_bytes: settings.body_bytes.min(settings.bytes / 64),
        }
    }

    pub fn get(&self, bucket: &BucketName, key: &ObjectKey) -> Option<Arc<Entry>> {
        self.cache.get(&Lookup(bucket.as_str(), key.as_str()))
    }

    /// Before the row is read.
    pub fn begin(&self, bucket: &BucketName, key: &ObjectKey) -> Ticket {
        let stripe = self.stripe(&Lookup(bucket.as_str(), key.as_str()));
        Ticket { stripe, state: self.stripes.get(stripe).map_or(0, |s| *s.lock().unwrap_or_else(PoisonError::into_inner)) }
    }

    /// Takes the entry in, unless the key may have been written since `begin`.
    pub fn finish(&self, ticket: Ticket, bucket: &BucketName, key: &ObjectKey, entry: Arc<Entry>) {
        let Some(stripe) = self.stripes.get(ticket.stripe) else { return };
        let state = stripe.lock().unwrap_or_else(PoisonError::into_inner);
        // Odd: a write of the stripe is in progress.
        if *state == ticket.state && *state % 2 == 0 {
            self.cache.insert((bucket.clone(), key.clone()), entry);
        }
    }

    /// Before the index changes: the keys are out, and nothing of their stripes comes in.
    pub fn shut_out<'k>(&self, keys: impl Iterator<Item = (&'k str, &'k str)>) -> Shut<'_> {
        let mut stripes = Vec::new();
        for (bucket, key) in keys {
            let lookup = Lookup(bucket, key);
            let stripe = self.stripe(&lookup);
            if !stripes.contains(&stripe) {
                stripes.push(stripe);
                self.bump(stripe);
            }
            self.cache.remove(&lookup);
        }
        Shut { hot: self, stripes }
    }

    /// Everything goes: the index was replaced.
    pub fn clear(&self) {
        self.cache.clear();
    }

    fn bump(&self, stripe: usize) {
        if let Some(s) = self.stripes.get(stripe) {
            *s.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        }
    }

    fn stripe(&self, lookup: &Lookup<'_>) -> usize {
        (self.stripe_hash.hash_one(lookup) % STRIPES as u64) as usize
    }
}

/// Keys that are shut out until this is dropped.
pub struct Shut<'h> {
    hot: &'h Hot,
    stripes: Vec<usize>,
}

impl Drop for Shut<'_> {
    fn drop(&mut self) {
        for stripe in &self.stripes {
            self.hot.bump(*stripe);
        }
    }
}
