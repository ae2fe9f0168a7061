//! Jobs over HTTP: a page of them, one of them (waiting for its end, if asked to), cancel, retry; and a job's JSON.

use std::time::Duration;

use serde_json::{Value, json};

use crate::auth::action::Action;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::TenantId;
use crate::base::timestamp::Timestamp;
use crate::http::exchange::Exchange;
use crate::http::respond::{self, Answer};
use crate::queue::job::{Job, JobId, Phase, State};
use crate::queue::view::{Filter, View};

const MAX_PAGE: usize = 1000;
const DEFAULT_PAGE: usize = 100;
/// Under the minute after which proxies give up on a silent connection.
pub const MAX_WAIT_SECONDS: u64 = 50;

pub async fn list(exchange: &Exchange<'_>) -> Result<Answer> {
    let grant = &exchange.authorize_service(Action::ListJobs)?;
    let query = &exchange.query;
    let phase = query.value("state").map(|name| {
        let names = Phase::ALL.map(Phase::name).join(", ");
        Phase::parse(name).ok_or_else(|| invalid("state", format!("There is no such state: {names} are.")))
    });
    let filter = Filter {
        tenant: query.value("tenant").map(TenantId::parse).transpose()?,
        phase: phase.transpose()?,
        kind: query.value("kind").map(str::to_owned),
        after: query.value("after").map(str::to_owned),
        max: query.number("max")?.unwrap_or(DEFAULT_PAGE).clamp(1, MAX_PAGE),
    };
    let page = exchange.gateway.ops.list_jobs(grant, filter).await?;
    respond::json(&json!({ "jobs": page.jobs.iter().map(record).collect::<Vec<_>>(), "next": page.next }))
}

pub async fn get(exchange: &Exchange<'_>, id: JobId) -> Result<Answer> {
    let grant = &exchange.authorize_service(Action::GetJob)?;
    let ops = &exchange.gateway.ops;
    let view = match exchange.query.value("wait").map(seconds).transpose()? {
        Some(patience) => ops.wait_for_job(grant, id, patience).await?,
        None => ops.job(grant, id).await?,
    };
    respond::json(&shown(&view))
}

pub async fn cancel(exchange: &Exchange<'_>, id: JobId) -> Result<Answer> {
    let grant = &exchange.authorize_service(Action::CancelJob)?;
    respond::json(&record(&exchange.gateway.ops.cancel_job(grant, id).await?))
}

pub async fn retry(exchange: &Exchange<'_>, id: JobId) -> Result<Answer> {
    let grant = &exchange.authorize_service(Action::RetryJob)?;
    respond::json(&record(&exchange.gateway.ops.retry_job(grant, id).await?))
}

/// `30` or `30s`; longer than the longest means the longest.
pub fn seconds(text: &str) -> Result<Duration> {
    let number = text.strip_suffix('s').unwrap_or(text).parse::<u64>();
    let seconds = number.map_err(|_| invalid("wait", format!("wait is a number of seconds such as 30s, at most {MAX_WAIT_SECONDS}s.")))?;
    Ok(Duration::from_secs(seconds.min(MAX_WAIT_SECONDS)))
}

fn invalid(name: &str, message: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, message).detail("ArgumentName", name)
}

/// All of a job: its record, what it is to do, how far it is.
pub fn shown(view: &View) -> Value {
    let mut shown = record(&view.job);
    // Written by this program as JSON.
    shown["payload"] = serde_json::from_slice(&view.payload.document).unwrap_or(Value::Null);
    shown["progress"] = json!(view.progress);
    shown
}

pub fn record(job: &Job) -> Value {
    let time = |t: Option<Timestamp>| t.map(Timestamp::iso8601);
    let (due, started) = match job.state {
        State::Waiting { due } => (due, None),
        State::Running { since } => (None, Some(since)),
        State::Done { .. } | State::Dead { .. } | State::Cancelled { .. } => (None, None),
    };
    json!({
        "id": job.id.to_string(),
        "tenant": job.tenant.as_str(),
        "asked_by": job.asked_by.as_ref().map(|key| key.as_str()),
        "kind": job.kind,
        "state": job.state.phase().name(),
        "created": job.created.iso8601(),
        "due": time(due),
        "started": time(started),
        "ended": time(job.state.ended()),
        "deadline": time(job.deadline),
        "priority": job.priority,
        "recurring": job.recurs.as_ref().map(|recurs| json!({
            "name": job.recurring(),
            "every_seconds": recurs.every.as_secs(),
            "done": time(recurs.done),
        })),
        "attempts": job.attempts,
        "max_attempts": job.max_attempts,
        "items": job.items,
        "reason": job.reason,
        "result": job.result.as_deref().and_then(|r| serde_json::from_str::<Value>(r).ok()),
    })
}
