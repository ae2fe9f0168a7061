//! The admin door, on loopback unless set otherwise: metrics and health for whoever reaches it by a name that is the door's own,
//! and under `/-/admin/v1/` what the operator does, signed with the operator's key like any S3 request.
//!
//! ```text
//! GET    /metrics
//! GET    /-/console/                      the page, as on the S3 door; what it asks of that door goes by /-/s3/
//! GET    /-/admin/v1/keys
//! POST   /-/admin/v1/keys                 {"tenant": "acme", "expires": "2027-01-01T00:00:00Z"}
//! PATCH  /-/admin/v1/keys/ACCESS_KEY      {"enabled": false}
//! DELETE /-/admin/v1/keys/ACCESS_KEY
//! GET    /-/admin/v1/tenants              those of files, and those that were made
//! POST   /-/admin/v1/tenants              {"tenant": "acme", "display": "Acme Inc.", "policies": ["tenant-default"], "limits": {"bytes": "1TB"}}
//! PATCH  /-/admin/v1/tenants/ID           {"limits": {"bytes": null}, "enabled": false}: what is left out stays
//! DELETE /-/admin/v1/tenants/ID
//! POST   /-/admin/v1/snapshot             {"dir": "/backup/2026-11-21"}
//! POST   /-/admin/v1/sync                 {"retry": true, "wait": 20}: until all that was written back is upstream
//! POST   /-/admin/v1/repair               {"replica": "west"}: the job that compares it with the origin from the beginning
//! POST   /-/admin/v1/backfill             {"bucket": "media"}: the job that copies what only its old store has
//! POST   /-/admin/v1/lifecycle             {"dry_run": true}: the job that carries out what is due, or says what would go; with
//!                                          {"job": "JOB", "wait": 20}: how far that one is, and its report
//! GET    /-/admin/v1/lifecycle             the report of the last run
//! POST   /-/admin/v1/usage                 {"tenant": "acme", "month": "2026-11", "by": "day,bucket", "format": "csv"}
//! POST   /-/admin/v1/stored                {"tenant": "acme", "by": "type"}: what is stored now
//! POST   /-/admin/v1/recount               the job that counts anew what is stored over an S3; with {"job": "JOB", "wait": 20}: how far it is
//! GET    /-/admin/v1/events                webhooks, and how many events wait for each or are dead
//! POST   /-/admin/v1/events/dead           {"webhook": "pipeline", "after": MARK, "max": 100}
//! POST   /-/admin/v1/events/replay         {"webhook": "pipeline", "numbers": ["…"]}: dead ones are brought again; without numbers, all
//! POST   /-/admin/v1/events/forget         the same: they are forgotten for good
//! GET    /-/admin/v1/encryption            keys, their versions, and how much needs each
//! POST   /-/admin/v1/encryption/rotate     the store's own key gets a new version
//! GET    /-/admin/v1/generation            requests to providers of which nobody knows whether they were taken
//! POST   /-/admin/v1/generation/JOB        {"decision": "again"}: as the tenants' /-/v1/generate/JOB/resolve
//! POST   /-/admin/v1/generation/spent      {"tenant": "acme", "month": "2026-11"}
//! POST   /-/admin/v1/reload
//! POST   /-/admin/v1/path-tokens/rotate
//! POST   /-/admin/v1/presign               as the tenants' /-/v1/presign
//! POST   /-/admin/v1/peer                  what another node tells, sealed in a way of its own: see `cluster`
//! POST   /-/admin/v1/peer/blocks           blocks of the cache for another node, sealed in the same way
//! ```

mod encryption;
mod events;
mod generation;
mod lifecycle;
mod route;
mod tenants;
mod usage;

use std::path::PathBuf;
use std::time::Duration;

use http::{Method, Request, StatusCode};
use serde::{Deserialize, Serialize};

use crate::auth::grant::OperatorGrant;
use crate::auth::query::Query;
use crate::auth::{Fault, StoredKey};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::host::Host;
use crate::base::names::{AccessKeyId, TenantId};
use crate::base::timestamp::Timestamp;
use crate::http::admin::route::{Command, Operation};
use crate::http::api::jobs::MAX_WAIT_SECONDS;
use crate::http::api::presign;
use crate::http::coded;
use crate::http::console;
use crate::http::exchange::Exchange;
use crate::http::gateway::Gateway;
use crate::http::health;
use crate::http::peer;
use crate::http::respond::{self, Answer};
use crate::http::visit::Visit;
use crate::net::request_body::RequestBody;
use crate::net::service::Peer;
use crate::telemetry::metrics::{self, Door, Label, Reload};

pub async fn handle(gateway: &Gateway, visit: &Visit, request: Request<RequestBody>, peer: Peer) -> Answer {
    let (head, uri) = (request.method() == Method::HEAD, request.uri().clone());
    answer(gateway, visit, request, peer).await.unwrap_or_else(|e| visit.failed(gateway, &e, uri.path(), head))
}

