//! One entry of the overlay: an object that is not yet upstream, or the mark of a delete that is not.
//!
//! Entries lie in a store of their own as objects under their key. Stored, a delete's mark is an object that no client can make:
//! it has no bytes and the MD5 0. Nobody but this file knows that form.

use std::sync::Arc;

use bytes::Bytes;
use sha2::Digest as _;

use crate::base::conditions::WriteConditions;
use crate::base::digest::{Md5, Sha256, VerifiedSha256};
use crate::base::etag::ETag;
use crate::base::lock::Lock;
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::object::{CannedAcl, Layer, ListedObject, ObjectHeaders, ObjectInfo, SharedObject};
use crate::base::tags::Tags;
use crate::ingest::{Content, Received};
use crate::origin::PutObject;

const MARK: Md5 = Md5([0; 16]);

/// What waits for a key, with its row in the overlay's store.
#[derive(Debug, Clone)]
pub enum Entry {
    Object(SharedObject),
    Delete(SharedObject),
}

impl Entry {
    pub fn of_row(row: SharedObject) -> Self {
        if is_mark(row.size, Some(row.etag)) { Entry::Delete(row) } else { Entry::Object(row) }
    }

    pub fn row(&self) -> &SharedObject {
        match self {
            Entry::Object(row) | Entry::Delete(row) => row,
        }
    }

    pub fn is_delete(&self) -> bool {
        matches!(self, Entry::Delete(_))
    }

    /// As the rest of the gateway sees it. None: nothing is there any more.
    pub fn shown(&self) -> Option<SharedObject> {
        match self {
            Entry::Object(row) => Some(shown(row)),
            Entry::Delete(_) => None,
        }
    }
}

fn is_mark(size: u64, etag: Option<ETag>) -> bool {
    size == 0 && etag == Some(ETag::single(MARK))
}

pub fn is_listed_delete(row: &ListedObject) -> bool {
    is_mark(row.size, row.etag)
}

/// What is put into the store to mark a delete. `owner` is whose object it is.
pub fn delete_of(bucket: &BucketName, key: &ObjectKey, owner: TenantId) -> PutObject {
    PutObject {
        bucket: bucket.clone(),
        key: key.clone(),
        owner,
        acl: CannedAcl::Private.into(),
        headers: ObjectHeaders::default(),
        tags: Tags::default(),
        encryption: None,
        lock: Lock::default(),
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

/// An object's row, as the rest of the gateway sees it.
pub fn shown(row: &ObjectInfo) -> SharedObject {
    Arc::new(ObjectInfo { layer: Layer::WriteBack, ..row.clone() })
}

/// Whether the version that somebody was shown waits here, or did.
pub fn is_ours(object: &ObjectInfo) -> bool {
    object.layer == Layer::WriteBack
}

/// Only over what was there when it was looked: a request that lost its way and comes late changes nothing any more.
pub fn only_over(before: Option<&ObjectInfo>) -> WriteConditions {
    WriteConditions::only_over(before.map(|object| object.etag))
}

/// Whether upstream has this already, but for its tags: an upload whose end could not be noted.
pub fn is_there(before: Option<&ObjectInfo>, entry: &Entry) -> bool {
    match (before, entry) {
        (None, Entry::Delete(_)) => true,
        (Some(object), Entry::Object(row)) => {
            (object.etag, object.size, &object.acl, &object.owner, &object.headers)
                == (row.etag, row.size, &row.acl, &row.owner, &row.headers)
        }
        (None, Entry::Object(_)) | (Some(_), Entry::Delete(_)) => false,
    }
}
