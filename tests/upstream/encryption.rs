//! Encryption over an S3: what is asked for is passed on, what it says is told, and a client's key stays nowhere.

use http::Method;
use tidegate::telemetry::metrics::Door;

use crate::s3::encryption::{KEY_ID, SSE, customer, get, is_told_wherever_an_object_is, keys, open_what_lies_under_them, put, send, with};
use crate::support::client::{Client, Request, Sign};
use crate::support::faulty_s3::{Fault, FaultyS3};
use crate::support::gateway::{Gateway, HOME, Setup, acme, operator, over};
use crate::upstream::own::own;

fn setup() -> Setup {
    let mut setup = Setup::new();
    setup.doors.encryption.customer_keys_over_http = true;
    setup.doors.encryption.block_customer_keys = false;
    setup
}

/// Below it an embedded store that has keys.
fn start(is_own: bool) -> (Gateway, Client) {
    let mut below = setup();
    below.store.encryption_keys = keys();
    let below = below.start();
    below.client().make_bucket(&operator(), HOME);
    let mut above = setup();
    let settings = over(below.address(Door::S3), HOME);
    above.upstream = Some(if is_own { own(settings) } else { settings });
    let gateway = above.start().standing_over(below);
    let mut client = gateway.client();
    client.make_bucket(&acme(), "media");
    (gateway, client)
}

#[test]
fn sse_s3_and_kms_are_the_upstreams() {
    let (gateway, mut client) = start(false);
    is_told_wherever_an_object_is(&mut client, "open");
    // It lies so there, whoever looks.
    let head = Request::on("HEAD", HOME, "media/k1");
    let there = gateway.below().client().send(&head, Sign::Header(&operator())).expect(200);
    assert_eq!((there.header(SSE), there.header(KEY_ID)), (Some("aws:kms"), Some("open")));
    // What the upstream refuses is refused.
    let none = with(put("k"), &[(SSE, "aws:kms".to_owned()), (KEY_ID, "none".to_owned())]);
    send(&mut client, &none.body("x")).refused(400, "KMS.NotFoundException");
}

#[test]
fn customers_keys_go_with_their_requests() {
    let (gateway, mut client) = start(false);
    open_what_lies_under_them(&gateway, &mut client);
    // In parts that this gateway cut.
    let mine = customer(9, "x-amz-");
    let large: Vec<u8> = (0..20_000_000_u32).map(|i| (i >> 3) as u8).collect();
    let made = send(&mut client, &with(put("large").body(large.clone()), &mine)).expect(200);
    assert!(made.etag().contains('-'), "{}", made.etag());
    send(&mut client, &get("large")).refused(400, "InvalidRequest");
    let range = with(get("large").header("range", "bytes=16777000-16778000"), &mine);
    assert_eq!(send(&mut client, &range).expect(206).body, large[16_777_000..=16_778_000]);
    assert!(send(&mut client, &with(get("large"), &mine)).expect(200).body == large);
    // Without it nothing can be changed of it either; it can be deleted.
    send(&mut client, &put("large").query("acl", "").header("x-amz-acl", "public-read")).refused(400, "InvalidRequest");
    send(&mut client, &Request::on("DELETE", "media", "large")).expect(204);
    send(&mut client, &get("large")).refused(404, "NoSuchKey");
}

/// An answer that breaks off is resumed with the key; one that was lost is looked for with it.
#[test]
fn bad_days_need_the_key_too() {
    let mut below = setup();
    below.store.encryption_keys = keys();
    let below = below.start();
    below.client().make_bucket(&operator(), HOME);
    let between = FaultyS3::start(below.address(Door::S3));
    let mut above = setup();
    above.upstream = Some(over(between.address, HOME));
    let above = above.start();
    let mut client = above.client();
    client.make_bucket(&acme(), "media");
    let (mine, body) = (customer(4, "x-amz-"), vec![5; 500_000]);
    between.plan(Method::PUT, "media/k", 1, Fault::LoseAnswer);
    let once = with(put("k").header("if-none-match", "*").body(body.clone()), &mine);
    send(&mut client, &once).expect(200);
    between.plan(Method::GET, "media/k", 2, Fault::CutAnswer(100_000));
    assert!(send(&mut client, &with(get("k"), &mine)).expect(200).body == body);
}

#[test]
fn over_plain_http_no_key_is_sent() {
    let below = Gateway::start();
    below.client().make_bucket(&operator(), HOME);
    let mut above = setup();
    above.upstream = Some(tidegate::upstream::Settings { sends_customer_keys: false, ..over(below.address(Door::S3), HOME) });
    let above = above.start();
    let mut client = above.client();
    client.make_bucket(&acme(), "media");
    let refused = send(&mut client, &with(put("k").body("x"), &customer(1, "x-amz-"))).refused(501, "NotImplemented").text();
    assert!(refused.contains("without TLS"), "{refused}");
}

#[test]
fn a_bucket_of_its_own_says_how_it_encrypts() {
    let (gateway, mut client) = start(true);
    let on = |method: &str| Request::on(method, "media", "").query("encryption", "");
    let rule = |algorithm: &str, key: &str| {
        format!(
            "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>{algorithm}</SSEAlgorithm>{key}\
             </ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>"
        )
    };
    send(&mut client, &on("GET")).refused(404, "ServerSideEncryptionConfigurationNotFoundError");
    send(&mut client, &on("PUT").body(rule("aws:kms", "<KMSMasterKeyID>open</KMSMasterKeyID>"))).expect(200);
    let told = send(&mut client, &on("GET")).expect(200).text();
    assert!(told.contains("<KMSMasterKeyID>open<"), "{told}");
    // Nothing is asked for, and the answer tells what it became.
    let made = send(&mut client, &put("k").body("x")).expect(200);
    assert_eq!((made.header(SSE), made.header(KEY_ID)), (Some("aws:kms"), Some("open")));
    assert_eq!(send(&mut client, &get("k")).expect(200).header(KEY_ID), Some("open"));
    send(&mut client, &on("PUT").body(rule("aws:kms", "<KMSMasterKeyID>none</KMSMasterKeyID>"))).refused(400, "InvalidArgument");
    send(&mut client, &on("DELETE")).expect(204);
    send(&mut client, &on("GET")).refused(404, "ServerSideEncryptionConfigurationNotFoundError");
    // A folder can't: its bucket upstream has others in it.
    let mut setup = setup();
    setup.upstream = Some(over(gateway.below().address(Door::S3), HOME));
    let folders = setup.start();
    let mut client = folders.client();
    client.make_bucket(&acme(), "folder");
    let set = Request::on("PUT", "folder", "").query("encryption", "").body(rule("AES256", ""));
    let refused = client.send(&set, Sign::Header(&acme())).refused(501, "NotImplemented").text();
    assert!(refused.contains("upstream.buckets"), "{refused}");
}
