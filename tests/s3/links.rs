//! Private reads: links that the gateway makes open what they say, on the edge door and nowhere else, for as long as the tenant
//! that made them may read it itself.

use std::path::Path;

use serde_json::{Value, json};
use tidegate::telemetry::metrics::Door;

use crate::support::client::{Answer, Client, Request, Sign};
use crate::support::gateway::{Gateway, Setup, acme, bravo, operator};
use crate::support::signer::Key;

const KEYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/auth/tests/keys");

struct World {
    gateway: Gateway,
    s3: Client,
    edge: Client,
    /// Scheme and host of the edge door.
    base: String,
}

impl World {
    /// Objects of acme in a shared bucket and in its own, one of bravo's; a key that signs for acme.
    fn new() -> Self {
        let mut gateway = Gateway::start();
        let policies = gateway.policies();
        gateway.restart(|_| write_keys(&policies));
        let mut world = Self::of(gateway);
        world.s3.make_bucket(&operator(), "media");
        for (key, name, body) in [
            (acme(), "acme/model/scene.gltf", "scene"),
            (acme(), "acme/model/scene.bin", "bytes"),
            (acme(), "acme/model2/other", "other"),
            (acme(), "acme/model/../../bravo/x", "dots"),
            (bravo(), "bravo/x", "bravo's"),
        ] {
            world.s3.put(&key, "media", name, body.as_bytes()).expect(200);
        }
        world
    }

    fn of(gateway: Gateway) -> Self {
        let edge = Client::new(gateway.address(Door::Edge));
        World { s3: gateway.client(), base: format!("http://{}", edge.host), edge, gateway }
    }

    fn ask(&mut self, path: &str, key: &Key, document: &Value) -> Answer {
        self.s3.send(&Request::new("POST", path).body(document.to_string()), Sign::Header(key))
    }

    #[track_caller]
    fn link(&mut self, form: &str, name: &str, more: Value) -> Value {
        let mut document = json!({ "bucket": "media", "key": name, "form": form, "base": self.base });
        document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = self.ask("/-/v1/presign", &acme(), &document).expect(200);
        serde_json::from_slice(&answer.body).unwrap()
    }

    fn url(&mut self, form: &str, name: &str) -> String {
        self.link(form, name, json!({}))["url"].as_str().unwrap().to_owned()
    }
}

fn write_keys(policies: &Path) {
    let dir = policies.join("cdn-keys");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("k.toml"), format!("id = \"KACME\"\ntenant = \"acme\"\nprivate_key = {{ file = \"{KEYS}/rsa.key\" }}\n"))
        .unwrap();
}

/// Path and query of a URL, as they go over the wire.
fn get(client: &mut Client, url: &str, headers: &[(&str, &str)]) -> Answer {
    send(client, "GET", url, headers)
}

fn send(client: &mut Client, method: &str, url: &str, headers: &[(&str, &str)]) -> Answer {
    let target = url.splitn(4, '/').nth(3).unwrap();
    let headers: String = headers.iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect();
    let text = format!("{method} /{target} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", client.host);
    client.send_as_is(method, text.as_bytes())
}

