//! One request while it is being answered: its id, what it is known to be about, and the account that is kept of it.
//!
//! Opened by `door` before anything is looked at, filled in by the doors as they learn more, closed with the answer.
//! Not here: what the account adds up to (`account`), how an error reads (`respond`).

use std::rc::Rc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Request, Response, StatusCode};

use crate::auth::facts::source_ip;
use crate::auth::identity::{Caller, Carrier, Via};
use crate::base::error::{Error, Side};
use crate::base::names::BucketName;
use crate::base::timestamp::Timestamp;
use crate::http::account::{Account, Accounted};
use crate::http::gateway::{Gateway, WorkersGateway};
use crate::http::respond::{self, Answer, code_and_status};
use crate::http::s3::route::Resource;
use crate::net::request_body::RequestBody;
use crate::net::service::Peer;
use crate::telemetry::access_log::Entry;
use crate::telemetry::metrics::Operation;
use crate::telemetry::request_id::RequestId;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");
/// What could not be routed shares the last label.
const UNROUTED: Operation = Operation { index: usize::MAX, name: "unrouted" };

/// One request's identity and account while it is being answered.
pub struct Visit {
    pub id: RequestId,
    /// What was asked for, where it could be told.
    pub bucket: Option<BucketName>,
    /// Its name is in the host's: no other bucket is shown under that.
    pub bucket_in_host: bool,
    /// The id under which the CDN knows the request.
    cdn_id: Option<String>,
    account: Account,
}

impl Visit {
    pub fn open(gateway: Rc<WorkersGateway>, request: &Request<RequestBody>, from: &Peer) -> Self {
        let id = RequestId::next();
        let log = gateway.access_log.is_some().then(|| Box::new(entry(&gateway, id, request, from)));
        let mut account = Account::open(gateway, from.door, UNROUTED);
        account.log = log;
        Visit { id, bucket: None, bucket_in_host: false, cdn_id: None, account }
    }

    pub fn routed(&mut self, index: usize, name: &'static str, log_name: &'static str, resource: &Resource) {
        self.account.operation = Operation { index, name };
        if let Some(entry) = &mut self.account.log {
            entry.operation = log_name.to_owned();
            match resource {
                Resource::Service => {}
                Resource::Bucket(bucket) => entry.bucket = Some(bucket.to_string()),
                Resource::Object(bucket, key) => {
                    entry.bucket = Some(bucket.to_string());
                    entry.key = Some(key.to_string());
                }
            }
        }
    }

    /// The request came through a CDN that the site allows, which calls it by this id.
    pub fn came_through(&mut self, cdn_id: Option<&str>) {
        self.cdn_id = cdn_id.map(str::to_owned);
        if let Some(entry) = &mut self.account.log {
            entry.host_id = self.cdn_id.clone();
        }
    }

    pub fn called_by(&mut self, gateway: &Gateway, caller: &Caller) {
        self.account.tenant = Some(gateway.metrics.tenants.get(caller.identity.id()));
        if let Some(entry) = &mut self.account.log {
            entry.requester = (!caller.identity.is_anonymous()).then(|| caller.identity.id().to_string());
            (entry.signature_version, entry.authentication) = match caller.via {
                Via::Anonymous => (None, None),
                Via::Header { .. } => (Some("SigV4"), Some("AuthHeader")),
                Via::Query { .. } => (Some("SigV4"), Some("QueryString")),
                Via::SigV2Query { .. } => (Some("SigV2"), Some("QueryString")),
                Via::CloudFront { carrier: Carrier::Query, .. } => (Some("CloudFront"), Some("QueryString")),
                Via::CloudFront { carrier: Carrier::Cookie, .. } => (Some("CloudFront"), Some("Cookie")),
                Via::PathToken { .. } => (Some("PathToken"), Some("Path")),
            };
        }
    }

    /// The answer that tells of `error`, noted in log and metrics.
    pub fn failed(&mut self, gateway: &Gateway, error: &Error, path: &str, head: bool) -> Answer {
        self.note(gateway, error);
        respond::error(error, path, self.id.as_str(), self.cdn_id.as_deref().unwrap_or(self.id.as_str()), head)
    }

    /// As `failed`, for the tenants' API.
    pub fn failed_json(&mut self, gateway: &Gateway, error: &Error, head: bool) -> Answer {
        self.note(gateway, error);
        respond::json_error(error, self.id.as_str(), head)
    }

    fn note(&mut self, gateway: &Gateway, error: &Error) {
        let (code, status) = code_and_status(error.kind());
        let (side, cdn_id, operation) = (error.side(), self.cdn_id.as_deref(), self.account.operation.name);
        gateway.metrics.faults.of(side).inc();
        if side == Side::Caller {
            tracing::debug!(request_id = %self.id, cdn_id, operation, %error, "request refused");
        } else {
            tracing::warn!(request_id = %self.id, cdn_id, operation, side = side.name(), %error, "request failed");
        }
        if status == 403 || status == 401 {
            gateway.metrics.refused(code);
        }
        if let Some(entry) = &mut self.account.log {
            entry.error_code = Some(code);
        }
    }

    pub fn close(mut self, answer: Answer) -> Response<Accounted> {
        let (mut head, body) = answer.into_parts();
        if let Ok(id) = HeaderValue::from_str(self.id.as_str()) {
            head.headers.insert(REQUEST_ID, id);
        }
        if head.status == StatusCode::NOT_MODIFIED {
            // It decided what the answer says (`isolation`), and describes a body that is not sent.
            head.headers.remove(http::header::CONTENT_TYPE);
        }
        self.account.answered(head.status.as_u16());
        Response::from_parts(head, Accounted::new(body, self.account))
    }
}

fn entry(gateway: &Gateway, id: RequestId, request: &Request<RequestBody>, from: &Peer) -> Entry {
    let text = |name: HeaderName| request.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    Entry {
        bucket_owner: None,
        bucket: None,
        time: Timestamp::now(),
        remote_ip: source_ip(request.headers(), from.address.ip(), &gateway.auth.settings().trusted_proxies),
        requester: None,
        request_id: id.to_string(),
        operation: "-".to_owned(),
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
        version_id: None,
        host_id: None,
        signature_version: None,
        authentication: None,
        host: text(http::header::HOST),
        secure: from.secure,
    }
}
