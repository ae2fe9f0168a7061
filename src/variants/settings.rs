//! What can be set of variants, with the shipped values.

use std::path::PathBuf;
use std::sync::Arc;

use crate::files;
use crate::telemetry::metrics::Metrics;

#[derive(Debug, Clone)]
pub struct Settings {
    pub dir: PathBuf,
    /// Of the folder; 0: none are kept, and only small ones are made.
    pub disk_bytes: u64,
    /// For what is small, and for what is known of the others.
    pub memory_bytes: u64,
    /// Originals up to this size are compressed while the reader waits.
    pub small_bytes: u64,
    /// Larger originals, and originals that would unpack to more, are served as they are.
    pub largest_bytes: u64,
    /// Threads that make the best variants, with low priority.
    pub workers: usize,
    /// What the disk shall have left for the store.
    pub reserve_bytes: u64,
    pub files: files::Settings,
    pub metrics: Arc<Metrics>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            dir: PathBuf::from("data/variants"),
            disk_bytes: 10 * 1024 * 1024 * 1024,
            memory_bytes: 64 * 1024 * 1024,
            small_bytes: 256 * 1024,
            largest_bytes: 512 * 1024 * 1024,
            workers: 1,
            reserve_bytes: 1024 * 1024 * 1024,
            files: files::Settings { open_files: 128 },
            metrics: Arc::default(),
        }
    }
}