/// What the console asks of the S3 door through this one. Whoever calls this door by a name that is not its own gets no further.
pub fn turn_to_s3_door<B>(gateway: &Gateway, request: &mut Request<B>, from: &mut Peer) -> Result<()> {
    if let Some(uri) = console::uri_on_s3_door(request.uri()) {
        check_host(&gateway.settings.admin_hosts, Host::of(request.headers()))?;
        *request.uri_mut() = uri;
        from.door = Door::S3;
    }
    Ok(())
}

async fn answer(gateway: &Gateway, visit: &Visit, request: Request<RequestBody>, peer: Peer) -> Result<Answer> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let operation = route::route(&parts.method, &path);
    if let Some((index, name, log_name)) = operation.names() {
        visit.record().routed(metrics::Operation { index, name }, log_name, operation.audited());
    }
    if !matches!(operation, Operation::HearPeer | Operation::GiveToPeer) {
        check_host(&gateway.settings.admin_hosts, Host::of(&parts.headers))?;
    }
    match operation {
        Operation::HearPeer => peer::told(gateway, visit.record(), &parts, body).await,
        Operation::GiveToPeer => peer::give(gateway, visit.record(), &parts, body).await,
        Operation::Metrics => {
            let metrics = health::text(gateway.metrics.encode(), "application/openmetrics-text; version=1.0.0; charset=utf-8");
            Ok(coded::for_client(metrics, parts.version, &parts.headers))
        }
        Operation::Console(path) => gateway.console.answer(&parts, peer.door, path),
        Operation::Health | Operation::Ready | Operation::Nothing => {
            if let Some(answer) = gateway.console.front(&parts, peer.door) {
                return Ok(answer);
            }
            health::answer(gateway, path.strip_prefix("/-/").unwrap_or(&path)).await
        }
        Operation::Command(command, about) => {
            let query = Query::parse(parts.uri.query())?;
            let mut exchange = Exchange::open(gateway, visit, parts, query, body, peer)?;
            let grant = gateway.auth.operator(exchange.caller)?;
            let command = command.ok_or_else(no_such_command)?;
            carry_out(&mut exchange, &grant, command, about).await
        }
    }
}

fn no_such_command() -> Error {
    Error::new(
        ErrorKind::NotFound,
        "There is no such command: keys, tenants, snapshot, sync, repair, backfill, lifecycle, usage, stored, recount, events, encryption, generation, reload, path-tokens/rotate and presign are.",
    )
}

/// `id`: of the access key, or the tenant, that the command is about.
async fn carry_out(exchange: &mut Exchange<'_>, grant: &OperatorGrant, command: Command, id: &str) -> Result<Answer> {
    let (ops, auth) = (&exchange.gateway.ops, &exchange.gateway.auth);
    match command {
        Command::ListKeys => respond::json(&auth.made_keys().iter().map(Shown::of).collect::<Vec<_>>()),
        Command::MakeKey => {
            let wanted: NewKey = parse(&exchange.document().await?)?;
            let expires = wanted.expires.as_deref().map(date).transpose()?;
            let key = ops.make_key(grant, auth, TenantId::parse(&wanted.tenant)?, expires).await?;
            exchange.record.is_about(|| {
                let until = key.expires.map_or_else(String::new, |expires| format!(", until {}", expires.iso8601()));
                format!("access key {} of {}{until}", key.access_key, key.tenant)
            });
            respond::json(&Made { secret_key: key.secret.clone(), key: Shown::of(&key) })
        }
        Command::ChangeKey => {
            let change: KeyChange = parse(&exchange.document().await?)?;
            exchange.record.is_about(|| format!("access key {id}, enabled: {}", change.enabled));
            respond::json(&Shown::of(&ops.set_key_enabled(grant, auth, &AccessKeyId::parse(id)?, change.enabled).await?))
        }
        Command::RemoveKey => {
            exchange.record.is_about(|| format!("access key {id}"));
            ops.remove_key(grant, auth, &AccessKeyId::parse(id)?).await?;
            Ok(respond::empty(StatusCode::NO_CONTENT))
        }
        Command::Snapshot => {
            let wanted: Snapshot = parse(&exchange.document().await?)?;
            ops.snapshot(grant, &wanted.dir).await?;
            respond::json(&serde_json::json!({ "dir": wanted.dir }))
        }
        Command::Sync => {
            let wanted: Sync = parse(&exchange.document().await?)?;
            let patience = Duration::from_secs(wanted.wait.min(MAX_WAIT_SECONDS));
            respond::json(&ops.sync(grant, wanted.retry, patience).await?)
        }
        Command::Repair => {
            let wanted: Repair = parse(&exchange.document().await?)?;
            respond::json(&serde_json::json!({ "job": ops.repair(grant, &wanted.replica).await?.to_string() }))
        }
        Command::Backfill => {
            let wanted: Backfill = parse(&exchange.document().await?)?;
            respond::json(&serde_json::json!({ "job": ops.backfill(grant, &wanted.bucket).await?.to_string() }))
        }
        Command::Lifecycle => lifecycle::run(exchange, grant).await,
        Command::LastLifecycle => lifecycle::last(exchange.gateway, grant).await,
        Command::Usage => usage::report(exchange, grant).await,
        Command::Stored => usage::stored(exchange, grant).await,
        Command::Recount => usage::recount(exchange, grant).await,
        Command::Reload => reload(exchange),
        Command::RotatePathTokens => {
            ops.rotate_token_secret(grant, auth).await?;
            Ok(respond::empty(StatusCode::NO_CONTENT))
        }
        Command::Presign => presign::presign(exchange).await,
        Command::Webhooks | Command::DeadEvents | Command::ReplayEvents | Command::ForgetEvents => {
            events::carry_out(exchange, grant, command).await
        }
        Command::EncryptionKeys => encryption::keys(exchange, grant).await,
        Command::RotateEncryption => encryption::rotate(exchange, grant).await,
        Command::ListTenants | Command::MakeTenant | Command::ChangeTenant | Command::RemoveTenant => {
            tenants::carry_out(exchange, grant, command, id).await
        }
        Command::HeldGeneration | Command::SpentOnGeneration | Command::DecideGeneration => {
            generation::carry_out(exchange, command, id).await
        }
    }
}

