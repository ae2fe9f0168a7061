//! Random histories of versions, markers and locks against a model: under every state of a bucket, with uploads, copies of old versions,
//! clocks that jump, collections, restarts, crashes, and with the index gone.
//!
//! What is read, listed and counted is what the model says; no locked version goes before its time, however the machine's clock is set;
//! what is written later never says an earlier time; and nothing is left of what nothing refers to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use proptest::prelude::*;

use super::model::{collect_garbage, content, copy_tree, files, small};
use super::multipart::{complete_of, part, upload_of};
use super::*;
use crate::base::error::ErrorKind;
use crate::base::layout::run_and_type;
use crate::base::lock::{Lock, Retention, RetentionMode};
use crate::base::object::BucketDocument;
use crate::base::object_ref::{VersionId, VersionSelector};
use crate::base::usage::{Amount, DAY, RunDays, RunDaysQuery, StoredBy, StoredQuery};
use crate::base::versions::{VersionEntry, Versioning, VersionsQuery};
use crate::local::clock::Source;
use crate::local::fsck::{self, Options};
use crate::origin::{CopyObject, Delete, Usage};

/// One whose state changes, and one that locks.
const BUCKETS: [&str; 2] = ["media", "vault"];
const KEYS: u8 = 4;
/// Contents of uploads are none of those that are put.
const UPLOADED: u8 = 100;

#[derive(Debug, Clone)]
enum Step {
    Put {
        at: At,
        content: u8,
        lock: Option<(Kind, u64)>,
    },
    Upload {
        at: At,
        content: u8,
    },
    Copy {
        from: At,
        nth: usize,
        to: At,
    },
    Delete {
        at: At,
    },
    DeleteVersion {
        at: At,
        nth: usize,
        bypass: bool,
    },
    Retain {
        at: At,
        nth: usize,
        lock: Option<(Kind, u64)>,
        bypass: bool,
    },
    Hold {
        at: At,
        nth: usize,
        on: bool,
    },
    Keep {
        suspended: bool,
    },
    /// Time passes.
    Wait {
        seconds: u64,
    },
    /// The machine's clock is set.
    Set {
        ahead: i64,
    },
    Collect,
    Restart,
    /// The folder as it is on the disk at this moment, opened elsewhere.
    Crash {
        without_index: bool,
    },
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Governance,
    Compliance,
}

/// Bucket and key by number.
type At = (usize, u8);

fn step() -> impl Strategy<Value = Step> {
    let at = || (0..BUCKETS.len(), 0..KEYS);
    let nth = || 0..4usize;
    let lock = || proptest::option::of((prop_oneof![Just(Kind::Governance), Just(Kind::Compliance)], 1..50u64));
    prop_oneof![
        10 => (at(), 0u8..5, lock()).prop_map(|(at, content, lock)| Step::Put { at, content, lock }),
        2 => (at(), 0u8..3).prop_map(|(at, content)| Step::Upload { at, content }),
        3 => (at(), nth(), at()).prop_map(|(from, nth, to)| Step::Copy { from, nth, to }),
        5 => at().prop_map(|at| Step::Delete { at }),
        10 => (at(), nth(), any::<bool>()).prop_map(|(at, nth, bypass)| Step::DeleteVersion { at, nth, bypass }),
        3 => (0..KEYS, nth(), lock(), any::<bool>())
            .prop_map(|(key, nth, lock, bypass)| Step::Retain { at: (1, key), nth, lock, bypass }),
        2 => (0..KEYS, nth(), any::<bool>()).prop_map(|(key, nth, on)| Step::Hold { at: (1, key), nth, on }),
        3 => any::<bool>().prop_map(|suspended| Step::Keep { suspended }),
        3 => (1..40u64).prop_map(|seconds| Step::Wait { seconds }),
        2 => prop_oneof![Just(0), -5000..5000i64].prop_map(|ahead| Step::Set { ahead }),
        2 => Just(Step::Collect),
        1 => Just(Step::Restart),
        1 => any::<bool>().prop_map(|without_index| Step::Crash { without_index }),
    ]
}

#[derive(Debug, Clone)]
struct Version {
    id: VersionId,
    /// None: a delete marker.
    body: Option<Vec<u8>>,
    lock: Lock,
}

