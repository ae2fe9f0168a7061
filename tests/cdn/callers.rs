//! A site that only its CDN may ask: proofs, what refusals tell, tags, the CDN's id and the viewer's address in the logs.

use super::ask;
use crate::support::binary::{Place, Running};
use crate::support::client::{Client, Request, Sign};
use crate::support::signer::Key;

const NOW: &str = "the-secret-that-is-in-use-now";
const NEXT: &str = "the-secret-that-comes-next-00";
const CF_ID: &str = "aBcD-_1w1-LhRqZrV6ZRtw1yAmtQA5L5gw4m9oOkXTX-dYzXZqaA==";
const CONFIG: &str = r#"
[s3]
trusted_proxies = "127.0.0.0/8"
[log]
level = "debug"
access_file = "access.log"
[[site]]
bucket = "media"
callers = { header = "X-Origin-Verify", secrets = [{ env = "CDN_SECRET" }, { file = "next" }], networks = ["127.0.0.0/8"] }
cache_tag = "Cache-Tag"
[[site]]
host = "verified.test"
bucket = "media"
callers = { networks = ["127.0.0.0/8"] }
cdn_verifies = true
[[site]]
host = "open.test"
bucket = "media"
"#;

fn serve(place: &Place) -> Running {
    place.write("gateway.toml", CONFIG);
    place.write("next", "the-first-value-of-the-file\n");
    place.write(
        "policies/tenants/acme.toml",
        "id = \"acme\"\npolicies = [\"tenant-default\"]\nkeys = [{ access_key = \"AKACME\", secret = { value = \"acme-secret-1\" } }]\n",
    );
    let mut command = place.command(&["serve"]);
    command.env("CDN_SECRET", NOW);
    let running = place.serve_by(command);
    let (mut client, acme) = (Client::new(running.s3), acme());
    client.make_bucket(&acme, "media");
    for key in ["acme/run 7/image/a.png", "plain.txt"] {
        let put = Request::on("PUT", "media", key).header("x-amz-acl", "public-read").body("hello");
        client.send(&put, Sign::Header(&acme)).expect(200);
    }
    running
}

fn acme() -> Key {
    Key::new("AKACME", "acme-secret-1")
}

fn status(running: &Running, secret: &str) -> u16 {
    ask(running.edge, "/plain.txt", &[("x-origin-verify", secret)]).unwrap().0.status
}

#[test]
fn proven_callers_are_served_and_nobody_else() {
    let place = Place::new();
    let running = serve(&place);
    let tagged = "/acme/run%207/image/a.png";
    let cdn = [("x-origin-verify", NOW), ("x-amz-cf-id", CF_ID), ("x-forwarded-for", "203.0.113.9, 198.51.100.7")];

    let (head, body) = ask(running.edge, tagged, &cdn).unwrap();
    assert_eq!((head.status, &body[..]), (200, &b"hello"[..]));
    // SHA-256 of "hello": 2cf24dba5fb0a30e…
    assert_eq!(head.header("cache-tag"), Some("t-acme,r-acme-run%207,a-image,h-2cf24dba5fb0a30e"));
    let etag = head.header("etag").unwrap().to_owned();
    let (head, _) = ask(running.edge, tagged, &[cdn[0], ("if-none-match", &etag)]).unwrap();
    assert_eq!((head.status, head.header("cache-tag").is_some()), (304, true));
    let (head, _) = ask(running.edge, "/plain.txt", &cdn[..1]).unwrap();
    assert_eq!(head.header("cache-tag"), Some("t-acme,h-2cf24dba5fb0a30e"));

    // A stranger learns nothing: what is there, what is not and what can't be a name look alike.
    for target in [tagged, "/nothing", "/%ff", "/?acl"] {
        for header in [&[][..], &[("x-origin-verify", "wrong")], &[("x-origin-verify", NEXT)]] {
            let (head, body) = ask(running.edge, target, header).unwrap();
            let text = String::from_utf8(body).unwrap();
            assert_eq!(head.status, 403, "{target} {header:?}");
            assert!(head.header("cache-control").unwrap().contains("no-store"));
            assert_eq!(head.header("cache-tag"), None);
            assert!(text.contains("<Code>AccessDenied</Code>") && !text.contains("media"), "{text}");
        }
    }

    // The CDN's own id in an error document, in the log, and in the access log beside the viewer's address.
    let (head, body) = ask(running.edge, "/missing", &cdn).unwrap();
    assert!(head.status >= 400);
    assert!(String::from_utf8(body).unwrap().contains(&format!("<HostId>{CF_ID}</HostId>")));
    let (_, body) = ask(running.edge, "/missing", &cdn[1..]).unwrap();
    assert!(!String::from_utf8(body).unwrap().contains(CF_ID), "not from a stranger");
    running.wait_for_log(CF_ID);
    let log = running.log();
    assert!(running.stop().success());
    let access = std::fs::read_to_string(place.path("access.log")).unwrap();
    let line = access.lines().find(|l| l.contains("GET /acme/run%207")).unwrap();
    assert!(line.contains(CF_ID) && line.contains(" 198.51.100.7 "), "{line}");
    for kept in [&log, &access] {
        assert!(!kept.contains(NOW), "the secret is written nowhere");
    }
}

