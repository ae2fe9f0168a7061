//! What the nodes over one bucket do once for all of them, and how they agree on who does it.

use crate::auth::grant::GatewayGrant;
use crate::base::error::Result;
use crate::base::timestamp::Timestamp;
use crate::ops::tally::shelf::{Over, Shelf};
use crate::queue::lease::{Board, Posted, Reply};
use crate::upstream::Upstream;
use crate::upstream::records;
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

    pub async fn usage_names(&self, month: &str) -> Result<Vec<(String, String)>> {
        self.0.usage_names(month).await
    }

    pub async fn usage_record(&self, month: &str, name: &str) -> Result<Option<Vec<u8>>> {
        self.0.usage_record(month, name).await
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

impl Shelf for SharedUpkeep {
    fn read<'a>(&'a self, name: &'a str) -> Reply<'a, Option<Posted>> {
        Box::pin(async move { Ok(self.0.tally(name).await?.map(|(mark, text)| Posted { mark, text })) })
    }

    fn write<'a>(&'a self, name: &'a str, text: Vec<u8>, over: Over) -> Reply<'a, bool> {
        let over = match over {
            Over::Anything => records::Over::Anything,
            Over::Nothing => records::Over::Nothing,
            Over::This(mark) => records::Over::This(mark),
        };
        Box::pin(async move { self.0.put_tally(name, &text, over).await })
    }

    fn all<'a>(&'a self, folder: &'a str) -> Reply<'a, Vec<(String, Vec<u8>)>> {
        Box::pin(self.0.tallies(folder))
    }

    fn put_usage<'a>(&'a self, month: &'a str, name: &'a str, record: &'a [u8]) -> Reply<'a, ()> {
        Box::pin(self.put_usage(month, name, record))
    }
}
