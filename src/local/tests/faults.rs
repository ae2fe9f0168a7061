//! A disk that fails: what was answered stays, what was refused is not seen, service resumes. And races.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use super::basics::futures_join;
use super::*;
use crate::base::error::ErrorKind;
use crate::base::object::ListQuery;
use crate::base::object_ref::ObjectRef;
use crate::journal::{Fault, Step};
use crate::origin::OwnSettings;

#[tokio::test]
async fn a_failing_journal_refuses_and_resumes() {
    let dir = tempfile::tempdir().unwrap();
    let errno = Arc::new(AtomicI32::new(0));
    let hook = errno.clone();
    let fault = Fault(Arc::new(move |_: Step| match hook.load(Ordering::Relaxed) {
        0 => Ok(()),
        e => Err(std::io::Error::from_raw_os_error(e)),
    }));
    let local = Local::open(Settings { fault: Some(fault), ..settings(dir.path()) }).unwrap();
    make_bucket(&local, "media").await;
    put(&local, "media", "k", b"before").await.unwrap();
    for (code, kind) in
        [(libc::EIO, ErrorKind::LocalUnavailable), (libc::ENOSPC, ErrorKind::StorageFull), (libc::EROFS, ErrorKind::LocalUnavailable)]
    {
        errno.store(code, Ordering::Relaxed);
        for body in [vec![1; 10], vec![2; 200_000]] {
            assert_eq!(put(&local, "media", "k", &body).await.err().map(|e| e.kind()), Some(kind));
        }
        assert!(local.ready().await.is_err());
        assert_eq!(get(&local, "media", "k").await.unwrap().as_deref(), Some(&b"before"[..]));
        errno.store(0, Ordering::Relaxed);
        local.ready().await.unwrap();
    }
    put(&local, "media", "k", b"after").await.unwrap();
    assert_eq!(super::model::files(&local).len(), 3, "files whose record failed wait for the proof");
    let shared = local.shared.clone();
    std::thread::spawn(move || crate::local::gc::Collector::default().run_if_due(&shared).unwrap()).join().unwrap();
    assert_eq!(super::model::files(&local).len(), 0);
    local.close();
    drop(local);
    let local = Local::open(settings(dir.path())).unwrap();
    assert_eq!(get(&local, "media", "k").await.unwrap().as_deref(), Some(&b"after"[..]));
}

#[tokio::test]
async fn a_full_disk_still_deletes() {
    let dir = tempfile::tempdir().unwrap();
    let local = Local::open(settings(dir.path())).unwrap();
    make_bucket(&local, "media").await;
    put(&local, "media", "k", b"x").await.unwrap();
    local.close();
    drop(local);
    let local = Local::open(Settings { reserve_bytes: u64::MAX, ..settings(dir.path()) }).unwrap();
    assert_eq!(put(&local, "media", "l", b"x").await.err().map(|e| e.kind()), Some(ErrorKind::StorageFull));
    // Nor does a body on its way in take what is left.
    let staged = crate::ingest::writer::Writer::begin(local.staging(&tenant("acme")), None);
    assert_eq!(staged.err().map(|e| e.kind()), Some(ErrorKind::StorageFull));
    assert!(delete(&local, "media", "k").await.unwrap());
}

#[tokio::test]
async fn an_index_that_breaks_is_rebuilt_and_nothing_is_404_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let local = Local::open(settings(dir.path())).unwrap();
    make_bucket(&local, "media").await;
    put(&local, "media", "k", b"body").await.unwrap();
    local.shared.index.store(None);
    local.shared.hot.clear();
    let key = object_key("k");
    assert_eq!(
        local.stat(ObjectRef::current(&bucket_name("media"), &key), Freshness::Current).await.unwrap_err().kind(),
        ErrorKind::LocalUnavailable
    );
    assert!(local.ready().await.is_err());
    // The write that finds it starts the rebuild.
    assert_eq!(put(&local, "media", "l", b"x").await.err().map(|e| e.kind()), Some(ErrorKind::LocalUnavailable));
    while local.ready().await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    assert_eq!(get(&local, "media", "k").await.unwrap().as_deref(), Some(&b"body"[..]));
    put(&local, "media", "l", b"x").await.unwrap();
}

