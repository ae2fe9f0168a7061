//! What is stored, as bills and limits count it: where, how much, and for how long.
//!
//! Values only. The embedded store counts them with each write (`local/usage`); `usage` keeps their history.

use super::names::{BucketName, TenantId};
use super::timestamp::Timestamp;

/// One place of a tenant, and what is stored there now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub tenant: TenantId,
    /// None: parts of uploads, which are of no bucket's until they are complete; and of a tenant as a whole.
    pub bucket: Option<BucketName>,
    /// Empty: keys that say none.
    pub artifact: String,
    /// Empty: of all runs.
    pub run: String,
    pub amount: Amount,
    /// Bytes times milliseconds, since the store began to count. Not of runs.
    pub byte_millis: u128,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// As clients see them, with parts of uploads.
    pub bytes: u64,
    /// Keys that show an object.
    pub objects: u64,
    /// All of them, the newest too.
    pub versions: u64,
    pub markers: u64,
    /// Of `bytes`: parts of uploads that are not complete.
    pub uploading: u64,
    /// Of `bytes`: what lies on the disk only once for several versions. Only of a tenant as a whole.
    pub shared: u64,
}

impl Amount {
    /// What lies on the disk.
    pub fn physical(&self) -> u64 {
        self.bytes.saturating_sub(self.shared)
    }
}

/// How finely it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredBy {
    Tenant,
    /// By bucket and artifact type.
    Type,
    /// By bucket, artifact type and run, where keys say one.
    Run,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredQuery {
    /// None: of all.
    pub tenant: Option<TenantId>,
    pub by: StoredBy,
    /// More places are left out.
    pub max: usize,
}

/// The places that were asked for, and whether there are more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPage {
    pub places: Vec<Stored>,
    pub more: bool,
    /// By the store's clock.
    pub at: Timestamp,
}
