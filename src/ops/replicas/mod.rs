//! Many regions: an origin whose content is brought to further S3s, and read from there while it can't be asked itself.
//!
//! - What was changed, or may have been, is brought to each replica by a job (`follower`), as it is by then (`bring`).
//! - A scan walks both listings and records what differs: what other nodes and direct writers changed, too (`scan`).
//! - While the origin can't be asked, reads are answered from replicas, and writes are refused (`failover`, `breaker`).
//!
//! Invariants: a write is acknowledged by the origin alone. A job's attempt is done only when the origin still shows what was
//! brought. A replica's copy is shown only as the version that it is sealed to be.
//! Not here: the kinds of jobs (`jobs::replicate`). Built by `app::stack`, under write-back and over the cache.

mod bring;
mod failover;
mod follower;
mod origin;
mod scan;
mod target;
mod tend;

use std::path::PathBuf;
use std::sync::Arc;

use crate::auth::grant::{GatewayGrant, OperatorGrant};
use crate::auth::keys::Secret;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{BucketName, ObjectKey};
use crate::ops::Ops;
use crate::ops::breaker::Breaker;
use crate::origin::Origin;
use crate::queue::{JobId, Queue};
use crate::telemetry::replicas::Replicas as Gauges;

pub use bring::{Brought, Trouble};
pub use follower::Document;
pub use scan::Scanned;
pub use target::{Part, Settings};
pub use tend::REPAIR;

use target::Target;

pub const VERSION: u16 = 1;

/// The origin with its replicas. Cheap to clone.
#[derive(Clone)]
pub struct Replicas(Arc<Inner>);

struct Inner {
    origin: Origin,
    targets: Vec<Target>,
    queue: Queue,
    /// Of the origin; used only where a replica can be read.
    breaker: Breaker,
    gauges: Gauges,
    /// Where each scan notes how far it is.
    dir: PathBuf,
}

/// One of the replicas, by its place in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Which(usize);

impl Replicas {
    /// `dir` is there already.
    pub fn new(origin: Origin, settings: Vec<Settings>, secret: &Secret, queue: Queue, dir: PathBuf, gauges: Gauges) -> Self {
        let targets = settings.into_iter().map(|s| {
            let of = gauges.of(&s.name);
            Target::new(s, secret.clone(), of)
        });
        let targets = targets.collect();
        let inner = Inner { origin, targets, queue, breaker: Breaker::default(), gauges, dir };
        Replicas(Arc::new(inner))
    }

    /// All of them, each with the name of its jobs' kind.
    pub fn all(&self) -> Vec<(Which, &'static str)> {
        self.0.targets.iter().enumerate().map(|(i, t)| (Which(i), t.kind)).collect()
    }

    pub fn find(&self, name: &str) -> Option<Which> {
        self.0.targets.iter().position(|t| &*t.name == name).map(Which)
    }

    pub async fn bring(&self, _: &GatewayGrant, which: Which, bucket: &BucketName, key: Option<&ObjectKey>) -> Result<Brought, Trouble> {
        let target = &self.0.targets[which.0];
        let brought = match key {
            Some(key) => self.0.bring(target, bucket, key).await,
            None => self.0.bring_bucket(target, bucket).await,
        };
        match &brought {
            Ok(brought) => {
                target.well();
                match brought {
                    Brought::Copied(bytes) => {
                        target.gauges.copied.inc();
                        target.gauges.copied_bytes.inc_by(*bytes);
                    }
                    Brought::Deleted => drop(target.gauges.deleted.inc()),
                    Brought::Same => {}
                }
            }
            Err(trouble) => {
                target.gauges.failures.inc();
                if let Trouble::Target(e) = trouble {
                    target.failed(e);
                }
            }
        }
        brought
    }

    /// Where the replica was found not to answer: how long to leave it alone. None: it may be asked.
    pub fn leave_alone(&self, which: Which) -> Option<std::time::Duration> {
        self.0.targets[which.0].breaker.leave_alone()
    }

    pub fn close(&self) {
        self.0.targets.iter().for_each(Target::close);
    }
}

impl Ops {
    /// A repair scan of the replica, from the beginning: the job that does it.
    pub async fn repair(&self, _: &OperatorGrant, name: &str) -> Result<JobId> {
        let found = self.layers.replicas.as_ref().and_then(|r| r.find(name).map(|which| (r, which)));
        let Some((replicas, which)) = found else {
            return Err(Error::new(ErrorKind::NotFound, "No [[replica]] of the configuration has that name."));
        };
        replicas.0.repair(&replicas.0.targets[which.0]).await
    }
}
