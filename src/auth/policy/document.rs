//! From a policy's text to its statements, with every fault and its place.
//!
//! Two dialects: a tenant's policy (no Principal: it speaks of who has it) and a bucket's (Principal needed, Resource must
//! be of that bucket).

use std::path::Path;

use crate::auth::action::{Action, ActionSet, Level};
use crate::auth::fault::Fault;
use crate::auth::policy::condition::Condition;
use crate::auth::policy::json::Json;
use crate::auth::policy::pattern::{Pattern, Wildcards};
use crate::auth::policy::principal::Principals;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::MAX_POLICY_BYTES;
use crate::base::names::BucketName;

/// A decision looks at each statement: more would slow every request down.
const MAX_STATEMENTS: usize = 256;
/// More than anyone needs: as many patterns with a `*` each, or a few with many. Old policies with more still count.
const MAX_WILDCARDS: usize = 1024;
/// Of what stands between two `*`, in all patterns together. Only this is searched for, byte by byte through a whole key:
/// so it alone decides what the largest policy costs.
const MAX_SEARCHED_BYTES: usize = 2048;
/// Faults named in one MalformedPolicy answer.
const MAX_FAULTS_SHOWN: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Allow,
    Deny,
}

#[derive(Debug, Clone)]
pub struct Statement {
    pub effect: Effect,
    /// None in a tenant's policy.
    pub principals: Option<Principals>,
    /// `NotPrincipal`.
    pub principals_negated: bool,
    pub actions: ActionSet,
    pub resources: Vec<Pattern>,
    /// `NotResource`.
    pub resources_negated: bool,
    pub conditions: Vec<Condition>,
    pub has_variables: bool,
}

/// A policy that tenants have.
#[derive(Debug, Clone)]
pub struct Policy {
    pub statements: Vec<Statement>,
}

/// A policy that a bucket has.
#[derive(Debug, Clone)]
pub struct BucketPolicy {
    pub statements: Vec<Statement>,
}

impl Policy {
    pub fn compile(file: &Path, text: &[u8]) -> Result<Self, Vec<Fault>> {
        Compiler { file, bucket: None, stored: false, faults: Vec::new() }.document(text).map(|statements| Policy { statements })
    }
}

impl BucketPolicy {
    /// One that is to be set.
    pub fn compile(bucket: &BucketName, text: &[u8]) -> Result<Self> {
        Self::read(bucket, text, false)
    }

    /// One that was set, perhaps before there were limits on patterns: it means what it meant.
    pub fn open(bucket: &BucketName, text: &[u8]) -> Result<Self> {
        Self::read(bucket, text, true)
    }

    fn read(bucket: &BucketName, text: &[u8], stored: bool) -> Result<Self> {
        if text.len() > MAX_POLICY_BYTES {
            return Err(malformed(format!("The policy is larger than {MAX_POLICY_BYTES} bytes.")));
        }
        let compiler = Compiler { file: Path::new(""), bucket: Some(bucket), stored, faults: Vec::new() };
        match compiler.document(text) {
            Ok(statements) => Ok(BucketPolicy { statements }),
            Err(faults) => {
                let shown: Vec<String> = faults.iter().take(MAX_FAULTS_SHOWN).map(Fault::to_string).collect();
                Err(malformed(shown.join("; ")))
            }
        }
    }

    /// Does what it says depend on more than who asks for what?
    pub fn varies(&self) -> bool {
        self.statements.iter().flat_map(|s| &s.conditions).any(|c| c.varies(false))
    }

    /// As AWS defines it: does it allow something to anyone, wherever they are?
    pub fn is_public(&self) -> bool {
        self.statements.iter().any(|s| {
            let everyone = s.principals_negated || s.principals.as_ref().is_some_and(Principals::are_everyone);
            s.effect == Effect::Allow && everyone && !s.conditions.iter().any(Condition::narrows_callers)
        })
    }
}

fn malformed(message: String) -> Error {
    Error::new(ErrorKind::MalformedPolicy, message)
}

