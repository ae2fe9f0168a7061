//! What a run of the lifecycle did, or would do: by bucket and rule, with a few keys of each. Bounded, however much went.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::names::{BucketName, ObjectKey};
use crate::base::timestamp::Timestamp;

/// Rules that are told of one by one. What more there are share a line.
const MAX_LINES: usize = 200;
/// Keys of one line that are named.
const EXAMPLES: usize = 3;
/// Faults that are told.
const MAX_FAULTS: usize = 20;
const OTHERS: &str = "(others)";

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    pub dry_run: bool,
    pub started: String,
    pub finished: String,
    /// False: it was stopped, and the next run goes on.
    pub complete: bool,
    /// Keys that were looked at to find what is due.
    pub looked_at: u64,
    pub rules: Vec<Line>,
    pub total: Count,
    pub held: Held,
    /// What could not be done, in words; the next run tries again.
    pub faults: Vec<String>,
    pub failed: u64,
    /// Rules that move objects to another class and are not, or not wholly, carried out: the store has no classes, the bucket keeps
    /// versions, or they move noncurrent ones.
    pub transitions_left_out: u64,
}

/// One rule of one bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub bucket: String,
    pub rule: String,
    pub count: Count,
    pub examples: Vec<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Count {
    /// Objects that are gone: their buckets keep no versions.
    pub objects: u64,
    /// Objects that are hidden by a delete marker.
    pub hidden: u64,
    /// Noncurrent versions that are gone, markers among them.
    pub versions: u64,
    /// Delete markers that nothing stood under.
    pub markers: u64,
    pub uploads: u64,
    /// Of what is gone for good.
    pub bytes: u64,
    /// Objects that lie in a colder storage class now.
    pub moved: u64,
    pub moved_bytes: u64,
}

/// What was due and stayed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Held {
    pub locked: u64,
    /// A copy is still on its way to a replica or to the upstream.
    pub on_its_way: u64,
    /// Old enough, and read not long ago.
    pub read: u64,
    /// To be moved to another class, and can't be: it is archived, or larger than a copy may be.
    pub unmovable: u64,
    /// It was replaced or deleted at that moment.
    pub changed: u64,
}

impl Held {
    pub fn all(&self) -> u64 {
        self.locked + self.on_its_way + self.read + self.unmovable + self.changed
    }
}

/// One thing that goes, or is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    Object { bytes: u64 },
    Hidden,
    Version { bytes: u64 },
    Marker,
    Upload,
    Moved { bytes: u64 },
}

impl Count {
    pub fn add(&mut self, gone: Gone) {
        match gone {
            Gone::Object { bytes } => (self.objects, self.bytes) = (self.objects + 1, self.bytes + bytes),
            Gone::Hidden => self.hidden += 1,
            Gone::Version { bytes } => (self.versions, self.bytes) = (self.versions + 1, self.bytes + bytes),
            Gone::Marker => self.markers += 1,
            Gone::Upload => self.uploads += 1,
            Gone::Moved { bytes } => (self.moved, self.moved_bytes) = (self.moved + 1, self.moved_bytes + bytes),
        }
    }

    pub fn all(&self) -> u64 {
        self.objects + self.hidden + self.versions + self.markers + self.uploads + self.moved
    }
}

/// A report in the making.
#[derive(Debug, Default)]
pub struct Tally {
    lines: BTreeMap<(String, String), Line>,
    pub report: Report,
}

impl Tally {
    pub fn begin(dry_run: bool, now: Timestamp) -> Self {
        Tally { report: Report { dry_run, started: now.iso8601(), ..Report::default() }, ..Tally::default() }
    }

    pub fn gone(&mut self, bucket: &BucketName, rule: &str, key: &ObjectKey, gone: Gone) {
        self.report.total.add(gone);
        let mut of = (bucket.to_string(), rule.to_owned());
        if self.lines.len() >= MAX_LINES && !self.lines.contains_key(&of) {
            of = (OTHERS.to_owned(), OTHERS.to_owned());
        }
        let line = self.lines.entry(of).or_insert_with_key(|(bucket, rule)| Line {
            bucket: bucket.clone(),
            rule: rule.clone(),
            ..Line::default()
        });
        line.count.add(gone);
        if line.examples.len() < EXAMPLES && line.examples.last().is_none_or(|last| last != key.as_str()) {
            line.examples.push(key.to_string());
        }
    }

    pub fn fault(&mut self, text: String) {
        self.report.failed += 1;
        if self.report.faults.len() < MAX_FAULTS && !self.report.faults.contains(&text) {
            self.report.faults.push(text);
        }
    }

    pub fn so_far(&self) -> Report {
        Report { rules: self.lines.values().cloned().collect(), ..self.report.clone() }
    }

    pub fn finish(self, complete: bool, now: Timestamp) -> Report {
        Report { complete, finished: now.iso8601(), ..self.so_far() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_bounded() {
        let mut tally = Tally::begin(true, Timestamp::from_secs(0));
        let bucket = BucketName::parse("media").unwrap();
        for rule in 0..MAX_LINES + 5 {
            for key in 0..EXAMPLES + 2 {
                let key = ObjectKey::parse(&format!("k{key}")).unwrap();
                tally.gone(&bucket, &rule.to_string(), &key, Gone::Object { bytes: 2 });
            }
            tally.fault(format!("fault {rule}"));
        }
        let report = tally.finish(true, Timestamp::from_secs(60));
        let all = (MAX_LINES + 5) as u64 * (EXAMPLES + 2) as u64;
        assert_eq!((report.total.objects, report.total.bytes), (all, 2 * all));
        assert_eq!((report.rules.len(), report.faults.len()), (MAX_LINES + 1, MAX_FAULTS));
        assert!(report.rules.iter().all(|line| line.examples.len() == EXAMPLES));
        assert_eq!(report.rules.iter().map(|line| line.count.objects).sum::<u64>(), all);
        let again: Report = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
        assert_eq!(again, report);
    }
}
