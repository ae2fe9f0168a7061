//! Forgetting on demand, with exact counts. Hard: all that is known and kept goes. Soft: what is kept stays, and is shown again once
//! the origin has confirmed it, or while it can't be asked.

use std::collections::HashSet;

use tokio::task::spawn_blocking;

use crate::base::names::{BucketName, ObjectKey};
use crate::cache::version::{BlockId, ObjectId};
use crate::cache::{Cache, Shared};

/// Which keys of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keys {
    One(ObjectKey),
    Prefix(String),
}

impl Keys {
    fn contain(&self, key: &ObjectKey) -> bool {
        match self {
            Keys::One(one) => one == key,
            Keys::Prefix(prefix) => key.as_str().starts_with(prefix),
        }
    }
}

/// What was forgotten, or is to be asked for again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purged {
    /// Of which anything was known or kept.
    pub objects: u64,
    /// That were deleted.
    pub blocks: u64,
}

impl Cache {
    /// All that is known and kept of these keys goes. A prefix costs a look at every block.
    pub async fn forget(&self, bucket: &BucketName, keys: Keys) -> Purged {
        self.purge(bucket, keys, false).await
    }

    /// They are asked for before they are shown again, if the origin can be asked.
    pub async fn soften(&self, bucket: &BucketName, keys: Keys) -> Purged {
        self.purge(bucket, keys, true).await
    }

    /// What is known of any key of the bucket; its blocks can't be reached without.
    pub fn forget_known(&self, bucket: &BucketName) {
        self.0.stats.forget_all(&|b, _| b == bucket);
    }

    async fn purge(&self, bucket: &BucketName, keys: Keys, soft: bool) -> Purged {
        let (shared, bucket) = (self.0.clone(), bucket.clone());
        spawn_blocking(move || shared.purge(&bucket, &keys, soft)).await.unwrap_or_default()
    }
}

impl Shared {
    fn purge(&self, bucket: &BucketName, keys: &Keys, soft: bool) -> Purged {
        let meant = |b: &BucketName, k: &ObjectKey| b == bucket && keys.contain(k);
        let mut objects = if soft { self.stats.soften(&meant) } else { self.stats.forget_all(&meant) };
        let on_disk = match keys {
            Keys::One(key) => self.disk.blocks_of(ObjectId::of(bucket, key)),
            Keys::Prefix(_) => self.disk.visit(&mut |b, k| meant(b, k)),
        };
        let mut blocks: HashSet<BlockId> = self.memory.of(&mut |b, k| meant(b, k)).into_iter().collect();
        blocks.extend(on_disk);
        objects.extend(blocks.iter().map(|id| id.object));
        if soft {
            return Purged { objects: objects.len() as u64, blocks: 0 };
        }
        for id in &blocks {
            self.memory.remove(id);
            self.disk.remove(id);
        }
        Purged { objects: objects.len() as u64, blocks: blocks.len() as u64 }
    }
}
