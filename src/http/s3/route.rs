//! From method, host, path and query to one operation. Pure.
//!
//! What is not in `Operation` is not implemented: a known sub-resource without an operation answers 501, parameters
//! that S3 doesn't know are ignored.

use http::request::Parts;
use http::{HeaderMap, Method};

use crate::auth::query::{Query, decode};
use crate::auth::sigv4::NAME_HEADER;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{BucketName, ObjectKey};
use crate::base::object_ref::VersionId;
use crate::http::s3::operation::{OnBucket, OnForm, OnObject, OnService, Operation};

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    Service,
    Bucket(BucketName),
    Object(BucketName, ObjectKey),
}

impl Resource {
    pub fn bucket(&self) -> Option<&BucketName> {
        match self {
            Resource::Service => None,
            Resource::Bucket(bucket) | Resource::Object(bucket, _) => Some(bucket),
        }
    }
}

/// An operation together with what it is about.
#[derive(Debug, Clone)]
pub enum Routed<'r> {
    Service(OnService),
    Form(OnForm, &'r BucketName),
    Bucket(OnBucket, &'r BucketName),
    /// With the version that is meant. None: the current one.
    Object(OnObject, &'r BucketName, &'r ObjectKey, Option<VersionId>),
}

impl Routed<'_> {
    pub fn operation(&self) -> Operation {
        match *self {
            Routed::Service(operation) => operation.into(),
            Routed::Form(operation, _) => operation.into(),
            Routed::Bucket(operation, _) => operation.into(),
            Routed::Object(operation, ..) => operation.into(),
        }
    }
}

/// `hash`: the object's name is made from what is in it. As `?publish`; signatures must cover it.
pub const PUBLISH: &str = NAME_HEADER;

/// Sub-resources of S3 that have no operation here. `select` stands for its POST.
const NOT_IMPLEMENTED: &[&str] =
    &["abac", "annotation", "metadataConfiguration", "metadataTable", "renameObject", "select", "session", "torrent"];

/// Settings of a bucket that can be read, as never set, and not be written.
const NEVER_SET: &[&str] = &["accelerate", "analytics", "intelligent-tiering", "inventory", "metrics", "replication", "requestPayment"];

/// The rest of a `/-/…` path: reserved on the base host, since "-" can't be a bucket name.
pub fn reserved<'p>(parts: &'p Parts, bucket_in_host: Option<&str>) -> Option<&'p str> {
    let rest = parts.uri.path().strip_prefix("/-/")?;
    bucket_in_host.is_none().then_some(rest)
}

/// What host and path name. `bucket_in_host`: the bucket of a virtual-host style address.
pub fn resource(bucket_in_host: Option<&str>, raw_path: &str) -> Result<Resource> {
    let path = raw_path.strip_prefix('/').unwrap_or(raw_path);
    if let Some(bucket) = bucket_in_host {
        let bucket = BucketName::parse(bucket)?;
        return if path.is_empty() {
            Ok(Resource::Bucket(bucket))
        } else {
            Ok(Resource::Object(bucket, ObjectKey::parse(&decode(path)?)?))
        };
    }
    if path.is_empty() {
        return Ok(Resource::Service);
    }
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    let bucket = BucketName::parse(&decode(bucket)?)?;
    if key.is_empty() { Ok(Resource::Bucket(bucket)) } else { Ok(Resource::Object(bucket, ObjectKey::parse(&decode(key)?)?)) }
}

pub fn route<'r>(method: &Method, resource: &'r Resource, query: &Query, headers: &HeaderMap) -> Result<Routed<'r>> {
    let mut version = None;
    if !query.is_empty() {
        refuse_what_is_not_implemented(method, resource, query)?;
        version = version_of(query)?;
    }
    let found = match resource {
        Resource::Service => (method == Method::GET).then_some(Routed::Service(OnService::ListBuckets)),
        Resource::Bucket(bucket) if *method == Method::POST && !query.has("delete") => Some(Routed::Form(OnForm::PostObject, bucket)),
        Resource::Bucket(bucket) => on_bucket(method, query).map(|operation| Routed::Bucket(operation, bucket)),
        Resource::Object(bucket, key) => on_object(method, query, headers).map(|operation| Routed::Object(operation, bucket, key, version)),
    };
    let routed = found.ok_or_else(|| method_not_allowed(resource))?;
    // Who deletes a bucket's tags must never delete the bucket.
    if !query.is_empty() && !matches!(*method, Method::GET | Method::HEAD) && names_another(query, routed.operation()) {
        return Err(method_not_allowed(resource));
    }
    if let Routed::Object(operation, _, _, Some(version)) = &routed
        && !takes_version(*operation)
    {
        let e = Error::new(ErrorKind::InvalidArgument, "This operation does not accept a version-id.").detail("ArgumentName", "versionId");
        return Err(e.detail("ArgumentValue", version.as_str()));
    }
    Ok(routed)
}