/// The machine's time in seconds, and how far its clock is ahead of it.
#[derive(Debug, Clone, Copy)]
struct Machine {
    time: u64,
    ahead: i64,
}

impl Machine {
    fn day(self) -> u64 {
        self.time.saturating_add_signed(self.ahead)
    }
}

struct World {
    root: tempfile::TempDir,
    lives: usize,
    local: Arc<Local>,
    machine: Arc<Mutex<Machine>>,
    /// Newest first.
    keys: BTreeMap<At, Vec<Version>>,
    versioning: Versioning,
    last_modified: Timestamp,
    meters: Meters,
}

fn name(at: At) -> (BucketName, ObjectKey) {
    // Half of them say their run and artifact type.
    (bucket_name(BUCKETS[at.0]), object_key(["k/0", "k/1", "k/r/image/2", "k/s/image/3"][usize::from(at.1)]))
}

impl World {
    async fn begin() -> World {
        let root = tempfile::tempdir().unwrap();
        let machine = Arc::new(Mutex::new(Machine { time: 1_800_000_000, ahead: 0 }));
        let local = Local::open(settings_of(&root.path().join("0"), &machine)).unwrap();
        for bucket in BUCKETS {
            make_bucket(&local, bucket).await;
        }
        for document in [BucketDocument::Versioning, BucketDocument::ObjectLock] {
            local.set_bucket_document(&bucket_name("vault"), document, Some(b"Enabled".to_vec())).await.unwrap();
        }
        let versioning = Versioning::Never;
        World {
            root,
            lives: 0,
            local,
            machine,
            keys: BTreeMap::new(),
            versioning,
            last_modified: Timestamp::from_millis(0),
            meters: Meters::default(),
        }
    }

    fn folder(&self) -> PathBuf {
        self.root.path().join(self.lives.to_string())
    }

    fn settings(&self) -> Settings {
        settings_of(&self.folder(), &self.machine)
    }

    fn now(&self) -> Machine {
        *self.machine.lock().unwrap()
    }

    fn versioning(&self, at: At) -> Versioning {
        if at.0 == 0 { self.versioning } else { Versioning::Enabled }
    }

    fn lock(&self, lock: Option<(Kind, u64)>) -> Lock {
        let retention = lock.map(|(kind, seconds)| Retention {
            mode: match kind {
                Kind::Governance => RetentionMode::Governance,
                Kind::Compliance => RetentionMode::Compliance,
            },
            // Far enough for the store's clock where the machine's was set back.
            until: Timestamp::from_secs(self.now().time + 10_000 + seconds),
        });
        Lock { retention, legal_hold: false }
    }

    /// The model's side of every write.
    fn written(&mut self, at: At, id: VersionId, body: Option<Vec<u8>>, lock: Lock) {
        let versions = self.keys.entry(at).or_default();
        assert_eq!(id == VersionId::Null, self.versioning != Versioning::Enabled && at.0 == 0, "{id}");
        if id == VersionId::Null {
            versions.retain(|v| v.id != VersionId::Null);
        }
        assert!(versions.iter().all(|v| v.id != id), "an id is given out once");
        versions.insert(0, Version { id, body, lock });
    }

    fn object_written(&mut self, at: At, object: &crate::base::object::SharedObject, body: Vec<u8>, lock: Lock) {
        assert!(object.modified >= self.last_modified, "time goes back in the store");
        self.last_modified = object.modified;
        self.written(at, object.version.clone(), Some(body), lock);
    }

    fn nth(&self, at: At, nth: usize) -> Option<(usize, Version)> {
        let versions = self.keys.get(&at).filter(|v| !v.is_empty())?;
        let n = nth % versions.len();
        Some((n, versions[n].clone()))
    }

