//! The origin goes away: reads are answered from the replica, as the version that it is, to those who may; writes are refused;
//! and when it is back, all goes there again.

use super::*;
use crate::support::fault_proxy::Fault;

/// Until the replica has all of it.
fn settled(running: &Running, region: &Region, buckets: &[&str]) {
    for bucket in buckets {
        eventually(running, bucket, || same(running, region, bucket));
    }
}

#[test]
fn reads_go_to_the_replica_and_come_back() {
    let (home, west) = (Region::start("home"), Region::start("west"));
    let world = World::new(Some(home.proxy.address), &[(&west, "read = true")]);
    let running = world.serve();
    let mut client = Client::new(running.s3);
    client.make_bucket(&acme(), "media");
    client.make_bucket(&bravo(), "secret");
    let put = Request::on("PUT", "media", "open.txt").body("the first").header("x-amz-acl", "public-read");
    client.send(&put, Sign::Header(&acme())).expect(200);
    let put = Request::on("PUT", "media", "open.txt").body("the second").header("x-amz-acl", "public-read");
    client.send(&put.header("x-amz-meta-n", "2").header("content-type", "text/plain"), Sign::Header(&acme())).expect(200);
    client.put(&acme(), "media", "private", b"acme's").expect(200);
    client.put(&bravo(), "secret", "private", b"bravo's").expect(200);
    let whole: Vec<u8> = (0..6u32 << 20).map(|n| (n / 1000) as u8).collect();
    let upload = client.create_upload(&acme(), "media", "parts");
    let parts: Vec<(u16, String)> = (1..)
        .zip(whole.chunks(5 << 20))
        .map(|(n, piece)| (n, client.upload_part(&acme(), "media", "parts", &upload, n, piece).expect(200).etag()))
        .collect();
    client.complete(&acme(), "media", "parts", &upload, &parts).expect(200);
    let known = client.get(&acme(), "media", "open.txt").expect(200);
    let parts_known = client.send(&Request::on("HEAD", "media", "parts"), Sign::Header(&acme())).expect(200);
    assert!(known.header("x-tidegate-replica").is_none());
    settled(&running, &west, &["media", "secret"]);
    // Not ours: put there by somebody who can write there, it is no version of anything.
    west.gateway.client().put(&gateway::operator(), "west", "media/forged", b"forged").expect(200);

    home.proxy.set(Fault::Refuse);
    eventually(&running, "the replica answers", || {
        let answer = client.get(&acme(), "media", "open.txt");
        match answer.header("x-tidegate-replica") {
            Some("west") => Ok(()),
            _ => Err(format!("{} {}", answer.status, answer.text())),
        }
    });
    let got = client.get(&acme(), "media", "open.txt").expect(200);
    assert_eq!(got.body, b"the second");
    for header in ["etag", "last-modified", "content-type", "x-amz-meta-n"] {
        assert_eq!(got.header(header), known.header(header), "{header}");
    }
    let request = Request::on("GET", "media", "parts").header("range", "bytes=5000000-5999999");
    let range = client.send(&request, Sign::Header(&acme())).expect(206);
    assert!(range.body == whole[5_000_000..6_000_000]);
    assert_eq!((range.etag(), range.header("x-tidegate-replica")), (parts_known.etag(), Some("west")));
    assert!(client.list(&acme(), "media", &[]).keys.starts_with(&["forged".into(), "open.txt".into()]));
    // What the replica does not have, or not from here, is no 404.
    for key in ["never", "forged"] {
        let answer = client.get(&acme(), "media", key);
        assert!(matches!(answer.status, 502..=504) && answer.header("retry-after").is_some(), "{key}: {}", answer.status);
    }
    // Who may is what it was.
    client.get(&bravo(), "media", "private").refused(403, "AccessDenied");
    client.get(&acme(), "secret", "private").refused(403, "AccessDenied");
    assert_eq!(client.get(&bravo(), "secret", "private").expect(200).body, b"bravo's");
    // The edge door shows it to anyone, and lets nobody keep it for long.
    let seen = Client::new(running.edge).send(&Request::new("GET", "/media/open.txt"), Sign::No);
    assert_eq!((seen.status, seen.header("x-tidegate-replica"), seen.header("x-cache")), (200, Some("west"), Some("STALE")));
    assert!(seen.header("cache-control").unwrap().contains("s-maxage="), "{:?}", seen.header("cache-control"));
    // No write is taken, and none by the replica.
    eventually(&running, "writes are refused at once", || {
        let answer = client.put(&acme(), "media", "open.txt", b"the third");
        if answer.status == 503 && answer.header("retry-after").is_some() { Ok(()) } else { Err(answer.status.to_string()) }
    });
    assert_eq!(client.delete(&acme(), "media", "open.txt").status, 503);
    assert_eq!(metric(&running, "tidegate_origin_up"), 0);
    assert!(metric(&running, "tidegate_replica_reads_total{replica=\"west\"}") > 3);

    home.proxy.set(Fault::None);
    eventually(&running, "writes go through again", || {
        let answer = client.put(&acme(), "media", "open.txt", b"the fourth");
        if answer.status == 200 { Ok(()) } else { Err(answer.text()) }
    });
    let got = client.get(&acme(), "media", "open.txt").expect(200);
    assert_eq!((got.body.as_slice(), got.header("x-tidegate-replica")), (&b"the fourth"[..], None));
    assert_eq!(metric(&running, "tidegate_origin_up"), 1);
    eventually(&running, "and on to the replica", || match west.get("media", "open.txt").body == b"the fourth" {
        true => Ok(()),
        false => Err("not yet".into()),
    });
    assert!(running.stop().success());
}

/// A copy that is behind is shown as what it is, and never as what was acknowledged after it.
#[test]
fn a_replica_that_is_behind() {
    let (home, west) = (Region::start("home"), Region::start("west"));
    let world = World::new(Some(home.proxy.address), &[(&west, "read = true")]);
    let running = world.serve();
    let mut client = Client::new(running.s3);
    let old = client.put(&root(), "home", "k", b"old").expect(200).etag();
    settled(&running, &west, &["home"]);
    west.proxy.set(Fault::Refuse);
    client.put(&root(), "home", "k", b"new").expect(200);
    client.put(&root(), "home", "only here", b"new").expect(200);
    home.proxy.set(Fault::Refuse);
    // Neither can be asked.
    let answer = client.get(&root(), "home", "k");
    assert!(matches!(answer.status, 502..=504), "{}", answer.status);
    west.proxy.set(Fault::None);
    eventually(&running, "the replica answers", || {
        let answer = client.get(&root(), "home", "k");
        if answer.status == 200 && answer.body == b"old" && answer.etag() == old { Ok(()) } else { Err(answer.status.to_string()) }
    });
    assert!(matches!(client.get(&root(), "home", "only here").status, 502..=504));
    home.proxy.set(Fault::None);
    eventually(&running, "the new one is back", || {
        let answer = client.get(&root(), "home", "k").expect(200);
        if answer.body == b"new" { Ok(()) } else { Err("old".into()) }
    });
    settled(&running, &west, &["home"]);
    assert!(running.stop().success());
}
