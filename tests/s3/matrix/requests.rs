//! One row for each operation and place: the request, and what the rules say of it. A new operation without a row
//! does not compile.

use tidegate::http::s3::operation::Operation;

use crate::s3::matrix::rules::{
    BUCKETS, Bucket, DENIED, NO_BUCKET, NO_KEY, NO_UPLOAD, NO_VERSION, OnBucket, OnObject, Outcome, TARGETS, Target, Who, may_object,
    on_bucket, on_key, on_object, on_version,
};
use crate::s3::matrix::world::{PART, World};
use crate::support::client::{Request, complete_document};
use crate::support::form::Form;

#[derive(Clone, Copy)]
pub struct Place {
    pub bucket: &'static Bucket,
    pub target: Option<&'static Target>,
}

pub type Expect = Box<dyn Fn(Who) -> Outcome>;

pub struct Row {
    pub variant: String,
    pub request: Request,
    /// In place of its body: a form, which is signed in its fields.
    pub form: Option<Form>,
    pub expect: Expect,
    /// Changes something where it is allowed.
    pub changes: bool,
}

enum Level {
    Service,
    Bucket,
    Object,
}

fn level(operation: Operation) -> Level {
    use Operation::*;
    match operation {
        ListBuckets => Level::Service,
        CreateBucket
        | HeadBucket
        | DeleteBucket
        | GetBucketLocation
        | GetBucketVersioning
        | ListObjects
        | ListObjectsV2
        | ListObjectVersions
        | DeleteObjects
        | ListMultipartUploads
        | GetBucketPolicy
        | GetBucketPolicyStatus
        | PutBucketPolicy
        | DeleteBucketPolicy
        | GetBucketAcl
        | PutBucketAcl
        | GetBucketCors
        | PutBucketCors
        | DeleteBucketCors
        | GetBucketTagging
        | PutBucketTagging
        | DeleteBucketTagging
        | GetBucketLifecycleConfiguration
        | PutBucketLifecycleConfiguration
        | DeleteBucketLifecycle
        | PutBucketVersioning
        | GetObjectLockConfiguration
        | PutObjectLockConfiguration => Level::Bucket,
        GetBucketEncryption
        | PutBucketEncryption
        | DeleteBucketEncryption
        | GetBucketLogging
        | PutBucketLogging
        | GetBucketNotificationConfiguration
        | PutBucketNotificationConfiguration
        | GetBucketRequestPayment
        | GetBucketAccelerateConfiguration
        | GetBucketReplication
        | GetBucketWebsite
        | PutBucketWebsite
        | DeleteBucketWebsite
        | GetBucketInventoryConfiguration
        | ListBucketInventoryConfigurations
        | GetBucketAnalyticsConfiguration
        | ListBucketAnalyticsConfigurations
        | GetBucketMetricsConfiguration
        | ListBucketMetricsConfigurations
        | GetBucketIntelligentTieringConfiguration
        | ListBucketIntelligentTieringConfigurations
        | GetBucketOwnershipControls
        | PutBucketOwnershipControls
        | DeleteBucketOwnershipControls
        | GetPublicAccessBlock
        | PutPublicAccessBlock
        | DeletePublicAccessBlock => Level::Bucket,
        GetObject
        | HeadObject
        | PutObject
        | PostObject
        | PublishObject
        | CopyObject
        | DeleteObject
        | GetObjectAttributes
        | GetObjectAcl
        | PutObjectAcl
        | GetObjectTagging
        | PutObjectTagging
        | DeleteObjectTagging
        | CreateMultipartUpload
        | UploadPart
        | UploadPartCopy
        | CompleteMultipartUpload
        | AbortMultipartUpload
        | ListParts
        | RestoreObject
        | GetObjectRetention
        | PutObjectRetention
        | GetObjectLegalHold
        | PutObjectLegalHold => Level::Object,
    }
}

