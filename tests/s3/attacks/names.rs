//! Text that comes back: names, values and documents that would like to be more than text.

use crate::s3::attacks::gateway;
use crate::support::client::{Request, Sign};
use crate::support::gateway::{acme, bravo, operator};

#[test]
fn nothing_a_client_says_makes_a_header_of_its_own() {
    let (_gateway, mut client) = gateway();
    for parameter in ["response-content-type", "response-content-disposition", "response-cache-control", "response-expires"] {
        for evil in ["a\r\nset-cookie: evil=1", "a\nset-cookie: evil=1", "a\rset-cookie: evil=1", "a\0b"] {
            let answer = client.send(&Request::on("GET", "acme-bucket", "secret").query(parameter, evil), Sign::Presigned(&acme()));
            assert_eq!(answer.header("set-cookie"), None, "{parameter}");
            assert_eq!(answer.status, 400, "{parameter} {evil:?}: {}", answer.text());
        }
    }
    // Metadata and ACL hoisted into the query of a presigned URL.
    let put = Request::on("PUT", "acme-bucket", "meta").query("x-amz-meta-a", "v\r\nset-cookie: evil=1").body("x");
    let answer = client.send(&put, Sign::Presigned(&acme()));
    assert!(answer.status < 500 && answer.header("set-cookie").is_none());
    let answer = client.get(&operator(), "acme-bucket", "meta");
    assert_eq!(answer.header("set-cookie"), None);
    // Names and values in error documents are text, never markup.
    let answer = client.get(&acme(), "acme-bucket", "<script>&\"'</Key><Code>x</Code>").refused(404, "NoSuchKey");
    assert!(!answer.text().contains("<script>"), "{}", answer.text());
}

#[test]
fn a_key_is_a_name_and_never_a_path() {
    let (gateway, mut client) = gateway();
    // As they go over the wire, and the key that each names.
    let paths = [
        ("/acme-bucket/../../etc/passwd", "../../etc/passwd"),
        ("/acme-bucket/..", ".."),
        ("/acme-bucket/.", "."),
        ("/acme-bucket/%2e%2e/%2e%2e/x", "../../x"),
        ("/acme-bucket/..%2F..%2Fy", "../../y"),
        ("/acme-bucket/..%5C..%5Cz", "..\\..\\z"),
        ("/acme-bucket//etc/passwd", "/etc/passwd"),
        ("/acme-bucket/a//b", "a//b"),
        ("/acme-bucket/a/./b", "a/./b"),
        ("/acme-bucket/%252e%252e/w", "%2e%2e/w"),
        ("/acme-bucket/~root", "~root"),
        ("/acme-bucket/C:%5Cx", "C:\\x"),
    ];
    for (path, key) in paths {
        // The signature is over the path as S3 writes it: each byte of the key encoded once, slashes left.
        let signed = format!("/acme-bucket/{}", crate::support::signer::encode_path(key));
        let put = Request::new("PUT", &signed).body(key);
        let (head, _) = put.head(&client.host, Sign::Header(&acme()));
        let head = head.replacen(&format!("PUT {signed} "), &format!("PUT {path} "), 1);
        client.send_as_is("PUT", &[head.as_bytes(), key.as_bytes()].concat()).expect(200);
        assert_eq!(client.get(&acme(), "acme-bucket", key).expect(200).body, key.as_bytes());
    }
    let mut expected: Vec<&str> = paths.iter().map(|(_, k)| *k).chain(["secret"]).collect();
    expected.sort_unstable();
    assert_eq!(client.list(&acme(), "acme-bucket", &[]).keys, expected);
    // Nothing left its place on the disk.
    let data = gateway.data();
    let mut tops: Vec<_> = std::fs::read_dir(&data).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    tops.sort();
    assert_eq!(tops, ["FORMAT", "blobs", "bucket-logs", "index", "journal", "lock", "placing", "queue", "staging"]);
    let outside: Vec<_> = std::fs::read_dir(data.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(outside.len(), 2, "{outside:?}");
}

#[test]
fn dots_do_not_lead_out_of_a_tenants_prefix() {
    let (_gateway, mut client) = gateway();
    client.make_bucket(&operator(), "shared");
    client.put(&acme(), "shared", "acme/file", b"acme's").expect(200);
    for key in ["acme/file", "acme/../bravo/file", "/bravo/../acme/file", "./bravo/x", "Bravo/x", "bravo", "bravox/y", "/bravo/x"] {
        client.get(&bravo(), "shared", key).refused(403, "AccessDenied");
        client.put(&bravo(), "shared", key, b"bravo's").refused(403, "AccessDenied");
    }
    // Under its own prefix dots are letters.
    client.put(&bravo(), "shared", "bravo/../acme/file", b"bravo's").expect(200);
    assert_eq!(client.get(&acme(), "shared", "acme/file").expect(200).body, b"acme's");
    client.get(&acme(), "shared", "bravo/../acme/file").refused(403, "AccessDenied");
    let copy = Request::on("PUT", "shared", "bravo/copy").header("x-amz-copy-source", "/shared/bravo/../acme/file");
    let copied = client.send(&copy, Sign::Header(&bravo())).expect(200);
    assert!(copied.text().contains("CopyObjectResult"));
    assert_eq!(client.get(&bravo(), "shared", "bravo/copy").expect(200).body, b"bravo's");
}
