//! Object lock in the store: what is refused whom and until when, and the store's time over restarts with a clock that was set.

use std::sync::Mutex;
use std::time::Duration;

use super::versions::set_versioning;
use super::*;
use crate::base::error::ErrorKind;
use crate::base::lock::{Lock, Retention, RetentionMode};
use crate::base::object::BucketDocument;
use crate::base::object_ref::{VersionId, VersionSelector};
use crate::local::clock::Source;
use crate::origin::{CopyObject, Delete};

const BEGIN: u64 = 1_800_000_000;

/// A store whose machine's clock and run time are set, in seconds.
struct Store {
    local: Arc<Local>,
    machine: Arc<Mutex<(u64, u64)>>,
}

impl Store {
    fn open(dir: &std::path::Path, day: u64) -> Store {
        let machine = Arc::new(Mutex::new((day, 0)));
        let of_clock = machine.clone();
        let clocks = move || {
            let (day, ran) = *of_clock.lock().unwrap();
            (Timestamp::from_secs(day), Duration::from_secs(ran))
        };
        let local = Local::open(Settings { clock: Source(Arc::new(clocks)), ..settings(dir) }).unwrap();
        Store { local, machine }
    }

    async fn locking(dir: &std::path::Path) -> Store {
        let store = Store::open(dir, BEGIN);
        make_bucket(&store.local, "media").await;
        set_versioning(&store.local, "Enabled").await;
        store.document(BucketDocument::ObjectLock, Some("Enabled")).await.unwrap();
        store
    }

    async fn document(&self, document: BucketDocument, value: Option<&str>) -> Result<()> {
        self.local.set_bucket_document(&bucket_name("media"), document, value.map(|v| v.as_bytes().to_vec())).await
    }

    fn set(&self, day: u64, ran: u64) {
        *self.machine.lock().unwrap() = (day, ran);
    }

    async fn put(&self, key: &str, lock: Lock) -> Result<VersionId> {
        let mut put = put_of(&self.local, "media", key, b"locked");
        put.lock = lock;
        Ok(self.local.put(put, Quota::default()).await?.object.version.clone())
    }

    async fn delete(&self, key: &str, id: &VersionId, bypass: bool) -> Result<(), ErrorKind> {
        let (bucket, key) = (bucket_name("media"), object_key(key));
        let of = ObjectRef { bucket: &bucket, key: &key, version: VersionSelector::Exact(id), unlock: None };
        self.local.delete(of, Delete { bypass, ..Delete::default() }).await.map(drop).map_err(|e| e.kind())
    }
}

fn until(mode: RetentionMode, seconds: u64) -> Lock {
    Lock { retention: Some(Retention { mode, until: Timestamp::from_secs(BEGIN + seconds) }), legal_hold: false }
}

const HELD: Lock = Lock { retention: None, legal_hold: true };

#[tokio::test]
async fn what_is_locked_stays_until_its_time_and_only_governance_can_be_bypassed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::locking(dir.path()).await;
    let compliance = store.put("c", until(RetentionMode::Compliance, 100)).await.unwrap();
    let governance = store.put("g", until(RetentionMode::Governance, 100)).await.unwrap();
    let held = store.put("h", HELD).await.unwrap();
    for (key, id) in [("c", &compliance), ("h", &held)] {
        assert_eq!(store.delete(key, id, true).await, Err(ErrorKind::AccessDenied), "{key}");
    }
    assert_eq!(store.delete("g", &governance, false).await, Err(ErrorKind::AccessDenied));
    // A delete without a version and an overwrite always do what they do, and touch nothing that is locked.
    assert!(delete(&store.local, "media", "c").await.unwrap());
    store.put("g", Lock::default()).await.unwrap();
    assert_eq!(store.delete("g", &governance, false).await, Err(ErrorKind::AccessDenied), "noncurrent");
    assert_eq!(store.delete("g", &governance, true).await, Ok(()));
    store.set(BEGIN + 100, 100);
    assert_eq!(store.delete("c", &compliance, false).await, Ok(()));
    assert_eq!(store.delete("h", &held, true).await, Err(ErrorKind::AccessDenied));
    let (bucket, key) = (bucket_name("media"), object_key("h"));
    store.local.set_legal_hold(ObjectRef::current(&bucket, &key), false).await.unwrap();
    assert_eq!(store.delete("h", &held, false).await, Ok(()));
    let past = store.put("p", until(RetentionMode::Governance, 100)).await;
    assert_eq!(past.unwrap_err().kind(), ErrorKind::InvalidArgument, "it would have ended");
}