#[test]
fn every_form_opens_its_object_and_only_its_door() {
    let mut world = World::new();
    let scene = "acme/model/scene.gltf";
    let s3 = world.link("s3", scene, json!({ "base": null }))["url"].as_str().unwrap().to_owned();
    assert_eq!(get(&mut world.s3, &s3, &[]).expect(200).text(), "scene");
    for form in ["cloudfront", "path-token"] {
        let url = world.url(form, scene);
        assert_eq!(get(&mut world.edge, &url, &[]).expect(200).text(), "scene", "{form}");
        assert_eq!(send(&mut world.edge, "HEAD", &url, &[]).expect(200).header("content-length"), Some("5"));
        send(&mut world.edge, "PUT", &url, &[("content-length", "0")]).refused(405, "MethodNotAllowed");
        let on_s3 = get(&mut world.s3, &url, &[]);
        assert!((400..500).contains(&on_s3.status) && !on_s3.text().contains("scene.gltf\"") && on_s3.text() != "scene", "{form}");
    }
    let cookies = world.link("cookie", scene, json!({}));
    let header: Vec<String> = cookies["cookies"].as_object().unwrap().iter().map(|(n, v)| format!("{n}={}", v.as_str().unwrap())).collect();
    let header = header.join("; ");
    let url = cookies["url"].as_str().unwrap();
    assert!(!url.contains('?'));
    for (url, status) in [
        (url.to_owned(), 200),
        (url.replace("scene.gltf", "scene.bin"), 200),
        (url.replace("model/", "model2/").replace("scene.gltf", "other"), 403),
        (url.replace("acme/model/scene.gltf", "bravo/x"), 403),
    ] {
        get(&mut world.edge, &url, &[("cookie", &header)]).expect(status);
        assert_eq!(get(&mut world.edge, &url, &[]).status, 403);
        assert_eq!(get(&mut world.s3, &url, &[("cookie", &header)]).status, 403);
    }
}

#[test]
fn a_path_token_opens_the_relative_urls_under_it_and_nothing_beside() {
    let mut world = World::new();
    let url = world.url("path-token", "acme/model/scene.gltf");
    let (head, _) = url.split_once("/media/").unwrap();
    let mut status = |path: &str| get(&mut world.edge, &format!("{head}{path}"), &[]);
    assert_eq!(status("/media/acme/model/scene.bin").expect(200).text(), "bytes");
    assert_eq!(status("/media/acme/model/%73cene.bin").expect(200).text(), "bytes");
    // Dots are characters of a key here: this object has them in its name, and lies under the prefix.
    assert_eq!(status("/media/acme/model/../../bravo/x").expect(200).text(), "dots");
    assert_eq!(status("/media/acme/model/%2e%2e/%2e%2e/bravo/x").expect(200).text(), "dots");
    status("/media/acme/model/none").refused(404, "NoSuchKey");
    let refusals: Vec<String> = ["/media/acme/model2/other", "/media/bravo/x", "/media/acme/none", "/media/bravo/none"]
        .map(|path| {
            let answer = status(path);
            assert_eq!((answer.status, &*answer.code()), (403, "AccessDenied"), "{path}");
            answer.text().split("<Resource>").next().unwrap().to_owned()
        })
        .into();
    assert!(refusals.iter().all(|r| *r == refusals[0]), "what is there and what is not look the same: {refusals:?}");
    status("/media/acme/model/scene.bin?response-content-type=text/html").refused(400, "InvalidRequest");
    for path in ["", "/", "/media", "/media/"] {
        assert!((403..=404).contains(&status(path).status), "{path}");
    }
}

#[test]
fn broken_tokens_are_refused_alike() {
    let mut world = World::new();
    let url = world.url("path-token", "acme/model/scene.gltf");
    let (before, rest) = url.split_once("/_t/").unwrap();
    let (token, path) = rest.split_once('/').unwrap();
    let spoiled = format!("{}{}{}", &token[..20], if &token[20..21] == "A" { "B" } else { "A" }, &token[21..]);
    for bad in [&spoiled, "x", "", &token[1..], &format!("{token}A"), &"A".repeat(5000)] {
        for path in [path, "media/acme/model/none", "media/none/x"] {
            let answer = get(&mut world.edge, &format!("{before}/_t/{bad}/{path}"), &[]);
            assert_eq!((answer.status, &*answer.code()), (403, "AccessDenied"), "{bad} {path}");
            assert!(answer.text().contains("not valid"));
        }
    }
}

