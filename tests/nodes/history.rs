//! A history of three nodes under `kill -9`, stopped processes and cut links, checked afterwards: each answer shows exactly one version,
//! which was current inside the stated window; no acknowledged write is lost; the cache keeps to its limit.
//!
//! Each key has one writer, so its versions have an order. A version is current from the moment its write was sent at the earliest until
//! the next one was answered at the latest; a write without an answer counts from when it was sent until it is known whether it happened.
//! `NODES_SECONDS` makes it longer, `NODES_SEED` repeats the choices of a run.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use super::*;
use crate::support::fault_proxy::Fault;
use crate::support::raw;

const NODES: usize = 3;
const WRITERS: usize = 3;
const KEYS_PER_WRITER: usize = 6;
const READERS: usize = 4;
const LIMIT: u64 = 2 << 20;
/// Blocks are kept for each other. Small enough that they come and go, and windows that a run of seconds shows.
const SETTINGS: &str = "this = \"HERE\"\nshare_cache = true\n[cache]\nsize = \"2MiB\"\nmemory = \"1MiB\"\nblock = \"64KiB\"\nfresh = \"2s\"\n\
                        stale_while_revalidate = \"1s\"\nnegative = \"2s\"\nstale_if_error = \"10s\"\n";
/// `fresh` and `stale_while_revalidate`: what docs/cluster.md promises where a peer could not be told.
const WINDOW: Duration = Duration::from_secs(3);

fn seconds() -> u64 {
    std::env::var("NODES_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(20)
}

/// xorshift: a run can be repeated as far as its choices go.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

// What is written: every 16 bytes name the key, the version and their place, so that no two versions share any.

fn body(key: usize, version: u64, len: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(len + 16);
    while body.len() < len {
        body.extend_from_slice(format!("{key:03}:{version:06}:{:04x};", body.len() / 16).as_bytes());
    }
    body.truncate(len);
    body
}

/// The version that all of `bytes`, which begin at `offset`, are of. None: too few to tell.
fn version_of(key: usize, offset: usize, bytes: &[u8]) -> Result<Option<u64>, String> {
    let skip = (16 - offset % 16) % 16;
    let Some(first) = bytes.get(skip..skip + 16) else { return Ok(None) };
    let text = String::from_utf8_lossy(first);
    let version = text.get(4..10).and_then(|v| v.parse().ok()).ok_or_else(|| format!("no version in {text:?}"))?;
    let whole = body(key, version, offset + bytes.len());
    if whole[offset..] == *bytes { Ok(Some(version)) } else { Err(format!("bytes of more than one version, or of another key: {text:?}")) }
}

fn length(key: usize, version: u64) -> usize {
    // Empty ones, small ones, some of several blocks.
    [0, 40, 5000, 64 << 10, 200_000, 300_001][(key + version as usize * 5) % 6]
}

fn name(key: usize) -> String {
    format!("acme/run{}/image/{key}", key % 3)
}

/// One version of a key, or its absence. `until`: from then on the next one was there.
#[derive(Debug, Clone, Copy)]
struct Era {
    /// None: deleted, or not written yet.
    version: Option<u64>,
    from: Instant,
    until: Option<Instant>,
}

#[derive(Debug)]
struct Read {
    key: usize,
    node: usize,
    edge: bool,
    sent: Instant,
    answered: Instant,
    /// None: absent.
    version: Option<u64>,
}

#[derive(Clone, Copy)]
struct Doors {
    s3: SocketAddr,
    edge: SocketAddr,
}

struct Shared {
    doors: RwLock<[Option<Doors>; NODES]>,
    stop: AtomicBool,
    eras: Vec<Mutex<Vec<Era>>>,
    reads: Mutex<Vec<Read>>,
    purges: AtomicU64,
    broken: AtomicU64,
    unknown: AtomicU64,
    seed: u64,
}

impl Shared {
    fn doors(&self, node: usize) -> Option<Doors> {
        self.doors.read().unwrap()[node]
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}

/// None: no whole answer; what was asked may have happened.
fn ask(address: SocketAddr, request: &Request, sign: Sign<'_>) -> Option<Answer> {
    let stream = std::net::TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(15))).ok()?;
    stream.set_write_timeout(Some(Duration::from_secs(15))).ok()?;
    let mut connection = raw::Raw::over(stream);
    let (head, _) = request.head(&address.to_string(), sign);
    connection.try_send([head.as_bytes(), &request.body].concat()).ok()?;
    let head = connection.try_head().ok()?;
    let empty = request.method == "HEAD" || matches!(head.status, 204 | 304);
    let body = if empty { Vec::new() } else { connection.try_body(&head).ok()? };
    Some(Answer { status: head.status, headers: head.headers, body })
}

