//! Which storage class a version is to lie in by now. Pure.
//!
//! Of several transitions that are due the coldest counts, as on S3; and nothing is moved to where S3 moves nothing from its class: only ever
//! to a colder one. Called by the job, over stores that have classes.

use super::day::Day;
use super::evaluate::{Subject, after};
use super::{Rule, StorageClass, TransitionMinimum};
use crate::base::lifecycle::evaluate::Standing;
use crate::base::timestamp::Timestamp;

/// From which size on S3 moves objects where no rule names one.
const MINIMUM: u64 = 128 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move<'r> {
    pub rule: &'r Rule,
    pub class: StorageClass,
}

/// Where an object lies, as its store says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lies {
    Standard,
    In(StorageClass),
    /// Nothing is moved from there.
    Elsewhere,
}

impl Lies {
    /// None: the store says nothing of it.
    pub fn of(class: Option<&str>) -> Self {
        match class {
            None | Some("STANDARD") => Lies::Standard,
            Some(name) => StorageClass::parse(name).map_or(Lies::Elsewhere, Lies::In),
        }
    }
}

impl StorageClass {
    /// Whether S3 moves what lies there to this class.
    pub fn follows(self, lies: Lies) -> bool {
        use StorageClass::{DeepArchive, Glacier, GlacierIr, IntelligentTiering, OnezoneIa, StandardIa};
        match lies {
            Lies::Standard => true,
            Lies::In(StandardIa) => self != StandardIa,
            Lies::In(IntelligentTiering) => matches!(self, OnezoneIa | GlacierIr | Glacier | DeepArchive),
            Lies::In(OnezoneIa | GlacierIr) => matches!(self, Glacier | DeepArchive),
            Lies::In(Glacier) => self == DeepArchive,
            Lies::In(DeepArchive) | Lies::Elsewhere => false,
        }
    }

    /// What was archived is read only once it was restored.
    pub fn is_archive(self) -> bool {
        matches!(self, StorageClass::Glacier | StorageClass::DeepArchive)
    }

    const fn cold(self) -> u8 {
        match self {
            Self::StandardIa => 1,
            Self::IntelligentTiering => 2,
            Self::OnezoneIa => 3,
            Self::GlacierIr => 4,
            Self::Glacier => 5,
            Self::DeepArchive => 6,
        }
    }

    fn takes_size(self, size: u64, rule: &Rule, minimum: TransitionMinimum) -> bool {
        let is_named = rule.filter.larger_than.is_some() || rule.filter.smaller_than.is_some();
        let any = minimum == TransitionMinimum::VariesByClass && self.is_archive();
        is_named || any || size >= MINIMUM
    }
}

/// Of the object that its key shows. None: it lies where it should.
pub fn due_move<'r>(
    rules: impl Iterator<Item = &'r Rule>,
    minimum: TransitionMinimum,
    subject: &Subject<'_>,
    lies: Lies,
    day: Day,
    now: Timestamp,
) -> Option<Move<'r>> {
    let Standing::Current { modified } = subject.standing else { return None };
    let concerned = rules.filter(|rule| rule.enabled && rule.filter.concerns(subject));
    let moves = concerned.flat_map(|rule| rule.transitions.iter().map(move |transition| (rule, transition)));
    let due = moves.filter(|(rule, t)| {
        after(t.when, modified, day) <= now && t.class.follows(lies) && t.class.takes_size(subject.size, rule, minimum)
    });
    due.map(|(rule, t)| Move { rule, class: t.class }).max_by_key(|due| due.class.cold())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::lifecycle::{Filter, Transition, When};
    use crate::base::tags::Tags;

    fn rule(transitions: &[(u32, StorageClass)]) -> Rule {
        Rule {
            id: "r".into(),
            enabled: true,
            filter: Filter::default(),
            expiration: None,
            noncurrent: None,
            abort_uploads: None,
            transitions: transitions.iter().map(|(days, class)| Transition { when: When::Days(*days), class: *class }).collect(),
            noncurrent_transitions: Vec::new(),
        }
    }

    fn class(rules: &[Rule], size: u64, lies: Lies, days: u64, minimum: TransitionMinimum) -> Option<StorageClass> {
        let (tags, standing) = (Tags::default(), Standing::Current { modified: Timestamp::from_secs(0) });
        let subject = Subject { key: "k", size, tags: Some(&tags), read: None, standing };
        due_move(rules.iter(), minimum, &subject, lies, Day::Seconds(1), Timestamp::from_secs(days)).map(|due| due.class)
    }

    #[test]
    fn the_coldest_that_is_due() {
        use StorageClass::{DeepArchive, Glacier, StandardIa};
        let rules = [rule(&[(30, StandardIa), (90, Glacier)]), rule(&[(91, DeepArchive)])];
        let at = |days, lies| class(&rules, MINIMUM, lies, days, TransitionMinimum::default());
        assert_eq!(
            [29, 30, 89, 90, 91].map(|days| at(days, Lies::Standard)),
            [None, Some(StandardIa), Some(StandardIa), Some(Glacier), Some(DeepArchive)]
        );
        assert_eq!((at(50, Lies::In(StandardIa)), at(90, Lies::In(StandardIa))), (None, Some(Glacier)));
        assert_eq!((at(90, Lies::In(Glacier)), at(91, Lies::In(Glacier)), at(99, Lies::In(DeepArchive))), (None, Some(DeepArchive), None));
        assert_eq!(at(99, Lies::of(Some("OUTPOSTS"))), None);
        assert_eq!(Lies::of(Some("STANDARD_IA")), Lies::In(StandardIa));
        let off = [Rule { enabled: false, ..rules[0].clone() }];
        assert_eq!(class(&off, MINIMUM, Lies::Standard, 99, TransitionMinimum::default()), None);
    }

    #[test]
    fn what_is_small_stays_unless_a_rule_names_a_size() {
        let rules = [rule(&[(1, StorageClass::GlacierIr)]), rule(&[(1, StorageClass::Glacier)])];
        let of = |size, minimum| class(&rules, size, Lies::Standard, 9, minimum);
        assert_eq!(of(MINIMUM - 1, TransitionMinimum::AllClasses128K), None);
        assert_eq!(of(MINIMUM, TransitionMinimum::AllClasses128K), Some(StorageClass::Glacier));
        assert_eq!(of(1, TransitionMinimum::VariesByClass), Some(StorageClass::Glacier));
        assert_eq!(class(&rules[..1], 1, Lies::Standard, 9, TransitionMinimum::VariesByClass), None);
        let sized = [Rule { filter: Filter { larger_than: Some(5), ..Filter::default() }, ..rules[0].clone() }];
        assert_eq!(class(&sized, 6, Lies::Standard, 9, TransitionMinimum::AllClasses128K), Some(StorageClass::GlacierIr));
        assert_eq!(class(&sized, 5, Lies::Standard, 9, TransitionMinimum::AllClasses128K), None);
    }
}
