//! The drill of docs/operating.md: a snapshot while serving, the disk is lost, the snapshot takes its place, and all is there.

use std::path::Path;
use std::process::Command;

use crate::support::binary::{self, Place};
use crate::support::client::{Client, Request, Sign};
use crate::support::signer::Key;

/// As the page says: `cp -a`.
fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(status.success());
}

fn text(output: std::process::Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_lost_disk_is_replaced_by_a_snapshot() {
    let place = Place::new();
    place.write("policies/tenants/acme.toml", "id = \"acme\"\npolicies = [\"tenant-default\"]\n");
    let operator = Key::new(binary::ACCESS, binary::SECRET);
    let serving = place.serve();
    let command = |arguments: &[&str], admin: &str| {
        let mut command = place.command(arguments);
        command.env("TIDEGATE_ADMIN_LISTEN", admin);
        text(command.output().unwrap())
    };
    let admin = serving.admin.to_string();

    let made: serde_json::Value = serde_json::from_str(&command(&["key", "make", "acme", "--json"], &admin)).unwrap();
    let acme = Key::new(made["access_key"].as_str().unwrap(), made["secret_key"].as_str().unwrap());
    let mut client = Client::new(serving.s3);
    client.make_bucket(&acme, "acme-media");
    let versioning = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    let request = Request::new("PUT", "/acme-media").query("versioning", "").body(versioning);
    client.send(&request, Sign::Header(&acme)).expect(200);
    let large: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let first = client.put(&acme, "acme-media", "small.txt", b"one").expect(200);
    let first = first.header("x-amz-version-id").unwrap().to_owned();
    client.put(&acme, "acme-media", "small.txt", b"two").expect(200);
    client.put(&acme, "acme-media", "large.bin", &large).expect(200);
    let upload = client.create_upload(&acme, "acme-media", "going-on.bin");
    let part = client.upload_part(&acme, "acme-media", "going-on.bin", &upload, 1, b"a part").etag();

    let snapshot = place.path("snapshot");
    command(&["snapshot", snapshot.to_str().unwrap()], &admin);
    client.put(&acme, "acme-media", "later.txt", b"not in the snapshot").expect(200);

    // The machine goes, and its disk with it. What a hard link shares must not be what is lost.
    drop(client);
    serving.signal("KILL");
    drop(serving);
    let safe = place.path("safe");
    copy(&snapshot, &safe);
    std::fs::remove_dir_all(place.path("data")).unwrap();
    std::fs::remove_dir_all(&snapshot).unwrap();
    std::fs::rename(&safe, place.path("data")).unwrap();

    let serving = place.serve();
    let mut client = Client::new(serving.s3);
    assert_eq!(client.get(&acme, "acme-media", "small.txt").expect(200).body, b"two");
    let request = Request::on("GET", "acme-media", "small.txt").query("versionId", &first);
    assert_eq!(client.send(&request, Sign::Header(&acme)).expect(200).body, b"one");
    assert_eq!(client.get(&acme, "acme-media", "large.bin").expect(200).body, large);
    client.get(&acme, "acme-media", "later.txt").refused(404, "NoSuchKey");
    // An upload that was going on goes on.
    client.complete(&acme, "acme-media", "going-on.bin", &upload, &[(1, part)]).expect(200);
    assert_eq!(client.get(&operator, "acme-media", "going-on.bin").expect(200).body, b"a part");
    drop(client);
    assert!(serving.stop().success());
    text(place.run(&["fsck", "--verify"]));
}
