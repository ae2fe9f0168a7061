//! Files in forms, as browsers send them: what is stored, what is answered, and what no form gets past its policy.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidegate::telemetry::log::Format;

use crate::support::client::{Answer, Client, Request, Sign};
use crate::support::form::{BOUNDARY, Form, Version};
use crate::support::gateway::{Gateway, Setup, acme, bravo, operator};
use crate::support::signer::sha256_hex;

fn started(setup: Setup) -> (Gateway, Client) {
    let gateway = setup.start();
    let mut client = gateway.client();
    client.make_bucket(&acme(), "media");
    (gateway, client)
}

fn gateway() -> (Gateway, Client) {
    started(Setup::new())
}

fn post(client: &mut Client, form: &Form) -> Answer {
    client.send(&form.request(), Sign::No)
}

fn signed(client: &mut Client, form: Form) -> Answer {
    post(client, &form.signed(&acme(), Version::V4))
}

fn get(client: &mut Client, key: &str) -> Answer {
    client.get(&acme(), "media", key)
}

#[test]
fn a_form_is_stored_as_it_says() {
    let mut setup = Setup::new();
    setup.access_log = Some(Format::Json);
    let (gateway, mut client) = started(setup);
    for (version, key) in [(Version::V4, "up/${filename}"), (Version::V2, "old/ü ${filename}")] {
        let tags = "<Tagging><TagSet><Tag><Key>a</Key><Value>1 2</Value></Tag></TagSet></Tagging>";
        let form = Form::new("media", key, "content")
            .field("Content-Type", "image/png")
            .field("Cache-Control", "max-age=60")
            .field("x-amz-meta-Uuid", "14")
            .field("tagging", tags)
            .field("acl", "private")
            .uncovered("x-ignore-note", "anything");
        let answer = post(&mut client, &form.signed(&acme(), version)).expect(204);
        let key = key.replace("${filename}", "photo.png");
        let encoded = key.replace('/', "%2F").replace(' ', "%20").replace('ü', "%C3%BC");
        assert_eq!(answer.header("location"), Some(&*format!("http://{}/media/{encoded}", client.host)));
        let stored = get(&mut client, &key).expect(200);
        assert_eq!((stored.text(), stored.etag()), ("content".into(), answer.etag()));
        let header = |name: &str| stored.header(name).map(str::to_owned);
        assert_eq!(header("content-type").as_deref(), Some("image/png"));
        assert_eq!(header("cache-control").as_deref(), Some("max-age=60"));
        assert_eq!(header("x-amz-meta-uuid").as_deref(), Some("14"));
        assert_eq!(header("x-amz-tagging-count").as_deref(), Some("1"));
    }
    post(&mut client, &Form::new("media", "up/refused", "x")).refused(403, "AccessDenied");
    let deadline = Instant::now() + Duration::from_secs(30);
    let posts = loop {
        let log = std::fs::read_to_string(gateway.access_log()).unwrap_or_default();
        let whole = log.rfind('\n').map_or("", |end| &log[..end]);
        let lines = whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let posts: Vec<Value> = lines.filter(|line| line["operation"] == "REST.POST.OBJECT").collect();
        if posts.len() == 3 {
            break posts;
        }
        assert!(Instant::now() < deadline, "{log}");
        std::thread::sleep(Duration::from_millis(20));
    };
    let told =
        |line: &Value| format!("{} {} {} {} {}", line["key"], line["requester"], line["signature_version"], line["status"], line["bucket"]);
    let told: BTreeSet<String> = posts.iter().map(told).collect();
    let expected = [
        r#""up/photo.png" "acme" "SigV4" 204 "media""#,
        r#""old/ü photo.png" "acme" "SigV2" 204 "media""#,
        r#""up/refused" null null 403 "media""#,
    ];
    assert_eq!(told, expected.map(str::to_owned).into());
}

