//! What was spent on generated media, and requests to providers that wait for a decision, for the operator.

use serde::Deserialize;

use crate::base::error::Result;
use crate::http::admin::parse;
use crate::http::admin::route::Command;
use crate::http::api::generate;
use crate::http::exchange::Exchange;
use crate::http::respond::Answer;
use crate::queue::JobId;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Wanted {
    month: Option<String>,
    tenant: Option<String>,
}

/// `job`: whose request is decided about.
pub async fn carry_out(exchange: &mut Exchange<'_>, command: Command, job: &str) -> Result<Answer> {
    match command {
        Command::DecideGeneration => {
            let job = JobId::parse(job)?;
            exchange.record.is_about(|| format!("generation of job {job}"));
            generate::resolve(exchange, job).await
        }
        Command::SpentOnGeneration => {
            let wanted: Wanted = parse(&exchange.document().await?)?;
            generate::spent_in(exchange, wanted.month.as_deref(), wanted.tenant.as_deref()).await
        }
        _ => generate::undecided(exchange),
    }
}
