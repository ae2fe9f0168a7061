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