/// What makes an object names no version of it.
fn takes_version(operation: OnObject) -> bool {
    use OnObject::*;
    match operation {
        GetObject | HeadObject | DeleteObject | GetObjectAttributes | GetObjectAcl | PutObjectAcl | GetObjectTagging | PutObjectTagging
        | DeleteObjectTagging | RestoreObject | GetObjectRetention | PutObjectRetention | GetObjectLegalHold | PutObjectLegalHold => true,
        PutObject
        | PublishObject
        | CopyObject
        | CreateMultipartUpload
        | UploadPart
        | UploadPartCopy
        | CompleteMultipartUpload
        | AbortMultipartUpload
        | ListParts => false,
    }
}

fn refuse_what_is_not_implemented(method: &Method, resource: &Resource, query: &Query) -> Result<()> {
    if let Some(name) = query.names().find(|n| NOT_IMPLEMENTED.contains(n)) {
        let text = format!("The sub-resource '{name}' is not implemented by this gateway; docs/s3.md lists what is.");
        return Err(Error::new(ErrorKind::NotImplemented, text));
    }
    let is_read = *method == Method::GET && !matches!(resource, Resource::Object(..));
    match query.names().find(|n| NEVER_SET.contains(n)) {
        Some(name) if !is_read => {
            let text = format!(
                "'{name}' can be read of a bucket, where it is as if it was never set, and can't be set: docs/s3.md lists what can."
            );
            Err(Error::new(ErrorKind::NotImplemented, text))
        }
        _ => Ok(()),
    }
}

/// Whether the request is about a sub-resource that the operation is not about.
fn names_another(query: &Query, operation: Operation) -> bool {
    let of_operations = |name: &str| Operation::ALL.iter().any(|o| o.sub_resource() == Some(name));
    query.names().any(|name| operation.sub_resource() != Some(name) && of_operations(name))
}

fn on_bucket(method: &Method, query: &Query) -> Option<OnBucket> {
    use OnBucket::*;
    Some(match *method {
        Method::GET if query.is_empty() => ListObjects,
        Method::GET if query.has("location") => GetBucketLocation,
        Method::GET if query.has("versioning") => GetBucketVersioning,
        Method::GET if query.has("object-lock") => GetObjectLockConfiguration,
        Method::GET if query.has("versions") => ListObjectVersions,
        Method::GET if query.has("uploads") => ListMultipartUploads,
        Method::GET if query.has("policyStatus") => GetBucketPolicyStatus,
        Method::GET if query.has("policy") => GetBucketPolicy,
        Method::GET if query.has("acl") => GetBucketAcl,
        Method::GET if query.has("cors") => GetBucketCors,
        Method::GET if query.has("tagging") => GetBucketTagging,
        Method::GET if query.has("lifecycle") => GetBucketLifecycleConfiguration,
        Method::GET if query.has("ownershipControls") => GetBucketOwnershipControls,
        Method::GET if query.has("publicAccessBlock") => GetPublicAccessBlock,
        Method::GET if query.has("website") => GetBucketWebsite,
        Method::GET if query.has("encryption") => GetBucketEncryption,
        Method::GET if query.has("logging") => GetBucketLogging,
        Method::GET if query.has("notification") => GetBucketNotificationConfiguration,
        Method::GET if query.names().any(|n| NEVER_SET.contains(&n)) => return never_set(query),
        Method::GET if query.get("list-type") == Some("2") => ListObjectsV2,
        Method::GET => ListObjects,
        Method::HEAD => HeadBucket,
        Method::PUT if query.has("policy") => PutBucketPolicy,
        Method::PUT if query.has("acl") => PutBucketAcl,
        Method::PUT if query.has("cors") => PutBucketCors,
        Method::PUT if query.has("tagging") => PutBucketTagging,
        Method::PUT if query.has("lifecycle") => PutBucketLifecycleConfiguration,
        Method::PUT if query.has("versioning") => PutBucketVersioning,
        Method::PUT if query.has("object-lock") => PutObjectLockConfiguration,
        Method::PUT if query.has("ownershipControls") => PutBucketOwnershipControls,
        Method::PUT if query.has("publicAccessBlock") => PutPublicAccessBlock,
        Method::PUT if query.has("website") => PutBucketWebsite,
        Method::PUT if query.has("encryption") => PutBucketEncryption,
        Method::PUT if query.has("logging") => PutBucketLogging,
        Method::PUT if query.has("notification") => PutBucketNotificationConfiguration,
        Method::PUT => CreateBucket,
        Method::DELETE if query.has("policy") => DeleteBucketPolicy,
        Method::DELETE if query.has("cors") => DeleteBucketCors,
        Method::DELETE if query.has("tagging") => DeleteBucketTagging,
        Method::DELETE if query.has("lifecycle") => DeleteBucketLifecycle,
        Method::DELETE if query.has("ownershipControls") => DeleteBucketOwnershipControls,
        Method::DELETE if query.has("publicAccessBlock") => DeletePublicAccessBlock,
        Method::DELETE if query.has("website") => DeleteBucketWebsite,
        Method::DELETE if query.has("encryption") => DeleteBucketEncryption,
        Method::DELETE => DeleteBucket,
        Method::POST if query.has("delete") => DeleteObjects,
        _ => return None,
    })
}

