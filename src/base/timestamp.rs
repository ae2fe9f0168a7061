//! Points in time as milliseconds since the epoch, and the three ways S3 writes them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

const ISO8601_MILLIS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
const AMZ_DATE: &[BorrowedFormatItem<'_>] = format_description!("[year][month][day]T[hour][minute][second]Z");

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(u64);

impl Timestamp {
    pub fn now() -> Self {
        Self::from_system(SystemTime::now())
    }

    pub fn from_system(t: SystemTime) -> Self {
        Timestamp(t.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_millis() as u64)
    }

    pub const fn from_millis(ms: u64) -> Self {
        Timestamp(ms)
    }

    pub const fn from_secs(s: u64) -> Self {
        Timestamp(s.saturating_mul(1000))
    }

    pub const fn millis(self) -> u64 {
        self.0
    }

    pub const fn secs(self) -> u64 {
        self.0 / 1000
    }

    pub fn plus(self, d: Duration) -> Self {
        Timestamp(self.0.saturating_add(d.as_millis() as u64))
    }

    /// The same day of a later year. The day after February where that has no such day.
    pub fn plus_years(self, years: u32) -> Self {
        let at = self.offset();
        let year = at.year().saturating_add_unsigned(years);
        let moved = at.replace_year(year).or_else(|_| (at + Duration::from_secs(24 * 3600)).replace_year(year));
        moved.ok().and_then(|t| u64::try_from(t.unix_timestamp_nanos() / 1_000_000).ok()).map_or(Timestamp(u64::MAX), Timestamp)
    }

    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    pub fn to_system(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.0)
    }

    /// `Sun, 06 Nov 1994 08:49:37 GMT`: headers.
    pub fn http_date(self) -> String {
        // Years past 9999 can't be written; such a time can only come from a broken clock.
        httpdate::fmt_http_date(self.to_system().min(UNIX_EPOCH + Duration::from_secs(253_402_300_799)))
    }

    /// `1994-11-06T08:49:37.000Z`: XML documents.
    pub fn iso8601(self) -> String {
        self.offset().format(ISO8601_MILLIS).unwrap_or_else(|_| "1970-01-01T00:00:00.000Z".into())
    }

    /// `19941106T084937Z`: `X-Amz-Date`.
    pub fn amz_date(self) -> String {
        self.offset().format(AMZ_DATE).unwrap_or_else(|_| "19700101T000000Z".into())
    }

    pub fn parse_amz_date(s: &str) -> Option<Self> {
        let t = time::PrimitiveDateTime::parse(s, AMZ_DATE).ok()?.assume_utc();
        u64::try_from(t.unix_timestamp()).ok().map(Self::from_secs)
    }

    pub fn parse_http_date(s: &str) -> Option<Self> {
        // Mail libraries write the zone as a number, and some SDKs sign a Date that one of them made.
        let written = s.strip_suffix(" -0000").or_else(|| s.strip_suffix(" +0000"));
        match written {
            Some(rest) => httpdate::parse_http_date(&format!("{rest} GMT")).ok().map(Self::from_system),
            None => httpdate::parse_http_date(s).ok().map(Self::from_system),
        }
    }

    /// RFC 3339, as in policies (`DateLessThan`) and copy conditions.
    pub fn parse_iso8601(s: &str) -> Option<Self> {
        let t = OffsetDateTime::parse(s, &time::format_description::well_known::Rfc3339).ok()?;
        u64::try_from(t.unix_timestamp_nanos() / 1_000_000).ok().map(Timestamp)
    }

    fn offset(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_and_reads_the_three_forms() {
        let t = Timestamp::from_secs(784_111_777);
        assert_eq!(t.http_date(), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(t.iso8601(), "1994-11-06T08:49:37.000Z");
        assert_eq!(t.amz_date(), "19941106T084937Z");
        assert_eq!(Timestamp::parse_http_date(&t.http_date()), Some(t));
        assert_eq!(Timestamp::parse_http_date("Sun, 06 Nov 1994 08:49:37 -0000"), Some(t));
        assert_eq!(Timestamp::parse_iso8601(&t.iso8601()), Some(t));
        assert_eq!(Timestamp::parse_amz_date(&t.amz_date()), Some(t));
        assert_eq!(Timestamp::parse_amz_date("19941306T084937Z"), None);
    }
}
