//! Publish by hash: the name follows from the content, the same content is stored once, and nobody learns of others'.

use serde_json::Value;

use crate::support::client::{Answer, Client, Request, Sign};
use crate::support::gateway::{Gateway, acme, bravo, operator};
use crate::support::signer::{Key, sha256_hex};

fn publish(client: &mut Client, key: &Key, bucket: &str, name: &str, body: &[u8]) -> Answer {
    client.send(&Request::on("PUT", bucket, name).query("publish", "").body(body), Sign::Header(key))
}

fn named(before: &str, body: &[u8], after: &str) -> String {
    format!("{before}-{}{after}", &sha256_hex(body)[..32])
}

#[test]
fn the_same_content_is_there_once() {
    let gateway = Gateway::start();
    let mut s3 = gateway.client();
    s3.make_bucket(&operator(), "media");
    let body = vec![7; 200_000];
    let key = named("acme/model", &body, ".glb");
    for existed in ["false", "true", "true"] {
        let answer = publish(&mut s3, &acme(), "media", "acme/model.glb", &body).expect(200);
        assert_eq!(answer.header("x-tidegate-existed"), Some(existed));
        assert_eq!(answer.header("x-tidegate-key"), Some(&*key));
        assert_eq!(answer.header("location"), Some(&*format!("/media/{key}")));
        assert_eq!(answer.etag().len(), 32);
        assert!(answer.header("x-amz-checksum-crc64nvme").is_some());
    }
    let got = s3.get(&acme(), "media", &key).expect(200);
    assert_eq!(got.header("content-type"), Some("model/gltf-binary"));
    assert_eq!(got.body, body);
    assert_eq!(s3.list(&acme(), "media", &[("prefix", "acme/")]).keys, std::slice::from_ref(&key));
    // By header it is the same, and only as it is meant.
    let by_header = |value: &str| Request::on("PUT", "media", "acme/model.glb").header("x-tidegate-name", value).body(body.clone());
    assert_eq!(s3.send(&by_header("hash"), Sign::Header(&acme())).expect(200).header("x-tidegate-existed"), Some("true"));
    s3.send(&by_header("other"), Sign::Header(&acme())).refused(400, "InvalidArgument");
    // Other bytes under the name that means these give way.
    s3.put(&acme(), "media", &key, b"not these").expect(200);
    assert_eq!(publish(&mut s3, &acme(), "media", "acme/model.glb", &body).expect(200).header("x-tidegate-existed"), Some("false"));
    assert_eq!(s3.get(&acme(), "media", &key).body, body);
}

#[test]
fn it_is_refused_before_the_body_and_covered_by_the_signature() {
    let gateway = Gateway::start();
    let mut s3 = gateway.client();
    s3.make_bucket(&operator(), "media");
    publish(&mut s3, &acme(), "media", "bravo/x.glb", b"x").refused(403, "AccessDenied");
    publish(&mut s3, &acme(), "media", "acme/", b"x").refused(400, "InvalidArgument");
    publish(&mut s3, &acme(), "none", "acme/x", b"x").refused(404, "NoSuchBucket");
    let put = Request::on("PUT", "media", "acme/x.glb").body("x");
    s3.send(&put.clone().unsigned_header("x-tidegate-name", "hash"), Sign::Header(&acme())).refused(403, "AccessDenied");
    s3.send(&put.clone().unsigned_header("x-tidegate-name", "hash"), Sign::Presigned(&acme())).refused(403, "AccessDenied");
    s3.send(&put.clone().query("publish", "").header("if-none-match", "*"), Sign::Header(&acme())).refused(400, "InvalidRequest");
    s3.send(&put.clone().query("publish", "").header("x-amz-copy-source", "/media/acme/y"), Sign::Header(&acme()))
        .refused(400, "InvalidRequest");
    let presigned = s3.send(&put.query("publish", ""), Sign::Presigned(&acme())).expect(200);
    assert_eq!(presigned.header("x-tidegate-existed"), Some("false"));
    assert_eq!(s3.list(&acme(), "media", &[("prefix", "acme/")]).keys, [named("acme/x", b"x", ".glb")]);
}

#[test]
fn what_is_there_is_found_by_its_hash_inside_the_tenant_only() {
    let mut gateway = Gateway::start();
    let mut s3 = gateway.client();
    s3.make_bucket(&operator(), "media");
    let body = b"some content";
    let ask = |s3: &mut Client, method: &str, key: &Key| {
        s3.send(&Request::new(method, &format!("/-/v1/content/{}", sha256_hex(body))), Sign::Header(key))
    };
    assert_eq!(ask(&mut s3, "HEAD", &acme()).status, 404);
    s3.put(&acme(), "media", "acme/a", body).expect(200);
    let found = ask(&mut s3, "GET", &acme()).expect(200);
    let said: Value = serde_json::from_slice(&found.body).unwrap();
    assert_eq!((said["bucket"].as_str(), said["key"].as_str(), said["size"].as_u64()), (Some("media"), Some("acme/a"), Some(12)));
    let head = ask(&mut s3, "HEAD", &acme()).expect(200);
    assert_eq!((head.header("x-tidegate-bucket"), head.header("x-tidegate-key")), (Some("media"), Some("acme/a")));
    assert_eq!(ask(&mut s3, "HEAD", &bravo()).status, 404, "another tenant's is as if it were not there");
    assert_eq!(s3.send(&Request::new("HEAD", &format!("/-/v1/content/{}", sha256_hex(body))), Sign::No).status, 403);
    // The newest name is told, and what went is not.
    s3.put(&acme(), "media", "acme/b", body).expect(200);
    assert_eq!(ask(&mut s3, "HEAD", &acme()).header("x-tidegate-key"), Some("acme/b"));
    gateway.restart(|data| std::fs::remove_dir_all(data.join("index")).unwrap());
    let mut s3 = gateway.client();
    assert_eq!(ask(&mut s3, "HEAD", &acme()).status, 200, "an index that is built anew knows it, too");
    for name in ["acme/a", "acme/b"] {
        s3.delete(&acme(), "media", name).expect(204);
    }
    assert_eq!(ask(&mut s3, "HEAD", &acme()).status, 404);
    assert_eq!(s3.send(&Request::new("HEAD", "/-/v1/content/xyz"), Sign::Header(&acme())).status, 400);
}
