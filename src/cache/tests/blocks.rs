//! One request for each block, and no more bytes than are wanted.

use super::*;

#[tokio::test]
async fn a_thousand_who_miss_the_same_cost_one_request() {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::new());
    let cache = started(settings(dir.path())).await;
    let of = object(1, 5 * MIB + 17);
    up.hold();
    let readers: Vec<_> = (0..1000)
        .map(|_| {
            let (cache, up, of) = (cache.clone(), up.clone(), of.clone());
            tokio::spawn(async move { read(&cache, &up, "k", &of, 0, of.size).await })
        })
        .collect();
    while cache.0.filling().is_empty() {
        tokio::task::yield_now().await;
    }
    up.let_go();
    for reader in readers {
        reader.await.unwrap();
    }
    assert_eq!(*up.fetches.lock().unwrap(), [(1, ByteRange { start: 0, end: of.size })]);
    settled(&cache).await;
    read(&cache, &up, "k", &of, 0, of.size).await;
    assert_eq!(up.count(), 1);
    assert_eq!(files(dir.path()).len(), 6);
}

#[tokio::test]
async fn a_small_range_of_a_large_object_costs_one_block() {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::new());
    let cache = started(settings(dir.path())).await;
    let of = object(2, 10 << 30);
    let at = (7 << 30) + 12_345;
    read(&cache, &up, "k", &of, at, at + 100).await;
    settled(&cache).await;
    let block = at / MIB * MIB;
    assert_eq!(*up.fetches.lock().unwrap(), [(2, ByteRange { start: block, end: block + MIB })]);
    read(&cache, &up, "k", &of, block, block + MIB).await;
    assert_eq!(up.count(), 1);
    // Random jumps stay that cheap.
    for n in [5u64, 900, 77, 4000] {
        read(&cache, &up, "k", &of, n * MIB + 9, n * MIB + 99).await;
    }
    settled(&cache).await;
    assert_eq!(up.sent.load(Ordering::Relaxed), 5 * MIB);
}

#[tokio::test]
async fn who_goes_on_where_he_stopped_is_read_ahead_of() {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::new());
    let cache = started(settings(dir.path())).await;
    let of = object(3, 64 * MIB);
    for n in 0..48 {
        read(&cache, &up, "k", &of, n * MIB, (n + 1) * MIB).await;
        settled(&cache).await;
    }
    assert!(up.count() <= 16, "{} requests for 48 blocks", up.count());
}

#[tokio::test]
async fn ranges_of_all_kinds_are_right() {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::new());
    up.piece.store(100_003, Ordering::Relaxed);
    let cache = started(Settings { block_bytes: 300_000, ..settings(dir.path()) }).await;
    let of = object(4, 7_000_123);
    let mut state = 99u64;
    for _ in 0..300 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let start = (state >> 16) % of.size;
        let end = start + 1 + (state >> 40) % (of.size - start);
        read(&cache, &up, "k", &of, start, end).await;
    }
    settled(&cache).await;
    // Each block once. Of a piece, what lies beyond the last block that somebody wanted may come again: nine bytes for each block.
    let again = up.sent.load(Ordering::Relaxed) - of.size;
    assert!(again <= up.count() as u64 * 9 * 24, "{again} bytes twice");
    read(&cache, &up, "k", &of, of.size - 1, of.size).await;
    read(&cache, &up, "small", &object(5, 1), 0, 1).await;
}

#[tokio::test]
async fn versions_do_not_mix() {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::new());
    let cache = started(settings(dir.path())).await;
    for seed in 0..4 {
        for name in ["a", "b"] {
            read(&cache, &up, name, &object(seed, 2 * MIB), 0, 2 * MIB).await;
        }
    }
    settled(&cache).await;
    assert_eq!(up.count(), 8);
    let mut other = ObjectInfo::clone(&object(1, 2 * MIB));
    other.owner = TenantId::parse("bravo").unwrap();
    read(&cache, &up, "a", &Arc::new(other), 0, 2 * MIB).await;
    assert_eq!(up.count(), 9, "nothing is shared between tenants");
}

#[tokio::test]
async fn nothing_is_fetched_for_those_who_left() {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::new());
    let cache = started(settings(dir.path())).await;
    let of = object(6, 64 * MIB);
    // The first asker leaves while another waits: the fetch goes on.
    up.hold();
    let first = tokio::spawn({
        let (cache, up, of) = (cache.clone(), up.clone(), of.clone());
        async move { drop(open(&cache, &up, "k", &of, 0, 4 * MIB).await) }
    });
    while cache.0.filling().is_empty() {
        tokio::task::yield_now().await;
    }
    let second = tokio::spawn({
        let (cache, up, of) = (cache.clone(), up.clone(), of.clone());
        async move { read(&cache, &up, "k", &of, 0, 4 * MIB).await }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    first.abort();
    up.let_go();
    second.await.unwrap();
    settled(&cache).await;
    assert_eq!(up.count(), 1);
    // All leave: it ends with the block at hand.
    drop(open(&cache, &up, "other", &of, 0, of.size).await.unwrap());
    settled(&cache).await;
    let sent = up.sent.load(Ordering::Relaxed);
    assert!(sent <= 4 * MIB + 4 * MIB, "{sent}");
}

#[tokio::test]
async fn a_slow_reader_holds_up_nobody_and_costs_little() {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::new());
    let cache = started(settings(dir.path())).await;
    let of = object(7, 10 << 30);
    let mut slow = Vec::new();
    for n in 0..64 {
        let start = n * 100 * MIB;
        slow.push((start, open(&cache, &up, "k", &of, start, of.size).await.unwrap().unwrap()));
    }
    settled(&cache).await;
    // Each has what lies ahead of its reader, and no more.
    assert!(up.sent.load(Ordering::Relaxed) <= 64 * 17 * MIB);
    assert!(cache.0.filling().is_empty());
    // They are all still right, though their blocks are elsewhere or gone by now.
    for (start, body) in slow {
        let Body::Stream(mut source) = body else { panic!("all of it in memory") };
        let mut at = start;
        while at < start + 12 * MIB {
            let piece = poll_fn(|cx| source.as_mut().poll_next(cx)).await.unwrap().unwrap();
            assert!(piece == content(7, ByteRange { start: at, end: at + piece.len() as u64 }));
            at += piece.len() as u64;
        }
    }
}

#[tokio::test]
async fn without_a_disk_memory_does() {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::new());
    let cache = started(Settings { disk_bytes: 0, ..settings(dir.path()) }).await;
    let of = object(8, 3 * MIB);
    for _ in 0..3 {
        read(&cache, &up, "k", &of, 0, of.size).await;
        settled(&cache).await;
    }
    assert_eq!(up.count(), 1);
    let large = object(9, 40 * MIB);
    read(&cache, &up, "large", &large, 0, large.size).await;
    assert!(files(dir.path()).is_empty());
}
