//! The memory tier: small blocks, and those that the disk does not take.

use std::sync::Arc;

use bytes::Bytes;
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use crate::cache::purge::IsMeant;
use crate::cache::settings::Settings;
use crate::cache::version::{BlockId, Version};

/// Each shard must have room for several blocks, or none would stay.
const SHARDS: usize = 4;
const MIN_BLOCKS: u64 = 16;

#[derive(Clone)]
struct Kept {
    version: Arc<Version>,
    bytes: Bytes,
}

#[derive(Clone, Copy)]
struct Weigh;

impl Weighter<BlockId, Kept> for Weigh {
    fn weight(&self, _: &BlockId, kept: &Kept) -> u64 {
        512 + kept.bytes.len() as u64
    }
}

pub struct Memory {
    blocks: Cache<BlockId, Kept, Weigh>,
}

impl Memory {
    pub fn new(settings: &Settings) -> Self {
        let bytes = settings.memory_bytes.max(MIN_BLOCKS * settings.block_bytes);
        let items = (bytes / 4096).clamp(1024, 1_000_000) as usize;
        let options = OptionsBuilder::new().shards(SHARDS).estimated_items_capacity(items).weight_capacity(bytes).build();
        let blocks = match options {
            Ok(options) => Cache::with_options(options, Weigh, DefaultHashBuilder::default(), Default::default()),
            Err(_) => Cache::with_weighter(items, bytes, Weigh),
        };
        Memory { blocks }
    }

    pub fn get(&self, id: &BlockId) -> Option<Bytes> {
        self.blocks.get(id).map(|kept| kept.bytes)
    }

    pub fn has(&self, id: &BlockId) -> bool {
        self.blocks.contains_key(id)
    }

    pub fn put(&self, version: &Arc<Version>, number: u32, bytes: Bytes) {
        self.blocks.insert(version.block(number), Kept { version: version.clone(), bytes });
    }

    /// Those of objects that are meant.
    pub fn of(&self, meant: &IsMeant<'_>) -> Vec<BlockId> {
        self.blocks.iter().filter(|(_, k)| meant(&k.version.bucket, &k.version.key, Some(&k.version.info))).map(|(id, _)| id).collect()
    }

    pub fn remove(&self, id: &BlockId) {
        self.blocks.remove(id);
    }
}
