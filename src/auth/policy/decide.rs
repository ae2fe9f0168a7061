//! Holding a request against statements. Explicit Deny > Allow > nothing.
//!
//! Limit: a decision takes time in the policy's length, whatever the request is, and less than 100 µs for the largest policy that
//! may be set and the longest key. `bench/policy.rs` shows it.

use std::sync::OnceLock;

use crate::auth::action::Action;
use crate::auth::policy::condition::Condition;
use crate::auth::policy::document::{Effect, Statement};
use crate::auth::policy::key::{Environment, TagsOf};
use crate::auth::policy::known::Known;
use crate::auth::policy::principal::Principals;
use crate::auth::policy::text::{Places, Text};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Deny,
    Allow,
    /// No statement speaks of it.
    Silent,
}

pub struct Question<'a> {
    pub action: Action,
    /// `bucket` or `bucket/key`; empty for the service.
    pub resource: Text<'a>,
    pub env: &'a Environment<'a>,
}

impl<'a> Question<'a> {
    pub fn ask(&self, statements: &[Statement]) -> Verdict {
        let mut verdict = Verdict::Silent;
        let (places, mut known) = (OnceLock::new(), Known::default());
        for statement in statements {
            // Cheapest first; and an Allow adds nothing to an Allow.
            let adds = statement.effect == Effect::Deny || verdict == Verdict::Silent;
            if !adds || !statement.actions.contains(self.action) || !self.applies(statement, &places, &mut known) {
                continue;
            }
            match statement.effect {
                Effect::Deny => return Verdict::Deny,
                Effect::Allow => verdict = Verdict::Allow,
            }
        }
        verdict
    }

    /// Whether it may depend on tags that are not known. For who was refused: they are looked up for nobody else.
    pub fn lacks_tags(&self, statements: &[Statement], of: TagsOf) -> bool {
        let places = OnceLock::new();
        let looks = |s: &Statement| s.conditions.iter().any(|c| c.tags() == Some(of) && c.is_of(self.action));
        !self.env.knows_tags(of) && statements.iter().any(|s| s.actions.contains(self.action) && looks(s) && self.is_spoken_of(s, &places))
    }

    fn applies(&self, statement: &Statement, places: &OnceLock<Places>, known: &mut Known<'a>) -> bool {
        self.is_spoken_of(statement, places) && statement.conditions.iter().all(|c| self.holds(statement.effect, c, known))
    }

    /// Whether the statement is about this caller and resource.
    fn is_spoken_of(&self, statement: &Statement, places: &OnceLock<Places>) -> bool {
        let tenant = self.env.subject.tenant;
        if let Some(principals) = &statement.principals
            && !self.is_named(statement, principals)
        {
            return false;
        }
        // A variable without a value matches nothing, and "not nothing" must not become "everything" in an Allow.
        if tenant.is_none() && statement.has_variables && statement.effect == Effect::Allow {
            return false;
        }
        if self.env.any_key {
            return self.may_apply_to_a_key(statement);
        }
        let resource = self.resource.remembering(places);
        statement.resources.iter().any(|p| p.matches(resource, tenant)) != statement.resources_negated
    }

    /// A service is allowed only what names it: what is for everyone is for callers. It is denied what everyone is.
    fn is_named(&self, statement: &Statement, principals: &Principals) -> bool {
        let (subject, negated) = (&self.env.subject, statement.principals_negated);
        match (subject.log_source, statement.effect) {
            (None, _) => principals.include(subject.tenant) != negated,
            (Some(_), Effect::Allow) => principals.name_log_delivery() && !negated,
            (Some(_), Effect::Deny) => (principals.name_log_delivery() || principals.are_everyone()) != negated,
        }
    }

    /// An Allow, to one key at least; a Deny, to all.
    fn may_apply_to_a_key(&self, statement: &Statement) -> bool {
        match statement.effect {
            Effect::Allow => true,
            Effect::Deny => !statement.resources_negated && statement.resources.iter().any(|p| p.matches_all_below(self.resource)),
        }
    }

    /// What can't be told counts against the request.
    fn holds(&self, effect: Effect, condition: &Condition, known: &mut Known<'a>) -> bool {
        if !condition.is_of(self.action) {
            return condition.holds_of_nothing();
        }
        if self.env.for_anyone && condition.varies(self.env.listing.is_some()) {
            return effect == Effect::Deny;
        }
        if self.env.any_key && condition.is_of_the_key() {
            return effect == Effect::Allow;
        }
        condition.holds(self.env, known).unwrap_or(effect == Effect::Deny)
    }
}
