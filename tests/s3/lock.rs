//! Object lock as clients meet it: of a bucket, of a version, in the headers of a write; what it keeps from being done, and by whom.

use std::time::{Duration, Instant, SystemTime};

use tidegate::base::timestamp::Timestamp;

use crate::s3::versions::version;
use crate::support::client::{Answer, Client, Request, Sign};
use crate::support::gateway::{Gateway, acme, bravo};

const BUCKET: &str = "locked";
const MODE: &str = "x-amz-object-lock-mode";
const UNTIL: &str = "x-amz-object-lock-retain-until-date";
const HOLD: &str = "x-amz-object-lock-legal-hold";

struct World {
    _gateway: Gateway,
    client: Client,
}

impl World {
    fn new() -> Self {
        let gateway = Gateway::start();
        let mut client = gateway.client();
        let create = Request::new("PUT", "/locked").header("x-amz-bucket-object-lock-enabled", "true");
        client.send(&create, Sign::Header(&acme())).expect(200);
        client.make_bucket(&acme(), "plain");
        World { _gateway: gateway, client }
    }

    fn send(&mut self, request: &Request) -> Answer {
        self.client.send(request, Sign::Header(&acme()))
    }

    fn made(&mut self, request: Request) -> String {
        version(&self.send(&request.content_md5()).expect(200)).unwrap()
    }

    fn delete(&mut self, key: &str, id: &str, bypass: bool) -> Answer {
        let request = Request::on("DELETE", BUCKET, key).query("versionId", id);
        self.send(&if bypass { request.header("x-amz-bypass-governance-retention", "true") } else { request })
    }

    /// Until what was retained for a moment goes: the store's own clock decides when.
    fn delete_when_it_may_go(&mut self, key: &str, id: &str) {
        let started = Instant::now();
        while self.delete(key, id, false).status != 204 {
            assert!(started.elapsed() < Duration::from_secs(60), "it is retained for ever");
            std::thread::yield_now();
        }
    }

    fn default_retention(&mut self, mode: &str, period: &str) -> Answer {
        let body = format!(
            "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>{mode}</Mode>{period}\
             </DefaultRetention></Rule></ObjectLockConfiguration>"
        );
        self.send(&Request::new("PUT", "/locked").query("object-lock", "").body(body))
    }
}

fn put(key: &str) -> Request {
    Request::on("PUT", BUCKET, key).body("kept")
}

/// In so many seconds.
fn from_now(seconds: u64) -> String {
    Timestamp::from_system(SystemTime::now() + Duration::from_secs(seconds)).iso8601()
}

fn retain(key: &str, mode: &str, until: &str) -> Request {
    let body = format!("<Retention><Mode>{mode}</Mode><RetainUntilDate>{until}</RetainUntilDate></Retention>");
    Request::on("PUT", BUCKET, key).query("retention", "").body(body)
}

fn hold(key: &str, status: &str) -> Request {
    Request::on("PUT", BUCKET, key).query("legal-hold", "").body(format!("<LegalHold><Status>{status}</Status></LegalHold>"))
}

fn bypassing(request: Request) -> Request {
    request.header("x-amz-bypass-governance-retention", "true")
}

