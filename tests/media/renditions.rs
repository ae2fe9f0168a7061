//! What is made of models: objects of their own beside them, shown under an address of theirs, and gone with them.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tidegate::media::samples;

use super::optimize::{grid, grid_of};
use super::world::{World, below, world};
use crate::jobs::wait_until_idle;
use crate::support::binary::Place;
use crate::support::client::{Answer, Client, Request, Sign};
use crate::support::signer::Key;

const GLB: &str = "model/gltf-binary";

impl World {
    fn ask(&self, key: &str, body: &str) -> Answer {
        self.send(Request::new("POST", &format!("/-/v1/assets/media/{key}:optimize")).body(body))
    }

    /// The job as it ended.
    fn ended(&self, job: &Value) -> Value {
        let path = format!("/-/v1/jobs/{}", job["job"].as_str().unwrap_or_else(|| panic!("{job}")));
        loop {
            let answer = self.send(Request::new("GET", &path).query("wait", "50s")).expect(200);
            let job: Value = serde_json::from_slice(&answer.body).unwrap();
            if job["ended"].is_string() {
                return job;
            }
        }
    }

    fn made(&self, key: &str, body: &str) -> Value {
        let asked = self.ask(key, body).expect(202);
        self.ended(&serde_json::from_slice(&asked.body).unwrap())
    }

    fn variant(&self, key: &str, variant: &str) -> Answer {
        self.send(Request::on("GET", "media", key).query("variant", variant))
    }

    fn keys(&self, prefix: &str) -> Vec<String> {
        let listed = Client::new(self.running.s3).list(&self.key, "media", &[("prefix", prefix)]);
        listed.keys
    }

    fn jobs_of(&self, kind: &str) -> Vec<Value> {
        let answer = self.send(Request::new("GET", "/-/v1/jobs").query("kind", kind).query("max", "1000")).expect(200);
        serde_json::from_slice::<Value>(&answer.body).unwrap()["jobs"].as_array().unwrap().clone()
    }

    fn restart_after_kill(&mut self) {
        self.running.signal("KILL");
        self.running.wait();
        self.running = self.place.serve();
    }
}

