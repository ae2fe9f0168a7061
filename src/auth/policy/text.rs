//! The texts that patterns are held against, and the search for a piece of a pattern in them.
//!
//! A search keeps one bit for each place of the text at which the piece, as far as it was read, may end. Each byte of a
//! pattern then costs one pass over `text / 64` words, whatever stands in either: nothing is ever tried again.
//! Called by `pattern` alone. Limit: `places` takes 32 bytes for each byte of the text, so it is made only where a pattern has
//! something between two `*`, and kept beside texts that many patterns meet.

use std::sync::OnceLock;

use smallvec::{SmallVec, smallvec};

/// A text in two parts, so that `bucket/key` need not be put together to be matched.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    head: &'a [u8],
    /// Comes after a `/`.
    tail: Option<&'a [u8]>,
    places: Option<&'a OnceLock<Places>>,
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(s: &'a str) -> Self {
        Text { head: s.as_bytes(), tail: None, places: None }
    }
}

impl<'a> Text<'a> {
    pub fn joined(head: &'a str, tail: Option<&'a str>) -> Self {
        Text { head: head.as_bytes(), tail: tail.map(str::as_bytes), places: None }
    }

    /// What is found out about the text in one search is kept in `places` for the next.
    pub fn remembering<'b>(self, places: &'b OnceLock<Places>) -> Text<'b>
    where
        'a: 'b,
    {
        Text { places: Some(places), ..self }
    }

    pub(super) fn len(&self) -> usize {
        self.head.len() + self.tail.map_or(0, |t| t.len() + 1)
    }

    pub fn has_at(&self, at: usize, literal: &[u8]) -> bool {
        if at + literal.len() > self.len() {
            return false;
        }
        let in_head = self.head.len().saturating_sub(at).min(literal.len());
        let (first, rest) = literal.split_at(in_head);
        if in_head > 0 && self.head[at..at + in_head] != *first {
            return false;
        }
        let Some((&slash, rest)) = rest.split_first() else { return true };
        let Some(tail) = self.tail else { return false };
        // Where the rest begins, counted from the `/`.
        match (at + in_head).saturating_sub(self.head.len()) {
            0 => slash == b'/' && tail.starts_with(rest),
            n => tail[n - 1] == slash && tail[n..].starts_with(rest),
        }
    }

    /// After `n` characters from `at`; None: there are fewer.
    pub fn forward(&self, mut at: usize, n: usize) -> Option<usize> {
        for _ in 0..n {
            self.at(at)?;
            at += 1;
            while self.at(at).is_some_and(continues) {
                at += 1;
            }
        }
        Some(at)
    }

    /// `n` characters before `at`; None: there are fewer.
    pub fn backward(&self, mut at: usize, n: usize) -> Option<usize> {
        for _ in 0..n {
            at = at.checked_sub(1)?;
            while self.at(at).is_some_and(continues) {
                at = at.checked_sub(1)?;
            }
        }
        Some(at)
    }

    fn at(&self, i: usize) -> Option<u8> {
        match i.checked_sub(self.head.len()) {
            None => self.head.get(i).copied(),
            Some(0) => self.tail.map(|_| b'/'),
            Some(i) => self.tail?.get(i - 1).copied(),
        }
    }

    /// Calls `search` with the places of this text.
    pub fn searched<R>(&self, search: impl FnOnce(&Places) -> R) -> R {
        match self.places {
            Some(kept) => search(kept.get_or_init(|| Places::of(self))),
            None => search(&Places::of(self)),
        }
    }
}

/// The bytes after the first of a character.
fn continues(byte: u8) -> bool {
    byte & 0xC0 == 0x80
}

const BITS: usize = u64::BITS as usize;
/// For a bucket's name, a slash and a key of 1,024 bytes.
const LONGEST_KEY_WORDS: usize = 18;

/// For each byte value the places of the text where it stands.
#[derive(Debug)]
pub struct Places {
    len: usize,
    words: usize,
    /// `words` for each of the 256 values.
    rows: Vec<u64>,
    /// Places inside of characters; empty where all are ASCII.
    inside: Vec<u64>,
}

/// What a search looks for, in order.
#[derive(Clone, Copy)]
pub enum Part<'a> {
    Bytes(&'a [u8]),
    /// As many characters, whichever.
    Characters(usize),
}

