//! Listings of the overlay and the upstream as one, in order.
//!
//! In rounds: a page of each, the overlay's first, so that what is stored between the two is on one of them. Only names up to
//! where the shorter page ends are taken; the next round begins there.
//! What a delete waits for is left out; a common prefix is shown if something is left under it, which costs a look at what
//! waits under it, and only there.

use std::cmp::Ordering;
use std::collections::HashSet;

use crate::base::error::{ErrorKind, Result};
use crate::base::names::BucketName;
use crate::base::object::{ListEntry, ListPage, ListQuery};
use crate::ops::write_back::Overlay;
use crate::ops::write_back::entry::is_listed_delete;
use crate::origin::Origin;

/// Smaller pages would make a listing that hides many deletes ask too often.
const MIN_ROUND: usize = 100;

impl Overlay {
    pub(super) async fn list(&self, bucket: &BucketName, query: &ListQuery) -> Result<ListPage> {
        if !self.waiting.in_bucket(bucket) {
            return self.upstream.list(bucket, query).await;
        }
        let mut page = ListPage::default();
        if query.max == 0 {
            return Ok(page);
        }
        let mut round = ListQuery { max: query.max.max(MIN_ROUND), ..query.clone() };
        loop {
            let here = match self.local.list(bucket, &round).await {
                Err(e) if e.kind() == ErrorKind::NoSuchBucket => ListPage::default(),
                listed => listed?,
            };
            let there = self.upstream.list(bucket, &round).await?;
            let end = shorter(here.next.as_deref(), there.next.as_deref()).map(str::to_owned);
            for (entry, upstream_too) in merged(here.entries, there.entries, end.as_deref()) {
                if !self.is_shown(bucket, &entry, upstream_too).await? {
                    continue;
                }
                if page.entries.len() == query.max {
                    page.next = page.entries.last().map(|e| name(e).to_owned());
                    return Ok(page);
                }
                page.entries.push(entry);
            }
            match end {
                Some(end) => round.after = end,
                None => return Ok(page),
            }
        }
    }

    async fn is_shown(&self, bucket: &BucketName, entry: &ListEntry, from: From) -> Result<bool> {
        match entry {
            ListEntry::Object(object) => Ok(!(from.here && is_listed_delete(object))),
            ListEntry::CommonPrefix(_) if !from.here => Ok(true),
            ListEntry::CommonPrefix(prefix) => {
                Ok(self.has_objects(bucket, prefix).await? || (from.there && self.leaves_any(bucket, prefix).await?))
            }
        }
    }

    /// Whether the deletes that wait leave anything of what is upstream under the prefix. Only deletes wait there.
    async fn leaves_any(&self, bucket: &BucketName, prefix: &str) -> Result<bool> {
        let mut query = ListQuery { prefix: prefix.to_owned(), max: 1000, ..ListQuery::default() };
        loop {
            let here = self.local.list(bucket, &query).await?;
            let deleted: HashSet<&str> = here.entries.iter().map(name).collect();
            let there = self.upstream.list(bucket, &query).await?;
            let end = shorter(here.next.as_deref(), there.next.as_deref());
            let within = |n: &str| end.is_none_or(|end| n <= end);
            if there.entries.iter().map(name).any(|n| within(n) && !deleted.contains(n)) {
                return Ok(true);
            }
            match end {
                Some(end) => query.after = end.to_owned(),
                None => return Ok(false),
            }
        }
    }
}

/// Where an entry was found.
#[derive(Clone, Copy)]
struct From {
    here: bool,
    there: bool,
}

/// Both in order of name, up to and with `end`; of the same name ours.
fn merged(here: Vec<ListEntry>, there: Vec<ListEntry>, end: Option<&str>) -> Vec<(ListEntry, From)> {
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
fn shorter<'a>(a: Option<&'a str>, b: Option<&'a str>) -> Option<&'a str> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

fn name(entry: &ListEntry) -> &str {
    match entry {
        ListEntry::Object(object) => object.key.as_str(),
        ListEntry::CommonPrefix(prefix) => prefix,
    }
}
