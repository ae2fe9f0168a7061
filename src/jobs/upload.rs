//! Carries what was written back upstream: one job for each version that was kept, see `ops::write_back`.
//!
//! An upstream that can't be reached is waited for without end. What it refuses for good ends the job with its reason; the
//! version stays readable here until the job is retried or the key is written again.
//! Begun again after a crash it looks first whether upstream has the version already.

#[cfg(test)]
mod tests;

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, interval, timeout};

use crate::auth::grant::GatewayGrant;
use crate::base::error::Error;
use crate::base::names::TenantId;
use crate::ops::changes::{Became, Change, Changes, Outcome, What};
use crate::ops::write_back::{Carried, Document, KIND, VERSION, WriteBack, is_for_good};
use crate::queue::kind::{Backoff, Work};
use crate::queue::{Attempt, Fault, Kind};

/// For the turn of another version of the key, which holds a worker's place.
const WAIT_FOR_TURN: Duration = Duration::from_secs(5);
const SIGN_OF_LIFE: Duration = Duration::from_secs(20);
/// One attempt may take this long, and for each byte what this rate allows.
const LONGEST: Duration = Duration::from_secs(600);
const SLOWEST_BYTES_PER_SECOND: u64 = 64 * 1024;

pub struct Upload {
    pub back: WriteBack,
    pub grant: GatewayGrant,
    /// That a version is upstream is a change of its own: until then other nodes showed the one before.
    pub changes: Changes,
}

impl Kind for Upload {
    fn name(&self) -> &'static str {
        KIND
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
            let carrying = self.carry(&attempt.job.tenant, &document);
            tokio::pin!(carrying);
            let end = Instant::now() + LONGEST + Duration::from_secs(document.size / SLOWEST_BYTES_PER_SECOND);
            let mut life = interval(SIGN_OF_LIFE);
            let carried = loop {
                tokio::select! {
                    carried = &mut carrying => break carried?,
                    _ = life.tick() => attempt.progress(0, document.size, "on its way upstream"),
                    () = tokio::time::sleep_until(end) => return Err(Fault::retry("the upstream takes it too slowly")),
                }
            };
            Ok(Some(match carried {
                Carried::Stored(Some(object)) => json!({ "state": "stored", "etag": object.etag.to_string() }),
                Carried::Stored(None) | Carried::Before => json!({ "state": "stored" }),
                Carried::Superseded => json!({ "state": "superseded" }),
            }))
        })
    }
}

impl Upload {
    async fn carry(&self, tenant: &TenantId, document: &Document) -> Result<Carried, Fault> {
        let Document { bucket, key, generation, .. } = document;
        // An overwritten version need not wait for anybody's turn.
        if let Some(carried) = self.back.is_settled(bucket, key, *generation).await.map_err(fault)? {
            return Ok(carried);
        }
        let Ok(turn) = timeout(WAIT_FOR_TURN, self.back.turn(bucket, key)).await else {
            return Err(Fault::retry("another version of the key is on its way upstream"));
        };
        let (back, grant, of, carried, version) = (self.back.clone(), self.grant.clone(), bucket.clone(), key.clone(), *generation);
        let carry = async move { back.carry(&grant, &turn, &of, &carried, version).await };
        let (tenant, bucket, key) = (tenant.clone(), bucket.clone(), Some(key.clone()));
        // The outside was told when it was kept here.
        let change = || Change { tenant, bucket, key, what: What::Content, deed: None, seen: None };
        self.changes.carry_out(change, carry).await.map_err(fault)
    }
}

impl Outcome for Carried {
    fn became(&self) -> Became {
        match self {
            Carried::Stored(_) => Became::Stored,
            Carried::Before | Carried::Superseded => Became::Nothing,
        }
    }
}

fn fault(e: Error) -> Fault {
    tracing::debug!(error = %e, "an upload failed");
    match is_for_good(&e) {
        true => Fault::dead(format!("the upstream refuses it: {:?}: {}", e.kind(), e.message())),
        false => Fault::retry(format!("{:?}: {}", e.kind(), e.message())),
    }
}
