//! A body of unknown size from somebody else's address, as a body to be taken in: bounded, and gone on with where its connection broke.
//!
//! It goes on by Range with If-Range, so only with the same version: where the other side names none (no strong ETag, no date), or answers with
//! another, it is an error and whoever asked begins anew. A length that was announced is a promise: less than that is never the end.
//! Limits: so many bytes, so long between two pieces, so many tries without a byte between them.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_RANGE, LAST_MODIFIED, RANGE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body::Frame;
use tokio::time::timeout;

use crate::base::error::Error;
use crate::outbound::call::{Answer, Call};
use crate::outbound::target::{Reach, Trouble};

/// Without a byte between them.
const TRIES: u32 = 6;
const FIRST_WAIT: Duration = Duration::from_millis(200);
const HEAD_PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub struct Source {
    pub url: String,
    /// Sent to the place that was named, and to no other.
    pub headers: HeaderMap,
    pub reach: Reach,
    /// Between two pieces.
    pub stall: Duration,
    pub max: u64,
}

/// Why a download ended before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failed {
    Trouble(Trouble),
    Status {
        status: StatusCode,
        retry_after: Option<Duration>,
    },
    /// More than may be, or than was announced.
    TooLarge(u64),
    /// From the beginning it may go well.
    Anew(String),
}

/// What tells of a download while its body is taken in elsewhere.
#[derive(Clone, Default)]
pub struct Told {
    received: Arc<AtomicU64>,
    failed: Arc<Mutex<Option<Failed>>>,
}

impl Told {
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub fn failed(&self) -> Option<Failed> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

pub struct Download {
    pub headers: HeaderMap,
    /// None: it was not announced.
    pub length: Option<u64>,
    pub told: Told,
    state: State,
}

type Step = Pin<Box<dyn Future<Output = (Flow, Result<Option<Bytes>, Failed>)> + Send>>;

enum State {
    Idle(Box<Flow>),
    Busy(Step),
    Over,
}

/// The connection, and all that is needed for the next one.
struct Flow {
    source: Source,
    answer: Option<Answer>,
    version: Option<HeaderValue>,
    length: Option<u64>,
    at: u64,
    tries: u32,
}

/// Asks for it, and looks at the head of the answer.
pub async fn open(source: Source) -> Result<Download, Failed> {
    let answer = ask(&source, source.headers.clone()).await?;
    if answer.status != StatusCode::OK {
        return Err(Failed::Status { status: answer.status, retry_after: answer.retry_after() });
    }
    let length = answer.text(CONTENT_LENGTH).and_then(|text| text.parse().ok());
    if length.is_some_and(|length| length > source.max) {
        return Err(Failed::TooLarge(source.max));
    }
    let (version, headers) = (version_of(&answer.headers), answer.headers.clone());
    let flow = Flow { source, answer: Some(answer), version, length, at: 0, tries: 0 };
    Ok(Download { headers, length, told: Told::default(), state: State::Idle(Box::new(flow)) })
}

async fn ask(source: &Source, headers: HeaderMap) -> Result<Answer, Failed> {
    let call = Call { method: Method::GET, url: &source.url, headers, body: Bytes::new(), patience: HEAD_PATIENCE };
    call.send(&source.reach).await.map_err(Failed::Trouble)
}

/// What If-Range takes: a strong ETag, or else a date.
fn version_of(headers: &HeaderMap) -> Option<HeaderValue> {
    let strong = headers.get(ETAG).filter(|etag| etag.as_bytes().starts_with(b"\""));
    strong.or_else(|| headers.get(LAST_MODIFIED)).cloned()
}

impl Flow {
    async fn next(mut self) -> (Self, Result<Option<Bytes>, Failed>) {
        let next = self.piece().await;
        (self, next)
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, Failed> {
        loop {
            let Some(answer) = &mut self.answer else {
                self.go_on().await?;
                continue;
            };
            let broke = match timeout(self.source.stall, answer.piece()).await {
                Ok(Some(Ok(piece))) if piece.is_empty() => continue,
                Ok(Some(Ok(piece))) => {
                    self.at += piece.len() as u64;
                    self.tries = 0;
                    return if self.at > self.source.max { Err(Failed::TooLarge(self.source.max)) } else { Ok(Some(piece)) };
                }
                Ok(None) if self.length.is_none_or(|length| self.at == length) => return Ok(None),
                Ok(None) => "it ended early".to_owned(),
                Ok(Some(Err(e))) => e.to_string(),
                Err(_) => format!("nothing came for {} s", self.source.stall.as_secs()),
            };
            self.answer = None;
            if self.version.is_none() {
                return Err(Failed::Anew(format!("{broke} after {} bytes, and the source names no version to go on with", self.at)));
            }
            if self.tries >= TRIES {
                return Err(Failed::Anew(format!("{broke} after {} bytes, {TRIES} times", self.at)));
            }
        }
    }

    /// With what follows what is here.
    async fn go_on(&mut self) -> Result<(), Failed> {
        tokio::time::sleep(FIRST_WAIT.saturating_mul(1 << self.tries.min(TRIES))).await;
        self.tries += 1;
        let mut headers = self.source.headers.clone();
        if let (Ok(range), Some(version)) = (HeaderValue::from_str(&format!("bytes={}-", self.at)), &self.version) {
            headers.insert(RANGE, range);
            headers.insert(IF_RANGE, version.clone());
        }
        let answer = match ask(&self.source, headers).await {
            Ok(answer) => answer,
            Err(Failed::Trouble(Trouble::Unsent(_) | Trouble::Unanswered(_))) if self.tries < TRIES => return Ok(()),
            Err(e) => return Err(e),
        };
        match answer.status {
            StatusCode::PARTIAL_CONTENT => {}
            StatusCode::OK => return Err(Failed::Anew("the source changed, or gives no parts".into())),
            status if status.is_server_error() && self.tries < TRIES => return Ok(()),
            status => return Err(Failed::Status { status, retry_after: answer.retry_after() }),
        }
        let part = answer.text(CONTENT_RANGE).and_then(part);
        let is_rest = part.is_some_and(|(first, whole)| first == self.at && (self.length.is_none() || whole == self.length));
        let is_same = version_of(&answer.headers).is_none_or(|version| Some(version) == self.version);
        if !is_rest || !is_same {
            return Err(Failed::Anew("the source gave another part than the one that was asked for".into()));
        }
        self.length = self.length.or(part.and_then(|(_, whole)| whole));
        self.answer = Some(answer);
        Ok(())
    }
}

/// `bytes 5-9/10`: where it begins, and how long all of it is.
fn part(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, whole) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.parse().ok()?, whole.parse().ok()))
}

impl http_body::Body for Download {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        loop {
            match std::mem::replace(&mut self.state, State::Over) {
                State::Over => return Poll::Ready(None),
                State::Idle(flow) => self.state = State::Busy(Box::pin(flow.next())),
                State::Busy(mut step) => {
                    let Poll::Ready((flow, next)) = step.as_mut().poll(cx) else {
                        self.state = State::Busy(step);
                        return Poll::Pending;
                    };
                    return Poll::Ready(match next {
                        Ok(None) => None,
                        Ok(Some(piece)) => {
                            self.told.received.fetch_add(piece.len() as u64, Ordering::Relaxed);
                            self.state = State::Idle(Box::new(flow));
                            Some(Ok(Frame::data(piece)))
                        }
                        Err(failed) => {
                            *self.told.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(failed);
                            Some(Err(Error::internal("a download broke off")))
                        }
                    });
                }
            }
        }
    }
}
