//! `/-/v1/…` on the S3 door: what the gateway offers its tenants beside S3, in JSON, under the same identity and Grant.
//!
//! ```text
//! POST       /-/v1/presign             {"bucket": "media", "key": "acme/a.glb", "form": "s3|cloudfront|cookie|path-token", …}
//! POST       /-/v1/url                 {"bucket": "media", "key": "acme/a.glb"}
//! GET, HEAD  /-/v1/content/<sha256>    is there an object of mine with this content, and where
//! GET        /-/v1/jobs                ?state=waiting&kind=purge&max=100&after=MARK    (operator: &tenant=acme)
//! GET        /-/v1/jobs/ID             ?wait=30s: as soon as it has ended, or after that time
//! GET        /-/v1/jobs/ID/events      server-sent events, until it has ended
//! POST       /-/v1/jobs/ID/cancel
//! POST       /-/v1/jobs/ID/retry       a dead or cancelled job begins anew
//! GET        /-/v1/uploads/ID          ?wait=30s: how the upload is doing; a request's, a multipart upload's or a job's id
//! GET        /-/v1/uploads             ?bucket=media&key=acme/a.glb: the same by key
//! POST       /-/v1/purge               {"bucket": "media", "keys": […], "prefix": "acme/run/", "paths": […], "host": …, "tags": […]}
//! GET        /-/v1/events              ?bucket=media&prefix=acme/run/: server-sent events of what happens now    (operator: &tenant=acme)
//! GET        /-/v1/usage               ?month=2026-11&day=2026-11-29&by=day,bucket,type,run&format=csv    (operator: &tenant=acme)
//! GET        /-/v1/usage/stored        ?by=tenant|type|run: what is stored now
//! GET        /-/v1/assets/media/a.glb  ?wait=30s: what was found in the file
//! POST       /-/v1/warm                {"bucket": "media", "keys": […], "prefixes": ["acme/run/"]}
//! ```
//!
//! Not here: the operator's API (`admin`). Called by the S3 door for its reserved paths.
//! Errors are JSON too: `{"code", "message", "request_id"}`, with S3's codes and statuses.

mod assets;
mod content;
mod events;
mod input;
pub mod jobs;
pub mod presign;
mod purge;
mod uploads;
pub mod usage;
mod warm;
mod watch;

use http::Method;
use http::request::Parts;

use crate::auth::query::Query;
use crate::base::digest::Sha256;
use crate::base::error::{Error, ErrorKind, Result};
use crate::http::exchange::Exchange;
use crate::http::gateway::Gateway;
use crate::http::respond::Answer;
use crate::http::s3::operation::Operation as S3;
use crate::http::visit::Visit;
use crate::net::request_body::RequestBody;
use crate::net::service::Peer;
use crate::queue::JobId;
use crate::telemetry::audit::Kind;
use crate::telemetry::metrics;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Presign,
    Url,
    Content(Sha256),
    ListJobs,
    GetJob(JobId),
    JobEvents(JobId),
    CancelJob(JobId),
    RetryJob(JobId),
    Purge,
    Warm,
    Upload,
    UploadOfKey,
    Usage,
    Stored,
    Watch,
    Asset,
}

/// Labels of metrics, after those of S3's operations, which share the door. STS has the next ones.
pub const LABELS: usize = 16;

impl Operation {
    /// Its place among the labels of metrics, its name there, and the access log's word.
    fn names(self) -> (usize, &'static str, &'static str) {
        match self {
            Operation::Presign => (0, "Presign", "API.POST.PRESIGN"),
            Operation::Url => (1, "Url", "API.POST.URL"),
            Operation::Content(_) => (2, "FindContent", "API.GET.CONTENT"),
            Operation::ListJobs => (3, "ListJobs", "API.GET.JOBS"),
            Operation::GetJob(_) => (4, "GetJob", "API.GET.JOB"),
            Operation::JobEvents(_) => (5, "JobEvents", "API.GET.JOB_EVENTS"),
            Operation::CancelJob(_) => (6, "CancelJob", "API.POST.JOB_CANCEL"),
            Operation::RetryJob(_) => (7, "RetryJob", "API.POST.JOB_RETRY"),
            Operation::Purge => (8, "Purge", "API.POST.PURGE"),
            Operation::Upload => (9, "GetUpload", "API.GET.UPLOAD"),
            Operation::UploadOfKey => (10, "GetUploadOfKey", "API.GET.UPLOAD_OF_KEY"),
            Operation::Warm => (11, "Warm", "API.POST.WARM"),
            Operation::Usage => (12, "GetUsage", "API.GET.USAGE"),
            Operation::Stored => (13, "GetStored", "API.GET.STORED"),
            Operation::Watch => (14, "WatchEvents", "API.GET.EVENTS"),
            Operation::Asset => (15, "GetAsset", "API.GET.ASSET"),
        }
    }
}

