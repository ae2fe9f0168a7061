//! The other nodes as keepers of blocks: which of them keeps a stretch of an object, and asking it.
//!
//! Only bytes that open under the answer's key are believed; whatever else a peer says, or does not say in time, means that the upstream is
//! asked instead. One that failed is left out for a while: its stretches are then kept by the others.
//! Not here: what a node gives (`ops::through_cache`). A node that is asked never asks another one.
//! Limits: the cache's `fetches` are at once under way, `IDLE` connections to a peer are kept.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::client::connect;
use super::ring::{STRETCH, Stretch};
use super::seal::Seals;
use super::sealed_body::Opening;
use super::{BLOCKS_PATH, PeerAddress, Settings};
use crate::base::crypt::chunks::{BodyId, sealed_len};
use crate::base::error::Result;
use crate::base::etag::ETag;
use crate::base::names::{BucketName, ObjectKey};
use crate::base::range::ByteRange;
use crate::origin::{Body, BodySource};

/// Which answer it is: a part of its key.
pub const ANSWER: &str = "x-tidegate-answer";
const CONNECT_PATIENCE: Duration = Duration::from_millis(500);
/// Until the first byte: the peer may have to ask the upstream. Then this node does so itself.
const PATIENCE: Duration = Duration::from_secs(3);
const SHORTEST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(30);
const IDLE: usize = 8;

/// Bytes of one version of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    pub bucket: String,
    pub key: String,
    /// By which it was asked for. None: the current one.
    pub version: Option<String>,
    pub etag: String,
    pub size: u64,
    pub start: u64,
    pub end: u64,
}

impl Wanted {
    pub fn is_of(&self, etag: &ETag, size: u64) -> bool {
        self.etag == etag.to_string() && self.size == size
    }
}

/// A connection, with what seals its messages.
struct Link {
    sender: SendRequest<Full<Bytes>>,
    seals: Seals,
}

struct Neighbour {
    address: PeerAddress,
    idle: Mutex<Vec<Link>>,
    /// Since when it fails, and when it did last.
    failing: Mutex<Option<(Instant, Instant)>>,
}

pub struct Neighbours {
    here: PeerAddress,
    others: Vec<Neighbour>,
    secret: zeroize::Zeroizing<Vec<u8>>,
}

/// A peer that keeps a stretch.
#[derive(Clone)]
pub struct Keeper {
    all: Arc<Neighbours>,
    at: usize,
}

impl Neighbours {
    /// None: this node keeps its own blocks only.
    pub fn new(settings: &Settings, operator_secret: &[u8]) -> Option<Arc<Self>> {
        let neighbour = |address: &PeerAddress| Neighbour { address: address.clone(), idle: Mutex::default(), failing: Mutex::default() };
        let others = settings.peers.iter().map(neighbour).collect();
        let here = settings.this.clone().filter(|_| settings.share_cache)?;
        Some(Arc::new(Neighbours { here, others, secret: operator_secret.to_vec().into() }))
    }

    /// Who keeps what is at `offset`. None: this node.
    pub fn keeper(self: &Arc<Self>, bucket: &BucketName, key: &ObjectKey, offset: u64) -> Option<Keeper> {
        let up = || self.others.iter().filter(|n| !n.is_resting()).map(|n| &n.address);
        let keeper = Stretch::at(bucket, key, offset).keeper(up().chain([&self.here]))?;
        let at = self.others.iter().position(|n| n.address == *keeper)?;
        Some(Keeper { all: self.clone(), at })
    }

    /// As much of the range as lies in one stretch.
    pub fn within_stretch(range: ByteRange) -> ByteRange {
        let end = (range.start / STRETCH + 1) * STRETCH;
        ByteRange { start: range.start, end: range.end.min(end) }
    }
}

impl Neighbour {
    fn is_resting(&self) -> bool {
        let rest = |since: Instant| (since.elapsed() / 2).clamp(SHORTEST_REST, LONGEST_REST);
        lock(&self.failing).is_some_and(|(since, last)| last.elapsed() < rest(since))
    }

    fn works(&self) {
        if let Some((since, _)) = lock(&self.failing).take() {
            tracing::info!(peer = %self.address, after = ?since.elapsed(), "a peer gives blocks again");
        }
    }

