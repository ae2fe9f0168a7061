//! Brings the rest of a bucket's old store, see `ops::shadow`. Begun again after a crash, it looks at what is here already and
//! goes on.

use std::sync::Mutex;
use std::time::Duration;

use serde_json::json;
use tokio::time::interval;

use crate::auth::grant::GatewayGrant;
use crate::base::names::BucketName;
use crate::ops::shadow::{BACKFILL, BACKFILL_VERSION, Shadows, Walked};
use crate::queue::kind::{Backoff, Work};
use crate::queue::{Attempt, Fault, Kind};

const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

pub struct Backfill {
    pub shadows: Shadows,
    pub grant: GatewayGrant,
}

impl Kind for Backfill {
    fn name(&self) -> &'static str {
        BACKFILL
    }

    /// Each copies several objects at once.
    fn at_once(&self) -> u32 {
        1
    }

    fn patience(&self) -> Duration {
        SIGN_OF_LIFE * 12
    }

    fn backoff(&self) -> Backoff {
        Backoff { first: Duration::from_secs(5), most: Duration::from_secs(600) }
    }

    fn run<'a>(&'a self, attempt: &'a Attempt) -> Work<'a> {
        Box::pin(async move {
            let bucket: BucketName = attempt.document(BACKFILL_VERSION)?;
            let so_far = Mutex::new(Walked::default());
            let told = |walked: &Walked| {
                if let Ok(mut so_far) = so_far.lock() {
                    so_far.clone_from(walked);
                }
            };
            let walking = self.shadows.bring_all(&self.grant, &bucket, &told);
            tokio::pin!(walking);
            let mut life = interval(SIGN_OF_LIFE);
            loop {
                tokio::select! {
                    walked = &mut walking => return match walked {
                        Ok(Some(Walked { failed: failed @ 1.., fault, copied, .. })) => {
                            let first = fault.unwrap_or_default();
                            Err(Fault::retry(format!("{copied} were copied, {failed} could not be: {first}")))
                        }
                        Ok(Some(walked)) => Ok(Some(json!(walked))),
                        Ok(None) => Err(Fault::dead("the bucket has no old store any more")),
                        Err(e) => Err(Fault::retry(format!("{:?}: {}", e.kind(), e.message()))),
                    },
                    _ = life.tick() => {
                        let so_far = so_far.lock().map(|walked| walked.clone()).unwrap_or_default();
                        attempt.progress(so_far.keys, 0, format!("{} copied, {} bytes", so_far.copied, so_far.bytes));
                    }
                }
            }
        })
    }
}
