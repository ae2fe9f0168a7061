//! `kill -9` of the binary in the middle: the next run finishes, and sends only what was not there.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::*;
use crate::support::binary::{self, Place, Running};
use crate::support::client::Client;

fn key() -> Key {
    Key::new(binary::ACCESS, binary::SECRET)
}

fn tidegate(place: &Place, running: &Running, arguments: &[&str]) -> Command {
    let mut command = place.command(arguments);
    command.env("TIDEGATE_LISTEN", running.s3.to_string()).env("XDG_STATE_HOME", place.path("state"));
    for name in ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "S3_PUBLIC_BASE_URL", "AWS_PROFILE"] {
        command.env_remove(name);
    }
    command
}

/// Until the gateway has done so many, or the command is through; then kills it.
fn kill_after(mut child: Child, running: &Running, operation: &str, count: u64) {
    let begun = Instant::now();
    while operations(running.admin).get(operation).copied().unwrap_or(0) < count && child.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{operation} was not done");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

fn start(mut command: Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn an_import_goes_on_inside_a_large_file() {
    let place = Place::new();
    let running = place.serve();
    Client::new(running.s3).make_bucket(&key(), "media");
    std::fs::create_dir(place.path("tree")).unwrap();
    let large = body(9, 6 * 16 * 1024 * 1024 - 5);
    std::fs::write(place.path("tree/large.bin"), &large).unwrap();
    let arguments = ["import", "tree", "s3://media/in", "--jobs", "1"];
    kill_after(start(tidegate(&place, &running, &arguments)), &running, "UploadPart", 2);
    let output = tidegate(&place, &running, &arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let done = operations(running.admin);
    assert_eq!((done["CreateMultipartUpload"], done["CompleteMultipartUpload"]), (1, 1));
    // The part that was under way may have been stored without its answer being sent.
    assert!((5..=6).contains(&done["UploadPart"]), "{done:?}");
    assert!(Client::new(running.s3).get(&key(), "media", "in/large.bin").expect(200).body == large);
    assert!(files(&place.path("state")).is_empty(), "a finished upload leaves no note");
    assert!(running.stop().success());
}

#[test]
fn many_kills_and_every_file_arrives_once() {
    let place = Place::new();
    let running = place.serve();
    Client::new(running.s3).make_bucket(&key(), "media");
    std::fs::create_dir(place.path("tree")).unwrap();
    for n in 0..300 {
        std::fs::write(place.path(&format!("tree/{n}.bin")), body(n + 1, 4_000)).unwrap();
    }
    for kill in 1..=4 {
        let import = start(tidegate(&place, &running, &["import", "tree", "s3://media/in", "--jobs", "2"]));
        kill_after(import, &running, "PutObject", kill * 50);
    }
    let output = tidegate(&place, &running, &["import", "tree", "s3://media/in"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    // What was under way at a kill may be sent twice; or was stored, though its answer could not be sent any more.
    let puts = operations(running.admin)["PutObject"];
    assert!((300 - 4 * 2..=300 + 4 * 2).contains(&puts), "{puts}");
    // Out again, killed as well: no half file is ever seen.
    for kill in 1..=3 {
        let export = start(tidegate(&place, &running, &["export", "s3://media/in", "out", "--jobs", "2"]));
        kill_after(export, &running, "GetObject", kill * 60);
        for (name, bytes) in files(&place.path("out")) {
            let half = name.starts_with(".tidegate-");
            assert!(half || bytes == std::fs::read(place.path("tree").join(&name)).unwrap(), "{name}");
        }
    }
    let output = tidegate(&place, &running, &["export", "s3://media/in", "out"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let out: BTreeMap<_, _> = files(&place.path("out")).into_iter().filter(|(n, _)| !n.starts_with(".tidegate-")).collect();
    assert!(out == files(&place.path("tree")));
    assert!(running.stop().success());
}
