//! What S3's documents say of each case, and what must hold of any rules.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::base::lifecycle::pattern::PrefixPattern;
use crate::base::lifecycle::testing::{configurations, rules};
use crate::base::lifecycle::{Configuration, NoncurrentExpiration};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

static NONE: LazyLock<Tags> = LazyLock::new(Tags::default);

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_secs(1_000 * DAY + seconds)
}

fn rule(id: &str) -> Rule {
    Rule {
        id: id.into(),
        enabled: true,
        filter: Filter::default(),
        expiration: None,
        noncurrent: None,
        abort_uploads: None,
        transitions: Vec::new(),
        noncurrent_transitions: Vec::new(),
    }
}

fn expires(id: &str, days: u32) -> Rule {
    Rule { expiration: Some(Expiration::When(When::Days(days))), ..rule(id) }
}

fn subject(standing: Standing) -> Subject<'static> {
    Subject { key: "a/b", size: 10, tags: Some(&NONE), read: None, standing }
}

const CURRENT: Standing = Standing::Current { modified: Timestamp::from_secs(1_000 * DAY + HOUR) };
const SOLE: Standing = Standing::SoleMarker { modified: Timestamp::from_secs(1_000 * DAY + HOUR) };

fn due_at(rules: &[Rule], subject: &Subject<'_>) -> Option<(Timestamp, String)> {
    first_due(rules.iter(), subject, Day::Calendar).map(|due| (due.at, due.rule.id.clone()))
}

#[test]
fn the_shortest_rule_counts() {
    let rules = [expires("long", 30), expires("short", 2), Rule { enabled: false, ..expires("off", 1) }, expires("same", 2)];
    assert_eq!(due_at(&rules, &subject(CURRENT)), Some((at(3 * DAY), "short".into())));
    let passed = Rule { expiration: Some(Expiration::When(When::Date(at(0)))), ..rule("date") };
    assert_eq!(due_at(&[passed], &subject(CURRENT)).unwrap().0, at(0), "a date that has passed is for what comes after it, too");
}

#[test]
fn markers() {
    let days = [expires("days", 1)];
    assert_eq!(due_at(&days, &subject(Standing::CoveringMarker)), None, "versions stand under it");
    assert_eq!(due_at(&days, &subject(SOLE)).unwrap().0, at(2 * DAY), "days remove it too");
    let sole = |go| [Rule { expiration: Some(Expiration::SoleMarkers(go)), ..rule("sole") }];
    assert_eq!(due_at(&sole(true), &subject(SOLE)).unwrap().0, at(HOUR));
    assert_eq!(due_at(&sole(false), &subject(SOLE)), None);
    assert_eq!(due_at(&sole(true), &subject(CURRENT)), None);
    let noncurrent = [Rule { noncurrent: Some(NoncurrentExpiration { days: 1, keep: None }), ..rule("old") }];
    assert_eq!(due_at(&noncurrent, &subject(SOLE)), None, "it is current");
    assert_eq!(due_at(&noncurrent, &subject(CURRENT)), None);
}

#[test]
fn noncurrent_versions_count_from_their_successor() {
    let noncurrent = |keep| [Rule { noncurrent: Some(NoncurrentExpiration { days: 1, keep }), ..rule("old") }];
    let older = |newer| subject(Standing::Noncurrent { since: at(HOUR), newer });
    assert_eq!(due_at(&noncurrent(None), &older(0)).unwrap().0, at(2 * DAY));
    assert_eq!(due_at(&noncurrent(Some(2)), &older(1)), None);
    assert_eq!(due_at(&noncurrent(Some(2)), &older(2)).unwrap().0, at(2 * DAY));
    assert_eq!(due_at(&[expires("days", 1)], &older(9)), None, "it is for what is current");
}

#[test]
fn uploads() {
    let abort = [Rule { abort_uploads: Some(3), ..rule("uploads") }, expires("days", 1)];
    assert_eq!(due_at(&abort, &subject(Standing::Upload { initiated: at(HOUR) })), Some((at(4 * DAY), "uploads".into())));
}

