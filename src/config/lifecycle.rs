//! `[lifecycle]`, and the `[[lifecycle_rule]]` tables: rules of the operator's, beside those that buckets are set to, with what S3's rules
//! can't say: wildcards in the prefix, the artifact type of the key layout, and objects that nobody reads.

use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::reader::{Reader, tables};
use super::value::{Taken, Value};
use crate::base::layout::ARTIFACT_TYPES;
use crate::base::lifecycle::day::Day;
use crate::base::lifecycle::pattern::PrefixPattern;
use crate::base::lifecycle::ready::{ConfiguredRule, Lifecycles};
use crate::base::lifecycle::{Expiration, Filter, NoncurrentExpiration, Rule, When};
use crate::base::names::BucketName;

/// Each is held against every key that may be due.
const MAX_RULES: usize = 1000;
const KEYS: [&str; 11] = [
    "name",
    "bucket",
    "prefix",
    "artifact",
    "larger_than",
    "smaller_than",
    "expire_days",
    "unread_days",
    "noncurrent_days",
    "keep_noncurrent",
    "abort_uploads_days",
];

#[derive(Debug, Clone)]
pub struct Lifecycle {
    /// How long a day of a rule is. 0: a day.
    pub day_seconds: u64,
    pub every: Duration,
    pub configured: Vec<ConfiguredRule>,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Lifecycle { day_seconds: 0, every: Duration::from_secs(3600), configured: Vec::new() }
    }
}

impl Lifecycle {
    pub fn rules(&self) -> Arc<Lifecycles> {
        let day = if self.day_seconds == 0 { Day::Calendar } else { Day::Seconds(self.day_seconds) };
        Arc::new(Lifecycles::new(day, self.configured.clone()))
    }

    /// What is wrong with rules that the store can't keep.
    pub fn expected_of_store(&self, is_remote: bool) -> Option<String> {
        let rule = &self.configured.iter().find(|c| is_remote && c.rule.asks_for_reads())?.rule;
        let why = "over upstream.bucket it is not known what other nodes, and others who read that bucket, have read";
        Some(format!("expected none ({}): {why}", rule.id))
    }

    /// With short days, twice in one of them.
    pub fn every(&self) -> Duration {
        match self.day_seconds {
            0 => self.every,
            seconds => self.every.min(Duration::from_millis(seconds.saturating_mul(500))),
        }
    }
}

pub fn take(reader: &mut Reader<'_>, content: &Spanned<DeValue<'_>>) -> Vec<ConfiguredRule> {
    let mut taken: Vec<ConfiguredRule> = Vec::new();
    for (key, at, fields) in tables(reader, content, "lifecycle_rule", MAX_RULES) {
        let Some(rule) = take_one(reader, &key, at, fields) else { continue };
        if taken.iter().any(|other| other.rule.id == rule.rule.id) {
            reader.fault(at, &format!("{key}.name"), format!("{:?} is the name of another [[lifecycle_rule]]", rule.rule.id));
        }
        taken.push(rule);
    }
    taken
}

/// What a table says, before it is known whether it makes a rule.
#[derive(Default)]
struct Said {
    name: String,
    buckets: Vec<BucketName>,
    filter: Filter,
    expire: Option<u32>,
    unread: Option<u32>,
    noncurrent: Option<u32>,
    keep: Option<u32>,
    abort: Option<u32>,
}

/// None: a fault was told.
fn take_one(reader: &mut Reader<'_>, key: &str, at: usize, fields: &DeTable<'_>) -> Option<ConfiguredRule> {
    let (mut said, faults) = (Said::default(), reader.faults.len());
    reader.take_fields(key, fields, &KEYS, |name, value| said.take(name, value));
    let has_name = reader.has_all(key, at, fields, &["name"]);
    if said.keep.is_some() && said.noncurrent.is_none() {
        reader.fault(at, &format!("{key}.keep_noncurrent"), "expected noncurrent_days beside it".into());
    }
    if said.expire.is_some() && said.unread.is_some() {
        reader.fault(at, &format!("{key}.unread_days"), "expected no expire_days beside it: make it two rules".into());
    }
    if [said.expire, said.unread, said.noncurrent, said.abort].iter().all(Option::is_none) && reader.faults.len() == faults {
        reader.fault(at, key, "expected expire_days, unread_days, noncurrent_days or abort_uploads_days: the rule does nothing".into());
    }
    (has_name && reader.faults.len() == faults).then(|| said.rule())
}

impl Said {
    fn take(&mut self, name: &str, value: &Value<'_>) -> Taken<()> {
        const BUCKETS: &str = "a bucket's name, or a list of them";
        match name {
            "name" => {
                self.name = value.text()?;
                let fits = (1..=200).contains(&self.name.chars().count()) && !self.name.chars().any(char::is_control);
                fits.then_some(()).ok_or_else(|| "expected a text of 1 to 200 characters".to_owned())?;
            }
            "bucket" => self.buckets = value.list(BUCKETS)?,
            "prefix" => {
                let pattern = PrefixPattern::parse(&value.text()?);
                self.filter.pattern = Some(pattern.ok_or_else(|| "expected at most 16 wildcards".to_owned())?);
            }
            "artifact" => {
                let expected = format!("one of {}, or a list of them", ARTIFACT_TYPES.join(", "));
                for text in value.list::<String>(&expected)? {
                    let known = ARTIFACT_TYPES.into_iter().find(|known| *known == text);
                    self.filter.artifact_types.push(known.ok_or_else(|| format!("expected {expected}, found {text:?}"))?);
                }
            }
            "larger_than" => self.filter.larger_than = Some(value.size()?),
            "smaller_than" => self.filter.smaller_than = Some(value.size()?),
            "expire_days" => self.expire = Some(value.positive()?),
            "unread_days" => self.unread = Some(value.positive()?),
            "noncurrent_days" => self.noncurrent = Some(value.positive()?),
            "keep_noncurrent" => self.keep = Some(value.positive()?),
            _ => self.abort = Some(value.positive()?),
        }
        Ok(())
    }

