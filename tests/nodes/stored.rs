//! What is stored over an S3: every kind of write is counted, on every node, as a listing counts it; other writers are found by a recount;
//! limits hold, however many race.

use super::*;
use crate::support::form::{Form, Version};
use crate::support::stored::{Recount, counted, recount, recount_runs};

/// Nodes tell each other soon.
pub const SOON: &str = "[usage]\ntell = \"200ms\"\n";
const VAULT: &str = "vault";

pub fn stored(world: &World, n: usize) -> Recount {
    counted(&json(&world.api(n, "GET", "/-/v1/usage/stored", &[("by", "type")], "").expect(200)))
}

pub fn listed(world: &World) -> Recount {
    recount(world.node(0).s3, &operator(), &[MEDIA, VAULT])
}

/// The same by run.
pub fn stored_runs(world: &World, n: usize) -> Recount {
    counted(&json(&world.api(n, "GET", "/-/v1/usage/stored", &[("by", "run")], "").expect(200)))
}

pub fn listed_runs(world: &World) -> Recount {
    recount_runs(world.node(0).s3, &operator(), &[MEDIA, VAULT])
}

/// By the command.
pub fn count_anew(world: &World, n: usize) -> String {
    let node = &world.nodes[n];
    let mut command = node.place.command(&["usage", "--recount"]);
    let output = command.env("TIDEGATE_ADMIN_LISTEN", world.node(n).admin.to_string()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// With a bucket that keeps versions.
pub fn world(count: usize, settings: &str) -> World {
    let vault = format!("[[bucket]]\nname = \"{VAULT}\"\nupstream = \"{VAULT}-below\"\n");
    let world = World::new(count, &format!("{SOON}{settings}{vault}"));
    let mut below = Client::new(world.upstream.s3);
    below.make_bucket(&operator(), "vault-below");
    let on = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    let versioned = Request::new("PUT", "/vault-below").query("versioning", "").body(on).content_md5();
    below.send(&versioned, Sign::Header(&operator())).expect(200);
    for n in 0..count {
        until("it keeps versions", || {
            let asked = world.client(n).send(&Request::new("GET", "/vault").query("versioning", ""), Sign::Header(&operator()));
            asked.text().contains("Enabled")
        });
    }
    world
}

pub fn tenant(world: &World, limits: &str) -> Key {
    let key = Key::new("AKACME", "acme-secret-1");
    let keys = format!("{{ access_key = \"{}\", secret = {{ value = \"{}\" }} }}", key.access, key.secret);
    let text = format!("id = \"acme\"\npolicies = [\"tenant-default\"]\nkeys = [{keys}]\nlimits = {{ {limits} }}\n");
    for n in 0..world.nodes.len() {
        world.nodes[n].place.write("policies/tenants/acme.toml", &text);
        until("the node knows the tenant", || world.client(n).get(&key, "no-such-bucket", "x").code() != "InvalidAccessKeyId");
    }
    key
}

#[test]
fn every_kind_of_write_is_counted_as_it_is_listed() {
    let world = world(1, "");
    let key = operator();
    let mut client = world.client(0);
    let check = |what: &str| {
        assert_eq!(stored(&world, 0), listed(&world), "{what}");
        assert_eq!(stored_runs(&world, 0), listed_runs(&world), "{what}");
    };
    let on = |bucket: &str, name: &str| Request::on("PUT", bucket, name);
    for bucket in [MEDIA, VAULT] {
        let image = "acme/r/image/1";
        client.put(&key, bucket, image, &[b'x'; 1000]).expect(200);
        client.put(&key, bucket, image, &[b'x'; 300]).expect(200);
        client.put(&key, bucket, "plain", b"").expect(200);
        check("put, and put over it");
        client.send(&on(bucket, image).header("if-none-match", "*").body("x"), Sign::Header(&key)).expect(412);
        client.send(&on(bucket, "new").header("if-none-match", "*").body("x"), Sign::Header(&key)).expect(200);
        check("put on a condition");
        let source = format!("/{bucket}/{image}");
        client.send(&on(bucket, "acme/r/video/copy").header("x-amz-copy-source", &source), Sign::Header(&key)).expect(200);
        let itself = on(bucket, image).header("x-amz-copy-source", &source).header("x-amz-metadata-directive", "REPLACE");
        client.send(&itself, Sign::Header(&key)).expect(200);
        check("copies");
        let large = vec![7; 17 * 1024 * 1024];
        client.put(&key, bucket, "acme/r/image/large", &large).expect(200);
        client.put(&key, bucket, "acme/r/image/again", &large).expect(200);
        check("a body in parts, and one that is there already");
        for name in ["parts", "parts", image] {
            let upload = client.create_upload(&key, bucket, name);
            let etag = client.upload_part(&key, bucket, name, &upload, 1, &[1; 777]).expect(200).etag();
            client.complete(&key, bucket, name, &upload, &[(1, etag.clone())]).expect(200);
            client.complete(&key, bucket, name, &upload, &[(1, etag)]).expect(200);
        }
        check("uploads, completed twice");
        let form = Form::new(bucket, "acme/r/image/form", vec![3; 99]).signed(&key, Version::V4);
        client.send(&form.request(), Sign::No).expect(204);
        check("a form");
        client.delete(&key, bucket, image).expect(204);
        client.delete(&key, bucket, image).expect(204);
        client.delete(&key, bucket, "never").expect(204);
        let several = "<Delete><Object><Key>new</Key></Object><Object><Key>plain</Key></Object><Object><Key>never</Key></Object></Delete>";
        let several = Request::new("POST", &format!("/{bucket}")).query("delete", "").body(several).content_md5();
        client.send(&several, Sign::Header(&key)).expect(200);
        check("deletes");
        client.put(&key, bucket, image, &[b'x'; 5]).expect(200);
        check("put where it was deleted");
    }
    // Each version and marker by its id, the shown one too.
    let page = client.send(&Request::new("GET", "/vault").query("versions", ""), Sign::Header(&key)).expect(200).xml("ListVersionsResult");
    let ids: Vec<(String, String)> =
        page.children.iter().filter_map(|e| Some((e.text_of("Key")?.to_owned(), e.text_of("VersionId")?.to_owned()))).collect();
    assert!(ids.len() > 15, "{}", ids.len());
    for (name, version) in ids {
        client.send(&Request::on("DELETE", VAULT, &name).query("versionId", &version), Sign::Header(&key)).expect(204);
        check(&format!("{name} {version}"));
    }
    assert!(count_anew(&world, 0).contains(" 0 counts were set right"));
}

#[test]
fn other_writers_and_encrypted_objects_are_found_by_a_recount() {
    let world = world(2, "[encryption]\ncustomer_keys_over_http = true\nblock_customer_keys = false\n");
    let key = operator();
    world.put(0, "acme/r/image/1", "one");
    let mut below = Client::new(world.upstream.s3);
    below.put(&key, "home", "media/acme/r/image/2", b"beside").expect(200);
    below.put(&key, "home", "media/acme/r/image/1", b"over it").expect(200);
    below.put(&key, "vault-below", "foreign", b"foreign").expect(200);
    assert_ne!(stored(&world, 1), listed(&world));
    let said = count_anew(&world, 1);
    assert!(!said.contains(" 0 counts"), "{said}");
    (0..2).for_each(|n| assert_eq!(stored(&world, n), listed(&world), "node {n}"));
    // What lies under a client's key tells nothing without it.
    let sealed = |request: Request| {
        let bytes = [9; 32];
        use base64::Engine as _;
        let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
        let md5 = tidegate::ingest::md5::Md5Hasher::digest(&bytes);
        let request = request.header("x-amz-server-side-encryption-customer-algorithm", "AES256");
        let request = request.header("x-amz-server-side-encryption-customer-key", &encode(&bytes));
        request.header("x-amz-server-side-encryption-customer-key-md5", &encode(&md5.0))
    };
    let mut client = world.client(0);
    client.send(&sealed(Request::on("PUT", MEDIA, "sealed").body("sealed")), Sign::Header(&key)).expect(200);
    client.send(&sealed(Request::on("PUT", MEDIA, "sealed").body("sealed anew")), Sign::Header(&key)).expect(200);
    assert_eq!(stored(&world, 0), listed(&world));
    client.put(&key, MEDIA, "sealed", b"plain").expect(200);
    client.send(&sealed(Request::on("PUT", MEDIA, "other").body("sealed")), Sign::Header(&key)).expect(200);
    client.delete(&key, MEDIA, "other").expect(204);
    count_anew(&world, 0);
    (0..2).for_each(|n| assert_eq!(stored(&world, n), listed(&world), "node {n}"));
}

#[test]
fn racing_writers_stay_inside_limits_on_one_node_and_on_three() {
    for count in [1, 3] {
        let limit = "[[bucket_limit]]\nbucket = \"media\"\nobjects = 25\n";
        let world = world(count, limit);
        let key = tenant(&world, "bytes = 100000");
        let writers: Vec<_> = (0..64)
            .map(|n| {
                let (address, key) = (world.node(n % count).s3, key.clone());
                std::thread::spawn(move || {
                    let mut client = Client::new(address);
                    let begun = Instant::now();
                    loop {
                        let answer = client.put(&key, MEDIA, &format!("acme/{n}"), &[n as u8; 5_000]);
                        match (answer.status, &*answer.code()) {
                            (200, _) => return 1,
                            (403, "QuotaExceeded") => return 0,
                            // The room is held by another node, for a while.
                            (503, "SlowDown") if begun.elapsed() < Duration::from_secs(30) => {
                                std::thread::sleep(Duration::from_millis(50));
                                client.reconnect();
                            }
                            other => panic!("{other:?} {}", answer.text()),
                        }
                    }
                })
            })
            .collect();
        let written: usize = writers.into_iter().map(|w| w.join().unwrap()).sum();
        let keys = world.client(0).list(&operator(), MEDIA, &[]).keys;
        assert_eq!((keys.len(), written), (20, 20), "{count} nodes");
        let mut client = world.client(0);
        let one_more = Request::on("PUT", MEDIA, "acme/more").header("x-amz-copy-source", &format!("/media/{}", keys[0]));
        let full = |what: &str, write: &mut dyn FnMut() -> Answer| {
            until(what, || {
                let answer = write();
                assert_ne!(answer.status, 200, "{what}");
                answer.code() == "QuotaExceeded"
            });
        };
        full("the tenant is full", &mut || world.client(0).send(&one_more, Sign::Header(&key)));
        let upload = client.create_upload(&key, MEDIA, "acme/parts");
        full("nor by parts", &mut || world.client(0).upload_part(&key, MEDIA, "acme/parts", &upload, 1, b"1"));
        // Over what is there it fits.
        client.put(&key, MEDIA, &keys[1], &[1; 5_000]).expect(200);
        client.delete(&key, MEDIA, &keys[0]).expect(204);
        let last = (count - 1).min(2);
        until("the room is somebody else's", || world.client(last).put(&key, MEDIA, "acme/instead", &[1; 4_000]).status == 200);
        // The bucket has its own limit, whosever the objects are.
        for n in 0..5 {
            until("the room of the bucket comes by", || {
                let answer = world.client(n % count).put(&operator(), MEDIA, &format!("operator/{n}"), b"");
                assert!(answer.status == 200 || answer.code() == "SlowDown", "{}", answer.text());
                answer.status == 200
            });
        }
        full("the bucket is full", &mut || world.client(0).put(&operator(), MEDIA, "operator/more", b""));
        assert_eq!(stored(&world, 0), listed(&world));
    }
}

#[test]
fn what_is_written_back_stays_inside_limits_and_is_stored() {
    let limit = "[back]\nbuckets = [\"media\"]\n[[bucket_limit]]\nbucket = \"media\"\nobjects = 10\nbytes = \"100000B\"\n";
    let mut world = world(1, limit);
    let writers: Vec<_> = (0..32)
        .map(|n| {
            let address = world.node(0).s3;
            std::thread::spawn(move || {
                let answer = Client::new(address).put(&operator(), MEDIA, &format!("k{n}"), &[n as u8; 1000]);
                assert!(answer.status == 200 || (answer.status, &*answer.code()) == (403, "QuotaExceeded"), "{}", answer.text());
                usize::from(answer.status == 200)
            })
        })
        .collect();
    let written: usize = writers.into_iter().map(|w| w.join().unwrap()).sum();
    // What is being stored may count twice for a moment, never less.
    assert!((1..=10).contains(&written), "{written}");
    world.kill(0);
    world.start(0);
    let sync = || {
        let output =
            world.nodes[0].place.command(&["sync"]).env("TIDEGATE_ADMIN_LISTEN", world.node(0).admin.to_string()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    sync();
    assert!(world.jobs(0, "upload").iter().all(|job| job["state"] != "dead"));
    let mut client = world.client(0);
    let keys = client.list(&operator(), MEDIA, &[]).keys;
    assert_eq!(keys.len(), written);
    count_anew(&world, 0);
    for n in written..10 {
        until("the one before it counts once", || client.put(&operator(), MEDIA, &format!("more{n}"), b"x").status == 200);
    }
    client.put(&operator(), MEDIA, "beyond", b"x").refused(403, "QuotaExceeded");
    sync();
    client.put(&operator(), MEDIA, "beyond", b"x").refused(403, "QuotaExceeded");
    client.delete(&operator(), MEDIA, &keys[0]).expect(204);
    sync();
    client.put(&operator(), MEDIA, "beyond", b"x").expect(200);
    sync();
    assert_eq!(client.list(&operator(), MEDIA, &[]).keys.len(), 10);
    assert_eq!(stored(&world, 0), listed(&world));
}