#[test]
fn what_is_answered() {
    let (_gateway, mut client) = gateway();
    let with = |name: &str, value: &str| Form::new("media", "a b", "abc").field(name, value);
    for (status, expected) in [("200", 200), ("204", 204), ("404", 204), ("", 204)] {
        assert!(signed(&mut client, with("success_action_status", status)).expect(expected).body.is_empty());
    }
    let told = signed(&mut client, with("success_action_status", "201")).expect(201);
    let document = told.xml("PostResponse");
    assert_eq!(document.text_of("Key"), Some("a b"));
    assert_eq!(document.text_of("Bucket"), Some("media"));
    assert_eq!(document.text_of("ETag"), told.header("etag"));
    assert_eq!(document.text_of("Location"), told.header("location"));
    let etag = told.etag();
    for name in ["success_action_redirect", "redirect"] {
        let told = signed(&mut client, with(name, "https://app.test/done?x=1")).expect(303);
        let expected = format!("https://app.test/done?x=1&bucket=media&key=a%20b&etag=%22{etag}%22");
        assert_eq!(told.header("location"), Some(&*expected));
    }
    let told = signed(&mut client, with("redirect", "javascript:alert(1)").field("success_action_status", "200")).expect(200);
    assert!(told.header("location").unwrap().starts_with("http://127.0.0.1"));
    // A header can't be begun in a redirect.
    let told = signed(&mut client, with("redirect", "http://app.test/\r\nset-cookie: a=b"));
    assert_eq!((told.status, told.header("set-cookie")), (204, None));
}

#[test]
fn what_a_policy_does_not_speak_of_is_refused() {
    let (_gateway, mut client) = gateway();
    client.make_bucket(&acme(), "other");
    let form = || Form::new("media", "user/a", "content");
    let mut denied = |form: Form, why: &str| {
        let answer = signed(&mut client, form).refused(403, "AccessDenied");
        assert!(answer.text().contains(&format!("<Message>Invalid according to Policy: {why}")), "{}", answer.text());
    };
    denied(form().uncovered("Expires", "0"), "Extra input fields: expires");
    denied(form().uncovered("x-amz-meta-a", "0"), "Extra input fields: x-amz-meta-a");
    denied(form().uncovered("x-amz-checksum-crc32", "AAAAAA=="), "Extra input fields: x-amz-checksum-crc32");
    denied(form().condition(json!(["starts-with", "$key", "other/"])), "Policy Condition failed: [&quot;starts-with&quot;");
    denied(Form { expires: -1, ..form() }, "Policy expired.");
    denied(Form { bucket: "other".into(), ..form() }, "Policy Condition failed");
    denied(Form { bucket: "other".into(), ..form() }.uncovered("bucket", "media"), "Policy Condition failed");
    let mut no_bucket = form();
    no_bucket.conditions.remove(0);
    denied(no_bucket, "Extra input fields: bucket");
    // What the signer may not do, no form of it may.
    post(&mut client, &form().signed(&bravo(), Version::V4)).refused(403, "AccessDenied");
    get(&mut client, "user/a").refused(404, "NoSuchKey");
    // A value is what was signed: the same field once more is another form.
    signed(&mut client, form().uncovered("KEY", "user/b")).refused(400, "InvalidArgument");
}

#[test]
fn a_range_holds_while_the_file_streams() {
    let (_gateway, mut client) = gateway();
    let of = |size: usize, range: Value| Form::new("media", "k", vec![b'x'; size]).condition(range);
    let range = || json!(["content-length-range", 5, 3_000_000]);
    let small = signed(&mut client, of(4, range())).refused(400, "EntityTooSmall").xml("Error");
    assert_eq!((small.text_of("ProposedSize"), small.text_of("MinSizeAllowed")), (Some("4"), Some("5")));
    let large = signed(&mut client, of(3_000_001, range())).refused(400, "EntityTooLarge").xml("Error");
    assert_eq!(large.text_of("MaxSizeAllowed"), Some("3000000"));
    client.reconnect();
    get(&mut client, "k").refused(404, "NoSuchKey");
    signed(&mut client, of(5, range())).expect(204);
    signed(&mut client, of(3_000_000, range())).expect(204);
    assert_eq!(get(&mut client, "k").expect(200).body.len(), 3_000_000);
    signed(&mut client, of(0, json!(["content-length-range", "0", "0"]))).expect(204);
    signed(&mut client, of(1, json!(["content-length-range", 0, 0]))).refused(400, "EntityTooLarge");
    for bad in [json!(["content-length-range", -1, 0]), json!(["content-length-range", 0])] {
        signed(&mut client, of(1, bad)).refused(400, "InvalidPolicyDocument");
    }
}

