//! What `known_keys` and `known_versions` share: how a key is found, what is said of it, and what that takes of memory.

use quick_cache::Equivalent;

use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::SharedObject;

/// What may be said of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    Fresh(Option<SharedObject>),
    /// It may be shown, and is to be asked for meanwhile.
    Stale(SharedObject),
    /// It may be shown, and there is no use in asking: that was tried a moment ago.
    Quiet(SharedObject),
    /// It may be shown if the origin can't be asked.
    Old(SharedObject),
    Nothing,
}

pub type Key = (BucketName, ObjectKey);

#[derive(Hash)]
pub struct Lookup<'a>(pub &'a str, pub &'a str);

impl Equivalent<Key> for Lookup<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.0 == key.0.as_str() && self.1 == key.1.as_str()
    }
}

pub fn weight(key: &Key, found: Option<&SharedObject>) -> u64 {
    let names = key.0.as_str().len() + key.1.as_str().len();
    let found = found.map_or(0, |o| {
        let user: usize = o.headers.user.iter().map(|(k, v)| k.len() + v.len() + 64).sum();
        256 + user + o.headers.content_type.len() + o.parts.len() * 64
    });
    (256 + names + found) as u64
}
