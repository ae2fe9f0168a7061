//! One value, one meaning: what a policy's condition sees of a request is what then acts, however it is spelt.

use crate::s3::attacks::assert_absent;
use crate::support::client::{Answer, Client, Request, Sign};
use crate::support::gateway::{Gateway, acme, operator};

const ANYONE: &str = r#""Effect":"Allow","Action":["s3:GetObject","s3:PutObject","s3:DeleteObject","s3:ListBucket"]"#;

/// Acme's bucket where anyone may read and write objects, but for what `denied` (an action and its condition) forbids to everyone.
fn open_but_for(denied: &str) -> (Gateway, Client) {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    client.make_bucket(&acme(), "open");
    client.make_bucket(&acme(), "priv");
    set_policy(
        &mut client,
        "open",
        r#""Effect":"Allow","Action":["s3:GetObject","s3:PutObject","s3:DeleteObject","s3:ListBucket"]"#,
        denied,
    );
    set_policy(
        &mut client,
        "priv",
        r#""Effect":"Allow","Action":["s3:GetObject","s3:GetObjectVersion"]"#,
        r#""Effect":"Deny","Action":"s3:PutObjectAcl""#,
    );
    (gateway, client)
}

fn set_policy(client: &mut Client, bucket: &str, allowed: &str, denied: &str) {
    let on = format!(r#""Principal":"*","Resource":["arn:aws:s3:::{bucket}","arn:aws:s3:::{bucket}/*"]"#);
    let policy = format!(r#"{{"Version":"2012-10-17","Statement":[{{{allowed},{on}}},{{{denied},{on}}}]}}"#);
    client.send(&Request::new("PUT", &format!("/{bucket}")).query("policy", "").body(policy), Sign::Header(&acme())).expect(204);
}

#[track_caller]
fn turned_away(answer: &Answer, what: &str) {
    assert!(matches!(answer.status, 400 | 403 | 501), "{what}: {} {}", answer.status, answer.text());
}

const NO_PUBLIC_ACL: &str =
    r#""Effect":"Deny","Action":["s3:PutObject","s3:PutObjectAcl"],"Condition":{"StringLike":{"s3:x-amz-acl":"public-*"}}"#;

#[test]
fn an_acl_is_seen_as_it_acts() {
    let (_gateway, mut client) = open_but_for(NO_PUBLIC_ACL);
    let acme = acme();
    for acl in [
        "public-read",
        " public-read",
        "public-read\t",
        "public-read\u{a0}",
        "\u{3000}public-read",
        "\u{2003}public-read\u{85}",
        "public-read\u{feff}",
        "PUBLIC-READ",
    ] {
        let put = Request::on("PUT", "open", "k").body("x");
        let in_header = put.clone().header("x-amz-acl", acl);
        for (form, sign) in [("anonymous", Sign::No), ("header", Sign::Header(&acme)), ("presigned", Sign::Presigned(&acme))] {
            turned_away(&client.send(&in_header, sign), &format!("{form} {acl:?}"));
        }
        for name in ["x-amz-acl", "X-Amz-Acl"] {
            turned_away(&client.send(&put.clone().query(name, acl), Sign::Presigned(&acme)), &format!("hoisted {acl:?}"));
        }
        assert_absent(&mut client, "open", "k");
    }
    // What is no trick goes through.
    client.send(&Request::on("PUT", "open", "k").body("x").header("x-amz-acl", " private\t "), Sign::No).expect(200);
}

#[test]
fn a_value_given_twice_is_refused() {
    let (_gateway, mut client) = open_but_for(NO_PUBLIC_ACL);
    let put = Request::on("PUT", "open", "k").body("x");
    for (first, second) in [("private", "public-read"), ("public-read", "private"), ("private", "private")] {
        let twice = put.clone().header("x-amz-acl", first).header("x-amz-acl", second);
        client.send(&twice, Sign::No).refused(400, "InvalidArgument");
        let hoisted = put.clone().query("X-Amz-Acl", first).query("x-amz-acl", second);
        turned_away(&client.send(&hoisted, Sign::Presigned(&acme())), "hoisted twice");
    }
    let both = put.clone().query("x-amz-acl", "public-read").header("x-amz-acl", "private");
    turned_away(&client.send(&both, Sign::Presigned(&acme())), "header and parameter");
    for name in ["x-amz-storage-class", "x-amz-metadata-directive", "x-amz-expected-bucket-owner", "x-amz-something-of-tomorrow"] {
        let twice = put.clone().header(name, "a").header(name, "b");
        client.send(&twice, Sign::No).refused(400, "InvalidArgument");
    }
    assert_absent(&mut client, "open", "k");
}

#[test]
fn text_that_cannot_be_read_is_refused_and_not_absent() {
    let (_gateway, mut client) = open_but_for(NO_PUBLIC_ACL);
    client.put(&acme(), "open", "there", b"x").expect(200);
    // A check that the client asked for is not left out because of its spelling.
    for name in ["x-amz-expected-bucket-owner", "x-amz-if-match-size", "x-amz-if-match-last-modified-time", "x-amz-checksum-crc32"] {
        for value in ["\u{e9}", "acme\u{a0}", "a\tb"] {
            let delete = Request::on("DELETE", "open", "there").header(name, value);
            client.send(&delete, Sign::No).refused(400, "InvalidArgument");
        }
    }
    let unreadable = Request::on("DELETE", "open", "there").header("x-amz-if-match-last-modified-time", "yesterday");
    client.send(&unreadable, Sign::No).refused(400, "InvalidArgument");
    // Hoisted, and no header could be made of it.
    let put = Request::on("PUT", "open", "k").body("x");
    for value in ["public-read\n", "private\r\nx-amz-acl: public-read", "\u{e9}"] {
        turned_away(&client.send(&put.clone().query("x-amz-acl", value), Sign::Presigned(&acme())), value);
    }
    turned_away(&client.send(&put.clone().query("x-amz-a b", "c"), Sign::Presigned(&acme())), "no header's name");
    assert_absent(&mut client, "open", "k");
    client.get(&acme(), "open", "there").expect(200);
    // Metadata may be any bytes, and what is stored as it is any text.
    let put = put.header("x-amz-meta-a", "\u{e9}\u{a0}").header("content-disposition", "inline; filename=\"\u{e9}\"");
    client.send(&put, Sign::No).expect(200);
    assert_eq!(client.get(&acme(), "open", "k").header("content-disposition"), Some("inline; filename=\"\u{e9}\""));
}

#[test]
fn parameters_are_seen_as_they_act() {
    let denied = r#""Effect":"Deny","Action":"s3:ListBucket","Condition":{"StringLike":{"s3:prefix":"secret*"}}"#;
    let (_gateway, mut client) = open_but_for(denied);
    client.put(&acme(), "open", "secret/a", b"x").expect(200);
    for query in
        ["prefix=secret", "prefix=secret&prefix=a", "prefix=%73ecret", "pr%65fix=secret", "prefix=a&prefix=secret", "prefix=secret%ff"]
    {
        let answer = client.send(&Request::new("GET", &format!("/open?{query}")), Sign::No);
        assert!(answer.status == 403 || answer.status == 400 || !answer.text().contains("secret/a"), "{query}: {}", answer.text());
    }
}

#[test]
fn a_copy_source_is_seen_as_it_is_copied() {
    let denied = r#""Effect":"Deny","Action":"s3:PutObject","Condition":{"StringLike":{"s3:x-amz-copy-source":"priv/a b*"}}"#;
    let (_gateway, mut client) = open_but_for(denied);
    client.put(&acme(), "priv", "a b", b"denied").expect(200);
    client.put(&acme(), "priv", "a+b", b"allowed").expect(200);
    let spellings = [
        "priv/a%20b",
        "/priv/a%20b",
        "priv/a+b",
        "/priv/a+b",
        "%2Fpriv%2Fa%20b",
        "pr%69v/a b",
        "/priv/%61%20%62",
        "priv/a%20b?versionId=null",
        "/priv/a+b?versionId=%6eull",
        "priv/a%20b\u{a0}",
        "\u{3000}priv/a%20b",
    ];
    let acme = acme();
    let upload = client.create_upload(&operator(), "open", "parts");
    for spelling in spellings {
        let copy = Request::on("PUT", "open", "target").header("x-amz-copy-source", spelling);
        turned_away(&client.send(&copy, Sign::No), spelling);
        let hoisted = Request::on("PUT", "open", "target").query("x-amz-copy-source", spelling);
        turned_away(&client.send(&hoisted, Sign::Presigned(&acme)), spelling);
        let part = Request::on("PUT", "open", "parts").query("partNumber", "1").query("uploadId", &upload);
        turned_away(&client.send(&part.header("x-amz-copy-source", spelling), Sign::No), spelling);
    }
    assert_absent(&mut client, "open", "target");
    // And the one beside it is still the one that is copied.
    let copy = Request::on("PUT", "open", "target").header("x-amz-copy-source", "/priv/a%2Bb");
    client.send(&copy, Sign::No).expect(200);
    assert_eq!(client.get(&acme, "open", "target").body, b"allowed");
}

#[test]
fn a_policy_may_write_a_copy_source_with_a_slash_in_front() {
    let denied = r#""Effect":"Deny","Action":"s3:PutObject","Condition":{"StringNotEquals":{"s3:x-amz-copy-source":"/priv/a"}}"#;
    let (_gateway, mut client) = open_but_for(denied);
    client.put(&acme(), "priv", "a", b"a").expect(200);
    client.put(&acme(), "priv", "b", b"b").expect(200);
    for source in ["priv/a", "/priv/a", "%2Fpriv%2Fa", "priv/a?versionId=null"] {
        client.send(&Request::on("PUT", "open", "k").header("x-amz-copy-source", source), Sign::No).expect(200);
    }
    client.send(&Request::on("PUT", "open", "k").header("x-amz-copy-source", "priv/b"), Sign::No).refused(403, "AccessDenied");
}

#[test]
fn a_plus_in_a_copy_source_is_a_space() {
    let (_gateway, mut client) = open_but_for(NO_PUBLIC_ACL);
    client.put(&acme(), "priv", "a b", b"with a space").expect(200);
    client.put(&acme(), "priv", "a+b", b"with a plus").expect(200);
    let mut copied = |source: &str| {
        client.send(&Request::on("PUT", "open", "k").header("x-amz-copy-source", source), Sign::Header(&acme())).expect(200);
        client.get(&acme(), "open", "k").expect(200).text()
    };
    for source in ["/priv/a+b", "priv/a%20b", "priv/a b"] {
        assert_eq!(copied(source), "with a space", "{source}");
    }
    assert_eq!(copied("priv/a%2Bb"), "with a plus");
}

#[test]
fn write_once_holds() {
    let denied = r#""Effect":"Deny","Action":"s3:PutObject","Condition":{"Null":{"s3:if-none-match":"true"}}"#;
    let (_gateway, mut client) = open_but_for(NO_PUBLIC_ACL);
    let upload = client.create_upload(&acme(), "open", "once");
    let etag = client.upload_part(&acme(), "open", "once", &upload, 1, b"second").expect(200).etag();
    let document = crate::support::client::complete_document(&[(1, etag)]);
    set_policy(&mut client, "open", ANYONE, denied);
    let put = |body: &str| Request::on("PUT", "open", "once").body(body);
    client.send(&put("first").header("if-none-match", "*"), Sign::No).expect(200);
    client.put(&operator(), "priv", "other", b"third").expect(200);
    for value in ["", "\"00000000000000000000000000000000\"", "*, \"a\"", "\"*\"", "**", "*\u{a0}", "W/*"] {
        let with = |request: Request| request.header("if-none-match", value);
        turned_away(&client.send(&with(put("second")), Sign::No), value);
        turned_away(&client.send(&with(Request::on("PUT", "open", "once").header("x-amz-copy-source", "priv/other")), Sign::No), value);
        let complete = Request::on("POST", "open", "once").query("uploadId", &upload).body(document.clone());
        turned_away(&client.send(&with(complete), Sign::No), value);
    }
    let twice = put("second").header("if-none-match", "*").header("if-none-match", "\"00\"");
    turned_away(&client.send(&twice, Sign::No), "twice");
    client.send(&put("second").header("if-none-match", "*"), Sign::No).refused(412, "PreconditionFailed");
    assert_eq!(client.get(&acme(), "open", "once").body, b"first");
}

#[test]
fn conditions_of_writes_are_well_formed_or_refused() {
    let (_gateway, mut client) = open_but_for(NO_PUBLIC_ACL);
    let etag = client.put(&acme(), "open", "k", b"first").expect(200).etag();
    let with = |method: &str, name: &str, value: &str| Request::on(method, "open", "k").header(name, value).body("x");
    client.send(&with("PUT", "if-none-match", &format!("\"{etag}\"")), Sign::No).refused(412, "PreconditionFailed");
    client.send(&with("PUT", "if-none-match", &format!("\"00\", W/\"{etag}\"")), Sign::No).refused(412, "PreconditionFailed");
    let many = "\"00\",".repeat(101);
    for value in ["", ",", "\"", "a\"b", "*, \"a\"", "\"a\" \"b\"", "W/*", "\u{e9}", &many] {
        client.send(&with("PUT", "if-none-match", value), Sign::No).refused(400, "InvalidArgument");
    }
    for value in ["", "\"", "a\"b", &format!("\"{etag}\", \"00\""), &format!("W/\"{etag}\""), "\u{e9}"] {
        for method in ["PUT", "DELETE"] {
            client.send(&with(method, "if-match", value), Sign::No).refused(400, "InvalidArgument");
        }
    }
    client
        .send(&with("PUT", "if-match", "\"another-etag-than-any-here-and-much-longer-than-any-that-there-could-be\""), Sign::No)
        .expect(412);
    let quoted = format!("\"{etag}\"");
    client.send(&with("DELETE", "if-match", &quoted).header("if-match", &quoted), Sign::No).refused(400, "InvalidArgument");
    // A batch: each key has its own conditions, and those of the request itself would only be seen, not held.
    let batch = |inner: &str| {
        let document = format!("<Delete><Object><Key>k</Key>{inner}</Object></Delete>");
        Request::new("POST", "/open").query("delete", "").body(document).content_md5()
    };
    client.send(&batch("").header("if-match", &quoted), Sign::No).refused(501, "NotImplemented");
    for inner in ["<Size>x</Size>", "<Size>-1</Size>", "<LastModifiedTime>soon</LastModifiedTime>", "<ETag>a, b</ETag>", "<ETag></ETag>"] {
        client.send(&batch(inner), Sign::No).refused(400, "MalformedXML");
    }
    assert_eq!(client.get(&acme(), "open", "k").body, b"first");
    client.send(&with("PUT", "if-match", &etag), Sign::No).expect(200);
}

#[test]
fn the_payload_hash_is_seen_as_it_was_verified() {
    let denied = r#""Effect":"Deny","Action":"s3:PutObject","Condition":{"StringEquals":{"s3:x-amz-content-sha256":"UNSIGNED-PAYLOAD"}}"#;
    let (_gateway, mut client) = open_but_for(denied);
    let hash = crate::support::signer::sha256_hex(b"x");
    let put = Request::on("PUT", "open", "k").body("x");
    let acme = acme();
    let unsigned = put.clone().payload_hash("UNSIGNED-PAYLOAD");
    client.send(&unsigned, Sign::Header(&acme)).refused(403, "AccessDenied");
    client.send(&put, Sign::Presigned(&acme)).refused(403, "AccessDenied");
    // A word about the body that nothing was verified by changes nothing.
    client.send(&put.clone().unsigned_header("x-amz-content-sha256", &hash), Sign::Presigned(&acme)).refused(403, "AccessDenied");
    client.send(&put, Sign::No).refused(403, "AccessDenied");
    assert_absent(&mut client, "open", "k");
    client.send(&put, Sign::Header(&acme)).expect(200);
    client.send(&put.clone().header("x-amz-content-sha256", &hash), Sign::No).expect(200);
    client.send(&put.clone().header("x-amz-content-sha256", &hash).payload_hash(&hash), Sign::Presigned(&acme)).expect(200);
}

#[test]
fn addresses_have_one_form() {
    let allowed = |net: &str| format!(r#""Effect":"Deny","Action":"s3:GetObject","Condition":{{"IpAddress":{{"aws:SourceIp":"{net}"}}}}"#);
    for net in ["127.0.0.1", "127.0.0.0/8", "::ffff:127.0.0.1", "::ffff:127.0.0.0/104", "::ffff:7f00:1/128"] {
        let (_gateway, mut client) = open_but_for(&allowed(net));
        client.put(&operator(), "open", "k", b"x").expect(200);
        client.send(&Request::on("GET", "open", "k"), Sign::No).refused(403, "AccessDenied");
        // The same as an Allow for all others.
        client.send(&Request::new("DELETE", "/open").query("policy", ""), Sign::Header(&acme())).expect(204);
        let others = format!(r#""Effect":"Allow","Action":"s3:GetObject","Condition":{{"NotIpAddress":{{"aws:SourceIp":"{net}"}}}}"#);
        set_policy(&mut client, "open", &others, r#""Effect":"Deny","Action":"s3:PutObjectAcl""#);
        client.send(&Request::on("GET", "open", "k"), Sign::No).refused(403, "AccessDenied");
    }
}
