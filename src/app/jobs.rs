//! Which kinds of background work there are, and in whose name each acts.
//!
//! Called at the start. A kind is there as well where the configuration has no more use for it: jobs may be left of when it did.

use std::sync::Arc;

use crate::app::StartError;
use crate::auth::Auth;
use crate::cdn::cloudfront::Settings;
use crate::cdn::{CloudFront, Map};
use crate::jobs::backfill::Backfill;
use crate::jobs::purge::{Outbox, Purge};
use crate::jobs::replicate::{Repair, Replicate};
use crate::jobs::upload::Upload;
use crate::jobs::warm::Warm;
use crate::ops::cdn::Cdn;
use crate::ops::changes::{Changes, Follower};
use crate::ops::{Layers, Ops};
use crate::queue::{Kind, Queue};

/// Who tells CDNs what they are to forget.
pub struct Purges {
    /// None: no site has a CDN.
    outbox: Option<Arc<Outbox>>,
    client: Option<Arc<CloudFront>>,
}

pub fn purges(map: Map, settings: &Settings, queue: &Queue) -> Result<Purges, StartError> {
    let client = match CloudFront::new(settings) {
        Ok(client) => Arc::new(client),
        Err(e) if map.is_empty() => {
            tracing::info!(error = e, "purges can't be sent; no site has a CDN");
            return Ok(Purges { outbox: None, client: None });
        }
        Err(e) => return Err(StartError::Failed(e)),
    };
    let outbox = (!map.is_empty()).then(|| Arc::new(Outbox::new(map, queue.clone())));
    Ok(Purges { outbox, client: Some(client) })
}

impl Purges {
    pub fn cdn(&self) -> Option<Arc<dyn Cdn>> {
        self.outbox.clone().map(|outbox| outbox as Arc<dyn Cdn>)
    }

    pub fn follower(&self) -> Option<Arc<dyn Follower>> {
        self.outbox.clone().map(|outbox| outbox as Arc<dyn Follower>)
    }
}

/// What jobs need beside `ops`.
pub struct Parts {
    pub changes: Changes,
    pub purges: Purges,
    pub peers: Arc<dyn Kind>,
    pub layers: Layers,
}

pub fn kinds(parts: Parts, ops: &Ops, auth: &Arc<Auth>) -> Vec<Arc<dyn Kind>> {
    // In the name of the tenant who asked.
    let mut kinds: Vec<Arc<dyn Kind>> = Vec::new();
    if let Some(client) = parts.purges.client {
        kinds.push(Arc::new(Purge { client, ops: ops.clone(), auth: auth.clone() }));
    }
    if parts.layers.cache.is_some() {
        kinds.push(Arc::new(Warm { ops: ops.clone(), auth: auth.clone() }));
    }
    // The gateway's own.
    let grant = auth.gateway();
    kinds.push(parts.peers);
    if let Some(back) = parts.layers.back {
        kinds.push(Arc::new(Upload { back, grant: grant.clone(), changes: parts.changes }));
    }
    if let Some(shadows) = parts.layers.shadows {
        kinds.push(Arc::new(Backfill { shadows, grant: grant.clone() }));
    }
    if let Some(replicas) = parts.layers.replicas {
        for (which, name) in replicas.all() {
            kinds.push(Arc::new(Replicate { replicas: replicas.clone(), which, name, grant: grant.clone() }));
        }
        kinds.push(Arc::new(Repair { replicas, grant }));
    }
    kinds
}
