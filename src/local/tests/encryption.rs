//! Bodies under keys: everything that can be done with an object, with nothing of it in the clear on the disk; damage, and customers' own
//! keys.

use std::collections::BTreeMap;
use std::path::Path;

use super::model::{collect_garbage, files};
use super::multipart::{complete_of, part, upload_of};
use super::*;
use crate::base::crypt::chunks::{CHUNK, sealed_len};
use crate::base::crypt::ring::{NamedKey, NamedKeys, Versions};
use crate::base::digest::Md5;
use crate::base::encryption::{CustomerKey, Encryption, KeyName, Kms};
use crate::base::error::ErrorKind;
use crate::base::object::{ObjectInfo, SharedObject, Upload};
use crate::base::object_ref::ObjectRef;
use crate::ingest::{Expect, Staging, receive};
use crate::local::fsck::{self, Options};
use crate::local::sealed::Sealing;
use crate::origin::{Announced, CopyObject};

const MIB: usize = 1024 * 1024;

pub fn keys(names: &[&str], versions: &[u32]) -> NamedKeys {
    let named = names.iter().map(|name| {
        let mut all = Versions::default();
        versions.iter().for_each(|n| all.add(*n, [*n as u8 ^ name.len() as u8; 32]));
        (KeyName::parse(name).unwrap(), NamedKey { versions: all, tenants: None })
    });
    NamedKeys::new(named.collect::<BTreeMap<_, _>>())
}

pub fn kms(name: &str) -> Encryption {
    Encryption::Kms(Kms { key: KeyName::parse(name).unwrap(), context: None, bucket_key: false }.into())
}

pub fn customer(byte: u8) -> Encryption {
    Encryption::Customer(Some(Arc::new(CustomerKey::new([byte; 32], Md5([byte; 16])))))
}

fn ways() -> [Encryption; 3] {
    [Encryption::S3, kms("k1"), customer(1)]
}

pub fn store(dir: &Path) -> Settings {
    let sealing = Sealing::new(b"operator-secret", None).unwrap();
    Settings { inline_limit: 4096, encryption_keys: keys(&["k1", "k22"], &[1]), sealing, ..settings(dir) }
}

struct Whole(Bytes);

impl http_body::Body for Whole {
    type Data = Bytes;
    type Error = crate::base::error::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>>>> {
        let some = self.0.len().min(100_000);
        let piece = self.0.split_to(some);
        std::task::Poll::Ready((!piece.is_empty()).then(|| Ok(http_body::Frame::data(piece))))
    }
}

async fn taken_in(body: &[u8], staging: &Staging) -> Received {
    let expect = Expect { max: u64::MAX, compute: Some(ChecksumAlgorithm::Crc64Nvme), ..Expect::default() };
    receive(std::pin::pin!(Whole(Bytes::copy_from_slice(body))), None, &expect, staging).await.unwrap()
}

/// As the door does it: staged as it will lie.
pub async fn put_as(local: &Local, key: &str, body: &[u8], of: &Encryption) -> SharedObject {
    let put = put_of(local, "media", key, b"");
    let staging = local.staging_for(&Announced {
        bucket: &put.bucket,
        key: &put.key,
        owner: &put.owner,
        acl: &put.acl,
        headers: &put.headers,
        tags: &put.tags,
        encryption: Some(of),
        conditions: &put.conditions,
        length: None,
        sha256: None,
        algorithm: None,
    });
    let received = taken_in(body, &staging).await;
    local.put(PutObject { received, encryption: Some(of.clone()), ..put }, Quota::default()).await.unwrap().object
}

pub async fn upload_as(local: &Local, key: &str, parts: &[Vec<u8>], of: &Encryption) -> SharedObject {
    let upload = Upload { encryption: Some(of.clone()), ..upload_of(key, &format!("upload-of-{key}"), None) };
    let begun = local.create_upload(upload.clone()).await.unwrap();
    assert_eq!(begun.encryption.as_ref().map(Encryption::without_key), Some(of.without_key()));
    let mut sent = Vec::new();
    for (n, body) in parts.iter().enumerate() {
        let received = taken_in(body, &local.staging_under(&tenant("acme"), Some(of))).await;
        sent.push(local.put_part(&upload, n as u16 + 1, received, Quota::default()).await.unwrap());
    }
    let mut complete = complete_of(&upload, &sent);
    complete.customer_key = of.customer_key().cloned();
    local.complete_upload(complete, Quota::default()).await.unwrap().object
}

