//! The list of headers that S3 knows (`http/s3/headers.rs`), line by line: each header goes to the operations of the door, in a
//! header and hoisted into the query of a presigned URL, and the door does what the list says.

use tidegate::http::s3::headers::{Does, On, ROWS, Row};
use tidegate::http::s3::operation::Operation::{self, *};

use crate::support::client::{Answer, Client, Request, Sign, complete_document};
use crate::support::gateway::{Gateway, acme, bravo};
use crate::support::signer::unsigned_chunks;

const OPERATIONS: [Operation; 13] = [
    PutObject,
    PublishObject,
    CopyObject,
    CreateMultipartUpload,
    UploadPart,
    UploadPartCopy,
    CompleteMultipartUpload,
    CreateBucket,
    PutBucketAcl,
    PutObjectAcl,
    DeleteObject,
    GetObject,
    ListObjectsV2,
];

struct World {
    _gateway: Gateway,
    client: Client,
    upload: String,
    part: String,
    made: usize,
}

impl World {
    fn new() -> Self {
        let gateway = Gateway::start();
        let mut client = gateway.client();
        client.make_bucket(&acme(), "media");
        client.make_bucket(&acme(), "old");
        client.put(&acme(), "media", "source", b"source").expect(200);
        client.put(&acme(), "media", "k", b"there").expect(200);
        client.put(&acme(), "media", "gone", b"there").expect(200);
        let mut world = World { _gateway: gateway, client, upload: String::new(), part: String::new(), made: 0 };
        world.new_upload();
        world
    }

    fn new_upload(&mut self) {
        self.upload = self.client.create_upload(&acme(), "media", "k");
        self.part = self.client.upload_part(&acme(), "media", "k", &self.upload, 1, b"there").expect(200).etag();
    }

    fn request(&mut self, operation: Operation) -> Request {
        let on = |method: &str| Request::on(method, "media", "k");
        let part = |request: Request, upload: &str| request.query("partNumber", "1").query("uploadId", upload);
        match operation {
            PutObject => on("PUT").body("there"),
            PublishObject => on("PUT").query("publish", "").body("there"),
            CopyObject => on("PUT").header("x-amz-copy-source", "/media/source").header("x-amz-metadata-directive", "REPLACE"),
            CreateMultipartUpload => on("POST").query("uploads", ""),
            UploadPart => part(on("PUT"), &self.upload).body("there"),
            UploadPartCopy => part(on("PUT"), &self.upload).header("x-amz-copy-source", "/media/source"),
            CompleteMultipartUpload => on("POST").query("uploadId", &self.upload).body(complete_document(&[(1, self.part.clone())])),
            CreateBucket => {
                self.made += 1;
                Request::new("PUT", &format!("/made-{}", self.made))
            }
            PutBucketAcl => Request::new("PUT", "/old").query("acl", "").header("x-amz-acl", "private"),
            PutObjectAcl => on("PUT").query("acl", "").header("x-amz-acl", "private"),
            DeleteObject => Request::on("DELETE", "media", "gone"),
            DeleteObjects => {
                let document = "<Delete><Object><Key>gone</Key></Object></Delete>";
                Request::new("POST", "/media").query("delete", "").body(document)
            }
            GetObject => on("GET"),
            HeadObject => on("HEAD"),
            GetObjectAttributes => on("GET").query("attributes", "").header("x-amz-object-attributes", "ETag"),
            ListObjectsV2 => Request::new("GET", "/media").query("list-type", "2"),
            other => panic!("no request for {other:?}"),
        }
    }

    fn send(&mut self, request: &Request) -> Answer {
        self.client.send(request, Sign::Header(&acme()))
    }

    /// After an operation that went through.
    fn again(&mut self, operation: Operation) {
        match operation {
            CompleteMultipartUpload => self.new_upload(),
            UploadPartCopy => {
                let (upload, client) = (self.upload.clone(), &mut self.client);
                self.part = client.upload_part(&acme(), "media", "k", &upload, 1, b"there").expect(200).etag();
            }
            DeleteObject => drop(self.client.put(&acme(), "media", "gone", b"there").expect(200)),
            _ => {}
        }
    }

