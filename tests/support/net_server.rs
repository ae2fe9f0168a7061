//! The network alone, with a small service whose paths do what the tests need.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use tidegate::base::error::Error;
use tidegate::net::drain::Tracker;
use tidegate::net::listen::{Address, Transport};
use tidegate::net::request_body::RequestBody;
use tidegate::net::server::{Server, listen};
use tidegate::net::service::{Peer, Pulled, Service};
use tidegate::net::settings::Settings;
use tidegate::net::tls::Tls;
use tidegate::telemetry::metrics::{Door, Metrics};

pub struct NetServer {
    pub address: SocketAddr,
    pub tls_address: Option<SocketAddr>,
    pub metrics: Arc<Metrics>,
    pub tracker: Tracker,
    /// Bytes that were asked of the bodies of `/watched`.
    pub pulled: Arc<AtomicU64>,
    server: Option<Server>,
}

pub fn start(settings: Settings) -> NetServer {
    start_with(settings, None)
}

pub fn start_with(settings: Settings, tls: Option<Arc<Tls>>) -> NetServer {
    let any = |transport| Address { door: Door::S3, address: "127.0.0.1:0".parse().unwrap(), transport };
    let mut addresses = vec![any(Transport::Plain)];
    if tls.is_some() {
        addresses.push(any(Transport::Tls));
    }
    let metrics = Arc::new(Metrics::new());
    let tracker = Tracker::default();
    let listening = listen(settings, &addresses, tls, metrics.clone()).unwrap();
    let bound = listening.addresses();
    let pulled = Arc::<AtomicU64>::default();
    let service = TestService { metrics: metrics.clone(), tracker: tracker.clone(), pulled: pulled.clone() };
    let server = listening.serve(tracker.clone(), move || service.clone()).unwrap();
    NetServer { address: bound[0].address, tls_address: bound.get(1).map(|a| a.address), metrics, tracker, pulled, server: Some(server) }
}

