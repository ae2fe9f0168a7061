//! What only the old store has is served as it is there, and copied once.

use super::*;

const HEADERS: [(&str, &str); 7] = [
    ("content-type", "model/gltf-binary"),
    ("cache-control", "max-age=5"),
    ("content-disposition", "inline; filename=\"a b\""),
    ("content-encoding", "br"),
    ("content-language", "de"),
    ("expires", "Thu, 01 Dec 2044 16:00:00 GMT"),
    ("x-amz-meta-colour", "blue"),
];

fn put_with_headers(world: &World, key: &str, body: &[u8]) {
    let mut put = Request::on("PUT", OLD, &format!("{PREFIX}{key}")).body(body);
    for (name, value) in HEADERS {
        put = put.header(name, value);
    }
    world.old.client().send(&put, Sign::Header(&operator())).expect(200);
}

fn served_and_copied(over_s3: bool) {
    let (world, running) = World::start(over_s3);
    let body = crate::moving::body(7, 300_000);
    put_with_headers(&world, "a/b +é", &body);
    let theirs = world.old.client().get(&operator(), OLD, &format!("{PREFIX}a/b +é")).expect(200);

    let on = |method: &str| Request::on(method, BUCKET, "a/b +é");
    let head = send(running.s3, &on("HEAD")).expect(200);
    let got = send(running.s3, &on("GET")).expect(200);
    assert!(got.body == body);
    for answer in [&head, &got] {
        assert_eq!(answer.etag(), theirs.etag());
        for (name, value) in HEADERS {
            assert_eq!(answer.header(name), Some(value), "{name}");
        }
    }
    copied(&running, 1);
    assert!(metric(&running, "reads_total") >= 1);
    assert_eq!(metric(&running, "copied_bytes_total"), 300_000);
    // From here on the old store has no say.
    world.proxy.set(Fault::Refuse);
    let got = send(running.s3, &on("GET").header("range", "bytes=1000-1999")).expect(206);
    assert!(got.body == body[1000..2000]);
    assert_eq!(got.etag(), theirs.etag());
    for (name, value) in HEADERS {
        assert_eq!(got.header(name), Some(value), "{name}");
    }
    send(running.s3, &on("GET").header("if-none-match", &format!("\"{}\"", theirs.etag()))).expect(304);
    // Whose it is, is the gateway's to say.
    Client::new(running.s3).send(&on("GET"), Sign::No).expect(403);
    assert_eq!(world.old_keys(), [format!("{PREFIX}a/b +é")]);
    assert!(running.stop().success());
}

#[test]
fn served_and_copied_alone() {
    served_and_copied(false);
}

#[test]
fn served_and_copied_over_s3() {
    served_and_copied(true);
}

/// Before anything is copied: ranges and conditions are those of the old object.
#[test]
fn ranges_and_conditions_of_what_is_not_here() {
    let (world, running) = World::start(false);
    let body = crate::moving::body(9, 100_000);
    for n in 0..6 {
        world.put_old(&format!("k{n}"), &body);
    }
    let etag = world.old.client().get(&operator(), OLD, &format!("{PREFIX}k0")).etag();
    let quoted = format!("\"{etag}\"");
    let on = |n: u8| Request::on("GET", BUCKET, &format!("k{n}"));
    assert!(send(running.s3, &on(0).header("range", "bytes=-7")).expect(206).body == body[99_993..]);
    send(running.s3, &on(1).header("if-none-match", &quoted)).expect(304);
    send(running.s3, &on(2).header("if-match", "\"00000000000000000000000000000001\"")).refused(412, "PreconditionFailed");
    assert!(send(running.s3, &on(3).header("if-match", &quoted)).expect(200).body == body);
    send(running.s3, &on(4).header("range", "bytes=100000-")).refused(416, "InvalidRange");
    Client::new(running.s3).send(&on(5), Sign::No).expect(403);
    send(running.s3, &Request::on("GET", BUCKET, "k")).refused(404, "NoSuchKey");
    // What lies outside of the prefix is nothing of ours.
    world.old.client().put(&operator(), OLD, "elsewhere", b"x").expect(200);
    send(running.s3, &Request::on("GET", BUCKET, "../elsewhere")).refused(404, "NoSuchKey");
    assert!(running.stop().success());
}

