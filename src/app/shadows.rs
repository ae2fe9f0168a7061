//! Old stores of buckets, where the configuration names some.
//!
//! Called at the start, before any port is open, and before the cache is put in front: what is read from there is far away too.

use std::sync::Arc;

use crate::app::StartError;
use crate::app::origin::Close;
use crate::auth::keys::Secret;
use crate::ops::shadow::{Settings, Shadows};
use crate::origin::Origin;
use crate::telemetry::metrics::Metrics;

/// What is opened is to be closed before the origin.
pub async fn open(
    settings: Vec<Settings>,
    origin: Arc<dyn Origin>,
    secret: &Secret,
    metrics: &Metrics,
    close: &mut Vec<Close>,
) -> Result<(Arc<dyn Origin>, Option<Shadows>), StartError> {
    if settings.is_empty() {
        return Ok((origin, None));
    }
    let shadows = Shadows::open(origin, settings, secret.expose().as_bytes(), &metrics.shadows).await?;
    let closed = shadows.clone();
    close.insert(0, Box::new(move || closed.close()));
    Ok((Arc::new(shadows.clone()), Some(shadows)))
}
