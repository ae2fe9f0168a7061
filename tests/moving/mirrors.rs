//! A bucket into another: what is kept, what goes, and what faults on the way do.

use tidegate::moving::mirror::{self, Mirror};
use tidegate::telemetry::metrics::Door;

use super::*;
use crate::support::client::{Client, Request, Sign};
use crate::support::fault_proxy::{Fault, FaultProxy};

struct Options {
    delete: bool,
    verify_full: bool,
    dry_run: bool,
    tags: bool,
}

const PLAIN: Options = Options { delete: false, verify_full: false, dry_run: false, tags: true };

fn bring(source: SocketAddr, target: SocketAddr, options: &Options) -> (Result<()>, Summary) {
    block_on(async {
        let run = run(options.dry_run);
        let work = Mirror {
            run: run.clone(),
            source: remote(source, "old", "from/").await,
            target: remote(target, "new", "to/").await,
            delete: options.delete,
            verify_full: options.verify_full,
            tags: options.tags,
            memory: no_memory(),
        };
        (mirror::mirror(Arc::new(work)).await, run.summary())
    })
}

fn moved(answer: &(Result<()>, Summary)) -> (u64, u64, u64, u64) {
    assert!(answer.0.is_ok(), "{:?}", answer.0);
    (answer.1.moved, answer.1.same, answer.1.deleted, answer.1.failed)
}

fn put_with(client: &mut Client, key: &str, bytes: &[u8], headers: &[(&str, &str)]) {
    let mut request = Request::on("PUT", "old", key).body(bytes);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    client.send(&request, Sign::Header(&operator())).expect(200);
}

fn worlds() -> (Gateway, Gateway) {
    let (old, new) = (Gateway::start(), Gateway::start());
    old.client().make_bucket(&operator(), "old");
    new.client().make_bucket(&operator(), "new");
    (old, new)
}

const HEADERS: [(&str, &str); 7] = [
    ("content-type", "text/x-own"),
    ("cache-control", "max-age=5"),
    ("content-disposition", "inline; filename=\"a b\""),
    ("content-encoding", "br"),
    ("content-language", "de"),
    ("expires", "Thu, 01 Dec 2044 16:00:00 GMT"),
    ("x-amz-meta-colour", "blue"),
];

#[test]
fn content_headers_and_deletions() {
    let (old, new) = worlds();
    let (source, target) = (old.address(Door::S3), new.address(Door::S3));
    let mut client = old.client();
    for n in 0..30 {
        put_with(&mut client, &format!("from/d{}/k {n}+é", n % 3), &body(n + 1, n as usize * 1000), &[]);
    }
    put_with(&mut client, "from/headers", b"x", &HEADERS);
    put_with(&mut client, "from/folder/", b"", &[]);
    put_with(&mut client, "elsewhere", b"x", &[]);
    new.client().put(&operator(), "new", "to/gone", b"x").expect(200);
    new.client().put(&operator(), "new", "stays", b"x").expect(200);

    let before = writes(&new);
    assert_eq!(moved(&bring(source, target, &Options { dry_run: true, delete: true, ..PLAIN })), (32, 0, 1, 0));
    assert_eq!(writes(&new), before);
    assert_eq!(moved(&bring(source, target, &PLAIN)), (32, 0, 0, 0));
    let before = writes(&new);
    assert_eq!(moved(&bring(source, target, &PLAIN)), (0, 32, 0, 0));
    assert_eq!(moved(&bring(source, target, &Options { verify_full: true, ..PLAIN })), (0, 32, 0, 0));
    assert_eq!(writes(&new), before);

    let got = new.client().get(&operator(), "new", "to/headers").expect(200);
    for (name, value) in HEADERS {
        assert_eq!(got.header(name), Some(value), "{name}");
    }
    assert_eq!(new.client().get(&operator(), "new", "to/d1/k 7+é").expect(200).body, body(8, 7000));

    assert_eq!(moved(&bring(source, target, &Options { delete: true, ..PLAIN })), (0, 32, 1, 0));
    new.client().get(&operator(), "new", "to/gone").expect(404);
    new.client().get(&operator(), "new", "stays").expect(200);

    // Another second: what is newer at the source is looked at more closely, and there only headers differ.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    put_with(&mut client, "from/headers", b"x", &[("x-amz-meta-colour", "red")]);
    put_with(&mut client, "from/d0/k 3+é", &body(4, 3000), &[]);
    assert_eq!(moved(&bring(source, target, &PLAIN)), (1, 31, 0, 0));
    assert_eq!(new.client().get(&operator(), "new", "to/headers").header("x-amz-meta-colour"), Some("red"));
}

#[test]
fn an_empty_source_never_empties_the_target() {
    let (old, new) = worlds();
    new.client().put(&operator(), "new", "to/kept", b"x").expect(200);
    let (ended, summary) = bring(old.address(Door::S3), new.address(Door::S3), &Options { delete: true, ..PLAIN });
    assert!(ended.unwrap_err().to_string().contains("would empty the target"));
    assert_eq!(summary.deleted, 0);
    new.client().get(&operator(), "new", "to/kept").expect(200);
}

