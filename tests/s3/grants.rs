//! ACLs of grants: set by headers and documents, read back, and what each permission opens. Over both stores.

use crate::support::client::{Answer, Client, Request, Sign};
use crate::support::gateway::{Gateway, Setup, acme, bravo};
use crate::support::signer::Key;
use tidegate::http::xml::Element;

fn small() -> Key {
    Key::new("AKSMALL", "small-secret")
}

fn both() -> [Gateway; 2] {
    let setup = || {
        let mut setup = Setup::new();
        // Here the gateway's own metadata have their room.
        setup.doors.gateways_above = false;
        setup.tenant("small", "", &[("AKSMALL", "small-secret", "")]);
        setup
    };
    [setup().start(), setup().start_over(Gateway::start())]
}

fn acl(client: &mut Client, request: Request) -> Vec<(String, String)> {
    let mut get = request.query("acl", "");
    get.method = "GET".into();
    let read = client.send(&get, Sign::Header(&acme())).expect(200).xml("AccessControlPolicy");
    let grants = &read.child("AccessControlList").unwrap().children;
    let who = |g: &Element| {
        let grantee = g.child("Grantee").unwrap();
        grantee.text_of("ID").or(grantee.text_of("URI")).unwrap().rsplit('/').next().unwrap().to_owned()
    };
    grants.iter().map(|g| (who(g), g.text_of("Permission").unwrap().to_owned())).collect()
}

fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect()
}

#[test]
fn every_way_to_make_something_takes_grants() {
    for gateway in both() {
        let mut client = gateway.client();
        let granted = |request: Request| {
            request
                .header("x-amz-grant-read", "id=\"bravo\", uri=http://acs.amazonaws.com/groups/global/AllUsers")
                .header("x-amz-grant-full-control", "id=acme")
        };
        let expected = pairs(&[("AllUsers", "READ"), ("acme", "FULL_CONTROL"), ("bravo", "READ")]);
        client.send(&granted(Request::new("PUT", "/granted")), Sign::Header(&acme())).expect(200);
        assert_eq!(acl(&mut client, Request::new("GET", "/granted")), expected);
        client.send(&granted(Request::on("PUT", "granted", "put").body("x")), Sign::Header(&acme())).expect(200);
        let copy = Request::on("PUT", "granted", "copy").header("x-amz-copy-source", "/granted/put");
        client.send(&granted(copy), Sign::Header(&acme())).expect(200);
        let begun = client.send(&granted(Request::on("POST", "granted", "parts").query("uploads", "")), Sign::Header(&acme())).expect(200);
        let upload = begun.xml("InitiateMultipartUploadResult").text_of("UploadId").unwrap().to_owned();
        let part = client.upload_part(&acme(), "granted", "parts", &upload, 1, b"part").expect(200).etag();
        client.complete(&acme(), "granted", "parts", &upload, &[(1, part)]).expect(200);
        client.put(&acme(), "granted", "set", b"x").expect(200);
        client.send(&granted(Request::on("PUT", "granted", "set").query("acl", "")), Sign::Header(&acme())).expect(200);
        for key in ["put", "copy", "parts", "set"] {
            assert_eq!(acl(&mut client, Request::on("GET", "granted", key)), expected, "{key}");
            client.send(&Request::on("GET", "granted", key), Sign::No).expect(200);
        }
        // A copy has none of it, unless it says so; and what says the same as a canned one is one.
        client.send(&Request::on("PUT", "granted", "plain").header("x-amz-copy-source", "/granted/put"), Sign::Header(&acme())).expect(200);
        assert_eq!(acl(&mut client, Request::on("GET", "granted", "plain")), pairs(&[("acme", "FULL_CONTROL")]));
        let both = Request::on("PUT", "granted", "put").body("x").header("x-amz-acl", "private");
        client.send(&granted(both), Sign::Header(&acme())).refused(400, "InvalidRequest");
    }
}

/// What bravo may do where it was given one permission on the bucket.
fn may_on_bucket(client: &mut Client, bucket: &str) -> [bool; 4] {
    let at = format!("/{bucket}");
    let requests = [
        Request::new("HEAD", &at),
        Request::on("PUT", bucket, "written").body("by bravo"),
        Request::new("GET", &at).query("acl", ""),
        Request::new("PUT", &at).query("acl", "").header("x-amz-grant-write-acp", "id=bravo"),
    ];
    requests.map(|request| ok(client.send(&request, Sign::Header(&bravo()))))
}

fn ok(answer: Answer) -> bool {
    assert!(matches!(answer.status, 200 | 403), "{}", answer.text());
    answer.status == 200
}

#[test]
fn each_permission_opens_its_own() {
    for gateway in both() {
        let mut client = gateway.client();
        for (n, (permission, may)) in [
            ("read", [true, false, false, false]),
            ("write", [false, true, false, false]),
            ("read-acp", [false, false, true, false]),
            ("write-acp", [false, false, false, true]),
            ("full-control", [true; 4]),
        ]
        .into_iter()
        .enumerate()
        {
            let (header, bucket) = (format!("x-amz-grant-{permission}"), format!("bucket-{n}"));
            client.send(&Request::new("PUT", &format!("/{bucket}")).header(&header, "id=bravo"), Sign::Header(&acme())).expect(200);
            assert_eq!(may_on_bucket(&mut client, &bucket), may, "{permission}");
            client.send(&Request::new("HEAD", &format!("/{bucket}")), Sign::Header(&small())).expect(403);

            let plain = format!("plain-{n}");
            client.make_bucket(&acme(), &plain);
            client.send(&Request::on("PUT", &plain, "k").header(&header, "id=bravo").body("x"), Sign::Header(&acme())).expect(200);
            let set = Request::on("PUT", &plain, "k").query("acl", "").header(&header, "id=bravo");
            let requests = [Request::on("GET", &plain, "k"), Request::on("GET", &plain, "k").query("acl", ""), set];
            let given = requests.map(|request| ok(client.send(&request, Sign::Header(&bravo()))));
            assert_eq!(given, [may[0], may[2], may[3]], "{permission}");
            client.send(&Request::on("GET", &plain, "k"), Sign::Header(&small())).refused(403, "AccessDenied");
            client.send(&Request::on("DELETE", &plain, "k"), Sign::Header(&bravo())).refused(403, "AccessDenied");
        }
    }
}

/// Grants lie where the client's metadata lie, wherever the object may be brought.
#[test]
fn grants_take_of_the_metadata_and_are_bounded() {
    for gateway in both() {
        let mut client = gateway.client();
        client.make_bucket(&acme(), "narrow");
        let granted = |request: Request| request.header("x-amz-grant-read", "id=bravo, id=small");
        let meta = |n: usize| Request::on("PUT", "narrow", "k").header("x-amz-meta-a", &"m".repeat(n)).body("x");
        client.send(&meta(1655), Sign::Header(&acme())).expect(200);
        client.send(&granted(meta(1655)), Sign::Header(&acme())).refused(400, "MetadataTooLarge");
        client.send(&granted(Request::on("PUT", "narrow", "k").query("acl", "")), Sign::Header(&acme())).refused(400, "MetadataTooLarge");
        client.send(&granted(meta(1500)), Sign::Header(&acme())).expect(200);
        assert_eq!(acl(&mut client, Request::on("GET", "narrow", "k")), pairs(&[("bravo", "READ"), ("small", "READ")]));
    }
}
