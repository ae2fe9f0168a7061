//! Tenants and keys that were made while serving, as they are stored: the caller keeps them in the store's settings, so that every node
//! and every restart has them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::auth::limits::Limits;
use crate::base::names::{AccessKeyId, TenantId};
use crate::base::timestamp::Timestamp;

/// A key made by `tidegate key`, as it is stored. `tenant` may be `operator`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredKey {
    pub access_key: AccessKeyId,
    pub secret: String,
    pub tenant: TenantId,
    pub enabled: bool,
    pub created: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

impl std::fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredKey")
            .field("access_key", &self.access_key)
            .field("tenant", &self.tenant)
            .field("enabled", &self.enabled)
            .finish_non_exhaustive()
    }
}

/// A tenant made by `tidegate tenant`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredTenant {
    pub tenant: TenantId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display: Option<String>,
    /// By name: files of each node.
    #[serde(default)]
    pub policies: Vec<String>,
    #[serde(default)]
    pub limits: Limits,
    /// Disabled, it is as if it were not there.
    pub enabled: bool,
    pub created: Timestamp,
}

/// Everything that was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Made {
    pub keys: BTreeMap<AccessKeyId, StoredKey>,
    pub tenants: BTreeMap<TenantId, StoredTenant>,
}

impl Made {
    pub fn new(keys: Vec<StoredKey>, tenants: Vec<StoredTenant>) -> Self {
        Made {
            keys: keys.into_iter().map(|k| (k.access_key.clone(), k)).collect(),
            tenants: tenants.into_iter().map(|t| (t.tenant.clone(), t)).collect(),
        }
    }
}