    async fn apply(&mut self, step: Step) {
        match step {
            Step::Put { at, content: n, lock } => {
                let (bucket, key) = name(at);
                let mut put = put_of(&self.local, bucket.as_str(), key.as_str(), &content(n));
                put.lock = self.lock(lock.filter(|_| at.0 == 1));
                let lock = put.lock;
                let object = self.local.put(put, Quota::default()).await.unwrap().object;
                self.object_written(at, &object, content(n), lock);
            }
            Step::Upload { at, content: n } => self.upload(at, content(UPLOADED + n)).await,
            Step::Copy { from, nth, to } => self.copy(from, nth, to).await,
            Step::Delete { at } => self.delete(at).await,
            Step::DeleteVersion { at, nth, bypass } => self.delete_version(at, nth, bypass).await,
            Step::Retain { at, nth, lock, bypass } => self.retain(at, nth, self.lock(lock), bypass).await,
            Step::Hold { at, nth, on } => self.hold(at, nth, on).await,
            Step::Keep { suspended } => {
                self.versioning = if suspended { Versioning::Suspended } else { Versioning::Enabled };
                let word = self.versioning.name().unwrap().as_bytes().to_vec();
                self.local.set_bucket_document(&bucket_name("media"), BucketDocument::Versioning, Some(word)).await.unwrap();
            }
            Step::Wait { seconds } => self.machine.lock().unwrap().time += seconds * 1000,
            Step::Set { ahead } => self.machine.lock().unwrap().ahead = ahead * 1000,
            Step::Collect => collect_garbage(&self.local),
            Step::Restart => {
                self.local.close();
                // A start takes the clock's word: it is right again.
                self.machine.lock().unwrap().ahead = 0;
                self.local = Local::open(self.settings()).unwrap();
            }
            Step::Crash { without_index } => self.crash(without_index),
        }
    }

    fn crash(&mut self, without_index: bool) {
        // A copy is as of one moment only if nothing moves meanwhile: no pass, and sled at rest.
        let shared = self.local.shared.clone();
        let hold = shared.hold.lock().unwrap();
        if let Some(index) = &*self.local.shared.index.load() {
            index.flush().unwrap();
        }
        let old = self.folder();
        self.lives += 1;
        copy_tree(&old, &self.folder());
        drop(hold);
        if without_index {
            std::fs::remove_dir_all(self.folder().join("data/index")).unwrap();
        }
        self.machine.lock().unwrap().ahead = 0;
        self.local = Local::open(self.settings()).unwrap();
    }

    async fn upload(&mut self, at: At, body: Vec<u8>) {
        let (bucket, key) = name(at);
        let mut upload = upload_of(key.as_str(), &format!("upload{}", self.local.shared.ids.next()), None);
        upload.bucket = bucket;
        self.local.create_upload(upload.clone()).await.unwrap();
        let sent = [part(&self.local, &upload, 1, &body).await];
        let object = self.local.complete_upload(complete_of(&upload, &sent), Quota::default()).await.unwrap().object;
        self.object_written(at, &object, body, Lock::default());
    }

    async fn copy(&mut self, from: At, nth: usize, to: At) {
        let Some((_, Version { id, body: Some(body), .. })) = self.nth(from, nth) else { return };
        let ((source_bucket, source_key), (bucket, key)) = (name(from), name(to));
        let of = ObjectRef { bucket: &source_bucket, key: &source_key, version: VersionSelector::Exact(&id), unlock: None };
        let source = self.local.stat(of, Freshness::Current).await.unwrap().unwrap();
        let copy = CopyObject {
            source_bucket,
            source_key,
            source_version: Some(id),
            source,
            bucket,
            key,
            owner: tenant("acme"),
            acl: CannedAcl::Private.into(),
            headers: ObjectHeaders::default(),
            lock: Lock::default(),
            checksum: None,
            tags: Default::default(),
            encryption: None,
            conditions: WriteConditions::default(),
        };
        let object = self.local.copy(copy, Quota::default()).await.unwrap().object;
        self.object_written(to, &object, body, Lock::default());
    }

    async fn delete(&mut self, at: At) {
        let (bucket, key) = name(at);
        let deleted = self.local.delete(ObjectRef::current(&bucket, &key), Delete::default()).await.unwrap();
        let there = self.keys.get(&at).and_then(|v| v.first()).is_some_and(|v| v.body.is_some());
        assert_eq!(deleted.existed, Some(there));
        if self.versioning(at) == Versioning::Never {
            assert!(!deleted.marker && deleted.version.is_none());
            self.keys.remove(&at);
            return;
        }
        assert!(deleted.marker);
        self.written(at, deleted.version.unwrap(), None, Lock::default());
    }

