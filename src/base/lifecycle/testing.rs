//! Configurations at random, for properties: what S3's XML can say.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use super::{
    Configuration, Expiration, Filter, NoncurrentExpiration, NoncurrentTransition, Rule, StorageClass, Transition, TransitionMinimum, When,
};
use crate::base::timestamp::Timestamp;

/// Those that pass `check`.
pub fn configurations() -> impl Strategy<Value = Configuration> {
    let minimum = prop_oneof![Just(TransitionMinimum::AllClasses128K), Just(TransitionMinimum::VariesByClass)];
    (vec(rules(), 1..5), minimum).prop_map(|(rules, minimum)| {
        let named = |(n, rule): (usize, Rule)| Rule { id: format!("{n} {}", rule.id), ..rule };
        Configuration { rules: rules.into_iter().enumerate().map(named).collect(), minimum }
    })
}

pub fn rules() -> impl Strategy<Value = Rule> {
    let expiration = prop_oneof![
        (2u32..500).prop_map(|d| Expiration::When(When::Days(d))),
        (0u64..40_000).prop_map(|d| Expiration::When(When::Date(Timestamp::from_secs(d * 86_400)))),
        any::<bool>().prop_map(Expiration::SoleMarkers),
    ];
    let noncurrent = (31u32..500, of(1u32..=100)).prop_map(|(days, keep)| NoncurrentExpiration { days, keep });
    let moves = (any::<bool>(), of(1u32..=100));
    ("[a-z<&\" ]{0,12}", any::<bool>(), filters(), of(expiration), of(noncurrent), of(1u32..99), moves)
        .prop_map(|(id, enabled, filter, expiration, noncurrent, abort, (moved, keep))| {
            let mut rule = Rule {
                id,
                enabled,
                filter,
                expiration,
                noncurrent,
                abort_uploads: abort,
                transitions: Vec::new(),
                noncurrent_transitions: Vec::new(),
            };
            if moved {
                let when = match rule.expiration {
                    Some(Expiration::When(When::Date(date))) => When::Date(Timestamp::from_secs(date.secs().saturating_sub(86_400))),
                    _ => When::Days(1),
                };
                rule.transitions.push(Transition { when, class: StorageClass::Glacier });
                rule.noncurrent_transitions.push(NoncurrentTransition { days: 30, keep, class: StorageClass::StandardIa });
            }
            rule
        })
        .prop_map(|mut rule| {
            if rule.filter.old_form {
                rule.noncurrent = rule.noncurrent.map(|n| NoncurrentExpiration { keep: None, ..n });
            }
            if !rule.filter.tags.is_empty() && matches!(rule.expiration, Some(Expiration::SoleMarkers(_))) {
                rule.expiration = None;
            }
            if !rule.filter.tags.is_empty() || rule.filter.larger_than.is_some() || rule.filter.smaller_than.is_some() {
                rule.abort_uploads = None;
            }
            rule
        })
        .prop_filter("it does something", |rule| rule.check().is_ok())
}

fn filters() -> impl Strategy<Value = Filter> {
    let old = "[a-z/ &]{0,8}".prop_map(|prefix| Filter { old_form: true, prefix: Some(prefix), ..Filter::default() });
    let tags = vec("[a-c ]{0,3}", 0..3);
    let new = (of("[a-z/ &]{0,8}"), tags, of(0u64..100), of(101u64..1000)).prop_map(|(prefix, tags, larger_than, smaller_than)| {
        let tags = tags.into_iter().enumerate().map(|(n, value)| (format!("key <{n}>"), value)).collect();
        Filter { prefix, tags, larger_than, smaller_than, ..Filter::default() }
    });
    prop_oneof![old, new]
}