    fn state(&mut self) -> (Vec<String>, Vec<Vec<u8>>, String) {
        let keys = self.client.list(&acme(), "media", &[]).keys;
        let bodies = keys.iter().map(|k| self.client.get(&acme(), "media", k).expect(200).body).collect();
        (keys, bodies, self.send(&Request::new("GET", "/")).expect(200).text())
    }
}

/// Those that the client under test does not send anyhow, and that do not choose the operation.
fn is_probed(row: &Row) -> bool {
    let name = row.name;
    let own = ["x-amz-date", "x-amz-content-sha256", "x-amz-security-token", "x-amz-copy-source"].contains(&name);
    !own && (name.starts_with("x-amz-") || name.starts_with("if-") || name == "content-range")
}

#[test]
fn each_header_is_refused_or_harmless_as_the_list_says() {
    let mut world = World::new();
    let before = world.state();
    let mut refused = 0;
    for row in ROWS.iter().filter(|r| is_probed(r)) {
        for operation in OPERATIONS {
            let request = world.request(operation);
            // Sent already, with another value.
            if row.does(operation, b"1") == Does::Honour || request.headers.iter().any(|(n, _)| n == row.name) {
                continue;
            }
            let answer = world.send(&request.clone().header(row.name, "1"));
            if row.does(operation, b"1") == Does::Refuse {
                assert_eq!((answer.status, &*answer.code()), (501, "NotImplemented"), "{} {operation:?}: {}", row.name, answer.text());
                assert!(answer.text().contains(row.name));
                refused += 1;
                for idle in row.idle.iter().filter(|_| matches!(operation, PutObject | CreateBucket)) {
                    let request = world.request(operation).header(row.name, idle);
                    let answer = world.send(&request);
                    assert_eq!(answer.status, 200, "{}: {idle:?}: {}", row.name, answer.text());
                }
            } else {
                assert!(answer.status < 300, "{} {operation:?}: {}", row.name, answer.text());
                world.again(operation);
            }
        }
    }
    assert!(refused > 400, "{refused}");
    let after = world.state();
    let published = |(keys, bodies, _): &(Vec<String>, Vec<Vec<u8>>, String)| {
        keys.iter().cloned().zip(bodies.iter().cloned()).filter(|(k, b)| k.starts_with("k-") && b == b"there").count()
    };
    assert_eq!((after.0.len() - published(&after), published(&before)), (before.0.len(), 0), "what was refused is not there");
}

#[test]
fn a_hoisted_header_is_refused_like_any_other() {
    let mut world = World::new();
    for row in ROWS.iter().filter(|r| is_probed(r) && r.name.starts_with("x-amz-")) {
        let put = Request::on("PUT", "media", "hoisted").query(&row.name.to_uppercase(), "1").body("x");
        if row.does(PutObject, b"1") == Does::Refuse {
            world.client.send(&put, Sign::Presigned(&acme())).refused(501, "NotImplemented");
        }
    }
    // The checksum of nothing stands for a body that the signer did not know; any other is a promise.
    let put = |value: &str| Request::on("PUT", "media", "hoisted").query("x-amz-checksum-crc32", value).body("hello");
    world.client.send(&put("AAAAAQ=="), Sign::Presigned(&acme())).refused(400, "BadDigest");
    world.client.get(&acme(), "media", "hoisted").refused(404, "NoSuchKey");
    world.client.send(&put("NhCmhg=="), Sign::Presigned(&acme())).expect(200);
    world.client.send(&put("AAAAAA=="), Sign::Presigned(&acme())).expect(200);
}

type Probe = (&'static str, &'static [Operation], &'static str, u16, &'static str);