/// On both kinds of store, and whatever looks like a boundary in it.
#[test]
fn a_large_file_comes_whole() {
    let mut content: Vec<u8> = (0..6_000_000u32).flat_map(|n| [n as u8, (n >> 8) as u8]).collect();
    for at in (0..content.len() - 100).step_by(65_521) {
        let like = format!("\r\n--{}", &BOUNDARY[..BOUNDARY.len() - 1]);
        content[at..at + like.len()].copy_from_slice(like.as_bytes());
    }
    for gateway in [Gateway::start(), Gateway::start_over_another()] {
        let mut client = gateway.client();
        client.make_bucket(&acme(), "media");
        post(&mut client, &Form::new("media", "large", content.clone()).signed(&acme(), Version::V4)).expect(204);
        let stored = get(&mut client, "large").expect(200);
        assert_eq!(sha256_hex(&stored.body), sha256_hex(&content));
        post(&mut client, &Form::new("media", "small", "x").field("x-amz-meta-a", "b").signed(&acme(), Version::V4)).expect(204);
        assert_eq!(get(&mut client, "small").expect(200).header("x-amz-meta-a"), Some("b"));
    }
}

#[test]
fn who_signs_nothing_is_anonymous() {
    let (_gateway, mut client) = gateway();
    let form = || Form::new("open", "k", "anybody's").uncovered("anything", "goes").uncovered("success_action_status", "201");
    let open = Request::new("PUT", "/open").header("x-amz-acl", "public-read-write").header("x-amz-object-ownership", "ObjectWriter");
    client.send(&open, Sign::Header(&acme())).expect(200);
    post(&mut client, &form()).expect(201);
    post(&mut client, &Form::new("media", "k", "x")).refused(403, "AccessDenied");
    post(&mut client, &Form::new("nowhere", "k", "x")).refused(404, "NoSuchBucket");
    // No part of a signature is a form without one.
    post(&mut client, &form().uncovered("policy", "e30=")).refused(403, "AccessDenied");
    for part in ["X-Amz-Signature", "x-amz-credential", "X-Amz-Date", "x-amz-algorithm", "AWSAccessKeyId", "signature"] {
        post(&mut client, &form().uncovered(part, "x")).refused(400, "InvalidArgument");
    }
    let mut stripped = form().signed(&acme(), Version::V4);
    stripped.fields.retain(|(name, _)| name != "Policy");
    post(&mut client, &stripped).refused(400, "InvalidArgument");
}

#[test]
fn the_request_itself_says_nothing_of_the_object() {
    let (_gateway, mut client) = gateway();
    let request = || Form::new("media", "k", "content").signed(&acme(), Version::V4).request();
    for (name, value, status, code) in [
        ("x-amz-acl", "public-read", 400, "InvalidRequest"),
        ("x-amz-meta-a", "1", 400, "InvalidRequest"),
        ("x-amz-tagging", "a=1", 400, "InvalidRequest"),
        ("if-none-match", "*", 501, "NotImplemented"),
        ("x-amz-server-side-encryption", "AES256", 400, "InvalidRequest"),
    ] {
        client.send(&request().header(name, value), Sign::No).refused(status, code);
    }
    client.send(&request(), Sign::Header(&acme())).refused(400, "InvalidArgument");
    client.send(&request(), Sign::Presigned(&acme())).refused(400, "InvalidArgument");
    get(&mut client, "k").refused(404, "NoSuchKey");
    // The file's own type, and what a browser adds.
    client
        .send(&request().header("x-amz-user-agent", "a").header("cache-control", "no-cache").header("origin", "https://a.test"), Sign::No)
        .expect(204);
    let stored = get(&mut client, "k").expect(200);
    assert_eq!((stored.header("cache-control"), stored.header("x-amz-meta-a")), (None, None));
    assert_ne!(stored.header("content-type"), Some("image/png"));
}

