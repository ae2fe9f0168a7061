//! Uploads that end in the middle leave nothing on the disk, and their connection's end is enough for that.

use std::time::{Duration, Instant};

use crate::support::client::{Request, Sign};
use crate::support::gateway::{Gateway, acme, files_under};
use crate::support::raw;

const SIZE: usize = 8 << 20;

fn on_its_way(gateway: &Gateway) -> Vec<std::path::PathBuf> {
    ["staging", "blobs"].iter().flat_map(|d| files_under(&gateway.data().join(d))).collect()
}

fn wait(what: &str, gateway: &Gateway, done: impl Fn(&[std::path::PathBuf]) -> bool) {
    let start = Instant::now();
    while !done(&on_its_way(gateway)) {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}: {:?}", on_its_way(gateway));
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_client_that_leaves_in_the_middle_of_a_body_leaves_no_file() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    client.make_bucket(&acme(), "media");
    let upload = client.create_upload(&acme(), "media", "parts");
    let put = Request::on("PUT", "media", "whole");
    let part = Request::on("PUT", "media", "parts").query("partNumber", "1").query("uploadId", &upload);
    for request in [put, part] {
        // When the file has just begun, in the middle, and one byte before the end.
        for sent in [1 << 20, SIZE / 2, SIZE - 1] {
            let request = request.clone().body(vec![7; SIZE]).payload_hash("UNSIGNED-PAYLOAD");
            let (head, _) = request.head(&client.host, Sign::Header(&acme()));
            let mut leaving = raw::connect(client.address);
            leaving.send(head).send(&request.body[..sent]);
            wait("a staged file", &gateway, |files| !files.is_empty());
            drop(leaving);
            wait("nothing left", &gateway, <[_]>::is_empty);
        }
    }
    // A body that is whole but not what was promised.
    let wrong = Request::on("PUT", "media", "whole").body(vec![7; SIZE]).payload_hash(&"0".repeat(64));
    client.send(&wrong, Sign::Header(&acme())).refused(400, "XAmzContentSHA256Mismatch");
    wait("nothing left", &gateway, <[_]>::is_empty);
    client.get(&acme(), "media", "whole").refused(404, "NoSuchKey");
}
