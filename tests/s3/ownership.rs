//! Whose an object is that somebody writes into another's bucket: that decides who pays for it, inside whose limits it must stay,
//! with whose content it is shared, and whether ACLs count.

use crate::s3::attacks::acl_document;
use crate::support::client::{Answer, Client, Request, Sign};
use crate::support::gateway::{Gateway, Setup, acme, bravo, operator};
use crate::support::signer::Key;

const OPEN: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":["s3:PutObject","s3:GetObject"],
    "Resource":"arn:aws:s3:::BUCKET/*"}}"#;

fn small() -> Key {
    Key::new("AKSMALL", "small-secret")
}

fn gateway(limits: &str) -> Setup {
    let mut setup = Setup::new();
    setup.tenant("small", limits, &[("AKSMALL", "small-secret", "")]);
    setup
}

/// A bucket that lets everybody write.
fn open_bucket(client: &mut Client, by: &Key, name: &str, ownership: Option<&str>) {
    let create = Request::new("PUT", &format!("/{name}"));
    let create = ownership.map_or(create.clone(), |o| create.header("x-amz-object-ownership", o));
    client.send(&create, Sign::Header(by)).expect(200);
    let policy = OPEN.replace("BUCKET", name);
    client.send(&Request::new("PUT", &format!("/{name}")).query("policy", "").body(policy), Sign::Header(by)).expect(204);
}

fn put(client: &mut Client, sign: Sign<'_>, bucket: &str, key: &str, body: &[u8]) -> Answer {
    client.send(&Request::on("PUT", bucket, key).body(body), sign)
}

/// All ways to write a body of this size, each to a key of its own.
fn write_in_all_ways(client: &mut Client, sign: Sign<'_>, bucket: &str, size: usize) -> Vec<Answer> {
    let body = vec![b'w'; size];
    let put = Request::on("PUT", bucket, "put").body(body.clone());
    let publish = Request::on("PUT", bucket, "publish.bin").query("publish", "").body(body.clone());
    let copy = Request::on("PUT", bucket, "copy").header("x-amz-copy-source", "/elsewhere/source");
    let begun = client.send(&Request::on("POST", bucket, "parts").query("uploads", ""), sign).expect(200);
    let upload = begun.xml("InitiateMultipartUploadResult").text_of("UploadId").unwrap().to_owned();
    let in_upload = |n: &str| Request::on("PUT", bucket, "parts").query("partNumber", n).query("uploadId", &upload);
    let part = in_upload("1").body(body);
    let part_copy = in_upload("2").header("x-amz-copy-source", "/elsewhere/source");
    [put, publish, copy, part, part_copy].iter().map(|request| client.send(request, sign)).collect()
}

#[test]
fn what_others_write_stays_inside_the_bucket_owners_limits() {
    let gateway = gateway("bytes = 1000").start();
    let mut client = gateway.client();
    open_bucket(&mut client, &bravo(), "elsewhere", None);
    put(&mut client, Sign::Header(&bravo()), "elsewhere", "source", &[b's'; 200]).expect(200);
    let (bravo, operator) = (bravo(), operator());
    for (n, ownership) in [None, Some("BucketOwnerEnforced")].into_iter().enumerate() {
        let bucket = format!("small-{n}");
        open_bucket(&mut client, &small(), &bucket, ownership);
        put(&mut client, Sign::Header(&small()), &bucket, "own", &[b'o'; 900]).expect(200);
        for writer in [Sign::No, Sign::Header(&bravo), Sign::Header(&operator)] {
            for answer in write_in_all_ways(&mut client, writer, &bucket, 101) {
                assert_eq!((answer.status, &*answer.code()), (403, "QuotaExceeded"), "{writer:?}: {}", answer.text());
            }
            assert_eq!(client.list(&small(), &bucket, &[]).keys, ["own"]);
        }
        // What fits is paid for by the bucket's owner, whoever sent it.
        put(&mut client, Sign::No, &bucket, "stranger's", &[b'a'; 100]).expect(200);
        put(&mut client, Sign::Header(&small()), &bucket, "more", b"1").refused(403, "QuotaExceeded");
        client.delete(&small(), &bucket, "stranger's").expect(204);
        client.delete(&small(), &bucket, "own").expect(204);
    }
}

#[test]
fn an_object_is_its_writers_where_the_bucket_says_so() {
    let gateway = gateway("bytes = 1000").start();
    let mut client = gateway.client();
    open_bucket(&mut client, &acme(), "writers", Some("ObjectWriter"));
    open_bucket(&mut client, &acme(), "preferred", Some("BucketOwnerPreferred"));
    let mut written = |bucket: &str, key: &str, acl: &str, size: usize| {
        let put = Request::on("PUT", bucket, key).header("x-amz-acl", acl).body(vec![b'x'; size]);
        client.send(&put, Sign::Header(&small()))
    };
    written("writers", "a", "bucket-owner-full-control", 1001).refused(403, "QuotaExceeded");
    written("writers", "a", "private", 600).expect(200);
    written("preferred", "a", "private", 401).refused(403, "QuotaExceeded");
    // Given to the bucket's owner, who has no limit.
    written("preferred", "given", "bucket-owner-full-control", 5000).expect(200);
    written("preferred", "a", "private", 400).expect(200);
    let owner = |client: &mut Client, bucket: &str, key: &str| {
        let acl = client.send(&Request::on("GET", bucket, key).query("acl", ""), Sign::Header(&acme())).expect(200);
        acl.xml("AccessControlPolicy").child("Owner").unwrap().text_of("ID").unwrap().to_owned()
    };
    assert_eq!(owner(&mut client, "writers", "a"), "small");
    assert_eq!(owner(&mut client, "preferred", "given"), "acme");
    assert_eq!(owner(&mut client, "preferred", "a"), "small");
    // Nobody bills a stranger.
    put(&mut client, Sign::No, "writers", "stranger's", b"x").expect(200);
    assert_eq!(owner(&mut client, "writers", "stranger's"), "acme");
}

