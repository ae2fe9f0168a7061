//! One thing at a time: what waits and what is done upstream, limits, refusals, buckets, and jobs that were never made.

use super::*;
use crate::base::error::ErrorKind;
use crate::base::lock::Lock;
use crate::base::names::UploadId;
use crate::base::object::Upload as Multipart;
use crate::base::object_ref::ObjectRef;
use crate::base::timestamp::Timestamp;
use crate::origin::{CompleteUpload, CompletedPart, CopyObject, Freshness};

fn always() -> WriteConditions {
    WriteConditions::default()
}

fn if_match(etag: crate::base::etag::ETag) -> WriteConditions {
    WriteConditions::only_over(Some(etag))
}

#[tokio::test]
async fn an_upstream_that_is_away_is_not_missed() {
    let world = World::new().await;
    world.back().bucket(&media()).await.unwrap().unwrap();
    world.put("media", "before", b"stored", always()).await.unwrap();
    world.settle().await;
    world.upstream.set(Mode::Away);
    assert!(world.back().bucket(&media()).await.unwrap().is_some());
    let written = world.put("media", "k", &[7; 2000], always()).await.unwrap();
    assert_eq!(world.get("k").await.unwrap(), Some(vec![7; 2000]));
    // Conditions on what is here can be decided, others not.
    world.put("media", "k", b"two", if_match(written.object.etag)).await.unwrap();
    let stale = world.put("media", "k", b"three", if_match(written.object.etag)).await;
    assert_eq!(stale.err().map(|e| e.kind()), Some(ErrorKind::PreconditionFailed));
    let unknown = world.put("media", "before", b"x", if_match(written.object.etag)).await;
    assert_eq!(unknown.err().map(|e| e.kind()), Some(ErrorKind::UpstreamUnavailable));
    world.delete("before").await.unwrap();
    assert_eq!(world.get("before").await.unwrap(), None);
    for _ in 0..30 {
        assert!(world.run_jobs().await.iter().all(|o| matches!(o, Outcome::Retry { .. } | Outcome::Done(_))));
    }
    assert_eq!(world.get("k").await.unwrap(), Some(b"two".to_vec()));
    world.settle().await;
    assert_eq!(get(&*world.upstream.inner, "k").await.unwrap(), Some(b"two".to_vec()));
    assert_eq!(get(&*world.upstream.inner, "before").await.unwrap(), None);
    let stored = world.back().stat(ObjectRef::current(&media(), &object_key("k")), Freshness::Current).await.unwrap().unwrap();
    assert_eq!((stored.headers.content_type.as_str(), stored.owner.as_str()), ("text/plain", "acme"));
}

#[tokio::test]
async fn as_much_as_the_limit_waits_and_no_more() {
    let world = World::with_limit(10 * 1024).await;
    world.put("media", "a", &[1; 5000], always()).await.unwrap();
    let refused = world.put("media", "b", &[2; 5000], always()).await;
    assert_eq!(refused.err().map(|e| e.kind()), Some(ErrorKind::UpstreamSlowDown));
    assert_eq!(world.get("b").await.unwrap(), None);
    // What it replaces makes room.
    world.put("media", "a", &[3; 9000], always()).await.unwrap();
    // A bucket that is written through has no limit.
    world.put("plain", "b", &[2; 50_000], always()).await.unwrap();
    world.run_jobs().await;
    world.put("media", "b", &[2; 5000], always()).await.unwrap();
    world.settle().await;
}

#[tokio::test]
async fn a_refusal_is_told_and_can_be_retried() {
    let world = World::new().await;
    world.upstream.set(Mode::Refusing);
    world.put("media", "k", b"mine", always()).await.unwrap();
    let outcomes = world.run_jobs().await;
    assert!(matches!(&outcomes[..], [Outcome::Dead { reason }] if reason.contains("AccessDenied")), "{outcomes:?}");
    assert_eq!(world.get("k").await.unwrap(), Some(b"mine".to_vec()));
    let left = world.back().sync(false, Duration::from_secs(5)).await.unwrap();
    assert_eq!((left.waiting, left.failed.len(), left.failed[0].key.as_str()), (1, 1, "k"));
    assert!(left.is_settled() && left.failed[0].reason.contains("Access Denied"));
    let pending = world.back().pending(&media(), &object_key("k")).await.unwrap().unwrap();
    assert_eq!(pending.job.state.phase().name(), "dead");
    // A restart does not begin it again by itself.
    let mut world = world;
    world.crash().await;
    assert!(world.run_jobs().await.is_empty());
    world.upstream.set(Mode::Fine);
    let left = world.back().sync(true, Duration::ZERO).await.unwrap();
    assert_eq!((left.waiting, left.failed.len()), (1, 0));
    world.settle().await;
}

#[tokio::test]
async fn entries_without_a_job_get_one() {
    let mut world = World::new().await;
    world.upstream.set(Mode::Away);
    world.back().bucket(&media()).await.ok();
    world.upstream.set(Mode::Fine);
    for n in 0..5 {
        world.put("media", &format!("k{n}"), b"x", always()).await.unwrap();
    }
    world.node = None;
    std::fs::remove_dir_all(world.root.path().join("queue")).unwrap();
    world.start().await;
    assert!(world.run_jobs().await.is_empty());
    assert_eq!(world.back().take_up().await.unwrap(), 5);
    assert_eq!(world.back().take_up().await.unwrap(), 0);
    world.settle().await;
    // The store is gone and numbers its versions anew: they are not taken for those of before.
    world.node = None;
    std::fs::remove_dir_all(world.root.path().join("back")).unwrap();
    world.start().await;
    world.put("media", "k0", b"new", always()).await.unwrap();
    world.settle().await;
    assert_eq!(get(&*world.upstream.inner, "k0").await.unwrap(), Some(b"new".to_vec()));
}

