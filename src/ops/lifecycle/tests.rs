//! Runs over the embedded store, by its index and by listings, with a clock of their own.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::base::lifecycle::day::Day;
use crate::base::lifecycle::evaluate::{Standing, Subject, first_due};
use crate::base::lifecycle::ready::{ConfiguredRule, Lifecycles};
use crate::base::lifecycle::{Configuration, Expiration, Filter, NoncurrentExpiration, TransitionMinimum, When};
use crate::base::names::UploadId;
use crate::base::object::{BucketDocument, CannedAcl, ObjectHeaders, Upload};
use crate::base::object_ref::{ObjectRef, VersionSelector};
use crate::base::tags::Tags;
use crate::base::versions::{VersionEntry, VersionsQuery};
use crate::local::tests::{bucket_name, delete, make_bucket, object_key, put, settings, tenant};
use crate::local::{Local, Settings as LocalSettings};
use crate::origin::{Buckets, Delete, DueIndex, Freshness, LastReads, Origin, Reads, Uploads, UploadsQuery, Writes};
use crate::queue::{Queue, Settings as QueueSettings};
use crate::variants::Variants;
use crate::variants::settings::Settings as VariantSettings;

/// Seconds of a day.
const DAY: u64 = 1000;

struct World {
    dir: tempfile::TempDir,
    local: Arc<Local>,
    ops: Ops,
    configured: Vec<ConfiguredRule>,
}

fn open(dir: &Path, configured: &[ConfiguredRule]) -> (Arc<Local>, Ops) {
    let lifecycles = Arc::new(Lifecycles::new(Day::Seconds(DAY), configured.to_vec()));
    let local = Local::open(LocalSettings { lifecycles: lifecycles.clone(), ..settings(dir) }).unwrap();
    let queue =
        Queue::open(QueueSettings { dir: dir.join(format!("queue{}", rand(&mut dir_seed(dir)))), ..QueueSettings::default() }).unwrap();
    let variants = Variants::start(VariantSettings { dir: dir.join("variants"), ..VariantSettings::default() }).unwrap();
    let origin = Origin { due: Some(local.clone()), last_reads: Some(local.clone()), ..Origin::of(local.clone()) };
    (local.clone(), Ops::new(origin, variants, queue).with_lifecycles(lifecycles))
}

/// Another queue each time: nobody asks for the one before.
fn dir_seed(dir: &Path) -> u64 {
    std::fs::read_dir(dir).map_or(1, |entries| entries.count() as u64 + 1)
}

fn rand(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (local, ops) = open(dir.path(), &[]);
        make_bucket(&local, "media").await;
        World { dir, local, ops, configured: Vec::new() }
    }

    /// As after a stop; without its index, if that is to be built anew.
    fn restart(&mut self, without_index: bool) {
        self.local.close();
        if without_index {
            std::fs::remove_dir_all(self.dir.path().join("data/index")).unwrap();
        }
        (self.local, self.ops) = open(self.dir.path(), &self.configured);
    }

    async fn set(&self, rules: &[Rule]) {
        let document = Configuration { rules: rules.to_vec(), minimum: TransitionMinimum::default() }.encode().unwrap();
        self.local.set_bucket_document(&bucket_name("media"), BucketDocument::Lifecycle, Some(document)).await.unwrap();
    }

    async fn put(&self, key: &str) -> Timestamp {
        put(&self.local, "media", key, key.as_bytes()).await.unwrap().object.modified
    }

    async fn run(&self, dry_run: bool, now: Timestamp) -> Report {
        self.ops.run_lifecycle(&GatewayGrant::for_test(), How { dry_run, now }, &|_, _| ()).await.unwrap()
    }

    async fn has(&self, key: &str) -> bool {
        let (bucket, key) = (bucket_name("media"), object_key(key));
        self.local.stat(ObjectRef::current(&bucket, &key), Freshness::Current).await.unwrap().is_some()
    }
}

