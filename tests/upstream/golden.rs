//! Two releases over one bucket: what an older gateway left there is served (tests/golden/bucket), and what a newer one wrote survives
//! a change by this one.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tidegate::base::fields::{Fields, Tag, Unknown};
use tidegate::base::names::TenantId;
use tidegate::base::object::{CannedAcl, UnknownOfBucket};
use tidegate::base::seal::{Purpose, Sealer};
use tidegate::telemetry::metrics::Door;
use tidegate::upstream::info::seal_place;
use tidegate::upstream::known::Known;
use tidegate::upstream::stored;

use crate::support::client::{Client, Request, Sign};
use crate::support::gateway::{Gateway, HOME, Setup, acme, bravo, files_under, operator, over};

const STATE: &str = ".tidegate/";

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/bucket")
}

fn sealer() -> Sealer {
    Sealer::new(operator().secret.as_bytes(), Purpose::Upstream).unwrap()
}

/// With the records and objects of the older gateway.
fn bucket_of_before() -> Gateway {
    let below = Gateway::start();
    let mut client = below.client();
    client.make_bucket(&operator(), HOME);
    for file in files_under(&golden()).into_iter().filter(|f| f.extension().is_none()) {
        let name = file.strip_prefix(golden()).unwrap().to_str().unwrap();
        client.put(&operator(), HOME, &format!("{STATE}{name}"), &std::fs::read(&file).unwrap()).expect(200);
    }
    let objects: serde_json::Value = serde_json::from_slice(&std::fs::read(golden().join("objects.json")).unwrap()).unwrap();
    for object in objects.as_array().unwrap() {
        let key = object["key"].as_str().unwrap();
        let Some(body) = body_of(key) else { continue };
        let mut put = Request::on("PUT", HOME, key).header("content-type", object["content_type"].as_str().unwrap()).body(body);
        for (name, value) in object["metadata"].as_object().unwrap() {
            put = put.header(&format!("x-amz-meta-{name}"), value.as_str().unwrap());
        }
        client.send(&put, Sign::Header(&operator())).expect(200);
    }
    below
}

fn body_of(key: &str) -> Option<Vec<u8>> {
    Some(match key {
        "media/inline" => b"inline body".to_vec(),
        "media/file" | "media/copy" => vec![b'f'; 2000],
        "media/multipart" => vec![b'm'; 3000],
        "media/bravo/object" => b"of another tenant".to_vec(),
        "media/empty" => Vec::new(),
        _ => return None,
    })
}

fn over_home(below: &Gateway) -> Gateway {
    let mut setup = Setup::new();
    setup.upstream = Some(over(below.address(Door::S3), HOME));
    setup.start()
}

fn acl(client: &mut Client, key: &str) -> String {
    client.send(&Request::on("GET", "media", key).query("acl", ""), Sign::Header(&operator())).expect(200).text()
}

fn set_acl(client: &mut Client, key: &str, acl: &str) {
    let set = Request::on("PUT", "media", key).query("acl", "").header("x-amz-acl", acl);
    client.send(&set, Sign::Header(&operator())).expect(200);
}

fn sealed_value(below: &Gateway, key: &str) -> String {
    let head = below.client().send(&Request::on("HEAD", HOME, key), Sign::Header(&operator())).expect(200);
    head.header("x-amz-meta-tidegate").unwrap().to_owned()
}

#[test]
fn what_an_older_gateway_left_is_served() {
    let below = bucket_of_before();
    let above = over_home(&below);
    let mut client = above.client();
    for (key, owner) in [("inline", "acme"), ("file", "acme"), ("copy", "acme"), ("multipart", "acme"), ("bravo/object", "bravo")] {
        let body = body_of(&format!("media/{key}")).unwrap();
        assert_eq!(client.get(&operator(), "media", key).expect(200).body, body);
        assert!(acl(&mut client, key).contains(&format!("<ID>{owner}</ID>")), "{key}");
    }
    let anyone = |client: &mut Client, key| client.send(&Request::on("GET", "media", key), Sign::No).status;
    assert_eq!([anyone(&mut client, "inline"), anyone(&mut client, "file"), anyone(&mut client, "multipart")], [200, 403, 200]);
    client.get(&bravo(), "media", "bravo/object").expect(200);
    for (document, says) in [("policy", "\"Bravo\""), ("cors", "https://example.com"), ("location", "eu-west-1")] {
        let answer = client.send(&Request::new("GET", "/media").query(document, ""), Sign::Header(&acme())).expect(200);
        assert!(answer.text().contains(says), "{document}");
    }
    set_acl(&mut client, "inline", "private");
    assert_eq!(anyone(&mut client, "inline"), 403);
    assert!(acl(&mut client, "inline").contains("<ID>acme</ID>"));
}