#[tokio::test]
async fn an_index_that_only_a_reader_finds_broken_is_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    let local = Local::open(settings(dir.path())).unwrap();
    make_bucket(&local, "media").await;
    put(&local, "media", "k", b"body").await.unwrap();
    local.shared.hot.clear();
    local.shared.index.load().as_ref().unwrap().fail_a_read();
    assert_eq!(get(&local, "media", "k").await.err().map(|e| e.kind()), Some(ErrorKind::LocalUnavailable));
    let begun = std::time::Instant::now();
    while get(&local, "media", "k").await.ok().flatten().is_none() {
        assert!(begun.elapsed() < std::time::Duration::from_secs(30), "not rebuilt");
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

/// A start reads them, and may be the first to find the harm.
#[tokio::test]
async fn settings_are_read_after_the_rebuild_of_a_broken_index() {
    let dir = tempfile::tempdir().unwrap();
    let local = Local::open(settings(dir.path())).unwrap();
    local.set_setting("keys", "one", Some(b"made".to_vec())).await.unwrap();
    let kept = vec![("one".to_owned(), b"made".to_vec())];
    for _ in 0..20 {
        local.shared.index.load().as_ref().unwrap().fail_a_read();
        assert_eq!(local.settings("keys").await.unwrap(), kept);
        local.shared.queue.report_broken();
        local.shared.index.store(None);
        assert_eq!(local.settings("keys").await.unwrap(), kept);
    }
    local.close();
    assert_eq!(local.settings("keys").await.unwrap_err().kind(), ErrorKind::LocalUnavailable);
}

/// Wherever a page of the index is harmed, and though nobody writes: what is there is told, or that it can't be told just now, and
/// soon it can. Most of the harm is found by the start already, some by the readers.
#[tokio::test]
async fn an_index_that_is_harmed_anywhere_is_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    let local = Local::open(settings(dir.path())).unwrap();
    make_bucket(&local, "media").await;
    for n in 0..300u32 {
        put(&local, "media", &format!("{n:03}-{}", "x".repeat(500)), b"body").await.unwrap();
    }
    local.close();
    drop(local);
    let (data, kept) = (dir.path().join("data"), dir.path().join("kept"));
    let db = data.join("index/db");
    // sled notes at each start where its pages lie, and looks at them no more before they are read.
    let local = Local::open(settings(dir.path())).unwrap();
    local.close();
    drop(local);
    copy_dir(&data.join("index"), &kept);
    let whole = std::fs::read(&db).unwrap();
    let length = whole.len();
    for at in (0..length).step_by(length / 24) {
        std::fs::remove_dir_all(data.join("index")).unwrap();
        copy_dir(&kept, &data.join("index"));
        let mut harmed = whole.clone();
        let end = (at + 3000).min(length);
        harmed[at..end].iter_mut().for_each(|byte| *byte ^= 0x55);
        std::fs::write(&db, harmed).unwrap();
        let local = Local::open(settings(dir.path())).unwrap();
        let query = ListQuery { max: 1000, ..ListQuery::default() };
        let begun = std::time::Instant::now();
        let page = loop {
            match local.list(&bucket_name("media"), &query).await {
                Ok(page) => break page,
                Err(e) => assert_eq!(e.kind(), ErrorKind::LocalUnavailable),
            }
            assert!(begun.elapsed() < std::time::Duration::from_secs(60), "harmed at {at}: not rebuilt");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        };
        assert_eq!(page.entries.len(), 300, "harmed at {at}");
        local.close();
    }
}

/// A pass takes away what of the journal it does not need any more; a rebuild that has begun to read needs all of it.
#[tokio::test]
async fn a_rebuild_and_a_pass_go_side_by_side() {
    let dir = tempfile::tempdir().unwrap();
    let local = Local::open(settings(dir.path())).unwrap();
    make_bucket(&local, "media").await;
    for round in 0..100 {
        let key = format!("{round:03}");
        put(&local, "media", &key, b"body").await.unwrap();
        let shared = local.shared.clone();
        let pass = std::thread::spawn(move || crate::local::gc::Collector::default().run(&shared, Default::default(), true).map(drop));
        local.shared.index.store(None);
        local.shared.queue.report_broken();
        until_rebuilt(&local).await;
        pass.join().unwrap().unwrap();
        assert_eq!(get(&local, "media", &key).await.unwrap().as_deref(), Some(&b"body"[..]));
    }
}