/// What is written from here on is younger.
async fn tick(than: Timestamp) {
    while Timestamp::now() <= than {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn days(count: u64) -> Duration {
    Duration::from_secs(count * DAY)
}

fn rule(id: &str, prefix: &str, after: u32) -> Rule {
    Rule {
        id: id.into(),
        enabled: true,
        filter: Filter { prefix: Some(prefix.into()), ..Filter::default() },
        expiration: Some(Expiration::When(When::Days(after))),
        noncurrent: None,
        abort_uploads: None,
        transitions: Vec::new(),
        noncurrent_transitions: Vec::new(),
    }
}

#[tokio::test]
async fn what_is_due_goes_and_only_that_is_looked_at() {
    let world = World::new().await;
    for n in 0..200 {
        world.put(&format!("kept/{n}")).await;
    }
    world.set(&[rule("old", "tmp/", 2)]).await;
    // Of before the rules, and of after them.
    let now = world.put("tmp/a").await;
    let last = world.put("tmp/b").await;
    let early = world.run(false, now.plus(days(2) - Duration::from_secs(1))).await;
    assert_eq!((early.looked_at, early.total.all()), (0, 0));
    let dry = world.run(true, last.plus(days(2))).await;
    assert_eq!((dry.looked_at, dry.total.objects, dry.total.bytes, dry.complete), (2, 2, 10, true));
    assert_eq!((dry.rules[0].bucket.as_str(), dry.rules[0].rule.as_str()), ("media", "old"));
    assert!(world.has("tmp/a").await, "nothing was changed");
    let report = world.run(false, last.plus(days(2))).await;
    assert_eq!(Report { dry_run: true, started: String::new(), finished: String::new(), ..report.clone() }.total, dry.total);
    assert_eq!((report.looked_at, report.total.objects), (2, 2));
    assert!(!world.has("tmp/a").await && !world.has("tmp/b").await && world.has("kept/7").await);
    let again = world.run(false, last.plus(days(3))).await;
    assert_eq!((again.looked_at, again.total.all()), (0, 0), "and no row is left");
}

#[tokio::test]
async fn what_was_written_before_the_rules_is_found() {
    let world = World::new().await;
    let now = world.put("tmp/a").await;
    world.set(&[rule("old", "tmp/", 1)]).await;
    assert_eq!(world.run(false, now.plus(days(1))).await.total.objects, 1);
    // Rules that came later count for what is there, and those that are gone do not.
    let now = world.put("tmp/b").await;
    world.set(&[rule("old", "other/", 1)]).await;
    assert_eq!(world.run(false, now.plus(days(1))).await.total.objects, 0);
    assert!(world.has("tmp/b").await);
}

#[tokio::test]
async fn an_object_that_is_written_anew_has_its_whole_time() {
    let world = World::new().await;
    world.set(&[rule("old", "", 1)]).await;
    let first = world.put("a").await;
    tick(first).await;
    let second = world.put("a").await;
    let report = world.run(false, Timestamp::from_millis(second.plus(days(1)).millis() - 1)).await;
    assert_eq!((report.total.objects, world.has("a").await), (0, true));
    assert_eq!(world.run(false, second.plus(days(1))).await.total.objects, 1);
}

#[tokio::test]
async fn tags_choose() {
    let world = World::new().await;
    let tagged = Rule { filter: Filter { tags: vec![("state".into(), "draft".into())], ..Filter::default() }, ..rule("drafts", "", 1) };
    world.set(&[tagged]).await;
    let now = world.put("a").await;
    world.put("b").await;
    assert_eq!(world.run(false, now.plus(days(2))).await.looked_at, 0, "none has tags");
    let (bucket, key) = (bucket_name("media"), object_key("a"));
    world.local.set_tags(ObjectRef::current(&bucket, &key), Tags::parse("state=draft&x=y").unwrap()).await.unwrap();
    let report = world.run(false, now.plus(days(2))).await;
    assert_eq!((report.looked_at, report.total.objects), (1, 1));
    assert!(!world.has("a").await && world.has("b").await);
}

#[tokio::test]
async fn uploads_are_aborted() {
    let world = World::new().await;
    let aborts = Rule { abort_uploads: Some(1), expiration: None, ..rule("uploads", "up/", 1) };
    world.set(&[aborts]).await;
    let begun = Timestamp::now();
    for key in ["up/a", "other"] {
        let upload = Upload {
            id: UploadId::parse(&format!("id-of-{}", key.replace('/', "-"))).unwrap(),
            bucket: bucket_name("media"),
            key: object_key(key),
            owner: tenant("acme"),
            initiated: begun,
            acl: CannedAcl::Private.into(),
            headers: ObjectHeaders::default(),
            checksum: None,
            lock: Default::default(),
            tags: Default::default(),
            encryption: None,
            initiator: None,
        };
        world.local.create_upload(upload).await.unwrap();
    }
    assert_eq!(world.run(false, begun).await.total.uploads, 0);
    assert_eq!(world.run(false, begun.plus(days(1))).await.total.uploads, 1);
    let query = UploadsQuery { max: 10, ..UploadsQuery::default() };
    let left = world.local.uploads(&bucket_name("media"), &query).await.unwrap().uploads;
    assert_eq!(left.iter().map(|upload| upload.key.as_str()).collect::<Vec<_>>(), ["other"]);
}

/// Without an index of what is due: as over an S3.
#[tokio::test]
async fn by_listings_the_same_goes() {
    let mut world = World::new().await;
    world.ops.origin.due = None;
    let now = world.put("tmp/a").await;
    world.put("kept").await;
    world.set(&[rule("old", "tmp/", 1)]).await;
    assert_eq!(world.run(false, now).await.total.all(), 0);
    let dry = world.run(true, now.plus(days(1))).await;
    let done = world.run(false, now.plus(days(1))).await;
    assert_eq!((dry.total.objects, done.total, done.looked_at), (1, dry.total, 2));
    assert!(!world.has("tmp/a").await && world.has("kept").await);
    assert_eq!(world.run(false, now.plus(days(9))).await.total.all(), 0);
}

#[tokio::test]
async fn what_changed_since_it_was_found_keeps_its_hint() {
    let world = World::new().await;
    world.set(&[Rule { expiration: Some(Expiration::When(When::Date(Timestamp::from_secs(86_400)))), ..rule("date", "", 1) }]).await;
    while world.local.look_through(100).await.unwrap() {}
    world.put("a").await;
    let found = world.local.due(Timestamp::now(), b"", 10).await.unwrap().keys;
    assert_eq!(found.len(), 1);
    // At the same time of the same rule, and another version.
    world.put("a").await;
    world.local.looked_at(found.into_iter().map(|key| (key, None)).collect()).await.unwrap();
    assert_eq!(world.local.due(Timestamp::now(), b"", 10).await.unwrap().keys.len(), 1);
    assert_eq!(world.run(false, Timestamp::now()).await.total.objects, 1);
    assert!(world.local.due(Timestamp::now(), b"", 10).await.unwrap().keys.is_empty());
}

/// Writes, deletes, other rules, runs at any time, restarts and the loss of the index, against a map and the evaluator.
#[tokio::test]
async fn after_a_run_there_is_what_no_rule_let_go() {
    const VARIABLE: &str = "TIDEGATE_LIFECYCLE_SEED";
    let seed = std::env::var(VARIABLE).ok().and_then(|s| s.parse().ok()).unwrap_or_else(|| Timestamp::now().millis());
    println!("{VARIABLE}={seed}");
    let (mut state, mut world) = (seed, World::new().await);
    let (mut there, mut rules): (BTreeMap<String, Timestamp>, Vec<Rule>) = Default::default();
    for _ in 0..150 {
        let key = format!("{}/{}", ["a", "b", "c"][rand(&mut state) as usize % 3], rand(&mut state) % 5);
        match rand(&mut state) % 10 {
            0..=4 => drop(there.insert(key.clone(), world.put(&key).await)),
            5 => assert_eq!(delete(&world.local, "media", &key).await.unwrap(), there.remove(&key).is_some()),
            6 => {
                let count = rand(&mut state) % 3 + 1;
                rules = (0..count)
                    .map(|n| rule(&n.to_string(), ["a/", "b", "c/1", ""][rand(&mut state) as usize % 4], rand(&mut state) as u32 % 4 + 1))
                    .collect();
                world.set(&rules).await;
            }
            7 => world.restart(rand(&mut state).is_multiple_of(2)),
            _ => {
                let now = Timestamp::now().plus(Duration::from_secs(rand(&mut state) % (5 * DAY)));
                let report = world.run(false, now).await;
                let before = there.len();
                there.retain(|key, modified| {
                    let standing = Standing::Current { modified: *modified };
                    let subject = Subject { key, size: key.len() as u64, tags: None, read: None, standing };
                    first_due(rules.iter(), &subject, Day::Seconds(DAY)).is_none_or(|due| due.at > now)
                });
                assert_eq!(report.total.objects as usize, before - there.len());
                assert_eq!((report.failed, report.held.changed), (0, 0));
            }
        }
        let mut listed = Vec::new();
        for prefix in ["a", "b", "c"] {
            for n in 0..5 {
                let key = format!("{prefix}/{n}");
                if world.has(&key).await {
                    listed.push(key);
                }
            }
        }
        assert_eq!(listed, there.keys().cloned().collect::<Vec<_>>());
    }
}

// What nobody reads

/// With this rule of gateway.toml alone, and reads noted from `now` on.
async fn unread(world: &mut World, after: Option<u32>, now: Timestamp) {
    let unread = |after| Rule { expiration: Some(Expiration::Unread(after)), ..rule("cold", "", after) };
    world.configured = after.map(|after| ConfiguredRule { buckets: None, rule: unread(after) }).into_iter().collect();
    world.restart(false);
    let log = reads::ReadLog::start(&world.ops.origin, &world.ops.lifecycles, now).await.unwrap();
    world.ops = world.ops.clone().with_read_log(log);
}

impl World {
    fn read(&self, key: &str, now: Timestamp) {
        self.ops.read_log.as_ref().unwrap().note(&bucket_name("media"), &object_key(key), now);
    }

    async fn keep(&self, now: Timestamp) {
        self.ops.read_log.as_ref().unwrap().keep(now).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_read_stays_and_what_nobody_reads_goes() {
    let mut world = World::new().await;
    let begun = world.put("read").await;
    world.put("cold").await;
    unread(&mut world, Some(2), begun).await;
    let read = begun.plus(days(1));
    world.read("read", read);
    let due = begun.plus(days(2)).plus(Duration::from_secs(9));
    // Also before it is durable.
    let dry = world.run(true, due).await;
    assert_eq!((dry.total.objects, dry.held.read, dry.rules[0].rule.as_str()), (1, 1, "cold"));
    world.keep(read).await;
    let done = world.run(false, due).await;
    assert_eq!((done.total, done.held.read, world.has("read").await, world.has("cold").await), (dry.total, 1, true, false));
    // Not before the day of the read and two more are over; and it is not looked at before.
    let end = Day::Seconds(DAY).end_of(read).plus(days(2));
    let early = world.run(false, Timestamp::from_millis(end.millis() - 1)).await;
    assert_eq!((early.looked_at, early.total.all()), (0, 0));
    assert_eq!(world.run(false, end).await.total.objects, 1);
}

/// What was read where nobody noted it.
#[tokio::test]
async fn where_it_is_not_known_it_counts_from_when_reads_are_noted() {
    let mut world = World::new().await;
    let written = world.put("a").await;
    let begun = written.plus(days(50));
    unread(&mut world, Some(2), begun).await;
    assert_eq!(world.run(false, Timestamp::from_millis(begun.plus(days(2)).millis() - 1)).await.total.all(), 0);
    // A short stop is none of that, a long one is.
    unread(&mut world, Some(2), Timestamp::from_millis(begun.plus(days(1)).millis() - 1)).await;
    assert_eq!(world.run(true, begun.plus(days(2))).await.total.objects, 1);
    let again = begun.plus(days(3));
    unread(&mut world, Some(2), again).await;
    assert_eq!(world.run(true, begun.plus(days(4))).await.total.objects, 0);
    // Nor are rules that were away for a moment.
    unread(&mut world, None, again).await;
    let last = again.plus(Duration::from_secs(1));
    unread(&mut world, Some(2), last).await;
    assert_eq!(world.run(true, again.plus(days(2))).await.total.objects, 0);
    assert_eq!(world.run(false, last.plus(days(2))).await.total.objects, 1);
}

#[tokio::test]
async fn what_does_not_matter_any_more_is_forgotten() {
    let mut world = World::new().await;
    let begun = world.put("a").await;
    unread(&mut world, Some(2), begun).await;
    world.read("a", begun);
    world.keep(begun).await;
    let (bucket, key) = (bucket_name("media"), object_key("a"));
    let until = Day::Seconds(DAY).end_of(begun);
    let last = async |world: &World| world.local.last_read(&bucket, &key).await.unwrap();
    assert_eq!(last(&world).await, Some(until));
    assert_eq!(world.local.forget_reads(until, b"", 10).await.unwrap(), None);
    assert_eq!(last(&world).await, Some(until));
    assert_eq!(world.local.forget_reads(Timestamp::from_millis(until.millis() + 1), b"", 10).await.unwrap(), None);
    assert_eq!(last(&world).await, None);
}

/// Writes, reads, runs at any time, restarts and the loss of the index, against a map of what was read when.
#[tokio::test]
async fn nothing_goes_that_was_read_not_long_ago() {
    const VARIABLE: &str = "TIDEGATE_READS_SEED";
    const AFTER: u32 = 3;
    let seed = std::env::var(VARIABLE).ok().and_then(|s| s.parse().ok()).unwrap_or_else(|| Timestamp::now().millis());
    println!("{VARIABLE}={seed}");
    let (mut state, mut world) = (seed, World::new().await);
    let begun = Timestamp::now();
    unread(&mut world, Some(AFTER), begun).await;
    // When each was written, and until when its key may have been read. The clock of reads and runs goes ahead of that of writes.
    let (mut there, mut read, mut now): (BTreeMap<String, Timestamp>, BTreeMap<String, Timestamp>, _) = Default::default();
    now = begun.max(now);
    for _ in 0..200 {
        let key = format!("{}", rand(&mut state) % 8);
        now = now.plus(Duration::from_secs(rand(&mut state) % (DAY / 2)));
        match rand(&mut state) % 10 {
            0..=2 => {
                let modified = world.put(&key).await;
                there.insert(key, modified);
            }
            3..=6 => {
                world.read(&key, now);
                read.insert(key, Day::Seconds(DAY).end_of(now));
            }
            7 => {
                world.ops.read_log.as_ref().unwrap().end(now).await.unwrap();
                world.restart(rand(&mut state).is_multiple_of(2));
                unread(&mut world, Some(AFTER), now).await;
            }
            _ => {
                let report = world.run(false, now).await;
                let before = there.len();
                there.retain(|key, modified| {
                    let since = begun.max(*modified).max(read.get(key).copied().unwrap_or_default());
                    since.plus(days(u64::from(AFTER))) > now
                });
                assert_eq!((report.total.objects as usize, report.failed), (before - there.len(), 0));
            }
        }
        for key in there.keys() {
            assert!(world.has(key).await, "{key} went too early");
        }
    }
}

// Buckets that keep versions

impl World {
    async fn versioned() -> Self {
        let world = World::new().await;
        world.local.set_bucket_document(&bucket_name("media"), BucketDocument::Versioning, Some(b"Enabled".to_vec())).await.unwrap();
        world
    }

    /// Versions and markers of a key, the newest first.
    async fn versions(&self, key: &str) -> String {
        let query = VersionsQuery { prefix: key.into(), max: 1000, ..VersionsQuery::default() };
        let page = self.local.list_versions(&bucket_name("media"), &query).await.unwrap();
        page.entries.iter().map(|entry| if matches!(entry, VersionEntry::Marker(_)) { 'm' } else { 'v' }).collect()
    }
}

fn noncurrent(id: &str, days: u32, keep: Option<u32>) -> Rule {
    Rule { expiration: None, noncurrent: Some(NoncurrentExpiration { days, keep }), ..rule(id, "", 1) }
}

#[tokio::test]
async fn an_expired_object_is_hidden_and_its_versions_go_after_it() {
    let world = World::versioned().await;
    world.set(&[rule("old", "", 1), noncurrent("older", 1, None)]).await;
    world.put("a").await;
    let now = world.put("a").await;
    assert_eq!(world.versions("a").await, "vv");
    assert_eq!(world.run(false, now).await.total.all(), 0);
    tick(now).await;
    // The version before goes, and the newest is hidden.
    let report = world.run(false, now.plus(days(1))).await;
    assert_eq!((report.total.hidden, report.total.versions), (1, 1));
    assert_eq!(world.versions("a").await, "mv");
    // That one is noncurrent since the marker was made; the marker is alone then, and has its days behind it.
    let later = Timestamp::now();
    assert_eq!(world.run(false, later).await.total.all(), 0);
    let report = world.run(false, later.plus(days(1))).await;
    assert_eq!((report.total.versions, report.total.markers), (1, 1));
    assert_eq!(world.versions("a").await, "");
    // Whoever sees a version go looks at its key once more.
    assert_eq!(world.run(false, later.plus(days(9))).await.total.all(), 0);
    assert_eq!(world.run(false, later.plus(days(9))).await.looked_at, 0);
}

#[tokio::test]
async fn a_marker_over_versions_stays_and_one_alone_goes() {
    let world = World::versioned().await;
    let markers = Rule { expiration: Some(Expiration::SoleMarkers(true)), ..rule("markers", "", 1) };
    world.set(&[markers]).await;
    world.put("a").await;
    delete(&world.local, "media", "a").await.unwrap();
    delete(&world.local, "media", "never").await.unwrap();
    let now = Timestamp::now();
    assert_eq!(world.run(true, now).await.total.markers, 1);
    assert_eq!(world.run(false, now).await.total.markers, 1);
    assert_eq!((world.versions("a").await, world.versions("never").await), ("mv".into(), String::new()));
    // Its version is deleted by hand.
    let query = VersionsQuery { prefix: "a".into(), max: 10, ..VersionsQuery::default() };
    let page = world.local.list_versions(&bucket_name("media"), &query).await.unwrap();
    let Some(VersionEntry::Version(version)) = page.entries.last() else { panic!("{page:?}") };
    let of =
        ObjectRef { bucket: &bucket_name("media"), key: &object_key("a"), version: VersionSelector::Exact(&version.version), unlock: None };
    world.local.delete(of, Delete::default()).await.unwrap();
    assert_eq!(world.run(false, Timestamp::now()).await.total.markers, 1);
    assert_eq!(world.versions("a").await, "");
}

#[tokio::test]
async fn so_many_noncurrent_versions_stay() {
    let world = World::versioned().await;
    world.set(&[noncurrent("few", 1, Some(2))]).await;
    let mut now = Timestamp::now();
    for _ in 0..5 {
        now = world.put("a").await;
    }
    assert_eq!(world.run(false, now).await.total.versions, 0, "none is old enough");
    assert_eq!(world.run(false, now.plus(days(1))).await.total.versions, 2);
    assert_eq!(world.versions("a").await, "vvv");
    // Another one, and the oldest is one too many: its day has passed long ago.
    world.put("a").await;
    assert_eq!(world.run(false, now.plus(days(1))).await.total.versions, 1);
    assert_eq!(world.versions("a").await, "vvv");
}

#[tokio::test]
async fn versions_of_before_the_rules_are_found_also_without_an_index() {
    let mut world = World::versioned().await;
    world.put("a").await;
    let now = world.put("a").await;
    world.set(&[noncurrent("old", 1, None)]).await;
    world.restart(true);
    assert_eq!(world.run(false, now.plus(days(1))).await.total.versions, 1);
    assert_eq!(world.versions("a").await, "v");
}
