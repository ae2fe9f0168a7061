//! Content of one tenant under two keys: never shared, each in its own place, and found, copied, collected and proven there.

use super::model::{collect_garbage, files};
use super::multipart::{complete_of, part, upload_of};
use super::*;
use crate::base::encryption::Encryption;
use crate::base::lock::Lock;
use crate::base::object::{SharedObject, Upload};
use crate::base::object_ref::ObjectRef;
use crate::local::fsck::{self, Options};
use crate::origin::CopyObject;

fn second() -> Option<Encryption> {
    Some(Encryption::S3)
}

/// Files by their scope.
fn scopes(local: &Local) -> Vec<String> {
    let blobs = local.shared.layout.blobs();
    let mut scopes: Vec<String> = files(local)
        .iter()
        .map(|file| file.strip_prefix(&blobs).unwrap().components().next().unwrap().as_os_str().to_str().unwrap().to_owned())
        .collect();
    scopes.sort();
    scopes
}

async fn put_under(local: &Local, key: &str, body: &[u8], of: Option<Encryption>) -> Dedup {
    local.shared.put(PutObject { encryption: of, ..put_of(local, "media", key, body) }, Quota::default()).await.unwrap().dedup
}

async fn stat(local: &Local, key: &str) -> SharedObject {
    local.stat(ObjectRef::current(&bucket_name("media"), &object_key(key)), Freshness::Current).await.unwrap().unwrap()
}

async fn copy_to(local: &Local, from: &str, to: &str, of: Option<Encryption>) -> Dedup {
    let copy = CopyObject {
        source_bucket: bucket_name("media"),
        source_key: object_key(from),
        source_version: None,
        source: stat(local, from).await,
        bucket: bucket_name("media"),
        key: object_key(to),
        owner: tenant("acme"),
        acl: CannedAcl::Private.into(),
        headers: ObjectHeaders::default(),
        lock: Lock::default(),
        checksum: None,
        tags: Default::default(),
        encryption: of,
        conditions: WriteConditions::default(),
    };
    local.shared.copy(copy, Quota::default()).await.unwrap().dedup
}

async fn upload_under(local: &Arc<Local>, key: &str, body: &[u8], of: Option<Encryption>) {
    let upload = local.shared.create_upload(Upload { encryption: of, ..upload_of(key, "theupload", None) }).await.unwrap();
    let sent = part(local, &upload, 1, body).await;
    local.complete_upload(complete_of(&upload, &[sent]), Quota::default()).await.unwrap();
}

#[tokio::test]
async fn content_is_not_shared_across_keys() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { inline_limit: 512, ..settings(dir.path()) };
    let local = Local::open(settings.clone()).unwrap();
    make_bucket(&local, "media").await;
    for body in [bytes_of(1, 700), bytes_of(2, 100)] {
        let name = |n: u8| format!("{}-{n}", body.len());
        assert_eq!(put_under(&local, &name(0), &body, None).await, Dedup::Miss);
        assert_eq!(put_under(&local, &name(1), &body, second()).await, Dedup::Miss, "the same bytes under another key");
        assert_eq!(put_under(&local, &name(2), &body, second()).await, Dedup::Hit);
        assert_eq!(put_under(&local, &name(3), &body, None).await, Dedup::Hit);
        for n in 0..4 {
            assert_eq!(get(&local, "media", &name(n)).await.unwrap().as_ref(), Some(&body));
        }
    }
    assert_eq!(scopes(&local), ["acme", "acme+0000000000000002"]);
    assert_eq!(copy_to(&local, "700-1", "kept under the key", second()).await, Dedup::Hit);
    assert_eq!(put_under(&local, "of the first", &bytes_of(3, 900), None).await, Dedup::Miss);
    assert_eq!(copy_to(&local, "of the first", "of the second", second()).await, Dedup::Miss, "a copy across keys is a copy of bytes");
    assert_eq!(get(&local, "media", "of the second").await.unwrap().unwrap(), bytes_of(3, 900));
    local.close();
}

#[tokio::test]
async fn each_key_has_its_place_also_after_a_rebuild() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { inline_limit: 512, ..settings(dir.path()) };
    let local = Local::open(settings.clone()).unwrap();
    make_bucket(&local, "media").await;
    put_under(&local, "plain", &bytes_of(1, 700), None).await;
    put_under(&local, "keyed", &bytes_of(1, 700), second()).await;
    upload_under(&local, "in parts", &bytes_of(2, 800), second()).await;
    let keyed = "acme+0000000000000002";
    assert_eq!(scopes(&local), ["acme", keyed, keyed]);
    collect_garbage(&local);
    let copy = dir.path().join("copy");
    local.snapshot(&copy, Box::pin(async { Ok(()) })).await.unwrap();
    local.close();
    for data in [settings.dir.clone(), copy] {
        let settings = Settings { dir: data, ..settings.clone() };
        let _ = std::fs::remove_dir_all(settings.dir.join("index"));
        let report = fsck::fsck(&settings, Options { verify: true, repair: false }).unwrap();
        assert!(report.is_clean(), "{report:?}");
        let local = Local::open(settings).unwrap();
        for (key, body) in [("plain", bytes_of(1, 700)), ("keyed", bytes_of(1, 700)), ("in parts", bytes_of(2, 800))] {
            assert_eq!(get(&local, "media", key).await.unwrap(), Some(body), "{key}");
        }
        assert_eq!(put_under(&local, "again", &bytes_of(1, 700), second()).await, Dedup::Hit);
        for key in ["keyed", "again", "in parts"] {
            delete(&local, "media", key).await.unwrap();
        }
        collect_garbage(&local);
        assert_eq!(scopes(&local), ["acme"]);
        local.close();
    }
}
