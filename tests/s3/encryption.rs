//! Server-side encryption through the door: what is asked for, what is told, what is refused.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tidegate::base::crypt::ring::{NamedKey, NamedKeys, Versions};
use tidegate::base::encryption::KeyName;
use tidegate::base::names::TenantId;
use tidegate::ingest::md5::Md5Hasher;
use tidegate::telemetry::metrics::Door;

use crate::support::client::{Answer, Client, Request, Sign, complete_document};
use crate::support::gateway::{Gateway, Setup, acme, bravo};

pub const SSE: &str = "x-amz-server-side-encryption";
pub const KEY_ID: &str = "x-amz-server-side-encryption-aws-kms-key-id";

pub fn keys() -> NamedKeys {
    let key = |byte: u8, tenants: Option<&str>| {
        let mut versions = Versions::default();
        versions.add(1, [byte; 32]);
        NamedKey { versions, tenants: tenants.map(|t| vec![TenantId::parse(t).unwrap()]) }
    };
    let name = |name: &str| KeyName::parse(name).unwrap();
    NamedKeys::new(BTreeMap::from([(name("open"), key(1, None)), (name("acmes"), key(2, Some("acme")))]))
}

fn gateway(over_http: bool) -> (Gateway, Client) {
    let mut setup = Setup::new();
    setup.store.encryption_keys = keys();
    setup.doors.encryption.customer_keys_over_http = over_http;
    setup.doors.encryption.block_customer_keys = false;
    let gateway = setup.start();
    let mut client = gateway.client();
    client.make_bucket(&acme(), "media");
    (gateway, client)
}

pub fn with(request: Request, headers: &[(&str, String)]) -> Request {
    headers.iter().fold(request, |request, (name, value)| request.header(name, value))
}

/// The three headers of a customer's key.
pub fn customer(byte: u8, prefix: &'static str) -> Vec<(&'static str, String)> {
    let name = |rest: &str| -> &'static str { format!("{prefix}server-side-encryption-customer-{rest}").leak() };
    let key = [byte; 32];
    vec![
        (name("algorithm"), "AES256".to_owned()),
        (name("key"), STANDARD.encode(key)),
        (name("key-md5"), STANDARD.encode(Md5Hasher::digest(&key).0)),
    ]
}

pub fn send(client: &mut Client, request: &Request) -> Answer {
    client.send(request, Sign::Header(&acme()))
}

pub fn put(key: &str) -> Request {
    Request::on("PUT", "media", key)
}

pub fn get(key: &str) -> Request {
    Request::on("GET", "media", key)
}

#[test]
fn sse_s3_and_kms_are_told_wherever_an_object_is() {
    let (_gateway, mut client) = gateway(false);
    is_told_wherever_an_object_is(&mut client, "acmes");
}

/// `key_name`: of `keys`. The bucket is `media`.
pub fn is_told_wherever_an_object_is(client: &mut Client, key_name: &str) {
    let body: Vec<u8> = (0..300_000_u32).map(|i| i as u8).collect();
    for (n, headers) in
        [vec![(SSE, "AES256".to_owned())], vec![(SSE, "aws:kms".to_owned()), (KEY_ID, key_name.to_owned())]].into_iter().enumerate()
    {
        let says = |answer: &Answer| {
            headers.iter().for_each(|(name, value)| assert_eq!(answer.header(name), Some(value.as_str()), "{name}"));
        };
        let key = format!("k{n}");
        let made = send(client, &with(put(&key).body(body.clone()), &headers)).expect(200);
        says(&made);
        assert_eq!(made.etag() == hex::encode(Md5Hasher::digest(&body).0), n == 0);
        for request in [get(&key), Request::on("HEAD", "media", &key), get(&key).header("range", "bytes=65000-66000")] {
            let answer = send(client, &request);
            says(&answer);
            assert_eq!(answer.header("etag"), made.header("etag"));
        }
        assert_eq!(send(client, &get(&key)).body, body);
        assert_eq!(send(client, &get(&key).header("range", "bytes=65000-66000")).expect(206).body, body[65000..=66000]);
        // A read that speaks of encryption is refused, as on S3.
        send(client, &get(&key).header(SSE, "AES256")).refused(400, "InvalidRequest");
        send(client, &with(get(&key), &customer(1, "x-amz-"))).refused(400, "InvalidRequest");
        let copy = with(put(&format!("copy{n}")).header("x-amz-copy-source", &format!("/media/{key}")), &headers);
        says(&send(client, &copy).expect(200));
        assert_eq!(send(client, &get(&format!("copy{n}"))).expect(200).body, body);
        let create = with(Request::on("POST", "media", "parts").query("uploads", ""), &headers);
        let begun = send(client, &create).expect(200);
        says(&begun);
        let upload = begun.xml("InitiateMultipartUploadResult").text_of("UploadId").unwrap().to_owned();
        let part = client.upload_part(&acme(), "media", "parts", &upload, 1, &body).expect(200);
        says(&part);
        let done = client.complete(&acme(), "media", "parts", &upload, &[(1, part.etag())]).expect(200);
        says(&done);
        assert_eq!(send(client, &get("parts")).expect(200).body, body);
    }
}

