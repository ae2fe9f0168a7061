//! Every request header that S3 knows, and what this door does with it. One list, applied once to each request before it is
//! carried out: a header either does what it says, or is refused, or nothing that it asks for is left undone.
//!
//! Not here: what a header's value means (`params`, and the handlers). Called by the door, after parameters of presigned URLs became
//! headers. Names are those of S3's service model and the standard ones that S3 reads; what is in no row is no header of S3 and
//! is ignored, as there, unless it belongs to a family that promises safety (`FAMILIES`).
//! Invariant: rows are in order of name, each once.

use http::HeaderMap;

use crate::base::checksum::ChecksumAlgorithm;
use crate::base::error::{Error, ErrorKind, Result};
use crate::http::s3::operation::Operation::{self, *};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    Nothing,
    Everything,
    /// What changes something: where a promise that is not kept does harm.
    Changes,
    These(&'static [Operation]),
    AllBut(&'static [Operation]),
}

#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// In lower case; of a family: how its names begin.
    pub name: &'static str,
    /// What does as it says.
    pub honoured: On,
    /// What is answered with 501, or with 400 where it is a checksum of tomorrow. On all others it is harmless.
    pub refused: On,
    /// Values that ask for nothing and are never refused.
    pub idle: &'static [&'static str],
    /// Why it is harmless, or what it would take.
    pub why: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    Honour,
    Refuse,
    Ignore,
}

impl On {
    fn has(self, operation: Operation) -> bool {
        match self {
            On::Nothing => false,
            On::Everything => true,
            On::Changes => changes(operation),
            On::These(these) => these.contains(&operation),
            On::AllBut(these) => !these.contains(&operation),
        }
    }
}

impl Row {
    pub fn does(&self, operation: Operation, value: &[u8]) -> Does {
        if self.honoured.has(operation) {
            return Does::Honour;
        }
        let is_idle = || self.idle.iter().any(|idle| value.eq_ignore_ascii_case(idle.as_bytes()));
        if self.refused.has(operation) && !is_idle() { Does::Refuse } else { Does::Ignore }
    }
}

fn changes(operation: Operation) -> bool {
    match operation {
        ListBuckets
        | HeadBucket
        | GetBucketLocation
        | GetBucketVersioning
        | ListObjects
        | ListObjectsV2
        | ListObjectVersions
        | ListMultipartUploads
        | GetBucketPolicy
        | GetBucketPolicyStatus
        | GetBucketAcl
        | GetBucketCors
        | GetBucketTagging
        | GetBucketLifecycleConfiguration
        | GetObjectLockConfiguration
        | GetObjectRetention
        | GetObjectLegalHold
        | GetBucketEncryption
        | GetBucketLogging
        | GetBucketNotificationConfiguration
        | GetBucketRequestPayment
        | GetBucketAccelerateConfiguration
        | GetBucketReplication
        | GetBucketWebsite
        | GetBucketInventoryConfiguration
        | ListBucketInventoryConfigurations
        | GetBucketAnalyticsConfiguration
        | ListBucketAnalyticsConfigurations
        | GetBucketMetricsConfiguration
        | ListBucketMetricsConfigurations
        | GetBucketIntelligentTieringConfiguration
        | ListBucketIntelligentTieringConfigurations
        | GetBucketOwnershipControls
        | GetPublicAccessBlock
        | GetObject
        | HeadObject
        | GetObjectAttributes
        | GetObjectAcl
        | GetObjectTagging
        | ListParts => false,
        CreateBucket
        | DeleteBucket
        | DeleteObjects
        | PutBucketPolicy
        | DeleteBucketPolicy
        | PutBucketAcl
        | PutBucketCors
        | DeleteBucketCors
        | PutBucketTagging
        | DeleteBucketTagging
        | PutBucketLifecycleConfiguration
        | DeleteBucketLifecycle
        | PutBucketVersioning
        | PutObjectLockConfiguration
        | PutObjectRetention
        | PutObjectLegalHold
        | PutBucketOwnershipControls
        | DeleteBucketOwnershipControls
        | PutPublicAccessBlock
        | DeletePublicAccessBlock
        | PutBucketWebsite
        | PutBucketLogging
        | PutBucketNotificationConfiguration
        | DeleteBucketWebsite
        | PutBucketEncryption
        | DeleteBucketEncryption
        | PostObject
        | PutObject
        | PublishObject
        | CopyObject
        | DeleteObject
        | PutObjectAcl
        | PutObjectTagging
        | DeleteObjectTagging
        | CreateMultipartUpload
        | UploadPart
        | UploadPartCopy
        | CompleteMultipartUpload
        | AbortMultipartUpload
        | RestoreObject => true,
    }
}

