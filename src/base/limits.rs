//! The limits that S3 itself sets, and ours where S3 is silent. Each has its reason beside it.

/// S3's largest single PUT, and the largest part.
pub const MAX_PUT_BYTES: u64 = 5 * 1024 * 1024 * 1024;
/// S3: every part but the last.
pub const MIN_PART_BYTES: u64 = 5 * 1024 * 1024;
pub const MAX_PARTS: u16 = 10_000;
/// S3: bytes of UTF-8.
pub const MAX_KEY_BYTES: usize = 1024;
/// S3: user metadata, names and values together.
pub const MAX_USER_METADATA_BYTES: usize = 2048;
/// S3: all other stored headers, names and values together.
pub const MAX_SYSTEM_METADATA_BYTES: usize = 2048;
/// S3: keys in one DeleteObjects, and in one list page.
pub const MAX_DELETE_KEYS: usize = 1000;
pub const MAX_LIST_KEYS: usize = 1000;
/// S3: a bucket policy.
pub const MAX_POLICY_BYTES: usize = 20 * 1024;
/// The largest XML body any operation takes: CompleteMultipartUpload with 10,000 parts and all five checksums.
pub const MAX_XML_BYTES: usize = 4 * 1024 * 1024;
/// Elements inside elements: S3's own documents go to 6.
pub const MAX_XML_DEPTH: usize = 16;
/// Presigned URLs: S3's 7 days.
pub const MAX_PRESIGN_SECONDS: u64 = 7 * 24 * 3600;
/// S3's tolerance for a client's clock.
pub const MAX_CLOCK_SKEW_SECONDS: u64 = 15 * 60;
/// Buckets one tenant may own: keeps ListBuckets and the bucket table bounded.
pub const MAX_BUCKETS_PER_TENANT: usize = 1000;