#[test]
fn a_bucket_that_locks() {
    let mut world = World::new();
    let get = |bucket: &str| Request::new("GET", &format!("/{bucket}")).query("object-lock", "");
    let state = world.send(&Request::new("GET", "/locked").query("versioning", "")).expect(200);
    assert_eq!(state.xml("VersioningConfiguration").text_of("Status"), Some("Enabled"));
    let lock = world.send(&get(BUCKET)).expect(200).xml("ObjectLockConfiguration");
    assert_eq!((lock.text_of("ObjectLockEnabled"), lock.child("Rule")), (Some("Enabled"), None));
    world.send(&get("plain")).refused(404, "ObjectLockConfigurationNotFoundError");
    let suspend = "<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>";
    world.send(&Request::new("PUT", "/locked").query("versioning", "").body(suspend)).refused(409, "InvalidBucketState");
    world.default_retention("GOVERNANCE", "<Days>3</Days>").expect(200);
    let lock = world.send(&get(BUCKET)).expect(200).xml("ObjectLockConfiguration");
    let default = lock.child("Rule").and_then(|r| r.child("DefaultRetention")).unwrap();
    assert_eq!((default.text_of("Mode"), default.text_of("Days"), default.text_of("Years")), (Some("GOVERNANCE"), Some("3"), None));
    for (mode, period, code) in [
        ("GOVERNANCE", "<Days>1</Days><Years>1</Years>", "MalformedXML"),
        ("governance", "<Days>1</Days>", "MalformedXML"),
        ("GOVERNANCE", "<Days>0</Days>", "InvalidRetentionPeriod"),
        ("COMPLIANCE", "<Years>-1</Years>", "InvalidRetentionPeriod"),
    ] {
        world.default_retention(mode, period).refused(400, code);
    }
    // On one that is there it takes versions, and stays.
    let enable = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>";
    let enable = Request::new("PUT", "/plain").query("object-lock", "").body(enable);
    world.send(&enable).refused(409, "InvalidBucketState");
    let versions = |status: &str| {
        let body = format!("<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>");
        Request::new("PUT", "/plain").query("versioning", "").body(body)
    };
    world.send(&versions("Suspended")).expect(200);
    world.send(&enable).refused(409, "InvalidBucketState");
    world.send(&versions("Enabled")).expect(200);
    world.send(&enable).expect(200);
    world.send(&versions("Suspended")).refused(409, "InvalidBucketState");
    world.send(&Request::new("PUT", "/odd").header("x-amz-bucket-object-lock-enabled", "perhaps")).refused(400, "InvalidArgument");
    world.send(&Request::new("PUT", "/off").header("x-amz-bucket-object-lock-enabled", "false")).expect(200);
    world.send(&get("off")).refused(404, "ObjectLockConfigurationNotFoundError");
}

