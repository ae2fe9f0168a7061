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
//! GET        /-/v1/assets/media/a.glb  ?wait=30s: what was found in the file, and what was made of it
//! POST       /-/v1/assets/media/a.glb:optimize      {"steps": ["draco", "poster"], …}: a job makes them
//! POST       /-/v1/warm                {"bucket": "media", "keys": […], "prefixes": ["acme/run/"]}
//! GET        /-/v1/artifacts           ?bucket=media&run=run-7&type=image&max=100&after=MARK    (or session, project, template)
//! POST       /-/v1/artifacts           {"bucket": "media", "run": "run-7", "type": "image", "filename": "a.png", "base64": …}
//! POST       /-/v1/artifacts:batch     {"artifacts": […]}
//! PUT        /-/v1/artifacts/media/acme/run-7/image/a.png        the body as it is
//! GET        /-/v1/artifacts/media/KEY ?wait=30s: what it is, and where it can be read; ?versions=true
//! DELETE     /-/v1/artifacts/media/KEY
//! GET        /-/v1/openapi.json        all of this, in OpenAPI 3.1: whoever changes it changes that too
//! GET        /-/v1/runs/media/acme     the names of its runs
//! GET        /-/v1/runs/media/acme/run-7    what the run holds
//! POST       /-/v1/fetch               {"url": "https://…", "bucket": "media", "key": "acme/a.glb", "sha256": …}
//! POST       /-/v1/generate            {"kind": "video", "prompt": "…", "bucket": "media", "run": "run-7"}: see `generate`
//! ```
//!
//! Not here: the operator's API (`admin`). Called by the S3 door for its reserved paths.
//! Errors are JSON too: `{"code", "message", "request_id"}`, with S3's codes and statuses.

pub mod artifacts;
pub mod assets;
mod content;
mod events;
mod fetch;
pub mod generate;
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
use crate::http::coded;
use crate::http::exchange::Exchange;
use crate::http::gateway::Gateway;
use crate::http::respond::{self, Answer};
use crate::http::s3::operation::Operation as S3;
use crate::http::visit::Visit;
use crate::net::request_body::RequestBody;
use crate::net::service::Peer;
use crate::queue::JobId;
use crate::telemetry::audit::Kind;
use crate::telemetry::metrics;

/// Served as it is, and held against `route` by a test.
const OPENAPI: &str = include_str!("openapi.json");

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
    Optimize,
    ListArtifacts,
    CreateArtifact,
    CreateArtifacts,
    PutArtifact,
    GetArtifact,
    DeleteArtifact,
    ListRuns,
    GetRun,
    Fetch,
    Generate,
    Undecided,
    Resolve(JobId),
    Spent,
    OpenApi,
}

/// Labels of metrics, after those of S3's operations, which share the door. STS has the next ones.
pub const LABELS: usize = 32;

/// The last of them: MCP's messages, which are one operation.
pub fn label_of_mcp() -> metrics::Operation {
    metrics::Operation { index: S3::ALL.len() + LABELS - 1, name: "Mcp" }
}

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
            Operation::Optimize => (16, "OptimizeAsset", "API.POST.OPTIMIZE"),
            Operation::ListArtifacts => (17, "ListArtifacts", "API.GET.ARTIFACTS"),
            Operation::CreateArtifact => (18, "CreateArtifact", "API.POST.ARTIFACT"),
            Operation::CreateArtifacts => (19, "CreateArtifacts", "API.POST.ARTIFACTS"),
            Operation::PutArtifact => (20, "PutArtifact", "API.PUT.ARTIFACT"),
            Operation::GetArtifact => (21, "GetArtifact", "API.GET.ARTIFACT"),
            Operation::DeleteArtifact => (22, "DeleteArtifact", "API.DELETE.ARTIFACT"),
            Operation::ListRuns => (23, "ListRuns", "API.GET.RUNS"),
            Operation::GetRun => (24, "GetRun", "API.GET.RUN"),
            Operation::Fetch => (25, "Fetch", "API.POST.FETCH"),
            Operation::Generate => (26, "Generate", "API.POST.GENERATE"),
            Operation::Undecided => (27, "ListUndecided", "API.GET.UNDECIDED"),
            Operation::Resolve(_) => (28, "ResolveGeneration", "API.POST.RESOLVE"),
            Operation::Spent => (29, "GetSpent", "API.GET.SPENT"),
            Operation::OpenApi => (30, "OpenApi", "API.GET.OPENAPI"),
        }
    }
}

impl Operation {
    fn audited(self) -> Option<Kind> {
        match self {
            Operation::Purge | Operation::CancelJob(_) | Operation::RetryJob(_) | Operation::Resolve(_) => Some(Kind::Setting),
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
            | Operation::Asset
            | Operation::Optimize
            | Operation::ListArtifacts
            | Operation::CreateArtifact
            | Operation::CreateArtifacts
            | Operation::PutArtifact
            | Operation::GetArtifact
            | Operation::DeleteArtifact
            | Operation::ListRuns
            | Operation::GetRun
            | Operation::Fetch
            | Operation::Generate
            | Operation::Undecided
            | Operation::Spent
            | Operation::OpenApi => None,
        }
    }

