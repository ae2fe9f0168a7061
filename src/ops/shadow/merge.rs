//! Listings of the origin and the old store as one, in order, without what is marked.
//!
//! The origin first, the marks last: a delete marks before it deletes, so what is gone from the first is marked in the last; and
//! what is copied between the two is in both.
//! A common prefix of the old store is shown if something is left under it, which costs a look, where there are marks under it.

use std::collections::HashSet;

use crate::base::error::Result;
use crate::base::names::TenantId;
use crate::base::object::{ListEntry, ListPage, ListQuery};
use crate::ops::merged::{MIN_ROUND, merged, name, shorter};
use crate::ops::shadow::{Inner, Shadow};

/// S3's page.
const PAGE: usize = 1000;

impl Inner {
    pub(super) async fn list(&self, shadow: &Shadow, query: &ListQuery) -> Result<ListPage> {
        if query.max == 0 {
            return self.origin.reads.list(&shadow.bucket, query).await;
        }
        let (owner, mut page) = (self.owner(shadow).await?, ListPage::default());
        let mut round = ListQuery { max: query.max.clamp(MIN_ROUND, PAGE), ..query.clone() };
        loop {
            let here = self.origin.reads.list(&shadow.bucket, &round).await?;
            let there = shadow.old.list(&owner, &round).await?;
            let marks = if there.entries.is_empty() { ListPage::default() } else { self.origin.reads.list(&shadow.marks, &round).await? };
            let end = shorter(shorter(here.next.as_deref(), there.next.as_deref()), marks.next.as_deref()).map(str::to_owned);
            let marked: HashSet<&str> = marks.entries.iter().map(name).collect();
            for (entry, from) in merged(here.entries, there.entries, end.as_deref()) {
                let is_shown = from.here || !marked.contains(name(&entry)) || self.leaves_any(shadow, &owner, &entry).await?;
                if !is_shown {
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

    /// Of what the old store has under a common prefix under which something is marked.
    async fn leaves_any(&self, shadow: &Shadow, owner: &TenantId, entry: &ListEntry) -> Result<bool> {
        let ListEntry::CommonPrefix(prefix) = entry else { return Ok(false) };
        let mut query = ListQuery { prefix: prefix.clone(), max: PAGE, ..ListQuery::default() };
        loop {
            let there = shadow.old.list(owner, &query).await?;
            let marks = self.origin.reads.list(&shadow.marks, &query).await?;
            let marked: HashSet<&str> = marks.entries.iter().map(name).collect();
            let end = shorter(there.next.as_deref(), marks.next.as_deref());
            let within = |n: &str| end.is_none_or(|end| n <= end);
            if there.entries.iter().map(name).any(|n| within(n) && !marked.contains(n)) {
                return Ok(true);
            }
            match end {
                Some(end) => query.after = end.to_owned(),
                None => return Ok(false),
            }
        }
    }
}
