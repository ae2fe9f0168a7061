//! What was used: the rows of a month or a day, added up by what is asked for, with what they cost.
//!
//! The journal is read through once, in bounded memory but for the lines of the answer. Called by `Usage::report`.
//! What was stored of each run an embedded store tells itself (`RunDays`): lines of runs take it from the line that has what is told of no run,
//! and never more than that has. So lines add up to the same, however finely they are told apart.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::listed::listed;
use crate::base::names::TenantId;
use crate::base::timestamp::Timestamp;
use crate::base::usage::RunDays;
use crate::journal::OpRef;
use crate::journal::compact::{self, Input};
use crate::journal::op::parse_ops;
use crate::usage::count::{Counts, OTHER, Place};
use crate::usage::period::{self, Month};
use crate::usage::prices::Money;
use crate::usage::rows::{self, Row, Table};
use crate::usage::settings::Settings;
use crate::usage::writer::Kept;

/// Of one answer.
const MAX_LINES: usize = 100_000;

listed! {
    /// What lines are told apart by.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub enum By { Tenant, Day, Hour, Bucket, Type, Run }
}

impl By {
    pub const fn name(self) -> &'static str {
        match self {
            By::Tenant => "tenant",
            By::Day => "day",
            By::Hour => "hour",
            By::Bucket => "bucket",
            By::Type => "type",
            By::Run => "run",
        }
    }
}

/// One month, or one day in it: a bill is of one month, and what is stored costs by how long that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    pub tenant: Option<TenantId>,
    pub month: Month,
    /// None: all of the month.
    pub day: Option<u32>,
    pub by: Vec<By>,
}

impl Query {
    pub fn days(&self) -> Range<u32> {
        let first = self.day.unwrap_or(self.month.first_day());
        first..first.saturating_add(self.day.map_or(self.month.days(), |_| 1))
    }

    /// What is stored is told by run, but not by hour.
    pub fn wants_runs(&self) -> bool {
        self.by.contains(&By::Run) && !self.by.contains(&By::Hour)
    }
}

/// What is told beside this node's own journal.
#[derive(Debug, Default)]
pub struct Beside {
    /// Records of other nodes, as `days` makes them.
    pub others: Vec<Vec<u8>>,
    pub runs: Vec<RunDays>,
}

/// As it is asked for.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Asked {
    pub tenant: Option<String>,
    pub month: Option<String>,
    pub day: Option<String>,
    /// Separated by commas.
    pub by: Option<String>,
    /// `json` or `csv`
    pub format: Option<String>,
}

impl Asked {
    pub fn query(&self, now: Timestamp) -> Result<Query> {
        let wrong = |name: &'static str, text: String| Error::new(ErrorKind::InvalidArgument, text).detail("ArgumentName", name);
        let day = self
            .day
            .as_deref()
            .map(|text| period::parse_day(text).ok_or_else(|| wrong("day", "day is a day of UTC such as 2026-11-29.".into())));
        let day = day.transpose()?;
        let month = match (self.month.as_deref(), day) {
            (Some(text), _) => Month::parse(text).ok_or_else(|| wrong("month", "month is a month of UTC such as 2026-11.".into()))?,
            (None, day) => Month::of_day(day.unwrap_or(period::day(now))),
        };
        if day.is_some_and(|day| Month::of_day(day) != month) {
            return Err(wrong("day", "The day is in another month.".into()));
        }
        let by = self.by.as_deref().unwrap_or("tenant").split(',').filter(|name| !name.is_empty());
        let by = by.map(|name| By::ALL.into_iter().find(|by| by.name() == name).ok_or(name)).collect::<Result<Vec<_>, _>>();
        let names = || By::ALL.map(By::name).join(", ");
        let mut by = by.map_err(|name| wrong("by", format!("Usage is not kept by {name:?}: by {} it is.", names())))?;
        by.sort_unstable();
        by.dedup();
        Ok(Query { tenant: self.tenant.as_deref().map(TenantId::parse).transpose()?, month, day, by })
    }

