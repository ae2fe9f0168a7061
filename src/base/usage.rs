//! What is stored, as bills and limits count it: where, how much, and for how long.
//!
//! Values only. The embedded store counts them with each write (`local/usage`); `usage` keeps their history.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::names::{BucketName, TenantId};
use super::timestamp::Timestamp;

pub const DAY: u64 = 24 * 3_600_000;

/// Since the epoch, of UTC.
pub fn day(at: Timestamp) -> u32 {
    u32::try_from(at.millis() / DAY).unwrap_or(u32::MAX)
}

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
    /// Bytes times milliseconds, since the store began to count. Not of a tenant as a whole.
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

/// So much of each: what a change of the store brings, or takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    pub bytes: u64,
    /// Keys that show an object.
    pub objects: u64,
    pub versions: u64,
    pub markers: u64,
}

impl Load {
    /// An object, where it is the only version of its key.
    pub fn object(bytes: u64) -> Self {
        Load { bytes, objects: 1, versions: 1, markers: 0 }
    }

    pub fn plus(self, more: Load) -> Self {
        Load {
            bytes: self.bytes.saturating_add(more.bytes),
            objects: self.objects.saturating_add(more.objects),
            versions: self.versions.saturating_add(more.versions),
            markers: self.markers.saturating_add(more.markers),
        }
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

/// How long how much of each run was stored, by day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDaysQuery {
    /// None: of all.
    pub tenant: Option<TenantId>,
    pub days: Range<u32>,
    /// Each day by itself, or all of them together.
    pub by_day: bool,
    /// Up to when.
    pub at: Timestamp,
    /// What is more is told of all other runs of a place together.
    pub max: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDays {
    pub tenant: String,
    pub bucket: String,
    pub artifact: String,
    /// None: all that are beyond `RunDaysQuery::max`.
    pub run: Option<String>,
    /// None: all that were asked for.
    pub day: Option<u32>,
    pub byte_millis: u128,
}
