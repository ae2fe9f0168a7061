//! The audit log, in the real binary: who changed what may be done, who was refused, and no secret.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::binary::{ACCESS, Place, Running, SECRET};
use crate::support::client::{Client, Request, Sign};
use crate::support::signer::Key;

const POLICY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::media/*"}]}"#;
const TENANT: &str = "id = \"acme\"\npolicies = [\"tenant-default\"]\n";

fn lines(place: &Place) -> Vec<Value> {
    let files = std::fs::read_dir(place.path("data/audit")).unwrap().map(|file| file.unwrap().path());
    let texts = files.map(|file| std::fs::read_to_string(file).unwrap());
    texts.flat_map(|text| text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()).collect()
}

/// The line that comes, with these fields.
fn line(place: &Place, fields: &[(&str, &str)]) -> Value {
    let started = Instant::now();
    loop {
        let lines = lines(place);
        if let Some(found) = lines.iter().find(|line| fields.iter().all(|(name, value)| line[name] == *value)) {
            return found.clone();
        }
        assert!(started.elapsed() < Duration::from_secs(60), "no line with {fields:?} in {lines:#?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn make_key(place: &Place, running: &Running) -> (String, String) {
    let made = place.command(&["key", "make", "acme", "--json"]).env("TIDEGATE_ADMIN_LISTEN", running.admin.to_string()).output().unwrap();
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    (made["access_key"].as_str().unwrap().to_owned(), made["secret_key"].as_str().unwrap().to_owned())
}

#[test]
fn who_changed_what_may_be_done_and_who_was_refused() {
    let place = Place::new();
    place.write("policies/tenants/acme.toml", TENANT);
    let running = place.serve();
    let mut client = Client::new(running.s3);
    let operator = Key::new(ACCESS, SECRET);
    let mut send = |request: &Request, key: Option<&Key>, status: u16| {
        let sign = key.map_or(Sign::No, Sign::Header);
        client.send(request, sign).expect(status).text()
    };

    send(&Request::new("PUT", "/media"), Some(&operator), 200);
    let line_of = |fields: &[(&str, &str)]| line(&place, fields);
    assert_eq!(line_of(&[("kind", "setting"), ("operation", "REST.PUT.BUCKET")])["bucket"], "media");
    send(&Request::new("PUT", "/media").query("policy", "").body(POLICY), Some(&operator), 204);
    let policy = line_of(&[("kind", "policy"), ("bucket", "media")]);
    assert_eq!((&policy["requester"], &policy["access_key"]), (&"operator".into(), &ACCESS.into()));
    assert_eq!((&policy["status"], &policy["remote_ip"], &policy["door"]), (&204.into(), &"127.0.0.1".into(), &"s3".into()));

    let (access, secret) = make_key(&place, &running);
    let made = line_of(&[("kind", "key"), ("operation", "ADMIN.POST.KEYS")]);
    assert_eq!(made["about"], format!("access key {access} of acme"));

    // A request that only reads, and one that writes an object, are the access log's.
    send(&Request::on("PUT", "media", "public.txt").body("x"), Some(&operator), 200);
    send(&Request::on("GET", "media", "public.txt"), None, 200);
    let refused = Request::on("PUT", "media", "a/X-Amz-Signature=abcdef").body("x");
    send(&refused, None, 403);
    let refusal = line_of(&[("kind", "refusal"), ("operation", "REST.PUT.OBJECT")]);
    assert_eq!((&refusal["error_code"], &refusal["requester"]), (&"AccessDenied".into(), &Value::Null));
    send(&Request::new("GET", "/"), Some(&Key::new("AKNOBODY", "whatever")), 403);
    assert_eq!(line_of(&[("error_code", "InvalidAccessKeyId")])["about"], "access key AKNOBODY");

    let link = r#"{"bucket": "media", "key": "public.txt", "expires": 60}"#;
    let link = send(&Request::new("POST", "/-/v1/presign").body(link), Some(&operator), 200);
    let signed = line_of(&[("kind", "presign")]);
    assert!(signed["about"].as_str().unwrap().starts_with("GET of media/public.txt, form S3, until "), "{signed}");

    let session = Request::new("POST", "/").header("content-type", "application/x-www-form-urlencoded");
    let session = Request { service: "sts", ..session.body("Action=GetSessionToken&Version=2011-06-15") };
    let acme = Key::new(&access, &secret);
    let session = send(&session, Some(&acme), 200);
    let began = line_of(&[("operation", "STS.GET_SESSION_TOKEN")]);
    assert_eq!((&began["kind"], &began["requester"]), (&"key".into(), &"acme".into()));

    place.write("policies/tenants/acme.toml", &format!("{TENANT}display = \"Acme\"\n"));
    place.write("policies/tenants/other.toml", "id = \"other\"\n");
    let reloaded = line_of(&[("kind", "tenant"), ("operation", "RELOAD")]);
    assert_eq!(reloaded["about"], "tenants/acme.toml changed; tenants/other.toml new");

    assert!(running.stop().success());
    let text = format!("{:?}", lines(&place));
    assert!(!text.contains("REST.GET.OBJECT") && lines(&place).iter().all(|l| l["key"] != "public.txt"), "{text}");
    let signature = link.split("X-Amz-Signature=").nth(1).unwrap().split(['&', '"']).next().unwrap();
    let token = session.split("<SessionToken>").nth(1).unwrap().split('<').next().unwrap();
    for hidden in [secret.as_str(), signature, token, "abcdef", SECRET] {
        assert!(!text.contains(hidden), "{hidden} in {text}");
    }
}

#[test]
fn it_can_be_off() {
    let place = Place::new();
    let mut command = place.command(&["serve"]);
    command.env("TIDEGATE_LOG_AUDIT", "false");
    let running = place.serve_by(command);
    Client::new(running.s3).send(&Request::new("GET", "/"), Sign::No).expect(403);
    assert!(running.stop().success());
    assert!(!place.path("data/audit").exists());
}