    pub fn wants_csv(&self) -> Result<bool> {
        match self.format.as_deref() {
            None | Some("json") => Ok(false),
            Some("csv") => Ok(true),
            Some(_) => Err(Error::new(ErrorKind::InvalidArgument, "format is json or csv.").detail("ArgumentName", "format")),
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    /// In the order of `Report::by`.
    pub names: Vec<String>,
    pub counts: Counts,
    /// None: no prices are set.
    pub cost: Option<Money>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub month: Month,
    pub day: Option<u32>,
    pub by: Vec<By>,
    pub currency: String,
    pub lines: Vec<Line>,
    /// Of the lines, to the last digit.
    pub total: Line,
    /// Up to when it was counted.
    pub at: Timestamp,
}

pub fn read(input: &Input, beside: Beside, query: &Query, now: Timestamp, settings: &Settings) -> Result<Report> {
    let mut sums: BTreeMap<Vec<String>, Counts> = BTreeMap::new();
    let kept = Kept::at(now, settings);
    let days = query.days();
    let by_hour = query.by.contains(&By::Hour);
    let mut add = |op: &OpRef<'_>| {
        if !kept.keeps(rows::period_of(op)) {
            return Ok(());
        }
        let (hour, day, place, counts) = match Row::parse(op)? {
            Some(Row::Hour(hour, place, counts)) if by_hour => (Some(hour), hour / 24, place, counts),
            Some(Row::Day(day, place, counts)) if !by_hour => (None, day, place, counts),
            _ => return Ok(()),
        };
        if !days.contains(&day) || query.tenant.as_ref().is_some_and(|tenant| tenant.as_str() != place.tenant) {
            return Ok(());
        }
        let names = names(&query.by, hour, day, place);
        line(&mut sums, names).map(|sum| sum.add(&counts))
    };
    compact::merge(input, &mut add)?;
    for record in &beside.others {
        parse_ops(record).ok_or_else(unreadable)?.iter().try_for_each(&mut add)?;
    }
    tell_runs(&mut sums, beside.runs, &query.by)?;
    let prices = &settings.prices;
    let mut total = Line { cost: (!prices.currency.is_empty()).then(Money::default), ..Line::default() };
    let lines = sums.into_iter().map(|(names, counts)| {
        let cost = prices.of(&counts, query.month);
        total.counts.add(&counts);
        total.cost = total.cost.zip(cost).map(|(sum, more)| sum.plus(more));
        Line { names, counts, cost }
    });
    let lines = lines.collect();
    let (by, currency) = (query.by.clone(), prices.currency.clone());
    Ok(Report { month: query.month, day: query.day, by, currency, lines, total, at: now })
}

fn line(sums: &mut BTreeMap<Vec<String>, Counts>, names: Vec<String>) -> Result<&mut Counts> {
    if sums.len() >= MAX_LINES && !sums.contains_key(&names) {
        let text = format!("That is more than {MAX_LINES} lines. Ask for one tenant, for one day, or by less.");
        return Err(Error::new(ErrorKind::InvalidRequest, text));
    }
    Ok(sums.entry(names).or_default())
}

/// Each takes what it has from what was counted of all runs together.
fn tell_runs(sums: &mut BTreeMap<Vec<String>, Counts>, runs: Vec<RunDays>, by: &[By]) -> Result<()> {
    for RunDays { tenant, bucket, artifact, run, day, byte_millis } in runs {
        let all = Place { tenant, bucket, artifact, run: String::new() };
        let of_run = Place { run: run.unwrap_or_else(|| OTHER.to_owned()), ..all.clone() };
        // Where days are together their name is not asked for.
        let day = day.unwrap_or_default();
        let all = names(by, None, day, all);
        let Some(from) = sums.get_mut(&all) else { continue };
        let part = byte_millis.min(from.byte_millis);
        from.byte_millis -= part;
        if *from == Counts::default() {
            sums.remove(&all);
        }
        let to = line(sums, names(by, None, day, of_run))?;
        to.byte_millis = to.byte_millis.saturating_add(part);
    }
    Ok(())
}

fn names(by: &[By], hour: Option<u32>, day: u32, place: Place) -> Vec<String> {
    let Place { tenant, bucket, artifact, run } = place;
    let name = |by: &By| match by {
        By::Tenant => tenant.clone(),
        By::Day => period::show_day(day),
        By::Hour => hour.map(period::show_hour).unwrap_or_default(),
        By::Bucket => bucket.clone(),
        By::Type => artifact.clone(),
        By::Run => run.clone(),
    };
    by.iter().map(name).collect()
}

/// Of one record: the bucket's own take less than a mebibyte.
const RECORD_BYTES: usize = 512 * 1024;

/// See `Usage::days_since`. Rows come in order, so a row stays in its record, or moves to a later one.
pub fn days(input: &Input, since: u32) -> Result<Vec<(u32, usize, Vec<u8>)>> {
    let mut records: Vec<(u32, usize, Vec<u8>)> = Vec::new();
    compact::merge(input, &mut |op| {
        let Some((Table::Days, day)) = rows::period_of(op).filter(|(_, day)| *day >= since) else { return Ok(()) };
        let number = match records.last() {
            Some((last, number, record)) if *last == day && record.len() < RECORD_BYTES => *number,
            Some((last, number, _)) if *last == day => number + 1,
            _ => 0,
        };
        if records.last().is_none_or(|(last, of_last, _)| (*last, *of_last) != (day, number)) {
            records.push((day, number, Vec::new()));
        }
        let is_whole = records.last_mut().is_some_and(|(_, _, record)| op.encode(record));
        if is_whole { Ok(()) } else { Err(unreadable()) }
    })?;
    Ok(records)
}

/// What went out of each tenant's, by a record of another node.
pub fn egress(record: &[u8]) -> Result<HashMap<String, u64>> {
    let mut sums: HashMap<String, u64> = HashMap::new();
    for op in parse_ops(record).ok_or_else(unreadable)? {
        if let Some(Row::Day(_, place, counts)) = Row::parse(&op)? {
            *sums.entry(place.tenant).or_default() += counts.all_bytes_out();
        }
    }
    sums.retain(|_, bytes| *bytes > 0);
    Ok(sums)
}

fn unreadable() -> Error {
    Error::internal("a record of usage can't be read")
}
