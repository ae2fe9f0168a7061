//! The origin, layer by layer: the one place that says in which order they stand. Drawn in docs/architecture.md.
//!
//! Called at the start, before any port is open. What is opened here is closed last, the upper layers before those they stand on.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use crate::app::StartError;
use crate::auth::keys::Secret;
use crate::cache::{Cache, settings::Settings as CacheSettings};
use crate::cluster::blocks::Neighbours;
use crate::local::{Local, Settings as LocalSettings, hot};
use crate::ops::Layers;
use crate::ops::changes::Follower;
use crate::ops::replicas::{Replicas, Settings as ReplicaSettings};
use crate::ops::shadow::{Settings as ShadowSettings, Shadows};
use crate::ops::shared_upkeep::SharedUpkeep;
use crate::ops::tally::Tally;
use crate::ops::through_cache::ThroughCache;
use crate::ops::write_back::{Settings as BackSettings, WriteBack};
use crate::origin::Origin;
use crate::private;
use crate::queue::Queue;
use crate::telemetry::metrics::Metrics;
use crate::upstream::{Settings as UpstreamSettings, Upstream};
use crate::usage::Usage;

/// In the data folder.
const REPLICAS_FOLDER: &str = "replicas";
pub const BACK_FOLDER: &str = "back";
/// Write-back's store is small: what is in it is on its way.
const BACK_INDEX_CACHE_BYTES: u64 = 16 * 1024 * 1024;
const BACK_HOT_CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// What the configuration says of each layer.
pub struct Settings {
    pub local: LocalSettings,
    /// None: the embedded store.
    pub upstream: Option<UpstreamSettings>,
    pub shadows: Vec<ShadowSettings>,
    pub cache: CacheSettings,
    pub replicas: Vec<ReplicaSettings>,
    pub back: BackSettings,
}

/// What the layers work with.
pub struct Tools<'t> {
    /// The operator's.
    pub secret: &'t Secret,
    pub queue: &'t Queue,
    pub usage: &'t Usage,
    /// The nodes that keep blocks of the cache beside this one.
    pub neighbours: Option<Arc<Neighbours>>,
    pub metrics: &'t Arc<Metrics>,
}

pub type Close = Box<dyn FnOnce() + Send>;

pub struct Stack {
    pub origin: Origin,
    pub layers: Layers,
    /// What is done once for all nodes over the bucket. None: an embedded store.
    pub shared: Option<SharedUpkeep>,
    /// What is to be called at the stop, in this order.
    pub close: Vec<Close>,
}

/// Each layer stands over those before it, and is there only where the configuration asks for it.
pub async fn open(settings: Settings, tools: &Tools<'_>) -> Result<Stack, StartError> {
    let Settings { local, upstream, shadows, cache, replicas, back } = settings;
    let is_far = upstream.is_some();
    let mut stack = match upstream {
        Some(upstream) => Stack::over_upstream(upstream, &local, tools).await?,
        None => Stack::over_local(local.clone(), tools)?,
    };
    // Under the cache: what is read from an old store is far away too.
    stack.put_shadows(shadows, tools).await?;
    if is_far {
        stack.put_cache(cache, tools.neighbours.clone())?;
    }
    // Under write-back: what waits there is not yet what is to be copied.
    stack.put_replicas(replicas, &local, tools)?;
    stack.put_write_back(&back, local, tools).await?;
    stack.close.reverse();
    Ok(stack)
}

impl Stack {
    fn over(origin: Origin, close: Close) -> Self {
        Stack { origin, layers: Layers::default(), shared: None, close: vec![close] }
    }

    fn over_local(settings: LocalSettings, tools: &Tools<'_>) -> Result<Self, StartError> {
        let store = Local::open(LocalSettings { metrics: tools.metrics.clone(), ..settings })?;
        let closed = store.clone();
        let origin =
            Origin { due: Some(store.clone()), last_reads: Some(store.clone()), encryption_keys: Some(store.clone()), ..Origin::of(store) };
        Ok(Stack::over(origin, Box::new(move || closed.close())))
    }

    async fn over_upstream(settings: UpstreamSettings, store: &LocalSettings, tools: &Tools<'_>) -> Result<Self, StartError> {
        let upstream = Upstream::start(settings, tools.secret.expose().as_bytes()).await?;
        let (closed, shared) = (upstream.clone(), SharedUpkeep::new(upstream.clone()));
        let mut origin = Origin { has_classes: true, ..Origin::of(Arc::new(upstream.clone())) };
        let mut layers = Layers::default();
        if tools.usage.settings().count_upstream {
            let (node, usage, limits) = (tools.queue.node()?, tools.usage.clone(), store.bucket_limits.clone());
            let tally = Tally::open(node, usage, Arc::new(shared.clone()), origin.clone(), limits).await?;
            upstream.count_by(Arc::new(tally.clone()));
            origin = tally.clone().over(origin);
            layers.tally = Some(tally);
        }
        let stack = Stack::over(origin, Box::new(move || closed.close()));
        Ok(Stack { shared: Some(shared), layers, ..stack })
    }

