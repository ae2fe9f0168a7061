//! How much of each run was stored on which day, for how long: a list behind the run's meter, written with it in the batch of each write.
//!
//! An entry is of a day on which something changed: what the day came to, and what there was at its end. On the days between two entries
//! what there was stayed as it was. So a run that nobody writes costs nothing, and its days are exact all the same.
//! Called by `usage`. Limits: so many entries of a run; what was before them is known of no run.

use serde::{Deserialize, Serialize};

use crate::base::error::{Error, Result};
use crate::base::fields::{Fields, Tag};
use crate::base::timestamp::Timestamp;
use crate::base::usage::{DAY, RunDaysQuery, day};
use crate::local::rows::MeterRow;
use crate::local::stored::{self, Row};

/// Days with changes. A bill is of a month.
const ENTRIES: usize = 35;

/// The meter of a run, with its days.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunMeterRow {
    pub meter: MeterRow,
    /// Those on which something changed, the latest at the end.
    pub days: Vec<DayRow>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayRow {
    pub day: u32,
    /// On that day: to its end, or, of the last one, up to the meter's time.
    pub byte_millis: u128,
    /// From then on.
    pub bytes: u64,
}

/// Without days it is as it was before there were any.
impl Row for RunMeterRow {
    fn encode(&self) -> Result<Vec<u8>> {
        let RunMeterRow { meter, days } = self;
        if days.is_empty() {
            return stored::write(meter);
        }
        Fields::default().with(Tag::METER_DAYS, postcard::to_stdvec(days).map_err(Error::internal)?).append(stored::write(meter)?)
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let (meter, rest) = stored::read(bytes)?;
        let mut found = stored::behind(rest)?;
        let days = found.take(Tag::METER_DAYS).map(|bytes| postcard::from_bytes(&bytes).map_err(Error::internal)).transpose()?;
        found.require_known()?;
        Ok(RunMeterRow { meter, days: days.unwrap_or_default() })
    }
}

impl RunMeterRow {
    /// An older program kept the meter alone: what there was before on its last day is not known.
    fn entries(&self) -> Vec<DayRow> {
        match self.days.is_empty() {
            true => vec![DayRow { day: day(Timestamp::from_millis(self.meter.at)), byte_millis: 0, bytes: self.meter.bytes }],
            false => self.days.clone(),
        }
    }

    /// Up to `now`; what there is from then on is `bytes`.
    pub fn turned(&self, now: Timestamp, bytes: u64) -> Self {
        let (before, after, mut days) = (self.meter, self.meter.turned(now, bytes), self.entries());
        let today = day(Timestamp::from_millis(after.at));
        if let Some(last) = days.last_mut() {
            last.byte_millis = last.byte_millis.saturating_add(lasted(before.bytes, before.at, after.at.min(end(last.day))));
            if last.day < today {
                days.push(DayRow { day: today, byte_millis: lasted(before.bytes, start(today), after.at), bytes });
            } else {
                last.bytes = bytes;
            }
        }
        days.drain(..days.len().saturating_sub(ENTRIES));
        RunMeterRow { meter: after, days }
    }

    /// What days came to, up to the moment that is asked for and as far as it is known: each, or their sum. What is nothing is left out.
    pub fn asked(&self, query: &RunDaysQuery, each: &mut dyn FnMut(Option<u32>, u128)) {
        let at = query.at.millis().max(self.meter.at);
        let (mut entries, mut sum) = (self.entries().into_iter().peekable(), 0_u128);
        while let Some(entry) = entries.next() {
            let next = entries.peek().map(|next| next.day);
            let until = next.unwrap_or(day(Timestamp::from_millis(at)).saturating_add(1));
            for on in entry.day.max(query.days.start)..until.min(query.days.end) {
                let byte_millis = match (on == entry.day, next) {
                    (true, Some(_)) => entry.byte_millis,
                    (true, None) => entry.byte_millis.saturating_add(lasted(entry.bytes, self.meter.at, at.min(end(on)))),
                    (false, _) => lasted(entry.bytes, start(on), at.min(end(on))),
                };
                sum = sum.saturating_add(byte_millis);
                if query.by_day && byte_millis > 0 {
                    each(Some(on), byte_millis);
                }
            }
        }
        if !query.by_day && sum > 0 {
            each(None, sum);
        }
    }
}

fn lasted(bytes: u64, since: u64, until: u64) -> u128 {
    u128::from(bytes) * u128::from(until.saturating_sub(since))
}

fn start(day: u32) -> u64 {
    u64::from(day) * DAY
}

fn end(day: u32) -> u64 {
    start(day) + DAY
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(row: &RunMeterRow, at: u64) -> Vec<(u32, u128)> {
        let query = |by_day| RunDaysQuery { tenant: None, days: 0..1000, by_day, at: Timestamp::from_millis(at), max: 0 };
        let (mut days, mut sum) = (Vec::new(), 0);
        row.asked(&query(true), &mut |day, byte_millis| days.push((day.unwrap(), byte_millis)));
        row.asked(&query(false), &mut |_, byte_millis| sum = byte_millis);
        assert_eq!(days.iter().map(|(_, byte_millis)| byte_millis).sum::<u128>(), sum);
        days
    }

    #[test]
    fn each_day_is_what_there_was_on_it() {
        let turned = |row: &RunMeterRow, at: u64, bytes| row.turned(Timestamp::from_millis(at), bytes);
        let begun = RunMeterRow { meter: MeterRow { at: 10 * DAY + 5, ..MeterRow::default() }, days: Vec::new() };
        let row = turned(&begun, 10 * DAY + 5, 7);
        assert_eq!(asked(&row, 10 * DAY + 8), [(10, 21)]);
        let day = u128::from(DAY);
        let row = turned(&row, 12 * DAY + 100, 3);
        let before = [(10, 7 * (day - 5)), (11, 7 * day)];
        assert_eq!(asked(&row, 12 * DAY + 100), [&before[..], &[(12, 700)]].concat());
        let row = turned(&turned(&row, 12 * DAY + 200, 0), 12 * DAY + 150, 0);
        assert_eq!(asked(&row, 20 * DAY), [&before[..], &[(12, 1000)]].concat(), "nothing is there any more, and time does not go back");
        let row = turned(&row, 14 * DAY, 1);
        assert_eq!(asked(&row, 15 * DAY + 1), [&before[..], &[(12, 1000), (14, day), (15, 1)]].concat());
        assert_eq!(row.meter.total(Timestamp::from_millis(15 * DAY + 1)), asked(&row, 15 * DAY + 1).iter().map(|(_, b)| b).sum::<u128>());
        // Of a program that knew of no days.
        let old = RunMeterRow { days: Vec::new(), ..row };
        assert_eq!(asked(&turned(&old, 15 * DAY + 1, 5), 15 * DAY + 2), [(14, day), (15, 6)]);
        let many = (0..100).fold(RunMeterRow::default(), |row, n| turned(&row, n * DAY, n));
        assert_eq!(RunMeterRow::decode(&many.encode().unwrap()).unwrap(), many);
        assert_eq!((many.days.len(), asked(&many, 100 * DAY).first().map(|(day, _)| *day)), (ENTRIES, Some(65)));
    }
}
