//! Uploads are looked into: after the answer as a rule, before it where a bucket demands it; over both origins and through both doors.

use serde_json::Value;
use tidegate::media::samples;

use super::world::{World, below, world};
use crate::support::client::{Client, Request, Sign};

fn uploads_are_looked_into(world: &World) {
    let page = b"<!DOCTYPE html><title>502 Bad Gateway</title>".to_vec();
    assert_eq!(world.put("media", "a/model.glb", "model/gltf-binary", samples::triangle()).status, 200);
    assert_eq!(world.put("media", "a/page.glb", "model/gltf-binary", page).status, 200);
    assert_eq!(world.put("media", "a/untyped.png", "", samples::png(3, 2, &[("IDAT", b"x")])).status, 200);
    assert_eq!(world.put("media", "a/empty.mp3", "audio/mpeg", Vec::new()).status, 200);
    assert_eq!(world.put("media", "a/text.txt", "text/plain", b"hello".to_vec()).status, 200);

    let model = world.asset("media", "a/model.glb");
    assert_eq!((&model["inspection"]["verdict"], &model["inspection"]["facts"]["triangles"]), (&"passed".into(), &1.into()), "{model}");
    let found = world.asset("media", "a/page.glb");
    assert_eq!(found["inspection"]["verdict"], "refused", "{found}");
    assert!(found["inspection"]["findings"][0]["text"].as_str().unwrap().contains("an HTML page"), "{found}");
    assert_eq!(world.asset("media", "a/untyped.png")["inspection"]["facts"]["width"], 3);
    assert_eq!(world.asset("media", "a/empty.mp3")["inspection"]["verdict"], "refused");
    let text = world.asset("media", "a/text.txt");
    assert_eq!((&text["is_media"], &text["inspection"], &text["job"]), (&false.into(), &Value::Null, &Value::Null));

    let head = world.head("media", "a/model.glb");
    assert_eq!((head.header("x-tidegate-media-verdict"), head.header("x-tidegate-media-format")), (Some("passed"), Some("glb")));
    assert_eq!((head.header("x-tidegate-media-triangles"), head.header("x-tidegate-media-found")), (Some("1"), None));
    let page = world.send(Request::on("GET", "media", "a/page.glb"));
    assert_eq!((page.status, page.header("x-tidegate-media-verdict")), (200, Some("refused")));
    assert!(page.header("x-tidegate-media-found").unwrap().contains("an HTML page"));
    assert!(world.head("media", "a/text.txt").header("x-tidegate-media-verdict").is_none());
    // Over the edge door too.
    let signed = Request::on("HEAD", "media", "a/model.glb");
    let edge = Client::new(world.running.edge).send(&signed, Sign::Presigned(&world.key));
    assert_eq!((edge.status, edge.header("x-tidegate-media-triangles")), (200, Some("1")), "{}", edge.text());

    // What takes its place is looked into anew.
    assert_eq!(world.put("media", "a/page.glb", "model/gltf-binary", samples::triangle()).status, 200);
    assert_eq!(world.asset("media", "a/page.glb")["inspection"]["verdict"], "passed");
    let copy = Request::on("PUT", "media", "a/copy.png").header("x-amz-copy-source", "/media/a/model.glb");
    assert_eq!(world.send(copy.header("content-type", "image/png").header("x-amz-metadata-directive", "REPLACE")).status, 200);
    assert_eq!(world.asset("media", "a/copy.png")["inspection"]["verdict"], "refused");
}

#[test]
fn uploads_are_looked_into_after_the_answer() {
    let world = world("", None);
    uploads_are_looked_into(&world);
    let scraped = Client::new(world.running.admin).send(&Request::new("GET", "/metrics"), Sign::No);
    for verdict in ["passed", "refused"] {
        assert!(scraped.text().contains(&format!("tidegate_media_inspections_total{{verdict=\"{verdict}\"}}")), "{}", scraped.text());
    }
}

#[test]
fn uploads_are_looked_into_over_another_s3() {
    let below = below();
    uploads_are_looked_into(&world("", Some(&below)));
}

