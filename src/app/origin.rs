//! Which store the gateway stands on, and what is put in front of it.
//!
//! Called at the start, before any port is open. What is opened here is closed last, in the order of `close`.

use std::sync::Arc;

use crate::app::{StartError, shadows};
use crate::auth::keys::Secret;
use crate::cache::{Cache, settings::Settings as CacheSettings};
use crate::local::{Local, Settings as LocalSettings};
use crate::ops::shadow::{Settings as ShadowSettings, Shadows};
use crate::ops::through_cache::ThroughCache;
use crate::origin::Origin;
use crate::telemetry::metrics::Metrics;
use crate::upstream::{Settings as UpstreamSettings, Upstream};

pub type Close = Box<dyn FnOnce() + Send>;

pub struct Opened {
    pub origin: Arc<dyn Origin>,
    /// In front of what is far away.
    pub cache: Option<Cache>,
    /// Right over the store.
    pub shadows: Option<Shadows>,
    pub close: Vec<Close>,
}

/// `upstream` None: the embedded store. `secret` is the operator's.
pub async fn open(
    local: LocalSettings,
    upstream: Option<UpstreamSettings>,
    shadows: Vec<ShadowSettings>,
    cache: CacheSettings,
    secret: &Secret,
    metrics: &Arc<Metrics>,
) -> Result<Opened, StartError> {
    let Some(upstream) = upstream else {
        let store = Local::open(LocalSettings { metrics: metrics.clone(), ..local })?;
        let closed = store.clone();
        let mut close: Vec<Close> = vec![Box::new(move || closed.close())];
        let (origin, shadows) = shadows::open(shadows, store, secret, metrics, &mut close).await?;
        return Ok(Opened { origin, cache: None, shadows, close });
    };
    let upstream = Upstream::start(upstream, secret.expose().as_bytes()).await?;
    let (closed, tending) = (upstream.clone(), tokio::spawn(upstream.clone().tend()));
    let mut close: Vec<Close> = vec![Box::new(move || {
        tending.abort();
        closed.close();
    })];
    let (origin, shadows) = shadows::open(shadows, Arc::new(upstream), secret, metrics, &mut close).await?;
    let cache = Cache::start(cache).map_err(|e| StartError::Failed(format!("the cache's folder can't be used: {e}")))?;
    let origin = Arc::new(ThroughCache::new(origin, cache.clone()));
    Ok(Opened { origin, cache: Some(cache), shadows, close })
}
