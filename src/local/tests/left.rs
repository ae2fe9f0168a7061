//! Writes that nobody waits for any more, and what a crash leaves: an object, or nothing.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use super::model::files;
use super::multipart::upload_of;
use super::*;
use crate::base::object_ref::ObjectRef;
use crate::journal::Fault;
use crate::local::gc::Collector;
use crate::local::placing::{Name, Placed};
use crate::local::rows::DropKind;
use crate::local::scope::Scope;
use crate::origin::Pending;

/// Polls a write that often, then lets go of it, wherever it is.
async fn let_go_after<T>(mut write: Pending<'_, T>, polls: usize) {
    for _ in 0..polls {
        if poll_fn(|cx| Poll::Ready(write.as_mut().poll(cx).is_ready())).await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn count(dir: &Path) -> usize {
    std::fs::read_dir(dir).unwrap().count()
}

async fn pass(local: &Arc<Local>) {
    let shared = local.shared.clone();
    tokio::task::spawn_blocking(move || Collector::default().run_if_due(&shared)).await.unwrap().unwrap();
}

/// Collector until this many files are left, and nothing of what is on its way.
async fn settles_at(local: &Arc<Local>, expected: usize, what: &str) {
    let layout = &local.shared.layout;
    for _ in 0..500 {
        pass(local).await;
        // The run that is being written to keeps its note.
        if (files(local).len(), count(&layout.staging())) == (expected, 0) && count(&layout.placing()) <= 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("{what}: {expected} expected, there are {:?}, {}, {}", files(local), count(&layout.staging()), count(&layout.placing()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_nobody_waits_for_leaves_an_object_or_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let failing = Arc::new(AtomicBool::new(false));
    let hook = failing.clone();
    let fault = Fault(Arc::new(move |_| match hook.load(Ordering::Relaxed) {
        true => Err(std::io::Error::from_raw_os_error(libc::EIO)),
        false => Ok(()),
    }));
    let local = Local::open(Settings { fault: Some(fault), ..settings(dir.path()) }).unwrap();
    make_bucket(&local, "media").await;
    let upload = upload_of("parts", "u1", None);
    local.create_upload(upload.clone()).await.unwrap();
    for polls in 0..12 {
        for journal_fails in [false, true] {
            let what = format!("{polls} polls, the journal fails: {journal_fails}");
            failing.store(journal_fails, Ordering::Relaxed);
            let body = bytes_of(polls as u64 + 1, 200_000);
            let_go_after(local.put(put_of(&local, "media", "k", &body), Quota::default()), polls).await;
            let part = received(&local, &body, ChecksumAlgorithm::Crc64Nvme);
            let_go_after(local.put_part(&upload, 1, part, Quota::default()), polls).await;
            // What was taken up goes on to its end: this one comes after it.
            let _ = put(&local, "media", "after", b"x").await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            failing.store(false, Ordering::Relaxed);
            let _ = put(&local, "media", "after", b"x").await;
            let written = local.stat(ObjectRef::current(&bucket_name("media"), &object_key("k")), Freshness::Current).await.unwrap();
            let parts = local.parts(&upload, 0, 10).await.unwrap().0;
            settles_at(&local, usize::from(written.is_some()) + parts.len(), &what).await;
            if let Some(object) = written {
                assert_eq!(object.size, 200_000, "{what}");
                assert!(get(&local, "media", "k").await.unwrap().is_some(), "{what}");
                delete(&local, "media", "k").await.unwrap();
            }
            assert!(parts.iter().all(|p| p.size == 200_000));
        }
    }
}

/// As `kill -9` leaves it: between a file's rename and its record, or after the record.
#[tokio::test]
async fn what_a_crash_left_in_place_is_asked_of_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let local = Local::open(settings(dir.path())).unwrap();
    make_bucket(&local, "media").await;
    put(&local, "media", "recorded", &bytes_of(1, 100_000)).await.unwrap();
    let recorded =
        local.stat(ObjectRef::current(&bucket_name("media"), &object_key("recorded")), Freshness::Current).await.unwrap().unwrap();
    let entry = local.shared.entry(&bucket_name("media"), &object_key("recorded")).await.unwrap().unwrap();
    let crate::local::rows::BodyPlace::File { id } = entry.place else { panic!("not a file") };
    let kinds = [
        (DropKind::Blob(VerifiedSha256::proven(Sha256([9; 32]))), local.shared.ids.next(), true),
        (DropKind::Part, local.shared.ids.next(), true),
        // Begun, and killed before the rename.
        (DropKind::Part, local.shared.ids.next(), false),
        (DropKind::Blob(recorded.sha256.unwrap()), id, false),
    ];
    for (kind, id, there) in kinds {
        let shared = &local.shared;
        let folder = shared.folders.open(&shared.layout, &Scope::parse("acme").unwrap(), id).unwrap();
        let placed =
            Placed::begin(&shared.layout, &shared.orphans, &folder, Name { scope: Scope::parse("acme").unwrap(), kind, id }).unwrap();
        if there {
            std::fs::write(placed.path(), b"left by a crash").unwrap();
        }
        std::mem::forget(placed);
    }
    assert_eq!((files(&local).len(), count(&local.shared.layout.placing())), (3, 1));
    local.close();
    drop(local);
    for without_index in [false, true] {
        if without_index {
            std::fs::remove_dir_all(dir.path().join("data/index")).unwrap();
        }
        let local = Local::open(settings(dir.path())).unwrap();
        settles_at(&local, 1, "after the start").await;
        assert_eq!(get(&local, "media", "recorded").await.unwrap(), Some(bytes_of(1, 100_000)));
        local.close();
    }
    let report = crate::local::fsck::fsck(&settings(dir.path()), crate::local::fsck::Options { verify: true, repair: false }).unwrap();
    assert!(report.is_clean(), "{report:?}");
}
