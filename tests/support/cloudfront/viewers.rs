//! Answers viewers: from the cache, or by asking the gateway.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use super::cache::{self, Entry, Key};
use super::headers::{self, Wanted};
use super::origin::{Answer, Ask, Outcome};
use super::{Behaviour, ERROR_TTL, Query, Shared};

type Reply = Response<BoxBody<Bytes, io::Error>>;

pub async fn serve(shared: Arc<Shared>, listener: tokio::net::TcpListener) {
    loop {
        let Ok((tcp, from)) = listener.accept().await else { continue };
        let shared = shared.clone();
        tokio::spawn(async move {
            let answer = service_fn(move |request| {
                let shared = shared.clone();
                async move { Ok::<_, Infallible>(shared.answer(request, from.ip()).await) }
            });
            // A viewer that left is no concern of the cache.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(tcp), answer).await;
        });
    }
}

struct Viewer {
    method: Method,
    headers: HeaderMap,
    address: IpAddr,
    wanted: Option<Wanted>,
    /// Path and, where it goes on, the query.
    target: String,
}

impl Shared {
    async fn answer(&self, request: Request<Incoming>, address: IpAddr) -> Reply {
        let (parts, _) = request.into_parts();
        let path = parts.uri.path().to_owned();
        let Some(behaviour) = self.behaviour(&path) else { return plain(StatusCode::FORBIDDEN) };
        let query = parts.uri.query().filter(|_| behaviour.query != Query::Dropped);
        let target = query.map_or_else(|| path.clone(), |q| format!("{path}?{q}"));
        let viewer = Viewer { wanted: Wanted::parse(&parts.headers), method: parts.method, headers: parts.headers, address, target };
        match viewer.method {
            Method::GET | Method::HEAD => {}
            Method::OPTIONS => return self.pass(&viewer).await,
            _ => return plain(StatusCode::METHOD_NOT_ALLOWED),
        }
        let key = Key {
            query: query.filter(|_| behaviour.query == Query::InKey).map(str::to_owned),
            encodings: headers::encodings(&viewer.headers),
            range: viewer.wanted.filter(|_| viewer.method == Method::GET).and_then(Wanted::enlarged),
            path,
        };
        // One fetches; those who wait find what it brought.
        let lock = self.lock_of(&key);
        let _one = lock.lock().await;
        if let Some(entry) = self.fresh(&key) {
            return reply(&entry, &viewer, "Hit from cloudfront");
        }
        if viewer.method == Method::HEAD {
            return self.pass(&viewer).await;
        }
        self.fetch(behaviour, &viewer, key).await
    }

    /// Under its key, or all of the object where a part is wanted.
    fn fresh(&self, key: &Key) -> Option<Entry> {
        let cache = self.cache.lock().unwrap();
        let whole = Key { range: None, ..key.clone() };
        [key, &whole].into_iter().filter_map(|k| cache.get(k)).find(|e| e.is_fresh(self.clock.now())).cloned()
    }

    /// Neither kept nor taken from what is kept.
    async fn pass(&self, viewer: &Viewer) -> Reply {
        let headers = self.headers_for(viewer, headers::encodings(&viewer.headers));
        let ask = Ask { method: viewer.method.clone(), target: &viewer.target, headers, range: None, unless: None };
        match self.ask_origin(ask).await {
            Outcome::Answer(answer) => {
                let mut reply = Response::new(full(answer.body));
                (*reply.status_mut(), *reply.headers_mut()) = (answer.status, answer.headers);
                reply
            }
            Outcome::Fault(status) => plain(status),
        }
    }

    fn headers_for(&self, viewer: &Viewer, encodings: Option<&'static str>) -> HeaderMap {
        let id = self.requests.load(Ordering::SeqCst);
        headers::to_origin(&self.settings, &viewer.headers, viewer.address, encodings, id)
    }

    async fn fetch(&self, behaviour: &Behaviour, viewer: &Viewer, key: Key) -> Reply {
        let stale = self.cache.lock().unwrap().get(&key).cloned();
        let reusable = stale.as_ref().filter(|e| e.status.is_success());
        let ask = Ask {
            method: Method::GET,
            target: &viewer.target,
            headers: self.headers_for(viewer, key.encodings),
            range: key.range,
            unless: reusable.and_then(|e| e.headers.get(header::ETAG).cloned()),
        };
        match self.ask_origin(ask).await {
            Outcome::Answer(answer) if !matches!(answer.status.as_u16(), 500 | 502 | 503 | 504) => self.take(viewer, key, stale, answer),
            failed => {
                let (status, head) = match failed {
                    Outcome::Fault(status) => (status, HeaderMap::new()),
                    Outcome::Answer(answer) => (answer.status, answer.headers),
                };
                if behaviour.fails_over
                    && let Some(body) = self.settings.fallback.as_ref().and_then(|fallback| fallback(&key.path))
                {
                    let entry = self.entry(StatusCode::OK, HeaderMap::new(), body, 0);
                    return reply(&entry, viewer, "Failover from cloudfront");
                }
                if let Some(entry) = stale.filter(|e| e.status.is_success()) {
                    return reply(&entry, viewer, "Error from cloudfront");
                }
                let entry = Entry { from_origin: false, ..self.entry(status, head, Bytes::new(), ERROR_TTL) };
                self.cache.lock().unwrap().insert(key, entry.clone());
                reply(&entry, viewer, "Error from cloudfront")
            }
        }
    }

