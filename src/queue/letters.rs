//! Letters: what is to be told to somebody, kept in a box for each of them, in order, until it was told or is given up.
//!
//! A letter has a number, and letters of one box stand in the order of their numbers. Whoever empties a box reads on from its beginning, and
//! takes out what was told. What can't be told is dead: it stays for a while, with the reason, and can be brought back to where it stood.
//! Not here: what letters say, who they are for, when one is given up (`ops::events`, `jobs::deliver_events`).
//!
//! Invariants: a letter that was posted is in its box until it is taken out or dies. A box has at most `MOST_WAITING` letters, and
//! `MOST_DEAD` dead ones: of these the oldest go first.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::base::error::Result;
use crate::base::timestamp::Timestamp;
use crate::index::Walk;
use crate::queue::Queue;
use crate::queue::job::Payload;
use crate::queue::letter::{Boxed, Letter, decode, decode_dead, decode_number, encode, encode_dead, key, split};
use crate::queue::machine::Machine;
use crate::queue::rows::Table;

/// A day of a dozen a second. More is what nobody will read.
pub const MOST_WAITING: u64 = 1_000_000;
pub const MOST_DEAD: u64 = 100_000;
/// Letters of one command: keeps its batch small.
const AT_ONCE: usize = 1000;
/// In the table of numbers.
const LETTERS: &[u8] = b"letters";

/// As it lies in its box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    pub number: u64,
    /// Or brought back.
    pub posted: Timestamp,
    pub payload: Payload,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dead {
    pub to: String,
    pub number: u64,
    pub since: Timestamp,
    pub reason: String,
    pub payload: Payload,
}

/// Which dead letters are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    All,
    These(Vec<u64>),
}

impl Queue {
    /// The first `max` letters of a box but those that `known` has already, in order.
    pub async fn letters(&self, to: &str, max: usize, known: impl Fn(u64) -> bool + Send + 'static) -> Result<Vec<Waiting>> {
        let prefix = [to.as_bytes(), b"\0"].concat();
        self.read(move |index| {
            let mut found = Vec::new();
            index.scan(Table::Letters, &prefix, &mut |k, row| {
                if !k.starts_with(&prefix) || found.len() >= max {
                    return Ok(Walk::Stop);
                }
                let (_, number) = split(k)?;
                if known(number) {
                    return Ok(Walk::Next);
                }
                let (posted, payload) = decode(row)?;
                found.push(Waiting { number, posted, payload });
                Ok(Walk::Next)
            })?;
            Ok(found)
        })
        .await
    }

    /// The highest number that a letter ever had: numbers go on from there, whatever the clock says.
    pub fn last_letter(&self) -> Result<u64> {
        self.shared.index()?.get(Table::Numbers, LETTERS)?.map_or(Ok(0), |row| decode_number(&row))
    }

    /// Woken when a letter comes into the box.
    pub fn watch_box(&self, name: &str) -> Arc<Notify> {
        self.shared.watch_box(name)
    }

    /// It was told: it is taken out.
    pub async fn take_letter(&self, to: &str, number: u64) -> Result<()> {
        let key = key(to, number);
        self.inlet.submit(move |machine| machine.txn.put_letter(Table::Letters, key, None)).await
    }

    /// It is given up. One that was taken out meanwhile stays out.
    pub async fn give_up_letter(&self, to: &str, number: u64, reason: String) -> Result<()> {
        let to = to.to_owned();
        self.inlet.submit(move |machine| machine.give_up(&to, number, reason)).await
    }

    /// All boxes that hold anything.
    pub async fn boxes(&self) -> Result<Vec<(String, Boxed)>> {
        self.read(|index| {
            let mut boxes = Vec::new();
            index.scan(Table::Boxes, b"", &mut |name, row| {
                boxes.push((String::from_utf8_lossy(name).into_owned(), Boxed::decode(row)?));
                Ok(Walk::Next)
            })?;
            Ok(boxes)
        })
        .await
    }

    /// When the oldest letter that waits there was posted, as far as its number tells.
    pub async fn oldest_letter(&self, to: &str) -> Result<Option<Timestamp>> {
        Ok(self.letters(to, 1, |_| false).await?.first().map(|letter| letter.posted))
    }

