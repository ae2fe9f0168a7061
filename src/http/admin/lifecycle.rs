//! Runs of the lifecycle that the operator asks for, and their reports.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use crate::auth::grant::OperatorGrant;
use crate::base::error::{Error, ErrorKind, Result};
use crate::http::admin::parse;
use crate::http::api::jobs::MAX_WAIT_SECONDS;
use crate::http::exchange::Exchange;
use crate::http::gateway::Gateway;
use crate::http::respond::{self, Answer};
use crate::queue::JobId;
use crate::queue::job::Phase;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Wanted {
    dry_run: bool,
    /// One that was begun before.
    job: Option<String>,
    /// Seconds.
    wait: u64,
}

pub async fn run(exchange: &mut Exchange<'_>, grant: &OperatorGrant) -> Result<Answer> {
    let wanted: Wanted = parse(&exchange.document().await?)?;
    let ops = &exchange.gateway.ops;
    let Some(job) = wanted.job else {
        return respond::json(&json!({ "job": ops.begin_lifecycle(grant, wanted.dry_run).await?.to_string() }));
    };
    let id = JobId::parse(&job)?;
    let view = ops.wait_for_lifecycle(grant, id, Duration::from_secs(wanted.wait.min(MAX_WAIT_SECONDS))).await?;
    let phase = view.job.state.phase();
    let report = match phase {
        Phase::Done => ops.last_lifecycle(grant, wanted.dry_run).await?,
        _ => None,
    };
    let note = view.progress.map(|progress| format!("{} {}", progress.done, progress.note));
    respond::json(&json!({ "job": job, "state": phase.name(), "note": note, "reason": view.job.reason, "report": report }))
}

pub async fn last(gateway: &Gateway, grant: &OperatorGrant) -> Result<Answer> {
    let report = gateway.ops.last_lifecycle(grant, false).await?;
    let report = report.ok_or_else(|| Error::new(ErrorKind::NotFound, "The lifecycle of no bucket was carried out yet."))?;
    respond::json(&report)
}
