//! What is there after a restart, and what was done to it meanwhile.

use std::time::SystemTime;

use super::*;
use crate::cache::purge::{Meant, Purged};

fn learn(cache: &Cache, name: &str, of: &SharedObject) {
    let ticket = cache.known_keys().begin(&bucket(), &key(name));
    cache.learn(ticket, &bucket(), &key(name), Some(of.clone()));
}

#[tokio::test]
async fn blocks_and_what_is_known_survive() {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::new());
    let sizes = [1, 4096, MIB, 3 * MIB + 5, 300_000];
    let cache = started(settings(dir.path())).await;
    for (n, size) in sizes.into_iter().enumerate() {
        let of = object(n as u64, size);
        learn(&cache, &format!("k{n}"), &of);
        read(&cache, &up, &format!("k{n}"), &of, 0, size).await;
    }
    settled(&cache).await;
    let (used, fetched) = (cache.used(), up.count());
    assert_eq!(cache.remembered(&bucket(), &key("k1")).await.unwrap().0, object(1, 4096));
    drop(cache);
    // As a kill leaves it.
    std::fs::write(dir.path().join("cache/.making/77"), "half").unwrap();
    std::fs::write(dir.path().join("cache/stray"), "?").unwrap();
    let cache = started(settings(dir.path())).await;
    assert_eq!(cache.used(), used);
    for (n, size) in sizes.into_iter().enumerate() {
        let (of, name) = (object(n as u64, size), format!("k{n}"));
        let (known, since) = cache.remembered(&bucket(), &key(&name)).await.unwrap();
        assert_eq!(known, of);
        assert!(since <= SystemTime::now() && since > SystemTime::now() - Duration::from_secs(60));
        read(&cache, &up, &name, &of, 0, size).await;
        read(&cache, &up, &name, &of, size / 2, size).await;
    }
    assert_eq!(up.count(), fetched);
    assert!(cache.remembered(&bucket(), &key("none")).await.is_none());
    // Cut in another way, they are other blocks.
    drop(cache);
    let cache = started(Settings { block_bytes: 65_536, ..settings(dir.path()) }).await;
    read(&cache, &up, "k3", &object(3, 3 * MIB + 5), 0, 3 * MIB + 5).await;
    assert!(up.count() > fetched);
}

#[tokio::test]
async fn what_was_changed_is_not_remembered() {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::new());
    let cache = started(settings(dir.path())).await;
    let (old, new) = (object(1, MIB), object(2, MIB));
    for name in ["overwritten", "replaced", "same", "unknown"] {
        if name != "unknown" {
            learn(&cache, name, &old);
        }
        read(&cache, &up, name, &old, 0, MIB).await;
    }
    settled(&cache).await;
    cache.outdate_durably(&bucket(), &key("overwritten")).await;
    learn(&cache, "replaced", &new);
    read(&cache, &up, "replaced", &new, 0, MIB).await;
    settled(&cache).await;
    drop(cache);
    let cache = started(settings(dir.path())).await;
    let known = async |name: &str| cache.remembered(&bucket(), &key(name)).await.map(|(o, _)| o);
    assert_eq!(known("overwritten").await, None);
    assert_eq!(known("replaced").await, Some(new));
    assert_eq!(known("same").await, Some(old.clone()));
    assert_eq!(known("unknown").await, None, "nobody said that it was current");
    // Its bytes are its version's all the same.
    let fetched = up.count();
    read(&cache, &up, "overwritten", &old, 0, MIB).await;
    assert_eq!(up.count(), fetched);
}

#[tokio::test]
async fn damaged_cut_and_swapped_files_are_misses() {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::new());
    let cache = started(settings(dir.path())).await;
    for n in 0..40 {
        let of = object(n, 200_000 + n * 3000);
        read(&cache, &up, &format!("k{n}"), &of, 0, of.size).await;
    }
    settled(&cache).await;
    let fetched = up.count();
    drop(cache);
    let all: Vec<_> = files(dir.path()).into_iter().collect();
    let mut touched = 0;
    for (n, (path, len)) in all.iter().enumerate() {
        let mut bytes = std::fs::read(path).unwrap();
        let at = (n * 7919) % bytes.len();
        match n % 5 {
            0 => bytes[at] ^= 1 << (n % 8),
            1 => bytes.truncate(at),
            2 => bytes.push(0),
            3 => bytes = std::fs::read(&all[(n + 1) % all.len()].0).unwrap(),
            _ => continue,
        }
        assert!(*len > 0);
        touched += 1;
        std::fs::write(path, bytes).unwrap();
    }
    let cache = started(settings(dir.path())).await;
    for n in 0..40 {
        let of = object(n, 200_000 + n * 3000);
        read(&cache, &up, &format!("k{n}"), &of, 0, of.size).await;
    }
    settled(&cache).await;
    assert_eq!(up.count(), fetched + touched);
}

#[tokio::test]
async fn purges_count_exactly() {
    let (dir, up) = (tempfile::tempdir().unwrap(), Upstream::new());
    let cache = started(settings(dir.path())).await;
    for name in ["a/1", "a/2", "b/1"] {
        let of = object(1, 2 * MIB + 1);
        learn(&cache, name, &of);
        read(&cache, &up, name, &of, 0, of.size).await;
    }
    learn(&cache, "a/known", &object(9, 5));
    settled(&cache).await;
    let prefix = |p: &str| Meant::Prefix(bucket(), p.into());
    assert_eq!(cache.soften(prefix("a/")).await, Purged { objects: 3, blocks: 0 });
    assert_eq!(cache.forget(Meant::Key(bucket(), key("a/1"))).await, Purged { objects: 1, blocks: 3 });
    assert_eq!(cache.forget(Meant::Key(bucket(), key("a/1"))).await, Purged::default());
    assert_eq!(cache.forget(prefix("a/")).await, Purged { objects: 2, blocks: 3 });
    assert_eq!(files(dir.path()).len(), 3);
    drop(cache);
    let cache = started(settings(dir.path())).await;
    assert_eq!(cache.soften(prefix("")).await, Purged { objects: 1, blocks: 0 });
    assert_eq!(cache.forget(prefix("")).await, Purged { objects: 1, blocks: 3 });
    assert_eq!((cache.used(), files(dir.path()).len()), (0, 0));
}
