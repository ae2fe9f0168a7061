//! Multipart uploads from creation to dedup, and every error of their completion.

use super::*;
use crate::base::checksum::{Checksum, ChecksumType};
use crate::base::error::ErrorKind;
use crate::base::etag::ETag;
use crate::base::lock::Lock;
use crate::base::names::UploadId;
use crate::base::object::{Upload, UploadedPart};
use crate::base::object_ref::ObjectRef;
use crate::origin::{CompleteUpload, CompletedPart, CopyObject, UploadsQuery, Usage};

const MIB: usize = 1024 * 1024;

pub fn upload_of(key: &str, id: &str, checksum: Option<(ChecksumAlgorithm, ChecksumType)>) -> Upload {
    Upload {
        id: UploadId::parse(id).unwrap(),
        bucket: bucket_name("media"),
        key: object_key(key),
        owner: tenant("acme"),
        initiated: Timestamp::now(),
        acl: CannedAcl::Private.into(),
        headers: ObjectHeaders::default(),
        lock: Lock::default(),
        tags: Default::default(),
        encryption: None,
        checksum,
        initiator: None,
    }
}

pub async fn part(local: &Local, upload: &Upload, number: u16, body: &[u8]) -> UploadedPart {
    let algorithm = upload.checksum.map_or(ChecksumAlgorithm::Crc64Nvme, |(a, _)| a);
    local.put_part(upload, number, received(local, body, algorithm), Quota::default()).await.unwrap()
}

pub fn complete_of(upload: &Upload, parts: &[UploadedPart]) -> CompleteUpload {
    CompleteUpload {
        bucket: upload.bucket.clone(),
        key: upload.key.clone(),
        upload: upload.id.clone(),
        parts: parts.iter().map(|p| CompletedPart { number: p.number, etag: Some(p.etag), checksum: p.checksum.clone() }).collect(),
        conditions: WriteConditions::default(),
        checksum: None,
        checksum_type: None,
        size: None,
        default_retention: None,
        customer_key: None,
    }
}

