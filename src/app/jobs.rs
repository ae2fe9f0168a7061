//! Which kinds of background work there are, and in whose name each acts.
//!
//! Called at the start. A kind that works on a layer is there with the layer. Those that tell the CDN and peers are always there, as far as
//! they can be: jobs may be left of when there were some.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::app::StartError;
use crate::auth::Auth;
use crate::base::error::{Error, Result};
use crate::base::event::EventKind;
use crate::cdn::cloudfront::Settings;
use crate::cdn::{CloudFront, Map};
use crate::cluster::{RecurringNode, Settings as ClusterSettings};
use crate::jobs::backfill::Backfill;
use crate::jobs::fetch::Fetch;
use crate::jobs::generate;
use crate::jobs::landing::Hands;
use crate::jobs::lifecycle::{self, Lifecycle};
use crate::jobs::purge::{Outbox, Purge};
use crate::jobs::recount::{self, Recount};
use crate::jobs::replicate::{Repair, Replicate};
use crate::jobs::sweep::{self, Sweep};
use crate::jobs::upload::Upload;
use crate::jobs::warm::Warm;
use crate::ops::cdn::Cdn;
use crate::ops::changes::{Changes, Follower};
use crate::ops::events::{Events, Notice};
use crate::ops::fetch::Settings as FetchSettings;
use crate::ops::generate::{Generation, Settings as GenerateSettings};
use crate::ops::media::Inspections;
use crate::ops::peers::without_address;
use crate::ops::renditions::noted::Noted;
use crate::ops::renditions::{Follow, Renditions};
use crate::ops::replicas::Replicas;
use crate::ops::shared_upkeep::SharedUpkeep;
use crate::ops::{Layers, Ops};
use crate::origin::Origin;
use crate::queue::runner::Follows;
use crate::queue::{Kind, Leases, Phase, Queue, Recurring};
use crate::telemetry::lifecycle::Lifecycle as Gauges;
use crate::usage::Usage;

/// Until what could not be recorded is tried again.
const AGAIN: Duration = Duration::from_secs(30);

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

/// Who makes jobs of uploads of media, where they are looked into at all.
pub async fn media_followers(
    renditions: Option<&Renditions>,
    origin: &Origin,
    is_far: bool,
) -> (Option<Arc<dyn Follower>>, Option<Arc<dyn Follower>>) {
    let Some(renditions) = renditions else { return (None, None) };
    let noted = Noted::new(origin.clone(), is_far);
    if let Err(e) = noted.load().await {
        tracing::info!(error = %e, "which buckets have renditions is looked up later");
    }
    let follow = Follow { rules: renditions.rules(), noted, origin: origin.clone(), is_far };
    (Some(Arc::new(Inspections { is_far })), Some(Arc::new(follow)))
}

/// What jobs need beside `ops`.
pub struct Parts {
    pub changes: Changes,
    pub events: Events,
    pub purges: Purges,
    pub peers: Arc<dyn Kind>,
    pub layers: Layers,
    pub shared: Option<SharedUpkeep>,
    pub lifecycle: Gauges,
    pub fetch: FetchSettings,
    pub generation: Generation,
    /// How long usage is kept.
    pub keep_usage: Duration,
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
    let hands = Hands { ops: ops.clone(), auth: auth.clone() };
    kinds.extend(generate::kinds(&hands, &parts.generation, &parts.fetch));
    kinds.push(Arc::new(Fetch { hands, settings: parts.fetch }));
    // The gateway's own.
    let grant = auth.gateway();
    kinds.push(parts.peers);
    kinds.push(Arc::new(Lifecycle { ops: ops.clone(), grant: grant.clone(), gauges: parts.lifecycle }));
    if let Some(back) = parts.layers.back {
        kinds.push(Arc::new(Upload { back, grant: grant.clone(), changes: parts.changes }));
    }
    if let Some(shadows) = parts.layers.shadows {
        kinds.push(Arc::new(Backfill { shadows, grant: grant.clone() }));
    }
    if let Some(replicas) = parts.layers.replicas {
        for (which, name) in replicas.all() {
            kinds.push(Arc::new(Replicate { replicas: replicas.clone(), which, name, events: parts.events.clone(), grant: grant.clone() }));
        }
        kinds.push(Arc::new(Repair { replicas, grant: grant.clone() }));
    }
    if let Some(tally) = parts.layers.tally {
        kinds.push(Arc::new(Recount { tally, grant: grant.clone() }));
    }
    if let Some(bucket) = parts.shared {
        kinds.push(Arc::new(Sweep { bucket, grant, keep_usage: parts.keep_usage }));
    }
    kinds
}

