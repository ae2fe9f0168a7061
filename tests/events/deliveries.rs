//! What is told of: each change by its name, with what it made, signed; as the bucket or a rule asks for it.

use super::*;
use crate::support::form::{Form, Version};
use crate::support::gateway::bravo;

const ALL: [&str; 4] = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:ObjectTagging:*", "s3:ObjectAcl:Put"];

#[test]
fn a_write_is_told_to_the_webhook_that_its_bucket_names() {
    let receiver = Receiver::start();
    let world = World::new(&hook("pipeline", &receiver, ""));
    let running = world.serve();
    let mut client = Client::new(running.s3);
    client.make_bucket(&acme(), "media");
    client.put(&acme(), "media", "before", b"x").expect(200);
    configure(&mut client, "media", configuration("pipeline", &["s3:ObjectCreated:*"], "")).expect(200);
    until("S3's test came", || receiver.calls().len() == 1);
    let test = receiver.calls().remove(0);
    assert!(test.is_test() && test.json()["Bucket"] == "media" && test.is_signed_with(HOOK_BYTES), "{test:?}");

    let put = client.put(&acme(), "media", "a b/ü.txt", b"seven b").expect(200);
    client.put(&bravo(), "media", "refused", b"x").refused(403, "AccessDenied");
    until("the write is told of", || receiver.taken().len() == 1);
    let told = receiver.taken().remove(0);
    assert!(told.is_signed_with(HOOK_BYTES) && !told.is_signed_with(b"another"), "{told:?}");
    assert_eq!((&*told.path, told.header("content-type")), ("/hook?token=t0ken", "application/json"));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(told.header("webhook-timestamp").parse::<u64>().unwrap().abs_diff(now) < 60);
    let record = told.record();
    for (path, value) in [
        ("/eventVersion", "2.6"),
        ("/eventSource", "aws:s3"),
        ("/awsRegion", "us-east-1"),
        ("/eventName", "ObjectCreated:Put"),
        ("/userIdentity/principalId", "acme"),
        ("/requestParameters/sourceIPAddress", "127.0.0.1"),
        ("/responseElements/x-amz-request-id", put.header("x-amz-request-id").unwrap()),
        ("/s3/configurationId", "pipeline-all"),
        ("/s3/bucket/name", "media"),
        ("/s3/bucket/arn", "arn:aws:s3:::media"),
        ("/s3/bucket/ownerIdentity/principalId", "acme"),
        ("/s3/object/key", "a+b/%C3%BC.txt"),
        ("/s3/object/eTag", &put.etag()),
    ] {
        assert_eq!(record.pointer(path).and_then(|v| v.as_str()), Some(value), "{path} in {record}");
    }
    assert_eq!(record["s3"]["object"]["size"], 7);
    assert_eq!(record["s3"]["object"].get("versionId"), None);
    let told = "tidegate_event_deliveries_total{webhook=\"pipeline\",outcome=\"told\"} 2";
    until("it is counted", || client_of(&running, "/metrics").contains(told));
    assert!(running.stop().success());
}

fn client_of(running: &Running, path: &str) -> String {
    Client::new(running.admin).send(&Request::new("GET", path), Sign::No).expect(200).text()
}

#[test]
fn each_change_has_its_name() {
    let receiver = Receiver::start();
    let world = World::new(&hook("pipeline", &receiver, ""));
    let running = world.serve();
    let mut client = Client::new(running.s3);
    client.make_bucket(&acme(), "media");
    configure(&mut client, "media", configuration("pipeline", &ALL, "")).expect(200);
    let key = acme();
    let send = |client: &mut Client, request: Request| client.send(&request, Sign::Header(&acme()));
    client.put(&key, "media", "k", b"1").expect(200);
    send(
        &mut client,
        Request::on("PUT", "media", "k").header("x-amz-copy-source", "/media/k").header("x-amz-metadata-directive", "REPLACE"),
    )
    .expect(200);
    let upload = client.create_upload(&key, "media", "k");
    let etag = client.upload_part(&key, "media", "k", &upload, 1, b"part").expect(200).etag();
    client.complete(&key, "media", "k", &upload, &[(1, etag)]).expect(200);
    let tags = "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>";
    send(&mut client, Request::on("PUT", "media", "k").query("tagging", "").body(tags)).expect(200);
    send(&mut client, Request::on("DELETE", "media", "k").query("tagging", "")).expect(204);
    client.delete(&key, "media", "k").expect(204);
    // Nothing happens.
    client.delete(&key, "media", "k").expect(204);
    client.delete(&key, "media", "never").expect(204);
    let versions = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    send(&mut client, Request::new("PUT", "/media").query("versioning", "").body(versions)).expect(200);
    let put = client.put(&key, "media", "k", b"2").expect(200);
    let version = put.header("x-amz-version-id").unwrap().to_owned();
    let marker = client.delete(&key, "media", "k").expect(204);
    let marker = marker.header("x-amz-version-id").unwrap().to_owned();
    let batch = format!(
        "<Delete><Object><Key>k</Key><VersionId>{version}</VersionId></Object><Object><Key>k</Key><VersionId>{marker}</VersionId></Object></Delete>"
    );
    send(&mut client, Request::new("POST", "/media").query("delete", "").body(batch).content_md5()).expect(200);
    let expected = [
        ("ObjectCreated:Put", ""),
        ("ObjectCreated:Copy", ""),
        ("ObjectCreated:CompleteMultipartUpload", ""),
        ("ObjectTagging:Put", ""),
        ("ObjectTagging:Delete", ""),
        ("ObjectRemoved:Delete", ""),
        ("ObjectCreated:Put", &version),
        ("ObjectRemoved:DeleteMarkerCreated", &marker),
        ("ObjectRemoved:Delete", &version),
        ("ObjectRemoved:Delete", &marker),
    ];
    until("all are told of", || receiver.taken().len() >= expected.len());
    let told = receiver.taken();
    let shown: Vec<(String, String)> =
        told.iter().map(|call| (call.name(), call.record()["s3"]["object"]["versionId"].as_str().unwrap_or_default().to_owned())).collect();
    // Of one batch's keys each is told by itself, in any order.
    let mut sorted = [shown[..8].to_vec(), {
        let mut last = shown[8..].to_vec();
        last.sort_by_key(|(_, v)| *v != version);
        last
    }]
    .concat();
    sorted.truncate(expected.len());
    assert_eq!(sorted, expected.map(|(name, version)| (name.to_owned(), version.to_owned())));
    let sequencers: Vec<String> = told.iter().map(|call| call.sequencer()).collect();
    assert!(sequencers.windows(2).all(|two| two[0] < two[1] && two[0].len() == two[1].len()), "{sequencers:?}");
    assert!(running.stop().success());
}

