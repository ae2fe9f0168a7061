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

    /// When the day of `at` is over: what happened within it is told by its end, so that nothing that counts from there is too early.
    pub fn end_of(self, at: Timestamp) -> Timestamp {
        let length = self.length().as_millis() as u64;
        Timestamp::from_millis((at.millis() / length.max(1) + 1).saturating_mul(length))
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

    #[test]
    fn what_counts_from_the_end_of_a_day_is_due_as_if_it_counted_from_within_it() {
        for ms in [0, 1, DAY_MS - 1, DAY_MS, 5 * DAY_MS + 7] {
            let at = Timestamp::from_millis(ms);
            assert!(Day::Calendar.end_of(at) > at && is_midnight(Day::Calendar.end_of(at)));
            assert_eq!(Day::Calendar.after(Day::Calendar.end_of(at), 3), Day::Calendar.after(Timestamp::from_millis(ms + 1), 3));
            assert!(Day::Seconds(2).end_of(at) > at && Day::Seconds(2).end_of(at) <= at.plus(Duration::from_secs(2)));
        }
    }
}
