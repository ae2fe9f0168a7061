//! Variants by themselves: the codecs' bytes, their bounds, the folder, the queue.

use std::io;
use std::sync::Arc;

use proptest::prelude::*;
use sha2::{Digest, Sha256 as Hasher};

use crate::base::coding::Coding;
use crate::base::digest::{Md5, Sha256, VerifiedSha256};
use crate::base::etag::ETag;
use crate::base::lock::Lock;
use crate::base::names::TenantId;
use crate::base::object::{CannedAcl, Layer, ObjectHeaders, ObjectInfo, SharedObject};
use crate::base::object_ref::VersionId;
use crate::base::timestamp::Timestamp;
use crate::origin::{Body, Pending};
use crate::variants::codec::{Change, Effort};
use crate::variants::folder::{Folder, Kept};
use crate::variants::make::{Made, Maker, Plan, whole};
use crate::variants::queue::{Job, MAX_WAITING, Queue};
use crate::variants::{Key, Original};

fn hash(bytes: &[u8]) -> Sha256 {
    Sha256(Hasher::digest(bytes).into())
}

fn plan(change: Change, effort: Effort, body: &[u8]) -> Plan {
    Plan { change, effort, size: body.len() as u64, sha256: Some(hash(body)), largest: 1 << 30 }
}

fn done(made: io::Result<Made<Vec<u8>>>) -> Vec<u8> {
    match made {
        Ok(Made::Done(bytes)) => bytes,
        other => panic!("{other:?}"),
    }
}

fn text(len: usize) -> Vec<u8> {
    (0u64..).flat_map(|n| format!("v {} {}\n", n * n % 977, n % 89).into_bytes()).take(len).collect()
}

/// An ETag names bytes: where a crate or a level changes them, the generation in `codec` has to change too.
#[test]
fn the_bytes_of_a_form_never_change() {
    let body = text(200_000);
    let found: Vec<String> = [Effort::Quick, Effort::Best]
        .into_iter()
        .flat_map(|effort| [Coding::Br, Coding::Zstd, Coding::Gzip].map(|c| (Change::Encode(c), effort)))
        .map(|(change, effort)| {
            let bytes = done(whole(plan(change, effort, &body), &body));
            format!("{} {}", change.form(effort), hash(&bytes).hex().get(..16).unwrap_or_default())
        })
        .collect();
    let known = [
        "br1 9c04972c90a18edb",
        "zstd1 55506ad63e38d8c0",
        "gzip1 058d5b8ff9456728",
        "br2 3c960552ba15fab3",
        "zstd2 f647256e60fea876",
        "gzip2 6aa998661eefe341",
    ];
    assert_eq!(found, known);
}

#[test]
fn only_the_content_that_was_promised() {
    let body = text(100_000);
    let other = Plan { sha256: Some(hash(b"other")), ..plan(Change::Encode(Coding::Gzip), Effort::Quick, &body) };
    assert!(matches!(whole(other, &body), Ok(Made::Corrupt)));
    let shorter = Plan { sha256: None, ..plan(Change::Encode(Coding::Gzip), Effort::Quick, &body) };
    assert!(matches!(whole(shorter, &body[1..]), Ok(Made::Corrupt)));
    assert!(matches!(whole(shorter, b""), Ok(Made::Corrupt)));
}

#[test]
fn no_more_comes_out_than_allowed() {
    let (body, zeros) = (text(1_000_000), vec![0; 4_000_000]);
    for coding in [Coding::Br, Coding::Zstd, Coding::Gzip] {
        let packed = |body: &[u8]| done(whole(plan(Change::Encode(coding), Effort::Quick, body), body));
        let small = packed(&body);
        let unpack = plan(Change::Decode(coding), Effort::Quick, &small);
        assert_eq!(done(whole(Plan { largest: 1_000_000, ..unpack }, &small)), body, "{coding:?}");
        assert!(matches!(whole(Plan { largest: 999_999, ..unpack }, &small), Ok(Made::TooLarge)), "{coding:?}");
        // By the ratio alone.
        let bomb = packed(&zeros);
        assert!(matches!(whole(plan(Change::Decode(coding), Effort::Quick, &bomb), &bomb), Ok(Made::TooLarge)), "{coding:?}");
    }
    // What hardly shrinks is not worth it.
    let noise: Vec<u8> = text(300_000).chunks(8).flat_map(|c| hash(c).0).collect();
    for coding in [Coding::Br, Coding::Zstd, Coding::Gzip] {
        for effort in [Effort::Quick, Effort::Best] {
            let noise = &noise[..100_000];
            assert!(matches!(whole(plan(Change::Encode(coding), effort, noise), noise), Ok(Made::TooLarge)), "{coding:?}");
        }
    }
}

