//! Versions as clients meet them: never kept, kept, no longer kept; markers; listings; copies; conditions; and who may do what with one.

use crate::support::client::{Answer, Client, Request, Sign};
use crate::support::gateway::{Gateway, acme, bravo, operator};
use crate::support::signer::Key;

/// A bucket of acme's.
const BUCKET: &str = "kept";

pub struct World {
    _gateway: Gateway,
    pub client: Client,
}

impl World {
    pub fn new() -> Self {
        let gateway = Gateway::start();
        let mut client = gateway.client();
        client.make_bucket(&acme(), BUCKET);
        World { _gateway: gateway, client }
    }

    fn kept() -> Self {
        let mut world = World::new();
        world.keep("Enabled").expect(200);
        world
    }

    pub fn send(&mut self, request: &Request) -> Answer {
        self.client.send(request, Sign::Header(&acme()))
    }

    fn keep(&mut self, status: &str) -> Answer {
        let body = format!("<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>");
        self.send(&Request::new("PUT", &format!("/{BUCKET}")).query("versioning", "").body(body))
    }

    /// Its version, where the answer names one.
    fn put(&mut self, key: &str, body: &str) -> Option<String> {
        version(&self.send(&on("PUT", key).body(body)).expect(200))
    }

    fn made(&mut self, key: &str, body: &str) -> String {
        self.put(key, body).expect("a version id")
    }

    fn body(&mut self, key: &str, version: Option<&str>) -> String {
        self.send(&named("GET", key, version)).expect(200).text()
    }

    /// All that is listed, page by page: key, version, whether it is the latest, whether it is a marker.
    fn listed(&mut self, max: usize, more: &[(&str, &str)]) -> Vec<Entry> {
        let (mut entries, mut marker): (Vec<Entry>, Option<(String, Option<String>)>) = (Vec::new(), None);
        loop {
            let mut request = Request::new("GET", &format!("/{BUCKET}")).query("versions", "").query("max-keys", &max.to_string());
            for (name, value) in more {
                request = request.query(name, value);
            }
            if let Some((key, version)) = &marker {
                request = request.query("key-marker", key);
                request = version.iter().fold(request, |request, version| request.query("version-id-marker", version));
            }
            let page = self.send(&request).expect(200).xml("ListVersionsResult");
            let of = |name: &str| page.text_of(name).map(str::to_owned);
            assert!(page.text_of("KeyMarker").is_some() && page.text_of("VersionIdMarker").is_some());
            let before = entries.len();
            for child in &page.children {
                let text = |name: &str| child.text_of(name).unwrap_or_default().to_owned();
                match &*child.name {
                    "Version" | "DeleteMarker" => {
                        entries.push((text("Key"), text("VersionId"), text("IsLatest") == "true", child.name == "DeleteMarker"))
                    }
                    "CommonPrefixes" => entries.push((text("Prefix"), String::new(), false, false)),
                    _ => {}
                }
            }
            assert!(entries.len() - before <= max);
            if of("IsTruncated").as_deref() != Some("true") {
                assert!(of("NextKeyMarker").is_none() && of("NextVersionIdMarker").is_none());
                return entries;
            }
            marker = Some((of("NextKeyMarker").unwrap(), of("NextVersionIdMarker")));
        }
    }
}

type Entry = (String, String, bool, bool);

fn on(method: &str, key: &str) -> Request {
    Request::on(method, BUCKET, key)
}

fn named(method: &str, key: &str, version: Option<&str>) -> Request {
    version.into_iter().fold(on(method, key), |request, version| request.query("versionId", version))
}

pub fn version(answer: &Answer) -> Option<String> {
    answer.header("x-amz-version-id").map(str::to_owned)
}

fn is_marker(answer: &Answer) -> bool {
    answer.header("x-amz-delete-marker") == Some("true")
}

