//! Object lock as a bucket has it: that it is on, and how long a new version is kept where its writer does not say.
//!
//! Not here: the lock of one version (`lock`), how clients write a configuration (`http::s3::lock`).
//! Invariant: what is stored is what `document` writes, and nothing else is read.

use std::time::Duration;

use super::error::Result;
use super::fields::newer;
use super::lock::{Retention, RetentionMode};
use super::object::{Bucket, BucketDocument};
use super::timestamp::Timestamp;

/// Once it is on it stays on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BucketLock {
    /// None: what its writer does not lock is not locked.
    pub default: Option<DefaultRetention>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefaultRetention {
    pub mode: RetentionMode,
    pub period: Period,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    Days(u32),
    /// Of the calendar.
    Years(u32),
}

impl Period {
    /// S3's: a hundred years.
    pub const MAX_DAYS: u32 = 36_500;
    pub const MAX_YEARS: u32 = 100;

    /// None: longer than a version can be kept, or no time at all.
    pub fn days(days: u32) -> Option<Self> {
        (1..=Self::MAX_DAYS).contains(&days).then_some(Period::Days(days))
    }

    pub fn years(years: u32) -> Option<Self> {
        (1..=Self::MAX_YEARS).contains(&years).then_some(Period::Years(years))
    }

    fn from(self, start: Timestamp) -> Timestamp {
        match self {
            Period::Days(days) => start.plus(Duration::from_secs(u64::from(days) * 24 * 3600)),
            Period::Years(years) => start.plus_years(years),
        }
    }
}

impl DefaultRetention {
    /// Of a version that is made at that time.
    pub fn from(self, start: Timestamp) -> Retention {
        Retention { mode: self.mode, until: self.period.from(start) }
    }
}

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ObjectLockConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><ObjectLockEnabled>Enabled</ObjectLockEnabled>";
const END: &str = "</ObjectLockConfiguration>";

impl BucketLock {
    /// As it is stored, and shown.
    pub fn document(&self) -> String {
        let rule = self.default.map_or_else(String::new, |DefaultRetention { mode, period }| {
            let period = match period {
                Period::Days(days) => format!("<Days>{days}</Days>"),
                Period::Years(years) => format!("<Years>{years}</Years>"),
            };
            format!("<Rule><DefaultRetention><Mode>{}</Mode>{period}</DefaultRetention></Rule>", mode.name())
        });
        format!("{HEAD}{rule}{END}")
    }

    /// None: `document` writes no such thing.
    pub fn read(document: &[u8]) -> Option<Self> {
        let rule = std::str::from_utf8(document).ok()?.strip_prefix(HEAD)?.strip_suffix(END)?;
        let between = |start: &str, end: &str| Some(rule.split_once(start)?.1.split_once(end)?.0);
        let number = |start: &str, end: &str| between(start, end)?.parse().ok();
        let period = || number("<Days>", "</Days>").and_then(Period::days).or_else(|| Period::years(number("<Years>", "</Years>")?));
        let default = match rule {
            "" => None,
            _ => Some(DefaultRetention { mode: RetentionMode::parse(between("<Mode>", "</Mode>")?)?, period: period()? }),
        };
        Some(BucketLock { default }).filter(|read| read.document().as_bytes() == document)
    }
}

impl Bucket {
    /// None: it has none. Err: it has one that a newer program wrote, so that nobody here knows what it asks for.
    pub fn object_lock(&self) -> Result<Option<BucketLock>> {
        let Some(document) = self.documents.get(&BucketDocument::ObjectLock) else { return Ok(None) };
        BucketLock::read(document).map(Some).ok_or_else(|| newer("the bucket's object lock configuration"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_else_is_read() {
        let none = BucketLock::default();
        assert_eq!(BucketLock::read(none.document().as_bytes()), Some(none));
        let default = Some(DefaultRetention { mode: RetentionMode::Governance, period: Period::Days(3) });
        let document = BucketLock { default }.document();
        for (from, to) in
            [("<Days>3", "<Days>03"), ("<Days>3", "<Days>0"), ("GOVERNANCE", "governance"), ("<Rule>", "<Rule><More/>"), (END, "")]
        {
            assert_eq!(BucketLock::read(document.replace(from, to).as_bytes()), None, "{to}");
        }
    }

    #[test]
    fn a_year_is_one_of_the_calendar() {
        let of = |period: Period, start: &str| period.from(Timestamp::parse_iso8601(start).unwrap()).iso8601();
        assert_eq!(of(Period::Days(1), "2028-02-28T10:00:00.500Z"), "2028-02-29T10:00:00.500Z");
        assert_eq!(of(Period::Years(1), "2027-03-01T10:00:00.500Z"), "2028-03-01T10:00:00.500Z");
        assert_eq!(of(Period::Years(1), "2028-02-29T10:00:00Z"), "2029-03-01T10:00:00.000Z");
        assert_eq!(of(Period::Years(100), "2026-11-29T00:00:00Z"), "2126-11-29T00:00:00.000Z");
        assert_eq!((Period::days(0), Period::days(36_501), Period::years(101)), (None, None, None));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(compliance: bool, days in 1..=Period::MAX_DAYS, years in prop::option::of(1..=Period::MAX_YEARS)) {
            let mode = if compliance { RetentionMode::Compliance } else { RetentionMode::Governance };
            let lock = BucketLock { default: Some(DefaultRetention { mode, period: years.map_or(Period::Days(days), Period::Years) }) };
            prop_assert_eq!(BucketLock::read(lock.document().as_bytes()), Some(lock));
        }
    }
}
