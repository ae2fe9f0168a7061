//! Takes up what other nodes over the same S3 changed and nobody asks for with a request: keys made by `tidegate key`, tenants made by
//! `tidegate tenant`, and the secret of path tokens.

use std::sync::Arc;
use std::time::Duration;

use crate::auth::Auth;
use crate::ops::Ops;

/// How long a change on another node may go unseen. Three listings each time.
const FRESH: Duration = Duration::from_secs(5);

/// Runs until it is aborted.
pub async fn run(ops: Ops, auth: Arc<Auth>) {
    let mut fails = false;
    loop {
        tokio::time::sleep(FRESH).await;
        match ops.load_settings(&auth).await {
            Ok(()) => fails = false,
            // Once for each outage.
            Err(e) if !fails => {
                tracing::warn!(error = %e, "made keys and tenants can't be read upstream: those that were known last count");
                fails = true;
            }
            Err(_) => {}
        }
    }
}
