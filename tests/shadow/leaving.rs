//! The old store is given up: what nobody read is copied too, and nothing is missed when it is gone. And several nodes over one S3.

use super::*;

/// Runs the command, and waits for its job.
fn backfill(world: &World, running: &Running) -> String {
    let mut command = world.place.command(&["backfill", BUCKET]);
    command.env("TIDEGATE_ADMIN_LISTEN", running.admin.to_string());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let job = text.split_whitespace().nth(1).unwrap().to_owned();
    let mut last = String::new();
    eventually(running, "the job", || {
        last = Client::new(running.s3).send(&Request::new("GET", &format!("/-/v1/jobs/{job}")), Sign::Header(&root())).expect(200).text();
        if last.contains("\"state\": \"done\"") { Ok(()) } else { Err(last.clone()) }
    });
    last
}

fn given_up(over_s3: bool) {
    let (world, running) = World::start(over_s3);
    let mut client = Client::new(running.s3);
    for n in 0..40 {
        world.put_old(&format!("d{}/k{n}", n % 4), &crate::moving::body(n + 1, 5_000));
    }
    client.put(&acme(), BUCKET, "d0/k0", b"new").expect(200);
    client.delete(&acme(), BUCKET, "d1/k1").expect(204);
    get(running.s3, "d2/k2").expect(200);
    copied(&running, 1);
    // It goes on by itself when the old store is back.
    world.proxy.set(Fault::Refuse);
    std::thread::scope(|s| {
        s.spawn(|| {
            std::thread::sleep(Duration::from_secs(2));
            world.proxy.set(Fault::None);
        });
        backfill(&world, &running);
    });
    let done = backfill(&world, &running);
    assert!(done.contains("\"copied\": 0") && done.contains("\"failed\": 0"), "{done}");
    assert_eq!(metric(&running, "copied_total"), 38);
    let keys = client.list(&acme(), BUCKET, &[]).keys;
    assert_eq!(keys.len(), 39);
    assert!(running.stop().success());

    world.take_out();
    let running = world.serve();
    let mut client = Client::new(running.s3);
    assert_eq!(client.list(&acme(), BUCKET, &[]).keys, keys);
    for n in 2..40 {
        assert!(get(running.s3, &format!("d{}/k{n}", n % 4)).expect(200).body == crate::moving::body(n + 1, 5_000));
    }
    assert_eq!(get(running.s3, "d0/k0").expect(200).body, b"new");
    get(running.s3, "d1/k1").refused(404, "NoSuchKey");
    // What marked the deletes is the operator's to remove.
    let mut operators = |request: &Request| client.send(request, Sign::Header(&root()));
    let buckets = operators(&Request::new("GET", "/")).expect(200).text();
    let at = buckets.find("tidegate-deleted-").unwrap();
    let marks = &buckets[at..at + buckets[at..].find('<').unwrap()];
    operators(&Request::on("DELETE", marks, "d1/k1")).expect(204);
    operators(&Request::new("DELETE", &format!("/{marks}"))).expect(204);
    let body = format!("{{\"bucket\": \"{BUCKET}\"}}");
    let command = Request::new("POST", "/-/admin/v1/backfill").body(body);
    Client::new(running.admin).send(&command, Sign::Header(&root())).expect(404);
    Client::new(running.admin).send(&command, Sign::Header(&acme())).expect(403);
    assert!(running.stop().success());
}

#[test]
fn given_up_alone() {
    given_up(false);
}

#[test]
fn given_up_over_s3() {
    given_up(true);
}

#[test]
fn two_nodes() {
    let (world, one) = World::start(true);
    let other_place = world.another_place();
    let two = world.serve_in(&other_place);
    for n in 0..30 {
        world.put_old(&format!("k{n:02}"), &crate::moving::body(n + 1, 50_000));
    }
    // Copies begin on the one while the other deletes.
    for n in 0..30 {
        let key = format!("k{n:02}");
        std::thread::scope(|s| {
            s.spawn(|| get(one.s3, &key));
            s.spawn(|| get(one.s3, &key));
            if n % 2 == 0 {
                Client::new(two.s3).delete(&acme(), BUCKET, &key).expect(204);
            }
        });
    }
    std::thread::sleep(Duration::from_millis(500));
    let wanted: Vec<String> = (0..30).filter(|n| n % 2 == 1).map(|n| format!("k{n:02}")).collect();
    for node in [&one, &two] {
        assert_eq!(Client::new(node.s3).list(&acme(), BUCKET, &[]).keys, wanted);
        for n in 0..30 {
            get(node.s3, &format!("k{n:02}")).expect(if n % 2 == 0 { 404 } else { 200 });
        }
    }
    assert!(two.stop().success());
    assert!(one.stop().success());
}

/// A CDN must not keep a 404 of what is only not to be had at the moment.
#[test]
fn on_the_edge() {
    let (world, running) = World::start(true);
    let policy = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::{BUCKET}/*"}}]}}"#
    );
    let put = Request::new("PUT", &format!("/{BUCKET}")).query("policy", "").body(policy);
    send(running.s3, &put).expect(204);
    let body = crate::moving::body(8, 400_000);
    world.put_old("a.glb", &body);
    let edge = |key: &str| Client::new(running.edge).send(&Request::new("GET", &format!("/{BUCKET}/{key}")), Sign::No);
    assert!(edge("a.glb").expect(200).body == body);
    copied(&running, 1);
    world.proxy.set(Fault::Refuse);
    assert!(edge("a.glb").expect(200).body == body);
    let away = edge("c.glb").expect(503);
    assert!(away.header("retry-after").is_some() && away.header("cache-control").unwrap().contains("no-store"), "{:?}", away.headers);
    assert!(running.stop().success());
}