impl NetServer {
    /// Returns the requests that were cut.
    pub fn drain(&mut self, deadline: Duration) -> Vec<String> {
        let server = self.server.take().expect("not drained yet");
        // A thread of its own: some tests run inside a runtime.
        let draining = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(server.drain(deadline))
        });
        draining.join().unwrap()
    }

    /// Waits until a line of the metrics is there: `connections{door="s3"} 0`.
    pub fn wait_for(&self, line: &str) {
        let line = format!("tidegate_{line}\n");
        let start = Instant::now();
        while !self.metrics.encode().contains(&line) {
            assert!(start.elapsed() < Duration::from_secs(20), "never: {line}{}", self.metrics.encode());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for NetServer {
    fn drop(&mut self) {
        if self.server.is_some() {
            self.drain(Duration::ZERO);
        }
    }
}

#[derive(Clone)]
struct TestService {
    metrics: Arc<Metrics>,
    tracker: Tracker,
    pulled: Arc<AtomicU64>,
}

pub struct TestBody {
    source: UnsyncBoxBody<Bytes, Error>,
    watched: Option<Watched>,
}

impl Pulled for TestBody {
    fn at_most(&mut self, bytes: usize) {
        if let Some(watched) = &mut self.watched {
            watched.most = bytes;
        }
    }
}

impl TestBody {
    fn of(source: UnsyncBoxBody<Bytes, Error>) -> Self {
        TestBody { source, watched: None }
    }
}

/// A body whose every piece is memory of its own, as large as may be.
struct Watched {
    at: u64,
    len: u64,
    most: usize,
    pulled: Arc<AtomicU64>,
}

impl Watched {
    fn next(&mut self) -> Option<Bytes> {
        let end = self.len.min(self.at + self.most.min(64 * 1024) as u64);
        let piece: Vec<u8> = (self.at..end).map(|i| (i % 251) as u8).collect();
        self.at = end;
        self.pulled.fetch_add(piece.len() as u64, Ordering::Relaxed);
        (!piece.is_empty()).then(|| piece.into())
    }
}

impl Body for TestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match &mut self.watched {
            Some(watched) => Poll::Ready(watched.next().map(|piece| Ok(Frame::data(piece)))),
            None => Pin::new(&mut self.source).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.watched.as_ref().map_or_else(|| self.source.is_end_stream(), |w| w.at == w.len)
    }

    fn size_hint(&self) -> SizeHint {
        self.watched.as_ref().map_or_else(|| self.source.size_hint(), |w| SizeHint::with_exact(w.len - w.at))
    }
}

impl Service for TestService {
    type Body = TestBody;

    async fn call(&self, request: Request<RequestBody>, from: Peer) -> Response<TestBody> {
        let path = request.uri().path().to_owned();
        let mut words = path.split('/').skip(1);
        let word = words.next().unwrap_or_default();
        let mut number = || words.next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        match word {
            "metrics" => Response::new(full(self.metrics.encode())),
            "secure" => Response::new(full(format!("{} {:?}", from.secure, request.version()))),
            // A body of so many bytes, in pieces.
            "bytes" => Response::new(sized(pieces(number()), None)),
            "watched" => {
                let watched = Watched { at: 0, len: number(), most: usize::MAX, pulled: self.pulled.clone() };
                Response::new(TestBody {
                    source: Full::default().map_err(|e: Infallible| match e {}).boxed_unsync(),
                    watched: Some(watched),
                })
            }
            // How many pieces of the body keep alive more than themselves.
            "sharing" => {
                let (mut body, mut sharing) = (request.into_body(), 0);
                while let Some(Ok(frame)) = body.frame().await {
                    sharing += u32::from(frame.data_ref().is_some_and(|data| !data.is_unique()));
                }
                Response::new(full(sharing.to_string()))
            }
            // Announces more than it brings.
            "break" => Response::new(sized(pieces(number()), Some(1))),
            // As `break`, without a length.
            "break-unsized" => Response::new(TestBody::of(Pieces { items: failing(pieces(number())), left: None }.boxed_unsync())),
            // Answers after so many milliseconds.
            "wait" => {
                tokio::time::sleep(Duration::from_millis(number())).await;
                Response::new(full("waited"))
            }
            "refuse" => status(StatusCode::FORBIDDEN),
            // Reads the body, then says how long it was.
            "count" => match count(request.into_body()).await {
                Ok(n) => Response::new(full(n.to_string())),
                Err(e) => {
                    let mut response = Response::new(full(format!("{:?}", e.kind())));
                    *response.status_mut() = StatusCode::BAD_REQUEST;
                    response
                }
            },
            // Starts work that outlives the client.
            "track" => {
                let wait = Duration::from_millis(number());
                self.tracker.spawn(tokio::time::sleep(wait));
                Response::new(full("tracked"))
            }
            _ => status(StatusCode::NOT_FOUND),
        }
    }
}

async fn count(mut body: RequestBody) -> Result<u64, Error> {
    let mut n = 0;
    while let Some(frame) = body.frame().await {
        n += frame?.into_data().map_or(0, |d| d.len() as u64);
    }
    Ok(n)
}

fn full(text: impl Into<Bytes>) -> TestBody {
    TestBody::of(Full::new(text.into()).map_err(|e: Infallible| match e {}).boxed_unsync())
}

fn status(code: StatusCode) -> Response<TestBody> {
    let mut response = Response::new(full(""));
    *response.status_mut() = code;
    response
}

fn broken() -> Error {
    Error::internal("the disk is gone, as asked")
}

/// Bytes that tell their own position, so that a test can check every one.
pub fn expected(len: u64) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8).collect()
}

fn pieces(len: u64) -> Vec<Bytes> {
    let all = Bytes::from(expected(len));
    (0..all.len()).step_by(64 * 1024).map(|at| all.slice(at..all.len().min(at + 64 * 1024))).collect()
}

fn failing(pieces: Vec<Bytes>) -> std::vec::IntoIter<Result<Bytes, Error>> {
    pieces.into_iter().map(Ok).chain([Err(broken())]).collect::<Vec<_>>().into_iter()
}

/// With a Content-Length; `missing` bytes more are announced, and end in an error.
fn sized(pieces: Vec<Bytes>, missing: Option<u64>) -> TestBody {
    let len: u64 = pieces.iter().map(|p| p.len() as u64).sum();
    let items = if missing.is_some() { failing(pieces) } else { pieces.into_iter().map(Ok).collect::<Vec<_>>().into_iter() };
    TestBody::of(Pieces { items, left: Some(len + missing.unwrap_or(0)) }.boxed_unsync())
}

struct Pieces {
    items: std::vec::IntoIter<Result<Bytes, Error>>,
    left: Option<u64>,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let next = self.items.next();
        if let (Some(Ok(data)), Some(left)) = (&next, &mut self.left) {
            *left -= data.len() as u64;
        }
        Poll::Ready(next.map(|item| item.map(Frame::data)))
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0)
    }
}