const NEW: On = On::These(&[PutObject, PostObject, PublishObject, CopyObject, CreateMultipartUpload]);
const ACLS: On =
    On::These(&[PutObject, PostObject, PublishObject, CopyObject, CreateMultipartUpload, CreateBucket, PutBucketAcl, PutObjectAcl]);
const COPIES: On = On::These(&[CopyObject, UploadPartCopy]);
const READS: On = On::These(&[GetObject, HeadObject]);
/// Publishing by hash refuses conditions itself.
const CONDITIONAL: On = On::These(&[PutObject, PublishObject, CopyObject, CompleteMultipartUpload, DeleteObject]);
const CONDITIONAL_TOO: On =
    On::These(&[PutObject, PublishObject, CopyObject, CompleteMultipartUpload, DeleteObject, GetObject, HeadObject]);
/// Whose body is hashed.
const BODIES: On = On::These(&[
    PutObject,
    PostObject,
    PublishObject,
    UploadPart,
    CompleteMultipartUpload,
    CreateBucket,
    DeleteObjects,
    PutBucketPolicy,
    PutBucketAcl,
    PutBucketCors,
    PutBucketLifecycleConfiguration,
    PutBucketOwnershipControls,
    PutPublicAccessBlock,
    PutBucketWebsite,
    PutBucketEncryption,
    PutBucketLogging,
    PutBucketNotificationConfiguration,
    PutObjectAcl,
    PutObjectTagging,
    RestoreObject,
    PutBucketTagging,
    PutBucketVersioning,
    PutObjectLockConfiguration,
    PutObjectRetention,
    PutObjectLegalHold,
]);
const ATTRIBUTES: On = On::These(&[GetObjectAttributes]);

const fn honoured(name: &'static str, honoured: On) -> Row {
    Row { name, honoured, refused: On::Nothing, idle: &[], why: "It speaks of nothing else." }
}

/// A condition or a proof: no change goes through beside one that nobody looks at.
const fn strict(name: &'static str, honoured: On) -> Row {
    Row { name, honoured, refused: On::Changes, idle: &[], why: "A condition or proof: a read beside it changes nothing." }
}

const fn elsewhere_refused(name: &'static str, honoured: On, refused: On) -> Row {
    Row { name, honoured, refused, idle: &["false", ""], why: ENCRYPTION }
}

const fn refused(name: &'static str, why: &'static str) -> Row {
    Row { name, honoured: On::Nothing, refused: On::Everything, idle: &["false", ""], why }
}

