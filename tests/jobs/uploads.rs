//! `/-/v1/uploads`, and write-back through the binary: whose uploads are seen by whom, waiting, `tidegate sync`, and kills in the
//! middle of it all.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::*;
use crate::support::raw::connect;

fn serve(world: &World, written_back: &str) -> Running {
    let mut command = world.place.command(&["serve"]);
    command.env("TIDEGATE_BACK_BUCKETS", written_back).env("AWS_ACCESS_KEY_ID", "AKCDN").env("AWS_SECRET_ACCESS_KEY", "cdn-secret");
    world.place.serve_by(command)
}

fn upload(running: &Running, key: &Key, id: &str) -> Answer {
    api(running, key, "GET", &format!("/-/v1/uploads/{id}"), &[("wait", "20s")], "")
}

fn upload_of_key(running: &Running, key: &Key, name: &str) -> Answer {
    api(running, key, "GET", "/-/v1/uploads", &[("bucket", "media"), ("key", name), ("wait", "20s")], "")
}

fn sync(world: &World, running: &Running) -> std::process::Output {
    world.place.command(&["sync", "--timeout", "60"]).env("TIDEGATE_ADMIN_LISTEN", running.admin.to_string()).output().unwrap()
}

#[test]
fn an_upload_is_seen_by_its_tenant() {
    let world = World::new("50ms");
    // Through, and written back.
    for written_back in ["", "media"] {
        let running = serve(&world, written_back);
        let mut client = Client::new(running.s3);
        client.send(&Request::new("PUT", "/media"), Sign::Header(&acme()));
        let put = client.put(&acme(), "media", "a b/k", b"hello").expect(200);
        let id = put.header("x-amz-request-id").unwrap().to_owned();
        let status = json(&upload(&running, &acme(), &id).expect(200));
        assert_eq!((&status["state"], &status["kind"], &status["bytes"]), (&"stored".into(), &"put".into(), &5.into()), "{status}");
        assert_eq!(status["sha256"], "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
        assert_eq!(status["etag"], format!("\"{}\"", put.etag().trim_matches('"')));
        assert!(status["started"].is_string() && status["finished"].is_string());
        assert_eq!(status["url"], format!("http://{}/media/a%20b/k", running.s3));
        let by_key = json(&upload_of_key(&running, &acme(), "a b/k").expect(200));
        assert_eq!((&by_key["state"], &by_key["sha256"]), (&"stored".into(), &status["sha256"]));
        // Nobody else learns of it, and nobody of what is not there.
        denied(&upload(&running, &bravo(), &id), 404, "NotFound");
        denied(&upload_of_key(&running, &bravo(), "a b/k"), 403, "AccessDenied");
        denied(&upload(&running, &acme(), "0123456789ABCDEF"), 404, "NotFound");
        denied(&upload_of_key(&running, &acme(), "nothing"), 404, "NoSuchKey");
        denied(&Client::new(running.s3).send(&Request::new("GET", &format!("/-/v1/uploads/{id}")), Sign::No), 403, "AccessDenied");
        denied(&api(&running, &acme(), "GET", "/-/v1/uploads", &[("bucket", "media")], ""), 400, "InvalidArgument");
        assert_eq!(json(&upload(&running, &operator(), &id).expect(200))["state"], "stored");
        assert!(running.stop().success());
    }
}

#[test]
fn a_body_that_arrives_and_parts_that_did() {
    let world = World::new("50ms");
    let running = serve(&world, "media");
    let mut client = Client::new(running.s3);
    client.make_bucket(&acme(), "media");
    // Half of a body.
    let request = Request::on("PUT", "media", "slow").body(vec![b'x'; 200_000]);
    let (head, _) = request.head(&running.s3.to_string(), Sign::Header(&acme()));
    let mut slow = connect(running.s3);
    slow.send([head.as_bytes(), &request.body[..100_000]].concat());
    let begun = Instant::now();
    let status = loop {
        let answer = api(&running, &acme(), "GET", "/-/v1/uploads", &[("bucket", "media"), ("key", "slow")], "");
        if answer.status == 200 && json(&answer)["bytes"] == 100_000 {
            break json(&answer);
        }
        assert!(begun.elapsed().as_secs() < 20, "{}", answer.text());
    };
    assert_eq!((&status["state"], &status["size"]), (&"uploading".into(), &200_000.into()), "{status}");
    let id = status["id"].as_str().unwrap().to_owned();
    let waiter = std::thread::spawn({
        let address = running.s3;
        let path = format!("/-/v1/uploads/{id}");
        move || Client::new(address).send(&Request::new("GET", &path).query("wait", "30s"), Sign::Header(&acme()))
    });
    slow.send(&request.body[100_000..]);
    assert_eq!(slow.head().status, 200);
    assert_eq!(json(&waiter.join().unwrap().expect(200))["state"], "stored");
    // One whose client goes away.
    let request = Request::on("PUT", "media", "gone").body(vec![b'x'; 200_000]);
    let (head, _) = request.head(&running.s3.to_string(), Sign::Header(&acme()));
    let mut gone = connect(running.s3);
    gone.send([head.as_bytes(), &request.body[..1000]].concat());
    let id = loop {
        let answer = api(&running, &acme(), "GET", "/-/v1/uploads", &[("bucket", "media"), ("key", "gone")], "");
        if answer.status == 200 {
            break json(&answer)["id"].as_str().unwrap().to_owned();
        }
        assert!(begun.elapsed().as_secs() < 40, "{}", answer.text());
    };
    drop(gone);
    assert_eq!(json(&upload(&running, &acme(), &id).expect(200))["state"], "failed");

    let id = client.create_upload(&acme(), "media", "big");
    let part = client.upload_part(&acme(), "media", "big", &id, 1, &[1; 3000]).expect(200);
    let status = json(&api(&running, &acme(), "GET", &format!("/-/v1/uploads/{id}"), &[], "").expect(200));
    assert_eq!((&status["state"], &status["parts"], &status["bytes"]), (&"uploading".into(), &1.into(), &3000.into()), "{status}");
    denied(&upload(&running, &bravo(), &id), 404, "NotFound");
    client.complete(&acme(), "media", "big", &id, &[(1, part.etag())]).expect(200);
    let status = json(&upload(&running, &acme(), &id).expect(200));
    assert_eq!((&status["state"], &status["kind"], &status["bytes"]), (&"stored".into(), &"multipart".into(), &3000.into()), "{status}");
    // Begun before this process was: by bucket and key too.
    let id = client.create_upload(&acme(), "media", "later");
    client.upload_part(&acme(), "media", "later", &id, 7, &[1; 10]).expect(200);
    assert!(running.stop().success());
    let running = serve(&world, "media");
    denied(&upload(&running, &acme(), &id), 404, "NotFound");
    let named = [("bucket", "media"), ("key", "later")];
    let status = json(&api(&running, &acme(), "GET", &format!("/-/v1/uploads/{id}"), &named, "").expect(200));
    assert_eq!((&status["state"], &status["parts"], &status["bytes"]), (&"uploading".into(), &1.into(), &10.into()), "{status}");
    let other = api(&running, &bravo(), "GET", &format!("/-/v1/uploads/{id}"), &named, "");
    denied(&other, 403, "AccessDenied");
    assert!(running.stop().success());
}

#[test]
fn sync_waits_for_all_and_jobs_of_uploads_stay() {
    let world = World::new("50ms");
    let running = serve(&world, "media");
    let mut client = Client::new(running.s3);
    client.make_bucket(&acme(), "media");
    for n in 0..20 {
        client.put(&acme(), "media", &format!("k{n}"), &vec![b'x'; n * 10_000]).expect(200);
    }
    client.delete(&acme(), "media", "k3").expect(204);
    let synced = sync(&world, &running);
    assert!(synced.status.success(), "{synced:?}");
    assert_eq!(String::from_utf8_lossy(&synced.stdout), "everything is stored upstream\n");
    let uploads = jobs(&running, &acme(), &[("kind", "upload"), ("state", "done"), ("max", "100")]);
    assert_eq!(uploads.len(), 21);
    let (_, metrics) = connect(running.admin).exchange("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let metrics = String::from_utf8(metrics).unwrap();
    assert!(metrics.contains("tidegate_write_back_waiting 0\n") && metrics.contains("tidegate_write_back_waiting_bytes 0\n"), "{metrics}");
    assert!(running.stop().success());
    // Written through from now on: the bucket has all of it.
    let running = serve(&world, "");
    let mut client = Client::new(running.s3);
    for n in (0..20).filter(|n| *n != 3) {
        assert_eq!(client.get(&acme(), "media", &format!("k{n}")).expect(200).body.len(), n * 10_000);
    }
    client.get(&acme(), "media", "k3").refused(404, "NoSuchKey");
    assert!(running.stop().success());
}

/// What was acknowledged last, of keys that one writer alone writes; None: a write of it was not answered.
type Last = Arc<Mutex<HashMap<String, Option<String>>>>;

fn write(address: std::net::SocketAddr, writer: usize, round: usize, stop: &AtomicBool, last: &Last) {
    let mut connection = connect(address);
    for n in 0.. {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let name = format!("w{writer}/{}", n % 7);
        let body = format!("{round} {n} {}", "x".repeat(n % 3 * 50_000));
        let request = Request::on("PUT", "media", &name).body(body.clone());
        let (head, _) = request.head(&address.to_string(), Sign::Header(&acme()));
        last.lock().unwrap().insert(name.clone(), None);
        if connection.try_send([head.as_bytes(), &request.body].concat()).is_err() {
            return;
        }
        let Ok(head) = connection.try_head() else { return };
        assert_eq!(head.status, 200, "{head:?}");
        last.lock().unwrap().insert(name, Some(body));
    }
}

#[test]
fn what_was_acknowledged_is_stored_after_kills() {
    let world = World::new("50ms");
    let last = Last::default();
    let mut acknowledged = 0;
    for round in 0..5 {
        let mut running = serve(&world, "media");
        if round == 0 {
            Client::new(running.s3).make_bucket(&acme(), "media");
        }
        let stop = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let (address, stop, last) = (running.s3, stop.clone(), last.clone());
                std::thread::spawn(move || write(address, writer, round, &stop, &last))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(200 + 150 * round as u64));
        running.signal("KILL");
        running.wait();
        stop.store(true, Ordering::SeqCst);
        writers.into_iter().for_each(|w| w.join().unwrap());
        acknowledged += last.lock().unwrap().values().flatten().count();
        match round {
            1 => std::fs::remove_dir_all(world.place.path("data/queue")).unwrap(),
            2 => std::fs::remove_dir_all(world.place.path("data/back/index")).unwrap(),
            _ => {}
        }
    }
    assert!(acknowledged > 10);
    // Nobody asks for write-back any more; what waits is stored all the same.
    let running = serve(&world, "");
    let synced = sync(&world, &running);
    assert!(synced.status.success(), "{synced:?} {}", running.log());
    let mut client = Client::new(running.s3);
    for (key, body) in last.lock().unwrap().iter() {
        if let Some(body) = body {
            assert!(client.get(&acme(), "media", key).expect(200).text() == *body, "{key}");
        }
    }
    assert!(running.stop().success());
}