    /// None: either may be, because the clock was set back and a lock may last longer.
    fn may_go(&self, version: &Version, bypass: bool) -> Option<bool> {
        let Lock { retention, legal_hold } = version.lock;
        if legal_hold {
            return Some(false);
        }
        match retention {
            Some(r) if r.mode == RetentionMode::Compliance || !bypass => match self.now() {
                now if r.until.secs() > now.time => Some(false),
                now if now.ahead < 0 => None,
                _ => Some(true),
            },
            _ => Some(true),
        }
    }

    async fn delete_version(&mut self, at: At, nth: usize, bypass: bool) {
        let Some((n, version)) = self.nth(at, nth) else { return };
        let (bucket, key) = name(at);
        let of = ObjectRef { bucket: &bucket, key: &key, version: VersionSelector::Exact(&version.id), unlock: None };
        let deleted = self.local.delete(of, Delete { bypass, ..Delete::default() }).await;
        let may_go = self.may_go(&version, bypass);
        assert!(may_go.is_none_or(|may_go| may_go == deleted.is_ok()), "{version:?} {:?}: {deleted:?}", self.now());
        match deleted {
            Ok(deleted) => {
                assert_eq!((deleted.existed, deleted.marker), (Some(true), version.body.is_none()));
                self.keys.get_mut(&at).unwrap().remove(n);
            }
            Err(e) => assert_eq!(e.kind(), ErrorKind::AccessDenied),
        }
    }

    async fn retain(&mut self, at: At, nth: usize, lock: Lock, bypass: bool) {
        let Some((n, version)) = self.nth(at, nth).filter(|(_, v)| v.body.is_some()) else { return };
        let (bucket, key) = name(at);
        let of = ObjectRef { bucket: &bucket, key: &key, version: VersionSelector::Exact(&version.id), unlock: None };
        let set = self.local.set_retention(of, lock.retention, bypass).await;
        let ended = Version { lock: Lock { legal_hold: false, ..version.lock }, ..version.clone() };
        let prolongs = version.lock.retention.zip(lock.retention).is_some_and(|(old, new)| new.mode == old.mode && new.until >= old.until);
        if prolongs {
            set.as_ref().unwrap();
        } else if let Some(may) = self.may_go(&ended, bypass) {
            assert_eq!(set.is_ok(), may, "{version:?} to {lock:?}");
        }
        match set {
            Ok(()) => self.keys.get_mut(&at).unwrap()[n].lock.retention = lock.retention,
            Err(e) => assert_eq!(e.kind(), ErrorKind::AccessDenied),
        }
    }

    async fn hold(&mut self, at: At, nth: usize, on: bool) {
        let Some((n, version)) = self.nth(at, nth) else { return };
        let (bucket, key) = name(at);
        let of = ObjectRef { bucket: &bucket, key: &key, version: VersionSelector::Exact(&version.id), unlock: None };
        let set = self.local.set_legal_hold(of, on).await;
        if version.body.is_none() {
            assert_eq!(set.unwrap_err().kind(), ErrorKind::MethodNotAllowed, "a marker is never locked");
            return;
        }
        set.unwrap();
        self.keys.get_mut(&at).unwrap()[n].lock.legal_hold = on;
    }

    async fn check(&mut self) {
        for (at, versions) in &self.keys {
            self.check_key(*at, versions).await;
        }
        for (n, bucket) in BUCKETS.iter().enumerate() {
            self.check_list(n, &bucket_name(bucket)).await;
        }
        let all = || self.keys.values().flatten();
        let bytes = all().filter_map(|v| v.body.as_ref()).map(|body| body.len() as u64).sum();
        assert_eq!(self.local.usage(&tenant("acme")).await.unwrap(), Usage { bytes, objects: all().count() as u64 });
        self.check_stored().await;
    }