#[test]
fn what_can_not_be_is_refused() {
    let (_gateway, mut client) = gateway(true);
    let ask = |client: &mut Client, headers: &[(&str, String)]| send(client, &with(put("k").body("x"), headers));
    let text = |text: &str| text.to_owned();
    for (headers, status, code) in [
        (vec![(SSE, text("AES192"))], 400, "InvalidArgument"),
        (vec![(SSE, text("aws:kms:dsse")), (KEY_ID, text("open"))], 501, "NotImplemented"),
        (vec![(SSE, text("AES256")), (KEY_ID, text("open"))], 400, "InvalidArgument"),
        (vec![(KEY_ID, text("open"))], 400, "InvalidArgument"),
        (vec![(SSE, text("aws:kms"))], 400, "KMS.NotFoundException"),
        (vec![(SSE, text("aws:kms")), (KEY_ID, text("none"))], 400, "KMS.NotFoundException"),
        (
            vec![(SSE, text("aws:kms")), (KEY_ID, text("open")), ("x-amz-server-side-encryption-context", text("e1s="))],
            400,
            "InvalidArgument",
        ),
        ([customer(1, "x-amz-"), vec![(SSE, text("AES256"))]].concat(), 400, "InvalidArgument"),
        (customer(1, "x-amz-")[..1].to_vec(), 400, "InvalidArgument"),
        (customer(1, "x-amz-")[..2].to_vec(), 400, "InvalidArgument"),
        (customer(1, "x-amz-")[1..].to_vec(), 400, "InvalidArgument"),
        ([customer(1, "x-amz-")[..2].to_vec(), customer(2, "x-amz-")[2..].to_vec()].concat(), 400, "InvalidArgument"),
    ] {
        ask(&mut client, &headers).refused(status, code);
    }
    // A key of one tenant is to all others as if it was not there; who may not write is not told of keys.
    let kms = |key: &str| vec![(SSE, text("aws:kms")), (KEY_ID, text(key))];
    ask(&mut client, &kms("acmes")).expect(200);
    client.make_bucket(&bravo(), "bravos");
    let of_bravo = |client: &mut Client, bucket: &str, key: &str| {
        client.send(&with(Request::on("PUT", bucket, "k").body("x"), &kms(key)), Sign::Header(&bravo()))
    };
    of_bravo(&mut client, "bravos", "acmes").refused(400, "KMS.NotFoundException");
    of_bravo(&mut client, "bravos", "open").expect(200);
    of_bravo(&mut client, "media", "acmes").refused(403, "AccessDenied");
}

#[test]
fn customers_keys() {
    let (gateway, mut client) = gateway(true);
    open_what_lies_under_them(&gateway, &mut client);
}

