//! The proof that a request may be done. `ops` functions demand one, and only `auth` can make it, so a forgotten check
//! does not compile.

use std::sync::Arc;

use crate::auth::action::Action;
use crate::auth::identity::Identity;
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::origin::Quota;

#[derive(Debug, Clone)]
pub struct Grant {
    action: Action,
    tenant: TenantId,
    display: Arc<str>,
    bucket: Option<BucketName>,
    key: Option<ObjectKey>,
    quota: Quota,
}

impl Grant {
    pub(super) fn new(
        action: Action,
        identity: &Identity,
        display: Arc<str>,
        bucket: Option<&BucketName>,
        key: Option<&ObjectKey>,
    ) -> Self {
        let quota = match identity {
            Identity::Tenant(t) => t.limits.quota(),
            Identity::Operator | Identity::Anonymous => Quota::default(),
        };
        Grant { action, tenant: identity.id().clone(), display, bucket: bucket.cloned(), key: key.cloned(), quota }
    }

    /// For tests and benches of what lies above.
    #[cfg(any(test, feature = "test-util"))]
    pub fn for_test(action: Action, tenant: &TenantId, bucket: Option<&BucketName>, key: Option<&ObjectKey>) -> Self {
        Grant {
            action,
            tenant: tenant.clone(),
            display: tenant.as_str().into(),
            bucket: bucket.cloned(),
            key: key.cloned(),
            quota: Quota::default(),
        }
    }

    pub fn action(&self) -> Action {
        self.action
    }

    /// Who acts, and whose what it makes will be.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    pub fn display(&self) -> &str {
        &self.display
    }

    pub fn bucket(&self) -> Option<&BucketName> {
        self.bucket.as_ref()
    }

    pub fn key(&self) -> Option<&ObjectKey> {
        self.key.as_ref()
    }

    /// What the tenant's own writes must stay inside. Where another one pays: `Auth::quota_of`.
    pub fn quota(&self) -> Quota {
        self.quota
    }
}

/// The proof that the operator itself asks.
#[derive(Debug)]
pub struct OperatorGrant(());

impl OperatorGrant {
    pub(super) fn new() -> Self {
        OperatorGrant(())
    }

    #[cfg(any(test, feature = "test-util"))]
    pub fn for_test() -> Self {
        OperatorGrant(())
    }
}
