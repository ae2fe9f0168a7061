//! There and back: what comes out is what went in, nothing is sent twice, and a dry run does nothing.

use std::path::Path;

use proptest::prelude::*;
use tidegate::moving::progress::Summary;
use tidegate::telemetry::metrics::Door;

use super::*;
use crate::support::client::{Request, Sign};

fn put(root: &Path, name: &str, bytes: &[u8]) -> bool {
    let path = root.join(name);
    // A file may stand where a folder would have to be, and the other way round.
    std::fs::create_dir_all(path.parent().unwrap()).is_ok() && std::fs::write(path, bytes).is_ok()
}

fn name() -> impl Strategy<Value = String> {
    let part = "[a-cA-C0 .+%&#?=é😀_\n\u{1}-]{1,6}".prop_filter("no place", |p| p != "." && p != "..");
    proptest::collection::vec(part, 1..4).prop_map(|parts| parts.join("/"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]
    #[test]
    fn a_tree_comes_back_as_it_was(tree in proptest::collection::vec((name(), 0usize..70_000), 1..30)) {
        let gateway = Gateway::start();
        gateway.client().make_bucket(&operator(), "trips");
        let s3 = gateway.address(Door::S3);
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (seed, (name, size)) in tree.iter().enumerate() {
            put(from.path(), name, &body(seed as u64 + 1, *size));
        }
        let there = files(from.path());
        let bytes = there.values().map(|b| b.len() as u64).sum();
        let count = there.len() as u64;
        let moved = Summary { moved: count, bytes, same: 0, unproven: 0, deleted: 0, failed: 0 };
        let same = Summary { moved: 0, bytes: 0, same: count, ..moved };

        let (ended, dry) = bring_in(from.path(), s3, "trips", "in/", true);
        prop_assert!(ended.is_ok() && dry == moved);
        prop_assert_eq!(writes(&gateway), 0);
        prop_assert_eq!(bring_in(from.path(), s3, "trips", "in/", false).1, moved);
        let sent = writes(&gateway);
        prop_assert_eq!(sent, count);
        prop_assert_eq!(bring_in(from.path(), s3, "trips", "in/", false).1, same);
        prop_assert_eq!(writes(&gateway), sent);

        prop_assert_eq!(bring_out(s3, "trips", "in/", to.path(), true).1, moved);
        prop_assert!(files(to.path()).is_empty());
        prop_assert_eq!(bring_out(s3, "trips", "in/", to.path(), false).1, moved);
        prop_assert_eq!(files(to.path()), there);
        prop_assert_eq!(bring_out(s3, "trips", "in/", to.path(), false).1, same);
    }
}

#[test]
fn large_files_go_in_parts_and_only_what_changed_goes_again() {
    let gateway = Gateway::start();
    gateway.client().make_bucket(&operator(), "trips");
    let s3 = gateway.address(Door::S3);
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let large = body(1, 40_000_000);
    put(from.path(), "a/large.glb", &large);
    put(from.path(), "a/exact.bin", &large[..16 * 1024 * 1024]);
    put(from.path(), "page", b"#?RADIANCE\n");
    let (ended, summary) = bring_in(from.path(), s3, "trips", "", false);
    ended.unwrap();
    assert_eq!((summary.moved, summary.failed), (3, 0));
    let parts = operations(gateway.address(Door::Admin));
    assert_eq!((parts["UploadPart"], parts["PutObject"], parts["CompleteMultipartUpload"]), (3, 2, 1));
    let mut client = gateway.client();
    let got = client.get(&operator(), "trips", "a/large.glb").expect(200);
    assert!(got.body == large);
    assert_eq!(got.header("content-type"), Some("model/gltf-binary"));
    assert_eq!(got.header("cache-control"), Some("public, max-age=77"));
    assert_eq!(client.get(&operator(), "trips", "page").header("content-type"), Some("image/vnd.radiance"));

    // The same size, one byte another.
    let mut other = large.clone();
    other[30_000_000] ^= 1;
    put(from.path(), "a/large.glb", &other);
    let summary = bring_in(from.path(), s3, "trips", "", false).1;
    assert_eq!((summary.moved, summary.same), (1, 2));
    assert_eq!(bring_out(s3, "trips", "", to.path(), false).1.moved, 3);
    assert!(files(to.path()) == files(from.path()));
    // A file that was damaged here is fetched again, the others are not.
    put(to.path(), "a/large.glb", &large);
    let summary = bring_out(s3, "trips", "", to.path(), false).1;
    assert_eq!((summary.moved, summary.same), (1, 2));
    assert!(files(to.path())["a/large.glb"] == other);
}

/// A file far down in a large bucket costs a page or two of its listing, not all of it.
#[test]
fn a_few_files_into_a_large_bucket_do_not_list_all_of_it() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    client.make_bucket(&operator(), "trips");
    for n in 0..2_500 {
        client.put(&operator(), "trips", &format!("k{n:04}"), b"x").expect(200);
    }
    let from = tempfile::tempdir().unwrap();
    put(from.path(), "k2400", b"x");
    put(from.path(), "zzz", b"y");
    let before = operations(gateway.address(Door::Admin)).get("ListObjectsV2").copied().unwrap_or(0);
    let summary = bring_in(from.path(), gateway.address(Door::S3), "trips", "", false).1;
    assert_eq!((summary.same, summary.moved), (1, 1));
    let lists = operations(gateway.address(Door::Admin))["ListObjectsV2"] - before;
    assert!(lists <= 2, "{lists} pages");
}