#[test]
fn how_a_bucket_keeps_versions() {
    let mut world = World::new();
    let state = |world: &mut World| {
        let answer = world.send(&Request::new("GET", "/kept").query("versioning", "")).expect(200);
        answer.xml("VersioningConfiguration").text_of("Status").map(str::to_owned)
    };
    assert_eq!(state(&mut world), None);
    for status in ["Suspended", "Enabled", "Enabled", "Suspended"] {
        world.keep(status).expect(200);
        assert_eq!(state(&mut world).as_deref(), Some(status));
    }
    world.keep("enabled").refused(400, "MalformedXML");
    let put = |body: &str| {
        Request::new("PUT", "/kept").query("versioning", "").body(format!("<VersioningConfiguration>{body}</VersioningConfiguration>"))
    };
    world.send(&put("")).refused(400, "IllegalVersioningConfigurationException");
    world.send(&put("<Status>Enabled</Status><MfaDelete>Enabled</MfaDelete>")).refused(501, "NotImplemented");
    world.send(&put("<Status>Enabled</Status><MfaDelete>Disabled</MfaDelete>")).expect(200);
    assert_eq!(state(&mut world).as_deref(), Some("Enabled"));
}

#[test]
fn never_then_kept_then_no_longer() {
    let mut world = World::new();
    assert_eq!(world.put("k", "before"), None);
    let read = world.send(&on("GET", "k")).expect(200);
    assert_eq!(version(&read), None, "nobody knows of versions yet");
    assert_eq!(world.body("k", Some("null")), "before");
    world.keep("Enabled").expect(200);
    assert_eq!(version(&world.send(&on("HEAD", "k"))).as_deref(), Some("null"));
    let (one, two) = (world.made("k", "one"), world.made("k", "two"));
    assert_ne!(one, two);
    for (id, body) in [(None, "two"), (Some("null"), "before"), (Some(&*one), "one"), (Some(&*two), "two")] {
        let read = world.send(&named("GET", "k", id)).expect(200);
        assert_eq!((read.text(), version(&read).as_deref()), (body.to_owned(), Some(id.unwrap_or(&two))));
        let head = world.send(&named("HEAD", "k", id)).expect(200);
        assert_eq!(head.header("content-length"), Some(&*body.len().to_string()));
        assert_eq!(version(&head).as_deref(), Some(id.unwrap_or(&two)));
    }
    world.keep("Suspended").expect(200);
    assert_eq!(world.put("k", "after"), None, "what is no longer kept is not named");
    assert_eq!((world.body("k", None), world.body("k", Some("null"))), ("after".into(), "after".into()));
    assert_eq!(version(&world.send(&on("GET", "k"))).as_deref(), Some("null"));
    let entry = |id: &str, latest| ("k".to_owned(), id.to_owned(), latest, false);
    assert_eq!(world.listed(10, &[]), [entry("null", true), entry(&two, false), entry(&one, false)]);
    // Now a marker takes the place of the null version.
    let deleted = world.send(&on("DELETE", "k")).expect(204);
    assert!(is_marker(&deleted) && version(&deleted).as_deref() == Some("null"));
    world.send(&on("GET", "k")).refused(404, "NoSuchKey");
    assert_eq!(world.body("k", Some(&two)), "two");
    let deleted = world.send(&named("DELETE", "k", Some("null"))).expect(204);
    assert!(is_marker(&deleted));
    assert_eq!(world.body("k", None), "two", "the one before is the current one again");
    world.keep("Enabled").expect(200);
    assert!(world.put("k", "again").is_some());
}

#[test]
fn what_is_no_version() {
    let mut world = World::kept();
    let id = world.made("k", "x");
    let other = world.made("other", "y");
    let unknown = format!("{}{}", &id[..id.len() - 1], if id.ends_with('0') { '1' } else { '0' });
    for id in [&*unknown, &*other] {
        world.send(&named("GET", "k", Some(id))).refused(404, "NoSuchVersion");
        assert_eq!(world.send(&named("HEAD", "k", Some(id))).status, 404);
        let deleted = world.send(&named("DELETE", "k", Some(id))).expect(204);
        assert!(!is_marker(&deleted));
    }
    assert_eq!((world.body("k", None), world.body("other", None)), ("x".into(), "y".into()));
    world.send(&named("GET", "k", Some("x"))).refused(404, "NoSuchVersion");
    for bad in ["", "not a version"] {
        world.send(&named("GET", "k", Some(bad))).refused(400, "InvalidArgument");
        world.send(&named("DELETE", "k", Some(bad))).refused(400, "InvalidArgument");
    }
    for request in [on("PUT", "k").body("z"), on("POST", "k").query("uploads", "")] {
        world.send(&request.query("versionId", &id)).refused(400, "InvalidArgument");
    }
    assert_eq!(world.listed(10, &[]).len(), 2);
}

