//! What can be set of the cache, with the shipped values.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::files;
use crate::telemetry::metrics::Metrics;

#[derive(Debug, Clone)]
pub struct Settings {
    pub dir: PathBuf,
    /// Of the folder; 0: blocks are only kept in memory.
    pub disk_bytes: u64,
    /// For small blocks, and for those that the disk doesn't take. At least `MIN_BLOCKS` blocks.
    pub memory_bytes: u64,
    pub block_bytes: u64,
    /// Requests to the upstream for blocks, at once. Each holds two blocks in memory, at most.
    pub fetches: usize,
    pub freshness: Freshness,
    /// What the disk shall have left for others.
    pub reserve_bytes: u64,
    pub files: files::Settings,
    pub metrics: Arc<Metrics>,
}

/// How long what is known of a key may be shown without asking again, on the edge door.
#[derive(Debug, Clone)]
pub struct Freshness {
    /// Without any look.
    pub fresh: Duration,
    /// After that, for so long, while it is being looked up.
    pub while_revalidate: Duration,
    /// Since it was last known to be so, while the upstream can't be asked.
    pub if_error: Duration,
    /// That there is nothing.
    pub negative: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            dir: PathBuf::from("data/cache"),
            disk_bytes: 10 << 30,
            memory_bytes: 64 << 20,
            block_bytes: 1 << 20,
            fetches: 48,
            freshness: Freshness::default(),
            reserve_bytes: 1 << 30,
            files: files::Settings { open_files: 256 },
            metrics: Arc::default(),
        }
    }
}

impl Default for Freshness {
    fn default() -> Self {
        Freshness {
            fresh: Duration::from_secs(5),
            while_revalidate: Duration::from_secs(60),
            if_error: Duration::from_secs(24 * 3600),
            negative: Duration::from_secs(2),
        }
    }
}