/// Beside the folder, in a file: files have none.
#[test]
fn tags_come_back_from_their_file() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    client.make_bucket(&operator(), "trips");
    let s3 = gateway.address(Door::S3);
    for (key, tags) in [("in/a", "k=1"), ("in/a-1", ""), ("in/a.b/c", "k=%C3%BC&l="), ("in/z", "k=z")] {
        let put = Request::on("PUT", "trips", key).header("x-amz-tagging", tags).body(key);
        client.send(&put, Sign::Header(&operator())).expect(200);
    }
    let dir = tempfile::tempdir().unwrap();
    let (files, tags) = (dir.path().join("files"), dir.path().join("tags"));
    std::fs::create_dir(&files).unwrap();
    assert_eq!(bring_out_tagged(s3, "trips", "in/", &files, true, Some(&tags)).1.moved, 4);
    assert!(!tags.exists(), "a dry run writes nothing");
    assert_eq!(bring_out_tagged(s3, "trips", "in/", &files, false, Some(&tags)).1.moved, 4);
    let lines = std::fs::read_to_string(&tags).unwrap();
    assert_eq!((lines.lines().count(), lines.contains(r#"{"key":"a.b/c","tags":{"k":"ü","l":""}}"#)), (3, true), "{lines}");
    // What is sent has them, and what is there gets them.
    put(&files, "new", b"new");
    let other = lines.replace(r#""k":"1""#, r#""k":"2""#) + r#"{"key":"new","tags":{"n":"1"}}"#;
    std::fs::write(&tags, other).unwrap();
    let summary = bring_in_tagged(&files, s3, "trips", "in/", false, Some(&tags)).1;
    assert_eq!((summary.moved, summary.same, summary.failed), (1, 4, 0));
    let mut told = |key: &str| {
        let answer = client.send(&Request::on("GET", "trips", key).query("tagging", ""), Sign::Header(&operator())).expect(200);
        answer.text().matches("<Value>").count().to_string() + &answer.text()
    };
    assert!(told("in/a").contains("<Value>2</Value>") && told("in/new").contains("<Key>n</Key>"));
    assert!(told("in/a-1").starts_with('0') && told("in/a.b/c").starts_with('2') && told("in/z").contains("<Value>z</Value>"));
    std::fs::write(&tags, "nothing\n").unwrap();
    assert!(bring_in_tagged(&files, s3, "trips", "in/", false, Some(&tags)).0.unwrap_err().to_string().contains("line 1"));
}
