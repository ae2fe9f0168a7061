//! Keys that change while the store serves: data keys are wrapped anew, old versions go, and lost or damaged ones hold up nothing else.

use super::encryption::{customer, keys, kms, put_as, read, seen, store, upload_as, whole};
use super::model::{copy_tree, files};
use super::multipart::{complete_of, part, upload_of};
use super::*;
use crate::base::encryption::Encryption;
use crate::base::error::ErrorKind;
use crate::base::object::Upload;
use crate::local::fsck::{self, Options};
use crate::origin::EncryptionKeys;

const MIB: usize = 1024 * 1024;

async fn wait_for_uses(local: &Local, expected: &[(&str, u32)]) {
    loop {
        let uses = crate::local::own_key::uses(&local.shared.index().unwrap()).unwrap();
        if uses.iter().map(|(name, version, _)| (name.as_str(), *version)).eq(expected.iter().copied()) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn data_keys_are_wrapped_anew_while_it_serves_and_then_the_old_version_can_go() {
    let dir = tempfile::tempdir().unwrap();
    let interval = std::time::Duration::from_millis(20);
    let with = |versions: &[u32]| Settings { encryption_keys: keys(&["k1"], versions), upkeep_interval: interval, ..store(dir.path()) };
    let local = Local::open(with(&[1])).unwrap();
    make_bucket(&local, "media").await;
    for n in 0..200 {
        put_as(&local, &format!("k{n}"), &bytes_of(n % 150, 100 + 40 * n as usize), &kms("k1")).await;
    }
    upload_as(&local, "parts", &[bytes_of(1, 5 * MIB), bytes_of(2, 10)], &kms("k1")).await;
    put_as(&local, "customers", &bytes_of(3, 5000), &customer(1)).await;
    let upload = Upload { encryption: Some(kms("k1")), ..upload_of("begun", "begun", None) };
    local.create_upload(upload.clone()).await.unwrap();
    let sent = part(&local, &upload, 1, b"before").await;
    wait_for_uses(&local, &[("k1", 1)]).await;
    local.close();
    let local = Local::open(with(&[1, 2])).unwrap();
    for n in 0..50 {
        put_as(&local, &format!("k{n}"), &bytes_of(n, 300), &kms("k1")).await;
        assert_eq!(whole(&local, &format!("k{}", 199 - n), &kms("k1")).await.len(), 100 + 40 * (199 - n as usize));
    }
    wait_for_uses(&local, &[("k1", 2)]).await;
    local.close();
    // Nothing is lost without it.
    let local = Local::open(with(&[2])).unwrap();
    for n in 0..200 {
        let body = if n < 50 { bytes_of(n, 300) } else { bytes_of(n % 150, 100 + 40 * n as usize) };
        assert_eq!(whole(&local, &format!("k{n}"), &kms("k1")).await, body);
    }
    assert_eq!(whole(&local, "parts", &kms("k1")).await.len(), 5 * MIB + 10);
    assert_eq!(whole(&local, "customers", &customer(1)).await, bytes_of(3, 5000));
    local.complete_upload(complete_of(&upload, &[sent]), Quota::default()).await.unwrap();
    assert_eq!(whole(&local, "begun", &kms("k1")).await, b"before");
    local.close();
    assert!(fsck::fsck(&with(&[2]), Options { verify: true, repair: false }).unwrap().is_clean());
    // A start without a key that is needed.
    let refused = Local::open(Settings { encryption_keys: keys(&["k2"], &[2]), ..with(&[2]) }).err().unwrap();
    assert!(refused.to_string().contains("encryption.allow_missing_keys"), "{refused}");
}

#[tokio::test]
async fn keys_are_rotated_and_a_lost_one_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let with = |versions: &[u32]| Settings { encryption_keys: keys(&["k1"], versions), ..store(dir.path()) };
    let local = Local::open(with(&[1])).unwrap();
    make_bucket(&local, "media").await;
    put_as(&local, "old", &bytes_of(1, 10_000), &kms("k1")).await;
    put(&local, "media", "plain", b"plain").await.unwrap();
    local.close();
    // Only in the copy the old version is lost.
    copy_tree(&dir.path().join("data"), &dir.path().join("lost/data"));
    let local = Local::open(with(&[1, 2])).unwrap();
    put_as(&local, "new", &bytes_of(2, 10_000), &kms("k1")).await;
    // The same content under the new version: its data key is wrapped anew.
    put_as(&local, "same", &bytes_of(1, 10_000), &kms("k1")).await;
    assert_eq!(files(&local).len(), 2);
    for (key, n) in [("old", 1), ("new", 2), ("same", 1)] {
        assert_eq!(whole(&local, key, &kms("k1")).await, bytes_of(n, 10_000));
    }
    local.close();
    let lost = Settings { encryption_keys: keys(&["k1"], &[2]), ..store(&dir.path().join("lost")) };
    let lost = Local::open(Settings { allow_missing_keys: true, ..lost }).unwrap();
    let object = seen(&lost, "old", &kms("k1")).await;
    let refused = read(&lost, "old", &object, ByteRange { start: 0, end: 5 }).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::KmsDisabled);
    assert_eq!(get(&lost, "media", "plain").await.unwrap().unwrap(), b"plain", "nothing else breaks");
    put_as(&lost, "again", &bytes_of(1, 10_000), &kms("k1")).await;
    assert_eq!(whole(&lost, "again", &kms("k1")).await, bytes_of(1, 10_000));
    lost.close();
}

