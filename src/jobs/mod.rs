//! One file for each kind of background work. Each may be begun again after its last step was done, and says why that is safe.
//!
//! Not here: the queue and its runner (`queue`). Built and handed over by `app`.

pub mod backfill;
pub mod peers;
pub mod purge;
pub mod replicate;
pub mod upload;
pub mod warm;