#[test]
fn filters() {
    let with = |filter: Filter| [Rule { filter, ..expires("r", 1) }];
    let concerned = |filter: Filter, of: &Subject<'_>| due_at(&with(filter), of).is_some();
    let plain = subject(CURRENT);
    let tags = Tags::parse("k=v&l=w").unwrap();
    let tagged = Subject { tags: Some(&tags), ..plain };
    let unseen = Subject { tags: None, ..plain };
    let tag = |k: &str, v: &str| Filter { tags: vec![(k.into(), v.into())], ..Filter::default() };
    assert!(concerned(tag("k", "v"), &tagged) && !concerned(tag("k", "w"), &tagged) && !concerned(tag("k", "v"), &plain));
    assert!(concerned(tag("k", "w"), &unseen), "rather looked at once too often");
    let sizes = |larger_than, smaller_than| Filter { larger_than, smaller_than, ..Filter::default() };
    assert!(concerned(sizes(Some(9), Some(11)), &plain));
    assert!(!concerned(sizes(Some(10), None), &plain) && !concerned(sizes(None, Some(10)), &plain));
    let prefix = |p: &str| Filter { prefix: Some(p.into()), ..Filter::default() };
    assert!(concerned(prefix("a/"), &plain) && !concerned(prefix("b"), &plain));
    let pattern = |p: &str| Filter { pattern: PrefixPattern::parse(p), ..Filter::default() };
    assert!(concerned(pattern("*/b"), &plain) && !concerned(pattern("*/c"), &plain));
    let video = Filter { artifact_types: vec!["video"], ..Filter::default() };
    assert!(concerned(video.clone(), &Subject { key: "acme/r/video/x.mp4", ..plain }) && !concerned(video, &plain));
}

fn standings() -> impl Strategy<Value = Standing> {
    let time = (0u64..50 * DAY).prop_map(at);
    prop_oneof![
        time.clone().prop_map(|modified| Standing::Current { modified }),
        (time.clone(), 0u32..120).prop_map(|(since, newer)| Standing::Noncurrent { since, newer }),
        time.clone().prop_map(|modified| Standing::SoleMarker { modified }),
        Just(Standing::CoveringMarker),
        time.prop_map(|initiated| Standing::Upload { initiated }),
    ]
}

proptest! {
    /// One more rule never keeps anything longer, and who does not know the tags never finds a later time.
    #[test]
    fn more_rules_and_less_knowledge_are_never_later(
        Configuration { rules: all, .. } in configurations(),
        more in rules(),
        standing in standings(),
        key in "[a-z/]{0,9}",
        size in 0u64..1100,
    ) {
        let subject = Subject { key: &key, size, tags: Some(&NONE), read: None, standing };
        let time = |rules: &[Rule], subject: &Subject<'_>| first_due(rules.iter(), subject, Day::Calendar).map(|due| due.at);
        let before = time(&all, &subject);
        let with_more: Vec<Rule> = all.iter().cloned().chain([more]).collect();
        let earlier = |a: Option<Timestamp>, b: Option<Timestamp>| b.is_none_or(|b| a.is_some_and(|a| a <= b));
        prop_assert!(earlier(time(&with_more, &subject), before));
        let unseen = Subject { tags: None, ..subject };
        prop_assert!(earlier(time(&all, &unseen), before));
    }

    /// A version is never due before so many whole days of its rule have passed.
    #[test]
    fn nothing_goes_early(one in rules(), standing in standings(), key in "[a-z/]{0,9}") {
        let subject = Subject { key: &key, size: 50, tags: None, read: None, standing };
        let Some(due) = first_due([&one].into_iter(), &subject, Day::Calendar) else { return Ok(()) };
        let (from, days) = match (standing, one.expiration) {
            (Standing::Current { modified } | Standing::SoleMarker { modified }, Some(Expiration::When(When::Days(days)))) => (modified, days),
            (Standing::Noncurrent { since, .. }, _) => (since, one.noncurrent.unwrap().days),
            (Standing::Upload { initiated }, _) => (initiated, one.abort_uploads.unwrap()),
            _ => return Ok(()),
        };
        let passed = due.at.since(from).as_secs();
        prop_assert!(passed >= u64::from(days) * DAY && passed < u64::from(days + 1) * DAY);
        prop_assert!(crate::base::lifecycle::day::is_midnight(due.at));
    }
}
