//! Writers win, what is deleted stays deleted, and conditions are about what is shown.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

fn put(address: SocketAddr, key: &str, body: &[u8]) -> Answer {
    Client::new(address).put(&acme(), BUCKET, key, body)
}

fn delete(address: SocketAddr, key: &str) -> Answer {
    Client::new(address).delete(&acme(), BUCKET, key)
}

/// Whatever order they meet in: what a client wrote, or deleted, after the copy began is what stays.
fn writers_win(over_s3: bool) {
    let (world, running) = World::start(over_s3);
    let (address, keys) = (running.s3, 40);
    let old = crate::moving::body(2, 200_000);
    for n in 0..keys {
        world.put_old(&format!("k{n}"), &old);
    }
    for n in 0..keys {
        let key = format!("k{n}");
        let stop = AtomicBool::new(false);
        std::thread::scope(|s| {
            s.spawn(|| {
                // Reads begin copies, again and again.
                while !stop.load(Ordering::SeqCst) {
                    assert!(matches!(get(address, &key).status, 200 | 404));
                }
            });
            std::thread::sleep(Duration::from_millis(n % 7));
            if n % 2 == 0 {
                put(address, &key, b"new").expect(200);
                assert_eq!(get(address, &key).expect(200).body, b"new");
            } else {
                delete(address, &key).expect(204);
                get(address, &key).expect(404);
            }
            stop.store(true, Ordering::SeqCst);
        });
    }
    // No copy that was under way comes after them.
    std::thread::sleep(Duration::from_millis(500));
    for n in 0..keys {
        let answer = get(address, &format!("k{n}"));
        match n % 2 {
            0 => assert_eq!(answer.expect(200).body, b"new"),
            _ => drop(answer.expect(404)),
        }
    }
    assert_eq!(world.old_keys().len(), keys as usize);
    assert!(running.stop().success());
}

#[test]
fn writers_win_alone() {
    writers_win(false);
}

#[test]
fn writers_win_over_s3() {
    writers_win(true);
}

fn deleted_stays_deleted(over_s3: bool) {
    let (world, running) = World::start(over_s3);
    for key in ["never read", "copied", "overwritten", "while away", "kept"] {
        world.put_old(key, key.as_bytes());
    }
    get(running.s3, "copied").expect(200);
    copied(&running, 1);
    put(running.s3, "overwritten", b"new").expect(200);
    for key in ["never read", "copied", "overwritten", "nowhere"] {
        delete(running.s3, key).expect(204);
        get(running.s3, key).expect(404);
    }
    world.proxy.set(Fault::Refuse);
    delete(running.s3, "while away").expect(204);
    get(running.s3, "while away").expect(404);
    mended(&world, &running);
    assert!(running.stop().success());

    let running = world.serve();
    let gone = |running: &Running| {
        for key in ["never read", "copied", "overwritten", "while away"] {
            get(running.s3, key).expect(404);
        }
        assert_eq!(Client::new(running.s3).list(&acme(), BUCKET, &[]).keys, ["kept"]);
    };
    gone(&running);
    assert_eq!(world.old_keys().len(), 5);
    // What hides them is nothing that anybody sees or may touch.
    let mut client = Client::new(running.s3);
    let buckets = client.send(&Request::new("GET", "/"), Sign::Header(&root())).expect(200).text();
    assert!(buckets.contains("<Name>media</Name>") && !buckets.contains("tidegate-deleted"), "{buckets}");
    // Written again, it is there, and deleted again it is not.
    put(running.s3, "copied", b"third").expect(200);
    assert_eq!(get(running.s3, "copied").expect(200).body, b"third");
    delete(running.s3, "copied").expect(204);
    gone(&running);
    // The bucket goes when nothing is shown any more.
    client.send(&Request::new("DELETE", &format!("/{BUCKET}")), Sign::Header(&acme())).refused(409, "BucketNotEmpty");
    delete(running.s3, "kept").expect(204);
    client.send(&Request::new("DELETE", &format!("/{BUCKET}")), Sign::Header(&acme())).expect(204);
    client.make_bucket(&acme(), BUCKET);
    get(running.s3, "kept").expect(404);
    assert!(running.stop().success());
}

#[test]
fn deleted_stays_deleted_alone() {
    deleted_stays_deleted(false);
}

#[test]
fn deleted_stays_deleted_over_s3() {
    deleted_stays_deleted(true);
}