#[test]
fn governance_is_bypassed_by_right_and_compliance_by_nobody() {
    let mut world = World::new();
    let (one, two) = (world.made(put("governed")), world.made(put("complied")));
    world.send(&Request::on("GET", BUCKET, "governed").query("retention", "")).refused(404, "NoSuchObjectLockConfiguration");
    world.send(&retain("governed", "GOVERNANCE", "2099-01-01T00:00:00Z")).expect(200);
    world.send(&retain("complied", "COMPLIANCE", &from_now(3600))).expect(200);
    let got = world.send(&Request::on("GET", BUCKET, "governed").query("retention", "")).expect(200).xml("Retention");
    assert_eq!((got.text_of("Mode"), got.text_of("RetainUntilDate")), (Some("GOVERNANCE"), Some("2099-01-01T00:00:00.000Z")));
    for (key, id) in [("governed", &one), ("complied", &two)] {
        world.delete(key, id, false).refused(403, "AccessDenied");
        // A delete that names no version always goes through, and its marker is never locked.
        let marker = world.send(&Request::on("DELETE", BUCKET, key)).expect(204);
        world.send(&retain(key, "GOVERNANCE", "2099-01-01T00:00:00Z")).refused(405, "MethodNotAllowed");
        world.send(&hold(key, "ON").query("versionId", &version(&marker).unwrap())).refused(405, "MethodNotAllowed");
        world.delete(key, &version(&marker).unwrap(), false).expect(204);
        world.send(&put(key).body("written over").content_md5()).expect(200);
    }
    // Shorter, another mode, none: each takes the right, and of COMPLIANCE nothing does.
    let of = |request: Request, id: &str| request.query("versionId", id);
    world.send(&of(retain("governed", "GOVERNANCE", "2100-01-01T00:00:00Z"), &one)).expect(200);
    for change in [retain("governed", "GOVERNANCE", "2098-01-01T00:00:00Z"), retain("governed", "COMPLIANCE", "2101-01-01T00:00:00Z")] {
        world.send(&of(change, &one)).refused(403, "AccessDenied");
    }
    world.send(&of(bypassing(retain("governed", "GOVERNANCE", "2098-01-01T00:00:00Z")), &one)).expect(200);
    world.send(&of(bypassing(Request::on("PUT", BUCKET, "governed").query("retention", "").body("<Retention/>")), &one)).expect(200);
    world.send(&of(retain("governed", "GOVERNANCE", "2099-01-01T00:00:00Z"), &one)).expect(200);
    world.send(&of(bypassing(retain("complied", "GOVERNANCE", "2099-01-01T00:00:00Z")), &two)).refused(403, "AccessDenied");
    world.send(&of(retain("complied", "COMPLIANCE", &from_now(7200)), &two)).expect(200);
    world.delete("complied", &two, true).refused(403, "AccessDenied");
    // Who has no right to bypass says so in vain.
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"bravo"},"Action":["s3:DeleteObjectVersion","s3:PutObjectRetention"],"Resource":"arn:aws:s3:::locked/*"}]}"#;
    world.send(&Request::new("PUT", "/locked").query("policy", "").body(policy)).expect(204);
    let by_bravo = bypassing(Request::on("DELETE", BUCKET, "governed").query("versionId", &one));
    world.client.send(&by_bravo, Sign::Header(&bravo())).refused(403, "AccessDenied");
    let batch = format!("<Delete><Object><Key>governed</Key><VersionId>{one}</VersionId></Object></Delete>");
    let batch = Request::new("POST", "/locked").query("delete", "").body(batch).content_md5();
    let refused = world.send(&batch).expect(200).xml("DeleteResult").children;
    assert_eq!(refused[0].text_of("Code"), Some("AccessDenied"));
    let done = world.send(&bypassing(batch)).expect(200).xml("DeleteResult").children;
    assert_eq!(&*done[0].name, "Deleted");
    for bad in [
        retain("governed", "governance", "2099-01-01T00:00:00Z"),
        Request::on("PUT", BUCKET, "governed").query("retention", "").body("<Retention><Mode>GOVERNANCE</Mode></Retention>"),
        hold("governed", "on"),
    ] {
        world.send(&bad).refused(400, "MalformedXML");
    }
    world.send(&retain("governed", "GOVERNANCE", "2020-01-01T00:00:00Z")).refused(400, "InvalidArgument");
    world.send(&retain("never", "GOVERNANCE", "2099-01-01T00:00:00Z")).refused(404, "NoSuchKey");
}

#[test]
fn a_legal_hold_has_no_end() {
    let mut world = World::new();
    let id = world.made(put("k"));
    let status = |world: &mut World| {
        world
            .send(&Request::on("GET", BUCKET, "k").query("legal-hold", ""))
            .expect(200)
            .xml("LegalHold")
            .text_of("Status")
            .unwrap()
            .to_owned()
    };
    assert_eq!(status(&mut world), "OFF");
    world.send(&hold("k", "ON")).expect(200);
    assert_eq!(status(&mut world), "ON");
    world.delete("k", &id, false).refused(403, "AccessDenied");
    world.delete("k", &id, true).refused(403, "AccessDenied");
    world.send(&hold("k", "OFF")).expect(200);
    world.delete("k", &id, false).expect(204);
}

#[test]
fn a_bucket_without_lock_takes_none() {
    let mut world = World::new();
    world.client.put(&acme(), "plain", "k", b"x").expect(200);
    let ask = |method: &str, sub: &str, body: &str| Request::on(method, "plain", "k").query(sub, "").body(body);
    for request in [
        ask("GET", "retention", ""),
        ask("GET", "legal-hold", ""),
        ask("PUT", "legal-hold", "<LegalHold><Status>ON</Status></LegalHold>"),
        ask("PUT", "retention", "<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2099-01-01T00:00:00Z</RetainUntilDate></Retention>"),
        Request::on("PUT", "plain", "new").header(HOLD, "ON").body("x").content_md5(),
        Request::on("POST", "plain", "new").query("uploads", "").header(MODE, "GOVERNANCE").header(UNTIL, "2099-01-01T00:00:00Z"),
        Request::on("PUT", "plain", "new").header(HOLD, "OFF").header("x-amz-copy-source", "plain/k"),
    ] {
        world.send(&request).refused(400, "InvalidRequest");
    }
    world.send(&bypassing(Request::on("DELETE", "plain", "k"))).refused(400, "InvalidArgument");
    world.send(&Request::on("HEAD", "plain", "new")).expect(404);
}

