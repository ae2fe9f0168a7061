//! Conditions of statements: IAM's operators, compiled once, evaluated without allocating for plain strings.
//!
//! All conditions of a statement must hold; of several values of one key any is enough (for negated operators: none may
//! match). A key that the request lacks makes a plain operator fail and a negated or `…IfExists` one hold. Where the request may have
//! several values, a quantifier says of how many of them the operator must hold.
//! Limit: what would take long to hold against a value longer than anyone needs is not held against it, and counts against the request.

use std::sync::OnceLock;

use crate::auth::action::{Action, ActionSet};
use crate::auth::policy::json::Json;
use crate::auth::policy::key::{ConditionKey, Environment, KeyKind, TagsOf, Value};
use crate::auth::policy::known::Known;
use crate::auth::policy::pattern::{Pattern, Wildcards};
use crate::auth::policy::text::{Places, Text};
use crate::base::names::TenantId;
use crate::base::network::Network;
use crate::base::tags::Tags;
use crate::base::timestamp::Timestamp;

/// A header may have 32 KiB, and what browsers and SDKs send stays far below this. Patterns whose text stands at one end are held
/// against values of any length.
const MAX_SEARCHED_TEXT: usize = 2048;
/// Longer than any number that means something: parsing takes time in its length.
const MAX_NUMBER_BYTES: usize = 64;

#[derive(Debug, Clone)]
pub struct Condition {
    key: ConditionKey,
    test: Test,
    negated: bool,
    absent: bool,
    /// Of several values of the request all must pass, not any one.
    all: bool,
}

#[derive(Debug, Clone)]
enum Test {
    Like(Vec<Pattern>),
    EqualsIgnoringCase(Vec<Pattern>),
    Number(Order, Vec<f64>),
    Date(Order, Vec<Timestamp>),
    Bool(Vec<bool>),
    Ip(Vec<Network>),
    /// The key must be absent (true) or present (false).
    Null(bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    fn holds<T: PartialOrd>(self, a: T, b: T) -> bool {
        match self {
            Order::Equal => a == b,
            Order::Less => a < b,
            Order::LessOrEqual => a <= b,
            Order::Greater => a > b,
            Order::GreaterOrEqual => a >= b,
        }
    }
}

/// An operator without its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equals,
    EqualsIgnoringCase,
    Like,
    Number(Order),
    Date(Order),
    Bool,
    Ip,
    Null,
}

const OPERATORS: &[(&str, Operator, bool)] = &[
    ("StringEquals", Operator::Equals, false),
    ("StringNotEquals", Operator::Equals, true),
    ("StringEqualsIgnoreCase", Operator::EqualsIgnoringCase, false),
    ("StringNotEqualsIgnoreCase", Operator::EqualsIgnoringCase, true),
    ("StringLike", Operator::Like, false),
    ("StringNotLike", Operator::Like, true),
    ("ArnEquals", Operator::Like, false),
    ("ArnNotEquals", Operator::Like, true),
    ("ArnLike", Operator::Like, false),
    ("ArnNotLike", Operator::Like, true),
    ("NumericEquals", Operator::Number(Order::Equal), false),
    ("NumericNotEquals", Operator::Number(Order::Equal), true),
    ("NumericLessThan", Operator::Number(Order::Less), false),
    ("NumericLessThanEquals", Operator::Number(Order::LessOrEqual), false),
    ("NumericGreaterThan", Operator::Number(Order::Greater), false),
    ("NumericGreaterThanEquals", Operator::Number(Order::GreaterOrEqual), false),
    ("DateEquals", Operator::Date(Order::Equal), false),
    ("DateNotEquals", Operator::Date(Order::Equal), true),
    ("DateLessThan", Operator::Date(Order::Less), false),
    ("DateLessThanEquals", Operator::Date(Order::LessOrEqual), false),
    ("DateGreaterThan", Operator::Date(Order::Greater), false),
    ("DateGreaterThanEquals", Operator::Date(Order::GreaterOrEqual), false),
    ("Bool", Operator::Bool, false),
    ("IpAddress", Operator::Ip, false),
    ("NotIpAddress", Operator::Ip, true),
    ("Null", Operator::Null, false),
];

