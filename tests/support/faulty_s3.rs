//! A proxy between a gateway and its upstream that does, on chosen calls, what networks and stores do on a bad day.
//!
//! It knows requests and answers (see `fault_proxy` for what knows only bytes), so that a test can say: the second GET of this key
//! breaks off, the answer to this PUT is lost after the store took it.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body::{Frame, SizeHint};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::support::classes::Classes;

#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// The store answers this, with an error document.
    Answer(u16, &'static str),
    /// The connection ends after so many bytes of the request's body; the store never hears of it.
    CutRequest(usize),
    /// The store did it, and the connection ends before it can say so.
    LoseAnswer,
    /// The answer's body ends after so many bytes, and its connection with it.
    CutAnswer(usize),
    /// The answer says that it is so many bytes shorter, and is.
    Shorter(usize),
    /// The answer's body comes to a stand after so many bytes.
    Stall(usize),
    /// The answer tells of other bytes than were asked for.
    WrongRange,
    /// The object's storage class is GLACIER, and whether it is being restored.
    Archived(&'static str),
    Delay(Duration),
}

struct Rule {
    method: Method,
    /// Part of path and query.
    part: String,
    times: usize,
    fault: Fault,
}

type Rules = Arc<Mutex<Plan>>;

#[derive(Default)]
struct Plan {
    rules: Vec<Rule>,
    /// Method and target of each request, in order.
    seen: Vec<String>,
    /// Bodies of POSTs that this answered itself.
    documents: Vec<String>,
    /// None: the store behind has those that it has.
    classes: Option<Classes>,
}

pub struct FaultyS3 {
    pub address: SocketAddr,
    plan: Rules,
    runtime: Option<tokio::runtime::Runtime>,
}

pub const ALWAYS: usize = usize::MAX;

impl FaultyS3 {
    pub fn start(target: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let plan = Rules::default();
        let shared = plan.clone();
        runtime.spawn(async move {
            let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
            while let Ok((stream, _)) = listener.accept().await {
                let (client, plan) = (client.clone(), shared.clone());
                let service = service_fn(move |request| pass(client.clone(), plan.clone(), target, request));
                tokio::spawn(async move {
                    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        FaultyS3 { address, plan, runtime: Some(runtime) }
    }

    /// The next `times` calls of the method whose path or query holds `part`.
    pub fn plan(&self, method: Method, part: &str, times: usize, fault: Fault) {
        self.plan.lock().unwrap().rules.push(Rule { method, part: part.into(), times, fault });
    }

    /// From now on there are storage classes.
    pub fn keep_classes(&self) {
        self.plan.lock().unwrap().classes = Some(Classes::default());
    }

    /// Of the object of that path.
    pub fn class_of(&self, path: &str) -> String {
        self.plan.lock().unwrap().classes.as_ref().unwrap().of(path).to_owned()
    }

    /// All is well from now on. What was seen is forgotten.
    pub fn heal(&self) {
        *self.plan.lock().unwrap() = Plan::default();
    }

    /// How many calls of the method had `part` in path or query.
    pub fn seen(&self, method: Method, part: &str) -> usize {
        let method = format!("{method} ");
        self.plan.lock().unwrap().seen.iter().filter(|s| s.starts_with(&method) && s.contains(part)).count()
    }

    pub fn documents(&self) -> Vec<String> {
        self.plan.lock().unwrap().documents.clone()
    }
}

impl Drop for FaultyS3 {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

type Broken = Box<dyn std::error::Error + Send + Sync>;
type Sent = Response<BoxBody<Bytes, Broken>>;

fn next_fault(plan: &Rules, request: &Request<Incoming>) -> Option<Fault> {
    let target = request.uri().path_and_query().map(|p| p.as_str()).unwrap_or_default();
    let mut plan = plan.lock().unwrap();
    plan.seen.push(format!("{} {target}", request.method()));
    let rule = plan.rules.iter_mut().find(|r| r.times > 0 && r.method == *request.method() && target.contains(&r.part))?;
    rule.times = if rule.times == ALWAYS { ALWAYS } else { rule.times - 1 };
    Some(rule.fault)
}

/// Err ends the connection.
async fn pass(
    client: Client<HttpConnector, Full<Bytes>>,
    plan: Rules,
    target: SocketAddr,
    request: Request<Incoming>,
) -> Result<Sent, Broken> {
    let fault = next_fault(&plan, &request);
    let by_class = plan.lock().unwrap().classes.as_mut().and_then(|c| c.before(request.method(), request.uri(), request.headers()));
    let fault = by_class.map(|(status, code)| Fault::Answer(status, code)).or(fault);
    match fault {
        Some(Fault::Answer(status, code)) => {
            // As a store does that reads what it refuses.
            let method = request.method().clone();
            let body = request.into_body().collect().await?.to_bytes();
            if method == Method::POST {
                plan.lock().unwrap().documents.push(String::from_utf8_lossy(&body).into_owned());
            }
            return Ok(error_document(status, code, method == Method::HEAD));
        }
        Some(Fault::CutRequest(after)) => {
            let (mut body, mut read) = (request.into_body(), 0);
            while read < after {
                let Some(frame) = body.frame().await else { break };
                read += frame?.data_ref().map_or(0, Bytes::len);
            }
            return Err("cut".into());
        }
        Some(Fault::Delay(time)) => tokio::time::sleep(time).await,
        _ => {}
    }
    let (mut parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let path = parts.uri.path_and_query().map(|p| p.as_str()).unwrap_or("/");
    // The Host header, which the signature covers, stays.
    parts.uri = format!("http://{target}{path}").parse()?;
    let (asked, url) = (parts.method.clone(), parts.uri.clone());
    let head = asked == Method::HEAD;
    let answer = client.request(Request::from_parts(parts, Full::new(body))).await?;
    match fault {
        Some(Fault::LoseAnswer) => Err("lost".into()),
        Some(Fault::Archived(restore)) => {
            let (mut parts, body) = answer.into_parts();
            parts.headers.insert("x-amz-storage-class", HeaderValue::from_static("GLACIER"));
            parts.headers.insert("x-amz-restore", HeaderValue::from_static(restore));
            Ok(Response::from_parts(parts, body.map_err(Into::into).boxed()))
        }
        None if plan.lock().unwrap().classes.is_some() => with_classes(&plan, &asked, &url, answer).await,
        // There is no body to spoil.
        _ if head => spoil(answer, None).await,
        fault => spoil(answer, fault).await,
    }
}

async fn with_classes(plan: &Rules, method: &Method, uri: &Uri, answer: Response<Incoming>) -> Result<Sent, Broken> {
    let (mut parts, body) = answer.into_parts();
    let mut bytes = if *method == Method::HEAD { Bytes::new() } else { body.collect().await?.to_bytes() };
    if let Some(classes) = &plan.lock().unwrap().classes
        && parts.status.is_success()
        && matches!(*method, Method::GET | Method::HEAD)
    {
        classes.tell(uri.path(), &mut parts.headers);
        if uri.query().is_some_and(|query| query.contains("list-type=2")) {
            bytes = classes.listed(uri.path().trim_end_matches('/'), std::str::from_utf8(&bytes)?).into();
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
        }
    }
    // A HEAD has the length of the body that it does not have.
    let body = if *method == Method::HEAD {
        Torn { some: None, length: length_of(&parts.headers), then: Then::End }.boxed()
    } else {
        Full::new(bytes).map_err(|e| match e {}).boxed()
    };
    Ok(Response::from_parts(parts, body))
}

fn length_of(headers: &HeaderMap) -> u64 {
    headers.get(CONTENT_LENGTH).and_then(|l| l.to_str().ok()?.parse().ok()).unwrap_or_default()
}

async fn spoil(answer: Response<Incoming>, fault: Option<Fault>) -> Result<Sent, Broken> {
    let (mut parts, body) = answer.into_parts();
    let whole = matches!(fault, None | Some(Fault::Delay(_)));
    if whole || !parts.status.is_success() {
        return Ok(Response::from_parts(parts, body.map_err(Into::into).boxed()));
    }
    let mut bytes = body.collect().await?.to_bytes();
    let length = bytes.len() as u64;
    let then = match fault {
        Some(Fault::CutAnswer(after)) => {
            bytes.truncate(after);
            Then::Break
        }
        Some(Fault::Stall(after)) => {
            bytes.truncate(after);
            Then::Wait
        }
        Some(Fault::Shorter(by)) => {
            bytes.truncate(bytes.len().saturating_sub(by));
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
            return Ok(Response::from_parts(parts, Full::new(bytes).map_err(|e| match e {}).boxed()));
        }
        _ => {
            parts.headers.insert(CONTENT_RANGE, HeaderValue::from_static("bytes 3-9/10"));
            return Ok(Response::from_parts(parts, Full::new(bytes).map_err(|e| match e {}).boxed()));
        }
    };
    Ok(Response::from_parts(parts, BodyExt::boxed(Torn { some: Some(bytes).filter(|b| !b.is_empty()), length, then })))
}

enum Then {
    Break,
    BreakNow,
    Wait,
    End,
}

/// A body that does not keep what its length promises.
struct Torn {
    some: Option<Bytes>,
    length: u64,
    then: Then,
}

impl http_body::Body for Torn {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match (self.some.take(), &self.then) {
            (Some(bytes), _) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            (None, Then::Wait) => Poll::Pending,
            (None, Then::End) => Poll::Ready(None),
            (None, Then::Break) => {
                // Once more, so that what was given goes out first.
                self.then = Then::BreakNow;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            (None, Then::BreakNow) => Poll::Ready(Some(Err("cut".into()))),
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}

fn error_document(status: u16, code: &str, head: bool) -> Sent {
    let text = format!("<Error><Code>{code}</Code><Message>as the test says</Message></Error>");
    let body = if head || status < 300 { Bytes::new() } else { Bytes::from(text) };
    let answer = Response::builder().status(StatusCode::from_u16(status).unwrap()).header("content-type", "application/xml");
    answer.body(Full::new(body).map_err(|e| match e {}).boxed()).unwrap()
}
