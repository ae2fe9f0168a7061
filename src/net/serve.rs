//! One connection from its first byte to its last: handshake, protocol, requests, close.
//!
//! HTTP/1.1 is hyper's, HTTP/2 is in `http2`; which of them it is comes from ALPN, or from the first bytes where there was none.
//! A client of HTTP/1.1 that closes its sending side after its request gets its answer, as `nc` and some others expect. Whether it
//! is still there shows when something is sent to it (see `Connection::verdict`).

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::header::{CONNECTION, EXPECT, HeaderValue};
use http::{Request, Response, StatusCode, Version};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::arriving::Arriving;
use super::connection::Connection;
use super::http2;
use super::listen::Transport;
use super::refusal;
use super::request_body::{RequestBody, Rules};
use super::response_body::ResponseBody;
use super::service::Service;
use super::settings::{MAX_LINGER_BYTES, Settings};
use super::tls::Tls;
use super::wire::{Stream, Wire};
use crate::base::timestamp::Timestamp;
use crate::telemetry::metrics::Metrics;

/// What all connections of a worker share.
pub struct Context<S> {
    service: S,
    http1: http1::Builder,
    pub(super) http2: h2::server::Builder,
    bodies: Arc<Rules>,
    linger_timeout: Duration,
    limits: refusal::Limits,
    /// The second that was written last, for HTTP/2; hyper writes its own.
    date: RefCell<(u64, HeaderValue)>,
}

/// hyper takes in heads of this many times what is allowed: up to there the refusal is ours, and not hyper's bare one.
pub(super) const HEADROOM: usize = 2;

/// What hyper may keep of a connection's bytes, both ways: an upload's read buffer, and bodies on their way beside the last piece.
const BUFFER_BYTES: usize = 128 * 1024;

impl<S: Service> Context<S> {
    pub fn new(service: S, settings: &Settings, metrics: Arc<Metrics>) -> Self {
        let heads = settings.max_header_bytes.saturating_mul(HEADROOM);
        let mut http1 = http1::Builder::new();
        http1
            // The worker's sweep does it, with different times for a first byte, a head and an idle connection.
            .header_read_timeout(None)
            .max_header_size(heads)
            .max_buf_size(heads.max(BUFFER_BYTES))
            .half_close(true)
            // Never flattened, also under TLS: body slices go to writev, or into the cipher, as they are.
            .writev(true);
        Context {
            service,
            http1,
            http2: http2::builder(settings),
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

/// Serves until the connection ends; whatever ends it early drops this future.
pub async fn serve<S: Service>(context: Rc<Context<S>>, tcp: TcpStream, connection: Rc<Connection>, tls: Option<(Arc<Tls>, Transport)>) {
    let (stream, alpn_http2) = match tls {
        None => (Stream::Plain(tcp), false),
        Some((tls, transport)) => match tls.accept(tcp, transport).await {
            Ok((session, client)) => {
                if let Some(client) = client {
                    connection.client_proven(client);
                }
                connection.handshake_done();
                let http2 = session.get_ref().1.alpn_protocol() == Some(b"h2");
                (Stream::Tls(Box::new(session)), http2)
            }
            Err(e) => {
                connection.metrics.handshake_failures.inc();
                tracing::debug!(peer = %connection.peer.address, error = %e, "TLS handshake failed");
                return;
            }
        },
    };
    let mut wire = Wire::new(stream, connection.clone());
    let http2 = match alpn_http2 {
        true => true,
        false => match wire.starts_with_http2().await {
            Ok(http2) => http2,
            Err(e) => return tracing::trace!(error = %e, "a connection ended before its first request"),
        },
    };
    connection.speaks(http2);
    let ended = if http2 {
        // Rare beside HTTP/1 and larger: in a box, so that no other connection has room for it.
        Box::pin(http2::serve(context, connection.clone(), wire)).await.map_err(|e| e.to_string())
    } else {
        let answer = {
            let (context, connection) = (context.clone(), connection.clone());
            service_fn(move |request| answer_http1(context.clone(), connection.clone(), request))
        };
        let served = context.http1.serve_connection(TokioIo::new(wire), answer);
        drive(&connection, pin!(served), |served| served.graceful_shutdown()).await.map_err(|e| e.to_string())
    };
    if let Err(e) = ended {
        // A client's doing as a rule: it left, or sent what is not HTTP.
        tracing::debug!(peer = %connection.peer.address, error = e, "connection ended with an error");
    }
}

/// Polls a connection, and asks it to end in good order once the worker wants that.
async fn drive<C: Future>(connection: &Connection, mut served: Pin<&mut C>, end_well: impl Fn(Pin<&mut C>)) -> C::Output {
    let mut asked = false;
    poll_fn(|cx| {
        connection.register(cx.waker());
        if !asked && connection.is_close_asked() {
            asked = true;
            end_well(served.as_mut());
        }
        served.as_mut().poll(cx)
    })
    .await
}

async fn answer_http1<S: Service>(
    context: Rc<Context<S>>,
    connection: Rc<Connection>,
    request: Request<hyper::body::Incoming>,
) -> Result<Response<ResponseBody<S::Body>>, Infallible> {
    Ok(answer(context, connection, Arriving::http1(request)).await)
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