impl Condition {
    /// `Condition[operator][key] = values`. Err: what is wrong, for the fault at that place.
    pub fn compile(operator: &str, key: &str, values: &Json) -> Result<Self, String> {
        let unknown = || format!("the operator {operator:?} is not known");
        let key_name = key;
        let key = ConditionKey::parse(key)
            .ok_or_else(|| format!("the condition key {key_name:?} is not known here, so the policy would not mean what it says"))?;
        let (quantifier, name) = match operator.split_once(':') {
            Some(("ForAllValues", rest)) => (Some(true), rest),
            Some(("ForAnyValue", rest)) => (Some(false), rest),
            Some(_) => return Err(unknown()),
            None => (None, operator),
        };
        let (name, if_exists) = match name.strip_suffix("IfExists") {
            Some(rest) => (rest, true),
            None => (name, false),
        };
        let (_, op, negated) = *OPERATORS.iter().find(|(n, ..)| *n == name).ok_or_else(unknown)?;
        if op == Operator::Null && (if_exists || quantifier.is_some()) {
            return Err(unknown());
        }
        let values = values.items();
        if values.is_empty() {
            return Err("the list of values is empty".into());
        }
        check_kind(op, key.kind(), key_name)?;
        if key.is_many() && quantifier.is_none() && op != Operator::Null {
            return Err(format!(
                "the key {key_name:?} may have several values: ForAllValues: or ForAnyValue: must stand before the operator"
            ));
        }
        // Of a key with at most one value the quantifiers differ only where there is none.
        let absent = match quantifier {
            Some(all) => all || if_exists,
            None => negated || if_exists,
        };
        Ok(Condition { test: compile_values(op, &key, values)?, key, negated, absent, all: quantifier == Some(true) })
    }

    /// None: the request's value can't be read, or that would take too long to tell.
    pub fn holds<'a>(&self, env: &Environment<'a>, known: &mut Known<'a>) -> Option<bool> {
        let held = known.of(&self.key, env)?;
        match (&held.value, &self.test) {
            (None, _) => Some(self.holds_of_nothing()),
            (Some(_), Test::Null(must_be_absent)) => Some(!must_be_absent),
            (Some(Value::Keys(tags)), test) => self.holds_of_keys(tags, test, env.subject.tenant),
            (Some(value), test) => test.matches(value, &held.places, env.subject.tenant).map(|matches| matches != self.negated),
        }
    }

    /// Of a request that has no such value.
    pub fn holds_of_nothing(&self) -> bool {
        match self.test {
            Test::Null(must_be_absent) => must_be_absent,
            _ => self.absent,
        }
    }

    /// There is one at least.
    fn holds_of_keys(&self, tags: &Tags, test: &Test, tenant: Option<&TenantId>) -> Option<bool> {
        for (key, _) in tags.iter() {
            let passes = test.matches(&Value::Text(key.into()), &OnceLock::new(), tenant)? != self.negated;
            if passes != self.all {
                return Some(passes);
            }
        }
        Some(self.all)
    }

    /// Whether a request for the action can have what it looks at.
    pub fn is_of(&self, action: Action) -> bool {
        self.key.is_of(action)
    }

    /// Whose tags it looks at.
    pub fn tags(&self) -> Option<TagsOf> {
        self.key.tags()
    }

    pub fn patterns(&self) -> &[Pattern] {
        self.test.patterns()
    }

    pub fn has_variables(&self) -> bool {
        self.patterns().iter().any(Pattern::has_variables)
    }

    /// Of which actions it can say something.
    pub fn applies_to_any(&self, actions: ActionSet) -> bool {
        Action::ALL.iter().any(|a| actions.contains(*a) && self.key.applies_to(*a))
    }

    pub fn is_of_the_key(&self) -> bool {
        matches!(self.key, ConditionKey::ObjectKey | ConditionKey::ExistingTag(_))
    }

    /// See `ConditionKey::varies`.
    pub fn varies(&self, listing: bool) -> bool {
        self.key.varies(listing)
    }

    /// Does it hold only for callers that it names? Then a statement for everyone is not public.
    pub fn narrows_callers(&self) -> bool {
        if self.negated || self.absent || !self.key.names_the_caller() {
            return false;
        }
        match &self.test {
            // Wider than these is the Internet, by AWS's own measure.
            Test::Ip(nets) => nets.iter().all(|n| n.bits() >= if n.address().is_ipv4() { 8 } else { 32 }),
            Test::Like(patterns) | Test::EqualsIgnoringCase(patterns) => patterns.iter().all(Pattern::is_literal),
            // A CDN that proved to be the site's.
            Test::Bool(wanted) => !wanted.contains(&false),
            _ => false,
        }
    }
}

