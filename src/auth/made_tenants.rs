//! Tenants that are made, changed and removed while serving. What a file names stays the file's: it can't be made, and where both name a
//! tenant the file counts.

use std::sync::Arc;

use crate::auth::made::StoredTenant;
use crate::auth::policy::Policy;
use crate::auth::{Auth, tenants::TenantFile};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::TenantId;
use crate::base::timestamp::Timestamp;

/// As many as a tenant's file may name.
const MAX_POLICIES: usize = 10;
const MAX_DISPLAY_BYTES: usize = 256;

/// A tenant, for the operator.
pub struct KnownTenant {
    pub tenant: StoredTenant,
    /// Where it stands: it is changed there. None: made.
    pub file: Option<String>,
    /// Why it is as if it were not there, although it is enabled.
    pub fault: Option<String>,
}

impl Auth {
    /// Those of files, and those that were made, in the order of their ids.
    pub fn known_tenants(&self) -> Vec<KnownTenant> {
        let sources = self.sources();
        let (source, made) = (&sources.source, &sources.made);
        let name_of =
            |policy: &Arc<Policy>| source.folder.policies.iter().find(|(_, p)| Arc::ptr_eq(p, policy)).map(|(name, _)| name.clone());
        let of_file = |file: &TenantFile| KnownTenant {
            tenant: StoredTenant {
                tenant: file.id.clone(),
                display: file.display.clone(),
                policies: file.policies.iter().filter_map(name_of).collect(),
                limits: file.limits.clone(),
                enabled: true,
                created: Timestamp::from_secs(0),
            },
            file: Some(file.file.strip_prefix(&source.dir).unwrap_or(&file.file).display().to_string()),
            fault: None,
        };
        let mut all: Vec<KnownTenant> = source.folder.tenants.iter().map(of_file).collect();
        all.extend(made.tenants.values().map(|tenant| KnownTenant {
            tenant: tenant.clone(),
            file: None,
            fault: match source.folder.tenants.iter().any(|file| file.id == tenant.tenant) {
                true => Some("a file names it too, and counts".into()),
                false => source.missing_policy(tenant).map(|name| format!("there is no usable policy {name:?}")),
            },
        }));
        all.sort_by(|a, b| a.tenant.tenant.cmp(&b.tenant.tenant));
        all
    }

    pub fn made_tenants(&self) -> usize {
        self.sources().made.tenants.len()
    }

    /// What `add_tenant` would refuse, before the tenant is stored.
    pub fn check_tenant(&self, tenant: &StoredTenant) -> Result<()> {
        let id = &tenant.tenant;
        let sources = self.sources();
        if id.is_operator() || *id == TenantId::anonymous() {
            return Err(invalid(format!("{id} is a reserved name.")));
        }
        if let Some(file) = sources.source.folder.tenants.iter().find(|file| file.id == *id) {
            return Err(invalid(format!("{id} is in {}: it is changed there.", file.file.display())));
        }
        if let Some(name) = sources.source.missing_policy(tenant) {
            return Err(invalid(format!("There is no usable policy {name:?}: policies/{name}.json is missing or at fault.")));
        }
        if tenant.policies.len() > MAX_POLICIES {
            return Err(invalid(format!("A tenant has {MAX_POLICIES} policies at most.")));
        }
        if tenant.display.as_ref().is_some_and(|name| name.len() > MAX_DISPLAY_BYTES || name.chars().any(char::is_control)) {
            return Err(invalid(format!("The name that is shown has {MAX_DISPLAY_BYTES} bytes at most, and no control characters.")));
        }
        Ok(())
    }

    /// Adds a tenant, or replaces the one of that id. Store it first.
    pub fn add_tenant(&self, tenant: StoredTenant) -> Result<()> {
        self.check_tenant(&tenant)?;
        self.change_made(|made| drop(made.tenants.insert(tenant.tenant.clone(), tenant)))
            .map_err(|_| invalid("The tenant can't be added.".into()))
    }

    /// False: no such tenant was made.
    pub fn remove_tenant(&self, id: &TenantId) -> bool {
        let mut found = false;
        // Taking one away can make no fault.
        let _ = self.change_made(|made| found = made.tenants.remove(id).is_some());
        found
    }
}

fn invalid(text: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, text)
}