async fn stat(local: &Local, key: &str) -> SharedObject {
    local.stat(ObjectRef::current(&bucket_name("media"), &object_key(key)), Freshness::Current).await.unwrap().unwrap()
}

/// The object as who has the key sees it.
pub async fn seen(local: &Local, key: &str, of: &Encryption) -> SharedObject {
    let object = stat(local, key).await;
    assert_eq!(object.encryption.as_ref(), Some(&of.without_key()));
    Arc::new(ObjectInfo { encryption: Some(of.clone()), ..ObjectInfo::clone(&object) })
}

pub async fn read(local: &Arc<Local>, key: &str, object: &SharedObject, range: ByteRange) -> Result<Vec<u8>> {
    let (bucket, key) = (bucket_name("media"), object_key(key));
    let of = ObjectRef::current(&bucket, &key);
    let body = match local.open_hot(of, object, range, ReadBy::Kernel) {
        Some(body) => body,
        None => local.open(of, object, range, ReadBy::Kernel).await?.unwrap(),
    };
    collect(body).await
}

pub async fn whole(local: &Arc<Local>, key: &str, of: &Encryption) -> Vec<u8> {
    let object = seen(local, key, of).await;
    read(local, key, &object, ByteRange { start: 0, end: object.size }).await.unwrap()
}

/// Every file under the folder that has the text in it.
fn found_in(dir: &Path, text: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(found_in(&path, text));
        } else if std::fs::read(&path).is_ok_and(|bytes| bytes.windows(text.len()).any(|w| w == text)) {
            found.push(path.display().to_string());
        }
    }
    found
}

/// A text that is easy to find, long enough for a body of `size`.
fn pattern(size: usize) -> Vec<u8> {
    b"PLAINTEXT-THAT-NOBODY-MAY-FIND. ".iter().copied().cycle().take(size).collect()
}

const NEEDLE: &[u8] = b"THAT-NOBODY-MAY-FIND";

#[tokio::test]
async fn every_way_and_size_comes_back_whole_and_in_ranges() {
    let dir = tempfile::tempdir().unwrap();
    let local = Local::open(store(dir.path())).unwrap();
    make_bucket(&local, "media").await;
    for (n, of) in ways().iter().enumerate() {
        for size in [0, 1, 100, 4096, 4097, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK + 3, 3 * MIB] {
            let (key, body) = (format!("{n}-{size}"), bytes_of(size as u64, size));
            let made = put_as(&local, &key, &body, of).await;
            assert_eq!(made.etag == crate::base::etag::ETag::single(Md5Hasher::digest(&body)), n == 0, "only SSE-S3 shows the MD5");
            let object = seen(&local, &key, of).await;
            for round in 0..3 {
                assert_eq!(whole(&local, &key, of).await, body, "{key}, read {round}");
            }
            for (start, end) in
                [(0, 1), (size / 2, size / 2 + 1), (CHUNK - 1, CHUNK + 1), (1, size.saturating_sub(1)), (size - size.min(5), size)]
            {
                if start < end && end <= size {
                    let range = ByteRange { start: start as u64, end: end as u64 };
                    assert_eq!(read(&local, &key, &object, range).await.unwrap(), body[start..end], "{key} {range:?}");
                }
            }
        }
    }
    local.close();
    let report = fsck::fsck(&store(dir.path()), Options { verify: true, repair: false }).unwrap();
    assert!(report.is_clean(), "{report:?}");
}

