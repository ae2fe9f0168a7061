//! One file for each kind of background work. Each may be begun again after its last step was done, and says why that is safe.
//!
//! A kind acts in the name of the tenant who asked (`warm`, `fetch`, what is generated, and the purges that a tenant asks for), by grants that are made when the
//! job is claimed; or for the gateway, and then what it calls in `ops` demands a `GatewayGrant`: that work follows from what was
//! acknowledged, and goes on whatever becomes of the tenant.
//!
//! Not here: the queue and its runner (`queue`). Built and handed over by `app`.

pub mod backfill;
pub mod deliver_events;
pub mod deliver_log;
pub mod fetch;
pub mod generate;
pub mod inspect;
pub mod landing;
pub mod lifecycle;
pub mod optimize;
pub mod peers;
pub mod purge;
pub mod recount;
pub mod replicate;
pub mod sweep;
pub mod upload;
pub mod warm;

use crate::auth::Auth;
use crate::auth::for_jobs::Asker;
use crate::base::error::Error;
use crate::base::timestamp::Timestamp;
use crate::queue::{Fault, Job};

/// Who asked for the job, as the tenant is now.
fn asker(auth: &Auth, job: &Job) -> Result<Asker, Fault> {
    auth.asker(&job.tenant, job.asked_by.as_ref(), Timestamp::now()).map_err(refused)
}

/// Another attempt would be refused as well; the reason is for the job's owner.
fn refused(e: Error) -> Fault {
    Fault::dead(format!("refused: {}", e.message()))
}