/// On a thread of its own: it reads what was spent.
pub fn open_generation(settings: GenerateSettings, fetch: &FetchSettings, usage: &Usage) -> Result<Generation, StartError> {
    let (reach, usage) = (fetch.reach(), usage.clone());
    let opened = std::thread::spawn(move || Generation::open(settings, reach, usage)).join();
    opened.map_err(|_| StartError::Failed("the book of what was spent panicked while it was read".into()))?.map_err(StartError::Faults)
}

/// Of each job that has ended, who wants to is told. Of what recurs, nobody is: it never ends.
pub fn told(events: &Events) -> Follows {
    let events = events.clone();
    Arc::new(move |job| {
        let kind = match job.state.phase() {
            Phase::Done => EventKind::JobDone,
            Phase::Dead => EventKind::JobFailed,
            Phase::Waiting | Phase::Running | Phase::Cancelled => return Vec::new(),
        };
        // Where the other nodes are is told to nobody outside.
        let job = without_address(job.clone());
        let data = json!({
            "job": job.id.to_string(),
            "kind": job.kind,
            "state": job.state.phase().name(),
            "attempts": job.attempts,
            "reason": job.reason,
        });
        events.letters_of(Notice { kind, tenant: job.tenant, bucket: None, key: None, data })
    })
}

/// A disk that takes no writes keeps no gateway from serving: then it is tried again.
pub async fn register(queue: &Queue, recurring: Vec<Recurring>, kinds: &[Arc<dyn Kind>]) -> Result<()> {
    if let Some(idle) = recurring.iter().find(|r| !kinds.iter().any(|kind| kind.name() == r.kind)) {
        return Err(Error::internal(format!("nobody does what recurs as {}", idle.kind)));
    }
    let Err(e) = queue.set_recurring(recurring.clone()).await else { return Ok(()) };
    tracing::warn!(error = %e, "what recurs can't be recorded; it is tried again");
    let queue = queue.clone();
    tokio::spawn(async move {
        while queue.set_recurring(recurring.clone()).await.is_err() {
            tokio::time::sleep(AGAIN).await;
        }
    });
    Ok(())
}

/// What recurs on this node, and the leases that it is done under.
pub fn recurring(
    shared: Option<&SharedUpkeep>,
    replicas: Option<&Replicas>,
    cluster: &ClusterSettings,
    lifecycle_every: Duration,
    recount_every: Option<Duration>,
    queue: &Queue,
) -> Result<(Vec<Recurring>, Option<Leases>)> {
    let mut all = replicas.map_or(Ok(Vec::new()), Replicas::recurring)?;
    all.push(lifecycle::recurring(lifecycle_every)?);
    // An embedded store has no other nodes.
    let Some(shared) = shared else { return Ok((all, None)) };
    all.push(sweep::recurring()?);
    all.extend(recount_every.map(recount::recurring).transpose()?);
    match cluster.recurring {
        RecurringNode::Lease if shared.has_leases() => Ok((all, Some(Leases::new(Arc::new(shared.clone()), queue.node()?)))),
        RecurringNode::Lease if cluster.peers.is_empty() => Ok((all, None)),
        RecurringNode::Here => Ok((all, None)),
        RecurringNode::Elsewhere => Ok((Vec::new(), None)),
        RecurringNode::Lease => {
            tracing::warn!(
                "the upstream decides no conditional writes, so nodes can't agree on who does what recurs: nobody does until \
                 cluster.recurring is \"here\" on one node and \"elsewhere\" on the others"
            );
            Ok((Vec::new(), None))
        }
    }
}