struct Compiler<'a> {
    file: &'a Path,
    /// Some: the dialect of buckets.
    bucket: Option<&'a BucketName>,
    /// It was accepted once.
    stored: bool,
    faults: Vec<Fault>,
}

impl Compiler<'_> {
    fn fault(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.faults.push(Fault::new(self.file, path, message));
    }

    fn document(mut self, text: &[u8]) -> Result<Vec<Statement>, Vec<Fault>> {
        let entries = match Json::parse(text) {
            Ok(Json::Object(entries)) => entries,
            Ok(_) => return Err(vec![Fault::new(self.file, "", "Policies must be valid JSON and the first byte must be '{'")]),
            Err(e) => return Err(vec![Fault::new(self.file, "", format!("This policy contains invalid Json: {e}"))]),
        };
        let mut version = None;
        let mut statements = Vec::new();
        let mut given = false;
        for (name, value) in &entries {
            match name.as_str() {
                "Version" => version = self.version(value),
                "Id" if value.as_text().is_some() => {}
                "Id" => self.fault("Id", "a string is needed here"),
                "Statement" => {
                    given = true;
                    statements = self.statements(value);
                }
                _ => self.fault(name, "not an element of a policy; known are Version, Id and Statement"),
            }
        }
        if !given {
            self.fault("", "Missing required field Statement");
        }
        if version != Some("2012-10-17") && statements.iter().any(|s| s.has_variables) {
            // The older language takes `${tenant}` for these very characters.
            self.fault("Version", "variables need \"Version\": \"2012-10-17\"");
        }
        if !self.stored {
            self.check_cost(&statements);
        }
        if self.faults.is_empty() { Ok(statements) } else { Err(self.faults) }
    }

    /// What all patterns together may cost a decision.
    fn check_cost(&mut self, statements: &[Statement]) {
        let patterns = || statements.iter().flat_map(|s| s.resources.iter().chain(s.conditions.iter().flat_map(Condition::patterns)));
        let wildcards: usize = patterns().map(Pattern::wildcards).sum();
        if wildcards > MAX_WILDCARDS {
            self.fault("", format!("its patterns have {wildcards} wildcards, and at most {MAX_WILDCARDS} are allowed"));
        }
        let searched: usize = patterns().map(Pattern::searched_bytes).sum();
        if searched > MAX_SEARCHED_BYTES {
            let message = format!("its patterns have {searched} bytes between two `*`, and at most {MAX_SEARCHED_BYTES} are allowed");
            self.fault("", message);
        }
    }

    fn version(&mut self, value: &Json) -> Option<&'static str> {
        let known = ["2012-10-17", "2008-10-17"].into_iter().find(|v| value.as_text() == Some(v));
        if known.is_none() {
            self.fault("Version", "must be \"2012-10-17\" (or the older \"2008-10-17\")");
        }
        known
    }

    fn statements(&mut self, value: &Json) -> Vec<Statement> {
        let items = value.items();
        if items.is_empty() || items.len() > MAX_STATEMENTS {
            self.fault("Statement", format!("1 to {MAX_STATEMENTS} statements are needed"));
            return Vec::new();
        }
        items.iter().enumerate().filter_map(|(i, s)| self.statement(&format!("Statement[{i}]"), s)).collect()
    }

    fn statement(&mut self, at: &str, value: &Json) -> Option<Statement> {
        let Json::Object(entries) = value else {
            self.fault(at, format!("a statement must be an object, not {}", value.kind()));
            return None;
        };
        const KNOWN: &[&str] =
            &["Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"];
        for (name, value) in entries {
            if !KNOWN.contains(&name.as_str()) {
                self.fault(format!("{at}.{name}"), "not an element of a statement");
            } else if name == "Sid" && value.as_text().is_none() {
                self.fault(format!("{at}.Sid"), "a string is needed here");
            }
        }
        let get = |name: &str| entries.iter().find(|(n, _)| n == name).map(|(_, v)| v);
        let effect = match get("Effect").and_then(Json::as_text) {
            Some("Allow") => Effect::Allow,
            Some("Deny") => Effect::Deny,
            _ => {
                self.fault(format!("{at}.Effect"), "must be \"Allow\" or \"Deny\"");
                Effect::Deny
            }
        };
        let (principals, principals_negated) = self.principals(at, get("Principal"), get("NotPrincipal"));
        if principals_negated && effect == Effect::Allow {
            self.fault(
                format!("{at}.NotPrincipal"),
                "with Effect Allow it would open the bucket to everybody else: name the Principal instead",
            );
        }
        let actions = self.actions(at, get("Action"), get("NotAction"));
        let (resources, resources_negated) = self.resources(at, get("Resource"), get("NotResource"));
        let conditions = get("Condition").map(|c| self.conditions(&format!("{at}.Condition"), c)).unwrap_or_default();
        let has_variables = resources.iter().any(Pattern::has_variables) || conditions.iter().any(Condition::has_variables);
        let statement =
            Statement { effect, principals, principals_negated, actions, resources, resources_negated, conditions, has_variables };
        self.check_reach(at, &statement, get("Action").is_some());
        self.check_conditions(at, &statement);
        Some(statement)
    }

    /// Exactly one of the plain element and its `Not…` form.
    fn either<'j>(&mut self, at: &str, name: &str, plain: Option<&'j Json>, not: Option<&'j Json>) -> Option<(&'j Json, bool, String)> {
        match (plain, not) {
            (Some(v), None) => Some((v, false, format!("{at}.{name}"))),
            (None, Some(v)) => Some((v, true, format!("{at}.Not{name}"))),
            (None, None) => {
                self.fault(at, format!("Missing required field {name}"));
                None
            }
            (Some(_), Some(_)) => {
                self.fault(at, format!("{name} and Not{name} exclude each other"));
                None
            }
        }
    }

    fn principals(&mut self, at: &str, plain: Option<&Json>, not: Option<&Json>) -> (Option<Principals>, bool) {
        if self.bucket.is_none() {
            if plain.or(not).is_some() {
                self.fault(at, "a tenant's policy has no Principal: it speaks of the tenants that have it");
            }
            return (None, false);
        }
        let Some((value, negated, path)) = self.either(at, "Principal", plain, not) else { return (None, false) };
        let principals = Principals::compile(value, |place, message| {
            let path = if place.is_empty() { path.clone() } else { format!("{path}.{place}") };
            self.faults.push(Fault::new(self.file, path, message));
        });
        (Some(principals), negated)
    }

    fn actions(&mut self, at: &str, plain: Option<&Json>, not: Option<&Json>) -> ActionSet {
        let Some((value, negated, path)) = self.either(at, "Action", plain, not) else { return ActionSet::EMPTY };
        let mut set = ActionSet::EMPTY;
        for (i, item) in self.list(&path, value).iter().enumerate() {
            match item.as_text().map(|s| (s, ActionSet::matching(s))) {
                Some((_, Some(actions))) => set = set.union(actions),
                Some((s, None)) => self.fault(format!("{path}[{i}]"), format!("Policy has invalid action: {s:?} names none of S3's")),
                None => self.fault(format!("{path}[{i}]"), format!("a string is needed here, not {}", item.kind())),
            }
        }
        if negated { set.complement() } else { set }
    }

    fn resources(&mut self, at: &str, plain: Option<&Json>, not: Option<&Json>) -> (Vec<Pattern>, bool) {
        let Some((value, negated, path)) = self.either(at, "Resource", plain, not) else { return (Vec::new(), false) };
        let mut patterns = Vec::new();
        for (i, item) in self.list(&path, value).iter().enumerate() {
            let compiled = match item.as_text() {
                Some(s) => resource(s, self.bucket),
                None => Err(format!("a string is needed here, not {}", item.kind())),
            };
            match compiled {
                Ok(p) => patterns.push(p),
                Err(message) => self.fault(format!("{path}[{i}]"), message),
            }
        }
        (patterns, negated)
    }

    fn list<'j>(&mut self, path: &str, value: &'j Json) -> &'j [Json] {
        if value.items().is_empty() {
            self.fault(path, "the list is empty");
        }
        value.items()
    }

    fn conditions(&mut self, at: &str, value: &Json) -> Vec<Condition> {
        let Json::Object(operators) = value else {
            self.fault(at, format!("an object is needed here, not {}", value.kind()));
            return Vec::new();
        };
        let mut conditions = Vec::new();
        for (operator, keys) in operators {
            let Json::Object(keys) = keys else {
                self.fault(format!("{at}.{operator}"), format!("an object is needed here, not {}", keys.kind()));
                continue;
            };
            for (key, values) in keys {
                match Condition::compile(operator, key, values) {
                    Ok(c) => conditions.push(c),
                    Err(message) => self.fault(format!("{at}.{operator}.{key}"), message),
                }
            }
        }
        conditions
    }

    /// Nor one with a condition that none of its actions knows: it would never hold. Old policies with such still count.
    fn check_conditions(&mut self, at: &str, statement: &Statement) {
        let is_new = self.bucket.is_some() && !self.stored && !statement.actions.is_empty();
        if is_new && statement.conditions.iter().any(|c| !c.applies_to_any(statement.actions)) {
            self.fault(format!("{at}.Condition"), "Conditions do not apply to combination of actions and resources in statement");
        }
    }

    /// AWS refuses a bucket policy whose action can't happen on any of its resources: it would do nothing, in silence.
    fn check_reach(&mut self, at: &str, statement: &Statement, plain_actions: bool) {
        if self.bucket.is_none() || !plain_actions || statement.resources_negated || statement.resources.is_empty() {
            return;
        }
        let any_of = |level| Action::ALL.iter().any(|a| a.level() == level && statement.actions.contains(*a));
        let objects = statement.resources.iter().any(|p| !p.is_literal() || p.literal_head().contains(&b'/'));
        let buckets = statement.resources.iter().any(|p| !p.literal_head().contains(&b'/'));
        let applies = (any_of(Level::Object) && objects) || (any_of(Level::Bucket) && buckets);
        if !applies && !statement.actions.is_empty() {
            self.fault(at, "Action does not apply to any resource(s) in statement");
        }
    }
}