    /// Dead letters of a box, or of all (empty), after the one named last; at most `max`.
    pub async fn dead_letters(&self, to: &str, after: Option<(String, u64)>, max: usize) -> Result<Vec<Dead>> {
        let prefix = if to.is_empty() { Vec::new() } else { [to.as_bytes(), b"\0"].concat() };
        self.read(move |index| {
            let mut found = Vec::new();
            let from = after.as_ref().map_or_else(|| prefix.clone(), |(to, number)| key(to, *number));
            index.scan(Table::DeadLetters, &from, &mut |k, row| {
                if !k.starts_with(&prefix) || found.len() >= max {
                    return Ok(Walk::Stop);
                }
                let (to, number) = split(k)?;
                if after.as_ref().is_some_and(|(last, n)| last == to && *n == number) {
                    return Ok(Walk::Next);
                }
                let (since, reason, payload) = decode_dead(row)?;
                found.push(Dead { to: to.to_owned(), number, since, reason, payload });
                Ok(Walk::Next)
            })?;
            Ok(found)
        })
        .await
    }

    /// Dead letters stand in their box again, where they stood. How many.
    pub async fn replay_letters(&self, to: &str, which: Which) -> Result<u64> {
        self.each_dead(to, which, |machine, key, row| {
            let (_, _, payload) = decode_dead(&row)?;
            machine.txn.put_letter(Table::Letters, key, Some(encode(machine.now, &payload)))
        })
        .await
    }

    /// Dead letters are forgotten. How many.
    pub async fn forget_letters(&self, to: &str, which: Which) -> Result<u64> {
        self.each_dead(to, which, |_, _, _| Ok(())).await
    }

    async fn each_dead(&self, to: &str, which: Which, then: fn(&mut Machine<'_, '_>, Vec<u8>, Vec<u8>) -> Result<()>) -> Result<u64> {
        let mut count = 0;
        let mut named = match &which {
            Which::All => None,
            Which::These(numbers) => Some(numbers.iter().map(|number| key(to, *number)).collect::<Vec<_>>()),
        };
        loop {
            let keys = match &mut named {
                Some(keys) => keys.drain(..keys.len().min(AT_ONCE)).collect(),
                None => self.dead_letters(to, None, AT_ONCE).await?.iter().map(|dead| key(&dead.to, dead.number)).collect::<Vec<_>>(),
            };
            if keys.is_empty() {
                return Ok(count);
            }
            count += self.inlet.submit(move |machine| machine.each_dead(keys, then)).await?;
        }
    }

    /// Forgets letters that died before then, and where a box has too many, the oldest.
    pub(super) async fn expire_letters(&self, before: Timestamp) -> Result<()> {
        for (to, boxed) in self.boxes().await?.into_iter().filter(|(_, boxed)| boxed.dead > 0) {
            let surplus = boxed.dead.saturating_sub(MOST_DEAD) as usize;
            let oldest = self.dead_letters(&to, None, AT_ONCE).await?;
            let old = oldest.into_iter().enumerate().filter(|(n, dead)| *n < surplus || dead.since < before);
            let numbers: Vec<u64> = old.map(|(_, dead)| dead.number).collect();
            if !numbers.is_empty() {
                self.forget_letters(&to, Which::These(numbers)).await?;
            }
        }
        Ok(())
    }
}

impl Machine<'_, '_> {
    /// A box that is full takes no more: the letter is lost, and who posts is not held up by whoever does not read.
    pub(super) fn post(&mut self, letter: Letter) -> Result<()> {
        if self.txn.boxed(&letter.to)?.waiting >= MOST_WAITING {
            tracing::error!(to = letter.to, number = letter.number, "a box of letters is full: one is lost");
            return Ok(());
        }
        if self.txn.get(Table::Numbers, LETTERS)?.map_or(Ok(0), |row| decode_number(&row))? < letter.number {
            self.txn.set((Table::Numbers, LETTERS.to_vec(), Some(letter.number.to_be_bytes().to_vec())));
        }
        let row = encode(self.now, &letter.payload);
        self.txn.put_letter(Table::Letters, key(&letter.to, letter.number), Some(row))
    }

    fn give_up(&mut self, to: &str, number: u64, reason: String) -> Result<()> {
        let key = key(to, number);
        let Some(row) = self.txn.get(Table::Letters, &key)? else { return Ok(()) };
        let (_, payload) = decode(&row)?;
        self.txn.put_letter(Table::Letters, key.clone(), None)?;
        self.txn.put_letter(Table::DeadLetters, key, Some(encode_dead(self.now, reason, &payload)?))
    }

    fn each_dead(&mut self, keys: Vec<Vec<u8>>, then: fn(&mut Machine<'_, '_>, Vec<u8>, Vec<u8>) -> Result<()>) -> Result<u64> {
        let mut count = 0;
        for key in keys {
            let Some(row) = self.txn.get(Table::DeadLetters, &key)? else { continue };
            then(self, key.clone(), row)?;
            self.txn.put_letter(Table::DeadLetters, key, None)?;
            count += 1;
        }
        Ok(count)
    }
}