#[test]
fn a_marker_hides_and_is_told() {
    let mut world = World::kept();
    let id = world.made("k", "x");
    let deleted = world.send(&on("DELETE", "k")).expect(204);
    let marker = version(&deleted).unwrap();
    assert!(is_marker(&deleted) && marker != id);
    for method in ["GET", "HEAD"] {
        let hidden = world.send(&on(method, "k")).expect(404);
        assert!(is_marker(&hidden), "{hidden:?}");
        assert_eq!(version(&hidden).as_deref(), Some(&*marker));
        let itself = world.send(&named(method, "k", Some(&marker))).expect(405);
        assert!(is_marker(&itself) && itself.header("last-modified").is_some(), "{itself:?}");
        assert_eq!((version(&itself).as_deref(), itself.header("allow")), (Some(&*marker), Some("DELETE")));
        let gone = world.send(&on(method, "never")).expect(404);
        assert!(!is_marker(&gone) && version(&gone).is_none());
    }
    let attributes = |request: Request| request.query("attributes", "").header("x-amz-object-attributes", "ETag");
    world.send(&attributes(on("GET", "k"))).refused(404, "NoSuchKey");
    for request in [attributes(named("GET", "k", Some(&marker))), named("GET", "k", Some(&marker)).query("acl", "")] {
        world.send(&request).refused(405, "MethodNotAllowed");
    }
    let acl = |request: Request| request.query("acl", "").header("x-amz-acl", "public-read");
    world.send(&acl(named("PUT", "k", Some(&marker)))).refused(405, "MethodNotAllowed");
    let copy = |from: &str| on("PUT", "copy").header("x-amz-copy-source", from);
    world.send(&copy(&format!("kept/k?versionId={marker}"))).refused(400, "InvalidRequest");
    world.send(&copy("kept/k")).refused(404, "NoSuchKey");
    assert_eq!(world.send(&attributes(named("GET", "k", Some(&id)))).expect(200).header("x-amz-version-id"), Some(&*id));
    // A key that never was gets one too, and a second delete another.
    let never = world.send(&on("DELETE", "never")).expect(204);
    assert!(is_marker(&never));
    assert_ne!(version(&world.send(&on("DELETE", "k")).expect(204)).as_deref(), Some(&*marker));
    assert_eq!(world.listed(1, &[]).iter().filter(|entry| entry.3).count(), 3);
    assert!(world.client.list(&acme(), BUCKET, &[]).keys.is_empty());
    // Without its markers it is there again.
    for (key, id, _, _) in world.listed(10, &[]).into_iter().filter(|entry| entry.3) {
        let gone = world.send(&named("DELETE", &key, Some(&id))).expect(204);
        assert!(is_marker(&gone) && version(&gone) == Some(id));
    }
    assert_eq!(world.body("k", None), "x");
    assert_eq!(world.client.list(&acme(), BUCKET, &[]).keys, ["k"]);
    let gone = world.send(&named("DELETE", "k", Some(&id))).expect(204);
    assert!(!is_marker(&gone) && version(&gone) == Some(id));
    world.client.send(&Request::new("DELETE", "/kept"), Sign::Header(&acme())).expect(204);
}