struct Full;

impl io::Write for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A full disk is no reason to say that a variant can't be.
#[test]
fn a_failed_sink_is_not_the_contents_fault() {
    let body = text(300_000);
    for coding in [Coding::Br, Coding::Zstd, Coding::Gzip] {
        let mut maker = Maker::new(plan(Change::Encode(coding), Effort::Quick, &body), Full);
        let failed = maker.take(&body).and_then(|_| maker.finish().map(|_| ()));
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::StorageFull, "{coding:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// However the original arrives, and there and back again.
    #[test]
    fn the_same_bytes_however_they_come(
        unit in prop::collection::vec(any::<u8>(), 1..40),
        times in 100usize..6000,
        cuts in prop::collection::vec(1usize..200_000, 1..6),
        coding in prop::sample::select(vec![Coding::Br, Coding::Zstd, Coding::Gzip]),
    ) {
        let body: Vec<u8> = unit.iter().copied().cycle().take(unit.len() * times).collect();
        let at_once = done(whole(plan(Change::Encode(coding), Effort::Quick, &body), &body));
        let mut maker = Maker::new(plan(Change::Encode(coding), Effort::Quick, &body), Vec::new());
        let mut rest = &body[..];
        for cut in cuts.iter().cycle() {
            let (now, later) = rest.split_at(rest.len().min(*cut));
            maker.take(now).unwrap();
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(&done(maker.finish()), &at_once);
        let back = plan(Change::Decode(coding), Effort::Quick, &at_once);
        if body.len() < at_once.len() * 1000 {
            prop_assert!(done(whole(back, &at_once)) == body);
        }
        // Anything else is told from it, or harmless.
        let mut wrong = at_once.clone();
        let at = wrong.len() / 2;
        wrong[at] ^= 0x10;
        let _ = whole(Plan { sha256: None, ..back }, &wrong);
    }

    #[test]
    fn nothing_that_comes_in_breaks_a_decoder(bytes in prop::collection::vec(any::<u8>(), 0..3000), coding in prop::sample::select(Coding::ALL.to_vec())) {
        let _ = whole(plan(Change::Decode(coding), Effort::Quick, &bytes), &bytes);
    }
}

fn object(body: &[u8]) -> SharedObject {
    Arc::new(ObjectInfo {
        size: body.len() as u64,
        etag: ETag::single(Md5([7; 16])),
        modified: Timestamp::from_secs(1),
        generation: 1,
        owner: TenantId::parse("acme").unwrap(),
        acl: CannedAcl::Private.into(),
        headers: ObjectHeaders::default(),
        version: VersionId::Null,
        lock: Lock::default(),
        tag_count: None,
        encryption: None,
        sha256: Some(VerifiedSha256::proven(hash(body))),
        checksum: None,
        parts: Vec::new(),
        restore: None,
        inspection: None,
        unknown: Default::default(),
        layer: Layer::Store,
    })
}

fn kept(folder: &Folder, key: &Key, body: &[u8]) {
    let mut making = folder.begin(0).unwrap();
    io::Write::write_all(&mut making, body).unwrap();
    folder.keep(making, key).unwrap();
}

#[test]
fn the_folder_counts_what_it_holds_and_lets_the_oldest_go() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::new(dir.path().join("variants"), 100_000, 0);
    folder.start();
    let keys: Vec<Key> = (0u8..30).map(|n| Key::of(&object(&[n]), Change::Encode(Coding::Br))).collect();
    for (n, key) in keys.iter().enumerate() {
        kept(&folder, key, &[7; 5000]);
        let used = std::time::SystemTime::now() - std::time::Duration::from_secs(3600 * (100 - n as u64));
        std::fs::File::options().write(true).open(folder.path(key)).unwrap().set_modified(used).unwrap();
    }
    assert_eq!(folder.used(), 30 * 8192);
    // The first one is in use.
    assert!(folder.touch(&folder.path(&keys[0])));
    assert_eq!(folder.sweep(), 20);
    assert_eq!(folder.used(), 10 * 8192);
    let there = |key: &Key| matches!(folder.find(key, 10_000, false), Kept::Small(body) if body == vec![7; 5000]);
    assert!(there(&keys[0]) && there(&keys[29]) && !there(&keys[1]));
    // One in place of another is not counted twice; half of one leaves nothing.
    kept(&folder, &keys[29], &[8; 5000]);
    drop(folder.begin(0).unwrap());
    assert_eq!(folder.used(), 10 * 8192);
    folder.keep_never(&keys[5]).unwrap();
    assert!(matches!(folder.find(&keys[5], 0, false), Kept::Never));
    assert!(matches!(folder.find(&keys[29], 100, false), Kept::Unproven));
    assert!(matches!(folder.find(&keys[29], 100, true), Kept::File { size: 5000, .. }));
    let again = Folder::new(dir.path().join("variants"), 100_000, 0);
    again.start();
    assert_eq!(again.used(), folder.used());
    assert_eq!(std::fs::read_dir(dir.path().join("variants")).unwrap().count(), 1, "nothing is being made");
    // The disk keeps what is reserved for others.
    let full = Folder::new(dir.path().join("variants"), 100_000, u64::MAX / 2);
    assert_eq!(full.begin(1).err().unwrap().kind(), io::ErrorKind::StorageFull);
}

struct Gone;

impl Original for Gone {
    fn open(&self) -> Pending<'_, Option<Body>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}

#[test]
fn the_queue_is_bounded_and_takes_each_once() {
    let queue = Queue::default();
    let job = |n: usize| {
        let of = object(&n.to_le_bytes());
        Job { key: Key::of(&of, Change::Encode(Coding::Br)), of, original: Arc::new(Gone) }
    };
    for n in 0..MAX_WAITING {
        assert!(queue.push(job(n)));
    }
    assert!(queue.push(job(3)), "it is there already");
    assert!(!queue.push(job(MAX_WAITING)));
    queue.stop();
    assert!(queue.push(job(MAX_WAITING)), "nobody is told to come back to what has stopped");
}

/// `size` bytes of an owner's.
fn job_of(owner: &str, n: usize, size: u64) -> Job {
    let of = ObjectInfo { size, owner: TenantId::parse(owner).unwrap(), ..(*object(&n.to_le_bytes())).clone() };
    let of = Arc::new(of);
    Job { key: Key::of(&of, Change::Encode(Coding::Br)), of, original: Arc::new(Gone) }
}

#[test]
fn one_owners_large_texts_do_not_keep_others_waiting() {
    let queue = Queue::default();
    for n in 0..MAX_WAITING {
        assert!(queue.push(job_of("greedy", n, 100_000_000)));
    }
    // Full: who has less takes the place of the last of who has most.
    for n in 0..3 {
        assert!(queue.push(job_of("small", n, 1000)));
        assert!(queue.push(job_of("other", n, 1_000_000)));
    }
    assert!(!queue.push(job_of("greedy", MAX_WAITING, 1)));
    let next = || queue.next().unwrap().of.owner.to_string();
    let first: Vec<String> = (0..8).map(|_| next()).collect();
    let of = |owner: &str| first.iter().filter(|o| *o == owner).count();
    assert!(of("greedy") <= 2 && of("small") == 3 && of("other") == 3, "{first:?}");
    // Turns are not saved up: who comes again after long begins where the others are, and one who always comes again waits too.
    for n in 0..5 {
        assert!(queue.push(job_of("often", n, 200_000_000)));
        let two = [next(), next()];
        assert!(two.contains(&"greedy".to_owned()), "{n}: {two:?}");
    }
}

#[test]
fn names_in_the_folder_are_of_content_and_form() {
    let (one, other) = (object(b"1"), object(b"2"));
    let folder = Folder::new("v".into(), 1, 0);
    let path = |of: &ObjectInfo, change| folder.path(&Key::of(of, change)).to_str().unwrap().to_owned();
    let br = path(&one, Change::Encode(Coding::Br));
    assert!(br.starts_with("v/acme/6b/6b86b2") && br.ends_with(".br2"), "{br}");
    assert_ne!(br, path(&other, Change::Encode(Coding::Br)));
    assert!(path(&one, Change::Decode(Coding::Gzip)).ends_with(".gzip.id1"));
    let unproven = ObjectInfo { sha256: None, ..(*one).clone() };
    assert!(path(&unproven, Change::Encode(Coding::Zstd)).ends_with("07-1-1000-1.zstd2"));
}
