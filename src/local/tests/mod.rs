//! Tests of the store as a whole, through `Origin`, on a folder of their own.

mod basics;
mod encryption;
mod faults;
mod folder;
mod golden;
mod golden_checksums;
mod history;
mod left;
mod locks;
mod model;
mod multipart;
mod references;
mod rotation;
mod scopes;
mod versions;

use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;
use sha2::Digest as _;

use crate::base::checksum::ChecksumAlgorithm;
use crate::base::conditions::WriteConditions;
use crate::base::digest::{Sha256, VerifiedSha256};
use crate::base::error::Result;
use crate::base::lock::Lock;
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::object::{Bucket, CannedAcl, ObjectHeaders};
use crate::base::object_ref::ObjectRef;
use crate::base::range::ByteRange;
use crate::base::timestamp::Timestamp;
use crate::ingest::hasher::ChecksumHasher;
use crate::ingest::md5::Md5Hasher;
use crate::ingest::{Content, Received};
use crate::local::{Local, Settings};
use crate::origin::{Body, Buckets, Control, Dedup, Delete, Freshness, Intake, PutObject, Quota, ReadBy, Reads, Uploads, Writes, Written};

pub fn settings(dir: &std::path::Path) -> Settings {
    Settings { dir: dir.join("data"), reserve_bytes: 0, drop_grace: std::time::Duration::ZERO, ..Settings::default() }
}

pub fn bucket_name(name: &str) -> BucketName {
    BucketName::parse(name).unwrap()
}

pub fn object_key(name: &str) -> ObjectKey {
    ObjectKey::parse(name).unwrap()
}

pub fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

/// What ingest would have made of the body.
pub fn received(local: &Local, body: &[u8], algorithm: ChecksumAlgorithm) -> Received {
    let sha256: [u8; 32] = sha2::Sha256::digest(body).into();
    let staging = local.staging(&tenant("acme"));
    let content = if body.len() <= staging.memory_limit {
        Content::Memory(Bytes::copy_from_slice(body))
    } else {
        let mut file = staging.create().unwrap();
        file.append(body).unwrap();
        Content::File(file)
    };
    Received {
        size: body.len() as u64,
        md5: Some(Md5Hasher::digest(body)),
        sha256: VerifiedSha256::proven(Sha256(sha256)),
        checksum: ChecksumHasher::digest(algorithm, body),
        content,
    }
}

pub fn put_of(local: &Local, bucket: &str, key: &str, body: &[u8]) -> PutObject {
    PutObject {
        bucket: bucket_name(bucket),
        key: object_key(key),
        owner: tenant("acme"),
        acl: CannedAcl::Private.into(),
        headers: ObjectHeaders { content_type: "text/plain".into(), ..ObjectHeaders::default() },
        lock: Lock::default(),
        tags: Default::default(),
        encryption: None,
        conditions: WriteConditions::default(),
        received: received(local, body, ChecksumAlgorithm::Crc64Nvme),
    }
}

pub async fn put(local: &Local, bucket: &str, key: &str, body: &[u8]) -> Result<Written> {
    local.put(put_of(local, bucket, key, body), Quota::default()).await
}

pub async fn put_dedup(local: &Local, bucket: &str, key: &str, body: &[u8]) -> Dedup {
    put(local, bucket, key, body).await.unwrap().dedup
}

pub async fn delete(local: &Local, bucket: &str, key: &str) -> Result<bool> {
    let deleted = local.delete(ObjectRef::current(&bucket_name(bucket), &object_key(key)), Delete::default()).await?;
    Ok(deleted.existed == Some(true))
}

pub async fn make_bucket(local: &Local, name: &str) {
    let bucket = Bucket {
        name: bucket_name(name),
        owner: tenant("acme"),
        created: Timestamp::now(),
        acl: CannedAcl::Private.into(),
        documents: Default::default(),
        generation: 0,
        unknown: Default::default(),
    };
    local.create_bucket(bucket).await.unwrap();
}

pub async fn collect(body: Body) -> Result<Vec<u8>> {
    match body {
        Body::Memory(bytes) => Ok(bytes.to_vec()),
        Body::Stream(mut source) => {
            let mut out = Vec::new();
            while let Some(piece) = poll_fn(|cx| source.as_mut().poll_next(cx)).await {
                out.extend_from_slice(&piece?);
            }
            Ok(out)
        }
    }
}

/// The whole body, as the kernel and as user space would read it, hot and cold. None: no such key.
pub async fn get(local: &Arc<Local>, bucket: &str, key: &str) -> Result<Option<Vec<u8>>> {
    let (bucket, key) = (bucket_name(bucket), object_key(key));
    let Some(object) = local.stat(ObjectRef::current(&bucket, &key), Freshness::Current).await? else { return Ok(None) };
    let range = ByteRange { start: 0, end: object.size };
    let mut seen: Option<Vec<u8>> = None;
    for by in [ReadBy::Kernel, ReadBy::UserSpace] {
        let hot = local.open_hot(ObjectRef::current(&bucket, &key), &object, range, by);
        let body = match hot {
            Some(body) => body,
            None => match local.open(ObjectRef::current(&bucket, &key), &object, range, by).await? {
                Some(body) => body,
                None => return Box::pin(get(local, bucket.as_str(), key.as_str())).await,
            },
        };
        let bytes = collect(body).await?;
        assert_eq!(bytes.len() as u64, object.size);
        assert!(seen.is_none_or(|s| s == bytes), "two ways to read differ");
        seen = Some(bytes);
    }
    Ok(seen)
}

/// Bytes that are different for each seed.
pub fn bytes_of(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}
