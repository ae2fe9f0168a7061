//! Bytes that are asked for together with what is there, not after it: the first reader of a key waits for one answer upstream and
//! not for two.
//!
//! Not here: who may read (whoever announces a read has decided that), and whether it is worth asking (the cache knows what it has).
//! Called by `Reads::prefetch`, and by `read` for whoever opens a version.
//! Invariants: what came is used for exactly the version that HEAD told of, or not at all; it is never waited for where nobody opens
//! it, and goes with the one who announced it. At most `AT_ONCE` are open.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use tokio::task::{Id, JoinHandle};

use crate::base::names::{BucketName, ObjectKey};
use crate::base::range::ByteRange;
use crate::origin::Prefetch;
use crate::upstream::open::Inner;

const AT_ONCE: usize = 64;

type Name = (BucketName, ObjectKey);

#[derive(Default)]
pub struct Prefetches(Mutex<HashMap<Name, Asked>>);

/// A GET that is under way.
struct Asked {
    /// As far as the object reaches.
    range: ByteRange,
    answer: JoinHandle<Option<GetObjectOutput>>,
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.answer.abort();
    }
}

/// Nobody else asks for these bytes, and they go when this does.
struct Guard {
    inner: Arc<Inner>,
    name: Name,
    asking: Id,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut prefetches = self.inner.prefetches.lock();
        if prefetches.get(&self.name).is_some_and(|asked| asked.answer.id() == self.asking) {
            prefetches.remove(&self.name);
        }
    }
}

impl Prefetches {
    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Asked>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    pub fn prefetch(self: &Arc<Self>, bucket: &BucketName, key: &ObjectKey, range: ByteRange) -> Option<Prefetch> {
        let name = (bucket.clone(), key.clone());
        let mut prefetches = self.prefetches.lock();
        if prefetches.len() >= AT_ONCE || range.start >= range.end {
            return None;
        }
        let Entry::Vacant(free) = prefetches.entry(name.clone()) else { return None };
        let (inner, asked) = (self.clone(), name.clone());
        let answer = tokio::spawn(async move { inner.ask_for(&asked, range).await });
        let asking = answer.id();
        free.insert(Asked { range, answer });
        Some(Box::new(Guard { inner: self.clone(), name, asking }))
    }

    /// None: nothing came. Why that is will show when it is asked for again.
    async fn ask_for(&self, (bucket, key): &Name, range: ByteRange) -> Option<GetObjectOutput> {
        let place = self.place(bucket).await.ok()?;
        let full = place.key(key).ok()?;
        if self.hidden_folder(&place, &full).await.ok()?.is_some() {
            return None;
        }
        let range = match range {
            ByteRange { start: 0, end: u64::MAX } => None,
            ByteRange { start, end: u64::MAX } => Some(format!("bytes={start}-")),
            ByteRange { start, end } => Some(format!("bytes={start}-{}", end - 1)),
        };
        self.reader.get_object().bucket(&*place.bucket).key(&full).set_range(range).send().await.ok()
    }

    /// What was asked for already, if it was exactly this of an object of this size. Whether it is of the version has to be checked.
    pub async fn prefetched(&self, bucket: &BucketName, key: &ObjectKey, size: u64, range: ByteRange) -> Option<GetObjectOutput> {
        let mut asked = {
            let mut prefetches = self.prefetches.lock();
            let Entry::Occupied(entry) = prefetches.entry((bucket.clone(), key.clone())) else { return None };
            let reach = entry.get().range;
            let same = reach.start == range.start && reach.end.min(size) == range.end;
            same.then(|| entry.remove())?
        };
        (&mut asked.answer).await.ok().flatten()
    }
}
