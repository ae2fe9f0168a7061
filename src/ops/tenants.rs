//! Tenants without a file: made, changed and removed by the operator while serving. They live where made keys do, in the origin's
//! settings, and once stored in `auth`; other nodes take them up within seconds.

use crate::auth::grant::OperatorGrant;
use crate::auth::limit_values::NAMES;
use crate::auth::limits::Limits;
use crate::auth::made_tenants::KnownTenant;
use crate::auth::{Auth, StoredTenant};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::TenantId;
use crate::base::timestamp::Timestamp;
use crate::ops::Ops;

/// Where they are kept: one JSON document for each, by id.
const TENANTS: &str = "tenants";
/// As many as there may be files of tenants; all of them are held in memory.
const MAX_MADE_TENANTS: usize = 10_000;

/// What is to be different. None: nothing.
#[derive(Debug, Default)]
pub struct TenantChange {
    /// Empty: it is called by its id.
    pub display: Option<String>,
    pub policies: Option<Vec<String>>,
    /// By name; None: no limit any more.
    pub limits: Vec<(String, Option<u64>)>,
    pub enabled: Option<bool>,
}

impl TenantChange {
    fn apply(self, tenant: &mut StoredTenant) -> Result<()> {
        if let Some(display) = self.display {
            tenant.display = Some(display).filter(|name| !name.is_empty());
        }
        if let Some(policies) = self.policies {
            tenant.policies = policies;
        }
        for (name, value) in self.limits {
            let wrong = |expected| {
                Error::new(ErrorKind::InvalidArgument, format!("{name}: {expected} is needed; limits are {}.", NAMES.join(", ")))
            };
            tenant.limits.set(&name, value).map_err(wrong)?;
        }
        tenant.enabled = self.enabled.unwrap_or(tenant.enabled);
        Ok(())
    }
}

impl Ops {
    pub fn tenants(&self, _: &OperatorGrant, auth: &Auth) -> Vec<KnownTenant> {
        auth.known_tenants()
    }

    pub async fn make_tenant(&self, _: &OperatorGrant, auth: &Auth, id: TenantId, wanted: TenantChange) -> Result<StoredTenant> {
        let _alone = self.settings.lock().await;
        if auth.made_tenants() >= MAX_MADE_TENANTS {
            return Err(Error::new(ErrorKind::InvalidArgument, "There are too many tenants: remove some first."));
        }
        let there = self.stored_tenants().await?;
        if there.iter().any(|tenant| tenant.tenant == id) {
            return Err(Error::new(ErrorKind::InvalidArgument, format!("There is a tenant {id} already: change that one.")));
        }
        let mut tenant = StoredTenant {
            tenant: id,
            display: None,
            policies: Vec::new(),
            limits: Limits::default(),
            enabled: true,
            created: Timestamp::now(),
        };
        wanted.apply(&mut tenant)?;
        self.keep_tenant(auth, tenant).await
    }

    pub async fn change_tenant(&self, _: &OperatorGrant, auth: &Auth, id: &TenantId, change: TenantChange) -> Result<StoredTenant> {
        let _alone = self.settings.lock().await;
        // As it is stored: another node may have changed it.
        let found = self.stored_tenants().await?.into_iter().find(|tenant| tenant.tenant == *id);
        let mut tenant = found.ok_or_else(no_such_tenant)?;
        change.apply(&mut tenant)?;
        self.keep_tenant(auth, tenant).await
    }

    /// Its keys open nothing from then on. What it stored stays, for the operator.
    pub async fn remove_tenant(&self, _: &OperatorGrant, auth: &Auth, id: &TenantId) -> Result<()> {
        let _alone = self.settings.lock().await;
        if !self.stored_tenants().await?.iter().any(|tenant| tenant.tenant == *id) {
            return Err(no_such_tenant());
        }
        // Shut it first: a tenant that is refused but still stored does less harm than the other way round.
        auth.remove_tenant(id);
        self.origin.settings.set_setting(TENANTS, id.as_str(), None).await
    }

    pub(super) async fn stored_tenants(&self) -> Result<Vec<StoredTenant>> {
        let stored = self.origin.settings.settings(TENANTS).await?;
        let read = stored.iter().map(|(_, document)| serde_json::from_slice(document));
        read.collect::<Result<_, _>>().map_err(Error::internal)
    }

    async fn keep_tenant(&self, auth: &Auth, tenant: StoredTenant) -> Result<StoredTenant> {
        auth.check_tenant(&tenant)?;
        let document = serde_json::to_vec(&tenant).map_err(Error::internal)?;
        self.origin.settings.set_setting(TENANTS, tenant.tenant.as_str(), Some(document)).await?;
        auth.add_tenant(tenant.clone())?;
        Ok(tenant)
    }
}

fn no_such_tenant() -> Error {
    Error::new(ErrorKind::NotFound, "No tenant of that id was made here. Those in policies/tenants/*.toml are changed in their file.")
}