#[test]
fn a_batch_deletes_versions_and_makes_markers() {
    let mut world = World::kept();
    let (one, two) = (world.made("a", "1"), world.made("a", "2"));
    let plain = world.made("b", "3");
    let mut delete = |objects: &[(&str, &str)]| {
        let objects: String = objects
            .iter()
            .map(|(key, id)| {
                format!(
                    "<Object><Key>{key}</Key>{}</Object>",
                    if id.is_empty() { String::new() } else { format!("<VersionId>{id}</VersionId>") }
                )
            })
            .collect();
        let request = Request::new("POST", "/kept").query("delete", "").body(format!("<Delete>{objects}</Delete>")).content_md5();
        world.send(&request).expect(200).xml("DeleteResult").children
    };
    let told = delete(&[("a", &one), ("b", ""), ("never", ""), ("a", "no id"), ("a", &two)]);
    let text = |at: usize, name: &str| told[at].text_of(name).map(str::to_owned);
    assert_eq!((text(0, "VersionId"), text(0, "DeleteMarker")), (Some(one.clone()), None));
    for at in [1, 2] {
        assert_eq!((text(at, "VersionId"), text(at, "DeleteMarker")), (None, Some("true".into())));
        assert!(text(at, "DeleteMarkerVersionId").is_some());
    }
    assert_eq!((&*told[3].name, text(3, "Code"), text(3, "VersionId")), ("Error", Some("InvalidArgument".into()), Some("no id".into())));
    assert_eq!(&*told[4].name, "Deleted");
    // Again, and the markers with them.
    let markers = [text(1, "DeleteMarkerVersionId").unwrap(), text(2, "DeleteMarkerVersionId").unwrap()];
    let told = delete(&[("a", &one), ("b", &markers[0]), ("never", &markers[1]), ("b", &plain)]);
    assert!(told.iter().all(|d| d.name == "Deleted"));
    assert_eq!(told[1].text_of("DeleteMarker"), Some("true"));
    assert_eq!(told[1].text_of("DeleteMarkerVersionId"), Some(&*markers[0]));
    assert!(world.listed(10, &[]).is_empty());
}

#[test]
fn pages_of_versions() {
    let mut world = World::kept();
    // Newest first, markers among them.
    let mut expected: Vec<Entry> = Vec::new();
    for key in ["a", "a/1", "a/2", "b", "\u{e9} +&"] {
        let mut of_key: Vec<Entry> = Vec::new();
        for n in 0..4 {
            let deletes = n % 2 == 1 && key != "b";
            let id = if deletes { version(&world.send(&on("DELETE", key)).expect(204)).unwrap() } else { world.made(key, &n.to_string()) };
            of_key.insert(0, (key.to_owned(), id, false, deletes));
        }
        of_key[0].2 = true;
        expected.extend(of_key);
    }
    for max in [1, 2, 3, 7, 1000] {
        assert_eq!(world.listed(max, &[]), expected, "pages of {max}");
        let prefixed: Vec<Entry> = expected.iter().filter(|e| e.0.starts_with("a/")).cloned().collect();
        assert_eq!(world.listed(max, &[("prefix", "a/")]), prefixed, "pages of {max}");
        let mut grouped: Vec<Entry> = expected.iter().filter(|e| !e.0.starts_with("a/")).cloned().collect();
        grouped.push(("a/".into(), String::new(), false, false));
        let mut listed = world.listed(max, &[("delimiter", "/")]);
        listed.sort();
        grouped.sort();
        assert_eq!(listed, grouped, "pages of {max}");
    }
    // From the middle of a key: what is older of it, then the others.
    let from =
        |key: &str, id: &str| Request::new("GET", "/kept").query("versions", "").query("key-marker", key).query("version-id-marker", id);
    let rest = world.send(&from("a", &expected[1].1)).expect(200).xml("ListVersionsResult");
    let first = rest.children.iter().find(|c| matches!(&*c.name, "Version" | "DeleteMarker")).unwrap();
    assert_eq!(first.text_of("VersionId"), Some(&*expected[2].1));
    for element in ["Owner", "LastModified"] {
        assert!(first.child(element).is_some(), "{first:?}");
    }
    let version = rest.children.iter().find(|c| c.name == "Version").unwrap();
    for element in ["ETag", "Size", "StorageClass", "ChecksumAlgorithm", "ChecksumType"] {
        assert!(version.child(element).is_some(), "{version:?}");
    }
    world.send(&from("", &expected[1].1)).refused(400, "InvalidArgument");
    let none = world.send(&Request::new("GET", "/kept").query("versions", "").query("max-keys", "0")).expect(200).xml("ListVersionsResult");
    assert_eq!(none.text_of("IsTruncated"), Some("false"));
    let encoded = world.send(&Request::new("GET", "/kept").query("versions", "").query("encoding-type", "url").query("prefix", "\u{e9}"));
    let encoded = encoded.expect(200).xml("ListVersionsResult");
    let keys: Vec<_> = encoded.children.iter().filter_map(|c| c.text_of("Key")).collect();
    assert_eq!(keys, ["%C3%A9%20%2B%26"; 4]);
}

