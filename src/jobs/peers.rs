//! Peers are told at once, or by a job that goes on until they are.
//!
//! A link to each peer: what changes while a message is on its way goes with the next one. What a peer did not take in `PATIENCE` becomes
//! items of a job, and the write that it belongs to is answered when that is durable. While a peer can't be reached, nobody waits for it.
//! A job is of no use any more when the peer itself would not show what it knew: after `cache.stale_if_error`.
//! Begun again after a crash it says the same once more, which does no harm.
//! Acts for the gateway: what a peer is told was done here, under the grant of whoever asked for it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::metrics::gauge::Gauge;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use crate::base::error::{Error, Result};
use crate::base::names::TenantId;
use crate::base::timestamp::Timestamp;
use crate::cache::purge::Purged;
use crate::cluster::client::Client;
use crate::cluster::message::{Item, Message, Told, What};
use crate::cluster::seal::Seals;
use crate::cluster::{PeerAddress, Settings};
use crate::ops::cdn::Wanted;
use crate::ops::changes::{Became, Change, Ended, Follower};
use crate::ops::peers::{KIND, PeerOutcome, PeerPurged, Peers};
use crate::origin::Pending;
use crate::queue::job::{MAX_ITEM_BYTES, MAX_ITEMS};
use crate::queue::kind::{Backoff, Work};
use crate::queue::{Attempt, Fault, Following, Kind, NewJob, Payload, Queue};
use crate::telemetry::peers::Peers as Gauges;

const VERSION: u16 = 1;
/// A write waits so long for a peer; twice as long if a message was on its way already.
const PATIENCE: Duration = Duration::from_millis(250);
/// A prefix or a tag costs the peer a look at every block.
const PURGE_PATIENCE: Duration = Duration::from_secs(5);
const JOB_PATIENCE: Duration = Duration::from_secs(60);
/// After a failure, the next message is tried so much later.
const REST: Duration = Duration::from_secs(1);
/// A peer that was away is told at most so much after it is back.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Keys that wait for a message to come back.
const WAITING: usize = 4096;
/// In a message of changes: a megabyte of the longest keys.
const BATCH: usize = 1000;
/// A purge is a promise: so many attempts are most of a week.
const ATTEMPTS: u32 = 20_000;

#[derive(Serialize, Deserialize)]
struct Document {
    peer: String,
    what: What,
}

/// A key that was changed, to be said with the next message.
struct News {
    item: String,
    was_told: oneshot::Sender<bool>,
}

/// What is known of whether a peer can be reached.
struct Health {
    /// Since when it could not be, and when that was found out last.
    failing: Mutex<Option<(Instant, Instant)>>,
    up: Gauge,
}

impl Health {
    fn is_resting(&self) -> bool {
        self.lock().is_some_and(|(_, last)| last.elapsed() < REST)
    }

    /// For how long a job may wait: longer and longer, so that an outage of hours is not a job a second.
    fn wait(&self) -> Duration {
        self.lock().map_or(REST, |(since, _)| (since.elapsed() / 2).clamp(REST, LONGEST_WAIT))
    }

