//! What the nodes over one bucket do once for all of them, and how they agree on who does it.

use crate::auth::grant::GatewayGrant;
use crate::base::error::Result;
use crate::base::timestamp::Timestamp;
use crate::queue::lease::{Board, Posted, Reply};
use crate::upstream::Upstream;
use crate::upstream::sweep::Swept;

/// Of an upstream bucket. Cheap to clone.
#[derive(Clone)]
pub struct SharedUpkeep(Upstream);

impl SharedUpkeep {
    pub fn new(upstream: Upstream) -> Self {
        SharedUpkeep(upstream)
    }

    /// Whether one of several nodes can hold a lease in the bucket.
    pub fn has_leases(&self) -> bool {
        self.0.decides_conditional_writes()
    }

    /// Records of uploads that have ended are removed.
    pub async fn sweep(&self, _: &GatewayGrant) -> Result<Swept> {
        self.0.sweep(Timestamp::now()).await
    }
}

impl Board for SharedUpkeep {
    fn read<'a>(&'a self, name: &'a str) -> Reply<'a, Option<Posted>> {
        Box::pin(async move { Ok(self.0.lease(name).await?.map(|(mark, text)| Posted { mark, text })) })
    }

    fn write<'a>(&'a self, name: &'a str, text: Vec<u8>, over: Option<&'a str>) -> Reply<'a, Option<String>> {
        Box::pin(async move { self.0.put_lease(name, &text, over).await })
    }
}
