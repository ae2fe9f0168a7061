//! The everyday: put, get, list, delete, dedup, and all of it again after a restart with and without the index.

use super::*;
use crate::base::error::ErrorKind;
use crate::base::object::{ListEntry, ListQuery};
use crate::base::object_ref::ObjectRef;
use crate::local::rows::Table;
use crate::local::sealed::Sealing;
use crate::origin::{OwnSettings, Usage};

async fn keys(local: &Local, prefix: &str, delimiter: &str, after: &str, max: usize) -> (Vec<String>, Option<String>) {
    let query = ListQuery { prefix: prefix.into(), delimiter: delimiter.into(), after: after.into(), max };
    let page = local.list(&bucket_name("media"), &query).await.unwrap();
    let names = page.entries.iter().map(|e| match e {
        ListEntry::Object(o) => o.key.to_string(),
        ListEntry::CommonPrefix(p) => p.clone(),
    });
    (names.collect(), page.next)
}

#[tokio::test]
async fn a_body_of_every_size_comes_back_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let sizes = [0, 1, 4096, 64 * 1024, 64 * 1024 + 1, 1024 * 1024, 3_000_000];
    let mut local = Local::open(settings(dir.path())).unwrap();
    make_bucket(&local, "media").await;
    for size in sizes {
        let written = put(&local, "media", &format!("o/{size}"), &bytes_of(size as u64, size)).await.unwrap();
        assert_eq!(written.dedup, Dedup::Miss);
        assert_eq!(written.object.size, size as u64);
    }
    for round in 0..4 {
        for size in sizes {
            let body = get(&local, "media", &format!("o/{size}")).await.unwrap();
            assert_eq!(body, Some(bytes_of(size as u64, size)), "round {round}, size {size}");
        }
        let total = sizes.iter().sum::<usize>() as u64;
        assert_eq!(local.usage(&tenant("acme")).await.unwrap(), Usage { bytes: total, objects: sizes.len() as u64 });
        if round > 0 {
            local.close();
        }
        drop(local);
        if round == 2 {
            std::fs::remove_dir_all(dir.path().join("data/index")).unwrap();
        }
        local = Local::open(settings(dir.path())).unwrap();
    }
    assert_eq!(get(&local, "media", "nothing").await.unwrap(), None);
    let gone = local.stat(ObjectRef::current(&bucket_name("no-such"), &object_key("k")), Freshness::Current).await;
    assert_eq!(gone.unwrap_err().kind(), ErrorKind::NoSuchBucket);
}

#[tokio::test]
async fn the_same_content_is_kept_once_and_survives_its_first_key() {
    let dir = tempfile::tempdir().unwrap();
    let local = Local::open(settings(dir.path())).unwrap();
    make_bucket(&local, "media").await;
    for size in [100usize, 200_000] {
        let body = bytes_of(7, size);
        assert_eq!(put_dedup(&local, "media", "first", &body).await, Dedup::Miss);
        assert_eq!(put_dedup(&local, "media", "second", &body).await, Dedup::Hit);
        assert_eq!(put_dedup(&local, "media", "second", &body).await, Dedup::Hit);
        assert!(delete(&local, "media", "first").await.unwrap());
        assert!(!delete(&local, "media", "first").await.unwrap());
        assert_eq!(get(&local, "media", "second").await.unwrap(), Some(body.clone()));
        assert!(delete(&local, "media", "second").await.unwrap());
        assert_eq!(put_dedup(&local, "media", "third", &body).await, Dedup::Miss);
        assert_eq!(get(&local, "media", "third").await.unwrap(), Some(body));
    }
    let mut foreign = put_of(&local, "media", "foreign", &bytes_of(7, 200_000));
    foreign.owner = tenant("other");
    assert_eq!(local.put(foreign, Quota::default()).await.unwrap().dedup, Dedup::Miss, "nothing is shared between tenants");
}

