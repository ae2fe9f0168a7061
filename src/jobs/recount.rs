//! Counts what is stored upstream by listing it, and sets right what drifted: see `ops::tally::recount`. It recurs, for all nodes once.
//! Begun again, it counts anew.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::time::interval;

use crate::auth::grant::GatewayGrant;
use crate::base::error::Result;
use crate::ops::tally::Tally;
use crate::ops::tally::recount::{KIND, VERSION};
use crate::queue::kind::Work;
use crate::queue::{Attempt, Fault, Kind, Payload, Recurring};

/// What was there before anybody counted is to be known soon.
const FIRST: Duration = Duration::from_secs(10);
const SIGN_OF_LIFE: Duration = Duration::from_secs(20);

pub struct Recount {
    pub tally: Tally,
    pub grant: GatewayGrant,
}

pub fn recurring(every: Duration) -> Result<Recurring> {
    Ok(Recurring { name: KIND.into(), kind: KIND, payload: Payload::of(VERSION, &json!({}))?, every, first: FIRST.min(every) })
}

impl Kind for Recount {
    fn name(&self) -> &'static str {
        KIND
    }

    /// Of two at a time one would be in vain.
    fn at_once(&self) -> u32 {
        1
    }

    fn patience(&self) -> Duration {
        SIGN_OF_LIFE * 6
    }

    fn run<'a>(&'a self, attempt: &'a Attempt) -> Work<'a> {
        Box::pin(async move {
            let counted = AtomicU64::new(0);
            let told = |versions| counted.store(versions, Ordering::Relaxed);
            let counting = self.tally.recount(&self.grant, &told);
            tokio::pin!(counting);
            let mut life = interval(SIGN_OF_LIFE);
            loop {
                tokio::select! {
                    ended = &mut counting => return match ended {
                        Ok(recounted) => Ok(Some(json!(recounted))),
                        Err(e) => Err(Fault::retry(format!("{:?}: {}", e.kind(), e.message()))),
                    },
                    _ = life.tick() => attempt.progress(counted.load(Ordering::Relaxed), 0, "versions counted"),
                }
            }
        })
    }
}