    async fn put_shadows(&mut self, settings: Vec<ShadowSettings>, tools: &Tools<'_>) -> Result<(), StartError> {
        if settings.is_empty() {
            return Ok(());
        }
        let secret = tools.secret.expose().as_bytes();
        let shadows = Shadows::open(self.origin.clone(), settings, secret, &tools.metrics.shadows).await?;
        self.origin = shadows.origin();
        let closed = shadows.clone();
        self.close.push(Box::new(move || closed.close()));
        self.layers.shadows = Some(shadows);
        Ok(())
    }

    fn put_cache(&mut self, settings: CacheSettings, neighbours: Option<Arc<Neighbours>>) -> Result<(), StartError> {
        let cache = Cache::start(settings).map_err(|e| StartError::Failed(format!("the cache's folder can't be used: {e}")))?;
        let through = Arc::new(ThroughCache::new(self.origin.clone(), cache.clone(), neighbours));
        self.origin = through.origin();
        self.layers.cache = Some(cache);
        self.layers.blocks = Some(through);
        Ok(())
    }

    fn put_replicas(&mut self, settings: Vec<ReplicaSettings>, store: &LocalSettings, tools: &Tools<'_>) -> Result<(), StartError> {
        if settings.is_empty() {
            return Ok(());
        }
        let dir = store.dir.join(REPLICAS_FOLDER);
        private::make_dir(&dir).map_err(|e| StartError::Failed(format!("{}: can't be made: {e}", dir.display())))?;
        let settings = settings.into_iter().map(|s| with_folder(s, &dir, store, tools.metrics)).collect();
        let (queue, gauges) = (tools.queue.clone(), tools.metrics.replicas.clone());
        let replicas = Replicas::new(self.origin.clone(), settings, tools.secret, queue, dir, gauges);
        self.origin = replicas.origin();
        let closed = replicas.clone();
        self.close.push(Box::new(move || closed.close()));
        self.layers.replicas = Some(replicas);
        Ok(())
    }

    /// Who hears what is to be brought to replicas.
    pub fn follower(&self) -> Option<Arc<dyn Follower>> {
        self.layers.replicas.clone().map(|replicas| Arc::new(replicas) as Arc<dyn Follower>)
    }

    /// Also where something still waits from when a bucket asked for it.
    async fn put_write_back(&mut self, settings: &BackSettings, store: LocalSettings, tools: &Tools<'_>) -> Result<(), StartError> {
        let dir = store.dir.join(BACK_FOLDER);
        if settings.buckets.is_empty() && !dir.exists() {
            return Ok(());
        }
        let hot = hot::Settings { bytes: store.hot.bytes.min(BACK_HOT_CACHE_BYTES), ..store.hot };
        let index_cache_bytes = store.index_cache_bytes.min(BACK_INDEX_CACHE_BYTES);
        // What waits there goes where it belongs, whatever its age.
        let (lifecycles, bucket_limits) = (Arc::default(), Arc::default());
        let local =
            Local::open(LocalSettings { dir, hot, index_cache_bytes, metrics: tools.metrics.clone(), lifecycles, bucket_limits, ..store })?;
        let buckets: HashSet<_> = settings.buckets.iter().cloned().collect();
        let mode = Arc::new(move |bucket: &_| buckets.contains(bucket));
        let (queue, gauges) = (tools.queue.clone(), tools.metrics.write_back.clone());
        let back = WriteBack::open(local, (self.origin.clone(), self.layers.tally.clone()), queue, mode, settings.limit, gauges).await?;
        let unaccounted = back.clone();
        tokio::spawn(async move {
            if let Err(e) = unaccounted.take_up().await {
                tracing::warn!(error = %e, "what was written back before could not be looked through; the next write does it again");
            }
        });
        self.origin = back.origin();
        let closed = back.clone();
        self.close.push(Box::new(move || closed.close()));
        self.layers.back = Some(back);
        Ok(())
    }
}

fn with_folder(settings: ReplicaSettings, dir: &Path, store: &LocalSettings, metrics: &Arc<Metrics>) -> ReplicaSettings {
    let upstream = UpstreamSettings {
        dir: dir.join(&settings.name),
        memory_limit: store.inline_limit,
        reserve_bytes: store.reserve_bytes,
        metrics: metrics.clone(),
        ..settings.upstream
    };
    ReplicaSettings { upstream, ..settings }
}
