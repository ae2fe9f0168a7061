//! Over an S3 that is not ours and can do less: what it lacks is found out and refused, what is left is right.

use crate::support::binary::Place;
use crate::support::client::{Client, Request, Sign};
use crate::support::gateway::{Gateway, HOME, Setup, acme, operator, over};
use crate::support::plain_s3::PlainS3;

fn over_plain(below: &PlainS3) -> Gateway {
    let mut setup = Setup::new();
    setup.store.inline_limit = 64 * 1024;
    setup.upstream = Some(over(below.address, HOME));
    setup.start()
}

fn random(len: u32) -> Vec<u8> {
    (0..len).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// Conditions that the store would ignore are answered 501, and nothing is written.
fn refuses(client: &mut Client, request: Request) {
    let answer = client.send(&request, Sign::Header(&acme()));
    assert_eq!((answer.status, &*answer.code()), (501, "NotImplemented"), "{request:?} {}", answer.text());
}

#[test]
fn all_but_conditions_works() {
    let below = PlainS3::start(false);
    let gateway = over_plain(&below);
    let mut client = gateway.client();
    client.make_bucket(&acme(), "media");
    let put = Request::on("PUT", "media", "a/b c.txt").header("content-type", "text/x-some").header("x-amz-meta-colour", "red");
    let put = client.send(&put.header("x-amz-acl", "public-read").body(b"hello"), Sign::Header(&acme())).expect(200);
    let got = client.send(&Request::on("GET", "media", "a/b c.txt"), Sign::No).expect(200);
    assert_eq!((got.header("content-type"), got.header("x-amz-meta-colour")), (Some("text/x-some"), Some("red")));
    assert_eq!((&got.body[..], got.etag()), (&b"hello"[..], put.etag()));
    assert_eq!(std::fs::read(below.dir.path().join(HOME).join("media/a/b c.txt")).unwrap(), b"hello");
    let ranged = client.send(&Request::on("GET", "media", "a/b c.txt").header("range", "bytes=1-3"), Sign::Header(&acme()));
    assert_eq!(ranged.expect(206).body, b"ell");
    client.send(&Request::on("GET", "media", "a/b c.txt").header("if-none-match", &put.etag()), Sign::No).expect(304);
    for key in ["a/1", "a/2", "b/1", "c", "d+e%41"] {
        client.put(&acme(), "media", key, key.as_bytes()).expect(200);
    }
    let listed = client.list(&acme(), "media", &[("delimiter", "/"), ("max-keys", "1")]);
    assert_eq!(
        (&listed.keys[..], &listed.prefixes[..]),
        (&["c".to_owned(), "d+e%41".to_owned()][..], &["a/".to_owned(), "b/".to_owned()][..])
    );
    assert_eq!(client.list(&acme(), "media", &[("max-keys", "2")]).keys, ["a/1", "a/2", "a/b c.txt", "b/1", "c", "d+e%41"]);
    let copy = Request::on("PUT", "media", "copied").header("x-amz-copy-source", "media/c");
    client.send(&copy, Sign::Header(&acme())).expect(200);
    assert_eq!(client.get(&acme(), "media", "copied").expect(200).body, b"c");
    client.delete(&acme(), "media", "c").expect(204);
    client.delete(&acme(), "media", "c").expect(204);
    client.get(&acme(), "media", "c").expect(404);
    for key in ["a/1", "a/2", "a/b c.txt", "b/1", "copied", "d+e%41"] {
        client.delete(&acme(), "media", key).expect(204);
    }
    client.send(&Request::on("DELETE", "media", ""), Sign::Header(&acme())).expect(204);
    client.get(&acme(), "media", "k").refused(404, "NoSuchBucket");
}

#[test]
fn what_it_lacks_is_said_at_the_start() {
    let below = PlainS3::start(false);
    let place = Place::new();
    let mut command = place.command(&["serve"]);
    command.envs([("S3_BUCKET", HOME), ("S3_ENDPOINT", &format!("http://{}", below.address)), ("AWS_REGION", "us-east-1")]);
    let key = operator();
    command.env("AWS_ACCESS_KEY_ID", key.access).env("AWS_SECRET_ACCESS_KEY", key.secret);
    let running = place.serve_by(command);
    let log = running.log();
    for what in [
        "ignores If-Match or If-None-Match on PUT",
        "ignores If-Match on DELETE",
        "on CompleteMultipartUpload",
        "ignores If-Match on GET",
        "keeps no versions",
    ] {
        assert!(log.contains("the upstream lacks something") && log.contains(what), "{what}: {log}");
    }
    assert!(running.stop().success());
}

#[test]
fn conditions_are_refused_and_never_ignored() {
    let below = PlainS3::start(false);
    let gateway = over_plain(&below);
    let mut client = gateway.client();
    client.make_bucket(&acme(), "media");
    let etag = client.put(&acme(), "media", "k", b"first").expect(200).etag();
    for (name, value) in [("if-none-match", "*"), ("if-none-match", "\"00\""), ("if-match", &*etag), ("if-match", "*")] {
        refuses(&mut client, Request::on("PUT", "media", "k").header(name, value).body(b"second"));
        refuses(&mut client, Request::on("PUT", "media", "k").header(name, value).body(random(17 << 20)));
    }
    refuses(&mut client, Request::on("DELETE", "media", "k").header("if-match", &etag));
    let upload = client.create_upload(&acme(), "media", "k");
    let part = client.upload_part(&acme(), "media", "k", &upload, 1, b"part").expect(200).etag();
    let document = crate::support::client::complete_document(&[(1, part)]);
    refuses(&mut client, Request::on("POST", "media", "k").query("uploadId", &upload).header("if-none-match", "*").body(document));
    assert_eq!(client.get(&acme(), "media", "k").expect(200).body, b"first");
}

#[test]
fn what_it_decides_of_writes_it_may_decide() {
    let below = PlainS3::start(true);
    let gateway = over_plain(&below);
    let mut client = gateway.client();
    client.make_bucket(&acme(), "media");
    let put = |name: &str, value: &str, body: &[u8]| Request::on("PUT", "media", "k").header(name, value).body(body);
    let first = client.send(&put("if-none-match", "*", b"first"), Sign::Header(&acme())).expect(200).etag();
    client.send(&put("if-none-match", "*", b"second"), Sign::Header(&acme())).refused(412, "PreconditionFailed");
    client.send(&put("if-match", &first, b"second"), Sign::Header(&acme())).expect(200);
    client.send(&put("if-match", &first, b"third"), Sign::Header(&acme())).refused(412, "PreconditionFailed");
    assert_eq!(client.get(&acme(), "media", "k").expect(200).body, b"second");
    let second = client.send(&put("if-none-match", &first, b"second"), Sign::Header(&acme())).expect(200).etag();
    client.send(&put("if-none-match", &second, b"third"), Sign::Header(&acme())).refused(412, "PreconditionFailed");
    refuses(&mut client, Request::on("DELETE", "media", "k").header("if-match", &first));
    assert_eq!(client.get(&acme(), "media", "k").expect(200).body, b"second");
}

#[test]
fn large_bodies_and_uploads_in_parts() {
    let below = PlainS3::start(false);
    let gateway = over_plain(&below);
    let mut client = gateway.client();
    client.make_bucket(&acme(), "media");
    let body = random(20_000_000);
    let put = client.put(&acme(), "media", "large", &body).expect(200);
    let got = client.get(&acme(), "media", "large").expect(200);
    assert!(got.body == body && got.etag() == put.etag());
    let upload = client.create_upload(&acme(), "media", "parts");
    let (one, two) = (&body[..5 << 20], &body[5 << 20..6 << 20]);
    let parts: Vec<(u16, String)> = [(1, one), (2, two)]
        .map(|(n, bytes)| (n, client.upload_part(&acme(), "media", "parts", &upload, n, bytes).expect(200).etag()))
        .into();
    let done = client.complete(&acme(), "media", "parts", &upload, &parts).expect(200);
    assert!(done.text().contains("-2"), "{}", done.text());
    assert!(client.get(&acme(), "media", "parts").expect(200).body == body[..6 << 20]);
    let aborted = client.create_upload(&acme(), "media", "gone");
    client.upload_part(&acme(), "media", "gone", &aborted, 1, b"x").expect(200);
    let abort = Request::on("DELETE", "media", "gone").query("uploadId", &aborted);
    client.send(&abort, Sign::Header(&acme())).expect(204);
    client.get(&acme(), "media", "gone").expect(404);
}

/// It ignores If-Match of reads: bytes of two versions must not meet in one answer, whoever replaces the object.
#[test]
fn versions_are_not_mixed() {
    let below = PlainS3::start(false);
    let gateway = over_plain(&below);
    let mut client = gateway.client();
    client.put(&operator(), HOME, "k", &[b'a'; 1000]).expect(200);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut writer = gateway.client();
            for letter in (b'a'..=b'z').cycle() {
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
                writer.put(&operator(), HOME, "k", &vec![letter; 1000 + usize::from(letter) * 500]).expect(200);
            }
        });
        for _ in 0..200 {
            let got = client.get(&operator(), HOME, "k");
            // Replaced faster than it can be read is told, and is no wrong answer.
            if got.status == 200 {
                assert!(got.body.windows(2).all(|pair| pair[0] == pair[1]), "two versions in one body");
                let letter = usize::from(got.body[0]);
                assert!(got.body.len() == 1000 || got.body.len() == 1000 + letter * 500, "a part of a version");
            } else {
                assert_eq!(got.status, 503, "{}", got.text());
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

/// It knows the first five at most: what it does not know is verified here, and kept in the seal.
#[test]
fn checksums_that_it_does_not_know() {
    use tidegate::base::checksum::ChecksumAlgorithm;
    use tidegate::ingest::hasher::ChecksumHasher;

    let below = PlainS3::start(false);
    let gateway = over_plain(&below);
    let mut client = gateway.client();
    client.make_bucket(&acme(), "media");
    let told = |client: &mut Client, key: &str, algorithm: ChecksumAlgorithm| {
        let head = Request::on("HEAD", "media", key).header("x-amz-checksum-mode", "ENABLED");
        client.send(&head, Sign::Header(&acme())).expect(200).header(algorithm.header()).map(str::to_owned)
    };
    for algorithm in ChecksumAlgorithm::ALL {
        let value = ChecksumHasher::digest(algorithm, b"hello").unwrap().to_string();
        let put = |value: &str| Request::on("PUT", "media", algorithm.name()).header(algorithm.header(), value).body("hello");
        client.send(&put(algorithm.of_nothing()), Sign::Header(&acme())).refused(400, "BadDigest");
        client.send(&put(&value), Sign::Header(&acme())).expect(200);
        assert_eq!(told(&mut client, algorithm.name(), algorithm), Some(value.clone()));
        let copy = Request::on("PUT", "media", "copy").header("x-amz-copy-source", "/media/CRC32");
        let copy = copy.header("x-amz-checksum-algorithm", algorithm.name());
        assert!(client.send(&copy, Sign::Header(&acme())).expect(200).text().contains(&value), "{algorithm:?}");
        assert_eq!(told(&mut client, "copy", algorithm), Some(value));
    }
    let create = Request::on("POST", "media", "parts").query("uploads", "").header("x-amz-checksum-algorithm", "XXHASH3");
    assert!(client.send(&create, Sign::Header(&acme())).refused(501, "NotImplemented").text().contains("XXHASH3"));
}