#[tokio::test]
async fn parts_copies_and_ranges_over_them() {
    let dir = tempfile::tempdir().unwrap();
    let local = Local::open(store(dir.path())).unwrap();
    make_bucket(&local, "media").await;
    let parts = [bytes_of(1, 5 * MIB), bytes_of(2, 5 * MIB + 77), bytes_of(3, 1000)];
    let body = parts.concat();
    for (n, of) in ways().iter().enumerate() {
        let key = format!("multipart-{n}");
        upload_as(&local, &key, &parts, of).await;
        assert_eq!(whole(&local, &key, of).await, body);
        let object = seen(&local, &key, of).await;
        for (start, end) in [(5 * MIB - 3, 5 * MIB + 3), (10 * MIB + 70, 10 * MIB + 80), (CHUNK, 9 * MIB), (body.len() - 1, body.len())] {
            let range = ByteRange { start: start as u64, end: end as u64 };
            assert_eq!(read(&local, &key, &object, range).await.unwrap(), body[start..end]);
        }
        for (m, to) in ways().iter().map(Some).chain([None]).enumerate() {
            let source = seen(&local, &key, of).await;
            let (from, name) = (put_of(&local, "media", &key, b""), format!("copy-{n}-{m}"));
            let copy = CopyObject {
                source_bucket: from.bucket.clone(),
                source_key: from.key,
                source_version: None,
                source,
                bucket: from.bucket,
                key: object_key(&name),
                owner: from.owner,
                acl: from.acl,
                headers: from.headers,
                tags: from.tags,
                encryption: to.cloned(),
                lock: from.lock,
                checksum: None,
                conditions: from.conditions,
            };
            local.copy(copy, Quota::default()).await.unwrap();
            match to {
                Some(to) => assert_eq!(whole(&local, &name, to).await, body, "{name}"),
                None => assert_eq!(get(&local, "media", &name).await.unwrap().unwrap(), body, "{name}"),
            }
        }
    }
    collect_garbage(&local);
    local.close();
    let report = fsck::fsck(&store(dir.path()), Options { verify: true, repair: false }).unwrap();
    assert!(report.is_clean(), "{report:?}");
}

#[tokio::test]
async fn nothing_of_it_is_in_the_clear_on_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let local = Local::open(store(dir.path())).unwrap();
    make_bucket(&local, "media").await;
    for (n, of) in ways().iter().enumerate() {
        for size in [100, 4000, 3 * CHUNK, 3 * MIB] {
            put_as(&local, &format!("{n}-{size}"), &pattern(size), of).await;
        }
        upload_as(&local, &format!("parts-{n}"), &[pattern(5 * MIB), pattern(77)], of).await;
        // One that is under way.
        let upload = Upload { encryption: Some(of.clone()), ..upload_of("k", &format!("open-{n}"), None) };
        local.create_upload(upload.clone()).await.unwrap();
        let received = taken_in(&pattern(200_000), &local.staging_under(&tenant("acme"), Some(of))).await;
        local.put_part(&upload, 1, received, Quota::default()).await.unwrap();
        // And a body that is half there.
        let staged = taken_in(&pattern(MIB), &local.staging_under(&tenant("acme"), Some(of))).await;
        assert_eq!(found_in(dir.path(), NEEDLE), [""; 0]);
        drop(staged);
    }
    whole(&local, "0-100", &Encryption::S3).await;
    collect_garbage(&local);
    let copy = dir.path().join("copy");
    local.snapshot(&copy, Box::pin(async { Ok(()) })).await.unwrap();
    local.close();
    assert_eq!(found_in(dir.path(), NEEDLE), [""; 0]);
    assert_eq!(found_in(dir.path(), &[1; 32]), [""; 0], "nor a customer's key");
    // The copy is a store like any other.
    let settings = Settings { dir: copy, ..store(dir.path()) };
    let local = Local::open(settings).unwrap();
    for (n, of) in ways().iter().enumerate() {
        assert_eq!(whole(&local, &format!("{n}-{}", 3 * MIB), of).await, pattern(3 * MIB));
    }
    local.close();
}

#[tokio::test]
async fn equal_content_is_kept_once_under_a_key_and_never_under_customers() {
    let dir = tempfile::tempdir().unwrap();
    let local = Local::open(store(dir.path())).unwrap();
    make_bucket(&local, "media").await;
    for body in [bytes_of(1, 1000), bytes_of(2, 100_000)] {
        for of in [Encryption::S3, kms("k1"), kms("k22")] {
            let before = files(&local).len();
            for n in 0..3 {
                let key = format!("{:?}-{n}-{}", crate::base::crypt::ring::number(&of), body.len());
                put_as(&local, &key, &body, &of).await;
                assert_eq!(whole(&local, &key, &of).await, body);
            }
            assert_eq!(files(&local).len() - before, usize::from(body.len() > 4096));
            // The first goes; the others do not miss it.
            let key = format!("{:?}-0-{}", crate::base::crypt::ring::number(&of), body.len());
            delete(&local, "media", &key).await.unwrap();
            collect_garbage(&local);
            let key = key.replace("-0-", "-3-");
            put_as(&local, &key, &body, &of).await;
            assert_eq!(whole(&local, &key, &of).await, body);
        }
        let before = files(&local).len();
        for n in 0..2 {
            put_as(&local, &format!("c-{n}-{}", body.len()), &body, &customer(1)).await;
        }
        assert_eq!(files(&local).len() - before, 2 * usize::from(body.len() > 4096));
    }
    local.close();
    let report = fsck::fsck(&store(dir.path()), Options { verify: true, repair: false }).unwrap();
    assert!(report.is_clean(), "{report:?}");
}

