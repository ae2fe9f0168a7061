//! What a bucket may hold, and what a tenant may send and get: never over, however many race; slowed down, not cut.

use std::time::{Duration, Instant};

use super::*;
use crate::support::raw::connect;

fn small(limits: &str) -> (Place, Key) {
    let place = place();
    let keys = "{ access_key = \"AKSMALL\", secret = { value = \"small-secret\" } }";
    let text = format!("id = \"small\"\npolicies = [\"tenant-default\"]\nkeys = [{keys}]\nlimits = {{ {limits} }}\n");
    place.write("policies/tenants/small.toml", &text);
    (place, Key::new("AKSMALL", "small-secret"))
}

#[test]
fn racing_writers_of_two_tenants_stay_inside_a_bucket() {
    let place = place();
    let limits = "[[bucket_limit]]\nbucket = \"full\"\nbytes = \"100000B\"\n[[bucket_limit]]\nbucket = \"few\"\nobjects = 7\n";
    let config = std::fs::read_to_string(place.path("gateway.toml")).unwrap();
    place.write("gateway.toml", &format!("{config}{limits}"));
    let running = place.serve();
    let mut client = Client::new(running.s3);
    // Shared buckets are the operator's: each tenant writes under its own name.
    client.make_bucket(&operator(), "full");
    client.make_bucket(&operator(), "few");
    let writers: Vec<_> = (0..64)
        .map(|n| {
            let address = running.s3;
            std::thread::spawn(move || {
                let (key, tenant) = if n % 2 == 0 { (acme(), "acme") } else { (bravo(), "bravo") };
                let mut client = Client::new(address);
                let by_bytes = client.put(&key, "full", &format!("{tenant}/{n}"), &[n as u8; 10_000]);
                let by_objects = client.put(&key, "few", &format!("{tenant}/{n}"), b"");
                [by_bytes, by_objects].map(|answer| {
                    assert!(answer.status == 200 || (answer.status, &*answer.code()) == (403, "QuotaExceeded"), "{}", answer.text());
                    usize::from(answer.status == 200)
                })
            })
        })
        .collect();
    let written: Vec<[usize; 2]> = writers.into_iter().map(|w| w.join().unwrap()).collect();
    assert_eq!(written.iter().fold([0, 0], |sum, w| [sum[0] + w[0], sum[1] + w[1]]), [10, 7]);
    let keys = client.list(&operator(), "full", &[]).keys;
    assert_eq!(keys.len(), 10);
    client.put(&operator(), "full", "one", b"1").refused(403, "QuotaExceeded");
    let copy = Request::on("PUT", "full", "copy").header("x-amz-copy-source", &format!("/full/{}", keys[0]));
    client.send(&copy, Sign::Header(&operator())).refused(403, "QuotaExceeded");
    let upload = client.create_upload(&operator(), "full", "parts");
    let etag = client.upload_part(&operator(), "full", "parts", &upload, 1, b"1").expect(200).etag();
    client.complete(&operator(), "full", "parts", &upload, &[(1, etag)]).refused(403, "QuotaExceeded");
    client.delete(&operator(), "full", &keys[0]).expect(204);
    client.put(&operator(), "full", "one", &[1; 10_000]).expect(200);
    assert!(running.stop().success());
    // Another start, another index: the same limit.
    std::fs::remove_dir_all(place.path("data/index")).unwrap();
    let running = place.serve();
    Client::new(running.s3).put(&operator(), "full", "two", b"1").refused(403, "QuotaExceeded");
    assert!(running.stop().success());
}