const fn refused_unless(name: &'static str, idle: &'static [&'static str], why: &'static str) -> Row {
    Row { name, honoured: On::Nothing, refused: On::Everything, idle, why }
}

const fn harmless(name: &'static str, why: &'static str) -> Row {
    Row { name, honoured: On::Nothing, refused: On::Nothing, idle: &[], why }
}

const CHECKSUM: &str = "An algorithm that is not known here: nothing would be checked.";
const ENCRYPTION: &str = "It asks to encrypt, or to open, something that this operation does not.";
/// Of reads: to be told that it does not apply.
const ENCRYPTED: On =
    On::These(&[PutObject, PostObject, PublishObject, CopyObject, CreateMultipartUpload, GetObject, HeadObject, GetObjectAttributes]);
/// What an upload is encrypted with was said when it was begun; clients say it again.
const BUT_PARTS: On = On::AllBut(&[UploadPart, UploadPartCopy, CompleteMultipartUpload, ListParts, AbortMultipartUpload]);
const UNDER_CUSTOMERS: On = On::These(&[
    PutObject,
    PostObject,
    CopyObject,
    CreateMultipartUpload,
    UploadPart,
    UploadPartCopy,
    CompleteMultipartUpload,
    GetObject,
    HeadObject,
    GetObjectAttributes,
]);
const TOKEN: &str = "Object lock needs no token here.";
const HOLD: &str = "Holds by events are not implemented.";
/// A lock is no property of a name that means its content.
const LOCKED: On = On::These(&[PutObject, PostObject, CopyObject, CreateMultipartUpload]);
const GRANTS: &str = "A permission that is not known.";
const RENAME: &str = "RenameObject is not implemented.";
const ELSEWHERE: &str = "Of an operation that is not implemented.";

pub const ROWS: &[Row] = &[
    honoured("authorization", On::Everything),
    honoured("cache-control", NEW),
    honoured("content-disposition", NEW),
    honoured("content-encoding", NEW),
    honoured("content-language", NEW),
    honoured("content-length", On::Everything),
    honoured("content-md5", BODIES),
    Row {
        refused: On::These(&[PutObject, PostObject, PublishObject]),
        why: "Part of an object can't be written: the rest would be lost.",
        ..honoured("content-range", On::Nothing)
    },
    honoured("content-type", NEW),
    honoured("date", On::Everything),
    harmless("expect", "100-continue is the transport's to answer."),
    honoured("expires", NEW),
    honoured("host", On::Everything),
    strict("if-match", CONDITIONAL_TOO),
    strict("if-modified-since", READS),
    strict("if-none-match", CONDITIONAL_TOO),
    honoured("if-range", READS),
    strict("if-unmodified-since", READS),
    honoured("origin", On::Everything),
    honoured("range", READS),
    honoured("x-amz-acl", ACLS),
    refused_unless("x-amz-bucket-namespace", &["", "global"], "All names are in one space here."),
    honoured("x-amz-bucket-object-lock-enabled", On::These(&[CreateBucket])),
    refused("x-amz-bucket-object-lock-token", TOKEN),
    honoured("x-amz-bypass-governance-retention", On::These(&[DeleteObject, DeleteObjects, PutObjectRetention])),
    harmless("x-amz-cf-id", "CloudFront's name for the request."),
    honoured("x-amz-checksum-algorithm", On::These(&[PostObject, CreateMultipartUpload, CopyObject, UploadPartCopy])),
    strict("x-amz-checksum-crc32", BODIES),
    strict("x-amz-checksum-crc32c", BODIES),
    strict("x-amz-checksum-crc64nvme", BODIES),
    strict("x-amz-checksum-md5", BODIES),
    honoured("x-amz-checksum-mode", READS),
    strict("x-amz-checksum-sha1", BODIES),
    strict("x-amz-checksum-sha256", BODIES),
    strict("x-amz-checksum-sha512", BODIES),
    honoured("x-amz-checksum-type", On::These(&[CreateMultipartUpload, CompleteMultipartUpload])),
    strict("x-amz-checksum-xxhash128", BODIES),
    strict("x-amz-checksum-xxhash3", BODIES),
    strict("x-amz-checksum-xxhash64", BODIES),
    refused("x-amz-client-token", RENAME),
    harmless("x-amz-confirm-remove-self-bucket-access", "A bucket's owner can always change its policy here."),
    honoured("x-amz-content-sha256", On::Everything),
    honoured("x-amz-copy-source", COPIES),
    strict("x-amz-copy-source-if-match", COPIES),
    strict("x-amz-copy-source-if-modified-since", COPIES),
    strict("x-amz-copy-source-if-none-match", COPIES),
    strict("x-amz-copy-source-if-unmodified-since", COPIES),
    strict("x-amz-copy-source-range", On::These(&[UploadPartCopy])),
    elsewhere_refused("x-amz-copy-source-server-side-encryption-customer-algorithm", COPIES, On::Everything),
    elsewhere_refused("x-amz-copy-source-server-side-encryption-customer-key", COPIES, On::Everything),
    elsewhere_refused("x-amz-copy-source-server-side-encryption-customer-key-md5", COPIES, On::Everything),
    refused("x-amz-create-session-mode", ELSEWHERE),
    honoured("x-amz-date", On::Everything),
    honoured("x-amz-decoded-content-length", BODIES),
    Row { honoured: ON_A_BUCKET, refused: On::These(&[CreateBucket]), ..honoured("x-amz-expected-bucket-owner", On::Nothing) },
    honoured("x-amz-grant-full-control", ACLS),
    honoured("x-amz-grant-read", ACLS),
    honoured("x-amz-grant-read-acp", ACLS),
    honoured("x-amz-grant-write", ACLS),
    honoured("x-amz-grant-write-acp", ACLS),
    refused_unless("x-amz-if-match-initiated-time", &[], "No condition of an abort is decided here."),
    strict("x-amz-if-match-last-modified-time", CONDITIONAL),
    strict("x-amz-if-match-size", CONDITIONAL),
    honoured("x-amz-max-parts", ATTRIBUTES),
    honoured("x-amz-metadata-directive", On::These(&[CopyObject])),
    harmless("x-amz-mfa", "No bucket here asks for a second factor."),
    honoured("x-amz-mp-object-size", On::These(&[CompleteMultipartUpload])),
    refused_unless("x-amz-object-annotation-directive", &["", "COPY", "EXCLUDE"], "Objects have no annotations here."),
    honoured("x-amz-object-attributes", ATTRIBUTES),
    refused_unless("x-amz-object-if-match", &[], ELSEWHERE),
    refused("x-amz-object-lock-event-hold", HOLD),
    refused("x-amz-object-lock-event-hold-duration-days", HOLD),
    refused("x-amz-object-lock-event-hold-duration-years", HOLD),
    strict("x-amz-object-lock-legal-hold", LOCKED),
    strict("x-amz-object-lock-mode", LOCKED),
    strict("x-amz-object-lock-retain-until-date", LOCKED),
    honoured("x-amz-object-ownership", On::These(&[CreateBucket])),
    harmless("x-amz-optional-object-attributes", "It asks a listing to tell more."),
    honoured("x-amz-part-number-marker", ATTRIBUTES),
    refused("x-amz-rename-source", RENAME),
    refused("x-amz-rename-source-if-match", RENAME),
    refused("x-amz-rename-source-if-modified-since", RENAME),
    refused("x-amz-rename-source-if-none-match", RENAME),
    refused("x-amz-rename-source-if-unmodified-since", RENAME),
    harmless("x-amz-request-payer", "A bucket's owner pays here: nobody need agree to."),
    refused("x-amz-request-route", ELSEWHERE),
    refused("x-amz-request-token", ELSEWHERE),
    honoured("x-amz-sdk-checksum-algorithm", BODIES),
    honoured("x-amz-security-token", On::Everything),
    elsewhere_refused("x-amz-server-side-encryption", ENCRYPTED, BUT_PARTS),
    elsewhere_refused("x-amz-server-side-encryption-aws-kms-key-id", ENCRYPTED, BUT_PARTS),
    elsewhere_refused("x-amz-server-side-encryption-bucket-key-enabled", NEW, BUT_PARTS),
    elsewhere_refused("x-amz-server-side-encryption-context", NEW, BUT_PARTS),
    elsewhere_refused("x-amz-server-side-encryption-customer-algorithm", UNDER_CUSTOMERS, On::AllBut(&[ListParts, AbortMultipartUpload])),
    elsewhere_refused("x-amz-server-side-encryption-customer-key", UNDER_CUSTOMERS, On::AllBut(&[ListParts, AbortMultipartUpload])),
    elsewhere_refused("x-amz-server-side-encryption-customer-key-md5", UNDER_CUSTOMERS, On::AllBut(&[ListParts, AbortMultipartUpload])),
    honoured("x-amz-skip-destination-validation", On::These(&[PutBucketNotificationConfiguration])),
    honoured("x-amz-source-expected-bucket-owner", COPIES),
    honoured("x-amz-storage-class", NEW),
    honoured("x-amz-tagging", NEW),
    honoured("x-amz-tagging-directive", On::These(&[CopyObject])),
    strict("x-amz-trailer", BODIES),
    honoured("x-amz-transition-default-minimum-object-size", On::These(&[PutBucketLifecycleConfiguration])),
    harmless("x-amz-user-agent", "A browser's SDK says its name there."),
    honoured("x-amz-website-redirect-location", NEW),
    refused("x-amz-write-offset-bytes", "Nothing can be appended to an object."),
];

/// All that name a bucket which is there.
const ON_A_BUCKET: On = On::AllBut(&[ListBuckets, CreateBucket]);

const CHECKSUMS: &str = "x-amz-checksum-";

/// For what is in no row: names of tomorrow, and of another operation's answer that a client sends back.
pub const FAMILIES: &[Row] = &[
    honoured("x-amz-meta-", NEW),
    refused_unless(CHECKSUMS, &[], CHECKSUM),
    refused_unless("x-amz-copy-source-", &[], "Something that must hold of the source."),
    refused("x-amz-fwd-", ELSEWHERE),
    refused("x-amz-grant-", GRANTS),
    refused_unless("x-amz-if-", &[], "A condition that is not decided here."),
    refused("x-amz-object-lock-", HOLD),
    refused("x-amz-rename-source-", RENAME),
    refused("x-amz-server-side-encryption-", ENCRYPTION),
    refused_unless("x-amz-source-", &[], "Something that must hold of the source."),
];

/// Those of which a request may have more than one line.
const LISTS: [&str; 2] = ["x-amz-object-attributes", "x-amz-optional-object-attributes"];

pub fn row(name: &str) -> Option<&'static Row> {
    match ROWS.binary_search_by(|row| row.name.cmp(name)) {
        Ok(at) => ROWS.get(at),
        Err(_) => FAMILIES.iter().find(|family| name.starts_with(family.name)),
    }
}

