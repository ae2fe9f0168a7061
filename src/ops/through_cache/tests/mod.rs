//! Through the cache over a `Local` that can be counted, broken and held up: each answer is exactly one version that was current
//! inside the window that the settings allow.

use std::collections::HashMap;
use std::future::poll_fn;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::time::Instant;

mod far;

use self::far::Far;
use super::*;
use crate::base::checksum::ChecksumAlgorithm;
use crate::base::conditions::WriteConditions;
use crate::base::digest::VerifiedSha256;
use crate::base::encryption::Encryption;
use crate::base::lock::{Lock, Retention};
use crate::base::names::UploadId;
use crate::base::object::CannedAcl;
use crate::base::object::{ObjectHeaders, Upload, UploadedPart};
use crate::base::tags::Tags;
use crate::base::timestamp::Timestamp;
use crate::base::versions::{Marker, VersionsPage, VersionsQuery};
use crate::cache::settings::{self, Settings};
use crate::ingest::hasher::ChecksumHasher;
use crate::ingest::md5::Md5Hasher;
use crate::ingest::{Content, Received, Staging};
use crate::local::{Local, Settings as LocalSettings};
use crate::origin::{Announced, BodySource, Control, Delete, Intake, OwnSettings, Uploads, UploadsPage, UploadsQuery, Usage};

fn bucket() -> BucketName {
    BucketName::parse("media").unwrap()
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::parse(name).unwrap()
}

fn tenant() -> TenantId {
    TenantId::parse("acme").unwrap()
}

fn put_of(name: &str, body: Vec<u8>) -> PutObject {
    use sha2::Digest as _;
    let sha256: [u8; 32] = sha2::Sha256::digest(&body).into();
    let received = Received {
        size: body.len() as u64,
        md5: Some(Md5Hasher::digest(&body)),
        sha256: VerifiedSha256::proven(Sha256(sha256)),
        checksum: ChecksumHasher::digest(ChecksumAlgorithm::Crc32, &body),
        content: Content::Memory(body.into()),
    };
    PutObject {
        bucket: bucket(),
        key: key(name),
        owner: tenant(),
        acl: CannedAcl::Private.into(),
        headers: ObjectHeaders::default(),
        lock: Lock::default(),
        tags: Default::default(),
        encryption: None,
        conditions: WriteConditions::default(),
        received,
    }
}

async fn collect(body: Body) -> Result<Vec<u8>> {
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

struct World {
    far: Arc<Far>,
    node: Arc<ThroughCache>,
    dir: tempfile::TempDir,
    freshness: settings::Freshness,
}

impl World {
    async fn new(freshness: settings::Freshness) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let local = Local::open(LocalSettings { dir: dir.path().join("data"), reserve_bytes: 0, ..LocalSettings::default() }).unwrap();
        let made = Bucket {
            name: bucket(),
            owner: tenant(),
            created: Timestamp::now(),
            acl: CannedAcl::Private.into(),
            documents: Default::default(),
            generation: 0,
            unknown: Default::default(),
        };
        local.create_bucket(made).await.unwrap();
        let zero = || AtomicU64::new(0);
        let off = || AtomicBool::new(false);
        let far =
            Arc::new(Far { local, stats: zero(), opens: zero(), prefetched: Mutex::default(), down: off(), slow: zero(), breaking: off() });
        let mut world = World { node: Self::node(&far, &dir, &freshness), far, dir, freshness };
        world.restart();
        world
    }

    fn node(far: &Arc<Far>, dir: &tempfile::TempDir, freshness: &settings::Freshness) -> Arc<ThroughCache> {
        let settings = Settings {
            dir: dir.path().join("cache"),
            disk_bytes: 4 << 20,
            block_bytes: 64 << 10,
            reserve_bytes: 0,
            freshness: freshness.clone(),
            ..Settings::default()
        };
        Arc::new(ThroughCache::new(Origin::of(far.clone()), Cache::start(settings).unwrap(), None))
    }

    fn restart(&mut self) {
        self.node = Self::node(&self.far, &self.dir, &self.freshness);
    }

    async fn read(&self, name: &str, freshness: Freshness) -> Result<Option<Vec<u8>>> {
        read(&self.node, name, freshness).await
    }

    fn asked(&self) -> (u64, u64) {
        (self.far.stats.load(Ordering::SeqCst), self.far.opens.load(Ordering::SeqCst))
    }
}

