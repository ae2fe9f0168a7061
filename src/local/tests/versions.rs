//! Versions and delete markers: what each write and delete makes of them, what is read and listed, under every state of a bucket.

use super::multipart::{complete_of, part, upload_of};
use super::*;
use crate::base::conditions::ETagMatch;
use crate::base::error::ErrorKind;
use crate::base::object::{BucketDocument, SharedObject};
use crate::base::object_ref::{VersionId, VersionSelector};
use crate::base::versions::{VersionEntry, VersionsQuery};
use crate::local::fsck::{self, Options};
use crate::origin::{CopyObject, Delete, Deleted, Usage};

pub async fn set_versioning(local: &Local, word: &str) {
    local.set_bucket_document(&bucket_name("media"), BucketDocument::Versioning, Some(word.into())).await.unwrap();
}

async fn open_versioned(dir: &std::path::Path) -> Arc<Local> {
    let local = Local::open(Settings { inline_limit: 512, ..settings(dir) }).unwrap();
    make_bucket(&local, "media").await;
    set_versioning(&local, "Enabled").await;
    local
}

pub async fn put_id(local: &Local, key: &str, body: &[u8]) -> VersionId {
    put(local, "media", key, body).await.unwrap().object.version.clone()
}

pub async fn delete_of(local: &Local, key: &str, id: Option<&VersionId>) -> Result<Deleted> {
    let (bucket, key) = (bucket_name("media"), object_key(key));
    local.delete(ObjectRef { bucket: &bucket, key: &key, version: id.into(), unlock: None }, Delete::default()).await
}

async fn mark(local: &Local, key: &str) -> VersionId {
    let deleted = delete_of(local, key, None).await.unwrap();
    assert!(deleted.marker, "{deleted:?}");
    deleted.version.unwrap()
}

/// What a version is and its bytes; the current one where no id is given.
pub async fn read(local: &Arc<Local>, key: &str, id: Option<&VersionId>) -> Option<(SharedObject, Vec<u8>)> {
    let (bucket, key) = (bucket_name("media"), object_key(key));
    let of = ObjectRef { bucket: &bucket, key: &key, version: id.into(), unlock: None };
    let object = local.stat(of, Freshness::Current).await.unwrap()?;
    let range = ByteRange { start: 0, end: object.size };
    let body = match local.open_hot(of, &object, range, ReadBy::UserSpace) {
        Some(body) => body,
        None => local.open(of, &object, range, ReadBy::UserSpace).await.unwrap().unwrap(),
    };
    Some((object, collect(body).await.unwrap()))
}

async fn body(local: &Arc<Local>, key: &str, id: Option<&VersionId>) -> Option<Vec<u8>> {
    read(local, key, id).await.map(|(_, body)| body)
}

/// Key, id, whether it is a marker, whether it is the latest; a common prefix has no id.
type Line = (String, Option<VersionId>, bool, bool);

fn line(entry: VersionEntry) -> Line {
    match entry {
        VersionEntry::Version(v) => (v.object.key.to_string(), Some(v.version), false, v.latest),
        VersionEntry::Marker(m) => (m.key.to_string(), Some(m.marker.version), true, m.latest),
        VersionEntry::CommonPrefix(prefix) => (prefix, None, false, false),
    }
}

/// The whole listing in pages of `max`.
pub async fn list(local: &Local, prefix: &str, delimiter: &str, max: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut query = VersionsQuery { prefix: prefix.into(), delimiter: delimiter.into(), max, ..VersionsQuery::default() };
    loop {
        let page = local.list_versions(&bucket_name("media"), &query).await.unwrap();
        assert!(page.entries.len() <= max);
        lines.extend(page.entries.into_iter().map(line));
        let Some((key, version)) = page.next else { return lines };
        (query.key_marker, query.version_marker) = (key, version);
    }
}

fn is_named(id: &VersionId) -> bool {
    *id != VersionId::Null
}

