//! Multipart uploads between tenants: who pays for the parts, and who may look into or end what another has begun.

use crate::support::client::{Client, Request, Sign};
use crate::support::gateway::{Gateway, Setup, acme, bravo};
use crate::support::signer::Key;

const WRITE_AND_ABORT: &str = r#"["s3:PutObject", "s3:AbortMultipartUpload"]"#;

/// acme and bravo without limits, and a tenant of few bytes or objects; in a bucket of acme's that lets all of them write, where
/// what they write is theirs.
fn shared_bucket(limits: &str) -> (Gateway, Client, Key) {
    let mut setup = Setup::new();
    setup.tenant("small", limits, &[("AKSMALL", "small-secret", "")]);
    let gateway = setup.start();
    let mut client = gateway.client();
    let create = Request::new("PUT", "/shared").header("x-amz-object-ownership", "ObjectWriter");
    client.send(&create, Sign::Header(&acme())).expect(200);
    allow(&mut client, "shared", WRITE_AND_ABORT);
    (gateway, client, Key::new("AKSMALL", "small-secret"))
}

fn allow(client: &mut Client, bucket: &str, actions: &str) {
    let policy = format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{{"AWS":["bravo","small"]}},"Action":{actions},
            "Resource":"arn:aws:s3:::{bucket}/*"}}}}"#
    );
    client.send(&Request::new("PUT", &format!("/{bucket}")).query("policy", "").body(policy), Sign::Header(&acme())).expect(204);
}

#[test]
fn parts_are_paid_for_by_whoever_began_the_upload() {
    let (_gateway, mut client, small) = shared_bucket("bytes = 1000");
    // Bravo has no limit, but these bytes would be small's.
    let upload = client.create_upload(&small, "shared", "small's");
    client.upload_part(&bravo(), "shared", "small's", &upload, 1, &[1; 1001]).refused(403, "QuotaExceeded");
    client.put(&bravo(), "shared", "source", &[7; 1001]).expect(200);
    let copy = Request::on("PUT", "shared", "small's").query("partNumber", "1").query("uploadId", &upload);
    allow(&mut client, "shared", r#"["s3:PutObject", "s3:GetObject"]"#);
    client.send(&copy.header("x-amz-copy-source", "/shared/source"), Sign::Header(&bravo())).refused(403, "QuotaExceeded");
    client.upload_part(&bravo(), "shared", "small's", &upload, 1, &[1; 1000]).expect(200);
    client.upload_part(&small, "shared", "small's", &upload, 2, b"1").refused(403, "QuotaExceeded");
    // And small may help with bravo's upload, however little is left of its own.
    let upload = client.create_upload(&bravo(), "shared", "bravo's");
    let part = client.upload_part(&small, "shared", "bravo's", &upload, 1, &[2; 5000]).expect(200);
    client.complete(&small, "shared", "bravo's", &upload, &[(1, part.etag())]).expect(200);
}

#[test]
fn a_completed_upload_is_the_object_of_whoever_began_it() {
    let (_gateway, mut client, small) = shared_bucket("objects = 1");
    let finish = |client: &mut Client, by: &Key, key: &str, upload: &str| {
        let part = client.upload_part(by, "shared", key, upload, 1, key.as_bytes()).expect(200);
        client.complete(by, "shared", key, upload, &[(1, part.etag())])
    };
    let first = client.create_upload(&small, "shared", "first");
    let second = client.create_upload(&small, "shared", "second");
    let foreign = client.create_upload(&bravo(), "shared", "foreign");
    finish(&mut client, &bravo(), "first", &first).expect(200);
    finish(&mut client, &bravo(), "second", &second).refused(403, "QuotaExceeded");
    finish(&mut client, &small, "foreign", &foreign).expect(200);
    // The answer to a repeated Complete does not depend on what is left.
    finish_again(&mut client, &small, "foreign", &foreign);
}

fn finish_again(client: &mut Client, by: &Key, key: &str, upload: &str) {
    let etag = hex::encode(tidegate::ingest::md5::Md5Hasher::digest(key.as_bytes()).0);
    client.complete(by, "shared", key, upload, &[(1, etag)]).expect(200);
}

#[test]
fn in_a_public_bucket_an_upload_is_its_initiators_and_the_bucket_owners() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    client.make_bucket(&acme(), "open");
    let open = Request::new("PUT", "/open").query("acl", "").header("x-amz-acl", "public-read-write");
    client.send(&open, Sign::Header(&acme())).expect(200);
    let strangers = [Sign::No, Sign::Header(&acme()), Sign::Header(&bravo())];
    for (starter, others) in [(bravo(), [strangers[0], strangers[0]]), (acme(), [strangers[0], strangers[2]])] {
        let upload = client.create_upload(&starter, "open", "key");
        client.upload_part(&starter, "open", "key", &upload, 1, b"part").expect(200);
        let parts = Request::on("GET", "open", "key").query("uploadId", &upload);
        let abort = Request::on("DELETE", "open", "key").query("uploadId", &upload);
        for stranger in others {
            client.send(&parts, stranger).refused(403, "AccessDenied");
            client.send(&abort, stranger).refused(403, "AccessDenied");
            // Not even whether there is such an upload.
            client.send(&Request::on("GET", "open", "key").query("uploadId", "guessed"), stranger).refused(403, "AccessDenied");
            // That it is there may be seen by whoever may read the bucket, as on S3.
            let listed = client.send(&Request::new("GET", "/open").query("uploads", ""), stranger).expect(200);
            assert!(listed.text().contains(&format!("<UploadId>{upload}</UploadId>")));
        }
        for right in [Sign::Header(&starter), Sign::Header(&acme())] {
            assert!(client.send(&parts, right).expect(200).text().contains("<PartNumber>1</PartNumber>"));
        }
        client.send(&abort, Sign::Header(&starter)).expect(204);
        client.send(&parts, Sign::Header(&acme())).refused(404, "NoSuchUpload");
    }
    // Its owner ends what others began; and so may whoever a policy names.
    let upload = client.create_upload(&bravo(), "open", "key");
    client.send(&Request::on("DELETE", "open", "key").query("uploadId", &upload), Sign::Header(&acme())).expect(204);
    let upload = client.create_upload(&acme(), "open", "key");
    allow(&mut client, "open", WRITE_AND_ABORT);
    client.send(&Request::on("DELETE", "open", "key").query("uploadId", &upload), Sign::Header(&bravo())).expect(204);
}
