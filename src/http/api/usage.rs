//! Usage over HTTP: a tenant's own, and all of it for the operator. The admin door answers with the same documents.

use serde_json::{Value, json};

use crate::auth::action::Action;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::TenantId;
use crate::base::usage::{Stored, StoredBy, StoredPage};
use crate::http::exchange::Exchange;
use crate::http::health;
use crate::http::respond::{self, Answer};
use crate::usage::period::HOUR;
use crate::usage::prices::stored_now;
use crate::usage::report::{Asked, Report};
use crate::usage::show;

/// Places of one answer.
const MAX_PLACES: usize = 100_000;

pub async fn report(exchange: &Exchange<'_>) -> Result<Answer> {
    let grant = &exchange.authorize_service(Action::GetUsage)?;
    let value = |name| exchange.query.value(name).map(str::to_owned);
    let asked = Asked { tenant: value("tenant"), month: value("month"), day: value("day"), by: value("by"), format: value("format") };
    let csv = asked.wants_csv()?;
    show_report(&exchange.gateway.ops.usage(grant, asked.query(exchange.gateway.ops.usage_clock())?).await?, csv)
}

pub async fn stored(exchange: &Exchange<'_>) -> Result<Answer> {
    let grant = &exchange.authorize_service(Action::GetUsage)?;
    let by = stored_by(exchange.query.value("by"))?;
    let tenant = exchange.query.value("tenant").map(TenantId::parse).transpose()?;
    show_stored(&exchange.gateway.ops.stored(grant, tenant, by, MAX_PLACES).await?)
}

pub fn show_report(report: &Report, csv: bool) -> Result<Answer> {
    if csv { Ok(health::text(show::csv(report), "text/csv; charset=utf-8; header=present")) } else { respond::json(&show::json(report)) }
}

pub fn stored_by(name: Option<&str>) -> Result<StoredBy> {
    match name {
        None | Some("tenant") => Ok(StoredBy::Tenant),
        Some("type") => Ok(StoredBy::Type),
        Some("run") => Ok(StoredBy::Run),
        Some(_) => Err(Error::new(ErrorKind::InvalidArgument, "by is tenant, type or run.").detail("ArgumentName", "by")),
    }
}

pub fn show_stored(page: &StoredPage) -> Result<Answer> {
    respond::json(&json!({ "at": page.at.iso8601(), "more": page.more, "places": page.places.iter().map(place).collect::<Vec<_>>() }))
}

fn place(place: &Stored) -> Value {
    let mut shown = json!({
        "tenant": place.tenant.as_str(),
        "bucket": place.bucket.as_ref().map(|bucket| bucket.as_str()),
        "type": place.artifact,
        "run": place.run,
    });
    for (name, count) in stored_now(&place.amount) {
        shown[name] = json!(count);
    }
    if place.byte_millis > 0 {
        shown["byte_milliseconds"] = json!(place.byte_millis.to_string());
        shown["byte_hours"] = json!((place.byte_millis / u128::from(HOUR)).to_string());
    }
    shown
}
