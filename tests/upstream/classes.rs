//! Storage classes of an S3 that has them: asked for, told of, moved between by lifecycle rules, and archives.

use tidegate::telemetry::metrics::Door;

use crate::support::client::{Request, Sign};
use crate::support::faulty_s3::FaultyS3;
use crate::support::gateway::{Gateway, HOME, Setup, acme, operator, over};

struct Pair {
    above: Gateway,
    between: FaultyS3,
    _below: Gateway,
}

impl Pair {
    fn start(has_classes: bool) -> Self {
        let below = Gateway::start();
        below.client().make_bucket(&operator(), HOME);
        let between = FaultyS3::start(below.address(Door::S3));
        if has_classes {
            between.keep_classes();
        }
        let mut setup = Setup::new();
        setup.upstream = Some(over(between.address, HOME));
        let above = setup.start();
        above.client().make_bucket(&acme(), "media");
        Pair { above, between, _below: below }
    }

    fn class(&self, key: &str) -> String {
        self.between.class_of(&format!("/{HOME}/media/{key}"))
    }

    fn rules(&self, rules: &str) {
        let document = format!("<LifecycleConfiguration>{rules}</LifecycleConfiguration>");
        let put = Request::new("PUT", "/media").query("lifecycle", "").body(document);
        self.above.client().send(&put, Sign::Header(&acme())).expect(200);
    }
}

/// Due long ago.
fn moves(prefix: &str, class: &str) -> String {
    format!(
        "<Rule><ID>{class}</ID><Filter><And><Prefix>{prefix}</Prefix><ObjectSizeGreaterThan>2</ObjectSizeGreaterThan></And></Filter>\
         <Status>Enabled</Status><Transition><Date>2020-01-01T00:00:00Z</Date><StorageClass>{class}</StorageClass></Transition></Rule>"
    )
}

#[test]
fn a_class_is_asked_for_and_told_of() {
    let pair = Pair::start(true);
    let mut client = pair.above.client();
    let in_class = |method: &str, key: &str| Request::on(method, "media", key).header("x-amz-storage-class", "STANDARD_IA");
    client.send(&in_class("PUT", "put").body("body"), Sign::Header(&acme())).expect(200);
    client.put(&acme(), "media", "plain", b"body").expect(200);
    let upload = client.send(&in_class("POST", "parts").query("uploads", ""), Sign::Header(&acme())).expect(200);
    let id = upload.xml("InitiateMultipartUploadResult").text_of("UploadId").unwrap().to_owned();
    let uploads = client.send(&Request::on("GET", "media", "").query("uploads", ""), Sign::Header(&acme())).expect(200).text();
    assert!(uploads.contains("<StorageClass>STANDARD_IA<"), "{uploads}");
    let etag = client.upload_part(&acme(), "media", "parts", &id, 1, b"body").expect(200).etag();
    client.complete(&acme(), "media", "parts", &id, &[(1, etag)]).expect(200);
    // A copy is in the class that it asks for, and not in its source's.
    let copy = |key: &str| Request::on("PUT", "media", key).header("x-amz-copy-source", "/media/put");
    client.send(&copy("copy"), Sign::Header(&acme())).expect(200);
    client.send(&copy("cold").header("x-amz-storage-class", "GLACIER_IR"), Sign::Header(&acme())).expect(200);
    client.send(&in_class("PUT", "put2").header("x-amz-copy-source", "/media/plain"), Sign::Header(&acme())).expect(200);
    let expected = [("cold", "GLACIER_IR"), ("copy", ""), ("parts", "STANDARD_IA"), ("plain", ""), ("put", "STANDARD_IA")];
    for (key, class) in expected {
        for method in ["GET", "HEAD"] {
            let told = client.send(&Request::on(method, "media", key), Sign::Header(&acme())).expect(200);
            assert_eq!(told.header("x-amz-storage-class").unwrap_or_default(), class, "{method} {key}");
        }
    }
    let listed = client.send(&Request::on("GET", "media", "").query("list-type", "2"), Sign::Header(&acme())).expect(200).text();
    let classes: Vec<&str> = listed.split("<StorageClass>").skip(1).filter_map(|rest| rest.split('<').next()).collect();
    assert_eq!(classes, ["GLACIER_IR", "STANDARD", "STANDARD_IA", "STANDARD", "STANDARD_IA", "STANDARD_IA"]);
    // What stays in its class when its ACL changes.
    client.send(&Request::on("PUT", "media", "put").query("acl", "").header("x-amz-acl", "public-read"), Sign::Header(&acme())).expect(200);
    assert_eq!(pair.class("put"), "STANDARD_IA");
}

