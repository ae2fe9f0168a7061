//! How usage is kept, with the shipped values.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::timestamp::Timestamp;
use crate::journal;
use crate::usage::ledger::Caps;
use crate::usage::period::{self, DAY, Month};
use crate::usage::prices::Prices;

#[derive(Clone)]
pub struct Clock(pub Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Default for Clock {
    fn default() -> Self {
        Clock(Arc::new(Timestamp::now))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// Days of so many seconds, for tests: from a moment on, which counts as the beginning of its month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShortDays {
    seconds: u64,
    since: Timestamp,
}

impl ShortDays {
    fn at(self, now: Timestamp) -> Timestamp {
        let begun = u64::from(Month::of_day(period::day(self.since)).first_day()).saturating_mul(DAY);
        let passed = u64::try_from(now.since(self.since).as_millis()).unwrap_or(u64::MAX);
        Timestamp::from_millis(begun.saturating_add(passed.saturating_mul(DAY / 1000) / self.seconds))
    }

    pub fn clock(self) -> Clock {
        Clock(Arc::new(move || self.at(Timestamp::now())))
    }
}

/// `3@1764500000`: three seconds, and when since the epoch.
impl FromStr for ShortDays {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (seconds, since) = text.split_once('@').ok_or(())?;
        let number = |text: &str| text.parse::<u64>().map_err(drop);
        let seconds = Some(number(seconds)?).filter(|seconds| (1..=DAY / 1000).contains(seconds)).ok_or(())?;
        Ok(ShortDays { seconds, since: Timestamp::from_secs(number(since)?) })
    }
}

impl fmt::Display for ShortDays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.seconds, self.since.secs())
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
    /// Whether what is stored over an S3 is counted, how often it is counted anew, and how often nodes tell each other.
    pub count_upstream: bool,
    pub recount: Duration,
    pub tell: Duration,
    pub prices: Prices,
    /// Buckets that have a limit of what goes out.
    pub limited_buckets: BTreeSet<String>,
    pub clock: Clock,
    /// What makes the clock another one.
    pub short_days: Option<ShortDays>,
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
            count_upstream: true,
            recount: Duration::from_secs(24 * 3600),
            tell: Duration::from_secs(10),
            prices: Prices::default(),
            limited_buckets: BTreeSet::new(),
            clock: Clock::default(),
            short_days: None,
            fault: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_can_be_short() {
        let since = Timestamp::parse_iso8601("2026-11-30T21:00:00Z").unwrap();
        let text = format!("3@{}", since.secs());
        let short: ShortDays = text.parse().unwrap();
        assert_eq!(short.to_string(), text);
        for (passed, shown) in [(0, "2026-11-01T00:00:00Z"), (1, "2026-11-01T08:00:00Z"), (7 * 3, "2026-11-08T00:00:00Z")] {
            assert_eq!(short.at(since.plus(Duration::from_secs(passed))), Timestamp::parse_iso8601(shown).unwrap());
        }
        assert_eq!(short.at(Timestamp::default()), short.at(since));
        assert!(["", "3", "0@1", "x@1", "3@", "86401@1", "-1@2"].iter().all(|text| text.parse::<ShortDays>().is_err()));
    }
}
