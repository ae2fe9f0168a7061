//! Figures of the embedded store: durable PUTs, hot look-ups, listing, start and rebuild at a million objects.
//!
//!   cargo bench --bench store [-- put | pages | versions | due | million [ROWS]]
//!
//! Prints what it measured; asserts nothing.

#![allow(clippy::expect_used, clippy::panic, clippy::unreachable, clippy::unwrap_used, reason = "a bench that panics has failed")]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sha2::Digest as _;
use tidegate::base::conditions::WriteConditions;
use tidegate::base::digest::{Md5, Sha256, VerifiedSha256};
use tidegate::base::etag::ETag;
use tidegate::base::fields::Fields;
use tidegate::base::lock::Lock;
use tidegate::base::names::{BucketName, ObjectKey, TenantId};
use tidegate::base::object::{Bucket, BucketDocument, CannedAcl, ListQuery, ObjectHeaders};
use tidegate::base::object_ref::{ObjectRef, VersionId};
use tidegate::base::range::ByteRange;
use tidegate::base::tags::Tags;
use tidegate::base::timestamp::Timestamp;
use tidegate::base::versions::VersionsQuery;
use tidegate::ingest::{Content, Received};
use tidegate::journal::{Journal, OpRef};
use tidegate::local::rows::{BodyPlace, ObjectHead, ObjectRow, ObjectTail, Standing, Table, VersionRow, key};
use tidegate::local::scope::KeyId;
use tidegate::local::stored;
use tidegate::local::{Local, Settings};
use tidegate::origin::{Buckets, DueIndex, Freshness, Intake, PutObject, Quota, ReadBy, Reads, Writes};

/// As the binary has it: figures of memory are those of this allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let what = args.first().map_or("all", String::as_str);
    let rows = args.get(1).and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    if let ("current", Some(dir)) = (what, args.get(1)) {
        return current(Path::new(dir), args.get(2).and_then(|n| n.parse().ok()).unwrap_or(1_000_000));
    }
    if matches!(what, "all" | "put") {
        puts();
    }
    if matches!(what, "all" | "pages") {
        pages();
    }
    if matches!(what, "all" | "versions") {
        [(1000, 1), (1_000_000, 1), (1, 1000), (1000, 1000)].into_iter().for_each(|(keys, each)| versions(keys, each));
    }
    if matches!(what, "all" | "due") {
        due();
    }
    if matches!(what, "all" | "million") {
        million(rows);
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

fn open(dir: &Path) -> Arc<Local> {
    Local::open(Settings { dir: dir.join("data"), ..Settings::default() }).expect("the store opens")
}

fn name() -> BucketName {
    BucketName::parse("bench").expect("a name")
}

fn acme() -> TenantId {
    TenantId::parse("acme").expect("a name")
}

fn bucket() -> Bucket {
    Bucket {
        name: name(),
        owner: acme(),
        created: Timestamp::now(),
        acl: CannedAcl::Private.into(),
        documents: Default::default(),
        generation: 1,
        unknown: Default::default(),
    }
}

/// A body that is like no other, its hashes made up: hashing is ingest's work.
fn put_of(local: &Local, n: u64, size: usize, as_file: bool) -> PutObject {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&n.to_le_bytes());
    digest[8..16].copy_from_slice(&(size as u64).to_le_bytes());
    digest[16] = as_file.into();
    let body = vec![n as u8; size];
    let content = if as_file {
        let mut file = local.staging(&acme()).create().expect("a file");
        file.append(&body).expect("written");
        file.file().sync_data().expect("synced");
        Content::File(file)
    } else {
        Content::Memory(Bytes::from(body))
    };
    PutObject {
        bucket: name(),
        key: ObjectKey::parse(&format!("{size}/{as_file}/{n:012}")).expect("a key"),
        owner: acme(),
        acl: CannedAcl::Private.into(),
        headers: ObjectHeaders { content_type: "image/png".into(), ..ObjectHeaders::default() },
        tags: Tags::default(),
        encryption: None,
        lock: Lock::default(),
        conditions: WriteConditions::default(),
        received: Received {
            size: size as u64,
            md5: Some(Md5([n as u8; 16])),
            sha256: VerifiedSha256::proven(Sha256(digest)),
            checksum: None,
            content,
        },
    }
}