impl Operation {
    fn audited(self) -> Option<Kind> {
        match self {
            Operation::Purge | Operation::CancelJob(_) | Operation::RetryJob(_) => Some(Kind::Setting),
            // What signs a link says so itself.
            Operation::Presign
            | Operation::Url
            | Operation::Content(_)
            | Operation::ListJobs
            | Operation::GetJob(_)
            | Operation::JobEvents(_)
            | Operation::Upload
            | Operation::UploadOfKey
            | Operation::Warm
            | Operation::Usage
            | Operation::Stored
            | Operation::Watch
            | Operation::Asset => None,
        }
    }
}

/// `path` is what follows `/-/v1/`.
pub async fn handle(gateway: &Gateway, visit: &Visit, parts: Parts, body: RequestBody, peer: Peer, path: &str) -> Answer {
    let head = parts.method == Method::HEAD;
    match answer(gateway, visit, parts, body, peer, path).await {
        Ok(answer) => answer,
        Err(e) => visit.failed_json(gateway, &e, head),
    }
}

async fn answer(gateway: &Gateway, visit: &Visit, parts: Parts, body: RequestBody, peer: Peer, path: &str) -> Result<Answer> {
    let operation = route(&parts.method, path)?;
    let (place, name, log_name) = operation.names();
    visit.record().routed(metrics::Operation { index: S3::ALL.len() + place, name }, log_name, operation.audited());
    let query = Query::parse(parts.uri.query())?;
    let mut exchange = Exchange::open(gateway, visit, parts, query, body, peer)?;
    // It looks at what a tenant is as a whole, where a session may be only a part of it.
    if exchange.caller.session.is_some() {
        return Err(Error::new(
            ErrorKind::AccessDenied,
            "Temporary credentials are for S3's own operations: use an access key that lasts.",
        ));
    }
    if exchange.is_anonymous() {
        return Err(Error::new(ErrorKind::AccessDenied, "Access Denied"));
    }
    let document = match operation {
        Operation::Presign => presign::presign(&mut exchange).await,
        Operation::Url => presign::url(&mut exchange).await,
        Operation::Content(sha256) => content::find(&exchange, &sha256).await,
        Operation::ListJobs => jobs::list(&exchange).await,
        Operation::GetJob(id) => jobs::get(&exchange, id).await,
        Operation::JobEvents(id) => events::stream(&exchange, id).await,
        Operation::CancelJob(id) => jobs::cancel(&exchange, id).await,
        Operation::RetryJob(id) => jobs::retry(&exchange, id).await,
        Operation::Purge => purge::purge(&mut exchange).await,
        Operation::Warm => warm::warm(&mut exchange).await,
        Operation::Upload => uploads::by_id(&exchange, path.strip_prefix("uploads/").unwrap_or_default()).await,
        Operation::UploadOfKey => uploads::by_key(&exchange).await,
        Operation::Usage => usage::report(&exchange).await,
        Operation::Stored => usage::stored(&exchange).await,
        Operation::Watch => watch::stream(&exchange),
        Operation::Asset => assets::get(&exchange, path.strip_prefix("assets/").unwrap_or_default()).await,
    }?;
    Ok(exchange.coded(document))
}

