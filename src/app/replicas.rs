//! Replicas of an origin, where the configuration names some.
//!
//! Called at the start, before any port is open, and before write-back is put in front: what waits there is not yet what is
//! to be copied.

use std::path::Path;
use std::sync::Arc;

use crate::app::StartError;
use crate::app::origin::Opened;
use crate::auth::grant::GatewayGrant;
use crate::auth::keys::Secret;
use crate::jobs::replicate::{Repair, Replicate};
use crate::local::Settings as LocalSettings;
use crate::ops::changes::Follower;
use crate::ops::replicas::{Replicas, Settings};
use crate::private;
use crate::queue::{Kind, Queue};
use crate::telemetry::metrics::Metrics;
use crate::upstream::Settings as UpstreamSettings;

/// In the data folder.
const FOLDER: &str = "replicas";

pub fn open(
    settings: Vec<Settings>,
    store: &LocalSettings,
    opened: &mut Opened,
    secret: &Secret,
    queue: &Queue,
    metrics: &Arc<Metrics>,
) -> Result<Option<Replicas>, StartError> {
    if settings.is_empty() {
        return Ok(None);
    }
    let dir = store.dir.join(FOLDER);
    private::make_dir(&dir).map_err(|e| StartError::Failed(format!("{}: can't be made: {e}", dir.display())))?;
    let settings = settings.into_iter().map(|s| with_folder(s, &dir, store, metrics)).collect();
    let replicas = Replicas::new(opened.origin.clone(), settings, secret, queue.clone(), dir, metrics.replicas.clone());
    opened.origin = Arc::new(replicas.clone());
    let closed = replicas.clone();
    // Before what it stands on.
    opened.close.insert(0, Box::new(move || closed.close()));
    Ok(Some(replicas))
}

/// Who hears what is to be brought to them.
pub fn follower(replicas: &Option<Replicas>) -> Option<Arc<dyn Follower>> {
    replicas.clone().map(|replicas| Arc::new(replicas) as Arc<dyn Follower>)
}

/// What brings changes to the replicas.
pub fn kinds(replicas: &Replicas, grant: &GatewayGrant) -> Vec<Arc<dyn Kind>> {
    let each = replicas.all().into_iter().map(|(which, name)| {
        let kind = Replicate { replicas: replicas.clone(), which, name, grant: grant.clone() };
        Arc::new(kind) as Arc<dyn Kind>
    });
    each.chain([Arc::new(Repair { replicas: replicas.clone(), grant: grant.clone() }) as Arc<dyn Kind>]).collect()
}

fn with_folder(settings: Settings, dir: &Path, store: &LocalSettings, metrics: &Arc<Metrics>) -> Settings {
    let upstream = UpstreamSettings {
        dir: dir.join(&settings.name),
        memory_limit: store.inline_limit,
        reserve_bytes: store.reserve_bytes,
        metrics: metrics.clone(),
        ..settings.upstream
    };
    Settings { upstream, ..settings }
}
