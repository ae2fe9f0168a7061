//! What the nodes over one bucket do once for all of them, and how they agree on who does it.

use crate::auth::grant::GatewayGrant;
use crate::base::error::Result;
use crate::base::timestamp::Timestamp;
use crate::queue::lease::{Board, Posted, Reply};
use crate::upstream::Upstream;
use crate::upstream::sweep::Swept;
use crate::usage::period::Month;

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

    /// What nodes used in months before that of `oldest` is forgotten.
    pub async fn forget_usage(&self, _: &GatewayGrant, oldest: Month) -> Result<u64> {
        self.0.forget_usage_before(&oldest.to_string()).await
    }

    pub async fn usage(&self, month: &str, wanted: impl Fn(&str) -> bool) -> Result<Vec<Vec<u8>>> {
        self.0.usage_records(month, wanted).await
    }

    pub async fn put_usage(&self, month: &str, name: &str, record: &[u8]) -> Result<()> {
        self.0.put_usage_record(month, name, record).await
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