    /// Every place is what a recount says, and its meter what was there over the time.
    async fn check_stored(&mut self) {
        let now = self.local.shared.clock.now();
        let recount = |by: StoredBy| {
            let mut places: BTreeMap<(String, String, String), Amount> = BTreeMap::new();
            for (at, versions) in &self.keys {
                let (bucket, key) = name(*at);
                let (run, artifact) = run_and_type(key.as_str()).unwrap_or_default();
                if by == StoredBy::Run && run.is_empty() {
                    continue;
                }
                let run = if by == StoredBy::Run { run } else { "" };
                let amount = places.entry((bucket.to_string(), artifact.to_owned(), run.to_owned())).or_default();
                for (n, version) in versions.iter().enumerate() {
                    match &version.body {
                        Some(body) => {
                            amount.bytes += body.len() as u64;
                            amount.versions += 1;
                            amount.objects += u64::from(n == 0);
                        }
                        None => amount.markers += 1,
                    }
                }
            }
            places.retain(|_, amount| *amount != Amount::default());
            places
        };
        for by in [StoredBy::Type, StoredBy::Run] {
            let query = StoredQuery { tenant: Some(tenant("acme")), by, max: 1000 };
            let page = self.local.stored(query).await.unwrap().unwrap();
            let expected = recount(by);
            let mut counted = BTreeMap::new();
            for place in page.places {
                let bucket = place.bucket.map(|b| b.to_string()).unwrap_or_default();
                let at = (bucket, place.artifact, place.run);
                let total = self.meters.total(&at, now, expected.get(&at).map_or(0, |amount| amount.bytes));
                // What parts of uploads took came and went in one moment.
                assert_eq!(place.byte_millis, total, "{at:?}");
                if place.amount != Amount::default() {
                    counted.insert(at, place.amount);
                }
            }
            assert_eq!(counted, expected);
        }
        self.check_days(now).await;
        let query = StoredQuery { tenant: None, by: StoredBy::Tenant, max: 1000 };
        let all = self.local.stored(query).await.unwrap().unwrap().places;
        let bytes = recount(StoredBy::Type).values().map(|amount| amount.bytes).sum::<u64>();
        assert_eq!(all.iter().map(|place| place.amount.bytes).sum::<u64>(), bytes);
    }

    /// So is each day of each run.
    async fn check_days(&self, now: Timestamp) {
        let query = RunDaysQuery { tenant: Some(tenant("acme")), days: 0..u32::MAX, by_day: true, at: now, max: 10_000 };
        let mut told: BTreeMap<Place, BTreeMap<u32, u128>> = BTreeMap::new();
        for RunDays { bucket, artifact, run, day, byte_millis, .. } in self.local.run_days(query).await.unwrap() {
            told.entry((bucket, artifact, run.unwrap())).or_default().insert(day.unwrap(), byte_millis);
        }
        let runs = self.meters.0.keys().filter(|(_, _, run)| !run.is_empty());
        let expected: BTreeMap<_, _> = runs.map(|place| (place.clone(), self.meters.days(place, now))).collect();
        assert_eq!(told, expected.into_iter().filter(|(_, days)| !days.is_empty()).collect());
    }

    async fn check_key(&self, at: At, versions: &[Version]) {
        let (bucket, key) = name(at);
        let shown = versions.first().and_then(|v| v.body.clone());
        assert_eq!(get(&self.local, bucket.as_str(), key.as_str()).await.unwrap(), shown, "{at:?}");
        let hides = versions.first().filter(|v| v.body.is_none()).map(|v| v.id.clone());
        let marker = self.local.marker(ObjectRef::current(&bucket, &key)).await.unwrap();
        assert_eq!(marker.map(|marker| marker.version), hides, "{at:?}");
        for version in versions {
            let of = ObjectRef { bucket: &bucket, key: &key, version: VersionSelector::Exact(&version.id), unlock: None };
            let object = self.local.stat(of, Freshness::Current).await.unwrap();
            let Some(body) = &version.body else {
                assert!(object.is_none());
                assert_eq!(self.local.marker(of).await.unwrap().map(|marker| marker.version), Some(version.id.clone()));
                continue;
            };
            let object = object.unwrap();
            assert_eq!((&object.version, object.lock), (&version.id, version.lock));
            let range = ByteRange { start: 0, end: object.size };
            let opened = self.local.open(of, &object, range, ReadBy::UserSpace).await.unwrap().unwrap();
            assert_eq!(collect(opened).await.unwrap(), *body, "{at:?} {}", version.id);
        }
    }

