//! The region is lost: a new gateway, with the same operator's key and the same tenants, stands over the replica's bucket.

use super::*;

/// All that a client sees of an object and that a copy keeps.
const KEPT: [&str; 9] = [
    "content-type",
    "content-length",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "expires",
    "x-amz-meta-n",
    "x-amz-meta-word",
    "x-amz-checksum-sha256",
];

fn seen(client: &mut Client, key: &Key, bucket: &str, name: &str) -> (Vec<u8>, Vec<Option<String>>) {
    let got = client.send(&Request::on("GET", bucket, name).header("x-amz-checksum-mode", "ENABLED"), Sign::Header(key)).expect(200);
    let headers = KEPT.iter().map(|name| got.header(name).map(str::to_owned)).collect();
    (got.body, headers)
}

fn document(client: &mut Client, bucket: &str, name: &str, what: &str) -> String {
    client.send(&Request::on("GET", bucket, name).query(what, ""), Sign::Header(&root())).expect(200).text()
}

/// A gateway of its own over what the region has.
fn over(region: &Region) -> (World, Running) {
    let world = World { over: true, ..World::new(None, &[]) };
    let (name, address) = (region.name, region.gateway.address(Door::S3));
    world
        .place
        .write("gateway.toml", &format!("[upstream]\nbucket = \"{name}\"\nendpoint = \"http://{address}\"\nregion = \"us-east-1\"\n"));
    let running = world.serve();
    (world, running)
}

fn takes_over(home: Option<&Region>) {
    let west = Region::start("west");
    let world = World::new(home.map(|home| home.proxy.address), &[(&west, "")]);
    let running = world.serve();
    let mut client = Client::new(running.s3);
    client.make_bucket(&acme(), "media");
    client.make_bucket(&bravo(), "secret");
    client.make_bucket(&root(), "shared");
    let policy = r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::media/public/*"}]}"#;
    client.send(&Request::new("PUT", "/media").query("policy", "").body(policy), Sign::Header(&acme())).expect(204);
    let open = Request::on("PUT", "media", "open").body("for all").header("x-amz-acl", "public-read");
    client.send(&open, Sign::Header(&acme())).expect(200);
    let rich = Request::on("PUT", "media", "dir/ä b+c%.txt")
        .body("rich")
        .header("content-type", "text/x-rich")
        .header("cache-control", "max-age=77")
        .header("content-disposition", "attachment; filename=\"x\"")
        .header("content-encoding", "br")
        .header("expires", "Thu, 01 Jan 2099 00:00:00 GMT")
        .header("x-amz-meta-n", "7")
        .header("x-amz-meta-word", "größer")
        .header("x-amz-sdk-checksum-algorithm", "SHA256")
        .header("x-amz-checksum-sha256", "e6po8kGLqC0lRaeAwA16h3gkm7za9zaRFFNIdOptO9Y=");
    let rich = client.send(&rich, Sign::Header(&acme()));
    assert_eq!(rich.status, 200, "{}", rich.text());
    client.put(&acme(), "media", "public/a", b"by policy").expect(200);
    client.put(&acme(), "media", "empty", b"").expect(200);
    client.put(&bravo(), "secret", "k", b"bravo's").expect(200);
    client.put(&acme(), "shared", "acme/k", b"acme's, in the operator's bucket").expect(200);
    let whole: Vec<u8> = (0..6u32 << 20).map(|n| (n / 1000) as u8).collect();
    let upload = client.create_upload(&acme(), "media", "parts");
    let parts: Vec<(u16, String)> = (1..)
        .zip(whole.chunks(5 << 20))
        .map(|(n, piece)| (n, client.upload_part(&acme(), "media", "parts", &upload, n, piece).expect(200).etag()))
        .collect();
    client.complete(&acme(), "media", "parts", &upload, &parts).expect(200);
    let objects = [
        ("media", "open"),
        ("media", "dir/ä b+c%.txt"),
        ("media", "public/a"),
        ("media", "empty"),
        ("media", "parts"),
        ("secret", "k"),
        ("shared", "acme/k"),
    ];
    for bucket in ["media", "secret", "shared"] {
        eventually(&running, bucket, || same(&running, &west, bucket));
    }
    let before: Vec<_> = objects.iter().map(|(bucket, name)| seen(&mut client, &root(), bucket, name)).collect();
    let acls: Vec<_> = objects.iter().map(|(bucket, name)| document(&mut client, bucket, name, "acl")).collect();
    let etag = client.get(&root(), "media", "open").expect(200).etag();
    let cors = document(&mut client, "media", "", "cors");
    assert!(running.stop().success());

    let (world, running) = over(&west);
    let mut client = Client::new(running.s3);
    for (((bucket, name), before), acl) in objects.iter().zip(&before).zip(&acls) {
        assert!(seen(&mut client, &root(), bucket, name) == *before, "{bucket}/{name}");
        assert_eq!(document(&mut client, bucket, name, "acl"), *acl, "{bucket}/{name}");
    }
    assert_eq!(client.get(&root(), "media", "open").expect(200).etag(), etag);
    let answer = client.send(&Request::new("GET", "/media").query("policy", ""), Sign::Header(&acme())).expect(200);
    assert_eq!(answer.text(), policy);
    assert_eq!(document(&mut client, "media", "", "cors"), cors);
    // Whose is what, and who may what, is what it was.
    let buckets = client.send(&Request::new("GET", "/"), Sign::Header(&acme())).expect(200).text();
    assert!(buckets.contains("<Name>media</Name>") && !buckets.contains("secret") && !buckets.contains("west"), "{buckets}");
    assert_eq!(client.list(&acme(), "media", &[]).keys, ["dir/ä b+c%.txt", "empty", "open", "parts", "public/a"]);
    client.get(&acme(), "secret", "k").refused(403, "AccessDenied");
    client.get(&bravo(), "media", "empty").refused(403, "AccessDenied");
    assert_eq!(client.get(&bravo(), "secret", "k").expect(200).body, b"bravo's");
    client.get(&acme(), "shared", "acme/k").expect(200);
    for (door, name, status) in [(running.s3, "open", 200), (running.edge, "public/a", 200), (running.s3, "empty", 403)] {
        Client::new(door).send(&Request::on("GET", "media", name), Sign::No).expect(status);
    }
    // It goes on from there.
    let over_it = Request::on("PUT", "media", "open").body("new").header("if-match", &format!("\"{etag}\""));
    client.send(&over_it, Sign::Header(&acme())).expect(200);
    assert_eq!(client.get(&acme(), "media", "open").expect(200).body, b"new");
    client.delete(&acme(), "media", "empty").expect(204);
    client.send(&Request::new("PUT", "/secret"), Sign::Header(&acme())).refused(409, "BucketAlreadyExists");
    client.make_bucket(&bravo(), "fresh");
    assert!(running.stop().success());
    drop(world);
}

#[test]
fn of_an_embedded_store() {
    takes_over(None);
}

#[test]
fn of_another_s3() {
    let home = Region::start("home");
    takes_over(Some(&home));
}
