//! Keys that others wrote, and links that stand in the folder: an export stays inside.

use std::os::unix::fs::symlink;

use tidegate::telemetry::metrics::Door;

use super::*;

#[test]
fn no_key_leaves_the_folder_and_each_that_can_not_be_a_file_is_counted() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    client.make_bucket(&operator(), "hostile");
    let bad = ["../evil", "a/../../evil", "a/..", "./x", "/abs", "a//b", "dir/", &format!("n/{}", "x".repeat(256)), "both"];
    let good = ["a/b", "both-1", "both/file", "a/..c", "C:\\x"];
    for key in bad.iter().chain(&good) {
        client.put(&operator(), "hostile", key, key.as_bytes()).expect(200);
    }
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("in/side");
    std::fs::create_dir_all(&dir).unwrap();
    let (ended, summary) = bring_out(gateway.address(Door::S3), "hostile", "", &dir, false);
    ended.unwrap();
    assert_eq!((summary.moved, summary.failed), (good.len() as u64, bad.len() as u64));
    let found = files(outer.path());
    let expected: Vec<String> = {
        let mut all: Vec<String> = good.iter().map(|g| format!("in/side/{g}")).collect();
        all.sort();
        all
    };
    assert_eq!(found.keys().cloned().collect::<Vec<_>>(), expected);
    for (path, bytes) in &found {
        assert_eq!(bytes, path.strip_prefix("in/side/").unwrap().as_bytes());
    }
}

#[test]
fn links_in_the_folder_are_not_followed() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    client.make_bucket(&operator(), "hostile");
    for key in ["link/file", "name", "ok"] {
        client.put(&operator(), "hostile", key, b"from the bucket").expect(200);
    }
    let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(outside.path().join("mine"), "from the bucket").unwrap();
    symlink(outside.path(), dir.path().join("link")).unwrap();
    symlink(outside.path().join("mine"), dir.path().join("name")).unwrap();
    for dry_run in [true, false] {
        let (ended, summary) = bring_out(gateway.address(Door::S3), "hostile", "", dir.path(), dry_run);
        ended.unwrap();
        assert_eq!((summary.moved, summary.failed), (1, 2));
    }
    assert_eq!(files(outside.path()).len(), 1);
    assert_eq!(std::fs::read(dir.path().join("ok")).unwrap(), b"from the bucket");
}

#[test]
fn a_file_in_the_way_of_a_folder_is_named_and_stays() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    client.make_bucket(&operator(), "hostile");
    client.put(&operator(), "hostile", "a/b", b"1").expect(200);
    client.put(&operator(), "hostile", "c", b"2").expect(200);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a"), "mine").unwrap();
    std::fs::create_dir(dir.path().join("c")).unwrap();
    let (ended, summary) = bring_out(gateway.address(Door::S3), "hostile", "", dir.path(), false);
    ended.unwrap();
    assert_eq!((summary.moved, summary.failed), (0, 2));
    assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), b"mine");
}

/// Nothing is known of a bucket that is not the caller's.
#[test]
fn a_stranger_moves_nothing() {
    let gateway = Gateway::start();
    gateway.client().make_bucket(&crate::support::gateway::acme(), "acmes");
    gateway.client().put(&crate::support::gateway::acme(), "acmes", "k", b"x").expect(200);
    let dir = tempfile::tempdir().unwrap();
    block_on(async {
        let source = remote_as(&crate::support::gateway::bravo(), gateway.address(Door::S3), "acmes", "").await;
        let work = Export { run: run(false), source, dir: dir.path().to_owned(), tags: None };
        let fault = export::export(Arc::new(work)).await.unwrap_err();
        assert!(fault.is(&["AccessDenied"]), "{fault}");
    });
    assert!(files(dir.path()).is_empty());
}
