//! Two listings as one, in order, where an entry of the one hides that of the other.
//!
//! In rounds: a page of each is taken, and of both the names up to the smaller of the two last ones. The next round begins there.

use std::cmp::Ordering;

use crate::base::object::ListEntry;

/// Smaller pages would make a listing that hides many deletes ask too often.
pub const MIN_ROUND: usize = 100;

/// Where an entry was found.
#[derive(Clone, Copy)]
pub struct From {
    pub here: bool,
    pub there: bool,
}

/// Both in order of name, up to and with `end`; of the same name ours.
pub fn merged(here: Vec<ListEntry>, there: Vec<ListEntry>, end: Option<&str>) -> Vec<(ListEntry, From)> {
    let within = |e: &ListEntry| end.is_none_or(|end| name(e) <= end);
    let mut merged = Vec::with_capacity(here.len() + there.len());
    let (mut here, mut there) = (here.into_iter().filter(within).peekable(), there.into_iter().filter(within).peekable());
    loop {
        let order = match (here.peek(), there.peek()) {
            (None, None) => return merged,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => name(a).cmp(name(b)),
        };
        let next = if order == Ordering::Greater { there.next() } else { here.next() };
        if order == Ordering::Equal {
            there.next();
        }
        merged.extend(next.map(|entry| (entry, From { here: order != Ordering::Greater, there: order != Ordering::Less })));
    }
}

/// The earlier end of two pages; None: neither goes on.
pub fn shorter<'a>(a: Option<&'a str>, b: Option<&'a str>) -> Option<&'a str> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

pub fn name(entry: &ListEntry) -> &str {
    match entry {
        ListEntry::Object(object) => object.key.as_str(),
        ListEntry::CommonPrefix(prefix) => prefix,
    }
}
