//! Several nodes over one store, with every kind of write, foreign writers and kills: limits are never passed, and after a recount what
//! is counted is what a listing finds, with all the room that is left.

use super::recount::Recounted;
use super::*;
use crate::auth::grant::GatewayGrant;
use crate::base::error::ErrorKind;
use crate::base::object::Bucket;
use crate::base::object_ref::ObjectRef;
use crate::base::usage::Load;
use crate::base::versions::{VersionEntry, VersionsQuery};
use crate::local::Local;
use crate::local::tests::{bucket_name, make_bucket, object_key, put_of, settings, tenant};
use crate::ops::tally::shelf::Over;
use crate::origin::{Buckets as _, Delete, Freshness, PutObject, Reads as _, Writes as _};
use crate::queue::lease::{Posted, Reply};
use crate::telemetry::usage::Usage as Gauges;
use crate::upstream::counting::Share;
use crate::usage::Settings;

/// In memory.
#[derive(Default)]
struct Drawer(Mutex<BTreeMap<String, (u64, Vec<u8>)>>);

impl Shelf for Drawer {
    fn read<'a>(&'a self, name: &'a str) -> Reply<'a, Option<Posted>> {
        let found = self.0.lock().unwrap().get(name).map(|(mark, text)| Posted { mark: mark.to_string(), text: text.clone() });
        Box::pin(async move {
            tokio::task::yield_now().await;
            Ok(found)
        })
    }

    fn write<'a>(&'a self, name: &'a str, text: Vec<u8>, over: Over) -> Reply<'a, bool> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            let mut records = self.0.lock().unwrap();
            let there = records.get(name).map(|(mark, _)| *mark);
            let fits = match over {
                Over::Anything => true,
                Over::Nothing => there.is_none(),
                Over::This(mark) => there.is_some_and(|there| there.to_string() == mark),
            };
            if fits {
                records.insert(name.to_owned(), (there.unwrap_or(0) + 1, text));
            }
            Ok(fits)
        })
    }

    fn all<'a>(&'a self, folder: &'a str) -> Reply<'a, Vec<(String, Vec<u8>)>> {
        let records = self.0.lock().unwrap();
        let all = records.iter().filter_map(|(name, (_, text))| Some((name.strip_prefix(folder)?.to_owned(), text.clone()))).collect();
        Box::pin(std::future::ready(Ok(all)))
    }

    fn put_usage<'a>(&'a self, _: &'a str, _: &'a str, _: &'a [u8]) -> Reply<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}

struct Node {
    name: String,
    usage: Usage,
    tally: Tally,
    _dir: tempfile::TempDir,
}

struct World {
    local: Arc<Local>,
    shelf: Arc<Drawer>,
    limits: BucketLimits,
    nodes: Vec<Node>,
    _dir: tempfile::TempDir,
}

const MEDIA: &str = "media";
const SHARED: &str = "shared";

/// A write of a key: a body of so many bytes, or none any more.
#[derive(Debug, Clone)]
struct Write {
    owner: &'static str,
    bucket: &'static str,
    key: String,
    size: Option<usize>,
}

/// What happens on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Done,
    /// Nobody knows whether it was.
    Lost {
        landed: bool,
    },
    Killed {
        landed: bool,
    },
}