#[test]
fn more_uploads_at_once_are_told_to_slow_down() {
    let (place, key) = small("uploads = 2");
    let running = place.serve();
    let mut client = Client::new(running.s3);
    client.make_bucket(&key, "media");
    let begin = |name: &str| {
        let request = Request::on("PUT", "media", name).body(vec![b'x'; 100_000]);
        let (head, _) = request.head(&running.s3.to_string(), Sign::Header(&key));
        let mut connection = connect(running.s3);
        connection.try_send([head.as_bytes(), &request.body[..50_000]].concat()).unwrap();
        (connection, request.body)
    };
    let mut open = vec![begin("one"), begin("two")];
    // Until both are being taken in.
    let begun = Instant::now();
    let refused = loop {
        let answer = client.put(&key, "media", "three", b"x");
        if answer.status == 503 {
            break answer;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", answer.status);
        std::thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(refused.code(), "SlowDown");
    assert_eq!(refused.header("retry-after"), Some("1"));
    client.get(&key, "media", "nothing").expect(404);
    let (mut connection, body) = open.pop().unwrap();
    connection.try_send(&body[50_000..]).unwrap();
    assert_eq!(connection.try_head().unwrap().status, 200);
    client.reconnect();
    client.put(&key, "media", "three", b"x").expect(200);
    drop(open);
    assert!(running.stop().success());
}

#[test]
fn bodies_are_slowed_down_to_the_rate_and_never_cut() {
    let (place, key) = small("bytes_in_per_second = 400000, bytes_out_per_second = \"300000 B\"");
    let running = place.serve();
    let mut client = Client::new(running.s3);
    client.make_bucket(&key, "media");
    let body: Vec<u8> = (0..1_200_000u32).map(|n| (n % 251) as u8).collect();
    let begun = Instant::now();
    client.put(&key, "media", "big", &body).expect(200);
    // A second's worth comes at once.
    assert!(begun.elapsed() >= Duration::from_millis(1500), "{:?}", begun.elapsed());
    let begun = Instant::now();
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (address, key) = (running.s3, key.clone());
            std::thread::spawn(move || Client::new(address).get(&key, "media", "big").expect(200).body)
        })
        .collect();
    for reader in readers {
        assert!(reader.join().unwrap() == body);
    }
    // Two of them share the rate: 2.4 MB, less a second's worth, and less what may go at the end.
    assert!(begun.elapsed() >= Duration::from_secs(4), "{:?}", begun.elapsed());
    // Others are not held up.
    client.make_bucket(&acme(), "other");
    let begun = Instant::now();
    client.put(&acme(), "other", "big", &body).expect(200);
    client.get(&acme(), "other", "big").expect(200);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(running.stop().success());
}

#[test]
fn a_month_has_so_much_egress() {
    let (place, key) = small("egress_per_month = \"200000 B\"");
    let running = place.serve();
    let mut client = Client::new(running.s3);
    client.make_bucket(&key, "media");
    client.put(&key, "media", "x", &[b'x'; 60_000]).expect(200);
    let mut read = 0;
    let refused = loop {
        let answer = client.get(&key, "media", "x");
        if answer.status != 200 {
            break answer;
        }
        read += 1;
        assert!(read < 20, "what went out is known in a second");
        std::thread::sleep(Duration::from_millis(300));
    };
    assert!(read >= 4, "{read}");
    refused.refused(403, "QuotaExceeded");
    client.send(&Request::on("HEAD", "media", "x"), Sign::Header(&key)).expect(200);
    client.put(&key, "media", "y", b"y").expect(200);
    assert!(running.stop().success());
    let running = place.serve();
    Client::new(running.s3).get(&key, "media", "x").refused(403, "QuotaExceeded");
    assert!(running.stop().success());
}

/// Two tenants who share a bucket share what it takes.
fn limited(limits: &str) -> Place {
    let place = place();
    let config = std::fs::read_to_string(place.path("gateway.toml")).unwrap();
    place.write("gateway.toml", &format!("{config}[[bucket_limit]]\nbucket = \"media\"\n{limits}\n"));
    place
}

fn told(answer: &Answer, limit: &str) {
    let e = answer.xml("Error");
    assert_eq!((e.text_of("Limit"), e.text_of("LimitOf")), (Some(limit), Some("bucket")), "{}", answer.text());
}

#[test]
fn racing_clients_never_get_more_requests_of_a_bucket() {
    let place = limited("requests_per_second = 20");
    let running = place.serve();
    let mut client = Client::new(running.s3);
    client.make_bucket(&operator(), "media");
    client.make_bucket(&operator(), "other");
    client.put(&acme(), "media", "acme/x", b"x").expect(200);
    client.put(&bravo(), "media", "bravo/x", b"x").expect(200);
    let begun = Instant::now();
    let clients: Vec<_> = (0..64)
        .map(|n| {
            let address = running.s3;
            std::thread::spawn(move || {
                let (key, tenant) = if n % 2 == 0 { (acme(), "acme") } else { (bravo(), "bravo") };
                let mut client = Client::new(address);
                let mut done = 0;
                for _ in 0..10 {
                    let answer = client.get(&key, "media", &format!("{tenant}/x"));
                    assert!(answer.status == 200 || answer.code() == "SlowDown", "{}", answer.text());
                    done += usize::from(answer.status == 200);
                    // Whoever may do nothing there takes none away.
                    let stranger = client.send(&Request::on("GET", "media", "x"), Sign::No);
                    stranger.refused(403, "AccessDenied");
                }
                done
            })
        })
        .collect();
    let done: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
    let most = 20.0 + 20.0 * begun.elapsed().as_secs_f64();
    assert!(done >= 15 && done as f64 <= most, "{done} of at most {most}");
    // Until one is refused: the bucket's is told, and another bucket knows of no limit.
    let refused = (0..500).map(|_| client.get(&operator(), "media", "x")).find(|answer| answer.status == 503).unwrap();
    assert_eq!(refused.header("retry-after"), Some("1"));
    told(&refused, "requests_per_second");
    client.get(&operator(), "other", "x").expect(404);
    assert!(running.stop().success());
}