/// Refuses what the operation would leave undone.
pub fn check(operation: Operation, headers: &HeaderMap) -> Result<()> {
    let mut before = "";
    for (name, value) in headers {
        let name = name.as_str();
        // Every signed request has these two.
        let is_amz = name.starts_with("x-amz-");
        if !is_amz && !name.starts_with("if-") && name != "content-range" || matches!(name, "x-amz-date" | "x-amz-content-sha256") {
            continue;
        }
        if name == before && is_amz && !name.starts_with("x-amz-meta-") && !LISTS.contains(&name) {
            let e = Error::new(ErrorKind::InvalidRequest, "The header is there more than once: which one counts?");
            return Err(e.detail("Header", name));
        }
        before = name;
        if row(name).is_some_and(|row| row.does(operation, value.as_bytes()) == Does::Refuse) {
            return Err(refusal(name).detail("Header", name));
        }
    }
    Ok(())
}

fn refusal(name: &str) -> Error {
    let is_known = ROWS.binary_search_by(|row| row.name.cmp(name)).is_ok();
    if name.starts_with(CHECKSUMS) && !is_known {
        let text = format!(
            "The checksum algorithm of this header is not known: nothing would be checked. Known are {}.",
            ChecksumAlgorithm::NAMES
        );
        return Error::new(ErrorKind::InvalidRequest, text);
    }
    Error::new(ErrorKind::NotImplemented, "A header you provided implies functionality that is not implemented.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_order() {
        assert!(ROWS.windows(2).all(|pair| pair[0].name < pair[1].name));
        for row in ROWS.iter().chain(FAMILIES) {
            assert!(!row.why.is_empty() && row.name == row.name.to_ascii_lowercase(), "{}", row.name);
        }
    }

    #[test]
    fn what_is_done() {
        let does = |name: &str, operation, value: &str| row(name).map(|r| r.does(operation, value.as_bytes()));
        assert_eq!(does("x-amz-acl", PutObject, "private"), Some(Does::Honour));
        assert_eq!(does("x-amz-acl", UploadPart, "private"), Some(Does::Ignore));
        assert_eq!(does("if-match", CreateMultipartUpload, "*"), Some(Does::Refuse));
        assert_eq!(does("if-match", ListObjectsV2, "*"), Some(Does::Ignore));
        assert_eq!(does("x-amz-bucket-object-lock-enabled", CreateBucket, "False"), Some(Does::Honour));
        assert_eq!(does("x-amz-object-lock-mode", PublishObject, "GOVERNANCE"), Some(Does::Refuse));
        assert_eq!(does("x-amz-checksum-of-tomorrow", PutObject, "x"), Some(Does::Refuse));
        assert_eq!(does("x-amz-meta-anything", PutObject, "x"), Some(Does::Honour));
        assert_eq!(does("x-amz-something-of-tomorrow", PutObject, "x"), None);
    }

    #[test]
    fn one_line_for_each() {
        let twice = |name: &'static str| {
            let mut headers = HeaderMap::new();
            headers.append(name, http::HeaderValue::from_static("AAAAAA=="));
            headers.append(name, http::HeaderValue::from_static("AAAAAQ=="));
            check(PutObject, &headers).map_err(|e| e.kind())
        };
        assert_eq!(twice("x-amz-checksum-crc32"), Err(ErrorKind::InvalidRequest));
        assert_eq!(twice("x-amz-acl"), Err(ErrorKind::InvalidRequest));
        assert_eq!(twice("x-amz-meta-a"), Ok(()));
        assert_eq!(twice("if-match"), Ok(()), "a list in lines");
    }
}