fn puts() {
    let dir = tempfile::tempdir_in(".").expect("a folder");
    let runtime = runtime();
    let local = open(dir.path());
    runtime.block_on(local.create_bucket(bucket())).expect("a bucket");
    for (size, as_file) in [(4096, false), (4096, true), (16384, false), (65536, false), (65536, true), (1 << 20, true)] {
        let count = Arc::new(AtomicU64::new(0));
        let started = Instant::now();
        runtime.block_on(async {
            let writers: Vec<_> = (0..64)
                .map(|_| {
                    let (local, count) = (local.clone(), count.clone());
                    tokio::spawn(async move {
                        while started.elapsed() < Duration::from_secs(3) {
                            let n = count.fetch_add(1, Ordering::Relaxed);
                            let l = local.clone();
                            let put = tokio::task::spawn_blocking(move || put_of(&l, n, size, as_file)).await.expect("a body");
                            local.put(put, Quota::default()).await.expect("stored");
                        }
                    })
                })
                .collect();
            for writer in writers {
                writer.await.expect("a writer");
            }
        });
        let rate = count.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64();
        println!("put {:>7} B {:6} 64 writers: {rate:8.0}/s", size, if as_file { "file" } else { "inline" });
    }
    hot(&runtime, &local);
    local.close();
}

fn hot(runtime: &tokio::runtime::Runtime, local: &Arc<Local>) {
    let key = ObjectKey::parse(&format!("4096/false/{:012}", 5)).expect("a key");
    let range = ByteRange { start: 0, end: 4096 };
    let object = runtime.block_on(async {
        let object = local.stat(ObjectRef::current(&name(), &key), Freshness::Current).await.expect("stat").expect("there");
        for _ in 0..3 {
            local.open(ObjectRef::current(&name(), &key), &object, range, ReadBy::Kernel).await.expect("opens");
        }
        object
    });
    let rounds = 2_000_000u32;
    let started = Instant::now();
    for _ in 0..rounds {
        black_box(local.stat_hot(black_box(ObjectRef::current(&name_of(), &key)), Freshness::Current));
    }
    println!("stat_hot: {:.0} ns", started.elapsed().as_nanos() as f64 / f64::from(rounds));
    let started = Instant::now();
    for _ in 0..rounds {
        black_box(local.open_hot(black_box(ObjectRef::current(&name_of(), &key)), &object, range, ReadBy::Kernel).is_some());
    }
    println!("open_hot 4 KiB: {:.0} ns", started.elapsed().as_nanos() as f64 / f64::from(rounds));
}

/// Cloning the name is what a caller pays anyway.
fn name_of() -> BucketName {
    thread_local!(static NAME: BucketName = name());
    NAME.with(Clone::clone)
}

fn million(rows: u64) {
    let dir = tempfile::tempdir_in(".").expect("a folder");
    drop(open(dir.path()));
    write_journal(dir.path(), rows);
    std::fs::remove_dir_all(dir.path().join("data/index")).expect("the index goes");
    timed(dir.path(), "rebuild", rows).close();
    // In a process of its own: the memory of a rebuild is not that of a server that was just started.
    let program = std::env::current_exe().expect("a program");
    let status = std::process::Command::new(program).arg("current").arg(dir.path()).arg(rows.to_string()).status();
    assert!(status.expect("it runs").success());
}

/// A page must cost the same however many keys there are.
fn pages() {
    let runtime = runtime();
    for rows in [1_000, 10_000, 100_000, 1_000_000] {
        let dir = tempfile::tempdir_in(".").expect("a folder");
        drop(open(dir.path()));
        write_journal(dir.path(), rows);
        let local = open(dir.path());
        let keys = ListQuery { max: 1000, ..ListQuery::default() };
        let folders = ListQuery { prefix: "k/".into(), delimiter: "/".into(), max: 1000, ..ListQuery::default() };
        let (keys, folders) = (page(&runtime, &local, &keys), page(&runtime, &local, &folders));
        println!("at {rows:>7} keys: page of {} keys {:.2} ms; page of {} common prefixes {:.2} ms", keys.0, keys.1, folders.0, folders.1);
        local.close();
    }
}