#[tokio::test]
async fn pages_with_prefix_and_delimiter() {
    let dir = tempfile::tempdir().unwrap();
    let local = Local::open(settings(dir.path())).unwrap();
    make_bucket(&local, "media").await;
    make_bucket(&local, "media2").await;
    for key in ["a", "a/1", "a/2", "a/b/3", "a0", "b/x", "c", "é/1"] {
        put(&local, "media", key, b"x").await.unwrap();
    }
    put(&local, "media2", "z", b"x").await.unwrap();
    let all = ["a", "a/1", "a/2", "a/b/3", "a0", "b/x", "c", "é/1"].map(String::from).to_vec();
    assert_eq!(keys(&local, "", "", "", 1000).await, (all, None));
    let folded = ["a", "a/", "a0", "b/", "c", "é/"].map(String::from).to_vec();
    assert_eq!(keys(&local, "", "/", "", 1000).await, (folded.clone(), None));
    for max in 1..7 {
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let (page, next) = keys(&local, "", "/", &after, max).await;
            assert!(page.len() <= max);
            seen.extend(page);
            let Some(next) = next else { break };
            after = next;
        }
        assert_eq!(seen, folded, "pages of {max}");
    }
    assert_eq!(keys(&local, "a/", "/", "", 1000).await.0, ["a/1", "a/2", "a/b/"]);
    assert_eq!(keys(&local, "", "", "a/2", 2).await, (["a/b/3", "a0"].map(String::from).to_vec(), Some("a0".into())));
    assert_eq!(keys(&local, "", "/", "a/1", 1000).await.0, ["a0", "b/", "c", "é/"]);
    assert_eq!(keys(&local, "", "", "", 0).await, (vec![], None));
}

#[tokio::test]
async fn preconditions_and_quotas_are_decided_with_the_write() {
    let dir = tempfile::tempdir().unwrap();
    let local = Local::open(settings(dir.path())).unwrap();
    make_bucket(&local, "media").await;
    let conditional = |body: &[u8]| {
        let mut put = put_of(&local, "media", "k", body);
        put.conditions = WriteConditions::absent();
        put
    };
    // All at once: exactly one may win.
    let puts = (0..20).map(|i| local.put(conditional(&bytes_of(i, 100)), Quota::default()));
    let mut won = 0;
    for result in futures_join(puts.collect()).await {
        match result {
            Ok(_) => won += 1,
            Err(e) => assert_eq!(e.kind(), ErrorKind::PreconditionFailed),
        }
    }
    assert_eq!(won, 1);
    let quota = Quota { bytes: Some(250), objects: Some(2) };
    let over = local.put(put_of(&local, "media", "big", &[0; 200]), quota).await;
    assert_eq!(over.err().map(|e| e.kind()), Some(ErrorKind::QuotaExceeded));
    assert!(local.put(put_of(&local, "media", "k", &[0; 200]), quota).await.is_ok(), "what is replaced makes room");
    assert!(local.put(put_of(&local, "media", "l", &[1; 50]), quota).await.is_ok());
    let over = local.put(put_of(&local, "media", "m", b""), quota).await;
    assert_eq!(over.err().map(|e| e.kind()), Some(ErrorKind::QuotaExceeded));
    let not_empty = local.delete_bucket(&bucket_name("media")).await;
    assert_eq!(not_empty.unwrap_err().kind(), ErrorKind::BucketNotEmpty);
}

pub async fn futures_join<T>(mut futures: Vec<crate::origin::Pending<'_, T>>) -> Vec<Result<T>> {
    let mut results: Vec<Option<Result<T>>> = futures.iter().map(|_| None).collect();
    poll_fn(|cx| {
        let mut pending = false;
        for (future, result) in futures.iter_mut().zip(&mut results) {
            if result.is_none() {
                match future.as_mut().poll(cx) {
                    std::task::Poll::Ready(r) => *result = Some(r),
                    std::task::Poll::Pending => pending = true,
                }
            }
        }
        if pending { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
    results.into_iter().flatten().collect()
}

#[tokio::test]
async fn settings_of_before_are_sealed_at_the_next_start_and_open_with_one_secret() {
    const DOCUMENT: &[u8] = b"{\"secret\":\"of-a-made-key\"}";
    let dir = tempfile::tempdir().unwrap();
    let sealed_by = |secret: &[u8]| Settings { sealing: Sealing::new(secret, None).unwrap(), ..settings(dir.path()) };
    let kept = |local: &Arc<Local>| {
        let row = local.shared.index().unwrap().get(Table::Settings, b"keys\0TGX").unwrap().unwrap();
        row.windows(DOCUMENT.len()).any(|w| w == DOCUMENT)
    };
    let local = Local::open(settings(dir.path())).unwrap();
    local.set_setting("keys", "TGX", Some(DOCUMENT.to_vec())).await.unwrap();
    assert!(kept(&local));
    local.close();
    for _ in 0..2 {
        let local = Local::open(sealed_by(b"the operator's")).unwrap();
        assert!(!kept(&local));
        assert_eq!(local.settings("keys").await.unwrap(), [("TGX".to_owned(), DOCUMENT.to_vec())]);
        assert!(!local.add_setting("keys", "TGX", b"{}".to_vec()).await.unwrap());
        local.close();
    }
    for other in [sealed_by(b"another's"), settings(dir.path())] {
        assert!(Local::open(other).err().unwrap().message().contains("another operator's secret"));
    }
    // Nothing was changed by who was refused.
    Local::open(sealed_by(b"the operator's")).unwrap().close();
}
