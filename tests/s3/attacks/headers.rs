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

/// What a SigV2 link is good for: each of these shares its string to sign, as SigV2 writes it, with a request that means another
/// thing.
#[test]
fn a_sigv2_link_means_one_thing() {
    let (_gateway, mut client) = gateway();
    client.put(&acme(), "acme-bucket", "target", b"precious").expect(200);
    let link = |amz: &str, content_type: &str, resource: &str, query: &[(&str, &str)], headers: &[(&str, &str)]| {
        let path = "/acme-bucket/target";
        let mut put = Request::new("PUT", path).body("the attacker's");
        put.query.extend(query.iter().map(|(n, v)| (n.to_string(), v.to_string())));
        put.query.extend(signer::sigv2(&acme(), "PUT", content_type, amz, &format!("{path}{resource}")));
        headers.iter().fold(put, |put, (n, v)| put.header(n, v))
    };
    // A link for a copy, whose header is folded into the value of another.
    let copy = "x-amz-acl:private\nx-amz-copy-source:/acme-bucket/secret\n";
    let confused = [
        link(copy, "", "", &[("x-amz-acl", "private\nx-amz-copy-source:/acme-bucket/secret")], &[]),
        link(
            "x-amz-copy-source:/acme-bucket/secret\n",
            "",
            "",
            &[("content-type", "\n4000000000\nx-amz-copy-source:/acme-bucket/secret")],
            &[],
        ),
        link("x-amz-acl:public-read,private\n", "", "", &[("x-amz-acl", "public-read"), ("X-Amz-Acl", "private")], &[]),
        link("x-amz-acl:public-read,private\n", "", "", &[("x-amz-acl", "private")], &[("x-amz-acl", "public-read")]),
        link("x-amz-acl:public-read,private\n", "", "", &[], &[("x-amz-acl", "public-read"), ("x-amz-acl", "private")]),
        link("x-amz-meta-a:b:c\n", "", "", &[("x-amz-meta-a:b", "c")], &[]),
        link("", "", "?partNumber=1&uploadId=x", &[("partNumber", "1&uploadId=x")], &[]),
        link("", "", "", &[("Content-Type", "text/html")], &[]),
        link("", "text/plain", "", &[("content-type", "text/html")], &[("content-type", "text/plain")]),
        link("", "", "?versionId=1&versionId=null", &[("versionId", "null"), ("versionId", "1")], &[]),
        link("", "", "", &[("x-amz-meta-a\nb", "c")], &[]),
    ];
    for put in &confused {
        let answer = client.send(put, Sign::No);
        assert!(matches!(answer.status, 400 | 403), "{:?} {:?}: {} {}", put.query, put.headers, answer.status, answer.text());
    }
    assert_eq!(client.get(&acme(), "acme-bucket", "target").expect(200).body, b"precious");
    client
        .send(&link("x-amz-acl:private\n", "text/plain", "", &[("x-amz-acl", "private")], &[("content-type", "text/plain")]), Sign::No)
        .expect(200);
    // boto3 hoists the type, and its user sends it besides.
    client.send(&link("", "text/plain", "", &[("content-type", "text/plain")], &[("content-type", "text/plain")]), Sign::No).expect(200);
}

/// Every parameter that a handler of objects reads is one that SigV2 signs, or one that it refuses.
#[test]
fn sigv2_leaves_no_parameter_free() {
    let (_gateway, mut client) = gateway();
    let mut names = std::collections::BTreeSet::new();
    for file in ["route", "get", "objects", "copy", "publish", "params", "acl", "restore"] {
        let text = std::fs::read_to_string(format!("{}/src/http/s3/{file}.rs", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for asked in ["query.has(\"", "query.get(\"", "query.value(\"", "query.number(\""] {
            names.extend(code.split(asked).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()));
        }
    }
    assert!(names.len() > 10 && names.contains("acl"), "{names:?}");
    // Of buckets, and of the signature itself.
    for name in ["id", "list-type", "Signature", "X-Amz-Signature"] {
        names.remove(name);
    }
    names.extend(["max-parts", "part-number-marker"].map(String::from));
    for method in ["GET", "PUT"] {
        for name in &names {
            let mut request = Request::new(method, "/acme-bucket/secret").query(name, "1");
            request.query.extend(signer::sigv2(&acme(), method, "", "", "/acme-bucket/secret"));
            let answer = client.send(&request, Sign::No);
            assert!(matches!(answer.status, 400 | 403 | 404 | 405 | 501), "{method} {name}: {} {}", answer.status, answer.text());
        }
    }
    assert_eq!(client.get(&acme(), "acme-bucket", "secret").expect(200).body, b"acme's secret");
}

/// As with SigV2, in the places where SigV4 writes two requests alike.
#[test]
fn a_signed_request_means_one_thing() {
    let (_gateway, mut client) = gateway();
    client.put(&acme(), "acme-bucket", "a", b"another").expect(200);
    for sign in [Sign::Header(&acme()), Sign::Presigned(&acme())] {
        // Signed as one header: a copy of the key `a,b`.
        let two = Request::on("PUT", "acme-bucket", "copied").header("x-amz-copy-source", "/acme-bucket/a,b");
        let (head, _) = two.head(&client.host, sign);
        let split = head.replace("x-amz-copy-source: /acme-bucket/a,b", "x-amz-copy-source: /acme-bucket/a\r\nx-amz-copy-source: b");
        assert_ne!(split, head);
        assert!(matches!(client.send_as_is("PUT", split.as_bytes()).status, 400 | 403));
        let spaced = Request::on("PUT", "acme-bucket", "copied").header("x-amz-copy-source", "/acme-bucket/a b");
        let (head, _) = spaced.head(&client.host, sign);
        assert!(matches!(client.send_as_is("PUT", head.replace("a b", "a  b").as_bytes()).status, 400 | 403));
        // Sorted for the signature, so that their order is free.
        let types = Request::on("GET", "acme-bucket", "secret")
            .query("response-content-type", "text/html")
            .query("response-content-type", "text/plain");
        assert!(matches!(client.send(&types, sign).status, 400 | 403));
        let cased = Request::on("PUT", "acme-bucket", "copied").query("x-amz-acl", "private").query("X-Amz-Acl", "public-read");
        assert!(matches!(client.send(&cased, sign).status, 400 | 403));
    }
    // A list is read from all its lines, as the Go SDK sends it.
    let attributes =
        Request::new("GET", "/acme-bucket/secret").query("attributes", "").header("x-amz-object-attributes", "ETag,ObjectSize");
    let (head, _) = attributes.head(&client.host, Sign::Header(&acme()));
    let lines = head.replace("ETag,ObjectSize", "ETag\r\nx-amz-object-attributes: ObjectSize");
    let answer = client.send_as_is("GET", lines.as_bytes()).expect(200);
    assert!(answer.text().contains("<ETag>") && answer.text().contains("<ObjectSize>"), "{}", answer.text());
    let fed = Request::on("PUT", "acme-bucket", "copied").query("x-amz-meta-a", "b\nc");
    client.send(&fed, Sign::Presigned(&acme())).refused(400, "InvalidArgument");
    assert_absent(&mut client, "acme-bucket", "copied");
}