#[test]
fn filters_and_configurations_are_as_on_s3() {
    let (receiver, closed) = (Receiver::start(), Receiver::start());
    let world = World::new(&(hook("pipeline", &receiver, "") + &hook("bravos", &closed, "tenants = [\"bravo\"]\n")));
    let running = world.serve();
    let mut client = Client::new(running.s3);
    client.make_bucket(&acme(), "media");
    let filter = "<Filter><S3Key><FilterRule><Name>prefix</Name><Value>img/</Value></FilterRule>\
                  <FilterRule><Name>suffix</Name><Value>.jpg</Value></FilterRule></S3Key></Filter>";
    for (name, says) in [("bravos", "no webhook \"bravos\""), ("nobody", "no webhook \"nobody\"")] {
        let refused = configure(&mut client, "media", configuration(name, &["s3:ObjectCreated:*"], "")).refused(400, "InvalidArgument");
        assert!(refused.text().contains(&says.replace('"', "&quot;")) || refused.text().contains(says), "{}", refused.text());
    }
    configure(&mut client, "media", configuration("pipeline", &["s3:ObjectCreatd:*"], "")).refused(400, "InvalidArgument");
    configure(&mut client, "media", "<NotificationConfiguration><EventBridgeConfiguration/></NotificationConfiguration>".into())
        .refused(501, "NotImplemented");
    let get = Request::new("GET", "/media").query("notification", "");
    assert!(!client.send(&get, Sign::Header(&acme())).expect(200).text().contains("Queue"), "a refused one leaves nothing");
    let skips = Request::new("PUT", "/media").query("notification", "").header("x-amz-skip-destination-validation", "true");
    let document = configuration("pipeline", &["s3:ObjectCreated:*"], filter);
    client.send(&skips.body(document), Sign::Header(&acme())).expect(200);
    let read = client.send(&get, Sign::Header(&acme())).expect(200).xml("NotificationConfiguration");
    let queue = read.child("QueueConfiguration").unwrap();
    assert_eq!(queue.text_of("Queue"), Some("arn:aws:sqs:us-east-1:123456789012:pipeline"));
    assert_eq!(queue.child("Filter").unwrap().child("S3Key").unwrap().children.len(), 2);
    for name in ["img/a.png", "a.jpg", "img/a.jpg"] {
        client.put(&acme(), "media", name, b"x").expect(200);
    }
    until("one is told of", || !receiver.calls().is_empty());
    configure(&mut client, "media", "<NotificationConfiguration/>".into()).expect(200);
    client.put(&acme(), "media", "img/b.jpg", b"x").expect(200);
    assert!(running.stop().success());
    let keys: Vec<String> = receiver.calls().iter().map(|call| call.key()).collect();
    assert_eq!((keys, closed.calls().len()), (vec!["img/a.jpg".to_owned()], 0));
}

