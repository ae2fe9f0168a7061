//! A stand-in for CloudFront: one edge location with its cache, as its documentation describes it towards a custom origin.
//!
//! What it does as the real one: asks for larger ranges than its viewer, sends few of the viewer's headers and its own instead,
//! lets one request fetch for all that wait, keeps answers by s-maxage and max-age on a clock that the test moves, asks again with
//! If-None-Match, serves what is stale on 5xx and time-outs, keeps 404 and 5xx for the error time, keeps a body that was cut where
//! nothing told its length, drops Vary except for Accept-Encoding, fails over inside an origin group.
//! What it leaves out: compression of its own, signatures of viewers, stale-while-revalidate, more than one location.
//! It also watches the origin: `violations` names every answer that the real one would make something wrong of.

mod cache;
mod headers;
mod origin;
mod viewers;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;

pub use cache::{Entry, Key};

/// "Error caching minimum TTL" as it is when nobody changes it, in seconds.
pub const ERROR_TTL: u64 = 10;

#[derive(Clone, Default)]
pub struct Clock(Arc<AtomicU64>);

impl Clock {
    pub fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    pub fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

/// What becomes of a viewer's query.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Query {
    Dropped,
    InKey,
    /// Sent to the origin and no part of the cache key: a mistake of the distribution's owner that must not open anything.
    ForwardedOnly,
}

/// A cache behaviour. The first whose path begins the request's is taken.
#[derive(Clone)]
pub struct Behaviour {
    pub path: String,
    pub query: Query,
    /// Its origin is the group of gateway and fallback.
    pub fails_over: bool,
}

/// What the fallback bucket gives for a path.
pub type Fallback = Arc<dyn Fn(&str) -> Option<Bytes> + Send + Sync>;

pub struct Settings {
    pub origin: SocketAddr,
    /// Sent as Host.
    pub origin_name: String,
    pub custom_headers: Vec<(&'static str, String)>,
    pub behaviours: Vec<Behaviour>,
    pub fallback: Option<Fallback>,
    /// For the head, and between two pieces of the body.
    pub response_timeout: Duration,
}

pub struct CloudFront {
    /// Where viewers connect.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    runtime: Option<tokio::runtime::Runtime>,
}

struct Shared {
    settings: Settings,
    clock: Clock,
    client: origin::Client,
    cache: Mutex<HashMap<Key, Entry>>,
    fetching: Mutex<HashMap<Key, Arc<tokio::sync::Mutex<()>>>>,
    requests: AtomicU64,
    violations: Mutex<Vec<String>>,
}

impl CloudFront {
    pub fn start(settings: Settings, clock: Clock) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let shared = Arc::new(Shared {
            settings,
            clock,
            client: origin::client(),
            cache: Mutex::default(),
            fetching: Mutex::default(),
            requests: AtomicU64::new(0),
            violations: Mutex::default(),
        });
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(viewers::serve(shared.clone(), listener));
        CloudFront { address, shared, runtime: Some(runtime) }
    }

    /// Everything that it keeps now.
    pub fn entries(&self) -> Vec<(Key, Entry)> {
        self.shared.cache.lock().unwrap().iter().map(|(k, e)| (k.clone(), e.clone())).collect()
    }

    /// Requests that it sent to the gateway.
    pub fn origin_requests(&self) -> u64 {
        self.shared.requests.load(Ordering::SeqCst)
    }

    pub fn take_violations(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.violations.lock().unwrap())
    }

    /// As an invalidation of `#tag`: without regard to case.
    pub fn invalidate_tag(&self, tag: &str) {
        self.shared.cache.lock().unwrap().retain(|_, e| !cache::tags(&e.headers).any(|t| t.eq_ignore_ascii_case(tag)));
    }
}

impl Drop for CloudFront {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Shared {
    fn violation(&self, what: &str, path: &str, headers: &HeaderMap) {
        self.violations.lock().unwrap().push(format!("{path}: {what}: {headers:?}"));
    }

    fn behaviour(&self, path: &str) -> Option<&Behaviour> {
        self.settings.behaviours.iter().find(|b| path.starts_with(&b.path))
    }

    fn lock_of(&self, key: &Key) -> Arc<tokio::sync::Mutex<()>> {
        self.fetching.lock().unwrap().entry(key.clone()).or_default().clone()
    }
}
