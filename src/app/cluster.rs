//! The other nodes, where there are any.
//!
//! Called at the start, before any port is open.

use std::sync::Arc;
use std::time::Duration;

use crate::app::StartError;
use crate::auth::keys::Secret;
use crate::cluster::Settings;
use crate::cluster::blocks::Neighbours;
use crate::cluster::seal::Seals;
use crate::jobs::peers::Links;
use crate::ops::changes::Follower;
use crate::ops::peers::Peers;
use crate::queue::{Kind, Queue};
use crate::telemetry::peers::Peers as Gauges;

/// Without peers there is still the kind: jobs may be left from when there were some.
pub struct Cluster {
    seals: Option<Arc<Seals>>,
    links: Links,
    neighbours: Option<Arc<Neighbours>>,
}

/// `secret` is the operator's; `useful`: for so long a node may show what was changed elsewhere.
pub fn start(settings: &Settings, secret: &Secret, queue: &Queue, useful: Duration, gauges: &Gauges) -> Result<Cluster, StartError> {
    let secret = secret.expose().as_bytes();
    let seals = if settings.peers.is_empty() { None } else { Some(Arc::new(Seals::new(secret)?)) };
    let links = Links::start(settings, secret, queue, useful, gauges)?;
    Ok(Cluster { seals, links, neighbours: Neighbours::new(settings, secret) })
}

impl Cluster {
    /// None: this node is alone, and believes nobody.
    pub fn seals(&self) -> Option<Arc<Seals>> {
        self.seals.clone()
    }

    pub fn neighbours(&self) -> Option<Arc<Neighbours>> {
        self.neighbours.clone()
    }

    pub fn peers(&self) -> Option<Arc<dyn Peers>> {
        self.seals.as_ref().map(|_| Arc::new(self.links.clone()) as Arc<dyn Peers>)
    }

    pub fn follower(&self) -> Option<Arc<dyn Follower>> {
        self.seals.as_ref().map(|_| Arc::new(self.links.clone()) as Arc<dyn Follower>)
    }

    pub fn kind(&self) -> Arc<dyn Kind> {
        Arc::new(self.links.clone())
    }
}
