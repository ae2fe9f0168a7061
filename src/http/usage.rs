//! Who pays for a request, and as what it counts. Called by `account` when an answer has ended, however it ended.
//!
//! It is his who owns the object that it is about, as what is stored is; else the caller's; what nobody signed is the bucket's owner's,
//! unless it was refused: then it is nobody's. Every request of the S3 and edge doors counts, also one that failed.

use std::sync::LazyLock;

use crate::base::layout;
use crate::http::record::Record;
use crate::http::s3::operation::Operation;
use crate::http::s3::route::Resource;
use crate::telemetry::metrics::{Door, Finished};
use crate::usage::count::{Class, Way};
use crate::usage::sheet::{Counted, Sheet};

/// Where nobody is known to pay.
const NOBODY: &str = "anonymous";

static CLASSES: LazyLock<Vec<Class>> = LazyLock::new(|| Operation::ALL.iter().map(|operation| class_of(operation.name())).collect());

pub fn count(sheet: &Sheet, record: &Record, finished: &Finished) {
    let (class, way) = match finished.door {
        Door::S3 => (CLASSES.get(finished.operation.index).copied().unwrap_or(Class::Other), Way::S3),
        Door::Edge if record.is_through_cdn() => (Class::Get, Way::Cdn),
        Door::Edge => (Class::Get, Way::Edge),
        // The operator's own.
        Door::Admin => return,
    };
    let (bucket, key) = match record.resource() {
        // A name that no bucket has would make rows of whatever clients think of.
        Some(Resource::Bucket(bucket)) if record.knows_bucket() => (bucket.as_str(), ""),
        Some(Resource::Object(bucket, key)) if record.knows_bucket() => (bucket.as_str(), key.as_str()),
        _ => ("", ""),
    };
    let object = record.object();
    let owner = object.as_ref().map(|object| object.owner.as_str());
    // Keys that are not there would make rows too.
    let is_there = owner.is_some() || finished.status < 400;
    let (run, artifact) = layout::run_and_type(key).filter(|_| is_there).unwrap_or_default();
    let caller = record.caller().map(|caller| &caller.identity);
    let signed = caller.filter(|identity| !identity.is_anonymous()).map(|identity| identity.id().as_str());
    let is_refused = matches!(finished.status, 401 | 403);
    let of_bucket = || record.bucket().filter(|_| !is_refused).map(|bucket| bucket.owner.as_str());
    let tenant = owner.or(signed).or_else(of_bucket).unwrap_or(NOBODY);
    let (bytes_in, bytes_out) = (record.bytes_in(), record.bytes_out);
    sheet.count(&Counted { tenant, bucket, artifact, run, class, way, bytes_in, bytes_out });
}

/// By S3's name, as AWS's price list has them.
fn class_of(name: &str) -> Class {
    const CLASSES: [(&str, Class); 12] = [
        ("List", Class::List),
        ("Put", Class::Put),
        ("Post", Class::Put),
        ("Copy", Class::Put),
        ("Create", Class::Put),
        ("Upload", Class::Put),
        ("Complete", Class::Put),
        ("Publish", Class::Put),
        ("Delete", Class::Delete),
        ("Abort", Class::Delete),
        ("Get", Class::Get),
        ("Head", Class::Get),
    ];
    CLASSES.into_iter().find(|(begin, _)| name.starts_with(begin)).map_or(Class::Other, |(_, class)| class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_the_class_of_the_price_list() {
        let of = |class| Operation::ALL.iter().map(|o| o.name()).filter(|name| class_of(name) == class).collect::<Vec<_>>();
        assert_eq!(of(Class::Other), ["RestoreObject"]);
        for (class, some) in [
            (Class::Put, &["PutObject", "CopyObject", "UploadPart", "UploadPartCopy", "CompleteMultipartUpload", "CreateBucket"][..]),
            (Class::Get, &["GetObject", "HeadObject", "GetBucketAcl", "HeadBucket"]),
            (Class::List, &["ListBuckets", "ListObjects", "ListObjectsV2", "ListObjectVersions", "ListParts", "ListMultipartUploads"]),
            (Class::Delete, &["DeleteObject", "DeleteObjects", "AbortMultipartUpload", "DeleteBucket"]),
        ] {
            assert!(some.iter().all(|name| of(class).contains(name)), "{class:?}");
        }
    }
}
