//! Write-back in front of an origin, where a bucket asks for it or something still waits from when one did.
//!
//! Called at the start, before any port is open.

use std::collections::HashSet;
use std::sync::Arc;

use crate::app::StartError;
use crate::app::origin::Opened;
use crate::local::{Local, Settings as LocalSettings, hot};
use crate::ops::write_back::{Settings, WriteBack};
use crate::queue::Queue;
use crate::telemetry::metrics::Metrics;

/// Its store is small: what is in it is on its way.
const INDEX_CACHE_BYTES: u64 = 16 * 1024 * 1024;
const HOT_CACHE_BYTES: u64 = 16 * 1024 * 1024;
/// In the data folder.
pub const FOLDER: &str = "back";

pub async fn open(
    settings: &Settings,
    store: LocalSettings,
    opened: &mut Opened,
    queue: &Queue,
    metrics: &Arc<Metrics>,
) -> Result<Option<WriteBack>, StartError> {
    let dir = store.dir.join(FOLDER);
    if settings.buckets.is_empty() && !dir.exists() {
        return Ok(None);
    }
    let hot = hot::Settings { bytes: store.hot.bytes.min(HOT_CACHE_BYTES), ..store.hot };
    let index_cache_bytes = store.index_cache_bytes.min(INDEX_CACHE_BYTES);
    let local = Local::open(LocalSettings { dir, hot, index_cache_bytes, metrics: metrics.clone(), ..store })?;
    let buckets: HashSet<_> = settings.buckets.iter().cloned().collect();
    let mode = Arc::new(move |bucket: &_| buckets.contains(bucket));
    let back = WriteBack::open(local, opened.origin.clone(), queue.clone(), mode, settings.limit, metrics.write_back.clone()).await?;
    let unaccounted = back.clone();
    tokio::spawn(async move {
        if let Err(e) = unaccounted.take_up().await {
            tracing::warn!(error = %e, "what was written back before could not be looked through; the next write does it again");
        }
    });
    opened.origin = Arc::new(back.clone());
    let closed = back.clone();
    // Before what it stands on.
    opened.close.insert(0, Box::new(move || closed.close()));
    Ok(Some(back))
}