/// Multipart objects are cut as they were, so that ETags agree; and what was damaged at the target is found by reading only.
#[test]
fn objects_of_parts() {
    let (old, new) = worlds();
    let (source, target) = (old.address(Door::S3), new.address(Door::S3));
    let mut client = old.client();
    let whole = body(3, 6 * 1024 * 1024 + 6 * 1024 * 1024 + 77);
    let upload = client.create_upload(&operator(), "old", "from/parts");
    let pieces = [&whole[..6 << 20], &whole[6 << 20..12 << 20], &whole[12 << 20..]];
    let parts: Vec<(u16, String)> = (1..)
        .zip(pieces)
        .map(|(n, piece)| (n, client.upload_part(&operator(), "old", "from/parts", &upload, n, piece).expect(200).etag()))
        .collect();
    client.complete(&operator(), "old", "from/parts", &upload, &parts).expect(200);
    assert_eq!(moved(&bring(source, target, &Options { verify_full: true, ..PLAIN })), (1, 0, 0, 0));
    let (ours, theirs) = (new.client().get(&operator(), "new", "to/parts"), client.get(&operator(), "old", "from/parts"));
    assert_eq!(ours.etag(), theirs.etag());
    assert!(ours.body == whole);
    assert_eq!(moved(&bring(source, target, &PLAIN)), (0, 1, 0, 0));
}

#[test]
fn faults_on_the_way_are_ridden_out() {
    let (old, new) = worlds();
    let mut client = old.client();
    for n in 0..6 {
        put_with(&mut client, &format!("from/{n}"), &body(n + 1, 300_000), &[]);
    }
    let proxy = FaultProxy::start(old.address(Door::S3));
    // Every answer is cut, so each body comes in many pieces.
    proxy.set(Fault::CutAfter(60_000));
    assert_eq!(moved(&bring(proxy.address, new.address(Door::S3), &PLAIN)), (6, 0, 0, 0));
    for n in 0..6 {
        assert!(new.client().get(&operator(), "new", &format!("to/{n}")).expect(200).body == body(n + 1, 300_000));
    }
    // Trouble that ends.
    put_with(&mut client, "from/late", b"late", &[]);
    proxy.set(Fault::Answer503);
    let mended = std::thread::scope(|s| {
        s.spawn(|| {
            std::thread::sleep(std::time::Duration::from_millis(400));
            proxy.set(Fault::None);
        });
        bring(proxy.address, new.address(Door::S3), &PLAIN)
    });
    assert_eq!(moved(&mended), (1, 6, 0, 0));
}

/// A listing that breaks off is no end of the listing: nothing is deleted for it.
#[test]
fn a_source_that_goes_away_deletes_nothing() {
    let (old, new) = worlds();
    let mut client = old.client();
    for n in 0..1_100 {
        put_with(&mut client, &format!("from/{n:04}"), b"x", &[]);
    }
    assert_eq!(moved(&bring(old.address(Door::S3), new.address(Door::S3), &PLAIN)).0, 1_100);
    let proxy = FaultProxy::start(old.address(Door::S3));
    proxy.set(Fault::CutAfter(100_000));
    let (ended, summary) = bring(proxy.address, new.address(Door::S3), &Options { delete: true, ..PLAIN });
    assert!(ended.is_err());
    assert_eq!(summary.deleted, 0);
    assert_eq!(new.client().list(&operator(), "new", &[("prefix", "to/1099")]).keys.len(), 1);
}

fn tags(gateway: &Gateway, bucket: &str, key: &str) -> String {
    let told = gateway.client().send(&Request::on("GET", bucket, key).query("tagging", ""), Sign::Header(&operator())).expect(200);
    let tags = told.text();
    tags.split_once("<TagSet>").and_then(|(_, rest)| rest.split_once("</TagSet>")).map(|(set, _)| set.to_owned()).unwrap_or_default()
}

#[test]
fn tags_go_with_what_is_copied() {
    let (old, new) = worlds();
    let (from, to) = (old.address(Door::S3), new.address(Door::S3));
    let mut client = old.client();
    put_with(&mut client, "from/k", b"body", &[("x-amz-tagging", "a=1&stra%C3%9Fe=x%20y")]);
    put_with(&mut client, "from/large", &body(1, 17_000_000), &[("x-amz-tagging", "a=2")]);
    put_with(&mut client, "from/plain", b"body", &[]);
    let dry = Options { dry_run: true, ..PLAIN };
    assert_eq!(moved(&bring(from, to, &dry)), (3, 0, 0, 0));
    assert_eq!(moved(&bring(from, to, &PLAIN)), (3, 0, 0, 0));
    let tag = |key: &str, value: &str| format!("<Tag><Key>{key}</Key><Value>{value}</Value></Tag>");
    assert_eq!(tags(&new, "new", "to/k"), [tag("a", "1"), tag("straße", "x y")].concat());
    assert_eq!((tags(&new, "new", "to/large"), tags(&new, "new", "to/plain")), (tag("a", "2"), String::new()));
    // A change of tags alone shows when both sides are read.
    let retag = Request::on("PUT", "old", "from/plain").query("tagging", "");
    let retag = retag.body(format!("<Tagging><TagSet>{}</TagSet></Tagging>", tag("b", "3")));
    client.send(&retag, Sign::Header(&operator())).expect(200);
    client.send(&Request::on("DELETE", "old", "from/k").query("tagging", ""), Sign::Header(&operator())).expect(204);
    assert_eq!(moved(&bring(from, to, &PLAIN)), (0, 3, 0, 0));
    assert_eq!(tags(&new, "new", "to/plain"), "");
    let full = Options { verify_full: true, ..PLAIN };
    assert_eq!(moved(&bring(from, to, &Options { dry_run: true, ..full })), (0, 3, 0, 0));
    assert_eq!(tags(&new, "new", "to/plain"), "");
    assert_eq!(moved(&bring(from, to, &full)), (0, 3, 0, 0));
    assert_eq!((tags(&new, "new", "to/plain"), tags(&new, "new", "to/k")), (tag("b", "3"), String::new()));
    // Left alone, where that is wanted.
    put_with(&mut client, "from/other", b"body", &[("x-amz-tagging", "a=1")]);
    assert_eq!(moved(&bring(from, to, &Options { tags: false, ..PLAIN })), (1, 3, 0, 0));
    assert_eq!(tags(&new, "new", "to/other"), "");
}