pub fn open_what_lies_under_them(gateway: &Gateway, client: &mut Client) {
    let mine = customer(1, "x-amz-");
    for size in [0_usize, 1000, 200_000] {
        let body = vec![7; size];
        let made = send(client, &with(put("k").body(body.clone()), &mine)).expect(200);
        assert_eq!(made.header(mine[2].0), Some(mine[2].1.as_str()));
        assert_eq!(made.header(mine[1].0), None, "the key is in no answer");
        for method in ["GET", "HEAD"] {
            let ask = |headers: &[(&'static str, String)]| with(Request::on(method, "media", "k"), headers);
            assert_eq!(send(client, &ask(&[])).status, 400, "{method}");
            assert_eq!(send(client, &ask(&customer(2, "x-amz-"))).status, 403, "{method}");
            let answer = send(client, &ask(&mine)).expect(200);
            assert_eq!(answer.header(mine[2].0), Some(mine[2].1.as_str()));
        }
        assert_eq!(send(client, &with(get("k"), &mine)).expect(200).body, body);
    }
    let attributes = get("k").query("attributes", "").header("x-amz-object-attributes", "ObjectSize");
    send(client, &attributes.clone()).refused(400, "InvalidRequest");
    send(client, &with(attributes, &mine)).expect(200);
    // The edge door has no way to bring a key.
    let mut edge = Client::new(gateway.address(Door::Edge));
    assert_ne!(edge.send(&get("k"), Sign::Header(&acme())).status, 200);
    // Copies: from the key, to another.
    let copy = |to: &str| put(to).header("x-amz-copy-source", "/media/k");
    send(client, &copy("c")).refused(400, "InvalidRequest");
    let source = customer(1, "x-amz-copy-source-");
    send(client, &with(copy("plain"), &source)).expect(200);
    assert_eq!(send(client, &get("plain")).expect(200).body, vec![7; 200_000]);
    send(client, &with(with(copy("other"), &source), &customer(3, "x-amz-"))).expect(200);
    assert_eq!(send(client, &with(get("other"), &customer(3, "x-amz-"))).expect(200).body, vec![7; 200_000]);
    // Parts, all under the one key.
    let create = with(Request::on("POST", "media", "parts").query("uploads", ""), &mine);
    let upload = send(client, &create).expect(200).xml("InitiateMultipartUploadResult").text_of("UploadId").unwrap().to_owned();
    let part = |body: &str| Request::on("PUT", "media", "parts").query("partNumber", "1").query("uploadId", &upload).body(body);
    send(client, &part("x")).refused(400, "InvalidRequest");
    send(client, &with(part("x"), &customer(2, "x-amz-"))).refused(400, "InvalidRequest");
    let sent = send(client, &with(part("part"), &mine)).expect(200);
    assert_eq!(send(client, &with(part("part"), &mine)).expect(200).etag(), sent.etag(), "sent again");
    let complete = Request::on("POST", "media", "parts").query("uploadId", &upload).body(complete_document(&[(1, sent.etag())]));
    send(client, &complete.clone()).refused(400, "InvalidRequest");
    let done = send(client, &with(complete, &mine)).expect(200);
    assert_eq!(done.header(mine[2].0), Some(mine[2].1.as_str()));
    assert_eq!(send(client, &with(get("parts"), &mine)).expect(200).body, b"part");
}

#[test]
fn customers_keys_come_over_tls_and_where_the_bucket_takes_them() {
    let (_gateway, mut client) = gateway(false);
    send(&mut client, &with(put("k").body("x"), &customer(1, "x-amz-"))).refused(400, "InvalidRequest");
    let mut setup = Setup::new();
    setup.doors.encryption.customer_keys_over_http = true;
    let gateway = setup.start();
    let mut client = gateway.client();
    client.make_bucket(&acme(), "media");
    let set = |kind: &str| {
        let rule = format!("<Rule><BlockedEncryptionTypes><EncryptionType>{kind}</EncryptionType></BlockedEncryptionTypes></Rule>");
        let document = format!("<ServerSideEncryptionConfiguration>{rule}</ServerSideEncryptionConfiguration>");
        Request::on("PUT", "media", "").query("encryption", "").body(document)
    };
    let write = with(put("k").body("x"), &customer(1, "x-amz-"));
    send(&mut client, &write).refused(403, "AccessDenied");
    send(&mut client, &set("NONE")).expect(200);
    send(&mut client, &write).expect(200);
    let told = send(&mut client, &Request::on("GET", "media", "").query("encryption", "")).expect(200).text();
    assert!(told.contains("<EncryptionType>NONE</EncryptionType>"), "{told}");
    send(&mut client, &set("SSE-C")).expect(200);
    send(&mut client, &write).refused(403, "AccessDenied");
    send(&mut client, &with(get("k"), &customer(1, "x-amz-"))).expect(200);
}

#[test]
fn a_bucket_has_a_default() {
    let (_gateway, mut client) = gateway(true);
    let on = |method: &str| Request::on(method, "media", "").query("encryption", "");
    let set = |client: &mut Client, inner: &str| {
        let rule = format!("<Rule><ApplyServerSideEncryptionByDefault>{inner}</ApplyServerSideEncryptionByDefault></Rule>");
        let document = format!("<ServerSideEncryptionConfiguration>{rule}</ServerSideEncryptionConfiguration>");
        send(client, &on("PUT").body(document))
    };
    send(&mut client, &on("GET")).refused(404, "ServerSideEncryptionConfigurationNotFoundError");
    assert_eq!(send(&mut client, &put("before").body("x")).expect(200).header(SSE), None);
    set(&mut client, "<SSEAlgorithm>AES256</SSEAlgorithm>").expect(200);
    assert_eq!(send(&mut client, &put("k").body("x")).expect(200).header(SSE), Some("AES256"));
    assert_eq!(send(&mut client, &get("before")).expect(200).header(SSE), None);
    set(&mut client, "<SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>none</KMSMasterKeyID>").refused(400, "KMS.NotFoundException");
    set(&mut client, "<SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>acmes</KMSMasterKeyID>").expect(200);
    let made = send(&mut client, &put("k").body("x")).expect(200);
    assert_eq!((made.header(SSE), made.header(KEY_ID)), (Some("aws:kms"), Some("acmes")));
    // aws:kms without a key means the bucket's.
    assert_eq!(send(&mut client, &put("k").header(SSE, "aws:kms").body("x")).expect(200).header(KEY_ID), Some("acmes"));
    assert_eq!(send(&mut client, &put("k").header(SSE, "AES256").body("x")).expect(200).header(SSE), Some("AES256"));
    let upload = client.create_upload(&acme(), "media", "parts");
    let part = client.upload_part(&acme(), "media", "parts", &upload, 1, b"part").expect(200);
    assert_eq!(part.header(KEY_ID), Some("acmes"));
    client.complete(&acme(), "media", "parts", &upload, &[(1, part.etag())]).expect(200);
    assert_eq!(send(&mut client, &get("parts")).expect(200).body, b"part");
    client.send(&on("PUT").body("<X/>"), Sign::Header(&bravo())).refused(403, "AccessDenied");
    send(&mut client, &on("DELETE")).expect(204);
    send(&mut client, &on("GET")).refused(404, "ServerSideEncryptionConfigurationNotFoundError");
    assert_eq!(send(&mut client, &put("k").body("x")).expect(200).header(SSE), None);
}

#[test]
fn new_buckets_encrypt_where_a_setting_says_so_and_a_restart_reads_it_all() {
    let mut setup = Setup::new();
    setup.doors.encryption.new_buckets = true;
    let mut gateway = setup.start();
    let mut client = gateway.client();
    client.make_bucket(&acme(), "media");
    assert_eq!(send(&mut client, &put("k").body("x")).expect(200).header(SSE), Some("AES256"));
    gateway.restart(|_| ());
    let mut client = gateway.client();
    assert_eq!(send(&mut client, &get("k")).expect(200).body, b"x");
}