    async fn check_list(&self, n: usize, bucket: &BucketName) {
        let mut query = VersionsQuery { max: 3, ..VersionsQuery::default() };
        let mut listed = Vec::new();
        loop {
            let page = self.local.list_versions(bucket, &query).await.unwrap();
            listed.extend(page.entries.into_iter().map(|entry| match entry {
                VersionEntry::Version(v) => (v.object.key.to_string(), v.version, false, v.latest),
                VersionEntry::Marker(m) => (m.key.to_string(), m.marker.version, true, m.latest),
                VersionEntry::CommonPrefix(prefix) => panic!("{prefix}"),
            }));
            let Some((key, version)) = page.next else { break };
            (query.key_marker, query.version_marker) = (key, version);
        }
        let mut expected = Vec::new();
        for (at, versions) in self.keys.iter().filter(|(at, _)| at.0 == n) {
            let line = |(i, v): (usize, &Version)| (name(*at).1.to_string(), v.id.clone(), v.body.is_none(), i == 0);
            expected.extend(versions.iter().enumerate().map(line));
        }
        assert_eq!(listed, expected);
    }

    /// At rest: one file for each different content that is live and no body of the journal, and no more.
    async fn check_files(&self) {
        for (at, versions) in &self.keys {
            let (bucket, key) = name(*at);
            for version in versions.iter().filter(|v| v.body.is_some()) {
                let of = ObjectRef { bucket: &bucket, key: &key, version: VersionSelector::Exact(&version.id), unlock: None };
                while self.local.stat(of, Freshness::Current).await.unwrap().unwrap().sha256.is_none() {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
        }
        collect_garbage(&self.local);
        let is_file = |body: &&Vec<u8>| body.len() > 512 || (0..3).any(|n| content(UPLOADED + n) == **body);
        let live: BTreeSet<_> = self.keys.values().flatten().filter_map(|v| v.body.as_ref()).filter(is_file).collect();
        assert_eq!(files(&self.local).len(), live.len());
    }
}

fn settings_of(dir: &std::path::Path, machine: &Arc<Mutex<Machine>>) -> Settings {
    let machine = machine.clone();
    let clocks = move || {
        let machine = *machine.lock().unwrap();
        (Timestamp::from_secs(machine.day()), Duration::from_secs(machine.time))
    };
    Settings { clock: Source(Arc::new(clocks)), ..small(dir) }
}

type Place = (String, String, String);

/// The model's side of the meters: what each place held since when.
#[derive(Default)]
struct Meters(BTreeMap<Place, Vec<(u64, u64)>>);

impl Meters {
    fn total(&mut self, place: &Place, now: Timestamp, bytes: u64) -> u128 {
        let held = self.0.entry(place.clone()).or_insert_with(|| vec![(now.millis(), 0)]);
        let (at, before) = *held.last().unwrap();
        if bytes != before {
            held.push((at.max(now.millis()), bytes));
        }
        self.days(place, now).into_values().sum()
    }

    fn days(&self, place: &Place, now: Timestamp) -> BTreeMap<u32, u128> {
        let mut days: BTreeMap<u32, u128> = BTreeMap::new();
        let held = &self.0[place];
        for (n, (since, bytes)) in held.iter().enumerate() {
            let until = held.get(n + 1).map_or(now.millis(), |(next, _)| *next);
            let mut at = *since;
            while at < until {
                let end = ((at / DAY + 1) * DAY).min(until);
                *days.entry((at / DAY) as u32).or_default() += u128::from(*bytes) * u128::from(end - at);
                at = end;
            }
        }
        days.retain(|_, byte_millis| *byte_millis > 0);
        days
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn every_version_is_where_it_was_left(steps in proptest::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::begin().await;
            for step in steps {
                world.apply(step).await;
                world.check().await;
            }
            world.check_files().await;
            world.check().await;
            world.local.close();
            let report = fsck::fsck(&world.settings(), Options { verify: true, repair: false }).unwrap();
            assert!(report.is_clean(), "{report:?}");
        });
    }
}
