//! The purge outbox: what changes on a site with a CDN is purged there, gathered; who may purge what by hand.

use std::io::{Read, Write};

use super::*;
use crate::support::invalidations::Fate;

#[test]
fn changes_are_gathered_into_one_invalidation() {
    let world = World::new("700ms");
    let running = world.serve();
    let mut client = Client::new(running.s3);
    client.make_bucket(&acme(), "media");
    for round in 0..5 {
        for n in 0..8 {
            client.put(&acme(), "media", &format!("public/run 1/{n}.glb"), format!("{round}").as_bytes()).expect(200);
        }
    }
    client.put(&acme(), "media", "private/x", b"x").expect(200);
    client.delete(&acme(), "media", "public/gone").expect(204);
    let upload = client.create_upload(&acme(), "media", "public/large");
    let etag = client.upload_part(&acme(), "media", "public/large", &upload, 1, b"part").expect(200).etag();
    client.complete(&acme(), "media", "public/large", &upload, &[(1, etag)]).expect(200);
    wait_until_idle(&running);
    let calls = world.cdn.calls();
    let mut items: Vec<String> = calls.iter().flat_map(|c| c.items.clone()).collect();
    items.sort();
    items.dedup();
    let mut expected: Vec<String> = (0..8).map(|n| format!("/run%201/{n}.glb")).chain(["/gone".into(), "/large".into()]).collect();
    expected.sort();
    assert_eq!(items, expected);
    // 43 changes; how many fit in 0.7 s is the machine's business, but not one call for each.
    assert!(calls.len() <= 10, "{calls:#?}");
    assert!(calls.iter().all(|c| c.distribution == DISTRIBUTION));
}

#[test]
fn a_cdn_in_trouble_is_told_until_it_listens() {
    let world = World::new("1ms");
    let running = world.serve();
    let mut client = Client::new(running.s3);
    client.make_bucket(&acme(), "media");
    world.cdn.then(&[Fate::Down, Fate::TakenAndDropped]);
    client.put(&acme(), "media", "public/a", b"1").expect(200);
    wait_until_idle(&running);
    let calls = world.cdn.calls();
    assert_eq!(calls.iter().map(|c| c.fate).collect::<Vec<_>>(), [Fate::Down, Fate::TakenAndDropped, Fate::Taken]);
    assert!(calls.windows(2).all(|w| w[0].reference == w[1].reference && w[0].items == w[1].items), "{calls:#?}");
    assert_eq!(world.cdn.made(), [["/a"]]);
}