pub fn places(operation: Operation) -> Vec<Place> {
    match level(operation) {
        Level::Service => vec![Place { bucket: &BUCKETS[0], target: None }],
        Level::Bucket => BUCKETS.iter().map(|bucket| Place { bucket, target: None }).collect(),
        Level::Object => TARGETS.iter().map(|t| Place { bucket: t.bucket, target: Some(t) }).collect(),
    }
}

fn row(variant: &str, request: Request, expect: impl Fn(Who) -> Outcome + 'static) -> Row {
    Row { variant: variant.into(), request, form: None, expect: Box::new(expect), changes: false }
}

fn changing(variant: &str, request: Request, expect: impl Fn(Who) -> Outcome + 'static) -> Row {
    Row { changes: true, ..row(variant, request, expect) }
}

pub fn rows(operation: Operation, place: Place, world: &World) -> Vec<Row> {
    match place.target {
        None => bucket_rows(operation, place.bucket),
        Some(target) => object_rows(operation, target, world),
    }
}

const OK: Outcome = (200, "");
/// What is published by hash.
pub const PUBLISHED: &str = "published";
const GONE: Outcome = (204, "");

pub const CORS_RULES: &str =
    "<CORSConfiguration><CORSRule><AllowedMethod>GET</AllowedMethod><AllowedOrigin>*</AllowedOrigin></CORSRule></CORSConfiguration>";

pub const TAGS: &str = "<Tagging><TagSet><Tag><Key>state</Key><Value>made</Value></Tag></TagSet></Tagging>";
pub const LIFECYCLE_RULES: &str = "<LifecycleConfiguration><Rule><ID>old</ID><Filter><Prefix>tmp/</Prefix></Filter><Status>Enabled</Status>\
    <Expiration><Days>30</Days></Expiration></Rule></LifecycleConfiguration>";
const OWNERSHIP: &str = "<OwnershipControls><Rule><ObjectOwnership>BucketOwnerPreferred</ObjectOwnership></Rule></OwnershipControls>";
const WEBSITE: &str = "<WebsiteConfiguration><IndexDocument><Suffix>i</Suffix></IndexDocument></WebsiteConfiguration>";
const ENCRYPTION: &str = "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm>\
                          </ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>";
const PUBLIC_ACCESS_BLOCK: &str =
    "<PublicAccessBlockConfiguration><RestrictPublicBuckets>true</RestrictPublicBuckets></PublicAccessBlockConfiguration>";