#[test]
fn bodies_that_are_no_form() {
    let (_gateway, mut client) = gateway();
    let form = Form::new("media", "k", "x").signed(&acme(), Version::V4);
    let of = |content_type: &str, body: Vec<u8>| Request::new("POST", "/media").header("content-type", content_type).body(body);
    let multipart = format!("multipart/form-data; boundary={BOUNDARY}");
    client.send(&of("application/x-www-form-urlencoded", b"key=k".to_vec()), Sign::No).refused(412, "PreconditionFailed");
    client.send(&Request::new("POST", "/media"), Sign::No).refused(412, "PreconditionFailed");
    client.send(&of("multipart/form-data", form.body()), Sign::No).refused(400, "MalformedPOSTRequest");
    client.send(&of(&multipart, Vec::new()), Sign::No).refused(400, "MalformedPOSTRequest");
    let whole = form.body();
    let end = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"submit\"");
    let cut = whole.len() - whole.windows(end.len()).rev().position(|w| w == end.as_bytes()).unwrap() - end.len();
    client.send(&of(&multipart, whole[..cut].to_vec()), Sign::No).refused(400, "MalformedPOSTRequest");
    let no_file = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nk\r\n--{BOUNDARY}--\r\n");
    client.send(&of(&multipart, no_file.into()), Sign::No).refused(400, "InvalidArgument");
    let long = form.clone().uncovered("x-ignore-a", &"a".repeat(20_480));
    post(&mut client, &long).refused(400, "MaxPostPreDataLengthExceededError");
    client.reconnect();
    let mut no_key = form;
    no_key.fields.remove(0);
    let told = post(&mut client, &no_key).refused(400, "InvalidArgument").text();
    assert!(told.contains("must contain a field named 'key'"), "{told}");
    post(&mut client, &Form::new("media", "", "x")).refused(400, "InvalidArgument");
    post(&mut client, &Form::new("media", &"k".repeat(1025), "x")).refused(400, "KeyTooLongError");
    client.send(&Form { bucket: "media/k".into(), ..Form::new("media", "k", "x") }.request(), Sign::No).refused(405, "MethodNotAllowed");
    get(&mut client, "k").refused(404, "NoSuchKey");
}

#[test]
fn a_form_is_a_write_like_any_other() {
    let mut setup = Setup::new();
    setup.tenant("small", "bytes = 10", &[("AKSMALL", "small-secret", "")]);
    setup.auth.domains = vec!["s3.test".into()];
    let (_gateway, mut client) = started(setup);
    // Checksums.
    let right = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
    let form = |sum: &str| Form::new("media", "sum", "abc").field("x-amz-checksum-sha256", sum);
    let told = signed(&mut client, form(right)).expect(204);
    assert_eq!(told.header("x-amz-checksum-sha256"), Some(right));
    signed(&mut client, form("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")).refused(400, "BadDigest");
    signed(&mut client, form("sailorjerry")).refused(400, "InvalidRequest");
    let told = signed(&mut client, Form::new("media", "sum", "abc").field("x-amz-checksum-algorithm", "SHA256")).expect(204);
    assert_eq!(told.header("x-amz-checksum-sha256"), Some(right));
    // Limits of the tenant.
    let small = crate::support::signer::Key::new("AKSMALL", "small-secret");
    client.make_bucket(&small, "tiny");
    post(&mut client, &Form::new("tiny", "k", "12345678901").signed(&small, Version::V4)).refused(403, "QuotaExceeded");
    post(&mut client, &Form::new("tiny", "k", "1234567890").signed(&small, Version::V2)).expect(204);
    // Versions and locks.
    let made = Request::new("PUT", "/kept").header("x-amz-bucket-object-lock-enabled", "true");
    client.send(&made, Sign::Header(&acme())).expect(200);
    let locked = Form::new("kept", "k", "abc")
        .field("x-amz-object-lock-mode", "GOVERNANCE")
        .field("x-amz-object-lock-retain-until-date", "2099-01-01T00:00:00Z");
    signed(&mut client, locked.clone()).refused(400, "InvalidRequest");
    let told = signed(&mut client, locked.field("x-amz-checksum-sha256", right)).expect(204);
    let version = told.header("x-amz-version-id").unwrap().to_owned();
    let delete = Request::on("DELETE", "kept", "k").query("versionId", &version);
    client.send(&delete, Sign::Header(&acme())).refused(403, "AccessDenied");
    // What is not done yet is not left undone.
    signed(&mut client, Form::new("media", "k", "x").field("x-amz-storage-class", "COLD")).refused(400, "InvalidStorageClass");
    signed(&mut client, Form::new("media", "k", "x").field("acl", "public")).refused(400, "InvalidArgument");
    signed(&mut client, Form::new("media", "k", "x").field("tagging", "a=1")).refused(400, "MalformedXML");
    signed(&mut client, Form::new("media", "k", "x").field("x-amz-meta-a", "one\ntwo")).refused(400, "InvalidArgument");
    // A bucket in the host.
    let form = Form::new("media", "in/host", "x").field("success_action_status", "201").signed(&acme(), Version::V4);
    let mut request = form.request();
    request.path = "/".into();
    client.host = "media.s3.test".into();
    assert_eq!(client.send(&request, Sign::No).expect(201).header("location"), Some("http://media.s3.test/in%2Fhost"));
}

