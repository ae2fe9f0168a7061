//! Usage of all tenants, and what they store, for the operator.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use crate::auth::grant::OperatorGrant;
use crate::base::error::Result;
use crate::base::names::TenantId;
use crate::http::admin::parse;
use crate::http::api::jobs::MAX_WAIT_SECONDS;
use crate::http::api::usage::{show_report, show_stored, stored_by};
use crate::http::exchange::Exchange;
use crate::http::respond::{self, Answer};
use crate::queue::JobId;
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
    show_report(&exchange.gateway.ops.usage_of_all(grant, asked.query(exchange.gateway.ops.usage_clock())?).await?, csv)
}

pub async fn stored(exchange: &mut Exchange<'_>, grant: &OperatorGrant) -> Result<Answer> {
    let wanted: Wanted = parse(&exchange.document().await?)?;
    let tenant = wanted.tenant.as_deref().map(TenantId::parse).transpose()?;
    show_stored(&exchange.gateway.ops.stored_by_all(grant, tenant, stored_by(wanted.by.as_deref())?, MAX_PLACES).await?)
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Counting {
    /// One that was begun before.
    job: Option<String>,
    /// Seconds.
    wait: u64,
}

pub async fn recount(exchange: &mut Exchange<'_>, grant: &OperatorGrant) -> Result<Answer> {
    let wanted: Counting = parse(&exchange.document().await?)?;
    let ops = &exchange.gateway.ops;
    let Some(job) = wanted.job else {
        return respond::json(&json!({ "job": ops.begin_recount(grant).await?.to_string() }));
    };
    let view = ops.wait_for_recount(grant, JobId::parse(&job)?, Duration::from_secs(wanted.wait.min(MAX_WAIT_SECONDS))).await?;
    let (state, note) = (view.job.state.phase().name(), view.progress.map(|progress| format!("{} {}", progress.done, progress.note)));
    let result = view.job.result.as_deref().and_then(|result| serde_json::from_str::<serde_json::Value>(result).ok());
    respond::json(&json!({ "job": job, "state": state, "note": note, "reason": view.job.reason, "result": result }))
}