/// Rules for all, by which a thousandth is due: to find that must cost the same however many keys there are.
fn due() {
    const RULES: &str = r#"{"version":1,"transition_minimum":"all_storage_classes_128K","rules":[{"id":"all","enabled":true,"expires":{"days":365}},{"id":"few","enabled":true,"prefix":"k/500/","expires":{"days":1}}]}"#;
    let runtime = runtime();
    for rows in [1_000, 10_000, 100_000, 1_000_000] {
        let dir = tempfile::tempdir_in(".").expect("a folder");
        drop(open(dir.path()));
        write_journal(dir.path(), rows);
        let local = open(dir.path());
        let document = Some(RULES.as_bytes().to_vec());
        runtime.block_on(local.set_bucket_document(&name(), BucketDocument::Lifecycle, document)).expect("rules");
        let started = Instant::now();
        while runtime.block_on(local.look_through(2000)).expect("a step") {}
        let through = started.elapsed().as_secs_f64();
        let by = Timestamp::now().plus(Duration::from_secs(3 * 24 * 3600));
        let started = Instant::now();
        let found = runtime.block_on(local.due(by, b"", 2000)).expect("what is due").keys.len();
        let found_in = started.elapsed().as_secs_f64() * 1000.0;
        println!(
            "at {rows:>7} keys: looked through once, by other rules, in {through:.2} s; {found} that are due found in {found_in:.2} ms"
        );
        local.close();
    }
}

/// Pages of versions, from the middle of the bucket: of so many keys with so many versions each.
fn versions(keys: u64, each: u64) {
    let dir = tempfile::tempdir_in(".").expect("a folder");
    drop(open(dir.path()));
    write_versions(dir.path(), keys, each);
    let (local, runtime) = (open(dir.path()), runtime());
    let measured = |query: &VersionsQuery| median(|| runtime.block_on(local.list_versions(&name(), query)).expect("a page").entries.len());
    let key_marker = versioned(keys / 2).as_str().to_owned();
    let middle = VersionId::parse(&format!("{:012x}{:016x}", WRITTEN, keys / 2 * each + each / 2 + 1)).expect("an id");
    let page = measured(&VersionsQuery { key_marker, version_marker: Some(middle), max: 1000, ..VersionsQuery::default() });
    let folders = measured(&VersionsQuery { prefix: "k/".into(), delimiter: "/".into(), max: 1000, ..VersionsQuery::default() });
    println!(
        "{keys:>7} keys with {each:>4} versions: page of {} {:.2} ms; page of {} common prefixes {:.2} ms",
        page.0, page.1, folders.0, folders.1
    );
    local.close();
}

/// When all of them were written, in milliseconds.
const WRITTEN: u64 = 1_800_000_000_000;

fn versioned(n: u64) -> ObjectKey {
    ObjectKey::parse(&format!("k/{:03}/{n:012}", n % 1000)).expect("a key")
}

/// A journal of keys whose versions follow each other, all of them without bytes.
fn write_versions(dir: &Path, keys: u64, each: u64) {
    let settings = Settings { dir: dir.join("data"), ..Settings::default() };
    let (mut journal, _) = Journal::open(settings.journal()).expect("a journal");
    let mut kept = bucket();
    kept.documents.insert(BucketDocument::Versioning, b"Enabled".to_vec());
    let mut rows = vec![(Table::Buckets, key::bucket(&name()), stored::encode(&kept).expect("encodes"))];
    let mut write = |rows: &mut Vec<(Table, Vec<u8>, Vec<u8>)>| {
        let encode = |_: &[_]| {
            let mut out = Vec::new();
            for (table, key, value) in rows.iter() {
                assert!(OpRef { table: (*table).into(), key, value: Some(value) }.encode(&mut out));
            }
            Ok(out)
        };
        journal.append(&[], &mut { encode }).expect("appended");
        rows.clear();
    };
    for n in 0..keys * each {
        let (object, is_newest) = (versioned(n / each), (n + 1) % each == 0);
        let mut row = object_row(n, BodyPlace::Empty);
        (row.head.size, row.head.modified, row.tail.sha256) = (0, Timestamp::from_millis(WRITTEN), None);
        row.tail.standing = Standing { named: true, noncurrent_since: (!is_newest).then_some(row.head.modified) };
        rows.push(match is_newest {
            true => (Table::Objects, key::object(&name(), &object), stored::encode(&row).expect("encodes")),
            false => {
                let row_key = key::version(&name(), &object, row.tail.generation);
                (Table::Versions, row_key, stored::encode(&VersionRow::Object(Arc::new(row))).expect("encodes"))
            }
        });
        if rows.len() >= 1000 {
            write(&mut rows);
        }
    }
    write(&mut rows);
}

/// Entries, and milliseconds: the median of a few times.
fn page(runtime: &tokio::runtime::Runtime, local: &Local, query: &ListQuery) -> (usize, f64) {
    median(|| runtime.block_on(local.list(&name(), query)).expect("a page").entries.len())
}

