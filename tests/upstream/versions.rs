//! Versions over an upstream that keeps them: ids, markers and order are the upstream's own.

use http::Method;
use tidegate::telemetry::metrics::Door;

use crate::support::client::{Answer, Client, Request, Sign};
use crate::support::faulty_s3::{ALWAYS, Fault, FaultyS3};
use crate::support::gateway::{Gateway, HOME, Setup, acme, operator, over};
use crate::support::signer::Key;
use crate::upstream::early::wait_for;
use crate::upstream::own::start_own;

pub fn versioning(bucket: &str, state: &str) -> Request {
    let document = format!("<VersioningConfiguration><Status>{state}</Status></VersioningConfiguration>");
    Request::on("PUT", bucket, "").query("versioning", "").body(document)
}

/// Over another one, where the bucket `media` of acme is one of its own and keeps versions.
fn start() -> Gateway {
    let gateway = start_own();
    let mut client = gateway.client();
    client.make_bucket(&acme(), "media");
    client.send(&versioning("media", "Enabled"), Sign::Header(&acme())).expect(200);
    gateway
}

fn id(answer: &Answer) -> String {
    answer.header("x-amz-version-id").unwrap_or_else(|| panic!("no version: {answer:?}")).to_owned()
}

fn of(method: &str, bucket: &str, key: &str, version: &str) -> Request {
    Request::on(method, bucket, key).query("versionId", version)
}

/// Key, id, and whether it is a marker and the latest, of each entry of a listing in pages of `max`.
pub fn listed(client: &mut Client, key: &Key, bucket: &str, max: &str) -> Vec<(String, String, bool, bool)> {
    let (mut all, mut from): (_, Option<(String, String)>) = (Vec::new(), None);
    loop {
        let mut request = Request::on("GET", bucket, "").query("versions", "").query("max-keys", max);
        if let Some((key, id)) = from.take() {
            request = request.query("key-marker", &key).query("version-id-marker", &id);
        }
        let page = client.send(&request, Sign::Header(key)).expect(200).text();
        let leaf = |text: &str, name: &str| text.split(&format!("<{name}>")).nth(1).map(|t| t.split('<').next().unwrap().to_owned());
        let mut rest = page.as_str();
        while let Some(at) = rest.find("<Version>").into_iter().chain(rest.find("<DeleteMarker>")).min() {
            let marker = rest[at..].starts_with("<DeleteMarker>");
            let end = at + rest[at..].find(if marker { "</DeleteMarker>" } else { "</Version>" }).unwrap();
            let entry = &rest[at..end];
            let latest = leaf(entry, "IsLatest").unwrap() == "true";
            all.push((leaf(entry, "Key").unwrap(), leaf(entry, "VersionId").unwrap(), marker, latest));
            rest = &rest[end + 1..];
        }
        if leaf(&page, "IsTruncated").unwrap() != "true" {
            return all;
        }
        from = Some((leaf(&page, "NextKeyMarker").unwrap(), leaf(&page, "NextVersionIdMarker").unwrap()));
    }
}

