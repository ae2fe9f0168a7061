//! One request of a connection, by whichever protocol it came: its limits, the service's answer, and what becomes of the rest of a
//! body that nobody read. With what all connections of a worker share.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::header::{CONNECTION, EXPECT, HeaderValue};
use http::{Request, Response, StatusCode, Version};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::server::conn::http1;
use tokio::sync::oneshot;

use super::arriving::Arriving;
use super::connection::Connection;
use super::protocols;
use super::refusal;
use super::request_body::{RequestBody, Rules};
use super::response_body::ResponseBody;
use super::service::Service;
use super::settings::{MAX_LINGER_BYTES, Settings};
use crate::base::timestamp::Timestamp;
use crate::telemetry::metrics::Metrics;

/// What all connections of a worker share.
pub struct Context<S> {
    service: S,
    pub(super) http1: http1::Builder,
    pub(super) http2: h2::server::Builder,
    bodies: Arc<Rules>,
    linger_timeout: Duration,
    limits: refusal::Limits,
    /// The second that was written last, for HTTP/2; hyper writes its own.
    date: RefCell<(u64, HeaderValue)>,
}

impl<S: Service> Context<S> {
    pub fn new(service: S, settings: &Settings, metrics: Arc<Metrics>) -> Self {
        Context {
            service,
            http1: protocols::http1(settings),
            http2: protocols::http2(settings),
            bodies: Arc::new(Rules { metrics, patience: settings.body_timeout }),
            linger_timeout: settings.linger_timeout,
            date: RefCell::new((0, HeaderValue::from_static(""))),
            limits: refusal::Limits { head_bytes: settings.max_header_bytes, uri_bytes: settings.max_uri_bytes },
        }
    }
}

impl<S> Context<S> {
    /// The `Date` of an answer.
    pub(super) fn date(&self) -> HeaderValue {
        let now = Timestamp::now();
        let (second, text) = &mut *self.date.borrow_mut();
        if *second != now.secs()
            && let Ok(value) = HeaderValue::try_from(now.http_date())
        {
            (*second, *text) = (now.secs(), value);
        }
        text.clone()
    }
}

pub(super) async fn answer<S: Service>(
    context: Rc<Context<S>>,
    connection: Rc<Connection>,
    request: Request<Arriving>,
) -> Response<ResponseBody<S::Body>> {
    let mut running = connection.begin_request(request.method(), request.uri());
    let version = request.version();
    let expects_continue = version == Version::HTTP_11 && expects_continue(&request);
    let continue_without_body = expects_continue && request.body().is_end_stream();

    let refused = match connection.line_ends.get().are_bare() {
        true => Some(StatusCode::BAD_REQUEST),
        false => context.limits.check(&request),
    };
    let response = if let Some(status) = refused {
        refusal::answer(status, connection.peer().door)
    } else {
        let unread = connection.unread_body().clone();
        let (leftover, rest) = leftover(version, request.body());
        let request = request.map(|body| RequestBody::new(body, expects_continue, unread, leftover, context.bodies.clone()));
        let response = context.service.call(request, connection.peer()).await.map(Some);
        if let Some(rest) = rest.and_then(|mut rest| rest.try_recv().ok()) {
            tokio::task::spawn_local(drop_rest(rest, context.linger_timeout));
        }
        response
    };
    running.waits_on_us(false);
    let mut response = response.map(|source| ResponseBody { source, request: running });
    if version <= Version::HTTP_11 {
        finish_http1(&connection, &mut response, continue_without_body);
    }
    response
}

/// Where an HTTP/2 body goes that is dropped before its end. HTTP/1 has its connection's end for that (`wire`).
fn leftover(version: Version, body: &Arriving) -> (Option<oneshot::Sender<Arriving>>, Option<oneshot::Receiver<Arriving>>) {
    if version < Version::HTTP_2 || body.is_end_stream() {
        return (None, None);
    }
    let (leftover, rest) = oneshot::channel();
    (Some(leftover), Some(rest))
}

/// Reads what a client still sends after an early answer. Without it the stream is reset at once, and curl up to 8.0, in the
/// middle of its upload, then forgets the answer that it already has.
async fn drop_rest(mut rest: Arriving, patience: Duration) {
    let mut dropped = 0;
    let read = async {
        while let Some(Ok(frame)) = rest.frame().await {
            dropped += frame.data_ref().map_or(0, |data| data.len() as u64);
            if dropped >= MAX_LINGER_BYTES {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(patience, read).await;
}

fn expects_continue<B>(request: &Request<B>) -> bool {
    request.headers().get(EXPECT).is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

fn finish_http1<B>(connection: &Rc<Connection>, response: &mut Response<B>, continue_without_body: bool) {
    // S3 sends the interim answer whether or not a body follows, and clients (botocore) count on it. A refusal comes instead of it.
    if continue_without_body && response.status().is_success() {
        connection.queue_continue();
    }
    // Unread bytes can't be told from a next request: say that none will be answered.
    let nothing_follows = connection.is_close_asked() || connection.line_ends.get().are_bare();
    if connection.unread_body().load(Ordering::Relaxed) || nothing_follows {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
}
