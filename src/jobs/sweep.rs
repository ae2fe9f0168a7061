//! Removes records of uploads that have ended from the upstream bucket, see `upstream::sweep`. It recurs, for all nodes once. Begun
//! again, or done twice, it does no harm.

use std::time::Duration;

use serde_json::json;
use tokio::time::interval;

use crate::auth::grant::GatewayGrant;
use crate::base::error::{Error, Result};
use crate::base::timestamp::Timestamp;
use crate::ops::shared_upkeep::SharedUpkeep;
use crate::queue::kind::Work;
use crate::queue::{Attempt, Fault, Kind, Payload, Recurring};
use crate::usage::period::{self, Month};

pub const KIND: &str = "sweep";
const VERSION: u16 = 1;
const EVERY: Duration = Duration::from_secs(6 * 3600);
/// A node that has just started has better things to do.
const FIRST: Duration = Duration::from_secs(600);
const SIGN_OF_LIFE: Duration = Duration::from_secs(20);

pub struct Sweep {
    pub bucket: SharedUpkeep,
    pub grant: GatewayGrant,
    /// How long usage is kept.
    pub keep_usage: Duration,
}

pub fn recurring() -> Result<Recurring> {
    Ok(Recurring { name: KIND.into(), kind: KIND, payload: Payload::of(VERSION, &json!({}))?, every: EVERY, first: FIRST })
}

impl Kind for Sweep {
    fn name(&self) -> &'static str {
        KIND
    }

    fn patience(&self) -> Duration {
        SIGN_OF_LIFE * 3
    }

    fn run<'a>(&'a self, attempt: &'a Attempt) -> Work<'a> {
        Box::pin(async move {
            let oldest = Timestamp::from_millis(Timestamp::now().millis().saturating_sub(self.keep_usage.as_millis() as u64));
            let sweeping = async {
                let swept = self.bucket.sweep(&self.grant).await?;
                self.bucket.forget_usage(&self.grant, Month::of_day(period::day(oldest))).await?;
                Ok::<_, Error>(swept)
            };
            tokio::pin!(sweeping);
            let mut life = interval(SIGN_OF_LIFE);
            loop {
                tokio::select! {
                    swept = &mut sweeping => return match swept {
                        Ok(swept) => Ok(Some(json!(swept))),
                        Err(e) => Err(Fault::retry(format!("{:?}: {}", e.kind(), e.message()))),
                    },
                    _ = life.tick() => attempt.progress(0, 0, "records of uploads are looked through"),
                }
            }
        })
    }
}
