//! The rows of the journal and their bytes. `tests/golden/usage` holds each to them.
//!
//! Every value begins with the version of its form and may end with fields, as those of the store do.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::base::error::{Error, Result};
use crate::base::fields::Fields;
use crate::base::listed::listed;
use crate::base::timestamp::Timestamp;
use crate::journal::OpRef;
use crate::usage::count::{Counts, Place};

listed! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    #[repr(u8)]
    pub enum Table {
        /// hour, place -> counts.
        Hours = 1,
        /// day, place -> counts.
        Days = 2,
        /// place -> what the store's meter showed when it was read last.
        Meters = 3,
        /// nothing -> when the meters were read last.
        Measured = 4,
        /// What is stored over an S3: the keys and values of `ops/tally`.
        Tally = 5,
        /// What was spent on providers: the keys, which begin with the day, and values of `ops/generate`.
        Spent = 6,
    }
}

impl Table {
    pub fn of(code: u8) -> Option<Table> {
        Table::ALL.into_iter().find(|t| *t as u8 == code)
    }
}

const VERSION: u8 = 1;

#[derive(Serialize, Deserialize)]
struct Form {
    requests: [u64; 5],
    bytes_in: u64,
    bytes_out: [u64; 3],
    job_millis: u64,
    byte_millis: u128,
}

/// A row of the journal in its meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    Hour(u32, Place, Counts),
    Day(u32, Place, Counts),
    Meter(Place, u128),
    Measured(Timestamp),
    Tally(Vec<u8>, Vec<u8>),
    Spent(Vec<u8>, Vec<u8>),
}

impl Row {
    /// None: of a table that a newer program has.
    pub fn parse(op: &OpRef<'_>) -> Result<Option<Row>> {
        let (Some(table), Some(value)) = (Table::of(op.table), op.value) else { return Ok(None) };
        Ok(Some(match table {
            Table::Hours => {
                let (hour, place) = split_period(op.key)?;
                Row::Hour(hour, parse_place(place)?, decode_counts(value)?)
            }
            Table::Days => {
                let (day, place) = split_period(op.key)?;
                Row::Day(day, parse_place(place)?, decode_counts(value)?)
            }
            Table::Meters => Row::Meter(parse_place(op.key)?, read::<u128>(value)?),
            Table::Measured => Row::Measured(Timestamp::from_millis(read(value)?)),
            Table::Tally => Row::Tally(op.key.to_vec(), value.to_vec()),
            Table::Spent => Row::Spent(op.key.to_vec(), value.to_vec()),
        }))
    }

    /// Behind `out`.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        let (table, key, value) = match self {
            Row::Hour(hour, place, counts) => (Table::Hours, period_key(*hour, place), encode_counts(counts)?),
            Row::Day(day, place, counts) => (Table::Days, period_key(*day, place), encode_counts(counts)?),
            Row::Meter(place, total) => (Table::Meters, place_key(place), write(total)?),
            Row::Measured(at) => (Table::Measured, Vec::new(), write(&at.millis())?),
            Row::Tally(key, value) => (Table::Tally, key.clone(), value.clone()),
            Row::Spent(key, value) => (Table::Spent, key.clone(), value.clone()),
        };
        push(out, &OpRef { table: table as u8, key: &key, value: Some(&value) })
    }
}

/// The meter is not there any more.
pub fn forget_meter(out: &mut Vec<u8>, place: &Place) -> Result<()> {
    push(out, &OpRef { table: Table::Meters as u8, key: &place_key(place), value: None })
}

/// A batch of `Tally`: what is set, and what is not there any more.
pub fn tally(changes: &[(Vec<u8>, Option<Vec<u8>>)]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    changes.iter().try_for_each(|(key, value)| push(&mut out, &OpRef { table: Table::Tally as u8, key, value: value.as_deref() }))?;
    Ok(out)
}

/// What was spent under this key, which begins with the day.
pub fn spent(key: &[u8], value: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    push(&mut out, &OpRef { table: Table::Spent as u8, key, value: Some(value) })?;
    Ok(out)
}

/// The hour or day of a row that has one.
pub fn period_of(op: &OpRef<'_>) -> Option<(Table, u32)> {
    let table = Table::of(op.table).filter(|t| matches!(t, Table::Hours | Table::Days | Table::Spent))?;
    Some((table, split_period(op.key).ok()?.0))
}

fn push(out: &mut Vec<u8>, op: &OpRef<'_>) -> Result<()> {
    if op.encode(out) { Ok(()) } else { Err(Error::internal("a row is too long for the journal of usage")) }
}

/// A form as all rows have it: its version, itself, its fields.
pub fn write(form: &impl Serialize) -> Result<Vec<u8>> {
    postcard::to_extend(form, vec![VERSION]).map_err(Error::internal)
}

pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let body = match bytes.split_first() {
        Some((&VERSION, body)) => body,
        _ => return Err(Error::internal("a row of usage was written by a newer tidegate")),
    };
    let (form, rest) = postcard::take_from_bytes(body).map_err(Error::internal)?;
    let (fields, rest) = Fields::parse(rest)?;
    fields.require_known()?;
    if rest.is_empty() { Ok(form) } else { Err(Error::internal("a row of usage is longer than its form")) }
}

fn encode_counts(counts: &Counts) -> Result<Vec<u8>> {
    let Counts { requests, bytes_in, bytes_out, job_millis, byte_millis } = *counts;
    write(&Form { requests, bytes_in, bytes_out, job_millis, byte_millis })
}

fn decode_counts(bytes: &[u8]) -> Result<Counts> {
    let Form { requests, bytes_in, bytes_out, job_millis, byte_millis } = read(bytes)?;
    Ok(Counts { requests, bytes_in, bytes_out, job_millis, byte_millis })
}

fn period_key(period: u32, place: &Place) -> Vec<u8> {
    [period.to_be_bytes().as_slice(), &place_key(place)].concat()
}

fn split_period(key: &[u8]) -> Result<(u32, &[u8])> {
    let (period, place) = key.split_first_chunk::<4>().ok_or_else(|| Error::internal("a row of usage has no time"))?;
    Ok((u32::from_be_bytes(*period), place))
}

/// Names hold no NUL.
fn place_key(place: &Place) -> Vec<u8> {
    [&place.tenant, "\0", &place.bucket, "\0", &place.artifact, "\0", &place.run].concat().into_bytes()
}

fn parse_place(key: &[u8]) -> Result<Place> {
    let text = std::str::from_utf8(key).map_err(Error::internal)?;
    let mut parts = text.splitn(4, '\0').map(str::to_owned);
    let (Some(tenant), Some(bucket), Some(artifact), Some(run)) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(Error::internal("a row of usage names no place"));
    };
    Ok(Place { tenant, bucket, artifact, run })
}
