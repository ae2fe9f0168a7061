//! One request while it is being answered: its id, what it is known to be about, and the account that is kept of it.
//!
//! Opened by `door` before anything is looked at, filled in by the doors as they learn more, closed with the answer.
//! Not here: what the account adds up to (`account`), how an error reads (`respond`).

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Request, Response, StatusCode};

use crate::auth::facts::source_ip;
use crate::auth::query::Query;
use crate::base::error::{Error, Side};
use crate::base::timestamp::Timestamp;
use crate::http::account::{Account, Accounted};
use crate::http::gateway::{Gateway, WorkersGateway};
use crate::http::record::Record;
use crate::http::respond::{self, Answer, code_and_status};
use crate::net::request_body::RequestBody;
use crate::net::service::Peer;
use crate::telemetry::access_log::Entry;
use crate::telemetry::request_id::RequestId;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");
pub struct Visit {
    /// The bucket's name is in the host's: no other bucket is shown under that.
    pub bucket_in_host: Cell<bool>,
    /// The id under which the CDN knows the request.
    cdn_id: Option<String>,
    account: Account,
}

impl Visit {
    pub fn open(gateway: Rc<WorkersGateway>, request: &Request<RequestBody>, from: &Peer) -> Self {
        let id = RequestId::next();
        let is_logged = gateway.access_log.is_some() || gateway.bucket_logs.wanted.get();
        let client = source_ip(request.headers(), from.address.ip(), &gateway.auth.settings().trusted_proxies);
        let log = is_logged.then(|| Box::new(entry(id, client, request, from)));
        let record = Record::begin(id, client, from.door);
        Visit { bucket_in_host: Cell::new(false), cdn_id: None, account: Account::open(gateway, record, log) }
    }

    pub fn id(&self) -> RequestId {
        self.record().id
    }

    pub fn record(&self) -> &Record {
        &self.account.record
    }

    /// The request came through a CDN that the site allows, which calls it by this id.
    pub fn came_through(&mut self, cdn_id: Option<&str>) {
        self.cdn_id = cdn_id.map(str::to_owned);
        if let Some(entry) = &mut self.account.log {
            entry.host_id = self.cdn_id.clone();
        }
    }

    /// The answer that tells of `error`, noted in log and metrics.
    pub fn failed(&self, gateway: &Gateway, error: &Error, path: &str, head: bool) -> Answer {
        self.note(gateway, error);
        respond::error(error, path, self.id().as_str(), self.cdn_id.as_deref().unwrap_or(self.id().as_str()), head)
    }

    /// As `failed`, for the tenants' API.
    pub fn failed_json(&self, gateway: &Gateway, error: &Error, head: bool) -> Answer {
        self.note(gateway, error);
        respond::json_error(error, self.id().as_str(), head)
    }

    /// As `failed`, for STS.
    pub fn failed_sts(&self, gateway: &Gateway, error: &Error) -> Answer {
        self.note(gateway, error);
        respond::sts_error(error, self.id().as_str())
    }

    fn note(&self, gateway: &Gateway, error: &Error) {
        let (code, status) = code_and_status(error.kind());
        let (side, cdn_id, operation) = (error.side(), self.cdn_id.as_deref(), self.record().operation().name);
        gateway.metrics.faults.of(side).inc();
        if side == Side::Caller {
            tracing::debug!(request_id = %self.id(), cdn_id, operation, %error, "request refused");
        } else {
            tracing::warn!(request_id = %self.id(), cdn_id, operation, side = side.name(), %error, "request failed");
        }
        if status == 403 || status == 401 {
            gateway.metrics.refused(code);
            if let Some((_, key)) = error.details().iter().find(|(name, _)| *name == "AWSAccessKeyId") {
                self.record().is_about(|| format!("access key {key}"));
            }
        }
        self.record().failed(code);
    }

    pub fn close(mut self, answer: Answer) -> Response<Accounted> {
        let (mut head, body) = answer.into_parts();
        if let Ok(id) = HeaderValue::from_str(self.id().as_str()) {
            head.headers.insert(REQUEST_ID, id);
        }
        if head.status == StatusCode::NOT_MODIFIED {
            // It decided what the answer says (`isolation`), and describes a body that is not sent.
            head.headers.remove(http::header::CONTENT_TYPE);
        }
        self.account.record.answered(head.status.as_u16());
        Response::from_parts(head, Accounted::new(body, self.account))
    }
}

fn entry(id: RequestId, remote_ip: IpAddr, request: &Request<RequestBody>, from: &Peer) -> Entry {
    let text = |name: HeaderName| request.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    Entry {
        bucket_owner: None,
        bucket: None,
        time: Timestamp::now(),
        remote_ip,
        requester: None,
        request_id: id.to_string(),
        operation: "-",
        key: None,
        method: request.method().to_string(),
        uri: request.uri().path_and_query().map_or("/", |target| target.as_str()).to_owned(),
        protocol: if request.version() == http::Version::HTTP_2 { "HTTP/2.0" } else { "HTTP/1.1" },
        status: 0,
        error_code: None,
        bytes_sent: 0,
        object_size: None,
        total: Duration::ZERO,
        turn_around: Duration::ZERO,
        referer: text(http::header::REFERER),
        user_agent: text(http::header::USER_AGENT),
        version_id: version_asked(request),
        host_id: None,
        signature_version: None,
        authentication: None,
        host: text(http::header::HOST),
        secure: from.secure,
    }
}

fn version_asked(request: &Request<RequestBody>) -> Option<String> {
    let query = Query::parse(request.uri().query()).ok()?;
    query.get("versionId").map(str::to_owned)
}