#[tokio::test]
async fn a_customers_object_opens_with_his_key_alone() {
    let dir = tempfile::tempdir().unwrap();
    let local = Local::open(store(dir.path())).unwrap();
    make_bucket(&local, "media").await;
    for size in [0_usize, 10, 100_000] {
        put_as(&local, "k", &bytes_of(1, size), &customer(1)).await;
        let nothing = ByteRange { start: 0, end: 0 };
        for range in [nothing, ByteRange { start: 0, end: size as u64 }] {
            for (key, kind) in [(Encryption::Customer(None), ErrorKind::InvalidRequest), (customer(2), ErrorKind::AccessDenied)] {
                let object = seen(&local, "k", &key).await;
                assert_eq!(read(&local, "k", &object, range).await.unwrap_err().kind(), kind);
            }
            let object = seen(&local, "k", &customer(1)).await;
            assert_eq!(read(&local, "k", &object, range).await.unwrap(), bytes_of(1, range.end as usize));
        }
    }
    let upload = Upload { encryption: Some(customer(1)), ..upload_of("parts", "u", None) };
    local.create_upload(upload.clone()).await.unwrap();
    let sent = part(&local, &upload, 1, b"of the right key").await;
    for (key, says) in [(Encryption::Customer(None), "Subsequent part"), (customer(2), "did not match")] {
        let wrong = Upload { encryption: Some(key.clone()), ..upload.clone() };
        let received = received(&local, b"x", ChecksumAlgorithm::Crc64Nvme);
        let refused = local.put_part(&wrong, 2, received, Quota::default()).await.unwrap_err();
        assert!(refused.kind() == ErrorKind::InvalidRequest && refused.message().contains(says), "{refused}");
        let mut complete = complete_of(&upload, std::slice::from_ref(&sent));
        complete.customer_key = key.customer_key().cloned();
        assert_eq!(local.complete_upload(complete, Quota::default()).await.unwrap_err().kind(), ErrorKind::InvalidRequest);
    }
    local.close();
}

#[tokio::test]
async fn what_is_damaged_moved_or_cut_off_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let local = Local::open(store(dir.path())).unwrap();
    make_bucket(&local, "media").await;
    let body = bytes_of(1, 2 * CHUNK + 100);
    put_as(&local, "k", &body, &Encryption::S3).await;
    let blob = files(&local).pop().unwrap();
    assert_eq!(std::fs::metadata(&blob).unwrap().len(), sealed_len(body.len() as u64));
    local.close();
    let right = std::fs::read(&blob).unwrap();
    let flipped = |at: usize| {
        let mut wrong = right.clone();
        wrong[at] ^= 1;
        wrong
    };
    let swapped = [&right[CHUNK + 16..2 * (CHUNK + 16)], &right[..CHUNK + 16], &right[2 * (CHUNK + 16)..]].concat();
    for wrong in [flipped(0), flipped(CHUNK + 20), flipped(right.len() - 1), swapped] {
        private_write(&blob, &wrong);
        let report = fsck::fsck(&store(dir.path()), Options { verify: true, repair: false }).unwrap();
        assert_eq!(report.problem_count, 1, "{report:?}");
        let local = Local::open(store(dir.path())).unwrap();
        let object = seen(&local, "k", &Encryption::S3).await;
        let all = ByteRange { start: 0, end: object.size };
        assert!(read(&local, "k", &object, all).await.is_err());
        local.close();
    }
    private_write(&blob, &right);
    let local = Local::open(store(dir.path())).unwrap();
    assert_eq!(whole(&local, "k", &Encryption::S3).await, body);
    local.close();
}

fn private_write(path: &Path, bytes: &[u8]) {
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, bytes).unwrap();
}
