//! What the gateway does, free of HTTP and XML. Every function takes a `Grant`, which only `auth` can make: a
//! forgotten check does not compile. Bucket and key come out of the grant, so that a grant for one object can't be
//! used on another, and each function names the action that the grant must be for.
//!
//! Exceptions: `access` reads what a decision is made from, before there is a grant. What peers tell, the gateway's own settings, and
//! whether there is room are nobody's to be granted.

pub mod access;
mod admit;
pub mod breaker;
pub mod buckets;
pub mod cdn;
pub mod changes;
pub mod compiled;
pub mod deed;
pub mod encryption;
pub mod events;
pub mod fetch;
pub mod generate;
pub mod jobs;
pub mod keyed;
pub mod lifecycle;
pub mod limits;
pub mod media;
mod merged;
pub mod multipart;
pub mod operator;
pub mod peers;
pub mod read;
pub mod reading;
pub mod renditions;
pub mod replicas;
pub mod shadow;
pub mod shared_upkeep;
pub mod shared_usage;
pub mod tally;
pub mod tenants;
pub mod through_cache;
pub mod transfers;
pub mod upload_status;
pub mod usage;
pub mod variant;
pub mod warm;
pub mod write;
pub mod write_back;

use std::sync::Arc;

use crate::auth::action::Action;
use crate::auth::grant::Grant;
use crate::base::error::{Error, Result};
use crate::base::lifecycle::ready::Lifecycles;
use crate::base::names::BucketName;
use crate::base::object_ref::ObjectRef;
use crate::base::storable::Writers;
use crate::cache::Cache;
use crate::net::drain::Tracker;
use crate::origin::Origin;
use crate::queue::Queue;
use crate::usage::Usage;
use crate::variants::Variants;

/// The layers of the origin that can do more than an origin does. Each is there only where the configuration asks for it.
#[derive(Clone, Default)]
pub struct Layers {
    /// None: nothing is far away.
    pub cache: Option<Cache>,
    /// The same, with what it stands over: for peers that want blocks.
    pub blocks: Option<Arc<through_cache::ThroughCache>>,
    /// None: no bucket has an old store.
    pub shadows: Option<shadow::Shadows>,
    /// None: there are no replicas.
    pub replicas: Option<replicas::Replicas>,
    /// None: every write is answered by the origin itself.
    pub back: Option<write_back::WriteBack>,
    /// None: what is stored is counted by the store itself, or by nobody.
    pub tally: Option<tally::Tally>,
}

#[derive(Clone)]
pub struct Ops {
    origin: Origin,
    variants: Variants,
    jobs: Queue,
    layers: Layers,
    /// None: nobody keeps copies of what is shown.
    cdn: Option<Arc<dyn cdn::Cdn>>,
    /// None: this node is alone.
    peers: Option<Arc<dyn peers::Peers>>,
    changes: changes::Changes,
    /// None: only tests go without.
    events: Option<events::Events>,
    transfers: transfers::Transfers,
    writers: Writers,
    lifecycles: Arc<Lifecycles>,
    /// None: no rule asks when objects are read.
    read_log: Option<Arc<lifecycle::reads::ReadLog>>,
    unkept_classes: lifecycle::Unkept,
    encryption: encryption::Rules,
    usage: Option<Usage>,
    /// Limits that something was refused by.
    refused: Arc<limits::Refused>,
    /// None: nothing is looked into.
    media: Option<media::Media>,
    /// None: nothing is made of models.
    renditions: Option<renditions::Renditions>,
    fetch: Arc<fetch::Settings>,
    /// None: nothing is generated.
    generation: Option<generate::Generation>,
    /// None: there are no other nodes.
    shared_usage: Option<shared_usage::SharedUsage>,
    /// Held while made keys or secrets are changed, or taken up as they are stored: what is just made must not be lost to an
    /// older list. And while it is looked whether two settings of a bucket go together.
    settings: Arc<tokio::sync::Mutex<()>>,
}

impl Ops {
    pub fn new(origin: Origin, variants: Variants, jobs: Queue) -> Self {
        let changes = changes::Changes::new(Vec::new(), jobs.clone(), Tracker::default());
        let (layers, cdn, peers, transfers, settings) = Default::default();
        let (lifecycles, read_log, unkept_classes, encryption, usage, refused, shared_usage, events, media, renditions) =
            Default::default();
        let (fetch, generation) = Default::default();
        let writers = Writers::Clients;
        Ops {
            origin,
            variants,
            jobs,
            layers,
            cdn,
            peers,
            changes,
            events,
            transfers,
            writers,
            lifecycles,
            read_log,
            unkept_classes,
            encryption,
            usage,
            refused,
            media,
            renditions,
            fetch,
            generation,
            shared_usage,
            settings,
        }
    }

    /// Those that the origin has.
    pub fn with_layers(self, layers: Layers) -> Self {
        Ops { layers, ..self }
    }

    /// Whether gateways stand over buckets of this one.
    pub fn with_writers(self, writers: Writers) -> Self {
        Ops { writers, ..self }
    }

    /// The rules of gateway.toml, and how long a day is.
    pub fn with_lifecycles(self, lifecycles: Arc<Lifecycles>) -> Self {
        Ops { lifecycles, ..self }
    }

    /// What holds of the encryption of all buckets.
    pub fn with_encryption(self, encryption: encryption::Rules) -> Self {
        Ops { encryption, ..self }
    }

    /// Who is told of what happens.
    pub fn with_events(self, events: events::Events) -> Self {
        Ops { events: Some(events), ..self }
    }

    pub fn events(&self) -> Result<&events::Events> {
        self.events.as_ref().ok_or_else(|| Error::internal("nobody is told of events here"))
    }

    pub fn lifecycles(&self) -> &Lifecycles {
        &self.lifecycles
    }

    /// They are purged too.
    pub fn with_peers(self, peers: Option<Arc<dyn peers::Peers>>) -> Self {
        Ops { peers, ..self }
    }
}

/// The bucket of a grant that must be for `action`.
fn bucket(grant: &Grant, action: Action) -> Result<&BucketName> {
    match grant.bucket() {
        Some(bucket) if grant.action() == action => Ok(bucket),
        _ => Err(wrong_grant(grant, action)),
    }
}

/// The object of a grant that must be for one of `actions`, or where it names a version for what these are called then.
fn object<'g>(grant: &'g Grant, actions: &[Action]) -> Result<ObjectRef<'g>> {
    match grant.object() {
        Some(of) if actions.iter().any(|action| action.on(of.version) == grant.action()) => Ok(of),
        _ => Err(wrong_grant(grant, actions.first().copied().unwrap_or(grant.action()))),
    }
}

/// A door asked for one thing and does another: a mistake of ours that must never become access.
fn wrong_grant(grant: &Grant, needed: Action) -> Error {
    Error::internal(format!("a grant for {:?} was used for {needed:?}", grant.action()))
}