    fn note(&self, peer: &PeerAddress, result: &std::result::Result<Told, String>) {
        let mut failing = self.lock();
        match (result, *failing) {
            (Ok(_), None) => {}
            (Ok(_), Some((since, _))) => {
                tracing::info!(%peer, after = ?since.elapsed(), "a peer can be reached again");
                self.up.set(1);
                *failing = None;
            }
            (Err(_), Some((since, _))) => *failing = Some((since, Instant::now())),
            (Err(e), None) => {
                tracing::warn!(%peer, error = e, "a peer can't be told of changes now; jobs go on with that");
                self.up.set(0);
                *failing = Some((Instant::now(), Instant::now()));
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Instant, Instant)>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// To one peer.
struct Link {
    peer: PeerAddress,
    /// For changes.
    quick: Client,
    /// For what may take its time: no change waits behind it.
    slow: Client,
    health: Health,
    queue: Queue,
}

/// The links to all peers, and the kind of work that jobs for them are.
#[derive(Clone)]
pub struct Links {
    links: Arc<Vec<(Arc<Link>, mpsc::Sender<News>)>>,
    /// Nobody shows for longer what was changed.
    useful: Duration,
}

impl Links {
    /// Inside a runtime that lives as long as writes do.
    pub fn start(settings: &Settings, operator_secret: &[u8], queue: &Queue, useful: Duration, gauges: &Gauges) -> Result<Self> {
        let start = |peer: &PeerAddress| {
            let client = || Ok::<_, Error>(Client::new(peer.clone(), Seals::new(operator_secret)?));
            let health = Health { failing: Mutex::default(), up: gauges.of(peer.to_string()) };
            let (quick, slow, queue) = (client()?, client()?, queue.clone());
            let link = Arc::new(Link { peer: peer.clone(), quick, slow, health, queue });
            let (inlet, news) = mpsc::channel(WAITING);
            tokio::spawn(link.clone().run(news));
            Ok((link, inlet))
        };
        Ok(Links { links: Arc::new(settings.peers.iter().map(start).collect::<Result<_>>()?), useful })
    }
}

impl Link {
    /// Until nobody can write any more.
    async fn run(self: Arc<Self>, mut news: mpsc::Receiver<News>) {
        let mut batch = Vec::new();
        while news.recv_many(&mut batch, BATCH).await > 0 {
            let (items, waiting): (BTreeSet<String>, Vec<_>) = batch.drain(..).map(|n| (n.item, n.was_told)).unzip();
            let was_told = self.tell(items.into_iter().collect()).await;
            // Whoever is gone does not mind.
            for waits in waiting {
                let _ = waits.send(was_told);
            }
        }
    }

    /// False: it can't be told now.
    async fn tell(&self, items: Vec<String>) -> bool {
        if self.health.is_resting() {
            return false;
        }
        let told = self.quick.tell(&Message { what: What::Changed, items }, PATIENCE).await;
        self.health.note(&self.peer, &told);
        told.is_ok()
    }

    /// For a peer that can't be told now.
    fn later(&self, item: String) -> Result<Following> {
        let message = Message { what: What::Changed, items: vec![item] };
        let due = Some(Timestamp::now().plus(self.health.wait()));
        let job = NewJob { due, ..job(&TenantId::operator(), &self.peer, message)? };
        Ok(Following::Job { gathers_under: self.peer.to_string(), job })
    }

    /// What is slow may fail by being slow: only a success says something of the peer.
    async fn tell_slowly(&self, message: &Message, patience: Duration) -> std::result::Result<Told, String> {
        let told = self.slow.tell(message, patience).await;
        if told.is_ok() {
            self.health.note(&self.peer, &told);
        }
        told
    }

    async fn purge(&self, tenant: &TenantId, wanted: &Wanted, soft: bool) -> Result<Vec<PeerPurged>> {
        let what = if soft { What::Soften } else { What::Forget };
        let peer = self.peer.to_string();
        let mut purged = Vec::new();
        for items in wanted.items().chunks(MAX_ITEMS as usize) {
            let message = Message { what, items: items.to_vec() };
            let outcome = match self.tell_slowly(&message, PURGE_PATIENCE).await {
                Ok(Told { objects, blocks }) => PeerOutcome::Done(Purged { objects, blocks }),
                Err(_) => PeerOutcome::Later(self.queue.enqueue(job(tenant, &self.peer, message)?).await?.id),
            };
            purged.push(PeerPurged { peer: Some(peer.clone()), outcome });
        }
        Ok(purged)
    }
}

fn job(tenant: &TenantId, peer: &PeerAddress, message: Message) -> Result<NewJob> {
    let payload = Payload::of(VERSION, &Document { peer: peer.to_string(), what: message.what })?;
    Ok(NewJob { items: message.items, max_attempts: ATTEMPTS, ..NewJob::new(tenant.clone(), KIND, payload) })
}

// An item of a message is one of a job: a key of 1 KiB, its bucket, a letter.
const _: () = assert!(MAX_ITEM_BYTES >= 1024 + 63 + 2);

impl Peers for Links {
    fn purge<'a>(&'a self, tenant: &'a TenantId, wanted: &'a Wanted, soft: bool) -> Pending<'a, Vec<PeerPurged>> {
        Box::pin(async move {
            let each = self.links.iter().map(|(link, _)| {
                let (link, tenant, wanted) = (link.clone(), tenant.clone(), wanted.clone());
                tokio::spawn(async move { link.purge(&tenant, &wanted, soft).await })
            });
            let each: Vec<_> = each.collect();
            let mut all = Vec::new();
            for purged in each {
                all.extend(purged.await.map_err(Error::internal)??);
            }
            Ok(all)
        })
    }
}

impl Follower for Links {
    /// Peers ask for a bucket anew each time.
    fn concerns(&self, change: &Change) -> bool {
        !self.links.is_empty() && change.key.is_some()
    }