#[test]
fn what_was_found_outlives_the_process() {
    let mut world = world("", None);
    world.put("media", "model.glb", "model/gltf-binary", samples::triangle());
    world.asset("media", "model.glb");
    world.running.signal("KILL");
    world.running.wait();
    world.running = world.place.serve();
    assert_eq!(world.head("media", "model.glb").header("x-tidegate-media-verdict"), Some("passed"));
}

fn a_bucket_may_demand_it(world: &World) {
    let refused = world.put("strict", "page.glb", "model/gltf-binary", b"<html><h1>502</h1></html>".to_vec());
    assert_eq!((refused.status, &*refused.code()), (400, "InvalidRequest"), "{}", refused.text());
    assert!(refused.text().contains("declared as glb and its bytes are an HTML page"), "{}", refused.text());
    assert_eq!(world.head("strict", "page.glb").status, 404);
    // It is known with the answer.
    assert_eq!(world.put("strict", "model.glb", "model/gltf-binary", samples::triangle()).status, 200);
    assert_eq!(world.head("strict", "model.glb").header("x-tidegate-media-verdict"), Some("passed"));
    let large = samples::png(5, 5, &[("IDAT", &vec![1; 300_000])]);
    assert_eq!(world.put("strict", "large.png", "image/png", large.clone()).status, 200);
    assert_eq!(world.put("strict", "large.png", "image/png", large[..200_000].to_vec()).status, 400);
    assert_eq!(world.head("strict", "large.png").header("content-length"), Some(large.len().to_string().as_str()));
    assert_eq!(world.put("strict", "notes.txt", "text/plain", b"hello".to_vec()).status, 200);
    let begun = world.send(Request::on("POST", "strict", "big.glb").query("uploads", ""));
    assert!(begun.status == 400 && begun.text().contains("PutObject"), "{}", begun.text());
    let copy = Request::on("PUT", "strict", "copy.glb").header("x-amz-copy-source", "/media/a.glb");
    world.put("media", "a.glb", "model/gltf-binary", b"<html>".to_vec());
    assert_eq!(world.send(copy).status, 400);
    // Another bucket takes what it is sent.
    assert_eq!(world.put("media", "page.glb", "model/gltf-binary", b"<html>".to_vec()).status, 200);
}

#[test]
fn a_bucket_may_demand_that_uploads_pass() {
    a_bucket_may_demand_it(&world("[media]\ninspect_before = \"strict\"\n", None));
}

#[test]
fn a_bucket_may_demand_that_uploads_pass_over_another_s3() {
    let below = below();
    a_bucket_may_demand_it(&world("[media]\ninspect_before = \"strict\"\n", Some(&below)));
}

#[test]
fn a_file_past_the_limits_is_a_dead_job_and_nobody_else_notices() {
    let world = world("[media]\nmemory = \"192MiB\"\nmax_size = \"64MiB\"\ncpu = \"20s\"\n", None);
    // A document of 60 MiB whose members need several times that.
    let mut json = String::from("{\"asset\":{\"version\":\"2.0\"},\"extras\":[0");
    while json.len() < 60 << 20 {
        json.push_str(",[[[]]],[[[]]],[[[]]],[[[]]],[[[]]],[[[]]]");
    }
    json.push_str("]}");
    assert_eq!(world.put("media", "bomb.gltf", "model/gltf+json", json.into_bytes()).status, 200);
    assert_eq!(world.put("media", "model.glb", "model/gltf-binary", samples::triangle()).status, 200);
    let bomb = world.asset("media", "bomb.gltf");
    assert_eq!(bomb["inspection"]["verdict"], "failed", "{bomb}");
    assert!(bomb["inspection"]["findings"][0]["text"].as_str().unwrap().contains("media.memory"), "{bomb}");
    let jobs: Value =
        serde_json::from_slice(&world.send(Request::new("GET", "/-/v1/jobs").query("kind", "inspect").query("state", "dead")).body)
            .unwrap();
    assert!(jobs["jobs"][0]["reason"].as_str().unwrap().contains("media.memory"), "{jobs}");
    assert_eq!(world.asset("media", "model.glb")["inspection"]["verdict"], "passed");
    let larger = world.put("media", "larger.png", "image/png", vec![0; 65 << 20]);
    assert_eq!(larger.status, 200);
    assert_eq!(world.asset("media", "larger.png")["inspection"]["verdict"], "skipped");
}
