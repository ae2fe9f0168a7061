//! Lifecycle rules through the door: kept as they came, refused as S3 refuses them, and told of objects that will go.

use tidegate::base::timestamp::Timestamp;

use crate::support::client::{Answer, Client, Request, Sign};
use crate::support::gateway::{Gateway, acme, bravo};

fn gateway() -> (Gateway, Client) {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    client.make_bucket(&acme(), "media");
    (gateway, client)
}

fn rules(client: &mut Client, rules: &str) -> Answer {
    let document = format!("<LifecycleConfiguration>{rules}</LifecycleConfiguration>");
    client.send(&Request::new("PUT", "/media").query("lifecycle", "").body(document), Sign::Header(&acme()))
}

const EXPIRES: &str =
    "<Rule><ID>old ones</ID><Filter><Prefix>tmp/</Prefix></Filter><Status>Enabled</Status><Expiration><Days>3</Days></Expiration></Rule>";

#[test]
fn rules_are_kept_until_they_are_removed() {
    let (_gateway, mut client) = gateway();
    let ask = |method: &str| Request::new(method, "/media").query("lifecycle", "");
    client.send(&ask("GET"), Sign::Header(&acme())).refused(404, "NoSuchLifecycleConfiguration");
    client.send(&ask("DELETE"), Sign::Header(&acme())).expect(204);
    rules(&mut client, EXPIRES).expect(200);
    let told = client.send(&ask("GET"), Sign::Header(&acme())).expect(200);
    assert!(told.text().contains(EXPIRES), "{}", told.text());
    assert_eq!(told.header("x-amz-transition-default-minimum-object-size"), Some("all_storage_classes_128K"));
    // What is refused changes nothing.
    rules(&mut client, &EXPIRES.repeat(2)).refused(400, "InvalidArgument");
    rules(&mut client, &EXPIRES.replace("<Days>3", "<Days>0")).refused(400, "InvalidArgument");
    rules(&mut client, &EXPIRES.replace("Enabled", "enabled")).refused(400, "MalformedXML");
    rules(&mut client, "").refused(400, "MalformedXML");
    assert_eq!(client.send(&ask("GET"), Sign::Header(&acme())).expect(200).text(), told.text());
    client.send(&ask("GET"), Sign::Header(&bravo())).refused(403, "AccessDenied");
    let varies = ask("PUT").body(told.text()).header("x-amz-transition-default-minimum-object-size", "varies_by_storage_class");
    client.send(&varies, Sign::Header(&acme())).expect(200);
    let varied = client.send(&ask("GET"), Sign::Header(&acme())).expect(200);
    assert_eq!(varied.header("x-amz-transition-default-minimum-object-size"), Some("varies_by_storage_class"));
    client.send(&ask("DELETE"), Sign::Header(&acme())).expect(204);
    client.send(&ask("GET"), Sign::Header(&acme())).refused(404, "NoSuchLifecycleConfiguration");
}

#[test]
fn objects_tell_when_they_go() {
    let (_gateway, mut client) = gateway();
    rules(&mut client, EXPIRES).expect(200);
    let put = Request::on("PUT", "media", "tmp/a").body("x");
    let told = client.send(&put, Sign::Header(&acme())).expect(200).header("x-amz-expiration").unwrap().to_owned();
    let (date, rule) = told.strip_prefix("expiry-date=\"").unwrap().split_once("\", rule-id=\"").unwrap();
    assert_eq!(rule, "old%20ones\"");
    let left = Timestamp::parse_http_date(date).unwrap().since(Timestamp::now()).as_secs();
    assert!((3 * 86_400 - 60..4 * 86_400).contains(&left), "{told}");
    for method in ["GET", "HEAD"] {
        let read = client.send(&Request::on(method, "media", "tmp/a"), Sign::Header(&acme())).expect(200);
        assert_eq!(read.header("x-amz-expiration"), Some(&*told));
    }
    let copy = Request::on("PUT", "media", "tmp/b").header("x-amz-copy-source", "media/tmp/a");
    assert!(client.send(&copy, Sign::Header(&acme())).expect(200).header("x-amz-expiration").is_some());
    let other = client.send(&Request::on("PUT", "media", "kept").body("x"), Sign::Header(&acme())).expect(200);
    assert_eq!(other.header("x-amz-expiration"), None);
    rules(&mut client, &EXPIRES.replace("Enabled", "Disabled")).expect(200);
    let kept = client.send(&Request::on("GET", "media", "tmp/a"), Sign::Header(&acme())).expect(200);
    assert_eq!(kept.header("x-amz-expiration"), None);
}

#[test]
fn what_a_rule_asks_for_by_tag_is_told_by_the_objects_tags() {
    for gateway in [Gateway::start(), Gateway::start_over_another()] {
        let mut client = gateway.client();
        client.make_bucket(&acme(), "media");
        let tag = "<Tag><Key>keep</Key><Value>no</Value></Tag>";
        rules(&mut client, &EXPIRES.replace("<Prefix>tmp/</Prefix>", tag)).expect(200);
        let put = |key: &str, tags: &str| Request::on("PUT", "media", key).header("x-amz-tagging", tags).body("x");
        let told = |answer: Answer| answer.expect(200).header("x-amz-expiration").is_some();
        let send = |client: &mut Client, request: &Request| client.send(request, Sign::Header(&acme()));
        assert!(told(send(&mut client, &put("goes", "keep=no&a=b"))));
        assert!(!told(send(&mut client, &put("stays", "keep=yes"))));
        assert!(!told(send(&mut client, &Request::on("PUT", "media", "plain").body("x"))));
        for method in ["GET", "HEAD"] {
            for (key, goes) in [("goes", true), ("stays", false), ("plain", false)] {
                assert_eq!(told(send(&mut client, &Request::on(method, "media", key))), goes, "{method} {key}");
            }
        }
        let copy = Request::on("PUT", "media", "copy").header("x-amz-copy-source", "media/goes");
        assert!(told(send(&mut client, &copy)));
        let retagged = format!("<Tagging><TagSet>{tag}</TagSet></Tagging>");
        send(&mut client, &Request::on("PUT", "media", "stays").query("tagging", "").body(retagged)).expect(200);
        assert!(told(send(&mut client, &Request::on("GET", "media", "stays"))));
        send(&mut client, &Request::on("DELETE", "media", "goes").query("tagging", "")).expect(204);
        assert!(!told(send(&mut client, &Request::on("GET", "media", "goes"))));
    }
}