#[test]
fn copies_take_the_version_that_is_named() {
    let mut world = World::kept();
    let (one, two) = (world.made("k", "one"), world.made("k", "two"));
    let copy = |to: &str, from: &str| on("PUT", to).header("x-amz-copy-source", from);
    for (from, body, id) in [(format!("kept/k?versionId={one}"), "one", &one), ("/kept/k".to_owned(), "two", &two)] {
        let copied = world.send(&copy("copy", &from)).expect(200);
        assert_eq!(copied.header("x-amz-copy-source-version-id"), Some(&**id));
        let made = version(&copied).unwrap();
        assert_eq!(world.body("copy", Some(&made)), body);
    }
    // Onto itself it brings an older one back.
    world.send(&copy("k", "kept/k")).refused(400, "InvalidRequest");
    let back = version(&world.send(&copy("k", &format!("kept/k?versionId={one}"))).expect(200)).unwrap();
    assert_eq!((world.body("k", None), world.body("k", Some(&two))), ("one".into(), "two".into()));
    assert!(back != one && back != two);
    let upload = world.client.create_upload(&acme(), BUCKET, "parts");
    let part = copy("parts", &format!("kept/k?versionId={two}")).query("partNumber", "1").query("uploadId", &upload);
    let part = world.send(&part).expect(200);
    assert_eq!(part.header("x-amz-copy-source-version-id"), Some(&*two));
    let etag = part.xml("CopyPartResult").text_of("ETag").unwrap().trim_matches('"').to_owned();
    let completed = world.client.complete(&acme(), BUCKET, "parts", &upload, &[(1, etag)]).expect(200);
    let made = version(&completed).unwrap();
    assert_eq!(world.body("parts", Some(&made)), "two");
    world.send(&copy("copy", "kept/k?versionId=no%20id")).refused(400, "InvalidArgument");
}

#[test]
fn conditions_look_at_the_current_version() {
    let mut world = World::kept();
    world.made("k", "one");
    let one = world.send(&on("HEAD", "k")).etag();
    let two = world.made("k", "two");
    let put = |name: &str, value: &str| on("PUT", "k").header(name, value).body("new");
    world.send(&put("if-match", &one)).refused(412, "PreconditionFailed");
    world.send(&put("if-none-match", "*")).refused(412, "PreconditionFailed");
    world.send(&on("DELETE", "k").header("if-match", &one)).refused(412, "PreconditionFailed");
    let etag = world.send(&named("HEAD", "k", Some(&two))).etag();
    assert!(is_marker(&world.send(&on("DELETE", "k").header("if-match", &etag)).expect(204)));
    // What a marker hides is not there.
    world.send(&put("if-match", &etag)).refused(404, "NoSuchKey");
    world.send(&put("if-none-match", "*")).expect(200);
    assert_eq!(world.listed(10, &[]).len(), 4);
}

