//! The commands as scripts meet them: arguments, manifest, exit status, what is said and where.

use std::process::{Command, Output};

use serde_json::Value;

use super::*;
use crate::support::binary::{self, Place, Running};
use crate::support::client::Client;

fn key() -> Key {
    Key::new(binary::ACCESS, binary::SECRET)
}

struct World {
    place: Place,
    running: Running,
}

impl World {
    fn new() -> Self {
        let place = Place::new();
        let running = place.serve();
        Client::new(running.s3).make_bucket(&key(), "media");
        World { place, running }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.command(arguments);
        command.env("TIDEGATE_LISTEN", self.running.s3.to_string()).env("XDG_STATE_HOME", self.place.path("state"));
        for name in ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "S3_PUBLIC_BASE_URL", "AWS_PROFILE"] {
            command.env_remove(name);
        }
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn file(&self, name: &str, bytes: &[u8]) {
        let path = self.place.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

fn told(output: &Output, status: i32) -> (String, String) {
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    (String::from_utf8(output.stdout.clone()).unwrap(), String::from_utf8(output.stderr.clone()).unwrap())
}

#[test]
fn an_import_with_topics_and_a_manifest() {
    let world = World::new();
    world.file("tree/My Topic/Hero Shot.png", b"png");
    world.file("tree/My Topic/sub_folder/a.glb", b"glTF");
    world.file("tree/top.txt", b"hello");
    let import =
        ["import", "tree", "s3://media/run 1", "--kebab-case", "--manifest", "tree/manifest.json", "--manifest-key", "manifest.json"];
    let (out, _) = told(&world.run(&[&import[..], &["--dry-run"]].concat()), 0);
    assert!(out.contains("would move my-topic/Hero Shot.png") && out.contains("3 would be moved"), "{out}");
    assert!(!world.place.path("tree/manifest.json").exists());
    assert_eq!(operations(world.running.admin).get("PutObject"), None);

    let mut command = world.command(&import);
    let (out, err) = told(&command.env("S3_PUBLIC_BASE_URL", "https://cdn.example.com/").output().unwrap(), 0);
    assert_eq!(
        (out.as_str(), err.as_str()),
        ("4 moved (12 bytes), 0 there already, 0 failed\n".replace("12", &out_bytes(&out)).as_str(), "")
    );
    let manifest: Value = serde_json::from_slice(&std::fs::read(world.place.path("tree/manifest.json")).unwrap()).unwrap();
    let files = manifest["files"].as_array().unwrap();
    assert_eq!(files.len(), 3);
    let hero = &files[0];
    assert_eq!(hero["path"], "My Topic/Hero Shot.png");
    assert_eq!(hero["key"], "run 1/my-topic/Hero Shot.png");
    assert_eq!((hero["size"].as_u64(), hero["type"].as_str()), (Some(3), Some("image/png")));
    assert_eq!(hero["sha256"], crate::support::signer::sha256_hex(b"png"));
    assert_eq!(hero["url"], "https://cdn.example.com/run%201/my-topic/Hero%20Shot.png");
    let mut client = Client::new(world.running.s3);
    assert_eq!(client.get(&key(), "media", "run 1/my-topic/sub-folder/a.glb").expect(200).body, b"glTF");
    let there = client.get(&key(), "media", "run 1/manifest.json").expect(200);
    assert_eq!(there.body, std::fs::read(world.place.path("tree/manifest.json")).unwrap());
    // Again: the manifest is the same bytes, and nothing is sent.
    let (out, _) = told(&command.output().unwrap(), 0);
    assert_eq!(out, "0 moved (0 bytes), 4 there already, 0 failed\n");
    assert_eq!(operations(world.running.admin)["PutObject"], 4);
    assert!(world.running.stop().success());
}

fn out_bytes(out: &str) -> String {
    out.split_once('(').unwrap().1.split_once(' ').unwrap().0.to_owned()
}

#[test]
fn keys_that_collide_are_all_named_and_nothing_is_sent() {
    let world = World::new();
    for name in ["tree/My Topic/a", "tree/my-topic/a", "tree/X Y/b", "tree/x_y/b", "tree/fine"] {
        world.file(name, name.as_bytes());
    }
    let (_, err) = told(&world.run(&["import", "tree", "s3://media", "--kebab-case"]), 1);
    for part in ["my-topic/a: several files", "x-y/b: several files", "My Topic/a, my-topic/a", "nothing was sent"] {
        assert!(err.contains(part), "{part}: {err}");
    }
    assert_eq!(operations(world.running.admin).get("PutObject"), None);
    told(&world.run(&["import", "tree", "s3://media"]), 0);
    assert!(world.running.stop().success());
}

#[test]
fn what_fails_is_named_and_the_rest_goes_on() {
    let world = World::new();
    world.file("tree/good", b"1");
    std::os::unix::fs::symlink("/etc/hostname", world.place.path("tree/out")).unwrap();
    let (out, err) = told(&world.run(&["import", "tree", "s3://media"]), 1);
    assert!(out.contains("1 moved") && out.contains("1 failed"), "{out}");
    assert!(err.contains("out: the link leads out of the folder"), "{err}");
    let (_, err) = told(&world.run(&["import", "tree", "s3://nowhere"]), 1);
    assert!(err.contains("NoSuchBucket"), "{err}");
    Client::new(world.running.s3).put(&key(), "media", "../up", b"x").expect(200);
    let (_, err) = told(&world.run(&["export", "s3://media", "out"]), 1);
    assert!(err.contains("../up: its key has a part `.` or `..`"), "{err}");
    assert_eq!(std::fs::read(world.place.path("out/good")).unwrap(), b"1");
    assert!(world.running.stop().success());
}

#[test]
fn arguments_that_can_not_be_used() {
    let world = World::new();
    for arguments in [
        &["import", "tree", "media"][..],
        &["import", "missing", "s3://media"],
        &["import", ".", "s3://media", "--endpoint", "localhost:9000"],
        &["import", ".", "s3://media", "--jobs", "0"],
        &["import", ".", "s3://media", "--manifest-key", "m"],
        &["export", "s3://", "out"],
        &["mirror", "s3://media/a", "s3://media/a/b"],
        &["mirror", "s3://media", "s3://media", "--verify", "perhaps"],
    ] {
        told(&world.run(arguments), 64);
    }
    let nobody = world.command(&["export", "s3://media", "out"]).env("TIDEGATE_LISTEN", "127.0.0.1:1").output().unwrap();
    assert!(told(&nobody, 1).1.contains("no gateway answers at 127.0.0.1:1"));
    assert!(world.running.stop().success());
}

#[test]
fn a_mirror_between_two_gateways_and_within_one() {
    let (old, new) = (World::new(), World::new());
    let mut client = Client::new(old.running.s3);
    client.put(&key(), "media", "a/1", b"one").expect(200);
    client.put(&key(), "media", "a/2", b"two").expect(200);
    // A source by its URL and the usual environment, a target that is this machine's.
    let source = format!("http://{}", old.running.s3);
    let mut command = new.command(&["mirror", "s3://media/a", "s3://media/b", "--source-endpoint", &source]);
    command.env("AWS_ACCESS_KEY_ID", binary::ACCESS).env("AWS_SECRET_ACCESS_KEY", binary::SECRET).env("AWS_REGION", "us-east-1");
    assert!(told(&command.output().unwrap(), 0).0.starts_with("2 moved (6 bytes), 0 there already"));
    assert_eq!(Client::new(new.running.s3).get(&key(), "media", "b/2").expect(200).body, b"two");
    told(&new.run(&["mirror", "s3://media/b", "s3://media/c"]), 0);
    assert_eq!(Client::new(new.running.s3).get(&key(), "media", "c/1").expect(200).body, b"one");
    assert!(old.running.stop().success() && new.running.stop().success());
}