/// Policies can tell a form from other requests, and see what its fields ask for.
#[test]
fn bucket_policies_see_a_form() {
    let (_gateway, mut client) = gateway();
    let policy = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": { "AWS": "bravo" }, "Action": "s3:PutObject", "Resource": "arn:aws:s3:::media/in/*",
        "Condition": { "StringEquals": { "s3:authType": "POST", "s3:x-amz-acl": "private" } },
    }]});
    client.send(&Request::new("PUT", "/media").query("policy", "").body(policy.to_string()), Sign::Header(&acme())).expect(204);
    let by_bravo = |form: Form, version| form.signed(&bravo(), version);
    for version in [Version::V2, Version::V4] {
        post(&mut client, &by_bravo(Form::new("media", "in/k", "x").field("acl", "private"), version)).expect(204);
        post(&mut client, &by_bravo(Form::new("media", "in/k", "x"), version)).refused(403, "AccessDenied");
        post(&mut client, &by_bravo(Form::new("media", "out/k", "x").field("acl", "private"), version)).refused(403, "AccessDenied");
    }
    let put = Request::on("PUT", "media", "in/k").header("x-amz-acl", "private").body("x");
    client.send(&put, Sign::Header(&bravo())).refused(403, "AccessDenied");
}

#[test]
fn signature_version_2_by_its_switch_alone() {
    let mut setup = Setup::new();
    setup.auth.sigv2_presigned = false;
    let (_gateway, mut client) = started(setup);
    post(&mut client, &Form::new("media", "k", "x").signed(&acme(), Version::V2)).refused(400, "InvalidRequest");
    post(&mut client, &Form::new("media", "k", "x").signed(&operator(), Version::V4)).expect(204);
}

/// A page elsewhere may post where the bucket's rules say so, and reads the answer.
#[test]
fn rules_for_pages_are_told() {
    let (_gateway, mut client) = gateway();
    let rules = "<CORSConfiguration><CORSRule><AllowedMethod>POST</AllowedMethod><AllowedMethod>PUT</AllowedMethod>\
        <AllowedOrigin>https://app.test</AllowedOrigin><AllowedHeader>*</AllowedHeader><ExposeHeader>ETag</ExposeHeader></CORSRule></CORSConfiguration>";
    client.send(&Request::new("PUT", "/media").query("cors", "").body(rules), Sign::Header(&acme())).expect(200);
    let form = Form::new("media", "k", "x").signed(&acme(), Version::V4);
    let told = client.send(&form.request().header("origin", "https://app.test"), Sign::No).expect(204);
    assert_eq!(told.header("access-control-allow-origin"), Some("https://app.test"));
    assert_eq!(told.header("access-control-expose-headers"), Some("ETag"));
    let told = client.send(&form.request().header("origin", "https://other.test"), Sign::No).expect(204);
    assert_eq!(told.header("access-control-allow-origin"), None);
    // A refusal can be read by the page as well.
    let refused = Form::new("media", "k", "x").request().header("origin", "https://app.test");
    assert_eq!(
        client.send(&refused, Sign::No).refused(403, "AccessDenied").header("access-control-allow-origin"),
        Some("https://app.test")
    );
    let preflight = Request::new("OPTIONS", "/media").header("origin", "https://app.test").header("access-control-request-method", "POST");
    client.send(&preflight, Sign::No).expect(200);
}
