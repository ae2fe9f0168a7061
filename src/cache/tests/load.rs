//! Many readers at once on a cache that is too small for them, with faults: every byte right, and the limit kept at every moment.

use super::*;

fn on_disk(files: &HashMap<std::path::PathBuf, u64>) -> u64 {
    files.values().map(|len| len.div_ceil(4096) * 4096).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_holds_under_load() {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::new());
    let limit = 12 * MIB;
    let mut set = Settings { disk_bytes: limit, block_bytes: 300_000, fetches: 6, ..settings(dir.path()) };
    set.files.open_files = 16;
    let cache = started(set.clone()).await;
    let watching = Arc::new(AtomicBool::new(true));
    let watch = {
        let (watching, dir) = (watching.clone(), dir.path().to_owned());
        tokio::task::spawn_blocking(move || {
            let (mut most, mut before) = (0, HashMap::new());
            while watching.load(Ordering::Relaxed) {
                // A look takes a while: only one that finds what the one before found is of a moment.
                let now = files(&dir);
                if now == before {
                    most = most.max(on_disk(&now));
                }
                before = now;
            }
            most
        })
    };
    let readers: Vec<_> = (0..16u64)
        .map(|reader| {
            let (cache, up) = (cache.clone(), up.clone());
            tokio::spawn(async move {
                let mut state = reader * 977 + 5;
                for _ in 0..60 {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let seed = (state >> 20) % 24;
                    let of = object(seed, 1000 + seed * 130_000);
                    let start = (state >> 33) % of.size;
                    let end = start + 1 + (state >> 11) % (of.size - start);
                    if state % 7 == 0 {
                        up.breaks.lock().unwrap().push((state >> 5) % 200_000);
                    }
                    let name = format!("k{seed}");
                    match open(&cache, &up, &name, &of, start, end).await {
                        // Some leave at once.
                        Ok(Some(_)) if state % 11 == 0 => {}
                        Ok(Some(body)) => match collect(body).await {
                            Ok(bytes) => assert!(bytes == content(seed, ByteRange { start, end })),
                            Err(e) => assert_eq!(e.kind(), ErrorKind::BadGateway),
                        },
                        Ok(None) => panic!("nothing is gone"),
                        Err(e) => assert_eq!(e.kind(), ErrorKind::BadGateway),
                    }
                }
            })
        })
        .collect();
    for reader in readers {
        reader.await.unwrap();
    }
    settled(&cache).await;
    watching.store(false, Ordering::Relaxed);
    let most = watch.await.unwrap().max(on_disk(&files(dir.path())));
    assert!(most <= limit, "{most} of {limit}");
    assert!(most > limit / 2, "the room is used: {most}");
    assert_eq!(cache.used(), on_disk(&files(dir.path())));
    // A smaller limit holds from the start on.
    drop(cache);
    let smaller = started(Settings { disk_bytes: 2 * MIB, ..set }).await;
    assert!(on_disk(&files(dir.path())) <= 2 * MIB);
    assert_eq!(smaller.used(), on_disk(&files(dir.path())));
}