/// A version has rights of its own; who may read what a key shows may not read what it showed.
#[test]
fn rights_of_versions() {
    let mut world = World::kept();
    let (old, new) = (world.made("k", "old"), world.made("k", "new"));
    let allow = |actions: &str, more: &str| {
        let policy = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":"*","Action":[{actions}],"Resource":"arn:aws:s3:::kept/*"{more}}}]}}"#
        );
        Request::new("PUT", "/kept").query("policy", "").body(policy)
    };
    let (current, of_old, of_new) = (on("GET", "k"), named("GET", "k", Some(&old)), named("GET", "k", Some(&new)));
    let reads = |world: &mut World, expected: [u16; 3]| {
        for sign in [Sign::No, Sign::Header(&bravo())] {
            let got = [&current, &of_old, &of_new].map(|request| world.client.send(request, sign).status);
            assert_eq!(got, expected);
        }
    };
    reads(&mut world, [403, 403, 403]);
    world.send(&allow(r#""s3:GetObject""#, "")).expect(204);
    reads(&mut world, [200, 403, 403]);
    world.send(&allow(r#""s3:GetObjectVersion""#, "")).expect(204);
    reads(&mut world, [403, 200, 200]);
    let only_old = format!(r#","Condition":{{"StringEquals":{{"s3:VersionId":"{old}"}}}}"#);
    world.send(&allow(r#""s3:GetObject*""#, &only_old)).expect(204);
    reads(&mut world, [403, 200, 403]);
    // As the source of a copy too.
    world.client.make_bucket(&bravo(), "elsewhere");
    for (id, status) in [(&old, 200), (&new, 403)] {
        let copy = Request::on("PUT", "elsewhere", "copy").header("x-amz-copy-source", &format!("kept/k?versionId={id}"));
        world.client.send(&copy, Sign::Header(&bravo())).expect(status);
    }
    world.send(&allow(r#""s3:DeleteObject""#, "")).expect(204);
    for (request, status) in [(named("DELETE", "k", Some(&old)), 403), (on("DELETE", "k"), 204)] {
        world.client.send(&request, Sign::Header(&bravo())).expect(status);
    }
    world.send(&allow(r#""s3:DeleteObjectVersion""#, "")).expect(204);
    for (request, status) in [(on("DELETE", "k"), 403), (named("DELETE", "k", Some(&old)), 204)] {
        world.client.send(&request, Sign::Header(&bravo())).expect(status);
    }
    let batch = format!("<Delete><Object><Key>k</Key><VersionId>{new}</VersionId></Object><Object><Key>k</Key></Object></Delete>");
    let batch = Request::new("POST", "/kept").query("delete", "").body(batch).content_md5();
    let told = world.client.send(&batch, Sign::Header(&bravo())).expect(200).xml("DeleteResult").children;
    assert_eq!((&*told[0].name, told[1].text_of("Code")), ("Deleted", Some("AccessDenied")));
    // An ACL is that of one version.
    let (old, new) = (world.made("acl", "old"), world.made("acl", "new"));
    world.send(&named("PUT", "acl", Some(&old)).query("acl", "").header("x-amz-acl", "public-read")).expect(200);
    for (id, status) in [(None, 403), (Some(&*old), 200), (Some(&*new), 403)] {
        world.client.send(&named("GET", "acl", id), Sign::No).expect(status);
    }
    let grants =
        |world: &mut World, id: &str| world.send(&named("GET", "acl", Some(id)).query("acl", "")).expect(200).text().contains("AllUsers");
    assert!(grants(&mut world, &old) && !grants(&mut world, &new));
    // A link opens the version that it was made for.
    let link = |id: &str| named("GET", "acl", Some(id));
    assert_eq!(world.client.send(&link(&new), Sign::Presigned(&acme())).expect(200).text(), "new");
}

/// Every operation that takes a version, on every kind of version, by everyone: what one may not see one can't tell from what is not there.
#[test]
fn nothing_crosses_by_version() {
    let mut world = World::kept();
    let old = world.made("key-shown", "acme's own");
    world.made("key-shown", "acme's own too");
    let hidden = world.made("key-hides", "acme's own");
    let marker = version(&world.send(&on("DELETE", "key-hides")).expect(204)).unwrap();
    let unknown = format!("{}{}", &old[..old.len() - 1], if old.ends_with('f') { 'e' } else { 'f' });
    let (bravo_key, operator_key) = (bravo(), operator());
    let before = world.listed(100, &[]);
    let body = |name: &str| match name {
        "retention" => "<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2099-01-01T00:00:00Z</RetainUntilDate></Retention>",
        "legal-hold" => "<LegalHold><Status>ON</Status></LegalHold>",
        "restore" => "<RestoreRequest><Days>1</Days></RestoreRequest>",
        _ => "",
    };
    let subs = [("GET", ""), ("HEAD", ""), ("DELETE", ""), ("GET", "attributes"), ("GET", "acl"), ("PUT", "acl"), ("GET", "retention")];
    let subs = subs.into_iter().chain([("PUT", "retention"), ("GET", "legal-hold"), ("PUT", "legal-hold"), ("POST", "restore")]);
    for (method, sub) in subs {
        let ask = |key: &str, id: &str| {
            let request = named(method, key, Some(id)).body(body(sub));
            let request = if sub.is_empty() { request } else { request.query(sub, "") };
            let request = if sub == "attributes" { request.header("x-amz-object-attributes", "ETag") } else { request };
            if (method, sub) == ("PUT", "acl") { request.header("x-amz-acl", "public-read") } else { request }
        };
        for sign in [Sign::No, Sign::Header(&bravo_key)] {
            let mut told = Vec::new();
            for (key, id) in [
                ("key-shown", &*old),
                ("key-shown", "null"),
                ("key-shown", &unknown),
                ("key-hides", &marker),
                ("key-hides", &hidden),
                ("key-never", &old),
            ] {
                let answer = world.client.send(&ask(key, id), sign).expect(403);
                assert!(!is_marker(&answer) && version(&answer).is_none(), "{answer:?}");
                told.push(crate::s3::matrix::world::shown(&answer).replace(key, "KEY"));
            }
            told.dedup();
            assert_eq!(told.len(), 1, "{method} {sub}: {told:#?}");
        }
    }
    assert_eq!(world.listed(100, &[]), before);
    // Its owner and the operator, of the very same.
    for key in [&acme(), &operator_key] {
        for (id, status) in [(&*old, 200), ("null", 404), (&*unknown, 404)] {
            world.client.send(&named("GET", "key-shown", Some(id)), Sign::Header(key)).expect(status);
        }
        world.client.send(&named("GET", "key-hides", Some(&marker)), Sign::Header(key)).expect(405);
    }
    // A version of another's bucket is none of one's own.
    world.client.make_bucket(&bravo_key, "bravos");
    let body = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    world.client.send(&Request::new("PUT", "/bravos").query("versioning", "").body(body), Sign::Header(&bravo_key)).expect(200);
    world.client.put(&bravo_key, "bravos", "k", b"bravo's").expect(200);
    let foreign = Request::on("GET", "bravos", "k").query("versionId", &old);
    world.client.send(&foreign, Sign::Header(&bravo_key)).refused(404, "NoSuchVersion");
    let copy = Request::on("PUT", "bravos", "stolen").header("x-amz-copy-source", &format!("kept/key-shown?versionId={old}"));
    world.client.send(&copy, Sign::Header(&bravo_key)).refused(403, "AccessDenied");
    for request in [Request::new("GET", "/kept").query("versions", ""), Request::new("GET", "/kept").query("versioning", "")] {
        world.client.send(&request, Sign::Header(&bravo_key)).refused(403, "AccessDenied");
        world.client.send(&request, Sign::No).refused(403, "AccessDenied");
    }
    let stop = "<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>";
    world
        .client
        .send(&Request::new("PUT", "/kept").query("versioning", "").body(stop), Sign::Header(&bravo_key))
        .refused(403, "AccessDenied");
}

/// As with keys: a listing would tell.
#[test]
fn who_may_list_versions_may_know_which_there_are() {
    let mut world = World::kept();
    let old = world.made("k", "x");
    let unknown = format!("{}{}", &old[..old.len() - 1], if old.ends_with('f') { 'e' } else { 'f' });
    let policy = |actions: &str| {
        let text = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":"bravo"}},"Action":[{actions}],"Resource":["arn:aws:s3:::kept","arn:aws:s3:::kept/*"]}}]}}"#
        );
        Request::new("PUT", "/kept").query("policy", "").body(text)
    };
    let by: Key = bravo();
    for (actions, missing, key) in [
        (r#""s3:ListBucket""#, 403, 404),
        (r#""s3:ListBucket","s3:GetObjectVersion""#, 404, 404),
        (r#""s3:ListBucketVersions""#, 404, 403),
        (r#""s3:GetObject*""#, 403, 403),
    ] {
        world.send(&policy(actions)).expect(204);
        world.client.send(&named("GET", "k", Some(&unknown)), Sign::Header(&by)).expect(missing);
        world.client.send(&on("GET", "never"), Sign::Header(&by)).expect(key);
    }
}