/// Nobody reads or writes meanwhile.
#[tokio::test]
async fn a_rebuild_that_fails_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let interval = std::time::Duration::from_millis(10);
    let local = Local::open(Settings { upkeep_interval: interval, ..settings(dir.path()) }).unwrap();
    make_bucket(&local, "media").await;
    put(&local, "media", "k", b"body").await.unwrap();
    // The broken index can't be set aside.
    let in_the_way = dir.path().join("data/index.broken");
    std::fs::write(&in_the_way, b"").unwrap();
    local.shared.index.store(None);
    tokio::time::sleep(interval * 20).await;
    assert!(local.ready().await.is_err());
    std::fs::remove_file(&in_the_way).unwrap();
    until_rebuilt(&local).await;
    assert_eq!(get(&local, "media", "k").await.unwrap().as_deref(), Some(&b"body"[..]));
}

async fn until_rebuilt(local: &Local) {
    let begun = std::time::Instant::now();
    while local.shared.index.load().is_none() {
        assert!(begun.elapsed() < std::time::Duration::from_secs(30), "not rebuilt");
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

fn copy_dir(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten().filter(|e| e.path().is_file()) {
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[tokio::test]
async fn a_second_process_and_a_newer_folder_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let local = Local::open(settings(dir.path())).unwrap();
    let second = Local::open(settings(dir.path())).err().unwrap();
    assert!(second.message().contains("in use by another"), "{second}");
    local.close();
    drop(local);
    std::fs::write(dir.path().join("data/FORMAT"), "tidegate 3\n").unwrap();
    let newer = Local::open(settings(dir.path())).err().unwrap();
    assert!(newer.message().contains("format 3"), "{newer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_identical_puts_end_with_one_file() {
    let dir = tempfile::tempdir().unwrap();
    let local = Local::open(settings(dir.path())).unwrap();
    make_bucket(&local, "media").await;
    for round in 0..10u64 {
        let body = bytes_of(round, 100_000);
        let puts = (0..16).map(|i| local.put(put_of(&local, "media", &format!("{round}/{i}"), &body), Quota::default())).collect();
        let results = futures_join(puts).await;
        assert_eq!(results.iter().filter(|r| r.as_ref().unwrap().dedup == Dedup::Miss).count(), 1);
    }
    // Files that lost the race are removed on blocking threads.
    while super::model::files(&local).len() > 10 {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    super::model::collect_garbage(&local);
    assert_eq!(super::model::files(&local).len(), 10);
}

/// Readers never see a mix, nor an older version after a newer one, while a key is overwritten and garbage is collected.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_see_whole_versions_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let local = Local::open(Settings { inline_limit: 1000, segment_bytes: 20_000, ..settings(dir.path()) }).unwrap();
    make_bucket(&local, "media").await;
    put(&local, "media", "k", &0u64.to_be_bytes().repeat(100)).await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (local, done) = (local.clone(), done.clone());
            tokio::spawn(async move {
                let mut last = 0;
                while !done.load(Ordering::Relaxed) {
                    let body = get(&local, "media", "k").await.unwrap().unwrap();
                    let version = u64::from_be_bytes(body[..8].try_into().unwrap());
                    assert!(body.chunks(8).all(|c| c == version.to_be_bytes()), "a mix");
                    assert!(version >= last, "{version} after {last}");
                    last = version;
                }
            })
        })
        .collect();
    for version in 1..300u64 {
        let words = if version % 2 == 0 { 100 } else { 200 };
        put(&local, "media", "k", &version.to_be_bytes().repeat(words)).await.unwrap();
        if version % 50 == 0 {
            let local = local.clone();
            tokio::task::spawn_blocking(move || super::model::collect_garbage(&local)).await.unwrap();
        }
    }
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
}