#[tokio::test]
async fn a_lock_needs_a_bucket_that_holds_it_and_such_a_bucket_keeps_its_word() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), BEGIN);
    make_bucket(&store.local, "media").await;
    let refused = |e: Result<()>| e.unwrap_err().kind();
    assert_eq!(refused(store.document(BucketDocument::ObjectLock, Some("Enabled")).await), ErrorKind::InvalidBucketState);
    set_versioning(&store.local, "Enabled").await;
    assert_eq!(store.put("k", HELD).await.unwrap_err().kind(), ErrorKind::InvalidRequest);
    store.put("k", Lock::default()).await.unwrap();
    let (bucket, key) = (bucket_name("media"), object_key("k"));
    let object = store.local.stat(ObjectRef::current(&bucket, &key), Freshness::Current).await.unwrap().unwrap();
    let copy = CopyObject {
        source_bucket: bucket.clone(),
        source_key: key.clone(),
        source_version: None,
        source: object,
        bucket: bucket.clone(),
        key: object_key("copy"),
        owner: tenant("acme"),
        acl: CannedAcl::Private.into(),
        headers: ObjectHeaders::default(),
        lock: HELD,
        checksum: None,
        tags: Default::default(),
        encryption: None,
        conditions: WriteConditions::default(),
    };
    assert_eq!(store.local.copy(copy, Quota::default()).await.unwrap_err().kind(), ErrorKind::InvalidRequest);
    assert_eq!(refused(store.local.set_legal_hold(ObjectRef::current(&bucket, &key), true).await), ErrorKind::InvalidRequest);
    assert_eq!(refused(store.document(BucketDocument::Versioning, None).await), ErrorKind::InvalidBucketState);
    store.document(BucketDocument::ObjectLock, Some("Enabled")).await.unwrap();
    assert_eq!(refused(store.document(BucketDocument::Versioning, Some("Suspended")).await), ErrorKind::InvalidBucketState);
    assert_eq!(refused(store.document(BucketDocument::ObjectLock, None).await), ErrorKind::InvalidBucketState);
    store.document(BucketDocument::ObjectLock, Some("with a default")).await.unwrap();
}

#[tokio::test]
async fn a_clock_that_is_set_neither_unlocks_nor_turns_time_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::locking(dir.path()).await;
    let id = store.put("k", until(RetentionMode::Compliance, 3600)).await.unwrap();
    store.set(BEGIN + 1_000_000, 10);
    assert_eq!(store.delete("k", &id, true).await, Err(ErrorKind::AccessDenied), "set forward");
    let ahead = put(&store.local, "media", "ahead", b"").await.unwrap().object.modified;
    assert_eq!(ahead, Timestamp::from_secs(BEGIN + 1_000_000));
    store.set(BEGIN - 1_000_000, 20);
    assert_eq!(put(&store.local, "media", "back", b"").await.unwrap().object.modified, ahead, "set back");
    store.local.close();
    for without_index in [false, true] {
        if without_index {
            std::fs::remove_dir_all(dir.path().join("data/index")).unwrap();
        }
        // What the journal says is later than the clock, and ends no lock.
        let store = Store::open(dir.path(), BEGIN + 60);
        assert_eq!(put(&store.local, "media", "again", b"").await.unwrap().object.modified, ahead);
        assert_eq!(store.delete("k", &id, true).await, Err(ErrorKind::AccessDenied));
        store.local.close();
    }
    let store = Store::open(dir.path(), BEGIN + 60);
    store.set(BEGIN + 3600, 3540);
    assert_eq!(store.delete("k", &id, false).await, Ok(()));
}
