//! What a question has found out so far: the values of condition keys, and what a search knows of their texts.
//!
//! A policy of 20 KB may look at one key in hundreds of conditions, and a value may be a header of 32 KiB: each is read once.
//! A key that only borrows a name costs less than remembering it, so what most policies ask for takes no memory.

use std::sync::OnceLock;

use smallvec::SmallVec;

use crate::auth::policy::key::{ConditionKey, Environment, Value};
use crate::auth::policy::text::Places;

/// More keys than a policy looks at, as a rule: they need no allocation.
const AT_HAND: usize = 4;

#[derive(Default)]
pub struct Known<'a> {
    values: SmallVec<[Held<'a>; AT_HAND]>,
}

pub struct Held<'a> {
    key: ConditionKey,
    /// None: the request has no such value.
    pub value: Option<Value<'a>>,
    readable: bool,
    pub places: OnceLock<Places>,
}

impl<'a> Known<'a> {
    /// None: the request's value can't be read.
    pub fn of(&mut self, key: &ConditionKey, env: &Environment<'a>) -> Option<&Held<'a>> {
        let at = match self.values.iter().position(|held| held.key == *key) {
            Some(at) => at,
            None => {
                let value = key.value(env);
                let readable = value.is_ok();
                self.values.push(Held { key: key.clone(), value: value.unwrap_or_default(), readable, places: OnceLock::new() });
                self.values.len() - 1
            }
        };
        self.values.get(at).filter(|held| held.readable)
    }
}
