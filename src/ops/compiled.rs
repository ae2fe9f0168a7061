//! Documents of buckets in the form that requests need, ready for use: CORS rules, websites.
//!
//! Invariant: a document is read once for each state of its bucket, never for each request.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::base::error::Result;
use crate::base::names::BucketName;
use crate::base::object::Bucket;
use crate::base::timestamp::Timestamp;

/// Text of the documents kept compiled.
const CACHED_BYTES: u64 = 4 * 1024 * 1024;
/// Buckets expected to be in use at once; only sizes the table.
const EXPECTED_BUCKETS: usize = 1024;

pub struct Compiled<T>(Cache<BucketName, Arc<Entry<T>>, ByBytes>);

struct Entry<T> {
    state: (u64, Timestamp),
    bytes: u64,
    /// None: what is stored can't be read, perhaps because a newer version wrote it.
    read: Option<Arc<T>>,
}

#[derive(Clone)]
struct ByBytes;

impl<T> Weighter<BucketName, Arc<Entry<T>>> for ByBytes {
    fn weight(&self, _: &BucketName, entry: &Arc<Entry<T>>) -> u64 {
        entry.bytes
    }
}

impl<T> Default for Compiled<T> {
    fn default() -> Self {
        Compiled(Cache::with_weighter(EXPECTED_BUCKETS, CACHED_BYTES, ByBytes))
    }
}

impl<T> Compiled<T> {
    /// What `document`, one of the bucket's, says. None: it can't be read, which the log tells once.
    pub fn of(&self, bucket: &Bucket, document: &[u8], parse: impl FnOnce(&[u8]) -> Result<T>) -> Option<Arc<T>> {
        let state = (bucket.generation, bucket.created);
        if let Some(entry) = self.0.get(&bucket.name).filter(|e| e.state == state) {
            return entry.read.clone();
        }
        let read = parse(document)
            .inspect_err(|error| tracing::error!(bucket = %bucket.name, %error, "a stored document of the bucket can't be read"))
            .ok()
            .map(Arc::new);
        let entry = Entry { state, bytes: document.len() as u64 + 256, read: read.clone() };
        self.0.insert(bucket.name.clone(), Arc::new(entry));
        read
    }
}
