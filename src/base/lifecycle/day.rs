//! How long a day of a rule is, and when a number of them has passed. Pure.

use std::time::Duration;

use crate::base::timestamp::Timestamp;

const DAY_MS: u64 = 24 * 3600 * 1000;

/// The variable that makes days short, for tests.
pub const VARIABLE: &str = "TIDEGATE_LIFECYCLE_DAY";

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Day {
    /// S3's: what is due on a day is due at its end, midnight UTC.
    #[default]
    Calendar,
    /// Of so many seconds, and nothing is rounded.
    Seconds(u64),
}

impl Day {
    pub fn length(self) -> Duration {
        match self {
            Day::Calendar => Duration::from_millis(DAY_MS),
            Day::Seconds(seconds) => Duration::from_secs(seconds),
        }
    }

    pub fn after(self, from: Timestamp, days: u32) -> Timestamp {
        let days = u64::from(days);
        match self {
            Day::Calendar => {
                let exact = from.millis().saturating_add(days.saturating_mul(DAY_MS));
                Timestamp::from_millis(exact.div_ceil(DAY_MS).saturating_mul(DAY_MS))
            }
            Day::Seconds(seconds) => {
                Timestamp::from_millis(from.millis().saturating_add(days.saturating_mul(seconds).saturating_mul(1000)))
            }
        }
    }
}

pub fn is_midnight(at: Timestamp) -> bool {
    at.millis().is_multiple_of(DAY_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_end_at_midnight() {
        let at = |text: &str| Timestamp::parse_iso8601(text).unwrap();
        let made = at("2014-01-15T10:30:00Z");
        assert_eq!(Day::Calendar.after(made, 3), at("2014-01-19T00:00:00Z"), "S3's own example");
        assert_eq!(Day::Calendar.after(at("2014-01-15T00:00:00Z"), 1), at("2014-01-16T00:00:00Z"));
        assert_eq!(Day::Calendar.after(at("2014-01-15T00:00:00.001Z"), 0), at("2014-01-16T00:00:00Z"));
        assert_eq!(Day::Seconds(2).after(made, 3), at("2014-01-15T10:30:06Z"));
        assert!(Day::Calendar.after(Timestamp::from_millis(u64::MAX), u32::MAX) > made && is_midnight(at("2026-11-29T00:00:00Z")));
        assert!(!is_midnight(made));
    }
}