#[test]
fn fifty_readers_are_one_copy() {
    let (world, running) = World::start(false);
    let body = crate::moving::body(3, 3_000_000);
    world.put_old("hot", &body);
    let address = running.s3;
    std::thread::scope(|s| {
        let readers: Vec<_> = (0..50).map(|_| s.spawn(|| get(address, "hot").expect(200).body == body)).collect();
        assert!(readers.into_iter().all(|r| r.join().unwrap()));
    });
    copied(&running, 1);
    let gets = world.old_gets();
    assert!(get(address, "hot").expect(200).body == body);
    assert_eq!((world.old_gets(), metric(&running, "copied_total"), metric(&running, "failures_total")), (gets, 1, 0));
    assert!(running.stop().success());
}

/// An object of parts keeps its ETag, and its checksum.
fn parts(over_s3: bool) {
    let (world, running) = World::start(over_s3);
    let whole = crate::moving::body(5, (11 << 20) + 77);
    let mut old = world.old.client();
    let key = format!("{PREFIX}parts");
    let upload = old.create_upload(&operator(), OLD, &key);
    let pieces = [&whole[..6 << 20], &whole[6 << 20..]];
    let sent: Vec<(u16, String)> =
        (1..).zip(pieces).map(|(n, piece)| (n, old.upload_part(&operator(), OLD, &key, &upload, n, piece).expect(200).etag())).collect();
    old.complete(&operator(), OLD, &key, &upload, &sent).expect(200);
    let theirs = old.get(&operator(), OLD, &key).expect(200);
    assert!(theirs.etag().ends_with("-2"));
    let part = Request::on("GET", BUCKET, "parts").query("partNumber", "2");
    assert!(send(running.s3, &part).expect(206).body == pieces[1]);
    copied(&running, 1);
    world.proxy.set(Fault::Refuse);
    let ours = send(running.s3, &Request::on("GET", BUCKET, "parts").header("x-amz-checksum-mode", "ENABLED")).expect(200);
    assert!(ours.body == whole);
    assert_eq!(ours.etag(), theirs.etag());
    assert!(ours.header("x-amz-checksum-crc64nvme").is_some());
    assert!(send(running.s3, &part).expect(206).body == pieces[1]);
    let uploads = send(running.s3, &Request::new("GET", &format!("/{BUCKET}")).query("uploads", "")).expect(200);
    assert!(!uploads.text().contains("<Upload>"), "{}", uploads.text());
    assert!(running.stop().success());
}

#[test]
fn objects_of_parts_alone() {
    parts(false);
}

#[test]
fn objects_of_parts_over_s3() {
    parts(true);
}

#[test]
fn an_old_store_that_is_away_is_no_404() {
    let (world, running) = World::start(false);
    world.put_old("there", b"old");
    Client::new(running.s3).put(&acme(), BUCKET, "own", b"own").expect(200);
    for fault in [Fault::Refuse, Fault::Answer503, Fault::CutAfter(20)] {
        world.proxy.set(fault);
        for key in ["there", "nowhere"] {
            let answer = get(running.s3, key).expect(503);
            assert!(answer.header("retry-after").is_some(), "{:?}", answer.headers);
        }
        assert_eq!(get(running.s3, "own").expect(200).body, b"own");
        Client::new(running.s3).put(&acme(), BUCKET, "own", b"own").expect(200);
        send(running.s3, &Request::new("GET", &format!("/{BUCKET}"))).expect(503);
        assert_eq!(metric(&running, "up"), 0);
        mended(&world, &running);
    }
    assert_eq!(get(running.s3, "there").expect(200).body, b"old");
    copied(&running, 1);
    // A bucket that is gone is no empty one.
    let mut old = world.old.client();
    for key in world.old_keys() {
        old.delete(&operator(), OLD, &key).expect(204);
    }
    old.send(&Request::new("DELETE", &format!("/{OLD}")), Sign::Header(&operator())).expect(204);
    eventually(&running, "a missing bucket is a fault", || match get(running.s3, "nowhere").status {
        503 => Ok(()),
        status => Err(status.to_string()),
    });
    assert!(running.stop().success());
}

