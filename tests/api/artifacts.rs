//! `/-/v1/artifacts` and `/-/v1/runs`: making, looking, listing, deleting; whose they are; and documents that live.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tidegate::media::samples;

use super::{World, acme, bravo, world};
use crate::support::client::{Client, Request, Sign};

const ARTIFACTS: &str = "/-/v1/artifacts";

fn hash(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn get(path: &str) -> Request {
    Request::new("GET", path)
}

fn post(body: &Value) -> Request {
    Request::new("POST", ARTIFACTS).body(body.to_string())
}

fn names(page: &Value) -> Vec<&str> {
    page["artifacts"].as_array().unwrap().iter().map(|a| a["filename"].as_str().unwrap()).collect()
}

/// By text, by the body of a PUT, by a URL with and without a hash.
fn made_in_every_way(world: &World) {
    let text = json!({"bucket": "media", "run": "run-7", "type": "shader", "filename": "wave.glsl", "text": "void main() {}", "metadata": {"Prompt": "waves"}});
    let made = world.ask(&acme(), post(&text), 201);
    let named = format!("acme/run-7/shader/wave-{}.glsl", &hash(b"void main() {}")[..32]);
    assert_eq!((&made["key"], &made["existed"], &made["type"]), (&json!(named), &json!(false), &json!("shader")), "{made}");
    assert_eq!((&made["metadata"]["prompt"], &made["sha256"]), (&json!("waves"), &json!(hash(b"void main() {}"))));
    let read = world.open(made["uri"].as_str().unwrap()).expect(200);
    assert_eq!((read.text().as_str(), read.header("x-amz-meta-prompt")), ("void main() {}", Some("waves")));
    assert_eq!(world.ask(&acme(), post(&text), 201)["existed"], true);

    // A body as it is.
    let model = samples::triangle();
    let path = format!("{ARTIFACTS}/media/acme/run-7/model_3d/car.glb");
    let put = Request::new("PUT", &path).header("content-type", "model/gltf-binary").body(model.clone());
    let put = world.ask(&acme(), put, 201);
    let key = format!("acme/run-7/model_3d/car-{}.glb", &hash(&model)[..32]);
    assert_eq!((&put["key"], &put["size"]), (&json!(key), &json!(model.len())), "{put}");

    // A URL that holds the bytes against their hash, and tells the key before.
    let png = samples::png(4, 4, &[("IDAT", &[1; 20])]);
    let wanted = json!({"bucket": "media", "run": "run-7", "type": "image", "filename": "a.png", "upload": {"sha256": hash(&png)}, "tags": {"kind": "test"}});
    let asked = world.ask(&acme(), post(&wanted), 201);
    assert_eq!(asked["key"], format!("acme/run-7/image/a-{}.png", &hash(&png)[..32]));
    assert_eq!(asked["upload"]["headers"]["content-type"], "image/png");
    assert_eq!(send_to(world, &asked, b"other bytes").status, 400);
    assert_eq!(send_to(world, &asked, &png).status, 200);
    let tags = world.send(&acme(), Request::on("GET", "media", asked["key"].as_str().unwrap()).query("tagging", "")).expect(200);
    assert!(tags.text().contains("<Key>kind</Key>"), "{}", tags.text());

    // One for bytes that are not known yet: the answer to them tells the key.
    let wanted = json!({"bucket": "media", "run": "run-7", "type": "image", "filename": "b.png", "upload": {"expires": 60}});
    let asked = world.ask(&acme(), post(&wanted), 201);
    assert_eq!((&asked["key"], &asked["upload"]["key_header"]), (&Value::Null, &json!("x-tidegate-key")));
    let sent = send_to(world, &asked, &png).expect(200);
    assert_eq!(sent.header("x-tidegate-key"), Some(format!("acme/run-7/image/b-{}.png", &hash(&png)[..32]).as_str()));
}

pub fn send_to(world: &World, asked: &Value, body: &[u8]) -> crate::support::client::Answer {
    let url = asked["upload"]["url"].as_str().unwrap();
    let (_, path) = url.split_once("://").unwrap().1.split_once('/').unwrap();
    let kind = asked["upload"]["headers"]["content-type"].as_str().unwrap();
    let host = world.running.s3;
    let head = format!("PUT /{path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n", body.len());
    Client::new(host).send_as_is("PUT", &[head.as_bytes(), body].concat())
}

/// After `made_in_every_way`.
fn looked_at_listed_and_deleted(world: &World) {
    let all = world.ask(&acme(), get(ARTIFACTS).query("bucket", "media").query("run", "run-7"), 200);
    assert_eq!(all["artifacts"].as_array().unwrap().len(), 4, "{all}");
    let images = get(ARTIFACTS).query("bucket", "media").query("run", "run-7").query("type", "image").query("uris", "true");
    let images = world.ask(&acme(), images, 200);
    assert_eq!(images["artifacts"].as_array().unwrap().len(), 2);
    assert_eq!(world.open(images["artifacts"][0]["uri"].as_str().unwrap()).status, 200);
    let shaders = world.ask(&acme(), get(ARTIFACTS).query("bucket", "media").query("type", "shader"), 200);
    assert_eq!(shaders["artifacts"][0]["run"], "run-7");
    // Page by page.
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let page = get(ARTIFACTS).query("bucket", "media").query("run", "run-7").query("max", "3").query("after", &after);
        let page = world.ask(&acme(), page, 200);
        found.extend(page["artifacts"].as_array().unwrap().iter().map(|a| a["key"].clone()));
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(found, all["artifacts"].as_array().unwrap().iter().map(|a| a["key"].clone()).collect::<Vec<_>>());

    let key = found.iter().find_map(|key| key.as_str().filter(|key| key.ends_with(".glb"))).unwrap().to_owned();
    let model = world.ask(&acme(), get(&format!("{ARTIFACTS}/media/{key}")).query("wait", "50s"), 200);
    assert_eq!((&model["ready"], &model["inspection"]["verdict"]), (&json!(true), &json!("passed")), "{model}");
    assert_eq!((&model["public"], &model["filename"]), (&json!(false), &json!(key.rsplit('/').next().unwrap())));

    let run = world.ask(&acme(), get("/-/v1/runs/media/acme/run-7"), 200);
    assert_eq!(
        (&run["total"]["artifacts"], &run["distinct"]["artifacts"], &run["complete"]),
        (&json!(4), &json!(3), &json!(true)),
        "{run}"
    );
    assert_eq!(run["by_type"]["image"]["artifacts"], 2);
    assert_eq!(world.ask(&acme(), get("/-/v1/runs/media/acme"), 200)["runs"], json!(["run-7"]));
    world.ask(&acme(), get("/-/v1/runs/media/acme/run-8"), 404);

    // Another tenant sees nothing of it.
    for request in [
        get(ARTIFACTS).query("bucket", "media").query("tenant", "acme"),
        get(&format!("{ARTIFACTS}/media/{key}")),
        get("/-/v1/runs/media/acme/run-7"),
        Request::new("DELETE", &format!("{ARTIFACTS}/media/{key}")),
        post(&json!({"bucket": "media", "tenant": "acme", "run": "r", "type": "image", "filename": "x", "text": "x"})),
        post(&json!({"bucket": "media", "tenant": "acme", "run": "r", "type": "image", "filename": "x", "upload": {}})),
    ] {
        let path = request.path.clone();
        assert_eq!(world.ask(&bravo(), request, 403)["code"], "AccessDenied", "{path}");
    }
    assert_eq!(Client::new(world.running.s3).send(&get(ARTIFACTS).query("bucket", "media"), Sign::No).status, 403);

    world.send(&acme(), Request::new("DELETE", &format!("{ARTIFACTS}/media/{key}"))).expect(204);
    world.ask(&acme(), get(&format!("{ARTIFACTS}/media/{key}")), 404);
}

fn documents_live(world: &World) {
    let versioning = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    world.send(&acme(), Request::new("PUT", "/media").query("versioning", "").body(versioning)).expect(200);
    let document = |text: &str, condition: Value| {
        let mut said = json!({"bucket": "media", "session": "s1", "filename": "metadata.json", "text": text});
        said.as_object_mut().unwrap().extend(condition.as_object().unwrap().clone());
        post(&said)
    };
    let first = world.ask(&acme(), document("{\"n\": 1}", json!({"if_none_match": "*"})), 201);
    assert_eq!(
        (&first["key"], &first["session"], &first["content_type"]),
        (&json!("sessions/s1/metadata.json"), &json!("s1"), &json!("application/json"))
    );
    assert_eq!(world.ask(&acme(), document("{}", json!({"if_none_match": "*"})), 412)["code"], "PreconditionFailed");
    let second = world.ask(&acme(), document("{\"n\": 2}", json!({"if_match": first["etag"]})), 201);
    assert_eq!(world.ask(&acme(), document("{\"n\": 3}", json!({"if_match": first["etag"]})), 412)["code"], "PreconditionFailed");
    // By PUT as well.
    let path = format!("{ARTIFACTS}/media/sessions/s1/metadata.json");
    let third = Request::new("PUT", &path).header("if-match", second["etag"].as_str().unwrap()).body("{\"n\": 4}");
    let third = world.ask(&acme(), third, 201);
    let versions = world.ask(&acme(), get(&path).query("versions", "true"), 200);
    let ids: Vec<&Value> = versions["versions"].as_array().unwrap().iter().map(|v| &v["version_id"]).collect();
    assert_eq!(ids, [&third["version_id"], &second["version_id"], &first["version_id"]], "{versions}");
    let listed = world.ask(&acme(), get(ARTIFACTS).query("bucket", "media").query("session", "s1"), 200);
    assert_eq!(names(&listed), ["metadata.json"]);
}

fn what_is_wrong_is_told(world: &World) {
    for (said, code) in [
        (json!({"bucket": "media", "run": "r", "type": "images", "filename": "x", "text": "x"}), "InvalidArgument"),
        (json!({"bucket": "media", "run": "r", "filename": "x", "text": "x"}), "InvalidArgument"),
        (json!({"bucket": "media", "run": "r", "type": "image", "filename": "../x", "text": "x"}), "InvalidArgument"),
        (json!({"bucket": "media", "run": "r", "type": "image", "filename": "x"}), "InvalidArgument"),
        (json!({"bucket": "media", "run": "r", "type": "image", "filename": "x", "text": "x", "base64": "eA=="}), "InvalidArgument"),
        (json!({"bucket": "media", "run": "r", "type": "image", "filename": "x", "base64": "?"}), "InvalidArgument"),
        (json!({"bucket": "media", "run": "r", "type": "image", "filename": "x", "text": "x", "if_match": "*"}), "InvalidRequest"),
        (
            json!({"bucket": "media", "run": "r", "type": "image", "filename": "x", "text": "x", "metadata": {"a b": "c"}}),
            "InvalidArgument",
        ),
        (json!({"bucket": "media", "run": "r", "type": "image", "filename": "x", "upload": {"sha256": "ab"}}), "InvalidArgument"),
        (json!({"bucket": "media", "kind": "x", "filename": "x"}), "InvalidRequest"),
    ] {
        let answer = world.ask(&acme(), post(&said), 400);
        assert_eq!(answer["code"], code, "{said}: {answer}");
    }
    world.ask(&acme(), post(&json!({"bucket": "nobodys", "run": "r", "type": "image", "filename": "x", "text": "x"})), 404);
    let stray = Request::new("PUT", &format!("{ARTIFACTS}/media/elsewhere/x.png")).body("x");
    assert_eq!(world.ask(&acme(), stray, 400)["code"], "InvalidArgument");
    // Each of a batch for itself.
    let one = |file: &str| json!({"bucket": "media", "run": "batch", "type": "texture", "filename": file, "base64": "aGFsbG8="});
    let batch = json!({"artifacts": [one("a.txt"), one("/"), one("b.txt")]});
    let batch = world.ask(&acme(), Request::new("POST", "/-/v1/artifacts:batch").body(batch.to_string()), 200);
    let status: Vec<&Value> = batch["artifacts"].as_array().unwrap().iter().map(|one| &one["status"]).collect();
    assert_eq!((status, &batch["failed"]), (vec![&json!(201), &json!(400), &json!(201)], &json!(1)), "{batch}");
    assert_eq!(world.ask(&acme(), get("/-/v1/runs/media/acme/batch"), 200)["total"], json!({"artifacts": 2, "bytes": 10}));
}

#[test]
fn artifacts_in_the_store_of_the_gateway() {
    let world = world("", None);
    made_in_every_way(&world);
    looked_at_listed_and_deleted(&world);
    documents_live(&world);
    what_is_wrong_is_told(&world);
    assert!(world.running.stop().success());
}

#[test]
fn artifacts_over_another_s3() {
    let below = world("", None);
    let world = world("", Some(&below));
    made_in_every_way(&world);
    looked_at_listed_and_deleted(&world);
    // In the operator's bucket a tenant has what is under its own name.
    let said = json!({"bucket": "shared", "tenant": "bravo", "project": "p", "filename": "metadata.json", "text": "{}"});
    let made = world.ask(&bravo(), post(&said), 201);
    assert_eq!(made["key"], "bravo/projects/p/metadata.json");
    let list = |tenant: &str| get(ARTIFACTS).query("bucket", "shared").query("tenant", tenant).query("project", "p");
    assert_eq!(names(&world.ask(&bravo(), list("bravo"), 200)), ["metadata.json"]);
    world.ask(&acme(), list("bravo"), 403);
    world.ask(&acme(), post(&said), 403);
}
