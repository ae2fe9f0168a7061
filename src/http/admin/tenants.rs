//! Tenants without a file, on the admin door: a list of all, and making, changing and removing those that were made.

use std::collections::BTreeMap;

use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::auth::grant::OperatorGrant;
use crate::auth::limits::Limits;
use crate::auth::{StoredTenant, limit_values};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::TenantId;
use crate::http::admin::route::Command;
use crate::http::exchange::Exchange;
use crate::http::respond::{self, Answer};
use crate::ops::tenants::TenantChange;

/// Of a tenant that is made without a word about policies.
const DEFAULT_POLICY: &str = "tenant-default";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    /// Of a new one; one that is changed is named by the path.
    tenant: Option<TenantId>,
    display: Option<String>,
    policies: Option<Vec<String>>,
    /// A number, a size such as "1TB", or null: no limit.
    #[serde(default)]
    limits: BTreeMap<String, Option<Limit>>,
    enabled: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Limit {
    Number(u64),
    Text(String),
}

#[derive(Serialize)]
struct Shown {
    tenant: TenantId,
    #[serde(skip_serializing_if = "Option::is_none")]
    display: Option<String>,
    policies: Vec<String>,
    limits: Limits,
    enabled: bool,
    /// Where it stands; none: it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
}

impl Shown {
    fn of(tenant: StoredTenant, file: Option<String>, fault: Option<String>) -> Self {
        Shown {
            created: file.is_none().then(|| tenant.created.iso8601()),
            tenant: tenant.tenant,
            display: tenant.display,
            policies: tenant.policies,
            limits: tenant.limits,
            enabled: tenant.enabled,
            file,
            fault,
        }
    }
}

impl Change {
    fn read(self) -> Result<TenantChange> {
        if self.tenant.is_some() {
            return Err(Error::new(ErrorKind::InvalidRequest, "The path names the tenant; an id does not change."));
        }
        let limit = |(name, value): (String, Option<Limit>)| {
            let value = match value {
                None => None,
                Some(Limit::Number(number)) => Some(number),
                Some(Limit::Text(text)) => Some(limit_values::parse(&name, &text).map_err(|e| Error::new(ErrorKind::InvalidArgument, e))?),
            };
            Ok((name, value))
        };
        let limits = self.limits.into_iter().map(limit).collect::<Result<_>>()?;
        Ok(TenantChange { display: self.display, policies: self.policies, limits, enabled: self.enabled })
    }
}

/// `id`: of the tenant that the command is about.
pub async fn carry_out(exchange: &mut Exchange<'_>, grant: &OperatorGrant, command: Command, id: &str) -> Result<Answer> {
    let (ops, auth) = (&exchange.gateway.ops, &exchange.gateway.auth);
    match command {
        Command::MakeTenant => {
            let mut wanted: Change = super::parse(&exchange.document().await?)?;
            let id = wanted.tenant.take().ok_or_else(|| Error::new(ErrorKind::InvalidRequest, "A new tenant needs an id: \"tenant\"."))?;
            let mut change = wanted.read()?;
            change.policies.get_or_insert_with(|| vec![DEFAULT_POLICY.to_owned()]);
            exchange.record.is_about(|| format!("tenant {id}: {change:?}"));
            let made = ops.make_tenant(grant, auth, id, change).await?;
            respond::json(&Shown::of(made, None, None))
        }
        Command::ChangeTenant => {
            let change: Change = super::parse(&exchange.document().await?)?;
            let change = change.read()?;
            exchange.record.is_about(|| format!("tenant {id}: {change:?}"));
            let changed = ops.change_tenant(grant, auth, &TenantId::parse(id)?, change).await?;
            respond::json(&Shown::of(changed, None, None))
        }
        Command::RemoveTenant => {
            exchange.record.is_about(|| format!("tenant {id}, removed"));
            ops.remove_tenant(grant, auth, &TenantId::parse(id)?).await?;
            Ok(respond::empty(StatusCode::NO_CONTENT))
        }
        _ => {
            let all = ops.tenants(grant, auth).into_iter().map(|known| Shown::of(known.tenant, known.file, known.fault));
            respond::json(&all.collect::<Vec<_>>())
        }
    }
}
