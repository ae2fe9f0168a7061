//! What can be set of the upstream, with the shipped values.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::base::limits::{MAX_PUT_BYTES, MIN_PART_BYTES};
use crate::base::names::{BucketName, TenantId};
use crate::telemetry::metrics::Metrics;
use crate::upstream::client::Access;

#[derive(Debug, Clone)]
pub struct Settings {
    pub access: Access,
    /// None: where an endpoint is set, since few of those have a name for each bucket.
    pub path_style: Option<bool>,
    /// The bucket that everything lives in. Empty: there is no upstream, and the store is the embedded one.
    pub bucket: String,
    /// Whether it is shown under its own name. A replica's is not: there each bucket of the gateway is a folder.
    pub shown: bool,
    /// Stands before everything in that bucket, the gateway's own state included.
    pub base_prefix: String,
    /// Stands, after `base_prefix`, before what the bucket shows under its own name.
    pub prefix: String,
    /// What a bucket that a client makes is there.
    pub buckets: BucketsAre,
    /// Before the names of buckets of their own.
    pub bucket_prefix: String,
    /// Whose that bucket is here. None: the operator's.
    pub owner: Option<TenantId>,
    /// Objects are encrypted with this KMS key.
    pub kms_key: Option<String>,
    /// Clients' own keys go there with the requests that need them.
    pub sends_customer_keys: bool,
    pub storage_class: Option<String>,
    /// Parts on their way up at once.
    pub concurrency: usize,
    /// Bodies over this size go up in parts.
    pub multipart_threshold: u64,
    pub part_bytes: u64,
    /// Further buckets that exist upstream, by names of their own.
    pub adopted: Vec<Adopted>,
    /// What is kept on this node while a body arrives.
    pub dir: PathBuf,
    pub memory_limit: usize,
    /// A PUT is refused below this much free space.
    pub reserve_bytes: u64,
    /// The record of an upload stays for at least so long after the upload has ended.
    pub completed_kept: Duration,
    pub metrics: Arc<Metrics>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BucketsAre {
    /// A folder in `upstream.bucket`.
    #[default]
    Folders,
    /// A bucket of its own.
    Own,
}

/// A bucket of some upstream name, shown here under `name`.
#[derive(Debug, Clone)]
pub struct Adopted {
    pub name: BucketName,
    pub bucket: String,
    pub prefix: String,
    /// None: the operator's.
    pub owner: Option<TenantId>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            access: Access::default(),
            path_style: None,
            bucket: String::new(),
            shown: true,
            base_prefix: String::new(),
            prefix: String::new(),
            buckets: BucketsAre::default(),
            bucket_prefix: String::new(),
            owner: None,
            kms_key: None,
            sends_customer_keys: true,
            storage_class: None,
            concurrency: 8,
            multipart_threshold: 16 * 1024 * 1024,
            part_bytes: 16 * 1024 * 1024,
            adopted: Vec::new(),
            dir: PathBuf::from("data/upstream"),
            memory_limit: 64 * 1024,
            reserve_bytes: 64 * 1024 * 1024,
            completed_kept: Duration::from_secs(24 * 3600),
            metrics: Arc::default(),
        }
    }
}

impl Settings {
    /// What no single key can know. Err: key and what was expected.
    pub fn check(&self) -> Result<(), Vec<(&'static str, String)>> {
        let mut faults = Vec::new();
        if self.bucket.is_empty() {
            if !self.adopted.is_empty() {
                faults.push(("upstream.bucket", "expected the bucket that the gateway's own state goes to: [[bucket]] needs one".into()));
            }
            return if faults.is_empty() { Ok(()) } else { Err(faults) };
        }
        if BucketName::parse(&self.bucket).is_err() {
            let text = "expected the name of a bucket: 3 to 63 of a-z, 0-9, '.' and '-'; one of another name can be adopted by [[bucket]]";
            faults.push(("upstream.bucket", text.into()));
        }
        for (key, prefix) in [("upstream.base_prefix", &self.base_prefix), ("upstream.prefix", &self.prefix)] {
            if !is_prefix(prefix) {
                faults.push((key, PREFIX_EXPECTED.into()));
            }
        }
        if self.buckets == BucketsAre::Folders && !self.bucket_prefix.is_empty() {
            faults.push(("upstream.bucket_prefix", "has a meaning only with upstream.buckets = \"own\"".into()));
        } else if BucketName::parse(&format!("{}abc", self.bucket_prefix)).is_err() || self.bucket_prefix.len() > MAX_BUCKET_PREFIX {
            faults.push((
                "upstream.bucket_prefix",
                "expected nothing, or at most 32 of a-z, 0-9, '.' and '-' that a bucket's name can begin with".into(),
            ));
        }
        if !(MIN_PART_BYTES..=MAX_PUT_BYTES).contains(&self.part_bytes) {
            faults.push(("upstream.part_size", "expected 5MiB to 5GiB: what S3 takes as a part".into()));
        }
        if self.multipart_threshold > MAX_PUT_BYTES {
            faults.push(("upstream.multipart_threshold", "expected at most 5GiB: what S3 takes in one request".into()));
        }
        if self.adopted.iter().any(|a| a.name.as_str() == self.bucket) {
            faults.push(("bucket.name", "is the name of upstream.bucket, which is shown already".into()));
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}

/// Names must have room behind it.
const MAX_BUCKET_PREFIX: usize = 32;

pub const PREFIX_EXPECTED: &str = "expected nothing, or a prefix of at most 256 bytes that ends with a slash and does not begin with one";

pub fn is_prefix(text: &str) -> bool {
    text.is_empty() || (text.ends_with('/') && !text.starts_with('/') && text.len() <= 256 && !text.contains('\0'))
}