#[test]
fn bodies_of_a_bucket_share_its_rates() {
    let place = limited("bytes_in_per_second = \"400000 B\"\nbytes_out_per_second = \"300000 B\"");
    let running = place.serve();
    let mut client = Client::new(running.s3);
    client.make_bucket(&operator(), "media");
    client.make_bucket(&operator(), "other");
    let body: Vec<u8> = (0..600_000u32).map(|n| (n % 251) as u8).collect();
    let both = |work: fn(&mut Client, &Key, &str, &[u8])| {
        let begun = Instant::now();
        let threads = [(acme(), "acme/big"), (bravo(), "bravo/big")].map(|(key, name)| {
            let (address, body) = (running.s3, body.clone());
            std::thread::spawn(move || work(&mut Client::new(address), &key, name, &body))
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        begun.elapsed()
    };
    // 1.2 MB, less a second's worth, and less what may be ahead.
    let written = both(|client, key, name, body| drop(client.put(key, "media", name, body).expect(200)));
    assert!(written >= Duration::from_millis(1500), "{written:?}");
    let read = both(|client, key, name, body| assert!(client.get(key, "media", name).expect(200).body == body));
    assert!(read >= Duration::from_secs(2), "{read:?}");
    let begun = Instant::now();
    client.put(&operator(), "other", "big", &body).expect(200);
    client.get(&operator(), "other", "big").expect(200);
    assert!(begun.elapsed() < written + read, "{:?}", begun.elapsed());
    assert!(running.stop().success());
}

#[test]
fn racing_uploads_never_get_more_slots_of_a_bucket() {
    let place = limited("uploads = 8");
    let running = place.serve();
    let mut client = Client::new(running.s3);
    client.make_bucket(&operator(), "media");
    // None of them ends before all were answered or wait for the rest of their bodies.
    let mut open: Vec<_> = (0..64)
        .map(|n| {
            let (key, tenant) = if n % 2 == 0 { (acme(), "acme") } else { (bravo(), "bravo") };
            let request = Request::on("PUT", "media", &format!("{tenant}/{n}")).body(vec![b'x'; 100_000]);
            let (head, _) = request.head(&running.s3.to_string(), Sign::Header(&key));
            let mut connection = connect(running.s3);
            connection.try_send([head.as_bytes(), &request.body[..50_000]].concat()).unwrap();
            connection
        })
        .collect();
    let begun = Instant::now();
    let refused = || std::fs::read_to_string(place.path("access.log")).unwrap_or_default().matches("SlowDown").count();
    while refused() < 64 - 8 {
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", refused());
        std::thread::sleep(Duration::from_millis(10));
    }
    told(&client.put(&operator(), "media", "more", b"x"), "uploads");
    let mut taken = 0;
    for connection in &mut open {
        // A refused one may be closed before all of it was sent.
        let _ = connection.try_send([b'x'; 50_000]);
        taken += usize::from(connection.try_head().is_ok_and(|head| head.status == 200));
    }
    assert_eq!(taken, 8);
    assert!(running.stop().success());
}

#[test]
fn a_bucket_has_so_much_egress_in_a_month() {
    let place = limited("egress_per_month = \"200000 B\"");
    let running = place.serve();
    let mut client = Client::new(running.s3);
    client.make_bucket(&operator(), "media");
    client.put(&acme(), "media", "acme/x", &[b'x'; 60_000]).expect(200);
    let mut read = 0;
    let refused = loop {
        let answer = client.get(&[acme(), operator()][read % 2], "media", "acme/x");
        if answer.status != 200 {
            break answer;
        }
        read += 1;
        assert!(read < 20, "what went out is known in a second");
        std::thread::sleep(Duration::from_millis(300));
    };
    assert!(read >= 4, "{read}");
    told(&refused, "egress_per_month");
    refused.refused(403, "QuotaExceeded");
    client.make_bucket(&acme(), "other");
    client.put(&acme(), "other", "x", b"x").expect(200);
    client.get(&acme(), "other", "x").expect(200);
    assert!(running.stop().success());
    let running = place.serve();
    Client::new(running.s3).get(&acme(), "media", "acme/x").refused(403, "QuotaExceeded");
    assert!(running.stop().success());
}
