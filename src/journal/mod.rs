//! The record of everything: a log of key-value mutations with group commit, and sorted snapshots that bound its length.
//!
//! Not here: what the keys and values mean (`local` and `queue` know), the index that follows the log (`follow`).
//! Called by those two: their writers append, their start-up recovers, their background work compacts.
//!
//! A batch is a list of operations and the small bodies they speak of, written with one `pwrite` and made durable with
//! one `fdatasync`. Segments are never written again once another follows: the successor's header says how far its
//! predecessor is valid, so bytes that a failed write left behind it are not part of the log.
//!
//! Invariants:
//! - What `append` answered Ok for is durable. What it answered Err for is not in the log.
//! - A descriptor whose write or fsync failed is never used again: the batch is tried in a new file.
//! - Damage below an offset that is proven durable is an error that names the place, never a silent cut.
//!
//! Limits: `format::MAX_SECTION` for each half of a batch, `Settings::segment_bytes` for a segment.

pub mod compact;
pub mod format;
pub mod log;
pub mod op;
pub mod segment;
pub mod sorted;

pub use log::{Journal, Recovered};
pub use op::{Op, OpRef};

use std::path::PathBuf;
use std::sync::Arc;

/// A place in the log: everything before it (in this segment and in the ones before).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    pub segment: u64,
    pub offset: u64,
}

/// Where a small body lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentAt {
    pub segment: u64,
    pub offset: u64,
    pub len: u32,
    pub crc: u32,
}

/// The steps at which a disk can fail, for the fault injector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Create,
    Write,
    Sync,
}

/// Asked before each step; an error is taken as the disk's own. None in production.
#[derive(Clone)]
pub struct Fault(pub Arc<dyn Fn(Step) -> std::io::Result<()> + Send + Sync>);

impl std::fmt::Debug for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fault")
    }
}

#[derive(Debug, Clone)]
pub struct Settings {
    pub dir: PathBuf,
    /// A segment is closed when it has grown past this. Larger ones are fewer files and a longer scan at start:
    /// 64 MiB is read in well under a tenth of a second.
    pub segment_bytes: u64,
    pub fault: Option<Fault>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { dir: PathBuf::from("data/journal"), segment_bytes: 64 * 1024 * 1024, fault: None }
    }
}

#[cfg(test)]
mod tests;
