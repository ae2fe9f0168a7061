//! What the configuration says of media.

use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct Settings {
    /// Workers at once. 0: nothing is looked into.
    pub workers: usize,
    /// Of one worker, with the file that it reads.
    pub memory_bytes: u64,
    pub cpu: Duration,
    pub time: Duration,
    /// The same of one that makes something of a model.
    pub optimize_cpu: Duration,
    pub optimize_time: Duration,
    /// Larger files are not looked into.
    pub max_bytes: u64,
    /// The binary that a worker is.
    pub program: PathBuf,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            workers: 2,
            memory_bytes: 1 << 30,
            cpu: Duration::from_secs(30),
            time: Duration::from_secs(60),
            optimize_cpu: Duration::from_secs(240),
            optimize_time: Duration::from_secs(300),
            max_bytes: 256 << 20,
            // Also when the file was replaced by a newer one since the start.
            program: PathBuf::from("/proc/self/exe"),
        }
    }
}
