//! Upstreams that fail, stall, break off, change; disks that forget and lie.

use super::*;

#[tokio::test]
async fn a_body_that_breaks_is_resumed_or_breaks() {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::new());
    let cache = started(settings(dir.path())).await;
    let of = object(1, 6 * MIB);
    *up.breaks.lock().unwrap() = vec![2 * MIB, 1, MIB + 5];
    read(&cache, &up, "k", &of, 0, of.size).await;
    settled(&cache).await;
    assert_eq!((up.count(), up.sent.load(Ordering::Relaxed)), (4, of.size));

    *up.breaks.lock().unwrap() = vec![0; 100].into_iter().chain([3 * MIB]).collect();
    let broken = open(&cache, &up, "other", &of, 0, of.size).await.unwrap().unwrap();
    assert_eq!(collect(broken).await.unwrap_err().kind(), ErrorKind::BadGateway);
    let before = open(&cache, &up, "third", &of, 0, of.size).await;
    assert_eq!(before.err().map(|e| e.kind()), Some(ErrorKind::BadGateway), "told before the first byte");
    up.breaks.lock().unwrap().clear();
    read(&cache, &up, "other", &of, 0, of.size).await;
}

#[tokio::test]
async fn faults_are_told_to_all_and_kept_for_nobody() {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::new());
    let cache = started(settings(dir.path())).await;
    let of = object(2, MIB);
    up.faults.lock().unwrap().push(ErrorKind::GatewayTimeout);
    assert_eq!(open(&cache, &up, "k", &of, 0, 10).await.err().map(|e| e.kind()), Some(ErrorKind::GatewayTimeout));
    read(&cache, &up, "k", &of, 0, of.size).await;
    up.too_long.store(true, Ordering::Relaxed);
    let long = object(3, 2 * MIB);
    let body = open(&cache, &up, "k", &long, 0, long.size).await.unwrap().unwrap();
    // What came before the fault was right.
    assert!(collect(body).await.is_ok_and(|b| b == content(3, ByteRange { start: 0, end: long.size })));
}

#[tokio::test]
async fn a_version_that_is_gone() {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::new());
    let cache = started(settings(dir.path())).await;
    let of = object(4, 32 * MIB);
    read(&cache, &up, "k", &of, 0, 100).await;
    settled(&cache).await;
    let begun = open(&cache, &up, "k", &of, 0, of.size).await.unwrap().unwrap();
    up.gone.lock().unwrap().push(4);
    assert!(collect(begun).await.is_err(), "no other version's bytes, and no clean end");
    assert!(open(&cache, &up, "k", &of, 20 * MIB, of.size).await.unwrap().is_none());
    read(&cache, &up, "k", &of, 0, 100).await;
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_stalls_has_broken() {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::new());
    let cache = started(settings(dir.path())).await;
    up.hold();
    let stalled = open(&cache, &up, "k", &object(5, MIB), 0, 10).await;
    assert_eq!(stalled.err().map(|e| e.kind()), Some(ErrorKind::GatewayTimeout));
    up.let_go();
}

#[tokio::test]
async fn files_that_go_or_lie_while_running_are_misses() {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::new());
    let mut set = settings(dir.path());
    set.files.open_files = 1;
    let cache = started(set).await;
    let of = object(6, 8 * MIB);
    read(&cache, &up, "k", &of, 0, of.size).await;
    settled(&cache).await;
    for (n, (path, len)) in files(dir.path()).into_iter().enumerate() {
        match n % 3 {
            0 => std::fs::remove_file(path).unwrap(),
            // As `truncate` would leave it, and not one that is mapped.
            1 => std::fs::write(dir.path().join("short"), vec![0; len as usize / 2])
                .and_then(|()| std::fs::rename(dir.path().join("short"), path))
                .unwrap(),
            _ => {}
        }
    }
    // Twice: the one that is open may be read once more although it is gone.
    for _ in 0..2 {
        read(&cache, &up, "k", &of, 0, of.size).await;
        settled(&cache).await;
    }
    let fetched = up.count();
    read(&cache, &up, "k", &of, 0, of.size).await;
    assert_eq!(up.count(), fetched);
}

#[tokio::test]
async fn a_disk_that_takes_nothing_is_no_fault() {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::new());
    let cache = started(Settings { reserve_bytes: u64::MAX, ..settings(dir.path()) }).await;
    let of = object(7, 20 * MIB);
    read(&cache, &up, "k", &of, 0, of.size).await;
    settled(&cache).await;
    assert_eq!(cache.used(), 0);
    std::fs::write(dir.path().join("file"), "").unwrap();
    let nowhere = started(Settings { dir: dir.path().join("file/cache"), ..settings(dir.path()) }).await;
    read(&nowhere, &up, "k", &of, 0, of.size).await;
}