    /// Whether each object is decided for itself, as S3's own operations do. Others look at what a tenant is as a whole, where a session may be only
    /// a part of it.
    fn takes_sessions(self) -> bool {
        use Operation::*;
        matches!(self, ListArtifacts | CreateArtifact | CreateArtifacts | PutArtifact | GetArtifact | DeleteArtifact | ListRuns | GetRun)
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
    if operation == Operation::OpenApi {
        return Ok(coded::for_client(respond::json_text(OPENAPI), parts.version, &parts.headers));
    }
    let query = Query::parse(parts.uri.query())?;
    let mut exchange = Exchange::open(gateway, visit, parts, query, body, peer)?;
    if exchange.caller.session.is_some() && !operation.takes_sessions() {
        return Err(Error::new(
            ErrorKind::AccessDenied,
            "Temporary credentials are for S3's own operations and artifacts: use an access key that lasts.",
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
        Operation::Optimize => assets::optimize(&mut exchange, path.strip_prefix("assets/").unwrap_or_default()).await,
        Operation::ListArtifacts => artifacts::list(&mut exchange).await,
        Operation::CreateArtifact => artifacts::create(&mut exchange).await,
        Operation::CreateArtifacts => artifacts::create_batch(&mut exchange).await,
        Operation::PutArtifact => artifacts::put(&mut exchange, path.strip_prefix("artifacts/").unwrap_or_default()).await,
        Operation::GetArtifact => artifacts::get(&mut exchange, path.strip_prefix("artifacts/").unwrap_or_default()).await,
        Operation::DeleteArtifact => artifacts::delete(&mut exchange, path.strip_prefix("artifacts/").unwrap_or_default()).await,
        // Answered above: it is nobody's.
        Operation::OpenApi => Err(nothing_here()),
        Operation::ListRuns | Operation::GetRun => artifacts::runs(&mut exchange, path.strip_prefix("runs/").unwrap_or_default()).await,
        Operation::Fetch => fetch::fetch(&mut exchange).await,
        Operation::Generate => generate::generate(&mut exchange).await,
        Operation::Undecided => generate::undecided(&exchange),
        Operation::Resolve(id) => generate::resolve(&mut exchange, id).await,
        Operation::Spent => generate::spent(&exchange).await,
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
        ("fetch", "") => ("POST", Operation::Fetch),
        ("generate", "") => ("POST", Operation::Generate),
        ("generate", "undecided") => ("GET", Operation::Undecided),
        ("generate", "spent") => ("GET", Operation::Spent),
        ("generate", rest) => match rest.split_once('/') {
            Some((id, "resolve")) => ("POST", Operation::Resolve(JobId::parse(id)?)),
            _ => return Err(nothing_here()),
        },
        ("uploads", "") => ("GET", Operation::UploadOfKey),
        ("usage", "") => ("GET", Operation::Usage),
        ("openapi.json", "") => ("GET", Operation::OpenApi),
        ("events", "") => ("GET", Operation::Watch),
        ("usage", "stored") => ("GET", Operation::Stored),
        ("assets", asset) if method == Method::POST && asset.ends_with(assets::OPTIMIZE) => ("POST", Operation::Optimize),
        ("assets", asset) if !asset.is_empty() => ("GET", Operation::Asset),
        ("artifacts", "") if method == Method::POST => ("POST", Operation::CreateArtifact),
        ("artifacts", "") => ("GET, POST", Operation::ListArtifacts),
        (artifacts::BATCH, "") => ("POST", Operation::CreateArtifacts),
        ("artifacts", _) if method == Method::PUT => ("PUT", Operation::PutArtifact),
        ("artifacts", _) if method == Method::DELETE => ("DELETE", Operation::DeleteArtifact),
        ("artifacts", _) => ("GET, PUT, DELETE", Operation::GetArtifact),
        ("runs", of) if of.split('/').count() == 2 => ("GET", Operation::ListRuns),
        ("runs", of) if of.split('/').count() == 3 => ("GET", Operation::GetRun),
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
        "There is nothing at this address: presign, url, content/<sha256>, events, jobs, jobs/<id>, uploads, uploads/<id>, assets/<bucket>/<key>, artifacts, artifacts/<bucket>/<key>, runs/<bucket>/<tenant>, usage, purge, warm, fetch and generate are.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each operation of the document is one of ours, under its path and method, and none of ours is missing in it.
    #[test]
    fn the_document_knows_every_operation() {
        let document: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
        let (hash, id) = ("ab".repeat(32), "ab".repeat(16));
        let mut found = std::collections::BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            let named = path.replace("{sha256}", &hash).replace("{id}", &id).replace(['{', '}'], "");
            for (method, described) in methods.as_object().unwrap() {
                let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes()).unwrap();
                let (place, name, _) = route(&method, named.trim_start_matches('/')).unwrap().names();
                let id = described["operationId"].as_str().unwrap();
                assert_eq!(id, if method == Method::HEAD { format!("Head{name}") } else { name.to_owned() }, "{method} {path}");
                for answer in described["responses"].as_object().unwrap().values() {
                    let schema = answer["content"]["application/json"]["schema"]["$ref"].as_str();
                    let known = |name: &str| document["components"]["schemas"].get(name.rsplit('/').next().unwrap()).is_some();
                    assert!(schema.is_none_or(known), "{method} {path}");
                }
                found.insert(place);
            }
            // What the path takes besides is told by the document as well.
            for method in [Method::GET, Method::PUT, Method::POST, Method::DELETE] {
                // Read, such a path is one of a key that ends so.
                let is_another = |found: Operation| found == Operation::Asset && path.ends_with(assets::OPTIMIZE);
                let takes = route(&method, named.trim_start_matches('/')).is_ok_and(|found| !is_another(found));
                assert_eq!(takes, methods.get(method.as_str().to_ascii_lowercase()).is_some(), "{method} {path}");
            }
        }
        assert_eq!(found.len(), LABELS - 1, "MCP is not one of them");
    }

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
            (Method::POST, "fetch".to_owned(), Operation::Fetch),
            (Method::POST, "generate".to_owned(), Operation::Generate),
            (Method::GET, "generate/spent".to_owned(), Operation::Spent),
            (Method::POST, format!("generate/{id}/resolve"), Operation::Resolve(job)),
            (Method::GET, "jobs".to_owned(), Operation::ListJobs),
            (Method::GET, "uploads".to_owned(), Operation::UploadOfKey),
            (Method::GET, "usage".to_owned(), Operation::Usage),
            (Method::GET, "events".to_owned(), Operation::Watch),
            (Method::GET, "usage/stored".to_owned(), Operation::Stored),
            (Method::GET, "assets/media/a/b.glb".to_owned(), Operation::Asset),
            (Method::GET, "assets/media/a:optimize".to_owned(), Operation::Asset),
            (Method::POST, "assets/media/a/b.glb:optimize".to_owned(), Operation::Optimize),
            (Method::GET, "uploads/0AF3".to_owned(), Operation::Upload),
            (Method::GET, "artifacts".to_owned(), Operation::ListArtifacts),
            (Method::POST, "artifacts".to_owned(), Operation::CreateArtifact),
            (Method::POST, "artifacts:batch".to_owned(), Operation::CreateArtifacts),
            (Method::PUT, "artifacts/media/a/r/image/b".to_owned(), Operation::PutArtifact),
            (Method::GET, "artifacts/media/a/r/image/b".to_owned(), Operation::GetArtifact),
            (Method::DELETE, "artifacts/media/a/r/image/b".to_owned(), Operation::DeleteArtifact),
            (Method::GET, "runs/media/acme".to_owned(), Operation::ListRuns),
            (Method::GET, "runs/media/acme/run-7".to_owned(), Operation::GetRun),
            (Method::GET, format!("jobs/{id}"), Operation::GetJob(job)),
            (Method::GET, format!("jobs/{id}/events"), Operation::JobEvents(job)),
            (Method::POST, format!("jobs/{id}/cancel"), Operation::CancelJob(job)),
            (Method::POST, format!("jobs/{id}/retry"), Operation::RetryJob(job)),
        ] {
            assert_eq!(route(&method, &path).ok(), Some(expected), "{method} {path}");
            assert!(expected.names().0 < LABELS - 1);
        }
        for (method, path, kind) in [
            (Method::POST, "jobs", ErrorKind::MethodNotAllowed),
            (Method::GET, "jobs/abc", ErrorKind::NotFound),
            (Method::PUT, "uploads/abc", ErrorKind::MethodNotAllowed),
            (Method::PUT, "artifacts", ErrorKind::MethodNotAllowed),
            (Method::POST, "artifacts/media/k", ErrorKind::MethodNotAllowed),
            (Method::GET, "artifacts:batch", ErrorKind::MethodNotAllowed),
            (Method::GET, "runs/media", ErrorKind::NotFound),
            (Method::GET, "uploads/a/b", ErrorKind::NotFound),
            (Method::GET, "jobs/x/y/z", ErrorKind::NotFound),
            (Method::GET, "presign", ErrorKind::MethodNotAllowed),
            (Method::POST, &*content, ErrorKind::MethodNotAllowed),
            (Method::POST, "presign/x", ErrorKind::NotFound),
            (Method::GET, "", ErrorKind::NotFound),
            (Method::GET, "content/", ErrorKind::InvalidArgument),
            (Method::GET, "assets/", ErrorKind::NotFound),
            (Method::POST, "assets/media/a.glb", ErrorKind::MethodNotAllowed),
            (Method::GET, "content/abc", ErrorKind::InvalidArgument),
        ] {
            assert_eq!(route(&method, path).unwrap_err().kind(), kind, "{method} {path}");
        }
    }
}
