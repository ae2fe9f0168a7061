//! Hours, days and months of UTC, as rows and questions name them. Pure.

use time::{Date, Month as TimeMonth, OffsetDateTime};

use crate::base::timestamp::Timestamp;
pub use crate::base::usage::{DAY, day};

pub const HOUR: u64 = 3_600_000;

/// Since the epoch.
pub fn hour(at: Timestamp) -> u32 {
    u32::try_from(at.millis() / HOUR).unwrap_or(u32::MAX)
}

/// `2026-11-29`
pub fn show_day(day: u32) -> String {
    let date = date(day);
    format!("{:04}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day())
}

/// `2026-11-29T13`
pub fn show_hour(hour: u32) -> String {
    format!("{}T{:02}", show_day(hour / 24), hour % 24)
}

pub fn parse_day(text: &str) -> Option<u32> {
    let (month, day) = text.rsplit_once('-')?;
    let month = Month::parse(month)?;
    let day: u8 = two_digits(day)?;
    (1..=month.days()).contains(&u32::from(day)).then(|| month.first_day() + u32::from(day) - 1)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Month {
    year: i32,
    month: TimeMonth,
}

impl Month {
    pub fn of_day(day: u32) -> Self {
        let date = date(day);
        Month { year: date.year(), month: date.month() }
    }

    /// `2026-11`
    pub fn parse(text: &str) -> Option<Self> {
        let (year, month) = text.split_once('-')?;
        let year = Some(year).filter(|y| y.len() == 4 && y.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()?;
        let month = TimeMonth::try_from(two_digits(month)?).ok()?;
        (1970..=9999).contains(&year).then_some(Month { year, month })
    }

    pub fn days(self) -> u32 {
        u32::from(self.month.length(self.year))
    }

    pub fn first_day(self) -> u32 {
        let first = Date::from_calendar_date(self.year, self.month, 1).map(|d| d.to_julian_day()).unwrap_or_default();
        u32::try_from(first - OffsetDateTime::UNIX_EPOCH.date().to_julian_day()).unwrap_or(0)
    }
}

impl std::fmt::Display for Month {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04}-{:02}", self.year, u8::from(self.month))
    }
}

fn two_digits(text: &str) -> Option<u8> {
    Some(text).filter(|t| t.len() == 2 && t.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()
}

fn date(day: u32) -> Date {
    let epoch = OffsetDateTime::UNIX_EPOCH.date();
    let julian = i32::try_from(day).ok().and_then(|day| epoch.to_julian_day().checked_add(day));
    // Past the year 9999 no clock that is right shows.
    julian.and_then(|day| Date::from_julian_day(day).ok()).unwrap_or(Date::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_months_as_people_write_them() {
        let at = Timestamp::parse_iso8601("2028-02-29T23:59:59Z").unwrap();
        assert_eq!((show_day(day(at)), show_hour(hour(at))), ("2028-02-29".to_owned(), "2028-02-29T23".to_owned()));
        assert_eq!(parse_day("2028-02-29"), Some(day(at)));
        let month = Month::of_day(day(at));
        assert_eq!((month.to_string(), month.days(), month.first_day() + 28), ("2028-02".to_owned(), 29, day(at)));
        assert_eq!(Month::parse("2028-02"), Some(month));
        assert_eq!(Month::parse("1970-01").unwrap().first_day(), 0);
        for bad in ["", "2028", "2028-13", "2028-2", "28-02", "2028-02-30", "2028-02-00", "2027-02-29", "+028-02", "2028-02-1"] {
            assert!(parse_day(bad).is_none() && Month::parse(bad).is_none(), "{bad}");
        }
        show_day(u32::MAX);
    }
}