#[tokio::test]
async fn what_is_done_upstream_comes_after_what_waits() {
    let world = World::new().await;
    let (bucket, key) = (media(), object_key("k"));
    world.put("media", "k", b"first", always()).await.unwrap();
    world.back().set_object_acl(ObjectRef::current(&bucket, &key), CannedAcl::PublicRead.into()).await.unwrap();
    let object = world.upstream.inner.stat(ObjectRef::current(&bucket, &key), Freshness::Current).await.unwrap().unwrap();
    assert_eq!((object.acl.clone(), object.size), (CannedAcl::PublicRead.into(), 5));
    // An upload that is completed over a version that waits, and a condition on that version.
    let written = world.put("media", "k", b"second", always()).await.unwrap();
    let upload = Multipart {
        id: UploadId::parse("0123").unwrap(),
        bucket: bucket.clone(),
        key: key.clone(),
        owner: tenant("acme"),
        initiated: Timestamp::now(),
        acl: CannedAcl::Private.into(),
        headers: ObjectHeaders::default(),
        lock: Lock::default(),
        tags: Default::default(),
        encryption: None,
        checksum: None,
        initiator: None,
    };
    world.back().origin().uploads.create_upload(upload.clone()).await.unwrap();
    let body = received(&world.upstream.inner, b"third", ChecksumAlgorithm::Crc64Nvme);
    let part = world.back().origin().uploads.put_part(&upload, 1, body, Quota::default()).await.unwrap();
    let complete = |conditions| CompleteUpload {
        bucket: bucket.clone(),
        key: key.clone(),
        upload: upload.id.clone(),
        parts: vec![CompletedPart { number: 1, etag: Some(part.etag), checksum: None }],
        conditions,
        checksum: None,
        checksum_type: None,
        size: None,
        default_retention: None,
        customer_key: None,
    };
    let refused = world.back().complete_upload(complete(if_match(object.etag)), Quota::default()).await;
    assert_eq!(refused.err().map(|e| e.kind()), Some(ErrorKind::PreconditionFailed));
    world.back().complete_upload(complete(if_match(written.object.etag)), Quota::default()).await.unwrap();
    assert_eq!(world.get("k").await.unwrap(), Some(b"third".to_vec()));
    assert!(world.run_jobs().await.iter().all(|o| matches!(o, Outcome::Done(_))));
    assert_eq!(world.get("k").await.unwrap(), Some(b"third".to_vec()));
    world.settle().await;
}

#[tokio::test]
async fn copies_of_what_waits() {
    let world = World::new().await;
    world.put("media", "k", &[9; 3000], always()).await.unwrap();
    let source = world.back().stat(ObjectRef::current(&media(), &object_key("k")), Freshness::Current).await.unwrap().unwrap();
    let copy = |bucket: &str, source: &crate::base::object::SharedObject| CopyObject {
        source_bucket: media(),
        source_key: object_key("k"),
        source_version: None,
        source: source.clone(),
        bucket: bucket_name(bucket),
        key: object_key("copy"),
        owner: tenant("bravo"),
        acl: CannedAcl::Private.into(),
        headers: ObjectHeaders::default(),
        lock: Lock::default(),
        checksum: None,
        tags: Default::default(),
        encryption: None,
        conditions: always(),
    };
    world.back().copy(copy("plain", &source), Quota::default()).await.unwrap();
    world.back().copy(copy("media", &source), Quota::default()).await.unwrap();
    assert_eq!(world.get("copy").await.unwrap(), Some(vec![9; 3000]));
    let plain = world
        .upstream
        .inner
        .stat(ObjectRef::current(&bucket_name("plain"), &object_key("copy")), Freshness::Current)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((plain.size, plain.owner.as_str(), plain.etag), (3000, "bravo", source.etag));
    world.put("media", "k", b"other", always()).await.unwrap();
    let gone = world.back().copy(copy("media", &source), Quota::default()).await;
    assert_eq!(gone.err().map(|e| e.kind()), Some(ErrorKind::OperationAborted));
    world.settle().await;
}

#[tokio::test]
async fn a_bucket_goes_when_its_deletes_are_done() {
    let world = World::new().await;
    world.put("media", "k", b"x", always()).await.unwrap();
    world.settle().await;
    world.put("media", "other", b"x", always()).await.unwrap();
    let refused = world.back().delete_bucket(&media()).await;
    assert_eq!(refused.err().map(|e| e.kind()), Some(ErrorKind::BucketNotEmpty));
    world.delete("k").await.unwrap();
    world.delete("other").await.unwrap();
    world.back().delete_bucket(&media()).await.unwrap();
    assert!(world.back().bucket(&media()).await.unwrap().is_none());
    let refused = world.put("media", "k", b"x", always()).await;
    assert_eq!(refused.err().map(|e| e.kind()), Some(ErrorKind::NoSuchBucket));
    world.settle().await;
}

#[tokio::test]
async fn a_version_that_is_there_is_not_sent_again() {
    let world = World::new().await;
    world.put("media", "k", b"once", always()).await.unwrap();
    world.upstream.set(Mode::Forgetful);
    assert!(matches!(world.run_jobs().await[..], [Outcome::Retry { .. }]));
    world.settle().await;
    assert_eq!(world.upstream.puts.load(std::sync::atomic::Ordering::SeqCst), 1);
}