#[test]
fn the_embedded_store_keeps_none() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    client.make_bucket(&acme(), "media");
    client.send(&Request::on("PUT", "media", "k").header("x-amz-storage-class", "GLACIER").body("x"), Sign::Header(&acme())).expect(200);
    let told = client.get(&acme(), "media", "k").expect(200);
    assert_eq!((told.header("x-amz-storage-class"), told.body.as_slice()), (None, &b"x"[..]));
}

#[test]
fn rules_move_objects_with_all_that_they_have() {
    let pair = Pair::start(true);
    let mut client = pair.above.client();
    let put = Request::on("PUT", "media", "old/k").header("x-amz-meta-title", "grün").header("content-type", "text/x-k");
    let put = put.header("x-amz-tagging", "a=b").header("x-amz-acl", "public-read").header("cache-control", "max-age=9");
    let made = client.send(&put.body("body"), Sign::Header(&acme())).expect(200);
    client.put(&acme(), "media", "old/small", b"2b").expect(200);
    client.put(&acme(), "media", "kept", b"body").expect(200);
    pair.rules(&[moves("old/", "STANDARD_IA"), moves("old/", "GLACIER_IR")].concat());
    let dry = pair.above.run_lifecycle(true);
    assert_eq!((dry.total.moved, dry.total.moved_bytes, dry.rules[0].rule.as_str()), (1, 4, "GLACIER_IR"));
    assert_eq!(pair.class("old/k"), "STANDARD", "nothing was changed");
    let done = pair.above.run_lifecycle(false);
    assert_eq!((done.total, done.failed, done.transitions_left_out), (dry.total, 0, 0));
    assert_eq!(["old/k", "old/small", "kept"].map(|key| pair.class(key)), ["GLACIER_IR", "STANDARD", "STANDARD"]);
    let got = client.get(&acme(), "media", "old/k").expect(200);
    let told = |name: &str| got.header(name).unwrap_or_default().to_owned();
    assert_eq!((got.body.as_slice(), got.etag()), (&b"body"[..], made.etag()));
    assert_eq!(
        (told("x-amz-storage-class"), told("content-type"), told("cache-control")),
        ("GLACIER_IR".into(), "text/x-k".into(), "max-age=9".into())
    );
    assert!(got.headers.iter().any(|(name, _)| name == "x-amz-meta-title") && told("x-amz-tagging-count") == "1");
    client.send(&Request::on("GET", "media", "old/k"), Sign::No).expect(200);
    let owner = client.send(&Request::on("GET", "media", "old/k").query("acl", ""), Sign::Header(&acme())).expect(200).text();
    assert!(owner.contains("AllUsers"), "{owner}");
    // And once only.
    assert_eq!(pair.above.run_lifecycle(false).total.moved, 0);
}

#[test]
fn what_can_not_be_moved_is_told() {
    let pair = Pair::start(true);
    let mut client = pair.above.client();
    client.send(&Request::on("PUT", "media", "a").header("x-amz-storage-class", "GLACIER").body("body"), Sign::Header(&acme())).expect(200);
    pair.rules(&moves("", "DEEP_ARCHIVE"));
    let report = pair.above.run_lifecycle(false);
    assert_eq!((report.held.unmovable, report.total.moved), (1, 0));
    // It is archived: as it says itself, also through the gateway.
    client.get(&acme(), "media", "a").refused(403, "InvalidObjectState");
    let copy = Request::on("PUT", "media", "b").header("x-amz-copy-source", "/media/a");
    client.send(&copy, Sign::Header(&acme())).refused(403, "InvalidObjectState");
    let restore = Request::on("POST", "media", "a").query("restore", "").body("<RestoreRequest><Days>2</Days></RestoreRequest>");
    client.send(&restore, Sign::Header(&acme())).expect(202);
    let back = client.get(&acme(), "media", "a").expect(200);
    assert_eq!((back.header("x-amz-restore"), back.body.as_slice()), (Some("ongoing-request=\"false\""), &b"body"[..]));
}

/// It takes the class and does nothing with it: an S3 that only knows the header.
#[test]
fn a_store_without_classes_is_asked_once() {
    let pair = Pair::start(false);
    let mut client = pair.above.client();
    client.put(&acme(), "media", "a", b"body").expect(200);
    pair.rules(&moves("", "GLACIER_IR"));
    let first = pair.above.run_lifecycle(false);
    assert_eq!((first.total.moved, first.failed), (0, 1));
    assert!(first.faults[0].contains("keeps nothing in GLACIER_IR"), "{first:?}");
    let again = pair.above.run_lifecycle(false);
    assert_eq!((again.total.moved, again.failed), (0, 0));
    assert_eq!(client.get(&acme(), "media", "a").expect(200).body, b"body");
}
