//! Tags over an S3: they are the upstream's own, whoever sets them, and what can't keep them is given none.

use crate::support::client::{Client, Request, Sign};
use crate::support::gateway::{Gateway, HOME, Setup, acme, operator, over};
use crate::support::plain_s3::PlainS3;
use crate::support::signer::Key;

fn tags_of(client: &mut Client, key: &Key, bucket: &str, name: &str) -> String {
    let told = client.send(&Request::on("GET", bucket, name).query("tagging", ""), Sign::Header(key)).expect(200).xml("Tagging");
    let pair = |tag: &tidegate::http::xml::Element| format!("{}={}", tag.text_of("Key").unwrap(), tag.text_of("Value").unwrap());
    told.child("TagSet").unwrap().children.iter().map(pair).collect::<Vec<_>>().join("&")
}

fn count(client: &mut Client, name: &str) -> Option<String> {
    let head = client.send(&Request::on("HEAD", "media", name), Sign::Header(&acme())).expect(200);
    head.header("x-amz-tagging-count").map(str::to_owned)
}

const SET: &str = "<Tagging><TagSet><Tag><Key>set</Key><Value>1</Value></Tag></TagSet></Tagging>";

#[test]
fn they_are_the_upstreams_own() {
    let gateway = Gateway::start_over_another();
    let (mut client, mut below) = (gateway.client(), gateway.below().client());
    client.make_bucket(&acme(), "media");
    let put = |key: &str, len: usize| Request::on("PUT", "media", key).header("x-amz-tagging", "a=1").body(vec![b'x'; len]);
    client.send(&put("small", 10), Sign::Header(&acme())).expect(200);
    // It goes up in parts while it arrives.
    client.send(&put("large", 20 << 20), Sign::Header(&acme())).expect(200);
    let copy = Request::on("PUT", "media", "copy").header("x-amz-copy-source", "media/small");
    client.send(&copy, Sign::Header(&acme())).expect(200);
    for key in ["small", "large", "copy"] {
        assert_eq!(tags_of(&mut below, &operator(), HOME, &format!("media/{key}")), "a=1", "{key}");
        assert_eq!((tags_of(&mut client, &acme(), "media", key), count(&mut client, key)), ("a=1".into(), Some("1".into())), "{key}");
    }
    let replaced = copy.header("x-amz-tagging-directive", "REPLACE");
    client.send(&replaced, Sign::Header(&acme())).expect(200);
    assert_eq!((tags_of(&mut client, &acme(), "media", "copy"), count(&mut client, "copy")), (String::new(), None));

    let tagging = |method: &str| Request::on(method, "media", "small").query("tagging", "");
    client.send(&tagging("PUT").body(SET), Sign::Header(&acme())).expect(200);
    assert_eq!(tags_of(&mut below, &operator(), HOME, "media/small"), "set=1");
    // An ACL is set by a copy onto itself: the tags stay.
    let acl = Request::on("PUT", "media", "small").query("acl", "").header("x-amz-acl", "public-read");
    client.send(&acl, Sign::Header(&acme())).expect(200);
    assert_eq!(tags_of(&mut client, &acme(), "media", "small"), "set=1");
    // Whoever else sets them.
    let theirs = Request::on("PUT", HOME, "media/small").query("tagging", "").body(SET.replace("set", "theirs"));
    below.send(&theirs, Sign::Header(&operator())).expect(200);
    assert_eq!(tags_of(&mut client, &acme(), "media", "small"), "theirs=1");
    client.send(&tagging("DELETE"), Sign::Header(&acme())).expect(204);
    assert_eq!(tags_of(&mut below, &operator(), HOME, "media/small"), "");
    client.send(&Request::on("PUT", "media", "none").query("tagging", "").body(SET), Sign::Header(&acme())).refused(404, "NoSuchKey");
}

/// One object in two places has the tags that each was given.
#[test]
fn content_that_is_copied_brings_no_tags_along() {
    let gateway = Gateway::start_over_another();
    let mut client = gateway.client();
    client.make_bucket(&acme(), "media");
    let body = vec![b'y'; 2 << 20];
    for (key, tags) in [("one", "a=1"), ("two", "b=2"), ("three", "")] {
        let put = Request::on("PUT", "media", key).header("x-amz-tagging", tags).body(body.clone());
        client.send(&put, Sign::Header(&acme())).expect(200);
        assert_eq!(tags_of(&mut client, &acme(), "media", key), tags);
    }
}

#[test]
fn what_the_upstream_can_not_keep_is_refused() {
    let below = PlainS3::start(true);
    let mut setup = Setup::new();
    setup.upstream = Some(over(below.address, HOME));
    let gateway = setup.start();
    let mut client = gateway.client();
    client.make_bucket(&acme(), "media");
    client.put(&acme(), "media", "k", b"x").expect(200);
    let tagging = |method: &str| Request::on(method, "media", "k").query("tagging", "");
    let put = Request::on("PUT", "media", "tagged").header("x-amz-tagging", "a=1").body("x");
    let create = Request::on("POST", "media", "tagged").query("uploads", "").header("x-amz-tagging", "a=1");
    for request in [put, create, tagging("PUT").body(SET), tagging("GET"), tagging("DELETE")] {
        let refused = client.send(&request, Sign::Header(&acme())).refused(501, "NotImplemented");
        assert!(refused.text().contains("keeps no tags"), "{}", refused.text());
    }
    client.get(&acme(), "media", "tagged").expect(404);
    client.send(&Request::on("PUT", "media", "copy").header("x-amz-copy-source", "media/k"), Sign::Header(&acme())).expect(200);
}
