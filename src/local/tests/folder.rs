//! The folder as a whole: fsck on planted faults, a backup under load, segments that empty themselves.

use std::sync::atomic::{AtomicBool, Ordering};

use super::model::{collect_garbage, files};
use super::multipart::{complete_of, part, upload_of};
use super::*;
use crate::base::error::{Error, ErrorKind};
use crate::base::object_ref::ObjectRef;
use crate::local::fsck::{Options, Problem, Report, fsck};
use crate::local::gc::Collector;

const VERIFY: Options = Options { verify: true, repair: false };

/// A store with an inline body, a file, a multipart object and an upload in progress; closed.
async fn filled(dir: &std::path::Path) -> Settings {
    let settings = Settings { drop_grace: std::time::Duration::from_secs(3600), ..settings(dir) };
    let local = Local::open(settings.clone()).unwrap();
    make_bucket(&local, "media").await;
    put(&local, "media", "small", &bytes_of(1, 1000)).await.unwrap();
    put(&local, "media", "large", &bytes_of(2, 100_000)).await.unwrap();
    put(&local, "media", "replaced", &bytes_of(3, 100_000)).await.unwrap();
    put(&local, "media", "replaced", &bytes_of(4, 10)).await.unwrap();
    let upload = upload_of("multi", "u1", None);
    local.create_upload(upload.clone()).await.unwrap();
    let parts = [part(&local, &upload, 1, &bytes_of(5, 5 << 20)).await, part(&local, &upload, 2, b"end").await];
    local.complete_upload(complete_of(&upload, &parts), Quota::default()).await.unwrap();
    let going_on = upload_of("unfinished", "u2", None);
    local.create_upload(going_on.clone()).await.unwrap();
    part(&local, &going_on, 1, b"a part").await;
    while local
        .stat(ObjectRef::current(&bucket_name("media"), &object_key("multi")), Freshness::Current)
        .await
        .unwrap()
        .unwrap()
        .sha256
        .is_none()
    {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    local.close();
    settings
}

fn file_of(settings: &Settings, size: u64) -> std::path::PathBuf {
    let mut dirs = vec![settings.dir.join("blobs")];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            if entry.path().is_dir() {
                dirs.push(entry.path());
            } else if entry.metadata().unwrap().len() == size {
                return entry.path();
            }
        }
    }
    panic!("no file of {size} bytes");
}

fn changed(settings: &Settings, change: impl FnOnce()) -> Report {
    change();
    fsck(settings, VERIFY).unwrap()
}