impl Test {
    /// None: that would take too long to tell.
    fn matches(&self, value: &Value<'_>, places: &OnceLock<Places>, tenant: Option<&TenantId>) -> Option<bool> {
        Some(match self {
            Test::Like(patterns) => return like(patterns, Text::from(&*value.text()).remembering(places), tenant),
            Test::EqualsIgnoringCase(patterns) => {
                let text = value.text();
                patterns.iter().any(|p| p.matches_ignoring_case(&text, tenant))
            }
            Test::Number(order, limits) => {
                let number = match value {
                    Value::Number(n) => Some(*n as f64),
                    other => {
                        let text = other.text();
                        if text.len() > MAX_NUMBER_BYTES {
                            return None;
                        }
                        text.parse::<f64>().ok()
                    }
                };
                number.is_some_and(|n| limits.iter().any(|l| order.holds(n, *l)))
            }
            Test::Date(order, limits) => match value {
                Value::Time(t) => limits.iter().any(|l| order.holds(*t, *l)),
                Value::Number(secs) => limits.iter().any(|l| order.holds(*secs, l.secs() as i64)),
                _ => false,
            },
            Test::Bool(wanted) => match value {
                Value::Bool(b) => wanted.contains(b),
                other => parse_bool(&other.text()).is_some_and(|b| wanted.contains(&b)),
            },
            Test::Ip(nets) => match value {
                Value::Ip(ip) => nets.iter().any(|n| n.contains(*ip)),
                _ => false,
            },
            // Decided by `holds`, which knows whether there is a value.
            Test::Null(_) => false,
        })
    }

    fn patterns(&self) -> &[Pattern] {
        match self {
            Test::Like(patterns) | Test::EqualsIgnoringCase(patterns) => patterns,
            _ => &[],
        }
    }
}

fn like(patterns: &[Pattern], text: Text<'_>, tenant: Option<&TenantId>) -> Option<bool> {
    let long = text.len() > MAX_SEARCHED_TEXT;
    let mut told = true;
    for pattern in patterns {
        if long && pattern.searched_bytes() > 0 {
            told = false;
        } else if pattern.matches(text, tenant) {
            return Some(true);
        }
    }
    told.then_some(false)
}

fn check_kind(operator: Operator, kind: KeyKind, key: &str) -> Result<(), String> {
    let fits = match operator {
        Operator::Equals | Operator::EqualsIgnoringCase | Operator::Like | Operator::Null => true,
        Operator::Number(_) => matches!(kind, KeyKind::Number | KeyKind::Text),
        Operator::Date(_) => matches!(kind, KeyKind::Time) || key.eq_ignore_ascii_case("aws:EpochTime"),
        Operator::Bool => matches!(kind, KeyKind::Bool | KeyKind::Text),
        Operator::Ip => kind == KeyKind::Ip,
    };
    if fits { Ok(()) } else { Err(format!("the operator does not fit the key {key:?}")) }
}

fn compile_values(operator: Operator, key: &ConditionKey, values: &[Json]) -> Result<Test, String> {
    let patterns =
        |wildcards| values.iter().map(|v| Pattern::compile(&key.in_one_form(&scalar(v)?), wildcards)).collect::<Result<Vec<_>, _>>();
    Ok(match operator {
        Operator::Equals => Test::Like(patterns(Wildcards::No)?),
        Operator::Like => Test::Like(patterns(Wildcards::Yes)?),
        Operator::EqualsIgnoringCase => Test::EqualsIgnoringCase(patterns(Wildcards::No)?),
        Operator::Number(order) => Test::Number(order, parse_all(values, "a number", |s| s.parse::<f64>().ok().filter(|n| n.is_finite()))?),
        Operator::Date(order) => Test::Date(order, parse_all(values, "a date such as 2026-01-31T00:00:00Z", parse_date)?),
        Operator::Bool => Test::Bool(parse_all(values, "true or false", parse_bool)?),
        Operator::Ip => Test::Ip(parse_all(values, "an address or a network such as 192.0.2.0/24", |s| s.parse().ok())?),
        Operator::Null => match parse_all(values, "true or false", parse_bool)?[..] {
            [absent] => Test::Null(absent),
            _ => return Err("Null takes one value".into()),
        },
    })
}

fn parse_all<T>(values: &[Json], expected: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, String> {
    values
        .iter()
        .map(|v| {
            let text = scalar(v)?;
            parse(&text).ok_or_else(|| format!("{text:?} is not {expected}"))
        })
        .collect()
}

/// IAM takes `true` for `"true"` and 10 for `"10"`.
fn scalar(value: &Json) -> Result<String, String> {
    match value {
        Json::Text(s) => Ok(s.clone()),
        Json::Bool(b) => Ok(b.to_string()),
        Json::Number(n) => Ok(n.to_string()),
        other => Err(format!("a string is needed here, not {}", other.kind())),
    }
}

fn parse_bool(s: &str) -> Option<bool> {
    match s {
        _ if s.eq_ignore_ascii_case("true") => Some(true),
        _ if s.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

fn parse_date(s: &str) -> Option<Timestamp> {
    Timestamp::parse_iso8601(s)
        .or_else(|| Timestamp::parse_iso8601(&format!("{s}T00:00:00Z")))
        .or_else(|| s.parse().ok().map(Timestamp::from_secs))
}
