//! A warm list: what it names is in the cache before anybody asks, and who may not read it can't have it read.

use super::*;

fn wait(world: &World, document: &str) -> Value {
    let told = json(&world.api(0, "POST", "/-/v1/warm", &[], document).expect(202));
    let path = format!("/-/v1/jobs/{}", told["job"].as_str().unwrap());
    until("the job has ended", || json(&world.api(0, "GET", &path, &[("wait", "10s")], ""))["state"] == "done");
    json(&world.api(0, "GET", &path, &[], ""))["result"].clone()
}

#[test]
fn what_is_named_is_read_beforehand() {
    let world = World::new(1, "[cache]\nblock = \"64KiB\"\nsize = \"4MiB\"\n");
    let large = "0123456789abcdef".repeat(200_000 / 16);
    for n in 0..5 {
        world.put(0, &format!("acme/run/{n}"), &large);
    }
    world.put(0, "other/empty", "");
    world.put(0, "other/left", "text");
    let document = r#"{"bucket": "media", "keys": ["acme/run/0", "other/empty", "none"], "prefixes": ["acme/run/"]}"#;
    let result = wait(&world, document);
    assert_eq!(result, serde_json::json!({ "objects": 7, "bytes": 1_200_000, "read": 1_000_000, "left_out": 1, "all": true }));
    for n in 0..5 {
        assert_eq!(world.shown(0, &format!("acme/run/{n}")).expect(200).header("x-cache"), Some("HIT"));
    }
    assert_eq!(world.shown(0, "other/left").expect(200).header("x-cache"), Some("MISS"));
    assert_eq!(wait(&world, document)["read"], 0);
    // As much as the cache holds.
    for n in 5..30 {
        world.put(0, &format!("acme/run/{n}"), &large);
    }
    assert_eq!(wait(&world, r#"{"bucket": "media", "prefixes": ["acme/"]}"#)["all"], false);
}

#[test]
fn it_takes_the_right_to_read() {
    let world = World::new(1, "");
    world.nodes[0].place.write(
        "policies/tenants/bravo.toml",
        "id = \"bravo\"\npolicies = [\"tenant-default\"]\nkeys = [{ access_key = \"AKBRAVO\", secret = { value = \"bravo-secret-1\" } }]\n",
    );
    world.api(0, "POST", "/-/v1/warm", &[], r#"{"bucket": "media"}"#).expect(400);
    world.api(0, "POST", "/-/v1/warm", &[], r#"{"bucket": "media", "prefix": "x"}"#).expect(400);
    let bravo = Key::new("AKBRAVO", "bravo-secret-1");
    let ask = |document: &str| {
        let request = Request::new("POST", "/-/v1/warm").body(document);
        (world.client(0).send(&request, Sign::Header(&bravo)).status, world.client(0).send(&request, Sign::No).status)
    };
    until("bravo is known", || ask(r#"{"bucket": "media", "keys": ["bravo/x"]}"#).0 == 202);
    assert_eq!(ask(r#"{"bucket": "media", "keys": ["bravo/x"], "prefixes": ["bravo/"]}"#), (202, 403));
    for document in [r#"{"bucket": "media", "keys": ["acme/x"]}"#, r#"{"bucket": "media", "keys": ["bravo/x"], "prefixes": [""]}"#] {
        assert_eq!(ask(document), (403, 403), "{document}");
    }
}
