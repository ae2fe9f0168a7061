//! The rules of buckets, ready for use: those of gateway.toml, and those that a bucket is set to.
//!
//! Invariant: a document is read once for each state of its bucket, never for each request; where neither the configuration nor the
//! bucket has rules, nothing is looked up at all.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::day::Day;
use super::evaluate::{Due, Subject, asks_for_tags, first_due};
use super::transitions::{Lies, Move, due_move};
use super::{Configuration, Expiration, Rule, TransitionMinimum};
use crate::base::error::Error;
use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::{Bucket, BucketDocument};
use crate::base::timestamp::Timestamp;

/// Text of the documents kept ready.
const CACHED_BYTES: u64 = 16 * 1024 * 1024;
/// Buckets expected to be in use at once; only sizes the table.
const EXPECTED_BUCKETS: usize = 256;

/// A rule of gateway.toml.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfiguredRule {
    /// None: all.
    pub buckets: Option<Vec<BucketName>>,
    pub rule: Rule,
}

/// What holds in a bucket.
#[derive(Debug, Clone)]
pub struct Rules {
    of_gateway: Arc<[Rule]>,
    of_bucket: Option<Arc<Configuration>>,
}

impl Rules {
    /// All, those of gateway.toml first.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> + Clone {
        self.of_gateway.iter().chain(self.of_bucket.iter().flat_map(|c| &c.rules))
    }

    /// Whether who evaluates must know the tags.
    pub fn ask_for_tags(&self) -> bool {
        asks_for_tags(self.iter())
    }

    /// Of an object that its key shows, and that no rule lets go.
    pub fn due_move(&self, subject: &Subject<'_>, lies: Lies, day: Day, now: Timestamp) -> Option<Move<'_>> {
        let minimum = self.of_bucket.as_ref().map_or_else(TransitionMinimum::default, |c| c.minimum);
        due_move(self.iter(), minimum, subject, lies, day, now)
    }

    /// Whether who evaluates must know when an object was read.
    pub fn ask_for_reads(&self) -> bool {
        self.iter().any(Rule::asks_for_reads)
    }

    /// The same of rules by which it can be told today: when an object will have been read last is not known.
    pub fn foreseen(&self, subject: &Subject<'_>, day: Day) -> Option<Due<'_>> {
        first_due(self.iter().filter(|rule| !rule.asks_for_reads()), subject, day)
    }

    pub fn first_due(&self, subject: &Subject<'_>, day: Day) -> Option<Due<'_>> {
        first_due(self.iter(), subject, day)
    }
}

pub struct Lifecycles {
    pub day: Day,
    configured: Vec<ConfiguredRule>,
    read: Cache<BucketName, Arc<Entry>, ByBytes>,
}

struct Entry {
    state: (u64, Timestamp),
    bytes: u64,
    /// None: there are none, or what is stored can't be read. Then nothing goes.
    rules: Option<Rules>,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<BucketName, Arc<Entry>> for ByBytes {
    fn weight(&self, _: &BucketName, entry: &Arc<Entry>) -> u64 {
        entry.bytes
    }
}

impl Default for Lifecycles {
    fn default() -> Self {
        Self::new(Day::Calendar, Vec::new())
    }
}

impl std::fmt::Debug for Lifecycles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lifecycles").field("day", &self.day).field("configured", &self.configured).finish_non_exhaustive()
    }
}

impl Lifecycles {
    pub fn new(day: Day, configured: Vec<ConfiguredRule>) -> Self {
        Lifecycles { day, configured, read: Cache::with_weighter(EXPECTED_BUCKETS, CACHED_BYTES, ByBytes) }
    }

    /// Whether gateway.toml has rules: then what a bucket is set to is not all.
    pub fn configured(&self) -> &[ConfiguredRule] {
        &self.configured
    }

    /// The most days after a read that any rule counts. None: no rule asks for reads, and nobody notes them.
    pub fn unread_days(&self) -> Option<u32> {
        let days = |c: &ConfiguredRule| match c.rule.expiration {
            Some(Expiration::Unread(days)) => Some(days),
            _ => None,
        };
        self.configured.iter().filter_map(days).max()
    }

    /// Whether it matters when the object under the key was read.
    pub fn asks_for_reads_of(&self, bucket: &BucketName, key: &ObjectKey) -> bool {
        let of_bucket = |c: &&ConfiguredRule| c.buckets.as_ref().is_none_or(|names| names.contains(bucket));
        self.configured.iter().filter(of_bucket).any(|c| c.rule.asks_for_reads() && c.rule.filter.is_of_key(key.as_str()))
    }

    /// Whether the bucket may have rules: asked on the way of a read.
    pub fn may_concern(&self, bucket: &Bucket) -> bool {
        !self.configured.is_empty() || bucket.documents.contains_key(&BucketDocument::Lifecycle)
    }

    /// None: the bucket has no rules.
    pub fn of(&self, bucket: &Bucket) -> Option<Rules> {
        let document = bucket.documents.get(&BucketDocument::Lifecycle);
        if !self.may_concern(bucket) {
            return None;
        }
        let state = (bucket.generation, bucket.created);
        if let Some(entry) = self.read.get(&bucket.name).filter(|entry| entry.state == state) {
            return entry.rules.clone();
        }
        let rules = self.read(bucket, document.map(Vec::as_slice));
        let entry = Entry { state, bytes: document.map_or(0, |d| d.len() as u64) + 256, rules: rules.clone() };
        self.read.insert(bucket.name.clone(), Arc::new(entry));
        rules
    }

    /// Why what the bucket is set to can't be read: none of it is carried out then.
    pub fn fault(&self, bucket: &Bucket) -> Option<Error> {
        Configuration::decode(bucket.documents.get(&BucketDocument::Lifecycle)?).err()
    }

    fn read(&self, bucket: &Bucket, document: Option<&[u8]>) -> Option<Rules> {
        let named = |c: &&ConfiguredRule| c.buckets.as_ref().is_none_or(|names| names.contains(&bucket.name));
        let of_gateway: Arc<[Rule]> = self.configured.iter().filter(named).map(|c| c.rule.clone()).collect();
        let of_bucket = document.and_then(|document| Configuration::decode(document).ok()).map(Arc::new);
        (!of_gateway.is_empty() || of_bucket.is_some()).then_some(Rules { of_gateway, of_bucket })
    }
}
