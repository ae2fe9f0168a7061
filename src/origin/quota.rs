//! How much is stored, and how much may be: the limits of bytes and objects that a write must stay inside.
//!
//! Not here: rates and what passes through (`auth::limits`), how it is counted (each store, by itself).

use crate::base::error::Result;
use crate::base::limited::{Limited, Scope};

/// How much a tenant holds: what its limits are checked against.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub bytes: u64,
    pub objects: u64,
}

/// Limits that a write must stay inside; checked where the write is decided, so that racing writers can't pass together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quota {
    pub bytes: Option<u64>,
    pub objects: Option<u64>,
}

impl Quota {
    /// Of a write that was decided before, and acknowledged: it is refused by no limit any more.
    pub const DECIDED: Quota = Quota { bytes: Some(u64::MAX), objects: Some(u64::MAX) };

    pub fn is_some(&self) -> bool {
        self.bytes.is_some() || self.objects.is_some()
    }

    /// Refuses what takes a tenant's usage past the limits: `bytes` and `objects` are what would be added.
    pub fn check(&self, usage: Usage, bytes: i128, objects: i128) -> Result<()> {
        self.check_of(Scope::Tenant, usage, bytes, objects)
    }

    pub fn check_of(&self, scope: Scope, usage: Usage, bytes: i128, objects: i128) -> Result<()> {
        let over = |limit: Option<u64>, used: u64, more: i128| more > 0 && limit.is_some_and(|l| i128::from(used) + more > i128::from(l));
        if over(self.bytes, usage.bytes, bytes) {
            return Err(Limited::Bytes.exceeded(scope));
        }
        if over(self.objects, usage.objects, objects) {
            return Err(Limited::Objects.exceeded(scope));
        }
        Ok(())
    }
}
