//! Usage of all tenants, and what they store, for the operator.

use serde::Deserialize;

use crate::auth::grant::OperatorGrant;
use crate::base::error::Result;
use crate::base::names::TenantId;
use crate::base::timestamp::Timestamp;
use crate::http::admin::parse;
use crate::http::api::usage::{show_report, show_stored, stored_by};
use crate::http::exchange::Exchange;
use crate::http::respond::Answer;
use crate::usage::report::Asked;

/// Places of one answer.
const MAX_PLACES: usize = 100_000;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Wanted {
    tenant: Option<String>,
    by: Option<String>,
}

pub async fn report(exchange: &mut Exchange<'_>, grant: &OperatorGrant) -> Result<Answer> {
    let asked: Asked = parse(&exchange.document().await?)?;
    let csv = asked.wants_csv()?;
    show_report(&exchange.gateway.ops.usage_of_all(grant, asked.query(Timestamp::now())?).await?, csv)
}

pub async fn stored(exchange: &mut Exchange<'_>, grant: &OperatorGrant) -> Result<Answer> {
    let wanted: Wanted = parse(&exchange.document().await?)?;
    let tenant = wanted.tenant.as_deref().map(TenantId::parse).transpose()?;
    show_stored(&exchange.gateway.ops.stored_by_all(grant, tenant, stored_by(wanted.by.as_deref())?, MAX_PLACES).await?)
}