#[test]
fn one_may_purge_what_one_may_write() {
    let world = World::new("1h");
    let running = world.serve();
    let mut client = Client::new(running.s3);
    client.make_bucket(&operator(), "media");
    let purge = |key: &Key, body: &str| api(&running, key, "POST", "/-/v1/purge", &[], body);
    // In a shared bucket a tenant's place is under its own id.
    denied(&purge(&acme(), r#"{"bucket": "media", "keys": ["public/acme/x"]}"#), 403, "AccessDenied");
    denied(&purge(&acme(), r#"{"bucket": "media", "prefix": ""}"#), 403, "AccessDenied");
    denied(&purge(&acme(), r#"{"bucket": "media", "prefix": "acm"}"#), 403, "AccessDenied");
    denied(&purge(&acme(), r#"{"bucket": "media", "keys": ["acme/x", "bravo/x"]}"#), 403, "AccessDenied");
    denied(&purge(&acme(), r#"{"tags": ["t-acme", "t-bravo"]}"#), 403, "AccessDenied");
    denied(&purge(&acme(), r#"{"tags": ["h-0011223344556677"]}"#), 403, "AccessDenied");
    denied(&purge(&acme(), r#"{"paths": ["/acme/*"]}"#), 403, "AccessDenied");
    // Its own, but no site shows it.
    denied(&purge(&acme(), r#"{"bucket": "media", "keys": ["acme/x"]}"#), 400, "InvalidRequest");
    for bad in [r#"{"keys": ["x"]}"#, r#"{"bucket": "media", "keys": [""]}"#, r#"{"tag": "x"}"#, "[", r#"{}"#, r#"{"tags": ["a,b"]}"#] {
        let answer = purge(&operator(), bad);
        assert_eq!(answer.status, 400, "{bad}: {}", answer.text());
    }
    denied(&purge(&operator(), r#"{"bucket": "nowhere", "keys": ["x"]}"#), 404, "NoSuchBucket");
    let anonymous = Client::new(running.s3).send(&Request::new("POST", "/-/v1/purge").body(r#"{"tags": ["t-acme"]}"#), Sign::No);
    denied(&anonymous, 403, "AccessDenied");
    assert!(world.cdn.calls().is_empty());

    purge(&acme(), r#"{"tags": ["t-acme", "r-acme-7"]}"#).expect(202);
    wait_until_idle(&running);
    purge(&operator(), r#"{"paths": ["/a b&c", "/run/*", "/*"], "tags": ["a-video"]}"#).expect(202);
    wait_until_idle(&running);
    let items: Vec<Vec<String>> = world.cdn.calls().into_iter().map(|c| c.items).collect();
    assert_eq!(items[0], ["#r-acme-7", "#t-acme"]);
    assert_eq!(items[1], ["#a-video", "/*", "/a%20b%26c", "/run/*"]);
}

/// The CDN is away while both wait; meanwhile the tenant loses its policy. What its write brought about is told all the same.
#[test]
fn a_right_that_was_lost_is_lost_for_a_purge_that_waits() {
    let world = World::new("1ms");
    let running = world.serve();
    let mut client = Client::new(running.s3);
    client.make_bucket(&acme(), "media");
    client.make_bucket(&acme(), "probe");
    world.cdn.then(&[Fate::Down; 1000]);
    let asked = api(&running, &acme(), "POST", "/-/v1/purge", &[], r#"{"bucket": "media", "keys": ["public/asked"], "tags": ["t-acme"]}"#);
    let asked = json(&asked.expect(202))["jobs"][0].as_str().unwrap().to_owned();
    client.put(&acme(), "media", "public/written", b"1").expect(200);
    let file = world.place.path("policies/tenants/acme.toml");
    let with = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, with.replace("[\"tenant-default\"]", "[]")).unwrap();
    let begun = Instant::now();
    while client.put(&acme(), "probe", "x", b"").status != 403 {
        assert!(begun.elapsed().as_secs() < 60, "the policy is never taken up: {}", running.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    world.cdn.heal();
    wait_until_idle(&running);
    let job = json(&api(&running, &operator(), "GET", &format!("/-/v1/jobs/{asked}"), &[], "").expect(200));
    assert_eq!((job["state"].as_str(), job["asked_by"].as_str()), (Some("dead"), Some("AKACME")), "{job}");
    assert!(job["reason"].as_str().unwrap().starts_with("refused: the tenant has no right to "), "{job}");
    assert_eq!(world.cdn.made(), [["/written"]]);
}

#[test]
fn a_bucket_that_may_be_closed_is_purged_as_a_whole() {
    let world = World::new("1ms");
    let running = world.serve();
    let mut client = Client::new(running.s3);
    for name in ["media", "other"] {
        client.make_bucket(&acme(), name);
    }
    let policy = |bucket: &str| {
        format!(
            r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::{bucket}/*"}}]}}"#
        )
    };
    let mut send = |method: &str, bucket: &str, query: &str, header: Option<&str>, body: String| {
        let request = Request::new(method, &format!("/{bucket}")).query(query, "").body(body);
        let request = header.map_or(request.clone(), |acl| request.header("x-amz-acl", acl));
        let answer = client.send(&request, Sign::Header(&acme()));
        assert!(answer.status < 300, "{}", answer.text());
        wait_until_idle(&running);
        world.cdn.made().len()
    };
    assert_eq!(send("PUT", "other", "policy", None, policy("other")), 0, "no site shows it");
    assert_eq!(send("PUT", "media", "policy", None, policy("media")), 1);
    assert_eq!(send("DELETE", "media", "policy", None, String::new()), 2);
    assert_eq!(send("PUT", "media", "acl", Some("private"), String::new()), 3);
    assert!(world.cdn.made().iter().all(|items| items == &["/*"]), "{:?}", world.cdn.made());
}

#[test]
fn calls_are_signed_by_whoever_the_environment_names() {
    let world = World::new("1ms");
    world.place.write("aws", "[default]\naws_access_key_id = AKDEFAULT\naws_secret_access_key = s\n[cdn]\naws_access_key_id = AKPROFILE\naws_secret_access_key = s\n");
    let file = world.place.path("aws").display().to_string();
    let keys = [("AWS_ACCESS_KEY_ID", "AKENV"), ("AWS_SECRET_ACCESS_KEY", "s"), ("AWS_SHARED_CREDENTIALS_FILE", &file)];
    let container = credentials_of_a_container();
    let cases: [(&[(&str, &str)], &str); 5] = [
        (&keys, "AKENV"),
        (&keys[2..], "AKDEFAULT"),
        (&[keys[2], ("AWS_PROFILE", "cdn")], "AKPROFILE"),
        (&[keys[0], keys[1], keys[2], ("TIDEGATE_CDN_PROFILE", "cdn")], "AKPROFILE"),
        (&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &container)], "AKROLE"),
    ];
    for (n, (variables, access_key)) in cases.into_iter().enumerate() {
        let running = world.serve_with(variables);
        if n == 0 {
            Client::new(running.s3).make_bucket(&operator(), "media");
        }
        api(&running, &operator(), "POST", "/-/v1/purge", &[], r#"{"paths": ["/*"]}"#).expect(202);
        wait_until_idle(&running);
        let calls = world.cdn.calls();
        assert_eq!((calls.len(), calls[n].access_key.as_str()), (n + 1, access_key), "{variables:?}");
    }
    // Nobody: the job waits, and says for what.
    let running = world.serve_with(&[]);
    let made = json(&api(&running, &operator(), "POST", "/-/v1/purge", &[], r#"{"paths": ["/*"]}"#).expect(202));
    let path = format!("/-/v1/jobs/{}", made["jobs"][0].as_str().unwrap());
    let reason = loop {
        let job = json(&api(&running, &operator(), "GET", &path, &[], "").expect(200));
        match job["reason"].as_str() {
            Some(reason) => break reason.to_owned(),
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    assert!(reason.contains("no AWS credentials") && reason.contains("AWS_ACCESS_KEY_ID"), "{reason}");
}

/// What a container's agent answers. Ends with the process.
fn credentials_of_a_container() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let document = r#"{"AccessKeyId": "AKROLE", "SecretAccessKey": "s", "Token": "t", "Expiration": "2099-01-01T00:00:00Z"}"#;
            let length = document.len();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{document}"
            );
        }
    });
    format!("http://{address}/role")
}
