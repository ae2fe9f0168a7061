//! Inside what equal content is kept once: a tenant's own content, as far as it lies under one key.
//!
//! Blobs and parts lie in a folder of their scope, rows of content by hash are found under it, and so are notes of what is being
//! brought in place. Nothing is shared across scopes. Content that is not encrypted lies under no key: then a scope is written as its
//! tenant's id alone.

use std::fmt;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::TenantId;

/// Which key the bytes are encrypted with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyId {
    #[default]
    None,
    Number(NonZeroU64),
}

/// No tenant's id has this in it, and no number of a key has more digits.
const MARK: char = '+';
const DIGITS: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scope {
    pub tenant: TenantId,
    pub key: KeyId,
}

impl Scope {
    pub fn new(tenant: &TenantId, key: KeyId) -> Self {
        Scope { tenant: tenant.clone(), key }
    }

    pub fn parse(text: &str) -> Result<Self> {
        let Some((tenant, digits)) = text.split_once(MARK) else {
            return Ok(Scope { tenant: TenantId::parse(text)?, key: KeyId::None });
        };
        let is_number = digits.len() == DIGITS && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let number = u64::from_str_radix(digits, 16).ok().filter(|_| is_number).and_then(NonZeroU64::new);
        let number = number.ok_or_else(|| Error::new(ErrorKind::InvalidArgument, "A scope's key is no number."))?;
        Ok(Scope { tenant: TenantId::parse(tenant)?, key: KeyId::Number(number) })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key {
            KeyId::None => write!(f, "{}", self.tenant),
            KeyId::Number(number) => write!(f, "{}{MARK}{number:0DIGITS$x}", self.tenant),
        }
    }
}

impl TryFrom<String> for Scope {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        Scope::parse(&text)
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> String {
        scope.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_written_in_one_way() {
        let tenant = TenantId::parse("acme-1_x").unwrap();
        assert_eq!(Scope::new(&tenant, KeyId::None).to_string(), "acme-1_x");
        let keyed = Scope::new(&tenant, KeyId::Number(NonZeroU64::new(0x2a).unwrap()));
        assert_eq!(keyed.to_string(), "acme-1_x+000000000000002a");
        for scope in [Scope::new(&tenant, KeyId::None), keyed] {
            assert_eq!(Scope::parse(&scope.to_string()).unwrap(), scope);
        }
        for text in [
            "",
            "+",
            "acme+",
            "acme+2a",
            "acme+000000000000002A",
            "acme+0000000000000000",
            "acme+00000000000000000",
            "a+b+000000000000002a",
        ] {
            assert!(Scope::parse(text).is_err(), "{text}");
        }
    }
}