#[test]
fn ids_markers_and_their_order_are_the_upstreams() {
    let gateway = start();
    let (mut client, mut below) = (gateway.client(), gateway.below().client());
    let one = id(&client.put(&acme(), "media", "k", b"one").expect(200));
    let two = id(&client.put(&acme(), "media", "k", b"two").expect(200));
    assert_ne!(one, two);
    assert_eq!(below.send(&of("GET", "tg-media", "k", &one), Sign::Header(&operator())).expect(200).body, b"one");
    let got = client.send(&of("GET", "media", "k", &one), Sign::Header(&acme())).expect(200);
    assert_eq!((got.text().as_str(), id(&got)), ("one", one.clone()));
    assert_eq!(id(&client.get(&acme(), "media", "k").expect(200)), two);
    let deleted = client.delete(&acme(), "media", "k").expect(204);
    let marker = id(&deleted);
    assert_eq!(deleted.header("x-amz-delete-marker"), Some("true"));
    let hidden = client.get(&acme(), "media", "k").expect(404);
    assert_eq!((hidden.header("x-amz-delete-marker"), id(&hidden)), (Some("true"), marker.clone()));
    let refused = client.send(&of("GET", "media", "k", &marker), Sign::Header(&acme())).expect(405);
    assert!(refused.header("last-modified").is_some() && refused.header("x-amz-delete-marker") == Some("true"), "{refused:?}");
    let other = id(&client.put(&acme(), "media", "a", b"other").expect(200));
    let entry = |key: &str, id: &str, marker, latest| (key.to_owned(), id.to_owned(), marker, latest);
    let wanted =
        [entry("a", &other, false, true), entry("k", &marker, true, true), entry("k", &two, false, false), entry("k", &one, false, false)];
    for max in ["1", "2", "3", "1000"] {
        assert_eq!(listed(&mut client, &acme(), "media", max), wanted, "{max}");
    }
    assert_eq!(listed(&mut below, &operator(), "tg-media", "1000"), wanted);
    // The marker goes, then the newest version: what was before is shown again.
    client.send(&of("DELETE", "media", "k", &marker), Sign::Header(&acme())).expect(204);
    assert_eq!(client.get(&acme(), "media", "k").expect(200).body, b"two");
    client.send(&of("DELETE", "media", "k", &two), Sign::Header(&acme())).expect(204);
    let shown = client.get(&acme(), "media", "k").expect(200);
    assert_eq!((shown.text().as_str(), id(&shown)), ("one", one));
    for (version, status) in [(two.as_str(), 404), ("3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY", 404), ("", 400)] {
        assert!((400..=status).contains(&client.send(&of("GET", "media", "k", version), Sign::Header(&acme())).status), "{version}");
    }
    client.send(&Request::on("DELETE", "media", ""), Sign::Header(&acme())).expect(409);
}

