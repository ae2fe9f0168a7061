//! Tags of buckets and objects through the door.

use crate::support::client::{Client, Request, Sign};
use crate::support::gateway::{Gateway, acme, bravo};

fn gateway() -> (Gateway, Client) {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    client.make_bucket(&acme(), "media");
    (gateway, client)
}

fn document(tags: &[(&str, &str)]) -> String {
    let tags: String = tags.iter().map(|(key, value)| format!("<Tag><Key>{key}</Key><Value>{value}</Value></Tag>")).collect();
    format!("<Tagging><TagSet>{tags}</TagSet></Tagging>")
}

#[test]
fn of_a_bucket() {
    let (_gateway, mut client) = gateway();
    let ask = |method: &str| Request::new(method, "/media").query("tagging", "");
    let mut send = |request: &Request| client.send(request, Sign::Header(&acme()));
    send(&ask("GET")).refused(404, "NoSuchTagSet");
    send(&ask("DELETE")).expect(204);
    send(&ask("PUT").body(document(&[("team", "a=b"), ("cost", "")]))).expect(204);
    let told = send(&ask("GET")).expect(200).text();
    assert!(told.contains("<Tag><Key>cost</Key><Value></Value></Tag><Tag><Key>team</Key><Value>a=b</Value></Tag>"), "{told}");
    // What is told can be said again, and what is refused changes nothing.
    send(&ask("PUT").body(told.clone())).expect(204);
    let many: Vec<String> = (0..51).map(|n| format!("k{n}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|key| (key.as_str(), "")).collect();
    send(&ask("PUT").body(document(&many[..50]))).expect(204);
    send(&ask("PUT").body(told.clone())).expect(204);
    send(&ask("PUT").body(document(&many))).refused(400, "BadRequest");
    send(&ask("PUT").body(document(&[("aws:a", "")]))).refused(400, "InvalidTag");
    send(&ask("PUT").body(document(&[("a", "1"), ("a", "2")]))).refused(400, "InvalidTag");
    send(&ask("PUT").body("<Tagging/>")).refused(400, "MalformedXML");
    assert_eq!(send(&ask("GET")).expect(200).text(), told);
    send(&ask("DELETE")).expect(204);
    send(&ask("GET")).refused(404, "NoSuchTagSet");
    client.send(&ask("GET"), Sign::Header(&bravo())).refused(403, "AccessDenied");
}

#[test]
fn of_a_bucket_that_is_made_with_them() {
    let (_gateway, mut client) = gateway();
    let tags = "<Tags><Tag><Key>a</Key><Value>b</Value></Tag></Tags>";
    let create = Request::new("PUT", "/tagged").body(format!("<CreateBucketConfiguration>{tags}</CreateBucketConfiguration>"));
    client.send(&create, Sign::Header(&acme())).expect(200);
    let told = client.send(&Request::new("GET", "/tagged").query("tagging", ""), Sign::Header(&acme())).expect(200).text();
    assert!(told.contains("<Key>a</Key><Value>b</Value>"), "{told}");
    // Once more is no error, with the same tags or without.
    client.send(&create, Sign::Header(&acme())).expect(200);
    client.send(&Request::new("PUT", "/tagged"), Sign::Header(&acme())).expect(200);
}

const TAGS: &str = "a=1&b=x%3Dy";

fn tagged(method: &str, key: &str) -> Request {
    Request::on(method, "media", key).query("tagging", "")
}

/// As `x-amz-tagging` would have them.
fn tags_of(client: &mut Client, key: &str) -> String {
    let told = client.send(&tagged("GET", key), Sign::Header(&acme())).expect(200).xml("Tagging");
    let pairs = told.child("TagSet").unwrap().children.iter().map(|tag| {
        let text = |name: &str| tag.child(name).unwrap().text.replace('=', "%3D");
        format!("{}={}", text("Key"), text("Value"))
    });
    pairs.collect::<Vec<_>>().join("&")
}

#[test]
fn of_an_object() {
    let (_gateway, mut client) = gateway();
    let send = |client: &mut Client, request: &Request| client.send(request, Sign::Header(&acme()));
    client.put(&acme(), "media", "k", b"body").expect(200);
    let head = |client: &mut Client| {
        let head = client.send(&Request::on("HEAD", "media", "k"), Sign::Header(&acme())).expect(200);
        let of = |name: &str| head.header(name).map(str::to_owned);
        (of("x-amz-tagging-count"), of("etag"), of("last-modified"))
    };
    let (none, etag, modified) = head(&mut client);
    assert_eq!((none, tags_of(&mut client, "k")), (None, String::new()));
    send(&mut client, &tagged("PUT", "k").body(document(&[("b", "x=y"), ("a", "1")]))).expect(200);
    assert_eq!(tags_of(&mut client, "k"), TAGS);
    // The version is what it was.
    assert_eq!(head(&mut client), (Some("2".into()), etag.clone(), modified.clone()));
    let got = client.get(&acme(), "media", "k").expect(200);
    assert_eq!((got.header("x-amz-tagging-count"), &got.body[..]), (Some("2"), &b"body"[..]));
    for (bad, code) in [
        (document(&[("a", "1"), ("a", "2")]), "InvalidTag"),
        (document(&[("aws:a", "1")]), "InvalidTag"),
        (document(&[("a", &"v".repeat(257))]), "InvalidTag"),
        (document(&[("", "v")]), "InvalidTag"),
        (document(&[("a", "<b>")].map(|(k, _)| (k, "&lt;b&gt;"))), "InvalidTag"),
        ("<Tagging/>".to_owned(), "MalformedXML"),
        ("<Nonsense/>".to_owned(), "MalformedXML"),
        (document(&["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10"].map(|k| (k, ""))), "BadRequest"),
    ] {
        send(&mut client, &tagged("PUT", "k").body(bad)).refused(400, code);
    }
    assert_eq!(tags_of(&mut client, "k"), TAGS);
    send(&mut client, &tagged("PUT", "k").body(document(&[]))).expect(200);
    assert_eq!(tags_of(&mut client, "k"), "");
    send(&mut client, &tagged("PUT", "k").query("versionId", "null").body(document(&[("v", "null")]))).expect(200);
    assert_eq!(tags_of(&mut client, "k"), "v=null");
    send(&mut client, &tagged("DELETE", "k")).expect(204);
    assert_eq!((head(&mut client), tags_of(&mut client, "k")), ((None, etag, modified), String::new()));
    for method in ["GET", "PUT", "DELETE"] {
        send(&mut client, &tagged(method, "none").body(if method == "PUT" { document(&[]) } else { String::new() }))
            .refused(404, "NoSuchKey");
    }
    // What is written over them has its own.
    send(&mut client, &tagged("PUT", "k").body(document(&[("old", "")]))).expect(200);
    client.put(&acme(), "media", "k", b"body").expect(200);
    assert_eq!(tags_of(&mut client, "k"), "");
}

#[test]
fn given_when_an_object_is_made() {
    let (_gateway, mut client) = gateway();
    let give = |request: Request| request.header("x-amz-tagging", "b=x=y&a=1");
    client.send(&give(Request::on("PUT", "media", "put").body("x")), Sign::Header(&acme())).expect(200);
    // A presigned URL has the header in its query.
    let hoisted = Request::on("PUT", "media", "presigned").query("x-amz-tagging", "b=x%3Dy&a=1").body("x");
    client.send(&hoisted, Sign::Presigned(&acme())).expect(200);
    let create = give(Request::on("POST", "media", "parts").query("uploads", ""));
    let upload = client.send(&create, Sign::Header(&acme())).expect(200);
    let upload = upload.xml("InitiateMultipartUploadResult").text_of("UploadId").unwrap().to_owned();
    let part = client.upload_part(&acme(), "media", "parts", &upload, 1, b"part").expect(200).etag();
    client.complete(&acme(), "media", "parts", &upload, &[(1, part)]).expect(200);
    for key in ["put", "presigned", "parts"] {
        assert_eq!(tags_of(&mut client, key), TAGS, "{key}");
    }
    for (bad, code) in [
        ("a=1&a=2", "InvalidArgument"),
        ("a=%ff", "InvalidArgument"),
        ("aws:x=1", "InvalidTag"),
        ("a=!", "InvalidTag"),
        ("a&b&c&d&e&f&g&h&i&j&k", "BadRequest"),
    ] {
        let put = Request::on("PUT", "media", "refused").header("x-amz-tagging", bad).body("x");
        client.send(&put, Sign::Header(&acme())).refused(400, code);
    }
    client.get(&acme(), "media", "refused").expect(404);
}

#[test]
fn of_copies() {
    let (_gateway, mut client) = gateway();
    let put = Request::on("PUT", "media", "source").header("x-amz-tagging", TAGS).body("x");
    client.send(&put, Sign::Header(&acme())).expect(200);
    for (directive, given, expected) in [
        (None, None, TAGS),
        (Some("COPY"), Some("ignored=1"), TAGS),
        (Some("REPLACE"), Some("c=3"), "c=3"),
        (Some("REPLACE"), None, ""),
        (None, Some("ignored=1"), TAGS),
    ] {
        let mut copy = Request::on("PUT", "media", "copy").header("x-amz-copy-source", "media/source");
        if let Some(directive) = directive {
            copy = copy.header("x-amz-tagging-directive", directive);
        }
        if let Some(given) = given {
            copy = copy.header("x-amz-tagging", given);
        }
        client.send(&copy, Sign::Header(&acme())).expect(200);
        assert_eq!(tags_of(&mut client, "copy"), expected, "{directive:?} {given:?}");
    }
    // Onto itself, with other metadata: the tags stay.
    let onto = Request::on("PUT", "media", "source").header("x-amz-copy-source", "media/source");
    client.send(&onto.header("x-amz-metadata-directive", "REPLACE"), Sign::Header(&acme())).expect(200);
    assert_eq!(tags_of(&mut client, "source"), TAGS);
    let bad = Request::on("PUT", "media", "copy").header("x-amz-copy-source", "media/source").header("x-amz-tagging-directive", "KEEP");
    client.send(&bad, Sign::Header(&acme())).refused(400, "InvalidArgument");
}

fn set_policy(client: &mut Client, statements: &str) {
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
    client.send(&Request::new("PUT", "/media").query("policy", "").body(text), Sign::Header(&acme())).expect(204);
}

fn allow(actions: &str, condition: &str) -> String {
    format!(
        r#"{{"Effect":"Allow","Principal":{{"AWS":"bravo"}},"Action":[{actions}],"Resource":"arn:aws:s3:::media/*","Condition":{{{condition}}}}}"#
    )
}

#[test]
fn policies_that_look_at_the_tags_of_the_object() {
    let (_gateway, mut client) = gateway();
    for (key, tags) in [("open", "security=public&foo=bar"), ("closed", "security=private"), ("other", "security1=public"), ("none", "")] {
        let put = Request::on("PUT", "media", key).header("x-amz-tagging", tags).body("x");
        client.send(&put, Sign::Header(&acme())).expect(200);
    }
    let by_tag = r#""StringEquals":{"s3:ExistingObjectTag/security":"public"}"#;
    set_policy(&mut client, &allow(r#""s3:GetObject","s3:PutObjectTagging""#, by_tag));
    let mut send = |request: &Request| client.send(request, Sign::Header(&bravo()));
    send(&Request::on("GET", "media", "open")).expect(200);
    for key in ["closed", "other", "none", "absent"] {
        send(&Request::on("GET", "media", key)).refused(403, "AccessDenied");
        send(&tagged("PUT", key).body(document(&[("security", "public")]))).refused(403, "AccessDenied");
    }
    // How many there are is for those who may read them.
    assert_eq!(send(&Request::on("HEAD", "media", "open")).expect(200).header("x-amz-tagging-count"), None);
    send(&tagged("GET", "open")).refused(403, "AccessDenied");
    // Who takes the tag away by which it was let in has shut itself out.
    send(&tagged("PUT", "open").body(document(&[("security", "private")]))).expect(200);
    send(&tagged("PUT", "open").body(document(&[("security", "public")]))).refused(403, "AccessDenied");
    send(&Request::on("GET", "media", "open")).refused(403, "AccessDenied");

    let all = r#"{"Effect":"Allow","Principal":{"AWS":"bravo"},"Action":"s3:*","Resource":"arn:aws:s3:::media/*"}"#;
    let but = r#"{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::media/*","Condition":{"StringEquals":{"s3:ExistingObjectTag/security":"private"}}}"#;
    set_policy(&mut client, &format!("{all},{but}"));
    for who in [acme(), bravo()] {
        client.send(&Request::on("GET", "media", "closed"), Sign::Header(&who)).refused(403, "AccessDenied");
        client.send(&Request::on("GET", "media", "other"), Sign::Header(&who)).expect(200);
        let copy = Request::on("PUT", "media", "copy").header("x-amz-copy-source", "media/closed");
        client.send(&copy, Sign::Header(&who)).refused(403, "AccessDenied");
    }
    assert_eq!(
        client.send(&Request::on("HEAD", "media", "other"), Sign::Header(&bravo())).expect(200).header("x-amz-tagging-count"),
        Some("1")
    );
}

#[test]
fn policies_that_look_at_the_tags_of_the_request() {
    let (_gateway, mut client) = gateway();
    let by_tag =
        r#""StringEquals":{"s3:RequestObjectTag/project":"x"},"ForAllValues:StringEquals":{"s3:RequestObjectTagKeys":["project","cost"]}"#;
    set_policy(&mut client, &allow(r#""s3:PutObject","s3:PutObjectTagging""#, by_tag));
    let mut send = |request: &Request| client.send(request, Sign::Header(&bravo()));
    let put = |tags: &str| Request::on("PUT", "media", "k").header("x-amz-tagging", tags).body("x");
    send(&put("project=x&cost=1")).expect(200);
    for refused in ["", "project=y", "cost=1", "project=x&other=1"] {
        send(&put(refused)).refused(403, "AccessDenied");
        let create = Request::on("POST", "media", "k").query("uploads", "").header("x-amz-tagging", refused);
        send(&create).refused(403, "AccessDenied");
    }
    send(&tagged("PUT", "k").body(document(&[("project", "x")]))).expect(200);
    send(&tagged("PUT", "k").body(document(&[("project", "y")]))).refused(403, "AccessDenied");
    // A header of a copy that gives no tags is nothing that counts.
    let copy = Request::on("PUT", "media", "copy").header("x-amz-copy-source", "media/k").header("x-amz-tagging", "project=x");
    send(&copy).refused(403, "AccessDenied");
    // Who may write and not tag writes without tags.
    set_policy(
        &mut client,
        r#"{"Effect":"Allow","Principal":{"AWS":"bravo"},"Action":["s3:PutObject","s3:GetObject"],"Resource":"arn:aws:s3:::media/*"}"#,
    );
    let mut send = |request: &Request| client.send(request, Sign::Header(&bravo()));
    send(&put("project=x")).refused(403, "AccessDenied");
    send(&put("")).expect(200);
    client.send(&tagged("PUT", "k").body(document(&[("a", "1")])), Sign::Header(&acme())).expect(200);
    let copy = Request::on("PUT", "media", "copy").header("x-amz-copy-source", "media/k");
    client.send(&copy, Sign::Header(&bravo())).refused(403, "AccessDenied");
    client.send(&copy.header("x-amz-tagging-directive", "REPLACE"), Sign::Header(&bravo())).expect(200);
    assert_eq!(tags_of(&mut client, "copy"), "");
}