#[test]
fn secrets_in_files_change_while_serving() {
    let place = Place::new();
    let running = serve(&place);
    assert_eq!((status(&running, NOW), status(&running, "the-first-value-of-the-file"), status(&running, NEXT)), (200, 200, 403));

    place.write("next", "short");
    running.signal("HUP");
    running.wait_for_log("expected a secret of 16");
    assert_eq!(status(&running, "the-first-value-of-the-file"), 200, "what was good stays");

    place.write("next", NEXT);
    // Without a signal: the file is looked at.
    running.wait_for_log("secrets of sites' callers and of webhooks reloaded");
    assert_eq!((status(&running, NOW), status(&running, NEXT), status(&running, "the-first-value-of-the-file")), (200, 200, 403));
    assert!(!running.log().contains(NEXT));
}

#[test]
fn secrets_that_are_missing_stop_the_start() {
    let place = Place::new();
    place.write("gateway.toml", CONFIG);
    place.write("next", "short");
    for command in ["check", "serve"] {
        let output = place.run(&[command]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{text}");
        assert!(text.contains("CDN_SECRET is not set") && text.contains("next: expected a secret"), "{text}");
    }
}

#[test]
fn a_policy_can_let_the_cdn_read_what_nobody_may_read_past_it() {
    let place = Place::new();
    let running = serve(&place);
    let mut client = Client::new(running.s3);
    client.send(&Request::on("PUT", "media", "signed/a").body("hello"), Sign::Header(&acme())).expect(200);
    let policy = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::media/signed/*", "Condition": {"Bool": {"tidegate:ProvenCdn": "true"}}}]}"#;
    client.send(&Request::new("PUT", "/media").query("policy", "").body(policy), Sign::Header(&acme())).expect(204);

    let control = |headers: &[(&str, &str)]| {
        let (head, _) = ask(running.edge, "/signed/a", headers).unwrap();
        (head.status, head.header("cache-control").unwrap().to_owned())
    };
    assert_eq!(control(&[("x-origin-verify", NOW)]), (200, "private, no-cache".into()), "it may read, and not keep it for everyone");
    let (status, kept) = control(&[("host", "verified.test")]);
    assert!(status == 200 && kept.starts_with("public"), "a CDN that checks its viewers: {kept}");
    assert_eq!(control(&[("host", "open.test")]).0, 403);
    assert_eq!(control(&[("host", "open.test"), ("x-origin-verify", NOW)]).0, 403, "the secret of another site proves nothing");
    client.send(&Request::on("GET", "media", "signed/a"), Sign::No).expect(403);
}
