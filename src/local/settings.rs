//! What can be set of the embedded store, with the shipped values.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::base::crypt::ring::NamedKeys;
use crate::base::lifecycle::ready::Lifecycles;
use crate::files;
use crate::index;
use crate::journal;
use crate::local::clock;
use crate::local::hot;
use crate::local::sealed::Sealing;
use crate::origin::Quota;
use crate::telemetry::metrics::Metrics;

#[derive(Debug, Clone)]
pub struct Settings {
    pub dir: PathBuf,
    /// Bodies up to this size lie in the journal and share its fsync; larger ones are files of their own.
    pub inline_limit: usize,
    pub segment_bytes: u64,
    pub index_cache_bytes: u64,
    pub hot: hot::Settings,
    pub files: files::Settings,
    /// PUTs are refused below this much free space, so that the journal can still take deletes.
    pub reserve_bytes: u64,
    /// How long a file stays after nothing refers to it.
    pub drop_grace: Duration,
    /// How often it is looked for what may go, and whether the journal is worth compacting.
    pub upkeep_interval: Duration,
    /// The journal is compacted when the segments after the snapshot are this many: bounds a rebuild and a start.
    pub compact_segments: usize,
    /// How long a completed upload still answers the same request.
    pub completed_kept: Duration,
    pub sealing: Sealing,
    /// The keys of encryption that have names.
    pub encryption_keys: NamedKeys,
    /// Start although something is encrypted with a key that is not there.
    pub allow_missing_keys: bool,
    /// What lets objects go: the index of what is due is made by it.
    pub lifecycles: Arc<Lifecycles>,
    /// What a bucket may hold, whosever it is.
    pub bucket_limits: Arc<BTreeMap<String, Quota>>,
    /// What the store counts into.
    pub metrics: Arc<Metrics>,
    /// For tests: other clocks than the machine's.
    pub clock: clock::Source,
    /// For tests: stands in for the journal's disk.
    pub fault: Option<journal::Fault>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            dir: PathBuf::from("data"),
            inline_limit: 64 * 1024,
            segment_bytes: 64 * 1024 * 1024,
            index_cache_bytes: 64 * 1024 * 1024,
            hot: hot::Settings::default(),
            files: files::Settings::default(),
            reserve_bytes: 64 * 1024 * 1024,
            drop_grace: Duration::from_secs(60),
            upkeep_interval: Duration::from_secs(60),
            compact_segments: 16,
            completed_kept: Duration::from_secs(24 * 3600),
            sealing: Sealing::default(),
            encryption_keys: NamedKeys::default(),
            allow_missing_keys: false,
            lifecycles: Arc::default(),
            bucket_limits: Arc::default(),
            metrics: Arc::default(),
            clock: clock::Source::default(),
            fault: None,
        }
    }
}

impl Settings {
    pub fn journal(&self) -> journal::Settings {
        journal::Settings { dir: self.dir.join("journal"), segment_bytes: self.segment_bytes, fault: self.fault.clone() }
    }

    pub fn index(&self) -> index::Settings {
        index::Settings { dir: self.dir.join("index"), cache_bytes: self.index_cache_bytes }
    }
}