#[tokio::test]
async fn what_is_replaced_stays_under_its_id_and_what_is_deleted_under_a_marker() {
    let dir = tempfile::tempdir().unwrap();
    let local = open_versioned(dir.path()).await;
    let one = put_id(&local, "k", b"one").await;
    let two = put_id(&local, "k", &bytes_of(2, 700)).await;
    let gone = mark(&local, "k").await;
    assert!(is_named(&one) && is_named(&two) && is_named(&gone));
    assert_eq!(body(&local, "k", None).await, None);
    assert_eq!(body(&local, "k", Some(&one)).await.unwrap(), b"one");
    assert_eq!(body(&local, "k", Some(&two)).await.unwrap(), bytes_of(2, 700));
    assert_eq!(body(&local, "k", Some(&gone)).await, None);
    let (bucket, key) = (bucket_name("media"), object_key("k"));
    let marker = async |id: Option<&VersionId>| {
        local.marker(ObjectRef { bucket: &bucket, key: &key, version: id.into(), unlock: None }).await.unwrap().map(|marker| marker.version)
    };
    assert_eq!(marker(None).await, Some(gone.clone()));
    assert_eq!(marker(Some(&gone)).await, Some(gone.clone()));
    assert_eq!(marker(Some(&two)).await, None);
    let line = |id: &VersionId, marker, latest| ("k".to_owned(), Some(id.clone()), marker, latest);
    let expected = [line(&gone, true, true), line(&two, false, false), line(&one, false, false)];
    assert_eq!(list(&local, "", "", 1000).await, expected);
    assert_eq!(local.usage(&tenant("acme")).await.unwrap(), Usage { bytes: 703, objects: 3 });
    // The marker goes: the version before it is shown again.
    assert_eq!(
        delete_of(&local, "k", Some(&gone)).await.unwrap(),
        Deleted { existed: Some(true), version: Some(gone.clone()), marker: true }
    );
    assert_eq!(body(&local, "k", None).await.unwrap(), bytes_of(2, 700));
    assert_eq!(read(&local, "k", None).await.unwrap().0.version, two);
    let deleted = delete_of(&local, "k", Some(&two)).await.unwrap();
    assert_eq!(deleted, Deleted { existed: Some(true), version: Some(two.clone()), marker: false });
    assert_eq!(body(&local, "k", None).await.unwrap(), b"one");
    assert_eq!(delete_of(&local, "k", Some(&two)).await.unwrap().existed, Some(false));
    assert_eq!(local.usage(&tenant("acme")).await.unwrap(), Usage { bytes: 3, objects: 1 });
    let not_empty = |e: crate::base::error::Error| assert_eq!(e.kind(), ErrorKind::BucketNotEmpty);
    local.delete_bucket(&bucket).await.map_err(not_empty).unwrap_err();
    let last = mark(&local, "k").await;
    delete_of(&local, "k", Some(&one)).await.unwrap();
    local.delete_bucket(&bucket).await.map_err(not_empty).unwrap_err();
    delete_of(&local, "k", Some(&last)).await.unwrap();
    local.delete_bucket(&bucket).await.unwrap();
}

#[tokio::test]
async fn what_was_there_before_is_the_null_version_and_suspended_writes_replace_it_wherever_it_stands() {
    let dir = tempfile::tempdir().unwrap();
    let local = Local::open(Settings { inline_limit: 512, ..settings(dir.path()) }).unwrap();
    make_bucket(&local, "media").await;
    let null = VersionId::Null;
    assert_eq!(put_id(&local, "k", b"before").await, null);
    set_versioning(&local, "Enabled").await;
    assert_eq!(body(&local, "k", Some(&null)).await.unwrap(), b"before");
    let one = put_id(&local, "k", b"one").await;
    assert_eq!(body(&local, "k", Some(&null)).await.unwrap(), b"before", "noncurrent");
    set_versioning(&local, "Suspended").await;
    assert_eq!(put_id(&local, "k", b"suspended").await, null);
    assert_eq!(body(&local, "k", None).await.unwrap(), b"suspended");
    assert_eq!(body(&local, "k", Some(&one)).await.unwrap(), b"one");
    let line = |id: &VersionId, marker, latest| ("k".to_owned(), Some(id.clone()), marker, latest);
    assert_eq!(list(&local, "", "", 1).await, [line(&null, false, true), line(&one, false, false)]);
    // A delete puts a null marker in its place, and another delete does no more.
    for _ in 0..2 {
        assert_eq!(mark(&local, "k").await, null);
        assert_eq!(list(&local, "", "", 1).await, [line(&null, true, true), line(&one, false, false)]);
    }
    set_versioning(&local, "Enabled").await;
    let two = put_id(&local, "k", b"two").await;
    assert_eq!(list(&local, "", "", 1).await, [line(&two, false, true), line(&null, true, false), line(&one, false, false)]);
    set_versioning(&local, "Suspended").await;
    assert_eq!(put_id(&local, "k", b"again").await, null);
    assert_eq!(list(&local, "", "", 2).await, [line(&null, false, true), line(&two, false, false), line(&one, false, false)]);
    // The null version is the current one: it goes, and the one before it is shown.
    delete_of(&local, "k", Some(&null)).await.unwrap();
    assert_eq!(body(&local, "k", None).await.unwrap(), b"two");
    assert_eq!(body(&local, "k", Some(&null)).await, None);
    assert_eq!(mark(&local, "never there").await, null, "also where there was nothing");
    local.close();
    let report = fsck::fsck(&Settings { inline_limit: 512, ..settings(dir.path()) }, Options { verify: true, repair: false }).unwrap();
    assert!(report.is_clean(), "{report:?}");
}