fn conditions(over_s3: bool) {
    let (world, running) = World::start(over_s3);
    let address = running.s3;
    for key in ["a", "b", "c", "d", "e", "f", "i"] {
        world.put_old(key, b"old");
    }
    let old = format!("\"{}\"", world.old.client().get(&operator(), OLD, &format!("{PREFIX}a")).etag());
    let wrong = "\"00000000000000000000000000000001\"";
    let with = |method: &str, key: &str, name: &str, value: &str| send(address, &Request::on(method, BUCKET, key).header(name, value));
    let put_if = |key: &str, name: &str, value: &str| send(address, &Request::on("PUT", BUCKET, key).body("new").header(name, value));
    // What only the old store has is there.
    put_if("a", "if-none-match", "*").refused(412, "PreconditionFailed");
    put_if("a", "if-none-match", &old).refused(412, "PreconditionFailed");
    put_if("i", "if-none-match", wrong).expect(200);
    put_if("a", "if-match", wrong).refused(412, "PreconditionFailed");
    put_if("a", "if-match", &old).expect(200);
    assert_eq!(get(address, "a").expect(200).body, b"new");
    put_if("a", "if-match", &old).refused(412, "PreconditionFailed");
    put_if("nowhere", "if-match", &old).refused(404, "NoSuchKey");
    put_if("nowhere", "if-none-match", "*").expect(200);
    // Deleted, it is not.
    with("DELETE", "b", "if-match", wrong).refused(412, "PreconditionFailed");
    with("DELETE", "b", "if-match", &old).expect(204);
    get(address, "b").expect(404);
    put_if("b", "if-none-match", "*").expect(200);
    // Parts become an object under the same rules.
    let complete = |key: &str, name: &str, value: &str| {
        let mut client = Client::new(address);
        let upload = client.create_upload(&acme(), BUCKET, key);
        let part = client.upload_part(&acme(), BUCKET, key, &upload, 1, b"part").expect(200).etag();
        let request = Request::on("POST", BUCKET, key).query("uploadId", &upload).header(name, value);
        client.send(&request.body(crate::support::client::complete_document(&[(1, part)])), Sign::Header(&acme()))
    };
    complete("c", "if-none-match", "*").refused(412, "PreconditionFailed");
    complete("c", "if-match", &old).expect(200);
    assert_eq!(get(address, "c").expect(200).body, b"part");
    // A copy's source and target may be there only.
    let copy = |from: &str, to: &str| Request::on("PUT", BUCKET, to).header("x-amz-copy-source", &format!("/{BUCKET}/{from}"));
    send(address, &copy("d", "copy")).expect(200);
    assert_eq!(get(address, "copy").expect(200).body, b"old");
    send(address, &copy("copy", "e").header("if-none-match", "*")).refused(412, "PreconditionFailed");
    send(address, &copy("d", "d").header("x-amz-metadata-directive", "REPLACE").header("x-amz-meta-n", "1")).expect(200);
    assert_eq!(get(address, "d").expect(200).header("x-amz-meta-n"), Some("1"));
    send(address, &copy("no such", "x")).refused(404, "NoSuchKey");
    // So may what an ACL is for.
    send(address, &Request::on("PUT", BUCKET, "f").query("acl", "").header("x-amz-acl", "public-read")).expect(200);
    assert_eq!(Client::new(address).send(&Request::on("GET", BUCKET, "f"), Sign::No).expect(200).body, b"old");
    send(address, &Request::on("PUT", BUCKET, "no such").query("acl", "").header("x-amz-acl", "public-read")).refused(404, "NoSuchKey");
    // A part can be copied from there.
    world.put_old("g", &crate::moving::body(4, 100_000));
    let mut client = Client::new(address);
    let upload = client.create_upload(&acme(), BUCKET, "h");
    let part = Request::on("PUT", BUCKET, "h").query("partNumber", "1").query("uploadId", &upload);
    let part = part.header("x-amz-copy-source", &format!("/{BUCKET}/g")).header("x-amz-copy-source-range", "bytes=10-99");
    let etag =
        client.send(&part, Sign::Header(&acme())).expect(200).xml("CopyPartResult").text_of("ETag").unwrap().trim_matches('"').to_owned();
    client.complete(&acme(), BUCKET, "h", &upload, &[(1, etag)]).expect(200);
    assert!(get(address, "h").expect(200).body == crate::moving::body(4, 100_000)[10..100]);
    // Nobody knows while the old store is away.
    world.proxy.set(Fault::Refuse);
    put_if("e", "if-none-match", "*").expect(503);
    with("DELETE", "e", "if-match", &old).expect(503);
    put_if("a", "if-match", &old).refused(412, "PreconditionFailed");
    assert!(running.stop().success());
}

#[test]
fn conditions_alone() {
    conditions(false);
}

#[test]
fn conditions_over_s3() {
    conditions(true);
}

/// The same content twice is one content, also where it came from the old store.
#[test]
fn copies_share_content() {
    let (world, running) = World::start(false);
    let body = crate::moving::body(6, 500_000);
    world.put_old("a", &body);
    world.put_old("b", &body);
    get(running.s3, "a").expect(200);
    get(running.s3, "b").expect(200);
    copied(&running, 2);
    let again = put(running.s3, "c", &body).expect(200);
    assert_eq!(again.header("x-tidegate-dedup"), Some("hit"));
    assert!(running.stop().success());
}

/// What the old store has would be no version, and a copy of it one that nobody wrote.
#[test]
fn no_versions_are_kept_until_it_is_taken_out() {
    let (world, running) = World::start(false);
    let versioning = crate::upstream::versions::versioning(BUCKET, "Enabled");
    let refused = send(running.s3, &versioning).expect(501).text();
    assert!(refused.contains("[[shadow]]"), "{refused}");
    assert!(running.stop().success());
    world.take_out();
    let running = world.serve();
    send(running.s3, &versioning).expect(200);
    assert!(running.stop().success());
}
