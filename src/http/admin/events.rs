//! Events that wait for webhooks, and those that were given up, for the operator.

use serde::Deserialize;
use serde_json::json;

use crate::auth::grant::OperatorGrant;
use crate::base::error::{Error, ErrorKind, Result};
use crate::http::admin::parse;
use crate::http::admin::route::Command;
use crate::http::exchange::Exchange;
use crate::http::respond::{self, Answer};

const DEFAULT_PAGE: usize = 100;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Wanted {
    webhook: Option<String>,
    /// None: all of them.
    numbers: Option<Vec<String>>,
    after: Option<String>,
    max: Option<usize>,
}

pub async fn carry_out(exchange: &mut Exchange<'_>, grant: &OperatorGrant, command: Command) -> Result<Answer> {
    let events = exchange.gateway.ops.events()?.clone();
    if command == Command::Webhooks {
        return respond::json(&json!({ "webhooks": events.webhooks(grant).await? }));
    }
    let wanted: Wanted = parse(&exchange.document().await?)?;
    if command == Command::DeadEvents {
        let (webhook, after) = (wanted.webhook.as_deref(), wanted.after.as_deref());
        return respond::json(&events.dead(grant, webhook, after, wanted.max.unwrap_or(DEFAULT_PAGE)).await?);
    }
    let needed = || Error::new(ErrorKind::InvalidRequest, "Which webhook's? It is named by \"webhook\".");
    let webhook = wanted.webhook.filter(|name| !name.is_empty()).ok_or_else(needed)?;
    let count = match command {
        Command::ReplayEvents => events.replay(grant, &webhook, wanted.numbers.as_deref()).await?,
        _ => events.forget(grant, &webhook, wanted.numbers.as_deref()).await?,
    };
    respond::json(&json!({ "count": count }))
}