#[tokio::test]
async fn a_null_version_becomes_current_again() {
    let dir = tempfile::tempdir().unwrap();
    let local = Local::open(settings(dir.path())).unwrap();
    make_bucket(&local, "media").await;
    put_id(&local, "k", b"before").await;
    set_versioning(&local, "Enabled").await;
    let one = put_id(&local, "k", b"one").await;
    let gone = mark(&local, "k").await;
    delete_of(&local, "k", Some(&one)).await.unwrap();
    assert_eq!(body(&local, "k", None).await, None, "the marker hides it still");
    delete_of(&local, "k", Some(&gone)).await.unwrap();
    assert_eq!(body(&local, "k", None).await.unwrap(), b"before");
    assert_eq!(list(&local, "", "", 9).await, [("k".to_owned(), Some(VersionId::Null), false, true)]);
}

#[tokio::test]
async fn conditions_are_those_of_the_current_version() {
    let dir = tempfile::tempdir().unwrap();
    let local = open_versioned(dir.path()).await;
    let old = put(&local, "media", "k", b"old").await.unwrap().object;
    let new = put(&local, "media", "k", b"new").await.unwrap().object;
    let put_if = async |conditions: WriteConditions| {
        let mut put = put_of(&local, "media", "k", b"more");
        put.conditions = conditions;
        local.put(put, Quota::default()).await.map(|w| w.object).map_err(|e| e.kind())
    };
    let etag = |object: &SharedObject| WriteConditions::only_over(Some(object.etag));
    let absent = WriteConditions::absent;
    assert_eq!(put_if(etag(&old)).await.unwrap_err(), ErrorKind::PreconditionFailed);
    assert_eq!(put_if(absent()).await.unwrap_err(), ErrorKind::PreconditionFailed);
    let unless = |objects: &[&SharedObject]| WriteConditions {
        if_none_match: Some(ETagMatch::OneOf(objects.iter().map(|o| o.etag).collect())),
        ..WriteConditions::default()
    };
    assert_eq!(put_if(unless(&[&new])).await.unwrap_err(), ErrorKind::PreconditionFailed);
    assert_eq!(put_if(unless(&[&old, &new])).await.unwrap_err(), ErrorKind::PreconditionFailed);
    assert_eq!(
        put_if(WriteConditions { if_match: unless(&[&new]).if_none_match, ..unless(&[&old, &new]) }).await.unwrap_err(),
        ErrorKind::PreconditionFailed
    );
    let new = put_if(unless(&[&old])).await.unwrap();
    let (bucket, key) = (bucket_name("media"), object_key("k"));
    let delete_if = async |conditions: WriteConditions, id: Option<&VersionId>| {
        let of = ObjectRef { bucket: &bucket, key: &key, version: id.into(), unlock: None };
        local.delete(of, Delete { conditions, bypass: false }).await.map_err(|e| e.kind())
    };
    assert_eq!(delete_if(etag(&old), None).await.unwrap_err(), ErrorKind::PreconditionFailed);
    assert_eq!(delete_if(etag(&old), Some(&old.version)).await.unwrap_err(), ErrorKind::PreconditionFailed);
    assert!(delete_if(etag(&new), None).await.unwrap().marker);
    // A marker is the current version: that counts as nothing.
    assert_eq!(delete_if(etag(&new), None).await.unwrap(), Deleted::NOTHING, "the same delete again");
    assert_eq!(put_if(etag(&new)).await.unwrap_err(), ErrorKind::NoSuchKey);
    assert_eq!(put_if(WriteConditions { if_match: Some(ETagMatch::Any), ..unless(&[&new]) }).await.unwrap_err(), ErrorKind::NoSuchKey);
    assert_eq!(put_if(unless(&[&new])).await.unwrap().size, 4);
    assert!(delete_if(WriteConditions::default(), None).await.unwrap().marker);
    assert_eq!(put_if(absent()).await.unwrap().size, 4);
}

