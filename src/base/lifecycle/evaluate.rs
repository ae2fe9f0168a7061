//! When a version, a marker or an upload is to go, and by which rule. Pure: who asks says what is known of it.
//!
//! Of several rules the one counts that lets it go first, as on S3. Not here: what keeps a version all the same (a lock, a copy that is
//! still on its way): that is asked for where it would go.
//! Called by `x-amz-expiration`, by the job and its dry run, and by the embedded store for its index of what is due.

use super::day::Day;
use super::{Expiration, Filter, Rule, When};
use crate::base::layout::Layout;
use crate::base::tags::Tags;
use crate::base::timestamp::Timestamp;

/// One version of a key, or an upload to it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    pub key: &'a str,
    /// A marker has none.
    pub size: u64,
    /// None: nobody looked. Then rules that ask for tags count, so that what is found is never too late.
    pub tags: Option<&'a Tags>,
    /// Until when it may have been read last. None: nobody looked. Then it counts as never read, for the same reason.
    pub read: Option<Timestamp>,
    pub standing: Standing,
}

/// What it is to its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The object that the key shows.
    Current {
        modified: Timestamp,
    },
    /// An older version, or a marker that is not the newest of its key. `since`: when its successor came; `newer`: how many noncurrent
    /// ones came after it.
    Noncurrent {
        since: Timestamp,
        newer: u32,
    },
    /// A marker that nothing stands under.
    SoleMarker {
        modified: Timestamp,
    },
    /// The newest of its key is a marker, and older versions stand under it.
    CoveringMarker,
    Upload {
        initiated: Timestamp,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due<'r> {
    pub at: Timestamp,
    pub rule: &'r Rule,
}

/// None: no rule lets it go, ever.
pub fn first_due<'r>(rules: impl Iterator<Item = &'r Rule>, subject: &Subject<'_>, day: Day) -> Option<Due<'r>> {
    let concerned = rules.filter(|rule| rule.enabled && rule.filter.concerns(subject));
    // Of equals the first.
    concerned.filter_map(|rule| Some(Due { at: due(rule, subject, day)?, rule })).min_by_key(|due| due.at)
}

/// Whether who evaluates must know the tags: some rule asks for them.
pub(super) fn asks_for_tags<'r>(mut rules: impl Iterator<Item = &'r Rule>) -> bool {
    rules.any(|rule| rule.enabled && !rule.filter.tags.is_empty())
}

pub(super) fn after(when: When, from: Timestamp, day: Day) -> Timestamp {
    match when {
        When::Days(days) => day.after(from, days),
        When::Date(date) => date,
    }
}

fn due(rule: &Rule, subject: &Subject<'_>, day: Day) -> Option<Timestamp> {
    let by = |when: When, from: Timestamp| after(when, from, day);
    match (subject.standing, rule.expiration) {
        (Standing::Current { modified } | Standing::SoleMarker { modified }, Some(Expiration::When(when))) => Some(by(when, modified)),
        // What was written was at hand. A marker is never read.
        (Standing::Current { modified }, Some(Expiration::Unread(days))) => {
            Some(day.after(subject.read.map_or(modified, |read| read.max(modified)), days))
        }
        (Standing::SoleMarker { modified }, Some(Expiration::Unread(days))) => Some(day.after(modified, days)),
        (Standing::SoleMarker { modified }, Some(Expiration::SoleMarkers(true))) => Some(modified),
        (Standing::SoleMarker { .. } | Standing::Current { .. }, _) | (Standing::CoveringMarker, _) => None,
        (Standing::Noncurrent { since, newer }, _) => {
            let noncurrent = rule.noncurrent.filter(|n| n.keep.is_none_or(|keep| newer >= keep))?;
            Some(day.after(since, noncurrent.days))
        }
        (Standing::Upload { initiated }, _) => rule.abort_uploads.map(|days| day.after(initiated, days)),
    }
}

impl Filter {
    pub(super) fn concerns(&self, subject: &Subject<'_>) -> bool {
        self.is_of_key(subject.key)
            && self.larger_than.is_none_or(|size| subject.size > size)
            && self.smaller_than.is_none_or(|size| subject.size < size)
            && subject.tags.is_none_or(|tags| self.tags.iter().all(|(key, value)| tags.get(key) == Some(value)))
    }

    pub(super) fn is_of_key(&self, key: &str) -> bool {
        let is_of_type = |types: &[&str]| Layout::of(key).is_some_and(|layout| types.contains(&layout.artifact_type));
        self.prefix.as_ref().is_none_or(|prefix| key.starts_with(prefix.as_str()))
            && self.pattern.as_ref().is_none_or(|pattern| pattern.begins(key))
            && (self.artifact_types.is_empty() || is_of_type(&self.artifact_types))
    }
}

#[cfg(test)]
mod tests;