    /// What a peer knows is fresh for a while and no longer: it finds out by itself.
    fn must_hear(&self, _: &Change) -> bool {
        false
    }

    fn require_room(&self, _: &TenantId) -> Result<()> {
        Ok(())
    }

    fn follow<'a>(&'a self, change: &'a Change, ended: &'a Ended) -> Pending<'a, Vec<Following>> {
        Box::pin(async move {
            let Some(key) = change.key.as_ref().filter(|_| ended.became != Became::KeptHere) else { return Ok(Vec::new()) };
            let item = Item::key(&change.bucket, key);
            let mut waiting = Vec::with_capacity(self.links.len());
            for (link, inlet) in self.links.iter() {
                let (was_told, told) = oneshot::channel();
                let sent = inlet.send(News { item: item.clone(), was_told }).await;
                waiting.push((link, sent.is_ok().then_some(told)));
            }
            let mut later = Vec::new();
            for (link, told) in waiting {
                let was_told = match told {
                    Some(told) => told.await.unwrap_or(false),
                    None => false,
                };
                if !was_told {
                    later.push(link.later(item.clone())?);
                }
            }
            Ok(later)
        })
    }
}

impl Kind for Links {
    fn name(&self) -> &'static str {
        KIND
    }

    /// A peer that is away costs its jobs a look each.
    fn at_once(&self) -> u32 {
        2
    }

    fn patience(&self) -> Duration {
        JOB_PATIENCE * 2
    }

    fn backoff(&self) -> Backoff {
        Backoff { first: REST, most: LONGEST_WAIT }
    }

    fn run<'a>(&'a self, attempt: &'a Attempt) -> Work<'a> {
        Box::pin(async move {
            let Document { peer, what } = attempt.document(VERSION)?;
            let Some((link, _)) = self.links.iter().find(|(link, _)| link.peer.to_string() == peer) else {
                return Ok(Some(json!({ "state": "no peer any more", "peer": peer })));
            };
            if what == What::Changed && Timestamp::now().since(attempt.job.created) > self.useful {
                return Ok(Some(json!({ "state": "outdated", "peer": peer })));
            }
            if link.health.is_resting() {
                return Err(Fault::retry(format!("{peer} can't be reached")));
            }
            let patience = if what == What::Changed { PURGE_PATIENCE } else { JOB_PATIENCE };
            let message = Message { what, items: attempt.items.clone() };
            match link.tell_slowly(&message, patience).await {
                Ok(told) => Ok(Some(json!({ "peer": peer, "objects": told.objects, "blocks": told.blocks }))),
                Err(reason) => Err(Fault::retry(reason)),
            }
        })
    }
}
