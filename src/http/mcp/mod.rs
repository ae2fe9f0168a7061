//! `/-/mcp` on the S3 door: the Model Context Protocol, by which agents write, find and read what they made. Streamable HTTP without a session and
//! without a stream: one message comes, and is answered in JSON. `tidegate mcp` is a client of it that speaks over stdio.
//!
//! Who calls is who signed: by SigV4 with a key of its own, or where the client can carry a text only, with temporary credentials as a bearer
//! (`auth::bearer`). Each tool does what the tenants' API does, under the same grants; nothing is kept between two messages.
//! Not here: what a tool does (`tools`, and `api` below it).
//! Invariants: a page of another origin is refused, whatever name it made of this address; bodies are bounded as documents are; what a tool is
//! refused is told to the model as the tool's answer, and to the log as that of the request.
//! By hand over our own doors, and by no crate: a handler of one must be Send and outlive its request, and ours is neither, so identity, limits and
//! accounts would have been a second path.

mod fault;
mod resources;
mod rpc;
mod tools;

use http::header::ORIGIN;
use http::request::Parts;
use http::{HeaderName, Method, StatusCode};
use serde_json::Value;

use crate::auth::query::Query;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::header;
use crate::base::host::{Host, host_of};
use crate::http::api;
use crate::http::document;
use crate::http::exchange::Exchange;
use crate::http::gateway::Gateway;
use crate::http::mcp::fault::Fault;
use crate::http::mcp::rpc::VERSIONS;
use crate::http::respond::{self, Answer};
use crate::http::visit::Visit;
use crate::net::request_body::RequestBody;
use crate::net::service::Peer;

/// What follows `/-/`.
pub const PATH: &str = "mcp";
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// Messages of one body: 2025-03-26 has batches.
const MAX_BATCH: usize = 20;

pub async fn handle(gateway: &Gateway, visit: &Visit, parts: Parts, body: RequestBody, peer: Peer) -> Answer {
    visit.record().routed(api::label_of_mcp(), "MCP", None);
    match answer(gateway, visit, parts, body, peer).await {
        Ok(answer) => answer,
        Err(e) => visit.failed_json(gateway, &e, false),
    }
}

async fn answer(gateway: &Gateway, visit: &Visit, parts: Parts, body: RequestBody, peer: Peer) -> Result<Answer> {
    check_origin(gateway, &parts)?;
    if parts.method != Method::POST {
        let text = "Messages are sent by POST: there is no stream to listen to, and no session to end.";
        return Err(Error::new(ErrorKind::MethodNotAllowed, text).detail("AllowedMethods", "POST"));
    }
    if let Some(version) = header::text(&parts.headers, &VERSION)?.filter(|version| !VERSIONS.contains(version)) {
        let text = format!("The protocol version {version:?} is not spoken here: {} are.", VERSIONS.join(", "));
        return Err(Error::new(ErrorKind::InvalidRequest, text));
    }
    let query = Query::parse(parts.uri.query())?;
    let mut exchange = Exchange::open_bearer(gateway, visit, parts, query, body, peer)?;
    if exchange.is_anonymous() {
        let text = "Sign the request, or send temporary credentials as Authorization: Bearer KEY.SECRET.TOKEN.";
        return Err(Error::new(ErrorKind::MissingAuthenticationToken, text));
    }
    if !exchange.caller.via.is_own() {
        return Err(Error::new(ErrorKind::AccessDenied, "A link is no identity here."));
    }
    let document = exchange.large_document().await?;
    let read = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).map_err(|e| Error::new(ErrorKind::InvalidRequest, e.to_string()));
    let told = match document::read(document, read).await {
        Err(e) => return refused(&Fault::parse(e.message())),
        Ok(Value::Array(batch)) if batch.is_empty() || batch.len() > MAX_BATCH => {
            return refused(&Fault::request(&format!("A batch has 1 to {MAX_BATCH} messages.")));
        }
        Ok(Value::Array(batch)) => {
            let mut answers = Vec::new();
            for message in batch {
                answers.extend(rpc::answer(&mut exchange, message).await);
            }
            (!answers.is_empty()).then_some(Value::Array(answers))
        }
        Ok(message) => rpc::answer(&mut exchange, message).await,
    };
    match told {
        Some(document) => Ok(exchange.coded(respond::json(&document)?)),
        // Nothing is said to a notification.
        None => Ok(respond::empty(StatusCode::ACCEPTED)),
    }
}

/// What is no message.
fn refused(fault: &Fault) -> Result<Answer> {
    let mut answer = respond::json(&fault.told(Value::Null))?;
    *answer.status_mut() = StatusCode::BAD_REQUEST;
    Ok(answer)
}

/// Only browsers send it. A page whose own name leads here by its DNS is of another origin all the same: names that count are the operator's, and
/// this machine's.
fn check_origin(gateway: &Gateway, parts: &Parts) -> Result<()> {
    let Some(origin) = parts.headers.get(ORIGIN) else { return Ok(()) };
    let host = origin.to_str().ok().and_then(host_of);
    let settings = gateway.auth.settings();
    let names = || settings.domains.iter().chain(&settings.public_hosts).filter_map(|name| Host::parse(name));
    let is_here = |host: Host<'_>| {
        let is_loopback = host.name().trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        host.has_name("localhost") || is_loopback || names().any(|own| host.has_name(own.name()))
    };
    match host {
        Some(host) if is_here(host) => Ok(()),
        _ => Err(Error::new(ErrorKind::AccessDenied, "Pages of another origin are not answered here.")),
    }
}