fn route(method: &Method, path: &str) -> Result<Operation> {
    let (name, rest) = path.split_once('/').unwrap_or((path, ""));
    let (allowed, operation) = match (name, rest) {
        ("presign", "") => ("POST", Operation::Presign),
        ("url", "") => ("POST", Operation::Url),
        ("content", hash) => {
            let expected = || Error::new(ErrorKind::InvalidArgument, "Content is asked for by its SHA-256: 64 digits of 0-9 a-f.");
            ("GET, HEAD", Operation::Content(Sha256::from_hex(hash).ok_or_else(expected)?))
        }
        ("purge", "") => ("POST", Operation::Purge),
        ("warm", "") => ("POST", Operation::Warm),
        ("uploads", "") => ("GET", Operation::UploadOfKey),
        ("usage", "") => ("GET", Operation::Usage),
        ("events", "") => ("GET", Operation::Watch),
        ("usage", "stored") => ("GET", Operation::Stored),
        ("assets", asset) if !asset.is_empty() => ("GET", Operation::Asset),
        ("uploads", id) if !id.contains('/') => ("GET", Operation::Upload),
        ("jobs", "") => ("GET", Operation::ListJobs),
        ("jobs", job) => match job.split_once('/').unwrap_or((job, "")) {
            (id, "") => ("GET", Operation::GetJob(JobId::parse(id)?)),
            (id, "events") => ("GET", Operation::JobEvents(JobId::parse(id)?)),
            (id, "cancel") => ("POST", Operation::CancelJob(JobId::parse(id)?)),
            (id, "retry") => ("POST", Operation::RetryJob(JobId::parse(id)?)),
            _ => return Err(nothing_here()),
        },
        _ => return Err(nothing_here()),
    };
    if allowed.split(", ").any(|m| m == method.as_str()) {
        return Ok(operation);
    }
    Err(Error::new(ErrorKind::MethodNotAllowed, format!("Use {allowed} here.")).detail("AllowedMethods", allowed))
}

fn nothing_here() -> Error {
    Error::new(
        ErrorKind::NotFound,
        "There is nothing at this address: presign, url, content/<sha256>, events, jobs, jobs/<id>, uploads, uploads/<id>, assets/<bucket>/<key>, usage, purge and warm are.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_to_operations() {
        let hash = "ab".repeat(32);
        let content = format!("content/{hash}");
        assert_eq!(route(&Method::POST, "presign").ok(), Some(Operation::Presign));
        assert_eq!(route(&Method::HEAD, &content).ok(), Some(Operation::Content(Sha256([0xab; 32]))));
        let id = "ab".repeat(16);
        let job = JobId::parse(&id).unwrap();
        for (method, path, expected) in [
            (Method::POST, "purge".to_owned(), Operation::Purge),
            (Method::POST, "warm".to_owned(), Operation::Warm),
            (Method::GET, "jobs".to_owned(), Operation::ListJobs),
            (Method::GET, "uploads".to_owned(), Operation::UploadOfKey),
            (Method::GET, "usage".to_owned(), Operation::Usage),
            (Method::GET, "events".to_owned(), Operation::Watch),
            (Method::GET, "usage/stored".to_owned(), Operation::Stored),
            (Method::GET, "assets/media/a/b.glb".to_owned(), Operation::Asset),
            (Method::GET, "uploads/0AF3".to_owned(), Operation::Upload),
            (Method::GET, format!("jobs/{id}"), Operation::GetJob(job)),
            (Method::GET, format!("jobs/{id}/events"), Operation::JobEvents(job)),
            (Method::POST, format!("jobs/{id}/cancel"), Operation::CancelJob(job)),
            (Method::POST, format!("jobs/{id}/retry"), Operation::RetryJob(job)),
        ] {
            assert_eq!(route(&method, &path).ok(), Some(expected), "{method} {path}");
            assert!(expected.names().0 < LABELS);
        }
        for (method, path, kind) in [
            (Method::POST, "jobs", ErrorKind::MethodNotAllowed),
            (Method::GET, "jobs/abc", ErrorKind::NotFound),
            (Method::PUT, "uploads/abc", ErrorKind::MethodNotAllowed),
            (Method::GET, "uploads/a/b", ErrorKind::NotFound),
            (Method::GET, "jobs/x/y/z", ErrorKind::NotFound),
            (Method::GET, "presign", ErrorKind::MethodNotAllowed),
            (Method::POST, &*content, ErrorKind::MethodNotAllowed),
            (Method::POST, "presign/x", ErrorKind::NotFound),
            (Method::GET, "", ErrorKind::NotFound),
            (Method::GET, "content/", ErrorKind::InvalidArgument),
            (Method::GET, "assets/", ErrorKind::NotFound),
            (Method::GET, "content/abc", ErrorKind::InvalidArgument),
        ] {
            assert_eq!(route(&method, path).unwrap_err().kind(), kind, "{method} {path}");
        }
    }
}