#[test]
fn links_are_made_for_what_the_caller_may_do_itself() {
    let mut world = World::new();
    let base = world.base.clone();
    let ask = |world: &mut World, key: &Key, document: Value| {
        let answer = world.ask("/-/v1/presign", key, &document);
        let said: Value = serde_json::from_slice(&answer.body).unwrap();
        (answer.status, said["code"].as_str().unwrap_or_default().to_owned(), said)
    };
    for form in ["s3", "cloudfront", "cookie", "path-token"] {
        let (status, code, said) = ask(&mut world, &acme(), json!({ "bucket": "media", "key": "bravo/x", "form": form, "base": base }));
        assert_eq!((status, &*code), (403, "AccessDenied"), "{form}");
        assert!(said["request_id"].is_string() && said["message"].is_string() && said.get("url").is_none());
    }
    // Bravo has no key pair here, and acme's is none of its.
    let (status, code, _) = ask(&mut world, &bravo(), json!({ "bucket": "media", "key": "bravo/x", "form": "cloudfront", "base": base }));
    assert_eq!((status, &*code), (400, "InvalidRequest"));
    for (document, code) in [
        (json!({ "bucket": "media", "key": "acme/x", "expires": 0 }), "InvalidArgument"),
        (json!({ "bucket": "media", "key": "acme/x", "expires": 604_801 }), "InvalidArgument"),
        (json!({ "bucket": "media", "key": "acme/x", "form": "path-token", "base": base, "expires": 604_801 }), "InvalidArgument"),
        (json!({ "bucket": "media", "key": "acme/x", "form": "path-token", "base": base, "method": "PUT" }), "InvalidArgument"),
        (json!({ "bucket": "media", "key": "acme/x", "form": "path-token", "base": base, "prefix": "bravo/" }), "InvalidArgument"),
        (json!({ "bucket": "media", "key": "acme/x", "form": "cloudfront", "base": "https://h/x" }), "InvalidArgument"),
        (json!({ "bucket": "media", "key": "acme/x", "form": "path-token" }), "InvalidRequest"),
        (json!({ "bucket": "media", "key": "acme/x", "form": "x" }), "InvalidRequest"),
        (json!({ "bucket": "media", "key": "acme/x", "forms": "s3" }), "InvalidRequest"),
        (json!({ "bucket": "media" }), "InvalidRequest"),
        (json!({ "bucket": "none", "key": "acme/x" }), "NoSuchBucket"),
    ] {
        assert_eq!(ask(&mut world, &acme(), document.clone()).1, code, "{document}");
    }
    let unsigned = world.s3.send(&Request::new("POST", "/-/v1/presign").body("{}"), Sign::No);
    assert_eq!(unsigned.status, 403);
    let by_link = Request::new("POST", "/-/v1/presign").body(json!({ "bucket": "media", "key": "acme/x" }).to_string());
    assert_eq!(world.s3.send(&by_link, Sign::Presigned(&acme())).status, 403, "a link makes no links");
    // A PUT link of S3 writes, with the caller's own key and no secret sent.
    let put = world.link("s3", "acme/new", json!({ "base": null, "method": "PUT" }))["url"].as_str().unwrap().to_owned();
    send(&mut world.s3, "PUT", &put, &[("content-length", "0")]).expect(200);
}

#[test]
fn a_link_ends_with_its_tenants_rights() {
    let mut world = World::new();
    // Who wrote an object may read it for ever; this one the operator wrote.
    let given = "acme/model/given";
    world.s3.put(&operator(), "media", given, b"given").expect(200);
    let urls = [world.url("cloudfront", given), world.url("path-token", given)];
    for url in &urls {
        get(&mut world.edge, url, &[]).expect(200);
    }
    let world = {
        let World { mut gateway, .. } = world;
        let policies = gateway.policies();
        // Of what acme may nothing is left but its name.
        let file = policies.join("tenants/acme.toml");
        let text = std::fs::read_to_string(&file).unwrap().replace("policies = [\"tenant-default\"]", "policies = []");
        gateway.restart(|_| std::fs::write(&file, text).unwrap());
        World::of(gateway)
    };
    let mut edge = world.edge;
    for url in urls {
        // The port is another one since; the CloudFront URL is signed for the old one, which is sent as Host.
        let host = url.split('/').nth(2).unwrap().to_owned();
        edge.host = host;
        get(&mut edge, &url, &[]).refused(403, "AccessDenied");
    }
}