/// As a door reads: None: no such key.
async fn read(node: &ThroughCache, name: &str, mut freshness: Freshness) -> Result<Option<Vec<u8>>> {
    for _ in 0..100 {
        let Some(object) = node.stat(ObjectRef::current(&bucket(), &key(name)), freshness).await? else { return Ok(None) };
        if object.size == 0 {
            return Ok(Some(Vec::new()));
        }
        let range = ByteRange { start: 0, end: object.size };
        if let Some(body) = node.open(ObjectRef::current(&bucket(), &key(name)), &object, range, ReadBy::UserSpace).await? {
            return collect(body).await.map(Some);
        }
        freshness = Freshness::Current;
    }
    panic!("replaced again and again");
}

fn secs(fresh: u64, while_revalidate: u64, if_error: u64) -> settings::Freshness {
    let secs = Duration::from_secs;
    settings::Freshness { fresh: secs(fresh), while_revalidate: secs(while_revalidate), if_error: secs(if_error), negative: secs(fresh) }
}

#[tokio::test]
async fn only_first_reads_are_announced_upstream() {
    let mut world = World::new(secs(60, 60, 600)).await;
    world.far.put(put_of("k", vec![7; 200_000]), Quota::default()).await.unwrap();
    let all = ByteRange { start: 0, end: u64::MAX };
    let announce = |world: &World, range: ByteRange| {
        world.node.prefetch(ObjectRef::current(&bucket(), &key("k")), range);
        world.far.prefetched.lock().unwrap().split_off(0)
    };
    // Until it is known what an earlier run left, nothing is a first read.
    while world.node.cache().knows(&bucket(), &key("k")) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // In whole blocks of 64 KiB, and no more than one request fetches.
    assert_eq!(announce(&world, all), [ByteRange { start: 0, end: 8 << 20 }]);
    assert_eq!(announce(&world, ByteRange { start: 70_000, end: 70_001 }), [ByteRange { start: 65_536, end: 131_072 }]);
    world.read("k", Freshness::Cached).await.unwrap().unwrap();
    assert!(announce(&world, all).is_empty(), "it is known");
    world.node.cache().outdate(&bucket(), &key("k"));
    while world.node.cache().used() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(announce(&world, all).is_empty(), "nothing is known of it, but there are blocks that may do");
    world.restart();
    assert!(announce(&world, all).is_empty(), "also after a restart");
}

#[tokio::test]
async fn reads_are_answered_here_and_writes_are_seen_at_once() {
    let world = World::new(secs(60, 60, 600)).await;
    let put = |body: &[u8]| world.node.put(put_of("k", body.to_vec()), Quota::default());
    assert_eq!(world.read("k", Freshness::Cached).await.unwrap(), None);
    put(b"one").await.unwrap();
    for _ in 0..5 {
        assert_eq!(world.read("k", Freshness::Cached).await.unwrap().unwrap(), b"one");
    }
    assert_eq!(world.asked(), (2, 1));
    put(b"two").await.unwrap();
    assert_eq!(world.read("k", Freshness::Cached).await.unwrap().unwrap(), b"two");
    // Behind our back: the S3 door sees it, and then everybody.
    world.far.put(put_of("k", b"three".to_vec()), Quota::default()).await.unwrap();
    assert_eq!(world.read("k", Freshness::Cached).await.unwrap().unwrap(), b"two");
    assert_eq!(world.read("k", Freshness::Current).await.unwrap().unwrap(), b"three");
    assert_eq!(world.read("k", Freshness::Cached).await.unwrap().unwrap(), b"three");
    world.node.delete(ObjectRef::current(&bucket(), &key("k")), Delete::default()).await.unwrap();
    assert_eq!(world.read("k", Freshness::Cached).await.unwrap(), None);
}