fn bucket_rows(operation: Operation, bucket: &'static Bucket) -> Vec<Row> {
    use Operation::*;
    let ask = |method: &str| Request::new(method, &format!("/{}", bucket.name));
    let sub = |method: &str, name: &str| ask(method).query(name, "");
    let manage = move |well: Outcome| move |who| on_bucket(who, OnBucket::Manage, bucket, None, well);
    let no_policy: Outcome = if bucket.policy.is_some() { OK } else { (404, "NoSuchBucketPolicy") };
    let policy = format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::{}/*"}}}}"#,
        bucket.name
    );
    match operation {
        ListBuckets => vec![row("", Request::new("GET", "/"), |who| if who == Who::Anonymous { DENIED } else { OK })],
        CreateBucket => {
            let expect = |again: Outcome| {
                move |who| match (who, bucket.owner) {
                    (Who::Anonymous, _) => DENIED,
                    (_, None) => OK,
                    (Who::Acme, Some("acme")) | (Who::Bravo, Some("bravo")) | (Who::Operator, Some("operator")) => again,
                    _ => (409, "BucketAlreadyExists"),
                }
            };
            // As in us-east-1: once more is no error, and changes nothing.
            let public = ask("PUT").header("x-amz-acl", "public-read");
            let mut rows = vec![row("", ask("PUT"), expect(OK)), row("public", public, expect((409, "BucketAlreadyExists")))];
            rows.iter_mut().for_each(|r| r.changes = bucket.owner.is_none());
            rows
        }
        HeadBucket => vec![row("", ask("HEAD"), move |who| on_bucket(who, OnBucket::List, bucket, None, OK))],
        DeleteBucket => vec![row("", ask("DELETE"), manage((409, "BucketNotEmpty")))],
        GetBucketLocation => {
            vec![row("", sub("GET", "location"), move |who| on_bucket(who, OnBucket::Location, bucket, None, OK))]
        }
        GetBucketVersioning => vec![row("", sub("GET", "versioning"), manage(OK))],
        // Once it was turned on a bucket can't be as it was: what is asked here can't be had.
        PutBucketVersioning => {
            let body = "<VersioningConfiguration><Status>Enabled</Status><MfaDelete>Enabled</MfaDelete></VersioningConfiguration>";
            vec![row("", sub("PUT", "versioning").body(body), manage((501, "NotImplemented")))]
        }
        GetObjectLockConfiguration => {
            vec![row("", sub("GET", "object-lock"), manage((404, "ObjectLockConfigurationNotFoundError")))]
        }
        PutObjectLockConfiguration => {
            let body = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>";
            vec![row("", sub("PUT", "object-lock").body(body), manage((409, "InvalidBucketState")))]
        }
        ListObjects => lists(bucket, OnBucket::List, ask("GET")),
        ListObjectsV2 => lists(bucket, OnBucket::List, ask("GET").query("list-type", "2").query("fetch-owner", "true")),
        ListMultipartUploads => lists(bucket, OnBucket::ListUploads, sub("GET", "uploads")),
        ListObjectVersions => lists(bucket, OnBucket::List, sub("GET", "versions")),
        DeleteObjects => vec![batch_delete(bucket, "all", |_| true), batch_delete(bucket, "first", |t| t.key == first_key(bucket))],
        GetBucketPolicy => vec![row("", sub("GET", "policy"), manage(no_policy))],
        GetBucketPolicyStatus => vec![row("", sub("GET", "policyStatus"), manage(OK))],
        PutBucketPolicy => vec![changing("", sub("PUT", "policy").body(policy), manage(GONE))],
        DeleteBucketPolicy => vec![changing("", sub("DELETE", "policy"), manage(GONE))],
        GetBucketAcl => vec![row("", sub("GET", "acl"), manage(OK))],
        GetBucketCors => vec![row("", sub("GET", "cors"), manage(OK))],
        PutBucketCors => vec![changing("", sub("PUT", "cors").body(CORS_RULES), manage(OK))],
        DeleteBucketCors => vec![changing("", sub("DELETE", "cors"), manage(GONE))],
        GetBucketTagging => vec![row("", sub("GET", "tagging"), manage(OK))],
        PutBucketTagging => vec![changing("", sub("PUT", "tagging").body(TAGS.replace("made", "changed")), manage(GONE))],
        DeleteBucketTagging => vec![changing("", sub("DELETE", "tagging"), manage(GONE))],
        GetBucketLifecycleConfiguration => vec![row("", sub("GET", "lifecycle"), manage(OK))],
        PutBucketLifecycleConfiguration => {
            vec![changing("", sub("PUT", "lifecycle").body(LIFECYCLE_RULES.replace("30", "31")), manage(OK))]
        }
        DeleteBucketLifecycle => vec![changing("", sub("DELETE", "lifecycle"), manage(GONE))],
        GetBucketEncryption => vec![row("", sub("GET", "encryption"), manage((404, "ServerSideEncryptionConfigurationNotFoundError")))],
        PutBucketEncryption => vec![changing("", sub("PUT", "encryption").body(ENCRYPTION), manage(OK))],
        DeleteBucketEncryption => vec![changing("", sub("DELETE", "encryption"), manage(GONE))],
        GetBucketLogging => vec![row("", sub("GET", "logging"), manage(OK))],
        PutBucketLogging => vec![changing("", sub("PUT", "logging").body("<BucketLoggingStatus/>"), manage(OK))],
        GetBucketNotificationConfiguration => vec![row("", sub("GET", "notification"), manage(OK))],
        PutBucketNotificationConfiguration => {
            vec![changing("", sub("PUT", "notification").body("<NotificationConfiguration/>"), manage(OK))]
        }
        GetBucketRequestPayment => vec![row("", sub("GET", "requestPayment"), manage(OK))],
        GetBucketAccelerateConfiguration => vec![row("", sub("GET", "accelerate"), manage(OK))],
        GetBucketReplication => vec![row("", sub("GET", "replication"), manage((404, "ReplicationConfigurationNotFoundError")))],
        GetBucketWebsite => vec![row("", sub("GET", "website"), manage((404, "NoSuchWebsiteConfiguration")))],
        PutBucketWebsite => vec![changing("", sub("PUT", "website").body(WEBSITE), manage(OK))],
        DeleteBucketWebsite => vec![changing("", sub("DELETE", "website"), manage(GONE))],
        GetBucketInventoryConfiguration => vec![row("", sub("GET", "inventory").query("id", "x"), manage((404, "NoSuchConfiguration")))],
        ListBucketInventoryConfigurations => vec![row("", sub("GET", "inventory"), manage(OK))],
        GetBucketAnalyticsConfiguration => vec![row("", sub("GET", "analytics").query("id", "x"), manage((404, "NoSuchConfiguration")))],
        ListBucketAnalyticsConfigurations => vec![row("", sub("GET", "analytics"), manage(OK))],
        GetBucketMetricsConfiguration => vec![row("", sub("GET", "metrics").query("id", "x"), manage((404, "NoSuchConfiguration")))],
        ListBucketMetricsConfigurations => vec![row("", sub("GET", "metrics"), manage(OK))],
        GetBucketIntelligentTieringConfiguration => {
            vec![row("", sub("GET", "intelligent-tiering").query("id", "x"), manage((404, "NoSuchConfiguration")))]
        }
        ListBucketIntelligentTieringConfigurations => vec![row("", sub("GET", "intelligent-tiering"), manage(OK))],
        GetBucketOwnershipControls => vec![row("", sub("GET", "ownershipControls"), manage((404, "OwnershipControlsNotFoundError")))],
        PutBucketOwnershipControls => vec![changing("", sub("PUT", "ownershipControls").body(OWNERSHIP), manage(OK))],
        DeleteBucketOwnershipControls => vec![changing("", sub("DELETE", "ownershipControls"), manage(GONE))],
        GetPublicAccessBlock => vec![row("", sub("GET", "publicAccessBlock"), manage((404, "NoSuchPublicAccessBlockConfiguration")))],
        PutPublicAccessBlock => vec![changing("", sub("PUT", "publicAccessBlock").body(PUBLIC_ACCESS_BLOCK), manage(OK))],
        DeletePublicAccessBlock => vec![changing("", sub("DELETE", "publicAccessBlock"), manage(GONE))],
        PutBucketAcl => vec![changing("", sub("PUT", "acl").header("x-amz-acl", "public-read-write"), manage(OK))],
        GetObject
        | HeadObject
        | PutObject
        | PostObject
        | PublishObject
        | CopyObject
        | DeleteObject
        | GetObjectAttributes
        | GetObjectAcl
        | PutObjectAcl
        | GetObjectTagging
        | PutObjectTagging
        | DeleteObjectTagging
        | CreateMultipartUpload
        | UploadPart
        | UploadPartCopy
        | CompleteMultipartUpload
        | AbortMultipartUpload
        | ListParts
        | RestoreObject
        | GetObjectRetention
        | PutObjectRetention
        | GetObjectLegalHold
        | PutObjectLegalHold => Vec::new(),
    }
}

fn first_key(bucket: &Bucket) -> &'static str {
    TARGETS.iter().find(|t| t.bucket.name == bucket.name).map_or("", |t| t.key)
}

/// With every prefix that a caller could try, and the tricks around them.
fn lists(bucket: &'static Bucket, what: OnBucket, ask: Request) -> Vec<Row> {
    const PREFIXES: [&str; 9] = ["", "acme/", "bravo/", "acme", "brav", "acme/h", "bravo/h", "acme/../bravo/", "public/"];
    let mut rows = vec![row("no prefix", ask.clone(), move |who| on_bucket(who, what, bucket, None, OK))];
    for prefix in PREFIXES {
        let expect = move |who| on_bucket(who, what, bucket, Some(prefix), OK);
        rows.push(row(&format!("prefix {prefix:?}"), ask.clone().query("prefix", prefix), expect));
        // A second prefix must not be the one that is checked while the first is listed, or the other way round.
        let twice = ask.clone().query("prefix", prefix).query("prefix", "acme/").query("delimiter", "/");
        // Which of two counts is no part of a signature, so nobody who signs may give two.
        let refused = move |who| if who == Who::Anonymous { expect(who) } else { (400, "InvalidArgument") };
        rows.push(row(&format!("prefix {prefix:?} and another"), twice, refused));
    }
    rows
}

/// 200 for everyone who may delete anything in the bucket; the keys are decided one by one (see `deletable`).
fn batch_delete(bucket: &'static Bucket, variant: &str, wanted: impl Fn(&Target) -> bool) -> Row {
    let keys: String = TARGETS
        .iter()
        .filter(|t| t.bucket.name == bucket.name && wanted(t))
        .map(|t| format!("<Object><Key>{}</Key></Object>", t.key))
        .collect();
    let request = Request::new("POST", &format!("/{}", bucket.name)).query("delete", "").body(format!("<Delete>{keys}</Delete>"));
    changing(variant, request.content_md5(), move |who| match bucket.owner {
        None => NO_BUCKET,
        Some(_) if deletable(who, bucket).is_empty() => DENIED,
        Some(_) => OK,
    })
}

/// The keys of a bucket that a batch may delete.
pub fn deletable(who: Who, bucket: &Bucket) -> Vec<&'static str> {
    let of_bucket = TARGETS.iter().filter(|t| t.bucket.name == bucket.name);
    of_bucket.filter(|t| may_object(who, OnObject::Delete, t)).map(|t| t.key).collect()
}

fn object_rows(operation: Operation, target: &'static Target, world: &World) -> Vec<Row> {
    use Operation::*;
    let ask = |method: &str| Request::on(method, target.bucket.name, target.key);
    let null = |request: Request| request.query("versionId", "null");
    let write = move |well: Outcome| move |who| on_key(who, OnObject::Write, target, well);
    let read = move |what: OnObject| move |who| on_object(who, what, target, OK);
    let delete = move |who| on_key(who, OnObject::Delete, target, GONE);
    // Of no bucket here: none keeps versions.
    const UNKNOWN: &str = "019a0000000000000000000000ff";
    let version = |what: OnObject, request: Request, well: Outcome| {
        ["null", UNKNOWN].map(|id| {
            let expect = move |who| on_version(who, what, target, id, well);
            row(&format!("version {id}"), request.clone().query("versionId", id), expect)
        })
    };
    let with_versions = |mut rows: Vec<Row>, what: OnObject, request: Request, well: Outcome| {
        rows.extend(version(what, request, well));
        rows
    };
    const NO_LOCK: Outcome = (400, "InvalidRequest");
    // It is looked what is there before the right is asked: who may list it may know.
    let looked_up = |well: Outcome| {
        move |who| match on_version(who, OnObject::Lock, target, "null", well) {
            NO_VERSION => NO_KEY,
            other => other,
        }
    };
    match operation {
        GetObject => with_versions(
            vec![
                row("", ask("GET"), read(OnObject::Read)),
                row("range", ask("GET").header("range", "bytes=0-0"), move |who| on_object(who, OnObject::Read, target, (206, ""))),
                // Conditions must not tell a stranger what is there.
                row("if-none-match", ask("GET").header("if-none-match", "*"), move |who| on_object(who, OnObject::Read, target, (304, ""))),
                row("part", ask("GET").query("partNumber", "1"), move |who| on_object(who, OnObject::Read, target, (206, ""))),
            ],
            OnObject::ReadVersion,
            ask("GET"),
            OK,
        ),
        HeadObject => with_versions(
            vec![
                row("", ask("HEAD"), read(OnObject::Read)),
                row("if-match", ask("HEAD").header("if-match", "\"00\""), move |who| on_object(who, OnObject::Read, target, (412, ""))),
            ],
            OnObject::ReadVersion,
            ask("HEAD"),
            OK,
        ),
        GetObjectAttributes => {
            let request = ask("GET").query("attributes", "").header("x-amz-object-attributes", "ETag,ObjectSize,Checksum");
            with_versions(vec![row("", request.clone(), read(OnObject::Attributes))], OnObject::Attributes, request, OK)
        }
        GetObjectAcl => {
            let request = ask("GET").query("acl", "");
            with_versions(vec![row("", request.clone(), read(OnObject::ReadAcl))], OnObject::ReadAcl, request, OK)
        }
        GetObjectRetention => {
            let request = ask("GET").query("retention", "");
            let current = row("", request.clone(), looked_up(NO_LOCK));
            with_versions(vec![current], OnObject::Lock, request, NO_LOCK)
        }
        GetObjectLegalHold => {
            let request = ask("GET").query("legal-hold", "");
            let current = row("", request.clone(), looked_up(NO_LOCK));
            with_versions(vec![current], OnObject::Lock, request, NO_LOCK)
        }
        PutObjectRetention | PutObjectLegalHold => {
            let (sub, body) = match operation {
                PutObjectRetention => {
                    ("retention", "<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2099-01-01T00:00:00Z</RetainUntilDate></Retention>")
                }
                _ => ("legal-hold", "<LegalHold><Status>ON</Status></LegalHold>"),
            };
            let request = ask("PUT").query(sub, "").body(body);
            // The right is asked before it is looked what is there.
            let expect = |well: Outcome, none: Outcome| {
                move |who| match on_key(who, OnObject::Lock, target, well) {
                    NO_LOCK if !target.exists => none,
                    other => other,
                }
            };
            vec![
                row("", request.clone(), expect(NO_LOCK, (404, "NoSuchKey"))),
                row("version null", null(request.clone()), expect(NO_LOCK, NO_VERSION)),
                row("unknown version", request.query("versionId", UNKNOWN), move |who| on_key(who, OnObject::Lock, target, NO_VERSION)),
            ]
        }
        PutObjectAcl => {
            let request = ask("PUT").query("acl", "").header("x-amz-acl", "public-read");
            // A missing object has no owner: who may only by having written it may not.
            vec![changing("", request, move |who| match on_key(who, OnObject::WriteAcl, target, OK) {
                OK if !target.exists => (404, "NoSuchKey"),
                other => other,
            })]
        }
        GetObjectTagging => vec![
            row("", ask("GET").query("tagging", ""), read(OnObject::ReadTags)),
            row("null version", null(ask("GET").query("tagging", "")), move |who| on_version(who, OnObject::ReadTags, target, "null", OK)),
        ],
        PutObjectTagging => {
            let put = || ask("PUT").query("tagging", "").body(TAGS);
            let expect = move |who| on_object(who, OnObject::WriteTags, target, OK);
            let of_version = move |who| on_version(who, OnObject::WriteTags, target, "null", OK);
            vec![changing("", put(), expect), changing("null version", null(put()), of_version)]
        }
        DeleteObjectTagging => {
            let request = ask("DELETE").query("tagging", "");
            vec![changing("", request, move |who| on_object(who, OnObject::WriteTags, target, GONE))]
        }
        PutObject => vec![
            changing("tagged", ask("PUT").body("written over").header("x-amz-tagging", "state=changed"), write(OK)),
            changing("", ask("PUT").body("written over"), write(OK)),
            changing("public", ask("PUT").body("written over").header("x-amz-acl", "public-read-write"), write(OK)),
            changing("if-none-match", ask("PUT").body("x").header("if-none-match", "*"), move |who| {
                write(if target.exists { (412, "PreconditionFailed") } else { OK })(who)
            }),
        ],
        PostObject => {
            let form = || Form::new(target.bucket.name, target.key, "written over");
            let posted = |variant: &str, form: Form| Row { form: Some(form.clone()), ..changing(variant, form.request(), write(GONE)) };
            let tags = TAGS.replace("made", "changed");
            vec![
                posted("tagged", form().field("tagging", &tags)),
                posted("", form()),
                posted("public", form().field("acl", "public-read-write")),
            ]
        }
        PublishObject => vec![changing("", ask("PUT").query("publish", "").body(PUBLISHED), write(OK))],
        DeleteObject => vec![
            changing("", ask("DELETE"), delete),
            changing("null version", null(ask("DELETE")), delete),
            // A delete whose answer was lost is repeated: with nothing there, it has done what was asked.
            row("if-match", ask("DELETE").header("if-match", "\"00\""), move |who| {
                on_key(who, OnObject::Delete, target, if target.exists { (412, "PreconditionFailed") } else { GONE })
            }),
        ],
        CreateMultipartUpload => vec![changing("", ask("POST").query("uploads", ""), write(OK))],
        CopyObject => copies(target, |source| Copied {
            request: ask("PUT").header("x-amz-copy-source", source),
            onto_itself: Some((400, "InvalidRequest")),
        }),
        UploadPartCopy => {
            let request = || ask("PUT").query("partNumber", "2").query("uploadId", world.upload(target));
            let mut rows = copies(target, |source| Copied { request: request().header("x-amz-copy-source", source), onto_itself: None });
            rows.extend(with_other_uploads(target, OnObject::Write, world, |id| {
                let request = ask("PUT").query("partNumber", "2").query("uploadId", id);
                request.header("x-amz-copy-source", &format!("{}/{}", target.bucket.name, target.key))
            }));
            rows
        }
        UploadPart => with_uploads(target, OnObject::Write, OK, world, |id| {
            ask("PUT").query("partNumber", "1").query("uploadId", id).body("another part")
        }),
        CompleteMultipartUpload => with_uploads(target, OnObject::Write, OK, world, |id| {
            ask("POST").query("uploadId", id).body(complete_document(&[(1, world.part_etag.clone())]))
        }),
        RestoreObject => {
            let request = ask("POST").query("restore", "").body("<RestoreRequest><Days>1</Days></RestoreRequest>");
            vec![row("", request, move |who| on_object(who, OnObject::Restore, target, (403, "InvalidObjectState")))]
        }
        AbortMultipartUpload => with_uploads(target, OnObject::AbortUpload, GONE, world, |id| ask("DELETE").query("uploadId", id)),
        ListParts => {
            let mut rows = with_uploads(target, OnObject::ListParts, OK, world, |id| ask("GET").query("uploadId", id));
            rows.iter_mut().for_each(|r| r.changes = false);
            rows
        }
        ListBuckets
        | CreateBucket
        | HeadBucket
        | DeleteBucket
        | GetBucketLocation
        | GetBucketVersioning
        | ListObjects
        | ListObjectsV2
        | ListObjectVersions
        | DeleteObjects
        | ListMultipartUploads
        | GetBucketPolicy
        | GetBucketPolicyStatus
        | PutBucketPolicy
        | DeleteBucketPolicy
        | GetBucketAcl
        | PutBucketAcl
        | GetBucketCors
        | PutBucketCors
        | DeleteBucketCors
        | GetBucketTagging
        | PutBucketTagging
        | DeleteBucketTagging
        | GetBucketLifecycleConfiguration
        | PutBucketLifecycleConfiguration
        | DeleteBucketLifecycle
        | PutBucketVersioning
        | GetObjectLockConfiguration
        | PutObjectLockConfiguration => Vec::new(),
        GetBucketEncryption
        | PutBucketEncryption
        | DeleteBucketEncryption
        | GetBucketLogging
        | PutBucketLogging
        | GetBucketNotificationConfiguration
        | PutBucketNotificationConfiguration
        | GetBucketRequestPayment
        | GetBucketAccelerateConfiguration
        | GetBucketReplication
        | GetBucketWebsite
        | PutBucketWebsite
        | DeleteBucketWebsite
        | GetBucketInventoryConfiguration
        | ListBucketInventoryConfigurations
        | GetBucketAnalyticsConfiguration
        | ListBucketAnalyticsConfigurations
        | GetBucketMetricsConfiguration
        | ListBucketMetricsConfigurations
        | GetBucketIntelligentTieringConfiguration
        | ListBucketIntelligentTieringConfigurations
        | GetBucketOwnershipControls
        | PutBucketOwnershipControls
        | DeleteBucketOwnershipControls
        | GetPublicAccessBlock
        | PutPublicAccessBlock
        | DeletePublicAccessBlock => Vec::new(),
    }
}

struct Copied {
    request: Request,
    onto_itself: Option<Outcome>,
}

/// From everywhere to here: the right to write here is asked first, then the right to read there.
fn copies(target: &'static Target, make: impl Fn(&str) -> Copied) -> Vec<Row> {
    if !target.copied_to {
        return Vec::new();
    }
    TARGETS
        .iter()
        .map(|source| {
            let Copied { request, onto_itself } = make(&format!("/{}/{}", source.bucket.name, source.key));
            let same = source.index() == target.index();
            changing(&format!("from {}/{}", source.bucket.name, source.key), request, move |who| {
                match (on_key(who, OnObject::Write, target, OK), onto_itself) {
                    (OK, Some(outcome)) if same => outcome,
                    // Every one of them is tagged, and whoever copies an object whole takes its tags along.
                    (OK, Some(_)) => match on_object(who, OnObject::Read, source, OK) {
                        OK => on_object(who, OnObject::ReadTags, source, OK),
                        other => other,
                    },
                    (OK, None) => on_object(who, OnObject::Read, source, OK),
                    (other, _) => other,
                }
            })
        })
        .collect()
}

/// The upload of this very key, and those of others: which say no more than one that never was.
fn with_uploads(target: &'static Target, what: OnObject, well: Outcome, world: &World, make: impl Fn(&str) -> Request) -> Vec<Row> {
    let mut rows = vec![changing("its upload", make(world.upload(target)), move |who| on_key(who, what, target, well))];
    rows.extend(with_other_uploads(target, what, world, make));
    rows
}

fn with_other_uploads(target: &'static Target, what: OnObject, world: &World, make: impl Fn(&str) -> Request) -> Vec<Row> {
    let others = TARGETS.iter().filter(|t| t.exists && t.index() != target.index());
    let mut ids: Vec<(String, &str)> = others.map(|t| (format!("upload of {}/{}", t.bucket.name, t.key), world.upload(t))).collect();
    ids.push(("upload that never was".into(), "00000000000000000000000000000000"));
    ids.push(("no upload id at all".into(), "."));
    ids.into_iter().map(|(variant, id)| row(&variant, make(id), move |who| on_key(who, what, target, NO_UPLOAD))).collect()
}

/// Keeps the part's content in one place.
const _: () = assert!(!PART.is_empty());