/// A copy that fails is begun again by the next read, and what is damaged on its way is never kept.
#[test]
fn a_copy_that_fails_is_tried_again() {
    let (world, running) = World::start(false);
    world.put_old("large", &crate::moving::body(1, 2_000_000));
    // Heads pass, bodies don't: each answer is cut and resumed, up to a limit.
    world.proxy.set(Fault::CutAfter(50_000));
    send(running.s3, &Request::on("HEAD", BUCKET, "large")).expect(200);
    eventually(&running, "it fails", || match metric(&running, "failures_total") {
        0 => Err("not yet".into()),
        _ => Ok(()),
    });
    assert_eq!(metric(&running, "copied_total"), 0);
    mended(&world, &running);
    assert!(get(running.s3, "large").expect(200).body == crate::moving::body(1, 2_000_000));
    copied(&running, 1);
    assert!(running.stop().success());
}

/// What is not what its checksum says is never kept: it stays the old store's.
#[test]
fn what_is_damaged_there_is_not_copied() {
    let (world, running) = World::start(false);
    world.put_old("damaged", &crate::moving::body(1, 300_000));
    let blobs = world.old.blobs("operator");
    let mut bytes = std::fs::read(&blobs[0]).unwrap();
    bytes[1000] ^= 1;
    std::fs::remove_file(&blobs[0]).unwrap();
    std::fs::write(&blobs[0], bytes).unwrap();
    for n in 1..3 {
        send(running.s3, &Request::on("HEAD", BUCKET, "damaged")).expect(200);
        eventually(&running, "it fails", || match metric(&running, "failures_total") {
            failures if failures >= n => Ok(()),
            failures => Err(failures.to_string()),
        });
    }
    assert_eq!(metric(&running, "copied_total"), 0);
    assert!(running.log().contains("did not match"), "{}", running.log());
    world.proxy.set(Fault::Refuse);
    get(running.s3, "damaged").expect(503);
    assert!(running.stop().success());
}

/// An S3 that would write over what a client wrote gets no copies: what is old is read where it is, and not brought in vain each time.
#[test]
fn over_an_s3_that_decides_no_conditions() {
    let home = crate::support::plain_s3::PlainS3::start(false);
    let world = World::over(Some(home.address));
    let running = world.serve();
    Client::new(running.s3).make_bucket(&acme(), BUCKET);
    for key in ["a", "b", "c"] {
        world.put_old(key, b"old");
    }
    assert_eq!(get(running.s3, "a").expect(200).body, b"old");
    running.wait_for_log("nothing is copied from old stores");
    for key in ["a", "b", "c"] {
        assert_eq!(get(running.s3, key).expect(200).body, b"old");
    }
    Client::new(running.s3).put(&acme(), BUCKET, "b", b"new").expect(200);
    Client::new(running.s3).delete(&acme(), BUCKET, "c").expect(204);
    assert_eq!(get(running.s3, "b").expect(200).body, b"new");
    get(running.s3, "c").expect(404);
    assert_eq!(Client::new(running.s3).list(&acme(), BUCKET, &[]).keys, ["a", "b"]);
    assert_eq!((metric(&running, "copied_total"), metric(&running, "failures_total")), (0, 1));
    assert!(running.stop().success());
}