async fn wait_for_hash(local: &Arc<Local>, key: &str) {
    loop {
        let object = local.stat(ObjectRef::current(&bucket_name("media"), &object_key(key)), Freshness::Current).await.unwrap().unwrap();
        if object.sha256.is_some() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn parts_become_one_object_whose_hash_is_soon_known() {
    let dir = tempfile::tempdir().unwrap();
    let local = Local::open(settings(dir.path())).unwrap();
    make_bucket(&local, "media").await;
    let whole = bytes_of(1, 13 * MIB);
    let upload = upload_of("big", "u1", None);
    local.create_upload(upload.clone()).await.unwrap();
    part(&local, &upload, 3, &whole[10 * MIB..]).await;
    part(&local, &upload, 1, &bytes_of(9, 6 * MIB)).await;
    part(&local, &upload, 2, &whole[5 * MIB..10 * MIB]).await;
    part(&local, &upload, 1, &whole[..5 * MIB]).await;
    part(&local, &upload, 9, b"not used").await;
    let (parts, more) = local.parts(&upload, 0, 3).await.unwrap();
    assert!(more && parts.iter().map(|p| p.number).eq([1, 2, 3]));
    assert_eq!(local.usage(&tenant("acme")).await.unwrap().bytes, whole.len() as u64 + 8);
    let object = local.complete_upload(complete_of(&upload, &parts), Quota::default()).await.unwrap().object;
    assert_eq!(object.size, whole.len() as u64);
    assert_eq!(object.etag.parts(), Some(3));
    let expected = received(&local, &whole, ChecksumAlgorithm::Crc64Nvme).checksum;
    assert_eq!(object.checksum, expected, "the combined CRC is that of the whole");
    assert_eq!(get(&local, "media", "big").await.unwrap().as_deref(), Some(whole.as_slice()));
    assert_eq!(local.usage(&tenant("acme")).await.unwrap(), Usage { bytes: whole.len() as u64, objects: 1 });
    let again = local.complete_upload(complete_of(&upload, &parts), Quota::default()).await.unwrap().object;
    assert_eq!(again.generation, object.generation, "the same request again answers the same object");
    let range = ByteRange { start: 5 * MIB as u64 - 3, end: 10 * MIB as u64 + 3 };
    let middle = local.open(ObjectRef::current(&upload.bucket, &upload.key), &object, range, ReadBy::UserSpace).await.unwrap().unwrap();
    assert_eq!(collect(middle).await.unwrap(), whole[5 * MIB - 3..10 * MIB + 3]);

    wait_for_hash(&local, "big").await;
    assert_eq!(put_dedup(&local, "media", "single", &whole).await, Dedup::Hit);
    assert!(delete(&local, "media", "big").await.unwrap());
    let single = local.stat(ObjectRef::current(&bucket_name("media"), &object_key("single")), Freshness::Current).await.unwrap().unwrap();
    assert!(single.parts.is_empty() && single.etag.parts().is_none());
    assert_eq!(get(&local, "media", "single").await.unwrap().as_deref(), Some(whole.as_slice()));

    // The other way round: the content is there already, so the upload's own files go.
    let second = upload_of("twin", "u2", None);
    local.create_upload(second.clone()).await.unwrap();
    let twin = [part(&local, &second, 1, &whole[..8 * MIB]).await, part(&local, &second, 2, &whole[8 * MIB..]).await];
    local.complete_upload(complete_of(&second, &twin), Quota::default()).await.unwrap();
    wait_for_hash(&local, "twin").await;
    super::model::collect_garbage(&local);
    let object = local.stat(ObjectRef::current(&bucket_name("media"), &object_key("twin")), Freshness::Current).await.unwrap().unwrap();
    assert_eq!(object.parts.len(), 2);
    assert_eq!(get(&local, "media", "twin").await.unwrap().as_deref(), Some(whole.as_slice()));
    assert_eq!(super::model::files(&local).len(), 3, "the three parts of the first upload are all that is stored");

    let copy = CopyObject {
        source_bucket: bucket_name("media"),
        source_key: object_key("twin"),
        source_version: None,
        source: object,
        bucket: bucket_name("media"),
        key: object_key("copy"),
        owner: tenant("other"),
        acl: CannedAcl::Private.into(),
        headers: ObjectHeaders::default(),
        lock: Lock::default(),
        checksum: None,
        tags: Default::default(),
        encryption: None,
        conditions: WriteConditions::default(),
    };
    assert_eq!(local.copy(copy, Quota::default()).await.unwrap().dedup, Dedup::Miss);
    assert_eq!(get(&local, "media", "copy").await.unwrap().as_deref(), Some(whole.as_slice()));
    assert_eq!(super::model::files(&local).len(), 4, "another tenant's copy shares nothing");
}

#[tokio::test]
async fn every_error_of_a_completion_is_decided_before_anything_changes() {
    let dir = tempfile::tempdir().unwrap();
    let local = Local::open(settings(dir.path())).unwrap();
    make_bucket(&local, "media").await;
    let upload = upload_of("k", "u1", Some((ChecksumAlgorithm::Sha256, ChecksumType::Composite)));
    local.create_upload(upload.clone()).await.unwrap();
    let large = part(&local, &upload, 1, &bytes_of(1, 5 * MIB)).await;
    let small = part(&local, &upload, 2, b"small").await;
    let last = part(&local, &upload, 3, b"last").await;
    let complete = |parts: &[UploadedPart]| complete_of(&upload, parts);
    let foreign = local.put_part(&upload, 4, received(&local, b"x", ChecksumAlgorithm::Sha1), Quota::default()).await;
    assert_eq!(foreign.unwrap_err().kind(), ErrorKind::InvalidRequest);
    let mut cases: Vec<(CompleteUpload, ErrorKind)> = vec![
        (complete(&[small.clone(), large.clone()]), ErrorKind::InvalidPartOrder),
        (complete(&[large.clone(), large.clone()]), ErrorKind::InvalidPartOrder),
        (complete(&[large.clone(), small.clone(), last.clone()]), ErrorKind::EntityTooSmall),
        (complete(&[]), ErrorKind::MalformedXml),
    ];
    let mut wrong = complete(std::slice::from_ref(&large));
    wrong.parts[0].etag = Some(ETag::single(Md5Hasher::digest(b"other")));
    cases.push((wrong, ErrorKind::InvalidPart));
    let mut wrong = complete(std::slice::from_ref(&large));
    wrong.parts[0].number = 7;
    cases.push((wrong, ErrorKind::InvalidPart));
    let mut wrong = complete(std::slice::from_ref(&large));
    wrong.parts[0].checksum = last.checksum.clone();
    cases.push((wrong, ErrorKind::InvalidPart));
    let mut wrong = complete(std::slice::from_ref(&large));
    wrong.size = Some(1);
    cases.push((wrong, ErrorKind::InvalidRequest));
    let mut wrong = complete(std::slice::from_ref(&large));
    wrong.checksum_type = Some(ChecksumType::FullObject);
    cases.push((wrong, ErrorKind::InvalidRequest));
    let mut wrong = complete(std::slice::from_ref(&large));
    wrong.checksum = Checksum::new(ChecksumAlgorithm::Sha256, &[0; 32]);
    cases.push((wrong, ErrorKind::BadDigest));
    let mut wrong = complete(std::slice::from_ref(&large));
    wrong.upload = UploadId::parse("u9").unwrap();
    cases.push((wrong, ErrorKind::NoSuchUpload));
    for (i, (case, kind)) in cases.into_iter().enumerate() {
        let e = local.complete_upload(case, Quota::default()).await.unwrap_err();
        assert_eq!(e.kind(), kind, "case {i}");
    }
    assert_eq!(local.parts(&upload, 0, 10).await.unwrap().0.len(), 3);
    let object = local.complete_upload(complete(&[large, last]), Quota::default()).await.unwrap().object;
    let checksum = object.checksum.as_ref().unwrap();
    assert_eq!((checksum.algorithm, checksum.parts), (ChecksumAlgorithm::Sha256, 2));
    let late = local.put_part(&upload, 4, received(&local, b"x", ChecksumAlgorithm::Sha256), Quota::default()).await;
    assert_eq!(late.unwrap_err().kind(), ErrorKind::NoSuchUpload);
}

#[tokio::test]
async fn uploads_are_listed_aborted_and_gone_with_their_bucket() {
    let dir = tempfile::tempdir().unwrap();
    let local = Local::open(settings(dir.path())).unwrap();
    make_bucket(&local, "media").await;
    for (key, id) in [("a", "1"), ("a", "2"), ("a/x", "1x"), ("a/y", "1y"), ("b", "3")] {
        let upload = upload_of(key, id, None);
        local.create_upload(upload.clone()).await.unwrap();
        part(&local, &upload, 1, b"part").await;
    }
    let page = |key_marker: &str, upload_marker: &str, delimiter: &str, max: usize| {
        let query = UploadsQuery {
            prefix: String::new(),
            delimiter: delimiter.into(),
            key_marker: key_marker.into(),
            upload_marker: upload_marker.into(),
            max,
        };
        let local = local.clone();
        async move {
            let page = local.uploads(&bucket_name("media"), &query).await.unwrap();
            (page.uploads.iter().map(|u| u.id.to_string()).collect::<Vec<_>>(), page.common_prefixes, page.next)
        }
    };
    assert_eq!(page("", "", "", 10).await, (["1", "2", "1x", "1y", "3"].map(String::from).to_vec(), vec![], None));
    assert_eq!(page("", "", "/", 10).await, (["1", "2", "3"].map(String::from).to_vec(), vec!["a/".into()], None));
    assert_eq!(page("", "", "", 1).await, (vec!["1".into()], vec![], Some(("a".into(), "1".into()))));
    assert_eq!(page("a", "1", "", 1).await, (vec!["2".into()], vec![], Some(("a".into(), "2".into()))));
    assert_eq!(page("a", "", "", 1).await.0, ["1x"]);
    assert_eq!(page("a/", "", "/", 5).await.0, ["3"]);
    let gone = upload_of("b", "3", None);
    local.abort_upload(&gone.bucket, &gone.key, &gone.id).await.unwrap();
    assert_eq!(local.upload(&gone.bucket, &gone.key, &gone.id).await.unwrap_err().kind(), ErrorKind::NoSuchUpload);
    local.delete_bucket(&bucket_name("media")).await.unwrap();
    super::model::collect_garbage(&local);
    assert_eq!(super::model::files(&local), Vec::<std::path::PathBuf>::new());
    assert_eq!(local.usage(&tenant("acme")).await.unwrap(), Usage::default());
}

#[tokio::test]
async fn a_completion_is_answered_again_after_its_object_was_replaced_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let local = Local::open(settings(dir.path())).unwrap();
    make_bucket(&local, "media").await;
    let upload = upload_of("k", "u1", None);
    local.create_upload(upload.clone()).await.unwrap();
    let parts = [part(&local, &upload, 1, b"one").await];
    let first = local.complete_upload(complete_of(&upload, &parts), Quota::default()).await.unwrap().object;
    let again = async || {
        let answer = local.complete_upload(complete_of(&upload, &parts), Quota::default()).await.unwrap().object;
        assert_eq!((answer.etag, &answer.checksum), (first.etag, &first.checksum));
    };
    put_dedup(&local, "media", "k", b"another").await;
    again().await;
    assert_eq!(get(&local, "media", "k").await.unwrap().as_deref(), Some(&b"another"[..]), "and nothing is changed");
    assert!(delete(&local, "media", "k").await.unwrap());
    again().await;
    assert_eq!(get(&local, "media", "k").await.unwrap(), None);
    let mut other = complete_of(&upload, &parts);
    other.parts[0].number = 2;
    assert_eq!(local.complete_upload(other, Quota::default()).await.unwrap_err().kind(), ErrorKind::NoSuchUpload);
}