/// A value of each honoured header that must be refused, and how.
const PROBES: &[Probe] = &[
    (
        "content-md5",
        &[PutObject, PublishObject, UploadPart, CompleteMultipartUpload, CreateBucket],
        "AAAAAAAAAAAAAAAAAAAAAA==",
        400,
        "BadDigest",
    ),
    ("if-match", &[GetObject, PutObject, CopyObject], "\"00000000000000000000000000000000\"", 412, "PreconditionFailed"),
    ("if-match", &[DeleteObject], "\"00000000000000000000000000000000\"", 412, "PreconditionFailed"),
    ("if-none-match", &[PutObject, CopyObject, CompleteMultipartUpload], "*", 412, "PreconditionFailed"),
    ("if-unmodified-since", &[GetObject], "Sat, 01 Jan 2000 00:00:00 GMT", 412, "PreconditionFailed"),
    ("range", &[GetObject], "bytes=100000-", 416, "InvalidRange"),
    ("x-amz-acl", &[PutObject, PublishObject, CopyObject, CreateMultipartUpload, CreateBucket], "public", 400, "InvalidArgument"),
    ("x-amz-checksum-algorithm", &[CreateMultipartUpload, CopyObject, UploadPartCopy], "SHA3", 400, "InvalidRequest"),
    ("x-amz-checksum-crc32", &[PutObject, PublishObject, UploadPart, CreateBucket], "AAAAAQ==", 400, "BadDigest"),
    ("x-amz-checksum-crc32c", &[PutObject, PublishObject, UploadPart, CreateBucket], "AAAAAQ==", 400, "BadDigest"),
    ("x-amz-checksum-crc64nvme", &[PutObject, UploadPart, CompleteMultipartUpload], "AAAAAAAAAAE=", 400, "BadDigest"),
    ("x-amz-checksum-sha1", &[PutObject, PublishObject, UploadPart], "AAAAAAAAAAAAAAAAAAAAAAAAAAA=", 400, "BadDigest"),
    ("x-amz-checksum-sha256", &[PutObject, UploadPart], "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", 400, "BadDigest"),
    ("x-amz-checksum-md5", &[PutObject, PublishObject, UploadPart, CreateBucket], "AAAAAAAAAAAAAAAAAAAAAA==", 400, "BadDigest"),
    (
        "x-amz-checksum-sha512",
        &[PutObject, UploadPart],
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==",
        400,
        "BadDigest",
    ),
    ("x-amz-checksum-xxhash64", &[PutObject, PublishObject, UploadPart], "AAAAAAAAAAE=", 400, "BadDigest"),
    ("x-amz-checksum-xxhash3", &[PutObject, UploadPart, CreateBucket], "AAAAAAAAAAE=", 400, "BadDigest"),
    ("x-amz-checksum-xxhash128", &[PutObject, UploadPart], "AAAAAAAAAAAAAAAAAAAAAA==", 400, "BadDigest"),
    ("x-amz-checksum-type", &[CreateMultipartUpload, CompleteMultipartUpload], "NONE", 400, "InvalidRequest"),
    ("x-amz-copy-source-if-match", &[CopyObject, UploadPartCopy], "\"00000000000000000000000000000000\"", 412, "PreconditionFailed"),
    ("x-amz-copy-source-if-none-match", &[CopyObject, UploadPartCopy], "*", 412, "PreconditionFailed"),
    ("x-amz-copy-source-if-unmodified-since", &[CopyObject, UploadPartCopy], "Sat, 01 Jan 2000 00:00:00 GMT", 412, "PreconditionFailed"),
    ("x-amz-copy-source-range", &[UploadPartCopy], "bytes=3-100", 416, "InvalidRange"),
    (
        "x-amz-expected-bucket-owner",
        &[
            PutObject,
            PublishObject,
            CopyObject,
            CreateMultipartUpload,
            UploadPart,
            UploadPartCopy,
            CompleteMultipartUpload,
            PutBucketAcl,
            PutObjectAcl,
            DeleteObject,
            DeleteObjects,
            GetObject,
            GetObjectAttributes,
            ListObjectsV2,
        ],
        "bravo",
        403,
        "AccessDenied",
    ),
    (
        "x-amz-grant-full-control",
        &[PutObject, PublishObject, CopyObject, CreateMultipartUpload, CreateBucket],
        "id=nobody",
        400,
        "InvalidArgument",
    ),
    ("x-amz-grant-read", &[PutObject, CopyObject, PutBucketAcl, PutObjectAcl], "uri=nowhere", 400, "InvalidArgument"),
    ("x-amz-grant-read-acp", &[PutObject, CreateBucket, PutObjectAcl], "nobody", 400, "InvalidArgument"),
    ("x-amz-grant-write", &[PutObject, CreateBucket, PutBucketAcl], "emailAddress=a@example.com", 400, "UnresolvableGrantByEmailAddress"),
    ("x-amz-grant-write-acp", &[PutObject, CreateBucket, PutBucketAcl], "other=bravo", 400, "InvalidArgument"),
    ("x-amz-if-match-last-modified-time", &[DeleteObject], "Sat, 01 Jan 2000 00:00:00 GMT", 412, "PreconditionFailed"),
    ("x-amz-if-match-size", &[DeleteObject], "1", 412, "PreconditionFailed"),
    ("x-amz-mp-object-size", &[CompleteMultipartUpload], "1", 400, "InvalidRequest"),
    ("x-amz-object-ownership", &[CreateBucket], "Nobody", 400, "InvalidArgument"),
    ("x-amz-sdk-checksum-algorithm", &[PutObject, PublishObject, UploadPart, CreateBucket], "SHA3", 400, "InvalidRequest"),
    ("x-amz-source-expected-bucket-owner", &[CopyObject, UploadPartCopy], "bravo", 403, "AccessDenied"),
    ("x-amz-storage-class", &[PutObject, PublishObject, CopyObject, CreateMultipartUpload], "COLD", 400, "InvalidStorageClass"),
    ("x-amz-tagging", &[PutObject, PublishObject, CreateMultipartUpload], "a=1&a=2", 400, "InvalidArgument"),
    ("x-amz-tagging-directive", &[CopyObject], "KEEP", 400, "InvalidArgument"),
    ("x-amz-trailer", &[PutObject, UploadPart], "x-amz-checksum-sha3", 400, "InvalidRequest"),
    (
        "x-amz-website-redirect-location",
        &[PutObject, PublishObject, CopyObject, CreateMultipartUpload],
        "nowhere",
        400,
        "InvalidRedirectLocation",
    ),
];