impl World {
    async fn new(count: usize, limits: &[(&str, Quota)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let local = Local::open(settings(dir.path())).unwrap();
        make_bucket(&local, MEDIA).await;
        let shared = Bucket { owner: TenantId::operator(), ..(*local.bucket(&bucket_name(MEDIA)).await.unwrap().unwrap()).clone() };
        local.create_bucket(Bucket { name: bucket_name(SHARED), ..shared }).await.unwrap();
        let limits = Arc::new(limits.iter().map(|(name, quota)| ((*name).to_owned(), *quota)).collect());
        let mut world = World { local, shelf: Arc::default(), limits, nodes: Vec::new(), _dir: dir };
        for n in 0..count {
            let dir = tempfile::tempdir().unwrap();
            let usage = Usage::open(Settings { dir: dir.path().join("usage"), ..Settings::default() }, Gauges::default()).unwrap();
            let name = format!("node{n}");
            let tally = world.open(&name, &usage).await;
            world.nodes.push(Node { name, usage, tally, _dir: dir });
        }
        world
    }

    async fn open(&self, name: &str, usage: &Usage) -> Tally {
        let (shelf, origin) = (self.shelf.clone(), Origin::of(self.local.clone()));
        Tally::open(name.to_owned(), usage.clone(), shelf, origin, self.limits.clone()).await.unwrap()
    }

    /// As `kill -9`, and a start.
    async fn kill(&mut self, n: usize) {
        // Nothing more comes from the one before.
        self.nodes[n].tally.books().state.turned = flows::Turned::default();
        let tally = self.open(&self.nodes[n].name, &self.nodes[n].usage).await;
        self.nodes[n].tally = tally;
    }

    async fn land(&self, write: &Write) {
        let (bucket, key) = (bucket_name(write.bucket), object_key(&write.key));
        match write.size {
            Some(size) => {
                let put = put_of(&self.local, write.bucket, &write.key, &vec![7; size]);
                self.local.put(PutObject { owner: tenant(write.owner), ..put }, Quota::default()).await.map(drop)
            }
            None => self.local.delete(ObjectRef::current(&bucket, &key), Delete::default()).await.map(drop),
        }
        .unwrap();
    }

    async fn change(&self, write: &Write) -> Change {
        let (bucket, key) = (bucket_name(write.bucket), object_key(&write.key));
        let there = self.local.stat(ObjectRef::current(&bucket, &key), Freshness::Current).await.unwrap();
        let goes = there.map(|object| Share { owner: object.owner.clone(), load: Load::object(object.size) });
        let comes = write.size.map(|size| Share { owner: tenant(write.owner), load: Load::object(size as u64) });
        Change { bucket, key, comes, goes, is_sure: true }
    }

    /// As the upstream does it.
    async fn write(&mut self, n: usize, write: &Write, quota: Quota, fate: Fate) -> Result<()> {
        let tally = self.nodes[n].tally.clone();
        let turn = tally.turn(&bucket_name(write.bucket), &object_key(&write.key)).await?;
        let change = self.change(write).await;
        let number = tally.expect(&change, quota).await?;
        if !matches!(fate, Fate::Lost { landed: false } | Fate::Killed { landed: false }) {
            self.land(write).await;
        }
        match fate {
            Fate::Done => tally.settle(number, End::Done(change)),
            Fate::Lost { .. } => tally.settle(number, End::Unknown),
            Fate::Killed { .. } => self.kill(n).await,
        }
        drop(turn);
        Ok(())
    }

    async fn truth(&self) -> BTreeMap<Spot, Net> {
        let mut found: BTreeMap<Spot, Net> = BTreeMap::new();
        for name in [MEDIA, SHARED] {
            let bucket = bucket_name(name);
            let page = self.local.list_versions(&bucket, &VersionsQuery { max: 10_000, ..VersionsQuery::default() }).await.unwrap();
            for entry in page.entries {
                let VersionEntry::Version(listed) = entry else { continue };
                let key = listed.object.key;
                let object = self.local.stat(ObjectRef::current(&bucket, &key), Freshness::Current).await.unwrap().unwrap();
                let sum = found.entry(Spot::of(&object.owner, &bucket, &key)).or_default();
                *sum = sum.plus(Net::of(Load::object(object.size)));
            }
        }
        found
    }

    async fn of(&self, scope: &Scope) -> Room {
        let truth = self.truth().await;
        Room::of(truth.iter().filter(|(spot, _)| scope.has(spot)).fold(Net::default(), |sum, (_, net)| sum.plus(*net)))
    }

    /// While the others go on telling.
    async fn recount(&self, n: usize) -> Recounted {
        let grant = GatewayGrant::for_test();
        let telling: Vec<_> =
            self.nodes.iter().map(|node| tokio::spawn(node.tally.clone().keep_telling(std::time::Duration::from_millis(20)))).collect();
        let counted = self.nodes[n].tally.recount(&grant, &|_| ()).await.unwrap();
        telling.iter().for_each(tokio::task::JoinHandle::abort);
        for node in &self.nodes {
            node.tally.tell().await.unwrap();
        }
        counted
    }

    /// Types are what there is, and so is each run that has a name.
    async fn check_levels(&self, n: usize) {
        let (levels, truth) = (self.levels(n).await, self.truth().await);
        let of_types = |nets: &BTreeMap<Spot, Net>| {
            let mut sums: BTreeMap<Spot, Net> = BTreeMap::new();
            for (spot, net) in nets {
                let sum = sums.entry(spot.of_type()).or_default();
                *sum = sum.plus(*net);
            }
            sums.retain(|_, net| *net != Net::default());
            sums
        };
        assert_eq!(of_types(&levels), of_types(&truth), "node {n}");
        for (spot, net) in levels.iter().filter(|(spot, _)| !spot.run.is_empty()) {
            assert_eq!(truth.get(spot), Some(net), "node {n}: {spot:?}");
        }
    }

    async fn runs(&self, n: usize) -> Vec<(String, u64)> {
        let query = StoredQuery { tenant: Some(tenant("acme")), by: StoredBy::Run, max: 100 };
        let page = self.nodes[n].tally.stored_now(query).await.unwrap();
        page.places.into_iter().map(|place| (place.run, place.amount.bytes)).collect()
    }

    async fn levels(&self, n: usize) -> BTreeMap<Spot, Net> {
        self.nodes[n].tally.look().await.unwrap();
        let mut levels = self.nodes[n].tally.levels();
        levels.retain(|_, net| *net != Net::default());
        levels
    }

    /// As many as there is room for.
    async fn fill(&mut self, n: usize, quota: Quota) {
        for number in 0..1000 {
            let one = Write { owner: "acme", bucket: MEDIA, key: format!("fill/{number}"), size: Some(1) };
            match self.write(n, &one, quota, Fate::Done).await {
                Ok(()) => {}
                Err(e) if e.kind() == ErrorKind::SlowDown => {
                    // Twice: what was not used meanwhile goes back.
                    for node in self.nodes.iter().chain(&self.nodes) {
                        node.tally.tell().await.unwrap();
                    }
                }
                Err(e) => {
                    assert_eq!(e.kind(), ErrorKind::QuotaExceeded);
                    return;
                }
            }
        }
        panic!("there is no end of it");
    }
}

fn random(state: &mut u64, n: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % n
}

fn any_write(state: &mut u64) -> Write {
    let (owner, bucket) = [("acme", MEDIA), ("acme", SHARED), ("bravo", SHARED)][random(state, 3) as usize];
    let artifact = ["image", "video", "none"][random(state, 3) as usize];
    let key = format!("{owner}/r{}/{artifact}/{}", random(state, 4), random(state, 3));
    let size = (random(state, 4) > 0).then(|| random(state, 400) as usize);
    Write { owner, bucket, key, size }
}

const ACME: Quota = Quota { bytes: Some(3000), objects: Some(14) };
const OF_SHARED: Quota = Quota { bytes: Some(2500), objects: Some(11) };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_model_of_all_writes_over_three_nodes() {
    let seed = std::env::var("TIDEGATE_TALLY_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(std::process::id() as u64);
    println!("TIDEGATE_TALLY_SEED={seed}");
    let mut state = seed;
    let mut world = World::new(3, &[(SHARED, OF_SHARED)]).await;
    let (acme, shared) = (Scope::Tenant("acme".into()), Scope::Bucket(SHARED.into()));
    let (mut done, mut refused) = (0, 0);
    for step in 0..400 {
        let n = random(&mut state, 3) as usize;
        let write = any_write(&mut state);
        let quota = if write.owner == "acme" { ACME } else { Quota::default() };
        let landed = random(&mut state, 2) == 0;
        let fate = match random(&mut state, 20) {
            0 => Fate::Lost { landed },
            1 => Fate::Killed { landed },
            _ => Fate::Done,
        };
        match random(&mut state, 24) {
            0..3 => world.nodes[n].tally.tell().await.unwrap(),
            3 if step % 3 == 0 => drop(world.recount(n).await),
            _ => match world.write(n, &write, quota, fate).await {
                Ok(()) => done += 1,
                Err(e) => {
                    assert!(matches!(e.kind(), ErrorKind::QuotaExceeded | ErrorKind::SlowDown), "step {step}: {e}");
                    refused += 1;
                }
            },
        }
        for (scope, limit) in [(&acme, ACME), (&shared, OF_SHARED)] {
            let there = world.of(scope).await;
            assert!(there.fits(room(limit)), "step {step}: {there:?} of {scope:?} is over {limit:?}");
        }
    }
    assert!(done > 50 && refused > 5, "{done} {refused}");
    // Somebody else writes beside the gateway.
    for (owner, key) in [("bravo", "bravo/r/image/foreign"), ("acme", "acme/r/video/foreign")] {
        world.land(&Write { owner, bucket: SHARED, key: key.into(), size: Some(123) }).await;
    }
    let counted = world.recount(0).await;
    assert!(counted.set_right >= 1, "{counted:?}");
    for n in 0..3 {
        world.check_levels(n).await;
        assert!(world.nodes[n].tally.books().state.doubts().is_empty(), "node {n}");
    }
    assert_eq!(world.recount(1).await.set_right, 0);
    // What was in doubt has given its room back, and so has whoever held more than he used.
    for n in [2, 0] {
        world.fill(n, ACME).await;
        let there = world.of(&acme).await;
        // One came beside the gateway.
        assert!((14..=15).contains(&there.objects) || (3000..=3123).contains(&there.bytes), "{there:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racers_at_the_last_object_and_byte_on_one_node_and_on_three() {
    for count in [1, 3] {
        let world = Arc::new(World::new(count, &[]).await);
        let quota = Quota { bytes: Some(40), objects: Some(10) };
        let mut racers = tokio::task::JoinSet::new();
        for n in 0..64 {
            let world = world.clone();
            racers.spawn(async move {
                let write = Write { owner: "acme", bucket: MEDIA, key: format!("{n}"), size: Some(if n % 2 == 0 { 4 } else { 5 }) };
                let tally = &world.nodes[n % count].tally;
                let change = world.change(&write).await;
                for _ in 0..20 {
                    match tally.expect(&change, quota).await {
                        Ok(number) => {
                            world.land(&write).await;
                            tally.settle(number, End::Done(change));
                            return 1_i64;
                        }
                        Err(e) if e.kind() == ErrorKind::SlowDown => tally.tell().await.unwrap(),
                        Err(e) => assert_eq!(e.kind(), ErrorKind::QuotaExceeded),
                    }
                }
                0
            });
        }
        let written: i64 = racers.join_all().await.into_iter().sum();
        let there = world.of(&Scope::Tenant("acme".into())).await;
        assert!(there.fits(room(quota)) && there.objects == written, "{count} nodes: {there:?} {written}");
        assert!(count > 1 || there.bytes > 35, "{there:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_had_not_told_when_it_died_is_counted_once() {
    let mut world = World::new(2, &[]).await;
    let write = |key: &str| Write { owner: "acme", bucket: MEDIA, key: key.into(), size: Some(100) };
    world.write(0, &write("told"), Quota::default(), Fate::Done).await.unwrap();
    world.nodes[0].tally.tell().await.unwrap();
    world.write(0, &write("not told"), Quota::default(), Fate::Done).await.unwrap();
    world.nodes[0].tally.kept().await.unwrap();
    // It does not run while another node counts.
    let counted = {
        let telling = tokio::spawn(world.nodes[1].tally.clone().keep_telling(std::time::Duration::from_millis(20)));
        let counted = world.nodes[1].tally.recount(&GatewayGrant::for_test(), &|_| ()).await.unwrap();
        telling.abort();
        counted
    };
    assert_eq!((counted.versions, counted.set_right), (2, 1));
    world.kill(0).await;
    for n in 0..2 {
        world.check_levels(n).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_are_told_apart_as_far_as_there_are_names_for_them() {
    let mut world = World::new(2, &[]).await;
    let write = |run: usize, size| Write { owner: "acme", bucket: MEDIA, key: format!("acme/r{run}/image/x"), size };
    for run in 0..8 {
        world.write(run % 2, &write(run, Some(100 + run)), Quota::default(), Fate::Done).await.unwrap();
    }
    // One beside the gateway.
    world.land(&write(8, Some(108))).await;
    let all = |runs: &[(String, u64)]| runs.iter().map(|(_, bytes)| bytes).sum::<u64>();
    for node in &world.nodes {
        node.tally.tell().await.unwrap();
    }
    // Each node names runs by itself, before somebody has counted.
    assert_eq!((world.runs(1).await.len(), all(&world.runs(1).await)), (8, 828));
    world.recount(0).await;
    let runs = world.runs(1).await;
    assert_eq!((runs.len(), all(&runs), &*runs[0].0), (6, 936, OTHER), "{runs:?}");
    world.check_levels(0).await;
    // A run that is gone leaves its name to another, whichever node deletes it.
    for run in 0..5 {
        world.write((run + 1) % 2, &write(run, None), Quota::default(), Fate::Done).await.unwrap();
    }
    world.recount(1).await;
    world.recount(0).await;
    let named: Vec<_> = (5..9).map(|run| (format!("r{run}"), 100 + run)).collect();
    for n in 0..2 {
        assert_eq!(world.runs(n).await, named);
        world.check_levels(n).await;
        // Nothing is left of the others.
        assert!(world.nodes[n].tally.books().state.flows.keys().all(|spot| spot.run.is_empty() || spot.run.as_str() >= "r5"));
    }
    world.kill(0).await;
    assert_eq!(world.runs(0).await, named);
    let long = Write { owner: "acme", bucket: MEDIA, key: format!("acme/{}/image/x", "r".repeat(65)), size: Some(1) };
    world.write(0, &long, Quota::default(), Fate::Done).await.unwrap();
    assert_eq!(world.runs(0).await[0], (OTHER.to_owned(), 1));
    let of_media = world.nodes[0].tally.usage_of_bucket(&bucket_name(MEDIA)).await.unwrap();
    assert_eq!(of_media, Some(Held { bytes: 105 + 106 + 107 + 108 + 1, objects: 5 }));
}