#[test]
fn what_is_written_is_locked_as_its_writer_says() {
    let mut world = World::new();
    let until = "2099-01-01T00:00:00.000Z";
    let locked = |request: Request| request.header(MODE, "GOVERNANCE").header(UNTIL, until).header(HOLD, "ON");
    world.made(locked(put("put")));
    world.made(put("source"));
    version(&world.send(&locked(Request::on("PUT", BUCKET, "copy")).header("x-amz-copy-source", "locked/put")).expect(200)).unwrap();
    let begun = world.send(&locked(Request::on("POST", BUCKET, "parts").query("uploads", ""))).expect(200);
    let upload = begun.xml("InitiateMultipartUploadResult").text_of("UploadId").unwrap().to_owned();
    let part = Request::on("PUT", BUCKET, "parts").query("partNumber", "1").query("uploadId", &upload).body("part");
    world.send(&part).refused(400, "InvalidRequest");
    let etag = world.send(&part.content_md5()).expect(200).etag();
    world.client.complete(&acme(), BUCKET, "parts", &upload, &[(1, etag)]).expect(200);
    for key in ["put", "copy", "parts"] {
        let head = world.send(&Request::on("HEAD", BUCKET, key)).expect(200);
        assert_eq!([MODE, UNTIL, HOLD].map(|name| head.header(name)), [Some("GOVERNANCE"), Some(until), Some("ON")], "{key}");
        let id = version(&head).unwrap();
        world.delete(key, &id, true).refused(403, "AccessDenied");
        world.send(&hold(key, "OFF")).expect(200);
        world.delete(key, &id, false).refused(403, "AccessDenied");
    }
    // A copy has none of its source.
    world.send(&Request::on("PUT", BUCKET, "free").header("x-amz-copy-source", "locked/put")).expect(200);
    let head = world.send(&Request::on("HEAD", BUCKET, "free")).expect(200);
    assert_eq!([MODE, UNTIL, HOLD].map(|name| head.header(name)), [None; 3]);
    for bad in [
        put("bad").header(MODE, "GOVERNANCE"),
        put("bad").header(UNTIL, until),
        put("bad").header(MODE, "governance").header(UNTIL, until),
        put("bad").header(MODE, "GOVERNANCE").header(UNTIL, "2020-01-01T00:00:00Z"),
        put("bad").header(HOLD, "on"),
    ] {
        world.send(&bad.content_md5()).refused(400, "InvalidArgument");
    }
    world.send(&locked(put("bad"))).refused(400, "InvalidRequest");
    world.send(&locked(put("bad").query("publish", ""))).refused(501, "NotImplemented");
    world.send(&Request::on("HEAD", BUCKET, "bad")).expect(404);
}

#[test]
fn what_nobody_locks_is_kept_as_the_bucket_says() {
    let mut world = World::new();
    world.default_retention("COMPLIANCE", "<Days>1</Days>").expect(200);
    world.send(&put("k")).refused(400, "InvalidRequest");
    let id = world.made(put("k"));
    let upload = world.client.create_upload(&acme(), BUCKET, "parts");
    let part = Request::on("PUT", BUCKET, "parts").query("partNumber", "1").query("uploadId", &upload).body("part").content_md5();
    let etag = world.send(&part).expect(200).etag();
    let before = Timestamp::now();
    let parts = version(&world.client.complete(&acme(), BUCKET, "parts", &upload, &[(1, etag)]).expect(200)).unwrap();
    for (key, id) in [("k", &id), ("parts", &parts)] {
        let head = world.send(&Request::on("HEAD", BUCKET, key)).expect(200);
        assert_eq!(head.header(MODE), Some("COMPLIANCE"), "{key}");
        let until = Timestamp::parse_iso8601(head.header(UNTIL).unwrap()).unwrap();
        if key == "parts" {
            assert!(until >= before.plus(Duration::from_secs(24 * 3600)), "it counts from when it was whole");
        }
        world.delete(key, id, true).refused(403, "AccessDenied");
    }
    // What its writer says counts, also when it has ended.
    let id = world.made(put("short").header(MODE, "COMPLIANCE").header(UNTIL, &from_now(2)));
    world.delete("short", &id, false).refused(403, "AccessDenied");
    world.delete_when_it_may_go("short", &id);
}