fn median(mut entries: impl FnMut() -> usize) -> (usize, f64) {
    let mut times: Vec<(f64, usize)> = (0..41)
        .map(|_| {
            let started = Instant::now();
            let entries = entries();
            (started.elapsed().as_secs_f64() * 1000.0, entries)
        })
        .collect();
    times.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (milliseconds, entries) = times[times.len() / 2];
    (entries, milliseconds)
}

fn timed(dir: &Path, what: &str, rows: u64) -> Arc<Local> {
    let started = Instant::now();
    let local = open(dir);
    let wall = started.elapsed().as_secs_f64();
    println!("{what} at {rows} objects: {wall:.2} s ({:.2} s of CPU), RssAnon {} MiB", cpu_seconds(), rss_anon());
    local
}

/// What a server does with an index of so many objects that is up to date.
fn current(dir: &Path, rows: u64) {
    let local = timed(dir, "open, index current", rows);
    let runtime = runtime();
    let after = format!("k/{:03}/{:012}", 500, rows / 2);
    println!("page of 1000: {:.2} ms", page(&runtime, &local, &ListQuery { after, max: 1000, ..ListQuery::default() }).1);
    let folders = ListQuery { prefix: "k/".into(), delimiter: "/".into(), max: 1000, ..ListQuery::default() };
    println!("1000 common prefixes: {:.2} ms", page(&runtime, &local, &folders).1);
    let started = Instant::now();
    let random = (0..100_000u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) % rows);
    runtime.block_on(async {
        for n in random {
            let key = ObjectKey::parse(&format!("k/{:03}/{n:012}", n % 1000)).expect("a key");
            assert!(local.stat(ObjectRef::current(&name(), &key), Freshness::Current).await.expect("stat").is_some());
        }
    });
    println!("cold stat: {:.1} us; RssAnon {} MiB", started.elapsed().as_secs_f64() * 10.0, rss_anon());
    local.close();
}

/// A journal as PUTs of tiny bodies would have made it.
fn write_journal(dir: &Path, rows: u64) {
    let settings = Settings { dir: dir.join("data"), ..Settings::default() };
    let (mut journal, _) = Journal::open(settings.journal()).expect("a journal");
    let mut next = 0;
    let bucket_row = stored::encode(&bucket()).expect("encodes");
    let mut extra = vec![(Table::Buckets.into(), key::bucket(&name()), bucket_row)];
    while next < rows {
        let batch: Vec<u64> = (next..(next + 1000).min(rows)).collect();
        next += batch.len() as u64;
        let bodies: Vec<Bytes> = batch.iter().map(|n| Bytes::from(n.to_le_bytes().repeat(4))).collect();
        journal
            .append(&bodies, &mut |places| {
                let mut out = Vec::new();
                for (n, at) in batch.iter().zip(places) {
                    let place = BodyPlace::Inline { segment: at.segment, offset: at.offset, len: at.len, crc: at.crc };
                    let row = stored::encode(&object_row(*n, place))?;
                    let object = key::object(&name(), &ObjectKey::parse(&format!("k/{:03}/{n:012}", n % 1000))?);
                    assert!(OpRef { table: Table::Objects.into(), key: &object, value: Some(&row) }.encode(&mut out));
                }
                for (table, key, value) in &extra {
                    assert!(OpRef { table: *table, key, value: Some(value) }.encode(&mut out));
                }
                Ok(out)
            })
            .expect("appended");
        extra.clear();
    }
}

fn object_row(n: u64, place: BodyPlace) -> ObjectRow {
    let sha256: [u8; 32] = sha2::Sha256::digest(n.to_le_bytes()).into();
    ObjectRow {
        head: ObjectHead { size: 32, etag: ETag::single(Md5([3; 16])), modified: Timestamp::now(), owner: acme(), checksum: None },
        tail: ObjectTail {
            generation: n + 1,
            standing: Standing::default(),
            key: KeyId::None,
            acl: CannedAcl::Private.into(),
            headers: ObjectHeaders { content_type: "image/png".into(), ..ObjectHeaders::default() },
            lock: Lock::default(),
            tags: Tags::default(),
            envelope: None,
            inspection: None,
            sha256: Some(VerifiedSha256::proven(Sha256(sha256))),
            place,
            parts: None,
            unknown: Fields::default(),
        },
    }
}

/// Of this process so far.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

fn rss_anon() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("RssAnon:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) / 1024
}
