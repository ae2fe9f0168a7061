//! Listings of the overlay and the upstream as one, in order.
//!
//! In rounds: a page of each, the overlay's first, so that what is stored between the two is on one of them. Only names up to
//! where the shorter page ends are taken; the next round begins there.
//! What a delete waits for is left out; a common prefix is shown if something is left under it, which costs a look at what
//! waits under it, and only there.

use std::collections::HashSet;

use crate::base::error::{ErrorKind, Result};
use crate::base::names::BucketName;
use crate::base::object::{ListEntry, ListPage, ListQuery};
use crate::ops::merged::{From, MIN_ROUND, merged, name, shorter};
use crate::ops::write_back::Overlay;
use crate::ops::write_back::entry::is_listed_delete;
use crate::origin::Reads;

impl Overlay {
    pub(super) async fn list(&self, bucket: &BucketName, query: &ListQuery) -> Result<ListPage> {
        if !self.waiting.in_bucket(bucket) {
            return self.upstream.reads.list(bucket, query).await;
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
            let there = self.upstream.reads.list(bucket, &round).await?;
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
            let there = self.upstream.reads.list(bucket, &query).await?;
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