#[test]
fn path_tokens_outlive_a_restart_and_one_rotation() {
    let mut world = World::new();
    let url = world.url("path-token", "acme/model/scene.gltf");
    let mut gateway = world.gateway;
    gateway.restart(|_| {});
    let mut world = World::of(gateway);
    get(&mut world.edge, &url, &[]).expect(200);
    let mut admin = Client::new(world.gateway.address(Door::Admin));
    let rotate = Request::new("POST", "/-/admin/v1/path-tokens/rotate");
    admin.send(&rotate, Sign::Header(&acme())).expect(403);
    for status in [200, 403] {
        admin.send(&rotate, Sign::Header(&operator())).expect(204);
        get(&mut world.edge, &url, &[]).expect(status);
    }
}

#[test]
fn the_url_for_an_object_fits_who_may_read_it() {
    let mut world = World::new();
    let base = world.base.clone();
    let policy = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::media/acme/model2/*"}}"#;
    world.s3.send(&Request::new("PUT", "/media").query("policy", "").body(policy), Sign::Header(&operator())).expect(204);
    let mut url_for = |name: &str, more: Value| {
        let mut document = json!({ "bucket": "media", "key": name, "base": base });
        document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = world.ask("/-/v1/url", &acme(), &document).expect(200);
        serde_json::from_slice::<Value>(&answer.body).unwrap()
    };
    let public = url_for("acme/model2/other", json!({}));
    assert_eq!((public["public"].as_bool(), public["url"].as_str().unwrap()), (Some(true), &*format!("{base}/media/acme/model2/other")));
    let private = url_for("acme/model/scene.gltf", json!({}));
    assert!(private["public"] == false && private["form"] == "s3" && private["url"].as_str().unwrap().contains("X-Amz-Signature"));
    let token = url_for("acme/model/scene.gltf", json!({ "form": "path-token" }));
    assert!(token["url"].as_str().unwrap().contains("/_t/") && token["expires"].is_string());
    let public = public["url"].as_str().unwrap().to_owned();
    get(&mut world.edge, &public, &[]).expect(200);
    // Stale cookies come along by themselves; what anyone may read they don't close.
    get(&mut world.edge, &public, &[("cookie", "CloudFront-Signature=x; CloudFront-Key-Pair-Id=K; CloudFront-Expires=1")]).expect(200);
}

/// Of a link that nobody says more of, the configuration says how long it lives and under which name browsers know it.
#[test]
fn what_is_set_for_all_links() {
    let mut setup = Setup::new();
    setup.doors.presign_expires = std::time::Duration::from_secs(120);
    setup.doors.sites.set_url_of_any("https://cdn.example.com");
    let mut world = World::of(setup.start());
    world.s3.make_bucket(&acme(), "own");
    let put = Request::on("PUT", "own", "a b.glb").body("x").header("x-amz-acl", "public-read");
    world.s3.send(&put, Sign::Header(&acme())).expect(200);
    world.s3.put(&acme(), "own", "private", b"x").expect(200);
    let mut of = |path: &str, key: &str| -> String {
        let answer = world.ask(path, &acme(), &json!({ "bucket": "own", "key": key })).expect(200);
        serde_json::from_slice::<Value>(&answer.body).unwrap()["url"].as_str().unwrap().to_owned()
    };
    assert_eq!(of("/-/v1/url", "a b.glb"), "https://cdn.example.com/own/a%20b.glb");
    assert!(of("/-/v1/presign", "private").contains("X-Amz-Expires=120&"));
}