/// Honoured headers that say what is stored or told, or who asks: other tests look at what comes of them.
const SEEN_ELSEWHERE: &[&str] = &[
    "authorization",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-type",
    "date",
    "expires",
    "host",
    "if-modified-since",
    "if-range",
    "origin",
    "x-amz-checksum-mode",
    "x-amz-content-sha256",
    "x-amz-copy-source",
    "x-amz-copy-source-if-modified-since",
    "x-amz-date",
    "x-amz-decoded-content-length",
    "x-amz-max-parts",
    "x-amz-metadata-directive",
    "x-amz-object-attributes",
    "x-amz-part-number-marker",
    "x-amz-security-token",
    // Of locks and of lifecycle rules, which have tests of their own.
    "x-amz-bucket-object-lock-enabled",
    "x-amz-bypass-governance-retention",
    "x-amz-object-lock-legal-hold",
    "x-amz-object-lock-mode",
    "x-amz-object-lock-retain-until-date",
    "x-amz-transition-default-minimum-object-size",
    // Of notifications: `events::deliveries`.
    "x-amz-skip-destination-validation",
    // Of encryption: `s3::encryption`.
    "x-amz-copy-source-server-side-encryption-customer-algorithm",
    "x-amz-copy-source-server-side-encryption-customer-key",
    "x-amz-copy-source-server-side-encryption-customer-key-md5",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-bucket-key-enabled",
    "x-amz-server-side-encryption-context",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-server-side-encryption-customer-key",
    "x-amz-server-side-encryption-customer-key-md5",
];

