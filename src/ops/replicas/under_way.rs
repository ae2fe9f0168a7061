//! Which keys are being written right now, here: what is there before such a write has ended is not yet what is to be copied.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::names::{BucketName, ObjectKey};

/// Without a key: the bucket itself.
type Name = (BucketName, Option<ObjectKey>);

#[derive(Debug, Default, Clone)]
pub struct UnderWay(Arc<Mutex<HashMap<Name, u32>>>);

pub struct Write {
    all: UnderWay,
    name: Name,
}

impl UnderWay {
    pub fn enter(&self, bucket: &BucketName, key: Option<&ObjectKey>) -> Write {
        let name = (bucket.clone(), key.cloned());
        *self.writes().entry(name.clone()).or_default() += 1;
        Write { all: self.clone(), name }
    }

    pub fn has(&self, bucket: &BucketName, key: Option<&ObjectKey>) -> bool {
        self.writes().contains_key(&(bucket.clone(), key.cloned()))
    }

    fn writes(&self) -> MutexGuard<'_, HashMap<Name, u32>> {
        // Each change is one call on the map: a panic leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Write {
    fn drop(&mut self) {
        let mut writes = self.all.writes();
        if let Some(count) = writes.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                writes.remove(&self.name);
            }
        }
    }
}