/// Also over S3, where the bucket's settings are records.
#[test]
fn where_the_bucket_owner_owns_all_there_are_no_acls() {
    for gateway in [Gateway::start(), Gateway::start_over_another()] {
        let mut client = gateway.client();
        let create =
            |acl: &str| Request::new("PUT", "/enforced").header("x-amz-object-ownership", "BucketOwnerEnforced").header("x-amz-acl", acl);
        for acl in ["public-read", "public-read-write", "authenticated-read"] {
            client.send(&create(acl), Sign::Header(&acme())).refused(400, "InvalidBucketAclWithObjectOwnership");
        }
        client.send(&create("private"), Sign::Header(&acme())).expect(200);
        let acl = |request: Request, acl: &str| request.header("x-amz-acl", acl);
        client.put(&acme(), "enforced", "k", b"x").expect(200);
        for open in ["public-read", "public-read-write", "authenticated-read", "bucket-owner-read", "private"] {
            for request in [
                Request::on("PUT", "enforced", "k").body("y"),
                Request::on("PUT", "enforced", "k").query("publish", "").body("y"),
                Request::on("PUT", "enforced", "k2").header("x-amz-copy-source", "/enforced/k"),
                Request::on("POST", "enforced", "k").query("uploads", ""),
                Request::on("PUT", "enforced", "k").query("acl", ""),
                Request::new("PUT", "/enforced").query("acl", ""),
            ] {
                client.send(&acl(request, open), Sign::Header(&acme())).refused(400, "AccessControlListNotSupported");
            }
        }
        let document = acl_document("acme", true);
        client
            .send(&Request::on("PUT", "enforced", "k").query("acl", "").body(document), Sign::Header(&acme()))
            .refused(400, "AccessControlListNotSupported");
        client.send(&Request::on("GET", "enforced", "k"), Sign::No).refused(403, "AccessDenied");
        assert_eq!(client.get(&acme(), "enforced", "k").expect(200).body, b"x");
        client.send(&acl(Request::on("PUT", "enforced", "k").body("z"), "bucket-owner-full-control"), Sign::Header(&acme())).expect(200);
        // Made again as it is, or as nobody says; but not as another.
        client.send(&create("private"), Sign::Header(&acme())).expect(200);
        client.send(&Request::new("PUT", "/enforced"), Sign::Header(&acme())).expect(200);
        let another = Request::new("PUT", "/enforced").header("x-amz-object-ownership", "ObjectWriter");
        client.send(&another, Sign::Header(&acme())).refused(409, "BucketAlreadyExists");
    }
}

#[test]
fn a_foreign_upload_is_the_bucket_owners_and_still_its_initiators_to_end() {
    for gateway in [Gateway::start(), Gateway::start_over_another()] {
        let mut client = gateway.client();
        open_bucket(&mut client, &acme(), "open-bucket", None);
        let upload = client.create_upload(&bravo(), "open-bucket", "k");
        let parts = Request::on("GET", "open-bucket", "k").query("uploadId", &upload);
        let listed = client.send(&parts, Sign::Header(&bravo())).expect(200).xml("ListPartsResult");
        let id = |element: &str| listed.child(element).unwrap().text_of("ID").map(str::to_owned);
        assert_eq!((id("Initiator").as_deref(), id("Owner").as_deref()), (Some("bravo"), Some("acme")));
        let abort = Request::on("DELETE", "open-bucket", "k").query("uploadId", &upload);
        client.send(&abort, Sign::No).refused(403, "AccessDenied");
        client.send(&abort, Sign::Header(&bravo())).expect(204);
    }
}

/// `hit` would tell a stranger, or another tenant, what the owner of the bucket has.
#[test]
fn what_others_write_tells_them_of_no_content() {
    for gateway in [Gateway::start(), Gateway::start_over_another()] {
        let mut client = gateway.client();
        open_bucket(&mut client, &acme(), "acme-open", None);
        open_bucket(&mut client, &bravo(), "bravo-open", None);
        let body = vec![b'c'; 300_000];
        let dedup = |answer: Answer| answer.expect(200).header("x-tidegate-dedup").map(str::to_owned);
        let bravo = bravo();
        for writer in [Sign::No, Sign::Header(&bravo)] {
            assert_eq!(dedup(put(&mut client, writer, "acme-open", "theirs", &body)), None);
            assert_eq!(dedup(put(&mut client, writer, "acme-open", "again", &body)), None);
        }
        // Strangers who wrote to another tenant's bucket leave nothing that this one could hit.
        assert_eq!(dedup(put(&mut client, Sign::No, "bravo-open", "theirs", b"secret of bravo")), None);
        assert_eq!(dedup(put(&mut client, Sign::Header(&acme()), "acme-open", "own", b"secret of bravo")), Some("miss".into()));
        // No way to ask by hash either.
        let hash = crate::support::signer::sha256_hex(b"secret of bravo");
        let ask = Request::new("HEAD", &format!("/-/v1/content/{hash}"));
        client.send(&ask, Sign::Header(&acme())).expect(200);
        client.delete(&acme(), "acme-open", "own").expect(204);
        for (sign, status) in [(Sign::Header(&acme()), 404), (Sign::Header(&bravo), 200)] {
            assert_eq!(client.send(&ask, sign).status, status);
        }
        assert_ne!(client.send(&ask, Sign::No).status, 200);
    }
}