#[tokio::test]
async fn fsck_finds_what_was_planted() {
    let dir = tempfile::tempdir().unwrap();
    let settings = filled(dir.path()).await;
    let clean = fsck(&settings, VERIFY).unwrap();
    assert!(clean.is_clean(), "{clean:?}");
    assert_eq!((clean.objects, clean.files), (4, 5));

    let multi = file_of(&settings, 5 << 20);
    let whole = std::fs::read(&multi).unwrap();
    let mut broken = whole.clone();
    broken[4_000_000] ^= 1;
    let report = changed(&settings, || std::fs::write(&multi, &broken).unwrap());
    assert_eq!(report.problems, [Problem::Damaged { what: "media/multi".into() }]);
    assert!(fsck(&settings, Options::default()).unwrap().is_clean(), "without reading the bodies it can't be seen");
    let report = changed(&settings, || std::fs::write(&multi, b"short").unwrap());
    assert!(report.problems.contains(&Problem::WrongSize { what: "media/multi".into(), expected: 5 << 20, found: 5 }));
    std::fs::write(&multi, whole).unwrap();

    let large = settings.dir.join("large-kept-aside");
    // Two files have this size; the replaced one is only waiting to go.
    let shared = Local::open(settings.clone()).unwrap();
    let object = shared.stat(ObjectRef::current(&bucket_name("media"), &object_key("large")), Freshness::Current).await.unwrap().unwrap();
    let entry = shared.shared.entry(&bucket_name("media"), &object_key("large")).await.unwrap().unwrap();
    let path = shared.shared.spans(&entry, ByteRange { start: 0, end: object.size }).unwrap()[0].path.clone();
    shared.close();
    drop(shared);
    let report = changed(&settings, || std::fs::rename(&path, &large).unwrap());
    assert_eq!(report.problems, [Problem::Missing { what: "media/large".into() }]);
    std::fs::rename(&large, &path).unwrap();

    let orphan = path.with_file_name(format!("{}.{:016x}", "ab".repeat(32), 77));
    let report = changed(&settings, || std::fs::write(&orphan, b"left by a crash").unwrap());
    assert_eq!(report.orphans, std::slice::from_ref(&orphan));
    assert!(!report.is_clean());
    let report = fsck(&settings, Options { verify: false, repair: true }).unwrap();
    assert_eq!((report.orphans_removed, report.is_clean(), orphan.exists()), (1, true, false));

    let index = crate::index::Index::open(&settings.index()).unwrap();
    let applied = index.applied().unwrap().unwrap();
    let row = crate::local::rows::key::object(&bucket_name("media"), &object_key("small"));
    index.apply(&[(crate::local::rows::Table::Objects.into(), row, None)], &applied).unwrap();
    drop(index);
    let report = fsck(&settings, VERIFY).unwrap();
    assert!(report.index_rebuilt && matches!(report.problems[..], [Problem::Index { .. }]), "{report:?}");
    assert!(fsck(&settings, VERIFY).unwrap().is_clean());

    let mut segments: Vec<_> = std::fs::read_dir(settings.dir.join("journal")).unwrap().map(|e| e.unwrap().path()).collect();
    segments.sort();
    let mut bytes = std::fs::read(&segments[0]).unwrap();
    bytes[200] ^= 1;
    std::fs::write(&segments[0], bytes).unwrap();
    let report = fsck(&settings, VERIFY).unwrap();
    assert!(matches!(&report.problems[..], [Problem::Journal(text)] if text.contains("is damaged at offset")), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_taken_under_load_is_a_store_of_one_moment() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { segment_bytes: 50_000, ..settings(dir.path()) };
    let local = Local::open(settings).unwrap();
    make_bucket(&local, "media").await;
    put(&local, "media", "kept", &bytes_of(1, 200_000)).await.unwrap();
    put(&local, "media", "counter", &0u64.to_be_bytes()).await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let writer = {
        let (local, done) = (local.clone(), done.clone());
        tokio::spawn(async move {
            let mut n = 0u64;
            while !done.load(Ordering::Relaxed) {
                n += 1;
                // The large one is always written before the counter says so.
                put(&local, "media", &format!("large/{}", n % 5), &n.to_be_bytes().repeat(10_000)).await.unwrap();
                put(&local, "media", "counter", &n.to_be_bytes()).await.unwrap();
                delete(&local, "media", &format!("large/{}", (n + 2) % 5)).await.unwrap();
            }
        })
    };
    for round in 0..3 {
        let target = dir.path().join(format!("backup{round}/data"));
        local.snapshot(&target, Box::pin(std::future::ready(Ok(())))).await.unwrap();
        let l = local.clone();
        tokio::task::spawn_blocking(move || collect_garbage(&l)).await.unwrap();
        let copy = super::settings(target.parent().unwrap());
        let report = fsck(&copy, VERIFY).unwrap();
        assert!(report.is_clean(), "{report:?}");
        let copy = Local::open(copy).unwrap();
        assert_eq!(get(&copy, "media", "kept").await.unwrap(), Some(bytes_of(1, 200_000)));
        let counter = u64::from_be_bytes(get(&copy, "media", "counter").await.unwrap().unwrap().try_into().unwrap());
        if counter > 0 {
            let large = get(&copy, "media", &format!("large/{}", counter % 5)).await.unwrap().unwrap();
            assert!(u64::from_be_bytes(large[..8].try_into().unwrap()) >= counter);
        }
        put(&copy, "media", "new", b"the copy lives on").await.unwrap();
        let again = local.snapshot(&target, Box::pin(std::future::ready(Ok(())))).await.unwrap_err();
        assert!(again.message().contains("not empty"));
    }
    done.store(true, Ordering::Relaxed);
    writer.await.unwrap();
}

#[tokio::test]
async fn a_snapshot_that_was_cut_off_is_refused_as_a_data_folder() {
    let dir = tempfile::tempdir().unwrap();
    let local = Local::open(settings(dir.path())).unwrap();
    make_bucket(&local, "media").await;
    let target = dir.path().join("copy/data");
    let rest = Box::pin(std::future::ready(Err(Error::new(ErrorKind::StorageFull, "no room for the rest"))));
    assert_eq!(local.snapshot(&target, rest).await.unwrap_err().kind(), ErrorKind::StorageFull);
    let copy = super::settings(&dir.path().join("copy"));
    assert_eq!(copy.dir, target);
    for _ in 0..2 {
        let refused = Local::open(copy.clone()).err().unwrap();
        assert!(refused.message().contains("cut off"), "{refused}");
    }
}

#[tokio::test]
async fn a_folder_of_format_1_is_brought_up_to_date_also_when_that_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let settings = filled(dir.path()).await;
    let bodies = settings.dir.join("blobs/acme");
    // Where format 1 had them; one is left as if its move had been done already.
    let mut files = Vec::new();
    for run in std::fs::read_dir(&bodies).unwrap() {
        files.extend(std::fs::read_dir(run.unwrap().path()).unwrap().map(|f| f.unwrap().path()));
    }
    assert!(files.len() > 3, "{files:?}");
    for file in &files[1..] {
        let name = file.file_name().unwrap().to_str().unwrap();
        let old = match name.split_once('.') {
            Some((sha256, _)) => bodies.join(&sha256[..2]).join(&sha256[2..4]),
            None => bodies.join("p").join(&name[14..]),
        };
        std::fs::create_dir_all(&old).unwrap();
        std::fs::rename(file, old.join(name)).unwrap();
    }
    // One of them was noted, and so was one that never came.
    let name = files[1].file_name().unwrap().to_str().unwrap();
    for note in [format!("acme.{name}"), "acme.00000000000fffff".to_owned()] {
        std::fs::write(settings.dir.join("placing").join(note), "").unwrap();
    }
    std::fs::write(settings.dir.join("FORMAT"), "tidegate 1\n").unwrap();
    assert!(fsck(&settings, VERIFY).unwrap_err().message().contains("format 1"));
    let local = Local::open(settings.clone()).unwrap();
    assert_eq!(get(&local, "media", "large").await.unwrap(), Some(bytes_of(2, 100_000)));
    assert_eq!(std::fs::read_to_string(settings.dir.join("FORMAT")).unwrap(), "tidegate 2\n");
    let l = local.clone();
    tokio::task::spawn_blocking(move || Collector::default().run_if_due(&l.shared)).await.unwrap().unwrap();
    local.close();
    assert_eq!(std::fs::read_dir(settings.dir.join("placing")).unwrap().count(), 0);
    assert!(files.iter().all(|f| f.exists()));
    assert!(!bodies.join("p").exists());
    let report = fsck(&settings, VERIFY).unwrap();
    assert!(report.is_clean() && report.orphans.is_empty(), "{report:?}");
}