    fn rule(self) -> ConfiguredRule {
        let rule = Rule {
            // Told apart from those of a bucket's own.
            id: format!("gateway.toml: {}", self.name),
            enabled: true,
            filter: self.filter,
            expiration: self.expire.map(|days| Expiration::When(When::Days(days))).or(self.unread.map(Expiration::Unread)),
            noncurrent: self.noncurrent.map(|days| NoncurrentExpiration { days, keep: self.keep }),
            abort_uploads: self.abort,
            transitions: Vec::new(),
            noncurrent_transitions: Vec::new(),
        };
        ConfiguredRule { buckets: (!self.buckets.is_empty()).then_some(self.buckets), rule }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;
    use crate::config::load::parse;

    fn config(text: &str) -> Result<Config, Vec<String>> {
        parse(Some((Path::new("g.toml"), text)), &[]).map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn rules_of_the_operator() {
        let text = "[lifecycle]\nday = 2\n[[lifecycle_rule]]\nname = \"logs\"\nbucket = [\"media\", \"other\"]\nprefix = \"sessions/*/logs/\"\n\
                    expire_days = 7\nabort_uploads_days = 1\n[[lifecycle_rule]]\nname = \"drafts\"\nartifact = [\"image\", \"video\"]\n\
                    larger_than = \"1MiB\"\nnoncurrent_days = 3\nkeep_noncurrent = 2\n";
        let lifecycle = config(text).unwrap().lifecycle;
        assert_eq!((lifecycle.every(), lifecycle.rules().day), (Duration::from_secs(1), Day::Seconds(2)));
        let [logs, drafts] = lifecycle.configured.as_slice() else { panic!("{lifecycle:?}") };
        assert_eq!((logs.buckets.as_ref().unwrap().len(), logs.rule.id.as_str()), (2, "gateway.toml: logs"));
        assert_eq!((logs.rule.expiration, logs.rule.abort_uploads), (Some(Expiration::When(When::Days(7))), Some(1)));
        assert!(logs.rule.filter.pattern.as_ref().unwrap().begins("sessions/9/logs/x"));
        assert_eq!((&drafts.buckets, &drafts.rule.filter.artifact_types), (&None, &vec!["image", "video"]));
        assert_eq!(drafts.rule.noncurrent, Some(NoncurrentExpiration { days: 3, keep: Some(2) }));
        let unread = config("[[lifecycle_rule]]\nname = \"cold\"\nunread_days = 90\n").unwrap().lifecycle.rules();
        assert_eq!(unread.unread_days(), Some(90));
        assert_eq!(config("").unwrap().lifecycle.rules().day, Day::Calendar);
    }

    #[test]
    fn over_an_s3_nobody_knows_who_read() {
        let found = config("[upstream]\nbucket = \"b\"\n[[lifecycle_rule]]\nname = \"cold\"\nunread_days = 90\n").unwrap_err();
        assert!(found.iter().any(|f| f.contains("lifecycle_rule.unread_days: expected none (gateway.toml: cold)")), "{found:?}");
    }

    #[test]
    fn all_faults_at_once() {
        let text = "[[lifecycle_rule]]\nname = \"a\"\nexpire_days = 0\nartifact = \"film\"\nbuckets = \"x\"\n[[lifecycle_rule]]\nprefix = \"x\"\n\
                    [[lifecycle_rule]]\nname = \"b\"\nkeep_noncurrent = 1\nexpire_days = 1\n[[lifecycle_rule]]\nname = \"c\"\nexpire_days = 1\n\
                    [[lifecycle_rule]]\nname = \"c\"\nexpire_days = 1\n[[lifecycle_rule]]\nname = \"d\"\nunread_days = 1\nexpire_days = 1\n";
        let found = config(text).unwrap_err();
        for fault in [
            "g.toml:3: lifecycle_rule[0].expire_days: expected a whole number, 1 or more, found 0",
            "g.toml:4: lifecycle_rule[0].artifact: expected one of image,",
            "g.toml:5: lifecycle_rule[0].buckets: there is no such key; did you mean bucket?",
            "g.toml:6: lifecycle_rule[1].name: is missing",
            "g.toml:8: lifecycle_rule[2].keep_noncurrent: expected noncurrent_days beside it",
            "g.toml:18: lifecycle_rule[5].unread_days: expected no expire_days beside it",
            "g.toml:15: lifecycle_rule[4].name: \"gateway.toml: c\" is the name of another",
        ] {
            assert!(found.iter().any(|f| f.starts_with(fault)), "{fault}\nnot in\n{}", found.join("\n"));
        }
    }
}