/// The read of a setting that is never set. Of some a bucket can have many, each with an id: without one all are asked for.
fn never_set(query: &Query) -> Option<OnBucket> {
    use OnBucket::*;
    let one = query.has("id");
    Some(match query.names().find(|n| NEVER_SET.contains(n))? {
        "requestPayment" => GetBucketRequestPayment,
        "accelerate" => GetBucketAccelerateConfiguration,
        "replication" => GetBucketReplication,
        "inventory" if one => GetBucketInventoryConfiguration,
        "inventory" => ListBucketInventoryConfigurations,
        "analytics" if one => GetBucketAnalyticsConfiguration,
        "analytics" => ListBucketAnalyticsConfigurations,
        "metrics" if one => GetBucketMetricsConfiguration,
        "metrics" => ListBucketMetricsConfigurations,
        "intelligent-tiering" if one => GetBucketIntelligentTieringConfiguration,
        "intelligent-tiering" => ListBucketIntelligentTieringConfigurations,
        _ => return None,
    })
}

fn on_object(method: &Method, query: &Query, headers: &HeaderMap) -> Option<OnObject> {
    use OnObject::*;
    // Taken for anything but a copy, the request would replace its target by an empty body.
    let copies = headers.contains_key("x-amz-copy-source") || query.hoists("x-amz-copy-source");
    Some(match *method {
        Method::GET if query.is_empty() => GetObject,
        Method::POST if query.has("restore") => RestoreObject,
        _ if query.has("restore") => return None,
        Method::GET if query.has("uploadId") => ListParts,
        Method::GET if query.has("attributes") => GetObjectAttributes,
        Method::GET if query.has("acl") => GetObjectAcl,
        Method::GET if query.has("retention") => GetObjectRetention,
        Method::GET if query.has("legal-hold") => GetObjectLegalHold,
        Method::GET if query.has("tagging") => GetObjectTagging,
        Method::GET => GetObject,
        Method::HEAD => HeadObject,
        Method::PUT if query.has("acl") => PutObjectAcl,
        Method::PUT if query.has("tagging") => PutObjectTagging,
        Method::PUT if query.has("retention") => PutObjectRetention,
        Method::PUT if query.has("legal-hold") => PutObjectLegalHold,
        Method::PUT if query.has("publish") || headers.contains_key(PUBLISH) => PublishObject,
        Method::PUT if query.has("uploadId") && copies => UploadPartCopy,
        Method::PUT if query.has("uploadId") => UploadPart,
        Method::PUT if copies => CopyObject,
        Method::PUT => PutObject,
        Method::DELETE if query.has("uploadId") => AbortMultipartUpload,
        Method::DELETE if query.has("tagging") => DeleteObjectTagging,
        Method::DELETE => DeleteObject,
        Method::POST if query.has("uploads") => CreateMultipartUpload,
        Method::POST if query.has("uploadId") => CompleteMultipartUpload,
        _ => return None,
    })
}

/// The version that is asked for.
pub fn version_of(query: &Query) -> Result<Option<VersionId>> {
    match query.get("versionId") {
        Some("") => {
            Err(Error::new(ErrorKind::InvalidArgument, "Version id cannot be the empty string").detail("ArgumentName", "versionId"))
        }
        text => text.map(VersionId::parse).transpose(),
    }
}

fn method_not_allowed(resource: &Resource) -> Error {
    let allowed = match resource {
        Resource::Service => "GET",
        Resource::Bucket(_) => "GET, HEAD, PUT, POST, DELETE",
        Resource::Object(..) => "GET, HEAD, PUT, POST, DELETE",
    };
    Error::new(ErrorKind::MethodNotAllowed, "The specified method is not allowed against this resource.").detail("AllowedMethods", allowed)
}

#[cfg(test)]
mod tests;
