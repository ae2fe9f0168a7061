//! What a stranger adds to a request that another signed.

use crate::s3::attacks::{assert_absent, gateway};
use crate::support::client::{Request, Sign};
use crate::support::gateway::{acme, bravo, operator};
use crate::support::signer;

#[test]
fn a_presigned_put_takes_no_unsigned_copy_source() {
    let (_gateway, mut client) = gateway();
    let put = Request::on("PUT", "bravo-bucket", "stolen").unsigned_header("x-amz-copy-source", "/acme-bucket/secret");
    for key in [bravo(), acme(), operator()] {
        client.send(&put, Sign::Presigned(&key)).refused(403, "AccessDenied");
        client.send(&put, Sign::Header(&key)).refused(403, "AccessDenied");
    }
    assert_absent(&mut client, "bravo-bucket", "stolen");
}

#[test]
fn a_signed_copy_source_is_still_only_a_wish() {
    let (_gateway, mut client) = gateway();
    for source in ["/acme-bucket/secret", "acme-bucket/secret", "/acme-bucket/secret?versionId=null", "acme%2Dbucket%2Fsecret"] {
        let put = Request::on("PUT", "bravo-bucket", "stolen").header("x-amz-copy-source", source);
        client.send(&put, Sign::Header(&bravo())).refused(403, "AccessDenied");
        client.send(&put, Sign::Presigned(&bravo())).refused(403, "AccessDenied");
        // Hoisted into the query, whose signature covers it.
        let hoisted = Request::on("PUT", "bravo-bucket", "stolen").query("x-amz-copy-source", source);
        client.send(&hoisted, Sign::Presigned(&bravo())).refused(403, "AccessDenied");
        let hoisted = Request::on("PUT", "bravo-bucket", "stolen").query("X-Amz-Copy-Source", source);
        client.send(&hoisted, Sign::Presigned(&bravo())).refused(403, "AccessDenied");
    }
    assert_absent(&mut client, "bravo-bucket", "stolen");
}

#[test]
fn a_presigned_put_takes_no_unsigned_acl() {
    let (_gateway, mut client) = gateway();
    let put = Request::on("PUT", "bravo-bucket", "opened").unsigned_header("x-amz-acl", "public-read").body("x");
    client.send(&put, Sign::Presigned(&bravo())).refused(403, "AccessDenied");
    assert_absent(&mut client, "bravo-bucket", "opened");
}

#[test]
fn no_unsigned_amz_header_is_taken_at_all() {
    let (_gateway, mut client) = gateway();
    let names = [
        "x-amz-meta-a",
        "x-amz-tagging",
        "x-amz-storage-class",
        "x-amz-website-redirect-location",
        "x-amz-metadata-directive",
        "x-amz-grant-read",
        "x-amz-checksum-crc32",
        "x-amz-decoded-content-length",
        "x-amz-trailer",
        "x-amz-expected-bucket-owner",
        "x-amz-something-of-tomorrow",
    ];
    for name in names {
        let put = Request::on("PUT", "bravo-bucket", "k").unsigned_header(name, "AAAAAA==").body("x");
        client.send(&put, Sign::Presigned(&bravo())).refused(403, "AccessDenied");
        client.send(&put, Sign::Header(&bravo())).refused(403, "AccessDenied");
    }
    assert_absent(&mut client, "bravo-bucket", "k");
    // What CDNs put on every request changes nothing and is let through.
    let put = Request::on("PUT", "bravo-bucket", "k").unsigned_header("x-amz-cf-id", "abc").body("x");
    client.send(&put, Sign::Presigned(&bravo())).expect(200);
}

#[test]
fn a_sigv2_url_is_no_wider_than_a_sigv4_one() {
    let (_gateway, mut client) = gateway();
    let sign = |method: &str, amz: &str, path: &str| {
        let mut request = Request::new(method, path);
        request.query.extend(signer::sigv2(&acme(), method, "", amz, path));
        request
    };
    let get = sign("GET", "", "/acme-bucket/secret");
    assert_eq!(client.send(&get, Sign::No).expect(200).body, b"acme's secret");
    client.send(&sign("HEAD", "", "/acme-bucket/secret"), Sign::No).expect(200);
    // For another method, another object, another operation, or with a header that changes what it does.
    let mut other = get.clone();
    other.method = "PUT".into();
    client.send(&other, Sign::No).refused(403, "SignatureDoesNotMatch");
    let mut other = get.clone();
    other.path = "/acme-bucket/secret2".into();
    client.send(&other, Sign::No).refused(403, "SignatureDoesNotMatch");
    for sub in ["acl", "attributes", "tagging", "torrent"] {
        assert_ne!(client.send(&get.clone().query(sub, ""), Sign::No).status, 200, "{sub}");
    }
    let put = sign("PUT", "", "/acme-bucket/new");
    for (name, value) in [("x-amz-copy-source", "/acme-bucket/secret"), ("x-amz-acl", "public-read"), ("x-amz-meta-a", "b")] {
        let answer = client.send(&put.clone().header(name, value), Sign::No);
        assert_eq!(answer.status, 403, "{name}: {}", answer.text());
    }
    client.send(&sign("DELETE", "", "/acme-bucket/secret"), Sign::No).refused(403, "AccessDenied");
    client.send(&sign("GET", "", "/acme-bucket"), Sign::No).refused(403, "AccessDenied");
    assert_absent(&mut client, "acme-bucket", "new");
}

/// It was taken for the PUT of an empty body, which destroyed what was there.
#[test]
fn regression_a_hoisted_copy_source_is_a_copy() {
    let (_gateway, mut client) = gateway();
    client.put(&acme(), "acme-bucket", "target", b"precious").expect(200);
    let hoisted = Request::on("PUT", "acme-bucket", "target").query("x-amz-copy-source", "/acme-bucket/secret");
    let answer = client.send(&hoisted, Sign::Presigned(&acme())).expect(200);
    assert!(answer.text().contains("CopyObjectResult"), "{}", answer.text());
    assert_eq!(client.get(&acme(), "acme-bucket", "target").expect(200).body, b"acme's secret");
    // Where the query is no place for headers it is a parameter that nobody knows.
    let put = Request::on("PUT", "acme-bucket", "plain").query("x-amz-copy-source", "/acme-bucket/secret").body("mine");
    client.send(&put, Sign::Header(&acme())).expect(200);
    assert_eq!(client.get(&acme(), "acme-bucket", "plain").expect(200).body, b"mine");
}