/// A seal as a newer release would have made it.
fn put_sealed(below: &Gateway, key: &str, known: &Known) {
    let full = format!("media/{key}");
    let sealed = sealer().seal(&seal_place(HOME, &full, Some(4)), &stored::write_seal(known).unwrap()).unwrap();
    let put = Request::on("PUT", HOME, &full).header("x-amz-meta-tidegate", &URL_SAFE_NO_PAD.encode(sealed)).body("body");
    below.client().send(&put, Sign::Header(&operator())).expect(200);
}

fn seal_there(below: &Gateway, key: &str) -> Known {
    let full = format!("media/{key}");
    let sealed = URL_SAFE_NO_PAD.decode(sealed_value(below, &full)).unwrap();
    stored::read_seal(&sealer().open(&seal_place(HOME, &full, Some(4)), &sealed).unwrap()).unwrap()
}

#[test]
fn objects_of_a_newer_gateway_keep_owner_acl_and_all_that_it_wrote() {
    let below = bucket_of_before();
    let above = over_home(&below);
    let mut client = above.client();
    let of_bravo = Known::of(TenantId::parse("bravo").unwrap(), CannedAcl::PublicRead.into());
    let fields = Fields::default().with(Tag::new(700).travels(), b"label".to_vec()).with(Tag::new(701), b"lock".to_vec());
    put_sealed(&below, "fields", &Known { unknown: Unknown { fields: fields.clone(), newer: None }, ..of_bravo.clone() });
    let newer = Some((7, b"whatever it is".to_vec()));
    put_sealed(&below, "version", &Known { unknown: Unknown { fields: Fields::default(), newer }, ..of_bravo.clone() });
    for key in ["fields", "version"] {
        assert_eq!(client.send(&Request::on("GET", "media", key), Sign::No).expect(200).body, b"body");
        assert!(acl(&mut client, key).contains("<ID>bravo</ID>"), "{key}");
        let before = seal_there(&below, key);
        set_acl(&mut client, key, "private");
        client.send(&Request::on("GET", "media", key), Sign::No).refused(403, "AccessDenied");
        let after = seal_there(&below, key);
        assert_eq!((after.owner.as_str(), after.acl.clone()), ("bravo", CannedAcl::Private.into()));
        assert_eq!(after.unknown, before.unknown, "{key}");
    }
    let copy = Request::on("PUT", "media", "a copy").header("x-amz-copy-source", "/media/fields");
    client.send(&copy, Sign::Header(&operator())).expect(200);
    assert_eq!(seal_there(&below, "a copy").unknown.fields, fields.of_copy(), "the lock is of the one object alone");
    // What can't be understood without it is not touched.
    let needed = Fields::default().with(Tag::new(702).needed(), b"key".to_vec());
    put_sealed(&below, "needed", &Known { unknown: Unknown { fields: needed, newer: None }, ..of_bravo });
    client.get(&operator(), "media", "needed").refused(503, "ServiceUnavailable");
    let set = Request::on("PUT", "media", "needed").query("acl", "").header("x-amz-acl", "private");
    client.send(&set, Sign::Header(&operator())).refused(503, "ServiceUnavailable");
}

#[test]
fn a_bucket_of_a_newer_gateway_keeps_the_documents_that_are_not_known_here() {
    let below = bucket_of_before();
    let path = "buckets/media";
    let record = |below: &Gateway| {
        let sealed = below.client().get(&operator(), HOME, &format!("{STATE}{path}")).expect(200).body;
        stored::read_bucket(&sealer().open(path, &sealed).unwrap()).unwrap().0
    };
    let mut bucket = record(&below);
    let fields = Fields::default().with(Tag::new(703), vec![1]);
    bucket.unknown = UnknownOfBucket { documents: [(77, b"<Later/>".to_vec())].into(), fields };
    let sealed = sealer().seal(path, &stored::write_bucket(&bucket, None).unwrap()).unwrap();
    below.client().put(&operator(), HOME, &format!("{STATE}{path}"), &sealed).expect(200);
    let above = over_home(&below);
    above.client().send(&Request::new("DELETE", "/media").query("cors", ""), Sign::Header(&acme())).expect(204);
    let after = record(&below);
    assert_eq!((after.documents.len(), &after.unknown), (bucket.documents.len() - 1, &bucket.unknown));
}
