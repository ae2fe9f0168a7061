//! One entry of the overlay: an object that is not yet upstream, or the mark of a delete that is not.
//!
//! Entries lie in a store of their own as objects under their key. A delete's mark is one that no client can make: it has no
//! bytes and the MD5 0. Versions of that store and those of the upstream are numbered apart, so what the rest of the gateway
//! sees has the highest bit of its generation set.

use std::sync::Arc;

use bytes::Bytes;
use sha2::Digest as _;

use crate::base::conditions::{ETagMatch, WriteConditions};
use crate::base::digest::{Md5, Sha256, VerifiedSha256};
use crate::base::etag::ETag;
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::object::{CannedAcl, ListedObject, ObjectHeaders, ObjectInfo, SharedObject};
use crate::ingest::{Content, Received};
use crate::origin::PutObject;

const OVERLAY: u64 = 1 << 63;
const MARK: Md5 = Md5([0; 16]);

pub fn is_delete(entry: &ObjectInfo) -> bool {
    entry.size == 0 && entry.etag == ETag::single(MARK)
}

pub fn is_listed_delete(entry: &ListedObject) -> bool {
    entry.size == 0 && entry.etag == Some(ETag::single(MARK))
}

/// What is put into the store to mark a delete. `owner` is whose object it is.
pub fn delete_of(bucket: &BucketName, key: &ObjectKey, owner: TenantId) -> PutObject {
    PutObject {
        bucket: bucket.clone(),
        key: key.clone(),
        owner,
        acl: CannedAcl::Private,
        headers: ObjectHeaders::default(),
        conditions: WriteConditions::default(),
        received: Received {
            size: 0,
            md5: Some(MARK),
            sha256: VerifiedSha256::proven(Sha256(sha2::Sha256::digest(b"").into())),
            checksum: None,
            content: Content::Memory(Bytes::new()),
        },
    }
}

/// As the rest of the gateway sees it.
pub fn shown(entry: &ObjectInfo) -> SharedObject {
    Arc::new(ObjectInfo { generation: entry.generation | OVERLAY, ..entry.clone() })
}

pub fn is_shown(object: &ObjectInfo) -> bool {
    object.generation & OVERLAY != 0
}

/// As the overlay's own store knows it.
pub fn own(object: &ObjectInfo) -> SharedObject {
    Arc::new(ObjectInfo { generation: object.generation & !OVERLAY, ..object.clone() })
}

/// Only over what was there when it was looked: a request that lost its way and comes late changes nothing any more.
pub fn only_over(before: Option<&ObjectInfo>) -> WriteConditions {
    match before {
        Some(object) => WriteConditions { if_match: Some(ETagMatch::OneOf(vec![object.etag])), ..WriteConditions::default() },
        None => WriteConditions { if_absent: true, ..WriteConditions::default() },
    }
}

/// Whether upstream has this already: an upload whose end could not be noted.
pub fn is_there(before: Option<&ObjectInfo>, entry: &ObjectInfo) -> bool {
    match before {
        None => is_delete(entry),
        Some(object) => {
            (object.etag, object.size, object.acl, &object.owner, &object.headers)
                == (entry.etag, entry.size, entry.acl, &entry.owner, &entry.headers)
        }
    }
}
