//! Which store the gateway stands on, and what is put in front of it.
//!
//! Called at the start, before any port is open. What is opened here is closed last, in the order of `close`.

use std::sync::Arc;

use crate::app::StartError;
use crate::auth::keys::Secret;
use crate::cache::{Cache, settings::Settings as CacheSettings};
use crate::local::{Local, Settings as LocalSettings};
use crate::ops::peers::Peers;
use crate::ops::through_cache::ThroughCache;
use crate::origin::Origin;
use crate::telemetry::metrics::Metrics;
use crate::upstream::{Settings as UpstreamSettings, Upstream};

pub type Close = Box<dyn FnOnce() + Send>;

pub struct Opened {
    pub origin: Arc<dyn Origin>,
    /// In front of what is far away.
    pub cache: Option<Cache>,
    pub close: Vec<Close>,
}

/// `upstream` None: the embedded store. `secret` is the operator's.
pub async fn open(
    local: LocalSettings,
    upstream: Option<UpstreamSettings>,
    cache: CacheSettings,
    secret: &Secret,
    peers: Option<Arc<dyn Peers>>,
    metrics: &Arc<Metrics>,
) -> Result<Opened, StartError> {
    let Some(upstream) = upstream else {
        let store = Local::open(LocalSettings { metrics: metrics.clone(), ..local })?;
        let origin = store.clone();
        return Ok(Opened { origin, cache: None, close: vec![Box::new(move || store.close())] });
    };
    let upstream = Upstream::start(upstream, secret.expose().as_bytes()).await?;
    let cache = Cache::start(cache).map_err(|e| StartError::Failed(format!("the cache's folder can't be used: {e}")))?;
    let origin = Arc::new(ThroughCache::new(Arc::new(upstream.clone()), cache.clone()).with_peers(peers));
    let tending = tokio::spawn(upstream.clone().tend());
    let close: Close = Box::new(move || {
        tending.abort();
        upstream.close();
    });
    Ok(Opened { origin, cache: Some(cache), close: vec![close] })
}