#[test]
fn copies_and_parts_are_made_of_any_version() {
    let gateway = start();
    let mut client = gateway.client();
    let one = id(&client.put(&acme(), "media", "a b", b"one").expect(200));
    client.put(&acme(), "media", "a b", b"two").expect(200);
    let source = format!("media/a%20b?versionId={one}");
    let copied = client.send(&Request::on("PUT", "media", "copy").header("x-amz-copy-source", &source), Sign::Header(&acme())).expect(200);
    assert_eq!(copied.header("x-amz-copy-source-version-id"), Some(one.as_str()));
    let shown = client.get(&acme(), "media", "copy").expect(200);
    assert_eq!((shown.text().as_str(), id(&shown)), ("one", id(&copied)));
    let upload = client.create_upload(&acme(), "media", "parts");
    let part = Request::on("PUT", "media", "parts").query("partNumber", "1").query("uploadId", &upload);
    let part = client.send(&part.header("x-amz-copy-source", &source), Sign::Header(&acme())).expect(200).text();
    let etag = part.split("<ETag>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    let list = format!("<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>");
    let complete = Request::on("POST", "media", "parts").query("uploadId", &upload).body(list);
    let completed = client.send(&complete, Sign::Header(&acme())).expect(200);
    let shown = client.get(&acme(), "media", "parts").expect(200);
    assert_eq!((shown.text().as_str(), id(&shown)), ("one", id(&completed)));
}

#[test]
fn what_is_sealed_is_of_one_version() {
    let gateway = start();
    let (mut client, mut below) = (gateway.client(), gateway.below().client());
    let public = Request::on("PUT", "media", "k").header("x-amz-acl", "public-read").header("x-amz-meta-n", "1").body(b"ours");
    let one = id(&client.send(&public, Sign::Header(&acme())).expect(200));
    // By somebody else: the bucket owner's, and private.
    let two = id(&below.put(&operator(), "tg-media", "k", b"theirs").expect(200));
    let acl = |version: &str| Request::on("GET", "media", "k").query("acl", "").query("versionId", version);
    let shown = client.send(&acl(&one), Sign::Header(&acme())).expect(200).text();
    assert!(shown.contains("AllUsers"), "{shown}");
    let shown = client.send(&acl(&two), Sign::Header(&acme())).expect(200).text();
    assert!(!shown.contains("AllUsers") && shown.contains("<ID>acme</ID>"), "{shown}");
    assert_eq!(client.send(&of("GET", "media", "k", &one), Sign::Header(&acme())).expect(200).header("x-amz-meta-n"), Some("1"));
    assert_eq!(client.get(&acme(), "media", "k").expect(200).body, b"theirs");
    // An ACL can't be changed in place; that it is so already is no change.
    let set = |acl: &str| Request::on("PUT", "media", "k").query("acl", "").query("versionId", &one).header("x-amz-acl", acl);
    client.send(&set("private"), Sign::Header(&acme())).expect(501);
    client.send(&set("public-read"), Sign::Header(&acme())).expect(200);
}

#[test]
fn a_folder_shows_what_its_bucket_does_and_decides_nothing() {
    let gateway = Gateway::start_over_another();
    let (mut client, mut below) = (gateway.client(), gateway.below().client());
    client.make_bucket(&acme(), "media");
    client.put(&acme(), "media", "k", b"before").expect(200);
    let refused = client.send(&versioning("media", "Enabled"), Sign::Header(&acme())).expect(501).text();
    assert!(refused.contains("upstream.buckets"), "{refused}");
    // Beside the gateway, of all of it.
    below.send(&versioning(HOME, "Enabled"), Sign::Header(&operator())).expect(200);
    wait_for("what was changed upstream is seen", || {
        let state = client.send(&Request::on("GET", "media", "").query("versioning", ""), Sign::Header(&acme())).expect(200).text();
        state.contains("Enabled")
    });
    let two = id(&client.put(&acme(), "media", "k", b"after").expect(200));
    let all = listed(&mut client, &acme(), "media", "1");
    assert_eq!(all, [("k".to_owned(), two, false, true), ("k".to_owned(), "null".to_owned(), false, false)]);
    assert_eq!(client.send(&of("GET", "media", "k", "null"), Sign::Header(&acme())).expect(200).body, b"before");
    client.delete(&acme(), "media", "k").expect(204);
    // It lists nothing, and is not empty.
    client.send(&Request::on("DELETE", "media", ""), Sign::Header(&acme())).expect(409);
    for (key, version, ..) in listed(&mut client, &acme(), "media", "1000") {
        client.send(&of("DELETE", "media", &key, &version), Sign::Header(&acme())).expect(204);
    }
    client.send(&Request::on("DELETE", "media", ""), Sign::Header(&acme())).expect(204);
}

#[test]
fn the_gateways_own_state_is_out_of_reach_by_version_too() {
    let gateway = Gateway::start_over_another();
    let (mut client, mut below) = (gateway.client(), gateway.below().client());
    // Home is a whole bucket upstream.
    client.send(&versioning(HOME, "Enabled"), Sign::Header(&operator())).expect(200);
    client.make_bucket(&acme(), "media");
    client.put(&acme(), "media", "k", b"acme's").expect(200);
    client.put(&operator(), HOME, "shown", b"home's").expect(200);
    let upstream = listed(&mut below, &operator(), HOME, "1000");
    assert!(upstream.iter().any(|(key, ..)| key == ".tidegate/buckets/media"));
    for max in ["1", "1000"] {
        let shown = listed(&mut client, &operator(), HOME, max);
        assert_eq!(shown.iter().map(|(key, ..)| key.as_str()).collect::<Vec<_>>(), ["shown"], "{max}");
    }
    for (key, version, ..) in upstream.iter().filter(|(key, ..)| key != "shown") {
        client.send(&of("GET", HOME, key, version), Sign::Header(&operator())).expect(404);
        client.send(&of("DELETE", HOME, key, version), Sign::Header(&operator())).expect(204);
        let copy = Request::on("PUT", HOME, "copy").header("x-amz-copy-source", &format!("{HOME}/{key}?versionId={version}"));
        client.send(&copy, Sign::Header(&operator())).expect(404);
    }
    assert_eq!(client.get(&acme(), "media", "k").expect(200).body, b"acme's");
}

#[test]
fn locks_are_kept_upstream() {
    let gateway = start_own();
    let (mut client, mut below) = (gateway.client(), gateway.below().client());
    let make = Request::on("PUT", "media", "").header("x-amz-bucket-object-lock-enabled", "true");
    client.send(&make, Sign::Header(&acme())).expect(200);
    let until = "2099-01-01T00:00:00.000Z";
    let put = Request::on("PUT", "media", "k").header("x-amz-object-lock-mode", "COMPLIANCE");
    let put = put.header("x-amz-object-lock-retain-until-date", until).body(b"kept").content_md5();
    let one = id(&client.send(&put, Sign::Header(&acme())).expect(200));
    let held = Request::on("PUT", "media", "held").header("x-amz-object-lock-legal-hold", "ON").body(b"held").content_md5();
    let two = id(&client.send(&held, Sign::Header(&acme())).expect(200));
    let seen = below.send(&of("HEAD", "tg-media", "k", &one), Sign::Header(&operator())).expect(200);
    assert_eq!(seen.header("x-amz-object-lock-mode"), Some("COMPLIANCE"));
    let seen = client.send(&of("HEAD", "media", "k", &one), Sign::Header(&acme())).expect(200);
    assert_eq!(seen.header("x-amz-object-lock-retain-until-date"), Some(until));
    for (key, version) in [("k", &one), ("held", &two)] {
        let refused = client.send(&of("DELETE", "media", key, version), Sign::Header(&acme())).expect(403).text();
        assert!(refused.contains("AccessDenied"), "{refused}");
        // A marker may always come before it.
        client.delete(&acme(), "media", key).expect(204);
    }
    let off = Request::on("PUT", "media", "held").query("legal-hold", "").query("versionId", &two);
    client.send(&off.body("<LegalHold><Status>OFF</Status></LegalHold>"), Sign::Header(&acme())).expect(200);
    client.send(&of("DELETE", "media", "held", &two), Sign::Header(&acme())).expect(204);
    let shorter = "<Retention><Mode>COMPLIANCE</Mode><RetainUntilDate>2098-01-01T00:00:00Z</RetainUntilDate></Retention>";
    let retention = |document: &str| of("PUT", "media", "k", &one).query("retention", "").body(document);
    client.send(&retention(shorter), Sign::Header(&acme())).expect(403);
    client.send(&retention(&shorter.replace("2098", "2100")), Sign::Header(&acme())).expect(200);
    // The rule of the bucket is the upstream's.
    let rule = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>GOVERNANCE</Mode>\
                <Days>3</Days></DefaultRetention></Rule></ObjectLockConfiguration>";
    client.send(&Request::on("PUT", "media", "").query("object-lock", "").body(rule), Sign::Header(&acme())).expect(200);
    for (client, key, bucket) in [(&mut client, acme(), "media"), (&mut below, operator(), "tg-media")] {
        let said = client.send(&Request::on("GET", bucket, "").query("object-lock", ""), Sign::Header(&key)).expect(200).text();
        assert!(said.contains("<Days>3</Days>"), "{said}");
    }
    let by_rule = Request::on("PUT", "media", "by-rule").body(b"kept by the rule").content_md5();
    let three = id(&client.send(&by_rule, Sign::Header(&acme())).expect(200));
    client.send(&of("DELETE", "media", "by-rule", &three), Sign::Header(&acme())).expect(403);
    let bypass = of("DELETE", "media", "by-rule", &three).header("x-amz-bypass-governance-retention", "true");
    client.send(&bypass, Sign::Header(&acme())).expect(204);
    client.send(&versioning("media", "Suspended"), Sign::Header(&acme())).expect(409);
}

#[test]
fn what_an_upstream_lacks_is_said() {
    let below = Gateway::start();
    below.client().make_bucket(&operator(), HOME);
    let between = FaultyS3::start(below.address(Door::S3));
    // It knows of no versions.
    between.plan(Method::GET, "versioning", ALWAYS, Fault::Answer(501, "NotImplemented"));
    let mut setup = Setup::new();
    setup.upstream = Some(over(between.address, HOME));
    let gateway = setup.start();
    let mut client = gateway.client();
    let refused = client.send(&versioning(HOME, "Enabled"), Sign::Header(&operator())).expect(501).text();
    assert!(refused.contains("keeps no versions"), "{refused}");
    client.put(&operator(), HOME, "k", b"as ever").expect(200);
    assert_eq!(client.get(&operator(), HOME, "k").expect(200).header("x-amz-version-id"), None);
    client.send(&of("GET", HOME, "k", "some-id"), Sign::Header(&operator())).expect(404);
    assert_eq!(client.send(&of("GET", HOME, "k", "null"), Sign::Header(&operator())).expect(200).body, b"as ever");
    // It takes the wish and does nothing.
    let between = FaultyS3::start(below.address(Door::S3));
    let mut setup = Setup::new();
    setup.upstream = Some(over(between.address, HOME));
    let gateway = setup.start();
    between.plan(Method::PUT, "versioning", ALWAYS, Fault::Answer(200, ""));
    let refused = gateway.client().send(&versioning(HOME, "Enabled"), Sign::Header(&operator())).expect(501).text();
    assert!(refused.contains("keeps no versions"), "{refused}");
}
