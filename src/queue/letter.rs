//! A letter, and the bytes of its rows: see `letters`.

use serde::{Deserialize, Serialize};

use crate::base::error::{Error, Result};
use crate::base::timestamp::Timestamp;
use crate::queue::job::{Payload, shortened};
use crate::queue::rows::{self, Table};

const MAX_BOX_BYTES: usize = 64;
const MAX_LETTER_BYTES: usize = 64 * 1024;
const DEAD_VERSION: u8 = 1;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// The name of the box.
    pub to: String,
    /// No two of a box have the same.
    pub number: u64,
    pub payload: Payload,
}

/// How many there are of a box.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Boxed {
    pub waiting: u64,
    pub dead: u64,
}

#[derive(Serialize, Deserialize)]
struct DeadRow {
    since: Timestamp,
    reason: String,
}

impl Letter {
    pub(super) fn check(&self) -> Result<()> {
        let sound = !self.to.is_empty() && self.to.len() <= MAX_BOX_BYTES && !self.to.contains('\0');
        if sound && self.payload.document.len() <= MAX_LETTER_BYTES { Ok(()) } else { Err(Error::internal("a letter can't be kept")) }
    }
}

impl Boxed {
    pub(super) fn add(&mut self, table: Table, more: i64) {
        let cell = if table == Table::Letters { &mut self.waiting } else { &mut self.dead };
        *cell = cell.saturating_add_signed(more);
    }

    /// None: an empty box has no row.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        (*self != Boxed::default()).then(|| [self.waiting.to_be_bytes(), self.dead.to_be_bytes()].concat())
    }

    pub(super) fn decode(row: &[u8]) -> Result<Self> {
        let number = |at: usize| row.get(at..at + 8).and_then(|b| b.try_into().ok()).map(u64::from_be_bytes);
        match (number(0), number(8)) {
            (Some(waiting), Some(dead)) => Ok(Boxed { waiting, dead }),
            _ => Err(Error::internal("a row of the queue is no count of letters")),
        }
    }
}

pub(super) fn key(to: &str, number: u64) -> Vec<u8> {
    [to.as_bytes(), b"\0", &number.to_be_bytes()].concat()
}

pub(super) fn split(key: &[u8]) -> Result<(&str, u64)> {
    let end = key.len().checked_sub(8).ok_or_else(no_letter)?;
    let (name, number) = key.split_at_checked(end).ok_or_else(no_letter)?;
    let name = name.strip_suffix(b"\0").and_then(|name| std::str::from_utf8(name).ok()).ok_or_else(no_letter)?;
    Ok((name, number.try_into().map(u64::from_be_bytes).map_err(|_| no_letter())?))
}

pub(super) fn box_of(key: &[u8]) -> Result<&str> {
    split(key).map(|(name, _)| name)
}

fn no_letter() -> Error {
    Error::internal("a row of the queue is no letter")
}

pub(super) fn encode(posted: Timestamp, payload: &Payload) -> Vec<u8> {
    [&posted.millis().to_be_bytes()[..], &rows::encode_payload(payload)].concat()
}

pub(super) fn decode(row: &[u8]) -> Result<(Timestamp, Payload)> {
    let (posted, payload) = row.split_at_checked(8).ok_or_else(no_letter)?;
    let posted = posted.try_into().map(u64::from_be_bytes).map_err(|_| no_letter())?;
    Ok((Timestamp::from_millis(posted), rows::decode_payload(payload)?))
}

pub(super) fn decode_number(row: &[u8]) -> Result<u64> {
    row.try_into().map(u64::from_be_bytes).map_err(|_| Error::internal("a row of the queue is no number"))
}

pub(super) fn encode_dead(since: Timestamp, reason: String, payload: &Payload) -> Result<Vec<u8>> {
    let row = postcard::to_extend(&DeadRow { since, reason: shortened(reason) }, vec![DEAD_VERSION]).map_err(Error::internal)?;
    Ok([row, rows::encode_payload(payload)].concat())
}

pub(super) fn decode_dead(row: &[u8]) -> Result<(Timestamp, String, Payload)> {
    let Some((&DEAD_VERSION, rest)) = row.split_first() else {
        return Err(Error::internal("a dead letter is of a form that this program does not know: start a newer tidegate"));
    };
    let (DeadRow { since, reason }, payload) = postcard::take_from_bytes(rest).map_err(Error::internal)?;
    Ok((since, reason, rows::decode_payload(payload)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Letters that wait are read by the next release.
    #[test]
    fn rows_have_these_bytes() {
        let payload = Payload { version: 1, document: b"{}".to_vec() };
        let row = encode(Timestamp::from_millis(0x0102), &payload);
        assert_eq!(hex::encode(&row), "000000000000010200017b7d");
        assert_eq!(decode(&row).unwrap(), (Timestamp::from_millis(0x0102), payload.clone()));
        let row = encode_dead(Timestamp::from_millis(300), "no".into(), &payload).unwrap();
        assert_eq!(hex::encode(&row), "01ac02026e6f00017b7d");
        assert_eq!(decode_dead(&row).unwrap(), (Timestamp::from_millis(300), "no".into(), payload));
        assert_eq!(hex::encode(key("a", 258)), "61000000000000000102");
        assert_eq!(split(&key("a", 258)).unwrap(), ("a", 258));
        for wrong in [&b""[..], b"\x02", b"a"] {
            assert!(decode(wrong).is_err() && decode_dead(wrong).is_err() && split(wrong).is_err());
        }
    }
}
