//! Prices and amounts of money, in billionths of the currency: whole numbers, so that nothing is lost or made by rounding in between.
//!
//! An amount is rounded once, to the nearest billionth, where a quantity meets its price. What is added up afterwards is exact.

use std::fmt;
use std::str::FromStr;

use crate::base::usage::Amount;
use crate::usage::count::{Class, Counts, Way};
use crate::usage::period::{DAY, Month};

const DIGITS: usize = 9;
const ONE: u64 = 1_000_000_000;
/// As prices of storage and traffic have it.
const GB: u128 = 1_000_000_000;

/// What one unit costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Price(u64);

/// What is to be paid.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Money(u128);

impl Price {
    /// `quantity` of which `unit` make one. None: more than there is money.
    fn of(self, quantity: u128, unit: u128) -> Option<Money> {
        let exact = quantity.checked_mul(u128::from(self.0))?;
        exact.checked_add(unit / 2).and_then(|rounded| rounded.checked_div(unit)).map(Money)
    }
}

impl Money {
    pub fn plus(self, other: Money) -> Money {
        Money(self.0.saturating_add(other.0))
    }
}

impl FromStr for Price {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !is_number(whole) || !is_number(part) || part.len() > DIGITS {
            return Err(());
        }
        let whole: u64 = whole.parse().map_err(drop)?;
        let part: u64 = format!("{part:0<DIGITS$}").parse().map_err(drop)?;
        whole.checked_mul(ONE).and_then(|n| n.checked_add(part)).map(Price).ok_or(())
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Money(u128::from(self.0)).fmt(f)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / u128::from(ONE), self.0 % u128::from(ONE));
        let part = format!("{part:0DIGITS$}");
        match part.trim_end_matches('0') {
            "" => write!(f, "{whole}"),
            part => write!(f, "{whole}.{part}"),
        }
    }
}

/// `[prices]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prices {
    /// Empty: reports say no money.
    pub currency: String,
    /// Of a billion bytes that are stored for a month.
    pub stored: Price,
    /// Of a thousand requests, by `Class`.
    pub requests: [Price; 5],
    /// Of a billion bytes.
    pub bytes_in: Price,
    /// The same, by `Way`.
    pub bytes_out: [Price; 3],
    pub job_hour: Price,
}

impl Prices {
    /// What the counts of days of one month cost. None: no prices are set, or it is more than can be written.
    pub fn of(&self, counts: &Counts, month: Month) -> Option<Money> {
        if self.currency.is_empty() {
            return None;
        }
        let month = u128::from(month.days()) * u128::from(DAY);
        let mut parts = vec![
            self.stored.of(counts.byte_millis, GB * month)?,
            self.bytes_in.of(counts.bytes_in.into(), GB)?,
            self.job_hour.of(counts.job_millis.into(), 3_600_000)?,
        ];
        for class in Class::ALL {
            parts.push(self.requests.get(class as usize)?.of(u128::from(*counts.requests.get(class as usize)?), 1000)?);
        }
        for way in Way::ALL {
            parts.push(self.bytes_out.get(way as usize)?.of(u128::from(*counts.bytes_out.get(way as usize)?), GB)?);
        }
        Some(parts.into_iter().fold(Money::default(), Money::plus))
    }
}

/// The average over a stretch of time, rounded down.
pub fn average(byte_millis: u128, millis: u64) -> u64 {
    byte_millis.checked_div(u128::from(millis)).map_or(0, |bytes| u64::try_from(bytes).unwrap_or(u64::MAX))
}

/// For whoever shows what is stored now.
pub fn stored_now(amount: &Amount) -> [(&'static str, u64); 7] {
    [
        ("bytes", amount.bytes),
        ("physical_bytes", amount.physical()),
        ("shared_bytes", amount.shared),
        ("uploading_bytes", amount.uploading),
        ("objects", amount.objects),
        ("versions", amount.versions),
        ("delete_markers", amount.markers),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_decimal_and_come_back_as_they_were() {
        for (text, shown) in [("0", "0"), ("0.023", "0.023"), ("12", "12"), ("0.000000001", "0.000000001"), ("1.50", "1.5"), ("007", "7")] {
            assert_eq!(text.parse::<Price>().unwrap().to_string(), shown);
        }
        for bad in ["", ".", "1.", ".5", "-1", "+1", "1e3", "0.0000000001", "1,5", "99999999999999999999", " 1"] {
            assert!(bad.parse::<Price>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_bill_by_hand() {
        let price = |text: &str| text.parse::<Price>().unwrap();
        let mut prices = Prices { currency: "USD".into(), stored: price("0.023"), ..Prices::default() };
        prices.requests[Class::Put as usize] = price("0.005");
        prices.requests[Class::Get as usize] = price("0.0004");
        prices.bytes_out[Way::S3 as usize] = price("0.09");
        let november = Month::parse("2026-11").unwrap();
        let month = u128::from(november.days()) * u128::from(DAY);
        // 500 GB for all of it; 20,000 PUTs; 1,000,001 GETs; 100 GB out.
        let mut counts = Counts { byte_millis: 500_000_000_000 * month, ..Counts::default() };
        counts.requests[Class::Put as usize] = 20_000;
        counts.requests[Class::Get as usize] = 1_000_001;
        counts.bytes_out[Way::S3 as usize] = 100_000_000_000;
        assert_eq!(prices.of(&counts, november).unwrap().to_string(), "21.0000004");
        assert_eq!(Prices::default().of(&counts, november), None);
        counts.byte_millis = u128::MAX;
        assert_eq!(prices.of(&counts, november), None, "told as unknown, never as little");
    }
}