/// The one that only damages what its object needs.
#[tokio::test]
async fn a_damaged_data_key_holds_up_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let interval = std::time::Duration::from_millis(20);
    let local = Local::open(Settings { upkeep_interval: interval, ..store(dir.path()) }).unwrap();
    make_bucket(&local, "media").await;
    for n in 0..100 {
        put_as(&local, &format!("k{n:02}"), &bytes_of(n, 300), &Encryption::S3).await;
    }
    let damage = |txn: &mut crate::local::txn::Txn<'_>| {
        let (bucket, key) = (bucket_name("media"), object_key("k00"));
        let mut row = crate::local::rows::ObjectRow::clone(&*txn.object(&bucket, &key)?.unwrap());
        let mut bytes = row.tail.envelope.unwrap().encode()?;
        *bytes.last_mut().unwrap() ^= 1;
        row.tail.envelope = Some(crate::base::crypt::Envelope::decode(&bytes)?);
        txn.set_object(&bucket, &key, Arc::new(row))
    };
    local.shared.queue.submit(damage).await.unwrap();
    assert_eq!(local.rotate_own().await.unwrap(), 2);
    loop {
        let states = local.key_states().await.unwrap();
        let own = states.keys.iter().find(|key| key.name.is_none()).unwrap();
        assert_eq!((own.newest(), own.versions.iter().map(|v| v.needed_by).sum::<u64>()), (Some(2), 100));
        if own.stale() == 1 && states.unreadable == 1 && !states.is_wrapping {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    // What is whole is read, and what is damaged is told.
    assert_eq!(whole(&local, "k99", &Encryption::S3).await, bytes_of(99, 300));
    let object = seen(&local, "k00", &Encryption::S3).await;
    assert!(read(&local, "k00", &object, ByteRange { start: 0, end: 5 }).await.is_err());
    local.close();
}

#[tokio::test]
async fn a_key_is_on_record_before_anything_needs_it() {
    use crate::local::needed_keys::{Needed, read};
    let dir = tempfile::tempdir().unwrap();
    let local = Local::open(store(dir.path())).unwrap();
    make_bucket(&local, "media").await;
    let folder = dir.path().join("data");
    let of = |key: &str| Needed { key: key.into(), version: 1 };
    put_as(&local, "own", b"x", &Encryption::S3).await;
    assert_eq!(read(&folder).unwrap(), []);
    put_as(&local, "a", b"x", &kms("k1")).await;
    let upload = Upload { encryption: Some(kms("k22")), ..upload_of("b", "b", None) };
    local.create_upload(upload.clone()).await.unwrap();
    assert_eq!(read(&folder).unwrap(), [of("k1"), of("k22")]);
    delete(&local, "media", "a").await.unwrap();
    assert_eq!(read(&folder).unwrap(), [of("k22")]);
    local.close();
    // It is derived.
    std::fs::write(folder.join("needed-keys.json"), "damaged").unwrap();
    let local = Local::open(store(dir.path())).unwrap();
    assert_eq!(read(&folder).unwrap(), [of("k22")]);
    // What can't be noted is not written.
    std::fs::create_dir(folder.join("needed-keys.tmp")).unwrap();
    let put = put_of(&local, "media", "c", b"x");
    let refused = local.put(PutObject { encryption: Some(kms("k1")), ..put }, Quota::default()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::LocalUnavailable);
    assert!(get(&local, "media", "c").await.unwrap().is_none());
    std::fs::remove_dir(folder.join("needed-keys.tmp")).unwrap();
    put_as(&local, "c", b"x", &kms("k1")).await;
    assert_eq!(read(&folder).unwrap(), [of("k1"), of("k22")]);
    delete(&local, "media", "c").await.unwrap();
    local.abort_upload(&upload.bucket, &upload.key, &upload.id).await.unwrap();
    local.close();
    // Also where nothing is needed.
    std::fs::write(folder.join("needed-keys.json"), "damaged").unwrap();
    let local = Local::open(store(dir.path())).unwrap();
    assert_eq!(read(&folder).unwrap(), []);
    local.close();
}
