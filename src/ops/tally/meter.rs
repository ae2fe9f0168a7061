//! For how long how much is stored over an S3, which is what a bill is made of: one record in the bucket has the levels as they were at its
//! time, and what the day came to by then. Whichever node reads it late enough goes on from there, for all of them.
//!
//! Days that are over are told to reports as records of usage, with whole totals, so they may be written again; reports read the current one
//! from the record itself. A level counts for the time after it was seen: what changed between two readings counts from the second on.
//! Limits: as many runs of a day as `spots` has names for; others count as one of their type.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Tally;
use crate::base::error::Result;
use crate::base::timestamp::Timestamp;
use crate::ops::tally::flows::Net;
use crate::ops::tally::shelf::Over;
use crate::ops::tally::spots::{Names, Spot};
use crate::ops::tally::stored::{Metered, decode, encode};
use crate::usage::count::{Counts, OTHER, Place};
use crate::usage::period::{self, DAY, Month};
use crate::usage::rows::Row;

const METERED: &str = "metered";
/// In the names of its records of usage, in the place of a node's.
const STORED: &str = "stored";

type Totals = BTreeMap<Spot, u128>;

impl Tally {
    pub async fn meter(&self, now: Timestamp, every: Duration) -> Result<()> {
        let posted = self.0.shelf.read(METERED).await?;
        let before = posted.as_ref().map(|posted| decode::<Metered>(&posted.text)).transpose()?;
        if before.as_ref().is_some_and(|before| now.millis() < before.at.saturating_add(every.as_millis() as u64)) {
            return Ok(());
        }
        self.look().await?;
        let (days, today) = before.map(|before| turned(&before, now.millis())).unwrap_or_default();
        // They are over, and whoever tells them tells the same.
        for (day, totals) in days.iter().filter(|(_, totals)| !totals.is_empty()) {
            self.0.shelf.put_usage(&Month::of_day(*day).to_string(), &record_name(*day), &record(*day, totals)?).await?;
        }
        let levels = named(self.levels(), &today).into_iter().collect();
        let next = Metered { at: now.millis(), levels, today: today.into_iter().collect() };
        self.0.shelf.write(METERED, encode(&next)?, Over::the(posted.as_ref())).await.map(drop)
    }

    /// What the day came to up to the last reading, as a record of usage; and the name that it gets when the day is over.
    pub async fn today(&self) -> Result<Option<(String, Vec<u8>)>> {
        let Some(posted) = self.0.shelf.read(METERED).await? else { return Ok(None) };
        let Metered { at, today, .. } = decode(&posted.text)?;
        let day = period::day(Timestamp::from_millis(at));
        Ok(Some((record_name(day), record(day, &today.into_iter().collect())?)))
    }
}

fn record_name(day: u32) -> String {
    format!("{day:05}-{STORED}-000")
}

fn record(day: u32, totals: &Totals) -> Result<Vec<u8>> {
    let mut record = Vec::new();
    for (Spot { tenant, bucket, artifact, run }, byte_millis) in totals {
        // Keys that say a type say a run.
        let run = if run.is_empty() && !artifact.is_empty() { OTHER.to_owned() } else { run.clone() };
        let place = Place { tenant: tenant.clone(), bucket: bucket.clone(), artifact: artifact.clone(), run };
        Row::Day(day, place, Counts { byte_millis: *byte_millis, ..Counts::default() }).encode(&mut record)?;
    }
    Ok(record)
}

/// The bytes of each, with names for no more runs than fit together with those of the day.
fn named(levels: BTreeMap<Spot, Net>, today: &Totals) -> BTreeMap<Spot, u64> {
    let mut names = Names::default();
    today.keys().for_each(|spot| names.add(spot));
    let mut named: BTreeMap<Spot, i64> = BTreeMap::new();
    for (spot, net) in levels {
        // Less than nothing: nodes don't name the same runs at the moment.
        let is_told = net.or_nothing() == net && (net.bytes == 0 || names.takes(&spot));
        let sum = named.entry(if is_told { spot } else { spot.of_type() }).or_default();
        *sum = sum.saturating_add(net.bytes);
    }
    named.into_iter().filter_map(|(spot, bytes)| Some((spot, u64::try_from(bytes).ok().filter(|bytes| *bytes > 0)?))).collect()
}

/// What the days came to that are over by `now`, and what this one came to up to now.
fn turned(before: &Metered, now: u64) -> (Vec<(u32, Totals)>, Totals) {
    let (mut at, mut totals): (u64, Totals) = (before.at, before.today.iter().cloned().collect());
    let mut days = Vec::new();
    while at < now {
        let end = ((at / DAY + 1) * DAY).min(now);
        for (spot, bytes) in &before.levels {
            *totals.entry(spot.clone()).or_default() += u128::from(*bytes) * u128::from(end - at);
        }
        if end.is_multiple_of(DAY) {
            days.push((period::day(Timestamp::from_millis(at)), std::mem::take(&mut totals)));
        }
        at = end;
    }
    (days, totals)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_day_gets_its_part_of_the_time() {
        let spot = Spot { tenant: "acme".into(), bucket: "media".into(), artifact: String::new(), run: String::new() };
        let before = Metered { at: 10 * DAY - 1000, levels: vec![(spot.clone(), 5)], today: vec![(spot.clone(), 7)] };
        let (days, today) = turned(&before, 11 * DAY + 3);
        let day = |total| Totals::from([(spot.clone(), total)]);
        assert_eq!(days, [(9, day(7 + 5000)), (10, day(u128::from(5 * DAY)))]);
        assert_eq!(today, day(15));
        assert_eq!(turned(&before, before.at), (Vec::new(), day(7)));
    }

    #[test]
    fn runs_without_a_name_count_for_their_type_and_the_sum_stays() {
        let spot = |run: String| Spot { tenant: "acme".into(), bucket: "media".into(), artifact: "image".into(), run };
        let net = |bytes| Net { bytes, ..Net::default() };
        let mut levels: BTreeMap<Spot, Net> = (0..9).map(|n| (spot(format!("r{n}")), net(10 + n))).collect();
        levels.insert(spot("r0".into()), net(-10));
        levels.insert(spot(String::new()), net(50));
        let sum: i64 = levels.values().map(|net| net.bytes).sum();
        // It was stored on that day.
        let today = Totals::from([(spot("r8".into()), 1)]);
        let named = named(levels, &today);
        assert_eq!(named.values().sum::<u64>(), sum as u64);
        let runs: Vec<&str> = named.keys().map(|spot| spot.run.as_str()).collect();
        assert_eq!(runs, ["", "r1", "r2", "r3", "r4", "r8"]);
    }
}