#[test]
fn what_is_honoured_is_looked_at() {
    for row in ROWS.iter().filter(|r| r.honoured != On::Nothing) {
        let probed = PROBES.iter().any(|p| p.0 == row.name);
        assert!(probed != SEEN_ELSEWHERE.contains(&row.name), "{}", row.name);
    }
    let mut world = World::new();
    let before = world.state();
    for (name, operations, value, status, code) in PROBES {
        for operation in *operations {
            let mut request = world.request(*operation);
            request.headers.retain(|(n, _)| n != name);
            let answer = world.send(&request.header(name, value));
            assert_eq!((answer.status, &*answer.code()), (*status, *code), "{name} {operation:?}: {}", answer.text());
        }
    }
    assert_eq!(world.state(), before);
}

#[test]
fn a_trailer_that_was_not_announced_is_refused() {
    let mut world = World::new();
    let put = |announced: Option<&str>, trailers: &[(&str, &str)]| {
        let request = Request::on("PUT", "media", "trailed")
            .header("content-encoding", "aws-chunked")
            .header("x-amz-decoded-content-length", "5")
            .payload_hash("STREAMING-UNSIGNED-PAYLOAD-TRAILER")
            .body(unsigned_chunks(&[b"hello"], trailers));
        announced.map_or(request.clone(), |name| request.header("x-amz-trailer", name))
    };
    let crc32 = ("x-amz-checksum-crc32", "NhCmhg==");
    for (announced, trailers) in [
        (None, &[("x-amz-checksum-crc32", "AAAAAA==")][..]),
        (None, &[crc32]),
        (None, &[("x-amz-checksum-sha512", "AAAA")]),
        (Some("x-amz-checksum-crc32"), &[crc32, ("x-amz-checksum-sha1", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=")]),
        (Some("x-amz-checksum-crc32"), &[crc32, ("x-of-mine", "1")]),
        (Some("x-amz-checksum-crc32"), &[("x-amz-checksum-crc32c", "NhCmhg==")]),
        (Some("x-amz-checksum-crc32"), &[]),
    ] {
        let answer = world.send(&put(announced, trailers));
        assert_eq!((answer.status, &*answer.code()), (400, "MalformedTrailerError"), "{announced:?} {trailers:?}: {}", answer.text());
    }
    for unknown in
        ["x-amz-checksum-sha3", "x-amz-checksum-algorithm", "x-amz-checksum-type", "x-of-mine", "x-amz-checksum-crc32, x-of-mine"]
    {
        world.send(&put(Some(unknown), &[crc32])).refused(400, "InvalidRequest");
    }
    world.client.get(&acme(), "media", "trailed").refused(404, "NoSuchKey");
    world.send(&put(Some("x-amz-checksum-crc32"), &[crc32])).expect(200);
    world.send(&put(None, &[])).expect(200);
}

/// The owner that is expected of the target was asked of the source, and the one expected of the source of nobody.
#[test]
fn each_bucket_of_a_copy_has_the_owner_that_is_expected() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    client.make_bucket(&acme(), "target");
    client.make_bucket(&bravo(), "source");
    let open = Request::on("PUT", "source", "k").header("x-amz-acl", "public-read").body("x");
    client.send(&open, Sign::Header(&bravo())).expect(200);
    let upload = client.create_upload(&acme(), "target", "parts");
    let whole = Request::on("PUT", "target", "k").header("x-amz-copy-source", "/source/k");
    let part = Request::on("PUT", "target", "parts").query("partNumber", "1").query("uploadId", &upload);
    for copy in [whole, part.header("x-amz-copy-source", "/source/k")] {
        for (target, source, status) in [("acme", "bravo", 200), ("acme", "acme", 403), ("bravo", "bravo", 403), ("bravo", "acme", 403)] {
            let copy = copy.clone().header("x-amz-expected-bucket-owner", target).header("x-amz-source-expected-bucket-owner", source);
            assert_eq!(client.send(&copy, Sign::Header(&acme())).status, status, "{target} {source}");
        }
    }
}

#[test]
fn an_acl_is_said_once_and_is_one_that_there_is() {
    let mut world = World::new();
    let owner = "<Owner><ID>acme</ID></Owner>";
    let grant = |who: &str, permission: &str| {
        let kind = if who.starts_with("http") { "URI" } else { "ID" };
        format!("<Grant><Grantee><{kind}>{who}</{kind}></Grantee><Permission>{permission}</Permission></Grant>")
    };
    let full = grant("acme", "FULL_CONTROL");
    let everyone = grant("http://acs.amazonaws.com/groups/global/AllUsers", "READ");
    let policy = |owner: &str, grants: &str| {
        format!("<AccessControlPolicy>{owner}<AccessControlList>{grants}</AccessControlList></AccessControlPolicy>")
    };
    for request in [Request::new("PUT", "/media").query("acl", ""), Request::on("PUT", "media", "k").query("acl", "")] {
        let both = request.clone().header("x-amz-acl", "private").body(policy(owner, &format!("{full}{everyone}")));
        world.send(&both).refused(400, "UnexpectedContent");
        for (document, status, code) in [
            ("<AccessControlPolicy/>".to_owned(), 400, "MalformedACLError"),
            (format!("<AccessControlPolicy>{owner}</AccessControlPolicy>"), 400, "MalformedACLError"),
            (policy("", &full), 400, "MalformedACLError"),
            (policy(owner, "<Grant/>"), 400, "MalformedACLError"),
            (policy(owner, "<Other/>"), 400, "MalformedACLError"),
            (policy("<Owner><ID>bravo</ID></Owner>", &full), 403, "AccessDenied"),
            (policy(owner, &grant("nobody", "READ")), 400, "InvalidArgument"),
            (policy(owner, &grant("http://example.com/", "READ")), 400, "InvalidArgument"),
            (policy(owner, &grant("bravo", "EVERYTHING")), 400, "MalformedACLError"),
            (policy(owner, &full.repeat(101)), 400, "MalformedACLError"),
        ] {
            let answer = world.send(&request.clone().body(document.clone()));
            assert_eq!((answer.status, &*answer.code()), (status, code), "{document}: {}", answer.text());
        }
        let mut get = request.clone();
        get.method = "GET".into();
        let now = world.send(&get).expect(200).text();
        assert!(!now.contains("AllUsers"), "{now}");
        world.send(&request.clone().body(policy(owner, &format!("{full}{everyone}")))).expect(200);
        // What is told can be said again.
        let told = world.send(&get).expect(200).text();
        assert!(told.contains("AllUsers"), "{told}");
        world.send(&request.body(told)).expect(200);
    }
}

#[test]
fn a_new_bucket_is_what_was_asked_for() {
    let mut world = World::new();
    let create = |inner: &str| {
        let document = format!("<CreateBucketConfiguration>{inner}</CreateBucketConfiguration>");
        Request::new("PUT", "/asked-for").body(document)
    };
    world.send(&create("<Tags><Tag><Key>aws:a</Key><Value>b</Value></Tag></Tags>")).refused(400, "InvalidTag");
    world.send(&create("<Location><Type>AvailabilityZone</Type></Location>")).refused(501, "NotImplemented");
    world.send(&create("<Bucket><DataRedundancy>SingleAvailabilityZone</DataRedundancy></Bucket>")).refused(501, "NotImplemented");
    world.send(&create("<Nonsense/>")).refused(400, "MalformedXML");
    world.send(&Request::new("HEAD", "/asked-for")).expect(404);
    world.send(&create("<LocationConstraint>eu-west-1</LocationConstraint><Tags/>")).expect(200);
    world.send(&Request::new("GET", "/asked-for").query("tagging", "")).refused(404, "NoSuchTagSet");
    // Once more, and with tags: it would not get them.
    world.send(&create("<Tags><Tag><Key>a</Key><Value>b</Value></Tag></Tags>")).refused(409, "BucketAlreadyExists");
}
