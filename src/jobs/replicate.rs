//! Brings what was changed to the replicas: one job for the keys of a bucket that were changed at one time, see `ops::replicas`.
//! And the scan that finds what is missing there.
//!
//! Each replica has a kind of its own, so that one that is down holds up no other; while it is known to be, its attempts end at
//! once and come back later. Done again after a crash, keys that are there already are only looked at.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::interval;

use crate::auth::grant::GatewayGrant;
use crate::base::event::EventKind;
use crate::base::names::BucketName;
use crate::ops::breaker::is_silent;
use crate::ops::events::Events;
use crate::ops::replicas::{Brought, Document, REPAIR, Replicas, Scanned, Trouble, VERSION, Which};
use crate::ops::write_back::is_for_good;
use crate::queue::kind::{Backoff, Work};
use crate::queue::{Attempt, Fault, Kind};

/// Jobs of one replica at once, and keys of one job: it is mostly waiting for the other side.
const JOBS: u32 = 2;
const KEYS: usize = 8;
const SIGN_OF_LIFE: Duration = Duration::from_secs(20);
/// A key that is being written is looked at again soon.
const SOON: Duration = Duration::from_millis(500);

pub struct Replicate {
    pub replicas: Replicas,
    pub which: Which,
    pub name: &'static str,
    pub events: Events,
    pub grant: GatewayGrant,
}

#[derive(Default)]
struct Sum {
    copied: u64,
    deleted: u64,
    changing: u64,
    /// It makes no sense to try the others now.
    away: bool,
    again: Option<String>,
    refused: Option<String>,
}

impl Sum {
    fn add(&mut self, item: &str, brought: Result<Brought, Trouble>) {
        let text = |side: &str, e: &crate::base::error::Error| format!("{item}: the {side}: {:?}: {}", e.kind(), e.message());
        if let Err(Trouble::Target(e) | Trouble::Origin(e)) = &brought {
            self.away |= is_silent(e);
        }
        match brought {
            Ok(Brought::Copied(_)) => self.copied += 1,
            Ok(Brought::Deleted) => self.deleted += 1,
            Ok(Brought::Same) => {}
            Err(Trouble::Changing) => self.changing += 1,
            Err(Trouble::Target(e)) if is_for_good(&e) => self.refused = Some(text("replica", &e)),
            Err(Trouble::Target(e)) => self.again = Some(text("replica", &e)),
            Err(Trouble::Origin(e)) => self.again = Some(text("origin", &e)),
        }
    }
}

impl Kind for Replicate {
    fn name(&self) -> &'static str {
        self.name
    }

    fn at_once(&self) -> u32 {
        JOBS
    }

    fn patience(&self) -> Duration {
        SIGN_OF_LIFE * 3
    }

    fn backoff(&self) -> Backoff {
        Backoff { first: Duration::from_secs(1), most: Duration::from_secs(300) }
    }

    fn run<'a>(&'a self, attempt: &'a Attempt) -> Work<'a> {
        Box::pin(async move {
            let document: Document = attempt.document(VERSION)?;
            if let Some(after) = self.replicas.leave_alone(self.which) {
                return Err(Fault::Retry { reason: "the replica does not answer".into(), after: Some(after) });
            }
            let (mut sum, mut done, mut running) = (Sum::default(), 0, JoinSet::new());
            // A bucket that is gone goes when its objects are.
            let (bucket_itself, keys): (Vec<&String>, Vec<&String>) = attempt.items.iter().partition(|i| Replicas::key_of(i) == Some(None));
            let mut items = keys.into_iter().chain(bucket_itself);
            let mut life = interval(SIGN_OF_LIFE);
            loop {
                while running.len() < KEYS
                    && !sum.away
                    && let Some(item) = items.next()
                {
                    // An item that is no key can't have been recorded.
                    let Some(key) = Replicas::key_of(item) else { continue };
                    let (replicas, which, bucket, item) = (self.replicas.clone(), self.which, document.bucket.clone(), item.clone());
                    let grant = self.grant.clone();
                    running.spawn(async move { (replicas.bring(&grant, which, &bucket, key.as_ref()).await, item) });
                }
                tokio::select! {
                    ended = running.join_next() => match ended {
                        None => break,
                        Some(Ok((brought, item))) => {
                            self.tell(&document.bucket, &item, &brought).await;
                            sum.add(&item, brought);
                            done += 1;
                        }
                        Some(Err(e)) => (sum.away, sum.again) = (true, Some(e.to_string())),
                    },
                    _ = life.tick() => attempt.progress(done, attempt.items.len() as u64, "on its way to the replica"),
                }
            }
            match sum {
                Sum { again: Some(reason), .. } => Err(Fault::retry(reason)),
                Sum { changing: 1.., .. } => Err(Fault::Retry { reason: "a key is being written".into(), after: Some(SOON) }),
                Sum { refused: Some(reason), .. } => Err(Fault::dead(reason)),
                Sum { copied, deleted, .. } => Ok(Some(json!({ "copied": copied, "deleted": deleted }))),
            }
        })
    }
}

impl Replicate {
    /// Of a key that is there now, and of one that the replica refuses for good.
    async fn tell(&self, bucket: &BucketName, item: &str, brought: &Result<Brought, Trouble>) {
        let Some(Some(key)) = Replicas::key_of(item) else { return };
        let (kind, reason) = match brought {
            Ok(Brought::Copied(_) | Brought::Deleted) => (EventKind::ReplicationDone, None),
            Err(Trouble::Target(e)) if is_for_good(e) => (EventKind::ReplicationFailed, Some(format!("{:?}: {}", e.kind(), e.message()))),
            Ok(Brought::Same) | Err(_) => return,
        };
        let replica = self.name.strip_prefix("replicate-").unwrap_or(self.name);
        self.events.tell_of(bucket, key, kind, json!({ "replica": replica, "reason": reason })).await;
    }
}

pub struct Repair {
    pub replicas: Replicas,
    pub grant: GatewayGrant,
}

impl Kind for Repair {
    fn name(&self) -> &'static str {
        REPAIR
    }

    fn at_once(&self) -> u32 {
        JOBS
    }

    fn patience(&self) -> Duration {
        SIGN_OF_LIFE * 3
    }

    fn run<'a>(&'a self, attempt: &'a Attempt) -> Work<'a> {
        Box::pin(async move {
            let name: String = attempt.document(VERSION)?;
            let Some(which) = self.replicas.find(&name) else { return Err(Fault::dead("there is no such replica any more")) };
            if let Some(after) = self.replicas.leave_alone(which) {
                return Err(Fault::Retry { reason: "the replica does not answer".into(), after: Some(after) });
            }
            let keys = AtomicU64::new(0);
            let told = |scanned: Scanned| keys.store(scanned.keys, Ordering::Relaxed);
            let scanning = self.replicas.scan(&self.grant, which, &told);
            tokio::pin!(scanning);
            let mut life = interval(SIGN_OF_LIFE);
            loop {
                tokio::select! {
                    scanned = &mut scanning => return match scanned {
                        Ok(Some(scanned)) => Ok(Some(json!(scanned))),
                        Ok(None) => Ok(Some(json!({ "note": "another scan of this replica was running" }))),
                        Err(e) => Err(Fault::retry(format!("{:?}: {}", e.kind(), e.message()))),
                    },
                    _ = life.tick() => attempt.progress(keys.load(Ordering::Relaxed), 0, "keys compared"),
                }
            }
        })
    }
}