fn hash(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn models_are_made_smaller_on_demand(world: &World) {
    let model = grid(|_| {});
    // Where no rule fits and nothing was made, writes make no jobs.
    assert_eq!(world.put("media", "run/plain.glb", GLB, model.clone()).status, 200);
    assert_eq!(world.send(Request::on("DELETE", "media", "run/plain.glb")).status, 204);
    wait_until_idle(&world.running);
    assert!(world.jobs_of("optimize").is_empty());
    assert_eq!(world.put("media", "run/car.glb", GLB, model.clone()).status, 200);
    let nothing = world.variant("run/car.glb", "draco").refused(404, "NoSuchKey");
    assert!(nothing.text().contains(":optimize makes them"), "{}", nothing.text());
    let job = world.made("run/car.glb", "");
    assert_eq!(job["state"], "done", "{job}");

    let asset = world.asset("media", "run/car.glb");
    let sources = asset["renditions"]["sources"].as_array().unwrap_or_else(|| panic!("{asset}"));
    let names: Vec<&str> = sources.iter().map(|s| s["variant"].as_str().unwrap()).collect();
    assert_eq!(names, ["lossless", "draco", "poster"]);
    for source in sources {
        let shown = world.variant("run/car.glb", source["variant"].as_str().unwrap()).expect(200);
        assert_eq!(
            (hash(&shown.body), shown.header("content-type")),
            (source["sha256"].as_str().unwrap().to_owned(), source["mime"].as_str())
        );
        let beside = world.send(Request::on("GET", "media", source["key"].as_str().unwrap())).expect(200);
        assert_eq!((&beside.body, beside.etag()), (&shown.body, shown.etag()));
    }
    let draco = &sources[1];
    assert!(draco["psnr"].as_f64().unwrap() >= 45.0 && draco["views"].as_array().unwrap().len() == 6, "{draco}");
    assert_eq!((&draco["source_sha256"], &sources[2]["mime"]), (&json!(hash(&model)), &json!("image/webp")));
    // The original is what it was, and so is its address.
    let original = world.send(Request::on("GET", "media", "run/car.glb")).expect(200);
    assert_eq!(original.body, model);

    let shown = world.variant("run/car.glb", "draco");
    assert_ne!(shown.etag(), original.etag());
    let unchanged = world.send(Request::on("GET", "media", "run/car.glb").query("variant", "draco").header("if-none-match", &shown.etag()));
    assert_eq!(unchanged.status, 304);
    let part = world.send(Request::on("GET", "media", "run/car.glb").query("variant", "draco").header("range", "bytes=0-3"));
    assert_eq!((part.status, &part.body[..]), (206, &b"glTF"[..]));
    let head = world.send(Request::on("HEAD", "media", "run/car.glb").query("variant", "poster"));
    assert_eq!((head.status, head.header("content-length")), (200, Some(sources[2]["size"].to_string().as_str())));
    let unknown = world.variant("run/car.glb", "ktx9").refused(404, "NoSuchKey");
    assert!(unknown.text().contains("It has: lossless, draco, poster."), "{}", unknown.text());

    // The edge door: under the source's signature, with headers of its own.
    let signed = |method: &str| Request::on(method, "media", "run/car.glb").query("variant", "draco");
    let edge = Client::new(world.running.edge).send(&signed("GET"), Sign::Presigned(&world.key)).expect(200);
    assert_eq!((&edge.body, edge.header("cross-origin-resource-policy")), (&shown.body, Some("cross-origin")));
    assert!(edge.header("cache-control").unwrap().starts_with("private"), "{:?}", edge.header("cache-control"));
    let refused = Client::new(world.running.edge).send(&signed("GET"), Sign::No);
    assert_eq!(refused.status, 403);
    let by_key = Request::on("GET", "media", draco["key"].as_str().unwrap());
    let by_key = Client::new(world.running.edge).send(&by_key, Sign::Presigned(&world.key)).expect(200);
    assert!(by_key.header("cache-control").unwrap().contains("max-age"), "{:?}", by_key.header("cache-control"));

    // Asked again, nothing is done again.
    let again = world.made("run/car.glb", r#"{"steps": ["draco"]}"#);
    assert!(again["result"].to_string().contains("made already"), "{again}");
}

fn results_follow_their_source(world: &World) {
    wait_until_idle(&world.running);
    let before = world.keys("run/car.glb.variants/");
    assert_eq!(before.len(), 4, "{before:?}");
    // A client's own, also under a name as the gateway would give it.
    for mine in ["draco-0123456789abcdef.glb", "mine.txt"] {
        assert_eq!(world.put("media", &format!("run/car.glb.variants/{mine}"), "text/plain", b"kept".to_vec()).status, 200);
    }
    // Another content: what was made is made again.
    let other = grid(|d| {
        d["materials"] = json!([{ "pbrMetallicRoughness": { "baseColorFactor": [1, 0, 0, 1] } }]);
        d["meshes"][0]["primitives"][0]["material"] = json!(0);
    });
    assert_eq!(world.put("media", "run/car.glb", GLB, other.clone()).status, 200);
    wait_until_idle(&world.running);
    let asset = world.asset("media", "run/car.glb");
    assert_eq!(asset["renditions"]["source"]["sha256"], hash(&other), "{asset}");
    let after = world.keys("run/car.glb.variants/");
    assert_eq!(after.len(), 6, "{after:?}");
    assert_eq!(before.iter().filter(|key| after.contains(key)).count(), 1, "only the manifest's name stays: {before:?} {after:?}");
    // What is no model any more has none.
    assert_eq!(world.send(Request::on("DELETE", "media", "run/car.glb")).status, 204);
    wait_until_idle(&world.running);
    assert_eq!(world.keys("run/"), ["run/car.glb.variants/draco-0123456789abcdef.glb", "run/car.glb.variants/mine.txt"]);
    world.variant("run/car.glb", "draco").refused(404, "NoSuchKey");
}

#[test]
fn what_a_client_wrote_is_never_written_over() {
    let world = world("", None);
    let manifest = "car.glb.variants/manifest.json";
    assert_eq!(world.put("media", manifest, "application/json", b"mine".to_vec()).status, 200);
    assert_eq!(world.put("media", "car.glb", GLB, grid(|_| {})).status, 200);
    let job = world.made("car.glb", r#"{"steps": ["draco"]}"#);
    assert!(job["state"] == "dead" && job["reason"].as_str().unwrap().contains("left alone"), "{job}");
    assert_eq!(world.send(Request::on("GET", "media", manifest)).expect(200).body, b"mine");
    assert_eq!(world.keys("car.glb.variants/"), [manifest]);
    assert_eq!(world.send(Request::on("DELETE", "media", "car.glb")).status, 204);
    wait_until_idle(&world.running);
    assert_eq!(world.keys("car"), [manifest]);
}

#[test]
fn results_are_made_shown_and_gone_with_their_source() {
    let world = world("", None);
    models_are_made_smaller_on_demand(&world);
    results_follow_their_source(&world);
    let scraped = Client::new(world.running.admin).send(&Request::new("GET", "/metrics"), Sign::No).text();
    for line in
        ["tidegate_media_renditions_total{outcome=\"made\"} 6", "tidegate_media_saved_bytes_total", "tidegate_media_optimize_seconds_total"]
    {
        assert!(scraped.contains(line), "{line}\n{scraped}");
    }
}

#[test]
fn results_are_made_shown_and_gone_over_another_s3() {
    let below = below();
    let world = world("", Some(&below));
    models_are_made_smaller_on_demand(&world);
    results_follow_their_source(&world);
}

#[test]
fn rules_make_results_by_themselves_and_equal_content_is_worked_on_once() {
    let rule = "[[optimize_rule]]\nname = \"a\"\nbucket = \"media\"\nprefix = \"a/\"\nsteps = [\"draco\", \"poster\"]\n\
                poster_size = 48\nposter_background = \"#ff0000\"\nposter_format = \"png\"\n\
                [[optimize_rule]]\nname = \"tagged\"\nbucket = \"media\"\ntag = \"small=yes\"\nsteps = \"poster\"\n";
    let mut world = world(rule, None);
    let model = grid(|_| {});
    for key in ["a/1.glb", "a/2.glb", "b/1.glb"] {
        assert_eq!(world.put("media", key, GLB, model.clone()).status, 200);
    }
    let tagged = Request::on("PUT", "media", "b/2.glb").header("content-type", GLB).header("x-amz-tagging", "small=yes");
    assert_eq!(world.send(tagged.body(samples::triangle())).status, 200);
    assert_eq!(world.put("media", "a/page.glb", GLB, b"<html>502</html>".to_vec()).status, 200);
    wait_until_idle(&world.running);
    let poster = world.variant("a/1.glb", "poster").expect(200);
    assert_eq!((&poster.body[..8], &poster.body[16..24]), (&b"\x89PNG\r\n\x1a\n"[..], &[0, 0, 0, 48, 0, 0, 0, 48][..]));
    assert_eq!(world.variant("a/2.glb", "draco").expect(200).etag(), world.variant("a/1.glb", "draco").expect(200).etag());
    world.variant("b/1.glb", "draco").refused(404, "NoSuchKey");
    world.variant("b/2.glb", "poster").expect(200);
    assert_eq!(world.send(Request::on("HEAD", "media", "b/2.glb.variants/manifest.json")).header("x-amz-tagging-count"), Some("1"));
    // They have the tags that it has now.
    let body = "<Tagging><TagSet><Tag><Key>small</Key><Value>yes</Value></Tag><Tag><Key>b</Key><Value>c</Value></Tag></TagSet></Tagging>";
    assert_eq!(world.send(Request::on("PUT", "media", "b/2.glb").query("tagging", "").body(body).content_md5()).status, 200);
    wait_until_idle(&world.running);
    assert_eq!(world.send(Request::on("HEAD", "media", "b/2.glb.variants/manifest.json")).header("x-amz-tagging-count"), Some("2"));
    // What did not pass has nothing, and says why.
    let dead: Vec<Value> = world.jobs_of("optimize").into_iter().filter(|job| job["state"] == "dead").collect();
    assert!(dead.len() == 1 && dead[0]["reason"].as_str().unwrap().contains("HTML page"), "{dead:?}");
    world.variant("a/page.glb", "poster").refused(404, "NoSuchKey");

    // Also by the next process.
    world.restart_after_kill();
    assert_eq!(world.put("media", "a/3.glb", GLB, model).status, 200);
    wait_until_idle(&world.running);
    let known: Vec<bool> = world.jobs_of("optimize").iter().filter_map(|job| job["result"]["known"].as_bool()).collect();
    assert_eq!((known.iter().filter(|known| **known).count(), known.len()), (2, 4), "{known:?}");
    world.variant("a/3.glb", "draco").expect(200);
}

#[test]
fn what_looks_different_is_not_used() {
    let world = world("", None);
    assert_eq!(world.put("media", "car.glb", GLB, grid(|_| {})).status, 200);
    let job = world.made("car.glb", r#"{"steps": ["draco", "poster"], "psnr": 99, "ssim": 1, "poster": {"size": 20}}"#);
    assert_eq!(job["state"], "done", "{job}");
    let made = &world.asset("media", "car.glb")["renditions"];
    let refused = &made["refused"][0];
    assert_eq!((&refused["variant"], made["sources"].as_array().unwrap().len()), (&json!("draco"), 1), "{made}");
    assert!(refused["looks"]["psnr"].as_f64().unwrap() < 99.0 && made["skipped"].to_string().contains("it looks different"), "{made}");
    assert!(world.variant("car.glb", "draco").refused(404, "NoSuchKey").text().contains("It has: poster."));
    for (body, why) in [
        (r#"{"poster": {"size": 4096}}"#, "1 to 1024 pixels"),
        (r#"{"poster": {"background": "red"}}"#, "#20242a"),
        (r#"{"steps": ["smaller"]}"#, "There is no step"),
        (r#"{"steps": []}"#, "Name steps"),
        (r#"{"psnr": 100}"#, "0 to 99"),
        (r#"{"step": "draco"}"#, "unknown field"),
    ] {
        let answer = world.ask("car.glb", body).expect(400);
        assert!(answer.text().contains(why), "{body}: {}", answer.text());
    }
    assert_eq!(world.put("media", "notes.txt", "text/plain", b"hello".to_vec()).status, 200);
    assert_eq!(world.ask("notes.txt", "").status, 400);
    assert_eq!(world.ask("nothing.glb", "").status, 404);
}

fn tenants() -> (World, Key, Key) {
    let place = Place::new();
    let keys = ["acme", "bravo"].map(|id| Key::new(&format!("AK{}", id.to_uppercase()), &format!("secret-of-{id}-0123456789")));
    for (id, key) in ["acme", "bravo"].iter().zip(&keys) {
        let text = format!(
            "id = \"{id}\"\npolicies = [\"tenant-default\"]\nkeys = [{{ access_key = \"{}\", secret = {{ value = \"{}\" }} }}]\n",
            key.access, key.secret
        );
        place.write(&format!("policies/tenants/{id}.toml"), &text);
    }
    place.write("gateway.toml", "[store]\nreserve = \"0B\"\n");
    let running = place.serve();
    let [acme, bravo] = keys;
    let world = World { place, running, key: acme.clone() };
    assert_eq!(world.send(Request::new("PUT", "/media")).status, 200);
    (world, acme, bravo)
}

#[test]
fn nobody_else_gets_or_orders_anything() {
    let (mut world, acme, bravo) = tenants();
    let model = grid(|_| {});
    assert_eq!(world.put("media", "car.glb", GLB, model.clone()).status, 200);
    assert_eq!(world.made("car.glb", "")["state"], "done");
    let key = world.asset("media", "car.glb")["renditions"]["sources"][1]["key"].as_str().unwrap().to_owned();
    world.key = bravo;
    world.variant("car.glb", "draco").refused(403, "AccessDenied");
    world.variant("car.glb", "nothing").refused(403, "AccessDenied");
    assert_eq!(world.send(Request::on("GET", "media", &key)).status, 403);
    assert_eq!(world.ask("car.glb", "").status, 403);
    // Equal content of another tenant is worked on anew: how long it takes tells nothing.
    assert_eq!(world.send(Request::new("PUT", "/other")).status, 200);
    assert_eq!(world.put("other", "car.glb", GLB, model).status, 200);
    let asked = world.send(Request::new("POST", "/-/v1/assets/other/car.glb:optimize")).expect(202);
    let job = world.ended(&serde_json::from_slice(&asked.body).unwrap());
    assert_eq!(job["result"]["known"], false, "{job}");
    // Who may read the source by its ACL may read what was made of it, though not under its own key.
    world.key = acme;
    let open = Request::on("PUT", "media", "car.glb").query("acl", "").header("x-amz-acl", "public-read");
    assert_eq!(world.send(open).status, 200);
    let edge = |path: &str| Client::new(world.running.edge).send(&Request::new("GET", path), Sign::No);
    let mine = Client::new(world.running.edge).send(&Request::on("GET", "media", "car.glb").query("variant", "draco"), Sign::No);
    assert_eq!((mine.status, edge(&format!("/media/{key}")).status), (200, 403), "{}", mine.text());
    assert!(mine.header("cache-control").unwrap().starts_with("public, max-age=60"), "{:?}", mine.header("cache-control"));
}

#[test]
fn a_killed_worker_is_a_dead_job() {
    let world = world("", None);
    assert_eq!(world.put("media", "car.glb", GLB, grid_of(300, |_| {})).status, 200);
    let asked: Value = serde_json::from_slice(&world.ask("car.glb", "").expect(202).body).unwrap();
    let worker = worker_of(&world);
    assert!(std::process::Command::new("kill").args(["-KILL", &worker.to_string()]).status().unwrap().success());
    let job = world.ended(&asked);
    assert!(job["state"] == "dead" && job["reason"].as_str().unwrap().contains("signal 9"), "{job}");
    assert!(world.keys("car.glb.variants/").is_empty());
    assert_eq!(world.made("car.glb", "")["state"], "done");
    world.variant("car.glb", "draco").expect(200);
}

/// The process that makes something, as soon as there is one.
fn worker_of(world: &World) -> u32 {
    let gateway = world.running.child.id();
    let begun = std::time::Instant::now();
    loop {
        let children = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
        let is_worker = |pid: &u32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)).and_then(|n| n.parse::<u32>().ok());
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            parent == Some(gateway) && String::from_utf8_lossy(&command).contains("media-worker") && is_at_work(world)
        };
        if let Some(pid) = children.into_iter().find(is_worker) {
            return pid;
        }
        assert!(begun.elapsed().as_secs() < 60, "no worker");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// Whether a job says what it is doing: then the worker is one that optimizes.
fn is_at_work(world: &World) -> bool {
    let running = world.jobs_of("optimize").into_iter().find(|job| job["state"] == "running");
    let Some(id) = running.as_ref().and_then(|job| job["id"].as_str()) else { return false };
    let answer = world.send(Request::new("GET", &format!("/-/v1/jobs/{id}")));
    serde_json::from_slice::<Value>(&answer.body).unwrap()["progress"]["note"].is_string()
}

#[test]
fn a_gateway_killed_in_between_shows_nothing_half() {
    let mut world = world("[[optimize_rule]]\nname = \"all\"\n", None);
    let model = grid_of(200, |_| {});
    for n in 0..3 {
        let key = format!("{n}.glb");
        let content = grid_of(200, |d| d["asset"]["generator"] = json!(format!("test {n}")));
        assert_eq!(world.put("media", &key, GLB, if n == 0 { model.clone() } else { content }).status, 200);
        worker_of(&world);
        world.restart_after_kill();
        for earlier in 0..=n {
            let shown = world.variant(&format!("{earlier}.glb"), "draco");
            assert!(shown.status == 404 || shown.body.starts_with(b"glTF"), "{}", shown.text());
        }
    }
    wait_until_idle(&world.running);
    for n in 0..3 {
        let shown = world.variant(&format!("{n}.glb"), "draco").expect(200);
        let named = &world.asset("media", &format!("{n}.glb"))["renditions"]["sources"][1];
        assert_eq!(named["sha256"], hash(&shown.body));
        assert_eq!(world.keys(&format!("{n}.glb.variants/")).len(), 4);
    }
}