/// Those who write at the same time share a folder's sync; a folder that nothing is left in goes.
#[tokio::test]
async fn bodies_of_one_time_share_a_folder_that_goes_with_the_last_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let folders = || std::fs::read_dir(settings.dir.join("blobs/acme")).unwrap().count();
    for start in 1..=2u64 {
        let local = Local::open(settings.clone()).unwrap();
        if start == 1 {
            make_bucket(&local, "media").await;
        }
        for n in 0..20 {
            put(&local, "media", &n.to_string(), &bytes_of(100 * start + n, 100_000)).await.unwrap();
        }
        assert_eq!(folders(), start as usize);
        if start == 2 {
            let l = local.clone();
            tokio::task::spawn_blocking(move || collect_garbage(&l)).await.unwrap();
            assert_eq!(folders(), 1, "all of the first start's were replaced");
        }
        local.close();
    }
}

#[tokio::test]
async fn nearly_empty_segments_are_emptied_and_go() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { segment_bytes: 20_000, ..settings(dir.path()) };
    let local = Local::open(settings.clone()).unwrap();
    make_bucket(&local, "media").await;
    for n in 0..100u64 {
        put(&local, "media", &format!("{n:03}"), &bytes_of(n, 1000)).await.unwrap();
    }
    // Two keys share what stays of each segment.
    for n in (0..100u64).filter(|n| n % 10 == 0) {
        put(&local, "media", &format!("twin{n:03}"), &bytes_of(n, 1000)).await.unwrap();
    }
    for n in (0..100u64).filter(|n| n % 10 != 0) {
        delete(&local, "media", &format!("{n:03}")).await.unwrap();
    }
    let shared = local.shared.clone();
    let reports = std::thread::spawn(move || {
        let mut passes = Collector::default();
        (0..12).map(|_| passes.run(&shared, Default::default(), true).unwrap()).collect::<Vec<_>>()
    })
    .join()
    .unwrap();
    let moved: usize = reports.iter().map(|r| r.moved).sum();
    let removed: usize = reports.iter().map(|r| r.segments_removed).sum();
    assert!(moved >= 20 && removed > 5, "{reports:?}");
    let journal_bytes: u64 = std::fs::read_dir(settings.dir.join("journal")).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
    assert!(journal_bytes < 60_000, "{journal_bytes} bytes for 10 bodies of 1,000");
    assert_eq!(files(&local).len(), 0);
    assert_eq!(put_dedup(&local, "media", "third", &bytes_of(20, 1000)).await, Dedup::Hit, "moved content is still found");
    local.close();
    let report = fsck(&settings, VERIFY).unwrap();
    assert!(report.is_clean(), "{report:?}");
    let local = Local::open(settings).unwrap();
    for n in (0..100u64).filter(|n| n % 10 == 0) {
        for key in [format!("{n:03}"), format!("twin{n:03}")] {
            assert_eq!(get(&local, "media", &key).await.unwrap(), Some(bytes_of(n, 1000)));
        }
    }
}