/// A page whose name was made to point here, in the browser of somebody who reaches this door, could read what is for him: it
/// asks by its own name. An address can't be made to point elsewhere, so every one will do, also that of a forwarded port; a
/// browser never leaves out the host. What peers send is sealed: they may call this node as they like.
fn check_host(known: &[String], host: Option<Host<'_>>) -> Result<()> {
    let Some(host) = host else { return Ok(()) };
    if host.is_address() || host.has_name("localhost") || known.iter().any(|name| host.has_name(name)) {
        return Ok(());
    }
    const TEXT: &str = "The admin door is not known by this name. Ask by its address, or add the name to admin.hosts in gateway.toml.";
    Err(Error::new(ErrorKind::AccessDenied, TEXT).detail("Host", host.to_string()))
}

/// Reads the policies again; what was wrong, all of it, is the answer.
fn reload(exchange: &Exchange<'_>) -> Result<Answer> {
    let gateway = exchange.gateway;
    match gateway.auth.reload() {
        Ok(summary) => {
            exchange.record.is_about(|| summary.changes.join("; "));
            gateway.metrics.reloads.of(Reload::Policies).inc();
            tracing::info!(tenants = summary.tenants, keys = summary.keys, policies = summary.policies, "policies reloaded");
            respond::json(
                &serde_json::json!({ "tenants": summary.tenants, "keys": summary.keys, "policies": summary.policies, "warnings": summary.warnings }),
            )
        }
        Err(faults) => {
            gateway.metrics.reload_failures.of(Reload::Policies).inc();
            let text: Vec<String> = faults.iter().map(Fault::to_string).collect();
            Err(Error::new(ErrorKind::InvalidRequest, format!("Nothing was changed: {}", text.join("; ")))
                .detail("What", Reload::Policies.name()))
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewKey {
    tenant: String,
    expires: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyChange {
    enabled: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Snapshot {
    dir: PathBuf,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Sync {
    /// What the upstream refused is tried again.
    retry: bool,
    /// Seconds.
    wait: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Repair {
    replica: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Backfill {
    bucket: String,
}

/// A key without its secret.
#[derive(Serialize)]
struct Shown {
    access_key: String,
    tenant: String,
    enabled: bool,
    created: String,
    expires: Option<String>,
}

/// The one time that a secret is shown.
#[derive(Serialize)]
struct Made {
    #[serde(flatten)]
    key: Shown,
    secret_key: String,
}

impl Shown {
    fn of(key: &StoredKey) -> Self {
        Shown {
            access_key: key.access_key.to_string(),
            tenant: key.tenant.to_string(),
            enabled: key.enabled,
            created: key.created.iso8601(),
            expires: key.expires.map(Timestamp::iso8601),
        }
    }
}

pub(super) fn parse<'d, T: Deserialize<'d>>(document: &'d [u8]) -> Result<T> {
    serde_json::from_slice(document)
        .map_err(|e| Error::new(ErrorKind::InvalidRequest, format!("The body is not what this command takes: {e}")))
}

fn date(text: &str) -> Result<Timestamp> {
    Timestamp::parse_iso8601(text)
        .ok_or_else(|| Error::new(ErrorKind::InvalidArgument, "expires must be a date such as 2027-01-01T00:00:00Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_door() {
        let known = ["metrics.internal".to_owned()];
        let answers = |host: &str| check_host(&known, Host::parse(host)).is_ok();
        for own in
            ["127.0.0.1:9001", "10.1.2.3:19001", "[::1]:9001", "localhost:9001", "LOCALHOST", "metrics.internal:9001", "Metrics.Internal."]
        {
            assert!(answers(own), "{own}");
        }
        for other in ["evil.test", "evil.test:9001", "127.0.0.1.evil.test", "x.localhost", "localhost.evil.test", "2130706433", "0x7f.1"] {
            assert!(!answers(other), "{other}");
        }
        assert!(check_host(&known, None).is_ok());
    }
}
