//! What the gateway knows of an object upstream that S3 can't hold. How it is sealed with the object: `stored`.

use crate::base::checksum::Checksum;
use crate::base::digest::{Md5, VerifiedSha256};
use crate::base::etag::ETag;
use crate::base::fields::Unknown;
use crate::base::names::TenantId;
use crate::base::object::{Acl, ObjectHeaders, ObjectInfo};
use crate::base::storable::is_plain;
use crate::base::timestamp::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub owner: TenantId,
    pub acl: Acl,
    pub sha256: Option<VerifiedSha256>,
    pub md5: Option<Md5>,
    pub checksum: Option<Checksum>,
    /// User metadata that is not ASCII travels encoded (RFC 2047); these are the names of such values.
    pub encoded: Vec<String>,
    /// Of a replica's copy: which version of the origin it is.
    pub source: Option<SourceVersion>,
    pub unknown: Unknown,
}

impl Known {
    pub fn of(owner: TenantId, acl: Acl) -> Self {
        Known { owner, acl, sha256: None, md5: None, checksum: None, encoded: Vec::new(), source: None, unknown: Unknown::default() }
    }

    pub fn new(owner: TenantId, acl: Acl, headers: &ObjectHeaders) -> Self {
        let encoded = headers.user.iter().filter(|(_, v)| !is_plain(v)).map(|(n, _)| n.clone()).collect();
        Known { encoded, ..Known::of(owner, acl) }
    }
}

/// A version as the origin names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceVersion {
    pub etag: ETag,
    pub modified: Timestamp,
    pub generation: u64,
}

impl SourceVersion {
    pub fn of(object: &ObjectInfo) -> Self {
        SourceVersion { etag: object.etag, modified: object.modified, generation: object.generation }
    }
}
