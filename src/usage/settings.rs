//! How usage is kept, with the shipped values.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::base::timestamp::Timestamp;
use crate::journal;
use crate::usage::ledger::Caps;
use crate::usage::prices::Prices;

#[derive(Clone)]
pub struct Clock(pub Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

#[derive(Debug, Clone)]
pub struct Settings {
    /// Usage has a folder of its own.
    pub dir: PathBuf,
    pub segment_bytes: u64,
    /// From the count to the disk; sheets come a quarter of a second before.
    pub flush: Duration,
    /// How long rows of hours, and of days, are kept.
    pub keep_hours: Duration,
    pub keep_days: Duration,
    pub caps: Caps,
    /// How often the meters of the store are read.
    pub measure: Duration,
    pub prices: Prices,
    pub clock: Clock,
    pub fault: Option<journal::Fault>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            dir: PathBuf::from("data/usage"),
            segment_bytes: 8 * 1024 * 1024,
            flush: Duration::from_millis(500),
            keep_hours: Duration::from_secs(7 * 24 * 3600),
            // A year, and the month that a bill is made in.
            keep_days: Duration::from_secs(400 * 24 * 3600),
            caps: Caps::default(),
            measure: Duration::from_secs(60),
            prices: Prices::default(),
            clock: Clock(Arc::new(Timestamp::now)),
            fault: None,
        }
    }
}