    fn fails(&self, error: &str) {
        let mut failing = lock(&self.failing);
        if failing.is_none() {
            tracing::warn!(peer = %self.address, error, "a peer gives no blocks now; the upstream is asked for them");
        }
        let since = failing.map_or_else(Instant::now, |(since, _)| since);
        *failing = Some((since, Instant::now()));
    }
}

impl Keeper {
    fn neighbour(&self) -> Option<&Neighbour> {
        self.all.others.get(self.at)
    }

    /// None: it has none of this, or can't be asked now.
    pub async fn ask(self, wanted: &Wanted) -> Option<Body> {
        let neighbour = self.neighbour()?;
        match timeout(PATIENCE, self.exchange(neighbour, wanted)).await.unwrap_or_else(|_| Err("it does not answer".into())) {
            Ok(body) => {
                neighbour.works();
                body
            }
            Err(e) => {
                neighbour.fails(&e);
                None
            }
        }
    }

    /// Ok(None): it answers, and has none of this. Err: in words for the operator.
    async fn exchange(&self, neighbour: &Neighbour, wanted: &Wanted) -> Result<Option<Body>, String> {
        let text = Bytes::from(serde_json::to_vec(wanted).map_err(|e| e.to_string())?);
        let kept = lock(&neighbour.idle).pop().filter(|link| !link.sender.is_closed());
        if let Some(link) = kept
            && let Ok(answer) = self.send(neighbour, link, text.clone(), wanted).await
        {
            return Ok(answer);
        }
        // The peer may have closed it just then.
        let sender = timeout(CONNECT_PATIENCE, connect(&neighbour.address)).await.map_err(|_| "it can't be reached")??;
        let link = Link { sender, seals: Seals::new(&self.all.secret).map_err(|e| e.to_string())? };
        self.send(neighbour, link, text, wanted).await
    }

    async fn send(&self, neighbour: &Neighbour, mut link: Link, text: Bytes, wanted: &Wanted) -> Result<Option<Body>, String> {
        let authorization = link.seals.seal(&text);
        let request = Request::post(BLOCKS_PATH)
            .header(HOST, &neighbour.address.authority)
            .header(AUTHORIZATION, &authorization)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(text))
            .map_err(|e| e.to_string())?;
        link.sender.ready().await.map_err(|e| e.to_string())?;
        let answer = link.sender.send_request(request).await.map_err(|e| e.to_string())?;
        match answer.status() {
            StatusCode::OK => {}
            // It knows another version, or can't say: no fault of its own.
            status if status.is_client_error() && status != StatusCode::FORBIDDEN => return Ok(None),
            status => return Err(format!("it answered {status}")),
        }
        let size = wanted.end - wanted.start;
        let id = answer_of(answer.headers(), size).ok_or("its answer is of another length, or has no name")?;
        let key = link.seals.answer_key(&authorization, id).map_err(|e| e.to_string())?;
        let opening = Opening::new(answer.into_body(), key, size);
        Ok(Some(Body::Stream(Box::pin(Coming { opening, link: Some(link), keeper: self.clone() }))))
    }
}

fn answer_of(headers: &HeaderMap, size: u64) -> Option<BodyId> {
    let length: u64 = headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()?;
    let mut id = BodyId::default();
    hex::decode_to_slice(headers.get(ANSWER)?, &mut id).ok()?;
    (length == sealed_len(size)).then_some(id)
}

/// What a peer sends. When all of it is here the connection is kept.
struct Coming {
    opening: Opening,
    link: Option<Link>,
    keeper: Keeper,
}

impl BodySource for Coming {
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let this = &mut *self;
        let piece = ready!(this.opening.poll_chunk(cx));
        match (&piece, this.keeper.neighbour()) {
            (None, Some(neighbour)) => {
                let mut idle = lock(&neighbour.idle);
                let has_room = idle.len() < IDLE;
                idle.extend(this.link.take().filter(|_| has_room));
            }
            (Some(Err(e)), Some(neighbour)) => neighbour.fails(&e.to_string()),
            _ => {}
        }
        Poll::Ready(piece)
    }

    fn remaining(&self) -> u64 {
        self.opening.remaining()
    }

    fn at_hand(&self) -> usize {
        self.opening.at_hand()
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
