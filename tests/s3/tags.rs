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
