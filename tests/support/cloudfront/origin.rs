//! One request to the gateway, with the real one's patience, and what came of it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::headers::{self, Asked};
use super::{Shared, cache};

pub type Client = hyper_util::client::legacy::Client<HttpConnector, Empty<Bytes>>;

pub fn client() -> Client {
    // Shorter than any gateway keeps its end open.
    hyper_util::client::legacy::Client::builder(TokioExecutor::new()).pool_idle_timeout(Duration::from_secs(5)).build_http()
}

pub enum Outcome {
    Answer(Answer),
    /// No head in time, or no connection: what CloudFront then tells its viewer.
    Fault(StatusCode),
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// It ended before the length that was told.
    pub cut: bool,
}

pub struct Ask<'a> {
    pub method: Method,
    pub target: &'a str,
    pub headers: HeaderMap,
    pub range: Option<Asked>,
    /// The ETag of what is kept.
    pub unless: Option<HeaderValue>,
}

impl Shared {
    pub(super) async fn ask_origin(&self, mut ask: Ask<'_>) -> Outcome {
        self.requests.fetch_add(1, Ordering::SeqCst);
        if let Some(range) = ask.range {
            let end = range.end.map(|e| (e - 1).to_string()).unwrap_or_default();
            ask.headers.insert(header::RANGE, HeaderValue::from_str(&format!("bytes={}-{end}", range.start)).unwrap());
        }
        if let Some(etag) = &ask.unless {
            ask.headers.insert(header::IF_NONE_MATCH, etag.clone());
        }
        let uri = format!("http://{}{}", self.settings.origin, ask.target);
        let mut request = Request::builder().method(ask.method.clone()).uri(uri).body(Empty::new()).unwrap();
        *request.headers_mut() = ask.headers.clone();
        let patience = self.settings.response_timeout;
        let response = match tokio::time::timeout(patience, self.client.request(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(_)) => return Outcome::Fault(StatusCode::BAD_GATEWAY),
            Err(_) => return Outcome::Fault(StatusCode::GATEWAY_TIMEOUT),
        };
        let (head, mut incoming) = response.into_parts();
        let mut body = BytesMut::new();
        let mut broken = false;
        loop {
            match tokio::time::timeout(patience, incoming.frame()).await {
                Ok(Some(Ok(frame))) => body.extend_from_slice(frame.data_ref().map_or(&[][..], |d| d)),
                Ok(None) => break,
                Ok(Some(Err(_))) | Err(_) => {
                    broken = true;
                    break;
                }
            }
        }
        self.watch(&ask, head.status, &head.headers, broken);
        // Where nothing tells the length, the end of the connection is the end of the object.
        let cut = broken && head.headers.contains_key(header::CONTENT_LENGTH);
        Outcome::Answer(Answer { status: head.status, headers: headers::from_origin(&head.headers), body: body.freeze(), cut })
    }

    /// Notes what the real one would make something wrong of.
    fn watch(&self, ask: &Ask<'_>, status: StatusCode, headers: &HeaderMap, broken: bool) {
        let wrong = |what: &str| self.violation(what, ask.target, headers);
        let text = |name: http::HeaderName| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
        // The fault proxy's own answers.
        if headers.contains_key("x-induced") {
            return;
        }
        let quoted = text(header::ETAG).trim_start_matches("W/").starts_with('"');
        match status.as_u16() {
            200 | 206 if !headers.contains_key(header::CONTENT_LENGTH) => wrong("no Content-Length: a cut body would be kept"),
            200 | 206 if !quoted => wrong("no ETag to ask again with"),
            200 | 206 if text(header::ACCEPT_RANGES) != "bytes" => wrong("no Accept-Ranges"),
            206 if ask.range.is_none() => wrong("a part that nobody asked for"),
            304 if ask.unless.is_none() => wrong("not modified, and nobody asked"),
            304 if !quoted => wrong("a 304 without an ETag"),
            301..=303 | 307 | 308 => wrong("a redirect: CloudFront keeps it and its viewer leaves"),
            403 if !text(header::CACHE_CONTROL).contains("no-store") => wrong("a refusal that may be kept"),
            500..=599 if !text(header::CACHE_CONTROL).contains("no-store") => wrong("a fault that may be kept"),
            500..=599 if headers.get(header::RETRY_AFTER).is_none() && status != StatusCode::NOT_IMPLEMENTED => wrong("no Retry-After"),
            _ => {}
        }
        if broken && !headers.contains_key(header::CONTENT_LENGTH) {
            wrong("cut, and nothing told its length");
        }
        let head: usize = headers.iter().map(|(n, v)| n.as_str().len() + v.len() + 4).sum();
        let tags = headers.get(cache::TAG_HEADER).and_then(|v| v.to_str().ok()).unwrap_or_default();
        if head > 20_480 || tags.split(',').count() > 50 || tags.split(',').any(|t| t.len() > 256 || !t.is_ascii()) {
            wrong("beyond CloudFront's limits");
        }
    }
}
