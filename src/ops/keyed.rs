//! One at a time for each key: mutexes that are there only while somebody holds them or waits for them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedMutexGuard;

use crate::base::names::{BucketName, ObjectKey};

type Name = (BucketName, ObjectKey);
type One = Arc<tokio::sync::Mutex<()>>;

/// `N`: what it is that is held.
#[derive(Clone)]
pub struct Keyed<N: Eq + Hash = Name>(Arc<Mutex<HashMap<N, One>>>);

/// The key is the holder's until this goes. Also the place in line of one who still waits.
pub struct Held<N: Eq + Hash = Name> {
    all: Keyed<N>,
    name: N,
    one: Option<One>,
    guard: Option<OwnedMutexGuard<()>>,
}

impl<N: Eq + Hash> Default for Keyed<N> {
    fn default() -> Self {
        Keyed(Arc::default())
    }
}

impl Keyed {
    pub async fn lock(&self, bucket: &BucketName, key: &ObjectKey) -> Held {
        self.lock_named((bucket.clone(), key.clone())).await
    }
}

impl<N: Eq + Hash + Clone> Keyed<N> {
    pub async fn lock_named(&self, name: N) -> Held<N> {
        let one = self.locks().entry(name.clone()).or_default().clone();
        // Made before the wait, so that one who gives up waiting leaves nothing behind.
        let mut held = Held { all: self.clone(), name, one: Some(one.clone()), guard: None };
        held.guard = Some(one.lock_owned().await);
        held
    }
}

impl<N: Eq + Hash> Keyed<N> {
    fn locks(&self) -> MutexGuard<'_, HashMap<N, One>> {
        // Each change is one call on the map: a panic leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<N: Eq + Hash> Drop for Held<N> {
    fn drop(&mut self) {
        self.guard = None;
        self.one = None;
        let mut locks = self.all.locks();
        // Handed out under this lock only: nobody else has it when the map's own is the last.
        if locks.get(&self.name).is_some_and(|one| Arc::strong_count(one) == 1) {
            locks.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn one_at_a_time_and_nothing_stays() {
        let keyed: Keyed = Keyed::default();
        let (bucket, a, b) = (BucketName::parse("media").unwrap(), ObjectKey::parse("a").unwrap(), ObjectKey::parse("b").unwrap());
        let first = keyed.lock(&bucket, &a).await;
        let other = keyed.lock(&bucket, &b).await;
        // Gives up: its place in line goes with it.
        assert!(tokio::time::timeout(Duration::from_millis(5), keyed.lock(&bucket, &a)).await.is_err());
        assert_eq!(keyed.locks().len(), 2);
        let waiting = tokio::spawn({
            let (keyed, bucket, a) = (keyed.clone(), bucket.clone(), a.clone());
            async move { drop(keyed.lock(&bucket, &a).await) }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        waiting.await.unwrap();
        drop(other);
        assert!(keyed.locks().is_empty());
    }
}