#[tokio::test]
async fn copies_between_versions_and_acls_of_one() {
    let dir = tempfile::tempdir().unwrap();
    let local = open_versioned(dir.path()).await;
    let old = put(&local, "media", "k", &bytes_of(1, 700)).await.unwrap().object;
    put_id(&local, "k", b"new").await;
    let copy = |source: &SharedObject, owner: &str| CopyObject {
        source_bucket: bucket_name("media"),
        source_key: object_key("k"),
        source_version: Some(source.version.clone()),
        source: source.clone(),
        bucket: bucket_name("media"),
        key: object_key("k"),
        owner: tenant(owner),
        acl: CannedAcl::Private.into(),
        headers: ObjectHeaders::default(),
        lock: Default::default(),
        tags: Default::default(),
        encryption: None,
        checksum: None,
        conditions: WriteConditions::default(),
    };
    let restored = local.copy(copy(&old, "acme"), Quota::default()).await.unwrap();
    assert_eq!(restored.dedup, Dedup::Hit);
    assert_ne!(restored.object.version, old.version);
    assert_eq!(body(&local, "k", None).await.unwrap(), bytes_of(1, 700));
    // To another owner the bytes are copied, from the same old version.
    let other = local.copy(copy(&old, "other"), Quota::default()).await.unwrap();
    assert_eq!((other.dedup, other.object.owner.as_str()), (Dedup::Miss, "other"));
    assert_eq!(body(&local, "k", Some(&old.version)).await.unwrap(), bytes_of(1, 700));
    let (bucket, key) = (bucket_name("media"), object_key("k"));
    let exact = |id| ObjectRef { bucket: &bucket, key: &key, version: VersionSelector::Exact(id), unlock: None };
    local.set_object_acl(exact(&old.version), CannedAcl::PublicRead.into()).await.unwrap();
    assert_eq!(read(&local, "k", Some(&old.version)).await.unwrap().0.acl, CannedAcl::PublicRead);
    assert_eq!(read(&local, "k", None).await.unwrap().0.acl, CannedAcl::Private);
    let gone = mark(&local, "k").await;
    let refused = local.set_object_acl(exact(&gone), CannedAcl::PublicRead.into()).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::MethodNotAllowed);
    delete_of(&local, "k", Some(&old.version)).await.unwrap();
    let refused = local.set_object_acl(exact(&old.version), CannedAcl::PublicRead.into()).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::NoSuchVersion);
    assert!(local.copy(copy(&old, "acme"), Quota::default()).await.is_err(), "it is no longer there");
}

