//! The other nodes of the bucket, as far as `ops` knows: they are told what to forget, and as a `Follower` what was
//! changed. `jobs::peers` implements both.
//! And the other side: what a peer tells is done here.

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::TenantId;
use crate::cache::purge::Purged;
use crate::cluster::blocks;
use crate::cluster::message::{Item, Message, Told, What};
use crate::cluster::seal::FromPeer;
use crate::ops::Ops;
use crate::ops::cdn::Wanted;
use crate::origin::{Body, Pending};
use crate::queue::JobId;
use crate::queue::job::Job;

pub trait Peers: Send + Sync + 'static {
    /// What each peer forgot. Jobs are the tenant's.
    fn purge<'a>(&'a self, tenant: &'a TenantId, wanted: &'a Wanted, soft: bool) -> Pending<'a, Vec<PeerPurged>>;
}

/// The kind of the jobs that tell a peer.
pub const KIND: &str = "peer";
/// In what is written of such a job: the peer's address.
const ADDRESS: &str = "peer";

/// What became of a purge on one peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerPurged {
    /// None: the caller is not to know where.
    pub peer: Option<String>,
    pub outcome: PeerOutcome,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerOutcome {
    Done(Purged),
    /// It did not answer in time. This job goes on until it has.
    Later(JobId),
}

/// Where the nodes are is the operator's business: a tenant sees that its purge goes on and how it ended, not where.
pub fn without_address(job: Job) -> Job {
    if job.kind != KIND {
        return job;
    }
    Job {
        reason: job.reason.map(|_| "another node of this gateway could not be told yet".to_owned()),
        result: job.result.and_then(|result| String::from_utf8(document_without_address(result.as_bytes())).ok()),
        ..job
    }
}

/// Of a job of this kind: what it is to do, or its result.
pub fn document_without_address(document: &[u8]) -> Vec<u8> {
    let Ok(mut document) = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(document) else { return Vec::new() };
    document.remove(ADDRESS);
    serde_json::Value::Object(document).to_string().into_bytes()
}

impl Wanted {
    /// As a message names it.
    pub fn items(&self) -> Vec<String> {
        let keys = self.keys.iter().map(|(bucket, key)| Item::key(bucket, key));
        let prefixes = self.prefixes.iter().map(|(bucket, prefix)| Item::prefix(bucket, prefix));
        keys.chain(prefixes).chain(self.tags.iter().map(|tag| Item::tag(tag))).collect()
    }

    fn of_items(items: &[String]) -> Result<Self> {
        let mut wanted = Wanted::default();
        for item in items {
            match Item::parse(item)? {
                Item::Key(bucket, key) => wanted.keys.push((bucket, key)),
                Item::Prefix(bucket, prefix) => wanted.prefixes.push((bucket, prefix)),
                Item::Tag(tag) => wanted.tags.push(tag),
            }
        }
        Ok(wanted)
    }
}

impl Ops {
    /// Does what a peer said. It is done when this ends, and a restart would know it too.
    pub async fn told_by_peer(&self, from: &FromPeer<Message>) -> Result<Told> {
        let Message { what, items } = from.message();
        let wanted = Wanted::of_items(items)?;
        let Some(cache) = &self.layers.cache else { return Ok(Told::default()) };
        let purged = match what {
            What::Changed => {
                cache.outdate_all_durably(&wanted.keys).await;
                Purged { objects: wanted.keys.len() as u64, blocks: 0 }
            }
            What::Forget => self.purge_cache(&wanted, false).await.unwrap_or_default(),
            What::Soften => self.purge_cache(&wanted, true).await.unwrap_or_default(),
        };
        Ok(Told { objects: purged.objects, blocks: purged.blocks })
    }

    /// Blocks that a peer asks for. It was decided on its doors who reads them.
    pub async fn give_to_peer(&self, from: &FromPeer<blocks::Wanted>) -> Result<Body> {
        let nothing = || Error::new(ErrorKind::PreconditionFailed, "This node has none of that version.");
        let keeper = self.layers.blocks.as_ref().ok_or_else(nothing)?;
        keeper.give(from).await?.ok_or_else(nothing)
    }
}
