//! Two nodes over one bucket that keeps versions: what the edge door knows of a version is right on both.

use super::*;

/// Nobody would ask again by himself while the test runs.
const LONG: &str = "[cache]\nfresh = \"1h\"\nnegative = \"1h\"\n";
const READ_VERSIONS: &str = r#"{"Version":"2012-10-17","Statement":[
    {"Effect":"Allow","Principal":"*","Action":["s3:GetObject","s3:GetObjectVersion","s3:ListBucket","s3:ListBucketVersions"],"Resource":["arn:aws:s3:::media","arn:aws:s3:::media/*"]}]}"#;

fn version(world: &World, n: usize, id: &str) -> Answer {
    Client::new(world.node(n).edge).send(&Request::on("GET", MEDIA, "k").query("versionId", id), Sign::No)
}

#[test]
fn a_version_is_kept_for_good_and_gone_everywhere_when_it_is_deleted() {
    let world = World::new(2, LONG);
    let document = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    let enable = Request::new("PUT", &format!("/{HOME}")).query("versioning", "").body(document);
    Client::new(world.upstream.s3).send(&enable, Sign::Header(&operator())).expect(200);
    let policy = Request::new("PUT", "/media").query("policy", "").body(READ_VERSIONS);
    world.client(0).send(&policy, Sign::Header(&operator())).expect(204);
    let put = |body: &str| world.client(0).put(&operator(), MEDIA, "k", body.as_bytes()).expect(200);
    let mut one = None;
    until("the node knows that versions are kept", || {
        one = put("one").header("x-amz-version-id").map(str::to_owned);
        one.is_some()
    });
    let one = one.unwrap();
    let two = put("two").header("x-amz-version-id").unwrap().to_owned();
    for n in 0..2 {
        until("it is shown", || version(&world, n, &one).status == 200);
        for (id, body) in [(&one, "one"), (&two, "two")] {
            assert_eq!(version(&world, n, id).expect(200).text(), body);
            until("it is kept", || version(&world, n, id).expect(200).header("x-cache") == Some("HIT"));
        }
        world.keep(n, "k", "two");
    }
    // A write of the key makes no other version another one.
    put("three");
    for n in 0..2 {
        assert_eq!(version(&world, n, &one).expect(200).text(), "one");
        until("what is current is shown", || world.shown(n, "k").text() == "three");
    }
    let delete = Request::on("DELETE", MEDIA, "k").query("versionId", &one);
    world.client(0).send(&delete, Sign::Header(&operator())).expect(204);
    version(&world, 0, &one).expect(404);
    until("the peer has heard of it", || version(&world, 1, &one).status == 404);
    assert_eq!(version(&world, 1, &two).expect(200).text(), "two");
}