#[tokio::test]
async fn a_thousand_who_ask_for_the_same_cost_one_look_and_one_fetch() {
    let world = World::new(secs(60, 60, 600)).await;
    world.far.put(put_of("k", vec![7; 5000]), Quota::default()).await.unwrap();
    world.far.slow.store(30, Ordering::SeqCst);
    let all: Vec<_> = (0..1000)
        .map(|_| {
            let node = world.node.clone();
            tokio::spawn(async move { read(&node, "k", Freshness::Cached).await })
        })
        .collect();
    for one in all {
        assert_eq!(one.await.unwrap().unwrap().unwrap(), [7; 5000]);
    }
    assert_eq!(world.asked(), (1, 1));
}

#[tokio::test]
async fn what_was_cached_is_served_while_the_upstream_is_down_also_after_a_restart() {
    let mut world = World::new(secs(1, 1, 600)).await;
    let large: Vec<u8> = (0..400_000u32).map(|n| (n % 251) as u8).collect();
    for (name, body) in [("large", large.clone()), ("small", b"s".to_vec()), ("gone", b"g".to_vec())] {
        world.node.put(put_of(name, body.clone()), Quota::default()).await.unwrap();
        assert_eq!(world.read(name, Freshness::Cached).await.unwrap().unwrap(), body);
    }
    world.node.bucket(&bucket()).await.unwrap();
    world.node.delete(ObjectRef::current(&bucket(), &key("gone")), Delete::default()).await.unwrap();
    // Blocks are kept after their readers have them.
    while world.node.cache().used() < 430_000 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world.far.down.store(true, Ordering::SeqCst);
    for restarted in [false, true] {
        if restarted {
            world.restart();
        } else {
            assert!(world.node.bucket(&bucket()).await.unwrap().is_some());
        }
        assert_eq!(world.read("small", Freshness::Cached).await.unwrap().unwrap(), b"s");
        assert_eq!(world.read("large", Freshness::Cached).await.unwrap().unwrap(), large);
        assert_eq!(world.read("large", Freshness::Current).await.unwrap_err().kind(), ErrorKind::BadGateway);
        assert_eq!(world.read("gone", Freshness::Cached).await.unwrap_err().kind(), ErrorKind::BadGateway, "a delete is remembered");
    }
    world.far.down.store(false, Ordering::SeqCst);
    world.far.put(put_of("small", b"new".to_vec()), Quota::default()).await.unwrap();
    while world.read("small", Freshness::Cached).await.unwrap().unwrap() != b"new" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// When a version can have been current: from before its write was begun until the next one's end.
#[derive(Debug, Clone, Copy)]
struct Life {
    begun: Instant,
    replaced: Option<Instant>,
    /// The write that replaced it came through the node.
    through_node: bool,
}

type History = Mutex<HashMap<u64, Life>>;

fn body_of(version: u64) -> Vec<u8> {
    let words = 1 + (version * 7919) % 25_000;
    version.to_le_bytes().repeat(words as usize)
}

/// What every answer must be, whatever the faults.
fn check(history: &History, body: &[u8], asked: Instant, window: Duration, what: &str) {
    let version = u64::from_le_bytes(body[..8].try_into().unwrap());
    assert!(body == body_of(version), "{what}: a mix, or cut short");
    let life = history.lock().unwrap()[&version];
    assert!(life.begun <= Instant::now());
    if let Some(replaced) = life.replaced {
        let window = if life.through_node { Duration::ZERO } else { window };
        let late = asked.saturating_duration_since(replaced);
        assert!(late <= window, "{what}: version {version} was replaced {late:?} before it was asked for, allowed {window:?}");
    }
}

async fn write(history: &History, node: Option<&ThroughCache>, far: &Far, version: u64, last: &tokio::sync::Mutex<u64>) {
    // One writer at a time, so that it is clear who replaced whom.
    let mut last = last.lock().await;
    history.lock().unwrap().insert(version, Life { begun: Instant::now(), replaced: None, through_node: false });
    let put = put_of("k", body_of(version));
    match node {
        Some(node) => node.put(put, Quota::default()).await.unwrap(),
        None => far.put(put, Quota::default()).await.unwrap(),
    };
    if let Some(before) = history.lock().unwrap().get_mut(&*last) {
        (before.replaced, before.through_node) = (Some(Instant::now()), node.is_some());
    }
    *last = version;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_answer_is_one_version_that_was_current_inside_the_window() {
    let ms = Duration::from_millis;
    let freshness = settings::Freshness { fresh: ms(20), while_revalidate: ms(40), if_error: ms(400), negative: ms(20) };
    let world = Arc::new(World::new(freshness.clone()).await);
    let history: Arc<History> = Arc::default();
    let last = Arc::new(tokio::sync::Mutex::new(0));
    let next = Arc::new(AtomicU64::new(1));
    write(&history, None, &world.far, next.fetch_add(1, Ordering::SeqCst), &last).await;
    let until = Instant::now() + ms(2500);
    let mut tasks = Vec::new();
    for through_node in [true, false] {
        let (world, history, last, next) = (world.clone(), history.clone(), last.clone(), next.clone());
        tasks.push(tokio::spawn(async move {
            while Instant::now() < until {
                let version = next.fetch_add(1, Ordering::SeqCst);
                write(&history, through_node.then_some(&*world.node), &world.far, version, &last).await;
                tokio::time::sleep(ms(3 + version * 31 % 40)).await;
            }
        }));
    }
    let answered = Arc::new(AtomicU64::new(0));
    for reader in 0..6 {
        let (world, history, freshness, answered) = (world.clone(), history.clone(), freshness.clone(), answered.clone());
        tasks.push(tokio::spawn(async move {
            while Instant::now() < until {
                let asked = Instant::now();
                let (how, window, what) = match reader % 3 {
                    0 => (Freshness::Current, Duration::ZERO, "current"),
                    _ => (Freshness::Cached, freshness.if_error, "cached"),
                };
                if let Ok(found) = world.read("k", how).await {
                    check(&history, &found.unwrap(), asked, window, what);
                    answered.fetch_add(1, Ordering::SeqCst);
                }
                tokio::time::sleep(ms(1)).await;
            }
        }));
    }
    let mut round = 0u64;
    while Instant::now() < until {
        round += 1;
        world.far.down.store(round.is_multiple_of(5), Ordering::SeqCst);
        world.far.breaking.store(round.is_multiple_of(3), Ordering::SeqCst);
        world.far.slow.store(if round.is_multiple_of(4) { 15 } else { 0 }, Ordering::SeqCst);
        tokio::time::sleep(ms(30)).await;
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert!(answered.load(Ordering::SeqCst) > 50);
    // Without faults the window is the short one.
    world.far.down.store(false, Ordering::SeqCst);
    world.far.breaking.store(false, Ordering::SeqCst);
    world.far.slow.store(0, Ordering::SeqCst);
    tokio::time::sleep(ms(1100)).await;
    for _ in 0..50 {
        write(&history, None, &world.far, next.fetch_add(1, Ordering::SeqCst), &last).await;
        let asked = Instant::now();
        let found = world.read("k", Freshness::Cached).await.unwrap().unwrap();
        check(&history, &found, asked, freshness.fresh + freshness.while_revalidate, "healthy");
        tokio::time::sleep(ms(7)).await;
    }
}
