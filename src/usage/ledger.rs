//! The rows that can still change, in memory: of this hour and this day, and back to where the meters of the store were read last.
//!
//! Pure: time comes with each call, and what is to be written goes out as rows with their whole totals. Called by `writer`, and by tests.
//! Invariants: a row in memory is no less than the same row on the disk; what is dropped is on the disk. Time that goes back does not
//! take the ledger back: what comes then counts for the earliest period that is still here.

use std::collections::{BTreeSet, HashMap};

use crate::base::timestamp::Timestamp;
use crate::usage::count::{Counts, Place};
use crate::usage::period::{self, DAY, HOUR};
use crate::usage::rows::Row;

/// A stretch between two readings of the meters is spread over no more hours: what is older is forgotten soon.
const MAX_HOURS: u64 = 8 * 24;
const MAX_DAYS: u64 = 400;

/// Rows of their own that one hour, and one day, has. Beyond them a tenant's requests share one.
#[derive(Debug, Clone, Copy)]
pub struct Caps {
    pub hour: usize,
    pub day: usize,
}

impl Default for Caps {
    fn default() -> Self {
        // Some megabytes in memory, and as much in the journal for each busy hour.
        Caps { hour: 10_000, day: 20_000 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Period {
    Hour(u32),
    Day(u32),
}

#[derive(Debug, Clone, Copy, Default)]
struct Kept {
    counts: Counts,
    changed: bool,
}

#[derive(Debug, Default)]
pub struct Ledger {
    caps: Caps,
    rows: HashMap<(Period, Place), Kept>,
    used: HashMap<Period, usize>,
    /// The first hour and day that are here as a whole.
    from: (u32, u32),
    meters: HashMap<Place, u128>,
    measured: Option<Timestamp>,
    /// Meters to be written, and to be forgotten.
    turned: BTreeSet<Place>,
    gone: BTreeSet<Place>,
    measured_changed: bool,
    /// Requests that went to a row that many share.
    pub shared: u64,
}

impl Ledger {
    /// `measured`: of the journal; then come its rows (`load`).
    pub fn new(caps: Caps, now: Timestamp, measured: Option<Timestamp>) -> Self {
        let from = measured.map_or(now, |at| at.min(now));
        Ledger { caps, from: (period::hour(from), period::day(from)), measured, ..Ledger::default() }
    }

    /// A row of the journal, at the start.
    pub fn load(&mut self, row: Row) {
        let (period, place, counts) = match row {
            Row::Hour(hour, place, counts) if hour >= self.from.0 => (Period::Hour(hour), place, counts),
            Row::Day(day, place, counts) if day >= self.from.1 => (Period::Day(day), place, counts),
            Row::Meter(place, total) => {
                self.meters.insert(place, total);
                return;
            }
            Row::Hour(..) | Row::Day(..) | Row::Measured(_) | Row::Tally(..) | Row::Spent(..) => return,
        };
        *self.used.entry(period).or_default() += 1;
        self.rows.insert((period, place), Kept { counts, changed: false });
    }

    /// Requests, and work of jobs.
    pub fn count(&mut self, now: Timestamp, place: &Place, counts: &Counts) {
        let hour = Period::Hour(period::hour(now).max(self.from.0));
        let day = Period::Day(period::day(now).max(self.from.1));
        for (period, cap) in [(hour, self.caps.hour), (day, self.caps.day)] {
            let is_full = self.used.get(&period).is_some_and(|used| *used >= cap);
            if is_full && !self.rows.contains_key(&(period, place.clone())) {
                self.shared += if matches!(period, Period::Hour(_)) { counts.all_requests() } else { 0 };
                self.add(period, place.other(), counts);
            } else {
                self.add(period, place.clone(), counts);
            }
        }
    }

    fn add(&mut self, period: Period, place: Place, counts: &Counts) {
        let used = &mut self.used;
        let kept = self.rows.entry((period, place)).or_insert_with(|| {
            *used.entry(period).or_default() += 1;
            Kept::default()
        });
        kept.counts.add(counts);
        kept.changed = true;
    }

    /// What the meters of the store show at `at`: all there are. What came to each since they were read last is spread evenly over that
    /// time: their sum is exact, and what changed within that time may count for the hour beside its own.
    pub fn measure(&mut self, at: Timestamp, meters: Vec<(Place, u128)>) {
        let since = self.measured.unwrap_or(at).min(at);
        let mut left: BTreeSet<Place> = self.meters.keys().cloned().collect();
        for (place, total) in meters {
            left.remove(&place);
            let before = self.meters.get(&place).copied();
            if before == Some(total) {
                continue;
            }
            // One that shows less was begun anew.
            let more = total.checked_sub(before.unwrap_or(0)).unwrap_or(total);
            self.spread(since, at, &place, more);
            self.gone.remove(&place);
            self.turned.insert(place.clone());
            self.meters.insert(place, total);
        }
        for place in left {
            self.meters.remove(&place);
            self.turned.remove(&place);
            self.gone.insert(place);
        }
        if self.measured.is_none_or(|before| before < at) {
            self.measured = Some(at);
            self.measured_changed = true;
        }
    }

    fn spread(&mut self, since: Timestamp, at: Timestamp, place: &Place, more: u128) {
        for (unit, most) in [(HOUR, MAX_HOURS), (DAY, MAX_DAYS)] {
            for (period, part) in parts(since.millis(), at.millis(), unit, most, more) {
                let period = u32::try_from(period).unwrap_or(u32::MAX);
                let period = if unit == HOUR { Period::Hour(period.max(self.from.0)) } else { Period::Day(period.max(self.from.1)) };
                self.add(period, place.clone(), &Counts { byte_millis: part, ..Counts::default() });
            }
        }
    }

    /// All rows that changed since they were written, as a batch of the journal. Empty: nothing changed.
    pub fn changes(&self) -> crate::base::error::Result<Vec<u8>> {
        let mut out = Vec::new();
        for ((period, place), kept) in self.rows.iter().filter(|(_, kept)| kept.changed) {
            let (place, counts) = (place.clone(), kept.counts);
            let row = match period {
                Period::Hour(hour) => Row::Hour(*hour, place, counts),
                Period::Day(day) => Row::Day(*day, place, counts),
            };
            row.encode(&mut out)?;
        }
        for place in &self.turned {
            Row::Meter(place.clone(), self.meters.get(place).copied().unwrap_or_default()).encode(&mut out)?;
        }
        self.gone.iter().try_for_each(|place| crate::usage::rows::forget_meter(&mut out, place))?;
        if let Some(at) = self.measured.filter(|_| self.measured_changed) {
            Row::Measured(at).encode(&mut out)?;
        }
        Ok(out)
    }

    /// They are durable: what can't change any more is let go.
    pub fn written(&mut self, now: Timestamp) {
        let from = self.measured.map_or(now, |at| at.min(now));
        self.from = (period::hour(from).max(self.from.0), period::day(from).max(self.from.1));
        let (hour, day) = self.from;
        let stays = |period: &Period| match period {
            Period::Hour(h) => *h >= hour,
            Period::Day(d) => *d >= day,
        };
        self.rows.retain(|(period, _), kept| {
            kept.changed = false;
            stays(period)
        });
        self.used.retain(|period, _| stays(period));
        self.turned.clear();
        self.gone.clear();
        self.measured_changed = false;
    }

    pub fn rows(&self) -> usize {
        self.rows.len()
    }
}

/// `more` divided over the periods that lie between two times, the last taking what division leaves.
fn parts(since: u64, at: u64, unit: u64, most: u64, more: u128) -> Vec<(u64, u128)> {
    let (last, all) = (at / unit, u128::from(at.saturating_sub(since)));
    let first = (since / unit).max(last.saturating_sub(most));
    let mut left = more;
    let mut parts = Vec::new();
    for period in first..last {
        let (begin, end) = ((period * unit).max(since), (period + 1) * unit);
        // By quotient and remainder: the product of both could be too large.
        let length = u128::from(end - begin);
        let part = (more / all) * length + (more % all) * length / all;
        left = left.saturating_sub(part);
        parts.push((period, part));
    }
    parts.push((last, left));
    parts.retain(|(_, part)| *part > 0);
    parts
}