impl Places {
    fn of(text: &Text<'_>) -> Self {
        let len = text.len();
        // One more: a piece may end where the text does.
        let words = len / BITS + 1;
        let mut rows = vec![0; 256 * words];
        let slash = text.tail.map(|_| &b'/');
        let bytes = text.head.iter().chain(slash).chain(text.tail.unwrap_or_default());
        let mut ascii = true;
        for (at, byte) in bytes.enumerate() {
            ascii &= byte.is_ascii();
            if let Some(word) = rows.get_mut(usize::from(*byte) * words + at / BITS) {
                *word |= 1 << (at % BITS);
            }
        }
        let mut inside = Vec::new();
        if !ascii {
            inside = vec![0; words];
            for row in rows.chunks_exact(words).take(0xC0).skip(0x80) {
                inside.iter_mut().zip(row).for_each(|(all, own)| *all |= own);
            }
        }
        Places { len, words, rows, inside }
    }

    /// Where the leftmost `parts` at or after `from` end; None: they are not there.
    pub fn find<'p>(&self, parts: impl Iterator<Item = Part<'p>>, from: usize) -> Option<usize> {
        let mut bits: SmallVec<[u64; LONGEST_KEY_WORDS]> = smallvec![0; self.words];
        let mut ends = Ends { bits: &mut bits, first: from / BITS, last: self.words - 1 };
        ends.fill(from, self.len, &self.inside);
        for part in parts {
            match part {
                Part::Bytes(bytes) => {
                    for byte in bytes {
                        let start = usize::from(*byte) * self.words;
                        ends.step(self.rows.get(start..start + self.words)?);
                        ends.narrow()?;
                    }
                }
                Part::Characters(n) if self.inside.is_empty() => {
                    ends.skip(n, self.len);
                    ends.narrow()?;
                }
                Part::Characters(n) => {
                    for _ in 0..n {
                        ends.skip(1, self.len);
                        ends.leave(&self.inside);
                        ends.narrow()?;
                    }
                }
            }
        }
        ends.least()
    }
}

/// A set of places, of which those that may be in it lie in the words `first..=last`.
struct Ends<'a> {
    bits: &'a mut [u64],
    first: usize,
    last: usize,
}

impl Ends<'_> {
    /// All from `from` to `len` at which a character begins.
    fn fill(&mut self, from: usize, len: usize, inside: &[u64]) {
        self.bits.fill(u64::MAX);
        self.bits[..self.first].fill(0);
        if let Some(first) = self.bits.get_mut(self.first) {
            *first &= u64::MAX << (from % BITS);
        }
        self.bits.iter_mut().zip(inside).for_each(|(bits, inside)| *bits &= !inside);
        self.end_at(len);
    }

    fn end_at(&mut self, len: usize) {
        if let Some(last) = self.bits.get_mut(len / BITS) {
            *last &= u64::MAX >> (BITS - 1 - len % BITS);
        }
    }

    /// From the places in `row` to the next, and away from all others.
    fn step(&mut self, row: &[u64]) {
        let up_to = (self.last + 1).min(self.bits.len() - 1);
        let mut carry = 0;
        for (bits, row) in self.bits[self.first..=up_to].iter_mut().zip(&row[self.first..=up_to]) {
            let kept = *bits & row;
            *bits = kept << 1 | carry;
            carry = kept >> (BITS - 1);
        }
        self.last = up_to;
    }

    /// `n` places on.
    fn skip(&mut self, n: usize, len: usize) {
        let (whole, part) = (n / BITS, n % BITS);
        for i in (0..self.bits.len()).rev() {
            let from = |i: usize| i.checked_sub(whole).and_then(|i| self.bits.get(i)).copied().unwrap_or(0);
            let below = if part == 0 || i == 0 { 0 } else { from(i - 1) >> (BITS - part) };
            self.bits[i] = from(i) << part | below;
        }
        self.first = (self.first + whole).min(self.bits.len() - 1);
        self.last = self.bits.len() - 1;
        self.end_at(len);
    }

    /// Each place inside of a character moves to its end. The carry of an addition runs through the bytes of a character.
    fn leave(&mut self, inside: &[u64]) {
        let mut carry = false;
        for (bits, inside) in self.bits.iter_mut().zip(inside) {
            let (sum, over) = inside.overflowing_add(*bits & inside);
            let (sum, over_by_carry) = sum.overflowing_add(u64::from(carry));
            carry = over || over_by_carry;
            // A run that goes on from the word before takes the carry on, or was no place at all.
            *bits = (*bits | sum) & !inside;
        }
    }

    /// None: no place is left.
    fn narrow(&mut self) -> Option<()> {
        while self.bits[self.first] == 0 {
            self.first += 1;
            if self.first > self.last {
                return None;
            }
        }
        while self.bits[self.last] == 0 {
            self.last -= 1;
        }
        Some(())
    }

    fn least(&self) -> Option<usize> {
        let (at, word) = self.bits.iter().enumerate().skip(self.first).find(|(_, w)| **w != 0)?;
        Some(at * BITS + word.trailing_zeros() as usize)
    }
}