/// What is there now, by whichever node says so.
fn settle(shared: &Shared, key: usize, chance: &mut Chance) -> Option<u64> {
    // What a killed node had sent may still be on its way.
    std::thread::sleep(Duration::from_millis(700));
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < Duration::from_secs(60), "no node answers");
        if let Some(doors) = shared.doors(chance.below(NODES))
            && let Some(answer) = ask(doors.s3, &Request::on("HEAD", MEDIA, &name(key)), Sign::Header(&operator()))
        {
            match answer.status {
                200 => return Some(answer.header("x-amz-meta-version").unwrap().parse().unwrap()),
                404 => return None,
                _ => {}
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn write(shared: &Shared, writer: usize) {
    let mut chance = Chance(shared.seed + 1000 + writer as u64);
    let mut version = 0;
    while !shared.is_over() {
        let key = writer * KEYS_PER_WRITER + chance.below(KEYS_PER_WRITER);
        let Some(doors) = shared.doors(chance.below(NODES)) else { continue };
        let deletes = chance.below(6) == 0;
        version += 1;
        let wanted = (!deletes).then_some(version);
        let request = match wanted {
            Some(v) => {
                Request::on("PUT", MEDIA, &name(key)).header("x-amz-meta-version", &v.to_string()).body(body(key, v, length(key, v)))
            }
            None => Request::on("DELETE", MEDIA, &name(key)),
        };
        let sent = Instant::now();
        let answer = ask(doors.s3, &request, Sign::Header(&operator()));
        let there = match answer.map(|a| (a.status, a.text())) {
            Some((200 | 204, _)) => wanted,
            // It may have happened, or not, as far as anybody knows.
            Some((500..=599, _)) | None => {
                shared.unknown.fetch_add(1, Ordering::SeqCst);
                settle(shared, key, &mut chance)
            }
            Some(other) => panic!("{} {}: {other:?}", request.method, request.path),
        };
        let mut eras = shared.eras[key].lock().unwrap();
        let before = eras.last().unwrap().version;
        assert!(
            there == wanted || there == before,
            "{} {}: an acknowledged write is lost: {before:?}, {wanted:?}, {there:?}",
            request.method,
            key
        );
        eras.last_mut().unwrap().until = Some(Instant::now());
        eras.push(Era { version: there, from: sent, until: None });
        drop(eras);
        std::thread::sleep(Duration::from_millis(chance.below(30) as u64));
    }
}

fn read(shared: &Shared, reader: usize) {
    let mut chance = Chance(shared.seed + 2000 + reader as u64);
    while !shared.is_over() {
        let (key, node, edge) = (chance.below(WRITERS * KEYS_PER_WRITER), chance.below(NODES), chance.below(3) > 0);
        let Some(doors) = shared.doors(node) else { continue };
        if chance.below(60) == 0 {
            purge(shared, doors, key, chance.below(4));
            continue;
        }
        let mut request = Request::on("GET", MEDIA, &name(key));
        let ranged = chance.below(2) == 0;
        let first = if ranged { chance.below(300_000) } else { 0 };
        let last = first + chance.below(150_000);
        if ranged {
            request = request.header("range", &format!("bytes={first}-{last}"));
        }
        let sent = Instant::now();
        let key_of_operator = operator();
        let (address, sign) = if edge { (doors.edge, Sign::No) } else { (doors.s3, Sign::Header(&key_of_operator)) };
        let answer = ask(address, &request, sign);
        let answered = Instant::now();
        let Some(answer) = answer else {
            shared.broken.fetch_add(1, Ordering::SeqCst);
            continue;
        };
        let version = match answer.status {
            200 | 206 => {
                let version: u64 = answer.header("x-amz-meta-version").unwrap().parse().unwrap();
                let whole = body(key, version, length(key, version));
                let expected = if answer.status == 206 { &whole[first..whole.len().min(last + 1)] } else { &whole[..] };
                if answer.body != expected {
                    let found = version_of(key, if answer.status == 206 { first } else { 0 }, &answer.body);
                    panic!(
                        "key {key}, node {node}, edge {edge}: the head says version {version}, the body {found:?}, {} of {} bytes",
                        answer.body.len(),
                        expected.len()
                    );
                }
                Some(version)
            }
            404 => None,
            // Of which version it was is not said.
            416 | 500..=599 => continue,
            _ => panic!("{request:?}: {} {}", answer.status, answer.text()),
        };
        shared.reads.lock().unwrap().push(Read { key, node, edge, sent, answered, version });
    }
}

fn purge(shared: &Shared, doors: Doors, key: usize, form: usize) {
    let document = match form {
        0 => format!(r#"{{"bucket": "media", "keys": ["{}"]}}"#, name(key)),
        1 => r#"{"bucket": "media", "prefix": "acme/run1/"}"#.to_owned(),
        2 => r#"{"bucket": "media", "prefix": "", "soft": true}"#.to_owned(),
        _ => r#"{"tenant": "acme", "run": "run2"}"#.to_owned(),
    };
    if let Some(answer) = ask(doors.s3, &Request::new("POST", "/-/v1/purge").body(document), Sign::Header(&operator())) {
        assert!(matches!(answer.status, 202 | 500..=599), "{} {}", answer.status, answer.text());
        shared.purges.fetch_add(1, Ordering::SeqCst);
    }
}

/// Bytes of files.
fn used(dir: &Path) -> u64 {
    crate::support::gateway::files_under(dir).iter().filter_map(|f| f.metadata().ok()).map(|m| m.len()).sum()
}

fn trouble(world: &mut World, shared: &Shared, chance: &mut Chance) {
    let n = chance.below(NODES);
    let pause = |chance: &mut Chance| std::thread::sleep(Duration::from_millis(200 + chance.below(700) as u64));
    match chance.below(5) {
        0 | 1 => {
            shared.doors.write().unwrap()[n] = None;
            world.kill(n);
            pause(chance);
            world.start(n);
            shared.doors.write().unwrap()[n] = Some(Doors { s3: world.node(n).s3, edge: world.node(n).edge });
        }
        2 => {
            world.node(n).signal("STOP");
            pause(chance);
            world.node(n).signal("CONT");
        }
        3 => {
            world.upstream.signal("STOP");
            pause(chance);
            world.upstream.signal("CONT");
        }
        _ => {
            let fault = [Fault::Refuse, Fault::Silent, Fault::Answer503, Fault::CutAfter(60)][chance.below(4)];
            world.nodes[n].proxy.set(fault);
            pause(chance);
            pause(chance);
            world.nodes[n].proxy.set(Fault::None);
        }
    }
}

/// What a read may have shown: a version that was current at some moment between its sending, less the window, and its answer.
fn check(eras: &[Era], read: &Read, window: Duration) -> Result<(), String> {
    let fits =
        |era: &Era| era.version == read.version && era.from <= read.answered && era.until.is_none_or(|until| until + window >= read.sent);
    if eras.iter().any(fits) {
        return Ok(());
    }
    let ago = |t: Instant| {
        format!("{:+.3}", t.saturating_duration_since(read.sent).as_secs_f64() - read.sent.saturating_duration_since(t).as_secs_f64())
    };
    let near: Vec<String> = eras
        .iter()
        .filter(|e| e.from <= read.answered)
        .rev()
        .take(5)
        .map(|e| format!("{:?} {}..{:?}", e.version, ago(e.from), e.until.map(ago)))
        .collect();
    let took = read.answered - read.sent;
    Err(format!("key {}, node {}, edge {}, took {took:?}: shown {:?}; {near:?}", read.key, read.node, read.edge, read.version))
}

#[test]
fn each_answer_is_one_version_that_was_current() {
    let seed = std::env::var("NODES_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(u64::from(std::process::id()) * 7919 + 1);
    println!("NODES_SEED={seed}");
    let mut world = World::new(NODES, SETTINGS);
    let began = Instant::now();
    let absent = || Mutex::new(vec![Era { version: None, from: began, until: None }]);
    let doors = std::array::from_fn(|n| Some(Doors { s3: world.node(n).s3, edge: world.node(n).edge }));
    let shared = Arc::new(Shared {
        doors: RwLock::new(doors),
        stop: AtomicBool::new(false),
        eras: (0..WRITERS * KEYS_PER_WRITER).map(|_| absent()).collect(),
        reads: Mutex::default(),
        purges: AtomicU64::new(0),
        broken: AtomicU64::new(0),
        unknown: AtomicU64::new(0),
        seed,
    });
    let (writing, reading) = (shared.clone(), shared.clone());
    let mut threads: Vec<_> = (0..WRITERS).map(|w| (writing.clone(), w)).map(|(s, w)| std::thread::spawn(move || write(&s, w))).collect();
    threads.extend((0..READERS).map(|r| (reading.clone(), r)).map(|(s, r)| std::thread::spawn(move || read(&s, r))));

    // At first nothing fails: what one node was told, all show, unless one was too slow to be told and said so.
    let (mut chance, mut most) = (Chance(seed), 0);
    let mut watch = |world: &World| most = (0..NODES).map(|n| used(&world.nodes[n].place.path("data/cache"))).max().unwrap_or(0).max(most);
    while began.elapsed() < Duration::from_secs(seconds() / 3) {
        watch(&world);
        std::thread::sleep(Duration::from_millis(50));
    }
    let calm_until = Instant::now();
    let all_told = (0..NODES).all(|n| !world.node(n).log().contains("a peer can't be told"));
    let mut troubles = 0;
    while began.elapsed() < Duration::from_secs(seconds()) && !threads.iter().any(|t| t.is_finished()) {
        trouble(&mut world, &shared, &mut chance);
        troubles += 1;
        watch(&world);
        std::thread::sleep(Duration::from_millis(chance.below(600) as u64));
    }
    shared.stop.store(true, Ordering::SeqCst);
    threads.into_iter().for_each(|t| t.join().unwrap());

    let reads = std::mem::take(&mut *shared.reads.lock().unwrap());
    let eras: Vec<Vec<Era>> = shared.eras.iter().map(|e| e.lock().unwrap().clone()).collect();
    let writes: usize = eras.iter().map(|e| e.len() - 1).sum();
    println!(
        "{writes} writes ({} without an answer), {} reads ({} broken), {} purges, {troubles} troubles; calm phase told: {all_told}; cache at most {most}",
        shared.unknown.load(Ordering::SeqCst),
        reads.len(),
        shared.broken.load(Ordering::SeqCst),
        shared.purges.load(Ordering::SeqCst),
    );
    let window = |r: &Read| match r.edge {
        false => Duration::ZERO,
        true if r.answered < calm_until && all_told => Duration::ZERO,
        true => WINDOW,
    };
    let faults: Vec<String> = reads.iter().filter_map(|r| check(&eras[r.key], r, window(r)).err()).collect();
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), reads.len(), faults[..faults.len().min(20)].join("\n"));
    assert!(most <= LIMIT, "the cache takes {most} bytes");
    assert!(reads.len() > 100 && writes > 50 && troubles > 3);
    at_the_end(&world, &eras);
}

/// Every node shows what was acknowledged last, and nothing is owed.
fn at_the_end(world: &World, eras: &[Vec<Era>]) {
    let mut by_node: HashMap<usize, usize> = HashMap::new();
    for (key, eras) in eras.iter().enumerate() {
        let last = eras.last().unwrap().version;
        for n in 0..NODES {
            let answer = world.client(n).get(&operator(), MEDIA, &name(key));
            match last {
                None => drop(answer.expect(404)),
                Some(v) => assert!(answer.expect(200).body == body(key, v, length(key, v)), "key {key} on node {n}"),
            }
            *by_node.entry(n).or_default() += 1;
        }
    }
    for n in 0..NODES {
        until("every peer is told", || world.jobs(n, "peer").iter().all(|job| job["state"] == "done"));
    }
}

#[test]
fn the_check_finds_what_it_is_for() {
    let t = Instant::now();
    let at = |ms: u64| t + Duration::from_millis(ms);
    let era = |version, from, until: Option<u64>| Era { version, from: at(from), until: until.map(at) };
    let eras = [era(None, 0, Some(200)), era(Some(1), 100, Some(1000)), era(Some(2), 900, None)];
    let read = |version, sent, answered| Read { key: 0, node: 0, edge: true, sent: at(sent), answered: at(answered), version };
    for (version, sent, window, ok) in [
        (None, 150, 0, true),
        (None, 250, 0, false),
        (None, 250, 60, true),
        (Some(1), 950, 0, true),
        (Some(1), 1001, 0, false),
        (Some(2), 800, 0, false),
        (Some(2), 950, 0, true),
        (Some(3), 950, 1000, false),
    ] {
        let found = check(&eras, &read(version, sent, sent + 10), Duration::from_millis(window));
        assert_eq!(found.is_ok(), ok, "{version:?} at {sent}: {found:?}");
    }
    let mixed = [&body(1, 7, 64)[..32], &body(1, 8, 64)[32..]].concat();
    assert!(version_of(1, 0, &mixed).is_err());
    assert_eq!(version_of(1, 5, &body(1, 7, 64)[5..]), Ok(Some(7)));
}