/// `*` or `arn:aws:s3:::…`; the pattern is what comes after, held against `bucket` or `bucket/key`.
fn resource(text: &str, bucket: Option<&BucketName>) -> Result<Pattern, String> {
    let invalid = || format!("Policy has invalid resource: {text:?} is not of the form arn:aws:s3:::bucket/key");
    let pattern = match text {
        "*" => Pattern::anything(),
        _ => {
            let mut fields = text.splitn(6, ':');
            let mut next = || fields.next().ok_or_else(invalid);
            let (arn, partition, service, region, account, name) = (next()?, next()?, next()?, next()?, next()?, next()?);
            let partition_known = matches!(partition, "aws" | "aws-cn" | "aws-us-gov" | "*");
            if arn != "arn" || !partition_known || service != "s3" || !region.is_empty() || !account.is_empty() || name.is_empty() {
                return Err(invalid());
            }
            Pattern::compile(name, Wildcards::Yes)?
        }
    };
    let Some(bucket) = bucket else { return Ok(pattern) };
    // The bucket's policy speaks of that bucket only: what can never match there is a mistake.
    let head = pattern.literal_head();
    let name = bucket.as_str().as_bytes();
    let own = match head.get(name.len()) {
        Some(next) => head.starts_with(name) && *next == b'/',
        None => name.starts_with(head) && (head.len() == name.len() || !pattern.is_literal()),
    };
    if own { Ok(pattern) } else { Err(format!("Policy has invalid resource: {text:?} is not in this bucket")) }
}