#[tokio::test]
async fn uploads_become_versions_and_are_hashed_wherever_they_stand() {
    let dir = tempfile::tempdir().unwrap();
    let local = Local::open(Settings { inline_limit: 512, ..settings(dir.path()) }).unwrap();
    make_bucket(&local, "media").await;
    let before = upload_of("k", "u1", None);
    local.create_upload(before.clone()).await.unwrap();
    let sent = [part(&local, &before, 1, &bytes_of(1, 900)).await];
    set_versioning(&local, "Enabled").await;
    let first = local.complete_upload(complete_of(&before, &sent), Quota::default()).await.unwrap().object;
    assert!(is_named(&first.version), "it was begun before versions were kept");
    put_id(&local, "k", b"newer").await;
    let again = local.complete_upload(complete_of(&before, &sent), Quota::default()).await.unwrap().object;
    assert_eq!(again.version, first.version, "the same request again answers the same version");
    while read(&local, "k", Some(&first.version)).await.unwrap().0.sha256.is_none() {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    assert_eq!(put_dedup(&local, "media", "same content", &bytes_of(1, 900)).await, Dedup::Hit);
    super::model::collect_garbage(&local);
    assert_eq!(body(&local, "k", Some(&first.version)).await.unwrap(), bytes_of(1, 900));
    // Only a noncurrent version refers to the parts: they are in a backup too.
    delete_of(&local, "same content", None).await.unwrap();
    let copy = dir.path().join("copy");
    local.snapshot(&copy, Box::pin(async { Ok(()) })).await.unwrap();
    local.close();
    for folder in [dir.path().join("data"), copy] {
        let settings = Settings { dir: folder, inline_limit: 512, ..settings(dir.path()) };
        std::fs::remove_dir_all(settings.dir.join("index")).ok();
        let report = fsck::fsck(&settings, Options { verify: true, repair: false }).unwrap();
        assert!(report.is_clean(), "{report:?}");
        let local = Local::open(settings).unwrap();
        assert_eq!(body(&local, "k", Some(&first.version)).await.unwrap(), bytes_of(1, 900));
        local.close();
    }
}

#[tokio::test]
async fn pages_of_versions() {
    let dir = tempfile::tempdir().unwrap();
    let local = open_versioned(dir.path()).await;
    let mut expected = Vec::new();
    for key in ["a", "a/1", "a/2", "a\u{1}", "b/x", "b/y", "c"] {
        let mut lines = Vec::new();
        for n in 0..3 {
            lines.insert(0, (key.to_owned(), Some(put_id(&local, key, &[n]).await), false, false));
        }
        if ["a/1", "b/x", "c"].contains(&key) {
            lines.insert(0, (key.to_owned(), Some(mark(&local, key).await), true, false));
        }
        lines[0].3 = true;
        expected.extend(lines);
    }
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    let mut folded: Vec<Line> = expected.iter().filter(|line| !line.0.contains('/')).cloned().collect();
    folded.extend(["a/", "b/"].map(|prefix| (prefix.to_owned(), None, false, false)));
    folded.sort_by(|a, b| a.0.cmp(&b.0));
    for max in [1, 2, 3, 4, 5, 7, 1000] {
        assert_eq!(list(&local, "", "", max).await, expected, "pages of {max}");
        assert_eq!(list(&local, "", "/", max).await, folded, "pages of {max} with a delimiter");
        let under: Vec<Line> = expected.iter().filter(|line| line.0.starts_with("a/")).cloned().collect();
        assert_eq!(list(&local, "a/", "/", max).await, under, "pages of {max} under a prefix");
    }
    // The version after which a page begins has gone since.
    let query = |marker: &Line| VersionsQuery {
        key_marker: marker.0.clone(),
        version_marker: marker.1.clone(),
        max: 1,
        ..VersionsQuery::default()
    };
    let at = expected.iter().position(|line| line.0 == "b/y").unwrap();
    delete_of(&local, "b/y", expected[at].1.as_ref()).await.unwrap();
    let page = local.list_versions(&bucket_name("media"), &query(&expected[at])).await.unwrap();
    let next = line(page.entries[0].clone());
    assert_eq!((next.1, next.3), (expected[at + 1].1.clone(), true), "which is the latest now");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_moves_while_it_is_listed_is_listed_once() {
    let dir = tempfile::tempdir().unwrap();
    let local = open_versioned(dir.path()).await;
    let mut ids = Vec::new();
    for n in 0..60 {
        ids.push(put_id(&local, "k", &[n]).await);
    }
    let (first, store) = (ids.remove(0), local.clone());
    // The newest goes each time, so that the one before it moves.
    let deletes = tokio::spawn(async move {
        for id in ids.iter().rev() {
            delete_of(&store, "k", Some(id)).await.unwrap();
        }
    });
    let mut last = false;
    while !last {
        last = deletes.is_finished();
        for max in [7, 1000] {
            let listed: Vec<VersionId> = list(&local, "", "", max).await.into_iter().filter_map(|line| line.1).collect();
            assert_eq!(listed.iter().filter(|id| **id == first).count(), 1, "{listed:?}");
            assert!(listed.windows(2).all(|pair| pair[0] > pair[1]), "from the newest to the oldest: {listed:?}");
        }
    }
    deletes.await.unwrap();
    assert_eq!(list(&local, "", "", 9).await, [("k".to_owned(), Some(first), false, true)]);
}