    fn take(&self, viewer: &Viewer, mut key: Key, stale: Option<Entry>, answer: Answer) -> Reply {
        if answer.status == StatusCode::NOT_MODIFIED {
            let Some(mut entry) = stale else { return plain(StatusCode::BAD_GATEWAY) };
            for (name, value) in answer.headers.iter().filter(|(n, _)| **n != header::CONTENT_LENGTH && **n != header::CONTENT_RANGE) {
                entry.headers.insert(name, value.clone());
            }
            let Some(ttl) = cache::ttl(entry.status, &entry.headers) else {
                self.cache.lock().unwrap().remove(&key);
                return reply(&entry, viewer, "RefreshHit from cloudfront");
            };
            (entry.confirmed, entry.fresh_until) = (self.clock.now(), self.clock.now() + ttl);
            entry.answer = self.requests.load(Ordering::SeqCst);
            self.cache.lock().unwrap().insert(key, entry.clone());
            return reply(&entry, viewer, "RefreshHit from cloudfront");
        }
        if answer.cut {
            return cut(&answer);
        }
        if answer.status == StatusCode::OK {
            // All of it came, whatever was asked for.
            key.range = None;
        }
        let ttl = cache::ttl(answer.status, &answer.headers);
        let entry = self.entry(answer.status, answer.headers, answer.body, ttl.unwrap_or(0));
        let mut cache = self.cache.lock().unwrap();
        match ttl {
            Some(_) => cache.insert(key, entry.clone()),
            // What is not to be kept also ends what was.
            None => cache.remove(&key),
        };
        reply(&entry, viewer, "Miss from cloudfront")
    }

    fn entry(&self, status: StatusCode, headers: HeaderMap, body: Bytes, ttl: u64) -> Entry {
        let now = self.clock.now();
        Entry {
            status,
            headers,
            body,
            confirmed: now,
            answer: self.requests.load(Ordering::SeqCst),
            fresh_until: now + ttl,
            from_origin: true,
        }
    }
}

/// The entry as this viewer asked for it.
fn reply(entry: &Entry, viewer: &Viewer, how: &'static str) -> Reply {
    let part = match entry.status.as_u16() {
        200 | 206 => viewer.wanted.map(|wanted| (wanted, held(entry))),
        _ => None,
    };
    let (status, body, range) = match part {
        None => (entry.status, entry.body.clone(), None),
        Some((wanted, (first, total))) => match wanted.resolve(total) {
            Some((start, end)) => {
                let inside = |at: u64| usize::try_from(at.saturating_sub(first)).unwrap().min(entry.body.len());
                let body = entry.body.slice(inside(start)..inside(end));
                (StatusCode::PARTIAL_CONTENT, body, Some(format!("bytes {start}-{}/{total}", end - 1)))
            }
            None => (StatusCode::RANGE_NOT_SATISFIABLE, Bytes::new(), Some(format!("bytes */{total}"))),
        },
    };
    let length = body.len();
    let mut reply = Response::new(full(if viewer.method == Method::HEAD { Bytes::new() } else { body }));
    *reply.status_mut() = status;
    *reply.headers_mut() = entry.headers.clone();
    let headers = reply.headers_mut();
    headers.remove(header::CONTENT_RANGE);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    if let Some(range) = range {
        headers.insert(header::CONTENT_RANGE, HeaderValue::from_str(&range).unwrap());
    }
    headers.insert("x-cache", HeaderValue::from_static(how));
    reply
}

/// Where the entry's bytes begin in the object, and the object's size.
fn held(entry: &Entry) -> (u64, u64) {
    let whole = (0, entry.body.len() as u64);
    let Some(range) = entry.headers.get(header::CONTENT_RANGE).and_then(|v| v.to_str().ok()) else { return whole };
    let parsed = range.strip_prefix("bytes ").and_then(|r| {
        let (part, total) = r.split_once('/')?;
        Some((part.split_once('-')?.0.parse().ok()?, total.parse().ok()?))
    });
    parsed.unwrap_or(whole)
}

fn cut(answer: &Answer) -> Reply {
    let mut reply = Response::new(Broken(Some(answer.body.clone())).boxed());
    *reply.status_mut() = answer.status;
    *reply.headers_mut() = answer.headers.clone();
    reply
}

/// A body of which not all comes.
struct Broken(Option<Bytes>);

impl Body for Broken {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(Some(match self.0.take() {
            Some(data) => Ok(Frame::data(data)),
            None => Err(io::Error::other("the origin went away")),
        }))
    }
}

fn plain(status: StatusCode) -> Reply {
    let mut reply = Response::new(full(Bytes::new()));
    *reply.status_mut() = status;
    reply
}

fn full(body: Bytes) -> BoxBody<Bytes, io::Error> {
    Full::new(body).map_err(|never: Infallible| match never {}).boxed()
}
