//! Generating over HTTP: `POST /-/v1/generate`, what waits for a decision, the decision, and what was spent.
//!
//! ```text
//! POST /-/v1/generate            {"kind": "video", "prompt": "…", "duration": 5, "bucket": "media", "run": "run-7"}
//! GET  /-/v1/generate/undecided
//! POST /-/v1/generate/ID/resolve {"decision": "again" | "give_up" | "taken", "task": "ID of the provider's"}
//! GET  /-/v1/generate/spent      ?month=2026-11    (operator: &tenant=acme)
//! ```

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::auth::Action;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::timestamp::Timestamp;
use crate::http::api::input::parse;
use crate::http::exchange::Exchange;
use crate::http::respond::{self, Answer};
use crate::ops::generate::book::Entry;
use crate::ops::generate::spent::{Line, Sum};
use crate::ops::generate::{Decision, Document, require_run};
use crate::queue::JobId;
use crate::usage::period::{self, Month};
use crate::vault::wanted::Wanted;

pub async fn generate(exchange: &mut Exchange<'_>) -> Result<Answer> {
    let request: Map<String, Value> = parse(exchange).await?;
    let mut answer = respond::json(&ask(exchange, request).await?)?;
    *answer.status_mut() = StatusCode::ACCEPTED;
    Ok(answer)
}

/// Makes the job, and tells which it is.
pub async fn ask(exchange: &Exchange<'_>, mut request: Map<String, Value>) -> Result<Value> {
    let mut text = |name: &str| match request.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(wrong(format!("{name} is a text."))),
    };
    let (bucket, run, idempotency_key) = (text("bucket")?, text("run")?, text("idempotency_key")?);
    let bucket = BucketName::parse(&bucket.ok_or_else(|| wrong("bucket is missing.".into()))?)?;
    let run = run.ok_or_else(|| wrong("run is missing.".into()))?;
    require_run(&run)?;
    let wanted: Wanted =
        serde_json::from_value(Value::Object(request)).map_err(|e| wrong(format!("The body is not what this call takes: {e}")))?;
    let document = Document { wanted, bucket, run };
    let pattern = document.key(exchange.caller.identity.id(), None, "*")?;
    if let Some(picture) = &document.wanted.image_key {
        exchange.on_object(Action::GetObject, &document.bucket, &ObjectKey::parse(picture)?).await?;
    }
    exchange.on_object(Action::PutObject, &document.bucket, &pattern).await?;
    let grant = exchange.on_object(Action::Generate, &document.bucket, &pattern).await?;
    let asked_by = exchange.caller.access_key.clone();
    let enqueued = exchange.gateway.ops.generate(&grant, document, idempotency_key, asked_by).await?;
    Ok(json!({ "job": enqueued.id.to_string(), "new": enqueued.is_new }))
}

pub fn undecided(exchange: &Exchange<'_>) -> Result<Answer> {
    let grant = &exchange.authorize_service(Action::ListJobs)?;
    let entries = exchange.gateway.ops.undecided(grant)?;
    respond::json(&json!({ "undecided": entries.iter().map(shown).collect::<Vec<_>>() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resolve {
    decision: String,
    task: Option<String>,
}

pub async fn resolve(exchange: &mut Exchange<'_>, id: JobId) -> Result<Answer> {
    let request: Resolve = parse(exchange).await?;
    let decision = match (request.decision.as_str(), request.task) {
        ("again", None) => Decision::Again,
        ("give_up", None) => Decision::GiveUp,
        ("taken", Some(task)) if !task.is_empty() => Decision::Task(task),
        _ => return Err(wrong("decision is again, give_up, or taken with the provider's name for it as task.".into())),
    };
    let grant = &exchange.authorize_service(Action::RetryJob)?;
    respond::json(&shown(&exchange.gateway.ops.decide(grant, id, decision).await?))
}

pub async fn spent(exchange: &Exchange<'_>) -> Result<Answer> {
    spent_in(exchange, exchange.query.value("month"), exchange.query.value("tenant")).await
}

/// `month`: this one without it. `tenant`: whom the operator asks for.
pub async fn spent_in(exchange: &Exchange<'_>, month: Option<&str>, tenant: Option<&str>) -> Result<Answer> {
    let grant = &exchange.authorize_service(Action::GetUsage)?;
    let tenant = tenant.map(TenantId::parse).transpose()?;
    let month = match month {
        Some(text) => Month::parse(text).ok_or_else(|| wrong("month is a month of UTC such as 2026-11.".into()))?,
        None => Month::of_day(period::day(Timestamp::now())),
    };
    let spent = exchange.gateway.ops.spent(grant, tenant, month).await?;
    let line = |(of, sum): &(Line, Sum)| {
        let mut line = json!(of);
        if let (Some(line), Value::Object(sum)) = (line.as_object_mut(), json!(sum)) {
            line.extend(sum);
        }
        line
    };
    respond::json(&json!({
        "month": month.to_string(), "currency": "USD", "unit": "millionths", "lines": spent.lines.iter().map(line).collect::<Vec<_>>(),
        "total": spent.total, "budget": spent.budget,
    }))
}

fn shown(entry: &Entry) -> Value {
    json!({
        "job": entry.job, "tenant": entry.tenant, "run": entry.run, "provider": entry.provider, "kind": entry.kind, "model": entry.model,
        "step": entry.step, "at": entry.at.iso8601(), "state": entry.state, "estimated": entry.estimated, "billed": entry.billed,
        "reason": entry.reason,
    })
}

fn wrong(text: String) -> Error {
    Error::new(ErrorKind::InvalidRequest, text)
}
