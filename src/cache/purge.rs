//! Forgetting on demand, with exact counts. Hard: all that is known and kept goes. Soft: what is kept stays, and is shown again once
//! the origin has confirmed it, or while it can't be asked.

use std::collections::HashSet;

use tokio::task::spawn_blocking;

use crate::base::cache_tags;
use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::ObjectInfo;
use crate::cache::version::{BlockId, ObjectId};
use crate::cache::{Cache, Shared};

/// What is to be forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meant {
    Key(BucketName, ObjectKey),
    Prefix(BucketName, String),
    /// Whatever has one of these, see `base::cache_tags`. In lower case.
    Tags(HashSet<String>),
}

/// Tells whether an object is meant. None: it is not known what is there.
pub type IsMeant<'a> = dyn Fn(&BucketName, &ObjectKey, Option<&ObjectInfo>) -> bool + 'a;

impl Meant {
    fn is(&self, bucket: &BucketName, key: &ObjectKey, object: Option<&ObjectInfo>) -> bool {
        match self {
            Meant::Key(b, k) => b == bucket && k == key,
            Meant::Prefix(b, prefix) => b == bucket && key.as_str().starts_with(prefix),
            // What may be meant is.
            Meant::Tags(wanted) => object.is_none_or(|o| cache_tags::of(key, o).iter().any(|t| wanted.contains(&t.to_ascii_lowercase()))),
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
    /// All that is known and kept of what is meant goes. All but a key costs a look at every block.
    pub async fn forget(&self, meant: Meant) -> Purged {
        self.purge(meant, false).await
    }

    /// It is asked for before it is shown again, if the origin can be asked.
    pub async fn soften(&self, meant: Meant) -> Purged {
        self.purge(meant, true).await
    }

    /// What is known of any key of the bucket; its blocks can't be reached without.
    pub fn forget_known(&self, bucket: &BucketName) {
        self.0.known_keys.forget_all(&|b, _, _| b == bucket);
    }

    async fn purge(&self, meant: Meant, soft: bool) -> Purged {
        let shared = self.0.clone();
        spawn_blocking(move || shared.purge(&meant, soft)).await.unwrap_or_default()
    }
}

impl Shared {
    fn purge(&self, meant: &Meant, soft: bool) -> Purged {
        let is_meant: &IsMeant<'_> = &|b, k, o| meant.is(b, k, o);
        let mut objects = if soft { self.known_keys.soften(is_meant) } else { self.known_keys.forget_all(is_meant) };
        let on_disk = match meant {
            Meant::Key(bucket, key) => self.disk.blocks_of(ObjectId::of(bucket, key)),
            Meant::Prefix(..) | Meant::Tags(_) => self.disk.visit(is_meant),
        };
        let mut blocks: HashSet<BlockId> = self.memory.of(is_meant).into_iter().collect();
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
