//! How a bucket keeps its rules: JSON of a form of its own, apart from the domain's types.
//!
//! A field that is not known was written by a newer program and may narrow a rule: then none of the rules can be read, and nothing goes.
//! Rules of gateway.toml are never stored. Called by the S3 door, which sets them, and by `ready`.

use serde::{Deserialize, Serialize};

use super::{
    Configuration, Expiration, Filter, NoncurrentExpiration, NoncurrentTransition, Rule, StorageClass, Transition, TransitionMinimum, When,
};
use crate::base::error::{Error, Result};
use crate::base::fields::newer;
use crate::base::timestamp::Timestamp;

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    transition_minimum: String,
    rules: Vec<StoredRule>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredRule {
    id: String,
    enabled: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    old_form: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prefix: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    larger_than: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    smaller_than: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<StoredExpiration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    noncurrent: Option<StoredNoncurrent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    abort_uploads: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    transitions: Vec<StoredTransition>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    noncurrent_transitions: Vec<StoredNoncurrent>,
}

fn is_false(b: &bool) -> bool {
    !b
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredExpiration {
    Days(u32),
    /// Seconds since the epoch.
    Date(u64),
    SoleMarkers(bool),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredNoncurrent {
    days: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keep: Option<u32>,
    /// Of a transition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    class: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredTransition {
    when: StoredExpiration,
    class: String,
}

impl Configuration {
    pub fn encode(&self) -> Result<Vec<u8>> {
        let rules = self.rules.iter().map(StoredRule::of).collect::<Result<_>>()?;
        let document = Document { version: VERSION, transition_minimum: self.minimum.name().into(), rules };
        serde_json::to_vec(&document).map_err(Error::internal)
    }

    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let document: Document = serde_json::from_slice(bytes).map_err(|e| newer(&format!("the lifecycle document: {e}")))?;
        let minimum = TransitionMinimum::parse(&document.transition_minimum);
        if document.version != VERSION {
            return Err(newer("the version of the lifecycle document"));
        }
        Ok(Configuration {
            rules: document.rules.into_iter().map(StoredRule::rule).collect::<Result<_>>()?,
            minimum: minimum.ok_or_else(|| newer("the lifecycle document's smallest size"))?,
        })
    }
}

impl StoredRule {
    fn of(rule: &Rule) -> Result<Self> {
        let Rule { id, enabled, filter, expiration, noncurrent, abort_uploads, transitions, noncurrent_transitions } = rule;
        let Filter { old_form, prefix, tags, larger_than, smaller_than, pattern, artifact_types } = filter;
        if pattern.is_some() || !artifact_types.is_empty() || matches!(expiration, Some(Expiration::Unread(_))) {
            return Err(Error::internal("a rule of gateway.toml is not stored with a bucket"));
        }
        let class = |class: StorageClass| class.name().to_owned();
        Ok(StoredRule {
            id: id.clone(),
            enabled: *enabled,
            old_form: *old_form,
            prefix: prefix.clone(),
            tags: tags.clone(),
            larger_than: *larger_than,
            smaller_than: *smaller_than,
            expires: expiration.and_then(StoredExpiration::of),
            noncurrent: noncurrent.map(|n| StoredNoncurrent { days: n.days, keep: n.keep, class: None }),
            abort_uploads: *abort_uploads,
            transitions: transitions
                .iter()
                .map(|t| StoredTransition { when: StoredExpiration::when(t.when), class: class(t.class) })
                .collect(),
            noncurrent_transitions: noncurrent_transitions
                .iter()
                .map(|t| StoredNoncurrent { days: t.days, keep: t.keep, class: Some(class(t.class)) })
                .collect(),
        })
    }

    fn rule(self) -> Result<Rule> {
        let class = |name: &str| StorageClass::parse(name).ok_or_else(|| newer("a storage class of a lifecycle rule"));
        let transition = |t: StoredTransition| match t.when.expiration() {
            Expiration::When(when) => Ok(Transition { when, class: class(&t.class)? }),
            Expiration::SoleMarkers(_) | Expiration::Unread(_) => Err(newer("a transition of a lifecycle rule")),
        };
        let noncurrent = |t: StoredNoncurrent| {
            Ok(NoncurrentTransition { days: t.days, keep: t.keep, class: class(t.class.as_deref().unwrap_or_default())? })
        };
        Ok(Rule {
            id: self.id,
            enabled: self.enabled,
            filter: Filter {
                old_form: self.old_form,
                prefix: self.prefix,
                tags: self.tags,
                larger_than: self.larger_than,
                smaller_than: self.smaller_than,
                ..Filter::default()
            },
            expiration: self.expires.map(StoredExpiration::expiration),
            noncurrent: self.noncurrent.map(|n| NoncurrentExpiration { days: n.days, keep: n.keep }),
            abort_uploads: self.abort_uploads,
            transitions: self.transitions.into_iter().map(transition).collect::<Result<_>>()?,
            noncurrent_transitions: self.noncurrent_transitions.into_iter().map(noncurrent).collect::<Result<_>>()?,
        })
    }
}

impl StoredExpiration {
    /// None: it is of gateway.toml.
    fn of(expiration: Expiration) -> Option<Self> {
        match expiration {
            Expiration::When(when) => Some(Self::when(when)),
            Expiration::SoleMarkers(go) => Some(Self::SoleMarkers(go)),
            Expiration::Unread(_) => None,
        }
    }

    fn when(when: When) -> Self {
        match when {
            When::Days(days) => Self::Days(days),
            When::Date(date) => Self::Date(date.secs()),
        }
    }

    fn expiration(self) -> Expiration {
        match self {
            Self::Days(days) => Expiration::When(When::Days(days)),
            Self::Date(seconds) => Expiration::When(When::Date(Timestamp::from_secs(seconds))),
            Self::SoleMarkers(go) => Expiration::SoleMarkers(go),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::error::ErrorKind;
    use crate::base::lifecycle::testing::configurations;

    proptest! {
        #[test]
        fn reads_what_it_wrote(configuration in configurations()) {
            prop_assert_eq!(Configuration::decode(&configuration.encode().unwrap()).unwrap(), configuration);
        }
    }

    /// As written by the first program that had rules: it must be read for ever.
    #[test]
    fn the_form_stays() {
        const TEXT: &str = r#"{"version":1,"transition_minimum":"all_storage_classes_128K","rules":[{"id":"a","enabled":true,"old_form":true,"prefix":"tmp/","expires":{"days":3}},{"id":"b","enabled":false,"tags":[["k","v"]],"larger_than":5,"smaller_than":9,"expires":{"date":1767225600},"noncurrent":{"days":2,"keep":4},"transitions":[{"when":{"days":1},"class":"GLACIER"}],"noncurrent_transitions":[{"days":1,"class":"DEEP_ARCHIVE"}]},{"id":"c","enabled":true,"expires":{"sole_markers":true},"abort_uploads":7}]}"#;
        let configuration = Configuration::decode(TEXT.as_bytes()).unwrap();
        assert_eq!(configuration.rules.len(), 3);
        assert_eq!(String::from_utf8(configuration.encode().unwrap()).unwrap(), TEXT);
    }

    #[test]
    fn what_is_not_known_makes_no_rule_wider() {
        for text in [
            r#"{"version":2,"transition_minimum":"all_storage_classes_128K","rules":[]}"#,
            r#"{"version":1,"transition_minimum":"all_storage_classes_128K","rules":[{"id":"a","enabled":true,"only_on":"sunday","expires":{"days":1}}]}"#,
            r#"{"version":1,"transition_minimum":"all_storage_classes_128K","rules":[{"id":"a","enabled":true,"expires":{"hours":1}}]}"#,
            "<LifecycleConfiguration/>",
        ] {
            assert_eq!(Configuration::decode(text.as_bytes()).unwrap_err().kind(), ErrorKind::LocalUnavailable, "{text}");
        }
    }
}