#[test]
fn who_may_lock_and_who_is_told() {
    let mut world = World::new();
    let id = world.made(put("k").header(MODE, "GOVERNANCE").header(UNTIL, "2099-01-01T00:00:00Z").header(HOLD, "ON"));
    let allow = |actions: &str, more: &str| {
        let policy = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":"bravo"}},"Action":[{actions}],"Resource":"arn:aws:s3:::locked/*"{more}}}]}}"#
        );
        Request::new("PUT", "/locked").query("policy", "").body(policy)
    };
    let bravo_key = bravo();
    let by = Sign::Header(&bravo_key);
    for (actions, told) in [
        (r#""s3:GetObject""#, [None, None]),
        (r#""s3:GetObject","s3:GetObjectRetention""#, [Some("GOVERNANCE"), None]),
        (r#""s3:GetObject","s3:GetObjectLegalHold""#, [None, Some("ON")]),
    ] {
        world.send(&allow(actions, "")).expect(204);
        let head = world.client.send(&Request::on("HEAD", BUCKET, "k"), by).expect(200);
        assert_eq!([MODE, HOLD].map(|name| head.header(name)), told, "{actions}");
    }
    world.send(&allow(r#""s3:PutObject""#, "")).expect(204);
    world.client.send(&put("new").content_md5(), by).expect(200);
    let retained = put("new").header(MODE, "GOVERNANCE").header(UNTIL, "2099-01-01T00:00:00Z").content_md5();
    world.client.send(&retained, by).refused(403, "AccessDenied");
    world.client.send(&put("new").header(HOLD, "ON").content_md5(), by).refused(403, "AccessDenied");
    // How long it may be.
    let short = r#","Condition":{"NumericLessThanEquals":{"s3:object-lock-remaining-retention-days":"10"},"StringEquals":{"s3:object-lock-mode":"GOVERNANCE"}}"#;
    world.send(&allow(r#""s3:PutObject","s3:PutObjectRetention""#, short)).expect(204);
    let days = |days: u64| from_now(days * 24 * 3600 - 60);
    for (mode, until, status) in [("GOVERNANCE", days(10), 200), ("GOVERNANCE", days(11), 403), ("COMPLIANCE", days(1), 403)] {
        let written = put("new").header(MODE, mode).header(UNTIL, &until).content_md5();
        world.client.send(&written, by).expect(status);
        world.client.send(&retain("new", mode, &until), by).expect(if status == 200 { 200 } else { 403 });
    }
    let held = r#","Condition":{"StringEquals":{"s3:object-lock-legal-hold":"ON"}}"#;
    world.send(&allow(r#""s3:PutObjectLegalHold""#, held)).expect(204);
    world.client.send(&hold("new", "OFF"), by).refused(403, "AccessDenied");
    world.client.send(&hold("new", "ON"), by).expect(200);
    // Strangers learn nothing, and change nothing.
    for request in [
        Request::on("GET", BUCKET, "k").query("retention", ""),
        Request::on("GET", BUCKET, "k").query("legal-hold", ""),
        retain("k", "GOVERNANCE", "2101-01-01T00:00:00Z"),
        hold("k", "OFF"),
        Request::new("GET", "/locked").query("object-lock", ""),
    ] {
        world.client.send(&request, Sign::No).refused(403, "AccessDenied");
    }
    world.delete("k", &id, true).refused(403, "AccessDenied");
}