#[test]
fn rules_of_the_operator_are_for_all_buckets_and_in_cloud_events() {
    let receiver = Receiver::start();
    let rule = "[[event_rule]]\nname = \"deletes\"\nwebhook = \"audit\"\nevents = [\"s3:ObjectRemoved:*\", \"tidegate:Job:*\"]\n";
    let world = World::new(&(hook("audit", &receiver, "format = \"cloudevents\"\n") + rule));
    let running = world.serve();
    let mut client = Client::new(running.s3);
    for bucket in ["one", "two"] {
        client.make_bucket(&acme(), bucket);
        client.put(&acme(), bucket, "k", b"x").expect(200);
        client.delete(&acme(), bucket, "k").expect(204);
    }
    until("both are told of", || receiver.calls().len() == 2);
    for (call, bucket) in receiver.calls().iter().zip(["one", "two"]) {
        let event = call.json();
        assert_eq!(call.header("content-type"), "application/cloudevents+json");
        assert_eq!((&event["specversion"], &event["type"]), (&"1.0".into(), &"com.amazonaws.s3.ObjectRemoved:Delete".into()));
        assert_eq!((&event["source"], &event["subject"]), (&format!("aws:s3.us-east-1.{bucket}").into(), &"k".into()));
        assert_eq!(event["id"], call.header("webhook-id"));
        assert_eq!(event["data"]["s3"]["configurationId"], "deletes");
        assert!(call.is_signed_with(HOOK_BYTES));
    }
    assert!(running.stop().success());
}

#[test]
fn secrets_change_while_serving_and_are_nowhere_else() {
    let receiver = Receiver::start();
    let table = hook("pipeline", &receiver, "").replace("{ env = \"HOOK_SECRET\" }", "{ file = \"hook\" }, { file = \"next\" }");
    let world = World::new(&(table + "[[event_rule]]\nname = \"all\"\nwebhook = \"pipeline\"\nevents = [\"*\"]\n"));
    for (file, secret) in [("hook", "the-first-secret-of-it"), ("next", "the-second-secret-of-it")] {
        world.place.write(file, secret);
    }
    let running = world.serve();
    let mut client = Client::new(running.s3);
    client.make_bucket(&acme(), "media");
    client.put(&acme(), "media", "a", b"x").expect(200);
    until("it is told of", || receiver.taken().len() == 1);
    let told = receiver.taken().remove(0);
    assert!(told.is_signed_with(b"the-first-secret-of-it") && told.is_signed_with(b"the-second-secret-of-it"));
    world.place.write("hook", "the-third-secret-of-it!");
    running.signal("HUP");
    running.wait_for_log("secrets of sites' callers and of webhooks reloaded");
    client.put(&acme(), "media", "b", b"x").expect(200);
    until("it is told of", || receiver.taken().len() == 2);
    let told = receiver.taken().remove(1);
    assert!(told.is_signed_with(b"the-third-secret-of-it!") && !told.is_signed_with(b"the-first-secret-of-it"));
    let log = running.log();
    assert!(running.stop().success());
    let kept = bytes_under(&world.place.path("data"));
    for secret in ["the-first-secret", "the-second-secret", "the-third-secret", "t0ken", "acme-secret-1"] {
        assert!(!log.contains(secret) && !kept.windows(secret.len()).any(|w| w == secret.as_bytes()), "{secret}");
        assert!(receiver.calls().iter().all(|call| !call.body.contains(secret)), "{secret}");
    }
}

#[test]
fn forms_rules_of_the_lifecycle_and_jobs_are_told_of_too() {
    let receiver = Receiver::start();
    let rule = "[[event_rule]]\nname = \"all\"\nwebhook = \"audit\"\nevents = [\"*\"]\n";
    let world = World::new(&(hook("audit", &receiver, "") + rule + "[lifecycle]\nday = 1\nevery = \"1h\"\n"));
    let running = world.serve();
    let mut client = Client::new(running.s3);
    client.make_bucket(&acme(), "media");
    let form = Form::new("media", "tmp/form", "content").signed(&acme(), Version::V4);
    client.send(&form.request(), Sign::No).expect(204);
    until("the form is told of", || receiver.taken().iter().any(|call| call.name() == "ObjectCreated:Post"));
    let rules = "<LifecycleConfiguration><Rule><ID>old</ID><Filter><Prefix>tmp/</Prefix></Filter><Status>Enabled</Status>\
                 <Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>";
    client.send(&Request::new("PUT", "/media").query("lifecycle", "").body(rules), Sign::Header(&acme())).expect(200);
    let gone = || receiver.taken().into_iter().find(|call| call.name() == "LifecycleExpiration:Delete");
    until("it is let go", || {
        world.run(&running, &["lifecycle"]);
        gone().is_some()
    });
    let record = gone().unwrap().record();
    assert_eq!(record["s3"]["object"]["key"], "tmp/form");
    assert_eq!(
        (&record["userIdentity"]["principalId"], &record["s3"]["bucket"]["ownerIdentity"]["principalId"]),
        (&"s3.amazonaws.com".into(), &"acme".into())
    );
    // The run was a job.
    until("the job is told of", || receiver.taken().iter().any(|call| call.name() == "tidegate:Job:Done"));
    let job = receiver.taken().into_iter().find(|call| call.name() == "tidegate:Job:Done").unwrap().record();
    assert_eq!((&job["tidegate"]["data"]["kind"], job.get("s3")), (&"lifecycle".into(), None));
    assert!(running.stop().success());
}
